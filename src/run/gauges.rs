//! Gauges that tell the truth of the moment they are read: measured from the store and the tasks' handles when
//! the API is asked, and now and then so that growth is known.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::Daemon;
use super::lag::{Moment, Probe, lag_seconds};
use crate::config::{LaggingCursor, SnapshotMode};
use crate::log::Checkpoint;
use crate::status::{State, TableState, now_us};

/// How often growth is sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(60);
/// Samples kept: the last hour.
const SAMPLES_MAX: usize = 61;

/// What is known of a cursor beyond its state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// Seconds behind the source.
    pub lag_seconds: f64,
    /// Seconds until its undelivered data would leave log and source; absent while nothing grows.
    pub headroom_seconds: Option<f64>,
    /// Visible entries not acknowledged.
    pub lag_entries: u64,
}

/// What measuring remembers between two looks.
pub(crate) struct Memory {
    probe: Mutex<Probe>,
    growth: Mutex<VecDeque<(Instant, u64)>>,
}

impl Memory {
    pub(crate) fn new(store: &relay_store::Store) -> Self {
        Self { probe: Mutex::new(Probe::new(store.reader())), growth: Mutex::new(VecDeque::new()) }
    }

    /// Bytes a second over the samples at hand; `None` while there is none to speak of.
    fn growth_per_second(&self) -> Option<f64> {
        let samples = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        let ((t0, b0), (t1, b1)) = (samples.front()?, samples.back()?);
        let seconds = t1.duration_since(*t0).as_secs_f64();
        let bytes = b1.saturating_sub(*b0);
        (seconds > 0.0 && bytes > 0).then(|| bytes as f64 / seconds)
    }

    fn sample(&self, written_bytes: u64) {
        let mut samples = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back((Instant::now(), written_bytes));
        if samples.len() > SAMPLES_MAX {
            samples.pop_front();
        }
    }
}

/// Samples growth until told to stop.
pub(super) async fn refresh(daemon: Arc<Daemon>, stop: CancellationToken) {
    let mut ticks = interval(SAMPLE_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => daemon.memory().sample(daemon.store().stats().written_bytes),
            () = stop.cancelled() => return,
        }
    }
}

/// Measures every cursor. Reads the log, so it runs off the runtime's threads.
pub async fn measure(daemon: &Arc<Daemon>) -> BTreeMap<String, Measure> {
    let daemon = Arc::clone(daemon);
    let measured = tokio::task::spawn_blocking(move || measure_now(&daemon));
    measured.await.expect("measuring does not panic")
}

fn measure_now(daemon: &Daemon) -> BTreeMap<String, Measure> {
    let capture = daemon.status().capture();
    let visible_seq = daemon.store().positions().visible_seq.0;
    let moment = Moment {
        now_us: now_us(),
        clock_offset_us: capture.clock_offset_us(),
        started_us: daemon.status().started_ms() * 1000,
        end: capture.end().map(|end| (end, end.at.elapsed())),
        visible_seq,
    };
    let growth = daemon.memory().growth_per_second();
    let mut probe = daemon.memory().probe.lock().unwrap_or_else(PoisonError::into_inner);
    let mut measures = BTreeMap::new();
    for cursor in daemon.store().cursors().list() {
        let acked = cursor.acked.0;
        let next_us = probe.next_commit_us(&cursor.name, acked, visible_seq);
        let measure = Measure {
            lag_seconds: lag_seconds(&moment, acked, next_us),
            headroom_seconds: growth.and_then(|rate| headroom(daemon, &cursor, rate)),
            lag_entries: visible_seq.saturating_sub(acked),
        };
        measures.insert(cursor.name, measure);
    }
    measures
}

/// Seconds until what a cursor has not acknowledged would be lost or capture would have to wait, at this growth.
fn headroom(daemon: &Daemon, cursor: &relay_store::CursorState, bytes_per_second: f64) -> Option<f64> {
    let config = daemon.config();
    let limits = &config.log.retention;
    let undelivered: Vec<_> = daemon.store().segments().into_iter().filter(|s| s.last_seq > cursor.acked).collect();
    let held: u64 = undelivered.iter().map(|s| s.bytes).sum();
    let free = free_bytes(&config.log.dir)?.saturating_sub(limits.disk_free_min.0);
    // What is delivered already gives way first, so the whole of it is room too.
    let delivered = daemon.store().stats().bytes.saturating_sub(held);
    let until_floor = (free + delivered) as f64 / bytes_per_second;
    let expires = match cursor.lagging {
        relay_store::Lagging::Expire => true,
        relay_store::Lagging::Hold => false,
        relay_store::Lagging::Log => limits.lagging_cursor == LaggingCursor::Expire,
    };
    if !expires {
        return Some(until_floor);
    }
    let until_size = limits.max_bytes.0.saturating_sub(held) as f64 / bytes_per_second;
    let oldest_ms = undelivered.iter().filter(|s| s.sealed).map(|s| s.sealed_ms).min();
    let until_age = oldest_ms.map_or(f64::INFINITY, |sealed| {
        let age = crate::status::now_ms() as f64 - sealed as f64;
        (limits.max_age.0.as_secs_f64() - age / 1000.0).max(0.0)
    });
    Some(until_floor.min(until_size).min(until_age))
}

/// Bytes of the disk that an unprivileged process may still take.
fn free_bytes(dir: &std::path::Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(dir).ok()?;
    facts.f_bavail.checked_mul(facts.f_frsize)
}

/// Sets the gauges of the copy of tables; none are shown where no table is to be copied.
fn set_snapshot(daemon: &Daemon) {
    let g = daemon.metrics().gauges();
    for family in [&g.snapshot_tables, &g.snapshot_rows, &g.snapshot_bytes, &g.snapshot_estimated_rows] {
        family.clear();
    }
    for family in [&g.snapshot_superseded, &g.snapshot_dropped] {
        family.clear();
    }
    g.snapshot_rate.clear();
    g.snapshot_rest.clear();
    if daemon.config().snapshot.mode == SnapshotMode::Never {
        return;
    }
    let handle = daemon.status().snapshot();
    let tables = handle.tables();
    for state in TableState::ALL {
        let count = tables.iter().filter(|table| table.state == state).count();
        g.snapshot_tables.get_or_create(&vec![("state", state.name().to_owned())]).set(count as i64);
    }
    let view = handle.view();
    for (family, value) in [
        (&g.snapshot_rows, view.rows),
        (&g.snapshot_bytes, view.bytes),
        (&g.snapshot_estimated_rows, view.estimated_rows),
        (&g.snapshot_superseded, view.superseded),
        (&g.snapshot_dropped, view.dropped_chunks),
    ] {
        family.get_or_create(&Vec::new()).set(value as i64);
    }
    g.snapshot_rate.get_or_create(&Vec::new()).set(view.rows_per_second);
    if let Some(rest) = view.rest_seconds {
        g.snapshot_rest.get_or_create(&Vec::new()).set(rest as f64);
    }
}

/// Sets every gauge to what is true now.
pub async fn set(daemon: &Arc<Daemon>) {
    let measures = measure(daemon).await;
    let g = daemon.metrics().gauges();
    let label = |name: &str| vec![("cursor", name.to_owned())];
    // Cursors and positions come and go; what is not there any more must not keep its last value.
    for family in [&g.state, &g.lag_entries, &g.acked_seq, &g.parked_tables, &g.cursor_lost, &g.position] {
        family.clear();
    }
    for family in [&g.lag_seconds, &g.headroom_seconds, &g.throttle_rows, &g.throttle_bytes] {
        family.clear();
    }
    for delivery in &daemon.config().deliveries {
        let throttle = delivery.throttle;
        for (family, rate) in [(&g.throttle_rows, throttle.rps as f64), (&g.throttle_bytes, throttle.mbps * 1e6)] {
            if rate > 0.0 {
                family.get_or_create(&label(&delivery.name)).set(rate);
            }
        }
    }
    for cursor in daemon.store().cursors().list() {
        let label = label(&cursor.name);
        g.acked_seq.get_or_create(&label).set(cursor.acked.0 as i64);
        g.parked_tables.get_or_create(&label).set(cursor.parked.len() as i64);
        g.cursor_lost.get_or_create(&label).set(i64::from(cursor.lost.is_some()));
        if let Some(m) = measures.get(&cursor.name) {
            g.lag_seconds.get_or_create(&label).set(m.lag_seconds);
            g.lag_entries.get_or_create(&label).set(m.lag_entries as i64);
            if let Some(headroom) = m.headroom_seconds {
                g.headroom_seconds.get_or_create(&label).set(headroom);
            }
        }
    }
    let mut states = vec![("capture".to_owned(), daemon.status().capture().state())];
    if daemon.config().snapshot.mode != SnapshotMode::Never {
        states.push(("snapshot".to_owned(), daemon.status().snapshot().task().state()));
    }
    states.extend(daemon.status().deliveries().iter().map(|d| (format!("delivery/{}", d.name()), d.state())));
    for (task, now) in states {
        for state in State::ALL {
            let labels = vec![("task", task.clone()), ("state", state.name().to_owned())];
            g.state.get_or_create(&labels).set(i64::from(state == now));
        }
    }
    set_snapshot(daemon);
    let (positions, stats) = (daemon.store().positions(), daemon.store().stats());
    g.log_bytes.set(stats.bytes as i64);
    g.log_segments.set(stats.segments as i64);
    g.log_first_seq.set(positions.first_seq.0 as i64);
    g.log_visible_seq.set(positions.visible_seq.0 as i64);
    g.log_damage.set(daemon.store().damage().len() as i64);
    g.disk_full.set(i64::from(stats.disk_full.is_some()));
    g.poisoned.set(i64::from(daemon.store().durable().poisoned().is_some()));
    if let Some(Ok(c)) = daemon.store().checkpoint().map(|bytes| Checkpoint::decode(&bytes)) {
        // The set of GTIDs is left out: a label of any length, and of a new value each second, would burden Prometheus.
        let labels = vec![("file", c.file), ("server", c.server)];
        g.position.get_or_create(&labels).set(c.position as i64);
    }
}
