//! Formats that say where a record stands in its transaction.

use super::*;

/// The values of all records, parsed.
fn values(encoded: &Encoded) -> Vec<serde_json::Value> {
    encoded.outcome.as_ref().expect("encoded");
    let batches = encoded.batches.iter().flat_map(|batch| batch.records.iter().map(move |record| (batch, record)));
    let values = batches.filter_map(|(batch, record)| record.value.map(|value| batch.get(value)));
    values.map(|value| serde_json::from_slice(value).expect("JSON")).collect()
}

/// Transactions of so many rows each, every row an event of its own.
fn transactions(sizes: &[i64]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    for (n, &size) in (0..).zip(sizes) {
        events.extend([gtid(UUID, 23 + n, 1), query(77, "shop", "BEGIN"), map()]);
        events.extend((0..size).map(|id| change(INSERT, &[order(id, "0123456789")])));
        events.push(xid(5));
    }
    events
}

#[test]
fn maxwell_marks_the_last_row_of_each_transaction_wherever_blocks_end() {
    let sizes = [1, 7, 0, 3];
    for block_events in [1, 3, 1000] {
        let encoded = encode_blocks("", "format = \"maxwell-json\"", everything(), &transactions(&sizes), block_events);
        let mut values = values(&encoded).into_iter();
        for (n, &size) in (0u64..).zip(&sizes) {
            for row in 0..size {
                let value = values.next().expect("a row");
                let last = row == size - 1;
                assert_eq!(value["xid"], 23 + n);
                assert_eq!(value["commit"], if last { true.into() } else { serde_json::Value::Null }, "{value}");
                assert_eq!(value["xoffset"], if last { serde_json::Value::Null } else { row.into() }, "{value}");
            }
        }
        assert!(values.next().is_none());
    }
}

#[test]
fn nothing_of_a_transaction_is_covered_before_its_end() {
    let events = transactions(&[5, 5]);
    let encoded = encode_blocks("", "format = \"maxwell-json\"", everything(), &events, 1);
    assert!(encoded.batches.len() > 5, "a block an event");
    for batch in &encoded.batches {
        // Also behind a GTID event: the transaction begins with the BEGIN that follows it.
        let outside = [0, 1, 9, 10, 18].map(Seq);
        assert!(outside.contains(&batch.last), "{:?} lies inside a transaction", batch.last);
        assert!(batch.records.iter().all(|record| !record.ends_entry));
    }
    assert_eq!(encoded.batches.last().expect("batches").last, Seq(18));
}

#[test]
fn shareplex_knows_how_many_rows_come_up_to_its_limit() {
    let sizes = |limit: u64| -> Vec<(u64, u64)> {
        let settings = format!("format = \"shareplex-json\"\nshareplex_tx_buffer_rows = {limit}");
        let encoded = encode_blocks("", &settings, everything(), &transactions(&[2, 3]), 2);
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        values(&encoded).iter().map(|value| (number(&value["meta"]["seq"]), number(&value["meta"]["size"]))).collect()
    };
    assert_eq!(sizes(100), [(1, 2), (2, 2), (1, 3), (2, 3), (3, 3)]);
    assert_eq!(sizes(2), [(1, 2), (2, 2), (1, 0), (2, 0), (3, 0)]);
}

#[test]
fn only_what_is_sent_counts() {
    let items = table_map(5, "shop", "items", &orders(), true);
    let events = transaction([
        map(),
        items,
        change(INSERT, &[order(1, "a"), order(2, "a")]),
        rows(INSERT, 5, &orders(), &[order(1, "a")], 0),
        change(DELETE, &[order(1, "a")]),
    ]);
    let last = |delivery: &str| {
        let encoded = encode_objects(delivery, "format = \"maxwell-json\"", everything(), &events);
        let values = values(&encoded);
        let commits: Vec<usize> = (0..values.len()).filter(|&at| values[at]["commit"] == true).collect();
        assert_eq!(commits, [values.len() - 1], "{values:?}");
        values.len()
    };
    assert_eq!(last(""), 4);
    assert_eq!(last("dml_op = [\"insert\"]"), 3);
    assert_eq!(last("tables = [\"shop.items\"]"), 1);
}

#[test]
fn debezium_has_keys_tombstones_and_the_halves_of_a_moved_row() {
    let events =
        transaction([map(), change(UPDATE, &[order(1, "a"), order(2, "a")]), change(DELETE, &[order(2, "a")])]);
    let encoded = encode("format = \"debezium-json\"", &events);
    encoded.outcome.as_ref().expect("encoded");
    let batch = &encoded.batches[0];
    let lines: Vec<String> = batch
        .records
        .iter()
        .map(|record| {
            let value = record.value.map_or("null".to_owned(), |value| {
                let value: serde_json::Value = serde_json::from_slice(batch.get(value)).expect("JSON");
                value["op"].as_str().expect("an op").to_owned()
            });
            let key = String::from_utf8_lossy(batch.get(record.key.expect("a key"))).into_owned();
            format!("{} {key} {value}", record.operation.as_str())
        })
        .collect();
    assert_eq!(
        lines,
        [
            "update.before {\"id\":1} d",
            "update.before {\"id\":1} null",
            "update.after {\"id\":2} c",
            "delete {\"id\":2} d",
            "delete {\"id\":2} null",
        ]
    );
    let plain = encode("format = \"debezium-json\"\nmessage_key = \"none\"\npartition = \"zero\"", &events);
    assert_eq!(plain.batches[0].records.len(), 2, "an update and a delete: {:?}", told_ops(&plain));
}

fn told_ops(encoded: &Encoded) -> Vec<&'static str> {
    encoded.batches.iter().flat_map(|batch| &batch.records).map(|record| record.operation.as_str()).collect()
}

#[test]
fn debezium_tells_where_transactions_begin_and_end() {
    let settings =
        "format = \"debezium-json\"\ntransaction_block = true\ntransaction_topic = \"tx\"\ntombstones = false";
    let encoded = encode_blocks("", settings, everything(), &transactions(&[2, 0, 1]), 2);
    assert_eq!(told_ops(&encoded), ["begin", "insert", "insert", "commit", "begin", "insert", "commit"]);
    let values = values(&encoded);
    assert_eq!((&values[0]["status"], &values[3]["status"]), (&"BEGIN".into(), &"END".into()));
    assert_eq!(values[3]["event_count"], 2);
    assert_eq!(
        values[3]["data_collections"],
        serde_json::json!([{"data_collection": "shop.orders", "event_count": 2}])
    );
    assert_eq!(values[2]["transaction"]["total_order"], 2);
    let records = encoded.batches.iter().flat_map(|batch| batch.records.iter().map(move |record| (batch, record)));
    for (batch, record) in records {
        let topic = &batch.event_of(record).origin.destination;
        assert_eq!(topic == "tx", record.operation.as_str() != "insert", "{topic}");
    }
}

#[test]
fn a_life_that_begins_within_a_transaction_does_not_say_what_it_cannot_know() {
    let (blocks, store, _dir) = log(&transactions(&[4]), 1);
    let config = Config::parse(
        "name = \"t\"\n[source]\nurl = \"mysql://r@db1\"\n[[delivery]]\nname = \"c\"\nkafka = { brokers = \"k\", format = \"maxwell-json\" }\n",
        Path::new("test"),
        &|_| None,
    );
    let config = config.expect("valid").deliveries.remove(0);
    let SinkConfig::Kafka(kafka) = &config.kind else { panic!("a Kafka delivery") };
    let job = Job {
        selection: Selection::of(&config),
        conditions: Conditions::default(),
        script: None,
        script_sees_statements: false,
        zone: TimeZone::UTC,
        format: kafka.format_options("t"),
        registry: None,
        routing: Routing::kafka(kafka),
        limits: Some(Arc::new(RecordLimits::new(kafka, "t"))),
        tables: None,
        planner: Arc::default(),
        metrics: Metrics::new("t", "").delivery("c"),
        status: Status::new().delivery("c"),
    };
    let encoder = Encoder::new(Arc::new(job), everything(), || store.reader());
    assert!(encoder.is_sequential());
    let mut seen = Vec::new();
    for raw in blocks.into_iter().skip(5) {
        let (to, mut from) = mpsc::channel(1000);
        let mut outlet = Outlet::new(to, Pool::default());
        encoder.encode(raw, &mut outlet).and_then(|()| Ok(outlet.finish()?)).expect("encoded");
        while let Ok(batch) = from.try_recv() {
            for record in &batch.records {
                let value: serde_json::Value =
                    serde_json::from_slice(batch.get(record.value.expect("a value"))).expect("JSON");
                seen.push((value["xoffset"].clone(), value["commit"].clone()));
            }
        }
    }
    assert!(!seen.is_empty() && seen.iter().all(|(offset, commit)| offset == 0 && commit.is_null()), "{seen:?}");
}

#[test]
fn dts_avro_has_markers_around_transactions_where_they_are_asked_for() {
    let operations = |settings: &str| {
        let encoded = encode_blocks(
            "",
            &format!("format = \"dts-avro\"\n{settings}"),
            everything(),
            &transactions(&[2, 0, 1]),
            2,
        );
        encoded.outcome.as_ref().expect("encoded");
        told_ops(&encoded)
    };
    assert_eq!(operations(""), ["insert", "insert", "insert"]);
    let markers = "avro_tx_markers = true\nddl_topic = \"markers\"";
    assert_eq!(operations(markers), ["begin", "insert", "insert", "commit", "begin", "insert", "commit"]);
}
