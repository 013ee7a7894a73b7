//! Values of expressions for one image of one row.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use super::bind::Bound;
use super::convert;
use super::expr::{DDL, DELETE, Expr, INSERT, UPDATE, Variable};
use super::fault::{EvalError, Fault};
use super::functions::{Args, Stop};
use super::temporal;
use super::value::Datum;
use crate::binlog::RowImage;
use crate::change::{EventPlace, Op, TxInfo};

/// Most work for one image: calls, and pieces of sixteen bytes that functions make. No script of 64 KiB comes near it
/// with ordinary rows; one that doubles a text again and again does.
const STEPS_MAX: u64 = 10_000_000;

/// What a record tells of itself, the same for both images.
#[derive(Clone, Copy)]
pub(super) struct Facts<'r> {
    pub(super) database: &'r str,
    pub(super) table: &'r str,
    pub(super) tx: &'r TxInfo,
    pub(super) place: EventPlace,
    pub(super) snapshot: bool,
    pub(super) schema_version: Option<u64>,
    /// A statement and no row.
    pub(super) ddl: Option<&'r str>,
    /// Microseconds since 1970, fixed for the record.
    pub(super) now_us: i64,
}

/// What became of a column.
#[derive(Debug, Clone)]
pub(super) enum Held<'r> {
    Value(Datum<'r>),
    Removed,
    /// As in the image, which lacks it.
    Absent,
}

/// One image at work.
pub(super) struct Machine<'r> {
    pub(super) bound: Option<&'r Bound>,
    pub(super) facts: Option<Facts<'r>>,
    zone: &'r TimeZone,
    /// The image that column names mean.
    pub(super) current: Option<RowImage<'r>>,
    /// The source's images.
    pub(super) before: Option<RowImage<'r>>,
    pub(super) after: Option<RowImage<'r>>,
    /// Whether the current image is the after one.
    pub(super) is_after: bool,
    /// Columns that the script changed, the first change first.
    pub(super) changed: Vec<(usize, Held<'r>)>,
    pub(super) op: Option<Op>,
    steps: u64,
}

impl<'r> Machine<'r> {
    /// For expressions without columns and variables.
    pub(super) fn of_constants(zone: &'r TimeZone) -> Self {
        Self {
            bound: None,
            facts: None,
            zone,
            current: None,
            before: None,
            after: None,
            is_after: false,
            changed: Vec::new(),
            op: None,
            steps: 0,
        }
    }

    pub(super) fn of_record(zone: &'r TimeZone, facts: Facts<'r>) -> Self {
        Self { facts: Some(facts), ..Self::of_constants(zone) }
    }

    pub(super) fn zone(&self) -> &'r TimeZone {
        self.zone
    }

    pub(super) fn now_us(&self) -> i64 {
        self.facts.map_or(0, |facts| facts.now_us)
    }

    /// Counts work, in bytes that a function made.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Stop> {
        self.steps = self.steps.saturating_add(1 + bytes as u64 / 16);
        if self.steps > STEPS_MAX { Err(Stop::Fault(Fault::Steps)) } else { Ok(()) }
    }

    pub(super) fn value(&mut self, expr: &'r Expr) -> Result<Datum<'r>, Stop> {
        match expr {
            Expr::Constant(datum) => Ok(datum.borrowed()),
            Expr::Column { slot, .. } => self.slot(*slot),
            Expr::Image { before, index, .. } => {
                let image = if *before { self.before } else { self.after };
                match (image, self.bound) {
                    (Some(image), Some(bound)) => self.source(bound, image, None, *index),
                    _ => Ok(Datum::Null),
                }
            }
            Expr::Variable(variable) => Ok(self.variable(*variable)?),
            Expr::Call(call) => {
                let failed = |fault| Stop::Failed(EvalError { at: call.at, function: call.entry.name, fault });
                if self.charge(0).is_err() {
                    return Err(failed(Fault::Steps));
                }
                let (arguments, named, prepared) = (&call.arguments[..], &call.named[..], &call.prepared);
                match (call.entry.run)(&mut Args { machine: self, arguments, named, prepared }) {
                    Err(Stop::Null) => Ok(Datum::Null),
                    Err(Stop::Fault(fault)) => Err(failed(fault)),
                    done => done,
                }
            }
        }
    }

    fn variable(&self, variable: Variable) -> Result<Datum<'r>, Fault> {
        let Some(facts) = self.facts else { return Ok(Datum::Null) };
        Ok(match variable {
            Variable::Database => Datum::text(facts.database),
            Variable::Table => Datum::text(facts.table),
            Variable::Operation => Datum::text(match (facts.ddl, self.op) {
                (Some(_), _) | (None, None) => DDL,
                (None, Some(Op::Insert)) => INSERT,
                (None, Some(Op::Update)) => UPDATE,
                (None, Some(Op::Delete)) => DELETE,
            }),
            Variable::CommitTimestamp => {
                let us = facts.tx.commit_time_us.and_then(|us| i64::try_from(us).ok());
                let us = us.unwrap_or(i64::from(facts.place.timestamp) * 1_000_000);
                Datum::DateTime(temporal::of_moment(us, self.zone, 6)?)
            }
            Variable::Gtid if facts.tx.gtid.is_empty() => Datum::Null,
            Variable::Gtid => Datum::text(facts.tx.gtid.as_str()),
            Variable::SchemaVersion => facts.schema_version.map_or(Datum::Null, Datum::unsigned),
            Variable::IsSnapshot => Datum::Bool(facts.snapshot),
            Variable::ServerId => Datum::Int(facts.place.server_id.into()),
            Variable::Ddl => facts.ddl.map_or(Datum::Null, Datum::text),
        })
    }

    /// What the script made of a column; none where it left it alone.
    pub(super) fn held(&self, slot: usize) -> Option<&Held<'r>> {
        self.changed.iter().rev().find(|(changed, _)| *changed == slot).map(|(_, held)| held)
    }

    pub(super) fn hold(&mut self, slot: usize, held: Held<'r>) {
        match self.changed.iter_mut().find(|(changed, _)| *changed == slot) {
            Some((_, place)) => *place = held,
            None => self.changed.push((slot, held)),
        }
    }

    /// The value of a column as it is now.
    pub(super) fn slot(&mut self, slot: usize) -> Result<Datum<'r>, Stop> {
        let Some(bound) = self.bound else { return Ok(Datum::Null) };
        let slot = self.origin(bound, slot);
        match self.held(slot) {
            Some(Held::Value(datum)) => {
                let datum = datum.clone();
                // A text that the script made is copied for each who reads it.
                if let Datum::Text(Cow::Owned(text)) = &datum {
                    self.charge(text.len())?;
                }
                return Ok(datum);
            }
            Some(Held::Removed) => return Ok(Datum::Null),
            Some(Held::Absent) => return Err(Stop::Absent(bound.slots[slot].column.name.to_string())),
            None => {}
        }
        match (bound.slots[slot].source, self.current) {
            (Some(index), Some(image)) => self.source(bound, image, self.fallback(), index),
            // Nothing set it yet.
            _ => Ok(Datum::Null),
        }
    }

    /// The slot whose value this one has, when it is a new name that nothing was set under.
    pub(super) fn origin(&self, bound: &Bound, mut slot: usize) -> usize {
        while let (None, Some(alias)) = (self.held(slot), bound.slots[slot].alias) {
            slot = alias;
        }
        slot
    }

    /// Where a column is looked for that an after image lacks because it did not change.
    pub(super) fn fallback(&self) -> Option<RowImage<'r>> {
        self.after.and(self.before).filter(|_| self.is_after)
    }

    fn source(
        &self,
        bound: &'r Bound,
        image: RowImage<'r>,
        fallback: Option<RowImage<'r>>,
        index: usize,
    ) -> Result<Datum<'r>, Stop> {
        let column = &bound.source.columns[index];
        let wrong = |source| Fault::Decode { column: column.name.to_string(), source };
        let mut cell = image.cell(index).map_err(wrong)?;
        if let (None, Some(fallback)) = (&cell, fallback) {
            cell = fallback.cell(index).map_err(wrong)?;
        }
        match cell {
            Some(cell) => Ok(convert::read(column, &cell, self.before, self.zone)?),
            None => Err(Stop::Absent(column.name.to_string())),
        }
    }
}
