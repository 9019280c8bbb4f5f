//! The policy as officers meet it, signed in at the desk.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_policy_takes_two_officers() {
    let stage = Stage::start("vn-police").await;
    let (_, mut one) = stage.signed_in("one", &["administrator"]).await;
    let (_, mut two) = stage.signed_in("two", &["supervisor"]).await;
    let (_, mut analyst) = stage.signed_in("three", &["analyst"]).await;
    let text = r#"@id("no-views") @why("EXERCISE") forbid (principal in Role::"analyst", action == Action::"open", resource);"#;
    let set = json!({ "name": "nights", "files": [{ "name": "a.cedar", "text": text }] });
    let refused = |(status, problem): (StatusCode, Value)| (status.as_u16(), problem["reason"].clone());
    assert_eq!(refused(analyst.post("/api/v1/policy/sets", &set).await), (403, json!("nothing-permits")));
    let (status, proposed) = one.post("/api/v1/policy/sets", &set).await;
    assert_eq!(status, StatusCode::CREATED, "{proposed}");
    let decision = format!("/api/v1/policy/sets/{}/decision", proposed["id"].as_str().unwrap());
    let approve = json!({ "decision": "approve" });
    assert_eq!(refused(one.post(&decision, &approve).await), (403, json!("same-officer")));
    assert_eq!(refused(analyst.post(&decision, &approve).await), (403, json!("nothing-permits")));
    assert_eq!(analyst.get("/api/v1/views/inbox").await.0, StatusCode::OK);
    let (status, approved) = two.post(&decision, &approve).await;
    assert_eq!(status, StatusCode::CREATED, "{approved}");
    assert_eq!(analyst.get("/api/v1/views/inbox").await.0, StatusCode::NOT_FOUND);
    assert_eq!(two.get("/api/v1/views/inbox").await.0, StatusCode::OK);

    // What was proposed at the socket no officer approves.
    let ending = json!({ "name": "nights", "files": [] });
    let proposed = stage.done(Method::POST, "/api/v1/policy/sets", ending).await;
    let decision = format!("/api/v1/policy/sets/{}/decision", proposed["id"].as_str().unwrap());
    assert_eq!(refused(two.post(&decision, &approve).await), (403, json!("same-officer")));
    stage.done(Method::POST, &decision, approve).await;
    assert_eq!(analyst.get("/api/v1/views/inbox").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_for_an_officer_is_answered_as_if_it_were_not_there() {
    let stage = Stage::start("vn-police").await;
    let (_, mut administrator) = stage.signed_in("one", &["administrator"]).await;
    let (_, mut analyst) = stage.signed_in("two", &["analyst"]).await;
    let (_, officers) = administrator.get("/api/v1/views/officers").await;
    let grant = officers["rows"][0]["record"].as_str().unwrap().to_owned();
    assert_eq!(administrator.get(&format!("/api/v1/records/{grant}")).await.0, StatusCode::OK);
    let unknown = "ab".repeat(32);
    for path in ["", "/raw", "/content", "/evidence", "/proof", "/track"] {
        let hidden = analyst.get(&format!("/api/v1/records/{grant}{path}")).await;
        assert_eq!(hidden.0, StatusCode::NOT_FOUND, "{path}: {}", hidden.1);
        assert_eq!(hidden, analyst.get(&format!("/api/v1/records/{unknown}{path}")).await, "{path}");
    }
    let mut explained = Vec::new();
    for record in [&grant, &unknown] {
        let asked = json!({ "record": record, "action": "read", "as": ["analyst"] });
        explained.push(analyst.post("/api/v1/policy/explain", &asked).await);
    }
    assert_eq!(explained[0].0, StatusCode::NOT_FOUND);
    assert_eq!(explained[0], explained[1]);
    let no_view = analyst.get("/api/v1/views/no-such-view").await;
    for view in ["officers", "sign-ins", "uses"] {
        assert_eq!(analyst.get(&format!("/api/v1/views/{view}")).await, no_view, "{view}");
    }
    let (status, problem) = analyst.post("/api/v1/keys/rotate", &json!({ "what": "all" })).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::FORBIDDEN, &json!("nothing-permits")));
}
