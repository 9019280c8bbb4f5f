//! Submitted before: what a key that comes again stands for. Records that stand together are looked up together, before any of
//! them is made: the same again is given what was made then, and anything else is refused whole, so that nothing of it leaves.

use std::collections::BTreeMap;

use mufakat_exchange::{Chain, Facts, Submission};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::request_step::RequestStep;
use mufakat_record::{Act, Header, RecordId, Reference, Relation, ThreadId, Verified};
use mufakat_store::{Class, Queries, Sqlite};

use crate::share::{Composed, NotShared, Outcome, Shared, Together};
use crate::writer::{Core, Fault};

/// By how much more than the time between two signings a time may differ that is said as a length of time, in seconds.
const LATENESS_MAX_S: u64 = 60;

/// What was composed, sorted by what comes of it.
#[derive(Default)]
pub(crate) struct Sorted {
    /// What comes of each, as long as what is new can be submitted.
    pub(crate) outcomes: Vec<Outcome>,
    /// What is new.
    pub(crate) submissions: Vec<Submission>,
    /// What the ledger says of who released that.
    pub(crate) decided: Vec<(RecordId, Act)>,
}

/// Sorts what was composed: what was submitted before under the same keys is not released once more.
pub(crate) fn sort(core: &Core, signed: Vec<Composed>) -> Result<Sorted, Fault> {
    let (mut sorted, mut fresh) = (Sorted::default(), Fresh::new());
    let directory = core.exchange.directory();
    for composed in signed {
        let together = match composed {
            Ok(together) => together,
            Err(no) => {
                sorted.outcomes.push(Err(no));
                continue;
            }
        };
        if let Some(outcome) = before(&core.store, directory.chain(), &fresh, &together)? {
            sorted.outcomes.push(outcome);
            continue;
        }
        fresh.extend(together.records.iter().filter_map(|new| Some((new.key?, new.record.clone()))));
        sorted.outcomes.push(Ok(together.records.iter().map(|new| shown(&new.record)).collect()));
        sorted.submissions.extend(together.records);
        sorted.decided.extend(together.decided);
    }
    Ok(sorted)
}

fn shown(record: &Verified) -> Shared {
    Shared { id: record.id(), audience: record.header().audience.clone() }
}

/// What is submitted in this transaction, by its key.
type Fresh = BTreeMap<[u8; 16], Verified>;

/// What came before under a key.
enum Earlier {
    /// A record.
    Held(Verified),
    /// One whose content was deleted since; its class is still known.
    Deleted(RecordId, Class),
}

impl Earlier {
    fn find(store: &Sqlite, fresh: &Fresh, key: &[u8; 16]) -> Result<Option<Self>, Fault> {
        if let Some(record) = fresh.get(key) {
            return Ok(Some(Self::Held(record.clone())));
        }
        let Some(id) = store.submitted(key)? else { return Ok(None) };
        if let Some(bytes) = store.record_bytes(&id)? {
            let read = Verified::from_own_store(bytes).map(|record| Some(Self::Held(record)));
            return read.map_err(|reason| Fault::Store(format!("{id} cannot be read: {reason}")));
        }
        let number = store.class_of(&id)?;
        let class = store.classes(number.saturating_sub(1))?.into_iter().find(|(found, _)| *found == number);
        let class = class.ok_or_else(|| Fault::Store(format!("{id} is of no class")))?;
        Ok(Some(Self::Deleted(id, class.1)))
    }

    fn shown(&self) -> Shared {
        match self {
            Self::Held(record) => shown(record),
            Self::Deleted(id, class) => Shared { id: *id, audience: class.audience.clone() },
        }
    }

    /// Whether a record is the same to who hands both in, and goes to the same agencies. Of what was deleted nothing else is left
    /// to compare. `thread` is the matter, if one was named.
    fn is(&self, new: &Verified, thread: Option<ThreadId>, chain: &Chain) -> bool {
        let class = match self {
            Self::Held(record) => &Class::of(record.header()),
            Self::Deleted(_, class) => class,
        };
        let asked = Class::of(new.header());
        class.kind == asked.kind
            && class.handling == asked.handling
            // Whoever was removed since is named by nobody any more.
            && class.audience.iter().filter(|to| chain.member(to).is_some()).eq(&asked.audience)
            && match self {
                Self::Held(record) => says_the_same(record, new, thread),
                Self::Deleted(..) => true,
            }
    }
}

/// What came before under the keys of some records: nothing, the same, which is told again with the audience that it had, or
/// something else.
fn before(store: &Sqlite, chain: &Chain, fresh: &Fresh, together: &Together) -> Result<Option<Outcome>, Fault> {
    let mut same = Vec::with_capacity(together.records.len());
    let mut taken = None;
    for new in &together.records {
        let Some(key) = &new.key else { continue };
        let Some(earlier) = Earlier::find(store, fresh, key)? else { continue };
        let shown = earlier.shown();
        taken = taken.or(Some(shown.id));
        if earlier.is(&new.record, together.thread, chain) {
            same.push(shown);
        }
    }
    let Some(other) = taken else { return Ok(None) };
    if same.len() == together.records.iter().filter(|new| new.key.is_some()).count() {
        return Ok(Some(Ok(same)));
    }
    let detail = format!("the key names another record, {other}, which was shared before; this one was not");
    Ok(Some(Err(NotShared::new("key-taken", detail))))
}

/// Whether two records of one class say the same about the same. By when to look again is often said as a length of time, a step
/// has the time of each signing in it, and a file that was taken in twice has another key.
fn says_the_same(earlier: &Verified, new: &Verified, thread: Option<ThreadId>) -> bool {
    let (one, other) = (earlier.header(), new.header());
    let references = |header: &Header| {
        let (attached, about): (Vec<_>, Vec<_>) =
            header.references.iter().copied().partition(|r: &Reference| r.relation == Relation::Attaches);
        (attached.len(), about)
    };
    let step = |record: &Verified| RequestStep::from_body(record.header(), record.body()).ok().map(|said| said.step);
    let file = |record: &Verified| {
        let file = Attachment::from_body(record.header(), record.body()).ok()?;
        Some((file.name, file.media_type, file.size, file.digest))
    };
    let same_body = earlier.body() == new.body()
        || step(earlier).is_some_and(|said| step(new) == Some(said))
        || file(earlier).is_some_and(|said| file(new) == Some(said));
    one.handling.caveat == other.handling.caveat
        && references(one) == references(other)
        && same_time([one, other], |header| header.expires)
        && thread.is_none_or(|thread| one.thread == thread)
        && same_body
}

/// Whether two headers say the same time, be it as a length of time from when each was signed.
fn same_time([one, other]: [&Header; 2], said: impl Fn(&Header) -> Option<u64>) -> bool {
    match (said(one), said(other)) {
        (None, None) => true,
        (Some(before), Some(now)) => {
            let between = other.issued_at.saturating_sub(one.issued_at);
            before == now || before.saturating_add(between).abs_diff(now) <= LATENESS_MAX_S
        }
        _ => false,
    }
}
