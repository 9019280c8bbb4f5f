//! What a relay holds for others: parcels that it cannot read, and for whom it keeps chunks of attachments.

use mufakat_record::{AgencyId, Digest};
use rusqlite::params;

use super::{Sqlite, clamped, failed, uint};
use crate::Error;

impl Sqlite {
    pub(super) fn put_parcel(
        &self,
        sender: &AgencyId,
        recipient: &AgencyId,
        parcel: &[u8],
        expires_s: u64,
    ) -> Result<(), Error> {
        let (from, to) = (self.number(sender)?, self.number(recipient)?);
        let load = "SELECT count, bytes FROM mailbox_load WHERE recipient = ?";
        let load = self.one(load, [to], |row| Ok((uint(row.get(0)?), uint(row.get(1)?))))?;
        let (count, bytes) = load.unwrap_or_default();
        let limits = self.options.mailbox;
        if count >= limits.count_max || bytes + parcel.len() as u64 > limits.bytes_max {
            return Err(Error::MailboxFull(recipient.clone()));
        }
        let sql = "INSERT INTO mailbox (sender, recipient, expires_s, parcel) VALUES (?, ?, ?, ?)";
        self.execute(sql, params![from, to, clamped(expires_s), parcel])?;
        let sql = "INSERT INTO mailbox_load VALUES (?, 1, ?)
            ON CONFLICT DO UPDATE SET count = count + 1, bytes = bytes + excluded.bytes";
        self.execute(sql, params![to, clamped(parcel.len() as u64)]).map(drop)
    }

    pub(super) fn drop_through(&self, recipient: &AgencyId, cursor: u64) -> Result<(), Error> {
        let Some(to) = self.known_number(recipient)? else { return Ok(()) };
        let dropped =
            self.execute("DELETE FROM mailbox WHERE recipient = ? AND cursor <= ?", params![to, clamped(cursor)])?;
        // Weighing looks at everything that is left; a caller that only repeats itself must not make it happen.
        if dropped > 0 { self.weigh(to) } else { Ok(()) }
    }

    pub(super) fn drop_agency(&self, agency: &AgencyId) -> Result<(), Error> {
        let Some(number) = self.known_number(agency)? else { return Ok(()) };
        // An agency is rarely removed, so looking at every parcel for those that it sent is no matter.
        let affected = "SELECT DISTINCT recipient FROM mailbox WHERE sender = ?1 OR recipient = ?1";
        let affected: Vec<i64> = self.all(affected, [number], |row| row.get(0))?;
        self.execute("DELETE FROM mailbox WHERE sender = ?1 OR recipient = ?1", [number])?;
        affected.into_iter().try_for_each(|recipient| self.weigh(recipient))?;
        let sql = "INSERT INTO chunk_let_go SELECT name FROM relay_chunk WHERE recipient = ? ON CONFLICT DO NOTHING";
        self.execute(sql, [number])?;
        self.execute("DELETE FROM relay_chunk WHERE recipient = ?", [number]).map(drop)
    }

    pub(super) fn drop_expired(&self, now_s: u64) -> Result<u64, Error> {
        let now = clamped(now_s);
        let affected: Vec<i64> =
            self.all("SELECT DISTINCT recipient FROM mailbox WHERE expires_s < ?", [now], |row| row.get(0))?;
        let dropped = self.execute("DELETE FROM mailbox WHERE expires_s < ?", [now])?;
        affected.into_iter().try_for_each(|recipient| self.weigh(recipient))?;
        let sql = "INSERT INTO chunk_let_go SELECT DISTINCT name FROM relay_chunk WHERE expires_s < ?
            ON CONFLICT DO NOTHING";
        self.execute(sql, [now])?;
        self.execute("DELETE FROM relay_chunk WHERE expires_s < ?", [now])?;
        Ok(dropped as u64)
    }

    pub(super) fn put_relay_chunk(&self, name: &Digest, recipient: &AgencyId, expires_s: u64) -> Result<(), Error> {
        let sql = "INSERT INTO relay_chunk VALUES (?, ?, ?)
            ON CONFLICT DO UPDATE SET expires_s = max(expires_s, excluded.expires_s)";
        self.execute(sql, params![name.0, self.number(recipient)?, clamped(expires_s)]).map(drop)
    }

    /// Counts again what a mailbox holds, after something was dropped from it.
    fn weigh(&self, recipient: i64) -> Result<(), Error> {
        let sql = "UPDATE mailbox_load SET (count, bytes) =
            (SELECT count(*), coalesce(sum(length(parcel)), 0) FROM mailbox WHERE recipient = ?1) WHERE recipient = ?1";
        self.execute(sql, [recipient]).map(drop)
    }
}

impl<Mode> Sqlite<Mode> {
    pub(super) fn read_mailbox(
        &self,
        recipient: &AgencyId,
        cursor: u64,
        count_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        let Some(to) = self.known_number(recipient)? else { return Ok(Vec::new()) };
        let sql = "SELECT cursor, parcel FROM mailbox WHERE recipient = ? AND cursor > ? ORDER BY cursor LIMIT ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let values = params![to, clamped(cursor), clamped(count_max as u64)];
        let mut rows = statement.query(values).map_err(failed)?;
        let (mut found, mut bytes_left) = (Vec::new(), bytes_max);
        while let Some(row) = rows.next().map_err(failed)? {
            let cursor = uint(row.get(0).map_err(failed)?);
            let parcel: Vec<u8> = row.get(1).map_err(failed)?;
            if parcel.len() > bytes_left && !found.is_empty() {
                break;
            }
            bytes_left = bytes_left.saturating_sub(parcel.len());
            found.push((cursor, parcel));
        }
        Ok(found)
    }
}
