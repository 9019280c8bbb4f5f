//! The messages between nodes that are not parcels; `docs/protocol.md`, "Transport between nodes", describes them.

use minicbor::{Decode, Encode, bytes::ByteVec};
use mufakat_exchange::Chain;
use mufakat_record::{AgencyId, Digest, Reason, cbor};

/// What two nodes tell each other when one comes up or has new keys. The answer is the other's.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Sync {
    /// The teller's epoch.
    #[n(1)]
    pub(crate) epoch: u64,
    /// The epoch of the other's channel that `expected` belongs to.
    #[n(2)]
    pub(crate) channel_epoch: u64,
    /// The position that the teller expects next on the other's channel.
    #[n(3)]
    pub(crate) expected: u64,
    /// The register version that the teller goes by.
    #[n(4)]
    pub(crate) register_version: u64,
    /// The teller's key set, as the signed record.
    #[n(5)]
    pub(crate) key_set: ByteVec,
}

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Problem {
    /// The name of the reason.
    #[n(1)]
    pub(crate) reason: String,
    /// The position expected next, where it matters.
    #[n(2)]
    pub(crate) expected: Option<u64>,
}

/// The register from its founding version on: bodies with their approvals.
pub(crate) type ChainParts = Vec<(ByteVec, Vec<ByteVec>)>;

/// Parcels waiting at a relay, each with its cursor.
pub(crate) type Mailbox = Vec<(u64, ByteVec)>;

/// What an invitation says; it travels from person to person as text.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Invitation {
    /// The inviting agency.
    #[n(1)]
    pub(crate) inviter: AgencyId,
    /// Where it listens.
    #[n(2)]
    pub(crate) endpoint: String,
    /// Its identity key.
    #[n(3)]
    pub(crate) identity: Digest,
    /// The hash of the community's founding version.
    #[n(4)]
    pub(crate) root: Digest,
    /// The invited agency.
    #[n(5)]
    pub(crate) agency: AgencyId,
    /// The party for which it is to join.
    #[n(6)]
    pub(crate) party: AgencyId,
    /// What shows that the caller holds the invitation.
    #[n(7)]
    pub(crate) token: Digest,
    /// Until when it holds, in seconds since 1970.
    #[n(8)]
    pub(crate) expires: u64,
}

/// What an agency is and how it is reached: what others need to name it in a register.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Card {
    /// The agency.
    #[n(1)]
    pub(crate) agency: AgencyId,
    /// Its name.
    #[n(2)]
    pub(crate) name: String,
    /// Its party.
    #[n(3)]
    pub(crate) party: AgencyId,
    /// The party's name.
    #[n(4)]
    pub(crate) party_name: String,
    /// Where its node listens for partners.
    #[n(5)]
    pub(crate) endpoint: String,
    /// Its identity key.
    #[n(6)]
    pub(crate) identity: Digest,
    /// Whether it offers to relay.
    #[n(7)]
    pub(crate) relay: bool,
}

/// An invited agency's word to its inviter.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Join {
    /// The token of the invitation.
    #[n(1)]
    pub(crate) token: Digest,
    /// Who it is.
    #[n(2)]
    pub(crate) card: Card,
}

/// What an inviter has for the agency that it invited, once the register names it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(crate) struct Welcome {
    /// The register.
    #[n(1)]
    pub(crate) chain: ChainParts,
    /// The key sets that the inviter has.
    #[n(2)]
    pub(crate) key_sets: Vec<ByteVec>,
}

/// A chain in the form in which it travels.
pub(crate) fn chain_parts(chain: &Chain) -> ChainParts {
    let approvals = |list: &[Vec<u8>]| list.iter().cloned().map(ByteVec::from).collect();
    chain.versions().iter().map(|e| (cbor::encode(&e.version).into(), approvals(&e.approvals))).collect()
}

/// Reads and verifies a chain that came from outside.
pub(crate) fn read_chain(parts: ChainParts) -> Result<Chain, Reason> {
    let approvals = |list: Vec<ByteVec>| list.into_iter().map(Vec::from).collect();
    let parts: Vec<_> = parts.into_iter().map(|(body, list)| (Vec::from(body), approvals(list))).collect();
    Chain::verify(&parts)
}

/// Text that carries a structure from person to person: a prefix and URL-safe base64.
pub(crate) fn to_text<T: Encode<()>>(prefix: &str, value: &T) -> String {
    use base64::Engine as _;
    format!("{prefix}{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(cbor::encode(value)))
}

/// Reads such a text.
pub(crate) fn from_text<T>(prefix: &str, text: &str) -> Option<T>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    use base64::Engine as _;
    let encoded = text.trim().strip_prefix(prefix)?;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).ok()?;
    cbor::decode(&bytes).ok()
}

/// The prefix of a card as text.
pub(crate) const CARD_PREFIX: &str = "mufakat-card-";
/// The prefix of an invitation as text.
pub(crate) const INVITATION_PREFIX: &str = "mufakat-invitation-";
