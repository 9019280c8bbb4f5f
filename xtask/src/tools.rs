//! Finds what the checks need from outside the workspace, and installs it where that is ours to do.
//!
//! A missing program is never a reason to skip a check: it is installed (Debian packages, when we are root), or the
//! check fails with one line that names the command which installs it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};

use crate::step::Log;

/// The workspace root. Cargo sets the variable for `cargo xtask`; the value from the build serves a direct start.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
    Path::new(&manifest).parent().expect("xtask is a folder of the workspace").to_path_buf()
}

/// The cargo that started us, in the workspace root, without colours: its output is read, not only looked at.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root).env("CARGO_TERM_COLOR", "never");
    command
}

/// Checks that a component of the Rust toolchain is there, by the cargo subcommand that it provides.
pub(crate) fn need_component(root: &Path, subcommand: &str) -> anyhow::Result<()> {
    if succeeds(cargo(root).args([subcommand, "--version"])) {
        return Ok(());
    }
    bail!("`cargo {subcommand}` is missing; install it with: rustup component add rustfmt clippy");
}

/// Where Debian's package puts the browser.
pub(crate) const CHROMIUM: &str = "/usr/bin/chromium";

/// Ends well where there is npm, and a Node.js that Vite 7 runs on.
const NODE_PROBE: &str = "require('child_process').execSync('npm --version'); \
                          const [major, minor] = process.versions.node.split('.').map(Number); \
                          process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)";

/// A program from outside the Rust toolchain.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tool {
    /// Lists the files of the tree.
    Git,
    /// Runs the second-language verifier, in a virtual environment.
    Python,
    /// Builds libFuzzer, which drives the fuzz targets.
    Cxx,
    /// Builds the console, and drives the browser in its tests.
    Node,
    /// Shows the console in its tests.
    Chromium,
}

struct Spec {
    /// What the program is called in a message.
    name: &'static str,
    /// A command that succeeds only when everything needed of the program is there.
    probe: &'static [&'static str],
    /// The Debian packages that provide it.
    packages: &'static [&'static str],
}

impl Tool {
    const fn spec(self) -> Spec {
        match self {
            Self::Git => Spec { name: "git", probe: &["git", "--version"], packages: &["git"] },
            Self::Python => Spec {
                name: "python3 with venv",
                probe: &["python3", "-c", "import venv, ensurepip"],
                packages: &["python3", "python3-venv"],
            },
            Self::Cxx => Spec { name: "a C++ compiler", probe: &["c++", "--version"], packages: &["g++"] },
            Self::Node => Spec {
                name: "Node.js 20.19 or later with npm",
                probe: &["node", "-e", NODE_PROBE],
                packages: &["nodejs", "npm"],
            },
            Self::Chromium => Spec { name: "Chromium", probe: &[CHROMIUM, "--version"], packages: &["chromium"] },
        }
    }
}

/// Makes sure that a tool is there, installing it when we are root on Debian.
pub(crate) fn need(tool: Tool, log: &mut Log) -> anyhow::Result<()> {
    need_spec(&tool.spec(), may_install(), log)
}

fn need_spec(spec: &Spec, may_install: bool, log: &mut Log) -> anyhow::Result<()> {
    let present = || succeeds(Command::new(spec.probe[0]).args(&spec.probe[1..]));
    if present() {
        return Ok(());
    }
    let by_hand = format!("apt-get install -y {}", spec.packages.join(" "));
    if !may_install {
        bail!("{} is missing; install it with: sudo {by_hand}", spec.name);
    }
    apt_install(spec.packages, log).with_context(|| format!("{} is missing; `{by_hand}` failed", spec.name))?;
    if !present() {
        bail!("{} is still missing after `{by_hand}`", spec.name);
    }
    Ok(())
}

/// The Python of a virtual environment that holds exactly the packages of `requirements`; made once, and made again
/// when that file or the system's Python changes.
pub(crate) fn python_env(root: &Path, requirements: &Path, log: &mut Log) -> anyhow::Result<PathBuf> {
    python_env_called("venv", root, requirements, log)
}

/// The same in a folder of its own, for what should not be beside the packages of others.
pub(crate) fn python_env_called(
    name: &str,
    root: &Path,
    requirements: &Path,
    log: &mut Log,
) -> anyhow::Result<PathBuf> {
    need(Tool::Python, log)?;
    let version = Command::new("python3").arg("--version").output().context("cannot start python3")?.stdout;
    let version = String::from_utf8_lossy(&version).into_owned();
    let dir = root.join("target/xtask").join(name);
    python_env_in(&dir, requirements, &version, |python| {
        log.run(Command::new("python3").args(["-m", "venv"]).arg(&dir))?;
        let pip = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--requirement"];
        log.run(Command::new(python).args(pip).arg(requirements))
    })
}

/// The stamp is what the environment was made from, word for word, and is written last: an environment that was
/// interrupted half-way has none.
fn python_env_in(
    dir: &Path,
    requirements: &Path,
    version: &str,
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let wanted = fs::read_to_string(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let wanted = format!("# {version}\n{wanted}");
    let python = dir.join("bin/python");
    let stamp = dir.join("made-from.txt");
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(python);
    }
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    make(&python).context("cannot make the Python environment")?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

/// Whether installing Debian packages is ours to do: we are root, and this is Debian or one of its descendants.
fn may_install() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    root && Path::new("/etc/debian_version").exists() && succeeds(Command::new("apt-get").arg("--version"))
}

fn apt_install(packages: &[&str], log: &mut Log) -> anyhow::Result<()> {
    static UPDATED: AtomicBool = AtomicBool::new(false);
    if !UPDATED.load(Ordering::Relaxed) {
        log.run(Command::new("apt-get").arg("update"))?;
        UPDATED.store(true, Ordering::Relaxed);
    }
    log.run(Command::new("apt-get").args(["install", "-y"]).args(packages).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// An empty folder for one test.
#[cfg(test)]
pub(crate) fn scratch(name: &str) -> PathBuf {
    let dir = env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_the_command_that_installs_it() {
        let root = scratch("need");
        let mut log = Log::create(&root, "need").unwrap();
        let there = Spec { name: "sh", probe: &["sh", "-c", "exit 0"], packages: &["dash"] };
        need_spec(&there, false, &mut log).unwrap();
        let missing = Spec { name: "x", probe: &["sh", "-c", "exit 1"], packages: &["x-one", "x-two"] };
        let error = need_spec(&missing, false, &mut log).unwrap_err().to_string();
        assert_eq!(error, "x is missing; install it with: sudo apt-get install -y x-one x-two");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn every_tool_has_a_probe_and_a_package() {
        for tool in [Tool::Git, Tool::Python, Tool::Cxx, Tool::Node, Tool::Chromium] {
            let spec = tool.spec();
            assert!(!spec.probe.is_empty() && !spec.packages.is_empty(), "{tool:?}");
        }
    }

    #[test]
    fn a_missing_component_is_named_with_the_command_that_installs_it() {
        need_component(&root(), "fmt").unwrap();
        let error = need_component(&root(), "no-such-subcommand").unwrap_err().to_string();
        assert!(error.ends_with("rustup component add rustfmt clippy"), "{error}");
    }

    #[test]
    fn the_python_environment_is_made_again_only_when_what_it_was_made_from_changes() {
        let root = scratch("venv");
        let (dir, requirements) = (root.join("venv"), root.join("requirements.txt"));
        let made = |version: &str, fails: bool| {
            let mut made = false;
            let result = python_env_in(&dir, &requirements, version, |python| {
                made = true;
                fs::create_dir_all(python.parent().unwrap())?;
                fs::write(python, "")?;
                if fails { bail!("interrupted") } else { Ok(()) }
            });
            assert_eq!(result.is_err(), fails);
            made
        };
        fs::write(&requirements, "a==1\n").unwrap();
        assert!(made("Python 3.11", false), "first use");
        assert!(!made("Python 3.11", false), "nothing changed");
        assert!(made("Python 3.12", false), "another Python");
        fs::write(&requirements, "a==2\n").unwrap();
        assert!(made("Python 3.12", true), "other packages");
        assert!(made("Python 3.12", false), "the last attempt failed");
        fs::remove_file(dir.join("bin/python")).unwrap();
        assert!(made("Python 3.12", false), "the interpreter is gone");
        assert!(!made("Python 3.12", false), "nothing changed");
        fs::remove_dir_all(root).unwrap();
    }
}
