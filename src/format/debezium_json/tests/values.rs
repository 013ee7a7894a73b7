//! Values of every type, chosen and random.

use serde_json::Value as Json;
use serde_json::json as object;

use super::*;

fn shown(column: Col, value: Bytes) -> Json {
    let name = column.name;
    after(vec![(column, value)], &DebeziumOptions::default())[name].clone()
}

#[test]
fn numbers_are_numbers_to_their_limits() {
    assert_eq!(shown(int("c", 1, true), le(255, 1)), 255);
    assert_eq!(shown(int("c", 9, false), le(-8_388_608, 3)), -8_388_608);
    assert_eq!(shown(int("c", 8, false), le(i64::MIN, 8)), i64::MIN);
    assert_eq!(shown(int("c", 8, true), le(-1, 8)), u64::MAX);
    assert_eq!(shown(int("c", 8, true), None), Json::Null);
}

#[test]
fn decimals_have_three_forms() {
    let column = || decimal_col("c", 5, 2);
    let form = |decimal, text: &str| {
        let options = DebeziumOptions { decimal, ..DebeziumOptions::default() };
        after(vec![(column(), super::decimal(text, 5, 2))], &options)["c"].clone()
    };
    // The documentation's own: 149.84 is the unscaled 15000 - 16, 0x3A88.
    assert_eq!(form(DecimalForm::Precise, "149.84"), "Oog=");
    assert_eq!(form(DecimalForm::Precise, "-0.01"), "/w==");
    assert_eq!(form(DecimalForm::String, "-149.80"), "-149.80");
    assert_eq!(form(DecimalForm::Double, "-149.80"), -149.8);
}

#[test]
fn bits_are_a_boolean_or_little_endian_bytes() {
    assert_eq!(shown(col("c", 16, &[1, 0]), Some(vec![1])), true);
    assert_eq!(shown(col("c", 16, &[1, 0]), Some(vec![0])), false);
    // b'0000001 00000010' in thirteen bits.
    assert_eq!(shown(col("c", 16, &[5, 1]), Some(vec![1, 2])), "AgE=");
    assert_eq!(shown(col("c", 16, &[0, 8]), Some(vec![255; 8])), "//////////8=");
}

#[test]
fn times_are_integers_and_timestamps_text() {
    assert_eq!(shown(col("c", 10, &[]), date(1970, 1, 2)), 1);
    assert_eq!(shown(col("c", 10, &[]), date(1969, 12, 31)), -1);
    let moment = |fsp| shown(col("c", 18, &[fsp]), datetime2([2018, 6, 20], [6, 37, 3], 120_000, fsp));
    assert_eq!((moment(0), moment(3)), (object!(1_529_476_623_000u64), object!(1_529_476_623_120u64)));
    assert_eq!((moment(4), moment(6)), (object!(1_529_476_623_120_000u64), object!(1_529_476_623_120_000u64)));
    assert_eq!(shown(col("c", 19, &[0]), time2(true, [838, 59, 59], 0, 0)), -3_020_399_000_000i64);
    assert_eq!(shown(col("c", 17, &[0]), timestamp2(1_529_501_823, 0, 0)), "2018-06-20T13:37:03Z");
    assert_eq!(shown(col("c", 17, &[6]), timestamp2(1_529_501_823, 0, 6)), "2018-06-20T13:37:03.000000Z");
    assert_eq!(shown(col("c", 17, &[2]), timestamp2(1_529_501_823, 780_000, 2)), "2018-06-20T13:37:03.78Z");
    assert_eq!(shown(col("c", 13, &[]), Some(vec![126])), 2026);
    assert_eq!(shown(col("c", 13, &[]), Some(vec![0])), 0);
}

#[test]
fn dates_that_no_calendar_has_are_null_or_the_epoch() {
    for (column, value, epoch) in [
        (col("c", 10, &[]), date(0, 0, 0), object!(0)),
        (col("c", 10, &[]), date(2026, 0, 0), object!(0)),
        (col("c", 10, &[]), date(2026, 2, 30), object!(0)),
        (col("c", 18, &[0]), datetime2([0, 0, 0], [0, 0, 0], 0, 0), object!(0)),
        (col("c", 18, &[6]), datetime2([2026, 5, 0], [1, 2, 3], 4, 6), object!(0)),
        (col("c", 17, &[3]), timestamp2(0, 0, 3), object!("1970-01-01T00:00:00Z")),
    ] {
        assert_eq!(shown(column.clone(), value.clone()), Json::Null, "nullable");
        assert_eq!(shown(column.not_null(), value), epoch, "not null");
    }
}

#[test]
fn text_labels_bytes_and_shapes() {
    assert_eq!(shown(varchar("c", 8, UTF8MB4, 4), text("naïve \"😀\"")), "naïve \"😀\"");
    assert_eq!(shown(labelled("c", 247, 1, &LABELS, UTF8MB4), Some(vec![2])), "it's \"M\"");
    assert_eq!(shown(labelled("c", 247, 1, &LABELS, UTF8MB4), Some(vec![0])), "");
    assert_eq!(shown(labelled("c", 248, 1, &["a", "b", "c"], UTF8MB4), Some(vec![0b101])), "a,c");
    assert_eq!(shown(fixed("c", 4, BINARY), Some(vec![1, 255])), "Af8AAA==");
    assert_eq!(shown(blob("c", 2, BINARY), Some(Vec::new())), "");
    let point =
        |srid: u32| [&srid.to_le_bytes()[..], &[1, 1, 0, 0, 0], &1f64.to_le_bytes(), &2f64.to_le_bytes()].concat();
    let geometry = |srid| shown(Col { geometry: Some(1), ..col("c", 255, &[4]) }, Some(point(srid)));
    let wkb = "AQEAAAAAAAAAAADwPwAAAAAAAABA";
    assert_eq!(
        (geometry(0), geometry(4326)),
        (object!({"wkb": wkb, "srid": null}), object!({"wkb": wkb, "srid": 4326}))
    );
    let vector = Col { dimension: Some(2), collation: Some(BINARY), ..col("c", 242, &[4]) };
    let numbers = [1f32.to_le_bytes(), (-0.5f32).to_le_bytes()].concat();
    assert_eq!(shown(vector, Some(numbers)), object!([1.0, -0.5]));
}

#[test]
fn values_that_cannot_be_shown_stop_and_leave_nothing() {
    let fails = |column: Col, value: Bytes, options: &DebeziumOptions| {
        write(&Scene::new(30, &[int("id", 3, false), column], &[image(&[le(1, 4), value])]), options)
    };
    let options = DebeziumOptions::default();
    let kind = || Err(FormatError::Kind { column: "c".into() });
    let double = Col { unsigned: Some(false), ..col("c", 5, &[8]) };
    assert_eq!(fails(double, Some(f64::NAN.to_le_bytes().to_vec()), &options), kind());
    let geometry = Col { geometry: Some(0), ..col("c", 255, &[4]) };
    assert_eq!(fails(geometry, Some(vec![1, 2, 3]), &options), kind());
    let vector = Col { dimension: Some(2), collation: Some(BINARY), ..col("c", 242, &[4]) };
    assert_eq!(fails(vector, Some(vec![0; 5]), &options), kind());
    let label = Err(FormatError::Label { column: "c".into(), number: 9 });
    assert_eq!(fails(labelled("c", 247, 1, &LABELS, UTF8MB4), Some(vec![9]), &options), label);
    let bad = || Some(vec![b'a', 0xff]);
    let strict = DebeziumOptions { on_bad_text: OnBadText::Fail, ..DebeziumOptions::default() };
    let error = Err(FormatError::BadText { column: "c".into(), charset: "utf8mb4" });
    assert_eq!(fails(varchar("c", 8, UTF8MB4, 4), bad(), &strict), error);
    assert_eq!(shown(varchar("c", 8, UTF8MB4, 4), bad()), "a\u{fffd}");
}

/// Random rows, read back and compared with what they were made of.
#[test]
fn random_rows_come_back() {
    let seed = 0x00de_be21;
    let mut random = RandomRows::new(seed);
    let columns = every_column();
    for round in 0..60 {
        let (was, now) = (random.row(), random.row());
        let scene = Scene::new(31, &columns, &[image_of(&was), image_of(&now)]);
        for decimal in [DecimalForm::Precise, DecimalForm::String, DecimalForm::Double] {
            let text = one(&scene, &DebeziumOptions { decimal, ..DebeziumOptions::default() });
            let record = json(&text);
            for (object, values) in [("before", &was), ("after", &now)] {
                for (column, value) in columns.iter().zip(values) {
                    let shown = &record[object][column.name];
                    let place = format!("seed {seed}, round {round}, {object}.{}", column.name);
                    match value {
                        None => assert_eq!(*shown, Json::Null, "{place}"),
                        Some(value) => assert_known(value, decimal, shown, raw(&text, object, column.name), &place),
                    }
                }
            }
        }
    }
}

fn assert_known(value: &Known, decimal: DecimalForm, shown: &Json, raw: &str, place: &str) {
    let epoch = jiff::civil::date(1970, 1, 1);
    let micros = |date: [u64; 3], time: [u64; 3], micros: u32| {
        let day = jiff::civil::date(date[0] as i16, date[1] as i8, date[2] as i8);
        let days = i64::from(epoch.until(day).expect("in range").get_days());
        let seconds = (days * 24 + time[0] as i64) * 3600 + (time[1] * 60 + time[2]) as i64;
        seconds * 1_000_000 + i64::from(micros)
    };
    let expected = match value {
        Known::Int(number) => object!(number),
        Known::UInt(number) => object!(number),
        Known::Decimal(text) => match decimal {
            DecimalForm::String => object!(text),
            DecimalForm::Double => {
                assert_eq!(raw.parse::<f64>(), text.parse::<f64>(), "{place}");
                return;
            }
            DecimalForm::Precise => {
                let bytes = unbase64(shown.as_str().expect("base64"));
                assert_eq!(decimal_of(&bytes), text.replace('.', "").parse::<Wide>().expect("digits"), "{place}");
                return;
            }
        },
        Known::Float(number) => {
            assert_eq!(raw.parse::<f32>().map(f32::to_bits), Ok(number.to_bits()), "{place}");
            return;
        }
        Known::Double(number) => {
            assert_eq!(raw.parse::<f64>().map(f64::to_bits), Ok(number.to_bits()), "{place}");
            return;
        }
        Known::Bit(number) if shown.is_boolean() => object!(*number == 1),
        Known::Bit(number) => {
            let bytes = unbase64(shown.as_str().expect("base64"));
            let shown = bytes.iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte));
            assert_eq!(shown, *number, "{place}");
            return;
        }
        Known::Year(year) => object!(year),
        Known::Date([0, ..]) | Known::DateTime([0, ..], ..) | Known::Timestamp(0, _) => Json::Null,
        Known::Date(date) => object!(micros(*date, [0; 3], 0) / 86_400_000_000),
        Known::Time(micros) => object!(micros),
        Known::DateTime(date, time, fraction) => {
            let micros = micros(*date, *time, *fraction);
            object!(if place.ends_with("dt6") { micros } else { micros.div_euclid(1000) })
        }
        Known::Timestamp(seconds, micros) => {
            let moment: jiff::Timestamp = shown.as_str().expect("text").parse().expect("an ISO moment");
            assert_eq!(moment.as_microsecond(), i64::from(*seconds) * 1_000_000 + i64::from(*micros), "{place}");
            return;
        }
        Known::Text(text) => object!(text),
        Known::Enum(label) => object!(label),
        Known::Set(labels) => object!(labels.join(",")),
        Known::Bytes(bytes) => {
            assert_eq!(unbase64(shown.as_str().expect("base64")), *bytes, "{place}");
            return;
        }
        Known::Json(number, text) => {
            assert_eq!(json(shown.as_str().expect("text")), object!({"a": number, "b": text}), "{place}");
            return;
        }
        Known::Point(x, y) => {
            let wkb = unbase64(shown["wkb"].as_str().expect("base64"));
            assert_eq!(wkb, [&[1, 1, 0, 0, 0][..], &x.to_le_bytes(), &y.to_le_bytes()].concat(), "{place}");
            return;
        }
        Known::Vector(numbers) => {
            let shown: Vec<f32> =
                shown.as_array().expect("an array").iter().map(|n| n.as_f64().expect("a number") as f32).collect();
            assert_eq!(shown, *numbers, "{place}");
            return;
        }
    };
    assert_eq!(*shown, expected, "{place}");
}

/// A number of up to 65 digits as its digits, for comparing.
#[derive(Debug, PartialEq, Eq)]
struct Wide {
    negative: bool,
    digits: Vec<u8>,
}

impl std::str::FromStr for Wide {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.trim_start_matches('-').trim_start_matches('0').bytes().map(|b| b - b'0').collect();
        Ok(Self { negative: text.starts_with('-'), digits })
    }
}

/// Decimal digits of a big-endian number in two's complement, by dividing it by ten again and again.
fn decimal_of(bytes: &[u8]) -> Wide {
    let negative = bytes[0] & 0x80 != 0;
    let mut number = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in number.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let mut digits = Vec::new();
    while number.iter().any(|&byte| byte != 0) {
        let mut rest = 0u32;
        for byte in &mut number {
            rest = rest << 8 | u32::from(*byte);
            *byte = (rest / 10) as u8;
            rest %= 10;
        }
        digits.push(rest as u8);
    }
    digits.reverse();
    Wide { negative, digits }
}
