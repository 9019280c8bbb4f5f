//! `sign-ins`: who signed in and out, and who tried to; one row for each, for auditors.
//!
//! - Key: the index of the leaf, 8 bytes, big-endian.
//! - Record: the hash of the officer's pseudonym.
//! - Facets: `officer`, `how`.
//! - Body: `officer`, `role`, `how` (`sign-in`, `sign-in-failed`, `sign-out`, `operation`), `note` (by which means, or why), `at_ms`.
//!   An `operation` is a one-time link for an officer who can sign in already; the note says which, and who made it.

use mufakat_record::{RecordId, sha256};
use serde_json::json;

use crate::{Event, Happening, Row, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "sign-ins";

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct SignIns;

impl View for SignIns {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["how", "officer"]
    }

    fn fold(&self, event: &Event<'_>, _: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        let Happening::Session(act) = event.happening else { return Ok(Vec::new()) };
        let officer = act.officer.as_ref().map(|officer| officer.as_str()).unwrap_or_default();
        let mut facets = vec![("how", act.how.name().to_owned())];
        if !officer.is_empty() {
            facets.push(("officer", officer.to_owned()));
        }
        Ok(vec![RowChange::Put(Row {
            view: NAME,
            key: event.leaf.to_be_bytes().to_vec(),
            time_ms: event.at_ms,
            record: RecordId(sha256(officer.as_bytes())),
            facets,
            body: json!({
                "officer": act.officer.as_ref(), "role": act.role, "how": act.how, "note": act.note, "at_ms": event.at_ms,
            }),
        })])
    }
}

#[cfg(test)]
mod tests {
    use mufakat_record::{Act, Digest, How, Role};

    use super::*;
    use crate::testing::{MemoryRows, START_S, Step};

    #[test]
    fn every_session_is_listed_and_nothing_else() {
        let act = |how| Act {
            officer: Some("d3-night".parse().unwrap()),
            role: Some(Role::Analyst),
            note: Some("EXERCISE".to_owned()),
            ..Act::of_the_node(how, Digest([0; 32]))
        };
        let read = Step::Used(RecordId([1; 32]), act(How::Read));
        let steps = [read, Step::Session(act(How::SignIn)), Step::Session(act(How::SignInFailed))];
        let rows = MemoryRows::of(&steps);
        let rows = rows.of_view(NAME);
        assert_eq!(rows.len(), 2);
        let at_ms = (START_S + 1) * 1000;
        let expect = Row {
            view: NAME,
            key: 1u64.to_be_bytes().to_vec(),
            time_ms: at_ms,
            record: RecordId(sha256(b"d3-night")),
            facets: vec![("how", "sign-in".to_owned()), ("officer", "d3-night".to_owned())],
            body: json!({
                "officer": "d3-night", "role": "analyst", "how": "sign-in", "note": "EXERCISE", "at_ms": at_ms,
            }),
        };
        assert_eq!(rows[0], &expect);
        assert_eq!(rows[1].body["how"], "sign-in-failed");
    }
}
