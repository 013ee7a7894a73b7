//! Canal JSON: one compact object a message, keys in alphabetical order, every column value a string or null.
//!
//! What is the same for all rows of a table's shape is rendered once (`fragments`); a row then costs its values.

mod event_head;
mod fragments;
mod row;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::images::Comparison;
use super::json::write_string;
use super::tables::Tables;
use super::text::{BinaryForm, EnumForm, FormatError, OnBadText, Renderer, TextOptions};
use super::window::Window;
use crate::change::{DdlChange, Op, RowChange, RowsChange, TxInfo};
use event_head::EventHead;
use fragments::Fragments;

/// What `old` holds of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OldColumns {
    /// The columns whose values differ.
    #[default]
    Changed,
    /// The whole before image.
    Full,
}

/// The `type` of rows of the initial copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SnapshotType {
    /// As any other new row, which every reader takes.
    #[default]
    Insert,
    /// A word of its own, which some readers refuse.
    Init,
}

/// What the field `gtid` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GtidForm {
    /// The transaction's own.
    #[default]
    Transaction,
    /// The set of all that the source had executed with it, as Canal has it.
    Set,
}

/// The settings of the format, by the names they have in the config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CanalOptions {
    /// What `old` holds of an update.
    pub canal_old: OldColumns,
    /// How ENUM and SET are written.
    pub canal_enum: EnumForm,
    /// How bytes that are no text are written.
    pub canal_binary: BinaryForm,
    /// What the field `gtid` holds.
    pub canal_gtid: GtidForm,
    /// Most consecutive rows of one event, table, type and partition in one message; at least 1.
    pub canal_rows_per_message: u32,
    /// The `type` of rows of the initial copy.
    pub canal_snapshot_type: SnapshotType,
    /// Text that does not decode in its column's character set.
    pub on_bad_text: OnBadText,
    /// Whether hidden row ids of tables without a key are written.
    pub emit_hidden_row_id: bool,
}

impl Default for CanalOptions {
    fn default() -> Self {
        Self {
            canal_old: OldColumns::default(),
            canal_enum: EnumForm::default(),
            canal_binary: BinaryForm::default(),
            canal_gtid: GtidForm::default(),
            canal_rows_per_message: 1,
            canal_snapshot_type: SnapshotType::default(),
            on_bad_text: OnBadText::default(),
            emit_hidden_row_id: false,
        }
    }
}

impl CanalOptions {
    /// How values become text under these options.
    pub fn text(&self, zone: TimeZone) -> TextOptions {
        TextOptions { zone, enums: self.canal_enum, binary: self.canal_binary, on_bad_text: self.on_bad_text }
    }
}

impl GtidForm {
    /// What stands in messages of a transaction. Where a log tells no set, its own GTID.
    fn of(self, tx: &TxInfo) -> &str {
        match self {
            Self::Set if !tx.executed.is_empty() => &tx.executed,
            Self::Set | Self::Transaction => &tx.gtid,
        }
    }
}

/// A statement's part in a message: what its parser makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DdlTarget<'a> {
    /// Schema that it acts on; "" for none.
    pub database: &'a str,
    /// Table that it acts on, by its old name; "" for none.
    pub table: &'a str,
    /// Canal's word for it: `CREATE`, `ALTER`, `RENAME`, `CINDEX`, `DINDEX`, `ERASE`, `TRUNCATE`, `QUERY`.
    pub kind: &'a str,
}

/// The writer. One for each worker: it has scratch buffers and remembers tables.
#[derive(Debug)]
pub struct CanalJson {
    renderer: Renderer,
    comparison: Comparison,
    old: OldColumns,
    gtid: GtidForm,
    snapshot_type: SnapshotType,
    emit_hidden: bool,
    tables: Tables<u64, Fragments>,
    head: EventHead,
}

impl CanalJson {
    /// A writer; TIMESTAMP columns are shown in `zone`.
    pub fn new(options: &CanalOptions, zone: TimeZone) -> Self {
        Self {
            renderer: Renderer::new(options.text(zone)),
            comparison: Comparison::default(),
            old: options.canal_old,
            gtid: options.canal_gtid,
            snapshot_type: options.canal_snapshot_type,
            emit_hidden: options.emit_hidden_row_id,
            tables: Tables::default(),
            head: EventHead::default(),
        }
    }

    /// How many values had text that did not decode and was replaced.
    pub fn bad_text(&self) -> u64 {
        self.renderer.bad_text()
    }

    /// The renderer, for keys and partitions of the same rows.
    pub fn renderer(&mut self) -> &mut Renderer {
        &mut self.renderer
    }

    /// Appends one message with `packed`, rows of that entry in order; `now_ms` is when it is made, Unix ms.
    ///
    /// # Errors
    /// A row that cannot be written; `out` is then as before.
    pub fn write(
        &mut self,
        rows: &RowsChange<'_>,
        packed: &[RowChange<'_>],
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let start = out.len();
        let (emit_hidden, enums) = (self.emit_hidden, self.renderer.enums());
        let fragments = self.tables.take(rows.plan.id, || Fragments::new(rows.plan, emit_hidden, enums));
        let written = self.write_rows(&fragments, rows, packed, now_ms, out);
        self.tables.give_back(rows.plan.id, fragments);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn write_rows(
        &mut self,
        fragments: &Fragments,
        rows: &RowsChange<'_>,
        packed: &[RowChange<'_>],
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let columns = &rows.plan.columns;
        let values: usize = packed.iter().filter_map(RowChange::image).map(|image| image.size()).sum();
        let mut window = Window::new(out, fragments.names * packed.len() + values);
        window.put(b"{\"data\":[");
        for (place, row) in packed.iter().enumerate() {
            if place > 0 {
                window.put(b",");
            }
            self.write_data(fragments, columns, row, &mut window)?;
        }
        window.finish();
        let gtid = self.gtid.of(rows.tx);
        if !self.head.is_of(rows, gtid) {
            self.head.render(fragments, rows, gtid);
        }
        out.extend_from_slice(&self.head.bytes);
        if rows.op == Op::Update {
            let mut window = Window::new(out, (fragments.names * packed.len() + values) / 2);
            for (place, row) in packed.iter().enumerate() {
                window.put(if place == 0 { b"[" } else { b"," });
                self.write_old(fragments, columns, row, &mut window)?;
            }
            window.put(b"]");
            window.finish();
        } else {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(&fragments.keys_and_table);
        write_number(now_ms, out);
        out.extend_from_slice(match (rows.op, rows.snapshot, self.snapshot_type) {
            (Op::Insert, true, SnapshotType::Init) => b",\"type\":\"INIT\"}".as_slice(),
            (Op::Insert, ..) => b",\"type\":\"INSERT\"}",
            (Op::Update, ..) => b",\"type\":\"UPDATE\"}",
            (Op::Delete, ..) => b",\"type\":\"DELETE\"}",
        });
        Ok(())
    }

    /// Appends one message for a statement.
    pub fn write_ddl(&self, ddl: &DdlChange<'_>, target: DdlTarget<'_>, now_ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"data\":null,\"database\":");
        write_string(target.database, out);
        out.extend_from_slice(b",\"es\":");
        write_number(u64::from(ddl.place.timestamp) * 1000, out);
        out.extend_from_slice(b",\"gtid\":");
        write_string(self.gtid.of(ddl.tx), out);
        out.extend_from_slice(b",\"id\":");
        write_number(ddl.seq.0, out);
        out.extend_from_slice(b",\"isDdl\":true,\"mysqlType\":null,\"old\":null,\"pkNames\":null,\"sql\":");
        write_string(&ddl.sql, out);
        out.extend_from_slice(b",\"sqlType\":null,\"table\":");
        write_string(target.table, out);
        out.extend_from_slice(b",\"ts\":");
        write_number(now_ms, out);
        out.extend_from_slice(b",\"type\":");
        write_string(target.kind, out);
        out.push(b'}');
    }
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests;
