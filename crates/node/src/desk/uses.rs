//! Uses of records and refusals, noted in the ledger before anything is shown.

use std::sync::Arc;

use mufakat_exchange::{Leaf, What};
use mufakat_record::{Act, How, RecordId, Verified};
use rand_chacha::rand_core::Rng;

use super::Caller;
use crate::clock;
use crate::gate::{Action, Request};
use crate::node::Node;
use crate::writer::Fault;

/// Notes that the caller used a record, and with it others in the same way.
pub(crate) async fn note(
    node: &Arc<Node>,
    caller: &Caller,
    how: How,
    record: RecordId,
    others: Vec<RecordId>,
) -> Result<(), Fault> {
    let mut act = caller.act(how, node.gate.hash());
    act.records = (!others.is_empty()).then_some(others);
    put(node, What::Use, record, act).await
}

/// Notes that a saved search of the caller's found records; the note says which, and the act is the alert.
pub(crate) async fn note_alert(
    node: &Arc<Node>,
    caller: &Caller,
    record: RecordId,
    others: Vec<RecordId>,
    note: String,
) -> Result<(), Fault> {
    let mut act = caller.act(How::Hit, node.gate.hash());
    act.records = (!others.is_empty()).then_some(others);
    act.note = Some(note);
    put(node, What::Use, record, act).await
}

/// Notes that the gate refused the caller something: with a record, or with one that was to be made.
pub(crate) async fn note_refusal(
    node: &Arc<Node>,
    caller: &Caller,
    how: How,
    record: Option<RecordId>,
    rule: &str,
) -> Result<(), Fault> {
    let mut act = caller.act(how, node.gate.hash());
    act.refused = Some(rule.to_owned());
    put(node, What::Decision, record.unwrap_or(NO_RECORD), act).await
}

/// Whether a caller may read a record. A refusal is noted; what one may not read is to one as if it were not there.
pub(crate) async fn may_read(node: &Arc<Node>, caller: &Caller, record: &Verified) -> Result<bool, Fault> {
    let directory = node.directory();
    let register = directory.chain().current();
    let read = Request::about(caller, record.header(), Action::Read, &node.me, register, clock::now_s());
    let decision = node.gate.decide(&read);
    if !decision.allow {
        note_refusal(node, caller, How::Read, Some(record.id()), decision.rule).await?;
    }
    Ok(decision.allow)
}

/// Notes that the gate refused the caller an operation of the API.
pub(crate) async fn note_operation(
    node: &Arc<Node>,
    caller: &Caller,
    operation: &str,
    rule: &str,
) -> Result<(), Fault> {
    let mut act = caller.act(How::Operation, node.gate.hash());
    act.refused = Some(rule.to_owned());
    act.note = Some(operation.to_owned());
    put(node, What::Decision, NO_RECORD, act).await
}

/// What stands in the place of a record that was never made.
const NO_RECORD: RecordId = RecordId([0; 32]);

async fn put(node: &Arc<Node>, what: What, record: RecordId, act: Act) -> Result<(), Fault> {
    let how = act.how;
    let noted = node.writer.call(move |core| {
        let mut salt = [0; 16];
        core.random.fill_bytes(&mut salt);
        let leaf = Leaf::about(what, &record, clock::now_ms(), &act.to_detail(), salt);
        let batch = core.exchange.note(leaf);
        core.apply(batch)
    });
    match noted.await {
        // A full disk must not keep people from what they hold; the log has to do in the ledger's place.
        Err(Fault::Full) => {
            tracing::warn!(%record, how = how.name(), "a use could not be noted in the ledger: the disk is full");
            Ok(())
        }
        done => done,
    }
}
