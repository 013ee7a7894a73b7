//! Columns to values of the language and back: what a cell holds, what a column makes of a value, as the server would
//! in its strict mode.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::tz::TimeZone;

use super::fault::Fault;
use super::number::Number;
use super::temporal;
use super::value::{Datum, Kind};
use crate::binlog::decimal::{Decimal, write_digits};
use crate::binlog::json::{Document, patched};
use crate::binlog::time::{DateTime, Timestamp};
use crate::binlog::{Cell, ColumnDef, DecodeError, EncodeError, RowImage, RowWriter, Value, network};
use crate::change::column_type::{BlobSize, ColumnType};
use crate::change::schema::Column;

/// Most bytes that a compressed value may inflate to.
const INFLATED_MAX: u64 = 64 << 20;

/// What a column's values are.
pub(super) fn kind(column: &Column) -> Kind {
    match column.kind {
        ColumnType::TinyInt { .. }
        | ColumnType::SmallInt { .. }
        | ColumnType::MediumInt { .. }
        | ColumnType::Int { .. }
        | ColumnType::BigInt { .. }
        | ColumnType::Bit { .. }
        | ColumnType::Year => Kind::Int,
        ColumnType::Decimal { scale, .. } => Kind::Decimal(scale),
        ColumnType::Float { .. } | ColumnType::Double { .. } => Kind::Float,
        ColumnType::Date => Kind::Date,
        ColumnType::Time { fsp } => Kind::Time(fsp),
        ColumnType::DateTime { fsp } | ColumnType::Timestamp { fsp } => Kind::DateTime(fsp),
        ColumnType::Json => Kind::Json,
        ColumnType::Binary { .. }
        | ColumnType::VarBinary { .. }
        | ColumnType::Blob { .. }
        | ColumnType::Geometry { .. }
        | ColumnType::Vector { .. } => Kind::Bytes,
        _ => Kind::Text,
    }
}

/// The value of a cell; `before` is the row's before image, for differences of a document.
pub(super) fn read<'r>(
    column: &Column,
    cell: &Cell<'r>,
    before: Option<RowImage<'r>>,
    zone: &TimeZone,
) -> Result<Datum<'r>, Fault> {
    let wrong = |source| Fault::Decode { column: column.name.to_string(), source };
    let label = |number: u64| Fault::Decode {
        column: column.name.to_string(),
        source: DecodeError::Invalid { what: "number of a label", value: number },
    };
    Ok(match cell.value().map_err(wrong)? {
        Value::Null => Datum::Null,
        Value::Int(v) => Datum::Int(v),
        Value::UInt(v) | Value::Bit { value: v, .. } => Datum::unsigned(v),
        Value::Year(v) => Datum::Int(v.into()),
        // The shortest digits that mean the same FLOAT, so that 1.1 is 1.1.
        Value::Float(v) => Datum::Float(zmij::Buffer::new().format(v).parse().unwrap_or_else(|_| v.into())),
        Value::Double(v) => Datum::Float(v),
        Value::Decimal(v) => {
            let mut text = Vec::with_capacity(72);
            v.write(&mut text);
            let text = std::str::from_utf8(&text).unwrap_or_default();
            Datum::Decimal(Number::parse(text).unwrap_or(Err(Fault::Range { what: "a number" }))?)
        }
        Value::Date(v) => Datum::Date(v),
        Value::Time(v) => Datum::Time(v),
        Value::DateTime(v) => Datum::DateTime(v),
        Value::Timestamp(v) => Datum::DateTime(local(v, zone)?),
        Value::Enum(0) => Datum::text(""),
        Value::Enum(number) => {
            let text = column.labels.get(number as usize - 1).ok_or_else(|| label(number.into()))?;
            Datum::text(text.to_string())
        }
        Value::Set(mask) => {
            let mut labels = Vec::new();
            for bit in (0..64).filter(|bit| mask >> bit & 1 == 1) {
                labels.push(&**column.labels.get(bit).ok_or_else(|| label(mask))?);
            }
            Datum::text(labels.join(","))
        }
        Value::Json(bytes) => Datum::Json(Box::new(Document::from_binary(bytes).map_err(wrong)?)),
        Value::JsonDiff(diff) => Datum::Json(Box::new(patch(cell.index, diff, before).map_err(wrong)?)),
        Value::Bytes(bytes) => bytes_of(column, bytes)?,
        Value::Compressed(value) => {
            let mut bytes = Vec::new();
            value.inflate(INFLATED_MAX, &mut bytes).map_err(wrong)?;
            bytes_of(column, &bytes)?.into_owned()
        }
    })
}

/// The document that differences make of the one before.
pub(super) fn patch(index: usize, diff: &[u8], before: Option<RowImage<'_>>) -> Result<Document, DecodeError> {
    match before.map(|before| before.get(index)).transpose()?.flatten() {
        Some(Value::Json(base)) => patched(base, diff),
        _ => Err(DecodeError::JsonDiff { index: 0 }),
    }
}

fn bytes_of<'r>(column: &Column, bytes: &'r [u8]) -> Result<Datum<'r>, Fault> {
    let shown = |write: &dyn Fn(&mut Vec<u8>) -> Option<()>| {
        let mut text = Vec::new();
        write(&mut text).and_then(|()| String::from_utf8(text).ok()).map(Datum::text).ok_or_else(|| {
            let source = DecodeError::Invalid { what: "length of an address", value: bytes.len() as u64 };
            Fault::Decode { column: column.name.to_string(), source }
        })
    };
    match column.kind {
        ColumnType::Inet4 => shown(&|out| network::pad(bytes).map(|whole| network::write_inet4(whole, out))),
        ColumnType::Inet6 => shown(&|out| network::pad(bytes).map(|whole| network::write_inet6(whole, out))),
        ColumnType::Uuid => shown(&|out| network::pad(bytes).map(|whole| network::write_uuid(whole, out))),
        ColumnType::Binary { length } if bytes.len() < length as usize => {
            let mut padded = bytes.to_vec();
            padded.resize(length as usize, 0);
            Ok(Datum::Bytes(Cow::Owned(padded)))
        }
        _ if !column.kind.is_text() => Ok(Datum::Bytes(Cow::Borrowed(bytes))),
        _ => {
            // What is UTF-8 already stays where it is.
            if let (true, Ok(text)) = (column.charset.is_utf8(), std::str::from_utf8(bytes)) {
                return Ok(Datum::text(text));
            }
            let mut scratch = String::new();
            let decoded = column.charset.decode(bytes, &mut scratch);
            Ok(Datum::text(decoded.text.to_owned()))
        }
    }
}

fn local(moment: Timestamp, zone: &TimeZone) -> Result<DateTime, Fault> {
    if moment.seconds == 0 {
        return Ok(DateTime { micros: moment.micros, fsp: moment.fsp, ..DateTime::default() });
    }
    temporal::of_moment(i64::from(moment.seconds) * 1_000_000 + i64::from(moment.micros), zone, moment.fsp)
}

/// What a column makes of a value: a value of the column's own kind.
pub(super) fn coerce<'r>(column: &Column, datum: Datum<'r>, zone: &TimeZone) -> Result<Datum<'r>, Fault> {
    if datum.is_null() {
        return Ok(Datum::Null);
    }
    fitted(column, datum, zone)
        .map_err(|fault| Fault::Column { column: column.name.to_string(), reason: fault.to_string() })
}

fn fitted<'r>(column: &Column, datum: Datum<'r>, zone: &TimeZone) -> Result<Datum<'r>, Fault> {
    const OUT: Fault = Fault::Range { what: "the number" };
    let within = |datum: Datum<'r>, bits: u32, unsigned: bool| {
        let exact = datum.into_number()?.decimal()?.rounded(0)?;
        let (min, max) = match (unsigned, bits) {
            (true, 64) => return exact.as_u64().map(Datum::unsigned).ok_or(OUT),
            (true, bits) => (0, (1i64 << bits) - 1),
            (false, bits) => (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits)),
        };
        exact.as_i64().filter(|v| (min..=max).contains(v)).map(Datum::Int).ok_or(OUT)
    };
    match column.kind {
        ColumnType::TinyInt { unsigned } => within(datum, 8, unsigned),
        ColumnType::SmallInt { unsigned } => within(datum, 16, unsigned),
        ColumnType::MediumInt { unsigned } => within(datum, 24, unsigned),
        ColumnType::Int { unsigned } => within(datum, 32, unsigned),
        ColumnType::BigInt { unsigned } => within(datum, 64, unsigned),
        ColumnType::Bit { bits } => within(datum, bits.clamp(1, 64).into(), true),
        ColumnType::Year => match within(datum, 16, true)? {
            Datum::Int(v) if v == 0 || (1901..=2155).contains(&v) => Ok(Datum::Int(v)),
            _ => Err(Fault::Range { what: "the year" }),
        },
        ColumnType::Decimal { precision, scale, unsigned } => {
            let exact = datum.into_number()?.decimal()?.rounded(scale)?;
            let mut text = Vec::new();
            exact.write(&mut text);
            let fits = write_digits(&text, precision, scale, &mut Vec::new()).is_ok();
            if fits && !(unsigned && exact.is_negative()) { Ok(Datum::Decimal(exact)) } else { Err(OUT) }
        }
        ColumnType::Float { unsigned } => {
            let v = datum.into_number()?.float();
            if (v as f32).is_finite() && !(unsigned && v < 0.0) { Ok(Datum::Float(v)) } else { Err(OUT) }
        }
        ColumnType::Double { unsigned } => {
            let v = datum.into_number()?.float();
            if v.is_finite() && !(unsigned && v < 0.0) { Ok(Datum::Float(v)) } else { Err(OUT) }
        }
        ColumnType::Date => Ok(Datum::Date(datum.into_datetime()?.date)),
        ColumnType::Time { fsp } => {
            let time = match datum {
                Datum::Time(v) => v,
                Datum::Text(text) => temporal::parse_time(&text).ok_or(Fault::Parse("a time"))?,
                other => return Err(Fault::Kind { expected: "a time", found: other.kind_name() }),
            };
            temporal::rounded_time(time, fsp).map(Datum::Time)
        }
        ColumnType::DateTime { fsp } => temporal::rounded(datum.into_datetime()?, fsp).map(Datum::DateTime),
        ColumnType::Timestamp { fsp } => {
            let local = temporal::rounded(datum.into_datetime()?, fsp)?;
            moment(local, zone).map(|_| Datum::DateTime(local))
        }
        ColumnType::Char { length } => {
            let text = limited(datum.into_text()?, length)?;
            // As the server keeps it: without spaces at the end.
            let end = text.trim_end_matches(' ').len();
            Ok(match text {
                Cow::Borrowed(text) => Datum::text(&text[..end]),
                Cow::Owned(mut text) => {
                    text.truncate(end);
                    Datum::text(text)
                }
            })
        }
        ColumnType::VarChar { length } => Ok(Datum::Text(limited(datum.into_text()?, length)?)),
        ColumnType::Text { size } => {
            let text = datum.into_text()?;
            sized(text.len(), size)?;
            Ok(Datum::Text(text))
        }
        ColumnType::Binary { length } | ColumnType::VarBinary { length } => {
            let bytes = into_bytes(datum)?;
            if bytes.len() > length as usize {
                Err(Fault::Range { what: "the length" })
            } else {
                Ok(Datum::Bytes(bytes))
            }
        }
        ColumnType::Blob { size } => {
            let bytes = into_bytes(datum)?;
            sized(bytes.len(), size)?;
            Ok(Datum::Bytes(bytes))
        }
        ColumnType::Enum => {
            let text = datum.into_text()?;
            let place = label(column, &text).ok_or(Fault::Parse("one of its labels"))?;
            Ok(Datum::text(column.labels[place].to_string()))
        }
        ColumnType::Set => {
            let text = datum.into_text()?;
            set_mask(column, &text).ok_or(Fault::Parse("some of its labels"))?;
            Ok(Datum::Text(text))
        }
        ColumnType::Json => match datum {
            Datum::Json(document) => Ok(Datum::Json(document)),
            Datum::Text(text) => match Document::parse(&text) {
                Ok(document) => Ok(Datum::Json(Box::new(document))),
                Err(_) => Err(Fault::Parse("a json document")),
            },
            other => super::value::to_document(other).map(|document| Datum::Json(Box::new(document))),
        },
        ColumnType::Geometry { .. } | ColumnType::Vector { .. } => match datum {
            Datum::Bytes(bytes) => Ok(Datum::Bytes(bytes)),
            other => Err(Fault::Kind { expected: "bytes", found: other.kind_name() }),
        },
        ColumnType::Inet4 | ColumnType::Inet6 | ColumnType::Uuid => {
            let text = datum.into_text()?;
            address(column.kind, &text).ok_or(Fault::Parse("an address or a uuid"))?;
            Ok(Datum::Text(text))
        }
    }
}

fn limited(text: Cow<'_, str>, characters: u32) -> Result<Cow<'_, str>, Fault> {
    // Fewer bytes are fewer characters.
    if text.len() > characters as usize && text.chars().count() > characters as usize {
        return Err(Fault::Range { what: "the length" });
    }
    Ok(text)
}

fn sized(bytes: usize, size: BlobSize) -> Result<(), Fault> {
    let limit = match size {
        BlobSize::Tiny => 0xff,
        BlobSize::Plain => 0xffff,
        BlobSize::Medium => 0xff_ffff,
        BlobSize::Long => 0xffff_ffff_usize,
    };
    if bytes > limit { Err(Fault::Range { what: "the length" }) } else { Ok(()) }
}

fn into_bytes(datum: Datum<'_>) -> Result<Cow<'_, [u8]>, Fault> {
    Ok(match datum {
        Datum::Bytes(bytes) => bytes,
        other => match other.into_text()? {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
    })
}

/// The place of a label: the one that is spelled so, else one that differs in case only.
fn label(column: &Column, text: &str) -> Option<usize> {
    let place = |same: &dyn Fn(&str) -> bool| column.labels.iter().position(|label| same(label));
    place(&|label| label == text).or_else(|| place(&|label| label.to_lowercase() == text.to_lowercase()))
}

fn set_mask(column: &Column, text: &str) -> Option<u64> {
    let labels = text.split(',').filter(|label| !label.is_empty());
    labels.map(|text| label(column, text).map(|place| 1u64 << place.min(63))).try_fold(0, |mask, bit| Some(mask | bit?))
}

/// The bytes of an address or a UUID, without the zeros at the end that rows leave out.
fn address(kind: ColumnType, text: &str) -> Option<Vec<u8>> {
    let mut bytes = match kind {
        ColumnType::Inet4 => text.parse::<Ipv4Addr>().ok()?.octets().to_vec(),
        ColumnType::Inet6 => text.parse::<Ipv6Addr>().ok()?.octets().to_vec(),
        _ => {
            let digits: String = text.chars().filter(|&c| c != '-').collect();
            let hex = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            hex.then(|| u128::from_str_radix(&digits, 16).ok()).flatten()?.to_be_bytes().to_vec()
        }
    };
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Some(bytes)
}

/// Writes a value that [`coerce`] made for the column.
pub(super) fn write(
    writer: &mut RowWriter,
    column: &Column,
    def: &ColumnDef,
    datum: &Datum<'_>,
    zone: &TimeZone,
) -> Result<(), Fault> {
    let kind = |expected| Fault::Kind { expected, found: datum.kind_name() };
    let mut made = Vec::new();
    let value = match (column.kind, datum) {
        (_, Datum::Null) => Value::Null,
        (ColumnType::Bit { bits }, number) => {
            let value = number.clone().into_number()?.decimal()?.as_u64().ok_or_else(|| kind("bits"))?;
            Value::Bit { value, bits }
        }
        (ColumnType::Year, Datum::Int(v)) => Value::Year(u16::try_from(*v).map_err(|_| kind("a year"))?),
        (ColumnType::Decimal { precision, scale, .. }, number) => {
            let mut text = Vec::new();
            number.clone().into_number()?.decimal()?.write(&mut text);
            write_digits(&text, precision, scale, &mut made).map_err(EncodeError::from)?;
            Value::Decimal(Decimal::new(&made, precision, scale).ok_or_else(|| kind("a decimal"))?)
        }
        (ColumnType::Float { .. }, Datum::Float(v)) => Value::Float(*v as f32),
        (ColumnType::Double { .. }, Datum::Float(v)) => Value::Double(*v),
        (_, Datum::Int(v)) => Value::Int(*v),
        (_, Datum::Decimal(v)) => Value::UInt(v.as_u64().ok_or_else(|| kind("an integer"))?),
        (_, Datum::Date(v)) => Value::Date(*v),
        (_, Datum::Time(v)) => Value::Time(*v),
        (ColumnType::Timestamp { .. }, Datum::DateTime(v)) => Value::Timestamp(moment(*v, zone)?),
        (_, Datum::DateTime(v)) => Value::DateTime(*v),
        (ColumnType::Enum, Datum::Text(text)) if text.is_empty() => Value::Enum(0),
        (ColumnType::Enum, Datum::Text(text)) => {
            Value::Enum(label(column, text).ok_or_else(|| kind("a label"))? as u32 + 1)
        }
        (ColumnType::Set, Datum::Text(text)) => Value::Set(set_mask(column, text).ok_or_else(|| kind("labels"))?),
        (ColumnType::Inet4 | ColumnType::Inet6 | ColumnType::Uuid, Datum::Text(text)) => {
            made = address(column.kind, text).ok_or_else(|| kind("an address"))?;
            Value::Bytes(&made)
        }
        (_, Datum::Text(text)) => Value::Bytes(text.as_bytes()),
        (ColumnType::Binary { .. }, Datum::Bytes(bytes)) => {
            // Rows leave the zeros at the end out.
            Value::Bytes(&bytes[..bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1)])
        }
        (_, Datum::Bytes(bytes)) => Value::Bytes(bytes),
        (_, Datum::Json(document)) => {
            let deep = |_| Fault::Range { what: "the json document" };
            document.write_binary(&mut made).map_err(deep)?;
            Value::Json(&made)
        }
        _ => return Err(kind("a value of its column")),
    };
    Ok(writer.value(def, &value)?)
}

fn moment(v: DateTime, zone: &TimeZone) -> Result<Timestamp, Fault> {
    if v.is_zero() {
        return Ok(Timestamp { seconds: 0, micros: 0, fsp: v.fsp });
    }
    let us = temporal::to_moment(v, zone)?;
    match u32::try_from(us.div_euclid(1_000_000)) {
        Ok(seconds @ 1..) => Ok(Timestamp { seconds, micros: us.rem_euclid(1_000_000) as u32, fsp: v.fsp }),
        _ => Err(Fault::Range { what: "the timestamp" }),
    }
}
