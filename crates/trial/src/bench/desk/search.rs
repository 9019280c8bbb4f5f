//! Searching a long history: how fast the index follows the ledger, and how long an answer takes.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::super::{Figures, load, percentile};

/// How long the index may take to list everything.
const LISTED_MAX: Duration = Duration::from_secs(1200);
/// How many questions are asked.
const SEARCHES: usize = 3_000;
/// Words with filters, as officers ask them: frequent words in each language and rare ones, phrases, beginnings of words, who, what,
/// when and where. `{n}` becomes a number that one report has.
const QUESTIONS: [&str; 16] = [
    "q=cuop+bien",
    "q=c%C6%B0%E1%BB%9Bp+c%C3%B3+v%C5%A9+trang&tlp=AMBER",
    "q=%E0%B8%9B%E0%B8%A5%E0%B9%89%E0%B8%99",
    "q=%D0%BD%D0%B0%D0%BF%D0%B0%D0%B4%D0%B5%D0%BD%D0%B8%D1%8E&author=ru-police&kind=report",
    "q=%E6%AD%A6%E8%A3%85%E6%8A%A2%E5%8A%AB&tlp=GREEN&tlp=CLEAR",
    "q=%D8%B3%D9%81%D9%8A%D9%86%D8%A9&from=1700000000&until=4000000000",
    "q=kapal+perompak&kind=report",
    "q=%22armed+robbers%22&near=5.5,103.5,50000",
    "q=fish*&box=0,100,10,110",
    "q={n}",
    "q=vessel+{n}&author=ru-police",
    "q=kapal+{n}&tlp=AMBER",
    "q=robbers&code=H2&kind=report&author=vn-police",
    "box=5,103,6,104&kind=report",
    "q=islands+kapal",
    "q=robber*&near=1.3,103.8,200000&code=H1",
];

/// Measures at a node that has just started, whose index is yet to be made.
pub(super) async fn measure(figures: &Figures, socket: &Path, records: u64) -> Result<()> {
    figures.say("every record is listed for searching");
    let started = Instant::now();
    while load::get(socket, "/api/v1/search?q=nothing&limit=1").await?["complete"] != true {
        ensure!(started.elapsed() < LISTED_MAX, "the index does not get complete");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    figures.put("search.listed_records_per_s", records as f64 / started.elapsed().as_secs_f64(), "records/s");
    figures.say("searches");
    let mut taken = Vec::with_capacity(SEARCHES);
    let mut slowest = vec![0_f64; QUESTIONS.len()];
    let mut found = 0;
    for number in 0..SEARCHES {
        let which = number % QUESTIONS.len();
        let rare = (number as u64).wrapping_mul(7919) % records;
        let question = QUESTIONS[which].replace("{n}", &rare.to_string());
        let started = Instant::now();
        let page = load::get(socket, &format!("/api/v1/search?{question}")).await?;
        let ms = started.elapsed().as_secs_f64() * 1e3;
        slowest[which] = slowest[which].max(ms);
        taken.push(ms);
        found += usize::from(page["hits"].as_array().is_some_and(|hits| !hits.is_empty()));
    }
    // Searches that find nothing would say little.
    ensure!(found > SEARCHES / 2, "only {found} of {SEARCHES} searches found anything");
    let worst = (0..QUESTIONS.len()).max_by(|a, b| slowest[*a].total_cmp(&slowest[*b])).unwrap_or_default();
    figures.say(&format!("the slowest was {} with {:.1} ms", QUESTIONS[worst], slowest[worst]));
    figures.put("desk.search_ms_p50", percentile(&mut taken, 0.5), "ms");
    figures.put("desk.search_ms_p99", percentile(&mut taken, 0.99), "ms");
    Ok(())
}
