//! Records by which the community governs itself: register proposals, approvals and key sets.

use std::collections::BTreeMap;

use mufakat_record::kinds::Body;
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::{AgencyId, Digest, Reason, Verified};

use crate::{Batch, Chain, Change, Directory, Proposals};

/// How many approvals are kept whose proposal has not come yet.
pub const EARLY_APPROVALS_MAX: usize = 256;

/// Whether only an agency's identity key may sign records of this kind, and no others.
pub fn needs_identity_key(kind: &str) -> bool {
    kind == KeySet::KIND || kind == RegisterApproval::KIND
}

/// Whether a record of this kind can change the register or a key set.
pub(crate) fn governs(kind: &str) -> bool {
    needs_identity_key(kind) || kind == RegisterVersion::KIND
}

/// The open proposals of the register, and approvals that came before what they approve.
#[derive(Debug, Clone, Default)]
pub struct Governance {
    proposals: Proposals,
    early: BTreeMap<Digest, Vec<Vec<u8>>>,
}

impl Governance {
    /// Takes up again what was open, from the records on file.
    pub(crate) fn replay(chain: &Chain, records: &[Verified]) -> Self {
        let mut governance = Self::default();
        let mut chain = chain.clone();
        for record in records {
            // What is on file and no longer to the point is passed over: it was decided or overtaken.
            let _ = governance.register_record(&mut chain, record);
        }
        governance
    }

    /// The open proposals: hash, version, and the parties that have approved.
    pub fn open(&self) -> impl Iterator<Item = (&Digest, &RegisterVersion, Vec<&AgencyId>)> {
        self.proposals.open()
    }

    /// Lets a record take effect on the directory. A record that cannot take effect, such as a proposal that no longer
    /// follows, stays on file as what its author said.
    pub(crate) fn take(&mut self, directory: &mut Directory, batch: &mut Batch, record: &Verified) {
        if record.header().kind == KeySet::KIND {
            if directory.take_key_set(record.bytes()) == Ok(true) {
                let agency = record.header().author.clone();
                batch.changes.push(Change::KeySet { agency, record: record.bytes().to_vec() });
            }
            return;
        }
        let mut chain = directory.chain().clone();
        if self.register_record(&mut chain, record).is_ok() {
            directory.set_chain(chain);
        }
    }

    /// Drops what can no longer come into force under this chain.
    pub(crate) fn settle(&mut self, chain: &Chain) {
        self.proposals.drop_overtaken(chain);
        self.early.clear();
    }

    fn register_record(&mut self, chain: &mut Chain, record: &Verified) -> Result<(), Reason> {
        if record.header().kind == RegisterVersion::KIND {
            let hash = self.proposals.propose(chain, RegisterVersion::from_body(record.header(), record.body())?)?;
            for approval in self.early.remove(&hash).unwrap_or_default() {
                // An early approval that does not count after all is only one that does not count.
                if self.proposals.approve(chain, hash, approval) == Ok(true) {
                    return self.proposals.enact(chain, &hash);
                }
            }
            return Ok(());
        }
        let hash = RegisterApproval::from_body(record.header(), record.body())?.hash;
        match self.proposals.approve(chain, hash, record.bytes().to_vec()) {
            Ok(true) => self.proposals.enact(chain, &hash),
            Ok(false) => Ok(()),
            Err(Reason::UnknownRegister) if !chain.knows(&hash) => {
                if self.early.values().map(Vec::len).sum::<usize>() >= EARLY_APPROVALS_MAX {
                    return Err(Reason::Overloaded);
                }
                self.early.entry(hash).or_default().push(record.bytes().to_vec());
                Ok(())
            }
            Err(reason) => Err(reason),
        }
    }
}
