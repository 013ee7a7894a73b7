//! SIGKILL at random moments, life after life on one store: nothing acknowledged is lost, nothing is there twice.
//! 50 kills, or 1,000 with `RELAY_LONG=1`. Runs without the test harness, for it starts itself as the child.

mod common;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::workload::{self, Acked};
use common::{Rng, seed};
use relay_store::{ReadOnlyLog, Reader, Seq, Store};

const CHILD: &str = "RELAY_CRASH_CHILD";

fn main() {
    if let Some(dir) = std::env::var_os(CHILD) {
        workload::child(Path::new(&dir), u64::MAX, &mut std::io::stdout()).expect("child");
        return;
    }
    // The harness's own questions, as `cargo test -- --list` asks them.
    if std::env::args().any(|argument| argument == "--list") {
        println!("killed_child_loses_nothing: test");
        return;
    }
    killed_child_loses_nothing();
}

fn killed_child_loses_nothing() {
    let kills = if std::env::var_os("RELAY_LONG").is_some() { 1000 } else { 50 };
    let mut rng = Rng(seed("crash"));
    let mut dir = tempfile::tempdir().expect("temp dir");
    let (mut total, mut cut, mut abandoned) = (0, 0, 0);
    // One reader that stays, over kills and restarts.
    let mut onlooker: Option<Onlooker> = None;
    for kill in 0..kills {
        // A new store now and then, so that creation is hit too.
        if kill % 25 == 10 {
            onlooker = None;
            dir = tempfile::tempdir().expect("temp dir");
            total = 0;
        }
        let mut child = Command::new(std::env::current_exe().expect("own path"))
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        // A reader in another process looks on meanwhile, and must never see anything out of order.
        let wait = Duration::from_millis(1 + rng.below(120));
        std::thread::sleep(wait);
        if let Ok(log) = ReadOnlyLog::open(dir.path()) {
            Onlooker::new(log).look();
        }
        if onlooker.is_none() {
            onlooker = ReadOnlyLog::open(dir.path()).ok().map(Onlooker::new);
        }
        onlooker.iter_mut().for_each(Onlooker::look);
        child.kill().expect("kill");
        let mut output = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut output).expect("read");
        child.wait().expect("wait");
        let acked = Acked::parse(&output).unwrap_or_default();
        let what = format!("kill {kill} after {wait:?}");
        let store = Store::open(dir.path(), common::options()).unwrap_or_else(|error| panic!("{what}: {error}"));
        cut += u64::from(store.opened().cut_bytes > 0);
        abandoned += u64::from(store.opened().open_transaction.is_some());
        let next = workload::check(&store, acked, &what);
        assert!(next >= total, "{what}: transactions went back from {total} to {next}");
        total = next;
    }
    println!(
        "{kills} kills, {total} transactions in the last store, {cut} torn tails, {abandoned} open transactions: ok"
    );
}

/// A reader in another process than the writer's.
struct Onlooker {
    reader: Reader,
    from: Seq,
    /// Transaction and index of the entry read last.
    last: Option<u64>,
}

impl Onlooker {
    fn new(log: ReadOnlyLog) -> Self {
        Onlooker { reader: log.reader(), from: Seq(1), last: None }
    }

    /// Reads on to the end; each entry follows the one before, but for what retention took.
    fn look(&mut self) {
        loop {
            match self.reader.read(self.from).expect("read-only read") {
                relay_store::Read::Block(raw) => {
                    self.from = raw.last_seq().next();
                    let block = raw.decode().expect("read-only decode");
                    for entry in block.entries() {
                        let id = u64::from_le_bytes(*entry.body.first_chunk().expect("eight bytes"));
                        if let Some(last) = self.last {
                            let (n, index) = (last >> 8, last & 0xFF);
                            let follows =
                                if index + 1 == workload::entries_of(n) { (n + 1) << 8 } else { n << 8 | (index + 1) };
                            assert_eq!(id, follows, "entry {} does not follow", entry.seq);
                        }
                        self.last = Some(id);
                    }
                }
                relay_store::Read::Gap(gap) => {
                    assert_eq!(gap.reason, relay_store::GapReason::Trimmed, "{gap}");
                    self.from = gap.last.next();
                    self.last = None;
                }
                relay_store::Read::CaughtUp => return,
            }
        }
    }
}
