//! Where an encoder puts its records: batches closed by count and bytes, handed over in order, their memory reused.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use relay_store::Seq;
use tokio::sync::mpsc;

use crate::sink::Batch;

/// A batch is handed over once it holds this much; one record can make it larger.
pub const BATCH_BYTES: usize = 512 << 10;
/// Or so many records.
pub const BATCH_RECORDS: usize = 4096;
/// Batches of one block that may wait to be delivered. A block that makes more waits in the encoder.
pub(super) const BATCHES_WAITING: usize = 2;
/// Empty batches kept for reuse, and the most memory that one of them may hold on to.
const POOL_BATCHES: usize = 8;
const POOLED_BYTES_MAX: usize = 4 * BATCH_BYTES;

/// Batches to be used again: a fresh buffer of half a megabyte costs its page faults every time.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Vec<Batch>>>);

impl Pool {
    pub(super) fn take(&self) -> Batch {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    pub(super) fn give(&self, mut batch: Batch) {
        if batch.bytes.capacity() > POOLED_BYTES_MAX {
            return;
        }
        batch.clear();
        let mut pool = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOL_BATCHES {
            pool.push(batch);
        }
    }
}

/// The delivery no longer wants the records: encoding stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// Takes one block's records. Used on a thread that may block.
pub struct Outlet {
    batch: Batch,
    to: mpsc::Sender<Batch>,
    pool: Pool,
    /// Transactions that end in the block and are not covered yet, as [`Batch::commits`] holds them.
    commits: VecDeque<(Seq, u64)>,
    /// Set once something of the block cannot be delivered: what follows is looked at, not sent.
    muted: bool,
}

impl Outlet {
    pub(super) fn new(to: mpsc::Sender<Batch>, pool: Pool) -> Self {
        Self { batch: pool.take(), to, pool, commits: VecDeque::new(), muted: false }
    }

    /// A transaction of the block ends at `last`; told in order, before anything is covered. The batch that covers its
    /// end says so.
    pub fn expect_commit(&mut self, last: Seq, time_us: u64) {
        self.commits.push_back((last, time_us));
    }

    /// The batch being filled.
    pub fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Everything up to `seq` is in this batch or an earlier one. Hands the batch over when it is large enough.
    ///
    /// # Errors
    /// [`Gone`] when nobody takes it.
    pub fn covered(&mut self, seq: Seq) -> Result<(), Gone> {
        if self.batch.first == Seq::ZERO {
            self.batch.first = seq;
        }
        self.batch.last = seq;
        while let Some(commit) = self.commits.pop_front_if(|&mut (last, _)| last <= seq) {
            self.batch.commits.push(commit);
        }
        self.hand_over_when_full().map(drop)
    }

    /// Hands the batch over when it is large enough, also in the middle of an entry, and says whether it did.
    ///
    /// # Errors
    /// [`Gone`] when nobody takes it.
    pub fn hand_over_when_full(&mut self) -> Result<bool, Gone> {
        let full = self.batch.bytes.len() >= BATCH_BYTES || self.batch.records.len() >= BATCH_RECORDS;
        if full {
            self.hand_over()?;
        }
        Ok(full)
    }

    /// From now on records are dropped: something before them cannot be delivered.
    pub fn mute(&mut self) {
        self.muted = true;
        self.batch.clear();
    }

    pub(super) fn finish(mut self) -> Result<(), Gone> {
        if self.batch.last != Seq::ZERO || !self.batch.records.is_empty() {
            self.hand_over()?;
        }
        self.pool.give(std::mem::take(&mut self.batch));
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), Gone> {
        if self.muted {
            self.batch.clear();
            return Ok(());
        }
        let (last, next) = (self.batch.last, self.pool.take());
        let batch = std::mem::replace(&mut self.batch, next);
        // The next one goes on where this one ended, also when that was in the middle of an entry.
        self.batch.last = last;
        self.batch.first = last;
        self.to.blocking_send(batch).map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::batch::tests::batch;

    fn outlet() -> (Outlet, mpsc::Receiver<Batch>) {
        let (to, from) = mpsc::channel(100);
        (Outlet::new(to, Pool::default()), from)
    }

    #[test]
    fn a_batch_closes_by_count_or_bytes_and_the_rest_at_the_end() {
        let (mut outlet, mut from) = outlet();
        for seq in 1..=BATCH_RECORDS as u64 + 1 {
            let record = batch(seq, &["x"]).records[0];
            outlet.batch().records.push(record);
            outlet.covered(Seq(seq)).expect("taken");
        }
        outlet.batch().bytes.resize(BATCH_BYTES, 0);
        outlet.covered(Seq(9000)).expect("taken");
        outlet.covered(Seq(9001)).expect("taken");
        outlet.finish().expect("taken");
        let mut lasts = Vec::new();
        while let Ok(batch) = from.try_recv() {
            lasts.push((batch.last.0, batch.records.len()));
        }
        assert_eq!(lasts, [(BATCH_RECORDS as u64, BATCH_RECORDS), (9000, 1), (9001, 0)]);
    }

    #[test]
    fn a_batch_cut_inside_an_entry_covers_only_the_entries_before() {
        let (mut outlet, mut from) = outlet();
        outlet.covered(Seq(4)).expect("taken");
        outlet.batch().bytes.resize(BATCH_BYTES, 0);
        outlet.hand_over_when_full().expect("taken");
        outlet.batch().records.push(batch(5, &["x"]).records[0]);
        outlet.covered(Seq(5)).expect("taken");
        outlet.finish().expect("taken");
        assert_eq!(from.try_recv().expect("first").last, Seq(4));
        assert_eq!(from.try_recv().expect("second").last, Seq(5));
    }

    #[test]
    fn each_batch_says_which_transactions_end_in_it() {
        let (mut outlet, mut from) = outlet();
        for (last, time_us) in [(2, 20), (5, 50), (9, 90)] {
            outlet.expect_commit(Seq(last), time_us);
        }
        for (seq, full) in [(1, false), (4, true), (5, true), (9, false)] {
            outlet.batch().bytes.resize(if full { BATCH_BYTES } else { 1 }, 0);
            outlet.covered(Seq(seq)).expect("taken");
        }
        outlet.finish().expect("taken");
        let mut commits = Vec::new();
        while let Ok(batch) = from.try_recv() {
            commits.push((batch.last.0, batch.commits));
        }
        assert_eq!(commits, [(4, vec![(Seq(2), 20)]), (5, vec![(Seq(5), 50)]), (9, vec![(Seq(9), 90)])]);
    }

    #[test]
    fn nothing_leaves_after_it_was_muted() {
        let (mut outlet, mut from) = outlet();
        outlet.covered(Seq(1)).expect("taken");
        outlet.mute();
        outlet.covered(Seq(2)).expect("dropped");
        outlet.finish().expect("dropped");
        assert!(from.try_recv().is_err());
    }

    #[test]
    fn an_encoder_learns_that_nobody_listens() {
        let (outlet, from) = outlet();
        drop(from);
        let mut outlet = outlet;
        outlet.covered(Seq(1)).expect("not full yet");
        assert_eq!(outlet.finish(), Err(Gone));
    }
}
