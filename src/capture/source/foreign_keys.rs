//! Foreign keys of tables, for the precheck: a cascade changes rows that never come through the binlog.

use std::collections::BTreeMap;

use super::Session;
use super::tables::filter;
use crate::binlog::event::Dialect;
use crate::capture::facts::{ForeignKey, TableFacts};
use crate::capture::stream::{Row, StreamError, identifier};
use crate::log::TableDefinition;

impl Session {
    /// Reads the foreign keys that the tables hold. A table that is gone by now has none.
    ///
    /// # Errors
    /// A broken connection, or a statement that fails.
    pub async fn add_foreign_keys(&mut self, tables: &mut [TableFacts]) -> Result<(), StreamError> {
        if self.dialect == Dialect::MySql {
            return self.add_foreign_keys_by_schema(tables).await;
        }
        for table in tables {
            let (database, name) = (&table.definition.database, &table.definition.table);
            // MariaDB's information_schema hides foreign keys from an account that can only read; its SHOW CREATE
            // TABLE does not.
            let sql = format!("SHOW CREATE TABLE {}.{}", identifier(database), identifier(name));
            let rows = self.optional(&sql).await?.unwrap_or_default();
            let statement = rows.first().and_then(|row| row.at(1)).unwrap_or_default();
            table.foreign_keys = statement.lines().filter_map(|line| from_line(line, database)).collect();
        }
        Ok(())
    }

    /// One question a schema: one a table would take minutes where there are thousands.
    async fn add_foreign_keys_by_schema(&mut self, tables: &mut [TableFacts]) -> Result<(), StreamError> {
        let mut schemas: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for (at, table) in tables.iter().enumerate() {
            let TableDefinition { database, table, .. } = &table.definition;
            schemas.entry(database.clone()).or_default().insert(table.clone(), at);
        }
        for (database, names) in schemas {
            let sql = format!(
                "SELECT CONSTRAINT_NAME, UNIQUE_CONSTRAINT_SCHEMA, REFERENCED_TABLE_NAME, UPDATE_RULE, DELETE_RULE, TABLE_NAME \
                 FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {}",
                filter(&database, names.keys())
            );
            for row in self.connection.query(&sql).await?.iter() {
                if let Some((at, key)) = row.at(5).and_then(|name| names.get(name)).zip(from_row(row)) {
                    tables[*at].foreign_keys.push(key);
                }
            }
        }
        Ok(())
    }
}

fn from_row(row: Row<'_>) -> Option<ForeignKey> {
    Some(ForeignKey {
        name: row.at(0)?.to_owned(),
        parent: (row.at(1)?.to_owned(), row.at(2)?.to_owned()),
        on_update: row.at(3)?.to_owned(),
        on_delete: row.at(4)?.to_owned(),
    })
}

/// Reads a line of SHOW CREATE TABLE: ``CONSTRAINT `n` FOREIGN KEY (`c`) REFERENCES `d`.`p` (`id`) ON DELETE CASCADE``.
fn from_line(line: &str, database: &str) -> Option<ForeignKey> {
    let rest = line.trim_start().strip_prefix("CONSTRAINT ")?;
    let (name, rest) = quoted(rest)?;
    let mut rest = rest.strip_prefix(" FOREIGN KEY (")?;
    rest = columns_end(rest)?.strip_prefix(" REFERENCES ")?;
    let (first, after) = quoted(rest)?;
    let (parent, after) = match after.strip_prefix('.') {
        Some(second) => {
            let (table, after) = quoted(second)?;
            ((first, table), after)
        }
        None => ((database.to_owned(), first), after),
    };
    let actions = columns_end(after.strip_prefix(" (")?)?;
    let rule = |on: &str| {
        let text = actions.split_once(on).map_or("", |(_, rule)| rule);
        ["CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION"]
            .into_iter()
            .find(|rule| text.starts_with(rule))
            .unwrap_or("RESTRICT")
            .to_owned()
    };
    Some(ForeignKey { name, parent, on_update: rule("ON UPDATE "), on_delete: rule("ON DELETE ") })
}

/// What follows a list of quoted names and its closing bracket.
fn columns_end(mut text: &str) -> Option<&str> {
    loop {
        text = quoted(text)?.1;
        match text.strip_prefix(')') {
            Some(rest) => return Some(rest),
            None => text = text.strip_prefix(',')?.trim_start(),
        }
    }
}

/// A name in backticks at the front, where a doubled backtick is one, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text.strip_prefix('`')?;
    loop {
        let (part, after) = rest.split_once('`')?;
        name.push_str(part);
        match after.strip_prefix('`') {
            Some(more) => {
                name.push('`');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_keys_are_read_out_of_show_create_table() {
        let key = |line| from_line(line, "shop");
        let found = key(
            "  CONSTRAINT `a``b` FOREIGN KEY (`x`, `y)`) REFERENCES `o'ther`.`p` (`id`, `z`) ON DELETE SET NULL ON UPDATE CASCADE,",
        );
        let expected = ForeignKey {
            name: "a`b".into(),
            parent: ("o'ther".into(), "p".into()),
            on_update: "CASCADE".into(),
            on_delete: "SET NULL".into(),
        };
        assert_eq!(found, Some(expected));
        let plain = key("  CONSTRAINT `fk` FOREIGN KEY (`d`) REFERENCES `parent` (`id`)").expect("a key");
        assert_eq!((plain.parent.0.as_str(), plain.on_delete.as_str()), ("shop", "RESTRICT"));
        for line in ["  `a` int(11) COMMENT 'CONSTRAINT `x` FOREIGN KEY'", "  KEY `d` (`d`),", "CONSTRAINT `x", ""] {
            assert_eq!(key(line), None, "{line}");
        }
    }
}
