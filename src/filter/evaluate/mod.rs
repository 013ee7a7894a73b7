//! A program over a row. Nothing is allocated for comparisons of numbers, dates, and text that is UTF-8.

mod column;
pub(super) mod number;
mod text;

use std::cmp::Ordering;

use jiff::tz::TimeZone;

use super::decimal::Decimal;
use super::error::EvalError;
use super::moment::{Moment, local, seconds_of};
use super::program::{DatePart, Datum, EpochRule, How, Node, Reading};
use super::syntax::Comparison;
use crate::binlog::{Cell, Value};
use crate::change::schema::Column;
use number::{to_decimal, to_double};

/// The cells of a row that a program reads.
pub(super) struct Row<'r> {
    /// One for each slot.
    pub(super) cells: &'r [Option<Cell<'r>>],
    /// Their columns.
    pub(super) columns: &'r [Column],
    /// In which TIMESTAMP columns are local times.
    pub(super) zone: &'r TimeZone,
}

impl<'r> Row<'r> {
    /// Whether the condition is true; none when it is NULL.
    pub(super) fn truth(&self, node: &'r Node) -> Result<Option<bool>, EvalError> {
        Ok(match node {
            Node::And(parts) => {
                let mut known = Some(true);
                for part in parts {
                    match self.truth(part)? {
                        Some(true) => {}
                        Some(false) => return Ok(Some(false)),
                        None => known = None,
                    }
                }
                known
            }
            Node::Or(parts) => {
                let mut known = Some(false);
                for part in parts {
                    match self.truth(part)? {
                        Some(false) => {}
                        Some(true) => return Ok(Some(true)),
                        None => known = None,
                    }
                }
                known
            }
            Node::Not(inner) => self.truth(inner)?.map(|known| !known),
            Node::IsNull(value) => Some(matches!(self.eval(value)?, Datum::Null)),
            Node::Compare { op, how, left, right } => {
                if let (How::Int, Node::Constant(Datum::Int(constant))) = (how, &**right)
                    && let Some(order) = self.int_order(left, *constant)?
                {
                    return Ok(Some(holds(*op, order)));
                }
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                judged(*op, compare(how, &left, &right), &left, &right)
            }
            Node::Between { low_how, high_how, value, low, high } => {
                let (value, low, high) = (self.eval(value)?, self.eval(low)?, self.eval(high)?);
                let above = compare(low_how, &value, &low).map(Ordering::is_ge);
                let below = compare(high_how, &value, &high).map(Ordering::is_le);
                match (above, below) {
                    (Some(false), _) | (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                }
            }
            Node::In { value, list } => {
                let value = self.eval(value)?;
                let mut known = Some(false);
                for (how, item) in list {
                    match compare(how, &value, &self.eval(item)?) {
                        Some(Ordering::Equal) => return Ok(Some(true)),
                        Some(_) => {}
                        None => known = None,
                    }
                }
                known
            }
            Node::Like { value, pattern, escape, collation } => {
                let (value, pattern) = (self.eval(value)?, self.eval(pattern)?);
                text::like(&value, &pattern, *escape, collation.as_deref())
            }
            other => match self.eval(other)? {
                Datum::Null => None,
                Datum::Int(number) => Some(number != 0),
                Datum::Decimal(number) => Some(!number.is_zero()),
                other => Some(to_double(&other) != 0.0),
            },
        })
    }

    pub(super) fn eval(&self, node: &'r Node) -> Result<Datum<'r>, EvalError> {
        Ok(match node {
            Node::Constant(datum) => datum.borrowed(),
            Node::Column { slot, reading } => self.column(*slot, *reading)?,
            Node::Arithmetic { op, numeric, left, right, place } => {
                number::arithmetic(*op, *numeric, &self.eval(left)?, &self.eval(right)?, *place)?
            }
            Node::Divide { rule, left, right, place } => {
                number::divide(*rule, &self.eval(left)?, &self.eval(right)?, *place)?
            }
            Node::Negate { numeric, value, place } => number::negate(*numeric, self.eval(value)?, *place)?,
            Node::Abs { numeric, value, place } => number::abs(*numeric, self.eval(value)?, *place)?,
            Node::ToDouble(value) => match self.eval(value)? {
                Datum::Null => Datum::Null,
                other => Datum::Double(to_double(&other)),
            },
            Node::ToDecimal(value) => match self.eval(value)? {
                Datum::Null => Datum::Null,
                other => to_decimal(&other).map_or(Datum::Null, Datum::Decimal),
            },
            Node::ToText { shown, value } => text::shown(*shown, self.eval(value)?),
            Node::ToBytes(value) => text::bytes_of(self.eval(value)?),
            Node::Case { upper, in_place, collation, value } => match self.eval(value)? {
                Datum::Text(text) => Datum::Text(collation.with_case(text, *upper, *in_place)),
                other => other,
            },
            Node::Length { rule, value } => text::length(rule, &self.eval(value)?),
            Node::Substring { value, start, length } => {
                let (value, start) = (self.eval(value)?, self.eval(start)?);
                let length = length.as_ref().map(|length| self.eval(length)).transpose()?;
                text::substring(value, &start, length.as_ref())
            }
            Node::Concat(parts) => {
                let mut joined = text::Joining::default();
                for part in parts {
                    let part = self.eval(part)?;
                    if matches!(part, Datum::Null) {
                        return Ok(Datum::Null);
                    }
                    joined.push(&part);
                }
                joined.finish()
            }
            Node::Coalesce(values) => {
                for value in values {
                    let value = self.eval(value)?;
                    if !matches!(value, Datum::Null) {
                        return Ok(value);
                    }
                }
                Datum::Null
            }
            Node::ToDate(value) => match self.eval(value)? {
                Datum::Moment(moment) => Datum::Moment(Moment::of_date(moment.date())),
                _ => Datum::Null,
            },
            Node::Part { part, value } => match self.eval(value)? {
                Datum::Moment(moment) => {
                    let date = moment.date();
                    Datum::Int(match part {
                        DatePart::Year => date.year.into(),
                        DatePart::Month => date.month.into(),
                        DatePart::Day => date.day.into(),
                    })
                }
                _ => Datum::Null,
            },
            Node::EpochOfColumn { slot, fsp } => self.epoch_of_column(*slot, *fsp)?,
            Node::Epoch { rule, value } => match self.eval(value)? {
                Datum::Moment(moment) => epoch(*rule, moment),
                _ => Datum::Null,
            },
            Node::FromEpoch { last, value } => self.moment_of_seconds(*last, &self.eval(value)?),
            Node::And(_)
            | Node::Or(_)
            | Node::Not(_)
            | Node::IsNull(_)
            | Node::Compare { .. }
            | Node::Between { .. }
            | Node::In { .. }
            | Node::Like { .. } => match self.truth(node)? {
                None => Datum::Null,
                Some(known) => Datum::Int(known.into()),
            },
        })
    }

    /// The order of a column of whole numbers and a constant; none for NULL, and for what is no such column.
    #[inline]
    fn int_order(&self, node: &Node, constant: i128) -> Result<Option<Ordering>, EvalError> {
        let Node::Column { slot, reading: Reading::Value } = node else { return Ok(None) };
        let Some(cell) = &self.cells[*slot] else { return Ok(None) };
        Ok(match cell.value()? {
            Value::Int(number) => Some(i128::from(number).cmp(&constant)),
            Value::UInt(number) => Some(i128::from(number).cmp(&constant)),
            _ => None,
        })
    }

    fn moment_of_seconds(&self, last: i64, value: &Datum<'_>) -> Datum<'r> {
        let (whole, micros) = match value {
            Datum::Int(whole) => (Some(*whole), 0),
            Datum::Decimal(number) if !number.is_negative() => {
                // At most six digits behind the point.
                let million = Decimal::of_int(1_000_000);
                let micros = number.multiply(&million).and_then(|micros| micros.whole()).unwrap_or(0);
                (number.whole(), (micros % 1_000_000) as u32)
            }
            _ => return Datum::Null,
        };
        let seconds = whole.and_then(|whole| i64::try_from(whole).ok()).filter(|s| (0..=last).contains(s));
        seconds.and_then(|seconds| local(self.zone, seconds, micros)).map_or(Datum::Null, Datum::Moment)
    }
}

/// Seconds since the epoch, as far as the server counts.
fn epoch(rule: EpochRule, moment: Moment) -> Datum<'static> {
    let moment = moment.datetime(rule.fsp);
    let seconds = seconds_of(&moment, rule.offset).filter(|seconds| (0..=rule.last).contains(seconds));
    match seconds {
        // Second 0 says to MySQL that there is none, and its fraction is lost.
        Some(0) if !rule.null => seconds_datum(0, 0, rule.fsp),
        Some(seconds) => seconds_datum(seconds, moment.micros, rule.fsp),
        None if rule.null => Datum::Null,
        None => seconds_datum(0, 0, rule.fsp),
    }
}

/// A whole number, or a decimal of `fsp` digits behind the point.
fn seconds_datum(seconds: i64, micros: u32, fsp: u8) -> Datum<'static> {
    if fsp == 0 {
        return Datum::Int(seconds.into());
    }
    let power = 10i128.pow(fsp.into());
    let parts = i128::from(micros / 10u32.pow(6 - u32::from(fsp.min(6))));
    Datum::Decimal(Decimal::scaled(i128::from(seconds) * power + parts, fsp))
}

fn judged(op: Comparison, order: Option<Ordering>, left: &Datum<'_>, right: &Datum<'_>) -> Option<bool> {
    if op == Comparison::NullSafeEqual {
        let nulls = matches!(left, Datum::Null) && matches!(right, Datum::Null);
        return Some(nulls || order == Some(Ordering::Equal));
    }
    order.map(|order| holds(op, order))
}

fn holds(op: Comparison, order: Ordering) -> bool {
    match op {
        Comparison::Equal | Comparison::NullSafeEqual => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

/// The order of two values; none when one is NULL.
fn compare(how: &How, left: &Datum<'_>, right: &Datum<'_>) -> Option<Ordering> {
    match (how, left, right) {
        (_, Datum::Null, _) | (_, _, Datum::Null) => None,
        (How::Int, Datum::Int(a), Datum::Int(b)) => Some(a.cmp(b)),
        (How::Decimal, ..) => to_decimal(left)?.compare(&to_decimal(right)?),
        (How::RoundedDecimal(a, b), ..) => to_decimal(left)?.round(*a).compare(&to_decimal(right)?.round(*b)),
        (How::Text(collation), Datum::Text(a), Datum::Text(b)) => Some(collation.compare(a, b)),
        (How::Bytes, Datum::Bytes(a), Datum::Bytes(b)) => Some(a.cmp(b)),
        (How::Moment, Datum::Moment(a), Datum::Moment(b)) => Some(a.cmp(b)),
        (How::Time, Datum::Time(a), Datum::Time(b)) => Some(a.cmp(b)),
        _ => to_double(left).partial_cmp(&to_double(right)),
    }
}
