//! The measurement of keys on real spellings: `person_names_dev.txt.gz`, of which a line has the spellings of one part of a name.
//! People are made of two lines; the keys of one pair of spellings are compared with those of another.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    io::Read as _,
    path::PathBuf,
};

use mufakat_matching::names::{Key, Level, Person, listed_keys};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// A line: the spellings of one part of a name, each with its script.
pub(crate) type Line = Vec<(&'static str, String)>;

/// Reads the spellings; says what is missing when they are not there.
pub(crate) fn lines() -> Vec<Line> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/names/person_names_dev.txt.gz");
    let file = std::fs::File::open(&path).unwrap_or_else(|error| {
        panic!("{}: {error}. The spellings belong in ../shared/data/names beside the repository (half of rigour's person_names)", path.display())
    });
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let lines: Vec<Line> = text
        .lines()
        .map(|line| line.rsplit_once(" => ").unwrap().0.split(", ").map(|one| (script(one), one.to_owned())).collect())
        .collect();
    assert!(lines.len() > 80_000, "{} lines only", lines.len());
    lines
}

/// The script of most letters.
fn script(spelling: &str) -> &'static str {
    let mut counts = BTreeMap::new();
    for letter in spelling.chars().filter(|letter| letter.is_alphabetic()) {
        let script = match u32::from(letter) {
            0x0..=0x24f | 0x1e00..=0x1eff => "Latin",
            0x370..=0x3ff | 0x1f00..=0x1fff => "Greek",
            0x400..=0x52f => "Cyrillic",
            0x530..=0x58f => "Armenian",
            0x590..=0x5ff => "Hebrew",
            0x600..=0x6ff | 0x750..=0x77f => "Arabic",
            0x900..=0xdff => "Indian",
            0xe00..=0xe7f => "Thai",
            0x10a0..=0x10ff => "Georgian",
            0x3040..=0x30ff => "kana",
            0x3400..=0x9fff => "Han",
            0xac00..=0xd7a3 => "Hangul",
            _ => "other",
        };
        *counts.entry(script).or_insert(0) += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or("other", |(script, _)| script)
}

/// What was measured of one pair of scripts.
#[derive(Clone, Default)]
pub(crate) struct Row {
    pub(crate) pairs: usize,
    pub(crate) one_part: usize,
    pub(crate) coarse: usize,
    pub(crate) skeleton: usize,
    pub(crate) fold: usize,
}

impl Row {
    pub(crate) fn recall(&self) -> f64 {
        self.coarse as f64 / self.pairs as f64
    }
}

fn keys(name: &str) -> Vec<Key> {
    listed_keys(&Person { name, birth_year: Some(1970) }).unwrap_or_default()
}

fn share(one: &[Key], other: &[Key], least: Level) -> bool {
    one.iter().any(|key| key.level >= least && other.contains(key))
}

/// The pairs of scripts that are measured: Latin with every other, and Latin and Cyrillic with themselves.
const OTHERS: &[&str] = &[
    "Latin", "Cyrillic", "Arabic", "Hebrew", "Greek", "Georgian", "Armenian", "kana", "Han", "Hangul", "Thai", "Indian",
];

/// Recall: a listed person with spellings of one script, asked for in spellings of the other.
pub(crate) fn recall(lines: &[Line], people: usize) -> Vec<(String, Row)> {
    let mut table = Vec::new();
    for (one, other) in
        OTHERS.iter().map(|other| ("Latin", *other)).chain([("Cyrillic", "Cyrillic"), ("Cyrillic", "Arabic")])
    {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let usable: Vec<&Line> = lines
            .iter()
            .filter(|line| {
                line.iter().filter(|s| s.0 == one).count() > usize::from(one == other)
                    && line.iter().any(|s| s.0 == other)
            })
            .collect();
        let mut row = Row::default();
        while row.pairs < people {
            let pick = |random: &mut ChaCha8Rng| {
                let line = usable[random.next_u64() as usize % usable.len()];
                let of = |script| line.iter().filter(|s| s.0 == script).map(|s| s.1.as_str()).collect::<Vec<_>>();
                let (from, to) = (of(one), of(other));
                let a = from[random.next_u64() as usize % from.len()];
                let to: Vec<_> = to.into_iter().filter(|b| *b != a).collect();
                (a, to[random.next_u64() as usize % to.len()])
            };
            let ((given, given_other), (family, family_other)) = (pick(&mut random), pick(&mut random));
            let (listed, asked) = (keys(&format!("{given} {family}")), keys(&format!("{family_other} {given_other}")));
            row.pairs += 1;
            row.coarse += usize::from(share(&listed, &asked, Level::Coarse));
            row.skeleton += usize::from(share(&listed, &asked, Level::Skeleton));
            row.fold += usize::from(share(&listed, &asked, Level::Fold));
            // One part alone: the other part is the same on both sides.
            row.one_part += usize::from(share(
                &keys(&format!("{given} Tamini")),
                &keys(&format!("{given_other} Tamini")),
                Level::Coarse,
            ));
        }
        table.push((format!("{one}–{other}"), row));
    }
    table
}

/// What was measured of people who are not the same.
pub(crate) struct Collision {
    /// Of random pairs of different people of one birth year, the part that shares a key.
    pub(crate) all: f64,
    pub(crate) skeleton: f64,
    pub(crate) fold: f64,
    /// Keys that a listed person has on average.
    pub(crate) keys: f64,
}

/// Random people, all of one birth year: each of two random lines in a random script that both have.
pub(crate) fn collision(lines: &[Line], people: usize, script: Option<&str>) -> Collision {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut holders: HashMap<Key, Vec<u32>> = HashMap::new();
    let usable: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| {
            line.iter().filter(|s| script.is_none_or(|script| s.0 == script)).map(|s| s.1.as_str()).collect::<Vec<_>>()
        })
        .filter(|line| !line.is_empty())
        .collect();
    let mut count = 0;
    let mut made = 0_u32;
    while (made as usize) < people {
        let mut pick = || {
            let line = &usable[random.next_u64() as usize % usable.len()];
            line[random.next_u64() as usize % line.len()]
        };
        let keys = keys(&format!("{} {}", pick(), pick()));
        if keys.is_empty() {
            continue;
        }
        count += keys.len();
        for key in keys {
            holders.entry(key).or_default().push(made);
        }
        made += 1;
    }
    let sharing = |least: Level| {
        let mut pairs = HashSet::new();
        for (_, people) in holders.iter().filter(|(key, _)| key.level >= least) {
            for (at, one) in people.iter().enumerate() {
                pairs.extend(people[at + 1..].iter().map(|other| (*one, *other)));
            }
        }
        pairs.len() as f64 / (people as f64 * (people as f64 - 1.0) / 2.0)
    };
    Collision {
        all: sharing(Level::Coarse),
        skeleton: sharing(Level::Skeleton),
        fold: sharing(Level::Fold),
        keys: count as f64 / people as f64,
    }
}

/// The table as it stands in the document.
pub(crate) fn markdown(rows: &[(String, Row)], collisions: &[(&str, f64, Collision)]) -> String {
    let mut text =
        "| scripts | one part | two parts: any key | skeleton or fold | fold |\n|---|---|---|---|---|\n".to_owned();
    for (scripts, row) in rows {
        let part = |count: usize| 100.0 * count as f64 / row.pairs as f64;
        writeln!(
            text,
            "| {scripts} | {:.1} % | {:.1} % | {:.1} % | {:.1} % |",
            part(row.one_part),
            part(row.coarse),
            part(row.skeleton),
            part(row.fold)
        )
        .unwrap();
    }
    text += "\n| people | keys a person | share any key | skeleton or fold | fold | strangers of 10 million listed, asked three years |\n|---|---|---|---|---|---|\n";
    for (people, _, one) in collisions {
        writeln!(
            text,
            "| {people} | {:.1} | {:.1e} | {:.1e} | {:.1e} | {:.2} |",
            one.keys,
            one.all,
            one.skeleton,
            one.fold,
            one.all * 300_000.0
        )
        .unwrap();
    }
    text
}
