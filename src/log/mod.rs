//! What the relay writes into its log, agreed between capture (which writes) and delivery (which reads).
//!
//! An entry is one raw binlog event as received, header and CRC32 and all, or a record of our own; its
//! [`kind`] says which, its [`flag`]s what is unusual about it. relay-store keeps all of it as bytes.

pub mod address;
mod checkpoint;
mod context;
pub mod resolve;
mod schema;
mod snapshot;
pub mod tally;
mod versioned;
pub mod walk;

pub use checkpoint::{Checkpoint, SourcePosition};
pub use context::{Context, ContextError, ContextWriter};
pub use schema::{ColumnDefinition, KeyDefinition, TableDefinition, TrackedDefinition};
pub use snapshot::{ChunkMark, CopyState, SnapshotMark, TableProgress};

use thiserror::Error;

/// Kinds of entries; numbers from 0xF0 on belong to the store.
pub mod kind {
    /// A raw binlog event: 19-byte header, body and, unless flagged, a trailing CRC32.
    pub const EVENT: u8 = 1;
    /// A table definition read from information_schema or supplied by an operator ([`super::TableDefinition`]).
    pub const SCHEMA: u8 = 2;
    /// Rows of a snapshot chunk: a WRITE_ROWS event made of them, under a table map in front of it.
    pub const SNAPSHOT_ROWS: u8 = 3;
    /// What follows of a copy of a table, or that it begins anew ([`super::SnapshotMark`]).
    pub const WATERMARK: u8 = 4;
    /// The selection of tables at capture changed; the body is its text form.
    pub const SELECTION: u8 = 5;
    /// Something of the source that could not be captured, named (UTF-8 text): delivered as a gap, never skipped in silence.
    pub const GAP_NOTE: u8 = 6;
}

/// Flags of entries of kind [`kind::EVENT`].
pub mod flag {
    /// Unpacked from a compressed transaction or event: its header's position and length are those of the inner
    /// event; the entry's source position is the outer one's end.
    pub const UNPACKED: u8 = 0x01;
    /// Copied from a prepared XA range into the commit's own transaction.
    pub const COPIED: u8 = 0x02;
    /// No CRC32 stands at the end of the event.
    pub const NO_CHECKSUM: u8 = 0x04;
    /// A table map followed by eight bytes: the id (big-endian) of the schema version that was in force.
    pub const SCHEMA_ID: u8 = 0x08;
    /// A statement that nobody is told of: it concerns the helper tables of an online schema change only, and stands
    /// here for the definitions that it makes.
    pub const HELPER: u8 = 0x10;
    /// A statement whose text was replaced: the rename that ends an online schema change, as the ALTER that it amounts to.
    pub const REWRITTEN: u8 = 0x20;
}

/// Bytes of the log that do not follow their own format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LogError {
    /// The record is shorter than it says or than it must be.
    #[error("{what} ends early")]
    Short {
        /// Which record.
        what: &'static str,
    },
    /// Written by a later version of the relay.
    #[error("{what} has version {version}, this relay reads up to {known}; upgrade the relay")]
    Version {
        /// Which record.
        what: &'static str,
        /// The version found.
        version: u8,
        /// The newest version known.
        known: u8,
    },
    /// The bytes do not decode.
    #[error("decode {what}: {reason}")]
    Decode {
        /// Which record.
        what: &'static str,
        /// What the decoder said.
        reason: String,
    },
}

/// The event's bytes and, for a table map, the schema version that it was captured under.
///
/// # Errors
/// [`LogError::Short`] when the flags promise more than the body holds.
pub fn split_event(flags: u8, body: &[u8]) -> Result<(&[u8], Option<u64>), LogError> {
    if flags & flag::SCHEMA_ID == 0 {
        return Ok((body, None));
    }
    let (event, id) = body.split_last_chunk::<8>().ok_or(LogError::Short { what: "table map entry" })?;
    Ok((event, Some(u64::from_be_bytes(*id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_map_entry_carries_its_schema_version() {
        let mut body = b"event".to_vec();
        body.extend_from_slice(&7u64.to_be_bytes());
        assert_eq!(split_event(flag::SCHEMA_ID, &body), Ok((&b"event"[..], Some(7))));
        assert_eq!(split_event(0, &body), Ok((&body[..], None)));
        assert_eq!(split_event(flag::SCHEMA_ID, b"short"), Err(LogError::Short { what: "table map entry" }));
    }
}
