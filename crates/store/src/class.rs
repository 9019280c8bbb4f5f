//! Handling classes: what of a record the policy gate looks at when somebody wants to read it. Records of one class get one
//! decision, so that a page or a search asks once for each class and visits no record of a class that is refused.

use minicbor::{Decode, Encode};
use mufakat_record::{AgencyId, Handling, Header, cbor};

/// The number of a class in one state file. Numbers are given in the order in which classes appear and never again.
pub type ClassNumber = u32;

/// Stands in place of a class for rows about no record that is held, and for records of a class that was not kept
/// ([`CLASSES_OF_AUTHOR_MAX`]). Only who may read everything gets to them in pages.
pub const NO_CLASS: ClassNumber = 0;

/// How many classes the records of one partner may be of. A partner that handles every record in another way would make every
/// page cost one decision for each; the records beyond are read one by one. What this agency authors itself has no such limit:
/// who may write drafts here must not be able to hide what the agency writes later.
pub const CLASSES_OF_AUTHOR_MAX: u32 = 4_096;

/// A handling class.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Class {
    /// The agency that spoke.
    #[n(1)]
    pub author: AgencyId,
    /// The agencies that may read it.
    #[n(2)]
    pub audience: Vec<AgencyId>,
    /// The kind.
    #[n(3)]
    pub kind: String,
    /// The handling rules. Of a caveat it is only told that there is one, and the date of review is left out: neither decides
    /// who may read, and both can be different in each record. A class outlives the content of its records.
    #[n(4)]
    pub handling: Handling,
}

impl Class {
    /// The class of a record with this header.
    pub fn of(header: &Header) -> Self {
        let caveat = header.handling.caveat.as_ref().map(|_| String::new());
        Self {
            author: header.author.clone(),
            audience: header.audience.clone(),
            kind: header.kind.clone(),
            handling: Handling { caveat, review: None, ..header.handling.clone() },
        }
    }

    /// The class as it is kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads what was kept.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        cbor::decode(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use mufakat_record::{Digest, Eyes, KeyId, ThreadId, Tlp};

    use super::*;

    fn header() -> Header {
        Header {
            key: KeyId([0; 16]),
            author: "ru-police".parse().unwrap(),
            issued_at: 7,
            thread: ThreadId([1; 16]),
            kind: "report".to_owned(),
            audience: vec!["id-police".parse().unwrap(), "vn-police".parse().unwrap()],
            register: Digest([1; 32]),
            handling: Handling {
                caveat: Some("EXERCISE ask first".into()),
                review: Some(9),
                ..Handling::with(Tlp::Red)
            },
            references: Vec::new(),
            expires: None,
        }
    }

    #[test]
    fn a_class_is_what_decides_who_may_read() {
        let class = Class::of(&header());
        assert_eq!(Class::from_bytes(&class.to_bytes()), Some(class.clone()));
        assert_eq!((class.handling.caveat.as_deref(), class.handling.review), (Some(""), None));
        let same = Header {
            issued_at: 8,
            thread: ThreadId([2; 16]),
            handling: Handling { caveat: Some("other".into()), review: None, ..Handling::with(Tlp::Red) },
            expires: Some(9),
            ..header()
        };
        assert_eq!(Class::of(&same), class);
        let eyes = vec![Eyes { agency: "vn-police".parse().unwrap(), officer: "d3".parse().unwrap() }];
        for other in [
            Header { author: "sg-police".parse().unwrap(), ..header() },
            Header { audience: vec!["vn-police".parse().unwrap()], ..header() },
            Header { kind: "retraction".to_owned(), ..header() },
            Header { handling: Handling::with(Tlp::Red), ..header() },
            Header { handling: Handling { eyes: Some(eyes), ..header().handling }, ..header() },
        ] {
            assert_ne!(Class::of(&other), class);
        }
        assert_eq!(Class::from_bytes(b"class"), None);
    }
}
