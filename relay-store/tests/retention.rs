//! What goes from the front of the log, and when.

mod common;

use std::time::{Duration, Instant};

use common::{body, commit, header, open, read_all};
use relay_store::{CursorOptions, Retention, Seq, Store};

/// Appends `count` entries as one transaction; durable on return.
fn append(store: &Store, count: u64) -> Seq {
    let mut appender = store.appender().expect("appender");
    let context: &[u8] = b"c";
    for _ in 0..count {
        let seq = appender.last_seq().0 + 1;
        appender.append(header(0), &[&body(seq)], &context).expect("append");
    }
    appender.commit(commit(b"x", 1));
    appender.flush().expect("flush")
}

fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Only sealed segments age, and a segment was sealed when it was full: what a quiet log held stayed for ever.
#[test]
fn quiet_log_is_trimmed_by_age_too() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let last = append(&store, 3);
    assert_eq!(store.segments().len(), 1);
    let cursor = store.cursors().create("c", Seq(1), CursorOptions::default()).expect("create");
    let retention = Retention { max_age: Some(Duration::from_millis(400)), ..Retention::default() };
    wait_until("the segment is sealed", || {
        store.set_retention(retention.clone());
        store.segments().first().is_some_and(|segment| segment.sealed)
    });
    // Sealed it is still held by whoever needs it.
    std::thread::sleep(Duration::from_millis(500));
    store.set_retention(retention.clone());
    store.cursors().commit_durable("c", cursor.epoch, Seq(2), None).expect("commit");
    assert_eq!(read_all(&mut store.reader(), Seq(1)).len(), 3);
    store.cursors().commit_durable("c", cursor.epoch, last, None).expect("commit");
    wait_until("it goes", || {
        store.set_retention(retention.clone());
        store.positions().first_seq == last.next()
    });
    // An empty segment is not sealed again and again.
    assert_eq!(store.segments().len(), 1);
    let first = store.segments()[0].first_seq;
    std::thread::sleep(Duration::from_millis(200));
    store.set_retention(retention);
    assert_eq!(append(&store, 1), last.next());
    assert_eq!(read_all(&mut store.reader(), first).len(), 1);
}
