//! Every kind of file, flipped, zeroed and cut: nothing is wrong in silence. What cannot be read is a named gap; what the
//! checkpoint covers is readable or in such a gap; what it does not cover is not in the log, for it comes again.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Rng, body, commit, header, open, options, read_all, read_with_gaps, seed};
use relay_store::{CursorOptions, GapReason, SegmentInfo, Seq, Store, Submit};

/// What a store holds before it is damaged.
struct Truth {
    entries: BTreeMap<u64, Vec<u8>>,
    /// First and last seq of transaction `n`; its checkpoint is `n` as eight bytes.
    transactions: Vec<(u64, u64)>,
    acked: u64,
}

/// Fills a store; the directory is copied while it is open, as a kill would leave it, or after it was closed.
fn build(rng: &mut Rng, dir: &Path, closed: bool) -> Truth {
    let live = tempfile::tempdir().expect("temp dir");
    let store = open(live.path());
    let mut appender = store.appender().expect("appender");
    let context: &[u8] = b"context";
    let mut truth = Truth { entries: BTreeMap::new(), transactions: Vec::new(), acked: 0 };
    for n in 0..420u64 {
        let first = appender.last_seq().0 + 1;
        for index in 0..1 + rng.below(6) {
            let seq = appender.last_seq().0 + 1;
            appender.append(header(index as u32), &[&body(seq)], &context).expect("append");
        }
        let last = appender.last_seq().0;
        if rng.below(12) == 0 {
            appender.abandon();
        } else {
            appender.commit(commit(&(truth.transactions.len() as u64).to_be_bytes(), n));
            truth.entries.extend((first..=last).map(|seq| (seq, body(seq))));
            truth.transactions.push((first, last));
        }
        if rng.below(6) == 0 {
            appender.seal();
        }
        while appender.submit().expect("submit") == Submit::Full {
            appender.wait_space().expect("space");
        }
        if n == 200 {
            appender.flush().expect("flush");
            let cursor = store.cursors().create("orders", Seq(0), CursorOptions::default()).expect("create");
            truth.acked = appender.last_seq().0;
            store.cursors().commit_durable("orders", cursor.epoch, Seq(truth.acked), Some(b"s")).expect("commit");
        }
    }
    appender.flush().expect("flush");
    assert!(store.segments().len() >= 5, "{}", store.segments().len());
    assert_eq!(read_all(&mut store.reader(), Seq(1)), truth.entries.clone().into_iter().collect::<Vec<_>>());
    if closed {
        drop(appender);
        drop(store);
    }
    copy(live.path(), dir);
    truth
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("create");
    for entry in fs::read_dir(from).expect("list") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copy");
        }
    }
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() { files(&path, out) } else { out.push(path) }
    }
}

fn damage(path: &Path, rng: &mut Rng) -> String {
    let mut bytes = fs::read(path).expect("read");
    let len = bytes.len() as u64;
    let what = match rng.below(3) {
        0 => {
            let bit = rng.below(len * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
            format!("flip of bit {bit}")
        }
        1 => {
            let at = (rng.below(len) / 4096 * 4096) as usize;
            let end = (at + 4096).min(bytes.len());
            bytes[at..end].fill(0);
            format!("zeroes at {at}")
        }
        _ => {
            let cut = rng.below(len) as usize;
            bytes.truncate(cut);
            format!("cut to {cut}")
        }
    };
    fs::write(path, bytes).expect("write");
    what
}

/// Opens a damaged store and holds it against the truth.
fn check(dir: &Path, truth: &Truth, what: &str) {
    let store = match Store::open(dir, options()) {
        Ok(store) => store,
        Err(error) => panic!("{what}: does not open: {error}"),
    };
    let report = store.opened().clone();
    let last_before = truth.transactions.last().expect("some").1;
    let mut appender = store.appender().expect("appender");
    let resume = appender.checkpoint().map(|bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")));
    assert!(appender.last_seq().0 >= last_before, "{what}: seqs would be given again: {report:?}");
    let first_new = appender.last_seq().0 + 1;
    let context: &[u8] = b"context";
    appender.append(header(0), &[&body(first_new)], &context).expect("append");
    appender.commit(commit(b"12345678", 1));
    appender.flush().expect("flush");

    let (entries, gaps) = read_with_gaps(&mut store.reader(), Seq(1));
    let mut read: BTreeMap<u64, Vec<u8>> = entries.into_iter().collect();
    assert_eq!(read.remove(&first_new), Some(body(first_new)), "{what}: the log does not go on");
    for (seq, bytes) in &read {
        assert_eq!(truth.entries.get(seq), Some(bytes), "{what}: entry {seq} is another one");
    }
    let gap_of = |seq: u64| gaps.iter().find(|gap| gap.first.0 <= seq && seq <= gap.last.0);
    for (n, (first, last)) in truth.transactions.iter().enumerate() {
        let covered = resume.is_some_and(|resume| n as u64 <= resume);
        for seq in *first..=*last {
            match (covered, read.contains_key(&seq), gap_of(seq)) {
                (true, true, None) => {}
                (true, false, Some(_)) => {}
                (true, false, None) => panic!("{what}: entry {seq} is gone in silence: {report:?}"),
                // It comes again from the source: then it must not be here already.
                (false, false, gap) => {
                    assert!(gap.is_some_and(|gap| gap.reason == GapReason::LostEnd), "{what}: entry {seq} has no gap");
                }
                (false, true, _) => panic!("{what}: entry {seq} would be in the log twice: {report:?}"),
                (true, true, Some(gap)) => panic!("{what}: entry {seq} was read, and is in {gap}"),
            }
        }
    }
    // A full verification never calls a log clean that lost something, known losses aside.
    let verified = store.verify(&mut |_| {}).expect("verify");
    let unreadable = gaps.iter().any(|gap| matches!(gap.reason, GapReason::Damaged { .. }));
    assert!(!unreadable || !verified.is_clean() || !verified.known_gaps.is_empty(), "{what}: {gaps:?} {verified:?}");
    if !gaps.is_empty() {
        let named = !report.lost.is_empty() || !report.damage.is_empty() || !store.damage().is_empty();
        assert!(named, "{what}: gaps without a name: {gaps:?}");
    }
    let cursor = store.cursors().get("orders");
    match cursor {
        Some(cursor) if cursor.restored => {
            assert!(cursor.paused && cursor.acked.0 <= truth.acked, "{what}: {cursor:?}");
            assert!(report.meta_rebuilt.is_some());
        }
        Some(cursor) => assert_eq!((cursor.acked.0, &cursor.sink_state[..]), (truth.acked, &b"s"[..]), "{what}"),
        None => assert!(report.meta_rebuilt.is_some(), "{what}: the cursor is gone in silence"),
    }
    // Once its damage is named, a transaction whose outcome is lost is left out from its first entry on.
    let (settled, _) = read_with_gaps(&mut store.reader(), Seq(1));
    let settled: BTreeMap<u64, Vec<u8>> = settled.into_iter().collect();
    read.insert(first_new, body(first_new));
    assert!(settled.iter().all(|(seq, bytes)| read.get(seq) == Some(bytes)), "{what}: read again it holds more");
    drop(appender);
    drop(store);
    // What recovery and reading named is durable: a second open finds nothing new and reads the same.
    let store = Store::open(dir, options()).unwrap_or_else(|error| panic!("{what}: second open: {error}"));
    assert_eq!(store.opened().lost, [], "{what}");
    let (again, _) = read_with_gaps(&mut store.reader(), Seq(1));
    assert_eq!(again.into_iter().collect::<BTreeMap<_, _>>(), settled, "{what}: a second open reads something else");
}

/// Damages the files that `pick` names, one at a time, `trials` times.
fn run(name: &str, trials: usize, closed: bool, pick: impl Fn(&Path, &[PathBuf]) -> Vec<PathBuf>) {
    let trials = if std::env::var_os("RELAY_LONG").is_some() { trials * 10 } else { trials };
    let mut rng = Rng(seed(name));
    let original = tempfile::tempdir().expect("temp dir");
    let truth = build(&mut rng, original.path(), closed);
    for trial in 0..trials {
        let dir = tempfile::tempdir().expect("temp dir");
        copy(original.path(), dir.path());
        let mut all = Vec::new();
        files(dir.path(), &mut all);
        all.sort();
        let chosen: Vec<PathBuf> = pick(dir.path(), &all)
            .into_iter()
            .filter(|path| fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0))
            .collect();
        assert!(!chosen.is_empty(), "{name}: no file to damage");
        let path = &chosen[rng.below(chosen.len() as u64) as usize];
        let what = damage(path, &mut rng);
        let relative = path.strip_prefix(dir.path()).expect("inside").display();
        check(dir.path(), &truth, &format!("{name} {trial}: {relative}: {what}"));
    }
}

fn segments(all: &[PathBuf]) -> Vec<PathBuf> {
    all.iter().filter(|path| path.extension().is_some_and(|extension| extension == "seg")).cloned().collect()
}

#[test]
fn damaged_sealed_segment_loses_what_it_names_and_nothing_else() {
    run("sealed segment", 30, false, |_, all| {
        let mut sealed = segments(all);
        sealed.pop();
        sealed
    });
}

#[test]
fn damaged_tail_segment_is_named_and_the_log_goes_on() {
    run("tail segment", 30, false, |_, all| segments(all).pop().into_iter().collect());
}

#[test]
fn abandoned_transaction_stays_hidden_when_the_block_that_says_so_is_cut() {
    let (live, dir) = (tempfile::tempdir().expect("temp dir"), tempfile::tempdir().expect("temp dir"));
    let store = open(live.path());
    let mut appender = store.appender().expect("appender");
    let context: &[u8] = b"context";
    appender.append(header(0), &[&body(1)], &context).expect("append");
    appender.commit(commit(&0u64.to_be_bytes(), 1));
    appender.append(header(0), &[&body(2)], &context).expect("append");
    appender.seal();
    appender.abandon();
    appender.flush().expect("flush");
    copy(live.path(), dir.path());
    let mut all = Vec::new();
    files(dir.path(), &mut all);
    let segment = segments(&all).pop().expect("one segment");
    let bytes = fs::read(&segment).expect("read");
    fs::write(&segment, &bytes[..bytes.len() - 1]).expect("cut");

    let store = open(dir.path());
    let (entries, _) = read_with_gaps(&mut store.reader(), Seq(1));
    assert_eq!(entries, [(1, body(1))]);
}

#[test]
fn damaged_meta_after_a_kill_is_rebuilt() {
    run("meta after a kill", 15, false, |dir, all| {
        all.iter().filter(|path| path.starts_with(dir.join("meta"))).cloned().collect()
    });
}

#[test]
fn damaged_meta_after_a_clean_close_is_rebuilt() {
    run("meta after a close", 15, true, |dir, all| {
        all.iter().filter(|path| path.starts_with(dir.join("meta"))).cloned().collect()
    });
}

#[test]
fn damaged_format_mark_and_lock_are_restored() {
    run("small files", 15, false, |dir, _| vec![dir.join("FORMAT"), dir.join("log/mark"), dir.join("LOCK")]);
}

#[test]
fn missing_files_are_named_or_restored() {
    let mut rng = Rng(seed("missing"));
    let original = tempfile::tempdir().expect("temp dir");
    let truth = build(&mut rng, original.path(), false);
    let mut names = vec![PathBuf::from("FORMAT"), PathBuf::from("log/mark"), PathBuf::from("LOCK")];
    names.extend([PathBuf::from("meta/db"), PathBuf::from("meta")]);
    let mut all = Vec::new();
    files(original.path(), &mut all);
    all.sort();
    names.extend(segments(&all).iter().map(|path| path.strip_prefix(original.path()).expect("inside").to_owned()));
    for name in names {
        let dir = tempfile::tempdir().expect("temp dir");
        copy(original.path(), dir.path());
        let path = dir.path().join(&name);
        if path.is_dir() {
            fs::remove_dir_all(&path).expect("remove")
        } else {
            fs::remove_file(&path).expect("remove")
        }
        check(dir.path(), &truth, &format!("{} is missing", name.display()));
    }
}

/// A crash of the file system, or a careless copy, leaves whole files empty, half written or of zeroes.
#[test]
fn files_that_are_empty_halved_or_zeroed_are_named_or_restored() {
    let mut rng = Rng(seed("whole files"));
    for closed in [false, true] {
        let original = tempfile::tempdir().expect("temp dir");
        let truth = build(&mut rng, original.path(), closed);
        let mut all = Vec::new();
        files(original.path(), &mut all);
        all.sort();
        let of_log = segments(&all);
        all.retain(|path| !of_log.contains(path) || [0, 2, of_log.len() - 1].iter().any(|at| of_log[*at] == *path));
        for path in all {
            let name = path.strip_prefix(original.path()).expect("inside");
            let len = fs::metadata(&path).expect("stat").len() as usize;
            for (what, harm) in [("empty", 0), ("halved", 1), ("zeroed", 2)] {
                let dir = tempfile::tempdir().expect("temp dir");
                copy(original.path(), dir.path());
                let target = dir.path().join(name);
                let mut bytes = fs::read(&target).expect("read");
                match harm {
                    0 => bytes.clear(),
                    1 => bytes.truncate(len / 2),
                    _ => bytes.fill(0),
                }
                fs::write(&target, bytes).expect("write");
                check(dir.path(), &truth, &format!("{} is {what}, closed {closed}", name.display()));
            }
        }
    }
}

/// Flips a bit of an entry in the middle of a sealed segment: noise is stored as it is.
fn flip_in(segment: &SegmentInfo, truth: &Truth) {
    let mut bytes = fs::read(&segment.path).expect("read");
    let (_, body) = truth.entries.range(segment.first_seq.0 + 20..).next().expect("an entry");
    let at = bytes.windows(16).position(|window| *window == body[10..26]).expect("it is in this segment");
    bytes[at] ^= 1;
    fs::write(&segment.path, bytes).expect("write");
}

/// Damage that reading met was known until the process ended: after a restart status was clean again, and a
/// verification called the loss news.
#[test]
fn damage_found_by_reading_is_known_after_a_restart_until_the_segment_is_put_back() {
    let mut rng = Rng(seed("found by reading"));
    let dir = tempfile::tempdir().expect("temp dir");
    let truth = build(&mut rng, dir.path(), true);
    let store = open(dir.path());
    assert_eq!(store.damage(), []);
    let sealed = store.segments().into_iter().filter(|segment| segment.sealed).nth(2).expect("five segments");
    let whole = fs::read(&sealed.path).expect("read");
    flip_in(&sealed, &truth);
    let (entries, gaps) = read_with_gaps(&mut store.reader(), Seq(1));
    let [gap] = &gaps[..] else { panic!("{gaps:?}") };
    assert!(gap.first >= sealed.first_seq && gap.last <= sealed.last_seq, "{gap}");
    // Who does not need it goes on.
    assert!(read_all(&mut store.reader(), gap.last.next()).len() > 100);
    let found = store.damage();
    assert_eq!(found.len(), 1, "{found:?}");
    drop(store);

    let store = open(dir.path());
    assert_eq!((store.damage(), &store.opened().damage), (found.clone(), &found), "forgotten");
    let report = store.verify(&mut |_| {}).expect("verify");
    assert_eq!((&report.known_gaps, report.is_clean()), (&gaps, true), "{report:?}");
    assert_eq!(read_with_gaps(&mut store.reader(), Seq(1)), (entries, gaps));
    drop(store);

    fs::write(&sealed.path, whole).expect("put back");
    for _ in 0..2 {
        let store = open(dir.path());
        assert_eq!(store.damage(), []);
        let all: Vec<_> = truth.entries.clone().into_iter().collect();
        assert_eq!(read_all(&mut store.reader(), Seq(1)), all);
    }
}
