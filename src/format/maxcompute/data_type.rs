//! MaxCompute's column types, read from and printed as the text that table metadata holds: `decimal(38,18)`,
//! `array<bigint>`, `struct<a:bigint,b:string>`.

use std::fmt;

use thiserror::Error;

/// Deepest nesting of arrays, maps and structs that is read.
const DEPTH_MAX: usize = 32;

/// A column's type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are MaxCompute's type names, their fields the declared parameters")]
pub enum DataType {
    BigInt,
    Int,
    SmallInt,
    TinyInt,
    Double,
    Float,
    Boolean,
    String,
    Binary,
    /// Length in characters.
    VarChar(u32),
    /// Length in characters.
    Char(u32),
    /// Precision and scale, where they are declared.
    Decimal(Option<(u8, u8)>),
    DateTime,
    Timestamp,
    TimestampNtz,
    Date,
    Json,
    IntervalDayTime,
    IntervalYearMonth,
    Array(Box<DataType>),
    Map(Box<DataType>, Box<DataType>),
    /// Names and types of its fields.
    Struct(Vec<(String, DataType)>),
}

/// A type's text that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("column type {0:?} is not understood")]
pub struct UnknownDataType(pub String);

impl DataType {
    /// Reads a type's text, in any case.
    ///
    /// # Errors
    /// A type that is not known, and anything that follows one.
    pub fn parse(text: &str) -> Result<Self, UnknownDataType> {
        let mut rest = text;
        let parsed = data_type(&mut rest, 0).filter(|_| rest.trim_start().is_empty());
        parsed.ok_or_else(|| UnknownDataType(text.to_owned()))
    }
}

fn word<'a>(rest: &mut &'a str) -> &'a str {
    let text = rest.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, left) = text.split_at(end);
    *rest = left;
    word
}

fn takes(rest: &mut &str, mark: char) -> bool {
    let left = rest.trim_start().strip_prefix(mark);
    if let Some(left) = left {
        *rest = left;
    }
    left.is_some()
}

fn number<T: std::str::FromStr>(rest: &mut &str) -> Option<T> {
    word(rest).parse().ok()
}

/// A field's name: a word, or anything between backquotes.
fn field_name(rest: &mut &str) -> Option<String> {
    if takes(rest, '`') {
        let (name, left) = rest.split_once('`')?;
        *rest = left;
        return Some(name.to_owned());
    }
    // Names of fields may hold other letters than ASCII ones.
    let (name, _) = rest.split_once(':')?;
    *rest = &rest[name.len()..];
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn length(rest: &mut &str) -> Option<u32> {
    (takes(rest, '(')).then(|| number(rest)).flatten().filter(|_| takes(rest, ')'))
}

fn data_type(rest: &mut &str, depth: usize) -> Option<DataType> {
    if depth > DEPTH_MAX {
        return None;
    }
    let inner = |rest: &mut &str| data_type(rest, depth + 1);
    Some(match word(rest).to_ascii_lowercase().as_str() {
        "bigint" => DataType::BigInt,
        "int" => DataType::Int,
        "smallint" => DataType::SmallInt,
        "tinyint" => DataType::TinyInt,
        "double" => DataType::Double,
        "float" => DataType::Float,
        "boolean" => DataType::Boolean,
        "string" => DataType::String,
        "binary" => DataType::Binary,
        "varchar" => DataType::VarChar(length(rest)?),
        "char" => DataType::Char(length(rest)?),
        "decimal" if takes(rest, '(') => {
            let precision = number(rest)?;
            let scale = if takes(rest, ',') { number(rest)? } else { 0 };
            takes(rest, ')').then_some(DataType::Decimal(Some((precision, scale))))?
        }
        "decimal" => DataType::Decimal(None),
        "datetime" => DataType::DateTime,
        "timestamp" => DataType::Timestamp,
        "timestamp_ntz" => DataType::TimestampNtz,
        "date" => DataType::Date,
        "json" => DataType::Json,
        "interval_day_time" => DataType::IntervalDayTime,
        "interval_year_month" => DataType::IntervalYearMonth,
        "array" => {
            let element = takes(rest, '<').then(|| inner(rest)).flatten()?;
            takes(rest, '>').then_some(DataType::Array(Box::new(element)))?
        }
        "map" => {
            let key = takes(rest, '<').then(|| inner(rest)).flatten()?;
            let value = takes(rest, ',').then(|| inner(rest)).flatten()?;
            takes(rest, '>').then_some(DataType::Map(Box::new(key), Box::new(value)))?
        }
        "struct" => {
            takes(rest, '<').then_some(())?;
            let mut fields = Vec::new();
            loop {
                let name = field_name(rest)?;
                let kind = takes(rest, ':').then(|| inner(rest)).flatten()?;
                fields.push((name, kind));
                if takes(rest, '>') {
                    break DataType::Struct(fields);
                }
                takes(rest, ',').then_some(())?;
            }
        }
        _ => return None,
    })
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BigInt => f.write_str("bigint"),
            Self::Int => f.write_str("int"),
            Self::SmallInt => f.write_str("smallint"),
            Self::TinyInt => f.write_str("tinyint"),
            Self::Double => f.write_str("double"),
            Self::Float => f.write_str("float"),
            Self::Boolean => f.write_str("boolean"),
            Self::String => f.write_str("string"),
            Self::Binary => f.write_str("binary"),
            Self::VarChar(length) => write!(f, "varchar({length})"),
            Self::Char(length) => write!(f, "char({length})"),
            Self::Decimal(None) => f.write_str("decimal"),
            Self::Decimal(Some((precision, scale))) => write!(f, "decimal({precision},{scale})"),
            Self::DateTime => f.write_str("datetime"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::TimestampNtz => f.write_str("timestamp_ntz"),
            Self::Date => f.write_str("date"),
            Self::Json => f.write_str("json"),
            Self::IntervalDayTime => f.write_str("interval_day_time"),
            Self::IntervalYearMonth => f.write_str("interval_year_month"),
            Self::Array(element) => write!(f, "array<{element}>"),
            Self::Map(key, value) => write!(f, "map<{key},{value}>"),
            Self::Struct(fields) => {
                for (place, (name, kind)) in fields.iter().enumerate() {
                    write!(f, "{}{name}:{kind}", if place == 0 { "struct<" } else { "," })?;
                }
                f.write_str(">")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_back_as_they_are_printed() {
        for text in [
            "bigint",
            "int",
            "smallint",
            "tinyint",
            "double",
            "float",
            "boolean",
            "string",
            "binary",
            "varchar(64)",
            "char(8)",
            "decimal",
            "decimal(38,18)",
            "datetime",
            "timestamp",
            "timestamp_ntz",
            "date",
            "json",
            "interval_day_time",
            "interval_year_month",
            "array<array<double>>",
            "map<string,array<bigint>>",
            "struct<a:bigint,b:map<string,decimal(10,2)>,中:string>",
        ] {
            assert_eq!(DataType::parse(text).map(|kind| kind.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn case_blanks_and_quotes_do_not_matter() {
        for (text, same) in [
            ("BIGINT", "bigint"),
            (" Decimal( 10 , 2 ) ", "decimal(10,2)"),
            ("DECIMAL(10)", "decimal(10,0)"),
            ("STRUCT< `a`: STRING , b :INT>", "struct<a:string,b:int>"),
        ] {
            assert_eq!(DataType::parse(text).map(|kind| kind.to_string()).as_deref(), Ok(same), "{text}");
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        let deep = "array<".repeat(100_000);
        for text in ["", "number", "bigint x", "varchar", "decimal(400,2)", "array<", "map<string>", "struct<>", &deep]
        {
            assert!(DataType::parse(text).is_err(), "{text}");
        }
    }
}
