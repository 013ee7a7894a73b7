//! A look at the cluster without writing to it: whether the login works, and what the topics are like.

use std::sync::Arc;
use std::time::Duration;

use super::config::KafkaConfig;
use super::limits::Limits;
use super::producer::{Producer, Topic};
use super::settings::BATCH_BYTES;
use super::topics::is_fixed;
use super::window::Window;
use crate::sink::{Progress, SinkError};

/// What the cluster says of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its name.
    pub topic: String,
    /// Partitions; none when it does not exist.
    pub partitions: Option<u32>,
    /// The largest batch it takes, when the cluster tells.
    pub batch_bytes_max: Option<u64>,
    /// Whether it keeps the newest record of a key only, when the cluster tells.
    pub compacted: Option<bool>,
}

/// Topics that the settings name outright: not those that depend on a table's name.
pub fn named_topics(config: &KafkaConfig) -> Vec<String> {
    let mut topics: Vec<String> = Vec::new();
    if is_fixed(&config.topic) {
        topics.push(config.topic.clone());
    }
    if !matches!(config.ddl_topic.as_str(), "data" | "off") && !topics.contains(&config.ddl_topic) {
        topics.push(config.ddl_topic.clone());
    }
    topics
}

/// Connects, logs in and asks about `topics`; with none, only whether the cluster answers.
///
/// # Errors
/// Transient when no broker answers within `timeout`, definite when the login or a certificate is refused.
pub async fn inspect(
    config: &KafkaConfig,
    cursor: &str,
    topics: &[String],
    timeout: Duration,
) -> Result<Vec<TopicFacts>, SinkError> {
    let progress = Progress::default();
    let window = Arc::new(Window::new(progress.clone()));
    let producer = Producer::start(config, cursor, None, window, progress.clone(), BATCH_BYTES)?;
    let (handle, names) = (producer.clone(), topics.to_vec());
    let asked = tokio::task::spawn_blocking(move || {
        if names.is_empty() {
            return handle.reach(timeout).map(|()| Vec::new());
        }
        names.iter().map(|topic| handle.partitions(topic, timeout)).collect::<Result<Vec<_>, _>>()
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
    let limits = Limits::connect(config, cursor);
    let mut facts = Vec::with_capacity(topics.len());
    for (topic, found) in topics.iter().zip(answer) {
        let partitions = match found {
            Topic::Partitions(count) => Some(count),
            Topic::Missing => None,
        };
        let settings = match &limits {
            Some(limits) if partitions.is_some() => limits.settings(topic).await,
            _ => None,
        };
        facts.push(TopicFacts {
            topic: topic.clone(),
            partitions,
            batch_bytes_max: settings.as_ref().and_then(|s| s.batch_bytes).map(|bytes| bytes as u64),
            compacted: settings.as_ref().and_then(|s| s.compacted),
        });
    }
    Ok(facts)
}
