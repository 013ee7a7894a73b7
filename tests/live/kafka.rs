//! A delivery against a real broker: logins, TLS, refusals, outages. Consumed by `kcat`.
//!
//! The log is filled with scripted binlog events, so that the broker is the only other party.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use relay::config::Config;
use relay::delivery::{DeliveryContext, DeliveryError, run};
use relay::failure::{Class, Failure as _};
use relay::log::{ContextWriter, flag, kind};
use relay::metrics::Metrics;
use relay::sink::kafka::Budget;
use relay::status::{DeliveryHandle, State, Status};
use relay_store::{Appender, BlockContext, Commit, EntryHeader, Seq, Store, StoreOptions};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::binlog_rows::{Col, format_description, gtid, image, int, le, query, rows, table_map, text, varchar, xid};
use crate::support::servers::{Servers, own, shared};
use crate::support::{fresh, kafka, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
const UUID: [u8; 16] = *b"relay-live-kafka";
const INSERT: u8 = 30;

/// What a block repeats: here the transaction's number, because the table is always the same.
struct Repeated(i64);

impl BlockContext for Repeated {
    fn write(&self, out: &mut Vec<u8>) {
        let mut writer = ContextWriter::begin(out, 0, &format_description("9.7.4"), "binlog.000001");
        writer.transaction(flag::NO_CHECKSUM, &gtid(UUID, self.0, 1_767_225_930_000_000));
        writer.table_map(flag::NO_CHECKSUM, &orders());
    }
}

fn orders() -> Vec<u8> {
    table_map(9, "shop", "orders", &columns(), true)
}

/// A log that tests append rows to, and one delivery of it.
pub(super) struct Lab {
    runtime: Runtime,
    store: Store,
    appender: Appender,
    transactions: i64,
    status: Status,
    /// Name of the relay.
    pub(super) relay: String,
    /// Lines of the delivery.
    pub(super) delivery: String,
    /// Lines of its Kafka section, and what follows that.
    pub(super) settings: String,
    pub(super) password: Option<String>,
    running: Option<(CancellationToken, JoinHandle<Result<(), DeliveryError>>)>,
    _dir: tempfile::TempDir,
}

fn columns() -> Vec<Col> {
    // Two length bytes: notes of up to 64 KiB.
    vec![int("id", 3, false).key(), varchar("note", 16_000, 255, 4)]
}

impl Lab {
    /// `settings` are those of `[delivery.kafka]`.
    pub(super) fn new(settings: String) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let options = StoreOptions { ballast_bytes: 0, ..StoreOptions::default() };
        let store = Store::open(dir.path(), options).expect("a store");
        let appender = store.appender().expect("the only one");
        Self {
            runtime: Runtime::new().expect("a runtime"),
            store,
            appender,
            transactions: 0,
            status: Status::new(),
            relay: "live".to_owned(),
            delivery: String::new(),
            settings,
            password: None,
            running: None,
            _dir: dir,
        }
    }

    /// One transaction of one row an id; `note` makes the other column.
    pub(super) fn insert(&mut self, ids: std::ops::RangeInclusive<i64>, note: impl Fn(i64) -> String) {
        self.transactions += 1;
        let mut events = vec![gtid(UUID, self.transactions, 1_767_225_930_000_000), query(7, "shop", "BEGIN")];
        events.push(orders());
        for id in ids {
            events.push(rows(INSERT, 9, &columns(), &[image(&[le(id, 4), text(&note(id))])], 1_767_225_930));
        }
        events.push(xid(1));
        for event in events {
            let flags = flag::NO_CHECKSUM;
            let header = EntryHeader { kind: kind::EVENT, flags, source_pos: 4, ..EntryHeader::default() };
            self.appender.append(header, &[&event], &Repeated(self.transactions)).expect("room");
        }
        self.appender.commit(Commit { checkpoint: b"c", commit_time_us: 1, forget_prepared: None });
        self.appender.flush().expect("durable");
    }

    /// The config that it starts with.
    pub(super) fn config(&self) -> Config {
        let text = format!(
            "name = {:?}\n[source]\nurl = \"mysql://r@127.0.0.1:1\"\n[log]\ndir = \"/nonexistent/log\"\n\
             [[delivery]]\nname = \"orders\"\n{}\n[delivery.kafka]\n{}\n",
            self.relay, self.delivery, self.settings
        );
        let password = self.password.clone();
        let environment = move |name: &str| password.clone().filter(|_| name == "RELAY_DELIVERY_ORDERS_PASSWORD");
        Config::parse(&text, Path::new("test"), &environment).expect("a valid config")
    }

    pub(super) fn start(&mut self) {
        let config = self.config();
        let shutdown = CancellationToken::new();
        let context = DeliveryContext {
            relay: self.relay.as_str().into(),
            zone: jiff::tz::TimeZone::UTC,
            budget: Budget::default(),
            config: Arc::new(config.deliveries[0].clone()),
            throttle: tokio::sync::watch::channel(relay::config::Throttle::default()).1,
            store: self.store.clone(),
            status: self.status(),
            metrics: Metrics::new("live", "").delivery("orders"),
            shutdown: shutdown.clone(),
        };
        let task = self.runtime.spawn(run(context));
        self.running = Some((shutdown, task));
    }

    pub(super) fn stop(&mut self) -> Result<(), DeliveryError> {
        let (shutdown, task) = self.running.take().expect("it runs");
        shutdown.cancel();
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, task).await.expect("in time").expect("no panic") })
    }

    /// Waits for the delivery to fail.
    pub(super) fn failure(&mut self) -> DeliveryError {
        let (_, task) = self.running.take().expect("it runs");
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, task).await.expect("in time").expect("no panic") })
            .expect_err("it fails")
    }

    pub(super) fn status(&self) -> DeliveryHandle {
        self.status.delivery("orders")
    }

    pub(super) fn acked(&self) -> Seq {
        self.store.cursors().get("orders").map_or(Seq::ZERO, |cursor| cursor.acked)
    }

    /// Waits until everything in the log is acked.
    #[track_caller]
    pub(super) fn wait_delivered(&mut self) {
        let visible = self.store.positions().visible_seq;
        wait_until("everything is acked", PATIENCE, || {
            self.assert_running();
            (self.acked() == visible).then_some(())
        });
    }

    /// Whether everything in the log is acked before the delivery ends by itself.
    #[track_caller]
    fn delivers_or_ends(&mut self) -> bool {
        let visible = self.store.positions().visible_seq;
        wait_until("everything is acked, or it ends", PATIENCE, || {
            let ended = self.running.as_ref().is_none_or(|(_, task)| task.is_finished());
            (ended || self.acked() == visible).then_some(!ended)
        })
    }

    /// Fails with the delivery's own reason when it ended by itself.
    #[track_caller]
    fn assert_running(&mut self) {
        let ended = self.running.take_if(|(_, task)| task.is_finished());
        if let Some((_, task)) = ended {
            panic!("the delivery ended: {:?}", self.runtime.block_on(task));
        }
    }
}

/// The ids of a topic, in order within each partition.
fn ids(records: &[kafka::Record]) -> BTreeMap<i32, Vec<i64>> {
    let mut by_partition: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for record in records {
        let value: serde_json::Value = serde_json::from_str(&record.value).expect("JSON");
        let id = value["data"][0]["id"].as_str().expect("an id").parse().expect("a number");
        by_partition.entry(record.partition).or_default().push(id);
    }
    by_partition
}

/// Each id once, rising within each partition.
#[track_caller]
pub(super) fn assert_whole(records: &[kafka::Record], expected: std::ops::RangeInclusive<i64>) {
    let by_partition = ids(records);
    for (partition, ids) in &by_partition {
        assert!(ids.is_sorted(), "partition {partition} is out of order");
    }
    let mut all: Vec<i64> = by_partition.into_values().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, expected.collect::<Vec<_>>());
}

/// The same after a fault that may repeat records: what is seen for the first time rises within each partition.
#[track_caller]
fn assert_whole_with_repeats(records: &[kafka::Record], expected: std::ops::RangeInclusive<i64>) {
    let mut all = std::collections::BTreeSet::new();
    for (partition, ids) in ids(records) {
        let mut last = None;
        for id in ids {
            if all.insert(id) {
                assert!(last.is_none_or(|last| last < id), "partition {partition}: {id} came after {last:?}");
                last = Some(id);
            }
        }
    }
    assert!(all.iter().copied().eq(expected), "{} ids arrived", all.len());
}

pub(super) fn topic(servers: &Servers, partitions: u32, configs: &[&str]) -> String {
    let topic = fresh("orders");
    kafka::create_topic(servers, &topic, partitions, configs);
    topic
}

#[test]
fn rows_arrive_in_their_partitions_with_key_headers_and_time() {
    let servers = shared(&["kafka"]);
    let topic = topic(&servers, 3, &[]);
    let mut lab =
        Lab::new(format!("brokers = {:?}\ntopic = {topic:?}\nmessage_key = \"primary_key\"", servers.brokers()));
    lab.insert(1..=500, |id| format!("note {id}"));
    lab.start();
    lab.wait_delivered();
    lab.insert(501..=510, |id| format!("note {id}"));
    lab.wait_delivered();
    lab.stop().expect("in good order");
    let records = kafka::consume(servers.brokers(), &topic);
    assert_whole(&records, 1..=510);
    for record in &records {
        let value: serde_json::Value = serde_json::from_str(&record.value).expect("JSON");
        let id = value["data"][0]["id"].as_str().expect("an id");
        // One key column gives its own hashCode; digits make it small and positive.
        let hash = id.bytes().fold(0i32, |h, b| h.wrapping_mul(31).wrapping_add(i32::from(b)));
        assert_eq!(record.partition, hash % 3, "id {id}");
        assert_eq!(record.key, format!("{{\"id\":\"{id}\"}}"));
        assert_eq!(record.timestamp_ms, 1_767_225_930_000);
        assert_eq!(record.header("relay.table"), Some("shop.orders"));
        assert_eq!(record.header("relay.op"), Some("insert"));
        assert_eq!(record.header("relay.source"), Some("live"));
        assert_eq!(record.header("relay.epoch"), Some("1"));
    }
}

#[test]
fn every_codec_and_every_acks_is_read_by_a_client_nobody_here_wrote() {
    let servers = shared(&["kafka"]);
    let names = ["lz4", "gzip", "snappy", "zstd", "none"];
    for (n, compression) in names.into_iter().enumerate() {
        let topic = topic(&servers, 1, &[]);
        let acks = ["\"all\"", "1", "0"][n % 3];
        let settings = format!("compression = {compression:?}\nacks = {acks}");
        let mut lab = Lab::new(format!("brokers = {:?}\ntopic = {topic:?}\n{settings}", servers.brokers()));
        lab.insert(1..=300, |_| "a note that compresses well".repeat(5));
        lab.start();
        lab.wait_delivered();
        lab.stop().expect("in good order");
        assert_whole(&kafka::consume(servers.brokers(), &topic), 1..=300);
    }
}

#[test]
fn scram_and_plain_log_in_over_plain_text_and_tls() {
    let servers = shared(&["kafka"]);
    let ca = format!("ca_file = {:?}", servers.get("KAFKA_CA"));
    let sasl = |mechanism: &str| format!("sasl_mechanism = {mechanism:?}\nusername = {:?}", servers.get("KAFKA_USER"));
    let cases = [
        ("KAFKA_SASL_BROKERS", format!("security = \"sasl_plaintext\"\n{}", sasl("scram-sha-256"))),
        ("KAFKA_SASL_BROKERS", format!("security = \"sasl_plaintext\"\n{}", sasl("plain"))),
        ("KAFKA_SSL_BROKERS", format!("security = \"ssl\"\n{ca}")),
        ("KAFKA_SASL_SSL_BROKERS", format!("security = \"sasl_ssl\"\n{ca}\n{}", sasl("scram-sha-512"))),
    ];
    for (listener, settings) in cases {
        let topic = topic(&servers, 1, &[]);
        let mut lab = Lab::new(format!("brokers = {:?}\ntopic = {topic:?}\n{settings}", servers.get(listener)));
        lab.password = Some(servers.get("KAFKA_PASSWORD").to_owned());
        lab.insert(1..=20, |_| "x".to_owned());
        lab.start();
        lab.wait_delivered();
        lab.stop().expect("in good order");
        assert_whole(&kafka::consume(servers.brokers(), &topic), 1..=20);
    }
}

#[test]
fn a_refused_login_and_an_unknown_authority_park_with_the_reason() {
    let servers = shared(&["kafka"]);
    let topic = topic(&servers, 1, &[]);
    let login = "security = \"sasl_plaintext\"\nusername = \"relay\"";
    let mut lab = Lab::new(format!("brokers = {:?}\ntopic = {topic:?}\n{login}", servers.get("KAFKA_SASL_BROKERS")));
    lab.password = Some("wrong-canary".to_owned());
    lab.insert(1..=3, |_| "x".to_owned());
    lab.start();
    let error = lab.failure();
    assert_eq!(error.class(), Class::Definite, "{error}");
    assert!(error.to_string().contains("login") && error.next_step().is_some(), "{error}");
    assert!(!format!("{error:?} {error}").contains("canary"), "the password is nobody's business");
    // The right one goes on from the same place.
    lab.password = Some(servers.get("KAFKA_PASSWORD").to_owned());
    lab.start();
    lab.wait_delivered();
    lab.stop().expect("in good order");
    assert_whole(&kafka::consume(servers.brokers(), &topic), 1..=3);

    let tls = "security = \"ssl\"";
    let mut lab = Lab::new(format!("brokers = {:?}\ntopic = {topic:?}\n{tls}", servers.get("KAFKA_SSL_BROKERS")));
    lab.insert(1..=1, |_| "x".to_owned());
    lab.start();
    let error = lab.failure();
    assert_eq!(error.class(), Class::Definite, "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[test]
fn a_missing_topic_parks_and_goes_on_once_it_exists() {
    let servers = shared(&["kafka"]);
    let topic = fresh("orders");
    let mut lab = Lab::new(format!("brokers = {:?}\ntopic = {topic:?}", servers.brokers()));
    lab.insert(1..=5, |_| "x".to_owned());
    lab.start();
    let error = lab.failure();
    assert_eq!(error.class(), Class::Definite, "{error}");
    assert!(error.to_string().contains(&topic), "{error}");
    assert!(error.next_step().expect("a next step").contains("create topic"));
    assert_eq!(lab.acked(), Seq::ZERO);
    kafka::create_topic(&servers, &topic, 2, &[]);
    lab.start();
    lab.wait_delivered();
    lab.stop().expect("in good order");
    assert_whole(&kafka::consume(servers.brokers(), &topic), 1..=5);
}

#[test]
fn a_record_over_the_brokers_limit_parks_and_is_not_overtaken() {
    let servers = shared(&["kafka"]);
    let topic = topic(&servers, 1, &["max.message.bytes=20000"]);
    let mut lab = Lab::new(format!("brokers = {:?}\ntopic = {topic:?}", servers.brokers()));
    // Text that does not compress, so that the broker sees its size.
    let mut state = 1u64;
    let noise: String = (0..40_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + ((state >> 33) % 90) as u8)
        })
        .collect();
    lab.insert(1..=200, |id| if id == 150 { noise.clone() } else { "small".to_owned() });
    lab.start();
    let error = lab.failure();
    assert_eq!(error.class(), Class::Definite, "{error}");
    assert!(error.to_string().contains(&topic), "{error}");
    let acked = lab.acked();
    let before = kafka::consume(servers.brokers(), &topic);
    let delivered = before.len() as i64;
    assert!(delivered < 150, "nothing overtakes the record: {delivered}");
    assert_whole(&before, 1..=delivered);
    assert!(acked.0 <= 3 + delivered as u64, "the ack is not ahead of the topic: {acked}");
    kafka::alter_topic(&servers, &topic, "max.message.bytes=200000");
    // The broker has taken the new limit, and keeps to it a little later.
    wait_until("the broker takes the record", PATIENCE, || {
        lab.start();
        lab.delivers_or_ends().then_some(())
    });
    lab.stop().expect("in good order");
    assert_whole_with_repeats(&kafka::consume(servers.brokers(), &topic), 1..=200);
}

#[test]
fn small_records_reach_a_topic_that_takes_small_batches_only() {
    let servers = shared(&["kafka"]);
    let topic = topic(&servers, 1, &["max.message.bytes=20000"]);
    let mut lab = Lab::new(format!("brokers = {:?}\ntopic = {topic:?}\ncompression = \"none\"", servers.brokers()));
    lab.insert(1..=2000, |id| format!("a note of some length, number {id}"));
    lab.start();
    lab.wait_delivered();
    lab.stop().expect("in good order");
    assert_whole(&kafka::consume(servers.brokers(), &topic), 1..=2000);
}

#[test]
fn heartbeats_reach_an_idle_topic_and_move_no_cursor() {
    let servers = shared(&["kafka"]);
    for delivery in ["at_least_once", "exactly_once"] {
        let topic = topic(&servers, 2, &[]);
        let settings = format!("format = \"dts-avro\"\navro_heartbeat_seconds = 1\ndelivery = {delivery:?}");
        let mut lab = Lab::new(format!("brokers = {:?}\ntopic = {topic:?}\n{settings}", servers.brokers()));
        lab.relay = fresh("relay");
        lab.insert(1..=20, |_| "x".to_owned());
        lab.start();
        lab.wait_delivered();
        let beats = |least: usize| {
            wait_until("heartbeats arrive", PATIENCE, || {
                let records = kafka::consume_hex(servers.brokers(), &topic);
                let count = records.iter().filter(|record| record.header("relay.op") == Some("heartbeat")).count();
                (count >= least).then_some(records)
            })
        };
        let acked = lab.acked();
        beats(2);
        assert_eq!(lab.acked(), acked, "they are of no entry");
        lab.stop().expect("in good order");
        // A life that begins at the end of the log knows the place from there.
        lab.start();
        let before = beats(0).len();
        wait_until("more come", PATIENCE, || (beats(0).len() > before).then_some(()));
        lab.insert(21..=40, |_| "y".to_owned());
        lab.wait_delivered();
        let records = beats(4);
        lab.stop().expect("in good order");
        let rows: Vec<_> = records.iter().filter(|record| record.header("relay.op") == Some("insert")).collect();
        assert_eq!(rows.len(), 40, "{delivery}: each row once");
        for record in records.iter().filter(|record| record.header("relay.op") == Some("heartbeat")) {
            assert_eq!((record.partition, record.header("relay.table")), (0, Some("")));
            let earlier = rows.iter().filter(|row| row.partition == 0 && row.offset < record.offset);
            let seq = |record: &kafka::Record| -> u64 {
                let text = record.header("relay.seq").expect("a seq").split(':').next().expect("seq:row");
                text.parse().expect("a number")
            };
            assert!(earlier.into_iter().all(|row| seq(row) <= seq(record)), "it says what was delivered before it");
        }
    }
}

#[test]
fn a_broker_that_stops_and_comes_back_loses_nothing_and_keeps_the_order() {
    let servers = own("kafka-outage", &["kafka"]);
    let topic = topic(&servers, 3, &[]);
    let mut lab = Lab::new(format!("brokers = {:?}\ntopic = {topic:?}", servers.brokers()));
    lab.insert(1..=1000, |_| "before".to_owned());
    lab.start();
    lab.wait_delivered();
    servers.control(&["stop", "kafka"]);
    let acked = lab.acked();
    for n in 0..20 {
        lab.insert(1001 + n * 500..=1500 + n * 500, |_| "during".repeat(50));
    }
    let status = lab.status();
    wait_until("it says that it waits", PATIENCE, || {
        lab.assert_running();
        (status.state() == State::Retrying).then_some(())
    });
    assert!(status.task().problem().is_some(), "with the reason");
    assert_eq!(lab.acked(), acked, "nothing is acked by a broker that is away");
    servers.control(&["start", "kafka"]);
    lab.wait_delivered();
    wait_until("it runs again", PATIENCE, || (status.state() == State::Running).then_some(()));
    lab.stop().expect("in good order");
    assert_whole(&kafka::consume(servers.brokers(), &topic), 1..=11_000);
}

#[test]
fn a_killed_broker_loses_nothing_and_keeps_the_order() {
    let servers = own("kafka-killed", &["kafka"]);
    let topic = topic(&servers, 2, &[]);
    let mut lab = Lab::new(format!("brokers = {:?}\ntopic = {topic:?}", servers.brokers()));
    lab.start();
    let mut next = 1;
    for round in 0..2 {
        for _ in 0..10 {
            lab.insert(next..=next + 499, |_| format!("round {round}"));
            next += 500;
        }
        servers.control(&["kill", "kafka"]);
        lab.insert(next..=next + 499, |_| "while it is dead".to_owned());
        next += 500;
        servers.control(&["start", "kafka"]);
    }
    lab.wait_delivered();
    lab.stop().expect("in good order");
    assert_whole_with_repeats(&kafka::consume(servers.brokers(), &topic), 1..=next - 1);
}
