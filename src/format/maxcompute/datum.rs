//! A value as it stands in a record: what its column's type says of it is the type's, not the value's.

use thiserror::Error;

use super::data_type::DataType;

/// A value that is not NULL.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    /// BIGINT, INT, SMALLINT, TINYINT; DATETIME in milliseconds and DATE in days since the epoch; an interval's months.
    Integer(i64),
    /// BOOLEAN.
    Boolean(bool),
    /// DOUBLE.
    Double(f64),
    /// FLOAT.
    Float(f32),
    /// STRING, VARCHAR, CHAR, BINARY, JSON, and DECIMAL as its text.
    Bytes(Vec<u8>),
    /// TIMESTAMP, TIMESTAMP_NTZ, an interval of days.
    Moment {
        /// Since the epoch, rounded down.
        seconds: i64,
        /// Above the seconds, 0 to 999,999,999.
        nanos: u32,
    },
    /// ARRAY.
    Array(Vec<Option<Datum>>),
    /// MAP: keys and values in their order.
    Map(Vec<(Option<Datum>, Option<Datum>)>),
    /// STRUCT: a value for each field.
    Struct(Vec<Option<Datum>>),
}

/// A value given for a column of another type.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a value that is no {kind}")]
pub struct Misfit {
    /// The type.
    pub kind: DataType,
}
