//! What a delivery says about itself: how far it is, what it holds, what it could not deliver as it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::exceptions::{Exception, Exceptions, Fate};
use super::{CaptureHandle, State, Task, lock};

/// How long a delivery counts as throttled after a wait: it waits between any two of its steps, and a look from outside
/// must not depend on the moment.
const THROTTLED_AFTER: Duration = Duration::from_secs(1);

/// What a delivery says about itself. Clones speak for the same task.
#[derive(Debug, Clone)]
pub struct DeliveryHandle(pub(super) Arc<DeliveryCell>);

#[derive(Debug)]
pub(super) struct DeliveryCell {
    name: String,
    task: Task,
    acked_seq: AtomicU64,
    read_seq: AtomicU64,
    in_flight_records: AtomicU64,
    in_flight_bytes: AtomicU64,
    /// Until when it counts as held to its throttle.
    throttled_until: Mutex<Option<Instant>>,
    /// Whether the sink's own settings say something that status should repeat.
    notice: Mutex<Option<String>>,
    exceptions: Exceptions,
    /// Topics that have more partitions than are used, by name.
    grown: Mutex<BTreeMap<String, TopicWidth>>,
    table_units: Mutex<Option<TableUnits>>,
    pub(super) configured: AtomicBool,
    capture: CaptureHandle,
}

/// How many partitions of a topic are used. When it grows after its first use, the old number is used on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicWidth {
    /// Its name.
    pub topic: String,
    /// Partitions in use.
    pub used: u32,
    /// Partitions that it has.
    pub partitions: u32,
}

/// How far a delivery into tables is with the rows that it writes at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct TableUnits {
    /// Rows that are being written.
    pub rows: u64,
    /// Units that they are in and that are not proven to be in their tables.
    pub units: u64,
    /// When the last window was proven to be in, in milliseconds since 1970; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_commit_ms: Option<i64>,
}

impl DeliveryHandle {
    pub(super) fn new(name: &str, capture: CaptureHandle) -> Self {
        Self(Arc::new(DeliveryCell {
            name: name.to_owned(),
            capture,
            task: Task::new(),
            acked_seq: AtomicU64::new(0),
            read_seq: AtomicU64::new(0),
            in_flight_records: AtomicU64::new(0),
            in_flight_bytes: AtomicU64::new(0),
            throttled_until: Mutex::new(None),
            notice: Mutex::new(None),
            exceptions: Exceptions::default(),
            grown: Mutex::default(),
            table_units: Mutex::default(),
            configured: AtomicBool::new(true),
        }))
    }

    /// Says how far it is with the rows that it writes into tables.
    pub fn set_table_units(&self, units: TableUnits) {
        *lock(&self.0.table_units) = Some(units);
    }

    /// How far it is with the rows that it writes into tables; none where it was never said.
    pub fn table_units(&self) -> Option<TableUnits> {
        lock(&self.0.table_units).clone()
    }

    /// The last time by the source's clock, microseconds since 1970, at which everything that the source had was in the log
    /// up to `seq`; none when that was never seen.
    pub fn source_time_us(&self, seq: u64) -> Option<i64> {
        let end = self.0.capture.end().filter(|end| end.visible_seq <= seq)?;
        Some(end.at_us.saturating_add(self.0.capture.clock_offset_us()))
    }

    /// The delivery's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Says what the delivery is doing. `Running` as soon as its sink is open.
    pub fn set_state(&self, state: State) {
        self.0.task.set_state(state);
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        self.0.task.state()
    }

    /// Says what the sink has acknowledged, whether or not the cursor is durable yet.
    pub fn set_acked(&self, seq: u64) {
        self.0.acked_seq.store(seq, Ordering::Relaxed);
    }

    /// What the sink acknowledged last in this life; 0 before.
    pub fn acked(&self) -> u64 {
        self.0.acked_seq.load(Ordering::Relaxed)
    }

    /// Says how far the log has been read for this delivery.
    pub fn set_read(&self, seq: u64) {
        self.0.read_seq.store(seq, Ordering::Relaxed);
    }

    /// How far the log has been read for this delivery.
    pub fn read(&self) -> u64 {
        self.0.read_seq.load(Ordering::Relaxed)
    }

    /// Says what has been handed to the sink and is not acknowledged.
    pub fn set_in_flight(&self, records: u64, bytes: u64) {
        self.0.in_flight_records.store(records, Ordering::Relaxed);
        self.0.in_flight_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What is in flight: records and bytes.
    pub fn in_flight(&self) -> (u64, u64) {
        (self.0.in_flight_records.load(Ordering::Relaxed), self.0.in_flight_bytes.load(Ordering::Relaxed))
    }

    /// Says that it waits so long because of its throttle.
    pub fn set_throttled_for(&self, wait: Duration) {
        *lock(&self.0.throttled_until) = Some(Instant::now() + wait + THROTTLED_AFTER);
    }

    /// Whether it waits because of its throttle, or did just now.
    pub fn is_throttled(&self) -> bool {
        lock(&self.0.throttled_until).is_some_and(|until| Instant::now() < until)
    }

    /// Says something the operator should know though nothing is held up, such as a topic that has grown.
    pub fn set_notice(&self, notice: Option<String>) {
        *lock(&self.0.notice) = notice;
    }

    /// The notice.
    pub fn notice(&self) -> Option<String> {
        lock(&self.0.notice).clone()
    }

    /// Says that a row did not leave as it is; true for the first one of its table and fate. `place` is its entry and its
    /// row within that.
    pub fn add_exception(&self, table: &str, fate: Fate, place: (u64, u32), key: &str, reason: &str) -> bool {
        self.0.exceptions.add(table, fate, place, key, reason)
    }

    /// Rows that did not leave as they are, by table.
    pub fn exceptions(&self) -> Vec<Exception> {
        self.0.exceptions.all()
    }

    /// Says how many partitions of a topic are used; true when it is news that it has more.
    pub fn set_width(&self, width: TopicWidth) -> bool {
        let mut grown = lock(&self.0.grown);
        if width.partitions > width.used {
            let known = grown.insert(width.topic.clone(), width.clone());
            return known != Some(width);
        }
        grown.remove(&width.topic);
        false
    }

    /// Topics that have grown since they were first used.
    pub fn grown(&self) -> Vec<TopicWidth> {
        lock(&self.0.grown).values().cloned().collect()
    }

    /// State and problem, for the supervisor and for status.
    pub fn task(&self) -> &Task {
        &self.0.task
    }
}
