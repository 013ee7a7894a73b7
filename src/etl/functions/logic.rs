//! Comparison, logic, choice. Null compares as false with anything, and is no condition that holds.

use std::cmp::Ordering;

use super::super::value::{Datum, Kind, of_document};
use super::{ANY, Args, Entry, Stop, of_all, of_bool, of_int};
use crate::binlog::json::Document;

pub(super) const FUNCTIONS: &[Entry] = &[
    Entry::new("op_eq", "op_eq(a, b)", 2, 2, of_bool, |a| compare(a, Ordering::is_eq)).comparing(),
    Entry::new("op_ne", "op_ne(a, b)", 2, 2, of_bool, |a| compare(a, Ordering::is_ne)).comparing(),
    Entry::new("op_gt", "op_gt(a, b)", 2, 2, of_bool, |a| compare(a, Ordering::is_gt)).comparing(),
    Entry::new("op_ge", "op_ge(a, b)", 2, 2, of_bool, |a| compare(a, Ordering::is_ge)).comparing(),
    Entry::new("op_lt", "op_lt(a, b)", 2, 2, of_bool, |a| compare(a, Ordering::is_lt)).comparing(),
    Entry::new("op_le", "op_le(a, b)", 2, 2, of_bool, |a| compare(a, Ordering::is_le)).comparing(),
    Entry::new("op_and", "op_and(a, b[, ...])", 2, ANY, of_bool, |a| {
        for i in 0..a.len() {
            if !a.condition(i)? {
                return Ok(Datum::Bool(false));
            }
        }
        Ok(Datum::Bool(true))
    }),
    Entry::new("op_or", "op_or(a, b[, ...])", 2, ANY, of_bool, |a| {
        for i in 0..a.len() {
            if a.condition(i)? {
                return Ok(Datum::Bool(true));
            }
        }
        Ok(Datum::Bool(false))
    }),
    Entry::new("op_not", "op_not(a)", 1, 1, of_bool, |a| Ok(Datum::Bool(!a.condition(0)?))),
    Entry::new("op_in", "op_in(value, a[, b, ...])", 2, ANY, of_bool, is_in).comparing(),
    Entry::new("op_is_null", "op_is_null(v)", 1, 1, of_bool, |a| Ok(Datum::Bool(a.value(0)?.is_null()))),
    Entry::new("op_is_not_null", "op_is_not_null(v)", 1, 1, of_bool, |a| Ok(Datum::Bool(!a.value(0)?.is_null()))),
    Entry::new(
        "op_if",
        "op_if(condition, a, b)",
        3,
        3,
        |shapes| of_all(shapes.get(1..).unwrap_or(&[])),
        |a| {
            let chosen = if a.condition(0)? { 1 } else { 2 };
            a.value(chosen)
        },
    ),
    Entry::new("op_ifnull", "op_ifnull(a, b)", 2, 2, of_all, coalesce),
    Entry::new("op_coalesce", "op_coalesce(a[, ...])", 1, ANY, of_all, coalesce),
    Entry::new(
        "op_nullif",
        "op_nullif(a, b)",
        2,
        2,
        |shapes| shapes.first().map_or(Kind::Null, |s| s.kind),
        |a| {
            let (first, second) = (a.value(0)?, a.value(1)?);
            Ok(if first.compare(&second)? == Some(Ordering::Equal) { Datum::Null } else { first })
        },
    )
    .comparing(),
    Entry::new("op_max", "op_max(a, b[, ...])", 1, ANY, of_all, |a| most(a, Ordering::Greater)).comparing(),
    Entry::new("op_min", "op_min(a, b[, ...])", 1, ANY, of_all, |a| most(a, Ordering::Less)).comparing(),
    Entry::new("op_len", "op_len(s)", 1, 1, of_int, |a| {
        let len = match a.some(0)? {
            Datum::Bytes(bytes) => bytes.len(),
            other => other.into_text()?.chars().count(),
        };
        Ok(Datum::Int(len as i64))
    }),
];

fn compare<'r>(a: &mut Args<'_, 'r>, holds: fn(Ordering) -> bool) -> Result<Datum<'r>, Stop> {
    let (first, second) = (a.value(0)?, a.value(1)?);
    Ok(Datum::Bool(first.compare(&second)?.is_some_and(holds)))
}

/// Among the others, or among the elements of an array.
fn is_in<'r>(a: &mut Args<'_, 'r>) -> Result<Datum<'r>, Stop> {
    let value = a.value(0)?;
    if value.is_null() {
        return Ok(Datum::Bool(false));
    }
    for i in 1..a.len() {
        let other = a.value(i)?;
        let found = match &other {
            Datum::Json(document) => match &**document {
                Document::Array(elements) => {
                    let mut found = false;
                    for element in elements {
                        found |= equal(&value, &of_document(element))?;
                    }
                    found
                }
                _ => equal(&value, &other)?,
            },
            _ => equal(&value, &other)?,
        };
        if found {
            return Ok(Datum::Bool(true));
        }
    }
    Ok(Datum::Bool(false))
}

fn equal(a: &Datum<'_>, b: &Datum<'_>) -> Result<bool, Stop> {
    Ok(a.compare(b)? == Some(Ordering::Equal))
}

fn coalesce<'r>(a: &mut Args<'_, 'r>) -> Result<Datum<'r>, Stop> {
    for i in 0..a.len() {
        let value = a.value(i)?;
        if !value.is_null() {
            return Ok(value);
        }
    }
    Ok(Datum::Null)
}

/// The greatest or the least; null when one is null.
fn most<'r>(a: &mut Args<'_, 'r>, wanted: Ordering) -> Result<Datum<'r>, Stop> {
    let mut best = a.some(0)?;
    for i in 1..a.len() {
        let next = a.some(i)?;
        if next.compare(&best)? == Some(wanted) {
            best = next;
        }
    }
    Ok(best)
}
