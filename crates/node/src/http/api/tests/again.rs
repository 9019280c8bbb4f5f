//! What comes again under its key: the same is told what was made then, and of anything else nothing leaves.

use super::requests::{question, row};
use super::*;

/// How many rows a node has of what it shared.
async fn shared_rows(node: &Running) -> usize {
    node.get("/api/v1/views/track?limit=500").await.1["rows"].as_array().unwrap().len()
}

async fn upload(node: &Running, content: &[u8]) -> Value {
    let path = "/api/v1/attachments?name=EXERCISE.bin";
    let (status, answer) = node.bytes(Method::POST, path, content.to_vec()).await;
    assert_eq!(status, StatusCode::CREATED);
    serde_json::from_slice::<Value>(&answer).unwrap()["upload"].clone()
}

fn with(of: &Value, changes: Value) -> Value {
    let mut changed = of.clone();
    for (name, value) in changes.as_object().unwrap() {
        changed[name] = value.clone();
    }
    changed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_comes_again_sends_nothing_and_confirms_nothing_new() {
    let [vn, ru, id] = three().await;
    let expires = crate::clock::now_s() + 86_400;
    let (one, other) = (upload(&vn, b"EXERCISE one").await, upload(&vn, b"EXERCISE two").await);
    let about = vn.post("/api/v1/records", &envelope("EXERCISE earlier")).await.1["records"][0]["id"].clone();
    let first = json!({ "key": "k", "expires": expires, "about": [about], "attachments": [one] });
    let first = with(&envelope("EXERCISE first"), first);
    let (status, made) = vn.post("/api/v1/records", &first).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let hidden = json!({ "key": "h", "hidden_audience": true, "to": ["ru-police", "id-coastguard"] });
    let hidden = with(&envelope("EXERCISE hidden"), hidden);
    let (status, apart) = vn.post("/api/v1/records", &hidden).await;
    assert_eq!((status, apart["records"].as_array().unwrap().len()), (StatusCode::CREATED, 2), "{apart}");
    let bare = with(&envelope("EXERCISE bare"), json!({ "key": "b" }));
    assert_eq!(vn.post("/api/v1/records", &bare).await.0, StatusCode::CREATED);
    let rows = shared_rows(&vn).await;

    // The same gets the same: its ids, and those who got it. A file is the same by its content, a time by its length.
    assert_eq!(vn.post("/api/v1/records", &first).await, (StatusCode::CREATED, made.clone()));
    assert_eq!(vn.post("/api/v1/records", &hidden).await, (StatusCode::CREATED, apart));
    let again = upload(&vn, b"EXERCISE one").await;
    let (status, told) = vn.post("/api/v1/records", &with(&first, json!({ "attachments": [again] }))).await;
    assert_eq!((status, told), (StatusCode::CREATED, made));

    let elsewhere = json!(["id-coastguard"]);
    for (what, taken) in [
        ("another text and other recipients, with a file", {
            let text = with(&envelope("EXERCISE other"), json!({ "key": "b", "to": elsewhere }));
            with(&text, json!({ "attachments": [other] }))
        }),
        ("other recipients", with(&first, json!({ "to": elsewhere }))),
        ("fewer recipients of a hidden audience", with(&hidden, json!({ "to": ["ru-police"] }))),
        ("one more recipient", with(&bare, json!({ "to": ["ru-police", "id-coastguard"] }))),
        (
            "hidden from each other",
            with(&bare, json!({ "to": ["ru-police", "id-coastguard"], "hidden_audience": true })),
        ),
        ("another file", with(&first, json!({ "attachments": [other] }))),
        ("no file", with(&first, json!({ "attachments": [] }))),
        ("one more file", with(&first, json!({ "attachments": [one, other] }))),
        ("about nothing", with(&first, json!({ "about": [] }))),
        ("another expiry", with(&first, json!({ "expires": expires + 3_600 }))),
        ("no expiry", with(&first, json!({ "expires": null }))),
        ("another matter", with(&first, json!({ "thread": "ab".repeat(16) }))),
    ] {
        let (status, problem) = vn.post("/api/v1/records", &taken).await;
        assert_eq!((status, &problem["reason"]), (StatusCode::CONFLICT, &json!("key-taken")), "{what}: {problem}");
        assert_eq!(shared_rows(&vn).await, rows, "{what}: nothing of it is on its way");
    }

    // In one go too.
    let lines = [json!({}), json!({ "to": elsewhere }), json!({})];
    let lines = lines.map(|line| with(&with(&envelope("EXERCISE"), json!({ "key": "together" })), line).to_string());
    let (_, told) = vn.bytes(Method::POST, "/api/v1/records/bulk", lines.join("\n") + "\n").await;
    let told: Vec<Value> = told.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!((told.len(), &told[1]["error"]["reason"]), (3, &json!("key-taken")), "{told:?}");
    assert!(told[0]["id"].is_string() && told[0]["id"] == told[2]["id"], "{told:?}");
    for node in [vn, ru, id] {
        node.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_steps_under_a_key_go_where_they_went() {
    let [vn, ru, id] = three().await;
    let officer = "d3-night:duty-officer:RED";
    let ask = async |body: Value| vn.as_officer(officer, Method::POST, "/api/v1/requests", body).await;
    let (status, asked) = ask(question("k")).await;
    assert_eq!(status, StatusCode::CREATED, "{asked}");
    let request = asked["records"][0]["id"].as_str().unwrap().to_owned();
    let knowledge = format!("/api/v1/records/{request}/knowledge");
    let released = vn.get(&knowledge).await.1["acts"].as_array().unwrap().len();
    assert_eq!(ask(question("k")).await.1["records"], asked["records"]);
    let (status, problem) = ask(with(&question("k"), json!({ "to": ["id-coastguard"] }))).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::CONFLICT, &json!("key-taken")), "{problem}");
    // And nothing more is said of who released it.
    assert_eq!(vn.get(&knowledge).await.1["acts"].as_array().unwrap().len(), released);

    row(&ru, &request, |body| body["state"] == "received").await;
    let cited = ru.post("/api/v1/records", &with(&envelope("EXERCISE cited"), json!({ "to": ["vn-police"] }))).await.1;
    let answered = json!({ "step": { "step": "answered", "text": "EXERCISE" }, "key": "s" });
    let answered = with(&answered, json!({ "about": [cited["records"][0]["id"]] }));
    let path = format!("/api/v1/requests/{request}/steps");
    let (status, taken) = ru.post(&path, &answered).await;
    assert_eq!(status, StatusCode::CREATED, "{taken}");
    assert_eq!(ru.post(&path, &answered).await, (StatusCode::CREATED, taken));
    let (status, problem) = ru.post(&path, &with(&answered, json!({ "about": [] }))).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::CONFLICT, &json!("key-taken")), "{problem}");
    for node in [vn, ru, id] {
        node.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_was_deleted_a_key_still_knows_to_whom_it_went() {
    let [vn, ru, id] = three().await;
    let handed = with(&envelope("EXERCISE"), json!({ "key": "k" }));
    let (_, made) = vn.post("/api/v1/records", &handed).await;
    let record = format!("/api/v1/records/{}", made["records"][0]["id"].as_str().unwrap());
    vn.until(&format!("{record}/track"), |track| track["recipients"][0]["state"] == "accepted").await;
    let (status, deleted) = vn.post(&format!("{record}/delete"), &json!({ "reason": "EXERCISE" })).await;
    assert_eq!(status, StatusCode::CREATED, "{deleted}");
    assert_eq!(vn.post("/api/v1/records", &handed).await, (StatusCode::CREATED, made));
    for other in [json!({ "to": ["id-coastguard"] }), json!({ "tlp": "AMBER" })] {
        let (status, problem) = vn.post("/api/v1/records", &with(&handed, other)).await;
        assert_eq!((status, &problem["reason"]), (StatusCode::CONFLICT, &json!("key-taken")), "{problem}");
    }
    for node in [vn, ru, id] {
        node.end().await;
    }
}
