//! What becomes of a row between the log and its record: selected, filtered, rewritten by the script, named.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Job, RowsFault};
use crate::change::plan::TablePlan;
use crate::change::schema::TableName;
use crate::change::{DdlChange, Op, RowChange, RowsChange};
use crate::delivery::select::Lane;
use crate::etl::{Bound, EvalError, Outcome, Scratch};
use crate::filter::{Filter, Session, Verdict};

/// Most plans of which it is remembered what is done with them; all are forgotten beyond, and looked at again as they
/// come.
const PLANS_MAX: usize = 8192;

/// See the module. One for each block at work; kept between blocks, because it remembers tables.
#[derive(Default)]
pub(super) struct Stages {
    ways: HashMap<u64, Arc<Way>>,
    last: Option<Arc<Way>>,
    /// Plans that the script made, as they are delivered.
    rewritten: HashMap<u64, Arc<TablePlan>>,
    scratch: Scratch,
}

/// What becomes of a statement.
pub(super) enum Told {
    /// It leaves.
    AsItIs,
    /// It is left out.
    Not,
    /// The script failed on it: it goes where dead letters go.
    AsDeadLetter(EvalError),
}

/// What is done with the rows of one plan.
struct Way {
    lane: Lane,
    filter: Option<Filter>,
    script: Option<Bound>,
}

impl Stages {
    /// Whether the rows of an entry leave as they are, under other names at most: the plan that they leave with.
    pub(super) fn unchanged(&mut self, job: &Job, rows: &RowsChange<'_>) -> Result<Option<Arc<TablePlan>>, RowsFault> {
        let way = self.way(job, rows)?;
        let plain = way.filter.is_none() && way.script.is_none() && way.lane.carries(rows.op);
        Ok(plain.then(|| Arc::clone(&way.lane.plan)))
    }

    /// Gives the rows of an entry as they leave, in order; one that goes where dead letters go, as it came and with the
    /// reason.
    pub(super) fn each(
        &mut self,
        job: &Job,
        rows: &RowsChange<'_>,
        mut visit: impl FnMut(&RowsChange<'_>, &RowChange<'_>, Option<EvalError>) -> Result<(), RowsFault>,
    ) -> Result<(), RowsFault> {
        let way = self.way(job, rows)?;
        if !way.lane.carries(rows.op) {
            return Ok(());
        }
        for row in rows.rows() {
            let row = row.map_err(|error| RowsFault::Table(error.to_string()))?;
            let Some((op, row)) = judged(job, &way, rows, row)? else { continue };
            let Some(script) = &way.script else {
                visit(&RowsChange { plan: &way.lane.plan, op, ..*rows }, &row, None)?;
                continue;
            };
            let Self { scratch, rewritten, .. } = self;
            let rows = RowsChange { op, ..*rows };
            match script.run(&rows, &row, scratch).map_err(|error| RowsFault::Table(error.to_string()))? {
                Outcome::Keep => visit(&RowsChange { plan: &way.lane.plan, ..rows }, &row, None)?,
                Outcome::Drop => {}
                Outcome::Changed { plan, op, row } => {
                    let plan = delivered(job, rewritten, plan)?;
                    visit(&RowsChange { plan: &plan, op, ..rows }, &row, None)?;
                }
                Outcome::DeadLetter(error) => {
                    visit(&RowsChange { plan: &way.lane.plan, ..rows }, &row, Some(error))?;
                }
            }
        }
        Ok(())
    }

    /// What becomes of a statement about this object.
    pub(super) fn statement(
        &mut self,
        job: &Job,
        change: &DdlChange<'_>,
        table: &TableName,
    ) -> Result<Told, RowsFault> {
        let Some(script) = job.script.as_ref().filter(|_| job.script_sees_statements) else { return Ok(Told::AsItIs) };
        let outcome = script.run_ddl(change, &table.database, &table.table, &mut self.scratch);
        match outcome.map_err(|error| RowsFault::Table(error.to_string()))? {
            Outcome::Drop => Ok(Told::Not),
            Outcome::DeadLetter(error) => Ok(Told::AsDeadLetter(error)),
            Outcome::Keep | Outcome::Changed { .. } => Ok(Told::AsItIs),
        }
    }

    /// How many values and conditions of the script failed, whatever became of them.
    pub(super) fn script_errors(&self) -> u64 {
        self.scratch.errors()
    }

    fn way(&mut self, job: &Job, rows: &RowsChange<'_>) -> Result<Arc<Way>, RowsFault> {
        let plan = rows.plan;
        if let Some(last) = self.last.as_ref().filter(|last| last.lane.source == plan.id) {
            return Ok(Arc::clone(last));
        }
        let way = match self.ways.get(&plan.id) {
            Some(way) => Arc::clone(way),
            None => {
                if self.ways.len() >= PLANS_MAX {
                    self.ways.clear();
                }
                let way = Arc::new(Way::new(job, rows)?);
                self.ways.insert(plan.id, Arc::clone(&way));
                way
            }
        };
        self.last = Some(Arc::clone(&way));
        Ok(way)
    }
}

impl Way {
    fn new(job: &Job, rows: &RowsChange<'_>) -> Result<Self, RowsFault> {
        let fault = |reason: String| RowsFault::Table(reason);
        let lane = job.selection.lane(rows.plan).map_err(|clash| fault(clash.to_string()))?;
        let filter = job.conditions.of(&job.selection, &rows.plan.source);
        let session = || Session::of(&rows.tx.server_version, job.zone.clone());
        let filter = filter.map(|filter| filter.compile(rows.plan, &session())).transpose();
        let filter = filter.map_err(|error| fault(format!("filter: {error}")))?;
        let script = job.script.as_ref().map(|script| script.bind(rows.plan)).transpose();
        let script = script.map_err(|error| fault(format!("etl: {error}")))?;
        Ok(Self { lane, filter, script })
    }
}

/// The row as the filter leaves it, and as what; none when it is left out.
fn judged<'r>(
    job: &Job,
    way: &Way,
    rows: &RowsChange<'_>,
    row: RowChange<'r>,
) -> Result<Option<(Op, RowChange<'r>)>, RowsFault> {
    let Some(filter) = &way.filter else { return Ok(Some((rows.op, row))) };
    let verdict = filter.judge(&row, rows.op, job.conditions.images);
    Ok(match verdict.map_err(|error| RowsFault::Table(format!("filter, row {}: {error}", row.index)))? {
        Verdict::Keep => Some((rows.op, row)),
        Verdict::AsDelete => Some((Op::Delete, RowChange { after: None, ..row })),
        Verdict::AsInsert => {
            // What a partial after image lacks comes from before.
            let whole = row.after.is_some_and(|after| after.present().is_full());
            Some((Op::Insert, RowChange { before: row.before.filter(|_| !whole), ..row }))
        }
        Verdict::Drop => None,
    })
}

/// A plan that the script made, under the names that it is delivered by.
fn delivered(
    job: &Job,
    known: &mut HashMap<u64, Arc<TablePlan>>,
    plan: &Arc<TablePlan>,
) -> Result<Arc<TablePlan>, RowsFault> {
    if let Some(known) = known.get(&plan.id) {
        return Ok(Arc::clone(known));
    }
    if known.len() >= PLANS_MAX {
        known.clear();
    }
    let named = job.selection.lane(plan).map_err(|clash| RowsFault::Table(clash.to_string()))?.plan;
    known.insert(plan.id, Arc::clone(&named));
    Ok(named)
}
