//! From commit to visible in Kafka, at a steady rate; and from a bare producer to a consumer at the same rate.
//!
//! `--mode bare` sends records that carry their send time; `--mode relay` commits rows that carry a number, while a
//! relay delivers them, and looks for each in the topic. Time runs from the moment the commit was acknowledged (or
//! the record was handed to the client) to the moment a consumer in this process has it. One clock, one machine.

mod common;

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const ROWS_PER_COMMIT: u64 = 10;

/// What is measured, in one place: who sends, where, how fast and for how long.
struct Run {
    brokers: String,
    topic: String,
    rows_per_second: u64,
    seconds: u64,
}

fn main() {
    let (Some(mode), Some(brokers), Some(topic)) =
        (common::argument("mode"), common::argument("brokers"), common::argument("topic"))
    else {
        eprintln!("latency: run by `ops/bench latency`; wants --mode, --brokers and --topic");
        return;
    };
    let run = Run { brokers, topic, rows_per_second: 2_000, seconds: 30 };
    let total = run.rows_per_second * run.seconds;
    let seen = consume(&run, total);
    let sent = match mode.as_str() {
        "bare" => send(&run),
        "relay" => commit(&run, &common::argument("mysql").expect("--mysql URL")),
        other => panic!("--mode is bare or relay, not {other}"),
    };
    let seen: HashMap<u64, Instant> = seen.join().expect("the consumer ends");
    // The first second is warm-up: connections, metadata, table plans.
    let mut delays: Vec<f64> = sent
        .iter()
        .filter(|(number, _)| *number >= run.rows_per_second)
        .map(|(number, at)| common::ms(seen[number].saturating_duration_since(*at)))
        .collect();
    common::figure("p50", common::percentile(&mut delays, 0.50), "ms", None);
    common::figure("p99", common::percentile(&mut delays, 0.99), "ms", None);
    common::figure("rows", delays.len() as f64, "rows", None);
}

/// Waits until its turn has come at the steady rate.
fn pace(started: Instant, numbered: u64, per_second: u64) {
    let due = started + Duration::from_micros(numbered * 1_000_000 / per_second);
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}

fn send(run: &Run) -> Vec<(u64, Instant)> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &run.brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .create()
        .expect("a producer");
    let (started, total) = (Instant::now(), run.rows_per_second * run.seconds);
    let mut sent = Vec::new();
    for first in (0..total).step_by(ROWS_PER_COMMIT as usize) {
        pace(started, first, run.rows_per_second);
        for number in first..first + ROWS_PER_COMMIT {
            let payload = format!("{{\"number\":\"{number}\",\"fill\":\"{}\"}}", "x".repeat(480));
            sent.push((number, Instant::now()));
            producer.send(BaseRecord::<(), str>::to(&run.topic).payload(&payload)).map_err(|(e, _)| e).expect("room");
        }
    }
    producer.flush(Duration::from_secs(30)).expect("all acknowledged");
    sent
}

fn commit(run: &Run, url: &str) -> Vec<(u64, Instant)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pool = mysql_async::Pool::new(url);
        let mut connection = pool.get_conn().await.expect("a connection");
        let (started, total) = (Instant::now(), run.rows_per_second * run.seconds);
        let mut sent = Vec::new();
        for first in (0..total).step_by(ROWS_PER_COMMIT as usize) {
            pace(started, first, run.rows_per_second);
            let fill = "x".repeat(100);
            let rows: Vec<String> =
                (first..first + ROWS_PER_COMMIT).map(|number| format!("({number}, '{fill}')")).collect();
            let insert = format!("INSERT INTO latency (number, fill) VALUES {}", rows.join(","));
            connection.query_drop(insert).await.expect("an insert, committed");
            let committed = Instant::now();
            sent.extend((first..first + ROWS_PER_COMMIT).map(|number| (number, committed)));
        }
        drop(connection);
        pool.disconnect().await.expect("a clean end");
        sent
    })
}

/// Notes when each number arrives, in a thread; returns once it is assigned to the topic's end.
fn consume(run: &Run, total: u64) -> std::thread::JoinHandle<HashMap<u64, Instant>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &run.brokers)
        .set("group.id", "bench-latency")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "500")
        .set("fetch.min.bytes", "1")
        .create()
        .expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(&run.topic), Duration::from_secs(10)).expect("metadata");
    let partitions = metadata.topics().first().map_or(0, |t| t.partitions().len());
    let mut assignment = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions).expect("few partitions") {
        let (_, high) =
            consumer.fetch_watermarks(&run.topic, partition, Duration::from_secs(10)).expect("watermarks of the topic");
        assignment.add_partition_offset(&run.topic, partition, Offset::Offset(high)).expect("an offset");
    }
    consumer.assign(&assignment).expect("an assignment");
    let (ready, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        // A first poll starts the fetchers, so that the first record finds a consumer that waits.
        let _ = consumer.poll(Duration::from_millis(500));
        ready.send(()).expect("the sender waits");
        let mut seen = HashMap::new();
        while (seen.len() as u64) < total {
            let message = consumer.poll(Duration::from_secs(60)).expect("records arrive").expect("a record");
            let now = Instant::now();
            let payload = message.payload().unwrap_or_default();
            if let Some(number) = number_in(payload) {
                seen.entry(number).or_insert(now);
            }
        }
        seen
    });
    wait.recv().expect("the consumer is ready");
    thread
}

/// The digits after `"number":"`.
fn number_in(payload: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"number\":\"";
    let at = payload.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let digits = payload[at..].split(|b| *b == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
