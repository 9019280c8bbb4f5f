//! A node with a long history: how fast it starts, and how fast it proves that a record is in its ledger.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use mufakat_exchange::{Exchange, OnRetraction, Submission};
use mufakat_ledger::proof::Prover;
use mufakat_record::kinds::Body as _;
use mufakat_record::kinds::report::{Report, ReportType};
use mufakat_record::{AgencyId, Digest, Draft, Handling, Header, KeyId, SigningKey, ThreadId, Tlp};
use mufakat_store::{Options, Purpose, Queries, Sqlite, Store};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Figures, Size, percentile};
use crate::community::{Agency, Community, binary};

/// How many records one transaction of the filling holds.
const AT_ONCE: u64 = 1_000;
/// How many proofs are made.
const PROOFS: usize = 5_000;
/// How many starts are measured.
const STARTS: usize = 5;

const NAMES: [&str; 2] = ["vn-police", "ru-police"];

/// Measures on a store that is filled for it.
pub(crate) fn measure(figures: &Figures, size: Size) -> Result<()> {
    if !figures.wants(&["ledger.proof", "node.start"]) {
        return Ok(());
    }
    figures.say(&format!("a store of {} records is filled", size.large));
    let root = tempfile::tempdir()?;
    let agency = |id| Agency { id, party: id, name: "EXERCISE agency", party_name: "EXERCISE party", relay: false };
    let mut community = Community::founded(&binary()?, root.path(), &NAMES.map(agency), 3600)?;
    for name in NAMES {
        community.node_mut(name).stop()?;
    }
    let database = community.node(NAMES[0]).dir.join(mufakat_node::DATABASE);
    fill(&database, size.large)?;

    figures.say("starts");
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let node = community.node_mut(NAMES[0]);
        let started = Instant::now();
        node.start()?;
        starts.push(started.elapsed().as_secs_f64() * 1e3);
        node.stop()?;
    }
    figures.put("node.start_ms", percentile(&mut starts, 0.5), "ms");

    figures.say("proofs");
    let reader = mufakat_store::Reader::open_to_read(&database)?;
    let leaves = reader.counts()?.leaves;
    let mut prover = Prover::new();
    let mut random = ChaCha20Rng::from_seed([7; 32]);
    let mut taken = Vec::with_capacity(PROOFS);
    for _ in 0..PROOFS {
        let index = random.next_u64() % leaves;
        let started = Instant::now();
        std::hint::black_box(prover.inclusion(&reader, index, leaves)?);
        taken.push(started.elapsed().as_secs_f64() * 1e3);
    }
    figures.put("ledger.proof_ms_p99", percentile(&mut taken, 0.99), "ms");
    figures.put("ledger.proof_leaves", leaves as f64, "leaves");
    Ok(())
}

/// Submits records straight to a store whose node does not run.
fn fill(database: &Path, records: u64) -> Result<()> {
    let mut store = Sqlite::open(database, Options::default())?;
    let secrets = store.secrets()?;
    let seed = secrets.iter().rfind(|s| s.purpose == Purpose::Signing).context("no signing key")?;
    let signer = Arc::new(SigningKey::from_seed(&seed.seed));
    let snapshot = store.snapshot()?.context("no register")?;
    let register = snapshot.directory.chain().hash();
    let mut exchange = Exchange::load(snapshot, &store, Arc::clone(&signer), OnRetraction::Delete)?;
    let mut random = ChaCha20Rng::from_seed([6; 32]);
    for block in 0..records / AT_ONCE {
        let one = |n| sign(&signer, register, block * AT_ONCE + n);
        let submissions = (0..AT_ONCE).map(one).collect::<Result<Vec<_>>>()?;
        store.begin()?;
        let (batch, _) = exchange.submit(submissions, &Digest([0; 32]), 1_700_000_000_000, &mut random, &store)?;
        store.apply(&batch.changes)?;
        store.commit()?;
    }
    Ok(())
}

fn sign(signer: &SigningKey, register: Digest, number: u64) -> Result<Submission> {
    let names: Vec<AgencyId> = NAMES.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let mut thread = [0; 16];
    thread[..8].copy_from_slice(&number.to_be_bytes());
    let body = Report {
        report_type: ReportType::Information,
        title: format!("EXERCISE {number}"),
        text: String::new(),
        entities: None,
        place: None,
        time: None,
        evaluation: None,
        language: None,
        source: None,
    };
    let header = Header {
        key: KeyId([0; 16]),
        author: names[0].clone(),
        issued_at: 1_700_000_000,
        thread: ThreadId(thread),
        kind: Report::KIND.to_owned(),
        audience: vec![names[1].clone()],
        register,
        handling: Handling::with(Tlp::Amber),
        references: Vec::new(),
        expires: None,
    };
    let record =
        Draft { header, body: body.to_body() }.sign(signer).map_err(|reason| anyhow!("cannot sign: {reason}"))?;
    Ok(Submission { record, key: None })
}
