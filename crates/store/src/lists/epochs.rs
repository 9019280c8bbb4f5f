//! The holder's secrets of epochs, and what it told each partner last.

use mufakat_record::{AgencyId, Digest, RecordId};
use rusqlite::{OptionalExtension, params};
use zeroize::Zeroizing;

use super::{Error, Lists, SUBJECT_BYTES_MAX, length};
use crate::sqlite::{clamped, uint};

/// What a partner was told last of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Under the key of which epoch.
    pub epoch: u32,
    /// The record of that key.
    pub key: RecordId,
    /// Which filter of this epoch it is: 0 for the whole list, then one number for each delta.
    pub number: u32,
    /// The last change that it has in it.
    pub through: u64,
    /// When, in seconds since 1970.
    pub at_s: u64,
    /// The hash of the filter.
    pub filter: Digest,
}

impl Lists {
    /// The secret of an epoch, which is made at random when it is asked for first. After one that was erased comes another: it may
    /// have been erased by a clock that ran ahead, and nobody can bring it back.
    pub fn secret(&mut self, epoch: u32, random: &mut impl FnMut(&mut [u8])) -> Result<Zeroizing<[u8; 32]>, Error> {
        let change = self.begin()?;
        if let Some(secret) = secret_there(&change, epoch)? {
            return Ok(secret);
        }
        let mut secret = Zeroizing::new([0; 32]);
        random(secret.as_mut_slice());
        let sql = "INSERT INTO secret VALUES (?, ?) ON CONFLICT (epoch) DO UPDATE SET seed = excluded.seed";
        change.execute(sql, params![epoch, secret.as_slice()])?;
        change.commit()?;
        Ok(secret)
    }

    /// The secret of an epoch, if it was made and not erased.
    pub fn secret_if_there(&self, epoch: u32) -> Result<Option<Zeroizing<[u8; 32]>>, Error> {
        secret_there(&self.connection, epoch)
    }

    /// The newest epoch up to a day of which the secret is here.
    pub fn newest_epoch(&self, day: u32) -> Result<Option<u32>, Error> {
        let sql = "SELECT max(epoch) FROM secret WHERE epoch <= ? AND seed <> zeroblob(32)";
        Ok(self.connection.query_row(sql, [day], |row| row.get(0))?)
    }

    /// Erases the secrets of all epochs before this one, and gives how many there were.
    pub fn erase_before(&mut self, epoch: u32) -> Result<usize, Error> {
        let sql = "UPDATE secret SET seed = zeroblob(32) WHERE epoch < ? AND seed <> zeroblob(32)";
        let erased = self.connection.execute(sql, [epoch])?;
        self.scrub()?;
        Ok(erased)
    }

    /// What a partner was told last of a subject.
    pub fn published(&self, partner: &AgencyId, subject: &str) -> Result<Option<Published>, Error> {
        let sql = "SELECT epoch, key, number, through, at_s, filter FROM published WHERE partner = ? AND subject = ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        let published = statement.query_row([partner.as_str(), subject], |row| {
            Ok(Published {
                epoch: row.get(0)?,
                key: RecordId(row.get(1)?),
                number: row.get(2)?,
                through: uint(row.get(3)?),
                at_s: uint(row.get(4)?),
                filter: Digest(row.get(5)?),
            })
        });
        Ok(published.optional()?)
    }

    /// Notes what a partner was told of a subject. A subject of which nothing changed is to be noted, too, with the last change
    /// of all; otherwise nothing could be [purged](Lists::purge_removed) any more.
    pub fn note_published(&mut self, partner: &AgencyId, subject: &str, told: &Published) -> Result<(), Error> {
        length("the subject", subject, SUBJECT_BYTES_MAX)?;
        let sql = "INSERT OR REPLACE INTO published VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let (through, at_s) = (clamped(told.through), clamped(told.at_s));
        let values =
            params![partner.as_str(), subject, told.epoch, told.key.0, told.number, through, at_s, told.filter.0];
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// The change up to which each partner was told everything of each subject of which it was ever told; nothing when nobody
    /// was told anything.
    pub fn told_through(&self) -> Result<Option<u64>, Error> {
        let through: Option<i64> =
            self.connection.query_row("SELECT min(through) FROM published", [], |row| row.get(0))?;
        Ok(through.map(uint))
    }

    /// Forgets what a partner was told, so that nothing waits for it any more.
    pub fn forget_partner(&mut self, partner: &AgencyId) -> Result<(), Error> {
        self.connection.execute("DELETE FROM published WHERE partner = ?", [partner.as_str()])?;
        Ok(())
    }
}

fn secret_there(connection: &rusqlite::Connection, epoch: u32) -> Result<Option<Zeroizing<[u8; 32]>>, Error> {
    let mut statement =
        connection.prepare_cached("SELECT seed FROM secret WHERE epoch = ? AND seed <> zeroblob(32)")?;
    Ok(statement.query_row([epoch], |row| row.get(0).map(Zeroizing::new)).optional()?)
}
