//! A config that is taken over again and again while the source is written to: capture and delivery begin new lives, and
//! nothing is lost or comes twice.

use std::time::Duration;

use crate::support::beside::{Going, beside};
use crate::support::daemon::{Daemon, Extra};
use crate::support::kafka::{consume, create_topic};
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
const RELOADS: usize = 12;

/// The config of round `round`: what differs begins a new life of capture, of the delivery, or of both.
fn configure(daemon: &Daemon, server: &Database, schema: &str, round: usize) {
    let heartbeat = 1 + (round / 2) % 3;
    let workers = 1 + round % 3;
    let more = if round % 4 == 3 {
        format!("[[delivery]]\nname = \"more\"\nfile = {{ path = \"{}\" }}\n", daemon.dir().join("more").display())
    } else {
        String::new()
    };
    let source = format!("heartbeat_interval = \"{heartbeat}s\"");
    let delivery = format!("workers = {workers}");
    let extra = Extra { source: &source, delivery: &delivery, more: &more, ..Extra::default() };
    daemon.configure_to_file(&server.url("relay"), &format!("{schema}.*"), extra);
}

/// The ids in a delivery's file, in the order of its lines.
fn ids(daemon: &Daemon, file: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(daemon.dir().join(file)).unwrap_or_default();
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("whole lines"));
    rows.filter(|row| row["type"] == "INSERT")
        .map(|row| row["data"][0]["id"].as_str().expect("an id").parse().expect("a number"))
        .collect()
}

/// Transactions until it is told to end.
fn load(server: &Database, schema: &str, going: &Going) {
    let mut writer = Session::open(server);
    while going.on() {
        // Several statements each, so that a life ends inside a transaction as well.
        writer.run("BEGIN");
        for _ in 0..3 {
            writer.run(&format!("INSERT INTO {schema}.t (v) VALUES (REPEAT('a', 100)), (REPEAT('b', 100))"));
        }
        writer.run("COMMIT");
    }
}

#[test]
fn reloads_under_load_lose_nothing_and_repeat_nothing() {
    let server = shared(&["mysql97"]).mysql97();
    let schema = fresh("reload");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run(&format!("CREATE TABLE {schema}.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200))"));
    let mut daemon = Daemon::new("");
    configure(&daemon, &server, &schema, 0);
    daemon.start();

    beside([|going: &Going| load(&server, &schema, going)], || {
        let reloaded = |daemon: &Daemon| daemon.output().matches("config reloaded").count();
        for round in 1..=RELOADS {
            let before = ids(&daemon, "lines").len();
            wait_until("rows are delivered between reloads", PATIENCE, || {
                let now = ids(&daemon, "lines").len();
                (now > before).then_some(())
            });
            configure(&daemon, &server, &schema, round);
            daemon.signal("HUP");
            wait_until("the config is taken over", PATIENCE, || (reloaded(&daemon) == round).then_some(()));
        }
    });
    let rows: u64 = root.text(&format!("SELECT COUNT(*) FROM {schema}.t")).parse().expect("a number");
    let count = usize::try_from(rows).expect("a count");
    for file in ["lines", "more"] {
        if file == "more" {
            // Its cursor is kept while it is not in the config, and takes up where it was.
            configure(&daemon, &server, &schema, 3);
            daemon.signal("HUP");
        }
        wait_until("everything is delivered", PATIENCE, || (ids(&daemon, file).len() >= count).then_some(()));
    }
    assert!(daemon.stop().success());
    let all: Vec<u64> = (1..=rows).collect();
    for file in ["lines", "more"] {
        assert_eq!(ids(&daemon, file), all, "{file}: each row once, in order");
    }
}

/// What each round of the second test sets: compression, acks, the throttle of rows, the alert's threshold.
const SETTINGS: [(&str, &str, u64, &str); 6] = [
    ("lz4", "all", 0, "1min"),
    ("zstd", "1", 5_000, "2min"),
    ("none", "0", 800, "3min"),
    ("gzip", "all", 0, "4min"),
    ("snappy", "1", 2_000, "5min"),
    ("lz4", "0", 0, "6min"),
];

/// The config of a round: into a topic, and the usual file.
fn configure_topic(daemon: &Daemon, server: &Database, schema: &str, (brokers, topic): (&str, &str), round: usize) {
    let (compression, acks, rps, latency) = SETTINGS[round % SETTINGS.len()];
    let shared = format!("throttle = {{ rps = {rps} }}\nalert = {{ latency = \"{latency}\" }}\n");
    let more = format!(
        "[[delivery]]\nname = \"topic\"\n{shared}[delivery.kafka]\nbrokers = {brokers:?}\ntopic = {topic:?}\n\
         compression = \"{compression}\"\nacks = \"{acks}\"\n"
    );
    let extra = Extra { delivery: &shared, more: &more, ..Extra::default() };
    daemon.configure_to_file(&server.url("relay"), &format!("{schema}.*"), extra);
}

/// The effective settings of a delivery, as status shows them.
fn settings(daemon: &Daemon, name: &str) -> serde_json::Value {
    let status = daemon.json("/api/v1/status");
    let cursors = status["cursors"].as_array().expect("a list");
    let cursor = cursors.iter().find(|cursor| cursor["name"] == name).expect("its cursor");
    assert_eq!(cursor["throttle"], cursor["settings"]["throttle"]);
    cursor["settings"].clone()
}

fn topic_ids(brokers: &str, topic: &str) -> Vec<u64> {
    let rows = consume(brokers, topic).into_iter();
    let rows = rows.map(|record| serde_json::from_str::<serde_json::Value>(&record.value).expect("JSON"));
    rows.filter(|row| row["type"] == "INSERT")
        .map(|row| row["data"][0]["id"].as_str().expect("an id").parse().expect("a number"))
        .collect()
}

#[test]
fn compression_acks_throttle_and_alerts_change_under_load_and_show_in_status() {
    let servers = shared(&["mysql97", "kafka"]);
    let (server, brokers) = (servers.mysql97(), servers.brokers());
    let (schema, topic) = (fresh("retuned"), fresh("retuned"));
    // One partition: the order of all rows shows.
    create_topic(&servers, &topic, 1, &[]);
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run(&format!("CREATE TABLE {schema}.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200))"));
    let mut daemon = Daemon::new("");
    configure_topic(&daemon, &server, &schema, (brokers, &topic), 0);
    daemon.start();

    beside([|going: &Going| load(&server, &schema, going)], || {
        for round in 1..=SETTINGS.len() {
            let before = ids(&daemon, "lines").len();
            wait_until("rows are delivered between reloads", PATIENCE, || {
                (ids(&daemon, "lines").len() > before).then_some(())
            });
            configure_topic(&daemon, &server, &schema, (brokers, &topic), round);
            let (status, answer) = daemon.post("/api/v1/reload", "{}").expect("an answer");
            assert_eq!(status, 200, "{answer}");
            let plan: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
            assert_eq!(plan["tuned"], serde_json::json!(["lines"]), "the file's delivery goes on as it runs");
            assert_eq!(plan["changed"], serde_json::json!(["topic"]), "the topic's begins anew");
            let (compression, acks, rps, latency) = SETTINGS[round % SETTINGS.len()];
            for name in ["lines", "topic"] {
                let shown = settings(&daemon, name);
                assert_eq!((&shown["throttle"]["rps"], &shown["alert"]["latency"]), (&rps.into(), &latency.into()));
            }
            let kafka = &settings(&daemon, "topic")["kafka"];
            assert_eq!((&kafka["compression"], &kafka["acks"]), (&compression.into(), &acks.into()));
        }
    });
    let rows: u64 = root.text(&format!("SELECT COUNT(*) FROM {schema}.t")).parse().expect("a number");
    let count = usize::try_from(rows).expect("a count");
    wait_until("the file has all", PATIENCE, || (ids(&daemon, "lines").len() >= count).then_some(()));
    wait_until("the topic has all", PATIENCE, || (topic_ids(brokers, &topic).len() >= count).then_some(()));
    assert!(daemon.stop().success());
    let all: Vec<u64> = (1..=rows).collect();
    assert_eq!(ids(&daemon, "lines"), all, "the file: each row once, in order");
    assert_eq!(topic_ids(brokers, &topic), all, "the topic: each row once, in order");
}

/// Deliveries that would fail the precheck, and what the refusal names.
const UNFIT: [(&str, &[&str]); 5] = [
    (
        "filter = \"v = 1 AND nothing = 2\"",
        &["filter.syntax (unfit)", "has no column nothing", "correct the condition"],
    ),
    ("etl = \"e_drop_fields(`id`)\"", &["etl.syntax (unfit)", "id"]),
    ("map = { columns = { v = \"id\" } }", &["objects.case_clash (unfit)", "both be named id", "change map"]),
    ("map = { drop_columns = [\"id\"] }", &["objects.map (unfit)", "id"]),
    ("", &["kafka.topic (unfit)", "does not exist", "create topic"]),
];

#[test]
fn a_reload_that_would_fail_the_precheck_is_refused_and_changes_nothing() {
    let servers = shared(&["mysql97", "kafka"]);
    let (server, brokers) = (servers.mysql97(), servers.brokers());
    let schema = fresh("unfit");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    for table in ["t", "T"] {
        root.run(&format!("CREATE TABLE {schema}.{table} (id BIGINT PRIMARY KEY, v VARCHAR(200))"));
    }
    let mut daemon = Daemon::new("");
    let select = |daemon: &Daemon, tables: &str, more: &str| {
        let extra = Extra { delivery: "case_policy = \"lower\"", more, ..Extra::default() };
        daemon.configure_to_file(&server.url("relay"), &format!("{schema}.{tables}"), extra);
    };
    let configure = |daemon: &Daemon, more: &str| select(daemon, "t", more);
    let reload = |daemon: &Daemon| daemon.post("/api/v1/reload", "{}").expect("an answer");
    let missing = |more: &str| {
        let topic = fresh("missing");
        format!("[[delivery]]\nname = \"unfit\"\n{more}\n[delivery.kafka]\nbrokers = {brokers:?}\ntopic = {topic:?}\n")
    };
    configure(&daemon, "");
    daemon.start();
    for (settings, words) in UNFIT {
        let unfit = match settings {
            "" => missing(""),
            settings => {
                let path = daemon.dir().join("unfit");
                format!("[[delivery]]\nname = \"unfit\"\n{settings}\nfile = {{ path = \"{}\" }}\n", path.display())
            }
        };
        configure(&daemon, &unfit);
        let (status, answer) = reload(&daemon);
        assert_eq!(status, 422, "{settings}: {answer}");
        for word in words.iter().chain(&["nothing was changed"]) {
            assert!(answer.contains(word), "{settings}: {word}: {answer}");
        }
        let cursors = daemon.json("/api/v1/status")["cursors"].as_array().expect("a list").len();
        assert_eq!(cursors, 1, "{settings}");
    }
    // A selection concerns the deliveries that stay as they are.
    select(&daemon, "*", "");
    let (status, answer) = reload(&daemon);
    assert!(status == 422 && answer.contains("objects.case_clash (lines)"), "{status}: {answer}");
    // One that does not run asks for nothing yet.
    configure(&daemon, &missing("paused = true"));
    let (status, answer) = reload(&daemon);
    assert_eq!(status, 200, "{answer}");
    root.run(&format!("INSERT INTO {schema}.t VALUES (1, 'a')"));
    wait_until("the delivery goes on", PATIENCE, || (ids(&daemon, "lines") == [1]).then_some(()));
    assert!(daemon.stop().success());
    root.run(&format!("DROP DATABASE {schema}"));
}
