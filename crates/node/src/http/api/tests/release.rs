//! Drafts, four eyes, previews, the use log and the desk as it was.

use super::*;
use crate::clock;

/// Who wrote it, who approves it, and an auditor.
const AUTHOR: &str = "d3-night:duty-officer+supervisor:RED";
const SECOND: &str = "s1-day:releaser:RED";
const AUDITOR: &str = "a1-day:auditor:RED";

impl Running {
    async fn draft(&self, officer: &str, envelope: &Value, replaces: Option<&str>) -> String {
        let body = json!({ "envelope": envelope, "replaces": replaces });
        let (status, made) = self.as_officer(officer, Method::POST, "/api/v1/drafts", body).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    async fn state(&self, draft: &str) -> String {
        let shown = self.get(&format!("/api/v1/drafts/{draft}")).await.1;
        shown["progress"]["state"].as_str().unwrap_or_default().to_owned()
    }
}

fn red(title: &str) -> Value {
    json!({ "to": ["ru-police"], "tlp": "RED", "body": { "title": title, "text": "EXERCISE marker" } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_narrow_leaves_with_four_eyes() {
    let (vn, ru) = two().await;
    // Directly it does not go, by an officer; the agency itself at its socket may, and the ledger says so.
    let (status, problem) = vn.as_officer(AUTHOR, Method::POST, "/api/v1/records", red("EXERCISE direct")).await;
    assert_eq!((status.as_u16(), &problem["reason"]), (422, &json!("four-eyes")));
    let (status, shared) = vn.post("/api/v1/records", &red("EXERCISE by the agency")).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    let path = format!("/api/v1/records/{}/knowledge", shared["records"][0]["id"].as_str().unwrap());
    let acts = vn.get(&path).await.1["acts"].clone();
    assert_eq!((&acts[0]["how"], &acts[0]["note"]), (&json!("release"), &json!("four-eyes: at the socket")), "{acts}");
    vn.until("/api/v1/status", |status| status["partners"][0]["backlog"] == 0).await;

    // A draft stays home: it is queued to nobody, and nobody who is not cleared for it reads it.
    let draft = vn.draft(AUTHOR, &red("EXERCISE secret draft"), None).await;
    let path = format!("/api/v1/drafts/{draft}");
    let record = vn.get(&format!("/api/v1/records/{draft}")).await.1;
    assert_eq!((&record["audience"], &record["kind"]), (&json!(["vn-police"]), &json!("draft")));
    assert_eq!(vn.get("/api/v1/status").await.1["partners"][0]["backlog"], 0);
    assert_eq!(vn.get(&format!("/api/v1/records/{draft}/track")).await.1["recipients"], json!([]));
    let uncleared = "d4-day:duty-officer:AMBER";
    assert_eq!(vn.as_officer(uncleared, Method::GET, &path, Value::Null).await.0, StatusCode::NOT_FOUND);
    let shown = vn.as_officer(SECOND, Method::GET, &path, Value::Null).await.1;
    assert_eq!((&shown["four_eyes"], &shown["by"], &shown["checks"]), (&json!(true), &json!("d3-night"), &json!([])));

    // Each step has its officer and its place.
    let step = |name: &str| format!("{path}/{name}");
    let word = || json!({ "words": "EXERCISE" });
    assert_eq!(vn.tell(SECOND, &step("release"), Value::Null).await, refused(422, "four-eyes"));
    assert_eq!(vn.tell(SECOND, &step("approve"), word()).await, refused(409, "wrong-state"));
    assert_eq!(vn.tell("d4-day:duty-officer:RED", &step("submit"), Value::Null).await, refused(403, "not-the-author"));
    assert_eq!(vn.tell(AUTHOR, &step("submit"), Value::Null).await, done());
    assert_eq!(vn.tell(AUTHOR, &step("submit"), Value::Null).await, refused(409, "wrong-state"));
    assert_eq!(vn.tell(AUTHOR, &step("approve"), word()).await, refused(403, "same-officer"));
    assert_eq!(vn.tell("c1:secretariat:RED", &step("approve"), word()).await.0, 403);
    assert_eq!(vn.tell(SECOND, &step("approve"), json!({ "words": "" })).await.0, 422);
    assert_eq!(vn.tell(SECOND, &step("approve"), word()).await, done());
    assert_eq!(vn.tell(AUTHOR, &step("release"), Value::Null).await, refused(403, "same-officer"));
    let (status, became) = vn.as_officer(SECOND, Method::POST, &step("release"), Value::Null).await;
    assert_eq!(status, StatusCode::CREATED, "{became}");
    assert_eq!(vn.tell(SECOND, &step("release"), Value::Null).await, refused(409, "wrong-state"));
    assert_eq!(vn.tell(AUTHOR, &step("discard"), Value::Null).await, refused(409, "wrong-state"));

    // What it became is at the partner, and the ledger says by whom it was released.
    let id = became["records"][0]["id"].as_str().unwrap();
    ru.until("/api/v1/views/inbox?facet=kind:report", |page| page["rows"][0]["record"] == id).await;
    let row = vn.get(&path).await.1["progress"].clone();
    assert_eq!((&row["state"], &row["records"]), (&json!("released"), &json!([id])));
    let knowledge =
        vn.as_officer(AUDITOR, Method::GET, &format!("/api/v1/records/{id}/knowledge"), Value::Null).await.1;
    let act = &knowledge["acts"][0];
    assert_eq!(
        (&act["officer"], &act["role"], &act["note"]),
        (&json!("s1-day"), &json!("releaser"), &json!("four-eyes: approved"))
    );
    let leaf = vn.as_officer(AUDITOR, Method::GET, &format!("/api/v1/acts/{}", act["leaf"]), Value::Null).await.1;
    assert_eq!((&leaf["what"], &leaf["records"]), (&json!("decision"), &json!([id])));
    assert_eq!(knowledge["released"][0]["to"], "ru-police");
    // No draft, step or approval ever came to the partner.
    let inbox = ru.get("/api/v1/views/inbox?limit=500").await.1;
    assert!(inbox["rows"].as_array().unwrap().iter().all(|row| row["body"]["kind"] == "report"), "{inbox}");
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drafts_are_edited_rejected_discarded_and_previewed() {
    let (vn, ru) = two().await;
    // A notice goes only with every question answered, each in the right way.
    let notice = json!({ "to": ["ru-police"], "tlp": "GREEN", "body": {
        "report_type": "notice", "title": "EXERCISE notice", "entities": [{ "class": "person", "name": "EXERCISE" }] } });
    let id = vn.draft(AUTHOR, &notice, None).await;
    let path = |id: &str, step: &str| format!("/api/v1/drafts/{id}/{step}");
    let asked = vn.get(&format!("/api/v1/drafts/{id}")).await.1["checks"].clone();
    let names: Vec<_> = asked.as_array().unwrap().iter().map(|one| one["check"].as_str().unwrap()).collect();
    assert_eq!(names, ["neutrality", "torture", "death-penalty", "refugee-status"]);
    assert_eq!(vn.tell(AUTHOR, &path(&id, "submit"), Value::Null).await, done());
    let answers = |neutrality: bool, others: bool| {
        let answer =
            |name: &&str| json!({ "check": name, "answer": if *name == "neutrality" { neutrality } else { others } });
        json!({ "checks": names.iter().map(answer).collect::<Vec<_>>() })
    };
    assert_eq!(vn.tell(SECOND, &path(&id, "approve"), json!({})).await, refused(422, "check-missing"));
    assert_eq!(vn.tell(SECOND, &path(&id, "approve"), answers(true, true)).await, refused(422, "check-failed"));
    assert_eq!(vn.tell(SECOND, &path(&id, "approve"), answers(true, false)).await, done());
    let row = vn.get(&format!("/api/v1/drafts/{id}")).await.1["progress"].clone();
    let approval = row["decisions"][0]["approval"].as_str().unwrap();
    let approval = vn.get(&format!("/api/v1/records/{approval}")).await.1["body"].clone();
    assert_eq!((approval["checks"].as_array().unwrap().len(), &approval["checks"][0]["answer"]), (4, &json!(true)));

    // What was made from it takes its place; an approval is of one text.
    let edited = vn.draft(AUTHOR, &notice, Some(&id)).await;
    assert_eq!(vn.tell(SECOND, &path(&id, "release"), Value::Null).await, refused(409, "wrong-state"));
    assert_eq!(vn.tell(SECOND, &path(&edited, "release"), Value::Null).await, refused(422, "four-eyes"));
    assert_eq!(vn.tell(AUTHOR, &path(&edited, "submit"), Value::Null).await, done());
    assert_eq!(vn.tell(SECOND, &path(&edited, "reject"), json!({ "words": "EXERCISE not yet" })).await, done());
    assert_eq!(vn.state(&edited).await, "rejected");
    assert_eq!(
        vn.tell("d4-day:duty-officer:RED", &path(&edited, "discard"), Value::Null).await,
        refused(403, "not-the-author")
    );
    assert_eq!(vn.tell(AUTHOR, &path(&edited, "discard"), Value::Null).await, done());
    // Whoever did not write it puts it out of use only with a right to approve, and nobody one that he may not read.
    let other = vn.draft(AUTHOR, &red("EXERCISE of another"), None).await;
    let instead = json!({ "envelope": notice, "replaces": other });
    let tell = async |officer: &str| vn.tell(officer, "/api/v1/drafts", instead.clone()).await;
    assert_eq!(tell("n7-night:analyst:RED").await, refused(403, "not-the-author"));
    assert_eq!(tell("n7-night:analyst:AMBER").await, refused(404, "not-found"));
    assert_eq!(vn.get(&format!("/api/v1/drafts/{other}")).await.1["progress"]["replaced_by"], Value::Null);
    assert_eq!(tell(SECOND).await, done());
    assert_eq!(vn.tell(SECOND, &path(&other, "discard"), Value::Null).await, done());
    let replaces = json!({ "envelope": notice, "replaces": edited });
    assert_eq!(vn.tell(AUTHOR, "/api/v1/drafts", replaces).await, refused(409, "wrong-state"));

    // Nobody need look twice at what is wide; and its author may release it.
    let wide = vn.draft(AUTHOR, &envelope("EXERCISE wide"), None).await;
    assert_eq!(vn.tell(AUTHOR, &path(&wide, "release"), Value::Null).await, done());
    let narrow = vn.draft(AUTHOR, &red("EXERCISE other"), None).await;
    assert_eq!(vn.tell(AUTHOR, &path(&narrow, "release"), Value::Null).await, refused(403, "same-officer"));

    // Bad drafts are refused by name, and leave nothing.
    let mut bad = red("EXERCISE");
    bad["to"] = json!(["nobody"]);
    assert_eq!(vn.tell(AUTHOR, "/api/v1/drafts", json!({ "envelope": bad })).await, refused(422, "unknown-recipient"));
    let empty = json!({ "envelope": { "to": ["ru-police"], "tlp": "RED", "body": { "title": "" } } });
    assert_eq!(vn.tell(AUTHOR, "/api/v1/drafts", empty).await.0, 422);
    assert_eq!(vn.get(&format!("/api/v1/drafts/{}", "ab".repeat(32))).await.0, StatusCode::NOT_FOUND);
    assert_eq!(vn.get("/api/v1/views/drafts").await.1["rows"].as_array().unwrap().len(), 6);

    // Before it goes anybody sees who would read it.
    let (status, preview) = vn.as_officer(AUTHOR, Method::POST, "/api/v1/preview", red("EXERCISE")).await;
    assert_eq!(status, StatusCode::OK, "{preview}");
    assert_eq!((&preview["release"]["allow"], &preview["four_eyes"]), (&json!(true), &json!(true)), "{preview}");
    let agency = &preview["agencies"][0];
    assert_eq!(
        (&agency["agency"], &agency["reads"], &agency["through"]),
        (&json!("ru-police"), &json!(true), &json!(["ru-police"]))
    );
    let reads = |role: &str| {
        let roles = preview["roles"].as_array().unwrap();
        roles.iter().find(|one| one["role"] == role).unwrap()["reads"] == true
    };
    assert!(reads("analyst") && !reads("secretariat"), "{preview}");
    let by_party = json!({ "to": ["ru"], "tlp": "RED", "body": { "title": "EXERCISE" } });
    let preview = vn.as_officer(AUTHOR, Method::POST, "/api/v1/preview", by_party).await.1;
    assert_eq!(preview["release"]["rule"], "tlp-named", "{preview}");
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn originators_learn_how_their_records_are_used_and_auditors_see_what_was() {
    let (vn, ru) = two_of(|config| config.desk.use_summary_s = 1).await;
    let (_, shared) = vn.post("/api/v1/records", &envelope("EXERCISE used")).await;
    let id = shared["records"][0]["id"].as_str().unwrap().to_owned();
    let record = format!("/api/v1/records/{id}");
    ru.until("/api/v1/views/inbox?facet=kind:report", |page| page["rows"][0]["record"] == id).await;
    for _ in 0..2 {
        let read = ru.as_officer("n7-night:analyst:GREEN", Method::GET, &record, Value::Null).await;
        assert_eq!(read.0, StatusCode::OK);
    }
    assert_eq!(ru.get(&format!("{record}/raw")).await.0, StatusCode::OK);
    // The originator is told of role and number, and never of the officer; what is missing would show.
    let path = format!("/api/v1/views/used-by?facet=on:{id}");
    let page = vn.until(&path, |page| page["rows"][0]["body"]["count"] == 3).await;
    let uses = &page["rows"][0]["body"]["uses"];
    let ways: Vec<_> = uses
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["how"].clone(), one["role"].clone(), one["count"].clone()))
        .collect();
    assert!(
        ways.contains(&(json!("read"), json!("analyst"), json!(2)))
            && ways.contains(&(json!("export"), Value::Null, json!(1))),
        "{page}"
    );
    let told = vn.get("/api/v1/views/inbox").await.1.to_string() + &page.to_string();
    assert!(!told.contains("n7-night"));
    let covered = vn.get("/api/v1/views/used-by?facet=row:from").await.1["rows"][0]["body"].clone();
    assert_eq!((&covered["gaps"], &covered["from"]), (&json!(0), &json!(0)), "{covered}");
    let sent = ru.get("/api/v1/views/used-by?facet=row:to").await.1["rows"][0]["body"].clone();
    assert_eq!((&sent["until"], &sent["summaries"]), (&covered["until"], &covered["summaries"]));
    // At the partner the auditor sees who it was; at home, what the partner says.
    let knowledge = ru.as_officer(AUDITOR, Method::GET, &format!("{record}/knowledge?limit=2"), Value::Null).await.1;
    assert_eq!((&knowledge["acts"][0]["officer"], &knowledge["author"]), (&json!("n7-night"), &json!("vn-police")));
    let next = format!("{record}/knowledge?after={}", knowledge["next"]);
    let rest = ru.get(&next).await.1;
    assert_eq!((rest["acts"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null), "{rest}");
    assert_eq!(vn.get(&format!("{record}/knowledge")).await.1["used_by"][0]["agency"], "ru-police");
    let analyst = "n7-night:analyst:RED";
    assert_eq!(
        ru.as_officer(analyst, Method::GET, &format!("{record}/knowledge"), Value::Null).await.0,
        StatusCode::FORBIDDEN
    );

    // The desk as it was: there, and current; then, after its content was deleted, as it is.
    let before = clock::now_ms();
    let replay = |view: &str, at: u64| format!("/api/v1/replay?view={view}&at={at}");
    let page = ru.as_officer(AUDITOR, Method::GET, &replay("inbox", before), Value::Null).await.1;
    let of = |page: &Value| {
        let rows = page["rows"].as_array().unwrap().iter().find(|row| row["record"] == id).cloned();
        rows.map(|row| row["body"].clone()).unwrap_or_default()
    };
    assert_eq!((&of(&page)["state"], &of(&page)["title"]), (&json!("current"), &json!("EXERCISE used")), "{page}");
    let nothing = ru.get(&replay("inbox", 1000)).await.1;
    assert_eq!((&nothing["rows"], &nothing["replay"]["leaves"]), (&json!([]), &json!(0)));
    assert_eq!(vn.post(&format!("{record}/retract"), &json!({ "reason": "EXERCISE" })).await.0, StatusCode::CREATED);
    ru.until(&record, |shown| shown["state"] == "deleted").await;
    let page = ru.get(&replay("inbox", before)).await.1;
    assert_eq!((&of(&page)["state"], &of(&page)["title"]), (&json!("deleted"), &Value::Null), "{page}");
    let gone =
        |known: &Value| known["acts"].as_array().is_some_and(|acts| acts.iter().any(|act| act["how"] == "deleted"));
    let deleted = ru.until(&format!("{record}/knowledge"), gone).await;
    assert_eq!(deleted["author"], Value::Null);
    for bad in ["view=inbox", "at=1", "view=inbox&at=x", "view=inbox&at=1&at=2", "view=inbox&at=1&facet=colour:blue"] {
        assert_eq!(ru.get(&format!("/api/v1/replay?{bad}")).await.0, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(ru.get("/api/v1/replay?view=nothing&at=1").await.0, StatusCode::NOT_FOUND);
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_what_they_say_and_run_nowhere() {
    let (vn, ru) = two_of(|config| config.limits.api_attachment_bytes_max = 3 << 20).await;
    let upload = async |media_type: &str, content: Vec<u8>| {
        let path =
            format!("/api/v1/attachments?name=b%C3%A1o%20c%C3%A1o.html&media_type={}", media_type.replace('/', "%2F"));
        let (status, answer) = vn.bytes(Method::POST, &path, content).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        (status.as_u16(), answer["reason"].as_str().unwrap_or_default().to_owned(), answer["upload"].clone())
    };
    let page = b"<!doctype html><script>alert('EXERCISE')</script>".to_vec();
    for (media_type, content, status, reason) in [
        ("text/html", page.clone(), 415, "active-content"),
        ("text/plain", page.clone(), 415, "active-content"),
        ("application/pdf", b"\x89PNG\r\n\x1a\n".to_vec(), 415, "type-mismatch"),
        ("application/octet-stream", vec![7; (3 << 20) + 1], 413, "oversize"),
    ] {
        let (found, why, _) = upload(media_type, content).await;
        assert_eq!((found, why.as_str()), (status, reason), "{media_type}");
    }
    // One that goes away in mid-upload.
    let (lines, body) = mpsc::channel::<Bytes>(1);
    let path = "/api/v1/attachments?name=EXERCISE.bin";
    let cancelled = vn.ask(Method::POST, path, "application/octet-stream", body_from_channel(body));
    lines.send(vec![7; 1 << 20].into()).await.unwrap();
    let cancelled = tokio::time::timeout(Duration::from_millis(300), cancelled).await;
    assert!(cancelled.is_err());
    drop(lines);
    let left = || {
        let folder = vn.dir.path().join("node/chunks");
        let mut folders = vec![folder];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { folders.push(entry.path()) } else { files += 1 }
            }
        }
        files
    };
    tokio::time::timeout(PATIENCE, async {
        while left() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("nothing is left of what was refused or given up");

    let (status, _, taken) = upload("application/octet-stream", page.clone()).await;
    assert_eq!(status, 201);
    let mut with = envelope("EXERCISE with a page");
    with["attachments"] = json!([taken]);
    let shared = vn.post("/api/v1/records", &with).await.1;
    let report = vn.get(&format!("/api/v1/records/{}", shared["records"][0]["id"].as_str().unwrap())).await.1;
    let attached = report["references"][0]["record"].as_str().unwrap();
    let path = format!("/api/v1/records/{attached}/content");
    let response = vn.ask(Method::GET, &path, "application/json", Body::empty()).await.unwrap();
    let header =
        |name: &str| response.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(header("content-type"), "application/octet-stream");
    assert_eq!(header("content-disposition"), "attachment; filename*=UTF-8''b%C3%A1o%20c%C3%A1o.html");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(response.bytes(ANSWER_BYTES_MAX).await.unwrap(), page);
    // A draft keeps its files until it is released.
    let mut draft = red("EXERCISE draft with a file");
    draft["attachments"] = json!([taken]);
    let draft = vn.draft(AUTHOR, &draft, None).await;
    let shown = vn.get(&format!("/api/v1/drafts/{draft}")).await.1;
    assert_eq!(shown["attachments"][0]["size"], page.len());
    let became = vn.post(&format!("/api/v1/drafts/{draft}/release"), &json!({})).await;
    assert_eq!(became.0, StatusCode::CREATED, "{}", became.1);
    vn.end().await;
    ru.end().await;
}
