//! How far behind the daemon says that it is while the source never pauses.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::beside::{Going, beside};
use crate::support::daemon::{Daemon, Extra};
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

/// How long the source is written to: longer than it beats when it is idle, so that no heartbeat helps.
const BUSY: Duration = Duration::from_secs(8);
/// Times in the binlog of an older server have whole seconds.
const LAG_MAX: f64 = 3.0;
const SOON: Duration = Duration::from_secs(60);

fn daemon(server: &Database, schema: &str) -> Daemon {
    let daemon = Daemon::new("");
    let tables = format!("{schema}.*");
    daemon.configure_to_file(&server.url("relay"), &tables, Extra::default());
    daemon
}

/// Runs `work` while the statement runs over and over on the server.
fn while_busy(server: &Database, sql: &str, work: impl FnOnce()) {
    let busy = |going: &Going| {
        let mut root = Session::open(server);
        while going.on() {
            root.run(sql);
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    beside([busy], work);
}

fn cursor(daemon: &Daemon) -> Value {
    daemon.json("/api/v1/status")["cursors"][0].clone()
}

fn metric(daemon: &Daemon, name: &str) -> Option<f64> {
    let (_, text) = daemon.get("/metrics")?;
    text.lines().find(|line| line.starts_with(name))?.rsplit(' ').next()?.parse().ok()
}

/// The counter in the row that the writer raises, as far as the checkpoint has followed: its GTIDs.
fn durable_gtids(daemon: &Daemon) -> String {
    daemon.json("/api/v1/status")["capture"]["durable"]["gtid"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn writes_that_are_not_selected_and_never_pause_leave_no_lag_and_move_the_checkpoint() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for server in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let (schema, other) = (fresh("lag"), fresh("busy"));
        let mut root = Session::open(&server);
        root.run_all(&[
            &format!("CREATE DATABASE {schema}"),
            &format!("CREATE DATABASE {other}"),
            &format!("CREATE TABLE {schema}.t (id INT PRIMARY KEY)"),
            &format!("CREATE TABLE {other}.t (id INT PRIMARY KEY, n INT)"),
            &format!("INSERT INTO {other}.t VALUES (1, 0)"),
        ]);
        let mut daemon = daemon(&server, &schema);
        while_busy(&server, &format!("UPDATE {other}.t SET n = n + 1"), || {
            daemon.start();
            root.run(&format!("INSERT INTO {schema}.t VALUES (1)"));
            wait_until("the row is delivered", SOON, || (cursor(&daemon)["lag_entries"] == 0).then_some(()));
            let begun = Instant::now();
            let mut checkpoint = durable_gtids(&daemon);
            while begun.elapsed() < BUSY {
                std::thread::sleep(Duration::from_millis(500));
                let lag = cursor(&daemon)["lag_seconds"].as_f64().expect("a number");
                assert!(lag < LAG_MAX, "{}: {lag} s after {:?}", server.name, begun.elapsed());
                let shown = metric(&daemon, "relay_lag_seconds").expect("a metric");
                assert!(shown < LAG_MAX, "{}: {shown} s", server.name);
                wait_until("the checkpoint follows", SOON, || {
                    let now = durable_gtids(&daemon);
                    (now != checkpoint).then(|| checkpoint = now)
                });
            }
        });
        let samples = metric(&daemon, "relay_capture_commit_latency_seconds_count").expect("a histogram");
        assert!(samples >= 1.0, "{}: the row's commit was measured", server.name);
        assert!(daemon.stop().success());
    }
}
