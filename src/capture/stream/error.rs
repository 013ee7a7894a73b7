//! What can end a connection to the source, each with its class and next step. The server's refusals of a dump
//! share one error code (1236) and differ in text only, so the text decides which of them it is.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::failure::{Class, Exit, Failure};

/// `ER_MASTER_FATAL_ERROR_READING_BINLOG`: the code of nearly every refusal of a dump.
const ER_SOURCE_FATAL_ERROR_READING_BINLOG: u16 = 1236;

/// MariaDB's own code for a reader that another one with its server id has thrown out.
const ER_SLAVE_SAME_ID: u16 = 4052;

/// An error packet as the server sent it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("server error {code} ({state}): {message}")]
pub struct ServerError {
    /// The server's error number.
    pub code: u16,
    /// SQLSTATE, five characters; empty before the handshake is over.
    pub state: String,
    /// The server's text.
    pub message: String,
}

/// Why the server refused, or ended, a binlog dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Transactions that the log lacks are in binlogs that the server has purged.
    Purged,
    /// No binlog file of that name: purged, or never there.
    FileMissing,
    /// The position lies beyond the end of its file: another server, or a reset one.
    PositionBeyondFile,
    /// The position is not the start of an event.
    PositionInsideEvent,
    /// The log holds transactions that the server does not: it lost them, or it is another server.
    Diverged,
    /// Another client dumps with the same server id or uuid.
    DuplicateServerId,
    /// The server writes no binlog.
    BinlogOff,
    /// The server has GTIDs off, or writes transactions without one.
    GtidOff,
    /// The server cannot read its own binlog: damaged file, checksum, I/O.
    BinlogDamaged,
    /// A refusal that this relay does not know.
    Other,
}

impl Refusal {
    /// Tells the refusals apart by the texts of MySQL 5.6 to 9.7 and MariaDB 10.3 to 11. "slave" and "replica",
    /// "master" and "source" are the same word here.
    fn from_text(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let any = |list: &[&str]| list.iter().any(|part| text.contains(part));
        // The order matters: MariaDB's text for a diverged replica also holds "is not in the master's binlog".
        if any(&["more gtids than the", "has diverged", "extra erroneous transactions"]) {
            Refusal::Diverged
        } else if any(&["purged", "gtid state requested by slave in any binlog", "is missing the gtid"]) {
            Refusal::Purged
        } else if any(&["is not in the master's binlog", "is not in the source's binlog"]) {
            Refusal::Diverged
        } else if any(&["could not find first log file name"]) {
            Refusal::FileMissing
        } else if any(&["position > file size", "impossible position"]) {
            Refusal::PositionBeyondFile
        } else if any(&["same server_uuid/server_id", "same server_id"]) {
            Refusal::DuplicateServerId
        } else if any(&["binary log is not open", "binary logging is not enabled"]) {
            Refusal::BinlogOff
        } else if any(&["gtid_mode", "anonymous transaction"]) {
            Refusal::GtidOff
        } else if any(&["truncated in the middle of event", "exceeded max_allowed_packet", "bogus data in log event"]) {
            Refusal::PositionInsideEvent
        } else if any(&[
            "error reading log",
            "reading log event",
            "did not pass",
            "could not open log file",
            "could not find next log",
            "corrupt",
        ]) {
            Refusal::BinlogDamaged
        } else {
            Refusal::Other
        }
    }
}

/// Why a TLS connection could not be made.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The server has no TLS, and plain text is not allowed by the mode.
    #[error("the server offers no TLS")]
    NotOffered,
    /// A file of certificates or keys cannot be read or holds none.
    #[error("read {path}: {reason}")]
    Material {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The name to verify cannot be a name in a certificate.
    #[error("{0:?} cannot be verified as a server name")]
    ServerName(String),
    /// The handshake failed: certificate refused, no common version, ...
    #[error("handshake: {0}")]
    Handshake(rustls::Error),
    /// The connection broke during the handshake.
    #[error("handshake: {0}")]
    Broken(io::Error),
}

/// What ended, or prevented, a connection to the source.
#[derive(Debug, Error)]
pub enum StreamError {
    /// Name resolution or the TCP connection failed.
    #[error("connect to {address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// TLS is required and did not come about.
    #[error("TLS with {address}: {source}")]
    Tls {
        /// Host and port.
        address: String,
        /// Why.
        source: TlsError,
    },
    /// The server refused the login.
    #[error("log in to {address} as {user:?}: {source}")]
    Login {
        /// Host and port.
        address: String,
        /// The user.
        user: String,
        /// The server's words.
        source: ServerError,
    },
    /// The account uses an authentication method that this relay does not speak.
    #[error("log in to {address} as {user:?}: the account needs authentication plugin {plugin:?}")]
    AuthPlugin {
        /// Host and port.
        address: String,
        /// The user.
        user: String,
        /// The plugin the server asks for.
        plugin: String,
    },
    /// A statement failed.
    #[error("{statement}: {source}")]
    Statement {
        /// The statement, shortened.
        statement: String,
        /// The server's words.
        source: ServerError,
    },
    /// The server refused or ended the binlog dump.
    #[error("binlog dump refused: {source}")]
    Refused {
        /// Which refusal it is.
        refusal: Refusal,
        /// The server's words.
        source: ServerError,
    },
    /// The connection broke.
    #[error("connection to the source: {0}")]
    Io(io::Error),
    /// The connection was closed, by the server or by something between: a stop, a restart, a kill.
    #[error("the source closed the connection")]
    Closed,
    /// The server ended the dump in order: a stop, a kill of the dump thread, or before MySQL 5.7 another reader with
    /// the same server id.
    #[error("the source ended the dump")]
    Ended,
    /// Nothing came for longer than it may take; the server is gone or the network between is.
    #[error("no bytes from the source for {}", humantime::format_duration(*.0))]
    Silent(Duration),
    /// The server sent what the protocol does not allow.
    #[error("the source sent {0}")]
    Protocol(&'static str),
    /// An event is larger than any server can log.
    #[error("the source sent a packet of more than {0} bytes")]
    TooLarge(usize),
}

impl StreamError {
    /// An error packet that came instead of, or within, a binlog dump.
    pub(super) fn refused(source: ServerError) -> Self {
        let refusal = match source.code {
            ER_SOURCE_FATAL_ERROR_READING_BINLOG => Refusal::from_text(&source.message),
            ER_SLAVE_SAME_ID => Refusal::DuplicateServerId,
            _ => Refusal::Other,
        };
        Self::Refused { refusal, source }
    }

    /// The same refusal as a server's, found out here while looking for a position.
    pub(super) fn misplaced(refusal: Refusal, position: u64) -> Self {
        let message = match refusal {
            Refusal::PositionBeyondFile => format!("the file ends before position {position}"),
            _ => format!("position {position} is not the start of an event"),
        };
        let source = ServerError { code: ER_SOURCE_FATAL_ERROR_READING_BINLOG, state: "HY000".into(), message };
        Self::Refused { refusal, source }
    }

    /// What a server does not say that ends the dump of the older one of two readers with one server id.
    pub(in crate::capture) fn thrown_out(server_id: u32) -> Self {
        let message = format!("it ended this dump and lists another reader with server_id {server_id}");
        let source = ServerError { code: ER_SOURCE_FATAL_ERROR_READING_BINLOG, state: "HY000".into(), message };
        Self::Refused { refusal: Refusal::DuplicateServerId, source }
    }

    /// Whether another server of the same topology may do what this one does not: it is not reached, does not let us
    /// in, or cannot continue from the position.
    pub fn is_of_one_server(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => !matches!(refusal, Refusal::DuplicateServerId),
            _ => true,
        }
    }

    /// Which refusal of a dump it is, if it is one.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }
}

impl ServerError {
    /// Errors that pass by themselves: too many connections, shutting down, killed, lock waits, read-only
    /// while a failover is under way, resources.
    fn class(&self) -> Class {
        match self.code {
            1021
            | 1037
            | 1038
            | 1040
            | 1041
            | 1042
            | 1053
            | 1077
            | 1078
            | 1079
            | 1080
            | 1129
            | 1135
            | 1152..=1161
            | 1184
            | 1188
            | 1189
            | 1203
            | 1205
            | 1213
            | 1226
            | 1317
            | 1836
            | 1927
            | 3024
            | 3032
            | 3169
            | 4031 => Class::Transient,
            _ => Class::Definite,
        }
    }

    /// Whether it says that a right is missing.
    pub fn is_missing_privilege(&self) -> bool {
        matches!(self.code, 1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698 | 3118)
    }
}

impl ServerError {
    /// Whether it says that this server has no such statement, variable, function or binlog.
    pub fn is_unknown_here(&self) -> bool {
        matches!(self.code, 1064 | 1109 | 1146 | 1193 | 1305 | 1381)
    }
}

impl Failure for StreamError {
    fn class(&self) -> Class {
        match self {
            Self::Connect { .. } | Self::Io(_) | Self::Closed | Self::Ended | Self::Silent(_) | Self::Protocol(_) => {
                Class::Transient
            }
            Self::Tls { source: TlsError::Broken(_), .. } => Class::Transient,
            Self::Tls { .. } | Self::AuthPlugin { .. } | Self::TooLarge(_) => Class::Definite,
            Self::Login { source, .. } | Self::Statement { source, .. } => source.class(),
            Self::Refused { refusal, source } => match refusal {
                // An unknown refusal may pass; the retry window ends it if it does not.
                Refusal::Other if source.code == ER_SOURCE_FATAL_ERROR_READING_BINLOG => Class::Transient,
                Refusal::Other => source.class(),
                _ => Class::Definite,
            },
        }
    }

    fn next_step(&self) -> Option<String> {
        let step = match self {
            Self::Connect { .. } => "check source.url, the network and that the server runs",
            Self::Tls { source: TlsError::NotOffered, .. } => {
                "give the server a certificate, or set source.tls = \"disabled\" if plain text is acceptable"
            }
            Self::Tls { source: TlsError::Material { .. }, .. } => "correct the file named in source.tls",
            Self::Tls { .. } => {
                "check ca_file and the certificate's names against the host in source.url, or choose another source.tls mode"
            }
            Self::AuthPlugin { .. } => {
                "give the relay an account with caching_sha2_password, mysql_native_password or ed25519 (MariaDB)"
            }
            Self::Login { source, .. } if source.code == 1130 => "allow the account to log in from this host",
            Self::Login { source, .. } if source.code == 1045 || source.code == 1698 => {
                "check the user in source.url and its password"
            }
            Self::Statement { source, .. } | Self::Refused { source, .. } if source.is_missing_privilege() => {
                "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* to the relay's account"
            }
            Self::Refused { refusal, .. } => match refusal {
                Refusal::Purged | Refusal::FileMissing => {
                    "binlogs that the log still needs are gone: point source.url at a server that has them, or start a new log"
                }
                Refusal::PositionBeyondFile | Refusal::PositionInsideEvent => {
                    "the position belongs to another binlog: check that source.url names the server the log was made from"
                }
                Refusal::Diverged => {
                    "the server lacks transactions that the log holds: check that source.url names the right server; \
                     after a lossy failover start a new log"
                }
                Refusal::DuplicateServerId => "stop the other reader or give this relay a source.server_id of its own",
                Refusal::BinlogOff => "turn on log_bin at the source",
                Refusal::GtidOff => "set source.resume = \"file\", or turn on gtid_mode at the source",
                Refusal::BinlogDamaged => "check the source's error log and disk",
                Refusal::Other => return None,
            },
            _ => return None,
        };
        Some(step.to_owned())
    }

    fn exit(&self) -> Exit {
        match self.refusal() {
            Some(
                Refusal::Purged
                | Refusal::FileMissing
                | Refusal::PositionBeyondFile
                | Refusal::PositionInsideEvent
                | Refusal::Diverged,
            ) => Exit::Source,
            Some(Refusal::DuplicateServerId | Refusal::BinlogOff | Refusal::GtidOff) => Exit::Precheck,
            _ => Exit::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> StreamError {
        StreamError::refused(ServerError { code: 1236, state: "HY000".into(), message: text.into() })
    }

    #[test]
    fn each_refusal_is_told_from_the_others_by_its_text() {
        let cases = [
            ("Could not find first log file name in binary log index file", Refusal::FileMissing),
            ("Client requested source to start replication from position > file size", Refusal::PositionBeyondFile),
            (
                "Client requested master to start replication from position > file size; the first event 'mysql-bin.000001' \
                 at 99999999, the last event read from './mysql-bin.000001' at 4, the last byte read from \
                 './mysql-bin.000001' at 4.",
                Refusal::PositionBeyondFile,
            ),
            ("Client requested master to start replication from impossible position", Refusal::PositionBeyondFile),
            (
                "binlog truncated in the middle of event; consider out of disk space on source; the first event ...",
                Refusal::PositionInsideEvent,
            ),
            (
                "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on master; the first event ...",
                Refusal::PositionInsideEvent,
            ),
            (
                "Cannot replicate because the source purged required binary logs. Replicate the missing transactions from \
                 elsewhere, or provision a new replica from backup. ... the missing transactions are '...'",
                Refusal::Purged,
            ),
            (
                "The slave is connecting using CHANGE MASTER TO MASTER_AUTO_POSITION = 1, but the master has purged binary \
                 logs containing GTIDs that the slave requires.",
                Refusal::Purged,
            ),
            (
                "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old and \
                 required binlog files have been purged.",
                Refusal::Purged,
            ),
            ("Replica has more GTIDs than the source has, using the source's SERVER_UUID.", Refusal::Diverged),
            ("Slave has more GTIDs than the master has, using the master's SERVER_UUID.", Refusal::Diverged),
            (
                "Error: connecting slave requested to start from GTID 0-99-99999, which is not in the master's binlog",
                Refusal::Diverged,
            ),
            (
                "Error: connecting slave requested to start from GTID 0-1-9, which is not in the master's binlog. Since the \
                 master's binlog contains GTIDs with higher sequence numbers, it probably means that the slave has diverged \
                 due to executing extra erroneous transactions",
                Refusal::Diverged,
            ),
            (
                "A replica with the same server_uuid/server_id as this replica has connected to the source; the first event ...",
                Refusal::DuplicateServerId,
            ),
            ("Binary log is not open", Refusal::BinlogOff),
            (
                "The replication sender thread cannot start in AUTO_POSITION mode: this server has GTID_MODE = OFF instead of ON.",
                Refusal::GtidOff,
            ),
            ("event read from binlog did not pass crc check", Refusal::BinlogDamaged),
            ("something that a later version says", Refusal::Other),
        ];
        for (text, refusal) in cases {
            assert_eq!(refused(text).refusal(), Some(refusal), "{text}");
        }
    }

    #[test]
    fn mariadb_has_a_code_of_its_own_for_a_second_reader() {
        let message =
            "A slave with the same server_uuid/server_id is already connected; the first event '.' at 4".into();
        let error = StreamError::refused(ServerError { code: 4052, state: "HY000".into(), message });
        assert_eq!((error.refusal(), error.exit()), (Some(Refusal::DuplicateServerId), Exit::Precheck));
        assert_eq!((error.class(), error.is_of_one_server()), (Class::Definite, false));
    }

    #[test]
    fn a_lost_position_parks_with_the_sources_exit_code_and_a_next_step() {
        for text in ["has purged binary logs", "Could not find first log file name", "more GTIDs than the source"] {
            let e = refused(text);
            assert_eq!((e.class(), e.exit()), (Class::Definite, Exit::Source), "{text}");
            assert!(e.next_step().is_some(), "{text}");
        }
        assert_eq!(refused("news").class(), Class::Transient);
    }

    #[test]
    fn a_server_that_stops_is_retried_and_a_wrong_password_is_not() {
        let login = |code| StreamError::Login {
            address: "db1:3306".into(),
            user: "relay".into(),
            source: ServerError { code, state: "HY000".into(), message: String::new() },
        };
        assert_eq!(login(1053).class(), Class::Transient);
        assert_eq!(login(1040).class(), Class::Transient);
        assert_eq!(login(1045).class(), Class::Definite);
        assert_eq!(StreamError::Closed.class(), Class::Transient);
        assert_eq!(StreamError::Silent(Duration::from_secs(30)).class(), Class::Transient);
    }
}
