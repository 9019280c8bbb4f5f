//! What a second officer has to approve besides reports: corrections of notices, requests and their answers.

use super::*;

/// Who writes, and who approves and releases.
const ONE: &str = "r1-night:releaser:RED";

fn notice(title: &str) -> Value {
    json!({ "report_type": "notice", "title": title, "entities": [{ "class": "person", "name": "EXERCISE" }] })
}

async fn shared(node: &Running, body: Value) -> String {
    let (status, shared) =
        node.post("/api/v1/records", &json!({ "to": ["ru-police"], "tlp": "GREEN", "body": body })).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    shared["records"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_alone_corrects_a_notice_or_into_one() {
    let (vn, ru) = two().await;
    let plain = shared(&vn, json!({ "title": "EXERCISE report" })).await;
    let noticed = shared(&vn, notice("EXERCISE notice")).await;
    let correct = |id: &str| format!("/api/v1/records/{id}/correct");
    let with = |body: Value| json!({ "reason": "EXERCISE", "body": body });
    for (id, body) in [
        (&plain, notice("EXERCISE now a notice")),
        (&noticed, json!({ "title": "EXERCISE no notice" })),
        (&noticed, notice("EXERCISE another notice")),
    ] {
        assert_eq!(vn.tell(ONE, &correct(id), with(body)).await, refused(422, "four-eyes"));
    }
    // What is none, and what a report corrects, is corrected alone; what a correction made a notice no longer is.
    let (status, corrected) =
        vn.as_officer(ONE, Method::POST, &correct(&plain), with(json!({ "title": "EXERCISE again" }))).await;
    assert_eq!(status, StatusCode::CREATED, "{corrected}");
    // A correction stays: nobody alone brings back what it replaced.
    let back = format!("/api/v1/records/{}/retract", corrected["id"].as_str().unwrap());
    assert_eq!(vn.tell(ONE, &back, json!({ "reason": "EXERCISE" })).await, refused(422, "is-a-correction"));
    assert_eq!(vn.get(&format!("/api/v1/records/{plain}")).await.1["state"], "corrected");
    assert_eq!(vn.post(&correct(&plain), &with(notice("EXERCISE by the agency"))).await.0, StatusCode::CREATED);
    let again = with(json!({ "title": "EXERCISE not alone" }));
    assert_eq!(vn.tell(ONE, &correct(&plain), again).await, refused(422, "four-eyes"));
    // Taking back waits for nobody.
    assert_eq!(
        vn.tell(ONE, &format!("/api/v1/records/{noticed}/retract"), json!({ "reason": "EXERCISE" })).await,
        done()
    );
    vn.end().await;
    ru.end().await;
}

/// An officer who writes, and one who approves and releases.
const AUTHOR: &str = "d3-night:duty-officer:RED";

async fn drafted(node: &Running, draft: Value) -> String {
    let (status, made) = node.as_officer(AUTHOR, Method::POST, "/api/v1/drafts", draft).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

/// Takes a draft past its second officer, with what nobody does alone refused on the way; gives the record that it became.
async fn by_two(node: &Running, draft: &str, checks: Value) -> String {
    let step = |name: &str| format!("/api/v1/drafts/{draft}/{name}");
    let word = json!({ "checks": checks, "words": "EXERCISE" });
    assert_eq!(node.tell(AUTHOR, &step("release"), Value::Null).await, refused(403, "same-officer"));
    assert_eq!(node.tell(ONE, &step("release"), Value::Null).await, refused(422, "four-eyes"));
    assert_eq!(node.tell(AUTHOR, &step("submit"), Value::Null).await, done());
    assert_eq!(node.tell("d3-night:releaser:RED", &step("approve"), word.clone()).await, refused(403, "same-officer"));
    assert_eq!(node.tell(ONE, &step("approve"), word).await, done());
    assert_eq!(node.tell(AUTHOR, &step("release"), Value::Null).await, refused(403, "same-officer"));
    let (status, became) = node.as_officer(ONE, Method::POST, &step("release"), Value::Null).await;
    assert_eq!(status, StatusCode::CREATED, "{became}");
    assert_eq!(node.tell(ONE, &step("release"), Value::Null).await, refused(409, "wrong-state"));
    let id = became["records"][0]["id"].as_str().unwrap().to_owned();
    let shown = node.get(&format!("/api/v1/drafts/{draft}")).await.1;
    assert_eq!((&shown["progress"]["records"], &shown["four_eyes"]), (&json!([id]), &json!(true)), "{shown}");
    let knowledge = node.get(&format!("/api/v1/records/{id}/knowledge")).await.1;
    let act = &knowledge["acts"][0];
    assert_eq!((&act["officer"], &act["note"]), (&json!("r1-night"), &json!("four-eyes: approved")), "{knowledge}");
    id
}

fn question(tlp: &str) -> Value {
    json!({
        "to": ["ru-police"], "tlp": tlp,
        "body": {
            "title": "EXERCISE question", "text": "EXERCISE", "offence": "EXERCISE", "purpose": "EXERCISE",
            "link": "EXERCISE", "necessity": "EXERCISE", "holding": "EXERCISE", "language": "en",
            "legal_basis": "EXERCISE",
        },
    })
}

async fn state(node: &Running, request: &str, wanted: &str) -> Value {
    let path = format!("/api/v1/views/requests?facet=on:{request}");
    node.until(&path, |page| page["rows"][0]["body"]["state"] == wanted).await["rows"][0]["body"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_officers_ask_and_answer_what_is_narrow() {
    let (vn, ru) = two().await;
    assert_eq!(vn.tell(ONE, "/api/v1/requests", question("RED")).await, refused(422, "four-eyes"));
    let draft = drafted(&vn, json!({ "request": question("RED") })).await;
    let shown = vn.get(&format!("/api/v1/drafts/{draft}")).await.1;
    assert_eq!((&shown["kind"], &shown["body"]["title"]), (&json!("request"), &json!("EXERCISE question")), "{shown}");
    let preview = vn.as_officer(ONE, Method::POST, &format!("/api/v1/drafts/{draft}/preview"), Value::Null).await.1;
    assert_eq!((&preview["release"]["allow"], &preview["records"]), (&json!(true), &json!(1)), "{preview}");
    let request = by_two(&vn, &draft, json!([])).await;
    // Who asks is who wrote it.
    let asked = state(&ru, &request, "received").await;
    assert_eq!((&asked["tlp"], &asked["title"]), (&json!("RED"), &json!("EXERCISE question")));
    let by = ru.get(&format!("/api/v1/records/{request}")).await.1["body"]["by"].clone();
    assert_eq!(by, json!({ "role": "duty-officer", "officer": "d3-night" }));

    // Nothing is said about it alone, be it that it was routed.
    let steps = |id: &str| format!("/api/v1/requests/{id}/steps");
    let routed = json!({ "step": { "step": "routed", "to": "EXERCISE desk" } });
    assert_eq!(ru.tell(ONE, &steps(&request), routed.clone()).await, refused(422, "four-eyes"));
    let draft = drafted(&ru, json!({ "step": routed, "target": request })).await;
    by_two(&ru, &draft, json!([])).await;
    state(&vn, &request, "routed").await;

    // An answer under a code that its request does not have; of two that wait, one comes too late.
    let (status, wide) = vn.as_officer(AUTHOR, Method::POST, "/api/v1/requests", question("GREEN")).await;
    assert_eq!(status, StatusCode::CREATED, "{wide}");
    let wide = wide["records"][0]["id"].as_str().unwrap();
    state(&ru, wide, "received").await;
    let answer = json!({ "step": { "step": "answered", "text": "EXERCISE" }, "codes": ["H1"] });
    assert_eq!(ru.tell(ONE, &steps(wide), answer.clone()).await, refused(422, "four-eyes"));
    let body = json!({ "step": answer, "target": wide });
    let (first, second) = (drafted(&ru, body.clone()).await, drafted(&ru, body).await);
    let row = ru.get(&format!("/api/v1/drafts/{first}")).await.1["progress"].clone();
    assert_eq!((&row["title"], &row["target"], &row["codes"]), (&json!("answered"), &json!(wide), &json!(["H1"])));
    let answered = by_two(&ru, &first, json!([])).await;
    state(&vn, wide, "answered").await;
    assert_eq!(vn.get(&format!("/api/v1/records/{answered}")).await.1["handling"]["codes"], json!(["H1"]));
    for (officer, what, body) in [(AUTHOR, "submit", Value::Null), (ONE, "approve", json!({}))] {
        assert_eq!(ru.tell(officer, &format!("/api/v1/drafts/{second}/{what}"), body).await, done());
    }
    let late = ru.tell(ONE, &format!("/api/v1/drafts/{second}/release"), Value::Null).await;
    assert_eq!(late, refused(409, "out-of-turn"));

    // One thing is drafted at a time, and what is wrong with it is told when it is written.
    let tell = async |officer: &str, body: Value| ru.tell(officer, "/api/v1/drafts", body).await;
    for bad in [
        json!({}),
        json!({ "step": { "step": { "step": "closed" } } }),
        json!({ "request": question("RED"), "target": wide }),
        json!({ "request": question("RED"), "envelope": envelope("EXERCISE") }),
        json!({ "step": { "step": { "step": "closed" }, "key": "x" }, "target": wide }),
    ] {
        assert_eq!(tell(AUTHOR, bad.clone()).await, refused(400, "malformed"), "{bad}");
    }
    let to_red = json!({ "step": routed, "target": request });
    assert_eq!(tell("d4-day:duty-officer:AMBER", to_red).await, refused(404, "not-found"));
    let mut no_offence = question("RED");
    no_offence["body"]["offence"] = json!("");
    no_offence["to"] = json!(["vn-police"]);
    assert_eq!(tell(AUTHOR, json!({ "request": no_offence })).await, refused(422, "body-not-of-kind"));
    let given = json!({ "step": { "step": "clarification-given", "text": "EXERCISE" } });
    assert_eq!(tell(AUTHOR, json!({ "step": given, "target": wide })).await, refused(409, "not-yours"));
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_officers_correct_a_notice() {
    let (vn, ru) = two().await;
    let noticed = shared(&vn, notice("EXERCISE notice")).await;
    ru.until("/api/v1/views/inbox?facet=kind:report", |page| page["rows"][0]["record"] == noticed).await;
    let correction = |body: Value| json!({ "reason": "EXERCISE", "body": body });
    // It is the notice that is asked about, though what stands in its place is none.
    let body = correction(json!({ "title": "EXERCISE no notice" }));
    let draft = drafted(&vn, json!({ "correction": body, "target": noticed })).await;
    let asked = vn.get(&format!("/api/v1/drafts/{draft}")).await.1;
    assert_eq!((&asked["kind"], &asked["to"]), (&json!("correction"), &json!(["ru-police"])), "{asked}");
    let answers = |right: bool| {
        let checks = asked["checks"].as_array().unwrap().iter();
        let answer =
            |check: &Value| json!({ "check": check["check"], "answer": (check["check"] == "neutrality") == right });
        checks.map(answer).collect::<Value>()
    };
    assert_eq!(answers(true).as_array().unwrap().len(), 4);
    let other = drafted(&vn, json!({ "correction": body, "target": noticed })).await;
    let path = |draft: &str, step: &str| format!("/api/v1/drafts/{draft}/{step}");
    assert_eq!(vn.tell(AUTHOR, &path(&other, "submit"), Value::Null).await, done());
    assert_eq!(vn.tell(ONE, &path(&other, "approve"), json!({})).await, refused(422, "check-missing"));
    let wrong = json!({ "checks": answers(false) });
    assert_eq!(vn.tell(ONE, &path(&other, "approve"), wrong).await, refused(422, "check-failed"));
    by_two(&vn, &draft, answers(true)).await;
    ru.until(&format!("/api/v1/records/{noticed}"), |shown| shown["state"] == "corrected").await;

    // What was approved when it corrected no notice is not released when it would.
    let plain = shared(&vn, json!({ "title": "EXERCISE report" })).await;
    let draft = drafted(&vn, json!({ "correction": body, "target": plain })).await;
    assert_eq!(vn.tell(AUTHOR, &path(&draft, "submit"), Value::Null).await, done());
    assert_eq!(vn.tell(ONE, &path(&draft, "approve"), json!({})).await, done());
    let into_one = correction(notice("EXERCISE by the agency"));
    assert_eq!(vn.post(&format!("/api/v1/records/{plain}/correct"), &into_one).await.0, StatusCode::CREATED);
    assert_eq!(vn.tell(ONE, &path(&draft, "release"), Value::Null).await, refused(409, "wrong-state"));
    // And nobody corrects what was taken back, or what is another's.
    let retracted = json!({ "reason": "EXERCISE" });
    assert_eq!(vn.post(&format!("/api/v1/records/{plain}/retract"), &retracted).await.0, StatusCode::CREATED);
    let again = json!({ "correction": body, "target": plain });
    assert_eq!(vn.tell(AUTHOR, "/api/v1/drafts", again).await, refused(409, "already-retracted"));
    let anothers = json!({ "correction": body, "target": noticed });
    assert_eq!(ru.tell(AUTHOR, "/api/v1/drafts", anothers).await, refused(404, "not-found"));
    vn.end().await;
    ru.end().await;
}
