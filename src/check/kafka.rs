//! `kafka.settings`, `kafka.connect`, `kafka.auth`, `kafka.topic`, `kafka.ddl_topic`: for every delivery to Kafka; and the
//! order in which what is asked of its cluster and registry comes (`kafka.version`, `kafka.registry`, `objects.same_name`).

#[cfg(feature = "kafka")]
use std::collections::HashSet;
#[cfg(feature = "kafka")]
use std::time::Duration;

use super::Item;
#[cfg(feature = "kafka")]
use super::same_name;
use super::same_name::Cursors;
#[cfg(feature = "kafka")]
use super::table::list;
#[cfg(feature = "kafka")]
use super::{registry, version};
use crate::capture::facts::TableFacts;
#[cfg(feature = "kafka")]
use crate::change::schema::TableName;
use crate::config::{Config, Delivery, SinkConfig};
#[cfg(feature = "kafka")]
use crate::delivery::select::Selection;
#[cfg(feature = "kafka")]
use crate::format::FormatName;
use crate::sink::kafka::config::{Acks, KafkaConfig};
#[cfg(feature = "kafka")]
use crate::sink::kafka::{
    AskedTopic, Names, Operation, Rights, TopicFacts,
    config::{Guarantee, MessageKey, OnTooLarge, Purpose, SaslMechanism, Security},
    expand, holds_records, inspect, rights, versions,
};
#[cfg(feature = "kafka")]
use crate::sink::{Refusal, SinkError};

/// How long a cluster may take to answer.
#[cfg(feature = "kafka")]
const TIMEOUT: Duration = Duration::from_secs(10);

/// Every item of every Kafka delivery; `cursors` are those that exist.
pub(super) async fn items(config: &Config, tables: &[TableFacts], cursors: &Cursors) -> Vec<Item> {
    let mut items = Vec::new();
    for delivery in &config.deliveries {
        if let SinkConfig::Kafka(kafka) = &delivery.kind {
            let of_delivery = cluster(&config.name, delivery, kafka, tables, cursors).await;
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
async fn cluster(_: &str, _: &Delivery, _: &KafkaConfig, _: &[TableFacts], _: &Cursors) -> Vec<Item> {
    vec![Item::fail("kafka.connect", "this build has no Kafka client", "build with the feature kafka")]
}

#[cfg(feature = "kafka")]
async fn cluster(
    relay: &str,
    delivery: &Delivery,
    kafka: &KafkaConfig,
    tables: &[TableFacts],
    cursors: &Cursors,
) -> Vec<Item> {
    let Topics { names, of_tables } = topics(delivery, kafka, tables);
    let (topics, others) = asked_about(names);
    let mut items = match inspect(kafka, &delivery.name, &topics, TIMEOUT).await {
        Err(error) => vec![unreached(&error)],
        Ok(facts) => {
            let mut items = vec![Item::pass("kafka.connect", format!("{} answers", kafka.brokers))];
            items.push(auth(kafka, &facts, Asked::of(relay, delivery, kafka, &facts).await));
            items.push(version::item(kafka, versions(kafka).await));
            let is_ddl = |topic: &&TopicFacts| topic.topic == kafka.ddl_topic;
            let data: Vec<TopicFacts> =
                facts.iter().filter(|t| !is_ddl(t) || kafka.topic == t.topic).cloned().collect();
            items.extend(topic_items(delivery, kafka, &data));
            items.extend(others);
            items.push(ddl_topic(delivery, kafka, facts.iter().find(is_ddl)));
            items.push(same_name(delivery, kafka, &data, &of_tables, cursors).await);
            items
        }
    };
    if let Some(options) = &kafka.registry {
        let topics: Vec<String> = topics.into_iter().map(|topic| topic.name).collect();
        items.push(registry::item(options, &topics).await);
    }
    items
}

/// The item of a cluster that did not answer, or that refuses us.
#[cfg(feature = "kafka")]
fn unreached(error: &SinkError) -> Item {
    use crate::failure::Class;

    let id = match error.refusal {
        Some(Refusal::Login | Refusal::Access) => "kafka.auth",
        Some(Refusal::Certificate) | None => "kafka.connect",
    };
    let step = || "see that brokers are right and that one runs".to_owned();
    let item = Item::fail(id, error.reason.clone(), error.next_step.clone().unwrap_or_else(step));
    if error.class == Class::Transient { item.unreachable() } else { item }
}

/// What the account was said to be allowed.
#[cfg(feature = "kafka")]
struct Asked {
    names: Option<Names>,
    told: Result<Rights, String>,
}

#[cfg(feature = "kafka")]
impl Asked {
    async fn of(relay: &str, delivery: &Delivery, kafka: &KafkaConfig, facts: &[TopicFacts]) -> Self {
        let names = (kafka.delivery == Guarantee::ExactlyOnce).then(|| Names::of(relay, &delivery.name));
        let there = facts.iter().filter(|topic| topic.partitions.is_some()).map(|topic| topic.topic.clone());
        let topics: Vec<String> = there.chain(names.iter().map(|names| names.topic.clone())).collect();
        let told = rights(kafka, &topics, names.as_ref().map(|names| &*names.transactional_id)).await;
        Self { names, told }
    }
}

/// How the account is proved, what of the topics it may not see, and what it may not do there.
#[cfg(feature = "kafka")]
fn auth(kafka: &KafkaConfig, facts: &[TopicFacts], asked: Asked) -> Item {
    const ID: &str = "kafka.auth";
    let denied: Vec<String> = facts.iter().filter(|topic| topic.denied).map(|topic| topic.topic.clone()).collect();
    if !denied.is_empty() {
        let remedy = "allow WRITE and DESCRIBE on them, or correct their names: without DESCRIBE nobody is told whether \
                      they exist";
        return Item::fail(ID, format!("the account may not see topics: {}", list(&denied)), remedy);
    }
    let (rights, untold) = match asked.told {
        Ok(rights) => (rights, String::new()),
        Err(reason) => (Rights::default(), format!("; what the account may do was not told ({reason})")),
    };
    let names = facts.iter().map(|topic| topic.topic.clone());
    let closed: Vec<String> = names.filter(|topic| rights.allows(topic, Operation::Write) == Some(false)).collect();
    if !closed.is_empty() {
        return Item::fail(ID, format!("the account may not write topics: {}", list(&closed)), "allow WRITE on them");
    }
    if let Some(Names { topic, transactional_id, .. }) = &asked.names {
        if rights.id_is_denied {
            let finding = format!("the account may not use transactional id {transactional_id}");
            let remedy = "allow WRITE and DESCRIBE on transactional ids with the prefix relay-";
            return Item::fail(ID, finding, remedy);
        }
        let lacks = |operation| rights.allows(topic, operation) == Some(false);
        if lacks(Operation::Read) || lacks(Operation::Write) {
            let finding =
                format!("the account may not read and write topic {topic}, which holds the cursor's position");
            return Item::fail(
                ID,
                finding,
                "allow READ, WRITE and DESCRIBE on topics with the prefix __relay_cursors.",
            );
        }
    }
    let mechanism = match kafka.sasl_mechanism {
        SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
        SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        SaslMechanism::Plain => "PLAIN",
    };
    let user = kafka.username.as_deref().unwrap_or_default();
    let login = match kafka.security {
        Security::Plaintext => "no login: security is plaintext".to_owned(),
        Security::Ssl if kafka.cert_file.is_some() => "known by the certificate in cert_file".to_owned(),
        Security::Ssl => "no login: TLS without cert_file".to_owned(),
        Security::SaslPlaintext => format!("logged in as {user} by {mechanism}, without TLS"),
        Security::SaslSsl => format!("logged in as {user} by {mechanism} over TLS"),
    };
    Item::pass(ID, format!("{login}{untold}"))
}

/// Where statements go; `facts` are those of a topic of their own.
#[cfg(feature = "kafka")]
fn ddl_topic(delivery: &Delivery, kafka: &KafkaConfig, facts: Option<&TopicFacts>) -> Item {
    const ID: &str = "kafka.ddl_topic";
    let rules = || delivery.objects.rules.iter().filter_map(|rule| rule.ddl_op.as_ref());
    if kafka.ddl_topic == "off" || (delivery.objects.ddl_op.is_empty() && rules().all(|ops| ops.is_empty())) {
        return Item::pass(ID, "statements are not delivered");
    }
    let name = &kafka.ddl_topic;
    if let Some(topic) = facts.filter(|topic| name != "data" && topic.partitions.is_none() && !topic.denied) {
        return missing_topic(topic, ID);
    }
    if name != "data" && *name != kafka.topic {
        return Item::pass(ID, format!("statements go to topic {name}"));
    }
    match kafka.format {
        FormatName::DtsAvro | FormatName::ShareplexJson => {
            Item::pass(ID, "statements go where the rows of their table go, as readers of the format expect")
        }
        FormatName::CanalJson | FormatName::DebeziumJson | FormatName::MaxwellJson => Item::warn(
            ID,
            "statements go where the rows of their table go: readers that know rows only, such as Flink's, stop at them",
            "set ddl_topic to a topic of their own, or \"off\"; or accept this when every reader takes them",
        ),
    }
}

/// Whether topics of single tables hold records before the delivery's first.
#[cfg(feature = "kafka")]
async fn same_name(
    delivery: &Delivery,
    kafka: &KafkaConfig,
    facts: &[TopicFacts],
    of_tables: &HashSet<String>,
    cursors: &Cursors,
) -> Item {
    if let Some(item) = same_name::settled(delivery, cursors) {
        return item;
    }
    let there = facts.iter().filter(|topic| of_tables.contains(&topic.topic));
    let topics: Vec<(String, u32)> =
        there.filter_map(|topic| topic.partitions.map(|count| (topic.topic.clone(), count))).collect();
    let (config, cursor, asked) = (kafka.clone(), delivery.name.clone(), topics.clone());
    let held = tokio::task::spawn_blocking(move || holds_records(&config, &cursor, &asked)).await;
    let held = held.unwrap_or_else(|error| Err(SinkError::transient(format!("look into topics: {error}"))));
    let full = held.map(|held| {
        topics.into_iter().zip(held).filter(|(_, holds)| *holds).map(|((topic, _), _)| topic).collect::<Vec<_>>()
    });
    same_name::item(delivery, of_tables.len(), full)
}

/// Topics of a delivery.
#[cfg(feature = "kafka")]
struct Topics {
    /// Those that are known now: named outright, of tables named exactly, of tables that are there.
    names: Vec<AskedTopic>,
    /// Those of them that are of one table alone.
    of_tables: HashSet<String>,
}

#[cfg(feature = "kafka")]
fn topics(delivery: &Delivery, kafka: &KafkaConfig, tables: &[TableFacts]) -> Topics {
    let named = kafka.named_topics().into_iter().map(|topic| AskedTopic { name: topic.name, partitions: None });
    let mut names: Vec<AskedTopic> = named.collect();
    let mut known: HashSet<String> = names.iter().map(|topic| topic.name.clone()).collect();
    let mut of_tables = HashSet::new();
    let selection = Selection::of(delivery);
    let exact = delivery.tables.exact_tables().map(|(database, table)| TableName::new(database, table));
    let exact = exact.map(|source| (selection.delivered_name(&source), source));
    for (name, source) in exact.chain(super::objects::delivered_names(delivery, tables)) {
        let rule = delivery.objects.rule(&source.database, &source.table);
        let own = rule.and_then(|rule| rule.topic.as_ref());
        let template = own.unwrap_or(&kafka.topic);
        let topic = expand(template, &name.database, &name.table);
        let is_exact = rule.is_some_and(|rule| rule.pattern.exact_tables().next().is_some());
        if template.contains("{table}") || (own.is_some() && is_exact) {
            of_tables.insert(topic.clone());
        }
        if known.insert(topic.clone()) {
            names.push(AskedTopic { name: topic, partitions: rule.and_then(|rule| rule.partitions) });
        }
    }
    Topics { names, of_tables }
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
    // What may not be seen is the account's affair.
    facts.iter().filter(|topic| !topic.denied).map(|topic| topic_item(delivery, kafka, topic, ID)).collect()
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
    if let (Acks::All, Some(replicas), Some(least)) = (kafka.acks, facts.replicas, facts.min_insync)
        && replicas < least
    {
        let finding =
            format!("topic {name} has {replicas} replicas and min.insync.replicas {least}: it takes no record");
        return Item::fail(id, finding, format!("lower min.insync.replicas of {name}, or give it more replicas"));
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
        assert_eq!(names(topics(delivery, kafka, &[]).names), ["ddl", "shop.orders"]);
        let c = config("tables = [\"shop.orders\"]\nkafka = { brokers = \"k\", topic = \"all\" }");
        let (delivery, kafka) = of(&c);
        assert_eq!(names(topics(delivery, kafka, &[]).names), ["all"]);
        let c = config("tables = [\"shop.orders\"]\nmap = { database = \"dw\" }\nkafka = { brokers = \"k\" }");
        let (delivery, kafka) = of(&c);
        assert_eq!(names(topics(delivery, kafka, &[]).names), ["dw.orders"]);
        let c = config(
            "tables = [\"shop.orders\"]\nkafka = { brokers = \"k\", dead_letter_topic = \"dead\" }\n\
             [[delivery.table]]\nmatch = \"shop.orders\"\npartitions = 7",
        );
        let (delivery, kafka) = of(&c);
        let asked = topics(delivery, kafka, &[]).names;
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
            denied: false,
            replicas: Some(1),
            min_insync: Some(1),
        };
        let level = |facts: TopicFacts| topic_items(delivery, kafka, &[facts])[0].level;
        assert_eq!(level(good.clone()), Level::Pass);
        assert_eq!(level(TopicFacts { partitions: None, ..good.clone() }), Level::Fail);
        assert_eq!(level(TopicFacts { partitions: Some(2), ..good.clone() }), Level::Fail);
        assert_eq!(level(TopicFacts { batch_bytes_max: Some(1_048_588), ..good.clone() }), Level::Warn);
        assert_eq!(level(TopicFacts { min_insync: Some(2), ..good.clone() }), Level::Fail);
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
                denied: false,
                replicas: None,
                min_insync: None,
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
            let facts = TopicFacts { creation, ..facts("all", None, false) };
            topic_items(delivery, kafka, &[facts]).remove(0)
        };
        let created = item(Some(Ok("6 partitions".to_owned())));
        assert!(created.level == Level::Pass && created.finding.contains("will be created with 6"), "{created:?}");
        let refused = item(Some(Err(crate::sink::SinkError::definite("PolicyViolation").advise("ask them"))));
        assert!(refused.level == Level::Fail && refused.finding.contains("PolicyViolation"), "{refused:?}");
        assert_eq!(refused.remedy, "ask them");
        assert!(topic_items(delivery, kafka, &[])[0].finding.contains("is created"));
    }

    fn facts(topic: &str, partitions: Option<u32>, denied: bool) -> TopicFacts {
        let topic = topic.to_owned();
        let (batch_bytes_max, compacted, replicas, min_insync) = (None, None, None, None);
        TopicFacts { topic, partitions, batch_bytes_max, compacted, creation: None, denied, replicas, min_insync }
    }

    #[test]
    fn topics_of_single_tables_are_told_from_shared_ones() {
        let rules = "[[delivery.table]]\nmatch = \"shop.audit\"\ntopic = \"audit\"\n[[delivery.table]]\nmatch = \"shop.log_*\"\ntopic = \"logs\"";
        let tables = "tables = [\"shop.orders\", \"shop.audit\", \"shop.log_1\"]";
        let c = config(&format!("{tables}\nkafka = {{ brokers = \"k\" }}\n{rules}"));
        let (delivery, kafka) = of(&c);
        let found = topics(delivery, kafka, &[]);
        assert_eq!(names(found.names), ["shop.orders", "audit", "logs"]);
        assert_eq!(found.of_tables, HashSet::from(["shop.orders".to_owned(), "audit".to_owned()]));
    }

    #[test]
    fn statements_among_rows_warn_where_readers_stop_at_them_and_a_missing_topic_fails() {
        let judged = |lines: &str, facts: Option<&TopicFacts>| {
            let c = config(lines);
            let (delivery, kafka) = of(&c);
            let item = ddl_topic(delivery, kafka, facts);
            assert_eq!(item.level == Level::Pass, item.remedy.is_empty(), "{item:?}");
            item.level
        };
        assert_eq!(judged("kafka = { brokers = \"k\" }", None), Level::Warn);
        assert_eq!(judged("kafka = { brokers = \"k\", format = \"dts-avro\" }", None), Level::Pass);
        assert_eq!(judged("kafka = { brokers = \"k\", ddl_topic = \"off\" }", None), Level::Pass);
        assert_eq!(judged("ddl_op = []\nkafka = { brokers = \"k\" }", None), Level::Pass);
        let named = "kafka = { brokers = \"k\", ddl_topic = \"ddl\" }";
        assert_eq!(judged(named, Some(&facts("ddl", Some(1), false))), Level::Pass);
        assert_eq!(judged(named, Some(&facts("ddl", None, false))), Level::Fail);
        let same = "kafka = { brokers = \"k\", topic = \"all\", ddl_topic = \"all\" }";
        assert_eq!(judged(same, Some(&facts("all", Some(1), false))), Level::Warn);
    }

    #[test]
    fn what_the_account_may_not_do_fails_by_its_name() {
        const NEITHER: u32 = 1 << 8;
        const BOTH: u32 = NEITHER | 1 << Operation::Read as u32 | 1 << Operation::Write as u32;
        let c = config("kafka = { brokers = \"k\", topic = \"all\" }");
        let (_, kafka) = of(&c);
        let topics = [facts("all", Some(1), false)];
        let asked = |names: Option<&Names>, topic: u32, positions: u32, id_is_denied| {
            let there = [("all".to_owned(), topic), (Names::of("r", "d").topic, positions)];
            let operations = there.into_iter().filter(|(_, operations)| *operations != 0).collect();
            Asked { names: names.cloned(), told: Ok(Rights { operations, id_is_denied }) }
        };
        let names = Names::of("r", "d");
        for (what, asked) in [
            ("", asked(None, BOTH, 0, false)),
            ("", asked(Some(&names), BOTH, BOTH, false)),
            ("", asked(Some(&names), BOTH, 0, false)),
            ("topics: all", asked(None, NEITHER, 0, false)),
            ("relay-r/d", asked(Some(&names), BOTH, BOTH, true)),
            ("__relay_cursors.r.d", asked(Some(&names), BOTH, NEITHER, false)),
        ] {
            let item = auth(kafka, &topics, asked);
            let expected = if what.is_empty() { Level::Pass } else { Level::Fail };
            assert!(item.level == expected && item.finding.contains(what), "{what}: {item:?}");
        }
    }

    #[test]
    fn what_the_account_may_not_see_fails_once_and_by_name() {
        let c = config("kafka = { brokers = \"k\", topic = \"all\" }");
        let (delivery, kafka) = of(&c);
        let untold = || Asked { names: None, told: Err("an old broker".to_owned()) };
        assert_eq!(auth(kafka, &[facts("all", Some(1), false)], untold()).level, Level::Pass);
        let denied = [facts("all", None, true)];
        let item = auth(kafka, &denied, untold());
        assert!(
            item.level == Level::Fail && item.finding.contains("all") && item.remedy.contains("DESCRIBE"),
            "{item:?}"
        );
        assert!(topic_items(delivery, kafka, &denied).is_empty());
        let login = unreached(&SinkError::definite("no").refused(Refusal::Login));
        assert_eq!((login.id, login.unreachable), ("kafka.auth", false));
        let certificate = unreached(&SinkError::definite("no").refused(Refusal::Certificate));
        assert_eq!(certificate.id, "kafka.connect");
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
        let items = items(&c, &[], &None).await;
        let connect = items.iter().find(|i| i.id == "kafka.connect").expect("asked");
        assert_eq!((connect.level, connect.unreachable), (Level::Fail, true), "{connect:?}");
        assert!(!connect.finding.is_empty() && !connect.remedy.is_empty());
    }
}
