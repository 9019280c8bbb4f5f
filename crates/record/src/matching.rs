//! The words of private matching: what can be asked about, and what a holder says of an identifier that it lists.

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::Tlp;
use crate::identifier::IdentifierType;

/// What is asked about: a type of identifier, or a person's name with the year of birth. Lists, keys and questions are of one
/// subject each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// An identifier of this type.
    Identifier(IdentifierType),
    /// A person's name with the year of birth, by the keys under which names are compared across scripts.
    Name,
}

impl Subject {
    /// The name of [`Subject::Name`].
    const PERSON: &str = "name";

    /// Every subject. Identifiers of the type `other` have no form in which two agencies would write them alike.
    pub fn all() -> impl Iterator<Item = Self> {
        let types = IdentifierType::ALL.iter().map(|(one, _)| *one).filter(|one| *one != IdentifierType::Other);
        types.map(Self::Identifier).chain([Self::Name])
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identifier(one) => one.name(),
            Self::Name => Self::PERSON,
        }
    }

    /// Whether there are so few of them that a partner can ask for all within weeks: about 60,000 ships with an IMO number sail,
    /// and 100,000 numbers were ever given; MMSIs, aircraft addresses and call signs are published lists. Matching keeps account
    /// of who asks for these; it does not keep a list of them secret.
    pub fn is_enumerable(self) -> bool {
        use IdentifierType::{CallSign, Icao24, Imo, Mmsi};
        matches!(self, Self::Identifier(Imo | Mmsi | Icao24 | CallSign))
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Subject {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|subject| subject.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::all().map(Self::name).collect();
            format!("one of {}", names.join(", "))
        })
    }
}

impl TryFrom<String> for Subject {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.name().to_owned()
    }
}

impl<C> Encode<C> for Subject {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.str(self.name())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Subject {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let position = d.position();
        d.str()?.parse().map_err(|_| decode::Error::message("no subject of matching").at(position))
    }
}

#[cfg(feature = "schema")]
impl utoipa::PartialSchema for Subject {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        let names = utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .enum_values(Some(Self::all().map(Self::name)));
        names.into()
    }
}

#[cfg(feature = "schema")]
impl utoipa::ToSchema for Subject {}

/// Why an identifier is on a list: all that an asker learns of it with a hit, beside the label of handling and the number under
/// which the holder finds it. A closed list, modelled on the categories of alerts of the Schengen Information System (Regulation
/// (EU) 2018/1862) and of INTERPOL's notices and its database of stolen and lost travel documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(as = MatchCategory))]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// A person who is sought for arrest.
    Wanted,
    /// A person who is missing.
    Missing,
    /// Somebody or something to be watched without being told.
    DiscreetCheck,
    /// Somebody or something that an inquiry is about.
    UnderInquiry,
    /// A witness or somebody else whose whereabouts a court wants.
    SoughtForCourt,
    /// A person against whom there is a warning.
    Warning,
    /// A document or thing that was stolen.
    Stolen,
    /// A document or thing that was lost.
    Lost,
    /// A document that was declared invalid.
    Invalidated,
    /// A document or number that is forged.
    Forged,
    /// Somebody or something under sanctions.
    Sanctioned,
    /// Something that was used in an offence.
    UsedInOffence,
    /// A person or body that is not identified.
    Unidentified,
    /// Anything else.
    Other,
}

impl Category {
    /// Every category with its name, in the order of their numbers.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::Wanted, "wanted"),
        (Self::Missing, "missing"),
        (Self::DiscreetCheck, "discreet-check"),
        (Self::UnderInquiry, "under-inquiry"),
        (Self::SoughtForCourt, "sought-for-court"),
        (Self::Warning, "warning"),
        (Self::Stolen, "stolen"),
        (Self::Lost, "lost"),
        (Self::Invalidated, "invalidated"),
        (Self::Forged, "forged"),
        (Self::Sanctioned, "sanctioned"),
        (Self::UsedInOffence, "used-in-offence"),
        (Self::Unidentified, "unidentified"),
        (Self::Other, "other"),
    ];

    /// The category's name.
    pub fn name(self) -> &'static str {
        // The table holds every variant in the order of its discriminants.
        Self::ALL[self as usize].1
    }
}

impl std::str::FromStr for Category {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(found, _)| *found).ok_or_else(|| format!("one of {}", Self::ALL.map(|(_, name)| name).join(", ")))
    }
}

/// What a holder says of an identifier that it lists, in 32 bits: five for the category, three for the label of handling, 24 for
/// the number under which the holder finds the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// It is listed.
    Listed {
        /// Why.
        category: Category,
        /// How the holder wants the hit handled.
        tlp: Tlp,
        /// The holder's number for the entry, below [`HANDLES`].
        handle: u32,
    },
    /// It was listed before, and is no more.
    Removed,
}

/// How many numbers for entries there are.
pub const HANDLES: u32 = 1 << 24;
/// The category of what is no longer listed.
const REMOVED: u32 = 31;

impl Label {
    /// As 32 bits.
    pub fn to_bits(self) -> u32 {
        match self {
            Self::Listed { category, tlp, handle } => {
                (category as u32) << 27 | (tlp as u32) << 24 | handle & (HANDLES - 1)
            }
            Self::Removed => REMOVED << 27,
        }
    }

    /// What 32 bits say; nothing if they have no meaning.
    pub fn from_bits(bits: u32) -> Option<Self> {
        if bits == REMOVED << 27 {
            return Some(Self::Removed);
        }
        let (category, _) = Category::ALL.get((bits >> 27) as usize)?;
        let (tlp, _) = Tlp::ALL.get((bits >> 24 & 7) as usize)?;
        Some(Self::Listed { category: *category, tlp: *tlp, handle: bits & (HANDLES - 1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back() {
        for (number, (category, name)) in Category::ALL.into_iter().enumerate() {
            assert_eq!((category as usize, category.name(), name.parse()), (number, name, Ok(category)));
            for (tlp, _) in Tlp::ALL {
                for handle in [0, 1, HANDLES - 1] {
                    let label = Label::Listed { category, tlp, handle };
                    assert_eq!(Label::from_bits(label.to_bits()), Some(label));
                }
            }
        }
        assert_eq!(Label::from_bits(Label::Removed.to_bits()), Some(Label::Removed));
        // A label that nobody can have made is none: an asker takes it for a damaged or a lying filter.
        for bits in [14 << 27, 5 << 24, 31 << 27 | 1, u32::MAX] {
            assert_eq!(Label::from_bits(bits), None, "{bits:#x}");
        }
    }

    #[test]
    fn subjects_have_names() {
        for subject in Subject::all() {
            assert_eq!(subject.name().parse(), Ok(subject));
            assert_eq!(crate::cbor::decode::<Subject>(&crate::cbor::encode(&subject)).unwrap(), subject);
        }
        assert_eq!(Subject::all().count(), IdentifierType::ALL.len());
        for no in ["other", "", "Passport"] {
            assert!(no.parse::<Subject>().is_err(), "{no}");
        }
    }
}
