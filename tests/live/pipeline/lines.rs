//! A daemon that writes a random workload's changes to a file, and the comparison of that file with the source.

use std::path::PathBuf;
use std::time::Duration;

use super::columns::Flavour;
use super::replica::{Replica, replay_lines};
use super::workload::{VERSIONS_OF_A_WRITER, Writer};
use crate::support::daemon::Daemon;
use crate::support::log::{Contents, contents};
use crate::support::servers::Database;
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

/// A writer's number that stands for the last rows.
const LAST: u64 = 999;

/// One workload, from its schema to the file.
pub struct Lines {
    pub database: String,
    pub daemon: Daemon,
    server: Database,
    flavour: Flavour,
    path: PathBuf,
    barriers: u64,
}

impl Lines {
    /// A schema on the first server of the list, and a daemon that is to follow them. `more` stands under `[source]`.
    pub fn new(servers: &[Database], flavour: Flavour, name: &str, more: &str) -> Self {
        let database = fresh(name);
        let mut session = Session::open(&servers[0]);
        session.run(&format!("CREATE DATABASE `{database}` DEFAULT CHARACTER SET utf8mb4"));
        session.run(&format!("CREATE TABLE `{database}`.barrier (id BIGINT PRIMARY KEY, v BIGINT)"));
        let daemon = Daemon::new("");
        let path = daemon.dir().join("lines");
        let hosts: Vec<String> = servers.iter().map(|s| format!("127.0.0.1:{}", s.port)).collect();
        daemon.configure(&format!(
            r#"
name = "lines"
[source]
url = "mysql://relay@{hosts}"
server_id = {server_id}
tls = "disabled"
tables = ["{database}%.*"]
heartbeat_interval = "1s"
{more}
[log]
dir = "{{dir}}"
[admin]
listen = "{{admin}}"
[[delivery]]
name = "lines"
start = "earliest"
file = {{ path = "{path}" }}
"#,
            hosts = hosts.join(","),
            server_id = rand::random_range(100_000_000..200_000_000u32),
            path = path.display(),
        ));
        Self { database, daemon, server: servers[0].clone(), flavour, path, barriers: 0 }
    }

    /// Writers with tables of their own; `settings` begin each of their sessions.
    pub fn writers(&self, seed: u64, count: u64, settings: &[&str]) -> Vec<Writer> {
        (0..count)
            .map(|n| Writer::with_settings(&self.server, &self.database, self.flavour, seed, n, settings))
            .collect()
    }

    /// The source is another server from here on.
    pub fn move_to(&mut self, server: &Database) {
        self.server = server.clone();
    }

    /// All lines so far.
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap_or_default()
    }

    /// Commits a row and waits until it has arrived; everything before it has then.
    #[track_caller]
    pub fn barrier(&mut self) {
        self.barriers += 1;
        let version = LAST * VERSIONS_OF_A_WRITER + self.barriers;
        let mut session = Session::open(&self.server);
        session.run(&format!("INSERT INTO `{}`.barrier VALUES ({}, {version})", self.database, self.barriers));
        let version = format!("\"v\":\"{version}\"");
        let output = || self.daemon.output();
        let deadline = std::time::Instant::now() + Duration::from_secs(90);
        wait_until("the barrier's row arrives", Duration::from_secs(100), || {
            assert!(std::time::Instant::now() < deadline, "the last row did not arrive:\n{}", output());
            self.text().contains(&version).then_some(())
        });
    }

    /// Stops the daemon and compares what it wrote with the source, row by row; gives both and the log's contents.
    #[track_caller]
    pub fn check(&mut self, writers: &[Writer]) -> (Replica, Contents) {
        self.barrier();
        assert!(self.daemon.stop().success(), "a clean end:\n{}", self.daemon.output());
        let replica = replay_lines(&self.text());
        let mut session = Session::open(&self.server);
        session.run(&format!("USE `{}`", self.database));
        for writer in writers {
            let lost: Vec<_> = writer.done.versions.iter().filter(|v| !replica.versions.contains(v)).collect();
            assert!(lost.is_empty(), "{} committed changes never arrived, the first is {}", lost.len(), lost[0]);
            for table in writer.tables.values() {
                replica.compare(&mut session, table);
            }
        }
        let contents = contents(&self.daemon.log_dir());
        contents.assert_each_once();
        let changes: u64 = writers.iter().map(|w| w.done.changes).sum();
        println!("{}: {changes} changes committed, {} lines, none lost or repeated", self.database, replica.records);
        (replica, contents)
    }
}
