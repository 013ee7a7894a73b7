//! `kafka.settings`, `kafka.connect`, `kafka.topic`: one of each for every delivery to Kafka.

#[cfg(feature = "kafka")]
use std::collections::HashSet;
#[cfg(feature = "kafka")]
use std::time::Duration;

use super::Item;
use crate::capture::facts::TableFacts;
#[cfg(feature = "kafka")]
use crate::change::schema::TableName;
use crate::config::{Config, Delivery, SinkConfig};
#[cfg(feature = "kafka")]
use crate::delivery::select::Selection;
use crate::sink::kafka::config::{Acks, KafkaConfig};
#[cfg(feature = "kafka")]
use crate::sink::kafka::{TopicFacts, config::MessageKey, expand, inspect, named_topics};

/// How long a cluster may take to answer.
#[cfg(feature = "kafka")]
const TIMEOUT: Duration = Duration::from_secs(10);

/// Every item of every Kafka delivery.
pub(super) async fn items(config: &Config, tables: &[TableFacts]) -> Vec<Item> {
    let mut items = Vec::new();
    for delivery in &config.deliveries {
        if let SinkConfig::Kafka(kafka) = &delivery.kind {
            let of_delivery = cluster(delivery, kafka, tables).await;
            items.push(settings(kafka).about(&delivery.name));
            items.extend(of_delivery.into_iter().map(|item| item.about(&delivery.name)));
        }
    }
    items
}

fn settings(kafka: &KafkaConfig) -> Item {
    const ID: &str = "kafka.settings";
    match kafka.acks {
        Acks::All => Item::pass(ID, "they go together"),
        Acks::Leader | Acks::None => Item::warn(
            ID,
            "acks is below \"all\": a broker that fails can lose what it acknowledged, and the cursor has moved on",
            "set acks = \"all\"",
        ),
    }
}

#[cfg(not(feature = "kafka"))]
async fn cluster(_: &Delivery, _: &KafkaConfig, _: &[TableFacts]) -> Vec<Item> {
    vec![Item::fail("kafka.connect", "this build has no Kafka client", "build with the feature kafka")]
}

#[cfg(feature = "kafka")]
async fn cluster(delivery: &Delivery, kafka: &KafkaConfig, tables: &[TableFacts]) -> Vec<Item> {
    use crate::failure::{Class, Failure};

    const ID: &str = "kafka.connect";
    let (topics, others) = asked_about(topics(delivery, kafka, tables));
    match inspect(kafka, &delivery.name, &topics, TIMEOUT).await {
        Err(e) => {
            let remedy = e.next_step().unwrap_or_else(|| "see that brokers are right and that one runs".to_owned());
            let item = Item::fail(ID, e.to_string(), remedy);
            vec![if e.class() == Class::Transient { item.unreachable() } else { item }]
        }
        Ok(facts) => {
            let mut items = vec![Item::pass(ID, format!("{} answers", kafka.brokers))];
            items.extend(topic_items(kafka, &facts));
            items.extend(others);
            items
        }
    }
}

/// The topics that are known now: those named outright, those of tables named exactly, those of tables that are there.
#[cfg(feature = "kafka")]
fn topics(delivery: &Delivery, kafka: &KafkaConfig, tables: &[TableFacts]) -> Vec<String> {
    let mut topics = named_topics(kafka);
    let mut known: HashSet<String> = topics.iter().cloned().collect();
    let selection = Selection::of(delivery);
    let exact = delivery.tables.exact_tables().map(|(database, table)| TableName::new(database, table));
    let exact = exact.map(|source| (selection.delivered_name(&source), source));
    for (name, source) in exact.chain(super::objects::delivered_names(delivery, tables)) {
        let own = delivery.objects.rule(&source.database, &source.table).and_then(|rule| rule.topic.as_ref());
        let topic = expand(own.unwrap_or(&kafka.topic), &name.database, &name.table);
        if known.insert(topic.clone()) {
            topics.push(topic);
        }
    }
    topics
}

/// Topics that are asked about: of more, the first, so that a check of ten thousand tables ends soon.
#[cfg(feature = "kafka")]
const TOPICS_MAX: usize = 200;

/// The topics to ask about, and what is to be said of the others, where there are any.
#[cfg(feature = "kafka")]
fn asked_about(mut topics: Vec<String>) -> (Vec<String>, Option<Item>) {
    let others = topics.split_off(topics.len().min(TOPICS_MAX)).len();
    let said = || format!("{others} more topics were not asked about: a check asks about the first {TOPICS_MAX}");
    (topics, (others > 0).then(|| Item::pass("kafka.topic", said())))
}

#[cfg(feature = "kafka")]
fn topic_items(kafka: &KafkaConfig, facts: &[TopicFacts]) -> Vec<Item> {
    const ID: &str = "kafka.topic";
    if facts.is_empty() {
        let finding =
            format!("topics of {} are known when their tables come; a missing one parks the delivery", kafka.topic);
        return vec![Item::pass(ID, finding)];
    }
    facts.iter().map(|topic| topic_item(kafka, topic, ID)).collect()
}

#[cfg(feature = "kafka")]
fn topic_item(kafka: &KafkaConfig, facts: &TopicFacts, id: &'static str) -> Item {
    let name = &facts.topic;
    let Some(partitions) = facts.partitions else {
        return Item::fail(id, format!("topic {name} does not exist"), format!("create topic {name}"));
    };
    if let Some(wanted) = kafka.partitions.filter(|wanted| *wanted > partitions) {
        let finding = format!("topic {name} has {partitions} partitions, the config asks for {wanted}");
        return Item::fail(id, finding, "lower partitions, or give the topic more");
    }
    if facts.compacted == Some(true) && *kafka.message_key() == MessageKey::None {
        let finding = format!("topic {name} is compacted and takes no records without a key");
        return Item::fail(id, finding, "set message_key = \"primary_key\", or cleanup.policy=delete");
    }
    if let Some(bytes) = facts.batch_bytes_max.filter(|bytes| *bytes < kafka.max_record_bytes.0) {
        let limit = kafka.max_record_bytes;
        let finding = format!("topic {name} takes {bytes} bytes at most, max_record_bytes is {limit}");
        return Item::warn(id, finding, format!("raise max.message.bytes of {name}, or lower max_record_bytes"));
    }
    let plural = if partitions == 1 { "" } else { "s" };
    Item::pass(id, format!("topic {name} has {partitions} partition{plural}"))
}

#[cfg(all(test, feature = "kafka"))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::check::Level;

    fn config(lines: &str) -> Config {
        let text = format!("[source]\nurl = \"mysql://r@db1\"\n[[delivery]]\nname = \"orders\"\n{lines}\n");
        Config::parse(&text, Path::new("t"), &|_| None).expect("valid")
    }

    fn of(config: &Config) -> (&Delivery, &KafkaConfig) {
        let SinkConfig::Kafka(kafka) = &config.deliveries[0].kind else { panic!("a Kafka delivery") };
        (&config.deliveries[0], kafka)
    }

    #[test]
    fn topics_are_known_from_a_fixed_name_exact_tables_and_the_ddl_topic() {
        let c = config("tables = [\"shop.orders\", \"shop.x_*\"]\nkafka = { brokers = \"k\", ddl_topic = \"ddl\" }");
        let (delivery, kafka) = of(&c);
        assert_eq!(topics(delivery, kafka, &[]), ["ddl", "shop.orders"]);
        let c = config("tables = [\"shop.orders\"]\nkafka = { brokers = \"k\", topic = \"all\" }");
        let (delivery, kafka) = of(&c);
        assert_eq!(topics(delivery, kafka, &[]), ["all"]);
        let c = config("tables = [\"shop.orders\"]\nmap = { database = \"dw\" }\nkafka = { brokers = \"k\" }");
        let (delivery, kafka) = of(&c);
        assert_eq!(topics(delivery, kafka, &[]), ["dw.orders"]);
    }

    #[test]
    fn a_missing_a_narrow_a_small_and_a_compacted_topic_are_told_apart() {
        let c = config("kafka = { brokers = \"k\", topic = \"all\", partitions = 3 }");
        let (_, kafka) = of(&c);
        let good = TopicFacts {
            topic: "all".into(),
            partitions: Some(3),
            batch_bytes_max: Some(20 << 20),
            compacted: Some(false),
        };
        let level = |facts: TopicFacts| topic_items(kafka, &[facts])[0].level;
        assert_eq!(level(good.clone()), Level::Pass);
        assert_eq!(level(TopicFacts { partitions: None, ..good.clone() }), Level::Fail);
        assert_eq!(level(TopicFacts { partitions: Some(2), ..good.clone() }), Level::Fail);
        assert_eq!(level(TopicFacts { batch_bytes_max: Some(1_048_588), ..good.clone() }), Level::Warn);
        assert_eq!(level(TopicFacts { compacted: Some(true), ..good }), Level::Fail);
        assert_eq!(topic_items(kafka, &[])[0].level, Level::Pass);
    }

    #[test]
    fn topics_beyond_those_asked_about_are_counted() {
        let topics = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        let (asked, item) = asked_about(topics(TOPICS_MAX));
        assert_eq!((asked.len(), item), (TOPICS_MAX, None));
        let (asked, item) = asked_about(topics(TOPICS_MAX + 3));
        assert_eq!(asked.len(), TOPICS_MAX);
        let item = item.expect("it says so");
        assert!(item.level == Level::Pass && item.finding.starts_with("3 more topics"), "{item:?}");
    }

    #[tokio::test]
    async fn a_cluster_that_does_not_answer_is_unreachable() {
        let c = config("kafka = { brokers = \"127.0.0.1:1\", topic = \"all\" }");
        let items = items(&c, &[]).await;
        let connect = items.iter().find(|i| i.id == "kafka.connect").expect("asked");
        assert_eq!((connect.level, connect.unreachable), (Level::Fail, true), "{connect:?}");
        assert!(!connect.finding.is_empty() && !connect.remedy.is_empty());
    }
}
