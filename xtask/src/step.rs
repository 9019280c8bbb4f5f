//! Progress on the terminal, one line a step, and the log file that takes everything a step has to say.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How much of a log is shown when its step fails.
pub(crate) const TAIL_LINES: usize = 60;

/// A progress line: begun when the step starts, completed with its result and elapsed time.
pub(crate) struct Step {
    started: Instant,
}

impl Step {
    /// Prints the first half of the line, for example `[3/9] clippy ... `.
    pub(crate) fn start(number: usize, total: usize, name: &str) -> Self {
        print!("[{number}/{total}] {name} ... ");
        // A terminal that cannot be flushed loses a progress line; that is no reason to stop the work.
        let _ = io::stdout().flush();
        Self { started: Instant::now() }
    }

    /// Completes the line with a result, the elapsed time and, when there is one, a note.
    pub(crate) fn finish(self, result: &str, note: &str) -> Duration {
        let elapsed = self.started.elapsed();
        println!("{result} {}{}{note}", seconds(elapsed), if note.is_empty() { "" } else { ", " });
        elapsed
    }
}

/// A duration as people read it here: seconds with one decimal.
pub(crate) fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

/// The log file of one step, `target/xtask/<name>.log`, started afresh on each run.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Creates, or empties, the log of the step `name` in the workspace `root`.
    pub(crate) fn create(root: &Path, name: &str) -> anyhow::Result<Self> {
        let dir = root.join("target/xtask");
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let path = dir.join(format!("{name}.log"));
        // Append mode, because the commands of a step write to the same file through their own handles.
        drop(File::create(&path).with_context(|| format!("cannot write {}", path.display()))?);
        let file = File::options().append(true).open(&path)?;
        Ok(Self { path, file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds one line.
    pub(crate) fn line(&mut self, line: impl Display) -> anyhow::Result<()> {
        writeln!(self.file, "{line}").with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Runs a command with both its outputs in the log; an exit status other than zero is an error that names it.
    pub(crate) fn run(&mut self, command: &mut Command) -> anyhow::Result<()> {
        let shown = shown(command);
        self.line(format!("$ {shown}"))?;
        let status = command
            .stdin(Stdio::null())
            .stdout(self.file.try_clone()?)
            .stderr(self.file.try_clone()?)
            .status()
            .with_context(|| format!("cannot start `{shown}`"))?;
        if !status.success() {
            bail!("`{shown}` ended with {status}");
        }
        Ok(())
    }

    /// The log as the output of a command that the caller runs.
    pub(crate) fn file(&self) -> anyhow::Result<File> {
        Ok(self.file.try_clone()?)
    }

    /// Everything written so far.
    pub(crate) fn text(&self) -> anyhow::Result<String> {
        let bytes = fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The last `count` lines of a text.
pub(crate) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// The command as one would type it, with the program's folder left out.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or(command.get_program()).to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end_of_the_text() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a\n", 2), "a");
        assert_eq!(tail("", 2), "");
    }

    #[test]
    fn a_command_is_shown_without_its_folder() {
        assert_eq!(shown(Command::new("bin/cargo").args(["fmt", "--all"])), "cargo fmt --all");
    }

    #[test]
    fn a_log_takes_output_and_names_a_failing_command() {
        let root = crate::tools::scratch("step-log");
        let mut log = Log::create(&root, "x").unwrap();
        log.run(Command::new("sh").args(["-c", "echo out; echo err >&2"])).unwrap();
        log.line("after").unwrap();
        assert_eq!(log.text().unwrap(), "$ sh -c echo out; echo err >&2\nout\nerr\nafter\n");
        let error = log.run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert!(error.contains("exit 3") && error.contains("exit status: 3"), "{error}");
        assert!(log.run(&mut Command::new("no-such-program-here")).is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
