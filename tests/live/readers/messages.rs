//! Messages about the golden row, as our writers make them.

use std::sync::Arc;

use jiff::tz::TimeZone;
use relay::binlog::RowsEvent;
use relay::binlog::event::{Checksum, Dialect, Event, FormatDescription};
use relay::change::plan::{Planner, TablePlan};
use relay::change::schema::TableName;
use relay::change::{DdlChange, EventPlace, Op, RowChange, RowsChange, TxInfo};
use relay::format::TxPlace;
use relay::format::canal_json::{CanalJson, CanalOptions, DdlTarget, SnapshotType};
use relay::format::debezium_json::{DebeziumJson, DebeziumOptions, DecimalForm, TableCount};
use relay::format::maxwell_json::{MaxwellJson, MaxwellOptions};
use relay::format::text::BinaryForm;
use relay_store::Seq;

use super::columns::{CASES, UTF8MB4, document};
use crate::binlog_rows::*;

const NOW_MS: u64 = 1_767_225_930_120;

/// A format with the settings that Flink wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Canal,
    /// With a word of their own for rows of the initial copy.
    CanalInit,
    Debezium {
        schema: bool,
    },
    Maxwell,
}

/// What happens to the golden row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Insert,
    /// A row of the initial copy.
    Snapshot,
    /// From its first state to its second.
    Update,
    /// Of its second state.
    Delete,
    /// Its note from NULL to what it is in the first state, nothing else.
    FromNull,
}

/// Writes messages about the golden row.
pub struct Golden {
    format: Format,
    tx: TxInfo,
    place: EventPlace,
}

impl Golden {
    pub fn new(format: Format) -> Self {
        let tx = TxInfo {
            gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23".into(),
            file: "binlog.000017".into(),
            server_version: "9.7.4".into(),
            ..TxInfo::default()
        };
        Self { format, tx, place: EventPlace { timestamp: 1_767_225_930, server_id: 7, position: 4_700 } }
    }

    pub fn message(&self, change: Change) -> String {
        let (columns, was, now) = golden();
        let (kind, images) = match change {
            Change::Insert | Change::Snapshot => (30, vec![image(&was)]),
            Change::Update => (31, vec![image(&was), image(&now)]),
            Change::Delete => (32, vec![image(&now)]),
            Change::FromNull => {
                let mut empty = was.clone();
                empty.pop();
                empty.push(None);
                (31, vec![image(&empty), image(&was)])
            }
        };
        let mut message = String::new();
        self.each(kind, &columns, &images, change == Change::Snapshot, |rows, row| message = self.write(rows, row));
        message
    }

    /// The halves of an update that changes the key.
    pub fn key_change(&self) -> (String, String) {
        let (columns, was, mut now) = golden();
        now[0] = le(1002, 8);
        let mut halves = (String::new(), String::new());
        self.each(31, &columns, &[image(&was), image(&now)], false, |rows, row| {
            let gone = RowsChange { op: Op::Delete, ..*rows };
            halves.0 = self.write(&gone, &RowChange { after: None, ..*row });
            halves.1 = self.write(&RowsChange { op: Op::Insert, ..*rows }, row);
        });
        halves
    }

    /// An update of a document with the members `a` and `b`, in a table whose column `a` does not change.
    pub fn document_change(&self) -> String {
        let columns = [int("id", 8, false).key(), varchar("a", 8, UTF8MB4, 4), col("doc", 245, &[4])];
        let row = |number| image(&[le(1, 8), text("same"), document(number)]);
        let mut message = String::new();
        self.each(31, &columns, &[row(1), row(2)], false, |rows, row| message = self.write(rows, row));
        message
    }

    /// Canal's messages, of at most so many rows, about two updates of one event: the first row's `a` changes, the
    /// second's `b`.
    pub fn two_updates(&self, rows_per_message: usize) -> Vec<Option<String>> {
        let columns = [int("id", 8, false).key(), varchar("a", 8, UTF8MB4, 4), varchar("b", 8, UTF8MB4, 4)];
        let row = |id, a, b| image(&[le(id, 8), text(a), text(b)]);
        let images = [row(1, "old", "same"), row(1, "new", "same"), row(2, "same", "old"), row(2, "same", "new")];
        let mut messages = Vec::new();
        self.rows(31, &columns, &images, false, |rows| {
            let changes: Vec<_> = rows.rows().map(|row| row.expect("a row")).collect();
            for packed in changes.chunks(rows_per_message) {
                let mut out = Vec::new();
                self.canal().write(rows, packed, NOW_MS, &mut out).expect("the rows are written");
                messages.push(Some(String::from_utf8(out).expect("UTF-8")));
            }
        });
        messages
    }

    fn each(
        &self,
        kind: u8,
        columns: &[Col],
        images: &[Image],
        snapshot: bool,
        mut visit: impl FnMut(&RowsChange<'_>, &RowChange<'_>),
    ) {
        self.rows(kind, columns, images, snapshot, |rows| {
            for row in rows.rows() {
                visit(rows, &row.expect("a row"));
            }
        });
    }

    fn rows(&self, kind: u8, columns: &[Col], images: &[Image], snapshot: bool, visit: impl FnOnce(&RowsChange<'_>)) {
        let description = FormatDescription {
            server_version: "9.7.4".into(),
            created: 0,
            post_header_lengths: Vec::new(),
            checksum: Checksum::None,
            dialect: Dialect::MySql,
        };
        let map = table_map(9, "shop", "orders", columns, true);
        let map = Event::parse(&map, Checksum::None).expect("an event");
        let plan: Arc<TablePlan> = Planner::new().plan(&map, &description, None).expect("a table map").expect("a plan");
        let event = rows(kind, 9, columns, images, self.place.timestamp);
        let event = Event::parse(&event, Checksum::None).expect("an event");
        let op = match kind {
            30 => Op::Insert,
            31 => Op::Update,
            _ => Op::Delete,
        };
        let event = RowsEvent::parse(&event, &description).expect("a rows event");
        visit(&RowsChange { seq: Seq(11), op, plan: &plan, tx: &self.tx, place: self.place, snapshot, event });
    }

    fn write(&self, rows: &RowsChange<'_>, row: &RowChange<'_>) -> String {
        let mut out = Vec::new();
        let place = TxPlace { row: 1, table_row: 1, size: Some(1), last: true };
        let written = match self.format {
            Format::Canal | Format::CanalInit => self.canal().write(rows, std::slice::from_ref(row), NOW_MS, &mut out),
            Format::Debezium { .. } => self.debezium().write(rows, row, &place, NOW_MS, &mut out),
            Format::Maxwell => self.maxwell().write(rows, row, &place, NOW_MS, &mut out),
        };
        written.expect("the row is written");
        String::from_utf8(out).expect("UTF-8")
    }

    /// A message about a statement of Canal's kind.
    pub fn statement(&self, kind: &str) -> String {
        let ddl = DdlChange {
            seq: Seq(12),
            sql: "ALTER TABLE orders ADD x int".into(),
            database: "shop".into(),
            sql_mode: None,
            tx: &self.tx,
            place: self.place,
        };
        let target = DdlTarget { database: "shop", table: "orders", kind };
        let mut out = Vec::new();
        match self.format {
            Format::Canal | Format::CanalInit => self.canal().write_ddl(&ddl, target, NOW_MS, &mut out),
            Format::Debezium { .. } => self.debezium().write_ddl(&ddl, target, NOW_MS, &mut out),
            Format::Maxwell => self.maxwell().write_ddl(&ddl, target, NOW_MS, &mut out),
        }
        String::from_utf8(out).expect("UTF-8")
    }

    /// Debezium's records of a transaction's beginning and end.
    pub fn transaction(&self) -> [String; 2] {
        let (mut begin, mut end) = (Vec::new(), Vec::new());
        let table = TableName::new("shop", "orders");
        self.debezium().write_begin(&self.tx, self.place, &mut begin);
        let counts = [TableCount { table: &table, rows: 1 }];
        self.debezium().write_end(&self.tx, self.place, counts.into_iter(), &mut end);
        [begin, end].map(|bytes| String::from_utf8(bytes).expect("UTF-8"))
    }

    fn canal(&self) -> CanalJson {
        let canal_snapshot_type =
            if self.format == Format::CanalInit { SnapshotType::Init } else { SnapshotType::Insert };
        let options = CanalOptions { canal_binary: BinaryForm::Base64, canal_snapshot_type, ..CanalOptions::default() };
        CanalJson::new(&options, TimeZone::UTC)
    }

    fn debezium(&self) -> DebeziumJson {
        let schema = self.format == Format::Debezium { schema: true };
        let options = DebeziumOptions { schema, decimal: DecimalForm::String, ..DebeziumOptions::default() };
        DebeziumJson::new(&options, "shop-to-kafka")
    }

    fn maxwell(&self) -> MaxwellJson {
        MaxwellJson::new(&MaxwellOptions::default(), TimeZone::UTC)
    }
}

/// Columns and values of the golden row's two states.
fn golden() -> (Vec<Col>, Vec<Bytes>, Vec<Bytes>) {
    CASES.with(|cases| {
        (
            cases.iter().map(|case| case.column.clone()).collect(),
            cases.iter().map(|case| case.was.clone()).collect(),
            cases.iter().map(|case| case.now.clone()).collect(),
        )
    })
}
