//! Under load one delivery's topic is missing and one table of another cannot be written: all else goes on, and what
//! waited comes whole and in order once its cause is mended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use crate::support::beside::{Going, beside};
use crate::support::daemon::Daemon;
use crate::support::kafka::{Record, consume, create_topic};
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, seed, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
const KEYS: u64 = 20;

/// What became of each row, in order: (table, id) -> versions.
type Versions = BTreeMap<(String, String), Vec<u64>>;

/// Changes random rows of both tables until told to stop; gives every version that was committed.
fn load(server: &Database, schema: &str, seed: u64, going: &Going) -> Versions {
    let (mut session, mut random) = (Session::open(server), StdRng::seed_from_u64(seed));
    session.run(&format!("USE {schema}"));
    let (mut versions, mut version) = (Versions::new(), 0);
    while going.on() {
        session.run("BEGIN");
        let mut made = Vec::new();
        for _ in 0..random.random_range(1..8) {
            version += 1;
            let (table, id) = (["calm", "odd"][random.random_range(0..2)], random.random_range(0..KEYS));
            session.run(&format!(
                "INSERT INTO {table} (id, v) VALUES ({id}, {version}) ON DUPLICATE KEY UPDATE v = {version}"
            ));
            made.push(((table.to_owned(), id.to_string()), version));
        }
        session.run("COMMIT");
        made.into_iter().for_each(|(key, version)| versions.entry(key).or_default().push(version));
        std::thread::sleep(Duration::from_millis(5));
    }
    versions
}

/// Table, id and version of a message that is about a row.
fn row(message: &str) -> Option<((String, String), u64)> {
    let message: Value = serde_json::from_str(message).expect("JSON");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let data = &message["data"][0];
    Some(((text(&message["table"])?, text(&data["id"])?), text(&data["v"])?.parse().ok()?))
}

fn add(versions: &mut Versions, message: &str) {
    if let Some((key, version)) = row(message) {
        versions.entry(key).or_default().push(version);
    }
}

/// The versions in a topic, each place of the log once.
fn versions_of(records: &[Record]) -> Versions {
    let (mut versions, mut places) = (Versions::new(), BTreeSet::new());
    for record in records {
        if places.insert(record.header("relay.seq").expect("its place").to_owned()) {
            add(&mut versions, &record.value);
        }
    }
    versions
}

/// Every version of each row, in order.
#[track_caller]
fn assert_same(what: &str, delivered: &Versions, committed: &Versions) {
    for (row, versions) in committed {
        assert_eq!(delivered.get(row), Some(versions), "{what}: {row:?}");
    }
    assert_eq!(delivered.len(), committed.len(), "{what}");
}

struct Lab {
    daemon: Daemon,
    brokers: String,
    topics: [String; 2],
    schema: String,
    server: Database,
}

impl Lab {
    /// `message_key` is that of the delivery whose topic is there; `more` are further deliveries.
    fn configure(&self, message_key: &str, more: &str) {
        let there = &self.topics[0];
        self.daemon.configure(&format!(
            r#"
name = "parked"
[source]
url = "mysql://relay@127.0.0.1:{port}"
server_id = {server_id}
tls = "disabled"
tables = ["{schema}.*"]
[log]
dir = "{{dir}}"
[admin]
listen = "{{admin}}"
[[delivery]]
name = "there"
[delivery.kafka]
brokers = "{brokers}"
topic = "{there}"
message_key = {message_key}
[[delivery]]
name = "lines"
file = {{ path = "{lines}" }}
{more}
"#,
            port = self.server.port,
            server_id = 400_000_000 + std::process::id(),
            schema = self.schema,
            brokers = self.brokers,
            lines = self.daemon.dir().join("lines").display(),
        ));
    }

    /// A delivery whose topic is not there.
    fn missing(&self) -> String {
        let Self { brokers, topics, .. } = self;
        format!("[[delivery]]\nname = \"missing\"\nkafka = {{ brokers = \"{brokers}\", topic = \"{}\" }}", topics[1])
    }

    fn cursor(&self, name: &str) -> Value {
        self.daemon.json(&format!("/api/v1/cursors/{name}"))
    }

    #[track_caller]
    fn act(&self, path: &str, body: &str) {
        let (status, answer) = self.daemon.post(path, body).expect("an answer");
        assert_eq!(status, 200, "{path}: {answer}");
    }

    #[track_caller]
    fn wait_acked(&self, name: &str, at_least: u64) {
        wait_until(name, PATIENCE, || (self.cursor(name)["acked_seq"].as_u64()? >= at_least).then_some(()));
    }

    fn visible(&self) -> u64 {
        self.daemon.json("/api/v1/log")["visible_seq"].as_u64().expect("a seq")
    }
}

#[test]
fn a_missing_topic_and_an_unwritable_table_hold_up_nothing_else_under_load() {
    let seed = seed("parked");
    let servers = shared(&["mysql97", "kafka"]);
    let server = servers.mysql97();
    let schema = fresh("parked");
    let mut root = Session::open(&server);
    root.run_all(&[&format!("CREATE DATABASE {schema}"), &format!("USE {schema}")]);
    for table in ["calm", "odd"] {
        root.run(&format!("CREATE TABLE {table} (id INT PRIMARY KEY, v BIGINT, region VARCHAR(9) DEFAULT 'eu')"));
    }
    let topics = [fresh("there"), fresh("missing")];
    create_topic(&servers, &topics[0], 3, &[]);
    let mut lab = Lab { daemon: Daemon::new(""), brokers: servers.brokers().to_owned(), topics, schema, server };
    let key = r#"["region", "id"]"#;
    lab.configure(key, "");
    lab.daemon.start();
    // Only a log that is begun takes a delivery like this: what it finds missing then may come.
    root.run("CREATE TABLE begun (id INT)");
    wait_until("the log is begun", PATIENCE, || {
        std::fs::read_to_string(lab.daemon.dir().join("lines")).ok().filter(|text| text.contains("begun")).map(drop)
    });
    assert!(lab.daemon.stop().success());
    lab.configure(key, &lab.missing());
    lab.daemon.start();
    let work = |going: &Going| load(&lab.server, &lab.schema, seed, going);
    let (mut loads, ()) = beside([work], || {
        wait_until("the missing topic parks its delivery", PATIENCE, || {
            (lab.cursor("missing")["state"] == "parked").then_some(())
        });
        lab.wait_acked("there", lab.visible());
        // From here on a column of the key is not there.
        root.run("ALTER TABLE odd RENAME COLUMN region TO area");
        wait_until("the table parks alone", PATIENCE, || {
            let cursor = lab.cursor("there");
            (cursor["parked"].as_array()?.len() == 1 && cursor["state"] == "running").then_some(())
        });
        // A second of load that goes on beside both.
        let then = lab.visible();
        std::thread::sleep(Duration::from_secs(1));
        let now = lab.visible();
        assert!(now > then + 50, "the log goes on: {then}, {now}");
        lab.wait_acked("there", now);
        lab.wait_acked("lines", now);
    });
    let committed = loads.remove(0);
    let (calm, odd): (Versions, Versions) = committed.clone().into_iter().partition(|((table, _), _)| table == "calm");
    let end = lab.visible();
    wait_until("all that was committed is visible", PATIENCE, || {
        let status = lab.daemon.json("/api/v1/status");
        (status["cursors"].as_array()?.iter().any(|c| c["name"] == "lines" && c["lag_seconds"] == 0.0)).then_some(())
    });
    let end = end.max(lab.visible());
    for name in ["there", "lines"] {
        lab.wait_acked(name, end);
    }
    let mut lines = Versions::new();
    let text = std::fs::read_to_string(lab.daemon.dir().join("lines")).expect("lines");
    text.lines().for_each(|line| add(&mut lines, line));
    assert_same("the file", &lines, &committed);
    let (calm_there, odd_there): (Versions, Versions) =
        versions_of(&consume(&lab.brokers, &lab.topics[0])).into_iter().partition(|((table, _), _)| table == "calm");
    assert_same("the topic, of the other table", &calm_there, &calm);
    for (key, versions) in &odd_there {
        assert!(odd[key].starts_with(versions), "{key:?}: {versions:?} of {:?}", odd[key]);
    }
    let held_back = |there: &Versions| odd.values().flatten().count() - there.values().flatten().count();
    assert!(held_back(&odd_there) > 20, "{} rows wait", held_back(&odd_there));
    assert_eq!(lab.cursor("missing")["acked_seq"], 0, "nothing of the delivery without a topic counts as delivered");

    // Both causes are mended while the daemon runs.
    create_topic(&servers, &lab.topics[1], 2, &[]);
    lab.act("/api/v1/cursors/missing/resume", "{}");
    lab.configure("\"none\"", &lab.missing());
    lab.act("/api/v1/reload", "{}");
    lab.act("/api/v1/cursors/there/release", &format!("{{\"table\": \"{}.odd\"}}", lab.schema));
    lab.wait_acked("missing", end);
    wait_until("the table is released", PATIENCE, || {
        lab.cursor("there")["parked"].as_array()?.is_empty().then_some(())
    });
    for topic in &lab.topics {
        assert_same(topic, &versions_of(&consume(&lab.brokers, topic)), &committed);
    }
    assert!(lab.daemon.stop().success(), "a clean end");
}
