//! Rows that did not leave as they are, by table: what became of them, how many, and where the last one stands.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::Serialize;

use super::{lock, now_ms};

/// Most tables that are told of one by one; what comes beyond is counted together.
const TABLES_MAX: usize = 1000;
/// The table under which it is.
const OTHERS: &str = "(others)";

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It was left out.
    Skipped,
    /// Some of its columns became NULL.
    Truncated,
    /// Its key's columns alone were delivered.
    KeyOnly,
    /// It went where dead letters go.
    DeadLetter,
}

impl Fate {
    /// Every fate, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Skipped, Self::Truncated, Self::KeyOnly, Self::DeadLetter];

    /// Its name, as status, metrics and logs write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Truncated => "truncated",
            Self::KeyOnly => "key_only",
            Self::DeadLetter => "dead_letter",
        }
    }

    /// Whether its topic lacks the row.
    pub fn is_gap(self) -> bool {
        matches!(self, Self::Skipped | Self::DeadLetter)
    }
}

/// The rows of one table that met one fate since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exception {
    /// `database.table` at the source.
    pub table: String,
    /// What became of them.
    pub fate: Fate,
    /// How many; one that is delivered again counts again.
    pub records: u64,
    /// `seq:row` of the first one.
    pub first: String,
    /// `seq:row` of the last one.
    pub last: String,
    /// Key of the last one; empty for a table without.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Why.
    pub reason: String,
    /// When the last one was met, in milliseconds since 1970.
    pub last_ms: i64,
}

/// The exceptions of a delivery.
#[derive(Debug, Default)]
pub(super) struct Exceptions(Mutex<BTreeMap<(String, Fate), Exception>>);

impl Exceptions {
    /// Counts a row; true for the first one of its table and fate.
    pub(super) fn add(&self, table: &str, fate: Fate, place: (u64, u32), key: &str, reason: &str) -> bool {
        let mut tables = lock(&self.0);
        let full = tables.len() >= TABLES_MAX && !tables.contains_key(&(table.to_owned(), fate));
        let table = if full { OTHERS } else { table };
        let place = format!("{}:{}", place.0, place.1);
        let known = tables.entry((table.to_owned(), fate)).or_insert_with(|| Exception {
            table: table.to_owned(),
            fate,
            records: 0,
            first: place.clone(),
            last: String::new(),
            key: String::new(),
            reason: String::new(),
            last_ms: 0,
        });
        known.records += 1;
        (known.last, known.key, known.reason) = (place, key.to_owned(), reason.to_owned());
        known.last_ms = now_ms();
        known.records == 1
    }

    /// All of them, by table.
    pub(super) fn all(&self) -> Vec<Exception> {
        lock(&self.0).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_and_fate_is_told_once_and_counted() {
        let exceptions = Exceptions::default();
        assert!(exceptions.add("shop.orders", Fate::Skipped, (7, 3), "{\"id\":\"1\"}", "large"));
        assert!(!exceptions.add("shop.orders", Fate::Skipped, (9, 0), "", "larger"));
        assert!(exceptions.add("shop.orders", Fate::DeadLetter, (9, 1), "", "script"));
        let all = exceptions.all();
        assert_eq!((all.len(), all[0].records, &*all[0].first, &*all[0].last), (2, 2, "7:3", "9:0"));
        assert_eq!(all[0].reason, "larger");
        for table in 0..2 * TABLES_MAX {
            exceptions.add(&format!("shop.t{table}"), Fate::Skipped, (1, 0), "", "large");
        }
        let all = exceptions.all();
        assert_eq!(all.len(), TABLES_MAX + 1);
        assert_eq!(all.iter().map(|e| e.records).sum::<u64>(), 3 + 2 * TABLES_MAX as u64);
    }

    #[test]
    fn fates_have_their_numbers_and_names() {
        for (number, fate) in Fate::ALL.into_iter().enumerate() {
            assert_eq!(fate as usize, number);
            assert_eq!(serde_json::to_value(fate).unwrap(), fate.name());
        }
    }
}
