//! The JSON formats, read by Apache Flink's own (`flink-json`): the rows and kinds of change that it makes of what we
//! write are those that were written.
//!
//! What its readers cannot express or get wrong, each shown by a test here:
//!
//! | reader | what |
//! |---|---|
//! | canal-json | statements are refused, but for CREATE, which it passes by: `ddl_topic` must be another topic, or off |
//! | canal-json | updates that share a message (`canal_rows_per_message`): a column that changed in another row of it reads as NULL before |
//! | canal-json | BYTES are base64 there: `canal_binary = "base64"` |
//! | canal-json | rows of the initial copy under their own word, `canal_snapshot_type = "INIT"`, are refused |
//! | debezium-json | DECIMAL is a number or text there: `decimal = "string"` |
//! | debezium-json | dates and times are the integers that they are; TIMESTAMP is text, or a time with the ISO-8601 standard |
//! | debezium-json | schema changes and records of transactions are refused: they need topics of their own |
//! | maxwell-json | statements and rows of the initial copy are refused |
//! | maxwell-json | a column that did not change reads as NULL before, when a changed document has a member of its name |
//!
//! With `ignore-parse-errors`, what is refused is passed by.

mod columns;
mod messages;

use serde_json::{Value, json};

use crate::support::readers::{FlinkJob, FlinkRow, flink};
use columns::{CASES, Shown};
use messages::{Change, Format, Golden};

const INSERT: Change = Change::Insert;
const UPDATE: Change = Change::Update;
const DELETE: Change = Change::Delete;

fn rows(kinds: &[(&str, bool)], shown: fn(&columns::Case) -> Shown) -> Vec<FlinkRow> {
    let values = |is_new: bool| {
        let cases = CASES.with(|cases| cases.iter().map(shown).collect::<Vec<_>>());
        cases.into_iter().map(|shown| if is_new { shown.now } else { shown.was }).collect()
    };
    kinds.iter().map(|&(kind, is_new)| FlinkRow { kind: kind.to_owned(), values: values(is_new) }).collect()
}

/// Inserts, updates and deletes the golden row, and compares what Flink makes of it.
fn assert_read(format: Format, name: &str, options: &[(&str, &str)], shown: fn(&columns::Case) -> Shown) {
    let golden = Golden::new(format);
    let messages = [INSERT, UPDATE, DELETE].map(|change| Some(golden.message(change)));
    let columns = CASES.with(|cases| cases.iter().map(|case| (case.column.name, shown(case).kind)).collect());
    let read = flink(&FlinkJob { format: name, options, columns, messages: messages.to_vec() });
    assert_eq!(read[0], Ok(rows(&[("+I", false)], shown)));
    assert_eq!(read[1], Ok(rows(&[("-U", false), ("+U", true)], shown)));
    assert_eq!(read[2], Ok(rows(&[("-D", true)], shown)));
}

#[test]
fn flink_reads_canal_json() {
    assert_read(Format::Canal, "canal-json", &[], |case| case.canal.clone());
}

#[test]
fn flink_reads_debezium_json_without_and_with_schemas() {
    assert_read(Format::Debezium { schema: false }, "debezium-json", &[], |case| case.debezium.clone());
    let options = [("schema-include", "true")];
    assert_read(Format::Debezium { schema: true }, "debezium-json", &options, |case| case.debezium.clone());
}

#[test]
fn flink_reads_maxwell_json() {
    assert_read(Format::Maxwell, "maxwell-json", &[], |case| case.maxwell.clone());
}

fn text_row(kind: &str, values: &[Option<&str>]) -> FlinkRow {
    FlinkRow { kind: kind.to_owned(), values: values.iter().map(|value| json!(value)).collect() }
}

fn two_columns(format: &'static str, messages: Vec<Option<String>>) -> Vec<Result<Vec<FlinkRow>, String>> {
    flink(&FlinkJob { format, options: &[], columns: vec![("id", "BIGINT"), ("note", "STRING")], messages })
}

#[test]
fn flink_reads_debeziums_snapshots_tombstones_key_changes_and_times() {
    let golden = Golden::new(Format::Debezium { schema: false });
    let (gone, new) = golden.key_change();
    let read = two_columns("debezium-json", vec![Some(golden.message(Change::Snapshot)), Some(gone), None, Some(new)]);
    assert_eq!(read[0], Ok(vec![text_row("+I", &[Some("1001"), Some("première \"📦\"")])]));
    assert_eq!(read[1], Ok(vec![text_row("-D", &[Some("1001"), Some("première \"📦\"")])]));
    assert_eq!(read[2], Ok(vec![]), "a tombstone is no row");
    assert_eq!(read[3], Ok(vec![text_row("+I", &[Some("1002"), None])]));

    let read = flink(&FlinkJob {
        format: "debezium-json",
        options: &[("timestamp-format.standard", "ISO-8601")],
        columns: vec![("ts3", "TIMESTAMP_LTZ(3)")],
        messages: vec![Some(golden.message(INSERT))],
    });
    assert_eq!(read[0], Ok(vec![text_row("+I", &[Some("2026-01-01T00:00:00.120")])]));
}

fn refused(read: &Result<Vec<FlinkRow>, String>) -> bool {
    read.is_err()
}

#[test]
fn flink_refuses_statements_in_canal_json_but_for_create() {
    let golden = Golden::new(Format::Canal);
    let statements = ["CREATE", "ALTER", "ERASE", "RENAME", "TRUNCATE", "CINDEX", "DINDEX", "QUERY"];
    let mut messages: Vec<_> = statements.iter().map(|kind| Some(golden.statement(kind))).collect();
    messages.push(Some(golden.message(Change::Snapshot)));
    let read = two_columns("canal-json", messages.clone());
    assert_eq!(read[0], Ok(vec![]), "CREATE is passed by");
    assert!(read[1..8].iter().all(refused), "{read:?}");
    assert_eq!(
        read[8],
        Ok(vec![text_row("+I", &[Some("1001"), Some("première \"📦\"")])]),
        "a copied row is an insert"
    );

    let columns = vec![("id", "BIGINT"), ("note", "STRING")];
    let options = [("ignore-parse-errors", "true")];
    let read = flink(&FlinkJob { format: "canal-json", options: &options, columns, messages });
    assert!(read[..8].iter().all(|read| *read == Ok(vec![])), "{read:?}");

    let init = two_columns("canal-json", vec![Some(Golden::new(Format::CanalInit).message(Change::Snapshot))]);
    assert!(refused(&init[0]), "{init:?}");
}

#[test]
fn flink_tells_a_change_from_null_from_none() {
    for (format, name) in [
        (Format::Canal, "canal-json"),
        (Format::Debezium { schema: false }, "debezium-json"),
        (Format::Maxwell, "maxwell-json"),
    ] {
        let read = two_columns(name, vec![Some(Golden::new(format).message(Change::FromNull))]);
        let was = text_row("-U", &[Some("1001"), None]);
        assert_eq!(read[0], Ok(vec![was, text_row("+U", &[Some("1001"), Some("première \"📦\"")])]), "{name}");
    }
}

#[test]
fn flink_mixes_up_what_changed_in_updates_that_share_a_canal_message() {
    let columns = || vec![("id", "BIGINT"), ("a", "STRING"), ("b", "STRING")];
    let read = |messages| flink(&FlinkJob { format: "canal-json", options: &[], columns: columns(), messages });
    let golden = Golden::new(Format::Canal);
    let row = |kind, id, a, b| text_row(kind, &[Some(id), a, b]);
    let first = [row("-U", "1", Some("old"), Some("same")), row("+U", "1", Some("new"), Some("same"))];
    let second = [row("-U", "2", Some("same"), Some("old")), row("+U", "2", Some("same"), Some("new"))];
    // The first row's `a` changes, the second's `b`.
    let alone = read(golden.two_updates(1));
    assert_eq!(alone, [Ok(first.to_vec()), Ok(second.to_vec())]);
    let together = read(golden.two_updates(2));
    let wrong =
        [row("-U", "1", Some("old"), None), first[1].clone(), row("-U", "2", None, Some("old")), second[1].clone()];
    assert_eq!(together, [Ok(wrong.to_vec())]);
}

#[test]
fn flink_refuses_debeziums_schema_changes_and_transactions() {
    let golden = Golden::new(Format::Debezium { schema: false });
    let [begin, end] = golden.transaction();
    let read = two_columns("debezium-json", vec![Some(golden.statement("ALTER")), Some(begin), Some(end)]);
    assert!(read.iter().all(refused), "{read:?}");
}

#[test]
fn flink_refuses_maxwells_statements_and_bootstraps() {
    let golden = Golden::new(Format::Maxwell);
    let read = two_columns(
        "maxwell-json",
        vec![Some(golden.statement("CREATE")), Some(golden.statement("ALTER")), Some(golden.message(Change::Snapshot))],
    );
    assert!(read.iter().all(refused), "{read:?}");
}

#[test]
fn flink_mistakes_members_of_maxwells_documents_for_columns() {
    let golden = Golden::new(Format::Maxwell);
    let read = flink(&FlinkJob {
        format: "maxwell-json",
        options: &[],
        // The document's members are `a` and `b`; it changes, the column does not.
        columns: vec![("id", "BIGINT"), ("a", "STRING"), ("doc", "STRING")],
        messages: vec![Some(golden.document_change())],
    });
    let shown =
        |kind: &str, a: Value, doc: &str| FlinkRow { kind: kind.into(), values: vec![json!("1"), a, json!(doc)] };
    let wrong = shown("-U", Value::Null, r#"{"a":1,"b":"x"}"#);
    assert_eq!(read[0], Ok(vec![wrong, shown("+U", json!("same"), r#"{"a":2,"b":"x"}"#)]));
}
