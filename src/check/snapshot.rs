//! `snapshot.*`: whether the selected tables can be copied beside the stream.

use super::Item;
use super::server::Found;
use super::table::list;
use crate::capture::source::Session;
use crate::capture::stream::ConnectOptions;
use crate::change::plan::TablePlan;
use crate::config::{Config, SnapshotMode};
use crate::log::TableDefinition;
use crate::snapshot::literal::check_key;
use crate::snapshot::probe::{Unreadable, probe};

/// The items; none when no table is to be copied.
pub(super) fn items(config: &Config, found: &Found) -> Vec<Item> {
    if config.snapshot.mode == SnapshotMode::Never {
        return Vec::new();
    }
    vec![marks(config, found), key(found)]
}

/// Whether the account may read every selected table; none when no table is to be copied.
pub(super) async fn readable(config: &Config, found: &Found) -> Option<Item> {
    const ID: &str = "snapshot.rows";
    if config.snapshot.mode == SnapshotMode::Never {
        return None;
    }
    let mut refused = Vec::new();
    let mut session = None;
    for options in ConnectOptions::each_host(&config.source) {
        session = Session::connect(&options).await.ok();
        if session.is_some() {
            break;
        }
    }
    // Whether the source answers at all is told by other items.
    let mut session = session?;
    for table in &found.tables {
        let TableDefinition { database, table, .. } = &table.definition;
        match probe(&mut session, database, table).await {
            Ok(()) => {}
            Err(Unreadable::Ask(error)) => {
                return Some(Item::warn(ID, format!("{database}.{table} cannot be tried: {error}"), "try again"));
            }
            Err(why) => refused.push(why.to_string()),
        }
    }
    if refused.is_empty() {
        return Some(Item::pass(ID, "the account may read every selected table"));
    }
    // The stream does not need it, and other tables do not either.
    let finding = format!("these are not copied, only streamed: {}", list(&refused));
    Some(Item::warn(ID, finding, "grant SELECT on them to the relay's account, or leave them out of source.tables"))
}

fn marks(config: &Config, found: &Found) -> Item {
    const ID: &str = "snapshot.marks";
    if found.has_gtids {
        return Item::pass(ID, "the source tells what is executed, by which chunks are fenced in the stream");
    }
    let finding = format!(
        "without GTIDs nothing tells which transactions of the binlog show already: the copy relies on none taking longer \
         than snapshot.settle ({})",
        config.snapshot.settle
    );
    Item::warn(ID, finding, "set gtid_mode=ON, or snapshot.settle above the longest that a commit waits (semi-sync)")
}

fn key(found: &Found) -> Item {
    const ID: &str = "snapshot.key";
    let mut without = Vec::new();
    for table in &found.tables {
        // One without a plan is told by other items.
        let Ok(plan) = TablePlan::of_definition(&table.definition) else { continue };
        match check_key(&plan) {
            _ if plan.key.is_empty() => without.push(plan.source.to_string()),
            Err(error) => without.push(format!("{} ({} {})", plan.source, error.column, error.declared)),
            Ok(()) => {}
        }
    }
    if without.is_empty() {
        return Item::pass(ID, "every table can be read in chunks by its key");
    }
    let finding = format!(
        "no key that orders the rows: read in one piece, and again from the begin after a restart: {}",
        list(&without)
    );
    Item::warn(ID, finding, "give them a primary key, or leave them out of source.tables")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::capture::facts::TableFacts;
    use crate::check::Level;
    use crate::log::{ColumnDefinition, KeyDefinition};

    fn table(name: &str, column_type: &str, keyed: bool) -> TableFacts {
        let column = ColumnDefinition {
            name: "id".into(),
            column_type: column_type.into(),
            charset: None,
            collation: None,
            nullable: false,
            invisible: false,
            generated: false,
        };
        let keys = keyed.then(|| KeyDefinition { name: "PRIMARY".into(), columns: vec![0] });
        TableFacts {
            definition: TableDefinition {
                id: 0,
                database: "shop".into(),
                table: name.into(),
                columns: vec![column],
                keys: keys.into_iter().collect(),
                default_charset: Some("utf8mb4".into()),
                default_collation: None,
                unconfirmed: None,
                dropped: false,
            },
            engine: Some("InnoDB".into()),
            foreign_keys: Vec::new(),
            average_row_bytes: None,
            virtual_columns: Vec::new(),
        }
    }

    fn levels(mode: &str, has_gtids: bool, tables: Vec<TableFacts>) -> Vec<(&'static str, Level, String)> {
        let text = format!("[source]\nurl = \"mysql://r@h\"\n[snapshot]\nmode = \"{mode}\"\n");
        let config = Config::parse(&text, Path::new("relay.toml"), &|_| None).expect("a valid config");
        let found = Found { version: "9.7.4".into(), zone: TimeZone::UTC, has_gtids, tables };
        items(&config, &found).into_iter().map(|item| (item.id, item.level, item.finding)).collect()
    }

    #[test]
    fn tables_that_cannot_be_copied_are_named_before_the_start() {
        assert!(levels("never", false, vec![table("t", "int", false)]).is_empty());
        let fine = levels("initial", true, vec![table("t", "bigint unsigned", true)]);
        assert!(fine.iter().all(|(_, level, _)| *level == Level::Pass), "{fine:?}");
        let odd = levels(
            "only",
            false,
            vec![table("plain", "int", true), table("bare", "int", false), table("sized", "enum('a')", true)],
        );
        assert_eq!((odd[0].0, odd[0].1), ("snapshot.marks", Level::Warn));
        assert_eq!((odd[1].0, odd[1].1), ("snapshot.key", Level::Warn));
        assert!(odd[1].2.contains("shop.bare, shop.sized (id enum('a'))") && !odd[1].2.contains("plain"), "{odd:?}");
    }
}
