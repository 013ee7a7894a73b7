//! The `source` of a record: which server, where in its binlog, when.

use crate::change::{EventPlace, TxInfo};
use crate::format::json::{write_number, write_string};

/// Which of Debezium's connectors would have written the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Connector {
    MySql,
    MariaDb,
}

impl Connector {
    /// By what the server says of itself.
    pub(super) fn of(tx: &TxInfo) -> Self {
        let is_mariadb = tx.server_version.as_bytes().windows(7).any(|word| word.eq_ignore_ascii_case(b"mariadb"));
        if is_mariadb { Self::MariaDb } else { Self::MySql }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
        }
    }
}

/// What a `source` says.
pub(super) struct Source<'s> {
    pub(super) connector: Connector,
    /// `server_name`, as a JSON string.
    pub(super) server: &'s [u8],
    /// Schema, as a JSON string.
    pub(super) database: &'s [u8],
    /// Table, as a JSON string; none for a statement without one.
    pub(super) table: Option<&'s [u8]>,
    pub(super) tx: &'s TxInfo,
    pub(super) place: EventPlace,
    pub(super) snapshot: bool,
    /// Place of the row in its event, from 0.
    pub(super) row: u32,
}

impl Source<'_> {
    /// When the change was made, microseconds since the epoch: its transaction's commit where the server tells, else
    /// the second in which its event was written.
    fn time_us(&self) -> u64 {
        match self.tx.commit_time_us {
            Some(time_us) if !self.snapshot => time_us,
            _ => seconds_to_us(self.place.timestamp),
        }
    }

    /// Appends the object. `pos` is where the event ends, as everywhere in this project; Debezium's is where it begins.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let time_us = self.time_us();
        out.extend_from_slice(concat!("{\"version\":\"", env!("CARGO_PKG_VERSION"), "\",\"connector\":\"").as_bytes());
        out.extend_from_slice(self.connector.name().as_bytes());
        out.extend_from_slice(b"\",\"name\":");
        out.extend_from_slice(self.server);
        out.extend_from_slice(b",\"ts_ms\":");
        write_number(time_us / 1000, out);
        out.extend_from_slice(if self.snapshot {
            b",\"snapshot\":\"true\",\"db\":"
        } else {
            b",\"snapshot\":\"false\",\"db\":"
        });
        out.extend_from_slice(self.database);
        out.extend_from_slice(b",\"sequence\":null,\"ts_us\":");
        write_number(time_us, out);
        out.extend_from_slice(b",\"ts_ns\":");
        write_number(time_us.saturating_mul(1000), out);
        out.extend_from_slice(b",\"table\":");
        out.extend_from_slice(self.table.unwrap_or(b"null"));
        out.extend_from_slice(b",\"server_id\":");
        write_number(self.place.server_id, out);
        out.extend_from_slice(b",\"gtid\":");
        if self.snapshot || self.tx.gtid.is_empty() {
            out.extend_from_slice(b"null");
        } else {
            write_string(&self.tx.gtid, out);
        }
        out.extend_from_slice(b",\"file\":");
        write_string(&self.tx.file, out);
        out.extend_from_slice(b",\"pos\":");
        write_number(self.place.position, out);
        out.extend_from_slice(b",\"row\":");
        write_number(self.row, out);
        out.extend_from_slice(b",\"thread\":");
        match self.tx.thread_id {
            Some(thread) if !self.snapshot => write_number(thread, out),
            _ => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"query\":null}");
    }
}

pub(super) fn seconds_to_us(seconds: u32) -> u64 {
    u64::from(seconds) * 1_000_000
}
