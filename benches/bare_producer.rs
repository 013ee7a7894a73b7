//! What Kafka's client alone costs: sends the records of one topic to another, byte for byte with keys and headers,
//! with the settings of our sink, and prints the CPU seconds of that alone. The yardstick of the whole relay.
//!
//! `cargo bench --bench bare_producer -- --brokers HOST:PORT --from TOPIC --to TOPIC`

mod common;

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

fn main() {
    let (Some(brokers), Some(from), Some(to)) =
        (common::argument("brokers"), common::argument("from"), common::argument("to"))
    else {
        eprintln!("bare_producer: run by `ops/bench end_to_end`; wants --brokers, --from and --to");
        return;
    };
    let records = read_all(&brokers, &from);
    let bytes: usize = records.iter().map(|r| r.payload().map_or(0, <[u8]>::len)).sum();
    let wall = Instant::now();
    let (cpu, ()) = common::cpu_of(|| send_all(&brokers, &to, &records));
    common::figure("records", records.len() as f64, "records", None);
    common::figure("value bytes", bytes as f64, "B", None);
    common::figure("cpu", cpu, "s", None);
    common::figure("wall", wall.elapsed().as_secs_f64(), "s", None);
}

/// Every record of the topic up to its end as it is now.
fn read_all(brokers: &str, topic: &str) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer of a running broker");
    let patience = Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(Some(topic), patience).expect("metadata of the topic");
    let partitions = metadata.topics().first().map_or(0, |t| t.partitions().len());
    let mut assignment = TopicPartitionList::new();
    let mut left = 0;
    for partition in 0..i32::try_from(partitions).expect("few partitions") {
        let (low, high) = consumer.fetch_watermarks(topic, partition, patience).expect("watermarks");
        left += usize::try_from(high - low).expect("watermarks rise");
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&assignment).expect("an assignment");
    let mut records = Vec::with_capacity(left);
    while records.len() < left {
        let message = consumer.poll(patience).expect("the topic holds more records").expect("a record");
        records.push(message.detach());
    }
    records
}

fn send_all(brokers: &str, topic: &str, records: &[OwnedMessage]) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "10000")
        .set("queue.buffering.max.messages", "100000")
        .set("queue.buffering.max.kbytes", "65536")
        .set("message.timeout.ms", "0")
        .create()
        .expect("a producer of a running broker");
    for record in records {
        let key = record.key().unwrap_or_default();
        let payload = record.payload().unwrap_or_default();
        let mut next = BaseRecord::<[u8], [u8]>::to(topic).payload(payload).partition(record.partition());
        if record.key().is_some() {
            next = next.key(key);
        }
        if let Some(headers) = record.headers() {
            let copy = headers.iter().fold(OwnedHeaders::new_with_capacity(headers.count()), |all, h| all.insert(h));
            next = next.headers(copy);
        }
        if let Some(time) = record.timestamp().to_millis() {
            next = next.timestamp(time);
        }
        while let Err((error, same)) = producer.send(next) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), "the broker takes records");
            std::thread::sleep(Duration::from_millis(1));
            next = same;
        }
    }
    producer.flush(Duration::from_secs(60)).expect("all acknowledged");
}
