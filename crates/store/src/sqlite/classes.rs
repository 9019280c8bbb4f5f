//! Handling classes in the state file: given numbers, looked up, listed.

use std::collections::HashMap;

use mufakat_record::{Header, RecordId};
use rusqlite::params;

use super::{Sqlite, damaged, uint};
use crate::{CLASSES_OF_AUTHOR_MAX, Class, ClassNumber, Error, NO_CLASS, Part};

/// How many classes are kept in memory with their numbers.
const KNOWN_MAX: usize = 4_096;

/// What is known without asking the file. What a transaction that was given up had learned is forgotten with it.
#[derive(Default)]
pub(super) struct Known {
    /// The numbers of classes, as they are kept.
    numbers: HashMap<Vec<u8>, ClassNumber>,
    /// The leaf and class of the records at hand, about which most rows are.
    records: HashMap<RecordId, (u64, ClassNumber)>,
}

impl Known {
    /// Remembers the class of a record for as long as it is at hand.
    pub(super) fn remember(&mut self, record: RecordId, leaf: u64, class: ClassNumber) {
        self.records.insert(record, (leaf, class));
    }

    /// The records at hand are done with.
    pub(super) fn forget_records(&mut self) {
        self.records.clear();
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.numbers.clear();
        self.records.clear();
    }
}

impl Sqlite {
    /// The number of a header's class, which it gets if it has none.
    pub(super) fn class_number(&self, header: &Header) -> Result<ClassNumber, Error> {
        let class = Class::of(header).to_bytes();
        if let Some(number) = self.classes.borrow().numbers.get(&class) {
            return Ok(*number);
        }
        let known = self.one("SELECT number FROM class WHERE class = ?", [&class], |row| row.get(0))?;
        let number = match known {
            Some(number) => number,
            None => {
                let author = self.number(&header.author)?;
                if header.author != self.me && self.is_crowded(author)? {
                    return Ok(NO_CLASS);
                }
                self.execute("INSERT INTO class (author, class) VALUES (?, ?)", params![author, class])?;
                // The limit for each partner, and the measure of this agency's officers, keep the numbers small.
                ClassNumber::try_from(self.connection.last_insert_rowid())
                    .map_err(|_| damaged(Part::Database, "it has more classes than there are numbers"))?
            }
        };
        let numbers = &mut self.classes.borrow_mut().numbers;
        if numbers.len() >= KNOWN_MAX {
            numbers.clear();
        }
        numbers.insert(class, number);
        Ok(number)
    }
}

impl<Mode> Sqlite<Mode> {
    /// Whether the records of an author are of as many classes as they may be.
    pub(super) fn is_crowded(&self, author: i64) -> Result<bool, Error> {
        let count = self.one("SELECT count(*) FROM class WHERE author = ?", [author], |row| row.get::<_, u32>(0))?;
        Ok(count.unwrap_or_default() >= CLASSES_OF_AUTHOR_MAX)
    }

    /// The class of a record, if it is held and its leaf is none beyond `leaf`.
    pub(super) fn record_class(&self, record: &RecordId, leaf: u64) -> Result<ClassNumber, Error> {
        let at_hand = self.classes.borrow().records.get(record).copied();
        let found = match at_hand {
            Some(found) => Some(found),
            None => {
                let sql = "SELECT leaf, class FROM record WHERE id = ?";
                self.one(sql, [&record.0], |row| Ok((uint(row.get(0)?), row.get(1)?)))?
            }
        };
        Ok(found.filter(|(came, _)| *came <= leaf).map_or(NO_CLASS, |(_, class)| class))
    }

    pub(super) fn read_classes(&self, after: ClassNumber) -> Result<Vec<(ClassNumber, Class)>, Error> {
        let sql = "SELECT number, class FROM class WHERE number > ? ORDER BY number";
        let found = self.all(sql, [after], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let class = |(number, bytes): (ClassNumber, Vec<u8>)| {
            let class = Class::from_bytes(&bytes);
            class.map(|class| (number, class)).ok_or_else(|| damaged(Part::Class(number), "it cannot be read"))
        };
        found.into_iter().map(class).collect()
    }
}
