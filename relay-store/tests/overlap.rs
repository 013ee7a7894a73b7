//! One group becomes durable while the next is written: what a kill and a failed sync leave at that moment, by strace,
//! and what the second group may take from the first. Runs without the test harness, for it starts itself as the child.
//! A normal run stops at a sample of the syncs, `RELAY_LONG=1` at four times as many.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::workload::{self, Acked};
use relay_store::{AppendError, Codec, ReadOnlyLog, SchemaVersion, Store, StoreOptions, Submit};

const CHILD: &str = "RELAY_OVERLAP_CHILD";
/// Exit code of a child whose store was poisoned.
const POISONED: i32 = 4;
/// How long a sync is held up: ample for the other thread to write a group.
const HELD_UP: Duration = Duration::from_millis(300);
/// Syncs before this one are those of opening.
const FIRST_SYNC: usize = 6;

fn main() {
    if let Some(dir) = std::env::var_os(CHILD) {
        std::process::exit(child(Path::new(&dir)));
    }
    if std::env::args().any(|argument| argument == "--list") {
        println!(
            "group_needs_a_version_of_the_one_before: test\nsync_fails_while_the_next_group_is_written: test\n\
             killed_while_the_next_group_is_written: test"
        );
        return;
    }
    group_needs_a_version_of_the_one_before();
    let probe = Command::new("strace").args(["-f", "-e", "trace=none", "true"]).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        println!("SKIPPED sync_fails_while_the_next_group_is_written: strace is missing or may not trace here");
        println!("SKIPPED killed_while_the_next_group_is_written: strace is missing or may not trace here");
        return;
    }
    sync_fails_while_the_next_group_is_written();
    killed_while_the_next_group_is_written();
}

/// Groups follow each other as fast as they can.
fn options() -> StoreOptions {
    StoreOptions {
        codec: Codec::None,
        commit_interval: Duration::ZERO,
        group_bytes: Some(1),
        queue_bytes: 64 << 10,
        segment_bytes: 4 << 20,
        ..common::options()
    }
}

/// Appends without waiting for anything but room, and tells what is durable meanwhile.
fn child(dir: &Path) -> i32 {
    println!("pid {}", std::process::id());
    let store = Store::open(dir, options()).expect("open");
    let durable = store.durable();
    let mut appender = store.appender().expect("appender");
    let mut append = || -> Result<(), AppendError> {
        for n in 0..1500 {
            workload::append(&mut appender, n)?;
            appender.seal();
            while appender.submit()? == Submit::Full {
                appender.wait_space()?;
            }
            if n % 16 == 0 {
                println!("acked 0 {} 0", durable.seq());
            }
        }
        appender.flush().map(drop)
    };
    let code = match append() {
        Ok(()) => 0,
        Err(AppendError::Poisoned(_)) => POISONED,
        Err(error) => panic!("{error}"),
    };
    // Also of a poisoned store: what was told stands, and is all that was told.
    println!("acked 0 {} 0", durable.seq());
    println!("visible {} of {}", durable.visible(), store.positions().durable_seq);
    code
}

fn count(normal: usize) -> usize {
    if std::env::var_os("RELAY_LONG").is_some() { 4 * normal } else { normal }
}

/// What was going on when the `nth` sync was held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    /// It was meta's, else the segment's.
    of_meta: bool,
    /// Something was written to the segment meanwhile.
    overlapped: bool,
    /// It is over.
    over: bool,
}

fn moment(trace: &str, nth: usize) -> Option<Moment> {
    let lines: Vec<&str> = trace.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
    let start = lines.iter().enumerate().filter(|(_, line)| line.contains(" fdatasync(")).nth(nth - 1)?.0;
    let over = lines[start..].iter().position(|line| line.contains("(DELAYED)"));
    let meanwhile = &lines[start..over.map_or(lines.len(), |over| start + over)];
    Some(Moment {
        of_meta: lines[start].contains("/meta/db>"),
        overlapped: meanwhile.iter().any(|line| line.contains(" writev(")),
        over: over.is_some(),
    })
}

/// A child whose `nth` sync is held up, and what becomes of it then.
fn strace(dir: &Path, nth: usize, fault: &str) -> Command {
    let delay = HELD_UP.as_micros();
    let mut command = Command::new("timeout");
    command
        .args(["-s", "KILL", "60", "strace", "-f", "-q", "-y", "-o"])
        .arg(dir.join("trace"))
        .args(["-e", "trace=fdatasync,writev"])
        .args(["-e", &format!("inject=fdatasync:{fault}delay_enter={delay}:when={nth}")])
        .arg(std::env::current_exe().expect("own path"))
        .env(CHILD, dir.join("store"))
        .env("RUST_BACKTRACE", "0")
        .stdout(std::fs::File::create(dir.join("told")).expect("output"));
    command
}

fn read(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Opens what a child left, and has another life go on there.
fn reopen(dir: &Path, acked: Acked, what: &str) {
    let store = Store::open(dir, common::options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    workload::check(&store, acked, what);
    drop(store);
    let mut out = Vec::new();
    workload::child(dir, 1, &mut out).unwrap_or_else(|error| panic!("{what}: next life: {error}"));
    let acked = Acked::parse(&String::from_utf8_lossy(&out)).expect("one round");
    let store = Store::open(dir, common::options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    workload::check(&store, acked, what);
}

/// Holds that each kind of sync was met while a group was written, or the test has tested nothing.
fn assert_met(moments: &[Moment], name: &str) {
    for of_meta in [false, true] {
        let met = moments.iter().filter(|moment| moment.overlapped && moment.of_meta == of_meta).count();
        assert!(met > 0, "{name}: no group was written while a sync was held up (of meta: {of_meta}): {moments:?}");
    }
    let overlapped = moments.iter().filter(|moment| moment.overlapped).count();
    println!("{name}: ok, {overlapped} of {} while a group was written", moments.len());
}

/// The group whose sync fails, and the one that was written meanwhile, are seen by nobody; the store is poisoned.
fn sync_fails_while_the_next_group_is_written() {
    let mut moments = Vec::new();
    for nth in FIRST_SYNC..FIRST_SYNC + count(8) {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = dir.path().join("store");
        let status = strace(dir.path(), nth, "error=EIO:").stderr(Stdio::null()).status().expect("strace");
        let (trace, told) = (read(&dir.path().join("trace")), read(&dir.path().join("told")));
        let moment = moment(&trace, nth).unwrap_or_else(|| panic!("no sync {nth}: {trace}"));
        let what = format!("EIO at sync {nth}, {moment:?}");
        assert_eq!(status.code(), Some(POISONED), "{what}: a failed sync must poison: {told}");
        let acked = Acked::parse(&told).expect("told");
        let positions = ReadOnlyLog::open(&store).expect("open for reading").positions();
        assert_eq!(positions.durable_seq.0, acked.seq, "{what}: readers see what nobody was told");
        let visible = format!("visible {} of {}\n", positions.visible_seq, acked.seq);
        assert!(told.ends_with(&visible), "{what}: {visible} but {told}");
        reopen(&store, acked, &what);
        moments.push(moment);
    }
    assert_met(&moments, "sync_fails_while_the_next_group_is_written");
}

/// Killed when the next group is on its way to the file, and the one before is not durable.
fn killed_while_the_next_group_is_written() {
    let mut moments = Vec::new();
    for nth in FIRST_SYNC..FIRST_SYNC + count(8) {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut child = strace(dir.path(), nth, "").stderr(Stdio::null()).spawn().expect("strace");
        let deadline = Instant::now() + Duration::from_secs(60);
        let moment = loop {
            assert!(Instant::now() < deadline, "the child hangs");
            match moment(&read(&dir.path().join("trace")), nth) {
                Some(moment) if moment.overlapped || moment.over => break moment,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let told = read(&dir.path().join("told"));
        let pid = told.lines().next().and_then(|line| line.strip_prefix("pid ")).expect("its id");
        let killed = Command::new("kill").args(["-KILL", pid]).status();
        assert!(killed.is_ok_and(|status| status.success()), "kill {pid}");
        child.wait().expect("wait");
        let acked = Acked::parse(&read(&dir.path().join("told"))).unwrap_or_default();
        reopen(&dir.path().join("store"), acked, &format!("killed at sync {nth}, {moment:?}"));
        moments.push(moment);
    }
    assert_met(&moments, "killed_while_the_next_group_is_written");
}

/// A version that came with a group is not in meta yet when the next group needs it, and is written into the segment all
/// the same: a meta that is lost takes none along.
fn group_needs_a_version_of_the_one_before() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = Store::open(dir.path(), options()).expect("open");
    let mut appender = store.appender().expect("appender");
    let submit = |appender: &mut relay_store::Appender| {
        appender.seal();
        while appender.submit().expect("submit") == Submit::Full {
            appender.wait_space().expect("space");
        }
    };
    let versions: Vec<SchemaVersion> = (1..=500).map(|id| SchemaVersion { id, bytes: vec![id as u8; 40] }).collect();
    for version in &versions {
        appender.put_schema(version.clone()).expect("put");
        workload::append(&mut appender, 2 * version.id).expect("append");
        submit(&mut appender);
        appender.needs_schema(version.id);
        workload::append(&mut appender, 2 * version.id + 1).expect("append");
        submit(&mut appender);
    }
    appender.flush().expect("flush");
    drop(appender);
    store.close();
    std::fs::remove_dir_all(dir.path().join("meta")).expect("meta goes");
    let store = Store::open(dir.path(), options()).expect("open");
    assert!(store.opened().meta_rebuilt.is_some());
    let kept = store.schema_versions().expect("versions");
    let gone: Vec<u64> = versions.iter().filter(|version| !kept.contains(version)).map(|version| version.id).collect();
    assert_eq!(gone, [], "versions that no segment holds");
    println!("group_needs_a_version_of_the_one_before: ok");
}
