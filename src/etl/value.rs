//! Values of the language: their kinds, their text, their order.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::fault::Fault;
use super::number::Number;
use super::temporal;
use crate::binlog::json::Document;
use crate::binlog::time::{Date, DateTime, Time};
use crate::format::number::write_double;

/// A value. Text and bytes borrow from the row or the script where they can.
#[derive(Debug, Clone)]
pub(super) enum Datum<'r> {
    Null,
    Bool(bool),
    Int(i64),
    Decimal(Number),
    /// Finite.
    Float(f64),
    Text(Cow<'r, str>),
    Bytes(Cow<'r, [u8]>),
    Date(Date),
    Time(Time),
    DateTime(DateTime),
    Json(Box<Document>),
}

/// What a value is before any row is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It depends on the row.
    Unknown,
    Null,
    Bool,
    Int,
    /// Digits behind the point.
    Decimal(u8),
    Float,
    Text,
    Bytes,
    Date,
    /// Digits of the fraction.
    Time(u8),
    /// Digits of the fraction.
    DateTime(u8),
    Json,
}

impl Kind {
    pub(super) fn is_number(self) -> bool {
        matches!(self, Kind::Int | Kind::Decimal(_) | Kind::Float)
    }

    /// What holds values of both.
    pub(super) fn or(self, other: Kind) -> Kind {
        match (self, other) {
            (a, b) if a == b => a,
            (Kind::Null, kind) | (kind, Kind::Null) => kind,
            (Kind::Float, kind) | (kind, Kind::Float) if kind.is_number() => Kind::Float,
            (Kind::Decimal(a), Kind::Decimal(b)) => Kind::Decimal(a.max(b)),
            (Kind::Decimal(scale), Kind::Int) | (Kind::Int, Kind::Decimal(scale)) => Kind::Decimal(scale),
            (Kind::DateTime(a), Kind::DateTime(b)) => Kind::DateTime(a.max(b)),
            (Kind::DateTime(fsp), Kind::Date) | (Kind::Date, Kind::DateTime(fsp)) => Kind::DateTime(fsp),
            (Kind::Time(a), Kind::Time(b)) => Kind::Time(a.max(b)),
            _ => Kind::Unknown,
        }
    }
}

/// A number as arithmetic takes it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Num {
    Int(i64),
    Decimal(Number),
    Float(f64),
}

impl Num {
    /// Exact, where it has a fraction that decimals can hold.
    pub(super) fn decimal(self) -> Result<Number, Fault> {
        match self {
            Num::Int(v) => Ok(Number::from(v)),
            Num::Decimal(v) => Ok(v),
            Num::Float(v) => Number::of_float(v),
        }
    }

    pub(super) fn float(self) -> f64 {
        match self {
            Num::Int(v) => v as f64,
            Num::Decimal(v) => v.as_f64(),
            Num::Float(v) => v,
        }
    }

    /// The number as text that is one: `12`, `-0.5`, `1e300`.
    pub(super) fn parse(text: &str) -> Result<Num, Fault> {
        let text = text.trim();
        let is_number = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
        if !is_number || !text.bytes().any(|b| b.is_ascii_digit()) {
            return Err(Fault::Parse("a number"));
        }
        if let Ok(v) = text.parse::<i64>() {
            return Ok(Num::Int(v));
        }
        match Number::parse(text) {
            Some(number) => number.map(Num::Decimal),
            None => match text.parse::<f64>() {
                Ok(v) if v.is_finite() => Ok(Num::Float(v)),
                _ => Err(Fault::Parse("a number")),
            },
        }
    }

    fn cmp(self, other: Num) -> Result<Ordering, Fault> {
        Ok(match (self, other) {
            (Num::Int(a), Num::Int(b)) => a.cmp(&b),
            // Exact beyond the 53 bits of a double, where both are whole.
            (Num::Int(a), Num::Float(b)) => cmp_int_float(a, b),
            (Num::Float(a), Num::Int(b)) => cmp_int_float(b, a).reverse(),
            (Num::Float(_), _) | (_, Num::Float(_)) => {
                self.float().partial_cmp(&other.float()).unwrap_or(Ordering::Equal)
            }
            (a, b) => a.decimal()?.cmp(&b.decimal()?),
        })
    }
}

fn cmp_int_float(int: i64, float: f64) -> Ordering {
    // Doubles of this size are whole.
    if float.abs() < 9_007_199_254_740_992.0 {
        return (int as f64).partial_cmp(&float).unwrap_or(Ordering::Equal);
    }
    if float.abs() < 1e19 {
        return i128::from(int).cmp(&(float as i128));
    }
    if float > 0.0 { Ordering::Less } else { Ordering::Greater }
}

impl<'r> Datum<'r> {
    pub(super) fn text(text: impl Into<Cow<'r, str>>) -> Self {
        Datum::Text(text.into())
    }

    /// An unsigned number: an integer where it fits.
    pub(super) fn unsigned(value: u64) -> Self {
        i64::try_from(value).map_or_else(|_| Datum::Decimal(Number::from(value)), Datum::Int)
    }

    /// A whole number that may be too large for an integer.
    pub(super) fn number(number: Num) -> Self {
        match number {
            Num::Int(v) => Datum::Int(v),
            Num::Decimal(v) => Datum::Decimal(v),
            Num::Float(v) => Datum::Float(v),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Datum::Null => "null",
            Datum::Bool(_) => "a condition",
            Datum::Int(_) | Datum::Decimal(_) | Datum::Float(_) => "a number",
            Datum::Text(_) => "text",
            Datum::Bytes(_) => "bytes",
            Datum::Date(_) => "a date",
            Datum::Time(_) => "a time",
            Datum::DateTime(_) => "a datetime",
            Datum::Json(_) => "a json document",
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Datum::Null => Kind::Null,
            Datum::Bool(_) => Kind::Bool,
            Datum::Int(_) => Kind::Int,
            Datum::Decimal(v) => Kind::Decimal(v.scale()),
            Datum::Float(_) => Kind::Float,
            Datum::Text(_) => Kind::Text,
            Datum::Bytes(_) => Kind::Bytes,
            Datum::Date(_) => Kind::Date,
            Datum::Time(v) => Kind::Time(v.fsp),
            Datum::DateTime(v) => Kind::DateTime(v.fsp),
            Datum::Json(_) => Kind::Json,
        }
    }

    pub(super) fn into_owned(self) -> Datum<'static> {
        match self {
            Datum::Null => Datum::Null,
            Datum::Bool(v) => Datum::Bool(v),
            Datum::Int(v) => Datum::Int(v),
            Datum::Decimal(v) => Datum::Decimal(v),
            Datum::Float(v) => Datum::Float(v),
            Datum::Text(v) => Datum::Text(Cow::Owned(v.into_owned())),
            Datum::Bytes(v) => Datum::Bytes(Cow::Owned(v.into_owned())),
            Datum::Date(v) => Datum::Date(v),
            Datum::Time(v) => Datum::Time(v),
            Datum::DateTime(v) => Datum::DateTime(v),
            Datum::Json(v) => Datum::Json(v),
        }
    }

    /// The same value, borrowing from this one.
    pub(super) fn borrowed(&'r self) -> Datum<'r> {
        match self {
            Datum::Text(v) => Datum::Text(Cow::Borrowed(v)),
            Datum::Bytes(v) => Datum::Bytes(Cow::Borrowed(v)),
            other => other.clone(),
        }
    }

    /// Its text, as Canal JSON shows it; null is empty.
    pub(super) fn into_text(self) -> Result<Cow<'r, str>, Fault> {
        let mut out = Vec::new();
        match self {
            Datum::Text(text) => return Ok(text),
            Datum::Null => return Ok(Cow::Borrowed("")),
            Datum::Bool(v) => return Ok(Cow::Borrowed(if v { "true" } else { "false" })),
            Datum::Int(v) => return Ok(Cow::Owned(v.to_string())),
            Datum::Decimal(v) => v.write(&mut out),
            Datum::Float(v) => write_double(v, &mut out),
            // One character a byte.
            Datum::Bytes(bytes) => return Ok(bytes.iter().map(|&b| char::from(b)).collect::<String>().into()),
            Datum::Date(v) => v.write(&mut out),
            Datum::Time(v) => v.write(&mut out),
            Datum::DateTime(v) => v.write(&mut out),
            Datum::Json(document) => {
                document.write_text(&mut out).map_err(|_| Fault::Range { what: "the depth of a json document" })?;
            }
        }
        String::from_utf8(out).map(Cow::Owned).map_err(|_| Fault::Parse("UTF-8"))
    }

    /// Its number; text that spells one counts.
    pub(super) fn into_number(self) -> Result<Num, Fault> {
        match self {
            Datum::Bool(v) => Ok(Num::Int(v.into())),
            Datum::Int(v) => Ok(Num::Int(v)),
            Datum::Decimal(v) => Ok(Num::Decimal(v)),
            Datum::Float(v) => Ok(Num::Float(v)),
            Datum::Text(text) => Num::parse(&text),
            Datum::Json(document) => match of_document(&document) {
                Datum::Json(_) | Datum::Null => Err(Fault::Kind { expected: "a number", found: "a json document" }),
                scalar => scalar.into_number(),
            },
            other => Err(Fault::Kind { expected: "a number", found: other.kind_name() }),
        }
    }

    /// Its moment; a date is midnight.
    pub(super) fn into_datetime(self) -> Result<DateTime, Fault> {
        match self {
            Datum::DateTime(v) => Ok(v),
            Datum::Date(date) => Ok(DateTime { date, ..DateTime::default() }),
            Datum::Text(text) => temporal::parse_datetime(&text).ok_or(Fault::Parse("a datetime")),
            other => Err(Fault::Kind { expected: "a datetime", found: other.kind_name() }),
        }
    }

    /// Whether a condition holds; null does not.
    pub(super) fn holds(&self) -> Result<bool, Fault> {
        match self {
            Datum::Null => Ok(false),
            Datum::Bool(v) => Ok(*v),
            Datum::Int(v) => Ok(*v != 0),
            Datum::Decimal(v) => Ok(!v.is_zero()),
            Datum::Float(v) => Ok(*v != 0.0),
            Datum::Json(document) if matches!(**document, Document::Bool(_)) => Ok(**document == Document::Bool(true)),
            other => Err(Fault::Kind { expected: "a condition", found: other.kind_name() }),
        }
    }

    /// How two values stand to each other; none when one is null.
    pub(super) fn compare(&self, other: &Datum<'_>) -> Result<Option<Ordering>, Fault> {
        use Datum::{Bool, Bytes, Date, DateTime, Json, Null, Text, Time};
        let order = match (self, other) {
            (Null, _) | (_, Null) => return Ok(None),
            (Text(a), Text(b)) => a.cmp(b),
            (Bool(a), Bool(b)) => a.cmp(b),
            (Bytes(a), Bytes(b)) => a.cmp(b),
            (Bytes(a), Text(b)) => (**a).cmp(b.as_bytes()),
            (Text(a), Bytes(b)) => a.as_bytes().cmp(b),
            (Time(a), Time(b)) => a.total_micros().cmp(&b.total_micros()),
            (Time(a), Text(b)) => {
                let b = temporal::parse_time(b).ok_or(Fault::Parse("a time"))?;
                a.total_micros().cmp(&b.total_micros())
            }
            (Text(_), Time(_)) => return Ok(other.compare(self)?.map(Ordering::reverse)),
            (Json(a), Json(b)) => {
                if a == b {
                    Ordering::Equal
                } else {
                    Datum::Json(a.clone()).into_text()?.cmp(&Datum::Json(b.clone()).into_text()?)
                }
            }
            (Json(a), b) => match of_document(a) {
                Json(_) => self.clone().into_text()?.cmp(&b.clone().into_text()?),
                scalar => return scalar.compare(b),
            },
            (_, Json(_)) => return Ok(other.compare(self)?.map(Ordering::reverse)),
            (Date(_) | DateTime(_), Date(_) | DateTime(_) | Text(_)) | (Text(_), Date(_) | DateTime(_)) => {
                let (a, b) = (self.clone().into_datetime()?, other.clone().into_datetime()?);
                temporal::order(&a).cmp(&temporal::order(&b))
            }
            (a, b) if a.is_numeric() && b.is_numeric() => a.clone().into_number()?.cmp(b.clone().into_number()?)?,
            (a, Text(_)) | (Text(_), a) if matches!(a, Datum::Int(_) | Datum::Decimal(_) | Datum::Float(_)) => {
                self.clone().into_number()?.cmp(other.clone().into_number()?)?
            }
            (a, b) => return Err(Fault::Compare(a.kind_name(), b.kind_name())),
        };
        Ok(Some(order))
    }

    fn is_numeric(&self) -> bool {
        matches!(self, Datum::Bool(_) | Datum::Int(_) | Datum::Decimal(_) | Datum::Float(_))
    }
}

/// The value of a document that is a scalar; an object, an array or an opaque value stays a document.
pub(super) fn of_document(document: &Document) -> Datum<'static> {
    match document {
        Document::Null => Datum::Null,
        Document::Bool(v) => Datum::Bool(*v),
        Document::Int(v) => Datum::Int(*v),
        Document::UInt(v) => Datum::unsigned(*v),
        Document::Double(v) => Datum::Float(*v),
        Document::String(text) => Datum::text(text.clone()),
        Document::Opaque { .. } => {
            // A decimal prints as a number, a date as text in quotes.
            let text = Datum::Json(Box::new(document.clone())).into_text().unwrap_or_default();
            match Num::parse(&text) {
                Ok(number) => Datum::number(number),
                Err(_) => Datum::text(text.trim_matches('"').to_owned()),
            }
        }
        other => Datum::Json(Box::new(other.clone())),
    }
}

/// The document that a value is inside another one.
pub(super) fn to_document(value: Datum<'_>) -> Result<Document, Fault> {
    Ok(match value {
        Datum::Null => Document::Null,
        Datum::Bool(v) => Document::Bool(v),
        Datum::Int(v) => Document::Int(v),
        Datum::Float(v) => Document::Double(v),
        Datum::Decimal(v) => match (v.as_i64(), v.as_u64()) {
            (Some(v), _) if v.unsigned_abs() > 0 || v == 0 => Document::Int(v),
            (_, Some(v)) => Document::UInt(v),
            _ => Document::Double(v.as_f64()),
        },
        Datum::Json(document) => *document,
        other => Document::String(other.into_text()?.into_owned()),
    })
}
