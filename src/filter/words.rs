//! Words that mean something to SQL and nothing, or something else, to a filter.

use std::sync::LazyLock;

/// Words that are no names without backquotes: `information_schema.KEYWORDS` of MySQL 9.7.4, reserved ones.
pub(super) static RESERVED: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| include_str!("reserved.txt").split_ascii_whitespace().collect());

/// Words of SQL's conditions that the language leaves out, and what to do instead.
pub(super) const LEFT_OUT: [(&str, &str); 17] = [
    ("select", "conditions use the columns of their own table, no subqueries"),
    ("exists", "conditions use the columns of their own table, no subqueries"),
    ("any", "conditions use the columns of their own table, no subqueries"),
    ("all", "conditions use the columns of their own table, no subqueries"),
    ("some", "conditions use the columns of their own table, no subqueries"),
    ("case", "write it with AND and OR"),
    ("cast", "compare with a literal of the type"),
    ("convert", "compare with a literal of the type"),
    ("interval", "compare with a literal date"),
    ("binary", "the column's collation decides"),
    ("collate", "the column's collation decides"),
    ("div", "write / or compare without division"),
    ("regexp", "write LIKE"),
    ("rlike", "write LIKE"),
    ("sounds", "write LIKE"),
    ("xor", "write it with AND and OR"),
    ("match", "write LIKE"),
];
