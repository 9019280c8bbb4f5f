//! A node with a long history: reports that a partner sent, in several languages and handled in many ways, and some of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use mufakat_exchange::{Delivery, Exchange, Inbound, Item, OnRetraction, Submission};
use mufakat_record::kinds::Body as _;
use mufakat_record::kinds::report::{Place, Report, ReportType};
use mufakat_record::{AgencyId, Code, Digest, Draft, Handling, Header, KeyId, SigningKey, ThreadId, Tlp, Verified};
use mufakat_store::{Options, Purpose, Queries, Reader, Sqlite, Store};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tempfile::TempDir;

use crate::community::{Agency, Community, Node, binary};

/// The node that is measured.
pub(super) const DESK: &str = "vn-police";
/// The partner that has sent most of what it holds.
pub(super) const PARTNER: &str = "ru-police";
/// How many records one transaction of the filling holds; no parcel may hold more.
pub(super) const AT_ONCE: u64 = 256;
/// One record in so many is the node's own.
const OWN: u64 = 10;
/// When the first record was signed, in seconds since 1970, and how far apart they are.
const BEGIN_S: u64 = 1_700_000_000;

/// Reports in the languages of the region.
const TEXTS: [&str; 8] = [
    "EXERCISE Tàu cá bị cướp có vũ trang tấn công gần quần đảo",
    "EXERCISE เรือประมงถูกโจรสลัดโจมตีใกล้หมู่เกาะ",
    "EXERCISE Рыболовное судно подверглось вооружённому нападению у островов",
    "EXERCISE 渔船在群岛附近遭到武装抢劫",
    "EXERCISE تعرّضت سفينة صيد لسطو مسلّح قرب الجزر",
    "EXERCISE Kapal ikan diserang perompak bersenjata di dekat kepulauan",
    "EXERCISE Fishing vessel boarded by armed robbers near the islands",
    "EXERCISE ငါးဖမ်းလှေကို ကျွန်းစုအနီးတွင် လုယက်သည်",
];

/// A node that is filled, and does not run.
pub(super) struct Filled {
    _root: TempDir,
    community: Community,
    /// How many records were put into it.
    pub(super) records: u64,
}

impl Filled {
    /// Makes two nodes and fills one.
    pub(super) fn with(records: u64) -> Result<Self> {
        let root = tempfile::tempdir()?;
        let agency = |id| Agency { id, party: id, name: "EXERCISE agency", party_name: "EXERCISE party", relay: false };
        let mut community = Community::founded(&binary()?, root.path(), &[DESK, PARTNER].map(agency), 3600)?;
        for name in [DESK, PARTNER] {
            community.node_mut(name).stop()?;
        }
        let filled = Self { _root: root, community, records };
        fill(&filled.database(DESK), &*filled.partner()?, records)?;
        Ok(filled)
    }

    /// The state file of one of the two.
    pub(super) fn database(&self, name: &str) -> PathBuf {
        self.community.node(name).dir.join(mufakat_node::DATABASE)
    }

    /// What the partner signs with.
    pub(super) fn partner(&self) -> Result<Arc<SigningKey>> {
        signing_key(&Reader::open_to_read(&self.database(PARTNER))?)
    }

    /// The node.
    pub(super) fn node(&mut self) -> &mut Node {
        self.community.node_mut(DESK)
    }

    /// Its state, while it does not run.
    pub(super) fn store(&self) -> Result<Sqlite> {
        Ok(Sqlite::open(&self.database(DESK), Options::default())?)
    }
}

pub(super) fn signing_key(store: &impl Queries) -> Result<Arc<SigningKey>> {
    let secrets = store.secrets()?;
    let secret = secrets.iter().rfind(|secret| secret.purpose == Purpose::Signing).context("no signing key")?;
    Ok(Arc::new(SigningKey::from_seed(&secret.seed)))
}

fn fill(database: &Path, partner: &SigningKey, records: u64) -> Result<()> {
    let mut store = Sqlite::open(database, Options::default())?;
    let own = signing_key(&store)?;
    let snapshot = store.snapshot()?.context("no register")?;
    let register = snapshot.directory.chain().hash();
    let mut exchange = Exchange::load(snapshot, &store, Arc::clone(&own), OnRetraction::Delete)?;
    let ours = Author { signer: &own, name: DESK, to: PARTNER, register, begin_s: BEGIN_S };
    let theirs = Author { signer: partner, name: PARTNER, to: DESK, register, begin_s: BEGIN_S };
    let mut random = ChaCha20Rng::from_seed([8; 32]);
    let sender: AgencyId = PARTNER.parse()?;
    let mut number = 0;
    while number < records {
        let at_ms = (BEGIN_S + number) * 1000;
        store.begin()?;
        let block = number..records.min(number + AT_ONCE);
        number = block.end;
        if (block.start / AT_ONCE).is_multiple_of(OWN) {
            let submission = |n| Ok(Submission { record: ours.sign(n)?, key: None });
            let submissions = block.map(submission).collect::<Result<Vec<_>>>()?;
            let (batch, _) = exchange.submit(submissions, &Digest([0; 32]), at_ms, &mut random, &store)?;
            store.apply(&batch.changes)?;
        } else {
            // As if a parcel had held them, whose signatures were verified.
            let item = |n| {
                let record = theirs.sign(n)?;
                Ok(Item { id: record.id(), record: Ok(record) })
            };
            let items = block.map(item).collect::<Result<Vec<_>>>()?;
            let Inbound { epoch, expected } = exchange.inbound(&sender);
            let delivery = Delivery { sender: sender.clone(), epoch: epoch.max(1), first: expected, items };
            let (batch, _) = exchange.deliver(delivery, at_ms, &mut random, &store)?;
            store.apply(&batch.changes)?;
        }
        store.commit()?;
    }
    Ok(())
}

/// Who signs reports to whom.
pub(super) struct Author<'a> {
    pub(super) signer: &'a SigningKey,
    pub(super) name: &'a str,
    pub(super) to: &'a str,
    pub(super) register: Digest,
    /// When report number 0 was signed, in seconds since 1970; each next one a second later.
    pub(super) begin_s: u64,
}

impl Author<'_> {
    /// The report of this number.
    pub(super) fn sign(&self, number: u64) -> Result<Verified> {
        let mut thread = [0; 16];
        thread[..8].copy_from_slice(&(number / 7).to_be_bytes());
        let text = TEXTS[number as usize % TEXTS.len()];
        let body = Report {
            report_type: ReportType::Information,
            title: format!("{text} {number}"),
            text: [text; 8].join(" "),
            entities: None,
            place: place(number),
            time: None,
            evaluation: None,
            language: None,
            source: None,
        };
        let header = Header {
            key: KeyId([0; 16]),
            author: self.name.parse()?,
            issued_at: self.begin_s + number,
            thread: ThreadId(thread),
            kind: Report::KIND.to_owned(),
            audience: vec![self.to.parse()?],
            register: self.register,
            handling: handling(number),
            references: Vec::new(),
            expires: None,
        };
        let signed = Draft { header, body: body.to_body() }.sign(self.signer);
        signed.map_err(|reason| anyhow!("cannot sign: {reason}"))
    }
}

/// Every fourth report says where, somewhere between the Strait of Malacca and the Sea of Japan.
fn place(number: u64) -> Option<Place> {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let degrees_e7 = |bits: u64, from: i32, span: u64| from + (bits % span) as i32;
    number.is_multiple_of(4).then(|| Place {
        latitude_e7: Some(degrees_e7(spread >> 32, 0, 400_000_000)),
        longitude_e7: Some(degrees_e7(spread & 0xffff_ffff, 1_000_000_000, 350_000_000)),
        name: None,
    })
}

/// One of some dozens of ways of handling.
fn handling(number: u64) -> Handling {
    // Neighbouring records are handled in different ways, and each way comes back often.
    let way = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let (tlp, _) = Tlp::ALL[way as usize % Tlp::ALL.len()];
    let codes = match way / 5 % 4 {
        0 => None,
        1 => Some(vec![Code::H1]),
        2 => Some(vec![Code::H0, Code::H2]),
        _ => Some(vec![Code::H2]),
    };
    let purposes = (way / 20).is_multiple_of(3).then(|| vec!["EXERCISE piracy".to_owned()]);
    Handling { codes, purposes, ..Handling::with(tlp) }
}
