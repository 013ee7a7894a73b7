//! The relay is killed in the middle of transactions that fill several segments: each is in the log once, is delivered
//! once, and the parts that were left behind neither come out nor hold anything back.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use relay_store::{ReadOnlyLog, Seq};

use crate::support::daemon::{Daemon, Extra};
use crate::support::log::contents;
use crate::support::proxy::{Fault, Proxy};
use crate::support::servers::shared;
use crate::support::sql::Session;
use crate::support::{fresh, seed, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);
/// Rows of a transaction; each is an event of its own, of a little more than 8 KiB.
const ROWS: usize = 450;
/// GTID, BEGIN, the table map, the rows, XID.
const EVENTS: usize = ROWS + 4;
/// The relay's smallest segments, of which a transaction fills more than three.
const SEGMENT: u64 = 1 << 20;

/// A relay behind a proxy, whose log has small segments and no compression.
struct Lab {
    proxy: Proxy,
    daemon: Daemon,
    root: Session,
    schema: String,
    lines: PathBuf,
    /// Transactions so far.
    done: usize,
}

impl Lab {
    fn new() -> Self {
        let server = shared(&["mysql97"]).mysql97();
        let schema = fresh("kill");
        let mut root = Session::open(&server);
        root.run(&format!("CREATE DATABASE {schema}"));
        root.run_all(&[
            &format!("USE {schema}"),
            "CREATE TABLE n (n INT PRIMARY KEY)",
            "SET SESSION cte_max_recursion_depth = 100000",
            &format!("INSERT INTO n WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {ROWS}) SELECT n FROM r"),
            "CREATE TABLE t (id INT PRIMARY KEY, v TEXT CHARACTER SET latin1)",
        ]);
        let daemon = Daemon::new("");
        let lines = daemon.lines();
        Self { proxy: Proxy::before(&server), daemon, root, schema, lines, done: 0 }
    }

    fn configure(&self, max_bytes: u64) {
        let log = format!(
            "codec = \"none\"\nsegment_bytes = \"{SEGMENT}B\"\nballast_bytes = \"0B\"\nretention = {{ max_bytes = \"{max_bytes}B\" }}"
        );
        let extra = Extra { log: &log, delivery: "start = \"earliest\"", ..Extra::default() };
        self.daemon.configure_to_file(&self.proxy.database().url("relay"), &format!("{}.t", self.schema), extra);
    }

    /// One transaction whose ids go on where the last one's ended.
    fn transaction(&mut self) {
        let base = self.done * ROWS;
        self.done += 1;
        self.root
            .run(&format!("INSERT INTO t SELECT {base} + n, REPEAT(SHA2({base} + n, 256), 129) FROM n ORDER BY n"));
    }

    /// The next transaction stops on its way to the relay behind so many events.
    #[track_caller]
    fn hold_behind(&mut self, events: usize) {
        self.proxy.arm(&self.schema, events, Fault::Hold);
        self.transaction();
        assert!(self.proxy.wait_fired(PATIENCE), "the dump was not held behind event {events}");
    }

    /// Waits until all transactions so far are in the file, and the cursor has moved over them.
    #[track_caller]
    fn wait_delivered(&self) {
        wait_until("the transaction is delivered", PATIENCE, || {
            let acked = self.daemon.json("/api/v1/cursors/lines")["acked_seq"].as_u64()?;
            let done = last_id(&self.lines) == self.done * ROWS && acked == self.log().positions().visible_seq.0;
            done.then_some(())
        });
    }

    /// Every row, in order. A kill may make lines come again, from a place that was delivered before.
    fn assert_lines(&self) {
        let text = std::fs::read_to_string(&self.lines).expect("the file");
        let (mut newest, mut before, mut repeats) = (0, 0, 0);
        for id in text.lines().map(id_of) {
            assert!(id == before + 1 || id <= newest, "row {id} comes behind {before}, the newest was {newest}");
            repeats += usize::from(id <= newest);
            (newest, before) = (newest.max(id), id);
        }
        assert_eq!(newest, self.done * ROWS);
        assert!(repeats < newest / 2, "{repeats} of {newest} rows came again");
    }

    fn log(&self) -> ReadOnlyLog {
        ReadOnlyLog::open(&self.daemon.log_dir()).expect("a log")
    }
}

fn id_of(line: &str) -> usize {
    let (_, id) = line.split_once("\"id\":\"").unwrap_or_else(|| panic!("no row: {line:.200}"));
    id.split('"').next().and_then(|id| id.parse().ok()).expect("a number")
}

/// The row in the last whole line of a file that grows; 0 while there is none.
fn last_id(path: &Path) -> usize {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let length = file.metadata().expect("its length").len();
        file.seek(SeekFrom::Start(length.saturating_sub(20_000))).expect("a place");
        file.read_to_end(&mut bytes).expect("readable");
    }
    let text = String::from_utf8_lossy(&bytes);
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().last().filter(|line| line.contains("\"id\":\"")).map_or(0, id_of)
}

#[test]
fn a_relay_killed_anywhere_in_a_transaction_of_three_segments_delivers_it_once() {
    const KILLS: usize = 20;
    let mut random = StdRng::seed_from_u64(seed("kill"));
    let mut lab = Lab::new();
    lab.configure(200 << 30);
    lab.daemon.start();
    for kill in 0..KILLS {
        let step = (EVENTS - 1) / KILLS;
        lab.hold_behind(1 + kill * step + random.random_range(0..step));
        // What has arrived is in memory, written or synced.
        std::thread::sleep(Duration::from_millis(random.random_range(0..25)));
        lab.daemon.kill();
        assert_eq!(last_id(&lab.lines), kill * ROWS, "nothing of the open transaction is delivered");
        lab.proxy.disarm();
        lab.daemon.start();
        lab.wait_delivered();
    }
    assert!(lab.daemon.stop().success(), "a clean end");
    lab.assert_lines();
    let contents = contents(&lab.daemon.log_dir());
    contents.assert_each_once();
    assert_eq!(contents.gaps, []);
    assert_eq!(contents.transactions.iter().map(|t| t.rows_events).collect::<Vec<_>>(), vec![ROWS; KILLS]);
    assert!(contents.hidden > ROWS, "parts of transactions were written: {}", contents.hidden);
    let segments = lab.log().segments();
    for transaction in &contents.transactions {
        let within = segments.iter().filter(|s| s.first_seq > transaction.first && s.last_seq < transaction.last);
        assert!(within.count() >= 2, "{transaction:?} lies in more than three segments");
    }
}

#[test]
fn retention_spares_an_open_transaction_and_takes_what_was_left_of_a_killed_one() {
    const MAX: u64 = 4 * SEGMENT;
    let mut lab = Lab::new();
    lab.configure(MAX);
    lab.daemon.start();
    let trimmed_up_to = |lab: &Lab, seq: Seq| {
        let visible = lab.log().positions().visible_seq;
        wait_until("delivered segments go", PATIENCE, || {
            let positions = lab.log().positions();
            assert!(positions.first_seq <= visible.next(), "the open transaction was trimmed: {positions:?}");
            (positions.first_seq > seq).then_some(())
        });
    };
    for killed in [true, false, true] {
        lab.transaction();
        lab.wait_delivered();
        // Nearly all of it is in the log, which is far over its size by then.
        let delivered = lab.log().positions().first_seq;
        lab.hold_behind(EVENTS - 10);
        trimmed_up_to(&lab, delivered);
        if killed {
            lab.daemon.kill();
            lab.proxy.disarm();
            lab.daemon.start();
        } else {
            lab.proxy.disarm();
        }
        lab.wait_delivered();
    }
    wait_until("the log shrinks to its size", PATIENCE, || {
        let bytes: u64 = lab.log().segments().iter().map(|s| s.bytes).sum();
        (bytes <= MAX + SEGMENT).then_some(())
    });
    lab.assert_lines();
    assert!(lab.daemon.stop().success(), "a clean end");
}
