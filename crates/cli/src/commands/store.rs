//! `backup`, `restore`, `rebuild` and `fsck`: what is on the disk.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mufakat_store::lists::Lists;
use mufakat_store::{Error, Options, Queries, Reader, Sqlite, Store};
use serde_json::{Value, json};

use crate::client::Client;
use crate::failure::{refused, usage};
use crate::output::{Output, bytes_shown, text_of};
use crate::when;

/// The name of the state file in a backup is the same as in a folder.
const STATE: &str = mufakat_node::DATABASE;
/// The state file while it is being restored.
const RESTORING: &str = "node.db.restoring";
/// What SQLite and the store put beside the state file.
const BESIDE_STATE: [&str; 4] = ["-wal", "-shm", "-journal", ".lock"];
/// The highest epoch that is begun, because a store counts up to it one by one.
const EPOCH_MAX: u64 = 10_000;

/// Has the running node write a copy of its state.
pub(super) async fn backup(client: &Client, path: &Path, output: Output) -> anyhow::Result<()> {
    // The node works in another folder than the user.
    let path = std::path::absolute(path).context("where is the backup to go?")?;
    let mut answer = client.post("/api/v1/backup", &json!({ "path": path })).await?;
    answer["path"] = json!(path);
    output.show(&answer, || {
        let bytes = answer["bytes"].as_u64().map(bytes_shown).unwrap_or_default();
        format!("{}: {bytes}. It holds the secret keys: keep it as safe as the node.", path.display())
    })?;
    Ok(())
}

/// Has the running node fold its views again.
pub(super) async fn rebuild(client: &Client, output: Output) -> anyhow::Result<()> {
    let answer = client.post("/api/v1/rebuild", &json!({})).await?;
    output.show(&answer, || format!("all views are folded again: {} rows", text_of(&answer["rows"])))?;
    Ok(())
}

/// Checks the state file, the chunks and the lists of a folder. A node may be running on it.
pub(super) fn fsck(dir: &Path, output: Output) -> anyhow::Result<()> {
    let state = dir.join(STATE);
    let reader = Reader::open_to_read(&state).with_context(|| format!("cannot check {}", state.display()))?;
    let agency = reader.state()?.me;
    let counts = reader.counts();
    let mut findings: Vec<(String, String)> =
        reader.fsck()?.into_iter().map(|finding| (finding.part.to_string(), finding.what)).collect();
    let chunks = mufakat_node::check_chunks(dir).into_iter();
    findings.extend(chunks.map(|(file, what)| (file.display().to_string(), what)));
    findings.extend(lists_fault(&dir.join(mufakat_node::LISTS)).map(|what| ("lists".to_owned(), what)));
    // Counting may fail on what the check has named already.
    let (records, leaves) = counts.map_or((None, None), |counts| (Some(counts.records), Some(counts.leaves)));
    let list: Vec<Value> = findings.iter().map(|(part, what)| json!({ "part": part, "what": what })).collect();
    let answer = json!({
        "agency": agency, "clean": findings.is_empty(), "records": records, "leaves": leaves, "findings": list,
    });
    output.show(&answer, || {
        let number = |value: Option<u64>| value.map_or("?".to_owned(), |value| value.to_string());
        let mut text = format!("{agency}: {} records, {} leaves\n", number(records), number(leaves));
        for (part, what) in &findings {
            text.push_str(&format!("{part}: {what}\n"));
        }
        text.push_str(if findings.is_empty() { "clean\n" } else { "" });
        text
    })?;
    if findings.is_empty() {
        return Ok(());
    }
    Err(refused("damaged", format!("{} findings", findings.len())))
}

/// What is wrong with the file of private matching. A node that never matched anything has none.
fn lists_fault(path: &Path) -> Option<String> {
    if !path.exists() {
        return None;
    }
    Lists::open(path).and_then(|lists| lists.check()).err().map(|error| error.to_string())
}

/// What is in a folder, in order; nothing when it is not there.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let list = match fs::read_dir(dir) {
        Ok(list) => list,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut paths = list.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Makes a folder from a backup, or replaces the state of one.
pub(super) fn restore(dir: &Path, backup: &Path, replace: bool, epoch_min: u64, output: Output) -> anyhow::Result<()> {
    let state = dir.join(STATE);
    let source = backup.join(STATE);
    if !source.is_file() {
        return Err(refused("not-a-backup", format!("{} is not a backup: it has no {STATE}", backup.display())));
    }
    if UnixStream::connect(dir.join(mufakat_node::SOCKET)).is_ok() {
        return Err(refused("node-running", format!("a node is running in {}; stop it first", dir.display())));
    }
    if epoch_min > EPOCH_MAX {
        return Err(usage(format!("an epoch is at most {EPOCH_MAX}")));
    }
    let epoch_min = epoch_min.max(epoch_free(&state, replace, epoch_min)?);
    create_private(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let unfinished = dir.join(RESTORING);
    remove_state(&unfinished)?;
    fs::copy(&source, &unfinished).with_context(|| format!("cannot copy {}", source.display()))?;
    let (agency, epoch) = begin_epoch(&unfinished, epoch_min)?;
    copy_missing(backup, dir).with_context(|| format!("cannot copy {}", backup.display()))?;
    let replaced = set_aside(dir, &state).context("cannot set the present state aside")?;
    fs::rename(&unfinished, &state)?;
    remove_state(&unfinished)?;
    fs::File::open(dir)?.sync_all()?;

    let answer = json!({ "agency": agency, "epoch": epoch, "dir": dir, "replaced": replaced });
    output.show(&answer, || {
        let mut text = format!("{agency} is restored in {}, with epoch {epoch}.\n", dir.display());
        if let Some(replaced) = &replaced {
            text.push_str(&format!("What was there is in {}; delete it when you are sure.\n", replaced.display()));
        }
        text
    })?;
    Ok(())
}

/// The lowest epoch that the state to be replaced has not had. Two ledgers of one epoch would look to partners like a split
/// view, so where it cannot be known the user has to say.
fn epoch_free(state: &Path, replace: bool, epoch_min: u64) -> anyhow::Result<u64> {
    if !state.exists() {
        return Ok(0);
    }
    if !replace {
        return Err(refused("exists", format!("{} exists; --replace sets it aside", state.display())));
    }
    match Sqlite::open(state, Options::default()) {
        Ok(present) => Ok(present.state()?.epoch + 1),
        Err(Error::Locked(_)) => {
            Err(refused("node-running", format!("a process works on {}; stop it first", state.display())))
        }
        Err(_) if epoch_min > 0 => Ok(epoch_min),
        // A damaged state is why people restore.
        Err(error) => Err(refused(
            "epoch-unknown",
            format!(
                "the present state cannot be opened ({error}), so give with --epoch a number above every epoch it had"
            ),
        )),
    }
}

fn begin_epoch(state: &Path, epoch_min: u64) -> anyhow::Result<(String, u64)> {
    let mut store = Sqlite::open(state, Options::default()).context("the backup cannot be opened")?;
    let mut epoch = store.begin_epoch()?;
    while epoch < epoch_min {
        epoch = store.begin_epoch()?;
    }
    Ok((store.state()?.me.to_string(), epoch))
}

fn create_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Copies what a backup has beside its state and the folder has not: configuration, chunks, invitations.
fn copy_missing(from: &Path, to: &Path) -> io::Result<()> {
    for source in entries(from)? {
        let Some(name) = source.file_name() else { continue };
        let belongs_to_state = name.to_string_lossy().starts_with(STATE);
        let target = to.join(name);
        if belongs_to_state {
            continue;
        }
        if source.is_dir() {
            create_private(&target)?;
            copy_missing(&source, &target)?;
        } else if source.is_file() && !target.exists() {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Moves the present state into a folder of its own, if there is one, and gives that folder.
fn set_aside(dir: &Path, state: &Path) -> io::Result<Option<PathBuf>> {
    if !state.exists() {
        return Ok(None);
    }
    let mut aside = dir.join(format!("replaced-{}", when::now_s()));
    while aside.exists() {
        aside.as_mut_os_string().push("-");
    }
    create_private(&aside)?;
    for suffix in BESIDE_STATE.into_iter().chain([""]) {
        let file = beside(state, suffix);
        if let (true, Some(name)) = (file.exists(), file.file_name()) {
            fs::rename(&file, aside.join(name))?;
        }
    }
    Ok(Some(aside))
}

/// Removes a state file that was not finished, and what was put beside it.
fn remove_state(state: &Path) -> io::Result<()> {
    for suffix in BESIDE_STATE.into_iter().chain([""]) {
        match fs::remove_file(beside(state, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn beside(state: &Path, suffix: &str) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir().join(format!("mufakat-cli-{}-{test}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn create(dir: &Path) -> Sqlite {
        fs::create_dir_all(dir).unwrap();
        Sqlite::create(&dir.join(STATE), &"vn-police".parse().unwrap(), Options::default()).unwrap()
    }

    fn reason(result: anyhow::Result<()>) -> &'static str {
        match result.unwrap_err().downcast_ref() {
            Some(crate::failure::Failure::Refused { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    fn epoch(dir: &Path) -> u64 {
        Reader::open_to_read(&dir.join(STATE)).unwrap().state().unwrap().epoch
    }

    #[test]
    fn a_backup_is_restored_with_a_higher_epoch_each_time() {
        let folder = Folder::new("restore");
        let (node, backup, new) = (folder.0.join("node"), folder.0.join("backup"), folder.0.join("new"));
        let output = Output::new(false);
        let store = create(&node);
        fs::create_dir_all(backup.join("chunks/ab")).unwrap();
        fs::write(backup.join("chunks/ab/abcd"), "chunk").unwrap();
        fs::write(backup.join("node.toml"), "from the backup").unwrap();
        store.backup_to(&backup.join(STATE)).unwrap();

        assert_eq!(reason(restore(&new, &node.join("nothing"), false, 0, output)), "not-a-backup");
        restore(&new, &backup, false, 0, output).unwrap();
        assert_eq!(epoch(&new), 2);
        assert_eq!(fs::read_to_string(new.join("chunks/ab/abcd")).unwrap(), "chunk");
        assert_eq!(reason(restore(&new, &backup, false, 0, output)), "exists");
        fs::write(new.join("node.toml"), "changed since").unwrap();
        restore(&new, &backup, true, 0, output).unwrap();
        assert_eq!(epoch(&new), 3, "an epoch that was in use is not used again");
        assert_eq!(fs::read_to_string(new.join("node.toml")).unwrap(), "changed since");

        assert_eq!(reason(restore(&node, &backup, true, 0, output)), "node-running");
        drop(store);
        restore(&node, &backup, true, 0, output).unwrap();
        assert_eq!(epoch(&node), 2);
        fs::write(node.join(STATE), "damaged").unwrap();
        assert_eq!(reason(restore(&node, &backup, true, 0, output)), "epoch-unknown");
        restore(&node, &backup, true, 9, output).unwrap();
        assert_eq!(epoch(&node), 9);
        assert!(!node.join(RESTORING).exists());
        let aside = |path: &PathBuf| path.to_string_lossy().contains("replaced-");
        assert_eq!(entries(&node).unwrap().into_iter().filter(aside).count(), 2, "nothing that was set aside is lost");
        assert_eq!(entries(&backup).unwrap().len(), 3, "nothing is left in the backup");
    }

    #[test]
    fn fsck_fails_with_what_it_finds() {
        let folder = Folder::new("fsck");
        drop(create(&folder.0));
        let output = Output::new(false);
        fsck(&folder.0, output).unwrap();
        // A chunk is named by the hash of its bytes.
        let name = mufakat_record::Digest::of(b"sealed").to_string();
        let chunk = folder.0.join("chunks").join(&name[..2]).join(&name);
        fs::create_dir_all(chunk.parent().unwrap()).unwrap();
        fs::write(&chunk, "sealed").unwrap();
        fsck(&folder.0, output).unwrap();
        fs::write(&chunk, "Sealed").unwrap();
        assert_eq!(reason(fsck(&folder.0, output)), "damaged");
        fs::write(&chunk, "sealed").unwrap();
        let lists = folder.0.join(mufakat_node::LISTS);
        drop(Lists::open(&lists).unwrap());
        fsck(&folder.0, output).unwrap();
        fs::write(&lists, "EXERCISE: not a database, but long enough to be looked at".repeat(100)).unwrap();
        assert_eq!(reason(fsck(&folder.0, output)), "damaged");
    }

    #[test]
    fn a_folder_without_a_state_file_cannot_be_checked() {
        let folder = Folder::new("empty");
        assert!(fsck(&folder.0, Output::new(false)).is_err());
    }
}
