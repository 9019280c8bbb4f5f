//! The configuration of a node: defaults, then `node.toml` in its folder, then the environment.
//!
//! An environment variable overrides a setting when it is called `MUFAKAT_<SECTION>__<KEY>`, such as
//! `MUFAKAT_LISTEN__PEERS`. Variables without the double underscore belong to the command line and are no settings. What is
//! said about a setting is written once, beside its field, and goes into the `node.toml` that `init` writes.

mod check;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::error::Kind;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use mufakat_exchange::{Answering, OnRetraction};
use mufakat_record::AgencyId;
use mufakat_record::attachment::ATTACHMENT_BYTES_MAX;
use mufakat_views::clock::{DEPUTY_PERCENT, SUPERVISOR_PERCENT};
use serde::{Deserialize, Serialize};

use crate::matching::budget::{LIMIT, WINDOW_DAYS};
use crate::net::flood;
use crate::net::peer_client::CallLimits;

/// The name of the file within the folder of a node.
pub const FILE_NAME: &str = "node.toml";
/// What every environment variable that overrides a setting begins with.
const ENV_PREFIX: &str = "MUFAKAT_";
/// What stands between section and key in the name of such a variable.
const ENV_NESTING: &str = "__";
/// The longest name or endpoint that a register takes, in bytes.
const NAME_BYTES_MAX: usize = 200;
/// The longest text of a law: it must fit into an answer to a retraction.
const LAW_BYTES_MAX: usize = 2000;
/// A configuration file is written by hand; a larger one is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a configuration was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not there or cannot be read.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: {why}")]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
    /// There is no such setting.
    #[error("there is no setting {key} (look into {FILE_NAME} and for {variable} in the environment)", variable = variable(.key))]
    UnknownKey {
        /// The setting, as `section.key`.
        key: String,
    },
    /// A variable of the environment looks like a setting's and is not: it would be passed over, and nobody would notice.
    #[error("{given} sets nothing; for the setting {key} the variable is {variable}", variable = variable(.key))]
    Variable {
        /// What the variable is called.
        given: String,
        /// The setting that is meant, as `section.key`.
        key: String,
    },
    /// A setting that has no default is not given.
    #[error("the setting {key} is missing")]
    Missing {
        /// The setting, as `section.key`.
        key: String,
    },
    /// A setting cannot have this value.
    #[error("the setting {key} is wrong: {why}")]
    Wrong {
        /// The setting, as `section.key`.
        key: String,
        /// What it must be.
        why: String,
    },
}

/// Declares a section: its fields, and their documentation once more as text for `node.toml`.
macro_rules! section {
    (
        #[serde($($serde:tt)*)]
        $(#[doc = $title:literal])+
        pub struct $name:ident {
            $($(#[doc = $help:literal])+ pub $field:ident: $kind:ty,)+
        }
    ) => {
        $(#[doc = $title])+
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde($($serde)*)]
        pub struct $name {
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Commented for $name {
            const TITLE: &[&str] = &[$($title),+];
            const HELP: &[(&str, &[&str])] = &[$((stringify!($field), &[$($help),+])),+];
        }
    };
}

/// A section whose documentation is at hand as text.
trait Commented: Serialize {
    /// The lines that say what the section is about.
    const TITLE: &[&str];
    /// Each key, with the lines that say what it means.
    const HELP: &[(&str, &[&str])];
}

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who this node speaks for.
    pub agency: Agency,
    /// Where it listens.
    #[serde(default)]
    pub listen: Listen,
    /// What it may use of the disk.
    #[serde(default)]
    pub store: Store,
    /// How it sends.
    #[serde(default)]
    pub delivery: Delivery,
    /// What it takes from others at once.
    #[serde(default)]
    pub limits: Limits,
    /// How long its keys serve.
    #[serde(default)]
    pub keys: Keys,
    /// What it does when an originator takes a record back.
    #[serde(default)]
    pub retraction: Retraction,
    /// How long it keeps records.
    #[serde(default)]
    pub retention: Retention,
    /// How its officers work.
    #[serde(default)]
    pub desk: Desk,
    /// Who else says who an officer is.
    #[serde(default)]
    pub oidc: Oidc,
    /// How it matches privately.
    #[serde(default)]
    pub matching: Matching,
    /// What it says about its work.
    #[serde(default)]
    pub log: Log,
    /// Whether it witnesses.
    #[serde(default)]
    pub witness: Witness,
}

section! {
    #[serde(deny_unknown_fields)]
    /// Who this node speaks for. What stands here goes into the card by which others found a community or admit the agency.
    pub struct Agency {
        /// The agency's id: 2 to 40 of a-z, 0-9 and inner hyphens. It can never change.
        pub id: AgencyId,
        /// The id of the party that the agency belongs to.
        pub party: AgencyId,
        /// The agency's name for people.
        pub name: String,
        /// The party's name for people; the party's id, if nothing is given.
        pub party_name: Option<String>,
        /// Where partners reach this node: host:port.
        pub endpoint: String,
        /// Whether this node offers to relay parcels, which it cannot read, for agencies that cannot reach each other.
        #[doc = " The register decides whether it does."]
        pub relay: bool,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// Where the node listens.
    pub struct Listen {
        /// The address and port for partners (HTTP/2 over TLS 1.3).
        pub peers: SocketAddr,
        /// The address and port for the operator: /healthz, /readyz and /metrics in plain HTTP, so loopback only,
        /// such as "127.0.0.1:9464". Nothing given: no such listener.
        pub ops: Option<SocketAddr>,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// What the node may use of the disk. When a limit is reached it refuses new records and stays readable.
    pub struct Store {
        /// The most bytes that the state file may grow to. Nothing given: as many as the disk has.
        pub max_bytes: Option<u64>,
        /// How many bytes must stay free on the disk.
        pub min_free_bytes: u64,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// How records are sent to partners.
    pub struct Delivery {
        /// The most records that are grouped into one parcel.
        pub count_max: usize,
        /// The most bytes of records that are grouped into one parcel.
        pub bytes_max: usize,
        /// How long connecting to a partner may take, in milliseconds.
        pub connect_timeout_ms: u64,
        /// How long a partner may take to answer, connecting included, in milliseconds.
        pub answer_timeout_ms: u64,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// What the node takes in at once. Whoever asks for more is told to come back later (503 with Retry-After).
    pub struct Limits {
        /// Requests a second from one partner, sustained.
        pub peer_requests_per_s: u32,
        /// Requests from one partner at once after a rest.
        pub peer_burst: u32,
        /// Requests of one partner that are unfinished at the same time.
        pub peer_in_flight_max: usize,
        /// Requests a second from one officer, sustained.
        pub officer_requests_per_s: u32,
        /// Requests from one officer at once after a rest.
        pub officer_burst: u32,
        /// Requests of one officer that are unfinished at the same time; an open stream of events is one.
        pub officer_in_flight_max: usize,
        /// The largest body of a request at the agency's own socket, and the longest line of a bulk submission, in bytes.
        pub api_body_bytes_max: usize,
        /// The largest attachment, in bytes.
        pub api_attachment_bytes_max: u64,
        /// The largest file of parcels that is taken in, in bytes.
        pub api_import_bytes_max: u64,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// How long keys serve, in days. The node replaces them by itself, without a pause.
    pub struct Keys {
        /// How long a key signs records; its successor is made when a fifth of this time is left.
        pub signing_days: u64,
        /// How long partners seal to a key before its successor is made. Its secret half is erased when no relay can hold a
        /// parcel for it any more.
        pub sealing_days: u64,
        /// How long a TLS certificate serves.
        pub tls_days: u64,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// What this agency does when an originator takes a record back. The originator gets a signed answer that says so.
    pub struct Retraction {
        /// "delete" the content, "mark" it as taken back and keep it, or "keep" it under a law.
        pub action: RetractionAction,
        /// The law under which retracted records are kept; for "keep", and only for it.
        pub law: Option<String>,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// How long records are kept. Legal holds go before all of it.
    pub struct Retention {
        /// Whether what is past its expiry is deleted once a day by itself; otherwise by `mufakat retention run`.
        pub automatic: bool,
        /// After how many days a retraction or correction that a recipient has not answered is overdue.
        pub answer_days: u64,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// The desk: how the agency's officers work.
    pub struct Desk {
        /// The address and port at which officers' programs and browsers reach the node. Nothing given: no such listener.
        pub listen: Option<SocketAddr>,
        /// The time zone of the agency by its IANA name, such as "Asia/Jakarta". Days of a deadline end at midnight there.
        pub time_zone: String,
        /// The origin by which browsers know the desk, such as `"https://desk.police.example"`. Passkeys are bound to its host.
        pub origin: Option<String>,
        /// The file with the certificate chain (PEM) for TLS at `listen`. Nothing given: plain HTTP, on loopback only.
        pub tls_certificate: Option<PathBuf>,
        /// The file with its private key (PEM).
        pub tls_key: Option<PathBuf>,
        /// After how many seconds without a request a session ends.
        pub session_idle_s: u64,
        /// After how many seconds a session ends in any case.
        pub session_max_s: u64,
        /// In which stretches of time originators are told how their records were used here, in seconds; they end at multiples
        /// of it since 1970, so that a day ends at midnight UTC. 0: originators are not told.
        pub use_summary_s: u64,
        /// The agency that is the single point of contact of this agency's party: it gets a copy of every request that is made
        /// here, unless whoever asks names the sensitive case that forbids it. Nothing given: no copies.
        pub single_point_of_contact: Option<AgencyId>,
        /// Within how many seconds this agency promises to answer requests, where that is sooner than it must. Both sides see
        /// the clock that follows. Nothing given: 8 hours, 3 days or 7 days, as the urgency demands.
        pub answer_within_s: Option<u64>,
        /// After which part of the time for an answer the deputy is told, in percent.
        pub deputy_percent: u8,
        /// After which part the supervisor is told, in percent; 100 is its end.
        pub supervisor_percent: u8,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// The identity provider of the agency (OpenID Connect), by which officers may sign in besides passkeys.
    pub struct Oidc {
        /// The provider's issuer, such as `"https://id.police.example"`. Nothing given: no such way of signing in.
        pub issuer: Option<String>,
        /// The name of the desk at the provider.
        pub client_id: Option<String>,
        /// The file with the desk's secret at the provider, if it has one.
        pub client_secret_file: Option<PathBuf>,
        /// The file with the certificates (PEM) that the provider is verified with.
        pub certificates: PathBuf,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// Private matching: partners that have a budget can ask whether something is listed here, and learn nothing else.
    pub struct Matching {
        /// After how many days partners get new keys and filters. What was made before cannot be asked any more then.
        pub epoch_days: u32,
        /// For how many days after that questions under the old key are answered; then its secret half is erased.
        pub grace_days: u32,
        /// After how many seconds partners are told what changed in the lists.
        pub delta_s: u64,
        /// How many different identifiers one officer may ask one partner about for one purpose.
        pub ask_limit: u32,
        /// Within how many days.
        pub ask_window_days: u32,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// The log, on standard error. It never holds what is in records.
    pub struct Log {
        /// "human" for people, "json" for programs.
        pub format: LogFormat,
        /// "error", "warn", "info", "debug" or "trace".
        pub level: LogLevel,
    }
}

section! {
    #[serde(deny_unknown_fields, default)]
    /// Witnessing: partners cosign each other's checkpoints, so that nobody rewrites history quietly.
    pub struct Witness {
        /// Whether this node cosigns the checkpoints of its partners and asks them to cosign its own.
        pub enabled: bool,
    }
}

/// What is done with a record that its originator takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RetractionAction {
    /// Its content is deleted.
    Delete,
    /// It is marked, and kept.
    Mark,
    /// It is kept under a law.
    Keep,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed and will not mend itself.
    Error,
    /// And what needs attention.
    Warn,
    /// And what changed.
    Info,
    /// And each step.
    Debug,
    /// And each detail of each step.
    Trace,
}

impl Default for Listen {
    fn default() -> Self {
        Self { peers: SocketAddr::from(([0, 0, 0, 0], 7443)), ops: None }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { automatic: true, answer_days: 3 }
    }
}

impl Retention {
    /// In how many milliseconds a retraction or correction is to be answered.
    pub(crate) fn answer_ms(&self) -> u64 {
        self.answer_days.saturating_mul(86_400_000)
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            listen: None,
            time_zone: "UTC".to_owned(),
            origin: None,
            tls_certificate: None,
            tls_key: None,
            session_idle_s: 15 * 60,
            session_max_s: 12 * 3600,
            use_summary_s: 86_400,
            single_point_of_contact: None,
            answer_within_s: None,
            deputy_percent: DEPUTY_PERCENT,
            supervisor_percent: SUPERVISOR_PERCENT,
        }
    }
}

impl Default for Oidc {
    fn default() -> Self {
        // Where Debian and its descendants keep the certificates that the system trusts.
        let certificates = PathBuf::from("/etc/ssl/certs/ca-certificates.crt");
        Self { issuer: None, client_id: None, client_secret_file: None, certificates }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { max_bytes: None, min_free_bytes: 256 << 20 }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self { count_max: 256, bytes_max: 1 << 20, connect_timeout_ms: 10_000, answer_timeout_ms: 60_000 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            peer_requests_per_s: 500,
            peer_burst: 1_000,
            peer_in_flight_max: 128,
            officer_requests_per_s: 50,
            officer_burst: 200,
            officer_in_flight_max: 32,
            api_body_bytes_max: 1 << 20,
            api_attachment_bytes_max: ATTACHMENT_BYTES_MAX,
            api_import_bytes_max: 4 << 30,
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self { signing_days: 90, sealing_days: 7, tls_days: 30 }
    }
}

impl Default for Retraction {
    fn default() -> Self {
        Self { action: RetractionAction::Delete, law: None }
    }
}

impl Default for Matching {
    fn default() -> Self {
        Self { epoch_days: 30, grace_days: 7, delta_s: 86_400, ask_limit: LIMIT, ask_window_days: WINDOW_DAYS }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Human, level: LogLevel::Info }
    }
}

impl Default for Witness {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Agency {
    /// The party's name for people.
    pub fn party_name(&self) -> &str {
        self.party_name.as_deref().unwrap_or(self.party.as_str())
    }
}

impl Retraction {
    /// The same in the words of the exchange.
    pub fn on_retraction(&self) -> OnRetraction {
        match self.action {
            RetractionAction::Delete => OnRetraction::Delete,
            RetractionAction::Mark => OnRetraction::Mark,
            // A sound configuration names the law.
            RetractionAction::Keep => OnRetraction::Keep(self.law.clone().unwrap_or_default()),
        }
    }
}

impl Desk {
    /// What the node says by itself when it is asked something, in the words of the exchange.
    pub fn answering(&self) -> Answering {
        Answering { time_zone: self.time_zone.clone(), within_s: self.answer_within_s }
    }
}

impl Limits {
    /// The measure of one partner, in the words of the transport.
    pub fn flood(&self) -> flood::Limits {
        flood::Limits {
            per_second: f64::from(self.peer_requests_per_s),
            burst: f64::from(self.peer_burst),
            in_flight_max: self.peer_in_flight_max,
        }
    }

    /// The measure of one officer, in the words of the transport.
    pub(crate) fn officer(&self) -> flood::Limits {
        flood::Limits {
            per_second: f64::from(self.officer_requests_per_s),
            burst: f64::from(self.officer_burst),
            in_flight_max: self.officer_in_flight_max,
        }
    }
}

impl Delivery {
    /// The limits of a call to a partner whose answer has at most so many bytes, in the words of the transport.
    pub fn call(&self, response_bytes_max: usize) -> CallLimits {
        CallLimits {
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            total_timeout: Duration::from_millis(self.answer_timeout_ms),
            response_bytes_max,
        }
    }
}

impl Config {
    /// A configuration with nothing but defaults around an agency.
    pub fn new(agency: Agency) -> Self {
        Self {
            agency,
            listen: Listen::default(),
            store: Store::default(),
            delivery: Delivery::default(),
            limits: Limits::default(),
            keys: Keys::default(),
            retraction: Retraction::default(),
            retention: Retention::default(),
            desk: Desk::default(),
            oidc: Oidc::default(),
            matching: Matching::default(),
            log: Log::default(),
            witness: Witness::default(),
        }
    }

    /// Reads the configuration of the node in a folder, with the environment of this process.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        // A name or value that is not Unicode cannot be one of ours.
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self::load_with(dir, std::env::vars_os().filter_map(unicode))
    }

    /// Reads the configuration of the node in a folder, with the environment that is given.
    pub fn load_with(dir: &Path, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let path = dir.join(FILE_NAME);
        let unreadable = |why: String| Error::Unreadable { path: path.clone(), why };
        let size = std::fs::metadata(&path).map_err(|e| unreadable(e.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(unreadable(format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(&path).map_err(|e| unreadable(e.to_string()))?;
        let environment: Vec<_> = environment.into_iter().collect();
        if let Some((given, key)) = environment.iter().find_map(|(name, _)| Some((name, nearly(name)?))) {
            return Err(Error::Variable { given: given.clone(), key });
        }
        let figment = Figment::from(Toml::string(&text)).merge(Environment::new(environment));
        let config: Self = figment.extract().map_err(|error| refusal(error, &path))?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as a `node.toml` that explains itself. What it reads back is the same configuration.
    pub fn to_toml_commented(&self) -> String {
        let mut text = String::from(
            "# The configuration of a Mufakat node. Each setting can be overridden by an environment variable:\n\
             # MUFAKAT_LISTEN__PEERS for peers in [listen], and so on. A setting with a # before it is not set.\n",
        );
        write_section(&mut text, "agency", &self.agency);
        write_section(&mut text, "listen", &self.listen);
        write_section(&mut text, "store", &self.store);
        write_section(&mut text, "delivery", &self.delivery);
        write_section(&mut text, "limits", &self.limits);
        write_section(&mut text, "keys", &self.keys);
        write_section(&mut text, "retraction", &self.retraction);
        write_section(&mut text, "retention", &self.retention);
        write_section(&mut text, "desk", &self.desk);
        write_section(&mut text, "matching", &self.matching);
        write_section(&mut text, "oidc", &self.oidc);
        write_section(&mut text, "log", &self.log);
        write_section(&mut text, "witness", &self.witness);
        text
    }
}

fn write_section<S: Commented>(text: &mut String, name: &str, section: &S) {
    // Sections hold texts, numbers and switches, which TOML can write; numbers above 2^63 are outside every limit.
    let values = toml::Table::try_from(section).unwrap_or_default();
    text.push('\n');
    comment(text, S::TITLE);
    text.push_str(&format!("[{name}]\n"));
    for (key, help) in S::HELP {
        comment(text, help);
        match values.get(*key) {
            Some(value) => text.push_str(&format!("{key} = {value}\n")),
            None => text.push_str(&format!("# {key} =\n")),
        }
    }
}

fn comment(text: &mut String, lines: &[&str]) {
    lines.iter().for_each(|line| text.push_str(&format!("#{line}\n")));
}

/// The settings among the variables of an environment.
struct Environment(Dict);

impl Environment {
    fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut sections: Dict = Dict::new();
        for (name, text) in variables {
            let Some((section, key)) = name.strip_prefix(ENV_PREFIX).and_then(|rest| rest.split_once(ENV_NESTING))
            else {
                continue;
            };
            // Reading a value never fails: what is no number, switch or list is text.
            let value: Value = text.parse().unwrap_or_else(|infallible| match infallible {});
            let section = sections.entry(section.to_ascii_lowercase()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, keys) = section {
                keys.insert(key.to_ascii_lowercase(), value);
            }
        }
        Self(sections)
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.0.clone()))
    }
}

/// The variable that overrides a setting.
fn variable(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replacen('.', ENV_NESTING, 1).to_ascii_uppercase())
}

/// The setting that is meant by a variable with one underscore in the place of two, if there is such a setting.
fn nearly(name: &str) -> Option<String> {
    let rest = name.strip_prefix(ENV_PREFIX).filter(|rest| !rest.contains(ENV_NESTING))?.to_ascii_lowercase();
    settings().find(|key| key.replacen('.', "_", 1) == rest)
}

/// Every setting, as `section.key`.
fn settings() -> impl Iterator<Item = String> {
    fn of<S: Commented>(section: &'static str) -> impl Iterator<Item = String> {
        S::HELP.iter().map(move |(key, _)| format!("{section}.{key}"))
    }
    of::<Agency>("agency")
        .chain(of::<Listen>("listen"))
        .chain(of::<Store>("store"))
        .chain(of::<Delivery>("delivery"))
        .chain(of::<Limits>("limits"))
        .chain(of::<Keys>("keys"))
        .chain(of::<Retraction>("retraction"))
        .chain(of::<Retention>("retention"))
        .chain(of::<Desk>("desk"))
        .chain(of::<Matching>("matching"))
        .chain(of::<Oidc>("oidc"))
        .chain(of::<Log>("log"))
        .chain(of::<Witness>("witness"))
}

/// The first of the errors that figment found, in our words.
fn refusal(error: figment::Error, path: &Path) -> Error {
    let within = |name: &str| error.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
    match &error.kind {
        Kind::UnknownField(name, _) if error.path.last() == Some(name) => {
            Error::UnknownKey { key: error.path.join(".") }
        }
        Kind::UnknownField(name, _) => Error::UnknownKey { key: within(name) },
        Kind::MissingField(name) => Error::Missing { key: within(name) },
        Kind::Message(why) if error.path.is_empty() => Error::NotToml { path: path.to_owned(), why: why.clone() },
        kind => Error::Wrong { key: error.path.join("."), why: kind.to_string() },
    }
}

#[cfg(test)]
mod tests;
