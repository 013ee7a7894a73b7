//! The formats, the settings that their readers ask for, and the readers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::changelog::{Change, Kind, Row};
use super::{avro, text};
use crate::support::kafka::{Record, consume, consume_hex};
use crate::support::readers::{FlinkJob, FlinkRow, flink_each};

/// A format under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Canal,
    Debezium,
    DebeziumWithSchemas,
    Maxwell,
    Shareplex,
    DtsAvro,
}

/// A table through all its names, and the columns that it ever had, with the types that the reader has for them.
#[derive(Debug, Clone)]
pub struct Columns {
    pub columns: Vec<(String, &'static str)>,
}

impl Columns {
    fn job<'j>(&'j self, format: &'j str, options: &'j [(&'j str, &'j str)], records: &[&Record]) -> FlinkJob<'j> {
        let value = |record: &&Record| (!record.value.is_empty()).then(|| record.value.clone());
        FlinkJob {
            format,
            options,
            columns: self.columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect(),
            messages: records.iter().map(value).collect(),
        }
    }
}

/// Most messages that a reader holds at a time.
const MESSAGES: usize = 300;

impl Format {
    pub const ALL: [Self; 5] = [Self::Canal, Self::Debezium, Self::DebeziumWithSchemas, Self::Maxwell, Self::Shareplex];

    /// Its delivery's name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Canal => "canal",
            Self::Debezium => "debezium",
            Self::DebeziumWithSchemas => "debezium_schemas",
            Self::Maxwell => "maxwell",
            Self::Shareplex => "shareplex",
            Self::DtsAvro => "dts_avro",
        }
    }

    /// Lines of `[delivery.kafka]`.
    pub fn settings(self) -> &'static str {
        match self {
            Self::Canal => "format = \"canal-json\"\ncanal_binary = \"base64\"",
            Self::Debezium => "format = \"debezium-json\"\ndecimal = \"string\"",
            Self::DebeziumWithSchemas => "format = \"debezium-json\"\ndecimal = \"string\"\nschema = true",
            Self::Maxwell => "format = \"maxwell-json\"",
            Self::Shareplex => "format = \"shareplex-json\"",
            Self::DtsAvro => "format = \"dts-avro\"",
        }
    }

    /// Whether it is one of Debezium's.
    pub fn is_debezium(self) -> bool {
        matches!(self, Self::Debezium | Self::DebeziumWithSchemas)
    }

    /// The records of a topic; Avro's values are in hex.
    pub fn consume(self, brokers: &str, topic: &str) -> Vec<Record> {
        if self == Self::DtsAvro { consume_hex(brokers, topic) } else { consume(brokers, topic) }
    }

    fn flink(self) -> Option<(&'static str, &'static [(&'static str, &'static str)])> {
        match self {
            Self::Canal => Some(("canal-json", &[])),
            Self::Debezium => Some(("debezium-json", &[])),
            Self::DebeziumWithSchemas => Some(("debezium-json", &[("schema-include", "true")])),
            Self::Maxwell => Some(("maxwell-json", &[])),
            Self::Shareplex | Self::DtsAvro => None,
        }
    }

    /// What its reader makes of the records of each table; an empty value is a tombstone.
    pub fn read(self, tables: &[(Columns, Vec<&Record>)]) -> Vec<Vec<Result<Vec<Change>, String>>> {
        if self == Self::DtsAvro {
            return avro::read(tables).into_iter().map(|table| table.into_iter().map(Ok).collect()).collect();
        }
        let Some((format, options)) = self.flink() else {
            let read = |record: &&Record| Ok(shareplex(&record.value));
            return tables.iter().map(|(_, records)| records.iter().map(read).collect()).collect();
        };
        let jobs: Vec<_> = tables
            .iter()
            .flat_map(|(columns, records)| {
                records.chunks(MESSAGES).map(move |chunk| columns.job(format, options, chunk))
            })
            .collect();
        let mut answers = flink_each(&jobs).into_iter();
        let rest = |(columns, records): &(Columns, Vec<&Record>)| {
            let chunks = answers.by_ref().take(records.len().div_ceil(MESSAGES));
            let changes = |rows: Vec<FlinkRow>| rows.into_iter().map(|row| flink_change(columns, row)).collect();
            chunks.flatten().map(|read| read.map(changes)).collect()
        };
        tables.iter().map(rest).collect()
    }

    /// What the records of statements say.
    pub fn statements(self, records: &[&Record]) -> Vec<String> {
        match self {
            Self::DtsAvro => avro::statements(records),
            _ => records.iter().map(|record| self.statement(record)).collect(),
        }
    }

    fn statement(self, record: &Record) -> String {
        let message: Value = serde_json::from_str(&record.value).expect("a statement is JSON");
        match self {
            Self::Canal | Self::Maxwell => text(&message, "/sql").to_owned(),
            Self::Debezium => text(&message, "/ddl").to_owned(),
            Self::DebeziumWithSchemas => text(&message, "/payload/ddl").to_owned(),
            // It has an operation of its own, without text.
            Self::Shareplex if text(&message, "/meta/op") == "trunc" => {
                let table = text(&message, "/meta/table").rsplit('.').next().unwrap_or_default();
                format!("TRUNCATE TABLE `{table}`")
            }
            Self::Shareplex | Self::DtsAvro => text(&message, "/data/sql").to_owned(),
        }
    }
}

fn flink_change(columns: &Columns, row: FlinkRow) -> Change {
    let kind = match row.kind.as_str() {
        "+I" | "+U" => Kind::After,
        "-D" | "-U" => Kind::Before,
        other => panic!("Flink's {other}"),
    };
    let named = columns.columns.iter().map(|(name, _)| name.clone()).zip(row.values);
    Change { kind, row: named.filter(|(_, value)| !value.is_null()).collect() }
}

fn shareplex(message: &str) -> Vec<Change> {
    let message: Value = serde_json::from_str(message).expect("a message is JSON");
    let row = |part: &str| -> Row {
        let members = message[part].as_object().unwrap_or_else(|| panic!("no {part} in {message}"));
        members.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let present = |row: Row| -> Row { row.into_iter().filter(|(_, value)| !value.is_null()).collect() };
    match text(&message, "/meta/op") {
        "ins" => vec![Change { kind: Kind::After, row: present(row("data")) }],
        "del" => vec![Change { kind: Kind::Before, row: present(row("data")) }],
        "upd" => {
            let before = row("key");
            let mut after: BTreeMap<_, _> = before.clone();
            after.extend(row("data"));
            let change = |kind, row| Change { kind, row: present(row) };
            vec![change(Kind::Before, before), change(Kind::After, after)]
        }
        other => panic!("Shareplex's {other}"),
    }
}
