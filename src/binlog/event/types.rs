//! The numbers of the event types, of MySQL (`libs/mysql/binlog/event/binlog_event.h`) and MariaDB (`sql/log_event.h`).

use std::fmt;

/// The type of an event, any number: a type that is not listed here is unknown, not invalid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(pub u8);

macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident = $n:literal,)*) => {
        impl EventType {
            $($(#[$doc])* pub const $name: EventType = EventType($n);)*

            /// The name that `mysqlbinlog` and `SHOW BINLOG EVENTS` know, or `None` for a type unknown here.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($n => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

event_types! {
    /// Start of a file before MySQL 5.0.
    START_V3 = 1,
    /// A statement: DDL, the marks of a transaction, or changes in statement format.
    QUERY = 2,
    /// The server stopped; the file ends.
    STOP = 3,
    /// The next file, and where to begin in it.
    ROTATE = 4,
    /// Statement format: LAST_INSERT_ID or INSERT_ID of the next statement.
    INTVAR = 5,
    /// `LOAD DATA` of old servers.
    LOAD = 6,
    /// Unused.
    SLAVE = 7,
    /// `LOAD DATA` of old servers.
    CREATE_FILE = 8,
    /// Statement format: a piece of a loaded file.
    APPEND_BLOCK = 9,
    /// `LOAD DATA` of old servers.
    EXEC_LOAD = 10,
    /// Statement format: a loaded file is dropped.
    DELETE_FILE = 11,
    /// `LOAD DATA` of old servers.
    NEW_LOAD = 12,
    /// Statement format: the seeds of `RAND()`.
    RAND = 13,
    /// Statement format: a user variable.
    USER_VAR = 14,
    /// First event of every file: who wrote it, and how.
    FORMAT_DESCRIPTION = 15,
    /// A transaction of a transactional engine ends.
    XID = 16,
    /// Statement format: first piece of a loaded file.
    BEGIN_LOAD_QUERY = 17,
    /// Statement format: `LOAD DATA`.
    EXECUTE_LOAD_QUERY = 18,
    /// The table that a table id of the rows events after it means.
    TABLE_MAP = 19,
    /// Row format of 5.1 before it was released.
    PRE_GA_WRITE_ROWS = 20,
    /// Row format of 5.1 before it was released.
    PRE_GA_UPDATE_ROWS = 21,
    /// Row format of 5.1 before it was released.
    PRE_GA_DELETE_ROWS = 22,
    /// Inserted rows, version 1 (MySQL 5.1 to 5.5, MariaDB).
    WRITE_ROWS_V1 = 23,
    /// Updated rows, version 1.
    UPDATE_ROWS_V1 = 24,
    /// Deleted rows, version 1.
    DELETE_ROWS_V1 = 25,
    /// Changes may have been lost on the source.
    INCIDENT = 26,
    /// Nothing happened for a while; the position is in the header.
    HEARTBEAT = 27,
    /// An event that may be skipped.
    IGNORABLE = 28,
    /// The statement that the rows after it come from.
    ROWS_QUERY = 29,
    /// Inserted rows, version 2 (MySQL 5.6 and later).
    WRITE_ROWS = 30,
    /// Updated rows, version 2.
    UPDATE_ROWS = 31,
    /// Deleted rows, version 2.
    DELETE_ROWS = 32,
    /// The GTID of the transaction that begins.
    GTID = 33,
    /// A transaction without a GTID begins.
    ANONYMOUS_GTID = 34,
    /// The GTIDs of all earlier files.
    PREVIOUS_GTIDS = 35,
    /// Group replication: what the transaction was certified with.
    TRANSACTION_CONTEXT = 36,
    /// Group replication: the members changed.
    VIEW_CHANGE = 37,
    /// An XA transaction is prepared, or committed in one phase.
    XA_PREPARE = 38,
    /// Updated rows whose JSON columns hold differences (MySQL 8.0 and later).
    PARTIAL_UPDATE_ROWS = 39,
    /// The events of a transaction, compressed (MySQL 8.0.20 and later).
    TRANSACTION_PAYLOAD = 40,
    /// A heartbeat with a 64-bit position (MySQL 8.0.26 and later).
    HEARTBEAT_V2 = 41,
    /// A GTID with a tag (MySQL 8.3 and later).
    GTID_TAGGED = 42,
    /// MariaDB: the statement that the rows after it come from.
    ANNOTATE_ROWS = 160,
    /// MariaDB: the oldest file that recovery needs.
    BINLOG_CHECKPOINT = 161,
    /// MariaDB: the GTID of the group that begins, and what kind of group it is.
    MARIADB_GTID = 162,
    /// MariaDB: the last GTIDs of all earlier files.
    MARIADB_GTID_LIST = 163,
    /// MariaDB: the file is encrypted from here on (the server decrypts it for replicas).
    START_ENCRYPTION = 164,
    /// MariaDB: QUERY with a compressed statement.
    QUERY_COMPRESSED = 165,
    /// MariaDB: WRITE_ROWS_V1 with compressed rows.
    WRITE_ROWS_COMPRESSED_V1 = 166,
    /// MariaDB: UPDATE_ROWS_V1 with compressed rows.
    UPDATE_ROWS_COMPRESSED_V1 = 167,
    /// MariaDB: DELETE_ROWS_V1 with compressed rows.
    DELETE_ROWS_COMPRESSED_V1 = 168,
    /// MariaDB: WRITE_ROWS with compressed rows.
    WRITE_ROWS_COMPRESSED = 169,
    /// MariaDB: UPDATE_ROWS with compressed rows.
    UPDATE_ROWS_COMPRESSED = 170,
    /// MariaDB: DELETE_ROWS with compressed rows.
    DELETE_ROWS_COMPRESSED = 171,
}

impl EventType {
    /// Rows of a table in any version, compressed or not.
    pub fn is_rows(self) -> bool {
        matches!(self.0, 20..=25 | 30..=32 | 39 | 166..=171)
    }

    /// A MySQL event that begins a transaction by its GTID (or by saying that it has none).
    pub fn is_mysql_gtid(self) -> bool {
        matches!(self, EventType::GTID | EventType::ANONYMOUS_GTID | EventType::GTID_TAGGED)
    }

    /// One of MariaDB's events whose body is compressed.
    pub fn is_mariadb_compressed(self) -> bool {
        (165..=171).contains(&self.0)
    }

    /// Changes in statement format, which cannot be read as rows.
    pub fn is_statement_data(self) -> bool {
        matches!(self.0, 5 | 6 | 8..=14 | 17 | 18)
    }

    /// Never carries a change, nor begins or ends a transaction.
    pub(super) fn carries_no_data(self) -> bool {
        matches!(
            self,
            EventType::IGNORABLE
                | EventType::ROWS_QUERY
                | EventType::TRANSACTION_CONTEXT
                | EventType::VIEW_CHANGE
                | EventType::ANNOTATE_ROWS
                | EventType::BINLOG_CHECKPOINT
                | EventType::START_ENCRYPTION
        )
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "type {}", self.0),
        }
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
