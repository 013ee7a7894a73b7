//! `relay-cursor` on stopped stores and against the API of a daemon: what it prints, how it ends, what it changes.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use relay_store::{Parked, Seq, Store, StoreOptions, cursor_snapshot};
use serde_json::{Value, json};
use support::{Ran, STARTING, contents, run, sample, start};

fn cursor(arguments: &[&str]) -> Ran {
    run(env!("CARGO_BIN_EXE_relay-cursor"), arguments)
}

/// On the stopped store in `dir`.
fn on(dir: &Path, arguments: &[&str]) -> Ran {
    cursor(&[arguments, &["--store", dir.to_str().expect("UTF-8")]].concat())
}

fn json_of(ran: Ran) -> Value {
    serde_json::from_str(&ran.good()).expect("one JSON value")
}

fn open(dir: &Path) -> Store {
    let _starting = STARTING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Store::open(dir, StoreOptions { ballast_bytes: 0, ..StoreOptions::default() }).expect("a store")
}

/// The sample log with cursors at its end and at seq 5; the second has a parked table.
fn stopped() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    sample(dir.path());
    let store = open(dir.path());
    let cursors = store.cursors();
    cursors.create("orders", Seq(25), Default::default()).expect("a cursor");
    cursors.create("warehouse", Seq(5), Default::default()).expect("a cursor");
    let parked = Parked { key: b"shop\0audit".to_vec(), first: Seq(24), reason: "no \x1b[2J such topic".to_owned() };
    cursors.park("warehouse", parked).expect("parked");
    store.close();
    dir
}

#[test]
fn list_and_show_say_where_cursors_stand_and_change_nothing() {
    let dir = stopped();
    let before = contents(dir.path());
    let list = on(dir.path(), &["list"]).good();
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with("CURSOR     STATE"), "{list}");
    assert!(lines[1].starts_with("orders     idle") && lines[1].contains(" 25 "), "{list}");
    assert!(lines[2].starts_with("warehouse  idle") && lines[2].ends_with("1 table"), "{list}");
    assert!(lines[3].contains(r"no \u{1b}[2J such topic"), "{list}");
    assert!(lines[3].ends_with("relay-cursor release warehouse --table shop.audit"), "{list}");
    let all = json_of(on(dir.path(), &["list", "--json"]));
    assert_eq!((&all[0]["acked_seq"], &all[1]["lag_entries"]), (&json!(25), &json!(20)));
    let one = on(dir.path(), &["show", "warehouse"]).good();
    assert!(one.contains("acked seq  5\n") && one.contains("behind     20 entries\n"), "{one}");
    assert_eq!(json_of(on(dir.path(), &["show", "warehouse", "--json"]))["parked"][0]["first_seq"], 24);
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn a_reset_of_a_stopped_store_shows_what_it_replays_and_asks() {
    let dir = stopped();
    let before = contents(dir.path());
    let shown = on(dir.path(), &["reset", "orders", "--to", "seq:6", "--dry-run"]).good();
    let expected = "cursor orders would move from behind seq 25 to behind seq 5\n\
                    would be delivered again: 3 transactions, 4 rows, ";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(shown.contains("shop.audit      1") && shown.contains("shop.orders     3"), "{shown}");
    let reset =
        json_of(on(dir.path(), &["reset", "orders", "--to", "time:2026-01-31T23:59:30Z", "--dry-run", "--json"]));
    assert_eq!((&reset["to_acked_seq"], &reset["done"]), (&json!(5), &json!(false)));
    assert_eq!(reset["replay"]["tables"]["shop.orders"]["updates"], 1);
    let asked = on(dir.path(), &["reset", "orders", "--to", "earliest"]);
    assert!(asked.code == 2 && asked.out.is_empty(), "{}", asked.err);
    assert!(asked.err.contains("would be delivered again: 4 transactions, 6 rows"), "{}", asked.err);
    assert!(asked.err.ends_with("give --yes to do it\n"), "{}", asked.err);
    assert_eq!(contents(dir.path()), before, "nothing was to be done so far");

    let done = on(dir.path(), &["reset", "orders", "--to", "earliest", "--yes"]).good();
    assert!(
        done.starts_with("cursor orders moved from behind seq 25 to behind seq 0\ndelivered again: 4 tr"),
        "{done}"
    );
    let cursors = cursor_snapshot(dir.path()).expect("stopped").cursors;
    assert_eq!((cursors[0].acked, cursors[0].epoch.0), (Seq(0), 2));
    let forward = on(dir.path(), &["reset", "orders", "--to", "latest", "--yes"]).good();
    assert!(forward.contains("25 entries will never be delivered by it"), "{forward}");
    assert!(on(dir.path(), &["reset", "orders", "--to", "latest", "--yes"]).good().contains("it stands there already"));
}

#[test]
fn cursors_of_a_stopped_store_are_created_paused_released_and_deleted() {
    let dir = stopped();
    let made = json_of(on(dir.path(), &["create", "late", "--start", "latest", "--json"]));
    assert_eq!((&made["name"], &made["acked_seq"]), (&json!("late"), &json!(25)));
    assert_eq!(json_of(on(dir.path(), &["pause", "late", "--json"]))["state"], "paused");
    assert!(on(dir.path(), &["list"]).good().contains("paused: relay-cursor resume late goes on"));
    assert_eq!(json_of(on(dir.path(), &["resume", "late", "--json"]))["state"], "idle");
    on(dir.path(), &["release", "warehouse", "--table", "shop.audit"]).good();
    let said = on(dir.path(), &["release", "warehouse", "--table", "shop.orders"]).refused(2);
    assert!(said.contains("\"shop.orders\" is not parked on cursor \"warehouse\""), "{said}");
    let said = on(dir.path(), &["delete", "late"]).refused(2);
    assert!(said.contains("give --yes"), "{said}");
    assert_eq!(on(dir.path(), &["delete", "late", "--yes"]).good(), "cursor late is deleted\n");
    assert!(cursor_snapshot(dir.path()).expect("stopped").cursors.iter().all(|cursor| cursor.name != "late"));
}

#[test]
fn slips_of_the_pen_are_refused_and_change_nothing() {
    let dir = stopped();
    let before = contents(dir.path());
    for arguments in [
        &["show", "order"][..],
        &["reset", "order", "--to", "earliest", "--yes"],
        &["reset", "order", "--to", "earliest", "--dry-run"],
        &["pause", "order"],
        &["delete", "order", "--yes"],
        &["release", "order", "--table", "shop.audit"],
    ] {
        let said = on(dir.path(), arguments).refused(2);
        assert_eq!(said, "relay-cursor: no cursor \"order\": there is orders, warehouse");
    }
    let said = on(dir.path(), &["reset", "orders", "--to", "seq:99", "--dry-run"]).refused(2);
    assert!(said.contains("seq:99 lies after the log's end (seq 25)"), "{said}");
    assert!(on(dir.path(), &["create", "a/b"]).refused(2).contains("is no name"));
    let said = on(dir.path(), &["release", "warehouse", "--table", "audit"]).refused(2);
    assert!(said.contains("write it as database.table"), "{said}");
    let empty = tempfile::tempdir().expect("a folder");
    for arguments in [&["list"][..], &["pause", "orders"], &["create", "x"]] {
        assert!(on(empty.path(), arguments).refused(2).contains("no relay store at"));
    }
    assert!(contents(empty.path()).is_empty());
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn a_reset_before_the_start_of_a_trimmed_log_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = support::trimmed(dir.path());
    let store = open(dir.path());
    store.cursors().create("orders", store.positions().visible_seq, Default::default()).expect("a cursor");
    store.close();
    let before = contents(dir.path());
    for address in ["seq:1", "time:2026-01-31T23:59:30Z", "file:mysql-bin.000007:4"] {
        let said = on(dir.path(), &["reset", "orders", "--to", address, "--dry-run"]).refused(2);
        let expected =
            format!("{address} lies before the log's start (seq {first}): the oldest that can be had is earliest");
        assert_eq!(said, format!("relay-cursor: {expected}"));
    }
    assert_eq!(contents(dir.path()), before);
    let acked = |dir: &Path| cursor_snapshot(dir).expect("stopped").cursors[0].acked;
    let stood = acked(dir.path());
    for arguments in [&["reset", "orders", "--to", "seq:1", "--yes"][..], &["create", "late", "--start", "seq:1"]] {
        assert!(on(dir.path(), arguments).refused(2).contains("lies before the log's start"));
    }
    assert_eq!(acked(dir.path()), stood);
}

#[test]
fn what_is_no_store_or_of_a_newer_release_is_refused_and_left_alone() {
    let all = [
        &["list"][..],
        &["show", "orders"],
        &["reset", "orders", "--to", "earliest", "--dry-run"],
        &["reset", "orders", "--to", "earliest", "--yes"],
        &["pause", "orders"],
        &["create", "late"],
        &["delete", "orders", "--yes"],
    ];
    let foreign = tempfile::tempdir().expect("a folder");
    std::fs::write(foreign.path().join("notes.txt"), "mine").expect("a file");
    let missing = foreign.path().join("missing");
    for arguments in all {
        for dir in [foreign.path(), &missing] {
            let said = on(dir, arguments).refused(2);
            assert!(said.contains("no relay store at") && said.ends_with("check the directory"), "{said}");
        }
    }
    assert_eq!(contents(foreign.path()).len(), 1);

    let newer = stopped();
    let format = newer.path().join("FORMAT");
    let text = std::fs::read_to_string(&format).expect("a store").replace("relay-store 1\n", "relay-store 9\n");
    let (body, _) = text.split_once("crc ").expect("a checksum");
    std::fs::write(&format, format!("{body}crc {:08x}\n", crc32fast::hash(body.as_bytes()))).expect("a file");
    let before = contents(newer.path());
    for arguments in all {
        let said = on(newer.path(), arguments).refused(1);
        assert!(said.contains("has store format 9, this release reads up to 1: use a newer release"), "{said}");
    }
    assert_eq!(contents(newer.path()), before);
}

/// Looking never repairs; what it cannot tell it says, with the step that does repair.
#[test]
fn a_damaged_store_is_said_and_left_alone() {
    let dir = stopped();
    let db = dir.path().join("meta/db");
    let mut bytes = std::fs::read(&db).expect("meta");
    bytes.fill(0);
    std::fs::write(&db, bytes).expect("meta");
    let before = contents(dir.path());
    for arguments in [&["list"][..], &["show", "orders"], &["reset", "orders", "--to", "earliest", "--dry-run"]] {
        let said = on(dir.path(), arguments).refused(4);
        assert!(said.contains("damaged") && said.contains("starting the relay rebuilds it"), "{said}");
    }
    assert_eq!(contents(dir.path()), before);

    // Damage on the way of a replay is counted as what it is.
    let dir = stopped();
    let segment = dir.path().join("log/00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    let at = bytes.windows(5).position(|window| window == b"first").expect("the value is in it as it is");
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).expect("a segment");
    let before = contents(dir.path());
    let shown = on(dir.path(), &["reset", "orders", "--to", "earliest", "--dry-run"]).good();
    assert!(shown.contains("on the way cannot be read; the delivery stops there"), "{shown}");
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn a_store_in_use_names_the_process_and_the_other_way() {
    let dir = stopped();
    let store = open(dir.path());
    for arguments in [
        &["list"][..],
        &["reset", "orders", "--to", "earliest", "--yes"],
        &["reset", "orders", "--to", "earliest", "--dry-run"],
        &["create", "late"],
    ] {
        let said = on(dir.path(), arguments).refused(1);
        assert!(said.contains(&format!("in use by process {}", std::process::id())), "{said}");
        assert!(said.contains("--admin URL"), "{said}");
    }
    store.close();
}

#[test]
fn a_terminal_is_asked_and_a_no_changes_nothing() {
    let dir = stopped();
    // `script` gives the tool a terminal; without it there is none to be asked at.
    let tool = env!("CARGO_BIN_EXE_relay-cursor");
    let asking = format!("{tool} reset orders --to earliest --store {}", dir.path().display());
    for (answer, acked) in [("n\n", 25), ("y\n", 0)] {
        let mut child = start(
            Command::new("script")
                .args(["-qec", &asking, "/dev/null"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        );
        std::io::Write::write_all(child.stdin.as_mut().expect("piped"), answer.as_bytes()).expect("it reads");
        let ran = Ran::of(&child.wait_with_output().expect("it ends"));
        assert!(ran.out.contains("reset it? [y/N]"), "{}", ran.out);
        assert_eq!(ran.code, i32::from(acked == 25), "{}", ran.out);
        assert_eq!(cursor_snapshot(dir.path()).expect("stopped").cursors[0].acked, Seq(acked));
    }
}

mod running {
    use super::*;

    use std::sync::Arc;

    use relay::config::Config;
    use relay::run::Daemon;
    use tokio_util::sync::CancellationToken;

    /// The API of a daemon whose source and sinks are not started, on a port of its own.
    struct Served {
        runtime: tokio::runtime::Runtime,
        stop: CancellationToken,
        url: String,
        dir: tempfile::TempDir,
        store: Store,
    }

    impl Served {
        fn begin() -> Self {
            let dir = stopped();
            let text = format!("[source]\nurl = \"mysql://relay@db1\"\n[log]\ndir = {:?}\n", dir.path());
            let config = Config::parse(&text, Path::new("relay.toml"), &|_| None).expect("a config");
            let store = open(dir.path());
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let (fatal, _) = tokio::sync::mpsc::channel(1);
            let stop = CancellationToken::new();
            let url = runtime.block_on(async {
                let daemon = Arc::new(Daemon::new("relay.toml".into(), config, store.clone(), fatal));
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let url = format!("http://{}", listener.local_addr().expect("bound"));
                tokio::spawn(relay::api::serve(listener, daemon, stop.clone()));
                url
            });
            Self { runtime, stop, url, dir, store }
        }

        fn ask(&self, arguments: &[&str]) -> Ran {
            cursor(&[arguments, &["--admin", &self.url]].concat())
        }

        fn end(self) {
            self.stop.cancel();
            self.runtime.shutdown_timeout(std::time::Duration::from_secs(5));
            self.store.close();
            drop(self.dir);
        }
    }

    #[test]
    fn cursors_of_a_running_relay_are_shown_and_moved_by_its_api() {
        let served = Served::begin();
        let list = served.ask(&["list"]).good();
        assert!(list.lines().nth(2).is_some_and(|line| line.starts_with("warehouse  idle")), "{list}");
        assert_eq!(json_of(served.ask(&["show", "orders", "--json"]))["acked_seq"], 25);
        let shown = served.ask(&["reset", "orders", "--to", "seq:6", "--dry-run"]).good();
        assert!(shown.contains("would be delivered again: 3 transactions, 4 rows, "), "{shown}");
        assert_eq!(served.store.cursors().get("orders").expect("there").acked, Seq(25));
        let done = served.ask(&["reset", "orders", "--to", "seq:6", "--yes"]).good();
        assert!(done.starts_with("cursor orders moved from behind seq 25 to behind seq 5\n"), "{done}");
        assert_eq!(served.store.cursors().get("orders").expect("there").acked, Seq(5));
        assert_eq!(json_of(served.ask(&["create", "late", "--start", "latest", "--json"]))["acked_seq"], 25);
        assert_eq!(json_of(served.ask(&["pause", "late", "--json"]))["state"], "paused");
        assert_eq!(json_of(served.ask(&["resume", "late", "--json"]))["state"], "idle");
        served.ask(&["release", "warehouse", "--table", "shop.audit"]).good();
        served.ask(&["delete", "late", "--yes"]).good();
        assert_eq!(served.store.cursors().get("late"), None);
        served.end();
    }

    #[test]
    fn refusals_of_a_running_relay_are_its_own_words() {
        let served = Served::begin();
        for arguments in [&["show", "order"][..], &["pause", "order"], &["reset", "order", "--to", "latest", "--yes"]] {
            let said = served.ask(arguments).refused(2);
            assert_eq!(said, "relay-cursor: no cursor \"order\": there is orders, warehouse");
        }
        let said = served.ask(&["reset", "orders", "--to", "seq:99", "--yes"]).refused(2);
        assert!(said.contains("seq:99 lies after the log's end (seq 25)"), "{said}");
        let said = served.ask(&["create", "orders"]).refused(1);
        assert!(said.contains("exists already, at seq 25"), "{said}");
        let said = served.ask(&["release", "warehouse", "--table", "shop.orders"]).refused(2);
        assert!(said.contains("is not parked"), "{said}");
        served.end();
    }

    #[test]
    fn where_no_relay_answers_the_other_way_is_named() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        let said = cursor(&["list", "--admin", &format!("http://{port}")]).refused(1);
        assert!(said.contains("no relay answers at") && said.ends_with("give --store DIR"), "{said}");
        let said = cursor(&["list", "--admin", "https://127.0.0.1:7070"]).refused(2);
        assert!(said.contains("write it as http://127.0.0.1:7070"), "{said}");
    }
}
