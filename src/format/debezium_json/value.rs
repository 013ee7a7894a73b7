//! One column's value as Debezium's MySQL connector shows it with `time.precision.mode=adaptive_time_microseconds`
//! and `binary.handling.mode=bytes`, the defaults there.

use super::DecimalForm;
use super::decimal::Unscaled;
use crate::binlog::decimal::Decimal;
use crate::binlog::time::{Date, DateTime, Timestamp};
use crate::binlog::{Cell, Value};
use crate::change::RowChange;
use crate::change::column_type::ColumnType;
use crate::change::schema::Column;
use crate::format::images::{base_of, value_error};
use crate::format::json::write_number;
use crate::format::text::{FormatError, Renderer, write_base64};
use crate::format::{epoch, number};

/// Bytes of the SRID in front of a geometry.
const SRID_BYTES: usize = 4;

/// Appends a cell of `row`.
///
/// # Errors
/// A value that cannot be shown; `out` then ends in the middle of it.
pub(super) fn write_cell(
    renderer: &mut Renderer,
    decimals: DecimalForm,
    column: &Column,
    row: &RowChange<'_>,
    cell: &Cell<'_>,
    out: &mut Vec<u8>,
) -> Result<(), FormatError> {
    match cell.value().map_err(|source| value_error(column, source))? {
        Value::JsonDiff(diff) => {
            let base = base_of(row, column, cell.index)?;
            renderer.write_json_diff(column, base.as_ref(), diff, out)
        }
        value => write(renderer, decimals, column, &value, out),
    }
}

/// Appends a value.
///
/// # Errors
/// As [`write_cell`].
pub(super) fn write(
    renderer: &mut Renderer,
    decimals: DecimalForm,
    column: &Column,
    value: &Value<'_>,
    out: &mut Vec<u8>,
) -> Result<(), FormatError> {
    let kind = || FormatError::Kind { column: column.name.to_string() };
    match (*value, column.kind) {
        (Value::Null, _) => out.extend_from_slice(b"null"),
        (Value::Int(number), _) => write_number(number, out),
        (Value::UInt(number), _) => write_number(number, out),
        (Value::Float(number), _) if number.is_finite() => number::write_float(number, out),
        (Value::Double(number), _) if number.is_finite() => number::write_double(number, out),
        // JSON has no such numbers, and no server stores them.
        (Value::Float(_) | Value::Double(_), _) => return Err(kind()),
        (Value::Decimal(decimal), _) => write_decimal(decimals, &decimal, out),
        (Value::Bit { value, bits: 1 }, _) => out.extend_from_slice(if value == 0 { b"false" } else { b"true" }),
        (Value::Bit { value, bits }, _) => {
            let length = usize::from(bits).div_ceil(8).clamp(1, 8);
            string(out, |out| write_base64(&value.to_le_bytes()[..length], out));
        }
        (Value::Year(year), _) => write_number(year, out),
        (Value::Date(date), _) => write_date(column, date, out),
        (Value::DateTime(moment), ColumnType::DateTime { fsp }) => write_date_time(column, &moment, fsp, out),
        (Value::DateTime(_), _) => return Err(kind()),
        (Value::Timestamp(moment), _) => write_timestamp(column, moment, out),
        (Value::Time(time), _) => write_number(time.total_micros(), out),
        (Value::Bytes(bytes), ColumnType::Geometry { .. }) => write_geometry(bytes, out).ok_or_else(kind)?,
        (Value::Bytes(bytes), ColumnType::Vector { .. }) => write_vector(bytes, out).ok_or_else(kind)?,
        (Value::Bytes(_) | Value::Enum(_) | Value::Set(_) | Value::Json(_) | Value::Compressed(_), _) => {
            return renderer.write_json(column, value, out);
        }
        (Value::JsonDiff(_), _) => return Err(kind()),
    }
    Ok(())
}

fn string(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn write_decimal(form: DecimalForm, decimal: &Decimal<'_>, out: &mut Vec<u8>) {
    match form {
        DecimalForm::Precise => string(out, |out| write_base64(Unscaled::of(decimal).bytes(), out)),
        DecimalForm::String => string(out, |out| decimal.write(out)),
        DecimalForm::Double => {
            let mut text = [0; crate::binlog::decimal::LONGEST];
            let length = decimal.write_to(&mut text);
            let number = std::str::from_utf8(&text[..length]).ok().and_then(|text| text.parse().ok());
            // The text of a DECIMAL is a number, and one of 65 digits is no infinity.
            number::write_double(number.unwrap_or(0.0), out);
        }
    }
}

/// A date that no calendar has: NULL where that is allowed, else the epoch.
fn write_unknown(column: &Column, epoch: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(if column.nullable { b"null" } else { epoch });
}

fn write_date(column: &Column, date: Date, out: &mut Vec<u8>) {
    match epoch::days(date) {
        Some(days) => write_number(days, out),
        None => write_unknown(column, b"0", out),
    }
}

fn write_date_time(column: &Column, moment: &DateTime, fsp: u8, out: &mut Vec<u8>) {
    match epoch::micros(moment) {
        Some(micros) if fsp <= 3 => write_number(micros.div_euclid(1000), out),
        Some(micros) => write_number(micros, out),
        None => write_unknown(column, b"0", out),
    }
}

/// ISO 8601 in UTC, with as many digits of fraction as the column keeps.
fn write_timestamp(column: &Column, moment: Timestamp, out: &mut Vec<u8>) {
    if moment.seconds == 0 {
        write_unknown(column, b"\"1970-01-01T00:00:00Z\"", out);
        return;
    }
    out.push(b'"');
    let start = out.len();
    moment.write_utc(out);
    // The tenth byte is the space between date and time.
    if let Some(between) = out.get_mut(start + 10) {
        *between = b'T';
    }
    out.extend_from_slice(b"Z\"");
}

/// Well-known binary and SRID; an SRID of 0 is none.
fn write_geometry(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (srid, wkb) = bytes.split_first_chunk::<SRID_BYTES>()?;
    out.extend_from_slice(b"{\"wkb\":\"");
    write_base64(wkb, out);
    out.extend_from_slice(b"\",\"srid\":");
    match u32::from_le_bytes(*srid) {
        0 => out.extend_from_slice(b"null"),
        srid => write_number(srid, out),
    }
    out.push(b'}');
    Some(())
}

/// An array of 32-bit floats.
fn write_vector(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    out.push(b'[');
    for (place, number) in numbers.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let number = f32::from_le_bytes(*number);
        if !number.is_finite() {
            return None;
        }
        number::write_float(number, out);
    }
    out.push(b']');
    rest.is_empty().then_some(())
}
