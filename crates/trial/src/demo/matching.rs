//! Step 12: private matching. One agency asks three whether they list a passport and a name; one does. A budget ends an attempt to find
//! out a list.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::marker::Marker;
use super::{Demo, HUB, ID, RU, VN};
use crate::community;

/// Who is asked.
const HOLDERS: [&str; 3] = [RU, ID, HUB];
/// The passport that one of them lists.
const LISTED: &str = "passport:VNM:C7654321";
/// How the one lists a person, and how the other asks for him.
const NAME: [&str; 2] = ["Соколов Дмитрий Петрович", "Dmitry Sokolov"];
/// How many elements the partner that enumerates may have evaluated: three questions of the smallest size.
const SMALL_BUDGET: &str = "48";
/// How long to wait for answers.
const WAIT: &str = "60s";

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    list(demo)?;
    let ask = one_hit(demo)?;
    by_name(demo)?;
    draft(demo, &ask)?;
    enumerate(demo)
}

/// Three agencies list something, and say how much the fourth may ask.
fn list(demo: &mut Demo) -> Result<()> {
    let lists = [
        (RU, format!("passport,VNM:C7654321,,stolen\nname,{},1975,wanted\n", NAME[0])),
        (ID, "passport,IDN:B1112223,,lost\nimo,9074729,,sanctioned\n".to_owned()),
        (HUB, "passport,SGP:K0000001E,,forged\n".to_owned()),
    ];
    for (agency, lines) in lists {
        let file = demo.file(&format!("EXERCISE-list-{agency}.csv"));
        fs::write(&file, format!("subject,value,birth_year,category\n{lines}"))?;
        let node = demo.node(agency);
        node.cli(&["match", "list", "import", &file])?;
        let limit = if agency == ID { SMALL_BUDGET } else { "20000" };
        node.cli(&["match", "budget", "set", VN, "--limit", limit])?;
    }
    let told = |health: &Value| {
        let rows = health["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
        let here =
            |row: &&Value| row["body"]["side"] == "got" && !row["body"]["filters"].as_array().is_none_or(Vec::is_empty);
        rows.iter().filter(here).count() == 5
    };
    let health = demo.node(VN).wait("the filters", &["match", "list", "health"], told)?;
    let sizes: std::collections::BTreeSet<String> = health["keys"]
        .as_array()
        .context("no rows")?
        .iter()
        .map(|row| row["body"]["filters"][0]["class"].to_string())
        .collect();
    let what =
        format!("three agencies list something; {VN} has their filters, which say only that none lists over 1,000");
    demo.report.check(what, sizes.len() == 1 && sizes.contains("1000"), format!("{sizes:?}"));
    Ok(())
}

/// Asks, and gives what came of it when everybody has answered.
fn ask(demo: &Demo, to: &[&str], what: &[&str]) -> Result<Value> {
    let to = to.join(",");
    let head = ["match", "ask", "--to", &to, "--purpose", "EXERCISE border check", "--case", "EXERCISE 7"];
    let tail = ["--basis", "EXERCISE treaty, article 3", "--wait", WAIT];
    demo.node(VN).cli(&[head.as_slice(), tail.as_slice(), what].concat())
}

/// The state of the question to each agency about one subject.
fn states(answer: &Value, subject: &str) -> Vec<(String, String)> {
    let questions = answer["outcome"]["questions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = questions.iter().filter(|question| question["subject"] == subject);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut states: Vec<_> = of.map(|question| (text(&question["partner"]), text(&question["state"]))).collect();
    states.sort();
    states
}

fn due(states: [(&str, &str); 3]) -> Vec<(String, String)> {
    let mut due: Vec<_> = states.iter().map(|(agency, state)| ((*agency).to_owned(), (*state).to_owned())).collect();
    due.sort();
    due
}

/// Two passports are asked of three agencies: one hit, and nobody who is asked learns of what.
fn one_hit(demo: &mut Demo) -> Result<Value> {
    let mark = Marker::new();
    // Nobody lists it, and its number is the mark by which it would be found.
    let unknown = format!("serial-number:EXERCISE {}", mark.text());
    let without = demo.node(VN).cli(&[
        "match",
        "ask",
        "--to",
        RU,
        "--purpose",
        "EXERCISE",
        "--case",
        "EXERCISE",
        "--basis",
        "EXERCISE",
        &unknown,
    ]);
    let named = without.as_ref().is_err_and(|error| error.to_string().contains("no-list"));
    demo.report.check("what nobody has told of a list of is not asked at all", named, format!("{without:?}"));
    let number = "VNM:C9081726";
    let answer = ask(demo, &HOLDERS, &[LISTED, &format!("passport:{number}")])?;
    let found = states(&answer, "passport");
    let expected = due([(RU, "hit"), (ID, "miss"), (HUB, "miss")]);
    demo.report.check(
        format!("{VN} asks three agencies about two passports: one hit, two misses"),
        found == expected,
        &answer,
    );
    let questions = answer["outcome"]["questions"].as_array().context("no questions")?;
    let hit = questions.iter().find(|question| question["state"] == "hit").context("no hit")?.clone();
    let handle = hit["hits"][0]["handle"].to_string();
    let entry = demo.node(RU).cli(&["match", "list", "entry", &handle])?;
    let what =
        format!("{VN} sees a label ({}) and a number, by which {RU} finds its entry", hit["hits"][0]["category"]);
    demo.report.check(what, entry["value"] == "VNM:C7654321", &entry);
    let mut times = 0;
    for agency in HOLDERS {
        demo.stop(agency)?;
        let node = demo.node(agency);
        for path in [node.dir.clone(), node.log_file()] {
            times += count(&path, number.as_bytes())?;
        }
        demo.start(agency)?;
    }
    let here = count(&demo.node(VN).dir, number.as_bytes())?;
    let what =
        "the number that nobody lists is in no file and no log of those who were asked, and in those of the asker";
    demo.report.check(what, times == 0 && here > 0, format!("{times} times, {here} at {VN}"));
    Ok(answer)
}

/// How often some bytes stand in a file, or in the files of a folder.
fn count(path: &std::path::Path, what: &[u8]) -> Result<usize> {
    if path.is_dir() {
        let mut times = 0;
        for entry in fs::read_dir(path)? {
            times += count(&entry?.path(), what)?;
        }
        return Ok(times);
    }
    match fs::read(path) {
        Ok(bytes) => Ok(bytes.windows(what.len()).filter(|part| *part == what).count()),
        // A node that runs removes files at any moment, and nobody reads from its socket.
        Err(error) if !path.is_file() || error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// A name in Cyrillic is found by its Latin form, as a candidate.
fn by_name(demo: &mut Demo) -> Result<()> {
    let answer = ask(demo, &[RU], &["--name", NAME[1], "--born", "1976"])?;
    let hit = &answer["outcome"]["questions"][0]["hits"][0];
    let candidate = hit["confidence"].as_str().is_some_and(|confidence| confidence.starts_with("name-"));
    let what = format!("{RU} lists {}, born 1975; {VN} asks for {}, born 1976: a candidate", NAME[0], NAME[1]);
    demo.report.check(what, candidate && hit["category"] == "wanted", &answer);
    Ok(())
}

/// A request is drafted from the hit. It stays at home.
fn draft(demo: &mut Demo, answer: &Value) -> Result<()> {
    let ask = answer["id"].as_str().context("the ask has no id")?;
    let draft = demo.node(VN).cli(&["match", "request", ask])?;
    let id = draft["id"].as_str().context("the draft has no id")?;
    let shown = demo.node(VN).cli(&["draft", "show", id])?;
    let held = shown["kind"] == "request" && shown["to"][0] == RU;
    demo.report.check(format!("one command drafts a request to {RU}; nothing has left with it"), held, &shown);
    Ok(())
}

/// One ship after the other is asked for, until the budget ends.
fn enumerate(demo: &mut Demo) -> Result<()> {
    let before = states(&ask(demo, &[ID], &["imo:9074729"])?, "imo");
    demo.report.check(
        format!("{ID} lists a ship, and {VN} may ask little"),
        before.first().is_some_and(|one| one.1 == "hit"),
        format!("{before:?}"),
    );
    let mut told = Vec::new();
    for ship in ["imo:9176187", "imo:9319466"] {
        let answer = ask(demo, &[ID], &[ship])?;
        let question = &answer["outcome"]["questions"][0];
        told.push((question["state"].clone(), question["reason"].clone()));
    }
    let (last, reason) = told.last().context("nothing was asked")?;
    let ended = last == "refused" && reason == "budget-exhausted";
    demo.report.check(
        format!("after {SMALL_BUDGET} elements {ID} refuses by name, and not before"),
        ended && told[0].0 == "miss",
        format!("{told:?}"),
    );
    let alarms = community::until("the alarm", || {
        let alarms = demo.node(ID).cli(&["match", "alarms"])?;
        ensure!(alarms["rows"].as_array().is_some_and(|rows| rows.len() >= 2), "no alarms yet");
        Ok(alarms)
    })?;
    let rows = alarms["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told = ["near", "exhausted"].map(|mark| rows.iter().any(|row| row["body"]["mark"] == mark));
    demo.report.check(format!("{ID}'s desk was told before the end and at it"), told == [true, true], &alarms);
    Ok(())
}
