//! What was handed to the sink and not acked yet: turns a moving ack into counters and latencies. Pure.

use std::collections::VecDeque;

use relay_store::Seq;

use crate::sink::Batch;

/// Transactions whose latency is remembered until their ack, at most; beyond that the oldest batch's are counted
/// only. Bounds the memory of a long outage with tiny transactions.
const COMMITS_MAX: usize = 100_000;

#[derive(Debug)]
struct Outstanding {
    last: Seq,
    rows: u64,
    records: u64,
    bytes: u64,
    commits: Vec<(Seq, u64)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    batches: VecDeque<Outstanding>,
    records: u64,
    bytes: u64,
    commits: usize,
}

/// What an ack covered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) rows: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) transactions: u64,
    /// Commit times of the transactions, microseconds; some may be missing.
    pub(super) commits_us: Vec<u64>,
}

impl Ledger {
    /// The batch is handed over. True when nothing was outstanding before.
    pub(super) fn add(&mut self, batch: &Batch) -> bool {
        let first = self.batches.is_empty();
        let (records, bytes) = (batch.records.len() as u64, batch.bytes.len() as u64);
        self.records += records;
        self.bytes += bytes;
        self.commits += batch.commits.len();
        let commits = batch.commits.clone();
        self.batches.push_back(Outstanding { last: batch.last, rows: batch.rows, records, bytes, commits });
        first
    }

    /// The last seq handed over, while anything is outstanding.
    pub(super) fn newest(&self) -> Option<Seq> {
        self.batches.back().map(|batch| batch.last)
    }

    /// Records and bytes outstanding, by whole batches.
    pub(super) fn in_flight(&self) -> (u64, u64) {
        (self.records, self.bytes)
    }

    /// Takes out what the ack covers whole.
    pub(super) fn settle(&mut self, acked: Seq) -> Settled {
        let mut settled = Settled::default();
        while self.batches.front().is_some_and(|batch| batch.last <= acked) {
            let Some(batch) = self.batches.pop_front() else { break };
            settled.rows += batch.rows;
            settled.records += batch.records;
            settled.bytes += batch.bytes;
            settled.transactions += batch.commits.len() as u64;
            if self.commits <= COMMITS_MAX {
                settled.commits_us.extend(batch.commits.iter().map(|&(_, time)| time));
            }
            self.commits -= batch.commits.len();
        }
        self.records -= settled.records;
        self.bytes -= settled.bytes;
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::batch::tests::batch;

    #[test]
    fn an_ack_settles_the_batches_it_covers_whole() {
        let mut ledger = Ledger::default();
        let mut first = batch(1, &["a", "b"]);
        first.rows = 2;
        first.commits = vec![(Seq(2), 1_000)];
        assert!(ledger.add(&first));
        assert!(!ledger.add(&batch(3, &["c"])));
        assert_eq!(ledger.in_flight().0, 3);
        assert_eq!(ledger.settle(Seq(1)), Settled::default());
        let settled = ledger.settle(Seq(2));
        assert_eq!((settled.rows, settled.records, settled.transactions), (2, 2, 1));
        assert_eq!(settled.commits_us, [1_000]);
        assert_eq!(ledger.newest(), Some(Seq(3)));
        ledger.settle(Seq(9));
        assert_eq!((ledger.newest(), ledger.in_flight()), (None, (0, 0)));
    }
}
