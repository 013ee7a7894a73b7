//! Questions to the source over an ordinary connection: what server it is, where its binlog ends, what it looks
//! like. It asks and reports; what follows from the answers is decided elsewhere ([`super::position`], the precheck).

mod foreign_keys;
mod resume;
mod row_sizes;
mod tables;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::facts::{BinlogFile, Replica, Replication, ServerFacts, ServerGtids, SourceEnd};
use super::stream::{ConnectOptions, Connection, DumpFrom, DumpOptions, RowSet, StreamError, text_literal};
use crate::binlog::event::{Dialect, server_version};
use crate::log::SourcePosition;

pub use resume::ResumeError;
pub use tables::SchemaReading;

/// The variables that anyone here asks for; a server answers for those it has.
const VARIABLES: &[&str] = &[
    "binlog_checksum",
    "binlog_encryption",
    "binlog_expire_logs_auto_purge",
    "binlog_expire_logs_seconds",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "binlog_transaction_compression",
    "encdb",
    "encrypt_binlog",
    "expire_logs_days",
    "gtid_mode",
    "innodb_read_only",
    "log_bin",
    "log_bin_compress",
    "log_replica_updates",
    "log_slave_updates",
    "loose_encdb",
    "loose_polar_log_bin",
    "lower_case_table_names",
    "polar_log_bin",
    "read_only",
    "super_read_only",
    "system_time_zone",
    "time_zone",
    "version_comment",
];

/// A connection that asks. One at a time, in order.
#[derive(Debug)]
pub struct Session {
    connection: Connection,
    dialect: Dialect,
    version: (u32, u32, u32),
}

impl Session {
    /// Connects and logs in.
    ///
    /// # Errors
    /// As [`Connection::connect`].
    pub async fn connect(options: &ConnectOptions) -> Result<Self, StreamError> {
        let connection = Connection::connect(options).await?;
        let (dialect, version) = server_version(connection.version());
        Ok(Self { connection, dialect, version })
    }

    /// MySQL's or MariaDB's.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The connection itself, for statements that are nobody else's.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Everything that is known of the server, at this moment.
    ///
    /// # Errors
    /// A broken connection. What we may not see is absent from the answer.
    pub async fn facts(&mut self) -> Result<ServerFacts, StreamError> {
        let list: Vec<String> = VARIABLES.iter().map(|name| format!("'{name}'")).collect();
        let sql = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})", list.join(", "));
        let variables: BTreeMap<String, String> = self
            .connection
            .query(&sql)
            .await?
            .iter()
            .filter_map(|row| Some((row.at(0)?.to_ascii_lowercase(), row.at(1)?.to_owned())))
            .collect();
        let server_id = self.value("SELECT @@server_id").await?.and_then(|v| v.parse().ok()).unwrap_or(0);
        let identity = match self.dialect {
            Dialect::MariaDB => server_id.to_string(),
            Dialect::MySql => self.value("SELECT @@server_uuid").await?.unwrap_or_default(),
        };
        let binlogs = self.binlogs().await?;
        let gtids = self.gtids(&variables, binlogs.first()).await?;
        Ok(ServerFacts {
            address: self.connection.address().to_owned(),
            version: self.connection.version().to_owned(),
            dialect: self.dialect,
            identity,
            server_id,
            gtids,
            end: self.end().await?,
            binlogs,
            replicas: self.replicas().await?,
            replication: self.replication().await?,
            grants: self.grants().await?,
            clock_ahead_ms: self.clock_ahead_ms().await?,
            utc_offset_seconds: self
                .value("SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW())")
                .await?
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or(0),
            variables,
        })
    }

    /// Where the binlog ends; none when the server writes none or does not let us see.
    ///
    /// # Errors
    /// A broken connection, or GTIDs that do not read.
    pub async fn end(&mut self) -> Result<Option<SourceEnd>, StreamError> {
        let statement = match self.dialect {
            Dialect::MySql if self.version >= (8, 2, 0) => "SHOW BINARY LOG STATUS",
            _ => "SHOW MASTER STATUS",
        };
        let Some(rows) = self.optional(statement).await? else { return Ok(None) };
        let Some(row) = rows.first() else { return Ok(None) };
        let (Some(file), Some(position)) = (row.get("File"), row.get("Position")) else { return Ok(None) };
        let position = position.parse().map_err(|_| StreamError::Protocol("a position that is no number"))?;
        let gtids = match self.dialect {
            Dialect::MariaDB => {
                SourcePosition::MariaDbGtid(self.value("SELECT @@GLOBAL.gtid_binlog_pos").await?.unwrap_or_default())
            }
            Dialect::MySql => match row.get("Executed_Gtid_Set") {
                Some(set) if self.gtid_mode_is_on().await? => SourcePosition::MySqlGtid(set.replace('\n', "")),
                _ => SourcePosition::FileOnly,
            },
        };
        Ok(Some(SourceEnd { file: file.to_owned(), position, gtids }))
    }

    /// The server's clock minus ours, in milliseconds.
    ///
    /// # Errors
    /// A broken connection.
    pub async fn clock_ahead_ms(&mut self) -> Result<i64, StreamError> {
        // Read in UTC, because local time is ambiguous for an hour a year.
        let before = now_us();
        let theirs = self.value("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))").await?;
        let ours = before.midpoint(now_us());
        let theirs: i64 = theirs.and_then(|v| v.parse().ok()).ok_or(StreamError::Protocol("no time"))?;
        Ok((theirs - ours) / 1000)
    }

    /// GTIDs at the start of a file's position, as MariaDB computes it; none where it cannot.
    ///
    /// # Errors
    /// A broken connection.
    pub async fn mariadb_gtids_at(&mut self, file: &str, position: u64) -> Result<Option<String>, StreamError> {
        self.value(&format!("SELECT BINLOG_GTID_POS({}, {position})", text_literal(file))).await
    }

    async fn gtid_mode_is_on(&mut self) -> Result<bool, StreamError> {
        Ok(self.value("SELECT @@GLOBAL.gtid_mode").await?.is_some_and(|mode| mode.eq_ignore_ascii_case("on")))
    }

    async fn gtids(
        &mut self,
        variables: &BTreeMap<String, String>,
        first: Option<&BinlogFile>,
    ) -> Result<ServerGtids, StreamError> {
        const UNREADABLE: StreamError = StreamError::Protocol("GTIDs that do not read");
        match self.dialect {
            Dialect::MySql => {
                if !variables.get("gtid_mode").is_some_and(|mode| mode.eq_ignore_ascii_case("on")) {
                    return Ok(ServerGtids::Off);
                }
                // SHOW VARIABLES cuts long values, so these are selected. Purged first: what is purged between the
                // two questions is then missing from `purged`, and the server itself refuses, never the reverse.
                let purged = self.value("SELECT @@GLOBAL.gtid_purged").await?.unwrap_or_default();
                let executed = self.value("SELECT @@GLOBAL.gtid_executed").await?.unwrap_or_default();
                Ok(ServerGtids::MySql {
                    executed: executed.parse().map_err(|_| UNREADABLE)?,
                    purged: purged.parse().map_err(|_| UNREADABLE)?,
                })
            }
            Dialect::MariaDB => {
                let oldest = match first {
                    Some(first) => self.mariadb_gtids_at(&first.name, 4).await?,
                    None => None,
                };
                let newest = self.value("SELECT @@GLOBAL.gtid_binlog_pos").await?.unwrap_or_default();
                Ok(ServerGtids::MariaDb {
                    newest: newest.parse().map_err(|_| UNREADABLE)?,
                    oldest: oldest.map(|text| text.parse().map_err(|_| UNREADABLE)).transpose()?,
                })
            }
        }
    }

    async fn binlogs(&mut self) -> Result<Vec<BinlogFile>, StreamError> {
        let Some(rows) = self.optional("SHOW BINARY LOGS").await? else { return Ok(Vec::new()) };
        let file = |row: super::stream::Row<'_>| {
            let size = row.get("File_size")?.parse().ok()?;
            Some(BinlogFile { name: row.get("Log_name")?.to_owned(), size, created: None })
        };
        Ok(rows.iter().filter_map(file).collect())
    }

    /// Replicas registered with the server; none when it does not let us see them.
    ///
    /// # Errors
    /// A broken connection.
    pub async fn replicas(&mut self) -> Result<Option<Vec<Replica>>, StreamError> {
        let statement = match self.dialect {
            Dialect::MySql if self.version >= (8, 0, 22) => "SHOW REPLICAS",
            _ => "SHOW SLAVE HOSTS",
        };
        let Some(rows) = self.optional(statement).await? else { return Ok(None) };
        let replica = |row: super::stream::Row<'_>| {
            let uuid = row.get("Replica_UUID").or(row.get("Slave_UUID")).map(str::to_owned);
            Some(Replica { server_id: row.get("Server_id")?.parse().ok()?, uuid })
        };
        Ok(Some(rows.iter().filter_map(replica).collect()))
    }

    async fn replication(&mut self) -> Result<Option<Replication>, StreamError> {
        let statement = match self.dialect {
            Dialect::MySql if self.version >= (8, 0, 22) => "SHOW REPLICA STATUS",
            _ => "SHOW SLAVE STATUS",
        };
        let Some(rows) = self.optional(statement).await? else { return Ok(None) };
        let running = |row: super::stream::Row<'_>| {
            row.get("Replica_SQL_Running")
                .or(row.get("Slave_SQL_Running"))
                .is_some_and(|v| v.eq_ignore_ascii_case("yes"))
        };
        Ok((!rows.is_empty()).then(|| Replication { running: rows.iter().any(running) }))
    }

    async fn grants(&mut self) -> Result<Vec<String>, StreamError> {
        let rows = self.optional("SHOW GRANTS").await?.unwrap_or_default();
        Ok(rows.iter().filter_map(|row| row.at(0).map(str::to_owned)).collect())
    }

    /// First column of the first row; none for NULL, for no row, and for what this server does not know.
    async fn value(&mut self, sql: &str) -> Result<Option<String>, StreamError> {
        let rows = self.optional(sql).await?;
        Ok(rows.as_ref().and_then(RowSet::first).and_then(|row| row.at(0)).map(str::to_owned))
    }

    /// Rows, or none when the server does not know the statement or does not allow it to us.
    async fn optional(&mut self, sql: &str) -> Result<Option<RowSet>, StreamError> {
        match self.connection.query(sql).await {
            Ok(rows) => Ok(Some(rows)),
            Err(StreamError::Statement { source, .. }) if source.is_missing_privilege() || source.is_unknown_here() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Header time of a file's format description, in seconds: with the server's identity it tells the file from a later
/// one of the same name. Opens a dump of its own and closes it, which ends a dump that runs under the same server id.
///
/// # Errors
/// No such file, or a broken connection.
pub async fn file_created(options: &ConnectOptions, server_id: u32, file: &str) -> Result<u32, StreamError> {
    const FORMAT_DESCRIPTION: u8 = 15;
    let from = DumpFrom::File { file: file.to_owned(), position: 4 };
    let connection = Connection::connect(options).await?;
    let mut stream = connection.dump(&from, &DumpOptions::new(server_id)).await?;
    loop {
        let event = stream.next().await?.event;
        if event[4] == FORMAT_DESCRIPTION {
            return Ok(u32::from_le_bytes([event[0], event[1], event[2], event[3]]));
        }
    }
}

/// Fills in when files were created, as far as it takes to tell in which one the commits of a time are: afterwards
/// the last file that is older than `second` has its time, and so has the one after it. Files are created in order,
/// so few are asked for.
///
/// # Errors
/// As [`file_created`].
pub async fn fill_created_around(
    options: &ConnectOptions,
    server_id: u32,
    files: &mut [BinlogFile],
    second: i64,
) -> Result<(), StreamError> {
    let (mut low, mut high) = (0, files.len());
    while low < high {
        let middle = low.midpoint(high);
        let created = file_created(options, server_id, &files[middle].name).await?;
        files[middle].created = Some(created);
        if i64::from(created) < second {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(())
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
