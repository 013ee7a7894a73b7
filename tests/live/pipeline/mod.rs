//! The whole pipeline: a random workload on a real server, through the log, into a real Kafka, read by a client that
//! nobody here wrote, replayed into tables and compared with the source.

mod accounts;
pub mod columns;
mod compressed;
mod failover;
mod lines;
mod metadata;
pub mod replica;
pub mod workload;

use std::time::Duration;

use columns::Flavour;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use replica::Replica;
use workload::Writer;

use crate::support::beside::{Going, beside};
use crate::support::daemon::Daemon;
use crate::support::kafka::{consume, create_topic, newest};
use crate::support::servers::{Database, Servers, own, shared};
use crate::support::sql::Session;
use crate::support::{fresh, seed};

/// One workload on one server, into one topic.
struct Pipeline {
    servers: Servers,
    server: Database,
    flavour: Flavour,
    database: String,
    topic: String,
    daemon: Daemon,
}

impl Pipeline {
    fn new(servers: Servers, server: Database, flavour: Flavour, name: &str) -> Self {
        let (database, topic) = (fresh(name), fresh(name));
        create_topic(&servers, &topic, 3, &[]);
        let mut session = Session::open(&server);
        session.run(&format!("CREATE DATABASE `{database}` DEFAULT CHARACTER SET utf8mb4"));
        session.run(&format!("CREATE TABLE `{database}`.finished (id BIGINT PRIMARY KEY, v BIGINT)"));
        let daemon = Daemon::new(&format!(
            r#"
name = "pipeline"
[source]
url = "mysql://relay@127.0.0.1:{port}"
server_id = {server_id}
tls = "disabled"
tables = ["{database}.*"]
[log]
dir = "{{dir}}"
[admin]
listen = "{{admin}}"
[[delivery]]
name = "kafka"
start = "earliest"
[delivery.kafka]
brokers = "{brokers}"
topic = "{topic}"
"#,
            port = server.port,
            server_id = 10_000
                + u32::from(server.port) % 7 * 1_000
                + std::process::id() % 997
                + rand::random_range(0..900u32) * 10_000,
            brokers = servers.brokers(),
        ));
        Self { servers, server, flavour, database, topic, daemon }
    }

    /// Runs writers side by side; each does `count` transactions.
    fn write(&self, seed: u64, writers: u64, count: u32) -> Vec<Writer> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..writers)
                .map(|number| {
                    scope.spawn(move || {
                        let mut writer = Writer::new(&self.server, &self.database, self.flavour, seed, number);
                        writer.run(count);
                        writer
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().expect("the writer ends")).collect()
        })
    }

    /// Commits a last row and waits until it has arrived; everything before it has then.
    fn drain(&self) -> Vec<crate::support::kafka::Record> {
        let mut session = Session::open(&self.server);
        session.run(&format!("INSERT INTO `{}`.finished VALUES (1, 0)", self.database));
        let deadline = std::time::Instant::now() + Duration::from_secs(120);
        loop {
            let records = newest(self.servers.brokers(), &self.topic);
            if records.iter().any(|r| r.header("relay.table").is_some_and(|t| t.ends_with(".finished"))) {
                // Partitions end at different times: what was committed before the last row is read with this pass.
                return consume(self.servers.brokers(), &self.topic);
            }
            assert!(std::time::Instant::now() < deadline, "the last row did not arrive:\n{}", self.daemon.output());
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn check(&self, writers: &[Writer], records: &[crate::support::kafka::Record]) -> Replica {
        let replica = replica::replay(records);
        let mut session = Session::open(&self.server);
        session.run(&format!("USE `{}`", self.database));
        for writer in writers {
            let lost: Vec<_> = writer.done.versions.iter().filter(|v| !replica.versions.contains(v)).collect();
            assert!(lost.is_empty(), "{} committed changes never arrived, the first is {}", lost.len(), lost[0]);
            for table in writer.tables.values() {
                replica.compare(&mut session, table);
            }
        }
        let changes: u64 = writers.iter().map(|w| w.done.changes).sum();
        println!(
            "{}: {changes} changes committed, {} records, 0 lost, 0 out of order, {} duplicates",
            self.database, replica.records, replica.duplicates
        );
        replica
    }
}

fn random_workload(server: &'static str, flavour: Flavour, database: impl Fn(&Servers) -> Database) {
    let seed = seed(server);
    let servers = shared(&[server, "kafka"]);
    let address = database(&servers);
    let mut pipeline = Pipeline::new(servers, address, flavour, "pipe");
    pipeline.daemon.start();
    let writers = pipeline.write(seed, 3, 120);
    let records = pipeline.drain();
    let replica = pipeline.check(&writers, &records);
    assert_eq!(replica.duplicates, 0, "duplicates come only after a fault");
    assert!(pipeline.daemon.stop().success(), "a clean end");
}

#[test]
fn a_random_workload_on_mysql_97_arrives_whole() {
    random_workload("mysql97", Flavour::MySql97, Servers::mysql97);
}

#[test]
fn a_random_workload_on_mysql_56_arrives_whole() {
    random_workload("mysql56", Flavour::MySql56, Servers::mysql56);
}

#[test]
fn a_random_workload_on_mariadb_arrives_whole() {
    random_workload("mariadb", Flavour::MariaDb, Servers::mariadb);
}

#[test]
fn nothing_is_lost_while_relay_server_and_broker_are_killed() {
    let seed = seed("chaos");
    let servers = own("chaos", &["mysql97", "kafka"]);
    let address = servers.mysql97();
    let mut pipeline = Pipeline::new(servers, address, Flavour::MySql97, "chaos");
    pipeline.daemon.start();
    let rounds = if std::env::var("RELAY_LONG").is_ok_and(|v| !v.is_empty()) { 40 } else { 6 };
    let mut random = StdRng::seed_from_u64(seed);
    let daemon = std::sync::Mutex::new(std::mem::replace(&mut pipeline.daemon, Daemon::new("")));
    let work = |going: &Going| {
        let mut writers: Vec<Writer> =
            (0..2).map(|n| Writer::new(&pipeline.server, &pipeline.database, pipeline.flavour, seed, n)).collect();
        while going.on() {
            for writer in &mut writers {
                writer.run(5);
            }
            // A steady load, not all the machine gives: the faults are the point.
            std::thread::sleep(Duration::from_millis(100));
        }
        writers
    };
    let (mut writers, ()) = beside([work], || {
        for round in 0..rounds {
            std::thread::sleep(Duration::from_millis(random.random_range(500..2500)));
            // Each kind of fault comes, in a random order after the first three.
            let fault = if round < 3 { round } else { random.random_range(0..5) };
            println!(
                "fault {round}: {}",
                ["kill the relay", "stop the broker", "kill the server", "stop the relay", "kill the broker"][fault]
            );
            match fault {
                0 => {
                    let mut daemon = daemon.lock().expect("unpoisoned");
                    daemon.kill();
                    daemon.launch();
                }
                1 | 4 => {
                    pipeline.servers.control(&[if fault == 1 { "stop" } else { "kill" }, "kafka"]);
                    std::thread::sleep(Duration::from_millis(random.random_range(500..3000)));
                    pipeline.servers.control(&["start", "kafka"]);
                }
                2 => {
                    pipeline.servers.control(&["kill", "mysql97"]);
                    std::thread::sleep(Duration::from_millis(random.random_range(100..1500)));
                    pipeline.servers.control(&["start", "mysql97"]);
                }
                _ => {
                    let mut daemon = daemon.lock().expect("unpoisoned");
                    assert!(daemon.stop().success(), "a clean end:\n{}", daemon.output());
                    daemon.launch();
                }
            }
        }
    });
    pipeline.daemon = daemon.into_inner().expect("unpoisoned");
    let records = pipeline.drain();
    pipeline.check(&writers.remove(0), &records);
}
