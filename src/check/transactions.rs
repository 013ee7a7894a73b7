//! `kafka.transactions`: one for every delivery with `delivery = "exactly_once"`.

use super::Item;
use crate::config::Config;
#[cfg(feature = "kafka")]
use crate::sink::kafka::TopicFacts;

/// Every item of every such delivery. One whose cluster does not answer has none: `kafka.connect` says so.
#[cfg(not(feature = "kafka"))]
pub(super) async fn items(_: &Config) -> Vec<Item> {
    Vec::new()
}

/// Every item of every such delivery. One whose cluster does not answer has none: `kafka.connect` says so.
#[cfg(feature = "kafka")]
pub(super) async fn items(config: &Config) -> Vec<Item> {
    use crate::config::SinkConfig;
    use crate::sink::kafka::config::Guarantee;
    use crate::sink::kafka::{AskedTopic, Names, inspect, transaction_version};

    /// How long a cluster may take to answer.
    const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

    let mut items = Vec::new();
    for delivery in &config.deliveries {
        let SinkConfig::Kafka(kafka) = &delivery.kind else { continue };
        if kafka.delivery != Guarantee::ExactlyOnce {
            continue;
        }
        let topic = Names::of(&config.name, &delivery.name).topic;
        let Ok(facts) = inspect(kafka, &delivery.name, &[AskedTopic { name: topic, partitions: None }], TIMEOUT).await
        else {
            continue;
        };
        let version = transaction_version(kafka).await;
        items.extend(facts.first().map(|position| item(position, version).about(&delivery.name)));
    }
    items
}

/// The topic of the cursor's position, and what the cluster's transactions are like.
#[cfg(feature = "kafka")]
fn item(position: &TopicFacts, version: Result<u16, String>) -> Item {
    const ID: &str = "kafka.transactions";
    let topic = &position.topic;
    if position.compacted == Some(false) {
        let finding = format!("topic {topic} is not compacted: the cursor's position in it would be deleted one day");
        return Item::fail(ID, finding, format!("set cleanup.policy=compact on topic {topic}"));
    }
    let place = match position.partitions {
        Some(_) => format!("the cursor's position is in topic {topic}"),
        None => format!("topic {topic} is created at the start, for the cursor's position"),
    };
    match version.map(|version| (version, crate::sink::kafka::caveat(version))) {
        Ok((_, Some(caveat))) => {
            Item::warn(ID, caveat, "kafka-features.sh --bootstrap-server ... upgrade --feature transaction.version=2")
        }
        Ok((version, None)) => Item::pass(ID, format!("{place}; transactions are of version {version}")),
        Err(reason) => Item::pass(ID, format!("{place}; the version of transactions is not known ({reason})")),
    }
}

#[cfg(all(test, feature = "kafka"))]
mod tests {
    use super::*;
    use crate::check::Level;

    #[test]
    fn they_ask_for_a_compacted_topic_and_say_what_an_old_cluster_means() {
        let position = |partitions, compacted| TopicFacts {
            topic: "__relay_cursors.shop.orders".into(),
            partitions,
            batch_bytes_max: None,
            compacted,
            creation: None,
            denied: false,
            replicas: Some(1),
            min_insync: Some(1),
        };
        let good = position(Some(1), Some(true));
        assert_eq!(item(&good, Ok(2)).level, Level::Pass);
        assert_eq!(item(&position(None, None), Ok(2)).level, Level::Pass);
        assert_eq!(item(&position(Some(1), Some(false)), Ok(2)).level, Level::Fail);
        let old = item(&good, Ok(1));
        assert!(old.level == Level::Warn && old.finding.contains("version 1") && !old.remedy.is_empty(), "{old:?}");
        let unknown = item(&good, Err("no answer".to_owned()));
        assert!(unknown.level == Level::Pass && unknown.finding.contains("not known"), "{unknown:?}");
    }
}
