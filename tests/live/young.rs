//! A log that begins where the settings say, killed in its first moments: it begins there all the same.

use std::time::Duration;

use crate::support::daemon::{Daemon, Extra};
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

fn daemon(server: &Database, schema: &str, start: &str) -> Daemon {
    let daemon = Daemon::new("");
    let source = format!("start = \"{start}\"");
    daemon.configure_to_file(
        &server.url("relay"),
        &format!("{schema}.*"),
        Extra { source: &source, ..Extra::default() },
    );
    daemon
}

/// The ids of the rows delivered so far, in order, each as often as it came.
fn ids(daemon: &Daemon) -> Vec<u32> {
    let text = std::fs::read_to_string(daemon.lines()).unwrap_or_default();
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("whole lines"));
    rows.filter(|row| row["type"] == "INSERT")
        .map(|row| row["data"][0]["id"].as_str().expect("an id").parse().expect("a number"))
        .collect()
}

/// Where the binlog ends now, as each kind of address that a log may begin at.
fn places(root: &mut Session, server: &Database) -> Vec<String> {
    let status = if server.name == "mysql97" { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
    let row = root.rows(status).remove(0);
    let text = |i: usize| String::from_utf8(row[i].clone().expect("a value")).expect("text");
    let gtids = match server.name {
        "mariadb" => root.text("SELECT @@gtid_binlog_pos"),
        _ => root.text("SELECT @@GLOBAL.gtid_executed").replace('\n', ""),
    };
    let time = root.text("SELECT DATE_FORMAT(UTC_TIMESTAMP() + INTERVAL 2 SECOND, '%Y-%m-%dT%H:%i:%sZ')");
    vec![format!("file:{}:{}", text(0), text(1)), format!("gtid:{gtids}"), format!("time:{time}")]
}

#[test]
fn a_log_begins_where_it_was_told_however_early_it_is_killed() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for server in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let schema = fresh("young");
        let mut root = Session::open(&server);
        root.run(&format!("CREATE DATABASE {schema}"));
        root.run(&format!("CREATE TABLE {schema}.t (id INT PRIMARY KEY)"));
        let insert = |root: &mut Session, id: u32| root.run(&format!("INSERT INTO {schema}.t VALUES ({id})"));
        (1..=3).for_each(|id| insert(&mut root, id));
        let places = places(&mut root, &server);
        std::thread::sleep(Duration::from_millis(3100)); // the time of an older server has whole seconds, and so has that of the table
        (4..=6).for_each(|id| insert(&mut root, id));
        for (at, place) in places.iter().enumerate() {
            let mut daemon = daemon(&server, &schema, place);
            daemon.launch();
            // In its first moments, later each time.
            std::thread::sleep(Duration::from_millis(50 * (at as u64 + 1)));
            daemon.kill();
            daemon.start();
            daemon.kill();
            let last = 7 + at as u32;
            insert(&mut root, last);
            daemon.start();
            let wanted: Vec<u32> = (4..=last).collect();
            wait_until("all of it is delivered", PATIENCE, || {
                let mut ids = ids(&daemon);
                ids.dedup();
                (ids.last() == Some(&last)).then_some(())
            });
            let mut came = ids(&daemon);
            came.sort_unstable();
            came.dedup();
            assert_eq!(came, wanted, "{}: from {place} on", server.name);
            assert!(daemon.stop().success());
        }
    }
}

#[test]
fn a_log_that_began_at_the_sources_end_begins_nowhere_later_after_a_kill() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for server in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let schema = fresh("latest");
        let mut root = Session::open(&server);
        root.run(&format!("CREATE DATABASE {schema}"));
        root.run(&format!("CREATE TABLE {schema}.t (id INT PRIMARY KEY)"));
        let mut daemon = daemon(&server, &schema, "latest");
        daemon.start();
        daemon.kill();
        root.run(&format!("INSERT INTO {schema}.t VALUES (1)"));
        daemon.start();
        wait_until("what came meanwhile is delivered", PATIENCE, || (ids(&daemon) == [1]).then_some(()));
        assert!(daemon.stop().success());
    }
}
