//! A batch taken in parts: each one is a batch of its own that covers what its records complete. Copies, so it is
//! for deliveries that are held to a rate. Pure.

use relay_store::Seq;

use crate::sink::{Batch, Operation, Record};

/// What a record counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Weight {
    /// Row changes; a split one counts with its first half, a tombstone and a statement not at all.
    pub(super) rows: u64,
    /// Bytes of key and value.
    pub(super) bytes: u64,
}

impl Weight {
    pub(super) fn of(record: &Record) -> Self {
        let length = |span: Option<crate::sink::Span>| span.map_or(0, |span| span.len() as u64);
        let is_row = record.value.is_some() && !matches!(record.operation, Operation::UpdateAfter | Operation::Ddl);
        Self { rows: u64::from(is_row), bytes: length(record.key) + length(record.value) }
    }
}

impl std::ops::AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

/// What is left of a batch.
#[derive(Debug)]
pub(super) struct Parts {
    batch: Batch,
    /// Records, commits and rows that earlier parts took, and how far they cover.
    records: usize,
    commits: usize,
    rows: u64,
    covered: Seq,
    done: bool,
}

impl Parts {
    pub(super) fn new(batch: Batch) -> Self {
        let covered = batch.first.prev();
        Self { batch, records: 0, commits: 0, rows: 0, covered, done: false }
    }

    /// The records that no part has taken yet.
    pub(super) fn left(&self) -> &[Record] {
        &self.batch.records[self.records..]
    }

    /// How many of them complete the first one's entry; all, when it goes on in the next batch.
    pub(super) fn to_entry_end(&self) -> usize {
        self.left().iter().position(|record| record.ends_entry).map_or(self.left().len(), |last| last + 1)
    }

    /// Whether every part was taken.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The next `count` records, or all that is left. The last part covers the entries behind its records too. A batch
    /// that is taken whole is not copied.
    pub(super) fn take(&mut self, count: usize) -> Batch {
        let (from, end) = (self.records, self.batch.records.len().min(self.records.saturating_add(count)));
        let ends = end == self.batch.records.len();
        self.records = end;
        self.done = ends;
        if ends && from == 0 {
            return std::mem::take(&mut self.batch);
        }
        let mut part = Batch { first: if from == 0 { self.batch.first } else { self.covered }, ..Batch::default() };
        self.copy(from..end, &mut part);
        if ends {
            self.covered = self.batch.last;
            part.rows = self.batch.rows.saturating_sub(self.rows);
        } else if let Some(last) = self.batch.records[..end].last() {
            let seq = self.batch.event_of(last).seq;
            self.covered = self.covered.max(if last.ends_entry { seq } else { seq.prev() });
        }
        self.rows += part.rows;
        part.last = self.covered;
        let commits = &self.batch.commits[self.commits..];
        let covered = commits.iter().take_while(|(last, _)| ends || *last <= part.last).count();
        part.commits.extend_from_slice(&commits[..covered]);
        self.commits += covered;
        part
    }

    /// The batch's memory, once every part was taken.
    pub(super) fn into_batch(self) -> Batch {
        self.batch
    }

    fn copy(&self, records: std::ops::Range<usize>, part: &mut Batch) {
        let whole = &self.batch;
        let mut event = None;
        for record in &whole.records[records] {
            if event != Some(record.event) {
                event = Some(record.event);
                let of = whole.event_of(record);
                let (gtid, position) = (part.push_bytes(whole.get(of.gtid)), part.push_bytes(whole.get(of.position)));
                part.events.push(crate::sink::Event { gtid, position, ..of.clone() });
            }
            part.rows += Weight::of(record).rows;
            let key = record.key.map(|span| part.push_bytes(whole.get(span)));
            let value = record.value.map(|span| part.push_bytes(whole.get(span)));
            let note = part.copy_note(whole, record);
            let event = u32::try_from(part.events.len() - 1).unwrap_or(u32::MAX);
            part.records.push(Record { event, key, value, note, ..*record });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::batch::tests::batch;

    fn texts(batch: &Batch) -> Vec<(u64, String)> {
        let text = |r: &Record| String::from_utf8(batch.get(r.value.expect("a value")).to_vec()).expect("text");
        batch.records.iter().map(|r| (batch.event_of(r).seq.0, text(r))).collect()
    }

    #[test]
    fn parts_hold_every_record_once_and_cover_what_they_complete() {
        let mut whole = batch(5, &["a", "b", "c", "d"]);
        // Entry 6 has two records; the last entry of the batch made none.
        whole.records[2].event = 1;
        whole.records[1].ends_entry = false;
        (whole.last, whole.rows) = (Seq(9), 4);
        whole.commits = vec![(Seq(5), 50), (Seq(6), 60), (Seq(9), 90)];
        let mut parts = Parts::new(whole);
        let first = parts.take(2);
        assert_eq!(texts(&first), [(5, "a".to_owned()), (6, "b".to_owned())]);
        assert_eq!((first.first, first.last, first.rows), (Seq(5), Seq(5), 2), "entry 6 goes on in the next part");
        assert_eq!(first.commits, [(Seq(5), 50)]);
        let second = parts.take(1);
        assert_eq!((second.last, second.commits.clone()), (Seq(6), vec![(Seq(6), 60)]));
        assert!(!parts.is_done());
        let third = parts.take(100);
        assert_eq!(texts(&third), [(8, "d".to_owned())]);
        assert_eq!((third.last, third.rows, third.commits.clone()), (Seq(9), 1, vec![(Seq(9), 90)]));
        assert_eq!(third.get(third.events[0].position), b"binlog.000001:4");
        assert!(parts.is_done());
    }

    #[test]
    fn a_batch_without_records_is_one_part() {
        let mut whole = batch(5, &[]);
        whole.last = Seq(8);
        let mut parts = Parts::new(whole);
        assert_eq!(parts.take(0).last, Seq(8));
        assert!(parts.is_done());
    }

    #[test]
    fn a_row_counts_once_however_many_records_tell_of_it() {
        let mut whole = batch(1, &["abc", "de"]);
        whole.records[0].operation = Operation::UpdateBefore;
        whole.records[1].operation = Operation::UpdateAfter;
        let weights: Vec<_> = whole.records.iter().map(Weight::of).collect();
        assert_eq!(weights, [Weight { rows: 1, bytes: 3 }, Weight { rows: 0, bytes: 2 }]);
        let tombstone = Record { value: None, operation: Operation::Delete, ..whole.records[0] };
        assert_eq!(Weight::of(&tombstone).rows, 0);
    }
}
