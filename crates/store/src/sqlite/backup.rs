//! Copies of the state file, made while the node works.

use std::fs;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{Sqlite, failed, no_file, sync_folder};
use crate::Error;

/// All pages in one step: a copy in several would begin again whenever the writer commits. The writer does not wait for it.
const ALL_PAGES: i32 = -1;

impl<Mode> Sqlite<Mode> {
    /// Writes a copy of the state as it is at one moment. A file that exists is not overwritten; an unfinished copy has another
    /// name.
    pub fn backup_to(&self, path: &Path) -> Result<(), Error> {
        if path.exists() {
            return Err(Error::Exists(path.to_owned()));
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = Path::new(&unfinished);
        let copied = self.copy_to(unfinished);
        if copied.is_err() {
            // The reason why the copy failed says more than one why it cannot be cleared away.
            let _ = fs::remove_file(unfinished);
        }
        copied?;
        fs::rename(unfinished, path).map_err(no_file)?;
        sync_folder(path)
    }

    fn copy_to(&self, path: &Path) -> Result<(), Error> {
        let mut file = fs::OpenOptions::new();
        file.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
        file.open(path).map_err(no_file)?;
        let from = self.reader()?;
        let mut to = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
        let backup = Backup::new(&from.connection, &mut to).map_err(failed)?;
        match backup.step(ALL_PAGES).map_err(failed)? {
            StepResult::Done => Ok(()),
            _ => Err(Error::Unavailable("the state file is busy".to_owned())),
        }
    }
}
