//! `receipt`: the recipient node's signed word on each record of a parcel: accepted, with its place in the ledger, or rejected,
//! with the reason. A receipt is itself neither receipted nor numbered; if it is lost, the sender sends again and gets another.

use minicbor::{Decode, Encode};

use super::{Body, is_own_origin};
use crate::{Header, RecordId, parcel};

/// A receipt for the records of one parcel.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// The sender's epoch that the positions belong to.
    #[n(1)]
    pub epoch: u64,
    /// The origin of the ledger that the indexes belong to.
    #[n(2)]
    pub ledger: String,
    /// One entry for each record, by ascending channel position.
    #[n(3)]
    pub entries: Vec<Entry>,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// The record's place on the channel.
    #[n(0)]
    pub position: u64,
    /// The id of the record; for bytes that are no record, their hash.
    #[n(1)]
    pub record: RecordId,
    /// Absent when accepted; otherwise the name of the reason.
    #[n(2)]
    pub rejected: Option<String>,
    /// When it was taken into the ledger, in milliseconds since 1970 by the recipient's clock.
    #[n(3)]
    pub at_ms: u64,
    /// The index of its leaf in the recipient's ledger.
    #[n(4)]
    pub index: u64,
    /// The salt of that leaf, so that the sender can prove it (see the protocol document, "Leaves").
    #[cbor(n(5), with = "minicbor::bytes")]
    pub salt: [u8; 16],
}

impl Body for Receipt {
    const KIND: &'static str = "receipt";

    fn is_sound(&self, header: &Header) -> bool {
        !self.entries.is_empty()
            && self.entries.len() <= parcel::COUNT_MAX
            && header.audience.len() == 1
            && is_own_origin(header, &self.ledger)
            && self.entries.windows(2).all(|pair| pair[0].position < pair[1].position)
            && self.entries.iter().all(|e| e.rejected.as_ref().is_none_or(|r| (1..=60).contains(&r.len())))
    }
}
