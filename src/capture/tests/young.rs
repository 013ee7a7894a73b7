//! A log's first moments: where it begins is durable before anything else, and never guessed again.

use std::path::Path;
use std::sync::Arc;

use relay_store::EntryHeader;

use super::*;
use crate::capture::position::Skip;
use crate::capture::{CaptureContext, run};
use crate::config::Config;
use crate::failure::{Class, Exit, Failure};
use crate::log::address::Address;
use crate::log::resolve::ResolveError;

impl Relay {
    /// A log without a checkpoint takes the head of the stream; gives the recorder and the rest of the stream.
    async fn begin(
        &self,
        mut stream: ScriptedStream,
        from: DumpFrom,
        gtids: SourcePosition,
    ) -> (Recorder, ScriptedStream) {
        let covered = Covered::Known(gtids);
        let point = ResumePoint { from, covered, skip: None, reason: Reason::FirstStart, expected_file: None };
        let start = Start {
            point,
            checkpoint: None,
            server: UUID_TEXT.into(),
            lower_case: None,
            checksum: true,
            history: self.history(),
            reading: None,
            partial_images: false,
            follow_rename: false,
        };
        let appender = self.store.appender().expect("the only appender");
        let mut recorder = Recorder::new(appender, self.tables.clone(), start).expect("our set");
        let status = Status::new();
        let follow = Follow {
            store: &self.store,
            status: &status.capture(),
            metrics: &Metrics::new("source", "test").capture(),
            chunks: &Chunks::default(),
            shutdown: &CancellationToken::new(),
        };
        assert!(follow.begin(&mut stream, &mut recorder).await.expect("a sound stream"));
        (recorder, stream)
    }

    fn durable(&self) -> Checkpoint {
        Checkpoint::decode(&self.store.checkpoint().expect("durable")).expect("our checkpoint")
    }
}

fn set(last: u32) -> String {
    format!("{UUID_TEXT}:1-{last}")
}

/// A binlog whose first two transactions come before the log.
fn script() -> (Script, u64) {
    let mut script = Script::new();
    script.transaction(7, "orders", &[&[1]]).transaction(7, "orders", &[&[2]]);
    let last = script.events.last().expect("events");
    let end = last.start + last.raw.len() as u64;
    (script, end)
}

#[tokio::test]
async fn where_a_log_begins_is_durable_before_its_first_event() {
    let (mut script, end) = script();
    let many: Vec<&[u32]> = vec![&[3; 100]; 50];
    script.transaction(7, "orders", &many);
    for by_gtid in [true, false] {
        let relay = if by_gtid { Relay::by_gtid() } else { Relay::by_file() };
        // The source is quiet: nothing but the made-up rotation comes.
        let quiet = if by_gtid { script.serve_without(|_| true, 1) } else { script.serve_from(&file_name(1), end, 1) };
        let from = match by_gtid {
            true => DumpFrom::MySqlGtid(set(2).parse().expect("a set")),
            false => DumpFrom::File { file: file_name(1), position: end },
        };
        let gtids = if by_gtid { SourcePosition::MySqlGtid(set(2)) } else { SourcePosition::FileOnly };
        let (recorder, _) = relay.begin(quiet, from, gtids.clone()).await;
        let first = relay.durable();
        assert_eq!((first.gtids.clone(), first.file.as_str()), (gtids, file_name(1).as_str()));
        assert_eq!(first.position, if by_gtid { 4 } else { end });
        drop(recorder);
        // A life that is cut off inside the first transaction changes nothing about that.
        relay.life(&script, 40).await;
        assert!(relay.visible().is_empty());
        assert_eq!(relay.durable().gtids, first.gtids);
        relay.life(&script, usize::MAX).await;
        assert_eq!(types(&relay.visible()[..2]), ["GTID", "QUERY"]);
        assert_eq!(relay.visible().len(), 3 + 2 * 50, "the third transaction, and it alone");
    }
}

#[tokio::test]
async fn a_log_that_lost_its_checkpoint_never_jumps_to_the_sources_end() {
    let relay = Relay::by_gtid();
    let mut appender = relay.store.appender().expect("the only appender");
    appender
        .append(EntryHeader::default(), &[b"of a transaction that never ended"], &(&[][..] as &[u8]))
        .expect("room");
    appender.flush().expect("a sound store");
    drop(appender);
    let life = |start: &str| {
        let text = format!(
            "[source]\nurl = \"mysql://r@127.0.0.1:1\"\ntls = \"disabled\"\nstart = \"{start}\"\n[log]\ndir = \"/nonexistent\"\n"
        );
        let config = Config::parse(&text, Path::new("relay.toml"), &|_| None).expect("a valid config");
        run(CaptureContext {
            config: Arc::new(config.source),
            store: relay.store.clone(),
            status: Status::new().capture(),
            metrics: Metrics::new("source", "test").capture(),
            chunks: Chunks::default(),
            shutdown: CancellationToken::new(),
        })
    };
    for start in ["latest", "earliest"] {
        let error = life(start).await.expect_err("its end in the source is not known");
        assert!(matches!(error, CaptureError::CheckpointLost { last_seq: 2 }), "{error}");
        assert_eq!((error.class(), error.exit()), (Class::Definite, Exit::Store));
        assert!(error.next_step().is_some_and(|step| step.contains("relay-dump")));
    }
    let error = life(&format!("gtid:{}", set(2))).await.expect_err("nobody listens there");
    assert_eq!(error.class(), Class::Transient, "a place that is named is tried: {error}");
}

#[tokio::test]
async fn addresses_from_where_a_young_log_begins_lead_to_its_first_transaction() {
    let (mut script, end) = script();
    let mut relay = Relay::by_gtid();
    relay.tables = TablePatterns::parse(&["shop.orders"]).expect("patterns");
    let at = |address: &str| address.parse::<Address>().expect("an address").resolve(&relay.store);
    let stream = script.serve_from(&file_name(1), end, 2);
    let from = DumpFrom::File { file: file_name(1), position: end };
    let (recorder, _) = relay.begin(stream, from, SourcePosition::MySqlGtid(set(2))).await;
    drop(recorder);

    // Nothing has come: what comes first is meant.
    for address in [format!("gtid:{}", set(2)), format!("file:{}:{end}", file_name(1))] {
        assert_eq!(at(&address).expect(&address), Seq(1), "{address}");
    }
    script.transaction(8, "items", &[&[3]]).transaction(8, "items", &[&[4]]);
    let unselected = script.events.last().expect("events").start;
    script.transaction(7, "orders", &[&[5]]).transaction(7, "orders", &[&[6]]);
    relay.life(&script, usize::MAX).await;
    let second = Seq(relay.visible().len() as u64 / 2 + 1);
    for address in [
        format!("gtid:{}", set(2)),
        format!("gtid:{}", set(3)),
        format!("gtid:{}", set(4)),
        format!("file:{}:{end}", file_name(1)),
        format!("file:{}:{unselected}", file_name(1)),
    ] {
        assert_eq!(at(&address).expect(&address), Seq(1), "{address}");
    }
    assert_eq!(at(&format!("gtid:{}", set(5))).expect("the next one"), second);
    let next = relay.store.positions().visible_seq.next();
    assert_eq!(at(&format!("gtid:{}", set(6))).expect("what is to come"), next);
    for before in [format!("gtid:{}", set(1)), format!("file:{}:4", file_name(1))] {
        assert!(matches!(at(&before), Err(ResolveError::BeforeStart { .. })), "{before}: {:?}", at(&before));
    }
    for after in [format!("gtid:{}", set(7)), format!("file:{}:99999", file_name(1))] {
        assert!(matches!(at(&after), Err(ResolveError::AfterEnd { .. })), "{after}: {:?}", at(&after));
    }
}

/// One life of a log that is to begin behind `skip` of the first file, until the stream breaks before event `cut`.
async fn life_behind(relay: &Relay, script: &Script, skip: Skip, cut: usize) {
    if relay.store.appender().expect("the only appender").checkpoint().is_some() {
        relay.life(script, cut).await;
        return;
    }
    let from = DumpFrom::File { file: file_name(1), position: 4 };
    let (covered, reason) = (Covered::AtFileStart, Reason::FirstStart);
    let point = ResumePoint { from, covered, skip: Some(skip), reason, expected_file: None };
    let start = Start {
        point,
        checkpoint: None,
        server: UUID_TEXT.into(),
        lower_case: None,
        checksum: true,
        history: relay.history(),
        reading: None,
        partial_images: false,
        follow_rename: false,
    };
    let appender = relay.store.appender().expect("the only appender");
    let recorder = Recorder::new(appender, relay.tables.clone(), start).expect("our set");
    let mut stream = script.serve_from(&file_name(1), 4, cut);
    relay.follow(&mut stream, recorder).await;
}

/// The first entry that deliveries see.
fn first_visible(relay: &Relay) -> Seq {
    let (mut reader, mut from) = (relay.store.reader(), Seq(1));
    loop {
        let Read::Block(raw) = reader.read(from).expect("readable") else { panic!("nothing is visible") };
        from = raw.last_seq().next();
        if let Some(entry) = raw.decode().expect("whole").entries().next() {
            return entry.seq;
        }
    }
}

#[tokio::test]
async fn a_log_that_is_to_begin_later_begins_there_after_every_cut() {
    let (mut script, end) = script();
    script.transaction(7, "orders", &[&[3]]).transaction(7, "orders", &[&[4]]);
    for cut in 0..script.events.len() + 2 {
        let relay = Relay::by_gtid();
        life_behind(&relay, &script, Skip::UpTo(end), cut).await;
        life_behind(&relay, &script, Skip::UpTo(end), usize::MAX).await;
        let seen = relay.visible();
        assert_eq!(types(&seen), ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"].repeat(2), "cut {cut}");
        assert_eq!(relay.checkpoint().gtids, SourcePosition::MySqlGtid(set(4)), "cut {cut}");
        let at = |address: String| address.parse::<Address>().expect("an address").resolve(&relay.store);
        // What a cut life had of it was abandoned.
        let first = first_visible(&relay);
        assert_eq!(at(format!("gtid:{}", set(2))).expect("where it begins"), first, "cut {cut}");
        assert!(matches!(at(format!("gtid:{}", set(1))), Err(ResolveError::BeforeStart { .. })), "cut {cut}");
    }
}

#[tokio::test]
async fn a_log_that_is_to_begin_at_a_time_has_no_checkpoint_until_then() {
    let (script, _) = script();
    let second = i64::from(script::TIME) * 1_000_000;
    let relay = Relay::by_gtid();
    life_behind(&relay, &script, Skip::CommittedBefore(second + 1), usize::MAX).await;
    assert!(relay.visible().is_empty());
    assert!(relay.store.checkpoint().is_none(), "the time is looked for again");
    life_behind(&relay, &script, Skip::CommittedBefore(second), usize::MAX).await;
    assert_eq!(relay.visible().len(), 2 * 5, "both are of that time");
    assert_eq!(relay.checkpoint().gtids, SourcePosition::MySqlGtid(set(2)));
}

#[tokio::test]
async fn a_stream_that_never_pauses_shows_how_far_it_has_come() {
    let mut relay = Relay::by_gtid();
    relay.tables = TablePatterns::parse(&["shop.orders"]).expect("patterns");
    let mut script = Script::new();
    for _ in 0..5 {
        script.transaction(8, "items", &[&[1]]);
    }
    let appender = relay.store.appender().expect("the only appender");
    let mut recorder = relay.recorder(appender, relay.first.clone());
    let (status, metrics) = (Status::new(), Metrics::new("source", "test"));
    let (capture, counters, shutdown) = (status.capture(), metrics.capture(), CancellationToken::new());
    let chunks = Chunks::default();
    let follow =
        Follow { store: &relay.store, status: &capture, metrics: &counters, chunks: &chunks, shutdown: &shutdown };
    let mut stream = script.serve_without(|_| false, usize::MAX);
    follow.run(&mut stream, &mut recorder).await.expect_err("a script ends by breaking");
    let end = capture.end().expect("no heartbeat came, and yet it is known");
    assert_eq!(end.at_us, i64::from(script::TIME) * 1_000_000, "all that was committed by then");
}
