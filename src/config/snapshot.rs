//! `[snapshot]`: whether the rows that are there already are copied, and how much that may take.

use serde::{Deserialize, Serialize};

use super::{FieldError, Size, Span};

/// Whether tables are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotMode {
    /// The log holds the stream alone.
    #[default]
    Never,
    /// Every selected table is copied once, beside the stream.
    Initial,
    /// The same, and the relay ends when that is done and delivered.
    Only,
    /// Tables are copied when someone asks for them one by one.
    Adhoc,
}

/// The copy of rows that were there before the stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Snapshot {
    /// Whether tables are copied.
    pub mode: SnapshotMode,
    /// Tables that are read at the same time, each over a connection of its own.
    pub threads: u16,
    /// Rows of a chunk, at most.
    pub chunk_rows: u32,
    /// Bytes of a chunk's rows: no more than this many, and one row, wait in memory for each table that is read.
    pub chunk_bytes: Size,
    /// How long a transaction may be in the binlog before it shows, on servers that do not tell: MySQL without GTIDs.
    pub settle: Span,
    /// Chunks a second, of all readers; 0 for no limit.
    pub qps: f64,
    /// Rows a second, of all readers; 0 for no limit.
    pub rps: u64,
    /// Bytes of rows a second, of all readers, in units of 10^6 bytes; 0 for no limit.
    pub mbps: f64,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            mode: SnapshotMode::Never,
            threads: 4,
            chunk_rows: 50_000,
            chunk_bytes: Size::mib(8),
            settle: Span::seconds(60),
            qps: 0.0,
            rps: 0,
            mbps: 0.0,
        }
    }
}

impl Snapshot {
    /// Whether nothing but what a running copy takes over differs: how fast it may read.
    pub fn differs_in_limits_only(&self, other: &Self) -> bool {
        self != other && Self { qps: other.qps, rps: other.rps, mbps: other.mbps, ..*self } == *other
    }

    pub(super) fn validate(&self) -> Result<(), FieldError> {
        super::within("threads", self.threads, 1, 64)?;
        super::within("chunk_rows", self.chunk_rows, 1, 1_000_000)?;
        super::within("chunk_bytes", self.chunk_bytes, Size::kib(64), Size::mib(256))?;
        super::within("settle", self.settle, Span::seconds(1), Span::minutes(60))?;
        super::within("rps", self.rps, 0, 1_000_000_000)?;
        for (field, limit) in [("qps", self.qps), ("mbps", self.mbps)] {
            // Not a number lies in no range either.
            if limit != 0.0 && !(0.001..=1_000_000.0).contains(&limit) {
                let reason = format!("{limit} is neither 0, for no limit, nor within 0.001 to 1000000");
                return Err(FieldError::new(field, reason));
            }
        }
        Ok(())
    }
}
