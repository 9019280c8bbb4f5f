//! How the changes of the exchange are written.

use std::collections::HashMap;

use mufakat_exchange::{Change, Enacted, Leaf, What, needs_identity_key};
use mufakat_ledger::Tile;
use mufakat_ledger::tile::TILE_BYTES_MAX;
use mufakat_record::kinds::Body;
use mufakat_record::kinds::attachment::Attachment;
use mufakat_record::kinds::key_set::KeySet;
use mufakat_record::kinds::onward::attachment_of;
use mufakat_record::kinds::receipt::Receipt;
use mufakat_record::kinds::register_version::RegisterVersion;
use mufakat_record::{AgencyId, Digest, Header, RecordId, Verified, cbor};
use mufakat_views::{Event, RowChange, Rows};
use rusqlite::params;

use super::rows::UpTo;
use super::{Sqlite, damaged, int};
use crate::{Error, Part, project};

/// The states of a record on its channel to a recipient.
pub(super) mod state {
    pub(in super::super) const QUEUED: i64 = 0;
    pub(in super::super) const ACCEPTED: i64 = 1;
    pub(in super::super) const REJECTED: i64 = 2;
    pub(in super::super) const CANCELLED: i64 = 3;
    pub(in super::super) const CARRIED_OVER: i64 = 4;
}

/// The upper bits of a tile's place hold its level.
const LEVEL_SHIFT: u32 = 56;

pub(super) fn place(level: u8, index: u64) -> Option<i64> {
    (level < 64 && index < 1 << LEVEL_SHIFT).then(|| int(u64::from(level) << LEVEL_SHIFT | index))
}

impl Sqlite {
    pub(super) fn apply_changes(&self, changes: &[Change]) -> Result<(), Error> {
        let mut kept: HashMap<u64, &Verified> = HashMap::new();
        let mut new = 0;
        for change in changes {
            match change {
                Change::Keep { record, leaf, .. } => {
                    kept.insert(*leaf, record);
                    new += i64::from(self.keep(record, *leaf)?);
                }
                Change::Submitted { key, record } => {
                    self.execute("INSERT INTO submission VALUES (?, ?)", params![key, record.0])?;
                }
                Change::Leaf { index, leaf } => self.add_leaf(*index, leaf)?,
                Change::Tile(tile) => self.write_tile(tile)?,
                Change::Queue { to, position, leaf } => self.queue(to, *position, *leaf)?,
                Change::Settle { to, first, last, accepted } => self.settle(to, *first, *last, *accepted)?,
                Change::Cancel { to } => self.cancel(to)?,
                Change::Arrived { from, epoch, position, leaf } => {
                    let values = params![self.number(from)?, int(*epoch), int(*position), int(*leaf)];
                    self.execute("INSERT INTO arrived VALUES (?, ?, ?, ?)", values)?;
                }
                Change::Expect { from, epoch, next } => {
                    let sql = "INSERT INTO inbound VALUES (?, ?, ?)
                        ON CONFLICT DO UPDATE SET epoch = excluded.epoch, expected = excluded.expected";
                    self.execute(sql, params![self.number(from)?, int(*epoch), int(*next)])?;
                }
                Change::Erase { record } => self.erase(record)?,
                Change::Register(enacted) => self.enact(enacted)?,
                Change::KeySet { agency, record } => {
                    let sql = "INSERT INTO key_set VALUES (?, ?) ON CONFLICT DO UPDATE SET record = excluded.record";
                    self.execute(sql, params![self.number(agency)?, record])?;
                }
            }
        }
        if new > 0 {
            self.execute("UPDATE state SET records = records + ?", [new])?;
        }
        let projected = if self.options.folds { self.project(changes, &kept) } else { Ok(()) };
        self.classes.borrow_mut().forget_records();
        projected
    }

    /// Folds what happened into the views, in the order of the ledger: a record comes before what it brought about, whatever the
    /// order of the changes.
    fn project(&self, changes: &[Change], kept: &HashMap<u64, &Verified>) -> Result<(), Error> {
        for change in changes {
            if let Change::Leaf { index, leaf } = change {
                let (rows, record) = (UpTo { rows: self, records: self, leaf: *index }, kept.get(index).copied());
                let mut write = |change: RowChange| self.write_row(&change, self.row_class(&change, *index)?);
                self.fold_leaf(*index, leaf, record, &rows, &mut write)?;
            }
        }
        Ok(())
    }

    /// Keeps a record; false when it is here already.
    fn keep(&self, record: &Verified, leaf: u64) -> Result<bool, Error> {
        let header = record.header();
        let class = self.class_number(header)?;
        let sql = "INSERT INTO record VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING";
        if self.execute(sql, params![int(leaf), record.id().0, class, record.bytes()])? == 0 {
            return Ok(false);
        }
        self.classes.borrow_mut().remember(record.id(), leaf, class);
        self.refer(header, int(leaf))?;
        let kind = header.kind.as_str();
        if let Some(attachment) = attachment_of(record) {
            self.list_chunks(record, &attachment, leaf)?;
        } else if kind == Receipt::KIND && header.author != self.me {
            self.take_receipt(record, leaf)?;
        } else if kind == RegisterVersion::KIND || (needs_identity_key(kind) && kind != KeySet::KIND) {
            self.execute("INSERT INTO governance VALUES (?)", [int(leaf)])?;
        }
        Ok(true)
    }

    /// Notes what a record refers to.
    pub(super) fn refer(&self, header: &Header, leaf: i64) -> Result<(), Error> {
        let author = self.number(&header.author)?;
        for reference in &header.references {
            let values = params![reference.record.0, reference.relation as i64, author, header.kind, leaf];
            self.execute("INSERT INTO reference VALUES (?, ?, ?, ?, ?)", values)?;
        }
        Ok(())
    }

    fn list_chunks(&self, record: &Verified, attachment: &Attachment, leaf: u64) -> Result<(), Error> {
        for name in attachment.chunk_names() {
            self.execute("INSERT INTO chunk VALUES (?, ?) ON CONFLICT DO NOTHING", params![name.0, int(leaf)])?;
        }
        if record.header().author != self.me {
            self.execute("INSERT INTO incomplete VALUES (?)", [int(leaf)])?;
        }
        Ok(())
    }

    /// Notes which places on our channel a partner's receipt is about.
    fn take_receipt(&self, record: &Verified, leaf: u64) -> Result<(), Error> {
        // The exchange has read it before; a receipt without entries is none.
        let Ok(body) = Receipt::from_body(record.header(), record.body()) else { return Ok(()) };
        let (Some(first), Some(last)) = (body.entries.first(), body.entries.last()) else { return Ok(()) };
        let values = params![
            self.number(&record.header().author)?,
            int(body.epoch),
            int(first.position),
            int(leaf),
            int(last.position)
        ];
        self.execute("INSERT INTO receipt_taken VALUES (?, ?, ?, ?, ?)", values).map(drop)
    }

    fn add_leaf(&self, index: u64, leaf: &Leaf) -> Result<(), Error> {
        let values = params![int(index), leaf.what.number(), int(leaf.at_ms), leaf.subject.0, leaf.detail, leaf.salt];
        self.execute("INSERT INTO leaf VALUES (?, ?, ?, ?, ?, ?)", values).map(drop)
    }

    fn write_tile(&self, tile: &Tile) -> Result<(), Error> {
        let place = place(tile.level, tile.index).ok_or_else(|| damaged(Part::Tree, "a tile beyond every tree"))?;
        // A partial tile is filled up with zeroes, which are nobody's hash, so that the wider one overwrites it where it stands.
        let mut bytes = tile.to_bytes();
        bytes.resize(TILE_BYTES_MAX, 0);
        let sql = "INSERT INTO tile VALUES (?, ?) ON CONFLICT DO UPDATE SET hashes = excluded.hashes";
        self.execute(sql, params![place, bytes]).map(drop)
    }

    fn queue(&self, to: &AgencyId, position: u64, leaf: u64) -> Result<(), Error> {
        // Not an INSERT from a SELECT: against the failure of a later row SQLite would keep a copy of each page.
        let sql = "INSERT INTO outbox VALUES (?, (SELECT epoch FROM state), ?, ?, ?)";
        let values = params![self.number(to)?, int(position), int(leaf), state::QUEUED];
        self.execute(sql, values).map(drop)
    }

    fn settle(&self, to: &AgencyId, first: u64, last: u64, accepted: bool) -> Result<(), Error> {
        let sql = "UPDATE outbox SET state = ?
            WHERE agency = ? AND epoch = (SELECT epoch FROM state) AND position BETWEEN ? AND ? AND state = 0";
        let state = if accepted { state::ACCEPTED } else { state::REJECTED };
        self.execute(sql, params![state, self.number(to)?, int(first), int(last)]).map(drop)
    }

    fn cancel(&self, to: &AgencyId) -> Result<(), Error> {
        let sql = "UPDATE outbox SET state = ?
            WHERE agency = ? AND epoch = (SELECT epoch FROM state) AND state = 0";
        self.execute(sql, params![state::CANCELLED, self.number(to)?]).map(drop)
    }

    /// Overwrites a record and the salt of its leaf with zeroes. The commitment, which nobody can compute any more, is noted.
    fn erase(&self, id: &RecordId) -> Result<(), Error> {
        let Some((number, record)) = self.record_at(id)? else { return Ok(()) };
        let index = number.cast_unsigned();
        let leaf = self.read_leaf(index)?.ok_or_else(|| damaged(Part::Leaf(index), "it is missing"))?;
        if leaf.what == What::Authored && self.is_owed(number)? {
            return Ok(());
        }
        let header = record.header();
        let author = self.number(&header.author)?;
        for reference in &header.references {
            let values = params![reference.record.0, reference.relation as i64, author, header.kind, number];
            let sql =
                "DELETE FROM reference WHERE target = ? AND relation = ? AND author = ? AND kind = ? AND leaf = ?";
            self.execute(sql, values)?;
        }
        for name in attachment_of(&record).iter().flat_map(Attachment::chunk_names) {
            self.execute("DELETE FROM chunk WHERE name = ? AND leaf = ?", params![name.0, number])?;
            self.execute("INSERT INTO chunk_let_go VALUES (?) ON CONFLICT DO NOTHING", [&name.0])?;
        }
        self.execute("DELETE FROM incomplete WHERE leaf = ?", [number])?;
        self.execute("DELETE FROM governance WHERE leaf = ?", [number])?;
        self.execute("INSERT INTO erased VALUES (?, ?)", params![number, leaf.commitment()])?;
        self.execute("UPDATE leaf SET salt = zeroblob(length(salt)) WHERE number = ?", [number])?;
        self.execute("UPDATE record SET bytes = zeroblob(length(bytes)) WHERE leaf = ?", [number]).map(drop)
    }

    pub(super) fn enact(&self, enacted: &Enacted) -> Result<(), Error> {
        let version = int(enacted.version.version);
        let values = params![version, enacted.hash.0, cbor::encode(&enacted.version)];
        self.execute("INSERT INTO register VALUES (?, ?, ?)", values)?;
        for (ordinal, record) in (0i64..).zip(&enacted.approvals) {
            self.execute("INSERT INTO approval VALUES (?, ?, ?)", params![version, ordinal, record])?;
        }
        Ok(())
    }

    pub(super) fn next_epoch(&self) -> Result<u64, Error> {
        self.execute("UPDATE state SET epoch = epoch + 1, checkpoint = NULL", [])?;
        let sql = "INSERT INTO outbox
            SELECT agency, (SELECT epoch FROM state), row_number() OVER (PARTITION BY agency ORDER BY epoch, position), leaf, 0
            FROM outbox WHERE state = 0 ORDER BY agency, epoch, position";
        self.execute(sql, [])?;
        let sql = "UPDATE outbox SET state = ? WHERE state = 0 AND epoch < (SELECT epoch FROM state)";
        self.execute(sql, [state::CARRIED_OVER])?;
        let epoch = self.one("SELECT epoch FROM state", [], |row| row.get(0))?;
        epoch.map(i64::cast_unsigned).ok_or_else(|| damaged(Part::Database, "it does not say which epoch it is in"))
    }
}

impl<Mode> Sqlite<Mode> {
    /// Whether a record of ours may yet have to be sent: it has no receipt, or one before it on the same channel has none, with
    /// which it would be sent again.
    pub(super) fn is_owed(&self, leaf: i64) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM outbox o JOIN outbox q
            ON q.agency = o.agency AND q.epoch = o.epoch AND q.position <= o.position AND q.state = 0
            WHERE o.leaf = ? LIMIT 1";
        Ok(self.one(sql, [leaf], |_| Ok(()))?.is_some())
    }

    /// Folds what a leaf tells into the views, on top of the rows that there are.
    pub(super) fn fold_leaf(
        &self,
        index: u64,
        leaf: &Leaf,
        record: Option<&Verified>,
        rows: &dyn Rows,
        write: &mut dyn FnMut(RowChange) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let removed = self.removed_with(leaf)?;
        let act = project::act(leaf);
        let Some(happening) = project::happening(leaf, record, &removed, act.as_ref()) else { return Ok(()) };
        let event = Event { me: &self.me, leaf: index, at_ms: leaf.at_ms, happening };
        project::fold(&event, rows, write)
    }

    /// The agencies that were removed with this leaf.
    pub(super) fn removed_with(&self, leaf: &Leaf) -> Result<Vec<AgencyId>, Error> {
        if leaf.what == What::Register { self.removed_by(&leaf.subject) } else { Ok(Vec::new()) }
    }

    /// The agencies that the register version with this hash removed.
    fn removed_by(&self, hash: &Digest) -> Result<Vec<AgencyId>, Error> {
        let read = |sql, values: &[&dyn rusqlite::ToSql]| -> Result<Option<RegisterVersion>, Error> {
            let body: Option<Vec<u8>> = self.one(sql, values, |row| row.get(0))?;
            let version = body.map(|body| cbor::decode(&body)).transpose();
            version.map_err(|reason| damaged(Part::Register, format!("a version is {reason}")))
        };
        let Some(now) = read("SELECT body FROM register WHERE hash = ?", &[&hash.0])? else {
            return Err(damaged(Part::Register, format!("version {hash} is missing")));
        };
        let before = read("SELECT body FROM register WHERE version = ?", &[&int(now.version.saturating_sub(1))])?;
        Ok(project::newly_removed(before.as_ref(), &now))
    }
}
