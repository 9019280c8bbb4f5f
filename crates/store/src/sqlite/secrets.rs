//! Secret keys, and how what was erased leaves the disk.

use mufakat_record::KeyId;
use rusqlite::params;
use zeroize::Zeroizing;

use super::{Sqlite, damaged, failed, int, uint};
use crate::{Error, Part, Purpose, Secret};

impl Sqlite {
    pub(super) fn write_secret(&self, secret: &Secret) -> Result<(), Error> {
        self.blank_secret(secret.purpose, &secret.key)?;
        let sql = "INSERT INTO secret (purpose, key, seed, from_s, until_s) VALUES (?, ?, ?, ?, ?)";
        let seed: &[u8] = secret.seed.as_slice();
        let values = params![secret.purpose as u8, secret.key.0, seed, int(secret.from), int(secret.until)];
        self.execute(sql, values).map(drop)
    }

    /// Overwrites a seed with zeroes where it stands.
    pub(super) fn blank_secret(&self, purpose: Purpose, key: &KeyId) -> Result<(), Error> {
        let sql = "UPDATE secret SET seed = zeroblob(length(seed)) WHERE purpose = ? AND key = ?";
        self.execute(sql, params![purpose as u8, key.0]).map(drop)
    }

    /// Moves the write-ahead log into the file and cuts it to nothing, so that it holds no older copy of any page.
    pub(super) fn cut_log(&self) -> Result<(), Error> {
        if !self.connection.is_autocommit() {
            return Err(Error::InTransaction);
        }
        let busy: i64 =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(failed)?;
        if busy == 0 { Ok(()) } else { Err(Error::NotScrubbed) }
    }
}

impl<Mode> Sqlite<Mode> {
    pub(super) fn read_secrets(&self) -> Result<Vec<Secret>, Error> {
        let sql = "SELECT purpose, key, seed, from_s, until_s FROM secret WHERE seed <> zeroblob(32) ORDER BY number";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut secrets = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let number: i64 = row.get(0).map_err(failed)?;
            let purpose = Purpose::ALL.into_iter().find(|purpose| *purpose as i64 == number);
            let purpose = purpose.ok_or_else(|| damaged(Part::Database, "a secret is for nothing that is known"))?;
            secrets.push(Secret {
                purpose,
                key: KeyId(row.get(1).map_err(failed)?),
                seed: Zeroizing::new(row.get(2).map_err(failed)?),
                from: uint(row.get(3).map_err(failed)?),
                until: uint(row.get(4).map_err(failed)?),
            });
        }
        Ok(secrets)
    }
}
