//! One row's images: each column's value in the branch that its type has.

use std::iter::Peekable;

use super::DtsAvro;
use super::shape::{Member, Shape, Way, float_tail};
use super::wire::{END, NONE, branch, put_bytes, put_long, put_signed, put_unsigned};
use crate::binlog::column::WireType;
use crate::binlog::decimal::{Decimal, LONGEST};
use crate::binlog::rows::Cells;
use crate::binlog::time::{Date, DateTime, Time, Timestamp};
use crate::binlog::{Cell, DecodeError, RowImage, Value, json, value};
use crate::change::column_type::ColumnType;
use crate::change::schema::Column;
use crate::change::{RowChange, RowsError};
use crate::format::text::{FormatError, OnBadText};
use crate::format::window::Window;

/// Bytes of the SRID in front of a geometry's WKB.
const SRID: usize = 4;

/// Most bytes that a compressed value may inflate to: no value of MySQL's is larger.
const INFLATED_MAX: u64 = 1 << 30;

impl DtsAvro {
    /// Writes an image as an array of all columns; what neither `image` nor `other` holds is NONE.
    pub(super) fn write_image(
        &mut self,
        shape: &Shape,
        columns: &[Column],
        row: &RowChange<'_>,
        image: Option<RowImage<'_>>,
        other: Option<RowImage<'_>>,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        out.put_slice(&shape.image);
        match image {
            Some(image) if image.present().is_full() => {
                for cell in image.cells() {
                    let cell = cell.map_err(|source| row_error(row, source))?;
                    let member = shape.columns.get(cell.index).and_then(Option::as_ref);
                    if let (Some(member), Some(column)) = (member, columns.get(cell.index)) {
                        self.write_cell(member, column, row, &cell, out)?;
                    }
                }
            }
            image => {
                let mut sources = [image, other].map(|image| image.map(|image| image.cells().peekable()));
                for (index, member) in shape.columns.iter().enumerate() {
                    let mut found = None;
                    for source in sources.iter_mut().flatten() {
                        let cell = take(source, index).map_err(|source| row_error(row, source))?;
                        found = found.or(cell);
                    }
                    match (member, found, columns.get(index)) {
                        (Some(member), Some(cell), Some(column)) => self.write_cell(member, column, row, &cell, out)?,
                        (Some(_), ..) => out.put(&[branch::EMPTY_OBJECT, NONE]),
                        (None, ..) => {}
                    }
                }
            }
        }
        out.put(&[END]);
        Ok(())
    }

    #[inline]
    fn write_cell(
        &mut self,
        member: &Member,
        column: &Column,
        row: &RowChange<'_>,
        cell: &Cell<'_>,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        let Some(bytes) = cell.bytes else {
            out.put(&[branch::NULL]);
            return Ok(());
        };
        out.put_piece(&member.head);
        match &member.way {
            Way::Unsigned => put_unsigned(value::unsigned(bytes), out),
            Way::Signed => put_signed(value::signed(bytes), out),
            Way::Utf8 => {
                if std::str::from_utf8(bytes).is_err() {
                    return self.write_value(column, row, cell, out);
                }
                put_bytes(bytes, out);
            }
            Way::Bytes => put_bytes(bytes, out),
            Way::Label(labels) => match labels.get((value::unsigned(bytes) as usize).wrapping_sub(1)) {
                Some(label) => out.put_piece(label),
                None => return self.write_value(column, row, cell, out),
            },
            Way::DateTime(fsp) => put_datetime(DateTime::from_wire2(bytes, *fsp), out),
            Way::Timestamp(fsp) => put_timestamp(Timestamp::from_wire(bytes, WireType::TIMESTAMP2, *fsp), out),
            Way::Double => put_float(f64::from_bits(value::unsigned(bytes)), out),
            Way::Decimal(precision, scale) => match Decimal::new(bytes, *precision, *scale) {
                Some(decimal) => put_decimal(decimal, out),
                None => return self.write_value(column, row, cell, out),
            },
            Way::Value => return self.write_value(column, row, cell, out),
        }
        Ok(())
    }

    /// Writes what follows the head of a value of any kind.
    fn write_value(
        &mut self,
        column: &Column,
        row: &RowChange<'_>,
        cell: &Cell<'_>,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        match cell.value().map_err(|source| value_error(column, source))? {
            Value::Int(number) => put_signed(number, out),
            Value::UInt(number) | Value::Bit { value: number, .. } => put_unsigned(number, out),
            Value::Float(number) => put_float(number.into(), out),
            Value::Double(number) => put_float(number, out),
            Value::Decimal(decimal) => put_decimal(decimal, out),
            Value::Year(year) => put_parts([Some(year.into()), None, None, None, None, None, None], out),
            Value::Date(date) => put_date(date, out),
            Value::Time(time) => put_time(time, out),
            Value::DateTime(moment) => put_datetime(moment, out),
            Value::Timestamp(moment) => put_timestamp(moment, out),
            Value::Bytes(bytes) => return self.write_bytes(column, bytes, out),
            Value::Compressed(compressed) => {
                let mut inflated = std::mem::take(&mut self.scratch);
                inflated.clear();
                let done = compressed.inflate(INFLATED_MAX, &mut inflated).map_err(|e| value_error(column, e));
                let written = done.and_then(|()| self.write_bytes(column, &inflated, out));
                self.scratch = inflated;
                return written;
            }
            value @ (Value::Enum(_) | Value::Set(_) | Value::Json(_)) => {
                self.scratch.clear();
                self.renderer.write_text(column, &value, &mut self.scratch)?;
                put_bytes(&self.scratch, out);
            }
            Value::JsonDiff(diff) => {
                let base = row.before.map_or(Ok(None), |before| before.get(cell.index));
                let Some(Value::Json(base)) = base.map_err(|source| value_error(column, source))? else {
                    return Err(FormatError::NoJsonBase { column: column.name.to_string() });
                };
                self.scratch.clear();
                json::apply_diff(base, diff, &mut self.scratch).map_err(|source| value_error(column, source))?;
                std::str::from_utf8(&self.scratch)
                    .map_err(|_| value_error(column, DecodeError::NotUtf8 { what: "json" }))?;
                put_bytes(&self.scratch, out);
            }
            Value::Null => return Err(kind_error(column)),
        }
        Ok(())
    }

    /// Writes text or bytes of a column that holds either.
    fn write_bytes(&mut self, column: &Column, bytes: &[u8], out: &mut Window<'_>) -> Result<(), FormatError> {
        match column.kind {
            ColumnType::Text { .. } if self.options.avro_text == super::TextBranch::TextObject => {
                self.write_text(column, bytes, out)?;
            }
            ColumnType::Char { .. } | ColumnType::VarChar { .. } | ColumnType::Text { .. } => {
                self.note_bad_text(column, bytes)?;
                put_bytes(bytes, out);
            }
            ColumnType::Binary { length } => {
                let length = length as usize;
                put_long(length.max(bytes.len()) as i64, out);
                out.put_slice(bytes);
                (bytes.len()..length).for_each(|_| out.put(&[0]));
            }
            ColumnType::Inet4 | ColumnType::Inet6 | ColumnType::Uuid => self.write_text(column, bytes, out)?,
            ColumnType::Geometry { .. } => put_bytes(bytes.get(SRID..).ok_or_else(|| kind_error(column))?, out),
            ColumnType::VarBinary { .. } | ColumnType::Blob { .. } | ColumnType::Vector { .. } => put_bytes(bytes, out),
            _ => return Err(kind_error(column)),
        }
        Ok(())
    }

    /// Writes bytes as the UTF-8 that the renderer makes of them.
    fn write_text(&mut self, column: &Column, bytes: &[u8], out: &mut Window<'_>) -> Result<(), FormatError> {
        let mut text = Vec::new();
        self.renderer.write_text(column, &Value::Bytes(bytes), &mut text)?;
        put_bytes(&text, out);
        Ok(())
    }

    /// Bytes that are not text in the column's character set stop, or are counted.
    fn note_bad_text(&mut self, column: &Column, bytes: &[u8]) -> Result<(), FormatError> {
        let charset = column.charset;
        if (charset.holds_ascii() && bytes.is_ascii()) || !charset.decode(bytes, &mut self.decoded).bad {
            return Ok(());
        }
        if self.options.on_bad_text == OnBadText::Fail {
            return Err(FormatError::BadText { column: column.name.to_string(), charset: charset.name() });
        }
        self.bad_text += 1;
        Ok(())
    }
}

/// The cell of column `index`, if it is among what is left; indexes must rise by one.
fn take<'a>(cells: &mut Peekable<Cells<'a>>, index: usize) -> Result<Option<Cell<'a>>, DecodeError> {
    cells.next_if(|cell| cell.as_ref().map_or(true, |cell| cell.index <= index)).transpose()
}

fn put_float(number: f64, out: &mut Window<'_>) {
    out.put(&number.to_le_bytes());
    out.put(&float_tail());
}

/// The text, how many digits the value has, and how many digits stand behind the point.
fn put_decimal(decimal: Decimal<'_>, out: &mut Window<'_>) {
    let mut text = [0; LONGEST];
    let len = decimal.write_to(&mut text);
    let text = &text[..len];
    put_bytes(text, out);
    let mut digits = text.iter().filter(|byte| byte.is_ascii_digit()).skip_while(|&&byte| byte == b'0');
    let precision = if digits.next().is_some() { 1 + digits.count() } else { 1 };
    put_long(precision as i64, out);
    put_long(decimal.scale().into(), out);
}

#[inline]
fn put_timestamp(moment: Timestamp, out: &mut Window<'_>) {
    put_long(moment.seconds.into(), out);
    put_long(moment.micros.into(), out);
}

fn put_date(date: Date, out: &mut Window<'_>) {
    let Date { year, month, day } = date;
    put_parts([Some(year.into()), Some(month.into()), Some(day.into()), None, None, None, None], out);
}

#[inline]
fn put_datetime(moment: DateTime, out: &mut Window<'_>) {
    let DateTime { date: Date { year, month, day }, hour, minute, second, micros, .. } = moment;
    let parts = [year.into(), month.into(), day.into(), hour.into(), minute.into(), second.into(), i64::from(micros)];
    put_parts(parts.map(Some), out);
}

fn put_time(time: Time, out: &mut Window<'_>) {
    let sign = if time.negative { -1 } else { 1 };
    let part = |part: u32| Some(sign * i64::from(part));
    let (hours, minutes, seconds) = (part(time.hours.into()), part(time.minutes.into()), part(time.seconds.into()));
    put_parts([None, None, None, hours, minutes, seconds, part(time.micros)], out);
}

/// The seven parts of a DateTime, each a union.
#[inline]
fn put_parts(parts: [Option<i64>; 7], out: &mut Window<'_>) {
    for part in parts {
        match part {
            None => out.put(&[branch::NULL]),
            Some(part @ 0..64) => out.put(&[branch::SECOND, (part as u8) << 1]),
            Some(part) => {
                out.put(&[branch::SECOND]);
                put_long(part, out);
            }
        }
    }
}

fn row_error(row: &RowChange<'_>, source: DecodeError) -> FormatError {
    FormatError::Rows(RowsError::Decode { index: row.index, source })
}

fn value_error(column: &Column, source: DecodeError) -> FormatError {
    FormatError::Value { column: column.name.to_string(), source }
}

fn kind_error(column: &Column) -> FormatError {
    FormatError::Kind { column: column.name.to_string() }
}
