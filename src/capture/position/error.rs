//! Why the stream cannot resume: each reason with its class, its exit code and its remedy.

use thiserror::Error;

use crate::failure::{Class, Exit, Failure};

/// How a reset server gave itself away.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResetSign {
    /// A file of the same name was created at another time.
    #[error("{file} was created at {created}, the log's {file} at {expected} (seconds since 1970)")]
    OtherFile {
        /// The file.
        file: String,
        /// When the log's file was created.
        expected: u32,
        /// When the server's was.
        created: u32,
    },
    /// The log has read more of a file than there is.
    #[error("the log ends at {position} of {file}, which has {size} bytes")]
    ShorterFile {
        /// The file.
        file: String,
        /// Where the log ends.
        position: u64,
        /// The server's size of it.
        size: u64,
    },
    /// The log's file has a higher number than any that the server has.
    #[error("the log ends in {file}, the server's newest binlog is {newest}")]
    FilesBeganAnew {
        /// The log's file.
        file: String,
        /// The server's newest.
        newest: String,
    },
}

/// Why the stream cannot resume.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PositionError {
    /// The server writes no binlog, or does not let us see it.
    #[error("{address} shows no binlog: log_bin is off, or the account lacks REPLICATION CLIENT")]
    NoBinlog {
        /// The server.
        address: String,
    },
    /// Resume by GTID is asked for, or needed by the log, and the server has none.
    #[error("{address} has gtid_mode {mode}, and the log resumes by GTID")]
    NoGtids {
        /// The server.
        address: String,
        /// Its `gtid_mode`.
        mode: String,
    },
    /// `resume = "gtid"`, and the log was begun without GTIDs.
    #[error("the log was begun by file and position, so it cannot resume by GTID")]
    LogWithoutGtids,
    /// The checkpoint's own text does not read.
    #[error("the checkpoint's position does not read: {gtids:?}")]
    UnreadableCheckpoint {
        /// The text.
        gtids: String,
    },
    /// The log is of one dialect, the server of the other.
    #[error("the log was made from {log}, the server is {server}")]
    OtherDialect {
        /// The log's dialect.
        log: &'static str,
        /// The server's.
        server: &'static str,
    },
    /// Transactions that the log lacks are in no binlog of the server any more.
    #[error("the server has purged transactions that the log does not have: {missing}")]
    Purged {
        /// Which.
        missing: String,
    },
    /// The file in which the log ends, or is to begin, is gone.
    #[error("binlog {file} is gone; the server's oldest is {oldest}")]
    FilePurged {
        /// The file.
        file: String,
        /// What is left.
        oldest: String,
    },
    /// The server never had, or lost, transactions of the log.
    #[error("{address} lacks transactions that the log has: {extra}")]
    Diverged {
        /// The server.
        address: String,
        /// Which.
        extra: String,
    },
    /// The server lacks transactions of the log, but still applies what it replicates.
    #[error("{address} has not applied all transactions that the log has: {extra}")]
    ServerBehind {
        /// The server.
        address: String,
        /// Which.
        extra: String,
    },
    /// The server began its binlogs anew.
    #[error("the server was reset since the log was made: {sign}")]
    ResetServer {
        /// How it shows.
        sign: ResetSign,
    },
    /// File and position of one server mean nothing on another.
    #[error("the log ends at a file and position of server {was}, this is server {is}")]
    ChangedServer {
        /// Identity of the log's server.
        was: String,
        /// Identity of this one.
        is: String,
    },
    /// `start` is no GTID of this server's dialect.
    #[error("source.start: {text:?} does not read as GTIDs of this server; write them as {expected}")]
    BadStart {
        /// The setting.
        text: String,
        /// An example.
        expected: &'static str,
    },
    /// `start` lies beyond its file.
    #[error("source.start: {file} has {size} bytes, so nothing begins at {offset}")]
    StartBeyondFile {
        /// The file.
        file: String,
        /// The setting.
        offset: u64,
        /// Its size.
        size: u64,
    },
    /// `start` is a time before the oldest binlog.
    #[error("source.start: the binlogs of that time are purged; the oldest is {oldest}{}", created_at(*.created))]
    TimePurged {
        /// The setting, microseconds since 1970.
        time_us: i64,
        /// The oldest file.
        oldest: String,
        /// When it was created, seconds since 1970, when known.
        created: Option<u32>,
    },
}

fn created_at(created: Option<u32>) -> String {
    let time = created.and_then(|seconds| jiff::Timestamp::from_second(i64::from(seconds)).ok());
    time.map_or(String::new(), |time| format!(", created at {time}"))
}

impl PositionError {
    /// Whether another server of the same topology may be able to continue the log.
    pub fn is_of_one_server(&self) -> bool {
        match self {
            Self::NoBinlog { .. }
            | Self::NoGtids { .. }
            | Self::OtherDialect { .. }
            | Self::Purged { .. }
            | Self::FilePurged { .. }
            | Self::Diverged { .. }
            | Self::ServerBehind { .. }
            | Self::ResetServer { .. }
            | Self::ChangedServer { .. }
            | Self::TimePurged { .. } => true,
            Self::LogWithoutGtids
            | Self::UnreadableCheckpoint { .. }
            | Self::BadStart { .. }
            | Self::StartBeyondFile { .. } => false,
        }
    }
}

const NEW_LOG: &str = "or give up the gap on purpose: move log.dir away and start a new log";

impl Failure for PositionError {
    fn class(&self) -> Class {
        match self {
            Self::ServerBehind { .. } => Class::Transient,
            Self::UnreadableCheckpoint { .. } => Class::Fatal,
            _ => Class::Definite,
        }
    }

    fn next_step(&self) -> Option<String> {
        Some(match self {
            Self::NoBinlog { .. } => {
                "set log_bin at the source, and GRANT REPLICATION CLIENT ON *.* to the relay's account".into()
            }
            Self::NoGtids { .. } => {
                "set gtid_mode = ON at the source, or source.resume = \"file\" to go on by file and position".into()
            }
            Self::LogWithoutGtids => "set source.resume = \"auto\" or \"file\"".into(),
            Self::UnreadableCheckpoint { .. } => {
                "restore the store from a copy; relay-dump --verify shows its state".into()
            }
            Self::OtherDialect { .. } => "point source.url at the server that the log was made from".into(),
            Self::Purged { .. } | Self::FilePurged { .. } => {
                format!("point source.url at a server that still has these binlogs, {NEW_LOG}")
            }
            Self::Diverged { .. } => format!(
                "check that source.url names the right server; after a failover that lost transactions the destinations \
                 hold more than the source: correct them, {NEW_LOG}"
            ),
            Self::ServerBehind { .. } => "wait until it has applied them, or point source.url at the primary".into(),
            Self::ResetServer { .. } => {
                format!(
                    "what was committed between the log's end and the reset is gone; copy it from elsewhere, {NEW_LOG}"
                )
            }
            Self::ChangedServer { .. } => format!(
                "point source.url at the server that the log was made from, {NEW_LOG}; with gtid_mode = ON at the source a \
                 new log follows a failover"
            ),
            Self::BadStart { .. } | Self::StartBeyondFile { .. } => "correct source.start".into(),
            Self::TimePurged { .. } => {
                "set source.start to a later time, or to \"earliest\" for all that is left".into()
            }
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Purged { .. }
            | Self::FilePurged { .. }
            | Self::Diverged { .. }
            | Self::ServerBehind { .. }
            | Self::ResetServer { .. }
            | Self::ChangedServer { .. }
            | Self::OtherDialect { .. }
            | Self::TimePurged { .. } => Exit::Source,
            Self::NoBinlog { .. } | Self::NoGtids { .. } => Exit::Precheck,
            Self::LogWithoutGtids | Self::BadStart { .. } | Self::StartBeyondFile { .. } => Exit::Config,
            Self::UnreadableCheckpoint { .. } => Exit::Store,
        }
    }
}
