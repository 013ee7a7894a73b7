//! The record stream of bulk uploads: protobuf's fields without messages around them.
//!
//! ```text
//! record  = { tag, value } for each column that is not NULL, then tag END_RECORD, varint CRC32C of the record
//! block   = { record } tag COUNT, zigzag records, tag CHECKSUM, varint CRC32C of the records' checksums
//! ```
//!
//! A column's field number is its place from 1; partition columns are not counted. A record's checksum runs over each
//! field's number (i32, little-endian) and its value in fixed width, not over the bytes that are sent. TIMESTAMP, ARRAY,
//! MAP and STRUCT have wire type 2 without a length, so only a reader that knows the columns can read a record.

use super::data_type::DataType;
use super::datum::{Datum, Misfit};

/// Field number of a record's end, with its checksum.
pub const END_RECORD: u32 = 33_553_408;
/// Field number of the count of records.
pub const COUNT: u32 = 33_554_430;
/// Field number of the checksum of checksums.
pub const CHECKSUM: u32 = 33_554_431;

/// Wire types of protobuf.
pub(super) mod wire {
    use super::DataType;

    pub const VARINT: u32 = 0;
    pub const FIXED64: u32 = 1;
    pub const BYTES: u32 = 2;
    pub const FIXED32: u32 = 5;

    /// That of a column's values.
    pub fn of(kind: &DataType) -> u32 {
        match kind {
            DataType::BigInt
            | DataType::Int
            | DataType::SmallInt
            | DataType::TinyInt
            | DataType::Boolean
            | DataType::DateTime
            | DataType::Date
            | DataType::IntervalYearMonth => VARINT,
            DataType::Double => FIXED64,
            DataType::Float => FIXED32,
            _ => BYTES,
        }
    }
}

/// Most bytes of a varint of 64 bits.
const VARINT_MAX: usize = 10;

#[inline]
fn write_varint(number: u64, out: &mut Vec<u8>) {
    let mut bytes = [0; VARINT_MAX];
    let (mut rest, mut len) = (number, 0);
    while rest >= 0x80 {
        bytes[len] = rest as u8 | 0x80;
        rest >>= 7;
        len += 1;
    }
    bytes[len] = rest as u8;
    out.extend_from_slice(&bytes[..=len]);
}

#[inline]
fn write_zigzag(number: i64, out: &mut Vec<u8>) {
    write_varint((number << 1 ^ number >> 63) as u64, out);
}

#[inline]
fn write_tag(field: u32, wire_type: u32, out: &mut Vec<u8>) {
    write_varint((field << 3 | wire_type).into(), out);
}

/// Writes records one after the other; keeps what a checksum runs over until its record ends.
#[derive(Debug, Default)]
pub struct RecordWriter {
    covered: Vec<u8>,
}

/// A record in the making. Columns go in by rising place; one that is left out is NULL. Dropping it without
/// [`Record::end`] leaves `out` in the middle of it: the caller cuts it off.
#[derive(Debug)]
pub struct Record<'a> {
    covered: &'a mut Vec<u8>,
    out: &'a mut Vec<u8>,
}

impl RecordWriter {
    /// Begins a record at the end of `out`.
    pub fn begin<'a>(&'a mut self, out: &'a mut Vec<u8>) -> Record<'a> {
        self.covered.clear();
        Record { covered: &mut self.covered, out }
    }
}

impl Record<'_> {
    #[inline]
    fn field(&mut self, column: usize, wire_type: u32) {
        let field = column as u32 + 1;
        write_tag(field, wire_type, self.out);
        self.covered.extend_from_slice(&field.to_le_bytes());
    }

    /// BIGINT, INT, SMALLINT, TINYINT; DATETIME in milliseconds and DATE in days since the epoch; months.
    #[inline]
    pub fn integer(&mut self, column: usize, value: i64) {
        self.field(column, wire::VARINT);
        self.put_integer(value);
    }

    /// BOOLEAN.
    pub fn boolean(&mut self, column: usize, value: bool) {
        self.field(column, wire::VARINT);
        self.put_boolean(value);
    }

    /// DOUBLE.
    #[inline]
    pub fn double(&mut self, column: usize, value: f64) {
        self.field(column, wire::FIXED64);
        self.put_fixed(&value.to_le_bytes());
    }

    /// FLOAT.
    #[inline]
    pub fn float(&mut self, column: usize, value: f32) {
        self.field(column, wire::FIXED32);
        self.put_fixed(&value.to_le_bytes());
    }

    /// STRING, VARCHAR, CHAR, BINARY, JSON, and DECIMAL as its text.
    #[inline]
    pub fn bytes(&mut self, column: usize, value: &[u8]) {
        self.field(column, wire::BYTES);
        self.put_bytes(value);
    }

    /// TIMESTAMP and TIMESTAMP_NTZ: seconds since the epoch, rounded down, and nanoseconds above them.
    #[inline]
    pub fn moment(&mut self, column: usize, seconds: i64, nanos: u32) {
        self.field(column, wire::BYTES);
        self.put_moment(seconds, nanos);
    }

    /// A value of any type.
    ///
    /// # Errors
    /// A value that is not of this type; the record must be given up then.
    pub fn datum(&mut self, column: usize, kind: &DataType, value: &Datum) -> Result<(), Misfit> {
        self.field(column, wire::of(kind));
        self.put(kind, value)
    }

    /// Ends the record; returns its checksum.
    #[inline]
    pub fn end(self) -> u32 {
        let checksum = crc32c::crc32c(self.covered);
        write_tag(END_RECORD, wire::VARINT, self.out);
        write_varint(checksum.into(), self.out);
        checksum
    }

    #[inline]
    fn put_integer(&mut self, value: i64) {
        write_zigzag(value, self.out);
        self.covered.extend_from_slice(&value.to_le_bytes());
    }

    fn put_boolean(&mut self, value: bool) {
        self.put_fixed(&[value.into()]);
    }

    #[inline]
    fn put_fixed(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.covered.extend_from_slice(bytes);
    }

    #[inline]
    fn put_bytes(&mut self, value: &[u8]) {
        write_varint(value.len() as u64, self.out);
        self.put_fixed(value);
    }

    #[inline]
    fn put_moment(&mut self, seconds: i64, nanos: u32) {
        self.put_integer(seconds);
        write_zigzag(nanos.into(), self.out);
        self.covered.extend_from_slice(&nanos.to_le_bytes());
    }

    fn put(&mut self, kind: &DataType, value: &Datum) -> Result<(), Misfit> {
        match (kind, value) {
            (
                DataType::BigInt
                | DataType::Int
                | DataType::SmallInt
                | DataType::TinyInt
                | DataType::DateTime
                | DataType::Date
                | DataType::IntervalYearMonth,
                &Datum::Integer(value),
            ) => self.put_integer(value),
            (DataType::Boolean, &Datum::Boolean(value)) => self.put_boolean(value),
            (DataType::Double, Datum::Double(value)) => self.put_fixed(&value.to_le_bytes()),
            (DataType::Float, Datum::Float(value)) => self.put_fixed(&value.to_le_bytes()),
            (
                DataType::String
                | DataType::VarChar(_)
                | DataType::Char(_)
                | DataType::Binary
                | DataType::Json
                | DataType::Decimal(_),
                Datum::Bytes(value),
            ) => self.put_bytes(value),
            (
                DataType::Timestamp | DataType::TimestampNtz | DataType::IntervalDayTime,
                &Datum::Moment { seconds, nanos },
            ) => self.put_moment(seconds, nanos),
            (DataType::Array(element), Datum::Array(values)) => {
                self.put_elements(element, values.len(), values.iter())?;
            }
            (DataType::Map(key, value), Datum::Map(entries)) => {
                self.put_elements(key, entries.len(), entries.iter().map(|(key, _)| key))?;
                self.put_elements(value, entries.len(), entries.iter().map(|(_, value)| value))?;
            }
            (DataType::Struct(fields), Datum::Struct(values)) if fields.len() == values.len() => {
                for ((_, kind), value) in fields.iter().zip(values) {
                    self.put_nullable(kind, value.as_ref())?;
                }
            }
            _ => return Err(Misfit { kind: kind.clone() }),
        }
        Ok(())
    }

    fn put_elements<'v>(
        &mut self,
        kind: &DataType,
        count: usize,
        values: impl Iterator<Item = &'v Option<Datum>>,
    ) -> Result<(), Misfit> {
        write_varint(count as u64, self.out);
        values.into_iter().try_for_each(|value| self.put_nullable(kind, value.as_ref()))
    }

    fn put_nullable(&mut self, kind: &DataType, value: Option<&Datum>) -> Result<(), Misfit> {
        self.out.push(value.is_none().into());
        value.map_or(Ok(()), |value| self.put(kind, value))
    }
}

/// The checksum at the end of a record; none for what is no whole record.
pub fn checksum_of(record: &[u8]) -> Option<u32> {
    // The tag in front ends in a byte without the mark of a longer number, so that the number can be read backwards.
    let last = record.len().checked_sub(1).filter(|&last| record[last] < 0x80)?;
    let start = record[..last].iter().rposition(|&byte| byte < 0x80)? + 1;
    let mut checksum: u64 = 0;
    for &byte in record[start..].iter().rev() {
        checksum = checksum.checked_mul(1 << 7)? | u64::from(byte & 0x7f);
    }
    u32::try_from(checksum).ok().filter(|_| record[..start].ends_with(&END_TAG))
}

/// The tag of a record's end: [`END_RECORD`] and [`wire::VARINT`].
const END_TAG: [u8; 4] = [0x80, 0xc0, 0xff, 0x7f];

/// What the trailer of a block says of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    records: u64,
    checksum: u32,
}

impl Tally {
    /// Counts a record with this checksum.
    #[inline]
    pub fn add(&mut self, record_checksum: u32) {
        self.records += 1;
        self.checksum = crc32c::crc32c_append(self.checksum, &record_checksum.to_le_bytes());
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The checksum of their checksums.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Appends the trailer.
    pub fn write_trailer(&self, out: &mut Vec<u8>) {
        write_tag(COUNT, wire::VARINT, out);
        write_zigzag(self.records as i64, out);
        write_tag(CHECKSUM, wire::VARINT, out);
        write_varint(self.checksum.into(), out);
    }
}

#[cfg(test)]
mod tests;
