//! A column's value as text: the rendering that Canal JSON, message keys and partition hashes share.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::json;
use super::number;
use super::zone::ZoneClock;
use crate::binlog::network;
use crate::binlog::time::{Date, DateTime, Timestamp};
use crate::binlog::{DecodeError, Value};
use crate::change::RowsError;
use crate::change::column_type::ColumnType;
use crate::change::schema::Column;

/// How ENUM and SET are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnumForm {
    /// Their labels; those of a SET joined by commas.
    #[default]
    Label,
    /// As Canal does: the number of the label, the bit mask.
    Ordinal,
}

/// How bytes that are no text are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BinaryForm {
    /// One character a byte.
    #[default]
    #[serde(rename = "iso8859_1")]
    Latin1,
    /// RFC 4648 with padding.
    #[serde(rename = "base64")]
    Base64,
    /// Two lower-case digits a byte.
    #[serde(rename = "hex")]
    Hex,
}

/// What happens to text that does not decode in its column's character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadText {
    /// U+FFFD stands for what does not decode, and the value is counted.
    #[default]
    Replace,
    /// The table parks.
    Fail,
}

/// How values become text.
#[derive(Debug, Clone)]
pub struct TextOptions {
    /// The zone that TIMESTAMP columns are shown in.
    pub zone: TimeZone,
    /// ENUM and SET.
    pub enums: EnumForm,
    /// BINARY, BLOB, GEOMETRY, VECTOR.
    pub binary: BinaryForm,
    /// Text that does not decode.
    pub on_bad_text: OnBadText,
}

/// A row that cannot be written. Definite: the table parks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormatError {
    /// A row does not decode.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// A value does not decode.
    #[error("decode column {column}: {source}")]
    Value {
        /// The column.
        column: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// A value of a kind that the column cannot hold.
    #[error("column {column} holds a value that does not belong to its type")]
    Kind {
        /// The column.
        column: String,
    },
    /// An ENUM or SET number without a label.
    #[error("column {column} holds the number {number}, for which it has no label")]
    Label {
        /// The column.
        column: String,
        /// The number, or the mask.
        number: u64,
    },
    /// Text that does not decode, where that is to stop.
    #[error("column {column} holds bytes that are not {charset}")]
    BadText {
        /// The column.
        column: String,
        /// Its character set.
        charset: &'static str,
    },
    /// A key column that no image of the row holds.
    #[error("the row does not hold its key column {column}")]
    KeyMissing {
        /// The column.
        column: String,
    },
    /// A column that no image of the row holds, where all are needed.
    #[error("the row does not hold its column {column}: binlog_row_image must be FULL")]
    ColumnMissing {
        /// The column.
        column: String,
    },
    /// A change without an image.
    #[error("the row has no image")]
    NoImage,
    /// A date that no calendar has, where that is to stop.
    #[error("column {column} holds a date that no calendar has")]
    BadDate {
        /// The column.
        column: String,
    },
    /// A value beyond what the destination takes.
    #[error("column {column} holds a value of {bytes} bytes, more than the destination takes")]
    CellTooLong {
        /// The column.
        column: String,
        /// Its bytes.
        bytes: usize,
    },
    /// A row beyond those that have an id.
    #[error("entry {seq} is beyond the last row id")]
    RecordId {
        /// Its entry.
        seq: relay_store::Seq,
    },
    /// Differences of a partial JSON update, and no document to apply them to.
    #[error("column {column} holds a partial json update, and the row has no before image of it")]
    NoJsonBase {
        /// The column.
        column: String,
    },
}

/// Makes text of values. One for each worker: it has scratch buffers and a memory of the zone.
#[derive(Debug)]
pub struct Renderer {
    enums: EnumForm,
    binary: BinaryForm,
    on_bad_text: OnBadText,
    zone: ZoneClock,
    scratch: String,
    bytes: Vec<u8>,
    bad_text: u64,
}

/// Where a value's text is. The two last are not in the output yet.
enum Form<'a> {
    /// Appended to the output; needs no escapes in JSON.
    Written,
    /// Text as it is.
    Text(&'a str),
    /// One character for each byte.
    Latin1(&'a [u8]),
}

/// Most bytes that a compressed value may inflate to: no value of MySQL's is larger.
const INFLATED_MAX: u64 = 1 << 30;

impl Renderer {
    /// A renderer with these options.
    pub fn new(options: TextOptions) -> Self {
        Self {
            enums: options.enums,
            binary: options.binary,
            on_bad_text: options.on_bad_text,
            zone: ZoneClock::new(options.zone),
            scratch: String::new(),
            bytes: Vec::new(),
            bad_text: 0,
        }
    }

    /// How many values had text that did not decode and was replaced.
    pub fn bad_text(&self) -> u64 {
        self.bad_text
    }

    /// How ENUM and SET are written.
    pub fn enums(&self) -> EnumForm {
        self.enums
    }

    /// A moment as it is shown: in the rendering zone.
    #[inline]
    pub(super) fn local(&mut self, moment: Timestamp) -> DateTime {
        local(&mut self.zone, moment)
    }

    /// Appends a value as a JSON string, or `null`.
    ///
    /// # Errors
    /// A value that cannot be shown; `out` then ends in the middle of it.
    #[inline]
    pub fn write_json(&mut self, column: &Column, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        if matches!(value, Value::Null) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        out.push(b'"');
        match self.render(column, value, out)? {
            Form::Written => {}
            Form::Text(text) => json::write_escaped(text, out),
            Form::Latin1(bytes) => json::write_latin1_escaped(bytes, out),
        }
        out.push(b'"');
        Ok(())
    }

    /// Appends a value as plain UTF-8; false, and nothing appended, for NULL.
    ///
    /// # Errors
    /// As [`Renderer::write_json`].
    pub fn write_text(&mut self, column: &Column, value: &Value<'_>, out: &mut Vec<u8>) -> Result<bool, FormatError> {
        if matches!(value, Value::Null) {
            return Ok(false);
        }
        match self.render(column, value, out)? {
            Form::Written => {}
            Form::Text(text) => out.extend_from_slice(text.as_bytes()),
            Form::Latin1(bytes) => {
                let mut buffer = [0u8; 2];
                for &byte in bytes {
                    out.extend_from_slice(char::from(byte).encode_utf8(&mut buffer).as_bytes());
                }
            }
        }
        Ok(true)
    }

    /// Appends the document that differences make of `base`, as a JSON string.
    ///
    /// # Errors
    /// Differences that do not fit, or a base that is no document.
    pub fn write_json_diff(
        &mut self,
        column: &Column,
        base: Option<&Value<'_>>,
        diff: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let Some(Value::Json(base)) = base else {
            return Err(FormatError::NoJsonBase { column: column.name.to_string() });
        };
        self.bytes.clear();
        crate::binlog::json::apply_diff(base, diff, &mut self.bytes).map_err(|source| value_error(column, source))?;
        json::write_string(document_text(column, &self.bytes)?, out);
        Ok(())
    }

    fn render<'a>(
        &'a mut self,
        column: &'a Column,
        value: &Value<'a>,
        out: &mut Vec<u8>,
    ) -> Result<Form<'a>, FormatError> {
        match *value {
            Value::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Value::UInt(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Value::Bytes(bytes) => return self.bytes(column, bytes, out),
            Value::Decimal(decimal) => decimal.write(out),
            Value::DateTime(moment) => moment.write(out),
            Value::Timestamp(moment) => local(&mut self.zone, moment).write(out),
            Value::Date(date) => date.write(out),
            Value::Time(time) => time.write(out),
            Value::Double(number) => number::write_double(number, out),
            Value::Float(number) => number::write_float(number, out),
            Value::Bit { value, .. } => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
            Value::Year(year) => {
                let mut digits = *b"0000";
                let mut rest = year;
                for digit in digits.iter_mut().rev() {
                    *digit = b'0' + (rest % 10) as u8;
                    rest /= 10;
                }
                out.extend_from_slice(&digits);
            }
            Value::Enum(number) => return self.enumeration(column, number, out),
            Value::Set(mask) => return self.set(column, mask, out),
            Value::Json(document) => {
                self.bytes.clear();
                crate::binlog::json::write_text(document, &mut self.bytes)
                    .map_err(|source| value_error(column, source))?;
                return document_text(column, &self.bytes).map(Form::Text);
            }
            Value::Compressed(compressed) => {
                let mut inflated = std::mem::take(&mut self.bytes);
                inflated.clear();
                let result = compressed.inflate(INFLATED_MAX, &mut inflated);
                self.bytes = inflated;
                result.map_err(|source| value_error(column, source))?;
                if column.kind.is_text() {
                    let text = column.charset.decode(&self.bytes, &mut self.scratch);
                    note_bad_text(column, text.bad, self.on_bad_text, &mut self.bad_text)?;
                    return Ok(Form::Text(text.text));
                }
                return Ok(binary(self.binary, &self.bytes, out));
            }
            Value::Null | Value::JsonDiff(_) => return Err(FormatError::Kind { column: column.name.to_string() }),
        }
        Ok(Form::Written)
    }

    fn bytes<'a>(
        &'a mut self,
        column: &'a Column,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Form<'a>, FormatError> {
        match column.kind {
            ColumnType::Char { .. } | ColumnType::VarChar { .. } | ColumnType::Text { .. } => {
                let text = column.charset.decode(bytes, &mut self.scratch);
                note_bad_text(column, text.bad, self.on_bad_text, &mut self.bad_text)?;
                Ok(Form::Text(text.text))
            }
            ColumnType::Binary { length } if bytes.len() < length as usize => {
                self.bytes.clear();
                self.bytes.extend_from_slice(bytes);
                self.bytes.resize(length as usize, 0);
                Ok(binary(self.binary, &self.bytes, out))
            }
            ColumnType::Inet4 => written(column, network::pad(bytes).map(|whole| network::write_inet4(whole, out))),
            ColumnType::Inet6 => written(column, network::pad(bytes).map(|whole| network::write_inet6(whole, out))),
            ColumnType::Uuid => written(column, network::pad(bytes).map(|whole| network::write_uuid(whole, out))),
            _ => Ok(binary(self.binary, bytes, out)),
        }
    }

    fn enumeration<'a>(&self, column: &'a Column, number: u32, out: &mut Vec<u8>) -> Result<Form<'a>, FormatError> {
        if self.enums == EnumForm::Ordinal {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            return Ok(Form::Written);
        }
        match (number as usize).checked_sub(1) {
            // What the server stores for a label it rejected in a lenient sql_mode.
            None => Ok(Form::Written),
            Some(place) => match column.labels.get(place) {
                Some(label) => Ok(Form::Text(label)),
                None => Err(FormatError::Label { column: column.name.to_string(), number: number.into() }),
            },
        }
    }

    fn set<'a>(&'a mut self, column: &Column, mask: u64, out: &mut Vec<u8>) -> Result<Form<'a>, FormatError> {
        if self.enums == EnumForm::Ordinal {
            out.extend_from_slice(itoa::Buffer::new().format(mask).as_bytes());
            return Ok(Form::Written);
        }
        self.scratch.clear();
        let mut rest = mask;
        while rest != 0 {
            let Some(label) = column.labels.get(rest.trailing_zeros() as usize) else {
                return Err(FormatError::Label { column: column.name.to_string(), number: mask });
            };
            if rest != mask {
                self.scratch.push(',');
            }
            self.scratch.push_str(label);
            rest &= rest - 1;
        }
        Ok(Form::Text(&self.scratch))
    }
}

fn value_error(column: &Column, source: DecodeError) -> FormatError {
    FormatError::Value { column: column.name.to_string(), source }
}

fn document_text<'a>(column: &Column, bytes: &'a [u8]) -> Result<&'a str, FormatError> {
    std::str::from_utf8(bytes).map_err(|_| value_error(column, DecodeError::NotUtf8 { what: "json" }))
}

fn written<'a>(column: &Column, done: Option<()>) -> Result<Form<'a>, FormatError> {
    done.map(|()| Form::Written).ok_or_else(|| FormatError::Kind { column: column.name.to_string() })
}

fn note_bad_text(column: &Column, bad: bool, policy: OnBadText, count: &mut u64) -> Result<(), FormatError> {
    if bad {
        if policy == OnBadText::Fail {
            return Err(FormatError::BadText { column: column.name.to_string(), charset: column.charset.name() });
        }
        *count += 1;
    }
    Ok(())
}

/// A moment in the rendering zone; the zero timestamp is no moment and stays as it is.
fn local(zone: &mut ZoneClock, moment: Timestamp) -> DateTime {
    if moment.seconds == 0 {
        return DateTime { micros: moment.micros, fsp: moment.fsp, ..DateTime::default() };
    }
    let local = zone.local(moment.seconds.into());
    DateTime {
        date: Date { year: u16::try_from(local.year).unwrap_or(0), month: local.month, day: local.day },
        hour: (local.second_of_day / 3600) as u8,
        minute: (local.second_of_day / 60 % 60) as u8,
        second: (local.second_of_day % 60) as u8,
        micros: moment.micros,
        fsp: moment.fsp,
    }
}

fn binary<'a>(form: BinaryForm, bytes: &'a [u8], out: &mut Vec<u8>) -> Form<'a> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match form {
        BinaryForm::Latin1 => return Form::Latin1(bytes),
        BinaryForm::Base64 => write_base64(bytes, out),
        BinaryForm::Hex => {
            out.reserve(bytes.len() * 2);
            for &byte in bytes {
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    Form::Written
}

/// Appends the bytes in RFC 4648's base64, with padding.
pub(crate) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.reserve(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut three = [0u8; 3];
        three[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4usize {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { digit } else { b'=' });
        }
    }
}

/// The bytes of a text in RFC 4648's base64 with padding; none when it is not such a text.
pub(crate) fn read_base64(text: &[u8]) -> Option<Vec<u8>> {
    let sextet = |digit: u8| {
        Some(u32::from(match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }))
    };
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let last = text.len().saturating_sub(4);
    for (at, group) in (0..).step_by(4).zip(text.chunks(4)) {
        let padding = group.iter().rev().take_while(|&&digit| digit == b'=').count();
        if group.len() < 4 || padding > 2 || (padding > 0 && at != last) {
            return None;
        }
        let bits = group[..4 - padding].iter().try_fold(0, |bits, &digit| Some(bits << 6 | sextet(digit)?))?;
        bytes.extend_from_slice(&(bits << (6 * padding)).to_be_bytes()[1..4 - padding]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_reads_back_and_nothing_else_is_read() {
        for length in 0..12u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(83) ^ 0xa5).collect();
            let mut text = Vec::new();
            write_base64(&bytes, &mut text);
            assert_eq!(read_base64(&text), Some(bytes));
        }
        for text in ["A", "AA", "AAA", "A===", "AA=A", "AA==AAAA", "AA A", "AAA\u{e9}"] {
            assert_eq!(read_base64(text.as_bytes()), None, "{text}");
        }
    }
}
