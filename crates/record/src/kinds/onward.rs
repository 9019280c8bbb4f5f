//! `onward`: a recipient passes a record on to agencies outside its audience. The originator's signed bytes go unchanged; the
//! one who passes them on signs around them.

use minicbor::{Decode, Encode};

use super::attachment::Attachment;
use super::correction::Correction;
use super::permission::Permission;
use super::report::Report;
use super::{Body, refers_once};
use crate::{AgencyId, Header, KeyBook, Reason, RecordId, Relation, Unverified, Verified};

/// How often a record may be passed on, one agency after the other.
pub const ONWARD_DEPTH_MAX: usize = 4;
/// The largest record that is passed on, in bytes: around it there must be room for a header, and for a permission.
pub const CARRIED_BYTES_MAX: usize = 216 * 1024;
/// The kinds that are passed on. What agencies ask and answer each other, and what the community works by, is not.
pub const PASSED_ON: [&str; 4] = [Report::KIND, Attachment::KIND, Correction::KIND, Onward::KIND];

/// A record that is passed on. The carried record's id stands in the header's references, as what this one is about.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Onward {
    /// The signed record as it came: the originator's, or an onward record of whoever passed it on before.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub record: Vec<u8>,
    /// The originator's signed permission, where the handling asks for one.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub permission: Option<Vec<u8>>,
    /// Why it is passed on, in words.
    #[n(3)]
    pub note: Option<String>,
}

impl Body for Onward {
    const KIND: &'static str = "onward";

    fn is_sound(&self, header: &Header) -> bool {
        self.record.len() <= CARRIED_BYTES_MAX
            && self.note.as_ref().is_none_or(|note| note.len() <= 2000)
            && refers_once(header, Relation::About)
    }
}

/// What an onward record carries, down to the originator's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The carried records from the outermost to the originator's, which is the last. There is one at least.
    chain: Vec<Unverified>,
    /// The originator's permission.
    permission: Option<(Unverified, Permission)>,
}

impl Carried {
    /// Reads what an onward record carries. Everything is compared that can be without keys: that each record is the one that
    /// is referred to, of a kind that is passed on, not its bearer's own, and handled no looser than it was.
    pub fn read(header: &Header, body: &[u8]) -> Result<Self, Reason> {
        let mut chain: Vec<Unverified> = Vec::new();
        let (mut outer, mut onward) = (header.clone(), Onward::from_body(header, body)?);
        let permission = onward.permission.take();
        loop {
            if chain.len() == ONWARD_DEPTH_MAX {
                return Err(Reason::PassedOnTooOften);
            }
            let inner = Unverified::parse(onward.record)?;
            let claims = inner.header();
            if outer.the_one(Relation::About) != Some(inner.id()) || !PASSED_ON.contains(&claims.kind.as_str()) {
                return Err(Reason::CarriedMismatch);
            }
            if claims.author == header.author || claims.author == outer.author {
                return Err(Reason::BearerIsAuthor);
            }
            let expires = claims.expires.is_none_or(|end| outer.expires.is_some_and(|ours| ours <= end));
            if !expires || !outer.handling.is_at_least(&claims.handling) {
                return Err(Reason::HandlingLoosened);
            }
            outer = claims.clone();
            if outer.kind != Onward::KIND {
                // The body is the originator's; what must hold of it held when it was signed, and is looked at when shown.
                super::check(&outer, body_of(&inner))?;
                chain.push(inner);
                break;
            }
            onward = Onward::from_body(&outer, body_of(&inner))?;
            chain.push(inner);
        }
        let permission = permission.map(|bytes| read_permission(bytes, &chain[chain.len() - 1])).transpose()?;
        Ok(Self { chain, permission })
    }

    /// The originator's record.
    pub fn original(&self) -> &Unverified {
        // `read` gives a chain of one record at least.
        &self.chain[self.chain.len() - 1]
    }

    /// The ids of all records that are carried, from the outermost to the originator's.
    pub fn ids(&self) -> impl Iterator<Item = RecordId> + '_ {
        self.chain.iter().map(Unverified::id)
    }

    /// Those who passed it on before, beginning with the first. Whoever signed the outermost record is not among them.
    pub fn bearers(&self) -> Vec<AgencyId> {
        self.chain.iter().rev().skip(1).map(|record| record.header().author.clone()).collect()
    }

    /// The permission that goes with it.
    pub fn permission(&self) -> Option<&Permission> {
        self.permission.as_ref().map(|(_, permission)| permission)
    }

    /// Checks every signature with the keys of its author, as of the time when it says that it was signed: a key may have
    /// ended since, and must not have been revoked.
    pub fn verify(self, keys: &dyn KeyBook) -> Result<Self, Reason> {
        let permission = self.permission.as_ref().map(|(record, _)| record);
        for record in self.chain.iter().chain(permission) {
            record.clone().verify(keys, record.header().issued_at)?;
        }
        Ok(self)
    }
}

/// The originator's record in a record: the one that an onward record carries, and any other record itself. A record that was
/// checked when it was taken in has one.
pub fn original_of(record: &Verified) -> Result<(RecordId, Header, Vec<u8>), Reason> {
    if record.header().kind != Onward::KIND {
        return Ok((record.id(), record.header().clone(), record.body().to_vec()));
    }
    let carried = Carried::read(record.header(), record.body())?;
    let original = carried.original();
    Ok((original.id(), original.header().clone(), body_of(original).to_vec()))
}

/// The attachment that a record is, or that it carries onward; nothing for others.
pub fn attachment_of(record: &Verified) -> Option<Attachment> {
    match record.header().kind.as_str() {
        Attachment::KIND => Attachment::from_body(record.header(), record.body()).ok(),
        Onward::KIND => {
            let (_, header, body) = original_of(record).ok()?;
            Attachment::from_body(&header, &body).ok()
        }
        _ => None,
    }
}

fn body_of(record: &Unverified) -> &[u8] {
    record.claimed_body()
}

fn read_permission(bytes: Vec<u8>, original: &Unverified) -> Result<(Unverified, Permission), Reason> {
    let record = Unverified::parse(bytes)?;
    let permission = Permission::from_body(record.header(), record.claimed_body())?;
    let fits = record.header().author == original.header().author
        && record.header().references.iter().any(|r| r.relation == Relation::About && r.record == original.id());
    if fits { Ok((record, permission)) } else { Err(Reason::CarriedMismatch) }
}
