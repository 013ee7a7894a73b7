//! What goes wrong: with a script before it runs, and with a row while it does. Messages never hold a row's values.

use std::fmt;

use thiserror::Error;

use crate::binlog::{DecodeError, EncodeError};

/// A place in a script, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Character of the line.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A script that cannot run, by itself or on a table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("etl script, {at}: {reason}")]
pub struct EtlError {
    /// Where.
    pub at: Position,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Reason {
    /// Too much text.
    #[error("the script has {bytes} bytes, more than 65,536")]
    Size {
        /// Its bytes.
        bytes: usize,
    },
    /// Too many calls and brackets inside each other.
    #[error("nested deeper than 200 levels")]
    Nesting,
    /// Nothing to do.
    #[error("the script is empty: expected an action such as e_drop()")]
    Empty,
    /// Something else should stand here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What should.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// Text without its closing quote.
    #[error("the {0} has no closing quote")]
    Unclosed(&'static str),
    /// An escape that is none.
    #[error("unknown escape: write \\\\ \\\" \\' \\n \\r \\t or \\uXXXX")]
    Escape,
    /// A character that begins nothing.
    #[error("unexpected character {0:?}")]
    Character(char),
    /// A number that is none.
    #[error("{0:?} is not a number: a number beside letters is text, and takes quotes")]
    Number(String),
    /// A name that is no function.
    #[error("unknown function {name}{}", suggest(.near))]
    UnknownFunction {
        /// The name.
        name: String,
        /// One that is spelled alike.
        near: Option<String>,
    },
    /// A name between underscores that is no variable.
    #[error("unknown variable {name}{}", suggest(.near))]
    UnknownVariable {
        /// The name.
        name: String,
        /// One that is spelled alike.
        near: Option<String>,
    },
    /// A function for MongoDB.
    #[error("{0} works on documents of a document store, which this source has none of")]
    DocumentStore(String),
    /// An action where a value is needed, or the other way.
    #[error("expected {expected}, found {name}")]
    Role {
        /// What is needed.
        expected: &'static str,
        /// What stands there.
        name: String,
    },
    /// Too few or too many arguments.
    #[error("wrong number of arguments: expected {signature}")]
    Arguments {
        /// How it is called.
        signature: &'static str,
    },
    /// An argument name that the function has not.
    #[error("{signature} has no argument called {name}")]
    ArgumentName {
        /// How it is called.
        signature: &'static str,
        /// The name.
        name: String,
    },
    /// An argument that must be of a kind.
    #[error("expected {expected} in {signature}")]
    Argument {
        /// How it is called.
        signature: &'static str,
        /// What must stand there.
        expected: &'static str,
    },
    /// A regular expression that is none.
    #[error("the regular expression is wrong: {0}")]
    Regex(String),
    /// A path into a document that is none.
    #[error("the path is wrong: {0}")]
    Path(String),
    /// A secret that the config does not name.
    #[error("no secret is called {0:?}")]
    Secret(String),
    /// Constants that fail in every row.
    #[error("{function}: {fault}")]
    Constant {
        /// The function.
        function: &'static str,
        /// What is wrong.
        fault: Fault,
    },
    /// A column that the table does not have.
    #[error("table {table} has no column {name}{}", suggest(.near))]
    UnknownColumn {
        /// The table.
        table: String,
        /// The name.
        name: String,
        /// One that is spelled alike.
        near: Option<String>,
    },
    /// A name that is taken.
    #[error("table {table} has a column {name} already")]
    ColumnTaken {
        /// The table.
        table: String,
        /// The name.
        name: String,
    },
    /// A column of the key that is taken away.
    #[error("the script takes the key column {name} of table {table} away")]
    KeyColumn {
        /// The table.
        table: String,
        /// The name.
        name: String,
    },
    /// More columns than a table can have.
    #[error("the script gives table {0} more than 4,096 columns")]
    Columns(String),
}

fn suggest(near: &Option<String>) -> String {
    near.as_ref().map(|name| format!("; is {name} meant?")).unwrap_or_default()
}

/// A row that the script fails on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("etl script, {at}: {function}: {fault}")]
pub struct EvalError {
    /// Where in the script.
    pub at: Position,
    /// The function or action.
    pub function: &'static str,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// A quotient or remainder of nothing.
    #[error("division by zero")]
    DivisionByZero,
    /// A result that no type holds.
    #[error("{what} is out of range")]
    Range {
        /// What.
        what: &'static str,
    },
    /// Text that cannot be read as what is needed.
    #[error("the text is not {0}")]
    Parse(&'static str),
    /// A value of a kind that has no meaning here.
    #[error("expected {expected}, found {found}")]
    Kind {
        /// What has.
        expected: &'static str,
        /// What was there.
        found: &'static str,
    },
    /// Two values that have no order.
    #[error("{0} and {1} cannot be compared")]
    Compare(&'static str, &'static str),
    /// A date that is in no calendar.
    #[error("the date is in no calendar")]
    Calendar,
    /// Fewer values than placeholders, or the other way.
    #[error("{values} values for {places} placeholders")]
    Placeholders {
        /// Values.
        values: usize,
        /// Placeholders.
        places: usize,
    },
    /// A value that its column cannot hold.
    #[error("column {column} cannot hold the value: {reason}")]
    Column {
        /// The column.
        column: String,
        /// Why.
        reason: String,
    },
    /// A column that the row's image lacks.
    #[error("the row does not hold column {0} (binlog_row_image is not FULL)")]
    Absent(String),
    /// A column of the key that is gone or NULL.
    #[error("key column {0} would be gone or NULL")]
    Key(String),
    /// An operation that the row cannot become.
    #[error("a row with one image cannot become an update")]
    Images,
    /// What a DDL record has no part in.
    #[error("a DDL record can only be dropped or kept")]
    Ddl,
    /// A row that takes too much work.
    #[error("the script takes more than its bounded steps for this row")]
    Steps,
    /// A row that does not decode.
    #[error("decode column {column}: {source}")]
    Decode {
        /// The column.
        column: String,
        /// What is wrong.
        source: DecodeError,
    },
    /// A row that cannot be written.
    #[error("write the row: {0}")]
    Write(#[from] EncodeError),
}
