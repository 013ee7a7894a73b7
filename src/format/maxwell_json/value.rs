//! One column's value as Maxwell shows it.

use crate::binlog::json;
use crate::binlog::{Cell, Value};
use crate::change::RowChange;
use crate::change::column_type::ColumnType;
use crate::change::schema::Column;
use crate::format::images::{base_of, value_error};
use crate::format::json::{write_number, write_string};
use crate::format::text::{FormatError, Renderer};
use crate::format::{number, wkt};

/// Bytes of the SRID in front of a geometry.
const SRID_BYTES: usize = 4;

/// Appends a cell of `row`.
///
/// # Errors
/// A value that cannot be shown; `out` then ends in the middle of it.
pub(super) fn write_cell(
    renderer: &mut Renderer,
    column: &Column,
    row: &RowChange<'_>,
    cell: &Cell<'_>,
    out: &mut Vec<u8>,
) -> Result<(), FormatError> {
    let kind = || FormatError::Kind { column: column.name.to_string() };
    let value = cell.value().map_err(|source| value_error(column, source))?;
    match (value, column.kind) {
        (Value::Int(number), _) => write_number(number, out),
        (Value::UInt(number), _) => write_number(number, out),
        (Value::Float(number), _) if number.is_finite() => number::write_float(number, out),
        (Value::Double(number), _) if number.is_finite() => number::write_double(number, out),
        // JSON has no such numbers, and no server stores them.
        (Value::Float(_) | Value::Double(_), _) => return Err(kind()),
        (Value::Decimal(decimal), _) => decimal.write(out),
        (Value::Bit { value, .. }, _) => write_number(value, out),
        (Value::Year(year), _) => write_number(year, out),
        (Value::Set(mask), _) => write_set(column, mask, out)?,
        // The server's text is JSON.
        (Value::Json(document), _) => {
            json::write_text(document, out).map_err(|source| value_error(column, source))?;
        }
        (Value::JsonDiff(diff), _) => {
            let Some(Value::Json(base)) = base_of(row, column, cell.index)? else {
                return Err(FormatError::NoJsonBase { column: column.name.to_string() });
            };
            json::apply_diff(base, diff, out).map_err(|source| value_error(column, source))?;
        }
        (Value::Bytes(bytes), ColumnType::Geometry { .. }) => {
            let (_, wkb) = bytes.split_first_chunk::<SRID_BYTES>().ok_or_else(kind)?;
            out.push(b'"');
            wkt::write(wkb, out).ok_or_else(kind)?;
            out.push(b'"');
        }
        (value, _) => return renderer.write_json(column, &value, out),
    }
    Ok(())
}

fn write_set(column: &Column, mask: u64, out: &mut Vec<u8>) -> Result<(), FormatError> {
    out.push(b'[');
    let mut rest = mask;
    while rest != 0 {
        let Some(label) = column.labels.get(rest.trailing_zeros() as usize) else {
            return Err(FormatError::Label { column: column.name.to_string(), number: mask });
        };
        if rest != mask {
            out.push(b',');
        }
        write_string(label, out);
        rest &= rest - 1;
    }
    out.push(b']');
    Ok(())
}
