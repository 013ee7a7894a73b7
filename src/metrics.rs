//! Every metric: its name, labels and unit, registered once. Counters belong to the tasks that count; gauges
//! are set when someone asks ([`Gauges`]), so that they tell the truth of that moment, also when nothing moves.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::status::exceptions::Fate;

type Labels = Vec<(&'static str, String)>;
type CounterFamily = Family<Labels, Counter>;
type SecondsFamily = Family<Labels, Counter<f64, AtomicU64>>;
type IntFamily = Family<Labels, Gauge>;
type FloatFamily = Family<Labels, Gauge<f64, AtomicU64>>;
type HistogramFamily = Family<Labels, Histogram, fn() -> Histogram>;

/// What capture counts. Clones count into the same.
#[derive(Debug, Clone)]
pub struct CaptureMetrics {
    /// Transactions that entered the log.
    pub transactions: Counter,
    /// Transactions of which nothing was selected.
    pub unselected: Counter,
    /// Events received, of every type.
    pub events: Counter,
    /// Bytes received from the server.
    pub bytes: Counter,
    /// Transactions that were cut off and abandoned.
    pub abandoned: Counter,
    /// Heartbeats written to the source's heartbeat table.
    pub heartbeats: Counter,
    /// Times that this failed.
    pub heartbeat_failures: Counter,
    /// Lives of the capture task that ended in a failure.
    pub failures: Counter,
    /// From the receipt of a commit event until it is durable, in seconds; of one commit at a time, so that a busy stream
    /// is sampled.
    pub commit_latency: Histogram,
}

/// What a delivery counts. Clones count into the same.
#[derive(Debug, Clone)]
pub struct DeliveryMetrics {
    /// Source transactions acknowledged.
    pub transactions: Counter,
    /// Row changes acknowledged.
    pub rows: Counter,
    /// Records acknowledged; more than rows when one row becomes several.
    pub records: Counter,
    /// Bytes of records acknowledged, before compression.
    pub bytes: Counter,
    /// Records the sink had to be given again.
    pub resent: Counter,
    /// Rows kept back because their table is parked.
    pub parked_rows: Counter,
    /// Texts with bytes that their character set does not have, replaced on the way; also of what is sent again.
    pub bad_text: Counter,
    /// Values and conditions of the script that failed, whatever became of them; also of what is sent again.
    pub etl_errors: Counter,
    /// Rows that did not leave as they are, by the number of their [`Fate`]; also of what is sent again.
    pub exceptions: [Counter; Fate::ALL.len()],
    /// Seconds waited because of the throttle.
    pub throttled: Counter<f64, AtomicU64>,
    /// Lives of the delivery that ended in a failure.
    pub failures: Counter,
    /// From the source's commit until the sink's ack, in seconds.
    pub latency: Histogram,
}

/// What posting alerts counts. Clones count into the same.
#[derive(Debug, Clone, Default)]
pub struct AlertMetrics {
    /// Notices that arrived.
    pub posted: Counter,
    /// Attempts that failed.
    pub failed: Counter,
    /// Notices given up, because too many waited or their address left the config.
    pub dropped: Counter,
    /// Notices that wait to be posted.
    pub waiting: Gauge,
    raised: IntFamily,
}

impl AlertMetrics {
    /// Says how many alerts are raised now, by task and kind; all others are not.
    pub fn set_raised(&self, raised: impl IntoIterator<Item = (String, &'static str, usize)>) {
        self.raised.clear();
        for (task, alert, count) in raised {
            let labels = vec![("task", task), ("alert", alert.to_owned())];
            self.raised.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

/// Gauges, set just before they are read.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// 1 for the state each task is in.
    pub state: IntFamily,
    /// How far a cursor is behind the source.
    pub lag_seconds: FloatFamily,
    /// Visible entries that a cursor has not acknowledged.
    pub lag_entries: IntFamily,
    /// Until undelivered data would leave log and source; absent while nothing grows.
    pub headroom_seconds: FloatFamily,
    /// What a delivery may write a second, where it is limited: rows, and bytes.
    pub throttle_rows: FloatFamily,
    /// See `throttle_rows`.
    pub throttle_bytes: FloatFamily,
    /// Last seq acknowledged.
    pub acked_seq: IntFamily,
    /// Tables parked.
    pub parked_tables: IntFamily,
    /// 1 for a cursor whose next entry is gone.
    pub cursor_lost: IntFamily,
    /// Bytes of the log on disk.
    pub log_bytes: Gauge,
    /// Segment files.
    pub log_segments: Gauge,
    /// First seq the log holds.
    pub log_first_seq: Gauge,
    /// Last seq that deliveries may read.
    pub log_visible_seq: Gauge,
    /// Damaged ranges of the log that are known.
    pub log_damage: Gauge,
    /// 1 while the disk is full and capture waits.
    pub disk_full: Gauge,
    /// 1 after a failed sync.
    pub poisoned: Gauge,
    /// The position up to which the log is durable, as labels.
    pub position: IntFamily,
    /// Tables of the copy, by their state. All of these are absent where no table is to be copied.
    pub snapshot_tables: IntFamily,
    /// Rows read of all of them.
    pub snapshot_rows: IntFamily,
    /// Bytes of their images.
    pub snapshot_bytes: IntFamily,
    /// Rows that the source believes them to have.
    pub snapshot_estimated_rows: IntFamily,
    /// Rows that enter the log a second.
    pub snapshot_rate: FloatFamily,
    /// Until all of them did; absent while nothing moves.
    pub snapshot_rest: FloatFamily,
    /// Rows that the stream had newer.
    pub snapshot_superseded: IntFamily,
    /// Chunks read in vain.
    pub snapshot_dropped: IntFamily,
}

/// The registry and all families.
pub struct Metrics {
    registry: Registry,
    capture: CaptureMetrics,
    delivery: DeliveryFamilies,
    alerts: AlertMetrics,
    gauges: Gauges,
}

struct DeliveryFamilies {
    transactions: CounterFamily,
    rows: CounterFamily,
    records: CounterFamily,
    bytes: CounterFamily,
    resent: CounterFamily,
    parked_rows: CounterFamily,
    bad_text: CounterFamily,
    etl_errors: CounterFamily,
    exceptions: CounterFamily,
    throttled: SecondsFamily,
    failures: CounterFamily,
    latency: HistogramFamily,
}

/// 1 ms to 65 s, doubling.
fn latency_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

fn cursor_label(name: &str) -> Labels {
    vec![("cursor", name.to_owned())]
}

impl Metrics {
    /// Registers everything under the labels of this relay.
    pub fn new(name: &str, environment: &str) -> Self {
        let mut labels = vec![("relay".into(), name.to_owned().into())];
        if !environment.is_empty() {
            labels.push(("environment".into(), environment.to_owned().into()));
        }
        let mut root = Registry::with_prefix_and_labels("relay", labels.into_iter());
        let capture = register_capture(&mut root);
        let delivery = register_delivery(&mut root);
        let alerts = register_alerts(&mut root);
        let gauges = register_gauges(&mut root);
        Self { registry: root, capture, delivery, alerts, gauges }
    }

    /// Capture's counters.
    pub fn capture(&self) -> CaptureMetrics {
        self.capture.clone()
    }

    /// The counters of one delivery.
    pub fn delivery(&self, name: &str) -> DeliveryMetrics {
        let label = cursor_label(name);
        let f = &self.delivery;
        DeliveryMetrics {
            transactions: f.transactions.get_or_create(&label).clone(),
            rows: f.rows.get_or_create(&label).clone(),
            records: f.records.get_or_create(&label).clone(),
            bytes: f.bytes.get_or_create(&label).clone(),
            resent: f.resent.get_or_create(&label).clone(),
            parked_rows: f.parked_rows.get_or_create(&label).clone(),
            bad_text: f.bad_text.get_or_create(&label).clone(),
            etl_errors: f.etl_errors.get_or_create(&label).clone(),
            exceptions: Fate::ALL.map(|fate| {
                let labels = vec![("cursor", name.to_owned()), ("fate", fate.name().to_owned())];
                f.exceptions.get_or_create(&labels).clone()
            }),
            throttled: f.throttled.get_or_create(&label).clone(),
            failures: f.failures.get_or_create(&label).clone(),
            latency: f.latency.get_or_create(&label).clone(),
        }
    }

    /// What posting alerts counts.
    pub fn alerts(&self) -> AlertMetrics {
        self.alerts.clone()
    }

    /// The gauges, for whoever knows their values.
    pub fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    /// The text form that Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes any text");
        text
    }
}

fn register_capture(root: &mut Registry) -> CaptureMetrics {
    let m = CaptureMetrics {
        transactions: Counter::default(),
        unselected: Counter::default(),
        events: Counter::default(),
        bytes: Counter::default(),
        abandoned: Counter::default(),
        heartbeats: Counter::default(),
        heartbeat_failures: Counter::default(),
        failures: Counter::default(),
        commit_latency: latency_histogram(),
    };
    let r = root.sub_registry_with_prefix("capture");
    r.register("transactions", "Transactions that entered the log", m.transactions.clone());
    r.register("unselected_transactions", "Transactions of which nothing was selected", m.unselected.clone());
    r.register("events", "Events received from the server", m.events.clone());
    r.register_with_unit("received", "Bytes received from the server", Unit::Bytes, m.bytes.clone());
    r.register("abandoned_transactions", "Transactions cut off and abandoned in the log", m.abandoned.clone());
    r.register("heartbeats", "Rows written to the source's heartbeat table", m.heartbeats.clone());
    let help = "Times that the source's heartbeat table could not be written";
    r.register("heartbeat_failures", help, m.heartbeat_failures.clone());
    r.register("failures", "Failures that ended a life of capture", m.failures.clone());
    let help = "From the receipt of a commit until it is durable, sampled one at a time";
    r.register_with_unit("commit_latency", help, Unit::Seconds, m.commit_latency.clone());
    m
}

fn register_delivery(root: &mut Registry) -> DeliveryFamilies {
    let f = DeliveryFamilies {
        transactions: Family::default(),
        rows: Family::default(),
        records: Family::default(),
        bytes: Family::default(),
        resent: Family::default(),
        parked_rows: Family::default(),
        bad_text: Family::default(),
        etl_errors: Family::default(),
        exceptions: Family::default(),
        throttled: Family::default(),
        failures: Family::default(),
        latency: Family::new_with_constructor(latency_histogram),
    };
    let r = root.sub_registry_with_prefix("delivery");
    r.register("transactions", "Source transactions acknowledged", f.transactions.clone());
    r.register("rows", "Row changes acknowledged", f.rows.clone());
    r.register("records", "Records acknowledged", f.records.clone());
    r.register_with_unit("sent", "Bytes of records acknowledged", Unit::Bytes, f.bytes.clone());
    r.register("resent_records", "Records that were sent again", f.resent.clone());
    r.register("etl_errors", "Values and conditions of the script that failed", f.etl_errors.clone());
    let help =
        "Rows skipped, truncated, cut to their key or sent to the dead letters, because of their size or the script";
    r.register("exceptions", help, f.exceptions.clone());
    r.register("parked_rows", "Rows kept back for a parked table", f.parked_rows.clone());
    r.register(
        "bad_text",
        "Texts of which bytes were replaced, because their character set lacks them",
        f.bad_text.clone(),
    );
    r.register_with_unit("throttled", "Waited because of the throttle", Unit::Seconds, f.throttled.clone());
    r.register("failures", "Failures that ended a life of a delivery", f.failures.clone());
    let help = "From the source's commit until the sink's ack";
    r.register_with_unit("latency", help, Unit::Seconds, f.latency.clone());
    f
}

fn register_alerts(root: &mut Registry) -> AlertMetrics {
    let m = AlertMetrics::default();
    let r = root.sub_registry_with_prefix("alert");
    r.register("posts", "Notices that a webhook took", m.posted.clone());
    r.register("post_failures", "Attempts to post a notice that failed", m.failed.clone());
    r.register("dropped", "Notices given up: too many waited, or their address left the config", m.dropped.clone());
    r.register("waiting", "Notices that wait to be posted", m.waiting.clone());
    r.register("raised", "Alerts raised now, of a task, where a webhook is set", m.raised.clone());
    m
}

fn register_gauges(r: &mut Registry) -> Gauges {
    let g = Gauges::default();
    r.register("state", "1 for the state a task is in", g.state.clone());
    let help = "How far a cursor is behind the source, by the source's clock";
    r.register_with_unit("lag", help, Unit::Seconds, g.lag_seconds.clone());
    r.register("lag_entries", "Visible entries a cursor has not acknowledged", g.lag_entries.clone());
    let help = "Until undelivered data would leave log and source";
    r.register_with_unit("headroom", help, Unit::Seconds, g.headroom_seconds.clone());
    let help = "Rows a second that a delivery may write, where that is limited";
    r.register("throttle_rows_per_second", help, g.throttle_rows.clone());
    let help = "Bytes a second that a delivery may write, where that is limited";
    r.register("throttle_bytes_per_second", help, g.throttle_bytes.clone());
    r.register("acked_seq", "Last seq a cursor acknowledged", g.acked_seq.clone());
    r.register("parked_tables", "Tables parked on a cursor", g.parked_tables.clone());
    r.register("cursor_lost", "1 when a cursor's next entry is gone", g.cursor_lost.clone());
    r.register_with_unit("log", "Size of the log on disk", Unit::Bytes, g.log_bytes.clone());
    r.register("log_segments", "Segment files of the log", g.log_segments.clone());
    r.register("log_first_seq", "First seq the log holds", g.log_first_seq.clone());
    r.register("log_visible_seq", "Last seq that deliveries may read", g.log_visible_seq.clone());
    r.register("log_damaged_ranges", "Damaged ranges of the log that are known", g.log_damage.clone());
    r.register("log_disk_full", "1 while the disk is full and capture waits", g.disk_full.clone());
    r.register("log_poisoned", "1 after a failed sync", g.poisoned.clone());
    r.register("snapshot_tables", "Tables of the copy, by what becomes of them", g.snapshot_tables.clone());
    r.register("snapshot_rows", "Rows that were read of the tables of the copy", g.snapshot_rows.clone());
    let help = "Images of the rows that were read of the tables of the copy";
    r.register_with_unit("snapshot", help, Unit::Bytes, g.snapshot_bytes.clone());
    let help = "Rows that the source believes the tables of the copy to have";
    r.register("snapshot_estimated_rows", help, g.snapshot_estimated_rows.clone());
    let help = "Rows of the copy that enter the log a second, over the last half minute";
    r.register("snapshot_rows_per_second", help, g.snapshot_rate.clone());
    let help = "Until the copy is done, at the rate of the last half minute";
    r.register_with_unit("snapshot_rest", help, Unit::Seconds, g.snapshot_rest.clone());
    let help = "Rows of the copy that the stream had newer, in this life of the relay";
    r.register("snapshot_superseded_rows", help, g.snapshot_superseded.clone());
    let help = "Chunks of the copy that were read in vain, in this life of the relay";
    r.register("snapshot_dropped_chunks", help, g.snapshot_dropped.clone());
    r.register("capture_position_info", "Up to where the log holds the source, as labels", g.position.clone());
    g
}

/// Shared by the tasks and the API.
pub type SharedMetrics = Arc<Metrics>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_text_format_and_carry_the_relays_labels() {
        let metrics = Metrics::new("shop", "test");
        metrics.capture().transactions.inc();
        metrics.delivery("orders").rows.inc_by(3);
        metrics.delivery("orders").latency.observe(0.02);
        metrics.gauges().lag_seconds.get_or_create(&cursor_label("orders")).set(1.5);
        metrics.gauges().log_bytes.set(7);
        let text = metrics.encode();
        for line in [
            "relay_capture_transactions_total{relay=\"shop\",environment=\"test\"} 1",
            "relay_delivery_rows_total{relay=\"shop\",environment=\"test\",cursor=\"orders\"} 3",
            "relay_lag_seconds{relay=\"shop\",environment=\"test\",cursor=\"orders\"} 1.5",
            "relay_log_bytes{relay=\"shop\",environment=\"test\"} 7",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
