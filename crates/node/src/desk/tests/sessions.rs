//! Sessions: what ends them, and what a browser can be made to do.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};

use super::stage::{Browser, PATIENCE, Stage, grant};
use crate::net::local_client::{self, Response};
use crate::net::web::Web;

const REASON: &str = "EXERCISE";

async fn is_in(browser: &mut Browser) -> bool {
    match browser.get("/api/v1/session").await.0 {
        StatusCode::OK => true,
        StatusCode::UNAUTHORIZED => false,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_at_once_when_its_ground_is_gone() {
    let stage = Stage::start("vn-police").await;
    let officer = "/api/v1/officers/d3-night";
    let (mut passkey, mut browser) = stage.signed_in("d3-night", &["analyst"]).await;

    // The grant changes, even to the same.
    stage.done(Method::PUT, officer, grant(&["analyst"])).await;
    assert!(!is_in(&mut browser).await);

    // The sessions are ended; another officer's go on.
    let (_, mut other) = stage.signed_in("d4-day", &["analyst"]).await;
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::CREATED);
    stage.done(Method::POST, &format!("{officer}/sessions/end"), json!({ "reason": REASON })).await;
    assert!(!is_in(&mut browser).await && is_in(&mut other).await);

    // The officer is on leave: nobody signs in, and the passkey stays.
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::CREATED);
    let mut leave = grant(&["analyst"]);
    leave["active"] = json!(false);
    stage.done(Method::PUT, officer, leave).await;
    assert!(!is_in(&mut browser).await);
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::UNAUTHORIZED);
    stage.done(Method::PUT, officer, grant(&["analyst"])).await;
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::CREATED);

    // The passkey is revoked.
    let shown = stage.look(officer).await;
    let path = format!("{officer}/credentials/{}/revoke", shown["credentials"][0]["id"].as_str().unwrap());
    stage.done(Method::POST, &path, json!({ "reason": REASON })).await;
    assert!(!is_in(&mut browser).await);
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.socket(Method::POST, &path, &json!({ "reason": REASON })).await.0, StatusCode::NOT_FOUND);

    // The officer is revoked.
    stage.done(Method::POST, "/api/v1/officers/d4-day/revoke", json!({ "reason": REASON })).await;
    assert!(!is_in(&mut other).await);
    let shown = stage.look("/api/v1/officers/d4-day").await;
    assert_eq!((&shown["state"], &shown["credentials"]), (&json!("revoked"), &json!([])));
    let ended: Vec<_> = stage.sign_ins().await.into_iter().filter(|(_, how, _)| how == "sign-out").collect();
    assert_eq!(ended.len(), 5, "{ended:?}");
    assert!(ended.iter().all(|(_, _, why)| why == "revoked"), "{ended:?}");
    assert_eq!(stage.socket(Method::POST, &format!("{officer}/revoke"), &json!({ "reason": "" })).await.0, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_by_itself_and_with_the_node() {
    let stage = Stage::start_with("vn-police", |config, _| config.desk.session_idle_s = 10).await;
    let (mut passkey, mut browser) = stage.signed_in("d3-night", &["analyst"]).await;
    let (_, me) = browser.get("/api/v1/session").await;
    assert_eq!(me["session"]["ends_in_s"].as_u64().map(|s| s > 43_000), Some(true), "{me}");
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert!(!is_in(&mut browser).await);
    assert_eq!(stage.sign_ins().await.last().unwrap().2, "idle");
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::CREATED);
    let stage = stage.restart().await;
    assert!(!is_in(&mut browser).await, "sessions live in memory");
    assert_eq!(stage.browser().sign_in(&mut passkey).await.0, StatusCode::CREATED, "passkeys are on record");
}

/// Opens the stream of events, and reads until something has come.
async fn stream(browser: &Browser) -> Response {
    // A browser reads as it comes; the helper of other tests reads to the end.
    let request = browser.request(&Method::GET, "/api/v1/events?after=-1", &Value::Null);
    let mut events = local_client::send(&browser.web, request).await.unwrap();
    assert_eq!(events.status, StatusCode::OK);
    assert!(events.chunk().await.unwrap().is_some());
    events
}

async fn ends(mut events: Response) {
    let ended = tokio::time::timeout(PATIENCE, async { while let Ok(Some(_)) = events.chunk().await {} });
    ended.await.expect("the stream ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_still_being_answered_ends_with_its_ground() {
    let stage = Stage::start("vn-police").await;
    // Those who oversee read the ledger from its beginning.
    let (_, browser) = stage.signed_in("d3-night", &["auditor"]).await;
    let (token, id) = stage.token("d3-night", 600).await;
    let (soon, _) = stage.token("d3-night", 2).await;
    let program = |token| Browser { token: Some(token), cookies: Vec::new(), ..browser.clone() };
    let by_session = stream(&browser).await;
    let by_token = stream(&program(token)).await;
    ends(stream(&program(soon)).await).await;

    let path = format!("/api/v1/tokens/{id}/revoke");
    stage.done(Method::POST, &path, json!({ "reason": REASON })).await;
    ends(by_token).await;
    stage.done(Method::POST, "/api/v1/officers/d3-night/revoke", json!({ "reason": REASON })).await;
    ends(by_session).await;

    // The grant is narrowed: the token goes on, and what it was answered under the other grant does not.
    stage.grant("d4-day", &["auditor"]).await;
    let (token, _) = stage.token("d4-day", 600).await;
    let by_token = stream(&program(token.clone())).await;
    stage.grant("d4-day", &["analyst"]).await;
    ends(by_token).await;
    assert!(is_in(&mut program(token)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_pages_change_nothing() {
    let stage = Stage::start("vn-police").await;
    let (mut passkey, browser) = stage.signed_in("chief", &["administrator"]).await;
    for origin in [None, Some("https://evil.example"), Some("null"), Some("http://localhost"), Some("")] {
        let mut other = Browser { origin: origin.map(str::to_owned), ..browser.clone() };
        for (method, path, body) in [
            (Method::PUT, "/api/v1/officers/d3-night", grant(&["analyst"])),
            (Method::POST, "/api/v1/tokens", json!({ "label": REASON, "valid_s": 60 })),
            (Method::DELETE, "/api/v1/session", Value::Null),
            (Method::POST, "/api/v1/session/begin", Value::Null),
        ] {
            let (status, problem) = other.ask(method, path, &body).await;
            assert_eq!((status, &problem["reason"]), (StatusCode::FORBIDDEN, &json!("wrong-origin")), "{path}");
        }
    }
    assert_eq!(stage.look("/api/v1/officers").await["officers"].as_array().map(Vec::len), Some(1));
    assert_eq!(stage.look("/api/v1/sessions").await["sessions"].as_array().map(Vec::len), Some(1));
    // A second cookie of the name may be another's, so that neither counts.
    let mut two = browser.clone();
    two.cookies.extend(browser.cookies.clone());
    assert_eq!(two.get("/api/v1/session").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.browser().sign_in(&mut passkey).await.0, StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purpose_is_one_of_the_officers() {
    let stage = Stage::start("vn-police").await;
    let (_, mut browser) = stage.signed_in("d3-night", &["analyst"]).await;
    let mut ask = async |purpose: Option<&str>| {
        browser.purpose = purpose.map(str::to_owned);
        browser.get("/api/v1/session").await
    };
    assert_eq!(ask(None).await.0, StatusCode::OK);
    assert_eq!(ask(Some("piracy")).await.0, StatusCode::OK);
    let (status, problem) = ask(Some("curiosity")).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::FORBIDDEN, &json!("purpose-not-granted")));
    assert_eq!(ask(Some(" ")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(ask(Some(&"x".repeat(101))).await.0, StatusCode::BAD_REQUEST);
}

/// Bytes in the form of RFC 7468.
fn pem(what: &str, der: &[u8]) -> String {
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", STANDARD.encode(der))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_desk_listens_over_tls() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let stage = Stage::start_with("vn-police", |config, dir| {
        let (certificate, key) = (dir.join("desk.pem"), dir.join("desk.key"));
        std::fs::write(&certificate, pem("CERTIFICATE", cert.der())).unwrap();
        std::fs::write(&key, pem("PRIVATE KEY", &signing_key.serialize_der())).unwrap();
        (config.desk.tls_certificate, config.desk.tls_key) = (Some(certificate), Some(key));
        config.desk.origin = config.desk.origin.take().map(|origin| origin.replace("http:", "https:"));
    })
    .await;
    let mut browser = stage.browser();
    browser.web = Web::trusting(stage.config.desk.tls_certificate.as_ref().unwrap()).unwrap();
    let mut passkey = super::authenticator::Authenticator::new(stage.origin());
    stage.grant("d3-night", &["analyst"]).await;
    let invitation = stage.invite("d3-night", 60).await;
    assert_eq!(browser.register(&mut passkey, &invitation).await.0, StatusCode::CREATED);
    assert_eq!(browser.sign_in(&mut passkey).await.0, StatusCode::CREATED);
    assert!(is_in(&mut browser).await);
    let response = browser.send(Method::GET, "/api/v1/session", &Value::Null).await;
    assert!(response.headers().contains_key("strict-transport-security"));
    // Whoever does not know the certificate does not speak to it.
    let stranger = tempfile::NamedTempFile::new().unwrap();
    let other = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(stranger.path(), pem("CERTIFICATE", other.cert.der())).unwrap();
    let request = browser.request(&Method::GET, "/api/v1/session", &Value::Null);
    let refused = crate::net::web::call(&Web::trusting(stranger.path()).unwrap(), request, PATIENCE, 1000).await;
    assert!(refused.is_err());
}
