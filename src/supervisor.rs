//! The one place that decides what a failure leads to: try again, park, give up for now, or stop. The decision
//! is pure ([`Attempts::decide`]); around it runs each task, one life after the other.
//!
//! | failure | capture | delivery |
//! |---|---|---|
//! | transient | retried inside its window, then `failed` | the same |
//! | definite | the daemon stops with the failure's exit code | parked until an operator resumes it |
//! | fatal | the daemon stops | the daemon stops |
//!
//! `failed` is tried again every 60 s while `auto_resume` is on; `parked` never by itself. The two windows, of failures
//! to reach the other side and of all others, each run from the first failure of their kind; a life that ran well, or an
//! operator's `resume`, opens both anew.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Retry, Window};
use crate::failure::{Class, Exit, Failure, chain};
use crate::status::{Problem, State, Task, now_ms};

/// The first delay; it doubles from there.
const DELAY_MIN: Duration = Duration::from_secs(1);
/// The longest delay.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// How often a task that is out of retries tries again by itself.
const AUTO_RESUME_INTERVAL: Duration = Duration::from_secs(60);
/// A life that ran this long counts as a success: the next failure starts a window of its own.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);

/// A failure as the supervisor sees it: what it needs for the decision, and what status shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What may be done about it.
    pub class: Class,
    /// Whether the other side could not be reached.
    pub connection: bool,
    /// Whether its window was waited out before it came.
    pub exhausted: bool,
    /// The error with its causes.
    pub reason: String,
    /// What the operator can do.
    pub next_step: Option<String>,
    /// The exit code, should it end the process.
    pub exit: Exit,
}

impl Cause {
    /// Takes a failure apart.
    pub fn of(failure: &dyn Failure) -> Self {
        Self {
            class: failure.class(),
            connection: failure.is_connection(),
            exhausted: failure.is_exhausted(),
            reason: chain(failure),
            next_step: failure.next_step(),
            exit: failure.exit(),
        }
    }

    /// A task that panicked: a fault of ours, contained to the task.
    fn panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Self::internal(text)
    }

    /// A fault of ours that retrying does not mend.
    pub fn internal(text: impl fmt::Display) -> Self {
        Self {
            class: Class::Definite,
            connection: false,
            exhausted: false,
            reason: format!("internal error: {text}"),
            next_step: Some("report it with the log around it; resume tries again from the same place".to_owned()),
            exit: Exit::Failed,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        self.next_step.as_ref().map_or(Ok(()), |step| write!(f, "; {step}"))
    }
}

/// How long a task's failures are retried, and whether it comes back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The windows.
    pub retry: Retry,
    /// Whether a failed task tries again every 60 s.
    pub auto_resume: bool,
    /// Whether a definite failure stops the daemon; else it parks the task.
    pub stops_daemon: bool,
}

/// What a failure leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Try again after this delay; what is left of the window then, `None` when it is endless.
    Retry {
        /// The delay.
        delay: Duration,
        /// What is left of the window.
        left: Option<Duration>,
    },
    /// Wait for an operator.
    Park,
    /// The window is over: try again after this delay, or wait for an operator.
    Fail {
        /// The delay, when it tries again by itself.
        resume: Option<Duration>,
    },
    /// End the process.
    Stop,
}

/// The failures of a task since it last ran well.
#[derive(Debug, Default)]
pub struct Attempts {
    /// When they began, in milliseconds since 1970.
    since_ms: Option<i64>,
    /// The first failure to reach the other side.
    first_connection: Option<Instant>,
    /// The first of another kind.
    first_other: Option<Instant>,
    count: u32,
}

impl Attempts {
    /// Decides about a failure. `ran_for`: how long the life that ended had been running; `jitter` from 0 to 1.
    pub fn decide(&mut self, now: Instant, ran_for: Duration, cause: &Cause, policy: &Policy, jitter: f64) -> Decision {
        if ran_for >= HEALTHY_AFTER {
            *self = Self::default();
        }
        self.since_ms.get_or_insert_with(now_ms);
        let kind = if cause.connection { &mut self.first_connection } else { &mut self.first_other };
        let first = *kind.get_or_insert(now);
        self.count = self.count.saturating_add(1);
        match cause.class {
            Class::Fatal => return Decision::Stop,
            Class::Definite if policy.stops_daemon => return Decision::Stop,
            Class::Definite => return Decision::Park,
            Class::Transient => {}
        }
        let window = if cause.connection { policy.retry.connection } else { policy.retry.other };
        let failed = Decision::Fail { resume: policy.auto_resume.then_some(AUTO_RESUME_INTERVAL) };
        if cause.exhausted {
            return failed;
        }
        let delay = self.delay(jitter);
        let elapsed = now.saturating_duration_since(first);
        match window {
            Window::Forever => Decision::Retry { delay, left: None },
            Window::For(window) if elapsed < window => {
                // The last attempt is made when the window ends, not before.
                let left = window.saturating_sub(elapsed);
                Decision::Retry { delay: delay.min(left), left: Some(left) }
            }
            Window::For(_) => failed,
        }
    }

    /// Failures since it last ran well.
    pub fn count(&self) -> u32 {
        self.count
    }

    fn since_ms(&self) -> i64 {
        self.since_ms.unwrap_or_else(now_ms)
    }

    /// Half of the doubled delay is certain, the other half drawn, so that relays that lost one broker together
    /// do not come back together.
    fn delay(&self, jitter: f64) -> Duration {
        let doublings = self.count.saturating_sub(1).min(6);
        let full = (DELAY_MIN * (1 << doublings)).min(DELAY_MAX);
        full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

/// What an operator wants of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    paused: bool,
    /// Raised by `resume`: ends a wait of a failed, parked or retrying task.
    resumes: u64,
    /// Raised by `restart`: ends the life, and the next begins at once.
    restarts: u64,
}

/// An operator's hand on a supervised task. Clones hold the same.
#[derive(Debug, Clone)]
pub struct Control(watch::Sender<Wanted>);

impl Control {
    /// A task that is to run, or to begin paused.
    pub fn new(paused: bool) -> Self {
        Self(watch::Sender::new(Wanted { paused, resumes: 0, restarts: 0 }))
    }

    /// Ends the task's life in good order; nothing begins before `resume`.
    pub fn pause(&self) {
        self.0.send_modify(|w| w.paused = true);
    }

    /// Starts a paused, parked or failed task again, and cuts short the wait of one that retries.
    pub fn resume(&self) {
        self.0.send_modify(|w| {
            w.paused = false;
            w.resumes += 1;
        });
    }

    /// Ends the task's life in good order and begins the next at once; a paused task stays paused.
    pub fn restart(&self) {
        self.0.send_modify(|w| w.restarts += 1);
    }
}

/// How supervision of a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was told to.
    Stopped,
    /// The daemon must stop for this.
    Fatal(Cause),
}

/// Runs a task until it is told to stop or must stop the daemon, one life after the other. `life` is given a token
/// that ends it in good order; `policy` is asked at each failure, because a reload may change it. A life that ends well without being told to is begun again.
pub async fn supervise<F, Life>(
    name: &str,
    task: &Task,
    policy: impl Fn() -> Policy,
    control: &Control,
    shutdown: &CancellationToken,
    mut life: F,
) -> Outcome
where
    F: FnMut(CancellationToken) -> Life,
    Life: Future<Output = Result<(), Box<dyn Failure>>> + Send + 'static,
{
    let mut attempts = Attempts::default();
    let mut wanted = control.0.subscribe();
    let mut resumes = 0;
    loop {
        let seen = *wanted.borrow_and_update();
        if std::mem::replace(&mut resumes, seen.resumes) != seen.resumes {
            // Whoever resumes it has mended something: what comes now has windows of its own.
            attempts = Attempts::default();
        }
        if shutdown.is_cancelled() {
            return Outcome::Stopped;
        }
        if seen.paused {
            task.set_state(State::Paused);
            attempts = Attempts::default();
            if !changed(&mut wanted, shutdown).await {
                return Outcome::Stopped;
            }
            continue;
        }
        task.set_state(State::Starting);
        let token = shutdown.child_token();
        let mut handle = tokio::spawn(life(token.clone()));
        let ended_first = tokio::select! {
            ended = &mut handle => Some(ended),
            () = interrupted(&mut wanted, seen) => None,
        };
        let ended = match ended_first {
            Some(ended) => ended,
            None => {
                token.cancel();
                handle.await
            }
        };
        let ran_for = task.ran_for();
        let cause = match ended {
            Ok(Ok(())) if token.is_cancelled() => {
                attempts = Attempts::default();
                continue;
            }
            // Nothing told it to end: treated as a break, so that it cannot spin.
            Ok(Ok(())) => Cause {
                class: Class::Transient,
                connection: false,
                exhausted: false,
                reason: "task ended by itself".to_owned(),
                next_step: None,
                exit: Exit::Failed,
            },
            Ok(Err(failure)) => Cause::of(&*failure),
            Err(join) if join.is_panic() => Cause::panic(&*join.into_panic()),
            Err(_) => return Outcome::Stopped,
        };
        if token.is_cancelled() && cause.class != Class::Fatal {
            tracing::debug!(task = name, reason = %cause, "failed while it was ending");
            continue;
        }
        let decision = attempts.decide(Instant::now(), ran_for, &cause, &policy(), rand::random());
        report(name, task, &attempts, &cause, &decision);
        let wait = match decision {
            Decision::Stop => return Outcome::Fatal(cause),
            Decision::Park | Decision::Fail { resume: None } => None,
            Decision::Retry { delay, .. } | Decision::Fail { resume: Some(delay) } => Some(delay),
        };
        if !wait_for(wait, &mut wanted, shutdown).await {
            return Outcome::Stopped;
        }
    }
}

/// Says once, where it is handled, what a failure was and what it leads to.
fn report(name: &str, task: &Task, attempts: &Attempts, cause: &Cause, decision: &Decision) {
    let (state, delay, left) = match decision {
        Decision::Retry { delay, left } => (State::Retrying, Some(*delay), *left),
        Decision::Park => (State::Parked, None, None),
        Decision::Fail { resume } => (State::Failed, *resume, Some(Duration::ZERO)),
        Decision::Stop => (State::Failed, None, None),
    };
    let retry_at_ms = delay.map(|d| now_ms().saturating_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)));
    let attempts_made = attempts.count();
    match decision {
        Decision::Retry { delay, .. } => tracing::warn!(
            task = name, attempts = attempts_made, delay_ms = delay.as_millis() as u64, reason = %cause, "retrying"
        ),
        _ => {
            tracing::error!(task = name, attempts = attempts_made, state = state.name(), reason = %cause, "task failed")
        }
    }
    task.set_problem(
        state,
        Problem {
            reason: cause.reason.clone(),
            next_step: cause.next_step.clone(),
            attempts: attempts_made,
            since_ms: attempts.since_ms(),
            retry_at_ms,
            window_left_s: left.map(|d| d.as_secs()),
            class: Some(cause.class),
        },
    );
}

/// Waits until an operator wants something else; false when the daemon stops instead.
async fn changed(wanted: &mut watch::Receiver<Wanted>, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        changed = wanted.changed() => changed.is_ok(),
        () = shutdown.cancelled() => false,
    }
}

/// Waits for a delay, or for an operator when there is none; either way an operator ends it.
async fn wait_for(delay: Option<Duration>, wanted: &mut watch::Receiver<Wanted>, shutdown: &CancellationToken) -> bool {
    match delay {
        // The delay's end is what was waited for.
        Some(delay) => tokio::time::timeout(delay, changed(wanted, shutdown)).await.unwrap_or(true),
        None => changed(wanted, shutdown).await,
    }
}

/// Resolves when an operator wants this life to end. Never when the control is gone: then only the daemon's stop
/// ends it.
async fn interrupted(wanted: &mut watch::Receiver<Wanted>, seen: Wanted) {
    if wanted.wait_for(|w| w.paused || w.restarts != seen.restarts).await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests;
