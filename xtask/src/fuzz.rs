//! `cargo xtask fuzz`: builds the fuzz targets on the stable toolchain and runs them.
//!
//! The targets stand in `fuzz/`, a workspace of its own, and run under libFuzzer, which its crate builds with the C++
//! compiler. The compiler flags are those that switch on LLVM's coverage instrumentation; memory errors need no sanitizer
//! here, because none of the code under test may contain `unsafe`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::step::{Log, TAIL_LINES, tail};
use crate::{Run, tools};

/// Run the fuzz targets, each for some seconds; an input that breaks one is named and kept.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Run an input that broke the target before, and nothing else.
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
    /// Only this target.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS.iter().map(|target| target.name)))]
    target: Option<String>,
}

/// How long each target runs within `cargo xtask test`.
const SMOKE_SECONDS: u64 = 4;
/// The longest input that is tried, in bytes. Limits of size have tests of their own; short inputs run faster.
const INPUT_BYTES_MAX: u64 = 64 * 1024;
/// How long one input may take, in seconds, before it counts as a hang.
const INPUT_SECONDS_MAX: u64 = 10;
/// The most memory that a target may take, in MiB.
const MEMORY_MIB_MAX: u64 = 2048;
/// LLVM's coverage instrumentation, as libFuzzer reads it.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// A target, and where its first inputs come from.
struct Target {
    name: &'static str,
    seeds: fn(&Path) -> anyhow::Result<Vec<Vec<u8>>>,
}

/// One target for each parser that meets a stranger's bytes; `fuzz/Cargo.toml` declares the same.
const TARGETS: &[Target] = &[
    Target { name: "record", seeds: records },
    Target { name: "parcel", seeds: |root| messages(root, "parcels") },
    Target { name: "parcel_content", seeds: contents },
    Target { name: "cbor", seeds: items },
    Target { name: "register", seeds: chains },
    Target { name: "note", seeds: notes },
    Target { name: "checkpoint", seeds: checkpoints },
    Target { name: "witness_request", seeds: requests },
    Target { name: "tlog_proof", seeds: proofs },
    Target { name: "tile_path", seeds: paths },
    Target { name: "evidence", seeds: bundles },
    Target { name: "identifier", seeds: identifiers },
    Target { name: "matching_filter", seeds: filters },
    Target { name: "matching_question", seeds: questions },
];

impl Run for Args {
    fn run(self) -> anyhow::Result<ExitCode> {
        let root = tools::root();
        let mut log = Log::create(&root, "fuzz")?;
        println!("building the targets");
        let folder = build(&root, &mut log).inspect_err(|_| show_tail(&log))?;
        if let (Some(name), Some(input)) = (&self.target, &self.input) {
            let status = Command::new(folder.join(name)).arg(input).status()?;
            return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let chosen: Vec<&Target> =
            TARGETS.iter().filter(|target| self.target.as_ref().is_none_or(|name| *name == target.name)).collect();
        println!("running {} for {} s each", chosen.len(), self.seconds);
        let outcomes = run_all(&root, &folder, &chosen, self.seconds, &mut log)?;
        for outcome in &outcomes {
            println!("{outcome}");
        }
        Ok(if outcomes.iter().all(Outcome::held) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The part of `cargo xtask test`: every target for a few seconds.
pub(crate) fn part(root: &Path, log: &mut Log) -> anyhow::Result<String> {
    let folder = build(root, log)?;
    let targets: Vec<&Target> = TARGETS.iter().collect();
    let outcomes = run_all(root, &folder, &targets, SMOKE_SECONDS, log)?;
    let broken: Vec<String> = outcomes.iter().filter(|outcome| !outcome.held()).map(ToString::to_string).collect();
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    let runs: u64 = outcomes.iter().map(|outcome| outcome.runs).sum();
    Ok(format!("{} targets, {runs} inputs", outcomes.len()))
}

/// Builds every target; gives the folder with the programs.
fn build(root: &Path, log: &mut Log) -> anyhow::Result<PathBuf> {
    tools::need(tools::Tool::Cxx, log)?;
    let host = host()?;
    let folder = root.join("fuzz");
    // With the target named, flags reach only what runs on it, and neither build scripts nor macros.
    let mut cargo = tools::cargo(&folder);
    cargo.args(["build", "--release", "--target", &host]).env("RUSTFLAGS", RUSTFLAGS);
    log.run(cargo.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_ENCODED_RUSTFLAGS"))?;
    Ok(folder.join("target").join(host).join("release"))
}

/// The triple of this machine, as rustc names it.
fn host() -> anyhow::Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("cannot start rustc")?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say for which machine it builds")
}

/// How one target's run ended.
struct Outcome {
    name: &'static str,
    runs: u64,
    /// Why it failed: the file with the input that broke it, or what else went wrong.
    broken: Option<String>,
}

impl Outcome {
    fn held(&self) -> bool {
        self.broken.is_none()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.broken {
            None => write!(f, "{:<16} held for {} inputs", self.name, self.runs),
            Some(why) => write!(f, "{} broke: {why}", self.name),
        }
    }
}

/// Runs targets, as many at a time as the machine has processors.
fn run_all(
    root: &Path,
    folder: &Path,
    targets: &[&Target],
    seconds: u64,
    log: &mut Log,
) -> anyhow::Result<Vec<Outcome>> {
    let abreast = thread::available_parallelism().map_or(1, usize::from);
    let mut outcomes = Vec::new();
    for group in targets.chunks(abreast) {
        let ended: Vec<anyhow::Result<(Outcome, String)>> = thread::scope(|scope| {
            let running: Vec<_> =
                group.iter().map(|target| scope.spawn(|| run_one(root, folder, target, seconds))).collect();
            // A panic in such a thread is a defect of this program and ends it.
            running.into_iter().map(|thread| thread.join().expect("a thread that ran a target")).collect()
        });
        for result in ended {
            let (outcome, told) = result?;
            log.line(format!("== {}\n{told}", outcome.name))?;
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

/// Writes the first inputs and runs one target.
fn run_one(root: &Path, folder: &Path, target: &Target, seconds: u64) -> anyhow::Result<(Outcome, String)> {
    let fuzz = root.join("fuzz");
    let (corpus, artifacts) = (fuzz.join("corpus").join(target.name), fuzz.join("artifacts").join(target.name));
    let first = fuzz.join("target/seeds").join(target.name);
    if first.exists() {
        fs::remove_dir_all(&first)?;
    }
    for dir in [&corpus, &artifacts, &first] {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let seeds = (target.seeds)(root).with_context(|| format!("no first inputs for {}", target.name))?;
    ensure!(!seeds.is_empty(), "no first inputs for {}", target.name);
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(first.join(format!("{number:04}")), seed)?;
    }
    let output = Command::new(folder.join(target.name))
        .args([&corpus, &first])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        // Comparisons that come nearer to equal count as progress; the texts of this protocol are full of them.
        .args(["-use_value_profile=1", "-print_final_stats=1"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start the target {}", target.name))?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = tail(&told, TAIL_LINES);
    let runs = number_after(&told, "stat::number_of_executed_units:").unwrap_or(0);
    let broken = if output.status.success() {
        // A target that tried nothing new proves nothing.
        (runs <= seeds.len() as u64).then(|| format!("only {runs} inputs were tried"))
    } else {
        let file = told.lines().find_map(|line| line.split("Test unit written to ").nth(1));
        Some(match file {
            Some(file) => format!("the input is {file}; again: cargo xtask fuzz {} --input {file}", target.name),
            None => format!("it ended with {} and left no input", output.status),
        })
    };
    Ok((Outcome { name: target.name, runs, broken }, told))
}

fn number_after(text: &str, label: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(label)).and_then(|number| number.trim().parse().ok())
}

fn show_tail(log: &Log) {
    if let Ok(text) = log.text() {
        eprintln!("{}", tail(&text, TAIL_LINES));
    }
}

/// A file of `docs/vectors`.
fn vectors(root: &Path, file: &str) -> anyhow::Result<Value> {
    let path = root.join("docs/vectors").join(file).with_extension("json");
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))
}

fn bytes(value: &Value) -> anyhow::Result<Vec<u8>> {
    let text = value.as_str().context("not text")?;
    ensure!(text.is_ascii() && text.len().is_multiple_of(2), "not hexadecimal");
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16);
    (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>().context("not hexadecimal")
}

/// The members `name` of all vectors in a file that have it.
fn members<'a>(file: &'a Value, name: &'a str) -> anyhow::Result<impl Iterator<Item = &'a Value>> {
    let list = file["vectors"].as_array().context("no vectors")?;
    Ok(list.iter().filter_map(move |vector| vector.get(name)))
}

/// The messages of a file.
fn messages(root: &Path, file: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let file = vectors(root, file)?;
    members(&file, "bytes")?.map(bytes).collect()
}

/// Evidence bundles, most of which are told as a change of another: pieces, each of which is new or copied from there.
fn bundles(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let file = vectors(root, "evidence")?;
    let list = file["vectors"].as_array().context("no vectors")?;
    let whole = |name: &Value| {
        let named = list.iter().find(|vector| vector["name"] == *name && vector["bytes"].is_string());
        bytes(&named.context("a change of a bundle that is not there")?["bytes"])
    };
    let mut bundles = messages(root, "evidence")?;
    for change in members(&file, "change")? {
        let of = whole(&change["of"])?;
        let mut bundle = Vec::new();
        for piece in change["pieces"].as_array().context("a change has pieces")? {
            let place = |index: usize| piece[index].as_u64().map(|place| place as usize);
            match (place(0), place(1)) {
                (Some(from), Some(to)) => bundle.extend(of.get(from..to).context("a piece beyond the end")?),
                _ => bundle.extend(bytes(piece)?),
            }
        }
        bundles.push(bundle);
    }
    Ok(bundles)
}

fn records(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    Ok([messages(root, "records")?, messages(root, "receipts")?, messages(root, "key-sets")?].concat())
}

/// Single items, and the bodies of records.
fn items(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut all = messages(root, "cbor")?;
    for file in ["records", "receipts"] {
        let file = vectors(root, file)?;
        let bodies: Vec<_> = members(&file, "body")?.map(bytes).collect::<anyhow::Result<_>>()?;
        ensure!(!bodies.is_empty(), "no bodies");
        all.extend(bodies);
    }
    for chain in members(&vectors(root, "register")?, "chain")? {
        for entry in chain.as_array().context("a chain is a list")? {
            all.push(bytes(&entry["version"])?);
        }
    }
    Ok(all)
}

/// The head of an item in CBOR (RFC 8949, section 3), in its shortest form, for lengths below 65,536.
fn head(major: u8, length: usize) -> anyhow::Result<Vec<u8>> {
    let length = u16::try_from(length).context("too long for a first input")?;
    let [high, low] = length.to_be_bytes();
    Ok(match length {
        0..24 => vec![(major << 5) | low],
        24..256 => vec![(major << 5) | 24, low],
        _ => vec![(major << 5) | 25, high, low],
    })
}

fn byte_string(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    Ok([head(2, bytes.len())?, bytes.to_vec()].concat())
}

/// What is inside a parcel, behind a byte with the number of records: a signature and the records.
fn contents(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let one = |record: &Vec<u8>| {
        Ok([vec![1], head(4, 2)?, byte_string(&[0; 64])?, head(4, 1)?, byte_string(record)?].concat())
    };
    messages(root, "records")?.iter().filter(|record| record.len() < 4096).map(one).collect()
}

/// Chains in the form in which they travel.
fn chains(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let file = vectors(root, "register")?;
    let mut chains = Vec::new();
    for chain in members(&file, "chain")? {
        let versions = chain.as_array().context("a chain is a list")?;
        let mut encoded = head(4, versions.len())?;
        for entry in versions {
            let approvals = entry["approvals"].as_array().context("approvals are a list")?;
            encoded.extend(head(4, 2)?);
            encoded.extend(byte_string(&bytes(&entry["version"])?)?);
            encoded.extend(head(4, approvals.len())?);
            for approval in approvals {
                encoded.extend(byte_string(&bytes(approval)?)?);
            }
        }
        chains.push(encoded);
    }
    Ok(chains)
}

fn signed_notes(root: &Path) -> anyhow::Result<Vec<String>> {
    let file = vectors(root, "checkpoints")?;
    members(&file, "note")?.map(|note| Ok(note.as_str().context("a note is text")?.to_owned())).collect()
}

fn notes(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(signed_notes(root)?.into_iter().map(String::into_bytes).collect())
}

/// The texts of the notes: all that stands before the empty line.
fn checkpoints(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let text = |note: &String| note.split_once("\n\n").map(|(text, _)| format!("{text}\n").into_bytes());
    Ok(signed_notes(root)?.iter().filter_map(text).collect())
}

/// The notes with two hashes before them (any will do for a parser: here the root) and with what introduces those.
fn introduced(root: &Path, introduction: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let one = |note: &String| {
        let hash = note.lines().nth(2)?;
        Some(format!("{introduction}{hash}\n{hash}\n\n{note}").into_bytes())
    };
    Ok(signed_notes(root)?.iter().filter_map(one).collect())
}

fn requests(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    introduced(root, "old 3\n")
}

fn proofs(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let plain = introduced(root, "c2sp.org/tlog-proof@v1\nindex 2\n")?;
    Ok([plain, introduced(root, "c2sp.org/tlog-proof@v1\nextra RVhFUkNJU0U=\nindex 2\n")?].concat())
}

/// Paths, some with the bytes of a tile on the lines behind them.
fn paths(_root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let paths = ["tile/0/000", "tile/0/x001/234", "tile/63/x999/x999/999.p/255", "tile/1/000.p/1"];
    let tile = [b"tile/0/000.p/2\n".as_slice(), &[7; 64]].concat();
    Ok(paths.iter().map(|path| path.as_bytes().to_vec()).chain([tile]).collect())
}

/// Identifiers, each behind the byte that chooses its type.
fn identifiers(_root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let values = [
        "IMO 9074729",
        "525700804",
        "7C6B2F",
        "I<UTOD231458907<<<<<<<<<<<<<<<7408122F1204159UTO<<<<<<<<<<<6ERIKSSON<<ANNA<MARIA<<<<<<<<<<",
        "+44 (0)20 7946 0958",
        "GB29 NWBK 6016 1331 9268 19",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "VN:51F-123.45",
        "Exercise@Example.org",
        "HTTPS://Example.org/Path",
        "9V-1234",
        "exercise 1",
        "Ví dụ",
    ];
    Ok((0..).zip(values).map(|(choice, value): (u8, _)| [&[choice], value.as_bytes()].concat()).collect())
}

/// Filters of private matching: headers of several classes, each with a few slots. The target adds those that lack.
fn filters(_root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let one = |capacity: u32| {
        let slots: Vec<u8> = (0..=255).collect();
        [b"MUFILTER\x01\0\0\0".as_slice(), &capacity.to_le_bytes(), b"EXERCISE", &slots].concat()
    };
    Ok([1_000, 2_000, 5_000, 10_000_000, 3].map(one).to_vec())
}

/// Questions of private matching: the count, the proof of the answer to another one, and the elements.
fn questions(root: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let file = vectors(root, "matching")?;
    let proof = bytes(&file["answers"][0]["proof"])?;
    let one = |question: &Value| {
        let count = question["count"].as_u64().and_then(|count| u32::try_from(count).ok()).context("no count")?;
        let elements = question["elements"].as_array().context("elements are a list")?.iter().map(bytes);
        let elements = elements.collect::<anyhow::Result<Vec<_>>>()?.concat();
        Ok([count.to_be_bytes().as_slice(), &proof, &elements].concat())
    };
    file["questions"].as_array().context("no questions")?.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_declared_once_and_has_its_file_and_first_inputs() {
        let root = tools::root();
        let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        let declared: Vec<&str> =
            manifest.split("[[bin]]\nname = \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert_eq!(declared, TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
        for target in TARGETS {
            assert!(root.join("fuzz/targets").join(target.name).with_extension("rs").exists(), "{}", target.name);
            let seeds = (target.seeds)(&root).unwrap();
            assert!(seeds.len() > 3, "{} has {} first inputs", target.name, seeds.len());
        }
    }

    #[test]
    fn heads_are_in_shortest_form() {
        assert_eq!(head(2, 23).unwrap(), [0x57]);
        assert_eq!(head(2, 24).unwrap(), [0x58, 24]);
        assert_eq!(head(4, 256).unwrap(), [0x99, 1, 0]);
        assert!(head(2, 65_536).is_err());
    }

    /// A program in the place of a target.
    fn outcome(name: &str, script: &str) -> Outcome {
        use std::os::unix::fs::PermissionsExt;
        let root = tools::scratch(&format!("fuzz-{name}"));
        let program = root.join("tile_path");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let target = Target { name: "tile_path", seeds: paths };
        let mut log = Log::create(&root, "fuzz").unwrap();
        let mut outcomes = run_all(&root, &root, &[&target], 1, &mut log).unwrap();
        fs::remove_dir_all(root).unwrap();
        outcomes.remove(0)
    }

    #[test]
    fn a_crash_names_its_input_and_a_run_that_tried_nothing_is_no_success() {
        let held = outcome("held", "echo 'stat::number_of_executed_units: 5000' >&2");
        assert!(held.held() && held.runs == 5000);
        let crashed = outcome("crashed", "echo \"x; Test unit written to $PWD/crash-1\" >&2; exit 77");
        assert!(crashed.to_string().contains("/crash-1; again: cargo xtask fuzz tile_path --input "), "{crashed}");
        let idle = outcome("idle", "echo 'stat::number_of_executed_units: 5' >&2");
        assert_eq!(idle.to_string(), "tile_path broke: only 5 inputs were tried");
        let mute = outcome("mute", "exit 3");
        assert!(mute.to_string().contains("left no input"), "{mute}");
    }
}
