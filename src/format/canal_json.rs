//! Canal JSON: one compact object a message, keys in alphabetical order, every column value a string or null.
//!
//! What is the same for all rows of a table's shape is rendered once (`fragments`); a row then costs its values.

mod fragments;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::json::write_string;
use super::number;
use super::text::{BinaryForm, EnumForm, FormatError, OnBadText, Renderer, TextOptions};
use super::window::Window;
use crate::binlog::column::WireType;
use crate::binlog::rows::Cells;
use crate::binlog::time::{DateTime, Timestamp};
use crate::binlog::value;
use crate::binlog::{Cell, DecodeError, RowImage, Value};
use crate::change::plan::TablePlan;
use crate::change::schema::Column;
use crate::change::{DdlChange, Op, RowChange, RowsChange, RowsError};
use fragments::{Fragments, Way};

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
    old: OldColumns,
    snapshot_type: SnapshotType,
    emit_hidden: bool,
    tables: HashMap<u64, Arc<Fragments>>,
    /// The table written last: most rows are followed by rows of the same.
    last: Option<Arc<Fragments>>,
}

/// Most tables remembered; all are forgotten when there are more, and rendered again as they come.
const TABLES_MAX: usize = 8192;

impl CanalJson {
    /// A writer; TIMESTAMP columns are shown in `zone`.
    pub fn new(options: &CanalOptions, zone: TimeZone) -> Self {
        Self {
            renderer: Renderer::new(options.text(zone)),
            old: options.canal_old,
            snapshot_type: options.canal_snapshot_type,
            emit_hidden: options.emit_hidden_row_id,
            tables: HashMap::new(),
            last: None,
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
        let fragments = self.fragments(rows.plan);
        let written = self.write_rows(&fragments, rows, packed, now_ms, out);
        self.last = Some(fragments);
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
        let mut out = Window::new(out, fragments.frame + values);
        out.put(b"{\"data\":[");
        for (place, row) in packed.iter().enumerate() {
            if place > 0 {
                out.put(b",");
            }
            self.write_data(fragments, columns, row, &mut out)?;
        }
        out.put_slice(&fragments.database);
        out.put_number(u64::from(rows.place.timestamp) * 1000);
        out.put(b",\"gtid\":\"");
        if !rows.snapshot {
            out.put_text(&rows.tx.gtid);
        }
        out.put(b"\",\"id\":");
        out.put_number(rows.seq.0);
        out.put_slice(&fragments.mysql_type);
        if rows.op == Op::Update {
            out.put(b"[");
            for (place, row) in packed.iter().enumerate() {
                if place > 0 {
                    out.put(b",");
                }
                self.write_old(fragments, columns, row, &mut out)?;
            }
            out.put(b"]");
        } else {
            out.put(b"null");
        }
        out.put_slice(&fragments.keys_and_table);
        out.put_number(now_ms);
        match (rows.op, rows.snapshot, self.snapshot_type) {
            (Op::Insert, true, SnapshotType::Init) => out.put(b",\"type\":\"INIT\"}"),
            (Op::Insert, ..) => out.put(b",\"type\":\"INSERT\"}"),
            (Op::Update, ..) => out.put(b",\"type\":\"UPDATE\"}"),
            (Op::Delete, ..) => out.put(b",\"type\":\"DELETE\"}"),
        }
        out.finish();
        Ok(())
    }

    /// The row as it became, or as it was when it is gone. A column that a partial after image lacks did not change:
    /// it comes from the before image when that has it, else it is left out.
    fn write_data(
        &mut self,
        fragments: &Fragments,
        columns: &[Column],
        row: &RowChange<'_>,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        let start = out.at();
        match (row.before, row.after) {
            (Some(before), Some(after)) if !after.present().is_full() => {
                let (mut before, mut after) = (Lockstep::new(before), Lockstep::new(after));
                for index in 0..columns.len() {
                    let was = before.at(index).map_err(|source| row_error(row, source))?;
                    let now = after.at(index).map_err(|source| row_error(row, source))?;
                    if let Some(cell) = now.or(was) {
                        self.write_cell(fragments, columns, row, &cell, out)?;
                    }
                }
            }
            (before, after) => {
                for cell in after.or(before).into_iter().flat_map(|image| image.cells()) {
                    let cell = cell.map_err(|source| row_error(row, source))?;
                    self.write_cell(fragments, columns, row, &cell, out)?;
                }
            }
        }
        close_object(start, out);
        Ok(())
    }

    fn write_old(
        &mut self,
        fragments: &Fragments,
        columns: &[Column],
        row: &RowChange<'_>,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        let start = out.at();
        if let (Some(before), Some(after)) = (row.before, row.after) {
            if self.old == OldColumns::Changed && before.present().is_full() && after.present().is_full() {
                for (was, now) in before.cells().zip(after.cells()) {
                    let was = was.map_err(|source| row_error(row, source))?;
                    let now = now.map_err(|source| row_error(row, source))?;
                    if self.differs(columns, &was, Some(&now))? {
                        self.write_cell(fragments, columns, row, &was, out)?;
                    }
                }
                close_object(start, out);
                return Ok(());
            }
            let mut changed = Lockstep::new(after);
            for cell in before.cells() {
                let cell = cell.map_err(|source| row_error(row, source))?;
                if self.old == OldColumns::Changed {
                    let now = changed.at(cell.index).map_err(|source| row_error(row, source))?;
                    if !self.differs(columns, &cell, now.as_ref())? {
                        continue;
                    }
                }
                self.write_cell(fragments, columns, row, &cell, out)?;
            }
        }
        close_object(start, out);
        Ok(())
    }

    /// Whether a column changed: its bytes differ; for documents, whose binary form is not unique, their text.
    fn differs<'a>(&mut self, columns: &[Column], was: &Cell<'a>, now: Option<&Cell<'a>>) -> Result<bool, FormatError> {
        // A column that the after image lacks did not change.
        let Some(now) = now else { return Ok(false) };
        let column = column(columns, was.index)?;
        let (was_value, now_value) = match (was.bytes, now.bytes) {
            (None, None) => return Ok(false),
            (None, Some(_)) | (Some(_), None) => return Ok(true),
            (Some(was_bytes), Some(now_bytes)) if now.column.wire() != WireType::JSON => {
                return Ok(was_bytes != now_bytes);
            }
            (Some(_), Some(_)) => {
                let value = |cell: &Cell<'a>| cell.value().map_err(|source| value_error(column, source));
                (value(was)?, value(now)?)
            }
        };
        let (mut old, mut new) = (Vec::new(), Vec::new());
        self.renderer.write_json(column, &was_value, &mut old)?;
        match now_value {
            Value::JsonDiff(diff) => self.renderer.write_json_diff(column, Some(&was_value), diff, &mut new)?,
            value => self.renderer.write_json(column, &value, &mut new)?,
        }
        Ok(old != new)
    }

    #[inline]
    fn write_cell(
        &mut self,
        fragments: &Fragments,
        columns: &[Column],
        row: &RowChange<'_>,
        cell: &Cell<'_>,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        let Some(member) = fragments.columns.get(cell.index).and_then(Option::as_ref) else { return Ok(()) };
        let column = column(columns, cell.index)?;
        out.put_piece(&member.name);
        let start = out.at();
        let Some(bytes) = cell.bytes else {
            out.back_to(start - 1);
            out.put(b"null");
            return Ok(());
        };
        match &member.way {
            Way::Unsigned => out.put_number(value::unsigned(bytes)),
            Way::Signed => out.put_signed(value::signed(bytes)),
            way @ (Way::Utf8 | Way::AsciiSuperset) => {
                let put = out.put_plain(bytes);
                if put < bytes.len() {
                    // What was put is ASCII, so that the rest begins with a character.
                    match std::str::from_utf8(&bytes[put..]) {
                        Ok(rest) if matches!(way, Way::Utf8) => out.put_escaped(rest),
                        _ => return self.write_value(column, row, cell, start - 1, out),
                    }
                }
            }
            Way::Label(labels) => match labels.get((value::unsigned(bytes) as usize).wrapping_sub(1)) {
                Some(label) => out.put_piece(label),
                None => return self.write_value(column, row, cell, start - 1, out),
            },
            Way::DateTime(fsp) => {
                let moment = DateTime::from_wire2(bytes, *fsp);
                out.put_with(|to| moment.write_to(to));
            }
            Way::Timestamp(fsp) => {
                let moment = Timestamp::from_wire(bytes, WireType::TIMESTAMP2, *fsp);
                let moment = self.renderer.local(moment);
                out.put_with(|to| moment.write_to(to));
            }
            Way::Double => {
                match number::plain_double(f64::from_bits(value::unsigned(bytes)), &mut ryu::Buffer::new()) {
                    Some(text) => out.put_short(text),
                    None => return self.write_value(column, row, cell, start - 1, out),
                }
            }
            Way::Value => return self.write_value(column, row, cell, start - 1, out),
        }
        out.put(b"\"");
        Ok(())
    }

    /// Writes a value of any kind, its quotes included, from `start` on.
    fn write_value(
        &mut self,
        column: &Column,
        row: &RowChange<'_>,
        cell: &Cell<'_>,
        start: usize,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        out.back_to(start);
        out.append(|out| match cell.value().map_err(|source| value_error(column, source))? {
            Value::JsonDiff(diff) => {
                let base = row.before.map_or(Ok(None), |before| before.get(cell.index));
                let base = base.map_err(|source| value_error(column, source))?;
                self.renderer.write_json_diff(column, base.as_ref(), diff, out)
            }
            value => self.renderer.write_json(column, &value, out),
        })
    }

    /// The table's ready bytes, out of `last` when they were used last.
    fn fragments(&mut self, plan: &TablePlan) -> Arc<Fragments> {
        if let Some(last) = self.last.take_if(|last| last.plan == plan.id) {
            return last;
        }
        if self.tables.len() >= TABLES_MAX {
            self.tables.clear();
        }
        let (emit_hidden, enums) = (self.emit_hidden, self.renderer.enums());
        let made = || Arc::new(Fragments::new(plan, emit_hidden, enums));
        Arc::clone(self.tables.entry(plan.id).or_insert_with(made))
    }

    /// Appends one message for a statement.
    pub fn write_ddl(&self, ddl: &DdlChange<'_>, target: DdlTarget<'_>, now_ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"data\":null,\"database\":");
        write_string(target.database, out);
        out.extend_from_slice(b",\"es\":");
        write_number(u64::from(ddl.place.timestamp) * 1000, out);
        out.extend_from_slice(b",\"gtid\":");
        write_string(&ddl.tx.gtid, out);
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

/// The cells of one image, asked for by rising column numbers.
struct Lockstep<'a> {
    cells: Cells<'a>,
    next: Option<Cell<'a>>,
}

impl<'a> Lockstep<'a> {
    fn new(image: RowImage<'a>) -> Self {
        Self { cells: image.cells(), next: None }
    }

    fn peek(&mut self) -> Result<Option<Cell<'a>>, DecodeError> {
        if self.next.is_none() {
            self.next = self.cells.next().transpose()?;
        }
        Ok(self.next)
    }

    /// The cell of column `index`, if the image has it; indexes must rise.
    fn at(&mut self, index: usize) -> Result<Option<Cell<'a>>, DecodeError> {
        while let Some(cell) = self.peek()? {
            if cell.index > index {
                return Ok(None);
            }
            self.next = None;
            if cell.index == index {
                return Ok(Some(cell));
            }
        }
        Ok(None)
    }
}

fn column(columns: &[Column], index: usize) -> Result<&Column, FormatError> {
    columns.get(index).ok_or_else(|| FormatError::Kind { column: format!("number {index}") })
}

fn row_error(row: &RowChange<'_>, source: DecodeError) -> FormatError {
    FormatError::Rows(RowsError::Decode { index: row.index, source })
}

fn value_error(column: &Column, source: DecodeError) -> FormatError {
    FormatError::Value { column: column.name.to_string(), source }
}

/// Makes an object of members that were each written with a comma in front.
#[inline]
fn close_object(start: usize, out: &mut Window<'_>) {
    if out.at() == start {
        out.put(b"{");
    } else {
        out.set(start, b'{');
    }
    out.put(b"}");
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests;
