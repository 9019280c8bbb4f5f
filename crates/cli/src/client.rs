//! Requests to the running node, with its refusals as errors.

use std::path::{Path, PathBuf};

use anyhow::Context;
use axum::body::Body;
use bytes::Bytes;
use http::{Method, StatusCode};
use mufakat_node::net::local_client::{self, Node, Response};
use mufakat_node::net::web::Web;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use url::Url;

use crate::failure::{Failure, refused};

/// The largest JSON answer that is taken, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// The largest problem that is read, in bytes.
const PROBLEM_BYTES_MAX: usize = 64 << 10;
/// How many of the newest rows of a view are searched for the beginning of an id.
const SEARCHED_ROWS: usize = 1_000;
/// The fewest characters of an id that are taken for it.
const PREFIX_CHARS_MIN: usize = 8;
/// The characters of a whole record id.
const ID_CHARS: usize = 64;

/// The media type of JSON.
pub(crate) const JSON: &str = "application/json";
/// The media type of bytes without a type of their own.
pub(crate) const OCTETS: &str = "application/octet-stream";

/// The variable in which an officer's token stands. It has no option, because others could read it there.
const TOKEN: &str = "MUFAKAT_TOKEN";

/// The node of one folder, or one at its desk.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    dir: PathBuf,
    node: Node,
}

impl Client {
    /// The node in `dir`. Whether it runs shows with the first request.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), node: Node::Socket(dir.join(mufakat_node::SOCKET)) }
    }

    /// A node at its desk, as the officer whose token stands in the environment.
    pub(crate) fn at_desk(url: &Url, certificates: &Path) -> anyhow::Result<Self> {
        let token = std::env::var(TOKEN).ok().filter(|token| !token.trim().is_empty());
        let token = token.ok_or_else(|| crate::failure::usage(format!("{TOKEN} holds no token; --node needs one")))?;
        let web = match url.scheme() {
            "https" => Web::trusting(certificates)
                .with_context(|| format!("{} cannot be used to verify {url}", certificates.display()))?,
            _ => Web::plain(),
        };
        let node = Node::Desk { url: url.clone(), web, token: token.trim().to_owned() };
        Ok(Self { dir: PathBuf::new(), node })
    }

    /// Whether a request failed in the way it does while a node goes over from waiting for a register to running with one.
    pub(crate) fn is_starting(&self, error: &anyhow::Error) -> bool {
        match error.downcast_ref() {
            Some(Failure::NotRunning { .. }) => return self.dir.exists(),
            Some(Failure::Problem(problem)) => return problem["reason"] == "no-register",
            _ => {}
        }
        matches!(error.downcast_ref(), Some(local_client::Error::Exchange(_)))
    }

    /// Sends a request and gives the answer, whatever its status.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Body,
    ) -> anyhow::Result<Response> {
        match local_client::ask(&self.node, method, path, content_type, body).await {
            Err(local_client::Error::Connect { source, .. }) if is_absent(&source) => {
                Err(Failure::NotRunning { dir: self.dir.clone() }.into())
            }
            Err(local_client::Error::Connect { path, source }) => {
                Err(anyhow::Error::new(source).context(format!("{} cannot be opened", path.display())))
            }
            other => Ok(other?),
        }
    }

    /// Sends a request and gives the answer if the node did what was asked.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Body,
    ) -> anyhow::Result<Response> {
        accepted(self.send(method, path, content_type, body).await?).await
    }

    /// Reads something.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        json_of(self.request(Method::GET, path, None, Body::empty()).await?).await
    }

    /// Reads bytes of any number, which come as they are read.
    pub(crate) async fn download(&self, path: &str) -> anyhow::Result<Response> {
        self.request(Method::GET, path, None, Body::empty()).await
    }

    /// Asks for something to be done.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        json_of(self.post_for_bytes(path, body).await?).await
    }

    /// Puts something in the place of what was there.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        json_of(self.request(Method::PUT, path, Some(JSON), Body::from(body.to_string())).await?).await
    }

    /// Asks for something to be done whose result is bytes.
    pub(crate) async fn post_for_bytes(&self, path: &str, body: &Value) -> anyhow::Result<Response> {
        self.request(Method::POST, path, Some(JSON), Body::from(body.to_string())).await
    }

    /// The whole id of a record that was given by its beginning, if only one among the newest rows of the inbox and of what
    /// was sent begins so.
    pub(crate) async fn record_id(&self, given: &str) -> anyhow::Result<String> {
        self.id_in(&["inbox", "track"], given).await
    }

    /// The same among the newest rows of some views.
    pub(crate) async fn id_in(&self, views: &[&str], given: &str) -> anyhow::Result<String> {
        self.id_among(views, "", |row| &row["record"], given).await
    }

    /// The same among those rows that have some facets (`&facet=…`), by the id that stands in a place of each.
    pub(crate) async fn id_among(
        &self,
        views: &[&str],
        facets: &str,
        place: impl Fn(&Value) -> &Value,
        given: &str,
    ) -> anyhow::Result<String> {
        let given = given.to_ascii_lowercase();
        let hexadecimal = given.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hexadecimal && given.len() == ID_CHARS {
            return Ok(given);
        }
        if !hexadecimal || given.len() > ID_CHARS {
            return Err(crate::failure::usage(format!("`{given}` is not the id of a record")));
        }
        if given.len() < PREFIX_CHARS_MIN {
            return Err(crate::failure::usage(format!(
                "`{given}` is too short: give the whole id, or at least {PREFIX_CHARS_MIN} characters of it"
            )));
        }
        let mut found: Vec<String> = Vec::new();
        for view in views {
            for row in self.rows(view, facets, SEARCHED_ROWS).await? {
                let record = place(&row).as_str().unwrap_or_default();
                if record.starts_with(&given) && !found.iter().any(|id| id == record) {
                    found.push(record.to_owned());
                }
            }
        }
        match found.as_slice() {
            [id] => Ok(id.clone()),
            [] => Err(refused(
                "not-found",
                format!(
                    "no id among the newest {SEARCHED_ROWS} rows of {} begins with {given}; give the whole id",
                    views.join(" and ")
                ),
            )),
            _ => Err(refused("ambiguous", format!("several ids begin with {given}: {}", found.join(", ")))),
        }
    }

    /// The newest rows of a view that have some facets (`&facet=…`).
    pub(crate) async fn rows(&self, view: &str, facets: &str, rows_max: usize) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor: Option<String> = None;
        while rows.len() < rows_max {
            let after = cursor.as_ref().map(|cursor| format!("&after={}", escape(cursor))).unwrap_or_default();
            let page = self.get(&format!("/api/v1/views/{view}?limit=500&order=newest{facets}{after}")).await?;
            rows.extend(page["rows"].as_array().into_iter().flatten().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
        Ok(rows)
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused)
}

/// The answer, if it is not a refusal.
pub(crate) async fn accepted(response: Response) -> anyhow::Result<Response> {
    if response.status.is_success() { Ok(response) } else { Err(Failure::Problem(problem_of(response).await).into()) }
}

/// The problem that a refusal tells of.
pub(crate) async fn problem_of(response: Response) -> Value {
    let status = response.status;
    // A refusal that cannot be read is still one; its status says the rest.
    let body = response.bytes(PROBLEM_BYTES_MAX).await.unwrap_or_default();
    let problem = serde_json::from_slice(&body).ok().filter(Value::is_object);
    problem.unwrap_or_else(|| unexplained(status, &body))
}

fn unexplained(status: StatusCode, body: &Bytes) -> Value {
    let title = status.canonical_reason().unwrap_or("refused");
    let said = String::from_utf8_lossy(body);
    json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": said.trim(), "reason": "refused" })
}

/// The JSON of an answer.
pub(crate) async fn json_of(response: Response) -> anyhow::Result<Value> {
    let body = response.bytes(ANSWER_BYTES_MAX).await?;
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(&body).context("the node's answer is not JSON")
}

/// Writes an answer's body to a file, and gives the number of bytes. The file gets its name only when it is whole; one that
/// exists is replaced only if told to. `-` is standard output.
pub(crate) async fn save(
    mut response: Response,
    path: &Path,
    replace: bool,
    progress: impl FnMut(u64),
) -> anyhow::Result<u64> {
    if path == Path::new("-") {
        let mut bytes = 0;
        while let Some(chunk) = response.chunk().await? {
            crate::output::Output::new(false).bytes(&chunk)?;
            bytes += chunk.len() as u64;
        }
        return Ok(bytes);
    }
    let shown = path.display();
    if !replace && path.exists() {
        return Err(refused("exists", format!("{shown} exists; name another file, or add --force")));
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = write_all(response, &part, progress).await;
    if written.is_err() {
        // Why it broke off says more than why the rest of it cannot be cleared away.
        let _ = tokio::fs::remove_file(&part).await;
    }
    let bytes = written?;
    tokio::fs::rename(&part, path).await.with_context(|| format!("cannot write {shown}"))?;
    Ok(bytes)
}

async fn write_all(mut response: Response, path: &Path, mut progress: impl FnMut(u64)) -> anyhow::Result<u64> {
    let mut bytes = 0;
    let cannot = || format!("cannot write {}", path.display());
    let mut file = tokio::fs::File::create(path).await.with_context(cannot)?;
    while let Some(chunk) = response.chunk().await? {
        file.write_all(&chunk).await.with_context(cannot)?;
        bytes += chunk.len() as u64;
        progress(bytes);
    }
    file.sync_all().await.with_context(cannot)?;
    Ok(bytes)
}

/// Text as it may stand in a query or a path.
pub(crate) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        assert_eq!(escape("báo cáo & 1.json"), "b%C3%A1o%20c%C3%A1o%20%26%201.json");
        assert_eq!(escape("application/json"), "application%2Fjson");
    }

    #[test]
    fn a_refusal_without_a_problem_is_told() {
        let problem = unexplained(StatusCode::BAD_GATEWAY, &Bytes::from_static(b" no \n"));
        assert_eq!(problem["status"], 502);
        assert_eq!(problem["detail"], "no");
    }

    #[tokio::test]
    async fn a_file_gets_its_name_only_when_it_is_whole() {
        use axum::routing::get;
        use mufakat_node::net::listen::{bind_local, serve_local};

        let dir = std::env::temp_dir().join(format!("mufakat-save-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let broken = || async {
            let (sender, receiver) = tokio::sync::mpsc::channel(1);
            sender.send(Bytes::from_static(b"half")).await.unwrap();
            // What has come must be on its way before the rest fails to come.
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                drop(sender);
            });
            ([(http::header::CONTENT_LENGTH, "8")], local_client::body_from_channel(receiver))
        };
        let problem = || async { (StatusCode::CONFLICT, "{\"reason\":\"incomplete\",\"have\":1}") };
        let router = axum::Router::new()
            .route("/whole", get(|| async { "whole" }))
            .route("/broken", get(broken))
            .route("/problem", get(problem));
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        tokio::spawn(serve_local(bind_local(&dir.join(mufakat_node::SOCKET)).unwrap(), router, stopped));
        let client = Client::new(&dir);
        let file = dir.join("file");
        let download =
            async |path: &str, replace: bool| save(client.download(path).await.unwrap(), &file, replace, |_| ()).await;

        assert!(download("/broken", false).await.is_err());
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "only the socket is there");
        assert_eq!(download("/whole", false).await.unwrap(), 5);
        let error = download("/whole", false).await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Failure::Refused { reason: "exists", .. })), "{error}");
        assert!(download("/broken", true).await.is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"whole");
        let error = client.download("/problem").await.unwrap_err();
        let Some(Failure::Problem(problem)) = error.downcast_ref() else { panic!("{error}") };
        assert_eq!((&problem["reason"], &problem["have"]), (&json!("incomplete"), &json!(1)));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn without_a_node_the_failure_says_so() {
        let dir = std::env::temp_dir().join(format!("mufakat-no-node-{}", std::process::id()));
        let error = Client::new(&dir).get("/api/v1/status").await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Failure::NotRunning { .. })), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_id_is_refused_before_anything_is_asked() {
        for given in ["abc", "../../../keys", &"0".repeat(65)] {
            let error = Client::new(Path::new("/nonexistent")).record_id(given).await.unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(Failure::Usage(_))), "{error}");
        }
    }
}
