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

/// What Flink reads of a message: rows, or why it refuses.
pub type FlinkRead = Result<Vec<FlinkRow>, String>;

/// What Flink reads of each message.
#[track_caller]
pub fn flink(job: &FlinkJob<'_>) -> Vec<FlinkRead> {
    flink_each(std::slice::from_ref(job)).pop().expect("an answer")
}

/// The same for several jobs, one after the other.
#[track_caller]
pub fn flink_each(jobs: &[FlinkJob<'_>]) -> Vec<Vec<FlinkRead>> {
    let mut child = Command::new("java")
        .args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", flink_class_path(), "FlinkReader"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("java runs");
    let mut input = child.stdin.take().expect("piped");
    let done = std::thread::scope(|scope| {
        let writer = scope.spawn(move || jobs.iter().try_for_each(|job| input.write_all(line_of(job).as_bytes())));
        let done = child.wait_with_output().expect("java ends");
        let complaint = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "the Flink reader: {}\n{complaint}", done.status);
        writer.join().expect("no panic").expect("the Flink reader takes its input");
        done
    });
    let answers = done.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let read: Vec<Vec<FlinkRead>> = answers
        .map(|line| {
            let answer: Value = serde_json::from_slice(line).expect("an answer");
            answer["rows"].as_array().expect("an answer for each message").iter().map(rows_of).collect()
        })
        .collect();
    assert!(read.iter().map(Vec::len).eq(jobs.iter().map(|job| job.messages.len())), "an answer for each message");
    read
}

fn line_of(job: &FlinkJob<'_>) -> String {
    let options: serde_json::Map<_, _> =
        job.options.iter().map(|&(name, value)| (name.to_owned(), json!(value))).collect();
    let line = json!({ "format": job.format, "options": options, "columns": job.columns, "messages": job.messages });
    format!("{line}\n")
}

fn rows_of(answer: &Value) -> FlinkRead {
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
    CLASS_PATH.get_or_init(|| built("flink"))
}

/// What `ops/readers` says of a reader, once it is there.
fn built(reader: &str) -> String {
    let done = Command::new(root().join("ops/readers")).arg(reader).output().expect("ops/readers runs");
    assert!(done.status.success(), "ops/readers {reader}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("UTF-8").trim().to_owned()
}

/// Creates topics through confluent-kafka: `name:partitions`.
#[track_caller]
pub fn confluent_create(brokers: &str, topics: &[String]) {
    confluent(["create", brokers].into_iter().chain(topics.iter().map(String::as_str)));
}

/// The values of a topic's committed records through confluent-kafka; none is a tombstone.
#[track_caller]
pub fn confluent_read(brokers: &str, topic: &str) -> Vec<Option<String>> {
    confluent(["read", brokers, topic]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn confluent<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    static PYTHON: OnceLock<String> = OnceLock::new();
    let done = Command::new(PYTHON.get_or_init(|| built("confluent")))
        .arg("-B")
        .arg(root().join("tests/readers/confluent/client.py"))
        .args(arguments)
        .output()
        .expect("Python runs");
    assert!(done.status.success(), "confluent-kafka: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("UTF-8")
}

/// The Python that has pyodps.
pub fn pyodps_python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| built("pyodps"))
}
