//! Exactly once on a real broker: a relay that is killed at every step of its transactions and at random, with the broker
//! or without; two relays on one cursor; resets with a crash between the two stores. Read by `kcat`, judged by a checker
//! that refuses what wrong relays make.

mod history;
mod planted;
mod workload;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::history::{Committed, Seen, seen};
use self::workload::{Workload, create_table};
use crate::support::daemon::Daemon;
use crate::support::servers::{Servers, own, shared};
use crate::support::{fresh, kafka, seed, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);
const PARTITIONS: u32 = 4;
/// The steps of a transaction, as the sink names them.
const STEPS: [&str; 6] = [
    "transaction.records",
    "transaction.position",
    "transaction.drained",
    "transaction.commit",
    "transaction.committed",
    "transaction.acked",
];

/// A schema, a topic, and the source's address: what relays of one test share.
struct Lab {
    source: Servers,
    broker: Servers,
    schema: String,
    topic: String,
}

impl Lab {
    fn new(broker: Servers) -> Self {
        let (source, schema) = (shared(&["mysql97"]), fresh("once"));
        create_table(&source.mysql97(), &schema);
        kafka::create_topic(&broker, &schema, PARTITIONS, &[]);
        Self { topic: schema.clone(), source, broker, schema }
    }

    /// A relay under that name, which has begun to capture and is stopped; `more` are lines of `[delivery.kafka]`.
    fn relay(&self, name: &str, more: &str) -> Daemon {
        let mut daemon = Daemon::new("");
        self.configure(&daemon, name, more, false);
        daemon.start();
        wait_until("it captures", PATIENCE, || daemon.log_dir().join("FORMAT").exists().then_some(()));
        wait_state(&daemon, "running");
        assert!(daemon.stop().success(), "a clean end");
        daemon
    }

    fn configure(&self, daemon: &Daemon, name: &str, more: &str, paused: bool) {
        daemon.configure(&format!(
            r#"
name = "{name}"
[source]
url = "mysql://relay@127.0.0.1:{port}"
server_id = {server_id}
tls = "disabled"
tables = ["{schema}.*"]
[log]
dir = "{{dir}}"
retention = {{ disk_free_min = "0B" }}
[admin]
listen = "{{admin}}"
[[delivery]]
name = "once"
paused = {paused}
[delivery.kafka]
brokers = "{brokers}"
topic = "{topic}"
ddl_topic = "off"
delivery = "exactly_once"
{more}
"#,
            port = self.source.mysql97().port,
            server_id = daemon.server_id(),
            schema = self.schema,
            brokers = self.broker.brokers(),
            topic = self.topic,
        ));
    }

    /// What a reader of committed records sees.
    fn seen(&self) -> Vec<Seen> {
        seen(&kafka::consume_committed(self.broker.brokers(), &self.topic))
    }

    /// Waits until a relay has delivered all of its log, which holds all that was committed until now.
    #[track_caller]
    fn wait_delivered(&self, daemon: &Daemon, committed: &Committed) {
        let rows = committed.0.len();
        let mut looks = 0;
        wait_until("everything is delivered", PATIENCE, || {
            let cursor = daemon.json("/api/v1/cursors/once");
            looks += 1;
            if cursor["lag_entries"].as_u64() != Some(0) {
                return None;
            }
            (self.seen().len() >= rows || looks > 100).then_some(())
        });
    }

    #[track_caller]
    fn assert_once(&self, committed: &Committed) {
        assert_eq!(committed.judge(&self.seen()), Ok(()));
    }
}

/// Waits until the delivery is in that state; its reason and next step.
#[track_caller]
fn wait_state(daemon: &Daemon, state: &str) -> String {
    wait_until(state, PATIENCE, || {
        let (_, body) = daemon.get("/api/v1/cursors/once")?;
        let cursor: serde_json::Value = serde_json::from_str(&body).ok()?;
        (cursor["state"] == state).then(|| cursor["problem"].to_string())
    })
}

fn acked(daemon: &Daemon) -> u64 {
    daemon.json("/api/v1/cursors/once")["acked_seq"].as_u64().expect("a seq")
}

/// Copies a log whose relay is stopped or killed.
fn copy_log(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(done.success());
}

#[test]
fn kills_at_every_step_and_at_random_leave_each_change_once() {
    let long = std::env::var("RELAY_LONG").is_ok_and(|v| !v.is_empty());
    let kills = if long { 100 } else { 10 };
    let seed = seed("exactly once");
    let mut random = StdRng::seed_from_u64(seed);
    let lab = Lab::new(own("exactly-once", &["kafka"]));
    let mut daemon = lab.relay("kills", "");
    let workload = Workload::start(&lab.source.mysql97(), &lab.schema, seed);
    let kafka_is = |what: &str| lab.broker.control(&[what, "kafka"]);
    for kill in 0..kills {
        match kill % 10 {
            step @ 0..6 => {
                let count = random.random_range(1..8);
                // In the midst of the commit itself: the request is on its way, or answered.
                let delay = if STEPS[step] == "transaction.commit" { random.random_range(0..4000) } else { 0 };
                daemon.fail_at(&format!("{}:{count}+{delay}", STEPS[step]));
                daemon.launch();
                assert!(!daemon.wait().success(), "it ended by itself");
                daemon.fail_at("");
                // The broker is well: what is committed holds whole transactions.
                let known = workload.committed();
                assert_eq!(known.judge_so_far(&lab.seen()), Ok(()), "kill {kill}");
            }
            6 | 9 => {
                daemon.launch();
                std::thread::sleep(Duration::from_millis(random.random_range(300..2500)));
                daemon.kill();
            }
            7 => {
                daemon.start();
                std::thread::sleep(Duration::from_millis(random.random_range(0..1500)));
                kafka_is("kill");
                std::thread::sleep(Duration::from_millis(random.random_range(0..1500)));
                kafka_is("start");
                std::thread::sleep(Duration::from_millis(random.random_range(0..1500)));
                daemon.kill();
            }
            _ => {
                daemon.start();
                std::thread::sleep(Duration::from_millis(random.random_range(0..1500)));
                let relay_first = random.random_bool(0.5);
                if relay_first {
                    daemon.kill();
                    kafka_is("kill");
                } else {
                    kafka_is("kill");
                    daemon.kill();
                }
                kafka_is("start");
            }
        }
    }
    // Chance may have spared every transaction that the broker had begun to keep: then it is killed on, until one is cut.
    let mut more = 0;
    while kafka::consume(lab.broker.brokers(), &lab.topic).len() <= lab.seen().len() {
        assert!(more < 10, "no kill leaves a transaction to abort");
        more += 1;
        daemon.fail_at("transaction.drained:2");
        daemon.launch();
        assert!(!daemon.wait().success(), "it ended by itself");
        daemon.fail_at("");
    }
    daemon.start();
    let committed = workload.end();
    lab.wait_delivered(&daemon, &committed);
    assert!(daemon.stop().success(), "a clean end");
    lab.assert_once(&committed);
    let all = kafka::consume(lab.broker.brokers(), &lab.topic).len();
    assert!(all > committed.0.len(), "no kill left a transaction to abort: {all} records");
    println!(
        "{kills} kills: {} changes, {} records of aborted transactions",
        committed.0.len(),
        all - committed.0.len()
    );
}

#[test]
fn of_two_relays_on_one_cursor_one_is_fenced_and_says_so() {
    let lab = Lab::new(shared(&["kafka"]));
    let name = fresh("two");
    let mut first = lab.relay(&name, "");
    first.start();
    let workload = Workload::start(&lab.source.mysql97(), &lab.schema, 1);
    wait_until("it delivers", PATIENCE, || (acked(&first) > 100).then_some(()));
    assert!(first.stop().success(), "a clean end");
    let mut second = Daemon::new("");
    lab.configure(&second, &name, "", true);
    copy_log(&first.log_dir(), &second.log_dir());
    first.start();
    wait_state(&first, "running");
    // One with a log of its own never gets as far as to disturb it.
    let mut stranger = Daemon::new("");
    lab.configure(&stranger, &name, "", false);
    // It is never ready.
    stranger.launch();
    let reason = wait_state(&stranger, "parked");
    assert!(reason.contains("position of another log") && reason.contains("another name"), "{reason}");
    stranger.kill();
    let before = acked(&first);
    wait_until("the first one goes on", PATIENCE, || (acked(&first) > before + 20).then_some(()));
    // One with the same log, which holds what the first one delivered, takes the cursor over.
    second.start();
    workload.pause(true);
    lab.wait_delivered(&first, &workload.committed());
    let whole = acked(&first);
    wait_until("the second log is as long", PATIENCE, || {
        (second.json("/api/v1/log")["visible_seq"].as_u64() >= Some(whole)).then_some(())
    });
    second.post("/api/v1/cursors/once/resume", "{}").expect("an answer");
    wait_state(&second, "running");
    workload.pause(false);
    let reason = wait_state(&first, "parked");
    assert!(reason.contains("another relay took over cursor once"), "{reason}");
    assert!(reason.contains("stop the other relay"), "{reason}");
    let before = acked(&second);
    wait_until("the second one goes on", PATIENCE, || (acked(&second) > before + 20).then_some(()));
    let committed = workload.end();
    lab.wait_delivered(&second, &committed);
    lab.assert_once(&committed);
    assert_eq!(wait_state(&first, "parked"), reason, "the first one stays where it is");
}

#[test]
fn a_reset_that_crashed_before_kafka_heard_of_it_holds_and_one_that_the_log_forgot_is_not_repeated() {
    let lab = Lab::new(shared(&["kafka"]));
    let mut daemon = lab.relay(&fresh("reset"), "");
    let workload = Workload::start(&lab.source.mysql97(), &lab.schema, 2);
    daemon.fail_at("transaction.begin:2");
    daemon.start();
    wait_until("it delivers", PATIENCE, || (acked(&daemon) > 200).then_some(()));
    let committed = workload.end();
    lab.wait_delivered(&daemon, &committed);
    let whole = acked(&daemon);
    let older = daemon.dir().join("older");
    // The log has the new epoch, and the crash comes before Kafka has it.
    let reset = daemon.post("/api/v1/cursors/once/reset", r#"{"to":"earliest"}"#);
    println!("{reset:?}");
    assert!(!daemon.wait().success(), "it ended by itself");
    assert_eq!(lab.seen().len(), committed.0.len(), "Kafka knows nothing of it");
    daemon.fail_at("");
    daemon.start();
    wait_until("it is delivered again", PATIENCE, || (acked(&daemon) == whole).then_some(()));
    lab.wait_delivered(&daemon, &committed);
    let by_epoch = || {
        let mut by_epoch = BTreeMap::<String, Vec<kafka::Record>>::new();
        for record in kafka::consume_committed(lab.broker.brokers(), &lab.topic) {
            by_epoch.entry(record.header("relay.epoch").expect("an epoch").to_owned()).or_default().push(record);
        }
        by_epoch
    };
    let epochs = by_epoch();
    assert_eq!(epochs.keys().collect::<Vec<_>>(), ["1", "2"]);
    for (epoch, records) in &epochs {
        assert_eq!(committed.judge(&seen(records)), Ok(()), "epoch {epoch}");
    }
    // A log that forgot its last reset takes the cursor up where Kafka has it.
    assert!(daemon.stop().success(), "a clean end");
    copy_log(&daemon.log_dir(), &older);
    daemon.start();
    daemon.post("/api/v1/cursors/once/reset", r#"{"to":"latest"}"#).expect("an answer");
    wait_until("the epoch", PATIENCE, || (daemon.json("/api/v1/cursors/once")["epoch"] == 3).then_some(()));
    wait_state(&daemon, "running");
    assert!(daemon.stop().success(), "a clean end");
    copy_log(&older, &daemon.log_dir());
    daemon.start();
    wait_until("the epoch is taken up", PATIENCE, || (daemon.json("/api/v1/cursors/once")["epoch"] == 3).then_some(()));
    wait_state(&daemon, "running");
    assert_eq!(by_epoch(), epochs, "nothing was delivered again");
}

#[test]
fn the_version_of_transactions_is_told_by_every_listener() {
    let servers = shared(&["kafka"]);
    let ca = format!("ca_file = {:?}", servers.get("KAFKA_CA"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (listener, settings) in [
        ("KAFKA_BROKERS", String::new()),
        ("KAFKA_SASL_BROKERS", "security = \"sasl_plaintext\"\nusername = \"relay\"".to_owned()),
        ("KAFKA_SSL_BROKERS", format!("security = \"ssl\"\n{ca}")),
        ("KAFKA_SASL_SSL_BROKERS", format!("security = \"sasl_ssl\"\nusername = \"relay\"\n{ca}")),
    ] {
        let text = format!("brokers = \"127.0.0.1:1,{}\"\n{settings}", servers.get(listener));
        let config = toml::from_str(&text).expect("a config");
        let version = runtime.block_on(relay::sink::kafka::transaction_version(&config));
        assert_eq!(version, Ok(2), "{listener}");
    }
    let config = toml::from_str("brokers = \"127.0.0.1:1\"").expect("a config");
    assert!(runtime.block_on(relay::sink::kafka::transaction_version(&config)).is_err());
}

#[test]
fn transactions_larger_than_max_records_are_split_and_no_others() {
    let lab = Lab::new(shared(&["kafka"]));
    let mut daemon = lab.relay(&fresh("split"), "max_records = 200");
    daemon.fail_at("transaction.committed:8");
    let workload = Workload::start(&lab.source.mysql97(), &lab.schema, 3);
    daemon.launch();
    daemon.wait();
    // Those of 300 rows may be there in part, the others may not.
    let known = workload.committed();
    let sizes = known.0.values().fold(BTreeMap::<u64, usize>::new(), |mut sizes, transaction| {
        *sizes.entry(*transaction).or_default() += 1;
        sizes
    });
    if let Err(wrong) = known.judge_so_far(&lab.seen()) {
        let history::Wrong::Torn(transaction) = wrong else { panic!("{wrong:?}") };
        assert!(sizes[&transaction] > 200, "transaction {transaction} has {} rows", sizes[&transaction]);
    }
    daemon.fail_at("");
    daemon.start();
    let before = acked(&daemon);
    wait_until("some more", PATIENCE, || (acked(&daemon) > before + 500).then_some(()));
    let committed = workload.end();
    lab.wait_delivered(&daemon, &committed);
    lab.assert_once(&committed);
}

#[test]
fn a_position_that_is_lost_or_contradicts_the_log_parks_with_the_reason() {
    let lab = Lab::new(shared(&["kafka"]));
    let name = fresh("lost");
    let mut daemon = lab.relay(&name, "");
    let workload = Workload::start(&lab.source.mysql97(), &lab.schema, 4);
    daemon.start();
    wait_until("it delivers", PATIENCE, || (acked(&daemon) > 100).then_some(()));
    let committed = workload.end();
    lab.wait_delivered(&daemon, &committed);
    assert!(daemon.stop().success(), "a clean end");
    // A relay under another name looks in another place.
    lab.configure(&daemon, &fresh("renamed"), "", false);
    daemon.launch();
    let reason = wait_state(&daemon, "parked");
    assert!(reason.contains(&format!("__relay_cursors.{name}.once")) && reason.contains("old names"), "{reason}");
    assert!(daemon.stop().success(), "a clean end");
    // Under its old one nothing was lost.
    lab.configure(&daemon, &name, "", false);
    daemon.start();
    wait_state(&daemon, "running");
    assert!(daemon.stop().success(), "a clean end");
    lab.assert_once(&committed);
    // The position is deleted behind its back.
    let mut kcat = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "printf '{name}/once:' | kcat -P -Z -K: -b {} -t __relay_cursors.{name}.once -p 0",
            lab.broker.brokers()
        ))
        .spawn()
        .expect("kcat runs");
    assert!(kcat.wait().expect("an end").success());
    daemon.launch();
    let reason = wait_state(&daemon, "parked");
    assert!(reason.contains("is not in topic") && reason.contains("relay-cursor reset once"), "{reason}");
    lab.assert_once(&committed);
}
