//! Requests between two nodes: both show the same, and what does not fit is refused by name.

use super::*;

pub(super) fn question(key: &str) -> Value {
    json!({
        "to": ["ru-police"], "tlp": "AMBER", "key": key,
        "body": {
            "title": "EXERCISE: whose number", "text": "EXERCISE", "offence": "EXERCISE", "purpose": "EXERCISE",
            "link": "EXERCISE", "necessity": "EXERCISE", "holding": "EXERCISE", "language": "en",
            "legal_basis": "EXERCISE", "urgency": { "reason": "life-or-limb", "directly_accessible": true },
            "subjects": [{ "class": "phone", "identifiers": [{ "type": "phone", "value": "+84 24 3825 0000" }] }],
        },
    })
}

/// The row of a request at a node.
pub(super) async fn row(node: &Running, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/v1/views/requests?facet=on:{id}");
    node.until(&path, |page| wanted(&page["rows"][0]["body"])).await["rows"][0]["body"].clone()
}

pub(super) async fn step(node: &Running, id: &str, step: Value) -> (StatusCode, Value) {
    node.post(&format!("/api/v1/requests/{id}/steps"), &json!({ "step": step })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_run_on_both_sides_and_are_counted() {
    let (vn, ru) = two().await;
    let (status, answer) = vn.post("/api/v1/requests", &question("one")).await;
    assert_eq!((status, &answer["duplicates"]), (StatusCode::CREATED, &json!([])), "{answer}");
    let id = answer["records"][0]["id"].as_str().unwrap().to_owned();
    // The same key asks once.
    assert_eq!(vn.post("/api/v1/requests", &question("one")).await.1["records"][0]["id"], id);
    let asked = row(&ru, &id, |body| body["state"] == "received").await;
    let asking = row(&vn, &id, |body| body["state"] == "received" && body["settled"] == true).await;
    assert_eq!((asked["side"].as_str(), asking["side"].as_str()), (Some("asked"), Some("asking")));
    assert_eq!((&asked["clock"], &asked["steps"]), (&asking["clock"], &asking["steps"]));
    let hours = asked["clock"]["due_ms"].as_u64().unwrap() - asked["clock"]["start_ms"].as_u64().unwrap();
    assert_eq!(hours, 8 * 3_600_000);

    // What does not fit is refused by name, and nothing of it leaves.
    let refused = json!({ "step": "refused", "grounds": ["invalid-request"], "words": "EXERCISE" });
    let closed = json!({ "step": "closed" });
    let received = json!({ "step": "received", "time_zone": "UTC" });
    for (node, what, reason) in [
        (&ru, &refused, "clarify-first"),
        (&vn, &refused, "not-yours"),
        (&vn, &closed, "out-of-turn"),
        (&ru, &received, "not-yours"),
    ] {
        let (status, problem) = step(node, &id, what.clone()).await;
        assert_eq!((status, problem["reason"].as_str()), (StatusCode::CONFLICT, Some(reason)), "{problem}");
    }
    let (status, problem) = step(&ru, &id, json!({ "step": "routed", "to": "" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().unwrap().contains("`to`"), "{problem}");
    assert_eq!(step(&ru, &"0".repeat(64), closed.clone()).await.0, StatusCode::NOT_FOUND);
    let mut bad = question("bad");
    bad["body"]["offence"] = json!(" ");
    let (status, problem) = vn.post("/api/v1/requests", &bad).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().unwrap().contains("`offence`"), "{problem}");
    let mut misspelt = question("misspelt");
    misspelt["eyes"] = json!([{ "agency": "ru-polise", "officer": "d3" }]);
    let (status, problem) = vn.post("/api/v1/requests", &misspelt).await;
    let expected = (StatusCode::UNPROCESSABLE_ENTITY, &json!("eyes-not-in-audience"));
    assert_eq!((status, &problem["reason"]), expected, "{problem}");

    // A clarification stops the clock on both sides, and the answer ends it.
    step(&ru, &id, json!({ "step": "clarification-asked", "text": "EXERCISE?" })).await;
    row(&vn, &id, |body| body["state"] == "clarification").await;
    step(&vn, &id, json!({ "step": "clarification-given", "text": "EXERCISE" })).await;
    row(&ru, &id, |body| body["state"] == "received").await;
    let part = json!({ "part": "EXERCISE", "ground": "security", "words": "EXERCISE" });
    let answer = json!({ "step": "answered", "text": "EXERCISE", "refused": [part] });
    assert_eq!(step(&ru, &id, answer).await.0, StatusCode::CREATED);
    let asking = row(&vn, &id, |body| body["state"] == "answered-in-part").await;
    let asked = row(&ru, &id, |body| body["state"] == "answered-in-part").await;
    assert_eq!((&asked["clock"], &asked["steps"]), (&asking["clock"], &asking["steps"]));
    assert_eq!((&asking["clock"]["late"], &asking["evidence"]), (&json!(false), &json!(false)));
    step(&ru, &id, json!({ "step": "evidence-permitted", "words": "EXERCISE" })).await;
    row(&vn, &id, |body| body["evidence"] == true).await;
    step(&vn, &id, closed).await;
    row(&ru, &id, |body| body["state"] == "closed").await;

    // A second request on the same number shows the first, to who asks alone.
    let (_, again) = vn.post("/api/v1/requests", &question("two")).await;
    assert_eq!(again["duplicates"], json!([id]));
    let again = again["records"][0]["id"].as_str().unwrap();
    assert_eq!(row(&ru, again, |body| body["state"] == "received").await["duplicates"], json!([]));

    let year = mufakat_views::clock::year(crate::clock::now_ms(), "UTC").unwrap();
    let (_, table) = ru.get(&format!("/api/v1/tables/requests?year={year}")).await;
    let count = |measure: &str| {
        let rows = table["rows"].as_array().unwrap().iter();
        rows.filter(|row| row["measure"] == measure && row["side"] == "asked")
            .map(|row| row["count"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (count("requests"), count("answered"), count("refused")),
        (vec![json!(2)], vec![json!(1)], vec![json!(1)])
    );
    let (_, csv) =
        ru.bytes(Method::GET, &format!("/api/v1/tables/requests?year={year}&format=csv"), Body::empty()).await;
    assert!(String::from_utf8(csv.to_vec()).unwrap().contains("asked,refused,vn,urgent-direct,security,1\r\n"));
    assert_eq!(ru.get("/api/v1/tables/requests?year=1").await.0, StatusCode::BAD_REQUEST);
    vn.end().await;
    ru.end().await;
}

/// Asks, and has the two sides take these steps, each with the state that follows; gives the request.
async fn brought_to(vn: &Running, ru: &Running, steps: &[(&Running, Value, &str)]) -> String {
    let unused = hex::encode(crate::writer::entropy());
    let (_, answer) = vn.post("/api/v1/requests", &question(&unused)).await;
    let id = answer["records"][0]["id"].as_str().unwrap().to_owned();
    row(ru, &id, |body| body["state"] == "received").await;
    row(vn, &id, |body| body["state"] == "received" && body["settled"] == true).await;
    for (who, says, state) in steps {
        let (status, problem) = step(who, &id, says.clone()).await;
        assert_eq!(status, StatusCode::CREATED, "{state}: {problem}");
        for side in [vn, ru] {
            row(side, &id, |body| body["state"] == *state).await;
        }
    }
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_taken_back_while_it_is_open_and_not_after() {
    let (vn, ru) = two().await;
    let withdrawn = || json!({ "step": "withdrawn", "why": "EXERCISE: solved" });
    let judge = json!({ "step": "awaiting-judge", "until": crate::clock::now_s() + 90_000, "why": "EXERCISE" });
    let routed = (&ru, json!({ "step": "routed", "to": "EXERCISE desk" }), "routed");
    let asked_back = (&ru, json!({ "step": "clarification-asked", "text": "EXERCISE?" }), "clarification");
    let answered = (&ru, json!({ "step": "answered", "text": "EXERCISE" }), "answered");
    let refused = (&ru, json!({ "step": "refused", "grounds": ["security"], "words": "EXERCISE" }), "refused");
    let part = json!([{ "part": "EXERCISE", "ground": "security", "words": "EXERCISE" }]);
    let in_part = (&ru, json!({ "step": "answered", "text": "EXERCISE", "refused": part }), "answered-in-part");
    let feedback = (&vn, json!({ "step": "feedback", "text": "EXERCISE", "useful": true }), "feedback");
    let closed = (&vn, json!({ "step": "closed" }), "closed");

    for steps in
        [&[][..], std::slice::from_ref(&routed), std::slice::from_ref(&asked_back), &[(&ru, judge, "awaiting-judge")]]
    {
        let id = brought_to(&vn, &ru, steps).await;
        // Only who asked takes it back.
        let (status, problem) = step(&ru, &id, withdrawn()).await;
        assert_eq!((status, &problem["reason"]), (StatusCode::CONFLICT, &json!("not-yours")));
        let (status, problem) = step(&vn, &id, withdrawn()).await;
        assert_eq!(status, StatusCode::CREATED, "after {steps:?}: {problem}", steps = steps.last().map(|step| step.2));
        let asked = row(&ru, &id, |body| body["state"] == "withdrawn").await;
        let asking = row(&vn, &id, |body| body["state"] == "withdrawn" && body["steps"] == asked["steps"]).await;
        assert_eq!(asked["clock"], asking["clock"]);
        let clock = &asked["clock"];
        assert!(clock["ended_ms"].is_u64() && clock["still_since_ms"].is_null() && clock["late"] == false, "{clock}");
        // Then neither side goes on, whatever was open; it can be closed.
        for (who, says, _) in [&answered, &refused, &asked_back, &(&vn, withdrawn(), "")] {
            let (status, problem) = step(who, &id, says.clone()).await;
            assert_eq!((status, &problem["reason"]), (StatusCode::CONFLICT, &json!("out-of-turn")), "{says}");
        }
        let given = json!({ "step": "clarification-given", "text": "EXERCISE" });
        assert_eq!(step(&vn, &id, given).await.1["reason"], "out-of-turn");
        assert_eq!(step(&vn, &id, closed.1.clone()).await.0, StatusCode::CREATED);
        row(&ru, &id, |body| body["state"] == "closed").await;
    }

    for steps in [
        vec![answered.clone()],
        vec![in_part],
        vec![refused],
        vec![answered.clone(), feedback],
        vec![answered, closed.clone()],
    ] {
        let id = brought_to(&vn, &ru, &steps).await;
        let before = row(&vn, &id, |_| true).await;
        let (status, problem) = step(&vn, &id, withdrawn()).await;
        assert_eq!((status, &problem["reason"]), (StatusCode::CONFLICT, &json!("out-of-turn")), "{}", before["state"]);
        for side in [&vn, &ru] {
            assert_eq!(row(side, &id, |_| true).await["steps"], before["steps"]);
        }
    }

    // What has not arrived has no clock that could end: the record is retracted instead.
    ru.end().await;
    let (_, answer) = vn.post("/api/v1/requests", &question("unreached")).await;
    let id = answer["records"][0]["id"].as_str().unwrap();
    row(&vn, id, |body| body["state"] == "sent").await;
    assert_eq!(step(&vn, id, withdrawn()).await.1["reason"], "out-of-turn");
    vn.end().await;
}

/// What an officer tells the gate of a node, as the ledger has it: the rules that refused.
async fn refusals(node: &Running) -> Vec<String> {
    let page = node.get("/api/v1/views/uses?limit=500").await.1;
    let rows = page["rows"].as_array().unwrap().iter();
    rows.filter_map(|row| row["body"]["refused"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_apart_and_what_one_may_not_read_tells_nothing() {
    const ONE: &str = "d3-night:duty-officer:AMBER";
    let (vn, ru) = two().await;
    let ask = async |officer: &str, question: &Value| {
        let (status, answer) = vn.as_officer(officer, Method::POST, "/api/v1/requests", question.clone()).await;
        (status.as_u16(), answer["records"][0]["id"].as_str().unwrap_or_default().to_owned(), answer["reason"].clone())
    };
    // A key is of its officer and its operation, and with something else under it nothing is asked.
    let mut report = envelope("EXERCISE under the key");
    report["key"] = json!("case-17");
    assert_eq!(vn.as_officer(ONE, Method::POST, "/api/v1/records", report).await.0, StatusCode::CREATED);
    let (status, id, _) = ask(ONE, &question("case-17")).await;
    assert_eq!(status, 201);
    assert_eq!(ask(ONE, &question("case-17")).await, (201, id.clone(), Value::Null));
    let (_, of_another, _) = ask("d4-day:duty-officer:AMBER", &question("case-17")).await;
    assert_ne!(of_another, id);
    let (mut other, mut narrower) = (question("case-17"), question("case-17"));
    other["body"]["text"] = json!("EXERCISE something else");
    narrower["tlp"] = json!("AMBER+STRICT");
    assert_eq!(ask("d3-night:duty-officer:RED", &other).await.2, "key-taken");
    let (status, _, reason) = ask("d3-night:duty-officer:RED", &narrower).await;
    assert_eq!((status, reason), (409, json!("key-taken")));
    row(&ru, &of_another, |body| body["state"] == "received").await;
    row(&ru, &id, |body| body["state"] == "received").await;

    // So is that of a step, also when the request has gone on; and each request has its own.
    let steps = |id: &str| format!("/api/v1/requests/{id}/steps");
    let answered = |text: &str| json!({ "step": { "step": "answered", "text": text }, "key": "case-17" });
    let take = async |id: &str, body: Value| {
        let (status, answer) = ru.as_officer(ONE, Method::POST, &steps(id), body).await;
        (status.as_u16(), answer["id"].as_str().unwrap_or_default().to_owned(), answer["reason"].clone())
    };
    let (status, taken, _) = take(&id, answered("EXERCISE")).await;
    assert_eq!(status, 201);
    row(&ru, &id, |body| body["state"] == "answered").await;
    assert_eq!(take(&id, answered("EXERCISE")).await, (201, taken.clone(), Value::Null));
    let (status, _, reason) = take(&id, answered("EXERCISE otherwise")).await;
    assert_eq!((status, reason), (409, json!("key-taken")));

    // An answer may be handled more strictly than its request, and not more freely.
    for (name, value) in [("tlp", json!("GREEN")), ("purposes", json!([])), ("eyes", json!([]))] {
        let mut strict = question("strict");
        strict["purposes"] = json!(["piracy"]);
        strict["eyes"] = json!([{ "agency": "ru-police", "officer": "d3-night" }]);
        let (_, strict, _) = ask(ONE, &strict).await;
        row(&ru, &strict, |body| body["state"] == "received").await;
        let mut wide = answered("EXERCISE");
        wide[name] = value;
        assert_eq!(take(&strict, wide).await.2, "wider-handling", "{name}");
    }
    let mut narrow = answered("EXERCISE");
    narrow["purposes"] = json!(["piracy"]);
    narrow["caveat"] = json!("EXERCISE not in court");
    narrow["eyes"] = json!([{ "agency": "id-police", "officer": "d3" }]);
    assert_eq!(take(&of_another, narrow.clone()).await.2, "eyes-not-in-audience");
    narrow["eyes"] = json!([{ "agency": "vn-police", "officer": "d3-night" }]);
    let (status, narrow, reason) = take(&of_another, narrow).await;
    assert_eq!(status, 201, "{reason}");
    assert_ne!(narrow, taken);
    let handling = ru.get(&format!("/api/v1/records/{narrow}")).await.1["handling"].clone();
    assert_eq!((&handling["tlp"], &handling["caveat"]), (&json!("AMBER"), &json!("EXERCISE not in court")));

    // Whoever may not read a request learns nothing of it, and what is refused is noted.
    let uncleared = "d5-day:duty-officer:GREEN";
    for body in [answered("EXERCISE"), json!({ "step": { "step": "closed" }, "to": "vn-police" })] {
        assert_eq!(ru.tell(uncleared, &steps(&id), body).await, refused(404, "not-found"));
    }
    assert_eq!(refusals(&ru).await.iter().filter(|rule| *rule == "clearance").count(), 2);
    let mut red = question("red");
    red["tlp"] = json!("RED");
    assert_eq!(ask(ONE, &red).await.2, "four-eyes");
    assert!(refusals(&vn).await.contains(&"four-eyes".to_owned()));
    vn.end().await;
    ru.end().await;
}
