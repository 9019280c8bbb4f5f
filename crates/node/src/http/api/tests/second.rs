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
    assert_eq!(vn.tell(ONE, &correct(&plain), with(json!({ "title": "EXERCISE again" }))).await, done());
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
