//! Step 7: evidence, checked by two verifiers that share no code.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::breaks::{self, Break};
use super::{Demo, VN};

/// What a verifier said.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// It holds: the statement of what is proven.
    Holds(Value),
    /// It does not, because of this part.
    Refused(String),
}

pub(super) fn run(demo: &mut Demo) -> Result<()> {
    let file = demo.file("case.evidence");
    demo.node(VN).wait("evidence", &["evidence", &demo.retracted, "-o", &file, "--force"], |_| true)?;
    let bundle = fs::read(&file)?;
    let register = demo.node(VN).cli(&["register", "show"])?;
    let root = register["root"].as_str().context("the register has no root")?.to_owned();
    let (by_us, by_other) = verdicts(demo, &file, &root)?;
    let Verdict::Holds(mut statement) = by_us else { anyhow::bail!("`mufakat verify` says {by_us:?}") };
    let count = |name: &str| statement[name].as_array().map_or(0, Vec::len);
    let (receipts, related, witnesses) = (count("receipts"), count("related"), count("witnesses"));
    let whole = receipts == 4 && related == 5 && witnesses > 0 && statement["quorum"]["met"] == true;
    let what = format!(
        "`mufakat verify` believes the retracted record's evidence: {receipts} receipts, retraction, {} answers, \
         {witnesses} witnesses",
        related.saturating_sub(1)
    );
    demo.report.check(what, whole && statement["root_expected"] == true, &statement);
    // The second verifier has no list of words.
    statement["fingerprint"] = Value::Null;
    let same = by_other == Verdict::Holds(statement);
    demo.report.check("the verifier in Python reads the same statement from it", same, format!("{by_other:?}"));
    let other_root = mufakat_record::sha256(b"EXERCISE another community");
    let (by_us, by_other) = verdicts(demo, &file, &hex::encode(other_root))?;
    let refused = Verdict::Refused("register[1]".to_owned());
    let held = by_us == refused && by_other == refused;
    demo.report.check("both refuse it for another community's root", held, format!("{by_us:?}, {by_other:?}"));

    let breaks = breaks::of(&bundle)?;
    let parts: BTreeSet<&str> = breaks.iter().map(|one| one.part.as_str()).collect();
    let parts = parts.len();
    let mut wrong = Vec::new();
    for one in &breaks {
        let (by_us, by_other) = broken(demo, &bundle, one, &root)?;
        let expected = Verdict::Refused(one.part.clone());
        if by_us != expected || by_other != expected {
            wrong.push(format!("{}: {by_us:?}, {by_other:?}", one.part));
        }
    }
    let what =
        format!("one changed byte in each of {parts} parts ({} changes): both refuse and name the part", breaks.len());
    demo.report.check(what, wrong.is_empty() && parts >= 8, wrong.join("; "));
    demo.report.figure("evidence", bundle.len() as f64, "bytes");
    demo.report.figure("parts changed", parts as f64, "");
    Ok(())
}

fn broken(demo: &Demo, bundle: &[u8], one: &Break, root: &str) -> Result<(Verdict, Verdict)> {
    let file = demo.file("broken.evidence");
    fs::write(&file, one.apply(bundle))?;
    verdicts(demo, &file, root)
}

/// What both verifiers say of a file, asked at the same time.
fn verdicts(demo: &Demo, file: &str, root: &str) -> Result<(Verdict, Verdict)> {
    let mut ours = Command::new(&demo.binary);
    ours.args(["--json", "verify", file, "--root", root]);
    let mut other = Command::new(&demo.python);
    // No traces beside its source.
    other.arg("-B").arg(&demo.verifier).args(["evidence", file, "--root", root, "--json"]);
    let run =
        |command: &mut Command| command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let (ours, other) = (run(&mut ours)?, run(&mut other).context("cannot start the second verifier")?);
    let (ours, other) = (ours.wait_with_output()?, other.wait_with_output()?);
    let ours = verdict(ours.status.success(), &ours.stdout, &ours.stderr, |fault| &fault["part"])?;
    let other = verdict(other.status.success(), &other.stdout, &other.stdout, |fault| &fault["fault"]["part"])?;
    Ok((ours, other))
}

fn verdict(holds: bool, said: &[u8], fault: &[u8], part: impl Fn(&Value) -> &Value) -> Result<Verdict> {
    let read = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        serde_json::from_str::<Value>(&text).with_context(|| format!("a verifier says `{}`", text.trim()))
    };
    if holds {
        return Ok(Verdict::Holds(read(said)?));
    }
    let fault = read(fault)?;
    let part = part(&fault).as_str().map(str::to_owned);
    ensure!(part.is_some(), "a verifier refuses without naming a part: {fault}");
    Ok(Verdict::Refused(part.unwrap_or_default()))
}
