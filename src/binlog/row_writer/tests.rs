use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::binlog::column::WireType;
use crate::binlog::decimal::{Decimal, write_digits};
use crate::binlog::json::Document;
use crate::binlog::time::{Date, DateTime, Time, Timestamp};

fn def(wire: WireType, meta: u16) -> ColumnDef {
    ColumnDef::new(wire, meta).expect("a column")
}

/// A column of any type, and what its values are made of.
fn random_column(rng: &mut StdRng) -> ColumnDef {
    let fsp = rng.random_range(0..=6);
    let mut column = match rng.random_range(0..32) {
        0 => def(WireType::TINY, 0),
        1 => def(WireType::SHORT, 0),
        2 => def(WireType::INT24, 0),
        3 => def(WireType::LONG, 0),
        4 => def(WireType::LONGLONG, 0),
        5 => def(WireType::FLOAT, 4),
        6 => def(WireType::DOUBLE, 8),
        7 | 8 => {
            let precision = rng.random_range(1..=65u16);
            def(WireType::NEWDECIMAL, precision << 8 | rng.random_range(0..=precision.min(30)))
        }
        9 => def(WireType::BIT, rng.random_range(1..=64)),
        10 => def(WireType::YEAR, 0),
        11 => def(WireType::DATE, 0),
        12 | 13 => def(WireType::TIME2, fsp),
        14 => def(WireType::TIME, 0),
        15 => def(WireType::DATETIME2, fsp),
        16 => def(WireType::DATETIME, 0),
        17 => def(WireType::TIMESTAMP2, fsp),
        18 => def(WireType::TIMESTAMP, 0),
        19 => def(WireType::ENUM, rng.random_range(1..=2)),
        20 => def(WireType::SET, rng.random_range(1..=8)),
        21 => def(WireType::JSON, 4),
        22 => def(WireType::STRING, 255),
        23 => def(WireType::STRING, 1020),
        24 => def(WireType::VARCHAR, 200),
        25 => def(WireType::VARCHAR, 3000),
        26 => def(WireType::BLOB, rng.random_range(1..=4)),
        27 => def(WireType::GEOMETRY, 4),
        28 => def(WireType::VECTOR, 4),
        29 => def(WireType::VARCHAR_COMPRESSED, 3000),
        30 => def(WireType::BLOB_COMPRESSED, 2),
        _ => def(WireType::VAR_STRING, 90),
    };
    if column.wire().is_old_time() {
        column.set_fraction_digits(fsp as u8).expect("an old time");
    }
    column.unsigned = Some(rng.random());
    column
}

/// A number that is often at an edge of its width.
fn edgy(rng: &mut StdRng, bits: u32) -> u64 {
    let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
    match rng.random_range(0..5) {
        0 => 0,
        1 => mask,
        2 => 1 << (bits - 1),
        _ => rng.random::<u64>() & mask,
    }
}

fn micros(rng: &mut StdRng, fsp: u8) -> u32 {
    let unit = 10u32.pow(6 - u32::from(fsp));
    rng.random_range(0..1_000_000) / unit * unit
}

fn random_document(rng: &mut StdRng, depth: usize) -> Document {
    match rng.random_range(0..if depth > 3 { 7 } else { 9 }) {
        0 => Document::Null,
        1 => Document::Bool(rng.random()),
        2 => Document::Int(edgy(rng, 64) as i64),
        3 => Document::UInt(edgy(rng, 64)),
        4 => Document::Double(rng.random::<f64>() * 1e10),
        5 => Document::String("é😀x".repeat(rng.random_range(0..60))),
        6 => Document::Opaque { wire: 10, bytes: rng.random::<u64>().to_le_bytes().to_vec() },
        7 => Document::Array((0..rng.random_range(0..5)).map(|_| random_document(rng, depth + 1)).collect()),
        _ => {
            let mut members: Vec<_> = (0..rng.random_range(0..5))
                .map(|_| ("k".repeat(rng.random_range(0..9)), random_document(rng, depth + 1)))
                .collect();
            members.sort_by_key(|(key, _)| key.len());
            members.dedup_by(|(a, _), (b, _)| a == b);
            Document::Object(members)
        }
    }
}

/// Bytes that a value of the column may need to borrow.
fn random_bytes(column: &ColumnDef, rng: &mut StdRng) -> Vec<u8> {
    let meta = usize::from(column.meta());
    match column.wire() {
        WireType::NEWDECIMAL => {
            let (precision, scale) = (meta >> 8, meta & 255);
            let whole = rng.random_range(0..=precision - scale);
            let digits = |rng: &mut StdRng, n| (0..n).map(|_| rng.random_range(b'0'..=b'9')).collect::<Vec<u8>>();
            let (whole, fraction) = (digits(rng, whole), digits(rng, scale));
            let sign: &[u8] = if rng.random() { b"-" } else { b"" };
            let text = [sign, b"0", &whole, b".", &fraction].concat();
            let mut out = Vec::new();
            write_digits(&text, precision as u8, scale as u8, &mut out).expect("digits that fit");
            out
        }
        WireType::JSON => {
            let mut out = Vec::new();
            random_document(rng, 0).write_binary(&mut out).expect("a shallow document");
            out
        }
        _ => {
            let limit = match column.width() {
                Width::Prefixed(1) => meta.min(200),
                _ => 300,
            };
            (0..rng.random_range(0..limit)).map(|_| rng.random()).collect()
        }
    }
}

fn random_value<'a>(column: &ColumnDef, bytes: &'a [u8], rng: &mut StdRng) -> Value<'a> {
    if rng.random_bool(0.1) {
        return Value::Null;
    }
    let meta = column.meta();
    let fsp = meta.min(6) as u8;
    let integer = |rng: &mut StdRng, bits: u32| {
        let v = edgy(rng, bits);
        if column.unsigned == Some(true) {
            Value::UInt(v)
        } else {
            Value::Int((v << (64 - bits)) as i64 >> (64 - bits))
        }
    };
    let mut date =
        || Date { year: rng.random_range(0..=9999), month: rng.random_range(0..=12), day: rng.random_range(0..=31) };
    match column.wire() {
        WireType::TINY => integer(rng, 8),
        WireType::SHORT => integer(rng, 16),
        WireType::INT24 => integer(rng, 24),
        WireType::LONG => integer(rng, 32),
        WireType::LONGLONG => integer(rng, 64),
        WireType::FLOAT => Value::Float(rng.random::<f32>() * 1e6),
        WireType::DOUBLE => Value::Double(-rng.random::<f64>() * 1e100),
        WireType::NEWDECIMAL => {
            Value::Decimal(Decimal::new(bytes, (meta >> 8) as u8, meta as u8).expect("made for the column"))
        }
        WireType::BIT => Value::Bit { value: edgy(rng, meta.into()), bits: meta as u8 },
        WireType::YEAR => Value::Year(if rng.random_bool(0.2) { 0 } else { rng.random_range(1901..=2155) }),
        WireType::DATE => Value::Date(date()),
        WireType::TIME | WireType::TIME2 => {
            let (hours, minutes, seconds) =
                (rng.random_range(0..=838), rng.random_range(0..=59), rng.random_range(0..=59));
            let micros = micros(rng, fsp);
            let zero = u32::from(hours) + u32::from(minutes) + u32::from(seconds) + micros == 0;
            Value::Time(Time { negative: !zero && rng.random(), hours, minutes, seconds, micros, fsp })
        }
        WireType::DATETIME | WireType::DATETIME2 => {
            let date = date();
            let (hour, minute, second) = (rng.random_range(0..=23), rng.random_range(0..=59), rng.random_range(0..=59));
            Value::DateTime(DateTime { date, hour, minute, second, micros: micros(rng, fsp), fsp })
        }
        WireType::TIMESTAMP | WireType::TIMESTAMP2 => {
            Value::Timestamp(Timestamp { seconds: edgy(rng, 32) as u32, micros: micros(rng, fsp), fsp })
        }
        WireType::ENUM => Value::Enum(edgy(rng, 8 * u32::from(meta)) as u32),
        WireType::SET => Value::Set(edgy(rng, 8 * u32::from(meta))),
        WireType::JSON => Value::Json(bytes),
        _ => Value::Bytes(bytes),
    }
}

#[test]
fn rows_of_any_values_come_back_and_are_copied_byte_for_byte() {
    let seed = std::env::var("RELAY_TEST_SEED").ok().map_or_else(rand::random, |seed| seed.parse().expect("a number"));
    println!("seed {seed} (RELAY_TEST_SEED)");
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut writer, mut copier) = (RowWriter::new(), RowWriter::new());
    for _ in 0..3000 {
        let columns: Vec<ColumnDef> = (0..rng.random_range(1..20)).map(|_| random_column(&mut rng)).collect();
        let bytes: Vec<Vec<u8>> = columns.iter().map(|column| random_bytes(column, &mut rng)).collect();
        let row: Vec<Option<Value<'_>>> = columns
            .iter()
            .zip(&bytes)
            .map(|(column, bytes)| rng.random_bool(0.9).then(|| random_value(column, bytes, &mut rng)))
            .collect();
        writer.begin();
        for (column, value) in columns.iter().zip(&row) {
            match value {
                Some(value) => writer.value(column, value).unwrap_or_else(|e| panic!("{column:?} {value:?}: {e}")),
                None => writer.absent(),
            }
        }
        let image = writer.image(&columns).expect("whole");
        for (index, value) in row.iter().enumerate() {
            assert_eq!(image.get(index), Ok(*value), "{:?}", columns[index]);
        }
        copier.begin();
        let mut cells = image.cells();
        for (column, value) in columns.iter().zip(&row) {
            let Some(value) = value else {
                copier.absent();
                continue;
            };
            let cell = cells.next().expect("a cell").expect("whole");
            assert_eq!(cell.bytes.is_none(), *value == Value::Null);
            match cell.bytes {
                Some(bytes) => copier.raw(column, bytes).expect("the same column"),
                None => copier.null(),
            }
        }
        let mut both = [Vec::new(), Vec::new()];
        writer.append_to(&mut both[0]);
        copier.append_to(&mut both[1]);
        assert_eq!(both[0], both[1]);
    }
}

fn refused(column: &ColumnDef, value: Value<'_>) -> EncodeError {
    let mut writer = RowWriter::new();
    writer.begin();
    let error = writer.value(column, &value).expect_err("it does not fit");
    // Nothing of it is left behind.
    writer.null();
    assert_eq!(writer.image(std::slice::from_ref(column)).expect("one column").get(0), Ok(Some(Value::Null)));
    error
}

#[test]
fn what_a_column_cannot_hold_is_refused() {
    let signed = |wire, unsigned| {
        let mut column = def(wire, 0);
        column.unsigned = Some(unsigned);
        column
    };
    let range = |what| EncodeError::Range { what };
    assert_eq!(refused(&signed(WireType::TINY, false), Value::Int(128)), range("an integer"));
    assert_eq!(refused(&signed(WireType::TINY, true), Value::Int(-1)), range("an integer"));
    assert_eq!(refused(&signed(WireType::LONGLONG, false), Value::UInt(1 << 63)), range("an integer"));
    assert_eq!(refused(&def(WireType::YEAR, 0), Value::Year(1900)), range("a year"));
    assert_eq!(refused(&def(WireType::YEAR, 0), Value::Year(2156)), range("a year"));
    assert_eq!(refused(&def(WireType::BIT, 3), Value::Bit { value: 8, bits: 4 }), range("a bit value"));
    assert_eq!(refused(&def(WireType::ENUM, 1), Value::Enum(256)), range("an enum number"));
    assert_eq!(refused(&def(WireType::SET, 1), Value::Set(256)), range("a set mask"));
    let late = Time { hours: 839, ..Time::default() };
    assert_eq!(refused(&def(WireType::TIME2, 0), Value::Time(late)), range("a time"));
    let fine = Time { micros: 1, fsp: 6, ..Time::default() };
    assert_eq!(refused(&def(WireType::TIME2, 3), Value::Time(fine)), range("the fraction of a second"));
    let date = Date { month: 13, ..Date::default() };
    assert_eq!(refused(&def(WireType::DATE, 0), Value::Date(date)), range("a date"));
    let datetime = DateTime { hour: 24, ..DateTime::default() };
    assert_eq!(refused(&def(WireType::DATETIME2, 0), Value::DateTime(datetime)), range("a time of day"));
    let long = [b'x'; 300];
    let too_long = |limit| EncodeError::TooLong { bytes: 300, limit };
    assert_eq!(refused(&def(WireType::VARCHAR, 40), Value::Bytes(&long)), too_long(40));
    assert_eq!(refused(&def(WireType::BLOB, 1), Value::Bytes(&long)), too_long(255));
    let bytes = [0x80, 99];
    let decimal = Decimal::new(&bytes, 4, 2).expect("a decimal");
    assert!(matches!(
        refused(&def(WireType::NEWDECIMAL, 2 << 8 | 1), Value::Decimal(decimal)),
        EncodeError::Decimal(_)
    ));
    let kind = |wire: WireType, kind| EncodeError::Kind { wire: wire.0, kind };
    assert_eq!(refused(&def(WireType::LONG, 0), Value::Bytes(b"1")), kind(WireType::LONG, "text or bytes"));
    assert_eq!(refused(&def(WireType::JSON, 4), Value::JsonDiff(b"")), kind(WireType::JSON, "json differences"));
}

#[test]
fn an_image_of_other_columns_than_were_written_is_refused() {
    let columns = [def(WireType::LONG, 0), def(WireType::VARCHAR, 10)];
    let mut writer = RowWriter::new();
    writer.begin();
    writer.value(&columns[0], &Value::Int(7)).expect("an integer");
    assert_eq!(writer.image(&columns).expect("the rest is absent").present().len(), 1);
    assert!(writer.raw(&columns[0], &[1]).is_err());
    writer.value(&columns[1], &Value::Bytes(b"x")).expect("text");
    assert!(writer.image(&columns[..1]).is_err());
    assert!(writer.image(&[columns[1].clone(), columns[0].clone()]).is_err());
    assert!(writer.image(&columns).is_ok());
}
