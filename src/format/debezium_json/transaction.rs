//! Transactions: the block in a row's record that says where it stands in its own, and the records of beginnings and
//! ends.

use super::{DebeziumJson, schema};
use crate::change::schema::TableName;
use crate::change::{EventPlace, TxInfo};
use crate::format::TxPlace;
use crate::format::json::{write_escaped, write_number};

/// How many rows of one table a transaction changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableCount<'a> {
    /// The table, by the name that rows have.
    pub table: &'a TableName,
    /// Records about rows of it.
    pub rows: u64,
}

impl DebeziumJson {
    /// Appends the key of the records about a transaction.
    pub fn write_transaction_key(&self, tx: &TxInfo, out: &mut Vec<u8>) {
        if self.options.schema {
            out.extend_from_slice(schema::TRANSACTION_KEY.as_bytes());
        }
        out.extend_from_slice(b"{\"id\":");
        write_id(tx, out);
        out.extend_from_slice(if self.options.schema { b"}}".as_slice() } else { b"}" });
    }

    /// Appends the record of a transaction's beginning; `place` is that of the event which begins it.
    pub fn write_begin(&self, tx: &TxInfo, place: EventPlace, out: &mut Vec<u8>) {
        self.open("BEGIN", tx, out);
        out.extend_from_slice(b",\"event_count\":null,\"data_collections\":null");
        self.close(place, out);
    }

    /// Appends the record of a transaction's end, after which rows of `tables` changed; `place` is that of the event
    /// which ends it.
    pub fn write_end<'c>(
        &self,
        tx: &TxInfo,
        place: EventPlace,
        tables: impl Iterator<Item = TableCount<'c>> + Clone,
        out: &mut Vec<u8>,
    ) {
        self.open("END", tx, out);
        out.extend_from_slice(b",\"event_count\":");
        write_number(tables.clone().map(|table| table.rows).sum::<u64>(), out);
        out.extend_from_slice(b",\"data_collections\":[");
        for (number, TableCount { table, rows }) in tables.enumerate() {
            out.extend_from_slice(if number == 0 {
                b"{\"data_collection\":\"".as_slice()
            } else {
                b",{\"data_collection\":\""
            });
            write_escaped(&table.database, out);
            out.push(b'.');
            write_escaped(&table.table, out);
            out.extend_from_slice(b"\",\"event_count\":");
            write_number(rows, out);
            out.push(b'}');
        }
        out.push(b']');
        self.close(place, out);
    }

    fn open(&self, status: &str, tx: &TxInfo, out: &mut Vec<u8>) {
        if self.options.schema {
            out.extend_from_slice(schema::TRANSACTION.as_bytes());
        }
        out.extend_from_slice(b"{\"status\":\"");
        out.extend_from_slice(status.as_bytes());
        out.extend_from_slice(b"\",\"id\":");
        write_id(tx, out);
    }

    fn close(&self, place: EventPlace, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"ts_ms\":");
        write_number(u64::from(place.timestamp) * 1000, out);
        out.extend_from_slice(if self.options.schema { b"}}".as_slice() } else { b"}" });
    }
}

/// Appends the block of a row's record.
pub(super) fn write_block(tx: &TxInfo, place: &TxPlace, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    write_id(tx, out);
    out.extend_from_slice(b",\"total_order\":");
    write_number(place.row, out);
    out.extend_from_slice(b",\"data_collection_order\":");
    write_number(place.table_row, out);
    out.push(b'}');
}

/// A transaction's name: its GTID, else where it begins in the binlog, as Debezium writes both.
fn write_id(tx: &TxInfo, out: &mut Vec<u8>) {
    out.push(b'"');
    if tx.gtid.is_empty() {
        out.extend_from_slice(b"file=");
        write_escaped(&tx.file, out);
        out.extend_from_slice(b",pos=");
        write_number(tx.start, out);
    } else {
        write_escaped(&tx.gtid, out);
    }
    out.push(b'"');
}
