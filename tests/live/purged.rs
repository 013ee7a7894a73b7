//! A source that purged, lost or began anew what the log needs, found before the start: the exit code, the sentence,
//! and what the log holds delivered all the same. Each test has servers of its own.

use std::time::Duration;

use relay_store::ReadOnlyLog;

use crate::support::daemon::{Daemon, Extra};
use crate::support::servers::{Database, own};
use crate::support::sql::Session;
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);
/// The exit code of a source that cannot continue the log.
const SOURCE: i32 = 5;
const ROWS: usize = 40;

/// Writes the config of a daemon that captures one schema for a file named `lines`.
fn configure(daemon: &Daemon, server: &Database, resume: &str, paused: bool) {
    let source = format!("resume = \"{resume}\"");
    let delivery = format!("paused = {paused}");
    let extra = Extra { source: &source, delivery: &delivery, ..Extra::default() };
    daemon.configure_to_file(&server.url("relay"), "shop.*", extra);
}

fn lines(daemon: &Daemon) -> usize {
    std::fs::read_to_string(daemon.lines()).unwrap_or_default().lines().count()
}

/// `relay check` on the daemon's config: its exit code and what it printed.
fn check(daemon: &Daemon) -> (Option<i32>, String) {
    let check = std::process::Command::new(env!("CARGO_BIN_EXE_relay"))
        .args(["check", "--accept-warnings", "--config"])
        .arg(daemon.config())
        .env("RELAY_SOURCE_PASSWORD", "relay")
        .output()
        .expect("relay check runs");
    (check.status.code(), String::from_utf8_lossy(&check.stdout).into_owned())
}

/// A stopped daemon whose log holds rows that nobody was given.
fn undelivered(server: &Database, resume: &str) -> Daemon {
    let mut root = Session::open(server);
    root.run_all(&["CREATE DATABASE IF NOT EXISTS shop", "CREATE TABLE IF NOT EXISTS shop.t (id INT)"]);
    let mut daemon = Daemon::new("");
    configure(&daemon, server, resume, true);
    daemon.start();
    for id in 0..ROWS {
        root.run(&format!("INSERT INTO shop.t VALUES ({id})"));
    }
    let end = root.rows("SHOW BINARY LOG STATUS").remove(0);
    wait_until("all of it is in the log", PATIENCE, || {
        let durable = daemon.json("/api/v1/status")["capture"]["durable"]["offset"].as_u64()?;
        let position: u64 = String::from_utf8(end[1].clone()?).ok()?.parse().ok()?;
        (durable >= position).then_some(())
    });
    // Beside a running relay, and on its log once it has stopped: both know whether it can go on.
    let (code, said) = check(&daemon);
    assert!(code == Some(0) && said.contains("as the running relay says: the log can go on"), "{said}");
    assert!(daemon.stop().success());
    let (code, said) = check(&daemon);
    assert!(code == Some(0) && said.contains("the log can go on") && !said.contains("running relay"), "{said}");
    assert_eq!(lines(&daemon), 0);
    configure(&daemon, server, resume, false);
    daemon
}

/// Purges every binlog but the last; one in which a reader is stays until he is gone.
fn purge(root: &mut Session) {
    wait_until("the files are purged", PATIENCE, || {
        let last = root.rows("SHOW BINARY LOGS").last().and_then(|row| row[0].clone()).expect("a file");
        root.run(&format!("PURGE BINARY LOGS TO '{}'", String::from_utf8(last).expect("text")));
        (root.rows("SHOW BINARY LOGS").len() == 1).then_some(())
    });
}

/// Starts the daemon, which must end by itself: with the source's exit code, one sentence that names all of `named`,
/// what the log holds delivered, and the log as it was.
#[track_caller]
fn refused(daemon: &mut Daemon, named: &[&str]) {
    let dir = daemon.log_dir();
    let end = || ReadOnlyLog::open(&dir).expect("a log").positions();
    let before = end();
    let (code, said) = check(daemon);
    assert_eq!(code, Some(SOURCE), "{said}");

    daemon.launch();
    let status = daemon.wait();
    let output = daemon.output();
    assert_eq!(status.code(), Some(SOURCE), "{output}");
    let last = output.lines().last().unwrap_or_default();
    for part in named {
        assert!(last.contains(part), "{last:?} does not name {part:?}");
    }
    assert_eq!(lines(daemon), ROWS, "what the log holds is delivered");
    assert_eq!(end(), before, "the log is as it was");
}

#[test]
fn binlogs_purged_while_the_relay_was_stopped_end_its_start_with_the_sources_exit_code() {
    let servers = own("purged", &["mysql97"]);
    let server = servers.mysql97();
    let mut root = Session::open(&server);

    let mut daemon = undelivered(&server, "auto");
    let had = root.text("SELECT @@GLOBAL.gtid_executed");
    root.run("INSERT INTO shop.t VALUES (1000)");
    let missing = root.text(&format!("SELECT GTID_SUBTRACT(@@GLOBAL.gtid_executed, '{had}')"));
    root.run_all(&["FLUSH BINARY LOGS", "INSERT INTO shop.t VALUES (1001)"]);
    purge(&mut root);
    refused(&mut daemon, &["relay: precheck: binlog.files: the server has purged", &missing, "point source.url at"]);

    let mut daemon = undelivered(&server, "file");
    let file = root.text("SHOW BINARY LOG STATUS");
    root.run_all(&["INSERT INTO shop.t VALUES (1002)", "FLUSH BINARY LOGS"]);
    purge(&mut root);
    refused(&mut daemon, &["binlog.files: binlog", &file, "is gone", "move log.dir away"]);
}
