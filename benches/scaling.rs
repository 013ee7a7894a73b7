//! One delivery with one worker and with two: wall seconds from the first read to the last ack, into a sink that
//! discards. The log holds captured row changes, repeated.
//!
//! `--brokers HOST:PORT --topic TOPIC` delivers to Kafka instead, once, and prints CPU per row on standard error: what
//! the delivery costs without capture. `--events N` sets how many row events the log holds at least.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{argument, cpu_seconds, figure};
use relay::binlog::event::EventType;
use relay::config::Config;
use relay::delivery::{DeliveryContext, run};
use relay::log::{ContextWriter, kind};
use relay::metrics::Metrics;
use relay::sink::kafka::Budget;
use relay::status::Status;
use relay_store::{BlockContext, Commit, EntryHeader, Store, StoreOptions};
use tokio_util::sync::CancellationToken;

const CAPTURED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/mysql97/workload.binlog");
/// About two million rows.
const EVENTS: u64 = 100_000;

/// What a block repeats.
#[derive(Default)]
struct Repeated {
    description: Vec<u8>,
    transaction: Vec<u8>,
    maps: Vec<Vec<u8>>,
}

impl BlockContext for Repeated {
    fn write(&self, out: &mut Vec<u8>) {
        let mut writer = ContextWriter::begin(out, 0, &self.description, "mysql-bin.000001");
        if !self.transaction.is_empty() {
            writer.transaction(0, &self.transaction);
        }
        self.maps.iter().for_each(|map| writer.table_map(0, map));
    }
}

fn main() {
    let events: u64 = argument("events").map_or(EVENTS, |n| n.parse().expect("--events takes a number"));
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions { ballast_bytes: 0, ..StoreOptions::default() }).expect("a store");
    fill(&store, events);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match (argument("brokers"), argument("topic")) {
        (Some(brokers), Some(topic)) => {
            let sink = format!("kafka = {{ brokers = {brokers:?}, topic = {topic:?}, ddl_topic = \"off\" }}");
            let one = runtime.block_on(deliver(&store, "kafka", 1, &sink));
            let (cpu, wall) = (one.cpu / one.rows as f64 * 1e6, one.wall.as_secs_f64());
            eprintln!("kafka: {} rows, {cpu:.2} us CPU a row, {wall:.2} s", one.rows);
        }
        _ => {
            for workers in [1, 2] {
                let name = format!("workers-{workers}");
                let done = runtime.block_on(deliver(&store, &name, workers, "file = { path = \"/dev/null\" }"));
                let plural = if workers == 1 { "worker" } else { "workers" };
                figure(&format!("{workers} {plural}"), done.wall.as_secs_f64(), "s", None);
                let cpu = done.cpu / done.rows as f64 * 1e6;
                eprintln!("{workers} {plural}: {} rows, {cpu:.2} us CPU a row", done.rows);
            }
        }
    }
}

/// Appends the captured transactions again and again.
fn fill(store: &Store, events: u64) {
    let file = std::fs::read(CAPTURED).unwrap_or_else(|e| panic!("{CAPTURED}: {e}"));
    let mut appender = store.appender().expect("the only one");
    let mut repeated = Repeated::default();
    let mut filled = 0;
    while filled < events {
        let mut at = 4;
        while let Some(length) = file.get(at + 9..at + 13) {
            let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
            let raw = &file[at..at + length];
            at += length;
            let event_type = EventType(raw[4]);
            match event_type {
                EventType::FORMAT_DESCRIPTION => repeated.description = raw.to_vec(),
                kind if kind.is_mysql_gtid() => {
                    repeated.transaction = raw.to_vec();
                    repeated.maps.clear();
                }
                EventType::TABLE_MAP => repeated.maps.push(raw.to_vec()),
                _ => {}
            }
            let kept = event_type.is_rows()
                || event_type.is_mysql_gtid()
                || matches!(event_type, EventType::TABLE_MAP | EventType::QUERY | EventType::XID);
            if !kept {
                continue;
            }
            let header = EntryHeader { kind: kind::EVENT, flags: 0, source_pos: at as u64, ..EntryHeader::default() };
            appender.append(header, &[raw], &repeated).expect("room");
            filled += u64::from(event_type.is_rows());
            if event_type == EventType::XID {
                appender.commit(Commit { checkpoint: b"bench", commit_time_us: 1, forget_prepared: None });
                appender.submit().expect("a store");
                appender.wait_space().expect("a store");
            }
        }
    }
    appender.flush().expect("durable");
}

struct Done {
    wall: Duration,
    cpu: f64,
    rows: u64,
}

async fn deliver(store: &Store, name: &str, workers: usize, sink: &str) -> Done {
    let text = format!(
        "name = \"bench\"\n[source]\nurl = \"mysql://r@db1\"\n[[delivery]]\nname = \"{name}\"\nworkers = {workers}\n{sink}\n"
    );
    let config = Config::parse(&text, Path::new("bench"), &|_| None).expect("a valid config");
    let shutdown = CancellationToken::new();
    let metrics = Metrics::new("bench", "").delivery(name);
    let context = DeliveryContext {
        relay: "bench".into(),
        zone: jiff::tz::TimeZone::UTC,
        budget: Budget::default(),
        config: Arc::new(config.deliveries[0].clone()),
        throttle: tokio::sync::watch::channel(relay::config::Throttle::default()).1,
        store: store.clone(),
        status: Status::new().delivery(name),
        metrics: metrics.clone(),
        shutdown: shutdown.clone(),
    };
    let (status, goal) = (context.status.clone(), store.positions().visible_seq);
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    let task = tokio::spawn(run(context));
    while status.acked() < goal.0 {
        assert!(!task.is_finished(), "the delivery ended by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let done = Done { wall: wall.elapsed(), cpu: cpu_seconds() - cpu, rows: metrics.rows.get() };
    shutdown.cancel();
    task.await.expect("no panic").expect("in good order");
    done
}
