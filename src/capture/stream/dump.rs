//! What is said to the server before and at a binlog dump: session variables, registration, the request.

use std::time::Duration;

use super::connection::Connection;
use super::error::StreamError;
use crate::binlog::event::{Dialect, server_version};
use crate::binlog::gtid::{GtidSet, MariadbPosition};

const COM_BINLOG_DUMP: u8 = 0x12;
const COM_REGISTER_SLAVE: u8 = 0x15;
const COM_BINLOG_DUMP_GTID: u8 = 0x1E;

/// `BINLOG_SEND_ANNOTATE_ROWS_EVENT` of MariaDB.
const SEND_ANNOTATE_ROWS: u16 = 0x02;
/// `USE_HEARTBEAT_EVENT_V2` of MySQL 8.0.26 and later: heartbeats whose position has 64 bits.
const USE_HEARTBEAT_V2: u16 = 0x02;
/// `BINLOG_THROUGH_GTID`: the request carries a GTID set.
const THROUGH_GTID: u16 = 0x04;
/// The first event of every file begins here, after the magic number.
pub(super) const FILE_START: u64 = 4;

/// Where a dump begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DumpFrom {
    /// MySQL: everything that is not in this set.
    MySqlGtid(GtidSet),
    /// MariaDB: everything after these GTIDs, one per domain; empty for the beginning.
    MariaDbGtid(MariadbPosition),
    /// The event at this offset of this file, and everything after it.
    File {
        /// Name of the binlog file.
        file: String,
        /// Offset of an event, from 4.
        position: u64,
    },
}

/// How the dump introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpOptions {
    /// Server id of this reader; unique among all that read from, or are, the source.
    pub server_id: u32,
    /// How often an idle server says that it is alive.
    pub heartbeat: Duration,
    /// Patience until the first event that is not part of the preamble: a server may search its files for long.
    pub first_event_patience: Duration,
    /// Patience from then on; several heartbeats.
    pub steady_patience: Duration,
}

impl DumpOptions {
    /// The settings of production: heartbeat 10 s, patience 10 min before the first event, 30 s after it.
    pub fn new(server_id: u32) -> Self {
        Self {
            server_id,
            heartbeat: Duration::from_secs(10),
            first_event_patience: Duration::from_secs(600),
            steady_patience: Duration::from_secs(30),
        }
    }

    /// The uuid we give to the server, derived from the server id alone: two readers with one server id are then
    /// one replica to the server, which ends the older one and says so, where it would serve both in silence.
    pub fn replica_uuid(&self) -> String {
        format!("72656c61-7900-4000-8000-0000{:08x}", self.server_id)
    }
}

/// Sets the session up and registers, so that `SHOW REPLICAS` lists us. Answers whether events carry a CRC32 at
/// the time of the connection, which holds for the first artificial rotate event.
pub(super) async fn prepare(
    connection: &mut Connection,
    from: &DumpFrom,
    options: &DumpOptions,
) -> Result<bool, StreamError> {
    // Both names of each variable: servers read one or the other and ignore the rest. User variables need no right.
    let heartbeat = options.heartbeat.as_nanos();
    let uuid = options.replica_uuid();
    let mut variables = format!(
        "SET @master_binlog_checksum = @@global.binlog_checksum, @source_binlog_checksum = @@global.binlog_checksum, \
         @master_heartbeat_period = {heartbeat}, @source_heartbeat_period = {heartbeat}, \
         @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'"
    );
    if server_version(connection.version()).0 == Dialect::MariaDB {
        // Capability 4: real GTID events in place of dummies. Strict: a hole at the requested GTID is an error.
        variables.push_str(
            ", @mariadb_slave_capability = 4, @slave_gtid_strict_mode = 1, @slave_gtid_ignore_duplicates = 0",
        );
        if let DumpFrom::MariaDbGtid(gtids) = from {
            let literal = super::text_literal(&gtids.to_string());
            variables.push_str(&format!(", @slave_connect_state = {literal}"));
        }
    }
    connection.execute(&variables).await?;
    // While our disk is full nothing is read; the server should not give up after its 60 s.
    connection.execute("SET SESSION net_write_timeout = 3600").await?;
    let checksum = connection.query("SELECT @master_binlog_checksum").await?;
    let checksum = checksum.first().and_then(|row| row.at(0)).is_some_and(|name| name.eq_ignore_ascii_case("CRC32"));
    connection.command("COM_REGISTER_SLAVE", &register_request(options.server_id)).await?;
    Ok(checksum)
}

fn register_request(server_id: u32) -> Vec<u8> {
    let host = b"relay";
    let mut request = vec![COM_REGISTER_SLAVE];
    request.extend_from_slice(&server_id.to_le_bytes());
    request.push(host.len() as u8);
    request.extend_from_slice(host);
    request.extend_from_slice(&[0, 0]); // user, password: never told
    request.extend_from_slice(&[0; 10]); // port, rank, source id: unused
    request
}

/// The dump request. A file position beyond 32 bits asks for the file's start; the stream then leaves out what
/// lies before the position.
pub(super) fn request(version: &str, from: &DumpFrom, options: &DumpOptions) -> Vec<u8> {
    let flags = match server_version(version) {
        (Dialect::MariaDB, _) => SEND_ANNOTATE_ROWS,
        (Dialect::MySql, version) if version >= (8, 0, 26) => USE_HEARTBEAT_V2,
        (Dialect::MySql, _) => 0,
    };
    match from {
        DumpFrom::MySqlGtid(set) => {
            let mut request = vec![COM_BINLOG_DUMP_GTID];
            request.extend_from_slice(&(flags | THROUGH_GTID).to_le_bytes());
            request.extend_from_slice(&options.server_id.to_le_bytes());
            request.extend_from_slice(&0_u32.to_le_bytes()); // no file name
            request.extend_from_slice(&FILE_START.to_le_bytes());
            let mut encoded = Vec::new();
            set.encode(&mut encoded);
            let length = u32::try_from(encoded.len()).expect("a GTID set is far below 4 GiB");
            request.extend_from_slice(&length.to_le_bytes());
            request.extend_from_slice(&encoded);
            request
        }
        DumpFrom::MariaDbGtid(_) => plain_request(flags, options.server_id, "", FILE_START as u32),
        DumpFrom::File { file, position } => {
            let position = u32::try_from(*position).unwrap_or(FILE_START as u32);
            plain_request(flags, options.server_id, file, position)
        }
    }
}

fn plain_request(flags: u16, server_id: u32, file: &str, position: u32) -> Vec<u8> {
    let mut request = vec![COM_BINLOG_DUMP];
    request.extend_from_slice(&position.to_le_bytes());
    request.extend_from_slice(&flags.to_le_bytes());
    request.extend_from_slice(&server_id.to_le_bytes());
    request.extend_from_slice(file.as_bytes());
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_documented_bytes() {
        let options = DumpOptions::new(0x01020304);
        let file = DumpFrom::File { file: "bin.000002".into(), position: 0x1234 };
        assert_eq!(request("5.6.24-log", &file, &options), b"\x12\x34\x12\0\0\0\0\x04\x03\x02\x01bin.000002");
        assert_eq!(request("10.11.6-MariaDB", &file, &options)[5..7], [2, 0]);
        assert_eq!(request("9.7.4", &file, &options)[5..7], [2, 0]);
        assert_eq!(request("8.0.25", &file, &options)[5..7], [0, 0]);
        let gtid = request("9.7.4", &DumpFrom::MySqlGtid(GtidSet::new()), &options);
        assert_eq!(gtid, b"\x1e\x06\0\x04\x03\x02\x01\0\0\0\0\x04\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn a_position_beyond_32_bits_asks_for_the_files_start() {
        let far = DumpFrom::File { file: "b.1".into(), position: (1 << 32) + 4 };
        assert_eq!(request("5.6.24", &far, &DumpOptions::new(1))[1..5], [4, 0, 0, 0]);
    }

    #[test]
    fn one_server_id_is_one_replica_to_the_server() {
        assert_eq!(DumpOptions::new(77001).replica_uuid(), "72656c61-7900-4000-8000-000000012cc9");
    }
}
