//! Which tables: patterns such as `shop.*` and `!shop.audit_%`, the same at capture and per delivery.

use std::collections::{HashMap, HashSet};
use std::fmt;

use thiserror::Error;

/// Schemas that belong to the server; never selected by a pattern with wildcards.
pub const SYSTEM_SCHEMAS: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

/// A pattern that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "table pattern {pattern:?}: {reason}; write it as database.table, with * or % for any text, ? for one character, ! in front to leave out"
)]
pub struct PatternError {
    /// The pattern as it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    database: String,
    table: String,
    exclude: bool,
}

/// A list of patterns. A table is selected when one of them names it and no `!` pattern does; with no
/// including pattern, every table outside the system schemas counts as named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TablePatterns {
    /// All, as they were written.
    patterns: Vec<Pattern>,
    /// Those that include one table each, by schema: there may be thousands.
    exact: HashMap<String, HashSet<String>>,
    /// Places of those that include what wildcards match, and of those that leave out.
    wild: Vec<usize>,
    excluding: Vec<usize>,
}

impl TablePatterns {
    /// Every table but those of the system schemas.
    pub fn all() -> Self {
        Self::default()
    }

    /// Parses patterns of the form `database.table`.
    ///
    /// # Errors
    /// A pattern without a dot, or with an empty part; nothing is guessed.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<Self, PatternError> {
        let mut list = Self { patterns: Vec::with_capacity(patterns.len()), ..Self::default() };
        for (at, pattern) in patterns.iter().enumerate() {
            let pattern = Pattern::parse(pattern.as_ref())?;
            if pattern.exclude {
                list.excluding.push(at);
            } else if has_wildcard(&pattern.database) || has_wildcard(&pattern.table) {
                list.wild.push(at);
            } else {
                list.exact.entry(pattern.database.clone()).or_default().insert(pattern.table.clone());
            }
            list.patterns.push(pattern);
        }
        Ok(list)
    }

    /// Whether `database.table` is selected. Names compare exactly, as the binlog writes them.
    pub fn matches(&self, database: &str, table: &str) -> bool {
        let hit = |at: &usize| self.patterns[*at].matches(database, table);
        if self.excluding.iter().any(hit) {
            return false;
        }
        if self.excluding.len() == self.patterns.len() {
            return !SYSTEM_SCHEMAS.contains(&database);
        }
        self.names(database, table) || self.wild.iter().any(hit)
    }

    /// Whether a pattern includes exactly this table.
    pub fn names(&self, database: &str, table: &str) -> bool {
        self.exact.get(database).is_some_and(|tables| tables.contains(table))
    }

    /// The patterns as they were written.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.patterns.iter().map(|p| format!("{}{}.{}", if p.exclude { "!" } else { "" }, p.database, p.table))
    }

    /// Whether a pattern that includes names this database in full.
    pub fn names_database(&self, database: &str) -> bool {
        self.patterns.iter().any(|p| !p.exclude && !has_wildcard(&p.database) && p.database == database)
    }

    /// The patterns that include exactly one table, as (database, table).
    pub fn exact_tables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.patterns
            .iter()
            .filter(|p| !p.exclude && !has_wildcard(&p.database) && !has_wildcard(&p.table))
            .map(|p| (p.database.as_str(), p.table.as_str()))
    }
}

impl fmt::Display for TablePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.patterns.is_empty() {
            return f.write_str("*.*");
        }
        for (i, p) in self.patterns.iter().enumerate() {
            let (comma, not) = (if i > 0 { ", " } else { "" }, if p.exclude { "!" } else { "" });
            write!(f, "{comma}{not}{}.{}", p.database, p.table)?;
        }
        Ok(())
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let fail = |reason| PatternError { pattern: text.to_owned(), reason };
        let (exclude, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (database, table) = rest.split_once('.').ok_or_else(|| fail("it has no dot"))?;
        if database.is_empty() || table.is_empty() {
            return Err(fail("a part is empty"));
        }
        if rest.chars().any(|c| c.is_control()) {
            return Err(fail("it holds a control character"));
        }
        Ok(Self { database: database.to_owned(), table: table.to_owned(), exclude })
    }

    fn matches(&self, database: &str, table: &str) -> bool {
        let system = has_wildcard(&self.database) && SYSTEM_SCHEMAS.contains(&database);
        !system && wildcard_match(&self.database, database) && wildcard_match(&self.table, table)
    }
}

fn is_any(c: char) -> bool {
    c == '*' || c == '%'
}

fn has_wildcard(text: &str) -> bool {
    text.chars().any(|c| is_any(c) || c == '?')
}

/// Greedy match with one point to go back to: linear in practice, quadratic at worst, no recursion.
fn wildcard_match(pattern: &str, text: &str) -> bool {
    let (mut p, mut t) = (pattern.chars(), text.chars());
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        match (p.next(), t.clone().next()) {
            (Some(c), _) if is_any(c) => retry = Some((p.clone(), t.clone())),
            (Some('?'), Some(_)) => drop(t.next()),
            (Some(c), Some(d)) if c == d => drop(t.next()),
            (None, None) => return true,
            _ => {
                let Some((rp, rt)) = retry.as_mut() else { return false };
                if rt.next().is_none() {
                    return false;
                }
                p = rp.clone();
                t = rt.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(list: &[&str]) -> TablePatterns {
        TablePatterns::parse(list).expect("valid patterns")
    }

    #[test]
    fn no_pattern_selects_all_but_system_schemas() {
        let all = TablePatterns::all();
        assert!(all.matches("shop", "orders"));
        assert!(!all.matches("mysql", "user"));
    }

    #[test]
    fn an_exclusion_wins_wherever_it_stands() {
        let p = patterns(&["!shop.audit_%", "shop.*"]);
        assert!(p.matches("shop", "orders"));
        assert!(!p.matches("shop", "audit_2026"));
        assert!(!p.matches("other", "orders"));
    }

    #[test]
    fn exclusions_alone_leave_the_rest_selected() {
        let p = patterns(&["!shop.tmp?"]);
        assert!(p.matches("shop", "orders"));
        assert!(!p.matches("shop", "tmp1"));
        assert!(p.matches("shop", "tmp12"));
        assert!(!p.matches("sys", "x"));
    }

    #[test]
    fn a_wildcard_never_reaches_a_system_schema_but_its_name_does() {
        assert!(!patterns(&["*.*"]).matches("mysql", "user"));
        assert!(patterns(&["mysql.user"]).matches("mysql", "user"));
    }

    #[test]
    fn wildcards_backtrack() {
        let p = patterns(&["a*b*c.t%%x?"]);
        assert!(p.matches("aXbYbZc", "txy"));
        assert!(p.matches("abc", "tqqxxz"));
        assert!(!p.matches("abc", "tx"));
        assert!(!p.matches("abd", "txy"));
        assert!(patterns(&["库*.订?"]).matches("库存", "订单"));
    }

    #[test]
    fn a_pattern_without_a_dot_is_refused_by_name() {
        let e = TablePatterns::parse(&["orders"]).unwrap_err();
        assert!(e.to_string().contains("\"orders\""), "{e}");
    }
}
