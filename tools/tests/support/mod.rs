//! Stores made of real binlog events, and the tools run against them.
#![allow(dead_code, reason = "each test file uses its own part")]

#[path = "../../../tests/support/binlog_rows.rs"]
pub mod binlog_rows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use binlog_rows::{Col, Image, format_description, gtid, image, int, le, query, rows, table_map, text, varchar, xid};
use relay::binlog::event::{EventHeader, EventType};
use relay::log::{Checkpoint, ContextWriter, SourcePosition, kind};
use relay_store::{Appender, BlockContext, Codec, Commit, Retention, Seq, Store, StoreOptions};

pub const UUID: [u8; 16] =
    [0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62];
pub const UUID_TEXT: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
/// Commit time of transaction 1, microseconds: 2026-01-31T23:59:00Z; each later one comes 30 s after.
pub const T1: u64 = 1_769_903_940_000_000;

/// What every block repeats; maps of the open transaction included.
#[derive(Clone)]
struct Repeated {
    description: Vec<u8>,
    transaction: Vec<u8>,
    maps: Vec<(u8, Vec<u8>)>,
}

impl BlockContext for Repeated {
    fn write(&self, out: &mut Vec<u8>) {
        let mut writer = ContextWriter::begin(out, 0, &self.description, "mysql-bin.000007");
        if !self.transaction.is_empty() {
            writer.transaction(0, &self.transaction);
        }
        for (flags, map) in &self.maps {
            writer.table_map(*flags, map);
        }
    }
}

/// A log being written.
pub struct Source {
    pub store: Store,
    pub appender: Appender,
    context: Repeated,
    /// Transactions so far; the number of the next one less one.
    pub transactions: u64,
    position: u64,
    index: u32,
}

pub fn orders() -> Vec<Col> {
    vec![int("id", 3, false).key(), varchar("note", 20, 255, 4)]
}

pub fn order(id: i64, note: &str) -> Image {
    image(&[le(id, 4), text(note)])
}

impl Source {
    pub fn create(dir: &Path) -> Self {
        let options = StoreOptions {
            codec: Codec::None,
            block_bytes: 1 << 10,
            segment_bytes: 64 << 10,
            commit_interval: Duration::from_millis(1),
            ballast_bytes: 0,
            ..StoreOptions::default()
        };
        let starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let store = Store::open(dir, options).expect("a store");
        drop(starting);
        let appender = store.appender().expect("the only one");
        let context = Repeated { description: format_description("8.4.0"), transaction: Vec::new(), maps: Vec::new() };
        Self { store, appender, context, transactions: 0, position: 4, index: 0 }
    }

    pub fn append(&mut self, kind: u8, flags: u8, body: &[u8]) {
        self.position += body.len() as u64;
        let header = relay_store::EntryHeader {
            kind,
            flags,
            tx_index: self.index,
            source_pos: self.position,
            received_us: T1 + self.transactions * 30_000_000,
        };
        self.index += 1;
        self.appender.append(header, &[body], &self.context).expect("room");
    }

    pub fn begin(&mut self) {
        self.transactions += 1;
        self.index = 0;
        let time = T1 + (self.transactions - 1) * 30_000_000;
        let gtid = gtid(UUID, self.transactions as i64, time);
        self.append(kind::EVENT, 0, &gtid);
        self.context.transaction = gtid;
    }

    pub fn map(&mut self, table_id: u64, database: &str, table: &str, columns: &[Col]) {
        let map = table_map(table_id, database, table, columns, true);
        self.append(kind::EVENT, 0, &map);
        self.context.maps.push((0, map));
    }

    pub fn rows(&mut self, what: u8, table_id: u64, columns: &[Col], images: &[Image]) {
        self.append(kind::EVENT, 0, &rows(what, table_id, columns, images, 1_769_903_939));
    }

    pub fn commit(&mut self) {
        self.append(kind::EVENT, 0, &xid(self.transactions));
        self.close();
    }

    pub fn close(&mut self) {
        let checkpoint = Checkpoint {
            gtids: SourcePosition::MySqlGtid(format!("{UUID_TEXT}:1-{}", self.transactions)),
            file: "mysql-bin.000007".into(),
            position: self.position,
            server: UUID_TEXT.into(),
            file_created: 1_767_000_000,
            ..Checkpoint::default()
        };
        self.appender.commit(Commit {
            checkpoint: &checkpoint.encode(),
            commit_time_us: T1 + (self.transactions - 1) * 30_000_000,
            forget_prepared: None,
        });
        self.context.transaction.clear();
        self.context.maps.clear();
    }

    /// A transaction of these inserts into `shop.orders`: one row an entry, and four entries around them.
    pub fn insert(&mut self, notes: &[&str]) {
        self.begin();
        self.append(kind::EVENT, 0, &query(7, "shop", "BEGIN"));
        self.map(9, "shop", "orders", &orders());
        for (place, note) in notes.iter().enumerate() {
            self.rows(30, 9, &orders(), &[order(place as i64 + 1, note)]);
        }
        self.commit();
    }

    /// The open transaction was cut off: none of it is ever seen. Its number comes again.
    pub fn abandon(&mut self) {
        self.appender.abandon().expect("a transaction is open");
        self.transactions -= 1;
        self.context.transaction.clear();
        self.context.maps.clear();
    }

    /// Appends a captured binlog file as capture keeps it: GTIDs, statements, maps and rows. Gives their number.
    pub fn binlog(&mut self, file: &[u8]) -> u64 {
        assert_eq!(&file[..4], b"\xfebin");
        let (mut rest, mut events) = (&file[4..], 0);
        while !rest.is_empty() {
            let (raw, behind) = rest.split_at(EventHeader::parse(rest).expect("a header").event_len as usize);
            rest = behind;
            let (event_type, begins) =
                (EventHeader::parse(raw).expect("a header").event_type, raw.windows(5).any(|w| w == b"BEGIN"));
            match event_type {
                EventType::FORMAT_DESCRIPTION => self.context.description = raw.to_vec(),
                EventType::ROTATE | EventType::STOP | EventType::PREVIOUS_GTIDS | EventType::MARIADB_GTID_LIST => {
                    continue;
                }
                EventType::BINLOG_CHECKPOINT => continue,
                kind => {
                    events += 1;
                    if matches!(kind, EventType::GTID | EventType::ANONYMOUS_GTID | EventType::MARIADB_GTID) {
                        self.transactions += 1;
                        self.index = 0;
                    }
                    self.append(relay::log::kind::EVENT, 0, raw);
                    match kind {
                        EventType::TABLE_MAP => self.context.maps.push((0, raw.to_vec())),
                        EventType::XID => self.close(),
                        EventType::QUERY if !begins => self.close(),
                        _ => {}
                    }
                }
            }
        }
        events
    }

    pub fn statement(&mut self, sql: &str) {
        self.begin();
        self.append(kind::EVENT, 0, &query(7, "shop", sql));
        self.close();
    }

    pub fn flush(&mut self) {
        self.appender.flush().expect("a disk");
    }

    pub fn close_store(mut self) {
        self.flush();
        drop(self.appender);
        self.store.close();
    }
}

/// The log that most tests read.
///
/// | seqs | transaction |
/// |---|---|
/// | 1-5 | two orders are inserted |
/// | 6-11 | one of them is updated, the other deleted |
/// | 12-16 | an order, abandoned; the last entry says so |
/// | 17-18 | a statement |
/// | 19-25 | an order whose note drives terminals; a row of `shop.audit` |
pub fn sample(dir: &Path) {
    let mut source = Source::create(dir);
    source.begin();
    source.append(kind::EVENT, 0, &query(7, "shop", "BEGIN"));
    source.map(9, "shop", "orders", &orders());
    source.rows(30, 9, &orders(), &[order(1, "first"), order(2, "NULL")]);
    source.commit();

    source.begin();
    source.append(kind::EVENT, 0, &query(7, "shop", "BEGIN"));
    source.map(9, "shop", "orders", &orders());
    source.rows(31, 9, &orders(), &[order(1, "first"), order(1, "größer \"1\"")]);
    source.rows(32, 9, &orders(), &[image(&[le(2, 4), None])]);
    source.commit();

    source.begin();
    source.append(kind::EVENT, 0, &query(7, "shop", "BEGIN"));
    source.map(9, "shop", "orders", &orders());
    source.rows(30, 9, &orders(), &[order(3, "never")]);
    source.abandon();

    source.statement("ALTER TABLE orders\n  ADD COLUMN x int");

    source.begin();
    source.append(kind::EVENT, 0, &query(7, "shop", "BEGIN"));
    source.map(9, "shop", "orders", &orders());
    source.rows(30, 9, &orders(), &[order(4, "\x1b]0;own\x07 \u{9b}31m")]);
    source.map(10, "shop", "audit", &orders());
    source.rows(30, 10, &orders(), &[order(5, "seen")]);
    source.commit();
    source.close_store();
}

/// A stopped log whose front retention took; gives its first seq.
pub fn trimmed(dir: &Path) -> Seq {
    let mut source = Source::create(dir);
    let note = "n".repeat(60);
    while source.store.segments().len() < 5 {
        source.insert(&[note.as_str(); 40]);
        source.flush();
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while source.store.positions().first_seq == Seq(1) {
        assert!(std::time::Instant::now() < deadline, "nothing was trimmed");
        source.store.set_retention(Retention { max_bytes: Some(150_000), ..Retention::default() });
        source.flush();
    }
    let first = source.store.positions().first_seq;
    source.close_store();
    first
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, target).expect("a copy");
        }
    }
}

/// Held while a process is started and while a store is opened. A child has the files of its parent until it runs its
/// own program, locks on them included; a store that another test opens or closes in that moment would find itself
/// locked.
pub static STARTING: Mutex<()> = Mutex::new(());

pub fn start(command: &mut Command) -> Child {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    command.spawn().expect("the tool starts")
}

/// What a tool did.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().expect("no signal ended it"),
            out: String::from_utf8(output.stdout.clone()).expect("UTF-8"),
            err: String::from_utf8(output.stderr.clone()).expect("UTF-8"),
        }
    }

    /// The output of a run that must be good.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The one sentence of a run that must end with `code` and print nothing else.
    #[track_caller]
    pub fn refused(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        self.err.trim_end().to_owned()
    }
}

pub fn run(tool: &str, arguments: &[&str]) -> Ran {
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ran::of(&start(&mut command).wait_with_output().expect("it ends"))
}

/// Every file below a folder with its bytes and its time of change.
pub fn contents(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let changed = path.metadata().and_then(|facts| facts.modified()).expect("a file");
                found.insert(path.clone(), (std::fs::read(&path).expect("a file"), changed));
            }
        }
    }
    found
}
