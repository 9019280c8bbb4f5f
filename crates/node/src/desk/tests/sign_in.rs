//! Enrolment and signing in with a passkey, and what is refused.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::authenticator::{Authenticator, VERIFIED};
use super::stage::{Stage, grant};

const BEGIN: &str = "/api/v1/session/registration/begin";
const REGISTER: &str = "/api/v1/session/registration/finish";
const SIGN_IN: &str = "/api/v1/session/finish";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_officer_enrols_signs_in_and_out() {
    let stage = Stage::start("vn-police").await;
    stage.grant("d3-night", &["analyst", "duty-officer"]).await;
    let invitation = stage.invite("d3-night", 600).await;
    let (mut passkey, mut browser) = (Authenticator::new(stage.origin()), stage.browser());

    let body = browser.registration(&mut passkey, &invitation).await.unwrap();
    let (status, enrolled) = browser.post(REGISTER, &body).await;
    assert_eq!((status, &enrolled["officer"]), (StatusCode::CREATED, &json!("d3-night")), "{enrolled}");
    assert_eq!(browser.get("/api/v1/session").await.0, StatusCode::UNAUTHORIZED, "enrolling signs nobody in");

    let asserted = browser.assertion(&mut passkey).await;
    let response = browser.send(Method::POST, SIGN_IN, &asserted).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-mufakat=mfs_"), "{cookie}");
    for part in ["; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }

    let (status, me) = browser.get("/api/v1/session").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&me["officer"], &me["via"], &me["clearance"]),
        (&json!("d3-night"), &json!("session"), &json!("AMBER"))
    );
    assert_eq!(me["roles"], json!(["duty-officer", "analyst"]));
    let open = stage.look("/api/v1/sessions").await;
    assert_eq!(open["sessions"][0]["officer"], "d3-night");

    // Every answer says how a browser is to treat it, also a refusal.
    for response in [browser.send(Method::GET, "/api/v1/session", &Value::Null).await, {
        browser.send(Method::GET, "/api/v1/records/00", &Value::Null).await
    }] {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
    }

    assert_eq!(browser.ask(Method::DELETE, "/api/v1/session", &Value::Null).await.0, StatusCode::NO_CONTENT);
    assert!(browser.cookies.is_empty());
    assert_eq!(stage.look("/api/v1/sessions").await["sessions"], json!([]));
    let officer = stage.look("/api/v1/officers/d3-night").await;
    let key = &officer["credentials"][0];
    assert_eq!((&key["label"], &key["counter"]), (&json!("EXERCISE key"), &json!(2)));
    assert!(officer["last_sign_in_ms"].is_u64());
    let rows = stage.sign_ins().await;
    let shown: Vec<_> = rows.iter().map(|(who, how, _)| (who.as_str(), how.as_str())).collect();
    assert_eq!(shown, [("d3-night", "sign-in"), ("d3-night", "sign-out")]);
    assert_eq!(rows[1].2, "signed-out");
    assert_eq!(rows[0].2, format!("passkey {} 2", enrolled["credential"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ceremony_and_an_invitation_are_good_once() {
    let stage = Stage::start("vn-police").await;
    stage.grant("d3-night", &["analyst"]).await;
    let invitation = stage.invite("d3-night", 600).await;
    let (mut passkey, mut browser) = (Authenticator::new(stage.origin()), stage.browser());
    // Two ceremonies of one invitation: the first that is finished uses it up.
    let first = browser.registration(&mut passkey, &invitation).await.unwrap();
    let mut other = Authenticator::new(stage.origin());
    let second = browser.registration(&mut other, &invitation).await.unwrap();
    assert_eq!(browser.post(REGISTER, &first).await.0, StatusCode::CREATED);
    for (path, body) in [(REGISTER, &first), (REGISTER, &second), (BEGIN, &json!({ "invitation": invitation }))] {
        let (status, problem) = browser.post(path, body).await;
        assert_eq!((status, &problem["reason"]), (StatusCode::UNAUTHORIZED, &json!("sign-in-failed")), "{path}");
    }
    assert_eq!(browser.sign_in(&mut other).await.0, StatusCode::UNAUTHORIZED);

    let assertion = browser.assertion(&mut passkey).await;
    assert_eq!(browser.post(SIGN_IN, &assertion).await.0, StatusCode::CREATED);
    // Nor can an answer to one challenge be brought in answer to another.
    let (_, begun) = browser.post("/api/v1/session/begin", &Value::Null).await;
    let old = json!({ "ceremony": begun["ceremony"], "credential": assertion["credential"] });
    for body in [&assertion, &old] {
        let (status, problem) = browser.post(SIGN_IN, body).await;
        assert_eq!((status, &problem["reason"]), (StatusCode::UNAUTHORIZED, &json!("sign-in-failed")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_expires_and_can_be_revoked() {
    let stage = Stage::start("vn-police").await;
    stage.grant("d3-night", &["analyst"]).await;
    let (soon, other) = (stage.invite("d3-night", 1).await, stage.invite("d3-night", 600).await);
    let mut browser = stage.browser();
    let mut passkey = Authenticator::new(stage.origin());
    let begun = browser.registration(&mut passkey, &other).await.unwrap();
    let officer = stage.look("/api/v1/officers/d3-night").await;
    let id = officer["credentials"][1]["id"].as_str().unwrap();
    let path = format!("/api/v1/officers/d3-night/credentials/{id}/revoke");
    stage.done(Method::POST, &path, json!({ "reason": "EXERCISE wrong person" })).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for invitation in [&soon, &other, "mfi_", "x", &soon.replace("mfi_", "mft_")] {
        let (status, problem) = browser.register(&mut passkey, invitation).await;
        assert_eq!((status, &problem["reason"]), (StatusCode::UNAUTHORIZED, &json!("sign-in-failed")), "{invitation}");
    }
    // Also when the ceremony was begun before.
    assert_eq!(browser.post(REGISTER, &begun).await.0, StatusCode::UNAUTHORIZED);
    for (body, status) in [(json!({ "valid_s": 0 }), 400), (json!({ "valid_s": 604_801 }), 400), (json!({}), 400)] {
        let refused = stage.socket(Method::POST, "/api/v1/officers/d3-night/invitations", &body).await;
        assert_eq!(refused.0, status, "{body}");
    }
    let refused = stage.socket(Method::POST, "/api/v1/officers/nobody/invitations", &json!({ "valid_s": 9 })).await;
    assert_eq!(refused.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_passkey_is_one_officers() {
    let stage = Stage::start("vn-police").await;
    let mut passkey = stage.enrolled("d3-night", &["analyst"]).await;
    stage.grant("d4-day", &["auditor"]).await;
    let invitation = stage.invite("d4-day", 600).await;
    let mut browser = stage.browser();
    let (status, problem) = browser.register(&mut passkey, &invitation).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::UNAUTHORIZED, &json!("sign-in-failed")));
    let officer = stage.look("/api/v1/officers/d4-day").await;
    assert_eq!(officer["credentials"].as_array().map(Vec::len), Some(1), "the invitation is still there");
    // The authenticator now believes to be d4-day's; the node does not.
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_authenticator_says_is_checked() {
    let stage = Stage::start("vn-police").await;
    let mut passkey = stage.enrolled("d3-night", &["analyst"]).await;
    let mut browser = stage.browser();
    let origin = passkey.origin.clone();
    // Another page, a person who was not verified, a signature of somebody else.
    passkey.origin = "http://localhost.example:1".to_owned();
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::UNAUTHORIZED);
    passkey.origin = origin.clone();
    passkey.flags &= !VERIFIED;
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::UNAUTHORIZED);
    passkey.flags |= VERIFIED;
    let mut body = browser.assertion(&mut passkey).await;
    let mut thief = Authenticator::new(&origin);
    let stolen = browser.assertion(&mut thief).await;
    body["credential"]["response"]["signature"] = stolen["credential"]["response"]["signature"].clone();
    assert_eq!(browser.post(SIGN_IN, &body).await.0, StatusCode::UNAUTHORIZED);

    // A copy counts from where it was made.
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::CREATED);
    passkey.counter -= 1;
    let (status, problem) = browser.sign_in(&mut passkey).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::UNAUTHORIZED, &json!("sign-in-failed")));
    let rows = stage.sign_ins().await;
    assert_eq!(rows.iter().filter(|(_, how, _)| how == "sign-in-failed").count(), 4, "{rows:?}");
    assert!(rows.last().unwrap().2.ends_with(" copied"), "{rows:?}");
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::CREATED);

    // A restart forgets no count.
    let stage = stage.restart().await;
    passkey.counter -= 1;
    assert_eq!(stage.browser().sign_in(&mut passkey).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.browser().sign_in(&mut passkey).await.0, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_tries_too_often_is_made_to_wait() {
    let stage = Stage::start("vn-police").await;
    let mut passkey = stage.enrolled("d3-night", &["analyst"]).await;
    let mut others = stage.enrolled("d4-day", &["analyst"]).await;
    let mut browser = stage.browser();
    passkey.flags &= !VERIFIED;
    for n in 0..10 {
        browser.address = Some(format!("192.0.2.{n}"));
        assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::UNAUTHORIZED, "{n}");
    }
    // From wherever it comes, and even if it would be right.
    passkey.flags |= VERIFIED;
    browser.address = Some("192.0.2.77".to_owned());
    let body = browser.assertion(&mut passkey).await;
    let response = browser.send(Method::POST, SIGN_IN, &body).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = response.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=301).contains(&wait), "{wait}");
    assert_eq!(browser.sign_in(&mut others).await.0, StatusCode::CREATED, "nobody else waits");

    // One address that tries secrets.
    let mut tries = stage.browser();
    tries.address = Some("198.51.100.1".to_owned());
    let mut statuses = Vec::new();
    for n in 0..32 {
        tries.token = Some(format!("mft_{n:043}"));
        statuses.push(tries.get("/api/v1/session").await.0.as_u16());
    }
    assert!(statuses[..30].iter().all(|status| *status == 401) && statuses[30..] == [429, 429], "{statuses:?}");
    tries.token = None;
    assert_eq!(tries.register(&mut passkey, "mfi_").await.0, StatusCode::TOO_MANY_REQUESTS);
    // A token that is right still serves there: it is not one that somebody found by trying.
    tries.token = Some(stage.token("d4-day", 60).await.0);
    assert_eq!(tries.get("/api/v1/session").await.0, StatusCode::OK);

    // Beginnings have a measure of their own.
    let mut begins = stage.browser();
    begins.address = Some("198.51.100.2".to_owned());
    let mut refused = 0;
    for _ in 0..62 {
        refused += usize::from(begins.post("/api/v1/session/begin", &Value::Null).await.0 == 429);
    }
    assert_eq!(refused, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grants_are_checked_and_nobody_grants_oneself() {
    let stage = Stage::start("vn-police").await;
    let (_, mut admin) = stage.signed_in("chief", &["administrator"]).await;
    let (status, problem) = admin.ask(Method::PUT, "/api/v1/officers/chief", &grant(&["analyst"])).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::FORBIDDEN, &json!("own-grant")));
    let (status, problem) = admin.post("/api/v1/officers/chief/revoke", &json!({ "reason": "EXERCISE" })).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::FORBIDDEN, &json!("own-grant")));

    // Nor does one make a link for oneself, which would outlive what one signed in with.
    let (own, valid) = ("/api/v1/officers/chief/invitations", json!({ "valid_s": 60 }));
    let (status, problem) = admin.post(own, &valid).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::FORBIDDEN, &json!("own-grant")));

    let (status, granted) = admin.ask(Method::PUT, "/api/v1/officers/d3-night", &grant(&["analyst", "analyst"])).await;
    assert_eq!(status, StatusCode::CREATED, "{granted}");
    let shown = stage.look("/api/v1/officers/d3-night").await;
    assert_eq!((&shown["by"], &shown["grant"]), (&json!("chief"), &granted["grant"]));
    assert_eq!(shown["roles"], json!(["analyst"]));

    for (change, named) in [
        (json!({ "name": " " }), "name"),
        (json!({ "roles": [] }), "roles"),
        (json!({ "roles": ["king"] }), "king"),
        (json!({ "clearance": "PURPLE" }), "PURPLE"),
        (json!({ "purposes": ["x".repeat(101)] }), "purposes"),
        (json!({ "rank": 1 }), "rank"),
    ] {
        let mut body = grant(&["analyst"]);
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, problem) = admin.ask(Method::PUT, "/api/v1/officers/d5-late", &body).await;
        assert!(status.is_client_error(), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
    assert_eq!(admin.ask(Method::PUT, "/api/v1/officers/X", &grant(&["analyst"])).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(admin.get("/api/v1/officers/d5-late").await.0, StatusCode::NOT_FOUND);

    let (_, page) = admin.get("/api/v1/officers?limit=1").await;
    assert_eq!((&page["officers"][0]["officer"], &page["next"]), (&json!("chief"), &json!("chief")));
    let (_, page) = admin.get("/api/v1/officers?limit=1&after=chief").await;
    assert_eq!((&page["officers"][0]["officer"], &page["next"]), (&json!("d3-night"), &Value::Null));
    assert_eq!(admin.get("/api/v1/officers?limit=0").await.0, StatusCode::BAD_REQUEST);
}
