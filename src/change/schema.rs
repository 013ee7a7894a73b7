//! What a table is: its name, and its columns with everything that decoding and rendering a value needs.

use std::fmt;
use std::sync::Arc;

use super::charset::Charset;
use super::column_type::ColumnType;

/// Schema and name of a table, as the source spells them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// Schema.
    pub database: Arc<str>,
    /// Table.
    pub table: Arc<str>,
}

impl TableName {
    /// A name of its two parts.
    pub fn new(database: impl Into<Arc<str>>, table: impl Into<Arc<str>>) -> Self {
        Self { database: database.into(), table: table.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// One column of a plan, fully resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name, UTF-8.
    pub name: Box<str>,
    /// Declared type as `information_schema.COLUMN_TYPE` prints it.
    pub declared: Box<str>,
    /// What kind of values it holds.
    pub kind: ColumnType,
    /// Character set of its text; [`Charset::BINARY`] for columns without text.
    pub charset: Charset,
    /// Collation of its text as MySQL 8 prints it (`utf8mb4_general_ci`); none for columns without text, and where
    /// neither the table map nor the schema version tells.
    pub collation: Option<Box<str>>,
    /// Labels of ENUM and SET in order, UTF-8; empty for others.
    pub labels: Vec<Box<str>>,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// A row id that the server added by itself to a table without a key; users never named it.
    pub hidden: bool,
    /// Its value is generated from other columns. False also where nothing tells (table maps do not).
    pub generated: bool,
    /// Left out by the delivery's settings.
    pub dropped: bool,
}

impl Column {
    /// Whether it is among what a delivery sends; `hidden_too` when hidden row ids are.
    pub fn is_sent(&self, hidden_too: bool) -> bool {
        !self.dropped && (hidden_too || !self.hidden)
    }
}

/// Whether a column of this name is a hidden row id of a managed MySQL: RDS, PolarDB-X, or MySQL 8.0.30's generated
/// invisible primary key, which is invisible and always has this name.
pub fn is_hidden_row_id(name: &str, invisible: Option<bool>) -> bool {
    match name {
        "__#alibaba_rds_row_id#__" | "_drds_implicit_id_" => true,
        "my_row_id" => invisible == Some(true),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_row_ids_are_known_by_name_and_generated_keys_by_invisibility() {
        assert!(is_hidden_row_id("__#alibaba_rds_row_id#__", None));
        assert!(is_hidden_row_id("_drds_implicit_id_", Some(false)));
        assert!(is_hidden_row_id("my_row_id", Some(true)));
        assert!(!is_hidden_row_id("my_row_id", Some(false)));
        assert!(!is_hidden_row_id("id", Some(true)));
    }
}
