//! `refused`: what came and was rejected, for the operator; one row for each, with the reason that the sender was given.
//!
//! - Key: the index of the leaf, 8 bytes, big-endian.
//! - Record: the id of the record, or the hash of bytes that are no record.
//! - Facets: `reason`.
//! - Body: `reason`; `at_ms`, when it came.

use serde_json::json;

use crate::{Event, Happening, Row, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "refused";

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Refused;

impl View for Refused {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["reason"]
    }

    fn fold(&self, event: &Event<'_>, _: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        let Happening::Rejected { record, reason } = event.happening else { return Ok(Vec::new()) };
        Ok(vec![RowChange::Put(Row {
            view: NAME,
            key: event.leaf.to_be_bytes().to_vec(),
            time_ms: event.at_ms,
            record,
            facets: vec![("reason", reason.to_owned())],
            body: json!({ "reason": reason, "at_ms": event.at_ms }),
        })])
    }
}

#[cfg(test)]
mod tests {
    use mufakat_record::RecordId;

    use super::*;
    use crate::testing::{ME, MemoryRows, START_S, Step, report};

    #[test]
    fn what_was_rejected_is_listed_and_nothing_else() {
        let (accepted, hash) = (report("ru-police", &[ME], "EXERCISE"), RecordId([8; 32]));
        let rows = MemoryRows::of(&[Step::Received(accepted), Step::Rejected(hash, "wrong-signature"), Step::Nothing]);
        let at_ms = (START_S + 1) * 1000;
        let expect = Row {
            view: NAME,
            key: 1u64.to_be_bytes().to_vec(),
            time_ms: at_ms,
            record: hash,
            facets: vec![("reason", "wrong-signature".to_owned())],
            body: json!({ "reason": "wrong-signature", "at_ms": at_ms }),
        };
        assert_eq!(rows.of_view(NAME), [&expect]);
    }
}
