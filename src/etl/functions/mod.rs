//! What a script can call, one file a family. A function is an entry of its family's table: how it is written, what it
//! gives, what it does.

pub(super) mod dates;
mod digests;
mod json;
mod logic;
mod numbers;
mod strings;
#[cfg(test)]
mod tests;
mod text;

use std::borrow::Cow;

use super::evaluate::Machine;
use super::expr::{Expr, Prepared};
use super::fault::{EvalError, Fault};
use super::value::{Datum, Kind, Num};
use crate::binlog::time::DateTime;

/// A function.
pub(super) struct Entry {
    pub(super) name: &'static str,
    /// How it is written, for errors.
    pub(super) signature: &'static str,
    /// Fewest arguments without a name.
    pub(super) min: usize,
    /// Most.
    pub(super) max: usize,
    /// Names of arguments that have one.
    pub(super) named: &'static [&'static str],
    /// Constants give a constant.
    pub(super) constant: bool,
    /// Its arguments are compared with each other: text beside a number or a date is read as one.
    pub(super) compares: bool,
    pub(super) prepare: Prepare,
    /// The kind of the result, where the arguments tell.
    pub(super) kind: fn(&[Shape<'_>]) -> Kind,
    pub(super) run: Run,
}

pub(super) type Run = for<'e, 'r> fn(&mut Args<'e, 'r>) -> Result<Datum<'r>, Stop>;

/// Any number of arguments.
const ANY: usize = usize::MAX;

/// An argument that is made into something once, where it is a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prepare {
    Nothing,
    /// Must be a constant.
    Regex {
        argument: usize,
        /// The whole text must match.
        whole: bool,
    },
    /// Must be a constant.
    Path(usize),
    /// Must be a constant.
    Secret(usize),
    Zone(usize),
    Pattern(usize),
}

/// What is known of an argument before any row.
pub(super) struct Shape<'s> {
    pub(super) kind: Kind,
    pub(super) constant: Option<&'s Datum<'static>>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Entry {
    const fn new(
        name: &'static str,
        signature: &'static str,
        min: usize,
        max: usize,
        kind: fn(&[Shape<'_>]) -> Kind,
        run: Run,
    ) -> Self {
        let prepare = Prepare::Nothing;
        Self { name, signature, min, max, named: &[], constant: true, compares: false, prepare, kind, run }
    }

    /// The result may differ between rows whatever the arguments are.
    const fn volatile(self) -> Self {
        Self { constant: false, ..self }
    }

    const fn comparing(self) -> Self {
        Self { compares: true, ..self }
    }

    const fn preparing(self, prepare: Prepare) -> Self {
        Self { prepare, ..self }
    }

    const fn named(self, named: &'static [&'static str]) -> Self {
        Self { named, ..self }
    }
}

const FAMILIES: [&[Entry]; 7] = [
    numbers::FUNCTIONS,
    logic::FUNCTIONS,
    strings::FUNCTIONS,
    text::FUNCTIONS,
    digests::FUNCTIONS,
    dates::FUNCTIONS,
    json::FUNCTIONS,
];

/// All functions.
pub(super) fn all() -> impl Iterator<Item = &'static Entry> {
    FAMILIES.into_iter().flatten()
}

/// The function of this name.
pub(super) fn find(name: &str) -> Option<&'static Entry> {
    all().find(|entry| entry.name == name)
}

/// The name that is spelled most like `name`, if any is close.
pub(super) fn near<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    let mut close: Vec<(usize, &str)> =
        names.map(|known| (distance(name, known, limit), known)).filter(|(d, _)| *d <= limit).collect();
    close.sort_unstable();
    close.first().map(|(_, known)| (*known).to_owned())
}

/// Letters to change, add or leave out; more than `limit` when they are that different in length.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    if a.len().abs_diff(b.len()) > limit || a.len() > 64 {
        return limit + 1;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Why an expression has no value.
#[derive(Debug)]
pub(super) enum Stop {
    /// An argument is null, and so is the result.
    Null,
    /// A column that the image lacks.
    Absent(String),
    /// What is wrong; its place is added on the way out.
    Fault(Fault),
    Failed(EvalError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

/// The arguments of a call, evaluated as they are asked for.
pub(super) struct Args<'e, 'r> {
    pub(super) machine: &'e mut Machine<'r>,
    pub(super) arguments: &'r [Expr],
    pub(super) named: &'r [Option<Expr>],
    pub(super) prepared: &'r Prepared,
}

impl<'r> Args<'_, 'r> {
    pub(super) fn len(&self) -> usize {
        self.arguments.len()
    }

    /// An argument, which may be null; null where there is none.
    pub(super) fn value(&mut self, index: usize) -> Result<Datum<'r>, Stop> {
        let arguments = self.arguments;
        arguments.get(index).map_or(Ok(Datum::Null), |e| self.machine.value(e))
    }

    /// An argument that makes the result null when it is.
    pub(super) fn some(&mut self, index: usize) -> Result<Datum<'r>, Stop> {
        match self.value(index)? {
            Datum::Null => Err(Stop::Null),
            value => Ok(value),
        }
    }

    pub(super) fn text(&mut self, index: usize) -> Result<Cow<'r, str>, Stop> {
        Ok(self.some(index)?.into_text()?)
    }

    pub(super) fn number(&mut self, index: usize) -> Result<Num, Stop> {
        Ok(self.some(index)?.into_number()?)
    }

    /// A whole number.
    pub(super) fn integer(&mut self, index: usize) -> Result<i64, Stop> {
        integer(self.number(index)?)
    }

    pub(super) fn datetime(&mut self, index: usize) -> Result<DateTime, Stop> {
        Ok(self.some(index)?.into_datetime()?)
    }

    pub(super) fn condition(&mut self, index: usize) -> Result<bool, Stop> {
        Ok(self.value(index)?.holds()?)
    }

    /// A named argument that is a whole number; none where it is not given.
    pub(super) fn named_integer(&mut self, index: usize) -> Result<Option<i64>, Stop> {
        let named = self.named;
        let Some(expr) = named.get(index).and_then(Option::as_ref) else { return Ok(None) };
        match self.machine.value(expr)? {
            Datum::Null => Err(Stop::Null),
            value => integer(value.into_number()?).map(Some),
        }
    }

    /// A text that was made; its size counts as work.
    pub(super) fn made(&mut self, text: String) -> Result<Datum<'r>, Stop> {
        self.machine.charge(text.len())?;
        Ok(Datum::Text(Cow::Owned(text)))
    }
}

fn integer(number: Num) -> Result<i64, Stop> {
    let whole = match number {
        Num::Int(v) => Some(v),
        Num::Decimal(v) => v.as_i64(),
        Num::Float(v) => (v.fract() == 0.0 && v.abs() < 9e15).then_some(v as i64),
    };
    whole.ok_or(Stop::Fault(Fault::Kind { expected: "a whole number", found: "a number" }))
}

/// Kinds that need no arguments to be known.
fn of_bool(_: &[Shape<'_>]) -> Kind {
    Kind::Bool
}

fn of_text(_: &[Shape<'_>]) -> Kind {
    Kind::Text
}

fn of_int(_: &[Shape<'_>]) -> Kind {
    Kind::Int
}

fn of_float(_: &[Shape<'_>]) -> Kind {
    Kind::Float
}

fn of_json(_: &[Shape<'_>]) -> Kind {
    Kind::Json
}

/// What holds the values of all arguments.
fn of_all(shapes: &[Shape<'_>]) -> Kind {
    shapes.iter().map(|shape| shape.kind).reduce(Kind::or).unwrap_or(Kind::Null)
}
