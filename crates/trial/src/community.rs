//! A community of real nodes: one process each, one folder each, on loopback, driven through the command line that people use.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How long anything may take that ought to happen within a moment.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long to rest between two attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(30);

/// The processes that this program started and has not seen end; nothing once it was interrupted, so that no more begin.
static RUNNING: Mutex<Option<Vec<u32>>> = Mutex::new(Some(Vec::new()));

/// Starts a process that [`interrupt`] ends.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let running = running.as_mut().context("interrupted")?;
    let program = command.get_program().to_owned();
    let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    running.push(child.id());
    Ok(child)
}

/// Kills a process that [`spawn`] started, if it has not ended yet, and forgets it.
pub(crate) fn finish(child: &mut Child) -> Result<std::process::ExitStatus> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    // Of a process that has ended already there is nothing to kill.
    let _ = child.kill();
    let status = child.wait()?;
    if let Some(running) = running.as_mut() {
        running.retain(|process| *process != child.id());
    }
    Ok(status)
}

/// Kills every process that was started here, and lets no other begin. What waits for them sees it and gives up.
pub(crate) fn interrupt() {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    for process in running.take().into_iter().flatten() {
        // One that has ended meanwhile and is not forgotten yet cannot be killed, and need not be.
        let _ = Command::new("kill").args(["-KILL", &process.to_string()]).stderr(Stdio::null()).status();
    }
}

/// Tries something until it succeeds.
pub(crate) fn until<T>(what: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        match attempt() {
            Err(error) if started.elapsed() > PATIENCE || interrupted() => {
                return Err(error.context(format!("waited in vain for {what}")));
            }
            Err(_) => std::thread::sleep(ATTEMPT_PAUSE),
            done => return done,
        }
    }
}

fn interrupted() -> bool {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).is_none()
}

/// An agency as it is to be set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agency {
    /// Its id.
    pub(crate) id: &'static str,
    /// Its party's id.
    pub(crate) party: &'static str,
    /// Its name.
    pub(crate) name: &'static str,
    /// Its party's name.
    pub(crate) party_name: &'static str,
    /// Whether it relays.
    pub(crate) relay: bool,
}

/// A node that this program started, or may start.
pub(crate) struct Node {
    /// The agency.
    pub(crate) agency: Agency,
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// Where the node itself listens for partners.
    pub(crate) peers_port: u16,
    /// Where its operator looks.
    pub(crate) ops_port: u16,
    binary: PathBuf,
    environment: BTreeMap<String, String>,
    child: Option<Child>,
}

impl Node {
    /// Makes the node's folder and keys. With `tapped` partners reach it through another port, on which a [`crate::tap::Tap`]
    /// is to listen.
    pub(crate) fn init(binary: &Path, root: &Path, agency: Agency, tapped: Option<u16>) -> Result<Self> {
        let dir = root.join(agency.id);
        let (peers, ops) = (free_port()?, free_port()?);
        let node = Self {
            agency,
            dir,
            peers_port: peers,
            ops_port: ops,
            binary: binary.to_owned(),
            environment: BTreeMap::new(),
            child: None,
        };
        let (listen, ops) = (format!("127.0.0.1:{peers}"), format!("127.0.0.1:{ops}"));
        let endpoint = format!("127.0.0.1:{}", tapped.unwrap_or(peers));
        let card = node.card_file();
        let mut arguments = vec![
            "init",
            "--agency",
            agency.id,
            "--party",
            agency.party,
            "--name",
            agency.name,
            "--party-name",
            agency.party_name,
            "--endpoint",
            &endpoint,
            "--listen",
            &listen,
            "--ops",
            &ops,
            "--card",
            &card,
        ];
        if agency.relay {
            arguments.push("--relay");
        }
        node.cli(&arguments)?;
        Ok(node)
    }

    /// The file with the node's card.
    pub(crate) fn card_file(&self) -> String {
        self.dir.with_extension("card").display().to_string()
    }

    /// Sets an environment variable for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Where the node's log goes.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.dir.with_extension("log")
    }

    /// The socket of the node.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join(mufakat_node::SOCKET)
    }

    /// Starts the node and waits until it answers.
    pub(crate) fn start(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.agency.id);
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let mut command = Command::new(&self.binary);
        command.args(["--dir", &self.dir.display().to_string(), "serve"]).envs(&self.environment);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(spawn(&mut command)?);
        let started = Instant::now();
        while self.cli(&["status"]).is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok()).flatten();
            if let Some(status) = ended {
                self.kill()?;
                bail!("{} ended with {status}; its log is {}", self.agency.id, self.log_file().display());
            }
            ensure!(started.elapsed() < PATIENCE, "{} does not answer", self.agency.id);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The process, while the node runs.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills the node as a power cut would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            finish(&mut child)?;
        }
        Ok(())
    }

    /// Tells the node to stop and waits for it.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        ensure!(told.success(), "cannot tell {} to stop", self.agency.id);
        let started = Instant::now();
        while child.try_wait()?.is_none() {
            if started.elapsed() > PATIENCE {
                finish(&mut child)?;
                bail!("{} did not stop in time", self.agency.id);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        finish(&mut child)?;
        Ok(())
    }

    /// Runs a command of the node with `--json` and gives what it answers.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.command(arguments).output()?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("{}: `mufakat {}` failed: {}", self.agency.id, arguments.join(" "), complaint.trim());
        }
        if output.stdout.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`mufakat {}` does not answer with JSON", arguments.join(" ")))
    }

    /// A command of the node, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(["--dir", &self.dir.display().to_string(), "--json"]).args(arguments);
        command
    }

    /// Waits until something is true of what a command answers.
    pub(crate) fn wait(&self, what: &str, arguments: &[&str], holds: impl Fn(&Value) -> bool) -> Result<Value> {
        until(&format!("{} at {}", what, self.agency.id), || {
            let answer = self.cli(arguments)?;
            ensure!(holds(&answer), "the last answer was {answer}");
            Ok(answer)
        })
    }

    /// How much processor time the node has used, in seconds, as the system counts it in hundredths.
    pub(crate) fn processor_s(&self) -> Result<f64> {
        let process = self.process().context("the node does not run")?;
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name of the program may hold spaces; the fields after its closing bracket cannot (proc(5)).
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
        Ok((ticks(11) + ticks(12)) / 100.0)
    }

    /// How much memory the node holds, in bytes, as the system counts it (resident set size).
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let process = self.process().context("the node does not run")?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nothing that was started here outlives this program.
        let _ = self.kill();
    }
}

/// Several nodes in one folder.
pub(crate) struct Community {
    /// The nodes, in the order in which they were set up.
    pub(crate) nodes: Vec<Node>,
    /// The folder that holds all of theirs.
    pub(crate) root: PathBuf,
}

impl Community {
    /// Makes nodes for agencies, founds a register with all of them, and starts them.
    pub(crate) fn founded(binary: &Path, root: &Path, agencies: &[Agency], witness_interval_s: u64) -> Result<Self> {
        let mut nodes = Vec::new();
        for agency in agencies {
            let mut node = Node::init(binary, root, *agency, None)?;
            node.start()?;
            nodes.push(node);
        }
        let community = Self { nodes, root: root.to_owned() };
        community.found(&community.nodes.iter().collect::<Vec<_>>(), witness_interval_s)?;
        Ok(community)
    }

    /// Founds a register with some of the nodes; each of them approves.
    pub(crate) fn found(&self, founders: &[&Node], witness_interval_s: u64) -> Result<()> {
        let file = self.root.join("founding.register").display().to_string();
        let interval = witness_interval_s.to_string();
        let (first, others) = founders.split_first().context("somebody must found the register")?;
        let cards: Vec<String> = others.iter().map(|node| node.card_file()).collect();
        let parties = founders.iter().map(|n| n.agency.party).collect::<std::collections::BTreeSet<_>>().len();
        let threshold = (parties / 2 + 1).to_string();
        let mut arguments = vec!["register", "found", "--community", "EXERCISE community", "--threshold", &threshold];
        for card in &cards {
            arguments.extend(["--card", card]);
        }
        arguments.extend(["--witness-quorum", "1", "--witness-interval-s", &interval, "--relay-max-s", "604800"]);
        arguments.extend(["-o", &file]);
        first.cli(&arguments)?;
        for node in others {
            node.cli(&["register", "approve", "--founding", &file])?;
        }
        // The file now holds every approval: whoever approved before the last one takes it up.
        for node in founders {
            if node.cli(&["status"]).is_ok_and(|status| status["phase"] == "waiting") {
                // The node may just be taking the register up and not answer.
                let _ = node.cli(&["register", "approve", "--founding", &file]);
            }
            node.wait("the register", &["status"], |status| status["phase"] == "running")?;
        }
        Ok(())
    }

    /// A node by its agency.
    pub(crate) fn node(&self, agency: &str) -> &Node {
        // The names stand in this program.
        self.nodes.iter().find(|node| node.agency.id == agency).expect("an agency of the community")
    }

    /// A node by its agency, to start or stop it.
    pub(crate) fn node_mut(&mut self, agency: &str) -> &mut Node {
        // The names stand in this program.
        self.nodes.iter_mut().find(|node| node.agency.id == agency).expect("an agency of the community")
    }
}

/// The command that stands beside this program.
pub(crate) fn binary() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let binary = here.with_file_name("mufakat");
    ensure!(binary.exists(), "{} is missing; `cargo build -p mufakat-cli` makes it", binary.display());
    Ok(binary)
}

/// A port of loopback on which nobody listens just now.
pub(crate) fn free_port() -> Result<u16> {
    Ok(mufakat_node::net::free_address()?.port())
}
