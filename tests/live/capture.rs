//! Capture against real servers: every transaction in the log once, whole and in order, whatever happens on the way.

use relay::binlog::event::EventType;
use relay::log::{flag, kind};

use crate::captured::{Captured, PATIENCE, Seen, count, definitions, describe, transactions};
use crate::support::servers::shared;
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

#[test]
fn every_shape_of_mysql_97_arrives_whole_and_once() {
    let server = shared(&["mysql97"]).mysql97();
    let schema = fresh("shapes");
    let mut root = Session::open(&server);
    root.run_all(&[
        &format!("CREATE DATABASE {schema}"),
        &format!("USE {schema}"),
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))",
    ]);
    let captured = Captured::new(&server, &schema, "latest");
    let life = captured.start();
    let xid = fresh("x");
    root.run_all(&[
        "INSERT INTO t VALUES (1, 'a')",
        "BEGIN",
        "INSERT INTO t VALUES (2, 'b')",
        "SAVEPOINT s",
        "INSERT INTO t VALUES (3, 'c')",
        "ROLLBACK TO s",
        "UPDATE t SET v = 'bb' WHERE id = 2",
        "COMMIT",
        "CREATE TABLE m (id INT) ENGINE = MyISAM",
        "INSERT INTO m VALUES (1)",
        "CREATE TABLE c AS SELECT * FROM t",
        &format!("XA START '{xid}'"),
        "INSERT INTO t VALUES (4, 'd')",
        &format!("XA END '{xid}'"),
        &format!("XA PREPARE '{xid}'"),
        &format!("XA COMMIT '{xid}'"),
        &format!("XA START '{xid}'"),
        "INSERT INTO t VALUES (5, 'never')",
        &format!("XA END '{xid}'"),
        &format!("XA PREPARE '{xid}'"),
        &format!("XA ROLLBACK '{xid}'"),
        &format!("XA START '{xid}'"),
        "INSERT INTO t VALUES (6, 'f')",
        &format!("XA END '{xid}'"),
        &format!("XA COMMIT '{xid}' ONE PHASE"),
        "SET SESSION binlog_transaction_compression = ON",
        "INSERT INTO t VALUES (7, REPEAT('z', 20)), (8, 'h')",
        "SET SESSION binlog_transaction_compression = OFF",
        "INSERT INTO t VALUES (9, 'the end')",
    ]);
    let seen = captured.seen_with("the end", &life);
    life.stop().expect("an orderly end");
    let insert = ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"];
    let expected: Vec<Vec<&str>> = vec![
        insert.to_vec(),
        ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "TABLE_MAP", "UPDATE_ROWS", "XID"].to_vec(),
        ["GTID", "QUERY"].to_vec(),
        ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "QUERY"].to_vec(),
        ["GTID", "QUERY", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"].to_vec(),
        ["GTID", "TABLE_MAP", "WRITE_ROWS", "QUERY"].to_vec(),
        ["GTID", "QUERY", "TABLE_MAP", "WRITE_ROWS", "XA_PREPARE"].to_vec(),
        insert.to_vec(),
        insert.to_vec(),
    ];
    assert_eq!(transactions(&seen), expected);
    assert!(!seen.iter().any(|s| s.body.windows(5).any(|w| w == b"never")));
    let unpacked: Vec<_> = seen.iter().filter(|s| s.flags & flag::UNPACKED != 0).map(Seen::name).collect();
    assert_eq!(unpacked, ["QUERY", "TABLE_MAP", "WRITE_ROWS", "XID"]);
    let copied = seen.iter().filter(|s| s.flags & flag::COPIED != 0).count();
    assert_eq!(copied, 2);
}

#[test]
fn every_shape_of_mariadb_arrives_whole_and_once() {
    let server = shared(&["mariadb"]).mariadb();
    let schema = fresh("shapes");
    let mut root = Session::open(&server);
    root.run_all(&[
        &format!("CREATE DATABASE {schema}"),
        &format!("USE {schema}"),
        "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))",
    ]);
    let captured = Captured::new(&server, &schema, "latest");
    let life = captured.start();
    let xid = fresh("x");
    root.run_all(&[
        "INSERT INTO t VALUES (1, 'a')",
        "SET SESSION binlog_alter_two_phase = ON",
        "ALTER TABLE t ADD COLUMN z INT",
        "CREATE TABLE c AS SELECT * FROM t",
        &format!("XA START '{xid}'"),
        "INSERT INTO t VALUES (4, 'd', 1)",
        &format!("XA END '{xid}'"),
        &format!("XA PREPARE '{xid}'"),
        &format!("XA COMMIT '{xid}'"),
        "BEGIN",
        "INSERT INTO t VALUES (5, 'never', 1)",
        "CREATE TEMPORARY TABLE tmp (id INT)",
        "DROP TEMPORARY TABLE tmp",
        "ROLLBACK",
        "INSERT INTO t VALUES (9, 'the end', 1)",
    ]);
    let seen = captured.seen_with("the end", &life);
    life.stop().expect("an orderly end");
    assert!(!seen.iter().any(|s| s.kind == kind::EVENT
        && s.event_type() != EventType::ANNOTATE_ROWS
        && s.body.windows(5).any(|w| w == b"never")));
    let rows: Vec<_> = transactions(&seen);
    assert_eq!(rows[0], ["MARIADB_GTID", "ANNOTATE_ROWS", "TABLE_MAP", "WRITE_ROWS_V1", "XID"]);
    assert_eq!(rows[1], ["MARIADB_GTID", "QUERY"], "the ALTER's commit alone");
    assert_eq!(rows[2][..2], ["MARIADB_GTID", "QUERY"]);
    assert_eq!(rows[3], ["MARIADB_GTID", "ANNOTATE_ROWS", "TABLE_MAP", "WRITE_ROWS_V1", "QUERY"]);
    assert_eq!(rows.last().expect("rows")[1..], ["ANNOTATE_ROWS", "TABLE_MAP", "WRITE_ROWS_V1", "XID"]);
}

/// A start at the server's end was chosen anew as long as nothing had come: what was committed between two starts of a
/// quiet source was passed over.
#[test]
fn a_first_start_at_the_end_is_kept_also_when_nothing_came_before_the_next_one() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for server in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        for resume in ["gtid", "file"] {
            let schema = fresh("kept");
            let mut root = Session::open(&server);
            root.run_all(&[&format!("CREATE DATABASE {schema}"), &format!("USE {schema}"), "CREATE TABLE t (v TEXT)"]);
            let captured = Captured::with(&server, &schema, "root", &format!("resume = \"{resume}\""));
            let life = captured.start();
            assert!(captured.store.checkpoint().is_some(), "{}, by {resume}: it runs before it is kept", server.name);
            life.stop().expect("an orderly end");
            root.run("INSERT INTO t VALUES ('meanwhile')");
            let life = captured.start();
            root.run("INSERT INTO t VALUES ('the end')");
            let seen = captured.seen_with("the end", &life);
            life.stop().expect("an orderly end");
            let kept = seen.iter().any(|s| s.body.windows(9).any(|w| w == b"meanwhile"));
            assert!(kept, "{}, by {resume}: a transaction after the first start is not in the log", server.name);
        }
    }
}

#[test]
fn a_killed_dump_goes_on_without_loss_or_repetition() {
    for (name, writes) in
        [("mysql97", EventType::WRITE_ROWS), ("mysql56", EventType::WRITE_ROWS), ("mariadb", EventType::WRITE_ROWS_V1)]
    {
        let servers = shared(&[name]);
        let server = match name {
            "mysql97" => servers.mysql97(),
            "mysql56" => servers.mysql56(),
            _ => servers.mariadb(),
        };
        let schema = fresh("killed");
        let mut root = Session::open(&server);
        root.run_all(&[
            &format!("CREATE DATABASE {schema}"),
            &format!("USE {schema}"),
            "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(200))",
        ]);
        // A user of its own tells its dump from those of other tests.
        let user = &schema[..schema.len().min(16)];
        root.run_all(&[
            &format!("CREATE USER '{user}'@'127.0.0.1'"),
            &format!("GRANT ALL ON *.* TO '{user}'@'127.0.0.1'"),
        ]);
        let captured = Captured::of_user(&server, &schema, "latest", user);
        let mut lives = 0;
        for round in 0..5 {
            let life = captured.start();
            lives += 1;
            root.run("BEGIN");
            for row in 0..20 {
                root.run(&format!("INSERT INTO t VALUES ({}, REPEAT('x', 200))", round * 100 + row));
            }
            root.run("COMMIT");
            let id = root.text(&format!(
                "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%' AND USER = '{user}' \
                 ORDER BY ID DESC LIMIT 1"
            ));
            if round % 2 == 0 {
                root.run(&format!("KILL {id}"));
                wait_until("the life ends", PATIENCE, || life.thread.is_finished().then_some(()));
                assert!(life.thread.join().expect("no panic").is_err(), "{name}");
            } else {
                life.stop().expect("an orderly end");
            }
        }
        let life = captured.start();
        root.run("INSERT INTO t VALUES (9999, 'the end')");
        let seen = captured.seen_with("the end", &life);
        life.stop().expect("an orderly end");
        assert_eq!(count(&seen, writes), 5 * 20 + 1, "{name}, {lives} lives");
        let indexes: Vec<u32> = seen.iter().map(|s| s.tx_index).collect();
        let starts = seen.iter().filter(|s| s.is_begin()).count();
        assert_eq!(indexes.iter().filter(|i| **i == 0).count(), starts, "{name}");
        assert_eq!(starts, 6, "{name}: {:?}", transactions(&seen));
        drop(captured.dir);
    }
}

#[test]
fn rows_carry_the_definition_in_force_where_the_server_sends_none() {
    let server = shared(&["mysql56"]).mysql56();
    let schema = fresh("ddl");
    let mut root = Session::open(&server);
    root.run_all(&[
        &format!("CREATE DATABASE {schema} CHARACTER SET gbk"),
        &format!("USE {schema}"),
        "CREATE TABLE t (id INT UNSIGNED PRIMARY KEY, v VARCHAR(20))",
        "CREATE TABLE elsewhere (id INT PRIMARY KEY)",
    ]);
    let captured = Captured::new(&server, &schema, "latest");
    let life = captured.start();
    root.run_all(&[
        "INSERT INTO t VALUES (1, 'a')",
        "ALTER TABLE t CHANGE v w VARCHAR(20), ADD c ENUM('x','y') FIRST /* comment */, ADD UNIQUE (w)",
        "INSERT INTO t VALUES ('x', 2, 'b')",
        "CREATE TABLE `n` (a TINYINT, b TEXT) ENGINE=InnoDB DEFAULT CHARSET=latin1 PARTITION BY HASH(a) PARTITIONS 2",
    ]);
    // A second life knows what the first one did.
    captured.seen_with("PARTITIONS 2", &life);
    life.stop().expect("an orderly end");
    let life = captured.start();
    root.run_all(&[
        "INSERT INTO n VALUES (1, 'x')",
        "RENAME TABLE t TO tmp, n TO t, tmp TO n",
        "INSERT INTO t VALUES (2, 'y')",
        "INSERT INTO n VALUES ('y', 3, 'c')",
        "TRUNCATE TABLE n",
        "DROP TABLE n, t",
        "INSERT INTO elsewhere VALUES (1)",
        "CREATE TABLE the_end (id INT)",
    ]);
    let seen = captured.seen_with("the_end", &life);
    life.stop().expect("an orderly end");
    let definitions = definitions(&captured, &seen);
    let expected = [
        "t: id int(10) unsigned, v varchar(20)",
        "t: c enum('x','y'), id int(10) unsigned, w varchar(20)",
        "n: a tinyint(4), b text",
        "t: a tinyint(4), b text",
        "n: c enum('x','y'), id int(10) unsigned, w varchar(20)",
        "elsewhere: id int(11)",
    ];
    assert_eq!(definitions.iter().map(describe).collect::<Vec<_>>(), expected);
    let charset = |at: usize, column: usize| definitions[at].as_ref().expect("known").columns[column].charset.clone();
    assert_eq!(
        (charset(0, 1).as_deref(), charset(1, 2).as_deref(), charset(2, 1).as_deref()),
        (Some("gbk"), Some("gbk"), Some("latin1"))
    );
    let names: Vec<_> = definitions[1].as_ref().expect("known").keys.iter().map(|k| k.name.as_str()).collect();
    assert_eq!(names, ["PRIMARY", "w"]);
}

#[test]
fn rows_before_a_ddl_in_the_past_wait_and_those_of_untouched_tables_do_not() {
    let server = shared(&["mysql56"]).mysql56();
    let schema = fresh("past");
    let mut root = Session::open(&server);
    root.run_all(&[&format!("CREATE DATABASE {schema}"), &format!("USE {schema}")]);
    root.run_all(&["CREATE TABLE t (a INT, b INT)", "CREATE TABLE calm (a INT)"]);
    let status = root.rows("SHOW MASTER STATUS");
    let text = |at: usize| String::from_utf8_lossy(status[0][at].as_deref().expect("a value")).into_owned();
    let start = format!("file:{}:{}", text(0), text(1));
    root.run_all(&[
        "INSERT INTO t VALUES (1, 2)",
        "INSERT INTO calm VALUES (1)",
        "ALTER TABLE t CHANGE a x INT, CHANGE b a INT",
        "INSERT INTO t VALUES (3, 4)",
    ]);
    let captured = Captured::new(&server, &schema, &start);
    let life = captured.start();
    root.run_all(&["INSERT INTO t VALUES (5, 6)", "CREATE TABLE the_end (id INT)"]);
    let seen = captured.seen_with("the_end", &life);
    life.stop().expect("an orderly end");
    let definitions = definitions(&captured, &seen);
    let expected = ["t: unconfirmed, read", "calm: a int(11)", "t: unconfirmed, read", "t: x int(11), a int(11)"];
    assert_eq!(
        definitions.iter().map(describe).collect::<Vec<_>>(),
        expected,
        "the names of the first rows are not known"
    );
}

#[test]
fn a_big_compressed_transaction_is_unpacked_within_bounds() {
    let server = shared(&["mysql97"]).mysql97();
    let schema = fresh("packed");
    let mut root = Session::open(&server);
    root.run_all(&[
        &format!("CREATE DATABASE {schema}"),
        &format!("USE {schema}"),
        "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000))",
    ]);
    let captured = Captured::new(&server, &schema, "latest");
    let life = captured.start();
    root.run_all(&[
        "SET SESSION binlog_transaction_compression = ON",
        "BEGIN",
        "INSERT INTO t (v) VALUES (REPEAT('a', 1000))",
    ]);
    for _ in 0..14 {
        root.run("INSERT INTO t (v) SELECT v FROM t");
    }
    root.run_all(&["COMMIT", "SET SESSION binlog_transaction_compression = OFF", "CREATE TABLE the_end (id INT)"]);
    let seen = captured.seen_with("the_end", &life);
    life.stop().expect("an orderly end");
    let unpacked: Vec<_> = seen.iter().filter(|s| s.flags & flag::UNPACKED != 0).collect();
    let bytes: usize = unpacked.iter().map(|s| s.body.len()).sum();
    assert!(bytes > 16_384 * 1000, "{bytes} bytes");
    assert_eq!(unpacked.last().map(|s| s.name()), Some("XID"));
    let indexes: Vec<u32> = unpacked.iter().map(|s| s.tx_index).collect();
    assert!(indexes.is_sorted_by(|a, b| a < b), "each event once");
}
