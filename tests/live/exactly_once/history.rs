//! What a reader of committed records must have seen: each change once, in order by key, in whole transactions, and
//! nothing else. Knows nothing of the relay.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::kafka::Record;

/// A change of a row: its key, and which version of the row it made.
pub type Change = (u64, u64);

/// A change as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub partition: i32,
    pub change: Change,
    /// The source transaction that made it.
    pub transaction: u64,
}

/// What was committed at the source: the transaction of each change.
#[derive(Debug, Clone, Default)]
pub struct Committed(pub BTreeMap<Change, u64>);

/// The first thing that is wrong with a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// A change came again.
    Twice(Change),
    /// A change is of no committed transaction.
    Foreign(Change),
    /// A change came behind a later one of its key, or in another partition.
    OutOfOrder(Change),
    /// A change did not come.
    Missing(Change),
    /// A transaction is there in part.
    Torn(u64),
}

/// Reads what `kcat` printed: the row's `id`, `v` and `tx` of Canal JSON.
pub fn seen(records: &[Record]) -> Vec<Seen> {
    let number = |row: &serde_json::Value, name: &str| -> u64 {
        row[name].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {name} in {row}"))
    };
    let mut seen = Vec::with_capacity(records.len());
    for record in records {
        let value: serde_json::Value = serde_json::from_str(&record.value).expect("JSON");
        let row = &value["data"][0];
        let change = (number(row, "id"), number(row, "v"));
        seen.push(Seen { partition: record.partition, change, transaction: number(row, "tx") });
    }
    seen
}

impl Committed {
    /// Judges what was read so far: nothing twice, foreign, out of order, or torn.
    pub fn judge_so_far(&self, seen: &[Seen]) -> Result<(), Wrong> {
        let mut known = BTreeSet::new();
        let mut newest: BTreeMap<u64, (i32, u64)> = BTreeMap::new();
        let mut rows: BTreeMap<u64, usize> = BTreeMap::new();
        for record in seen {
            let (key, version) = record.change;
            if self.0.get(&record.change) != Some(&record.transaction) {
                return Err(Wrong::Foreign(record.change));
            }
            if !known.insert(record.change) {
                return Err(Wrong::Twice(record.change));
            }
            let (partition, last) = newest.entry(key).or_insert((record.partition, 0));
            if *partition != record.partition || version <= *last {
                return Err(Wrong::OutOfOrder(record.change));
            }
            *last = version;
            *rows.entry(record.transaction).or_default() += 1;
        }
        let mut expected: BTreeMap<u64, usize> = BTreeMap::new();
        self.0.values().for_each(|transaction| *expected.entry(*transaction).or_default() += 1);
        let torn = rows.iter().find(|(transaction, rows)| expected.get(transaction) != Some(rows));
        torn.map_or(Ok(()), |(transaction, _)| Err(Wrong::Torn(*transaction)))
    }

    /// Judges all that is to come: the same, and nothing missing.
    pub fn judge(&self, seen: &[Seen]) -> Result<(), Wrong> {
        let known: BTreeSet<Change> = seen.iter().map(|record| record.change).collect();
        // Said first: what is missing also tears its transaction.
        let twice = self.judge_so_far(seen);
        match self.0.keys().find(|change| !known.contains(change)) {
            Some(missing) if !matches!(twice, Err(Wrong::Twice(_) | Wrong::Foreign(_))) => {
                Err(Wrong::Missing(*missing))
            }
            _ => twice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three transactions: two rows made, one of them changed together with a third, the first changed again.
    fn committed() -> Committed {
        Committed(BTreeMap::from([((1, 1), 1), ((2, 1), 1), ((2, 2), 2), ((3, 1), 2), ((1, 2), 3)]))
    }

    fn whole() -> Vec<Seen> {
        let at = |partition, change, transaction| Seen { partition, change, transaction };
        vec![at(0, (1, 1), 1), at(1, (2, 1), 1), at(1, (2, 2), 2), at(0, (3, 1), 2), at(0, (1, 2), 3)]
    }

    #[test]
    fn a_right_history_is_accepted_in_whole_and_up_to_a_transaction() {
        assert_eq!(committed().judge(&whole()), Ok(()));
        assert_eq!(committed().judge_so_far(&whole()[..4]), Ok(()));
        assert_eq!(committed().judge(&whole()[..4]), Err(Wrong::Missing((1, 2))));
    }

    #[test]
    fn every_wrong_history_is_refused() {
        let wrong = |change: fn(&mut Vec<Seen>)| {
            let mut seen = whole();
            change(&mut seen);
            committed().judge(&seen).expect_err("it is wrong")
        };
        assert_eq!(wrong(|seen| seen.push(seen[4])), Wrong::Twice((1, 2)));
        assert_eq!(wrong(|seen| seen.insert(1, seen[0])), Wrong::Twice((1, 1)));
        assert_eq!(wrong(|seen| seen.retain(|record| record.change != (2, 2))), Wrong::Missing((2, 2)));
        assert_eq!(wrong(|seen| seen.swap(1, 2)), Wrong::OutOfOrder((2, 1)));
        assert_eq!(wrong(|seen| seen[4].partition = 1), Wrong::OutOfOrder((1, 2)));
        // Rows that the source rolled back, or of another transaction.
        assert_eq!(wrong(|seen| seen[4].change = (1, 3)), Wrong::Foreign((1, 3)));
        assert_eq!(wrong(|seen| seen[4].transaction = 2), Wrong::Foreign((1, 2)));
        assert_eq!(committed().judge_so_far(&whole()[..3]), Err(Wrong::Torn(2)));
    }

    #[test]
    fn records_are_read_as_kcat_prints_them() {
        let record = Record {
            partition: 3,
            offset: 0,
            timestamp_ms: 0,
            key: String::new(),
            headers: Vec::new(),
            value: r#"{"data":[{"id":"7","v":"2","tx":"9","fill":"x"}]}"#.to_owned(),
        };
        assert_eq!(seen(&[record]), [Seen { partition: 3, change: (7, 2), transaction: 9 }]);
    }
}
