//! What a statement is once it is read: what messages tell of it, and what it does to table definitions.

use std::fmt;

use super::{AlterSpec, ColumnSpec, KeySpec};

/// A table (or view, or index's table) by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// Its schema: written, or the default one; empty when there is none.
    pub database: String,
    /// Its name.
    pub table: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// The kinds of DDL that Canal tells apart; the name is the message's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// CREATE TABLE.
    Create,
    /// ALTER TABLE whose first action is none of the others.
    Alter,
    /// RENAME TABLE, ALTER TABLE ... RENAME.
    Rename,
    /// CREATE INDEX, ALTER TABLE ... ADD INDEX or UNIQUE or PRIMARY KEY.
    CreateIndex,
    /// DROP INDEX, ALTER TABLE ... DROP INDEX or constraint.
    DropIndex,
    /// DROP TABLE.
    Erase,
    /// TRUNCATE TABLE, and DELETE of a whole table.
    Truncate,
    /// CREATE, ALTER or DROP of a schema.
    Database,
    /// The same of a view.
    View,
    /// Of a procedure, function or package.
    Routine,
    /// Of a trigger.
    Trigger,
    /// Anything else.
    Query,
}

impl Kind {
    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Database | Self::View | Self::Routine | Self::Trigger | Self::Query => "QUERY",
            Self::Create => "CREATE",
            Self::Alter => "ALTER",
            Self::Rename => "RENAME",
            Self::CreateIndex => "CINDEX",
            Self::DropIndex => "DINDEX",
            Self::Erase => "ERASE",
            Self::Truncate => "TRUNCATE",
        }
    }
}

/// What CREATE TABLE makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTable {
    /// The table.
    pub table: ObjectName,
    /// `IF NOT EXISTS`: nothing happens when it exists. (MySQL does not log it then; MariaDB may.)
    pub if_not_exists: bool,
    /// Its columns, in order.
    pub columns: Vec<ColumnSpec>,
    /// Its primary and unique keys.
    pub keys: Vec<KeySpec>,
    /// Default character set named in the statement.
    pub charset: Option<String>,
    /// Default collation named in the statement.
    pub collation: Option<String>,
}

/// One change to a table's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A table is made.
    Create(CreateTable),
    /// A table is made after another one.
    CreateLike {
        /// The new table.
        table: ObjectName,
        /// The one it is made after.
        like: ObjectName,
    },
    /// A table is changed.
    Alter {
        /// The table.
        table: ObjectName,
        /// What is done, in order.
        specs: Vec<AlterSpec>,
    },
    /// A table gets another name.
    Rename {
        /// Old name.
        from: ObjectName,
        /// New name.
        to: ObjectName,
    },
    /// A table is gone.
    Drop(ObjectName),
    /// A schema and all its tables are gone.
    DropDatabase(String),
    /// A schema's default character set changes, for tables made from now on.
    AlterDatabase(String),
}

/// One message: a kind, and the database and table that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its kind.
    pub kind: Kind,
    /// The database; the default one where the statement names none.
    pub database: String,
    /// The table; empty where there is none.
    pub table: String,
}

/// A statement that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ddl {
    /// What to tell: one item, or one for each pair of a RENAME and each table of a DROP.
    pub items: Vec<Item>,
    /// What changes in table definitions, in order.
    pub effects: Vec<Effect>,
    /// It is about temporary tables only, which no other session sees.
    pub temporary: bool,
}

impl Ddl {
    pub(super) fn one(kind: Kind, name: &ObjectName, effects: Vec<Effect>) -> Self {
        Self { items: vec![Item::new(kind, name)], effects, temporary: false }
    }

    pub(super) fn of_database(kind: Kind, database: &str) -> Self {
        let item = Item { kind, database: database.to_owned(), table: String::new() };
        Self { items: vec![item], effects: Vec::new(), temporary: false }
    }

    /// A statement about accounts is of no schema, whatever its session's was. It may hold a password's hash, so it must
    /// not pass for one.
    pub(super) fn of_accounts() -> Self {
        Self { items: Vec::new(), effects: Vec::new(), temporary: false }
    }

    /// Turns the names of schemas and tables to lower case, for servers that do.
    pub fn fold_names(&mut self) {
        let fold = |name: &mut ObjectName| {
            name.database = name.database.to_lowercase();
            name.table = name.table.to_lowercase();
        };
        for item in &mut self.items {
            (item.database, item.table) = (item.database.to_lowercase(), item.table.to_lowercase());
        }
        for effect in &mut self.effects {
            match effect {
                Effect::Create(create) => fold(&mut create.table),
                Effect::CreateLike { table: one, like: other } | Effect::Rename { from: one, to: other } => {
                    fold(one);
                    fold(other);
                }
                Effect::Alter { table, specs } => {
                    fold(table);
                    for spec in specs {
                        if let AlterSpec::RenameTable(to) = spec {
                            fold(to);
                        }
                    }
                }
                Effect::Drop(table) => fold(table),
                Effect::DropDatabase(database) | Effect::AlterDatabase(database) => *database = database.to_lowercase(),
            }
        }
    }

    /// Every table that it names: those of its items, and what they are renamed to or made after.
    pub fn tables(&self) -> impl Iterator<Item = ObjectName> {
        let named = self.items.iter().filter(|i| !i.table.is_empty());
        let named = named.map(|i| ObjectName { database: i.database.clone(), table: i.table.clone() });
        let targets = self.effects.iter().filter_map(|effect| match effect {
            Effect::Rename { to, .. } => Some(to.clone()),
            Effect::Alter { specs, .. } => specs.iter().find_map(|s| match s {
                AlterSpec::RenameTable(to) => Some(to.clone()),
                _ => None,
            }),
            _ => None,
        });
        named.chain(targets)
    }
}

impl Item {
    pub(super) fn new(kind: Kind, name: &ObjectName) -> Self {
        Self { kind, database: name.database.clone(), table: name.table.clone() }
    }
}
