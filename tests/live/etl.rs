//! The reference scripts on their whole way: rows of a real source, a delivery for each script, and what a consumer finds
//! in its topic.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::daemon::{Daemon, Extra};
use crate::support::kafka::consume;
use crate::support::servers::shared;
use crate::support::sql::Session;
use crate::support::{fresh, wait_until};

const PATIENCE: Duration = Duration::from_secs(120);

/// Name and text of each script that can run.
const SCRIPTS: [(&str, &str); 10] = [
    ("number", "e_if(op_gt(`id`, 10000), e_drop())"),
    ("text", r#"e_if(str_contains(`name`, "hangzhou"), e_drop())"#),
    ("date", r#"e_if(op_lt(`order_timestamp`, "2015-02-23 23:54:55"), e_drop())"#),
    ("both", r#"e_if(op_and(op_gt(`id`, 1000), str_contains(`name`, "hangzhou")), e_drop())"#),
    ("mask", "e_set(`phone`, str_mask(`phone`, 7, 10, '*'))"),
    ("stamp", "e_set(dts_sync_time, __COMMIT_TIMESTAMP__)"),
    ("stamp_one", "e_if(op_eq(__TB__, 'dts_test_table'), e_set(dts_sync_time, __COMMIT_TIMESTAMP__))"),
    (
        "audit",
        "e_compose(e_switch(op_eq(__OPERATION__, __OP_DELETE__), e_set(op_class, 'DELETE'), \
         op_eq(__OPERATION__, __OP_UPDATE__), e_set(op_class, 'UPDATE'), default = e_set(op_class, 'INSERT')), \
         e_set(op_time, __COMMIT_TIMESTAMP__), e_set(__OPERATION__, __OP_INSERT__))",
    ),
    ("grade", r#"e_set(`grade`, op_if(op_ge(`score`, 60), "A", "B"))"#),
    ("null", "e_if(op_is_null(`x`), e_set(`x`, 0))"),
];
/// The one that is wrong in itself.
const WRONG: &str = r#"e_set(`n`, cast_string_to_long("12x"))"#;

/// The messages about rows in a script's topic.
fn told(brokers: &str, topic: &str) -> Vec<Value> {
    let records = consume(brokers, topic).into_iter();
    let messages = records.map(|record| serde_json::from_str::<Value>(&record.value).expect("JSON"));
    messages.filter(|message| message["isDdl"] == false).collect()
}

/// Column `name` of each message of this type.
fn values<'m>(messages: &'m [Value], kind: &str, name: &str) -> Vec<&'m Value> {
    let of_kind = messages.iter().filter(|message| message["type"] == kind);
    of_kind.map(|message| message["data"][0].get(name).unwrap_or(&Value::Null)).collect()
}

#[track_caller]
fn assert_inserted(script: &str, messages: &[Value], ids: &[&str]) {
    assert_eq!(values(messages, "INSERT", "id"), ids, "{script}");
}

#[test]
fn the_reference_scripts_reach_their_topics() {
    let servers = shared(&["mysql97", "kafka"]);
    let (server, brokers) = (servers.mysql97(), servers.brokers());
    let schema = fresh("etl");
    let mut root = Session::open(&server);
    root.run(&format!("CREATE DATABASE {schema}"));
    let mut daemon = Daemon::new("");
    let configure = |daemon: &Daemon, scripts: &[(&str, &str)]| {
        let deliveries = scripts.iter().map(|(name, script)| {
            format!(
                "[[delivery]]\nname = \"{name}\"\netl = '''{script}'''\n[delivery.kafka]\nbrokers = {brokers:?}\n\
                 topic = \"{schema}_{name}\"\ncreate_topics = true\npartitions = 1\n"
            )
        });
        let more = deliveries.collect::<String>();
        let extra = Extra { more: &more, ..Extra::default() };
        daemon.configure_to_file(&server.url("relay"), &format!("{schema}.*"), extra);
    };
    configure(&daemon, &[("wrong", WRONG)]);
    let refused = Command::new(env!("CARGO_BIN_EXE_relay"))
        .args(["check", "--config"])
        .arg(daemon.config())
        .env("RELAY_SOURCE_PASSWORD", "relay")
        .output()
        .expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&refused.stdout), String::from_utf8_lossy(&refused.stderr));
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("line 1, column 12: cast_string_to_long: the text is not a whole number"), "{said}");

    configure(&daemon, &SCRIPTS);
    daemon.start();
    let begun = root.text("SELECT UTC_TIMESTAMP(6)");
    for table in ["dts_test_table", "other"] {
        root.run(&format!(
            "CREATE TABLE {schema}.{table} (id INT PRIMARY KEY, name VARCHAR(40), phone VARCHAR(20), \
             order_timestamp DATETIME, score INT, grade VARCHAR(4), x INT) CHARSET utf8mb4"
        ));
    }
    for row in [
        "10000, 'in hangzhou', '18700001111', '2015-02-23 23:54:54', 59, '-', NULL",
        "10001, 'in Hangzhou', '18700001111', '2015-02-23 23:54:55', 99, '-', 7",
        "1000, 'hangzhou', '18700001111', '2016-01-01 00:00:00', 60, '-', NULL",
    ] {
        root.run(&format!("INSERT INTO {schema}.dts_test_table VALUES ({row})"));
    }
    root.run(&format!("UPDATE {schema}.dts_test_table SET phone = '13900002222' WHERE id = 10000"));
    root.run(&format!("DELETE FROM {schema}.dts_test_table WHERE id = 10001"));
    root.run(&format!("INSERT INTO {schema}.other VALUES (5, 'end', '1', '2020-01-01 00:00:00', 1, '-', 0)"));
    wait_until("the last row", PATIENCE, || {
        std::fs::read_to_string(daemon.lines()).ok().filter(|text| text.contains("\"end\"")).map(drop)
    });
    daemon.wait_delivered(PATIENCE);
    let messages = |name: &str| told(brokers, &format!("{schema}_{name}"));

    assert_inserted("number", &messages("number"), &["10000", "1000", "5"]);
    assert_inserted("text", &messages("text"), &["10001", "5"]);
    assert_inserted("date", &messages("date"), &["10001", "1000", "5"]);
    assert_inserted("both", &messages("both"), &["10001", "1000", "5"]);

    let masked = messages("mask");
    assert_eq!(values(&masked, "INSERT", "phone"), ["1870000****", "1870000****", "1870000****", "1"]);
    let update = masked.iter().find(|message| message["type"] == "UPDATE").expect("an update");
    assert_eq!(
        (&update["old"][0]["phone"], &update["data"][0]["phone"]),
        (&"1870000****".into(), &"1390000****".into())
    );

    let now = root.text("SELECT UTC_TIMESTAMP(6)");
    let is_stamp = |value: &Value| value.as_str().is_some_and(|time| *begun <= *time && *time <= *now);
    let stamped = messages("stamp");
    assert_eq!(stamped.len(), 6, "{stamped:#?}");
    assert!(stamped.iter().all(|message| is_stamp(&message["data"][0]["dts_sync_time"])), "{stamped:#?}");
    for message in messages("stamp_one") {
        let row = message["data"][0].as_object().expect("a row");
        match row.get("dts_sync_time") {
            Some(time) => assert!(message["table"] == "dts_test_table" && is_stamp(time), "{message}"),
            None => assert_eq!(message["table"], "other"),
        }
    }

    let audit = messages("audit");
    assert!(audit.iter().all(|m| m["type"] == "INSERT" && is_stamp(&m["data"][0]["op_time"])), "{audit:#?}");
    let classes = ["INSERT", "INSERT", "INSERT", "UPDATE", "DELETE", "INSERT"];
    assert_eq!(values(&audit, "INSERT", "op_class"), classes);
    assert_eq!(values(&audit, "INSERT", "id"), ["10000", "10001", "1000", "10000", "10001", "5"]);

    assert_eq!(values(&messages("grade"), "INSERT", "grade"), ["B", "A", "A", "B"]);
    assert_eq!(values(&messages("null"), "INSERT", "x"), ["0", "7", "0", "0"]);
    assert!(daemon.stop().success());
    root.run(&format!("DROP DATABASE {schema}"));
}
