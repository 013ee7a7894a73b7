//! Rows to records of tables: which table, which of its columns, the values. For deliveries that write into tables where
//! others send messages.

use std::collections::HashMap;
use std::sync::Arc;

use super::RowsFault;
use super::records::Shared;
use crate::change::plan::TablePlan;
use crate::change::{Op, RowChange, RowsChange};
use crate::delivery::outlet::Outlet;
use crate::format::maxcompute::row::{RowOptions, RowWriter};
use crate::sink::maxcompute::tables::{Destination, Kind, Tables, TablesError};
use crate::sink::{Operation, Record, Span};

/// Most plans whose tables are remembered; all are forgotten beyond, and found again as they come.
const PLANS_MAX: usize = 8192;

/// What encoders of a delivery into tables share.
#[derive(Debug)]
pub struct TableJob {
    /// The tables.
    pub tables: Arc<Tables>,
    /// How rows are written.
    pub rows: RowOptions,
}

/// Makes records. One for each block at work; kept between blocks, because it remembers tables.
pub(super) struct TableRows {
    job: Arc<TableJob>,
    writer: RowWriter,
    known: HashMap<(u64, Kind), Arc<Destination>>,
}

impl TableRows {
    pub(super) fn new(job: &Arc<TableJob>) -> Self {
        Self { job: Arc::clone(job), writer: RowWriter::new(&job.rows), known: HashMap::new() }
    }

    /// How many values had text that did not decode and was replaced.
    pub(super) fn bad_text(&self) -> u64 {
        self.writer.bad_text()
    }

    /// The records of one row: two for an update. May ask the service for the table, and have it made.
    pub(super) fn row(
        &mut self,
        shared: &mut Shared<'_>,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        out: &mut Outlet,
    ) -> Result<(), RowsFault> {
        let kind = if rows.snapshot { Kind::Base } else { Kind::Log };
        let destination = self.destination(rows.plan, kind)?;
        let event = shared.event(&destination.origin, out)?;
        let batch = out.batch();
        let start = batch.bytes.len();
        let cut = match kind {
            Kind::Base => {
                self.writer.write_base(&destination.layout, rows, row, &mut batch.bytes)?;
                None
            }
            Kind::Log => self.writer.write_log(&destination.layout, rows, row, &mut batch.bytes)?.cut(),
        };
        let end = batch.bytes.len();
        let record = |operation, value: Span| Record {
            event,
            row: row.index,
            operation,
            hash: 0,
            key: None,
            value: Some(value),
            ends_entry: false,
            note: None,
        };
        match cut {
            Some(cut) => {
                let (before, after) = (batch.span(start..start + cut), batch.span(start + cut..end));
                batch.records.push(record(Operation::UpdateBefore, before));
                batch.records.push(record(Operation::UpdateAfter, after));
            }
            None => {
                let operation = match (kind, rows.op) {
                    (Kind::Base, _) => Operation::Snapshot,
                    (_, Op::Insert) => Operation::Insert,
                    (_, Op::Update) => Operation::Update,
                    (_, Op::Delete) => Operation::Delete,
                };
                let value = batch.span(start..end);
                batch.records.push(record(operation, value));
            }
        }
        Ok(())
    }

    fn destination(&mut self, plan: &TablePlan, kind: Kind) -> Result<Arc<Destination>, RowsFault> {
        if let Some(known) = self.known.get(&(plan.id, kind)) {
            return Ok(Arc::clone(known));
        }
        if self.known.len() >= PLANS_MAX {
            self.known.clear();
        }
        let made = self.job.tables.destination(plan, kind).map_err(|error| match error {
            TablesError::Table(reason) => RowsFault::Table(reason),
            TablesError::Service(error) => RowsFault::Sink(Box::new(error)),
        })?;
        let made = Arc::new(made);
        self.known.insert((plan.id, kind), Arc::clone(&made));
        Ok(made)
    }
}
