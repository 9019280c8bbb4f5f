//! Ceremonies between their beginning and their end: what the node must remember of a registration or a sign-in until the
//! officer's browser comes back. Each can be finished once, and soon.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mufakat_record::Digest;

/// How long a ceremony may take.
pub(crate) const CEREMONY_MAX: Duration = Duration::from_secs(300);
/// How many may be under way.
pub(crate) const CEREMONIES_MAX: usize = 2_048;

/// Ceremonies by the hash of their secret.
#[derive(Debug)]
pub(crate) struct Ceremonies<T>(HashMap<Digest, (Instant, T)>);

impl<T> Default for Ceremonies<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Ceremonies<T> {
    /// Keeps a ceremony until it is finished; false when too many are under way.
    pub(crate) fn begin(&mut self, hash: Digest, ceremony: T, now: Instant) -> bool {
        self.0.retain(|_, (begun, _)| now.saturating_duration_since(*begun) < CEREMONY_MAX);
        let room = self.0.len() < CEREMONIES_MAX;
        if room {
            self.0.insert(hash, (now, ceremony));
        }
        room
    }

    /// Takes a ceremony out, so that nobody can finish it again; nothing when there is none or its time is over.
    pub(crate) fn take(&mut self, hash: &Digest, now: Instant) -> Option<T> {
        let (begun, ceremony) = self.0.remove(hash)?;
        (now.saturating_duration_since(begun) < CEREMONY_MAX).then_some(ceremony)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceremony_is_finished_once_and_soon() {
        let (start, mut ceremonies) = (Instant::now(), Ceremonies::default());
        assert!(ceremonies.begin(Digest([1; 32]), "one", start));
        assert_eq!(ceremonies.take(&Digest([2; 32]), start), None);
        assert_eq!(ceremonies.take(&Digest([1; 32]), start), Some("one"));
        assert_eq!(ceremonies.take(&Digest([1; 32]), start), None);
        assert!(ceremonies.begin(Digest([1; 32]), "one", start));
        assert_eq!(ceremonies.take(&Digest([1; 32]), start + CEREMONY_MAX), None);
    }

    #[test]
    fn only_so_many_are_under_way() {
        let (start, mut ceremonies) = (Instant::now(), Ceremonies::default());
        let hash = |n: usize| Digest::of(&n.to_be_bytes());
        assert!((0..CEREMONIES_MAX).all(|n| ceremonies.begin(hash(n), (), start)));
        assert!(!ceremonies.begin(hash(CEREMONIES_MAX), (), start));
        // Those that nobody finished make room.
        assert!(ceremonies.begin(hash(CEREMONIES_MAX), (), start + CEREMONY_MAX));
        assert_eq!(ceremonies.0.len(), 1);
    }
}
