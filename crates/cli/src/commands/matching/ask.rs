//! `match ask` and `match request`: what is asked of partners, and the request that follows a hit.

use std::path::Path;
use std::time::{Duration, Instant};

use mufakat_record::kinds::match_ask::Item;
use mufakat_record::matching::Subject;
use serde_json::{Value, json};

use super::rows::{self, Line};
use super::{ask_id, counted, questions_of, shown};
use crate::args::MatchAskArgs;
use crate::client::Client;
use crate::failure::{Failure, refused, usage};
use crate::output::{Output, join, short, text_of};
use crate::when::now_s;

/// The columns of a file of what is asked about.
const COLUMNS: [&str; 3] = ["subject", "value", "birth_year"];
/// How often the node is asked while the command waits.
const ASK_PAUSE: Duration = Duration::from_millis(200);

/// What is asked about, and in which line of the file it stands.
struct Given {
    item: Item,
    line: Option<u64>,
}

/// Asks, and waits for the answers if that is wanted.
pub(super) async fn ask(client: &Client, args: MatchAskArgs, output: Output) -> anyhow::Result<()> {
    let given = given(&args)?;
    let items: Vec<&Item> = given.iter().map(|given| &given.item).collect();
    let mut envelope = json!({
        "to": args.to, "items": items, "purpose": args.purpose, "case": args.case, "basis": args.basis,
    });
    if let Some(watch) = args.watch {
        envelope["watch_until"] = watch.at(now_s()).into();
    }
    let mut answer = client.post("/api/v1/matching/asks", &envelope).await.map_err(|error| with_item(error, &given))?;
    let Some(patience) = args.wait else { return Ok(output.show(&answer, || words(&answer, true))?) };
    if !output.json {
        output.line(words(&answer, false).trim_end())?;
    }
    let id = text_of(&answer["id"]);
    let open = wait(client, &id, patience).await?;
    let outcome = client.get(&format!("/api/v1/matching/asks/{id}")).await?;
    let text = format!("\n{}", shown::ask_words(&outcome));
    answer["outcome"] = outcome;
    output.show(&answer, || text)?;
    if open > 0 {
        let waits = counted(open, "question waits", "questions wait");
        let detail = format!("{waits} for an answer; see later: mufakat match show {}", short(&id));
        return Err(refused("timeout", detail));
    }
    Ok(())
}

/// Everything that is asked about, in the order in which it was given.
fn given(args: &MatchAskArgs) -> anyhow::Result<Vec<Given>> {
    if args.name.len() != args.born.len() {
        return Err(usage("each --name goes with one --born"));
    }
    let named = args.name.iter().zip(&args.born).map(|(name, born)| Item {
        subject: Subject::Name,
        value: name.clone(),
        birth_year: Some(*born),
    });
    let mut given: Vec<Given> =
        args.items.iter().cloned().chain(named).map(|item| Given { item, line: None }).collect();
    if let Some(file) = &args.file {
        given.extend(from_file(file)?);
    }
    if given.is_empty() {
        return Err(usage("nothing is asked about; give TYPE:VALUE, --name with --born, or --file"));
    }
    Ok(given)
}

/// Of a file every line counts: one that cannot be read would be one that nobody asked about.
fn from_file(file: &Path) -> anyhow::Result<Vec<Given>> {
    let (mut lines, _) = rows::open(file, None, &COLUMNS)?;
    let mut given = Vec::new();
    while let Some(Line { number, fields }) = lines.next()? {
        let entry = fields.and_then(|fields| rows::entry(&fields));
        let entry = entry.map_err(|wrong| refused(wrong.reason, format!("line {number}: {}", wrong.detail)))?;
        let item = Item { subject: entry.subject, value: entry.value, birth_year: entry.birth_year };
        given.push(Given { item, line: Some(number) });
    }
    Ok(given)
}

/// The node names what it refuses by its place; people know it by what they gave.
fn with_item(error: anyhow::Error, given: &[Given]) -> anyhow::Error {
    let Some(Failure::Problem(problem)) = error.downcast_ref() else { return error };
    let detail = problem["detail"].as_str().unwrap_or_default();
    let place = detail.strip_prefix("`items[").and_then(|rest| rest.split_once("]`, "));
    let found = place.and_then(|(place, rest)| Some((given.get(place.parse::<usize>().ok()?)?, rest)));
    let Some((Given { item, line }, rest)) = found else { return error };
    // Behind its place stands its subject.
    let why = rest.split_once(": ").map_or(rest, |(_, why)| why);
    let line = line.map(|line| format!(" (line {line} of the file)")).unwrap_or_default();
    let mut problem = problem.clone();
    problem["detail"] = format!("{} {}{line}: {why}; nothing was asked", item.subject, item.value).into();
    problem["item"] = json!(item);
    Failure::Problem(problem).into()
}

/// Waits until every question is settled, and gives how many are not when the time is over.
async fn wait(client: &Client, id: &str, patience: Duration) -> anyhow::Result<u64> {
    let began = Instant::now();
    loop {
        let questions = questions_of(client, id).await?;
        let open = questions.iter().filter(|row| matches!(row["body"]["state"].as_str(), Some("waiting" | "answered")));
        let open = open.count() as u64;
        if open == 0 || began.elapsed() >= patience {
            return Ok(open);
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
}

fn words(asked: &Value, next: bool) -> String {
    let id = text_of(&asked["id"]);
    let mut text = format!("ask {id}\n");
    let questions = asked["questions"].as_u64().unwrap_or_default();
    text.push_str(&format!("{} out\n", counted(questions, "question went", "questions went")));
    for one in asked["unasked"].as_array().into_iter().flatten() {
        let why = match one["reason"].as_str() {
            Some("no-list") => "it has told this agency of no list of these (no-list)".to_owned(),
            _ => text_of(&one["reason"]),
        };
        text.push_str(&format!("not asked: {} about {}: {why}\n", text_of(&one["partner"]), text_of(&one["subject"])));
    }
    if asked["enumerable"].as_array().is_some_and(|subjects| !subjects.is_empty()) {
        text.push_str(&shown::not_secret(&join(&asked["enumerable"])));
    }
    if next {
        text.push_str(&format!("what comes of it: mufakat match show {}\n", short(&id)));
    }
    text
}

/// Drafts a request about a hit.
pub(super) async fn request(
    client: &Client,
    ask: &str,
    question: Option<&str>,
    item: Option<u32>,
    output: Output,
) -> anyhow::Result<()> {
    let id = ask_id(client, ask).await?;
    let chosen = chosen(&questions_of(client, &id).await?, question, item)?;
    let answer = client.post(&format!("/api/v1/matching/asks/{id}/draft"), &chosen).await?;
    output.show(&answer, || {
        let draft = text_of(&answer["id"]);
        let short = short(&draft);
        format!(
            "draft {draft}\nNothing has left. Read it, have it approved where your rules ask for that, and release it:\n  \
             mufakat draft show {short}\n  mufakat draft preview {short}\n  mufakat draft submit {short}\n  \
             mufakat draft release {short}\n"
        )
    })?;
    Ok(())
}

/// The one hit that is meant, as the node takes it.
fn chosen(rows: &[Value], question: Option<&str>, item: Option<u32>) -> anyhow::Result<Value> {
    let mut found = Vec::new();
    for body in rows.iter().map(|row| &row["body"]) {
        let id = text_of(&body["question"]);
        if question.is_some_and(|given| !id.starts_with(&given.to_ascii_lowercase())) {
            continue;
        }
        for hit in body["hits"].as_array().into_iter().flatten() {
            if item.is_none_or(|item| hit["item"] == item) {
                let told = format!("--question {} --item {} ({})", short(&id), hit["item"], text_of(&body["partner"]));
                found.push((told, json!({ "question": id, "item": hit["item"] })));
            }
        }
    }
    match found.as_slice() {
        [(_, one)] => Ok(one.clone()),
        [] => Err(refused("no-hit", "there is no such hit; `mufakat match show` tells which there are")),
        several => {
            let told: Vec<_> = several.iter().map(|(told, _)| told.as_str()).collect();
            Err(refused("ambiguous", format!("there are several hits; say which: {}", told.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command, Match};

    fn args(words: &[&str]) -> MatchAskArgs {
        let begin = ["mufakat", "match", "ask", "--to", "ru", "--purpose", "p", "--case", "c", "--basis", "b"];
        let Command::Match(Match::Ask(args)) = Args::parse_from(begin.iter().chain(words)).command else {
            panic!("another command")
        };
        *args
    }

    #[test]
    fn everything_that_is_asked_about_keeps_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("asked.csv");
        std::fs::write(&file, "value,subject\n\n+84912345678,phone\n").unwrap();
        let file = file.to_str().unwrap();
        let given =
            given(&args(&["--name", "EXERCISE An Nguyen", "--born", "1980", "--file", file, "imo:9074729"])).unwrap();
        let told: Vec<_> =
            given.iter().map(|one| (one.item.subject.name(), one.item.value.as_str(), one.line)).collect();
        let expect =
            [("imo", "9074729", None), ("name", "EXERCISE An Nguyen", None), ("phone", "+84912345678", Some(3))];
        assert_eq!(told, expect);
    }

    #[test]
    fn what_cannot_be_asked_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("asked.csv");
        std::fs::write(&file, "subject,value\nimo,9074729\nship,9074729\n").unwrap();
        for (words, told) in [
            (&[][..], "nothing is asked about"),
            (&["--name", "a", "--name", "b", "--born", "1980"], "each --name"),
            (&["--file", file.to_str().unwrap()], "line 3: `subject`"),
        ] {
            let error = given(&args(words)).err().unwrap().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_refused_item_is_told_as_it_was_given() {
        let imo = |line| Given {
            item: Item { subject: "imo".parse().unwrap(), value: "9074728".into(), birth_year: None },
            line,
        };
        let problem =
            |detail: &str| Failure::Problem(json!({ "status": 400, "detail": detail, "reason": "bad-identifier" }));
        for (detail, line, expect) in [
            (
                "`items[1]`, imo: the seventh digit does not fit: no",
                None,
                "imo 9074728: the seventh digit does not fit: no; nothing was asked (bad-identifier)",
            ),
            (
                "`items[1]`, imo: no",
                Some(4),
                "imo 9074728 (line 4 of the file): no; nothing was asked (bad-identifier)",
            ),
            ("`items[7]`, imo: no", None, "`items[7]`, imo: no (bad-identifier)"),
            ("`case` has 1 to 200 bytes", None, "`case` has 1 to 200 bytes (bad-identifier)"),
        ] {
            let error = with_item(problem(detail).into(), &[imo(None), imo(line)]);
            assert_eq!(error.to_string(), expect);
        }
    }

    #[test]
    fn whom_nothing_was_asked_of_is_told_with_the_reason() {
        let asked = json!({ "id": "ab".repeat(32), "questions": 1,
            "unasked": [{ "partner": "th-police", "subject": "phone", "reason": "no-list" }], "enumerable": ["imo", "mmsi"] });
        let text = words(&asked, true);
        for part in [
            "1 question went out\n",
            "not asked: th-police about phone: it has told this agency of no list of these (no-list)\n",
            "imo, mmsi: auditable, not secret",
            "mufakat match show abababababab\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn the_hit_that_is_meant_is_found_or_asked_for() {
        let row = |id: &str, partner: &str, items: &[u32]| {
            let hits: Vec<_> = items.iter().map(|item| json!({ "item": item })).collect();
            json!({ "body": { "question": id, "partner": partner, "hits": hits } })
        };
        let rows = [row("aa11", "ru-police", &[0, 2]), row("bb22", "th-police", &[2]), row("cc33", "hub", &[])];
        for (question, item, expect) in [
            (Some("AA"), Some(2), Ok(("aa11", 2))),
            (Some("bb22"), None, Ok(("bb22", 2))),
            (None, Some(0), Ok(("aa11", 0))),
            (None, Some(2), Err("--question bb22 --item 2 (th-police)")),
            (None, None, Err("several hits")),
            (Some("cc"), None, Err("no such hit")),
            (None, Some(1), Err("no such hit")),
        ] {
            match (chosen(&rows, question, item), expect) {
                (Ok(found), Ok((id, item))) => assert_eq!(found, json!({ "question": id, "item": item })),
                (Err(error), Err(told)) => assert!(error.to_string().contains(told), "{error}"),
                (found, _) => panic!("{question:?} {item:?}: {found:?}"),
            }
        }
    }
}
