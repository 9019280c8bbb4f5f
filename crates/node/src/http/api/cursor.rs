//! Cursors: where a page or a stream goes on. To a caller they are opaque; each holds for the officer, the question and the node
//! that it was given for, and for a while.

use std::sync::Arc;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use mufakat_record::sha256;

use super::problem::Problem;
use crate::clock;
use crate::desk::Caller;
use crate::node::Node;

/// How long a cursor serves, in seconds.
const CURSOR_S_MAX: u64 = 7 * 86_400;
/// The longest cursor, in characters.
const CURSOR_CHARS_MAX: usize = 512;
/// What the key of cursors is made from besides the node's own secret.
const KEY_PURPOSE: &[u8] = b"mufakat cursors 1";
/// The bytes of a time.
const TIME_BYTES: usize = 8;
/// The bytes of the seal; half of HMAC-SHA-256, as RFC 2104 §5 allows.
const SEAL_BYTES: usize = 16;

/// Seals and opens the cursors of one caller for one question.
pub(super) struct Cursors {
    key: hmac::Key,
    bound: Vec<u8>,
}

impl Cursors {
    /// Cursors of this caller. `question` is everything that must not change from one page to the next.
    pub(super) fn of(node: &Arc<Node>, caller: &Caller, question: &[&str]) -> Self {
        // The identity key outlives restarts and every other key. Its seed goes into a hash and never further.
        let identity = node.keyring.load().identity();
        let officer = caller.officer.as_ref().map_or("", |officer| officer.as_str());
        Self::with(identity.seed(), [node.me.as_str(), officer].iter().chain(question))
    }

    /// Cursors of nobody.
    #[cfg(test)]
    pub(super) fn for_test() -> Self {
        Self::with(&[0; 32], [].iter())
    }

    fn with<'a>(secret: &[u8; 32], bound: impl Iterator<Item = &'a &'a str>) -> Self {
        let key = sha256(&[KEY_PURPOSE, secret].concat());
        let mut all = Vec::new();
        for part in bound {
            // With its length before it no part can pass for the end of another.
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(part.as_bytes());
        }
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), bound: all }
    }

    /// The cursor of a place.
    pub(super) fn seal(&self, place: &[u8]) -> String {
        self.seal_at(place, clock::now_s())
    }

    fn seal_at(&self, place: &[u8], now_s: u64) -> String {
        let mut bytes = [&now_s.to_be_bytes()[..], place].concat();
        let seal = self.sign(&bytes);
        bytes.extend_from_slice(&seal);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place of a cursor, if it was given to this caller for this question and not too long ago.
    pub(super) fn open(&self, cursor: &str) -> Result<Vec<u8>, Problem> {
        self.open_at(cursor, clock::now_s())
    }

    fn open_at(&self, cursor: &str, now_s: u64) -> Result<Vec<u8>, Problem> {
        let read = || {
            let bytes =
                if cursor.len() <= CURSOR_CHARS_MAX { URL_SAFE_NO_PAD.decode(cursor).ok()? } else { return None };
            let (signed, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL_BYTES)?)?;
            constant_time::verify_slices_are_equal(&self.sign(signed), seal).ok()?;
            let (time, place) = signed.split_first_chunk::<TIME_BYTES>()?;
            // A clock that was set back makes cursors look as if they came from later; those hold.
            let age_s = now_s.saturating_sub(u64::from_be_bytes(*time));
            (age_s <= CURSOR_S_MAX).then(|| place.to_vec())
        };
        read().ok_or_else(bad_cursor)
    }

    fn sign(&self, bytes: &[u8]) -> [u8; SEAL_BYTES] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&(self.bound.len() as u64).to_be_bytes());
        context.update(&self.bound);
        context.update(bytes);
        let mut seal = [0; SEAL_BYTES];
        seal.copy_from_slice(&context.sign().as_ref()[..SEAL_BYTES]);
        seal
    }
}

/// One answer for every cursor that does not hold, whatever is wrong with it.
fn bad_cursor() -> Problem {
    let detail =
        "the cursor is not one that this node gave to you for this question within a week; begin again without it";
    Problem::new(StatusCode::BAD_REQUEST, "bad-cursor", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    fn cursors(secret: u8, bound: &[&str]) -> Cursors {
        Cursors::with(&[secret; 32], bound.iter())
    }

    #[test]
    fn a_cursor_holds_for_whom_and_what_it_was_given() {
        let bound = ["vn-police", "d3-night", "inbox", "newest"];
        let given = cursors(1, &bound).seal_at(b"place", NOW_S);
        let open = |cursors: &Cursors, text: &str, now_s| cursors.open_at(text, now_s).map_err(|no| no.reason());
        // The same secret after a restart.
        assert_eq!(open(&cursors(1, &bound), &given, NOW_S), Ok(b"place".to_vec()));
        assert_eq!(open(&cursors(1, &bound), &given, NOW_S + CURSOR_S_MAX), Ok(b"place".to_vec()));
        assert_eq!(open(&cursors(1, &bound), &given, NOW_S - 60), Ok(b"place".to_vec()));
        let bad = |cursors: &Cursors, text: &str, now_s| assert_eq!(open(cursors, text, now_s), Err("bad-cursor"));
        bad(&cursors(1, &bound), &given, NOW_S + CURSOR_S_MAX + 1);
        bad(&cursors(2, &bound), &given, NOW_S);
        for at in 0..bound.len() {
            let mut other = bound;
            other[at] = "another";
            bad(&cursors(1, &other), &given, NOW_S);
        }
        // What is one part here is two there.
        bad(&cursors(1, &["vn-police", "d3-nightinbox", "", "newest"]), &given, NOW_S);
        for at in 0..given.len() {
            let mut changed = given.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'Q' } else { b'A' };
            bad(&cursors(1, &bound), std::str::from_utf8(&changed).unwrap(), NOW_S);
        }
        for no in ["", "A", "!!!", &"A".repeat(CURSOR_CHARS_MAX + 1), &"A".repeat(CURSOR_CHARS_MAX)] {
            bad(&cursors(1, &bound), no, NOW_S);
        }
    }
}
