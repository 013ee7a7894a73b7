//! What is durable and what is visible: the handle others wait on, and the poisoning after a failed sync.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::{AppendError, Poisoned};
use crate::seq::Seq;

/// Locks a mutex. A panic of another thread while it held the lock leaves data that is whole: every section under
/// these locks only moves plain values.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakers of futures that wait for one condition, by a key of their own so that a dropped future leaves nothing.
#[derive(Default)]
pub(crate) struct Wakers {
    next: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl Wakers {
    /// Registers or replaces the waker under `key`.
    pub(crate) fn register(&mut self, key: &mut Option<u64>, waker: &Waker) {
        let id = *key.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        self.waiting.insert(id, waker.clone());
    }

    pub(crate) fn remove(&mut self, key: Option<u64>) {
        if let Some(id) = key {
            self.waiting.remove(&id);
        }
    }

    /// Takes all of them; they are woken after the lock is let go.
    pub(crate) fn take(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }
}

#[derive(Default)]
struct State {
    end: Option<AppendError>,
    wakers: Wakers,
}

/// The positions the writer publishes after each group, and who waits for them.
#[derive(Default)]
pub(crate) struct Watch {
    durable: AtomicU64,
    visible: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

impl Watch {
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn visible(&self) -> u64 {
        self.visible.load(Ordering::Acquire)
    }

    /// Publishes what a group made durable.
    pub(crate) fn publish(&self, durable: u64, visible: u64) {
        assert!(visible <= durable, "visible {visible} is ahead of durable {durable}");
        let wakers = {
            let mut state = lock(&self.state);
            self.durable.store(durable, Ordering::Release);
            self.visible.store(visible, Ordering::Release);
            state.wakers.take()
        };
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends the store's life; the first reason stays.
    pub(crate) fn end(&self, reason: AppendError) {
        let wakers = {
            let mut state = lock(&self.state);
            state.end.get_or_insert(reason);
            state.wakers.take()
        };
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Why nothing will be durable any more, when that is so.
    pub(crate) fn ended(&self) -> Option<AppendError> {
        lock(&self.state).end.clone()
    }

    fn wait(&self, reached: impl Fn(&Watch) -> Option<u64>) -> Result<Seq, AppendError> {
        let mut state = lock(&self.state);
        loop {
            if let Some(seq) = reached(self) {
                return Ok(Seq(seq));
            }
            if let Some(end) = &state.end {
                return Err(end.clone());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A handle on what is durable: cheap to clone, usable from any thread or task.
#[derive(Clone)]
pub struct Durable {
    watch: Arc<Watch>,
}

impl Durable {
    pub(crate) fn new(watch: Arc<Watch>) -> Self {
        Durable { watch }
    }

    /// Last durable entry.
    pub fn seq(&self) -> Seq {
        Seq(self.watch.durable())
    }

    /// Last visible entry; never ahead of [`Durable::seq`].
    pub fn visible(&self) -> Seq {
        Seq(self.watch.visible())
    }

    /// Resolves with the durable seq once it has reached `seq`.
    pub fn wait(&self, seq: Seq) -> Wait {
        Wait { watch: self.watch.clone(), goal: Goal::Durable(seq.0), key: None }
    }

    /// Resolves with the visible seq once it is past `seq`.
    pub fn wait_visible_past(&self, seq: Seq) -> Wait {
        Wait { watch: self.watch.clone(), goal: Goal::VisiblePast(seq.0), key: None }
    }

    /// [`Durable::wait`], blocking the thread.
    pub fn wait_blocking(&self, seq: Seq) -> Result<Seq, AppendError> {
        self.watch.wait(|watch| Goal::Durable(seq.0).reached(watch))
    }

    /// [`Durable::wait_visible_past`], blocking the thread.
    pub fn wait_visible_past_blocking(&self, seq: Seq) -> Result<Seq, AppendError> {
        self.watch.wait(|watch| Goal::VisiblePast(seq.0).reached(watch))
    }

    /// The reason, once a sync has failed.
    pub fn poisoned(&self) -> Option<Poisoned> {
        match self.watch.ended() {
            Some(AppendError::Poisoned(poisoned)) => Some(poisoned),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Goal {
    Durable(u64),
    VisiblePast(u64),
}

impl Goal {
    fn reached(self, watch: &Watch) -> Option<u64> {
        match self {
            Goal::Durable(seq) => Some(watch.durable()).filter(|&durable| durable >= seq),
            Goal::VisiblePast(seq) => Some(watch.visible()).filter(|&visible| visible > seq),
        }
    }
}

/// A wait for a position. Fails with [`AppendError::Poisoned`] or [`AppendError::Closed`] when it can no longer come.
pub struct Wait {
    watch: Arc<Watch>,
    goal: Goal,
    key: Option<u64>,
}

impl Future for Wait {
    type Output = Result<Seq, AppendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(seq) = this.goal.reached(&this.watch) {
            return Poll::Ready(Ok(Seq(seq)));
        }
        let mut state = lock(&this.watch.state);
        // Looked at again under the lock that `publish` takes, so that no wake-up falls between.
        if let Some(seq) = this.goal.reached(&this.watch) {
            return Poll::Ready(Ok(Seq(seq)));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(Err(end.clone()));
        }
        state.wakers.register(&mut this.key, cx.waker());
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.key.is_some() {
            lock(&self.watch.state).wakers.remove(self.key);
        }
    }
}
