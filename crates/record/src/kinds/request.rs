//! `request`: a request for information to one or several agencies, modelled on article 4 of Directive (EU) 2023/977. What
//! follows it are records of the kind [`request-step`](super::request_step).

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Body;
use super::report::{ENTITIES_MAX, Entity, Identifier, TEXT_BYTES_MAX, TITLE_BYTES_MAX, without_canonical_form};
use crate::{AgencyId, Header, OfficerId, Role};

/// The longest of the shorter texts in a request, such as the purpose, in bytes.
pub const GROUNDS_BYTES_MAX: usize = 4000;
/// How many agencies one request may be copied to.
pub const COPIES_MAX: usize = 8;

/// A request for information. Attached files and earlier records stand in the header's references.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = InformationRequest))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Request {
    /// Who asks. The node fills it in.
    #[n(1)]
    #[serde(skip_deserializing)]
    pub by: By,
    /// One line.
    #[n(2)]
    pub title: String,
    /// What is asked, as exactly as it can be said (article 4(5)(a) of the directive).
    #[n(3)]
    pub text: String,
    /// The offence that underlies it.
    #[n(4)]
    pub offence: String,
    /// What the information is wanted for.
    #[n(5)]
    pub purpose: String,
    /// How the subjects are linked with the purpose.
    #[n(6)]
    pub link: String,
    /// Why it is necessary and proportionate.
    #[n(7)]
    pub necessity: String,
    /// Why the other side may hold it.
    #[n(8)]
    pub holding: String,
    /// Present when it is urgent.
    #[n(9)]
    #[serde(default, deserialize_with = "crate::json::object", skip_serializing_if = "Option::is_none")]
    pub urgency: Option<Urgency>,
    /// What the asking side will not do with an answer, or what the asked side may not do with the request.
    #[n(10)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restrictions: Option<String>,
    /// The language of the texts (BCP 47).
    #[n(11)]
    pub language: String,
    /// The legal basis.
    #[n(12)]
    pub legal_basis: String,
    /// Whether a judge had to authorise it at home.
    #[n(13)]
    #[serde(default)]
    pub judge_needed: bool,
    /// Whom and what it is about.
    #[n(14)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<Vec<Entity>>,
    /// Agencies of the audience that have it as a copy only, such as the single point of contact of the asking agency's own
    /// party (article 4(1)): they are not asked. Ascending, without repetition.
    /// The node fills it in.
    #[n(15)]
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Vec<AgencyId>>,
    /// Why the single point of contact has no copy.
    #[n(16)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_copied: Option<NotCopied>,
}

/// The officer behind a request or a step, as the other side sees it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = ActingOfficer))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct By {
    /// In which role.
    #[n(1)]
    pub role: Role,
    /// By which pseudonym; absent when the agency's own programs did it.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub officer: Option<OfficerId>,
}

impl Default for By {
    fn default() -> Self {
        Self { role: Role::DutyOfficer, officer: None }
    }
}

/// Why a request is urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Urgency {
    /// The reason, from the closed list of article 4(4) of the directive.
    #[n(1)]
    pub reason: UrgencyReason,
    /// Whether the asked side can reach the information directly, in databases of its own.
    #[n(2)]
    #[serde(default)]
    pub directly_accessible: bool,
}

/// The reasons for which a request may be urgent (Directive (EU) 2023/977, article 4(4)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum UrgencyReason {
    /// An immediate and serious threat to public security is to be prevented.
    #[n(0)]
    PublicSecurity,
    /// An imminent threat to a person's life or limb is to be prevented.
    #[n(1)]
    LifeOrLimb,
    /// A decision is to be taken on restrictive measures such as custody.
    #[n(2)]
    RestrictiveMeasures,
    /// The information is about to lose its relevance.
    #[n(3)]
    LosingRelevance,
}

/// The sensitive cases in which the single point of contact has no copy (Directive (EU) 2023/977, article 4(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum NotCopied {
    /// An ongoing and highly sensitive investigation.
    #[n(0)]
    SensitiveInvestigation,
    /// A case of terrorism that is no emergency.
    #[n(1)]
    Terrorism,
    /// The safety of a person.
    #[n(2)]
    Safety,
}

impl Urgency {
    /// How urgent something is: `urgent-direct`, `urgent-indirect` or `ordinary`.
    pub fn name_of(urgency: Option<Self>) -> &'static str {
        match urgency {
            Some(Urgency { directly_accessible: true, .. }) => "urgent-direct",
            Some(_) => "urgent-indirect",
            None => "ordinary",
        }
    }
}

impl Request {
    /// Whether an agency of the audience is asked, and does not only have a copy.
    pub fn asks(&self, header: &Header, agency: &AgencyId) -> bool {
        header.reaches(agency) && *agency != header.author && !self.is_copied_to(agency)
    }

    /// Whether an agency has it as a copy only.
    pub fn is_copied_to(&self, agency: &AgencyId) -> bool {
        self.copied.as_ref().is_some_and(|copied| copied.contains(agency))
    }
}

impl Body for Request {
    const KIND: &'static str = "request";

    fn is_sound(&self, header: &Header) -> bool {
        let copied = self.copied.as_deref().unwrap_or_default();
        // Somebody must be asked, and whoever has a copy must be in the audience.
        self.fault().is_none()
            && copied.iter().all(|agency| header.reaches(agency) && *agency != header.author)
            && header.audience.iter().any(|agency| self.asks(header, agency))
    }

    fn shortcoming(&self) -> Option<String> {
        let subjects = self.subjects.as_deref().unwrap_or_default();
        without_canonical_form("subjects", subjects).or_else(|| self.fault().map(str::to_owned))
    }

    fn fault(&self) -> Option<&'static str> {
        let short = |text: &str| !text.trim().is_empty() && text.len() <= GROUNDS_BYTES_MAX;
        let subjects = self.subjects.as_deref().unwrap_or_default();
        let mut identifiers = subjects.iter().flat_map(|e| e.identifiers.iter().flatten());
        let copied = self.copied.as_deref().unwrap_or_default();
        let checks = [
            (!self.title.trim().is_empty(), "`title` is empty"),
            (self.title.len() <= TITLE_BYTES_MAX, "`title` has more than 400 bytes"),
            (!self.text.trim().is_empty(), "`text` is empty; it says what is asked"),
            (self.text.len() <= TEXT_BYTES_MAX, "`text` has more than 128 KiB; longer matter belongs in an attachment"),
            (short(&self.offence), "`offence` is empty or has more than 4000 bytes"),
            (short(&self.purpose), "`purpose` is empty or has more than 4000 bytes"),
            (short(&self.link), "`link`, between the subjects and the purpose, is empty or has more than 4000 bytes"),
            (short(&self.necessity), "`necessity` is empty or has more than 4000 bytes"),
            (short(&self.holding), "`holding`, why the other side may hold it, is empty or has more than 4000 bytes"),
            (self.restrictions.as_deref().is_none_or(short), "`restrictions` are empty or have more than 4000 bytes"),
            ((2..=35).contains(&self.language.len()), "`language` is no language tag (BCP 47)"),
            (short(&self.legal_basis), "`legal_basis` is empty or has more than 4000 bytes"),
            (subjects.len() <= ENTITIES_MAX, "`subjects` are more than 256"),
            (
                identifiers.all(Identifier::is_sound),
                "an identifier in `subjects` is not one of its type, or its check digit is wrong",
            ),
            (
                self.copied.is_none() || (1..=COPIES_MAX).contains(&copied.len()),
                "`copied` names nobody or more than 8 agencies",
            ),
            (copied.windows(2).all(|pair| pair[0] < pair[1]), "`copied` is not ascending without repetition"),
            (self.copied.is_none() || self.not_copied.is_none(), "`not_copied` stands beside `copied`"),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map(|(_, fault)| fault)
    }
}
