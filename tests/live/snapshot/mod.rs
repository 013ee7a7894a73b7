//! Rows that were there before the stream: copied beside it, without a lock, as one history with it.

mod kafka;
mod load;
mod tables;
mod values;

use std::time::Duration;

use serde_json::Value;

use crate::support::daemon::{Daemon, Extra};
use crate::support::servers::Database;
use crate::support::sql::Session;
use crate::support::wait_until;

/// How long a copy may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A daemon that copies the tables of a schema into its file of lines.
fn daemon(server: &Database, schema: &str, start: &str, snapshot: &str) -> Daemon {
    let daemon = Daemon::new("");
    let source = format!("start = \"{start}\"");
    let more = format!("[snapshot]\n{snapshot}");
    let extra = Extra { source: &source, more: &more, ..Extra::default() };
    daemon.configure_to_file(&server.url("relay"), &format!("{schema}.*"), extra);
    daemon
}

/// Where the binlog ends now, as an address to begin at.
fn end(root: &mut Session, server: &Database) -> String {
    let status = if server.name == "mysql97" { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    let row = root.rows(status).remove(0);
    let text = |i: usize| String::from_utf8(row[i].clone().expect("a value")).expect("text");
    format!("file:{}:{}", text(0), text(1))
}

/// The records in the file, whole lines only.
fn records(daemon: &Daemon) -> Vec<Value> {
    let text = std::fs::read_to_string(daemon.lines()).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Whether a record is a row that was read from its table.
fn is_copied(record: &Value) -> bool {
    record["type"] == "INSERT" && record["gtid"] == ""
}

/// What status says of the copy.
fn progress(daemon: &Daemon) -> Value {
    daemon.json("/api/v1/status")["snapshot"].clone()
}

/// Waits until every table is copied.
#[track_caller]
fn wait_until_copied(daemon: &Daemon) {
    let copied = || (progress(daemon)["state"] == "completed").then_some(());
    wait_until("every table is copied", PATIENCE, copied);
}

/// Waits until all that the log holds is delivered.
#[track_caller]
fn wait_until_delivered(daemon: &Daemon) {
    wait_until("all of it is delivered", PATIENCE, || {
        let status = daemon.json("/api/v1/status");
        let cursor = &status["cursors"][0];
        (cursor["acked_seq"].is_u64() && cursor["acked_seq"] == status["log"]["visible_seq"]).then_some(())
    });
}
