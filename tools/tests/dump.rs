//! `relay-dump` against logs of real binlog events: what it prints, how it ends, and that it changes nothing.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use relay_store::Commit;
use serde_json::{Value, json};
use support::{Ran, Source, T1, UUID_TEXT, contents, run, sample, start};

fn dump(dir: &Path, arguments: &[&str]) -> Ran {
    let dir = dir.to_str().expect("UTF-8");
    run(env!("CARGO_BIN_EXE_relay-dump"), &[&[dir], arguments].concat())
}

fn lines_of(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn with_sample() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    sample(dir.path());
    dir
}

#[test]
fn summary_has_a_line_for_each_visible_transaction() {
    let dir = with_sample();
    let out = dump(dir.path(), &[]).good();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 5, "{out}");
    assert!(lines[0].starts_with("SEQS"), "{out}");
    assert!(lines[1].starts_with("1-5 ") && lines[1].contains("2026-01-31T23:59:00.000Z"), "{out}");
    assert!(lines[1].contains(&format!("{UUID_TEXT}:1 ")) && lines[1].ends_with("shop.orders: 2 inserted"), "{out}");
    assert!(lines[2].starts_with("6-11 ") && lines[2].ends_with("shop.orders: 1 updated, 1 deleted"), "{out}");
    assert!(lines[3].starts_with("17-18 ") && lines[3].ends_with("ALTER TABLE orders ADD COLUMN x int"), "{out}");
    assert!(lines[4].ends_with("shop.audit: 1 inserted; shop.orders: 1 inserted"), "{out}");
    let all = lines_of(&dump(dir.path(), &["--json"]).good());
    assert_eq!(all.len(), 4);
    assert_eq!(all[0]["first_seq"], 1);
    assert_eq!(all[0]["gtid"], format!("{UUID_TEXT}:1"));
    assert_eq!(all[0]["time_us"], T1);
    assert_eq!(all[0]["rows"], 2);
    assert_eq!(all[1]["tables"]["shop.orders"]["updates"], 1);
    assert_eq!(all[3]["file"], "mysql-bin.000007");
}

#[test]
fn a_stretch_that_cuts_transactions_says_so() {
    let dir = with_sample();
    let out = dump(dir.path(), &["--from", "seq:4", "--to", "seq:9"]).good();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[1].starts_with("1-5 ") && lines[1].ends_with("shop.orders: 2 inserted; counted from seq 4"), "{out}");
    assert!(lines[2].starts_with("6-9 "), "{out}");
    assert!(lines[2].ends_with("shop.orders: 1 updated; goes on behind the last entry asked for"), "{out}");
    let rows = dump(dir.path(), &["--from", "seq:9", "--to", "seq:9", "--format", "rows"]).good();
    assert!(rows.starts_with("9.0 ") && rows.lines().count() == 1, "{rows}");
}

#[test]
fn rows_show_names_and_values_before_and_after() {
    let dir = with_sample();
    let out = dump(dir.path(), &["--format", "rows"]).good();
    let expected = r#"4.0  2026-01-31T23:59:00.000Z  insert  shop.orders  {id=1, note="first"}
4.1  2026-01-31T23:59:00.000Z  insert  shop.orders  {id=2, note="NULL"}
9.0  2026-01-31T23:59:30.000Z  update  shop.orders  {id=1, note="first"} -> {id=1, note="größer \"1\""}
10.0  2026-01-31T23:59:30.000Z  delete  shop.orders  {id=2, note=NULL}
18  2026-01-01T00:05:30.000Z  alter  shop.orders  ALTER TABLE orders ADD COLUMN x int
22.0  2026-02-01T00:00:30.000Z  insert  shop.orders  {id=4, note="\u{1b}]0;own\u{7} \u{9b}31m"}
24.0  2026-02-01T00:00:30.000Z  insert  shop.audit  {id=5, note="seen"}
"#;
    assert_eq!(out, expected);
    let all = lines_of(&dump(dir.path(), &["--format", "rows", "--json"]).good());
    assert_eq!(all[2]["before"], json!({ "id": "1", "note": "first" }));
    assert_eq!(all[2]["after"], json!({ "id": "1", "note": "größer \"1\"" }));
    assert_eq!(all[3]["after"], Value::Null);
    assert_eq!(all[3]["before"]["note"], Value::Null);
    assert_eq!((&all[1]["seq"], &all[1]["row"]), (&json!(4), &json!(1)));
}

#[test]
fn canal_json_is_what_a_delivery_writes() {
    let dir = with_sample();
    let all = lines_of(&dump(dir.path(), &["--format", "json", "--table", "shop.orders"]).good());
    assert_eq!(all.len(), 6);
    assert_eq!((&all[4]["type"], &all[4]["isDdl"]), (&json!("ALTER"), &json!(true)));
    assert_eq!(all[2]["type"], "UPDATE");
    assert_eq!(all[2]["old"], json!([{ "note": "first" }]));
    assert_eq!(all[2]["data"], json!([{ "id": "1", "note": "größer \"1\"" }]));
    assert_eq!(all[2]["id"], 9);
    assert_eq!(all[2]["pkNames"], json!(["id"]));
    assert!(all.iter().all(|row| row["table"] == "orders"));
}

#[test]
fn hex_shows_the_events_as_the_source_sent_them() {
    let dir = with_sample();
    let out = dump(dir.path(), &["--format", "hex", "--from", "seq:5", "--to", "seq:5"]).good();
    let mut lines = out.lines();
    let head = lines.next().expect("a head");
    assert!(head.starts_with("seq 5  XID  mysql-bin.000007:") && head.ends_with("27 bytes"), "{out}");
    assert!(lines.next().expect("bytes").starts_with("  00000000  "), "{out}");
    let entry =
        &lines_of(&dump(dir.path(), &["--format", "hex", "--from", "seq:5", "--to", "seq:5", "--json"]).good())[0];
    let raw = support::binlog_rows::xid(1).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(entry["hex"], raw);
}

#[test]
fn stretches_begin_and_end_where_their_addresses_say() {
    let dir = with_sample();
    let first_seqs = |arguments: &[&str]| -> Vec<u64> {
        let out = dump(dir.path(), &[arguments, &["--json"]].concat()).good();
        lines_of(&out).iter().map(|line| line["first_seq"].as_u64().expect("a number")).collect()
    };
    assert_eq!(first_seqs(&["--from", "earliest", "--to", "latest"]), [1, 6, 17, 19]);
    assert_eq!(first_seqs(&["--from", "time:2026-01-31T23:59:30Z"]), [6, 17, 19]);
    assert_eq!(first_seqs(&["--to", "time:2026-01-31T23:59:30Z"]), [1]);
    assert_eq!(first_seqs(&["--from", &format!("gtid:{UUID_TEXT}:1-2")]), [17, 19]);
    assert_eq!(
        first_seqs(&["--from", &format!("gtid:{UUID_TEXT}:1"), "--to", &format!("gtid:{UUID_TEXT}:1-3")]),
        [6, 17]
    );
    assert_eq!(first_seqs(&["--from", "seq:6", "--to", "seq:11"]), [6]);
    assert_eq!(first_seqs(&["--table", "shop.audit"]), [19]);
    assert_eq!(first_seqs(&["--table", "shop.*", "--table", "!shop.orders"]), [19]);
    assert_eq!(first_seqs(&["--from", "file:mysql-bin.000007:4", "--to", "seq:5"]), [1]);
}

#[test]
fn stats_count_by_table_day_and_segment() {
    let dir = with_sample();
    let out = dump(dir.path(), &["--stats", "--json"]).good();
    let stats: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!((&stats["rows"], &stats["transactions"], &stats["entries"]), (&json!(6), &json!(4), &json!(20)));
    assert_eq!(stats["hidden_entries"], 5);
    assert_eq!(stats["tables"]["shop.orders"]["inserts"], 3);
    assert_eq!(stats["days"]["2026-01-31"]["transactions"], 2);
    assert_eq!(stats["days"]["2026-02-01"]["rows"], 2);
    assert_eq!(stats["segments"].as_array().map(Vec::len), Some(1));
    assert_eq!(stats["first"]["gtid"], format!("{UUID_TEXT}:1"));
    assert_eq!((&stats["last"]["seq"], &stats["last"]["time"]), (&json!(25), &json!("2026-02-01T00:00:30.000Z")));
    assert_eq!(stats["gaps"], json!([]));
    let text = dump(dir.path(), &["--stats"]).good();
    assert!(text.contains("rows          6\n") && text.contains("shop.audit          1        0        0"), "{text}");
    let audit: Value =
        serde_json::from_str(&dump(dir.path(), &["--stats", "--json", "--table", "shop.audit"]).good()).expect("JSON");
    assert_eq!(audit["rows"], 1);
}

#[test]
fn addresses_outside_of_the_log_are_refused_with_what_exists() {
    let dir = with_sample();
    for (arguments, expected) in [
        (["--from", "seq:27"], "seq:27 lies after the log's end (seq 25)"),
        (["--to", "seq:26"], "--to seq:26 lies after the log's end (seq 25)"),
        (["--from", "time:2027-01-01T00:00:00Z"], "lies after the log's end (seq 25)"),
        (["--from", "gtid:0-1-5"], "the log is of a MySQL server"),
        (["--from", "file:other.000001:4"], "mysql-bin.000007"),
        (["--timestamp-zone", "Mars/Olympus"], ""),
    ] {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--format", "rows"]);
        let said = dump(dir.path(), &arguments).refused(2);
        assert!(said.contains(expected), "{said}");
    }
    let said = dump(dir.path(), &["--from", "seq:17", "--to", "seq:5"]).refused(2);
    assert!(said.contains("behind --to seq:5"), "{said}");
    let wrong = dump(dir.path(), &["--from", "yesterday"]);
    assert!(wrong.code == 2 && wrong.err.contains("time:2026-01-31T08:00:00Z"), "{}", wrong.err);
    let wrong = dump(dir.path(), &["--table", "orders"]).refused(2);
    assert!(wrong.contains("database.table"), "{wrong}");
}

#[test]
fn addresses_before_the_start_of_a_trimmed_log_are_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = support::trimmed(dir.path());
    let before = contents(dir.path());
    for address in ["seq:1", "time:2026-01-31T23:59:30Z", &format!("gtid:{UUID_TEXT}:1-3"), "file:mysql-bin.000007:4"] {
        for arguments in [&["--from", address][..], &["--to", address], &["--stats", "--from", address]] {
            let said = dump(dir.path(), arguments).refused(2);
            let expected =
                format!("{address} lies before the log's start (seq {first}): the oldest that can be had is earliest");
            assert_eq!(said, format!("relay-dump: {expected}"));
        }
    }
    let shown = dump(dir.path(), &["--from", "earliest", "--json"]).good();
    // The first transaction lost its front, and says so.
    let line = &lines_of(&shown)[0];
    assert!(line["last_seq"].as_u64() >= Some(first.0) && line["partial"] == true, "{shown}");
    assert_eq!(contents(dir.path()), before);
}

/// Each kind of damage to each kind of file: read-only tools go on, say what is gone, and change nothing.
#[test]
fn damaged_files_are_said_and_left_alone() {
    let intact = tempfile::tempdir().expect("a folder");
    let mut source = Source::create(intact.path());
    let note = "n".repeat(60);
    for _ in 0..40 {
        source.insert(&[note.as_str(); 40]);
        source.flush();
    }
    source.close_store();
    let segments: Vec<_> =
        contents(&intact.path().join("log")).into_keys().filter(|p| p.extension().is_some()).collect();
    assert!(segments.len() >= 3, "{segments:?}");
    let name = |at: usize| format!("log/{}", segments[at].file_name().expect("a name").to_string_lossy());
    type Harm = fn(&Path);
    let zero: Harm = |path| {
        let len = path.metadata().expect("a file").len();
        std::fs::write(path, vec![0; len as usize]).expect("a file");
    };
    let cut: Harm = |path| {
        let bytes = std::fs::read(path).expect("a file");
        std::fs::write(path, &bytes[..bytes.len() / 2]).expect("a file");
    };
    let flip: Harm = |path| {
        let mut bytes = std::fs::read(path).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        std::fs::write(path, bytes).expect("a file");
    };
    let remove: Harm = |path| std::fs::remove_file(path).expect("a file");
    for (file, harms, code) in [
        // What a reader goes by besides the segments is only a shortcut; what it stands for is said again by them.
        ("log/mark".to_owned(), [zero, cut, flip, remove], 0),
        (name(1), [zero, cut, flip, remove], 4),
    ] {
        for (number, harm) in harms.into_iter().enumerate() {
            let dir = tempfile::tempdir().expect("a folder");
            support::copy(intact.path(), dir.path());
            harm(&dir.path().join(&file));
            let before = contents(dir.path());
            let ran = dump(dir.path(), &["--format", "rows"]);
            assert_eq!(ran.code, code, "{file} {number}: {} {}", ran.err, ran.out);
            assert_eq!(ran.out.contains("GAP"), code == 4, "{file} {number}: {}", ran.out);
            assert!(
                ran.out.lines().last().is_some_and(|line| line.contains("insert")),
                "{file} {number}: the end is read"
            );
            let ran = dump(dir.path(), &["--verify"]);
            assert_eq!(ran.code, code, "{file} {number}: {} {}", ran.err, ran.out);
            if code == 4 {
                assert!(
                    ran.out.contains("DAMAGED") && ran.err.contains("the log is damaged in"),
                    "{file}: {}",
                    ran.err
                );
            }
            assert_eq!(contents(dir.path()), before, "{file} {number}");
        }
    }
}

#[test]
fn what_is_no_store_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    assert!(dump(dir.path(), &[]).refused(2).contains("no relay store at"));
    assert!(dump(&dir.path().join("missing"), &["--verify"]).refused(2).contains("no relay store at"));
    std::fs::write(dir.path().join("notes.txt"), "mine").expect("a file");
    assert!(dump(dir.path(), &["--stats"]).refused(2).contains("no relay store at"));
    assert_eq!(contents(dir.path()).len(), 1);
}

#[test]
fn a_whole_log_verifies_and_a_flipped_bit_is_named() {
    let dir = with_sample();
    assert!(dump(dir.path(), &["--verify"]).good().contains("the log is whole"));
    let report: Value = serde_json::from_str(&dump(dir.path(), &["--verify", "--json"]).good()).expect("JSON");
    assert_eq!((&report["ok"], &report["entries"], &report["visible_seq"]), (&json!(true), &json!(25), &json!(25)));

    let segment = dir.path().join("log/00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    let at = bytes.windows(5).position(|window| window == b"never").expect("the value is in it as it is");
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).expect("a segment");
    let ran = dump(dir.path(), &["--verify"]);
    assert_eq!(ran.code, 4);
    assert!(
        ran.out.contains("DAMAGED  seq ") && ran.out.contains("00000000000000000001.seg at offset "),
        "{}",
        ran.out
    );
    assert!(ran.err.contains("the log is damaged in 1 place;"), "{}", ran.err);
    let ran = dump(dir.path(), &["--verify", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(
        (ran.code, &report["ok"], &report["damage"][0]["segment"]),
        (4, &json!(false), &json!("00000000000000000001.seg"))
    );
    assert!(report["damage"][0]["offset"].as_u64().is_some_and(|offset| offset < at as u64));
}

#[test]
fn damage_leaves_the_rest_readable_and_is_said() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut source = Source::create(dir.path());
    for note in ["before", "broken", "after"] {
        source.insert(&[note]);
        source.appender.seal();
    }
    source.close_store();
    let segment = dir.path().join("log/00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    let at = bytes.windows(6).position(|window| window == b"broken").expect("in it as it is");
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).expect("a segment");
    let ran = dump(dir.path(), &["--format", "rows"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(
        ran.out.contains("\"before\"") && ran.out.contains("\"after\"") && !ran.out.contains("brok"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("GAP  seq 6 to 10: damaged in segment 00000000000000000001.seg at offset"), "{}", ran.out);
    assert!(ran.err.contains("1 damaged range"), "{}", ran.err);
    let stats = dump(dir.path(), &["--stats", "--json"]);
    assert_eq!(stats.code, 4);
    let stats: Value = serde_json::from_str(&stats.out).expect("JSON");
    assert_eq!((&stats["missing_entries"], &stats["gaps"][0]["first_seq"]), (&json!(5), &json!(6)));
}

#[test]
fn notes_of_the_relay_itself_are_shown() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut source = Source::create(dir.path());
    source.append(relay::log::kind::SELECTION, 0, b"shop.*, !shop.audit");
    source.append(relay::log::kind::GAP_NOTE, 0, b"an XA transaction\x1b[2J");
    // As capture does it: such entries have no time.
    source.appender.commit(Commit { checkpoint: b"", commit_time_us: 0, forget_prepared: None });
    source.close_store();
    let out = dump(dir.path(), &[]).good();
    let expected = r"tables captured from here on: shop.*, !shop.audit; missing: an XA transaction\u{1b}[2J";
    assert!(out.trim_end().ends_with(expected), "{out}");
    assert!(!out.contains("1970") && !dump(dir.path(), &["--stats"]).good().contains("1970"), "{out}");
    let rows = dump(dir.path(), &["--format", "rows"]).good();
    assert_eq!(rows, "GAP  seq 2: an XA transaction\\u{1b}[2J\n");
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let dir = with_sample();
    let format = dir.path().join("FORMAT");
    let text = std::fs::read_to_string(&format).expect("a store").replace("relay-store 1\n", "relay-store 9\n");
    let (body, _) = text.split_once("crc ").expect("a checksum");
    std::fs::write(&format, format!("{body}crc {:08x}\n", crc32fast::hash(body.as_bytes()))).expect("a file");
    for arguments in [&[][..], &["--stats"], &["--verify"]] {
        let said = dump(dir.path(), arguments).refused(1);
        assert!(said.contains("has store format 9, this release reads up to 1: use a newer release"), "{said}");
    }
}

#[test]
fn what_retention_takes_away_under_a_reader_is_a_named_gap() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut source = Source::create(dir.path());
    let note = "n".repeat(60);
    for _ in 0..400 {
        source.insert(&[note.as_str(); 40]);
        source.flush();
    }
    let segments = source.store.segments().len() as u64;
    assert!(segments > 8, "{segments} segments");
    let mut child = start(
        Command::new(env!("CARGO_BIN_EXE_relay-dump"))
            .arg(dir.path())
            .args(["--format", "rows"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("a line");
    assert!(first.starts_with("4.0 "), "{first}");
    // It has begun, and the pipe holds a small part of what it has to say: it is in one of the first segments.
    let retention = relay_store::Retention { max_bytes: Some(200_000), ..Default::default() };
    source.store.set_retention(retention);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while source.store.segments().len() as u64 > segments / 2 {
        assert!(std::time::Instant::now() < deadline, "nothing was trimmed");
        source.insert(&["more"]);
        source.flush();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("text");
    let output = child.wait_with_output().expect("it ends");
    let gaps: Vec<&str> = rest.lines().filter(|line| line.starts_with("GAP")).collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].ends_with(": trimmed by retention"), "{gaps:?}");
    let behind = rest.lines().last().expect("lines");
    assert!(behind.contains("insert  shop.orders"), "{behind}");
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    source.close_store();
}

#[test]
fn a_live_log_is_read_without_a_word_and_nothing_is_changed() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut source = Source::create(dir.path());
    source.insert(&["one"]);
    source.flush();
    let before = contents(&dir.path().join("log"));
    for arguments in [&["--format", "rows"][..], &["--stats"], &["--verify"], &["--format", "hex"], &[]] {
        dump(dir.path(), arguments).good();
    }
    assert_eq!(contents(&dir.path().join("log")), before);
    source.close_store();
    let before = contents(dir.path());
    for arguments in [&["--format", "rows"][..], &["--stats"], &["--verify"], &["--format", "hex"], &[]] {
        dump(dir.path(), arguments).good();
    }
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn follow_prints_what_comes_and_ends_with_its_reader() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut source = Source::create(dir.path());
    source.insert(&["old"]);
    source.flush();
    let mut child = start(
        Command::new(env!("CARGO_BIN_EXE_relay-dump"))
            .arg(dir.path())
            .args(["--follow", "--format", "rows", "--from", "latest"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    // It says nothing until something comes; until it has begun, `latest` may still move.
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        while stopped.recv_timeout(std::time::Duration::from_millis(20)).is_err() {
            source.insert(&["new"]);
            source.flush();
        }
        source
    });
    lines.read_line(&mut line).expect("a line");
    assert!(line.contains("\"new\""), "{line}");
    // Who reads it goes away, as `head` does.
    drop(lines);
    let status = child.wait().expect("it ends");
    stop.send(()).expect("the writer lives");
    writer.join().expect("it wrote").close_store();
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

#[test]
fn a_reader_that_had_enough_is_no_failure() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut source = Source::create(dir.path());
    let notes = ["a note"; 200];
    for _ in 0..40 {
        source.insert(&notes);
        source.flush();
    }
    source.close_store();
    let mut child = start(
        Command::new(env!("CARGO_BIN_EXE_relay-dump"))
            .arg(dir.path())
            .args(["--format", "rows"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("a line");
    assert!(first.contains("insert"), "{first}");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}
