//! Signing in by an identity provider: a real node, a real provider in a process of its own, and a browser in between.

use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;
use http::{Method, Request, header};
use mufakat_node::net::web::{self, Web};
use serde_json::{Value, json};

use crate::community::{self, Agency, Community, Node, PATIENCE, free_port, until};

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Where a sign-in begins.
const BEGIN: &str = "/api/v1/session/oidc/begin";

const AGENCY: Agency =
    Agency { id: "vn-police", party: "vn", name: "EXERCISE police", party_name: "EXERCISE Viet Nam", relay: false };

/// Options of the trial.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// The Python in which the provider is installed
    #[arg(long)]
    python: PathBuf,
}

/// Runs the trial; an error is a step that did not hold.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let port = free_port()?;
    let mut provider = Provider::start(&args.python, port)?;
    let stage = Stage::start(folder.path(), port)?;
    let held = runtime.block_on(stage.play())?;
    provider.stop()?;
    let mut browser = Browser::new(&stage);
    let (status, answer) = runtime.block_on(browser.post(BEGIN, &json!({})))?;
    ensure!(status == 502 && answer["reason"] == "provider-away", "without a provider: {status} {answer}");
    println!("{} checks held", held + 1);
    Ok(ExitCode::SUCCESS)
}

/// The provider's process.
struct Provider(Option<Child>);

impl Provider {
    fn start(python: &PathBuf, port: u16) -> Result<Self> {
        let mut command = Command::new(python);
        command.args(["-W", "ignore", "-m", "oidc_provider_mock", "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let provider = Self(Some(community::spawn(&mut command)?));
        until("the provider to listen", || Ok(std::net::TcpStream::connect(("127.0.0.1", port))?))?;
        Ok(provider)
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.0.take() {
            community::finish(&mut child)?;
        }
        Ok(())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Nothing that was started here outlives this program.
        let _ = self.stop();
    }
}

/// The node and where its desk is.
struct Stage {
    community: Community,
    desk: String,
}

impl Stage {
    fn start(root: &std::path::Path, provider: u16) -> Result<Self> {
        let port = free_port()?;
        let desk = format!("http://localhost:{port}");
        let secret = root.join("client.secret");
        std::fs::write(&secret, "EXERCISE client secret\n")?;
        let mut node = Node::init(&community::binary()?, root, AGENCY, None)?;
        for (name, value) in [
            ("MUFAKAT_DESK__LISTEN", format!("127.0.0.1:{port}")),
            ("MUFAKAT_DESK__ORIGIN", desk.clone()),
            ("MUFAKAT_OIDC__ISSUER", format!("http://localhost:{provider}")),
            ("MUFAKAT_OIDC__CLIENT_ID", "mufakat".to_owned()),
            ("MUFAKAT_OIDC__CLIENT_SECRET_FILE", secret.display().to_string()),
        ] {
            node.set(name, &value);
        }
        node.start()?;
        let community = Community { nodes: vec![node], root: root.to_owned() };
        community.found(&community.nodes.iter().collect::<Vec<_>>(), 60)?;
        Ok(Self { community, desk })
    }

    fn invitation(&self, officer: &str) -> Result<String> {
        let node = self.community.node(AGENCY.id);
        let grant = ["--name", "EXERCISE", "--role", "analyst", "--clearance", "AMBER"];
        let answer = node.cli(&[&["officer", "invite", officer][..], &grant].concat())?;
        Ok(answer["secret"].as_str().context("no invitation")?.to_owned())
    }

    /// Plays all that can happen; gives how many checks held.
    async fn play(&self) -> Result<usize> {
        let mut held = 0;
        let mut holds = |what: &str, is: bool| {
            ensure!(is, "it does not hold: {what}");
            held += 1;
            Ok(())
        };
        let invitation = self.invitation("d3-night")?;
        let mut browser = Browser::new(self);
        let state = browser.sign_in(Some(&invitation), "sub-alice").await?;
        holds("the first sign-in binds the account", browser.officer().await? == json!("d3-night"))?;
        let (status, _) = browser.get(&state).await?;
        holds("what came back once does not count again", status == 401)?;

        let mut again = Browser::new(self);
        again.sign_in(None, "sub-alice").await?;
        holds("the account signs in from then on", again.officer().await? == json!("d3-night"))?;
        let mut stranger = Browser::new(self);
        stranger.sign_in(None, "sub-mallory").await?;
        holds("an account that nobody bound signs nobody in", stranger.officer().await?.is_null())?;
        let mut late = Browser::new(self);
        let (status, _) = late.post(BEGIN, &json!({ "invitation": invitation })).await?;
        holds("an invitation is good once", status == 401)?;

        let second = self.invitation("d4-day")?;
        let mut other = Browser::new(self);
        other.sign_in(Some(&second), "sub-alice").await?;
        holds("one account is one officer's", other.officer().await?.is_null())?;
        other.sign_in(Some(&second), "sub-bob").await?;
        holds("the invitation is still good for another", other.officer().await? == json!("d4-day"))?;

        let mut thief = Browser::new(self);
        let link = thief.consent(None, Some("sub-mallory")).await?;
        let mut victim = Browser::new(self);
        let (status, _) = victim.get(&link).await?;
        holds("nobody is signed in by a link that somebody else began", status == 401)?;
        let mut mixed = Browser::new(self);
        let theirs = mixed.consent(None, Some("sub-alice")).await?;
        let mine = again.consent(None, Some("sub-alice")).await?;
        let swapped = swap_codes(&theirs, &mine)?;
        let (status, _) = mixed.get(&swapped).await?;
        holds("a code belongs to the sign-in for which it was given out", status == 401)?;
        let mut unwilling = Browser::new(self);
        let denied = unwilling.consent(None, None).await?;
        let (status, _) = unwilling.get(&denied).await?;
        holds("whom the provider refuses is not signed in", status == 401)?;

        let node = self.community.node(AGENCY.id);
        node.cli(&["officer", "revoke", "d3-night", "--reason", "EXERCISE"])?;
        holds("who is revoked is out", again.officer().await?.is_null())?;
        again.sign_in(None, "sub-alice").await?;
        holds("and stays out", again.officer().await?.is_null())?;
        Ok(held)
    }
}

/// The first link with the code of the second.
fn swap_codes(one: &str, other: &str) -> Result<String> {
    let code = |link: &str| {
        let (_, rest) = link.split_once("code=")?;
        Some(rest.split('&').next().unwrap_or_default().to_owned())
    };
    let (mine, theirs) = (code(one).context("no code")?, code(other).context("no code")?);
    Ok(one.replace(&mine, &theirs))
}

/// A browser at the desk.
struct Browser {
    desk: String,
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn new(stage: &Stage) -> Self {
        Self { desk: stage.desk.clone(), cookies: Vec::new() }
    }

    async fn send(&mut self, method: Method, url: &str, kind: &str, body: String) -> Result<http::Response<Vec<u8>>> {
        let own = url.starts_with(&self.desk);
        let mut request = Request::builder().method(method).uri(url).header(header::CONTENT_TYPE, kind);
        if own {
            request = request.header(header::ORIGIN, &self.desk);
            for (name, value) in &self.cookies {
                request = request.header(header::COOKIE, format!("{name}={value}"));
            }
        }
        let response = web::call(&Web::plain(), request.body(body.into_bytes())?, PATIENCE, ANSWER_BYTES_MAX).await?;
        for cookie in response.headers().get_all(header::SET_COOKIE).iter().filter(|_| own) {
            let (name, rest) = cookie.to_str()?.split_once('=').context("a cookie without a value")?;
            let value = rest.split(';').next().unwrap_or_default();
            self.cookies.retain(|(of, _)| of != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(response)
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let url = format!("{}{path}", self.desk);
        let response = self.send(Method::POST, &url, "application/json", body.to_string()).await?;
        Ok((response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default()))
    }

    async fn get(&mut self, url: &str) -> Result<(u16, Value)> {
        let response = self.send(Method::GET, url, "text/plain", String::new()).await?;
        Ok((response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default()))
    }

    /// Who is signed in; null when nobody is.
    async fn officer(&mut self) -> Result<Value> {
        let url = format!("{}/api/v1/session", self.desk);
        Ok(self.get(&url).await?.1["officer"].clone())
    }

    /// Goes to the provider and says there who one is, or refuses; gives the link to which the provider sends the browser.
    async fn consent(&mut self, invitation: Option<&str>, subject: Option<&str>) -> Result<String> {
        let (status, begun) = self.post(BEGIN, &json!({ "invitation": invitation })).await?;
        ensure!(status == 200, "a sign-in does not begin: {begun}");
        let url = begun["url"].as_str().context("no URL")?;
        for part in ["code_challenge_method=S256", "nonce=", "state=", "response_type=code"] {
            ensure!(url.contains(part), "{part} is not asked for: {url}");
        }
        let form = subject.map_or("action=deny".to_owned(), |subject| format!("sub={subject}"));
        let answer = self.send(Method::POST, url, "application/x-www-form-urlencoded", form).await?;
        let link = answer.headers().get(header::LOCATION).context("the provider sends the browser nowhere")?;
        Ok(link.to_str()?.to_owned())
    }

    /// The whole of a sign-in; gives the link that came back.
    async fn sign_in(&mut self, invitation: Option<&str>, subject: &str) -> Result<String> {
        let link = self.consent(invitation, Some(subject)).await?;
        self.cookies.retain(|(name, _)| name != "__Host-mufakat");
        self.get(&link).await?;
        Ok(link)
    }
}
