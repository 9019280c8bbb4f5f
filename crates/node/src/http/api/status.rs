//! How the node does. Cheap at any size: counters, the exchange's own memory, and the latest checkpoint.

use std::sync::Arc;

use axum::extract::State;
use mufakat_exchange::{Exchange, Inbound};
use mufakat_record::{AgencyId, Digest};
use mufakat_store::Queries;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use crate::join::words_of;
use crate::node::Node;
use crate::serve::card;
use crate::wire::{CARD_PREFIX, to_text};
use crate::witness;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(show_status))
}

/// How the node does.
#[derive(Serialize, ToSchema)]
struct Status {
    agency: AgencyId,
    party: AgencyId,
    name: String,
    /// The fingerprint of the identity key, as twelve words.
    fingerprint: String,
    /// What others need to found a register with the agency or to admit it.
    card: String,
    /// `running`; a node without a register is `waiting`, and has few other members.
    phase: &'static str,
    /// It grows with each restore from a backup.
    epoch: u64,
    community: String,
    register_version: u64,
    /// When the register must have been renewed, in seconds since 1970.
    register_expires: u64,
    records: u64,
    leaves: u64,
    /// The root of the ledger's tree.
    root: Digest,
    /// How many leaves the latest checkpoint has.
    checkpoint_size: Option<u64>,
    /// The witnesses that have cosigned it.
    cosigned_by: Vec<AgencyId>,
    /// How long ago a quorum of witnesses cosigned.
    witness_age_s: Option<u64>,
    partners: Vec<PartnerStatus>,
    /// How many alarms there have been since the start.
    alarms: i64,
    disk_bytes: u64,
    proposals_open: usize,
    version: &'static str,
}

/// How things stand with a partner.
#[derive(Serialize, ToSchema)]
struct PartnerStatus {
    agency: AgencyId,
    /// Records without a receipt.
    backlog: u64,
    failures: u32,
    /// Whether records wait for it at a relay.
    relayed: bool,
    last_contact_ms: Option<u64>,
    /// The position that is expected next on the channel from it.
    expected_from_them: u64,
}

/// One partner, as the exchange sees it.
struct Partner {
    agency: AgencyId,
    backlog: u64,
    failures: u32,
    relayed: bool,
    inbound: Inbound,
}

/// What the exchange has in memory.
struct Inner {
    epoch: u64,
    leaves: u64,
    root: [u8; 32],
    proposals_open: usize,
    partners: Vec<Partner>,
}

impl Inner {
    fn of(exchange: &Exchange) -> Self {
        let (leaves, root) = exchange.ledger();
        let partner = |(agency, channel): (&AgencyId, &mufakat_exchange::Outbound)| Partner {
            agency: agency.clone(),
            backlog: channel.backlog(),
            failures: channel.failures(),
            relayed: channel.relayed_through() > channel.settled_through(),
            inbound: exchange.inbound(agency),
        };
        Self {
            epoch: exchange.epoch(),
            leaves,
            root: *root.as_bytes(),
            proposals_open: exchange.governance().open().count(),
            partners: exchange.channels().map(partner).collect(),
        }
    }
}

/// How the node does.
#[utoipa::path(
    get, path = "/api/v1/status", operation_id = "show_status", tag = "node",
    responses((status = 200, description = "How the node does.", body = Status))
)]
async fn show_status(State(node): State<Arc<Node>>) -> Result<axum::Json<Status>, Problem> {
    let inner = node.writer.call(|core| Ok(Inner::of(&core.exchange))).await?;
    let counts = node.read(|reader| reader.counts()).await?;
    let standing = witness::standing(&node).await?;
    let standing = standing.as_ref();
    let directory = node.directory();
    let register = directory.chain().current();
    let card = card(&node.config, &node.keyring.load());
    let partners = inner.partners.iter().map(|partner| shown(&node, partner)).collect();
    Ok(axum::Json(Status {
        agency: node.me.clone(),
        party: node.config.agency.party.clone(),
        name: node.config.agency.name.clone(),
        fingerprint: words_of(&card.identity),
        card: to_text(CARD_PREFIX, &card),
        phase: "running",
        epoch: inner.epoch,
        community: register.community.clone(),
        register_version: register.version,
        register_expires: register.expires,
        records: counts.records,
        leaves: inner.leaves,
        root: Digest(inner.root),
        checkpoint_size: standing.map(|standing| standing.size),
        cosigned_by: standing.map(|standing| standing.cosigned_by.clone()).unwrap_or_default(),
        witness_age_s: standing.and_then(|standing| standing.witness_age_s),
        partners,
        alarms: node.metrics.alarms.get(),
        disk_bytes: counts.bytes,
        proposals_open: inner.proposals_open,
        version: env!("CARGO_PKG_VERSION"),
    }))
}

fn shown(node: &Node, partner: &Partner) -> PartnerStatus {
    PartnerStatus {
        agency: partner.agency.clone(),
        backlog: partner.backlog,
        failures: partner.failures,
        relayed: partner.relayed,
        last_contact_ms: node.last_contact_ms(&partner.agency),
        expected_from_them: partner.inbound.expected,
    }
}
