//! Tests of the keyring: rotation, the schedule of erasing, revocation.

use mufakat_record::kinds::Body;
use mufakat_record::{
    Digest, Draft, Handling, Header, KeyBook, KeyState, Reason, ThreadId, Unverified, VerifyingKey, cbor,
};

use super::*;

const START: u64 = 1_800_000_000;
const ORIGIN: &str = "mufakat/vn-police/1";
const RELAY_MAX_S: u64 = 5 * DAY_S;
const SCHEDULE: Schedule = Schedule { signing_s: 90 * DAY_S, sealing_s: 7 * DAY_S, relay_max_s: RELAY_MAX_S };

/// Bytes that never repeat.
fn entropy() -> impl FnMut() -> [u8; 32] {
    let mut count = 0u64;
    move || {
        count += 1;
        mufakat_record::sha256(&count.to_be_bytes())
    }
}

fn me() -> AgencyId {
    "vn-police".parse().unwrap()
}

fn keyring(entropy: &mut impl FnMut() -> [u8; 32]) -> Keyring {
    Keyring::generate(START, &SCHEDULE, entropy)
}

fn rotate(ring: &mut Keyring, what: What, now_s: u64, entropy: &mut impl FnMut() -> [u8; 32]) -> Changes {
    ring.rotate(what, now_s, &SCHEDULE, entropy).unwrap()
}

fn draft(issued_at: u64, kind: &str, body: Vec<u8>) -> Draft {
    let header = Header {
        key: KeyId([0; 16]),
        author: me(),
        issued_at,
        thread: ThreadId([0; 16]),
        kind: kind.into(),
        audience: vec!["ru-police".parse().unwrap()],
        register: Digest([0; 32]),
        handling: Handling::community(),
        references: vec![],
        expires: None,
    };
    Draft { header, body }
}

/// What a partner makes of a key set.
struct Partner(KeySet);

impl KeyBook for Partner {
    fn key(&self, _: &AgencyId, id: &KeyId) -> Option<KeyState> {
        let known = self.0.signing.iter().find(|known| KeyId::of(&known.key) == *id)?;
        let key = VerifyingKey::from_bytes(&known.key).ok()?;
        let (from, until, revoked) = (known.from, known.until, known.revoked);
        Some(KeyState { key, from, until, revoked, grace_s: RELAY_MAX_S })
    }
}

/// What a partner with this key set, at this time, says of a record that was signed at another time.
fn verdict(set: &KeySet, signer: &SigningKey, issued_at: u64, now_s: u64) -> Result<(), Reason> {
    let record = draft(issued_at, "test", cbor::encode(&1u8)).sign(signer).unwrap();
    Unverified::parse(record.into_bytes()).unwrap().verify(&Partner(set.clone()), now_s).map(drop)
}

#[test]
fn a_keyring_comes_back_from_its_secrets() {
    let mut entropy = entropy();
    let mut ring = keyring(&mut entropy);
    rotate(&mut ring, What::Signing, START + 5, &mut entropy);
    // A clock that was set back does not make the older sealing key the newest.
    rotate(&mut ring, What::Sealing, START - DAY_S, &mut entropy);
    let again = Keyring::load(&ring.secrets()).unwrap();
    assert_eq!(again.secrets(), ring.secrets());
    assert_eq!(again.signer().id(), ring.signer().id());
    assert_eq!(again.key_set(None, ORIGIN), ring.key_set(None, ORIGIN));
    let ids: std::collections::BTreeSet<_> = ring.secrets().iter().map(|secret| secret.key).collect();
    assert_eq!((ids.len(), ring.secrets().len()), (7, 7), "no seed serves twice");
}

#[test]
fn broken_secrets_are_named() {
    let secrets = keyring(&mut entropy()).secrets();
    for (i, secret) in secrets.iter().enumerate() {
        let (purpose, key) = (secret.purpose, secret.key);
        let mut damaged = secrets.clone();
        damaged[i].seed[0] ^= 1;
        assert_eq!(Keyring::load(&damaged).err(), Some(Error::Damaged { purpose, key }));
        let mut missing = secrets.clone();
        missing.remove(i);
        let refused = Keyring::load(&missing);
        assert!(matches!(refused, Err(Error::Count { purpose: p, found: 0, .. }) if p == purpose));
    }
    let mut twice = secrets.clone();
    twice.push(secrets[0].clone());
    let refused = Keyring::load(&twice);
    assert!(matches!(refused, Err(Error::Count { purpose: Purpose::Identity, found: 2, .. })));
}

#[test]
fn key_sets_are_sound_and_their_serials_grow() {
    let mut entropy = entropy();
    let mut ring = keyring(&mut entropy);
    let mut previous: Option<KeySet> = None;
    // More sealing keys than a set may name.
    for round in 1..=20 {
        let set = ring.key_set(previous.as_ref(), ORIGIN).unwrap();
        assert_eq!((set.serial, set.signing.len() as u64), (round, round));
        let record = draft(START, KeySet::KIND, set.to_body()).sign(&ring.identity()).unwrap();
        assert_eq!(KeySet::from_body(record.header(), record.body()), Ok(set.clone()));
        assert_eq!(KeyId::of(&set.sealing.last().unwrap().key), sealing_id(&ring.newest_sealing().key));
        previous = Some(set);
        rotate(&mut ring, What::Signing, START + round, &mut entropy);
        // Also when the clock was set back by more than a relay holds parcels.
        rotate(&mut ring, What::Sealing, START - round * 10 * DAY_S, &mut entropy);
    }
    // After a restore from a backup, partners may have a later set than the keyring was made for.
    let later = KeySet { serial: 40, ..previous.unwrap() };
    assert_eq!(ring.key_set(Some(&later), ORIGIN).unwrap().serial, 41);
}

#[test]
fn old_signing_keys_stay_verifiable() {
    let mut entropy = entropy();
    let mut ring = keyring(&mut entropy);
    let first = ring.signer();
    let set = ring.key_set(None, ORIGIN).unwrap();
    let rotated_at = START + 72 * DAY_S;
    let changes = rotate(&mut ring, What::Signing, rotated_at, &mut entropy);
    let second = ring.signer();
    assert_ne!(first.id(), second.id());
    assert_eq!(changes.keep.iter().map(|secret| secret.key).collect::<Vec<_>>(), [second.id()]);
    assert_eq!(changes.erase, []);
    assert!(ring.signing(&first.id()).is_some());
    // A partner without the new set does not know the new key; with it, it knows both.
    assert_eq!(verdict(&set, &second, rotated_at, rotated_at), Err(Reason::UnknownKey));
    let set = ring.key_set(Some(&set), ORIGIN).unwrap();
    assert_eq!(verdict(&set, &second, rotated_at, rotated_at), Ok(()));
    assert_eq!(verdict(&set, &first, START, rotated_at), Ok(()));
    // A clock that is set back a little after the rotation does no harm.
    assert_eq!(verdict(&set, &second, rotated_at - 60, rotated_at), Ok(()));
    // Once its secret is erased the old key is still in the set, with its end.
    let end = START + SCHEDULE.signing_s;
    assert!(!rotate(&mut ring, What::Erase, end, &mut entropy).erase.contains(&(Purpose::Signing, first.id())));
    assert!(rotate(&mut ring, What::Erase, end + 1, &mut entropy).erase.contains(&(Purpose::Signing, first.id())));
    assert!(ring.signing(&first.id()).is_none() && ring.secrets().iter().all(|secret| secret.key != first.id()));
    let set = ring.key_set(Some(&set), ORIGIN).unwrap();
    assert_eq!(set.signing.len(), 2);
    assert_eq!(verdict(&set, &first, end, end + 1), Ok(()));
    assert_eq!(verdict(&set, &first, end + 1, end + 1), Err(Reason::KeyExpired));
    assert_eq!(verdict(&set, &first, end, end + RELAY_MAX_S + 1), Err(Reason::KeyExpired));
}

#[test]
fn what_is_due_when() {
    let ring = keyring(&mut entropy());
    for (at_s, expect) in [
        (0, vec![]),
        (7 * DAY_S - 1, vec![]),
        (7 * DAY_S, vec![What::Sealing]),
        (72 * DAY_S - SKEW_SHOWN_S, vec![What::Sealing]),
        (72 * DAY_S, vec![What::Signing, What::Sealing]),
        // The newest are never erased: a clock that runs ahead must not leave the agency without keys.
        (3650 * DAY_S, vec![What::Signing, What::Sealing]),
    ] {
        assert_eq!(ring.due(START + at_s, &SCHEDULE), expect, "after {at_s} s");
    }
}

#[test]
fn sealing_keys_are_erased_when_no_relay_can_hold_a_parcel_for_them() {
    let mut entropy = entropy();
    let mut ring = keyring(&mut entropy);
    let old = sealing_id(&ring.newest_sealing().key);
    rotate(&mut ring, What::Sealing, START + 7 * DAY_S, &mut entropy);
    // The last parcel for the old key left its sender on day 7 at the latest, and no relay holds it after day 12.
    let gone = START + 12 * DAY_S;
    assert_eq!(ring.due(gone, &SCHEDULE), []);
    assert_eq!(rotate(&mut ring, What::Erase, gone, &mut entropy), Changes::default());
    assert!(ring.sealing(&old).is_some());
    assert_eq!(ring.due(gone + 1, &SCHEDULE), [What::Erase]);
    assert_eq!(rotate(&mut ring, What::Erase, gone + 1, &mut entropy).erase, [(Purpose::Sealing, old)]);
    assert!(ring.sealing(&old).is_none() && ring.secrets().iter().all(|secret| secret.key != old));
    assert!(ring.key_set(None, ORIGIN).unwrap().sealing.iter().all(|sealing| KeyId::of(&sealing.key) != old));
    assert_eq!(ring.due(gone + 1, &SCHEDULE), []);
}

#[test]
fn a_rotation_before_its_time_shortens_the_old_sealing_key() {
    let mut entropy = entropy();
    let mut ring = keyring(&mut entropy);
    let changes = rotate(&mut ring, What::Sealing, START + DAY_S, &mut entropy);
    let until: Vec<_> = changes.keep.iter().map(|secret| secret.until).collect();
    assert_eq!(until, [START + DAY_S + RELAY_MAX_S, START + 8 * DAY_S + RELAY_MAX_S]);
    // One after its time does not prolong what was said.
    let changes = rotate(&mut ring, What::Sealing, START + 100 * DAY_S, &mut entropy);
    assert_eq!(changes.keep[0].until, START + 8 * DAY_S + RELAY_MAX_S);
}

/// Lives through two years of ticks, as a node does, and checks at each what partners rely on.
fn live(schedule: Schedule, tick_s: u64) {
    let mut entropy = entropy();
    let mut ring = Keyring::generate(START, &schedule, &mut entropy);
    let mut set = ring.key_set(None, ORIGIN).unwrap();
    let mut sealed: Vec<(u64, KeyId)> = Vec::new();
    for now_s in (START..START + 730 * DAY_S).step_by(tick_s as usize) {
        for what in ring.due(now_s, &schedule) {
            ring.rotate(what, now_s, &schedule, &mut entropy).unwrap();
        }
        set = ring.key_set(Some(&set), ORIGIN).unwrap();
        assert!(ring.due(now_s, &schedule).iter().all(|what| *what == What::Erase));
        assert_eq!(verdict(&set, &ring.signer(), now_s, now_s), Ok(()));
        let newest = set.sealing.last().unwrap();
        assert!(newest.until >= now_s && set.sealing.len() <= SEALING_KEYS_MAX);
        // What was sealed as the set says can be opened until no relay holds it any more, and not for ever.
        sealed.push((now_s, KeyId::of(&newest.key)));
        sealed.retain(|(at_s, id)| {
            let held = ring.sealing(id).is_some();
            assert!(held || *at_s + schedule.relay_max_s <= now_s, "erased too early");
            let over = at_s + schedule.sealing_s + schedule.relay_max_s + 2 * tick_s;
            assert!(!held || now_s <= over, "erased too late");
            held
        });
    }
}

#[test]
fn two_years_by_the_schedule() {
    live(SCHEDULE, DAY_S / 2);
    // Relays that hold parcels for so long that more sealing keys are held than a set may name.
    live(Schedule { signing_s: DAY_S, sealing_s: DAY_S, relay_max_s: 30 * DAY_S }, DAY_S / 10);
    live(Schedule { signing_s: 365 * DAY_S, sealing_s: 30 * DAY_S, relay_max_s: 60 }, DAY_S);
}

#[test]
fn a_key_set_has_only_so_many_signing_keys() {
    let mut entropy = entropy();
    let mut ring = keyring(&mut entropy);
    let mut set = ring.key_set(None, ORIGIN).unwrap();
    set.signing = vec![set.signing[0].clone(); SIGNING_KEYS_MAX];
    assert!(ring.key_set(Some(&set), ORIGIN).is_ok());
    rotate(&mut ring, What::Signing, START, &mut entropy);
    assert_eq!(ring.key_set(Some(&set), ORIGIN), Err(Error::TooManySigningKeys));
}

#[test]
fn revoking_the_key_that_signs_makes_another() {
    let mut entropy = entropy();
    let mut ring = keyring(&mut entropy);
    let set = ring.key_set(None, ORIGIN).unwrap();
    let (stolen, now_s) = (ring.signer(), START + 10);
    let changes = ring.revoke(&stolen.id(), Some(&set), now_s, &SCHEDULE, &mut entropy).unwrap();
    assert_eq!(changes.erase, [(Purpose::Signing, stolen.id())]);
    assert_eq!(changes.keep.iter().map(|secret| secret.key).collect::<Vec<_>>(), [ring.signer().id()]);
    assert!(ring.signing(&stolen.id()).is_none() && ring.signer().id() != stolen.id());
    let set = ring.key_set(Some(&set), ORIGIN).unwrap();
    assert_eq!(set.signing[0].revoked, Some(now_s));
    assert_eq!(verdict(&set, &stolen, START, now_s), Err(Reason::KeyRevoked));
    assert_eq!(verdict(&set, &ring.signer(), now_s, now_s), Ok(()));
    // It stays so, also in sets made after a restart and when somebody revokes it again.
    let mut ring = Keyring::load(&ring.secrets()).unwrap();
    assert_eq!(ring.revoke(&stolen.id(), Some(&set), now_s + 50, &SCHEDULE, &mut entropy), Ok(Changes::default()));
    assert_eq!(ring.key_set(Some(&set), ORIGIN).unwrap().signing[0].revoked, Some(now_s));
    let nobody = KeyId([9; 16]);
    assert_eq!(ring.revoke(&nobody, Some(&set), 1, &SCHEDULE, &mut entropy), Err(Error::UnknownKey(nobody)));
}

#[test]
fn notes_are_signed_under_their_names() {
    let ring = keyring(&mut entropy());
    let set = ring.key_set(None, ORIGIN).unwrap();
    let (ledger, witness) = (ring.ledger_signer(ORIGIN).unwrap(), ring.witness_signer(&me()).unwrap());
    let (ledger, witness) = (ledger.verifier(), witness.verifier());
    assert_eq!((ledger.name(), ledger.algorithm()), (ORIGIN, Algorithm::Ed25519));
    assert_eq!((witness.name(), witness.algorithm()), ("mufakat/vn-police/witness", Algorithm::Cosignature));
    assert_eq!((ledger.public(), witness.public()), (&set.ledger_key, &set.witness_key));
    assert!(matches!(ring.ledger_signer("no name"), Err(Error::Note(_))));
}

#[test]
fn only_public_halves_are_shown() {
    let ring = keyring(&mut entropy());
    for secret in ring.secrets() {
        assert!(!format!("{ring:?}{secret:?}").contains(&hex::encode(*secret.seed)));
    }
}
