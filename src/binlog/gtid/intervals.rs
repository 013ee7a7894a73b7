//! Transaction numbers of one source as ranges: sorted, disjoint, never touching.

/// A set of positive transaction numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Intervals {
    /// Half-open `(start, end)`, rising, with a gap between any two.
    ranges: Vec<(i64, i64)>,
}

impl Intervals {
    /// Adds `start..end`. Adding the number after the last one, the ordinary case, moves one bound.
    pub fn add(&mut self, start: i64, end: i64) {
        if start >= end {
            return;
        }
        if let Some(last) = self.ranges.last_mut()
            && last.1 == start
        {
            last.1 = end;
            return;
        }
        // All ranges that overlap or touch the new one become one with it.
        let first = self.ranges.partition_point(|r| r.1 < start);
        let past = self.ranges.partition_point(|r| r.0 <= end);
        if first == past {
            self.ranges.insert(first, (start, end));
        } else {
            let merged = (start.min(self.ranges[first].0), end.max(self.ranges[past - 1].1));
            self.ranges[first] = merged;
            self.ranges.drain(first + 1..past);
        }
    }

    /// Takes `start..end` away.
    pub fn remove(&mut self, start: i64, end: i64) {
        if start >= end {
            return;
        }
        let first = self.ranges.partition_point(|r| r.1 <= start);
        let past = self.ranges.partition_point(|r| r.0 < end);
        if first >= past {
            return;
        }
        let left = (self.ranges[first].0, start);
        let right = (end, self.ranges[past - 1].1);
        self.ranges.splice(first..past, [left, right].into_iter().filter(|r| r.0 < r.1));
    }

    /// Whether `n` is in it.
    pub fn contains(&self, n: i64) -> bool {
        let at = self.ranges.partition_point(|r| r.1 <= n);
        self.ranges.get(at).is_some_and(|r| r.0 <= n)
    }

    /// Whether every number is in `other` too.
    pub fn is_subset(&self, other: &Intervals) -> bool {
        self.ranges.iter().all(|r| {
            let at = other.ranges.partition_point(|o| o.1 <= r.0);
            other.ranges.get(at).is_some_and(|o| o.0 <= r.0 && r.1 <= o.1)
        })
    }

    /// Whether there is no number.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers there are.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|r| r.0.abs_diff(r.1)).sum()
    }

    /// Half-open ranges, rising.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (i64, i64)> + '_ {
        self.ranges.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::collections::BTreeSet;

    #[test]
    fn behaves_like_a_set_of_numbers() {
        for seed in 0..200 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut set, mut model) = (Intervals::default(), BTreeSet::new());
            for _ in 0..60 {
                let start = rng.random_range(1..60);
                let end = start + rng.random_range(0..8);
                if rng.random_bool(0.6) {
                    set.add(start, end);
                    model.extend(start..end);
                } else {
                    set.remove(start, end);
                    model.retain(|n| !(start..end).contains(n));
                }
                let flat: Vec<i64> = set.iter().flat_map(|(a, b)| a..b).collect();
                assert_eq!(flat, model.iter().copied().collect::<Vec<_>>(), "seed {seed}");
                assert!(set.ranges.windows(2).all(|w| w[0].1 < w[1].0), "seed {seed}");
                assert_eq!(set.count(), model.len() as u64);
                assert!((0..70).all(|n| set.contains(n) == model.contains(&n)), "seed {seed}");
                let mut more = set.clone();
                more.add(start, end);
                assert!(set.is_subset(&more));
                assert_eq!(more.is_subset(&set), (start..end).all(|n| model.contains(&n)), "seed {seed}");
            }
        }
    }
}
