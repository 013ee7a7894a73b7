//! Statements.

use super::{MaxwellJson, write_head};
use crate::change::DdlChange;
use crate::format::canal_json::DdlTarget;
use crate::format::json::{write_number, write_string};

impl MaxwellJson {
    /// Appends one message for a statement.
    pub fn write_ddl(&self, ddl: &DdlChange<'_>, target: DdlTarget<'_>, _now_ms: u64, out: &mut Vec<u8>) {
        write_head(target.database, target.table, out);
        out.extend_from_slice(word(target.kind, &ddl.sql).as_bytes());
        out.extend_from_slice(b"\",\"ts\":");
        write_number(ddl.place.timestamp, out);
        out.extend_from_slice(b",\"sql\":");
        write_string(&ddl.sql, out);
        out.push(b'}');
    }
}

/// Maxwell's word for a statement of Canal's kind.
fn word(kind: &str, sql: &str) -> &'static str {
    match kind {
        "CREATE" => "table-create",
        "ERASE" => "table-drop",
        "ALTER" | "RENAME" | "CINDEX" | "DINDEX" => "table-alter",
        "TRUNCATE" => "table-truncate",
        _ => {
            let mut words = words(sql);
            let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if !second.eq_ignore_ascii_case("DATABASE") && !second.eq_ignore_ascii_case("SCHEMA") {
                return "query";
            }
            match first.to_ascii_uppercase().as_str() {
                "CREATE" => "database-create",
                "ALTER" => "database-alter",
                "DROP" => "database-drop",
                _ => "query",
            }
        }
    }
}

/// The words of a statement, comments left out, MariaDB's `OR REPLACE` too.
fn words(sql: &str) -> impl Iterator<Item = &str> {
    let mut rest = sql;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start();
            if let Some(comment) = rest.strip_prefix("/*") {
                // A comment that servers of some version execute is part of the statement.
                match comment.strip_prefix('!').or_else(|| comment.strip_prefix("M!")) {
                    Some(executed) => rest = executed.trim_start_matches(|c: char| c.is_ascii_digit()),
                    None => rest = comment.split_once("*/").map_or("", |(_, after)| after),
                }
            } else if let Some(after) = rest.strip_prefix("*/") {
                rest = after;
            } else if rest.starts_with('#') || rest.starts_with("-- ") {
                rest = rest.split_once('\n').map_or("", |(_, after)| after);
            } else {
                break;
            }
        }
        let end = rest.find(|c: char| c.is_whitespace() || c == '/' || c == '`').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        (!word.is_empty()).then_some(word)
    })
    .filter(|word| !word.eq_ignore_ascii_case("OR") && !word.eq_ignore_ascii_case("REPLACE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_have_maxwells_words() {
        for (kind, sql, expected) in [
            ("CREATE", "create table t (a int)", "table-create"),
            ("ALTER", "alter table t add b int", "table-alter"),
            ("RENAME", "rename table a to b", "table-alter"),
            ("CINDEX", "create index i on t (a)", "table-alter"),
            ("ERASE", "drop table t", "table-drop"),
            ("TRUNCATE", "truncate t", "table-truncate"),
            ("QUERY", "CREATE DATABASE x", "database-create"),
            ("QUERY", "create /* a */ schema`x`", "database-create"),
            ("QUERY", "# first\nCREATE OR REPLACE DATABASE x", "database-create"),
            ("QUERY", "/*!50003 alter schema x charset utf8 */", "database-alter"),
            ("QUERY", "-- first\ndrop database if exists x", "database-drop"),
            ("QUERY", "create view v as select 1", "query"),
            ("QUERY", "", "query"),
            ("QUERY", "/* never closed", "query"),
        ] {
            assert_eq!(word(kind, sql), expected, "{sql}");
        }
    }
}
