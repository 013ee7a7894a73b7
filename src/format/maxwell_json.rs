//! Maxwell JSON: what Maxwell's Daemon writes, its documented data format first.
//!
//! | what | here |
//! |---|---|
//! | `xid` | the number in the transaction's GTID; without GTIDs its place in the binlog, `file number << 40 \| start`. Maxwell's own, InnoDB's, is in the event that ends the transaction, behind its rows |
//! | `commit`, `xoffset` | `commit` on the last row that this delivery sends of the transaction, `xoffset` from 0 on the others |
//! | rows of the initial copy | `bootstrap-insert`, without `xid` |
//! | numbers, DECIMAL, BIT, YEAR | numbers; DECIMAL with all digits of its scale |
//! | dates and times | text, zero dates as they are; TIMESTAMP in the rendering zone |
//! | ENUM, SET | label (`""` for the empty one), array of labels |
//! | JSON | nested |
//! | BINARY, BLOB, VECTOR | base64 |
//! | geometry | well-known text without SRID |
//! | DDL | `sql` without `def` and `old`; what Maxwell leaves out (indexes, TRUNCATE, views) is `table-alter`, `table-truncate`, `query` |
//! | a column that a partial after image lacks | did not change: in `data` if the before image has it |
//! | a changed column that the before image lacks | not in `old` |

mod ddl;
mod value;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::TxPlace;
use super::images::{self, Comparison};
use super::json::{close_object, write_number, write_string};
use super::position;
use super::tables::Tables;
use super::text::{BinaryForm, EnumForm, FormatError, OnBadText, Renderer, TextOptions};
use crate::change::plan::TablePlan;
use crate::change::schema::{Column, TableName};
use crate::change::{Op, RowChange, RowsChange, TxInfo};

/// The settings of the format, by the names they have in the config.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaxwellOptions {
    /// Text that does not decode in its column's character set.
    pub on_bad_text: OnBadText,
    /// Whether hidden row ids of tables without a key are written.
    pub emit_hidden_row_id: bool,
}

/// The two ends of a table's initial copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bootstrap {
    /// Before its first row.
    Start,
    /// After its last row.
    Complete,
}

/// The writer. One for each worker: it has scratch buffers and remembers tables.
#[derive(Debug)]
pub struct MaxwellJson {
    renderer: Renderer,
    comparison: Comparison,
    emit_hidden: bool,
    tables: Tables<u64, Fragments>,
}

/// Ready bytes of one plan's messages.
#[derive(Debug)]
struct Fragments {
    /// `{"database":...,"table":...,"type":"`.
    head: Box<[u8]>,
    /// `,"name":` of each column; none for those that are not written.
    columns: Vec<Option<Box<[u8]>>>,
}

impl Fragments {
    fn new(plan: &TablePlan, emit_hidden: bool) -> Self {
        let member = |column: &Column| {
            let mut name = vec![b','];
            write_string(&column.name, &mut name);
            name.push(b':');
            name.into_boxed_slice()
        };
        let written = |column: &Column| (column.is_sent(emit_hidden)).then(|| member(column));
        let mut head = Vec::new();
        write_head(&plan.name.database, &plan.name.table, &mut head);
        Self { head: head.into(), columns: plan.columns.iter().map(written).collect() }
    }
}

impl MaxwellJson {
    /// A writer; TIMESTAMP columns are shown in `zone`.
    pub fn new(options: &MaxwellOptions, zone: TimeZone) -> Self {
        let text =
            TextOptions { zone, enums: EnumForm::Label, binary: BinaryForm::Base64, on_bad_text: options.on_bad_text };
        Self {
            renderer: Renderer::new(text),
            comparison: Comparison::default(),
            emit_hidden: options.emit_hidden_row_id,
            tables: Tables::default(),
        }
    }

    /// How many values had text that did not decode and was replaced.
    pub fn bad_text(&self) -> u64 {
        self.renderer.bad_text()
    }

    /// Appends the message of one row. It has no time of its own making.
    ///
    /// # Errors
    /// A row that cannot be written; `out` is then as before.
    pub fn write(
        &mut self,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        place: &TxPlace,
        _now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let start = out.len();
        let emit_hidden = self.emit_hidden;
        let fragments = self.tables.take(rows.plan.id, || Fragments::new(rows.plan, emit_hidden));
        let written = self.write_row(&fragments, rows, row, place, out);
        self.tables.give_back(rows.plan.id, fragments);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn write_row(
        &mut self,
        fragments: &Fragments,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        place: &TxPlace,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        out.extend_from_slice(&fragments.head);
        out.extend_from_slice(match (rows.op, rows.snapshot) {
            (Op::Insert, true) => b"bootstrap-insert\",\"ts\":".as_slice(),
            (Op::Insert, false) => b"insert\",\"ts\":",
            (Op::Update, _) => b"update\",\"ts\":",
            (Op::Delete, _) => b"delete\",\"ts\":",
        });
        write_number(rows.place.timestamp, out);
        if !rows.snapshot {
            write_transaction(rows.tx, place, out);
        }
        out.extend_from_slice(b",\"data\":");
        let start = out.len();
        let columns = &rows.plan.columns;
        let gone = RowChange { after: None, ..*row };
        let shown = if rows.op == Op::Delete { &gone } else { row };
        let renderer = &mut self.renderer;
        images::each_current(shown, |cell| {
            let Some(name) = fragments.columns.get(cell.index).and_then(Option::as_ref) else { return Ok(()) };
            out.extend_from_slice(name);
            value::write_cell(renderer, images::column(columns, cell.index)?, row, cell, out)
        })?;
        close_object(start, out);
        if rows.op == Op::Update {
            out.extend_from_slice(b",\"old\":");
            let start = out.len();
            self.comparison.each_changed(&mut self.renderer, columns, row, |renderer, was, _| {
                let Some(was) = was else { return Ok(()) };
                let Some(name) = fragments.columns.get(was.index).and_then(Option::as_ref) else { return Ok(()) };
                out.extend_from_slice(name);
                value::write_cell(renderer, images::column(columns, was.index)?, row, was, out)
            })?;
            close_object(start, out);
        }
        out.push(b'}');
        Ok(())
    }

    /// Appends the message that a table's initial copy begins or is complete; `timestamp` in Unix seconds.
    pub fn write_bootstrap(&self, table: &TableName, end: Bootstrap, timestamp: u32, out: &mut Vec<u8>) {
        write_head(&table.database, &table.table, out);
        out.extend_from_slice(match end {
            Bootstrap::Start => b"bootstrap-start\",\"ts\":".as_slice(),
            Bootstrap::Complete => b"bootstrap-complete\",\"ts\":",
        });
        write_number(timestamp, out);
        out.extend_from_slice(b",\"data\":{}}");
    }
}

fn write_head(database: &str, table: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"database\":");
    write_string(database, out);
    out.extend_from_slice(b",\"table\":");
    write_string(table, out);
    out.extend_from_slice(b",\"type\":\"");
}

fn write_transaction(tx: &TxInfo, place: &TxPlace, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"xid\":");
    write_number(xid(tx), out);
    if place.last {
        out.extend_from_slice(b",\"commit\":true");
    } else {
        out.extend_from_slice(b",\"xoffset\":");
        write_number(place.row.saturating_sub(1), out);
    }
}

/// The number in the GTID (`uuid:23`, `uuid:tag:23`, `0-1-23`), else the transaction's place in the binlog.
fn xid(tx: &TxInfo) -> u64 {
    let number = tx.gtid.rsplit([':', '-']).next().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| position::number(&tx.file, tx.start))
}

#[cfg(test)]
mod tests;
