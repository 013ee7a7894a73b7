//! Shareplex JSON, as DTS documents it: `meta`, `data` and, for updates, `key`; every value a string or null.
//!
//! | what | here |
//! |---|---|
//! | `scn` | where the event ends in the binlog, `file number << 40 \| offset`, as text |
//! | `trans` | the GTID; without GTIDs `file:offset` of the transaction's beginning |
//! | `seq`, `size`, `idx` | place among the rows that this delivery sends of the transaction, and how many they are; `size` 0 where that is not known |
//! | `rowid`, `userid` | null and 0: MySQL has neither |
//! | `time`, `posttime` | UTC without its letter |
//! | rows of the initial copy | `ins` without `trans`, `size` 0 |
//! | a column that a partial after image lacks | did not change |
//! | a column that a partial before image lacks | not in `key` |

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::TxPlace;
use super::canal_json::DdlTarget;
use super::images::{self, Comparison};
use super::json::{close_object, write_escaped, write_number, write_string};
use super::position;
use super::tables::Tables;
use super::text::{BinaryForm, EnumForm, FormatError, OnBadText, Renderer, TextOptions};
use super::zone::ZoneClock;
use crate::binlog::time::{Date, DateTime};
use crate::binlog::{Cell, Value};
use crate::change::plan::TablePlan;
use crate::change::schema::Column;
use crate::change::{DdlChange, EventPlace, Op, RowChange, RowsChange, TxInfo};

/// The settings of the format, by the names they have in the config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShareplexOptions {
    /// Most rows of a transaction that wait for its end, so that each can say how many they are.
    pub shareplex_tx_buffer_rows: u64,
    /// Text that does not decode in its column's character set.
    pub on_bad_text: OnBadText,
    /// Whether hidden row ids of tables without a key are written.
    pub emit_hidden_row_id: bool,
}

impl Default for ShareplexOptions {
    fn default() -> Self {
        Self { shareplex_tx_buffer_rows: 100_000, on_bad_text: OnBadText::default(), emit_hidden_row_id: false }
    }
}

/// The writer. One for each worker: it has scratch buffers and remembers tables.
#[derive(Debug)]
pub struct ShareplexJson {
    renderer: Renderer,
    comparison: Comparison,
    emit_hidden: bool,
    tables: Tables<u64, Fragments>,
}

/// Ready bytes of one plan's messages.
#[derive(Debug)]
struct Fragments {
    /// `database.table` as a JSON string.
    table: Box<[u8]>,
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
        let mut table = Vec::new();
        write_table(&plan.name.database, &plan.name.table, &mut table);
        Self { table: table.into(), columns: plan.columns.iter().map(written).collect() }
    }
}

/// What `meta` says.
struct Meta<'m> {
    op: &'static [u8],
    tx: &'m TxInfo,
    place: EventPlace,
    snapshot: bool,
    /// `database.table` as a JSON string.
    table: &'m [u8],
    seq: u64,
    size: u64,
    now_ms: u64,
}

impl ShareplexJson {
    /// A writer; TIMESTAMP columns are shown in `zone`.
    pub fn new(options: &ShareplexOptions, zone: TimeZone) -> Self {
        let text =
            TextOptions { zone, enums: EnumForm::Label, binary: BinaryForm::Latin1, on_bad_text: options.on_bad_text };
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

    /// Appends the message of one row; `now_ms` is when it is made, Unix ms.
    ///
    /// # Errors
    /// A row that cannot be written; `out` is then as before.
    pub fn write(
        &mut self,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        place: &TxPlace,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let start = out.len();
        let emit_hidden = self.emit_hidden;
        let fragments = self.tables.take(rows.plan.id, || Fragments::new(rows.plan, emit_hidden));
        let meta = Meta {
            op: match rows.op {
                Op::Insert => b"ins",
                Op::Update => b"upd",
                Op::Delete => b"del",
            },
            tx: rows.tx,
            place: rows.place,
            snapshot: rows.snapshot,
            table: &fragments.table,
            seq: place.row,
            size: place.size.filter(|_| !rows.snapshot).unwrap_or(0),
            now_ms,
        };
        meta.write(out);
        let written = self.write_row(&fragments, rows, row, out);
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
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let Self { renderer, comparison, .. } = self;
        let columns = &rows.plan.columns;
        let member = |renderer: &mut Renderer, cell: &Cell<'_>, out: &mut Vec<u8>| {
            let Some(name) = fragments.columns.get(cell.index).and_then(Option::as_ref) else { return Ok(()) };
            out.extend_from_slice(name);
            write_cell(renderer, images::column(columns, cell.index)?, row, cell, out)
        };
        out.extend_from_slice(b",\"data\":");
        let start = out.len();
        match (rows.op, row.before) {
            (Op::Update, _) => {
                comparison.each_changed(renderer, columns, row, |renderer, _, now| member(renderer, now, out))?;
            }
            (Op::Delete, Some(before)) => images::each(row, before, |cell| member(renderer, cell, out))?,
            _ => images::each_current(row, |cell| member(renderer, cell, out))?,
        }
        close_object(start, out);
        if let (Op::Update, Some(before)) = (rows.op, row.before) {
            out.extend_from_slice(b",\"key\":");
            let start = out.len();
            images::each(row, before, |cell| member(renderer, cell, out))?;
            close_object(start, out);
        }
        out.push(b'}');
        Ok(())
    }

    /// Appends one message for a statement: `trunc` without data for TRUNCATE, else `ddl` with its text.
    pub fn write_ddl(&self, ddl: &DdlChange<'_>, target: DdlTarget<'_>, now_ms: u64, out: &mut Vec<u8>) {
        let truncate = target.kind == "TRUNCATE";
        let mut table = Vec::new();
        write_table(target.database, target.table, &mut table);
        let meta = Meta {
            op: if truncate { b"trunc" } else { b"ddl" },
            tx: ddl.tx,
            place: ddl.place,
            snapshot: false,
            table: &table,
            // A statement is a transaction of its own.
            seq: 1,
            size: 1,
            now_ms,
        };
        meta.write(out);
        if truncate {
            out.extend_from_slice(b",\"data\":{}}");
        } else {
            out.extend_from_slice(b",\"data\":{\"sql\":");
            write_string(&ddl.sql, out);
            out.extend_from_slice(b"}}");
        }
    }
}

impl Meta<'_> {
    /// Appends `{"meta":{...}`.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"meta\":{\"time\":");
        write_time(self.place.timestamp.into(), out);
        out.extend_from_slice(b",\"userid\":0,\"op\":\"");
        out.extend_from_slice(self.op);
        out.extend_from_slice(b"\",\"scn\":\"");
        write_number(position::number(&self.tx.file, self.place.position), out);
        out.extend_from_slice(b"\",\"rowid\":null,\"trans\":\"");
        if !self.snapshot {
            if self.tx.gtid.is_empty() {
                write_escaped(&self.tx.file, out);
                out.push(b':');
                write_number(self.tx.start, out);
            } else {
                write_escaped(&self.tx.gtid, out);
            }
        }
        out.extend_from_slice(b"\",\"seq\":");
        write_number(self.seq, out);
        out.extend_from_slice(b",\"size\":");
        write_number(self.size, out);
        out.extend_from_slice(b",\"table\":");
        out.extend_from_slice(self.table);
        out.extend_from_slice(b",\"idx\":\"");
        write_number(self.seq, out);
        out.push(b'/');
        write_number(self.size, out);
        out.extend_from_slice(b"\",\"posttime\":");
        write_time(self.now_ms / 1000, out);
        out.push(b'}');
    }
}

fn write_cell(
    renderer: &mut Renderer,
    column: &Column,
    row: &RowChange<'_>,
    cell: &Cell<'_>,
    out: &mut Vec<u8>,
) -> Result<(), FormatError> {
    match cell.value().map_err(|source| images::value_error(column, source))? {
        Value::JsonDiff(diff) => {
            let base = images::base_of(row, column, cell.index)?;
            renderer.write_json_diff(column, base.as_ref(), diff, out)
        }
        value => renderer.write_json(column, &value, out),
    }
}

/// Appends `"yyyy-MM-ddTHH:mm:ss"` of UTC.
fn write_time(seconds: u64, out: &mut Vec<u8>) {
    // A moment beyond year 9999 is no moment.
    let seconds = i64::try_from(seconds).unwrap_or(0).min(253_402_300_799);
    let local = ZoneClock::new(TimeZone::UTC).local(seconds);
    let moment = DateTime {
        date: Date { year: u16::try_from(local.year).unwrap_or(0), month: local.month, day: local.day },
        hour: (local.second_of_day / 3600) as u8,
        minute: (local.second_of_day / 60 % 60) as u8,
        second: (local.second_of_day % 60) as u8,
        micros: 0,
        fsp: 0,
    };
    out.push(b'"');
    let start = out.len();
    moment.write(out);
    // The tenth byte is the space between date and time.
    if let Some(between) = out.get_mut(start + 10) {
        *between = b'T';
    }
    out.push(b'"');
}

/// Appends `"database.table"`, or the database alone for a statement without a table.
fn write_table(database: &str, table: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(database, out);
    if !table.is_empty() {
        out.push(b'.');
        write_escaped(table, out);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;
