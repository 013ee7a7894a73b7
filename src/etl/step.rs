//! One image's way through the steps of a script.

use std::borrow::Cow;

use super::OnError;
use super::action::{Action, Step, Target};
use super::convert;
use super::evaluate::{Held, Machine};
use super::expr::{DELETE, Expr, INSERT, UPDATE};
use super::fault::{EvalError, Fault};
use super::functions::Stop;
use super::value::Datum;
use crate::change::Op;

/// Why a script ends before its last step.
pub(super) enum Halt {
    /// The record is gone.
    Dropped,
    /// The record leaves as it came.
    AsItWas,
    DeadLetter(EvalError),
    Failed(EvalError),
}

/// One image's way through the script.
pub(super) struct Run<'r> {
    pub(super) machine: Machine<'r>,
    pub(super) on_error: OnError,
    /// This image decides about the record; the other one only has its columns set.
    pub(super) decides: bool,
    pub(super) table: Option<String>,
    pub(super) database: Option<String>,
    pub(super) errors: u64,
}

impl<'r> Run<'r> {
    pub(super) fn step(&mut self, step: &'r Step) -> Result<(), Halt> {
        match &step.action {
            Action::Sequence(steps) => steps.iter().try_for_each(|step| self.step(step)),
            Action::Each(pairs) => {
                for (condition, inner) in pairs {
                    if self.holds(step, condition)? {
                        self.step(inner)?;
                    }
                }
                Ok(())
            }
            Action::First(pairs, default) => {
                for (condition, inner) in pairs {
                    if self.holds(step, condition)? {
                        return self.step(inner);
                    }
                }
                default.as_ref().map_or(Ok(()), |inner| self.step(inner))
            }
            Action::Drop(condition) => {
                let gone = condition.as_ref().map_or(Ok(true), |c| self.holds(step, c))?;
                self.drop_if(gone)
            }
            Action::Keep(condition) => {
                let kept = condition.as_ref().map_or(Ok(true), |c| self.holds(step, c))?;
                self.drop_if(!kept)
            }
            _ if self.machine.facts.is_some_and(|facts| facts.ddl.is_some()) => self.fault(step, Fault::Ddl),
            Action::Set(set) => set.iter().try_for_each(|(target, value)| self.set(step, target, value)),
            Action::Remove(names) => {
                for name in names {
                    self.machine.hold(name.slot, Held::Removed);
                }
                Ok(())
            }
            // Bound to removals.
            Action::Retain(_) => Ok(()),
            Action::Rename(pairs) => {
                for (old, new) in pairs {
                    let held = match self.machine.slot(old.slot) {
                        Ok(datum) => self.coerced(new.slot, datum).map(Held::Value),
                        Err(Stop::Absent(_)) => Ok(Held::Absent),
                        Err(stop) => Err(stop),
                    };
                    match held {
                        Ok(held) => self.machine.hold(new.slot, held),
                        Err(stop) => self.stop(step, stop)?,
                    }
                    self.machine.hold(old.slot, Held::Removed);
                }
                Ok(())
            }
            Action::Replace { search, new, all, slots } => self.replace(step, search, new, all, slots),
        }
    }

    /// The other image of an update never decides: its columns are set on, so that nothing leaves unmasked.
    fn drop_if(&self, gone: bool) -> Result<(), Halt> {
        if gone && self.decides { Err(Halt::Dropped) } else { Ok(()) }
    }

    fn holds(&mut self, step: &Step, condition: &'r Expr) -> Result<bool, Halt> {
        let value = self.machine.value(condition).and_then(|datum| Ok(datum.holds()?));
        match value {
            Ok(holds) => Ok(holds),
            Err(Stop::Null) => Ok(false),
            // An image that lacks the column decides nothing by it.
            Err(Stop::Absent(_)) if !self.decides => Ok(false),
            Err(stop) => self.stop(step, stop).map(|()| false),
        }
    }

    fn set(&mut self, step: &Step, target: &'r Target, value: &'r Expr) -> Result<(), Halt> {
        let datum = self.machine.value(value);
        match target {
            Target::Column(name) => {
                let held = datum.and_then(|datum| self.coerced(name.slot, datum)).map(Held::Value);
                let held = match held {
                    Ok(held) => held,
                    Err(Stop::Null) => Held::Value(Datum::Null),
                    // What an image lacks stays away: it did not change, and is not sent.
                    Err(Stop::Absent(_)) if self.lacks(name.slot) => Held::Absent,
                    Err(Stop::Absent(_)) if !self.decides => Held::Value(Datum::Null),
                    Err(stop) => {
                        self.stop(step, stop)?;
                        Held::Value(Datum::Null)
                    }
                };
                self.machine.hold(name.slot, held);
                Ok(())
            }
            Target::Operation => {
                let op = datum.and_then(|datum| self.operation(datum));
                match op {
                    Ok(op) => self.machine.op = Some(op),
                    Err(stop) => self.stop(step, stop)?,
                }
                Ok(())
            }
            Target::Table | Target::Database => {
                let name = datum.and_then(|datum| match datum.into_text()? {
                    name if name.is_empty() || name.len() > 255 => Err(Fault::Range { what: "a name" }.into()),
                    name => Ok(name.into_owned()),
                });
                match name {
                    Ok(name) if matches!(target, Target::Table) => self.table = Some(name),
                    Ok(name) => self.database = Some(name),
                    Err(stop) => self.stop(step, stop)?,
                }
                Ok(())
            }
        }
    }

    /// Whether the source's image lacks a column of its own.
    fn lacks(&self, slot: usize) -> bool {
        let (Some(bound), Some(image)) = (self.machine.bound, self.machine.current) else { return false };
        let slot = &bound.slots[self.machine.origin(bound, slot)];
        slot.source.is_some_and(|place| !image.present().contains(place))
    }

    fn coerced(&self, slot: usize, datum: Datum<'r>) -> Result<Datum<'r>, Stop> {
        match self.machine.bound {
            Some(bound) => Ok(convert::coerce(&bound.slots[slot].column, datum, &bound.zone)?),
            None => Ok(datum),
        }
    }

    fn operation(&self, datum: Datum<'_>) -> Result<Op, Stop> {
        let op = match &*datum.into_text()? {
            INSERT => Op::Insert,
            UPDATE => Op::Update,
            DELETE => Op::Delete,
            _ => return Err(Fault::Parse("an operation").into()),
        };
        if op == Op::Update && (self.machine.before.is_none() || self.machine.after.is_none()) {
            return Err(Fault::Images.into());
        }
        Ok(op)
    }

    fn replace(
        &mut self,
        step: &Step,
        search: &'r Expr,
        new: &'r Expr,
        all: &'r Expr,
        slots: &[usize],
    ) -> Result<(), Halt> {
        let all = self.holds(step, all)?;
        let text = |machine: &mut Machine<'r>, expr| match machine.value(expr)? {
            Datum::Null => Err(Stop::Null),
            datum => Ok(datum.into_text()?),
        };
        let terms = text(&mut self.machine, search).and_then(|s| Ok((s, text(&mut self.machine, new)?)));
        let (search, new) = match terms {
            Ok(terms) => terms,
            Err(Stop::Null) => return Ok(()),
            Err(stop) => return self.stop(step, stop),
        };
        let count = if all { usize::MAX } else { 1 };
        for &slot in slots {
            let old = match self.machine.slot(slot) {
                Ok(Datum::Text(text)) => text,
                Ok(_) | Err(Stop::Absent(_)) => continue,
                Err(stop) => {
                    self.stop(step, stop)?;
                    continue;
                }
            };
            let found = if search.is_empty() { 0 } else { old.matches(&*search).take(count).count() };
            if found == 0 {
                continue;
            }
            let size = old.len().saturating_add(found.saturating_mul(new.len()));
            let made = self
                .machine
                .charge(size)
                .and_then(|()| self.coerced(slot, Datum::Text(Cow::Owned(old.replacen(&*search, &new, found)))));
            let made = match made {
                Ok(datum) => datum,
                Err(stop) => {
                    self.stop(step, stop)?;
                    Datum::Null
                }
            };
            self.machine.hold(slot, Held::Value(made));
        }
        Ok(())
    }

    /// A key column that is gone or NULL takes the record's identity away.
    pub(super) fn settle_key(&mut self) -> Result<(), Halt> {
        let Some(bound) = self.machine.bound else { return Ok(()) };
        for &place in &bound.source.key {
            let output = bound.outputs[place];
            let slot = self.machine.origin(bound, output);
            let lost = matches!(self.machine.held(slot), Some(Held::Removed | Held::Value(Datum::Null)));
            if lost {
                let fault = Fault::Key(bound.source.columns[place].name.to_string());
                self.errors += 1;
                let error = EvalError { at: bound.step.at, function: "key", fault };
                return Err(match self.on_error {
                    // NULL is what is wrong.
                    OnError::Fail | OnError::Null => Halt::Failed(error),
                    OnError::Keep => Halt::AsItWas,
                    OnError::Drop => Halt::Dropped,
                    OnError::DeadLetter => Halt::DeadLetter(error),
                });
            }
        }
        Ok(())
    }

    fn fault(&mut self, step: &Step, fault: Fault) -> Result<(), Halt> {
        self.stop(step, Stop::Fault(fault))
    }

    /// What the policy makes of a value that there is none of.
    fn stop(&mut self, step: &Step, stop: Stop) -> Result<(), Halt> {
        let error = match stop {
            Stop::Null => return Ok(()),
            Stop::Failed(error) => error,
            Stop::Fault(fault) => EvalError { at: step.at, function: step.name, fault },
            Stop::Absent(column) => EvalError { at: step.at, function: step.name, fault: Fault::Absent(column) },
        };
        self.errors += 1;
        match self.on_error {
            OnError::Fail => Err(Halt::Failed(error)),
            OnError::Null => Ok(()),
            OnError::Keep => Err(Halt::AsItWas),
            OnError::Drop => Err(Halt::Dropped),
            OnError::DeadLetter => Err(Halt::DeadLetter(error)),
        }
    }
}
