//! Faults at exactly the Nth call: an error or a SIGKILL at each write, sync, rename, unlink and truncation of a short
//! life, by strace; a full disk that heals, and a slow one. Runs without the test harness, for it starts itself as the
//! child. A normal run takes a sample of the calls, `RELAY_LONG=1` all of them.

mod common;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::workload::{self, Acked};
use common::{Rng, read_all, seed};
use relay_store::{AppendError, Appender, CursorOptions, Retention, Seq, Store, StoreOptions, Submit};

const CHILD: &str = "RELAY_FAULT_CHILD";
const ROUNDS: &str = "RELAY_FAULT_ROUNDS";
/// Exit code of a child whose store was poisoned.
const POISONED: i32 = 4;

fn main() {
    if let Some(dir) = std::env::var_os(CHILD) {
        std::process::exit(child(Path::new(&dir)));
    }
    if std::env::args().any(|argument| argument == "--list") {
        println!("fault_at_every_call: test\nfull_disk_heals: test\noversized_transaction_waits_for_more_room: test");
        println!("power_cut_takes_nothing_back: test\nfrozen_disk_is_waited_for: test");
        println!("failed_head_of_a_meta_batch_ends_the_store: test");
        return;
    }
    full_disk_heals();
    oversized_transaction_waits_for_more_room();
    power_cut_takes_nothing_back();
    frozen_disk_is_waited_for();
    if can_trace() {
        failed_head_of_a_meta_batch_ends_the_store();
        fault_at_every_call();
    }
}

fn child(dir: &Path) -> i32 {
    let rounds = std::env::var(ROUNDS).ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    match workload::child(dir, rounds, &mut std::io::stdout()) {
        Ok(()) => 0,
        Err(error) => {
            let poisoned = error.downcast_ref::<AppendError>().is_some_and(|e| matches!(e, AppendError::Poisoned(_)))
                || error
                    .downcast_ref::<relay_store::CursorError>()
                    .is_some_and(|e| matches!(e, relay_store::CursorError::Poisoned(_)));
            eprintln!("{error}");
            if poisoned { POISONED } else { 1 }
        }
    }
}

/// What is injected at the Nth call of which system call.
const FAULTS: [(&str, &str); 15] = [
    ("fdatasync", "error=EIO"),
    ("fdatasync", "signal=SIGKILL"),
    ("fsync", "error=EIO"),
    ("fsync", "signal=SIGKILL"),
    ("writev", "error=EIO"),
    ("writev", "error=ENOSPC"),
    ("writev", "signal=SIGKILL"),
    ("pwrite64", "error=EIO"),
    ("pwrite64", "error=ENOSPC"),
    ("pwrite64", "signal=SIGKILL"),
    ("write", "signal=SIGKILL"),
    ("rename", "error=EIO"),
    ("rename", "signal=SIGKILL"),
    ("unlink", "signal=SIGKILL"),
    ("ftruncate", "signal=SIGKILL"),
];

/// Of these calls every run makes so many fail: sled's own writes, whose failures have hung it.
const ALWAYS: (&str, u64) = ("pwrite64", 4);

fn can_trace() -> bool {
    let probe = Command::new("strace").args(["-f", "-e", "trace=none", "true"]).stderr(Stdio::null()).status();
    let can = probe.is_ok_and(|status| status.success());
    if !can {
        println!("SKIPPED all faults by strace: it is missing or may not trace here");
    }
    can
}

/// A batch of sled is written in two parts at once, a head of 24 bytes and the rest. When the head's write failed
/// behind the other's, whoever waited for the flush was not woken, and the store neither went on nor said so. The
/// delay makes it the later one. Which thread writes which part is chance, so it is tried until heads have failed.
fn failed_head_of_a_meta_batch_ends_the_store() {
    const HEAD: usize = 24;
    let started = Instant::now();
    let (mut heads, mut runs) = (0, 0);
    while heads == 0 || (heads < 3 && started.elapsed() < Duration::from_secs(4)) {
        assert!(runs < 100, "none of {runs} runs failed at the head of a batch");
        // At the first writes of a thread it is a head nearly every second time, later the published mark comes first.
        let trace = inject("pwrite64", "error=EIO:delay_enter=100000", 2 + runs % 3);
        heads += usize::from(trace.is_some_and(|trace| failed_writes(&trace).contains(&HEAD)));
        runs += 1;
    }
    println!("failed_head_of_a_meta_batch_ends_the_store: ok, {runs} runs, {heads} at the head");
}

/// Lengths of the writes that were made to fail.
fn failed_writes(trace: &str) -> Vec<usize> {
    let mut begun = std::collections::HashMap::new();
    let mut failed = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        if let Some((_, arguments)) = call.split_once("pwrite64(") {
            let arguments = arguments.split(" <unfinished").next().unwrap_or_default();
            let arguments = arguments.rsplit_once(") = ").map_or(arguments, |(arguments, _)| arguments);
            // The last two are length and offset; the bytes before them may hold anything.
            let len = arguments.rsplit(", ").nth(1).and_then(|len| len.parse::<usize>().ok());
            begun.insert(thread, len);
        }
        if line.contains("(INJECTED)") {
            failed.extend(begun.get(thread).copied().flatten());
        }
    }
    failed
}

fn fault_at_every_call() {
    let long = std::env::var_os("RELAY_LONG").is_some();
    let budget = if long { Duration::from_secs(1200) } else { Duration::from_secs(10) };
    let mut rng = Rng(seed("fault"));
    let started = Instant::now();
    let (mut runs, mut hits) = (0, 0);
    let mut plan: Vec<(&str, &str, u64)> = FAULTS
        .iter()
        .flat_map(|(call, fault)| (1..=if long { 60 } else { 10 }).map(move |nth| (*call, *fault, nth)))
        .collect();
    if !long {
        // A sample, in an order of its own each time.
        for at in (1..plan.len()).rev() {
            plan.swap(at, rng.below(at as u64 + 1) as usize);
        }
        plan.sort_by_key(|(call, fault, nth)| !(*call == ALWAYS.0 && fault.starts_with("error") && *nth <= ALWAYS.1));
    }
    let mut beyond: Vec<(&str, &str, u64)> = Vec::new();
    for (call, fault, nth) in plan {
        if started.elapsed() > budget {
            break;
        }
        if beyond.iter().any(|known| known.0 == call && known.1 == fault && known.2 <= nth) {
            continue;
        }
        runs += 1;
        if inject(call, fault, nth).is_some() { hits += 1 } else { beyond.push((call, fault, nth)) }
    }
    assert!(hits > 0, "no fault was hit in {runs} runs");
    println!("{runs} runs, {hits} with a fault hit: ok");
}

/// Runs a life with a fault, then one without, and checks. Gives the trace when the fault was hit.
fn inject(call: &str, fault: &str, nth: u64) -> Option<String> {
    let what = format!("{fault} at {call} {nth}");
    let dir = tempfile::tempdir().expect("temp dir");
    let trace = dir.path().join("trace");
    let store_dir = dir.path().join("store");
    // A life that does not end is a failure too.
    let started = Instant::now();
    let output = Command::new("timeout")
        .args(["-s", "KILL", "60", "strace", "-f", "-q", "-o"])
        .arg(&trace)
        .args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{fault}:when={nth}")])
        .arg(std::env::current_exe().expect("own path"))
        .env(CHILD, &store_dir)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("strace");
    assert!(started.elapsed() < Duration::from_secs(60), "{what}: the child hangs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let trace = std::fs::read_to_string(&trace).unwrap_or_default();
    let hit = trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL");
    let acked = Acked::parse(&String::from_utf8_lossy(&output.stdout)).unwrap_or_default();
    if hit && fault == "error=EIO" && call == "fdatasync" && acked.seq > 0 {
        assert_eq!(output.status.code(), Some(POISONED), "{what}: a failed sync must poison: {stderr}");
    }
    if hit && fault == "error=ENOSPC" && call == "writev" {
        assert_eq!(output.status.code(), Some(0), "{what}: a full disk is waited for: {stderr}");
    }
    if !hit {
        assert_eq!(output.status.code(), Some(0), "{what}: {stderr}");
    }
    if call == "pwrite64" && fault.starts_with("error") && output.status.code() != Some(0) {
        // Who is told of it learns which file and why, and nothing panics on the way.
        assert!(matches!(output.status.code(), Some(1 | POISONED)), "{what}: {:?}: {stderr}", output.status);
        let named = ["/meta/db", "/log/mark"].iter().any(|file| stderr.contains(file));
        let reason = ["Input/output error", "No space left on device"].iter().any(|reason| stderr.contains(reason));
        assert!(named && reason, "{what}: {stderr}");
    }
    let store = Store::open(&store_dir, common::options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    workload::check(&store, acked, &what);
    drop(store);
    // A life after it goes on where the log ends.
    let mut out = Vec::new();
    workload::child(&store_dir, 1, &mut out).unwrap_or_else(|error| panic!("{what}: next life: {error}"));
    let acked = Acked::parse(&String::from_utf8_lossy(&out)).expect("one round");
    let store = Store::open(&store_dir, common::options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    workload::check(&store, acked, &what);
    hit.then_some(trace)
}

fn full_disk_heals() {
    let dir = tempfile::tempdir().expect("temp dir");
    if !mount_tmpfs(dir.path(), "size=16m") {
        println!("SKIPPED full_disk_heals: no right to mount a tmpfs");
        return;
    }
    let _unmount = Unmount(dir.path());
    let options = StoreOptions { ballast_bytes: 2 << 20, segment_bytes: 1 << 20, ..common::options() };
    let store_dir = dir.path().join("store");
    let store = Store::open(&store_dir, options.clone()).expect("open");
    let cursor = store.cursors().create("c", Seq(0), CursorOptions::default()).expect("create");
    let mut appender = store.appender().expect("appender");
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut next = 0;
    while store.stats().disk_full.is_none() {
        assert!(Instant::now() < deadline, "the disk never got full");
        if appender.submit().expect("submit") == Submit::Done {
            workload::append(&mut appender, next).expect("append");
            next += 1;
        } else {
            std::thread::yield_now();
        }
    }
    let visible = store.positions().visible_seq;
    store.cursors().commit_durable("c", cursor.epoch, Seq(visible.0 / 2), None).expect("cursors move on a full disk");
    let full = store.stats().disk_full.expect("still full");
    assert!(full.needed_bytes > full.free_bytes, "{full:?}");
    assert!(store.durable().poisoned().is_none());

    // While it is full the store can be opened anew.
    drop(appender);
    drop(store);
    let store = Store::open(&store_dir, options).expect("open on a full disk");
    assert!(store.positions().visible_seq >= visible);
    let mut appender = store.appender().expect("appender");
    next = workload::resume(&appender);
    while store.stats().disk_full.is_none() {
        assert!(Instant::now() < deadline, "the disk never got full again");
        if appender.submit().expect("submit") == Submit::Done {
            workload::append(&mut appender, next).expect("append");
            next += 1;
        } else {
            std::thread::yield_now();
        }
    }
    assert!(mount_tmpfs(dir.path(), "remount,size=64m"), "remount");
    let durable = appender.flush().expect("room again");
    assert!(store.stats().disk_full.is_none());
    let acked = Acked { transactions: next, seq: durable.0, cursor: visible.0 / 2 };
    workload::check(&store, acked, "healed disk");
    // What the cursor had went first, and nothing that it had not.
    let first = store.positions().first_seq;
    assert!(first > Seq(1) && first.0 <= visible.0 / 2 + 1, "{first}");
    assert!(read_all(&mut store.reader(), first).len() > 1000);
    println!("full_disk_heals: ok, {next} transactions");
}

fn mount_tmpfs(at: &Path, options: &str) -> bool {
    Command::new("mount")
        .args(["-t", "tmpfs", "-o", options, "tmpfs"])
        .arg(at)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Appends to one transaction until the disk is full.
fn fill_by_one_transaction(store: &Store, appender: &mut Appender) -> Seq {
    let first = appender.last_seq().next();
    let (body, context) = (vec![7u8; 8 << 10], &b"context"[..]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.stats().disk_full.is_none() {
        assert!(Instant::now() < deadline, "the disk never got full");
        if appender.submit().expect("submit") == Submit::Done {
            appender.append(common::header(0), &[&body], &context).expect("append");
        } else {
            std::thread::yield_now();
        }
    }
    first
}

/// A transaction that filled the disk alone was written again and again, as often as its connection broke off; and
/// one that a restart abandons could not even be given up, for its end found no room either.
fn oversized_transaction_waits_for_more_room() {
    let dir = tempfile::tempdir().expect("temp dir");
    if !mount_tmpfs(dir.path(), "size=16m") {
        println!("SKIPPED oversized_transaction_waits_for_more_room: no right to mount a tmpfs");
        return;
    }
    let _unmount = Unmount(dir.path());
    let other = dir.path().join("other");
    std::fs::write(&other, vec![1u8; 1 << 20]).expect("somebody else's file");
    let options = StoreOptions {
        segment_bytes: 1 << 20,
        queue_bytes: 64 << 10,
        codec: relay_store::Codec::None,
        ..common::options()
    };
    let store_dir = dir.path().join("store");
    let store = Store::open(&store_dir, options.clone()).expect("open");
    let cursor = store.cursors().create("c", Seq(0), CursorOptions::default()).expect("create");
    let ack = |store: &Store, seq: Seq| {
        store.cursors().commit_durable("c", cursor.epoch, seq, None).expect("cursors move on a full disk");
    };
    let mut appender = store.appender().expect("appender");
    for n in 0..20 {
        workload::append(&mut appender, n).expect("append");
    }
    let small = appender.flush().expect("flush");
    ack(&store, small);
    let first = fill_by_one_transaction(&store, &mut appender);
    let named = store.stats().disk_full.and_then(|full| full.oversized).expect("the transaction is named");
    assert_eq!(named.first, first);
    assert!(named.bytes > 8 << 20, "{named:?}");

    // The next life gives it up although the disk is full, so that it can go.
    drop(appender);
    drop(store);
    let store = Store::open(&store_dir, options).expect("open on a full disk");
    let mut appender = store.appender().expect("appender");
    appender.submit().expect("submit");
    let abandoned = appender.last_seq();
    wait_until("what was open is given up", || store.positions().durable_seq == abandoned);
    ack(&store, abandoned);

    // It comes again, and fails again; a little room lets the rest of the queue through, and no more.
    let first = fill_by_one_transaction(&store, &mut appender);
    let named = store.stats().disk_full.and_then(|full| full.oversized).expect("the transaction is named");
    assert_eq!(named.first, first);
    std::fs::remove_file(&other).expect("room");
    wait_until("the rest is written", || store.stats().disk_full.is_none() && store.stats().queued_bytes == 0);
    drop(appender);
    let mut appender = store.appender().expect("appender");
    appender.submit().expect("submit");
    let abandoned = appender.last_seq();
    wait_until("it is given up", || store.positions().durable_seq == abandoned);
    ack(&store, abandoned);
    store.set_retention(Retention { max_bytes: Some(0), ..Retention::default() });
    wait_until("what it had goes", || store.positions().first_seq > first);
    std::fs::write(&other, vec![1u8; 4 << 20]).expect("somebody else's file grew");

    // Its first block finds room for itself, but not for the whole.
    let context: &[u8] = b"context";
    appender.append(common::header(0), &[b"again"], &context).expect("append");
    appender.commit(common::commit(&20u64.to_be_bytes(), 1));
    appender.seal();
    appender.submit().expect("submit");
    wait_until("it waits", || store.stats().disk_full.is_some());
    let full = store.stats().disk_full.expect("waits");
    assert!(full.free_bytes > 6 << 20, "there is room for a block: {full:?}");
    assert_eq!(full.oversized.map(|known| known.first), Some(first));
    assert!(full.needed_bytes > named.bytes, "{full:?}");
    for _ in 0..3 {
        ack(&store, abandoned);
        assert_eq!(store.positions().durable_seq, abandoned, "it was tried without more room");
    }
    assert!(mount_tmpfs(dir.path(), "remount,size=64m"), "remount");
    let durable = appender.flush().expect("room for all of it");
    assert_eq!(durable, abandoned.next());
    // Who waits for the flush is answered before the writer looks around again.
    wait_until("the full disk is over", || store.stats().disk_full.is_none());
    println!("oversized_transaction_waits_for_more_room: ok, {} bytes", named.bytes);
}

/// A file system in a file: what the file holds at a moment is what a power cut at that moment leaves, for what was
/// not synced is in the cache above it. The copy is mounted, which replays its journal, and held against what had been
/// acknowledged before the copy was made. 3 cuts, 100 with `RELAY_LONG=1`.
fn power_cut_takes_nothing_back() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (image, cut) = (dir.path().join("image"), dir.path().join("cut"));
    let (live, after) = (dir.path().join("live"), dir.path().join("after"));
    std::fs::create_dir(&live).expect("create");
    std::fs::create_dir(&after).expect("create");
    if !make_ext4(&image) || !mount_image(&image, &live) {
        println!("SKIPPED power_cut_takes_nothing_back: no ext4 on a loop image here");
        return;
    }
    let _unmount = Unmount(&live);
    let mut rng = Rng(seed("power cut"));
    let cuts = if std::env::var_os("RELAY_LONG").is_some() { 100 } else { 3 };
    let mut total = 0;
    for number in 0..cuts {
        let what = format!("power cut {number}");
        let told = dir.path().join("told");
        let mut child = Command::new(std::env::current_exe().expect("own path"))
            .env(CHILD, live.join("store"))
            .env(ROUNDS, u64::MAX.to_string())
            .stdout(std::fs::File::create(&told).expect("output"))
            .spawn()
            .expect("spawn");
        std::thread::sleep(Duration::from_millis(100 + rng.below(500)));
        let pid = child.id().to_string();
        assert!(succeeds("kill", &["-STOP".as_ref(), pid.as_ref()]), "{what}: stop");
        let acked = Acked::parse(&std::fs::read_to_string(&told).expect("output")).unwrap_or_default();
        std::fs::copy(&image, &cut).expect("copy of the image");
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert!(mount_image(&cut, &after), "{what}: mount");
        {
            let _unmount = Unmount(&after);
            let store =
                Store::open(&after.join("store"), common::options()).unwrap_or_else(|error| panic!("{what}: {error}"));
            total = workload::check(&store, acked, &what);
        }
    }
    println!("power_cut_takes_nothing_back: ok, {cuts} cuts, {total} transactions at the last");
}

/// A disk that answers late is no failed one: what is asked of meta meanwhile waits, and the store goes on.
fn frozen_disk_is_waited_for() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (image, live) = (dir.path().join("image"), dir.path().join("live"));
    std::fs::create_dir(&live).expect("create");
    if !make_ext4(&image) || !mount_image(&image, &live) {
        println!("SKIPPED frozen_disk_is_waited_for: no ext4 on a loop image here");
        return;
    }
    let _unmount = Unmount(&live);
    let store = Store::open(&live.join("store"), common::options()).expect("open");
    let cursor = store.cursors().create("c", Seq(0), CursorOptions::default()).expect("create");
    let mut appender = store.appender().expect("appender");
    workload::append(&mut appender, 0).expect("append");
    let durable = appender.flush().expect("flush");
    if !succeeds("fsfreeze", &["-f".as_ref(), live.as_os_str()]) {
        println!("SKIPPED frozen_disk_is_waited_for: no right to freeze a file system");
        return;
    }
    let thaw = Thaw(&live);
    let (cursors, (told, outcome)) = (store.cursors(), std::sync::mpsc::channel());
    let waiting = std::thread::spawn(move || {
        let _ = told.send(cursors.commit_durable("c", cursor.epoch, durable, None));
    });
    // Many times as long as it takes else, and as sled's failures are asked for.
    let early = outcome.recv_timeout(Duration::from_millis(1500));
    assert!(early.is_err(), "nothing can be durable on a frozen disk: {early:?}");
    assert!(store.durable().poisoned().is_none());
    drop(thaw);
    outcome.recv_timeout(Duration::from_secs(20)).expect("an answer").expect("the cursor moves");
    waiting.join().expect("join");
    workload::append(&mut appender, 1).expect("append");
    appender.flush().expect("flush");
    println!("frozen_disk_is_waited_for: ok");
}

struct Thaw<'a>(&'a Path);

impl Drop for Thaw<'_> {
    fn drop(&mut self) {
        let thawed = succeeds("fsfreeze", &["-u".as_ref(), self.0.as_os_str()]);
        assert!(thawed || std::thread::panicking(), "thaw");
    }
}

fn succeeds(program: &str, arguments: &[&OsStr]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// A file system of 64 MiB in a file.
fn make_ext4(image: &Path) -> bool {
    std::fs::File::create(image).and_then(|file| file.set_len(64 << 20)).expect("image");
    succeeds("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_os_str()])
}

fn mount_image(image: &Path, at: &Path) -> bool {
    succeeds("mount", &["-o".as_ref(), "loop".as_ref(), image.as_os_str(), at.as_os_str()])
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(status.is_ok_and(|status| status.success()) || std::thread::panicking(), "unmount");
    }
}
