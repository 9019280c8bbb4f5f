//! What is told of drafts, to whom, and what is checked before one is on record.

use super::requests::{question, row};
use super::*;

const AUTHOR: &str = "d3-night:duty-officer:RED";
const SECOND: &str = "s1-day:releaser:RED";
/// An officer who is cleared for what is shared widely.
const GREEN: &str = "g4-day:duty-officer:GREEN";

async fn draft(node: &Running, body: Value) -> String {
    let (status, made) = node.as_officer(AUTHOR, Method::POST, "/api/v1/drafts", body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

fn of_tlp(tlp: &str) -> Value {
    json!({ "to": ["ru-police"], "tlp": tlp, "body": { "title": "EXERCISE", "text": "EXERCISE" } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_officer_reads_a_draft_with_its_files_and_that_is_on_record() {
    let (vn, ru) = two().await;
    let content = b"<!doctype html><script>alert('EXERCISE')</script>".to_vec();
    let (_, upload) = vn.bytes(Method::POST, "/api/v1/attachments?name=b%C3%A1o.html", content.clone()).await;
    let upload: Value = serde_json::from_slice(&upload).unwrap();
    let mut envelope = of_tlp("RED");
    envelope["attachments"] = json!([upload["upload"]]);
    let id = draft(&vn, json!({ "envelope": envelope })).await;
    let path = format!("/api/v1/drafts/{id}");
    let knowledge = format!("/api/v1/records/{id}/knowledge");
    let readers = async || {
        let acts = vn.get(&knowledge).await.1["acts"].clone();
        let read = acts.as_array().unwrap().iter().filter(|act| act["how"] == "read" && act["refused"].is_null());
        read.map(|act| act["officer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(readers().await.is_empty());
    assert_eq!(vn.as_officer(SECOND, Method::GET, &path, Value::Null).await.0, StatusCode::OK);
    assert_eq!(readers().await, ["s1-day"]);

    let file = format!("{path}/attachments/0");
    let media_type = format!("application/json; caller={SECOND}");
    let response = request(&vn.socket(), Method::GET, &file, Some(&media_type), Body::empty()).await.unwrap();
    assert_eq!(response.status, StatusCode::OK);
    let header =
        |name: &str| response.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(header("content-type"), "application/octet-stream");
    assert_eq!(header("content-disposition"), "attachment; filename*=UTF-8''b%C3%A1o.html");
    assert_eq!((header("x-content-type-options"), header("cache-control")), ("nosniff".into(), "no-store".into()));
    assert_eq!(header("content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(response.bytes(ANSWER_BYTES_MAX).await.unwrap(), content);
    assert_eq!(readers().await, ["s1-day", "s1-day"]);

    // Who may not read the draft does not open its files, and learns nothing of them.
    for (officer, path, status) in [
        (GREEN, &file, StatusCode::NOT_FOUND),
        (GREEN, &path, StatusCode::NOT_FOUND),
        ("a1-day:administrator:RED", &file, StatusCode::FORBIDDEN),
        (SECOND, &format!("{path}/attachments/1"), StatusCode::NOT_FOUND),
        (SECOND, &format!("{path}/attachments/x"), StatusCode::BAD_REQUEST),
        (SECOND, &format!("/api/v1/drafts/{}/attachments/0", "ab".repeat(32)), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(vn.as_officer(officer, Method::GET, path, Value::Null).await.0, status, "{officer} {path}");
    }
    assert_eq!(readers().await.len(), 2);
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_tells_nothing_of_what_may_not_be_read() {
    let (vn, ru) = two().await;
    let secret = vn.post("/api/v1/records", &of_tlp("RED")).await.1["records"][0]["id"].as_str().unwrap().to_owned();
    let tell = async |target: &str| {
        let correction = json!({ "reason": "EXERCISE", "body": { "title": "EXERCISE" } });
        let body = json!({ "correction": correction, "target": target });
        vn.as_officer(GREEN, Method::POST, "/api/v1/drafts", body).await
    };
    let nothing = tell(&"ab".repeat(32)).await;
    assert_eq!(nothing.0, StatusCode::NOT_FOUND);
    assert_eq!(tell(&secret).await, nothing);
    let retracted = vn.post(&format!("/api/v1/records/{secret}/retract"), &json!({ "reason": "EXERCISE" })).await;
    assert_eq!(retracted.0, StatusCode::CREATED);
    assert_eq!(tell(&secret).await, nothing);

    // Nor by which draft, of narrower handling, one was replaced.
    let wide = draft(&vn, json!({ "envelope": of_tlp("GREEN") })).await;
    let narrow = draft(&vn, json!({ "envelope": of_tlp("RED"), "replaces": wide })).await;
    for (officer, told) in [(GREEN, json!([])), (SECOND, json!([narrow]))] {
        let shown = vn.as_officer(officer, Method::GET, &format!("/api/v1/drafts/{wide}"), Value::Null).await.1;
        assert_eq!(shown["progress"]["replaced_by"], told, "{officer}");
        let page = vn.as_officer(officer, Method::GET, "/api/v1/views/drafts", Value::Null).await.1;
        let mut rows = page["rows"].as_array().unwrap().iter();
        let row = rows.find(|row| row["record"] == wide).unwrap();
        assert_eq!(row["body"]["replaced_by"], told, "{officer}");
    }
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_when_a_draft_is_written() {
    let (vn, ru) = two().await;
    let with = |of: &Value, name: &str, value: Value| {
        let mut changed = of.clone();
        changed[name] = value;
        changed
    };
    let (report, mut asked) = (of_tlp("GREEN"), question("one"));
    asked.as_object_mut().unwrap().remove("key");
    let strangers = json!([{ "agency": "ru-polise", "officer": "d3" }]);
    let unknown = json!(["ab".repeat(32)]);
    for (what, name, value, reason) in [
        ("envelope", "eyes", strangers.clone(), "eyes-not-in-audience"),
        ("envelope", "purposes", json!([" "]), "malformed"),
        ("envelope", "to", json!(["vn-police"]), "empty-audience"),
        ("envelope", "about", unknown.clone(), "unknown-record"),
        ("request", "eyes", strangers, "eyes-not-in-audience"),
        ("request", "to", json!(["vn-police"]), "empty-audience"),
        ("request", "about", unknown.clone(), "unknown-record"),
    ] {
        let body = json!({ what: with(if what == "envelope" { &report } else { &asked }, name, value) });
        assert_eq!(vn.tell(AUTHOR, "/api/v1/drafts", body.clone()).await, refused(422, reason), "{body}");
    }
    assert_eq!(vn.get("/api/v1/views/drafts").await.1["rows"], json!([]));

    // What requests and steps are about is looked up as for reports, be they drafted or not.
    let about = |of: &Value| with(of, "about", unknown.clone());
    assert_eq!(vn.tell(AUTHOR, "/api/v1/requests", about(&asked)).await, refused(422, "unknown-record"));
    let request = vn.post("/api/v1/requests", &asked).await.1["records"][0]["id"].as_str().unwrap().to_owned();
    row(&ru, &request, |body| body["state"] == "received").await;
    let routed = json!({ "step": { "step": "routed", "to": "EXERCISE desk" } });
    let path = format!("/api/v1/requests/{request}/steps");
    assert_eq!(ru.tell(AUTHOR, &path, about(&routed)).await, refused(422, "unknown-record"));
    let drafted = json!({ "step": about(&routed), "target": request });
    assert_eq!(ru.tell(AUTHOR, "/api/v1/drafts", drafted).await, refused(422, "unknown-record"));
    assert_eq!(ru.tell(AUTHOR, &path, routed).await, done());
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_releases_a_step_may_read_its_request() {
    let (vn, ru) = two().await;
    let mut asked = question("one");
    asked["purposes"] = json!(["piracy"]);
    let request = vn.post("/api/v1/requests", &asked).await.1["records"][0]["id"].as_str().unwrap().to_owned();
    row(&ru, &request, |body| body["state"] == "received").await;
    let routed = json!({ "step": { "step": "routed", "to": "EXERCISE desk" } });
    let id = draft(&ru, json!({ "step": routed, "target": request })).await;
    let path = format!("/api/v1/drafts/{id}/release");
    assert_eq!(ru.tell("r1-day:releaser:RED:fraud", &path, Value::Null).await, refused(404, "not-found"));
    assert_eq!(ru.tell("r1-day:releaser:RED:piracy", &path, Value::Null).await, done());
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_is_corrected_by_two_after_a_recipient_was_removed() {
    let [vn, ru, id] = three().await;
    let body = json!({
        "report_type": "notice", "title": "EXERCISE notice", "entities": [{ "class": "person", "name": "EXERCISE" }],
    });
    let notice = json!({ "to": ["ru-police", "id-coastguard"], "tlp": "GREEN", "body": body });
    let notice = vn.post("/api/v1/records", &notice).await.1["records"][0]["id"].as_str().unwrap().to_owned();
    let correction = json!({ "reason": "EXERCISE", "body": { "title": "EXERCISE no notice" } });
    let correction = json!({ "correction": correction, "target": notice });
    let before = draft(&vn, correction.clone()).await;
    let mut report = of_tlp("GREEN");
    report["to"] = json!(["id-coastguard"]);
    let unreachable = draft(&vn, json!({ "envelope": report })).await;
    let (status, proposed) = vn.post("/api/v1/register/propose", &json!({ "remove": ["id-coastguard"] })).await;
    assert_eq!(status, StatusCode::CREATED, "{proposed}");
    let hash = proposed["hash"].clone();
    ru.until("/api/v1/register", |register| register["proposals"][0]["hash"] == hash).await;
    assert_eq!(ru.post("/api/v1/register/approve", &json!({ "hash": hash })).await.0, StatusCode::OK);
    vn.until("/api/v1/register", |register| register["version"] == 2).await;

    // Nobody alone releases what is for somebody who is no longer there, and by two it is refused for that.
    assert_eq!(vn.get(&format!("/api/v1/drafts/{unreachable}")).await.1["four_eyes"], json!(true));
    let path = format!("/api/v1/drafts/{unreachable}/release");
    assert_eq!(vn.tell(AUTHOR, &path, Value::Null).await, refused(403, "same-officer"));
    assert_eq!(vn.tell(SECOND, &path, Value::Null).await, refused(422, "unknown-recipient"));
    let after = draft(&vn, correction).await;
    for id in [before, after] {
        let shown = vn.get(&format!("/api/v1/drafts/{id}")).await.1;
        assert_eq!(shown["four_eyes"], json!(true), "{shown}");
        let path = |step: &str| format!("/api/v1/drafts/{id}/{step}");
        let (status, preview) = vn.as_officer(SECOND, Method::POST, &path("preview"), Value::Null).await;
        assert_eq!((status, &preview["four_eyes"]), (StatusCode::OK, &json!(true)), "{preview}");
        assert_eq!(vn.tell(AUTHOR, &path("submit"), Value::Null).await, done());
        let checks = shown["checks"].as_array().unwrap().iter();
        let answer = |check: &Value| json!({ "check": check["check"], "answer": check["check"] == "neutrality" });
        let word = json!({ "checks": checks.map(answer).collect::<Value>() });
        assert_eq!(vn.tell(SECOND, &path("approve"), word).await, done());
        assert_eq!(vn.tell(AUTHOR, &path("release"), Value::Null).await, refused(403, "same-officer"));
        let (status, became) = vn.as_officer(SECOND, Method::POST, &path("release"), Value::Null).await;
        assert_eq!(
            (status, &became["records"][0]["audience"]),
            (StatusCode::CREATED, &json!(["ru-police"])),
            "{became}"
        );
    }
    for node in [vn, ru, id] {
        node.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_to_delete_names_the_draft_that_it_leaves() {
    let (vn, ru) = two().await;
    let id = draft(&vn, json!({ "envelope": of_tlp("GREEN") })).await;
    let became = vn.as_officer(AUTHOR, Method::POST, &format!("/api/v1/drafts/{id}/release"), Value::Null).await.1;
    let record = became["records"][0]["id"].as_str().unwrap();
    vn.until(&format!("/api/v1/records/{record}/track"), |track| track["recipients"][0]["state"] == "accepted").await;
    let delete = async |record: &str| {
        let path = format!("/api/v1/records/{record}/delete");
        vn.as_officer("v1-day:supervisor:RED", Method::POST, &path, json!({ "reason": "EXERCISE" })).await
    };
    let (status, answer) = delete(record).await;
    assert_eq!((status, &answer["drafts"]), (StatusCode::CREATED, &json!([id])), "{answer}");
    let (status, answer) = delete(&id).await;
    assert_eq!((status, &answer["drafts"]), (StatusCode::CREATED, &json!([])), "{answer}");
    assert_eq!(vn.get(&format!("/api/v1/drafts/{id}")).await.0, StatusCode::NOT_FOUND);
    vn.end().await;
    ru.end().await;
}
