//! Private matching between two nodes: who asks learns hit or miss, and who is asked learns neither that nor what was asked.

use super::*;

/// Who asks.
const ANALYST: &str = "d3-night:analyst:AMBER";
/// Who keeps the lists.
const KEEPER: &str = "s1-day:supervisor:RED";
/// Who inspects.
const INSPECTOR: &str = "a1-day:auditor:RED";

/// Two nodes that tell each other quickly of what changed in a list.
async fn matching() -> (Running, Running) {
    two_of(|config| config.matching.delta_s = 1).await
}

async fn list(node: &Running, lines: &[Value]) -> Value {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let answer = node.ask(Method::POST, "/api/v1/matching/entries", "application/x-ndjson", text).await.unwrap();
    let (status, body) = (answer.status, answer.bytes(ANSWER_BYTES_MAX).await.unwrap());
    assert_eq!(status, StatusCode::OK, "{body:?}");
    serde_json::from_slice(&body).unwrap()
}

async fn budget(node: &Running, limit: u32) {
    let body = json!({ "partner": "vn-police", "limit": limit });
    let (status, made) = node.as_officer(KEEPER, Method::POST, "/api/v1/matching/budgets", body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
}

/// Waits until a filter of a subject has come from the partner.
async fn filters(node: &Running, subject: &str, count: usize) {
    let path = format!("/api/v1/views/matching?facet=side:got&facet=subject:{subject}");
    node.until(&path, |page| page["rows"][0]["body"]["filters"].as_array().map_or(0, Vec::len) >= count).await;
}

fn envelope(items: Value) -> Value {
    json!({
        "to": ["ru-police"], "items": items, "purpose": "EXERCISE border", "case": "EXERCISE 7", "basis": "EXERCISE law",
    })
}

async fn asked(node: &Running, body: Value) -> String {
    let (status, asked) = node.as_officer(ANALYST, Method::POST, "/api/v1/matching/asks", body).await;
    assert_eq!(status, StatusCode::CREATED, "{asked}");
    asked["id"].as_str().unwrap().to_owned()
}

/// The questions of an ask when all of them are as wanted.
async fn questions(node: &Running, ask: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let path = format!("/api/v1/matching/asks/{ask}");
    let done =
        |shown: &Value| shown["questions"].as_array().is_some_and(|all| !all.is_empty() && all.iter().all(&wanted));
    node.until(&path, done).await["questions"].as_array().unwrap().clone()
}

fn is_settled(question: &Value) -> bool {
    !["waiting", "answered"].contains(&question["state"].as_str().unwrap_or_default())
}

fn passport(number: &str) -> Value {
    json!({ "subject": "passport", "value": number })
}

/// Whether some bytes stand in any file of a node.
fn stands_in_files(node: &Running, what: &[u8]) -> bool {
    fn look(dir: &Path, what: &[u8]) -> bool {
        std::fs::read_dir(dir).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, what)
            } else {
                std::fs::read(&path).is_ok_and(|bytes| bytes.windows(what.len()).any(|part| part == what))
            }
        })
    }
    look(node.dir.path(), what)
}

/// How many tags of a question a node keeps.
fn tags_kept(node: &Running, question: &Value) -> usize {
    let lists = mufakat_store::lists::Lists::open(&node.dir.path().join("node").join(crate::matching::LISTS)).unwrap();
    lists.tags(&question["question"].as_str().unwrap().parse().unwrap()).unwrap().len()
}

/// Waits until a node keeps no tags of a question.
async fn no_tags(node: &Running, question: &Value) {
    for _ in 0..200 {
        if tags_kept(node, question) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} tags are kept", tags_kept(node, question));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_is_asked_and_learns_nothing_but_that() {
    let (vn, ru) = matching().await;
    let taken = list(
        &ru,
        &[
            json!({ "subject": "passport", "value": "VNM:C7654321", "category": "stolen", "tlp": "GREEN" }),
            json!({ "subject": "passport", "value": "VNM:C7654322", "category": "lost" }),
            json!({ "subject": "name", "value": "Нгуен Ван Ань", "birth_year": 1980, "category": "wanted" }),
            json!({ "subject": "imo", "value": "9074728" }),
        ],
    )
    .await;
    assert_eq!((&taken["new"], &taken["refused"]), (&json!(3), &json!(1)), "{taken}");
    budget(&ru, 20_000).await;
    filters(&vn, "passport", 1).await;
    filters(&vn, "name", 1).await;

    // A check digit that does not fit is told at once, and nothing is asked.
    let bad = envelope(json!([passport("VNM:C7654321"), { "subject": "imo", "value": "9074728" }]));
    let (status, problem) = vn.as_officer(ANALYST, Method::POST, "/api/v1/matching/asks", bad).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("bad-identifier")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("items[1]"), "{problem}");

    let (hit, miss) = ("VNM:C7654321", "VNM:C1112223");
    let name = json!({ "subject": "name", "value": "Nguyen Van Anh", "birth_year": 1981 });
    let id = asked(&vn, envelope(json!([passport(miss), passport("vnm: c7654321"), name]))).await;
    let settled = questions(&vn, &id, is_settled).await;
    let of = |subject: &str| settled.iter().find(|question| question["subject"] == subject).unwrap();
    let passports = of("passport");
    assert_eq!((&passports["state"], &passports["count"]), (&json!("hit"), &json!(2)), "{settled:?}");
    let [found] = passports["hits"].as_array().unwrap().as_slice() else { panic!("{settled:?}") };
    let said = (&found["item"], &found["confidence"], &found["category"], &found["tlp"]);
    assert_eq!(said, (&json!(1), &json!("exact"), &json!("stolen"), &json!("GREEN")));
    let names = of("name");
    assert_eq!((&names["state"], &names["hits"][0]["category"]), (&json!("hit"), &json!("wanted")), "{settled:?}");
    // Nobody watches it: what was worked out is not kept.
    no_tags(&vn, passports).await;
    // The holder finds its entry by the number.
    let entry = ru.get(&format!("/api/v1/matching/entries/{}", found["handle"])).await.1;
    assert_eq!((&entry["value"], &entry["category"]), (&json!("VNM:C7654321"), &json!("stolen")), "{entry}");

    // What the holder learns: who, for which purpose, on which basis, how many.
    let page = ru.until("/api/v1/views/matching?facet=row:asked", |page| {
        page["rows"].as_array().is_some_and(|rows| rows.iter().all(|row| row["body"]["state"] == "answered"))
    });
    let page = page.await;
    let first = page["rows"].as_array().unwrap().iter().find(|row| row["body"]["subject"] == "passport").unwrap();
    let said = &first["body"];
    assert_eq!((&said["count"], &said["size"], &said["purpose"]), (&json!(2), &json!(16), &json!("EXERCISE border")));
    assert_eq!(said["by"], json!({ "role": "analyst", "officer": "d3-night" }));
    for (node, held) in [(&vn, true), (&ru, false)] {
        assert_eq!(stands_in_files(node, miss.as_bytes()), held, "the identifier that nobody lists");
        assert_eq!(stands_in_files(node, b"EXERCISE 7"), held, "the case");
    }
    assert!(stands_in_files(&ru, hit.as_bytes()), "what the holder lists is found where it stands");

    // One press drafts a request; nothing leaves with it.
    let chosen = json!({ "question": passports["question"], "item": 1 });
    let (status, draft) =
        vn.as_officer(ANALYST, Method::POST, &format!("/api/v1/matching/asks/{id}/draft"), chosen).await;
    assert_eq!(status, StatusCode::CREATED, "{draft}");
    let shown = vn.get(&format!("/api/v1/drafts/{}", draft["id"].as_str().unwrap())).await.1;
    assert_eq!((&shown["kind"], &shown["to"]), (&json!("request"), &json!(["ru-police"])), "{shown}");
    let no_hit = json!({ "question": passports["question"], "item": 0 });
    let refused_draft = vn.tell(ANALYST, &format!("/api/v1/matching/asks/{id}/draft"), no_hit).await;
    assert_eq!(refused_draft, refused(422, "no-hit"));

    // Under an inspector's order both sides recompute the question.
    let question = passports["question"].as_str().unwrap();
    let path = format!("/api/v1/matching/questions/{question}/disclosure?order=EXERCISE");
    assert_eq!(vn.as_officer(ANALYST, Method::GET, &path, Value::Null).await.0, StatusCode::FORBIDDEN);
    let (status, disclosure) = vn.as_officer(INSPECTOR, Method::GET, &path, Value::Null).await;
    assert_eq!((status, disclosure["inputs"].as_array().map(Vec::len)), (StatusCode::OK, Some(2)), "{disclosure}");
    let mut other = disclosure.clone();
    other["inputs"][0] = json!(hex::encode("passport\u{1f}VNM:C0000000"));
    for node in [&vn, &ru] {
        let audit = node.as_officer(INSPECTOR, Method::POST, "/api/v1/matching/audits", disclosure.clone()).await.1;
        assert_eq!((&audit["holds"], &audit["count"]), (&json!(true), &json!(2)), "{audit}");
        let audit = node.as_officer(INSPECTOR, Method::POST, "/api/v1/matching/audits", other.clone()).await.1;
        assert_eq!((&audit["holds"], &audit["fault"]), (&json!(false), &json!("other-identifiers")), "{audit}");
    }
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_sees_what_is_listed_later_and_what_is_taken_off() {
    let (vn, ru) = matching().await;
    list(&ru, &[json!({ "subject": "passport", "value": "VNM:C0000001" })]).await;
    budget(&ru, 20_000).await;
    filters(&vn, "passport", 1).await;
    let mut body = envelope(json!([passport("VNM:C0000002")]));
    body["watch_until"] = (crate::clock::now_s() + 3600).into();
    // At the socket: an officer who may not sign in, such as those of these tests, watches nothing.
    let (status, asked_for) = vn.post("/api/v1/matching/asks", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{asked_for}");
    let id = asked_for["id"].as_str().unwrap().to_owned();
    let watched = questions(&vn, &id, |question| question["state"] == "miss").await.remove(0);
    assert_eq!(tags_kept(&vn, &watched), 1);
    let gone = asked(&vn, body).await;
    let path = format!("/api/v1/views/matching?facet=row:ask&facet=ask:{gone}");
    vn.until(&path, |page| page["rows"][0]["body"]["ended_ms"].is_u64()).await;
    let before = vn.get("/api/v1/views/matching?facet=row:question").await.1["rows"].as_array().unwrap().len();
    list(&ru, &[json!({ "subject": "passport", "value": "VNM:C0000002", "category": "forged" })]).await;
    questions(&vn, &id, |question| question["state"] == "hit" && question["hits"][0]["category"] == "forged").await;
    list(&ru, &[json!({ "subject": "passport", "value": "VNM:C0000002", "remove": true })]).await;
    questions(&vn, &id, |question| question["state"] == "miss").await;
    // The holder was asked once for each.
    let after = vn.get("/api/v1/views/matching?facet=row:question").await.1["rows"].as_array().unwrap().len();
    assert_eq!((before, after), (2, 2));
    assert_eq!(ru.get("/api/v1/views/matching?facet=row:asked").await.1["rows"].as_array().unwrap().len(), 2);
    // What was taken off is forgotten once the partner was told.
    assert!(!stands_in_files(&ru, b"VNM:C0000002"));

    // A watch that is ended sees nothing more; another one of the same does.
    let mut body = envelope(json!([passport("VNM:C0000002")]));
    body["watch_until"] = (crate::clock::now_s() + 3600).into();
    let other = vn.post("/api/v1/matching/asks", &body).await.1["id"].as_str().unwrap().to_owned();
    questions(&vn, &other, |question| question["state"] == "miss").await;
    let end = format!("/api/v1/matching/asks/{id}/end");
    assert_eq!(vn.tell(ANALYST, &end, Value::Null).await, done());
    no_tags(&vn, &watched).await;
    assert_eq!(vn.tell(ANALYST, &end, Value::Null).await, refused(422, "not-watched"));
    list(&ru, &[json!({ "subject": "passport", "value": "VNM:C0000002" })]).await;
    questions(&vn, &other, |question| question["state"] == "hit").await;
    let ended = questions(&vn, &id, |_| true).await.remove(0);
    assert_eq!((&ended["state"], &ended["list_changed"]), (&json!("miss"), &json!(true)), "{ended}");
    no_tags(&vn, &watched).await;
    vn.end().await;
    ru.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_ends_an_enumeration_and_says_so_before() {
    let (vn, ru) = matching().await;
    list(&ru, &[json!({ "subject": "imo", "value": "9074729", "category": "sanctioned" })]).await;
    // Without a budget a partner is told of nothing.
    let (status, problem) = vn
        .as_officer(
            ANALYST,
            Method::POST,
            "/api/v1/matching/asks",
            envelope(json!([{ "subject": "imo", "value": "9074729" }])),
        )
        .await;
    assert_eq!((status, &problem["reason"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("no-list")), "{problem}");
    // Room for six questions of the smallest size.
    budget(&ru, 6 * 16).await;
    filters(&vn, "imo", 1).await;
    let mut states = Vec::new();
    for number in 0..8 {
        let id = asked(&vn, envelope(json!([{ "subject": "imo", "value": imo(100_000 + number) }]))).await;
        let question = questions(&vn, &id, is_settled).await.remove(0);
        assert_eq!(question["enumerable"], json!(true));
        states.push((question["state"].clone(), question["reason"].clone()));
    }
    let miss = (json!("miss"), Value::Null);
    let refused = (json!("refused"), json!("budget-exhausted"));
    assert_eq!(states, [vec![miss; 6], vec![refused; 2]].concat());
    let alarms = ru.get("/api/v1/views/matching?facet=row:alarm").await.1;
    let marks: Vec<_> = alarms["rows"].as_array().unwrap().iter().map(|row| row["body"]["mark"].clone()).collect();
    assert_eq!(marks.len(), 2, "{alarms}");
    assert!(marks.contains(&json!("near")) && marks.contains(&json!("exhausted")), "{alarms}");
    let budgets = ru.get("/api/v1/matching/budgets").await.1;
    let [told] = budgets["partners"].as_array().unwrap().as_slice() else { panic!("{budgets}") };
    assert_eq!((&told["used"], &told["state"]), (&json!(96), &json!("exhausted")), "{budgets}");
    let own = vn.get("/api/v1/matching/budgets").await.1;
    assert_eq!(own["officers"][0]["used"], json!(8), "{own}");
    vn.end().await;
    ru.end().await;
}

/// An IMO number with its check digit.
fn imo(first_six: u32) -> String {
    let digits = (0..6).map(|place| first_six / 10_u32.pow(place) % 10 * (place + 2));
    format!("{first_six}{}", digits.sum::<u32>() % 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_those_who_may_keep_lists_and_ask() {
    let (vn, ru) = matching().await;
    let ask = envelope(json!([passport("VNM:C0000001")]));
    for (officer, path, body, expected) in [
        ("x1-day:auditor:RED", "/api/v1/matching/asks", ask.clone(), refused(403, "nothing-permits")),
        ("x1-day:administrator:RED", "/api/v1/matching/asks", ask.clone(), refused(403, "nothing-permits")),
        ("x1-day:analyst:GREEN", "/api/v1/matching/asks", ask.clone(), refused(422, "clearance")),
        (ANALYST, "/api/v1/matching/budgets", json!({ "partner": "ru-police" }), refused(403, "nothing-permits")),
        (KEEPER, "/api/v1/matching/budgets", json!({ "partner": "xx-police" }), refused(422, "unknown-recipient")),
        (KEEPER, "/api/v1/matching/budgets", json!({ "partner": "ru-police", "limit": 15 }), refused(422, "malformed")),
        (KEEPER, "/api/v1/matching/budgets", json!({ "partner": "vn-police" }), refused(422, "unknown-recipient")),
    ] {
        assert_eq!(vn.tell(officer, path, body).await, expected, "{officer} {path}");
    }
    vn.end().await;
    ru.end().await;
}
