//! Envelopes: a report with its audience and handling, as the node takes it.

use mufakat_record::{AgencyId, Code, Eyes, Tlp, sha256};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::args::HandlingArgs;
use crate::failure::{refused, usage};
use crate::when::{Edge, parse_time};

/// What the options of the command line say about every report that they apply to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Handling {
    to: Vec<AgencyId>,
    tlp: Tlp,
    codes: Vec<Code>,
    purposes: Vec<String>,
    orcon: bool,
    caveat: Option<String>,
    eyes: Vec<Eyes>,
    review: Option<u64>,
    expires: Option<u64>,
    hidden_audience: bool,
    thread: Option<String>,
    about: Vec<String>,
}

/// One envelope.
#[derive(Debug, Serialize)]
pub(crate) struct Envelope<'a> {
    #[serde(flatten)]
    handling: &'a Handling,
    attachments: &'a [String],
    key: Option<&'a str>,
    body: &'a Value,
}

impl Handling {
    /// From the names of the audience and the options; `about` holds the whole ids of the records that the options name.
    pub(crate) fn new(to: &[AgencyId], args: &HandlingArgs, about: Vec<String>, now_s: u64) -> Self {
        Self {
            to: to.to_vec(),
            tlp: args.tlp,
            codes: args.code.clone(),
            purposes: args.purpose.clone(),
            orcon: args.orcon,
            caveat: args.caveat.clone(),
            eyes: args.eyes.clone(),
            review: args.review.map(|review| review.at(now_s)),
            expires: args.expires.map(|expiry| expiry.at(now_s)),
            hidden_audience: args.hidden_audience,
            thread: args.thread.map(|thread| thread.to_string()),
            about,
        }
    }

    /// The envelope of one report.
    pub(crate) fn envelope<'a>(
        &'a self,
        body: &'a Value,
        attachments: &'a [String],
        key: Option<&'a str>,
    ) -> Envelope<'a> {
        Envelope { handling: self, attachments, key, body }
    }
}

/// The report in a text, or in the JSON object of one.
pub(crate) fn report(input: &str, title: Option<&str>) -> anyhow::Result<Value> {
    let input = input.trim_start_matches('\u{feff}').trim();
    if input.starts_with('{') {
        let mut report: Value = serde_json::from_str(input)
            .map_err(|error| refused("malformed", format!("the report is not JSON: {error}")))?;
        if report.get("body").is_some() {
            return Err(usage("this is an envelope, which only --ndjson takes; give the report alone"));
        }
        if let Some(title) = title {
            report["title"] = title.into();
        }
        in_units(&mut report)?;
        return Ok(report);
    }
    let (title, text) = match title {
        Some(title) => (title, input),
        None => input.split_once('\n').map_or((input, ""), |(first, rest)| (first.trim(), rest.trim())),
    };
    if title.trim().is_empty() {
        return Err(refused("malformed", "the report has no title"));
    }
    Ok(serde_json::json!({ "title": title, "text": text }))
}

/// Turns times and places as people write them into the units of a report: seconds since 1970, and 10⁻⁷ degrees.
fn in_units(report: &mut Value) -> anyhow::Result<()> {
    let malformed = |what: &str| refused("malformed", format!("`{what}"));
    if let Some(time) = report.get_mut("time").and_then(Value::as_object_mut) {
        for (name, edge) in [("from", Edge::Start), ("until", Edge::End)] {
            let Some(said) = time.get(name).and_then(Value::as_str) else { continue };
            let at = parse_time(said, edge);
            let at = at.ok_or_else(|| {
                malformed(&format!("time.{name}` is neither a date nor a time such as 2026-11-21T21:00:00Z"))
            })?;
            time.insert(name.to_owned(), at.into());
        }
    }
    if let Some(place) = report.get_mut("place").and_then(Value::as_object_mut) {
        for name in ["latitude", "longitude"] {
            let Some(said) = place.remove(name) else { continue };
            let degrees = said.as_f64().ok_or_else(|| malformed(&format!("place.{name}` is no number of degrees")))?;
            // Numbers beyond the globe stay beyond it, and the node refuses them.
            place.insert(format!("{name}_e7"), ((degrees * 1e7).round() as i64).into());
        }
    }
    Ok(())
}

/// Turns the lines of a bulk run into envelopes.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Everything that stands before a bare report's key, ending inside the object.
    opening: Vec<u8>,
    has_audience: bool,
    batch: Option<String>,
}

/// What a line has of an envelope.
#[derive(serde::Deserialize)]
struct Probe {
    body: Option<IgnoredAny>,
    key: Option<IgnoredAny>,
}

impl Lines {
    /// For one run. With a batch, each line gets a key made of the batch's name and the line.
    pub(crate) fn new(handling: &Handling, batch: Option<String>) -> anyhow::Result<Self> {
        let mut opening = serde_json::to_vec(handling)?;
        // The object's end; the rest of the envelope follows.
        opening.pop();
        Ok(Self { opening, has_audience: !handling.to.is_empty(), batch })
    }

    /// The envelope of a line, ended as a line. A whole envelope stays as it is, but for a key where it has none; a bare
    /// report is put into one without being written anew, which at ten thousand lines a second would cost more than all else.
    pub(crate) fn envelope(&self, line: &[u8]) -> anyhow::Result<Vec<u8>> {
        let line = line.trim_ascii();
        let malformed = |why: String| refused("malformed", why);
        if line.first() != Some(&b'{') {
            return Err(malformed("the line is not a JSON object".to_owned()));
        }
        // This reads the line to its end, so that what is put around it below cannot change what it says.
        let probe: Probe =
            serde_json::from_slice(line).map_err(|error| malformed(format!("the line is not JSON: {error}")))?;
        let mut envelope = Vec::with_capacity(self.opening.len() + line.len() + 100);
        if probe.body.is_some() {
            envelope.push(b'{');
            if probe.key.is_none() && self.batch.is_some() {
                self.push_key(&mut envelope, line);
                envelope.push(b',');
            }
            envelope.extend_from_slice(&line[1..]);
        } else if self.has_audience {
            envelope.extend_from_slice(&self.opening);
            envelope.push(b',');
            if self.batch.is_some() {
                self.push_key(&mut envelope, line);
                envelope.push(b',');
            }
            envelope.extend_from_slice(b"\"body\":");
            envelope.extend_from_slice(line);
            envelope.push(b'}');
        } else {
            return Err(refused("empty-audience", "the line is a report without an audience, and there is no --to"));
        }
        envelope.push(b'\n');
        Ok(envelope)
    }

    fn push_key(&self, envelope: &mut Vec<u8>, line: &[u8]) {
        let batch = self.batch.as_deref().unwrap_or_default();
        // The zero byte ends the name, so that no name and line together look like another pair.
        let named = [batch.as_bytes(), b"\0", line].concat();
        envelope.extend_from_slice(format!("\"key\":\"{}\"", hex::encode(sha256(&named))).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    fn handling(options: &str) -> Handling {
        let line = format!("mufakat share {options}");
        let args = crate::args::Args::parse_from(line.split_whitespace());
        let crate::args::Command::Share(share) = args.command else { panic!("share was asked for") };
        Handling::new(&share.to, &share.handling, vec![], 1000)
    }

    fn parsed(bytes: &[u8]) -> Value {
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn text_becomes_a_report() {
        let check = |input: &str, title: Option<&str>, expect: Value| assert_eq!(report(input, title).unwrap(), expect);
        check("One line\n", None, json!({"title": "One line", "text": ""}));
        check("First\r\n\nSecond\nthird\n", None, json!({"title": "First", "text": "Second\nthird"}));
        check("First\nSecond", Some("Title"), json!({"title": "Title", "text": "First\nSecond"}));
        check("\u{feff} {\"title\":\"a\",\"text\":\"b\"}", None, json!({"title": "a", "text": "b"}));
        check("{\"text\":\"b\"}", Some("Title"), json!({"title": "Title", "text": "b"}));
        check(
            r#"{"title":"a","time":{"from":"2026-11-21T21:00:00+07:00","until":"2026-11-21"},"place":{"latitude":1.25,"longitude":-103.5}}"#,
            None,
            json!({
                "title": "a", "time": {"from": 1_795_269_600, "until": 1_795_305_599},
                "place": {"latitude_e7": 12_500_000, "longitude_e7": -1_035_000_000},
            }),
        );
        let units =
            json!({"title": "a", "time": {"from": -1}, "place": {"latitude_e7": 1, "longitude_e7": 2, "name": "b"}});
        check(&units.to_string(), None, units);
        let unsound = [r#"{"time":{"from":"yesterday"}}"#, r#"{"place":{"latitude":"1 N","longitude":2}}"#];
        for bad in unsound.into_iter().chain(["", " \n ", "{\"title\":", "{\"body\":{}}", "{} x"]) {
            assert!(report(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_make_the_envelope() {
        let handling = handling(
            "--to ru-police --to vn --tlp amber+strict --code h1 --purpose p --orcon --eyes ru-police/d3 --review 20s \
             --expires 10s --hidden-audience",
        );
        let body = json!({"title": "a"});
        let attachments = ["u1".to_owned()];
        assert_eq!(
            serde_json::to_value(handling.envelope(&body, &attachments, Some("k"))).unwrap(),
            json!({
                "to": ["ru-police", "vn"], "tlp": "AMBER+STRICT", "codes": ["H1"], "purposes": ["p"], "orcon": true,
                "caveat": null, "eyes": [{"agency": "ru-police", "officer": "d3"}], "review": 1020, "expires": 1010, "hidden_audience": true, "thread": null, "about": [],
                "attachments": ["u1"], "key": "k", "body": {"title": "a"},
            })
        );
    }

    #[test]
    fn a_bare_line_gets_the_options() {
        let lines = Lines::new(&handling("--ndjson --to ru-police --tlp green"), None).unwrap();
        let envelope = parsed(&lines.envelope(b" {\"title\":\"a\"}\r\n").unwrap());
        assert_eq!(envelope["to"], json!(["ru-police"]));
        assert_eq!(envelope["tlp"], "GREEN");
        assert_eq!(envelope["body"], json!({"title": "a"}));
        assert!(envelope.get("key").is_none());
    }

    #[test]
    fn a_whole_envelope_stays_as_it_is() {
        let line = br#"{"to":["vn"],"tlp":"RED","body":{"title":"a"}}"#;
        let plain = Lines::new(&handling("--ndjson --to ru-police"), None).unwrap();
        assert_eq!(plain.envelope(line).unwrap(), [&line[..], b"\n"].concat());

        let batch = Lines::new(&handling("--ndjson"), Some("b".into())).unwrap();
        let mut keyed = parsed(&batch.envelope(line).unwrap());
        assert_eq!(keyed["key"].as_str().unwrap().len(), 64);
        keyed.as_object_mut().unwrap().remove("key");
        assert_eq!(keyed, parsed(&plain.envelope(line).unwrap()));

        let own = br#"{"to":["vn"],"key":"mine","body":{}}"#;
        assert_eq!(batch.envelope(own).unwrap(), [&own[..], b"\n"].concat());
    }

    #[test]
    fn keys_tell_lines_and_batches_apart() {
        let key = |batch: &str, line: &str| {
            let lines = Lines::new(&handling("--ndjson --to ru-police"), Some(batch.into())).unwrap();
            parsed(&lines.envelope(line.as_bytes()).unwrap())["key"].clone()
        };
        let first = key("b", "{\"title\":\"a\"}");
        assert_eq!(first, key("b", "{\"title\":\"a\"}\r\n"));
        assert_ne!(first, key("c", "{\"title\":\"a\"}"));
        assert_ne!(first, key("b", "{\"title\":\"b\"}"));
    }

    #[test]
    fn bad_lines_are_refused_by_name() {
        let lines = Lines::new(&handling("--ndjson --to ru-police"), None).unwrap();
        let reason = |lines: &Lines, line: &str| {
            let error = lines.envelope(line.as_bytes()).unwrap_err();
            let Some(crate::failure::Failure::Refused { reason, .. }) = error.downcast_ref() else { panic!("{error}") };
            *reason
        };
        // The last two would change the envelope if they were put into it unread.
        for line in ["title", "[]", "{", "{\"title\":}", "{},\"to\":[\"vn\"]", "{}} {"] {
            assert_eq!(reason(&lines, line), "malformed", "{line}");
        }
        let nobody = Lines::new(&handling("--ndjson"), None).unwrap();
        assert_eq!(reason(&nobody, "{\"title\":\"a\"}"), "empty-audience");
    }
}
