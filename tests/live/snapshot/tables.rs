//! Tables of every kind: what orders their rows, what changes their shape, and how the whole of it ends.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{PATIENCE, daemon, is_copied, progress, records, wait_until_copied, wait_until_delivered};
use crate::support::daemon::{Daemon, Extra};
use crate::support::servers::{own, shared};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

/// Keys of every type that orders rows: how they are declared, and values, at the ends and next to each other.
const KEYS: &[(&str, &[&str])] = &[
    ("k BIGINT UNSIGNED PRIMARY KEY", &["0", "9223372036854775807", "9223372036854775808", "18446744073709551615"]),
    ("k BIGINT PRIMARY KEY", &["-9223372036854775808", "-1", "0", "9223372036854775807"]),
    ("k DECIMAL(30,10) PRIMARY KEY", &["-0.0000000001", "0", "0.0000000001", "12345678901234567890.1234567890"]),
    ("k FLOAT PRIMARY KEY", &["-1.1", "0.1", "0.2", "3.4e38"]),
    ("k DOUBLE PRIMARY KEY", &["-1e-300", "0.1", "0.30000000000000004", "1e300"]),
    ("k DATE PRIMARY KEY", &["'1000-01-01'", "'2026-01-31'", "'2026-02-01'", "'9999-12-31'"]),
    ("k DATETIME(6) PRIMARY KEY", &["'2026-01-31 00:00:00.000001'", "'2026-01-31 00:00:00.000002'", "'2027-01-01'"]),
    (
        "k TIMESTAMP(3) PRIMARY KEY",
        &["'1970-01-01 00:00:01.001'", "'2026-01-31 10:00:00.5'", "'2037-12-31 23:59:59.999'"],
    ),
    ("k TIME(2) PRIMARY KEY", &["'-838:59:59'", "'-00:00:00.01'", "'00:00:00'", "'838:59:59'"]),
    ("k YEAR PRIMARY KEY", &["1901", "2026", "2155"]),
    ("k BIT(40) PRIMARY KEY", &["b'0'", "b'1'", "b'1111111111111111111111111111111111111111'"]),
    ("k BINARY(4) PRIMARY KEY", &["x'00000000'", "x'00000001'", "x'01'", "x'0101'", "x'ff000000'", "x'ffffffff'"]),
    ("k VARBINARY(20) PRIMARY KEY", &["''", "x'00'", "x'0000'", "x'27'", "x'5c27'", "x'ff'"]),
    ("k CHAR(8) CHARACTER SET latin1 PRIMARY KEY", &["''", "'a'", "'B'", "'ä'", "'it''s'", "'z'"]),
    ("k VARCHAR(20) CHARACTER SET gbk PRIMARY KEY", &["''", "'plain'", "'价格'", "'你好'", "'订单'"]),
    ("k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY", &["'A'", "'a'", "'é'", "'😀'", "'\\\\'"]),
    (
        "k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci PRIMARY KEY",
        &["'a'", "'B'", "'ç'", "'d d'", "'你'"],
    ),
    (
        "k CHAR(36) CHARACTER SET ascii PRIMARY KEY",
        &["'00000000-0000-0000-0000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"],
    ),
    (
        "a INT, b VARCHAR(10) CHARACTER SET utf8mb4, k DATE, PRIMARY KEY (b, k, a)",
        &[
            "1, 'x', '2026-01-01'",
            "2, 'x', '2026-01-01'",
            "1, 'x', '2026-01-02'",
            "1, 'y', '2025-01-01'",
            "1, 'Z', '2025-01-01'",
        ],
    ),
    ("k INT NOT NULL, v INT, UNIQUE (k)", &["1, NULL", "2, 1", "3, NULL"]),
    // No order that a condition follows, no order at all: read in one piece.
    ("k ENUM('b','a','c') PRIMARY KEY", &["'b'", "'a'", "'c'"]),
    ("k INT", &["1", "1", "NULL", "2"]),
];

/// Every row of every kind of table comes once, in chunks of two.
#[test]
fn rows_are_read_in_chunks_by_keys_of_every_type() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for server in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let schema = fresh("keys");
        let mut root = Session::open(&server);
        root.run(&format!("CREATE DATABASE {schema}"));
        root.run("SET sql_mode = ''");
        for (n, (columns, rows)) in KEYS.iter().enumerate() {
            root.run(&format!("CREATE TABLE {schema}.t{n} ({columns})"));
            for row in *rows {
                root.run(&format!("INSERT INTO {schema}.t{n} VALUES ({row})"));
            }
        }
        let mut daemon = daemon(&server, &schema, "latest", "mode = \"initial\"\nchunk_rows = 2\nthreads = 3");
        daemon.start();
        wait_until_copied(&daemon);
        wait_until_delivered(&daemon);
        let mut copied: BTreeMap<String, u64> = BTreeMap::new();
        for record in records(&daemon).iter().filter(|record| is_copied(record)) {
            *copied.entry(record["table"].as_str().expect("a name").to_owned()).or_default() += 1;
        }
        for (n, (columns, rows)) in KEYS.iter().enumerate() {
            let table = format!("t{n}");
            assert_eq!(copied.get(&table).copied().unwrap_or(0), rows.len() as u64, "{}: {columns}", server.name);
        }
        assert!(daemon.stop().success());
    }
}

/// The relay ends by itself, and has nothing to do when it is started again.
#[test]
fn a_relay_that_only_copies_ends_by_itself() {
    let servers = shared(&["mysql97"]);
    let server = servers.mysql97();
    let schema = fresh("only");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    for table in ["a", "b"] {
        root.run(&format!("CREATE TABLE {schema}.{table} (id INT PRIMARY KEY)"));
        root.run(&format!("INSERT INTO {schema}.{table} VALUES (1), (2), (3), (4), (5)"));
    }
    root.run(&format!("CREATE TABLE {schema}.empty (id INT PRIMARY KEY)"));
    let mut daemon = daemon(&server, &schema, "latest", "mode = \"only\"\nchunk_rows = 2");
    for _ in 0..2 {
        daemon.launch();
        assert!(daemon.wait().success(), "{}", daemon.output());
        assert_eq!(records(&daemon).iter().filter(|record| is_copied(record)).count(), 10);
    }
    assert!(daemon.output().contains("every table is copied: the relay ends"), "{}", daemon.output());
}

/// The rows of one table as the records tell them, by id: a statement that changes the table's shape adds `extra`.
fn rows(records: &[Value], table: &str) -> BTreeMap<String, Value> {
    let of_table = records.iter().filter(|record| record["table"] == table && record["isDdl"] == false);
    of_table.map(|record| (record["data"][0]["id"].to_string(), record["data"][0].clone())).collect()
}

/// Only the table that a statement changes begins anew; one that is dropped ends; the others go on.
#[test]
fn a_statement_during_the_copy_begins_only_its_own_table_anew() {
    let servers = shared(&["mysql97"]);
    let server = servers.mysql97();
    let schema = fresh("ddl");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    for table in ["altered", "dropped", "plain"] {
        root.run(&format!("CREATE TABLE {schema}.{table} (id INT PRIMARY KEY, v INT)"));
        let values: Vec<String> = (0..400).map(|id| format!("({id}, {id})")).collect();
        root.run(&format!("INSERT INTO {schema}.{table} VALUES {}", values.join(", ")));
    }
    let settings = "mode = \"initial\"\nchunk_rows = 10\nthreads = 3\nrps = 200";
    let mut daemon = daemon(&server, &schema, "latest", settings);
    daemon.start();
    let rows_of = |name: &str| {
        let progress = progress(&daemon);
        let tables = progress["progress"]["at_work"].as_array()?.clone();
        tables
            .iter()
            .find(|table| table["table"] == format!("{schema}.{name}"))
            .and_then(|table| table["rows"].as_u64())
    };
    for table in ["altered", "dropped"] {
        wait_until("chunks of it are copied", PATIENCE, || rows_of(table).filter(|rows| *rows >= 20));
    }
    root.run(&format!("ALTER TABLE {schema}.altered ADD COLUMN extra INT NOT NULL DEFAULT 7"));
    root.run(&format!("DROP TABLE {schema}.dropped"));
    wait_until_copied(&daemon);
    wait_until_delivered(&daemon);
    let progress = progress(&daemon);
    let at_work = progress["progress"]["at_work"].as_array().expect("a list").clone();
    assert_eq!(at_work.len(), 1, "{progress}");
    assert_eq!(
        (&at_work[0]["table"], &at_work[0]["state"]),
        (&Value::from(format!("{schema}.dropped")), &"ended".into())
    );
    let records = records(&daemon);
    let altered = rows(&records, "altered");
    assert!(altered.len() == 400 && altered.values().all(|row| row["extra"] == "7"), "{}", altered.len());
    assert_eq!(rows(&records, "plain").len(), 400);
    let copied = |table: &str| records.iter().filter(|r| is_copied(r) && r["table"] == table).count();
    assert_eq!(copied("plain"), 400, "it was read once");
    assert!(copied("altered") > 400, "its first chunks were in the log");
    assert!(daemon.output().contains("a copy begins anew"), "{}", daemon.output());
    assert!(daemon.stop().success());
}

/// Rows without a key are there as often each as in the table, although that changes while it is read.
#[test]
fn a_table_without_a_key_is_copied_in_one_view() {
    let servers = shared(&["mysql97"]);
    let server = servers.mysql97();
    let schema = fresh("keyless");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run(&format!("CREATE TABLE {schema}.t (v INT, note VARCHAR(20))"));
    let values: Vec<String> = (0..2000).map(|n| format!("({}, 'first')", n % 100)).collect();
    root.run(&format!("INSERT INTO {schema}.t VALUES {}", values.join(", ")));
    let mut daemon = daemon(&server, &schema, "latest", "mode = \"initial\"\nchunk_rows = 100\nrps = 1500");
    daemon.start();
    let begun = || progress(&daemon)["progress"]["rows"].as_u64().filter(|rows| *rows > 0);
    wait_until("its view is open", PATIENCE, begun);
    let mut changes = 0;
    wait_until("the table is copied", PATIENCE, || {
        changes += 1;
        root.run(&format!("INSERT INTO {schema}.t VALUES ({changes}, 'later')"));
        root.run(&format!("DELETE FROM {schema}.t WHERE note = 'first' AND v = {} LIMIT 1", changes % 100));
        root.run(&format!(
            "UPDATE {schema}.t SET note = 'changed' WHERE note = 'later' AND v = {} LIMIT 1",
            changes - 1
        ));
        std::thread::sleep(Duration::from_millis(50));
        (progress(&daemon)["state"] == "completed").then_some(())
    });
    root.run(&format!("INSERT INTO {schema}.t VALUES (-1, 'barrier')"));
    wait_until("the last row is delivered", PATIENCE, || {
        records(&daemon).iter().any(|record| record["data"][0]["v"] == "-1").then_some(())
    });
    wait_until_delivered(&daemon);
    assert!(daemon.stop().success());
    let mut rebuilt: BTreeMap<(String, String), i64> = BTreeMap::new();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    for record in records(&daemon).iter().filter(|record| record["isDdl"] == false) {
        let row = &record["data"][0];
        let after = (text(&row["v"]), text(&row["note"]));
        match record["type"].as_str().expect("a type") {
            "DELETE" => *rebuilt.entry(after).or_default() -= 1,
            "UPDATE" => {
                let old = &record["old"][0];
                let before =
                    |column: &str| if old[column].is_string() { text(&old[column]) } else { text(&row[column]) };
                *rebuilt.entry((before("v"), before("note"))).or_default() -= 1;
                *rebuilt.entry(after).or_default() += 1;
            }
            _ => *rebuilt.entry(after).or_default() += 1,
        }
    }
    rebuilt.retain(|_, count| *count != 0);
    let cell = |cell: &Option<Vec<u8>>| String::from_utf8(cell.clone().expect("not NULL")).expect("text");
    let source = root.rows(&format!("SELECT v, note, COUNT(*) FROM {schema}.t GROUP BY v, note"));
    let source: BTreeMap<(String, String), i64> =
        source.iter().map(|row| ((cell(&row[0]), cell(&row[1])), cell(&row[2]).parse().expect("a number"))).collect();
    assert_eq!(rebuilt, source);
}

/// A server without GTIDs does not tell what is executed: a window of some age has to do.
#[test]
fn a_server_without_gtids_is_copied_behind_windows_of_some_age() {
    let servers = own("nogtid", &["mysql97"]);
    let server = servers.mysql97();
    let mut root = Session::open(&server);
    for mode in ["ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"] {
        root.run(&format!("SET GLOBAL gtid_mode = {mode}"));
    }
    super::load::copied_under_load_with(&server, 7, 0, "settle = \"1s\"");
}

/// `relay snapshot` against a daemon: its exit code, and all it said.
fn relay_snapshot(daemon: &Daemon, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    let done = command.arg("snapshot").args(arguments).args(["--admin", &daemon.admin()]).output().expect("relay runs");
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    (done.status.code().expect("an exit code"), said.into_owned())
}

/// A table is copied when someone asks, again when it was before, and no longer when someone stops it. How fast it is
/// read changes on the way.
#[test]
fn tables_are_copied_one_by_one_on_demand() {
    let servers = shared(&["mysql97"]);
    let server = servers.mysql97();
    let schema = fresh("adhoc");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    for table in ["asked", "other"] {
        root.run(&format!("CREATE TABLE {schema}.{table} (id INT PRIMARY KEY)"));
        let values: Vec<String> = (0..60).map(|id| format!("({id})")).collect();
        root.run(&format!("INSERT INTO {schema}.{table} VALUES {}", values.join(", ")));
    }
    root.run(&format!("CREATE VIEW {schema}.v AS SELECT id FROM {schema}.asked"));
    let mut daemon = daemon(&server, &schema, "latest", "mode = \"adhoc\"\nchunk_rows = 5\nrps = 2");
    daemon.start();
    wait_until_copied(&daemon);
    let act = |act: &str, table: &str| relay_snapshot(&daemon, &[act, "--table", table]);
    let asked = format!("{schema}.asked");
    let state = || {
        let snapshot = daemon.json("/api/v1/snapshot");
        let tables = snapshot["tables"].as_array()?.clone();
        let view = tables.into_iter().find(|view| view["table"] == asked.as_str())?;
        Some((view["state"].as_str()?.to_owned(), view["rows"].as_u64()?))
    };
    let copied = || records(&daemon).iter().filter(|record| is_copied(record)).count();
    for (verb, table, reason) in [
        ("start", "nonsense", "write it as database.table"),
        ("start", "elsewhere.t", "not in source.tables"),
        ("start", &format!("{schema}.missing"), "has no table"),
        ("start", &format!("{schema}.v"), "is a view and no table"),
        ("stop", &asked, "is not being copied"),
    ] {
        let (code, said) = act(verb, table);
        assert!(code == 2 && said.contains(reason), "{verb} {table}: {code} {said}");
    }
    assert_eq!(act("start", &asked).0, 0);
    wait_until("it is being copied", PATIENCE, || state().filter(|(_, rows)| *rows >= 6));
    let (code, said) = act("start", &asked);
    assert!(code == 1 && said.contains("being copied already"), "{code} {said}");
    assert_eq!(act("stop", &asked).0, 0);
    wait_until("it is stopped", PATIENCE, || (state()?.0 == "stopped").then_some(()));
    let before = wait_until("what was copied is delivered", PATIENCE, || Some(copied()).filter(|rows| *rows >= 6));
    assert!(before < 60, "{before}");
    // Slow again, and freed on the way.
    assert_eq!(act("start", &asked).0, 0);
    wait_until("it is being copied", PATIENCE, || (state()?.0 == "copying").then_some(()));
    let config = std::fs::read_to_string(daemon.config()).expect("a config").replace("rps = 2", "rps = 0");
    std::fs::write(daemon.config(), config).expect("write the config");
    let (code, answer) = daemon.post("/api/v1/reload", "{}").expect("an answer");
    assert!(code == 200 && answer.contains("\"snapshot_limits\":true"), "{answer}");
    let (code, said) = relay_snapshot(&daemon, &["status", "--watch"]);
    assert!(code == 0 && said.contains("snapshot completed (mode adhoc): 1 of 1 tables, 60 of"), "{said}");
    assert_eq!(state(), Some(("done".to_owned(), 60)));
    wait_until_delivered(&daemon);
    let all = records(&daemon);
    assert!(all.iter().all(|record| record["table"] != "other"), "nobody asked for it");
    assert_eq!(rows(&all, "asked").len(), 60);
    let metrics = daemon.get("/metrics").expect("an answer").1;
    for (name, value) in [("relay_snapshot_rows{", " 60\n"), ("relay_snapshot_tables{", "state=\"done\"} 1\n")] {
        let found = metrics.split_inclusive('\n').any(|line| line.starts_with(name) && line.ends_with(value));
        assert!(found, "{name}...{value} is not in\n{metrics}");
    }
    assert!(daemon.stop().success());
}

/// A table that the account may stream but not read is refused by name, and holds up no other.
#[test]
fn a_table_without_the_right_to_read_it_is_named() {
    let servers = shared(&["mysql97"]);
    let server = servers.mysql97();
    let schema = fresh("denied");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    for table in ["open", "closed"] {
        root.run(&format!("CREATE TABLE {schema}.{table} (id INT PRIMARY KEY)"));
        root.run(&format!("INSERT INTO {schema}.{table} VALUES (1), (2)"));
    }
    let user = fresh("u");
    root.run(&format!("CREATE USER {user} IDENTIFIED BY 'relay'"));
    root.run(&format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}"));
    root.run(&format!("GRANT SELECT ON {schema}.open TO {user}"));
    root.run(&format!("GRANT INSERT ON {schema}.closed TO {user}"));
    let daemon_of = |snapshot: &str| {
        let daemon = Daemon::new("");
        let more = format!("[snapshot]\n{snapshot}");
        let extra = Extra { source: "start = \"latest\"", more: &more, ..Extra::default() };
        daemon.configure_to_file(&server.url(&user), &format!("{schema}.*"), extra);
        daemon
    };
    let mut daemon = daemon_of("mode = \"initial\"");
    let mut check = Command::new(env!("CARGO_BIN_EXE_relay"));
    check.args(["check", "--config"]).arg(daemon.config()).env("RELAY_SOURCE_PASSWORD", "relay");
    let done = check.output().expect("relay runs");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("snapshot.rows") && said.contains(&format!("may not read {schema}.closed")), "{said}");
    daemon.start();
    wait_until("the other table is delivered, and this one named", PATIENCE, || {
        let tables = daemon.json("/api/v1/snapshot")["tables"].clone();
        let closed = tables.as_array()?.iter().find(|table| table["table"] == format!("{schema}.closed"))?.clone();
        let named = closed["state"] == "failing" && closed["problem"].as_str()?.contains("denied");
        (named && rows(&records(&daemon), "open").len() == 2).then_some(())
    });
    let (code, said) = relay_snapshot(&daemon, &["status"]);
    assert!(code == 0 && said.contains("closed") && said.contains("failing"), "{said}");
    daemon.kill();
    let mut daemon = daemon_of("mode = \"adhoc\"");
    daemon.start();
    wait_until_copied(&daemon);
    let (code, said) = relay_snapshot(&daemon, &["start", "--table", &format!("{schema}.closed")]);
    assert!(code == 2 && said.contains("GRANT SELECT ON"), "{code} {said}");
    assert!(daemon.stop().success());
    root.run(&format!("DROP USER {user}"));
}
