//! Sessions: in memory alone, by the hash of their secret. Time is the machine's own, which nobody can set: a clock that is set
//! back revives no session.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mufakat_record::{Digest, OfficerId, RecordId};
use serde::Serialize;
use utoipa::ToSchema;

/// How many sessions may be open.
pub(crate) const SESSIONS_MAX: usize = 10_000;
/// How many of one officer; a new one ends the one that has been idle for longest.
pub(crate) const SESSIONS_OF_OFFICER_MAX: usize = 8;

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    /// Without a request.
    pub(crate) idle: Duration,
    /// In all.
    pub(crate) whole: Duration,
}

/// An open session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Whose it is.
    pub(crate) officer: OfficerId,
    /// The grant under which it was opened; it ends when another counts.
    pub(crate) grant: RecordId,
    /// The credential that opened it; it ends when that is gone.
    pub(crate) credential: RecordId,
    /// When it was opened, in milliseconds since 1970, for people.
    pub(crate) opened_ms: u64,
    opened: Instant,
    used: Instant,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The officer signed out.
    SignedOut,
    /// Nobody used it.
    Idle,
    /// Its time was over.
    Over,
    /// The officer, the credential or the session was revoked, or the grant changed.
    Revoked,
    /// The officer opened too many.
    TooMany,
}

impl Why {
    /// The name for the ledger.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Why::SignedOut => "signed-out",
            Why::Idle => "idle",
            Why::Over => "over",
            Why::Revoked => "revoked",
            Why::TooMany => "too-many",
        }
    }
}

/// What people see of a session.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = SessionShown)]
pub(crate) struct Shown {
    /// Whose it is.
    pub(crate) officer: OfficerId,
    /// The credential that opened it.
    pub(crate) credential: RecordId,
    /// When it was opened, in milliseconds since 1970.
    pub(crate) opened_ms: u64,
    /// For how long nobody has used it, in seconds.
    pub(crate) idle_s: u64,
    /// When it ends at the latest, in seconds from now.
    pub(crate) ends_in_s: u64,
}

/// The open sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    spans: Spans,
    open: HashMap<Digest, Session>,
}

/// A session that has ended.
pub(crate) type Ended = (Session, Why);

impl Sessions {
    /// None are open.
    pub(crate) fn new(spans: Spans) -> Self {
        Self { spans, open: HashMap::new() }
    }

    /// Opens a session; nothing when too many are open. Gives those of the officer that ended for it.
    pub(crate) fn open(
        &mut self,
        hash: Digest,
        (officer, grant, credential): (OfficerId, RecordId, RecordId),
        now: Instant,
        now_ms: u64,
    ) -> Option<Vec<Ended>> {
        let mut ended = Vec::new();
        let own = |sessions: &Self| {
            let own = sessions.open.iter().filter(|(_, session)| session.officer == officer);
            let oldest = own.clone().min_by_key(|(_, session)| session.used).map(|(hash, _)| *hash);
            (own.count(), oldest)
        };
        while let (SESSIONS_OF_OFFICER_MAX.., Some(oldest)) = own(self) {
            ended.extend(self.open.remove(&oldest).map(|session| (session, Why::TooMany)));
        }
        if self.open.len() >= SESSIONS_MAX {
            return None;
        }
        let session = Session { officer, grant, credential, opened_ms: now_ms, opened: now, used: now };
        self.open.insert(hash, session);
        Some(ended)
    }

    /// An open session, without using it.
    pub(crate) fn find(&self, hash: &Digest, now: Instant) -> Option<&Session> {
        self.open.get(hash).filter(|session| self.over(session, now).is_none())
    }

    /// An open session, which is used now.
    pub(crate) fn touch(&mut self, hash: &Digest, now: Instant) -> Option<Session> {
        self.find(hash, now)?;
        let session = self.open.get_mut(hash)?;
        session.used = session.used.max(now);
        Some(session.clone())
    }

    /// Ends a session.
    pub(crate) fn end(&mut self, hash: &Digest, why: Why) -> Option<Ended> {
        self.open.remove(hash).map(|session| (session, why))
    }

    /// Ends the sessions whose time is over, and those for which nothing stands any longer.
    pub(crate) fn sweep(&mut self, now: Instant, stands: impl Fn(&Session) -> bool) -> Vec<Ended> {
        let mut ended = Vec::new();
        for (hash, session) in &self.open {
            let why = if stands(session) { self.over(session, now) } else { Some(Why::Revoked) };
            ended.extend(why.map(|why| (*hash, why)));
        }
        ended.into_iter().filter_map(|(hash, why)| self.end(&hash, why)).collect()
    }

    /// The open sessions, as people see them.
    pub(crate) fn shown(&self, now: Instant) -> Vec<Shown> {
        let open = self.open.values().filter(|session| self.over(session, now).is_none());
        let mut shown: Vec<_> = open.map(|session| self.show(session, now)).collect();
        shown.sort_by(|a, b| (&a.officer, a.opened_ms).cmp(&(&b.officer, b.opened_ms)));
        shown
    }

    /// A session as people see it.
    pub(crate) fn show(&self, session: &Session, now: Instant) -> Shown {
        let age = now.saturating_duration_since(session.opened);
        let idle = now.saturating_duration_since(session.used);
        Shown {
            officer: session.officer.clone(),
            credential: session.credential,
            opened_ms: session.opened_ms,
            idle_s: idle.as_secs(),
            ends_in_s: self.spans.whole.saturating_sub(age).as_secs(),
        }
    }

    fn over(&self, session: &Session, now: Instant) -> Option<Why> {
        if now.saturating_duration_since(session.opened) >= self.spans.whole {
            Some(Why::Over)
        } else if now.saturating_duration_since(session.used) >= self.spans.idle {
            Some(Why::Idle)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPANS: Spans = Spans { idle: Duration::from_secs(60), whole: Duration::from_secs(600) };

    fn hash(n: usize) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    fn of(officer: &str) -> (OfficerId, RecordId, RecordId) {
        (officer.parse().unwrap(), RecordId([1; 32]), RecordId([2; 32]))
    }

    #[test]
    fn a_session_ends_by_idleness_and_by_age() {
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let mut sessions = Sessions::new(SPANS);
        sessions.open(hash(1), of("d3-night"), start, 7).unwrap();
        let almost = start + minute - Duration::from_millis(1);
        assert!(sessions.touch(&hash(2), start).is_none());
        assert_eq!(sessions.touch(&hash(1), almost).unwrap().opened_ms, 7);
        assert!(sessions.find(&hash(1), start + minute).is_some(), "it was used meanwhile");
        // Looking does not use.
        assert!(sessions.touch(&hash(1), almost + minute).is_none());
        assert!(sessions.shown(almost + minute).is_empty());
        let ended = sessions.sweep(almost + minute, |_| true);
        assert_eq!(ended.iter().map(|(_, why)| *why).collect::<Vec<_>>(), [Why::Idle]);

        sessions.open(hash(1), of("d3-night"), start, 7).unwrap();
        for n in 1..20 {
            assert_eq!(sessions.touch(&hash(1), start + minute / 2 * n).is_some(), n < 20);
        }
        assert!(sessions.touch(&hash(1), start + minute * 10).is_none());
        assert_eq!(sessions.sweep(start + minute * 10, |_| true)[0].1, Why::Over);
    }

    #[test]
    fn a_session_ends_at_once_when_nothing_stands_for_it() {
        let start = Instant::now();
        let mut sessions = Sessions::new(SPANS);
        sessions.open(hash(1), of("d3-night"), start, 7).unwrap();
        sessions.open(hash(2), of("d4-day"), start, 7).unwrap();
        let ended = sessions.sweep(start, |session| session.officer.as_str() != "d3-night");
        assert_eq!(ended.len(), 1);
        assert_eq!((ended[0].0.officer.as_str(), ended[0].1), ("d3-night", Why::Revoked));
        assert!(sessions.find(&hash(1), start).is_none() && sessions.find(&hash(2), start).is_some());
        assert_eq!(sessions.end(&hash(2), Why::SignedOut).unwrap().1, Why::SignedOut);
        assert!(sessions.end(&hash(2), Why::SignedOut).is_none());
    }

    #[test]
    fn an_officer_has_only_so_many() {
        let start = Instant::now();
        let mut sessions = Sessions::new(SPANS);
        for n in 0..SESSIONS_OF_OFFICER_MAX {
            let now = start + Duration::from_millis(n as u64);
            assert!(sessions.open(hash(n), of("d3-night"), now, 7).unwrap().is_empty());
        }
        sessions.touch(&hash(0), start + Duration::from_secs(1));
        sessions.open(hash(100), of("d4-day"), start, 7).unwrap();
        let ended = sessions.open(hash(101), of("d3-night"), start, 7).unwrap();
        assert_eq!((ended.len(), ended[0].1), (1, Why::TooMany));
        assert!(sessions.find(&hash(1), start).is_none() && sessions.find(&hash(0), start).is_some());
        assert_eq!(sessions.shown(start).len(), SESSIONS_OF_OFFICER_MAX + 1);
    }
}
