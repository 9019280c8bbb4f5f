//! The asker's tags: what it was answered, so that it looks again in each delta without asking.

use mufakat_record::RecordId;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Error, Lists, at_most, damaged};

/// The length of a tag in bytes.
pub const TAG_BYTES: usize = 24;
/// How many tags one question has at most: as many as a batch has places.
pub const TAGS_MAX: usize = mufakat_record::kinds::match_question::COUNT_MAX;
/// The length of a tag with its number.
const TAGGED_BYTES: usize = 4 + TAG_BYTES;

/// A tag with its number within its question.
pub type Tagged = (u32, [u8; TAG_BYTES]);

impl Lists {
    /// Keeps the tags of a question, instead of those that it had.
    pub fn keep_tags(&mut self, question: &RecordId, tags: &[Tagged]) -> Result<(), Error> {
        at_most("tags of a question", tags.len(), TAGS_MAX)?;
        let mut bytes = Vec::with_capacity(tags.len() * TAGGED_BYTES);
        for (number, tag) in tags {
            bytes.extend(number.to_be_bytes());
            bytes.extend(tag);
        }
        let change = self.begin()?;
        let had = blank(&change, question)?;
        change.execute("INSERT INTO tags (tags) VALUES (?)", [bytes])?;
        change.execute("INSERT INTO asked VALUES (?, ?)", params![question.0, change.last_insert_rowid()])?;
        change.commit()?;
        if had { self.scrub() } else { Ok(()) }
    }

    /// The tags of a question; none if none were kept.
    pub fn tags(&self, question: &RecordId) -> Result<Vec<Tagged>, Error> {
        let mut tags = Vec::new();
        self.tags_of(std::slice::from_ref(question), |_, number, tag| tags.push((number, *tag)))?;
        Ok(tags)
    }

    /// Goes through the tags of questions, in their order: the question, the tag's number, the tag.
    pub fn tags_of(
        &self,
        questions: &[RecordId],
        mut each: impl FnMut(&RecordId, u32, &[u8; TAG_BYTES]),
    ) -> Result<(), Error> {
        let sql = "SELECT tags FROM asked JOIN tags USING (number) WHERE question = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        for question in questions {
            let mut rows = statement.query([question.0])?;
            let Some(row) = rows.next()? else { continue };
            let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            let (tags, []) = bytes.as_chunks::<TAGGED_BYTES>() else { return Err(damaged("a tag is cut off")) };
            for tagged in tags {
                let (Some((number, tag)), true) = (tagged.split_first_chunk(), tagged.len() == TAGGED_BYTES) else {
                    return Err(damaged("a tag is cut off"));
                };
                let Some(tag) = tag.first_chunk() else { return Err(damaged("a tag is cut off")) };
                each(question, u32::from_be_bytes(*number), tag);
            }
        }
        Ok(())
    }

    /// The questions of which tags are kept.
    pub fn tagged(&self) -> Result<Vec<RecordId>, Error> {
        let mut statement = self.connection.prepare_cached("SELECT question FROM asked")?;
        let rows = statement.query_map([], |row| row.get(0).map(RecordId))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Erases the tags of a question.
    pub fn drop_tags(&mut self, question: &RecordId) -> Result<(), Error> {
        let change = self.begin()?;
        let had = blank(&change, question)?;
        change.commit()?;
        if had { self.scrub() } else { Ok(()) }
    }
}

/// Overwrites the tags of a question with zeroes, and tells whether there were any.
fn blank(connection: &Connection, question: &RecordId) -> Result<bool, Error> {
    let sql = "DELETE FROM asked WHERE question = ? RETURNING number";
    let number: Option<i64> = connection.query_row(sql, [question.0], |row| row.get(0)).optional()?;
    let Some(number) = number else { return Ok(false) };
    connection.execute("UPDATE tags SET tags = zeroblob(length(tags)) WHERE number = ?", [number])?;
    Ok(true)
}
