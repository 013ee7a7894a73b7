//! The server's setting for column names in table maps changes while it is captured, with DDL in between.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::columns::Flavour;
use super::lines::Lines;
use crate::captured::{Captured, definitions, describe};
use crate::support::beside::{Going, beside};
use crate::support::servers::{Database, own};
use crate::support::sql::Session;
use crate::support::{fresh, seed};

/// A random workload while the setting goes through its values.
fn workload_under(server: &Database, flavour: Flavour, values: &[&str]) {
    let seed = seed(server.name);
    let mut lines = Lines::new(std::slice::from_ref(server), flavour, "metadata", "");
    lines.daemon.start();
    let mut writers = lines.writers(seed, 2, &[]);
    let changes = |going: &Going| {
        let (mut root, mut random) = (Session::open(server), StdRng::seed_from_u64(seed));
        for value in values.iter().cycle() {
            root.run(&format!("SET GLOBAL binlog_row_metadata = {value}"));
            std::thread::sleep(Duration::from_millis(random.random_range(20..150)));
            if !going.on() {
                return;
            }
        }
    };
    beside([changes], || {
        std::thread::scope(|scope| writers.iter_mut().for_each(|writer| drop(scope.spawn(|| writer.run(150)))));
    });
    let (_, contents) = lines.check(&writers);
    let (full, bare) = contents.maps;
    assert!(full > 30 && bare > 30, "{full} table maps with names and {bare} without");
}

/// Where the server's binlog ends, as a start.
fn end(root: &mut Session) -> String {
    let status = root.rows("SHOW BINARY LOG STATUS").remove(0);
    let text = |at: usize| String::from_utf8(status[at].clone().expect("a value")).expect("text");
    format!("file:{}:{}", text(0), text(1))
}

/// Rows that are older than the setting are read by what the server says now of their tables, as long as nothing
/// changed them since.
fn a_start_before_the_setting(server: &Database) {
    let mut root = Session::open(server);
    let schema = fresh("before");
    root.run_all(&[&format!("CREATE DATABASE {schema}"), &format!("USE {schema}")]);
    root.run_all(&["CREATE TABLE calm (a INT)", "CREATE TABLE t (a INT, b INT)"]);
    root.run("SET GLOBAL binlog_row_metadata = MINIMAL");
    let start = end(&mut root);
    root.run_all(&["INSERT INTO calm VALUES (1)", "INSERT INTO t VALUES (1, 2)"]);
    root.run("SET GLOBAL binlog_row_metadata = FULL");
    root.run_all(&["ALTER TABLE t RENAME COLUMN a TO x, RENAME COLUMN b TO a", "INSERT INTO t VALUES (3, 4)"]);
    let captured = Captured::new(server, &schema, &start);
    let life = captured.start();
    // Definitions have been read by then: what comes behind is read by them.
    captured.seen_with("RENAME COLUMN b TO a", &life);
    root.run("SET GLOBAL binlog_row_metadata = MINIMAL");
    root.run_all(&["INSERT INTO t VALUES (5, 6)", "CREATE TABLE the_end (id INT)"]);
    let seen = captured.seen_with("the_end", &life);
    life.stop().expect("an orderly end");
    let definitions = definitions(&captured, &seen);
    let expected = ["calm: a int", "t: unconfirmed, read", "t: unconfirmed, read", "t: x int, a int"];
    assert_eq!(definitions.iter().map(describe).collect::<Vec<_>>(), expected);
}

#[test]
fn rows_are_read_right_while_mysql_changes_between_full_and_minimal_metadata() {
    let servers = own("metadata", &["mysql97"]);
    a_start_before_the_setting(&servers.mysql97());
    workload_under(&servers.mysql97(), Flavour::MySql97, &["MINIMAL", "FULL"]);
}

#[test]
fn rows_are_read_right_while_mariadb_changes_what_its_table_maps_say() {
    let servers = own("metadata-mariadb", &["mariadb"]);
    workload_under(&servers.mariadb(), Flavour::MariaDb, &["NO_LOG", "MINIMAL", "FULL"]);
}
