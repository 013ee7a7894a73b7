//! Capture at work in this process on a real server, and what is visible of it in its log.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use relay::binlog::event::EventType;
use relay::capture::chunks::Chunks;
use relay::capture::{CaptureContext, CaptureError, run};
use relay::config::Config;
use relay::log::{Context, TableDefinition, kind, split_event};
use relay::metrics::Metrics;
use relay::status::Status;
use relay_store::{Read, Seq, Store, StoreOptions};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::servers::Database;
use crate::support::wait_until;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A log, and the settings of the source that fills it.
pub struct Captured {
    pub store: Store,
    pub dir: tempfile::TempDir,
    config: Arc<relay::config::Source>,
}

/// Capture at work, in a runtime of its own.
pub struct Life {
    /// Ends it when it is dropped, by a test that fails too.
    shutdown: DropGuard,
    pub thread: std::thread::JoinHandle<Result<(), CaptureError>>,
    /// Why it ended, for the message of a failed test.
    pub ended: Arc<Mutex<Option<String>>>,
}

impl Life {
    pub fn stop(self) -> Result<(), CaptureError> {
        drop(self.shutdown);
        self.thread.join().expect("capture does not panic")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub kind: u8,
    pub flags: u8,
    pub tx_index: u32,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn event_type(&self) -> EventType {
        EventType(self.body[4])
    }

    pub fn name(&self) -> &'static str {
        match self.kind {
            kind::EVENT => self.event_type().name().expect("a known event"),
            kind::GAP_NOTE => "gap",
            _ => "record",
        }
    }

    pub fn is_begin(&self) -> bool {
        self.kind == kind::EVENT
            && matches!(
                self.event_type(),
                EventType::GTID | EventType::GTID_TAGGED | EventType::ANONYMOUS_GTID | EventType::MARIADB_GTID
            )
    }
}

impl Captured {
    /// An empty log that is to hold the tables of one schema, from now on.
    pub fn new(server: &Database, schema: &str, start: &str) -> Self {
        Self::of_user(server, schema, start, "root")
    }

    pub fn of_user(server: &Database, schema: &str, start: &str, user: &str) -> Self {
        Self::with(server, schema, user, &format!("start = \"{start}\""))
    }

    /// The same with further settings of the source.
    pub fn with(server: &Database, schema: &str, user: &str, settings: &str) -> Self {
        static SERVER_ID: AtomicU32 = AtomicU32::new(0);
        let server_id = 1_000_000 + std::process::id() % 100_000 * 100 + SERVER_ID.fetch_add(1, Ordering::Relaxed);
        let toml = format!(
            "[source]\nurl = \"mysql://{user}@127.0.0.1:{}\"\nserver_id = {server_id}\ntls = \"disabled\"\n\
             {settings}\nheartbeat_interval = \"1s\"\ntables = [\"{schema}.*\"]\n[log]\ndir = \"/nonexistent\"\n",
            server.port
        );
        let config = Config::parse(&toml, Path::new("relay.toml"), &|_| None).expect("a valid config");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(dir.path(), StoreOptions::default()).expect("a fresh store");
        Self { store, dir, config: Arc::new(config.source) }
    }

    pub fn start(&self) -> Life {
        let shutdown = CancellationToken::new();
        let status = Status::new();
        let context = CaptureContext {
            config: Arc::clone(&self.config),
            store: self.store.clone(),
            status: status.capture(),
            metrics: Metrics::new("source", "test").capture(),
            chunks: Chunks::default(),
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
        Life { shutdown: shutdown.drop_guard(), thread, ended }
    }

    /// Visible entries in order, each block with its context read.
    pub fn seen(&self) -> Vec<Seen> {
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
    pub fn seen_with(&self, text: &str, life: &Life) -> Vec<Seen> {
        wait_until(text, PATIENCE, || {
            assert!(!life.thread.is_finished(), "capture ended: {:?}", life.ended.lock());
            let seen = self.seen();
            let found = seen.iter().any(|s| s.body.windows(text.len()).any(|w| w == text.as_bytes()));
            found.then_some(seen)
        })
    }
}

/// The definition that a table map's entry was captured under, for each table map in order.
pub fn definitions(captured: &Captured, seen: &[Seen]) -> Vec<Option<TableDefinition>> {
    let versions = captured.store.schema_versions().expect("readable");
    let maps = seen.iter().filter(|s| s.kind == kind::EVENT && s.event_type() == EventType::TABLE_MAP);
    maps.map(|map| {
        let (_, id) = split_event(map.flags, &map.body).expect("ours");
        let version = versions.iter().find(|v| Some(v.id) == id)?;
        Some(TableDefinition::decode(&version.bytes).expect("ours"))
    })
    .collect()
}

/// `table: name type, ...`, or why it is not trusted.
pub fn describe(definition: &Option<TableDefinition>) -> String {
    let Some(definition) = definition else { return "unknown".to_owned() };
    if let Some(reason) = &definition.unconfirmed {
        return format!("{}: unconfirmed, {}", definition.table, reason.split(' ').next().unwrap_or_default());
    }
    let columns: Vec<_> = definition.columns.iter().map(|c| format!("{} {}", c.name, c.column_type)).collect();
    format!("{}: {}", definition.table, columns.join(", "))
}

/// The log's transactions, each as the names of its events.
pub fn transactions(seen: &[Seen]) -> Vec<Vec<&'static str>> {
    let mut transactions: Vec<Vec<&'static str>> = Vec::new();
    for entry in seen {
        if entry.is_begin() {
            transactions.push(Vec::new());
        }
        transactions.last_mut().expect("a transaction begins with its GTID").push(entry.name());
    }
    transactions
}

pub fn count(seen: &[Seen], event_type: EventType) -> usize {
    seen.iter().filter(|s| s.kind == kind::EVENT && s.event_type() == event_type).count()
}
