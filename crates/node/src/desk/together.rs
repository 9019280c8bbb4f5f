//! Records that stand or fall together, with what the ledger says of how they came about.

use std::sync::Arc;

use mufakat_exchange::{Directory, Refusal};
use mufakat_record::{RecordId, SigningKey};
use mufakat_store::Sqlite;

use crate::clock;
use crate::node::Node;
use crate::share::{self, NotShared, Together};
use crate::writer::{Fault, refusal};

/// How often records are signed again when the register changes under them.
const TRIES: usize = 3;

/// Signs and submits records, all or none, in one transaction, again if the register or the policy changes meanwhile. `fits` is asked first, within that transaction: it sees every
/// row as it is then, so of two callers who want what excludes each other, one is refused. Gives the records' ids.
pub(crate) async fn submit(
    node: &Arc<Node>,
    compose: impl Fn(&Node, &Directory, &SigningKey) -> Result<Together, NotShared> + Send + Sync + 'static,
    fits: impl Fn(&Sqlite) -> Result<Result<(), NotShared>, Fault> + Send + Sync + 'static,
) -> Result<Result<Vec<RecordId>, NotShared>, Fault> {
    let (compose, fits) = (Arc::new(compose), Arc::new(fits));
    for _ in 0..TRIES {
        // What the gate decides from here on it decides by these rules, or all is signed again.
        let policies = node.gate.policies();
        let (work_node, work) = (Arc::clone(node), Arc::clone(&compose));
        let signed = tokio::task::spawn_blocking(move || {
            work(&work_node, &work_node.directory(), &work_node.keyring.load().signer())
        });
        let Together { records, decided, .. } = match signed.await.map_err(|e| Fault::Store(e.to_string()))? {
            Ok(together) => together,
            Err(no) => return Ok(Err(no)),
        };
        let (shared, fits, count) = (Arc::clone(node), Arc::clone(&fits), records.len());
        let submitted = node.writer.call(move |core| {
            if !shared.gate.is_in_force(&policies) {
                return Ok(Err(Refusal::RegisterChanged));
            }
            if let Err(no) = fits(&core.store)? {
                return Ok(Ok(Err(no)));
            }
            let at_ms = clock::now_ms();
            let result = core.exchange.submit(records, &policies.hash(), at_ms, &mut core.random, &core.store);
            let ids = match refusal(result)? {
                Ok((batch, ids)) => core.apply(batch).map(|()| ids)?,
                Err(refused) => return Ok(Err(refused)),
            };
            share::note_decisions(core, decided.as_slice(), at_ms)?;
            Ok(Ok(Ok(ids)))
        });
        match submitted.await? {
            Ok(outcome) => {
                if outcome.is_ok() {
                    node.metrics.records_submitted.inc_by(count as u64);
                }
                return Ok(outcome);
            }
            Err(Refusal::RegisterChanged) => {}
            Err(Refusal::Unfit(reason)) => return Ok(Err(reason.into())),
            Err(Refusal::Unavailable(e)) => return Err(e.into()),
        }
    }
    Ok(Err(share::keeps_changing()))
}
