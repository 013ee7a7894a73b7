//! Whether topics hold anything. Asked of the cluster by offsets; nothing is read.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::config::KafkaConfig;
use crate::sink::SinkError;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long all of them may take together.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which of these topics hold records, in the order given; `topics` come with their numbers of partitions. Blocks.
///
/// # Errors
/// Transient when the cluster does not answer in time.
pub fn holds_records(config: &KafkaConfig, cursor: &str, topics: &[(String, u32)]) -> Result<Vec<bool>, SinkError> {
    let mut client = ClientConfig::new();
    client.extend(super::settings::connection_settings(config, cursor));
    // The client library asks for a group's name; nothing joins it.
    client.set("group.id", format!("relay-{cursor}")).set("enable.auto.commit", "false");
    client.set("allow.auto.create.topics", "false");
    let client: BaseConsumer = client
        .create()
        .map_err(|error| SinkError::definite(format!("the kafka client refuses its settings: {error}")))?;
    let deadline = Instant::now() + PATIENCE;
    let mut held = Vec::with_capacity(topics.len());
    for (topic, partitions) in topics {
        let mut holds = false;
        for partition in 0..i32::try_from(*partitions).unwrap_or(i32::MAX) {
            if Instant::now() >= deadline {
                return Err(SinkError::transient(format!(
                    "topics were not looked into within {} s",
                    PATIENCE.as_secs()
                )));
            }
            let (low, high) = client
                .fetch_watermarks(topic, partition, TIMEOUT)
                .map_err(|error| SinkError::transient(format!("look into topic {topic}: {error}")))?;
            if low < high {
                holds = true;
                break;
            }
        }
        held.push(holds);
    }
    Ok(held)
}
