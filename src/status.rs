//! What the tasks say about themselves, for whoever asks: the API, metrics and the supervisor. Setters are
//! cheap (an atomic, or a short lock off the hot path); nothing here waits, decides or does I/O.

pub mod exceptions;
mod snapshot;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

pub use snapshot::{SnapshotHandle, SnapshotView, SnapshotWait, TableState, TableView};

use crate::failure::Class;
use exceptions::{Exception, Exceptions, Fate};

/// How long a confirmation that everything has arrived stays one.
pub const CONFIRMATION_AGE_MAX: Duration = Duration::from_secs(15);

/// How long a delivery counts as throttled after a wait: it waits between any two of its steps, and a look from outside
/// must not depend on the moment.
const THROTTLED_AFTER: Duration = Duration::from_secs(1);

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum State {
    /// Not yet connected.
    Starting,
    /// Copying existing rows.
    Snapshot,
    /// At work, or idle because there is nothing to do.
    Running,
    /// Waiting to try again.
    Retrying,
    /// Stopped by an operator; goes on when told.
    Paused,
    /// Stopped by a failure that retrying cannot help.
    Parked,
    /// Out of retries.
    Failed,
    /// Done, with nothing left to do.
    Completed,
}

impl State {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Snapshot,
        Self::Running,
        Self::Retrying,
        Self::Paused,
        Self::Parked,
        Self::Failed,
        Self::Completed,
    ];

    /// The state's name as status, metrics and alerts write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Snapshot => "snapshot",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Paused => "paused",
            Self::Parked => "parked",
            Self::Failed => "failed",
            Self::Completed => "completed",
        }
    }
}

/// The failure that holds a task up now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// The failure with its causes, as one sentence.
    pub reason: String,
    /// What the operator can do, when there is something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// Attempts since it began, the first one included.
    pub attempts: u32,
    /// When it began, in milliseconds since 1970.
    pub since_ms: i64,
    /// When it is tried again, in milliseconds since 1970; absent when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at_ms: Option<i64>,
    /// Seconds left of the retry window; absent when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_left_s: Option<u64>,
    /// What kind of failure it is.
    #[serde(skip)]
    pub class: Option<Class>,
}

/// What every task has: a state, since when, and what holds it up. Clones speak for the same task.
#[derive(Debug, Clone)]
pub struct Task(Arc<TaskCell>);

#[derive(Debug)]
struct TaskCell {
    state: AtomicU8,
    detail: Mutex<Detail>,
    changed: tokio::sync::watch::Sender<State>,
}

#[derive(Debug)]
struct Detail {
    since: Instant,
    since_ms: i64,
    problem: Option<Problem>,
}

impl Task {
    fn new() -> Self {
        let detail = Detail { since: Instant::now(), since_ms: now_ms(), problem: None };
        let changed = tokio::sync::watch::Sender::new(State::Starting);
        Self(Arc::new(TaskCell { state: AtomicU8::new(State::Starting as u8), detail: Mutex::new(detail), changed }))
    }

    /// What it is doing.
    pub fn state(&self) -> State {
        State::ALL[usize::from(self.0.state.load(Ordering::Acquire))]
    }

    /// Says what it is doing.
    pub fn set_state(&self, state: State) {
        let mut detail = lock(&self.0.detail);
        if self.0.state.swap(state as u8, Ordering::AcqRel) != state as u8 {
            detail.since = Instant::now();
            detail.since_ms = now_ms();
        }
        if matches!(state, State::Running | State::Snapshot | State::Paused | State::Completed) {
            detail.problem = None;
        }
        drop(detail);
        self.0.changed.send_if_modified(|s| std::mem::replace(s, state) != state);
    }

    /// Says what holds it up; cleared when it runs again.
    pub fn set_problem(&self, state: State, problem: Problem) {
        self.set_state(state);
        lock(&self.0.detail).problem = Some(problem);
    }

    /// What holds it up.
    pub fn problem(&self) -> Option<Problem> {
        lock(&self.0.detail).problem.clone()
    }

    /// How long it has been running without a break; zero when it is not.
    pub fn ran_for(&self) -> Duration {
        match self.state() {
            State::Running | State::Snapshot => lock(&self.0.detail).since.elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// Since when it has been in its state, in milliseconds since 1970.
    pub fn since_ms(&self) -> i64 {
        lock(&self.0.detail).since_ms
    }

    /// Changes of state, for those who wait for one.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<State> {
        self.0.changed.subscribe()
    }
}

/// A mutex whose holders never panic between two writes that belong together, so a poisoned one is still right.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since 1970, by this machine's clock.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Microseconds since 1970, by this machine's clock.
pub fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// The server that is captured, as it introduced itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Server {
    /// The one of `source.url` that is in use, `host:port`.
    pub host: String,
    /// Its version text.
    pub version: String,
    /// Its uuid; empty on MariaDB.
    pub uuid: String,
    /// Its id.
    pub server_id: u32,
    /// Whether the stream resumes by `gtid` or `file`.
    pub resume: String,
    /// The zone in which TIMESTAMP is rendered, resolved.
    pub timestamp_zone: String,
}

/// The relay's own heartbeat table at the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heartbeat {
    /// `database.table`.
    pub table: String,
    /// When it was last written, in milliseconds since 1970; absent before the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<i64>,
    /// Why it is not written now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What the operator can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}

/// What capture says about itself. Clones speak for the same task.
#[derive(Debug, Clone)]
pub struct CaptureHandle(Arc<CaptureCell>);

#[derive(Debug)]
struct CaptureCell {
    task: Task,
    server: Mutex<Option<Server>>,
    file: Mutex<Arc<str>>,
    offset: AtomicU64,
    /// The source's clock minus ours, in microseconds.
    clock_offset_us: AtomicI64,
    end: Mutex<Option<EndConfirmation>>,
    heartbeat: Mutex<Option<Heartbeat>>,
}

/// That capture held everything the source had, at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndConfirmation {
    /// When it was confirmed.
    pub at: Instant,
    /// The same by our clock, in microseconds since 1970.
    pub at_us: i64,
    /// The last visible seq at that moment: a cursor that acked it has everything.
    pub visible_seq: u64,
}

impl CaptureHandle {
    fn new() -> Self {
        Self(Arc::new(CaptureCell {
            task: Task::new(),
            server: Mutex::new(None),
            file: Mutex::new(Arc::from("")),
            offset: AtomicU64::new(0),
            clock_offset_us: AtomicI64::new(0),
            end: Mutex::new(None),
            heartbeat: Mutex::new(None),
        }))
    }

    /// Says what capture is doing. `Running` as soon as the stream is open.
    pub fn set_state(&self, state: State) {
        self.0.task.set_state(state);
    }

    /// What capture is doing.
    pub fn state(&self) -> State {
        self.0.task.state()
    }

    /// Says which server is in use.
    pub fn set_server(&self, server: Server) {
        *lock(&self.0.server) = Some(server);
    }

    /// The server in use, once one was reached.
    pub fn server(&self) -> Option<Server> {
        lock(&self.0.server).clone()
    }

    /// Says which binlog file is read; called on rotation.
    pub fn set_file(&self, file: &str, offset: u64) {
        *lock(&self.0.file) = Arc::from(file);
        self.set_offset(offset);
    }

    /// Says how far the current file has been received; cheap enough for every event.
    pub fn set_offset(&self, offset: u64) {
        self.0.offset.store(offset, Ordering::Relaxed);
    }

    /// The place received last, as (file, offset); an empty file before the first.
    pub fn received(&self) -> (Arc<str>, u64) {
        (Arc::clone(&lock(&self.0.file)), self.0.offset.load(Ordering::Relaxed))
    }

    /// Says how far the source's clock is ahead of ours, in microseconds.
    pub fn set_clock_offset(&self, microseconds: i64) {
        self.0.clock_offset_us.store(microseconds, Ordering::Relaxed);
    }

    /// The source's clock minus ours, in microseconds.
    pub fn clock_offset_us(&self) -> i64 {
        self.0.clock_offset_us.load(Ordering::Relaxed)
    }

    /// Says that all that the source had at a moment, in microseconds since 1970 by our clock, is in the log, up to and
    /// including `visible_seq`, and durable there. A heartbeat shows it of now, a transaction of its commit. An older
    /// moment than the one that is known changes nothing.
    pub fn confirm_until(&self, at_us: i64, visible_seq: u64) {
        let now_us = now_us();
        let at_us = at_us.min(now_us);
        let age = Duration::from_micros(u64::try_from(now_us.saturating_sub(at_us)).unwrap_or(0));
        let now = Instant::now();
        let mut end = lock(&self.0.end);
        if end.is_none_or(|known| known.at_us <= at_us) {
            *end = Some(EndConfirmation { at: now.checked_sub(age).unwrap_or(now), at_us, visible_seq });
        }
    }

    /// Says which heartbeat table there is, if any.
    pub fn set_heartbeat(&self, heartbeat: Option<Heartbeat>) {
        *lock(&self.0.heartbeat) = heartbeat;
    }

    /// Says that the heartbeat was written, at a moment in milliseconds since 1970.
    pub fn set_heartbeat_written(&self, at_ms: i64) {
        if let Some(heartbeat) = &mut *lock(&self.0.heartbeat) {
            (heartbeat.last_ms, heartbeat.problem, heartbeat.next_step) = (Some(at_ms), None, None);
        }
    }

    /// Says why the heartbeat is not written.
    pub fn set_heartbeat_problem(&self, problem: String, next_step: String) {
        if let Some(heartbeat) = &mut *lock(&self.0.heartbeat) {
            (heartbeat.problem, heartbeat.next_step) = (Some(problem), Some(next_step));
        }
    }

    /// The heartbeat table, when there is one.
    pub fn heartbeat(&self) -> Option<Heartbeat> {
        lock(&self.0.heartbeat).clone()
    }

    /// The last confirmation, however old.
    pub fn end(&self) -> Option<EndConfirmation> {
        *lock(&self.0.end)
    }

    /// State and problem, for the supervisor and for status.
    pub fn task(&self) -> &Task {
        &self.0.task
    }
}

/// What a delivery says about itself. Clones speak for the same task.
#[derive(Debug, Clone)]
pub struct DeliveryHandle(Arc<DeliveryCell>);

#[derive(Debug)]
struct DeliveryCell {
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
    configured: AtomicBool,
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

impl DeliveryHandle {
    fn new(name: &str, capture: CaptureHandle) -> Self {
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
            configured: AtomicBool::new(true),
        }))
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

/// The handles of all tasks.
#[derive(Debug)]
pub struct Status {
    capture: CaptureHandle,
    snapshot: SnapshotHandle,
    deliveries: Mutex<BTreeMap<String, DeliveryHandle>>,
    started_ms: i64,
}

impl Default for Status {
    fn default() -> Self {
        Self::new()
    }
}

impl Status {
    /// Nothing runs yet.
    pub fn new() -> Self {
        Self {
            capture: CaptureHandle::new(),
            snapshot: SnapshotHandle::new(),
            deliveries: Mutex::new(BTreeMap::new()),
            started_ms: now_ms(),
        }
    }

    /// Capture's handle.
    pub fn capture(&self) -> CaptureHandle {
        self.capture.clone()
    }

    /// The handle of the copy of tables.
    pub fn snapshot(&self) -> SnapshotHandle {
        self.snapshot.clone()
    }

    /// The handle of a delivery; made when it is new.
    pub fn delivery(&self, name: &str) -> DeliveryHandle {
        let new = || DeliveryHandle::new(name, self.capture.clone());
        lock(&self.deliveries).entry(name.to_owned()).or_insert_with(new).clone()
    }

    /// Forgets a delivery that left the config.
    pub fn forget(&self, name: &str) {
        if let Some(handle) = lock(&self.deliveries).remove(name) {
            handle.0.configured.store(false, Ordering::Relaxed);
        }
    }

    /// The handle of a delivery that runs, by name.
    pub fn find(&self, name: &str) -> Option<DeliveryHandle> {
        lock(&self.deliveries).get(name).cloned()
    }

    /// Every delivery, by name.
    pub fn deliveries(&self) -> Vec<DeliveryHandle> {
        lock(&self.deliveries).values().cloned().collect()
    }

    /// When the process started, in milliseconds since 1970.
    pub fn started_ms(&self) -> i64 {
        self.started_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        Problem {
            reason: "broker is away".into(),
            next_step: None,
            attempts: 2,
            since_ms: 1,
            retry_at_ms: Some(2),
            window_left_s: Some(3),
            class: Some(Class::Transient),
        }
    }

    #[test]
    fn a_problem_shows_until_the_task_runs_again() {
        let status = Status::new();
        let delivery = status.delivery("orders");
        assert_eq!(delivery.state(), State::Starting);
        delivery.task().set_problem(State::Retrying, problem());
        delivery.set_state(State::Starting);
        assert_eq!(status.find("orders").unwrap().task().problem(), Some(problem()));
        delivery.set_state(State::Running);
        assert_eq!(delivery.task().problem(), None);
        status.forget("orders");
        assert!(status.find("orders").is_none());
    }

    #[test]
    fn a_confirmation_is_as_old_as_the_moment_it_is_about_and_never_goes_back() {
        let capture = Status::new().capture();
        capture.confirm_until(now_us() - 20_000_000, 7);
        let end = capture.end().expect("one");
        assert!(end.visible_seq == 7 && end.at.elapsed() >= Duration::from_secs(20), "{end:?}");
        capture.confirm_until(now_us() + 5_000_000, 8);
        assert!(capture.end().expect("one").at_us <= now_us(), "the source's clock may be ahead");
        capture.confirm_until(now_us() - 60_000_000, 9);
        assert_eq!(capture.end().expect("one").visible_seq, 8);
    }

    #[test]
    fn states_have_their_numbers_and_names() {
        for (i, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, i);
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
