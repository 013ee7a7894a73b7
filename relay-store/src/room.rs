//! Room on the disk, looked at before each group: the floor that entries leave free, what happens when it is reached, and
//! the transaction that alone does not fit.

use crate::block::Closed;
use crate::disk;
use crate::durable::lock;
use crate::meta::catalogue::SegmentState;
use crate::options::Retention;
use crate::queue::SealedBlock;
use crate::seq::Seq;
use crate::stats::{DiskFull, Oversized};
use crate::writer::{GroupError, META_BYTES, Writer};

/// The largest group that may go below the floor: one that only ends a transaction, so that retention can go on.
const CLOSING_BYTES_MAX: u64 = 64 << 10;

/// What a group puts on the disk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    /// In the segment, and in meta beyond the mark and the cursors.
    pub bytes: u64,
    /// It holds no entry of the caller's: it says how a transaction ended, or is of cursors and checkpoints alone.
    pub closes: bool,
}

impl Writer {
    /// Free bytes that entries may not take: the configured floor, and what sled needs to go on. What the ballast gave
    /// back is not theirs either.
    pub(crate) fn floor(&self, policy: &Retention) -> u64 {
        let kept_back = if self.ballast.present { 0 } else { self.ballast.bytes };
        policy.disk_free_min.max(2 * self.ballast.bytes).max(2 * META_BYTES).saturating_add(kept_back)
    }

    /// Looks before a group is written. IMPORTANT: sled must never meet a full disk, its handle is dead then.
    pub(crate) fn ensure_room(&mut self, load: Load) -> Result<(), GroupError> {
        let policy = lock(&self.shared.retention).clone();
        let floor = self.floor(&policy);
        let small = load.closes && load.bytes <= CLOSING_BYTES_MAX;
        let needed = match self.barred() {
            _ if small => META_BYTES + load.bytes,
            // Strictly more than what was not enough.
            Some(bytes) => floor.saturating_add(load.bytes.max(bytes + 1)),
            None => floor.saturating_add(load.bytes),
        };
        let mut free = disk::free_bytes(&self.shared.dir)?;
        if free < needed {
            // Trimming makes a batch of its own.
            self.settle()?;
        }
        if free < needed && self.ballast.present && free < 2 * self.ballast.bytes {
            // Before the trim: that needs room in meta too.
            self.ballast.release()?;
            free = disk::free_bytes(&self.shared.dir)?;
        }
        if free < needed {
            self.trim(&policy, free, needed)?;
            free = disk::free_bytes(&self.shared.dir)?;
        }
        if free >= needed {
            if !small && self.barred().is_some() {
                self.oversized = None;
            }
            return Ok(());
        }
        self.name_oversized(load.bytes);
        let mut disk_full = lock(&self.shared.counters.disk_full);
        if disk_full.is_none() {
            let dir = self.shared.dir.display();
            tracing::error!(%dir, free, needed, "the disk is full: nothing is appended until there is room");
        }
        *disk_full = Some(DiskFull { free_bytes: free, needed_bytes: needed, oversized: self.oversized });
        Err(GroupError::Full)
    }

    pub(crate) fn leave_full(&mut self) {
        *lock(&self.shared.counters.disk_full) = None;
        self.shared.queue.set_full(false);
        tracing::info!(dir = %self.shared.dir.display(), "the disk has room again");
    }

    /// Notes the open transaction as one that does not fit, when nothing but itself is left to make room for it.
    fn name_oversized(&mut self, waiting: u64) {
        let Some(first) = self.end.open_tx else { return };
        let alone = {
            let view = self.shared.view.lock();
            let mut sealed = view.segments.values().filter(|record| record.state == SegmentState::Sealed);
            sealed.all(|record| record.last_seq >= first)
        };
        if !alone {
            return;
        }
        let bytes = self.open_bytes + waiting;
        if self.oversized.is_none_or(|known| known.first != Seq(first)) {
            let dir = self.shared.dir.display();
            tracing::error!(%dir, first_seq = first, bytes, "a transaction alone does not fit on the disk");
        }
        self.oversized = Some(Oversized { first: Seq(first), bytes });
    }

    /// Bytes that must be exceeded before anything is appended: a transaction that did not fit was given up, and comes
    /// again from its start.
    fn barred(&self) -> Option<u64> {
        self.oversized.filter(|known| self.end.open_tx != Some(known.first.0)).map(|known| known.bytes)
    }

    /// Whether this block gives up the transaction that does not fit: what follows it waits for more room.
    pub(crate) fn gives_up(&self, block: &SealedBlock) -> bool {
        let given_up = |first: u64| self.oversized.is_some_and(|known| known.first.0 == first);
        block.meta.closed.iter().any(|closed| matches!(closed, Closed::Abandoned { first, .. } if given_up(*first)))
    }

    /// Follows the open transaction through a block that was written with `bytes`; `before` was open before it.
    pub(crate) fn follow_open(&mut self, before: Option<u64>, block: &SealedBlock, bytes: u64) {
        if before.is_some() && before == self.end.open_tx {
            self.open_bytes += bytes;
            return;
        }
        self.open_bytes = if self.end.open_tx.is_some() { bytes } else { 0 };
        // Closed otherwise than by giving up, it did fit after all.
        if self.oversized.is_some_and(|known| before == Some(known.first.0)) && !self.gives_up(block) {
            self.oversized = None;
        }
    }
}
