//! Kafka seen through `kcat`, a client that nobody here wrote.

use std::process::Command;

/// One record as `kcat` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Timestamp, Unix ms.
    pub timestamp_ms: i64,
    /// Key; empty when there is none.
    pub key: String,
    /// Headers as `name=value` in order.
    pub headers: Vec<(String, String)>,
    /// Value; empty when there is none, as of a tombstone.
    pub value: String,
}

impl Record {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// Creates a topic with the broker's own tool.
pub fn create_topic(servers: &super::servers::Servers, topic: &str, partitions: u32, configs: &[&str]) {
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", servers.get("KAFKA_CLASSPATH")]);
    command.args(["org.apache.kafka.tools.TopicCommand", "--bootstrap-server", servers.brokers(), "--create"]);
    command.args(["--topic", topic, "--replication-factor", "1", "--partitions", &partitions.to_string()]);
    for config in configs {
        command.args(["--config", config]);
    }
    let done = command.output().expect("java runs");
    assert!(done.status.success(), "create topic {topic}: {}", String::from_utf8_lossy(&done.stdout));
}

/// Gives a topic more partitions with the broker's own tool.
pub fn widen_topic(servers: &super::servers::Servers, topic: &str, partitions: u32) {
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", servers.get("KAFKA_CLASSPATH")]);
    command.args(["org.apache.kafka.tools.TopicCommand", "--bootstrap-server", servers.brokers(), "--alter"]);
    command.args(["--topic", topic, "--partitions", &partitions.to_string()]);
    let done = command.output().expect("java runs");
    assert!(done.status.success(), "widen topic {topic}: {}", String::from_utf8_lossy(&done.stdout));
}

/// Changes one setting of a topic with the broker's own tool.
pub fn alter_topic(servers: &super::servers::Servers, topic: &str, config: &str) {
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", servers.get("KAFKA_CLASSPATH")]);
    command.args(["kafka.admin.ConfigCommand", "--bootstrap-server", servers.brokers(), "--alter"]);
    command.args(["--entity-type", "topics", "--entity-name", topic, "--add-config", config]);
    let done = command.output().expect("java runs");
    assert!(done.status.success(), "alter topic {topic}: {}", String::from_utf8_lossy(&done.stdout));
}

/// Adds an access rule with the broker's own tool; a resource that has one is closed to everyone whom none allows.
pub fn allow(servers: &super::servers::Servers, principal: &str, operations: &[&str], resource: [&str; 2]) {
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", servers.get("KAFKA_CLASSPATH")]);
    command.args(["org.apache.kafka.tools.AclCommand", "--bootstrap-server", servers.brokers(), "--add", "--force"]);
    command.args(["--allow-principal", principal]).args(resource);
    for operation in operations {
        command.args(["--operation", operation]);
    }
    let done = command.output().expect("java runs");
    assert!(done.status.success(), "allow {principal}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Writes one record into a topic.
pub fn produce(brokers: &str, topic: &str, value: &str) {
    let mut child = Command::new("kcat")
        .args(["-P", "-q", "-b", brokers, "-t", topic])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("kcat runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), value.as_bytes()).expect("kcat reads");
    assert!(child.wait().expect("kcat ends").success(), "kcat writes to {topic}");
}

/// The first `count` committed values of a topic through Kafka's own console consumer, which says `null` for a tombstone.
pub fn console_consume(servers: &super::servers::Servers, topic: &str, count: usize) -> Vec<String> {
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", servers.get("KAFKA_CLASSPATH")]);
    command.args(["org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", servers.brokers()]);
    // It has no notion of a topic's end.
    command.args(["--topic", topic, "--from-beginning", "--max-messages", &count.to_string(), "--timeout-ms", "60000"]);
    command.args(["--isolation-level", "read_committed"]);
    let done = command.output().expect("java runs");
    assert!(done.status.success(), "the console consumer: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("our records are UTF-8").lines().map(String::from).collect()
}

/// How long `kcat` may read, in seconds.
const KCAT_PATIENCE: &str = "300";

/// All records of a topic, in order within each partition: also those of transactions that were aborted, or are open. It
/// ends once it has been at the end of each partition, which may never be while somebody writes to all of them.
pub fn consume(brokers: &str, topic: &str) -> Vec<Record> {
    consume_text("read_uncommitted", brokers, topic)
}

/// The same, of committed transactions only: up to the first open one in each partition.
pub fn consume_committed(brokers: &str, topic: &str) -> Vec<Record> {
    consume_text("read_committed", brokers, topic)
}

/// The newest record of each partition, of a topic without transactions: what one waits for is cheaper to find so.
pub fn newest(brokers: &str, topic: &str) -> Vec<Record> {
    consume_as(["-o", "-1", "-X", "isolation.level=read_uncommitted"], brokers, topic, text)
}

fn consume_text(isolation: &str, brokers: &str, topic: &str) -> Vec<Record> {
    consume_as(["-o", "beginning", "-X", &format!("isolation.level={isolation}")], brokers, topic, text)
}

fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).expect("our records are UTF-8")
}

/// As [`consume`], for values that are no text: they are given in hex.
pub fn consume_hex(brokers: &str, topic: &str) -> Vec<Record> {
    let all = ["-o", "beginning", "-X", "isolation.level=read_uncommitted"];
    consume_as(all, brokers, topic, |value| value.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn consume_as(what: [&str; 4], brokers: &str, topic: &str, shown: impl Fn(&[u8]) -> String) -> Vec<Record> {
    let (records, partitions) = read(what, brokers, topic, &shown);
    let seen: std::collections::BTreeSet<i32> = records.iter().map(|record| record.partition).collect();
    if seen.len() == partitions {
        return records;
    }
    // It is empty; or kcat came to its end without its records, as happens now and then on a machine that is busy.
    let (again, _) = read(what, brokers, topic, &shown);
    if again.len() > records.len() { again } else { records }
}

/// The records, and how many partitions were read to their end.
fn read(what: [&str; 4], brokers: &str, topic: &str, shown: impl Fn(&[u8]) -> String) -> (Vec<Record>, usize) {
    // Unit separators cannot stand in compact JSON, in our keys or in our headers.
    let format = "%p\x1f%o\x1f%T\x1f%k\x1f%h\x1f%S\x1f%s\x1e";
    let done = Command::new("timeout")
        .args(["--signal=KILL", KCAT_PATIENCE, "kcat"])
        .args(["-C", "-b", brokers, "-t", topic, "-e", "-f", format])
        // By default a question that finds no leader is answered by going to the end, as if there were no records.
        .args(["-X", "auto.offset.reset=earliest"])
        .args(what)
        .output()
        .expect("kcat runs");
    assert!(done.status.success(), "kcat {topic}: {}: {}", done.status, String::from_utf8_lossy(&done.stderr));
    let partitions = String::from_utf8_lossy(&done.stderr).matches("% Reached end of topic").count();
    let mut rest = &done.stdout[..];
    let mut records = Vec::new();
    while !rest.is_empty() {
        let mut next = || {
            let end = rest.iter().position(|byte| *byte == 0x1f).expect("kcat ends its fields");
            let field = std::str::from_utf8(&rest[..end]).expect("our keys and headers are UTF-8");
            rest = &rest[end + 1..];
            field
        };
        let (partition, offset, timestamp, key, headers, length) = (next(), next(), next(), next(), next(), next());
        // A null has a length of -1.
        let length = length.parse::<i64>().expect("a length").max(0).unsigned_abs() as usize;
        records.push(Record {
            partition: partition.parse().expect("a partition"),
            offset: offset.parse().expect("an offset"),
            timestamp_ms: timestamp.parse().expect("a timestamp"),
            key: key.to_owned(),
            headers: headers
                .split(',')
                .filter_map(|h| h.split_once('='))
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            value: shown(&rest[..length]),
        });
        assert_eq!(rest[length], 0x1e, "kcat ends its records");
        rest = &rest[length + 1..];
    }
    (records, partitions)
}
