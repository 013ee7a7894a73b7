//! Holds a delivery to its rates: token buckets for rows and bytes, apart for the stream and for the initial copy.
//! Waiting is part of handing over, so acks, resets, pauses and the end of the delivery go on meanwhile.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::parts::{Parts, Weight};
use crate::config;
use crate::metrics::DeliveryMetrics;
use crate::sink::{Batch, Operation};
use crate::status::DeliveryHandle;

/// Batches are cut to what their rate allows in this time, so that a limit is even over a second too.
const SLICE: f64 = 0.05;

/// Tokens that come at a rate. It holds one second's worth at most, and none at first. Pure.
#[derive(Debug)]
struct Bucket {
    /// A second; 0: no limit.
    rate: f64,
    level: f64,
    filled: Instant,
}

impl Bucket {
    fn new(rate: f64, now: Instant) -> Self {
        Self { rate, level: 0.0, filled: now }
    }

    fn fill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = (self.level + seconds * self.rate).min(self.rate);
        self.filled = now;
    }

    /// From now on at another rate; what was saved up, or is owed, counts for as much time as before.
    fn set_rate(&mut self, rate: f64, now: Instant) {
        self.fill(now);
        self.level = if self.rate > 0.0 { self.level / self.rate * rate } else { 0.0 };
        self.rate = rate;
    }

    /// How long to wait until `cost` may go. What costs more than a second's worth goes when the bucket is full, and is
    /// owed afterwards.
    fn wait(&mut self, cost: f64, now: Instant) -> Duration {
        if self.rate <= 0.0 || cost <= 0.0 {
            return Duration::ZERO;
        }
        self.fill(now);
        let lacking = cost.min(self.rate) - self.level;
        // Rounding must not make a wait of nothing at all.
        if lacking <= cost * 1e-9 { Duration::ZERO } else { Duration::from_secs_f64(lacking / self.rate) }
    }

    fn take(&mut self, cost: f64) {
        if self.rate > 0.0 {
            self.level -= cost;
        }
    }
}

/// Rows and bytes of one kind of record.
#[derive(Debug)]
struct Pair {
    rows: Bucket,
    bytes: Bucket,
}

impl Pair {
    fn new(rows: u64, megabytes: f64, now: Instant) -> Self {
        Self { rows: Bucket::new(rows as f64, now), bytes: Bucket::new(megabytes * 1e6, now) }
    }

    fn set(&mut self, rows: u64, megabytes: f64, now: Instant) {
        self.rows.set_rate(rows as f64, now);
        self.bytes.set_rate(megabytes * 1e6, now);
    }

    fn is_off(&self) -> bool {
        self.rows.rate <= 0.0 && self.bytes.rate <= 0.0
    }

    /// Whether this much is more than a slice; a single row never is.
    fn is_full(&self, weight: Weight) -> bool {
        let over = |bucket: &Bucket, amount: u64| bucket.rate > 0.0 && amount as f64 > (bucket.rate * SLICE).max(1.0);
        over(&self.rows, weight.rows) || over(&self.bytes, weight.bytes)
    }

    fn wait(&mut self, weight: Weight, now: Instant) -> Duration {
        self.rows.wait(weight.rows as f64, now).max(self.bytes.wait(weight.bytes as f64, now))
    }

    fn take(&mut self, weight: Weight) {
        self.rows.take(weight.rows as f64);
        self.bytes.take(weight.bytes as f64);
    }
}

/// What some records count for, by kind.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    stream: Weight,
    snapshot: Weight,
}

/// See the module.
pub(super) struct Throttle {
    limits: watch::Receiver<config::Throttle>,
    stream: Pair,
    snapshot: Pair,
}

impl Throttle {
    pub(super) fn new(mut limits: watch::Receiver<config::Throttle>) -> Self {
        let (limit, now) = (*limits.borrow_and_update(), Instant::now());
        let stream = Pair::new(limit.rps, limit.mbps, now);
        Self { limits, stream, snapshot: Pair::new(limit.snapshot_rps, limit.snapshot_mbps, now) }
    }

    /// As much of the batch as may go now, once it may; none when all of it went. Without limits that is the whole; once
    /// the life is `ending`, the rest of an entry.
    pub(super) async fn next(
        &mut self,
        parts: &mut Parts,
        ending: &CancellationToken,
        status: &DeliveryHandle,
        metrics: &DeliveryMetrics,
    ) -> Option<Batch> {
        if parts.is_done() {
            return None;
        }
        loop {
            if self.limits.has_changed().unwrap_or(false) {
                self.set_limits();
            }
            if ending.is_cancelled() {
                return Some(parts.take(parts.to_entry_end()));
            }
            if self.stream.is_off() && self.snapshot.is_off() {
                return Some(parts.take(usize::MAX));
            }
            let (count, load) = self.slice(parts);
            let now = Instant::now();
            let wait = self.stream.wait(load.stream, now).max(self.snapshot.wait(load.snapshot, now));
            if wait.is_zero() {
                self.stream.take(load.stream);
                self.snapshot.take(load.snapshot);
                return Some(parts.take(count));
            }
            status.set_throttled_for(wait);
            tokio::select! {
                () = sleep_until(now + wait) => {}
                // Without a sender the limits are what they are.
                Ok(()) = self.limits.changed() => self.set_limits(),
                () = ending.cancelled() => {}
            }
            metrics.throttled.inc_by(now.elapsed().as_secs_f64());
        }
    }

    fn set_limits(&mut self) {
        let (limit, now) = (*self.limits.borrow_and_update(), Instant::now());
        self.stream.set(limit.rps, limit.mbps, now);
        self.snapshot.set(limit.snapshot_rps, limit.snapshot_mbps, now);
    }

    /// How many of the records at hand make a slice, and what they count for.
    fn slice(&self, parts: &Parts) -> (usize, Load) {
        let mut load = Load::default();
        let mut count = 0;
        for record in parts.left() {
            let mut with = load;
            let of = if record.operation == Operation::Snapshot { &mut with.snapshot } else { &mut with.stream };
            *of += Weight::of(record);
            if count > 0 && (self.stream.is_full(with.stream) || self.snapshot.is_full(with.snapshot)) {
                break;
            }
            load = with;
            count += 1;
        }
        (count, load)
    }
}

#[cfg(test)]
mod tests;
