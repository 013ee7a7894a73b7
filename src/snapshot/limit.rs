//! How fast tables may be read: queries, rows and bytes a second, of all readers together. What was read is paid for
//! afterwards, so that no view stays open for the sake of a limit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Snapshot;

/// So much may be read at once after a pause.
const BURST: Duration = Duration::from_secs(1);
/// Bytes of a megabyte, as limits count them.
const MEGABYTE: f64 = 1e6;

/// The limits, and until when what was read so far is paid for. Clones share it.
#[derive(Debug, Clone)]
pub struct Limit {
    qps: f64,
    rps: f64,
    bytes_per_second: f64,
    paid_until: Arc<Mutex<Instant>>,
}

impl Limit {
    /// As the config says; 0 is no limit.
    pub fn new(settings: &Snapshot) -> Self {
        Self {
            qps: settings.qps,
            rps: settings.rps as f64,
            bytes_per_second: settings.mbps * MEGABYTE,
            paid_until: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Most rows of one chunk: a second's worth.
    pub(super) fn rows_max(&self, rows: u32) -> u32 {
        if self.rps > 0.0 { rows.min(self.rps.ceil() as u32).max(1) } else { rows }
    }

    /// Most bytes of one chunk: a second's worth.
    pub(super) fn bytes_max(&self, bytes: usize) -> usize {
        if self.bytes_per_second > 0.0 { bytes.min(self.bytes_per_second.ceil() as usize).max(1) } else { bytes }
    }

    /// Waits until what was read is paid for.
    pub(super) async fn wait(&self) {
        let until = *self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep_until(until).await;
    }

    /// Counts one query and what it brought.
    pub(super) fn took(&self, rows: usize, bytes: usize) {
        let mut until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let from = until.max(now.checked_sub(BURST).unwrap_or(now));
        *until = from + self.cost(rows, bytes);
    }

    /// How long that takes at the limits.
    fn cost(&self, rows: usize, bytes: usize) -> Duration {
        let at = |amount: f64, limit: f64| if limit > 0.0 { amount / limit } else { 0.0 };
        let seconds = at(1.0, self.qps).max(at(rows as f64, self.rps)).max(at(bytes as f64, self.bytes_per_second));
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(Duration::from_secs(3600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(qps: f64, rps: u64, mbps: f64) -> Limit {
        Limit::new(&Snapshot { qps, rps, mbps, ..Snapshot::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn reading_keeps_to_the_slowest_of_its_limits() {
        for (limit, seconds) in [
            (limit(0.0, 0, 0.0), 0.0),
            (limit(2.0, 0, 0.0), 4.5),
            (limit(0.0, 1000, 0.0), 9.0),
            (limit(0.0, 0, 0.5), 19.0),
            (limit(2.0, 1000, 0.5), 19.0),
        ] {
            let start = Instant::now();
            for _ in 0..10 {
                limit.wait().await;
                limit.took(1000, 1_000_000);
            }
            limit.wait().await;
            // What may be read at once is paid with the time before the first.
            let took = start.elapsed().as_secs_f64();
            assert!((seconds - 0.01..=seconds + 1.01).contains(&took), "{limit:?}: {took} s, not {seconds}");
        }
    }

    #[test]
    fn a_chunk_is_a_seconds_worth_at_most() {
        let slow = limit(0.0, 10, 0.001);
        assert_eq!((slow.rows_max(50_000), slow.bytes_max(8 << 20)), (10, 1000));
        let free = limit(5.0, 0, 0.0);
        assert_eq!((free.rows_max(50_000), free.bytes_max(8 << 20)), (50_000, 8 << 20));
    }
}
