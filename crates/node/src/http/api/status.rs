//! How the node does. Cheap at any size: counters, the exchange's own memory, and the latest checkpoint.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use mufakat_exchange::{Exchange, Inbound};
use mufakat_record::AgencyId;
use mufakat_store::Queries;
use serde_json::{Value, json};

use super::problem::Problem;
use crate::join::words_of;
use crate::node::Node;
use crate::serve::card;
use crate::wire::{CARD_PREFIX, to_text};
use crate::witness;

pub(super) fn routes() -> Router<Arc<Node>> {
    Router::new().route("/api/v1/status", get(status))
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

async fn status(State(node): State<Arc<Node>>) -> Result<axum::Json<Value>, Problem> {
    let inner = node.writer.call(|core| Ok(Inner::of(&core.exchange))).await?;
    let counts = node.read(|reader| reader.counts()).await?;
    let standing = witness::standing(&node).await?;
    let standing = standing.as_ref();
    let directory = node.directory();
    let register = directory.chain().current();
    let card = card(&node.config, &node.keyring.load());
    let partners: Vec<Value> = inner.partners.iter().map(|partner| shown(&node, partner)).collect();
    Ok(axum::Json(json!({
        "agency": node.me,
        "party": node.config.agency.party,
        "name": node.config.agency.name,
        "fingerprint": words_of(&card.identity),
        "card": to_text(CARD_PREFIX, &card),
        "phase": "running",
        "epoch": inner.epoch,
        "community": register.community,
        "register_version": register.version,
        "register_expires": register.expires,
        "records": counts.records,
        "leaves": inner.leaves,
        "root": hex::encode(inner.root),
        "checkpoint_size": standing.map(|standing| standing.size),
        "cosigned_by": standing.map(|standing| standing.cosigned_by.as_slice()).unwrap_or_default(),
        "witness_age_s": standing.and_then(|standing| standing.witness_age_s),
        "partners": partners,
        "alarms": node.metrics.alarms.get(),
        "disk_bytes": counts.bytes,
        "proposals_open": inner.proposals_open,
        "version": env!("CARGO_PKG_VERSION"),
    })))
}

fn shown(node: &Node, partner: &Partner) -> Value {
    json!({
        "agency": partner.agency,
        "backlog": partner.backlog,
        "failures": partner.failures,
        "relayed": partner.relayed,
        "last_contact_ms": node.last_contact_ms(&partner.agency),
        "expected_from_them": partner.inbound.expected,
    })
}
