//! What a writer remembers of the tables that it writes: the bytes that are the same for every row of one.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Most tables remembered; all are forgotten when there are more, and made again as they come.
pub(super) const TABLES_MAX: usize = 8192;

/// What is remembered of each table, by its plan.
#[derive(Debug)]
pub(super) struct Tables<K, T> {
    known: HashMap<K, Arc<T>>,
    /// The table written last: most rows are followed by rows of the same.
    last: Option<(K, Arc<T>)>,
}

impl<K, T> Default for Tables<K, T> {
    fn default() -> Self {
        Self { known: HashMap::new(), last: None }
    }
}

impl<K: Copy + Eq + Hash, T> Tables<K, T> {
    /// What is remembered of a table, made when it is nothing; [`give_back`](Self::give_back) spares the next row the
    /// search.
    pub(super) fn take(&mut self, table: K, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some((_, last)) = self.last.take_if(|(last, _)| *last == table) {
            return last;
        }
        if self.known.len() >= TABLES_MAX {
            self.known.clear();
        }
        Arc::clone(self.known.entry(table).or_insert_with(|| Arc::new(make())))
    }

    /// The table was written.
    pub(super) fn give_back(&mut self, table: K, parts: Arc<T>) {
        self.last = Some((table, parts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_made_once_until_too_many_are_known() {
        let mut tables = Tables::default();
        let mut made = 0;
        let mut write = |table: usize| {
            let parts = tables.take(table, || {
                made += 1;
                table
            });
            assert_eq!(*parts, table);
            tables.give_back(table, parts);
            made
        };
        assert_eq!([write(1), write(1), write(2), write(1), write(2)], [1, 1, 2, 2, 2]);
        for table in 3..=TABLES_MAX {
            write(table);
        }
        assert_eq!(write(TABLES_MAX + 1), TABLES_MAX + 1, "beyond the most, all are forgotten");
        assert_eq!(write(1), TABLES_MAX + 2);
    }
}
