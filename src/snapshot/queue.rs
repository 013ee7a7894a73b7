//! Tables that wait for a reader. More may come as long as the copy runs.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::log::TableProgress;

/// A table to be copied, and how often that failed on end.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) progress: TableProgress,
    pub(super) failures: u32,
    /// Not tried again before.
    pub(super) not_before: Instant,
}

impl Job {
    pub(super) fn new(progress: TableProgress) -> Self {
        Self { progress, failures: 0, not_before: Instant::now() }
    }
}

/// The queue, and how many of what was taken off it is being worked on.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    called: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    at_work: usize,
}

impl Queue {
    /// Adds a table.
    pub(super) fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.called.notify_one();
    }

    /// The next table that may be tried; one that has to wait is in nobody's way. Whoever takes it says by
    /// [`Queue::done`] what became of it.
    pub(super) async fn next(&self) -> Job {
        loop {
            let called = self.called.notified();
            let now = Instant::now();
            let (next, later, more) = {
                let mut state = self.lock();
                let at = state.jobs.iter().position(|job| job.not_before <= now);
                let next = at.and_then(|at| state.jobs.remove(at));
                state.at_work += usize::from(next.is_some());
                (next, state.jobs.iter().map(|job| job.not_before).min(), !state.jobs.is_empty())
            };
            if let Some(job) = next {
                if more {
                    // One call may stand for several tables.
                    self.called.notify_one();
                }
                return job;
            }
            tokio::select! {
                () = called => {}
                () = sleep_until(later) => {}
            }
        }
    }

    /// A table is copied, or goes back into the queue; true when nothing is left to do.
    pub(super) fn done(&self, again: Option<Job>) -> bool {
        let back = again.is_some();
        let mut state = self.lock();
        state.jobs.extend(again);
        state.at_work -= 1;
        let idle = state.at_work == 0 && state.jobs.is_empty();
        drop(state);
        if back {
            self.called.notify_one();
        }
        idle
    }

    /// Whether nothing is left to do.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.at_work == 0 && state.jobs.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Never, when there is no such moment.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn job(table: &str) -> Job {
        Job::new(TableProgress::begin("a", table, 0))
    }

    #[tokio::test(start_paused = true)]
    async fn every_table_finds_a_reader_and_the_last_one_says_so() {
        let queue = Arc::new(Queue::default());
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let queue = Arc::clone(&queue);
            readers.spawn(async move {
                let mut taken = 0;
                loop {
                    let mut job = queue.next().await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    job.failures += 1;
                    taken += 1;
                    let again = (job.failures < 2).then_some(job);
                    if queue.done(again) {
                        return taken;
                    }
                }
            });
        }
        tokio::task::yield_now().await;
        (0..6).for_each(|n| queue.push(job(&n.to_string())));
        assert!(!queue.is_idle());
        let start = Instant::now();
        let last = readers.join_next().await.expect("a reader").expect("no panic");
        assert!(last > 0 && queue.is_idle());
        assert_eq!(start.elapsed(), Duration::from_secs(4), "three at a time, each table twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_that_has_to_wait_is_in_nobodys_way() {
        let (queue, start) = (Queue::default(), Instant::now());
        queue.push(Job { not_before: start + Duration::from_secs(60), ..job("bad") });
        queue.push(job("good"));
        assert_eq!(queue.next().await.progress.table, "good");
        assert!(!queue.done(None), "the other one is left");
        assert_eq!(queue.next().await.progress.table, "bad");
        assert_eq!(start.elapsed(), Duration::from_secs(60));
        assert!(queue.done(None));
    }
}
