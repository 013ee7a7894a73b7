//! Text by its characters: case, ends, parts, masks; to numbers and back.

use std::borrow::Cow;

use super::super::fault::Fault;
use super::super::value::{Datum, Num};
use super::strings::slice;
use super::{Args, Entry, Stop, of_bool, of_float, of_int, of_text};

pub(super) const FUNCTIONS: &[Entry] = &[
    Entry::new("str_strip", "str_strip(s[, chars])", 1, 2, of_text, |a| strip(a, true, true)),
    Entry::new("str_lstrip", "str_lstrip(s[, chars])", 1, 2, of_text, |a| strip(a, true, false)),
    Entry::new("str_rstrip", "str_rstrip(s[, chars])", 1, 2, of_text, |a| strip(a, false, true)),
    Entry::new("str_lower", "str_lower(s)", 1, 1, of_text, |a| {
        let text = a.text(0)?;
        a.made(text.to_lowercase())
    }),
    Entry::new("str_upper", "str_upper(s)", 1, 1, of_text, |a| {
        let text = a.text(0)?;
        a.made(text.to_uppercase())
    }),
    Entry::new("str_isalpha", "str_isalpha(s)", 1, 1, of_bool, |a| all(a, char::is_alphabetic)),
    Entry::new("str_isdigit", "str_isdigit(s)", 1, 1, of_bool, |a| all(a, |c| c.is_ascii_digit())),
    Entry::new("str_mask", "str_mask(s, start, end, ch)", 4, 4, of_text, mask),
    Entry::new("str_substring", "str_substring(s, start, len)", 3, 3, of_text, |a| {
        let (text, start, len) = (a.text(0)?, a.integer(1)?, a.integer(2)?);
        let start = usize::try_from(start).map_err(|_| Fault::Range { what: "the start" })?;
        let len = usize::try_from(len).map_err(|_| Fault::Range { what: "the length" })?;
        let from = place(&text, start);
        let to = from + place(&text[from..], len);
        Ok(slice(&text, from..to))
    }),
    Entry::new("cast_string_to_long", "cast_string_to_long(s)", 1, 1, of_int, |a| {
        let text = a.text(0)?;
        // Whole numbers beyond 64 bits are numbers too.
        match Num::parse(&text) {
            Ok(Num::Int(v)) => Ok(Datum::Int(v)),
            Ok(Num::Decimal(v)) if v.scale() == 0 => Ok(Datum::Decimal(v)),
            _ => Err(Fault::Parse("a whole number").into()),
        }
    }),
    Entry::new("cast_string_to_double", "cast_string_to_double(s)", 1, 1, of_float, |a| {
        let text = a.text(0)?;
        match Num::parse(&text)?.float() {
            v if v.is_finite() => Ok(Datum::Float(v)),
            _ => Err(Fault::Range { what: "a number" }.into()),
        }
    }),
    Entry::new("cast_to_string", "cast_to_string(v)", 1, 1, of_text, |a| Ok(Datum::Text(a.text(0)?))),
];

/// Where the character of this number begins; the end when there are fewer.
fn place(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

fn strip<'r>(a: &mut Args<'_, 'r>, left: bool, right: bool) -> Result<Datum<'r>, Stop> {
    let text = a.text(0)?;
    let chars = if a.len() > 1 { Some(a.text(1)?) } else { None };
    let goes = |c: char| chars.as_ref().map_or(c.is_whitespace(), |chars| chars.contains(c));
    let from = if left { text.len() - text.trim_start_matches(goes).len() } else { 0 };
    let to = if right { text.trim_end_matches(goes).len() } else { text.len() };
    Ok(slice(&text, from..to.max(from)))
}

/// Not empty, and every character is of a class.
fn all<'r>(a: &mut Args<'_, 'r>, class: fn(char) -> bool) -> Result<Datum<'r>, Stop> {
    let text = a.text(0)?;
    Ok(Datum::Bool(!text.is_empty() && text.chars().all(class)))
}

/// Positions `start` to `end`, both included and clipped to the text, become `ch`.
fn mask<'r>(a: &mut Args<'_, 'r>) -> Result<Datum<'r>, Stop> {
    let (text, start, end, ch) = (a.text(0)?, a.integer(1)?, a.integer(2)?, a.text(3)?);
    let mut masks = ch.chars();
    let (Some(mask), None) = (masks.next(), masks.next()) else {
        return Err(Fault::Kind { expected: "one character", found: "another text" }.into());
    };
    let within = |i: usize| i64::try_from(i).is_ok_and(|i| (start..=end).contains(&i));
    if !text.chars().enumerate().any(|(i, c)| within(i) && c != mask) {
        return Ok(Datum::Text(text));
    }
    let masked: String = text.chars().enumerate().map(|(i, c)| if within(i) { mask } else { c }).collect();
    a.machine.charge(masked.len())?;
    Ok(Datum::Text(Cow::Owned(masked)))
}
