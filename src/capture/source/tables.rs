//! Tables as information_schema shows them now, for the schema history and the precheck.

use std::collections::BTreeMap;

use super::Session;
use crate::binlog::event::Dialect;
use crate::capture::facts::{SourceEnd, TableFacts};
use crate::capture::stream::{Row, RowSet, StreamError, identifier, text_literal};
use crate::log::{ColumnDefinition, KeyDefinition, TableDefinition};

/// Up to so many names are asked for one by one: on old servers every table of a schema would be opened else.
const NAMES_MAX: usize = 200;

/// Tables as they were at some point between two ends of the binlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaReading {
    /// Where the binlog ended before the reading; none when the server does not tell.
    pub before: Option<SourceEnd>,
    /// Where it ended after it. When a DDL lies between the two, the reading is to be repeated.
    pub after: Option<SourceEnd>,
    /// The tables, by schema and name.
    pub tables: Vec<TableFacts>,
}

impl Session {
    /// Reads every base table that is wanted.
    ///
    /// # Errors
    /// A broken connection, or a statement that fails.
    pub async fn schema(&mut self, wanted: &(dyn Fn(&str, &str) -> bool + Sync)) -> Result<SchemaReading, StreamError> {
        if self.dialect == Dialect::MySql && self.version >= (8, 0, 30) {
            // Generated invisible primary keys are in the binlog, so they must be in the reading.
            self.connection.execute("SET SESSION show_gipk_in_create_table_and_information_schema = ON").await?;
        }
        let before = self.end().await?;
        let databases = self.connection.query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA").await?;
        let mut tables = Vec::new();
        for database in databases.iter().filter_map(|row| row.at(0)) {
            tables.extend(self.database(database, wanted).await?);
        }
        let after = self.end().await?;
        Ok(SchemaReading { before, after, tables })
    }

    async fn database(
        &mut self,
        database: &str,
        wanted: &(dyn Fn(&str, &str) -> bool + Sync),
    ) -> Result<Vec<TableFacts>, StreamError> {
        let sql = format!(
            "SELECT TABLE_NAME, ENGINE, TABLE_COLLATION FROM information_schema.TABLES \
             WHERE TABLE_SCHEMA = {} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE')",
            text_literal(database)
        );
        let mut tables: BTreeMap<String, TableFacts> = BTreeMap::new();
        for row in self.connection.query(&sql).await?.iter() {
            if let Some(name) = row.at(0).filter(|name| wanted(database, name)) {
                tables.insert(name.to_owned(), empty_table(database, name, row));
            }
        }
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        let filter = filter(database, tables.keys());
        let columns = format!(
            "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, IS_NULLABLE, EXTRA \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {filter} ORDER BY TABLE_NAME, ORDINAL_POSITION"
        );
        for row in self.connection.query(&columns).await?.iter() {
            if let Some(table) = row.at(0).and_then(|name| tables.get_mut(name)) {
                table.definition.columns.extend(column(row));
                let is_virtual = row.get("EXTRA").is_some_and(|extra| extra.to_ascii_uppercase().contains("VIRTUAL"));
                table.virtual_columns.extend(row.at(1).filter(|_| is_virtual).map(str::to_owned));
            }
        }
        let keys = format!(
            "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS \
             WHERE NON_UNIQUE = 0 AND TABLE_SCHEMA = {filter} ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
        );
        add_keys(&mut tables, &self.connection.query(&keys).await?);
        for (name, table) in &mut tables {
            // The order of the unique keys decides only where there is no primary key, and is not in STATISTICS.
            let keys = &mut table.definition.keys;
            if keys.len() > 1 && keys[0].name != PRIMARY {
                let sql = format!("SHOW INDEX FROM {}.{}", identifier(database), identifier(name));
                let order = self.connection.query(&sql).await?;
                let place = |key: &KeyDefinition| order.iter().position(|row| row.get("Key_name") == Some(&key.name));
                keys.sort_by_key(|key| place(key).unwrap_or(usize::MAX));
            }
        }
        // A table dropped between the questions has no columns; it is not there.
        Ok(tables.into_values().filter(|table| !table.definition.columns.is_empty()).collect())
    }
}

const PRIMARY: &str = "PRIMARY";

/// The schema, and the names when they are few.
pub(super) fn filter<'a>(database: &str, names: impl ExactSizeIterator<Item = &'a String>) -> String {
    let database = text_literal(database);
    if names.len() > NAMES_MAX {
        return database;
    }
    let names: Vec<String> = names.map(|name| text_literal(name)).collect();
    format!("{database} AND TABLE_NAME IN ({})", names.join(", "))
}

fn empty_table(database: &str, name: &str, row: Row<'_>) -> TableFacts {
    let collation = row.at(2);
    TableFacts {
        definition: TableDefinition {
            id: 0,
            database: database.to_owned(),
            table: name.to_owned(),
            columns: Vec::new(),
            keys: Vec::new(),
            // A collation's name begins with its character set's.
            default_charset: collation.and_then(|c| c.split('_').next()).map(str::to_owned),
            default_collation: collation.map(str::to_owned),
            unconfirmed: None,
            dropped: false,
        },
        engine: row.at(1).map(str::to_owned),
        foreign_keys: Vec::new(),
        virtual_columns: Vec::new(),
        average_row_bytes: None,
    }
}

fn column(row: Row<'_>) -> Option<ColumnDefinition> {
    let extra = row.get("EXTRA").unwrap_or_default().to_ascii_uppercase();
    Some(ColumnDefinition {
        name: row.get("COLUMN_NAME")?.to_owned(),
        column_type: row.get("COLUMN_TYPE")?.to_owned(),
        charset: row.get("CHARACTER_SET_NAME").map(str::to_owned),
        collation: row.get("COLLATION_NAME").map(str::to_owned),
        nullable: row.get("IS_NULLABLE")?.eq_ignore_ascii_case("yes"),
        invisible: extra.contains("INVISIBLE"),
        // DEFAULT_GENERATED is a default that is an expression, no generated column.
        generated: ["VIRTUAL", "STORED", "PERSISTENT"].iter().any(|kind| extra.contains(kind)),
    })
}

/// Adds the keys, primary first; one with an expression in it names no columns and is left out.
fn add_keys(tables: &mut BTreeMap<String, TableFacts>, rows: &RowSet) {
    let mut keys: BTreeMap<(&str, &str), Option<Vec<u32>>> = BTreeMap::new();
    for row in rows.iter() {
        let (Some(table), Some(key)) = (row.at(0), row.at(1)) else { continue };
        let Some(definition) = tables.get(table).map(|facts| &facts.definition) else { continue };
        let place = row.at(2).and_then(|column| definition.columns.iter().position(|c| c.name == column));
        let columns = keys.entry((table, key)).or_insert_with(|| Some(Vec::new()));
        match (columns.as_mut(), place) {
            (Some(columns), Some(place)) => columns.push(place as u32),
            _ => *columns = None,
        }
    }
    for ((table, key), columns) in keys {
        if let (Some(facts), Some(columns)) = (tables.get_mut(table), columns) {
            let at = if key == PRIMARY { 0 } else { facts.definition.keys.len() };
            facts.definition.keys.insert(at, KeyDefinition { name: key.to_owned(), columns });
        }
    }
}
