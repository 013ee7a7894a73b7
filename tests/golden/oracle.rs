//! A decoder that nobody here wrote, `mysql_common`'s, on the same bytes. Where the two differ, the server's own text
//! (see `replay`) has decided who is right; each of its faults is asserted, so that a fixed release shows itself here.

use std::collections::BTreeMap;

use mysql_common::Value as Common;
use mysql_common::binlog::BinlogFile;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::EventData;
use mysql_common::binlog::row::BinlogRow;
use mysql_common::binlog::value::BinlogValue;
use relay::binlog::event::{Event, EventHeader, EventType, FormatDescription};
use relay::binlog::{ColumnDef, RowImage, RowsEvent, TableMap, Value, WireType, json};

use crate::file;

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    values: usize,
    /// Negative MEDIUMINT without its sign.
    mediumint: usize,
    /// YEAR 0 as 1900.
    year: usize,
    /// JSON documents with a value that JSON does not have, a decimal say, as a string.
    json_opaque: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Mediumint,
    Year,
    JsonOpaque,
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// `Ok(None)` when equal.
fn compare(column: &ColumnDef, ours: Value<'_>, theirs: &BinlogValue<'_>) -> Result<Option<Fault>, String> {
    let differ = || Err(format!("{:?}: {ours:?} against {theirs:?}", column.wire()));
    let common = match (ours, theirs) {
        (Value::Json(document), BinlogValue::Jsonb(value)) => {
            let ours = text(|out| json::write_text(document, out).unwrap());
            let ours: serde_json::Value = serde_json::from_slice(&ours).map_err(|e| e.to_string())?;
            let theirs = serde_json::Value::from(value.clone().parse().map_err(|e| e.to_string())?);
            return match ours == theirs {
                true => Ok(None),
                false if value_has_opaque(&ours, &theirs) => Ok(Some(Fault::JsonOpaque)),
                false => Err(format!("{ours} against {theirs}")),
            };
        }
        (_, BinlogValue::Value(common)) => common,
        _ => return differ(),
    };
    let equal = match (ours, common) {
        (Value::Null, Common::NULL) => true,
        (Value::Int(v), Common::Int(t)) if column.wire() == WireType::INT24 && v < 0 => {
            return if *t == v + (1 << 24) { Ok(Some(Fault::Mediumint)) } else { differ() };
        }
        (Value::Year(0), Common::Bytes(t)) => return if t == b"1900" { Ok(Some(Fault::Year)) } else { differ() },
        (Value::Int(v), Common::Int(t)) => v == *t,
        (Value::UInt(v), Common::UInt(t)) => v == *t,
        (Value::UInt(v), Common::Int(t)) => i64::try_from(v) == Ok(*t),
        (Value::Float(v), Common::Float(t)) => v.to_bits() == t.to_bits(),
        (Value::Double(v), Common::Double(t)) => v.to_bits() == t.to_bits(),
        (Value::Decimal(v), Common::Bytes(t)) => text(|out| v.write(out)) == *t,
        (Value::Bit { value, bits }, Common::Bytes(t)) => {
            value.to_be_bytes()[8 - usize::from(bits).div_ceil(8)..] == t[..]
        }
        (Value::Year(v), Common::Bytes(t)) => v.to_string().as_bytes() == t,
        (Value::Enum(v), Common::Int(t)) => i64::from(v) == *t,
        (Value::Set(v), Common::Bytes(t)) => v.to_le_bytes()[..t.len()] == t[..],
        (Value::Bytes(v), Common::Bytes(t)) => v == t,
        (Value::Date(d), Common::Date(year, month, day, 0, 0, 0, 0)) => {
            (d.year, d.month, d.day) == (*year, *month, *day)
        }
        (Value::DateTime(d), Common::Date(year, month, day, hour, minute, second, micros)) => {
            (d.date.year, d.date.month, d.date.day) == (*year, *month, *day)
                && (d.hour, d.minute, d.second, d.micros) == (*hour, *minute, *second, *micros)
        }
        (Value::Time(v), Common::Time(negative, days, hours, minutes, seconds, micros)) => {
            (v.negative, v.hours) == (*negative, (*days * 24) as u16 + u16::from(*hours))
                && (v.minutes, v.seconds, v.micros) == (*minutes, *seconds, *micros)
        }
        (Value::Timestamp(v), Common::Bytes(t)) => {
            let fraction = if v.micros == 0 { String::new() } else { format!(".{:06}", v.micros) };
            format!("{}{fraction}", v.seconds).as_bytes() == t
        }
        _ => false,
    };
    if equal { Ok(None) } else { differ() }
}

/// Whether the documents differ only where JSON holds a value of another type: theirs are strings then.
fn value_has_opaque(ours: &serde_json::Value, theirs: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object, String};
    match (ours, theirs) {
        (a, b) if a == b => true,
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| value_has_opaque(a, b)),
        (Object(a), Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| value_has_opaque(v, w)))
        }
        (Number(_), String(_)) | (String(_), String(_)) => true,
        _ => false,
    }
}

fn compare_image(ours: Option<RowImage<'_>>, theirs: Option<BinlogRow>, case: &str, tally: &mut Tally) {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { panic!("{case}: an image is there for one only") };
    let theirs = theirs.unwrap();
    assert_eq!(ours.present().len(), theirs.len(), "{case}");
    for (value, theirs) in ours.values().zip(&theirs) {
        let (index, value) = value.unwrap();
        tally.values += 1;
        match compare(&ours.columns()[index], value, theirs) {
            Ok(None) => {}
            Ok(Some(Fault::Mediumint)) => tally.mediumint += 1,
            Ok(Some(Fault::Year)) => tally.year += 1,
            Ok(Some(Fault::JsonOpaque)) => tally.json_opaque += 1,
            Err(difference) => panic!("{case}: column {index}: {difference}"),
        }
    }
}

fn against_oracle(case: &str) -> Tally {
    let bytes = file::read(&format!("{case}.binlog"));
    let mut oracle = BinlogFile::new(BinlogVersion::Version4, &bytes[..]).unwrap();
    let mut at = 4;
    let mut description = None;
    let mut maps: BTreeMap<u64, Vec<ColumnDef>> = BTreeMap::new();
    let mut tally = Tally::default();
    while let Some(theirs) = oracle.next() {
        let theirs = theirs.unwrap();
        let raw = &bytes[at..at + EventHeader::parse(&bytes[at..]).unwrap().event_len as usize];
        at += raw.len();
        if raw[4] == EventType::FORMAT_DESCRIPTION.0 {
            description = Some(FormatDescription::parse(raw).unwrap());
        }
        let description = description.as_ref().unwrap();
        let ours = Event::parse(raw, description.checksum).unwrap();
        if ours.header.event_type == EventType::TABLE_MAP {
            let map = TableMap::parse(&ours, description).unwrap();
            maps.insert(map.table_id, map.columns);
        }
        if !ours.header.event_type.is_rows() {
            continue;
        }
        let Some(EventData::RowsEvent(data)) = theirs.read_data().unwrap() else { panic!("{case}: no rows at {at}") };
        let event = RowsEvent::parse(&ours, description).unwrap();
        let table = oracle.reader().get_tme(data.table_id()).unwrap();
        let mut their_rows = data.rows(table);
        for row in event.rows(&maps[&event.head.table_id]) {
            let (before, after) = their_rows.next().unwrap().unwrap();
            let row = row.unwrap();
            if row.before.is_some() || before.is_some() {
                compare_image(row.before, before, case, &mut tally);
            }
            if row.after.is_some() || after.is_some() {
                compare_image(row.after, after, case, &mut tally);
            }
        }
        assert!(their_rows.next().is_none(), "{case}: more rows there at {at}");
    }
    assert_eq!(at, bytes.len());
    tally
}

#[test]
fn values_equal_the_oracles_but_for_its_known_faults() {
    for case in [
        "mysql97/types",
        "mysql97/image_minimal",
        "mysql97/image_noblob",
        "mysql97/types_minimal_metadata",
        "mysql56/types",
        "mysql56/image_minimal",
    ] {
        let tally = against_oracle(case);
        assert!(tally.values > 900, "{case}: {tally:?}");
        assert!(tally.mediumint > 0 && tally.year > 0, "{case}: a fault of the oracle is gone: {tally:?}");
        assert_eq!(tally.json_opaque, 0, "{case}");
    }
}

#[test]
fn json_equals_the_oracles_but_for_opaque_values() {
    let tally = against_oracle("mysql97/json");
    assert!(tally.values > 200 && tally.json_opaque > 0, "{tally:?}");
    assert!(against_oracle("mysql97/json_large").values > 2);
}

/// `my_time_packed_from_binary` takes 0x100 from an unsigned number: a panic with overflow checks, another time without.
#[test]
fn the_oracle_cannot_read_negative_fractions_of_one_byte() {
    let read = std::panic::catch_unwind(|| against_oracle("mysql97/negative_times"));
    assert!(read.is_err(), "a fault of the oracle is gone: {read:?}");
}
