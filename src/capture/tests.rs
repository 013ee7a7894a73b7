//! The loop against a scripted source and a real store: what enters the log, from every cut point.

mod online_ddl;
mod script;
mod young;

use relay_store::{Appender, Block, Read, Seq, Store, StoreOptions};
use script::{Script, ScriptedStream, UUID_TEXT, file_name};
use tokio_util::sync::CancellationToken;

use super::chunks::Chunks;
use super::error::{CaptureError, EventError};
use super::executed::Executed;
use super::follow::Follow;
use super::group::GroupError;
use super::position::{Covered, Reason, ResumePoint};
use super::recorder::{Recorder, Start};
use super::schema_history::SchemaHistory;
use super::stream::{DumpFrom, StreamError};
use crate::binlog::event::EventType;
use crate::log::{Checkpoint, Context, SourcePosition, flag, kind, split_event};
use crate::metrics::Metrics;
use crate::selection::TablePatterns;
use crate::status::Status;

/// A store with a source's checkpoint in front of everything.
struct Relay {
    store: Store,
    _dir: tempfile::TempDir,
    first: Checkpoint,
    tables: TablePatterns,
    follow_rename: bool,
}

impl Relay {
    fn new(gtids: SourcePosition) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(dir.path(), StoreOptions::default()).expect("a fresh store");
        let first =
            Checkpoint { gtids, file: file_name(1), position: 4, server: UUID_TEXT.into(), ..Checkpoint::default() };
        Self { store, _dir: dir, first, tables: TablePatterns::all(), follow_rename: false }
    }

    fn by_gtid() -> Self {
        Self::new(SourcePosition::MySqlGtid(String::new()))
    }

    fn by_file() -> Self {
        Self::new(SourcePosition::FileOnly)
    }

    /// One life: resumes where the log ends and follows until the stream breaks before its event number `cut`.
    async fn life(&self, script: &Script, cut: usize) -> CaptureError {
        let mut appender = self.store.appender().expect("the only appender");
        appender.flush().expect("a sound store");
        let checkpoint = match appender.checkpoint() {
            Some(bytes) => Checkpoint::decode(bytes).expect("our checkpoint"),
            None => self.first.clone(),
        };
        let executed = Executed::read(&checkpoint.gtids).expect("our set");
        let mut stream = match &executed {
            Executed::FileOnly => script.serve_from(&checkpoint.file, checkpoint.position, cut),
            _ => {
                let has = |gno| {
                    let uuid = UUID_TEXT.parse().expect("a uuid");
                    executed.contains(&super::executed::TransactionId::MySql { uuid, tag: Default::default(), gno })
                };
                script.serve_without(has, cut)
            }
        };
        let recorder = self.recorder(appender, checkpoint);
        self.follow(&mut stream, recorder).await
    }

    fn history(&self) -> SchemaHistory {
        let versions = self.store.schema_versions().expect("readable");
        SchemaHistory::load(versions.iter().map(|v| &v.bytes), Default::default()).expect("our versions")
    }

    /// A recorder that goes on at a checkpoint, by GTID when it has a set.
    fn recorder(&self, appender: Appender, checkpoint: Checkpoint) -> Recorder {
        let from = match &checkpoint.gtids {
            SourcePosition::MySqlGtid(set) => DumpFrom::MySqlGtid(set.parse().expect("our set")),
            _ => DumpFrom::File { file: checkpoint.file.clone(), position: checkpoint.position },
        };
        let covered = Covered::Known(checkpoint.gtids.clone());
        let point = ResumePoint { from, covered, skip: None, reason: Reason::Continue, expected_file: None };
        let start = Start {
            point,
            checkpoint: Some(checkpoint),
            server: UUID_TEXT.into(),
            lower_case: Some(false),
            checksum: true,
            history: self.history(),
            reading: None,
            partial_images: false,
            follow_rename: self.follow_rename,
        };
        Recorder::new(appender, self.tables.clone(), start).expect("our set")
    }

    async fn follow(&self, stream: &mut ScriptedStream, mut recorder: Recorder) -> CaptureError {
        let status = Status::new();
        let follow = Follow {
            store: &self.store,
            status: &status.capture(),
            metrics: &Metrics::new("source", "test").capture(),
            chunks: &Chunks::default(),
            shutdown: &CancellationToken::new(),
        };
        follow.run(stream, &mut recorder).await.expect_err("a script ends by breaking")
    }

    /// Everything that deliveries see, after it is durable.
    fn visible(&self) -> Vec<Seen> {
        self.store.appender().expect("the only appender").flush().expect("a sound store");
        let mut reader = self.store.reader();
        let (mut from, mut seen) = (Seq(1), Vec::new());
        loop {
            match reader.read(from).expect("readable") {
                Read::Block(raw) => {
                    let block = raw.decode().expect("whole");
                    from = block.last_seq().next();
                    check_context(&block);
                    seen.extend(block.entries().map(|entry| Seen {
                        kind: entry.header.kind,
                        flags: entry.header.flags,
                        tx_index: entry.header.tx_index,
                        source_pos: entry.header.source_pos,
                        // The same definition has another id after a cut; which one it is does not show here.
                        body: split_event(entry.header.flags, entry.body).expect("ours").0.to_vec(),
                    }));
                }
                Read::Gap(gap) => panic!("no gap is expected: {gap}"),
                Read::CaughtUp => return seen,
            }
        }
    }

    fn checkpoint(&self) -> Checkpoint {
        let appender = self.store.appender().expect("the only appender");
        Checkpoint::decode(appender.checkpoint().expect("one was handed over")).expect("our checkpoint")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: u8,
    flags: u8,
    tx_index: u32,
    source_pos: u64,
    body: Vec<u8>,
}

fn check_context(block: &Block) {
    if block.entries().any(|entry| entry.header.kind == kind::EVENT) {
        let context = Context::parse(block.context()).expect("our context");
        assert!(context.format_description.is_some() && context.file.starts_with("mysql-bin."), "{context:?}");
    }
}

fn types(seen: &[Seen]) -> Vec<&'static str> {
    let name = |s: &Seen| match s.kind {
        kind::EVENT => EventType(s.body[4]).name().unwrap_or("?"),
        kind::GAP_NOTE => "gap",
        _ => "other",
    };
    seen.iter().map(name).collect()
}

/// The script of a run, uncut, and cut before each of its events; what deliveries see must be the same.
async fn same_from_every_cut(make: impl Fn() -> Relay, script: &Script) -> Vec<Seen> {
    let whole = make();
    assert!(matches!(whole.life(script, usize::MAX).await, CaptureError::Stream(StreamError::Closed)));
    let expected = whole.visible();
    for cut in 0..script.events.len() + 2 {
        let relay = make();
        let error = relay.life(script, cut).await;
        assert!(matches!(error, CaptureError::Stream(StreamError::Closed)), "cut {cut}: {error}");
        let error = relay.life(script, usize::MAX).await;
        assert!(matches!(error, CaptureError::Stream(StreamError::Closed)), "after cut {cut}: {error}");
        assert_eq!(relay.visible(), expected, "cut {cut}");
        assert_eq!(relay.checkpoint(), whole.checkpoint(), "cut {cut}");
    }
    expected
}

#[tokio::test]
async fn a_transaction_of_60_events_survives_a_cut_at_each_of_them() {
    let mut script = Script::new();
    script.transaction(7, "orders", &[&[1]]);
    let many: Vec<&[u32]> = vec![&[1, 2, 3]; 29];
    script.transaction(7, "orders", &many).transaction(8, "items", &[&[9]]);
    for make in [Relay::by_gtid, Relay::by_file] {
        let seen = same_from_every_cut(make, &script).await;
        assert_eq!(seen.len(), 5 + 61 + 5);
        assert_eq!(types(&seen[..6]), ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XID", "GTID"]);
    }
}

#[tokio::test]
async fn an_xa_pair_survives_a_cut_at_each_event() {
    let mut script = Script::new();
    script.gtid().query("XA START X'7831',X'',1").map(7, "orders").rows(7, &[1, 2], true);
    script.query("XA END X'7831',X'',1").xa_prepare("x1", false);
    script.transaction(8, "items", &[&[5]]);
    script.rotate();
    script.gtid().query("XA COMMIT X'7831',X'',1");
    script.transaction(8, "items", &[&[6]]);
    for make in [Relay::by_gtid, Relay::by_file] {
        let seen = same_from_every_cut(make, &script).await;
        let expected = [
            &["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"][..],
            &["GTID", "TABLE_MAP", "WRITE_ROWS", "QUERY"],
            &["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"],
        ];
        assert_eq!(types(&seen), expected.concat());
        assert_eq!(seen[6].flags & flag::COPIED, flag::COPIED);
        assert_eq!(seen.iter().skip(5).take(4).map(|s| s.tx_index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}

#[tokio::test]
async fn create_table_select_survives_a_cut_at_each_event() {
    let mut script = Script::new();
    script.gtid().begin().query("CREATE TABLE `c` (`id` int) START TRANSACTION");
    script.map(9, "c").rows(9, &[1], false).rows(9, &[2], true).xid();
    script.gtid().query("DROP TABLE `c`");
    for make in [Relay::by_gtid, Relay::by_file] {
        let seen = same_from_every_cut(make, &script).await;
        let create = ["GTID", "QUERY", "QUERY", "TABLE_MAP", "WRITE_ROWS", "WRITE_ROWS", "XID"];
        assert_eq!(types(&seen), [&create[..], &["GTID", "QUERY"]].concat());
    }
}

#[tokio::test]
async fn what_is_not_selected_leaves_no_entries_but_moves_the_checkpoint() {
    let mut relay = Relay::by_gtid();
    relay.tables = TablePatterns::parse(&["shop.orders"]).expect("patterns");
    let mut script = Script::new();
    script.transaction(8, "items", &[&[1]]).rotate();
    script.gtid().begin().map(7, "orders").map(8, "items").rows(8, &[1], false).rows(7, &[2], true).xid();
    script.gtid().begin().xid();
    relay.life(&script, usize::MAX).await;
    assert_eq!(types(&relay.visible()), ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"]);
    let checkpoint = relay.checkpoint();
    assert_eq!(checkpoint.gtids, SourcePosition::MySqlGtid(format!("{UUID_TEXT}:1-3")));
    let last = script.events.last().expect("events");
    assert_eq!((checkpoint.file, checkpoint.position), (file_name(2), last.start + last.raw.len() as u64));
}

#[tokio::test]
async fn an_xa_transaction_without_selected_rows_leaves_nothing_to_see() {
    let mut relay = Relay::by_gtid();
    relay.tables = TablePatterns::parse(&["shop.orders"]).expect("patterns");
    let mut script = Script::new();
    script.gtid().query("XA START X'7831',X'',1").map(8, "items").rows(8, &[1], true);
    script.query("XA END X'7831',X'',1").xa_prepare("x1", false);
    script.gtid().query("XA COMMIT X'7831',X'',1");
    relay.life(&script, usize::MAX).await;
    assert!(relay.visible().is_empty(), "{:?}", types(&relay.visible()));
    assert_eq!(relay.checkpoint().gtids, SourcePosition::MySqlGtid(format!("{UUID_TEXT}:1-2")));
    assert!(relay.store.appender().expect("the only appender").prepared().is_empty());
}

#[tokio::test]
async fn a_log_that_only_rotates_moves_the_checkpoint() {
    let relay = Relay::by_file();
    let mut script = Script::new();
    script.rotate().rotate();
    relay.life(&script, usize::MAX).await;
    assert!(relay.visible().is_empty());
    assert_eq!(relay.checkpoint().file, file_name(3));
}

#[tokio::test]
async fn rolled_back_prepared_rows_are_never_seen() {
    let relay = Relay::by_gtid();
    let mut script = Script::new();
    script.gtid().query("XA START X'7831',X'',1").map(7, "orders").rows(7, &[1], true);
    script.query("XA END X'7831',X'',1").xa_prepare("x1", false);
    script.gtid().query("XA ROLLBACK X'7831',X'',1");
    script.gtid().query("XA COMMIT X'7831',X'',1");
    relay.life(&script, usize::MAX).await;
    let seen = relay.visible();
    assert_eq!(types(&seen), ["GTID", "gap", "QUERY"], "the second phase forgot them; another commit has none");
    assert!(relay.store.appender().expect("the only appender").prepared().is_empty());
}

#[tokio::test]
async fn a_commit_of_rows_from_before_the_log_is_a_named_gap() {
    let relay = Relay::by_gtid();
    let mut script = Script::new();
    script.gtid().query("XA COMMIT X'7831',X'',1");
    relay.life(&script, usize::MAX).await;
    let seen = relay.visible();
    assert_eq!(types(&seen), ["GTID", "gap", "QUERY"]);
    assert!(String::from_utf8_lossy(&seen[1].body).contains("X'7831'"));
}

#[tokio::test]
async fn a_transaction_that_the_server_lost_in_a_crash_is_abandoned() {
    let relay = Relay::by_file();
    let mut script = Script::new();
    script.gtid().begin().map(7, "orders").rows(7, &[1], true).crash();
    script.transaction(7, "orders", &[&[2]]);
    relay.life(&script, usize::MAX).await;
    let seen = relay.visible();
    assert_eq!(types(&seen), ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"]);
    assert!(seen[3].body.windows(4).any(|w| w == 2u32.to_le_bytes()));
}

#[tokio::test]
async fn a_rollback_as_text_leaves_nothing_to_see() {
    let relay = Relay::by_gtid();
    let mut script = Script::new();
    script.gtid().begin().map(7, "orders").rows(7, &[1], true).query("ROLLBACK");
    script.gtid().begin().map(7, "orders").rows(7, &[2], true).query("SAVEPOINT `a`").query("ROLLBACK TO `a`").xid();
    relay.life(&script, usize::MAX).await;
    let seen = relay.visible();
    assert_eq!(types(&seen), ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"]);
    assert_eq!(relay.checkpoint().gtids, SourcePosition::MySqlGtid(format!("{UUID_TEXT}:1-2")));
}

#[tokio::test]
async fn mariadb_groups_are_followed_by_their_gtid_events() {
    let relay = Relay::new(SourcePosition::MariaDbGtid(String::new()));
    let mut script = Script::mariadb();
    script.mariadb_gtid(1, None).query("CREATE TABLE t (id int)");
    script.mariadb_gtid(4, None).push(EventType::ANNOTATE_ROWS, b"insert").map(7, "t").rows(7, &[1], true).xid();
    script.mariadb_gtid(64, Some("x1")).map(7, "t").rows(7, &[2], true);
    script.query("XA END X'7831',X'',1").xa_prepare("x1", false);
    script.mariadb_gtid(129, Some("x1")).query("XA COMMIT X'7831',X'',1");
    let appender = relay.store.appender().expect("the only appender");
    let mut stream = script.serve_from(&file_name(1), 4, usize::MAX);
    relay.follow(&mut stream, relay.recorder(appender, relay.first.clone())).await;
    let expected = [
        &["MARIADB_GTID", "QUERY"][..],
        &["MARIADB_GTID", "ANNOTATE_ROWS", "TABLE_MAP", "WRITE_ROWS", "XID"],
        &["MARIADB_GTID", "TABLE_MAP", "WRITE_ROWS", "QUERY"],
    ];
    assert_eq!(types(&relay.visible()), expected.concat());
    assert_eq!(relay.checkpoint().gtids, SourcePosition::MariaDbGtid("0-1-4".into()));
}

/// The error of the only life, which must be about an event.
async fn event_error(relay: &Relay, stream: &mut ScriptedStream) -> EventError {
    let appender = relay.store.appender().expect("the only appender");
    match relay.follow(stream, relay.recorder(appender, relay.first.clone())).await {
        CaptureError::Event { source, .. } => source,
        other => panic!("not about an event: {other}"),
    }
}

#[tokio::test]
async fn a_flipped_bit_a_hole_and_an_unknown_event_are_errors_and_nothing_is_seen() {
    let mut script = Script::new();
    script.transaction(7, "orders", &[&[1]]);
    let rows = script.events.len() - 2;

    let relay = Relay::by_file();
    let mut stream = script.serve_from(&file_name(1), 4, usize::MAX);
    stream.events[rows + 1][30] ^= 1;
    assert!(matches!(event_error(&relay, &mut stream).await, EventError::Checksum(_)));
    assert!(relay.visible().is_empty());

    let relay = Relay::by_file();
    let mut stream = script.serve_from(&file_name(1), 4, usize::MAX);
    stream.events.remove(rows + 1);
    assert!(matches!(event_error(&relay, &mut stream).await, EventError::Hole(_)));
    assert!(relay.visible().is_empty());

    let relay = Relay::by_file();
    let mut unknown = script.clone();
    unknown.push(EventType(99), b"?");
    let mut stream = unknown.serve_from(&file_name(1), 4, usize::MAX);
    assert!(matches!(event_error(&relay, &mut stream).await, EventError::Unknown));
    assert_eq!(relay.visible().len(), 5, "what was committed before it stays");
}

#[tokio::test]
async fn rows_in_statement_format_stop_capture_before_they_are_passed_over() {
    let relay = Relay::by_file();
    let mut script = Script::new();
    script.gtid().begin().query("insert into orders values (1)").xid();
    let mut stream = script.serve_from(&file_name(1), 4, usize::MAX);
    let error = event_error(&relay, &mut stream).await;
    assert!(matches!(error, EventError::Group(GroupError::StatementFormat("INSERT"))), "{error}");
    assert_eq!(relay.checkpoint().position, script.events[1].start + script.events[1].raw.len() as u64);
}

#[tokio::test]
async fn a_change_of_selection_is_an_entry_between_transactions() {
    let mut relay = Relay::by_gtid();
    let mut script = Script::new();
    script.transaction(7, "orders", &[&[1]]).transaction(8, "items", &[&[1]]);
    relay.life(&script, usize::MAX).await;
    relay.tables = TablePatterns::parse(&["shop.items"]).expect("patterns");
    for _ in 0..2 {
        let mut appender = relay.store.appender().expect("the only appender");
        let mut checkpoint = Checkpoint::decode(appender.checkpoint().expect("one")).expect("ours");
        super::note_selection(&mut appender, &mut checkpoint, &relay.tables.to_string()).expect("room");
        appender.flush().expect("a sound store");
    }
    script.transaction(7, "orders", &[&[2]]).transaction(8, "items", &[&[2]]);
    relay.life(&script, usize::MAX).await;
    let seen = relay.visible();
    assert_eq!(types(&seen[10..12]), ["other", "GTID"], "once, ahead of what it holds for");
    assert_eq!((seen[10].kind, seen[10].body.as_slice(), seen.len()), (kind::SELECTION, &b"shop.items"[..], 16));
    assert_eq!(relay.checkpoint().selection, "shop.items");
}
