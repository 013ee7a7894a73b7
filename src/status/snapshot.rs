//! What the copy of tables says about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::{Task, lock};

/// What becomes of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TableState {
    /// Its turn has not come.
    Waiting,
    /// It is being read.
    Copying,
    /// All of it is in the log.
    Done,
    /// It cannot be read now; it is tried again.
    Failing,
    /// It ended without being copied to its end.
    Ended,
    /// Someone stopped it.
    Stopped,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableView {
    /// `database.table`.
    pub table: String,
    /// What becomes of it.
    pub state: TableState,
    /// Rows read.
    pub rows: u64,
    /// Bytes of their images.
    pub bytes: u64,
    /// Chunks in the log.
    pub chunks: u64,
    /// Rows that the server believes it to have.
    pub estimated_rows: u64,
    /// How often its copy began anew.
    pub restarts: u32,
    /// What holds it up, or why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What the copy waits for, when it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotWait {
    /// Capture is behind the source, and reading tables would keep it there.
    Capture,
}

/// The whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SnapshotView {
    /// Tables in all.
    pub tables: usize,
    /// Those that are copied.
    pub done: usize,
    /// Those that cannot be read now.
    pub failing: usize,
    /// Rows read of all of them.
    pub rows: u64,
    /// Bytes of their images.
    pub bytes: u64,
    /// Rows that the server believes them to have.
    pub estimated_rows: u64,
    /// Rows that were not put into the log because the stream has them newer, in this life.
    pub superseded: u64,
    /// Chunks that were read in vain, in this life.
    pub dropped_chunks: u64,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<SnapshotWait>,
    /// Tables that are neither waiting nor done, by name.
    pub at_work: Vec<TableView>,
}

/// What the copy says about itself. Clones speak for the same task.
#[derive(Debug, Clone)]
pub struct SnapshotHandle(Arc<SnapshotCell>);

#[derive(Debug)]
struct SnapshotCell {
    task: Task,
    tables: Mutex<BTreeMap<String, TableView>>,
    counts: Mutex<Counts>,
    /// Tables that someone asked to be stopped.
    stopping: Mutex<BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Counts {
    superseded: u64,
    dropped: u64,
    waiting: usize,
}

impl SnapshotHandle {
    pub(super) fn new() -> Self {
        let (tables, counts, stopping) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self(Arc::new(SnapshotCell { task: Task::new(), tables, counts, stopping }))
    }

    /// State and problem, for the supervisor and for status.
    pub fn task(&self) -> &Task {
        &self.0.task
    }

    /// Begins anew with these tables.
    pub fn set_tables(&self, tables: impl IntoIterator<Item = TableView>) {
        *lock(&self.0.tables) = tables.into_iter().map(|view| (view.table.clone(), view)).collect();
        lock(&self.0.counts).waiting = 0;
    }

    /// Changes what is said of a table.
    pub fn update(&self, table: &str, change: impl FnOnce(&mut TableView)) {
        if let Some(view) = lock(&self.0.tables).get_mut(table) {
            change(view);
        }
    }

    /// One table.
    pub fn table(&self, table: &str) -> Option<TableView> {
        lock(&self.0.tables).get(table).cloned()
    }

    /// Every table, by name.
    pub fn tables(&self) -> Vec<TableView> {
        lock(&self.0.tables).values().cloned().collect()
    }

    /// Asks for the copy of a table to end; false when none is under way.
    pub fn stop(&self, table: &str) -> bool {
        let under_way = [TableState::Waiting, TableState::Copying, TableState::Failing];
        let found = lock(&self.0.tables).get(table).is_some_and(|view| under_way.contains(&view.state));
        if found {
            lock(&self.0.stopping).insert(table.to_owned());
        }
        found
    }

    /// Whether that was asked for, once.
    pub fn take_stop(&self, table: &str) -> bool {
        lock(&self.0.stopping).remove(table)
    }

    /// Counts a chunk that entered the log.
    pub fn count_appended(&self, superseded: u64) {
        lock(&self.0.counts).superseded += superseded;
    }

    /// Counts a chunk that was read in vain.
    pub fn count_dropped(&self) {
        lock(&self.0.counts).dropped += 1;
    }

    /// Says that one of the readers begins, or ends, to wait for capture.
    pub fn set_waiting(&self, waits: bool) {
        let mut counts = lock(&self.0.counts);
        counts.waiting = if waits { counts.waiting + 1 } else { counts.waiting.saturating_sub(1) };
    }

    /// All of it at this moment.
    pub fn view(&self) -> SnapshotView {
        let tables = lock(&self.0.tables);
        let counts = lock(&self.0.counts);
        let mut view = SnapshotView {
            tables: tables.len(),
            superseded: counts.superseded,
            dropped_chunks: counts.dropped,
            waits_for: (counts.waiting > 0).then_some(SnapshotWait::Capture),
            ..SnapshotView::default()
        };
        for table in tables.values() {
            view.rows += table.rows;
            view.bytes += table.bytes;
            view.estimated_rows += table.estimated_rows.max(table.rows);
            match table.state {
                TableState::Done => view.done += 1,
                TableState::Waiting => {}
                TableState::Failing => view.failing += 1,
                TableState::Copying | TableState::Ended | TableState::Stopped => {}
            }
            if !matches!(table.state, TableState::Done | TableState::Waiting) {
                view.at_work.push(table.clone());
            }
        }
        view
    }
}
