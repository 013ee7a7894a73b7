//! Every published sample, byte for byte, from rows as a server writes them.

use serde_json::Value as Json;
use serde_json::json as object;

use super::*;
use crate::change::binlog_rows::*;
use crate::format::scene::*;

const POST_MS: u64 = 1_767_225_930_120;

fn write(scene: &Scene, options: &ShareplexOptions, place: TxPlace) -> Result<Vec<String>, FormatError> {
    let mut shareplex = ShareplexJson::new(options, TimeZone::UTC);
    scene.written(|change, row, out| shareplex.write(change, row, &place, POST_MS, out))
}

fn one(scene: &Scene, row: u64) -> String {
    let place = TxPlace { row, table_row: row, size: Some(3), last: row == 3 };
    write(scene, &ShareplexOptions::default(), place).expect("a row").remove(0)
}

fn json(text: &str) -> Json {
    serde_json::from_str(text).expect("JSON")
}

/// The sample without the white space between its tokens; none of its strings has escapes.
fn compact(sample: &str) -> String {
    let mut in_string = false;
    sample
        .chars()
        .filter(|c| {
            in_string ^= *c == '"';
            in_string || !c.is_whitespace()
        })
        .collect()
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

fn ann(paid: bool) -> Image {
    image(&[
        le(1001, 8),
        text("ann@example.com"),
        decimal("12.50", 10, 2),
        Some(vec![1 + u8::from(paid)]),
        timestamp2(1_767_225_600, 0, 0),
        if paid { datetime2([2026, 1, 1], [0, 5, 30], 250_000, 6) } else { datetime2([2026, 1, 1], [0, 0, 0], 0, 6) },
        if paid { None } else { text("première") },
        Some(vec![5]),
    ])
}

/// An event that ends at the offset which the sample's `scn` has.
fn scene(kind: u8, images: &[Image], scn: u64) -> Scene {
    let mut scene = Scene::new(kind, &orders(), images);
    scene.place.position = scn - (17 << 40);
    scene
}

#[test]
fn inserts_are_written_as_published() {
    let sample = compact(include_str!("../../../tests/fixtures/shareplex-json/insert.json"));
    assert_eq!(one(&scene(30, &[ann(false)], 18_691_697_676_502), 1), sample);
}

#[test]
fn updates_are_written_as_published() {
    let sample = compact(include_str!("../../../tests/fixtures/shareplex-json/update.json"));
    assert_eq!(one(&scene(31, &[ann(false), ann(true)], 18_691_697_676_712), 2), sample);
}

#[test]
fn deletes_are_written_as_published() {
    let sample = compact(include_str!("../../../tests/fixtures/shareplex-json/delete.json"));
    assert_eq!(one(&scene(32, &[ann(true)], 18_691_697_676_892), 3), sample);
}

#[test]
fn without_gtids_a_transaction_is_named_by_its_place() {
    let mut scene = scene(30, &[ann(false)], 18_691_697_676_502);
    scene.tx.gtid.clear();
    assert_eq!(json(&one(&scene, 1))["meta"]["trans"], "binlog.000017:37000");
}

#[test]
fn a_size_that_nobody_knows_is_0() {
    let scene = scene(30, &[ann(false)], 18_691_697_676_502);
    let place = TxPlace { row: 100_001, table_row: 7, size: None, last: false };
    let message = write(&scene, &ShareplexOptions::default(), place).expect("a row").remove(0);
    let meta = &json(&message)["meta"];
    assert_eq!((&meta["seq"], &meta["size"], &meta["idx"]), (&object!(100_001), &object!(0), &object!("100001/0")));
}

#[test]
fn rows_of_the_initial_copy_are_inserts_of_no_transaction() {
    let mut scene = scene(30, &[ann(false)], 18_691_697_676_502);
    scene.snapshot = true;
    let meta = json(&one(&scene, 1))["meta"].clone();
    assert_eq!((&meta["op"], &meta["trans"], &meta["size"]), (&object!("ins"), &object!(""), &object!(0)));
}

#[test]
fn the_halves_of_a_split_update_are_whole() {
    let scene = scene(31, &[ann(false), ann(true)], 18_691_697_676_502);
    let mut shareplex = ShareplexJson::new(&ShareplexOptions::default(), TimeZone::UTC);
    scene.each(|change, row| {
        for (op, word, status) in [(Op::Delete, "del", "new"), (Op::Insert, "ins", "paid")] {
            let mut out = Vec::new();
            let half = RowsChange { op, ..*change };
            shareplex.write(&half, row, &TxPlace::default(), POST_MS, &mut out).expect("a row");
            let message = json(&String::from_utf8_lossy(&out));
            assert_eq!((&message["meta"]["op"], &message["data"]["status"]), (&object!(word), &object!(status)));
            assert_eq!(message.get("key"), None);
        }
    });
}

#[test]
fn partial_images_hold_what_is_known() {
    let columns = [int("id", 3, false).key(), varchar("a", 8, UTF8MB4, 4), varchar("b", 8, UTF8MB4, 4)];
    let update = |images: &[Image]| {
        let message = json(&one(&Scene::new(31, &columns, images), 1));
        (message["data"].clone(), message["key"].clone())
    };
    let minimal = [vec![Some(le(7, 4)), None, None], vec![None, None, Some(text("new"))]];
    assert_eq!(update(&minimal), (object!({"b": "new"}), object!({"id": "7"})));
    let noblob = [vec![Some(le(7, 4)), Some(text("x")), None], vec![Some(le(7, 4)), Some(text("y")), Some(text("z"))]];
    assert_eq!(update(&noblob), (object!({"a": "y", "b": "z"}), object!({"a": "x", "id": "7"})));
}

#[test]
fn statements_have_their_text_and_truncate_has_none() {
    let scene = scene(30, &[ann(false)], 18_691_697_676_502);
    let ddl = |sql: &str, table: &str, kind: &str| {
        let ddl = DdlChange {
            seq: relay_store::Seq(12),
            sql: sql.into(),
            database: "shop".into(),
            sql_mode: None,
            tx: &scene.tx,
            place: scene.place,
        };
        let mut out = Vec::new();
        let shareplex = ShareplexJson::new(&ShareplexOptions::default(), TimeZone::UTC);
        shareplex.write_ddl(&ddl, DdlTarget { database: "shop", table, kind }, POST_MS, &mut out);
        json(&String::from_utf8_lossy(&out))
    };
    let alter = ddl("ALTER TABLE orders ADD x int", "orders", "ALTER");
    assert_eq!((&alter["meta"]["op"], &alter["meta"]["table"]), (&object!("ddl"), &object!("shop.orders")));
    assert_eq!(
        (&alter["meta"]["idx"], &alter["data"]),
        (&object!("1/1"), &object!({"sql": "ALTER TABLE orders ADD x int"}))
    );
    let truncate = ddl("TRUNCATE orders", "orders", "TRUNCATE");
    assert_eq!((&truncate["meta"]["op"], &truncate["data"]), (&object!("trunc"), &object!({})));
    assert_eq!(ddl("CREATE DATABASE shop", "", "QUERY")["meta"]["table"], "shop");
}

#[test]
fn values_that_cannot_be_shown_stop_and_leave_nothing() {
    let columns = [int("id", 3, false), labelled("c", 247, 1, &LABELS, UTF8MB4), varchar("t", 8, UTF8MB4, 4)];
    let fails = |label: u8, letter: u8, options: &ShareplexOptions| {
        let row = image(&[le(1, 4), Some(vec![label]), Some(vec![letter])]);
        write(&Scene::new(30, &columns, &[row]), options, TxPlace::default())
    };
    let options = ShareplexOptions::default();
    assert_eq!(fails(9, b'a', &options), Err(FormatError::Label { column: "c".into(), number: 9 }));
    let strict = ShareplexOptions { on_bad_text: OnBadText::Fail, ..ShareplexOptions::default() };
    assert_eq!(fails(1, 0xff, &strict), Err(FormatError::BadText { column: "t".into(), charset: "utf8mb4" }));
    let replaced = json(&fails(1, 0xff, &options).expect("a row")[0]);
    assert_eq!(replaced["data"]["t"], "\u{fffd}");
}

#[test]
fn hidden_row_ids_and_settings() {
    let hidden = [int("a", 3, false), int("my_row_id", 8, true).key().invisible()];
    let scene = Scene::new(31, &hidden, &[image(&[le(1, 4), le(9, 8)]), image(&[le(2, 4), le(8, 8)])]);
    let message = json(&one(&scene, 1));
    assert_eq!((&message["data"], &message["key"]), (&object!({"a": "2"}), &object!({"a": "1"})));
    let text = "emit_hidden_row_id = true\non_bad_text = \"fail\"\nshareplex_tx_buffer_rows = 10";
    let shown: ShareplexOptions = toml::from_str(text).expect("settings");
    assert_eq!(shown.shareplex_tx_buffer_rows, 10);
    let message = json(&write(&scene, &shown, TxPlace::default()).expect("a row")[0]);
    assert_eq!(message["key"], object!({"a": "1", "my_row_id": "9"}));
    assert_eq!(toml::from_str::<ShareplexOptions>(""), Ok(ShareplexOptions::default()));
    assert!(toml::from_str::<ShareplexOptions>("shareplex_tx_rows = 10").is_err());
}

#[test]
fn columns_that_a_delivery_leaves_out_are_nowhere() {
    let columns = [int("id", 3, false).key(), varchar("secret", 8, UTF8MB4, 4)];
    let images = [image(&[le(1, 4), text("x")]), image(&[le(2, 4), text("y")])];
    let mut scene = Scene::new(31, &columns, &images);
    scene.plan = scene.plan.derive(|plan| plan.columns[1].dropped = true);
    let message = json(&one(&scene, 1));
    assert_eq!((&message["data"], &message["key"]), (&object!({"id": "2"}), &object!({"id": "1"})));
}

/// Values are those of Canal JSON, whose own tests hold them against samples.
#[test]
fn random_rows_have_the_values_of_canal_json() {
    use crate::format::canal_json::{CanalJson, CanalOptions};

    let seed = 0x5ba9;
    let mut random = RandomRows::new(seed);
    let columns = every_column();
    let mut canal = CanalJson::new(&CanalOptions::default(), TimeZone::UTC);
    let mut shareplex = ShareplexJson::new(&ShareplexOptions::default(), TimeZone::UTC);
    for round in 0..60 {
        let images = [image_of(&random.row()), image_of(&random.row())];
        Scene::new(31, &columns, &images).each(|change, row| {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            shareplex.write(change, row, &TxPlace::default(), POST_MS, &mut one).expect("a row");
            canal.write(change, std::slice::from_ref(row), POST_MS, &mut other).expect("a row");
            let (one, other) = (json(&String::from_utf8_lossy(&one)), json(&String::from_utf8_lossy(&other)));
            let (data, key) = (one["data"].as_object().expect("data"), one["key"].as_object().expect("a key"));
            assert_eq!(key.len(), columns.len());
            for column in columns.iter().map(|column| column.name) {
                let now = &other["data"][0][column];
                match other["old"][0].get(column) {
                    Some(was) => {
                        assert_eq!(
                            (data.get(column), &key[column]),
                            (Some(now), was),
                            "seed {seed}, round {round}, {column}"
                        );
                    }
                    None => {
                        assert_eq!(
                            (data.get(column), &key[column]),
                            (None, now),
                            "seed {seed}, round {round}, {column}"
                        );
                    }
                }
            }
        });
    }
}
