//! Telling partners of lists: a key for each partner, subject and epoch, a filter of the whole list under it, and later filters of
//! what changed. Whoever has a budget is told; nobody else is.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use mufakat_exchange::{Directory, Submission};
use mufakat_matching::filter::{Class, Filter};
use mufakat_matching::key::EpochSecret;
use mufakat_matching::tag::Tag;
use mufakat_matching::voprf::{SecretKey, outputs};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::match_filter::{DELTAS_MAX, MatchFilter};
use mufakat_record::kinds::match_key::MatchKey;
use mufakat_record::matching::{Category, Label, Subject};
use mufakat_record::{AgencyId, Digest, Handling, Header, RecordId, Reference, Relation, SigningKey, Tlp, sha256};
use mufakat_store::lists::{Entry, Published};
use mufakat_store::{Page, Queries};
use mufakat_views::Row;
use mufakat_views::matching::{FILTER_MEDIA_TYPE, Key, NAME};

use super::{ROWS_MAX, TRY_AGAIN_S, blocking, is_recent, on_all_cores, random, subject, with_lists};
use crate::node::Node;
use crate::share::{self, NotShared, Together};
use crate::writer::Fault;
use crate::{chunks, clock};

/// How many inputs are evaluated together; they share one inversion.
const TOGETHER: usize = 512;
/// How many bytes of a filter are handed on at once.
const PIECE_BYTES: usize = 1024 * 1024;
/// Seconds in a day.
const DAY_S: u64 = 86_400;

/// Tells every partner that has a budget of every list.
pub(super) async fn publish_all(node: &Arc<Node>) -> Result<(), Fault> {
    take_off_expired(node).await?;
    let subjects = subjects(node).await?;
    let mut told = BTreeSet::new();
    for budget in super::budget::of_partners(node).await? {
        let member = node.directory().chain().member(&budget.partner).is_some();
        if budget.limit == 0 || !member {
            let partner = budget.partner;
            with_lists(node, move |lists| lists.forget_partner(&partner)).await?;
            continue;
        }
        told.insert(budget.partner.clone());
        for subject in &subjects {
            match publish(node, &budget.partner, *subject).await {
                Ok(()) => {}
                Err(Fault::Stopping) => return Ok(()),
                // What goes wrong with one list keeps no other from being told of.
                Err(fault) => {
                    tracing::warn!(partner = %budget.partner, %subject, %fault, "a partner could not be told of a list");
                    give_up(node, &budget.partner, *subject);
                }
            }
            if node.is_stopping() {
                return Ok(());
            }
        }
    }
    with_lists(node, move |lists| {
        // What was taken off is forgotten once everybody was told; at once when there is nobody to tell.
        let through = if told.is_empty() { Some(lists.last_change()?) } else { lists.told_through()? };
        through.map_or(Ok(0), |through| lists.purge_removed(through))
    })
    .await?;
    erase_past(node).await
}

/// The subjects of which something is or was listed.
async fn subjects(node: &Arc<Node>) -> Result<BTreeSet<Subject>, Fault> {
    let counted = with_lists(node, |lists| lists.counts()).await?;
    let mut subjects: BTreeSet<Subject> = counted.iter().filter_map(|count| count.subject.parse().ok()).collect();
    // A list from which everything was taken is still published, as an empty one.
    let given = node.read(|reader| {
        let mut given = BTreeSet::new();
        super::each_row(reader, &[("row", Key::ROW), ("side", "given")], |row| {
            given.extend(Key::of(&row).map(|key| key.subject));
        })?;
        Ok(given)
    });
    subjects.extend(given.await?);
    Ok(subjects)
}

/// The epoch in which an instant lies: the day since 1970 on which it began, so that numbers go on when their length is changed.
pub(super) fn epoch_of(node: &Node, now_s: u64) -> u32 {
    u32::try_from(now_s / epoch_s(node) * epoch_s(node) / DAY_S).unwrap_or(u32::MAX)
}

/// The length of an epoch in seconds.
fn epoch_s(node: &Node) -> u64 {
    u64::from(node.config.matching.epoch_days) * DAY_S
}

/// How long after its epoch a key is still answered under, in seconds: partners that are away ask later.
fn grace_s(node: &Node) -> u64 {
    u64::from(node.config.matching.grace_days) * DAY_S
}

/// Tells one partner of one list, if there is anything new.
async fn publish(node: &Arc<Node>, partner: &AgencyId, subject: Subject) -> Result<(), Fault> {
    let Some((id, key)) = key(node, partner, subject).await? else { return Ok(()) };
    let (to, name) = (partner.clone(), subject.to_string());
    let (published, last_change) =
        with_lists(node, move |lists| Ok((lists.published(&to, &name)?, lists.last_change()?))).await?;
    // What the file says and the ledger does not, or the other way round, is from before the one or the other was restored.
    let published = published.filter(|told| {
        told.key == id
            && key.filters.last().is_some_and(|last| (last.number, last.digest) == (told.number, told.filter))
    });
    if gave_up(node, partner, subject) {
        return Ok(());
    }
    let (number, since) = match published {
        None => (0, None),
        Some(told) if told.through == last_change => return Ok(()),
        Some(told) if is_recent(told.at_s, node.config.matching.delta_s, clock::now_s()) => return Ok(()),
        Some(told) if told.number >= DELTAS_MAX => (0, None),
        Some(told) => (told.number + 1, Some(told.through)),
    };
    let (number, made) = match make(node, partner, subject, key.epoch, since).await? {
        Ok(made) => (number, made),
        Err(Unmade::TakenOff) => match make(node, partner, subject, key.epoch, None).await? {
            Ok(made) => (0, made),
            Err(_) => {
                give_up(node, partner, subject);
                return Ok(());
            }
        },
        Err(Unmade::Failed) => {
            give_up(node, partner, subject);
            return Ok(());
        }
    };
    let since = since.filter(|_| number > 0);
    if made.nothing && since.is_some() {
        // What changed is of another subject.
        let Some(told) = published else { return Ok(()) };
        return note(node, partner, subject, Published { through: made.through, ..told }).await;
    }
    let through = made.through;
    match tell(node, partner, id, number, made, key.until + grace_s(node)).await? {
        Ok(filter) => {
            let told = Published { epoch: key.epoch, key: id, number, through, at_s: clock::now_s(), filter };
            note(node, partner, subject, told).await?;
            tracing::info!(%partner, %subject, number, "a partner is told of a list");
        }
        Err(no) => {
            tracing::warn!(%partner, %subject, reason = no.reason, "a partner was not told of a list");
            give_up(node, partner, subject);
        }
    }
    Ok(())
}

/// Notes that a partner could not be told of a list, which takes minutes of every core to try again.
fn give_up(node: &Node, partner: &AgencyId, subject: Subject) {
    let mut unmade = node.matching.unmade.lock().unwrap_or_else(PoisonError::into_inner);
    unmade.insert((partner.clone(), subject), clock::now_s());
}

fn gave_up(node: &Node, partner: &AgencyId, subject: Subject) -> bool {
    let unmade = node.matching.unmade.lock().unwrap_or_else(PoisonError::into_inner);
    let noted = unmade.get(&(partner.clone(), subject));
    noted.is_some_and(|at_s| is_recent(*at_s, TRY_AGAIN_S, clock::now_s()))
}

async fn note(node: &Arc<Node>, partner: &AgencyId, subject: Subject, told: Published) -> Result<(), Fault> {
    let (to, name) = (partner.clone(), subject.to_string());
    with_lists(node, move |lists| lists.note_published(&to, &name, &told)).await
}

/// The key for a partner and subject in this epoch; it is made and put on record if there is none. Nothing while the ledger does not
/// show it yet.
async fn key(node: &Arc<Node>, partner: &AgencyId, subject: Subject) -> Result<Option<(RecordId, Key)>, Fault> {
    let now_s = clock::now_s();
    let (this, today) = (epoch_of(node, now_s), u32::try_from(now_s / DAY_S).unwrap_or(u32::MAX));
    let (to, name) = (partner.clone(), subject.to_string());
    let (epoch, secret) = with_lists(node, move |lists| {
        // When epochs become longer the one that goes on may have begun before one that is over.
        let epoch = lists.newest_epoch(today)?.map_or(this, |newest| newest.max(this));
        Ok((epoch, lists.secret(epoch, &mut random)?))
    })
    .await?;
    let secret = blocking(move || EpochSecret::from_bytes(*secret).key(&to, &name, epoch));
    let secret = secret.await?.map_err(|fault| Fault::Store(format!("a key of matching: {fault}")))?;
    let public = *secret.public().as_bytes();
    // Another public half of the same epoch: the secrets were lost with the file, so another key takes its place.
    if let Some(found) = given(node, partner, subject, epoch, public).await? {
        return Ok(Some(found));
    }
    let from = u64::from(epoch) * DAY_S;
    let until = from + epoch_s(node) + grace_s(node);
    let body = MatchKey { subject, epoch, key: public, from, until };
    let id = submission(&["match-key", partner.as_str(), subject.name(), &hex::encode(public)]);
    let to = partner.clone();
    let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
        let record = share::sign(header(node, directory, MatchKey::KIND, &to), &body, signer);
        vec![record.map(|record| Together::of(vec![Submission { record, key: Some(id) }]))]
    };
    if let Some(Err(no)) = share::submit_signed(node, compose).await?.into_iter().next() {
        tracing::warn!(%partner, %subject, reason = no.reason, "a key of matching was not put on record");
        return Ok(None);
    }
    given(node, partner, subject, epoch, public).await
}

/// A key that was given to a partner. When the clock came to another epoch and was set back it is not the latest one.
async fn given(
    node: &Arc<Node>,
    partner: &AgencyId,
    subject: Subject,
    epoch: u32,
    public: [u8; 32],
) -> Result<Option<(RecordId, Key)>, Fault> {
    let partner = partner.clone();
    let found = node.read(move |reader| {
        let facets = [("partner", partner.as_str()), ("side", "given"), ("subject", subject.name())];
        let (after, limit, newest_first, classes) = (None, ROWS_MAX, true, None);
        let rows = reader.view_page(&Page { view: NAME, after, limit, facets: &facets, newest_first, classes })?;
        let same = |row: &Row| Key::of(row).filter(|key| key.epoch == epoch && key.key.0 == public);
        Ok(rows.into_iter().find_map(|row| same(&row).map(|key| (row.record, key))))
    });
    found.await
}

/// By what the same is not put on record twice.
fn submission(parts: &[&str]) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&sha256(parts.join("\n").as_bytes())[..16]);
    key
}

fn header(node: &Node, directory: &Directory, kind: &str, partner: &AgencyId) -> Header {
    let handling = Handling::with(Tlp::AmberStrict);
    share::header_for(node, directory, kind, vec![partner.clone()], handling, share::new_thread())
}

/// A filter that is to be told of.
struct Made {
    filter: Filter,
    through: u64,
    /// Whether nothing of this subject is in it.
    nothing: bool,
}

/// Why there is no filter.
enum Unmade {
    /// Something was taken off a list of which entries may have inputs in common: only the whole list says what remains.
    TakenOff,
    /// It cannot be made; the log says why.
    Failed,
}

/// Makes the filter of a whole list, or of what changed after a change of the lists.
async fn make(
    node: &Arc<Node>,
    partner: &AgencyId,
    subject: Subject,
    epoch: u32,
    since: Option<u64>,
) -> Result<Result<Made, Unmade>, Fault> {
    let name = subject.to_string();
    let read = with_lists(node, move |lists| {
        let (through, secret) = (lists.last_change()?, lists.secret_if_there(epoch)?);
        let (mut inputs, mut taken_off): (Vec<(Vec<u8>, u32)>, _) = (Vec::new(), false);
        let mut unlistable = 0_u32;
        lists.each(&name, since.unwrap_or_default(), |entry| {
            taken_off |= entry.removed;
            // In a filter of the whole list nothing says what was taken off it.
            if since.is_some() || !entry.removed {
                let (label, listed) = (label(entry).to_bits(), subject::listed(subject, &entry.canonical));
                unlistable += u32::from(listed.is_empty());
                inputs.extend(listed.into_iter().map(|(input, _)| (input, label)));
            }
        })?;
        if unlistable > 0 {
            tracing::error!(%subject, entries = unlistable, "by the rules of this program these cannot be found by anybody");
        }
        Ok((through, secret, inputs, taken_off))
    });
    let (through, secret, inputs, taken_off) = read.await?;
    let Some(secret) = secret else { return Ok(Err(Unmade::Failed)) };
    // Two people may share keys of their names, and the one who is still listed did not change.
    if since.is_some() && taken_off && subject == Subject::Name {
        return Ok(Err(Unmade::TakenOff));
    }
    let (partner, name) = (partner.clone(), subject.to_string());
    let made = blocking(move || -> Result<Made, String> {
        let key = EpochSecret::from_bytes(*secret).key(&partner, &name, epoch).map_err(|fault| fault.to_string())?;
        let inputs = apart(inputs);
        let class = Class::holding(inputs.len()).ok_or("the list is longer than a filter can be")?;
        let entries = entries(&key, &inputs)?;
        let filter = Filter::build(class, &entries, &mut random).map_err(|fault| fault.to_string())?;
        Ok(Made { filter, through, nothing: entries.is_empty() })
    });
    match made.await? {
        Ok(made) => Ok(Ok(made)),
        Err(why) => {
            tracing::error!(%subject, why, "a filter could not be made");
            Ok(Err(Unmade::Failed))
        }
    }
}

/// What partners are told of an entry.
fn label(entry: &Entry) -> Label {
    let category = Category::ALL.get(usize::from(entry.category)).map(|(category, _)| *category);
    let tlp = Tlp::ALL.get(usize::from(entry.tlp)).map(|(tlp, _)| *tlp);
    match (entry.removed, category, tlp) {
        (false, Some(category), Some(tlp)) => Label::Listed { category, tlp, handle: entry.handle },
        // An entry without a meaning was never put on a list.
        _ => Label::Removed,
    }
}

/// Each input once. Two people may share a key of their names: the one with the lower label counts.
fn apart(mut inputs: Vec<(Vec<u8>, u32)>) -> Vec<(Vec<u8>, u32)> {
    inputs.sort_unstable();
    inputs.dedup_by(|later, first| later.0 == first.0);
    inputs
}

/// The tags of inputs with their labels.
fn entries(key: &SecretKey, inputs: &[(Vec<u8>, u32)]) -> Result<Vec<(Tag, u32)>, String> {
    let batches: Vec<_> = inputs.chunks(TOGETHER).collect();
    let tags = on_all_cores(&batches, |batch| {
        let bytes: Vec<_> = batch.iter().map(|(input, _)| input.as_slice()).collect();
        let found = outputs(key, &bytes).map_err(|fault| fault.to_string())?;
        Ok::<_, String>(found.iter().map(Tag::of).zip(batch.iter().map(|(_, label)| *label)).collect::<Vec<_>>())
    });
    tags.into_iter().try_fold(Vec::with_capacity(inputs.len()), |mut all, tags| {
        all.extend(tags?);
        Ok(all)
    })
}

/// Puts a filter on record: the attachment that it is, and what tells of it. Gives the hash of its bytes.
async fn tell(
    node: &Arc<Node>,
    partner: &AgencyId,
    key: RecordId,
    number: u32,
    made: Made,
    expires: u64,
) -> Result<Result<Digest, NotShared>, Fault> {
    let class = made.filter.class().capacity() as u32;
    let bytes = Bytes::from(made.filter.into_bytes());
    let (hashed, whole) = (bytes.clone(), bytes.len());
    let digest = blocking(move || Digest::of(&hashed)).await?;
    let pieces = (0..whole.div_ceil(PIECE_BYTES)).map(move |piece| {
        let from = piece * PIECE_BYTES;
        Ok::<_, std::convert::Infallible>(bytes.slice(from..whole.min(from + PIECE_BYTES)))
    });
    let name = format!("match-filter-{number}.bin");
    let upload = match chunks::take_in(node, stream::iter(pieces), name, FILTER_MEDIA_TYPE.to_owned()).await {
        Ok(upload) => upload,
        Err(chunks::NotTaken::Fault(fault)) => return Err(fault),
        Err(no) => return Ok(Err(NotShared::new("filter-not-taken", no.to_string()))),
    };
    let body = MatchFilter { number, class, digest };
    let (to, id) = (partner.clone(), submission(&["match-filter", &key.to_string(), &digest.to_string()]));
    let attachment = upload.attachment;
    let compose = move |node: &Node, directory: &Directory, signer: &SigningKey| {
        let sign = || {
            let header_of = |kind| Header { expires: Some(expires), ..header(node, directory, kind, &to) };
            let attached = share::sign(header_of(Attachment::KIND), &attachment, signer)?;
            let mut references = vec![
                Reference { relation: Relation::About, record: key },
                Reference { relation: Relation::Attaches, record: attached.id() },
            ];
            references.sort();
            let told =
                share::sign(Header { references, ..header(node, directory, MatchFilter::KIND, &to) }, &body, signer)?;
            let records = vec![Submission { record: attached, key: None }, Submission { record: told, key: Some(id) }];
            Ok(Together::of(records))
        };
        vec![sign()]
    };
    let outcome = share::submit_signed(node, compose).await?.into_iter().next();
    Ok(outcome.unwrap_or_else(|| Err(NotShared::new("malformed", "nothing was submitted"))).map(|_| digest))
}

/// Takes entries off the lists that are past their expiry.
async fn take_off_expired(node: &Arc<Node>) -> Result<(), Fault> {
    let now_s = clock::now_s();
    with_lists(node, move |lists| {
        loop {
            let expired = lists.expired(now_s, mufakat_store::lists::PAGE_MAX)?;
            let names: Vec<_> =
                expired.iter().map(|entry| (entry.subject.as_str(), entry.canonical.as_str())).collect();
            if names.is_empty() || lists.remove(&names)? == 0 {
                return Ok(());
            }
        }
    })
    .await
}

/// Erases the secrets of epochs whose keys are no longer answered under.
async fn erase_past(node: &Arc<Node>) -> Result<(), Fault> {
    let past_s = clock::now_s().saturating_sub(grace_s(node));
    let first_kept = epoch_of(node, past_s);
    // Once an epoch the file is written anew, so that no page keeps what was erased from another.
    let erased = with_lists(node, move |lists| match lists.erase_before(first_kept)? {
        0 => Ok(0),
        erased => lists.compact().map(|()| erased),
    });
    let erased = erased.await?;
    if erased > 0 {
        tracing::info!(epochs = erased, "the secrets of past epochs are erased");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_keeps_no_filter_waiting() {
        for (now_s, waits) in [(999, false), (1_000, true), (1_059, true), (1_060, false)] {
            assert_eq!(is_recent(1_000, 60, now_s), waits, "{now_s}");
        }
    }

    #[test]
    fn a_list_is_as_long_as_it_has_different_inputs() {
        let inputs: Vec<_> = (0..1_500_u32).map(|n| ((n % 800).to_be_bytes().to_vec(), n)).collect();
        let inputs = apart(inputs);
        assert_eq!(inputs.len(), 800);
        assert!(inputs.iter().all(|(input, label)| input.as_slice() == label.to_be_bytes()), "the lower label counts");
    }

    #[test]
    fn who_is_listed_counts_before_who_is_not_any_more() {
        let key = EpochSecret::from_bytes([1; 32]).key(&"ru-police".parse().unwrap(), "name", 1).unwrap();
        let listed = Label::Listed { category: Category::Wanted, tlp: Tlp::Amber, handle: 7 }.to_bits();
        let removed = Label::Removed.to_bits();
        let input = |text: &str| text.as_bytes().to_vec();
        let inputs = vec![(input("a"), removed), (input("b"), removed), (input("a"), listed), (input("c"), listed + 1)];
        let entries = entries(&key, &apart(inputs)).unwrap();
        let labels: Vec<_> = entries.iter().map(|(_, label)| *label).collect();
        assert_eq!(labels, [listed, removed, listed + 1]);
        let tags: BTreeSet<_> = entries.iter().map(|(tag, _)| tag.to_bytes()).collect();
        assert_eq!(tags.len(), 3);
    }
}
