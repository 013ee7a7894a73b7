//! Against blocks that a real client wrote, in both spellings of their checksums.

use serde::Deserialize;
use serde_json::Value;

use super::super::block::{BlockError, BlockReader, Row, read_block};
use super::*;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    columns: Vec<ColumnCase>,
    rows: Vec<Vec<Value>>,
    record_count: u64,
    record_crc32c: Vec<String>,
    block_crc32c: String,
    hex_canonical: String,
    hex_pyodps_native: String,
}

#[derive(Deserialize)]
struct ColumnCase {
    #[serde(rename = "type")]
    kind: String,
}

impl Case {
    fn kinds(&self) -> Vec<DataType> {
        self.columns.iter().map(|column| DataType::parse(&column.kind).expect("a type")).collect()
    }

    fn rows(&self) -> Vec<Row> {
        let kinds = self.kinds();
        let row = |row: &Vec<Value>| kinds.iter().zip(row).map(|(kind, value)| datum(kind, value)).collect();
        self.rows.iter().map(row).collect()
    }
}

fn vectors() -> Vec<Case> {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../../../tests/fixtures/maxcompute/records.json")).expect("the vectors");
    vectors.cases
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn crc(text: &str) -> u32 {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).expect("eight digits")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// A value as the vectors spell it.
fn datum(kind: &DataType, value: &Value) -> Option<Datum> {
    let bits = |value: &Value| u64::from_str_radix(&text(&value["bits"])[2..], 16).expect("bits");
    let items = |value: &Value| value.as_array().expect("a list").clone();
    Some(match kind {
        _ if value.is_null() => return None,
        DataType::Boolean => Datum::Boolean(value.as_bool().expect("a boolean")),
        DataType::Double => Datum::Double(f64::from_bits(bits(value))),
        DataType::Float => Datum::Float(f32::from_bits(bits(value) as u32)),
        DataType::Binary => Datum::Bytes(unhex(text(value))),
        DataType::String | DataType::VarChar(_) | DataType::Char(_) | DataType::Json | DataType::Decimal(_) => {
            Datum::Bytes(text(value).as_bytes().to_vec())
        }
        DataType::Timestamp | DataType::TimestampNtz | DataType::IntervalDayTime => Datum::Moment {
            seconds: text(&value[0]).parse().expect("seconds"),
            nanos: value[1].as_u64().expect("nanos") as u32,
        },
        DataType::Array(element) => Datum::Array(items(value).iter().map(|value| datum(element, value)).collect()),
        DataType::Map(key, kind) => {
            Datum::Map(items(value).iter().map(|pair| (datum(key, &pair[0]), datum(kind, &pair[1]))).collect())
        }
        DataType::Struct(fields) => {
            Datum::Struct(fields.iter().zip(items(value)).map(|((_, kind), value)| datum(kind, &value)).collect())
        }
        _ => Datum::Integer(text(value).parse().expect("an integer")),
    })
}

fn write_block(kinds: &[DataType], rows: &[Row]) -> (Vec<u8>, Vec<u32>, Tally) {
    let (mut out, mut checksums) = (Vec::new(), Vec::new());
    let (mut writer, mut tally) = (RecordWriter::default(), Tally::default());
    for row in rows {
        let mut record = writer.begin(&mut out);
        for (column, (kind, value)) in kinds.iter().zip(row).enumerate() {
            if let Some(value) = value {
                record.datum(column, kind, value).expect("a value of the type");
            }
        }
        let checksum = record.end();
        tally.add(checksum);
        checksums.push(checksum);
    }
    tally.write_trailer(&mut out);
    (out, checksums, tally)
}

/// By their bits: NaN is no equal of itself.
fn shown(rows: &[Row]) -> String {
    format!("{rows:?}")
}

#[test]
fn rows_become_the_bytes_that_the_real_client_wrote() {
    let cases = vectors();
    assert_eq!(cases.len(), 30);
    for case in cases {
        let (block, checksums, tally) = write_block(&case.kinds(), &case.rows());
        let expected: Vec<u32> = case.record_crc32c.iter().map(|text| crc(text)).collect();
        assert_eq!(checksums, expected, "{}", case.id);
        assert_eq!((tally.records(), tally.checksum()), (case.record_count, crc(&case.block_crc32c)), "{}", case.id);
        assert_eq!(block, unhex(&case.hex_canonical), "{}", case.id);
    }
}

#[test]
fn blocks_read_back_as_their_rows_from_both_spellings() {
    for case in vectors() {
        for hex in [&case.hex_canonical, &case.hex_pyodps_native] {
            let rows = read_block(&unhex(hex), &case.kinds()).unwrap_or_else(|e| panic!("{}: {e}", case.id));
            assert_eq!(shown(&rows), shown(&case.rows()), "{}", case.id);
        }
    }
}

#[test]
fn columns_written_by_their_types_are_the_same_bytes() {
    let mut out = Vec::new();
    let mut writer = RecordWriter::default();
    let mut record = writer.begin(&mut out);
    record.integer(0, -300);
    record.boolean(1, true);
    record.double(2, 1.5);
    record.float(3, -0.25);
    record.bytes(4, "é".as_bytes());
    record.moment(6, -1, 500_000_000);
    let checksum = record.end();
    let kinds = [
        DataType::BigInt,
        DataType::Boolean,
        DataType::Double,
        DataType::Float,
        DataType::String,
        DataType::Json,
        DataType::TimestampNtz,
    ];
    let row: Row = vec![
        Some(Datum::Integer(-300)),
        Some(Datum::Boolean(true)),
        Some(Datum::Double(1.5)),
        Some(Datum::Float(-0.25)),
        Some(Datum::Bytes("é".as_bytes().to_vec())),
        None,
        Some(Datum::Moment { seconds: -1, nanos: 500_000_000 }),
    ];
    let (block, checksums, _) = write_block(&kinds, std::slice::from_ref(&row));
    assert_eq!(checksums, [checksum]);
    assert!(block.starts_with(&out));
    assert_eq!(read_block(&block, &kinds), Ok(vec![row]));
}

#[test]
fn a_value_of_another_type_is_refused() {
    let mut out = Vec::new();
    let mut writer = RecordWriter::default();
    let mut record = writer.begin(&mut out);
    for (kind, value) in [
        (DataType::BigInt, Datum::Bytes(b"1".to_vec())),
        (DataType::String, Datum::Integer(1)),
        (DataType::Struct(vec![]), Datum::Struct(vec![None])),
        (DataType::Array(Box::new(DataType::Int)), Datum::Array(vec![Some(Datum::Boolean(true))])),
    ] {
        assert!(record.datum(0, &kind, &value).is_err(), "{kind}");
    }
}

#[test]
fn a_block_cut_anywhere_or_changed_anywhere_is_refused() {
    for case in vectors() {
        let (kinds, block) = (case.kinds(), unhex(&case.hex_canonical));
        for end in 0..block.len() {
            assert!(read_block(&block[..end], &kinds).is_err(), "{} cut at {end}", case.id);
        }
        for at in 0..block.len() {
            let mut damaged = block.clone();
            damaged[at] ^= 0x10;
            assert!(read_block(&damaged, &kinds).is_err(), "{} changed at {at}", case.id);
        }
        let more = [&block[..], &[0]].concat();
        assert_eq!(read_block(&more, &kinds), Err(BlockError::Bad { what: "end", at: block.len() }), "{}", case.id);
    }
}

#[test]
fn counts_and_lengths_beyond_the_bytes_allocate_nothing() {
    let kinds = [DataType::Array(Box::new(DataType::String)), DataType::String];
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let array = [&[0x0a][..], &huge].concat();
    assert_eq!(read_block(&array, &kinds), Err(BlockError::Bad { what: "number of elements", at: 1 }));
    let string = [&[0x12][..], &huge].concat();
    assert_eq!(read_block(&string, &kinds), Err(BlockError::Short { at: 11 }));
    let long = [&[0x12][..], &[0xff; 11]].concat();
    assert_eq!(read_block(&long, &kinds), Err(BlockError::Bad { what: "varint", at: 1 }));
}

#[test]
fn fields_out_of_turn_or_without_a_column_are_refused() {
    let kinds = [DataType::BigInt, DataType::BigInt];
    // Twice the first; the second before the first; the third of two.
    for bytes in [&[8, 2, 8, 2][..], &[16, 2, 8, 2], &[24, 2]] {
        let mut reader = BlockReader::new(bytes, &kinds);
        assert!(matches!(reader.next_row(), Err(BlockError::Field { .. })), "{bytes:?}");
    }
}
