//! Messages against what Maxwell's documentation says of them, from rows as a server writes them.

use serde_json::Value as Json;
use serde_json::json as object;

use super::*;
use crate::change::DdlChange;
use crate::change::binlog_rows::*;
use crate::format::canal_json::DdlTarget;
use crate::format::scene::*;

fn write(scene: &Scene, options: &MaxwellOptions, size: u64) -> Result<Vec<String>, FormatError> {
    let mut maxwell = MaxwellJson::new(options, TimeZone::UTC);
    let mut row_of_tx = 0;
    scene.written(|change, row, out| {
        row_of_tx += 1;
        let place = TxPlace { row: row_of_tx, table_row: 1, size: Some(size), last: row_of_tx == size };
        maxwell.write(change, row, &place, 0, out)
    })
}

fn one(scene: &Scene) -> String {
    write(scene, &MaxwellOptions::default(), 1).expect("a row").remove(0)
}

fn json(text: &str) -> Json {
    serde_json::from_str(text).expect("JSON")
}

fn columns() -> Vec<Col> {
    vec![int("id", 3, false).key(), varchar("name", 16, UTF8MB4, 4), col("doc", 245, &[4])]
}

fn row(id: i64, name: Option<&str>) -> Image {
    image(&[le(id, 4), name.and_then(text), None])
}

#[test]
fn each_operation_has_its_form() {
    let head = |kind| {
        format!(r#"{{"database":"shop","table":"orders","type":"{kind}","ts":1767225930,"xid":23,"commit":true"#)
    };
    for (kind, images, expected) in [
        (30, vec![row(1, Some("a"))], format!(r#"{},"data":{{"id":1,"name":"a","doc":null}}}}"#, head("insert"))),
        (
            31,
            vec![row(1, None), row(1, Some("a"))],
            format!(r#"{},"data":{{"id":1,"name":"a","doc":null}},"old":{{"name":null}}}}"#, head("update")),
        ),
        (
            31,
            vec![row(1, None), row(1, None)],
            format!(r#"{},"data":{{"id":1,"name":null,"doc":null}},"old":{{}}}}"#, head("update")),
        ),
        (32, vec![row(1, None)], format!(r#"{},"data":{{"id":1,"name":null,"doc":null}}}}"#, head("delete"))),
    ] {
        assert_eq!(one(&Scene::new(kind, &columns(), &images)), expected);
    }
}

#[test]
fn the_last_row_of_a_transaction_commits_and_the_others_count() {
    let scene = Scene::new(30, &columns(), &[row(1, None), row(2, None), row(3, None)]);
    let messages = write(&scene, &MaxwellOptions::default(), 3).expect("rows");
    let ends: Vec<_> = messages
        .iter()
        .map(|message| {
            let message = json(message);
            (message["xoffset"].clone(), message["commit"].clone())
        })
        .collect();
    assert_eq!(ends, [(object!(0), Json::Null), (object!(1), Json::Null), (Json::Null, object!(true))]);
}

#[test]
fn transactions_are_numbered_by_gtid_or_place() {
    let mut scene = Scene::new(30, &columns(), &[row(1, None)]);
    let mut xid = |gtid: &str| {
        scene.tx.gtid = gtid.into();
        json(&one(&scene))["xid"].clone()
    };
    assert_eq!(xid("3e11fa47-71ca-11e1-9e33-c80aa9429562:tag:42"), 42);
    assert_eq!(xid("0-7-9000000000"), 9_000_000_000u64);
    assert_eq!(xid(""), (17u64 << 40) + 37_000);
}

#[test]
fn rows_of_the_initial_copy_are_bootstrap() {
    let mut scene = Scene::new(30, &columns(), &[row(1, Some("a"))]);
    scene.snapshot = true;
    let expected = concat!(
        r#"{"database":"shop","table":"orders","type":"bootstrap-insert","ts":1767225930,"#,
        r#""data":{"id":1,"name":"a","doc":null}}"#
    );
    assert_eq!(one(&scene), expected);
    let maxwell = MaxwellJson::new(&MaxwellOptions::default(), TimeZone::UTC);
    for (end, kind) in [(Bootstrap::Start, "bootstrap-start"), (Bootstrap::Complete, "bootstrap-complete")] {
        let mut out = Vec::new();
        maxwell.write_bootstrap(&scene.plan.name, end, 1_767_225_931, &mut out);
        let expected = object!({"database": "shop", "table": "orders", "type": kind, "ts": 1_767_225_931, "data": {}});
        assert_eq!(json(&String::from_utf8_lossy(&out)), expected);
    }
}

#[test]
fn the_halves_of_a_split_update_are_whole() {
    let scene = Scene::new(31, &columns(), &[row(1, Some("a")), row(2, Some("b"))]);
    let mut maxwell = MaxwellJson::new(&MaxwellOptions::default(), TimeZone::UTC);
    scene.each(|change, row| {
        for (op, kind, id) in [(Op::Delete, "delete", 1), (Op::Insert, "insert", 2)] {
            let mut out = Vec::new();
            let half = RowsChange { op, ..*change };
            maxwell.write(&half, row, &TxPlace::default(), 0, &mut out).expect("a row");
            let message = json(&String::from_utf8_lossy(&out));
            assert_eq!(
                (&message["type"], &message["data"]["id"], &message["old"]),
                (&object!(kind), &object!(id), &Json::Null)
            );
        }
    });
}

#[test]
fn partial_images_hold_what_is_known() {
    let update = |images: &[Image]| {
        let message = json(&one(&Scene::new(31, &columns(), images)));
        (message["data"].clone(), message["old"].clone())
    };
    let minimal = [vec![Some(le(7, 4)), None, None], vec![None, Some(text("new")), None]];
    assert_eq!(update(&minimal), (object!({"id": 7, "name": "new"}), object!({})));
    let noblob = [vec![Some(le(7, 4)), Some(text("x")), None], vec![Some(le(7, 4)), Some(text("y")), Some(None)]];
    assert_eq!(update(&noblob), (object!({"id": 7, "name": "y", "doc": null}), object!({"name": "x"})));
}

#[test]
fn documents_are_nested_and_rebuilt_from_their_differences() {
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
    let message = json(&one(&Scene::of(("shop", "orders"), &columns, event)));
    assert_eq!(message["data"]["doc"], object!({"a": 2, "b": "x"}));
    assert_eq!(message["old"], object!({"doc": {"a": 1, "b": "x"}}));
}

fn shown(column: Col, value: Bytes) -> String {
    let name = column.name;
    let message = one(&Scene::new(30, &[column], &[image(&[value])]));
    let start = message.find(&format!("\"{name}\":")).expect("the column") + name.len() + 3;
    message[start..message.len() - 2].to_owned()
}

#[test]
fn values_have_maxwells_forms() {
    let float = |c: Col| Col { unsigned: Some(false), ..c };
    for (column, value, expected) in [
        (int("c", 8, true), le(-1, 8), "18446744073709551615"),
        (int("c", 1, false), le(-128, 1), "-128"),
        (decimal_col("c", 10, 2), decimal("-12.50", 10, 2), "-12.50"),
        (float(col("c", 4, &[4])), Some(4.2341f32.to_le_bytes().to_vec()), "4.2341"),
        (float(col("c", 5, &[8])), Some(1e300f64.to_le_bytes().to_vec()), "1.0E300"),
        (col("c", 16, &[0, 8]), Some(vec![255; 8]), "18446744073709551615"),
        (col("c", 16, &[1, 0]), Some(vec![1]), "1"),
        (col("c", 13, &[]), Some(vec![126]), "2026"),
        (col("c", 10, &[]), date(0, 0, 0), r#""0000-00-00""#),
        (col("c", 18, &[0]), datetime2([0, 0, 0], [0, 0, 0], 0, 0), r#""0000-00-00 00:00:00""#),
        (col("c", 18, &[6]), datetime2([2016, 10, 21], [5, 33, 37], 523_000, 6), r#""2016-10-21 05:33:37.523000""#),
        (col("c", 17, &[0]), timestamp2(1_767_225_930, 0, 0), r#""2026-01-01 00:05:30""#),
        (col("c", 19, &[0]), time2(true, [838, 59, 59], 0, 0), r#""-838:59:59""#),
        (fixed("c", 4, BINARY), Some(vec![1, 255]), r#""Af8AAA==""#),
        (labelled("c", 247, 1, &LABELS, UTF8MB4), Some(vec![2]), r#""it's \"M\"""#),
        (labelled("c", 247, 1, &LABELS, UTF8MB4), Some(vec![0]), r#""""#),
        (labelled("c", 248, 1, &["a_val", "b_val", "c_val"], UTF8MB4), Some(vec![0b110]), r#"["b_val","c_val"]"#),
        (labelled("c", 248, 1, &["a_val"], UTF8MB4), Some(vec![0]), "[]"),
        (col("c", 245, &[4]), Some(document(7, "\"")), r#"{"a": 7, "b": "\""}"#),
        (varchar("c", 8, UTF8MB4, 4), None, "null"),
    ] {
        assert_eq!(shown(column, value), expected);
    }
    let point = [&[0u8; 4][..], &[1, 1, 0, 0, 0], &1f64.to_le_bytes(), &(-2.5f64).to_le_bytes()].concat();
    assert_eq!(shown(Col { geometry: Some(1), ..col("c", 255, &[4]) }, Some(point)), r#""POINT (1 -2.5)""#);
}

#[test]
fn values_that_cannot_be_shown_stop_and_leave_nothing() {
    let fails = |column: Col, value: Bytes, options: &MaxwellOptions| {
        write(&Scene::new(30, &[int("id", 3, false), column], &[image(&[le(1, 4), value])]), options, 1)
    };
    let options = MaxwellOptions::default();
    let geometry = || Col { geometry: Some(0), ..col("c", 255, &[4]) };
    let kind = || Err(FormatError::Kind { column: "c".into() });
    assert_eq!(fails(geometry(), Some(vec![1, 2, 3]), &options), kind());
    assert_eq!(fails(geometry(), Some(vec![0, 0, 0, 0, 1, 9, 0, 0, 0]), &options), kind());
    let float = Col { unsigned: Some(false), ..col("c", 4, &[4]) };
    assert_eq!(fails(float, Some(f32::INFINITY.to_le_bytes().to_vec()), &options), kind());
    let label = Err(FormatError::Label { column: "c".into(), number: 16 });
    assert_eq!(fails(labelled("c", 248, 1, &LABELS, UTF8MB4), Some(vec![16]), &options), label);
    let strict = MaxwellOptions { on_bad_text: OnBadText::Fail, ..MaxwellOptions::default() };
    let error = Err(FormatError::BadText { column: "c".into(), charset: "utf8mb4" });
    assert_eq!(fails(varchar("c", 8, UTF8MB4, 4), Some(vec![0xff]), &strict), error);
}

#[test]
fn statements_have_their_text() {
    let scene = Scene::new(30, &columns(), &[row(1, None)]);
    let ddl = DdlChange {
        seq: relay_store::Seq(12),
        sql: "CREATE TABLE \"t\" (a int)".into(),
        database: "shop".into(),
        sql_mode: None,
        tx: &scene.tx,
        place: scene.place,
    };
    let maxwell = MaxwellJson::new(&MaxwellOptions::default(), TimeZone::UTC);
    let mut out = Vec::new();
    maxwell.write_ddl(&ddl, DdlTarget { database: "shop", table: "t", kind: "CREATE" }, 0, &mut out);
    let expected =
        r#"{"database":"shop","table":"t","type":"table-create","ts":1767225930,"sql":"CREATE TABLE \"t\" (a int)"}"#;
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn hidden_row_ids_and_settings() {
    let hidden = [int("a", 3, false), int("my_row_id", 8, true).key().invisible()];
    let scene = Scene::new(31, &hidden, &[image(&[le(1, 4), le(9, 8)]), image(&[le(2, 4), le(8, 8)])]);
    let message = json(&one(&scene));
    assert_eq!((&message["data"], &message["old"]), (&object!({"a": 2}), &object!({"a": 1})));
    let shown: MaxwellOptions = toml::from_str("emit_hidden_row_id = true\non_bad_text = \"fail\"").expect("settings");
    let message = json(&write(&scene, &shown, 1).expect("a row")[0]);
    assert_eq!(message["old"], object!({"a": 1, "my_row_id": 9}));
    assert!(toml::from_str::<MaxwellOptions>("emit_hidden = true").is_err());
}

#[test]
fn columns_that_a_delivery_leaves_out_are_nowhere() {
    let mut scene = Scene::new(31, &columns(), &[row(1, Some("a")), row(1, Some("b"))]);
    scene.plan = scene.plan.derive(|plan| plan.columns[1].dropped = true);
    let message = json(&one(&scene));
    assert_eq!((&message["data"], &message["old"]), (&object!({"id": 1, "doc": null}), &object!({})));
}

/// Random updates, read back and compared with what they were made of.
#[test]
fn random_rows_come_back() {
    let seed = 0x3a_c5e1;
    let mut random = RandomRows::new(seed);
    let columns = every_column();
    for round in 0..100 {
        let was = random.row();
        // About half of the columns change.
        let now: Vec<_> = random
            .row()
            .into_iter()
            .zip(&was)
            .enumerate()
            .map(|(at, (new, old))| if (at + round) % 2 == 0 { new } else { old.clone() })
            .collect();
        let (was_image, now_image) = (image_of(&was), image_of(&now));
        let scene = Scene::new(31, &columns, &[was_image.clone(), now_image.clone()]);
        let text = one(&scene);
        let message = json(&text);
        for (at, column) in columns.iter().enumerate() {
            let place = format!("seed {seed}, round {round}, {}", column.name);
            assert_known(now[at].as_ref(), &message["data"][column.name], raw(&text, "data", column.name), &place);
            match message["old"].get(column.name) {
                Some(shown) => {
                    assert_ne!(was_image[at], now_image[at], "{place} did not change");
                    assert_known(was[at].as_ref(), shown, raw(&text, "old", column.name), &place);
                }
                None => assert_eq!(was_image[at], now_image[at], "{place} changed"),
            }
        }
    }
}

fn assert_known(value: Option<&Known>, shown: &Json, raw: &str, place: &str) {
    let expected = match value {
        None => Json::Null,
        Some(Known::Int(number)) => object!(number),
        Some(Known::UInt(number)) => object!(number),
        Some(Known::Decimal(text)) => return assert_eq!(raw, text, "{place}"),
        Some(Known::Float(number)) => return assert_eq!(raw.parse(), Ok(*number), "{place}"),
        Some(Known::Double(number)) => return assert_eq!(raw.parse(), Ok(*number), "{place}"),
        Some(Known::Bit(number)) => object!(number),
        Some(Known::Year(year)) => object!(year),
        Some(Known::Date([y, m, d])) => object!(format!("{y:04}-{m:02}-{d:02}")),
        Some(Known::Time(micros)) => {
            let (sign, seconds) = (if *micros < 0 { "-" } else { "" }, micros.abs() / 1_000_000);
            let fraction =
                if place.ends_with('6') { format!(".{:06}", micros.abs() % 1_000_000) } else { String::new() };
            object!(format!("{sign}{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60))
        }
        Some(Known::DateTime([y, m, d], [h, i, s], micros)) => {
            let fsp = place.as_bytes()[place.len() - 1] - b'0';
            let fraction =
                if fsp == 0 { String::new() } else { format!(".{micros:06}")[..1 + usize::from(fsp)].to_owned() };
            object!(format!("{y:04}-{m:02}-{d:02} {h:02}:{i:02}:{s:02}{fraction}"))
        }
        Some(Known::Timestamp(0, _)) => object!("0000-00-00 00:00:00"),
        Some(Known::Timestamp(seconds, micros)) => {
            let moment = jiff::Timestamp::from_second(i64::from(*seconds)).expect("in range");
            let moment = moment.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string();
            let fraction = if place.ends_with('4') { format!(".{:04}", micros / 100) } else { String::new() };
            object!(format!("{moment}{fraction}"))
        }
        Some(Known::Text(text)) => object!(text),
        Some(Known::Enum(label)) => object!(label),
        Some(Known::Set(labels)) => object!(labels),
        Some(Known::Bytes(bytes)) => return assert_eq!(unbase64(shown.as_str().expect("base64")), *bytes, "{place}"),
        Some(Known::Vector(numbers)) => {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            return assert_eq!(unbase64(shown.as_str().expect("base64")), bytes, "{place}");
        }
        Some(Known::Json(number, text)) => object!({"a": number, "b": text}),
        Some(Known::Point(x, y)) => object!(format!("POINT ({x} {y})")),
    };
    assert_eq!(*shown, expected, "{place}");
}
