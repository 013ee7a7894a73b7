//! Readers of change records that nobody here wrote, built by `ops/readers`.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::root;

/// Messages for one of Flink's formats.
#[derive(Debug, Clone)]
pub struct FlinkJob<'j> {
    /// `canal-json`, `debezium-json`, `maxwell-json`.
    pub format: &'j str,
    /// Options of the format, without its prefix.
    pub options: &'j [(&'j str, &'j str)],
    /// Columns of the table with Flink's types.
    pub columns: Vec<(&'j str, &'j str)>,
    /// Values of records; none is a tombstone.
    pub messages: Vec<Option<String>>,
}

/// A row of Flink's changelog.
#[derive(Debug, Clone, PartialEq)]
pub struct FlinkRow {
    /// `+I`, `-U`, `+U`, `-D`.
    pub kind: String,
    /// Text, an array, or null, for each column.
    pub values: Vec<Value>,
}

/// What Flink reads of each message: rows, or why it refuses.
#[track_caller]
pub fn flink(job: &FlinkJob<'_>) -> Vec<Result<Vec<FlinkRow>, String>> {
    let options: serde_json::Map<_, _> =
        job.options.iter().map(|&(name, value)| (name.to_owned(), json!(value))).collect();
    let line = json!({ "format": job.format, "options": options, "columns": job.columns, "messages": job.messages });
    let mut child = Command::new("java")
        .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", flink_class_path(), "FlinkReader"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("java runs");
    let mut input = child.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || input.write_all(format!("{line}\n").as_bytes()));
    let done = child.wait_with_output().expect("java ends");
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "the Flink reader: {}\n{complaint}", done.status);
    writer.join().expect("no panic").expect("the Flink reader takes its input");
    let answer: Value = serde_json::from_slice(&done.stdout).expect("an answer");
    let answers = answer["rows"].as_array().expect("an answer for each message");
    assert_eq!(answers.len(), job.messages.len());
    answers.iter().map(rows_of).collect()
}

fn rows_of(answer: &Value) -> Result<Vec<FlinkRow>, String> {
    let Some(rows) = answer.as_array() else {
        return Err(answer["error"].as_str().expect("why").to_owned());
    };
    let row = |row: &Value| FlinkRow {
        kind: row["kind"].as_str().expect("a kind").to_owned(),
        values: row["values"].as_array().expect("values").clone(),
    };
    Ok(rows.iter().map(row).collect())
}

fn flink_class_path() -> &'static str {
    static CLASS_PATH: OnceLock<String> = OnceLock::new();
    CLASS_PATH.get_or_init(|| {
        let done = Command::new(root().join("ops/readers")).arg("flink").output().expect("ops/readers runs");
        assert!(done.status.success(), "ops/readers flink: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("UTF-8").trim().to_owned()
    })
}
