//! Searching: languages, filters, what may not be found, what was deleted, and indexes that are made anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mufakat_record::identifier::{Identifier, IdentifierType};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::report::{Class as EntityClass, Entity, Place, Report};
use mufakat_record::{Handling, RecordId, Tlp, Verified};
use mufakat_views::text::place::Area;
use mufakat_views::text::{facets, phrases};
use tempfile::TempDir;

use super::*;
use crate::conformance::community::{BEGIN_S, Community, Node, name, send};
use crate::{ClassNumber, NO_CLASS, Options, Queries as _, Reader, Sqlite};

struct Desk {
    folder: TempDir,
    aa: Node<Sqlite>,
    bb: Node<Sqlite>,
    next: u64,
}

impl Desk {
    fn new() -> Self {
        let (folder, community) = (TempDir::new().unwrap(), Community::found(&["aa", "bb"]));
        let node = |me: &str| {
            let path = folder.path().join(format!("{me}.db"));
            Node::start(Sqlite::create(&path, &name(me), Options::default()).unwrap(), &community)
        };
        let (aa, bb) = (node("aa"), node("bb"));
        Self { folder, aa, bb, next: 1 }
    }

    /// Has bb take records of aa in.
    fn take(&mut self, records: Vec<Verified>) -> Vec<RecordId> {
        let ids = self.aa.share(records).unwrap();
        while let sent @ 1.. = send(&mut self.aa, &mut self.bb, self.next, 100) {
            self.next += sent as u64;
        }
        ids
    }

    fn texts(&mut self, texts: &[&str]) -> Vec<RecordId> {
        let records = texts.iter().map(|text| self.aa.report(&[&name("bb")], text, &[])).collect();
        self.take(records)
    }

    fn report(&self, text: &str, tlp: Tlp, change: impl FnOnce(&mut Report)) -> Verified {
        let plain = self.aa.report(&[&name("bb")], text, &[]);
        let mut body = Report::from_body(plain.header(), plain.body()).unwrap();
        change(&mut body);
        self.aa.signed(&[&name("bb")], Handling::with(tlp), &body)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("search.db")
    }

    fn reader(&self) -> Reader {
        self.bb.store.reader().unwrap()
    }

    fn index(&self) -> Index {
        let mut index = Index::open(&self.path(), &self.reader()).unwrap();
        while index.follow(&self.reader()).unwrap().more {}
        index
    }

    fn find(&self, question: &Question<'_>) -> Found {
        Searcher::open(&self.path()).unwrap().find(&self.reader(), question).unwrap()
    }

    fn search(&self, query: &str) -> Vec<RecordId> {
        let phrases = phrases(query).unwrap();
        let found = self.find(&Question { phrases: &phrases, limit: 100, count: true, ..Question::default() });
        assert_eq!(found.count, Some(Count { number: found.hits.len(), more: false }));
        found.hits.into_iter().map(|hit| hit.record).collect()
    }
}

#[test]
fn each_language_is_found() {
    let mut desk = Desk::new();
    let texts = [
        "Ông Nguyễn Văn Đức bị giữ ở Hải Phòng",
        "ตำรวจน้ำจับเรือประมงต่างชาติ",
        "Задержано судно «Чёрный берег» у Владивостока",
        "中国海警船只2303号进入该海域",
        "أوقفت الشُّرطة سفينة الأحمدي في ميناء عدن",
        "Kapal nelayan ditangkap di Laut Natuna Utara",
        "ខ្មែរនាវាត្រូវបានឃាត់",
        "ຕຳຫຼວດກັກເຮືອ",
        "ငါးဖမ်းလှေကိုဖမ်းဆီး",
        "海上保安庁が不審船を発見した",
    ];
    let ids = desk.texts(&texts);
    desk.index();
    for (query, wanted) in [
        ("nguyen", &[0][..]),
        ("Nguyễn", &[0]),
        ("NGUYEN van duc", &[0]),
        ("\"van duc\"", &[0]),
        ("\"duc van\"", &[]),
        ("hai phong", &[0]),
        ("ตำรวจ", &[1]),
        ("เรือประมง", &[1]),
        ("ประมงเรือ", &[]),
        ("черный берег", &[2]),
        ("ЧЁРНЫЙ", &[2]),
        ("владивосток*", &[2]),
        ("владивосток", &[]),
        ("海警", &[3]),
        ("海", &[9, 3]),
        ("国海警船", &[3]),
        ("警国", &[]),
        ("2303", &[3]),
        ("الشرطة", &[4]),
        ("احمدي", &[]),
        ("الاحمدي", &[4]),
        ("سفينه", &[4]),
        ("kapal natuna", &[5]),
        ("natu*", &[5]),
        ("នាវា", &[6]),
        ("ເຮືອ", &[7]),
        ("ဖမ်းဆီး", &[8]),
        ("不審船", &[9]),
        ("exercise", &[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
    ] {
        let wanted: Vec<_> = wanted.iter().map(|n: &usize| ids[*n]).collect();
        assert_eq!(desk.search(query), wanted, "{query}");
    }
}

#[test]
fn filters_hold_together() {
    let mut desk = Desk::new();
    let at = |report: &mut Report, latitude: f64, longitude: f64| {
        let e7 = |degrees: f64| Some((degrees * 1e7) as i32);
        report.place = Some(Place { latitude_e7: e7(latitude), longitude_e7: e7(longitude), name: None });
    };
    let records = vec![
        desk.report("one", Tlp::Green, |report| at(report, 1.25, 103.9)),
        desk.report("two", Tlp::Red, |report| at(report, -6.1, 106.9)),
        desk.report("three", Tlp::Green, |report| {
            let identifiers = vec![Identifier { identifier_type: IdentifierType::Imo, value: "9074729".into() }];
            let class = EntityClass::Vessel;
            report.entities = Some(vec![Entity { class, name: None, identifiers: Some(identifiers), role: None }]);
        }),
        desk.aa.retraction(&[&name("bb")], RecordId([5; 32])),
    ];
    let ids = desk.take(records);
    desk.index();
    let first_ms = desk.reader().record_leaf(&ids[0]).unwrap().unwrap().1.at_ms;
    assert!(first_ms > BEGIN_S * 1000);
    let found = |question: Question<'_>| {
        let found = desk.find(&Question { limit: 10, ..question });
        found.hits.iter().map(|hit| ids.iter().position(|id| *id == hit.record).unwrap()).collect::<Vec<_>>()
    };
    let facet = |facet: &str| found(Question { facets: &[vec![facet.to_owned()]], ..Question::default() });
    let area = |area| found(Question { area: Some(area), ..Question::default() });
    assert_eq!(found(Question::default()), [3, 2, 1, 0]);
    assert_eq!(facet(&facets::kind("retraction")), [3]);
    assert_eq!(facet(&facets::author(&name("aa"))), [3, 2, 1, 0]);
    assert_eq!(facet(&facets::author(&name("bb"))), [0; 0]);
    assert_eq!(facet(&facets::tlp(Tlp::Red)), [1]);
    assert_eq!(facet(&facets::refers_to(&RecordId([5; 32]))), [3]);
    assert_eq!(
        facet(&facets::identifier(&Identifier { identifier_type: IdentifierType::Imo, value: "IMO 9074729".into() })),
        [2]
    );
    let either = [facets::tlp(Tlp::Red), facets::kind("retraction")].to_vec();
    assert_eq!(found(Question { facets: &[either], ..Question::default() }), [3, 1]);
    assert_eq!(found(Question { facets: &[vec![]], ..Question::default() }), [0; 0]);
    assert_eq!(area(Area::Box { south: 1.0, west: 103.0, north: 2.0, east: 104.0 }), [0]);
    assert_eq!(area(Area::Box { south: 1.26, west: 103.0, north: 2.0, east: 104.0 }), [0; 0]);
    assert_eq!(area(Area::Circle { latitude: 1.3, longitude: 103.85, metres: 10_000.0 }), [0]);
    assert_eq!(area(Area::Circle { latitude: 1.3, longitude: 103.85, metres: 1_000_000.0 }), [1, 0]);
    assert_eq!(found(Question { from_ms: Some(first_ms), ..Question::default() }), [3, 2, 1, 0]);
    assert_eq!(found(Question { from_ms: Some(first_ms + 1_000_000), ..Question::default() }), [0; 0]);
    assert_eq!(found(Question { until_ms: Some(first_ms - 1), ..Question::default() }), [0; 0]);
    assert_eq!(found(Question { until_ms: Some(first_ms), ..Question::default() }), [3, 2, 1, 0]);
    assert_eq!(found(Question { since: Some(1), before: Some(3), ..Question::default() }), [2, 1]);
}

#[test]
fn time_goes_by_the_ledger() {
    let mut desk = Desk::new();
    let mut times = Vec::new();
    for n in 0..7 {
        let ids = desk.texts(&[&format!("number {n}")]);
        times.push(desk.reader().record_leaf(&ids[0]).unwrap().unwrap());
    }
    desk.index();
    for (from, until) in [(0, 6), (2, 2), (3, 5), (5, 3)] {
        let (from_ms, until_ms) = (Some(times[from].1.at_ms), Some(times[until].1.at_ms));
        let found = desk.find(&Question { from_ms, until_ms, limit: 10, ..Question::default() });
        let leaves: Vec<_> = found.hits.iter().map(|hit| hit.leaf).collect();
        let wanted: Vec<_> =
            if from <= until { times[from..=until].iter().rev().map(|(leaf, _)| *leaf).collect() } else { Vec::new() };
        assert_eq!(leaves, wanted, "{from} {until}");
    }
}

/// A number that follows from another one.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// What may not be found changes nothing of what is: the same questions to a node that holds only what may be found.
#[test]
fn what_is_hidden_changes_nothing() {
    let (mut desk, mut open) = (Desk::new(), Desk::new());
    let mut seed = 11;
    let words = ["kapal", "laut", "tàu", "судно", "海警", "EXERCISE"];
    let mut records = Vec::new();
    for n in 0..300 {
        let text: Vec<_> = words.iter().filter(|_| next(&mut seed).is_multiple_of(2)).copied().collect();
        let tlp = Tlp::ALL[next(&mut seed) as usize % 5].0;
        let place = next(&mut seed) as i32 % 100;
        records.push(desk.report(&format!("{n} {}", text.join(" ")), tlp, |report| {
            report.place = Some(Place { latitude_e7: Some(place * 1_000_000), longitude_e7: Some(0), name: None });
        }));
    }
    desk.take(records.clone());
    desk.index();
    let classes = desk.reader().classes(NO_CLASS).unwrap();
    let mut groups = Groups::default();
    groups.learn(&classes);
    for hidden in [&[Tlp::Red][..], &[Tlp::Green, Tlp::Clear, Tlp::Amber], &[]] {
        let may = |record: &Verified| !hidden.contains(&record.header().handling.tlp);
        let allowed: Vec<ClassNumber> = classes
            .iter()
            .filter(|(_, class)| !hidden.contains(&class.handling.tlp))
            .map(|(number, _)| *number)
            .collect();
        let scope = Scope::of(&groups, &allowed);
        open.take(records.iter().filter(|record| may(record)).cloned().collect());
        open.index();
        for turn in 0..80 {
            let query: Vec<_> = words.iter().filter(|_| next(&mut seed).is_multiple_of(3)).copied().collect();
            let phrases = phrases(&query.join(" ")).unwrap();
            let area = Area::Box { south: 0.0, west: -1.0, north: next(&mut seed) as f64 % 10.0, east: 1.0 };
            let area = (turn % 3 == 0).then_some(area);
            let limit = 1 + next(&mut seed) as usize % 40;
            let question = Question { phrases: &phrases, area, limit, count: true, ..Question::default() };
            // Page by page through both.
            let (mut ours, mut theirs) = (question.clone(), question);
            ours.scope = Some(&scope);
            loop {
                let (one, other) = (desk.find(&ours), open.find(&theirs));
                let ids = |found: &Found| found.hits.iter().map(|hit| hit.record).collect::<Vec<_>>();
                assert_eq!((ids(&one), one.more, one.count), (ids(&other), other.more, other.count), "{query:?}");
                let (Some(last), Some(other_last)) = (one.hits.last(), other.hits.last()) else { break };
                (ours.before, theirs.before) = (Some(last.leaf), Some(other_last.leaf));
            }
        }
        open = Desk::new();
    }
    let nothing = Scope::of(&groups, &[]);
    let question = Question { scope: Some(&nothing), limit: 10, count: true, ..Question::default() };
    let found = desk.find(&question);
    assert_eq!((found.hits.len(), found.count), (0, Some(Count { number: 0, more: false })));
}

#[test]
fn counting_ends_somewhere() {
    let mut desk = Desk::new();
    let texts: Vec<String> = (0..COUNTED_MAX + 5).map(|n| format!("one {n}")).collect();
    let ids = desk.texts(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    desk.index();
    let phrases = phrases("one").unwrap();
    let question = Question { phrases: &phrases, limit: 50, count: true, ..Question::default() };
    let found = desk.find(&question);
    assert_eq!((found.hits.len(), found.count), (50, Some(Count { number: COUNTED_MAX, more: true })));
    let since = desk.reader().record_leaf(&ids[5]).unwrap().unwrap().0;
    let found = desk.find(&Question { since: Some(since), ..question.clone() });
    assert_eq!(found.count, Some(Count { number: COUNTED_MAX, more: false }));
    // The last page is reached although the counting ended before it.
    let before = Some(desk.reader().record_leaf(&ids[20]).unwrap().unwrap().0);
    let last = desk.find(&Question { before, ..question });
    assert_eq!((last.hits.len(), last.more, last.count.map(|count| count.more)), (20, false, Some(true)));
}

/// The numbers behind the word marker anywhere in the index and what SQLite puts beside it.
fn markers(path: &Path) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for suffix in ["", "-wal"] {
        let content = fs::read(format!("{}{suffix}", path.display())).unwrap_or_default();
        for at in 0..content.len() {
            let digits = content[at..].strip_prefix(b"marker").and_then(|rest| rest.get(..4));
            found.extend(digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<usize>().ok()));
        }
    }
    found
}

#[test]
fn what_is_deleted_leaves_the_disk() {
    let mut desk = Desk::new();
    let texts: Vec<String> = (0..400).map(|n| format!("{n:04}MARKER x{}", " y".repeat(n * 7919 % 149))).collect();
    // Terms of the index share their beginnings, so the marker stands at the end of one.
    let texts: Vec<String> = texts.iter().enumerate().map(|(n, text)| format!("{text} marker{n:04}")).collect();
    let ids = desk.texts(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let mut index = desk.index();
    index.compact().unwrap();
    assert_eq!(markers(&desk.path()), (0..400).collect());
    for turn in 0..2 {
        let gone: Vec<_> = (0..400).filter(|n| n % 10 != 0 && n % 2 == turn).collect();
        let retractions = gone.iter().map(|n| desk.aa.retraction(&[&name("bb")], ids[*n])).collect();
        desk.take(retractions);
        // The state file has them no more, so they are not found, whether or not the index knows.
        assert!(desk.search(&format!("marker{:04}", gone[3])).is_empty());
        assert!(index.follow(&desk.reader()).unwrap().removed > 0);
        if index.upkeep().unwrap() {
            index.compact().unwrap();
        }
        let left = (0..400).filter(|n| n % 10 == 0 || n % 2 > turn).collect();
        assert_eq!(markers(&desk.path()), left);
        index.check().unwrap();
    }
    assert_eq!(desk.search("marker0010"), [ids[10]]);
    assert_eq!(index.follow(&desk.reader()).unwrap().listed, 0);
}

#[test]
fn an_index_made_anew_finds_the_same() {
    let mut desk = Desk::new();
    let mut index = Index::open(&desk.path(), &desk.reader()).unwrap();
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.extend(desk.texts(&[&format!("kapal {n}"), "tàu cá"]));
        if n % 3 == 0 {
            let retraction = desk.aa.retraction(&[&name("bb")], ids[n]);
            desk.take(vec![retraction]);
        }
        index.follow(&desk.reader()).unwrap();
    }
    let all = |desk: &Desk| [desk.search("kapal"), desk.search("ca"), desk.search("exercise")];
    let before = all(&desk);
    drop(index);
    let leaves = desk.reader().counts().unwrap().leaves;
    let remade = |desk: &Desk| {
        let mut index = Index::open(&desk.path(), &desk.reader()).unwrap();
        let first = index.follow(&desk.reader()).unwrap();
        while index.follow(&desk.reader()).unwrap().more {}
        index.check().unwrap();
        first.listed > 0
    };
    // One that is there is followed on, not made anew.
    assert!(!remade(&desk));
    fs::remove_file(desk.path()).unwrap();
    assert!(Searcher::open(&desk.path()).is_err());
    assert!(remade(&desk));
    assert_eq!(all(&desk), before);
    fs::write(desk.path(), "EXERCISE: no index").unwrap();
    assert!(Searcher::open(&desk.path()).is_err());
    assert!(remade(&desk));
    Connection::open(desk.path()).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
    assert!(remade(&desk));
    // Of another ledger, or of one that had gone on before it was restored.
    Connection::open(desk.path()).unwrap().execute("UPDATE mark SET before = zeroblob(32)", []).unwrap();
    assert!(remade(&desk));
    Connection::open(desk.path()).unwrap().execute("UPDATE mark SET next = next + 9", []).unwrap();
    assert!(remade(&desk));
    assert_eq!(all(&desk), before);
    assert_eq!(Searcher::open(&desk.path()).unwrap().next().unwrap(), leaves);
}
