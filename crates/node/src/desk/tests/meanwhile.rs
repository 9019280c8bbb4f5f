//! What changes between a look and what is done by it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mufakat_exchange::{Directory, Submission};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::approval::Decision;
use mufakat_record::kinds::correction::Correction;
use mufakat_record::kinds::deletion_order::DeletionOrder;
use mufakat_record::kinds::deletion_receipt::Why;
use mufakat_record::kinds::report::Report;
use mufakat_record::{Handling, Header, RecordId, Reference, Relation, SigningKey, Tlp};
use serde_json::{Value, json};

use crate::clock;
use crate::desk::drafts::{self, Opened, Proposed};
use crate::desk::{Caller, Via, together};
use crate::follow_up;
use crate::gate::Policies;
use crate::node::Node;
use crate::share::{self, Together};
use crate::witness::live_tests::three;

fn officer(name: &str) -> Caller {
    Caller { officer: name.parse().ok(), via: Via::Session, ..Caller::operator() }
}

fn report(body: Value) -> Report {
    serde_json::from_value(body).unwrap()
}

fn notice() -> Report {
    let person = json!([{ "class": "person", "name": "EXERCISE" }]);
    report(json!({ "report_type": "notice", "title": "EXERCISE notice", "entities": person }))
}

/// Shares a report that is no notice.
async fn shared(node: &Arc<Node>) -> RecordId {
    let envelope = json!({ "to": ["ru-police"], "tlp": "GREEN", "body": { "title": "EXERCISE" } });
    let envelopes = vec![serde_json::from_value(envelope).unwrap()];
    share::share(node, &Caller::operator(), envelopes).await.unwrap()[0].as_ref().unwrap()[0].id
}

/// A correction of a report by another that is no notice, approved when neither was one.
async fn approved(node: &Arc<Node>, target: RecordId) -> Opened {
    let (author, second) = (officer("d3-night"), officer("s1-day"));
    let correction = Correction { reason: "EXERCISE".into(), report: report(json!({ "title": "EXERCISE again" })) };
    let proposed = Proposed::Correction { target, correction: Box::new(correction) };
    let id = drafts::write(node, &author, proposed, None).await.unwrap().unwrap();
    let opened = drafts::open(node, id).await.unwrap().unwrap();
    drafts::submit(node, &author, &opened).await.unwrap().unwrap();
    drafts::decide(node, &second, &opened, Decision::Approve, &[], None).await.unwrap().unwrap();
    drafts::open(node, id).await.unwrap().unwrap()
}

/// Corrects a report into a notice, as the agency itself.
async fn make_a_notice(node: &Arc<Node>, target: RecordId) {
    follow_up::correct(node, &Caller::operator(), target, "EXERCISE".into(), notice()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_released_by_what_it_corrects_now() {
    let ([id, _ru, _sg], _) = three().await;
    let (node, releaser) = (&id.node, officer("r1-day"));
    let release = async |opened: &Opened| {
        let released = drafts::release(node, &releaser, opened).await.unwrap();
        released.map(|shared| shared.len()).map_err(|no| no.reason)
    };
    // What was seen when the draft was opened is looked at again.
    let target = shared(node).await;
    let opened = approved(node, target).await;
    make_a_notice(node, target).await;
    assert_eq!(release(&opened).await, Err("wrong-state"));

    // And once more in the transaction in which it is released: the writer is kept busy with what makes it a notice.
    let target = shared(node).await;
    let opened = approved(node, target).await;
    let original = follow_up::original(node, target, true).await.unwrap().unwrap();
    let correction = Correction { reason: "EXERCISE".into(), report: notice() };
    let (directory, signer) = (node.directory(), node.keyring.load().signer());
    let (operator, corrects) = (Caller::operator(), Relation::Corrects);
    let composed =
        follow_up::compose(node, &operator, &directory, &signer, &original, corrects, &correction, false).unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let policy = node.gate.hash();
    let busy = node.writer.call(move |core| {
        wait.recv().unwrap();
        let submissions: Vec<Submission> = composed.records;
        let (batch, _) =
            core.exchange.submit(submissions, &policy, clock::now_ms(), &mut core.random, &core.store).unwrap();
        core.apply(batch)
    });
    let (done, (), released) = tokio::join!(
        busy,
        async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            go.send(()).unwrap();
        },
        release(&opened)
    );
    done.unwrap();
    assert_eq!(released, Err("wrong-state"));

    // Nothing of the kind happens to what stays as it was.
    let target = shared(node).await;
    let opened = approved(node, target).await;
    assert_eq!(release(&opened).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_under_a_policy_is_decided_by_it() {
    let ([id, _ru, _sg], _) = three().await;
    let node = &id.node;
    for alone in [true, false] {
        let composed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&composed);
        // The policy changes while the first attempt is signed.
        let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
            let (audience, handling) = (vec![node.me.clone()], Handling::with(Tlp::Red));
            let thread = share::new_thread();
            let header = share::header_for(node, directory, DeletionOrder::KIND, audience, handling, thread);
            let references = vec![Reference { relation: Relation::About, record: RecordId([9; 32]) }];
            let body = DeletionOrder { by: None, why: Why::Order, reason: "EXERCISE".into() };
            let record = share::sign(Header { references, ..header }, &body, signer)?;
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                node.gate.enforce(Policies::locked());
            }
            Ok(Together::one(record))
        };
        if alone {
            let made =
                share::submit_signed(node, move |node, directory, signer| vec![compose(node, directory, signer)]);
            assert!(made.await.unwrap()[0].is_ok());
        } else {
            assert!(together::submit(node, compose, |_| Ok(Ok(()))).await.unwrap().is_ok());
        }
        assert_eq!(composed.load(Ordering::SeqCst), 2, "signed again under the other policy");
    }
}
