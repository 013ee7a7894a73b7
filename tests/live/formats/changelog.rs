//! Tables that the changes of a reader add up to, and their comparison with the source.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::format::{Columns, Format};
use super::shown::shown;
use super::statements;
use crate::pipeline::columns::{Flavour, Kind as ColumnKind};
use crate::pipeline::replica::{Order, in_order};
use crate::pipeline::workload::{Table, Writer};
use crate::support::kafka::Record;
use crate::support::sql::Session;

/// A row without its NULLs.
pub type Row = BTreeMap<String, Value>;

/// Whether a row is from now on, or was until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Before,
    After,
}

/// A part of a change as a reader tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub kind: Kind,
    pub row: Row,
}

/// All columns that each table ever had, by the part of its name that renames keep.
pub type Lineages = BTreeMap<String, Vec<(String, ColumnKind)>>;

/// What a format's records add up to.
pub struct Tables {
    format: Format,
    flavour: Flavour,
    rows: BTreeMap<String, BTreeMap<String, Row>>,
    /// Every version that came to be.
    pub versions: BTreeSet<u64>,
    /// The statements in order.
    pub statements: Vec<String>,
}

fn lineage(table: &str) -> &str {
    table.split("_n").next().unwrap_or(table)
}

pub fn lineages(writers: &[Writer]) -> Lineages {
    let tables = writers.iter().flat_map(|writer| writer.tables.values());
    tables.map(|table| (lineage(&table.name).to_owned(), table.ever.clone())).collect()
}

/// The table that a record is about.
fn table_of(record: &Record) -> &str {
    let name = record.header("relay.table").unwrap_or_else(|| panic!("a record without a table: {record:?}"));
    name.split_once('.').map_or(name, |(_, table)| table)
}

enum Event<'r> {
    Changes { table: &'r str, record: &'r Record, changes: Vec<Change> },
    Statement(String),
}

impl Tables {
    /// Reads the records and applies them in the order of the log, which is that of each partition.
    pub fn of(
        format: Format,
        flavour: Flavour,
        lineages: &Lineages,
        records: &[Record],
        ddl_records: &[Record],
    ) -> Self {
        let (tombstones, values): (Vec<_>, Vec<_>) = records.iter().partition(|record| record.value.is_empty());
        let (values, repeated) = in_order(values);
        let (ddl, ddl_repeated) = in_order(ddl_records);
        assert_eq!((repeated, ddl_repeated), (0, 0), "{format:?}: nothing was killed, nothing comes twice");
        let deletes = |op: Option<&str>| matches!(op, Some("delete" | "update.before"));
        let deleted = values.values().filter(|record| deletes(record.header("relay.op"))).count();
        assert_eq!(tombstones.len(), if format.is_debezium() { deleted } else { 0 }, "{format:?}: tombstones");

        let mut events = read(format, flavour, lineages, &values);
        let told: Vec<_> = ddl.values().copied().collect();
        events.extend(ddl.keys().copied().zip(format.statements(&told).into_iter().map(Event::Statement)));
        let mut tables =
            Self { format, flavour, rows: BTreeMap::new(), versions: BTreeSet::new(), statements: Vec::new() };
        for event in events.into_values() {
            match event {
                Event::Changes { table, record, changes } => tables.apply(table, record, changes),
                Event::Statement(sql) => {
                    statements::apply(&mut tables.rows, &sql);
                    tables.statements.push(sql);
                }
            }
        }
        statements::assert_refused(format, &told, &tombstones);
        tables
    }

    fn apply(&mut self, table: &str, record: &Record, changes: Vec<Change>) {
        let (format, known) = (self.format, self.rows.entry(table.to_owned()).or_default());
        assert!(!changes.is_empty(), "{format:?}: nothing is read of {record:?}");
        for Change { kind, row } in changes {
            let member =
                |name: &str| row.get(name).and_then(Value::as_str).expect("id and v are never NULL").to_owned();
            let key = member("id");
            match kind {
                Kind::Before => {
                    let before = known.remove(&key);
                    assert!(
                        before.as_ref() == Some(&row),
                        "{format:?} says of a row of {table} that it was\n{row:?}, known is\n{before:?}, in\n{record:?}"
                    );
                }
                Kind::After => {
                    self.versions.insert(member("v").parse().expect("a version"));
                    let other = known.insert(key, row);
                    assert!(other.is_none(), "{format:?}: {table} has {other:?} already, {record:?}");
                }
            }
        }
    }

    /// Compares one table with the source, row by row and column by column.
    pub fn compare(&self, session: &mut Session, table: &Table) {
        let (format, empty) = (self.format, BTreeMap::new());
        let rows = self.rows.get(&table.name).unwrap_or(&empty);
        let looks: Vec<_> = table.columns.iter().map(|(_, kind)| shown(format, kind, self.flavour)).collect();
        let columns: String =
            table.columns.iter().zip(&looks).map(|((n, _), l)| format!(", {}", l.select(n))).collect();
        let source = session.rows(&format!("SELECT id, v{columns} FROM `{}` ORDER BY id", table.name));
        assert_eq!(source.len(), rows.len(), "{format:?}: rows of {}", table.name);
        for found in source {
            let text = |n: usize| found[n].as_deref().map(|b| String::from_utf8_lossy(b).into_owned());
            let key = text(0).expect("a key");
            let row = rows.get(&key).unwrap_or_else(|| panic!("{format:?}: {} lost the row {key}", table.name));
            assert_eq!(row["v"].as_str(), text(1).as_deref(), "{format:?}: version of {} {key}", table.name);
            for (n, ((column, kind), looks)) in table.columns.iter().zip(&looks).enumerate() {
                let read = row.get(column);
                assert!(
                    looks.same(found[n + 2].as_deref(), read),
                    "{format:?}: {}.{column} ({}) of row {key}: the source has {:?}, read was {read:?}",
                    table.name,
                    kind.declared,
                    text(n + 2),
                );
            }
        }
    }
}

/// What the format's reader makes of each record.
fn read<'r>(
    format: Format,
    flavour: Flavour,
    lineages: &Lineages,
    records: &BTreeMap<Order, &'r Record>,
) -> BTreeMap<Order, Event<'r>> {
    let mut by_lineage: BTreeMap<&str, Vec<(Order, &'r Record)>> = BTreeMap::new();
    for (order, record) in records {
        by_lineage.entry(lineage(table_of(record))).or_default().push((*order, record));
    }
    let columns = |lineage: &str| {
        let own = lineages.get(lineage).map(Vec::as_slice).unwrap_or_default();
        let own = own.iter().map(|(name, kind)| (name.clone(), shown(format, kind, flavour).flink));
        let ours = [("id".to_owned(), "BIGINT"), ("v".to_owned(), "DECIMAL(20,0)")];
        Columns { columns: ours.into_iter().chain(own).collect() }
    };
    let tables: Vec<_> = by_lineage
        .iter()
        .map(|(lineage, records)| (columns(lineage), records.iter().map(|(_, record)| *record).collect()))
        .collect();
    let mut events = BTreeMap::new();
    for (records, read) in by_lineage.into_values().zip(format.read(&tables)) {
        assert_eq!(records.len(), read.len());
        for ((order, record), changes) in records.into_iter().zip(read) {
            let changes = changes.unwrap_or_else(|why| panic!("{format:?}: the reader refuses {record:?}: {why}"));
            events.insert(order, Event::Changes { table: table_of(record), record, changes });
        }
    }
    events
}
