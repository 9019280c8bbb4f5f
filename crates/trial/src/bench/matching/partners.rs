//! One question to many partners: real nodes, from handing it in until the last partner's row says hit or miss.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Sizes, passport};
use crate::bench::{Figures, crypto, load, percentile};
use crate::community::{Agency, Community, binary};

/// Who asks.
const ASKER: &str = "vn-police";
/// How many identifiers each holder lists.
const LISTED: usize = 1_000;
/// How many questions are measured; the middle one counts. One more before them finds connections and filters.
const ASKS: usize = 5;
/// How long anything may take.
const WAIT_MAX: Duration = Duration::from_secs(180);
/// How often is looked whether it is done.
const LOOK: Duration = Duration::from_millis(10);
/// How long nodes rest before they are asked.
const REST: Duration = Duration::from_secs(3);

/// Measures in a community that is founded for it.
pub(super) fn measure(figures: &Figures, sizes: Sizes) -> Result<()> {
    if !figures.wants(&["matching.thirty_partners"]) {
        return Ok(());
    }
    let runtime = tokio::runtime::Runtime::new()?;
    figures.say(&format!("{} nodes, of which one asks", sizes.partners + 1));
    let holders: Vec<&'static str> = (1..=sizes.partners).map(|number| &*format!("aa-{number}").leak()).collect();
    let agency = |id| Agency { id, party: id, name: "EXERCISE agency", party_name: "EXERCISE party", relay: false };
    let agencies: Vec<_> = std::iter::once(ASKER).chain(holders.iter().copied()).map(agency).collect();
    let root = tempfile::tempdir()?;
    let community = Community::founded(&binary()?, root.path(), &agencies, 3600)?;
    figures.say("lists, budgets and filters");
    runtime.block_on(lists(&community, &holders))?;
    std::thread::sleep(REST);
    figures.say("questions");
    let asker = community.node(ASKER).socket();
    let first_s = runtime.block_on(ask(&asker, &holders, 0))?;
    let used = |ids: &[&str]| ids.iter().map(|id| community.node(id).processor_s()).sum::<Result<f64>>();
    let before = (used(&[ASKER])?, used(&holders)?);
    let mut taken = Vec::new();
    for number in 1..=ASKS {
        std::thread::sleep(REST / 3);
        taken.push(runtime.block_on(ask(&asker, &holders, number))?);
    }
    let each_ms = 1e3 / ASKS as f64;
    let (asker_ms, holders_ms) = ((used(&[ASKER])? - before.0) * each_ms, (used(&holders)? - before.1) * each_ms);
    let note = format!("{} partners; the first question, which finds the connections, {first_s:.3} s", holders.len());
    figures.put_noted("matching.thirty_partners_s", percentile(&mut taken, 0.5), "s", &note);
    figures.put("matching.thirty_partners_asker_cpu_ms", asker_ms, "ms");
    figures.put("matching.thirty_partners_holders_cpu_ms", holders_ms, "ms");
    figures.put("machine.sync_ms", crypto::durable_write_ms(64)?, "ms");
    // A question and its answer for each partner.
    let bare_ms = crypto::record_s()? * 2e3 * holders.len() as f64;
    figures.put_noted("machine.thirty_partners_records_ms", bare_ms, "ms", "the bare cryptography of the records");
    Ok(())
}

/// Each holder lists identifiers of its own, of which the asked ones are at every second holder, and the asker gets its filters.
async fn lists(community: &Community, holders: &[&str]) -> Result<()> {
    for (place, holder) in holders.iter().enumerate() {
        let socket = community.node(holder).socket();
        let shared = if place % 2 == 0 { 0..ASKS + 1 } else { 0..0 };
        let own = (place + 1) * LISTED..;
        let numbers = shared.chain(own).take(LISTED);
        let lines: String = numbers
            .map(|number| {
                json!({"subject": "passport", "value": passport(number), "category": "stolen"}).to_string() + "\n"
            })
            .collect();
        let taken = load::post(&socket, "/api/v1/matching/entries", "application/x-ndjson", lines).await?;
        ensure!(taken["new"] == LISTED, "the list was taken in as {taken}");
        let budget = json!({"partner": ASKER}).to_string();
        load::post(&socket, "/api/v1/matching/budgets", "application/json", budget).await?;
    }
    let asker = community.node(ASKER).socket();
    let started = Instant::now();
    loop {
        let page = load::get(&asker, "/api/v1/views/matching?facet=row:key&facet=side:got&limit=100").await?;
        let rows = page["rows"].as_array().context("no rows")?;
        let told = |row: &&Value| row["body"]["filters"].as_array().is_some_and(|filters| !filters.is_empty());
        let told = rows.iter().filter(told).count();
        if told == holders.len() {
            return Ok(());
        }
        ensure!(started.elapsed() < WAIT_MAX, "{told} of {} filters have come", holders.len());
        tokio::time::sleep(LOOK * 20).await;
    }
}

/// Seconds from handing a question in until every row says hit or miss, and rightly so.
async fn ask(asker: &Path, holders: &[&str], number: usize) -> Result<f64> {
    let envelope = json!({
        "to": holders,
        "items": [{"subject": "passport", "value": passport(number)}],
        "purpose": "criminal-investigation",
        "case": format!("EXERCISE {number}"),
        "basis": "EXERCISE: article 4",
    });
    let started = Instant::now();
    let asked = load::post(asker, "/api/v1/matching/asks", "application/json", envelope.to_string()).await?;
    ensure!(asked["questions"] == holders.len(), "not everybody was asked: {asked}");
    let id = asked["id"].as_str().context("no id")?;
    // Whoever looks at an ask itself leaves a note in the ledger, so that is done once, at the end.
    let page = format!("/api/v1/views/matching?facet=row:question&facet=ask:{id}&limit=100");
    loop {
        let rows = load::get(asker, &page).await?;
        let rows = rows["rows"].as_array().context("no rows")?;
        let states = rows.iter().map(|row| row["body"]["state"].as_str().unwrap_or_default());
        let states: Vec<_> = states.collect();
        if states.iter().all(|state| ["hit", "miss"].contains(state)) {
            break;
        }
        ensure!(started.elapsed() < WAIT_MAX, "not everybody answered: {states:?}");
        tokio::time::sleep(LOOK).await;
    }
    let shown = load::get(asker, &format!("/api/v1/matching/asks/{id}")).await?;
    let took_s = started.elapsed().as_secs_f64();
    let questions = shown["questions"].as_array().context("no questions")?;
    let of = |state: &str| -> BTreeSet<&str> {
        questions.iter().filter(|row| row["state"] == state).filter_map(|row| row["partner"].as_str()).collect()
    };
    let every_second = |from: usize| holders.iter().copied().skip(from).step_by(2).collect();
    ensure!(of("hit") == every_second(0) && of("miss") == every_second(1), "the rows do not say what is listed");
    Ok(took_s)
}
