//! A DTS task's config is one that `relay check` accepts on the servers it names, once what the report leaves to people is done.

use std::process::Command;

use crate::support::fresh;
use crate::support::kafka::create_topic;
use crate::support::servers::shared;
use crate::support::sql::Session;

#[test]
fn relay_check_accepts_an_imported_config() {
    let servers = shared(&["mysql97", "kafka"]);
    let database = servers.mysql97();
    let schema = fresh("imported");
    let mut root = Session::open(&database);
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run(&format!("CREATE TABLE {schema}.orders (id INT PRIMARY KEY, customer INT NOT NULL, note TEXT)"));
    root.run(&format!("CREATE TABLE {schema}.customers (id INT PRIMARY KEY, mail VARCHAR(100))"));
    let topics = ["all", "orders", "ddl"].map(fresh);
    topics.iter().for_each(|topic| create_topic(&servers, topic, 3, &[]));
    let [all, orders, ddl] = &topics;
    let (host, port) = servers.brokers().rsplit_once(':').expect("host:port");
    let reserve = serde_json::json!({
        "kafkaRecordFormat": "canal_json", "destKafkaPartitionKey": "columns", "destKafka.compression.type": "snappy",
        "destKafka.acks": "all", "destTopic": all, "sink.kafka.ddl.topic": ddl, "destSSL": "0",
        "srcSSL": "0", "maxRetryTime": 43200, "retry.blind.seconds": 600, "dbListCaseChangeMode": "source",
    });
    let objects = serde_json::json!({ schema.as_str(): { "name": schema, "all": false, "Table": {
        "orders": { "name": orders, "all": true, "part_key": "customer", "part_num": 2, "dml_op": "insert,update" },
        "customers": { "name": "customers", "all": true, "column": { "mail": { "name": "email" } } },
    } } });
    let task = serde_json::json!({
        "DtsJobName": "live import", "SourceEndpointEngineName": "MySQL", "SourceEndpointIP": "127.0.0.1",
        "SourceEndpointPort": database.port.to_string(), "SourceEndpointUserName": "relay",
        "DestinationEndpointEngineName": "Kafka", "DestinationEndpointIP": host, "DestinationEndpointPort": port,
        "DbList": objects.to_string(), "Reserve": reserve.to_string(),
    });
    let dir = tempfile::tempdir().expect("a folder");
    let (file, out) = (dir.path().join("task.json"), dir.path().join("relay.toml"));
    std::fs::write(&file, task.to_string()).expect("the task is written");
    let relay = || Command::new(env!("CARGO_BIN_EXE_relay"));
    let imported = relay().arg("import-dts").arg(&file).arg("--out").arg(&out).arg("--json").output().expect("it runs");
    let said = String::from_utf8_lossy(&imported.stderr);
    assert!(imported.status.success(), "{said}");
    let report: serde_json::Value = serde_json::from_str(&said).expect("one JSON object");
    assert!(report["items"].as_array().is_some_and(|items| items.iter().any(|item| item["fate"] == "taken")), "{said}");
    // What no task says: where the log lies.
    let text = std::fs::read_to_string(&out).expect("the config is there");
    let log = dir.path().join("log");
    std::fs::write(&out, format!("{text}\n[log]\ndir = {:?}\n", log.display().to_string()))
        .expect("the config is written");
    let checked = relay()
        .args(["check", "--accept-warnings", "--config"])
        .arg(&out)
        .env("RELAY_SOURCE_PASSWORD", "relay")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{said}\n{text}");
    assert!(!said.contains("fail  "), "{said}");
    let again = relay().arg("import-dts").arg(&file).arg("--out").arg(&out).output().expect("it runs");
    assert_eq!(again.status.code(), Some(1), "a config that is there stays");
    root.run(&format!("DROP DATABASE {schema}"));
}
