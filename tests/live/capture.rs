//! Capture against real servers: every transaction in the log once, whole and in order, whatever happens on the way.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relay::binlog::event::EventType;
use relay::capture::{CaptureContext, CaptureError, run};
use relay::config::Config;
use relay::log::{Context, flag, kind};
use relay::metrics::Metrics;
use relay::status::Status;
use relay_store::{Read, Seq, Store, StoreOptions};
use tokio_util::sync::CancellationToken;

use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A log, and the settings of the source that fills it.
struct Captured {
    store: Store,
    dir: tempfile::TempDir,
    config: Arc<relay::config::Source>,
}

/// Capture at work, in a runtime of its own.
struct Life {
    shutdown: CancellationToken,
    thread: std::thread::JoinHandle<Result<(), CaptureError>>,
    /// Why it ended, for the message of a failed test.
    ended: Arc<Mutex<Option<String>>>,
}

impl Life {
    fn stop(self) -> Result<(), CaptureError> {
        self.shutdown.cancel();
        self.thread.join().expect("capture does not panic")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: u8,
    flags: u8,
    tx_index: u32,
    body: Vec<u8>,
}

impl Seen {
    fn event_type(&self) -> EventType {
        EventType(self.body[4])
    }

    fn name(&self) -> &'static str {
        match self.kind {
            kind::EVENT => self.event_type().name().expect("a known event"),
            kind::GAP_NOTE => "gap",
            _ => "record",
        }
    }

    fn is_begin(&self) -> bool {
        self.kind == kind::EVENT
            && matches!(
                self.event_type(),
                EventType::GTID | EventType::GTID_TAGGED | EventType::ANONYMOUS_GTID | EventType::MARIADB_GTID
            )
    }
}

impl Captured {
    /// An empty log that is to hold the tables of one schema, from now on.
    fn new(server: &Database, schema: &str, start: &str) -> Self {
        static SERVER_ID: AtomicU32 = AtomicU32::new(0);
        let server_id = 1_000_000 + std::process::id() % 100_000 * 100 + SERVER_ID.fetch_add(1, Ordering::Relaxed);
        let toml = format!(
            "[source]\nurl = \"mysql://root@127.0.0.1:{}\"\nserver_id = {server_id}\ntls = \"disabled\"\n\
             start = \"{start}\"\nheartbeat_interval = \"1s\"\ntables = [\"{schema}.*\"]\n[log]\ndir = \"/nonexistent\"\n",
            server.port
        );
        let config = Config::parse(&toml, Path::new("relay.toml"), &|_| None).expect("a valid config");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(dir.path(), StoreOptions::default()).expect("a fresh store");
        Self { store, dir, config: Arc::new(config.source) }
    }

    fn start(&self) -> Life {
        let shutdown = CancellationToken::new();
        let status = Status::new();
        let context = CaptureContext {
            config: Arc::clone(&self.config),
            store: self.store.clone(),
            status: status.capture(),
            metrics: Metrics::new("source", "test").capture(),
            shutdown: shutdown.clone(),
        };
        let ready = status.capture();
        let ended = Arc::new(Mutex::new(None));
        let why = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let result = runtime.block_on(run(context));
            *why.lock().expect("no panic") = result.as_ref().err().map(ToString::to_string);
            result
        });
        wait_until("capture runs", PATIENCE, || {
            assert!(!thread.is_finished() || ready.state() == relay::status::State::Running, "capture ended early");
            (ready.state() == relay::status::State::Running).then_some(())
        });
        Life { shutdown, thread, ended }
    }

    /// Visible entries in order, each block with its context read.
    fn seen(&self) -> Vec<Seen> {
        let mut reader = self.store.reader();
        let (mut from, mut seen) = (Seq(1), Vec::new());
        loop {
            match reader.read(from).expect("readable") {
                Read::Block(raw) => {
                    let block = raw.decode().expect("whole");
                    from = block.last_seq().next();
                    if block.entries().next().is_some() {
                        assert!(Context::parse(block.context()).expect("ours").format_description.is_some());
                    }
                    seen.extend(block.entries().map(|entry| Seen {
                        kind: entry.header.kind,
                        flags: entry.header.flags,
                        tx_index: entry.header.tx_index,
                        body: entry.body.to_vec(),
                    }));
                }
                Read::Gap(gap) => panic!("no gap is expected: {gap}"),
                Read::CaughtUp => return seen,
            }
        }
    }

    /// What is visible once an entry that holds the text is.
    fn seen_with(&self, text: &str, life: &Life) -> Vec<Seen> {
        wait_until(text, PATIENCE, || {
            assert!(!life.thread.is_finished(), "capture ended: {:?}", life.ended.lock());
            let seen = self.seen();
            let found = seen.iter().any(|s| s.body.windows(text.len()).any(|w| w == text.as_bytes()));
            found.then_some(seen)
        })
    }
}

/// The log's transactions, each as the names of its events.
fn transactions(seen: &[Seen]) -> Vec<Vec<&'static str>> {
    let mut transactions: Vec<Vec<&'static str>> = Vec::new();
    for entry in seen {
        if entry.is_begin() {
            transactions.push(Vec::new());
        }
        transactions.last_mut().expect("a transaction begins with its GTID").push(entry.name());
    }
    transactions
}

fn count(seen: &[Seen], event_type: EventType) -> usize {
    seen.iter().filter(|s| s.kind == kind::EVENT && s.event_type() == event_type).count()
}

#[test]
fn every_shape_of_mysql_97_arrives_whole_and_once() {
    let server = shared(&["mysql97"]).mysql97();
    let schema = fresh("shapes");
    let mut root = Session::open(&server);
    root.run_all(&[
        &format!("CREATE DATABASE {schema}"),
        &format!("USE {schema}"),
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))",
    ]);
    let captured = Captured::new(&server, &schema, "latest");
    let life = captured.start();
    let xid = fresh("x");
    root.run_all(&[
        "INSERT INTO t VALUES (1, 'a')",
        "BEGIN",
        "INSERT INTO t VALUES (2, 'b')",
        "SAVEPOINT s",
        "INSERT INTO t VALUES (3, 'c')",
        "ROLLBACK TO s",
        "UPDATE t SET v = 'bb' WHERE id = 2",
        "COMMIT",
        "CREATE TABLE m (id INT) ENGINE = MyISAM",
        "INSERT INTO m VALUES (1)",
        "CREATE TABLE c AS SELECT * FROM t",
        &format!("XA START '{xid}'"),
        "INSERT INTO t VALUES (4, 'd')",
        &format!("XA END '{xid}'"),
        &format!("XA PREPARE '{xid}'"),
        &format!("XA COMMIT '{xid}'"),
        &format!("XA START '{xid}'"),
        "INSERT INTO t VALUES (5, 'never')",
        &format!("XA END '{xid}'"),
        &format!("XA PREPARE '{xid}'"),
        &format!("XA ROLLBACK '{xid}'"),
        &format!("XA START '{xid}'"),
        "INSERT INTO t VALUES (6, 'f')",
        &format!("XA END '{xid}'"),
        &format!("XA COMMIT '{xid}' ONE PHASE"),
        "SET SESSION binlog_transaction_compression = ON",
        "INSERT INTO t VALUES (7, REPEAT('z', 20)), (8, 'h')",
        "SET SESSION binlog_transaction_compression = OFF",
        "INSERT INTO t VALUES (9, 'the end')",
    ]);
    let seen = captured.seen_with("the end", &life);
    life.stop().expect("an orderly end");
    let insert = ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"];
    let expected: Vec<Vec<&str>> = vec![
        insert.to_vec(),
        ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "TABLE_MAP", "UPDATE_ROWS", "XID"].to_vec(),
        ["GTID", "QUERY"].to_vec(),
        ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "QUERY"].to_vec(),
        ["GTID", "QUERY", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"].to_vec(),
        ["GTID", "TABLE_MAP", "WRITE_ROWS", "QUERY"].to_vec(),
        ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XA_PREPARE"].to_vec(),
        insert.to_vec(),
        insert.to_vec(),
    ];
    assert_eq!(transactions(&seen), expected);
    assert!(!seen.iter().any(|s| s.body.windows(5).any(|w| w == b"never")));
    let unpacked: Vec<_> = seen.iter().filter(|s| s.flags & flag::UNPACKED != 0).map(Seen::name).collect();
    assert_eq!(unpacked, ["QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"]);
    let copied = seen.iter().filter(|s| s.flags & flag::COPIED != 0).count();
    assert_eq!(copied, 2);
}

#[test]
fn every_shape_of_mariadb_arrives_whole_and_once() {
    let server = shared(&["mariadb"]).mariadb();
    let schema = fresh("shapes");
    let mut root = Session::open(&server);
    root.run_all(&[
        &format!("CREATE DATABASE {schema}"),
        &format!("USE {schema}"),
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))",
    ]);
    let captured = Captured::new(&server, &schema, "latest");
    let life = captured.start();
    let xid = fresh("x");
    root.run_all(&[
        "INSERT INTO t VALUES (1, 'a')",
        "SET SESSION binlog_alter_two_phase = ON",
        "ALTER TABLE t ADD COLUMN z INT",
        "CREATE TABLE c AS SELECT * FROM t",
        &format!("XA START '{xid}'"),
        "INSERT INTO t VALUES (4, 'd', 1)",
        &format!("XA END '{xid}'"),
        &format!("XA PREPARE '{xid}'"),
        &format!("XA COMMIT '{xid}'"),
        "BEGIN",
        "INSERT INTO t VALUES (5, 'never', 1)",
        "CREATE TEMPORARY TABLE tmp (id INT)",
        "DROP TEMPORARY TABLE tmp",
        "ROLLBACK",
        "INSERT INTO t VALUES (9, 'the end', 1)",
    ]);
    let seen = captured.seen_with("the end", &life);
    life.stop().expect("an orderly end");
    assert!(!seen.iter().any(|s| s.kind == kind::EVENT
        && s.event_type() != EventType::ANNOTATE_ROWS
        && s.body.windows(5).any(|w| w == b"never")));
    let rows: Vec<_> = transactions(&seen);
    assert_eq!(rows[0], ["MARIADB_GTID", "ANNOTATE_ROWS", "TABLE_MAP", "WRITE_ROWS_V1", "XID"]);
    assert_eq!(rows[1], ["MARIADB_GTID", "QUERY"], "the ALTER's commit alone");
    assert_eq!(rows[2][..2], ["MARIADB_GTID", "QUERY"]);
    assert_eq!(rows[3], ["MARIADB_GTID", "ANNOTATE_ROWS", "TABLE_MAP", "WRITE_ROWS_V1", "QUERY"]);
    assert_eq!(rows.last().expect("rows")[1..], ["ANNOTATE_ROWS", "TABLE_MAP", "WRITE_ROWS_V1", "XID"]);
}

#[test]
fn a_killed_dump_goes_on_without_loss_or_repetition() {
    for (name, writes) in
        [("mysql97", EventType::WRITE_ROWS), ("mysql56", EventType::WRITE_ROWS), ("mariadb", EventType::WRITE_ROWS_V1)]
    {
        let servers = shared(&[name]);
        let server = match name {
            "mysql97" => servers.mysql97(),
            "mysql56" => servers.mysql56(),
            _ => servers.mariadb(),
        };
        let schema = fresh("killed");
        let mut root = Session::open(&server);
        root.run_all(&[
            &format!("CREATE DATABASE {schema}"),
            &format!("USE {schema}"),
            "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200))",
        ]);
        let captured = Captured::new(&server, &schema, "latest");
        let mut lives = 0;
        for round in 0..5 {
            let life = captured.start();
            lives += 1;
            root.run("BEGIN");
            for row in 0..20 {
                root.run(&format!("INSERT INTO t VALUES ({}, REPEAT('x', 200))", round * 100 + row));
            }
            root.run("COMMIT");
            let id = root.text(&format!(
                "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%' AND USER = 'root' \
                 ORDER BY ID DESC LIMIT 1"
            ));
            if round % 2 == 0 {
                root.run(&format!("KILL {id}"));
                let _ = wait_until("the life ends", PATIENCE, || life.thread.is_finished().then_some(()));
                assert!(life.thread.join().expect("no panic").is_err(), "{name}");
            } else {
                life.stop().expect("an orderly end");
            }
        }
        let life = captured.start();
        root.run("INSERT INTO t VALUES (9999, 'the end')");
        let seen = captured.seen_with("the end", &life);
        life.stop().expect("an orderly end");
        assert_eq!(count(&seen, writes), 5 * 20 + 1, "{name}, {lives} lives");
        let indexes: Vec<u32> = seen.iter().map(|s| s.tx_index).collect();
        let starts = seen.iter().filter(|s| s.is_begin()).count();
        assert_eq!(starts, 6, "{name}");
        assert_eq!(indexes.iter().filter(|i| **i == 0).count(), starts, "{name}");
        drop(captured.dir);
    }
}
