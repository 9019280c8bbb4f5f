//! Passing on, taking back to the third hand, holds, retention and subject files, between three real nodes.

use std::path::Path;

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::tests::{Running, three};

/// A text that must be nowhere once it is deleted.
const MARKER: &str = "EXERCISE-marker-7f3a";

async fn share(node: &Running, envelope: Value) -> String {
    let (status, shared) = node.post("/api/v1/records", &envelope).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    shared["records"][0]["id"].as_str().unwrap().to_owned()
}

async fn done(node: &Running, path: &str, body: Value) -> Value {
    let (status, answer) = node.post(path, &body).await;
    assert!(status.is_success(), "{path}: {answer}");
    answer
}

async fn refused(node: &Running, path: &str, body: Value, status: u16, reason: &str) {
    let (found, problem) = node.post(path, &body).await;
    assert_eq!((found.as_u16(), &problem["reason"]), (status, &json!(reason)), "{problem}");
}

async fn holds(node: &Running, record: &str) {
    node.until(&format!("/api/v1/records/{record}"), |shown| shown["state"] == "current").await;
}

async fn is_gone(node: &Running, record: &str) {
    node.until(&format!("/api/v1/records/{record}"), |shown| shown["state"] == "deleted").await;
}

/// Where a marker stands in the files of a node.
fn found_in(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes.windows(MARKER.len()).any(|part| part == MARKER.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_passed_on_comes_back_to_its_originator() {
    let [vn, ru, id] = three().await;
    let uploaded = vn.bytes(Method::POST, "/api/v1/attachments?name=EXERCISE.txt", MARKER).await.1;
    let upload = serde_json::from_slice::<Value>(&uploaded).unwrap()["upload"].clone();
    let record = share(
        &vn,
        json!({
            "to": ["ru-police"], "tlp": "AMBER", "codes": ["H2"], "attachments": [upload],
            "body": { "title": "EXERCISE passed on", "text": format!("{MARKER} call +84 24 1234 5678") },
        }),
    )
    .await;
    holds(&ru, &record).await;
    let forward = format!("/api/v1/records/{record}/forward");
    let to_id = json!({ "to": ["id-coastguard"], "note": "EXERCISE they know the vessel" });
    // The handling asks for the originator's permission; the permission names to whom.
    refused(&ru, &forward, to_id.clone(), 422, "originator-consent").await;
    refused(&vn, &forward, to_id.clone(), 422, "own-record").await;
    refused(&ru, &forward, json!({ "to": ["vn-police"] }), 422, "empty-audience").await;
    refused(&ru, &forward, json!({ "to": ["nobody"] }), 422, "unknown-recipient").await;
    let permit = format!("/api/v1/records/{record}/permit");
    refused(&ru, &permit, json!({ "evidence": true }), 404, "not-found").await;
    refused(&vn, &permit, json!({ "forward_to": ["nobody"] }), 422, "unknown-recipient").await;
    let permission = done(&vn, &permit, json!({ "forward_to": ["id-coastguard"], "evidence": false })).await;
    holds(&ru, permission["id"].as_str().unwrap()).await;
    // The attachment has to be there as a whole.
    let attachment = ru.get(&format!("/api/v1/records/{record}")).await.1["references"][0]["record"].clone();
    let content = format!("/api/v1/records/{}/content", attachment.as_str().unwrap());
    for _ in 0..200 {
        if ru.bytes(Method::GET, &content, Body::empty()).await.0 == StatusCode::OK {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut passed_on = ru.post(&forward, &to_id).await;
    for _ in 0..200 {
        // The last chunk is there before it is noted that all are.
        if passed_on.1["reason"] != "incomplete" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        passed_on = ru.post(&forward, &to_id).await;
    }
    assert_eq!(passed_on.0, StatusCode::CREATED, "{}", passed_on.1);
    let records = passed_on.1["records"].as_array().unwrap().clone();
    let [onward, file] = [0, 1].map(|n| records[n]["id"].as_str().unwrap().to_owned());
    refused(&ru, &forward, to_id, 422, "empty-audience").await;

    // The third hand reads the originator's words, and fetches the attachment from the second.
    holds(&id, &onward).await;
    let shown = id.get(&format!("/api/v1/records/{onward}")).await.1;
    assert_eq!((&shown["author"], &shown["body"]["original"]["author"]), (&json!("ru-police"), &json!("vn-police")));
    assert_eq!(shown["body"]["original"]["body"]["title"], "EXERCISE passed on");
    let path = format!("/api/v1/records/{file}/content");
    let mut content = id.bytes(Method::GET, &path, Body::empty()).await;
    for _ in 0..200 {
        if content.0 == StatusCode::OK {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        content = id.bytes(Method::GET, &path, Body::empty()).await;
    }
    assert_eq!((content.0, content.1.as_ref()), (StatusCode::OK, MARKER.as_bytes()));
    let subject = json!({ "type": "phone", "value": "+842412345678" });
    let held = done(&id, "/api/v1/subject-file", subject.clone()).await;
    let named: Vec<_> =
        held["records"].as_array().unwrap().iter().map(|r| [&r["id"], &r["author"], &r["through"]]).collect();
    assert_eq!(named, [[&json!(onward), &json!("vn-police"), &json!(["ru-police"])]]);

    // A hold at the third hand keeps it there, and nowhere else.
    let hold = done(&id, "/api/v1/holds", json!({ "records": [onward], "reason": "EXERCISE case" })).await;
    let hold = hold["id"].as_str().unwrap().to_owned();
    let delete = format!("/api/v1/records/{onward}/delete");
    refused(&id, &delete, json!({ "reason": "EXERCISE" }), 422, "legal-hold").await;
    let retraction =
        done(&vn, &format!("/api/v1/records/{record}/retract"), json!({ "reason": "EXERCISE over" })).await;
    let track = format!("/api/v1/records/{}/track", retraction["id"].as_str().unwrap());
    let answered = |of: &Value, agency: &str, action: &str| {
        let mut recipients = of["recipients"].as_array().unwrap().iter();
        recipients.any(|r| r["agency"] == agency && r["answer"]["action"] == action)
    };
    let told = vn.until(&track, |t| answered(t, "ru-police", "deleted") && answered(t, "id-coastguard", "kept")).await;
    let third = told["recipients"].as_array().unwrap().iter().find(|r| r["agency"] == "id-coastguard").unwrap();
    assert_eq!((&third["state"], &third["through"]), (&json!("through"), &json!("ru-police")));
    assert_eq!(third["answer"]["reason"], mufakat_exchange::ON_HOLD);
    is_gone(&ru, &record).await;
    let preview = id.get("/api/v1/retention/preview").await.1;
    assert_eq!((&preview["held"], &preview["due"][0]["record"]), (&json!(1), &json!(onward)), "{preview}");

    // When it is lifted, what waited is carried out, and the originator hears of it.
    refused(&id, &format!("/api/v1/holds/{hold}/lift"), json!({ "reason": "" }), 422, "body-not-of-kind").await;
    let lifted = done(&id, &format!("/api/v1/holds/{hold}/lift"), json!({ "reason": "EXERCISE closed" })).await;
    assert_eq!(lifted["done"]["deleted"], 1, "{lifted}");
    refused(&id, &format!("/api/v1/holds/{hold}/lift"), json!({ "reason": "EXERCISE" }), 422, "already-lifted").await;
    is_gone(&id, &onward).await;
    is_gone(&id, &file).await;
    vn.until(&track, |t| answered(t, "id-coastguard", "deleted")).await;
    let of_record = format!("/api/v1/records/{record}/track");
    let told = vn.until(&of_record, |t| t["recipients"].as_array().unwrap().len() == 2).await;
    assert!(told["recipients"].as_array().unwrap().iter().all(|r| r["deletion"]["why"] == "retracted"), "{told}");
    assert_eq!(done(&id, "/api/v1/subject-file", subject).await["records"], json!([]));
    // What the second hand passed on is deleted there as well, at the latest when it is looked for.
    is_gone(&ru, &onward).await;
    let dirs = [&ru, &id].map(|node| node.dir.path().to_owned());
    for node in [vn, ru, id] {
        // The folders stay until their searching is done.
        node.stop.send_replace(true);
        tokio::time::timeout(std::time::Duration::from_secs(30), node.task).await.unwrap().unwrap().unwrap();
        if dirs.contains(&node.dir.path().to_owned()) {
            assert_eq!(found_in(node.dir.path()), Vec::<String>::new());
        } else {
            assert!(!found_in(node.dir.path()).is_empty(), "the search finds what is there");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_past_its_date_goes() {
    let [vn, ru, id] = three().await;
    let now_s = crate::clock::now_s();
    let with = |title: &str, more: Value| {
        let mut envelope = json!({ "to": ["ru-police"], "tlp": "GREEN", "body": { "title": title } });
        envelope.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        envelope
    };
    let short = share(&vn, with("EXERCISE short", json!({ "expires": now_s + 2 }))).await;
    let kept = share(&vn, with("EXERCISE kept", json!({ "expires": now_s + 2 }))).await;
    let review = share(&vn, with("EXERCISE review", json!({ "review": now_s + 2 }))).await;
    for record in [&short, &kept, &review] {
        holds(&ru, record).await;
    }
    let place = async |body: Value| ru.post("/api/v1/holds", &body).await;
    assert_eq!(place(json!({ "reason": "EXERCISE" })).await.1["reason"], "malformed");
    let unknown = json!({ "records": ["ab".repeat(32)], "reason": "EXERCISE" });
    assert_eq!(place(unknown).await.1["reason"], "not-found");
    let past = json!({ "records": [kept], "reason": "EXERCISE", "until": 1 });
    assert_eq!(place(past).await.1["reason"], "until-is-past");
    done(&ru, "/api/v1/holds", json!({ "records": [kept], "reason": "EXERCISE case" })).await;
    let due = |preview: &Value| preview["due"].as_array().map_or(0, Vec::len) == 3;
    let preview = ru.until("/api/v1/retention/preview", due).await;
    assert_eq!([&preview["to_delete"], &preview["to_review"], &preview["held"]], [1, 1, 1], "{preview}");
    let run = done(&ru, "/api/v1/retention/run", json!({})).await;
    assert_eq!((&run["deleted"], &run["kept"][0]["reason"]), (&json!(1), &json!("legal-hold")), "{run}");
    is_gone(&ru, &short).await;
    // The originator has the receipt.
    let of_short = format!("/api/v1/records/{short}/track");
    vn.until(&of_short, |track| track["recipients"][0]["deletion"]["why"] == "expired").await;
    // Somebody looked at the other, and it is not needed.
    let delete = format!("/api/v1/records/{review}/delete");
    refused(&ru, &delete, json!({ "reason": "EXERCISE", "why": "expired" }), 400, "malformed").await;
    refused(&ru, &delete, json!({ "reason": " " }), 422, "body-not-of-kind").await;
    done(&ru, &delete, json!({ "reason": "EXERCISE not needed", "why": "review" })).await;
    is_gone(&ru, &review).await;
    refused(&ru, &delete, json!({ "reason": "EXERCISE" }), 404, "not-found").await;
    assert_eq!(ru.get("/api/v1/retention/overdue").await.1, json!({ "overdue": [] }));
    for node in [vn, ru, id] {
        node.end().await;
    }
}
