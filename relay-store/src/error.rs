//! The errors, one enum a family of operations. Each carries facts, and says the next step where there is one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::gap::Gap;
use crate::seq::{CursorEpoch, Seq};

/// The disk or sled refused an operation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// A file operation failed; of kind `TimedOut`, also when sled did not answer and was given up.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was done, as a verb: "open segment".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// sled refused an operation.
    #[error("{action} in meta {}: {source}", path.display())]
    Meta {
        /// What was done.
        action: &'static str,
        /// sled's file.
        path: PathBuf,
        /// sled's answer.
        source: sled::Error,
    },
    /// sled panicked; the panic was contained.
    #[error("{action} in meta {} panicked: {message}", path.display())]
    MetaPanic {
        /// What was done.
        action: &'static str,
        /// sled's file.
        path: PathBuf,
        /// The panic's text.
        message: String,
    },
    /// A stored value does not decode, or its checksum is wrong.
    #[error("{what} is damaged: {detail}")]
    Damaged {
        /// Which value.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
}

impl StorageError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        StorageError::Io { action, path: path.to_owned(), source: Arc::new(source) }
    }

    pub(crate) fn damaged(what: impl Into<String>, detail: impl fmt::Display) -> Self {
        StorageError::Damaged { what: what.into(), detail: detail.to_string() }
    }

    /// Whether the system refuses for a reason that no rebuild cures.
    pub(crate) fn is_refused_or_full(&self) -> bool {
        let kind = match self {
            StorageError::Io { source, .. } => source.kind(),
            StorageError::Meta { source: sled::Error::Io(source), .. } => source.kind(),
            _ => return false,
        };
        matches!(
            kind,
            io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                // Nobody moves aside what a sled that was given up may still write to.
                | io::ErrorKind::TimedOut
        )
    }

    /// Whether the disk or the quota is full: worth another try when there is room.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            StorageError::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}

/// A store cannot be opened. Nothing was changed, except where the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory holds something else.
    #[error("{} is not a relay store: it holds {found:?}; name an empty or new directory", dir.display())]
    NotAStore {
        /// The directory.
        dir: PathBuf,
        /// A name that was found in it.
        found: String,
    },
    /// There is no store at this place, and none may be created.
    #[error("no relay store at {}: check the directory", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// It was written by a newer release.
    #[error("{} has store format {found}, this release reads up to {supported}: use a newer release", dir.display())]
    NewerFormat {
        /// The directory.
        dir: PathBuf,
        /// The format it states.
        found: u32,
        /// The newest format this release knows.
        supported: u32,
    },
    /// Another process has it open for writing.
    #[error("{} is in use{}: stop that process, or use its admin address", dir.display(), holder(*.pid))]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The process that holds the lock, when it could be read.
        pid: Option<u32>,
    },
    /// The file system refuses writes.
    #[error("{} cannot be written ({source}): mount the disk writable and give this user the directory", dir.display())]
    ReadOnly {
        /// The directory.
        dir: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is not even room for meta.
    #[error("the disk of {} is full ({free} bytes free): free at least {needed} bytes", dir.display())]
    DiskFull {
        /// The directory.
        dir: PathBuf,
        /// Bytes free now.
        free: u64,
        /// Bytes that opening needs.
        needed: u64,
    },
    /// Where the log ends cannot be told.
    #[error("the log's end cannot be told: {detail}; restore {} from a copy, or move it away and start anew", dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// Segment, offset and what is wrong.
        detail: String,
    },
    /// Its meta cannot be read, and this way of opening repairs nothing.
    #[error("the meta of {} is damaged ({detail}): starting the relay rebuilds it", dir.display())]
    MetaDamaged {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// An option is out of its bounds.
    #[error("option {option} is {value}: it must be {must}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        value: u64,
        /// Its bounds.
        must: &'static str,
    },
    /// The disk or sled refused an operation.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| " by another process".to_owned(), |pid| format!(" by process {pid}"))
}

/// The first failed sync ended this store's life: what is not durable by now cannot be told. Reopen to recover.
#[derive(Debug, Clone, thiserror::Error)]
#[error("store is poisoned: {reason}; restart to recover from the log")]
pub struct Poisoned {
    /// What failed first.
    pub reason: Arc<str>,
}

/// An append, a submit or a wait for durability failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// A sync failed: fatal.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// The store was closed.
    #[error("store is closed")]
    Closed,
    /// Another [`Appender`](crate::Appender) lives.
    #[error("an appender is already open: one writer a store")]
    AppenderOpen,
    /// The entry is larger than the log takes.
    #[error("entry of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// [`ENTRY_BYTES_MAX`](crate::ENTRY_BYTES_MAX) or [`OPAQUE_BYTES_MAX`](crate::OPAQUE_BYTES_MAX).
        limit: usize,
    },
    /// The kind belongs to the store, or the position does not fit.
    #[error("entry header is out of range: {field} is {value}")]
    Header {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// More than the queue holds was appended without a submit that was done.
    #[error("{bytes} bytes are sealed and not submitted: wait for space before appending more")]
    Backlog {
        /// Bytes that wait in the appender.
        bytes: usize,
    },
}

/// A read failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The range is damaged or gone; reading goes on behind it.
    #[error("entries cannot be read: {0}")]
    Gap(Gap),
    /// The disk or sled refused an operation.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A cursor operation failed. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CursorError {
    /// There is no such cursor.
    #[error("no cursor {name:?}: relay-cursor list shows them")]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// A cursor of this name is there already.
    #[error("cursor {name:?} exists already, at seq {acked}")]
    Exists {
        /// The name.
        name: String,
        /// Where it stands.
        acked: Seq,
    },
    /// The name is not `[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}`.
    #[error("cursor name {name:?} is not allowed: letters, digits, '.', '_' and '-', at most 64")]
    Name {
        /// The name.
        name: String,
    },
    /// The cursor was reset since; the ack belongs to its earlier life.
    #[error("cursor {name:?} is in epoch {current}, the ack is of epoch {given}")]
    StaleEpoch {
        /// The cursor.
        name: String,
        /// The epoch of the ack.
        given: CursorEpoch,
        /// The epoch the cursor is in.
        current: CursorEpoch,
    },
    /// The seq is outside of what the cursor may stand on.
    #[error("cursor {name:?} cannot stand at seq {acked}: the log holds {first} to {visible}")]
    OutOfRange {
        /// The cursor.
        name: String,
        /// The seq asked for.
        acked: Seq,
        /// First entry of the log.
        first: Seq,
        /// Last visible entry.
        visible: Seq,
    },
    /// The sink state or a reason is too large.
    #[error("state of cursor {name:?} has {bytes} bytes, at most {limit} are kept")]
    TooLarge {
        /// The cursor.
        name: String,
        /// Its bytes.
        bytes: usize,
        /// [`OPAQUE_BYTES_MAX`](crate::OPAQUE_BYTES_MAX).
        limit: usize,
    },
    /// A sync failed: fatal.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// The store was closed.
    #[error("store is closed")]
    Closed,
    /// The disk or sled refused an operation.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
