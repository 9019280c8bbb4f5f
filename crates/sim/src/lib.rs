//! The simulator: a community of many nodes in one process, driven by one seed, with everything going wrong that can.
//!
//! Each node is the real exchange over the real store on a file of its own; parcels are really sealed and opened, and witnesses
//! really decide. Only the network, the clocks and the people are simulated. The same seed always gives the same run, so a run
//! that breaks an invariant can be had again. First comes a time of faults and lies; then the network heals, and everything must
//! settle within a time.

mod acts;
mod agree;
mod check;
mod community;
mod delivery;
mod desk;
mod dice;
mod drafts;
mod invariant;
mod liar;
mod liar_steps;
mod matching;
mod network;
mod node;
mod receive;
mod requests;
mod witness;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

pub use invariant::{Failure, Invariant};

use world::World;

/// Where the state files of the nodes are put if it is there: memory that looks like a disk.
const MEMORY_FOLDER: &str = "/dev/shm";

/// How a run is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What is broken on purpose, to see that the run fails.
    pub sabotage: Option<Sabotage>,
    /// Nobody is at a desk: records are shared, passed on and taken back, and nothing else. Seeds that were kept before there
    /// were desks lead to their cases so.
    pub without_desks: bool,
    /// Nobody matches, for seeds that were kept before anybody did. Where nobody is at a desk nobody does either.
    pub without_matching: bool,
}

/// Something broken on purpose in the simulator's own handling of a node. Nothing of it is in a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// A recipient gives its receipt and does not keep the record.
    DropReceipt,
    /// A recipient takes a parcel that lies beyond a gap as if it were the next one.
    SkipGap,
    /// A sender seals a parcel also to an agency outside the audience.
    LeakToOutsider,
    /// A recipient gives its receipt before the record is durable, and then loses power.
    ForgetOnCrash,
    /// A node signs a checkpoint over another history than the one it has.
    RewriteLedger,
    /// A sender goes on sending to an agency that the register has removed.
    DeliverToRemoved,
    /// A node keeps a step of a request, and its views never hear of it.
    UnfoldedStep,
    /// A node keeps a report, and its views never hear of it.
    UnfoldedReport,
    /// A summary of use tells of one use more than there was.
    MiscountUse,
    /// A sender seals what is to stay at home to a partner.
    SendHome,
    /// A node deletes what a legal hold is on.
    DeleteHeld,
    /// A node keeps an answer of matching, and its views never hear of it.
    UnfoldedAnswer,
    /// A node answers a question of matching, and then refuses it.
    AnswerTwice,
    /// An asker looks into the oldest filter first, so that what was taken off a list stays there.
    LookOldestFirst,
    /// An asker writes in a question what it asks.
    AskInClear,
    /// An asker makes every ask from the same secret, so that questions can be told to be alike.
    ReuseBlinds,
    /// A holder answers a question that it answered before.
    AnswerReplays,
    /// An asker takes an answer without a proof for one in which nothing is listed.
    BelieveAnswer,
    /// A holder does not count what a partner asked before.
    ForgetBudget,
}

impl Sabotage {
    /// Each of them, with the invariant that it breaks.
    pub const ALL: [(Self, Invariant); 19] = [
        (Self::DropReceipt, Invariant::NoSilentLoss),
        (Self::SkipGap, Invariant::NoSilentLoss),
        (Self::LeakToOutsider, Invariant::AudienceOnly),
        (Self::ForgetOnCrash, Invariant::NoSilentLoss),
        (Self::RewriteLedger, Invariant::HistoryHolds),
        (Self::DeliverToRemoved, Invariant::RegisterHolds),
        (Self::UnfoldedStep, Invariant::SidesAgree),
        (Self::UnfoldedReport, Invariant::ViewsRebuild),
        (Self::MiscountUse, Invariant::UsesTold),
        (Self::SendHome, Invariant::AudienceOnly),
        (Self::DeleteHeld, Invariant::HeldStays),
        (Self::UnfoldedAnswer, Invariant::QuestionsEnd),
        (Self::AnswerTwice, Invariant::QuestionsEnd),
        (Self::LookOldestFirst, Invariant::HitsTrue),
        (Self::AskInClear, Invariant::NothingLearned),
        (Self::ReuseBlinds, Invariant::NothingLearned),
        (Self::AnswerReplays, Invariant::ReplaysRefused),
        (Self::BelieveAnswer, Invariant::LiesAreFaults),
        (Self::ForgetBudget, Invariant::BudgetsHold),
    ];
}

/// What a run, or several together, had in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Nodes.
    pub nodes: u64,
    /// Things that happened.
    pub steps: u64,
    /// Records that people shared.
    pub records: u64,
    /// Records that a recipient took in, counted for each recipient.
    pub deliveries: u64,
    /// Parcels that were opened.
    pub parcels: u64,
    /// Crashes.
    pub crashes: u64,
    /// Lies that peers and relays told.
    pub lies: u64,
    /// Questions of matching that honest agencies asked.
    pub questions: u64,
    /// Times that an honest agency came to know what an answer or a filter says.
    pub results: u64,
    /// Cosignatures that honest witnesses gave.
    pub cosignatures: u64,
    /// Split views that were found.
    pub splits: u64,
}

impl Stats {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.nodes += other.nodes;
        self.steps += other.steps;
        self.records += other.records;
        self.deliveries += other.deliveries;
        self.parcels += other.parcels;
        self.crashes += other.crashes;
        self.lies += other.lies;
        self.questions += other.questions;
        self.results += other.results;
        self.cosignatures += other.cosignatures;
        self.splits += other.splits;
    }
}

/// Makes the run of a seed.
///
/// # Panics
///
/// If no folder can be made for the state files.
pub fn run(seed: u64, options: &Options) -> Result<Stats, Failure> {
    let memory = Path::new(MEMORY_FOLDER);
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder =
        tempfile::Builder::new().prefix("mufakat-sim-").tempdir_in(base).expect("a folder for the state files");
    let mut world = World::new(seed, *options, folder.path());
    // A panic of the code under test is a finding like any other, and it is to be told with what led to it.
    match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(Ok(())) => Ok(world.stats),
        Ok(Err(failure)) => Err(*failure),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
            Err(*world.failure(Invariant::BadInputIsAnswer, &[], format!("panicked: {text}")))
        }
    }
}
