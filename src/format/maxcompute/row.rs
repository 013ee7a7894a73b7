//! Rows to records, straight into the outgoing bytes.
//!
//! A change is one record of its `_log` table, an update two: the row as it was, and as it became. What an after image
//! lacks did not change and comes from the before image; what a before image lacks is NULL, its key is always there.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::columns::{Additional, record_id};
use super::layout::{Layout, Slot};
use super::mapping::Form;
use super::record::{Record, RecordWriter};
use super::wall_clock::WallClock;
use crate::binlog::time::DateTime;
use crate::binlog::{Cell, RowImage, Value, json};
use crate::change::column_type::ColumnType;
use crate::change::schema::Column;
use crate::change::{Op, RowChange, RowsChange, RowsError};
use crate::format::text::{BinaryForm, EnumForm, FormatError, OnBadText, Renderer, TextOptions};
use crate::format::{epoch, wkt};

/// Most bytes of a value.
pub const CELL_MAX: usize = 8 << 20;

/// Bytes of the SRID in front of a geometry's WKB.
const SRID: usize = 4;

/// What happens to zero dates, and to others that no calendar has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadDate {
    /// They are NULL, and counted.
    #[default]
    Null,
    /// The table parks.
    Fail,
}

/// How rows are written.
#[derive(Debug, Clone)]
pub struct RowOptions {
    /// The zone in which a reader sees DATETIME as the source shows it.
    pub datetime_zone: TimeZone,
    /// Dates that no calendar has.
    pub on_bad_date: OnBadDate,
    /// Text that does not decode in its column's character set.
    pub on_bad_text: OnBadText,
    /// Added to every record id.
    pub record_id_base: i64,
}

/// The checksums of the records that a change became, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksums {
    first: u32,
    second: Option<u32>,
    /// Bytes of the first record.
    first_bytes: usize,
}

impl Checksums {
    /// One for each record.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        std::iter::once(self.first).chain(self.second)
    }

    /// Where the second record begins behind the first; none when there is one only.
    pub fn cut(self) -> Option<usize> {
        self.second.map(|_| self.first_bytes)
    }
}

/// The writer. One for each worker: it has scratch buffers and memories of zones.
#[derive(Debug)]
pub struct RowWriter {
    records: RecordWriter,
    values: ValueWriter,
    on_bad_date: OnBadDate,
    bad_dates: u64,
    record_id_base: i64,
}

/// What a value's text or bytes are made with.
#[derive(Debug)]
struct ValueWriter {
    renderer: Renderer,
    clock: WallClock,
    scratch: Vec<u8>,
}

/// What became of a value.
enum Put {
    Done,
    /// A date that no calendar has.
    BadDate,
}

/// A row of a `_log` table beside its source columns.
struct Marks {
    record_id: i64,
    flag: &'static [u8],
    utc_timestamp: i64,
    is_after: bool,
}

impl RowWriter {
    /// A writer.
    pub fn new(options: &RowOptions) -> Self {
        // Timestamps that become text are of UTC, as the column's name says that they are.
        let text = TextOptions {
            zone: TimeZone::UTC,
            enums: EnumForm::Label,
            binary: BinaryForm::Base64,
            on_bad_text: options.on_bad_text,
        };
        let clock = WallClock::new(options.datetime_zone.clone());
        Self {
            records: RecordWriter::default(),
            values: ValueWriter { renderer: Renderer::new(text), clock, scratch: Vec::new() },
            on_bad_date: options.on_bad_date,
            bad_dates: 0,
            record_id_base: options.record_id_base,
        }
    }

    /// How many values had text that did not decode and was replaced.
    pub fn bad_text(&self) -> u64 {
        self.values.renderer.bad_text()
    }

    /// How many dates no calendar has; they became NULL.
    pub fn bad_dates(&self) -> u64 {
        self.bad_dates
    }

    /// Appends the record of a row of the initial copy.
    ///
    /// # Errors
    /// A row that cannot be written; `out` is then as before.
    pub fn write_base(
        &mut self,
        layout: &Layout,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        out: &mut Vec<u8>,
    ) -> Result<u32, FormatError> {
        let start = out.len();
        let written = match row.after.or(row.before) {
            Some(image) => self.write_record(layout, rows, (row, image), row.before, None, out),
            None => Err(FormatError::NoImage),
        };
        written.inspect_err(|_| out.truncate(start))
    }

    /// Appends the records of a change.
    ///
    /// # Errors
    /// A row that cannot be written; `out` is then as before.
    pub fn write_log(
        &mut self,
        layout: &Layout,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Checksums, FormatError> {
        let start = out.len();
        self.write_change(layout, rows, row, out).inspect_err(|_| out.truncate(start))
    }

    fn write_change(
        &mut self,
        layout: &Layout,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Checksums, FormatError> {
        let record_id =
            record_id(rows.seq, row.index, self.record_id_base).ok_or(FormatError::RecordId { seq: rows.seq })?;
        let flag: &'static [u8] = match rows.op {
            Op::Insert => b"I",
            Op::Update => b"U",
            Op::Delete => b"D",
        };
        let utc_timestamp = rows.place.timestamp.into();
        let marks = |is_after| Some(Marks { record_id, flag, utc_timestamp, is_after });
        // Of a split update, what its after image lacks did not change.
        let before = row.before.filter(|_| rows.op != Op::Insert).map(|image| (image, None, marks(false)));
        let after = row.after.filter(|_| rows.op != Op::Delete).map(|image| (image, row.before, marks(true)));
        let (start, mut first_bytes) = (out.len(), 0);
        let mut checksums = [None; 2];
        for (sum, image) in checksums.iter_mut().zip([before, after].into_iter().flatten()) {
            let (image, other, marks) = image;
            *sum = Some(self.write_record(layout, rows, (row, image), other, marks, out)?);
            if first_bytes == 0 {
                first_bytes = out.len() - start;
            }
        }
        match checksums {
            [Some(first), second] => Ok(Checksums { first, second, first_bytes }),
            [None, _] => Err(FormatError::NoImage),
        }
    }

    fn write_record(
        &mut self,
        layout: &Layout,
        rows: &RowsChange<'_>,
        (row, image): (&RowChange<'_>, RowImage<'_>),
        other: Option<RowImage<'_>>,
        marks: Option<Marks>,
        out: &mut Vec<u8>,
    ) -> Result<u32, FormatError> {
        let Self { records, values, on_bad_date, bad_dates, .. } = self;
        let columns = &rows.plan.columns;
        let decode_error = |source| FormatError::Rows(RowsError::Decode { index: row.index, source });
        let mut record = records.begin(out);
        let mut put = |record: &mut Record<'_>, at: usize, form, cell: &Cell<'_>| {
            let Some(column) = columns.get(cell.index).filter(|_| cell.bytes.is_some()) else { return Ok(()) };
            match values.put(record, at, form, column, row, cell)? {
                Put::Done => Ok(()),
                Put::BadDate if *on_bad_date == OnBadDate::Fail => {
                    Err(FormatError::BadDate { column: column.name.to_string() })
                }
                Put::BadDate => {
                    *bad_dates += 1;
                    Ok(())
                }
            }
        };
        // An after image must say or inherit everything; a before image is what the source kept of the row.
        let must_hold = marks.as_ref().is_none_or(|marks| marks.is_after);
        if layout.in_order && image.present().is_full() {
            let mut cells = image.cells();
            for (at, slot) in layout.slots.iter().enumerate() {
                match *slot {
                    Slot::Source(from, form) => {
                        let cell = cells.find(|cell| cell.as_ref().map_or(true, |cell| cell.index >= from));
                        if let Some(cell) = cell.transpose().map_err(decode_error)?.filter(|cell| cell.index == from) {
                            put(&mut record, at, form, &cell)?;
                        }
                    }
                    Slot::Additional(column) => put_mark(&mut record, at, column, marks.as_ref()),
                    Slot::Empty => {}
                }
            }
            return Ok(record.end());
        }
        let mut found: Vec<Option<Cell<'_>>> = vec![None; columns.len()];
        for image in other.into_iter().chain([image]) {
            for cell in image.cells() {
                let cell = cell.map_err(decode_error)?;
                if let Some(place) = found.get_mut(cell.index) {
                    *place = Some(cell);
                }
            }
        }
        for (at, slot) in layout.slots.iter().enumerate() {
            match *slot {
                Slot::Source(from, form) => match found.get(from) {
                    Some(Some(cell)) => put(&mut record, at, form, cell)?,
                    Some(None) if must_hold => {
                        return Err(FormatError::ColumnMissing { column: columns[from].name.to_string() });
                    }
                    _ => {}
                },
                Slot::Additional(column) => put_mark(&mut record, at, column, marks.as_ref()),
                Slot::Empty => {}
            }
        }
        Ok(record.end())
    }
}

fn put_mark(record: &mut Record<'_>, at: usize, column: Additional, marks: Option<&Marks>) {
    let Some(marks) = marks else { return };
    let yes_or_no: fn(bool) -> &'static [u8] = |yes| if yes { b"Y" } else { b"N" };
    match column {
        Additional::RecordId => record.integer(at, marks.record_id),
        Additional::OperationFlag => record.bytes(at, marks.flag),
        Additional::UtcTimestamp => record.integer(at, marks.utc_timestamp),
        Additional::BeforeFlag => record.bytes(at, yes_or_no(!marks.is_after)),
        Additional::AfterFlag => record.bytes(at, yes_or_no(marks.is_after)),
    }
}

impl ValueWriter {
    /// Puts a value that is not NULL.
    fn put(
        &mut self,
        record: &mut Record<'_>,
        at: usize,
        form: Form,
        column: &Column,
        row: &RowChange<'_>,
        cell: &Cell<'_>,
    ) -> Result<Put, FormatError> {
        let value_error = |source| FormatError::Value { column: column.name.to_string(), source };
        let kind_error = || FormatError::Kind { column: column.name.to_string() };
        let value = cell.value().map_err(value_error)?;
        match (form, value) {
            (Form::Integer, Value::Int(number)) => record.integer(at, number),
            (Form::Integer, Value::UInt(number) | Value::Bit { value: number, .. }) => {
                record.integer(at, i64::try_from(number).map_err(|_| kind_error())?);
            }
            (Form::Integer, Value::Year(year)) => record.integer(at, year.into()),
            (Form::Float, Value::Float(number)) => record.float(at, number),
            (Form::Double, Value::Float(number)) => record.double(at, number.into()),
            (Form::Double, Value::Double(number)) => record.double(at, number),
            (Form::Day, Value::Date(date)) => match epoch::days(date) {
                Some(days) => record.integer(at, days),
                None => return Ok(Put::BadDate),
            },
            (Form::Instant, Value::Date(date)) => {
                return Ok(self.put_instant(record, at, &DateTime { date, ..DateTime::default() }));
            }
            (Form::Instant, Value::DateTime(reading)) => return Ok(self.put_instant(record, at, &reading)),
            (Form::Wall, Value::Date(date)) => {
                return Ok(put_wall(record, at, &DateTime { date, ..DateTime::default() }));
            }
            (Form::Wall, Value::DateTime(reading)) => return Ok(put_wall(record, at, &reading)),
            (Form::Moment | Form::MomentMillis, Value::Timestamp(moment)) if moment.seconds == 0 => {
                return Ok(Put::BadDate);
            }
            (Form::Moment, Value::Timestamp(moment)) => {
                record.moment(at, moment.seconds.into(), moment.micros * 1000);
            }
            (Form::MomentMillis, Value::Timestamp(moment)) => {
                record.integer(at, i64::from(moment.seconds) * 1000 + i64::from(moment.micros / 1000));
            }
            (Form::Wkb | Form::Wkt, Value::Bytes(bytes)) => {
                let wkb = bytes.get(SRID..).ok_or_else(kind_error)?;
                if form == Form::Wkb {
                    put_bytes(record, at, column, wkb)?;
                } else {
                    self.scratch.clear();
                    wkt::write(wkb, &mut self.scratch).ok_or_else(kind_error)?;
                    put_bytes(record, at, column, &self.scratch)?;
                }
            }
            (Form::Bytes, Value::Bytes(bytes)) => match column.kind {
                ColumnType::Binary { length } if bytes.len() < length as usize => {
                    self.scratch.clear();
                    self.scratch.extend_from_slice(bytes);
                    self.scratch.resize(length as usize, 0);
                    put_bytes(record, at, column, &self.scratch)?;
                }
                _ => put_bytes(record, at, column, bytes)?,
            },
            (Form::Bytes, Value::Compressed(compressed)) => {
                self.scratch.clear();
                compressed.inflate(CELL_MAX as u64, &mut self.scratch).map_err(value_error)?;
                put_bytes(record, at, column, &self.scratch)?;
            }
            (Form::Text, Value::Bytes(bytes))
                if column.kind.is_text() && column.charset.is_utf8() && std::str::from_utf8(bytes).is_ok() =>
            {
                put_bytes(record, at, column, bytes)?;
            }
            (Form::Text, Value::JsonDiff(diff)) => {
                let base = row.before.map_or(Ok(None), |before| before.get(cell.index)).map_err(value_error)?;
                let Some(Value::Json(base)) = base else {
                    return Err(FormatError::NoJsonBase { column: column.name.to_string() });
                };
                self.scratch.clear();
                json::apply_diff(base, diff, &mut self.scratch).map_err(value_error)?;
                put_bytes(record, at, column, &self.scratch)?;
            }
            (Form::Text | Form::Digits, value) => {
                self.scratch.clear();
                self.renderer.write_text(column, &value, &mut self.scratch)?;
                put_bytes(record, at, column, &self.scratch)?;
            }
            _ => return Err(kind_error()),
        }
        Ok(Put::Done)
    }

    fn put_instant(&mut self, record: &mut Record<'_>, at: usize, reading: &DateTime) -> Put {
        let Some(micros) = self.clock.micros(reading) else { return Put::BadDate };
        record.integer(at, micros.div_euclid(1000));
        Put::Done
    }
}

fn put_wall(record: &mut Record<'_>, at: usize, reading: &DateTime) -> Put {
    let Some(micros) = epoch::micros(reading) else { return Put::BadDate };
    record.moment(at, micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000) as u32 * 1000);
    Put::Done
}

fn put_bytes(record: &mut Record<'_>, at: usize, column: &Column, bytes: &[u8]) -> Result<(), FormatError> {
    if bytes.len() > CELL_MAX {
        return Err(FormatError::CellTooLong { column: column.name.to_string(), bytes: bytes.len() });
    }
    record.bytes(at, bytes);
    Ok(())
}

#[cfg(test)]
mod tests;
