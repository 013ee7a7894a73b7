//! What every task says: its state, since when, and what holds it up.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::{lock, now_ms};
use crate::failure::Class;

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
    pub(super) fn new() -> Self {
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
