//! `relay-dump` on the bytes of a real server, against what that server said of its rows.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;
use support::{Source, run};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

/// The integer columns of a row, which every writer prints alike.
type Row = BTreeMap<String, Option<String>>;

/// What happened to a table, by the server's own answers or by the tool's: rows as they became, keys that went.
#[derive(Debug, Default, PartialEq, Eq)]
struct History {
    became: BTreeSet<Row>,
    gone: BTreeSet<String>,
}

/// What the server showed after each statement; and which columns are compared.
fn expected(case: &str) -> (History, Vec<String>) {
    let text = std::fs::read(golden(&format!("{case}.json"))).expect("expectations");
    let facts: Value = serde_json::from_slice(&text).expect("JSON");
    let names: Vec<Option<&str>> = facts["columns"]
        .as_array()
        .expect("columns")
        .iter()
        .map(|column| (column["kind"] == "int").then(|| column["name"].as_str().expect("a name")))
        .collect();
    let mut history = History::default();
    for step in facts["steps"].as_array().expect("steps") {
        history
            .gone
            .extend(step["gone"].as_array().expect("keys").iter().map(|key| key.as_str().expect("a key").to_owned()));
        for row in step["changed"].as_array().expect("rows") {
            let cells = names.iter().zip(row.as_array().expect("cells"));
            let integers =
                cells.filter_map(|(name, value)| Some(((*name)?.to_owned(), value.as_str().map(str::to_owned))));
            history.became.insert(integers.collect());
        }
    }
    (history, names.into_iter().flatten().map(str::to_owned).collect())
}

fn follows_the_server(case: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut source = Source::create(dir.path());
    let events = source.binlog(&std::fs::read(golden(&format!("{case}.binlog"))).expect("a captured file"));
    source.close_store();
    let tool = env!("CARGO_BIN_EXE_relay-dump");
    let dir = dir.path().to_str().expect("UTF-8");
    let report: Value = serde_json::from_str(&run(tool, &[dir, "--verify", "--json"]).good()).expect("JSON");
    assert_eq!((&report["ok"], report["event_checksums"].as_u64()), (&Value::Bool(true), Some(events)), "{case}");

    let (expected, columns) = expected(case);
    assert!(!expected.became.is_empty() && columns.len() > 1, "{case}");
    let mut printed = History::default();
    for line in run(tool, &[dir, "--format", "rows", "--json"]).good().lines() {
        let change: Value = serde_json::from_str(line).expect("JSON");
        let (before, after) = (&change["before"], &change["after"]);
        match change["op"].as_str() {
            Some("insert" | "update") => {
                let row = columns.iter().map(|name| (name.clone(), after[name].as_str().map(str::to_owned)));
                printed.became.insert(row.collect());
            }
            Some("delete") => {}
            Some("statement") => continue,
            other => panic!("{other:?}: {line}"),
        }
        // A key that changed is one that went, and another that came.
        if before.is_object() && before["id"] != after["id"] {
            printed.gone.insert(before["id"].as_str().expect("a key").to_owned());
        }
    }
    assert_eq!(printed, expected, "{case}");
}

#[test]
fn rows_of_mysql_are_those_that_the_server_showed() {
    follows_the_server("mysql97/types");
    follows_the_server("mysql97/generated");
}

#[test]
fn rows_of_mariadb_are_those_that_the_server_showed() {
    follows_the_server("mariadb/types");
}
