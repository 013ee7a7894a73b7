//! The same row, read by SELECT and by the binlog, is the same record.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

use super::{daemon, end, is_copied, records, wait_until_copied, wait_until_delivered};
use crate::pipeline::columns::{Flavour, kinds};
use crate::support::servers::{Database, shared};
use crate::support::sql::Session;
use crate::support::{fresh, seed};

/// Random rows of every type, beside those that random values do not reach.
const ROWS: u32 = 40;

fn fill(root: &mut Session, schema: &str, flavour: Flavour, random: &mut StdRng) -> u32 {
    let kinds = kinds(flavour);
    let mut columns: Vec<String> =
        kinds.iter().enumerate().map(|(n, kind)| format!("c{n} {}", kind.declared)).collect();
    match flavour {
        Flavour::MySql56 => {}
        Flavour::MySql97 => columns.extend([
            "g INT AS (id * 2) VIRTUAL".to_owned(),
            "s VARCHAR(20) AS (CONCAT('s', id)) STORED".to_owned(),
            "hidden INT DEFAULT 7 INVISIBLE".to_owned(),
        ]),
        Flavour::MariaDb => columns.extend([
            "g INT AS (id * 2) VIRTUAL".to_owned(),
            "s VARCHAR(20) AS (CONCAT('s', id)) PERSISTENT".to_owned(),
            "hidden INT DEFAULT 7 INVISIBLE".to_owned(),
        ]),
    }
    root.run(&format!("CREATE TABLE {schema}.t (id INT PRIMARY KEY, {})", columns.join(", ")));
    let names: Vec<String> = (0..kinds.len()).map(|n| format!("c{n}")).collect();
    for id in 0..ROWS {
        let values: Vec<String> = kinds.iter().map(|kind| kind.literal(random)).collect();
        root.run(&format!("INSERT INTO {schema}.t (id, {}) VALUES ({id}, {})", names.join(", "), values.join(", ")));
    }
    ROWS
}

/// What only a lax mode stores, and what lies at the end of each range.
fn fill_edges(root: &mut Session, schema: &str, flavour: Flavour) -> u32 {
    root.run("SET sql_mode = ''");
    root.run(&format!(
        "CREATE TABLE {schema}.edges (id BIGINT UNSIGNED PRIMARY KEY, d DATE, dt DATETIME(6), ts TIMESTAMP(6) NULL, \
         t TIME(6), y YEAR, e ENUM('a','b'), many SET({}), f FLOAT, x DOUBLE, bits BIT(64), bin BINARY(4), \
         num DECIMAL(65,30), c CHAR(5) CHARACTER SET latin1)",
        (0..64).map(|n| format!("'m{n}'")).collect::<Vec<_>>().join(",")
    ));
    root.run(&format!(
        "INSERT INTO {schema}.edges VALUES \
         (0, '0000-00-00', '0000-00-00', '0000-00-00 00:00:00', '00:00:00', 0, 'neither', '', 0, 0, 0, '', 0, ''), \
         (1, '2026-00-00', '2026-01-00 10:11:12.000001', '1970-01-01 00:00:01.000001', '-838:59:59', 1901, 'a', 'm0', \
          -1.1754944e-38, 5e-324, b'1', x'01', -1e-30, 'a  '), \
         (2, '9999-12-31', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999', '838:59:59', 2155, 'b', 'm63', \
          3.4028235e38, 1.7976931348623157e308, 0xFFFFFFFFFFFFFFFF, x'00000001', 99999999999999999999999999999999999.5, 'é'), \
         (18446744073709551615, '1000-01-01', '1000-01-01', NULL, '-00:00:00.000001', 2000, 1, 0xFFFFFFFFFFFFFFFF, \
          1.1, 0.1, 0x8000000000000000, x'01000000', 0.1, 'ab')"
    ));
    let mut rows = 4;
    if flavour == Flavour::MySql97 {
        root.run(&format!("CREATE TABLE {schema}.documents (id INT PRIMARY KEY, j JSON)"));
        for (id, document) in [
            "JSON_OBJECT('d', CAST(12.3400 AS DECIMAL(10,4)), 'n', CAST(-0.50 AS DECIMAL(3,2)))",
            "JSON_ARRAY(CAST('2026-01-31 10:00:00.5' AS DATETIME(3)), CAST('2026-01-31' AS DATE), CAST('-10:00' AS TIME))",
            "JSON_ARRAY(CAST(x'010203' AS BINARY), 1.5, 1e100, 1.0, -0.0, 18446744073709551615, -9223372036854775808)",
            "JSON_OBJECT('bb', 1, 'a', 2, '', JSON_ARRAY(), 'ä', 'quote \" back \\\\ slash')",
            "CAST('99999999999999999999999999.000000001' AS DECIMAL(40,9))",
            "'null'",
            "NULL",
        ]
        .iter()
        .enumerate()
        {
            let value = if document.starts_with("CAST") { format!("CAST({document} AS JSON)") } else { (*document).to_owned() };
            root.run(&format!("INSERT INTO {schema}.documents VALUES ({id}, {value})"));
            rows += 1;
        }
    }
    rows
}

/// The record but for what tells when it was made and by whom.
fn content(mut record: Value) -> Value {
    let fields = record.as_object_mut().expect("an object");
    ["id", "es", "ts", "gtid"].iter().for_each(|field| drop(fields.remove(*field)));
    record
}

fn same_either_way(server: &Database, flavour: Flavour, random: &mut StdRng) {
    let schema = fresh("values");
    let mut root = Session::open(server);
    root.run(&format!("CREATE DATABASE {schema}"));
    let start = end(&mut root, server);
    let rows = fill(&mut root, &schema, flavour, random) + fill_edges(&mut root, &schema, flavour);
    let mut daemon = daemon(server, &schema, &start, "mode = \"initial\"\nchunk_rows = 7");
    daemon.start();
    wait_until_copied(&daemon);
    wait_until_delivered(&daemon);
    assert!(daemon.stop().success());
    let (mut streamed, mut copied) = (BTreeMap::new(), BTreeMap::new());
    for record in records(&daemon).into_iter().filter(|record| record["type"] == "INSERT") {
        let into = if is_copied(&record) { &mut copied } else { &mut streamed };
        let key = (record["table"].to_string(), record["data"][0]["id"].to_string());
        assert!(into.insert(key.clone(), content(record)).is_none(), "{key:?} came twice");
    }
    assert_eq!((streamed.len(), copied.len()), (rows as usize, rows as usize), "{}", server.name);
    for (key, streamed) in &streamed {
        let copied = &copied[key];
        let differing: Vec<_> = streamed["data"][0]
            .as_object()
            .expect("columns")
            .iter()
            .filter(|(name, value)| copied["data"][0][name] != **value)
            .map(|(name, value)| format!("{name}: {value} streamed, {} copied", copied["data"][0][name]))
            .collect();
        assert!(differing.is_empty(), "{} {key:?}: {differing:#?}", server.name);
        assert_eq!(streamed, copied, "{} {key:?}", server.name);
    }
}

#[test]
fn a_row_is_the_same_record_whether_read_or_streamed() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    let mut random = StdRng::seed_from_u64(seed("a_row_is_the_same_record_whether_read_or_streamed"));
    for (server, flavour) in [
        (servers.mysql97(), Flavour::MySql97),
        (servers.mysql56(), Flavour::MySql56),
        (servers.mariadb(), Flavour::MariaDb),
    ] {
        same_either_way(&server, flavour, &mut random);
    }
}
