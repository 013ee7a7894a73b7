//! Values in the words of the captures: see `expression` in `capture`.

use relay::binlog::{ColumnDef, Value, float, json, network};

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, b| text + &format!("{b:02x}"))
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

fn label(column: &ColumnDef, index: usize) -> String {
    match &column.labels {
        Some(labels) => String::from_utf8(labels[index].to_vec()).unwrap(),
        None => "?".to_owned(),
    }
}

/// A difference whose document is not in the before image (`binlog_row_image=MINIMAL`): no reader can know the value.
pub const NO_BASE: &str = "?";

/// `base` is the same column of the before image, for differences.
pub fn render(kind: &str, column: &ColumnDef, value: Value<'_>, base: Option<Value<'_>>) -> Option<String> {
    Some(match (kind, value) {
        (_, Value::Null) => return None,
        ("int", Value::Int(v)) => v.to_string(),
        ("uint", Value::UInt(v)) | ("bit", Value::Bit { value: v, .. }) => v.to_string(),
        ("decimal", Value::Decimal(v)) => text(|out| v.write(out)),
        ("double", Value::Double(v)) => text(|out| float::write_double(v, out)),
        ("float", Value::Float(v)) => {
            format!("{}|{}", text(|out| float::write_double(v.into(), out)), text(|out| float::write_float(v, out)))
        }
        ("text", Value::Year(v)) => format!("{v:04}"),
        ("text", Value::Date(v)) => text(|out| v.write(out)),
        ("text", Value::Time(v)) => text(|out| v.write(out)),
        ("text", Value::DateTime(v)) => text(|out| v.write(out)),
        ("text", Value::Timestamp(v)) => text(|out| v.write_utc(out)),
        ("bytes", Value::Bytes(v)) => hex(v),
        ("bytes", Value::Compressed(v)) => {
            let mut out = Vec::new();
            v.inflate(1 << 20, &mut out).unwrap();
            assert_eq!(out.len() as u64, v.size());
            hex(&out)
        }
        ("binary16", Value::Bytes(v)) => {
            let mut padded = v.to_vec();
            padded.resize(16, 0);
            hex(&padded)
        }
        ("inet4", Value::Bytes(v)) => text(|out| network::write_inet4(network::pad(v).unwrap(), out)),
        ("inet6", Value::Bytes(v)) => text(|out| network::write_inet6(network::pad(v).unwrap(), out)),
        ("uuid", Value::Bytes(v)) => text(|out| network::write_uuid(network::pad(v).unwrap(), out)),
        ("enum", Value::Enum(0)) => "0|".to_owned(),
        ("enum", Value::Enum(n)) => format!("{n}|{}", label(column, n as usize - 1)),
        ("set", Value::Set(bits)) => {
            let names: Vec<_> = (0..64).filter(|n| bits >> n & 1 != 0).map(|n| label(column, n)).collect();
            format!("{bits}|{}", names.join(","))
        }
        ("json", Value::Json(v)) => text(|out| json::write_text(v, out).unwrap()),
        ("json", Value::JsonDiff(diff)) => match base {
            Some(Value::Json(base)) => text(|out| json::apply_diff(base, diff, out).unwrap()),
            _ => NO_BASE.to_owned(),
        },
        (kind, value) => panic!("{kind} column {:?} holds {value:?}", column.name),
    })
}
