//! DTS Avro as `fastavro` reads it with the published schema: changes with each value as a text that names its parts.

use serde_json::Value;

use super::changelog::{Change, Kind, Row};
use super::format::Columns;
use super::text;
use crate::fastavro;
use crate::support::kafka::Record;

/// The records, whose values are in hex.
fn decoded(records: &[&Record]) -> Vec<Value> {
    let bytes = |record: &&Record| {
        let digits = record.value.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).expect("hex"));
        digits.map(|two| u8::from_str_radix(two, 16).expect("hex")).collect()
    };
    fastavro::read(&records.iter().map(bytes).collect::<Vec<_>>(), false)
        .unwrap_or_else(|why| panic!("fastavro: {why}"))
}

/// What each record of each table changes.
pub fn read(tables: &[(Columns, Vec<&Record>)]) -> Vec<Vec<Vec<Change>>> {
    let all: Vec<&Record> = tables.iter().flat_map(|(_, records)| records).copied().collect();
    let decoded = decoded(&all);
    let mut all = decoded.iter().zip(all).map(|(message, record)| changes(message, record));
    tables.iter().map(|(_, records)| all.by_ref().take(records.len()).collect()).collect()
}

/// The texts of statements' records.
pub fn statements(records: &[&Record]) -> Vec<String> {
    let text_of = |message: &Value| {
        assert_eq!(message["operation"], "DDL");
        text(message, "/afterImages").to_owned()
    };
    decoded(records).iter().map(text_of).collect()
}

fn changes(message: &Value, record: &Record) -> Vec<Change> {
    assert_eq!(message["objectName"].as_str(), record.header("relay.table"), "{message}");
    let image = |kind, part: &str| Change { kind, row: row(message, part) };
    let (before, after) = (|| image(Kind::Before, "beforeImages"), || image(Kind::After, "afterImages"));
    match text(message, "/operation") {
        "INSERT" => vec![after()],
        "UPDATE" => vec![before(), after()],
        "DELETE" => vec![before()],
        other => panic!("unexpected operation {other}"),
    }
}

fn row(message: &Value, part: &str) -> Row {
    let list = |name: &str| message[name].as_array().unwrap_or_else(|| panic!("no {name} in {message}"));
    let (fields, values) = (list("fields"), list(part));
    assert_eq!(fields.len(), values.len(), "{message}");
    let named = fields.iter().map(|field| text(field, "/name").to_owned()).zip(values);
    named.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, Value::String(shown(value)))).collect()
}

/// A value as text:
///
/// | branch | text |
/// |---|---|
/// | Integer, Decimal, Float, TextObject | the number, the text |
/// | Character | `charset:` and the bytes in hex |
/// | BinaryObject, BinaryGeometry | `type:` and the bytes in hex |
/// | Timestamp | seconds and six digits of fraction |
/// | DateTime | its seven parts, `_` for one that is not given |
fn shown(value: &Value) -> String {
    let (branch, value) = value.as_object().and_then(|union| union.iter().next()).expect("a union's branch");
    match branch.as_str() {
        "Integer" | "Decimal" | "TextObject" => text(value, "/value").to_owned(),
        "Float" => value["value"].as_f64().expect("a number").to_string(),
        "Character" => format!("{}:{}", text(value, "/charset"), text(value, "/value/bytes_hex")),
        "BinaryObject" | "BinaryGeometry" => format!("{}:{}", text(value, "/type"), text(value, "/value/bytes_hex")),
        "Timestamp" => format!("{}.{:06}", value["timestamp"], value["millis"].as_u64().expect("microseconds")),
        "DateTime" => {
            let parts = ["year", "month", "day", "hour", "minute", "second", "millis"];
            parts.map(|part| value[part].as_i64().map_or("_".to_owned(), |part| part.to_string())).join(",")
        }
        other => panic!("unexpected branch {other}: {value}"),
    }
}
