//! A verification names every kind of damage, in this process and from another, and tells how far it is.

mod common;

use std::fs;
use std::path::Path;

use common::{body, commit, header, open};
use relay_store::{Progress, ReadError, ReadOnlyLog, SegmentInfo, Store, Submit, VerifyReport};

fn fill(store: &Store) {
    let mut appender = store.appender().expect("appender");
    let context: &[u8] = b"context";
    while store.segments().len() < 4 {
        for _ in 0..50 {
            let seq = appender.last_seq().0 + 1;
            appender.append(header(0), &[&body(seq)], &context).expect("append");
        }
        appender.commit(commit(b"x", 1));
        while appender.submit().expect("submit") == Submit::Full {
            appender.wait_space().expect("space");
        }
        appender.flush().expect("flush");
    }
}

/// Verifies; what is told on the way rises, segment by segment, to all of it.
fn verify(
    run: impl FnOnce(&mut dyn FnMut(Progress)) -> Result<VerifyReport, ReadError>,
    segments: usize,
) -> VerifyReport {
    let mut told: Vec<Progress> = Vec::new();
    let report = run(&mut |at| told.push(at)).expect("verify");
    assert_eq!(told.len(), segments);
    assert!(told.is_sorted_by(|a, b| a.bytes_done <= b.bytes_done && a.segment < b.segment), "{told:?}");
    let last = told.last().expect("segments");
    assert_eq!(last.bytes_done, last.bytes_total, "{told:?}");
    report
}

fn patch(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("read");
    change(&mut bytes);
    fs::write(path, bytes).expect("write");
}

fn block_at(bytes: &[u8]) -> usize {
    let middle = bytes.len() / 2;
    middle + bytes[middle..].windows(4).position(|window| window == b"BLK1").expect("a block in the second half")
}

#[test]
fn verify_names_each_kind_of_damage_and_tells_how_far_it_is() {
    let dir = tempfile::tempdir().expect("temp dir");
    let store = open(dir.path());
    fill(&store);
    let foreign = tempfile::tempdir().expect("temp dir");
    let other = open(foreign.path());
    fill(&other);
    let segments = store.segments();
    assert!(verify(|told| store.verify(told), segments.len()).is_clean());
    let (sealed, active) = (&segments[1], segments.last().expect("segments"));
    let other_sealed = other.segments()[1].path.clone();
    type Harm<'a> = Box<dyn Fn(&Path) + 'a>;
    // What is done, to which segment, and whether entries are lost by it.
    let harms: Vec<(&str, &SegmentInfo, bool, Harm<'_>)> = vec![
        ("header flipped", sealed, false, Box::new(|path| patch(path, |bytes| bytes[30] ^= 1))),
        ("header of the active one", active, false, Box::new(|path| patch(path, |bytes| bytes[30] ^= 1))),
        (
            "block header flipped",
            sealed,
            true,
            Box::new(|path| {
                patch(path, |bytes| {
                    let at = block_at(bytes);
                    bytes[at + 33] ^= 1;
                })
            }),
        ),
        (
            "payload flipped",
            sealed,
            true,
            Box::new(|path| {
                patch(path, |bytes| {
                    let at = block_at(bytes);
                    bytes[at + 400] ^= 1;
                })
            }),
        ),
        (
            "payload of the active one",
            active,
            true,
            Box::new(|path| {
                patch(path, |bytes| {
                    let last = bytes.len() - 1;
                    bytes[last] ^= 1;
                })
            }),
        ),
        ("zeroes", sealed, true, Box::new(|path| patch(path, |bytes| bytes[8192..12288].fill(0)))),
        ("all zeroes", sealed, true, Box::new(|path| patch(path, |bytes| bytes.fill(0)))),
        ("empty", sealed, true, Box::new(|path| patch(path, Vec::clear))),
        ("cut", sealed, true, Box::new(|path| patch(path, |bytes| bytes.truncate(20_000)))),
        (
            "footer flipped",
            sealed,
            false,
            Box::new(|path| {
                patch(path, |bytes| {
                    let at = bytes.len() - 30;
                    bytes[at] ^= 1;
                })
            }),
        ),
        (
            "trailer flipped",
            sealed,
            false,
            Box::new(|path| {
                patch(path, |bytes| {
                    let at = bytes.len() - 10;
                    bytes[at] ^= 1;
                })
            }),
        ),
        ("footer cut", sealed, false, Box::new(|path| patch(path, |bytes| bytes.truncate(bytes.len() - 1)))),
        ("longer", sealed, false, Box::new(|path| patch(path, |bytes| bytes.push(0)))),
        ("missing", sealed, true, Box::new(|path| fs::remove_file(path).expect("remove"))),
        (
            "of another store",
            sealed,
            true,
            Box::new(|path| fs::write(path, fs::read(&other_sealed).expect("read")).expect("write")),
        ),
    ];
    for (what, segment, loses, harm) in &harms {
        let whole = fs::read(&segment.path).expect("read");
        harm(&segment.path);
        for (who, report) in [
            ("in this process", verify(|told| store.verify(told), segments.len())),
            ("from another", {
                let log = ReadOnlyLog::open(dir.path()).expect("read-only");
                // To another process a file that is missing in the middle was never there.
                let listed = segments.len() - usize::from(*what == "missing");
                verify(|told| log.verify(told), listed)
            }),
        ] {
            if *what == "missing" && who == "from another" {
                assert!(!report.is_clean(), "{what}, {who}: {report:?}");
                fs::write(&segment.path, &whole).expect("write");
                continue;
            }
            assert!(!report.is_clean(), "{what}, {who}: called clean");
            assert!(
                report.damage.iter().all(|damage| damage.segment == segment.first_seq),
                "{what}, {who}: {report:?}"
            );
            let lost = report.damage.iter().any(|damage| damage.first <= damage.last);
            assert_eq!(lost, *loses, "{what}, {who}: {report:?}");
        }
        fs::write(&segment.path, &whole).expect("write");
    }
    assert!(verify(|told| store.verify(told), segments.len()).is_clean());
}
