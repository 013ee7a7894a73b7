//! The Kafka sink that delivers exactly once: records and the cursor's position are one Kafka transaction.
//!
//! What consumers that read committed records see, and where the cursor stands, change in the same moment. Whatever
//! happens between two transactions, the next life asks Kafka where the cursor stands and passes over what is there.
//!
//! | step | a crash behind it leaves |
//! |---|---|
//! | records sent | an open transaction, which the next producer aborts |
//! | position sent | the same |
//! | commit asked for | it whole or not at all; the position tells |
//! | committed | a position ahead of the log's cursor |
//! | acked | nothing to mend |

use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_store::Seq;
use tokio::task::JoinHandle;

use super::config::KafkaConfig;
use super::cut::Cut;
use super::position::{self, Names, Ours, PARTITION, Position};
use super::positions;
use super::sink::CLOSE_TIMEOUT;
use super::topics::KnownPosition;
use super::window::Window;
use super::writer::Writer;
use super::{Budget, RecordLimits, Share, features};
use crate::failpoint;
use crate::failure::Class;
use crate::sink::{Ack, Batch, Opening, Operation, Progress, Sink, SinkError};

/// How often the cursor's own state notes the position that Kafka has.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);
/// A topic that was just created is not known at once to every broker.
const TOPIC_LOOKS: u32 = 50;
const TOPIC_PAUSE: Duration = Duration::from_millis(100);

/// Delivers to Kafka exactly once, for consumers with `isolation.level=read_committed`. One open transaction at a time;
/// its acks come with its commit.
pub struct TransactionalSink {
    config: KafkaConfig,
    source: String,
    share: Share,
    sizes: Arc<RecordLimits>,
    open: Option<Open>,
}

/// What exists between open and close.
struct Open {
    writer: Writer,
    names: Names,
    /// Under which key the position is written: the stream's, or that of a table's replay.
    key: String,
    /// The position as it is written, but for its seq.
    position: Position,
    cut: Cut,
    /// Records up to here are in Kafka: given again, they are passed over.
    delivered: Seq,
    /// Whether transactions may be used: the producer is the only one.
    ready: bool,
    /// A commit under way. Kept here so that a dropped future does not lose it.
    committing: Option<Committing>,
    noted: Instant,
}

struct Committing {
    seq: Seq,
    call: JoinHandle<Result<(), SinkError>>,
}

impl TransactionalSink {
    /// A sink with these settings; `source` is the relay's name, which records and the cursor's position carry. What it
    /// learns of its topics it tells `sizes`. Nothing is connected yet.
    pub fn new(config: KafkaConfig, source: impl Into<String>, budget: &Budget, sizes: Arc<RecordLimits>) -> Self {
        Self { config, source: source.into(), share: budget.join(), sizes, open: None }
    }
}

impl Sink for TransactionalSink {
    async fn open(&mut self, opening: Opening) -> Result<(), SinkError> {
        let names = Names::of(&self.source, &opening.cursor);
        // What the broker acks inside a transaction is no ack of ours.
        let window = Arc::new(Window::new(Progress::new(opening.acked)));
        let id = Some(names.transactional_id.clone());
        let writer = Writer::start(&self.config, &self.source, &opening, id, window, self.sizes.clone())?;
        let (owner, _) = position::owner(&names.transactional_id);
        let open = self.open.insert(Open {
            key: opening.replay.as_ref().map_or_else(|| names.key.clone(), |replay| names.replay_key(replay)),
            position: Position {
                store: position::store_text(&opening.store),
                epoch: opening.epoch.0,
                seq: opening.acked.0,
                owner,
            },
            writer,
            names,
            cut: Cut::new(self.config.max_records, opening.acked),
            delivered: opening.acked,
            ready: false,
            committing: None,
            noted: Instant::now(),
        });
        open.begin(&self.config, &self.share, &opening).await?;
        let (config, progress) = (self.config.clone(), opening.progress.clone());
        tokio::spawn(async move { features::say_version(&config, &opening.cursor, &progress).await });
        Ok(())
    }

    async fn deliver(&mut self, batch: &Batch) -> Result<Ack, SinkError> {
        let open = self.open.as_mut().ok_or_else(|| SinkError::definite("the sink is not open"))?;
        let mut ends = &batch.commits[..];
        for record in &batch.records {
            let seq = batch.event_of(record).seq;
            while let Some((&(end, _), rest)) = ends.split_first().filter(|((end, _), _)| *end < seq) {
                open.source_ended(end, &self.share).await?;
                ends = rest;
            }
            let is_apart = record.operation == Operation::Heartbeat;
            if seq <= open.delivered && !is_apart {
                continue;
            }
            open.writer.write(&self.config, &self.share, batch, record).await?;
            if is_apart {
                open.cut.apart(record.value.map_or(0, |span| span.len()));
                continue;
            }
            open.cut.record(record.key.map_or(0, |span| span.len()) + record.value.map_or(0, |span| span.len()));
            if record.ends_entry && open.cut.entry_ended(seq) {
                open.commit(&self.share).await?;
            }
        }
        for &(end, _) in ends {
            open.source_ended(end, &self.share).await?;
        }
        open.writer.look_for_growth();
        open.cut.passed(batch.last);
        if open.cut.is_due(batch.more) {
            open.commit(&self.share).await?;
        }
        open.writer.check()?;
        if open.cut.is_empty() {
            open.writer.progress.ack(open.cut.reached());
        }
        Ok(open.writer.progress.take_ack())
    }

    async fn close(&mut self) -> Result<Ack, SinkError> {
        let Some(mut open) = self.open.take() else { return Err(SinkError::definite("the sink is not open")) };
        let progress = open.writer.progress.clone();
        if open.ready && progress.failure().is_none() {
            match tokio::time::timeout(CLOSE_TIMEOUT, open.finish(&self.share)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => progress.fail(error),
                Err(_) => tracing::info!("closed while a transaction was being committed; the next start sees to it"),
            }
        }
        let failure = progress.failure();
        let learnt = if failure.is_some() { open.writer.learn_from_refusal().await } else { None };
        open.writer.producer.closing();
        let ended = tokio::task::spawn_blocking(move || {
            // A commit that is still under way is the next producer's to settle.
            if open.ready && open.committing.is_none() && !open.cut.is_empty() {
                open.writer.producer.abort();
            }
            drop(open);
        });
        if tokio::time::timeout(CLOSE_TIMEOUT, ended).await.is_err() {
            tracing::info!("the kafka client still ends its connections");
        }
        match learnt.or(failure) {
            // What was learnt of the topics stays for the delivery to take.
            Some(error) => Err(error),
            None => Ok(progress.take_ack()),
        }
    }
}

impl Open {
    /// Becomes the cursor's only producer and finds out where it stands.
    async fn begin(&mut self, config: &KafkaConfig, share: &Share, opening: &Opening) -> Result<(), SinkError> {
        self.writer.open_topics(config).await?;
        self.find_topic(config, &opening.cursor).await?;
        // Asked first without a transaction: a relay that may not have the cursor must not fence the one that has it.
        self.stand(config, opening, false).await?;
        self.writer.call(|producer| producer.init_transactions()).await?;
        // IMPORTANT: only now nobody else can move the position any more, and what was being committed is.
        let (reached, delivered) = self.stand(config, opening, true).await?;
        self.writer.call(|producer| producer.begin()).await?;
        self.ready = true;
        (self.delivered, self.cut) = (delivered, Cut::new(config.max_records, delivered));
        if opening.replay.is_none() {
            failpoint::reach("transaction.begin");
            // Says whose the cursor is from now on, and in which epoch, before any record does.
            self.position.seq = reached.0;
            self.commit(share).await?;
            position::set_holds(&self.names.transactional_id, true);
            self.note(reached);
        }
        self.writer.progress.ack(delivered);
        Ok(())
    }

    /// The topic of the position; created when there is none, unless there was one.
    async fn find_topic(&self, config: &KafkaConfig, cursor: &str) -> Result<(), SinkError> {
        let topic = &self.names.topic;
        if self.writer.exists(topic).await? {
            if self.writer.compacts(topic).await == Some(false) {
                return Err(SinkError::definite(format!(
                    "topic {topic} is not compacted: the cursor's position in it would be deleted one day"
                ))
                .advise(format!("set cleanup.policy=compact on topic {topic}, then resume")));
            }
            return Ok(());
        }
        if self.writer.kept.position.is_some() {
            let ours = self.ours(cursor);
            return position::judge(None, &self.names, &ours).map(drop);
        }
        positions::create(config, cursor, topic).await?;
        for _ in 0..TOPIC_LOOKS {
            if self.writer.exists(topic).await? {
                return Ok(());
            }
            tokio::time::sleep(TOPIC_PAUSE).await;
        }
        Err(SinkError::transient(format!("topic {topic} was created and is not there yet")))
    }

    fn ours<'a>(&'a self, cursor: &'a str) -> Ours<'a> {
        Ours {
            cursor,
            store: &self.position.store,
            epoch: relay_store::CursorEpoch(self.position.epoch),
            acked: Seq(self.position.seq),
            end: Seq(u64::MAX),
            known: self.writer.kept.position.as_ref(),
            owner: None,
        }
    }

    /// Where the stream stands, and up to where what this life is about was delivered.
    async fn stand(&self, config: &KafkaConfig, opening: &Opening, whole: bool) -> Result<(Seq, Seq), SinkError> {
        let (names, id) = (&self.names, &self.names.transactional_id);
        let question = {
            let (config, cursor, topic) = (config.clone(), opening.cursor.clone(), names.topic.clone());
            let mut keys = vec![names.key.clone()];
            keys.extend(opening.replay.as_ref().map(|_| self.key.clone()));
            move || positions::read(&config, &cursor, &topic, &keys, whole)
        };
        let found = self.writer.answer(question).await?;
        let decoded = |value: &Option<Vec<u8>>| value.as_deref().map(|v| Position::decode(v, names)).transpose();
        let stream = found.first().map(decoded).transpose()?.flatten();
        let (owner, holds) = position::owner(id);
        let ours = Ours { end: opening.end, owner: holds.then_some(&*owner), ..self.ours(&opening.cursor) };
        // A replay begins before the cursor; where the stream stands is judged all the same.
        let reached = position::judge(stream.as_ref(), names, &ours).inspect_err(|error| {
            if error.class == Class::Definite {
                // Whoever resumes the delivery wants the cursor back.
                position::set_holds(id, false);
            }
        })?;
        let Some(replayed) = found.get(1) else { return Ok((reached, reached)) };
        let replayed = decoded(replayed)?;
        let same = |p: &&Position| p.store == self.position.store && p.epoch == self.position.epoch;
        Ok((reached, replayed.as_ref().filter(same).map_or(opening.acked, |p| Seq(p.seq).max(opening.acked))))
    }

    async fn source_ended(&mut self, end: Seq, share: &Share) -> Result<(), SinkError> {
        self.cut.source_ended(end);
        if self.cut.is_due(true) {
            self.commit(share).await?;
        }
        Ok(())
    }

    /// Ends the open transaction at what was reached.
    async fn commit(&mut self, share: &Share) -> Result<(), SinkError> {
        let seq = self.cut.reached();
        failpoint::reach("transaction.records");
        self.position.seq = seq.0;
        let value = self.position.encode();
        self.writer.write_own(share, (&self.names.topic, PARTITION), &self.key, &value).await?;
        failpoint::reach("transaction.position");
        self.writer.drained().await?;
        failpoint::reach("transaction.drained");
        let producer = self.writer.producer.clone();
        self.committing = Some(Committing { seq, call: tokio::task::spawn_blocking(move || producer.commit()) });
        self.settle().await
    }

    /// Waits for the commit that is under way.
    async fn settle(&mut self) -> Result<(), SinkError> {
        let Some(committing) = &mut self.committing else { return Ok(()) };
        let outcome = (&mut committing.call).await;
        let seq = committing.seq;
        self.committing = None;
        let outcome = outcome.unwrap_or_else(|error| Err(SinkError::transient(format!("commit: {error}"))));
        // Whether it was committed all the same, the next life asks Kafka.
        outcome.inspect_err(|error| self.writer.progress.fail(error.clone()))?;
        self.cut.committed();
        self.writer.progress.ack(seq);
        failpoint::reach("transaction.acked");
        if self.key == self.names.key && self.noted.elapsed() >= NOTE_INTERVAL {
            self.note(seq);
        }
        Ok(())
    }

    /// Ends what was begun: the commit under way, or the whole source transactions that were sent.
    async fn finish(&mut self, share: &Share) -> Result<(), SinkError> {
        self.settle().await?;
        if !self.cut.is_empty() && self.cut.is_whole() {
            self.commit(share).await?;
        }
        Ok(())
    }

    /// Notes in the cursor's own state that Kafka has this position: one that is missing there later was lost.
    fn note(&mut self, seq: Seq) {
        self.noted = Instant::now();
        self.writer.kept.position = Some(KnownPosition { topic: self.names.topic.clone(), seq: seq.0 });
        self.writer.progress.set_state(self.writer.kept.encode());
    }
}
