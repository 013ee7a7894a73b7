//! Replays a file into a table of text and compares it with the server's own after every transaction.

use std::collections::BTreeMap;

use relay::binlog::event::EventType;
use relay::binlog::{ColumnDef, RowImage, RowsEvent, TableMap};

use crate::file::{self, BinlogFile, Expected};
use crate::render::{NO_BASE, render};

type Row = Vec<Option<String>>;

struct Replay<'e> {
    case: &'e str,
    expected: &'e Expected,
    /// The table's states, as far as they differ: a statement that changes nothing writes no transaction.
    states: Vec<(&'e str, BTreeMap<String, Row>)>,
    reached: usize,
    table: BTreeMap<String, Row>,
    changed: bool,
    columns: BTreeMap<u64, Vec<ColumnDef>>,
    rows: usize,
}

pub fn replay(case: &str) {
    let expected = file::expected(case);
    let BinlogFile { description, events } = file::open(case);
    let mut replay = Replay::new(case, &expected);
    for raw in &events {
        let event = raw.parse(&description);
        match event.header.event_type {
            EventType::GTID | EventType::GTID_TAGGED | EventType::ANONYMOUS_GTID | EventType::MARIADB_GTID => {
                replay.end_transaction();
            }
            EventType::TABLE_MAP => {
                let map = TableMap::parse(&event, &description).unwrap();
                let ours = map.database == expected.database && map.table == expected.table;
                if ours && replay.reached < replay.states.len() {
                    replay.map(map);
                }
            }
            t if t.is_rows() && !t.is_mariadb_compressed() => {
                let rows = RowsEvent::parse(&event, &description).unwrap();
                replay.apply(&rows);
            }
            _ => {}
        }
    }
    replay.end_transaction();
    assert_eq!(replay.reached, replay.states.len(), "{case}: states seen");
    assert!(replay.rows > 0);
}

impl<'e> Replay<'e> {
    fn new(case: &'e str, expected: &'e Expected) -> Self {
        let mut states: Vec<(&str, BTreeMap<String, Row>)> = Vec::new();
        let mut table: BTreeMap<String, Row> = BTreeMap::new();
        for step in expected.steps.iter().filter(|s| !s.gone.is_empty() || !s.changed.is_empty()) {
            table.retain(|key, _| !step.gone.contains(key));
            table.extend(step.changed.iter().map(|row| (row[0].clone().unwrap(), row.clone())));
            states.push((&step.statement, table.clone()));
        }
        Replay {
            case,
            expected,
            states,
            reached: 0,
            table: BTreeMap::new(),
            changed: false,
            columns: BTreeMap::new(),
            rows: 0,
        }
    }

    /// Checks what the map says against the declarations, and gives what it does not say.
    fn map(&mut self, map: TableMap<'_>) {
        let mut columns = map.columns;
        assert_eq!(columns.len(), self.expected.columns.len(), "{}", self.case);
        let has_metadata = !self.expected.version.starts_with("5.6") && !self.case.ends_with("no_metadata");
        assert_eq!(map.full, has_metadata && !self.case.ends_with("minimal_metadata"), "{}", self.case);
        for (column, expected) in columns.iter_mut().zip(&self.expected.columns) {
            let name = &expected.name;
            if map.full {
                assert_eq!(column.name.as_deref(), Some(name.as_str()));
                let key = (name == "id").then_some(0);
                assert_eq!(column.key.map(|k| k.order), key, "{name}");
            } else {
                assert_eq!(column.name, None);
            }
            if column.wire().is_old_time() {
                // TIME(6) and the like.
                let digits = expected.declared.split_once('(').map_or(0, |(_, rest)| rest.as_bytes()[0] - b'0');
                column.set_fraction_digits(digits).unwrap();
            }
            let unsigned = expected.declared.contains("UNSIGNED") || expected.kind == "text";
            if has_metadata && column.wire().is_numeric() {
                assert_eq!(column.unsigned, Some(unsigned), "sign of {name}");
            } else {
                assert_eq!(column.unsigned, None, "sign of {name}");
                column.unsigned = Some(unsigned);
            }
            if let (true, Some(visible)) = (map.full, column.visible) {
                assert_eq!(visible, !expected.declared.contains("INVISIBLE"), "visibility of {name}");
            }
        }
        self.columns.insert(map.table_id, columns);
    }

    fn apply(&mut self, event: &RowsEvent<'_>) {
        let Some(columns) = self.columns.get(&event.head.table_id) else { return };
        // The definitions stay; only the table of text changes.
        let columns = columns.clone();
        for row in event.rows(&columns) {
            let row = row.unwrap_or_else(|e| panic!("{}: {e}", self.case));
            self.rows += 1;
            self.changed = true;
            let before = row.before.map(|image| self.cells(&image, None));
            let after = row.after.map(|image| self.cells(&image, row.before.as_ref()));
            let mut stored = match &before {
                None => vec![None; columns.len()],
                Some(cells) => {
                    let id = self.key(cells);
                    let stored = self.table.remove(&id).unwrap_or_else(|| panic!("{}: no row {id}", self.case));
                    for (i, cell) in cells {
                        let name = &self.expected.columns[*i].name;
                        assert_eq!(cell, &stored[*i], "{}: before image of {name} of row {id}", self.case);
                    }
                    stored
                }
            };
            if let Some(cells) = after {
                for (i, cell) in cells {
                    stored[i] = cell;
                }
                self.table.insert(stored[0].clone().expect("the key is in every row"), stored);
            }
        }
    }

    fn key(&self, cells: &[(usize, Option<String>)]) -> String {
        let id = cells.iter().find(|(i, _)| *i == 0).and_then(|(_, cell)| cell.clone());
        id.expect("every before image holds the key")
    }

    fn cells(&self, image: &RowImage<'_>, base: Option<&RowImage<'_>>) -> Vec<(usize, Option<String>)> {
        image
            .values()
            .map(|value| {
                let (i, value) = value.unwrap_or_else(|e| panic!("{}: {e}", self.case));
                let base = base.and_then(|base| base.get(i).unwrap());
                (i, render(&self.expected.columns[i].kind, &image.columns()[i], value, base))
            })
            .collect()
    }

    fn end_transaction(&mut self) {
        if !std::mem::take(&mut self.changed) || self.reached == self.states.len() {
            return;
        }
        let (statement, expected) = &self.states[self.reached];
        assert_eq!(
            self.table.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "{}: {statement}",
            self.case
        );
        for (id, row) in expected {
            for (i, cell) in row.iter().enumerate() {
                if self.table[id][i].as_deref() == Some(NO_BASE) {
                    assert_eq!(self.case, "mysql97/json_partial_minimal");
                    continue;
                }
                let (cell, name) = (self.without_labels(i, cell), &self.expected.columns[i].name);
                assert_eq!(self.table[id][i], cell, "{}: {name} of row {id} after {statement}", self.case);
            }
        }
        self.reached += 1;
    }

    /// Without metadata a file has no labels to compare.
    fn without_labels(&self, i: usize, cell: &Option<String>) -> Option<String> {
        let column = &self.expected.columns[i];
        let known = self.columns.values().all(|c| c[i].labels.is_some());
        match (column.kind.as_str(), cell) {
            ("enum" | "set", Some(text)) if !known => {
                let (number, labels) = text.split_once('|').unwrap();
                let unknown = if labels.is_empty() { vec![] } else { vec!["?"; labels.split(',').count()] };
                Some(format!("{number}|{}", unknown.join(",")))
            }
            _ => cell.clone(),
        }
    }
}
