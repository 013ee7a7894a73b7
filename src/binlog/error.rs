//! Why bytes could not be decoded.

/// Bytes that do not mean what their place in the binlog says they must.
///
/// Always *definite*: the same bytes fail the same way for ever. `what` names the field, in the protocol's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the field does.
    #[error("{what} needs {needed} bytes, {left} are left")]
    Short {
        /// The field.
        what: &'static str,
        /// How many bytes it needs.
        needed: u64,
        /// How many there are.
        left: usize,
    },
    /// More bytes than the last field took.
    #[error("{left} bytes are left after {what}")]
    Trailing {
        /// The last field.
        what: &'static str,
        /// How many bytes follow it.
        left: usize,
    },
    /// A field has a value that it cannot have.
    #[error("{what} cannot be {value}")]
    Invalid {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// A type or form that this decoder does not know.
    #[error("{what} {value} is not supported")]
    Unsupported {
        /// What is not known: a column type, an event version, a compression method.
        what: &'static str,
        /// Its number.
        value: u64,
    },
    /// The row image and the column definitions do not agree.
    #[error("row has {row} columns, its table has {table}")]
    ColumnCount {
        /// Columns of the rows event.
        row: usize,
        /// Columns of the definition that it was read with.
        table: usize,
    },
    /// A text that must be UTF-8 is not.
    #[error("{what} is not utf-8")]
    NotUtf8 {
        /// The field.
        what: &'static str,
    },
    /// A text that must be a set of GTIDs is none.
    #[error("{what} is no set of gtids")]
    NotGtids {
        /// The field.
        what: &'static str,
    },
    /// Values are nested deeper than any server writes them.
    #[error("json is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// Compressed bytes are damaged, or inflate to another size than stated.
    #[error("{what} does not inflate to its stated size of {stated} bytes")]
    Inflate {
        /// What was compressed.
        what: &'static str,
        /// The size that its header states.
        stated: u64,
    },
    /// A difference of a partial JSON update does not fit the document it is to change.
    #[error("json difference {index} does not fit the document")]
    JsonDiff {
        /// Which difference of the value, from 0.
        index: usize,
    },
}

/// Result of decoding.
pub type Result<T, E = DecodeError> = std::result::Result<T, E>;
