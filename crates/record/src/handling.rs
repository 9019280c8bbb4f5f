//! Handling rules: what the originator says may be done with a record.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{AgencyId, OfficerId};

/// The Traffic Light Protocol's labels, version 2.0 (FIRST, 2022). The order is from the widest to the narrowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cbor(index_only)]
pub enum Tlp {
    /// No limit on disclosure.
    #[n(0)]
    #[serde(rename = "CLEAR")]
    Clear,
    /// The recipients' community.
    #[n(1)]
    #[serde(rename = "GREEN")]
    Green,
    /// The recipients' organisation and its clients, on a need-to-know basis.
    #[n(2)]
    #[serde(rename = "AMBER")]
    Amber,
    /// The recipients' organisation only.
    #[n(3)]
    #[serde(rename = "AMBER+STRICT")]
    AmberStrict,
    /// The named recipients only.
    #[n(4)]
    #[serde(rename = "RED")]
    Red,
}

impl Tlp {
    /// Every label with its name.
    pub const ALL: [(Tlp, &str); 5] = [
        (Tlp::Clear, "CLEAR"),
        (Tlp::Green, "GREEN"),
        (Tlp::Amber, "AMBER"),
        (Tlp::AmberStrict, "AMBER+STRICT"),
        (Tlp::Red, "RED"),
    ];

    /// The label's name.
    pub fn name(self) -> &'static str {
        // The table holds every variant in the order of its discriminants.
        Self::ALL[self as usize].1
    }
}

impl std::str::FromStr for Tlp {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = text.trim().to_ascii_uppercase();
        let wanted = wanted.strip_prefix("TLP:").unwrap_or(&wanted);
        let found = Self::ALL.iter().find(|(_, name)| *name == wanted);
        found.map(|(tlp, _)| *tlp).ok_or_else(|| "one of CLEAR, GREEN, AMBER, AMBER+STRICT, RED".to_owned())
    }
}

impl std::fmt::Display for Tlp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Police handling codes, as Europol's channels use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cbor(index_only)]
pub enum Code {
    /// For preventing and fighting crime only.
    #[n(0)]
    H0,
    /// Not in court without the provider's permission.
    #[n(1)]
    H1,
    /// No onward sharing without the provider's permission.
    #[n(2)]
    H2,
    /// Other restrictions, in the caveat.
    #[n(3)]
    H3,
}

impl std::str::FromStr for Code {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_uppercase().as_str() {
            "H0" => Ok(Code::H0),
            "H1" => Ok(Code::H1),
            "H2" => Ok(Code::H2),
            "H3" => Ok(Code::H3),
            _ => Err("one of H0, H1, H2, H3".to_owned()),
        }
    }
}

/// An evaluation of source and information in the originator's own system ("4x4", "3x5x2", "admiralty"): the native codes
/// are kept, because conversions lose.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Evaluation {
    /// The system, such as `4x4`.
    #[n(1)]
    pub system: String,
    /// The source's code, such as `B`.
    #[n(2)]
    pub source: String,
    /// The information's code, such as `2`.
    #[n(3)]
    pub information: String,
}

impl Evaluation {
    /// Whether the codes belong to the system, for the systems that we know.
    pub fn is_sound(&self) -> bool {
        let one_of = |code: &str, list: &str| code.len() == 1 && list.contains(code);
        match self.system.as_str() {
            "4x4" => one_of(&self.source, "ABCX") && one_of(&self.information, "1234"),
            "admiralty" => one_of(&self.source, "ABCDEF") && one_of(&self.information, "123456"),
            "3x5x2" => one_of(&self.source, "123") && one_of(&self.information, "ABCDE"),
            other => !other.is_empty() && other.len() <= 20 && self.source.len() <= 20 && self.information.len() <= 20,
        }
    }
}

/// The handling of one record, signed with it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Handling {
    /// The TLP label.
    #[n(1)]
    pub tlp: Tlp,
    /// Handling codes, ascending, without repetition.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<Vec<Code>>,
    /// The purposes for which it may be used; none named means the community's general purposes.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purposes: Option<Vec<String>>,
    /// Originator control: nothing goes onward without the originator.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orcon: Option<bool>,
    /// Free text for H3 and other caveats.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caveat: Option<String>,
    /// The officers for whose eyes it is, ascending, without repetition. At an agency of which some are named, nobody else
    /// reads it; at the others it is for whoever the rest of the handling allows.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eyes: Option<Vec<Eyes>>,
    /// By when its recipients are to look again whether they still need it, in seconds since 1970.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<u64>,
}

/// How many purposes one record may name.
pub const PURPOSES_MAX: usize = 16;
/// The longest name of a purpose, in bytes.
pub const PURPOSE_BYTES_MAX: usize = 100;
/// The longest caveat, in bytes; longer restrictions belong in an attachment.
pub const CAVEAT_BYTES_MAX: usize = 2000;
/// How many officers one record may name.
pub const EYES_MAX: usize = 64;

/// An officer for whose eyes a record is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Eyes {
    /// The officer's agency.
    #[n(0)]
    pub agency: AgencyId,
    /// The pseudonym by which the agency lets the officer be known.
    #[n(1)]
    pub officer: OfficerId,
}

impl std::str::FromStr for Eyes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let named = || {
            let (agency, officer) = text.trim().split_once('/')?;
            Some(Self { agency: agency.parse().ok()?, officer: officer.parse().ok()? })
        };
        named().ok_or_else(|| {
            "an agency and an officer's pseudonym with a / between them, such as vn-police/d3-night".to_owned()
        })
    }
}

impl std::fmt::Display for Eyes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.agency, self.officer)
    }
}

impl Handling {
    /// What does not hold beyond the types, in words for the author; every reader refuses it as `malformed`. A list is in order,
    /// and left out when there is nothing in it, so that one handling has one form.
    pub fn fault(&self) -> Option<&'static str> {
        fn fine<T: Ord>(list: Option<&Vec<T>>, count_max: usize) -> bool {
            list.is_none_or(|list| {
                (1..=count_max).contains(&list.len()) && list.windows(2).all(|pair| pair[0] < pair[1])
            })
        }
        let said = |text: &str, bytes_max: usize| !text.trim().is_empty() && text.len() <= bytes_max;
        let purposes = self.purposes.as_ref();
        let checks = [
            (fine(self.codes.as_ref(), usize::MAX), "`codes` are empty, out of order or repeated"),
            (
                purposes.is_none_or(|list| (1..=PURPOSES_MAX).contains(&list.len())),
                "`purposes` are none, or more than 16",
            ),
            (
                purposes.is_none_or(|list| list.iter().all(|purpose| said(purpose, PURPOSE_BYTES_MAX))),
                "one of the `purposes` is blank or has more than 100 bytes",
            ),
            (
                self.caveat.as_ref().is_none_or(|caveat| said(caveat, CAVEAT_BYTES_MAX)),
                "the `caveat` is blank or has more than 2000 bytes; longer restrictions belong in an attachment",
            ),
            (fine(self.eyes.as_ref(), EYES_MAX), "`eyes` are empty, out of order, repeated or more than 64"),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map(|(_, fault)| fault)
    }

    /// The handling of records that the nodes themselves exchange: the community, and nothing more to say.
    pub fn community() -> Self {
        Self::with(Tlp::Green)
    }

    /// Whether whatever this allows the other allows too: what is passed on must not be handled more freely than it was.
    pub fn is_at_least(&self, other: &Self) -> bool {
        let codes = |handling: &Self| handling.codes.clone().unwrap_or_default();
        let purposes = match (&self.purposes, &other.purposes) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(ours), Some(theirs)) => !ours.is_empty() && ours.iter().all(|purpose| theirs.contains(purpose)),
        };
        let theirs = other.eyes.as_deref().unwrap_or_default();
        let named = |eyes: &&Eyes| theirs.iter().any(|other| other.agency == eyes.agency);
        self.tlp >= other.tlp
            && codes(other).iter().all(|code| codes(self).contains(code))
            && purposes
            && (other.orcon != Some(true) || self.orcon == Some(true))
            && other.caveat.as_ref().is_none_or(|said| self.caveat.as_ref().is_some_and(|ours| ours.contains(said)))
            // At agencies of which officers were named, the same ones.
            && self.eyes.as_deref().unwrap_or_default().iter().filter(named).eq(theirs)
            && other.review.is_none_or(|by| self.review.is_some_and(|ours| ours <= by))
    }

    /// The handling of what a node says by itself about a record of this one: as narrow, without a date to look at it again.
    /// That there is such a record is for nobody who may not read it.
    #[must_use]
    pub fn of_a_word_on_it(&self) -> Self {
        Self { review: None, ..self.clone() }
    }

    /// A label and nothing else.
    pub fn with(tlp: Tlp) -> Self {
        Self { tlp, codes: None, purposes: None, orcon: None, caveat: None, eyes: None, review: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_parse() {
        for (tlp, name) in Tlp::ALL {
            assert_eq!(name.parse(), Ok(tlp));
            assert_eq!(format!("TLP:{name}").parse(), Ok(tlp));
            assert_eq!(tlp.name(), name);
        }
        assert!("PURPLE".parse::<Tlp>().is_err());
    }

    #[test]
    fn handling_has_one_form_and_limits() {
        let check = |expect: bool, change: &dyn Fn(&mut Handling)| {
            let mut handling = Handling::with(Tlp::Amber);
            change(&mut handling);
            assert_eq!(handling.fault().is_none(), expect, "{handling:?}");
        };
        let eyes = |text: &str| text.parse::<Eyes>().unwrap();
        let many = |n: usize| Some((0..n).map(|i| eyes(&format!("vn-police/d{i:02}"))).collect());
        check(true, &|_| ());
        check(true, &|h| h.codes = Some(vec![Code::H0, Code::H1, Code::H2, Code::H3]));
        check(false, &|h| h.codes = Some(vec![]));
        check(false, &|h| h.codes = Some(vec![Code::H1, Code::H0]));
        check(true, &|h| h.purposes = Some(vec!["x".repeat(PURPOSE_BYTES_MAX); PURPOSES_MAX]));
        check(false, &|h| h.purposes = Some(vec!["x".into(); PURPOSES_MAX + 1]));
        check(false, &|h| h.purposes = Some(vec!["x".repeat(PURPOSE_BYTES_MAX + 1)]));
        check(false, &|h| h.purposes = Some(vec![]));
        check(false, &|h| h.purposes = Some(vec!["piracy".into(), " ".into()]));
        check(true, &|h| h.caveat = Some("x".repeat(CAVEAT_BYTES_MAX)));
        check(false, &|h| h.caveat = Some("x".repeat(CAVEAT_BYTES_MAX + 1)));
        check(false, &|h| h.caveat = Some(String::new()));
        check(true, &|h| h.eyes = many(EYES_MAX));
        check(false, &|h| h.eyes = many(EYES_MAX + 1));
        check(false, &|h| h.eyes = many(0));
        check(false, &|h| h.eyes = Some(vec![eyes("vn-police/d3"), eyes("ru-police/d3")]));
        check(false, &|h| h.eyes = Some(vec![eyes("vn-police/d3"); 2]));
    }

    #[test]
    fn eyes_are_written_with_a_stroke() {
        let eyes: Eyes = "vn-police/d3-night".parse().unwrap();
        assert_eq!((eyes.agency.as_str(), eyes.to_string().as_str()), ("vn-police", "vn-police/d3-night"));
        for bad in ["vn-police", "vn-police/", "/d3", "vn police/d3", "vn-police/d3/x", ""] {
            assert!(bad.parse::<Eyes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_passed_on_is_handled_no_more_freely() {
        let eyes =
            |agency: &str, officer: &str| Eyes { agency: agency.parse().unwrap(), officer: officer.parse().unwrap() };
        let strict = Handling {
            codes: Some(vec![Code::H1, Code::H2]),
            purposes: Some(vec!["a".into(), "b".into()]),
            orcon: Some(true),
            caveat: Some("EXERCISE only".into()),
            eyes: Some(vec![eyes("aa", "one")]),
            review: Some(100),
            ..Handling::with(Tlp::Amber)
        };
        let free = Handling::with(Tlp::Amber);
        assert!(strict.is_at_least(&free) && strict.is_at_least(&strict) && !free.is_at_least(&strict));
        let check = |change: fn(&mut Handling), expect: bool| {
            let mut changed = strict.clone();
            change(&mut changed);
            assert_eq!(changed.is_at_least(&strict), expect, "{changed:?}");
        };
        check(|h| h.tlp = Tlp::Red, true);
        check(|h| h.tlp = Tlp::Green, false);
        check(|h| h.codes = Some(vec![Code::H0, Code::H1, Code::H2]), true);
        check(|h| h.codes = Some(vec![Code::H1]), false);
        check(|h| h.codes = None, false);
        check(|h| h.purposes = Some(vec!["b".into()]), true);
        check(|h| h.purposes = Some(vec!["b".into(), "c".into()]), false);
        check(|h| h.purposes = Some(Vec::new()), false);
        check(|h| h.purposes = None, false);
        check(|h| h.orcon = None, false);
        check(|h| h.caveat = Some("EXERCISE only, and more".into()), true);
        check(|h| h.caveat = None, false);
        check(|h| h.eyes = None, false);
        check(
            |h| h.eyes.as_mut().unwrap().push(Eyes { agency: "bb".parse().unwrap(), officer: "two".parse().unwrap() }),
            true,
        );
        check(
            |h| h.eyes.as_mut().unwrap().push(Eyes { agency: "aa".parse().unwrap(), officer: "two".parse().unwrap() }),
            false,
        );
        check(|h| h.review = Some(99), true);
        check(|h| h.review = Some(101), false);
        check(|h| h.review = None, false);
    }

    #[test]
    fn evaluations_know_their_codes() {
        let with = |system: &str, source: &str, information: &str| {
            Evaluation { system: system.into(), source: source.into(), information: information.into() }.is_sound()
        };
        assert!(with("4x4", "B", "2"));
        assert!(!with("4x4", "D", "2"));
        assert!(!with("4x4", "AB", "2"));
        assert!(with("admiralty", "F", "6"));
        assert!(!with("", "A", "1"));
    }
}
