//! Requests for information: partners are asked, and officers of both sides take steps, now and then one that comes too late.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::request::{By, Request, Urgency, UrgencyReason};
use mufakat_record::kinds::request_step::{Ground, RefusedPart, RequestStep, Step};
use mufakat_record::{AgencyId, RecordId, Reference, Relation, ThreadId};
use mufakat_views::Rows;
use mufakat_views::requests::{Entry, NAME, Side, key};

use crate::acts::Act;
use crate::community::sign;
use crate::invariant::{Invariant, Stop};
use crate::node::Role;
use crate::world::World;

/// A request that says little.
pub(crate) fn request(text: &str, copied: Option<AgencyId>, urgency: Option<Urgency>) -> Request {
    let said = || "EXERCISE".to_owned();
    Request {
        by: By::default(),
        title: text.to_owned(),
        text: text.to_owned(),
        offence: said(),
        purpose: said(),
        link: said(),
        necessity: said(),
        holding: said(),
        urgency,
        restrictions: None,
        language: "en".to_owned(),
        legal_basis: said(),
        judge_needed: false,
        subjects: None,
        copied: copied.map(|contact| vec![contact]),
        not_copied: None,
    }
}

/// Every step, with these words.
pub(crate) fn steps(words: &str, now_s: u64) -> Vec<Step> {
    let (said, until) = (|| words.to_owned(), now_s + 5 * 86_400);
    let answered = |refused| Step::Answered { text: said(), entities: None, refused, evidence: false };
    let part = RefusedPart { part: said(), ground: Ground::ThirdParty, words: said() };
    vec![
        Step::Routed { to: said() },
        Step::ClarificationAsked { text: said() },
        Step::ClarificationGiven { text: said() },
        Step::AwaitingJudge { until, why: said() },
        Step::Extended { until: until + 86_400, why: said() },
        answered(None),
        answered(Some(vec![part])),
        Step::Refused { grounds: vec![Ground::NotHeld], words: said() },
        Step::Refused { grounds: vec![Ground::InvalidRequest], words: said() },
        Step::Withdrawn { why: said() },
        Step::Feedback { text: said(), useful: true },
        Step::EvidencePermitted { words: said() },
        Step::Closed,
    ]
}

impl World {
    /// Asks some partners; perhaps none learns of the others, and perhaps the single point of contact has a copy.
    pub(crate) fn ask_partners(&mut self, node: usize) -> Result<(), Stop> {
        let mut others = self.partners(node);
        let contact = self.dice.pick(&others).filter(|_| self.dice.chance(300));
        others.retain(|other| Some(*other) != contact);
        let to = if others.is_empty() { return Ok(()) } else { self.dice.some(&others, 4) };
        let words = self.mark(to.iter().copied().chain(contact).chain([node]));
        let reason = UrgencyReason::LifeOrLimb;
        let urgency = self.dice.pick(&[None, Some(false), Some(true)]).flatten();
        let urgency = urgency.map(|directly_accessible| Urgency { reason, directly_accessible });
        let id = |n: &usize| self.nodes[*n].id.clone();
        let (asked, contact): (Vec<_>, _) = (to.iter().map(id).collect(), contact.as_ref().map(id));
        let body = request(&format!("EXERCISE {words}"), contact.clone(), urgency);
        let audiences: Vec<Vec<AgencyId>> =
            if self.dice.chance(300) { asked.into_iter().map(|one| vec![one]).collect() } else { vec![asked] };
        let thread = ThreadId(self.dice.bytes());
        let expires = self.dice.chance(100);
        let mut records = Vec::new();
        for audience in audiences {
            let (mut header, signer) =
                self.head(node, audience.into_iter().chain(contact.clone()).collect(), Request::KIND)?;
            header.expires = expires.then_some(header.issued_at + 86_400);
            header.thread = thread;
            records.push(sign(header, &body, &signer));
        }
        let ids: Vec<RecordId> = records.iter().map(|record| record.id()).collect();
        self.say(node, records)?;
        self.tell(|_| format!("{node}: asks {to:?}"));
        for request in ids {
            for _ in 0..self.dice.between(2, 3 + 2 * to.len() as u64) {
                let left = self.hours_left();
                let (at, by) = (self.dice.below(left), self.dice.pick(&to).filter(|_| self.dice.chance(600)));
                self.act_after(at, Act::Step { node: by.unwrap_or(node), request });
            }
        }
        Ok(())
    }

    /// Somebody takes a step in a request, as it stands there: mostly one that fits.
    pub(crate) fn take_step(&mut self, node: usize, request: RecordId) -> Result<(), Stop> {
        let me = self.nodes[node].id.clone();
        if self.nodes[node].role != Role::Honest || self.directory(node)?.chain().member(&me).is_none() {
            return Ok(());
        }
        let entries = self.entries(node, &request)?;
        let open = |entry: &&Entry| entry.partner_removed_ms.is_none() && entry.rejected.is_none();
        let open: Vec<Entry> = entries.iter().filter(open).cloned().collect();
        let Some(entry) = self.dice.pick(&open).filter(|entry| entry.side != Side::Copy) else { return Ok(()) };
        let (asking, now_ms) = (entry.side == Side::Asking, self.clock_ms(node));
        let to_all = asking && self.dice.chance(500);
        let partners: Vec<AgencyId> =
            open.iter().filter(|other| to_all || other.partner == entry.partner).map(|e| e.partner.clone()).collect();
        let may_see: Vec<usize> = partners.iter().filter_map(|id| self.index(id)).chain([node]).collect();
        let words = format!("EXERCISE {}", self.mark(may_see));
        let mut choice = steps(&words, now_ms / 1000);
        choice.retain(|step| step.is_askers() == asking);
        if !self.dice.chance(120) {
            let matter = entry.matter();
            choice.retain(|step| matter.would_take(step));
        }
        let Some(step) = self.dice.pick(&choice) else { return Ok(()) };
        let (mut header, signer) = self.head(node, partners, RequestStep::KIND)?;
        if header.audience.is_empty() {
            return Ok(());
        }
        header.references = vec![Reference { relation: Relation::Answers, record: request }];
        (header.thread, header.issued_at) = (entry.thread, now_ms / 1000);
        let name = step.name();
        let record = sign(header, &RequestStep { at_ms: now_ms, by: Some(By::default()), step }, &signer);
        self.say(node, vec![record])?;
        self.tell(|_| format!("{node}: {name} in {request}, which is {}", entry.state));
        Ok(())
    }

    /// What a node makes of a request, for each partner.
    pub(crate) fn entries(&mut self, node: usize, request: &RecordId) -> Result<Vec<Entry>, Stop> {
        let store = &self.core(node)?.store;
        let leaf = store.leaf_of(request).ok().flatten();
        let rows = leaf.map(|leaf| store.rows(NAME, &leaf.to_be_bytes(), None).unwrap_or_default());
        Ok(rows.into_iter().flatten().filter_map(|row| Entry::of(&row.body)).collect())
    }

    /// Both sides of each request come to the same.
    pub(crate) fn check_requests(&mut self, node: usize) -> Result<(), Stop> {
        let me = self.nodes[node].id.clone();
        let rows = self.core(node)?.store.rows(NAME, &[], None).unwrap_or_default();
        for row in rows {
            let Some(mine) = Entry::of(&row.body) else {
                let what = format!("a row on request {} cannot be read", row.record);
                return Err(self.failure(Invariant::SidesAgree, &[node], what).into());
            };
            let once = mine.steps.iter().enumerate().all(|(n, s)| mine.steps[..n].iter().all(|o| o.record != s.record));
            if !once {
                let what = format!("a step counts twice in {mine:?}");
                return Err(self.failure(Invariant::SidesAgree, &[node], what).into());
            }
            let partner = self.index(&mine.partner).filter(|partner| self.is_sound(*partner));
            let Some(partner) = partner.filter(|_| mine.side != Side::Copy) else { continue };
            if !self.has(partner, &row.record)? {
                // It was rejected, or deleted since.
                continue;
            }
            let store = &self.core(partner)?.store;
            let leaf = store.leaf_of(&row.record).ok().flatten().unwrap_or_default();
            let theirs = store.row(NAME, &key(leaf, &me)).ok().flatten().and_then(|row| Entry::of(&row.body));
            let agreed = theirs.as_ref().map(said_of) == Some(said_of(&mine)) && mine.rejected.is_none();
            if !agreed {
                let what = format!("of request {} one side says {mine:?}, and the other {theirs:?}", row.record);
                return Err(self.failure(Invariant::SidesAgree, &[node, partner], what).into());
            }
        }
        Ok(())
    }

    /// Whether a node is honest, in the register, and never lost its disk.
    pub(crate) fn is_sound(&self, node: usize) -> bool {
        self.nodes[node].role == Role::Honest && !self.nodes[node].restored && !self.removing.contains(&node)
    }
}

/// What both sides must say alike: everything that is counted, and not what only one of them knows.
fn said_of(entry: &Entry) -> Entry {
    let mut said = entry.clone();
    said.steps.retain(|line| line.rejected.is_none());
    (said.side, said.partner, said.settled) = (Side::Asking, "either".parse().expect("a sound name"), true);
    (said.escalated, said.duplicates) = (Vec::new(), Vec::new());
    said
}
