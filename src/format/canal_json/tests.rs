//! Every published sample, byte for byte, from rows as a server writes them.

use std::sync::Arc;

use jiff::tz::TimeZone;
use relay_store::Seq;
use serde_json::Value as Json;

use super::*;
use crate::binlog::RowsEvent;
use crate::binlog::event::{Checksum, Dialect, Event, FormatDescription};
use crate::change::binlog_rows::*;
use crate::change::plan::{Planner, TablePlan};
use crate::change::{EventPlace, TxInfo};
use crate::log::{ColumnDefinition, KeyDefinition, TableDefinition};

const UTF8MB4: u16 = 255;
const BINARY: u16 = 63;

fn description(version: &str) -> FormatDescription {
    FormatDescription {
        server_version: version.into(),
        created: 0,
        post_header_lengths: Vec::new(),
        checksum: Checksum::None,
        dialect: Dialect::MySql,
    }
}

/// One event's rows, written by `options`.
struct Scene {
    plan: Arc<TablePlan>,
    rows: Vec<u8>,
    tx: TxInfo,
    place: EventPlace,
    op: Op,
    seq: u64,
    snapshot: bool,
    description: FormatDescription,
}

impl Scene {
    fn new(map: &[u8], rows: Vec<u8>, schema: Option<&TableDefinition>) -> Self {
        let description = description("9.7.4");
        let planner = Planner::new();
        if let Some(schema) = schema {
            planner.learn(&schema.encode()).expect("a definition");
        }
        let event = Event::parse(map, Checksum::None).expect("an event");
        let plan = planner.plan(&event, &description, schema.map(|s| s.id)).expect("a table map").expect("a plan");
        let op = match rows[4] {
            30 => Op::Insert,
            31 => Op::Update,
            _ => Op::Delete,
        };
        Self {
            plan,
            rows,
            tx: TxInfo { gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23".into(), ..TxInfo::default() },
            place: EventPlace { timestamp: 1_767_225_930, ..EventPlace::default() },
            op,
            seq: 1,
            snapshot: false,
            description,
        }
    }

    fn write(&self, options: &CanalOptions, now_ms: u64) -> Result<Vec<String>, FormatError> {
        let event = Event::parse(&self.rows, Checksum::None).expect("an event");
        let change = RowsChange {
            seq: Seq(self.seq),
            op: self.op,
            plan: &self.plan,
            tx: &self.tx,
            place: self.place,
            snapshot: self.snapshot,
            event: RowsEvent::parse(&event, &self.description).expect("a rows event"),
        };
        let rows: Vec<_> = change.rows().collect::<Result<_, _>>()?;
        let mut canal = CanalJson::new(options, TimeZone::UTC);
        let mut messages = Vec::new();
        for packed in rows.chunks(options.canal_rows_per_message as usize) {
            let mut out = b"before".to_vec();
            canal.write(&change, packed, now_ms, &mut out)?;
            messages.push(String::from_utf8(out.split_off(6)).expect("JSON is UTF-8"));
        }
        Ok(messages)
    }

    fn row(&self) -> serde_json::Map<String, Json> {
        let message = self.write(&CanalOptions::default(), 0).expect("a row").remove(0);
        let message: Json = serde_json::from_str(&message).expect("JSON");
        message["data"][0].as_object().expect("a row").clone()
    }
}

/// The sample without the white space between its tokens.
fn compact(sample: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for c in sample.chars() {
        if in_string || !c.is_whitespace() {
            out.push(c);
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

macro_rules! sample {
    ($name:literal) => {
        compact(include_str!(concat!("../../../tests/fixtures/canal-json/", $name, ".json")))
    };
}

fn orders() -> Vec<Col> {
    vec![
        int("id", 8, false).key(),
        varchar("email", 128, UTF8MB4, 4),
        decimal_col("amount", 10, 2),
        labelled("status", 247, 1, &["new", "paid"], UTF8MB4),
        col("created_at", 17, &[0]),
        col("updated_at", 18, &[6]),
        blob("note", 2, UTF8MB4),
        col("flags", 16, &[0, 1]),
    ]
}

fn order(id: i64, email: &str, status: u8, updated: ([u64; 3], u32), note: Option<&str>) -> Image {
    image(&[
        le(id, 8),
        text(email),
        decimal("12.50", 10, 2),
        Some(vec![status]),
        timestamp2(1_767_225_600, 0, 0),
        datetime2([2026, 1, 1], updated.0, updated.1, 6),
        note.and_then(text),
        Some(vec![5]),
    ])
}

const NEW: ([u64; 3], u32) = ([0, 0, 0], 0);
const PAID: ([u64; 3], u32) = ([0, 5, 30], 250_000);

fn orders_scene(kind: u8, images: &[Image], seq: u64) -> Scene {
    let columns = orders();
    let map = table_map(9, "shop", "orders", &columns, true);
    Scene { seq, ..Scene::new(&map, rows(kind, 9, &columns, images, 1_767_225_930), None) }
}

fn ann(status: u8) -> Image {
    match status {
        1 => order(1001, "ann@example.com", 1, NEW, Some("première")),
        _ => order(1001, "ann@example.com", 2, PAID, None),
    }
}

#[test]
fn inserts_are_written_as_published() {
    let scene = orders_scene(30, &[ann(1)], 11);
    assert_eq!(scene.write(&CanalOptions::default(), 1_767_225_930_120), Ok(vec![sample!("insert")]));
}

#[test]
fn several_rows_of_an_event_share_a_message_when_asked() {
    let bob = order(1002, "bob@example.com", 1, NEW, None);
    let scene = orders_scene(30, &[ann(1), bob], 21);
    let options = CanalOptions { canal_rows_per_message: 10, ..CanalOptions::default() };
    assert_eq!(scene.write(&options, 1_767_225_930_120), Ok(vec![sample!("insert-multi-row")]));
    assert_eq!(scene.write(&CanalOptions::default(), 0).map(|m| m.len()), Ok(2));
}

#[test]
fn updates_show_what_changed_or_the_whole_before_image() {
    let scene = orders_scene(31, &[ann(1), ann(2)], 12);
    assert_eq!(scene.write(&CanalOptions::default(), 1_767_225_930_120), Ok(vec![sample!("update")]));
    let full = CanalOptions { canal_old: OldColumns::Full, ..CanalOptions::default() };
    assert_eq!(scene.write(&full, 1_767_225_930_120), Ok(vec![sample!("update-full-old")]));
}

#[test]
fn deletes_show_the_before_image() {
    let scene = orders_scene(32, &[ann(2)], 13);
    assert_eq!(scene.write(&CanalOptions::default(), 1_767_225_930_120), Ok(vec![sample!("delete")]));
}

#[test]
fn rows_of_the_initial_copy_have_no_gtid() {
    let mut scene = orders_scene(30, &[ann(1)], 1);
    scene.snapshot = true;
    scene.place.timestamp = 1_767_225_590;
    assert_eq!(scene.write(&CanalOptions::default(), 1_767_225_590_500), Ok(vec![sample!("snapshot-row")]));
    let init = CanalOptions { canal_snapshot_type: SnapshotType::Init, ..CanalOptions::default() };
    assert!(scene.write(&init, 0).expect("a row")[0].ends_with(r#","type":"INIT"}"#));
}

#[test]
fn an_update_that_changes_nothing_has_an_empty_old() {
    let scene = orders_scene(31, &[ann(1), ann(1)], 12);
    let message = scene.write(&CanalOptions::default(), 0).expect("a row").remove(0);
    assert!(message.contains(r#""old":[{}]"#), "{message}");
}

/// Columns and values of the all-types sample.
fn all_types() -> Vec<(Col, Bytes)> {
    let json = vec![
        0u8, 2, 0, 35, 0, 18, 0, 1, 0, 19, 0, 1, 0, 5, 1, 0, 2, 20, 0, b'a', b'b', 3, 0, 15, 0, 4, 1, 0, 4, 0, 0, 12,
        13, 0, 1, b'x',
    ];
    let point = [&[0u8; 4][..], &[1, 1, 0, 0, 0], &1.0f64.to_le_bytes(), &2.0f64.to_le_bytes()].concat();
    vec![
        (int("c_tinyint", 1, false), le(-128, 1)),
        (int("c_tinyint_u", 1, true), le(255, 1)),
        (int("c_smallint", 2, false), le(-32768, 2)),
        (int("c_smallint_u", 2, true), le(65535, 2)),
        (int("c_mediumint", 9, false), le(-8_388_608, 3)),
        (int("c_mediumint_u", 9, true), le(16_777_215, 3)),
        (int("c_int", 3, false), le(i32::MIN.into(), 4)),
        (int("c_int_u", 3, true), le(u32::MAX.into(), 4)),
        (int("c_bigint", 8, false).key(), le(i64::MIN, 8)),
        (int("c_bigint_u", 8, true), le(-1, 8)),
        (decimal_col("c_decimal", 20, 4), decimal("-12345678.9000", 20, 4)),
        (Col { unsigned: Some(false), ..col("c_float", 4, &[4]) }, Some(vec![0xc3, 0xf5, 0x48, 0x40])),
        (Col { unsigned: Some(false), ..col("c_double", 5, &[8]) }, Some(1e10f64.to_le_bytes().to_vec())),
        (col("c_bit1", 16, &[1, 0]), Some(vec![1])),
        (col("c_bit64", 16, &[0, 8]), Some(vec![255; 8])),
        (col("c_year", 13, &[]), Some(vec![126])),
        (col("c_date", 10, &[]), date(2026, 1, 31)),
        (col("c_date_zero", 10, &[]), date(0, 0, 0)),
        (col("c_time", 19, &[0]), time2(true, [838, 59, 59], 0, 0)),
        (col("c_time3", 19, &[3]), time2(false, [12, 30, 45], 120_000, 3)),
        (col("c_datetime", 18, &[0]), datetime2([2026, 1, 31], [23, 59, 59], 0, 0)),
        (col("c_datetime6", 18, &[6]), datetime2([2026, 1, 31], [23, 59, 59], 120, 6)),
        (col("c_datetime_zero", 18, &[0]), datetime2([0, 0, 0], [0, 0, 0], 0, 0)),
        (col("c_timestamp", 17, &[0]), timestamp2(1_769_903_999, 0, 0)),
        (col("c_timestamp3", 17, &[3]), timestamp2(1_769_903_999, 7_000, 3)),
        (fixed("c_char", 32, UTF8MB4), text("abc")),
        (varchar("c_varchar", 64, UTF8MB4, 4), text("naïve 你好 😀")),
        (fixed("c_binary4", 4, BINARY), Some(vec![1, 255])),
        (varchar("c_varbinary", 16, BINARY, 1), Some(vec![0, 0x80, 254])),
        (blob("c_tinyblob", 1, BINARY), Some(vec![0])),
        (blob("c_blob", 2, BINARY), Some(b"\x89PNG".to_vec())),
        (blob("c_text", 2, UTF8MB4), text("long text")),
        (blob("c_longtext", 4, UTF8MB4), text("")),
        (labelled("c_enum", 247, 1, &["S", "M", "L"], UTF8MB4), Some(vec![2])),
        (labelled("c_set", 248, 1, &["a", "b", "c"], UTF8MB4), Some(vec![0b101])),
        (col("c_json", 245, &[4]), Some(json)),
        (Col { geometry: Some(1), ..col("c_point", 255, &[4]) }, Some(point)),
        (varchar("c_null", 8, UTF8MB4, 4), None),
    ]
}

fn scene_of(types: Vec<(Col, Bytes)>) -> Scene {
    let (columns, values): (Vec<_>, Vec<_>) = types.into_iter().unzip();
    let map = table_map(5, "lab", "all_types", &columns, true);
    let rows = rows(30, 5, &columns, &[image(&values)], 1_767_225_930);
    Scene { seq: 31, ..Scene::new(&map, rows, None) }
}

#[test]
fn every_type_is_written_as_published() {
    let scene = scene_of(all_types());
    assert_eq!(scene.write(&CanalOptions::default(), 1_767_225_930_120), Ok(vec![sample!("all-types")]));
}

#[test]
fn without_metadata_the_schema_version_gives_the_same_message() {
    let (columns, values): (Vec<_>, Vec<_>) = all_types().into_iter().unzip();
    let expected: Json = serde_json::from_str(&sample!("all-types")).expect("a sample");
    let definition = TableDefinition {
        id: 7,
        database: "lab".into(),
        table: "all_types".into(),
        columns: columns
            .iter()
            .map(|c| ColumnDefinition {
                name: c.name.into(),
                column_type: expected["mysqlType"][c.name].as_str().expect("a type").into(),
                charset: c.collation.filter(|&id| id != BINARY).map(|_| "utf8mb4".into()),
                collation: None,
                nullable: c.nullable,
                invisible: false,
                generated: false,
            })
            .collect(),
        keys: vec![KeyDefinition { name: "PRIMARY".into(), columns: vec![8] }],
        default_charset: None,
        default_collation: None,
        unconfirmed: None,
        dropped: false,
    };
    let map = table_map(5, "lab", "all_types", &columns, false);
    let rows = rows(30, 5, &columns, &[image(&values)], 1_767_225_930);
    let scene = Scene { seq: 31, ..Scene::new(&map, rows, Some(&definition)) };
    assert_eq!(scene.write(&CanalOptions::default(), 1_767_225_930_120), Ok(vec![sample!("all-types")]));
}

#[test]
fn statements_are_written_as_published() {
    for (sample, seq, number, es, ts, table, database, kind) in [
        (sample!("ddl-alter"), 15, 24, 1_767_225_990, 1_767_225_990_140, "orders", "shop", "ALTER"),
        (sample!("ddl-create-table"), 16, 25, 1_767_225_930, 1_767_225_930_120, "coupon", "shop", "CREATE"),
        (sample!("ddl-create-database"), 23, 31, 1_767_225_930, 1_767_225_930_120, "", "archive", "QUERY"),
        (sample!("ddl-create-index"), 20, 29, 1_767_225_930, 1_767_225_930_120, "orders", "shop", "CINDEX"),
        (sample!("ddl-drop-index"), 22, 30, 1_767_225_930, 1_767_225_930_120, "orders", "shop", "DINDEX"),
        (sample!("ddl-drop-table"), 17, 26, 1_767_225_930, 1_767_225_930_120, "coupon", "shop", "ERASE"),
        (sample!("ddl-rename-table"), 18, 27, 1_767_225_930, 1_767_225_930_120, "orders", "shop", "RENAME"),
        (sample!("ddl-truncate"), 19, 28, 1_767_225_930, 1_767_225_930_120, "orders", "shop", "TRUNCATE"),
    ] {
        let expected: Json = serde_json::from_str(&sample).expect("a sample");
        let tx = TxInfo { gtid: format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:{number}"), ..TxInfo::default() };
        let ddl = DdlChange {
            seq: Seq(seq),
            sql: expected["sql"].as_str().expect("a statement").into(),
            database: "shop".into(),
            sql_mode: None,
            tx: &tx,
            place: EventPlace { timestamp: es, ..EventPlace::default() },
        };
        let mut out = Vec::new();
        let canal = CanalJson::new(&CanalOptions::default(), TimeZone::UTC);
        canal.write_ddl(&ddl, DdlTarget { database, table, kind }, ts, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), sample);
    }
}

#[test]
fn the_executed_set_stands_in_place_of_the_gtid_when_asked_for() {
    let mut scene = scene_of(all_types());
    let set = CanalOptions { canal_gtid: GtidForm::Set, ..CanalOptions::default() };
    let gtid = |scene: &Scene, options: &CanalOptions| -> String {
        let message: Json = serde_json::from_str(&scene.write(options, 0).expect("a row")[0]).expect("JSON");
        message["gtid"].as_str().expect("text").to_owned()
    };
    assert_eq!(gtid(&scene, &set), scene.tx.gtid, "a log that tells no set");
    scene.tx.executed = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23".to_owned();
    assert_eq!(gtid(&scene, &set), scene.tx.executed);
    assert_eq!(gtid(&scene, &CanalOptions::default()), scene.tx.gtid);
    let ddl = DdlChange {
        seq: Seq(1),
        sql: "DROP TABLE t".into(),
        database: "shop".into(),
        sql_mode: None,
        tx: &scene.tx,
        place: EventPlace::default(),
    };
    let mut out = Vec::new();
    let target = DdlTarget { database: "shop", table: "t", kind: "ERASE" };
    CanalJson::new(&set, TimeZone::UTC).write_ddl(&ddl, target, 0, &mut out);
    let message: Json = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(message["gtid"], scene.tx.executed);
}

#[test]
fn every_option_changes_what_it_names() {
    let scene = scene_of(all_types());
    let row = |options: CanalOptions| -> Json {
        serde_json::from_str(&scene.write(&options, 0).expect("a row")[0]).expect("JSON")
    };
    let ordinal = row(CanalOptions { canal_enum: EnumForm::Ordinal, ..CanalOptions::default() });
    assert_eq!((&ordinal["data"][0]["c_enum"], &ordinal["sqlType"]["c_enum"]), (&"2".into(), &4.into()));
    assert_eq!((&ordinal["data"][0]["c_set"], &ordinal["sqlType"]["c_set"]), (&"5".into(), &Json::from(-7)));
    let base64 = row(CanalOptions { canal_binary: BinaryForm::Base64, ..CanalOptions::default() });
    assert_eq!(base64["data"][0]["c_binary4"], "Af8AAA==");
    assert_eq!(base64["data"][0]["c_blob"], "iVBORw==");
    let hex = row(CanalOptions { canal_binary: BinaryForm::Hex, ..CanalOptions::default() });
    assert_eq!(hex["data"][0]["c_varbinary"], "0080fe");
}

#[test]
fn settings_are_read_by_their_names_and_others_are_refused() {
    let options: CanalOptions = toml::from_str(
        "canal_old = \"full\"\ncanal_enum = \"ordinal\"\ncanal_binary = \"base64\"\ncanal_rows_per_message = 50\n\
         canal_snapshot_type = \"INIT\"\non_bad_text = \"fail\"\nemit_hidden_row_id = true",
    )
    .expect("all settings");
    assert_eq!(options.canal_old, OldColumns::Full);
    assert_eq!(options.canal_binary, BinaryForm::Base64);
    assert_eq!(toml::from_str::<CanalOptions>(""), Ok(CanalOptions::default()));
    assert!(toml::from_str::<CanalOptions>("canal_olt = \"full\"").is_err());
}

#[test]
fn bad_text_is_replaced_and_counted_or_stops() {
    let scene = scene_of(vec![(varchar("t", 8, UTF8MB4, 4), Some(vec![b'a', 0xff]))]);
    assert_eq!(scene.row()["t"], "a\u{fffd}");
    let fail = CanalOptions { on_bad_text: OnBadText::Fail, ..CanalOptions::default() };
    let error = FormatError::BadText { column: "t".into(), charset: "utf8mb4" };
    assert_eq!(scene.write(&fail, 0), Err(error));
}

#[test]
fn hidden_row_ids_are_left_out_unless_asked_for() {
    let types = || {
        vec![
            (int("a", 3, false), le(1, 4)),
            (int("__#alibaba_rds_row_id#__", 8, false), le(7, 8)),
            (int("my_row_id", 8, true).key().invisible(), le(9, 8)),
        ]
    };
    let scene = scene_of(types());
    let message = scene.write(&CanalOptions::default(), 0).expect("a row").remove(0);
    assert!(!message.contains("row_id"), "{message}");
    assert!(message.contains(r#""pkNames":null"#), "{message}");
    let shown = CanalOptions { emit_hidden_row_id: true, ..CanalOptions::default() };
    let message = scene.write(&shown, 0).expect("a row").remove(0);
    assert!(message.contains(r#""pkNames":["my_row_id"]"#), "{message}");
}

#[test]
fn zero_dates_zero_years_and_the_empty_label_are_values() {
    let row = scene_of(vec![
        (col("y", 13, &[]), Some(vec![0])),
        (col("t", 17, &[3]), timestamp2(0, 0, 3)),
        (labelled("e", 247, 1, &["x"], UTF8MB4), Some(vec![0])),
        (labelled("s", 248, 1, &["x"], UTF8MB4), Some(vec![0])),
        (col("d", 10, &[]), date(2026, 0, 0)),
    ])
    .row();
    let values: Vec<_> = row.values().map(|v| v.as_str().expect("a string")).collect();
    assert_eq!(values, ["2026-00-00", "", "", "0000-00-00 00:00:00.000", "0000"]);
}

#[test]
fn a_number_without_a_label_stops_and_leaves_nothing_behind() {
    let scene = scene_of(vec![(labelled("e", 247, 1, &["x"], UTF8MB4), Some(vec![2]))]);
    let error = FormatError::Label { column: "e".into(), number: 2 };
    assert_eq!(scene.write(&CanalOptions::default(), 0), Err(error));
}

#[test]
fn partial_images_hold_what_is_known() {
    let columns = vec![int("id", 3, false).key(), varchar("a", 8, UTF8MB4, 4), varchar("b", 8, UTF8MB4, 4)];
    let map = table_map(9, "shop", "t", &columns, true);
    let message = |kind, images: &[Image]| {
        let scene = Scene::new(&map, rows(kind, 9, &columns, images, 0), None);
        let message = scene.write(&CanalOptions::default(), 0).expect("a row").remove(0);
        let message: Json = serde_json::from_str(&message).expect("JSON");
        (message["data"][0].to_string(), message["old"][0].to_string())
    };
    let minimal = [vec![Some(le(7, 4)), None, None], vec![None, None, Some(text("new"))]];
    assert_eq!(message(31, &minimal), (r#"{"b":"new","id":"7"}"#.into(), "{}".into()));
    let delete = [vec![Some(le(7, 4)), None, None]];
    assert_eq!(message(32, &delete), (r#"{"id":"7"}"#.into(), "null".into()));
    let noblob = [vec![Some(le(7, 4)), Some(text("x")), None], vec![Some(le(7, 4)), Some(text("y")), Some(text("z"))]];
    assert_eq!(message(31, &noblob), (r#"{"a":"y","b":"z","id":"7"}"#.into(), r#"{"a":"x"}"#.into()));
}

#[test]
fn documents_are_rebuilt_from_their_differences() {
    let columns = vec![int("id", 3, false).key(), col("doc", 245, &[4])];
    // {"a": 1}
    let base = vec![0u8, 1, 0, 12, 0, 11, 0, 1, 0, 5, 1, 0, b'a'];
    // Replace $.a by 2.
    let diff = [&[0u8, 3][..], b"$.a", &[3, 5, 2, 0]].concat();
    let before = image(&[le(1, 4), Some(base)]);
    let mut event = rows(31, 9, &columns, &[before, image(&[le(1, 4), Some(diff)])], 0);
    // A partial update is event 39 and has, before each after image, its options and one bit a JSON column.
    event[4] = 39;
    let after = event.len() - (1 + 4 + 4 + 9);
    event.splice(after..after, [1, 1]);
    let length = event.len() as u32;
    event[9..13].copy_from_slice(&length.to_le_bytes());
    let map = table_map(9, "shop", "t", &columns, true);
    let mut scene = Scene::new(&map, event, None);
    scene.op = Op::Update;
    let message = scene.write(&CanalOptions::default(), 0).expect("a row").remove(0);
    assert!(message.contains(r#""doc":"{\"a\": 2}""#), "{message}");
    assert!(message.contains(r#""old":[{"doc":"{\"a\": 1}"}]"#), "{message}");
}

#[test]
fn keys_hash_and_print_by_key_order_and_side() {
    use crate::format::key::{KeyColumns, Side};
    use crate::format::partition::KeyHash;

    let columns = vec![varchar("b", 8, UTF8MB4, 4).key(), int("a", 3, false).key(), blob("note", 2, UTF8MB4)];
    let map = table_map(9, "shop", "t", &columns, true);
    let images = [image(&[text("x"), le(1, 4), None]), image(&[text("y"), le(1, 4), text("n")])];
    let scene = Scene::new(&map, rows(31, 9, &columns, &images, 0), None);
    let event = Event::parse(&scene.rows, Checksum::None).expect("an event");
    let event = RowsEvent::parse(&event, &scene.description).expect("rows");
    let view = event.rows(&scene.plan.defs).next().expect("a row").expect("a row");
    let row = RowChange { index: 0, before: view.before, after: view.after };

    let mut renderer = Renderer::new(CanalOptions::default().text(TimeZone::UTC));
    let key = KeyColumns::of(&scene.plan);
    let mut hash = |side| key.hash(&scene.plan, &row, side, &mut renderer, &mut Vec::new());
    let expected = |parts: [&str; 2]| {
        let mut hash = KeyHash::default();
        parts.iter().for_each(|part| hash.add(Some(part)));
        Ok(hash.value())
    };
    assert_eq!(hash(Side::Before), expected(["x", "1"]));
    assert_eq!(hash(Side::After), expected(["y", "1"]));
    assert_eq!(key.changed(&row), Ok(true));
    let by_a = KeyColumns::named(&scene.plan, &["A"]).expect("a column");
    assert_eq!(by_a.changed(&row), Ok(false));
    assert!(KeyColumns::named(&scene.plan, &["zz"]).is_err());
    let mut out = Vec::new();
    key.write_object(&scene.plan, &row, Side::After, &mut renderer, &mut out).expect("a key");
    assert_eq!(String::from_utf8_lossy(&out), r#"{"b":"y","a":"1"}"#);
}
