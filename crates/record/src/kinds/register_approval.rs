//! `register-approval`: a party's word for a register version, signed with the identity key of the agency that speaks for it.

use minicbor::{Decode, Encode};

use super::Body;
use crate::{Digest, Header};

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RegisterApproval {
    /// The version's number.
    #[n(1)]
    pub version: u64,
    /// The version's hash.
    #[n(2)]
    pub hash: Digest,
}

impl Body for RegisterApproval {
    const KIND: &'static str = "register-approval";

    fn is_sound(&self, _: &Header) -> bool {
        self.version >= 1
    }
}
