//! A change to bytes, one file a format.
//!
//! | look in | for |
//! |---|---|
//! | [`canal_json`] | Canal JSON |
//! | [`debezium_json`] | Debezium JSON |
//! | [`maxwell_json`] | Maxwell JSON |
//! | [`shareplex_json`] | Shareplex JSON |
//! | `epoch`, `wkt`, `position` | dates as numbers, geometries as text, places in the binlog as numbers |
//! | [`text`] | how a value becomes text, for every format, for keys and for partitions |
//! | [`key`], [`partition`] | which partition a row goes to, and its message key |
//! | `images` | the two images of a row side by side |
//! | `window` | how a row's many short pieces get into the outgoing bytes |
//! | [`json`], [`number`], [`zone`] | the spelling of strings, floats and local times |

pub mod canal_json;
pub mod debezium_json;
mod epoch;
mod images;
pub mod json;
pub mod key;
pub mod maxwell_json;
pub mod number;
pub mod partition;
mod position;
#[cfg(test)]
mod scene;
pub mod shareplex_json;
pub mod text;
mod window;
mod wkt;
pub mod zone;

use jiff::tz::TimeZone;

use crate::change::{DdlChange, RowChange, RowsChange};
use canal_json::{CanalJson, CanalOptions, DdlTarget};
use text::FormatError;

/// A format with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatOptions {
    /// Canal JSON.
    CanalJson(CanalOptions),
}

impl FormatOptions {
    /// Whether the format says where a record stands in its transaction, and up to how many records a transaction's
    /// number is to be known before its first one: they are counted ahead.
    pub fn counts_up_to(&self) -> Option<u64> {
        match self {
            Self::CanalJson(_) => None,
        }
    }

    /// Most rows of one entry that one record may hold.
    pub fn rows_per_record(&self) -> usize {
        match self {
            Self::CanalJson(options) => options.canal_rows_per_message as usize,
        }
    }

    /// A writer; TIMESTAMP columns are shown in `zone` where the format shows local times.
    pub fn writer(&self, zone: &TimeZone) -> Writer {
        match self {
            Self::CanalJson(options) => Writer::CanalJson(Box::new(CanalJson::new(options, zone.clone()))),
        }
    }
}

/// Writes records of one format. One for each worker: writers remember tables and have scratch buffers.
#[derive(Debug)]
pub enum Writer {
    /// Canal JSON.
    CanalJson(Box<CanalJson>),
}

impl Writer {
    /// Appends the value of the record of `packed`, rows of one entry: one, unless the format takes more. `now_ms` is
    /// when it is made, Unix ms.
    ///
    /// # Errors
    /// A row that cannot be written; `out` is then as before.
    pub fn write(
        &mut self,
        rows: &RowsChange<'_>,
        packed: &[RowChange<'_>],
        _place: TxPlace,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        match self {
            Self::CanalJson(writer) => writer.write(rows, packed, now_ms, out),
        }
    }

    /// Appends the value of a statement's record.
    pub fn write_ddl(&mut self, change: &DdlChange<'_>, target: DdlTarget<'_>, now_ms: u64, out: &mut Vec<u8>) {
        match self {
            Self::CanalJson(writer) => writer.write_ddl(change, target, now_ms, out),
        }
    }

    /// How many values had text that did not decode and was replaced.
    pub fn bad_text(&self) -> u64 {
        match self {
            Self::CanalJson(writer) => writer.bad_text(),
        }
    }
}

/// Where a row stands among the rows of its transaction that the delivery sends; for formats that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TxPlace {
    /// Its place, from 1.
    pub row: u64,
    /// Its place among those of its table, from 1.
    pub table_row: u64,
    /// How many they are, where that is known before the first one leaves.
    pub size: Option<u64>,
    /// It is the last of them.
    pub last: bool,
}
