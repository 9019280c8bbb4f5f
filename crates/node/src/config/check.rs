//! What must hold of a configuration beyond the types of its settings.

use mufakat_record::attachment::ATTACHMENT_BYTES_MAX;
use mufakat_record::parcel;
use mufakat_views::clock::{ORDINARY_DAYS, zone};

use super::{Config, Error, LAW_BYTES_MAX, NAME_BYTES_MAX, RetractionAction};
use crate::net::{tls, web};

impl Config {
    /// What must hold beyond the types.
    pub fn check(&self) -> Result<(), Error> {
        self.check_agency()?;
        if let Some(ops) = self.listen.ops {
            demand(ops.ip().is_loopback(), "listen.ops", "a loopback address, because nothing protects it")?;
        }
        demand(self.store.max_bytes != Some(0), "store.max_bytes", "more than 0, or nothing at all")?;
        self.check_delivery()?;
        self.check_limits()?;
        self.check_desk()?;
        let keys = &self.keys;
        within(keys.signing_days, 1, 3650, "keys.signing_days")?;
        within(keys.sealing_days, 1, 365, "keys.sealing_days")?;
        // A certificate is replaced before its end, not after it.
        within(keys.tls_days, 1, tls::VALID_AFTER_S / 86_400 - 1, "keys.tls_days")?;
        within(self.retention.answer_days, 1, 365, "retention.answer_days")?;
        let matching = &self.matching;
        within(matching.epoch_days.into(), 1, 366, "matching.epoch_days")?;
        within(matching.grace_days.into(), 0, 60, "matching.grace_days")?;
        within(matching.delta_s, 1, 31 * 86_400, "matching.delta_s")?;
        within(matching.ask_window_days.into(), 1, 366, "matching.ask_window_days")?;
        self.check_clocks()?;
        let law = self.retraction.law.as_deref();
        let lawful = match self.retraction.action {
            RetractionAction::Keep => law.is_some_and(|law| !law.trim().is_empty() && law.len() <= LAW_BYTES_MAX),
            RetractionAction::Delete | RetractionAction::Mark => law.is_none(),
        };
        demand(
            lawful,
            "retraction.law",
            "given for the action \"keep\", in at most 2000 bytes, and for no other action",
        )
    }

    fn check_clocks(&self) -> Result<(), Error> {
        let desk = &self.desk;
        demand(zone(&desk.time_zone).1, "desk.time_zone", "the IANA name of a time zone, such as \"Asia/Jakarta\"")?;
        if let Some(within_s) = desk.answer_within_s {
            within(within_s, 1, u64::from(ORDINARY_DAYS) * 86_400, "desk.answer_within_s")?;
        }
        within(desk.deputy_percent.into(), 1, 100, "desk.deputy_percent")?;
        within(desk.supervisor_percent.into(), 1, 100, "desk.supervisor_percent")
    }

    fn check_agency(&self) -> Result<(), Error> {
        let agency = &self.agency;
        let named = |name: &str| !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX;
        demand(named(&agency.name), "agency.name", "1 to 200 bytes of text")?;
        demand(named(agency.party_name()), "agency.party_name", "1 to 200 bytes of text")?;
        demand(is_endpoint(&agency.endpoint), "agency.endpoint", "host:port, with a port from 1 to 65535")
    }

    fn check_delivery(&self) -> Result<(), Error> {
        let delivery = &self.delivery;
        within(delivery.count_max as u64, 1, parcel::COUNT_MAX as u64, "delivery.count_max")?;
        // One record of the largest size must fit, or it could never be sent.
        let record_max = mufakat_record::RECORD_BYTES_MAX as u64;
        within(delivery.bytes_max as u64, record_max, parcel::CONTENT_BYTES_MAX as u64, "delivery.bytes_max")?;
        within(delivery.connect_timeout_ms, 10, 600_000, "delivery.connect_timeout_ms")?;
        within(delivery.answer_timeout_ms, 10, 3_600_000, "delivery.answer_timeout_ms")?;
        let longer = delivery.answer_timeout_ms > delivery.connect_timeout_ms;
        demand(longer, "delivery.answer_timeout_ms", "more than delivery.connect_timeout_ms, which it includes")
    }

    fn check_desk(&self) -> Result<(), Error> {
        let desk = &self.desk;
        let secure = desk.tls_certificate.is_some();
        demand(secure == desk.tls_key.is_some(), "desk.tls_key", "given together with desk.tls_certificate")?;
        let safe = desk.listen.is_none_or(|listen| secure || listen.ip().is_loopback());
        demand(safe, "desk.listen", "a loopback address, or desk.tls_certificate and desk.tls_key are given")?;
        demand(desk.listen.is_none() || desk.origin.is_some(), "desk.origin", "given where desk.listen is")?;
        if let Some(origin) = &desk.origin {
            let why = "an origin such as https://desk.police.example, without a path; http only for localhost";
            demand(is_secure_url(origin) && is_origin(origin), "desk.origin", why)?;
        }
        within(desk.session_idle_s, 10, 86_400, "desk.session_idle_s")?;
        within(desk.session_max_s, desk.session_idle_s, 7 * 86_400, "desk.session_max_s")?;
        let oidc = &self.oidc;
        if let Some(issuer) = &oidc.issuer {
            demand(is_secure_url(issuer), "oidc.issuer", "a URL with https; with http on this machine only")?;
            demand(desk.origin.is_some(), "desk.origin", "given where oidc.issuer is")?;
            let named = oidc.client_id.as_deref().is_some_and(|id| !id.trim().is_empty() && id.len() <= NAME_BYTES_MAX);
            demand(named, "oidc.client_id", "given where oidc.issuer is, in 1 to 200 bytes")?;
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Error> {
        let limits = &self.limits;
        within(limits.peer_requests_per_s.into(), 1, 1_000_000, "limits.peer_requests_per_s")?;
        within(limits.peer_burst.into(), 1, 1_000_000, "limits.peer_burst")?;
        within(limits.peer_in_flight_max as u64, 1, 65_536, "limits.peer_in_flight_max")?;
        within(limits.officer_requests_per_s.into(), 1, 1_000_000, "limits.officer_requests_per_s")?;
        within(limits.officer_burst.into(), 1, 1_000_000, "limits.officer_burst")?;
        within(limits.officer_in_flight_max as u64, 1, 65_536, "limits.officer_in_flight_max")?;
        within(limits.api_body_bytes_max as u64, 64 << 10, 64 << 20, "limits.api_body_bytes_max")?;
        within(limits.api_attachment_bytes_max, 1, ATTACHMENT_BYTES_MAX, "limits.api_attachment_bytes_max")?;
        within(limits.api_import_bytes_max, 1 << 20, 1 << 50, "limits.api_import_bytes_max")
    }
}

fn demand(holds: bool, key: &str, why: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Wrong { key: key.to_owned(), why: format!("it must be {why}") }) }
}

fn within(value: u64, min: u64, max: u64, key: &str) -> Result<(), Error> {
    demand((min..=max).contains(&value), key, &format!("from {min} to {max}, and is {value}"))
}

/// Whether a text is a URL with TLS, or without it on this machine.
fn is_secure_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| match url.scheme() {
        "https" => url.host().is_some(),
        "http" => url.host().is_some_and(|host| web::is_local(&host)),
        _ => false,
    })
}

/// Whether a text is the origin of a URL and nothing else, in the form in which browsers say it.
fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text)
}

/// Whether a text has the form host:port; an IPv6 address stands in brackets (RFC 3986 §3.2.2).
pub(super) fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'.'),
    };
    let digits = port.bytes().all(|c| c.is_ascii_digit());
    host && digits && port.parse::<u16>().is_ok_and(|port| port > 0) && text.len() <= NAME_BYTES_MAX
}
