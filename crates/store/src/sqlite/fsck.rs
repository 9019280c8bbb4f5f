//! Checks of a whole state file. Nothing is changed.
use super::Sqlite;
use crate::{Error, Finding};
impl<Mode> Sqlite<Mode> {
    pub(super) fn check_all(&self) -> Result<Vec<Finding>, Error> {
        Ok(Vec::new())
    }
}
