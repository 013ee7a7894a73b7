//! The client library's producer: its reports go into the window and the progress; records go out without an
//! allocation of ours.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use relay_store::Seq;

use super::RecordLimits;
use super::config::{HEADER_NAMES, Headers, KafkaConfig};
use super::outcome::{self, Global};
use super::window::Window;
use crate::sink::{Batch, Event, Note, Operation, Progress, Record, SinkError};

/// Memory of a record in flight beside key and value: the client's message, and what each header costs it
/// (one allocation each; measured with librdkafka 2.12.1).
const MESSAGE_BYTES: usize = 256;
const HEADER_BYTES: usize = 96;

/// What the client library reports to; lives as long as the producer.
pub(super) struct Reports {
    window: Arc<Window>,
    pub(super) progress: Progress,
    cursor: String,
    cost: Cost,
    sizes: Arc<RecordLimits>,
    /// Set when the sink is closing: records that are dropped then are no failure.
    pub(super) closing: AtomicBool,
    /// Set while a trouble was reported that the next delivered record ends.
    troubled: AtomicBool,
}

/// What a record costs while it is in flight; the same when it goes and when its report comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    fixed: usize,
}

impl Cost {
    pub(super) fn new(headers: Headers) -> Self {
        Self { fixed: MESSAGE_BYTES + headers.count() * HEADER_BYTES }
    }

    pub(super) fn of(self, key: usize, value: usize) -> usize {
        self.fixed + key + value
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What it means for the delivery comes through `error`; these lines are for whoever debugs a connection.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::info!(cursor = %self.cursor, facility, "kafka client: {message}");
            }
            _ => tracing::debug!(cursor = %self.cursor, facility, "kafka client: {message}"),
        }
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        match outcome::global_error(code, reason) {
            Global::Fails(error) => self.fail(error),
            Global::Waits(reason) => {
                self.troubled.store(true, Ordering::Release);
                self.progress.set_trouble(Some(reason));
            }
            // The reports of the records that caused it follow, or `send` meets it.
            Global::Stopped => self.window.wake(),
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, place: usize) {
        match result {
            Ok(message) => {
                self.window.complete(place, self.cost.of(message.key_len(), message.payload_len()));
                if self.troubled.load(Ordering::Relaxed) && self.troubled.swap(false, Ordering::AcqRel) {
                    self.progress.set_trouble(None);
                }
            }
            Err((error, message)) => {
                let bytes = message.key_len() + message.payload_len();
                if !self.closing.load(Ordering::Acquire) {
                    let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
                    if matches!(code, Code::MessageSizeTooLarge | Code::MessageBatchTooLarge) {
                        self.sizes.set_refused(message.topic());
                    }
                    let mut failed = outcome::record_error(code, message.topic(), message.partition(), bytes);
                    failed.reason = format!("{} (seq {})", failed.reason, self.window.seq_of(place));
                    self.progress.fail(failed);
                }
                self.window.fail(self.cost.of(message.key_len(), message.payload_len()));
            }
        }
    }
}

impl Reports {
    fn fail(&self, error: SinkError) {
        if !self.closing.load(Ordering::Acquire) {
            self.progress.fail(error);
            self.window.wake();
        }
    }
}

/// A record ready to go.
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) seq: Seq,
    /// Whether it is the last record of its entry.
    pub(super) ends_entry: bool,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) timestamp_ms: i64,
    pub(super) headers: Option<OwnedHeaders>,
}

impl Outgoing<'_> {
    fn payload_len(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }
}

/// One connection to a cluster. Clones are handles for threads that may block.
#[derive(Clone)]
pub(super) struct Producer {
    pub(super) client: Arc<ThreadedProducer<Reports>>,
    window: Arc<Window>,
    cost: Cost,
}

impl Producer {
    /// Starts the client library; connects in the background. With a transactional id it sends in transactions only.
    pub(super) fn start(
        config: &KafkaConfig,
        cursor: &str,
        transactional_id: Option<&str>,
        window: Arc<Window>,
        progress: Progress,
        sizes: Arc<RecordLimits>,
        batch_bytes: usize,
    ) -> Result<Self, SinkError> {
        let mut client = ClientConfig::new();
        for (key, value) in super::settings::client_settings(config, cursor, batch_bytes) {
            client.set(key, value);
        }
        if let Some(id) = transactional_id {
            client.set("transactional.id", id);
        }
        let cost = Cost::new(config.headers);
        let reports = Reports {
            window: window.clone(),
            progress,
            cursor: cursor.to_owned(),
            cost,
            sizes,
            closing: AtomicBool::new(false),
            troubled: AtomicBool::new(false),
        };
        let client = client.create_with_context::<_, ThreadedProducer<_>>(reports).map_err(|error| {
            SinkError::definite(format!("the kafka client refuses its settings: {error}"))
                .advise("correct [delivery.kafka], its files and its librdkafka settings")
        })?;
        Ok(Self { client: Arc::new(client), window, cost })
    }

    pub(super) fn cost_of(&self, key: usize, value: usize) -> usize {
        self.cost.of(key, value)
    }

    /// Hands the record to the client; `Ok(false)` when its queue is full.
    pub(super) fn send(&self, outgoing: Outgoing<'_>) -> Result<bool, SinkError> {
        let bytes = outgoing.payload_len();
        let cost = self.cost.of(0, bytes);
        let place = self.window.push(outgoing.seq, outgoing.ends_entry, cost);
        let record = BaseRecord::<[u8], [u8], usize> {
            topic: outgoing.topic,
            partition: Some(outgoing.partition),
            payload: outgoing.value,
            key: outgoing.key,
            timestamp: Some(outgoing.timestamp_ms),
            headers: outgoing.headers,
            delivery_opaque: place,
        };
        let Err((error, _)) = self.client.send(record) else { return Ok(true) };
        self.window.undo(place, cost);
        match error.rdkafka_error_code().unwrap_or(Code::Unknown) {
            Code::QueueFull => Ok(false),
            Code::Fatal => Err(SinkError::transient(match self.client.client().fatal_error() {
                Some((code, reason)) => format!("the producer stopped: {code}: {reason}"),
                None => "the producer stopped".to_owned(),
            })),
            code => Err(outcome::record_error(code, outgoing.topic, outgoing.partition, bytes)),
        }
    }

    /// Number of partitions of a topic, asked of the cluster. Blocks up to `timeout`.
    pub(super) fn partitions(&self, topic: &str, timeout: Duration) -> Result<Topic, SinkError> {
        let metadata = self
            .client
            .client()
            .fetch_metadata(Some(topic), timeout)
            .map_err(|error| SinkError::transient(format!("ask for topic {topic}: {error}")))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(Topic::Missing);
        };
        match found.error().map(Code::from) {
            None if found.partitions().is_empty() => Ok(Topic::Missing),
            None => Ok(Topic::Partitions(u32::try_from(found.partitions().len()).unwrap_or(u32::MAX))),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(Topic::Missing),
            Some(Code::TopicAuthorizationFailed) => Err(outcome::not_allowed(topic)),
            Some(Code::InvalidTopic) => Err(outcome::record_error(Code::InvalidTopic, topic, 0, 0)),
            Some(code) => Err(SinkError::transient(format!("ask for topic {topic}: {code}"))),
        }
    }

    /// Whether any broker answers. Blocks up to `timeout`.
    pub(super) fn reach(&self, timeout: Duration) -> Result<(), SinkError> {
        match self.client.client().fetch_cluster_id(timeout) {
            Some(_) => Ok(()),
            None => Err(SinkError::transient(format!("no broker answered within {} s", timeout.as_secs()))),
        }
    }

    /// Whether it is about to end.
    pub(super) fn is_closing(&self) -> bool {
        self.client.client().context().closing.load(Ordering::Acquire)
    }

    /// From now on dropped records are no failure.
    pub(super) fn closing(&self) {
        self.client.client().context().closing.store(true, Ordering::Release);
    }
}

/// What the cluster says of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Missing,
    Partitions(u32),
}

/// What all headers of a sink's life share.
#[derive(Debug, Clone)]
pub(super) struct HeaderContext {
    pub(super) wanted: Headers,
    /// `relay.source`: the task's name.
    pub(super) source: String,
    /// `relay.epoch`: the cursor epoch as text.
    pub(super) epoch: String,
    /// `relay.format`.
    pub(super) format: &'static str,
}

impl HeaderContext {
    /// The headers of one record, in the order of [`HEADER_NAMES`]. The client owns each header by itself, so there
    /// is nothing to share between records.
    pub(super) fn build(&self, batch: &Batch, event: &Event, record: &Record) -> Option<OwnedHeaders> {
        let note = batch.note_of(record);
        // Whoever finds a dead letter wants to know all of it.
        let wanted = if matches!(note, Some(Note::DeadLetter { .. })) { Headers::ALL } else { self.wanted };
        if wanted == Headers::NONE && note.is_none() {
            return None;
        }
        // Two numbers of at most 20 digits and a colon.
        let mut seq = [0u8; 41];
        let mut rest = &mut seq[..];
        write!(rest, "{}:{}", event.seq, record.row).expect("41 bytes hold two numbers");
        let left = rest.len();
        let seq = &seq[..41 - left];
        let phase = if record.operation == Operation::Snapshot { "snapshot" } else { "stream" };
        let values: [&[u8]; HEADER_NAMES.len()] = [
            seq,
            self.source.as_bytes(),
            self.epoch.as_bytes(),
            batch.get(event.gtid),
            batch.get(event.position),
            event.origin.table.as_bytes(),
            record.operation.as_str().as_bytes(),
            phase.as_bytes(),
            self.format.as_bytes(),
        ];
        let mut headers = OwnedHeaders::new_with_capacity(wanted.count());
        for (index, value) in values.into_iter().enumerate() {
            if wanted.has(index) {
                headers = headers.insert(Header { key: HEADER_NAMES[index], value: Some(value) });
            }
        }
        Some(match note {
            None | Some(Note::TooLarge(_)) => headers,
            Some(Note::Truncated(columns)) => with(headers, "relay.truncated", batch.get(*columns)),
            Some(Note::KeyOnly) => with(headers, "relay.key_only", b"true"),
            Some(Note::DeadLetter { reason, chunk }) => {
                let headers = with(headers, "relay.reason", batch.get(*reason));
                match chunk {
                    None => headers,
                    Some((number, count)) => {
                        let headers = with(headers, "relay.chunk", format!("{number}/{count}").as_bytes());
                        with(headers, "relay.encoding", b"zstd")
                    }
                }
            }
        })
    }
}

fn with(headers: OwnedHeaders, key: &str, value: &[u8]) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value) })
}
