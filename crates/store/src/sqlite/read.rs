//! What is looked up: facts for the exchange, tiles for proofs, and answers for senders and people.

use mufakat_exchange::{Chain, Directory, Facts, Held, Inbound, Leaf, Said, Snapshot, Unavailable, What};
use mufakat_ledger::hash::HASH_BYTES;
use mufakat_ledger::witness::Seen;
use mufakat_ledger::{Hash, SourceError, TileSource};
use mufakat_record::kinds::Body;
use mufakat_record::kinds::receipt::{Entry, Receipt};
use mufakat_record::{AgencyId, Digest, Reason, RecordId, Relation, STAND_IN, ThreadId, Verified, parcel};
use mufakat_views::holds::{self, On};
use mufakat_views::{Row, Rows};
use rusqlite::params;

use super::apply::{place, state};
use super::{Sqlite, clamped, damaged, failed, file_bytes, int, uint};
use crate::{
    Class, ClassNumber, Counts, Error, Finding, Followed, Mention, NO_CLASS, Page, Part, Queries, Queued, ReceiptOn,
    Related, Secret, State,
};

impl<Mode> Facts for Sqlite<Mode> {
    fn held(&self, id: &RecordId) -> Result<Option<Held>, Unavailable> {
        self.read_held(id).map_err(not_now)
    }

    fn arrival(&self, from: &AgencyId, epoch: u64, position: u64) -> Result<Option<Entry>, Unavailable> {
        self.read_arrival(from, epoch, position).map_err(not_now)
    }

    fn queued(&self, to: &AgencyId, first: u64, count: usize) -> Result<Vec<(RecordId, bool)>, Unavailable> {
        let read = || {
            let last = first.checked_add(count as u64).map(|end| end - 1);
            let places = last.and_then(|last| Some((i64::try_from(first).ok()?, i64::try_from(last).ok()?)));
            // Places that no channel reaches are nobody's.
            let (Some(number), Some((first, last))) = (self.known_number(to)?, places) else { return Ok(Vec::new()) };
            // A leaf's subject is the record's id, and its row is a tenth of the record's.
            let sql = "SELECT l.subject, o.state FROM outbox o JOIN leaf l ON l.number = o.leaf
                WHERE o.agency = ? AND o.epoch = (SELECT epoch FROM state) AND o.position BETWEEN ? AND ?
                ORDER BY o.position";
            self.all(sql, params![number, first, last], |row| {
                Ok((RecordId(row.get(0)?), row.get::<_, i64>(1)? != state::QUEUED))
            })
        };
        read().map_err(not_now)
    }

    fn referring(&self, id: &RecordId, said: Said<'_>) -> Result<Vec<Verified>, Unavailable> {
        let read = || {
            let found = self.leaves_saying(id, said)?.into_iter();
            found.filter_map(|index| self.record_of_leaf(index).transpose()).collect::<Result<Vec<_>, Error>>()
        };
        read().map_err(not_now)
    }

    fn on_its_way(&self, id: &RecordId) -> Result<bool, Unavailable> {
        let read = || {
            let leaf = self.one("SELECT leaf FROM record WHERE id = ?", [&id.0], |row| row.get(0))?;
            leaf.map_or(Ok(false), |leaf| self.is_owed(leaf))
        };
        read().map_err(not_now)
    }

    fn on_hold(&self, record: &RecordId, thread: &ThreadId, at_ms: u64) -> Result<bool, Unavailable> {
        for on in [On::Record(*record), On::Thread(*thread)] {
            let rows = self.rows(holds::NAME, &holds::prefix(&on), None).map_err(|e| Unavailable(e.0))?;
            if rows.iter().any(|row| holds::in_force(row, at_ms)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn submitted(&self, key: &[u8; 16]) -> Result<Option<RecordId>, Unavailable> {
        let sql = "SELECT record FROM submission WHERE key = ?";
        self.one(sql, [key], |row| row.get(0).map(RecordId)).map_err(not_now)
    }
}

impl<Mode> TileSource for Sqlite<Mode> {
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, SourceError> {
        // No tree of ours is so large that it has a tile at a place that we cannot write.
        let Some(place) = place(level, index) else { return Ok(None) };
        let found = self.one("SELECT hashes FROM tile WHERE place = ?", [place], |row| row.get::<_, Vec<u8>>(0));
        let mut found = found.map_err(|e| SourceError(e.to_string()))?;
        if let Some(hashes) = &mut found {
            // What fills a partial tile up is no part of it.
            let width = hashes.chunks(HASH_BYTES).rposition(|hash| *hash != [0; HASH_BYTES]).map_or(0, |last| last + 1);
            hashes.truncate(width * HASH_BYTES);
        }
        Ok(found)
    }
}

impl<Mode> Queries for Sqlite<Mode> {
    fn state(&self) -> Result<State, Error> {
        let epoch = self.one("SELECT epoch FROM state", [], |row| row.get(0))?;
        let epoch = epoch.map(uint).ok_or_else(|| damaged(Part::Database, "it does not say which epoch it is in"))?;
        Ok(State { me: self.me.clone(), epoch, schema: super::SCHEMA })
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, Error> {
        let Some(chain) = self.chain()? else { return Ok(None) };
        let State { me, epoch, .. } = self.state()?;
        Ok(Some(Snapshot {
            me,
            epoch,
            directory: self.directory(chain)?,
            governance: self.governance()?,
            ledger_size: self.ledger_size()?,
            outbound: self.outbound(epoch)?,
            inbound: self.inbound()?,
        }))
    }

    fn outbox(&self, to: &AgencyId, from: u64, count_max: usize, bytes_max: usize) -> Result<Vec<Queued>, Error> {
        self.read_outbox(to, from, count_max, bytes_max)
    }

    fn view_page(&self, page: &Page<'_>) -> Result<Vec<Row>, Error> {
        self.page(page)
    }

    fn classes(&self, after: ClassNumber) -> Result<Vec<(ClassNumber, Class)>, Error> {
        self.read_classes(after)
    }

    fn class_of(&self, record: &RecordId) -> Result<ClassNumber, Error> {
        self.record_class(record, u64::MAX)
    }

    fn record_bytes(&self, record: &RecordId) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.record_at(record)?.map(|(_, record)| record.into_bytes()))
    }

    fn records_from(&self, leaf: u64, count_max: usize) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let sql = "SELECT r.leaf, r.bytes FROM record r WHERE r.leaf >= ?
            AND NOT EXISTS (SELECT 1 FROM erased e WHERE e.leaf = r.leaf) ORDER BY r.leaf LIMIT ?";
        self.all(sql, params![int(leaf), clamped(count_max as u64)], |row| Ok((uint(row.get(0)?), row.get(1)?)))
    }

    fn leaf(&self, index: u64) -> Result<Option<Leaf>, Error> {
        self.read_leaf(index)
    }

    fn follow(&self, from: u64, count_max: usize, bytes_max: usize) -> Result<Vec<Followed>, Error> {
        self.read_followed(from, count_max, bytes_max)
    }

    fn record_leaf(&self, record: &RecordId) -> Result<Option<(u64, Leaf)>, Error> {
        let number = self.one("SELECT leaf FROM record WHERE id = ?", [&record.0], |row| row.get(0))?;
        number.map(uint).map(|index| Ok((index, self.expect_leaf(index)?))).transpose()
    }

    fn receipts_on(&self, record: &RecordId) -> Result<Vec<ReceiptOn>, Error> {
        let Some((index, leaf)) = self.record_leaf(record)? else { return Ok(Vec::new()) };
        let candidates =
            if leaf.what == What::Authored { self.receipts_taken(index)? } else { self.receipt_given(index)? };
        let mut receipts = Vec::new();
        for index in candidates {
            let Some(receipt) = self.record_of_leaf(index)? else { continue };
            let body = Receipt::from_body(receipt.header(), receipt.body());
            if body.is_ok_and(|body| body.entries.iter().any(|entry| entry.record == *record)) {
                receipts.push(ReceiptOn { bytes: receipt.into_bytes(), index, leaf: self.expect_leaf(index)? });
            }
        }
        Ok(receipts)
    }

    fn said_of(&self, record: &RecordId, said: Said<'_>) -> Result<Vec<Related>, Error> {
        let mut found = Vec::new();
        for index in self.leaves_saying(record, said)? {
            let Some(by) = self.record_of_leaf(index)? else { continue };
            found.push(Related { record: by.id(), bytes: by.into_bytes(), index, leaf: self.expect_leaf(index)? });
        }
        Ok(found)
    }

    fn related(&self, record: &RecordId, latest: usize) -> Result<Vec<Mention>, Error> {
        let sql = "SELECT f.leaf, f.relation, f.kind, a.name FROM
            (SELECT * FROM reference WHERE target = ? ORDER BY leaf DESC, relation DESC LIMIT ?) f
            JOIN agency a ON a.number = f.author ORDER BY f.leaf, f.relation";
        let found = self.all(sql, params![record.0, clamped(latest as u64)], |row| {
            Ok((uint(row.get(0)?), row.get::<_, i64>(1)?, row.get(2)?, row.get::<_, String>(3)?))
        })?;
        let mention = |(index, relation, kind, author): (u64, i64, String, String)| {
            let relation = relation_of(relation).ok_or_else(|| damaged(Part::Leaf(index), "an unknown relation"))?;
            Ok(Mention { relation, kind, author: agency(&author)?, index, leaf: self.expect_leaf(index)? })
        };
        found.into_iter().map(mention).collect()
    }

    fn counts(&self) -> Result<Counts, Error> {
        let count = |sql: &str| Ok::<_, Error>(self.one(sql, [], |row| row.get(0).map(uint))?.unwrap_or_default());
        let sql = "SELECT a.name, count(*) FROM outbox o JOIN agency a ON a.number = o.agency
            WHERE o.state = 0 GROUP BY o.agency ORDER BY a.name";
        let queued = self.all(sql, [], |row| Ok((row.get::<_, String>(0)?, uint(row.get(1)?))))?;
        let queued =
            queued.into_iter().map(|(name, count)| Ok((agency(&name)?, count))).collect::<Result<_, Error>>()?;
        let pages = count("PRAGMA page_count")?;
        Ok(Counts {
            records: count("SELECT records FROM state")?,
            leaves: self.ledger_size()?,
            queued,
            mailbox: count("SELECT coalesce(sum(count), 0) FROM mailbox_load")?,
            bytes: pages * count("PRAGMA page_size")? + file_bytes(&self.path, "-wal"),
        })
    }

    fn seen(&self, origin: &str) -> Result<Option<Seen>, Error> {
        self.one("SELECT size, root, note FROM seen WHERE origin = ?", [origin], |row| {
            Ok(Seen { size: uint(row.get(0)?), root: Hash::from(row.get::<_, [u8; 32]>(1)?), note_text: row.get(2)? })
        })
    }

    fn own_checkpoint(&self) -> Result<Option<String>, Error> {
        Ok(self.one("SELECT checkpoint FROM state", [], |row| row.get(0))?.flatten())
    }

    fn secrets(&self) -> Result<Vec<Secret>, Error> {
        self.read_secrets()
    }

    fn mailbox_take_after(
        &self,
        recipient: &AgencyId,
        cursor: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        self.read_mailbox(recipient, cursor, count_max, bytes_max)
    }

    fn relay_chunk_allowed(&self, name: &Digest, agency: &AgencyId) -> Result<bool, Error> {
        let Some(number) = self.known_number(agency)? else { return Ok(false) };
        let sql = "SELECT 1 FROM relay_chunk WHERE name = ? AND recipient = ?";
        Ok(self.one(sql, params![name.0, number], |_| Ok(()))?.is_some())
    }

    fn chunk_allowed(&self, name: &Digest, agency: &AgencyId) -> Result<bool, Error> {
        let sql = "SELECT c.leaf FROM chunk c JOIN leaf l ON l.number = c.leaf WHERE c.name = ? AND l.what = 1";
        for index in self.all(sql, [&name.0], |row| row.get(0))? {
            if self.record_of_leaf(uint(index))?.is_some_and(|record| record.header().reaches(agency)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn attachments_incomplete(&self) -> Result<Vec<RecordId>, Error> {
        let sql = "SELECT r.id FROM incomplete i JOIN record r ON r.leaf = i.leaf ORDER BY i.leaf";
        self.all(sql, [], |row| row.get(0).map(RecordId))
    }

    fn chunks_unreferenced(&self, count_max: usize) -> Result<Vec<Digest>, Error> {
        let sql = "SELECT name FROM chunk_let_go g
            WHERE NOT EXISTS (SELECT 1 FROM chunk c WHERE c.name = g.name)
            AND NOT EXISTS (SELECT 1 FROM relay_chunk c WHERE c.name = g.name) LIMIT ?";
        self.all(sql, [clamped(count_max as u64)], |row| row.get(0).map(Digest))
    }

    fn fsck(&self) -> Result<Vec<Finding>, Error> {
        self.check_all()
    }
}

impl<Mode> Sqlite<Mode> {
    pub(super) fn chain(&self) -> Result<Option<Chain>, Error> {
        let versions = self.all("SELECT version, body FROM register ORDER BY version", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
        let mut parts = Vec::with_capacity(versions.len());
        for (version, body) in versions {
            let sql = "SELECT record FROM approval WHERE version = ? ORDER BY ordinal";
            parts.push((body, self.all(sql, [version], |row| row.get(0))?));
        }
        if parts.is_empty() {
            return Ok(None);
        }
        Chain::verify(&parts).map(Some).map_err(|reason| damaged(Part::Register, reason.name()))
    }

    pub(super) fn directory(&self, chain: Chain) -> Result<Directory, Error> {
        let mut directory = Directory::new(chain);
        let sql = "SELECT a.name, k.record FROM key_set k JOIN agency a ON a.number = k.agency ORDER BY k.agency";
        for (name, record) in self.all(sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))? {
            match directory.take_key_set(&record) {
                Ok(_) => {}
                // The register gave the agency another identity key since; its next key set has yet to come.
                Err(Reason::UnknownKey) => {}
                Err(reason) => return Err(damaged(Part::Register, format!("the key set of {name}: {reason}"))),
            }
        }
        Ok(directory)
    }

    fn governance(&self) -> Result<Vec<Verified>, Error> {
        let found = self.all("SELECT leaf FROM governance ORDER BY leaf", [], |row| row.get(0))?;
        let records = found.into_iter().map(|index| self.record_of_leaf(uint(index)));
        records.filter_map(Result::transpose).collect()
    }

    pub(super) fn ledger_size(&self) -> Result<u64, Error> {
        Ok(self
            .one("SELECT max(number) FROM leaf", [], |row| row.get::<_, Option<i64>>(0))?
            .flatten()
            .map_or(0, |n| uint(n) + 1))
    }

    fn outbound(&self, epoch: u64) -> Result<Vec<(AgencyId, u64, u64)>, Error> {
        let mut channels = Vec::new();
        for (name, number) in self.agencies()? {
            let last = "SELECT max(position) FROM outbox WHERE agency = ? AND epoch = ?";
            let last: Option<i64> = self.one(last, params![number, int(epoch)], |row| row.get(0))?.flatten();
            let first = "SELECT min(position) FROM outbox WHERE agency = ? AND epoch = ? AND state = 0";
            let first: Option<i64> = self.one(first, params![number, int(epoch)], |row| row.get(0))?.flatten();
            if let Some(last) = last.map(uint) {
                // Positions begin at 1.
                let settled = first.map_or(last, |first| uint(first).saturating_sub(1));
                channels.push((name, settled, last + 1));
            }
        }
        Ok(channels)
    }

    fn inbound(&self) -> Result<Vec<(AgencyId, Inbound)>, Error> {
        let sql =
            "SELECT a.name, i.epoch, i.expected FROM inbound i JOIN agency a ON a.number = i.agency ORDER BY a.name";
        let found = self.all(sql, [], |row| {
            Ok((row.get::<_, String>(0)?, Inbound { epoch: uint(row.get(1)?), expected: uint(row.get(2)?) }))
        })?;
        found.into_iter().map(|(name, inbound)| Ok((agency(&name)?, inbound))).collect()
    }

    pub(super) fn agencies(&self) -> Result<Vec<(AgencyId, i64)>, Error> {
        let found = self.all("SELECT name, number FROM agency ORDER BY name", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?))
        })?;
        found.into_iter().map(|(name, number)| Ok((agency(&name)?, number))).collect()
    }

    fn read_held(&self, id: &RecordId) -> Result<Option<Held>, Error> {
        let sql = "SELECT r.leaf, l.at_ms, l.salt FROM record r JOIN leaf l ON l.number = r.leaf WHERE r.id = ?";
        let found = self.one(sql, [&id.0], |row| Ok((uint(row.get(0)?), uint(row.get(1)?), row.get(2)?)))?;
        let Some((leaf, at_ms, salt)) = found else { return Ok(None) };
        let record = self.record_at(id)?.map(|(_, record)| record);
        Ok(Some(Held { record, leaf, at_ms, salt }))
    }

    /// The leaves of the records that say something of a record, ascending. They are found by the primary key alone.
    fn leaves_saying(&self, id: &RecordId, said: Said<'_>) -> Result<Vec<u64>, Error> {
        let Some(author) = self.known_number(said.by)? else { return Ok(Vec::new()) };
        let sql = "SELECT leaf FROM reference WHERE target = ? AND relation = ? AND author = ? AND kind = ?
            ORDER BY leaf DESC LIMIT ?";
        let values = params![id.0, said.relation as i64, author, said.kind, clamped(said.latest as u64)];
        let mut found = self.all(sql, values, |row| row.get(0).map(uint))?;
        found.reverse();
        Ok(found)
    }

    fn read_arrival(&self, from: &AgencyId, epoch: u64, position: u64) -> Result<Option<Entry>, Error> {
        let Some(number) = self.known_number(from)? else { return Ok(None) };
        let sql = "SELECT leaf FROM arrived WHERE agency = ? AND epoch = ? AND position = ?";
        let Some(index) = self.one(sql, params![number, int(epoch), int(position)], |row| row.get(0).map(uint))? else {
            return Ok(None);
        };
        let leaf = self.expect_leaf(index)?;
        // A record of our own that a partner sends back has the leaf of its authoring, whose detail is no reason.
        let rejected = (leaf.what == What::Received && !leaf.detail.is_empty()).then(|| String::from_utf8(leaf.detail));
        let rejected = rejected.transpose().map_err(|_| damaged(Part::Leaf(index), "its reason is no text"))?;
        Ok(Some(Entry {
            position,
            record: RecordId(leaf.subject.0),
            rejected,
            at_ms: leaf.at_ms,
            index,
            salt: leaf.salt,
        }))
    }

    fn read_outbox(&self, to: &AgencyId, from: u64, count_max: usize, bytes_max: usize) -> Result<Vec<Queued>, Error> {
        let Some(number) = self.known_number(to)? else { return Ok(Vec::new()) };
        let sql = "SELECT o.position, r.id, r.bytes, o.state, e.leaf IS NOT NULL FROM outbox o
            LEFT JOIN record r ON r.leaf = o.leaf LEFT JOIN erased e ON e.leaf = o.leaf
            WHERE o.agency = ? AND o.epoch = (SELECT epoch FROM state) AND o.position >= ? ORDER BY o.position LIMIT ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(params![number, int(from), clamped(count_max as u64)]).map_err(failed)?;
        let (mut found, mut bytes_left) = (Vec::new(), bytes_max);
        while let Some(row) = rows.next().map_err(failed)? {
            let read =
                || Ok((uint(row.get(0)?), row.get(1)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, i64>(3)?, row.get(4)?));
            let (position, id, bytes, state, erased): (_, _, _, _, bool) = read().map_err(failed)?;
            let record = RecordId(id);
            if position != from + found.len() as u64 {
                let wrong = format!("position {} is missing", from + found.len() as u64);
                return Err(damaged(Part::Outbox(to.clone()), wrong));
            }
            // A partner that lost what it had confirmed asks for places of which the content is gone since.
            let (bytes, record) = if erased { (STAND_IN.to_vec(), RecordId::of(STAND_IN)) } else { (bytes, record) };
            if RecordId::of(&bytes) != record {
                return Err(damaged(Part::Record(record), "its bytes have another hash"));
            }
            if state == state::CANCELLED || (bytes.len() > bytes_left && !found.is_empty()) {
                break;
            }
            bytes_left = bytes_left.saturating_sub(bytes.len());
            found.push(Queued { position, record, bytes });
        }
        Ok(found)
    }

    pub(super) fn read_followed(&self, from: u64, count_max: usize, bytes_max: usize) -> Result<Vec<Followed>, Error> {
        let sql = "SELECT l.number, l.what, l.at_ms, l.subject, l.detail, zeroblob(16), r.class, r.bytes FROM leaf l
            LEFT JOIN record r ON r.leaf = l.number AND NOT EXISTS (SELECT 1 FROM erased e WHERE e.leaf = r.leaf)
            WHERE l.number >= ? ORDER BY l.number LIMIT ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(params![int(from), clamped(count_max as u64)]).map_err(failed)?;
        let (mut found, mut bytes_left) = (Vec::new(), bytes_max);
        while let Some(row) = rows.next().map_err(failed)? {
            let index = uint(row.get(0).map_err(failed)?);
            let leaf = leaf(index, row)?;
            let read = || -> rusqlite::Result<_> { Ok((row.get::<_, Option<_>>(6)?, row.get(7)?)) };
            let (class, record): (_, Option<Vec<u8>>) = read().map_err(failed)?;
            let bytes = record.as_ref().map_or(0, Vec::len);
            if bytes > bytes_left && !found.is_empty() {
                break;
            }
            bytes_left = bytes_left.saturating_sub(bytes);
            found.push(Followed { index, leaf, class: class.unwrap_or(NO_CLASS), record });
        }
        Ok(found)
    }

    /// The record that came with a leaf; nothing if none did or its content was deleted.
    pub(crate) fn kept_at(&self, leaf: u64) -> Result<Option<RecordId>, Error> {
        let sql = "SELECT id FROM record WHERE leaf = ?
            AND NOT EXISTS (SELECT 1 FROM erased e WHERE e.leaf = record.leaf)";
        self.one(sql, [int(leaf)], |row| row.get(0).map(RecordId))
    }

    /// The leaves of receipts that partners gave for the places that a record of ours has on their channels.
    fn receipts_taken(&self, index: u64) -> Result<Vec<u64>, Error> {
        // A receipt spans one parcel, which bounds how far before a place it can begin.
        let sql = "SELECT t.leaf FROM outbox o JOIN receipt_taken t
            ON t.agency = o.agency AND t.epoch = o.epoch AND t.first <= o.position AND t.first > o.position - ?2
            WHERE o.leaf = ?1 AND t.last >= o.position ORDER BY t.leaf";
        self.all(sql, params![int(index), clamped(parcel::COUNT_MAX as u64)], |row| row.get(0).map(uint))
    }

    /// The leaf of the receipt that we gave for the parcel with which a record came: the first receipt behind it, because a
    /// parcel and its receipt are taken in together.
    fn receipt_given(&self, index: u64) -> Result<Vec<u64>, Error> {
        let sql = "SELECT number FROM leaf WHERE number > ? AND what = 3 ORDER BY number LIMIT 1";
        self.all(sql, [int(index)], |row| row.get(0).map(uint))
    }

    /// A record whose content is there, with the number of its leaf.
    pub(super) fn record_at(&self, id: &RecordId) -> Result<Option<(i64, Verified)>, Error> {
        let sql = "SELECT r.leaf, r.bytes FROM record r
            WHERE r.id = ? AND NOT EXISTS (SELECT 1 FROM erased e WHERE e.leaf = r.leaf)";
        let found = self.one(sql, [&id.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
        found.map(|(number, bytes)| Ok((number, sound(id, bytes)?))).transpose()
    }

    fn record_of_leaf(&self, index: u64) -> Result<Option<Verified>, Error> {
        let sql = "SELECT r.id, r.bytes FROM record r
            WHERE r.leaf = ? AND NOT EXISTS (SELECT 1 FROM erased e WHERE e.leaf = r.leaf)";
        let found = self.one(sql, [int(index)], |row| Ok((RecordId(row.get(0)?), row.get(1)?)))?;
        found.map(|(id, bytes)| sound(&id, bytes)).transpose()
    }

    pub(super) fn read_leaf(&self, index: u64) -> Result<Option<Leaf>, Error> {
        let sql = "SELECT number, what, at_ms, subject, detail, salt FROM leaf WHERE number = ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query([int(index)]).map_err(failed)?;
        rows.next().map_err(failed)?.map(|row| leaf(index, row)).transpose()
    }

    fn expect_leaf(&self, index: u64) -> Result<Leaf, Error> {
        self.read_leaf(index)?.ok_or_else(|| damaged(Part::Leaf(index), "it is missing"))
    }
}

/// Reads a leaf from a row of number, what, time, subject, detail and salt.
pub(super) fn leaf(index: u64, row: &rusqlite::Row<'_>) -> Result<Leaf, Error> {
    let wrong = |what: String| damaged(Part::Leaf(index), what);
    let read = || -> rusqlite::Result<_> { Ok((row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)) };
    let (what, at_ms, subject, detail, salt) = read().map_err(|e| wrong(e.to_string()))?;
    let what = What::from_number(what).ok_or_else(|| wrong(format!("it tells of something unknown ({what})")))?;
    Ok(Leaf { what, at_ms: uint(at_ms), subject: Digest(subject), detail, salt })
}

fn sound(id: &RecordId, bytes: Vec<u8>) -> Result<Verified, Error> {
    let record = Verified::from_own_store(bytes).map_err(|reason| damaged(Part::Record(*id), reason.name()))?;
    if record.id() == *id { Ok(record) } else { Err(damaged(Part::Record(*id), "its bytes have another hash")) }
}

pub(super) fn agency(name: &str) -> Result<AgencyId, Error> {
    name.parse().map_err(|_| damaged(Part::Database, format!("{name:?} is no name of an agency")))
}

fn relation_of(number: i64) -> Option<Relation> {
    use Relation::{About, Answers, Attaches, Corrects, Retracts};
    [About, Attaches, Retracts, Corrects, Answers].into_iter().find(|relation| *relation as i64 == number)
}

fn not_now(error: Error) -> Unavailable {
    Unavailable(error.to_string())
}
