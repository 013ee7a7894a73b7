//! How fast tables may be read: queries, rows and bytes a second, of all readers together. What was read is paid for
//! afterwards, so that no view stays open for the sake of a limit.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Snapshot;

/// So much may be read at once after a pause.
const BURST: Duration = Duration::from_secs(1);
/// Bytes of a megabyte, as limits count them.
const MEGABYTE: f64 = 1e6;

/// The limits, and until when what was read so far is paid for. Clones share it.
#[derive(Debug, Clone)]
pub struct Limit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<LimitState>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy)]
struct LimitState {
    rates: Rates,
    paid_until: Instant,
}

/// What may be read a second; 0 is no limit.
#[derive(Debug, Clone, Copy)]
struct Rates {
    queries: f64,
    rows: f64,
    bytes: f64,
}

impl Rates {
    fn of(settings: &Snapshot) -> Self {
        Self { queries: settings.qps, rows: settings.rps as f64, bytes: settings.mbps * MEGABYTE }
    }

    /// How long so much takes.
    fn cost(&self, rows: usize, bytes: usize) -> Duration {
        let at = |amount: f64, limit: f64| if limit > 0.0 { amount / limit } else { 0.0 };
        let seconds = at(1.0, self.queries).max(at(rows as f64, self.rows)).max(at(bytes as f64, self.bytes));
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(Duration::from_secs(3600))
    }
}

impl Limit {
    /// As the config says; 0 is no limit.
    pub fn new(settings: &Snapshot) -> Self {
        let state = LimitState { rates: Rates::of(settings), paid_until: Instant::now() };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Takes over what another config says. Nobody goes on waiting for what was read under the old one.
    pub fn set(&self, settings: &Snapshot) {
        let now = Instant::now();
        let mut state = self.lock();
        state.rates = Rates::of(settings);
        state.paid_until = state.paid_until.min(now);
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Most rows of one chunk: a second's worth.
    pub(super) fn rows_max(&self, rows: u32) -> u32 {
        let limit = self.lock().rates.rows;
        if limit > 0.0 { rows.min(limit.ceil() as u32).max(1) } else { rows }
    }

    /// Most bytes of one chunk: a second's worth.
    pub(super) fn bytes_max(&self, bytes: usize) -> usize {
        let limit = self.lock().rates.bytes;
        if limit > 0.0 { bytes.min(limit.ceil() as usize).max(1) } else { bytes }
    }

    /// Waits until what was read is paid for.
    pub(super) async fn wait(&self) {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            let until = self.lock().paid_until;
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                () = changed => {}
            }
        }
    }

    /// Counts one query and what it brought.
    pub(super) fn took(&self, rows: usize, bytes: usize) {
        let mut state = self.lock();
        let now = Instant::now();
        let from = state.paid_until.max(now.checked_sub(BURST).unwrap_or(now));
        state.paid_until = from + state.rates.cost(rows, bytes);
    }

    fn lock(&self) -> MutexGuard<'_, LimitState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_when_the_limit_is_lifted() {
        let slow = limit(0.0, 1, 0.0);
        slow.took(1000, 0);
        let (start, waiting) = (Instant::now(), slow.clone());
        let waits = tokio::spawn(async move { waiting.wait().await });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!waits.is_finished());
        slow.set(&Snapshot { rps: 100, ..Snapshot::default() });
        waits.await.expect("no panic");
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        slow.took(1000, 0);
        slow.wait().await;
        let took = start.elapsed().as_secs_f64();
        assert!((14.0..=15.1).contains(&took), "{took}");
        assert_eq!(slow.rows_max(50_000), 100);
    }
}
