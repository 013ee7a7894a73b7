//! A column as each format's reader shows it, and how that is compared with the source.

use serde_json::Value;

use super::format::Format;
use crate::pipeline::columns::{Flavour, Kind};

/// How a column reads through a format.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'k> {
    kind: &'k Kind,
    /// Flink's type.
    pub flink: &'static str,
    /// The source's expression, `%` for the column; none: the column kind's own.
    source: Option<&'static str>,
    comparison: Comparison,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// As of the texts of Canal JSON.
    Kind,
    /// The same text.
    Text,
    /// Base64 of the source's bytes from this one on.
    Base64(usize),
    /// The same number, whatever its digits.
    Number,
    /// The same moment.
    Moment,
    /// The same document.
    Document,
    /// Labels instead of labels joined by commas.
    Labels,
    /// Well-known text.
    Wkt,
    /// Well-known binary in base64, and an SRID of none.
    Wkb,
    /// 32-bit floats instead of their bytes.
    Floats,
    /// The same 32-bit float, whatever its digits.
    Float,
}

use Comparison::*;

/// Microseconds since 1970.
const MICROS: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', `%`)";
const MILLIS: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', `%`) DIV 1000";
const TIME_MICROS: &str = "IF(LEFT(CAST(`%` AS CHAR), 1) = '-', -1, 1) \
    * ((HOUR(`%`) * 3600 + MINUTE(`%`) * 60 + SECOND(`%`)) * 1000000 + MICROSECOND(`%`))";
/// The bytes of a BIT(13) and a BIT(64), lowest first.
const BITS_13: &str = "REVERSE(UNHEX(LPAD(HEX(`%` + 0), 4, '0')))";
const BITS_64: &str = "REVERSE(UNHEX(LPAD(HEX(`%` + 0), 16, '0')))";

/// How a column of this kind reads.
pub fn shown(format: Format, kind: &Kind, flavour: Flavour) -> Shown<'_> {
    let look = |flink, source, comparison| Shown { kind, flink, source, comparison };
    if format == Format::Shareplex {
        return look("", None, Kind);
    }
    if format == Format::DtsAvro {
        return avro(kind, flavour);
    }
    let debezium = format.is_debezium();
    let maxwell = format == Format::Maxwell;
    let declared = kind.declared;
    let base = declared.split([' ', '(']).next().unwrap_or_default();
    let unsigned = declared.ends_with("UNSIGNED");
    match (base, declared) {
        ("TINYINT", _) if unsigned => look("SMALLINT", None, Kind),
        ("TINYINT", _) => look("TINYINT", None, Kind),
        ("SMALLINT", _) if unsigned => look("INT", None, Kind),
        ("SMALLINT", _) => look("SMALLINT", None, Kind),
        ("MEDIUMINT", _) => look("INT", None, Kind),
        ("INT", _) if unsigned => look("BIGINT", None, Kind),
        ("INT", _) => look("INT", None, Kind),
        ("BIGINT", _) if unsigned => look("DECIMAL(20,0)", None, Kind),
        ("BIGINT", _) => look("BIGINT", None, Kind),
        (_, "DECIMAL(20,4)") => look("DECIMAL(20,4)", None, Kind),
        (_, "DECIMAL(5,0)") => look("DECIMAL(5,0)", None, Kind),
        // A number as text has the digits that the reader's own numbers have.
        ("DECIMAL", _) => look("STRING", None, if maxwell { Number } else { Kind }),
        ("FLOAT", _) => look("FLOAT", None, Kind),
        ("DOUBLE", _) => look("DOUBLE", None, Kind),
        (_, "BIT(1)") if debezium => look("BOOLEAN", Some("ELT(`%` + 1, 'false', 'true')"), Text),
        (_, "BIT(13)") if debezium => look("BYTES", Some(BITS_13), Base64(0)),
        (_, "BIT(64)") if debezium => look("BYTES", Some(BITS_64), Base64(0)),
        ("BIT", _) => look("DECIMAL(20,0)", None, Kind),
        ("YEAR", _) => look("INT", Some("`%` + 0"), Text),
        ("DATE", _) if debezium => look("INT", Some("DATEDIFF(`%`, '1970-01-01')"), Text),
        ("DATE", _) => look("DATE", None, Kind),
        ("TIME", _) if debezium => look("BIGINT", Some(TIME_MICROS), Text),
        ("TIME", _) => look("STRING", None, Kind),
        (_, "DATETIME") if debezium => look("BIGINT", Some(MILLIS), Text),
        ("DATETIME", _) if debezium => look("BIGINT", Some(MICROS), Text),
        ("TIMESTAMP", _) if debezium => look("STRING", Some("CONCAT(REPLACE(CAST(`%` AS CHAR), ' ', 'T'), 'Z')"), Text),
        (_, "DATETIME(6)") => look("TIMESTAMP(6)", None, Moment),
        (_, "TIMESTAMP(4) NULL") => look("TIMESTAMP(4)", None, Moment),
        ("DATETIME" | "TIMESTAMP", _) => look("TIMESTAMP(0)", None, Moment),
        ("CHAR" | "VARCHAR" | "TEXT" | "LONGTEXT" | "ENUM" | "INET6" | "UUID", _) => look("STRING", None, Kind),
        ("SET", _) if maxwell => look("ARRAY<STRING>", None, Labels),
        ("SET", _) => look("STRING", None, Kind),
        // MariaDB's JSON is a LONGTEXT. A nested null is no value for the reader.
        ("JSON", _) if maxwell && flavour == Flavour::MySql97 => {
            look("STRING", Some("IF(JSON_TYPE(`%`) = 'NULL', NULL, `%`)"), Document)
        }
        ("JSON", _) => look("STRING", None, Kind),
        ("POINT", _) if debezium => look("ROW<wkb BYTES, srid INT>", None, Wkb),
        ("POINT", _) if maxwell => look("STRING", Some("ST_AsText(`%`)"), Wkt),
        ("VECTOR", _) if debezium => look("ARRAY<FLOAT>", None, Floats),
        ("BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "POINT" | "VECTOR", _) => look("BYTES", None, Base64(0)),
        _ => panic!("no reading of {declared}"),
    }
}

/// How a column of this kind reads through DTS Avro, as [`super::avro`] shows its values.
fn avro(kind: &Kind, flavour: Flavour) -> Shown<'_> {
    let look = |source| Shown { kind, flink: "", source: Some(source), comparison: Text };
    let own = |comparison| Shown { kind, flink: "", source: None, comparison };
    match kind.declared.split([' ', '(']).next().unwrap_or_default() {
        "FLOAT" => own(Float),
        "YEAR" => look("CONCAT(`%` + 0, ',_,_,_,_,_,_')"),
        "DATE" => look("CONCAT(YEAR(`%`), ',', MONTH(`%`), ',', DAY(`%`), ',_,_,_,_')"),
        "TIME" => look(
            "IF(LEFT(CAST(`%` AS CHAR), 1) = '-', \
            CONCAT('_,_,_,', -HOUR(`%`), ',', -MINUTE(`%`), ',', -SECOND(`%`), ',', -MICROSECOND(`%`)), \
            CONCAT('_,_,_,', HOUR(`%`), ',', MINUTE(`%`), ',', SECOND(`%`), ',', MICROSECOND(`%`)))",
        ),
        "DATETIME" => look(
            "CONCAT(YEAR(`%`), ',', MONTH(`%`), ',', DAY(`%`), ',', \
            HOUR(`%`), ',', MINUTE(`%`), ',', SECOND(`%`), ',', MICROSECOND(`%`))",
        ),
        "TIMESTAMP" => look("CONCAT(FLOOR(UNIX_TIMESTAMP(`%`)), '.', LPAD(MICROSECOND(`%`), 6, '0'))"),
        "CHAR" | "VARCHAR" | "TEXT" | "LONGTEXT" => look("CONCAT(CHARSET(`%`), ':', LOWER(HEX(`%`)))"),
        // MariaDB's JSON is a LONGTEXT.
        "JSON" if flavour == Flavour::MariaDb => look("CONCAT(CHARSET(`%`), ':', LOWER(HEX(`%`)))"),
        "INET6" | "UUID" => look("CONCAT('utf8mb4:', LOWER(HEX(CAST(`%` AS CHAR))))"),
        "BINARY" | "VARBINARY" => look("CONCAT('BINARY:', LOWER(HEX(`%`)))"),
        "TINYBLOB" | "BLOB" | "VECTOR" => look("CONCAT('BLOB:', LOWER(HEX(`%`)))"),
        // Without the SRID.
        "POINT" => look("CONCAT('WKB:', LOWER(HEX(ST_AsBinary(`%`))))"),
        _ => own(Kind),
    }
}

impl Shown<'_> {
    /// The expression whose text is compared.
    pub fn select(&self, name: &str) -> String {
        self.source.map_or_else(|| self.kind.select(name), |source| source.replace('%', name))
    }

    /// Whether what was read stands for the value that the source shows.
    pub fn same(&self, source: Option<&[u8]>, read: Option<&Value>) -> bool {
        let (source, read) = match (source, read) {
            (None, None) => return true,
            (Some(source), Some(read)) => (source, read),
            _ => return false,
        };
        let text = || String::from_utf8_lossy(source);
        let strings = || read.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
        match (self.comparison, read.as_str()) {
            (Kind, Some(read)) => self.kind.same(Some(source), Some(read)),
            (Text, Some(read)) => text() == read,
            (Base64(from), Some(read)) => source.get(from..).is_some_and(|bytes| base64(bytes) == read),
            (Float, Some(read)) => {
                let float = |text: &str| text.parse::<f64>().ok().map(|number| number as f32);
                float(&text()).is_some() && float(&text()) == float(read)
            }
            (Number, Some(read)) => digits(&text()) == digits(read),
            (Moment, Some(read)) => moment(&text()) == moment(read),
            (Document, Some(read)) => match serde_json::from_str(&text()) {
                Ok(Value::String(string)) => string == read,
                Ok(document) => serde_json::from_str(read).is_ok_and(|read: Value| read == document),
                Err(_) => false,
            },
            (Wkt, Some(read)) => text().replacen('(', " (", 1) == read,
            (Labels, None) => read.is_array() && strings().join(",") == text(),
            (Wkb, None) => source.get(4..).is_some_and(|wkb| *read == serde_json::json!([base64(wkb), null])),
            (Floats, None) => {
                let floats = source.as_chunks::<4>().0.iter().map(|bytes| Some(f32::from_le_bytes(*bytes)));
                strings().iter().map(|read| read.parse().ok()).eq(floats)
            }
            _ => false,
        }
    }
}

/// A decimal number without its exponent and its idle zeros: sign, digits, power of ten.
fn digits(number: &str) -> (bool, String, i32) {
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let kept = all.trim_end_matches('0');
    let idle = i32::try_from(all.len() - kept.len()).expect("few digits");
    let power = exponent.parse::<i32>().expect("an exponent") - i32::try_from(fraction.len()).expect("few digits");
    match kept.trim_start_matches('0') {
        "" => (false, String::new(), 0),
        digits => (negative, digits.to_owned(), power + idle),
    }
}

/// A moment without its idle zeros: Flink leaves out seconds, and a fraction, of none.
fn moment(text: &str) -> String {
    let text = text.replace('T', " ");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let seconds = if whole.len() == "2026-01-01 00:00".len() { ":00" } else { "" };
    format!("{whole}{seconds}.{}", fraction.trim_end_matches('0'))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize];
            out.push(if place > three.len() { '=' } else { char::from(digit) });
        }
    }
    out
}

#[test]
fn numbers_moments_and_bytes_are_compared_by_what_they_say() {
    assert_eq!(digits("-0012.3400"), digits("-1.234E+1"));
    assert_eq!(digits("0.000"), digits("-0"));
    assert_ne!(digits("10"), digits("1"));
    assert_ne!(digits("0.12"), digits("0.012"));
    assert_eq!(moment("2026-01-31 23:00:00.000120"), moment("2026-01-31T23:00:00.00012"));
    assert_eq!(moment("2026-01-31 23:00:00"), moment("2026-01-31T23:00"));
    assert_ne!(moment("2026-01-31 23:00:01"), moment("2026-01-31T23:00"));
    let texts = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="];
    assert_eq!(["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())), texts);
}
