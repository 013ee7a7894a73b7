//! Online schema changes (gh-ost, pt-online-schema-change, and what `source.online_ddl` names): a tool copies a table
//! into a shadow of the new shape, keeps that up to date, and swaps the two by a rename. Which names its helper tables
//! have, and what the change is as one ALTER of the table itself. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::statement::Words;

/// Stands for the table's name in a pattern.
const TABLE: &str = "{table}";
/// pt-online-schema-change puts up to so many underscores in front when names are taken (its manual, "RISKS").
const UNDERSCORES_MAX: usize = 10;
/// What follows the table's name: shadow, changelog, checkpoints and old table of gh-ost; shadow and old table of
/// pt-online-schema-change.
const SUFFIXES: [&str; 6] = ["_gho", "_ghc", "_ghk", "_del", "_new", "_old"];
/// Digits of the time that gh-ost puts into the old table's name (`--timestamp-old-table`).
const TIMESTAMP_DIGITS: usize = 14;
/// An ALTER whose actions are longer than this is told as one whose actions are unknown, bytes.
const ACTIONS_BYTES_MAX: usize = 64 << 10;

/// A pattern of `source.online_ddl` that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "pattern {0:?}: write the helper table's name with {{table}} once for the table's and * for any text, such as \"tp_*_ogt_{{table}}\""
)]
pub struct HelperPatternError(String);

/// Name of a helper table: text, `*`, and `{table}` once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HelperPattern {
    before: Vec<String>,
    after: Vec<String>,
}

impl TryFrom<String> for HelperPattern {
    type Error = HelperPatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fail = || HelperPatternError(text.clone());
        let (before, after) = text.split_once(TABLE).ok_or_else(fail)?;
        let named = !before.replace('*', "").is_empty() || !after.replace('*', "").is_empty();
        if !named || after.contains(TABLE) || text.contains(|c: char| c == '.' || c.is_control()) {
            return Err(fail());
        }
        let parts = |text: &str| text.split('*').map(str::to_owned).collect();
        Ok(Self { before: parts(before), after: parts(after) })
    }
}

impl From<HelperPattern> for String {
    fn from(pattern: HelperPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for HelperPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{TABLE}{}", self.before.join("*"), self.after.join("*"))
    }
}

impl HelperPattern {
    /// Every name that `{table}` may stand for in this one.
    fn tables<'n>(&self, name: &'n str) -> Vec<&'n str> {
        let starts = ends_of_prefix(&self.before, name);
        let mut tables = Vec::new();
        for start in starts {
            let rest = &name[start..];
            for (end, _) in rest.char_indices().skip(1).chain([(rest.len(), ' ')]) {
                if end > 0 && covers(&self.after, &rest[end..]) {
                    tables.push(&rest[..end]);
                }
            }
        }
        tables
    }
}

/// Where in `name` the text that the parts stand for may end. Names have 64 characters, so every place is tried.
fn ends_of_prefix(parts: &[String], name: &str) -> Vec<usize> {
    name.char_indices().map(|(at, _)| at).filter(|&at| covers(parts, &name[..at])).collect()
}

/// Whether the parts, with any text between them, are all of `text`.
fn covers(parts: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = parts else { return parts.first().is_none_or(|only| only == text) };
    let Some(mut rest) = text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str())) else {
        return false;
    };
    for part in middle {
        let Some(at) = rest.find(part.as_str()) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// How the helper tables of online schema changes are told by their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnlineDdl {
    patterns: Vec<HelperPattern>,
}

impl OnlineDdl {
    /// The names that the usual tools use, and these.
    pub fn with(patterns: &[HelperPattern]) -> Self {
        Self { patterns: patterns.to_vec() }
    }

    /// The tables that a table of this name would be a helper of: whether one of them is there is for the caller to say.
    pub fn tables<'n>(&self, name: &'n str) -> impl Iterator<Item = &'n str> {
        let own = name.strip_prefix('_').and_then(|rest| {
            let suffix = SUFFIXES.iter().find(|suffix| rest.ends_with(**suffix))?;
            Some(&name[..name.len() - suffix.len()])
        });
        let underscored = own.into_iter().flat_map(|rest| {
            let most = rest.bytes().take_while(|byte| *byte == b'_').count().min(UNDERSCORES_MAX);
            (1..=most).map(move |count| &rest[count..])
        });
        let timed = own.and_then(|rest| {
            let (table, time) = rest[1..].rsplit_once('_')?;
            (time.len() == TIMESTAMP_DIGITS && time.bytes().all(|b| b.is_ascii_digit())).then_some(table)
        });
        let named = self.patterns.iter().flat_map(|pattern| pattern.tables(name));
        underscored.chain(timed).chain(named).filter(|table| !table.is_empty())
    }
}

/// What an ALTER TABLE does to its table: all that follows the name. None when the statement is no such, or so long that
/// nobody should keep it, or only sets the next AUTO_INCREMENT value, which tools copy from the table.
pub(super) fn actions(sql: &str) -> Option<&str> {
    let mut words = Words { rest: sql.as_bytes() };
    let is = |word: Option<&[u8]>, text: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(text.as_bytes()));
    if !is(words.next(), "ALTER") {
        return None;
    }
    loop {
        match words.next() {
            word if is(word, "ONLINE") || is(word, "OFFLINE") || is(word, "IGNORE") => {}
            word if is(word, "TABLE") => break,
            _ => return None,
        }
    }
    let before = words.rest;
    if !(is(words.next(), "IF") && is(words.next(), "EXISTS")) {
        words.rest = before;
    }
    words.object()?;
    let actions = std::str::from_utf8(words.rest).ok()?.trim_start().trim_end_matches([';', ' ', '\n', '\r', '\t']);
    let fine = !actions.is_empty() && actions.len() <= ACTIONS_BYTES_MAX && !is_auto_increment(actions);
    fine.then_some(actions)
}

fn is_auto_increment(actions: &str) -> bool {
    let mut words = Words { rest: actions.as_bytes() };
    if !words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"AUTO_INCREMENT")) {
        return false;
    }
    let rest = words.rest.trim_ascii();
    rest.strip_prefix(b"=").unwrap_or(rest).trim_ascii().iter().all(u8::is_ascii_digit)
}

/// The change as one statement about the table. Without known actions it is a rebuild that changes nothing: who follows
/// definitions reads the table's again.
pub(super) fn alter(database: &str, table: &str, actions: &[String]) -> String {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let head = format!("ALTER TABLE {}.{}", quoted(database), quoted(table));
    match actions {
        [] => format!("{head} FORCE"),
        actions => format!("{head} {}", actions.join(", ")),
    }
}

/// Whether a statement, which is about no table's shape, is pt-online-schema-change's own: it makes and drops triggers by
/// which it follows the table, and analyses the shadow.
pub(super) fn is_of_tool(sql: &str) -> bool {
    const PREFIX: &[u8] = b"pt_osc_";
    const MARK: &str = "/* pt-online-schema-change */";
    let mut words = Words { rest: sql.as_bytes() };
    let is = |word: Option<&[u8]>, text: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(text.as_bytes()));
    let first = words.next();
    if is(first, "ANALYZE") {
        return sql.trim_end().ends_with(MARK);
    }
    if !is(first, "CREATE") && !is(first, "DROP") {
        return false;
    }
    // The definer, an account in quotes, comes before the word.
    let text = String::from_utf8_lossy(words.rest).to_ascii_uppercase();
    let Some(at) = text.find("TRIGGER").filter(|_| text.len() == words.rest.len()) else { return false };
    words.rest = &words.rest[at + "TRIGGER".len()..];
    let before = words.rest;
    if is(words.next(), "IF") {
        let mut next = words.next();
        if is(next, "NOT") {
            next = words.next();
        }
        if !is(next, "EXISTS") {
            return false;
        }
    } else {
        words.rest = before;
    }
    words.object().is_some_and(|name| name.starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables<'n>(online: &OnlineDdl, name: &'n str) -> Vec<&'n str> {
        online.tables(name).collect()
    }

    #[test]
    fn helper_tables_of_the_usual_tools_name_their_table() {
        let online = OnlineDdl::default();
        for helper in ["_orders_gho", "_orders_ghc", "_orders_ghk", "_orders_del", "_orders_new", "_orders_old"] {
            assert_eq!(tables(&online, helper), ["orders"], "{helper}");
        }
        assert_eq!(tables(&online, "___orders_new"), ["__orders", "_orders", "orders"]);
        assert_eq!(tables(&online, "_orders_20260131080000_del"), ["orders_20260131080000", "orders"]);
        assert_eq!(tables(&online, "__x_gho"), ["_x", "x"]);
        for other in ["orders", "orders_new", "_orders", "_new", "__new", "_orders_backup", "", "_", "_gho"] {
            assert_eq!(tables(&online, other), Vec::<&str>::new(), "{other}");
        }
    }

    #[test]
    fn patterns_name_the_helpers_of_other_tools() {
        let patterns =
            ["tp_*_ogt_{table}", "{table}__shadow"].map(|text| HelperPattern::try_from(text.to_owned()).unwrap());
        let online = OnlineDdl::with(&patterns);
        assert_eq!(tables(&online, "tp_17_ogt_orders"), ["orders"]);
        assert_eq!(tables(&online, "tp_17_8_ogt_订单"), ["订单"]);
        assert_eq!(tables(&online, "orders__shadow"), ["orders"]);
        assert_eq!(tables(&online, "tp_17_del_orders"), Vec::<&str>::new());
        assert_eq!(tables(&online, "_orders_gho"), ["orders"], "the usual names stay");
        assert_eq!(patterns[0].to_string(), "tp_*_ogt_{table}");
        for wrong in ["", "orders", "{table}", "*{table}*", "{table}_{table}", "db.{table}_x", "a\n{table}"] {
            let error = HelperPattern::try_from(wrong.to_owned()).unwrap_err();
            assert!(error.to_string().contains("tp_*_ogt_{table}"), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_actions_of_an_alter_are_what_follows_the_name() {
        let of = actions;
        assert_eq!(
            of("alter /* gh-ost */ table `shop`.`_t_gho` add column `x` int, drop y"),
            Some("add column `x` int, drop y")
        );
        assert_eq!(of("ALTER TABLE _t_new ENGINE=InnoDB;"), Some("ENGINE=InnoDB"));
        assert_eq!(
            of("ALTER ONLINE IGNORE TABLE IF EXISTS shop . `_t``_new`\n ADD c int /* why */"),
            Some("ADD c int /* why */")
        );
        assert_eq!(of("alter table `a`.`b` auto_increment = 17"), None);
        assert_eq!(of("alter table `a`.`b` auto_increment=17, add x int"), Some("auto_increment=17, add x int"));
        assert_eq!(of("CREATE TABLE a (b int)"), None);
        assert_eq!(of("ALTER TABLE a"), None);
        assert_eq!(of("ALTER VIEW v AS SELECT 1"), None);
        assert_eq!(of(&format!("ALTER TABLE a COMMENT '{}'", "x".repeat(ACTIONS_BYTES_MAX))), None);
        assert_eq!(
            alter("shop", "t`x", &["ADD a int".into(), "DROP b".into()]),
            "ALTER TABLE `shop`.`t``x` ADD a int, DROP b"
        );
        assert_eq!(alter("shop", "t", &[]), "ALTER TABLE `shop`.`t` FORCE");
    }

    #[test]
    fn what_the_tool_does_for_itself_is_told_from_what_people_do() {
        assert!(is_of_tool(
            "CREATE DEFINER=`root`@`%` TRIGGER `pt_osc_shop_t_del` AFTER DELETE ON `shop`.`t` FOR EACH ROW DELETE"
        ));
        assert!(is_of_tool("DROP TRIGGER IF EXISTS `shop`.`pt_osc_shop_t_del`"));
        assert!(!is_of_tool("DROP TRIGGER IF EXISTS `shop`.`audit`"));
        assert!(!is_of_tool("CREATE TRIGGER audit AFTER INSERT ON t FOR EACH ROW SET @a = 'pt_osc_'"));
        assert!(!is_of_tool("DROP TABLE pt_osc_x"));
        assert!(is_of_tool("ANALYZE TABLE `shop`.`_t_new` /* pt-online-schema-change */"));
        assert!(!is_of_tool("ANALYZE TABLE `shop`.`_t_new`"));
    }
}
