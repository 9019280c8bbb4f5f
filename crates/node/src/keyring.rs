//! The keyring: the agency's secret keys in use, when each is replaced, and the key set that tells partners the public halves.
//!
//! Nothing here reads a clock, a random source or the store. A change of the keyring comes with [`Changes`]: the caller makes
//! what is new durable, publishes the next [`Keyring::key_set`], and erases what is over. A [`Keyring`] is cheap to clone, so
//! that a change can be prepared on a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use mufakat_ledger::note::Error as NoteError;
use mufakat_ledger::{Algorithm, Signer};
use mufakat_record::kinds::key_set::{self, KeySet, SEALING_KEYS_MAX, SIGNING_KEYS_MAX};
use mufakat_record::{AgencyId, KeyId, SKEW_SHOWN_S, SealingKey, SigningKey, Suite};
use mufakat_store::{Purpose, Secret};
use zeroize::Zeroizing;

use crate::config;

const DAY_S: u64 = 86_400;

/// Why there is no keyring, or why it cannot do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is not exactly one secret of a kind of which there must be one, or none where there must be some.
    #[error("the store holds {found} secrets for {purpose:?}, and needs {needed}")]
    Count {
        /// The kind.
        purpose: Purpose,
        /// How many there are.
        found: usize,
        /// How many there must be.
        needed: &'static str,
    },
    /// A seed does not give the key that it is filed under.
    #[error("the secret {key} for {purpose:?} is damaged")]
    Damaged {
        /// The kind.
        purpose: Purpose,
        /// The id that it is filed under.
        key: KeyId,
    },
    /// The agency has no such signing key.
    #[error("there is no signing key {0}")]
    UnknownKey(KeyId),
    /// A key set names every signing key that there has been, and cannot name more.
    #[error("the key set names {SIGNING_KEYS_MAX} signing keys and holds no more")]
    TooManySigningKeys,
    /// The name of the ledger or of the witness cannot be that of a note's key.
    #[error("the signer of notes cannot be made: {0}")]
    Note(#[from] NoteError),
}

/// How long keys serve, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// How long a signing key may sign.
    pub signing_s: u64,
    /// How long partners seal to a key before its successor is made.
    pub sealing_s: u64,
    /// How long a relay holds a parcel, by the rules of the register.
    pub relay_max_s: u64,
}

/// What is due, or asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A new key that signs records and parcels.
    Signing,
    /// A new key to which partners seal.
    Sealing,
    /// Erasing the secrets whose time is over.
    Erase,
}

/// What must become durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Secrets to keep, in this order, in place of those with the same purpose and key.
    pub keep: Vec<Secret>,
    /// Secrets to erase without a trace.
    pub erase: Vec<(Purpose, KeyId)>,
}

/// A secret key with its time. `until` is the end of signing, or, of a sealing key, when it is erased.
struct Timed<K> {
    key: Arc<K>,
    from: u64,
    until: u64,
}

/// The agency's secret keys. Clones share them.
#[derive(Clone)]
pub struct Keyring {
    identity: Timed<SigningKey>,
    /// Oldest first; the last one signs. Never empty.
    signing: Vec<Timed<SigningKey>>,
    /// Oldest first; partners seal to the last one. Never empty.
    sealing: Vec<Timed<SealingKey>>,
    ledger: Timed<SigningKey>,
    witness: Timed<SigningKey>,
    /// Signing keys revoked here, with the time; the next key set says so.
    revoked: BTreeMap<KeyId, u64>,
}

impl Schedule {
    /// The schedule of a configuration, under the register's rule on how long relays hold parcels.
    pub fn new(keys: &config::Keys, relay_max_s: u64) -> Self {
        Self { signing_s: keys.signing_days * DAY_S, sealing_s: keys.sealing_days * DAY_S, relay_max_s }
    }
}

impl Keyring {
    /// Makes the keys of a new agency. Every call of `entropy` must give 32 fresh random bytes.
    pub fn generate(now_s: u64, schedule: &Schedule, entropy: &mut impl FnMut() -> [u8; 32]) -> Self {
        let lasting = |key| Timed { key, from: now_s, until: u64::MAX };
        Self {
            identity: lasting(fresh_signing(entropy)),
            signing: vec![new_signing(now_s, schedule, entropy)],
            sealing: vec![new_sealing(now_s, schedule, entropy)],
            ledger: lasting(fresh_signing(entropy)),
            witness: lasting(fresh_signing(entropy)),
            revoked: BTreeMap::new(),
        }
    }

    /// Takes the keys from their secrets, in the order in which they were put: a clock that was set back in between does not
    /// make an older key the newest.
    pub fn load(secrets: &[Secret]) -> Result<Self, Error> {
        let signing_of = |purpose: Purpose| -> Result<Vec<Timed<SigningKey>>, Error> {
            let of = secrets.iter().filter(|secret| secret.purpose == purpose);
            of.map(|secret| taken(secret, SigningKey::from_seed(&secret.seed), SigningKey::id)).collect()
        };
        let one = |purpose: Purpose| -> Result<Timed<SigningKey>, Error> {
            let mut found = signing_of(purpose)?;
            let count = found.len();
            let last = found.pop().filter(|_| count == 1);
            last.ok_or(Error::Count { purpose, found: count, needed: "exactly one" })
        };
        let signing = signing_of(Purpose::Signing)?;
        let sealing = secrets.iter().filter(|secret| secret.purpose == Purpose::Sealing);
        let sealing = sealing.map(|secret| taken(secret, SealingKey::from_seed(&secret.seed), sealing_id));
        let sealing: Vec<_> = sealing.collect::<Result<_, _>>()?;
        for (purpose, found) in [(Purpose::Signing, signing.len()), (Purpose::Sealing, sealing.len())] {
            if found == 0 {
                return Err(Error::Count { purpose, found, needed: "at least one" });
            }
        }
        let (identity, ledger, witness) = (one(Purpose::Identity)?, one(Purpose::Ledger)?, one(Purpose::Witness)?);
        Ok(Self { identity, signing, sealing, ledger, witness, revoked: BTreeMap::new() })
    }

    /// All secrets, in the order in which they are to be put.
    pub fn secrets(&self) -> Vec<Secret> {
        let mut secrets = vec![self.identity.secret(Purpose::Identity)];
        secrets.extend(self.signing.iter().map(|key| key.secret(Purpose::Signing)));
        secrets.extend(self.sealing.iter().map(Timed::sealing_secret));
        secrets.push(self.ledger.secret(Purpose::Ledger));
        secrets.push(self.witness.secret(Purpose::Witness));
        secrets
    }

    /// The identity key, which signs key sets, approvals and TLS certificates.
    pub fn identity(&self) -> Arc<SigningKey> {
        self.identity.key.clone()
    }

    /// The key that signs records and parcels now.
    pub fn signer(&self) -> Arc<SigningKey> {
        self.newest_signing().key.clone()
    }

    /// A signing key that is still held: partners that do not have the latest key set yet know an older one.
    pub fn signing(&self, id: &KeyId) -> Option<Arc<SigningKey>> {
        self.signing.iter().find(|held| held.key.id() == *id).map(|held| held.key.clone())
    }

    /// The sealing key with this id, while it is held.
    pub fn sealing(&self, id: &KeyId) -> Option<Arc<SealingKey>> {
        self.sealing.iter().find(|held| sealing_id(&held.key) == *id).map(|held| held.key.clone())
    }

    /// The signer of the ledger's checkpoints. A log's key has the name of its origin.
    pub fn ledger_signer(&self, origin: &str) -> Result<Signer, Error> {
        Ok(Signer::from_seed(origin, Algorithm::Ed25519, self.ledger.key.seed())?)
    }

    /// The signer of cosignatures on others' checkpoints, named `mufakat/<agency>/witness`.
    pub fn witness_signer(&self, agency: &AgencyId) -> Result<Signer, Error> {
        let name = format!("mufakat/{agency}/witness");
        Ok(Signer::from_seed(&name, Algorithm::Cosignature, self.witness.key.seed())?)
    }

    /// The next key set: what the one before said of signing keys, with what is held now. Its serial is one more than that
    /// of the one before, which must be the latest that anyone has seen; after a restore, partners may have a later one.
    pub fn key_set(&self, previous: Option<&KeySet>, ledger_origin: &str) -> Result<KeySet, Error> {
        let mut signing = previous.map(|set| set.signing.clone()).unwrap_or_default();
        for held in &self.signing {
            let key = *held.key.public().as_bytes();
            if !signing.iter().any(|known| known.key == key) {
                signing.push(key_set::Signing { key, from: held.from, until: held.until, revoked: None });
            }
        }
        for known in &mut signing {
            let revoked = self.revoked.get(&KeyId::of(&known.key)).copied();
            // The first revocation counts.
            known.revoked = known.revoked.or(revoked);
        }
        if signing.len() > SIGNING_KEYS_MAX {
            return Err(Error::TooManySigningKeys);
        }
        // Partners seal to the newest. Older ones stay good for what is under way, whether the set names them or not.
        let unnamed = self.sealing.len().saturating_sub(SEALING_KEYS_MAX);
        Ok(KeySet {
            serial: previous.map_or(1, |set| set.serial.saturating_add(1)),
            signing,
            sealing: self.sealing[unnamed..].iter().map(Timed::public).collect(),
            ledger_origin: ledger_origin.to_owned(),
            ledger_key: *self.ledger.key.public().as_bytes(),
            witness_key: *self.witness.key.public().as_bytes(),
        })
    }

    /// What the schedule asks for now. Erasing comes last, after what replaces the erased.
    pub fn due(&self, now_s: u64, schedule: &Schedule) -> Vec<What> {
        let signing = self.newest_signing();
        // A fifth of the time is left for the key set to reach every partner.
        let fifth_s = signing.until.saturating_sub(signing.from) / 5;
        let mut due = Vec::new();
        if now_s >= signing.until.saturating_sub(fifth_s) {
            due.push(What::Signing);
        }
        if now_s >= self.newest_sealing().from.saturating_add(schedule.sealing_s) {
            due.push(What::Sealing);
        }
        if !self.past(now_s).is_empty() {
            due.push(What::Erase);
        }
        due
    }

    /// Does what is due, or what somebody asks for. The key before is held on: a signing key until its end, for partners that
    /// do not know the new one yet; a sealing key until no relay can hold a parcel for it any more.
    pub fn rotate(
        &mut self,
        what: What,
        now_s: u64,
        schedule: &Schedule,
        entropy: &mut impl FnMut() -> [u8; 32],
    ) -> Result<Changes, Error> {
        let mut changes = Changes::default();
        match what {
            What::Signing => {
                let new = new_signing(now_s, schedule, entropy);
                changes.keep.push(new.secret(Purpose::Signing));
                self.signing.push(new);
            }
            What::Sealing => {
                if let Some(old) = self.sealing.last_mut() {
                    // This is the end of its use. What was said before is not prolonged.
                    old.until = old.until.min(now_s.saturating_add(schedule.relay_max_s)).max(old.from);
                    changes.keep.push(old.sealing_secret());
                }
                let new = new_sealing(now_s, schedule, entropy);
                changes.keep.push(new.sealing_secret());
                self.sealing.push(new);
            }
            What::Erase => {
                changes.erase = self.past(now_s);
                self.forget(&changes.erase);
            }
        }
        Ok(changes)
    }

    /// Revokes a signing key that is held or that the published key set names: nothing that it signs is taken any more by
    /// partners who know. Where it was the one that signs there is a new one. The next key set, which alone makes the
    /// revocation known, must be published at once.
    pub fn revoke(
        &mut self,
        id: &KeyId,
        published: Option<&KeySet>,
        now_s: u64,
        schedule: &Schedule,
        entropy: &mut impl FnMut() -> [u8; 32],
    ) -> Result<Changes, Error> {
        let held = self.signing(id).is_some();
        if !held && !published.is_some_and(|set| set.signing.iter().any(|known| KeyId::of(&known.key) == *id)) {
            return Err(Error::UnknownKey(*id));
        }
        let mut changes = Changes::default();
        if self.signer().id() == *id {
            changes = self.rotate(What::Signing, now_s, schedule, entropy)?;
        }
        self.revoked.entry(*id).or_insert(now_s);
        changes.erase.extend(held.then_some((Purpose::Signing, *id)));
        self.forget(&changes.erase);
        Ok(changes)
    }

    /// The secrets whose time is over. The newest of each kind never is: a clock that runs ahead must not leave the agency
    /// without keys.
    fn past(&self, now_s: u64) -> Vec<(Purpose, KeyId)> {
        let signing = &self.signing[..self.signing.len() - 1];
        let sealing = &self.sealing[..self.sealing.len() - 1];
        let signing = signing.iter().filter(|held| held.until < now_s).map(|held| (Purpose::Signing, held.key.id()));
        let sealing = sealing.iter().filter(|held| held.until < now_s);
        signing.chain(sealing.map(|held| (Purpose::Sealing, sealing_id(&held.key)))).collect()
    }

    fn forget(&mut self, secrets: &[(Purpose, KeyId)]) {
        let gone = |purpose, id| secrets.contains(&(purpose, id));
        self.signing.retain(|held| !gone(Purpose::Signing, held.key.id()));
        self.sealing.retain(|held| !gone(Purpose::Sealing, sealing_id(&held.key)));
    }

    fn newest_signing(&self) -> &Timed<SigningKey> {
        // There is one from the start, and the last one is never dropped.
        self.signing.last().expect("a signing key")
    }

    fn newest_sealing(&self) -> &Timed<SealingKey> {
        // The same.
        self.sealing.last().expect("a sealing key")
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Only public halves are ever shown.
        write!(f, "Keyring({:?})", self.identity.key.public())
    }
}

impl<K> Clone for Timed<K> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), from: self.from, until: self.until }
    }
}

impl Timed<SigningKey> {
    fn secret(&self, purpose: Purpose) -> Secret {
        let seed = Zeroizing::new(*self.key.seed());
        Secret { purpose, key: self.key.id(), seed, from: self.from, until: self.until }
    }
}

impl Timed<SealingKey> {
    fn sealing_secret(&self) -> Secret {
        let seed = Zeroizing::new(*self.key.seed());
        Secret { purpose: Purpose::Sealing, key: sealing_id(&self.key), seed, from: self.from, until: self.until }
    }

    fn public(&self) -> key_set::Sealing {
        let key = self.key.public().to_bytes();
        key_set::Sealing { suite: Suite::XWingChaCha.number(), key, from: self.from, until: self.until }
    }
}

/// A key out of its secret, if it is the one that the secret is filed under.
fn taken<K>(secret: &Secret, key: K, id: impl Fn(&K) -> KeyId) -> Result<Timed<K>, Error> {
    if id(&key) != secret.key {
        return Err(Error::Damaged { purpose: secret.purpose, key: secret.key });
    }
    Ok(Timed { key: Arc::new(key), from: secret.from, until: secret.until })
}

fn sealing_id(key: &SealingKey) -> KeyId {
    key.public().id()
}

fn fresh_signing(entropy: &mut impl FnMut() -> [u8; 32]) -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed(&Zeroizing::new(entropy())))
}

fn new_signing(now_s: u64, schedule: &Schedule, entropy: &mut impl FnMut() -> [u8; 32]) -> Timed<SigningKey> {
    // Our own clock may be set back a little; what is signed then must not be older than its key.
    let from = now_s.saturating_sub(SKEW_SHOWN_S);
    Timed { key: fresh_signing(entropy), from, until: now_s.saturating_add(schedule.signing_s) }
}

fn new_sealing(now_s: u64, schedule: &Schedule, entropy: &mut impl FnMut() -> [u8; 32]) -> Timed<SealingKey> {
    let key = Arc::new(SealingKey::from_seed(&Zeroizing::new(entropy())));
    // Partners seal to it for the time of its use; the last parcel may then be with a relay for as long as one holds it.
    let until = now_s.saturating_add(schedule.sealing_s).saturating_add(schedule.relay_max_s);
    Timed { key, from: now_s, until }
}

#[cfg(test)]
mod tests;
