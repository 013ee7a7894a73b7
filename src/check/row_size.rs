//! `table.row_size`: whether the rows of a delivery's tables fit into its records.
//!
//! What a column may hold is known, what it does hold is not: TEXT and JSON could be larger than any record, and mostly
//! are not. So the server's own estimate of what rows take decides, and the declared widths of columns that are small by
//! their type. A row that is larger after all is for the delivery's policy.

use super::Item;
use super::table::list;
use crate::capture::facts::TableFacts;
use crate::change::column_type::{BlobSize, ColumnType};
use crate::change::schema::TableName;
use crate::config::{Delivery, Size};
use crate::delivery::select::Selection;

pub(super) const ID: &str = "table.row_size";

/// Bytes of a column beside its value: its name, quotes, its part of the types.
const COLUMN_BYTES: u64 = 64;
/// Most bytes of a character.
const CHARACTER_BYTES: u64 = 4;
/// Digits and signs of numbers and times, at most.
const NUMBER_BYTES: u64 = 32;

/// The item of a delivery whose records hold `limit` bytes at most; `parks`: a larger one stops the delivery.
pub(super) fn item(delivery: &Delivery, limit: Size, parks: bool, tables: &[TableFacts]) -> Item {
    let selection = Selection::of(delivery);
    let half = limit.0 / 2;
    let (mut over, mut near) = (Vec::new(), Vec::new());
    for table in tables {
        let definition = &table.definition;
        let source = TableName::new(definition.database.as_str(), definition.table.as_str());
        if !selection.wants(&source) {
            continue;
        }
        let rule = selection.objects.rule(&source.database, &source.table).and_then(|rule| rule.map.as_ref());
        // How much of the average the columns have that are left out, nobody knows.
        let is_whole = rule.unwrap_or(&selection.objects.map).drop_columns.is_empty();
        let average = table.average_row_bytes.unwrap_or(0);
        let declared = declared_bytes(table);
        if average > limit.0 && is_whole {
            over.push(format!("{source} ({average} bytes on average)"));
        } else if average > half {
            near.push(format!("{source} ({average} bytes on average)"));
        } else if declared > half {
            near.push(format!("{source} ({declared} bytes as it is declared)"));
        }
    }
    let remedy = "raise max_record_bytes and the topic's max.message.bytes, leave the large columns out by map.drop_columns, \
                  or set on_too_large";
    match (over.is_empty(), near.is_empty()) {
        (true, true) => Item::pass(ID, format!("rows are far below max_record_bytes, {limit}, as far as can be told")),
        (true, false) => {
            Item::warn(ID, format!("rows take more than half of max_record_bytes, {limit}: {}", list(&near)), remedy)
        }
        (false, _) => {
            let finding = format!("rows are larger than max_record_bytes, {limit}: {}", list(&over));
            if parks { Item::fail(ID, finding, remedy) } else { Item::warn(ID, finding, remedy) }
        }
    }
}

/// What a row takes at most, without the columns that could hold anything.
fn declared_bytes(table: &TableFacts) -> u64 {
    let columns = table.definition.columns.iter();
    columns
        .map(|c| ColumnType::parse(&c.column_type).map_or(0, |(kind, labels)| COLUMN_BYTES + width(kind, &labels)))
        .sum()
}

fn width(kind: ColumnType, labels: &[Box<str>]) -> u64 {
    match kind {
        ColumnType::Char { length } | ColumnType::VarChar { length } => u64::from(length) * CHARACTER_BYTES,
        ColumnType::Binary { length } | ColumnType::VarBinary { length } => u64::from(length),
        ColumnType::Text { size: BlobSize::Tiny } | ColumnType::Blob { size: BlobSize::Tiny } => 0xff,
        ColumnType::Text { size: BlobSize::Plain } | ColumnType::Blob { size: BlobSize::Plain } => 0xffff,
        ColumnType::Text { .. } | ColumnType::Blob { .. } | ColumnType::Json | ColumnType::Geometry { .. } => 0,
        ColumnType::Vector { dimension } => u64::from(dimension) * 4,
        ColumnType::Enum => labels.iter().map(|label| label.len() as u64).max().unwrap_or(0),
        ColumnType::Set => labels.iter().map(|label| label.len() as u64 + 1).sum(),
        _ => NUMBER_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::check::Level;
    use crate::config::Config;
    use crate::log::{ColumnDefinition, TableDefinition};

    fn table(column_type: &str, average: Option<u64>) -> TableFacts {
        let column = ColumnDefinition {
            name: "note".into(),
            column_type: column_type.into(),
            charset: None,
            collation: None,
            nullable: false,
            invisible: false,
            generated: false,
        };
        TableFacts {
            definition: TableDefinition {
                id: 0,
                database: "shop".into(),
                table: "notes".into(),
                columns: vec![column],
                keys: Vec::new(),
                default_charset: None,
                default_collation: None,
                unconfirmed: None,
                dropped: false,
            },
            engine: None,
            foreign_keys: Vec::new(),
            virtual_columns: Vec::new(),
            average_row_bytes: average,
        }
    }

    fn judged(lines: &str, parks: bool, table: TableFacts) -> Level {
        let text =
            format!("[source]\nurl = \"mysql://r@db1\"\n[[delivery]]\nname = \"orders\"\nfile.path = \"-\"\n{lines}\n");
        let config = Config::parse(&text, Path::new("t"), &|_| None).expect("valid");
        let item = item(&config.deliveries[0], Size::mib(1), parks, &[table]);
        assert_eq!(item.level == Level::Pass, item.remedy.is_empty(), "{item:?}");
        assert!(item.level == Level::Pass || item.finding.contains("shop.notes"), "{item:?}");
        item.level
    }

    #[test]
    fn rows_that_are_too_large_on_average_fail_where_a_large_one_parks() {
        let of = |average| table("longtext", average);
        assert_eq!(judged("", true, of(None)), Level::Pass, "what could be is no reason");
        assert_eq!(judged("", true, of(Some(500_000))), Level::Pass);
        assert_eq!(judged("", true, of(Some(600_000))), Level::Warn);
        assert_eq!(judged("", true, of(Some(2_000_000))), Level::Fail);
        assert_eq!(judged("", false, of(Some(2_000_000))), Level::Warn, "a policy takes care of them");
        assert_eq!(judged("tables = [\"crm.*\"]", true, of(Some(2_000_000))), Level::Pass, "it is not delivered");
        assert_eq!(judged("map = { drop_columns = [\"note\"] }", true, of(Some(2_000_000))), Level::Warn);
    }

    #[test]
    fn declared_widths_warn_and_count_characters() {
        assert_eq!(judged("", true, table("varchar(100)", None)), Level::Pass);
        assert_eq!(judged("", true, table("varbinary(600000)", None)), Level::Warn);
        assert_eq!(judged("", true, table("varchar(140000)", None)), Level::Warn, "four bytes each");
        assert_eq!(judged("", true, table("json", None)), Level::Pass);
    }
}
