//! What a node holds on a person, and how it goes: requests, answers and drafts; uses of what was passed on; holds that end.

use super::*;

const NUMBER: &str = "+84 24 3825 0000";

fn entities() -> Value {
    json!([{ "class": "phone", "identifiers": [{ "type": "phone", "value": NUMBER }] }])
}

/// The kinds that a file on the number has at a node, with how it was found.
async fn file(node: &Running) -> Vec<(String, String)> {
    let asked = json!({ "type": "phone", "value": NUMBER });
    let (status, file) = node.post("/api/v1/subject-file", &asked).await;
    assert_eq!(status, StatusCode::OK, "{file}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let records = file["records"].as_array().unwrap();
    assert!(records.iter().all(|record| record["handling"]["tlp"] == "AMBER"), "{file}");
    records.iter().map(|record| (text(&record["kind"]), text(&record["found"]))).collect()
}

async fn delete(node: &Running, record: &str) -> (StatusCode, Value) {
    node.post(&format!("/api/v1/records/{record}/delete"), &json!({ "reason": "EXERCISE" })).await
}

/// It is deleted, once its receipt has come.
async fn goes(node: &Running, record: &str) {
    let (mut status, mut answer) = delete(node, record).await;
    for _ in 0..200 {
        if answer["reason"] != "on-its-way" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        (status, answer) = delete(node, record).await;
    }
    assert!(status.is_success(), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_answers_and_drafts_are_in_the_file_and_can_go() {
    let (vn, ru) = two().await;
    let mut question = requests::question("one");
    question["body"]["text"] = json!("EXERCISE");
    let (_, asked) = vn.post("/api/v1/requests", &question).await;
    let request = asked["records"][0]["id"].as_str().unwrap().to_owned();
    requests::row(&ru, &request, |body| body["state"] == "received").await;
    let answer = json!({ "step": "answered", "text": "EXERCISE", "entities": entities() });
    let (status, answered) = requests::step(&ru, &request, answer).await;
    assert_eq!(status, StatusCode::CREATED, "{answered}");
    let answer = answered["id"].as_str().unwrap().to_owned();
    requests::row(&vn, &request, |body| body["state"] == "answered").await;
    let draft = json!({
        "to": ["ru-police"], "tlp": "AMBER",
        "body": { "title": "EXERCISE draft", "text": "EXERCISE call +84-24-3825.0000" },
    });
    let (status, draft) = vn.post("/api/v1/drafts", &json!({ "envelope": draft })).await;
    assert_eq!(status, StatusCode::CREATED, "{draft}");
    let draft = draft["id"].as_str().unwrap().to_owned();
    let of = |kind: &str, found: &str| (kind.to_owned(), found.to_owned());
    let [asked, said, drafted] = [of("request", "identifier"), of("request-step", "identifier"), of("draft", "text")];
    assert_eq!(file(&vn).await, [asked.clone(), said.clone(), drafted]);
    assert_eq!(file(&ru).await, [asked, said.clone()]);

    assert_eq!(vn.post(&format!("/api/v1/drafts/{draft}/discard"), &json!({})).await.0, StatusCode::CREATED);
    goes(&vn, &draft).await;
    assert_eq!(vn.get(&format!("/api/v1/drafts/{draft}")).await.0, StatusCode::NOT_FOUND);
    // The state of a request rests on its steps: they go after it.
    for node in [&ru, &vn] {
        assert_eq!(delete(node, &answer).await.1["reason"], "not-deletable");
        goes(node, &request).await;
        assert_eq!(file(node).await, std::slice::from_ref(&said));
        goes(node, &answer).await;
        assert_eq!(file(node).await, []);
    }
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_use_of_what_was_passed_on_is_told_to_its_originator() {
    let [vn, ru, id] = three_of(|config| config.desk.use_summary_s = 1).await;
    let report = json!({ "to": ["ru-police"], "tlp": "GREEN", "body": { "title": "EXERCISE" } });
    let (_, shared) = vn.post("/api/v1/records", &report).await;
    let record = shared["records"][0]["id"].as_str().unwrap().to_owned();
    ru.until(&format!("/api/v1/records/{record}"), |shown| shown["state"] == "current").await;
    let forward = format!("/api/v1/records/{record}/forward");
    let (status, passed_on) = ru.post(&forward, &json!({ "to": ["id-coastguard"] })).await;
    assert_eq!(status, StatusCode::CREATED, "{passed_on}");
    let onward = passed_on["records"][0]["id"].as_str().unwrap().to_owned();
    id.until(&format!("/api/v1/records/{onward}"), |shown| shown["state"] == "current").await;
    let of_record = format!("/api/v1/views/used-by?facet=on:{record}");
    let by_third = |page: &Value| {
        let mut rows = page["rows"].as_array().unwrap().iter();
        rows.any(|row| row["body"]["agency"] == "id-coastguard")
    };
    vn.until(&of_record, by_third).await;
    let covered = vn.get("/api/v1/views/used-by?facet=row:from&facet=agency:id-coastguard").await.1;
    assert_eq!(covered["rows"][0]["body"]["gaps"], 0, "{covered}");
    // Whoever passed it on hears nothing of it.
    let told = id.get("/api/v1/views/used-by?facet=row:to").await.1;
    let told: Vec<_> = told["rows"].as_array().unwrap().iter().map(|row| row["body"]["agency"].clone()).collect();
    assert_eq!(told, [json!("vn-police")]);

    // A hold with an end keeps the copy that was passed on and what it carries, and lets go of both by itself.
    let until = crate::clock::now_s() + 8;
    let hold = json!({ "records": [onward], "reason": "EXERCISE case", "until": until });
    assert_eq!(ru.post("/api/v1/holds", &hold).await.0, StatusCode::CREATED);
    vn.post(&format!("/api/v1/records/{record}/retract"), &json!({ "reason": "EXERCISE" })).await;
    let gone = |shown: &Value| shown["state"] == "deleted";
    id.until(&format!("/api/v1/records/{onward}"), gone).await;
    let shown = ru.get(&format!("/api/v1/records/{record}")).await.1;
    assert!(!gone(&shown) || crate::clock::now_s() >= until, "{shown}");
    for held in [&record, &onward] {
        ru.until(&format!("/api/v1/records/{held}"), gone).await;
    }
    assert!(crate::clock::now_s() >= until);
    for node in [vn, ru, id] {
        node.end().await;
    }
}
