//! The statements that are sent: tables, columns, counts. Each may be sent twice.

use std::fmt::Write as _;

use super::client::Client;
use super::unit::Extent;
use crate::format::maxcompute::layout::TableColumn;

/// A table as statements name it.
pub fn table(client: &Client, name: &str) -> String {
    let schema = client.schema_name().map_or_else(String::new, |schema| format!("{schema}."));
    format!("{}.{schema}{}", client.project_name(), quoted(name))
}

/// Creates a table that is not there.
pub fn create(
    table: &str,
    columns: &[TableColumn],
    partitions: &[TableColumn],
    lifecycle_days: Option<u32>,
    comment: &str,
) -> String {
    let mut sql = format!("CREATE TABLE IF NOT EXISTS {table} ({})", list(columns));
    write!(sql, " COMMENT {}", literal(comment)).expect("a string grows");
    if !partitions.is_empty() {
        write!(sql, " PARTITIONED BY ({})", list(partitions)).expect("a string grows");
    }
    if let Some(days) = lifecycle_days {
        write!(sql, " LIFECYCLE {days}").expect("a string grows");
    }
    sql
}

/// Adds columns that are not there at a table's end.
pub fn add_columns(table: &str, columns: &[TableColumn]) -> String {
    format!("ALTER TABLE {table} ADD COLUMNS IF NOT EXISTS ({})", list(columns))
}

/// Counts the rows of an extent. `partition` as in a session: `k1=v1,k2=v2`.
pub fn count(table: &str, partition: &str, id_column: &str, extent: Extent) -> String {
    let mut conditions: Vec<String> = partition
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| format!("{} = {}", quoted(name), literal(value)))
        .collect();
    if let Some((first, last)) = extent.ids {
        conditions.push(format!("{} BETWEEN {first} AND {last}", quoted(id_column)));
    }
    let condition = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    format!("SELECT COUNT(*) FROM {table}{condition}")
}

/// The number that a count printed: CSV with a head.
pub fn counted(text: &str) -> Option<u64> {
    text.lines().nth(1)?.trim().trim_matches('"').parse().ok()
}

fn list(columns: &[TableColumn]) -> String {
    let column = |column: &TableColumn| format!("{} {}", quoted(&column.name), column.kind.to_string().to_uppercase());
    columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

fn quoted(name: &str) -> String {
    // Names have neither: both are replaced where they come in.
    format!("`{}`", name.replace('`', "_"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::maxcompute::data_type::DataType;

    fn column(name: &str, kind: DataType) -> TableColumn {
        TableColumn { name: name.to_owned(), kind }
    }

    #[test]
    fn statements_can_be_sent_twice_and_quote_what_they_name() {
        let columns = [column("id", DataType::BigInt), column("金额", DataType::Decimal(Some((10, 2))))];
        assert_eq!(
            create("p.`t_log`", &columns, &[column("day", DataType::String)], Some(7), "it's"),
            "CREATE TABLE IF NOT EXISTS p.`t_log` (`id` BIGINT, `金额` DECIMAL(10,2)) COMMENT 'it\\'s' \
             PARTITIONED BY (`day` STRING) LIFECYCLE 7"
        );
        assert_eq!(
            create("p.`t`", &columns[..1], &[], None, ""),
            "CREATE TABLE IF NOT EXISTS p.`t` (`id` BIGINT) COMMENT ''"
        );
        assert_eq!(add_columns("p.`t`", &columns[..1]), "ALTER TABLE p.`t` ADD COLUMNS IF NOT EXISTS (`id` BIGINT)");
    }

    #[test]
    fn rows_are_counted_in_one_partition_and_extent() {
        let extent = Extent { ids: Some((5, 9)), rows: 3 };
        assert_eq!(
            count("p.`t`", "y=2026,m=01", "record_id", extent),
            "SELECT COUNT(*) FROM p.`t` WHERE `y` = '2026' AND `m` = '01' AND `record_id` BETWEEN 5 AND 9"
        );
        assert_eq!(count("p.`t`", "", "", Extent { ids: None, rows: 3 }), "SELECT COUNT(*) FROM p.`t`");
        assert_eq!((counted("\"_c0\"\n12\n"), counted("\"_c0\"\n"), counted("")), (Some(12), None, None));
    }
}
