//! The relay's own heartbeat table, and what other tools write to keep a binlog moving: none of it is ever forwarded, and
//! lag stays true.

use std::time::Duration;

use serde_json::Value;

use crate::support::daemon::{Daemon, Extra};
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

fn capture(daemon: &Daemon) -> Value {
    daemon.json("/api/v1/status")["capture"].clone()
}

fn visible_seq(daemon: &Daemon) -> u64 {
    daemon.json("/api/v1/status")["log"]["visible_seq"].as_u64().expect("a seq")
}

fn lines(daemon: &Daemon) -> Vec<Value> {
    let text = std::fs::read_to_string(daemon.lines()).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("whole lines")).collect()
}

/// A daemon that captures these patterns; `source` are further lines of its section.
fn start(server: &Database, tables: &[String], source: &str) -> Daemon {
    let mut daemon = Daemon::new("");
    let extra = Extra { source, ..Extra::default() };
    daemon.configure_to_file(&server.url("relay"), &tables.join("\", \""), extra);
    daemon.start();
    daemon
}

#[test]
fn the_heartbeat_table_is_made_written_every_second_and_never_forwarded() {
    let servers = shared(&["mysql97", "mariadb"]);
    for server in [servers.mysql97(), servers.mariadb()] {
        let (schema, beats) = (fresh("beaten"), fresh("beats"));
        let mut root = Session::open(&server);
        root.run_all(&[&format!("CREATE DATABASE {schema}"), &format!("CREATE TABLE {schema}.t (id INT PRIMARY KEY)")]);
        let source = format!("heartbeat_table = \"{beats}.beat\"");
        let mut daemon = start(&server, &[format!("{schema}.*"), format!("{beats}.*")], &source);

        // Without the rights it says what it lacks, and captures all the same.
        let refused = wait_until("a reason", PATIENCE, || {
            let heartbeat = capture(&daemon)["heartbeat"].clone();
            heartbeat["problem"].is_string().then_some(heartbeat)
        });
        let step = refused["next_step"].as_str().expect("a next step");
        assert!(step.contains("GRANT") && step.contains(&beats), "{}: {refused}", server.name);
        root.run(&format!("INSERT INTO {schema}.t VALUES (1)"));
        wait_until("a row without heartbeats", PATIENCE, || (lines(&daemon).len() == 1).then_some(()));

        root.run(&format!("GRANT CREATE, INSERT, DELETE, SELECT ON {beats}.* TO relay"));
        wait_until("the first heartbeat", PATIENCE, || capture(&daemon)["heartbeat"]["last_ms"].as_i64());
        assert!(capture(&daemon)["heartbeat"]["problem"].is_null());
        let (seq, beat) = (visible_seq(&daemon), format!("SELECT beat_ms FROM {beats}.beat WHERE relay = 'live'"));
        let first: i64 = root.text(&beat).parse().expect("a time");
        wait_until("further heartbeats", PATIENCE, || {
            let now: i64 = root.text(&beat).parse().expect("a time");
            (now >= first + 3_000).then_some(())
        });
        assert_eq!(root.text(&format!("SELECT COUNT(*) FROM {beats}.beat")), "1");
        assert_eq!(visible_seq(&daemon), seq, "{}: no entry comes of it", server.name);
        let status = daemon.json("/api/v1/status");
        assert!(status["cursors"][0]["lag_seconds"].as_f64() < Some(3.0), "{status}");

        // Beside it in one transaction, what is selected comes.
        root.run_all(&[
            "BEGIN",
            &format!("INSERT INTO {schema}.t VALUES (2)"),
            &format!("REPLACE INTO {beats}.beat VALUES ('someone', 1)"),
            &format!("INSERT INTO {schema}.t VALUES (3)"),
            "COMMIT",
        ]);
        wait_until("the rows", PATIENCE, || (lines(&daemon).len() >= 3).then_some(()));
        assert!(daemon.stop().success());
        let seen: Vec<_> = lines(&daemon).iter().map(|l| (l["table"].clone(), l["data"][0]["id"].clone())).collect();
        let row = |id: &str| (Value::from("t"), Value::from(id));
        assert_eq!(seen, [row("1"), row("2"), row("3")], "{}", server.name);
        root.run(&format!("REVOKE CREATE, INSERT, DELETE, SELECT ON {beats}.* FROM relay"));
    }
}

#[test]
fn heartbeats_of_other_tools_stay_out_of_the_log_unless_that_is_switched_off() {
    let servers = shared(&["mysql97", "mariadb"]);
    for server in [servers.mysql97(), servers.mariadb()] {
        let schema = fresh("foreign");
        let mut root = Session::open(&server);
        root.run_all(&[
            "DROP DATABASE IF EXISTS dts",
            "CREATE DATABASE IF NOT EXISTS test",
            &format!("CREATE DATABASE {schema}"),
        ]);
        root.run_all(&[
            "DROP TABLE IF EXISTS test.heartbeat",
            &format!("CREATE TABLE {schema}.t (id INT PRIMARY KEY)"),
        ]);
        let tables = [format!("{schema}.*"), "test.heart*".to_owned(), "dt?.*".to_owned()];
        let mut ignoring = start(&server, &tables, "");
        let mut taking = start(&server, &tables, "ignore_foreign_heartbeats = false");
        let foreign = format!("{schema}.`_##dts_mysql_heartbeat##_`");
        root.run_all(&[
            "CREATE DATABASE IF NOT EXISTS test",
            "CREATE DATABASE IF NOT EXISTS dts",
            "CREATE TABLE dts.beat (id INT PRIMARY KEY)",
            "CREATE TABLE test.heartbeat (id INT PRIMARY KEY)",
            &format!("CREATE TABLE {foreign} (id INT PRIMARY KEY)"),
            "INSERT INTO dts.beat VALUES (1)",
            "INSERT INTO test.heartbeat VALUES (1)",
            &format!("INSERT INTO {foreign} VALUES (1)"),
            &format!("INSERT INTO {schema}.t VALUES (1)"),
        ]);
        let has_row =
            |daemon: &Daemon| lines(daemon).iter().any(|line| line["table"] == "t" && line["type"] == "INSERT");
        wait_until("the row", PATIENCE, || (has_row(&ignoring) && has_row(&taking)).then_some(()));
        let inserted = |daemon: &Daemon| {
            let rows = lines(daemon).into_iter().filter(|line| line["type"] == "INSERT");
            rows.map(|line| line["table"].as_str().expect("a table").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(inserted(&taking), ["beat", "heartbeat", "_##dts_mysql_heartbeat##_", "t"], "{}", server.name);
        assert_eq!(inserted(&ignoring), ["t"], "{}", server.name);
        assert_eq!(lines(&ignoring).len(), 1, "{}: no statement either: {:?}", server.name, lines(&ignoring));
        assert!(ignoring.stop().success() && taking.stop().success());
        root.run_all(&["DROP DATABASE dts", "DROP TABLE test.heartbeat"]);
    }
}
