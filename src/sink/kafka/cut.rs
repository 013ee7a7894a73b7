//! Where Kafka transactions end. Pure.
//!
//! They end where a source transaction ends, and hold several while more are at hand: the end of one costs the cluster
//! some round trips, whatever it holds. One that alone is larger than `max_records` is split at an entry's end.

use std::time::Duration;

use relay_store::Seq;
use tokio::time::Instant;

/// A transaction with this much in it ends at the next end of a source transaction.
const BYTES_MAX: usize = 8 << 20;
/// Or when it is this old: as long as consumers may have to wait for records that are there.
const AGE_MAX: Duration = Duration::from_millis(100);

/// What is in the open transaction, and how far it reaches.
#[derive(Debug)]
pub(super) struct Cut {
    records_max: usize,
    records: usize,
    bytes: usize,
    /// Records of a source transaction whose end is not seen yet.
    of_open_source: usize,
    begun: Option<Instant>,
    /// The position that belongs to what was sent: everything up to it, and nothing behind it.
    reached: Seq,
}

impl Cut {
    pub(super) fn new(records_max: usize, reached: Seq) -> Self {
        Self { records_max, records: 0, bytes: 0, of_open_source: 0, begun: None, reached }
    }

    /// A record was sent.
    pub(super) fn record(&mut self, bytes: usize) {
        self.begun.get_or_insert_with(Instant::now);
        self.records += 1;
        self.of_open_source += 1;
        self.bytes += bytes;
    }

    /// A record was sent that belongs to no source transaction.
    pub(super) fn apart(&mut self, bytes: usize) {
        self.begun.get_or_insert_with(Instant::now);
        self.records += 1;
        self.bytes += bytes;
    }

    /// All records of an entry were sent. Says whether the transaction must end there although its source transaction
    /// goes on.
    pub(super) fn entry_ended(&mut self, seq: Seq) -> bool {
        let split = self.of_open_source >= self.records_max;
        if split {
            self.source_ended(seq);
        }
        split
    }

    /// A source transaction ended, or was split here.
    pub(super) fn source_ended(&mut self, seq: Seq) {
        self.of_open_source = 0;
        self.reached = self.reached.max(seq);
    }

    /// Everything up to `seq` was looked at. When nothing of an open source transaction was sent, that is as good a
    /// place as its beginning.
    pub(super) fn passed(&mut self, seq: Seq) {
        if self.is_whole() {
            self.reached = self.reached.max(seq);
        }
    }

    /// Whether the transaction should end here; `more` says that records follow at once.
    pub(super) fn is_due(&self, more: bool) -> bool {
        !self.is_empty()
            && self.is_whole()
            && (!more
                || self.records >= self.records_max
                || self.bytes >= BYTES_MAX
                || self.begun.is_some_and(|begun| begun.elapsed() >= AGE_MAX))
    }

    /// Whether it holds whole source transactions.
    pub(super) fn is_whole(&self) -> bool {
        self.of_open_source == 0
    }

    /// Whether nothing was sent since the last one.
    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// See the field.
    pub(super) fn reached(&self) -> Seq {
        self.reached
    }

    /// The transaction was committed; the next one is empty.
    pub(super) fn committed(&mut self) {
        (self.records, self.bytes, self.begun) = (0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_no_source_transaction_waits_for_none() {
        let mut cut = Cut::new(100, Seq(4));
        cut.apart(10);
        assert!(cut.is_whole() && cut.is_due(false) && !cut.is_due(true));
        assert_eq!(cut.reached(), Seq(4), "it moves no position");
        cut.record(10);
        assert!(!cut.is_due(false), "it goes with the transaction that is open");
    }

    /// Entries of so many records each, from seq 1 on; gives the seqs at which it was split.
    fn send(cut: &mut Cut, first: u64, entries: &[usize]) -> Vec<u64> {
        let mut splits = Vec::new();
        for (seq, &records) in (first..).zip(entries) {
            (0..records).for_each(|_| cut.record(10));
            if cut.entry_ended(Seq(seq)) {
                splits.push(seq);
                cut.committed();
            }
        }
        splits
    }

    #[test]
    fn source_transactions_up_to_the_limit_are_never_split() {
        let mut cut = Cut::new(100, Seq::ZERO);
        assert_eq!(send(&mut cut, 1, &[60]), [0; 0]);
        cut.source_ended(Seq(2));
        assert!(!cut.is_due(true) && cut.is_due(false));
        // The second one does not fit beside the first, and goes with it all the same.
        assert_eq!(send(&mut cut, 3, &[50, 49]), [0; 0]);
        assert!(!cut.is_due(false), "it is open");
        cut.source_ended(Seq(5));
        assert!(cut.is_due(true));
        assert_eq!(cut.reached(), Seq(5));
        cut.committed();
        assert!(cut.is_empty() && !cut.is_due(false));
    }

    #[test]
    fn a_larger_one_is_split_at_the_ends_of_entries() {
        let mut cut = Cut::new(100, Seq::ZERO);
        assert_eq!(send(&mut cut, 1, &[40, 40, 40, 40, 200, 40]), [3, 5]);
        assert_eq!(cut.reached(), Seq(5));
        assert!(!cut.is_due(false), "its rest is not whole");
        cut.source_ended(Seq(7));
        assert!(cut.is_due(false));
    }

    #[test]
    fn entries_without_records_move_the_position_only_between_source_transactions() {
        let mut cut = Cut::new(100, Seq(4));
        cut.passed(Seq(9));
        assert_eq!(cut.reached(), Seq(9));
        send(&mut cut, 10, &[1]);
        cut.passed(Seq(12));
        assert_eq!(cut.reached(), Seq(9));
        cut.source_ended(Seq(13));
        cut.passed(Seq(15));
        assert_eq!(cut.reached(), Seq(15));
        cut.passed(Seq(2));
        assert_eq!(cut.reached(), Seq(15), "never back");
    }

    #[tokio::test(start_paused = true)]
    async fn age_and_bytes_end_it_while_more_comes() {
        let mut cut = Cut::new(1000, Seq::ZERO);
        cut.record(10);
        cut.source_ended(Seq(1));
        assert!(!cut.is_due(true));
        tokio::time::advance(AGE_MAX).await;
        assert!(cut.is_due(true));
        cut.committed();
        cut.record(BYTES_MAX);
        assert!(!cut.is_due(true), "inside a source transaction");
        cut.source_ended(Seq(2));
        assert!(cut.is_due(true));
    }
}
