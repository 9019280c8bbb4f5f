//! What was given to another officer, by another node, or at another time opens nothing, and nobody learns why.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::stage::{Browser, PATIENCE, Stage};
use crate::desk::secret::{Secret, Use};

const REASON: &str = "EXERCISE";
/// The session ends after so long without a request; no less can be set.
const IDLE_S: u64 = 10;
/// A page of a view that two officers may see, and that has more.
const PAGE: &str = "/api/v1/views/officers?limit=1";

fn program(stage: &Stage, token: &str) -> Browser {
    Browser { token: Some(token.to_owned()), origin: None, ..stage.browser() }
}

fn with_cookie(stage: &Stage, cookies: &[(String, String)]) -> Browser {
    Browser { cookies: cookies.to_vec(), ..stage.browser() }
}

/// A community of an agency that is called the same has other keys.
async fn three() -> [Stage; 3] {
    let quick = |id| Stage::start_with(id, |config, _| config.desk.session_idle_s = IDLE_S);
    <[Stage; 3]>::from(tokio::join!(quick("vn-police"), quick("ru-police"), quick("vn-police")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_elsewhere_or_before_lets_nobody_in() {
    let [here, partner, namesake] = three().await;
    let (_, idle) = here.signed_in("d3-night", &["auditor"]).await;
    let (_, mut left) = here.signed_in("d4-day", &["auditor"]).await;
    let (_, mut ended) = here.signed_in("d5-late", &["auditor"]).await;
    let before = left.cookies.clone();
    let (soon, _) = here.token("d4-day", 1).await;
    let (revoked, id) = here.token("d4-day", 600).await;
    let (good, _) = here.token("d4-day", 600).await;
    let (of_nobody, _) = here.token("d5-late", 600).await;

    // Each of them lets somebody in, here and now.
    for token in [&soon, &revoked, &good, &of_nobody] {
        assert_eq!(program(&here, token).get("/api/v1/session").await.0, StatusCode::OK);
    }
    for browser in [&mut idle.clone(), &mut left, &mut ended] {
        assert_eq!(browser.get("/api/v1/session").await.0, StatusCode::OK);
    }
    assert_eq!(left.ask(Method::DELETE, "/api/v1/session", &Value::Null).await.0, StatusCode::NO_CONTENT);
    here.done(Method::POST, &format!("/api/v1/tokens/{id}/revoke"), json!({ "reason": REASON })).await;
    here.done(Method::POST, "/api/v1/officers/d5-late/revoke", json!({ "reason": REASON })).await;
    let fresh = with_cookie(&here, &here.signed_in("d6-early", &["auditor"]).await.1.cookies);
    tokio::time::sleep(Duration::from_secs(IDLE_S + 2)).await;

    let (stranger, made_up) = (Secret::fresh(Use::Session).text(), Secret::fresh(Use::Token).text());
    let name = before[0].0.clone();
    let mut refusals = BTreeSet::new();
    for (what, mut browser) in [
        ("nothing", here.browser()),
        ("a token of a partner's node", program(&partner, &good)),
        ("a token of a node of the same name", program(&namesake, &good)),
        ("a token that is over", program(&here, &soon)),
        ("a token that was revoked", program(&here, &revoked)),
        ("a token of an officer who was revoked", program(&here, &of_nobody)),
        ("a token that nobody made", program(&here, &made_up)),
        ("a cookie of a partner's node", with_cookie(&partner, &fresh.cookies)),
        ("a cookie of a node of the same name", with_cookie(&namesake, &fresh.cookies)),
        ("a cookie after signing out", with_cookie(&here, &before)),
        ("a cookie after idleness", idle),
        ("a cookie of an officer who was revoked", ended),
        ("a cookie that nobody made", with_cookie(&here, &[(name.clone(), stranger)])),
        ("a token as a cookie", with_cookie(&here, &[(name, good.clone())])),
        ("a cookie as a token", program(&here, &fresh.cookies[0].1)),
    ] {
        let response = browser.send(Method::GET, "/api/v1/session", &Value::Null).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{what}");
        refusals.insert(String::from_utf8(response.into_body()).unwrap());
    }
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert!(refusals.pop_first().unwrap().contains(r#""reason":"not-signed-in""#));
    assert_eq!(program(&here, &good).get("/api/v1/session").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_is_its_officers_for_its_question_at_its_node() {
    let nodes = three().await;
    let mut tokens = Vec::new();
    for node in &nodes {
        let mut own = Vec::new();
        for officer in ["d3-night", "d4-day"] {
            node.grant(officer, &["auditor", "administrator", "supervisor"]).await;
            own.push(node.token(officer, 600).await.0);
        }
        tokens.push(own);
    }
    let ask =
        async |node: usize, officer: usize, path: &str| program(&nodes[node], &tokens[node][officer]).get(path).await;
    let page = ask(0, 0, PAGE).await.1;
    let next = page["next"].as_str().expect("a second page").to_owned();
    let search = "/api/v1/search?limit=1";
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            // The index follows the ledger.
            if let Some(next) = ask(0, 0, search).await.1["next"].as_str() {
                break next.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let of_search = found.await.expect("a second page of what was found");

    // To whom it was given it serves, also by another token and after a restart, which `cursor.rs` shows.
    let after = |path: &str, cursor: &str| format!("{path}&after={cursor}");
    assert_eq!(ask(0, 0, &after(PAGE, &next)).await.0, StatusCode::OK);
    assert_eq!(ask(0, 0, &after(search, &of_search)).await.0, StatusCode::OK);

    let changed = next.replacen(|c: char| c.is_ascii_lowercase(), "0", 1);
    let mut refusals = BTreeSet::new();
    for (what, (status, problem)) in [
        ("another officer", ask(0, 1, &after(PAGE, &next)).await),
        ("the operator", nodes[0].socket(Method::GET, &after(PAGE, &next), &Value::Null).await),
        ("a partner's node", ask(1, 0, &after(PAGE, &next)).await),
        ("a node of the same name with another key", ask(2, 0, &after(PAGE, &next)).await),
        ("another view", ask(0, 0, &after("/api/v1/views/sign-ins?limit=1", &next)).await),
        ("another order", ask(0, 0, &after(&format!("{PAGE}&order=oldest"), &next)).await),
        ("a search", ask(0, 0, &after(search, &next)).await),
        ("a view by what was found", ask(0, 0, &after(PAGE, &of_search)).await),
        ("another search", ask(0, 0, &after(&format!("{search}&kind=officer"), &of_search)).await),
        ("another officer's search", ask(0, 1, &after(search, &of_search)).await),
        ("changed", ask(0, 0, &after(PAGE, &changed)).await),
        ("made up", ask(0, 0, &after(PAGE, "EXERCISE")).await),
        ("empty", ask(0, 0, &after(PAGE, "")).await),
    ] {
        assert_eq!((status, &problem["reason"]), (StatusCode::BAD_REQUEST, &json!("bad-cursor")), "{what}: {problem}");
        refusals.insert(problem.to_string());
    }
    assert_eq!(refusals.len(), 1, "{refusals:?}");
}
