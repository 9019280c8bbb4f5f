//! What the desk costs the exchange: parcels taken in as a recipient does, once without views and search, once with all of them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use mufakat_exchange::{Delivery, Directory, Exchange, Inbound, Item, OnRetraction};
use mufakat_record::parcel::{self, Outer, Parcel};
use mufakat_record::{AgencyId, KeyId, RecordId, SealingKey, SigningKey, Unverified};
use mufakat_store::search::Index;
use mufakat_store::{Options, Purpose, Queries, Reader, Sqlite, Store};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::super::{Figures, Size};
use super::filled::{AT_ONCE, Author, DESK, Filled, PARTNER, signing_key};

/// How often each way is measured; they take turns, since the speed of a shared machine changes within seconds.
const ROUNDS: usize = 3;
/// How long new leaves gather before they are listed, as in the node.
const GATHER: Duration = Duration::from_millis(25);
/// How many records are there before, so that no index is empty.
const BEFORE: u64 = 20_000;

/// Measures both ways on copies of one store.
pub(super) fn measure(figures: &Figures, size: Size) -> Result<()> {
    if !figures.wants(&["desk.ingest", "machine.ingest"]) {
        return Ok(());
    }
    figures.say("parcels are taken in, without and with views and search");
    let filled = Filled::with(BEFORE)?;
    let recipient = Recipient::of(&filled, size.steady as u64)?;
    let (mut bare_s, mut whole_s) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        bare_s += recipient.take_in(&filled, false)?;
        whole_s += recipient.take_in(&filled, true)?;
    }
    let records = (ROUNDS as u64 * recipient.records) as f64;
    figures.put("machine.ingest_records_per_s", records / bare_s, "records/s");
    figures.put("desk.ingest_records_per_s", records / whole_s, "records/s");
    figures.put("desk.ingest_of_exchange", bare_s / whole_s, "of the bare exchange");
    Ok(())
}

/// Parcels, and what is needed to take them in.
struct Recipient {
    parcels: Vec<Vec<u8>>,
    records: u64,
    signing: Arc<SigningKey>,
    sealing: SealingKey,
    directory: Directory,
    /// Seconds since 1970 when the first record was signed; the register's keys were good by then.
    begun_s: u64,
}

impl Recipient {
    fn of(filled: &Filled, records: u64) -> Result<Self> {
        let store = Reader::open_to_read(&filled.database(DESK))?;
        let secrets = store.secrets()?;
        let secret = secrets.iter().rfind(|secret| secret.purpose == Purpose::Sealing).context("no sealing key")?;
        let sealing = SealingKey::from_seed(&secret.seed);
        let snapshot = store.snapshot()?.context("no register")?;
        let (register, register_version) = {
            let chain = snapshot.directory.chain();
            (chain.hash(), chain.current().version)
        };
        let directory = snapshot.directory.clone();
        let signing = signing_key(&store)?;
        let exchange = Exchange::load(snapshot, &store, Arc::clone(&signing), OnRetraction::Delete)?;
        let partner = filled.partner()?;
        let sender: AgencyId = PARTNER.parse()?;
        let Inbound { epoch, expected } = exchange.inbound(&sender);
        let begun_s = std::time::UNIX_EPOCH.elapsed()?.as_secs();
        let author = Author { signer: &partner, name: PARTNER, to: DESK, register, begin_s: begun_s };
        let parcels = (0..records / AT_ONCE).map(|number| {
            let first = number * AT_ONCE;
            let signed: Vec<_> = (first..first + AT_ONCE).map(|n| author.sign(n)).collect::<Result<_>>()?;
            let parts: Vec<(RecordId, &[u8])> = signed.iter().map(|record| (record.id(), record.bytes())).collect();
            let outer = Outer {
                suite: 0,
                sender: sender.clone(),
                recipient: DESK.parse()?,
                epoch,
                first: expected + number * AT_ONCE,
                count: 0,
                sealing_key: KeyId([0; 16]),
                signing_key: KeyId([0; 16]),
                register_version,
                expires: u64::MAX,
            };
            let mut entropy = [5; 32];
            entropy[..8].copy_from_slice(&number.to_be_bytes());
            let sealed = parcel::seal(outer, &parts, sealing.public(), &partner, entropy);
            Ok(sealed.map_err(|reason| anyhow!("cannot seal: {reason}"))?.to_bytes())
        });
        let parcels = parcels.collect::<Result<Vec<_>>>()?;
        let records = parcels.len() as u64 * AT_ONCE;
        Ok(Self { parcels, records, signing, sealing, directory, begun_s })
    }

    /// Seconds from the first parcel until everything is durable, and with the desk also folded and listed for searching.
    fn take_in(&self, filled: &Filled, desk: bool) -> Result<f64> {
        let folder = tempfile::tempdir()?;
        let state = folder.path().join(mufakat_node::DATABASE);
        std::fs::copy(filled.database(DESK), &state)?;
        let mut store = Sqlite::open(&state, Options { folds: desk, ..Options::default() })?;
        let snapshot = store.snapshot()?.context("no register")?;
        let mut exchange = Exchange::load(snapshot, &store, Arc::clone(&self.signing), OnRetraction::Delete)?;
        let (ready, done) = (Barrier::new(2), AtomicBool::new(!desk));
        std::thread::scope(|scope| {
            let listing = scope.spawn(|| self.list(folder.path(), &state, desk, &ready, &done));
            ready.wait();
            let started = Instant::now();
            let taken = self.parcels.iter().try_for_each(|bytes| self.take_one(bytes, &mut exchange, &mut store));
            done.store(true, Ordering::Release);
            let listed = listing.join().map_err(|_| anyhow!("the listing broke off"))?;
            let elapsed = started.elapsed().as_secs_f64();
            taken.and(listed)?;
            Ok(elapsed)
        })
    }

    fn take_one(&self, bytes: &[u8], exchange: &mut Exchange, store: &mut Sqlite) -> Result<()> {
        let broken = |reason| anyhow!("a parcel of our own: {reason}");
        // By when the last of them has been signed.
        let now_s = self.begun_s + self.records;
        let parcel = Parcel::parse(bytes).map_err(broken)?;
        let records = parcel.open(&self.sealing, &self.directory, now_s).map_err(broken)?;
        let item = |bytes: Vec<u8>| {
            let record = Unverified::parse(bytes).map_err(broken)?;
            Ok(Item { id: record.id(), record: record.verify(&self.directory, now_s) })
        };
        let items = records.into_iter().map(item).collect::<Result<Vec<_>>>()?;
        ensure!(items.iter().all(|item| item.record.is_ok()), "a record of our own is refused");
        let sender = parcel.outer.sender.clone();
        let delivery = Delivery { sender, epoch: parcel.outer.epoch, first: parcel.outer.first, items };
        let mut random = ChaCha20Rng::from_seed([6; 32]);
        store.begin()?;
        let (batch, _) = exchange.deliver(delivery, now_s * 1000, &mut random, &*store)?;
        store.apply(&batch.changes)?;
        Ok(store.commit()?)
    }

    /// Follows the ledger as the node does, on a thread of its own.
    fn list(&self, folder: &Path, state: &Path, desk: bool, ready: &Barrier, done: &AtomicBool) -> Result<()> {
        if !desk {
            ready.wait();
            return Ok(());
        }
        let reader = Reader::open_to_read(state)?;
        let mut index = Index::open(&folder.join(mufakat_node::SEARCH), &reader)?;
        while index.follow(&reader)?.more {}
        ready.wait();
        loop {
            let last = done.load(Ordering::Acquire);
            let progress = index.follow(&reader)?;
            if last && !progress.more {
                return Ok(());
            }
            if !progress.more {
                std::thread::sleep(GATHER);
            }
        }
    }
}
