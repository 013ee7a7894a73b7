//! The sink against the client library's mock cluster: order, outages, refusals, bounds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use relay_store::{CursorEpoch, Seq};

use super::config::KafkaConfig;
use super::{AskedTopic, Budget, KafkaSink, RecordLimits, TransactionalSink};
use crate::failure::Class;
use crate::sink::batch::tests::batch_to;
use crate::sink::conformance::{Destination, conformance};
use crate::sink::{Ack, Batch, Opening, Sink};

mod oversize;

const TOPIC: &str = "shop.orders";
const PATIENCE: Duration = Duration::from_secs(30);

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(partitions: i32) -> Cluster {
    let cluster = MockCluster::new(1).expect("mock cluster");
    cluster.create_topic(TOPIC, partitions, 1).expect("topic");
    cluster
}

fn sink(cluster: &Cluster, more: &str) -> KafkaSink {
    let text = format!("brokers = {:?}\n{more}", cluster.bootstrap_servers());
    let config: KafkaConfig = toml::from_str(&text).expect("valid config");
    config.validate().expect("valid config");
    let sizes = Arc::new(RecordLimits::new(&config, "shop-prod"));
    KafkaSink::new(config, "shop-prod", &Budget::default(), sizes)
}

/// A record as a consumer sees it.
#[derive(Debug, PartialEq)]
struct Seen {
    partition: i32,
    value: String,
    timestamp: Option<i64>,
    headers: Vec<(String, String)>,
}

/// Everything in the topic, in the order of each partition.
fn consume(cluster: &Cluster, partitions: i32) -> Vec<Seen> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .set("enable.partition.eof", "false")
        .create()
        .expect("consumer");
    let mut list = TopicPartitionList::new();
    let mut expected = 0;
    for partition in 0..partitions {
        list.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("partition");
        let (low, high) = consumer.fetch_watermarks(TOPIC, partition, PATIENCE).expect("watermarks");
        expected += high - low;
    }
    consumer.assign(&list).expect("assign");
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while (seen.len() as i64) < expected {
        assert!(Instant::now() < deadline, "{} of {expected} records came", seen.len());
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("message");
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|h| (h.key.to_owned(), String::from_utf8_lossy(h.value.unwrap_or_default()).into_owned()))
                .collect()
        });
        seen.push(Seen {
            partition: message.partition(),
            value: String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned(),
            timestamp: message.timestamp().to_millis(),
            headers,
        });
    }
    seen
}

/// Values by partition, in order.
fn by_partition(seen: Vec<Seen>) -> BTreeMap<i32, Vec<String>> {
    let mut map: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for record in seen {
        map.entry(record.partition).or_default().push(record.value);
    }
    map
}

fn numbered(first: u64, count: u64) -> Batch {
    let values: Vec<String> = (first..first + count).map(|n| n.to_string()).collect();
    batch_to(TOPIC, first, &values.iter().map(String::as_str).collect::<Vec<_>>())
}

fn assert_in_order(values: &BTreeMap<i32, Vec<String>>, count: u64) {
    let total: usize = values.values().map(Vec::len).sum();
    assert_eq!(total as u64, count, "each record once");
    for (partition, values) in values {
        let numbers: Vec<u64> = values.iter().map(|v| v.parse().expect("a number")).collect();
        assert!(numbers.is_sorted(), "partition {partition} is out of order: {numbers:?}");
    }
}

/// The mock cluster under transactions. It does not hide what was aborted: what consumers see is shown on a real one.
struct Transactional(Cluster);

impl Destination for Transactional {
    type Sink = TransactionalSink;

    fn sink(&self) -> TransactionalSink {
        let config = format!("brokers = {:?}\ndelivery = \"exactly_once\"", self.0.bootstrap_servers());
        let config: KafkaConfig = toml::from_str(&config).expect("valid config");
        let sizes = Arc::new(RecordLimits::new(&config, "mock"));
        TransactionalSink::new(config, "mock", &Budget::default(), sizes)
    }

    fn place(&self) -> &str {
        TOPIC
    }

    fn values(&self) -> Vec<String> {
        self.0.values()
    }
}

mod transactional {
    use super::*;

    /// A topic of positions of its own, and this process no owner of it: each test is a process of its own.
    fn transactional() -> Transactional {
        let cluster = cluster(1);
        let names = super::super::Names::of("mock", "conformance");
        cluster.create_topic(&names.topic, 1, 1).expect("topic");
        Transactional(cluster)
    }

    conformance!(transactional());
}

impl Destination for Cluster {
    type Sink = KafkaSink;

    fn sink(&self) -> KafkaSink {
        sink(self, "")
    }

    fn place(&self) -> &str {
        TOPIC
    }

    fn values(&self) -> Vec<String> {
        consume(self, 1).into_iter().map(|record| record.value).collect()
    }
}

conformance!(cluster(1));

#[tokio::test(flavor = "multi_thread")]
async fn the_partition_is_the_records_own_whatever_the_delivery_has_for_other_tables() {
    for policy in ["zero", "table", "key", "murmur2"] {
        let cluster = cluster(3);
        let mut sink = sink(&cluster, &format!("partition = {policy:?}\nmessage_key = \"table\""));
        sink.open(Opening::new("orders", Seq::ZERO, Vec::new())).await.expect("open");
        // Hashes 1 to 6.
        sink.deliver(&numbered(1, 6)).await.expect("deliver");
        sink.close().await.expect("close");
        let seen = by_partition(consume(&cluster, 3));
        let places: Vec<(i32, Vec<&str>)> =
            seen.iter().map(|(partition, values)| (*partition, values.iter().map(String::as_str).collect())).collect();
        assert_eq!(places, [(0, vec!["3", "6"]), (1, vec!["1", "4"]), (2, vec!["2", "5"])], "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_arrive_once_in_order_with_their_headers_and_are_acked() {
    let cluster = cluster(3);
    let mut sink = sink(&cluster, "");
    let opening = Opening { epoch: CursorEpoch(4), ..Opening::new("orders", Seq::ZERO, Vec::new()) };
    sink.open(opening).await.expect("open");
    let mut state = None;
    for n in 0..20 {
        let ack = sink.deliver(&numbered(1 + n * 100, 100)).await.expect("deliver");
        state = ack.state.or(state);
    }
    let ack = sink.close().await.expect("close");
    assert_eq!(ack.seq, Seq(2000));
    assert_eq!(state.as_deref(), Some(&br#"{"partitions":{"shop.orders":3}}"#[..]));
    let seen = consume(&cluster, 3);
    let first = seen.iter().find(|s| s.value == "1").expect("delivered");
    assert_eq!(first.partition, 1, "its hash is 1");
    assert_eq!(first.timestamp, Some(1_767_225_930_000));
    let headers: Vec<(&str, &str)> = first.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        headers,
        [
            ("relay.seq", "1:0"),
            ("relay.source", "shop-prod"),
            ("relay.epoch", "4"),
            ("relay.gtid", "uuid:7"),
            ("relay.pos", "binlog.000001:4"),
            ("relay.table", "shop.orders"),
            ("relay.op", "insert"),
            ("relay.phase", "stream"),
            ("relay.format", "canal-json"),
        ]
    );
    assert_in_order(&by_partition(seen), 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_headers_asked_for_are_sent() {
    let cluster = cluster(1);
    for (setting, count) in [("headers = false", 0), ("headers = [\"relay.seq\", \"relay.op\"]", 2)] {
        let mut sink = sink(&cluster, setting);
        sink.open(Opening::new("c", Seq::ZERO, Vec::new())).await.expect("open");
        sink.deliver(&numbered(1, 1)).await.expect("deliver");
        sink.close().await.expect("close");
        assert_eq!(consume(&cluster, 1).last().expect("delivered").headers.len(), count, "{setting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_holds_the_delivery_within_bounds_and_loses_nothing() {
    let cluster = cluster(4);
    let mut sink = sink(&cluster, "");
    let opening = Opening::new("c", Seq::ZERO, Vec::new());
    let progress = opening.progress.clone();
    sink.open(opening).await.expect("open");
    sink.deliver(&numbered(1, 1000)).await.expect("deliver");
    cluster.broker_down(1).expect("down");
    // More than the window holds: the sink must make its caller wait.
    let total = 120_000u64;
    let delivering = tokio::spawn(async move {
        let mut next = 1001;
        while next <= total {
            sink.deliver(&numbered(next, 1000)).await.expect("an outage is no failure");
            next += 1000;
        }
        sink
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!delivering.is_finished(), "the window is bounded");
    let acked_down = progress.acked();
    assert!(acked_down.0 <= 1000, "nothing is acked by a broker that is away: {acked_down}");
    assert!(progress.subscribe().borrow().trouble.is_some(), "it says why it waits");
    cluster.broker_up(1).expect("up");
    let mut sink = tokio::time::timeout(PATIENCE, delivering).await.expect("in time").expect("no panic");
    assert_eq!(sink.close().await.expect("close").seq, Seq(total));
    assert_in_order(&by_partition(consume(&cluster, 4)), total);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_are_repeated_in_order_and_without_duplicates() {
    let cluster = cluster(2);
    let mut sink = sink(&cluster, "");
    sink.open(Opening::new("c", Seq::ZERO, Vec::new())).await.expect("open");
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        ],
    );
    for n in 0..50 {
        sink.deliver(&numbered(1 + n * 100, 100)).await.expect("deliver");
    }
    let drained = close_when_acked(&mut sink, Seq(5000)).await;
    assert_eq!(drained.seq, Seq(5000));
    assert_in_order(&by_partition(consume(&cluster, 2)), 5000);
}

/// Repeats the covering of the last seq until it is acked, then closes.
async fn close_when_acked(sink: &mut KafkaSink, seq: Seq) -> Ack {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let nothing = Batch { first: seq, last: seq, ..Batch::default() };
        if sink.deliver(&nothing).await.expect("deliver").seq == seq {
            return sink.close().await.expect("close");
        }
        assert!(Instant::now() < deadline, "not acked in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_past_a_record_that_the_broker_refuses_is_acked_or_overtakes_it() {
    let cluster = cluster(1);
    let mut sink = sink(&cluster, "");
    let opening = Opening::new("c", Seq::ZERO, Vec::new());
    let progress = opening.progress.clone();
    sink.open(opening).await.expect("open");
    sink.deliver(&numbered(1, 10)).await.expect("deliver");
    wait_for(|| progress.acked() == Seq(10)).await;
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let mut failure = None;
    for n in 1..200 {
        if let Err(error) = sink.deliver(&numbered(1 + n * 10, 10)).await {
            failure = Some(error);
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let failure = failure.expect("the refusal comes back");
    assert_eq!(failure.class, Class::Definite, "{failure:?}");
    assert!(failure.reason.contains(TOPIC) && failure.next_step.is_some(), "{failure:?}");
    assert_eq!(progress.acked(), Seq(10));
    sink.close().await.expect_err("it failed");
    assert_eq!(progress.acked(), Seq(10));
    assert_in_order(&by_partition(consume(&cluster, 1)), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_told_at_the_start_or_at_its_first_record() {
    let cluster = cluster(1);
    let mut fixed = sink(&cluster, "topic = \"nowhere\"");
    cluster
        .topic_error("nowhere", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        .expect("the mock creates topics unless told otherwise");
    let error = fixed.open(Opening::new("c", Seq::ZERO, Vec::new())).await.expect_err("missing");
    assert_eq!(error.class, Class::Definite);
    assert!(error.reason.contains("nowhere") && error.next_step.is_some(), "{error:?}");
    let mut template = sink(&cluster, "");
    template.open(Opening::new("c", Seq::ZERO, Vec::new())).await.expect("no topic is known yet");
    let error = template.deliver(&batch_to("nowhere", 1, &["x"])).await.expect_err("missing");
    assert_eq!(error.class, Class::Definite);
    assert_eq!(error.place.map(|p| p.seq), Some(Seq(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_over_our_own_limit_is_named_and_what_came_before_is_acked() {
    let cluster = cluster(1);
    let mut sink = sink(&cluster, "max_record_bytes = \"10KiB\"");
    let opening = Opening::new("c", Seq::ZERO, Vec::new());
    let progress = opening.progress.clone();
    sink.open(opening).await.expect("open");
    let large = "x".repeat(10 << 10);
    let error = sink.deliver(&batch_to(TOPIC, 1, &["a", "b", &large, "c"])).await.expect_err("too large");
    assert_eq!(error.class, Class::Definite);
    let place = error.place.expect("it names the record");
    assert_eq!((place.seq, place.table.as_str()), (Seq(3), "shop.orders"));
    wait_for(|| progress.acked() == Seq(2)).await;
    sink.close().await.expect_err("it failed");
    assert_in_order(&BTreeMap::new(), 0);
    assert_eq!(consume(&cluster, 1).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_fewer_partitions_than_kept_is_refused() {
    let cluster = cluster(2);
    let kept = br#"{"partitions":{"shop.orders":6}}"#.to_vec();
    let mut refused = sink(&cluster, "");
    refused.open(Opening::new("c", Seq::ZERO, kept.clone())).await.expect("no topic is asked for yet");
    let error = refused.deliver(&numbered(1, 1)).await.expect_err("shrunk");
    assert!(error.reason.contains('6') && error.class == Class::Definite, "{error:?}");
    let mut accepted = sink(&cluster, "accept_partition_change = true");
    accepted.open(Opening::new("c", Seq::ZERO, kept)).await.expect("open");
    accepted.deliver(&numbered(1, 1)).await.expect("deliver");
    accepted.close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_looked_at_without_writing_to_it() {
    let cluster = cluster(5);
    let text = format!("brokers = {:?}\ntopic = {TOPIC:?}", cluster.bootstrap_servers());
    let config: KafkaConfig = toml::from_str(&text).expect("valid config");
    let named = config.named_topics().into_iter().map(|topic| topic.name);
    let topics: Vec<_> = named.map(|name| AskedTopic { name, partitions: None }).collect();
    assert_eq!((topics.len(), topics[0].name.as_str()), (1, TOPIC));
    let facts = super::inspect(&config, "c", &topics, PATIENCE).await.expect("it answers");
    assert_eq!((facts[0].topic.as_str(), facts[0].partitions), (TOPIC, Some(5)));
    super::inspect(&config, "c", &[], PATIENCE).await.expect("it answers");
    assert!(consume(&cluster, 5).is_empty());
    cluster.broker_down(1).expect("down");
    let error = super::inspect(&config, "c", &topics, Duration::from_secs(2)).await.expect_err("nobody answers");
    assert_eq!(error.class, Class::Transient, "{error}");
}

async fn wait_for(mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < deadline, "it did not happen in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
