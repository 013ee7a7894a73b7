//! Text and bytes.

use std::borrow::Cow;

use crate::binlog::time::Time;
use crate::filter::collation::Collation;
use crate::filter::like;
use crate::filter::program::{Datum, LengthRule, Shown};

pub(super) fn like(
    value: &Datum<'_>,
    pattern: &Datum<'_>,
    escape: char,
    collation: Option<&Collation>,
) -> Option<bool> {
    match (value, pattern, collation) {
        (Datum::Text(text), Datum::Text(pattern), Some(collation)) => {
            Some(like::matches(text.chars(), pattern.chars(), escape, |a, b| collation.alike(a, b)))
        }
        (Datum::Bytes(bytes), Datum::Bytes(pattern), _) => {
            Some(like::matches(bytes.iter().copied(), pattern.iter().copied(), escape, |a, b| a == b))
        }
        _ => None,
    }
}

pub(super) fn length(rule: &LengthRule, value: &Datum<'_>) -> Datum<'static> {
    let length = match (value, rule) {
        (Datum::Text(text), LengthRule::Characters) => text.chars().count(),
        (Datum::Text(text), LengthRule::Utf8) => text.len(),
        (Datum::Text(text), LengthRule::Other(repertoire)) => repertoire.length(text),
        (Datum::Bytes(bytes), _) => bytes.len(),
        _ => return Datum::Null,
    };
    Datum::Int(length as i128)
}

/// Numbers and dates as the server writes them.
pub(super) fn shown<'r>(shown: Shown, value: Datum<'r>) -> Datum<'r> {
    let mut out = Vec::new();
    match (shown, &value) {
        (_, Datum::Int(number)) => return Datum::Text(number.to_string().into()),
        (_, Datum::Decimal(number)) => {
            let mut text = String::new();
            number.write(&mut text);
            return Datum::Text(text.into());
        }
        (Shown::Date, Datum::Moment(moment)) => moment.date().write(&mut out),
        (Shown::DateTime { fsp }, Datum::Moment(moment)) => moment.datetime(fsp).write(&mut out),
        (Shown::Time { fsp }, Datum::Time(micros)) => time(*micros, fsp).write(&mut out),
        _ => return Datum::Null,
    }
    // Digits and marks.
    String::from_utf8(out).map_or(Datum::Null, |text| Datum::Text(text.into()))
}

fn time(micros: i64, fsp: u8) -> Time {
    let whole = micros.unsigned_abs();
    let seconds = whole / 1_000_000;
    Time {
        negative: micros < 0,
        hours: (seconds / 3600) as u16,
        minutes: (seconds / 60 % 60) as u8,
        seconds: (seconds % 60) as u8,
        micros: (whole % 1_000_000) as u32,
        fsp,
    }
}

pub(super) fn bytes_of(value: Datum<'_>) -> Datum<'_> {
    match value {
        Datum::Text(Cow::Borrowed(text)) => Datum::Bytes(Cow::Borrowed(text.as_bytes())),
        Datum::Text(Cow::Owned(text)) => Datum::Bytes(Cow::Owned(text.into_bytes())),
        other => other,
    }
}

/// SUBSTRING: places count from 1, or from the end when negative; place 0 is nowhere.
pub(super) fn substring<'r>(value: Datum<'r>, start: &Datum<'_>, length: Option<&Datum<'_>>) -> Datum<'r> {
    let Datum::Int(start) = *start else { return Datum::Null };
    let length = match length {
        None => None,
        Some(Datum::Int(length)) => Some(*length),
        Some(_) => return Datum::Null,
    };
    let cut = |whole: usize| {
        let whole = whole as i128;
        let from = if start > 0 { start - 1 } else { whole + start };
        if start == 0 || from < 0 || from >= whole {
            return (0, 0);
        }
        let to = length.map_or(whole, |length| (from + length.max(0)).min(whole));
        (from as usize, to as usize)
    };
    match value {
        Datum::Text(text) => {
            let (from, to) = cut(text.chars().count());
            let place = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
            let (from, to) = (place(from), place(to));
            Datum::Text(match text {
                Cow::Borrowed(text) => Cow::Borrowed(&text[from..to]),
                Cow::Owned(text) => Cow::Owned(text[from..to].to_owned()),
            })
        }
        Datum::Bytes(bytes) => {
            let (from, to) = cut(bytes.len());
            Datum::Bytes(match bytes {
                Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[from..to]),
                Cow::Owned(bytes) => Cow::Owned(bytes[from..to].to_vec()),
            })
        }
        _ => Datum::Null,
    }
}

/// What CONCAT builds: text, or bytes as soon as there are some.
#[derive(Default)]
pub(super) struct Joining {
    text: String,
    bytes: Option<Vec<u8>>,
}

impl Joining {
    pub(super) fn push(&mut self, part: &Datum<'_>) {
        match (part, &mut self.bytes) {
            (Datum::Text(text), None) => self.text.push_str(text),
            (Datum::Text(text), Some(bytes)) => bytes.extend_from_slice(text.as_bytes()),
            (Datum::Bytes(part), Some(bytes)) => bytes.extend_from_slice(part),
            (Datum::Bytes(part), None) => {
                let mut bytes = std::mem::take(&mut self.text).into_bytes();
                bytes.extend_from_slice(part);
                self.bytes = Some(bytes);
            }
            _ => {}
        }
    }

    pub(super) fn finish<'r>(self) -> Datum<'r> {
        match self.bytes {
            None => Datum::Text(self.text.into()),
            Some(bytes) => Datum::Bytes(bytes.into()),
        }
    }
}
