//! The asker's budget: which identifiers each officer asked each partner about, for which purpose and when.
//!
//! What counts are different identifiers: asked about again, one counts from then on and not twice. They are known by
//! fingerprints, which the caller makes.

use std::collections::HashSet;

use mufakat_record::{AgencyId, OfficerId};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Error, Lists, at_most, damaged, length};
use crate::sqlite::{clamped, uint};

/// How many fingerprints are spent or looked up at once.
pub const FINGERPRINTS_MAX: usize = 10_000;
/// How long the name of a purpose may be, in bytes.
pub const PURPOSE_BYTES_MAX: usize = 200;

/// How many identifiers an officer asked a partner about for a purpose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// The partner.
    pub partner: AgencyId,
    /// The officer.
    pub officer: OfficerId,
    /// The purpose.
    pub purpose: String,
    /// How many.
    pub count: u64,
}

impl Lists {
    /// Notes that an officer asked a partner about identifiers. They are spent from this commit on, whether answered or not.
    pub fn spend(
        &mut self,
        partner: &AgencyId,
        officer: &OfficerId,
        purpose: &str,
        fingerprints: &[[u8; 32]],
        at_ms: u64,
    ) -> Result<(), Error> {
        at_most("fingerprints", fingerprints.len(), FINGERPRINTS_MAX)?;
        length("the purpose", purpose, PURPOSE_BYTES_MAX)?;
        let change = self.begin()?;
        let sql = "INSERT INTO account (partner, officer, purpose) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
        change.execute(sql, [partner.as_str(), officer.as_str(), purpose])?;
        let account = account(&change, partner, officer, purpose)?.ok_or_else(|| damaged("an account was not made"))?;
        {
            let sql = "INSERT INTO spent VALUES (?, ?, ?)
                ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms WHERE excluded.at_ms > at_ms";
            let mut statement = change.prepare_cached(sql)?;
            for fingerprint in fingerprints {
                statement.execute(params![account, fingerprint, clamped(at_ms)])?;
            }
        }
        Ok(change.commit()?)
    }

    /// How many of these an officer did not ask a partner about since then for this purpose. One that is named twice counts once.
    pub fn fresh(
        &self,
        partner: &AgencyId,
        officer: &OfficerId,
        purpose: &str,
        since_ms: u64,
        fingerprints: &[[u8; 32]],
    ) -> Result<u64, Error> {
        at_most("fingerprints", fingerprints.len(), FINGERPRINTS_MAX)?;
        let fingerprints: HashSet<&[u8; 32]> = fingerprints.iter().collect();
        let mut fresh = fingerprints.len() as u64;
        let Some(account) = account(&self.connection, partner, officer, purpose)? else { return Ok(fresh) };
        let sql = "SELECT 1 FROM spent WHERE account = ? AND fingerprint = ? AND at_ms >= ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        for fingerprint in fingerprints {
            fresh -= u64::from(statement.exists(params![account, fingerprint, clamped(since_ms)])?);
        }
        Ok(fresh)
    }

    /// How many identifiers an officer asked a partner about since then for this purpose.
    pub fn spent(&self, partner: &AgencyId, officer: &OfficerId, purpose: &str, since_ms: u64) -> Result<u64, Error> {
        let Some(account) = account(&self.connection, partner, officer, purpose)? else { return Ok(0) };
        let sql = "SELECT count(*) FROM spent WHERE account = ? AND at_ms >= ?";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([account, clamped(since_ms)], |row| row.get(0).map(uint))?)
    }

    /// How every budget stands from which something was spent since then, by partner, officer and purpose.
    pub fn standing(&self, since_ms: u64) -> Result<Vec<Standing>, Error> {
        let sql = "SELECT partner, officer, purpose, (SELECT count(*) FROM spent WHERE account = number AND at_ms >= ?)
            FROM account ORDER BY partner, officer, purpose";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([clamped(since_ms)])?;
        let mut standing = Vec::new();
        while let Some(row) = rows.next()? {
            let (partner, officer): (String, String) = (row.get(0)?, row.get(1)?);
            let count = uint(row.get(3)?);
            if count > 0 {
                standing.push(Standing {
                    partner: partner.parse().map_err(|_| damaged("a budget is of no partner"))?,
                    officer: officer.parse().map_err(|_| damaged("a budget is of no officer"))?,
                    purpose: row.get(2)?,
                    count,
                });
            }
        }
        Ok(standing)
    }

    /// Forgets what was spent last before this time, and gives how much that was.
    pub fn forget_spent_before(&mut self, before_ms: u64) -> Result<usize, Error> {
        let change = self.begin()?;
        let sql = "DELETE FROM spent WHERE account IN (SELECT number FROM account) AND at_ms < ?";
        let forgotten = change.execute(sql, [clamped(before_ms)])?;
        change.execute("DELETE FROM account WHERE number NOT IN (SELECT account FROM spent)", [])?;
        change.commit()?;
        if forgotten > 0 {
            self.scrub()?;
        }
        Ok(forgotten)
    }
}

fn account(
    connection: &Connection,
    partner: &AgencyId,
    officer: &OfficerId,
    purpose: &str,
) -> Result<Option<i64>, Error> {
    let sql = "SELECT number FROM account WHERE partner = ? AND officer = ? AND purpose = ?";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([partner.as_str(), officer.as_str(), purpose], |row| row.get(0)).optional()?)
}
