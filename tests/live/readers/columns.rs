//! The golden row: a column of every type with its values before and after, and what Flink shows of each format.

use serde_json::{Value, json};

use crate::binlog_rows::*;

pub const UTF8MB4: u16 = 255;
const BINARY: u16 = 63;

/// A column as Flink sees it through one format.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Flink's type.
    pub kind: &'static str,
    pub was: Value,
    pub now: Value,
}

/// A column and its values.
pub struct Case {
    pub column: Col,
    pub was: Bytes,
    pub now: Bytes,
    pub canal: Shown,
    pub debezium: Shown,
    pub maxwell: Shown,
}

thread_local! {
    /// The golden row; its first column is the key.
    pub static CASES: Vec<Case> = cases();
}

fn shown(kind: &'static str, was: impl Into<Value>, now: impl Into<Value>) -> Shown {
    Shown { kind, was: was.into(), now: now.into() }
}

/// A column that looks the same through all formats.
fn same(column: Col, kind: &'static str, was: (Bytes, &str), now: (Bytes, &str)) -> Case {
    let looks = shown(kind, was.1, now.1);
    Case { column, was: was.0, now: now.0, canal: looks.clone(), debezium: looks.clone(), maxwell: looks }
}

/// The server's binary form of `{"a": number, "b": "x"}`.
pub fn document(number: i16) -> Bytes {
    let mut out = vec![0u8, 2, 0, 22, 0, 18, 0, 1, 0, 19, 0, 1, 0, 5];
    out.extend(number.to_le_bytes());
    out.extend([12, 20, 0, b'a', b'b', 1, b'x']);
    Some(out)
}

fn cases() -> Vec<Case> {
    let signed = |c: Col| Col { unsigned: Some(false), ..c };
    let double = |value: f64| Some(value.to_le_bytes().to_vec());
    let float = |value: f32| Some(value.to_le_bytes().to_vec());
    let point = |x: f64, y: f64| [&[0u8; 4][..], &[1, 1, 0, 0, 0], &x.to_le_bytes(), &y.to_le_bytes()].concat();
    let moment = |micros, fsp| datetime2([2026, 1, 31], [23, 59, 59], micros, fsp);
    vec![
        same(int("id", 8, false).key(), "BIGINT", (le(1001, 8), "1001"), (le(1001, 8), "1001")),
        same(int("tiny", 1, false), "TINYINT", (le(-128, 1), "-128"), (le(127, 1), "127")),
        same(int("tiny_u", 1, true), "SMALLINT", (le(255, 1), "255"), (le(0, 1), "0")),
        same(int("medium_u", 9, true), "INT", (le(16_777_215, 3), "16777215"), (le(1, 3), "1")),
        same(int("whole_u", 3, true), "BIGINT", (le(u32::MAX.into(), 4), "4294967295"), (le(1, 4), "1")),
        same(int("big_u", 8, true), "DECIMAL(20,0)", (le(-1, 8), "18446744073709551615"), (le(1, 8), "1")),
        same(
            decimal_col("amount", 38, 18),
            "DECIMAL(38,18)",
            (decimal("12345678901234567890.123456789012345678", 38, 18), "12345678901234567890.123456789012345678"),
            (decimal("-0.500000000000000000", 38, 18), "-0.500000000000000000"),
        ),
        same(signed(col("d", 5, &[8])), "DOUBLE", (double(1e10), "1.0E10"), (double(-0.1), "-0.1")),
        same(signed(col("f", 4, &[4])), "FLOAT", (float(0.1), "0.1"), (float(-1e-7), "-1.0E-7")),
        Case {
            column: col("flag", 16, &[1, 0]),
            was: Some(vec![1]),
            now: Some(vec![0]),
            canal: shown("INT", "1", "0"),
            debezium: shown("BOOLEAN", "true", "false"),
            maxwell: shown("INT", "1", "0"),
        },
        Case {
            column: col("bits", 16, &[0, 8]),
            was: Some(vec![255; 8]),
            now: Some(vec![0, 0, 0, 0, 0, 0, 1, 2]),
            canal: shown("DECIMAL(20,0)", "18446744073709551615", "258"),
            debezium: shown("BYTES", "//////////8=", "AgEAAAAAAAA="),
            maxwell: shown("DECIMAL(20,0)", "18446744073709551615", "258"),
        },
        same(col("y", 13, &[]), "INT", (Some(vec![126]), "2026"), (Some(vec![1]), "1901")),
        Case {
            column: col("day", 10, &[]),
            was: date(2026, 1, 31),
            now: date(1969, 12, 31),
            canal: shown("DATE", "2026-01-31", "1969-12-31"),
            debezium: shown("INT", "20484", "-1"),
            maxwell: shown("DATE", "2026-01-31", "1969-12-31"),
        },
        Case {
            column: col("at3", 18, &[3]),
            was: moment(120_000, 3),
            now: moment(0, 3),
            canal: shown("TIMESTAMP(3)", "2026-01-31T23:59:59.120", "2026-01-31T23:59:59"),
            debezium: shown("BIGINT", "1769903999120", "1769903999000"),
            maxwell: shown("TIMESTAMP(3)", "2026-01-31T23:59:59.120", "2026-01-31T23:59:59"),
        },
        Case {
            column: col("at6", 18, &[6]),
            was: moment(120, 6),
            now: moment(999_999, 6),
            canal: shown("TIMESTAMP(6)", "2026-01-31T23:59:59.000120", "2026-01-31T23:59:59.999999"),
            debezium: shown("BIGINT", "1769903999000120", "1769903999999999"),
            maxwell: shown("TIMESTAMP(6)", "2026-01-31T23:59:59.000120", "2026-01-31T23:59:59.999999"),
        },
        Case {
            column: col("ts3", 17, &[3]),
            was: timestamp2(1_767_225_600, 120_000, 3),
            now: timestamp2(1_767_225_930, 0, 3),
            canal: shown("TIMESTAMP(3)", "2026-01-01T00:00:00.120", "2026-01-01T00:05:30"),
            debezium: shown("STRING", "2026-01-01T00:00:00.120Z", "2026-01-01T00:05:30.000Z"),
            maxwell: shown("TIMESTAMP(3)", "2026-01-01T00:00:00.120", "2026-01-01T00:05:30"),
        },
        Case {
            column: col("tm", 19, &[0]),
            was: time2(false, [12, 30, 45], 0, 0),
            now: time2(false, [0, 0, 1], 0, 0),
            canal: shown("TIME", "12:30:45", "00:00:01"),
            debezium: shown("BIGINT", "45045000000", "1000000"),
            maxwell: shown("TIME", "12:30:45", "00:00:01"),
        },
        same(fixed("code", 32, UTF8MB4), "STRING", (text("abc"), "abc"), (text("你好"), "你好")),
        same(blob("long", 4, UTF8MB4), "STRING", (text("a\n\u{1}\\"), "a\n\u{1}\\"), (text(""), "")),
        same(fixed("bin4", 4, BINARY), "BYTES", (Some(vec![1, 255]), "Af8AAA=="), (Some(vec![]), "AAAAAA==")),
        same(blob("blb", 2, BINARY), "BYTES", (Some(b"\x89PNG".to_vec()), "iVBORw=="), (Some(vec![]), "")),
        same(
            labelled("en", 247, 1, &["S", "it's \"M\""], UTF8MB4),
            "STRING",
            (Some(vec![1]), "S"),
            (Some(vec![2]), "it's \"M\""),
        ),
        Case {
            column: labelled("st", 248, 1, &["a", "b", "c"], UTF8MB4),
            was: Some(vec![0b101]),
            now: Some(vec![0]),
            canal: shown("STRING", "a,c", ""),
            debezium: shown("STRING", "a,c", ""),
            maxwell: shown("ARRAY<STRING>", json!(["a", "c"]), json!([])),
        },
        Case {
            column: col("doc", 245, &[4]),
            was: document(1),
            now: document(-2),
            canal: shown("STRING", r#"{"a": 1, "b": "x"}"#, r#"{"a": -2, "b": "x"}"#),
            debezium: shown("STRING", r#"{"a": 1, "b": "x"}"#, r#"{"a": -2, "b": "x"}"#),
            maxwell: shown("ROW<a INT, b STRING>", json!(["1", "x"]), json!(["-2", "x"])),
        },
        Case {
            column: Col { geometry: Some(1), ..col("pt", 255, &[4]) },
            was: Some(point(1.0, 2.0)),
            now: Some(point(-2.5, 1e20)),
            canal: shown("BYTES", "AAAAAAEBAAAAAAAAAAAA8D8AAAAAAAAAQA==", "AAAAAAEBAAAAAAAAAAAABMBAjLV4Ha8VRA=="),
            debezium: shown(
                "ROW<wkb BYTES, srid INT>",
                json!(["AQEAAAAAAAAAAADwPwAAAAAAAABA", null]),
                json!(["AQEAAAAAAAAAAAAEwECMtXgdrxVE", null]),
            ),
            maxwell: shown("STRING", "POINT (1 2)", "POINT (-2.5 100000000000000000000)"),
        },
        Case {
            column: Col { dimension: Some(2), collation: Some(BINARY), ..col("vec", 242, &[4]) },
            was: Some([1f32.to_le_bytes(), (-0.5f32).to_le_bytes()].concat()),
            now: Some(Vec::new()),
            canal: shown("BYTES", "AACAPwAAAL8=", ""),
            debezium: shown("ARRAY<FLOAT>", json!(["1.0", "-0.5"]), json!([])),
            maxwell: shown("BYTES", "AACAPwAAAL8=", ""),
        },
        Case {
            column: varchar("note", 64, UTF8MB4, 4),
            was: text("première \"📦\""),
            now: None,
            canal: shown("STRING", "première \"📦\"", Value::Null),
            debezium: shown("STRING", "première \"📦\"", Value::Null),
            maxwell: shown("STRING", "première \"📦\"", Value::Null),
        },
    ]
}
