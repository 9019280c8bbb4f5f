//! Taking answers: the proof is verified, the blinds are taken off, and what comes of it is looked up in the holder's filters.

use mufakat_matching::filter::Filter;
use mufakat_matching::question;
use mufakat_matching::tag::Tag;
use mufakat_matching::voprf::PublicKey;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome};
use mufakat_record::kinds::match_ask::MatchAsk;
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::kinds::match_result::{Confidence, Hit, MatchResult};
use mufakat_record::matching::Label;
use mufakat_record::{Digest, Verified};
use mufakat_views::matching::{self as view, Key, Question, State};

use super::answer::asked_in;
use super::ask::{inputs, secret_of};
use super::fill;
use crate::Sabotage;
use crate::invariant::Stop;
use crate::world::World;

/// After how long at most the bytes of a filter have come, once the record has that tells of it.
const COMES_MS_MAX: u64 = 60_000;

/// The name of what is not sound.
type Unsound = &'static str;

/// The tags of a question's inputs.
pub(super) struct Tags {
    tags: Vec<Tag>,
    /// Whether they stand in the file.
    kept: bool,
}

impl World {
    /// Takes every answer that has come and was not looked into.
    pub(super) fn take_answers(&mut self, node: usize) -> Result<(), Stop> {
        for row in self.matched(node, ("state", State::Answered.name()))? {
            let Some(question) = Question::of(&row) else { continue };
            let Some(asked) = self.read_ask(node, &question.ask)? else { continue };
            match self.tags_of(node, &question, &asked)? {
                Ok(tags) => self.look_up(node, &question, tags)?,
                Err(_) if self.sabotage(Sabotage::BelieveAnswer, 1000) => {
                    self.put_found(node, &question, 0, Ok(Vec::new()))?
                }
                Err(fault) => self.put_found(node, &question, 0, Err(fault))?,
            }
        }
        Ok(())
    }

    /// The tags of a question's inputs: kept from before, or worked out from the answer.
    pub(super) fn tags_of(
        &mut self,
        node: usize,
        question: &Question,
        asked: &MatchAsk,
    ) -> Result<Result<Tags, Unsound>, Stop> {
        let id = question.question;
        let kept = self.with_lists(node, |lists, _| lists.tags(&id))?;
        if kept.len() == question.count as usize {
            let tags = kept.iter().map(|(_, tag)| Tag::from_bytes(tag)).collect();
            return Ok(Ok(Tags { tags, kept: true }));
        }
        Ok(self.opened(node, question, asked)?.map(|tags| Tags { tags, kept: false }))
    }

    /// Keeps tags that are looked up again.
    fn keep_tags(&mut self, node: usize, question: &Question, found: &Tags) -> Result<(), Stop> {
        if found.kept {
            return Ok(());
        }
        let tags: Vec<_> = (0..).zip(found.tags.iter().map(Tag::to_bytes)).collect();
        self.with_lists(node, |lists, _| lists.keep_tags(&question.question, &tags))
    }

    /// Verifies an answer and takes the blinds off.
    fn opened(
        &mut self,
        node: usize,
        question: &Question,
        asked: &MatchAsk,
    ) -> Result<Result<Vec<Tag>, Unsound>, Stop> {
        let sent = self.held_record(node, &question.question)?;
        let answer = question.answer.map(|id| self.held_record(node, &id)).transpose()?.flatten();
        let key = self.matched_one(node, ("key", &question.key.to_string()), Key::of)?;
        let (Some(sent), Some(answer), Some((_, key))) = (sent, answer, key) else { return Ok(Err("not-found")) };
        if key.side != "got" || key.partner != question.partner {
            return Ok(Err("unknown-key"));
        }
        Ok(tags_in(&sent, &answer, &key, question, asked))
    }

    /// Looks tags up in the filters that are there, and puts on record what that says, if it is anything new.
    pub(super) fn look_up(&mut self, node: usize, question: &Question, tags: Tags) -> Result<(), Stop> {
        let key = self.matched_one(node, ("key", &question.key.to_string()), Key::of)?;
        let Some((_, key)) = key else { return Ok(()) };
        let Some(last) = key.filters.last().cloned() else { return Ok(()) };
        let now_s = self.clock_ms(node) / 1000;
        let watch = self.open_watch(node, &question.ask)?;
        let watched = watch.is_some_and(|ask| ask.watch_until.is_some_and(|until| now_s < until));
        if watched {
            self.keep_tags(node, question, &tags)?;
        }
        let found = match self.load_filters(node, &key)? {
            Some(found) => found.and_then(|filters| hits(&filters, &tags.tags)),
            // The rest comes, and then it is looked up; not longer than the holder answers under this key.
            None if now_s < key.until => return self.keep_tags(node, question, &tags),
            None if question.state == State::Answered => Err("filter-missing"),
            // What was found while it was there stands.
            None => return Ok(()),
        };
        self.put_found(node, question, last.number, found)?;
        if watched {
            self.core(node)?.looked.insert(question.question, last.record);
        }
        Ok(())
    }

    /// The filters under a key, the newest first; nothing as long as one of them has not come.
    fn load_filters(&mut self, node: usize, key: &Key) -> Result<Option<Result<Vec<Filter>, Unsound>>, Stop> {
        let mut filters = Vec::with_capacity(key.filters.len());
        for told in key.filters.iter().rev() {
            match self.load_filter(node, told)? {
                Some(Ok(filter)) => filters.push(filter),
                None => return Ok(None),
                Some(Err(fault)) => return Ok(Some(Err(fault))),
            }
        }
        if self.sabotage(Sabotage::LookOldestFirst, 1000) {
            filters.reverse();
        }
        Ok(Some(Ok(filters)))
    }

    /// A filter of a partner; nothing as long as its bytes have not come.
    fn load_filter(&mut self, node: usize, told: &view::Filter) -> Result<Option<Result<Filter, Unsound>>, Stop> {
        let delay = if self.chaos { self.dice.below(COMES_MS_MAX) } else { 0 };
        let comes = *self.matching.comes.entry((node, told.digest)).or_insert(self.now + delay);
        if self.chaos && comes > self.now {
            self.look_in(node, comes - self.now);
            return Ok(None);
        }
        let Some(bytes) = self.matching.filters.get(&told.digest).cloned() else { return Ok(None) };
        let mut random = self.dice.fork();
        Ok(Some(checked(bytes, told, &mut fill(&mut random))))
    }

    /// Puts on record what was found, unless the row says so already.
    fn put_found(
        &mut self,
        node: usize,
        question: &Question,
        through: u32,
        found: Result<Vec<Hit>, Unsound>,
    ) -> Result<(), Stop> {
        let (hits, fault) = found.map_or_else(|fault| (Vec::new(), Some(fault)), |hits| (hits, None));
        let known = question.hits.iter().map(|hit| (hit.item, hit.handle));
        let new = hits.iter().filter_map(|hit| match Label::from_bits(hit.label) {
            Some(Label::Listed { handle, .. }) => Some((hit.item, handle)),
            _ => None,
        });
        let looked_into = matches!(question.state, State::Hit | State::Miss | State::Fault);
        if looked_into && known.eq(new) && question.reason.as_deref() == fault {
            return Ok(());
        }
        self.tell(|_| {
            format!("{node}: question {} to {}: {} hits, {fault:?}", question.question, question.partner, hits.len())
        });
        let result = MatchResult { through, hits, fault: fault.map(str::to_owned) };
        let record = self.home(node, &result, &[question.question])?;
        self.say(node, vec![record])
    }
}

/// The tags of a question's inputs, if the answer is sound.
fn tags_in(
    sent: &Verified,
    answer: &Verified,
    key: &Key,
    question: &Question,
    asked: &MatchAsk,
) -> Result<Vec<Tag>, Unsound> {
    let thread = sent.header().thread;
    let sent = MatchQuestion::from_body(sent.header(), sent.body()).map_err(|_| "malformed")?;
    let answer = MatchAnswer::from_body(answer.header(), answer.body()).map_err(|_| "malformed")?;
    let Outcome::Evaluated { elements, proof } = answer.outcome else { return Err("malformed") };
    let public = PublicKey::from_bytes(&key.key.0).map_err(|fault| fault.reason())?;
    let secret = secret_of(&asked.secret, &question.partner, &question.key, &thread);
    let evaluated = elements.as_chunks::<32>().0;
    question::take(&secret, &inputs(asked), &asked_in(&sent), &public, evaluated, &proof)
        .map_err(|fault| fault.reason())
}

/// A filter, if it is what its holder signed.
fn checked(bytes: Vec<u8>, told: &view::Filter, random: &mut impl FnMut(&mut [u8])) -> Result<Filter, Unsound> {
    if Digest::of(&bytes) != told.digest {
        return Err("wrong-hash");
    }
    let filter = Filter::from_bytes(bytes).map_err(|fault| fault.reason())?;
    if filter.class().capacity() != told.class as usize {
        return Err("wrong-size");
    }
    filter.probe(random).map_err(|fault| fault.reason())?;
    Ok(filter)
}

/// What is listed, by the first filter that knows each tag.
fn hits(filters: &[Filter], tags: &[Tag]) -> Result<Vec<Hit>, Unsound> {
    let mut hits = Vec::new();
    for (item, tag) in (0..).zip(tags) {
        let Some(bits) = filters.iter().find_map(|filter| filter.look_up(tag)) else { continue };
        match Label::from_bits(bits) {
            Some(Label::Removed) => {}
            None => return Err("label-without-meaning"),
            Some(Label::Listed { .. }) => hits.push(Hit { item, confidence: Confidence::Exact, label: bits }),
        }
    }
    Ok(hits)
}
