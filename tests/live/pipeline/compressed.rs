//! Sources that compress their binlog: a random workload and transactions of many megabytes.

use super::columns::Flavour;
use super::lines::Lines;
use super::replica::Replica;
use super::workload::Writer;
use crate::support::seed;
use crate::support::servers::{Database, own, shared};
use crate::support::sql::Session;

/// One transaction of about 9 MB: rows that compress well, rows that do not, and single rows of a megabyte.
fn big_transaction(server: &Database, database: &str, settings: &[&str]) {
    let mut session = Session::open(server);
    session.run_all(settings);
    session.run_all(&[
        &format!("USE `{database}`"),
        "CREATE TABLE big (id BIGINT PRIMARY KEY, v BIGINT UNSIGNED, body LONGTEXT CHARACTER SET latin1)",
        "BEGIN",
    ]);
    let version = |id: u64| 500_000_000_000 + id;
    for id in 1..=4u64 {
        let unit = if id % 2 == 0 { "SHA2(RAND(), 256)" } else { "REPEAT('z', 64)" };
        session.run(&format!("INSERT INTO big VALUES ({id}, {}, REPEAT({unit}, 16384))", version(id)));
    }
    for batch in 0..20u64 {
        let ids = (0..250).map(|n| 100 + batch * 250 + n);
        let rows: Vec<String> = ids
            .map(|id| format!("({id}, {}, CONCAT(SHA2({id}, 256), REPEAT(SHA2(RAND(), 256), 15)))", version(id)))
            .collect();
        session.run(&format!("INSERT INTO big VALUES {}", rows.join(",")));
    }
    session.run("COMMIT");
}

fn assert_big(server: &Database, database: &str, replica: &Replica) {
    let rows = Session::open(server).rows(&format!("SELECT id, body FROM `{database}`.big ORDER BY id"));
    let delivered = &replica.tables["big"];
    assert_eq!((rows.len(), delivered.len()), (5004, 5004));
    for row in rows {
        let text = |n: usize| String::from_utf8(row[n].clone().expect("a value")).expect("ASCII");
        let (id, body) = (text(0), text(1));
        assert!(delivered[&id]["body"].as_deref() == Some(&body), "row {id} of {} bytes differs", body.len());
    }
}

fn compressed_workload(server: &Database, flavour: Flavour, settings: &[&str]) {
    let seed = seed(server.name);
    let mut lines = Lines::new(std::slice::from_ref(server), flavour, "compressed", "");
    lines.daemon.start();
    let mut writers = lines.writers(seed, 2, settings);
    std::thread::scope(|scope| {
        writers.iter_mut().for_each(|writer: &mut Writer| drop(scope.spawn(|| writer.run(80))));
        big_transaction(server, &lines.database, settings);
    });
    let (replica, contents) = lines.check(&writers);
    assert_big(server, &lines.database, &replica);
    let rows: usize = contents.transactions.iter().map(|t| t.rows_events).sum();
    assert!(contents.unpacked > rows / 2, "{} of {rows} rows events came compressed", contents.unpacked);
    assert_eq!(contents.hidden, 0);
}

#[test]
fn a_workload_of_compressed_transactions_arrives_whole() {
    let settings = ["SET SESSION binlog_transaction_compression = ON"];
    compressed_workload(&shared(&["mysql97"]).mysql97(), Flavour::MySql97, &settings);
}

#[test]
fn a_workload_of_compressed_events_of_mariadb_arrives_whole() {
    // It is a setting of the whole server.
    let servers = own("compressed", &["mariadb"]);
    let server = servers.mariadb();
    let global = ["SET GLOBAL log_bin_compress = ON", "SET GLOBAL log_bin_compress_min_len = 10"];
    Session::open(&server).run_all(&global);
    compressed_workload(&server, Flavour::MariaDb, &[]);
}
