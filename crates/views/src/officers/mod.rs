//! `officers`: who the agency's officers are, what they may do, and by what they are known; one row for each pseudonym.
//!
//! - Key: the pseudonym.
//! - Record: the grant that counts, which is the latest.
//! - Facets: `state`; `role`, once for each role.
//! - Body: `officer`, `name`, `roles`, `clearance`, `purposes` (none: any), `by`, `at_ms` (of the grant); `state`: `active`,
//!   `suspended`, or `revoked`, which takes the credentials away; `last_sign_in_ms`; `credentials`, oldest first, each with `id`
//!   (its record), `type`, `by`, `at_ms`, and what there is of `label`, `issuer`, `subject`, `scopes`, `expires` (seconds since
//!   1970), `last_used_ms`, `counter`. An invitation that was used is no longer there. No secret and no hash of one stands here.

mod fold;
#[cfg(test)]
mod tests;

use mufakat_record::RecordId;

use crate::{Event, RowChange, Rows, RowsUnavailable, View};

/// The view's name.
pub const NAME: &str = "officers";

/// The view.
#[derive(Debug, Clone, Copy)]
pub struct Officers;

impl View for Officers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn facets(&self) -> &'static [&'static str] {
        &["role", "state"]
    }

    fn fold(&self, event: &Event<'_>, rows: &dyn Rows) -> Result<Vec<RowChange>, RowsUnavailable> {
        fold::fold(event, rows)
    }
}

/// What the note of an act says of how somebody signed in: by which means, with which credential, and at which count of its
/// uses if it counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInNote {
    /// The name of the means.
    pub means: String,
    /// The record of the credential.
    pub credential: RecordId,
    /// How often the passkey says that it was used (W3C Web Authentication Level 3 §6.1.1).
    pub counter: Option<u32>,
}

impl SignInNote {
    /// Reads the note of an act; nothing if it is none of a sign-in.
    pub fn read(note: &str) -> Option<Self> {
        let mut words = note.split(' ');
        let (means, credential) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let counter = words.next().map_or(Some(None), |count| count.parse().ok().map(Some))?;
        words.next().is_none().then_some(Self { means, credential, counter })
    }
}

impl std::fmt::Display for SignInNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.means, self.credential)?;
        self.counter.map_or(Ok(()), |counter| write!(f, " {counter}"))
    }
}
