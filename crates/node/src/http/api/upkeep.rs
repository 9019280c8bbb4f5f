//! Upkeep: a copy of the state, views folded again, alarms.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use mufakat_store::{Page, Queries, Reader, Store};
use mufakat_views::registry;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Json, Problem};
use crate::node::Node;
use crate::writer::Fault;
use crate::{DATABASE, config, witness};

/// What stands in a node's folder beside its state and belongs to a backup. The database comes first: what is added while it
/// is copied is copied too, and what is too much is let go again.
const BESIDE: [&str; 3] = [config::FILE_NAME, "invitations.cbor", "chunks"];
/// How many rows are counted at a time.
const COUNTED_ROWS: usize = 10_000;

pub(super) fn routes() -> OpenApiRouter<Arc<Node>> {
    OpenApiRouter::new().routes(routes!(back_up)).routes(routes!(rebuild_views)).routes(routes!(list_alarms))
}

/// Where a backup goes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Backup {
    /// A folder that does not exist, as a whole path, outside the node's own.
    #[schema(value_type = String)]
    path: PathBuf,
}

/// How much was copied.
#[derive(Serialize, ToSchema)]
struct BackedUp {
    bytes: u64,
}

/// Copies the node's state and what goes with it into a new folder. It holds the secret keys, so it is made at the socket alone.
#[utoipa::path(
    post, path = "/api/v1/backup", operation_id = "back_up", tag = "node", request_body = Backup,
    responses((status = 201, description = "The backup is made.", body = BackedUp))
)]
async fn back_up(
    State(node): State<Arc<Node>>,
    Json(asked): Json<Backup>,
) -> Result<(StatusCode, axum::Json<BackedUp>), Problem> {
    if !asked.path.is_absolute() {
        return Err(Problem::malformed("`path` is a whole path: the node works in another folder than its caller"));
    }
    let dir = node.dir.clone();
    let copied = node.read(move |reader| Ok(copy_all(reader, &dir, &asked.path))).await?;
    let bytes = copied.map_err(problem_of)?;
    Ok((StatusCode::CREATED, axum::Json(BackedUp { bytes })))
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
enum NoBackup {
    #[error("{0} exists already; name a folder that does not")]
    Exists(PathBuf),
    #[error("{0} is in the node's own folder; a copy would copy itself")]
    Within(PathBuf),
    #[error("{0}: {1}")]
    Folder(PathBuf, io::Error),
    #[error(transparent)]
    Store(#[from] mufakat_store::Error),
}

fn problem_of(error: NoBackup) -> Problem {
    let is_full = |e: &io::Error| matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    match error {
        NoBackup::Exists(_) => Problem::conflict("exists", error.to_string()),
        NoBackup::Within(_) => Problem::refused("within-the-node", error.to_string()),
        NoBackup::Folder(_, e) if is_full(&e) => Fault::Full.into(),
        NoBackup::Folder(..) => Problem::refused("not-writable", error.to_string()),
        NoBackup::Store(e) => Fault::from(e).into(),
    }
}

/// Copies the state and what goes with it into a new folder, durably. Gives the number of bytes.
fn copy_all(reader: &Reader, dir: &Path, to: &Path) -> Result<u64, NoBackup> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |e: io::Error| match e.kind() {
            io::ErrorKind::AlreadyExists => NoBackup::Exists(path),
            _ => NoBackup::Folder(path, e),
        }
    };
    if is_within(dir, to).map_err(at(to))? {
        return Err(NoBackup::Within(to.to_owned()));
    }
    // The backup holds the secret keys.
    DirBuilder::new().mode(0o700).create(to).map_err(at(to))?;
    let state = to.join(DATABASE);
    reader.backup_to(&state)?;
    let mut bytes = fs::metadata(&state).map_err(at(&state))?.len();
    for name in BESIDE {
        let from = dir.join(name);
        bytes += copy(&from, &to.join(name)).map_err(at(&from))?;
    }
    Ok(bytes)
}

/// Whether a folder that is to be made would be in another one, whatever links lead there.
fn is_within(dir: &Path, to: &Path) -> io::Result<bool> {
    let parent = to.parent().unwrap_or(to).canonicalize()?;
    Ok(parent.starts_with(dir.canonicalize()?))
}

/// Copies a file, or a folder with all that is in it. What is not there any more by now is not missed.
fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    if from.is_dir() {
        DirBuilder::new().mode(0o700).create(to)?;
        let mut bytes = 0;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            bytes += copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        File::open(to)?.sync_all()?;
        return Ok(bytes);
    }
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(e),
    };
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let bytes = io::copy(&mut source, &mut target)?;
    target.sync_all()?;
    Ok(bytes)
}

/// How many rows there are.
#[derive(Serialize, ToSchema)]
struct Rebuilt {
    rows: usize,
}

/// Throws the rows of all views away and folds them again from the records.
#[utoipa::path(
    post, path = "/api/v1/rebuild", operation_id = "rebuild_views", tag = "node",
    responses((status = 200, description = "The rows are there again.", body = Rebuilt))
)]
async fn rebuild_views(State(node): State<Arc<Node>>) -> Result<axum::Json<Rebuilt>, Problem> {
    node.writer.call(|core| Ok(core.store.rebuild_views()?)).await?;
    let rows =
        node.read(|reader| registry::VIEWS.iter().map(|view| count(reader, view.name())).sum::<Result<usize, _>>());
    Ok(axum::Json(Rebuilt { rows: rows.await? }))
}

fn count(reader: &Reader, view: &'static str) -> Result<usize, mufakat_store::Error> {
    let (mut rows, mut after) = (0, None::<Vec<u8>>);
    loop {
        let page = Page {
            view,
            after: after.as_deref(),
            limit: COUNTED_ROWS,
            facets: &[],
            newest_first: false,
            classes: None,
        };
        let found = reader.view_page(&page)?;
        rows += found.len();
        match found.into_iter().last() {
            Some(last) => after = Some(last.key),
            None => return Ok(rows),
        }
    }
}

/// What witnesses found wrong.
#[derive(Serialize, ToSchema)]
struct Alarms {
    alarms: Vec<witness::Alarm>,
}

/// The alarms of witnesses: ledgers that have shown different histories.
#[utoipa::path(
    get, path = "/api/v1/alarms", operation_id = "list_alarms", tag = "node",
    responses((status = 200, description = "The alarms.", body = Alarms))
)]
async fn list_alarms(State(node): State<Arc<Node>>) -> Result<axum::Json<Alarms>, Problem> {
    Ok(axum::Json(Alarms { alarms: witness::alarms(&node).await? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_copied_with_all_that_is_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("chunks/ab")).unwrap();
        fs::write(from.join("chunks/ab/one"), b"EXERCISE").unwrap();
        fs::write(from.join("chunks/two"), b"12").unwrap();
        assert_eq!(copy(&from, &to).unwrap(), 10);
        assert_eq!(fs::read(to.join("chunks/ab/one")).unwrap(), b"EXERCISE");
        assert_eq!(copy(&dir.path().join("nothing"), &dir.path().join("else")).unwrap(), 0);
        // Nothing that is there is written over.
        assert_eq!(copy(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_backup_does_not_go_into_what_it_copies() {
        let dir = tempfile::tempdir().unwrap();
        let (node, link) = (dir.path().join("node"), dir.path().join("link"));
        fs::create_dir_all(node.join("chunks")).unwrap();
        std::os::unix::fs::symlink(&node, &link).unwrap();
        let check = |to: PathBuf, within| assert_eq!(is_within(&node, &to).unwrap(), within, "{}", to.display());
        check(node.join("copy"), true);
        check(node.join("chunks/copy"), true);
        check(link.join("copy"), true);
        check(link.join("chunks/../copy"), true);
        check(dir.path().join("node-copy"), false);
        assert!(is_within(&node, &dir.path().join("nowhere/copy")).is_err());
    }

    #[test]
    fn a_backup_that_cannot_be_made_says_why() {
        let check = |error: NoBackup, reason: &str| assert_eq!(problem_of(error).reason(), reason);
        check(NoBackup::Exists("x".into()), "exists");
        check(NoBackup::Within("x".into()), "within-the-node");
        check(NoBackup::Folder("x".into(), io::ErrorKind::StorageFull.into()), "storage-full");
        check(NoBackup::Folder("x".into(), io::ErrorKind::PermissionDenied.into()), "not-writable");
        check(NoBackup::Store(mufakat_store::Error::Full), "storage-full");
    }
}
