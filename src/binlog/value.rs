//! One value of a row, typed and borrowed.

use super::column::{ColumnDef, WireType};
use super::compressed::CompressedValue;
use super::decimal::Decimal;
use super::error::{DecodeError, Result};
use super::time::{Date, DateTime, Time, Timestamp};

/// A value. Text stays in its column's character set; what needs text writes it (`Decimal::write`, `json::write_text`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer of any width.
    UInt(u64),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// DECIMAL.
    Decimal(Decimal<'a>),
    /// BIT: the number and how many bits the column has.
    Bit {
        /// The bits, the last one lowest.
        value: u64,
        /// 1 to 64.
        bits: u8,
    },
    /// YEAR: 0, or 1901 to 2155.
    Year(u16),
    /// DATE.
    Date(Date),
    /// TIME.
    Time(Time),
    /// DATETIME.
    DateTime(DateTime),
    /// TIMESTAMP.
    Timestamp(Timestamp),
    /// Text in the column's character set, or bytes: CHAR, VARCHAR, TEXT, BINARY, VARBINARY, BLOB; also GEOMETRY (SRID,
    /// WKB), VECTOR (32-bit floats, little-endian), and MariaDB's INET and UUID types (their bytes). BINARY(n) comes
    /// without its trailing zeros, as does CHAR without its trailing spaces.
    Bytes(&'a [u8]),
    /// ENUM: number of the label from 1; 0 is the empty value of a rejected label.
    Enum(u32),
    /// SET: bit n is label n + 1.
    Set(u64),
    /// JSON in the server's binary form.
    Json(&'a [u8]),
    /// JSON as differences from the before image of the same row: `json::apply_diff`.
    JsonDiff(&'a [u8]),
    /// MariaDB: text or bytes of a COMPRESSED column that really are compressed.
    Compressed(CompressedValue<'a>),
}

impl<'a> Value<'a> {
    /// Decodes the bytes of one value that is not NULL. Integers are signed unless the column says otherwise.
    ///
    /// # Errors
    /// When the bytes are not those of a value of the type.
    #[inline]
    pub fn decode(column: &ColumnDef, bytes: &'a [u8]) -> Result<Value<'a>> {
        let meta = column.meta();
        Ok(match column.wire() {
            WireType::LONG | WireType::LONGLONG | WireType::TINY | WireType::SHORT | WireType::INT24 => {
                if column.unsigned == Some(true) { Value::UInt(unsigned(bytes)) } else { Value::Int(signed(bytes)) }
            }
            WireType::STRING
            | WireType::VARCHAR
            | WireType::VAR_STRING
            | WireType::BLOB
            | WireType::TINY_BLOB
            | WireType::MEDIUM_BLOB
            | WireType::LONG_BLOB
            | WireType::GEOMETRY
            | WireType::VECTOR => Value::Bytes(bytes),
            WireType::NEWDECIMAL => match Decimal::new(bytes, (meta >> 8) as u8, meta as u8) {
                Some(decimal) => Value::Decimal(decimal),
                None => return Err(DecodeError::Invalid { what: "decimal metadata", value: meta.into() }),
            },
            WireType::DATETIME2 => Value::DateTime(DateTime::from_wire2(bytes, meta as u8)),
            WireType::TIMESTAMP2 | WireType::TIMESTAMP => {
                Value::Timestamp(Timestamp::from_wire(bytes, column.wire(), meta as u8))
            }
            WireType::TIME2 => Value::Time(Time::from_wire2(bytes, meta as u8)),
            WireType::DATE | WireType::NEWDATE => Value::Date(Date::from_wire(bytes)),
            WireType::DOUBLE => Value::Double(f64::from_bits(little_endian(bytes).0)),
            WireType::FLOAT => Value::Float(f32::from_bits(little_endian(bytes).0 as u32)),
            WireType::ENUM => Value::Enum(little_endian(bytes).0 as u32),
            WireType::SET => Value::Set(little_endian(bytes).0),
            WireType::JSON => Value::Json(bytes),
            WireType::BIT => Value::Bit { value: big_endian(bytes), bits: meta as u8 },
            WireType::YEAR => match little_endian(bytes).0 as u16 {
                0 => Value::Year(0),
                since_1900 => Value::Year(1900 + since_1900),
            },
            WireType::TIME => Value::Time(Time::from_wire_old(bytes, meta as u8)),
            WireType::DATETIME => Value::DateTime(DateTime::from_wire_old(bytes, meta as u8)),
            WireType::VARCHAR_COMPRESSED | WireType::BLOB_COMPRESSED => CompressedValue::parse(bytes)?,
            WireType::NULL => Value::Null,
            WireType(other) => return Err(DecodeError::Unsupported { what: "column type", value: other.into() }),
        })
    }
}

/// A little-endian number of up to eight bytes.
#[inline]
pub(crate) fn unsigned(bytes: &[u8]) -> u64 {
    little_endian(bytes).0
}

/// A little-endian number of up to eight bytes, the highest bit its sign.
#[inline]
pub(crate) fn signed(bytes: &[u8]) -> i64 {
    let (value, bits) = little_endian(bytes);
    (value << (64 - bits)) as i64 >> (64 - bits)
}

/// The number and its width in bits, 8 to 64.
#[inline]
fn little_endian(bytes: &[u8]) -> (u64, u32) {
    match *bytes {
        [a] => (a.into(), 8),
        [a, b] => (u16::from_le_bytes([a, b]).into(), 16),
        [a, b, c, d] => (u32::from_le_bytes([a, b, c, d]).into(), 32),
        [a, b, c, d, e, f, g, h] => (u64::from_le_bytes([a, b, c, d, e, f, g, h]), 64),
        _ => {
            let value = bytes.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b));
            (value, (bytes.len() as u32 * 8).clamp(8, 64))
        }
    }
}

#[inline]
fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |v, &b| v << 8 | u64::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(wire: WireType, bytes: &[u8], unsigned: bool) -> Value<'_> {
        let mut column = ColumnDef::new(wire, 0).unwrap();
        column.unsigned = Some(unsigned);
        Value::decode(&column, bytes).unwrap()
    }

    #[test]
    fn negative_mediumint_keeps_its_sign() {
        assert_eq!(int(WireType::INT24, &[0xFF, 0xFF, 0xFF], false), Value::Int(-1));
        assert_eq!(int(WireType::INT24, &[0, 0, 0x80], false), Value::Int(-8_388_608));
        assert_eq!(int(WireType::INT24, &[0xFF, 0xFF, 0xFF], true), Value::UInt(16_777_215));
    }

    #[test]
    fn unsigned_integers_reach_their_upper_half() {
        assert_eq!(int(WireType::TINY, &[255], true), Value::UInt(255));
        assert_eq!(int(WireType::TINY, &[255], false), Value::Int(-1));
        assert_eq!(int(WireType::LONGLONG, &[255; 8], true), Value::UInt(u64::MAX));
        assert_eq!(int(WireType::LONGLONG, &[255; 8], false), Value::Int(-1));
    }

    #[test]
    fn year_zero_is_not_1900() {
        let year = ColumnDef::new(WireType::YEAR, 0).unwrap();
        assert_eq!(Value::decode(&year, &[0]), Ok(Value::Year(0)));
        assert_eq!(Value::decode(&year, &[255]), Ok(Value::Year(2155)));
    }
}
