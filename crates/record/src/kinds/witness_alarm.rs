//! `witness-alarm`: a node tells all others that a ledger has shown different histories. It carries what anyone can check.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::{AgencyId, Header};

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = AlarmFinding))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Finding {
    /// Two signed checkpoints of one size with different roots: proof by itself.
    #[n(0)]
    SplitView,
    /// A smaller or different tree after a larger one, and no proof that they belong together.
    #[n(1)]
    NoConsistencyProof,
    /// The ledger began a new origin, as after a restore from a backup.
    #[n(2)]
    Restarted,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cbor(map)]
pub struct WitnessAlarm {
    /// Whose ledger.
    #[n(1)]
    pub agency: AgencyId,
    /// What was seen.
    #[n(2)]
    pub finding: Finding,
    /// The checkpoint seen first, as a signed note.
    #[n(3)]
    pub first: String,
    /// The checkpoint that does not go with it, as a signed note.
    #[n(4)]
    pub second: String,
}

impl Body for WitnessAlarm {
    const KIND: &'static str = "witness-alarm";

    fn is_sound(&self, _: &Header) -> bool {
        self.first.len() <= 16 * 1024 && self.second.len() <= 16 * 1024
    }
}
