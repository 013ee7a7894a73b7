//! Into tables of the stand-in for MaxCompute, from a real server, while requests and answers are lost, sessions vanish and
//! the relay is killed: every change is there once, as the source made it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use relay::format::maxcompute::datum::Datum;

use crate::support::daemon::Daemon;
use crate::support::maxcompute::auth::{ACCESS_ID, ACCESS_KEY};
use crate::support::maxcompute::{Fault, FaultKind, PROJECT, StandIn};
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, seed, wait_until};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// Rows that are there before the stream.
const OLD: i64 = 300;
/// Statements of the load.
const STATEMENTS: usize = 240;
const KILLS: u32 = 3;

/// A row of the log table: flag, whether it is after the change, and the values.
type LogRow = (String, bool, [Option<String>; 4]);

/// Statements one after the other, and what they make of the log table.
struct Load {
    random: StdRng,
    rows: std::collections::BTreeMap<i64, [Option<String>; 4]>,
    has_extra: bool,
    expected: Vec<LogRow>,
}

impl Load {
    fn statement(&mut self, number: usize) -> String {
        if number == STATEMENTS / 2 {
            self.has_extra = true;
            return "ALTER TABLE t ADD COLUMN extra INT NULL AFTER id".to_owned();
        }
        let id = self.random.random_range(0..40);
        let old = self.rows.get(&id).cloned();
        match (old, self.random.random_range(0..4)) {
            (Some(old), 0) => {
                self.rows.remove(&id);
                self.expected.push(("D".to_owned(), false, old));
                format!("DELETE FROM t WHERE id = {id}")
            }
            (Some(old), 1) => {
                let other = 1000 + number;
                let mut new = old.clone();
                new[0] = Some(other.to_string());
                self.rows.remove(&id);
                self.update(old, new);
                format!("UPDATE t SET id = {other} WHERE id = {id}")
            }
            (Some(old), _) => {
                let mut new = old.clone();
                new[1] = Some(number.to_string());
                self.rows.insert(id, new.clone());
                self.update(old, new);
                format!("UPDATE t SET v = {number} WHERE id = {id}")
            }
            (None, _) => {
                let note = (!number.is_multiple_of(3)).then(|| format!("été {number}"));
                let text = note.as_ref().map_or("NULL".to_owned(), |note| format!("'{note}'"));
                let extra = self.has_extra.then(|| number.to_string());
                let row = [Some(id.to_string()), Some(number.to_string()), note, extra.clone()];
                self.rows.insert(id, row.clone());
                self.expected.push(("I".to_owned(), true, row));
                match extra {
                    Some(extra) => {
                        format!("INSERT INTO t (id, v, note, extra) VALUES ({id}, {number}, {text}, {extra})")
                    }
                    None => format!("INSERT INTO t (id, v, note) VALUES ({id}, {number}, {text})"),
                }
            }
        }
    }

    fn update(&mut self, old: [Option<String>; 4], new: [Option<String>; 4]) {
        self.expected.push(("U".to_owned(), false, old));
        self.expected.push(("U".to_owned(), true, new));
    }
}

/// Sets the flag when it goes, also when the test fails: nothing goes on in the background.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn configure(daemon: &Daemon, server: &Database, service: &StandIn, schema: &str) {
    let key = daemon.dir().join("key");
    std::fs::write(&key, ACCESS_KEY).expect("a file");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
    daemon.configure(&format!(
        r#"
name = "live"
[source]
url = "{source}"
server_id = {server_id}
tls = "disabled"
tables = ["{schema}.*"]
[log]
dir = "{{dir}}"
[snapshot]
mode = "initial"
[admin]
listen = "{{admin}}"
[[delivery]]
name = "warehouse"
[delivery.maxcompute]
endpoint = "{endpoint}"
project = "{PROJECT}"
access_id = "{ACCESS_ID}"
access_key_file = "{key}"
flush_interval = "1s"
naming = "previous"
partitions = ["year", "month", "day", "hour", "minute"]
"#,
        source = server.url("relay"),
        server_id = daemon.server_id(),
        endpoint = service.endpoint(),
        key = key.display(),
    ));
}

/// What goes wrong now and then until it is told to stop.
fn misbehave(service: &StandIn, seed: u64, stop: &AtomicBool) {
    let mut random = StdRng::seed_from_u64(seed);
    let fault = |method, about, kind| Fault { method, about, after: 0, kind };
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(random.random_range(100..400)));
        let fault = match random.random_range(0..9) {
            0 => fault("POST", "uploadid", FaultKind::LoseAnswer),
            1 => fault("POST", "uploadid", FaultKind::LoseRequest),
            2 => fault("POST", "uploadid", FaultKind::Late(Duration::from_millis(500))),
            3 => fault("POST", "uploadid", FaultKind::DoneButRefuse(500, "InternalServerError")),
            4 => fault("PUT", "blockid", FaultKind::LoseAnswer),
            5 => fault("GET", "uploadid", FaultKind::Refuse(503, "ServiceUnavailable")),
            6 => fault("POST", "uploads", FaultKind::LoseAnswer),
            // Sessions vanish: those that are committed, whose answers may be under way, or those that are not.
            kind => {
                let status = if kind == 7 { "CLOSED" } else { "NORMAL" };
                let mut state = service.state();
                if kind == 7 {
                    // Whoever commits next hears nothing, and finds nobody to ask.
                    state.faults.push(fault("GET", "uploadid", FaultKind::Refuse(404, "NoSuchUpload")));
                    state.faults.push(fault("POST", "uploadid", FaultKind::LoseAnswer));
                }
                state.uploads.retain(|_, upload| upload.status != status);
                continue;
            }
        };
        let mut state = service.state();
        if state.faults.len() < 3 {
            state.faults.push(fault);
        }
    }
    service.state().faults.clear();
}

fn text(value: &Option<Datum>) -> Option<String> {
    match value.as_ref()? {
        Datum::Integer(number) => Some(number.to_string()),
        Datum::Bytes(bytes) => Some(String::from_utf8(bytes.clone()).expect("text")),
        other => panic!("{other:?}"),
    }
}

/// The rows of a table with these columns, as text.
fn rows(service: &StandIn, table: &str, columns: &[&str]) -> Vec<Vec<Option<String>>> {
    let state = service.state();
    let Some((_, table)) = state.tables.iter().find(|(_, found)| found.name == table) else { return Vec::new() };
    let names = table.names();
    // A column that is not there yet is NULL.
    let places: Vec<Option<usize>> =
        columns.iter().map(|column| names.iter().position(|name| name == column)).collect();
    table.rows().map(|row| places.iter().map(|place| text(&row[(*place)?])).collect()).collect()
}

/// The log table's rows as the merge reads them: by record id, before the row as it became.
fn log(service: &StandIn) -> Vec<(i64, LogRow)> {
    let columns =
        ["record_id", "operation_flag", "before_flag", "after_flag", "utc_timestamp", "id", "v", "note", "extra"];
    let mut rows: Vec<_> = rows(service, "t_log", &columns)
        .into_iter()
        .map(|row| {
            let [id, flag, before, after, second, rest @ ..] = &row[..] else { panic!("{row:?}") };
            assert_ne!(before, after);
            assert!(second.as_ref().is_some_and(|second| second.len() == 10), "{second:?}");
            let number = id.as_ref().and_then(|id| id.parse().ok()).expect("a number");
            let values: [Option<String>; 4] = rest.to_vec().try_into().expect("four values");
            (number, (flag.clone().expect("a flag"), after.as_deref() == Some("Y"), values))
        })
        .collect();
    rows.sort_by_key(|(id, (_, is_after, _))| (*id, *is_after));
    rows
}

fn wait_until_delivered(daemon: &Daemon) {
    wait_until("all of it is delivered", PATIENCE, || {
        let status = daemon.json("/api/v1/status");
        let cursor = &status["cursors"][0];
        (cursor["acked_seq"].is_u64() && cursor["acked_seq"] == status["log"]["visible_seq"]).then_some(())
    });
}

#[test]
fn every_change_is_in_its_table_once_whatever_fails() {
    let seed = seed("every_change_is_in_its_table_once_whatever_fails");
    let server = shared(&["mysql97"]).mysql97();
    let schema = fresh("maxcompute");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run_all(&[
        &format!("USE {schema}"),
        "CREATE TABLE old (id INT PRIMARY KEY, v VARCHAR(20))",
        &format!(
            "INSERT INTO old WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < {OLD}) \
             SELECT n, CONCAT('old ', n) FROM r"
        ),
        "CREATE TABLE t (id INT PRIMARY KEY, v BIGINT UNSIGNED, note VARCHAR(40) CHARACTER SET utf8mb4)",
    ]);
    let service = StandIn::start(false);
    let mut daemon = Daemon::new("");
    configure(&daemon, &server, &service, &schema);
    daemon.start();
    wait_until("every table is copied", PATIENCE, || {
        (daemon.json("/api/v1/status")["snapshot"]["state"] == "completed").then_some(())
    });
    let random = StdRng::seed_from_u64(seed);
    let mut load = Load { random, rows: Default::default(), has_extra: false, expected: Vec::new() };
    let (stop, mut moments) = (AtomicBool::new(false), StdRng::seed_from_u64(seed ^ 1));
    std::thread::scope(|scope| {
        let guard = StopAtEnd(&stop);
        scope.spawn(|| misbehave(&service, seed, &stop));
        let (root, load) = (&mut root, &mut load);
        for number in 0..STATEMENTS {
            root.run(&load.statement(number));
            std::thread::sleep(Duration::from_millis(10));
            if number % (STATEMENTS / KILLS as usize) == STATEMENTS / KILLS as usize - 1 {
                std::thread::sleep(Duration::from_millis(moments.random_range(200..1500)));
                daemon.kill();
                daemon.start();
            }
        }
        drop(guard);
    });
    wait_until_delivered(&daemon);
    let log = log(&service);
    let different = log.iter().map(|(_, row)| row).zip(&load.expected).position(|(one, other)| one != other);
    assert_eq!(
        different,
        None,
        "of {} rows, {} expected: {:#?}",
        log.len(),
        load.expected.len(),
        &log[different.unwrap_or(0)..]
    );
    assert_eq!(log.len(), load.expected.len(), "seed {seed}");
    let mut old = rows(&service, "old_base", &["id", "v"]);
    old.sort_by_key(|row| row[0].as_ref().and_then(|id| id.parse::<i64>().ok()));
    let expected: Vec<_> = (1..=OLD).map(|id| vec![Some(id.to_string()), Some(format!("old {id}"))]).collect();
    assert!(old == expected, "{} rows of {OLD} in the base table", old.len());
    // The last life may have had nothing to write.
    wait_until("status says that nothing is being written", PATIENCE, || {
        (daemon.json("/api/v1/cursors/warehouse")["table_units"]["units"] == 0).then_some(())
    });
    let sessions = service.state().uploads.len();
    assert!(daemon.stop().success());
    println!("{} rows in the log table, {sessions} sessions left", log.len());
}

#[test]
fn a_table_of_another_shape_parks_alone() {
    let server = shared(&["mysql97"]).mysql97();
    let schema = fresh("maxcompute");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run_all(&[
        &format!("USE {schema}"),
        "CREATE TABLE a (id INT PRIMARY KEY)",
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(40))",
    ]);
    let service = StandIn::start(false);
    let sql = "CREATE TABLE a_log (record_id BIGINT, id BIGINT) PARTITIONED BY (day STRING)";
    service.client().run_sql(sql, "a", PATIENCE).expect("a table");
    let mut daemon = Daemon::new("");
    configure(&daemon, &server, &service, &schema);
    daemon.start();
    wait_until("every table is copied", PATIENCE, || {
        (daemon.json("/api/v1/status")["snapshot"]["state"] == "completed").then_some(())
    });
    root.run_all(&["INSERT INTO a VALUES (1)", "INSERT INTO t VALUES (1, 'one')", "INSERT INTO a VALUES (2)"]);
    wait_until("the other table's row is there", PATIENCE, || (log(&service).len() == 1).then_some(()));
    let parked = wait_until("the table is parked", PATIENCE, || {
        let cursor = daemon.json("/api/v1/cursors/warehouse");
        cursor["parked"][0]["reason"].as_str().map(str::to_owned)
    });
    assert!(
        parked.contains("the table a_log has the partitions day, the settings ask for modifytime_year"),
        "{parked}"
    );
    service.client().run_sql("DROP TABLE a_log", "b", PATIENCE).expect("it is gone");
    let (status, answer) =
        daemon.post("/api/v1/cursors/warehouse/release", &format!(r#"{{"table":"{schema}.a"}}"#)).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    wait_until("its rows are there", PATIENCE, || (rows(&service, "a_log", &["id"]).len() == 2).then_some(()));
    wait_until_delivered(&daemon);
    assert_eq!(rows(&service, "a_log", &["id"]).len(), 2);
    let cursor = daemon.json("/api/v1/cursors/warehouse");
    assert!(cursor["table_units"]["last_commit_ms"].is_i64(), "{cursor}");
    assert!(daemon.stop().success());
}
