//! `table.*` and `objects.exist`: what the selected tables mean for capture and for the destinations. One item for
//! each kind of finding, with the tables it is about.

use super::Item;
use crate::capture::facts::{ServerFacts, TableFacts};
use crate::change::charset::Charset;
use crate::selection::TablePatterns;

/// So many tables are named; of more, the number is.
const NAMED_MAX: usize = 20;

/// Everything that follows from the tables that are selected.
pub(super) fn items(tables: &[TableFacts], selection: &TablePatterns) -> Vec<Item> {
    let mut items = exist(tables, selection);
    if tables.is_empty() {
        return items;
    }
    items.extend(key(tables));
    items.extend(engine(tables));
    items.push(charset(tables));
    items.push(invisible_columns(tables));
    items.push(foreign_keys(tables));
    items.push(float_precision(tables));
    items.push(generated(tables));
    items
}

fn name(table: &TableFacts) -> String {
    format!("{}.{}", table.definition.database, table.definition.table)
}

/// Names, as many as one wants to read.
pub(super) fn list(names: &[String]) -> String {
    let shown = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn named(tables: &[TableFacts], which: impl Fn(&TableFacts) -> bool) -> Vec<String> {
    tables.iter().filter(|table| which(table)).map(name).collect()
}

fn exist(tables: &[TableFacts], selection: &TablePatterns) -> Vec<Item> {
    const ID: &str = "objects.exist";
    let there = |database: &str, table: &str| {
        tables.iter().any(|t| t.definition.database == database && t.definition.table == table)
    };
    let missing: Vec<String> = selection
        .exact_tables()
        .filter(|(database, table)| !there(database, table))
        .map(|(database, table)| format!("{database}.{table}"))
        .collect();
    if !missing.is_empty() {
        let remedy = "correct source.tables, create them, or GRANT SELECT on them to the relay's account";
        return vec![Item::fail(ID, format!("not there, or not to be seen: {}", list(&missing)), remedy)];
    }
    if tables.is_empty() {
        let finding = format!("no table matches {selection} yet, or none is to be seen by the relay's account");
        let remedy = "correct source.tables or GRANT SELECT on them, unless the tables are still to be created";
        return vec![Item::warn(ID, finding, remedy)];
    }
    vec![Item::pass(ID, format!("{} tables are selected", tables.len()))]
}

fn key(tables: &[TableFacts]) -> Vec<Item> {
    const ID: &str = "table.key";
    const ADD: &str = "add a primary key; without one, duplicates after a fault cannot be told from rows, and a key policy \
                       puts all rows into one partition";
    let without = named(tables, |table| table.definition.keys.is_empty());
    let nullable = named(tables, |t| !t.definition.keys.is_empty() && t.definition.effective_key().is_none());
    let mut items = Vec::new();
    if !without.is_empty() {
        items.push(Item::warn(ID, format!("no key: {}", list(&without)), ADD));
    }
    if !nullable.is_empty() {
        items.push(Item::warn(ID, format!("only unique keys whose columns can be NULL: {}", list(&nullable)), ADD));
    }
    if items.is_empty() {
        items.push(Item::pass(ID, "every table has a key"));
    }
    items
}

fn engine(tables: &[TableFacts]) -> Vec<Item> {
    const ID: &str = "table.engine";
    let with = |engines: &[&str]| -> Vec<String> {
        let hit = |engine: &str| engines.iter().any(|e| e.eq_ignore_ascii_case(engine));
        let line =
            |table: &TableFacts| table.engine.as_deref().filter(|e| hit(e)).map(|e| format!("{} ({e})", name(table)));
        tables.iter().filter_map(line).collect()
    };
    let silent = with(&["FEDERATED", "MRG_MYISAM", "MRG_MyISAM", "BLACKHOLE", "OSS", "SPIDER", "CONNECT"]);
    let weak = with(&["MEMORY", "CSV"]);
    let mut items = Vec::new();
    if !silent.is_empty() {
        let finding =
            format!("their rows are elsewhere, and do not come through this binlog as they should: {}", list(&silent));
        items.push(Item::fail(ID, finding, "leave them out: \"!database.table\" in source.tables"));
    }
    if !weak.is_empty() {
        let finding = format!("emptied by a restart of the server, or without transactions: {}", list(&weak));
        items.push(Item::warn(ID, finding, "convert them to InnoDB, or leave them out"));
    }
    if items.is_empty() {
        items.push(Item::pass(ID, "every engine logs its rows"));
    }
    items
}

fn charset(tables: &[TableFacts]) -> Item {
    const ID: &str = "table.charset";
    let mut unknown: Vec<String> = Vec::new();
    for table in tables {
        for column in &table.definition.columns {
            if let Some(charset) = column.charset.as_deref().filter(|charset| Charset::of_name(charset).is_err()) {
                unknown.push(format!("{}.{} ({charset})", name(table), column.name));
            }
        }
    }
    match unknown.is_empty() {
        true => Item::pass(ID, "every character set is known"),
        false => Item::fail(
            ID,
            format!("character sets that cannot be read: {}", list(&unknown)),
            "convert the columns to utf8mb4, or leave the tables out",
        ),
    }
}

fn invisible_columns(tables: &[TableFacts]) -> Item {
    const ID: &str = "table.invisible_columns";
    let with = named(tables, |table| table.definition.columns.iter().any(|column| column.invisible));
    match with.is_empty() {
        true => Item::pass(ID, "none"),
        false => Item::warn(
            ID,
            format!("invisible columns: {}", list(&with)),
            "they are delivered like the others; make sure that the destination has room for them",
        ),
    }
}

fn foreign_keys(tables: &[TableFacts]) -> Item {
    const ID: &str = "table.foreign_keys";
    let changes_rows = |rule: &str| ["CASCADE", "SET NULL", "SET DEFAULT"].iter().any(|r| r.eq_ignore_ascii_case(rule));
    let with = named(tables, |table| {
        table.foreign_keys.iter().any(|key| changes_rows(&key.on_update) || changes_rows(&key.on_delete))
    });
    match with.is_empty() {
        true => Item::pass(ID, "no foreign key changes rows by itself"),
        false => Item::warn(
            ID,
            format!("ON UPDATE or ON DELETE changes rows without an event in the binlog: {}", list(&with)),
            "replace the cascades by statements of the application, or repeat them at the destination",
        ),
    }
}

fn float_precision(tables: &[TableFacts]) -> Item {
    const ID: &str = "table.float_precision";
    let inexact = |t: &str| ["float", "double", "real"].iter().any(|kind| t.to_ascii_lowercase().starts_with(kind));
    let with = named(tables, |table| {
        let columns = table.definition.effective_key().map_or(&[][..], |key| &key.columns);
        columns.iter().filter_map(|&c| table.definition.columns.get(c as usize)).any(|c| inexact(&c.column_type))
    });
    match with.is_empty() {
        true => Item::pass(ID, "no key holds FLOAT or DOUBLE"),
        false => Item::warn(
            ID,
            format!("FLOAT or DOUBLE in the key: {}", list(&with)),
            "use DECIMAL in keys: the text of a FLOAT may not find its row again",
        ),
    }
}

/// Virtual columns in keys; what conditions read of them, each delivery says.
fn generated(tables: &[TableFacts]) -> Item {
    const ID: &str = "table.generated";
    let with = named(tables, |table| {
        let columns = table.definition.effective_key().map_or(&[][..], |key| &key.columns);
        let mut columns = columns.iter().filter_map(|&c| table.definition.columns.get(c as usize));
        columns.any(|column| table.virtual_columns.contains(&column.name))
    });
    match with.is_empty() {
        true => Item::pass(ID, "no key holds a virtual column"),
        false => Item::warn(
            ID,
            format!("virtual generated columns in the key: {}", list(&with)),
            "make them STORED, or give the table a primary key of other columns: what is computed anew at each reading \
             may not find its row again",
        ),
    }
}

/// EncDB keeps columns encrypted towards clients; the rows of the binlog are what they are.
pub(super) fn encdb(facts: &ServerFacts) -> Item {
    const ID: &str = "table.encdb";
    match ["encdb", "loose_encdb"].into_iter().any(|name| facts.is_on(name)) {
        false => Item::pass(ID, "EncDB is off"),
        true => Item::warn(
            ID,
            "EncDB is on: its columns reach a client as ciphertext, and whether the binlog's values agree with what \
             clients read is the server's affair",
            "leave the columns out by map.drop_columns, or accept this once consumers can use the values",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::facts::ForeignKey;
    use crate::check::Level;
    use crate::log::{ColumnDefinition, KeyDefinition, TableDefinition};

    fn column(name: &str, column_type: &str) -> ColumnDefinition {
        ColumnDefinition {
            name: name.into(),
            column_type: column_type.into(),
            charset: None,
            collation: None,
            nullable: false,
            invisible: false,
            generated: false,
        }
    }

    fn table(name: &str) -> TableFacts {
        TableFacts {
            definition: TableDefinition {
                id: 0,
                database: "shop".into(),
                table: name.into(),
                columns: vec![column("id", "bigint"), column("v", "varchar(10)")],
                keys: vec![KeyDefinition { name: "PRIMARY".into(), columns: vec![0] }],
                default_charset: Some("utf8mb4".into()),
                default_collation: None,
                unconfirmed: None,
                dropped: false,
            },
            engine: Some("InnoDB".into()),
            foreign_keys: Vec::new(),
            virtual_columns: Vec::new(),
            average_row_bytes: None,
        }
    }

    fn with(change: impl FnOnce(&mut TableFacts)) -> [TableFacts; 2] {
        let mut odd = table("odd");
        change(&mut odd);
        [table("plain"), odd]
    }

    /// Levels of the items of one id, and that only the odd table is named in them.
    fn levels(tables: &[TableFacts], id: &str) -> Vec<Level> {
        let of_id: Vec<Item> = items(tables, &TablePatterns::all()).into_iter().filter(|item| item.id == id).collect();
        for item in of_id.iter().filter(|item| item.level != Level::Pass) {
            assert!(item.finding.contains("shop.odd") && !item.finding.contains("shop.plain"), "{item:?}");
            assert!(!item.remedy.is_empty(), "{item:?}");
        }
        of_id.iter().map(|item| item.level).collect()
    }

    #[test]
    fn ordinary_tables_pass_everything() {
        let all = items(&[table("a"), table("b")], &TablePatterns::all());
        assert!(all.iter().all(|item| item.level == Level::Pass), "{all:?}");
    }

    #[test]
    fn what_is_odd_about_a_table_is_told_with_its_name() {
        let nullable = with(|t| {
            t.definition.columns[0].nullable = true;
            t.definition.keys[0].name = "u".into();
        });
        assert_eq!(levels(&with(|t| t.definition.keys.clear()), "table.key"), [Level::Warn]);
        assert_eq!(levels(&nullable, "table.key"), [Level::Warn]);
        assert_eq!(levels(&with(|t| t.engine = Some("BLACKHOLE".into())), "table.engine"), [Level::Fail]);
        assert_eq!(levels(&with(|t| t.engine = Some("MEMORY".into())), "table.engine"), [Level::Warn]);
        let charset = with(|t| t.definition.columns[1].charset = Some("klingon".into()));
        assert_eq!(levels(&charset, "table.charset"), [Level::Fail]);
        assert_eq!(
            levels(&with(|t| t.definition.columns[1].invisible = true), "table.invisible_columns"),
            [Level::Warn]
        );
        assert_eq!(
            levels(&with(|t| t.definition.columns[0] = column("id", "float")), "table.float_precision"),
            [Level::Warn]
        );
        assert_eq!(levels(&with(|t| t.virtual_columns.push("id".into())), "table.generated"), [Level::Warn]);
        assert_eq!(levels(&with(|t| t.virtual_columns.push("v".into())), "table.generated"), [Level::Pass]);
        let key = |on_delete: &str| ForeignKey {
            name: "fk".into(),
            parent: ("shop".into(), "plain".into()),
            on_update: "RESTRICT".into(),
            on_delete: on_delete.into(),
        };
        assert_eq!(levels(&with(|t| t.foreign_keys.push(key("SET NULL"))), "table.foreign_keys"), [Level::Warn]);
        assert_eq!(levels(&with(|t| t.foreign_keys.push(key("NO ACTION"))), "table.foreign_keys"), [Level::Pass]);
    }

    #[test]
    fn encdb_warns_under_either_name() {
        let mut facts = ServerFacts::example();
        assert_eq!(encdb(&facts).level, Level::Pass);
        facts.variables.insert("loose_encdb".into(), "ON".into());
        let item = encdb(&facts);
        assert!(item.level == Level::Warn && !item.remedy.is_empty(), "{item:?}");
    }

    #[test]
    fn a_table_that_is_named_and_missing_fails_and_an_empty_pattern_warns() {
        let level = |patterns: &[&str], tables: &[TableFacts]| {
            items(tables, &TablePatterns::parse(patterns).expect("patterns"))[0].level
        };
        assert_eq!(level(&["shop.plain", "shop.*"], &[table("plain")]), Level::Pass);
        assert_eq!(level(&["shop.gone"], &[table("plain")]), Level::Fail);
        assert_eq!(level(&["shop.*"], &[]), Level::Warn);
    }

    #[test]
    fn many_tables_are_counted_instead_of_named() {
        let tables: Vec<TableFacts> = (0..30)
            .map(|i| {
                let mut table = table(&format!("t{i}"));
                table.definition.keys.clear();
                table
            })
            .collect();
        let finding = &key(&tables)[0].finding;
        assert!(finding.ends_with("and 10 more"), "{finding}");
    }
}
