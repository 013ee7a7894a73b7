//! What a topic says of itself: the largest batch it takes. Asked of the cluster's own description of the topic.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use super::config::KafkaConfig;

/// How long the question may take. Without an answer the defaults hold, and a topic that takes less says so itself.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks about topics.
pub(super) struct Limits(AdminClient<DefaultClientContext>);

impl Limits {
    /// Connects in the background; none when the client refuses, which the producer then says better.
    pub(super) fn connect(config: &KafkaConfig, cursor: &str) -> Option<Self> {
        let mut client = ClientConfig::new();
        client.extend(super::settings::connection_settings(config, cursor));
        client.create().ok().map(Self)
    }

    /// `max.message.bytes` of a topic, which holds for a batch as it arrives. None when the cluster does not tell.
    pub(super) async fn batch_bytes(&self, topic: &str) -> Option<usize> {
        self.settings(topic).await?.batch_bytes
    }

    /// A topic's settings. None when the account may not see them, or nobody answers.
    pub(super) async fn settings(&self, topic: &str) -> Option<TopicSettings> {
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let described = self.0.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await.ok()?;
        let resource = described.into_iter().next()?.ok()?;
        let value = |name: &str| resource.get(name).and_then(|entry| entry.value.clone());
        Some(TopicSettings {
            batch_bytes: value("max.message.bytes").and_then(|bytes| bytes.parse().ok()),
            compacted: value("cleanup.policy").map(|policy| policy.contains("compact")),
        })
    }
}

/// Settings of a topic that matter to a producer.
pub(super) struct TopicSettings {
    pub(super) batch_bytes: Option<usize>,
    pub(super) compacted: Option<bool>,
}
