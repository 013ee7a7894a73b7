//! `relay etl-try` on a log of real events: rows before and after, errors with their place, and nothing changed on disk.

#[path = "support/binlog_rows.rs"]
#[allow(dead_code, reason = "made for more than these tests")]
mod binlog_rows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use binlog_rows::*;
use relay::log::{ContextWriter, flag, kind};
use relay_store::{BlockContext, Commit, EntryHeader, Store, StoreOptions};

const UUID: [u8; 16] = [0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62];

struct Description;

impl BlockContext for Description {
    fn write(&self, out: &mut Vec<u8>) {
        ContextWriter::begin(out, 0, &format_description("9.7.4"), "mysql-bin.000007");
    }
}

/// | seqs | transaction |
/// |---|---|
/// | 1-5 | two orders are inserted |
/// | 6-11 | the first one is updated, the second one deleted |
fn log(dir: &Path) {
    let columns = [int("id", 3, false).key(), varchar("phone", 20, 255, 4), varchar("note", 20, 255, 4)];
    let row = |id, phone: &str, note: &str| image(&[le(id, 4), text(phone), text(note)]);
    let options = StoreOptions { ballast_bytes: 0, ..StoreOptions::default() };
    let store = Store::open(dir, options).expect("a store");
    let mut appender = store.appender().expect("the only one");
    let map = table_map(9, "shop", "orders", &columns, true);
    let change = |kind: u8, images: &[Image]| rows(kind, 9, &columns, images, 1_767_225_930);
    let (one, two) = (row(1, "18700001111", "a\x1b[31m"), row(2, "18700002222", "12x"));
    let transactions = [
        vec![map.clone(), change(30, &[one.clone(), two.clone()])],
        vec![map, change(31, &[one, row(1, "18700009999", "5")]), change(32, &[two])],
    ];
    for (number, events) in (1..).zip(transactions) {
        let mut all = vec![gtid(UUID, number, 1_767_225_930_123_456), query(77, "shop", "BEGIN")];
        all.extend(events);
        all.push(xid(5));
        for event in &all {
            let flags = flag::NO_CHECKSUM;
            let header = EntryHeader { kind: kind::EVENT, flags, source_pos: 120, ..EntryHeader::default() };
            appender.append(header, &[event], &Description).expect("room");
        }
        appender.commit(Commit { checkpoint: b"c", commit_time_us: 77, forget_prepared: None });
    }
    appender.flush().expect("a disk");
    drop(appender);
    store.close();
}

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn try_script(dir: &Path, script: &str, arguments: &[&str]) -> Ran {
    let file = dir.join("mask.etl");
    std::fs::write(&file, script).expect("write the script");
    let store = dir.join("log");
    let before = files(&store);
    let output = Command::new(env!("CARGO_BIN_EXE_relay"))
        .args(["etl-try", "--script", &file.display().to_string(), "--store", &store.display().to_string()])
        .args(arguments)
        .output()
        .expect("the daemon's binary runs");
    assert_eq!(files(&store), before, "the log changed");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

#[test]
fn rows_are_shown_before_and_after_as_aligned_text() {
    let dir = tempfile::tempdir().expect("a folder");
    log(&dir.path().join("log"));
    let script = "e_set(`phone`, str_mask(`phone`, 7, 10, '*'))\ne_drop(`id` == 2)\ne_set(kind, __OPERATION__)";
    let ran = try_script(dir.path(), script, &["--from", "seq:6", "--limit", "2"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    let expected = concat!(
        "9.0  UPDATE shop.orders  changed\n",
        "           before         after          new before     new after\n",
        "    id     \"1\"            \"1\"            \"1\"            \"1\"\n",
        "    phone  \"18700001111\"  \"18700009999\"  \"1870000****\"  \"1870000****\"\n",
        "    note   \"a\\u{1b}[31m\"  \"5\"            \"a\\u{1b}[31m\"  \"5\"\n",
        "    kind   -              -              \"UPDATE\"       \"UPDATE\"\n",
        "10.0  DELETE shop.orders  dropped\n",
        "           before\n",
        "    id     \"2\"\n",
        "    phone  \"18700002222\"\n",
        "    note   \"12x\"\n",
    );
    assert_eq!(ran.out, expected);
}

#[test]
fn rows_are_shown_as_json_for_machines() {
    let dir = tempfile::tempdir().expect("a folder");
    log(&dir.path().join("log"));
    let script = "e_set(__TB__, 'masked', `note`, null)";
    let ran = try_script(dir.path(), script, &["--json", "--limit", "1"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let line: serde_json::Value = serde_json::from_str(ran.out.trim_end()).expect("one line of JSON");
    let row = |note: serde_json::Value| serde_json::json!({ "id": "1", "phone": "18700001111", "note": note });
    let expected = serde_json::json!({
        "seq": 4,
        "row": 0,
        "result": "changed",
        "source": { "op": "INSERT", "table": "shop.orders", "before": null, "after": row("a\u{1b}[31m".into()) },
        "made": { "op": "INSERT", "table": "shop.masked", "before": null, "after": row(serde_json::Value::Null) },
    });
    assert_eq!(line, expected);
}

#[test]
fn a_row_that_fails_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    log(&dir.path().join("log"));
    let script = "e_if(`id` == 2, e_set(n, cast_string_to_long(`note`)))";
    let ran = try_script(dir.path(), script, &["--limit", "2"]);
    let error = "4.1  INSERT shop.orders  failed: etl script, line 1, column 26: cast_string_to_long: the text is not a whole number";
    assert!(ran.out.contains(error), "{}", ran.out);
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert_eq!(ran.err, "relay: 1 rows or tables failed; each is named in the output\n");
    let ran = try_script(dir.path(), script, &["--on-error", "null"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let ran = try_script(dir.path(), "e_set(`nothing`, `phon`)", &[]);
    let error =
        "-- shop.orders: etl script, line 1, column 18: table shop.orders has no column phon; is phone meant?\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), error));
}

#[test]
fn what_cannot_be_tried_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    log(&dir.path().join("log"));
    let refused = |script: &str, arguments: &[&str], code: i32, named: &[&str]| {
        let ran = try_script(dir.path(), script, arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{}", ran.err);
        for part in named {
            assert!(ran.err.contains(part), "{} does not name {part}", ran.err);
        }
    };
    refused("e_dorp()", &[], 2, &["mask.etl: etl script, line 1, column 1", "is e_drop meant?"]);
    refused("e_drop()", &["--from", "seq:99"], 2, &["seq:99 lies after the log's end"]);
    refused("e_drop()", &["--timestamp-zone", "Mars"], 2, &["no time zone is called"]);
    refused("e_drop()", &["--on-error", "panic"], 2, &["--on-error takes"]);
    refused("e_drop()", &["--secret", "x"], 2, &["--secret takes NAME=FILE"]);
    let nowhere = dir.path().join("nowhere");
    let output = Command::new(env!("CARGO_BIN_EXE_relay"))
        .args(["etl-try", "--script", "none.etl", "--store", &nowhere.display().to_string()])
        .output()
        .expect("the daemon's binary runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(!nowhere.exists());
}
