//! Where the source is to be resumed: opaque bytes to the store, which keeps one with every commit.

use bincode::{Decode, Encode};

use super::{LogError, versioned};

const VERSION: u8 = 2;

/// How the source names what it has executed; in the text form of its own dialect, so that a log can be read
/// by eye and resumed by any later version.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Default)]
pub enum SourcePosition {
    /// The server has no GTIDs: the file and position alone count.
    #[default]
    FileOnly,
    /// A MySQL GTID set as `@@gtid_executed` prints it; empty for a server that has executed nothing.
    MySqlGtid(String),
    /// A MariaDB position, one GTID per domain, as `@@gtid_binlog_pos` prints it.
    MariaDbGtid(String),
}

/// The source position up to which the log is durable: the end of a transaction, or of a stretch of the stream
/// without any transaction of ours. Everything before it is in the log or was not selected.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Default)]
pub struct Checkpoint {
    /// Executed GTIDs, including those of unselected and empty transactions.
    pub gtids: SourcePosition,
    /// Name of the binlog file, from received events only.
    pub file: String,
    /// Offset of the byte after the last event covered.
    pub position: u64,
    /// `@@server_uuid`, or on MariaDB the server id in decimal: file and position mean nothing elsewhere.
    pub server: String,
    /// Header time of the file's format description, seconds: tells a reset server's file of the same name.
    pub file_created: u32,
    /// The patterns of the tables that entered the log by then, as text; a change of them is an entry of its own.
    pub selection: String,
}

impl Checkpoint {
    /// The bytes that the store keeps.
    pub fn encode(&self) -> Vec<u8> {
        versioned::encode(VERSION, self)
    }

    /// Reads what [`Checkpoint::encode`] wrote.
    ///
    /// # Errors
    /// Damaged or newer bytes; never a default in their place, which would lose the position in silence.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        versioned::decode("checkpoint", VERSION, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_as_it_was_and_damage_is_an_error() {
        let checkpoint = Checkpoint {
            gtids: SourcePosition::MySqlGtid("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23".into()),
            file: "mysql-bin.000003".into(),
            position: 5_000_000_000,
            server: "3e11fa47-71ca-11e1-9e33-c80aa9429562".into(),
            file_created: 1_767_225_930,
            selection: "shop.*".into(),
        };
        let bytes = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes), Ok(checkpoint));
        for cut in 0..bytes.len() {
            assert!(Checkpoint::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut newer = bytes.clone();
        newer[0] = 3;
        assert!(matches!(Checkpoint::decode(&newer), Err(LogError::Version { version: 3, .. })));
    }
}
