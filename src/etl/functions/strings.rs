//! Searching and replacing in text. Positions count Unicode code points.

use std::borrow::Cow;

use regex::{NoExpand, Regex};

use super::super::expr::Prepared;
use super::super::fault::Fault;
use super::super::value::{Datum, Kind};
use super::{ANY, Args, Entry, Prepare, Shape, Stop, numbers, of_bool, of_int, of_text};

pub(super) const FUNCTIONS: &[Entry] = &[
    Entry::new("op_add", "op_add(s1, s2[, ...])", 2, ANY, of_added, add),
    Entry::new("str_format", "str_format(format[, v1, ...])", 1, ANY, of_text, format),
    Entry::new("str_replace", "str_replace(s, old, new[, count])", 3, 4, of_text, |a| {
        let (text, old, new) = (a.text(0)?, a.text(1)?, a.text(2)?);
        let count = if a.len() > 3 { a.integer(3)? } else { -1 };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        match replace(a, &text, &old, &new, count)? {
            Some(made) => Ok(made),
            None => Ok(Datum::Text(text)),
        }
    }),
    Entry::new("str_count", "str_count(s, pattern)", 2, 2, of_int, |a| {
        let (text, pattern) = (a.text(0)?, a.text(1)?);
        Ok(Datum::Int(if pattern.is_empty() { 0 } else { text.matches(&*pattern).count() as i64 }))
    }),
    Entry::new("str_find", "str_find(s, pattern)", 2, 2, of_int, |a| {
        let (text, pattern) = (a.text(0)?, a.text(1)?);
        Ok(Datum::Int(text.find(&*pattern).map_or(-1, |at| text[..at].chars().count() as i64)))
    }),
    Entry::new("str_contains", "str_contains(s, pattern)", 2, 2, of_bool, |a| {
        let (text, pattern) = (a.text(0)?, a.text(1)?);
        Ok(Datum::Bool(text.contains(&*pattern)))
    }),
    Entry::new("str_startswith", "str_startswith(s, prefix)", 2, 2, of_bool, |a| {
        let (text, prefix) = (a.text(0)?, a.text(1)?);
        Ok(Datum::Bool(text.starts_with(&*prefix)))
    }),
    Entry::new("str_endswith", "str_endswith(s, suffix)", 2, 2, of_bool, |a| {
        let (text, suffix) = (a.text(0)?, a.text(1)?);
        Ok(Datum::Bool(text.ends_with(&*suffix)))
    }),
    Entry::new("regex_match", "regex_match(s, regex)", 2, 2, of_bool, |a| {
        let text = a.text(0)?;
        Ok(Datum::Bool(regex(a)?.is_match(&text)))
    })
    .preparing(Prepare::Regex { argument: 1, whole: true }),
    Entry::new("regex_replace", "regex_replace(s, regex, replacement)", 3, 3, of_text, |a| {
        let (text, new) = (a.text(0)?, a.text(2)?);
        let found = regex(a)?;
        // What comes out is bounded before it is made.
        let matches = found.find_iter(&text).count();
        a.machine.charge(text.len().saturating_add(matches.saturating_mul(new.len())))?;
        match found.replace_all(&text, NoExpand(&new)) {
            Cow::Borrowed(_) => Ok(Datum::Text(text.clone())),
            Cow::Owned(made) => Ok(Datum::text(made)),
        }
    })
    .preparing(Prepare::Regex { argument: 1, whole: false }),
    Entry::new("regex_select", "regex_select(s, regex[, group])", 2, 3, of_text, |a| {
        let text = a.text(0)?;
        let group = if a.len() > 2 { a.integer(2)? } else { 0 };
        let group = usize::try_from(group).map_err(|_| Fault::Range { what: "the group" })?;
        match regex(a)?.captures(&text).and_then(|found| found.get(group)) {
            Some(part) => Ok(slice(&text, part.range())),
            None => Ok(Datum::Null),
        }
    })
    .preparing(Prepare::Regex { argument: 1, whole: false }),
    Entry::new("substring_after", "substring_after(s, x)", 2, 2, of_text, |a| {
        let (text, x) = (a.text(0)?, a.text(1)?);
        Ok(text.find(&*x).map_or(Datum::Null, |at| slice(&text, at + x.len()..text.len())))
    }),
    Entry::new("substring_before", "substring_before(s, x)", 2, 2, of_text, |a| {
        let (text, x) = (a.text(0)?, a.text(1)?);
        Ok(text.find(&*x).map_or(Datum::Null, |at| slice(&text, 0..at)))
    }),
    Entry::new("substring_between", "substring_between(s, x, y)", 3, 3, of_text, |a| {
        let (text, x, y) = (a.text(0)?, a.text(1)?, a.text(2)?);
        let start = text.find(&*x).map(|at| at + x.len());
        let between = start.and_then(|start| text[start..].find(&*y).map(|len| start..start + len));
        Ok(between.map_or(Datum::Null, |range| slice(&text, range)))
    }),
];

/// A part of a text, borrowed where the text is.
pub(super) fn slice<'r>(text: &Cow<'r, str>, range: std::ops::Range<usize>) -> Datum<'r> {
    match text {
        Cow::Borrowed(text) => Datum::Text(Cow::Borrowed(&text[range])),
        Cow::Owned(text) => Datum::text(text[range].to_owned()),
    }
}

/// The first `count` occurrences replaced; none when there is no occurrence.
pub(in super::super) fn replace<'r>(
    a: &mut Args<'_, 'r>,
    text: &str,
    old: &str,
    new: &str,
    count: usize,
) -> Result<Option<Datum<'r>>, Stop> {
    let found = if old.is_empty() { 0 } else { text.matches(old).take(count).count() };
    if found == 0 {
        return Ok(None);
    }
    // What comes out is bounded before it is made.
    a.machine.charge(text.len().saturating_add(found.saturating_mul(new.len())))?;
    Ok(Some(Datum::text(text.replacen(old, new, found))))
}

fn regex<'r>(a: &Args<'_, 'r>) -> Result<&'r Regex, Stop> {
    match a.prepared {
        Prepared::Regex(regex) => Ok(regex),
        _ => Err(Stop::Fault(Fault::Parse("a regular expression"))),
    }
}

fn is_number(kind: Kind) -> bool {
    kind.is_number() || kind == Kind::Bool
}

fn of_added(shapes: &[Shape<'_>]) -> Kind {
    let all = |is: fn(Kind) -> bool| shapes.iter().all(|shape| is(shape.kind));
    if all(is_number) {
        return shapes.iter().map(|s| if s.kind == Kind::Bool { Kind::Int } else { s.kind }).fold(Kind::Null, Kind::or);
    }
    if shapes.iter().any(|shape| matches!(shape.kind, Kind::Text | Kind::Bytes | Kind::Json)) {
        return Kind::Text;
    }
    Kind::Unknown
}

/// The sum of numbers, the concatenation of anything else.
fn add<'r>(a: &mut Args<'_, 'r>) -> Result<Datum<'r>, Stop> {
    let mut values = Vec::with_capacity(a.len());
    for i in 0..a.len() {
        values.push(a.some(i)?);
    }
    if values.iter().all(|value| is_number(value.kind())) {
        let mut sum = None;
        for value in values {
            let number = value.into_number()?;
            sum = Some(match sum {
                None => number,
                Some(sum) => numbers::sum(sum, number)?,
            });
        }
        return Ok(sum.map_or(Datum::Null, Datum::number));
    }
    let mut out = String::new();
    for value in values {
        let part = value.into_text()?;
        a.machine.charge(part.len())?;
        out.push_str(&part);
    }
    Ok(Datum::text(out))
}

/// `{}` stands for the next value, `{{` and `}}` for brackets.
fn format<'r>(a: &mut Args<'_, 'r>) -> Result<Datum<'r>, Stop> {
    let pattern = a.text(0)?;
    let (mut out, mut places) = (String::new(), 0);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('{', Some('{')) | ('}', Some('}')) => {
                chars.next();
                out.push(c);
            }
            ('{', Some('}')) => {
                chars.next();
                places += 1;
                if places < a.len() {
                    let value = a.text(places)?;
                    a.machine.charge(value.len())?;
                    out.push_str(&value);
                }
            }
            _ => out.push(c),
        }
    }
    if places + 1 != a.len() {
        return Err(Fault::Placeholders { values: a.len() - 1, places }.into());
    }
    a.made(out)
}
