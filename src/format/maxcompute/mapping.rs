//! Which type a MySQL column has in MaxCompute, and whether its values fit a column that is there already.
//!
//! | MySQL | `v2` | `v1` |
//! |---|---|---|
//! | tinyint, smallint, int, each signed | TINYINT, SMALLINT, INT | BIGINT |
//! | tinyint, smallint, int, each unsigned | SMALLINT, INT, BIGINT | BIGINT |
//! | mediumint, year | INT | BIGINT |
//! | bigint; unsigned | BIGINT; DECIMAL(20,0) | BIGINT; STRING |
//! | decimal(p,s) | DECIMAL(p,s), STRING beyond (38,18) | DECIMAL, STRING beyond 36 digits before the point or 18 behind |
//! | float, double | FLOAT, DOUBLE | DOUBLE |
//! | bit(n); bit(64) | BIGINT; DECIMAL(20,0) | BIGINT; STRING |
//! | date | DATE | DATETIME at midnight |
//! | datetime, to milliseconds; finer | DATETIME; TIMESTAMP_NTZ | DATETIME; STRING |
//! | timestamp | TIMESTAMP | DATETIME, cut to milliseconds |
//! | time, text, enum, set, MariaDB's inet and uuid | STRING | STRING |
//! | json | STRING, or JSON when asked for | STRING |
//! | binary, blob, vector | BINARY | STRING in base64 |
//! | geometry | BINARY: WKB | STRING: WKT |

use serde::{Deserialize, Serialize};

use super::data_type::DataType;
use crate::change::column_type::ColumnType;

/// Which of MaxCompute's types are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Types {
    /// Those that every project has.
    V1,
    /// Those of projects with data types of version 2.0.
    #[default]
    V2,
}

/// Digits and scale of DECIMAL in `v2`.
const DECIMAL_V2: (u8, u8) = (38, 18);
/// Digits before the point, and scale, of DECIMAL in `v1`.
const DECIMAL_V1: (u8, u8) = (36, 18);
/// What holds every unsigned 64-bit integer.
const UNSIGNED_64: DataType = DataType::Decimal(Some((20, 0)));
/// Digits of a fraction of a second that DATETIME keeps.
const DATETIME_DIGITS: u8 = 3;

/// The type that a column of this kind is created with; `json` when JSON columns may be JSON.
pub fn data_type(kind: ColumnType, types: Types, json: bool) -> DataType {
    use ColumnType as My;
    match (types, kind) {
        (Types::V2, My::TinyInt { unsigned: false }) => DataType::TinyInt,
        (Types::V2, My::TinyInt { unsigned: true } | My::SmallInt { unsigned: false }) => DataType::SmallInt,
        (
            Types::V2,
            My::SmallInt { unsigned: true } | My::MediumInt { .. } | My::Int { unsigned: false } | My::Year,
        ) => DataType::Int,
        (
            _,
            My::TinyInt { .. }
            | My::SmallInt { .. }
            | My::MediumInt { .. }
            | My::Int { .. }
            | My::BigInt { unsigned: false }
            | My::Year,
        ) => DataType::BigInt,
        (_, My::Bit { bits }) if bits < 64 => DataType::BigInt,
        (Types::V2, My::BigInt { unsigned: true } | My::Bit { .. }) => UNSIGNED_64,
        (Types::V2, My::Decimal { precision, scale, .. }) if precision <= DECIMAL_V2.0 && scale <= DECIMAL_V2.1 => {
            DataType::Decimal(Some((precision, scale)))
        }
        (Types::V1, My::Decimal { precision, scale, .. })
            if precision.saturating_sub(scale) <= DECIMAL_V1.0 && scale <= DECIMAL_V1.1 =>
        {
            DataType::Decimal(None)
        }
        (Types::V2, My::Float { .. }) => DataType::Float,
        (_, My::Float { .. } | My::Double { .. }) => DataType::Double,
        (Types::V2, My::Date) => DataType::Date,
        (Types::V1, My::Date) => DataType::DateTime,
        (_, My::DateTime { fsp }) if fsp <= DATETIME_DIGITS => DataType::DateTime,
        (Types::V2, My::DateTime { .. }) => DataType::TimestampNtz,
        (Types::V2, My::Timestamp { .. }) => DataType::Timestamp,
        (Types::V1, My::Timestamp { .. }) => DataType::DateTime,
        (Types::V2, My::Json) if json => DataType::Json,
        (
            Types::V2,
            My::Binary { .. } | My::VarBinary { .. } | My::Blob { .. } | My::Vector { .. } | My::Geometry { .. },
        ) => DataType::Binary,
        _ => DataType::String,
    }
}

/// How a column's values become those of a column of another type. One for each column, chosen once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// An integer.
    Integer,
    /// Digits, maybe a sign and a point.
    Digits,
    /// A 32-bit float.
    Float,
    /// A 64-bit float.
    Double,
    /// Days since 1970-01-01.
    Day,
    /// A wall clock that is to be shown in a zone: milliseconds since the epoch.
    Instant,
    /// A wall clock in no zone: seconds and nanoseconds.
    Wall,
    /// A moment: seconds and nanoseconds.
    Moment,
    /// A moment, cut to milliseconds.
    MomentMillis,
    /// UTF-8; bytes that are no text in base64.
    Text,
    /// Bytes.
    Bytes,
    /// A geometry as well-known binary.
    Wkb,
    /// A geometry as well-known text.
    Wkt,
}

/// How values of a column of this kind are written into a column of that type; none where not every value fits.
pub fn form(kind: ColumnType, target: &DataType) -> Option<Form> {
    use ColumnType as My;
    if matches!(target, DataType::String) {
        return Some(if matches!(kind, My::Geometry { .. }) { Form::Wkt } else { Form::Text });
    }
    let form = match kind {
        My::TinyInt { .. }
        | My::SmallInt { .. }
        | My::MediumInt { .. }
        | My::Int { .. }
        | My::BigInt { .. }
        | My::Bit { .. }
        | My::Year => return integer_form(integer_bits(kind)?, target),
        My::Decimal { precision, scale, .. } => {
            let (whole, behind) = whole_and_scale(target)?;
            return (precision.saturating_sub(scale) <= whole && scale <= behind).then_some(Form::Digits);
        }
        My::Float { .. } => match target {
            DataType::Float => Form::Float,
            DataType::Double => Form::Double,
            _ => return None,
        },
        My::Double { .. } => match target {
            DataType::Double => Form::Double,
            _ => return None,
        },
        My::Date => match target {
            DataType::Date => Form::Day,
            DataType::DateTime => Form::Instant,
            DataType::TimestampNtz => Form::Wall,
            _ => return None,
        },
        My::DateTime { fsp } => match target {
            DataType::DateTime if fsp <= DATETIME_DIGITS => Form::Instant,
            DataType::TimestampNtz => Form::Wall,
            _ => return None,
        },
        My::Timestamp { .. } => match target {
            DataType::Timestamp => Form::Moment,
            DataType::DateTime => Form::MomentMillis,
            _ => return None,
        },
        My::Char { length } | My::VarChar { length } => match *target {
            DataType::VarChar(most) | DataType::Char(most) if length <= most => Form::Text,
            _ => return None,
        },
        My::Json => match target {
            DataType::Json => Form::Text,
            _ => return None,
        },
        My::Binary { .. } | My::VarBinary { .. } | My::Blob { .. } | My::Vector { .. } => match target {
            DataType::Binary => Form::Bytes,
            _ => return None,
        },
        My::Geometry { .. } => match target {
            DataType::Binary => Form::Wkb,
            _ => return None,
        },
        My::Time { .. } | My::Text { .. } | My::Enum | My::Set | My::Inet4 | My::Inet6 | My::Uuid => return None,
    };
    Some(form)
}

/// Bits of an integer's value, and whether one more is its sign.
fn integer_bits(kind: ColumnType) -> Option<(u8, bool)> {
    let width = |bits: u8, unsigned: bool| (bits - u8::from(!unsigned), !unsigned);
    Some(match kind {
        ColumnType::TinyInt { unsigned } => width(8, unsigned),
        ColumnType::SmallInt { unsigned } => width(16, unsigned),
        ColumnType::MediumInt { unsigned } => width(24, unsigned),
        ColumnType::Int { unsigned } => width(32, unsigned),
        ColumnType::BigInt { unsigned } => width(64, unsigned),
        ColumnType::Bit { bits } => (bits, false),
        ColumnType::Year => (12, false),
        _ => return None,
    })
}

fn integer_form((bits, _): (u8, bool), target: &DataType) -> Option<Form> {
    let room = match target {
        DataType::TinyInt => 7,
        DataType::SmallInt => 15,
        DataType::Int => 31,
        DataType::BigInt => 63,
        _ => {
            // Digits of the largest value.
            let digits = (2f64.powi(bits.into()).log10().floor() + 1.0) as u8;
            return (digits <= whole_and_scale(target)?.0).then_some(Form::Digits);
        }
    };
    (bits <= room).then_some(Form::Integer)
}

/// Digits before and behind the point of a DECIMAL.
fn whole_and_scale(target: &DataType) -> Option<(u8, u8)> {
    match *target {
        DataType::Decimal(Some((precision, scale))) => Some((precision.saturating_sub(scale), scale)),
        DataType::Decimal(None) => Some(DECIMAL_V1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row of the table above: the declared type, `v2`, `v1`.
    const MAPPED: &[(&str, &str, &str)] = &[
        ("tinyint", "tinyint", "bigint"),
        ("tinyint(1)", "tinyint", "bigint"),
        ("tinyint unsigned", "smallint", "bigint"),
        ("smallint", "smallint", "bigint"),
        ("smallint unsigned", "int", "bigint"),
        ("mediumint", "int", "bigint"),
        ("mediumint unsigned", "int", "bigint"),
        ("int", "int", "bigint"),
        ("int unsigned", "bigint", "bigint"),
        ("bigint", "bigint", "bigint"),
        ("bigint unsigned", "decimal(20,0)", "string"),
        ("decimal(10,2)", "decimal(10,2)", "decimal"),
        ("decimal(38,18)", "decimal(38,18)", "decimal"),
        ("decimal(38,19)", "string", "string"),
        ("decimal(39,2)", "string", "string"),
        ("decimal(38,2)", "decimal(38,2)", "decimal"),
        ("decimal(54,18)", "string", "decimal"),
        ("decimal(65,30)", "string", "string"),
        ("float", "float", "double"),
        ("double", "double", "double"),
        ("bit(1)", "bigint", "bigint"),
        ("bit(63)", "bigint", "bigint"),
        ("bit(64)", "decimal(20,0)", "string"),
        ("year", "int", "bigint"),
        ("date", "date", "datetime"),
        ("datetime", "datetime", "datetime"),
        ("datetime(3)", "datetime", "datetime"),
        ("datetime(4)", "timestamp_ntz", "string"),
        ("datetime(6)", "timestamp_ntz", "string"),
        ("timestamp", "timestamp", "datetime"),
        ("timestamp(6)", "timestamp", "datetime"),
        ("time", "string", "string"),
        ("time(6)", "string", "string"),
        ("char(3)", "string", "string"),
        ("varchar(20)", "string", "string"),
        ("text", "string", "string"),
        ("longtext", "string", "string"),
        ("enum('a')", "string", "string"),
        ("set('a')", "string", "string"),
        ("json", "string", "string"),
        ("binary(8)", "binary", "string"),
        ("varbinary(8)", "binary", "string"),
        ("blob", "binary", "string"),
        ("point", "binary", "string"),
        ("geometry", "binary", "string"),
        ("vector(3)", "binary", "string"),
        ("inet6", "string", "string"),
        ("uuid", "string", "string"),
    ];

    fn kind(declared: &str) -> ColumnType {
        ColumnType::parse(declared).expect("a type").0
    }

    #[test]
    fn every_type_has_its_place_in_both_profiles() {
        for &(declared, v2, v1) in MAPPED {
            assert_eq!(data_type(kind(declared), Types::V2, false).to_string(), v2, "{declared}");
            assert_eq!(data_type(kind(declared), Types::V1, true).to_string(), v1, "{declared}");
        }
        assert_eq!(data_type(ColumnType::Json, Types::V2, true), DataType::Json);
    }

    #[test]
    fn what_is_created_takes_its_values() {
        for &(declared, v2, v1) in MAPPED {
            for target in [v2, v1] {
                let target = DataType::parse(target).expect("a type");
                assert!(form(kind(declared), &target).is_some(), "{declared} into {target}");
            }
            assert!(form(kind(declared), &DataType::String).is_some(), "everything has a text");
        }
    }

    #[test]
    fn a_column_that_is_there_takes_what_fits_whole() {
        for (declared, target, expected) in [
            ("int", "bigint", Some(Form::Integer)),
            ("int unsigned", "int", None),
            ("bigint unsigned", "bigint", None),
            ("bigint unsigned", "decimal(19,0)", None),
            ("bigint unsigned", "decimal(38,18)", Some(Form::Digits)),
            ("bigint unsigned", "decimal(37,18)", None),
            ("year", "smallint", Some(Form::Integer)),
            ("year", "tinyint", None),
            ("tinyint(1)", "boolean", None),
            ("decimal(10,2)", "decimal(12,2)", Some(Form::Digits)),
            ("decimal(10,2)", "decimal(12,5)", None),
            ("decimal(10,2)", "double", None),
            ("double", "float", None),
            ("float", "double", Some(Form::Double)),
            ("date", "datetime", Some(Form::Instant)),
            ("datetime(6)", "datetime", None),
            ("datetime", "timestamp_ntz", Some(Form::Wall)),
            ("datetime", "timestamp", None),
            ("varchar(20)", "varchar(20)", Some(Form::Text)),
            ("varchar(21)", "varchar(20)", None),
            ("text", "varchar(20)", None),
            ("blob", "string", Some(Form::Text)),
            ("text", "binary", None),
            ("point", "string", Some(Form::Wkt)),
            ("bigint", "array<bigint>", None),
        ] {
            assert_eq!(
                form(kind(declared), &DataType::parse(target).expect("a type")),
                expected,
                "{declared} {target}"
            );
        }
    }
}
