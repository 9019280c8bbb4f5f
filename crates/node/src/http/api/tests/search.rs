//! Searching, asked over the socket.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_is_found_and_what_is_retracted_is_not() {
    let (vn, ru) = two().await;
    let mut ids = Vec::new();
    for (title, text) in [("EXERCISE một", "Nguyễn Văn Đức, tàu cá"), ("EXERCISE two", "Kapal nelayan, IMO 9074729")]
    {
        let mut envelope = envelope(title);
        envelope["body"]["text"] = text.into();
        envelope["body"]["place"] = json!({ "latitude_e7": 12_500_000, "longitude_e7": 1_040_000_000 });
        let (status, shared) = vn.post("/api/v1/records", &envelope).await;
        assert_eq!(status, StatusCode::CREATED, "{shared}");
        ids.push(shared["records"][0]["id"].as_str().unwrap().to_owned());
    }
    let both = ru.until("/api/v1/search?q=exercise&limit=1", |page| page["count"]["number"] == 2).await;
    assert_eq!((&both["hits"][0]["record"], &both["hits"][0]["title"]), (&json!(ids[1]), &json!("EXERCISE two")));
    let next = both["next"].as_str().unwrap();
    let (_, second) = ru.get(&format!("/api/v1/search?q=exercise&limit=1&after={next}")).await;
    assert_eq!(
        (&second["hits"][0]["record"], &second["next"], &second["count"]),
        (&json!(ids[0]), &Value::Null, &Value::Null)
    );
    // Its author finds it, too.
    vn.until("/api/v1/search?q=nguyen%20duc&author=vn-police", |page| page["hits"][0]["record"] == ids[0]).await;

    let found = async |query: &str| ru.get(&format!("/api/v1/search?{query}")).await.1["hits"].as_array().map(Vec::len);
    for (query, count) in [
        ("q=nguyen", 1),
        ("q=%22duc%20van%22", 0),
        ("kind=report&party=vn", 2),
        ("party=ru", 0),
        ("tlp=GREEN&type=information", 2),
        ("near=1.25,104,1000", 2),
        ("box=2,103,3,105", 0),
        ("from=0&until=99999999999", 2),
        ("until=1", 0),
    ] {
        assert_eq!(found(query).await, Some(count), "{query}");
    }
    for (query, named) in [
        ("q=%22a", "`q`"),
        ("q=a&q=b", "`q`"),
        ("colour=blue", "`colour`"),
        ("tlp=PURPLE", "`tlp`"),
        ("box=1,2,3", "`box`"),
        ("box=0,0,1,1&near=0,0,1", "`box` and `near`"),
        ("limit=201", "`limit`"),
        ("identifier=imo:1", "`identifier`"),
        (&format!("q=other&after={next}"), "cursor"),
    ] {
        let (status, problem) = ru.get(&format!("/api/v1/search?{query}")).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(status == StatusCode::BAD_REQUEST && detail.contains(named), "{query}: {problem}");
    }

    // A saved search tells of what comes, and not of what was there.
    let save = json!({ "name": "EXERCISE boats", "question": "q=nelayan&kind=report" });
    assert_eq!(ru.post("/api/v1/searches", &save).await.0, StatusCode::CREATED);
    for (question, named) in [("q=%22", "`q`"), ("limit=5", "`limit`"), ("colour=blue", "`colour`")] {
        let (status, problem) = ru.post("/api/v1/searches", &json!({ "name": "x", "question": question })).await;
        assert!(status == StatusCode::BAD_REQUEST && problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
    let (_, shared) = vn.post("/api/v1/records", &envelope("EXERCISE three")).await;
    assert_eq!(shared["records"].as_array().map(Vec::len), Some(1));
    let mut third = envelope("EXERCISE four");
    third["body"]["text"] = "Kapal nelayan lain".into();
    let (_, shared) = vn.post("/api/v1/records", &third).await;
    let fourth = shared["records"][0]["id"].clone();
    let listed = ru.until("/api/v1/searches", |page| page["searches"][0]["alerts"] == 1).await;
    assert_eq!(listed["searches"][0]["last"]["records"], json!([fourth]));
    let end = "/api/v1/searches/EXERCISE%20boats";
    assert_eq!(ru.ask(Method::DELETE, end, "", Body::empty()).await.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(ru.get("/api/v1/searches").await.1["searches"], json!([]));
    assert_eq!(ru.ask(Method::DELETE, end, "", Body::empty()).await.unwrap().status, StatusCode::NOT_FOUND);

    // What was found is noted in the ledger, a page in one leaf.
    let page =
        ru.until("/api/v1/views/uses", |page| page["rows"].as_array().is_some_and(|rows| !rows.is_empty())).await;
    assert!(page["rows"].as_array().unwrap().iter().any(|row| row["body"]["how"] == "hit"), "{page}");

    let (status, _) = vn.post(&format!("/api/v1/records/{}/retract", ids[0]), &json!({ "reason": "EXERCISE" })).await;
    assert_eq!(status, StatusCode::CREATED);
    ru.until("/api/v1/search?q=nguyen", |page| page["count"]["number"] == 0 && page["complete"] == true).await;
    // The rest is found as before.
    ru.until("/api/v1/search?q=nelayan", |page| page["count"]["number"] == 2).await;
    vn.end().await;
    ru.end().await;
}
