//! The SQLite back end: one file, write-ahead log, one writer, any number of readers.

mod apply;
mod backup;
mod classes;
mod fold;
mod fsck;
mod mailbox;
mod pages;
mod read;
mod replay;
mod rows;
mod schema;
mod secrets;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use mufakat_exchange::{Change, Enacted};
use mufakat_ledger::witness::Seen;
use mufakat_record::{AgencyId, Digest, KeyId, RecordId};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Params, Row, ffi, params};

pub use schema::SCHEMA;

use crate::{Error, MailboxLimits, Part, Purpose, Secret, Store};

/// How long a statement waits for another connection, in milliseconds. Only scrubbing ever has to.
const BUSY_MS_MAX: u64 = 5_000;
/// Statements that are kept prepared.
const STATEMENTS_MAX: usize = 128;
/// Pages of the write-ahead log after which they are moved into the file. More of them share the cost of a page that changes often.
const WAL_PAGES: u32 = 4_000;
/// To how many bytes the write-ahead log is cut when it was longer.
const WAL_BYTES_KEPT: u64 = 64 * 1024 * 1024;
/// Memory for pages of the writer, in KiB.
const WRITER_CACHE_KIB: u32 = 16 * 1024;
/// Memory for pages of one reader, in KiB.
const READER_CACHE_KIB: u32 = 2 * 1024;
/// Bytes of a page: three records of 2 KiB with little waste. Each random insertion into the index of ids rewrites one, so more
/// would make writing slower.
const PAGE_BYTES: u32 = 8192;

/// How a state file is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The most bytes that the state file may grow to; absent for as many as the disk has.
    pub bytes_max: Option<u64>,
    /// How much is held for each recipient of relayed parcels.
    pub mailbox: MailboxLimits,
    /// Whether a leaf is folded into the views as it is added. If not, rows come only of
    /// [`rebuild_views`](crate::Store::rebuild_views).
    pub folds: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { bytes_max: None, mailbox: MailboxLimits::default(), folds: true }
    }
}

/// The state file can be written.
#[derive(Debug)]
pub enum Writing {}

/// The state file can only be read.
#[derive(Debug)]
pub enum Reading {}

/// A state file, open for writing or only for reading. It can be sent to another thread and not be shared.
pub struct Sqlite<Mode = Writing> {
    connection: Connection,
    path: PathBuf,
    me: AgencyId,
    options: Options,
    /// The numbers of agencies that have one. Those of a transaction that was given up are forgotten with it.
    agencies: RefCell<HashMap<AgencyId, i64>>,
    /// What is known of handling classes.
    classes: RefCell<classes::Known>,
    /// Held as long as this lives.
    _lock: Option<File>,
    mode: PhantomData<Mode>,
}

/// A state file that is only read; a running node's can be, too.
pub type Reader = Sqlite<Reading>;

impl Sqlite<Writing> {
    /// Makes the state file of a new node, in its first epoch.
    pub fn create(path: &Path, me: &AgencyId, options: Options) -> Result<Self, Error> {
        let lock = lock(path)?;
        // Only the node's own account may read it, as it holds secrets; what SQLite puts beside it has the same mode.
        let mut file = OpenOptions::new();
        file.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
        match file.open(path) {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Err(Error::Exists(path.to_owned())),
            Err(e) => return Err(no_file(e)),
        }
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        set_up_writer(&connection, options)?;
        let mut store = Self::with(connection, path, me.clone(), options, Some(lock));
        store.migrate(0)?;
        store.execute("INSERT INTO state VALUES (1, ?, 1, 0, NULL)", [me.as_str()])?;
        sync_folder(path)?;
        Ok(store)
    }

    /// Opens the state file of a node, brings its schema up to date, and keeps other writers out.
    pub fn open(path: &Path, options: Options) -> Result<Self, Error> {
        let lock = lock(path)?;
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let version = version(&connection, path)?;
        set_up_writer(&connection, options)?;
        let me = me(&connection)?;
        let mut store = Self::with(connection, path, me, options, Some(lock));
        store.migrate(version)?;
        Ok(store)
    }

    /// Changes the cap on the size of the file.
    pub fn set_bytes_max(&mut self, bytes_max: Option<u64>) -> Result<(), Error> {
        self.options.bytes_max = bytes_max;
        cap(&self.connection, bytes_max)
    }

    /// Does some work within the open transaction, or within one of its own.
    fn within<T>(&mut self, work: impl FnOnce(&Self) -> Result<T, Error>) -> Result<T, Error> {
        if !self.connection.is_autocommit() {
            return work(self);
        }
        self.begin()?;
        match work(self) {
            Ok(value) => self.commit().map(|()| value),
            Err(error) => self.rollback().and(Err(error)),
        }
    }

    /// The number of an agency, which it gets if it has none.
    fn number(&self, agency: &AgencyId) -> Result<i64, Error> {
        if let Some(number) = self.known_number(agency)? {
            return Ok(number);
        }
        self.execute("INSERT INTO agency (name) VALUES (?)", [agency.as_str()])?;
        let number = self.connection.last_insert_rowid();
        self.agencies.borrow_mut().insert(agency.clone(), number);
        Ok(number)
    }
}

impl Reader {
    /// Opens a state file for reading. A node may be running on it or not.
    pub fn open_to_read(path: &Path) -> Result<Self, Error> {
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let found = version(&connection, path)?;
        if found != SCHEMA {
            // An older file is brought up to date by the node, not by those who only read.
            return Err(if found > SCHEMA {
                Error::Newer { found, known: SCHEMA }
            } else {
                Error::Unavailable(format!(
                    "the state file has schema {found}; start the node once to bring it to {SCHEMA}"
                ))
            });
        }
        connection.pragma_update(None, "cache_size", -i64::from(READER_CACHE_KIB)).map_err(failed)?;
        let me = me(&connection)?;
        Ok(Self::with(connection, path, me, Options::default(), None))
    }
}

impl<Mode> Sqlite<Mode> {
    /// A reader of the same file with a connection of its own.
    pub fn reader(&self) -> Result<Reader, Error> {
        Reader::open_to_read(&self.path)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn with(connection: Connection, path: &Path, me: AgencyId, options: Options, lock: Option<File>) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let (agencies, classes) = (RefCell::default(), RefCell::default());
        Self { connection, path: path.to_owned(), me, options, agencies, classes, _lock: lock, mode: PhantomData }
    }

    fn known_number(&self, agency: &AgencyId) -> Result<Option<i64>, Error> {
        if let Some(number) = self.agencies.borrow().get(agency) {
            return Ok(Some(*number));
        }
        let number = self.one("SELECT number FROM agency WHERE name = ?", [agency.as_str()], |row| row.get(0))?;
        if let Some(number) = number {
            self.agencies.borrow_mut().insert(agency.clone(), number);
        }
        Ok(number)
    }

    fn execute(&self, sql: &str, values: impl Params) -> Result<usize, Error> {
        self.connection.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(failed)
    }

    fn one<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.query_row(values, read).optional().map_err(failed)
    }

    fn all<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        statement.query_map(values, read).and_then(Iterator::collect).map_err(failed)
    }
}

impl Store for Sqlite {
    fn begin(&mut self) -> Result<(), Error> {
        if !self.connection.is_autocommit() {
            return Err(Error::InTransaction);
        }
        self.execute("BEGIN IMMEDIATE", []).map(drop)
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), Error> {
        self.within(|this| this.apply_changes(changes))
    }

    fn commit(&mut self) -> Result<(), Error> {
        if self.connection.is_autocommit() {
            return Err(Error::NoTransaction);
        }
        let committed = self.execute("COMMIT", []).map(drop);
        if committed.is_err() {
            // What could not be made durable is not to stand half-way between done and not done.
            self.rollback()?;
        }
        committed
    }

    fn rollback(&mut self) -> Result<(), Error> {
        self.agencies.borrow_mut().clear();
        self.classes.borrow_mut().clear();
        // A full disk makes SQLite roll back by itself.
        if self.connection.is_autocommit() { Ok(()) } else { self.execute("ROLLBACK", []).map(drop) }
    }

    fn adopt_register(&mut self, versions: &[Enacted]) -> Result<(), Error> {
        self.within(|this| {
            if this.one("SELECT 1 FROM register", [], |_| Ok(()))?.is_some() {
                return Err(Error::HasRegister);
            }
            versions.iter().try_for_each(|enacted| this.enact(enacted))
        })
    }

    fn begin_epoch(&mut self) -> Result<u64, Error> {
        self.within(Self::next_epoch)
    }

    fn mailbox_put(
        &mut self,
        sender: &AgencyId,
        recipient: &AgencyId,
        parcel: &[u8],
        expires_s: u64,
    ) -> Result<(), Error> {
        self.within(|this| this.put_parcel(sender, recipient, parcel, expires_s))
    }

    fn mailbox_drop_through(&mut self, recipient: &AgencyId, cursor: u64) -> Result<(), Error> {
        self.within(|this| this.drop_through(recipient, cursor))
    }

    fn mailbox_drop(&mut self, agency: &AgencyId) -> Result<(), Error> {
        self.within(|this| this.drop_agency(agency))
    }

    fn mailbox_expire(&mut self, now_s: u64) -> Result<u64, Error> {
        self.within(|this| this.drop_expired(now_s))
    }

    fn relay_chunk_put(&mut self, name: &Digest, recipient: &AgencyId, expires_s: u64) -> Result<(), Error> {
        self.within(|this| this.put_relay_chunk(name, recipient, expires_s))
    }

    fn chunk_deleted(&mut self, name: &Digest) -> Result<(), Error> {
        self.within(|this| {
            this.execute("DELETE FROM relay_chunk WHERE name = ?", [&name.0])?;
            this.execute("DELETE FROM chunk_let_go WHERE name = ?", [&name.0]).map(drop)
        })
    }

    fn attachment_done(&mut self, record: &RecordId) -> Result<(), Error> {
        let sql = "DELETE FROM incomplete WHERE leaf = (SELECT leaf FROM record WHERE id = ?)";
        self.within(|this| this.execute(sql, [&record.0]).map(drop))
    }

    fn set_seen(&mut self, origin: &str, seen: &Seen) -> Result<(), Error> {
        let sql = "INSERT INTO seen VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note";
        let values = params![origin, int(seen.size), seen.root.as_bytes(), seen.note_text];
        self.within(|this| this.execute(sql, values).map(drop))
    }

    fn set_own_checkpoint(&mut self, note: &str) -> Result<(), Error> {
        self.within(|this| this.execute("UPDATE state SET checkpoint = ?", [note]).map(drop))
    }

    fn put_secret(&mut self, secret: &Secret) -> Result<(), Error> {
        self.within(|this| this.write_secret(secret))
    }

    fn erase_secret(&mut self, purpose: Purpose, key: &KeyId) -> Result<(), Error> {
        if !self.connection.is_autocommit() {
            return Err(Error::InTransaction);
        }
        self.within(|this| this.blank_secret(purpose, key))?;
        self.scrub()
    }

    fn scrub(&mut self) -> Result<(), Error> {
        self.cut_log()
    }

    fn rebuild_views(&mut self) -> Result<(), Error> {
        self.within(Self::fold_again)
    }
}

/// Takes the lock beside a state file.
fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(PathBuf::from(name)).map_err(no_file)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(path.to_owned())),
        Err(TryLockError::Error(e)) => Err(no_file(e)),
    }
}

fn open(path: &Path, how: OpenFlags) -> Result<Connection, Error> {
    // SQLite would say only that it cannot open the file.
    if !path.is_file() {
        return Err(Error::NotState(path.to_owned()));
    }
    let connection = Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_MS_MAX)).map_err(failed)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON").map_err(failed)?;
    Ok(connection)
}

/// The schema's version of a file that is a state file.
fn version(connection: &Connection, path: &Path) -> Result<u32, Error> {
    match schema::kind(connection)? {
        schema::Kind::State(found) if found > SCHEMA => Err(Error::Newer { found, known: SCHEMA }),
        schema::Kind::State(found) => Ok(found),
        schema::Kind::Empty | schema::Kind::Foreign => Err(Error::NotState(path.to_owned())),
    }
}

fn set_up_writer(connection: &Connection, options: Options) -> Result<(), Error> {
    // secure_delete overwrites what is deleted; synchronous = FULL makes each commit survive the loss of power.
    let settings = format!(
        "PRAGMA page_size = {PAGE_BYTES};
        PRAGMA secure_delete = ON;
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        PRAGMA cache_size = -{WRITER_CACHE_KIB};
        PRAGMA wal_autocheckpoint = {WAL_PAGES};
        PRAGMA journal_size_limit = {WAL_BYTES_KEPT};"
    );
    connection.execute_batch(&settings).map_err(failed)?;
    cap(connection, options.bytes_max)
}

fn cap(connection: &Connection, bytes_max: Option<u64>) -> Result<(), Error> {
    let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(failed)?;
    // SQLite's own limit stands for none of ours.
    let pages = bytes_max.map_or(i64::from(u32::MAX - 1), |bytes| clamped(bytes / page.unsigned_abs().max(1)).max(1));
    connection.execute_batch(&format!("PRAGMA max_page_count = {pages}")).map_err(failed)
}

fn me(connection: &Connection) -> Result<AgencyId, Error> {
    let me: String = connection.query_row("SELECT me FROM state", [], |row| row.get(0)).map_err(failed)?;
    me.parse().map_err(|_| damaged(Part::Database, "it does not say whose state it is"))
}

/// Makes the name of a new file durable.
fn sync_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(no_file)
}

fn file_bytes(path: &Path, suffix: &str) -> u64 {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    // A log that is not there has no bytes.
    fs::metadata(PathBuf::from(name)).map_or(0, |file| file.len())
}

fn damaged(part: Part, what: impl Into<String>) -> Error {
    Error::Damaged { part, what: what.into() }
}

pub(crate) fn no_file(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::StorageFull { Error::Full } else { Error::Unavailable(error.to_string()) }
}

/// What SQLite says, in the words of the port.
pub(crate) fn failed(error: rusqlite::Error) -> Error {
    let rusqlite::Error::SqliteFailure(failure, _) = &error else { return Error::Unavailable(error.to_string()) };
    match (failure.code, failure.extended_code) {
        // Over its quota, and short of room for the index of the log: these have the same remedy as a full disk.
        (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_SHMSIZE) => Error::Full,
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => damaged(Part::Database, error.to_string()),
        _ => Error::Unavailable(error.to_string()),
    }
}

/// Stores a number as SQLite's signed one; [`uint`] takes it back. Numbers above 2^63, which only a partner's epoch or our own
/// word for "for ever" can be, come back as they were and do not keep their order.
fn int(number: u64) -> i64 {
    number.cast_signed()
}

pub(crate) fn uint(number: i64) -> u64 {
    number.cast_unsigned()
}

/// The nearest number that keeps its order.
pub(crate) fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
