//! Rows as a server writes them, read back from their records: every type in both profiles, and what partial images,
//! zero dates and long values become.

use jiff::civil;

use super::*;
use crate::change::binlog_rows::*;
use crate::format::maxcompute::block::{Row, read_block};
use crate::format::maxcompute::columns::{ADDITIONAL, Naming};
use crate::format::maxcompute::data_type::DataType;
use crate::format::maxcompute::datum::Datum;
use crate::format::maxcompute::layout::TableColumn;
use crate::format::maxcompute::mapping::{Types, data_type};
use crate::format::maxcompute::record::{Tally, checksum_of};
use crate::format::scene::{Known, RandomRows, Scene, every_column, image_of, unbase64};

fn options() -> RowOptions {
    RowOptions {
        datetime_zone: TimeZone::fixed(jiff::tz::offset(8)),
        on_bad_date: OnBadDate::Null,
        on_bad_text: OnBadText::Replace,
        record_id_base: 0,
    }
}

/// The table that is created for a scene's, with the additional columns in front when it is a log.
fn table(scene: &Scene, types: Types, naming: Option<Naming>) -> Vec<TableColumn> {
    let additional = naming.into_iter().flat_map(|naming| {
        ADDITIONAL.map(|column| TableColumn { name: naming.additional(column), kind: column.data_type() })
    });
    let own = scene
        .plan
        .columns
        .iter()
        .map(|column| TableColumn { name: column.name.to_string(), kind: data_type(column.kind, types, false) });
    additional.chain(own).collect()
}

fn kinds(table: &[TableColumn]) -> Vec<DataType> {
    table.iter().map(|column| column.kind.clone()).collect()
}

fn write(
    scene: &Scene,
    table: &[TableColumn],
    naming: Option<Naming>,
    writer: &mut RowWriter,
) -> Result<Vec<Row>, FormatError> {
    let layout = Layout::new(&scene.plan.columns, false, table, naming).expect("a layout");
    let (mut block, mut tally, mut failed) = (Vec::new(), Tally::default(), None);
    scene.each(|rows, row| {
        let before = block.len();
        let written = match naming {
            None => writer.write_base(&layout, rows, row, &mut block).map(|sum| tally.add(sum)),
            Some(_) => {
                let written = writer.write_log(&layout, rows, row, &mut block);
                if let Ok(sums) = &written {
                    let cut = before + sums.cut().unwrap_or(block.len() - before);
                    let ends: Vec<u32> =
                        [&block[before..cut], &block[cut..]].into_iter().filter_map(checksum_of).collect();
                    assert_eq!(ends, sums.iter().collect::<Vec<_>>(), "each record ends in its checksum");
                }
                written.map(|sums| sums.iter().for_each(|sum| tally.add(sum)))
            }
        };
        if let Err(error) = written {
            assert_eq!(block.len(), before, "an error leaves nothing behind");
            failed = Some(error);
        }
    });
    tally.write_trailer(&mut block);
    failed.map_or_else(|| Ok(read_block(&block, &kinds(table)).expect("a whole block")), Err)
}

fn day(date: [u64; 3]) -> Option<civil::Date> {
    civil::Date::new(date[0] as i16, date[1] as i8, date[2] as i8).ok().filter(|date| date.year() > 0)
}

fn wall_seconds(date: [u64; 3], time: [u64; 3]) -> Option<i64> {
    let day = day(date)?;
    let days = i64::from(civil::date(1970, 1, 1).until(day).expect("days").get_days());
    Some(days * 86_400 + (time[0] * 3600 + time[1] * 60 + time[2]) as i64)
}

/// What a value is in a column of this type, computed another way.
fn expected(known: &Known, kind: &DataType) -> Option<Datum> {
    const OFFSET: i64 = 8 * 3600;
    let text = |text: String| Some(Datum::Bytes(text.into_bytes()));
    let number = |number: i128| match kind {
        DataType::String | DataType::Decimal(_) => Datum::Bytes(number.to_string().into_bytes()),
        _ => Datum::Integer(number as i64),
    };
    match known {
        Known::Int(value) => Some(number((*value).into())),
        Known::UInt(value) | Known::Bit(value) => Some(number((*value).into())),
        Known::Decimal(value) => text(value.clone()),
        Known::Float(value) if *kind == DataType::Double => Some(Datum::Double(f64::from(*value))),
        Known::Float(value) => Some(Datum::Float(*value)),
        Known::Double(value) => Some(Datum::Double(*value)),
        Known::Year(year) => Some(Datum::Integer((*year).into())),
        Known::Date(date) => {
            let seconds = wall_seconds(*date, [0; 3])?;
            Some(Datum::Integer(if *kind == DataType::Date { seconds / 86_400 } else { (seconds - OFFSET) * 1000 }))
        }
        Known::Time(micros) => {
            let (seconds, fraction) = (micros.abs() / 1_000_000, micros.abs() % 1_000_000);
            let sign = if *micros < 0 { "-" } else { "" };
            let clock = format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
            Some(Datum::Bytes(clock.into_bytes())).filter(|_| fraction == 0)
        }
        Known::DateTime(date, time, micros) => match kind {
            DataType::DateTime => {
                Some(Datum::Integer((wall_seconds(*date, *time)? - OFFSET) * 1000 + i64::from(micros / 1000)))
            }
            DataType::TimestampNtz => {
                Some(Datum::Moment { seconds: wall_seconds(*date, *time)?, nanos: micros * 1000 })
            }
            _ => {
                let ([y, m, d], [h, i, s]) = (date, time);
                text(format!("{y:04}-{m:02}-{d:02} {h:02}:{i:02}:{s:02}.{micros:06}"))
            }
        },
        Known::Timestamp(0, _) => None,
        Known::Timestamp(seconds, micros) if *kind == DataType::DateTime => {
            Some(Datum::Integer(i64::from(*seconds) * 1000 + i64::from(micros / 1000)))
        }
        Known::Timestamp(seconds, micros) => Some(Datum::Moment { seconds: (*seconds).into(), nanos: micros * 1000 }),
        Known::Text(value) => text(value.clone()),
        Known::Enum(label) => text((*label).to_owned()),
        Known::Set(labels) => text(labels.join(",")),
        Known::Bytes(bytes) => Some(Datum::Bytes(bytes.clone())),
        Known::Json(number, value) => {
            text(format!(r#"{{"a": {number}, "b": {}}}"#, serde_json::Value::from(value.as_str())))
        }
        Known::Point(x, y) => Some(Datum::Bytes([&[1, 1, 0, 0, 0][..], &x.to_le_bytes(), &y.to_le_bytes()].concat())),
        Known::Vector(numbers) => Some(Datum::Bytes(numbers.iter().flat_map(|n| n.to_le_bytes()).collect())),
    }
}

/// Compares a value where there is another way to compute it: not fractions of TIME, and documents by what they say.
fn assert_value(name: &str, known: &Option<Known>, kind: &DataType, value: &Option<Datum>) {
    match (known, value) {
        (Some(Known::Time(micros)), Some(Datum::Bytes(text))) if micros % 1_000_000 != 0 => {
            let text = std::str::from_utf8(text).expect("text");
            assert!(text.ends_with(&format!(".{:06}", micros.abs() % 1_000_000)), "{name}: {text}");
        }
        (Some(Known::Json(..)), Some(Datum::Bytes(text))) => {
            let Some(Datum::Bytes(expected)) = known.as_ref().and_then(|known| expected(known, kind)) else { panic!() };
            let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("a document");
            assert_eq!(read(text), read(&expected), "{name}");
        }
        (Some(Known::Bytes(_) | Known::Vector(_)), Some(Datum::Bytes(text))) if *kind == DataType::String => {
            let bytes = unbase64(std::str::from_utf8(text).expect("text"));
            assert_eq!(Some(Datum::Bytes(bytes)), expected(known.as_ref().expect("a value"), kind), "{name}");
        }
        (Some(Known::Point(x, y)), Some(Datum::Bytes(text))) if *kind == DataType::String => {
            let text = std::str::from_utf8(text).expect("text");
            let (a, b) = text
                .strip_prefix("POINT (")
                .and_then(|t| t.strip_suffix(')'))
                .and_then(|t| t.split_once(' '))
                .expect("WKT");
            assert_eq!((a.parse(), b.parse()), (Ok(*x), Ok(*y)), "{name}");
        }
        _ => assert_eq!(*value, known.as_ref().and_then(|known| expected(known, kind)), "{name} as {kind}"),
    }
}

#[test]
fn every_type_reads_back_as_its_value_in_both_profiles() {
    for seed in 0..150 {
        let mut random = RandomRows::new(seed);
        let row = random.row();
        let scene = Scene::new(30, &every_column(), &[image_of(&row)]);
        for types in [Types::V2, Types::V1] {
            let there = table(&scene, types, None);
            let read = write(&scene, &there, None, &mut RowWriter::new(&options())).expect("a row");
            for ((column, known), value) in there.iter().zip(&row).zip(&read[0]) {
                assert_value(&format!("seed {seed} {}", column.name), known, &column.kind, value);
            }
        }
    }
}

fn text(value: &str) -> Option<Datum> {
    Some(Datum::Bytes(value.as_bytes().to_vec()))
}

fn two_columns() -> Vec<Col> {
    vec![int("id", 8, false).key(), varchar("note", 64, 255, 4)]
}

fn row_of(id: i64, note: Option<&str>) -> Image {
    vec![Some(le(id, 8)), Some(note.map(|note| note.as_bytes().to_vec()))]
}

#[test]
fn a_change_has_the_rows_and_marks_that_are_published() {
    let naming = Some(Naming::Previous);
    let id = Some(Datum::Integer(11 << 20));
    let at = Some(Datum::Integer(1_767_225_930));
    let row = |flag: &str, before: &str, after: &str, key: i64, note: &str| -> Row {
        vec![id.clone(), text(flag), at.clone(), text(before), text(after), Some(Datum::Integer(key)), text(note)]
    };
    for (kind, images, expected) in [
        (30, vec![row_of(1, Some("a"))], vec![row("I", "N", "Y", 1, "a")]),
        (
            31,
            vec![row_of(1, Some("a")), row_of(2, Some("b"))],
            vec![row("U", "Y", "N", 1, "a"), row("U", "N", "Y", 2, "b")],
        ),
        (32, vec![row_of(1, Some("a"))], vec![row("D", "Y", "N", 1, "a")]),
    ] {
        let scene = Scene::new(kind, &two_columns(), &images);
        let there = table(&scene, Types::V2, naming);
        assert_eq!(write(&scene, &there, naming, &mut RowWriter::new(&options())), Ok(expected));
    }
}

#[test]
fn columns_of_the_table_in_another_order_are_filled_by_name() {
    let scene = Scene::new(30, &two_columns(), &[row_of(7, None), row_of(8, Some("x"))]);
    let mut there = table(&scene, Types::V2, None);
    there.reverse();
    there.insert(1, TableColumn { name: "gone".into(), kind: DataType::Double });
    let read = write(&scene, &there, None, &mut RowWriter::new(&options())).expect("rows");
    assert_eq!(read, [vec![None, None, Some(Datum::Integer(7))], vec![text("x"), None, Some(Datum::Integer(8))]]);
}

#[test]
fn what_an_after_image_lacks_did_not_change_and_is_an_error_where_nothing_tells() {
    let naming = Some(Naming::New);
    let partial = |id: i64| -> Image { vec![Some(le(id, 8)), None] };
    let write = |kind, images: &[Image]| {
        let scene = Scene::new(kind, &two_columns(), images);
        let there = table(&scene, Types::V2, naming);
        write(&scene, &there, naming, &mut RowWriter::new(&options()))
    };
    let read = write(31, &[row_of(1, Some("kept")), partial(2)]).expect("rows");
    assert_eq!(read[1][5..], [Some(Datum::Integer(2)), text("kept")]);
    // Of a deleted row its key is enough.
    let read = write(32, &[partial(1)]).expect("rows");
    assert_eq!(read[0][5..], [Some(Datum::Integer(1)), None]);
    let missing = FormatError::ColumnMissing { column: "note".into() };
    assert_eq!(write(31, &[partial(1), partial(2)]), Err(missing));
}

#[test]
fn zero_dates_are_null_and_counted_or_park() {
    let columns = [col("d", 10, &[]), col("dt", 18, &[0]), col("dt6", 18, &[6]), col("ts", 17, &[0])];
    let zero: Image = vec![
        Some(date(0, 0, 0)),
        Some(datetime2([2026, 2, 30], [1, 2, 3], 0, 0)),
        Some(datetime2([0, 0, 0], [0, 0, 0], 0, 6)),
        Some(timestamp2(0, 0, 0)),
    ];
    let scene = Scene::new(30, &columns, &[zero]);
    for types in [Types::V2, Types::V1] {
        let there = table(&scene, types, None);
        let mut writer = RowWriter::new(&options());
        let read = write(&scene, &there, None, &mut writer).expect("a row");
        // A text holds what no calendar has.
        let finer = if types == Types::V1 { text("0000-00-00 00:00:00.000000") } else { None };
        assert_eq!(read, [vec![None, None, finer.clone(), None]]);
        assert_eq!(writer.bad_dates(), if finer.is_some() { 3 } else { 4 });
        let mut writer = RowWriter::new(&RowOptions { on_bad_date: OnBadDate::Fail, ..options() });
        let refused = write(&scene, &there, None, &mut writer);
        assert_eq!(refused, Err(FormatError::BadDate { column: "d".into() }));
    }
}

#[test]
fn a_value_beyond_the_largest_cell_is_refused() {
    let columns = [blob("b", 4, 63), blob("t", 4, 255)];
    let there = |scene: &Scene| table(scene, Types::V2, None);
    for (at, name) in [(0, "b"), (1, "t")] {
        let image = |bytes: usize| -> Image {
            (0..2).map(|column| Some(Some(vec![b'x'; if column == at { bytes } else { 1 }]))).collect()
        };
        let scene = Scene::new(30, &columns, &[image(CELL_MAX)]);
        assert!(write(&scene, &there(&scene), None, &mut RowWriter::new(&options())).is_ok());
        let scene = Scene::new(30, &columns, &[image(CELL_MAX + 1)]);
        let refused = write(&scene, &there(&scene), None, &mut RowWriter::new(&options()));
        assert_eq!(refused, Err(FormatError::CellTooLong { column: name.into(), bytes: CELL_MAX + 1 }));
    }
}

#[test]
fn extremes_of_integers_and_decimals_keep_every_digit() {
    let columns = [int("i", 8, false), int("u", 8, true), decimal_col("d", 38, 18), col("b", 16, &[0, 8])];
    let digits = "-99999999999999999999.999999999999999999";
    let image: Image =
        vec![Some(le(i64::MIN, 8)), Some(le(-1, 8)), Some(decimal(digits, 38, 18)), Some(Some(vec![0xff; 8]))];
    let scene = Scene::new(30, &columns, &[image]);
    let read = write(&scene, &table(&scene, Types::V2, None), None, &mut RowWriter::new(&options())).expect("a row");
    let most = text("18446744073709551615");
    assert_eq!(read, [vec![Some(Datum::Integer(i64::MIN)), most.clone(), text(digits), most]]);
}
