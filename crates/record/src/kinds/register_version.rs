//! `register-version`: a proposed version of the register, the community's root of trust. It comes into force when enough
//! parties have approved its hash; see `register-approval`.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Body;
use crate::{AgencyId, Digest, Header, VerifyingKey, cbor};

/// A version of the register. Its hash is SHA-256 of the encoded body.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct RegisterVersion {
    /// The community's name.
    #[n(1)]
    pub community: String,
    /// 1 for the founding version, then one more each time.
    #[n(2)]
    pub version: u64,
    /// The hash of the version before; absent in the founding version only.
    #[n(3)]
    pub previous: Option<Digest>,
    /// When it was drawn up, in seconds since 1970.
    #[n(4)]
    pub issued_at: u64,
    /// When it must have been renewed. An expired register is shown as such; it goes on serving until it is replaced.
    #[n(5)]
    pub expires: u64,
    /// How many parties must approve the next version.
    #[n(6)]
    pub threshold: u64,
    /// The parties, ascending by id.
    #[n(7)]
    pub parties: Vec<Party>,
    /// The agencies, ascending by id; those removed stay, with the time from which they are.
    #[n(8)]
    pub agencies: Vec<Agency>,
    /// The forums, ascending by id.
    #[n(9)]
    pub forums: Vec<Forum>,
    /// The community's rules.
    #[n(10)]
    pub rules: Rules,
}

/// A state or organisation: one voice.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = RegisterParty))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Party {
    /// Its id.
    #[n(1)]
    pub id: AgencyId,
    /// Its name.
    #[n(2)]
    pub name: String,
    /// The agency whose identity key gives this party's approvals.
    #[n(3)]
    pub speaker: AgencyId,
}

/// An agency: one node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = RegisterAgency))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Agency {
    /// Its id.
    #[n(1)]
    pub id: AgencyId,
    /// The party it belongs to.
    #[n(2)]
    pub party: AgencyId,
    /// Its name.
    #[n(3)]
    pub name: String,
    /// Its stable identity key (Ed25519), as hexadecimal in JSON.
    #[n(4)]
    pub identity: Digest,
    /// Where its node listens for partners: `host:port`.
    #[n(5)]
    pub endpoint: String,
    /// Whether it relays parcels for others when they cannot reach each other.
    #[n(6)]
    pub relay: bool,
    /// Since when it is removed.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<u64>,
}

/// A circle of parties.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = RegisterForum))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Forum {
    /// Its id.
    #[n(1)]
    pub id: AgencyId,
    /// Its name.
    #[n(2)]
    pub name: String,
    /// The member parties, ascending.
    #[n(3)]
    pub members: Vec<AgencyId>,
    /// How the chair is found, such as `yearly, English alphabetical order`.
    #[n(4)]
    pub chair_rule: String,
}

/// Rules that every node of the community goes by.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = RegisterRules))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Rules {
    /// How many witnesses should cosign a checkpoint.
    #[n(1)]
    pub witness_quorum: u64,
    /// How often a node asks its witnesses, in seconds.
    #[n(2)]
    pub witness_interval_s: u64,
    /// How long a relay holds a parcel, and how long sealing keys outlive their use, in seconds.
    #[n(3)]
    pub relay_max_s: u64,
}

impl RegisterVersion {
    /// The version's hash, which approvals and audiences name.
    pub fn hash(&self) -> Digest {
        Digest::of(&cbor::encode(self))
    }

    /// An agency of this version, removed or not.
    pub fn agency(&self, id: &AgencyId) -> Option<&Agency> {
        self.agencies.binary_search_by(|a| a.id.cmp(id)).ok().map(|i| &self.agencies[i])
    }

    /// The agencies that are not removed.
    pub fn members(&self) -> impl Iterator<Item = &Agency> {
        self.agencies.iter().filter(|a| a.removed.is_none())
    }

    /// What must hold within one version.
    pub fn is_consistent(&self) -> bool {
        let named = |name: &str| (1..=200).contains(&name.len());
        let ascending = self.parties.windows(2).all(|p| p[0].id < p[1].id)
            && self.agencies.windows(2).all(|a| a[0].id < a[1].id)
            && self.forums.windows(2).all(|f| f[0].id < f[1].id);
        let party = |id: &AgencyId| self.parties.binary_search_by(|p| p.id.cmp(id)).is_ok();
        let speakers = self
            .parties
            .iter()
            .all(|p| named(&p.name) && self.agency(&p.speaker).is_some_and(|a| a.party == p.id && a.removed.is_none()));
        let agencies = self.agencies.iter().all(|a| {
            // A removed agency may have been the last of its party.
            (party(&a.party) || a.removed.is_some())
                && named(&a.name)
                && named(&a.endpoint)
                && VerifyingKey::from_bytes(a.identity.as_bytes()).is_ok()
        });
        let forums = self
            .forums
            .iter()
            .all(|f| named(&f.name) && f.members.windows(2).all(|m| m[0] < m[1]) && f.members.iter().all(&party));
        let mut identities: Vec<_> = self.agencies.iter().map(|a| a.identity).collect();
        identities.sort();
        named(&self.community)
            && self.version >= 1
            && self.previous.is_some() == (self.version > 1)
            && self.issued_at < self.expires
            && (1..=self.parties.len() as u64).contains(&self.threshold)
            && ascending
            && speakers
            && agencies
            && forums
            && identities.windows(2).all(|pair| pair[0] != pair[1])
            && (1..=86_400).contains(&self.rules.witness_interval_s)
            && self.rules.relay_max_s >= 60
    }
}

impl Body for RegisterVersion {
    const KIND: &'static str = "register-version";

    fn is_sound(&self, _: &Header) -> bool {
        self.is_consistent()
    }
}
