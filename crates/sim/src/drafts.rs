//! Drafts: written, put before a second officer, approved or rejected, and released. Until then nobody else has them.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::approval::{Approval, Decision};
use mufakat_record::kinds::draft::{Draft, Drafted};
use mufakat_record::kinds::draft_step::{DraftStep, Step};
use mufakat_record::kinds::report::Report;
use mufakat_record::{AgencyId, Handling, RecordId, Reference, Relation, ThreadId, Verified};
use mufakat_store::Queries;
use mufakat_views::Rows;
use mufakat_views::drafts::{NAME, State};

use crate::acts::plain_report;
use crate::community::sign;
use crate::invariant::{Invariant, Stop};
use crate::receive::markers;
use crate::world::World;

impl World {
    /// Somebody writes a draft, or does with one what comes next.
    pub(crate) fn work_on_draft(&mut self, node: usize) -> Result<(), Stop> {
        let rows = self.core(node)?.store.rows(NAME, &[], None).unwrap_or_default();
        let open = rows.iter().filter_map(|row| Some((row.record, State::of(&row.body)?)));
        let open: Vec<_> = open.filter(|(_, state)| !matches!(state, State::Released | State::Discarded)).collect();
        let Some((id, state)) = self.dice.pick(&open).filter(|_| self.dice.chance(700)) else {
            return self.write_draft(node, None);
        };
        let step = |step| DraftStep { by: None, step, records: None };
        match (state, self.dice.below(10)) {
            (State::Draft | State::Rejected, 0) => self.write_draft(node, Some(id)),
            (_, 1) | (State::Rejected, _) => {
                let record = self.home(node, &step(Step::Discarded), &[id])?;
                self.say(node, vec![record])
            }
            (State::Draft, _) => {
                let record = self.home(node, &step(Step::Submitted), &[id])?;
                self.say(node, vec![record])
            }
            (State::Submitted, word) => {
                let decision = if word < 4 { Decision::Reject } else { Decision::Approve };
                let words = Some(format!("EXERCISE {}", self.mark([node])));
                let record = self.home(node, &Approval { by: None, decision, checks: Vec::new(), words }, &[id])?;
                self.say(node, vec![record])
            }
            _ => self.release(node, id),
        }
    }

    fn write_draft(&mut self, node: usize, replaces: Option<RecordId>) -> Result<(), Stop> {
        let others = self.partners(node);
        if others.is_empty() {
            return Ok(());
        }
        let to: Vec<AgencyId> = self.dice.some(&others, 3).iter().map(|n| self.nodes[*n].id.clone()).collect();
        let words = self.mark([node]);
        let draft = Draft {
            by: None,
            kind: Report::KIND.to_owned(),
            body: plain_report(&format!("EXERCISE {words}"), &words).to_body(),
            to,
            handling: Handling::community(),
            thread: ThreadId(self.dice.bytes()),
            expires: None,
            hidden_audience: self.dice.chance(300),
            attachments: None,
            about: None,
            target: None,
        };
        let me = self.nodes[node].id.clone();
        let (mut header, signer) = self.head(node, vec![me], Draft::KIND)?;
        header.references = replaces.iter().map(|id| Reference { relation: Relation::Corrects, record: *id }).collect();
        self.say(node, vec![sign(header, &draft, &signer)])
    }

    /// An approved draft becomes what it was to become, in the transaction that says so.
    fn release(&mut self, node: usize, id: RecordId) -> Result<(), Stop> {
        let bytes = self.core(node)?.store.record_bytes(&id).ok().flatten();
        let record = bytes.and_then(|bytes| Verified::from_own_store(bytes).ok());
        let draft = record.and_then(|record| {
            let draft = Draft::from_body(record.header(), record.body()).ok()?;
            // No other drafts are written here.
            let Drafted::Report(report) = draft.drafted(record.header())? else { return None };
            Some((report, draft))
        });
        let Some((report, draft)) = draft else {
            let what = format!("draft {id} has a row and cannot be read");
            return Err(self.failure(Invariant::NoSilentLoss, &[node], what).into());
        };
        let (whole, _) = self.head(node, draft.to.clone(), Report::KIND)?;
        if whole.audience.is_empty() {
            return Ok(());
        }
        let to: Vec<usize> = whole.audience.iter().filter_map(|to| self.index(to)).collect();
        for marker in markers(&draft.body) {
            self.markers[marker].extend(&to);
        }
        let audiences = if draft.hidden_audience {
            whole.audience.into_iter().map(|to| vec![to]).collect()
        } else {
            vec![whole.audience]
        };
        let mut records = Vec::new();
        for audience in audiences {
            let (mut header, signer) = self.head(node, audience, Report::KIND)?;
            header.thread = draft.thread;
            records.push(sign(header, report.as_ref(), &signer));
        }
        let ids = records.iter().map(|record| record.id()).collect();
        let step = DraftStep { by: None, step: Step::Released, records: Some(ids) };
        records.push(self.home(node, &step, &[id])?);
        self.say(node, records)?;
        self.tell(|_| format!("{node}: releases a draft to {to:?}"));
        Ok(())
    }
}
