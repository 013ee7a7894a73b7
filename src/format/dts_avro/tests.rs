//! Every published sample, byte for byte, from rows as a server writes them; and what no sample shows.

use std::sync::Arc;

use relay_store::Seq;

use super::wire::write_long;
use super::*;
use crate::binlog::RowsEvent;
use crate::binlog::event::{Checksum, Dialect, Event, FormatDescription, QueryCharset};
use crate::change::binlog_rows::*;
use crate::change::plan::{Planner, TablePlan};
use crate::change::{RowsError, SessionInfo};
use crate::log::{ColumnDefinition, KeyDefinition, TableDefinition};

pub(super) const UTF8MB4: u16 = 255;
const BINARY: u16 = 63;

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/dts-avro/", $name, ".hex")).trim()
    };
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn description() -> FormatDescription {
    FormatDescription {
        server_version: "8.0.36".into(),
        created: 0,
        post_header_lengths: Vec::new(),
        checksum: Checksum::None,
        dialect: Dialect::MySql,
    }
}

/// The transaction of the samples.
pub(super) fn tx() -> TxInfo {
    TxInfo {
        gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23".into(),
        file: "mysql-bin.000017".into(),
        server_version: "8.0.36".into(),
        start: 4120,
        thread_id: Some(4711),
        session: SessionInfo {
            flags2: Some(0),
            sql_mode: Some(1_168_113_696),
            charset: Some(QueryCharset { client: 255, connection: 255, server: 255 }),
        },
        ..TxInfo::default()
    }
}

fn place(timestamp: u32, position: u64) -> EventPlace {
    EventPlace { timestamp, server_id: 1, position }
}

/// One event's rows.
pub(super) struct Scene {
    pub(super) plan: Arc<TablePlan>,
    rows: Vec<u8>,
    pub(super) tx: TxInfo,
    place: EventPlace,
    op: Op,
    seq: u64,
    snapshot: bool,
}

impl Scene {
    pub(super) fn new(map: &[u8], rows: Vec<u8>, schema: Option<&TableDefinition>) -> Self {
        let planner = Planner::new();
        if let Some(schema) = schema {
            planner.learn(&schema.encode()).expect("a definition");
        }
        let event = Event::parse(map, Checksum::None).expect("an event");
        let plan = planner.plan(&event, &description(), schema.map(|s| s.id)).expect("a table map").expect("a plan");
        let op = match rows[4] {
            30 => Op::Insert,
            31 => Op::Update,
            _ => Op::Delete,
        };
        Self { plan, rows, tx: tx(), place: place(1_767_225_930, 4310), op, seq: 11, snapshot: false }
    }

    pub(super) fn with(&self, avro: &mut DtsAvro, now_ms: u64) -> Result<Vec<Vec<u8>>, FormatError> {
        let event = Event::parse(&self.rows, Checksum::None).expect("an event");
        let change = RowsChange {
            seq: Seq(self.seq),
            op: self.op,
            plan: &self.plan,
            tx: &self.tx,
            place: self.place,
            snapshot: self.snapshot,
            event: RowsEvent::parse(&event, &description()).expect("a rows event"),
        };
        let mut records = Vec::new();
        for row in change.rows() {
            let mut out = b"before".to_vec();
            let written = avro.write(&change, &row?, now_ms, &mut out);
            assert!(out.starts_with(b"before") && (written.is_ok() || out.len() == 6));
            written?;
            records.push(out.split_off(6));
        }
        Ok(records)
    }

    pub(super) fn write(&self, options: &AvroOptions) -> Result<Vec<u8>, FormatError> {
        self.with(&mut DtsAvro::new(options), 1_767_225_930_050).map(|mut records| records.remove(0))
    }
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

fn declared(name: &str, column_type: &str, charset: Option<&str>) -> ColumnDefinition {
    ColumnDefinition {
        name: name.into(),
        column_type: column_type.into(),
        charset: charset.map(Into::into),
        collation: None,
        nullable: true,
        invisible: false,
        generated: false,
    }
}

fn definition(table: &str, columns: Vec<ColumnDefinition>, keys: Vec<KeyDefinition>) -> TableDefinition {
    TableDefinition {
        id: 7,
        database: "shop".into(),
        table: table.into(),
        columns,
        keys,
        default_charset: None,
        default_collation: None,
        unconfirmed: None,
        dropped: false,
    }
}

fn orders_definition() -> TableDefinition {
    let text = Some("utf8mb4");
    let columns = vec![
        declared("id", "bigint", None),
        declared("email", "varchar(128)", text),
        declared("amount", "decimal(10,2)", None),
        declared("status", "enum('new','paid')", text),
        declared("created_at", "timestamp", None),
        declared("updated_at", "datetime(6)", None),
        declared("note", "text", text),
        declared("flags", "bit(8)", None),
    ];
    let key = |name: &str, at| KeyDefinition { name: name.into(), columns: vec![at] };
    definition("orders", columns, vec![key("PRIMARY", 0), key("uk_email", 1)])
}

fn ann(paid: bool) -> Image {
    let updated =
        if paid { datetime2([2026, 1, 1], [0, 5, 30], 250_000, 6) } else { datetime2([2026, 1, 1], [0, 0, 0], 0, 6) };
    image(&[
        le(1001, 8),
        text("ann@example.com"),
        decimal("12.50", 10, 2),
        Some(vec![1 + u8::from(paid)]),
        timestamp2(1_767_225_600, 0, 0),
        updated,
        if paid { None } else { text("première") },
        Some(vec![5]),
    ])
}

fn orders_scene(kind: u8, images: &[Image], seq: u64, position: u64) -> Scene {
    let map = table_map(9, "shop", "orders", &orders(), true);
    let rows = rows(kind, 9, &orders(), images, 1_767_225_930);
    let scene = Scene::new(&map, rows, Some(&orders_definition()));
    Scene { seq, place: place(1_767_225_930, position), ..scene }
}

fn writer() -> DtsAvro {
    DtsAvro::new(&AvroOptions::default())
}

#[test]
fn rows_are_written_as_published() {
    let mut avro = writer();
    for (scene, now_ms, published) in [
        (orders_scene(30, &[ann(false)], 11, 4310), 1_767_225_930_050, sample!("insert")),
        (orders_scene(31, &[ann(false), ann(true)], 12, 4520), 1_767_225_930_051, sample!("update")),
        (orders_scene(32, &[ann(true)], 13, 4700), 1_767_225_930_052, sample!("delete")),
    ] {
        assert_eq!(hex(&scene.with(&mut avro, now_ms).expect("a row")[0]), published);
    }
}

#[test]
fn rows_of_the_initial_copy_are_written_as_published() {
    let mut scene = orders_scene(30, &[ann(false)], 1, 4120);
    (scene.snapshot, scene.place.timestamp) = (true, 1_767_225_590);
    let records = scene.with(&mut writer(), 1_767_225_590_500).expect("a row");
    assert_eq!(hex(&records[0]), sample!("init"));
}

#[test]
fn what_is_no_row_is_written_as_published() {
    let tx = tx();
    let boundary = |seq, position| TxBoundary { seq: Seq(seq), tx: &tx, place: place(1_767_225_930, position) };
    let avro = writer();
    let mut out = Vec::new();
    avro.write_begin(&boundary(10, 4200), 1_767_225_930_050, &mut out);
    assert_eq!(hex(&out), sample!("begin"));
    out.clear();
    avro.write_commit(&boundary(14, 4731), 1_767_225_930_053, &mut out);
    assert_eq!(hex(&out), sample!("commit"));
    out.clear();
    let heartbeat = HeartbeatPlace { seq: Seq(16), tx: &tx, position: 4980, timestamp: 1_767_226_000 };
    avro.write_heartbeat(&heartbeat, 1_767_226_000_000, &mut out);
    assert_eq!(hex(&out), sample!("heartbeat"));
    out.clear();
    let tx = TxInfo {
        gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:24".into(),
        executed: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-24".into(),
        lower_case_table_names: Some(false),
        ..tx
    };
    let ddl = DdlChange {
        seq: Seq(15),
        sql: "ALTER TABLE orders ADD COLUMN coupon varchar(32) NULL".into(),
        database: "shop".into(),
        sql_mode: None,
        tx: &tx,
        place: place(1_767_225_990, 4790),
    };
    avro.write_ddl(&ddl, "shop", 1_767_225_990_100, &mut out);
    assert_eq!(hex(&out), sample!("ddl"));
}

#[test]
fn tags_that_nobody_knows_are_left_out() {
    let tx = TxInfo { gtid: String::new(), thread_id: None, session: SessionInfo::default(), ..tx() };
    let ddl = DdlChange {
        seq: Seq(1),
        sql: "CREATE USER u".into(),
        database: "".into(),
        sql_mode: None,
        tx: &tx,
        place: place(1, 2),
    };
    let mut out = Vec::new();
    writer().write_ddl(&ddl, "", 3, &mut out);
    let text = String::from_utf8_lossy(&out);
    for tag in ["GTID", "thread_id", "lowerCaseTableNames", "Q_"] {
        assert!(!text.contains(tag), "{tag}");
    }
    // DDL, no object, no timestamps; and what stands before them.
    let head = format!("008080800102{0}{0}{1}00{2}060000", text_hex("2@17"), text_hex("0"), text_hex("8.0.36"));
    assert!(hex(&out).starts_with(&head), "{}", hex(&out));
}

/// The bytes of a row's only value, whatever stands around them.
fn value_of(columns: &[Col], value: Bytes, schema: Option<&str>, options: &AvroOptions) -> Result<String, FormatError> {
    let map = table_map(5, "shop", "t", columns, schema.is_none());
    let rows = rows(32, 5, columns, &[image(&[value])], 0);
    let charset = columns[0].collation.filter(|&id| id != BINARY).map(|_| "utf8mb4");
    let definition = schema.map(|kind| definition("t", vec![declared("c", kind, charset)], Vec::new()));
    let scene = Scene::new(&map, rows, definition.as_ref());
    let record = scene.write(options)?;
    // The branch and count before the image, and what ends it, are the same in every record.
    let fields = Shape::new(&scene.plan, options).fields;
    let at = record.windows(fields.len()).position(|window| window == fields).expect("fields") + fields.len();
    let (head, rest) = record[at..].split_at(2);
    assert_eq!(head, [branch::ARRAY, 2]);
    let mut end = vec![0, 0];
    write_end(1_767_225_930, &mut end);
    Ok(hex(rest.strip_suffix(&end[..]).expect("the end of the record")))
}

fn value(column: Col, value: Bytes) -> String {
    value_of(&[column], value, None, &AvroOptions::default()).expect("a value")
}

fn text_hex(text: &str) -> String {
    let mut out = Vec::new();
    write_bytes(text.as_bytes(), &mut out);
    hex(&out)
}

#[test]
fn integers_keep_their_sign_and_their_upper_half() {
    for (column, bytes, precision, digits) in [
        (int("c", 1, false), le(-128, 1), "02", "-128"),
        (int("c", 1, true), le(255, 1), "02", "255"),
        (int("c", 2, true), le(65535, 2), "04", "65535"),
        (int("c", 9, false), le(-8_388_608, 3), "06", "-8388608"),
        (int("c", 3, true), le(u32::MAX.into(), 4), "08", "4294967295"),
        (int("c", 8, false), le(i64::MIN, 8), "10", "-9223372036854775808"),
        (int("c", 8, true), le(-1, 8), "10", "18446744073709551615"),
        (col("c", 16, &[0, 8]), Some(vec![255; 8]), "10", "18446744073709551615"),
    ] {
        assert_eq!(value(column, bytes), format!("02{precision}{}", text_hex(digits)));
    }
    assert_eq!(value(int("c", 8, false), None), "00");
}

#[test]
fn decimals_count_their_own_digits() {
    let long = "9".repeat(65);
    for (text, precision, scale, digits) in [
        ("348.00", 10, 2, "0a"),
        ("-0.05", 10, 2, "02"),
        ("0.00", 10, 2, "02"),
        ("-7", 5, 0, "02"),
        ("0", 5, 0, "02"),
        ("10.10", 4, 2, "08"),
        (&long, 65, 0, "8201"),
    ] {
        let bytes = decimal(text, precision, scale);
        let found = value(decimal_col("c", precision as u8, scale as u8), bytes);
        assert_eq!(found, format!("06{}{digits}{:02x}", text_hex(text), scale * 2), "{text}");
    }
}

#[test]
fn floats_have_the_constants_of_dts() {
    let float = Col { unsigned: Some(false), ..col("c", 4, &[4]) };
    assert_eq!(value(float, Some(3.5f32.to_le_bytes().to_vec())), format!("08{}101e", hex(&3.5f64.to_le_bytes())));
    let double = Col { unsigned: Some(false), ..col("c", 5, &[8]) };
    assert_eq!(value(double, Some(1e300f64.to_le_bytes().to_vec())), format!("08{}101e", hex(&1e300f64.to_le_bytes())));
}

#[test]
fn times_have_the_parts_of_their_types() {
    for (column, bytes, parts) in [
        (col("c", 13, &[]), Some(vec![126]), "02d41f 00 00 00 00 00 00"),
        (col("c", 13, &[]), Some(vec![0]), "0200 00 00 00 00 00 00"),
        (col("c", 10, &[]), date(2026, 1, 31), "02d41f 0202 023e 00 00 00 00"),
        (col("c", 10, &[]), date(0, 0, 0), "0200 0200 0200 00 00 00 00"),
        (col("c", 10, &[]), date(2026, 0, 0), "02d41f 0200 0200 00 00 00 00"),
        (col("c", 19, &[0]), time2(true, [838, 59, 59], 0, 0), "00 00 00 028b0d 0275 0275 0200"),
        (col("c", 19, &[6]), Some(vec![0x7f, 0xff, 0xff, 0xff, 0xff, 0xff]), "00 00 00 0200 0200 0200 0201"),
        (col("c", 19, &[3]), time2(false, [12, 30, 45], 120_000, 3), "00 00 00 0218 023c 025a 0280d30e"),
        (col("c", 18, &[0]), datetime2([0, 0, 0], [0, 0, 0], 0, 0), "0200 0200 0200 0200 0200 0200 0200"),
        (col("c", 18, &[6]), datetime2([2026, 1, 31], [23, 59, 59], 120, 6), "02d41f 0202 023e 022e 0276 0276 02f001"),
    ] {
        assert_eq!(value(column, bytes), format!("0c{}", parts.replace(' ', "")));
    }
    let mut moment = vec![branch::TIMESTAMP];
    write_long(1_769_903_999, &mut moment);
    write_long(7_000, &mut moment);
    assert_eq!(value(col("c", 17, &[3]), timestamp2(1_769_903_999, 7_000, 3)), hex(&moment));
    assert_eq!(value(col("c", 17, &[0]), timestamp2(0, 0, 0)), "0a0000");
}

#[test]
fn text_stays_in_its_character_set() {
    let gbk = Some(vec![0xc4, 0xe3]);
    assert_eq!(value(varchar("c", 8, 28, 2), gbk), format!("04{}04c4e3", text_hex("gbk")));
    assert_eq!(value(varchar("c", 8, 33, 3), text("a")), format!("04{}0261", text_hex("utf8")));
    assert_eq!(value(fixed("c", 32, UTF8MB4), text("abc")), format!("04{}{}", text_hex("utf8mb4"), text_hex("abc")));
    let long = "x".repeat(70_000);
    assert_eq!(value(blob("c", 4, UTF8MB4), text(&long)), format!("04{}{}", text_hex("utf8mb4"), text_hex(&long)));
}

#[test]
fn text_columns_take_the_branch_that_is_asked_for() {
    let branch_of = |avro_text| {
        let options = AvroOptions { avro_text, ..AvroOptions::default() };
        // latin1: one byte, two in UTF-8.
        value_of(&[blob("c", 2, 8)], Some(vec![0xe9]), None, &options).expect("a value")
    };
    assert_eq!(branch_of(TextBranch::Character), format!("04{}02e9", text_hex("latin1")));
    assert_eq!(branch_of(TextBranch::TextObject), format!("16{}04c3a9", text_hex("TEXT")));
    assert_eq!(branch_of(TextBranch::BinaryObject), format!("14{}02e9", text_hex("TEXT")));
}

#[test]
fn bytes_labels_documents_and_shapes_are_objects() {
    let binary = |word: &str, bytes: &str| format!("14{}{bytes}", text_hex(word));
    assert_eq!(value(fixed("c", 4, BINARY), Some(vec![1, 255])), binary("BINARY", "0801ff0000"));
    assert_eq!(value(varchar("c", 16, BINARY, 1), Some(vec![0, 0x80])), binary("BINARY", "040080"));
    assert_eq!(value(blob("c", 1, BINARY), Some(vec![7])), binary("BLOB", "0207"));
    let vector = Col { dimension: Some(1), collation: Some(BINARY), ..col("c", 242, &[4]) };
    assert_eq!(value(vector, Some(1f32.to_le_bytes().to_vec())), binary("BLOB", "080000803f"));
    let object = |word: &str, text: &str| format!("16{}{}", text_hex(word), text_hex(text));
    assert_eq!(value(labelled("c", 247, 1, &["é,", "b"], UTF8MB4), Some(vec![1])), object("ENUM", "é,"));
    assert_eq!(value(labelled("c", 247, 1, &["a"], UTF8MB4), Some(vec![0])), object("ENUM", ""));
    assert_eq!(value(labelled("c", 248, 1, &["a", "b", "c"], UTF8MB4), Some(vec![5])), object("SET", "a,c"));
    assert_eq!(value(col("c", 245, &[4]), Some(vec![5, 7, 0])), object("JSON", "7"));
    let wkb = [&[1u8, 1, 0, 0, 0][..], &1.0f64.to_le_bytes(), &2.0f64.to_le_bytes()].concat();
    let point = Col { geometry: Some(1), ..col("c", 255, &[4]) };
    let stored = [&4326u32.to_le_bytes()[..], &wkb].concat();
    assert_eq!(value(point, Some(stored)), format!("10{}2a{}", text_hex("WKB"), hex(&wkb)));
}

#[test]
fn types_of_mariadb_are_text_or_what_they_hold_when_inflated() {
    let of = |column: Col, bytes: Bytes, kind: &str| {
        value_of(&[column], bytes, Some(kind), &AvroOptions::default()).expect("a value")
    };
    let character = |text: &str| format!("04{}{}", text_hex("utf8mb4"), text_hex(text));
    let loopback = [vec![0; 15], vec![1]].concat();
    assert_eq!(of(fixed("c", 16, BINARY), Some(loopback), "inet6"), character("::1"));
    assert_eq!(of(fixed("c", 4, BINARY), Some(vec![192, 0, 2]), "inet4"), character("192.0.2.0"));
    assert_eq!(
        of(fixed("c", 16, BINARY), Some(vec![0x11; 16]), "uuid"),
        character("11111111-1111-1111-1111-111111111111")
    );
    let mut deflated = flate2::write::ZlibEncoder::new(vec![0x81, 200], flate2::Compression::best());
    std::io::Write::write_all(&mut deflated, &[b'x'; 200]).expect("memory");
    let deflated = deflated.finish().expect("memory");
    let compressed = Col { collation: Some(UTF8MB4), ..col("c", 140, &[2]) };
    let kind = "text /*M!100301 COMPRESSED*/";
    assert_eq!(of(compressed.clone(), Some(deflated.clone()), kind), character(&"x".repeat(200)));
    assert_eq!(of(compressed, Some(b"\0ab".to_vec()), kind), character("ab"));
    let bytes = Col { collation: Some(BINARY), ..col("c", 140, &[2]) };
    let kind = "blob /*M!100301 COMPRESSED*/";
    let expected = format!("14{}9003{}", text_hex("BLOB"), "78".repeat(200));
    assert_eq!(of(bytes, Some(deflated), kind), expected);
}

#[test]
fn values_that_an_image_lacks_are_none_unless_the_other_image_of_a_new_row_has_them() {
    let columns = vec![int("id", 3, false).key(), varchar("a", 8, UTF8MB4, 4), varchar("b", 8, UTF8MB4, 4)];
    let map = table_map(9, "shop", "t", &columns, true);
    let minimal = [vec![Some(le(7, 4)), None, None], vec![None, None, Some(text("new"))]];
    let scene = Scene::new(&map, rows(31, 9, &columns, &minimal, 0), None);
    let record = hex(&scene.write(&AvroOptions::default()).expect("a row"));
    let id = format!("0208{}", text_hex("7"));
    let new = format!("04{}{}", text_hex("utf8mb4"), text_hex("new"));
    assert!(record.contains(&format!("0406{id}1802180200040618021802{new}00")), "{record}");

    // The half of a split update that inserts has both images.
    let event = Event::parse(&scene.rows, Checksum::None).expect("an event");
    let event = RowsEvent::parse(&event, &description()).expect("a rows event");
    let (seq, place) = (Seq(11), scene.place);
    let change = RowsChange { seq, op: Op::Insert, plan: &scene.plan, tx: &scene.tx, place, snapshot: false, event };
    let row = change.rows().next().expect("a row").expect("decodes");
    let mut out = Vec::new();
    writer().write(&change, &row, 0, &mut out).expect("a row");
    let record = hex(&out);
    assert!(record.contains(&format!("000406{id}1802{new}00")), "{record}");
}

#[test]
fn documents_are_rebuilt_from_their_differences() {
    let columns = vec![int("id", 3, false).key(), col("doc", 245, &[4])];
    let map = table_map(9, "shop", "t", &columns, true);
    // {"a": 1}, then: replace $.a by 2.
    let base = vec![0u8, 1, 0, 12, 0, 11, 0, 1, 0, 5, 1, 0, b'a'];
    let diff = [&[0u8, 3][..], b"$.a", &[3, 5, 2, 0]].concat();
    let before = image(&[le(1, 4), Some(base)]);
    let mut event = rows(31, 9, &columns, &[before, image(&[le(1, 4), Some(diff)])], 0);
    // A partial update is event 39 and has, before each after image, its options and one bit a JSON column.
    event[4] = 39;
    let after = event.len() - (1 + 4 + 4 + 9);
    event.splice(after..after, [1, 1]);
    let length = event.len() as u32;
    event[9..13].copy_from_slice(&length.to_le_bytes());
    let mut scene = Scene::new(&map, event, None);
    scene.op = Op::Update;
    let record = hex(&scene.write(&AvroOptions::default()).expect("a row"));
    let object = |text: &str| format!("16{}{}", text_hex("JSON"), text_hex(text));
    assert!(record.contains(&object("{\"a\": 1}")) && record.contains(&object("{\"a\": 2}")), "{record}");
}

#[test]
fn bad_text_passes_as_it_is_and_is_counted_or_stops() {
    let columns = [varchar("t", 8, UTF8MB4, 4)];
    let map = table_map(5, "shop", "t", &columns, true);
    let scene = Scene::new(&map, rows(30, 5, &columns, &[image(&[Some(vec![b'a', 0xff])])], 0), None);
    let mut avro = writer();
    let record = scene.with(&mut avro, 0).expect("a row").remove(0);
    assert!(hex(&record).contains(&format!("04{}0461ff", text_hex("utf8mb4"))));
    assert_eq!(avro.bad_text(), 1);
    let fail = AvroOptions { on_bad_text: OnBadText::Fail, ..AvroOptions::default() };
    assert_eq!(scene.write(&fail), Err(FormatError::BadText { column: "t".into(), charset: "utf8mb4" }));
}

#[test]
fn hidden_row_ids_are_left_out_unless_asked_for() {
    let columns = vec![int("a", 3, false), int("my_row_id", 8, true).key().invisible()];
    let map = table_map(5, "shop", "a.b", &columns, true);
    let scene = Scene::new(&map, rows(30, 5, &columns, &[image(&[le(1, 4), le(9, 8)])], 0), None);
    let text = |options: &AvroOptions| String::from_utf8_lossy(&scene.write(options).expect("a row")).into_owned();
    let record = text(&AvroOptions::default());
    assert!(!record.contains("my_row_id") && !record.contains("pk_uk_info"), "{record}");
    assert!(record.contains("shop.a\\u002Eb"), "{record}");
    let record = text(&AvroOptions { emit_hidden_row_id: true, ..AvroOptions::default() });
    assert!(record.contains(r#"{"PRIMARY":["my_row_id"]}"#), "{record}");
}

#[test]
fn rows_of_one_event_differ_in_their_ids_and_times_only() {
    let mut scene = orders_scene(30, &[ann(false), ann(false)], 11, 4310);
    let mut avro = writer();
    let records = scene.with(&mut avro, 1_767_225_930_050).expect("rows");
    assert_eq!(hex(&records[0]), sample!("insert"));
    let id = |index| {
        let mut out = Vec::new();
        write_start(record_id(Seq(11), index), &mut out);
        out
    };
    assert_eq!(records[1], [&id(1), &records[0][id(0).len()..]].concat());
    let later = scene.with(&mut avro, 1_767_225_930_051).expect("rows");
    let expected = sample!("insert").replace(&text_hex("1767225930050"), &text_hex("1767225930051"));
    assert_eq!(hex(&later[0]), expected);
    // A time of another length, and another place, are no reason for a wrong one.
    assert_eq!(scene.with(&mut avro, 7).expect("rows"), scene.with(&mut writer(), 7).expect("rows"));
    assert_eq!(scene.with(&mut avro, 1_767_225_930_050).expect("rows"), records);
    scene.place.position = 9;
    assert_eq!(scene.with(&mut avro, 7).expect("rows"), scene.with(&mut writer(), 7).expect("rows"));
}

#[test]
fn a_row_that_cannot_be_written_leaves_nothing_behind() {
    let columns = [labelled("e", 247, 1, &["x"], UTF8MB4)];
    let map = table_map(5, "shop", "t", &columns, true);
    let scene = Scene::new(&map, rows(30, 5, &columns, &[image(&[Some(vec![2])])], 0), None);
    let wrong = FormatError::Label { column: "e".into(), number: 2 };
    assert_eq!(scene.write(&AvroOptions::default()), Err(wrong));
    let columns = [Col { geometry: Some(1), ..col("g", 255, &[4]) }];
    let map = table_map(5, "shop", "t", &columns, true);
    let scene = Scene::new(&map, rows(30, 5, &columns, &[image(&[Some(vec![2])])], 0), None);
    assert_eq!(scene.write(&AvroOptions::default()), Err(FormatError::Kind { column: "g".into() }));
    let columns = [int("a", 3, false), int("b", 3, false)];
    let map = table_map(5, "shop", "t", &columns, true);
    let mut event = rows(30, 5, &columns, &[image(&[le(1, 4), le(2, 4)])], 0);
    event.pop();
    let length = event.len() as u32;
    event[9..13].copy_from_slice(&length.to_le_bytes());
    let error = Scene::new(&map, event, None).write(&AvroOptions::default());
    assert!(matches!(error, Err(FormatError::Rows(RowsError::Decode { index: 0, .. }))), "{error:?}");
}

#[test]
fn settings_are_read_by_their_names_and_others_are_refused() {
    let options: AvroOptions = toml::from_str(
        "avro_text = \"text_object\"\navro_tx_markers = true\navro_heartbeat_seconds = 10\non_bad_text = \"fail\"\n\
         emit_hidden_row_id = true",
    )
    .expect("all settings");
    assert_eq!((options.avro_text, options.avro_heartbeat_seconds), (TextBranch::TextObject, 10));
    assert_eq!(toml::from_str::<AvroOptions>(""), Ok(AvroOptions::default()));
    assert!(toml::from_str::<AvroOptions>("avro_texts = \"character\"").is_err());
}
