//! What the node measures, for the operator's monitoring (OpenMetrics 1.0, scraped at `/metrics`).
//!
//! Labels take their values from closed lists and from the agencies in the register, so that no caller can make the node
//! remember endlessly many series: a name that the register does not have counts as [`OTHER`]. No label holds content.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{PoisonError, RwLock};

use http::StatusCode;
use mufakat_record::{AgencyId, Reason};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::net::{Caller, peer_client};

/// The label of whoever is not in the register, and of a reason that is not of the protocol. No agency can have this name.
pub const OTHER: &str = "_other";
/// The outcome of a receipt that accepts.
const ACCEPTED: &str = "accepted";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Partner {
    partner: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartnerOutcome {
    partner: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartnerWhy {
    partner: String,
    why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallerLabel {
    caller: String,
}

/// A number with a fraction, such as seconds.
type Fraction = Gauge<f64, AtomicU64>;

/// Why a delivery to a partner brought no receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answers at its endpoint.
    Unreachable,
    /// Who answers is not who the register says, or does not take us for who we are.
    NoTrust,
    /// It took too long.
    Timeout,
    /// The connection broke, or the answer was too large or not of the protocol.
    Protocol,
    /// It asked us to come back later.
    Overloaded,
    /// It refused the parcel as a whole.
    Refused,
    /// It has no sealing key that is still open.
    NoSealingKey,
}

impl Failure {
    /// Every failure.
    pub const ALL: [Failure; 7] = [
        Self::Unreachable,
        Self::NoTrust,
        Self::Timeout,
        Self::Protocol,
        Self::Overloaded,
        Self::Refused,
        Self::NoSealingKey,
    ];

    /// The failure's name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NoTrust => "no-trust",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Overloaded => "overloaded",
            Self::Refused => "refused",
            Self::NoSealingKey => "no-sealing-key",
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl From<&peer_client::Error> for Failure {
    fn from(error: &peer_client::Error) -> Self {
        match error {
            peer_client::Error::Connect { .. } => Self::Unreachable,
            peer_client::Error::Handshake { .. } => Self::NoTrust,
            peer_client::Error::Timeout { .. } => Self::Timeout,
            peer_client::Error::TooLarge { .. } | peer_client::Error::Protocol { .. } => Self::Protocol,
        }
    }
}

/// All that is measured. What has no labels is set directly; what has goes through methods, which keep the labels bounded.
#[derive(Debug)]
pub struct Metrics {
    /// Records of this agency taken in.
    pub records_submitted: Counter,
    /// Records of partners taken in.
    pub records_received: Counter,
    /// Parcels for others that this node holds as a relay.
    pub mailbox_parcels: Gauge,
    /// Leaves in the ledger.
    pub ledger_size: Gauge,
    /// Up to which leaf the index for searching has followed the ledger.
    pub search_followed: Gauge,
    /// How old our latest checkpoint is.
    pub checkpoint_age_s: Fraction,
    /// How old our latest checkpoint with enough cosignatures is.
    pub witness_age_s: Fraction,
    /// Cosignatures of partners on our checkpoints.
    pub cosignatures: Counter,
    /// Witness alarms on file.
    pub alarms: Gauge,
    /// 1 while the node refuses records for want of disk, otherwise 0.
    pub storage_full: Gauge,
    commit_s: Histogram,
    commit_batch: Histogram,
    receipts: Family<PartnerOutcome, Counter>,
    rejected: Family<ReasonLabel, Counter>,
    parcels_sent: Family<Partner, Counter>,
    parcels_received: Family<Partner, Counter>,
    wire_sent_bytes: Family<Partner, Counter>,
    wire_received_bytes: Family<Partner, Counter>,
    backlog: Family<Partner, Gauge>,
    delivery_lag_s: Family<Partner, Fraction>,
    delivery_failures: Family<PartnerWhy, Counter>,
    clock_skew_s: Family<Partner, Fraction>,
    api_requests: Family<StatusLabel, Counter>,
    flood_refusals: Family<CallerLabel, Counter>,
    partners: RwLock<BTreeSet<AgencyId>>,
    registry: Registry,
}

impl Metrics {
    /// Nothing measured yet.
    pub fn new() -> Self {
        let mut r = Registry::with_prefix("mufakat");
        Self {
            records_submitted: add(&mut r, "records_submitted", "Records of this agency taken in"),
            records_received: add(&mut r, "records_received", "Records of partners taken in"),
            mailbox_parcels: add(&mut r, "mailbox_parcels", "Parcels for others held as a relay"),
            ledger_size: add(&mut r, "ledger_size", "Leaves in the ledger"),
            search_followed: add(&mut r, "search_followed", "Leaves that the search index has followed"),
            checkpoint_age_s: seconds(&mut r, "checkpoint_age", "Age of our latest checkpoint"),
            witness_age_s: seconds(&mut r, "witness_age", "Age of our latest checkpoint with enough cosignatures"),
            cosignatures: add(&mut r, "cosignatures", "Cosignatures of partners on our checkpoints"),
            alarms: add(&mut r, "alarms", "Witness alarms on file"),
            storage_full: add(&mut r, "storage_full", "1 while records are refused for want of disk"),
            commit_s: histogram(&mut r, "commit", "Time of one commit", Some(Unit::Seconds), 0.000_5, 14),
            commit_batch: histogram(&mut r, "commit_batch", "Calls made durable by one commit", None, 1.0, 12),
            receipts: add(&mut r, "receipts", "Records receipted by partners, by outcome"),
            rejected: add(&mut r, "rejected", "Records, parcels and calls refused here, by reason"),
            parcels_sent: add(&mut r, "parcels_sent", "Parcels sent"),
            parcels_received: add(&mut r, "parcels_received", "Parcels received"),
            wire_sent_bytes: bytes(&mut r, "wire_sent", "Bytes of requests and answers sent"),
            wire_received_bytes: bytes(&mut r, "wire_received", "Bytes of requests and answers received"),
            backlog: add(&mut r, "backlog", "Records that wait for the partner's receipt"),
            delivery_lag_s: seconds(&mut r, "delivery_lag", "Age of the oldest record that waits for its receipt"),
            delivery_failures: add(&mut r, "delivery_failures", "Deliveries that brought no receipt, by cause"),
            clock_skew_s: seconds(&mut r, "clock_skew", "How far the partner's clock seems ahead of ours"),
            api_requests: add(&mut r, "api_requests", "Requests at the agency's own socket, by HTTP status"),
            flood_refusals: add(&mut r, "flood_refusals", "Requests refused because the caller asks too much"),
            partners: RwLock::default(),
            registry: r,
        }
    }

    /// Names the partners, which are the other agencies in the register. What was shown as the state of one that no longer
    /// is a partner disappears; what was counted stays.
    pub fn set_partners<'a>(&self, partners: impl IntoIterator<Item = &'a AgencyId>) {
        let now: BTreeSet<AgencyId> = partners.into_iter().cloned().collect();
        let mut known = self.partners.write().unwrap_or_else(PoisonError::into_inner);
        for gone in known.difference(&now) {
            let label = Partner { partner: gone.to_string() };
            self.backlog.remove(&label);
            self.delivery_lag_s.remove(&label);
            self.clock_skew_s.remove(&label);
        }
        for partner in &now {
            // A series that is there from the start can be alarmed on.
            let label = Partner { partner: partner.to_string() };
            drop(self.backlog.get_or_create(&label));
            drop(self.delivery_lag_s.get_or_create(&label));
        }
        *known = now;
    }

    /// A receipt for one record: accepted, or rejected for the reason that the partner names.
    pub fn receipt(&self, partner: &AgencyId, rejected: Option<&str>) {
        let known = |name: &str| name.parse().map_or(OTHER, Reason::name);
        let outcome = rejected.map_or(ACCEPTED, known);
        self.receipts.get_or_create(&PartnerOutcome { partner: self.name(partner), outcome }).inc();
    }

    /// Something from outside was refused.
    pub fn rejected(&self, reason: Reason) {
        self.rejected.get_or_create(&ReasonLabel { reason: reason.name() }).inc();
    }

    /// A parcel went out to a partner.
    pub fn parcel_sent(&self, partner: &AgencyId) {
        self.parcels_sent.get_or_create(&self.label(partner)).inc();
    }

    /// A parcel came from a partner.
    pub fn parcel_received(&self, partner: &AgencyId) {
        self.parcels_received.get_or_create(&self.label(partner)).inc();
    }

    /// So many bytes went to a partner and came from it.
    pub fn wire(&self, partner: &AgencyId, sent: u64, received: u64) {
        let label = self.label(partner);
        self.wire_sent_bytes.get_or_create(&label).inc_by(sent);
        self.wire_received_bytes.get_or_create(&label).inc_by(received);
    }

    /// How many records wait for a partner's receipt, and for how many seconds the oldest of them has waited.
    pub fn set_backlog(&self, partner: &AgencyId, records: u64, lag_s: f64) {
        // Of an agency that is no partner nothing waits; a late note must not bring its series back.
        if !self.is_partner(partner) {
            return;
        }
        let label = self.label(partner);
        self.backlog.get_or_create(&label).set(i64::try_from(records).unwrap_or(i64::MAX));
        self.delivery_lag_s.get_or_create(&label).set(lag_s);
    }

    /// How far a partner's clock seems to be ahead of ours, in seconds; negative when it is behind.
    pub fn set_clock_skew(&self, partner: &AgencyId, skew_s: f64) {
        if self.is_partner(partner) {
            self.clock_skew_s.get_or_create(&self.label(partner)).set(skew_s);
        }
    }

    /// A delivery brought no receipt.
    pub fn delivery_failed(&self, partner: &AgencyId, why: Failure) {
        self.delivery_failures.get_or_create(&PartnerWhy { partner: self.name(partner), why: why.name() }).inc();
    }

    /// A commit made so many calls durable, in so many seconds.
    pub fn commit(&self, calls: usize, seconds: f64) {
        self.commit_batch.observe(calls as f64);
        self.commit_s.observe(seconds);
    }

    /// A request at the agency's own socket was answered.
    pub fn api_request(&self, status: StatusCode) {
        self.api_requests.get_or_create(&StatusLabel { status: status.as_u16() }).inc();
    }

    /// A caller asked too much and was told to come back.
    pub fn flood_refused(&self, caller: &Caller) {
        let caller = match caller {
            Caller::Agency(agency) => agency.parse().map_or_else(|_| OTHER.to_owned(), |agency| self.name(&agency)),
            Caller::Stranger { .. } => OTHER.to_owned(),
        };
        self.flood_refusals.get_or_create(&CallerLabel { caller }).inc();
    }

    /// Everything in the text form of OpenMetrics.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Only writing into the buffer can fail, and a String takes everything.
        text::encode(&mut out, &self.registry).expect("encoding into memory");
        out
    }

    fn is_partner(&self, agency: &AgencyId) -> bool {
        self.partners.read().unwrap_or_else(PoisonError::into_inner).contains(agency)
    }

    fn name(&self, agency: &AgencyId) -> String {
        if self.is_partner(agency) { agency.to_string() } else { OTHER.to_owned() }
    }

    fn label(&self, agency: &AgencyId) -> Partner {
        Partner { partner: self.name(agency) }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn with_unit<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str, unit: Unit) -> M {
    let metric = M::default();
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}

fn seconds<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    with_unit(registry, name, help, Unit::Seconds)
}

fn bytes<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    with_unit(registry, name, help, Unit::Bytes)
}

/// A histogram whose buckets double from `first` on.
fn histogram(r: &mut Registry, name: &str, help: &str, unit: Option<Unit>, first: f64, buckets: u16) -> Histogram {
    let histogram = Histogram::new(exponential_buckets(first, 2.0, buckets));
    match unit {
        Some(unit) => r.register_with_unit(name, help, unit, histogram.clone()),
        None => r.register(name, help, histogram.clone()),
    }
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agency(name: &str) -> AgencyId {
        name.parse().unwrap()
    }

    #[track_caller]
    fn check(metrics: &Metrics, line: &str) {
        let text = metrics.encode();
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }

    #[test]
    fn each_thing_is_counted_under_its_name() {
        let (metrics, ru) = (Metrics::new(), agency("ru-police"));
        metrics.set_partners([&ru]);
        check(&metrics, "mufakat_backlog{partner=\"ru-police\"} 0");
        metrics.records_submitted.inc_by(3);
        metrics.ledger_size.set(7);
        metrics.witness_age_s.set(1.5);
        metrics.receipt(&ru, None);
        metrics.receipt(&ru, Some("gap"));
        metrics.rejected(Reason::WrongSignature);
        metrics.parcel_sent(&ru);
        metrics.wire(&ru, 100, 20);
        metrics.set_backlog(&ru, 5, 2.5);
        metrics.set_clock_skew(&ru, -86_400.0);
        metrics.delivery_failed(&ru, Failure::Timeout);
        metrics.commit(256, 0.004);
        metrics.api_request(StatusCode::CREATED);
        metrics.flood_refused(&Caller::Agency("ru-police".into()));
        for line in [
            "mufakat_records_submitted_total 3",
            "mufakat_ledger_size 7",
            "mufakat_witness_age_seconds 1.5",
            "mufakat_receipts_total{partner=\"ru-police\",outcome=\"accepted\"} 1",
            "mufakat_receipts_total{partner=\"ru-police\",outcome=\"gap\"} 1",
            "mufakat_rejected_total{reason=\"wrong-signature\"} 1",
            "mufakat_parcels_sent_total{partner=\"ru-police\"} 1",
            "mufakat_wire_sent_bytes_total{partner=\"ru-police\"} 100",
            "mufakat_wire_received_bytes_total{partner=\"ru-police\"} 20",
            "mufakat_backlog{partner=\"ru-police\"} 5",
            "mufakat_delivery_lag_seconds{partner=\"ru-police\"} 2.5",
            "mufakat_clock_skew_seconds{partner=\"ru-police\"} -86400.0",
            "mufakat_delivery_failures_total{partner=\"ru-police\",why=\"timeout\"} 1",
            "mufakat_commit_seconds_count 1",
            "mufakat_commit_batch_bucket{le=\"256.0\"} 1",
            "mufakat_commit_batch_bucket{le=\"128.0\"} 0",
            "mufakat_api_requests_total{status=\"201\"} 1",
            "mufakat_flood_refusals_total{caller=\"ru-police\"} 1",
        ] {
            check(&metrics, line);
        }
    }

    #[test]
    fn strangers_cannot_make_series() {
        let metrics = Metrics::new();
        metrics.set_partners([&agency("ru-police")]);
        let series = |text: String| text.lines().filter(|line| !line.starts_with('#')).count();
        let before = series(metrics.encode());
        for i in 0..100 {
            let stranger = agency(&format!("stranger-{i}"));
            metrics.parcel_received(&stranger);
            metrics.receipt(&stranger, Some(&format!("reason-{i}")));
            metrics.set_backlog(&stranger, 1, 1.0);
            metrics.set_clock_skew(&stranger, 1.0);
            metrics.flood_refused(&Caller::Agency(stranger.to_string()));
        }
        check(&metrics, "mufakat_parcels_received_total{partner=\"_other\"} 100");
        check(&metrics, "mufakat_receipts_total{partner=\"_other\",outcome=\"_other\"} 100");
        check(&metrics, "mufakat_flood_refusals_total{caller=\"_other\"} 100");
        assert_eq!(series(metrics.encode()), before + 3);
    }

    #[test]
    fn the_state_of_a_former_partner_disappears() {
        let (metrics, ru, sg) = (Metrics::new(), agency("ru-police"), agency("sg-fusion"));
        metrics.set_partners([&ru, &sg]);
        metrics.set_backlog(&ru, 5, 1.0);
        metrics.parcel_sent(&ru);
        metrics.set_partners([&sg]);
        metrics.set_backlog(&ru, 6, 1.0);
        let text = metrics.encode();
        assert!(!text.contains("mufakat_backlog{partner=\"ru-police\"}"), "{text}");
        check(&metrics, "mufakat_backlog{partner=\"sg-fusion\"} 0");
        check(&metrics, "mufakat_parcels_sent_total{partner=\"ru-police\"} 1");
    }

    #[test]
    fn failures_have_names_of_their_own() {
        let names: BTreeSet<_> = Failure::ALL.iter().map(|failure| failure.name()).collect();
        assert_eq!(names.len(), Failure::ALL.len());
        let error = peer_client::Error::Timeout { agency: "ru-police".into() };
        assert_eq!(Failure::from(&error), Failure::Timeout);
    }
}
