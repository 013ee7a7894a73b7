//! The store's everyday behaviour: append, commit, abandon, read, reopen.

mod common;

use std::time::Duration;

use common::{commit, header, open, options, read_all};
use relay_store::{
    AppendError, CursorError, CursorOptions, Note, OpenError, Read, ReadOnlyLog, Seq, Store, StoreOptions, Submit,
};

#[test]
fn committed_transactions_are_read_back_and_open_ones_are_not() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let mut appender = store.appender().expect("appender");
    let context: &[u8] = b"context";
    for n in 0..100u32 {
        appender.append(header(n), &[b"body ", n.to_string().as_bytes()], &context).expect("append");
        if n % 3 == 2 {
            appender.commit(commit(format!("cp{n}").as_bytes(), u64::from(n)));
        }
    }
    assert_eq!(appender.flush().expect("flush"), Seq(100));
    assert_eq!(appender.open_transaction(), Some(Seq(100)));
    assert_eq!(store.checkpoint().as_deref(), Some(&b"cp98"[..]));
    let positions = store.positions();
    assert_eq!((positions.visible_seq, positions.durable_seq), (Seq(99), Seq(100)));
    let entries = read_all(&mut store.reader(), Seq(1));
    assert_eq!(entries.len(), 99);
    assert_eq!(entries[41], (42, b"body 41".to_vec()));
    let mut reader = store.reader();
    let Read::Block(raw) = reader.read(Seq(50)).expect("read") else { panic!("block") };
    let block = raw.decode().expect("decode");
    assert_eq!(block.context(), b"context");
    let entry = block.entries().next().expect("entry");
    assert_eq!((entry.seq, entry.header), (Seq(50), header(49)));
}

#[test]
fn reopened_store_goes_on_and_abandons_what_was_open() {
    let dir = tempfile::tempdir().expect("temp dir");
    let context: &[u8] = b"";
    let uuid = {
        let store = open(dir.path());
        let mut appender = store.appender().expect("appender");
        for n in 0..10 {
            appender.append(header(n), &[b"one"], &context).expect("append");
        }
        appender.commit(commit(b"first", 7));
        appender.append(header(0), &[b"cut off"], &context).expect("append");
        appender.append(header(1), &[b"cut off"], &context).expect("append");
        appender.flush().expect("flush");
        store.uuid()
    };
    let store = open(dir.path());
    assert_eq!(store.uuid(), uuid);
    assert_eq!(store.opened().open_transaction, Some((Seq(11), Seq(12))));
    assert_eq!(store.checkpoint().as_deref(), Some(&b"first"[..]));
    let mut appender = store.appender().expect("appender");
    assert_eq!(appender.last_seq(), Seq(13));
    assert_eq!(appender.append(header(0), &[b"again"], &context).expect("append"), Seq(14));
    appender.commit(commit(b"second", 8));
    appender.flush().expect("flush");
    let seqs: Vec<u64> = read_all(&mut store.reader(), Seq(1)).into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14]);
}

#[test]
fn log_spans_segments_and_hides_a_transaction_that_crosses_them() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let mut appender = store.appender().expect("appender");
    let context: &[u8] = b"c";
    let mut state = 1u64;
    let mut noise = || {
        let mut out = vec![0u8; 700];
        for byte in &mut out {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        out
    };
    let mut expected = Vec::new();
    for round in 0..6u32 {
        for n in 0..100 {
            let body = noise();
            let seq = appender.append(header(n), &[&body], &context).expect("append");
            if round % 2 == 0 {
                expected.push((seq.0, body));
            }
            while appender.submit().expect("submit") == Submit::Full {
                appender.wait_space().expect("space");
            }
        }
        if round % 2 == 0 {
            appender.commit(commit(b"x", 1));
        } else {
            appender.abandon().expect("a transaction is open");
        }
    }
    appender.flush().expect("flush");
    assert!(store.segments().len() > 3, "{:?}", store.segments());
    assert_eq!(read_all(&mut store.reader(), Seq(1)), expected);
    let log = ReadOnlyLog::open(dir.path()).expect("open read-only");
    assert_eq!(log.positions(), store.positions());
    assert_eq!(read_all(&mut log.reader(), Seq(1)), expected);
    drop(appender);
    drop(store);
    assert_eq!(read_all(&mut open(dir.path()).reader(), Seq(1)), expected);
}

#[test]
fn entry_larger_than_a_block_and_a_segment_is_kept() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let mut appender = store.appender().expect("appender");
    let big = vec![7u8; 20 << 20];
    let context: &[u8] = b"c";
    appender.append(header(0), &[b"small"], &context).expect("append");
    appender.append(header(1), &[&big], &context).expect("append");
    appender.commit(commit(b"x", 1));
    appender.flush().expect("flush");
    let entries = read_all(&mut store.reader(), Seq(1));
    assert_eq!(entries.len(), 2);
    assert!(entries[1].1 == big);
}

#[test]
fn second_appender_and_second_store_are_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let appender = store.appender().expect("appender");
    assert!(matches!(store.appender(), Err(AppendError::AppenderOpen)));
    drop(appender);
    store.appender().expect("appender");
    match Store::open(dir.path(), options()) {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[test]
fn appender_that_was_dropped_leaves_no_trace_of_what_it_did_not_submit() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let context: &[u8] = b"c";
    let mut appender = store.appender().expect("appender");
    appender.append(header(0), &[b"kept"], &context).expect("append");
    appender.commit(commit(b"kept", 1));
    appender.flush().expect("flush");
    appender.append(header(0), &[b"dropped"], &context).expect("append");
    appender.commit(commit(b"dropped", 2));
    drop(appender);
    let mut appender = store.appender().expect("appender");
    assert_eq!(appender.checkpoint(), Some(&b"kept"[..]));
    assert_eq!(appender.append(header(0), &[b"next"], &context).expect("append"), Seq(2));
    appender.commit(commit(b"next", 3));
    appender.flush().expect("flush");
    assert_eq!(read_all(&mut store.reader(), Seq(1)), [(1, b"kept".to_vec()), (2, b"next".to_vec())]);
}

#[test]
fn cursor_moves_forward_only_and_survives() {
    let dir = tempfile::tempdir().expect("temp dir");
    let context: &[u8] = b"c";
    {
        let store = open(dir.path());
        let mut appender = store.appender().expect("appender");
        for n in 0..20 {
            appender.append(header(n), &[b"x"], &context).expect("append");
        }
        appender.commit(commit(b"x", 1));
        appender.flush().expect("flush");
        let cursors = store.cursors();
        let cursor = cursors.create("orders", Seq(0), CursorOptions::default()).expect("create");
        cursors.commit("orders", cursor.epoch, Seq(10), Some(b"state")).expect("commit");
        cursors.commit("orders", cursor.epoch, Seq(5), None).expect("commit");
        assert!(matches!(cursors.commit("orders", cursor.epoch, Seq(21), None), Err(CursorError::OutOfRange { .. })));
        cursors.commit_durable("orders", cursor.epoch, Seq(12), None).expect("commit");
        let reset = cursors.reset("orders", Seq(3)).expect("reset");
        assert!(matches!(cursors.commit("orders", cursor.epoch, Seq(14), None), Err(CursorError::StaleEpoch { .. })));
        cursors.commit_durable("orders", reset.epoch, Seq(4), None).expect("commit");
        assert!(matches!(cursors.create("../etc", Seq(0), CursorOptions::default()), Err(CursorError::Name { .. })));
    }
    let store = open(dir.path());
    let cursor = store.cursors().get("orders").expect("cursor");
    assert_eq!((cursor.acked, cursor.epoch.0, &cursor.sink_state[..]), (Seq(4), 2, &b"state"[..]));
}

/// A cursor created anew began in epoch 1 again, so that an ack of its namesake's life moved it.
#[test]
fn cursor_created_anew_does_not_take_acks_of_its_namesake() {
    let dir = tempfile::tempdir().expect("temp dir");
    let context: &[u8] = b"c";
    let store = open(dir.path());
    let mut appender = store.appender().expect("appender");
    for n in 0..20 {
        appender.append(header(n), &[b"x"], &context).expect("append");
    }
    appender.commit(commit(b"x", 1));
    appender.flush().expect("flush");
    drop(appender);
    let create = |store: &Store| store.cursors().create("c", Seq(0), CursorOptions::default()).expect("create").epoch;
    let old = create(&store);
    let reset = store.cursors().reset("c", Seq(3)).expect("reset").epoch;
    store.cursors().delete("c").expect("delete");
    drop(store);
    let store = open(dir.path());
    let new = create(&store);
    assert!(old < reset && reset < new, "{old:?} {reset:?} {new:?}");
    for late in [old, reset] {
        assert!(matches!(store.cursors().commit("c", late, Seq(10), None), Err(CursorError::StaleEpoch { .. })));
    }
    store.cursors().commit_durable("c", new, Seq(5), None).expect("commit");
    assert_eq!(store.cursors().get("c").expect("cursor").acked, Seq(5));
}

/// Acks of one life race with resets: none lands in a later one, and what is durable in the end is the last.
#[test]
fn ack_that_races_with_a_reset_never_moves_the_new_life() {
    let dir = tempfile::tempdir().expect("temp dir");
    let context: &[u8] = b"c";
    let store = open(dir.path());
    let mut appender = store.appender().expect("appender");
    for n in 0..1000 {
        appender.append(header(n), &[b"x"], &context).expect("append");
    }
    appender.commit(commit(b"x", 1));
    appender.flush().expect("flush");
    drop(appender);
    let cursors = store.cursors();
    let mut epoch = cursors.create("c", Seq(0), CursorOptions::default()).expect("create").epoch;
    for round in 0..60u64 {
        let acker = store.cursors();
        let old = epoch;
        let acks = std::thread::spawn(move || {
            // Ends when its life has ended.
            (500..).find(|n| acker.commit("c", old, Seq(500 + n % 500), Some(b"old")).is_err())
        });
        let to = Seq(round % 7);
        epoch = cursors.reset("c", to).expect("reset").epoch;
        assert_eq!(epoch.0, old.0 + 1);
        let state = cursors.get("c").expect("cursor");
        assert_eq!((state.acked, state.epoch), (to, epoch));
        acks.join().expect("acks").expect("it is refused in the end");
        cursors.commit_durable("c", epoch, to.next(), Some(b"new")).expect("commit");
        assert_eq!(cursors.get("c").expect("cursor").acked, to.next());
    }
    let last = cursors.get("c").expect("cursor");
    drop((store, cursors));
    let state = open(dir.path()).cursors().get("c").expect("cursor");
    assert_eq!((state.acked, state.epoch, &state.sink_state[..]), (last.acked, epoch, &b"new"[..]));
}

#[test]
fn checkpoint_advances_without_entries() {
    let dir = tempfile::tempdir().expect("temp dir");
    {
        let store = open(dir.path());
        let mut appender = store.appender().expect("appender");
        appender.advance(b"idle 1");
        appender.advance(b"idle 2");
        appender.flush().expect("flush");
        assert_eq!(store.checkpoint().as_deref(), Some(&b"idle 2"[..]));
    }
    assert_eq!(open(dir.path()).checkpoint().as_deref(), Some(&b"idle 2"[..]));
}

#[test]
fn waiters_are_woken_when_their_seq_is_durable() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store =
        Store::open(dir.path(), StoreOptions { commit_interval: Duration::from_millis(1), ..options() }).expect("open");
    let mut appender = store.appender().expect("appender");
    let durable = store.durable();
    let waiter = std::thread::spawn(move || durable.wait_visible_past_blocking(Seq(0)));
    let context: &[u8] = b"c";
    appender.append(header(0), &[b"x"], &context).expect("append");
    appender.commit(commit(b"x", 1));
    appender.seal();
    assert_eq!(appender.submit().expect("submit"), Submit::Done);
    assert_eq!(waiter.join().expect("join").expect("wait"), Seq(1));
}

#[test]
fn directory_of_something_else_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("temp dir");
    std::fs::write(dir.path().join("notes.txt"), "mine").expect("write");
    assert!(matches!(Store::open(dir.path(), options()), Err(OpenError::NotAStore { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 1);
}

#[test]
fn every_file_is_ours_alone() {
    use std::os::unix::fs::PermissionsExt;
    fn walk(dir: &std::path::Path, seen: &mut usize) {
        assert_eq!(std::fs::metadata(dir).expect("stat").permissions().mode() & 0o777, 0o700, "{}", dir.display());
        for entry in std::fs::read_dir(dir).expect("list") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                walk(&path, seen);
            } else {
                *seen += 1;
                let mode = std::fs::metadata(&path).expect("stat").permissions().mode() & 0o777;
                assert_eq!(mode, 0o600, "{}", path.display());
            }
        }
    }
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("new/store");
    let store = Store::open(&path, StoreOptions { ballast_bytes: 1 << 20, ..options() }).expect("open");
    let mut appender = store.appender().expect("appender");
    let context: &[u8] = b"c";
    appender.append(header(0), &[b"x"], &context).expect("append");
    appender.commit(commit(b"x", 1));
    appender.flush().expect("flush");
    let mut seen = 0;
    walk(&path, &mut seen);
    assert!(seen >= 5, "{seen}");
}

#[test]
fn newer_format_and_missing_store_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("temp dir");
    let missing = dir.path().join("none");
    assert!(matches!(Store::open_existing(&missing, options()), Err(OpenError::Missing { .. })));
    assert!(matches!(ReadOnlyLog::open(&missing), Err(OpenError::Missing { .. })));
    assert!(!missing.exists());

    drop(open(dir.path()));
    let lines = "relay-store 2\nuuid 00000000000000000000000000000001\n";
    let text = format!("{lines}crc {:08x}\n", crc32fast::hash(lines.as_bytes()));
    std::fs::write(dir.path().join("FORMAT"), &text).expect("write");
    let before = changed_at(dir.path());
    match Store::open(dir.path(), options()) {
        Err(OpenError::NewerFormat { found: 2, supported: 1, .. }) => {}
        other => panic!("{:?}", other.map(|_| ())),
    }
    assert_eq!(std::fs::read_to_string(dir.path().join("FORMAT")).expect("read"), text);
    assert_eq!(changed_at(dir.path()), before, "a store of a newer release was touched");
}

/// When each file of a folder changed.
fn changed_at(dir: &std::path::Path) -> std::collections::BTreeMap<std::path::PathBuf, std::time::SystemTime> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(changed_at(&path));
        }
        let changed = path.metadata().and_then(|metadata| metadata.modified()).expect("stat");
        found.insert(path, changed);
    }
    found
}

#[test]
fn directory_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    drop(open(dir.path()));
    let bind = |arguments: &[&str]| {
        std::process::Command::new("mount")
            .args(arguments)
            .arg(dir.path())
            .status()
            .is_ok_and(|status| status.success())
    };
    let path = dir.path().to_str().expect("plain path");
    if !bind(&["--bind", path]) || !bind(&["-o", "remount,ro,bind"]) {
        println!("SKIPPED directory_that_cannot_be_written_is_refused: no right to mount");
        return;
    }
    let opened = Store::open(dir.path(), options());
    let read = ReadOnlyLog::open(dir.path()).map(|log| log.positions().durable_seq);
    let snapshot = relay_store::cursor_snapshot(dir.path()).map(|snapshot| snapshot.visible_seq);
    let unmounted = std::process::Command::new("umount").arg(dir.path()).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    assert!(matches!(opened, Err(OpenError::ReadOnly { .. })), "{:?}", opened.map(|_| ()));
    assert_eq!(read.expect("readable"), Seq(0));
    assert_eq!(snapshot.expect("readable"), Seq(0));
}

#[test]
fn log_without_a_published_mark_is_read_up_to_what_its_blocks_state() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    let mut appender = store.appender().expect("appender");
    let context: &[u8] = b"c";
    for n in 0..600u32 {
        appender.append(header(n), &[&common::body(u64::from(n))], &context).expect("append");
        appender.commit(commit(b"x", 1));
        if n % 50 == 49 {
            appender.flush().expect("flush");
        }
    }
    assert!(store.segments().len() > 1);
    let all = read_all(&mut store.reader(), Seq(1));
    std::fs::remove_file(dir.path().join("log/mark")).expect("remove");
    let log = ReadOnlyLog::open(dir.path()).expect("open");
    let read = read_all(&mut log.reader(), Seq(1));
    // The last group, which holds some of the last 50, knows only of the one before it.
    assert!((550..600).contains(&read.len()), "{}", read.len());
    assert_eq!(read, all[..read.len()]);
    assert_eq!(log.damage(), []);
}

#[test]
fn notes_are_as_durable_as_the_commit_they_go_with() {
    let dir = tempfile::tempdir().expect("temp dir");
    let context: &[u8] = b"";
    let note = |key: &str, value: Option<&[u8]>| Note { key: key.into(), value: value.map(<[u8]>::to_vec) };
    let large = vec![7; 10_000];
    {
        let store = open(dir.path());
        let mut appender = store.appender().expect("appender");
        appender.append(header(0), &[b"one"], &context).expect("append");
        appender.put_note(note("a.1", Some(b"first"))).expect("note");
        appender.put_note(note("a.2", Some(&large))).expect("note");
        appender.put_note(note("b", Some(b"other"))).expect("note");
        appender.commit(commit(b"cp", 7));
        appender.flush().expect("flush");
        assert_eq!(store.notes(b"a."), [(b"a.1".to_vec(), b"first".to_vec()), (b"a.2".to_vec(), large.clone())]);
        // Of a transaction that never ends, and of an appender that never hands it over.
        appender.append(header(1), &[b"two"], &context).expect("append");
        appender.put_note(note("a.1", Some(b"never"))).expect("note");
        let error = appender.put_note(note(&"k".repeat(600), None)).expect_err("too long");
        assert!(matches!(error, AppendError::TooLarge { bytes: 600, .. }), "{error}");
    }
    let store = open(dir.path());
    assert_eq!(store.notes(b"a.").len(), 2);
    assert_eq!(store.notes(b"a.1"), [(b"a.1".to_vec(), b"first".to_vec())]);
    let mut appender = store.appender().expect("appender");
    // Without entries, a block of their own carries them.
    appender.put_note(note("a.1", Some(b"second"))).expect("note");
    appender.put_note(note("a.2", None)).expect("note");
    appender.flush().expect("flush");
    drop(appender);
    drop(store);
    let notes = open(dir.path()).notes(b"");
    assert_eq!(notes, [(b"a.1".to_vec(), b"second".to_vec()), (b"b".to_vec(), b"other".to_vec())]);
}
