//! Summaries of use are made at the ends of equal stretches of time, and told to the originators of the records.

use std::sync::Arc;
use std::time::Duration;

use mufakat_exchange::{Directory, Submission};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::use_summary::UseSummary;
use mufakat_record::{Handling, SigningKey, Tlp};
use mufakat_store::summaries::{Gathered, gather};

use super::together;
use crate::clock;
use crate::node::Node;
use crate::share::{self, Together};
use crate::writer::Fault;

/// How often the clock is looked at while the end of a stretch of time is waited for; it may be set meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// Tells originators at the end of each stretch of time how their records were used, until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let interval_s = node.config.desk.use_summary_s;
    if interval_s == 0 {
        return node.stopping().await;
    }
    let (mut told, mut mark) = (None, None);
    loop {
        let stretch = clock::now_s() / interval_s;
        if told != Some(stretch) {
            match tell(&node, stretch * interval_s * 1000, &mut mark).await {
                Ok(()) => told = Some(stretch),
                // It is tried again at the next look.
                Err(fault) => tracing::warn!(%fault, "originators could not be told how their records were used"),
            }
        }
        let left = Duration::from_secs(((stretch + 1) * interval_s).saturating_sub(clock::now_s()).max(1));
        tokio::select! {
            () = tokio::time::sleep(left.min(LOOK_INTERVAL)) => {}
            () = node.stopping() => return,
        }
    }
}

/// Tells of what was done before a time. `mark` is how far earlier runs of this process came.
async fn tell(node: &Arc<Node>, before_ms: u64, mark: &mut Option<u64>) -> Result<(), Fault> {
    loop {
        let (size, from, now_ms) = (*node.ledger_size.borrow(), *mark, clock::now_ms());
        let gathered = node.read(move |reader| gather(reader, from, size, before_ms..=now_ms)).await?;
        let (until, done) = (gathered.until, gathered.done);
        if let Err(no) = say(node, gathered).await? {
            return Err(Fault::Store(format!("a summary of use could not be made: {}: {}", no.reason, no.detail)));
        }
        *mark = Some(until);
        if done {
            return Ok(());
        }
    }
}

/// Signs and submits the summaries of a run, all or none.
async fn say(node: &Arc<Node>, gathered: Gathered) -> Result<Result<(), share::NotShared>, Fault> {
    if gathered.summaries().next().is_none() {
        return Ok(Ok(()));
    }
    let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
        let mut records = Vec::new();
        for (originator, summary, key) in gathered.summaries() {
            // Whoever was removed is told nothing any more.
            if directory.chain().member(originator).is_none() {
                continue;
            }
            let (handling, audience) = (Handling::with(Tlp::AmberStrict), vec![originator.clone()]);
            let header = share::header_for(node, directory, UseSummary::KIND, audience, handling, share::new_thread());
            records.push(Submission { record: share::sign(header, &summary, signer)?, key: Some(key) });
        }
        Ok(Together::of(records))
    };
    let submitted = together::submit(node, compose, |_| Ok(Ok(()))).await?;
    Ok(submitted.map(drop))
}
