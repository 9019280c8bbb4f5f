//! Tokens: whose they are, what ends them, and what they cannot do.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::authenticator::Authenticator;
use super::stage::{Browser, Stage, grant};
use crate::desk::secret::{Secret, Use};

async fn asks(stage: &Stage, token: &str) -> (StatusCode, Value) {
    Browser { token: Some(token.to_owned()), origin: None, ..stage.browser() }.get("/api/v1/session").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_its_officers_for_its_time_at_its_node() {
    let (stage, elsewhere) = tokio::join!(Stage::start("vn-police"), Stage::start("ru-police"));
    for stage in [&stage, &elsewhere] {
        stage.grant("feed-import", &["duty-officer"]).await;
    }
    let asked = json!({
        "officer": "feed-import", "label": "EXERCISE feed", "scopes": ["who_am_i", "list_view", "who_am_i"], "valid_s": 600,
    });
    let made = stage.done(Method::POST, "/api/v1/tokens", asked).await;
    let (token, id) = (made["token"].as_str().unwrap(), made["id"].as_str().unwrap());
    let (status, me) = asks(&stage, token).await;
    assert_eq!((status, &me["officer"], &me["via"]), (StatusCode::OK, &json!("feed-import"), &json!("token")));
    assert_eq!(me["scopes"], json!(["list_view", "who_am_i"]));
    assert!(!stage.look("/api/v1/officers").await.to_string().contains(token));
    // What it does not name it does not do, though its officer may.
    let mut program = Browser { token: Some(token.to_owned()), origin: None, ..stage.browser() };
    let (status, problem) = program.get("/api/v1/tokens").await;
    assert_eq!((status, &problem["reason"]), (StatusCode::FORBIDDEN, &json!("token-scope")));

    // Another agency's, made up, another kind of secret, half of it.
    assert_eq!(asks(&elsewhere, token).await.0, StatusCode::UNAUTHORIZED);
    let invitation = stage.invite("feed-import", 60).await;
    for wrong in [&Secret::fresh(Use::Token).text(), &invitation, &token[..20], "", &token.replace("mft_", "mfs_")] {
        let (status, problem) = asks(&stage, wrong).await;
        assert_eq!((status, &problem["reason"]), (StatusCode::UNAUTHORIZED, &json!("not-signed-in")), "{wrong}");
    }

    // Over, revoked, its officer on leave.
    let (soon, _) = stage.token("feed-import", 1).await;
    assert_eq!(asks(&stage, &soon).await.0, StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(asks(&stage, &soon).await.0, StatusCode::UNAUTHORIZED);
    let (other, _) = stage.token("feed-import", 600).await;
    stage.done(Method::POST, &format!("/api/v1/tokens/{id}/revoke"), json!({ "reason": "EXERCISE" })).await;
    assert_eq!(asks(&stage, token).await.0, StatusCode::UNAUTHORIZED);
    let mut leave = grant(&["duty-officer"]);
    leave["active"] = json!(false);
    stage.done(Method::PUT, "/api/v1/officers/feed-import", leave).await;
    assert_eq!(asks(&stage, &other).await.0, StatusCode::UNAUTHORIZED);
    stage.done(Method::PUT, "/api/v1/officers/feed-import", grant(&["analyst"])).await;
    let (status, me) = asks(&stage, &other).await;
    assert_eq!((status, &me["roles"]), (StatusCode::OK, &json!(["analyst"])), "a token follows its officer's grant");
    let stage = stage.restart().await;
    assert_eq!(asks(&stage, &other).await.0, StatusCode::OK, "tokens are on record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_officer_has_tokens_of_ones_own_and_no_others() {
    let stage = Stage::start("vn-police").await;
    let (_, mut browser) = stage.signed_in("d3-night", &["analyst"]).await;
    stage.grant("d4-day", &["analyst"]).await;
    let (_, others) = stage.token("d4-day", 600).await;

    let asked = json!({ "label": "EXERCISE script", "valid_s": 600 });
    let (status, made) = browser.post("/api/v1/tokens", &asked).await;
    assert_eq!((status, &made["officer"]), (StatusCode::CREATED, &json!("d3-night")), "{made}");
    let (_, own) = browser.get("/api/v1/tokens").await;
    assert_eq!((own["tokens"].as_array().map(Vec::len), &own["tokens"][0]["id"]), (Some(1), &made["id"]));
    assert_eq!(stage.look("/api/v1/tokens").await["tokens"].as_array().map(Vec::len), Some(2));

    let for_another = json!({ "officer": "d4-day", "label": "EXERCISE", "valid_s": 600 });
    let (status, problem) = browser.post("/api/v1/tokens", &for_another).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::FORBIDDEN, &json!("not-own-token")));
    let reason = json!({ "reason": "EXERCISE" });
    assert_eq!(browser.post(&format!("/api/v1/tokens/{others}/revoke"), &reason).await.0, StatusCode::NOT_FOUND);

    // A token makes no token, and ends no session.
    let mut program = Browser {
        token: Some(made["token"].as_str().unwrap().to_owned()),
        origin: None,
        cookies: Vec::new(),
        ..browser.clone()
    };
    let (status, problem) = program.post("/api/v1/tokens", &asked).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::FORBIDDEN, &json!("not-by-token")));
    assert_eq!(program.ask(Method::DELETE, "/api/v1/session", &Value::Null).await.0, StatusCode::CONFLICT);
    let path = format!("/api/v1/tokens/{}/revoke", made["id"].as_str().unwrap());
    assert_eq!(browser.post(&path, &reason).await.0, StatusCode::CREATED);
    assert_eq!(program.get("/api/v1/session").await.0, StatusCode::UNAUTHORIZED);

    for (change, status) in [
        (json!({ "valid_s": 0 }), 400),
        (json!({ "valid_s": 366 * 86_400 + 1 }), 400),
        (json!({ "label": "" }), 422),
        (json!({ "scopes": [""] }), 422),
        (json!({ "scopes": ["share_record", "share_recordz"] }), 422),
        (json!({ "secret": "x" }), 400),
    ] {
        let mut body = asked.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(browser.post("/api/v1/tokens", &body).await.0, status, "{body}");
    }
    let missing = json!({ "officer": "nobody", "label": "EXERCISE", "valid_s": 60 });
    assert_eq!(stage.socket(Method::POST, "/api/v1/tokens", &missing).await.0, StatusCode::NOT_FOUND);
    assert_eq!(stage.socket(Method::POST, "/api/v1/tokens", &asked).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_an_administrator_makes_nobody_an_officer() {
    let stage = Stage::start("vn-police").await;
    let (_, mut chief) = stage.signed_in("chief", &["administrator"]).await;
    stage.grant("d3-night", &["supervisor"]).await;
    let (token, _) = stage.token("chief", 600).await;
    let mut stolen = Browser { token: Some(token), origin: None, cookies: Vec::new(), ..chief.clone() };
    let valid = json!({ "valid_s": 60 });
    let by_token = (StatusCode::FORBIDDEN, json!("not-by-token"));
    for officer in ["d3-night", "nobody"] {
        let (status, problem) = stolen.post(&format!("/api/v1/officers/{officer}/invitations"), &valid).await;
        assert_eq!((status, problem["reason"].clone()), by_token, "{officer}");
        let path = format!("/api/v1/officers/{officer}");
        let (status, problem) = stolen.ask(Method::PUT, &path, &grant(&["administrator"])).await;
        assert_eq!((status, problem["reason"].clone()), by_token, "{officer}");
    }
    assert_eq!(stolen.post("/api/v1/officers/chief/invitations", &valid).await.0, StatusCode::FORBIDDEN);

    // A person makes links for others. The first is an enrolment; with the next the officer's place has two ways in, and that is
    // noted.
    let noted = async |stage: &Stage| {
        let noted = stage.sign_ins().await.into_iter().filter(|(_, how, _)| how == "operation");
        noted.map(|(officer, _, note)| (officer, note)).collect::<Vec<_>>()
    };
    let link = "/api/v1/officers/d3-night/invitations";
    let (status, first) = chief.post(link, &valid).await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    assert_eq!(noted(&stage).await, []);
    let mut passkey = Authenticator::new(stage.origin());
    let registered = stage.browser().register(&mut passkey, first["secret"].as_str().unwrap()).await;
    assert_eq!(registered.0, StatusCode::CREATED);
    let (_, second) = chief.post(link, &valid).await;
    let note = format!("invite_officer {} by chief", second["id"].as_str().unwrap());
    assert_eq!(noted(&stage).await, [("d3-night".to_owned(), note)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_officer_has_only_so_many_credentials() {
    let stage = Stage::start("vn-police").await;
    stage.grant("d3-night", &["analyst"]).await;
    for _ in 0..32 {
        stage.token("d3-night", 600).await;
    }
    let body = json!({ "valid_s": 60 });
    let (status, problem) = stage.socket(Method::POST, "/api/v1/officers/d3-night/invitations", &body).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::CONFLICT, &json!("too-many-credentials")));
}
