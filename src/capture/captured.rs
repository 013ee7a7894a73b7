//! What of the stream enters the log: the tables of the config, without those that exist only to keep a binlog moving.
//!
//! They are dropped here and not at delivery: a row a second, for years, would fill the log, hold the place of tables that
//! matter in every cursor's way and come back with each replay, and nobody ever wants one. Their transactions move the
//! checkpoint, and tell that the source is heard, as all do of which nothing is selected. Pure.

use super::statement::Words;
use crate::config::{Source, TableId};
use crate::selection::TablePatterns;

/// Tables of other tools: the vendor's own heartbeats, in whatever database, and its database for them.
const FOREIGN_TABLE: &str = "_##dts_mysql_heartbeat##_";
const FOREIGN_DATABASE: &str = "dts";
const FOREIGN_TEST: (&str, &str) = ("test", "heartbeat");

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    tables: TablePatterns,
    /// The relay's own heartbeat table.
    own: Option<TableId>,
    /// Whether those of others are dropped.
    foreign: bool,
}

impl From<TablePatterns> for Captured {
    /// The tables alone: nothing is a heartbeat.
    fn from(tables: TablePatterns) -> Self {
        Self { tables, own: None, foreign: false }
    }
}

impl Captured {
    /// As the config says.
    pub fn new(source: &Source) -> Self {
        Self {
            tables: source.tables.clone(),
            own: source.heartbeat_table.clone(),
            foreign: source.ignore_foreign_heartbeats,
        }
    }

    /// Whether a table enters the log.
    pub fn matches(&self, database: &str, table: &str) -> bool {
        self.tables.matches(database, table) && !self.is_heartbeat(database, table)
    }

    /// The tables that the config names one by one, as (database, table).
    pub fn exact_tables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tables.exact_tables()
    }

    /// Whether the config names exactly this table.
    pub fn names(&self, database: &str, table: &str) -> bool {
        self.tables.names(database, table)
    }

    /// The tables of the config as text.
    pub fn text(&self) -> String {
        self.tables.to_string()
    }

    fn is_heartbeat(&self, database: &str, table: &str) -> bool {
        // Servers that fold names write them in lower case.
        let own = |own: &TableId| own.database.eq_ignore_ascii_case(database) && own.table.eq_ignore_ascii_case(table);
        if self.own.as_ref().is_some_and(own) {
            return true;
        }
        // Somebody who names such a table, or that database, means it.
        let named = |database: &str, table: &str| self.exact_tables().any(|named| named == (database, table));
        self.foreign
            && ((table == FOREIGN_TABLE && !named(database, table))
                || (database == FOREIGN_DATABASE && !self.tables.names_database(FOREIGN_DATABASE))
                || ((database, table) == FOREIGN_TEST && !named(database, table)))
    }

    /// Whether a statement only makes sure that a heartbeat's database is there. Others say so again and again, to have
    /// something in the binlog. `CREATE DATABASE` without `IF NOT EXISTS` is none: that one made a database.
    pub fn makes_heartbeat_database(&self, sql: &[u8]) -> bool {
        if self.own.is_none() && !self.foreign {
            return false;
        }
        let mut words = Words { rest: sql };
        let mut is = |wanted: &[&str]| {
            words.next().is_some_and(|word| wanted.iter().any(|w| word.eq_ignore_ascii_case(w.as_bytes())))
        };
        if !(is(&["CREATE"]) && is(&["DATABASE", "SCHEMA"]) && is(&["IF"]) && is(&["NOT"]) && is(&["EXISTS"])) {
            return false;
        }
        let Some(database) = words.name().and_then(|name| String::from_utf8(name).ok()) else { return false };
        let own = self.own.as_ref().is_some_and(|own| own.database.eq_ignore_ascii_case(&database));
        own || (self.foreign && (database == FOREIGN_TEST.0 || database == FOREIGN_DATABASE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(tables: &[&str], own: Option<&str>, foreign: bool) -> Captured {
        let tables = TablePatterns::parse(tables).expect("patterns");
        Captured { tables, own: own.map(|own| TableId::parse(own).expect("a table")), foreign }
    }

    #[test]
    fn heartbeats_of_others_are_dropped_unless_someone_names_them() {
        let all = captured(&[], None, true);
        for (database, table) in [("shop", "_##dts_mysql_heartbeat##_"), ("dts", "anything"), ("test", "heartbeat")] {
            assert!(!all.matches(database, table), "{database}.{table}");
            assert!(captured(&[], None, false).matches(database, table), "{database}.{table}");
            let named = format!("{database}.{table}");
            assert!(captured(&[&named, "shop.*"], None, true).matches(database, table), "{named}");
            let pattern = captured(&["*.*"], None, true);
            assert!(!pattern.matches(database, table), "{database}.{table}");
        }
        assert!(captured(&["dts.*"], None, true).matches("dts", "orders"), "whoever names the database means it");
        assert!(!captured(&["test.*"], None, true).matches("test", "heartbeat"));
        for (database, table) in [("test", "orders"), ("shop", "heartbeat"), ("dts2", "t")] {
            assert!(all.matches(database, table), "{database}.{table}");
        }
    }

    #[test]
    fn the_own_heartbeat_table_never_enters_the_log() {
        let all = captured(&["ops.*", "ops.beat"], Some("ops.beat"), false);
        assert!(!all.matches("ops", "beat"));
        assert!(all.matches("ops", "orders") && !all.matches("shop", "orders"));
    }

    #[test]
    fn only_statements_that_make_sure_of_a_database_are_heartbeats() {
        let foreign = captured(&[], None, true);
        for sql in [
            "CREATE DATABASE IF NOT EXISTS test",
            "/* dts */ create schema if not exists `test`",
            "CREATE DATABASE IF NOT EXISTS dts;",
        ] {
            assert!(foreign.makes_heartbeat_database(sql.as_bytes()), "{sql}");
            assert!(!captured(&[], None, false).makes_heartbeat_database(sql.as_bytes()), "{sql}");
        }
        for sql in [
            "CREATE DATABASE test",
            "DROP DATABASE IF EXISTS test",
            "CREATE DATABASE IF NOT EXISTS test2",
            "CREATE TABLE IF NOT EXISTS test (a int)",
            "ALTER DATABASE test CHARACTER SET utf8mb4",
            "",
        ] {
            assert!(!foreign.makes_heartbeat_database(sql.as_bytes()), "{sql}");
        }
        let own = captured(&[], Some("ops.beat"), false);
        assert!(own.makes_heartbeat_database(b"CREATE DATABASE IF NOT EXISTS `ops`"));
        assert!(!own.makes_heartbeat_database(b"CREATE DATABASE IF NOT EXISTS test"));
    }
}
