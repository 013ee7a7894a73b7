//! Parked tables: one table of a delivery that waits for a person, while the others go on.
//!
//! A parked table is kept with the cursor as `(table, first seq not delivered, reason)` and holds the log from there
//! on. Releasing it is a request, kept in the same place so that it survives a crash: the delivery replays that table
//! alone up to its cursor, in order, and only then takes it out of the parked ones.

use std::collections::HashMap;

use relay_store::{CursorError, CursorState, Cursors, Parked, Seq};

use crate::change::schema::TableName;

/// The reason that stands for a request to release.
const RELEASE_REQUESTED: &str = "release requested";
/// Longest reason kept, in bytes.
const REASON_BYTES_MAX: usize = 1024;

/// A table of which something cannot be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFault {
    /// The table.
    pub table: TableName,
    /// First entry of it that cannot be delivered.
    pub seq: Seq,
    /// Why.
    pub reason: String,
}

/// The store's key of a table.
pub fn key(table: &TableName) -> Vec<u8> {
    // No MySQL name holds a NUL.
    [table.database.as_bytes(), b"\0", table.table.as_bytes()].concat()
}

/// The table of a key.
pub fn table_of(key: &[u8]) -> Option<TableName> {
    let (database, table) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    Some(TableName::new(database, table))
}

/// Asks the delivery of that cursor to deliver the table again; it does so within about a second, or when it starts.
///
/// # Errors
/// [`CursorError::Unknown`] when there is no such cursor. A table that is not parked is no error: nothing happens.
pub fn request_release(cursors: &Cursors, cursor: &str, table: &TableName) -> Result<bool, CursorError> {
    let state = cursors.get(cursor).ok_or_else(|| CursorError::Unknown { name: cursor.to_owned() })?;
    let key = key(table);
    let Some(parked) = state.parked.into_iter().find(|parked| parked.key == key) else { return Ok(false) };
    cursors.park(cursor, Parked { reason: RELEASE_REQUESTED.to_owned(), ..parked })?;
    Ok(true)
}

/// Parks a table from that place on. Durable on return.
pub(super) fn park(cursors: &Cursors, cursor: &str, fault: &TableFault) -> Result<(), CursorError> {
    let mut reason = fault.reason.clone();
    let end = (0..=REASON_BYTES_MAX.min(reason.len())).rev().find(|&at| reason.is_char_boundary(at)).unwrap_or(0);
    reason.truncate(end);
    cursors.park(cursor, Parked { key: key(&fault.table), first: fault.seq, reason }).map(drop)
}

/// A table to be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) key: Vec<u8>,
    pub(super) table: TableName,
    pub(super) first: Seq,
}

/// The first table whose release was asked for.
pub(super) fn release_wanted(cursor: &CursorState) -> Option<Release> {
    let parked = cursor.parked.iter().find(|parked| parked.reason == RELEASE_REQUESTED)?;
    let table = table_of(&parked.key)?;
    Some(Release { key: parked.key.clone(), table, first: parked.first })
}

/// Which changes a life of the delivery is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything but what is parked.
    Stream(ParkedTables),
    /// One table alone, up to a seq.
    Replay {
        /// The table.
        table: TableName,
        /// Last seq of it that is wanted.
        through: Seq,
    },
}

/// Parked tables, each with the first seq that is held back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParkedTables(HashMap<TableName, Seq>);

/// What happens to a change of a table at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is delivered.
    Deliver,
    /// It waits with its table.
    Parked,
    /// It is not of this life.
    Skip,
}

impl Scope {
    pub(super) fn stream(cursor: &CursorState) -> Self {
        let tables = cursor.parked.iter().filter_map(|parked| Some((table_of(&parked.key)?, parked.first)));
        Self::Stream(ParkedTables(tables.collect()))
    }

    #[cfg(test)]
    pub(super) fn parked(tables: impl IntoIterator<Item = (TableName, Seq)>) -> Self {
        Self::Stream(ParkedTables(tables.into_iter().collect()))
    }

    /// What happens to a change of `table` in entry `seq`.
    pub fn admit(&self, table: &TableName, seq: Seq) -> Admission {
        match self {
            // Before its place a parked table goes on: those rows were good and may not be acked yet.
            Self::Stream(parked) => match parked.0.get(table) {
                Some(&first) if seq >= first => Admission::Parked,
                _ => Admission::Deliver,
            },
            Self::Replay { table: wanted, through } if wanted == table && seq <= *through => Admission::Deliver,
            Self::Replay { .. } => Admission::Skip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_held_from_its_place_on_and_others_are_not() {
        let (orders, items) = (TableName::new("shop", "orders"), TableName::new("shop", "items"));
        let scope = Scope::Stream(ParkedTables(HashMap::from([(orders.clone(), Seq(10))])));
        assert_eq!(scope.admit(&orders, Seq(9)), Admission::Deliver);
        assert_eq!(scope.admit(&orders, Seq(10)), Admission::Parked);
        assert_eq!(scope.admit(&items, Seq(10)), Admission::Deliver);
        let replay = Scope::Replay { table: orders.clone(), through: Seq(10) };
        assert_eq!(replay.admit(&orders, Seq(10)), Admission::Deliver);
        assert_eq!(replay.admit(&orders, Seq(11)), Admission::Skip);
        assert_eq!(replay.admit(&items, Seq(10)), Admission::Skip);
    }

    #[test]
    fn a_key_names_its_table() {
        let table = TableName::new("shop.eu", "订单");
        assert_eq!(table_of(&key(&table)), Some(table));
        assert_eq!(table_of(b"no separator"), None);
    }
}
