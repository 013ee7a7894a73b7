//! What the copy of tables says about itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Task, lock};

/// Over how long the rate is taken.
const RATE_OVER: Duration = Duration::from_secs(30);
/// Chunks nearer to each other than this count as one of its steps.
const RATE_STEP: Duration = Duration::from_secs(1);

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

impl TableState {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Waiting, Self::Copying, Self::Done, Self::Failing, Self::Ended, Self::Stopped];

    /// Whether it is being copied, or will be.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Waiting | Self::Copying | Self::Failing)
    }

    /// Its name, as in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Copying => "copying",
            Self::Done => "done",
            Self::Failing => "failing",
            Self::Ended => "ended",
            Self::Stopped => "stopped",
        }
    }
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
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
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
    /// Rows that entered the log a second, over the last half minute.
    pub rows_per_second: f64,
    /// Bytes of their images.
    pub bytes_per_second: f64,
    /// When it will be done at this rate; absent while nothing moves, or nothing is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest_seconds: Option<u64>,
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
    /// Tables that someone asked for, as `database.table`, until the copy takes them on.
    ordered: Mutex<VecDeque<String>>,
    has_orders: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    superseded: u64,
    dropped: u64,
    waiting: usize,
    recent: Rate,
}

/// What entered the log lately: rows and bytes by the step in which they did.
#[derive(Debug, Default)]
struct Rate(VecDeque<(Instant, u64, u64)>);

impl Rate {
    fn add(&mut self, now: Instant, rows: u64, bytes: u64) {
        self.forget(now);
        match self.0.back_mut() {
            Some(step) if now.duration_since(step.0) < RATE_STEP => {
                step.1 += rows;
                step.2 += bytes;
            }
            _ => self.0.push_back((now, rows, bytes)),
        }
    }

    /// Rows and bytes a second.
    fn at(&mut self, now: Instant) -> (f64, f64) {
        self.forget(now);
        let Some(since) = self.0.front().map(|step| now.duration_since(step.0)) else { return (0.0, 0.0) };
        let seconds = since.max(RATE_STEP).as_secs_f64();
        let sum = |of: fn(&(Instant, u64, u64)) -> u64| self.0.iter().map(of).sum::<u64>() as f64;
        (sum(|step| step.1) / seconds, sum(|step| step.2) / seconds)
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|step| now.duration_since(step.0) > RATE_OVER) {
            self.0.pop_front();
        }
    }
}

impl SnapshotHandle {
    pub(super) fn new() -> Self {
        Self(Arc::new(SnapshotCell {
            task: Task::new(),
            tables: Mutex::default(),
            counts: Mutex::default(),
            stopping: Mutex::default(),
            ordered: Mutex::default(),
            has_orders: Notify::new(),
        }))
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

    /// Adds a table, or says of one that is known all anew.
    pub fn set_table(&self, view: TableView) {
        lock(&self.0.tables).insert(view.table.clone(), view);
    }

    /// Asks for the copy of a table, which the log knows to be wanted.
    pub fn order(&self, table: String) {
        // What was asked of an earlier copy of it is over.
        lock(&self.0.stopping).remove(&table);
        lock(&self.0.ordered).push_back(table);
        self.0.has_orders.notify_one();
    }

    /// The next table that was asked for.
    pub async fn ordered(&self) -> String {
        loop {
            let called = self.0.has_orders.notified();
            if let Some(table) = lock(&self.0.ordered).pop_front() {
                return table;
            }
            called.await;
        }
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
        let found = lock(&self.0.tables).get(table).is_some_and(|view| view.state.is_under_way());
        if found {
            lock(&self.0.stopping).insert(table.to_owned());
        }
        found
    }

    /// Whether that was asked for and nobody has done it yet.
    pub fn is_stopping(&self, table: &str) -> bool {
        lock(&self.0.stopping).contains(table)
    }

    /// Whether that was asked for, once.
    pub fn take_stop(&self, table: &str) -> bool {
        lock(&self.0.stopping).remove(table)
    }

    /// Counts a chunk that entered the log.
    pub fn count_appended(&self, rows: u64, bytes: u64, superseded: u64) {
        let mut counts = lock(&self.0.counts);
        counts.superseded += superseded;
        counts.recent.add(Instant::now(), rows, bytes);
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
        let mut counts = lock(&self.0.counts);
        let (rows_per_second, bytes_per_second) = counts.recent.at(Instant::now());
        let mut left = 0;
        let mut view = SnapshotView {
            tables: tables.len(),
            superseded: counts.superseded,
            dropped_chunks: counts.dropped,
            waits_for: (counts.waiting > 0).then_some(SnapshotWait::Capture),
            rows_per_second,
            bytes_per_second,
            ..SnapshotView::default()
        };
        for table in tables.values() {
            view.rows += table.rows;
            view.bytes += table.bytes;
            view.estimated_rows += table.estimated_rows.max(table.rows);
            if table.state.is_under_way() {
                left += table.estimated_rows.saturating_sub(table.rows);
            }
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
        view.rest_seconds = (left > 0 && rows_per_second > 0.0).then(|| (left as f64 / rows_per_second).ceil() as u64);
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, state: TableState, rows: u64, estimated_rows: u64) -> TableView {
        let table = name.to_owned();
        TableView { table, state, rows, bytes: rows * 10, chunks: 1, estimated_rows, restarts: 0, problem: None }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_told_by_the_rate_of_the_last_half_minute() {
        let handle = SnapshotHandle::new();
        handle.set_tables([
            table("a.done", TableState::Done, 500, 600),
            table("a.waiting", TableState::Waiting, 0, 1000),
            table("a.copying", TableState::Copying, 300, 200),
            table("a.stopped", TableState::Stopped, 10, 5000),
        ]);
        assert_eq!((handle.view().rows_per_second, handle.view().rest_seconds), (0.0, None), "nothing moves");
        for _ in 0..10 {
            handle.count_appended(100, 1000, 1);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let view = handle.view();
        assert_eq!((view.rows_per_second, view.bytes_per_second, view.rest_seconds), (100.0, 1000.0, Some(10)));
        assert_eq!((view.rows, view.estimated_rows, view.superseded), (810, 6900, 10));
        tokio::time::advance(RATE_OVER).await;
        assert_eq!(handle.view().rest_seconds, None);
    }

    #[tokio::test]
    async fn a_new_order_forgets_that_an_older_copy_was_to_stop() {
        let handle = SnapshotHandle::new();
        assert!(!handle.stop("a.t"), "it is not being copied");
        handle.set_table(table("a.t", TableState::Copying, 1, 1));
        assert!(handle.stop("a.t") && handle.is_stopping("a.t"));
        handle.order("a.t".to_owned());
        assert!(!handle.take_stop("a.t"));
        assert_eq!(handle.ordered().await, "a.t");
    }
}
