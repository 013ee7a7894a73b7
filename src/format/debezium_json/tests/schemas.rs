//! Schemas: that they describe what is written, type by type, and that each column has the documented ones.

use serde_json::Value as Json;
use serde_json::json as object;

use super::*;

/// Checks that a payload is what its schema says, as Kafka Connect's converter would on reading it.
pub(super) fn assert_conforms(schema: &Json, payload: &Json) {
    if payload.is_null() {
        assert_eq!(schema["optional"], true, "null in {schema}");
        return;
    }
    let number = |low: i128, high: i128| {
        let value = payload.as_i64().map(i128::from).or(payload.as_u64().map(i128::from)).expect("an integer");
        assert!((low..=high).contains(&value), "{value} in {schema}");
    };
    match schema["type"].as_str().expect("a type") {
        "int16" => number(i16::MIN.into(), i16::MAX.into()),
        "int32" => number(i32::MIN.into(), i32::MAX.into()),
        // Numbers of BIGINT UNSIGNED stay what they are.
        "int64" => number(i64::MIN.into(), u64::MAX.into()),
        "float" | "double" => assert!(payload.is_number(), "{payload} in {schema}"),
        "boolean" => assert!(payload.is_boolean(), "{payload} in {schema}"),
        "string" => assert!(payload.is_string(), "{payload} in {schema}"),
        "bytes" => drop(unbase64(payload.as_str().expect("base64"))),
        "array" => {
            payload.as_array().expect("an array").iter().for_each(|item| assert_conforms(&schema["items"], item))
        }
        "struct" => {
            let fields = schema["fields"].as_array().expect("fields");
            let names: Vec<_> = fields.iter().map(|field| field["field"].as_str().expect("a name")).collect();
            let given: Vec<_> = payload.as_object().expect("an object").keys().collect();
            assert!(given.iter().all(|name| names.contains(&name.as_str())), "{given:?} in {names:?}");
            for field in fields {
                assert_conforms(field, &payload[field["field"].as_str().expect("a name")]);
            }
        }
        other => panic!("{other} is no type of Kafka Connect's"),
    }
}

#[test]
fn random_rows_are_what_their_schemas_say() {
    let mut random = RandomRows::new(3);
    for decimal in [DecimalForm::Precise, DecimalForm::String, DecimalForm::Double] {
        let options = DebeziumOptions { schema: true, decimal, transaction_block: true, ..DebeziumOptions::default() };
        for kind in [30, 31, 32] {
            let images: Vec<_> = (0..20).map(|_| image_of(&random.row())).collect();
            let scene = Scene::new(kind, &every_column(), &images);
            for record in write(&scene, &options).expect("rows") {
                let record = json(&record);
                assert_conforms(&record["schema"], &record["payload"]);
            }
        }
    }
}

#[test]
fn the_envelope_is_named_after_server_and_table() {
    let scene = Scene::new(30, &[int("id", 3, false).key()], &[image(&[le(1, 4)])]);
    let options = DebeziumOptions { schema: true, ..DebeziumOptions::default() };
    let record = json(&one(&scene, &options));
    let schema = &record["schema"];
    assert_eq!((&schema["name"], &schema["version"]), (&object!("shop-to-kafka.shop.orders.Envelope"), &object!(2)));
    let names: Vec<_> = schema["fields"].as_array().expect("fields").iter().map(|field| &field["field"]).collect();
    assert_eq!(names, ["before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns"]);
    let images: Vec<_> = (0..2).map(|at| &schema["fields"][at]["name"]).collect();
    assert_eq!(images, ["shop-to-kafka.shop.orders.Value"; 2]);

    let mut debezium = DebeziumJson::new(&options, "shop-to-kafka");
    scene.each(|change, row| {
        let mut out = Vec::new();
        debezium.write_key(change, &KeyColumns::of(change.plan), row, Side::After, &mut out).expect("a key");
        let expected = concat!(
            r#"{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"optional":false,"#,
            r#""name":"shop-to-kafka.shop.orders.Key"},"payload":{"id":1}}"#
        );
        assert_eq!(String::from_utf8_lossy(&out), expected);
    });
}

/// The documented types: literal, semantic name, parameters.
#[test]
fn every_column_has_its_documented_types() {
    let scene = Scene::new(30, &every_column(), &[image_of(&RandomRows::new(1).row())]);
    let fields = |decimal| {
        let options = DebeziumOptions { schema: true, decimal, ..DebeziumOptions::default() };
        json(&one(&scene, &options))["schema"]["fields"][1]["fields"].clone()
    };
    let allowed = object!({"allowed": "S,it's \"M\",L,XL,é"});
    let none = || Json::Null;
    let expected = [
        ("id", "int64", "", none()),
        ("tiny", "int16", "", none()),
        ("tiny_u", "int16", "", none()),
        ("small", "int16", "", none()),
        ("small_u", "int32", "", none()),
        ("medium", "int32", "", none()),
        ("medium_u", "int32", "", none()),
        ("whole", "int32", "", none()),
        ("whole_u", "int64", "", none()),
        ("big_u", "int64", "", none()),
        (
            "dec",
            "bytes",
            "org.apache.kafka.connect.data.Decimal",
            object!({"scale": "4", "connect.decimal.precision": "20"}),
        ),
        (
            "dec_long",
            "bytes",
            "org.apache.kafka.connect.data.Decimal",
            object!({"scale": "30", "connect.decimal.precision": "65"}),
        ),
        ("f", "float", "", none()),
        ("d", "double", "", none()),
        ("bit1", "boolean", "", none()),
        ("bit13", "bytes", "io.debezium.data.Bits", object!({"length": "13"})),
        ("bit64", "bytes", "io.debezium.data.Bits", object!({"length": "64"})),
        ("y", "int32", "io.debezium.time.Year", none()),
        ("date", "int32", "io.debezium.time.Date", none()),
        ("time0", "int64", "io.debezium.time.MicroTime", none()),
        ("time6", "int64", "io.debezium.time.MicroTime", none()),
        ("dt0", "int64", "io.debezium.time.Timestamp", none()),
        ("dt3", "int64", "io.debezium.time.Timestamp", none()),
        ("dt6", "int64", "io.debezium.time.MicroTimestamp", none()),
        ("ts0", "string", "io.debezium.time.ZonedTimestamp", none()),
        ("ts4", "string", "io.debezium.time.ZonedTimestamp", none()),
        ("ch", "string", "", none()),
        ("vc", "string", "", none()),
        ("txt", "string", "", none()),
        ("bin8", "bytes", "", none()),
        ("vb", "bytes", "", none()),
        ("blb", "bytes", "", none()),
        ("en", "string", "io.debezium.data.Enum", allowed.clone()),
        ("st", "string", "io.debezium.data.EnumSet", allowed),
        ("js", "string", "io.debezium.data.Json", none()),
        ("pt", "struct", "io.debezium.data.geometry.Geometry", none()),
        ("vec", "array", "io.debezium.data.FloatVector", none()),
    ];
    let precise = fields(DecimalForm::Precise);
    assert_eq!(precise.as_array().map(Vec::len), Some(expected.len()));
    for (field, (name, literal, semantic, parameters)) in precise.as_array().expect("fields").iter().zip(expected) {
        assert_eq!((&field["field"], &field["type"]), (&object!(name), &object!(literal)));
        assert_eq!(field["optional"], name != "id", "{name}");
        assert_eq!(field["parameters"], parameters, "{name}");
        let (semantic, version) = if semantic.is_empty() { (none(), none()) } else { (object!(semantic), object!(1)) };
        assert_eq!((&field["name"], &field["version"]), (&semantic, &version), "{name}");
    }
    for (decimal, literal) in [(DecimalForm::String, "string"), (DecimalForm::Double, "double")] {
        let field = fields(decimal)[10].clone();
        assert_eq!(field, object!({"type": literal, "optional": true, "field": "dec"}));
    }
}

#[test]
fn a_float_of_declared_digits_is_a_double() {
    let float = Col { unsigned: Some(false), ..col("f", 4, &[4]) };
    let mut scene = Scene::new(30, &[float], &[image(&[Some(2.5f32.to_le_bytes().to_vec())])]);
    let options = DebeziumOptions { schema: true, ..DebeziumOptions::default() };
    let literal = |scene: &Scene| json(&one(scene, &options))["schema"]["fields"][1]["fields"][0]["type"].clone();
    assert_eq!(literal(&scene), "float");
    scene.plan = scene.plan.derive(|plan| plan.columns[0].declared = "float(7,3)".into());
    assert_eq!(literal(&scene), "double");
}

#[test]
fn columns_that_a_delivery_leaves_out_are_in_neither_part() {
    let mut scene = Scene::new(
        31,
        &[int("id", 3, false).key(), varchar("secret", 8, UTF8MB4, 4)],
        &[image(&[le(1, 4), text("x")]), image(&[le(1, 4), text("y")])],
    );
    scene.plan = scene.plan.derive(|plan| plan.columns[1].dropped = true);
    let record = one(&scene, &DebeziumOptions { schema: true, ..DebeziumOptions::default() });
    assert!(!record.contains("secret"), "{record}");
    assert_eq!(json(&record)["payload"]["after"], object!({"id": 1}));
}
