//! Values of keys as literals of SQL that compare with their column as the column's own values do: where the next chunk
//! begins. Text goes in its column's character set, as it lies in the row.

use std::fmt::Write as _;

use crate::binlog::{DecodeError, RowImage, Value};
use crate::capture::stream::identifier;
use crate::change::column_type::ColumnType;
use crate::change::plan::TablePlan;
use crate::log::TableDefinition;

/// Why the columns of a key do not order rows for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column} of its key is of type {declared}, which a server does not compare as it sorts it")]
pub struct Unorderable {
    /// The column.
    pub column: String,
    /// Its type.
    pub declared: String,
}

/// Whether rows can be told before from behind by the key.
///
/// # Errors
/// A column that cannot be compared with a literal by the order of its index.
pub fn check_key(plan: &TablePlan) -> Result<(), Unorderable> {
    for &index in &plan.key {
        let column = &plan.columns[index];
        // A label is compared as text, or as a number without an index, and sorts by its number.
        let orders = !matches!(
            column.kind,
            ColumnType::Enum
                | ColumnType::Set
                | ColumnType::Json
                | ColumnType::Geometry { .. }
                | ColumnType::Vector { .. }
        );
        if !orders {
            let (column, declared) = (column.name.to_string(), column.declared.to_string());
            return Err(Unorderable { column, declared });
        }
    }
    Ok(())
}

/// The key of a row.
///
/// # Errors
/// The image does not decode, or lacks a column of the key.
pub fn key_literals(
    plan: &TablePlan,
    definition: &TableDefinition,
    image: RowImage<'_>,
) -> Result<Vec<String>, DecodeError> {
    let mut literals = Vec::with_capacity(plan.key.len());
    for &index in &plan.key {
        let missing = DecodeError::Short { what: "key of a row", needed: 1, left: 0 };
        let value = image.get(index)?.ok_or(missing)?;
        let charset = definition.columns.get(index).and_then(|column| column.charset.as_deref());
        literals.push(literal(plan.columns[index].kind, charset, &value));
    }
    Ok(literals)
}

fn literal(kind: ColumnType, charset: Option<&str>, value: &Value<'_>) -> String {
    let quoted = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut text = Vec::new();
        write(&mut text);
        format!("'{}'", String::from_utf8_lossy(&text))
    };
    match *value {
        Value::Int(v) => v.to_string(),
        Value::UInt(v) | Value::Set(v) | Value::Bit { value: v, .. } => v.to_string(),
        // The shortest digits that give the number back; of a FLOAT those of the double that it is compared as.
        Value::Float(v) => format!("{:e}", f64::from(v)),
        Value::Double(v) => format!("{v:e}"),
        Value::Decimal(v) => {
            let mut text = Vec::new();
            v.write(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        }
        Value::Year(v) => v.to_string(),
        Value::Enum(v) => v.to_string(),
        Value::Date(v) => quoted(&|out| v.write(out)),
        Value::Time(v) => quoted(&|out| v.write(out)),
        Value::DateTime(v) => quoted(&|out| v.write(out)),
        Value::Timestamp(v) => quoted(&|out| v.write_utc(out)),
        Value::Bytes(bytes) => match kind {
            // Compared byte by byte, with the zeros that the row leaves out.
            ColumnType::Binary { length } => hex("", bytes, length as usize),
            ColumnType::Inet6 => {
                let mut padded = [0; 16];
                padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                quoted(&|out| crate::binlog::network::write_inet6(padded, out))
            }
            ColumnType::Inet4 => {
                let mut padded = [0; 4];
                padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                quoted(&|out| crate::binlog::network::write_inet4(padded, out))
            }
            ColumnType::Uuid => {
                let mut padded = [0; 16];
                padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                quoted(&|out| crate::binlog::network::write_uuid(padded, out))
            }
            _ => hex(&charset.map(|name| format!("_{name} ")).unwrap_or_default(), bytes, 0),
        },
        Value::Null | Value::Json(_) | Value::JsonDiff(_) | Value::Compressed(_) => "NULL".to_owned(),
    }
}

/// Bytes as a literal behind its character set, filled up with zeros to a length.
fn hex(charset: &str, bytes: &[u8], length: usize) -> String {
    let mut text = format!("{charset}X'");
    bytes.iter().for_each(|byte| write!(text, "{byte:02X}").expect("writing to a string"));
    (bytes.len()..length).for_each(|_| text.push_str("00"));
    text.push('\'');
    text
}

/// The condition on rows behind a key: in the first column behind it, or there equal and in the next one behind it, and
/// so on. A server reads each part as a range of the key's index.
pub fn behind(plan: &TablePlan, after: &[String]) -> String {
    let names: Vec<String> = plan.key.iter().map(|&index| identifier(&plan.columns[index].name)).collect();
    let parts: Vec<String> = (0..names.len().min(after.len()))
        .map(|last| {
            let equal = (0..last).map(|at| format!("{} = {}", names[at], after[at]));
            let behind = format!("{} > {}", names[last], after[last]);
            format!("({})", equal.chain([behind]).collect::<Vec<_>>().join(" AND "))
        })
        .collect();
    parts.join(" OR ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::time::{Date, DateTime, Timestamp};

    fn text(kind: ColumnType, charset: Option<&str>, value: Value<'_>) -> String {
        literal(kind, charset, &value)
    }

    #[test]
    fn literals_are_read_in_every_sql_mode_and_character_set() {
        let varchar = ColumnType::VarChar { length: 10 };
        assert_eq!(text(varchar, Some("gbk"), Value::Bytes(&[0xB0, 0xA1, b'\'', b'\\'])), "_gbk X'B0A1275C'");
        assert_eq!(text(ColumnType::VarBinary { length: 4 }, None, Value::Bytes(&[])), "X''");
        assert_eq!(text(ColumnType::Binary { length: 3 }, None, Value::Bytes(&[7])), "X'070000'");
        assert_eq!(text(ColumnType::BigInt { unsigned: true }, None, Value::UInt(u64::MAX)), "18446744073709551615");
        assert_eq!(text(ColumnType::Float { unsigned: false }, None, Value::Float(0.1)), "1.0000000149011612e-1");
        let date = Date { year: 2026, month: 1, day: 31 };
        let moment = DateTime { date, micros: 120_000, fsp: 2, ..DateTime::default() };
        assert_eq!(text(ColumnType::DateTime { fsp: 2 }, None, Value::DateTime(moment)), "'2026-01-31 00:00:00.12'");
        let zero = Timestamp::default();
        assert_eq!(text(ColumnType::Timestamp { fsp: 0 }, None, Value::Timestamp(zero)), "'0000-00-00 00:00:00'");
    }
}
