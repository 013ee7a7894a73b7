//! What the log says of a copy of a table: a mark in front of each chunk's rows and where a copy ends, and the progress
//! that is kept beside the log, in the same durable batch as the chunk it counts.

use bincode::{Decode, Encode};

use super::{LogError, SourcePosition, versioned};

const VERSION: u8 = 1;
/// What keys of progress begin with.
const NOTE_PREFIX: &[u8] = b"snapshot.";

/// An entry of kind [`WATERMARK`](super::kind::WATERMARK).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SnapshotMark {
    /// Rows follow, up to the end of the transaction: what a chunk held, without rows that changed meanwhile.
    Chunk(ChunkMark),
    /// The copy of the table begins anew; the rows of its chunks so far are not to be relied on.
    Abandoned {
        /// Schema of the table.
        database: String,
        /// Its name.
        table: String,
        /// Why, in words.
        reason: String,
    },
    /// The copy of the table was asked for, whatever there was of it before.
    Begun {
        /// Schema of the table.
        database: String,
        /// Its name.
        table: String,
    },
}

/// Which rows of which table a chunk is, and between which places of the source it was read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ChunkMark {
    /// Schema of the table.
    pub database: String,
    /// Its name.
    pub table: String,
    /// Number of the chunk in its table, from 0.
    pub number: u64,
    /// Whether no row lay behind it.
    pub last: bool,
    /// What the source had executed, by the stream, when changes of the table's keys began to be noted: the low mark.
    pub low: SourcePosition,
    /// Binlog file and position read after the view was open: the high mark.
    pub high: (String, u64),
    /// The key behind which the chunk begins, a literal of SQL for each column; empty: the table's begin.
    pub after: Vec<String>,
    /// Key of its last row; empty when it held none.
    pub until: Vec<String>,
    /// Rows that were read.
    pub rows: u64,
    /// Those of them that changed between the low mark and here: the stream has them.
    pub superseded: u64,
}

impl SnapshotMark {
    /// The entry's bytes.
    pub fn encode(&self) -> Vec<u8> {
        versioned::encode(VERSION, self)
    }

    /// Reads what [`SnapshotMark::encode`] wrote.
    ///
    /// # Errors
    /// Damaged or newer bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        versioned::decode("snapshot mark", VERSION, bytes)
    }
}

/// How far the copy of a table has come.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TableProgress {
    /// Schema of the table.
    pub database: String,
    /// Its name.
    pub table: String,
    /// Version of its definition that the copy is made under; another one begins it anew.
    pub schema: u64,
    /// Key of the last row that is in the log, a literal of SQL for each column; empty before the first.
    pub after: Vec<String>,
    /// Chunks in the log.
    pub chunks: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Bytes of their images.
    pub bytes: u64,
    /// How often the copy began anew.
    pub restarts: u32,
    /// Whether it goes on.
    pub state: CopyState,
    /// When this was written, microseconds since 1970.
    pub updated_us: u64,
}

/// What became of the copy of a table.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum CopyState {
    /// There is more to copy.
    Copying,
    /// All of it is in the log.
    Done,
    /// It ended without that, for this reason.
    Ended(String),
    /// Someone ended it; it goes on when it is asked for.
    Stopped,
}

impl TableProgress {
    /// Before the first chunk.
    pub fn begin(database: &str, table: &str, schema: u64) -> Self {
        Self {
            database: database.to_owned(),
            table: table.to_owned(),
            schema,
            after: Vec::new(),
            chunks: 0,
            rows: 0,
            bytes: 0,
            restarts: 0,
            state: CopyState::Copying,
            updated_us: 0,
        }
    }

    /// Key of the note that keeps it.
    pub fn note_key(&self) -> Vec<u8> {
        [NOTE_PREFIX, self.database.as_bytes(), &[0], self.table.as_bytes()].concat()
    }

    /// What keys of all such notes begin with.
    pub fn note_prefix() -> &'static [u8] {
        NOTE_PREFIX
    }

    /// The note's bytes.
    pub fn encode(&self) -> Vec<u8> {
        versioned::encode(VERSION, self)
    }

    /// Reads what [`TableProgress::encode`] wrote.
    ///
    /// # Errors
    /// Damaged or newer bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        versioned::decode("progress of a snapshot", VERSION, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_progress_come_back_and_damage_is_an_error() {
        let mark = SnapshotMark::Chunk(ChunkMark {
            database: "shop".into(),
            table: "orders".into(),
            number: 3,
            last: false,
            low: SourcePosition::MySqlGtid("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23".into()),
            high: ("bin.000003".into(), 5_000_000_000),
            after: vec!["17".into()],
            until: vec!["4711".into()],
            rows: 50_000,
            superseded: 2,
        });
        let bytes = mark.encode();
        assert_eq!(SnapshotMark::decode(&bytes), Ok(mark));
        let progress = TableProgress {
            after: vec!["4711".into()],
            state: CopyState::Ended("dropped".into()),
            ..TableProgress::begin("shop", "orders", 7)
        };
        assert!(progress.note_key().starts_with(TableProgress::note_prefix()));
        assert_eq!(TableProgress::decode(&progress.encode()), Ok(progress));
        for cut in 0..bytes.len() {
            assert!(SnapshotMark::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
