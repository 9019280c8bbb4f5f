//! Chunks as files: each under its own name, as `chunks/ab/abcd…`, written whole or not at all.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use mufakat_record::Digest;
use mufakat_record::attachment::{CHUNK_BYTES, CHUNK_OVERHEAD};

use crate::writer::entropy;

/// The folder of all chunks, within the folder of the node.
const FOLDER: &str = "chunks";
/// Where a file stands until it is whole.
const TEMPORARY: &str = "tmp";
/// Where the descriptions of uploads wait for their share.
const UPLOADS: &str = "uploads";
/// The longest sealed chunk, in bytes.
const SEALED_BYTES_MAX: usize = CHUNK_BYTES + CHUNK_OVERHEAD;

/// Tells the temporary files of this run of the program from those that an earlier one left.
static RUN: LazyLock<String> = LazyLock::new(|| hex::encode(&entropy()[..8]));
/// Tells the temporary files of this run from each other.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Why a chunk could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The file does not hold what its name says.
    #[error("the chunk {0} is damaged")]
    Damaged(Digest),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// The files of one node. Every operation waits for the disk.
#[derive(Debug, Clone)]
pub(super) struct Files {
    root: PathBuf,
}

impl Files {
    /// The files in the folder of a node. Folders come into being with the first file.
    pub(super) fn of(dir: &Path) -> Self {
        Self { root: dir.join(FOLDER) }
    }

    /// A digest in hexadecimal has no characters that could lead elsewhere.
    fn path(&self, name: &Digest) -> PathBuf {
        let name = name.to_string();
        self.root.join(&name[..2]).join(name)
    }

    /// Whether the chunk is here. It is then whole, for it got its name last.
    pub(super) fn has(&self, name: &Digest) -> bool {
        self.path(name).is_file()
    }

    /// The sealed chunk, compared with its name.
    pub(super) fn read(&self, name: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let mut sealed = Vec::with_capacity(SEALED_BYTES_MAX + 1);
        // One byte more than a chunk may have is enough to see that it is none.
        file.take(SEALED_BYTES_MAX as u64 + 1).read_to_end(&mut sealed)?;
        if Digest::of(&sealed) == *name { Ok(Some(sealed)) } else { Err(Error::Damaged(*name)) }
    }

    /// Keeps a sealed chunk whose name the caller has compared. [`Files::settle`] makes it last.
    pub(super) fn write(&self, name: &Digest, sealed: &[u8]) -> io::Result<()> {
        if self.has(name) {
            return Ok(());
        }
        self.place(&self.path(name), sealed)
    }

    /// Makes the names of these chunks last through a loss of power; what is in them does already.
    pub(super) fn settle<'a>(&self, names: impl IntoIterator<Item = &'a Digest>) -> io::Result<()> {
        let folders: BTreeSet<u8> = names.into_iter().map(|name| name.0[0]).collect();
        for folder in folders {
            sync_folder(&self.root.join(hex::encode([folder])))?;
        }
        self.settle_root()
    }

    fn settle_root(&self) -> io::Result<()> {
        sync_folder(&self.root)?;
        self.root.parent().map_or(Ok(()), sync_folder)
    }

    /// Deletes a chunk; one that is not there is deleted already.
    pub(super) fn remove(&self, name: &Digest) -> io::Result<()> {
        gone(fs::remove_file(self.path(name)))
    }

    /// Deletes what an earlier run of the program left unfinished.
    pub(super) fn remove_strays(&self) -> io::Result<()> {
        for entry in entries(&self.root.join(TEMPORARY))? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(RUN.as_str()) {
                gone(fs::remove_file(entry.path()))?;
            }
        }
        Ok(())
    }

    fn upload_path(&self, id: [u8; 16]) -> PathBuf {
        self.root.join(UPLOADS).join(hex::encode(id))
    }

    /// Keeps the description of an upload.
    pub(super) fn write_upload(&self, id: [u8; 16], description: &[u8]) -> io::Result<()> {
        self.place(&self.upload_path(id), description)?;
        sync_folder(&self.root.join(UPLOADS))?;
        self.settle_root()
    }

    /// The description of an upload, unless it is older than this many seconds.
    pub(super) fn read_upload(&self, id: [u8; 16], age_s_max: u64) -> io::Result<Option<Vec<u8>>> {
        let path = self.upload_path(id);
        match fs::metadata(&path) {
            Ok(found) if age_s(&found) <= age_s_max => fs::read(path).map(Some),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Deletes the descriptions of uploads that are older than this many seconds; gives the number of those that stay.
    pub(super) fn expire_uploads(&self, age_s_max: u64) -> io::Result<usize> {
        let mut kept = 0;
        for entry in entries(&self.root.join(UPLOADS))? {
            let entry = entry?;
            match entry.metadata() {
                Ok(found) if age_s(&found) <= age_s_max => kept += 1,
                Ok(_) => gone(fs::remove_file(entry.path()))?,
                // Somebody else has deleted it just now.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(kept)
    }

    /// Writes a file elsewhere and moves it to its place when it is whole and on the disk.
    fn place(&self, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = self.root.join(TEMPORARY);
        fs::create_dir_all(&folder)?;
        target.parent().map_or(Ok(()), fs::create_dir_all)?;
        let temporary = folder.join(format!("{}-{}", *RUN, NEXT.fetch_add(1, Ordering::Relaxed)));
        let placed = create(&temporary)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&temporary, target));
        if placed.is_err() {
            // If this fails too, the next start deletes it.
            let _ = fs::remove_file(&temporary);
        }
        placed
    }
}

/// Compares every chunk in the folder of a node with its name; gives what does not hold, with what is wrong about it.
/// Neither a node nor its state file is needed.
pub fn check_chunks(dir: &Path) -> Vec<(PathBuf, String)> {
    let files = Files::of(dir);
    let mut findings = Vec::new();
    for folder in listed(&files.root, &mut findings) {
        if folder.ends_with(TEMPORARY) || folder.ends_with(UPLOADS) {
            continue;
        }
        if !folder.is_dir() {
            findings.push((folder, "does not belong among chunks".to_owned()));
            continue;
        }
        for path in listed(&folder, &mut findings) {
            if let Err(what) = check(&files, &path) {
                findings.push((path, what));
            }
        }
    }
    findings
}

fn check(files: &Files, path: &Path) -> Result<(), String> {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<Digest>().ok());
    // A name in capitals, or in a folder of others, would never be found again.
    let name = name.filter(|name| files.path(name) == path).ok_or("does not belong among chunks")?;
    match files.read(&name) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("disappeared while it was checked".to_owned()),
        Err(Error::Damaged(_)) => Err("does not hold the bytes that its name stands for".to_owned()),
        Err(Error::Disk(e)) => Err(format!("cannot be read: {e}")),
    }
}

/// What is in a folder, in order; what cannot be listed is a finding.
fn listed(folder: &Path, findings: &mut Vec<(PathBuf, String)>) -> Vec<PathBuf> {
    let list = entries(folder).and_then(|list| list.map(|entry| entry.map(|e| e.path())).collect());
    let mut list: Vec<PathBuf> = list.unwrap_or_else(|e: io::Error| {
        findings.push((folder.to_owned(), format!("cannot be listed: {e}")));
        Vec::new()
    });
    list.sort();
    list
}

/// What is in a folder; nothing, if there is no such folder.
fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(folder) {
        Ok(list) => Ok(Some(list).into_iter().flatten()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(e) => Err(e),
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // A description holds the key of its chunks; only the node's own account may read it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

/// How old a file is, in seconds. One from the future is new: a clock that was set back makes nothing expire.
fn age_s(found: &fs::Metadata) -> u64 {
    found.modified().ok().and_then(|at| at.elapsed().ok()).map_or(0, |age| age.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::tests::{folder, left};
    use super::*;

    #[test]
    fn a_chunk_comes_back_as_it_was() {
        let folder = folder();
        let files = Files::of(folder.path());
        let (sealed, other) = (vec![7; SEALED_BYTES_MAX], Digest::of(b"EXERCISE other"));
        let name = Digest::of(&sealed);
        assert!(!files.has(&name));
        assert!(files.read(&name).unwrap().is_none());
        files.write(&name, &sealed).unwrap();
        files.write(&name, &sealed).unwrap();
        files.settle([&name]).unwrap();
        assert!(files.has(&name));
        assert_eq!(files.read(&name).unwrap().unwrap(), sealed);
        assert!(files.read(&other).unwrap().is_none());
        assert_eq!(left(folder.path()), vec![format!("chunks/{}/{name}", &name.to_string()[..2])]);
        assert!(check_chunks(folder.path()).is_empty());
        files.remove(&name).unwrap();
        files.remove(&name).unwrap();
        assert!(left(folder.path()).is_empty());
    }

    #[test]
    fn a_flipped_bit_is_named() {
        let folder = folder();
        let files = Files::of(folder.path());
        let names: Vec<_> = (0..3_u8)
            .map(|n| {
                let sealed = [n; 100];
                files.write(&Digest::of(&sealed), &sealed).unwrap();
                Digest::of(&sealed)
            })
            .collect();
        let path = files.path(&names[1]);
        let mut bytes = fs::read(&path).unwrap();
        bytes[50] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(files.read(&names[1]), Err(Error::Damaged(name)) if name == names[1]));
        assert!(files.read(&names[0]).unwrap().is_some());
        let findings = check_chunks(folder.path());
        assert_eq!(findings.iter().map(|(path, _)| path).collect::<Vec<_>>(), [&path]);
        // One byte too many is seen, and without reading all of an endless file.
        fs::write(&path, vec![1; SEALED_BYTES_MAX + 1000]).unwrap();
        assert!(matches!(files.read(&names[1]), Err(Error::Damaged(_))));
    }

    #[test]
    fn what_does_not_belong_is_named() {
        let folder = folder();
        assert!(check_chunks(folder.path()).is_empty());
        let files = Files::of(folder.path());
        let name = Digest::of(b"EXERCISE");
        files.write(&name, b"EXERCISE").unwrap();
        let root = folder.path().join(FOLDER);
        let capitals = files.path(&name).with_file_name(name.to_string().to_uppercase());
        for path in [root.join("stray"), files.path(&name).with_file_name("stray"), capitals] {
            fs::write(&path, b"EXERCISE").unwrap();
            let findings = check_chunks(folder.path());
            assert_eq!(findings, [(path.clone(), "does not belong among chunks".to_owned())]);
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn names_lead_nowhere_else() {
        let hostile =
            ["..", "../../node.db", "/etc/passwd", "aa/../bb", "", "%2e%2e", &"g".repeat(64), &"a".repeat(63)];
        for name in hostile {
            assert!(name.parse::<Digest>().is_err(), "{name}");
        }
        let files = Files::of(Path::new("/node"));
        let any = Digest([0xAB; 32]);
        assert_eq!(files.path(&any), Path::new("/node/chunks/ab").join("ab".repeat(32)));
        // The folders beside those of chunks cannot be the beginning of a name.
        assert!(hex::decode(TEMPORARY).is_err() && hex::decode(UPLOADS).is_err());
    }

    #[test]
    fn what_an_earlier_run_left_is_deleted() {
        let folder = folder();
        let files = Files::of(folder.path());
        files.remove_strays().unwrap();
        let temporary = folder.path().join(FOLDER).join(TEMPORARY);
        fs::create_dir_all(&temporary).unwrap();
        let (ours, theirs) = (temporary.join(format!("{}-x", *RUN)), temporary.join("0123456789abcdef-0"));
        fs::write(&ours, b"EXERCISE").unwrap();
        fs::write(&theirs, b"EXERCISE").unwrap();
        files.remove_strays().unwrap();
        assert!(ours.exists() && !theirs.exists());
    }

    #[test]
    fn descriptions_of_uploads_expire() {
        let folder = folder();
        let files = Files::of(folder.path());
        assert_eq!(files.expire_uploads(60).unwrap(), 0);
        for id in [[1; 16], [2; 16]] {
            files.write_upload(id, &id).unwrap();
        }
        let old = SystemTime::now() - Duration::from_secs(100);
        File::open(files.upload_path([1; 16])).unwrap().set_modified(old).unwrap();
        assert_eq!(files.read_upload([1; 16], 60).unwrap(), None);
        assert_eq!(files.read_upload([1; 16], 200).unwrap(), Some(vec![1; 16]));
        assert_eq!(files.read_upload([2; 16], 60).unwrap(), Some(vec![2; 16]));
        assert_eq!(files.expire_uploads(60).unwrap(), 1);
        assert_eq!(files.read_upload([1; 16], 200).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_disk_that_takes_nothing_leaves_nothing() {
        let folder = folder();
        let files = Files::of(folder.path());
        let name = Digest::of(b"EXERCISE");
        // A folder stands where the chunk would go: the last step, moving it there, fails.
        fs::create_dir_all(files.path(&name).join("x")).unwrap();
        assert!(files.write(&name, b"EXERCISE").is_err());
        assert!(left(folder.path()).is_empty());
    }
}
