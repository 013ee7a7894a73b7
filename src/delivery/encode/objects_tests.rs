//! Which changes leave, and under which names.

use super::*;

/// The value of each record, parsed.
fn values(encoded: &Encoded) -> Vec<serde_json::Value> {
    let batches = encoded.batches.iter().flat_map(|batch| batch.records.iter().map(move |record| (batch, record)));
    batches
        .map(|(batch, record)| serde_json::from_slice(batch.get(record.value.expect("a value"))).expect("JSON"))
        .collect()
}

#[test]
fn names_are_mapped_and_columns_left_out_while_partitions_stay_the_sources() {
    let events = transaction([map(), change(INSERT, &[order(7, "a")]), change(DELETE, &[order(7, "a")])]);
    let delivery = "map = { database = \"dw\", table = \"{database}_{table}\", columns = { ID = \"order_id\" }, drop_columns = [\"note\"] }";
    let encoded = encode_objects(delivery, "message_key = \"primary_key\"", everything(), &events);
    encoded.outcome.as_ref().expect("encoded");
    let hash = java_hash("7");
    assert_eq!(
        told(&encoded),
        [
            format!("4:0 insert dw.shop_orders {hash} {{\"order_id\":\"7\"}} INSERT"),
            format!("5:0 delete dw.shop_orders {hash} {{\"order_id\":\"7\"}} DELETE"),
        ]
    );
    let value = &values(&encoded)[0];
    assert_eq!(value["data"], serde_json::json!([{"order_id": "7"}]));
    assert_eq!(value["mysqlType"], serde_json::json!({"order_id": "int"}));
    assert_eq!((&value["database"], &value["table"]), (&"dw".into(), &"shop_orders".into()));
    assert_eq!(value["pkNames"], serde_json::json!(["order_id"]));
    let event = encoded.batches[0].event_of(&encoded.batches[0].records[0]);
    assert_eq!(event.origin.table, "shop.orders", "headers name the source");
    let by_table = encode_objects(delivery, "partition = \"table\"", everything(), &events);
    assert_eq!(by_table.batches[0].records[0].hash, table_hash("shop", "orders"));
}

#[test]
fn a_case_policy_is_for_names_that_are_not_mapped() {
    let events = transaction([map(), change(INSERT, &[order(7, "a")])]);
    let delivery = "case_policy = \"upper\"\nmap = { columns = { note = \"Note\" } }";
    let encoded = encode_objects(delivery, "", everything(), &events);
    let value = &values(&encoded)[0];
    assert_eq!(value["data"], serde_json::json!([{"ID": "7", "Note": "a"}]));
    assert!(told(&encoded)[0].contains(" SHOP.ORDERS "), "{:?}", told(&encoded));
}

#[test]
fn operations_that_are_not_carried_make_no_records() {
    let events = transaction([
        map(),
        change(INSERT, &[order(1, "a")]),
        change(UPDATE, &[order(1, "a"), order(2, "a")]),
        change(DELETE, &[order(2, "a")]),
    ]);
    let only = |words: &str| {
        let encoded = encode_objects(&format!("dml_op = [{words}]"), "", everything(), &events);
        assert_eq!(encoded.batches.last().expect("it covers").last, Seq(7));
        told(&encoded).iter().map(|line| line.rsplit(' ').next().expect("a type").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(only("\"insert\""), ["INSERT"]);
    assert_eq!(only("\"update\""), ["DELETE", "INSERT"], "both halves of an update that moves its row");
    assert_eq!(only("\"delete\", \"insert\""), ["INSERT", "DELETE"]);
    assert!(only("").is_empty());
}

#[test]
fn statements_are_carried_by_their_kind() {
    let statements = [
        ("CREATE TABLE t (id INT)", "create_table"),
        ("ALTER TABLE t ADD COLUMN c INT", "alter_table"),
        ("DROP TABLE t", "drop_table"),
        ("RENAME TABLE t TO u", "rename_table"),
        ("TRUNCATE t", "truncate_table"),
        ("CREATE INDEX i ON t (id)", "create_index"),
        ("DROP INDEX i ON t", "drop_index"),
        ("CREATE OR REPLACE VIEW v AS SELECT 1", "view"),
        ("DROP VIEW v", "view"),
        ("CREATE PROCEDURE p() SELECT 1", "routine"),
        ("DROP FUNCTION f", "routine"),
        ("CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @a = 1", "trigger"),
        ("CREATE DATABASE shop", "database"),
        ("ALTER DATABASE shop CHARACTER SET utf8mb4", "database"),
        ("DROP EVENT e", "database"),
    ];
    for (sql, word) in statements {
        let events = [gtid(UUID, 30, 1), query(7, "shop", sql)];
        let count = |delivery: &str| told(&encode_objects(delivery, "topic = \"all\"", everything(), &events)).len();
        assert_eq!(count(&format!("ddl_op = [\"{word}\"]")), 1, "{sql}");
        let others: Vec<&str> = statements.iter().map(|(_, other)| *other).filter(|other| *other != word).collect();
        assert_eq!(count(&format!("ddl_op = {others:?}")), 0, "{sql}");
    }
}

#[test]
fn a_statement_is_told_under_the_mapped_names_with_the_text_as_it_was() {
    let events = [gtid(UUID, 30, 1), query(7, "shop", "ALTER TABLE orders ADD COLUMN x INT")];
    let encoded = encode_objects("map = { database = \"dw\", table = \"o\" }", "", everything(), &events);
    assert_eq!(told(&encoded), ["2:0 ddl dw.o 0 null ALTER"]);
    let value = &values(&encoded)[0];
    assert_eq!((&value["database"], &value["table"]), (&"dw".into(), &"o".into()));
    assert_eq!(value["sql"], "ALTER TABLE orders ADD COLUMN x INT");
}

#[test]
fn the_first_rule_that_matches_decides_and_leaves_the_rest_as_the_delivery_has_it() {
    let items = table_map(5, "shop", "items", &orders(), true);
    let events = transaction([
        map(),
        items,
        change(INSERT, &[order(1, "a")]),
        change(DELETE, &[order(1, "a")]),
        rows(INSERT, 5, &orders(), &[order(3, "k")], 0),
        rows(DELETE, 5, &orders(), &[order(3, "k")], 0),
    ]);
    let rules = "[[delivery.table]]\nmatch = \"shop.ord%\"\ndml_op = [\"insert\"]\ntopic = \"orders-of-{database}\"\n\
        partition_key = [\"note\"]\nmessage_key = [\"note\"]\n\
        [[delivery.table]]\nmatch = \"shop.*\"\ntopic = \"late\"\npartition = \"zero\"\nmap = { table = \"x\" }\n";
    let encoded = encode_objects("", &format!("message_key = \"primary_key\"\n{rules}"), everything(), &events);
    encoded.outcome.as_ref().expect("encoded");
    assert_eq!(
        told(&encoded),
        [
            format!("5:0 insert orders-of-shop {} {{\"note\":\"a\"}} INSERT", java_hash("a")),
            "7:0 insert late 0 {\"id\":\"3\"} INSERT".to_owned(),
            "8:0 delete late 0 {\"id\":\"3\"} DELETE".to_owned(),
        ]
    );
    assert_eq!(values(&encoded)[1]["table"], "x");
}

#[test]
fn names_that_clash_and_keys_left_out_park_their_table() {
    let events = transaction([map(), change(INSERT, &[order(7, "a")])]);
    for (map, named) in [
        ("columns = { note = \"id\" }", "columns id and note of shop.orders would both be named id"),
        ("drop_columns = [\"ID\"]", "column id is in the key of shop.orders"),
    ] {
        let encoded = encode_objects(&format!("map = {{ {map} }}"), "", everything(), &events);
        let Err(EncodeError::Tables(faults)) = &encoded.outcome else { panic!("{:?}", encoded.outcome) };
        assert!(faults[0].reason.contains(named), "{faults:?}");
        assert_eq!(faults[0].table, TableName::new("shop", "orders"));
    }
}

#[test]
fn rows_that_follow_each_other_share_a_message() {
    let values = |settings: &str, events: &[Vec<u8>]| {
        let encoded = encode(&format!("canal_rows_per_message = 3\n{settings}"), events);
        encoded.outcome.as_ref().expect("encoded");
        assert_eq!(encoded.batches.iter().map(|batch| batch.rows).sum::<u64>(), 5);
        let lines = told(&encoded);
        let ids = |value: &serde_json::Value| -> Vec<String> {
            let rows = value["data"].as_array().expect("rows");
            rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
        };
        (values(&encoded).iter().map(ids).collect::<Vec<_>>(), lines)
    };
    let inserts = transaction([map(), change(INSERT, &[1, 2, 3, 4, 5].map(|id| order(id, "a")))]);
    let (ids, lines) = values("partition = \"table\"", &inserts);
    assert_eq!(ids, [vec!["1", "2", "3"], vec!["4", "5"]]);
    assert!(lines[0].starts_with("4:0 insert") && lines[1].starts_with("4:3 insert"), "{lines:?}");
    assert_eq!(values("", &inserts).0.len(), 5, "the number of partitions is not known");
    assert_eq!(values("partitions = 1", &inserts).0, [vec!["1", "2", "3"], vec!["4", "5"]]);
    // By their hashes 49 to 53, which are the digits' codes.
    assert_eq!(values("partitions = 2", &inserts).0.len(), 5, "neighbours go to different partitions");
    let same = |id| [order(id, "a"), order(id, "b")];
    let updates = [same(1), same(2), [order(3, "a"), order(9, "a")], same(4), same(5)].concat();
    let (ids, lines) = values("partitions = 1", &transaction([map(), change(UPDATE, &updates)]));
    assert_eq!(ids, [vec!["1", "2"], vec!["3"], vec!["9"], vec!["4", "5"]], "{lines:?}");
}
