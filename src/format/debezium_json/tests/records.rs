//! The envelope, images, keys, statements and transactions.

use super::*;
use crate::change::schema::TableName;
use serde_json::json as object;

fn columns() -> Vec<Col> {
    vec![int("id", 3, false).key(), varchar("name", 16, UTF8MB4, 4), col("doc", 245, &[4])]
}

fn row(id: i64, name: Option<&str>) -> Image {
    image(&[le(id, 4), name.and_then(text), None])
}

const SOURCE: &str = concat!(
    r#"{"version":""#,
    env!("CARGO_PKG_VERSION"),
    r#"","connector":"mysql","name":"shop-to-kafka","ts_ms":1767225930123,"snapshot":"false","db":"shop","#,
    r#""sequence":null,"ts_us":1767225930123456,"ts_ns":1767225930123456000,"table":"orders","server_id":7,"#,
    r#""gtid":"3e11fa47-71ca-11e1-9e33-c80aa9429562:23","file":"binlog.000017","pos":37468,"row":0,"thread":8,"query":null}"#
);
const TIMES: &str = r#""ts_ms":1767225930500,"ts_us":1767225930500000,"ts_ns":1767225930500000000}"#;

#[test]
fn each_operation_has_its_images() {
    let options = DebeziumOptions::default();
    for (kind, images, before, after, op) in [
        (30, vec![row(1, Some("a"))], "null", r#"{"id":1,"name":"a","doc":null}"#, "c"),
        (
            31,
            vec![row(1, Some("a")), row(1, None)],
            r#"{"id":1,"name":"a","doc":null}"#,
            r#"{"id":1,"name":null,"doc":null}"#,
            "u",
        ),
        (32, vec![row(1, None)], r#"{"id":1,"name":null,"doc":null}"#, "null", "d"),
    ] {
        let expected =
            format!(r#"{{"before":{before},"after":{after},"source":{SOURCE},"transaction":null,"op":"{op}",{TIMES}"#);
        assert_eq!(one(&Scene::new(kind, &columns(), &images), &options), expected);
    }
}

#[test]
fn rows_of_the_initial_copy_are_reads_of_no_transaction() {
    let mut scene = Scene::new(30, &columns(), &[row(1, Some("a"))]);
    scene.snapshot = true;
    let options = DebeziumOptions { transaction_block: true, ..DebeziumOptions::default() };
    let record = json(&one(&scene, &options));
    assert_eq!((&record["op"], &record["transaction"]), (&object!("r"), &object!(null)));
    let source = &record["source"];
    assert_eq!(
        (&source["snapshot"], &source["gtid"], &source["thread"]),
        (&object!("true"), &object!(null), &object!(null))
    );
    assert_eq!(source["ts_ms"], 1_767_225_930_000u64);
}

#[test]
fn the_halves_of_a_key_change_are_a_delete_and_a_create() {
    let scene = Scene::new(31, &columns(), &[row(1, Some("a")), row(2, Some("a"))]);
    let mut debezium = DebeziumJson::new(&DebeziumOptions::default(), "t");
    let place = TxPlace::default();
    scene.each(|change, row| {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        let delete = RowsChange { op: Op::Delete, ..*change };
        debezium.write(&delete, &RowChange { after: None, ..*row }, &place, NOW_MS, &mut gone).expect("a row");
        let insert = RowsChange { op: Op::Insert, ..*change };
        debezium.write(&insert, row, &place, NOW_MS, &mut new).expect("a row");
        let (gone, new) = (json(&String::from_utf8_lossy(&gone)), json(&String::from_utf8_lossy(&new)));
        assert_eq!((&gone["op"], &gone["before"]["id"], &gone["after"]), (&object!("d"), &object!(1), &object!(null)));
        assert_eq!((&new["op"], &new["before"], &new["after"]["id"]), (&object!("c"), &object!(null), &object!(2)));

        let key = KeyColumns::of(change.plan);
        for (side, expected) in [(Side::Before, r#"{"id":1}"#), (Side::After, r#"{"id":2}"#)] {
            let mut out = Vec::new();
            assert_eq!(debezium.write_key(change, &key, row, side, &mut out), Ok(true));
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    });
}

#[test]
fn partial_images_hold_what_is_known() {
    let update = |images: &[Image]| {
        let record = json(&one(&Scene::new(31, &columns(), images), &DebeziumOptions::default()));
        (record["before"].clone(), record["after"].clone())
    };
    let minimal = [vec![Some(le(7, 4)), None, None], vec![None, Some(text("new")), None]];
    assert_eq!(update(&minimal), (object!({"id": 7}), object!({"id": 7, "name": "new"})));
    let noblob = [vec![Some(le(7, 4)), Some(text("x")), None], vec![Some(le(7, 4)), Some(text("y")), Some(None)]];
    assert_eq!(update(&noblob), (object!({"id": 7, "name": "x"}), object!({"id": 7, "name": "y", "doc": null})));
    let nothing = [vec![Some(le(7, 4)), None, None]];
    let record = json(&one(&Scene::new(32, &columns(), &nothing), &DebeziumOptions::default()));
    assert_eq!(record["before"], object!({"id": 7}));
}

#[test]
fn documents_are_rebuilt_from_their_differences() {
    let columns = vec![int("id", 3, false).key(), col("doc", 245, &[4])];
    // Replace $.a by 2.
    let diff = [&[0u8, 3][..], b"$.a", &[3, 5, 2, 0]].concat();
    let images = [image(&[le(1, 4), Some(document(1, "x"))]), image(&[le(1, 4), Some(diff)])];
    let mut event = rows(31, 9, &columns, &images, 1_767_225_930);
    // A partial update is event 39 and has, before each after image, its options and one bit a JSON column.
    event[4] = 39;
    let after = event.len() - (1 + 4 + 4 + 9);
    event.splice(after..after, [1, 1]);
    let length = event.len() as u32;
    event[9..13].copy_from_slice(&length.to_le_bytes());
    let scene = Scene::of(("shop", "orders"), &columns, event);
    let record = json(&one(&scene, &DebeziumOptions::default()));
    assert_eq!(record["before"]["doc"], r#"{"a": 1, "b": "x"}"#);
    assert_eq!(record["after"]["doc"], r#"{"a": 2, "b": "x"}"#);
}

#[test]
fn keys_are_of_the_named_columns_and_none_without() {
    let columns = vec![int("a", 8, true).key(), varchar("b", 8, UTF8MB4, 4).key(), int("c", 3, false)];
    let scene = Scene::new(30, &columns, &[image(&[le(-1, 8), text("x"), None])]);
    let mut debezium = DebeziumJson::new(&DebeziumOptions::default(), "t");
    scene.each(|change, row| {
        let mut key = |columns: &KeyColumns| {
            let mut out = Vec::new();
            debezium
                .write_key(change, columns, row, Side::After, &mut out)
                .map(|keyed| (keyed, String::from_utf8(out).expect("UTF-8")))
        };
        let whole = (true, r#"{"a":18446744073709551615,"b":"x"}"#.to_owned());
        assert_eq!(key(&KeyColumns::of(change.plan)), Ok(whole));
        let named = KeyColumns::named(change.plan, &["c"]).expect("a column");
        assert_eq!(key(&named), Ok((true, r#"{"c":null}"#.to_owned())));
        assert_eq!(key(&KeyColumns::default()), Ok((false, String::new())));
    });
}

#[test]
fn a_key_that_no_image_holds_is_an_error_that_leaves_nothing() {
    let scene = Scene::new(30, &columns(), &[vec![None, Some(text("x")), None]]);
    let mut debezium = DebeziumJson::new(&DebeziumOptions::default(), "t");
    let error = scene.written(|change, row, out| {
        debezium.write_key(change, &KeyColumns::of(change.plan), row, Side::After, out).map(|_| ())
    });
    assert_eq!(error, Err(FormatError::KeyMissing { column: "id".into() }));
}

#[test]
fn hidden_row_ids_are_left_out_unless_asked_for() {
    let types = || vec![(int("a", 3, false), le(1, 4)), (int("my_row_id", 8, true).key().invisible(), le(9, 8))];
    assert_eq!(after(types(), &DebeziumOptions::default()), object!({"a": 1}));
    let shown = DebeziumOptions { emit_hidden_row_id: true, ..DebeziumOptions::default() };
    assert_eq!(after(types(), &shown), object!({"a": 1, "my_row_id": 9}));
}

#[test]
fn the_connector_is_the_servers() {
    let mut scene = Scene::new(30, &columns(), &[row(1, None)]);
    let mut debezium = DebeziumJson::new(&DebeziumOptions { schema: true, ..DebeziumOptions::default() }, "t");
    let mut connector = |version: &str| {
        scene.tx.server_version = version.into();
        scene.tx.gtid = "0-7-23".into();
        let written = scene.written(|change, row, out| debezium.write(change, row, &TxPlace::default(), NOW_MS, out));
        let record = json(&written.expect("a row")[0]);
        let schema = record["schema"]["fields"][2]["name"].as_str().expect("a name").to_owned();
        (record["payload"]["source"]["connector"].as_str().expect("a name").to_owned(), schema)
    };
    let mysql = ("mysql".to_owned(), "io.debezium.connector.mysql.Source".to_owned());
    let mariadb = ("mariadb".to_owned(), "io.debezium.connector.mariadb.Source".to_owned());
    // The same table before and after the server was changed for another.
    assert_eq!(connector("8.0.36"), mysql);
    assert_eq!(connector("10.11.19-MariaDB-log"), mariadb);
    assert_eq!(connector("5.6.51-log"), mysql);
}

#[test]
fn times_are_those_of_the_event_where_the_server_tells_no_commit() {
    let mut scene = Scene::new(30, &columns(), &[row(1, None)]);
    (scene.tx.commit_time_us, scene.tx.thread_id) = (None, None);
    scene.tx.gtid.clear();
    let record = json(&one(&scene, &DebeziumOptions::default()));
    assert_eq!(record["source"]["ts_us"], 1_767_225_930_000_000u64);
    assert_eq!((&record["source"]["gtid"], &record["source"]["thread"]), (&object!(null), &object!(null)));
}

#[test]
fn rows_know_their_place_in_the_transaction_when_asked() {
    let options = DebeziumOptions { transaction_block: true, ..DebeziumOptions::default() };
    let mut scene = Scene::new(30, &columns(), &[row(1, None), row(2, None)]);
    let records = write(&scene, &options).expect("rows");
    let block = |at: usize| json(&records[at])["transaction"].clone();
    assert_eq!(block(0), object!({"id": GTID, "total_order": 1, "data_collection_order": 1}));
    assert_eq!(block(1)["total_order"], 2);
    assert_eq!(json(&records[1])["source"]["row"], 1);
    scene.tx.gtid.clear();
    assert_eq!(json(&one(&scene, &options))["transaction"]["id"], "file=binlog.000017,pos=37000");
}

#[test]
fn transactions_have_records_of_their_own() {
    let scene = Scene::new(30, &columns(), &[row(1, None)]);
    let (one, other) = (TableName::new("s1", "a"), TableName::new("s2", "b\"c"));
    let counts = [TableCount { table: &one, rows: 2 }, TableCount { table: &other, rows: 1 }];
    for schema in [false, true] {
        let debezium = DebeziumJson::new(&DebeziumOptions { schema, ..DebeziumOptions::default() }, "t");
        let payload = |out: Vec<u8>| {
            let record = json(&String::from_utf8(out).expect("UTF-8"));
            if schema {
                schemas::assert_conforms(&record["schema"], &record["payload"]);
                record["payload"].clone()
            } else {
                record
            }
        };
        let mut out = Vec::new();
        debezium.write_transaction_key(&scene.tx, &mut out);
        assert_eq!(payload(out), object!({"id": GTID}));
        let mut out = Vec::new();
        debezium.write_begin(&scene.tx, scene.place, &mut out);
        assert_eq!(
            payload(out),
            object!({"status": "BEGIN", "id": GTID, "event_count": null, "data_collections": null, "ts_ms": 1_767_225_930_000u64})
        );
        let mut out = Vec::new();
        debezium.write_end(&scene.tx, scene.place, counts.into_iter(), &mut out);
        assert_eq!(
            payload(out),
            object!({
                "status": "END", "id": GTID, "event_count": 3, "ts_ms": 1_767_225_930_000u64,
                "data_collections": [
                    {"data_collection": "s1.a", "event_count": 2},
                    {"data_collection": "s2.b\"c", "event_count": 1},
                ],
            })
        );
    }
}

#[test]
fn statements_are_schema_changes() {
    let scene = Scene::new(30, &columns(), &[row(1, None)]);
    let ddl = DdlChange {
        seq: relay_store::Seq(12),
        sql: "ALTER TABLE `orders` ADD \"x\" int".into(),
        database: "shop".into(),
        sql_mode: None,
        tx: &scene.tx,
        place: scene.place,
    };
    for schema in [false, true] {
        let debezium = DebeziumJson::new(&DebeziumOptions { schema, ..DebeziumOptions::default() }, "t");
        for table in ["orders", ""] {
            let target = DdlTarget { database: "shop", table, kind: "ALTER" };
            let (mut value, mut key) = (Vec::new(), Vec::new());
            debezium.write_ddl(&ddl, target, NOW_MS, &mut value);
            debezium.write_ddl_key(&ddl, target, &mut key);
            let [value, key] = [value, key].map(|bytes| {
                let record = json(&String::from_utf8(bytes).expect("UTF-8"));
                if schema {
                    schemas::assert_conforms(&record["schema"], &record["payload"]);
                    record["payload"].clone()
                } else {
                    record
                }
            });
            assert_eq!(key, object!({"databaseName": "shop"}));
            assert_eq!(value["ddl"], "ALTER TABLE `orders` ADD \"x\" int");
            assert_eq!((&value["databaseName"], &value["schemaName"]), (&object!("shop"), &object!(null)));
            assert_eq!((&value["tableChanges"], &value["ts_ms"]), (&object!([]), &object!(NOW_MS)));
            let named = if table.is_empty() { object!(null) } else { object!(table) };
            assert_eq!((&value["source"]["table"], &value["source"]["pos"]), (&named, &object!(37_468)));
        }
    }
}

#[test]
fn settings_are_read_by_their_names_and_others_are_refused() {
    let options: DebeziumOptions = toml::from_str(
        "schema = true\ndecimal = \"string\"\nserver_name = \"prod\"\ntransaction_block = true\n\
         transaction_topic = \"tx\"\non_bad_text = \"fail\"\nemit_hidden_row_id = true",
    )
    .expect("all settings");
    assert_eq!((options.schema, options.decimal, options.transaction_block), (true, DecimalForm::String, true));
    assert_eq!((options.server_name.as_deref(), options.transaction_topic.as_deref()), (Some("prod"), Some("tx")));
    assert_eq!(toml::from_str::<DebeziumOptions>(""), Ok(DebeziumOptions::default()));
    assert!(toml::from_str::<DebeziumOptions>("shema = true").is_err());
    let scene = Scene::new(30, &columns(), &[row(1, None)]);
    assert_eq!(json(&one(&scene, &DebeziumOptions { schema: false, ..options }))["source"]["name"], "prod");
}
