//! Literals, and what they become beside a value of another type.

use super::Compiler;
use super::types::{ColumnForm, Form, TextOrigin, Type, Typed};
use crate::filter::decimal::Decimal;
use crate::filter::error::{FilterError, FilterFault, Place};
use crate::filter::evaluate::number::leading_double;
use crate::filter::moment::{Moment, parse_date, parse_datetime, parse_time};
use crate::filter::program::{Datum, Node, time_datum};
use crate::filter::syntax::Literal;

/// Up to there every whole number is a double of its own.
const EXACT_DOUBLE: f64 = 9_007_199_254_740_992.0;
/// Digits of a decimal that a double tells from any other of as many.
const DOUBLE_DIGITS: usize = 15;
/// Most digits of a DECIMAL.
pub(super) const DECIMAL_DIGITS: usize = 65;

impl Compiler<'_> {
    pub(super) fn literal(literal: &Literal, place: Place) -> Result<Typed, FilterError> {
        let wrong = |text: &str, expected| {
            let fault = FilterFault::Literal { literal: format!("'{text}'"), expected };
            Err(FilterError { place, fault })
        };
        let (datum, ty, shown) = match literal {
            Literal::Null => return Ok(Self::null(place)),
            Literal::Bool(value) => (Datum::Int((*value).into()), Type::BOOL, "a truth value".to_owned()),
            Literal::Int(value) => {
                let digits = value.checked_ilog10().unwrap_or(0) as u8 + 1;
                // As on the server, only what no signed integer holds is unsigned.
                let unsigned = i64::try_from(*value).is_err();
                (Datum::Int((*value).into()), Type::Int { unsigned, digits }, format!("the number {value}"))
            }
            Literal::Decimal(text) => {
                let digits = text.bytes().filter(u8::is_ascii_digit).count();
                let number = Decimal::parse(text.as_bytes()).filter(|n| digits <= DECIMAL_DIGITS && n.scale() <= 30);
                let Some(number) = number else { return wrong(text, "a number that a DECIMAL can hold") };
                let whole = (digits - usize::from(number.scale())) as u8;
                let ty = Type::Decimal { whole, scale: number.scale(), unsigned: false, quotient: false };
                (Datum::Decimal(number), ty, format!("the number {text}"))
            }
            Literal::Double(value) => (Datum::Double(*value), Type::Double, format!("the number {value:e}")),
            Literal::Text(text) => {
                let ty = Type::Text(TextOrigin::Session { ascii: text.is_ascii() });
                (Datum::Text(text.clone().into()), ty, "text in quotes".to_owned())
            }
            Literal::Hex(bytes) => {
                (Datum::Bytes(bytes.clone().into()), Type::Bytes, "a hexadecimal literal".to_owned())
            }
            Literal::Date(text) => match parse_date(text).filter(|date| date.month > 0 && date.day > 0) {
                Some(date) => (Datum::Moment(Moment::of_date(date)), Type::Date, "a date".to_owned()),
                None => return wrong(text, "a date written YYYY-MM-DD"),
            },
            Literal::Timestamp(text) => {
                let moment = parse_datetime(text).filter(|moment| moment.date.month > 0 && moment.date.day > 0);
                match moment.filter(|_| text.len() > 10) {
                    Some(moment) => {
                        let ty = Type::DateTime { fsp: moment.fsp };
                        (Datum::Moment(Moment::of_datetime(&moment)), ty, "a date and time".to_owned())
                    }
                    None => return wrong(text, "a date and time written YYYY-MM-DD hh:mm:ss"),
                }
            }
            Literal::Time(text) => match parse_time(text) {
                Some(time) => (time_datum(&time), Type::Time { fsp: time.fsp }, "a time".to_owned()),
                None => return wrong(text, "a time written hh:mm:ss"),
            },
        };
        Ok(Typed { node: Node::Constant(datum), ty, form: Form::Literal(literal.clone()), place, shown })
    }

    /// Text in quotes beside a date.
    pub(super) fn as_moment(literal: Typed) -> Result<Typed, FilterError> {
        let Some(Literal::Text(text)) = literal.literal() else {
            return literal.refuse("a date", "compare it with a date in quotes or another date column");
        };
        let Some(moment) = parse_datetime(text) else {
            let expected = "a date written YYYY-MM-DD or YYYY-MM-DD hh:mm:ss";
            let fault = FilterFault::Literal { literal: format!("'{text}'"), expected };
            return Err(FilterError { place: literal.place, fault });
        };
        let node = Node::Constant(Datum::Moment(Moment::of_datetime(&moment)));
        let ty = if text.len() > 10 { Type::DateTime { fsp: moment.fsp } } else { Type::Date };
        Ok(Typed { node, ty, form: Form::Other, ..literal })
    }

    /// Text in quotes beside a TIME of so many digits.
    pub(super) fn as_time(literal: Typed, fsp: u8) -> Result<Typed, FilterError> {
        let time = match literal.literal() {
            Some(Literal::Text(text) | Literal::Time(text)) => parse_time(text),
            _ => return literal.refuse("a time", "compare it with a time in quotes or another time column"),
        };
        match time.filter(|time| time.fsp <= fsp) {
            Some(time) => {
                let (node, ty) = (Node::Constant(time_datum(&time)), Type::Time { fsp: time.fsp });
                Ok(Typed { node, ty, form: Form::Other, ..literal })
            }
            None => {
                let expected = "a time written hh:mm:ss, with no more digits behind the point than the column keeps";
                let fault = FilterFault::Literal { literal: literal.shown.clone(), expected };
                Err(FilterError { place: literal.place, fault })
            }
        }
    }

    /// Text in quotes beside a number: as the number that every server takes it for, else refused. None: compared as
    /// doubles.
    pub(super) fn as_number(&self, text: &str, literal: &Typed, other: &Typed) -> Result<Option<Node>, FilterError> {
        let value = leading_double(text.as_bytes());
        let plain = |instead| literal.refuse("a number", instead);
        match (&other.ty, other.column()) {
            (_, Some(ColumnForm::Bit)) => plain("write the number without quotes"),
            (_, Some(ColumnForm::Year)) => match text.parse() {
                Ok(year @ 1901..=2155) if text.len() == 4 => Ok(Some(Node::Constant(Datum::Int(year)))),
                _ => plain("write a year of four digits"),
            },
            (Type::Int { .. }, _) if value.abs() < EXACT_DOUBLE => Ok(None),
            (Type::Int { unsigned, .. }, Some(ColumnForm::BigInt)) => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                let whole = digits.bytes().all(|b| b.is_ascii_digit());
                let fits = |value: &i128| {
                    if *unsigned { u64::try_from(*value).is_ok() } else { i64::try_from(*value).is_ok() }
                };
                match text.parse::<i128>().ok().filter(|value| whole && fits(value)) {
                    Some(value) => Ok(Some(Node::Constant(Datum::Int(value)))),
                    None => plain("write the number without quotes"),
                }
            }
            (Type::Int { .. }, Some(_)) => Ok(None),
            (Type::Int { .. }, None) => plain("write the number without quotes"),
            // MariaDB compares as decimals, MySQL as doubles. With few digits that is the same but for zero with a sign,
            // and MySQL's versions need not be told apart.
            (Type::Decimal { whole, scale, quotient: false, .. }, _) => {
                let digits = text.bytes().filter(u8::is_ascii_digit).count();
                let few = usize::from(*whole) + usize::from(*scale) <= DOUBLE_DIGITS && digits <= DOUBLE_DIGITS;
                match Decimal::parse(text.as_bytes()).filter(|_| few) {
                    Some(number) if self.session.is_mariadb() => Ok(Some(Node::Constant(Datum::Decimal(number)))),
                    Some(_) => Ok(None),
                    None => plain("write the number without quotes"),
                }
            }
            (Type::Double, _) => Ok(None),
            _ => plain("write the number without quotes"),
        }
    }
}
