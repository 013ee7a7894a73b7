//! Addresses against the plain search over all transactions.

mod common;

use common::{Rng, body, commit, header, open, read_all, seed};
use relay_store::{LocateError, ReadOnlyLog, Seq, Submit};

/// First seq, last seq, commit time of a transaction; its checkpoint is its index.
type Transaction = (u64, u64, u64);

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
                transactions.push((first.0, appender.last_seq().0, at));
            }
            _ => {
                appender.commit(commit(&index.to_be_bytes(), at));
                transactions.push((first.0, appender.last_seq().0, at));
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
    let max = transactions.iter().map(|(_, _, time)| *time).max().expect("some");
    for _ in 0..200 {
        let time = 900_000 + rng.below(max - 900_000 + 1);
        let expected = transactions.iter().find(|(_, _, at)| *at >= time).expect("below the maximum");
        for located in [store.locate_time(time), log.locate_time(time)] {
            let located = located.expect("locate");
            assert_eq!((located.first.0, located.last.0), (expected.0, expected.1), "time {time}");
        }
    }
    assert!(matches!(store.locate_time(max + 1), Err(LocateError::AfterEnd { .. })));
}

#[test]
fn checkpoint_leads_to_the_block_of_the_first_transaction_that_is_not_covered() {
    let mut rng = Rng(seed("checkpoint"));
    let dir = tempfile::tempdir().expect("temp dir");
    fill(dir.path(), &mut rng);
    let store = open(dir.path());
    let all = read_all(&mut store.reader(), Seq(1));
    for wanted in [0u64, 1, 17, 300, 590] {
        let located = store
            .locate_checkpoint(&mut |checkpoint| u64::from_be_bytes(checkpoint.try_into().expect("8")) >= wanted)
            .expect("locate");
        assert!(located.first <= located.last && located.last.0 <= all.last().expect("entries").0);
        // Nothing before it is of a transaction at or after `wanted`: the block before ends with an earlier one.
        if wanted == 0 {
            assert!(located.first.0 <= 12);
        }
    }
    assert!(matches!(store.locate_checkpoint(&mut |_| false), Err(LocateError::AfterEnd { .. })));
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
