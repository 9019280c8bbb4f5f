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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeping_and_deleting_reach_no_further_than_reading() {
    let (vn, ru) = two().await;
    let supervisor = "s1-day:supervisor:GREEN";
    let now_s = crate::clock::now_s();
    let share = async |tlp: &str, more: Value| {
        let mut envelope = envelope("EXERCISE");
        envelope["tlp"] = json!(tlp);
        envelope.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, shared) = vn.post("/api/v1/records", &envelope).await;
        assert_eq!(status, StatusCode::CREATED, "{shared}");
        let id = shared["records"][0]["id"].as_str().unwrap().to_owned();
        ru.until(&format!("/api/v1/records/{id}"), |shown| shown["state"] == "current").await;
        id
    };
    let review = json!({ "review": now_s + 1 });
    let (secret, open) = (share("RED", review.clone()).await, share("GREEN", review).await);
    let expires = json!({ "expires": now_s + 6 });
    let (past, old) = (share("RED", expires.clone()).await, share("GREEN", expires).await);
    // A record that may not be read is answered as one that is not there.
    let nothing = "ab".repeat(32);
    let reason = json!({ "reason": "EXERCISE" });
    for (path, body) in [("records/ID/delete", reason), ("holds", json!({ "records": ["ID"], "reason": "EXERCISE" }))] {
        let ask = async |id: &str| {
            let body = serde_json::from_str(&body.to_string().replace("ID", id)).unwrap();
            ru.as_officer(supervisor, Method::POST, &format!("/api/v1/{}", path.replace("ID", id)), body).await
        };
        let (found, missing) = (ask(&secret).await, ask(&nothing).await);
        assert_eq!(found.0, StatusCode::NOT_FOUND, "{path}: {}", found.1);
        assert_eq!(found, missing, "{path}");
    }
    assert_eq!(ru.get(&format!("/api/v1/records/{secret}")).await.1["state"], "current");

    // What is due is listed and counted as far as it may be listed; a run deletes the rest and says nothing of it.
    let preview = "/api/v1/retention/preview";
    ru.until(preview, |due| due["to_delete"] == 2 && due["to_review"] == 2).await;
    let due = ru.as_officer(supervisor, Method::GET, preview, Value::Null).await.1;
    assert_eq!((&due["to_delete"], &due["to_review"], &due["held"]), (&json!(1), &json!(1), &json!(0)), "{due}");
    let listed: Vec<_> = due["due"].as_array().unwrap().iter().map(|due| due["record"].clone()).collect();
    assert!(listed.len() == 2 && listed.contains(&json!(old)) && listed.contains(&json!(open)), "{due}");
    let run = ru.as_officer(supervisor, Method::POST, "/api/v1/retention/run", json!({})).await.1;
    assert_eq!((&run["deleted"], &run["kept"]), (&json!(1), &json!([])), "{run}");
    ru.until(&format!("/api/v1/records/{past}"), |shown| shown["state"] == "deleted").await;
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_bulk_is_shared_once_its_sender_is_shut_out() {
    let (vn, ru) = two().await;
    let lines = format!("{}\n", envelope("EXERCISE bulk")).repeat(300);
    let send = async |officer: &str| {
        let media_type = format!("application/x-ndjson; caller={officer}");
        let answer = vn.ask(Method::POST, "/api/v1/records/bulk", &media_type, lines.clone()).await.unwrap();
        answer.bytes(ANSWER_BYTES_MAX).await.map_or(0, |answer| answer.split(|byte| *byte == b'\n').count() - 1)
    };
    // What the nodes say to each other by themselves has rows, too, but only a few.
    let rows = async || vn.get("/api/v1/views/track?limit=500").await.1["rows"].as_array().unwrap().len();
    assert_eq!(send("d3-night:duty-officer:RED:gone").await, 0);
    assert!(rows().await < 200);
    assert_eq!(send("d3-night:duty-officer:RED").await, 300);
    assert!(rows().await >= 300);
    vn.end().await;
    ru.end().await;
}
