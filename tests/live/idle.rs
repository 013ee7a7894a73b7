//! A source at rest: what the daemon says of it.

use std::time::Duration;

use serde_json::Value;

use crate::support::daemon::{Daemon, Extra};
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

/// What "within seconds" means here, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A daemon that captures one schema and writes it to a file, to be named `lines`.
fn daemon(server: &Database, schema: &str) -> Daemon {
    let daemon = Daemon::new("");
    let tables = format!("{schema}.*");
    daemon.configure_to_file(
        &server.url("relay"),
        &tables,
        Extra { delivery: "start = \"earliest\"", ..Extra::default() },
    );
    daemon
}

fn metric(daemon: &Daemon, name: &str) -> Option<f64> {
    let (_, text) = daemon.get("/metrics")?;
    let line = text.lines().find(|line| line.starts_with(name) && line.contains("lines"))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The cursor once everything is delivered and the source's end is confirmed.
#[track_caller]
fn at_rest(daemon: &Daemon, rows: usize) -> Value {
    wait_until("all is acked and lag is 0", SOON, || {
        let status = daemon.json("/api/v1/status");
        let cursor = status["cursors"][0].clone();
        let lines = std::fs::read_to_string(daemon.lines()).unwrap_or_default().lines().count();
        let zero = |key: &str| cursor[key].as_f64() == Some(0.0);
        let rest = lines >= rows && zero("lag_entries") && zero("lag_seconds");
        (rest && metric(daemon, "relay_lag_seconds") == Some(0.0)).then_some(cursor)
    })
}

#[test]
fn at_rest_all_is_acked_lag_is_zero_and_the_checkpoint_follows_what_is_not_selected() {
    let server = shared(&["mysql97"]).mysql97();
    let (schema, other) = (fresh("idle"), fresh("unselected"));
    let mut root = Session::open(&server);
    root.run_all(&[&format!("CREATE DATABASE {schema}"), &format!("CREATE DATABASE {other}")]);
    root.run_all(&[
        &format!("CREATE TABLE {schema}.t (id INT PRIMARY KEY)"),
        &format!("CREATE TABLE {other}.t (id INT PRIMARY KEY)"),
    ]);
    let mut daemon = daemon(&server, &schema);
    daemon.start();
    for id in 0..50 {
        root.run(&format!("INSERT INTO {schema}.t VALUES ({id})"));
    }
    let cursor = at_rest(&daemon, 50);

    for step in [format!("INSERT INTO {other}.t VALUES (1)"), "FLUSH BINARY LOGS".to_owned()] {
        root.run(&step);
        let row = root.rows("SHOW BINARY LOG STATUS").remove(0);
        let text = |i: usize| String::from_utf8(row[i].clone().expect("a value")).expect("text");
        let (file, offset, gtids) = (text(0), text(1), text(4).replace('\n', ""));
        wait_until(&step, SOON, || {
            let durable = daemon.json("/api/v1/status")["capture"]["durable"].clone();
            // Other tests write to this server too: at or behind the place is enough.
            let at = (durable["file"].as_str()?.to_owned(), durable["offset"].as_u64()?);
            (at >= (file.clone(), offset.parse().ok()?)
                && (durable["gtid"] == gtids.as_str() || at.0 > file || at.1 > offset.parse().ok()?))
            .then_some(())
        });
    }
    let after = at_rest(&daemon, 50);
    assert_eq!(after["acked_seq"], cursor["acked_seq"], "no entry came of it");
    assert!(daemon.stop().success());
}
