//! One value of ours against one of `mysql_common`'s, its known faults told apart from differences.

use mysql_common::Value as Common;
use mysql_common::binlog::value::BinlogValue;
use relay::binlog::{ColumnDef, Value, WireType, json};

/// Where `mysql_common` is wrong, or says the same in another form.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Negative MEDIUMINT without its sign.
    Mediumint,
    /// YEAR 0 as 1900.
    Year,
    /// A JSON document with a value that JSON does not have, a decimal say, as a string.
    JsonOpaque,
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// `Ok(None)` when equal.
pub fn compare(column: &ColumnDef, ours: Value<'_>, theirs: &BinlogValue<'_>) -> Result<Option<Fault>, String> {
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
