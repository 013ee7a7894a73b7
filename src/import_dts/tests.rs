use std::path::Path;

use super::*;
use crate::config::objects::{DdlOp, DmlOp};
use crate::config::{OnConflict, SinkConfig};
use crate::filter::FilterImages;
use crate::format::FormatName;

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import-dts").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn import_texts(texts: &[&str]) -> Result<Imported, ImportError> {
    let inputs: Vec<Input<'_>> = texts.iter().map(|text| Input { name: "task.json", bytes: text.as_bytes() }).collect();
    import(&inputs)
}

#[track_caller]
fn refused(texts: &[&str]) -> String {
    import_texts(texts).expect_err("it cannot be imported").to_string()
}

#[track_caller]
fn parsed(toml: &str) -> Config {
    let environment = |name: &str| name.ends_with("_PASSWORD").then(|| "x".to_owned());
    Config::parse(toml, Path::new("relay.toml"), &environment).unwrap_or_else(|e| panic!("{e}\n{toml}"))
}

/// These texts give exactly the config and the report that stand in the fixtures of that name.
#[track_caller]
fn golden(texts: &[&str], name: &str) -> Config {
    let imported = import_texts(texts).unwrap();
    let report = imported.report.to_string();
    assert_eq!(imported.toml, fixture(&format!("{name}.toml")), "{}", imported.toml);
    assert_eq!(report, fixture(&format!("{name}.report")), "{report}");
    assert!(!imported.toml.contains("canary") && !report.contains("canary"), "a secret is repeated");
    parsed(&imported.toml)
}

#[test]
fn a_request_becomes_a_config_and_a_report() {
    let config = golden(&[&fixture("request.json")], "request");
    assert_eq!(config.source.url, "mysql://dts%5Fuser@10.1.2.3:3307");
    let delivery = &config.deliveries[0];
    let SinkConfig::Kafka(kafka) = &delivery.kind else { panic!("{delivery:?}") };
    assert_eq!(kafka.brokers, "10.1.2.4:9093");
    assert_eq!(kafka.ddl_topic, "all_changes");
    assert_eq!(kafka.registry, None, "records in JSON have no schema");
    assert_eq!(delivery.transform.etl.as_deref(), Some("e_drop(op_eq(`id`, 0))"));
    assert_eq!(delivery.transform.filter_images, FilterImages::Before);
    assert_eq!(delivery.objects.rule("shop", "customers").unwrap().filter.as_deref(), Some("id > 10"));
    assert_eq!(delivery.on_conflict, OnConflict::Report);
    assert_eq!(delivery.alert.latency.0, std::time::Duration::from_secs(60));
    let orders = delivery.objects.rule("shop", "orders").unwrap();
    assert_eq!(orders.topic.as_deref(), Some("orders_topic"));
    assert_eq!(orders.dml_op, Some([DmlOp::Insert, DmlOp::Update].into()));
    assert_eq!(orders.ddl_op, Some([DdlOp::AlterTable, DdlOp::TruncateTable].into()));
    assert_eq!((orders.partitions, orders.partition_key.clone()), (Some(6), Some(vec!["customer_id".to_owned()])));
    assert!(config.source.tables.matches("billing", "any") && !config.source.tables.matches("shop", "other"));
}

#[test]
fn an_answer_about_a_task_becomes_a_config_with_places_to_fill_in() {
    let config = golden(&[&fixture("detail.json")], "detail");
    assert_eq!(
        (config.source.user.as_str(), config.source.hosts[0].0.as_str()),
        ("dts@app", draft::SOURCE_PLACEHOLDER)
    );
    let delivery = &config.deliveries[0];
    let SinkConfig::Kafka(kafka) = &delivery.kind else { panic!("{delivery:?}") };
    assert_eq!((kafka.format, delivery.on_conflict), (FormatName::DtsAvro, OnConflict::Proceed));
    assert_eq!(kafka.registry.as_ref().map(|registry| registry.url.as_str()), Some("http://registry:8081"));
}

#[test]
fn an_object_list_alone_becomes_a_selection_with_rules() {
    let config = golden(&[&fixture("objects.json")], "objects");
    let tables = &config.source.tables;
    assert!(tables.matches("archive", "any") && !tables.matches("archive", "tmp_1"));
    assert!(tables.matches("crm", "leads") && !tables.matches("crm", "notes_1"));
    let objects = &config.deliveries[0].objects;
    let archived = |table: &str| objects.rule("archive", table).unwrap();
    assert_eq!(
        archived("events").dml_op,
        Some([DmlOp::Insert].into()),
        "a table's own setting counts before its database's"
    );
    assert_eq!(
        archived("events").topic.as_deref(),
        Some("archive_topic"),
        "what it does not say comes from its database"
    );
    assert_eq!(archived("any").dml_op, Some([DmlOp::Insert, DmlOp::Update].into()));
    assert_eq!(objects.rule("crm", "leads").unwrap().dml_op, None, "unknown codes leave all operations carried");
    assert_eq!(objects.rule("crm", "leads").unwrap().ddl_op, Some([].into()));
}

#[test]
fn the_parts_of_a_task_may_come_as_files_of_their_own() {
    let parts =
        [&fixture("reserve.json"), r#"{"a": {"name": "a", "all": true}, "b": {"all": false, "Table": {"t": {}}}}"#];
    let config = golden(&parts, "reserve");
    assert!(config.source.tables.matches("a", "x") && config.source.tables.matches("b", "t"));
    assert!(!config.source.tables.matches("b", "x"));
}

#[test]
fn ten_thousand_tables_are_taken_over() {
    let tables: Vec<String> =
        (0..10_000).map(|n| format!(r#""t{n}": {{"name": "topic{n}", "all": true, "dml_op": "insert"}}"#)).collect();
    let list = format!(r#"{{"shop": {{"name": "shop", "all": false, "Table": {{{}}}}}}}"#, tables.join(","));
    let config = parsed(&import_texts(&[&list]).unwrap().toml);
    assert_eq!(config.deliveries[0].objects.rules.len(), 10_000);
    assert_eq!(config.source.tables.exact_tables().count(), 10_000);
}

#[test]
fn what_is_no_task_is_refused_in_one_sentence() {
    for (text, named) in [
        ("", "not JSON"),
        ("\u{0}\u{1}\u{2}", "not JSON"),
        ("name = \"relay\"", "not JSON"),
        ("[1, 2]", "no JSON object"),
        ("{}", "empty object"),
        (r#"{"connector.class": "io.debezium", "tasks.max": 1}"#, "neither databases"),
        (r#"{"shop": {"host": "db1"}}"#, "neither databases"),
        (r#"{"DbList": "[1]"}"#, "its DbList is no JSON object"),
        (r#"{"DbList": "{\"shop\": 1}"}"#, "its DbList is no object list"),
        (r#"{"DbList": "{broken"}"#, "DbList: it is not JSON"),
        (r#"{"Reserve": "7"}"#, "its Reserve is no JSON object"),
        (r#"{"SourceEndpointEngineName": "PostgreSQL"}"#, "SourceEndpointEngineName: the task captures PostgreSQL"),
        (r#"{"DestinationEndpointEngineName": "ADB30"}"#, "DestinationEndpointEngineName: the task writes to ADB30"),
        (r#"{"SourceEndpointIP": "no host"}"#, "source.url"),
        (r#"{"destTopic": "white space"}"#, "delivery[0].kafka.topic"),
    ] {
        let said = refused(&[text]);
        assert!(said.contains(named) && !said.contains('\n'), "{text}: {said}");
    }
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(refused(&[&deep]).contains("not JSON"));
}

#[test]
fn two_tasks_at_once_are_refused() {
    let list = r#"{"a": {"all": true}}"#;
    assert!(refused(&[list, list]).contains("an object list, and so does a file before it"));
    let request = r#"{"DtsJobName": "x", "DbList": {"a": {"all": true}}}"#;
    assert!(refused(&[request, list]).contains("an object list"));
    assert!(refused(&[request, request]).contains("a task"));
}

#[test]
fn values_out_of_range_are_left_to_people() {
    let by_hand = |settings: &str| {
        let imported = import_texts(&[settings]).unwrap();
        parsed(&imported.toml);
        let items = imported
            .report
            .items
            .into_iter()
            .filter(|item| item.fate == Fate::ByHand && !["", "***"].contains(&item.value.as_str()));
        items.map(|item| item.setting).collect::<Vec<_>>()
    };
    assert_eq!(by_hand(r#"{"destTopic": "t", "maxRetryTime": "5"}"#), ["Reserve.maxRetryTime"]);
    assert_eq!(by_hand(r#"{"destTopic": "t", "retry.blind.seconds": "x"}"#), ["Reserve.retry.blind.seconds"]);
    assert_eq!(by_hand(r#"{"destTopic": "t", "destKafka.acks": "2"}"#), ["Reserve.destKafka.acks"]);
    assert_eq!(
        by_hand(r#"{"destTopic": "t", "destKafkaPartitionKey": "table_pk"}"#),
        ["Reserve.destKafkaPartitionKey"]
    );
    assert_eq!(by_hand(r#"{"DtsJobName": "x", "SourceEndpointPort": "0"}"#), ["SourceEndpointPort"]);
    assert_eq!(by_hand(r#"{"destTopic": "t", "targetTableMode": "7"}"#), ["Reserve.targetTableMode"]);
    assert_eq!(
        by_hand(r#"{"destTopic": "t", "dest.kafka.schema.registry.url": "registry"}"#),
        ["Reserve.dest.kafka.schema.registry.url"]
    );
    assert_eq!(by_hand(r#"{"destTopic": "t", "etlOperatorSetting": "e_nothing("}"#), ["Reserve.etlOperatorSetting"]);
    assert_eq!(by_hand(r#"{"DtsJobName": "x", "DelayRuleTime": "soon"}"#), ["DelayRuleTime"]);
    assert_eq!(by_hand(r#"{"shop": {"all": false, "Table": {"t": {"filter": "id >"}}}}"#), ["DbList.shop.t.filter"]);
    assert_eq!(by_hand(r#"{"DtsJobName": "任务"}"#), ["DtsJobName"]);
    assert_eq!(by_hand(r#"{"DtsJobName": "x", "Checkpoint": "soon"}"#), ["Checkpoint"]);
}

#[test]
fn limits_go_to_the_phase_that_they_were_set_for() {
    let limits = r#"{"destTopic": "t", "incDynamicConfig": {"dts.datamove.source.rps.max": 5000, "dts.datamove.source.bps.max": "10485760"},
        "fullDynamicConfig": "{\"dts.datamove.source.rps.max\": 70, \"dts.datamove.source.bps.max\": 8, \"dts.datamove.blaster.qps.max\": 3}"}"#;
    let imported = import_texts(&[limits]).unwrap();
    let throttle = parsed(&imported.toml).deliveries[0].throttle;
    assert_eq!((throttle.rps, throttle.mbps, throttle.snapshot_rps, throttle.snapshot_mbps), (5000, 10.48576, 70, 0.0));
    let left: Vec<&str> =
        imported.report.items.iter().filter(|i| i.fate == Fate::ByHand).map(|i| i.setting.as_str()).collect();
    let full = "Reserve.fullDynamicConfig.dts.datamove";
    assert!(
        left.contains(&format!("{full}.source.bps.max").as_str())
            && left.contains(&format!("{full}.blaster.qps.max").as_str())
    );
}

#[test]
fn hostile_values_cannot_leave_their_place_in_the_config() {
    let imported = import_texts(&[r#"{"DtsJobName": "x", "DtsBisLabel": "a\"\n[admin]\nlisten = \"0.0.0.0:1\"",
        "SourceEndpointUserName": "u@evil:1/?#"}"#])
    .unwrap();
    let config = parsed(&imported.toml);
    assert_eq!(config.environment, "a\"\n[admin]\nlisten = \"0.0.0.0:1\"");
    assert_eq!(config.source.user, "u@evil:1/?#");
    assert!(config.admin.listen.ip().is_loopback());
}
