//! What the writer knows of its topics: whether they are there, how many partitions of them are used, what they take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::config::KafkaConfig;
use super::super::outcome;
use super::super::producer::{Producer, Topic};
use super::super::topic_admin::Creation;
use super::super::topics::{self, Width};
use super::{ASK_PAUSE, Writer};
use crate::sink::{Origin, SinkError};
use crate::status::TopicWidth;

/// How long one question to the cluster may take before it counts as unreachable.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// A topic that was just created may be unknown to some brokers; asked this often, a second apart, before it is
/// called missing.
const ASK_MISSING: u32 = 3;
/// The same of one that we created.
const ASK_CREATED: u32 = 30;
/// How often topics in use are looked at for growth, and how many of them at once.
const GROWTH_LOOK: Duration = Duration::from_secs(10);
const TOPICS_A_LOOK: usize = 20;
/// Bytes of the largest batch where nobody tells: Kafka's own default of `max.message.bytes`.
const BATCH_BYTES_DEFAULT: usize = 1_048_588;

impl Writer {
    /// Asks about the topics that the settings name outright: one that is missing, or a login that is refused, is told
    /// at the start, not at the first change.
    pub(in crate::sink::kafka) async fn open_topics(&mut self, config: &KafkaConfig) -> Result<(), SinkError> {
        for topic in config.named_topics() {
            self.width_of(config, &topic.name, None).await?;
        }
        Ok(())
    }

    pub(super) async fn width_of_origin(
        &mut self,
        config: &KafkaConfig,
        origin: &Arc<Origin>,
    ) -> Result<u32, SinkError> {
        topics::check_name(&origin.destination).map_err(|reason| {
            SinkError::definite(format!("table {}: {reason}", origin.table))
                .advise("choose another topic template, or leave the table out")
        })?;
        let found = self.width_of(config, &origin.destination, origin.partitions).await?;
        let width = match origin.partitions {
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
        if origin.fitted && !self.fitted.contains(&origin.destination) {
            self.fitted.insert(origin.destination.clone());
        }
        self.last = Some((origin.clone(), width));
        Ok(width)
    }

    /// Partitions of a topic, as kept with the cursor; asked of the cluster once in a life. Waits while the cluster
    /// is away. A missing one is created with `wanted` partitions, where that is allowed.
    async fn width_of(&mut self, config: &KafkaConfig, topic: &str, wanted: Option<u32>) -> Result<u32, SinkError> {
        if let Some(&width) = self.widths.get(topic) {
            return Ok(width);
        }
        let now = match self.ask(topic, if config.create_topics { 1 } else { ASK_MISSING }).await? {
            Some(now) => now,
            None if config.create_topics => self.create(config, topic, wanted).await?,
            None => return Err(outcome::missing_topic(topic)),
        };
        let kept = self.kept.partitions.get(topic).copied();
        let width = match topics::width(kept, now, config.accept_partition_change) {
            Width::Use(width) => width,
            Width::Grown { kept, .. } => kept,
            Width::Shrunk { kept, now } => {
                return Err(SinkError::definite(format!(
                    "topic {topic} has {now} partitions, it had {kept}: it was created again"
                ))
                .advise("set accept_partition_change = true to use it as it is, then resume"));
            }
        };
        self.progress.set_width(TopicWidth { topic: topic.to_owned(), used: width, partitions: now });
        self.learn_limit(config, topic).await?;
        self.widths.insert(topic.to_owned(), width);
        if self.kept.partitions.insert(topic.to_owned(), width) != Some(width) {
            self.progress.set_state(self.kept.encode());
        }
        Ok(width)
    }

    /// Now and then, while records flow: finds out beside them whether topics have grown. They are used as they were.
    pub(in crate::sink::kafka) fn look_for_growth(&mut self) {
        if self.looked.0.elapsed() < GROWTH_LOOK {
            return;
        }
        let mut topics: Vec<(&String, u32)> = self.widths.iter().map(|(topic, width)| (topic, *width)).collect();
        topics.sort_unstable();
        // Those behind the last one of the time before, then from the beginning.
        let from = topics.partition_point(|(topic, _)| **topic <= self.looked.1);
        topics.rotate_left(from);
        topics.truncate(TOPICS_A_LOOK);
        let topics: Vec<(String, u32)> = topics.into_iter().map(|(topic, width)| (topic.clone(), width)).collect();
        self.looked = (Instant::now(), topics.last().map(|(topic, _)| topic.clone()).unwrap_or_default());
        let (producer, progress) = (self.producer.clone(), self.progress.clone());
        drop(tokio::task::spawn_blocking(move || {
            for (topic, used) in topics {
                // A cluster that does not answer is the producer's to tell of.
                if producer.is_closing() {
                    return;
                }
                let Ok(Topic::Partitions(partitions)) = producer.partitions(&topic, ASK_TIMEOUT) else { return };
                progress.set_width(TopicWidth { topic, used, partitions });
            }
        }));
    }

    /// What the topic takes in one batch holds for records of any policy. A topic that takes less than our batches gets
    /// smaller ones: the broker would refuse records that are small by themselves. The client library has one limit for
    /// all topics, so a new client takes over once the old one has nothing in flight, and the order is kept.
    async fn learn_limit(&mut self, config: &KafkaConfig, topic: &str) -> Result<(), SinkError> {
        let Some(admin) = &self.admin else { return Ok(()) };
        let Some(bytes) = admin.batch_bytes(topic).await else { return Ok(()) };
        self.sizes.learn(topic, bytes);
        if bytes >= self.batch_bytes {
            return Ok(());
        }
        if self.transactional {
            self.kept.batch_bytes = Some(bytes.max(1));
            self.progress.set_state(self.kept.encode());
            // Kept with the cursor, it is what the next life begins with.
            return Err(SinkError::anew(format!("topic {topic} takes batches of {bytes} bytes at most")));
        }
        self.drained().await?;
        let (window, progress, sizes) = (self.window.clone(), self.progress.clone(), self.sizes.clone());
        let producer = Producer::start(config, &self.cursor, None, window, progress, sizes, bytes.max(1))?;
        let old = std::mem::replace(&mut self.producer, producer);
        self.batch_bytes = bytes;
        tracing::info!(cursor = %self.cursor, topic, bytes, "topic takes small batches only; sending none larger");
        old.closing();
        // Nothing waits for it: it has nothing left to send.
        drop(tokio::task::spawn_blocking(move || drop(old)));
        Ok(())
    }

    /// After a failure: whether the broker refused a record for its size, and what follows for those that are made to fit.
    /// Some when another life goes on with that.
    pub(in crate::sink::kafka) async fn learn_from_refusal(&self) -> Option<SinkError> {
        let topic = self.sizes.take_refused().filter(|topic| self.fitted.contains(topic))?;
        let told = match &self.admin {
            Some(admin) => admin.batch_bytes(&topic).await,
            None => None,
        };
        let bytes = told.unwrap_or(BATCH_BYTES_DEFAULT);
        let is_news = self.sizes.learn(&topic, bytes) && self.sizes.begin_anew(&topic);
        is_news.then(|| SinkError::anew(format!("topic {topic} refuses a record: it takes {bytes} bytes at most")))
    }

    /// Partitions of a topic; none when it was missing so many times.
    async fn ask(&self, topic: &str, times: u32) -> Result<Option<u32>, SinkError> {
        for time in 1..=times {
            let (producer, name) = (self.producer.clone(), topic.to_owned());
            if let Topic::Partitions(count) = self.answer(move || producer.partitions(&name, ASK_TIMEOUT)).await? {
                return Ok(Some(count));
            }
            if time < times {
                tokio::time::sleep(ASK_PAUSE).await;
            }
        }
        Ok(None)
    }

    /// Creates a topic and waits until it is there. Gives its partitions.
    async fn create(&self, config: &KafkaConfig, topic: &str, wanted: Option<u32>) -> Result<u32, SinkError> {
        // One that had been there and is gone took its records with it: nobody makes that good by an empty one.
        if self.kept.partitions.contains_key(topic) && !config.accept_partition_change {
            return Err(SinkError::definite(format!("topic {topic} was deleted: it had been used before")).advise(
                format!(
                    "create topic {topic} again, or set accept_partition_change = true to have it created, then resume"
                ),
            ));
        }
        let Some(admin) = &self.admin else { return Err(outcome::missing_topic(topic)) };
        let new = Creation::new(config, topic, wanted);
        admin.create(&new, false).await?;
        tracing::info!(cursor = %self.cursor, topic, "topic created with {}", new.shape());
        let created = self.ask(topic, ASK_CREATED).await?;
        created.ok_or_else(|| SinkError::transient(format!("topic {topic} was created and is not there yet")))
    }

    /// Whether a topic exists.
    pub(in crate::sink::kafka) async fn exists(&self, topic: &str) -> Result<bool, SinkError> {
        let (producer, name) = (self.producer.clone(), topic.to_owned());
        let found = self.answer(move || producer.partitions(&name, ASK_TIMEOUT)).await?;
        Ok(found != Topic::Missing)
    }

    /// Whether a topic is compacted, when the cluster tells.
    pub(in crate::sink::kafka) async fn compacts(&self, topic: &str) -> Option<bool> {
        self.admin.as_ref()?.settings(topic).await?.compacted
    }
}
