//! Rows that were there before, in Kafka: each format tells them as its consumers know them, in front of the stream's.

use serde_json::{Value, json};

use super::{PATIENCE, wait_until_copied, wait_until_delivered};
use crate::fastavro;
use crate::support::daemon::{Daemon, Extra};
use crate::support::kafka::{Record, consume, consume_hex};
use crate::support::servers::shared;
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

/// A row that was there, and one that came later, as a format tells them.
type Told = fn(&Value) -> Option<(String, String)>;

/// Word of the format, and what of a record says what was done, and to which row.
const FORMATS: [(&str, Told); 4] = [
    ("canal-json", |record| {
        // Canal knows no rows of a copy: they are inserted, by a transaction without a name.
        let name = if record["gtid"] == "" { "copied" } else { "streamed" };
        Some((format!("{} {name}", record["type"].as_str()?), record["data"][0]["id"].as_str()?.to_owned()))
    }),
    ("debezium-json", |record| {
        let row = &record["after"]["id"];
        Some((format!("{} {}", record["op"].as_str()?, record["source"]["snapshot"]), row.to_string()))
    }),
    ("maxwell-json", |record| Some((record["type"].as_str()?.to_owned(), record["data"]["id"].to_string()))),
    ("dts-avro", |record| {
        let id = &record["afterImages"][0]["Integer"]["value"];
        Some((record["operation"].as_str()?.to_owned(), id.as_str()?.to_owned()))
    }),
];

fn values(format: &str, records: &[Record]) -> Vec<Value> {
    if format != "dts-avro" {
        return records.iter().map(|record| serde_json::from_str(&record.value).expect("JSON")).collect();
    }
    let bytes = |record: &Record| {
        let pairs = record.value.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).expect("hex"));
        pairs.map(|two| u8::from_str_radix(two, 16).expect("hex")).collect()
    };
    fastavro::read(&records.iter().map(bytes).collect::<Vec<_>>(), false).expect("fastavro reads them")
}

#[test]
fn every_format_says_which_rows_were_there_before() {
    let servers = shared(&["mysql97", "kafka"]);
    let server = servers.mysql97();
    let schema = fresh("initial");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run(&format!("CREATE TABLE {schema}.t (id INT PRIMARY KEY, v VARCHAR(10))"));
    root.run(&format!("INSERT INTO {schema}.t VALUES (1, 'there'), (2, 'there'), (3, NULL)"));
    let mut more = "[snapshot]\nmode = \"initial\"\nchunk_rows = 2\n".to_owned();
    for (format, _) in FORMATS {
        more += &format!(
            "[[delivery]]\nname = \"{format}\"\n[delivery.kafka]\nbrokers = \"{}\"\ntopic = \"{schema}_{format}\"\n\
             format = \"{format}\"\ncreate_topics = true\npartitions = 1\n",
            servers.brokers()
        );
    }
    let mut daemon = Daemon::new("");
    let extra = Extra { source: "start = \"latest\"", more: &more, ..Extra::default() };
    daemon.configure_to_file(&server.url("relay"), &format!("{schema}.*"), extra);
    daemon.start();
    wait_until_copied(&daemon);
    root.run(&format!("INSERT INTO {schema}.t VALUES (4, 'later')"));
    wait_until("the later row is in the log", PATIENCE, || {
        let rows = daemon.json("/api/v1/status")["cursors"].as_array()?.len();
        std::fs::read_to_string(daemon.lines()).ok()?.contains("later").then_some(rows)
    });
    wait_until_delivered(&daemon);
    wait_until("every delivery has all of it", PATIENCE, || {
        let status = daemon.json("/api/v1/status");
        let behind = |cursor: &Value| cursor["acked_seq"] != status["log"]["visible_seq"];
        (!status["cursors"].as_array()?.iter().any(behind)).then_some(())
    });
    assert!(daemon.stop().success());
    for (format, told) in FORMATS {
        let topic = format!("{schema}_{format}");
        let read = if format == "dts-avro" { consume_hex } else { consume };
        let records = read(servers.brokers(), &topic);
        let mut found: Vec<_> = values(format, &records).iter().filter_map(told).collect();
        found.sort_by(|a, b| a.1.cmp(&b.1));
        let (copied, streamed) = match format {
            "canal-json" => ("INSERT copied", "INSERT streamed"),
            "debezium-json" => ("r \"true\"", "c \"false\""),
            "maxwell-json" => ("bootstrap-insert", "insert"),
            _ => ("INIT", "INSERT"),
        };
        let rows = [(copied, "1"), (copied, "2"), (copied, "3"), (streamed, "4")];
        let expected: Vec<_> = rows.map(|(what, row)| (what.to_owned(), row.to_owned())).to_vec();
        assert_eq!(found, expected, "{format}: {}", json!(values(format, &records)));
        assert!(records.iter().all(|record| record.header("relay.op").is_some()), "{format}");
    }
}
