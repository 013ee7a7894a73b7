//! Deliveries over a real store, with an encoder of text entries and sinks that fail on purpose.

mod throttled;
mod window;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use relay_store::{Appender, Commit, EntryHeader, RawBlock, Seq, Store, StoreOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::outlet::Outlet;
use super::park::{self, Admission, Scope, TableFault};
use super::pipeline::EncodeError;
use super::{DeliveryContext, DeliveryError, Encode, deliver};
use crate::change::schema::TableName;
use crate::config::{Config, Throttle};
use crate::failure::{Class, Failure as _};
use crate::metrics::Metrics;
use crate::sink::faults::{Fault, Faults, FaultySink};
use crate::sink::memory::{Memory, MemorySink};
use crate::sink::{Batch, Event, Operation, Origin, Record};
use crate::status::{DeliveryHandle, State, Status};

const PATIENCE: Duration = Duration::from_secs(20);

/// Entries are `table text`; the text `bad` does not decode, `panic` panics, `wait` takes its time, `rows` makes 500 records.
struct Texts {
    scope: Scope,
    broken: Arc<Mutex<bool>>,
    parked: Arc<AtomicU64>,
}

impl Encode for Texts {
    fn pulse(&self, _: Seq) -> Result<Option<super::heartbeat::Pulse>, EncodeError> {
        Ok(None)
    }

    fn heartbeat(
        &self,
        _: &super::heartbeat::Place,
        _: &std::collections::BTreeSet<String>,
    ) -> Result<Batch, EncodeError> {
        Ok(Batch::default())
    }

    fn is_sequential(&self) -> bool {
        false
    }

    fn encode(&self, block: RawBlock, out: &mut Outlet) -> Result<(), EncodeError> {
        let block = block.decode().map_err(EncodeError::Read)?;
        let mut faults: Vec<TableFault> = Vec::new();
        for entry in block.entries() {
            let text = std::str::from_utf8(entry.body).expect("text");
            let (table, value) = text.split_once(' ').expect("table and text");
            let name = TableName::new("shop", table);
            let admitted = self.scope.admit(&name, entry.seq);
            if admitted == Admission::Parked {
                self.parked.fetch_add(1, Ordering::Relaxed);
            }
            if admitted == Admission::Deliver && !faults.iter().any(|fault| fault.table == name) {
                match value {
                    "bad" if *self.broken.lock().expect("lock") => {
                        faults.push(TableFault { table: name, seq: entry.seq, reason: "it is bad".to_owned() });
                        out.mute();
                    }
                    "panic" => panic!("a fault of ours"),
                    "rows" => {
                        for row in 1..=500 {
                            push(out, entry.seq, table, &format!("{row:06}"));
                            out.batch().records.last_mut().expect("pushed").ends_entry = row == 500;
                        }
                    }
                    _ => {
                        if value.starts_with("wait") {
                            std::thread::sleep(Duration::from_millis(3));
                        }
                        push(out, entry.seq, table, value);
                    }
                }
            }
            out.covered(entry.seq)?;
        }
        out.covered(block.last_seq())?;
        if faults.is_empty() { Ok(()) } else { Err(EncodeError::Tables(faults)) }
    }
}

fn push(out: &mut Outlet, seq: Seq, table: &str, value: &str) {
    let batch = out.batch();
    let origin = Arc::new(Origin::new(format!("shop.{table}"), table));
    let (gtid, position) = (batch.push_bytes(b""), batch.push_bytes(b""));
    let event = batch.events.len() as u32;
    batch.events.push(Event { seq, origin, gtid, position, timestamp_ms: 0 });
    let value = Some(batch.push_bytes(value.as_bytes()));
    let operation = Operation::Insert;
    batch.rows += 1;
    batch.records.push(Record { event, row: 0, operation, hash: 0, key: None, value, ends_entry: true, note: None });
}

struct Lab {
    store: Store,
    appender: Appender,
    memory: Memory,
    faults: Faults,
    broken: Arc<Mutex<bool>>,
    parked: Arc<AtomicU64>,
    status: Status,
    workers: usize,
    auto_resume: bool,
    throttle: watch::Sender<Throttle>,
    running: Option<(CancellationToken, JoinHandle<Result<(), DeliveryError>>)>,
    _dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self::with(StoreOptions { block_bytes: 4096, ..StoreOptions::default() }, &[])
    }

    fn with(options: StoreOptions, faults: &[Fault]) -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let options = StoreOptions { ballast_bytes: 0, commit_interval: Duration::from_millis(1), ..options };
        let store = Store::open(dir.path(), options).expect("store");
        let appender = store.appender().expect("appender");
        Self {
            store,
            appender,
            memory: Memory::default(),
            faults: Faults::new(faults.iter().copied()),
            broken: Arc::new(Mutex::new(true)),
            parked: Arc::default(),
            status: Status::new(),
            workers: 2,
            auto_resume: true,
            throttle: watch::Sender::new(Throttle::default()),
            running: None,
            _dir: dir,
        }
    }

    /// One transaction of these entries; returns its last seq.
    fn append<T: AsRef<str>>(&mut self, entries: &[T]) -> Seq {
        let context: &[u8] = b"";
        for entry in entries {
            let header = EntryHeader { kind: 1, ..EntryHeader::default() };
            self.appender.append(header, &[entry.as_ref().as_bytes()], &context).expect("append");
        }
        self.appender.commit(Commit { checkpoint: b"c", commit_time_us: 1, forget_prepared: None });
        self.appender.flush().expect("durable")
    }

    fn start(&mut self) {
        let text = format!(
            "name = \"t\"\n[source]\nurl = \"mysql://r@db1\"\n[[delivery]]\nname = \"c\"\nworkers = {}\n\
             auto_resume = {}\nfile = {{ path = \"f\" }}\n",
            self.workers, self.auto_resume
        );
        let config = Config::parse(&text, Path::new("t"), &|_| None).expect("config");
        let shutdown = CancellationToken::new();
        let context = DeliveryContext {
            relay: "t".into(),
            zone: jiff::tz::TimeZone::UTC,
            budget: crate::sink::kafka::Budget::default(),
            config: Arc::new(config.deliveries[0].clone()),
            throttle: self.throttle.subscribe(),
            store: self.store.clone(),
            status: self.status.delivery("c"),
            metrics: Metrics::new("t", "").delivery("c"),
            shutdown: shutdown.clone(),
        };
        let (memory, faults, broken, parked) =
            (self.memory.clone(), self.faults.clone(), self.broken.clone(), self.parked.clone());
        let task = tokio::spawn(async move {
            let make = || FaultySink::new(MemorySink::new(memory.clone()), &faults);
            let encoder = |scope| -> Arc<dyn Encode> {
                Arc::new(Texts { scope, broken: broken.clone(), parked: parked.clone() })
            };
            deliver(&context, make, encoder).await
        });
        self.running = Some((shutdown, task));
    }

    async fn stop(&mut self) -> Result<(), DeliveryError> {
        let (shutdown, task) = self.running.take().expect("it runs");
        shutdown.cancel();
        tokio::time::timeout(PATIENCE, task).await.expect("it stops in time").expect("no panic")
    }

    /// Waits for it to fail.
    async fn failure(&mut self) -> DeliveryError {
        let (_, task) = self.running.take().expect("it runs");
        tokio::time::timeout(PATIENCE, task).await.expect("in time").expect("no panic").expect_err("it fails")
    }

    fn status(&self) -> DeliveryHandle {
        self.status.delivery("c")
    }

    fn acked(&self) -> Seq {
        self.store.cursors().get("c").map_or(Seq::ZERO, |cursor| cursor.acked)
    }

    fn values(&self) -> Vec<String> {
        let text = |value: Option<Vec<u8>>| String::from_utf8(value.unwrap_or_default()).expect("text");
        self.memory.records().into_iter().map(|record| text(record.value)).collect()
    }

    fn values_of(&self, table: &str) -> Vec<String> {
        let mut by_table: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in self.memory.records() {
            let value = String::from_utf8(record.value.unwrap_or_default()).expect("text");
            by_table.entry(record.destination).or_default().push(value);
        }
        by_table.remove(table).unwrap_or_default()
    }
}

async fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn numbered(table: &str, range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|n| format!("{table} {n:06}")).collect()
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|n| format!("{n:06}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_in_order_and_the_cursor_is_durable_at_the_end() {
    let mut lab = Lab::new();
    lab.append(&numbered("a", 1..=3000));
    lab.start();
    wait_for("the backlog", || lab.values().len() == 3000).await;
    lab.append(&numbered("a", 3001..=3010));
    wait_for("the tail", || lab.values().len() == 3010).await;
    lab.stop().await.expect("in good order");
    assert_eq!(lab.values(), numbers(1..=3010));
    assert_eq!(lab.acked(), Seq(3010));
    assert_eq!(lab.status().acked(), 3010);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_encoded_in_parallel_come_out_in_the_order_of_the_log() {
    let mut lab = Lab::new();
    lab.workers = 8;
    // Some entries take longer, so that later blocks are ready first.
    let entries: Vec<String> =
        (0..4000).map(|n| if n % 300 == 0 { format!("a wait{n:06}") } else { format!("a ....{n:06}") }).collect();
    lab.append(&entries);
    lab.start();
    wait_for("all", || lab.values().len() == 4000).await;
    lab.stop().await.expect("in good order");
    let order: Vec<u64> = lab.values().iter().map(|value| value[4..].parse().expect("number")).collect();
    assert!(order.is_sorted(), "out of order");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_fault_nothing_is_missing_and_each_life_goes_on_in_order() {
    for fault in [Fault::Reject, Fault::FailAfterWrite] {
        let faults = [Fault::Pass, Fault::Pass, fault];
        let mut lab = Lab::with(StoreOptions { block_bytes: 4096, ..StoreOptions::default() }, &faults);
        lab.append(&numbered("a", 1..=2000));
        lab.start();
        let error = lab.failure().await;
        assert_eq!(error.class(), Class::Transient, "{error}");
        assert!(error.is_connection());
        let (before, acked) = (lab.values().len(), lab.acked());
        assert!(acked.0 as usize <= before, "{fault:?}: the cursor is never ahead of the sink");
        lab.start();
        wait_for("the rest", || lab.acked() == Seq(2000)).await;
        lab.stop().await.expect("in good order");
        let values = lab.values();
        assert_eq!(values[..before], numbers(1..=before as u64), "{fault:?}");
        assert_eq!(values[before..], numbers(acked.0 + 1..=2000), "{fault:?}: it goes on right behind the ack");
        assert_eq!(lab.faults.left(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_holds_its_acks_holds_the_cursor_and_does_not_hold_up_the_end() {
    let mut lab = Lab::with(StoreOptions::default(), &[Fault::Hold]);
    lab.append(&numbered("a", 1..=10));
    lab.start();
    wait_for("delivered", || lab.values().len() == 10).await;
    let stopping = Instant::now();
    lab.stop().await.expect("in good order");
    assert!(stopping.elapsed() < Duration::from_secs(8));
    assert_eq!(lab.acked(), Seq::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_sink_slows_only_itself() {
    let mut lab = Lab::with(
        StoreOptions { block_bytes: 4096, ..StoreOptions::default() },
        &[Fault::Slow(Duration::from_millis(300)); 2],
    );
    lab.start();
    let started = Instant::now();
    lab.append(&numbered("a", 1..=5000));
    assert!(started.elapsed() < Duration::from_secs(5), "appending waits for nobody");
    wait_for("all", || lab.values().len() == 5000).await;
    lab.stop().await.expect("in good order");
    assert_eq!(lab.values(), numbers(1..=5000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_takes_effect_while_it_runs() {
    let mut lab = Lab::new();
    lab.append(&numbered("a", 1..=100));
    lab.start();
    wait_for("the first time", || lab.values().len() == 100).await;
    lab.store.cursors().reset("c", Seq(40)).expect("reset");
    wait_for("the replay", || lab.values().len() == 160).await;
    wait_for("the cursor", || lab.acked() == Seq(100)).await;
    lab.append(&numbered("a", 101..=101));
    wait_for("the tail", || lab.values().len() == 161).await;
    lab.stop().await.expect("in good order");
    assert_eq!(lab.values()[100..], numbers(41..=101));
    assert_eq!(lab.store.cursors().get("c").expect("cursor").epoch.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_the_cursor_stops_it_and_a_resume_starts_it() {
    let mut lab = Lab::new();
    lab.append(&numbered("a", 1..=5));
    lab.start();
    wait_for("running", || lab.values().len() == 5).await;
    lab.store.cursors().pause("c").expect("pause");
    let status = lab.status();
    wait_for("paused", || status.state() == State::Paused).await;
    lab.append(&numbered("a", 6..=6));
    lab.store.cursors().resume("c").expect("resume");
    wait_for("resumed", || lab.values().len() == 6).await;
    lab.stop().await.expect("in good order");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecodable_table_parks_alone_and_is_replayed_in_order_when_released() {
    let mut lab = Lab::new();
    lab.append(&["a 1", "b 1", "a 2", "b bad", "a 3", "b 3"]);
    lab.start();
    lab.append(&["a 4", "b 4"]);
    wait_for("the others", || lab.values_of("a").len() == 4).await;
    wait_for("their acks", || lab.acked() == Seq(8)).await;
    let cursor = lab.store.cursors().get("c").expect("cursor");
    assert_eq!(cursor.parked.len(), 1);
    assert_eq!((cursor.parked[0].first, cursor.parked[0].reason.as_str()), (Seq(4), "it is bad"));
    assert_eq!(lab.values_of("b"), ["1"], "rows before its place were delivered, none after");
    assert!(lab.parked.load(Ordering::Relaxed) >= 2, "its rows are counted");
    // The fault is repaired, and somebody asks for the table.
    *lab.broken.lock().expect("lock") = false;
    let table = TableName::new("shop", "b");
    assert!(park::request_release(&lab.store.cursors(), "c", &table).expect("asked"));
    wait_for("the release", || lab.store.cursors().get("c").expect("cursor").parked.is_empty()).await;
    lab.append(&["b 5", "a 5"]);
    wait_for("the tail", || lab.values_of("b").len() == 5 && lab.values_of("a").len() == 5).await;
    lab.stop().await.expect("in good order");
    assert_eq!(lab.values_of("b"), ["1", "bad", "3", "4", "5"]);
    assert_eq!(lab.values_of("a"), ["1", "2", "3", "4", "5"]);
    assert!(!park::request_release(&lab.store.cursors(), "c", &table).expect("nothing to release"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_table_that_is_still_bad_parks_again() {
    let mut lab = Lab::new();
    lab.append(&["b bad", "a 1", "b 2"]);
    lab.start();
    wait_for("parked", || lab.acked() == Seq(3)).await;
    park::request_release(&lab.store.cursors(), "c", &TableName::new("shop", "b")).expect("asked");
    let reason = || lab.store.cursors().get("c").expect("cursor").parked[0].reason.clone();
    wait_for("asked", || reason() != "it is bad").await;
    wait_for("parked again", || reason() == "it is bad").await;
    lab.append(&["a 2"]);
    wait_for("the others", || lab.values_of("a").len() == 2).await;
    lab.stop().await.expect("in good order");
    assert!(lab.values_of("b").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_decoding_is_contained_and_named() {
    let mut lab = Lab::new();
    lab.append(&["a 1"]);
    lab.append(&["a panic"]);
    lab.start();
    let error = lab.failure().await;
    assert!(matches!(error, DeliveryError::Panic { after: Seq(1), .. }), "{error:?}");
    assert_eq!(error.class(), Class::Definite);
    assert_eq!((lab.values(), lab.acked()), (vec!["1".to_owned()], Seq(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_as_soon_as_it_is_visible() {
    let mut lab = Lab::new();
    lab.append(&["a 0"]);
    lab.start();
    wait_for("running", || lab.values().len() == 1).await;
    let mut slowest = Duration::ZERO;
    for n in 1..=50usize {
        lab.append(&[format!("a {n}")]);
        let visible = Instant::now();
        while lab.memory.records().len() == n {
            assert!(visible.elapsed() < PATIENCE);
            tokio::task::yield_now().await;
        }
        slowest = slowest.max(visible.elapsed());
    }
    lab.stop().await.expect("in good order");
    // A polling reader would need its interval; a loaded machine needs some slack.
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}
