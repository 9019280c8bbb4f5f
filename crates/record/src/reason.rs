//! Why something from outside was refused. The names are part of the protocol: they stand in receipts, answers and metrics.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// A named reason for which a node refuses a record, a parcel or a call of a partner.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($(#[$doc])* $variant),* }

        impl Reason {
            /// Every reason, in the order of the protocol document.
            pub const ALL: &[Reason] = &[$(Reason::$variant),*];

            /// The name that stands on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name),* }
            }
        }

        impl std::str::FromStr for Reason {
            type Err = ();
            fn from_str(name: &str) -> Result<Self, ()> {
                match name { $($name => Ok(Reason::$variant),)* _ => Err(()) }
            }
        }
    };
}

reasons! {
    /// The bytes end before the message does.
    Truncated = "truncated",
    /// Bytes follow after the end of the message.
    TrailingBytes = "trailing-bytes",
    /// An indefinite-length item, which deterministic CBOR forbids.
    IndefiniteLength = "indefinite-length",
    /// An integer or length that is not in its shortest form, or map keys out of order.
    NonCanonical = "non-canonical",
    /// The same key twice in one map.
    DuplicateKey = "duplicate-key",
    /// Nested deeper than allowed.
    TooDeep = "too-deep",
    /// A list or map with more entries than allowed.
    ListTooLong = "list-too-long",
    /// Larger than allowed: a record, its header, or a parcel.
    Oversize = "oversize",
    /// CBOR, but not the structure that belongs here.
    Malformed = "malformed",
    /// A signature algorithm that this node does not know.
    UnknownAlgorithm = "unknown-algorithm",
    /// A sealing suite that this node does not know.
    UnknownSuite = "unknown-suite",
    /// The signature does not belong to these bytes and this key.
    WrongSignature = "wrong-signature",
    /// The author has no such key in its key set.
    UnknownKey = "unknown-key",
    /// The key is not valid yet at the time the author claims.
    KeyNotYetValid = "key-not-yet-valid",
    /// The key was no longer valid.
    KeyExpired = "key-expired",
    /// The author has revoked the key.
    KeyRevoked = "key-revoked",
    /// A key set or register version that is older than the one this node has.
    Stale = "stale",
    /// The audience is empty, and empty means nobody.
    EmptyAudience = "empty-audience",
    /// This node's agency is not in the signed audience.
    NotInAudience = "not-in-audience",
    /// The register version that the record names is not known here.
    UnknownRegister = "unknown-register",
    /// The register version does not follow from the one before, or has expired.
    BadRegister = "bad-register",
    /// Fewer parties approved the register version than it takes.
    TooFewApprovals = "too-few-approvals",
    /// The author is not in the register.
    AuthorNotInRegister = "author-not-in-register",
    /// The register says that the author's agency is removed.
    AuthorRemoved = "author-removed",
    /// The register says that the recipient's agency is removed.
    RecipientRemoved = "recipient-removed",
    /// The channel belongs to another agency than the author.
    SenderNotAuthor = "sender-not-author",
    /// The record was past its expiry when it came.
    Expired = "expired",
    /// The body is not what its kind says.
    BodyNotOfKind = "body-not-of-kind",
    /// A step that belongs to no request between its author and this agency; whether there is such a request is not said.
    NoSuchRequest = "no-such-request",
    /// A record that is passed on by its own author, or by one who passed it on before.
    BearerIsAuthor = "bearer-is-author",
    /// What is passed on, or carried as the reason for taking it back, is not what the record refers to.
    CarriedMismatch = "carried-mismatch",
    /// What is passed on may be handled more freely, or longer, than its originator said.
    HandlingLoosened = "handling-loosened",
    /// The originator did not permit that the record is passed on to this audience.
    OnwardNotPermitted = "onward-not-permitted",
    /// The record was passed on from one agency to the next more often than allowed.
    PassedOnTooOften = "passed-on-too-often",
    /// The parcel names another recipient.
    WrongRecipient = "wrong-recipient",
    /// The sealing key that the parcel names is not, or no longer, held here.
    UnknownSealingKey = "unknown-sealing-key",
    /// The parcel cannot be opened with the key it names.
    CannotOpen = "cannot-open",
    /// The parcel holds another number of records than its header says.
    CountMismatch = "count-mismatch",
    /// Records are missing before this parcel.
    Gap = "gap",
    /// The channel's epoch is older than the one already seen.
    StaleEpoch = "stale-epoch",
    /// Too many calls at once; try again later.
    Overloaded = "overloaded",
    /// No room left on the recipient's disk.
    StorageFull = "storage-full",
    /// A checkpoint that contradicts an earlier one of the same ledger.
    ForkedCheckpoint = "forked-checkpoint",
    /// Not there, or not for the one who asks; which of the two is not said.
    NotFound = "not-found",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Reason {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for reason in Reason::ALL {
            assert_eq!(reason.name().parse(), Ok(*reason));
        }
        assert!("no-such-reason".parse::<Reason>().is_err());
    }
}
