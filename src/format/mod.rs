//! A change to bytes, one file a format.
//!
//! | look in | for |
//! |---|---|
//! | [`canal_json`] | Canal JSON |
//! | [`debezium_json`] | Debezium JSON |
//! | [`dts_avro`] | DTS Avro |
//! | [`maxcompute`] | MaxCompute's records |
//! | [`maxwell_json`] | Maxwell JSON |
//! | [`shareplex_json`] | Shareplex JSON |
//! | [`registry`] | a schema's id, and the frame that carries it |
//! | `epoch`, `wkt`, `position` | dates as numbers, geometries as text, places in the binlog as numbers |
//! | [`text`] | how a value becomes text, for every format, for keys and for partitions |
//! | [`key`], [`partition`] | which partition a row goes to, and its message key |
//! | `tables` | what a writer remembers of the tables that it writes |
//! | `images` | the two images of a row side by side |
//! | `window` | how a row's many short pieces get into the outgoing bytes |
//! | [`json`], [`number`], [`zone`] | the spelling of strings, floats and local times |

pub mod canal_json;
pub mod debezium_json;
pub mod dts_avro;
mod epoch;
mod images;
pub mod json;
pub mod key;
pub mod maxcompute;
pub mod maxwell_json;
pub mod number;
pub mod partition;
mod position;
pub mod registry;
#[cfg(test)]
mod scene;
pub mod shareplex_json;
mod tables;
pub mod text;
mod window;
mod wkt;
pub mod zone;

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::change::decode::Sets;
use crate::change::{DdlChange, RowChange, RowsChange, TxBoundary};
use canal_json::{CanalJson, CanalOptions, DdlTarget, GtidForm};
use debezium_json::{DebeziumJson, DebeziumOptions, TableCount};
use dts_avro::{AvroOptions, DtsAvro, HeartbeatPlace};
use key::{KeyColumns, Side};
use maxwell_json::{MaxwellJson, MaxwellOptions};
use shareplex_json::{ShareplexJson, ShareplexOptions};
use text::{FormatError, Renderer};

/// The formats a sink can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FormatName {
    /// Canal JSON.
    #[default]
    #[serde(rename = "canal-json")]
    CanalJson,
    /// Shareplex JSON, as DTS writes it.
    #[serde(rename = "shareplex-json")]
    ShareplexJson,
    /// Debezium JSON.
    #[serde(rename = "debezium-json")]
    DebeziumJson,
    /// Maxwell JSON.
    #[serde(rename = "maxwell-json")]
    MaxwellJson,
    /// DTS Avro.
    #[serde(rename = "dts-avro")]
    DtsAvro,
}

impl FormatName {
    /// The name in the config, and in the header `relay.format`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CanalJson => "canal-json",
            Self::ShareplexJson => "shareplex-json",
            Self::DebeziumJson => "debezium-json",
            Self::MaxwellJson => "maxwell-json",
            Self::DtsAvro => "dts-avro",
        }
    }
}

/// A format with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatOptions {
    /// Canal JSON.
    CanalJson(CanalOptions),
    /// Shareplex JSON.
    ShareplexJson(ShareplexOptions),
    /// Debezium JSON, and the relay's name.
    DebeziumJson(DebeziumOptions, String),
    /// Maxwell JSON.
    MaxwellJson(MaxwellOptions),
    /// DTS Avro, and the topic of its BEGIN and COMMIT records.
    DtsAvro(AvroOptions, Option<String>),
}

impl FormatOptions {
    /// A format with the settings that it has by itself; `task` is the relay's name.
    pub fn of(name: FormatName, task: &str) -> Self {
        match name {
            FormatName::CanalJson => Self::CanalJson(CanalOptions::default()),
            FormatName::ShareplexJson => Self::ShareplexJson(ShareplexOptions::default()),
            FormatName::DebeziumJson => Self::DebeziumJson(DebeziumOptions::default(), task.to_owned()),
            FormatName::MaxwellJson => Self::MaxwellJson(MaxwellOptions::default()),
            FormatName::DtsAvro => Self::DtsAvro(AvroOptions::default(), None),
        }
    }

    /// Whether the format says where a record stands in its transaction, and up to how many records a transaction's
    /// number is to be known before its first one: they are counted ahead.
    pub fn counts_up_to(&self) -> Option<u64> {
        match self {
            Self::CanalJson(_) => None,
            Self::ShareplexJson(options) => Some(options.shareplex_tx_buffer_rows),
            Self::DebeziumJson(options, _) => {
                (options.transaction_block || options.transaction_topic.is_some()).then_some(0)
            }
            Self::MaxwellJson(_) => Some(u64::MAX),
            Self::DtsAvro(_, boundaries) => boundaries.is_some().then_some(0),
        }
    }

    /// Which changes say what the source had executed by then.
    pub fn executed_sets(&self) -> Sets {
        match self {
            Self::CanalJson(options) if options.canal_gtid == GtidForm::Set => Sets::All,
            Self::DtsAvro(..) => Sets::Statements,
            Self::CanalJson(_) | Self::ShareplexJson(_) | Self::DebeziumJson(..) | Self::MaxwellJson(_) => Sets::None,
        }
    }

    /// Where the beginnings and ends of transactions are told; none: they are not.
    pub fn boundary_topic(&self) -> Option<&str> {
        match self {
            Self::DebeziumJson(options, _) => options.transaction_topic.as_deref(),
            Self::DtsAvro(_, topic) => topic.as_deref(),
            Self::CanalJson(_) | Self::ShareplexJson(_) | Self::MaxwellJson(_) => None,
        }
    }

    /// How often a record says that everything was delivered; none: never.
    pub fn heartbeat(&self) -> Option<Duration> {
        let Self::DtsAvro(options, _) = self else { return None };
        (options.avro_heartbeat_seconds > 0).then(|| Duration::from_secs(options.avro_heartbeat_seconds.into()))
    }

    /// Most rows of one entry that one record may hold.
    pub fn rows_per_record(&self) -> usize {
        match self {
            Self::CanalJson(options) => options.canal_rows_per_message as usize,
            Self::ShareplexJson(_) | Self::DebeziumJson(..) | Self::MaxwellJson(_) | Self::DtsAvro(..) => 1,
        }
    }

    /// A writer; TIMESTAMP columns are shown in `zone` where the format shows local times.
    pub fn writer(&self, zone: &TimeZone) -> Writer {
        match self {
            Self::CanalJson(options) => Writer::CanalJson(Box::new(CanalJson::new(options, zone.clone()))),
            Self::ShareplexJson(options) => Writer::ShareplexJson(Box::new(ShareplexJson::new(options, zone.clone()))),
            Self::DebeziumJson(options, task) => Writer::DebeziumJson(Box::new(DebeziumJson::new(options, task))),
            Self::MaxwellJson(options) => Writer::MaxwellJson(Box::new(MaxwellJson::new(options, zone.clone()))),
            Self::DtsAvro(options, _) => Writer::DtsAvro(Box::new(DtsAvro::new(options))),
        }
    }
}

/// Writes records of one format. One for each worker: writers remember tables and have scratch buffers.
#[derive(Debug)]
pub enum Writer {
    /// Canal JSON.
    CanalJson(Box<CanalJson>),
    /// Shareplex JSON.
    ShareplexJson(Box<ShareplexJson>),
    /// Debezium JSON.
    DebeziumJson(Box<DebeziumJson>),
    /// Maxwell JSON.
    MaxwellJson(Box<MaxwellJson>),
    /// DTS Avro.
    DtsAvro(Box<DtsAvro>),
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
        place: &TxPlace,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let Some(row) = packed.first() else { return Ok(()) };
        match self {
            Self::CanalJson(writer) => writer.write(rows, packed, now_ms, out),
            Self::ShareplexJson(writer) => writer.write(rows, row, place, now_ms, out),
            Self::DebeziumJson(writer) => writer.write(rows, row, place, now_ms, out),
            Self::MaxwellJson(writer) => writer.write(rows, row, place, now_ms, out),
            Self::DtsAvro(writer) => writer.write(rows, row, now_ms, out),
        }
    }

    /// Appends a row's key of these columns: an object of them, with values as the format has them, or as `text`
    /// renders them.
    ///
    /// # Errors
    /// A key value that cannot be shown, or that no image of the row holds.
    pub fn write_key(
        &mut self,
        text: &mut Renderer,
        rows: &RowsChange<'_>,
        columns: &KeyColumns,
        (row, side): (&RowChange<'_>, Side),
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        match self {
            Self::DebeziumJson(writer) => writer.write_key(rows, columns, row, side, out).map(drop),
            Self::CanalJson(_) | Self::ShareplexJson(_) | Self::MaxwellJson(_) | Self::DtsAvro(_) => {
                columns.write_object(rows.plan, row, side, text, out)
            }
        }
    }

    /// Appends the value of a statement's record.
    pub fn write_ddl(&mut self, change: &DdlChange<'_>, target: DdlTarget<'_>, now_ms: u64, out: &mut Vec<u8>) {
        match self {
            Self::CanalJson(writer) => writer.write_ddl(change, target, now_ms, out),
            Self::ShareplexJson(writer) => writer.write_ddl(change, target, now_ms, out),
            Self::DebeziumJson(writer) => writer.write_ddl(change, target, now_ms, out),
            Self::MaxwellJson(writer) => writer.write_ddl(change, target, now_ms, out),
            Self::DtsAvro(writer) => writer.write_ddl(change, target.database, now_ms, out),
        }
    }

    /// Appends the key of a statement's record; false, and nothing appended, where the format has none.
    pub fn write_ddl_key(&mut self, change: &DdlChange<'_>, target: DdlTarget<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::DebeziumJson(writer) => writer.write_ddl_key(change, target, out),
            Self::CanalJson(_) | Self::ShareplexJson(_) | Self::MaxwellJson(_) | Self::DtsAvro(_) => return false,
        }
        true
    }

    /// Appends the value of the record of a transaction's beginning (`counts` is none) or end, where the format has such
    /// records.
    pub fn write_boundary<'c>(
        &mut self,
        at: &TxBoundary<'_>,
        counts: Option<impl Iterator<Item = TableCount<'c>> + Clone>,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) {
        match (self, counts) {
            (Self::DebeziumJson(writer), None) => writer.write_begin(at.tx, at.place, out),
            (Self::DebeziumJson(writer), Some(counts)) => writer.write_end(at.tx, at.place, counts, out),
            (Self::DtsAvro(writer), None) => writer.write_begin(at, now_ms, out),
            (Self::DtsAvro(writer), Some(_)) => writer.write_commit(at, now_ms, out),
            (Self::CanalJson(_) | Self::ShareplexJson(_) | Self::MaxwellJson(_), _) => {}
        }
    }

    /// Appends the key of such a record; false, and nothing appended, where the format has none.
    pub fn write_boundary_key(&mut self, at: &TxBoundary<'_>, out: &mut Vec<u8>) -> bool {
        let Self::DebeziumJson(writer) = self else { return false };
        writer.write_transaction_key(at.tx, out);
        true
    }

    /// Appends the value of a heartbeat's record, where the format has such records.
    pub fn write_heartbeat(&self, at: &HeartbeatPlace<'_>, now_ms: u64, out: &mut Vec<u8>) {
        if let Self::DtsAvro(writer) = self {
            writer.write_heartbeat(at, now_ms, out);
        }
    }

    /// How many values had text that did not decode and was replaced.
    pub fn bad_text(&self) -> u64 {
        match self {
            Self::CanalJson(writer) => writer.bad_text(),
            Self::ShareplexJson(writer) => writer.bad_text(),
            Self::DebeziumJson(writer) => writer.bad_text(),
            Self::MaxwellJson(writer) => writer.bad_text(),
            Self::DtsAvro(writer) => writer.bad_text(),
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
