//! From the records of a batch to the producer: limits, room in the window; `topics` beside it knows the topics. What the
//! acks of the broker mean is the sink's business.

mod topics;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_store::Seq;

use super::config::KafkaConfig;
use super::producer::{HeaderContext, Outgoing, Producer};
use super::settings::BATCH_BYTES;
use super::topic_admin::TopicAdmin;
use super::topics::Kept;
use super::window::{PLACES, Window};
use super::{RecordLimits, Share};
use crate::failure::Class;
use crate::format::partition::fold;
use crate::sink::{Batch, Event, Note, Opening, Origin, Place, Progress, Record, SinkError};

/// Between two times that the cluster is asked the same.
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
    admin: Option<TopicAdmin>,
    /// How large records may be; what is learnt of topics is told here.
    sizes: Arc<RecordLimits>,
    pub(super) window: Arc<Window>,
    /// Where failures, troubles and the kept state are told.
    pub(super) progress: Progress,
    headers: HeaderContext,
    pub(super) kept: Kept,
    /// Partitions in use by topic, confirmed in this life.
    widths: HashMap<String, u32>,
    /// Topics with records that are made to fit.
    fitted: HashSet<String>,
    /// When topics were last looked at for growth, and the last one of them.
    looked: (Instant, String),
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
        sizes: Arc<RecordLimits>,
    ) -> Result<Self, SinkError> {
        let kept = Kept::decode(&opening.state)
            .map_err(|reason| SinkError::definite(reason).advise("reset the cursor: its state is of another sink"))?;
        let (cursor, progress) = (opening.cursor.clone(), opening.progress.clone());
        // Inside a transaction no other producer can take over, so that one begins with what is known.
        let batch_bytes = kept.batch_bytes.filter(|_| transactional_id.is_some()).unwrap_or(BATCH_BYTES);
        let id = transactional_id.as_deref();
        let producer =
            Producer::start(config, &cursor, id, window.clone(), progress.clone(), sizes.clone(), batch_bytes)?;
        let headers = HeaderContext {
            wanted: config.headers,
            source: source.to_owned(),
            epoch: opening.epoch.to_string(),
            format: config.format.as_str(),
        };
        Ok(Self {
            // What it is refused for, the producer then says better.
            admin: TopicAdmin::connect(config, &cursor).ok(),
            sizes,
            cursor,
            producer,
            batch_bytes,
            transactional: transactional_id.is_some(),
            window,
            progress,
            headers,
            kept,
            widths: HashMap::new(),
            fitted: HashSet::new(),
            looked: (Instant::now(), String::new()),
            last: None,
        })
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
        if let Some(bytes) = self.too_large(batch, record) {
            return Err(self.refuse_size(batch, record, bytes).await);
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

    /// How large a record is that must not go as it is.
    fn too_large(&self, batch: &Batch, record: &Record) -> Option<usize> {
        match batch.note_of(record) {
            Some(Note::TooLarge(_)) => Some(self.sizes.bytes(batch, record)),
            _ => self.sizes.exceeded_by(batch, record),
        }
    }

    /// Ends this life for a record that is too large: for good, or because it was made before it was known what its topic
    /// takes.
    async fn refuse_size(&self, batch: &Batch, record: &Record, bytes: usize) -> SinkError {
        let event = batch.event_of(record);
        let Origin { table, destination, fitted, .. } = &*event.origin;
        let limit = self.sizes.of(&event.origin);
        let why = match batch.note_of(record) {
            Some(Note::TooLarge(why)) => String::from_utf8_lossy(batch.get(*why)).into_owned(),
            _ if *fitted && self.sizes.begin_anew(destination) => {
                // What came before it is acked first, and not sent again.
                if let Err(error) = self.drained().await {
                    return error;
                }
                let error = SinkError::anew(format!("topic {destination} takes records of {limit} bytes at most"));
                return self.refuse(error, event, record);
            }
            _ => format!("{bytes} bytes, {limit} are allowed"),
        };
        let error = SinkError::definite(format!("a record of {table} for topic {destination} is too large: {why}"));
        let error = error.advise(
            "raise max_record_bytes and the topic's max.message.bytes together, or choose on_too_large = \"skip\", \
             \"truncate_columns\", \"key_only\" or \"dead_letter\" for the table, then resume",
        );
        self.refuse(error, event, record)
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
