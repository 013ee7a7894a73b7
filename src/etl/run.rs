//! A bound script over one row: both images, and what becomes of the record.

use std::sync::Arc;

use super::action::Step;
use super::bind::Bound;
use super::convert;
use super::evaluate::{Facts, Held, Machine};
use super::fault::{EvalError, Fault};
use super::step::{Halt, Run};
use super::value::Datum;
use super::{OnError, Outcome, Scratch};
use crate::binlog::{Cell, RowWriter, Value};
use crate::change::plan::TablePlan;
use crate::change::schema::TableName;
use crate::change::{Op, RowChange, RowsChange};

impl Bound {
    /// Runs the script over a row of `rows`, whose plan must be the bound one.
    ///
    /// # Errors
    /// A row that the script fails on, where that is to stop the table.
    pub fn run<'s>(
        &'s self,
        rows: &RowsChange<'s>,
        row: &RowChange<'s>,
        scratch: &'s mut Scratch,
    ) -> Result<Outcome<'s>, EvalError> {
        let facts = Facts {
            database: &self.source.source.database,
            table: &self.source.source.table,
            tx: rows.tx,
            place: rows.place,
            snapshot: rows.snapshot,
            schema_version: self.source.schema_version,
            ddl: None,
            now_us: scratch.now_us(),
        };
        let image = |current, is_after, decides| {
            let mut machine = Machine::of_record(&self.zone, facts);
            machine.bound = Some(self);
            (machine.current, machine.before, machine.after) = (current, row.before, row.after);
            (machine.is_after, machine.op) = (is_after, Some(rows.op));
            Run { machine, on_error: self.on_error, decides, table: None, database: None, errors: 0 }
        };
        let is_after = rows.op != Op::Delete;
        let mut deciding = image(if is_after { row.after } else { row.before }, is_after, true);
        let mut halt = deciding.step(&self.step);
        if halt.is_ok() {
            halt = deciding.settle_key();
        }
        let op = deciding.machine.op.unwrap_or(rows.op);
        let both = rows.op == Op::Update && op == Op::Update;
        let mut other = image(row.before, false, false);
        if both && halt.is_ok() {
            halt = other.step(&self.step);
            if halt.is_ok() {
                halt = other.settle_key();
            }
        }
        scratch.errors += deciding.errors + other.errors;
        let as_it_was = match halt {
            Ok(()) => false,
            Err(Halt::AsItWas) => true,
            Err(Halt::Dropped) => return Ok(Outcome::Drop),
            Err(Halt::DeadLetter(error)) => return Ok(Outcome::DeadLetter(error)),
            Err(Halt::Failed(error)) => return Err(error),
        };
        if as_it_was {
            deciding = image(deciding.machine.current, is_after, true);
            other = image(row.before, false, false);
        }
        let op = deciding.machine.op.unwrap_or(rows.op);
        let touched = !deciding.machine.changed.is_empty() || !other.machine.changed.is_empty();
        let moved = op != rows.op;
        let renamed = deciding.table.is_some() || deciding.database.is_some();
        if !touched && !moved && !self.rewrites && !renamed && Arc::ptr_eq(&self.plan, &self.source) {
            return Ok(Outcome::Keep);
        }
        let plan = if renamed { self.renamed_plan(deciding.table, deciding.database, scratch) } else { None };
        let Scratch { current, other: previous, plan: kept, .. } = scratch;
        *kept = plan;
        let plan: &'s Arc<TablePlan> = kept.as_ref().unwrap_or(&self.plan);
        let mut images = RowChange { index: row.index, before: None, after: None };
        let failed = |fault| EvalError { at: self.step.at, function: "row", fault };
        if !touched && !self.rewrites && !moved {
            (images.before, images.after) = (row.before, row.after);
            return Ok(Outcome::Changed { plan, op, row: images });
        }
        self.write(&deciding.machine, moved, current).map_err(failed)?;
        let written = current.image(&plan.defs).map_err(|source| failed(decode_fault(source)))?;
        match op {
            Op::Insert => images.after = Some(written),
            Op::Delete => images.before = Some(written),
            Op::Update => {
                images.after = Some(written);
                self.write(&other.machine, false, previous).map_err(failed)?;
                let written = previous.image(&plan.defs).map_err(|source| failed(decode_fault(source)))?;
                images.before = Some(written);
            }
        }
        Ok(Outcome::Changed { plan, op, row: images })
    }

    fn renamed_plan(
        &self,
        table: Option<String>,
        database: Option<String>,
        scratch: &mut Scratch,
    ) -> Option<Arc<TablePlan>> {
        let own = &self.plan.name;
        let (table, database) = (table.as_deref().unwrap_or(&own.table), database.as_deref().unwrap_or(&own.database));
        if (table, database) == (&*own.table, &*own.database) {
            return None;
        }
        // Rows of one table mostly leave under one name.
        if let Some((base, plan)) = &scratch.named
            && *base == self.plan.id
            && (&*plan.name.table, &*plan.name.database) == (table, database)
        {
            return Some(Arc::clone(plan));
        }
        let plan = self.renamed(TableName::new(database, table));
        scratch.named = Some((self.plan.id, Arc::clone(&plan)));
        Some(plan)
    }

    /// Writes the machine's image; `whole` when its columns are to be those of both images, because only one is left.
    fn write(&self, machine: &Machine<'_>, whole: bool, writer: &mut RowWriter) -> Result<(), Fault> {
        let columns = self.source.columns.len();
        let mut cells: Vec<Option<Cell<'_>>> = vec![None; columns];
        let fallback = machine.fallback().filter(|_| whole);
        for image in [fallback, machine.current].into_iter().flatten() {
            for cell in image.cells() {
                let cell = cell.map_err(decode_fault)?;
                if let Some(place) = cells.get_mut(cell.index) {
                    *place = Some(cell);
                }
            }
        }
        writer.begin();
        for (place, &output) in self.outputs.iter().enumerate() {
            let slot = machine.origin(self, output);
            let (column, def) = (&self.slots[output].column, &self.plan.defs[place]);
            match machine.held(slot) {
                Some(Held::Value(datum)) => convert::write(writer, column, def, datum, &self.zone)?,
                Some(Held::Removed) => writer.null(),
                Some(Held::Absent) => writer.absent(),
                None => match self.slots[slot].source {
                    Some(source) => {
                        let transcoded = self.slots[output].transcoded;
                        self.copy(machine, cells[source].as_ref(), (source, place), transcoded, writer)?;
                    }
                    None => writer.null(),
                },
            }
        }
        Ok(())
    }

    /// Copies a cell from a column of the source to one of the plan.
    fn copy(
        &self,
        machine: &Machine<'_>,
        cell: Option<&Cell<'_>>,
        (source, place): (usize, usize),
        transcoded: bool,
        writer: &mut RowWriter,
    ) -> Result<(), Fault> {
        let Some(cell) = cell else {
            writer.absent();
            return Ok(());
        };
        let (column, def) = (&self.source.columns[source], &self.plan.defs[place]);
        let wrong = |source| Fault::Decode { column: column.name.to_string(), source };
        match cell.bytes {
            None => writer.null(),
            Some(_) if transcoded => {
                let datum = convert::read(column, cell, machine.before, &self.zone)?;
                convert::write(writer, &self.plan.columns[place], def, &datum, &self.zone)?;
            }
            Some(bytes) => match cell.value().map_err(wrong)? {
                Value::JsonDiff(diff) => {
                    let document = convert::patch(cell.index, diff, machine.before).map_err(wrong)?;
                    let datum = Datum::Json(Box::new(document));
                    convert::write(writer, &self.plan.columns[place], def, &datum, &self.zone)?;
                }
                _ => writer.raw(def, bytes)?,
            },
        }
        Ok(())
    }
}

fn decode_fault(source: crate::binlog::DecodeError) -> Fault {
    Fault::Decode { column: "of the row".to_owned(), source }
}

/// Runs the steps of a script over a statement: it stays, unless the script drops it.
pub(super) fn run_ddl<'r>(
    step: &'r Step,
    facts: Facts<'r>,
    zone: &'r jiff::tz::TimeZone,
    on_error: OnError,
) -> (Result<Outcome<'static>, EvalError>, u64) {
    let machine = Machine::of_record(zone, facts);
    let mut run = Run { machine, on_error, decides: true, table: None, database: None, errors: 0 };
    let outcome = match run.step(step) {
        Ok(()) | Err(Halt::AsItWas) => Ok(Outcome::Keep),
        Err(Halt::Dropped) => Ok(Outcome::Drop),
        Err(Halt::DeadLetter(error)) => Ok(Outcome::DeadLetter(error)),
        Err(Halt::Failed(error)) => Err(error),
    };
    (outcome, run.errors)
}
