//! What is not for an officer is told to that officer by no other way.

use super::requests::question;
use super::*;

/// An officer who is cleared for what is shared widely.
const GREEN: &str = "d4-day:duty-officer:GREEN";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_tells_nobody_of_earlier_ones_that_are_not_for_them() {
    let (vn, ru) = two().await;
    let with = |key: &str, tlp: &str| {
        let mut question = question(key);
        question["tlp"] = json!(tlp);
        question
    };
    let (status, secret) = vn.post("/api/v1/requests", &with("one", "RED")).await;
    assert_eq!(status, StatusCode::CREATED, "{secret}");
    let (_, open) = vn.post("/api/v1/requests", &with("two", "GREEN")).await;
    let [secret, open] = [secret, open].map(|asked| asked["records"][0]["id"].clone());
    let path = "/api/v1/requests";
    let (status, asked) = vn.as_officer(GREEN, Method::POST, path, with("three", "GREEN")).await;
    assert_eq!((status, &asked["duplicates"]), (StatusCode::CREATED, &json!([open])), "{asked}");
    let row = format!("/api/v1/views/requests?facet=on:{}", asked["records"][0]["id"].as_str().unwrap());
    let rows = vn.as_officer(GREEN, Method::GET, &row, Value::Null).await.1;
    assert_eq!(rows["rows"][0]["body"]["duplicates"], json!([open]), "{rows}");
    assert_eq!(vn.get(&row).await.1["rows"][0]["body"]["duplicates"], json!([secret, open]));

    // Nor does the desk as it was.
    let now = crate::clock::now_ms();
    let replay = format!("/api/v1/replay?view=requests&at={now}");
    let auditor = "a1-day:auditor:GREEN";
    let mut replayed = vn.as_officer(auditor, Method::GET, &replay, Value::Null).await;
    for _ in 0..100 {
        if replayed.0 == StatusCode::OK {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        replayed = vn.as_officer(auditor, Method::GET, &replay, Value::Null).await;
    }
    assert_eq!(replayed.1["rows"][0]["body"]["duplicates"], json!([open]), "{}", replayed.1);
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forwarding_and_permitting_tell_nothing_of_what_may_not_be_read() {
    let (vn, ru) = two().await;
    let mut secret = envelope("EXERCISE secret");
    secret["tlp"] = json!("RED");
    let (_, shared) = vn.post("/api/v1/records", &secret).await;
    let id = shared["records"][0]["id"].as_str().unwrap().to_owned();
    ru.until(&format!("/api/v1/records/{id}"), |shown| shown["state"] == "current").await;
    let nothing = "ab".repeat(32);
    for (node, what, body) in [
        (&ru, "forward", json!({ "to": ["vn-police"] })),
        (&ru, "forward", json!({ "to": ["nobody"] })),
        (&vn, "forward", json!({ "to": ["ru-police"] })),
        (&vn, "permit", json!({ "evidence": true })),
    ] {
        let ask = async |id: &str| {
            let path = format!("/api/v1/records/{id}/{what}");
            node.as_officer(GREEN, Method::POST, &path, body.clone()).await
        };
        let (found, missing) = (ask(&id).await, ask(&nothing).await);
        assert_eq!(found.0, StatusCode::NOT_FOUND, "{what}: {}", found.1);
        assert_eq!(found, missing, "{what}");
    }
    // Who may read it is told why not, and each refusal is on record.
    let cleared = "d3-night:duty-officer:RED";
    let path = format!("/api/v1/records/{id}/forward");
    let (_, problem) = ru.as_officer(cleared, Method::POST, &path, json!({ "to": ["vn-police"] })).await;
    assert_eq!(problem["reason"], "empty-audience");
    let acts = ru.get(&format!("/api/v1/records/{id}/knowledge")).await.1["acts"].clone();
    let refused: Vec<_> = acts.as_array().unwrap().iter().filter(|act| act["officer"] == "d4-day").collect();
    assert_eq!(refused.len(), 2, "{acts}");
    vn.end().await;
    ru.end().await;
}
