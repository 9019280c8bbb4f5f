//! What the demonstration shows: one line for each thing that held or did not, a table at the end, and the same as JSON.

use std::fmt::Display;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How wide a line is before its time.
const LINE_WIDTH: usize = 112;
/// How much of what was found instead stands on a line; all of it is in the JSON report.
const FOUND_CHARS_MAX: usize = 400;
/// What the table says of steps after one that an error ended.
const NOT_RUN: &str = "not run";

/// Everything that was shown.
pub(crate) struct Report {
    json: bool,
    began: Instant,
    line_at: Instant,
    steps: Vec<Step>,
}

/// One step.
struct Step {
    name: &'static str,
    proves: &'static str,
    began: Option<Instant>,
    elapsed: Duration,
    checks: Vec<Check>,
    figures: Vec<(&'static str, f64, &'static str)>,
    error: Option<String>,
}

/// One thing that ought to hold.
struct Check {
    what: String,
    held: bool,
    found: String,
}

impl Step {
    fn held(&self) -> bool {
        self.error.is_none() && !self.checks.is_empty() && self.checks.iter().all(|check| check.held)
    }

    fn figures(&self) -> String {
        let figures = self.figures.iter().map(|(name, value, unit)| format!("{name} {} {unit}", shown(*value)));
        figures.map(|figure| figure.trim_end().to_owned()).collect::<Vec<_>>().join(", ")
    }
}

impl Report {
    /// An empty report. With `json` the progress goes to standard error, and the report to standard output at the end.
    pub(crate) fn new(json: bool) -> Self {
        let now = Instant::now();
        Self { json, began: now, line_at: now, steps: Vec::new() }
    }

    /// A line for whoever watches.
    pub(crate) fn say(&self, text: &str) {
        if self.json {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }

    /// Names a step that is to come.
    pub(crate) fn plan(&mut self, name: &'static str, proves: &'static str) {
        let (checks, figures) = (Vec::new(), Vec::new());
        self.steps.push(Step { name, proves, began: None, elapsed: Duration::ZERO, checks, figures, error: None });
    }

    /// Begins the next step.
    pub(crate) fn begin(&mut self) {
        let now = Instant::now();
        self.line_at = now;
        let number = self.steps.iter().filter(|step| step.began.is_some()).count();
        let step = &mut self.steps[number];
        step.began = Some(now);
        let heading = format!("\n{}. {}: {}", number + 1, step.name, step.proves);
        self.say(&heading);
    }

    /// Ends the step, and says whether the next can begin: not after an error.
    pub(crate) fn end(&mut self, result: anyhow::Result<()>) -> bool {
        if let Err(error) = &result {
            self.say(&format!("  ✗ {error:#}"));
        }
        let step = self.current();
        step.error = result.err().map(|error| format!("{error:#}"));
        step.elapsed = step.began.map(|began| began.elapsed()).unwrap_or_default();
        step.error.is_none()
    }

    fn current(&mut self) -> &mut Step {
        // A step begins before anything is said of it.
        self.steps.iter_mut().rfind(|step| step.began.is_some()).expect("a step that has begun")
    }

    /// Takes note of something that ought to hold; `found` tells what was there instead, or the facts.
    pub(crate) fn check(&mut self, what: impl Into<String>, held: bool, found: impl Display) {
        let (what, found) = (what.into(), found.to_string());
        let elapsed = std::mem::replace(&mut self.line_at, Instant::now()).elapsed();
        let beginning: String = found.chars().take(FOUND_CHARS_MAX).collect();
        let line = if held { format!("  ✓ {what}") } else { format!("  ✗ {what}; found: {beginning}") };
        let room = LINE_WIDTH.saturating_sub(line.chars().count());
        self.say(&format!("{line}{}{:>6.1} s", " ".repeat(room), elapsed.as_secs_f64()));
        self.current().checks.push(Check { what, held, found });
    }

    /// Takes note of a figure.
    pub(crate) fn figure(&mut self, name: &'static str, value: f64, unit: &'static str) {
        self.current().figures.push((name, value, unit));
    }

    /// Whether every step held.
    pub(crate) fn held(&self) -> bool {
        self.steps.iter().all(Step::held)
    }

    /// The table at the end.
    pub(crate) fn table(&self) -> String {
        let name_width = self.steps.iter().map(|step| step.name.len()).max().unwrap_or_default();
        let number_width = self.steps.len().to_string().len();
        let mut text =
            format!("\n{:number_width$}  {:name_width$}  {:9}  {:>8}  figures\n", "", "step", "held", "time");
        for (number, step) in (1..).zip(&self.steps) {
            let held = step.checks.iter().filter(|check| check.held).count();
            let (held, time) = match step.began {
                Some(_) => (format!("{held} of {}", step.checks.len()), format!("{:.1} s", step.elapsed.as_secs_f64())),
                None => (NOT_RUN.to_owned(), String::new()),
            };
            let mark = if step.held() { '✓' } else { '✗' };
            let line = format!(
                "{number:number_width$}. {:name_width$}  {mark} {held:8} {time:>7}  {}",
                step.name,
                step.figures()
            );
            text.push_str(&format!("{}\n", line.trim_end()));
        }
        let (held, all) = (self.steps.iter().filter(|step| step.held()).count(), self.steps.len());
        text.push_str(&format!("{held} of {all} steps held, in {:.1} s\n", self.began.elapsed().as_secs_f64()));
        text
    }

    /// The whole report for programs.
    pub(crate) fn to_json(&self) -> Value {
        let check = |check: &Check| json!({ "what": check.what, "held": check.held, "found": check.found });
        let figure = |(name, value, unit): &(&str, f64, &str)| json!({ "name": name, "value": value, "unit": unit });
        let step = |(number, step): (u64, &Step)| {
            json!({
                "step": number, "name": step.name, "proves": step.proves, "held": step.held(),
                "ran": step.began.is_some(), "seconds": step.elapsed.as_secs_f64(), "error": step.error,
                "checks": step.checks.iter().map(check).collect::<Vec<_>>(),
                "figures": step.figures.iter().map(figure).collect::<Vec<_>>(),
            })
        };
        json!({
            "held": self.held(), "seconds": self.began.elapsed().as_secs_f64(),
            "steps": (1..).zip(&self.steps).map(step).collect::<Vec<_>>(),
        })
    }
}

fn shown(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: &[(bool, bool)]) -> Report {
        let mut report = Report::new(true);
        for name in ["one", "two", "three"] {
            report.plan(name, "something");
        }
        for (check, result) in outcomes {
            report.begin();
            report.check("a thing", *check, "nothing");
            report.end(if *result { Ok(()) } else { Err(anyhow::anyhow!("broken")) });
        }
        report
    }

    #[test]
    fn it_holds_only_when_every_step_ran_and_held() {
        let good = (true, true);
        assert!(report(&[good; 3]).held());
        assert!(!report(&[good; 2]).held(), "a step that did not run");
        assert!(!report(&[good, (false, true), good]).held(), "a check that failed");
        assert!(!report(&[good, good, (true, false)]).held(), "an error");
        let mut empty = Report::new(true);
        empty.plan("one", "something");
        empty.begin();
        empty.end(Ok(()));
        assert!(!empty.held(), "a step that checked nothing");
    }

    #[test]
    fn the_table_names_what_did_not_run() {
        let table = report(&[(true, true), (false, false)]).table();
        for part in ["1. one    ✓ 1 of 1", "2. two    ✗ 0 of 1", "3. three  ✗ not run", "1 of 3 steps held"] {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
        let json = report(&[(true, true)]).to_json();
        assert_eq!(
            (&json["held"], &json["steps"][0]["held"], &json["steps"][1]["ran"]),
            (&json!(false), &json!(true), &json!(false))
        );
    }
}
