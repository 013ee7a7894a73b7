//! Sources that cannot be captured as they are: each ends the daemon with its own sentence and exit code, and leaves the
//! log as it was. Each test has servers of its own.

use std::time::Duration;

use relay::check::Level;
use relay::check::server::{LogState, ask};
use relay::config::Config;
use relay::failure::Exit;
use relay::log::{Checkpoint, SourcePosition};
use relay_store::{Positions, ReadOnlyLog};

use crate::support::daemon::Daemon;
use crate::support::servers::{Database, own, shared};
use crate::support::sql::Session;
use crate::support::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);
const PRECHECK: i32 = 3;
const SOURCE: i32 = 5;

/// Writes the config of a daemon that captures the schema `shop` from these servers for a file named `lines`.
fn configure(daemon: &Daemon, servers: &[&Database], user: &str, server_id: u32, settings: &str) {
    let hosts: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    daemon.configure(&format!(
        r#"
name = "misfit"
[source]
url = "mysql://{user}@{hosts}"
server_id = {server_id}
tls = "disabled"
heartbeat_interval = "1s"
timestamp_zone = "UTC"
tables = ["shop.*"]
{settings}
[log]
dir = "{{dir}}"
[admin]
listen = "{{admin}}"
[[delivery]]
name = "lines"
file = {{ path = "{file}" }}
"#,
        hosts = hosts.join(","),
        file = daemon.dir().join("lines").display(),
    ));
}

fn fresh_daemon(server: &Database, server_id: u32, settings: &str) -> Daemon {
    let daemon = Daemon::new("");
    configure(&daemon, &[server], "relay", server_id, settings);
    daemon
}

fn shop(server: &Database) -> Session {
    let mut root = Session::open(server);
    root.run_all(&[
        "CREATE DATABASE IF NOT EXISTS shop",
        "CREATE TABLE IF NOT EXISTS shop.t (id INT PRIMARY KEY, v INT)",
    ]);
    root
}

fn lines(daemon: &Daemon) -> Vec<String> {
    let text = std::fs::read_to_string(daemon.dir().join("lines")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn delivered(daemon: &Daemon, part: &str) {
    wait_until(part, PATIENCE, || lines(daemon).iter().any(|line| line.contains(part)).then_some(()));
}

fn end(daemon: &Daemon) -> Positions {
    ReadOnlyLog::open(&daemon.log_dir()).expect("a log").positions()
}

/// Waits until the daemon has ended by itself, with this code and a last line that names all of `named`.
#[track_caller]
fn ends(daemon: &mut Daemon, code: i32, named: &[&str]) {
    let status = daemon.wait();
    let output = daemon.output();
    let last = output.lines().last().unwrap_or_default();
    assert_eq!(status.code(), Some(code), "{last}");
    for part in named {
        assert!(last.contains(part), "{last:?} does not name {part:?}");
    }
}

/// Starts the daemon, which must refuse: nothing of its log changes.
#[track_caller]
fn refuses(daemon: &mut Daemon, code: i32, named: &[&str]) {
    let before = end(daemon);
    daemon.launch();
    ends(daemon, code, named);
    assert_eq!(end(daemon), before);
}

/// The id of the next row of a test, so that each is told from the others.
fn insert(root: &mut Session, id: u32) -> String {
    root.run(&format!("INSERT INTO shop.t VALUES ({id}, 1)"));
    format!("\"id\":\"{id}\"")
}

#[test]
fn rights_and_settings_that_are_taken_away_refuse_a_start_and_giving_them_back_is_enough() {
    let servers = own("misfit", &["mysql97", "mysql56", "mariadb"]);
    for server in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let mut root = shop(&server);
        root.run("CREATE USER poor IDENTIFIED BY 'relay'");
        root.run("GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO poor");
        let mut daemon = Daemon::new("");
        configure(&daemon, &[&server], "poor", 880_020, "");
        daemon.start();
        delivered(&daemon, &insert(&mut root, 1));
        assert!(daemon.stop().success());
        for (spoil, mend, named) in [
            (
                "REVOKE REPLICATION SLAVE ON *.* FROM poor",
                "GRANT REPLICATION SLAVE ON *.* TO poor",
                "REPLICATION SLAVE",
            ),
            ("REVOKE SELECT ON *.* FROM poor", "GRANT SELECT ON *.* TO poor", "missing: SELECT"),
            (
                "SET GLOBAL binlog_format = 'STATEMENT'",
                "SET GLOBAL binlog_format = 'ROW'",
                "binlog_format is STATEMENT",
            ),
            ("SET GLOBAL binlog_row_image = 'MINIMAL'", "SET GLOBAL binlog_row_image = 'FULL'", "allow_partial_images"),
        ] {
            root.run(spoil);
            refuses(&mut daemon, PRECHECK, &["relay: precheck: ", named]);
            root.run(mend);
        }
        // Rights on other tables are no rights on these.
        root.run_all(&["REVOKE SELECT ON *.* FROM poor", "GRANT SELECT ON mysql.* TO poor"]);
        let before = daemon.output().len();
        daemon.start();
        assert!(daemon.output()[before..].contains("none is to be seen"), "{}", server.name);
        assert!(daemon.stop().success());
        root.run("GRANT SELECT ON *.* TO poor");
        insert(&mut root, 2);
        daemon.start();
        delivered(&daemon, "\"id\":\"2\"");

        // A session of its own that logs less: the server's settings do not show it, and its rows are all there is.
        let mut session = Session::open(&server);
        session.run("SET SESSION binlog_row_image = 'MINIMAL'");
        session.run("UPDATE shop.t SET v = 7 WHERE id = 1");
        delivered(&daemon, "\"v\":\"7\"");
        let said = daemon.output();
        assert!(said.contains("lacks columns") && said.contains("shop.t"), "{said}");
        session.run("SET SESSION binlog_format = 'STATEMENT'");
        session.run("UPDATE shop.t SET v = 8 WHERE id = 1");
        ends(&mut daemon, PRECHECK, &["rows were changed by a statement in text (UPDATE)", "set binlog_format=ROW"]);
        assert!(!lines(&daemon).iter().any(|line| line.contains("\"v\":\"8\"")));
        servers.control(&["stop", server.name]);
    }
}

#[test]
fn the_precheck_passes_over_a_server_that_cannot_continue_the_log() {
    let servers = shared(&["mysql97", "mysql56"]);
    let (right, wrong) = (servers.mysql97(), servers.mysql56());
    let mut root = Session::open(&right);
    let checkpoint = Checkpoint {
        gtids: SourcePosition::MySqlGtid(root.text("SELECT @@GLOBAL.gtid_executed").replace('\n', "")),
        server: root.text("SELECT @@server_uuid"),
        ..Checkpoint::default()
    };
    let files = |ports: &[u16]| {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let text = format!(
            "[source]\nurl = \"mysql://relay@{}\"\ntls = \"disabled\"\n[log]\ndir = \"/nonexistent\"\n",
            hosts.join(",")
        );
        let password = |name: &str| (name == "RELAY_SOURCE_PASSWORD").then(|| "relay".to_owned());
        let config = Config::parse(&text, std::path::Path::new("relay.toml"), &password).expect("a valid config");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let items = runtime.block_on(ask(&config.source, LogState::EndsAt(&checkpoint))).items;
        items.into_iter().find(|item| item.id == "binlog.files").expect("the item")
    };
    assert_eq!(files(&[wrong.port, right.port]).level, Level::Pass);
    let refused = files(&[wrong.port]);
    assert_eq!((refused.level, refused.exit, refused.unreachable), (Level::Fail, Exit::Source, false), "{refused:?}");
    let silent = files(&[wrong.port, 1]);
    assert!(silent.level == Level::Fail && silent.unreachable, "the one that is silent may have it: {silent:?}");
}

#[test]
fn a_memory_table_that_a_restart_emptied_is_told_as_truncated() {
    let servers = own("memory", &["mysql97", "mysql56", "mariadb"]);
    for server in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let mut root = shop(&server);
        root.run_all(&["CREATE TABLE shop.m (id INT PRIMARY KEY) ENGINE=MEMORY", "INSERT INTO shop.m VALUES (1)"]);
        let mut daemon = fresh_daemon(&server, 880_021, "start = \"earliest\"");
        daemon.start();
        delivered(&daemon, "\"table\":\"m\"");
        drop(root);
        servers.control(&["restart", server.name]);
        let mut root = Session::open(&server);
        assert!(root.rows("SELECT * FROM shop.m").is_empty());
        root.run("INSERT INTO shop.m VALUES (2)");
        delivered(&daemon, "\"id\":\"2\"");
        let lines = lines(&daemon);
        let of_table: Vec<&String> = lines.iter().filter(|line| line.contains("\"table\":\"m\"")).collect();
        let kinds: Vec<&str> = of_table
            .iter()
            .map(|line| {
                ["INSERT", "TRUNCATE", "CREATE"].into_iter().find(|k| line.contains(&format!("\"type\":\"{k}\"")))
            })
            .map(|kind| kind.unwrap_or("other"))
            .collect();
        assert_eq!(kinds, ["CREATE", "INSERT", "TRUNCATE", "INSERT"], "{}: {of_table:#?}", server.name);
        assert!(daemon.stop().success());
        servers.control(&["stop", server.name]);
    }
}

#[test]
fn two_relays_with_one_server_id_are_told_and_one_of_them_goes_on() {
    let servers = own("rival", &["mysql97", "mysql56", "mariadb"]);
    for server in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let mut root = shop(&server);
        let mut older = fresh_daemon(&server, 880_022, "");
        older.start();
        let mut newer = fresh_daemon(&server, 880_022, "");
        newer.launch();
        let ended = wait_until("one of them ends", PATIENCE, || {
            let ended = |daemon: &Daemon| daemon.output().lines().any(|line| line.starts_with("relay: "));
            if ended(&older) { Some(true) } else { ended(&newer).then_some(false) }
        });
        let (ended, going) = if ended { (&mut older, &mut newer) } else { (&mut newer, &mut older) };
        println!("{}: {}", server.name, ended.output().lines().last().unwrap_or_default());
        ends(ended, PRECHECK, &["server_id"]);
        delivered(going, &insert(&mut root, 1));
        assert!(going.stop().success());
        servers.control(&["stop", server.name]);
    }
}

#[test]
fn a_relay_that_was_killed_starts_again_at_once_with_its_server_id() {
    let servers = own("again", &["mysql97", "mysql56", "mariadb"]);
    for server in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let mut root = shop(&server);
        let mut daemon = fresh_daemon(&server, 880_023, "");
        daemon.start();
        delivered(&daemon, &insert(&mut root, 1));
        for id in 2..5 {
            daemon.kill();
            insert(&mut root, id);
            daemon.start();
            delivered(&daemon, &format!("\"id\":\"{id}\""));
        }
        assert!(daemon.stop().success());
        servers.control(&["stop", server.name]);
    }
}

#[test]
fn a_server_that_was_reset_and_has_grown_past_the_log_again_is_not_followed() {
    let servers = own("reset", &["mysql97", "mysql56", "mariadb"]);
    for server in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let mut root = shop(&server);
        root.run_all(&["FLUSH LOGS", "FLUSH LOGS"]);
        let mut daemon = fresh_daemon(&server, 880_024, "");
        daemon.start();
        delivered(&daemon, &insert(&mut root, 1));
        assert!(daemon.stop().success());
        let before = end(&daemon);
        std::thread::sleep(Duration::from_millis(1100)); // creation times have whole seconds
        root.run(if server.name == "mysql97" { "RESET BINARY LOGS AND GTIDS" } else { "RESET MASTER" });
        for id in 100..150 {
            insert(&mut root, id);
            if id % 5 == 0 {
                root.run("FLUSH LOGS");
            }
        }
        daemon.launch();
        ends(&mut daemon, SOURCE, &["the server was reset since the log was made", "move log.dir away"]);
        assert_eq!(end(&daemon).visible_seq, before.visible_seq, "nothing of the other binlog is in the log");
        assert!(!lines(&daemon).iter().any(|line| line.contains("\"id\":\"149\"")));
        servers.control(&["stop", server.name]);
    }
}

#[test]
fn another_uuid_ends_a_resume_by_file_and_a_resume_by_gtid_goes_on() {
    let servers = own("uuid", &["mysql97"]);
    let server = servers.mysql97();
    let mut root = shop(&server);
    let mut by_file = fresh_daemon(&server, 880_025, "resume = \"file\"");
    let mut by_gtid = fresh_daemon(&server, 880_026, "");
    for daemon in [&mut by_file, &mut by_gtid] {
        daemon.start();
    }
    let row = insert(&mut root, 1);
    for daemon in [&mut by_file, &mut by_gtid] {
        delivered(daemon, &row);
        assert!(daemon.stop().success());
    }
    drop(root);
    servers.control(&["stop", server.name]);
    let uuid = std::path::Path::new(servers.get("MYSQL97_DATADIR")).join("auto.cnf");
    std::fs::remove_file(uuid).expect("the server's uuid");
    servers.control(&["start", server.name]);
    let mut root = Session::open(&server);
    let row = insert(&mut root, 2);
    refuses(&mut by_file, SOURCE, &["a file and position of server", "point source.url at"]);
    by_gtid.start();
    delivered(&by_gtid, &row);
    assert!(by_gtid.stop().success());
}

#[test]
fn an_old_primary_that_lost_transactions_is_passed_over_for_the_next_host() {
    let servers = own("lossy", &["mysql97", "mysql97-second"]);
    let (first, second) = (servers.mysql97(), servers.mysql97_second());
    let mut root = shop(&first);
    let mut daemon = Daemon::new("");
    configure(&daemon, &[&second], "relay", 880_027, "");
    let replicated = |id: u32| {
        let mut replica = Session::open(&second);
        wait_until("the replica has it", PATIENCE, || {
            let rows = replica.try_run("SELECT 1 FROM shop.t LIMIT 1").is_ok();
            (rows && !replica.rows(&format!("SELECT 1 FROM shop.t WHERE id = {id}")).is_empty()).then_some(())
        });
    };
    insert(&mut root, 1);
    replicated(1);
    daemon.start();
    let row = insert(&mut root, 2);
    delivered(&daemon, &row);
    assert!(daemon.stop().success());

    // The first one comes back without its last transactions, and only it can tell: they bear its own uuid.
    let uuid = root.text("SELECT @@server_uuid");
    root.run_all(&["RESET BINARY LOGS AND GTIDS", &format!("SET GLOBAL gtid_purged = '{uuid}:1-2'")]);
    let mut replica = Session::open(&second);
    replica.run("STOP REPLICA");
    let row = insert(&mut replica, 3);
    configure(&daemon, &[&first], "relay", 880_027, "");
    daemon.launch();
    ends(&mut daemon, SOURCE, &["more GTIDs than the source", "source.url"]);
    configure(&daemon, &[&first, &second], "relay", 880_027, "");
    daemon.start();
    delivered(&daemon, &row);
    assert!(daemon.stop().success());
}
