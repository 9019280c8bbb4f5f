//! Answers that do not come are brought before deputy and supervisor, once each.

use mufakat_record::{RecordId, Verified};
use mufakat_store::Queries;
use mufakat_views::{Row, Rows, track};
use serde_json::json;

use crate::desk::{Caller, escalations};
use crate::witness::live_tests::{Live, three};
use crate::{clock, follow_up, retention, share};

const DAY_MS: u64 = 86_400_000;

async fn rows(live: &Live) -> Vec<Row> {
    let rows = live.node.read(|reader| {
        let rows = reader.rows(track::NAME, &[], Some((track::UNANSWERED, "retraction")));
        rows.map_err(|e| mufakat_store::Error::Unavailable(e.0))
    });
    rows.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn overdue_answers_are_escalated_once_for_each_level() {
    // Nobody delivers anything, so nobody answers.
    let ([id, _ru, _sg], _) = three().await;
    let eyes = json!([{ "agency": "id-coastguard", "officer": "d3" }]);
    let body = json!({ "title": "EXERCISE" });
    let envelope = json!({ "to": ["ru-police", "sg-fusion"], "tlp": "RED", "eyes": eyes, "body": body });
    let envelopes = vec![serde_json::from_value(envelope).unwrap()];
    let shared = share::share(&id.node, &Caller::operator(), envelopes).await.unwrap();
    let report = shared[0].as_ref().unwrap()[0].id;
    let retracted = follow_up::retract(&id.node, &Caller::operator(), report, "EXERCISE".to_owned()).await;
    let retraction = retracted.unwrap().unwrap();
    let made_ms = rows(&id).await[0].time_ms;
    let (deputy_ms, due_ms) = (made_ms + 3 * DAY_MS / 4 * 3, made_ms + 3 * DAY_MS);
    let look = async |now_ms| {
        let next_ms = escalations::look(&id.node, now_ms).await.unwrap();
        let told: Vec<_> = rows(&id).await.iter().map(|row| row.body["escalated"].clone()).collect();
        assert_eq!((told.len(), &told[0]), (2, &told[1]), "both recipients, one record for each level");
        let levels = told[0].as_array().into_iter().flatten().map(|told| told["level"].as_str().unwrap().to_owned());
        (next_ms, levels.collect::<Vec<_>>())
    };
    assert_eq!(look(deputy_ms - 1).await, (Some(deputy_ms), vec![]));
    let deputy = vec!["deputy".to_owned()];
    assert_eq!(look(deputy_ms).await, (Some(due_ms), deputy.clone()));
    assert_eq!(look(due_ms - 1).await, (Some(due_ms), deputy));
    let both = vec!["deputy".to_owned(), "supervisor".to_owned()];
    assert_eq!(look(due_ms).await, (None, both.clone()));
    let size = *id.node.ledger_size.borrow();
    assert_eq!(look(due_ms + DAY_MS).await, (None, both.clone()));
    assert_eq!(*id.node.ledger_size.borrow(), size, "nothing more goes on record");

    let told = rows(&id).await[0].body["escalated"].clone();
    // Whoever may not read the record does not learn from the escalation that there is one.
    let escalation: RecordId = told[0]["record"].as_str().unwrap().parse().unwrap();
    let [escalation, report] = [escalation, report].map(|of| {
        let bytes = id.node.read(move |reader| reader.record_bytes(&of));
        async { Verified::from_own_store(bytes.await.unwrap().unwrap()).unwrap().header().handling.clone() }
    });
    let (escalation, report) = (escalation.await, report.await);
    assert!(escalation == report && escalation.eyes.is_some(), "{escalation:?}");
    assert_eq!((&told[0]["mark_ms"], &told[0]["due_ms"]), (&json!(deputy_ms), &json!(due_ms)));
    let listed = json!(retention::overdue(&id.node, Some(&Caller::operator()), due_ms).await.unwrap());
    let found: Vec<_> =
        listed.as_array().unwrap().iter().map(|late| (&late["record"], &late["agency"], &late["escalated"])).collect();
    let (record, both) = (json!(retraction), json!(both));
    assert_eq!(found, [(&record, &json!("ru-police"), &both), (&record, &json!("sg-fusion"), &both)]);
    assert!(retention::overdue(&id.node, None, clock::now_ms()).await.unwrap().is_empty());
}
