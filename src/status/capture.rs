//! What capture says about itself: the server, the place in its binlog, how far behind it is.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::{State, Task, lock, now_us};

/// How long a confirmation that everything has arrived stays one.
pub const CONFIRMATION_AGE_MAX: Duration = Duration::from_secs(15);

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
    pub(super) fn new() -> Self {
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
