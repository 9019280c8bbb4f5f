//! Uses of what was passed on, and holds that end.

use super::*;

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

    // A hold with an end keeps the copy that was passed on, and lets go of it by itself.
    let until = crate::clock::now_s() + 8;
    let hold = json!({ "records": [onward], "reason": "EXERCISE case", "until": until });
    assert_eq!(ru.post("/api/v1/holds", &hold).await.0, StatusCode::CREATED);
    vn.post(&format!("/api/v1/records/{record}/retract"), &json!({ "reason": "EXERCISE" })).await;
    let gone = |shown: &Value| shown["state"] == "deleted";
    ru.until(&format!("/api/v1/records/{record}"), gone).await;
    id.until(&format!("/api/v1/records/{onward}"), gone).await;
    if crate::clock::now_s() < until {
        let preview = ru.get("/api/v1/retention/preview").await.1;
        assert_eq!((&preview["held"], &preview["due"][0]["record"]), (&json!(1), &json!(onward)), "{preview}");
    }
    ru.until(&format!("/api/v1/records/{onward}"), gone).await;
    for node in [vn, ru, id] {
        node.end().await;
    }
}
