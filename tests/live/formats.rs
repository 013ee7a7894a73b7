//! The whole path, format by format: a random workload on a real server goes through one daemon with a delivery for
//! each format into a real Kafka, is read by readers that nobody here wrote, applied to tables, and equals the source:
//! every row, every column type. Each update and delete must also say of the row what was known of it before.
//!
//! | format | reader |
//! |---|---|
//! | Canal JSON | Flink's `canal-json` |
//! | Debezium JSON, without and with schemas | Flink's `debezium-json` |
//! | Maxwell JSON | Flink's `maxwell-json` |
//! | DTS Avro | `fastavro` with the published schema |
//! | Shareplex JSON | none exists: a JSON parser, and this test's own reading of the document that describes it |
//!
//! Kafka's own console consumer and confluent-kafka read a topic each (`read_committed`) and see what `kcat` sees.
//!
//! What the readers cannot express. Statements, tombstones and nulls in documents are asserted here, what is refused or
//! misread otherwise of the golden row ([`super::readers`]); the rest is Flink's types, which have no room for it:
//!
//! | reader | what | so here |
//! |---|---|---|
//! | Flink's | statements: refused, but for Canal's CREATE, which is passed by | a `ddl_topic` of their own, read as JSON; what was put there is shown to the reader too, which must refuse it |
//! | Flink's | numbers of more than 38 digits, so DECIMAL(65,30) | read as STRING |
//! | Flink's | a TIME of more than a day, or a negative one | read as STRING; microseconds of Debezium's as BIGINT |
//! | canal-json | bytes are base64 there | `canal_binary = "base64"` |
//! | debezium-json | DECIMAL is a number or text there | `decimal = "string"` |
//! | debezium-json | DATE, DATETIME, TIME are numbers, TIMESTAMP is ISO text, BIT(n) bytes | compared as these |
//! | maxwell-json | a JSON `null` is read as NULL | compared as NULL |
//! | maxwell-json | a document's text: nested JSON is spelled anew | compared as a document |

mod avro;
mod changelog;
mod format;
mod shown;
mod statements;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::pipeline::columns::Flavour;
use crate::pipeline::workload::Writer;
use crate::support::daemon::Daemon;
use crate::support::kafka::{Record, console_consume, newest};
use crate::support::readers::{confluent_create, confluent_read};
use crate::support::servers::{Database, Servers, shared};
use crate::support::sql::Session;
use crate::support::{fresh, seed, wait_until};
use changelog::Tables;
use format::Format;

const PATIENCE: Duration = Duration::from_secs(120);

/// A workload on one server, delivered once in each format.
struct Run {
    servers: Servers,
    server: Database,
    flavour: Flavour,
    database: String,
    daemon: Daemon,
}

impl Run {
    fn new(servers: Servers, server: Database, flavour: Flavour) -> Self {
        let database = fresh("formats");
        let topics = Format::ALL.iter().flat_map(|format| {
            [format!("{}:4", topic(&database, *format)), format!("{}:1", ddl_topic(&database, *format))]
        });
        confluent_create(servers.brokers(), &topics.collect::<Vec<_>>());
        let mut session = Session::open(&server);
        session.run(&format!("CREATE DATABASE `{database}` DEFAULT CHARACTER SET utf8mb4"));
        session.run(&format!("CREATE TABLE `{database}`.finished (id BIGINT PRIMARY KEY, v BIGINT UNSIGNED NOT NULL)"));
        let deliveries: String = Format::ALL.iter().map(|format| delivery(&servers, &database, *format)).collect();
        let mut daemon = Daemon::new(&format!(
            r#"
name = "formats"
[source]
url = "mysql://relay@127.0.0.1:{port}"
server_id = {server_id}
tls = "disabled"
tables = ["{database}.*"]
[log]
dir = "{{dir}}"
[admin]
listen = "{{admin}}"
{deliveries}"#,
            port = server.port,
            server_id = rand::random_range(300_000_000..400_000_000u32),
        ));
        daemon.start();
        Self { servers, server, flavour, database, daemon }
    }

    /// Writers side by side, until each has made so many changes, one transaction of `big` rows among them.
    fn write(&self, seed: u64, changes: u64, big: usize) -> Vec<Writer> {
        let write = |number| {
            let mut writer = Writer::new(&self.server, &self.database, self.flavour, seed, number);
            writer.run(40);
            if number == 0 {
                writer.big_transaction(big);
            }
            while writer.done.changes < changes {
                writer.run(5);
            }
            writer
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2).map(|number| scope.spawn(move || write(number))).collect();
            threads.into_iter().map(|thread| thread.join().expect("the writer ends")).collect()
        })
    }

    /// Commits a last row and waits until every delivery has acknowledged it.
    fn drain(&self) {
        Session::open(&self.server).run(&format!("INSERT INTO `{}`.finished VALUES (1, 0)", self.database));
        let first = topic(&self.database, Format::ALL[0]);
        let last = wait_until("the last row arrives", PATIENCE, || {
            let records = newest(self.servers.brokers(), &first);
            let last = records.iter().find(|r| r.header("relay.table").is_some_and(|t| t.ends_with(".finished")))?;
            last.header("relay.seq")?.split_once(':')?.0.parse::<u64>().ok()
        });
        wait_until("every delivery has it", PATIENCE, || {
            let status = self.daemon.json("/api/v1/status");
            let cursors = status["cursors"].as_array()?;
            assert_eq!(cursors.len(), Format::ALL.len());
            cursors.iter().all(|cursor| cursor["acked_seq"].as_u64() >= Some(last)).then_some(())
        });
    }

    /// What a format's topics hold: rows, and statements.
    fn records(&self, format: Format) -> (Vec<Record>, Vec<Record>) {
        let brokers = self.servers.brokers();
        let consume = |topic: &str| format.consume(brokers, topic);
        (consume(&topic(&self.database, format)), consume(&ddl_topic(&self.database, format)))
    }

    /// Reads one format's topics and compares what they add up to with the source; gives the statements.
    fn check(&self, format: Format, writers: &[Writer]) -> Vec<String> {
        let (rows, statements) = self.records(format);
        let lineages = changelog::lineages(writers);
        let tables = Tables::of(format, self.flavour, &lineages, &rows, &statements);
        let mut session = Session::open(&self.server);
        session.run(&format!("USE `{}`", self.database));
        for writer in writers {
            let lost: Vec<_> = writer.done.versions.iter().filter(|v| !tables.versions.contains(v)).collect();
            assert!(lost.is_empty(), "{format:?}: {} changes never arrived, the first is {}", lost.len(), lost[0]);
            for table in writer.tables.values() {
                tables.compare(&mut session, table);
            }
        }
        let changes: u64 = writers.iter().map(|w| w.done.changes).sum();
        println!(
            "{} {format:?}: {changes} changes committed, {} records and {} statements read, all equal to the source",
            self.server.name,
            rows.len(),
            statements.len()
        );
        tables.statements
    }
}

fn topic(database: &str, format: Format) -> String {
    format!("{database}_{}", format.word())
}

fn ddl_topic(database: &str, format: Format) -> String {
    format!("{database}_{}_ddl", format.word())
}

fn delivery(servers: &Servers, database: &str, format: Format) -> String {
    format!(
        r#"
[[delivery]]
name = "{name}"
start = "earliest"
[delivery.kafka]
brokers = "{brokers}"
topic = "{topic}"
ddl_topic = "{ddl_topic}"
{settings}
"#,
        name = format.word(),
        brokers = servers.brokers(),
        topic = topic(database, format),
        ddl_topic = ddl_topic(database, format),
        settings = format.settings(),
    )
}

fn random_workload(server: &'static str, flavour: Flavour, address: impl Fn(&Servers) -> Database) {
    let seed = seed(server);
    let servers = shared(&[server, "kafka"]);
    let address = address(&servers);
    let mut run = Run::new(servers, address, flavour);
    let long = std::env::var("RELAY_LONG").is_ok_and(|v| !v.is_empty());
    let (changes, big) = if long { (30_000, 10_000) } else { (1_200, 800) };
    let writers = run.write(seed, changes, big);
    run.drain();
    assert!(run.daemon.stop().success(), "a clean end");

    let mut statements = BTreeMap::new();
    for format in Format::ALL {
        statements.insert(format.word(), run.check(format, &writers));
    }
    let expected = &statements[Format::ALL[0].word()];
    for (format, told) in &statements {
        assert_eq!(told, expected, "the statements that {format} tells");
    }
    run.check_clients();
}

impl Run {
    /// Clients of others see the same records as `kcat`.
    fn check_clients(&self) {
        let (rows, _) = self.records(Format::Canal);
        let read = console_consume(&self.servers, &topic(&self.database, Format::Canal), rows.len());
        let values = rows.into_iter().map(|record| Some(record.value)).collect();
        assert_same("the console consumer", values, read.into_iter().map(Some).collect());

        let (rows, _) = self.records(Format::Debezium);
        let values = rows.into_iter().map(|record| (!record.value.is_empty()).then_some(record.value)).collect();
        let read = confluent_read(self.servers.brokers(), &topic(&self.database, Format::Debezium));
        assert_same("confluent-kafka", values, read);
    }
}

/// The same values, in any order between partitions.
#[track_caller]
fn assert_same(client: &str, mut expected: Vec<Option<String>>, mut read: Vec<Option<String>>) {
    expected.sort_unstable();
    read.sort_unstable();
    let differs = expected.iter().zip(&read).find(|(expected, read)| expected != read);
    assert!(expected == read, "{client} reads {} of {} records; {differs:?}", read.len(), expected.len());
}

#[test]
fn every_format_of_a_random_workload_on_mysql_97_is_read_back_whole() {
    random_workload("mysql97", Flavour::MySql97, Servers::mysql97);
}

#[test]
fn every_format_of_a_random_workload_on_mariadb_is_read_back_whole() {
    random_workload("mariadb", Flavour::MariaDb, Servers::mariadb);
}

/// A member that must be text.
#[track_caller]
fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path} in {value}"))
}
