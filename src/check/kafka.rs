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
use crate::sink::kafka::config::{MessageKey, OnTooLarge, Purpose};
#[cfg(feature = "kafka")]
use crate::sink::kafka::{AskedTopic, TopicFacts, expand, inspect};

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
            items.extend(topic_items(delivery, kafka, &facts));
            items.extend(others);
            items
        }
    }
}

/// The topics that are known now: those named outright, those of tables named exactly, those of tables that are there.
#[cfg(feature = "kafka")]
fn topics(delivery: &Delivery, kafka: &KafkaConfig, tables: &[TableFacts]) -> Vec<AskedTopic> {
    let named = kafka.named_topics().into_iter().map(|topic| AskedTopic { name: topic.name, partitions: None });
    let mut topics: Vec<AskedTopic> = named.collect();
    let mut known: HashSet<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let selection = Selection::of(delivery);
    let exact = delivery.tables.exact_tables().map(|(database, table)| TableName::new(database, table));
    let exact = exact.map(|source| (selection.delivered_name(&source), source));
    for (name, source) in exact.chain(super::objects::delivered_names(delivery, tables)) {
        let rule = delivery.objects.rule(&source.database, &source.table);
        let own = rule.and_then(|rule| rule.topic.as_ref());
        let topic = expand(own.unwrap_or(&kafka.topic), &name.database, &name.table);
        if known.insert(topic.clone()) {
            topics.push(AskedTopic { name: topic, partitions: rule.and_then(|rule| rule.partitions) });
        }
    }
    topics
}

/// Topics that are asked about: of more, the first, so that a check of ten thousand tables ends soon.
#[cfg(feature = "kafka")]
const TOPICS_MAX: usize = 200;

/// The topics to ask about, and what is to be said of the others, where there are any.
#[cfg(feature = "kafka")]
fn asked_about(mut topics: Vec<AskedTopic>) -> (Vec<AskedTopic>, Option<Item>) {
    let others = topics.split_off(topics.len().min(TOPICS_MAX)).len();
    let said = || format!("{others} more topics were not asked about: a check asks about the first {TOPICS_MAX}");
    (topics, (others > 0).then(|| Item::pass("kafka.topic", said())))
}

#[cfg(feature = "kafka")]
fn topic_items(delivery: &Delivery, kafka: &KafkaConfig, facts: &[TopicFacts]) -> Vec<Item> {
    const ID: &str = "kafka.topic";
    if facts.is_empty() {
        let missing = if kafka.create_topics { "is created" } else { "parks the delivery" };
        let finding = format!("topics of {} are known when their tables come; a missing one {missing}", kafka.topic);
        return vec![Item::pass(ID, finding)];
    }
    facts.iter().map(|topic| topic_item(delivery, kafka, topic, ID)).collect()
}

#[cfg(feature = "kafka")]
fn topic_item(delivery: &Delivery, kafka: &KafkaConfig, facts: &TopicFacts, id: &'static str) -> Item {
    let name = &facts.topic;
    let purpose = kafka.purpose_of(name);
    let Some(partitions) = facts.partitions else { return missing_topic(facts, id) };
    if let Some(wanted) = kafka.partitions.filter(|wanted| purpose == Purpose::Rows && *wanted > partitions) {
        let finding = format!("topic {name} has {partitions} partitions, the config asks for {wanted}");
        return Item::fail(id, finding, "lower partitions, or give the topic more");
    }
    if facts.compacted == Some(true) && purpose == Purpose::DeadLetters {
        let finding = format!("topic {name} is compacted: of the parts of a dead letter it would keep one");
        return Item::fail(id, finding, format!("set cleanup.policy=delete on {name}"));
    }
    if facts.compacted == Some(true) && *kafka.message_key() == MessageKey::None {
        let finding = format!("topic {name} is compacted and takes no records without a key");
        return Item::fail(id, finding, "set message_key = \"primary_key\", or cleanup.policy=delete");
    }
    let plural = if partitions == 1 { "" } else { "s" };
    let there = format!("topic {name} has {partitions} partition{plural}");
    let Some(bytes) = facts.batch_bytes_max.filter(|bytes| *bytes < kafka.max_record_bytes.0) else {
        return Item::pass(id, there);
    };
    if purpose == Purpose::DeadLetters {
        if bytes < LETTER_BYTES_MIN {
            let finding = format!("topic {name} takes {bytes} bytes at most: too little for a part of a dead letter");
            return Item::fail(
                id,
                finding,
                format!("raise max.message.bytes of {name} to {LETTER_BYTES_MIN} at least"),
            );
        }
        return Item::pass(id, format!("{there}; dead letters come in parts of {bytes} bytes at most"));
    }
    let rules = delivery.objects.rules.iter().map(|rule| rule.on_too_large.unwrap_or(kafka.on_too_large));
    if purpose == Purpose::Rows && rules.chain([kafka.on_too_large]).all(|policy| policy != OnTooLarge::Fail) {
        return Item::pass(id, format!("{there}; on_too_large decides about records of more than {bytes} bytes"));
    }
    let limit = kafka.max_record_bytes;
    let finding = format!("topic {name} takes {bytes} bytes at most, max_record_bytes is {limit}");
    Item::warn(id, finding, format!("raise max.message.bytes of {name}, lower max_record_bytes, or set on_too_large"))
}

/// A topic of dead letters takes as much at least: a part with the key and the headers that it carries.
#[cfg(feature = "kafka")]
const LETTER_BYTES_MIN: u64 = 4096;

#[cfg(feature = "kafka")]
fn missing_topic(facts: &TopicFacts, id: &'static str) -> Item {
    let name = &facts.topic;
    match &facts.creation {
        None => Item::fail(id, format!("topic {name} does not exist"), format!("create topic {name}")),
        Some(Ok(shape)) => Item::pass(id, format!("topic {name} does not exist and will be created with {shape}")),
        Some(Err(error)) => {
            let remedy = error.next_step.clone().unwrap_or_else(|| "see that the brokers answer".to_owned());
            Item::fail(id, format!("topic {name} does not exist, and cannot be created: {error}"), remedy)
        }
    }
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

    fn names(topics: Vec<AskedTopic>) -> Vec<String> {
        topics.into_iter().map(|topic| topic.name).collect()
    }

    #[test]
    fn topics_are_known_from_a_fixed_name_exact_tables_and_the_ddl_topic() {
        let c = config("tables = [\"shop.orders\", \"shop.x_*\"]\nkafka = { brokers = \"k\", ddl_topic = \"ddl\" }");
        let (delivery, kafka) = of(&c);
        assert_eq!(names(topics(delivery, kafka, &[])), ["ddl", "shop.orders"]);
        let c = config("tables = [\"shop.orders\"]\nkafka = { brokers = \"k\", topic = \"all\" }");
        let (delivery, kafka) = of(&c);
        assert_eq!(names(topics(delivery, kafka, &[])), ["all"]);
        let c = config("tables = [\"shop.orders\"]\nmap = { database = \"dw\" }\nkafka = { brokers = \"k\" }");
        let (delivery, kafka) = of(&c);
        assert_eq!(names(topics(delivery, kafka, &[])), ["dw.orders"]);
        let c = config(
            "tables = [\"shop.orders\"]\nkafka = { brokers = \"k\", dead_letter_topic = \"dead\" }\n\
             [[delivery.table]]\nmatch = \"shop.orders\"\npartitions = 7",
        );
        let (delivery, kafka) = of(&c);
        let asked = topics(delivery, kafka, &[]);
        assert_eq!((asked[0].name.as_str(), asked[1].partitions), ("dead", Some(7)));
    }

    #[test]
    fn a_missing_a_narrow_a_small_and_a_compacted_topic_are_told_apart() {
        let c = config("kafka = { brokers = \"k\", topic = \"all\", partitions = 3 }");
        let (delivery, kafka) = of(&c);
        let good = TopicFacts {
            topic: "all".into(),
            partitions: Some(3),
            batch_bytes_max: Some(20 << 20),
            compacted: Some(false),
            creation: None,
        };
        let level = |facts: TopicFacts| topic_items(delivery, kafka, &[facts])[0].level;
        assert_eq!(level(good.clone()), Level::Pass);
        assert_eq!(level(TopicFacts { partitions: None, ..good.clone() }), Level::Fail);
        assert_eq!(level(TopicFacts { partitions: Some(2), ..good.clone() }), Level::Fail);
        assert_eq!(level(TopicFacts { batch_bytes_max: Some(1_048_588), ..good.clone() }), Level::Warn);
        assert_eq!(level(TopicFacts { compacted: Some(true), ..good }), Level::Fail);
        assert_eq!(topic_items(delivery, kafka, &[])[0].level, Level::Pass);
    }

    #[test]
    fn a_policy_for_large_records_and_dead_letters_have_their_own_say_about_a_topics_limit() {
        let text =
            "kafka = { brokers = \"k\", topic = \"all\", dead_letter_topic = \"dead\", on_too_large = \"skip\" }";
        let rule = "\n[[delivery.table]]\nmatch = \"shop.orders\"\non_too_large = \"fail\"";
        let item = |config: &Config, topic: &str, bytes, compacted| {
            let (delivery, kafka) = of(config);
            let facts = TopicFacts {
                topic: topic.into(),
                partitions: Some(1),
                batch_bytes_max: Some(bytes),
                compacted: Some(compacted),
                creation: None,
            };
            topic_items(delivery, kafka, &[facts]).remove(0)
        };
        let (all, but_one) = (config(text), config(&format!("{text}{rule}")));
        let passed = item(&all, "all", 20_000, false);
        assert!(passed.level == Level::Pass && passed.finding.contains("on_too_large"), "{passed:?}");
        assert_eq!(item(&but_one, "all", 20_000, false).level, Level::Warn);
        let passed = item(&all, "dead", 20_000, false);
        assert!(passed.level == Level::Pass && passed.finding.contains("parts"), "{passed:?}");
        assert_eq!(item(&all, "dead", 1000, false).level, Level::Fail);
        assert_eq!(item(&all, "dead", 20 << 20, true).level, Level::Fail);
    }

    #[test]
    fn a_missing_topic_says_what_it_would_become_or_why_not() {
        let c = config("kafka = { brokers = \"k\", topic = \"all\", create_topics = true }");
        let (delivery, kafka) = of(&c);
        let item = |creation| {
            let facts =
                TopicFacts { topic: "all".into(), partitions: None, batch_bytes_max: None, compacted: None, creation };
            topic_items(delivery, kafka, &[facts]).remove(0)
        };
        let created = item(Some(Ok("6 partitions".to_owned())));
        assert!(created.level == Level::Pass && created.finding.contains("will be created with 6"), "{created:?}");
        let refused = item(Some(Err(crate::sink::SinkError::definite("PolicyViolation").advise("ask them"))));
        assert!(refused.level == Level::Fail && refused.finding.contains("PolicyViolation"), "{refused:?}");
        assert_eq!(refused.remedy, "ask them");
        assert!(topic_items(delivery, kafka, &[])[0].finding.contains("is created"));
    }

    #[test]
    fn topics_beyond_those_asked_about_are_counted() {
        let topic = |n: usize| AskedTopic { name: n.to_string(), partitions: None };
        let topics = |count: usize| (0..count).map(topic).collect::<Vec<_>>();
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
