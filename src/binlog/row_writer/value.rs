//! One value as its column lays it out.

use super::super::column::{ColumnDef, WireType};
use super::super::decimal::{Decimal, LONGEST, write_digits};
use super::super::value::Value;
use super::{EncodeError, put_sized, temporal};

/// Appends a value that is not NULL. On an error `out` may hold a part of it.
pub(super) fn write(column: &ColumnDef, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (wire, meta) = (column.wire(), column.meta());
    let fsp = meta as u8;
    match (wire, *value) {
        (WireType::TINY, value) => integer(column, &value, 1, out),
        (WireType::SHORT, value) => integer(column, &value, 2, out),
        (WireType::INT24, value) => integer(column, &value, 3, out),
        (WireType::LONG, value) => integer(column, &value, 4, out),
        (WireType::LONGLONG, value) => integer(column, &value, 8, out),
        (WireType::FLOAT, Value::Float(v)) => {
            out.extend_from_slice(&v.to_le_bytes());
            Ok(())
        }
        (WireType::DOUBLE, Value::Double(v)) => {
            out.extend_from_slice(&v.to_le_bytes());
            Ok(())
        }
        (WireType::NEWDECIMAL, Value::Decimal(v)) => decimal(v, (meta >> 8) as u8, meta as u8, out),
        (WireType::BIT, Value::Bit { value, .. }) => {
            if meta < 64 && value >> meta != 0 {
                return Err(EncodeError::Range { what: "a bit value" });
            }
            out.extend_from_slice(&value.to_be_bytes()[8 - usize::from(meta.div_ceil(8).min(8))..]);
            Ok(())
        }
        (WireType::YEAR, Value::Year(0)) => {
            out.push(0);
            Ok(())
        }
        (WireType::YEAR, Value::Year(v)) => match v.checked_sub(1900).and_then(|v| u8::try_from(v).ok()) {
            None | Some(0) => Err(EncodeError::Range { what: "a year" }),
            Some(since_1900) => {
                out.push(since_1900);
                Ok(())
            }
        },
        (WireType::DATE | WireType::NEWDATE, Value::Date(v)) => temporal::date(v, out),
        (WireType::TIME2, Value::Time(v)) => temporal::time2(v, fsp, out),
        (WireType::TIME, Value::Time(v)) => temporal::time_old(v, fsp, out),
        (WireType::DATETIME2, Value::DateTime(v)) => temporal::datetime2(v, fsp, out),
        (WireType::DATETIME, Value::DateTime(v)) => temporal::datetime_old(v, fsp, out),
        (WireType::TIMESTAMP2 | WireType::TIMESTAMP, Value::Timestamp(v)) => temporal::timestamp(v, wire, fsp, out),
        (WireType::ENUM, Value::Enum(v)) => little_endian(v.into(), meta, "an enum number", out),
        (WireType::SET, Value::Set(v)) => little_endian(v, meta, "a set mask", out),
        (WireType::JSON, Value::Json(bytes)) => put_sized(column, bytes, out),
        (WireType::STRING | WireType::VARCHAR | WireType::VAR_STRING, Value::Bytes(bytes)) => {
            // What a column takes is less than its length bytes could say.
            if bytes.len() > meta.into() {
                return Err(EncodeError::TooLong { bytes: bytes.len(), limit: meta.into() });
            }
            put_sized(column, bytes, out)
        }
        (
            WireType::BLOB
            | WireType::TINY_BLOB
            | WireType::MEDIUM_BLOB
            | WireType::LONG_BLOB
            | WireType::GEOMETRY
            | WireType::VECTOR,
            Value::Bytes(bytes),
        ) => put_sized(column, bytes, out),
        (WireType::VARCHAR_COMPRESSED | WireType::BLOB_COMPRESSED, Value::Bytes(bytes)) => stored(column, bytes, out),
        (WireType::VARCHAR_COMPRESSED | WireType::BLOB_COMPRESSED, Value::Compressed(v)) => {
            let mut bytes = Vec::new();
            v.write(&mut bytes);
            put_sized(column, &bytes, out)
        }
        (WireType(wire), value) => Err(EncodeError::Kind { wire, kind: kind(&value) }),
    }
}

fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Int(_) | Value::UInt(_) => "an integer",
        Value::Float(_) | Value::Double(_) => "a float",
        Value::Decimal(_) => "a decimal",
        Value::Bit { .. } => "bits",
        Value::Year(_) => "a year",
        Value::Date(_) => "a date",
        Value::Time(_) => "a time",
        Value::DateTime(_) => "a date and time",
        Value::Timestamp(_) => "a moment",
        Value::Bytes(_) | Value::Compressed(_) => "text or bytes",
        Value::Enum(_) => "an enum number",
        Value::Set(_) => "a set mask",
        Value::Json(_) => "a json document",
        Value::JsonDiff(_) => "json differences",
    }
}

fn integer(column: &ColumnDef, value: &Value<'_>, width: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let value = match *value {
        Value::Int(v) => i128::from(v),
        Value::UInt(v) => i128::from(v),
        ref other => return Err(EncodeError::Kind { wire: column.wire().0, kind: kind(other) }),
    };
    let bits = 8 * width as u32;
    let range = match column.unsigned {
        Some(true) => 0..=(1i128 << bits) - 1,
        _ => -(1i128 << (bits - 1))..=(1i128 << (bits - 1)) - 1,
    };
    if !range.contains(&value) {
        return Err(EncodeError::Range { what: "an integer" });
    }
    out.extend_from_slice(&value.to_le_bytes()[..width]);
    Ok(())
}

fn little_endian(value: u64, width: u16, what: &'static str, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let width = usize::from(width.min(8));
    if width < 8 && value >> (8 * width) != 0 {
        return Err(EncodeError::Range { what });
    }
    out.extend_from_slice(&value.to_le_bytes()[..width]);
    Ok(())
}

fn decimal(value: Decimal<'_>, precision: u8, scale: u8, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if (value.precision(), value.scale()) == (precision, scale) {
        out.extend_from_slice(value.bytes());
        return Ok(());
    }
    let mut text = [0; LONGEST];
    let len = value.write_to(&mut text);
    Ok(write_digits(&text[..len], precision, scale, out)?)
}

/// A value of a COMPRESSED column that is not compressed: behind a zero byte, but for the empty one.
fn stored(column: &ColumnDef, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if bytes.is_empty() {
        return put_sized(column, bytes, out);
    }
    let whole = [&[0], bytes].concat();
    if column.wire() == WireType::VARCHAR_COMPRESSED && whole.len() > column.meta().into() {
        return Err(EncodeError::TooLong { bytes: bytes.len(), limit: usize::from(column.meta()).saturating_sub(1) });
    }
    put_sized(column, &whole, out)
}
