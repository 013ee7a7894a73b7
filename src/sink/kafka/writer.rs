//! From the records of a batch to the producer: topics and their widths, limits, room in the window. What the acks of
//! the broker mean is the sink's business.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use relay_store::Seq;

use super::config::KafkaConfig;
use super::limits::Limits;
use super::producer::{HeaderContext, Outgoing, Producer, Topic};
use super::settings::{BATCH_BYTES, RECORD_OVERHEAD_BYTES};
use super::topics::{self, Kept, Width};
use super::window::{PLACES, Window};
use super::{Share, outcome};
use crate::failure::Class;
use crate::format::partition::fold;
use crate::sink::{Batch, Event, Opening, Origin, Place, Progress, Record, SinkError};

/// How long one question to the cluster may take before it counts as unreachable.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// A topic that was just created may be unknown to some brokers; asked this often, a second apart, before it is
/// called missing.
const ASK_MISSING: u32 = 3;
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// After the producer stopped: how long the reports of the records that caused it may take.
const CAUSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long records of a transaction may stay unacked before it is asked whether it can still be committed.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Writes records to a cluster, in order, for one life of a sink.
pub(super) struct Writer {
    pub(super) cursor: String,
    pub(super) producer: Producer,
    /// Batches of the producer stay below it: the least that any topic so far takes.
    batch_bytes: usize,
    transactional: bool,
    limits: Option<Limits>,
    pub(super) window: Arc<Window>,
    /// Where failures, troubles and the kept state are told.
    pub(super) progress: Progress,
    headers: HeaderContext,
    pub(super) kept: Kept,
    /// Partitions in use by topic, confirmed in this life.
    widths: HashMap<String, u32>,
    /// The topic of the last event: consecutive events mostly share it.
    last: Option<(Arc<Origin>, u32)>,
}

impl Writer {
    /// Starts a client for this life; it connects in the background. The window's own progress says what the acks of
    /// the broker mean.
    pub(super) fn start(
        config: &KafkaConfig,
        source: &str,
        opening: &Opening,
        transactional_id: Option<String>,
        window: Arc<Window>,
    ) -> Result<Self, SinkError> {
        let kept = Kept::decode(&opening.state)
            .map_err(|reason| SinkError::definite(reason).advise("reset the cursor: its state is of another sink"))?;
        let (cursor, progress) = (opening.cursor.clone(), opening.progress.clone());
        // Inside a transaction no other producer can take over, so that one begins with what is known.
        let batch_bytes = kept.batch_bytes.filter(|_| transactional_id.is_some()).unwrap_or(BATCH_BYTES);
        let id = transactional_id.as_deref();
        let producer = Producer::start(config, &cursor, id, window.clone(), progress.clone(), batch_bytes)?;
        let headers = HeaderContext {
            wanted: config.headers,
            source: source.to_owned(),
            epoch: opening.epoch.to_string(),
            format: config.format.as_str(),
        };
        Ok(Self {
            limits: Limits::connect(config, &cursor),
            cursor,
            producer,
            batch_bytes,
            transactional: transactional_id.is_some(),
            window,
            progress,
            headers,
            kept,
            widths: HashMap::new(),
            last: None,
        })
    }

    /// Asks about the topics that the settings name outright: one that is missing, or a login that is refused, is told
    /// at the start, not at the first change.
    pub(super) async fn open_topics(&mut self, config: &KafkaConfig) -> Result<(), SinkError> {
        let mut known: Vec<&String> = Vec::new();
        if topics::is_fixed(&config.topic) {
            known.push(&config.topic);
        }
        if !matches!(config.ddl_topic.as_str(), "data" | "off") {
            known.push(&config.ddl_topic);
        }
        for topic in known {
            self.width_of(config, topic).await?;
        }
        Ok(())
    }

    /// The failure, when something accepted earlier failed.
    pub(super) fn check(&self) -> Result<(), SinkError> {
        match self.progress.failure() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Hands a record to the client; waits for room in the window.
    pub(super) async fn write(
        &mut self,
        config: &KafkaConfig,
        share: &Share,
        batch: &Batch,
        record: &Record,
    ) -> Result<(), SinkError> {
        let event = batch.event_of(record);
        let (key, value) = (record.key.map(|span| batch.get(span)), record.value.map(|span| batch.get(span)));
        let (key_len, value_len) = (key.map_or(0, <[u8]>::len), value.map_or(0, <[u8]>::len));
        let width = match &self.last {
            Some((origin, width)) if Arc::ptr_eq(origin, &event.origin) => *width,
            _ => self.width_of_origin(config, &event.origin).await.map_err(|e| self.refuse(e, event, record))?,
        };
        let bytes = key_len + value_len + self.headers.wire_bytes(event) + RECORD_OVERHEAD_BYTES;
        if bytes as u64 > config.max_record_bytes.0 {
            let error = SinkError::definite(format!(
                "a record of {} for topic {} has {bytes} bytes, max_record_bytes is {}",
                event.origin.table, event.origin.destination, config.max_record_bytes
            ))
            .advise("raise max_record_bytes and the topic's max.message.bytes together, or leave the table out, then resume");
            return Err(self.refuse(error, event, record));
        }
        let cost = self.producer.cost_of(key_len, value_len);
        loop {
            self.room_for(cost, share).await?;
            let outgoing = Outgoing {
                topic: &event.origin.destination,
                partition: fold(record.hash, width),
                seq: event.seq,
                ends_entry: record.ends_entry,
                key,
                value,
                timestamp_ms: event.timestamp_ms,
                headers: self.headers.build(batch, event, record),
            };
            match self.producer.send(outgoing) {
                Ok(true) => return Ok(()),
                Ok(false) => self.wait_for_room(share.bytes()).await?,
                Err(error) => return Err(self.find_cause(error, event, record).await),
            }
        }
    }

    /// Sends one record of our own, which belongs to no entry.
    pub(super) async fn write_own(
        &mut self,
        share: &Share,
        (topic, partition): (&str, i32),
        key: &str,
        value: &[u8],
    ) -> Result<(), SinkError> {
        let cost = self.producer.cost_of(key.len(), value.len());
        loop {
            self.room_for(cost, share).await?;
            let outgoing = Outgoing {
                topic,
                partition,
                seq: Seq::ZERO,
                ends_entry: false,
                key: Some(key.as_bytes()),
                value: Some(value),
                timestamp_ms: crate::status::now_ms(),
                headers: None,
            };
            match self.producer.send(outgoing) {
                Ok(true) => return Ok(()),
                Ok(false) => self.wait_for_room(share.bytes()).await?,
                Err(error) => return Err(self.cause(error).await),
            }
        }
    }

    /// Waits until the broker has acked everything that was sent.
    pub(super) async fn drained(&self) -> Result<(), SinkError> {
        self.wait_below(0, 0).await
    }

    async fn wait_below(&self, bytes: usize, places: u64) -> Result<(), SinkError> {
        let progress = &self.progress;
        let mut below = std::pin::pin!(self.window.wait_below(bytes, places, || progress.failure().is_some()));
        if !self.transactional {
            below.await;
            return self.check();
        }
        loop {
            if tokio::time::timeout(PROBE_INTERVAL, &mut below).await.is_ok() {
                return self.check();
            }
            // A transaction that can only be aborted keeps its records back and tells nobody.
            let producer = self.producer.clone();
            let probed = tokio::task::spawn_blocking(move || producer.probe()).await;
            if let Ok(Err(error)) = probed {
                progress.fail(error);
                return self.check();
            }
        }
    }

    async fn room_for(&self, cost: usize, share: &Share) -> Result<(), SinkError> {
        while !self.window.has_room(cost, share.bytes()) {
            self.wait_for_room(share.bytes()).await?;
        }
        Ok(())
    }

    /// Waits until three quarters of the window are left in flight at most.
    pub(super) async fn wait_for_room(&self, share: usize) -> Result<(), SinkError> {
        self.wait_below(share / 4 * 3, PLACES as u64 / 4 * 3).await
    }

    /// Ends this life for a record that cannot go.
    fn refuse(&self, error: SinkError, event: &Event, record: &Record) -> SinkError {
        let place = Place { seq: event.seq, row: record.row, table: event.origin.table.clone() };
        let error = error.at(place);
        self.progress.fail(error.clone());
        error
    }

    /// A stopped producer refuses every record; the one that made it stop is among those in flight.
    async fn find_cause(&self, error: SinkError, event: &Event, record: &Record) -> SinkError {
        if error.class != Class::Transient {
            return self.refuse(error, event, record);
        }
        self.cause(error).await
    }

    async fn cause(&self, error: SinkError) -> SinkError {
        let progress = &self.progress;
        let cause = self.window.wait_below(0, 0, || progress.failure().is_some());
        let _ = tokio::time::timeout(CAUSE_TIMEOUT, cause).await;
        self.progress.fail(error.clone());
        self.progress.failure().unwrap_or(error)
    }

    async fn width_of_origin(&mut self, config: &KafkaConfig, origin: &Arc<Origin>) -> Result<u32, SinkError> {
        topics::check_name(&origin.destination).map_err(|reason| {
            SinkError::definite(format!("table {}: {reason}", origin.table))
                .advise("choose another topic template, or leave the table out")
        })?;
        let found = self.width_of(config, &origin.destination).await?;
        let width = match origin.partitions.or(config.partitions) {
            Some(wanted) if wanted > found => {
                return Err(SinkError::definite(format!(
                    "topic {} has {found} partitions, {wanted} are asked for",
                    origin.destination
                ))
                .advise("give the topic more partitions, or ask for fewer"));
            }
            Some(wanted) => wanted,
            None => found,
        };
        self.last = Some((origin.clone(), width));
        Ok(width)
    }

    /// Partitions of a topic, as kept with the cursor; asked of the cluster once in a life. Waits while the cluster
    /// is away.
    async fn width_of(&mut self, config: &KafkaConfig, topic: &str) -> Result<u32, SinkError> {
        if let Some(&width) = self.widths.get(topic) {
            return Ok(width);
        }
        let now = self.ask(topic).await?;
        let kept = self.kept.partitions.get(topic).copied();
        let width = match topics::width(kept, now, config.accept_partition_change) {
            Width::Use(width) => width,
            Width::Grown { kept, now } => {
                tracing::warn!(
                    topic,
                    kept,
                    now,
                    "topic has grown; the old number of partitions stays in use until accept_partition_change = true"
                );
                kept
            }
            Width::Shrunk { kept, now } => {
                return Err(SinkError::definite(format!(
                    "topic {topic} has {now} partitions, it had {kept}: it was created again"
                ))
                .advise("set accept_partition_change = true to use it as it is, then resume"));
            }
        };
        self.fit_batches(config, topic).await?;
        self.widths.insert(topic.to_owned(), width);
        if self.kept.partitions.insert(topic.to_owned(), width) != Some(width) {
            self.progress.set_state(self.kept.encode());
        }
        Ok(width)
    }

    /// A topic that takes less than our batches gets smaller ones: the broker would refuse records that are small by
    /// themselves. The client library has one limit for all topics, so a new client takes over once the old one has
    /// nothing in flight, and the order is kept.
    async fn fit_batches(&mut self, config: &KafkaConfig, topic: &str) -> Result<(), SinkError> {
        let Some(limits) = &self.limits else { return Ok(()) };
        let Some(bytes) = limits.batch_bytes(topic).await else { return Ok(()) };
        if bytes >= self.batch_bytes {
            return Ok(());
        }
        if self.transactional {
            self.kept.batch_bytes = Some(bytes.max(1));
            self.progress.set_state(self.kept.encode());
            return Err(SinkError::transient(format!(
                "topic {topic} takes batches of {bytes} bytes at most: starting again with those"
            )));
        }
        self.drained().await?;
        let producer =
            Producer::start(config, &self.cursor, None, self.window.clone(), self.progress.clone(), bytes.max(1))?;
        let old = std::mem::replace(&mut self.producer, producer);
        self.batch_bytes = bytes;
        tracing::info!(cursor = %self.cursor, topic, bytes, "topic takes small batches only; sending none larger");
        old.closing();
        // Nothing waits for it: it has nothing left to send.
        drop(tokio::task::spawn_blocking(move || drop(old)));
        Ok(())
    }

    async fn ask(&self, topic: &str) -> Result<u32, SinkError> {
        for _ in 0..ASK_MISSING {
            let (producer, name) = (self.producer.clone(), topic.to_owned());
            if let Topic::Partitions(count) = self.answer(move || producer.partitions(&name, ASK_TIMEOUT)).await? {
                return Ok(count);
            }
            tokio::time::sleep(ASK_PAUSE).await;
        }
        Err(outcome::missing_topic(topic))
    }

    /// Whether a topic exists.
    pub(super) async fn exists(&self, topic: &str) -> Result<bool, SinkError> {
        let (producer, name) = (self.producer.clone(), topic.to_owned());
        let found = self.answer(move || producer.partitions(&name, ASK_TIMEOUT)).await?;
        Ok(found != Topic::Missing)
    }

    /// Whether a topic is compacted, when the cluster tells.
    pub(super) async fn compacts(&self, topic: &str) -> Option<bool> {
        self.limits.as_ref()?.settings(topic).await?.compacted
    }

    /// One call of the producer that may block.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Producer) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let producer = self.producer.clone();
        let called = tokio::task::spawn_blocking(move || call(&producer));
        tokio::select! {
            done = called => done.map_err(|e| SinkError::transient(format!("the client was cut off: {e}")))?,
            error = self.progress.failed() => Err(error),
        }
    }

    /// Repeats a question that may block until the cluster answers it; says meanwhile why it waits.
    pub(super) async fn answer<T: Send + 'static>(
        &self,
        question: impl Fn() -> Result<T, SinkError> + Clone + Send + 'static,
    ) -> Result<T, SinkError> {
        loop {
            let asked = tokio::task::spawn_blocking(question.clone());
            let answer = tokio::select! {
                answer = asked => answer.map_err(|e| SinkError::transient(format!("ask the cluster: {e}")))?,
                // A refused login is known long before the question times out.
                error = self.progress.failed() => return Err(error),
            };
            match answer {
                Ok(answer) => {
                    self.progress.set_trouble(None);
                    return Ok(answer);
                }
                Err(error) if error.class == Class::Transient => self.progress.set_trouble(Some(error.reason)),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(ASK_PAUSE).await;
        }
    }
}
