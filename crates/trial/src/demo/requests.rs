//! Requests for information: an urgent one that is answered, one that is refused in part, and one that nobody answers in time.

use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Demo, HUB, ID, RU, SG, VN};

/// What an agency promises that is to be late: an answer within so many seconds. Agencies may promise to be faster than they
/// must; nobody has to wait eight hours to see a clock run out.
const PROMISE_S: &str = "4";
const EIGHT_HOURS_MS: u64 = 8 * 3_600_000;

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    answered(demo)?;
    refused_in_part(demo)?;
    overdue(demo)?;
    table(demo)
}

fn answered(demo: &mut Demo) -> Result<()> {
    let request = ask(demo, RU, VN, Some("life-or-limb"))?;
    let (asking, asked) = both(demo, RU, VN, &request, "received")?;
    let length = asked["clock"]["due_ms"].as_u64().zip(asked["clock"]["start_ms"].as_u64());
    let hours = length.is_some_and(|(due, start)| due.checked_sub(start) == Some(EIGHT_HOURS_MS));
    let same = hours && asking["clock"] == asked["clock"];
    demo.report.check(
        format!("{RU} asks {VN} urgently: eight hours, the same clock on both sides"),
        same,
        &asking["clock"],
    );
    demo.node(VN).cli(&["request", "route", &request, "--to", "EXERCISE night desk"])?;
    demo.node(VN).cli(&["request", "clarify", &request, "EXERCISE: which of the two numbers?"])?;
    let (asking, _) = both(demo, RU, VN, &request, "clarification")?;
    let stands = asking["clock"]["still_since_ms"].is_u64();
    demo.report.check("the clock stands still while a question is open", stands, &asking["clock"]);
    demo.node(RU).cli(&["request", "reply-clarification", &request, "EXERCISE: the first"])?;
    both(demo, RU, VN, &request, "routed")?;
    demo.node(VN).cli(&["request", "answer", &request, "--text", "EXERCISE: it belongs to a crewing agency"])?;
    let (asking, asked) = both(demo, RU, VN, &request, "answered")?;
    let held =
        asking["clock"] == asked["clock"] && asking["steps"] == asked["steps"] && asking["clock"]["late"] == false;
    demo.report.check("answered in time, with the same steps on both sides", held, &asking["clock"]);
    demo.node(VN).cli(&["request", "permit-evidence", &request, "EXERCISE: in the case of the thread"])?;
    let allowed = wait(demo, RU, &request, |body| body["evidence"] == true)?;
    demo.report.check("it may be used as evidence, as was said later", true, &allowed["evidence"]);
    demo.node(RU).cli(&["request", "close", &request])?;
    both(demo, RU, VN, &request, "closed").map(drop)
}

fn refused_in_part(demo: &mut Demo) -> Result<()> {
    let request = ask(demo, ID, RU, None)?;
    both(demo, ID, RU, &request, "received")?;
    let refuse = ["--refuse", "the crew list", "f", "EXERCISE: an investigation"];
    let arguments = ["request", "answer", &request, "--text", "EXERCISE: the owner is known"];
    demo.node(RU).cli(&[&arguments[..], &refuse].concat())?;
    let (asking, _) = both(demo, ID, RU, &request, "answered-in-part")?;
    demo.report.check(
        format!("{RU} refuses {ID} a part, on ground f"),
        asking["grounds"] == json!(["security"]),
        &asking["grounds"],
    );
    Ok(())
}

fn overdue(demo: &mut Demo) -> Result<()> {
    demo.stop(SG)?;
    demo.community.node_mut(SG).set("MUFAKAT_DESK__TIME_ZONE", "Asia/Singapore");
    demo.community.node_mut(SG).set("MUFAKAT_DESK__ANSWER_WITHIN_S", PROMISE_S);
    demo.start(SG)?;
    let request = ask(demo, HUB, SG, None)?;
    both(demo, HUB, SG, &request, "received")?;
    let told = |level: &'static str| {
        move |body: &Value| body["escalated"].as_array().is_some_and(|all| all.iter().any(|one| one["level"] == level))
    };
    wait(demo, SG, &request, told("deputy"))?;
    let late = wait(demo, SG, &request, told("supervisor"))?;
    let once = late["escalated"].as_array().is_some_and(|all| all.len() == 2);
    demo.report.check(
        format!("{SG} promised {PROMISE_S} s and is late: deputy and supervisor are told"),
        once,
        &late["escalated"],
    );
    demo.stop(SG)?;
    demo.start(SG)?;
    demo.node(SG).cli(&["request", "answer", &request, "--text", "EXERCISE: too late"])?;
    let (asking, asked) = both(demo, HUB, SG, &request, "answered")?;
    let held = asking["clock"]["late"] == true && asked["escalated"] == late["escalated"];
    demo.report.check(
        "a restart tells nobody twice, and the answer counts as late on both sides",
        held,
        &asking["clock"],
    );
    Ok(())
}

fn table(demo: &mut Demo) -> Result<()> {
    let page = demo.node(RU).cli(&["request", "list", "--limit", "1"])?;
    let year = year(page["rows"][0]["time_ms"].as_u64().context("no time")?).to_string();
    let table = demo.node(RU).cli(&["table", "requests", "--year", &year])?;
    let count = |side: &str, measure: &str| {
        let rows = table["rows"].as_array().into_iter().flatten();
        let rows = rows.filter(|row| row["side"] == side && row["measure"] == measure);
        rows.filter_map(|row| row["count"].as_u64()).sum::<u64>()
    };
    let counts = [
        count("asking", "requests"),
        count("asking", "answered"),
        count("asked", "requests"),
        count("asked", "refused"),
    ];
    demo.report.check(
        format!("{RU}'s table of {year}: made 1, answered 1, received 1, refused 1 in part"),
        counts == [1; 4],
        format!("{counts:?}"),
    );
    Ok(())
}

/// Asks, and gives the request's id.
fn ask(demo: &Demo, from: &str, to: &str, urgency: Option<&str>) -> Result<String> {
    let file = demo.file("request.json");
    let mut request = json!({
        "title": "EXERCISE: whose number", "text": "EXERCISE: who holds the number +62 21 5500 0000",
        "offence": "EXERCISE: armed robbery at sea", "purpose": "EXERCISE: to find the crew",
        "link": "EXERCISE: the number called the vessel", "necessity": "EXERCISE: there is no other source",
        "holding": "EXERCISE: it is on a registry there", "language": "en", "legal_basis": "EXERCISE: treaty",
    });
    if let Some(reason) = urgency {
        request["urgency"] = json!({ "reason": reason, "directly_accessible": true });
    }
    fs::write(&file, request.to_string())?;
    let answer = demo.node(from).cli(&["request", "ask", "--to", to, &file])?;
    Ok(answer["records"][0]["id"].as_str().context("no request")?.to_owned())
}

/// Waits until the row of a request at an agency is as wanted.
fn wait(demo: &Demo, agency: &str, request: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let page =
        demo.node(agency).wait("a request", &["request", "show", request], |page| wanted(&page["rows"][0]["body"]))?;
    Ok(page["rows"][0]["body"].clone())
}

/// Waits until both sides show a request in a state.
fn both(demo: &Demo, asking: &str, asked: &str, request: &str, state: &str) -> Result<(Value, Value)> {
    let is = |body: &Value| body["state"] == state;
    Ok((wait(demo, asking, request, is)?, wait(demo, asked, request, is)?))
}

/// The calendar year of an instant, UTC.
fn year(at_ms: u64) -> u64 {
    let (mut days, mut year) = (at_ms / 86_400_000, 1970);
    loop {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = if leap { 366 } else { 365 };
        if days < length {
            return year;
        }
        (days, year) = (days - length, year + 1);
    }
}
