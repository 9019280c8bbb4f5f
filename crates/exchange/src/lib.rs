//! The exchange: how records get from one agency to others, and what each says of them.
//!
//! Pure: inputs go in, durable [`Change`]s and answers come out; time and random bytes are arguments, and what is on disk is
//! looked up through [`Facts`]. The node and the simulator drive the same code.

mod change;
mod channel;
mod deletion;
mod directory;
mod engine;
mod infrastructure;
mod known;
mod leaf;
mod passing_on;
mod register;

pub use change::{Change, Facts, Held, SAID_MAX, Said, Unavailable};
pub use channel::{
    ALONE_FOR, Departed, FAILURES_BEFORE_RELAY, Inbound, Outbound, Plan, RELAY_PATIENCE_MS, UNDER_WAY_MAX, WAIT_MS_MAX,
    WAIT_MS_MIN,
};
pub use deletion::{NotDeleted, ON_HOLD, could_delete};
pub use directory::Directory;
pub use engine::{
    Answering, Batch, Delivery, Exchange, Item, OnRetraction, Refusal, Refused, Snapshot, Submission, ledger_origin,
};
pub use infrastructure::{EARLY_APPROVALS_MAX, Governance, needs_identity_key};
pub use known::is_on_hold;
pub use leaf::{Leaf, What};
pub use passing_on::check_onward;
pub use register::{Chain, Enacted, PROPOSALS_MAX, Proposals, UnknownName, check_approval};
