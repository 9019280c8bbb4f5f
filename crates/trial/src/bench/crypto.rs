//! The machine's own limits: the bare cryptography that a record needs on its way, and a durable write.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use anyhow::{Result, anyhow};
use mufakat_record::parcel::{self, Outer, Parcel};
use mufakat_record::{
    AgencyId, Digest, Draft, Handling, Header, KeyBook, KeyId, KeyState, RecordId, SealingKey, SigningKey, ThreadId,
    Tlp, Unverified, Verified, sha256,
};

use super::Figures;

/// How many records share a parcel under load.
const IN_PARCEL: usize = 256;

/// What the cryptography of one record costs, in seconds of one core.
#[derive(Debug, Clone, Copy)]
struct Bare {
    sign_s: f64,
    verify_s: f64,
    hash_s: f64,
    /// A share of sealing a parcel.
    seal_s: f64,
    /// A share of opening it.
    open_s: f64,
}

struct OneKey(KeyState);

impl KeyBook for OneKey {
    fn key(&self, _: &AgencyId, id: &KeyId) -> Option<KeyState> {
        (self.0.key.id() == *id).then_some(self.0)
    }
}

/// Measures the limits on one core.
pub(crate) fn measure(figures: &Figures, quick: bool) -> Result<()> {
    let rounds = if quick { 4 } else { 16 };
    let bare = bare(rounds)?;
    figures.put("machine.sign_us", bare.sign_s * 1e6, "us");
    figures.put("machine.verify_us", bare.verify_s * 1e6, "us");
    figures.put("machine.hash_2k_us", bare.hash_s * 1e6, "us");
    figures.put("machine.seal_us", bare.seal_s * 1e6, "us");
    figures.put("machine.open_us", bare.open_s * 1e6, "us");
    figures.put("machine.sync_ms", durable_write_ms(rounds * 8)?, "ms");
    Ok(())
}

/// Seconds of one core that the cryptography of a record needs at both ends together, measured now.
pub(crate) fn record_s() -> Result<f64> {
    let bare = bare(8)?;
    // Signing and verifying include the hash that names the record; it is counted once at each end.
    Ok(bare.sign_s + bare.verify_s + bare.seal_s + bare.open_s)
}

fn bare(rounds: usize) -> Result<Bare> {
    let signer = SigningKey::from_seed(&[1; 32]);
    let sealing = SealingKey::from_seed(&[2; 32]);
    let keys = OneKey(KeyState { key: signer.public(), from: 0, until: u64::MAX, revoked: None, grace_s: 0 });
    let name: AgencyId = "vn-police".parse()?;
    let draft = Draft { header: header(&name), body: body() };
    let failed = |reason| anyhow!("the bare cryptography failed: {reason}");

    let (mut sign_s, mut verify_s, mut seal_s, mut open_s, mut hash_s) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for round in 0..rounds {
        let started = Instant::now();
        let mut records: Vec<Verified> = Vec::with_capacity(IN_PARCEL);
        for n in 0..IN_PARCEL {
            let mut draft = draft.clone();
            draft.header.issued_at = (round * IN_PARCEL + n) as u64;
            records.push(draft.sign(&signer).map_err(failed)?);
        }
        sign_s += started.elapsed().as_secs_f64();
        let started = Instant::now();
        for record in &records {
            std::hint::black_box(sha256(record.bytes()));
        }
        hash_s += started.elapsed().as_secs_f64();
        let parts: Vec<(RecordId, &[u8])> = records.iter().map(|r| (r.id(), r.bytes())).collect();
        let started = Instant::now();
        let parcel = parcel::seal(outer(&name), &parts, sealing.public(), &signer, [3; 32]).map_err(failed)?;
        let bytes = parcel.to_bytes();
        seal_s += started.elapsed().as_secs_f64();
        let started = Instant::now();
        let opened = Parcel::parse(&bytes).and_then(|p| p.open(&sealing, &keys, 0)).map_err(failed)?;
        open_s += started.elapsed().as_secs_f64();
        let started = Instant::now();
        for record in opened {
            Unverified::parse(record).and_then(|r| r.verify(&keys, 0)).map_err(failed)?;
        }
        verify_s += started.elapsed().as_secs_f64();
    }
    let each = |total: f64| total / (rounds * IN_PARCEL) as f64;
    Ok(Bare {
        sign_s: each(sign_s),
        verify_s: each(verify_s),
        hash_s: each(hash_s),
        seal_s: each(seal_s),
        open_s: each(open_s),
    })
}

/// How long it takes to make 4 KiB durable.
pub(super) fn durable_write_ms(rounds: usize) -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let mut file = File::create(dir.path().join("sync"))?;
    let mut taken = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        taken.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(super::percentile(&mut taken, 0.5))
}

/// A body of 2 KiB, as in the flow.
fn body() -> Vec<u8> {
    let mut e = minicbor::Encoder::new(Vec::new());
    // Writing into a Vec cannot fail.
    e.bytes(&[9; 2045]).expect("encoding into memory");
    e.into_writer()
}

/// A header as records have it.
pub(super) fn header(name: &AgencyId) -> Header {
    Header {
        key: KeyId([0; 16]),
        author: name.clone(),
        issued_at: 0,
        thread: ThreadId([4; 16]),
        kind: "report".to_owned(),
        audience: vec![name.clone()],
        register: Digest([5; 32]),
        handling: Handling::with(Tlp::Amber),
        references: Vec::new(),
        expires: None,
    }
}

/// The outside of a parcel.
pub(super) fn outer(name: &AgencyId) -> Outer {
    Outer {
        suite: 0,
        sender: name.clone(),
        recipient: name.clone(),
        epoch: 1,
        first: 1,
        count: 0,
        sealing_key: KeyId([0; 16]),
        signing_key: KeyId([0; 16]),
        register_version: 1,
        expires: u64::MAX,
    }
}
