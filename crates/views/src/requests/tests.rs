//! Tests of requests: a plain model of the states, both sides whatever the order of arrival, and the rows.

use mufakat_record::kinds::Body;
use mufakat_record::kinds::escalation::Escalation;
use mufakat_record::kinds::receipt::{self, Receipt};
use mufakat_record::kinds::request_step::{Ground, Step as Says};
use mufakat_record::{Header, RecordId, Reference, Relation, Verified};
use proptest::prelude::*;
use serde_json::json;

use super::machine::{Line, Matter, State};
use super::table::Table;
use super::*;
use crate::Row;
use crate::testing::{
    ME, MemoryRows, START_S, Step, agency, any_step, header, request, request_body, request_step, sign,
};

const RU: &str = "ru-police";
const SG: &str = "sg-fusion";
const ID: &str = "id-coastguard";

fn text() -> String {
    "EXERCISE".to_owned()
}

fn received() -> Says {
    Says::Received { time_zone: "Asia/Ho_Chi_Minh".to_owned(), within_s: None }
}

fn entries(rows: &MemoryRows) -> Vec<Entry> {
    rows.of_view(NAME).into_iter().map(|row| Entry::of(&row.body).unwrap()).collect()
}

/// The entry that these steps come to, which comes out the same when folded again.
fn entry(steps: &[Step]) -> Entry {
    let rows = MemoryRows::of(steps);
    assert_eq!(rows.rows, MemoryRows::again(steps).rows);
    entries(&rows).remove(0)
}

/// A request by a partner, received, with its clock started; and what follows, each a second later.
fn asked(then: &[(bool, Says)]) -> Vec<Step> {
    let asking = request(RU, &[ME], "EXERCISE", "+1");
    let mut steps = vec![Step::Received(asking.clone())];
    let all = std::iter::once((false, received())).chain(then.iter().cloned());
    for (leaf, (by_asker, says)) in (1_u64..).zip(all) {
        let at_ms = (START_S + leaf) * 1000;
        steps.push(if by_asker {
            Step::Received(request_step(RU, &[ME], asking.id(), at_ms, says))
        } else {
            Step::Authored(request_step(ME, &[RU], asking.id(), at_ms, says))
        });
    }
    steps
}

#[test]
fn states() {
    let part =
        mufakat_record::kinds::request_step::RefusedPart { part: text(), ground: Ground::Security, words: text() };
    let answered = |refused| Says::Answered { text: text(), entities: None, refused, evidence: false };
    let refused = |ground| Says::Refused { grounds: vec![ground], words: text() };
    let ask = || (false, Says::ClarificationAsked { text: text() });
    let give = || (true, Says::ClarificationGiven { text: text() });
    let check = |then: &[(bool, Says)], state: &str, out_of_turn: &[usize]| {
        let entry = entry(&asked(then));
        assert_eq!(entry.state, state, "{then:?}");
        let found: Vec<_> = (0..entry.steps.len()).filter(|at| entry.steps[*at].out_of_turn).collect();
        assert_eq!(found, out_of_turn, "{then:?}");
    };
    check(&[], "received", &[]);
    check(&[(false, Says::Routed { to: text() })], "routed", &[]);
    check(&[ask()], "clarification", &[]);
    check(&[ask(), give()], "received", &[]);
    check(&[give()], "received", &[1]);
    check(&[(false, answered(None))], "answered", &[]);
    check(&[(false, answered(Some(vec![part.clone()])))], "answered-in-part", &[]);
    check(&[(false, answered(Some(vec![part]))), (false, answered(None))], "answered", &[]);
    check(&[(false, refused(Ground::NotHeld))], "refused", &[]);
    check(&[(false, answered(None)), (false, refused(Ground::NotHeld))], "answered", &[2]);
    // What a clarification could mend is not refused before one was asked.
    check(&[(false, refused(Ground::InvalidRequest))], "received", &[1]);
    check(&[ask(), (false, refused(Ground::InvalidRequest))], "refused", &[]);
    check(&[(true, Says::Withdrawn { why: text() }), (false, answered(None))], "withdrawn", &[2]);
    // A side does not take the other's steps.
    check(&[(false, Says::Withdrawn { why: text() })], "received", &[1]);
    check(&[(true, answered(None))], "received", &[1]);
    let until = START_S + 60 * 86_400;
    let judge = || (false, Says::AwaitingJudge { until, why: text() });
    check(&[judge()], "awaiting-judge", &[]);
    check(&[judge(), judge()], "awaiting-judge", &[2]);
    check(&[(false, Says::Extended { until, why: text() })], "received", &[1]);
    assert_eq!(entry(&asked(&[judge()])).clock.unwrap().due_ms, until * 1000);
    check(&[(false, answered(None)), (true, Says::Feedback { text: text(), useful: true })], "feedback", &[]);
    check(&[(false, answered(None)), (true, Says::Closed), (true, Says::Closed)], "closed", &[3]);
    check(&[(true, Says::Closed)], "received", &[1]);
    let permit = || (false, Says::EvidencePermitted { words: text() });
    check(&[permit(), (false, answered(None)), (true, Says::Closed), permit()], "closed", &[1]);
    assert!(entry(&asked(&[(false, answered(None)), (true, Says::Closed), permit()])).evidence);
}

#[test]
fn a_request_has_a_row_for_each_that_it_asks() {
    let mut body = request_body("EXERCISE", "+1");
    body.copied = Some(vec![agency(SG)]);
    let record = |author: &str, audience: &[&str]| sign(header(author, audience, "request"), body.to_body());
    let mine = record(ME, &[RU, SG, ID]);
    let rows = MemoryRows::of(&[Step::Authored(mine.clone())]);
    let partners: Vec<_> = entries(&rows).into_iter().map(|e| (e.partner.to_string(), e.side, e.state)).collect();
    let sent = |name: &str| (name.to_owned(), Side::Asking, "sent".to_owned());
    assert_eq!(partners, [sent(ID), sent(RU)]);
    let facets = &rows.of_view(NAME)[0].facets;
    let expect = [("side", "asking"), ("state", "sent"), ("partner", ID), ("urgency", "ordinary")];
    assert!(expect.iter().all(|(name, value)| facets.contains(&(*name, (*value).to_owned()))));
    assert!(facets.contains(&("on", mine.id().to_string())));
    // The point of contact sees it and is not asked.
    let mut rows = MemoryRows::default();
    rows.fold_at(SG, &[Step::Received(mine)], 0);
    assert_eq!((entries(&rows)[0].side, entries(&rows)[0].clock.as_ref()), (Side::Copy, None));
}

/// A receipt of the asked side with what it says of each record.
fn told(from: &str, records: &[(RecordId, u64, Option<&str>)]) -> Verified {
    let entries = (1..).zip(records).map(|(position, (record, at_ms, rejected))| receipt::Entry {
        position,
        record: *record,
        rejected: rejected.map(str::to_owned),
        at_ms: *at_ms,
        index: position,
        salt: [0; 16],
    });
    let body = Receipt { epoch: 1, ledger: format!("mufakat/{from}/1"), entries: entries.collect() };
    sign(header(from, &[ME], "receipt"), body.to_body())
}

#[test]
fn the_asking_side_goes_by_receipts() {
    let mine = request(ME, &[RU], "EXERCISE", "+1");
    let at_ms = (START_S + 2) * 1000;
    let starts = request_step(RU, &[ME], mine.id(), at_ms, received());
    let withdraw = request_step(ME, &[RU], mine.id(), at_ms, Says::Withdrawn { why: text() });
    let steps = [Step::Authored(mine.clone()), Step::Received(starts), Step::Authored(withdraw.clone())];
    let with = |receipt: Verified| entry(&[&steps[..], &[Step::Receipt(receipt)]].concat());
    // What is under way has no effect.
    let before = entry(&steps);
    assert_eq!((before.state.as_str(), before.steps[1].at_ms), ("received", None));
    let taken = with(told(RU, &[(withdraw.id(), at_ms + 5, None)]));
    assert_eq!((taken.state.as_str(), taken.steps[1].at_ms), ("withdrawn", Some(at_ms + 5)));
    let rejected = with(told(RU, &[(withdraw.id(), at_ms + 5, Some("no-such-request"))]));
    assert_eq!((rejected.state.as_str(), rejected.steps[1].rejected.as_deref()), ("received", Some("no-such-request")));
    // Nobody else's word counts.
    assert_eq!(with(told(SG, &[(withdraw.id(), at_ms + 5, None)])), before);
    // A request that is rejected, or whose recipient is removed.
    let rejected = entry(&[Step::Authored(mine.clone()), Step::Receipt(told(RU, &[(mine.id(), 1, Some("expired"))]))]);
    assert_eq!((rejected.state.as_str(), rejected.rejected.as_deref()), ("rejected", Some("expired")));
    assert_eq!(entry(&[Step::Authored(mine), Step::Removed(vec![agency(RU)])]).state, "failed");
    assert_eq!(entry(&[&steps[..], &[Step::Removed(vec![agency(RU)])]].concat()).state, "failed");
    assert_eq!(entry(&[&asked(&[])[..], &[Step::Removed(vec![agency(RU)])]].concat()).state, "lapsed");
}

#[test]
fn duplicates_are_shown_and_forgotten() {
    let ask = |thread: u8, title: &str, phone: &str| {
        let head = Header { thread: mufakat_record::ThreadId([thread; 16]), ..header(ME, &[RU], "request") };
        sign(head, request_body(title, phone).to_body())
    };
    let (first, second) = (ask(1, "EXERCISE 1", "+84 28 1234"), ask(2, "EXERCISE 2", "+84-281234"));
    let (same, other) = (ask(2, "EXERCISE 3", "+84 281234"), ask(3, "EXERCISE 4", "+84 281235"));
    let steps: Vec<_> = [&first, &second, &same, &other].map(|r| Step::Authored((*r).clone())).into();
    let found = |steps: &[Step]| entries(&MemoryRows::of(steps)).into_iter().map(|e| e.duplicates).collect::<Vec<_>>();
    assert_eq!(found(&steps), [vec![], vec![first.id()], vec![first.id()], vec![]]);
    let deleted = [&steps[..], &[Step::Deleted(first.id())]].concat();
    assert_eq!(found(&deleted), [vec![], vec![], vec![]]);
    assert_eq!(MemoryRows::of(&deleted).rows, MemoryRows::again(&deleted).rows);
    // Another agency's requests on the same subject are nobody's business.
    let theirs = Step::Received(request(SG, &[ME], "EXERCISE", "+84281234"));
    assert_eq!(found(&[theirs, Step::Authored(second)]), [vec![], Vec::<RecordId>::new()]);
}

#[test]
fn an_escalation_stands_on_the_end_that_it_was_told_of() {
    let mut steps = asked(&[]);
    let (on, clock) = (MemoryRows::of(&steps).of_view(NAME)[0].record, entry(&steps).clock.unwrap());
    let head = Header {
        references: vec![Reference { relation: Relation::About, record: on }],
        ..header(ME, &[ME], Escalation::KIND)
    };
    let told = Escalation { level: Level::Deputy, mark_ms: clock.due_ms - 1, due_ms: clock.due_ms };
    let escalation = sign(head, told.to_body());
    steps.push(Step::Authored(escalation.clone()));
    let entry_then = entry(&steps);
    assert!(entry_then.is_escalated(Level::Deputy) && !entry_then.is_escalated(Level::Supervisor));
    // The clock gets a new end: nobody has been told of that one.
    let at_ms = (START_S + 9) * 1000;
    let judge = Says::AwaitingJudge { until: START_S + 90 * 86_400, why: text() };
    let moved = [&steps[..], &[Step::Authored(request_step(ME, &[RU], on, at_ms, judge))]].concat();
    assert!(!entry(&moved).is_escalated(Level::Deputy));
    let deleted = [&steps[..], &[Step::Deleted(escalation.id())]].concat();
    assert!(entry(&deleted).escalated.is_empty());
}

#[test]
fn rows_are_bounded() {
    let long = "Ớ".repeat(4000 / 3);
    let many: Vec<_> = (0..STEPS_MAX + 5).map(|_| (false, Says::Routed { to: long.clone() })).collect();
    let entry = entry(&asked(&many));
    assert_eq!((entry.steps.len(), entry.steps_left_out), (STEPS_MAX, 6));
    assert!(json!(entry).to_string().len() < STEPS_MAX * 1000);
}

/// What the asking side sends, however much of it and out of turn, does not keep the asked side from ending the request.
#[test]
fn one_side_does_not_fill_the_places_of_the_other() {
    let mut steps: Vec<_> = (0..STEPS_MAX + 5).map(|_| (true, Says::Closed)).collect();
    let flooded = entry(&asked(&steps));
    assert!(flooded.has_room(false) && !flooded.has_room(true) && flooded.is_open());
    assert_eq!((flooded.steps.len(), flooded.steps_left_out), (STEPS_MAX + 1, 5));
    steps.push((false, Says::Answered { text: text(), entities: None, refused: None, evidence: false }));
    assert_eq!(entry(&asked(&steps)).state, "answered");
}

#[test]
fn the_table_counts_rows() {
    let answered = Says::Answered { text: text(), entities: None, refused: None, evidence: false };
    let refused = Says::Refused { grounds: vec![Ground::NotHeld, Ground::Security], words: text() };
    let judge = Says::AwaitingJudge { until: START_S + 86_400, why: text() };
    let mut table = Table::default();
    let party = |agency: &AgencyId| agency.as_str()[..2].to_owned();
    for then in [vec![(false, answered)], vec![(false, judge), (false, refused)], vec![]] {
        table.count(&entry(&asked(&then)), &party);
    }
    table.count(&entries(&MemoryRows::of(&[Step::Authored(request(ME, &[SG], "EXERCISE", "+1"))]))[0], &party);
    let csv = table.to_csv();
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(
        lines,
        [
            "side,measure,party,urgency,ground,count",
            "asked,requests,ru,ordinary,,3",
            "asked,answered,ru,ordinary,,1",
            "asked,refused,ru,ordinary,not-held,1",
            "asked,refused,ru,ordinary,security,1",
            "asked,judicial-delay,ru,ordinary,,1",
            "asking,requests,sg,ordinary,,1",
        ]
    );
    let charts = table.charts();
    let refused = charts.as_array().unwrap().iter().find(|chart| chart["measure"] == "refused").unwrap();
    assert_eq!(refused["categories"], json!(["ru"]));
    assert_eq!(refused["series"][1], json!({ "name": "security", "data": [1] }));
}

/// The states once more, as a plain table: the state, with the one behind it for a clarification, feedback and the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plain {
    now: &'static str,
    behind: &'static str,
    asked_back: bool,
    evidence: bool,
}

impl Plain {
    fn next(self, by_asker: bool, says: &Says) -> Option<Self> {
        const OPEN: [&str; 4] = ["received", "routed", "awaiting-judge", "clarification"];
        let open = OPEN.contains(&self.now);
        // How it was replied to, also when there was feedback or an end since.
        let reply = if matches!(self.now, "feedback" | "closed") { self.behind } else { self.now };
        let to = |now| Some(Self { now, behind: "", ..self });
        let over = |now| Some(Self { now, behind: reply, ..self });
        let askers = ["clarification-given", "withdrawn", "feedback", "closed"].contains(&says.name());
        if askers != by_asker {
            return None;
        }
        let refuses = |ground: &[Ground]| !ground.contains(&Ground::InvalidRequest) || self.asked_back;
        match (self.now, says) {
            ("sent", Says::Received { .. }) => to("received"),
            ("received" | "routed", Says::Routed { .. }) => to("routed"),
            ("awaiting-judge", Says::Routed { .. }) => Some(self),
            ("clarification", Says::Routed { .. }) if self.behind == "received" => {
                Some(Self { behind: "routed", ..self })
            }
            ("clarification", Says::Routed { .. }) => Some(self),
            ("received" | "routed" | "awaiting-judge", Says::ClarificationAsked { .. }) => {
                Some(Self { now: "clarification", behind: self.now, asked_back: true, ..self })
            }
            ("clarification", Says::ClarificationGiven { .. }) => to(self.behind),
            ("received" | "routed", Says::AwaitingJudge { .. }) => to("awaiting-judge"),
            ("awaiting-judge", Says::Extended { .. }) => Some(self),
            (_, Says::Answered { refused, evidence, .. }) => {
                let grounds: Vec<_> = refused.iter().flatten().map(|part| part.ground).collect();
                let reply_now = if grounds.is_empty() { "answered" } else { "answered-in-part" };
                let fits = (open || (reply == "answered-in-part" && self.now != "closed")) && refuses(&grounds);
                let next = if self.now == "feedback" {
                    Self { behind: reply_now, ..self }
                } else {
                    Self { now: reply_now, behind: "", ..self }
                };
                fits.then_some(Self { evidence: self.evidence || *evidence, ..next })
            }
            (_, Says::Refused { grounds, .. }) if open && refuses(grounds) => to("refused"),
            (_, Says::Withdrawn { .. }) if open => to("withdrawn"),
            ("answered" | "answered-in-part" | "refused", Says::Feedback { .. }) => over("feedback"),
            ("feedback", Says::Feedback { .. }) => Some(self),
            (_, Says::EvidencePermitted { .. }) if reply.starts_with("answered") && !self.evidence => {
                Some(Self { evidence: true, ..self })
            }
            ("answered" | "answered-in-part" | "refused" | "withdrawn" | "feedback", Says::Closed) => over("closed"),
            _ => None,
        }
    }
}

fn moves() -> impl Strategy<Value = Vec<(bool, Says)>> {
    let one = (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, wrong)| {
        let says = any_step("EXERCISE", which);
        // Now and then a side takes the other's steps.
        let by_asker = says.is_askers() != (wrong && which.index(7) == 0);
        (by_asker, says)
    });
    prop::collection::vec(one, 0..14)
}

/// What the asked side and the asking side have at the end, the latter with what came to it in any order.
fn both_sides(moves: &[(bool, Says)], order: &[prop::sample::Index]) -> (Row, Row) {
    let record = request(RU, &[ME], "EXERCISE", "+1");
    let (mut at_asked, mut authored, mut comes) = (vec![Step::Received(record.clone())], Vec::new(), Vec::new());
    let all = std::iter::once((false, received())).chain(moves.iter().cloned());
    for (leaf, (by_asker, says)) in (1_u64..).zip(all) {
        let at_ms = (START_S + leaf) * 1000;
        if by_asker {
            // The asking side's clock is off; only the receipt counts.
            let step = request_step(RU, &[ME], record.id(), at_ms - 987_654, says);
            comes.push(Step::Receipt(told_to(RU, &[(step.id(), at_ms)])));
            authored.push(Step::Authored(step.clone()));
            at_asked.push(Step::Received(step));
        } else {
            let step = request_step(ME, &[RU], record.id(), at_ms, says);
            comes.push(Step::Received(step.clone()));
            at_asked.push(Step::Authored(step));
        }
    }
    comes.push(Step::Receipt(told_to(RU, &[(record.id(), START_S * 1000)])));
    let mut at_asking = vec![Step::Authored(record)];
    at_asking.extend(authored);
    for which in order {
        if comes.is_empty() {
            break;
        }
        at_asking.push(comes.swap_remove(which.index(comes.len())));
    }
    at_asking.extend(comes);
    let (mut asked, mut asking) = (MemoryRows::default(), MemoryRows::default());
    asked.fold_at(ME, &at_asked, 0);
    asking.fold_at(RU, &at_asking, 0);
    (asked.of_view(NAME)[0].clone(), asking.of_view(NAME)[0].clone())
}

fn told_to(to: &str, records: &[(RecordId, u64)]) -> Verified {
    let entries = (1..).zip(records).map(|(position, (record, at_ms))| receipt::Entry {
        position,
        record: *record,
        rejected: None,
        at_ms: *at_ms,
        index: position,
        salt: [0; 16],
    });
    let body = Receipt { epoch: 1, ledger: format!("mufakat/{ME}/1"), entries: entries.collect() };
    sign(header(ME, &[to], "receipt"), body.to_body())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_sides_come_to_the_same(moves in moves(), order in prop::collection::vec(any::<prop::sample::Index>(), 20)) {
        let (asked, asking) = both_sides(&moves, &order);
        let (asked, asking) = (Entry::of(&asked.body).unwrap(), Entry::of(&asking.body).unwrap());
        prop_assert_eq!((asked.side, asking.side), (Side::Asked, Side::Asking));
        prop_assert_eq!(&asked.steps, &asking.steps);
        let same = |e: &Entry| (e.state.clone(), e.clock.clone(), e.outcome.clone(), e.grounds.clone(), e.evidence, e.judicial_delay);
        prop_assert_eq!(same(&asked), same(&asking));
    }

    #[test]
    fn states_are_those_of_the_plain_table(moves in moves()) {
        let mut lines = Vec::new();
        let mut plain = Plain { now: "sent", behind: "", asked_back: false, evidence: false };
        let mut fitted = Vec::new();
        for (at, (by_asker, says)) in std::iter::once((false, received())).chain(moves).enumerate() {
            // Only the first step that starts the clock comes before everything else, and it stands first here.
            if at > 0 && matches!(says, Says::Received { .. }) {
                continue;
            }
            let next = plain.next(by_asker, &says);
            fitted.push(next.is_none());
            plain = next.unwrap_or(plain);
            let record = RecordId([at as u8; 32]);
            let (by, cites, rejected) = (None, Vec::new(), None);
            lines.push(Line { record, at_ms: Some(at as u64), by_asker, by, says, cites, rejected, out_of_turn: false });
        }
        lines.reverse();
        let matter = Matter::of(None, &mut lines);
        prop_assert_eq!(matter.state().name(), plain.now);
        prop_assert_eq!(matter.evidence(), plain.evidence);
        prop_assert_eq!(lines.iter().map(|line| line.out_of_turn).collect::<Vec<_>>(), fitted);
    }
}

#[test]
fn names_of_states_stand_in_their_order() {
    for (at, (state, name)) in State::ALL.into_iter().enumerate() {
        assert_eq!((state as usize, state.name()), (at, name));
    }
}
