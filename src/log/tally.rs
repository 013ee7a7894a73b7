//! What lies between two places of the log: transactions, rows and bytes by table. What a reset says before it
//! asks, and what `--stats` prints.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use relay_store::{Reader, Seq};
use serde::Serialize;

use super::walk::{Visit, WalkError, walk};
use crate::binlog::RowsKind;

/// Counting failed.
pub type TallyError = WalkError;

/// Counts over a range of visible entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Transactions that end in it.
    pub transactions: u64,
    /// Visible entries.
    pub entries: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Entries that are gone or cannot be read.
    pub missing_entries: u64,
    /// Entries that do not parse.
    pub undecodable_entries: u64,
    /// By table, the name as `database.table`.
    pub tables: BTreeMap<String, TableTally>,
}

/// Counts of one table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TableTally {
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Bytes of its rows events.
    pub bytes: u64,
}

impl TableTally {
    /// Rows of every kind.
    pub fn rows(&self) -> u64 {
        self.inserts + self.updates + self.deletes
    }
}

/// Counts from `from` to `to`, both included; `progress` is told the seq reached, every thousand entries.
///
/// # Errors
/// The log cannot be read.
pub fn tally(reader: &mut Reader, from: Seq, to: Seq, progress: &mut dyn FnMut(Seq)) -> Result<Tally, TallyError> {
    let mut tally = Tally::default();
    walk(reader, from, to, &mut |visit| {
        tally.add(&visit);
        if let Visit::Entry(view) = &visit
            && view.entry.seq.0 % 1000 == 0
        {
            progress(view.entry.seq);
        }
        ControlFlow::Continue(())
    })?;
    Ok(tally)
}

impl Tally {
    /// Adds what a walk met.
    pub fn add(&mut self, visit: &Visit<'_>) {
        match visit {
            Visit::Commit { .. } => self.transactions += 1,
            Visit::Gap(gap) => self.missing_entries += gap.last.0.saturating_sub(gap.first.0) + 1,
            Visit::Entry(view) if view.visible => {
                let bytes = view.entry.body.len() as u64;
                self.entries += 1;
                self.bytes += bytes;
                self.undecodable_entries += u64::from(view.problem.is_some());
                if let (Some((database, table)), Some((kind, rows))) = (view.table, view.rows) {
                    self.rows += rows;
                    let table = self.tables.entry(format!("{database}.{table}")).or_default();
                    table.bytes += bytes;
                    *match kind {
                        RowsKind::Write => &mut table.inserts,
                        RowsKind::Update => &mut table.updates,
                        RowsKind::Delete => &mut table.deletes,
                    } += rows;
                }
            }
            Visit::Entry(_) => {}
        }
    }
}
