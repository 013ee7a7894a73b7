//! Tables rebuilt from the records of a topic, and their comparison with the source.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::workload::{Table, VERSIONS_OF_A_WRITER};
use crate::support::kafka::Record;
use crate::support::sql::Session;

/// Where a record stands in the relay's log: (seq, row, op), the same on every replay.
type Place = (u64, u32, String);

type Row = BTreeMap<String, Option<String>>;

/// What the records of a topic add up to.
#[derive(Debug, Default)]
pub struct Replica {
    /// table -> key -> row.
    pub tables: BTreeMap<String, BTreeMap<String, Row>>,
    /// Every `v` that was seen in an insert or update.
    pub versions: BTreeSet<u64>,
    /// Records that repeat an earlier one.
    pub duplicates: usize,
    /// Records in all.
    pub records: usize,
}

fn place(record: &Record) -> Place {
    let seq = record.header("relay.seq").unwrap_or_else(|| panic!("a record without relay.seq: {record:?}"));
    let (seq, row) = seq.split_once(':').expect("seq:row");
    let op = record.header("relay.op").expect("a record names its operation").to_owned();
    (seq.parse().expect("a seq"), row.parse().expect("a row"), op)
}

/// Seq, row within it, and whether it is a split key change's insert, behind its delete.
pub type Order = (u64, u32, bool);

fn order(place: &Place) -> Order {
    (place.0, place.1, place.2 == "update.after")
}

/// Checks the order within each partition; gives each record in the order of the log, and how many repeat one.
pub fn in_order<'r>(records: impl IntoIterator<Item = &'r Record>) -> (BTreeMap<Order, &'r Record>, usize) {
    let mut duplicates = 0;
    let mut last: HashMap<i32, Order> = HashMap::new();
    let mut seen: BTreeMap<Order, &Record> = BTreeMap::new();
    for record in records {
        let at = order(&place(record));
        if seen.insert(at, record).is_some() {
            duplicates += 1;
            continue;
        }
        // A first-seen record comes after every other first-seen record of its partition.
        let before = last.insert(record.partition, at);
        assert!(
            before.is_none_or(|before| before < at),
            "out of order in partition {}: {before:?} then {at:?}",
            record.partition
        );
    }
    (seen, duplicates)
}

/// Checks the order within each partition, drops repeats, and replays the rest in the order of the log.
pub fn replay(records: &[Record]) -> Replica {
    let (seen, duplicates) = in_order(records);
    let mut replica = Replica { records: records.len(), duplicates, ..Replica::default() };
    for record in seen.values() {
        replica.apply(&record.value);
    }
    replica
}

/// Replays the lines of a file, which come once and in the order of the log. Checks that each writer's versions rise.
pub fn replay_lines(text: &str) -> Replica {
    let mut replica = Replica::default();
    let mut last: HashMap<u64, u64> = HashMap::new();
    for line in text.lines() {
        replica.records += 1;
        for version in replica.apply(line) {
            let before = last.insert(version / VERSIONS_OF_A_WRITER, version);
            assert!(before < Some(version), "{version} came behind {before:?}");
        }
    }
    replica
}

fn row_of(value: &Value) -> Row {
    value
        .as_object()
        .expect("a row is an object")
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().map(String::from)))
        .collect()
}

/// The names between backquotes in a statement of the workload, in order.
pub fn quoted(sql: &str) -> Vec<&str> {
    sql.split('`').skip(1).step_by(2).collect()
}

impl Replica {
    /// Applies one message; gives the versions in it.
    fn apply(&mut self, message: &str) -> Vec<u64> {
        let message: Value = serde_json::from_str(message).unwrap_or_else(|e| panic!("{e}: {message}"));
        let text = |key: &str| message[key].as_str().unwrap_or_else(|| panic!("no {key} in {message}"));
        let (kind, table) = (text("type"), text("table").to_owned());
        if message["isDdl"] == Value::Bool(true) {
            self.apply_ddl(kind, &table, text("sql"));
            return Vec::new();
        }
        let mut versions = Vec::new();
        let rows = self.tables.entry(table).or_default();
        for (n, data) in message["data"].as_array().expect("rows").iter().enumerate() {
            let row = row_of(data);
            let key = row["id"].clone().expect("a key");
            match kind {
                "INSERT" => drop(rows.insert(key, row)),
                "UPDATE" => {
                    let old = row_of(&message["old"][n]);
                    if let Some(Some(old_key)) = old.get("id") {
                        rows.remove(old_key);
                    }
                    rows.insert(key, row);
                }
                "DELETE" => drop(rows.remove(&key)),
                other => panic!("unexpected type {other}"),
            }
            if kind != "DELETE" {
                let version = data["v"].as_str().and_then(|v| v.parse().ok()).expect("a version");
                versions.push(version);
            }
        }
        self.versions.extend(&versions);
        versions
    }

    fn apply_ddl(&mut self, kind: &str, table: &str, sql: &str) {
        let names = quoted(sql);
        match kind {
            "TRUNCATE" => drop(self.tables.insert(table.to_owned(), BTreeMap::new())),
            "ERASE" => drop(self.tables.remove(table)),
            "RENAME" => {
                let rows = self.tables.remove(table).unwrap_or_default();
                self.tables.insert((*names.last().expect("a new name")).to_owned(), rows);
            }
            "ALTER" if sql.contains("CHANGE COLUMN") => {
                let (old, new) = (names[names.len() - 2], names[names.len() - 1]);
                for row in self.tables.entry(table.to_owned()).or_default().values_mut() {
                    if let Some(value) = row.remove(old) {
                        row.insert(new.to_owned(), value);
                    }
                }
            }
            "ALTER" if sql.contains("DROP COLUMN") => {
                let gone = names.last().expect("a column");
                for row in self.tables.entry(table.to_owned()).or_default().values_mut() {
                    row.remove(*gone);
                }
            }
            "CREATE" | "ALTER" | "QUERY" => {}
            other => panic!("unexpected DDL {other}: {sql}"),
        }
    }

    /// Compares one table with the source, row by row and column by column.
    pub fn compare(&self, session: &mut Session, table: &Table) {
        let empty = BTreeMap::new();
        let rows = self.tables.get(&table.name).unwrap_or(&empty);
        let columns: String = table.columns.iter().map(|(n, k)| format!(", {}", k.select(n))).collect();
        let source = session.rows(&format!("SELECT id, v{columns} FROM `{}` ORDER BY id", table.name));
        assert_eq!(source.len(), rows.len(), "rows of {}", table.name);
        for found in source {
            let text = |n: usize| found[n].as_deref().map(|b| String::from_utf8_lossy(b).into_owned());
            let key = text(0).expect("a key");
            let row = rows.get(&key).unwrap_or_else(|| panic!("{} lost the row {key}", table.name));
            assert_eq!(row.get("v").cloned().flatten(), text(1), "version of {} {key}", table.name);
            for (n, (column, kind)) in table.columns.iter().enumerate() {
                // A column that was added later is NULL in rows not written since.
                let delivered = row.get(column).cloned().flatten();
                assert!(
                    kind.same(found[n + 2].as_deref(), delivered.as_deref()),
                    "{}.{column} ({}) of row {key}: the source has {:?}, delivered was {delivered:?}",
                    table.name,
                    kind.declared,
                    text(n + 2),
                );
            }
        }
    }
}
