//! Addresses against the plain search over all transactions.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Rng, body, commit, header, open, read_all, seed};
use relay_store::{GapReason, LocateError, Located, ReadError, ReadOnlyLog, Retention, Seq, Store, Submit};

/// First seq, last seq, commit time of a transaction, and its number, which is its checkpoint.
type Transaction = (u64, u64, u64, u64);

fn fill(dir: &std::path::Path, rng: &mut Rng) -> Vec<Transaction> {
    let store = open(dir);
    let mut appender = store.appender().expect("appender");
    let context: &[u8] = b"c";
    let mut transactions = Vec::new();
    let mut time = 1_000_000;
    for index in 0..600u64 {
        let first = appender.last_seq().next();
        for n in 0..1 + rng.below(8) {
            let seq = appender.last_seq().next();
            appender.append(header(n as u32), &[&body(seq.0)], &context).expect("append");
        }
        // Commit times mostly rise, and now and then go far back.
        time += rng.below(1000);
        let at = if rng.below(10) == 0 { time - rng.below(100_000).min(time) } else { time };
        match rng.below(8) {
            0 => drop(appender.abandon()),
            1 => {
                appender.seal();
                appender.commit(commit(&index.to_be_bytes(), at));
                transactions.push((first.0, appender.last_seq().0, at, index));
            }
            _ => {
                appender.commit(commit(&index.to_be_bytes(), at));
                transactions.push((first.0, appender.last_seq().0, at, index));
            }
        }
        if rng.below(20) == 0 {
            appender.seal();
        }
        while appender.submit().expect("submit") == Submit::Full {
            appender.wait_space().expect("space");
        }
    }
    appender.flush().expect("flush");
    transactions
}

#[test]
fn time_leads_to_the_first_transaction_that_reaches_it() {
    let mut rng = Rng(seed("time"));
    let dir = tempfile::tempdir().expect("temp dir");
    let transactions = fill(dir.path(), &mut rng);
    let store = open(dir.path());
    assert!(store.segments().len() > 3);
    let log = ReadOnlyLog::open(dir.path()).expect("read-only");
    let max = transactions.iter().map(|(_, _, time, _)| *time).max().expect("some");
    for _ in 0..200 {
        let time = 900_000 + rng.below(max - 900_000 + 1);
        let expected = transactions.iter().find(|(_, _, at, _)| *at >= time).expect("below the maximum");
        for located in [store.locate_time(time), log.locate_time(time)] {
            let located = located.expect("locate");
            assert_eq!((located.first.0, located.last.0), (expected.0, expected.1), "time {time}");
        }
    }
    assert!(matches!(store.locate_time(max + 1), Err(LocateError::AfterEnd { .. })));
}

/// Whether a checkpoint covers transaction `wanted`.
fn covers(wanted: u64) -> impl FnMut(&[u8]) -> bool {
    move |checkpoint| u64::from_be_bytes(checkpoint.try_into().expect("eight bytes")) >= wanted
}

/// The first transaction that is not before `wanted` lies in the block that was found, and none of it before that.
fn assert_leads_to(located: Located, transactions: &[Transaction], wanted: u64) {
    let (first, last, ..) = transactions.iter().find(|(.., number)| *number >= wanted).expect("before the end");
    assert!(located.first.0 <= *first && *last <= located.last.0, "{wanted}: {located:?}, not {first} to {last}");
}

#[test]
fn checkpoint_leads_to_the_block_of_the_first_transaction_that_is_not_covered() {
    let mut rng = Rng(seed("checkpoint"));
    let dir = tempfile::tempdir().expect("temp dir");
    let transactions = fill(dir.path(), &mut rng);
    let store = open(dir.path());
    let log = ReadOnlyLog::open(dir.path()).expect("read-only");
    for wanted in [0u64, 1, 17, 300, 580] {
        for located in [store.locate_checkpoint(&mut covers(wanted)), log.locate_checkpoint(&mut covers(wanted))] {
            assert_leads_to(located.expect("locate"), &transactions, wanted);
        }
    }
    assert!(matches!(store.locate_checkpoint(&mut |_| false), Err(LocateError::AfterEnd { .. })));
}

/// A damaged segment header costs only itself: an address used to fail on it wherever it led.
#[test]
fn addresses_lead_past_a_damaged_segment_header() {
    let mut rng = Rng(seed("header"));
    let dir = tempfile::tempdir().expect("temp dir");
    let transactions = fill(dir.path(), &mut rng);
    let max = transactions.iter().map(|(_, _, time, _)| *time).max().expect("some");
    let segments = open(dir.path()).segments();
    for segment in &segments[..segments.len() - 1] {
        let whole = std::fs::read(&segment.path).expect("read");
        let mut damaged = whole.clone();
        damaged[8..24].fill(0xA5);
        std::fs::write(&segment.path, damaged).expect("write");
        let store = open(dir.path());
        let log = ReadOnlyLog::open(dir.path()).expect("read-only");
        assert_eq!(read_all(&mut log.reader(), Seq(1)), read_all(&mut store.reader(), Seq(1)));
        for _ in 0..20 {
            let time = 900_000 + rng.below(max - 900_000 + 1);
            let expected = transactions.iter().find(|(_, _, at, _)| *at >= time).expect("below the maximum");
            for located in [store.locate_time(time), log.locate_time(time)] {
                assert_eq!(located.expect("locate").first.0, expected.0, "time {time}");
            }
            let wanted = rng.below(580);
            for located in [store.locate_checkpoint(&mut covers(wanted)), log.locate_checkpoint(&mut covers(wanted))] {
                assert_leads_to(located.expect("locate"), &transactions, wanted);
            }
        }
        drop(store);
        std::fs::write(&segment.path, whole).expect("write");
    }
}

/// While retention goes on an address leads where it should, or the log's start is said to lie behind it: truly.
#[test]
fn addresses_are_resolved_while_retention_goes_on() {
    let mut rng = Rng(seed("retention"));
    let dir = tempfile::tempdir().expect("temp dir");
    let transactions = fill(dir.path(), &mut rng);
    let store = open(dir.path());
    let log = ReadOnlyLog::open(dir.path()).expect("read-only");
    let max = transactions.iter().map(|(_, _, time, _)| *time).max().expect("some");
    let rounds = AtomicU64::new(0);
    let (mut found, mut gone) = (0, 0);
    let deadline = Instant::now() + Duration::from_secs(120);
    std::thread::scope(|scope| {
        // Two segments at a time go, while addresses are being resolved, however slow either side is.
        let trimmer = scope.spawn(|| {
            let until = |done: &dyn Fn() -> bool, what: &str| {
                while !done() {
                    assert!(Instant::now() < deadline, "{what}");
                    std::thread::yield_now();
                }
            };
            let segments = store.segments();
            for (at, segment) in segments.iter().enumerate().skip(2).step_by(2) {
                let seen = rounds.load(Ordering::Relaxed);
                until(&|| rounds.load(Ordering::Relaxed) > seen, "no address is resolved");
                let max_bytes = segments[at..].iter().map(|kept| kept.bytes).sum();
                store.set_retention(Retention { max_bytes: Some(max_bytes), ..Retention::default() });
                until(&|| store.positions().first_seq >= segment.first_seq, "nothing is trimmed");
            }
        });
        // At the end hardly more than the active segment is left: what is gone is asked for sooner or later.
        while !trimmer.is_finished() || gone == 0 {
            assert!(Instant::now() < deadline, "{found} found, {gone} gone");
            let time = 900_000 + rng.below(max - 900_000 + 1);
            let expected = transactions.iter().find(|(_, _, at, _)| *at >= time).expect("below the maximum");
            let wanted = rng.below(580);
            for (time_found, position_found) in [
                (store.locate_time(time), store.locate_checkpoint(&mut covers(wanted))),
                (log.locate_time(time), log.locate_checkpoint(&mut covers(wanted))),
            ] {
                match time_found {
                    Ok(located) => assert_eq!(located.first.0, expected.0, "time {time}"),
                    Err(error) => assert_gone(&error, &store),
                }
                match position_found {
                    Ok(located) => {
                        assert_leads_to(located, &transactions, wanted);
                        found += 1;
                    }
                    Err(error) => {
                        assert_gone(&error, &store);
                        gone += 1;
                    }
                }
            }
            rounds.fetch_add(1, Ordering::Relaxed);
        }
        trimmer.join().expect("it trims");
    });
    assert!(found > 0, "{gone} gone");
}

fn assert_gone(error: &LocateError, store: &Store) {
    match error {
        LocateError::BeforeStart { first } => {
            assert!(*first > Seq(1) && *first <= store.positions().first_seq, "{error}");
        }
        // The block was found, and went before it was read.
        LocateError::Read(ReadError::Gap(gap)) => assert_eq!(gap.reason, GapReason::Trimmed),
        _ => panic!("{error}"),
    }
}

#[test]
fn cursors_of_a_stopped_store_are_read_from_a_copy() {
    let dir = tempfile::tempdir().expect("temp dir");
    {
        let store = open(dir.path());
        store.cursors().create("a", Seq(0), relay_store::CursorOptions::default()).expect("create");
        assert!(matches!(relay_store::cursor_snapshot(dir.path()), Err(relay_store::OpenError::Locked { .. })));
    }
    let snapshot = relay_store::cursor_snapshot(dir.path()).expect("snapshot");
    assert_eq!(snapshot.cursors.iter().map(|cursor| cursor.name.as_str()).collect::<Vec<_>>(), ["a"]);
}
