//! A look at the cluster without writing to it: whether the login works, and what the topics are like.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::producer::Producer as _;

use super::RecordLimits;
use super::config::KafkaConfig;
use super::producer::{Producer, Topic};
use super::settings::BATCH_BYTES;
use super::topic_admin::{Creation, TopicAdmin};
use super::window::Window;
use crate::sink::{Progress, Refusal, SinkError};

/// A topic that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedTopic {
    /// Its name.
    pub name: String,
    /// Partitions that its table wants.
    pub partitions: Option<u32>,
}

/// What the cluster says of a topic.
#[derive(Debug, Clone)]
pub struct TopicFacts {
    /// Its name.
    pub topic: String,
    /// Partitions; none when it does not exist.
    pub partitions: Option<u32>,
    /// The largest batch it takes, when the cluster tells.
    pub batch_bytes_max: Option<u64>,
    /// Whether it keeps the newest record of a key only, when the cluster tells.
    pub compacted: Option<bool>,
    /// Of one that does not exist and may be created: what it will be like, or why the cluster would refuse that.
    pub creation: Option<Result<String, SinkError>>,
    /// The account may not see it; it is not known whether it exists.
    pub denied: bool,
    /// Replicas of the partition that has the fewest.
    pub replicas: Option<u32>,
    /// How many replicas must be in sync for a write with `acks = "all"`, when the cluster tells.
    pub min_insync: Option<u32>,
}

/// What the cluster answers about one topic.
enum Answer {
    There(u32, Option<u32>),
    Missing,
    Denied,
}

/// Replicas of the partition that has the fewest.
fn replicas(producer: &Producer, topic: &str, timeout: Duration) -> Option<u32> {
    let metadata = producer.client.client().fetch_metadata(Some(topic), timeout).ok()?;
    let partitions = metadata.topics().first()?.partitions();
    partitions.iter().map(|partition| partition.replicas().len()).min().and_then(|count| u32::try_from(count).ok())
}

/// Connects, logs in and asks about `topics`; with none, only whether the cluster answers.
///
/// # Errors
/// Transient when no broker answers within `timeout`, definite when the login or a certificate is refused.
pub async fn inspect(
    config: &KafkaConfig,
    cursor: &str,
    topics: &[AskedTopic],
    timeout: Duration,
) -> Result<Vec<TopicFacts>, SinkError> {
    let progress = Progress::default();
    let window = Arc::new(Window::new(progress.clone()));
    let sizes = Arc::new(RecordLimits::new(config, ""));
    let producer = Producer::start(config, cursor, None, window, progress.clone(), sizes, BATCH_BYTES)?;
    let (handle, names) = (producer.clone(), topics.iter().map(|topic| topic.name.clone()).collect::<Vec<_>>());
    let asked = tokio::task::spawn_blocking(move || {
        if names.is_empty() {
            return handle.reach(timeout).map(|()| Vec::new());
        }
        let ask = |topic: &String| match handle.partitions(topic, timeout) {
            Ok(Topic::Missing) => Ok(Answer::Missing),
            Ok(Topic::Partitions(count)) => Ok(Answer::There(count, replicas(&handle, topic, timeout))),
            Err(error) if error.refusal == Some(Refusal::Access) => Ok(Answer::Denied),
            Err(error) => Err(error),
        };
        names.iter().map(ask).collect::<Result<Vec<_>, _>>()
    });
    let answer = tokio::select! {
        error = progress.failed() => Err(error),
        answer = asked => answer.map_err(|e| SinkError::transient(format!("ask the cluster: {e}")))?,
    };
    let trouble = progress.subscribe().borrow().trouble.clone();
    producer.closing();
    drop(tokio::task::spawn_blocking(move || drop(producer)));
    // What the client said of its connections says more than that a question timed out.
    let answer = answer.map_err(|error| match trouble {
        Some(trouble) if error.class == crate::failure::Class::Transient => SinkError { reason: trouble, ..error },
        _ => error,
    })?;
    let admin = TopicAdmin::connect(config, cursor)?;
    let mut facts = Vec::with_capacity(topics.len());
    for (topic, found) in topics.iter().zip(answer) {
        let (partitions, replicas) = match found {
            Answer::There(count, replicas) => (Some(count), replicas),
            Answer::Missing | Answer::Denied => (None, None),
        };
        let settings = if partitions.is_some() { admin.settings(&topic.name).await } else { None };
        let creation = match partitions {
            None if config.create_topics => {
                let new = Creation::new(config, &topic.name, topic.partitions);
                Some(admin.create(&new, true).await.map(|()| new.shape()))
            }
            _ => None,
        };
        facts.push(TopicFacts {
            topic: topic.name.clone(),
            partitions,
            batch_bytes_max: settings.as_ref().and_then(|s| s.batch_bytes).map(|bytes| bytes as u64),
            compacted: settings.as_ref().and_then(|s| s.compacted),
            creation,
            denied: matches!(found, Answer::Denied),
            replicas,
            min_insync: settings.as_ref().and_then(|s| s.min_insync),
        });
    }
    Ok(facts)
}
