//! What waits to be posted, one queue an address: in order, tried again with growing delays, bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Change, Notice, webhook};
use crate::config::Webhook;
use crate::metrics::AlertMetrics;

/// Notices that may wait for one address; beyond it repetitions go first, then the oldest.
const WAITING_MAX: usize = 256;
/// Delays between attempts, doubling from the first to the last.
const DELAY_MIN: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(60);

/// The queues of all addresses. Dropping it ends their posting.
pub struct Outboxes {
    metrics: AlertMetrics,
    open: BTreeMap<Webhook, Outbox>,
}

struct Outbox {
    queue: Arc<Queue>,
    posting: JoinHandle<()>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<Arc<Notice>>>,
    filled: Notify,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Arc<Notice>>> {
        // Only whole notices are pushed and popped.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a notice; how many had to go for it.
    fn push(&self, notice: Notice) -> u64 {
        let mut waiting = self.waiting();
        let repeats = notice.change == Change::Lasting;
        if repeats && waiting.iter().any(|other| other.is_about_the_same(&notice)) {
            // What waits says as much.
            return 0;
        }
        let mut dropped = 0;
        if waiting.len() >= WAITING_MAX {
            let at = waiting.iter().position(|other| other.change == Change::Lasting).unwrap_or(0);
            waiting.remove(at);
            dropped = 1;
        }
        waiting.push_back(Arc::new(notice));
        drop(waiting);
        self.filled.notify_one();
        dropped
    }

    /// Takes out a notice that arrived, unless it had to go meanwhile.
    fn remove(&self, notice: &Arc<Notice>) {
        self.waiting().retain(|other| !Arc::ptr_eq(other, notice));
    }
}

impl Outboxes {
    /// None yet.
    pub fn new(metrics: AlertMetrics) -> Self {
        Self { metrics, open: BTreeMap::new() }
    }

    /// Hands a notice over; posted as soon as those before it are.
    pub fn send(&mut self, to: &Webhook, notice: Notice) {
        let outbox = self.open.entry(to.clone()).or_insert_with(|| {
            let queue = Arc::<Queue>::default();
            let posting = tokio::spawn(post_all(to.clone(), Arc::clone(&queue), self.metrics.clone()));
            Outbox { queue, posting }
        });
        self.metrics.dropped.inc_by(outbox.queue.push(notice));
    }

    /// Gives up what waits for addresses that are no longer used.
    pub fn keep(&mut self, used: &BTreeSet<Webhook>) {
        self.open.retain(|to, outbox| {
            if !used.contains(to) {
                outbox.posting.abort();
                self.metrics.dropped.inc_by(outbox.queue.waiting().len() as u64);
            }
            used.contains(to)
        });
    }

    /// How many wait, over all addresses.
    pub fn waiting(&self) -> usize {
        self.open.values().map(|outbox| outbox.queue.waiting().len()).sum()
    }
}

impl Drop for Outboxes {
    fn drop(&mut self) {
        self.open.values().for_each(|outbox| outbox.posting.abort());
    }
}

/// Posts what waits, the oldest first, each until it has arrived.
async fn post_all(to: Webhook, queue: Arc<Queue>, metrics: AlertMetrics) {
    let mut failures = 0;
    loop {
        let next = queue.waiting().front().cloned();
        let Some(notice) = next else {
            queue.filled.notified().await;
            continue;
        };
        let body = serde_json::to_vec(&*notice).expect("a notice has a form in JSON");
        match webhook::post(&to, body).await {
            Ok(()) => {
                metrics.posted.inc();
                queue.remove(&notice);
                failures = 0;
            }
            Err(error) => {
                metrics.failed.inc();
                // Once for each outage; the metric counts the rest.
                if failures == 0 {
                    tracing::warn!(alert = notice.alert.name(), %error, "alert not posted; it is tried again");
                }
                failures += 1;
                tokio::time::sleep(delay(failures, rand::random())).await;
            }
        }
    }
}

/// Half of the doubled delay is certain, the other half drawn.
fn delay(failures: u32, jitter: f64) -> Duration {
    let full = (DELAY_MIN * (1 << failures.saturating_sub(1).min(6))).min(DELAY_MAX);
    full.mul_f64(0.5 + 0.5 * jitter)
}

#[cfg(test)]
mod tests;
