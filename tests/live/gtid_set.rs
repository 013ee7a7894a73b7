//! The set of all that the source had executed, beside the single transactions: in Canal JSON's `gtid`, and in the tags of
//! DTS Avro's statements.

use std::time::Duration;

use serde_json::Value;

use crate::fastavro;
use crate::support::daemon::{Daemon, Extra};
use crate::support::kafka::{consume, consume_hex};
use crate::support::servers::{Database, Servers, shared};
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn sets_hold_each_transaction_from_itself_on() {
    let servers = shared(&["mysql97", "mariadb", "kafka"]);
    for server in [servers.mysql97(), servers.mariadb()] {
        sets_grow(&servers, &server);
    }
}

/// Whether one set of GTIDs is in another, as the server's dialect has them.
fn is_within(root: &mut Session, server: &Database, one: &str, other: &str) -> bool {
    match server.name {
        "mariadb" => {
            // Domain, server, number: the newest of each domain.
            let parts = |text: &str| -> Vec<(String, u64)> {
                text.split(',')
                    .map(|gtid| {
                        let parts: Vec<&str> = gtid.trim().split('-').collect();
                        (parts[0].to_owned(), parts[2].parse().expect("a number"))
                    })
                    .collect()
            };
            let other = parts(other);
            parts(one).iter().all(|(domain, number)| other.iter().any(|(d, n)| d == domain && number <= n))
        }
        _ => root.text(&format!("SELECT GTID_SUBSET('{one}', '{other}')")) == "1",
    }
}

fn sets_grow(servers: &Servers, server: &Database) {
    let (brokers, schema) = (servers.brokers(), fresh("sets"));
    let mut root = Session::open(server);
    root.run(&format!("CREATE DATABASE {schema}"));
    let mut daemon = Daemon::new("");
    let delivery = |name: &str, settings: &str| {
        format!(
            "[[delivery]]\nname = \"{name}\"\n[delivery.kafka]\nbrokers = {brokers:?}\ntopic = \"{schema}_{name}\"\n\
             create_topics = true\npartitions = 1\n{settings}\n"
        )
    };
    let more = delivery("canal", "canal_gtid = \"set\"") + &delivery("avro", "format = \"dts-avro\"");
    let extra = Extra { more: &more, ..Extra::default() };
    daemon.configure_to_file(&server.url("relay"), &format!("{schema}.*"), extra);
    daemon.start();
    root.run(&format!("CREATE TABLE {schema}.t (id INT PRIMARY KEY, v VARCHAR(9))"));
    for id in 1..4 {
        root.run(&format!("INSERT INTO {schema}.t VALUES ({id}, 'v')"));
    }
    root.run(&format!("ALTER TABLE {schema}.t ADD COLUMN w INT"));
    root.run(&format!("INSERT INTO {schema}.t VALUES (4, 'end', 4)"));
    let variable = if server.name == "mariadb" { "@@gtid_binlog_pos" } else { "@@global.gtid_executed" };
    let executed = root.text(&format!("SELECT {variable}")).replace('\n', "");
    let lines = wait_until("the last row", PATIENCE, || {
        std::fs::read_to_string(daemon.lines()).ok().filter(|text| text.contains("\"end\""))
    });
    daemon.wait_delivered(PATIENCE);
    let parsed = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let singles: Vec<Value> = lines.lines().map(parsed).collect();
    let sets: Vec<Value> =
        consume(brokers, &format!("{schema}_canal")).iter().map(|record| parsed(&record.value)).collect();
    assert_eq!(singles.len(), 6, "{}: {singles:#?}", server.name);
    assert_eq!(sets.len(), 6, "{}: {sets:#?}", server.name);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut before: Option<String> = None;
    for (single, set) in singles.iter().zip(&sets) {
        let (own, set) = (text(&single["gtid"]), text(&set["gtid"]));
        let told = format!("{}: {own} in {set} of {executed}, after {before:?}", server.name);
        assert!(is_within(&mut root, server, &own, &set), "{told}");
        assert!(is_within(&mut root, server, &set, &executed), "{told}");
        if let Some(before) = before.replace(set.clone()) {
            assert!(is_within(&mut root, server, &before, &set), "{told}");
            assert!(!is_within(&mut root, server, &own, &before), "not before it was executed: {told}");
        }
    }

    let bytes = |value: &str| {
        let digits = value.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).expect("hex"));
        digits.map(|two| u8::from_str_radix(two, 16).expect("hex")).collect::<Vec<u8>>()
    };
    let records = consume_hex(brokers, &format!("{schema}_avro"));
    let records: Vec<Vec<u8>> = records.iter().map(|record| bytes(&record.value)).collect();
    let records = fastavro::read(&records, false).unwrap_or_else(|why| panic!("fastavro: {why}"));
    let statements: Vec<&Value> = records.iter().filter(|record| record["operation"] == "DDL").collect();
    let owns: Vec<&Value> = singles.iter().filter(|message| message["isDdl"] == true).collect();
    assert_eq!((statements.len(), owns.len()), (2, 2), "{}: {statements:#?}", server.name);
    let lower = root.text("SELECT @@lower_case_table_names") == "1";
    for (statement, single) in statements.into_iter().zip(owns) {
        let tags = &statement["tags"];
        let (own, set) = (text(&single["gtid"]), text(&tags["GTID_SET"]));
        assert!(is_within(&mut root, server, &own, &set), "{}: {own} in {set}", server.name);
        assert!(is_within(&mut root, server, &set, &executed), "{}: {set} in {executed}", server.name);
        assert_eq!(tags["lowerCaseTableNames"], lower.to_string(), "{}: {tags}", server.name);
    }
    assert!(daemon.stop().success());
    root.run(&format!("DROP DATABASE {schema}"));
}
