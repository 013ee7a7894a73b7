//! A compiled condition: a tree whose types are known, ready to be run over rows.

use std::borrow::Cow;
use std::sync::Arc;

use super::collation::{Collation, Repertoire};
use super::decimal::Decimal;
use super::error::Place;
use super::moment::Moment;
use super::syntax::{Arithmetic, Comparison};
use crate::binlog::time::Time;

/// A value on its way through the tree.
#[derive(Debug, Clone)]
pub(super) enum Datum<'a> {
    Null,
    Int(i128),
    Decimal(Decimal),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    /// DATE, DATETIME and TIMESTAMP, the latter in the session's zone.
    Moment(Moment),
    /// TIME, in microseconds.
    Time(i64),
}

impl<'a> Datum<'a> {
    /// The same, borrowing from this one.
    pub(super) fn borrowed(&'a self) -> Datum<'a> {
        match self {
            Self::Text(text) => Datum::Text(Cow::Borrowed(text)),
            Self::Bytes(bytes) => Datum::Bytes(Cow::Borrowed(bytes)),
            Self::Null => Datum::Null,
            Self::Int(number) => Datum::Int(*number),
            Self::Decimal(number) => Datum::Decimal(*number),
            Self::Double(number) => Datum::Double(*number),
            Self::Moment(moment) => Datum::Moment(*moment),
            Self::Time(micros) => Datum::Time(*micros),
        }
    }
}

/// A microsecond count as TIME compares.
pub(super) fn time_datum(time: &Time) -> Datum<'static> {
    Datum::Time(time.total_micros())
}

/// How a column's value is taken from the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As what it is.
    Value,
    /// BINARY(n): with its trailing zeros.
    Padded(u32),
    /// ENUM and SET as numbers.
    Ordinal,
    /// Only whether it is NULL.
    Presence,
}

/// What two values are compared as.
#[derive(Debug, Clone)]
pub(super) enum How {
    Int,
    Decimal,
    /// Decimals after rounding each side to its own declared digits, as MariaDB does with quotients.
    RoundedDecimal(u8, u8),
    Double,
    Text(Arc<Collation>),
    Bytes,
    Moment,
    Time,
}

/// The number type that an operation computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numeric {
    /// `wraps`: zero less the least number is that number, as for MariaDB and MySQL of before 8.0.
    Int {
        unsigned: bool,
        wraps: bool,
    },
    /// `signed_zero`: a remainder or a cut-off quotient of zero keeps its sign, and then is below zero.
    Decimal {
        signed_zero: bool,
    },
    Double,
}

/// How a value becomes text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Number,
    Date,
    DateTime { fsp: u8 },
    Time { fsp: u8 },
}

/// What LENGTH counts.
#[derive(Debug, Clone)]
pub(super) enum LengthRule {
    /// Bytes of UTF-8, or of a byte string.
    Utf8,
    /// Bytes in another character set.
    Other(Arc<Repertoire>),
    Characters,
}

/// Rules of a decimal division.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Division {
    /// Digits that the quotient is rounded to at once; none: it keeps all that were computed.
    pub(super) round: Option<u8>,
}

/// What a part of a date is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DatePart {
    Year,
    Month,
    Day,
}

/// UNIX_TIMESTAMP of a date: the zone's offset, and what the server says outside of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EpochRule {
    pub(super) offset: i64,
    /// Greatest second.
    pub(super) last: i64,
    /// NULL (MariaDB), or zero (MySQL).
    pub(super) null: bool,
    /// Digits of the fraction; 0 gives an integer.
    pub(super) fsp: u8,
}

#[derive(Debug)]
pub(super) enum Node {
    Constant(Datum<'static>),
    Column {
        slot: usize,
        reading: Reading,
    },
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    IsNull(Box<Node>),
    Compare {
        op: Comparison,
        how: How,
        left: Box<Node>,
        right: Box<Node>,
    },
    Between {
        low_how: How,
        high_how: How,
        value: Box<Node>,
        low: Box<Node>,
        high: Box<Node>,
    },
    In {
        value: Box<Node>,
        list: Vec<(How, Node)>,
    },
    Like {
        value: Box<Node>,
        pattern: Box<Node>,
        escape: char,
        collation: Option<Arc<Collation>>,
    },
    Negate {
        numeric: Numeric,
        value: Box<Node>,
        place: Place,
    },
    Abs {
        numeric: Numeric,
        value: Box<Node>,
        place: Place,
    },
    Arithmetic {
        op: Arithmetic,
        numeric: Numeric,
        left: Box<Node>,
        right: Box<Node>,
        place: Place,
    },
    Divide {
        rule: Division,
        left: Box<Node>,
        right: Box<Node>,
        place: Place,
    },
    ToDouble(Box<Node>),
    ToDecimal(Box<Node>),
    ToText {
        shown: Shown,
        value: Box<Node>,
    },
    /// Text as the bytes of its UTF-8.
    ToBytes(Box<Node>),
    /// Whether text is changed in its own place, as MySQL does.
    Case {
        upper: bool,
        in_place: bool,
        collation: Arc<Collation>,
        value: Box<Node>,
    },
    Length {
        rule: LengthRule,
        value: Box<Node>,
    },
    Substring {
        value: Box<Node>,
        start: Box<Node>,
        length: Option<Box<Node>>,
    },
    Concat(Vec<Node>),
    Coalesce(Vec<Node>),
    ToDate(Box<Node>),
    Part {
        part: DatePart,
        value: Box<Node>,
    },
    /// Seconds of a TIMESTAMP column, which knows them.
    EpochOfColumn {
        slot: usize,
        fsp: u8,
    },
    Epoch {
        rule: EpochRule,
        value: Box<Node>,
    },
    FromEpoch {
        last: i64,
        value: Box<Node>,
    },
}
