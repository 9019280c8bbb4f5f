//! Records by which the community governs itself: register proposals, approvals and key sets.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::kinds::register_approval::RegisterApproval;
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::{AgencyId, Digest, Reason, Verified};

use crate::{Batch, Chain, Change, Directory, Proposals};

/// How many approvals of one agency are kept whose proposal has not come yet.
pub const EARLY_APPROVALS_MAX: usize = 32;

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
    early: Vec<Early>,
}

/// An approval of what has not been proposed here yet.
#[derive(Debug, Clone)]
struct Early {
    by: AgencyId,
    version: u64,
    hash: Digest,
    record: Vec<u8>,
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
            self.settle(&chain);
            directory.set_chain(chain);
        }
    }

    /// Drops what can no longer come into force under this chain.
    pub(crate) fn settle(&mut self, chain: &Chain) {
        self.proposals.drop_overtaken(chain);
        self.early.retain(|early| early.version > chain.current().version);
    }

    fn register_record(&mut self, chain: &mut Chain, record: &Verified) -> Result<(), Reason> {
        if record.header().kind == RegisterVersion::KIND {
            let version = RegisterVersion::from_body(record.header(), record.body())?;
            let hash = self.proposals.propose(chain, &record.header().author, version)?;
            for approval in self.early.extract_if(.., |early| early.hash == hash) {
                // An early approval that does not count after all is only one that does not count.
                if self.proposals.approve(chain, hash, approval.record) == Ok(true) {
                    return self.proposals.enact(chain, &hash);
                }
            }
            return Ok(());
        }
        let RegisterApproval { version, hash } = RegisterApproval::from_body(record.header(), record.body())?;
        match self.proposals.approve(chain, hash, record.bytes().to_vec()) {
            Ok(true) => self.proposals.enact(chain, &hash),
            Ok(false) => Ok(()),
            Err(Reason::UnknownRegister) if version > chain.current().version => {
                let by = record.header().author.clone();
                if self.early.iter().filter(|early| early.by == by).count() >= EARLY_APPROVALS_MAX {
                    return Err(Reason::Overloaded);
                }
                self.early.push(Early { by, version, hash, record: record.bytes().to_vec() });
                Ok(())
            }
            Err(reason) => Err(reason),
        }
    }
}
