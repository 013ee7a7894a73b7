//! The source fails in mid-load and its replica takes over.

use std::time::Duration;

use super::columns::Flavour;
use super::lines::Lines;
use super::workload::Writer;
use crate::support::beside::{Going, beside};
use crate::support::proxy::{Fault, Proxy};
use crate::support::seed;
use crate::support::servers::own;
use crate::support::sql::Session;

/// Rows of the transaction in whose middle the first server goes.
const CUT_ROWS: usize = 40;

/// Runs all writers side by side for a time.
fn load(writers: &mut [Writer], length: Duration, meanwhile: impl FnOnce()) {
    let works = writers.iter_mut().map(|writer| {
        move |going: &Going| {
            while going.on() {
                writer.run(2);
                // Steady, not all the machine gives.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    });
    beside(works, || {
        std::thread::sleep(length);
        meanwhile();
        std::thread::sleep(length);
    });
}

fn prepare(session: &mut Session, id: &str, row: u32) {
    session.run_all(&[
        &format!("XA START '{id}'"),
        &format!("INSERT INTO xa VALUES ({row}, {row}00000000000, '{id}')"),
        &format!("XA END '{id}'"),
        &format!("XA PREPARE '{id}'"),
    ]);
}

#[test]
fn a_failover_in_mid_load_loses_and_repeats_nothing() {
    const LENGTH: Duration = Duration::from_millis(700);
    let seed = seed("failover");
    let servers = own("failover", &["mysql97", "mysql97-second"]);
    let (first, second) = (servers.mysql97(), servers.mysql97_second());
    let (to_first, to_second) = (Proxy::before(&first), Proxy::before(&second));
    // The schemas are made on the first server itself, and the relay knows both by their proxies only.
    let mut lines = Lines::new(&[to_first.database(), to_second.database()], Flavour::MySql97, "failover", "");
    lines.move_to(&first);
    let beside = format!("{}_beside", lines.database);
    let mut root = Session::open(&first);
    root.run_all(&[
        &format!("CREATE DATABASE {beside}"),
        &format!("USE {beside}"),
        "CREATE TABLE cut (id INT PRIMARY KEY, v BIGINT)",
        "CREATE TABLE xa (id INT PRIMARY KEY, v BIGINT, name VARCHAR(40))",
    ]);
    lines.daemon.start();
    let mut writers = lines.writers(seed, 2, &[]);

    load(&mut writers, LENGTH, || {
        prepare(&mut root, "before-and-captured", 1);
        prepare(&mut root, "before-and-rolled-back", 2);
        // The relay loses the first server inside a transaction, and neither answers from then on.
        to_first.arm(&beside, 12 + CUT_ROWS, Fault::CutInside);
        root.run("BEGIN");
        (0..CUT_ROWS).for_each(|row| root.run(&format!("INSERT INTO cut VALUES ({row}, 600000000000 + {row})")));
        root.run("COMMIT");
        assert!(to_first.wait_fired(Duration::from_secs(30)), "the dump was cut");
        to_first.shut();
        to_second.shut();
        // The load goes on without it, and so does this.
        prepare(&mut root, "before-and-missed", 3);
    });
    let executed = root.text("SELECT @@gtid_executed").replace('\n', "");
    let mut root = Session::open(&second);
    assert_eq!(root.text(&format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{executed}', 60)")), "0", "the replica follows");
    servers.control(&["kill", "mysql97"]);
    root.run_all(&["STOP REPLICA", "RESET REPLICA ALL", &format!("USE {beside}")]);

    // The second server is the source now; the load goes on there before the relay finds it.
    lines.move_to(&second);
    writers.iter_mut().for_each(|writer| writer.move_to(&second));
    load(&mut writers, LENGTH, || to_second.open());
    lines.barrier();
    let seen = |name: &str, lines: &Lines| lines.text().matches(name).count();
    let all = ["before-and-captured", "before-and-rolled-back", "before-and-missed"];
    assert_eq!(all.map(|name| seen(name, &lines)), [0, 0, 0], "rows that are prepared are not committed");
    root.run_all(&["XA COMMIT 'before-and-captured'", "XA ROLLBACK 'before-and-rolled-back'"]);
    root.run("XA COMMIT 'before-and-missed'");
    let (_, contents) = lines.check(&writers);
    assert_eq!(all.map(|name| seen(name, &lines)), [1, 0, 1], "visible at XA COMMIT, once");
    assert_eq!(seen("\"table\":\"cut\"", &lines), CUT_ROWS, "the rows of the cut transaction");
    assert!(contents.hidden > CUT_ROWS, "a part of it was written before: {}", contents.hidden);
    assert_eq!(contents.gaps, []);
}
