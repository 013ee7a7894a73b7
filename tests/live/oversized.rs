//! Records that are too large for a real broker, under each policy and both guarantees; topics that are created; a topic
//! that grows.

use relay::check::{Item, Level};
use relay::failure::{Class, Failure as _};
use relay::status::exceptions::Fate;
use serde_json::Value;

use super::kafka::Lab;
use crate::support::servers::{Servers, shared};
use crate::support::{fresh, kafka, wait_until};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// Rows of a log, and the one that is too large.
const ROWS: i64 = 40;
const LARGE: i64 = 25;
/// Between the two: bytes that the topic takes, or that we allow.
const LIMIT: usize = 20_000;

/// Text that does not compress, so that the broker sees its size.
fn noise(bytes: usize) -> String {
    let mut state = 1u64;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + ((state >> 33) % 90) as u8)
    };
    (0..bytes).map(letter).filter(|c| !matches!(c, '"' | '\\')).collect()
}

/// A lab of its own topics, which the relay creates with this limit for a batch; its rows are not written yet.
struct Case {
    lab: Lab,
    topic: String,
    dead: String,
}

fn case(servers: &Servers, more: &str, topic_bytes: usize) -> Case {
    let (topic, dead) = (fresh("oversized"), fresh("dead"));
    let mut lab = Lab::new(format!(
        "brokers = {:?}\ntopic = {topic:?}\ndead_letter_topic = {dead:?}\ncreate_topics = true\npartitions = 1\n\
         topic_config = {{ \"max.message.bytes\" = \"{topic_bytes}\" }}\n{more}",
        servers.brokers(),
    ));
    lab.relay = fresh("oversized");
    Case { lab, topic, dead }
}

fn rows(lab: &mut Lab, large: &str) {
    lab.insert(1..=ROWS, |id| if id == LARGE { large.to_owned() } else { format!("note {id}") });
}

/// The row of a record, and its id.
fn row(record: &kafka::Record) -> (i64, Value) {
    let value: Value = serde_json::from_str(&record.value).expect("JSON");
    let row = value["data"][0].clone();
    (row["id"].as_str().expect("an id").parse().expect("a number"), row)
}

/// What a policy made of the one row; the others are there, once and in order.
#[track_caller]
fn assert_policy(what: &str, case: &Case, brokers: &str, policy: &str, large: &str) {
    let records = kafka::consume_committed(brokers, &case.topic);
    let ids: Vec<i64> = records.iter().map(|record| row(record).0).collect();
    let gap = matches!(policy, "skip" | "dead_letter");
    assert_eq!(ids, (1..=ROWS).filter(|id| !gap || *id != LARGE).collect::<Vec<_>>(), "{what}");
    let (_, others): (Vec<_>, Vec<_>) = records.iter().partition(|record| row(record).0 == LARGE);
    assert!(others.iter().all(|r| r.header("relay.truncated").is_none() && r.header("relay.key_only").is_none()));
    let found = records.iter().find(|record| row(record).0 == LARGE);
    let fate = match policy {
        "skip" => Fate::Skipped,
        "truncate_columns" => {
            let record = found.expect(what);
            assert_eq!(
                (record.header("relay.truncated"), &row(record).1["note"]),
                (Some("note"), &Value::Null),
                "{what}"
            );
            Fate::Truncated
        }
        "key_only" => {
            let record = found.expect(what);
            let alone = serde_json::json!({"id": LARGE.to_string()});
            assert_eq!((record.header("relay.key_only"), row(record).1), (Some("true"), alone), "{what}");
            Fate::KeyOnly
        }
        _ => {
            assert_dead_letter(what, case, brokers, large);
            Fate::DeadLetter
        }
    };
    let exceptions = case.lab.status().exceptions();
    let [exception] = &exceptions[..] else { panic!("{what}: {exceptions:?}") };
    assert_eq!(
        (exception.fate, &*exception.table, &*exception.key),
        (fate, "shop.orders", "{\"id\":\"25\"}"),
        "{what}"
    );
}

/// The parts in the topic of dead letters are the whole record.
#[track_caller]
fn assert_dead_letter(what: &str, case: &Case, brokers: &str, large: &str) {
    let parts = kafka::consume_hex(brokers, &case.dead);
    assert!(parts.len() > 1, "{what}: {} parts", parts.len());
    let mut bytes = Vec::new();
    for (number, part) in (1..).zip(&parts) {
        assert_eq!(part.header("relay.chunk"), Some(&*format!("{number}/{}", parts.len())), "{what}");
        assert_eq!((part.header("relay.encoding"), part.header("relay.table")), (Some("zstd"), Some("shop.orders")));
        assert_eq!(part.header("relay.seq"), parts[0].header("relay.seq"));
        // `kcat` puts commas between headers: what follows the first one in a text is lost here.
        assert!(part.header("relay.reason").is_some_and(|reason| reason.ends_with(" bytes")), "{what}");
        let hex = |at: usize| u8::from_str_radix(&part.value[at..at + 2], 16).expect("hex");
        bytes.extend((0..part.value.len()).step_by(2).map(hex));
    }
    let whole = zstd::bulk::decompress(&bytes, 1 << 20).expect("whole");
    let value: Value = serde_json::from_slice(&whole).expect("JSON");
    assert_eq!(
        (&value["data"][0]["id"], &value["data"][0]["note"]),
        (&LARGE.to_string().into(), &large.into()),
        "{what}"
    );
}

/// Every policy, with the smaller limit on one side or the other.
fn every_policy(guarantee: &str) {
    let servers = shared(&["kafka"]);
    let large = noise(40_000);
    for (ours, topics) in [("10MiB".to_owned(), LIMIT), (format!("{LIMIT}B"), 1 << 20)] {
        for policy in ["skip", "truncate_columns", "key_only", "dead_letter"] {
            let what = format!("{guarantee}, {policy}, {ours} of ours");
            let settings = format!("delivery = {guarantee:?}\non_too_large = {policy:?}\nmax_record_bytes = {ours:?}");
            let mut case = case(&servers, &settings, topics);
            rows(&mut case.lab, &large);
            case.lab.start();
            case.lab.wait_delivered();
            case.lab.stop().expect(&what);
            assert_policy(&what, &case, servers.brokers(), policy, &large);
        }
        let mut case = case(&servers, &format!("delivery = {guarantee:?}\nmax_record_bytes = {ours:?}"), topics);
        rows(&mut case.lab, &large);
        case.lab.start();
        let error = case.lab.failure();
        assert_eq!(error.class(), Class::Definite, "{error}");
        assert!(error.next_step().expect("a next step").contains("on_too_large"), "{error}");
        if topics > LIMIT {
            // Found before it is sent, it has a name.
            let said = error.to_string();
            let names = ["shop.orders", "{\"id\":\"25\"}", "20000 are allowed"];
            assert!(names.iter().all(|name| said.contains(name)), "{said}");
        }
        let records = kafka::consume_committed(servers.brokers(), &case.topic);
        assert!(records.iter().all(|record| row(record).0 < LARGE), "nothing overtakes it");
        // The policy is chosen, and the delivery goes on at its place.
        case.lab.settings.push_str("\non_too_large = \"skip\"");
        case.lab.start();
        case.lab.wait_delivered();
        case.lab.stop().expect("in good order");
        let ids: std::collections::BTreeSet<i64> =
            kafka::consume_committed(servers.brokers(), &case.topic).iter().map(|record| row(record).0).collect();
        assert_eq!(ids, (1..=ROWS).filter(|id| *id != LARGE).collect(), "{guarantee}");
    }
}

#[test]
fn each_policy_delivers_all_else_at_least_once() {
    every_policy("at_least_once");
}

#[test]
fn each_policy_delivers_all_else_exactly_once() {
    every_policy("exactly_once");
}

#[test]
fn a_limit_that_is_lowered_meanwhile_is_learnt_from_the_refusal() {
    let servers = shared(&["kafka"]);
    let large = noise(40_000);
    for guarantee in ["at_least_once", "exactly_once"] {
        let settings = format!("delivery = {guarantee:?}\non_too_large = \"truncate_columns\"");
        let Case { mut lab, topic, .. } = case(&servers, &settings, 1 << 20);
        lab.insert(1..=10, |id| if id == 5 { large.clone() } else { "small".to_owned() });
        lab.start();
        lab.wait_delivered();
        kafka::alter_topic(&servers, &topic, &format!("max.message.bytes={LIMIT}"));
        // The broker has taken the new limit, and keeps to it a little later.
        let mut last = 10;
        let notes = wait_until("the broker keeps to the new limit", PATIENCE, || {
            lab.insert(last + 1..=last + 10, |id| if id == last + 5 { large.clone() } else { "small".to_owned() });
            lab.wait_delivered();
            last += 10;
            let mut notes = std::collections::BTreeMap::new();
            for record in kafka::consume_committed(servers.brokers(), &topic) {
                let (id, row) = row(&record);
                let truncated = record.header("relay.truncated").map(str::to_owned);
                notes.insert(id, (row["note"].as_str().map(str::len), truncated));
            }
            notes[&(last - 5)].1.is_some().then_some(notes)
        });
        lab.stop().expect("in good order");
        assert_eq!(i64::try_from(notes.len()), Ok(last), "{guarantee}");
        assert_eq!(notes[&5], (Some(large.len()), None), "{guarantee}: it was small enough then");
        assert_eq!(notes[&(last - 5)], (None, Some("note".to_owned())), "{guarantee}");
        assert_eq!(notes[&(last - 4)], (Some(5), None), "{guarantee}");
    }
}

#[test]
fn rows_on_which_the_script_fails_go_to_the_dead_letters_in_both_guarantees() {
    let servers = shared(&["kafka"]);
    for guarantee in ["at_least_once", "exactly_once"] {
        let Case { mut lab, topic, dead } = case(&servers, &format!("delivery = {guarantee:?}"), 1 << 20);
        lab.delivery =
            "etl = \"e_set(`number`, cast_string_to_long(`note`))\"\netl_on_error = \"dead_letter\"".to_owned();
        lab.insert(1..=10, |id| if id % 4 == 0 { "none".to_owned() } else { id.to_string() });
        lab.start();
        lab.wait_delivered();
        lab.stop().expect("in good order");
        let ids = |topic: &str| -> Vec<i64> {
            kafka::consume_committed(servers.brokers(), topic).iter().map(|record| row(record).0).collect()
        };
        assert_eq!((ids(&topic), ids(&dead)), (vec![1, 2, 3, 5, 6, 7, 9, 10], vec![4, 8]), "{guarantee}");
        let letters = kafka::consume_committed(servers.brokers(), &dead);
        assert!(letters.iter().all(|letter| letter.header("relay.reason").is_some_and(|r| r == "etl script")));
        assert!(letters[0].header("relay.chunk").is_none() && row(&letters[0]).1.get("number").is_none());
    }
}

fn check(lab: &Lab) -> Vec<Item> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let items = runtime.block_on(relay::check::run(&lab.config())).items;
    items.into_iter().filter(|item| item.id == "kafka.topic").collect()
}

#[test]
fn missing_topics_are_created_when_that_is_allowed_and_a_check_says_so_before() {
    let servers = shared(&["kafka"]);
    let mut first = case(&servers, "replication = 1", 1 << 20);
    first.lab.settings = first.lab.settings.replace("partitions = 1", "partitions = 3");
    let said: Vec<String> =
        check(&first.lab).into_iter().map(|item| format!("{:?} {}", item.level, item.finding)).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    let shape = "3 partitions, 1 replica and max.message.bytes=1048576";
    assert!(said[0].starts_with("Pass") && said[0].ends_with(shape) && said[0].contains(&first.topic), "{said:?}");
    assert!(said[1].starts_with("Pass") && said[1].contains(&first.dead), "{said:?}");
    // Another delivery wants the same topic at the same time.
    let mut second = Lab::new(first.lab.settings.clone());
    for lab in [&mut first.lab, &mut second] {
        lab.insert(1..=100, |_| "x".to_owned());
        lab.start();
    }
    for lab in [&mut first.lab, &mut second] {
        lab.wait_delivered();
        lab.stop().expect("in good order");
    }
    let records = kafka::consume(servers.brokers(), &first.topic);
    let partitions: std::collections::BTreeSet<i32> = records.iter().map(|record| record.partition).collect();
    assert_eq!((records.len(), partitions), (200, [0, 1, 2].into()));
    let said = check(&first.lab);
    assert!(said.iter().all(|item| item.level != Level::Fail && !item.finding.contains("created")), "{said:?}");
}

#[test]
fn a_refused_creation_parks_with_the_brokers_reason() {
    let servers = shared(&["kafka"]);
    let mut case = case(&servers, "replication = 3", 1 << 20);
    let refused = check(&case.lab);
    assert!(
        refused.iter().all(|item| item.level == Level::Fail && item.finding.contains("cannot be created")),
        "{refused:?}"
    );
    case.lab.insert(1..=3, |_| "x".to_owned());
    case.lab.start();
    let error = case.lab.failure();
    assert_eq!(error.class(), Class::Definite, "{error}");
    assert!(error.to_string().to_lowercase().contains("replication"), "{error}");
    assert!(error.next_step().is_some_and(|step| step.contains("CREATE")), "{error}");
    case.lab.settings = case.lab.settings.replace("replication = 3", "replication = 1");
    case.lab.start();
    case.lab.wait_delivered();
    case.lab.stop().expect("in good order");
    assert_eq!(kafka::consume(servers.brokers(), &case.topic).len(), 3);
}

#[test]
fn a_topic_that_grew_keeps_its_old_width_and_says_so_until_that_is_accepted() {
    let servers = shared(&["kafka"]);
    let Case { mut lab, topic, .. } = case(&servers, "", 1 << 20);
    lab.settings = lab.settings.replace("partitions = 1\n", "");
    let partitions = |from: usize| -> std::collections::BTreeSet<i32> {
        kafka::consume(servers.brokers(), &topic)
            .iter()
            .filter(|r| row(r).0 > from as i64)
            .map(|r| r.partition)
            .collect()
    };
    lab.insert(1..=20, |_| "x".to_owned());
    lab.start();
    lab.wait_delivered();
    assert!(lab.status().grown().is_empty());
    lab.stop().expect("in good order");
    let before = partitions(0).len() as u32;
    kafka::widen_topic(&servers, &topic, before + 3);
    lab.insert(21..=60, |_| "x".to_owned());
    lab.start();
    lab.wait_delivered();
    let grown = wait_until("it says so", PATIENCE, || lab.status().grown().pop());
    assert_eq!((&grown.topic, grown.used, grown.partitions), (&topic, before, before + 3));
    lab.stop().expect("in good order");
    assert_eq!(partitions(20).len() as u32, before);
    lab.settings.push_str("\naccept_partition_change = true");
    lab.insert(61..=100, |_| "x".to_owned());
    lab.start();
    lab.wait_delivered();
    wait_until("it is over", PATIENCE, || lab.status().grown().is_empty().then_some(()));
    lab.stop().expect("in good order");
    assert_eq!(partitions(60).len() as u32, before + 3);
}
