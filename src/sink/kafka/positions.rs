//! Reading and keeping positions in Kafka: the last committed record of a key, and the topic that holds it.

use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::config::KafkaConfig;
use super::position::PARTITION;
use super::topic_admin::{Creation, TopicAdmin};
use crate::sink::{Refusal, SinkError};

/// How long one reading may take before it counts as unanswered.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often an open transaction is looked at that ends before the partition's end is readable.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Offsets looked at first, from the end; so many times more with each further look.
const SPAN: i64 = 64;
const SPAN_GROWTH: i64 = 32;
/// Compaction leaves the newest segment alone, and what it leaves may have to be read at a start.
const SEGMENT_BYTES: &str = "16777216";

/// Reads the last committed values of keys; none for one that is not there or was deleted. Blocks for some seconds.
///
/// With `whole` everything written until now counts: it waits for a transaction that is still open on the partition.
/// Without, what can be read now is enough.
///
/// # Errors
/// Transient when the cluster does not answer in time, definite when it refuses.
pub(super) fn read(
    config: &KafkaConfig,
    cursor: &str,
    topic: &str,
    keys: &[String],
    whole: bool,
) -> Result<Vec<Option<Vec<u8>>>, SinkError> {
    let deadline = Instant::now() + TIMEOUT;
    let committed = consumer(config, cursor, "read_committed")?;
    let written = match whole {
        true => watermarks(&consumer(config, cursor, "read_uncommitted")?, topic)?.1,
        false => 0,
    };
    let (low, end) = loop {
        let (low, end) = watermarks(&committed, topic)?;
        if end >= written {
            break (low, end);
        }
        if Instant::now() >= deadline {
            return Err(SinkError::transient(format!("a transaction is still open on topic {topic}")));
        }
        std::thread::sleep(LOOK_PAUSE);
    };
    let (mut span, mut found) = (SPAN, vec![None; keys.len()]);
    loop {
        let from = low.max(end.saturating_sub(span));
        if from < end {
            found = scan(&committed, topic, from..end, keys, deadline)?;
        }
        if from == low || found.iter().all(Option::is_some) {
            return Ok(found.into_iter().map(Option::flatten).collect());
        }
        span = span.saturating_mul(SPAN_GROWTH);
    }
}

type Reader = BaseConsumer<Quiet>;

/// What the client says of its connections is no news: a question without an answer is asked again.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "kafka client: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "kafka client: {reason}");
    }
}

impl ConsumerContext for Quiet {}

fn consumer(config: &KafkaConfig, cursor: &str, isolation: &str) -> Result<Reader, SinkError> {
    let mut client = ClientConfig::new();
    client.extend(super::settings::connection_settings(config, cursor));
    // The client library asks for a group's name; nothing joins or commits to it.
    client.set("group.id", format!("relay-{cursor}")).set("enable.auto.commit", "false");
    client.set("isolation.level", isolation).set("enable.partition.eof", "true");
    client.set("auto.offset.reset", "earliest").set("allow.auto.create.topics", "false");
    client
        .create_with_context(Quiet)
        .map_err(|error| SinkError::definite(format!("the kafka client refuses its settings: {error}")))
}

fn watermarks(client: &Reader, topic: &str) -> Result<(i64, i64), SinkError> {
    client.fetch_watermarks(topic, PARTITION, TIMEOUT).map_err(|error| refused(topic, &error))
}

/// The last value of each key in a stretch of offsets that can be read to its end; a deleted one is `Some(None)`.
fn scan(
    client: &Reader,
    topic: &str,
    offsets: Range<i64>,
    keys: &[String],
    deadline: Instant,
) -> Result<Vec<Option<Option<Vec<u8>>>>, SinkError> {
    let mut partitions = TopicPartitionList::new();
    let assigned = partitions.add_partition_offset(topic, PARTITION, Offset::Offset(offsets.start));
    assigned.and_then(|()| client.assign(&partitions)).map_err(|error| refused(topic, &error))?;
    let mut found = vec![None; keys.len()];
    loop {
        match client.poll(Duration::from_millis(100)) {
            // Somebody writes on. Else the end is told, for the last offsets may be marks that are no messages.
            Some(Ok(message)) if message.offset() >= offsets.end => return Ok(found),
            Some(Ok(message)) => {
                let index = message.key().and_then(|key| keys.iter().position(|wanted| wanted.as_bytes() == key));
                if let Some(index) = index {
                    found[index] = Some(message.payload().map(<[u8]>::to_vec));
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(found),
            // Of a connection; another may do.
            Some(Err(KafkaError::Global(_))) | None if Instant::now() < deadline => {}
            Some(Err(error)) => return Err(refused(topic, &error)),
            None => return Err(SinkError::transient(format!("topic {topic} was not read in time"))),
        }
    }
}

fn refused(topic: &str, error: &KafkaError) -> SinkError {
    match error.rdkafka_error_code() {
        Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed) => {
            SinkError::definite(format!("the account may not read topic {topic}, where the cursor's position is"))
                .advise(format!("allow READ, WRITE and DESCRIBE on topic {topic}, then resume"))
                .refused(Refusal::Access)
        }
        _ => SinkError::transient(format!("read topic {topic}: {error}")),
    }
}

/// Creates the topic of a position. That it exists already is no error.
///
/// # Errors
/// Definite when the cluster refuses, with the command that does the same.
pub(super) async fn create(config: &KafkaConfig, cursor: &str, topic: &str) -> Result<(), SinkError> {
    let settings = [("cleanup.policy", "compact"), ("segment.bytes", SEGMENT_BYTES)];
    let new = Creation::single(topic, &settings);
    TopicAdmin::connect(config, cursor)?.create(&new, false).await?;
    tracing::info!(cursor, topic, "topic of the cursor's position created");
    Ok(())
}
