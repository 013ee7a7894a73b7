//! A row as a SELECT answers it, to the image that a binlog event holds of it: the same bytes, so that nothing behind
//! the log can tell the two apart but by their mark.

use thiserror::Error;

use crate::binlog::column::{ColumnDef, WireType};
use crate::binlog::decimal::{DigitsError, write_digits};
use crate::binlog::json::{Document, JsonEncodeError, JsonTextError};
use crate::binlog::time::{Date, DateTime, Time, Timestamp};
use crate::binlog::{EncodeError, RowWriter, Value};
use crate::capture::stream::{BinaryRow, Field, StreamError, identifier};
use crate::change::column_type::ColumnType;
use crate::change::plan::TablePlan;

/// A value of the answer that does not fit its column, or an answer that is cut.
#[derive(Debug, Error)]
pub enum ImageError {
    /// The answer itself.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A value.
    #[error("column {column}: {fault}")]
    Value {
        /// The column.
        column: String,
        /// What is wrong.
        fault: ValueFault,
    },
}

/// What is wrong with a value.
#[derive(Debug, Error)]
pub enum ValueFault {
    /// The column cannot hold it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A decimal that is none, or does not fit.
    #[error(transparent)]
    Decimal(#[from] DigitsError),
    /// JSON that does not parse.
    #[error("read json: {0}")]
    Json(#[from] JsonTextError),
    /// JSON that has no binary form.
    #[error("write json: {0}")]
    JsonForm(#[from] JsonEncodeError),
    /// The server answers another type than the column is said to have.
    #[error("the server answers type {kind} in {bytes} bytes, which is not what the table's definition says")]
    Type {
        /// Its type (`enum_field_types`).
        kind: u8,
        /// Bytes of the value.
        bytes: usize,
    },
    /// A moment before 1970 or after 2106.
    #[error("a TIMESTAMP out of its range")]
    Moment,
}

/// How the values of a column are brought into the form that rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// So many bytes of a number, lowest first.
    Low(u8),
    Year,
    Decimal,
    Bit,
    Date,
    DateTime,
    Timestamp,
    Time,
    /// The number of a label, or the mask of several.
    Labels,
    Bytes,
    /// Without its trailing zeros.
    Binary,
    Json,
    Address,
    Uuid,
}

/// What is asked of a table so that each of its columns can be written, in table order.
pub fn select_list(plan: &TablePlan) -> String {
    let parts: Vec<String> = plan
        .columns
        .iter()
        .map(|column| {
            let name = identifier(&column.name);
            match column.kind {
                // The number, and not the label in some character set.
                ColumnType::Enum | ColumnType::Set => format!("CAST({name} AS UNSIGNED)"),
                _ => name,
            }
        })
        .collect();
    parts.join(", ")
}

/// Writes images of the rows of one table.
#[derive(Debug)]
pub struct ImageWriter {
    forms: Vec<Form>,
    scratch: Vec<u8>,
}

impl ImageWriter {
    /// For rows of a table with this plan.
    pub fn new(plan: &TablePlan) -> Self {
        let forms = plan.columns.iter().zip(&plan.defs).map(|(column, def)| form(column.kind, def)).collect();
        Self { forms, scratch: Vec::new() }
    }

    /// Writes a row of the answer to [`select_list`].
    ///
    /// # Errors
    /// A value that does not fit its column.
    pub fn write(
        &mut self,
        plan: &TablePlan,
        fields: &[Field],
        row: &BinaryRow<'_>,
        writer: &mut RowWriter,
    ) -> Result<(), ImageError> {
        writer.begin();
        let Self { forms, scratch } = self;
        row.each(|index, bytes| {
            let (Some(&form), Some(def), Some(field)) = (forms.get(index), plan.defs.get(index), fields.get(index))
            else {
                return Err(StreamError::Protocol("more columns than were asked for").into());
            };
            let Some(bytes) = bytes else {
                writer.null();
                return Ok(());
            };
            value(form, def, *field, bytes, scratch, writer)
                .map_err(|fault| ImageError::Value { column: plan.columns[index].name.to_string(), fault })
        })
    }
}

fn form(kind: ColumnType, def: &ColumnDef) -> Form {
    match (kind, def.wire()) {
        (_, WireType::TINY) => Form::Low(1),
        (_, WireType::SHORT) => Form::Low(2),
        (_, WireType::INT24) => Form::Low(3),
        (_, WireType::LONG | WireType::FLOAT) => Form::Low(4),
        (_, WireType::LONGLONG | WireType::DOUBLE) => Form::Low(8),
        (_, WireType::YEAR) => Form::Year,
        (_, WireType::NEWDECIMAL) => Form::Decimal,
        (_, WireType::BIT) => Form::Bit,
        (_, WireType::DATE) => Form::Date,
        (_, WireType::DATETIME2) => Form::DateTime,
        (_, WireType::TIMESTAMP2) => Form::Timestamp,
        (_, WireType::TIME2) => Form::Time,
        (_, WireType::ENUM | WireType::SET) => Form::Labels,
        (_, WireType::JSON) => Form::Json,
        (ColumnType::Inet4 | ColumnType::Inet6, _) => Form::Address,
        (ColumnType::Uuid, _) => Form::Uuid,
        (ColumnType::Binary { .. }, _) => Form::Binary,
        _ => Form::Bytes,
    }
}

fn value(
    form: Form,
    def: &ColumnDef,
    field: Field,
    bytes: &[u8],
    scratch: &mut Vec<u8>,
    writer: &mut RowWriter,
) -> Result<(), ValueFault> {
    let odd = || ValueFault::Type { kind: field.kind, bytes: bytes.len() };
    let fsp = def.meta() as u8;
    match form {
        Form::Low(width) => {
            // MEDIUMINT comes in four bytes.
            let low =
                bytes.get(..width.into()).filter(|_| bytes.len() <= 8 && is_number(field.kind)).ok_or_else(odd)?;
            writer.raw(def, low)?;
        }
        Form::Year => {
            let year = bytes.first_chunk::<2>().filter(|_| bytes.len() == 2).ok_or_else(odd)?;
            writer.value(def, &Value::Year(u16::from_le_bytes(*year)))?;
        }
        Form::Decimal => {
            scratch.clear();
            write_digits(bytes, (def.meta() >> 8) as u8, def.meta() as u8, scratch)?;
            writer.raw(def, scratch)?;
        }
        Form::Bit => {
            if bytes.len() > 8 {
                return Err(odd());
            }
            let number = bytes.iter().fold(0u64, |number, &b| number << 8 | u64::from(b));
            writer.value(def, &Value::Bit { value: number, bits: fsp })?;
        }
        Form::Date => writer.value(def, &Value::Date(moment(bytes, 0).ok_or_else(odd)?.date))?,
        Form::DateTime => writer.value(def, &Value::DateTime(moment(bytes, fsp).ok_or_else(odd)?))?,
        Form::Timestamp => {
            let at = moment(bytes, fsp).ok_or_else(odd)?;
            let seconds = if at.is_zero() { 0 } else { seconds(at).ok_or(ValueFault::Moment)? };
            writer.value(def, &Value::Timestamp(Timestamp { seconds, micros: at.micros, fsp }))?;
        }
        Form::Time => writer.value(def, &Value::Time(span(bytes, fsp).ok_or_else(odd)?))?,
        Form::Labels => {
            // In as few bytes as the server finds that the labels take.
            if bytes.len() > 8 || !is_number(field.kind) {
                return Err(odd());
            }
            let number = bytes.iter().rev().fold(0u64, |number, &b| number << 8 | u64::from(b));
            let labels = match def.wire() {
                WireType::SET => Value::Set(number),
                _ => Value::Enum(u32::try_from(number).map_err(|_| odd())?),
            };
            writer.value(def, &labels)?;
        }
        Form::Bytes => writer.raw(def, bytes)?,
        Form::Binary => writer.raw(def, without_zeros(bytes))?,
        Form::Json => {
            let text = std::str::from_utf8(bytes).map_err(|_| odd())?;
            scratch.clear();
            Document::parse_printed(text)?.write_binary(scratch)?;
            writer.value(def, &Value::Json(scratch))?;
        }
        Form::Address => {
            let text = std::str::from_utf8(bytes).map_err(|_| odd())?;
            match text.parse().map_err(|_| odd())? {
                std::net::IpAddr::V4(address) if def.meta() == 4 => {
                    writer.raw(def, without_zeros(&address.octets()))?
                }
                std::net::IpAddr::V6(address) if def.meta() == 16 => {
                    writer.raw(def, without_zeros(&address.octets()))?;
                }
                _ => return Err(odd()),
            }
        }
        Form::Uuid => {
            let uuid: crate::binlog::gtid::Uuid =
                std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or_else(odd)?;
            writer.raw(def, without_zeros(&uuid.0))?;
        }
    }
    Ok(())
}

fn is_number(kind: u8) -> bool {
    matches!(kind, 1..=5 | 8 | 9)
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1)]
}

/// Year (2 bytes), month, day; then hour, minute, second; then microseconds (4 bytes). Parts that are zero are left out
/// from the end.
fn moment(bytes: &[u8], fsp: u8) -> Option<DateTime> {
    if !matches!(bytes.len(), 0 | 4 | 7 | 11) {
        return None;
    }
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let date = Date { year: u16::from_le_bytes([byte(0), byte(1)]), month: byte(2), day: byte(3) };
    let micros = u32::from_le_bytes([byte(7), byte(8), byte(9), byte(10)]);
    Some(DateTime { date, hour: byte(4), minute: byte(5), second: byte(6), micros, fsp })
}

/// Sign, days (4 bytes), hours, minutes, seconds; then microseconds (4 bytes).
fn span(bytes: &[u8], fsp: u8) -> Option<Time> {
    if !matches!(bytes.len(), 0 | 8 | 12) {
        return None;
    }
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let days = u32::from_le_bytes([byte(1), byte(2), byte(3), byte(4)]);
    let hours = days.checked_mul(24)?.checked_add(byte(5).into())?;
    Some(Time {
        negative: byte(0) != 0,
        hours: u16::try_from(hours).ok()?,
        minutes: byte(6),
        seconds: byte(7),
        micros: u32::from_le_bytes([byte(8), byte(9), byte(10), byte(11)]),
        fsp,
    })
}

/// Seconds since 1970 of a moment in UTC, which is the session's zone.
fn seconds(at: DateTime) -> Option<u32> {
    let civil = jiff::civil::DateTime::new(
        i16::try_from(at.date.year).ok()?,
        i8::try_from(at.date.month).ok()?,
        i8::try_from(at.date.day).ok()?,
        i8::try_from(at.hour).ok()?,
        i8::try_from(at.minute).ok()?,
        i8::try_from(at.second).ok()?,
        0,
    );
    u32::try_from(civil.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(kind: ColumnType, wire: WireType, meta: u16, field: u8, bytes: &[u8]) -> Result<Vec<u8>, ValueFault> {
        let mut def = ColumnDef::new(wire, meta).expect("a column");
        def.unsigned = kind.unsigned();
        let mut writer = RowWriter::new();
        writer.begin();
        let field = Field { kind: field, unsigned: false };
        value(form(kind, &def), &def, field, bytes, &mut Vec::new(), &mut writer)?;
        let defs = [def];
        let image = writer.image(&defs).expect("an image");
        Ok(image.cell(0).expect("whole").expect("there").bytes.expect("not NULL").to_vec())
    }

    #[test]
    fn numbers_lose_nothing_and_change_nothing() {
        let medium = ColumnType::MediumInt { unsigned: false };
        assert_eq!(written(medium, WireType::INT24, 0, 9, &[0xFF; 4]).expect("-1"), [0xFF; 3]);
        let float = ColumnType::Float { unsigned: false };
        assert_eq!(
            written(float, WireType::FLOAT, 4, 4, &1.1f32.to_le_bytes()).expect("a float"),
            1.1f32.to_le_bytes()
        );
        assert_eq!(written(ColumnType::Year, WireType::YEAR, 0, 13, &[0, 0]).expect("0000"), [0]);
        assert_eq!(written(ColumnType::Year, WireType::YEAR, 0, 13, &2155u16.to_le_bytes()).expect("2155"), [255]);
        let decimal = ColumnType::Decimal { precision: 10, scale: 2, unsigned: false };
        let bytes = written(decimal, WireType::NEWDECIMAL, 10 << 8 | 2, 246, b"-12.30").expect("a decimal");
        assert_eq!(bytes, [0x7F, 0xFF, 0xFF, 0xF3, 0xE1]);
        assert!(written(decimal, WireType::NEWDECIMAL, 10 << 8 | 2, 246, b"-12.345").is_err());
        assert!(written(medium, WireType::INT24, 0, 253, b"text").is_err(), "a type that is not the column's");
    }

    #[test]
    fn zero_times_and_parts_of_times_stay_what_they_are() {
        let timestamp = ColumnType::Timestamp { fsp: 0 };
        assert_eq!(written(timestamp, WireType::TIMESTAMP2, 0, 7, &[]).expect("zero"), [0; 4]);
        let second = [0xB2, 0x07, 1, 1, 0, 0, 1];
        assert_eq!(written(timestamp, WireType::TIMESTAMP2, 0, 7, &second).expect("1970"), [0, 0, 0, 1]);
        let before = [0xB1, 0x07, 1, 1];
        assert!(matches!(written(timestamp, WireType::TIMESTAMP2, 0, 7, &before), Err(ValueFault::Moment)));
        // 2026-00-00 of a server that allows it.
        assert_eq!(
            written(ColumnType::Date, WireType::DATE, 0, 10, &[0xEA, 7, 0, 0]).expect("a date"),
            [0, 0xD4, 0x0F]
        );
        let time = ColumnType::Time { fsp: 0 };
        let longest = [1, 34, 0, 0, 0, 22, 59, 59];
        let bytes = written(time, WireType::TIME2, 0, 11, &longest).expect("-838:59:59");
        let column = ColumnDef::new(WireType::TIME2, 0).expect("a column");
        let Value::Time(read) = Value::decode(&column, &bytes).expect("a time") else { panic!("a time") };
        assert_eq!((read.negative, read.hours, read.minutes, read.seconds), (true, 838, 59, 59));
    }

    #[test]
    fn bytes_of_a_fixed_length_come_without_their_padding() {
        let binary = ColumnType::Binary { length: 4 };
        assert_eq!(written(binary, WireType::STRING, 4, 254, &[1, 0, 2, 0]).expect("bytes"), [1, 0, 2]);
        assert_eq!(
            written(ColumnType::Inet6, WireType::STRING, 16, 254, b"2001:db8::").expect("bytes"),
            [0x20, 1, 0x0D, 0xB8]
        );
        let uuid = b"123e4567-e89b-12d3-a456-426655440000";
        assert_eq!(written(ColumnType::Uuid, WireType::STRING, 16, 254, uuid).expect("bytes").len(), 14);
    }
}
