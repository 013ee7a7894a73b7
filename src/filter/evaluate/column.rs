//! Values of columns.

use std::borrow::Cow;

use super::{Row, seconds_datum};
use crate::binlog::Value;
use crate::binlog::decimal::LONGEST;
use crate::change::schema::Column;
use crate::filter::decimal::Decimal;
use crate::filter::error::EvalError;
use crate::filter::moment::{Moment, local};
use crate::filter::program::{Datum, Reading, time_datum};

/// Most bytes that a compressed value may inflate to: no value of MySQL's is larger.
const INFLATED_MAX: u64 = 1 << 30;

impl<'r> Row<'r> {
    pub(super) fn column(&self, slot: usize, reading: Reading) -> Result<Datum<'r>, EvalError> {
        let column = &self.columns[slot];
        let cell = self.cells[slot].as_ref().ok_or_else(|| EvalError::Absent { column: column.name.to_string() })?;
        if reading == Reading::Presence {
            return Ok(if cell.bytes.is_some() { Datum::Int(1) } else { Datum::Null });
        }
        let value = cell.value();
        let value = value.map_err(|source| EvalError::Value { column: column.name.to_string(), source })?;
        Ok(match value {
            Value::Null => Datum::Null,
            Value::Int(number) => Datum::Int(number.into()),
            Value::UInt(number) | Value::Bit { value: number, .. } => Datum::Int(number.into()),
            Value::Year(year) => Datum::Int(year.into()),
            Value::Float(number) => Datum::Double(number.into()),
            Value::Double(number) => Datum::Double(number),
            Value::Decimal(number) => {
                let mut text = [0; LONGEST];
                let length = number.write_to(&mut text);
                Decimal::parse(&text[..length]).map(Datum::Decimal).ok_or_else(|| kind(column))?
            }
            Value::Date(date) => Datum::Moment(Moment::of_date(date)),
            Value::DateTime(moment) => Datum::Moment(Moment::of_datetime(&moment)),
            Value::Timestamp(moment) if moment.seconds == 0 => Datum::Moment(Moment::of_datetime(&moment.utc())),
            Value::Timestamp(moment) => {
                local(self.zone, moment.seconds.into(), moment.micros).map(Datum::Moment).ok_or_else(|| kind(column))?
            }
            Value::Time(time) => time_datum(&time),
            Value::Bytes(bytes) if column.kind.is_text() => Datum::Text(text(column, bytes)?),
            Value::Bytes(bytes) => match reading {
                Reading::Padded(length) if bytes.len() < length as usize => {
                    let mut whole = bytes.to_vec();
                    whole.resize(length as usize, 0);
                    Datum::Bytes(Cow::Owned(whole))
                }
                _ => Datum::Bytes(Cow::Borrowed(bytes)),
            },
            Value::Enum(number) if reading == Reading::Ordinal => Datum::Int(number.into()),
            Value::Set(mask) if reading == Reading::Ordinal => Datum::Int(mask.into()),
            Value::Enum(number) => match (number as usize).checked_sub(1) {
                // What the server stores for a label that it rejected.
                None => Datum::Text(Cow::Borrowed("")),
                Some(at) => Datum::Text(Cow::Borrowed(label(column, at, number.into())?)),
            },
            Value::Set(mask) => Datum::Text(labels(column, mask)?),
            Value::Compressed(compressed) => {
                let mut whole = Vec::new();
                let inflated = compressed.inflate(INFLATED_MAX, &mut whole);
                inflated.map_err(|source| EvalError::Value { column: column.name.to_string(), source })?;
                if column.kind.is_text() {
                    Datum::Text(Cow::Owned(text(column, &whole)?.into_owned()))
                } else {
                    Datum::Bytes(Cow::Owned(whole))
                }
            }
            Value::Json(_) | Value::JsonDiff(_) => return Err(kind(column)),
        })
    }

    /// UNIX_TIMESTAMP of a TIMESTAMP column.
    pub(super) fn epoch_of_column(&self, slot: usize, fsp: u8) -> Result<Datum<'r>, EvalError> {
        let column = &self.columns[slot];
        let cell = self.cells[slot].as_ref().ok_or_else(|| EvalError::Absent { column: column.name.to_string() })?;
        match cell.value() {
            Ok(Value::Null) => Ok(Datum::Null),
            Ok(Value::Timestamp(moment)) => Ok(seconds_datum(moment.seconds.into(), moment.micros, fsp)),
            Ok(_) => Err(kind(column)),
            Err(source) => Err(EvalError::Value { column: column.name.to_string(), source }),
        }
    }
}

fn kind(column: &Column) -> EvalError {
    EvalError::Kind { column: column.name.to_string() }
}

fn text<'r>(column: &Column, bytes: &'r [u8]) -> Result<Cow<'r, str>, EvalError> {
    let bad = || EvalError::BadText { column: column.name.to_string(), charset: column.charset.name() };
    if column.charset.is_utf8() || (column.charset.holds_ascii() && bytes.is_ascii()) {
        return std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| bad());
    }
    let mut scratch = String::new();
    let text = column.charset.decode(bytes, &mut scratch);
    if text.bad { Err(bad()) } else { Ok(Cow::Owned(text.text.to_owned())) }
}

fn label(column: &Column, at: usize, number: u64) -> Result<&str, EvalError> {
    column
        .labels
        .get(at)
        .map(|label| &**label)
        .ok_or_else(|| EvalError::Label { column: column.name.to_string(), number })
}

fn labels(column: &Column, mask: u64) -> Result<Cow<'_, str>, EvalError> {
    if mask.count_ones() == 1 {
        return label(column, mask.trailing_zeros() as usize, mask).map(Cow::Borrowed);
    }
    let mut joined = String::new();
    let mut rest = mask;
    while rest != 0 {
        if rest != mask {
            joined.push(',');
        }
        joined.push_str(label(column, rest.trailing_zeros() as usize, mask)?);
        rest &= rest - 1;
    }
    Ok(Cow::Owned(joined))
}
