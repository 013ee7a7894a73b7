//! What ends a life of capture, each with its class and next step.

use relay_store::{AppendError, Poisoned, ReadError};
use thiserror::Error;

use super::continuity::HoleError;
use super::group::GroupError;
use super::unpack::UnpackError;
use crate::binlog::DecodeError;
use crate::binlog::event::{ChecksumMismatch, EventType};
use crate::failure::{Class, Exit, Failure};

/// What is wrong with one event.
#[derive(Debug, Error)]
pub enum EventError {
    /// Its checksum does not match: damaged on the way or on the source's disk.
    #[error(transparent)]
    Checksum(#[from] ChecksumMismatch),
    /// It does not start where the previous event ended.
    #[error(transparent)]
    Hole(#[from] HoleError),
    /// It does not decode.
    #[error("decode event: {0}")]
    Decode(#[from] DecodeError),
    /// It does not unpack.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// It makes no transaction with the events before it, or one that cannot be captured.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// Its type is not known, and it is not marked as one that may be passed over.
    #[error("an event of this type is not known and not marked ignorable")]
    Unknown,
    /// It comes before the format description.
    #[error("no format description came before it")]
    BeforeFormat,
    /// Rows of a table that no table map names.
    #[error("rows of table id {0}, which no table map of their transaction names")]
    NoTableMap(u64),
    /// The definition of a table was read ahead of the stream, in the belief that table maps name their columns.
    #[error("a table map of {0} names no columns, though the server's setting says so now: it was changed since")]
    ColumnsNotNamed(String),
    /// A compressed transaction does not end with its last event, or ends before it.
    #[error("a compressed transaction does not end with its last event")]
    PayloadEnd,
    /// A rollback to a savepoint behind which rows are in the log already.
    #[error("{rows} row events are undone by a rollback to a savepoint")]
    Undone {
        /// Row events between the savepoint and the rollback.
        rows: u64,
    },
    /// The file is not the one that its name was in the checkpoint.
    #[error(transparent)]
    Position(#[from] super::position::PositionError),
    /// The log refused the entry.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Why a life of capture ended.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The connection to the source.
    #[error(transparent)]
    Stream(#[from] super::stream::StreamError),
    /// Where the stream is to resume.
    #[error(transparent)]
    Position(#[from] super::position::PositionError),
    /// An event of the stream.
    #[error("{file}:{position}, {event_type}: {source}")]
    Event {
        /// The binlog file.
        file: String,
        /// End of the last event before it.
        position: u64,
        /// Its type.
        event_type: EventType,
        /// What is wrong with it.
        source: EventError,
    },
    /// The log holds entries and no checkpoint: where it ends in the source is not known, and a start at the source's
    /// end, or at its oldest binlog, could leave out what comes between.
    #[error(
        "the log holds entries up to seq {last_seq} and has lost every checkpoint, so its end in the source is not known"
    )]
    CheckpointLost {
        /// The last entry.
        last_seq: u64,
    },
    /// The checkpoint in the log cannot be read.
    #[error("read the checkpoint in the log: {0}")]
    Checkpoint(#[from] crate::log::LogError),
    /// The GTIDs in the checkpoint cannot be read.
    #[error("read the GTIDs of the checkpoint: {0}")]
    Gtids(#[from] crate::binlog::gtid::GtidParseError),
    /// The log refused an entry.
    #[error("append to the log: {0}")]
    Append(#[from] AppendError),
    /// The context of a block in the log cannot be read.
    #[error("read the log: {0}")]
    Context(#[from] crate::log::ContextError),
    /// Rows of a prepared XA transaction cannot be read back.
    #[error("read prepared rows from the log: {0}")]
    Read(#[from] ReadError),
}

impl From<Poisoned> for CaptureError {
    fn from(poisoned: Poisoned) -> Self {
        Self::Append(poisoned.into())
    }
}

impl CaptureError {
    /// Whether a further life that looks for statements ahead of the stream gets past it.
    pub(super) fn asks_for_search(&self) -> bool {
        matches!(self, Self::Event { source: EventError::ColumnsNotNamed(_), .. })
    }

    /// Whether another server of the same topology may be able to continue the log.
    pub fn is_of_one_server(&self) -> bool {
        match self {
            Self::Stream(error) => error.is_of_one_server(),
            Self::Position(error) => error.is_of_one_server(),
            _ => false,
        }
    }
}

impl EventError {
    fn class(&self) -> Class {
        match self {
            // Reading again may give other bytes.
            Self::Checksum(_) | Self::Hole(_) | Self::ColumnsNotNamed(_) => Class::Transient,
            Self::Append(error) => append_class(error),
            Self::Position(error) => error.class(),
            _ => Class::Definite,
        }
    }

    fn next_step(&self) -> Option<String> {
        let step = match self {
            Self::Checksum(_) => {
                "when it stays: the binlog is damaged on the source; check its disk with mysqlbinlog --verify-binlog-checksum"
            }
            Self::Group(GroupError::StatementFormat(_)) => {
                "set binlog_format=ROW on the source, for every session; then start the log anew or behind this transaction"
            }
            Self::Group(GroupError::Incident(_)) => {
                "compare the destinations with the source; then start the log anew or behind this event"
            }
            Self::Group(GroupError::OutsideTransaction) => "set source.start to the beginning of a transaction",
            Self::Unknown => "upgrade the relay to a version that knows the source's",
            Self::Undone { .. } => {
                "keep tables of transactional and other engines out of one transaction; then start the log behind this one"
            }
            Self::Position(error) => return error.next_step(),
            _ => return None,
        };
        Some(step.to_owned())
    }
}

impl EventError {
    fn exit(&self) -> Exit {
        match self {
            Self::Position(error) => error.exit(),
            // What the precheck would have refused, had it been the server's setting.
            Self::Group(GroupError::StatementFormat(_)) => Exit::Precheck,
            // The server says that it lost changes.
            Self::Group(GroupError::Incident(_)) => Exit::Source,
            _ if self.class() == Class::Fatal => Exit::Store,
            _ => Exit::Failed,
        }
    }
}

fn append_class(error: &AppendError) -> Class {
    match error {
        AppendError::Poisoned(_) => Class::Fatal,
        AppendError::Closed => Class::Transient,
        _ => Class::Definite,
    }
}

impl Failure for CaptureError {
    fn class(&self) -> Class {
        match self {
            Self::Stream(error) => error.class(),
            Self::Position(error) => error.class(),
            Self::Event { source, .. } => source.class(),
            Self::CheckpointLost { .. } | Self::Checkpoint(_) | Self::Gtids(_) => Class::Definite,
            Self::Append(error) => append_class(error),
            Self::Read(_) | Self::Context(_) => Class::Definite,
        }
    }

    fn next_step(&self) -> Option<String> {
        match self {
            Self::Stream(error) => error.next_step(),
            Self::Position(error) => error.next_step(),
            Self::Event { source, .. } => source.next_step(),
            Self::CheckpointLost { .. } => Some(
                "find its last transaction with relay-dump, and set source.start to gtid: or file: at or before it; or \
                 give up the gap on purpose: move log.dir away and start a new log"
                    .to_owned(),
            ),
            Self::Checkpoint(_) | Self::Gtids(_) => {
                Some("check the log with relay-dump --verify; the position is never guessed".to_owned())
            }
            Self::Append(_) | Self::Read(_) | Self::Context(_) => None,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Stream(error) => error.exit(),
            Self::Position(error) => error.exit(),
            Self::Event { source, .. } => source.exit(),
            Self::CheckpointLost { .. } | Self::Checkpoint(_) | Self::Gtids(_) => Exit::Store,
            _ if self.class() == Class::Fatal => Exit::Store,
            _ => Exit::Failed,
        }
    }
}
