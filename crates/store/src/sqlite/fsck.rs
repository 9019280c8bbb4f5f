//! Checks of a whole state file: each part against the others, and all that can be computed against what it is computed from.
//! Nothing is changed; a running node goes on meanwhile.

use mufakat_ledger::tile::ReadError;
use mufakat_ledger::tree::{self, Damage};
use mufakat_ledger::{Checkpoint, Hash, Note, SourceError, leaf_hash};
use mufakat_record::{RecordId, Verified};
use rusqlite::types::ValueRef;

use super::read::{agency, leaf};
use super::rows::Hex;
use super::{Reader, Sqlite, failed, uint};
use crate::{Class, ClassNumber, Error, Finding, NO_CLASS, Part, Queries};

/// How many findings of one sort are told; a file with more is not mended by reading on.
const FINDINGS_MAX: usize = 100;

type Check = fn(&Reader) -> Result<Vec<Finding>, Error>;

/// The lists of keys that are.
const LISTS: &str = "SELECT facet, class, key FROM SCHEMA.view_facet";

/// The rows of views that are, as their keys and contents.
const ROWS: &str = "SELECT k.view, k.key, r.class, r.time_ms, r.record, r.facets, r.body
    FROM SCHEMA.view_key k JOIN SCHEMA.view_row r ON r.number = k.number";

impl<Mode> Sqlite<Mode> {
    pub(super) fn check_all(&self) -> Result<Vec<Finding>, Error> {
        // A connection of its own sees one moment of the file, however long this takes.
        let reader = self.reader()?;
        reader.connection.execute_batch("BEGIN").map_err(failed)?;
        let checks: [Check; 7] = [
            Reader::check_database,
            Reader::check_register,
            Reader::check_records,
            Reader::check_tree,
            Reader::check_channels,
            Reader::check_mailboxes,
            Reader::check_views,
        ];
        let mut findings: Vec<Finding> = Vec::new();
        for check in checks {
            let found = match check(&reader) {
                Ok(found) => found,
                Err(Error::Damaged { part, what }) => vec![Finding { part, what }],
                Err(error) => return Err(error),
            };
            for finding in found {
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        }
        Ok(findings)
    }
}

fn finding(part: Part, what: impl Into<String>) -> Finding {
    Finding { part, what: what.into() }
}

impl Reader {
    fn check_database(&self) -> Result<Vec<Finding>, Error> {
        let lines: Vec<String> = self.all("PRAGMA integrity_check", [], |row| row.get(0))?;
        Ok(lines.into_iter().filter(|line| line != "ok").map(|line| finding(Part::Database, line)).collect())
    }

    fn check_register(&self) -> Result<Vec<Finding>, Error> {
        if let Some(chain) = self.chain()? {
            self.directory(chain)?;
        }
        Ok(Vec::new())
    }

    /// Each record has the id of its bytes and the leaf that tells of it, and each leaf that tells of a record has it.
    fn check_records(&self) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        let sql = "SELECT r.id, r.bytes, l.subject, e.leaf IS NOT NULL, r.class, c.class FROM record r
            LEFT JOIN leaf l ON l.number = r.leaf LEFT JOIN erased e ON e.leaf = r.leaf
            LEFT JOIN class c ON c.number = r.class ORDER BY r.leaf";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut records = 0u64;
        while let Some(row) = rows.next().map_err(failed)? {
            records += 1;
            if findings.len() < FINDINGS_MAX
                && let Some(found) = self.check_record(row)?
            {
                findings.push(found);
            }
        }
        let told: Option<u64> = self.one("SELECT records FROM state", [], |row| row.get(0).map(uint))?;
        if told != Some(records) {
            findings.push(finding(Part::Database, format!("it holds {records} records and tells of {told:?}")));
        }
        let sql = "SELECT l.number FROM leaf l WHERE (l.what IN (1, 3) OR l.what = 2 AND length(l.detail) = 0)
            AND NOT EXISTS (SELECT 1 FROM record r WHERE r.leaf = l.number)
            AND NOT EXISTS (SELECT 1 FROM record r WHERE r.id = l.subject) LIMIT 100";
        let missing: Vec<i64> = self.all(sql, [], |row| row.get(0))?;
        findings.extend(
            missing.into_iter().map(|n| finding(Part::Leaf(uint(n)), "the record that it tells of is missing")),
        );
        Ok(findings)
    }

    fn check_record(&self, row: &rusqlite::Row<'_>) -> Result<Option<Finding>, Error> {
        let read = || -> rusqlite::Result<_> { Ok((row.get(0)?, row.get(1)?, row.get(3)?, row.get(4)?, row.get(5)?)) };
        let (id, bytes, erased, number, class) = read().map_err(failed)?;
        let (id, number): (_, ClassNumber) = (RecordId(id), number);
        let (bytes, class): (Vec<u8>, Option<Vec<u8>>) = (bytes, class);
        let wrong = |what: &str| Ok(Some(finding(Part::Record(id), what)));
        if row.get_ref(2).map_err(failed)? != ValueRef::Blob(&id.0) {
            return wrong("its leaf is missing or tells of something else");
        }
        if class.is_none() && number != NO_CLASS {
            return wrong("its class is missing");
        }
        if erased {
            return if bytes.iter().all(|byte| *byte == 0) {
                Ok(None)
            } else {
                wrong("it is erased, and something is left of it")
            };
        }
        let record = match Verified::from_own_store(bytes) {
            Ok(record) if record.id() == id => record,
            Ok(_) => return wrong("its bytes have another hash"),
            Err(reason) => return wrong(reason.name()),
        };
        let header = record.header();
        let fits = match class {
            Some(class) => class == Class::of(header).to_bytes(),
            None => match self.known_number(&header.author)? {
                Some(author) => header.author != self.me && self.is_crowded(author)?,
                None => false,
            },
        };
        if fits { Ok(None) } else { wrong("it is of another class") }
    }

    /// The tiles hold what the leaves hash to, and what our own checkpoint says.
    fn check_tree(&self) -> Result<Vec<Finding>, Error> {
        let size = self.ledger_size()?;
        let sql = "SELECT l.number, l.what, l.at_ms, l.subject, l.detail, l.salt, e.commitment
            FROM leaf l LEFT JOIN erased e ON e.leaf = l.number ORDER BY l.number";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut unreadable = None;
        let mut index = 0;
        let leaves = std::iter::from_fn(|| {
            let hash = leaf_hash_of(rows.next().transpose()?, index);
            index += 1;
            Some(hash.map_err(|error| {
                let text = error.to_string();
                unreadable = Some(error);
                SourceError(text)
            }))
        });
        let leaves = tree::check_leaves(self, size, leaves);
        match unreadable {
            Some(Error::Damaged { part, what }) => return Ok(vec![Finding { part, what }]),
            Some(error) => return Err(error),
            None => {}
        }
        let tiles = tree::check(self, size);
        let by_checkpoint = self.checkpoint_agrees(size)?;
        Ok(judge(leaves, tiles, by_checkpoint))
    }

    /// The size of our own checkpoint, and whether the tiles give its root; nothing if there is none.
    fn checkpoint_agrees(&self, size: u64) -> Result<Option<(u64, bool)>, Error> {
        let Some(text) = self.own_checkpoint()? else { return Ok(None) };
        let parsed = Note::parse(&text).ok().and_then(|note| Checkpoint::parse(&note.text).ok());
        let Some(checkpoint) = parsed else { return Err(super::damaged(Part::Checkpoint, "it cannot be read")) };
        if checkpoint.size > size {
            let what = format!("it tells of {} leaves, and the ledger has {size}", checkpoint.size);
            return Err(super::damaged(Part::Checkpoint, what));
        }
        Ok(Some((checkpoint.size, tree::check(self, checkpoint.size) == Ok(checkpoint.root))))
    }

    /// Positions on every channel run from 1 without a gap, and lead to what is there.
    fn check_channels(&self) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        for (part, table) in [(Part::Outbox as fn(_) -> _, "outbox"), (Part::Arrivals as fn(_) -> _, "arrived")] {
            let sql = format!(
                "SELECT a.name, c.epoch, count(*), min(c.position), max(c.position) FROM {table} c
                JOIN agency a ON a.number = c.agency GROUP BY c.agency, c.epoch"
            );
            for (name, epoch, count, first, last) in self.all(&sql, [], five)? {
                if first != 1 || last != count {
                    let what = format!("epoch {}: {count} positions from {first} to {last}", uint(epoch));
                    findings.push(finding(part(agency(&name)?), what));
                }
            }
        }
        let sql = "SELECT a.name, o.position FROM outbox o JOIN agency a ON a.number = o.agency
            WHERE NOT EXISTS (SELECT 1 FROM record r WHERE r.leaf = o.leaf)
            OR o.state = 0 AND EXISTS (SELECT 1 FROM erased e WHERE e.leaf = o.leaf) LIMIT 100";
        for (name, position) in self.all(sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
            findings.push(finding(Part::Outbox(agency(&name)?), format!("position {position} has no record")));
        }
        let sql = "SELECT a.name, c.position FROM arrived c JOIN agency a ON a.number = c.agency
            WHERE NOT EXISTS (SELECT 1 FROM leaf l WHERE l.number = c.leaf) LIMIT 100";
        for (name, position) in self.all(sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
            findings.push(finding(Part::Arrivals(agency(&name)?), format!("position {position} has no leaf")));
        }
        let sql = "SELECT a.name, i.expected, (SELECT coalesce(max(position), 0) FROM arrived c
                WHERE c.agency = i.agency AND c.epoch = i.epoch) FROM inbound i JOIN agency a ON a.number = i.agency";
        for (name, expected, last) in
            self.all(sql, [], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?
        {
            let (expected, last): (i64, i64) = (expected, last);
            if expected != last + 1 {
                let what = format!("position {expected} is expected after {last}");
                findings.push(finding(Part::Arrivals(agency(&name)?), what));
            }
        }
        Ok(findings)
    }

    fn check_mailboxes(&self) -> Result<Vec<Finding>, Error> {
        let sql = "SELECT a.name FROM agency a
            LEFT JOIN mailbox_load l ON l.recipient = a.number
            LEFT JOIN (SELECT recipient, count(*) AS count, sum(length(parcel)) AS bytes FROM mailbox GROUP BY recipient) m
                ON m.recipient = a.number
            WHERE coalesce(l.count, 0) <> coalesce(m.count, 0) OR coalesce(l.bytes, 0) <> coalesce(m.bytes, 0)";
        let wrong: Vec<String> = self.all(sql, [], |row| row.get(0))?;
        let what = |name| finding(Part::Mailbox, format!("what waits for {name} is not what is counted"));
        Ok(wrong.into_iter().map(what).collect())
    }

    /// The rows are those that the records give. They are folded into temporary tables, which stand in front of the real ones.
    fn check_views(&self) -> Result<Vec<Finding>, Error> {
        let sql = "SELECT replace(sql, 'CREATE TABLE', 'CREATE TEMP TABLE') FROM main.sqlite_schema
            WHERE name IN ('view_row', 'view_key', 'view_facet') AND type = 'table'";
        for table in self.all(sql, [], |row| row.get::<_, String>(0))? {
            self.connection.execute_batch(&table).map_err(failed)?;
        }
        self.fold_all()?;
        let (real, folded) = (ROWS.replace("SCHEMA", "main"), ROWS.replace("SCHEMA", "temp"));
        let mut findings = Vec::new();
        for (some, others, what) in [
            (&real, &folded, "is not what the records give"),
            (&folded, &real, "is given by the records and not there"),
        ] {
            let sql = format!("SELECT view, key FROM ({some} EXCEPT {others}) LIMIT {FINDINGS_MAX}");
            for (view, key) in self.all(&sql, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))? {
                findings.push(finding(Part::View(view), format!("row {} {what}", Hex(&key))));
            }
        }
        let (real, folded) = (LISTS.replace("SCHEMA", "main"), LISTS.replace("SCHEMA", "temp"));
        let sql = format!(
            "SELECT count(*) FROM (SELECT * FROM ({real} EXCEPT {folded}) UNION ALL SELECT * FROM ({folded} EXCEPT {real}))"
        );
        let wrong = self.one(&sql, [], |row| row.get::<_, i64>(0))?.unwrap_or_default();
        if wrong > 0 {
            findings
                .push(finding(Part::Facets, format!("{wrong} keys are listed and should not be, or the other way")));
        }
        Ok(findings)
    }
}

fn five(row: &rusqlite::Row<'_>) -> rusqlite::Result<(String, i64, i64, i64, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn leaf_hash_of(row: Result<&rusqlite::Row<'_>, rusqlite::Error>, index: u64) -> Result<Hash, Error> {
    let row = row.map_err(failed)?;
    let number = uint(row.get(0).map_err(failed)?);
    if number != index {
        return Err(super::damaged(Part::Leaf(index), "it is missing"));
    }
    // An erased record's leaf has lost its salt; what it committed to was noted.
    let commitment: Option<[u8; 32]> = row.get(6).map_err(failed)?;
    Ok(match commitment {
        Some(commitment) => leaf_hash(&commitment),
        None => leaf(index, row)?.hash(),
    })
}

/// Says which of leaf and tile is damaged where they differ: the one that the rest of the tree, or our own checkpoint,
/// contradicts.
fn judge(leaves: Result<(), Damage>, tiles: Result<Hash, Damage>, checkpoint: Option<(u64, bool)>) -> Vec<Finding> {
    match (leaves, tiles) {
        (Err(Damage::Leaf { place, index }), tiles) => {
            let covered = checkpoint.filter(|(size, _)| *size > index).map(|(_, agrees)| agrees);
            let what = format!("{place} and leaf {index} do not agree");
            vec![match (tiles, covered) {
                (Ok(_), Some(true)) => {
                    finding(Part::Leaf(index), format!("{what}, and the checkpoint is for the tile"))
                }
                (Ok(_), None) => {
                    finding(Part::Leaf(index), format!("{what}, and nothing tells which of them is damaged"))
                }
                (Err(_), _) | (Ok(_), Some(false)) => {
                    finding(Part::Tile(place), format!("{what}, and the rest of the tree is for the leaf"))
                }
            }]
        }
        (Err(damage), _) | (Ok(()), Err(damage)) => vec![of_tree(&damage)],
        (Ok(()), Ok(_)) if checkpoint.is_some_and(|(_, agrees)| !agrees) => {
            vec![finding(Part::Checkpoint, "the tree has another root than it says")]
        }
        (Ok(()), Ok(_)) => Vec::new(),
    }
}

fn of_tree(damage: &Damage) -> Finding {
    let part = match damage {
        Damage::Tile(
            ReadError::Missing(place) | ReadError::Narrow { place, .. } | ReadError::Malformed { place, .. },
        )
        | Damage::Wrong { place, .. }
        | Damage::Leaf { place, .. } => Part::Tile(*place),
        Damage::Tile(ReadError::Source(_)) => Part::Database,
        Damage::LeavesEnd { have, .. } => Part::Leaf(*have),
    };
    finding(part, damage.to_string())
}
