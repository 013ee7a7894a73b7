//! Statements, which no reader expresses: applied by their text, and shown to the readers all the same.

use std::collections::BTreeMap;

use serde_json::Value;

use super::changelog::Row;
use super::format::{Columns, Format};
use super::text;
use crate::pipeline::replica::quoted;
use crate::support::kafka::Record;

/// Applies a statement of the workload.
pub fn apply(tables: &mut BTreeMap<String, BTreeMap<String, Row>>, sql: &str) {
    let names = quoted(sql);
    let mut rows = |table: &str| std::mem::take(tables.entry(table.to_owned()).or_default());
    match names[..] {
        [table] if sql.starts_with("TRUNCATE") => drop(rows(table)),
        [old, new] if sql.starts_with("RENAME TABLE") => {
            let rows = rows(old);
            tables.insert(new.to_owned(), rows);
        }
        [table, old, new] if sql.contains("CHANGE COLUMN") => {
            let mut rows = rows(table);
            for row in rows.values_mut() {
                if let Some(value) = row.remove(old) {
                    row.insert(new.to_owned(), value);
                }
            }
            tables.insert(table.to_owned(), rows);
        }
        [table, column] if sql.contains("DROP COLUMN") => {
            let mut rows = rows(table);
            rows.values_mut().for_each(|row| drop(row.remove(column)));
            tables.insert(table.to_owned(), rows);
        }
        _ => {
            let known = ["CREATE DATABASE", "CREATE TABLE", "ALTER TABLE"];
            assert!(known.iter().any(|start| sql.starts_with(start)), "unexpected statement {sql}");
        }
    }
}

/// The reader refuses the statements, but for those that it passes by; tombstones are no rows.
pub fn assert_refused(format: Format, statements: &[&Record], tombstones: &[&Record]) {
    if matches!(format, Format::Shareplex | Format::DtsAvro) {
        return;
    }
    let columns = Columns { columns: vec![("id".to_owned(), "BIGINT"), ("v".to_owned(), "DECIMAL(20,0)")] };
    let records = statements.iter().chain(tombstones).copied().collect();
    let read = format.read(&[(columns, records)]).remove(0);
    let (of_statements, of_tombstones) = read.split_at(statements.len());
    assert!(of_tombstones.iter().all(|read| *read == Ok(Vec::new())), "{format:?}: a tombstone is a row");
    for (read, record) in of_statements.iter().zip(statements) {
        let message: Value = serde_json::from_str(&record.value).expect("JSON");
        if format == Format::Canal && text(&message, "/type") == "CREATE" {
            assert_eq!(*read, Ok(Vec::new()), "Flink passes CREATE by");
        } else {
            assert!(read.is_err(), "{format:?}: read as {read:?}: {record:?}");
        }
    }
}
