//! Step 11: a record for the eyes of one officer. Everybody else at the desk asks everything that can be asked, and nothing that
//! they get, nor any log, metric, stream or file of another agency, has a word of it. The named officer finds it in each place.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use http::Method;
use mufakat_node::net::local_client::{self, Node as Desk};
use mufakat_node::net::web::Web;
use mufakat_record::Role;
use serde_json::{Value, json};

use super::comply::found;
use super::marker::Marker;
use super::{Demo, HUB, ID, RU, SG, VN};
use crate::community::{self, free_port};

/// For whose eyes it is.
const NAMED: &str = "d3-night";
/// Those who oversee, among the others at the same agency, one for each role: they know of every act, and so of ids, and never of content.
const OVERSEES: &str = "auditor";
/// The views of a node.
const VIEWS: [&str; 14] = [
    "matching",
    "inbox",
    "track",
    "refused",
    "requests",
    "drafts",
    "retention",
    "holds",
    "uses",
    "used-by",
    "searches",
    "officers",
    "policies",
    "sign-ins",
];
/// A record that nobody has.
const NOBODYS: &str = "abababababababababababababababababababababababababababababababab";
/// How long an answer may take; a stream of events has none other than to go on.
const ANSWER_MAX: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How long to rest before an answer that is being made is asked for again.
const MAKING_PAUSE: Duration = Duration::from_millis(200);
/// Of how many of the newest leaves it is asked what was done.
const LEAVES: u64 = 40;

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    let stage = Stage::open(demo)?;
    let streams: Vec<Stream> = stage.officers.iter().map(|officer| Stream::begin(demo, officer)).collect();
    let canary = share(demo, &stage)?;
    let paths = stage.paths(demo, &canary)?;
    named(demo, &stage, &canary, &streams)?;
    others(demo, &stage, &canary, &paths)?;
    uniform(demo, &stage, &canary)?;
    passive(demo, &stage, &canary, &streams)
}

/// An officer with a token.
struct Officer {
    name: String,
    desk: Desk,
}

/// The desk and who works at it: the named officer first.
struct Stage {
    marker: Marker,
    officers: Vec<Officer>,
}

/// The record, its attachment, and a record that everybody may read.
struct Canary {
    record: String,
    attachment: String,
    common: String,
    phone: String,
}

/// What one request brought: the status, and everything else as it came.
struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Stage {
    /// Opens the desk of the agency, and grants each officer a role and a token.
    fn open(demo: &mut Demo) -> Result<Self> {
        let port = free_port()?;
        demo.stop(RU)?;
        let node = demo.community.node_mut(RU);
        node.set("MUFAKAT_DESK__LISTEN", &format!("127.0.0.1:{port}"));
        node.set("MUFAKAT_DESK__ORIGIN", &format!("http://localhost:{port}"));
        // They ask more at once than officers do.
        node.set("MUFAKAT_LIMITS__OFFICER_REQUESTS_PER_S", "10000");
        node.set("MUFAKAT_LIMITS__OFFICER_BURST", "10000");
        demo.start(RU)?;
        let mut officers = Vec::new();
        for (name, roles) in std::iter::once((NAMED, &["analyst", "duty-officer"][..]))
            .chain(Role::ALL.iter().map(|(_, role)| (*role, std::slice::from_ref(role))))
        {
            let mut arguments = vec!["officer", "invite", name, "--name", "EXERCISE", "--clearance", "RED"];
            arguments.extend(roles.iter().flat_map(|role| ["--role", *role]));
            demo.node(RU).cli(&arguments)?;
            let create = ["token", "create", "--officer", name, "--label", "EXERCISE", "--valid", "1d"];
            let token = demo.node(RU).cli(&create)?["token"].as_str().context("no token")?.to_owned();
            let url = url::Url::parse(&format!("http://127.0.0.1:{port}"))?;
            officers.push(Officer { name: name.to_owned(), desk: Desk::Desk { url, web: Web::plain(), token } });
        }
        let stage = Self { marker: Marker::new(), officers };
        for officer in &stage.officers {
            // Each waits for the very word; it must ring for one of them alone.
            let search = json!({ "name": "EXERCISE", "question": format!("q={}", stage.marker.text()) });
            let saved = post(demo, officer, "/api/v1/searches", &search)?;
            ensure!(saved.status == 201, "{} cannot save a search: {}", officer.name, saved.status);
        }
        Ok(stage)
    }

    /// Every GET operation that the node describes, with what can be put into it.
    fn paths(&self, demo: &Demo, canary: &Canary) -> Result<Vec<String>> {
        let described =
            demo.runtime.block_on(fetch(&self.officers[0].desk, Method::GET, "/api/v1/openapi.json", None))?;
        let described: Value = serde_json::from_slice(&described.body)?;
        let templates = described["paths"].as_object().context("no paths")?;
        let mut paths = Vec::new();
        for template in templates.iter().filter(|(_, item)| item["get"].is_object()).map(|(path, _)| path.as_str()) {
            paths.extend(self.filled(demo, template, canary)?);
        }
        Ok(paths)
    }

    fn filled(&self, demo: &Demo, template: &str, canary: &Canary) -> Result<Vec<String>> {
        let marker = self.marker.text();
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let year = 1970 + now_ms / 31_556_952_000;
        let with = |values: &[&str]| -> Vec<String> {
            let (before, rest) = template.split_once('{').unwrap_or((template, ""));
            let after = rest.split_once('}').map_or("", |(_, after)| after);
            // What stands behind the id is a place in what it names.
            let after = after.split_once('{').map_or(after.to_owned(), |(between, _)| format!("{between}0"));
            values.iter().map(|value| format!("{before}{value}{after}")).collect()
        };
        Ok(match template {
            // It goes on, and is listened to all the time.
            "/api/v1/events" => Vec::new(),
            "/api/v1/search" => {
                let questions = [marker, &marker[..16], &format!("{}*", &marker[..6]), "EXERCISE", "canary"];
                let mut paths: Vec<String> = questions.iter().map(|q| format!("{template}?q={q}&limit=200")).collect();
                paths.push(format!("{template}?about={}", canary.record));
                paths.push(format!("{template}?kind=attachment&author={VN}&limit=200"));
                paths
            }
            "/api/v1/replay" => VIEWS.map(|view| format!("{template}?view={view}&at={now_ms}&limit=500")).to_vec(),
            "/api/v1/tables/requests" => vec![format!("{template}?year={year}")],
            path if path.contains("{view}") => {
                let more = ["?limit=500", "?limit=500&order=oldest"];
                VIEWS.iter().flat_map(|view| more.map(|more| format!("/api/v1/views/{view}{more}"))).collect()
            }
            path if path.contains("{officer}") => with(&[NAMED, Role::DutyOfficer.name()]),
            path if path.contains("{leaf}") => {
                let size = demo.node(RU).cli(&["status"])?["leaves"].as_u64().context("no leaves")?;
                let leaves: Vec<String> = (size.saturating_sub(LEAVES)..size).map(|leaf| leaf.to_string()).collect();
                with(&leaves.iter().map(String::as_str).collect::<Vec<_>>())
            }
            path if path.contains("{handle}") => with(&["0", "1"]),
            path if path.contains("/disclosure") => {
                let asked = with(&[&canary.record, NOBODYS]);
                asked.iter().map(|path| format!("{path}?order=EXERCISE")).collect()
            }
            path if path.contains("{id}") => with(&[&canary.record, &canary.attachment, &canary.common, NOBODYS]),
            path if path.contains('{') => {
                anyhow::bail!("{path} has something that this check does not know how to fill in")
            }
            path => vec![path.to_owned()],
        })
    }

    fn is_hit(&self, answer: &Answer) -> bool {
        self.marker.count_in(answer.headers.as_bytes()) + self.marker.count_in(&answer.body) > 0
    }
}

/// The record with the mark in each place that words can stand in, and one that everybody may read.
fn share(demo: &mut Demo, stage: &Stage) -> Result<Canary> {
    let marker = stage.marker.text();
    let common = demo.share(VN, &[RU], "EXERCISE for everybody at the desk", "EXERCISE", &["--tlp", "GREEN"])?;
    let file = demo.file(&format!("EXERCISE-{marker}.txt"));
    fs::write(&file, format!("EXERCISE canary {marker}"))?;
    let digits: String = marker.bytes().map(|byte| char::from(b'0' + byte % 10)).take(8).collect();
    let phone = format!("+8424{digits}");
    let text = format!("EXERCISE canary {marker}, call {phone}");
    let eyes = format!("{RU}/{NAMED}");
    let caveat = format!("EXERCISE {marker}");
    let handling = ["--eyes", &eyes, "--code", "H3", "--caveat", &caveat, "--attach", &file];
    let record = demo.share(VN, &[RU], &format!("EXERCISE canary {marker}"), &text, &handling)?;
    demo.node(VN).cli(&["track", &record, "--wait", "--timeout", "60s"])?;
    let shown = demo.node(VN).cli(&["show", &record])?;
    let references = shown["references"].as_array().context("no references")?;
    let attached = references.iter().find(|reference| reference["relation"] == "attaches");
    let attachment = attached.and_then(|one| one["record"].as_str()).context("no attachment")?.to_owned();
    Ok(Canary { record, attachment, common, phone })
}

/// The one for whose eyes it is finds it in every place that is searched at the others.
fn named(demo: &mut Demo, stage: &Stage, canary: &Canary, streams: &[Stream]) -> Result<()> {
    let named = &stage.officers[0];
    let (record, attachment, marker) = (&canary.record, &canary.attachment, stage.marker.text());
    let places = [
        format!("/api/v1/records/{record}"),
        format!("/api/v1/records/{record}/raw"),
        format!("/api/v1/records/{record}/evidence"),
        format!("/api/v1/records/{attachment}/content"),
        "/api/v1/views/inbox?limit=500".to_owned(),
        format!("/api/v1/search?q={marker}"),
        format!("/api/v1/search?q={}*", &marker[..6]),
    ];
    for place in &places {
        community::until(place, || {
            let answer = demo.runtime.block_on(fetch(&named.desk, Method::GET, place, None))?;
            ensure!(answer.status == 200 && stage.is_hit(&answer), "{}", answer.status);
            Ok(())
        })?;
    }
    community::until("the alert", || {
        let listed = demo.runtime.block_on(fetch(&named.desk, Method::GET, "/api/v1/searches", None))?;
        let listed: Value = serde_json::from_slice(&listed.body)?;
        ensure!(listed["searches"][0]["alerts"].as_u64() >= Some(1), "{listed}");
        Ok(())
    })?;
    let streamed = community::until("the event", || {
        let seen = streams[0].seen();
        ensure!(seen.contains(record.as_str()), "not yet");
        Ok(true)
    })?;
    let what =
        format!("{NAMED} of {RU} finds it: {} ways, a saved search that rings, and the stream of events", places.len());
    demo.report.check(what, streamed, "");
    Ok(())
}

/// Nobody else gets a word of it, whatever is asked.
fn others(demo: &mut Demo, stage: &Stage, canary: &Canary, paths: &[String]) -> Result<()> {
    let mut hits = Vec::new();
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    let (mut requests, mut bytes) = (0, 0);
    let subject = json!({ "type": "phone", "value": canary.phone });
    let question = json!({ "to": [ID], "tlp": "AMBER", "about": [canary.record], "body": { "title": "EXERCISE" } });
    for officer in &stage.officers[1..] {
        let mut answers = Vec::new();
        for path in paths {
            answers.push((path.clone(), demo.runtime.block_on(fetch(&officer.desk, Method::GET, path, None))?));
        }
        // What is asked with a body and changes nothing, but for a note of it.
        for (path, body) in
            [("/api/v1/subject-file", &subject), ("/api/v1/preview", &question), ("/api/v1/records", &question)]
        {
            answers.push((format!("{path} {body}"), post(demo, officer, path, body)?));
        }
        for (asked, answer) in answers {
            requests += 1;
            bytes += answer.headers.len() + answer.body.len();
            // Nobody comes back from an identity provider.
            if !asked.ends_with("/oidc/callback") {
                *statuses.entry(answer.status).or_default() += 1;
            }
            // An id that one has named oneself comes back in the refusal.
            let mut ids = [&canary.record, &canary.attachment].into_iter();
            let told = ids.any(|id| contains(&answer.body, id.as_bytes()) && !asked.contains(id.as_str()));
            if (stage.is_hit(&answer) && !own_words(&answer, stage, &asked)) || (told && officer.name != OVERSEES) {
                hits.push(format!("{} {asked}: {}", officer.name, answer.status));
            }
        }
    }
    let answered = statuses.get(&200).copied().unwrap_or_default();
    let kilobytes = bytes / 1_000;
    let what = format!(
        "{} others ask {requests} times, all GET operations among it: of {kilobytes} kB no word is its own, and no id",
        Role::ALL.len()
    );
    let all = answered > 0 && !statuses.keys().any(|status| *status >= 500 || *status == 401);
    demo.report.check(what, hits.is_empty() && all, format!("{statuses:?}; {}", hits.join("; ")));
    demo.report.figure("asked by others", requests as f64, "requests");
    Ok(())
}

/// Whether all that is found of the mark is what the asking officer said: the question of the officer's own saved search.
fn own_words(answer: &Answer, stage: &Stage, asked: &str) -> bool {
    let saves = asked.contains("searches");
    let question = format!("q={}", stage.marker.text());
    let body = String::from_utf8_lossy(&answer.body).replace(&question, "");
    saves && stage.marker.count_in(body.as_bytes()) + stage.marker.count_in(answer.headers.as_bytes()) == 0
}

/// "It is not for you" and "there is no such thing" are one answer.
fn uniform(demo: &mut Demo, stage: &Stage, canary: &Canary) -> Result<()> {
    let mut differ = Vec::new();
    let mut compared = 0;
    for officer in &stage.officers[1..] {
        for part in ["", "/raw", "/content", "/evidence", "/proof", "/track"] {
            for id in [&canary.record, &canary.attachment] {
                let of = async |id: &str| {
                    fetch(&officer.desk, Method::GET, &format!("/api/v1/records/{id}{part}"), None).await
                };
                // What a role may not ask at all is refused alike, too.
                let (held, absent) = demo.runtime.block_on(async { tokio::try_join!(of(id), of(NOBODYS)) })?;
                let plain = |answer: &Answer| String::from_utf8_lossy(&answer.body).replace(id.as_str(), NOBODYS);
                compared += 1;
                if (held.status, plain(&held), &held.headers) != (absent.status, plain(&absent), &absent.headers) {
                    differ.push(format!("{} {part} {} {}", officer.name, held.status, plain(&held)));
                }
            }
        }
    }
    let what = format!(
        "asked for by its id, it is as absent as one that nobody has: {compared} pairs of answers are the same"
    );
    demo.report.check(what, differ.is_empty() && compared > 0, differ.join("; "));
    Ok(())
}

/// Logs, metrics, streams, and the files of other agencies.
fn passive(demo: &mut Demo, stage: &Stage, canary: &Canary, streams: &[Stream]) -> Result<()> {
    let mut heard = Vec::new();
    for (officer, stream) in stage.officers.iter().zip(streams).skip(1) {
        let seen = stream.seen();
        let named = seen.contains(&canary.record) && officer.name != OVERSEES;
        if stage.marker.count_in(seen.as_bytes()) > 0 || named {
            heard.push(officer.name.clone());
        }
    }
    let what = format!("nor was it in the {} streams of events that they had open meanwhile", streams.len() - 1);
    // Their streams work: whoever may read the record for everybody has heard of it.
    let (mut hear, mut deaf) = (0, 0);
    for (officer, stream) in stage.officers.iter().zip(streams) {
        let path = format!("/api/v1/records/{}", canary.common);
        let may = demo.runtime.block_on(fetch(&officer.desk, Method::GET, &path, None))?.status == 200;
        let hears = stream.seen().contains(&canary.common);
        hear += usize::from(may && hears);
        deaf += usize::from(may && !hears);
    }
    demo.report.check(
        what,
        heard.is_empty() && deaf == 0 && hear > 2,
        format!("{}; {deaf} heard nothing", heard.join(", ")),
    );
    let up = [VN, RU, ID, HUB];
    let (mut logs, mut metrics) = (0, 0);
    for agency in up {
        let node = demo.node(agency);
        logs += stage.marker.count_in_files(&node.log_file())?.times;
        let desk = Desk::Desk {
            url: url::Url::parse(&format!("http://127.0.0.1:{}", node.ops_port))?,
            web: Web::plain(),
            token: "none".to_owned(),
        };
        let told = demo.runtime.block_on(fetch(&desk, Method::GET, "/metrics", None))?;
        ensure!(told.status == 200 && told.body.starts_with(b"#"), "{agency} has no metrics");
        let ids = [&canary.record, &canary.attachment].iter().any(|id| contains(&told.body, id.as_bytes()));
        metrics += stage.marker.count_in(&told.body) + usize::from(ids);
    }
    let what = format!("nor in the logs and metrics of {} agencies", up.len());
    demo.report.check(what, (logs, metrics) == (0, 0), format!("{logs} in logs, {metrics} in metrics"));
    let elsewhere = [ID, HUB, SG].map(|agency| found(demo, agency, &stage.marker));
    let elsewhere: usize = elsewhere.into_iter().collect::<Result<Vec<_>>>()?.into_iter().sum();
    let home = [VN, RU].map(|agency| found(demo, agency, &stage.marker));
    let home = home.into_iter().collect::<Result<Vec<_>>>()?;
    let what = "nor in any file of another agency; the files of its author and its recipient hold it, of course";
    demo.report.check(what, elsewhere == 0 && home.iter().all(|times| *times > 0), format!("{elsewhere}, {home:?}"));
    Ok(())
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn post(demo: &Demo, officer: &Officer, path: &str, body: &Value) -> Result<Answer> {
    demo.runtime.block_on(fetch(&officer.desk, Method::POST, path, Some(body)))
}

/// Asks, and asks again while the answer is being made.
async fn fetch(desk: &Desk, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
    let asked = async {
        loop {
            let (form, bytes) = match body {
                Some(body) => (Some("application/json"), Body::from(body.to_string())),
                None => (None, Body::empty()),
            };
            let answer = local_client::ask(desk, method.clone(), path, form, bytes).await?;
            let status = answer.status.as_u16();
            if status == 202 {
                tokio::time::sleep(MAKING_PAUSE).await;
                continue;
            }
            // The clock and the measure of the officer differ from one answer to the next.
            let kept = answer.headers.iter().filter(|(name, _)| !matches!(name.as_str(), "date" | "ratelimit"));
            let headers = kept.map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
            let headers = headers.collect();
            let body = answer.bytes(ANSWER_BYTES_MAX).await?.to_vec();
            return Ok(Answer { status, headers, body });
        }
    };
    tokio::time::timeout(ANSWER_MAX, asked).await.with_context(|| format!("{path} takes too long"))?
}

/// A stream of events that somebody has open.
struct Stream(Arc<Mutex<Vec<u8>>>);

impl Stream {
    fn begin(demo: &Demo, officer: &Officer) -> Self {
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let (kept, desk) = (Arc::clone(&seen), officer.desk.clone());
        demo.runtime.spawn(async move {
            let stream = local_client::ask(&desk, Method::GET, "/api/v1/events", None, Body::empty()).await;
            let Ok(mut stream) = stream else { return };
            while let Ok(Some(chunk)) = stream.chunk().await {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk);
            }
        });
        Self(seen)
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}
