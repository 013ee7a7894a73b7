//! What a topic says of itself, and topics that are created. Asked of the cluster's administration.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::config::{KafkaConfig, Purpose};
use crate::sink::SinkError;

/// How long a question may take. Without an answer about a topic's limit ours holds, and a topic that takes less says so
/// itself.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The number of partitions or replicas that the cluster itself has for new topics (KIP-464).
const CLUSTERS_DEFAULT: i32 = -1;

/// Asks about topics, and creates them.
pub(super) struct TopicAdmin(AdminClient<DefaultClientContext>);

impl TopicAdmin {
    /// Connects in the background.
    pub(super) fn connect(config: &KafkaConfig, cursor: &str) -> Result<Self, SinkError> {
        let mut client = ClientConfig::new();
        client.extend(super::settings::connection_settings(config, cursor));
        let client = client
            .create()
            .map_err(|error| SinkError::definite(format!("the kafka client refuses its settings: {error}")))?;
        Ok(Self(client))
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
            min_insync: value("min.insync.replicas").and_then(|count| count.parse().ok()),
        })
    }

    /// Creates a topic, or finds out whether it could be created when it is only a `rehearsal`. That somebody else created
    /// it meanwhile is no error.
    ///
    /// # Errors
    /// Definite with the cluster's reason when it refuses, transient when nobody answers.
    pub(super) async fn create(&self, new: &Creation<'_>, rehearsal: bool) -> Result<(), SinkError> {
        let topic = new.topic;
        let options = AdminOptions::new()
            .request_timeout(Some(TIMEOUT))
            .operation_timeout(Some(TIMEOUT))
            .validate_only(rehearsal);
        let results = self.0.create_topics(&[new.request()], &options).await;
        let results = results.map_err(|error| SinkError::transient(format!("create topic {topic}: {error}")))?;
        match results.into_iter().next() {
            None | Some(Ok(_) | Err((_, Code::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, code))) if is_passing(code) => {
                Err(SinkError::transient(format!("create topic {topic}: {code}")))
            }
            Some(Err((_, code))) => {
                Err(SinkError::definite(format!("topic {topic} was not created: {code}")).advise(new.by_hand()))
            }
        }
    }
}

/// What asking again may cure.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::NotController
            | Code::BrokerNotAvailable
            | Code::BrokerTransportFailure
            | Code::CoordinatorLoadInProgress
    )
}

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Creation<'c> {
    topic: &'c str,
    /// None: the cluster's default.
    partitions: Option<u32>,
    replication: Option<u16>,
    settings: Vec<(&'c str, &'c str)>,
}

impl<'c> Creation<'c> {
    /// As the settings of a delivery say; `partitions` are those of the table.
    pub(super) fn new(config: &'c KafkaConfig, topic: &'c str, partitions: Option<u32>) -> Self {
        let purpose = config.purpose_of(topic);
        let all = config.topic_config.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Self {
            topic,
            partitions: match purpose {
                Purpose::Rows => partitions.or(config.partitions),
                // Only the first one is used.
                Purpose::Statements => Some(1),
                Purpose::DeadLetters => None,
            },
            replication: config.replication,
            // What keeps the newest row of a key would lose statements and dead letters.
            settings: all.filter(|(name, _)| purpose == Purpose::Rows || *name != "cleanup.policy").collect(),
        }
    }

    /// One partition and these settings.
    pub(super) fn single(topic: &'c str, settings: &[(&'c str, &'c str)]) -> Self {
        Self { topic, partitions: Some(1), replication: None, settings: settings.to_vec() }
    }

    fn request(&self) -> NewTopic<'_> {
        let number = |count: Option<i32>| count.unwrap_or(CLUSTERS_DEFAULT);
        let partitions = number(self.partitions.map(|count| i32::try_from(count).unwrap_or(i32::MAX)));
        let replication = TopicReplication::Fixed(number(self.replication.map(i32::from)));
        let new = NewTopic::new(self.topic, partitions, replication);
        self.settings.iter().fold(new, |new, (name, value)| new.set(name, value))
    }

    /// What it will be like, in words.
    pub(super) fn shape(&self) -> String {
        let partitions = match self.partitions {
            None => "the cluster's default of partitions".to_owned(),
            Some(1) => "1 partition".to_owned(),
            Some(count) => format!("{count} partitions"),
        };
        let replicas = match self.replication {
            None => "replicas".to_owned(),
            Some(1) => "1 replica".to_owned(),
            Some(count) => format!("{count} replicas"),
        };
        let settings: Vec<String> = self.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let settings = if settings.is_empty() { String::new() } else { format!(" and {}", settings.join(", ")) };
        format!("{partitions}, {}{replicas}{settings}", if self.replication.is_none() { "its default of " } else { "" })
    }

    fn by_hand(&self) -> String {
        format!("allow CREATE on topic {}, or create it with {}; then resume", self.topic, self.shape())
    }
}

/// Settings of a topic that matter to a producer.
pub(super) struct TopicSettings {
    pub(super) batch_bytes: Option<usize>,
    pub(super) compacted: Option<bool>,
    pub(super) min_insync: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> KafkaConfig {
        toml::from_str(&format!("brokers = \"k\"\ncreate_topics = true\n{more}")).expect("valid")
    }

    #[test]
    fn a_new_topic_is_as_its_purpose_and_the_settings_want_it() {
        let text = "partitions = 6\nreplication = 3\nddl_topic = \"ddl\"\ndead_letter_topic = \"dead\"\n\
            topic_config = { \"cleanup.policy\" = \"compact\", \"retention.ms\" = \"-1\" }";
        let config = config(text);
        let shape = |topic, partitions| Creation::new(&config, topic, partitions).shape();
        assert_eq!(shape("shop.orders", None), "6 partitions, 3 replicas and cleanup.policy=compact, retention.ms=-1");
        assert!(shape("shop.orders", Some(12)).starts_with("12 partitions,"));
        assert_eq!(shape("ddl", Some(12)), "1 partition, 3 replicas and retention.ms=-1");
        assert!(shape("dead", None).starts_with("the cluster's default of partitions, 3 replicas"));
        let bare = Creation { partitions: None, replication: None, ..Creation::single("t", &[]) };
        assert_eq!(bare.shape(), "the cluster's default of partitions, its default of replicas");
    }
}
