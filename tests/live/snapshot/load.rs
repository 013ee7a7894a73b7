//! Copies under load: what is rebuilt from the delivered records is the table, whatever happened meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

use super::{PATIENCE, daemon, is_copied, progress, records, wait_until_delivered};
use crate::support::beside::{Going, beside};
use crate::support::daemon::Daemon;
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, seed, wait_until};

/// Keys of the table; few enough that the load meets the chunks.
const KEYS: u32 = 3_000;

/// Between two statements of a writer: as long as capture follows, and while it does not.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSE_BEHIND: Duration = Duration::from_millis(200);

/// Updates, deletes, inserts again and changes keys until it is told to stop.
fn load(server: &Database, schema: &str, seed: u64, behind: &AtomicBool, going: &Going) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut session = Session::open(server);
    let mut version = 0;
    while going.on() {
        // No copy gets anywhere beside a load that capture cannot follow.
        std::thread::sleep(if behind.load(Ordering::Relaxed) { PAUSE_BEHIND } else { PAUSE });
        version += 1;
        let key = random.random_range(0..KEYS);
        let statement = match random.random_range(0..10) {
            0 => format!("DELETE FROM {schema}.t WHERE id = {key}"),
            1 => format!("REPLACE INTO {schema}.t VALUES ({key}, {version}, 'again')"),
            2 => format!("UPDATE IGNORE {schema}.t SET id = {} WHERE id = {key}", random.random_range(0..KEYS)),
            3 => format!("UPDATE {schema}.t SET v = {version} WHERE id BETWEEN {key} AND {}", key + 20),
            4 => {
                session.run("BEGIN");
                session.run(&format!("UPDATE {schema}.t SET v = {version}, note = 'undone' WHERE id = {key}"));
                "ROLLBACK".to_owned()
            }
            5 => {
                // A transaction in two phases; every third is rolled back.
                let xid = format!("'{seed}-{version}'");
                session.run(&format!("XA START {xid}"));
                let update = format!("UPDATE {schema}.t SET v = {version}, note = 'xa' WHERE id = {key}");
                // The other writer may have been in the way; then it is over.
                let prepared = session.try_run(&update).is_ok()
                    && session.try_run(&format!("XA END {xid}")).is_ok()
                    && session.try_run(&format!("XA PREPARE {xid}")).is_ok();
                if !prepared {
                    drop(session.try_run(&format!("XA END {xid}")));
                }
                format!("XA {} {xid}", if version % 3 == 0 || !prepared { "ROLLBACK" } else { "COMMIT" })
            }
            _ => format!("UPDATE {schema}.t SET v = {version} WHERE id = {key}"),
        };
        // A deadlock between the writers undoes one of them; inside of an XA transaction it is called XA_RBDEADLOCK.
        if let Err(error) = session.try_run(&statement) {
            assert!(error.to_string().to_ascii_lowercase().contains("deadlock"), "{error}: {statement}");
        }
    }
}

/// The table as the records tell it; a row that goes back in time fails.
fn rebuilt(records: &[Value]) -> BTreeMap<u32, (u32, String)> {
    let mut table = BTreeMap::new();
    let number = |value: &Value| value.as_str().expect("text").parse::<u32>().expect("a number");
    for record in records.iter().filter(|record| record["isDdl"] == false) {
        let row = &record["data"][0];
        let id = number(&row["id"]);
        let value = (number(&row["v"]), row["note"].as_str().expect("text").to_owned());
        match record["type"].as_str().expect("a type") {
            "DELETE" => drop(table.remove(&id)),
            "UPDATE" => {
                let before = &record["old"][0]["id"];
                if before.is_string() {
                    table.remove(&number(before));
                }
                table.insert(id, value);
            }
            _ => drop(table.insert(id, value)),
        }
    }
    table
}

fn source(root: &mut Session, schema: &str) -> BTreeMap<u32, (u32, String)> {
    let text = |cell: &Option<Vec<u8>>| String::from_utf8(cell.clone().expect("not NULL")).expect("text");
    let rows = root.rows(&format!("SELECT id, v, note FROM {schema}.t"));
    let number = |cell: &Option<Vec<u8>>| text(cell).parse().expect("a number");
    rows.iter().map(|row| (number(&row[0]), (number(&row[1]), text(&row[2])))).collect()
}

fn table(root: &mut Session, schema: &str) {
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run(&format!("CREATE TABLE {schema}.t (id INT UNSIGNED PRIMARY KEY, v INT UNSIGNED, note VARCHAR(20))"));
    for first in (0..KEYS).step_by(1000) {
        let rows: Vec<String> = (first..first + 1000).map(|id| format!("({id}, 0, 'first')")).collect();
        root.run(&format!("INSERT INTO {schema}.t VALUES {}", rows.join(", ")));
    }
}

/// Copies under load and kills the relay so often in the middle; then the records must make the table.
fn copied_under_load(server: &Database, seed: u64, kills: u32) {
    copied_under_load_with(server, seed, kills, "");
}

/// The same with further settings of the copy.
pub fn copied_under_load_with(server: &Database, seed: u64, kills: u32, settings: &str) {
    let schema = fresh("load");
    let mut root = Session::open(server);
    table(&mut root, &schema);
    let settings = format!("mode = \"initial\"\nchunk_rows = 40\n{settings}");
    let mut daemon = daemon(server, &schema, "latest", &settings);
    let (schema, behind) = (&schema, &AtomicBool::new(false));
    let watched = |daemon: &Daemon| {
        let snapshot = progress(daemon);
        behind.store(snapshot["progress"]["waits_for"] == "capture", Ordering::Relaxed);
        snapshot
    };
    let writers = (0..2).map(|number| move |going: &Going| load(server, schema, seed ^ number, behind, going));
    beside(writers, || {
        for kill in 0..kills {
            daemon.start();
            let before = kill * KEYS / (kills + 2);
            wait_until("some chunks are copied", PATIENCE, || {
                (watched(&daemon)["progress"]["rows"].as_u64()? > u64::from(before)).then_some(())
            });
            daemon.kill();
        }
        daemon.start();
        wait_until("every table is copied", PATIENCE, || (watched(&daemon)["state"] == "completed").then_some(()));
        std::thread::sleep(Duration::from_millis(300));
    });
    root.run(&format!("INSERT INTO {schema}.t VALUES (4000000, 1, 'barrier')"));
    wait_until("the last row is delivered", PATIENCE, || {
        records(&daemon).iter().any(|record| record["data"][0]["id"] == "4000000").then_some(())
    });
    wait_until_delivered(&daemon);
    assert!(daemon.stop().success());
    let records = records(&daemon);
    let copied = records.iter().filter(|record| is_copied(record)).count();
    assert!(copied > 0, "something was copied");
    let (rebuilt, source) = (rebuilt(&records), source(&mut root, schema));
    let differing: Vec<_> = source
        .keys()
        .chain(rebuilt.keys())
        .filter(|id| source.get(id) != rebuilt.get(id))
        .map(|id| format!("{id}: {:?} at the source, {:?} rebuilt", source.get(id), rebuilt.get(id)))
        .take(20)
        .collect();
    assert!(differing.is_empty(), "{} seed {seed}: {differing:#?}", server.name);
    println!("{}: {copied} rows copied of {KEYS}", server.name);
}

#[test]
fn a_table_that_changes_while_it_is_copied_is_rebuilt_as_it_is() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    let seed = seed("a_table_that_changes_while_it_is_copied_is_rebuilt_as_it_is");
    for server in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        copied_under_load(&server, seed, 0);
    }
}

#[test]
fn a_copy_goes_on_at_its_chunk_after_a_kill() {
    let servers = shared(&["mysql97"]);
    copied_under_load(&servers.mysql97(), seed("a_copy_goes_on_at_its_chunk_after_a_kill"), 4);
}
