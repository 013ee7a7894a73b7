//! A table's definition as the schema history keeps it: what a table map without FULL metadata leaves out, and the
//! declared types. One version of it is one record, both in the store's history and in the segments that need it.

use bincode::{Decode, Encode};

use super::{LogError, versioned};

const VERSION: u8 = 1;
/// Of a definition with what capture alone needs to know.
const TRACKED_VERSION: u8 = 2;
const WHAT: &str = "table definition";

/// One column as information_schema shows it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ColumnDefinition {
    /// Its name, UTF-8.
    pub name: String,
    /// Its declared type, as `COLUMN_TYPE` prints it: `varchar(255)`, `int(10) unsigned`, `enum('a','b')`.
    pub column_type: String,
    /// Character set of a text column (`utf8mb4`), as `CHARACTER_SET_NAME` prints it; none for others.
    pub charset: Option<String>,
    /// Collation of a text column, as `COLLATION_NAME` prints it.
    pub collation: Option<String>,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Whether the column is invisible to `SELECT *`.
    pub invisible: bool,
    /// Whether its value is generated from other columns.
    pub generated: bool,
}

/// One key; columns by their place in the table, in key order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct KeyDefinition {
    /// `PRIMARY`, or the name of a unique key.
    pub name: String,
    /// Places of its columns, from 0, in key order.
    pub columns: Vec<u32>,
}

/// One version of a table.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TableDefinition {
    /// Version id: rises through the history, from 1; never used for another definition.
    pub id: u64,
    /// Schema of the table.
    pub database: String,
    /// Name of the table.
    pub table: String,
    /// Columns in table order.
    pub columns: Vec<ColumnDefinition>,
    /// The primary key and the unique keys, primary first, the others in definition order.
    pub keys: Vec<KeyDefinition>,
    /// Character set that new text columns get when they name none.
    pub default_charset: Option<String>,
    /// Collation that goes with it.
    pub default_collation: Option<String>,
    /// Why this version may be wrong: a statement that did not parse, a table map that disagreed. None: it is trusted.
    pub unconfirmed: Option<String>,
    /// The table was dropped by the statement that made this version.
    pub dropped: bool,
}

impl TableDefinition {
    /// The bytes that the store keeps.
    pub fn encode(&self) -> Vec<u8> {
        versioned::encode(VERSION, self)
    }

    /// Reads what [`TableDefinition::encode`] wrote.
    ///
    /// # Errors
    /// Damaged or newer bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        TrackedDefinition::decode(bytes).map(|tracked| tracked.definition)
    }

    /// The primary key, else the first unique key whose columns are all NOT NULL: what MySQL shows as PRI.
    pub fn effective_key(&self) -> Option<&KeyDefinition> {
        let all_not_null = |key: &KeyDefinition| {
            key.columns.iter().all(|&c| self.columns.get(c as usize).is_some_and(|column| !column.nullable))
        };
        self.keys
            .iter()
            .find(|key| key.name.eq_ignore_ascii_case("PRIMARY"))
            .or_else(|| self.keys.iter().find(|key| all_not_null(key)))
    }
}

/// One version of a table with what capture alone needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TrackedDefinition {
    /// The table's shape.
    pub definition: TableDefinition,
    /// Of a helper table of an online schema change: what ALTER statements did to it since it was made, each the text
    /// behind the table's name.
    pub actions: Vec<String>,
    /// Names that the table had before, as schema and name, oldest first.
    pub was: Vec<(String, String)>,
}

impl TrackedDefinition {
    /// The bytes that the store keeps; those of the plain definition when there is nothing else to know.
    pub fn encode(&self) -> Vec<u8> {
        if self.actions.is_empty() && self.was.is_empty() {
            return self.definition.encode();
        }
        versioned::encode(TRACKED_VERSION, self)
    }

    /// Reads what either kind of definition was written as.
    ///
    /// # Errors
    /// Damaged or newer bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        if bytes.first() == Some(&TRACKED_VERSION) {
            return versioned::decode(WHAT, TRACKED_VERSION, bytes);
        }
        let definition = versioned::decode(WHAT, VERSION, bytes)?;
        Ok(Self { definition, actions: Vec::new(), was: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_capture_knows_of_a_table_comes_back_and_hides_nothing_from_others() {
        let tracked = TrackedDefinition {
            definition: table(),
            actions: vec!["ADD x int".into()],
            was: vec![("shop".into(), "bestellungen".into())],
        };
        assert_eq!(TrackedDefinition::decode(&tracked.encode()), Ok(tracked.clone()));
        assert_eq!(TableDefinition::decode(&tracked.encode()), Ok(table()));
        let plain = TrackedDefinition { actions: Vec::new(), was: Vec::new(), ..tracked };
        assert_eq!(plain.encode(), table().encode(), "an older relay reads it");
        assert_eq!(TrackedDefinition::decode(&table().encode()), Ok(plain));
        assert!(TrackedDefinition::decode(&[]).is_err() && TrackedDefinition::decode(&[2, 1]).is_err());
    }

    fn column(name: &str, nullable: bool) -> ColumnDefinition {
        ColumnDefinition {
            name: name.into(),
            column_type: "int".into(),
            charset: None,
            collation: None,
            nullable,
            invisible: false,
            generated: false,
        }
    }

    fn table() -> TableDefinition {
        TableDefinition {
            id: 3,
            database: "shop".into(),
            table: "orders".into(),
            columns: vec![column("id", false), column("code", true), column("mail", false)],
            keys: vec![
                KeyDefinition { name: "by_code".into(), columns: vec![1] },
                KeyDefinition { name: "by_mail".into(), columns: vec![2] },
            ],
            default_charset: Some("utf8mb4".into()),
            default_collation: None,
            unconfirmed: None,
            dropped: false,
        }
    }

    #[test]
    fn a_definition_comes_back_as_it_was() {
        assert_eq!(TableDefinition::decode(&table().encode()), Ok(table()));
    }

    #[test]
    fn a_unique_key_of_nullable_columns_stands_in_for_no_primary_key() {
        assert_eq!(table().effective_key().map(|k| k.name.as_str()), Some("by_mail"));
        let mut with_primary = table();
        with_primary.keys.push(KeyDefinition { name: "PRIMARY".into(), columns: vec![0] });
        assert_eq!(with_primary.effective_key().map(|k| k.columns.clone()), Some(vec![0]));
    }
}
