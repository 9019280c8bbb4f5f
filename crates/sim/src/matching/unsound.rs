//! What a liar does in matching: as a holder it answers under another key, with changed elements, with too many or too few, or
//! with another question's proof; as an asker it asks again what it asked, under keys that are not its own, or with elements that
//! are none; and it answers what others were asked.

use std::collections::{BTreeMap, BTreeSet};

use mufakat_matching::question::{self, Secret};
use mufakat_matching::voprf::{Answer, SecretKey};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::match_answer::{MatchAnswer, Outcome};
use mufakat_record::kinds::match_filter::MatchFilter;
use mufakat_record::kinds::match_key::MatchKey;
use mufakat_record::kinds::match_question::MatchQuestion;
use mufakat_record::kinds::request::By;
use mufakat_record::matching::{Category, Label};
use mufakat_record::{Digest, Handling, RecordId, Reference, Relation, Tlp, Verified};
use mufakat_views::matching::{Key, Question};

use super::answer::asked_in;
use super::publish::filter_of;
use super::{DAY_S, IDENTIFIERS, SUBJECT, fill, identifier, input};
use crate::community::{header, sign};
use crate::invariant::Stop;
use crate::world::World;

/// What a liar remembers, and what the run knows of it.
#[derive(Default)]
pub(super) struct LiarsList {
    /// Whom it told of its list.
    told: BTreeSet<usize>,
    /// The questions that it answered.
    answered: BTreeSet<RecordId>,
    /// What it asked of whom.
    asked: BTreeMap<usize, Vec<MatchQuestion>>,
    /// Its answers that are not sound.
    pub(super) lied: BTreeSet<RecordId>,
    /// Its answers to what others were asked.
    pub(super) meddled: BTreeSet<RecordId>,
    /// Its questions that nobody may answer.
    pub(super) unfit: BTreeSet<RecordId>,
}

impl World {
    /// A liar does something to an honest node.
    pub(super) fn lie_in_matching(&mut self) -> Result<(), Stop> {
        let Some(node) = self.liar.as_ref().map(|liar| liar.node) else { return Ok(()) };
        let victims: Vec<usize> = self.honest().into_iter().filter(|victim| self.is_up(*victim)).collect();
        let waiting = self.waiting_for(node, &victims)?;
        let untold: Vec<usize> = victims.iter().copied().filter(|v| !self.matching.liars.told.contains(v)).collect();
        match (self.dice.below(10), self.dice.pick(&waiting), self.dice.pick(&untold)) {
            (0..3, _, Some(victim)) => self.liar_tells(node, victim),
            (0..6, Some((victim, question)), _) => self.liar_answers_question(node, victim, &question),
            (6, ..) => self.liar_meddles(node, &victims),
            _ => self.liar_asks_by_matching(node, &victims),
        }
    }

    /// What honest nodes have asked the liar.
    fn waiting_for(&mut self, node: usize, victims: &[usize]) -> Result<Vec<(usize, Question)>, Stop> {
        let me = self.nodes[node].id.clone();
        let mut waiting = Vec::new();
        for victim in victims {
            let rows = self.matched(*victim, ("state", "waiting"))?;
            let ours = rows.iter().filter_map(Question::of).filter(|question| question.partner == me);
            let answered = &self.matching.liars.answered;
            waiting.extend(ours.filter(|q| !answered.contains(&q.question)).map(|question| (*victim, question)));
        }
        Ok(waiting)
    }

    /// The liar's key for a victim; with another number, one of which it never told.
    fn liars_key(&self, node: usize, victim: usize, number: u8) -> Result<SecretKey, Stop> {
        self.derived(node, [number; 32], &self.nodes[victim].id, 1)
    }

    /// A record of the liar's for one victim.
    fn liars_record<B: Body>(
        &mut self,
        node: usize,
        victim: usize,
        body: &B,
        references: &[(Relation, RecordId)],
    ) -> Result<Verified, Stop> {
        let register = self.directory(victim)?.chain().hash();
        let (me, to) = (self.nodes[node].id.clone(), vec![self.nodes[victim].id.clone()]);
        let mut header = header(&me, to, register, B::KIND, self.clock_ms(victim) / 1000);
        header.references =
            references.iter().map(|(relation, record)| Reference { relation: *relation, record: *record }).collect();
        header.references.sort();
        if B::KIND == MatchQuestion::KIND {
            header.handling = Handling { purposes: Some(vec!["EXERCISE".to_owned()]), ..Handling::with(Tlp::Amber) };
        }
        Ok(sign(header, body, &self.nodes[node].keys.newest()))
    }

    /// Sends records of the liar's, as the next on its channel.
    fn liar_sends(&mut self, node: usize, victim: usize, what: &str, records: Vec<Verified>) -> Result<(), Stop> {
        let me = self.nodes[node].id.clone();
        let inbound = self.core(victim)?.exchange.inbound(&me);
        let (epoch, first) = (inbound.epoch.max(1), if inbound.epoch == 0 { 1 } else { inbound.expected });
        let records: Vec<_> = records.into_iter().map(Verified::into_bytes).collect();
        let Some(bytes) = self.liars_parcel(node, victim, (epoch, first), &records)? else { return Ok(()) };
        self.stats.lies += 1;
        self.tell(|_| format!("{victim}: the liar {node} {what}"));
        self.take_parcel(victim, &bytes, Some(node)).map(drop)
    }

    /// The liar tells of a list, soundly, so that it will be asked.
    fn liar_tells(&mut self, node: usize, victim: usize) -> Result<(), Stop> {
        let now_s = self.clock_ms(victim) / 1000;
        let secret = self.liars_key(node, victim, 1)?;
        let body = MatchKey {
            subject: SUBJECT,
            epoch: 1,
            key: *secret.public().as_bytes(),
            from: now_s - 100 * DAY_S,
            until: now_s + 100 * DAY_S,
        };
        let key = self.liars_record(node, victim, &body, &[])?;
        let label = |handle| Label::Listed { category: Category::Forged, tlp: Tlp::Green, handle }.to_bits();
        let listed: BTreeMap<String, u32> =
            (0..IDENTIFIERS / 2).map(|number| (identifier(2 * number), label(number as u32))).collect();
        let labels = listed.iter().map(|(name, label)| (input(name), *label)).collect();
        let mut random = self.dice.fork();
        let Ok(filter) = filter_of(&secret, &labels, &mut fill(&mut random)) else { return Ok(()) };
        let digest = Digest::of(filter.as_bytes());
        let body = MatchFilter { number: 0, class: filter.class().capacity() as u32, digest };
        let references = [(Relation::About, key.id()), (Relation::Attaches, RecordId(digest.0))];
        let told = self.liars_record(node, victim, &body, &references)?;
        self.matching.truth.insert(told.id(), listed);
        self.matching.filters.insert(digest, filter.into_bytes());
        self.matching.liars.told.insert(victim);
        self.liar_sends(node, victim, "tells of a list", vec![key, told])
    }

    /// The liar answers what it was asked, now and then soundly.
    fn liar_answers_question(&mut self, node: usize, victim: usize, question: &Question) -> Result<(), Stop> {
        let Some(record) = self.held_record(victim, &question.question)? else { return Ok(()) };
        let Ok(body) = MatchQuestion::from_body(record.header(), record.body()) else { return Ok(()) };
        let asked = asked_in(&body);
        let (key, other) = (self.liars_key(node, victim, 1)?, self.liars_key(node, victim, 2)?);
        // Another question, as long as this one.
        let inputs: Vec<_> = (0..u64::from(body.count)).map(|number| input(&identifier(100 + number))).collect();
        let another = question::ask(&Secret::from_bytes(self.dice.bytes()), &inputs);
        let answer = question::answer(&key, &asked, &self.dice.bytes());
        let wrong = question::answer(&other, &asked, &self.dice.bytes());
        let (Ok(another), Ok(answer), Ok(wrong)) = (another, answer, wrong) else { return Ok(()) };
        let Ok(another) = question::answer(&key, &another, &self.dice.bytes()) else { return Ok(()) };
        let Answer { mut evaluated, mut proof } = answer;
        let lie = self.dice.below(8);
        match lie {
            1 => (evaluated, proof) = (wrong.evaluated, wrong.proof),
            2 => evaluated[0] = wrong.evaluated[0],
            3 => evaluated.swap(0, 1),
            4 => evaluated[0][0] ^= 1,
            5 if evaluated.len() > 16 => evaluated.truncate(16),
            5 => evaluated = evaluated.repeat(4),
            6 => proof = another.proof,
            7 => (evaluated, proof) = (another.evaluated, another.proof),
            _ => {}
        }
        let outcome = Outcome::Evaluated { elements: evaluated.concat(), proof };
        let references = [(Relation::Answers, question.question)];
        let record = self.liars_record(node, victim, &MatchAnswer { outcome }, &references)?;
        if lie > 0 {
            self.matching.liars.lied.insert(record.id());
        }
        self.matching.liars.answered.insert(question.question);
        self.liar_sends(node, victim, &format!("answers {}, lie {lie}", question.question), vec![record])
    }

    /// The liar answers what another was asked.
    fn liar_meddles(&mut self, node: usize, victims: &[usize]) -> Result<(), Stop> {
        let me = self.nodes[node].id.clone();
        let mut choice = Vec::new();
        for victim in victims {
            let rows = self.matched(*victim, ("row", "question"))?;
            let others = rows.iter().filter_map(Question::of).filter(|question| question.partner != me);
            choice.extend(others.map(|question| (*victim, question.question)));
        }
        let Some((victim, question)) = self.dice.pick(&choice) else { return Ok(()) };
        let outcome = Outcome::Refused { reason: "no-budget".to_owned() };
        let record = self.liars_record(node, victim, &MatchAnswer { outcome }, &[(Relation::Answers, question)])?;
        self.matching.liars.meddled.insert(record.id());
        self.liar_sends(node, victim, "answers what another was asked", vec![record])
    }

    /// The liar asks: soundly, or what it asked before, or what nobody may answer.
    fn liar_asks_by_matching(&mut self, node: usize, victims: &[usize]) -> Result<(), Stop> {
        let me = self.nodes[node].id.clone();
        let mut choice = Vec::new();
        for victim in victims {
            let keys = self.matched(*victim, ("side", "given"))?;
            let (mine, others): (Vec<_>, Vec<_>) =
                keys.into_iter().partition(|row| Key::of(row).is_some_and(|key| key.partner == me));
            choice.extend(mine.last().map(|row| (*victim, row.record, others)));
        }
        let Some((victim, key, others)) = self.dice.pick(&choice) else { return Ok(()) };
        let input = input(&identifier(self.dice.below(IDENTIFIERS)));
        let Ok(made) = question::ask(&Secret::from_bytes(self.dice.bytes()), &[input]) else { return Ok(()) };
        let mut body = MatchQuestion {
            by: By::default(),
            case: Digest(self.dice.bytes()),
            basis: "EXERCISE law".to_owned(),
            count: 1,
            commitment: Digest(made.commitment),
            elements: made.elements.concat(),
        };
        let (lie, other) = (self.dice.below(12), self.dice.pick(&others).map(|row| row.record));
        let earlier = self.matching.liars.asked.get(&victim).and_then(|asked| asked.first()).cloned();
        let mut about = key;
        let mut unfit = true;
        match (lie, earlier, other) {
            (0, _, Some(other)) => about = other,
            (1, ..) => about = RecordId(self.dice.bytes()),
            // The identity, an element that is not canonical, and one that stands there twice.
            (2, ..) => body.elements[..32].fill(0),
            (3, ..) => body.elements[..32].fill(0xff),
            (4, ..) => body.elements.copy_within(32..64, 0),
            // Once more what it asked before, and with its commitment something else.
            (5 | 6, Some(earlier), _) => (body, unfit) = (MatchQuestion { case: body.case, ..earlier }, false),
            (7 | 8, Some(earlier), _) => (body.commitment, unfit) = (earlier.commitment, false),
            _ => unfit = false,
        }
        let record = self.liars_record(node, victim, &body, &[(Relation::About, about)])?;
        if unfit {
            self.matching.liars.unfit.insert(record.id());
        } else {
            self.matching.liars.asked.entry(victim).or_default().push(body);
        }
        self.liar_sends(node, victim, &format!("asks, lie {lie}"), vec![record])
    }

    /// Who a liar lies to forgets with its disk what it was told.
    pub(super) fn liar_tells_again(&mut self, victim: usize) {
        self.matching.liars.told.remove(&victim);
    }
}
