//! Rows on their way through conditions and the script.

use super::*;

fn kinds(encoded: &Encoded) -> Vec<(String, serde_json::Value)> {
    encoded.outcome.as_ref().expect("encoded");
    let batches = encoded.batches.iter().flat_map(|batch| batch.records.iter().map(move |record| (batch, record)));
    let values = batches.map(|(batch, record)| {
        let value: serde_json::Value = serde_json::from_slice(batch.get(record.value.expect("a value"))).expect("JSON");
        (value["type"].as_str().expect("a type").to_owned(), value["data"][0].clone())
    });
    values.collect()
}

fn ids(encoded: &Encoded) -> Vec<String> {
    kinds(encoded).into_iter().map(|(kind, row)| format!("{kind} {}", row["id"].as_str().unwrap_or("?"))).collect()
}

#[test]
fn rows_that_enter_a_condition_are_inserted_and_those_that_leave_it_deleted() {
    let events = transaction([
        map(),
        change(INSERT, &[order(1, "in"), order(2, "out")]),
        change(
            UPDATE,
            &[
                [order(1, "in"), order(1, "in too")],
                [order(1, "in too"), order(1, "out")],
                [order(2, "out"), order(2, "in")],
                [order(2, "out"), order(2, "out still")],
            ]
            .concat(),
        ),
        change(DELETE, &[order(1, "out"), order(2, "in")]),
    ]);
    let with = |images: &str| {
        let delivery = format!("filter = \"note LIKE 'in%'\"\n{images}");
        ids(&encode_objects(&delivery, "", everything(), &events))
    };
    assert_eq!(with(""), ["INSERT 1", "UPDATE 1", "DELETE 1", "INSERT 2", "DELETE 2"]);
    assert_eq!(with("filter_images = \"before\""), ["INSERT 1", "UPDATE 1", "DELETE 1", "DELETE 2"]);
}

#[test]
fn a_rules_condition_stands_for_the_deliverys_and_names_are_the_sources() {
    let items = table_map(5, "shop", "items", &orders(), true);
    let events = transaction([
        map(),
        items,
        change(INSERT, &[order(1, "a"), order(5, "a")]),
        rows(INSERT, 5, &orders(), &[order(1, "k"), order(5, "k")], 0),
    ]);
    let delivery = "filter = \"id > 3\"\nmap = { columns = { id = \"key\" } }";
    let rule = "[[delivery.table]]\nmatch = \"shop.items\"\nfilter = \"id < 3\"\n";
    let encoded = encode_objects(delivery, rule, everything(), &events);
    let keys: Vec<_> = kinds(&encoded).into_iter().map(|(_, row)| row["key"].clone()).collect();
    assert_eq!(keys, ["5", "1"]);
}

#[test]
fn a_script_changes_rows_before_they_are_named_and_routed() {
    let events = transaction([
        map(),
        change(INSERT, &[order(1, "secret"), order(20000, "secret")]),
        change(UPDATE, &[order(1, "secret"), order(1, "other")]),
    ]);
    let script =
        "e_if(op_gt(`id`, 10000), e_drop()); e_set(`note`, str_mask(`note`, 1, 99, '*')); e_set(`kind`, __OPERATION__)";
    let delivery =
        format!("etl = \"\"\"{script}\"\"\"\nmap = {{ columns = {{ note = \"text\" }} }}\ncase_policy = \"upper\"");
    let encoded =
        encode_objects(&delivery, "message_key = [\"text\"]\npartition_key = [\"text\"]", everything(), &events);
    let rows = kinds(&encoded);
    assert_eq!(rows[0].1, serde_json::json!({"ID": "1", "text": "s*****", "KIND": "INSERT"}));
    // The key changed, as those see it who read.
    let told = told(&encoded);
    assert!(told[0].contains("insert SHOP.ORDERS") && told[0].contains("{\"text\":\"s*****\"}"), "{told:?}");
    assert!(told[1].contains("update.before") && told[2].contains("update.after"), "{told:?}");
    assert_eq!(told.len(), 3);
}

#[test]
fn conditions_and_scripts_that_a_table_does_not_take_park_it_alone() {
    let items = table_map(5, "shop", "items", &orders(), true);
    let events =
        transaction([map(), items, change(INSERT, &[order(1, "a")]), rows(INSERT, 5, &orders(), &[order(1, "k")], 0)]);
    let rule = "[[delivery.table]]\nmatch = \"shop.items\"\nfilter = \"nope = 1\"\n";
    for (delivery, rule, named) in [("", rule, "nope"), ("etl = \"e_set(`id`, null)\"", "", "id")] {
        let encoded = encode_objects(delivery, rule, everything(), &events);
        let Err(EncodeError::Tables(faults)) = &encoded.outcome else { panic!("{:?}", encoded.outcome) };
        assert!(faults.iter().any(|fault| fault.reason.contains(named)), "{faults:?}");
    }
}

#[test]
fn what_filters_leave_out_counts_for_no_place() {
    let events = transaction([map(), change(INSERT, &[order(1, "in"), order(2, "in"), order(3, "out")])]);
    let encoded = encode_objects("filter = \"note = 'in'\"", "format = \"maxwell-json\"", everything(), &events);
    let batch = &encoded.batches[0];
    let last = batch.get(batch.records.last().expect("records").value.expect("a value"));
    let last: serde_json::Value = serde_json::from_slice(last).expect("JSON");
    assert_eq!((batch.records.len(), &last["commit"], &last["data"]["id"]), (2, &true.into(), &2.into()));
}

#[test]
fn a_script_that_is_shown_statements_can_drop_them() {
    let events = [gtid(UUID, 30, 1), query(7, "shop", "ALTER TABLE orders ADD COLUMN x INT")];
    let count = |delivery: &str| told(&encode_objects(delivery, "", everything(), &events)).len();
    let script = "etl = \"e_if(str_contains(__DDL__, 'ADD COLUMN'), e_drop())\"";
    assert_eq!(count(script), 1);
    assert_eq!(count(&format!("{script}\netl_ddl = true")), 0);
}
