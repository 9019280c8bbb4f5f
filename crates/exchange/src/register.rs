//! The register: a chain of versions, each approved by enough parties of the one before. It never goes back and never forgets.

use std::collections::{BTreeMap, BTreeSet};

use mufakat_record::kinds::Body;
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::{Agency, Party, RegisterVersion};
use mufakat_record::{AgencyId, Digest, Fingerprint, Reason, Unverified, VerifyingKey, cbor};

/// A version in force, with the approvals that put it there.
#[derive(Debug, Clone)]
pub struct Enacted {
    /// The version.
    pub version: RegisterVersion,
    /// Its hash.
    pub hash: Digest,
    /// The approvals, as signed records.
    pub approvals: Vec<Vec<u8>>,
}

/// All versions from the founding one on. A value of this type has been verified from its first version to its last.
#[derive(Debug, Clone)]
pub struct Chain {
    versions: Vec<Enacted>,
}

impl Chain {
    /// Founds a chain: every party that the first version names has approved it.
    pub fn found(version: RegisterVersion, approvals: Vec<Vec<u8>>) -> Result<Self, Reason> {
        if version.version != 1 || !version.is_consistent() || version.agencies.iter().any(|a| a.removed.is_some()) {
            return Err(Reason::BadRegister);
        }
        let approving = approving_parties(&version, &version, &approvals)?;
        if approving.len() < version.parties.len() {
            return Err(Reason::TooFewApprovals);
        }
        let hash = version.hash();
        Ok(Self { versions: vec![Enacted { version, hash, approvals }] })
    }

    /// Adds the next version, if it follows from the last one and enough of the last one's parties approved it.
    pub fn extend(&mut self, version: RegisterVersion, approvals: Vec<Vec<u8>>) -> Result<(), Reason> {
        self.may_follow(&version)?;
        let approving = approving_parties(self.current(), &version, &approvals)?;
        if (approving.len() as u64) < self.current().threshold {
            return Err(Reason::TooFewApprovals);
        }
        let hash = version.hash();
        self.versions.push(Enacted { version, hash, approvals });
        Ok(())
    }

    /// Whether a version could come next, were it approved.
    pub fn may_follow(&self, next: &RegisterVersion) -> Result<(), Reason> {
        let now = self.current();
        if next.version <= now.version {
            return Err(Reason::Stale);
        }
        let follows = next.is_consistent()
            && next.version == now.version + 1
            && next.previous == Some(self.hash())
            && next.community == now.community
            && next.issued_at >= now.issued_at
            // Nobody is forgotten: an agency stays in its place, and one that was removed stays removed.
            && now.agencies.iter().all(|was| {
                next.agency(&was.id).is_some_and(|is| was.removed.is_none() || is == was)
            });
        if follows { Ok(()) } else { Err(Reason::BadRegister) }
    }

    /// Reads a chain from its parts, checking all of it.
    pub fn verify(parts: &[(Vec<u8>, Vec<Vec<u8>>)]) -> Result<Self, Reason> {
        let mut parts = parts.iter();
        let (first, approvals) = parts.next().ok_or(Reason::BadRegister)?;
        let mut chain = Self::found(cbor::decode(first)?, approvals.clone())?;
        for (body, approvals) in parts {
            chain.extend(cbor::decode(body)?, approvals.clone())?;
        }
        Ok(chain)
    }

    /// The version in force.
    pub fn current(&self) -> &RegisterVersion {
        &self.last().version
    }

    /// The hash of the version in force.
    pub fn hash(&self) -> Digest {
        self.last().hash
    }

    /// The hash of the founding version: what two people compare.
    pub fn root(&self) -> Digest {
        self.versions[0].hash
    }

    /// The founding version's fingerprint in words.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.root().as_bytes())
    }

    /// Every version, from the founding one on.
    pub fn versions(&self) -> &[Enacted] {
        &self.versions
    }

    /// Whether a version with this hash is or was in force.
    pub fn knows(&self, hash: &Digest) -> bool {
        self.versions.iter().rev().any(|enacted| enacted.hash == *hash)
    }

    /// An agency that is in the register and not removed.
    pub fn member(&self, id: &AgencyId) -> Option<&Agency> {
        self.current().agency(id).filter(|a| a.removed.is_none())
    }

    /// The identity key of an agency that is in the register, removed or not: old records must stay verifiable.
    pub fn identity(&self, id: &AgencyId) -> Option<VerifyingKey> {
        self.current().agency(id).and_then(identity_of)
    }

    /// The agencies behind names that may be agencies, parties or forums; the result ascends and has no repetition.
    pub fn resolve(&self, names: &[AgencyId]) -> Result<Vec<AgencyId>, UnknownName> {
        let now = self.current();
        let of_party = |party: &AgencyId| now.members().filter(|a| a.party == *party).map(|a| a.id.clone()).collect();
        let mut found = BTreeSet::new();
        for name in names {
            let agencies: Vec<AgencyId> = if self.member(name).is_some() {
                vec![name.clone()]
            } else if now.parties.iter().any(|p| p.id == *name) {
                of_party(name)
            } else if let Some(forum) = now.forums.iter().find(|f| f.id == *name) {
                forum.members.iter().flat_map(|m| -> Vec<AgencyId> { of_party(m) }).collect()
            } else {
                return Err(UnknownName(name.clone()));
            };
            found.extend(agencies);
        }
        Ok(found.into_iter().collect())
    }

    fn last(&self) -> &Enacted {
        // A chain has at least its founding version.
        self.versions.last().expect("a founding version")
    }
}

/// A name that no agency, party or forum in the register has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no agency, party or forum in the register is called {0}, or it is removed")]
pub struct UnknownName(pub AgencyId);

fn identity_of(agency: &Agency) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(agency.identity.as_bytes()).ok()
}

/// The parties of `now` whose speakers have signed the hash of `next`. A signature that does not hold refuses the whole.
fn approving_parties(
    now: &RegisterVersion,
    next: &RegisterVersion,
    approvals: &[Vec<u8>],
) -> Result<BTreeSet<AgencyId>, Reason> {
    let hash = next.hash();
    let mut approving = BTreeSet::new();
    for bytes in approvals {
        approving.insert(check_approval(now, next.version, hash, bytes)?.id.clone());
    }
    Ok(approving)
}

/// Checks one approval of a version and gives the party that it speaks for.
pub fn check_approval<'a>(
    now: &'a RegisterVersion,
    version: u64,
    hash: Digest,
    record: &[u8],
) -> Result<&'a Party, Reason> {
    let record = Unverified::parse(record.to_vec())?;
    let speaker = record.header().author.clone();
    let party = now.parties.iter().find(|p| p.speaker == speaker).ok_or(Reason::AuthorNotInRegister)?;
    let agency = now.agency(&speaker).filter(|a| a.removed.is_none()).ok_or(Reason::AuthorRemoved)?;
    let record = record.verify_with(&identity_of(agency).ok_or(Reason::BadRegister)?)?;
    let approval = RegisterApproval::from_body(record.header(), record.body())?;
    if approval.version == version && approval.hash == hash { Ok(party) } else { Err(Reason::BadRegister) }
}

/// Versions that are proposed and not yet in force, with the approvals so far.
#[derive(Debug, Clone, Default)]
pub struct Proposals {
    open: BTreeMap<Digest, Proposal>,
}

#[derive(Debug, Clone)]
struct Proposal {
    version: RegisterVersion,
    by: AgencyId,
    /// By party.
    approvals: BTreeMap<AgencyId, Vec<u8>>,
}

/// How many open proposals of one agency a node holds; more are refused until one is decided. Nobody can use up the room of
/// others, such as that of the proposal to remove it.
pub const PROPOSALS_MAX: usize = 8;

impl Proposals {
    /// Takes note of a version that an agency proposes.
    pub fn propose(&mut self, chain: &Chain, by: &AgencyId, version: RegisterVersion) -> Result<Digest, Reason> {
        chain.may_follow(&version)?;
        let hash = version.hash();
        if !self.open.contains_key(&hash) {
            if self.open.values().filter(|proposal| proposal.by == *by).count() >= PROPOSALS_MAX {
                return Err(Reason::Overloaded);
            }
            self.open.insert(hash, Proposal { version, by: by.clone(), approvals: BTreeMap::new() });
        }
        Ok(hash)
    }

    /// Takes note of an approval; true when the version now has enough of them to come into force.
    pub fn approve(&mut self, chain: &Chain, hash: Digest, record: Vec<u8>) -> Result<bool, Reason> {
        let proposal = self.open.get_mut(&hash).ok_or(Reason::UnknownRegister)?;
        let party = check_approval(chain.current(), proposal.version.version, hash, &record)?;
        proposal.approvals.insert(party.id.clone(), record);
        Ok(proposal.approvals.len() as u64 >= chain.current().threshold)
    }

    /// Takes a decided version out; proposals that can no longer follow are dropped with it.
    pub fn enact(&mut self, chain: &mut Chain, hash: &Digest) -> Result<(), Reason> {
        let Proposal { version, approvals, .. } = self.open.remove(hash).ok_or(Reason::UnknownRegister)?;
        chain.extend(version, approvals.into_values().collect())?;
        self.drop_overtaken(chain);
        Ok(())
    }

    /// Drops proposals that can no longer follow.
    pub fn drop_overtaken(&mut self, chain: &Chain) {
        self.open.retain(|_, proposal| chain.may_follow(&proposal.version).is_ok());
    }

    /// The open proposals: hash, version, and the parties that have approved.
    pub fn open(&self) -> impl Iterator<Item = (&Digest, &RegisterVersion, Vec<&AgencyId>)> {
        self.open.iter().map(|(hash, proposal)| (hash, &proposal.version, proposal.approvals.keys().collect()))
    }
}
