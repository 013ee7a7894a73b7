//! The neutral change model: what one entry of the log means, decoded, before any format or sink looks at it.
//!
//! | look in | for |
//! |---|---|
//! | [`schema`], [`column_type`], [`charset`] | what a table, a column, a text is |
//! | [`plan`] | table map + schema version -> fully resolved columns |
//! | [`decode`] | a block of the log -> changes in order |

pub mod charset;
pub mod column_type;
pub mod ddl;
pub mod decode;
pub mod plan;
pub mod schema;

#[cfg(test)]
#[path = "../../tests/support/binlog_rows.rs"]
pub(crate) mod binlog_rows;

use std::sync::Arc;

use relay_store::Seq;
use thiserror::Error;

use crate::binlog::event::QueryCharset;
use crate::binlog::rows::Rows;
use crate::binlog::{DecodeError, RowImage, RowsEvent};
use plan::TablePlan;

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// It is new: there is an after image.
    Insert,
    /// It changed: there are both images.
    Update,
    /// It is gone: there is a before image.
    Delete,
}

/// The source transaction that a change belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TxInfo {
    /// GTID in the text form of its dialect (`uuid:23`, `uuid:tag:23`, `0-1-23`); "" when the source has none.
    pub gtid: String,
    /// Binlog file that it was read from.
    pub file: Arc<str>,
    /// When it committed on the server that we read, microseconds since the epoch; none from servers that do not say.
    pub commit_time_us: Option<u64>,
    /// Version text of the server that it was read from (`8.0.36`, `10.11.19-MariaDB-log`).
    pub server_version: Arc<str>,
    /// Where its first event begins in that file: reading from there on brings all of it. Rows of a prepared XA
    /// transaction may stand in another file than their commit; for them it is where the first of them in the block
    /// begins. 0 where nothing tells: a transaction without GTID that began in an earlier block of an old log.
    pub start: u64,
    /// Connection that ran it; none where neither BEGIN nor GTID event tells (MariaDB before 11.5).
    pub thread_id: Option<u32>,
    /// Session of its BEGIN or of the statement itself, where the log has one.
    pub session: SessionInfo,
    /// What the source had executed with it, as a set in the text form of its dialect; "" where nobody asked, or the source
    /// has no GTIDs.
    pub executed: String,
    /// Whether the source keeps names of tables in lower case; none where it was not told.
    pub lower_case_table_names: Option<bool>,
}

/// What a QUERY event tells of the session that ran it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionInfo {
    /// Options (`OPTION_*`, the status variable Q_FLAGS2_CODE).
    pub flags2: Option<u32>,
    /// `sql_mode` (Q_SQL_MODE_CODE).
    pub sql_mode: Option<u64>,
    /// Collations (Q_CHARSET_CODE).
    pub charset: Option<QueryCharset>,
}

/// Where and when the source wrote an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventPlace {
    /// Header time: seconds since the epoch.
    pub timestamp: u32,
    /// Server that first wrote it.
    pub server_id: u32,
    /// End position in its file; that of the outer event for one that came compressed.
    pub position: u64,
}

/// A statement that is no row: DDL, or administration that the binlog carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DdlChange<'a> {
    /// Its entry.
    pub seq: Seq,
    /// The statement's text, UTF-8.
    pub sql: std::borrow::Cow<'a, str>,
    /// Default schema of the session; "" for none.
    pub database: std::borrow::Cow<'a, str>,
    /// `sql_mode` of the session, when the event tells it.
    pub sql_mode: Option<u64>,
    /// Its transaction.
    pub tx: &'a TxInfo,
    /// Where it was written.
    pub place: EventPlace,
}

/// Where a transaction of rows begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxBoundary<'a> {
    /// Its entry: that of BEGIN, XA START or MariaDB's GTID event; that of XID, COMMIT or XA COMMIT.
    pub seq: Seq,
    /// The transaction.
    pub tx: &'a TxInfo,
    /// Where it was written.
    pub place: EventPlace,
}

/// Changes of the source that are not in the log, named instead of missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapNote<'a> {
    /// Its entry.
    pub seq: Seq,
    /// What is missing and why, in words.
    pub text: &'a str,
}

/// The rows of one entry: one table, one kind of change.
#[derive(Debug, Clone, Copy)]
pub struct RowsChange<'a> {
    /// Its entry.
    pub seq: Seq,
    /// What happened to the rows.
    pub op: Op,
    /// Their table.
    pub plan: &'a Arc<TablePlan>,
    /// Their transaction.
    pub tx: &'a TxInfo,
    /// Where it was written.
    pub place: EventPlace,
    /// Rows of the initial copy and not of the stream.
    pub snapshot: bool,
    /// The event, rows not decoded yet.
    pub event: RowsEvent<'a>,
}

/// One changed row; its images borrow from the block.
#[derive(Debug, Clone, Copy)]
pub struct RowChange<'a> {
    /// Place in the entry, from 0, below [`ROWS_MAX`].
    pub index: u32,
    /// As it was; none for an insert.
    pub before: Option<RowImage<'a>>,
    /// As it became; none for a delete.
    pub after: Option<RowImage<'a>>,
}

impl<'a> RowChange<'a> {
    /// The image that stands for the row: after, else before.
    pub fn image(&self) -> Option<RowImage<'a>> {
        self.after.or(self.before)
    }
}

/// Rows an entry may hold: a row's number for ever is `seq << 20 | index`.
pub const ROWS_MAX: u32 = 1 << 20;

/// Why the rows of an entry cannot be read. Definite: the table parks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RowsError {
    /// The event's bytes and the table's columns do not fit each other.
    #[error("decode row {index}: {source}")]
    Decode {
        /// Which row of the entry, from 0.
        index: u32,
        /// What is wrong.
        source: DecodeError,
    },
    /// More rows than a row number has room for.
    #[error("the event holds more than {ROWS_MAX} rows")]
    TooMany,
}

impl<'a> RowsChange<'a> {
    /// The rows in order. Ends after the first error.
    pub fn rows(&self) -> RowChanges<'a> {
        RowChanges { rows: self.event.rows(&self.plan.defs), index: 0 }
    }
}

/// The rows of an entry.
#[derive(Debug, Clone)]
pub struct RowChanges<'a> {
    rows: Rows<'a>,
    index: u32,
}

impl<'a> Iterator for RowChanges<'a> {
    type Item = Result<RowChange<'a>, RowsError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let index = self.index;
        if index > ROWS_MAX {
            return None;
        }
        let row = self.rows.next()?;
        self.index += 1;
        if index == ROWS_MAX {
            return Some(Err(RowsError::TooMany));
        }
        Some(match row {
            Ok(row) => Ok(RowChange { index, before: row.before, after: row.after }),
            Err(source) => Err(RowsError::Decode { index, source }),
        })
    }
}
