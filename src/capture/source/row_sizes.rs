//! How large the rows of tables are, for the precheck: as the server estimates it, which costs it no reading of rows.

use std::collections::BTreeMap;

use super::Session;
use super::tables::filter;
use crate::capture::facts::TableFacts;
use crate::capture::stream::StreamError;
use crate::log::TableDefinition;

/// A table that takes less than this in all says nothing about its rows: an engine takes room in pages and extents.
const TABLE_BYTES_MIN: u64 = 1 << 20;

impl Session {
    /// Fills in what rows take on average. A table that is gone by now, or small, has none.
    ///
    /// # Errors
    /// A broken connection, or a statement that fails.
    pub async fn add_row_sizes(&mut self, tables: &mut [TableFacts]) -> Result<(), StreamError> {
        let mut schemas: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for (at, table) in tables.iter().enumerate() {
            let TableDefinition { database, table, .. } = &table.definition;
            schemas.entry(database.clone()).or_default().insert(table.clone(), at);
        }
        for (database, names) in schemas {
            let sql = format!(
                "SELECT TABLE_NAME, AVG_ROW_LENGTH, DATA_LENGTH FROM information_schema.TABLES WHERE TABLE_SCHEMA = {}",
                filter(&database, names.keys())
            );
            for row in self.connection.query(&sql).await?.iter() {
                let number = |at| row.at(at).and_then(|text| text.parse::<u64>().ok());
                if let Some(at) = row.at(0).and_then(|name| names.get(name)) {
                    let is_told = number(2).is_some_and(|bytes| bytes >= TABLE_BYTES_MIN);
                    tables[*at].average_row_bytes = number(1).filter(|_| is_told);
                }
            }
        }
        Ok(())
    }
}
