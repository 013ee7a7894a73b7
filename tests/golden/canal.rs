//! The same files as messages: each rows event is planned and written as Canal JSON, the messages are applied to a
//! table as a consumer would, and after every transaction the table must be the one that the server printed.
//!
//! Where a file has no metadata the plan is made with a schema version of the declared types.

use std::collections::BTreeMap;
use std::sync::Arc;

use relay::binlog::RowsEvent;
use relay::binlog::event::{EventType, FormatDescription};
use relay::change::charset::Charset;
use relay::change::plan::{Planner, TablePlan};
use relay::change::{EventPlace, Op, RowsChange, TxInfo};
use relay::format::canal_json::{CanalJson, CanalOptions};
use relay::log::{ColumnDefinition, KeyDefinition, TableDefinition};
use relay_store::Seq;
use serde::Deserialize;

use crate::file::{self, BinlogFile, Expected, ExpectedColumn};

type Row = BTreeMap<String, Option<String>>;

#[derive(Deserialize)]
struct Message {
    data: Vec<Row>,
    old: Option<Vec<Row>>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "mysqlType")]
    mysql_type: BTreeMap<String, String>,
    #[serde(rename = "pkNames")]
    keys: Option<Vec<String>>,
}

const SCHEMA_ID: u64 = 1;

/// The schema version that information_schema would have given.
fn definition(expected: &Expected) -> TableDefinition {
    let columns = expected.columns.iter().map(|column| {
        let (column_type, charset) = declared(column);
        ColumnDefinition {
            name: column.name.clone(),
            column_type,
            charset,
            collation: None,
            nullable: column.name != "id",
            invisible: column.declared.contains("INVISIBLE"),
            generated: false,
        }
    });
    TableDefinition {
        id: SCHEMA_ID,
        database: expected.database.clone(),
        table: expected.table.clone(),
        columns: columns.collect(),
        keys: vec![KeyDefinition { name: "PRIMARY".into(), columns: vec![0] }],
        // The captured databases have it, and the columns without one of their own.
        default_charset: Some("latin1".into()),
        default_collation: None,
        unconfirmed: None,
        dropped: false,
    }
}

/// Type and character set of a declaration; long lists of labels are cut in the captures, and follow from the name.
fn declared(column: &ExpectedColumn) -> (String, Option<String>) {
    let labels = |letter: &str, count: usize| -> String {
        (1..=count).map(|n| format!("'{letter}{n}'")).collect::<Vec<_>>().join(",")
    };
    let text = match column.name.as_str() {
        "en300" => format!("enum({})", labels("l", 300)),
        name if column.declared.ends_with("...") => {
            let count = name.trim_start_matches("set").parse().expect("a number of labels");
            format!("set({})", labels("s", count))
        }
        _ => column.declared.clone(),
    };
    let (kind, charset) = match text.split_once(" CHARACTER SET ") {
        Some((kind, charset)) => (kind.to_owned(), Some(charset.split(' ').next().expect("a name").to_owned())),
        None => (text, None),
    };
    let kind = kind.replace(" NULL DEFAULT NULL", "").replace(" COMPRESSED", "").replace(" INVISIBLE", "");
    // What MariaDB makes of JSON.
    match kind.as_str() {
        "JSON" if column.kind == "bytes" => ("longtext".into(), Some("utf8mb4".into())),
        _ => (kind, charset),
    }
}

/// What the server printed, as the message should have it; none when the message must be compared as a number.
fn shown(column: &ExpectedColumn, cell: &str) -> Option<String> {
    let hex = |text: &str| -> Vec<u8> {
        let digits = text.strip_prefix("0x").expect("hexadecimal");
        (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("digits")).collect()
    };
    Some(match column.kind.as_str() {
        "bytes" | "binary16" => {
            let bytes = hex(cell);
            let (kind, charset) = declared(column);
            let is_text = ["CHAR", "VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"]
                .iter()
                .any(|word| kind.split(['(', ' ']).next().is_some_and(|first| first.eq_ignore_ascii_case(word)));
            if is_text {
                let charset = Charset::of_name(charset.as_deref().unwrap_or("utf8mb4")).expect("a known set");
                let mut scratch = String::new();
                let text = charset.decode(&bytes, &mut scratch);
                assert!(!text.bad);
                text.text.to_owned()
            } else {
                bytes.into_iter().map(char::from).collect()
            }
        }
        "enum" | "set" => cell.split_once('|').expect("number and label").1.to_owned(),
        "double" | "float" => return None,
        _ => cell.to_owned(),
    })
}

fn same(column: &ExpectedColumn, message: Option<&str>, server: Option<&str>) -> bool {
    let (Some(message), Some(server)) = (message, server) else { return message == server };
    match (column.kind.as_str(), shown(column, server)) {
        (_, Some(shown)) => message == shown,
        ("float", None) => {
            let exact = server.split_once('|').expect("exact and shown").0;
            exact.parse::<f64>().is_ok_and(|exact| message.parse::<f32>().map(f64::from) == Ok(exact))
        }
        (_, None) => message.parse::<f64>().ok() == server.parse::<f64>().ok(),
    }
}

/// Rows of the table by key, as the server showed them.
type Shown = BTreeMap<String, Vec<Option<String>>>;

struct Consumer<'e> {
    case: &'e str,
    expected: &'e Expected,
    /// The table's states, each by the statement that made it.
    states: Vec<(&'e str, Shown)>,
    reached: usize,
    table: BTreeMap<String, Row>,
    changed: bool,
    messages: usize,
}

impl<'e> Consumer<'e> {
    fn new(case: &'e str, expected: &'e Expected) -> Self {
        let mut states = Vec::new();
        let mut table = BTreeMap::new();
        for step in expected.steps.iter().filter(|s| !s.gone.is_empty() || !s.changed.is_empty()) {
            table.retain(|key, _| !step.gone.contains(key));
            table.extend(step.changed.iter().map(|row| (row[0].clone().expect("a key"), row.clone())));
            states.push((step.statement.as_str(), table.clone()));
        }
        Self { case, expected, states, reached: 0, table: BTreeMap::new(), changed: false, messages: 0 }
    }

    fn apply(&mut self, message: Message) {
        self.messages += 1;
        self.changed = true;
        assert_eq!(message.keys.as_deref(), Some(&["id".to_owned()][..]), "{}", self.case);
        assert_eq!(message.mysql_type.len(), self.expected.columns.len(), "{}", self.case);
        for (place, row) in message.data.into_iter().enumerate() {
            let id = |row: &Row| row.get("id").cloned().flatten();
            let now = id(&row).expect("every row holds the key");
            let old = message.old.as_ref().map(|old| &old[place]);
            let was = old.and_then(id).unwrap_or_else(|| now.clone());
            match message.kind.as_str() {
                "INSERT" => assert!(self.table.insert(now, row).is_none(), "{}", self.case),
                "DELETE" => assert!(self.table.remove(&was).is_some(), "{}: {was}", self.case),
                _ => {
                    let mut stored = self.table.remove(&was).expect("an updated row was there");
                    for (name, value) in old.expect("an update has an old") {
                        assert_eq!(&stored[name], value, "{}: old {name} of row {was}", self.case);
                    }
                    stored.extend(row);
                    self.table.insert(now, stored);
                }
            }
        }
    }

    fn end_transaction(&mut self) {
        if !std::mem::take(&mut self.changed) || self.reached == self.states.len() {
            return;
        }
        let (statement, expected) = &self.states[self.reached];
        let case = self.case;
        assert_eq!(self.table.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{case}: {statement}");
        for (id, row) in expected {
            for (column, server) in self.expected.columns.iter().zip(row) {
                let ours = self.table[id].get(&column.name).and_then(|cell| cell.as_deref());
                let name = &column.name;
                assert!(
                    same(column, ours, server.as_deref()),
                    "{case}: {name} of row {id} after {statement}: {ours:?}, the server shows {server:?}"
                );
            }
        }
        self.reached += 1;
    }
}

/// Plans, writes and consumes every row of a case.
pub fn consume(case: &str) {
    let expected = file::expected(case);
    let BinlogFile { description, events } = file::open(case);
    let planner = Planner::new();
    planner.learn(&definition(&expected).encode()).expect("a definition");
    let mut consumer = Consumer::new(case, &expected);
    let mut canal = CanalJson::new(&CanalOptions::default(), jiff::tz::TimeZone::UTC);
    let mut plans: BTreeMap<u64, Arc<TablePlan>> = BTreeMap::new();
    for raw in &events {
        let event = raw.parse(&description);
        match event.header.event_type {
            EventType::GTID | EventType::GTID_TAGGED | EventType::ANONYMOUS_GTID | EventType::MARIADB_GTID => {
                consumer.end_transaction();
            }
            EventType::TABLE_MAP => {
                let plan = planner.plan(&event, &description, Some(SCHEMA_ID)).expect("a table map");
                let id = relay::binlog::table_map::table_id(&event, &description).expect("an id");
                if let Ok(plan) = plan {
                    assert_eq!(plan.schema_version, Some(SCHEMA_ID), "{case}: metadata and declared types agree");
                    plans.insert(id, plan);
                }
            }
            t if t.is_rows() && !t.is_mariadb_compressed() => {
                let rows = RowsEvent::parse(&event, &description).expect("a rows event");
                let Some(plan) = plans.get(&rows.head.table_id) else { continue };
                for message in write(&mut canal, plan, rows) {
                    consumer.apply(message);
                }
            }
            _ => {}
        }
    }
    consumer.end_transaction();
    assert_eq!(consumer.reached, consumer.states.len(), "{case}: states seen");
    assert!(consumer.messages > 0);
    assert_eq!(canal.bad_text(), 0);
}

fn write(canal: &mut CanalJson, plan: &Arc<TablePlan>, event: RowsEvent<'_>) -> Vec<Message> {
    use relay::binlog::RowsKind;

    let tx = TxInfo::default();
    let op = match event.head.kind {
        RowsKind::Write => Op::Insert,
        RowsKind::Update => Op::Update,
        RowsKind::Delete => Op::Delete,
    };
    let change = RowsChange { seq: Seq(1), op, plan, tx: &tx, place: EventPlace::default(), snapshot: false, event };
    let mut messages = Vec::new();
    for row in change.rows() {
        let mut out = Vec::new();
        canal.write(&change, &[row.expect("a row")], 0, &mut out).expect("a message");
        messages.push(serde_json::from_slice(&out).expect("JSON"));
    }
    messages
}

/// The types that metadata alone gives are those that the server declares, for `types` with FULL metadata.
pub fn rebuilt_types(case: &str) {
    let expected = file::expected(case);
    let BinlogFile { description, events } = file::open(case);
    let plan = events
        .iter()
        .map(|raw| raw.parse(&description))
        .filter(|event| event.header.event_type == EventType::TABLE_MAP)
        .filter_map(|event| plan_alone(&event, &description))
        .find(|plan| plan.columns.len() == expected.columns.len())
        .expect("the table's map");
    for (column, expected) in plan.columns.iter().zip(&expected.columns) {
        let declared = declared(expected).0;
        // Without ZEROFILL, and without the widths of integers and years: older servers print them undeclared.
        let plain = |text: &str| {
            let text = text.to_ascii_lowercase().replace(" zerofill", "");
            match text.split_once('(') {
                Some((word, rest)) if word.ends_with("int") || word == "year" => {
                    format!("{word}{}", rest.split_once(')').expect("a width ends").1)
                }
                _ => text,
            }
        };
        let same_bytes = matches!(expected.kind.as_str(), "inet4" | "inet6" | "uuid");
        if !same_bytes {
            assert_eq!(plain(&column.declared), plain(&declared), "{case}: {}", column.name);
        }
    }
}

fn plan_alone(event: &relay::binlog::event::Event<'_>, description: &FormatDescription) -> Option<Arc<TablePlan>> {
    Planner::new().plan(event, description, None).expect("a table map").ok()
}
