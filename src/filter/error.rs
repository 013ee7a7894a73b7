//! What can be wrong with a condition, and with evaluating it.

use std::fmt;

use thiserror::Error;

use crate::binlog::DecodeError;

/// A place in the text of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A condition that is not taken, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{place}: {fault}")]
pub struct FilterError {
    /// Where.
    pub place: Place,
    /// Why.
    pub fault: FilterFault,
}

/// Why a condition is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FilterFault {
    /// Something else should stand here.
    #[error("found {found}, expected {expected}")]
    Unexpected {
        /// What stands there.
        found: String,
        /// What could.
        expected: &'static str,
    },
    /// SQL that the language of filters leaves out.
    #[error("{what} cannot be used in a filter: {instead}")]
    Refused {
        /// What.
        what: String,
        /// What to do.
        instead: &'static str,
    },
    /// A function that is not one of the language.
    #[error("no function {name} in filters; there are {known}")]
    UnknownFunction {
        /// What was called.
        name: String,
        /// All there are.
        known: &'static str,
    },
    /// Too few or too many arguments.
    #[error("{function} takes {takes}, found {found}")]
    Arguments {
        /// Function.
        function: &'static str,
        /// How many it takes, in words.
        takes: &'static str,
        /// How many there are.
        found: usize,
    },
    /// A condition that nobody writes by hand.
    #[error("the condition has more than {limit} {what}")]
    TooLarge {
        /// Limit.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// A column that the table lacks.
    #[error("table {table} has no column {name}{}", near.as_ref().map(|near| format!("; is it {near}?")).unwrap_or_default())]
    UnknownColumn {
        /// The table.
        table: String,
        /// What was named.
        name: String,
        /// A column whose name is near.
        near: Option<String>,
    },
    /// Values that the servers treat in ways that differ, or that are not exactly repeated here.
    #[error("{what} cannot be used with {with}: {instead}")]
    Types {
        /// Operator or function.
        what: &'static str,
        /// The types, in words.
        with: String,
        /// What to do.
        instead: &'static str,
    },
    /// Text whose order is not known.
    #[error("text in collation {collation} cannot be compared in a filter")]
    Collation {
        /// Its name, or `unknown`.
        collation: String,
    },
    /// Two columns of different collations.
    #[error("text in collation {left} cannot be compared or joined with text in {right}")]
    Collations {
        /// One.
        left: String,
        /// Another.
        right: String,
    },
    /// A literal that is no value of what it stands beside.
    #[error("{literal} is not {expected}")]
    Literal {
        /// The literal.
        literal: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// Why a row cannot be judged. Definite: the table parks, as the server refuses the same row with an error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvalError {
    /// A value does not decode.
    #[error("decode column {column} for the filter: {source}")]
    Value {
        /// The column.
        column: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// A row image does not decode.
    #[error("decode the row for the filter: {0}")]
    Row(#[from] DecodeError),
    /// No image of the row holds the column.
    #[error("the row does not hold column {column}, which its filter needs (binlog_row_image is not FULL)")]
    Absent {
        /// The column.
        column: String,
    },
    /// A change without the image that its kind has.
    #[error("the row has no {0} image")]
    NoImage(&'static str),
    /// Text that does not decode.
    #[error("column {column} holds bytes that are not {charset}, and its filter needs it")]
    BadText {
        /// The column.
        column: String,
        /// Its character set.
        charset: &'static str,
    },
    /// An ENUM or SET number without a label.
    #[error("column {column} holds the number {number}, for which it has no label")]
    Label {
        /// The column.
        column: String,
        /// The number, or the mask.
        number: u64,
    },
    /// A value of a kind that the column cannot hold.
    #[error("column {column} holds a value that does not belong to its type")]
    Kind {
        /// The column.
        column: String,
    },
    /// A result that does not fit, as on the server.
    #[error("filter, {place}: {kind} value is out of range")]
    Range {
        /// The operator or function.
        place: Place,
        /// `BIGINT`, `BIGINT UNSIGNED`, `DECIMAL` or `DOUBLE`.
        kind: &'static str,
    },
}
