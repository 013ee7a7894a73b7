//! What is known of the source: the server, its binlogs, its tables. Plain data, so that the decisions made from it
//! (where to resume, what the precheck says) need no server.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::binlog::event::{Dialect, server_version};
use crate::binlog::gtid::{GtidSet, MariadbPosition};
use crate::log::{SourcePosition, TableDefinition};

/// One binlog file as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinlogFile {
    /// Its name.
    pub name: String,
    /// Its size in bytes; grows for the last one.
    pub size: u64,
    /// Header time of its format description, seconds; read for a few files only.
    pub created: Option<u32>,
}

/// Stem and number of a binlog file name; none when it does not end in `.` and digits.
pub fn file_number(name: &str) -> Option<(&str, u64)> {
    let (stem, number) = name.rsplit_once('.')?;
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| number.parse().ok().map(|number| (stem, number))).flatten()
}

/// Which of two files of one server is older. Numbers outgrow their six digits, so text order is wrong
/// (`.999999`, then `.1000000`). None for files of different series.
pub fn compare_files(a: &str, b: &str) -> Option<Ordering> {
    let ((stem_a, a), (stem_b, b)) = (file_number(a)?, file_number(b)?);
    (stem_a == stem_b).then(|| a.cmp(&b))
}

/// GTIDs of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerGtids {
    /// It has none to resume by: older than 5.6, or `gtid_mode` is not ON.
    Off,
    /// MySQL with `gtid_mode=ON`.
    MySql {
        /// `@@gtid_executed`.
        executed: GtidSet,
        /// `@@gtid_purged`: executed, but in no binlog any more.
        purged: GtidSet,
    },
    /// MariaDB.
    MariaDb {
        /// `@@gtid_binlog_pos`: the newest GTID of each domain in the binlog.
        newest: MariadbPosition,
        /// The position at the start of the oldest binlog; none when the server does not tell.
        oldest: Option<MariadbPosition>,
    },
}

/// A replica that is registered with the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its server id.
    pub server_id: u32,
    /// Its uuid, where the server lists it.
    pub uuid: Option<String>,
}

/// What the server replicates itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replication {
    /// Whether its applier runs.
    pub running: bool,
}

/// The end of the binlog at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceEnd {
    /// Name of the last file.
    pub file: String,
    /// Its end.
    pub position: u64,
    /// What the server has executed by then.
    pub gtids: SourcePosition,
}

/// One server at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Host and port.
    pub address: String,
    /// `@@version`.
    pub version: String,
    /// MySQL's or MariaDB's.
    pub dialect: Dialect,
    /// What tells this server from others: `@@server_uuid`, on MariaDB the server id.
    pub identity: String,
    /// `@@server_id`.
    pub server_id: u32,
    /// GTIDs, as far as they can be resumed by.
    pub gtids: ServerGtids,
    /// Global variables by lower-case name; a server lacks those it does not know.
    pub variables: BTreeMap<String, String>,
    /// Binlog files, oldest first; empty when it writes none or does not let us see.
    pub binlogs: Vec<BinlogFile>,
    /// Where its binlog ends; none when it writes none.
    pub end: Option<SourceEnd>,
    /// Replicas registered with it; none when we may not see them.
    pub replicas: Option<Vec<Replica>>,
    /// What it replicates itself; none when nothing, or when we may not see it.
    pub replication: Option<Replication>,
    /// `SHOW GRANTS` of our account.
    pub grants: Vec<String>,
    /// Its clock minus ours, in milliseconds, to within the time a question takes.
    pub clock_ahead_ms: i64,
    /// Its local time minus UTC now, in seconds.
    pub utc_offset_seconds: i32,
}

impl ServerFacts {
    /// A global variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Whether a global variable is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|v| v == "1" || v.eq_ignore_ascii_case("on"))
    }

    /// The version as numbers.
    pub fn version_numbers(&self) -> (u32, u32, u32) {
        server_version(&self.version).1
    }

    /// The file of that name, if the server lists it.
    pub fn binlog(&self, name: &str) -> Option<&BinlogFile> {
        self.binlogs.iter().find(|file| file.name == name)
    }

    /// The zone of the server's local time, and whether that is certain. `SYSTEM` is often no more than an abbreviation
    /// such as CST, which several zones share: then it is the offset that holds now.
    pub fn time_zone(&self) -> (TimeZone, bool) {
        let name = match self.variable("time_zone") {
            None | Some("SYSTEM") => self.variable("system_time_zone").unwrap_or_default(),
            Some(name) => name,
        };
        let by_offset =
            || jiff::fmt::strtime::parse("%:z", name).ok().and_then(|parsed| parsed.offset()).map(TimeZone::fixed);
        if let Some(zone) = by_offset() {
            return (zone, true);
        }
        if matches!(name, "UTC" | "GMT" | "Universal" | "Z") {
            return (TimeZone::UTC, true);
        }
        // Only names with a place in them: the others in the database are abbreviations.
        match TimeZone::get(name).ok().filter(|_| name.contains('/')) {
            Some(zone) => (zone, true),
            None => {
                let offset = jiff::tz::Offset::from_seconds(self.utc_offset_seconds).unwrap_or(jiff::tz::Offset::UTC);
                (TimeZone::fixed(offset), false)
            }
        }
    }

    /// For how long binlogs are kept, in seconds; none: for ever.
    pub fn binlog_retention_seconds(&self) -> Option<u64> {
        let number = |name| self.variable(name).and_then(|v| v.parse::<f64>().ok()).filter(|v| *v > 0.0);
        if self.variable("binlog_expire_logs_auto_purge").is_some_and(|v| v.eq_ignore_ascii_case("off")) {
            return None;
        }
        number("binlog_expire_logs_seconds")
            .or_else(|| number("expire_logs_days").map(|days| days * 86_400.0))
            .map(|seconds| seconds as u64)
    }
}

/// A foreign key of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its name.
    pub name: String,
    /// Schema and name of the parent table.
    pub parent: (String, String),
    /// `ON UPDATE`, as the server prints it.
    pub on_update: String,
    /// `ON DELETE`, as the server prints it.
    pub on_delete: String,
}

/// A table as information_schema shows it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFacts {
    /// Columns and keys; its version id is 0 until the history gives it one.
    pub definition: TableDefinition,
    /// Storage engine.
    pub engine: Option<String>,
    /// Foreign keys that it holds.
    pub foreign_keys: Vec<ForeignKey>,
    /// Generated columns that are computed when they are read, by name.
    pub virtual_columns: Vec<String>,
    /// What its rows take on average, in bytes, as the server estimates it; none where nobody asked, or it does not know.
    pub average_row_bytes: Option<u64>,
}

#[cfg(test)]
impl ServerFacts {
    /// A MySQL server with everything as the relay wants it, for tests to spoil.
    pub fn example() -> Self {
        let on = ["log_bin", "log_replica_updates", "gtid_mode", "binlog_expire_logs_auto_purge"];
        let set = [
            ("binlog_format", "ROW"),
            ("binlog_row_image", "FULL"),
            ("binlog_row_metadata", "FULL"),
            ("binlog_row_value_options", ""),
            ("binlog_checksum", "CRC32"),
            ("binlog_expire_logs_seconds", "2592000"),
            ("time_zone", "SYSTEM"),
            ("system_time_zone", "UTC"),
        ];
        let variables = on.iter().map(|name| (*name, "ON")).chain(set);
        let identity = "3e11fa47-71ca-11e1-9e33-c80aa9429562".to_owned();
        let executed: GtidSet = format!("{identity}:1-100").parse().expect("a set");
        let gtids = SourcePosition::MySqlGtid(executed.to_string());
        Self {
            address: "db1:3306".into(),
            version: "9.7.4".into(),
            dialect: Dialect::MySql,
            identity,
            server_id: 10,
            gtids: ServerGtids::MySql { executed, purged: GtidSet::new() },
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            binlogs: vec![BinlogFile { name: "bin.000001".into(), size: 900, created: None }],
            end: Some(SourceEnd { file: "bin.000001".into(), position: 900, gtids }),
            replicas: Some(Vec::new()),
            replication: None,
            grants: vec!["GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `relay`@`%`".into()],
            clock_ahead_ms: 0,
            utc_offset_seconds: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_sort_by_number_past_six_digits() {
        assert_eq!(compare_files("bin.999999", "bin.1000000"), Some(Ordering::Less));
        assert_eq!(compare_files("bin.000002", "bin.000002"), Some(Ordering::Equal));
        assert_eq!(compare_files("a.b.000010", "a.b.000009"), Some(Ordering::Greater));
        assert_eq!(compare_files("bin.000001", "other.000001"), None);
        assert_eq!(compare_files("bin.000001", "bin.00000x"), None);
        assert_eq!(compare_files("bin.99999999999999999999999", "bin.000001"), None);
    }

    #[test]
    fn a_zone_is_certain_when_it_is_an_offset_or_a_place() {
        let zone = |time_zone: &str, system: &str| {
            let mut facts = ServerFacts::example();
            facts.variables.insert("time_zone".into(), time_zone.into());
            facts.variables.insert("system_time_zone".into(), system.into());
            facts.utc_offset_seconds = 8 * 3600;
            let (zone, certain) = facts.time_zone();
            (zone.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds(), certain)
        };
        assert_eq!(zone("+05:30", "UTC"), (5 * 3600 + 1800, true));
        assert_eq!(zone("-01:00", "UTC"), (-3600, true));
        assert_eq!(zone("SYSTEM", "UTC"), (0, true));
        assert_eq!(zone("Asia/Tokyo", "UTC"), (9 * 3600, true));
        assert_eq!(zone("SYSTEM", "CST"), (8 * 3600, false));
        assert_eq!(zone("SYSTEM", "EST"), (8 * 3600, false), "an abbreviation, though the database has it");
    }
}
