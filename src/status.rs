//! What the tasks say about themselves, for whoever asks: the API, metrics and the supervisor. Setters are
//! cheap (an atomic, or a short lock off the hot path); nothing here waits, decides or does I/O.

mod capture;
mod delivery;
pub mod exceptions;
mod snapshot;
mod task;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use capture::{CONFIRMATION_AGE_MAX, CaptureHandle, EndConfirmation, Heartbeat, Server};
pub use delivery::{DeliveryHandle, TableUnits, TopicWidth};
pub use snapshot::{SnapshotHandle, SnapshotView, SnapshotWait, TableState, TableView};
pub use task::{Problem, State, Task};

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
    use std::time::Duration;

    use super::*;
    use crate::failure::Class;

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
