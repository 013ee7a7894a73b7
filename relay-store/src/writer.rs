//! The writer thread: takes what is queued, writes it, syncs it, commits the mark, and only then tells anyone.
//!
//! The loop is here; `group.rs` frames what one write takes, `commit.rs` writes it and makes its batch, `requests.rs` has
//! the cursors' part in that, `committer.rs` makes it durable and tells, `rotate.rs` goes on to the next segment.

mod commit;
mod committer;
mod group;
mod payloads;
mod requests;
mod rotate;

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use crate::cursor::{Change, Request};
use crate::disk::{self, Ballast};
use crate::durable::lock;
use crate::end::LogEnd;
use crate::error::{AppendError, Poisoned, StorageError};
use crate::meta::mark::Mark;
use crate::meta::schema::SchemaVersion;
use crate::options::GROUP_BYTES_MAX;
use crate::queue::{Item, QueueState};
use crate::segment::write::SegmentWriter;
use crate::shared::Shared;
use crate::stats::Oversized;
use committer::{Failed, Written};
use group::Group;
use payloads::Payloads;

pub(crate) use committer::Committer;

/// Moved cursors, and a checkpoint that moved without entries, make a group of their own at most this often.
const ALONE_INTERVAL: Duration = Duration::from_secs(1);
/// How often a group that found no room is tried again.
const FULL_INTERVAL: Duration = Duration::from_millis(200);
/// How often retention is looked at.
pub(crate) const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// Free bytes that sled needs for a batch: it grows by segments of 512 KiB.
pub(crate) const META_BYTES: u64 = 1 << 20;

/// Why a group was not written.
#[derive(Debug)]
pub(crate) enum GroupError {
    /// No room: nothing was changed, it is tried again.
    Full,
    /// Nothing about the disk's state can be told any more.
    Fatal(StorageError),
}

impl From<StorageError> for GroupError {
    fn from(error: StorageError) -> Self {
        GroupError::Fatal(error)
    }
}

/// What the thread owns.
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) committer: Committer,
    pub(crate) segment: SegmentWriter,
    /// Of the newest group that was taken in, and so the log's end; durable when the committer has settled it.
    pub(crate) mark: Mark,
    pub(crate) end: LogEnd,
    pub(crate) ballast: Ballast,
    /// Taken from the queue, not taken in yet.
    work: VecDeque<Item>,
    /// Items taken in since open; what barriers compare with.
    done: u64,
    requests: Vec<Request>,
    /// Versions that the active segment holds.
    in_segment: HashSet<u64>,
    /// Versions that were handed in with the group that is not settled.
    unsettled: Vec<SchemaVersion>,
    /// The active segment has its footer, but the next one could not be created yet.
    sealed: bool,
    /// The compressed payloads of the group at hand.
    compressed: Payloads,
    last_start: Instant,
    pub(crate) last_tick: Instant,
    tick_now: bool,
    /// Segments whose files are gone and whose records go with the next batch.
    pub(crate) gone: Vec<u64>,
    /// Bytes written of the open transaction, in this life of the store.
    pub(crate) open_bytes: u64,
    /// The transaction that alone does not fit on the disk.
    pub(crate) oversized: Option<Oversized>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        committer: Committer,
        segment: SegmentWriter,
        mark: Mark,
        end: LogEnd,
        ballast: Ballast,
    ) -> Self {
        let in_segment = segment.index.schemas.iter().map(|(id, _)| *id).collect();
        Writer {
            shared,
            committer,
            segment,
            mark,
            end,
            ballast,
            work: VecDeque::new(),
            done: 0,
            requests: Vec::new(),
            in_segment,
            unsettled: Vec::new(),
            sealed: false,
            compressed: Payloads::default(),
            // Long enough ago for the first group to start at once.
            last_start: Instant::now().checked_sub(ALONE_INTERVAL).unwrap_or_else(Instant::now),
            last_tick: Instant::now(),
            tick_now: false,
            gone: Vec::new(),
            open_bytes: 0,
            oversized: None,
        }
    }

    /// Runs until the store closes or is poisoned.
    pub(crate) fn run(mut self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.serve()));
        let reason = match outcome {
            Ok(Ok(())) => AppendError::Closed,
            Ok(Err(error)) => poisoned(&error.to_string()),
            Err(_) => poisoned("the writer thread panicked"),
        };
        if let AppendError::Poisoned(poisoned) = &reason {
            tracing::error!(dir = %self.shared.dir.display(), reason = %poisoned.reason, "store is poisoned");
        }
        self.shared.end_with(&reason);
        for request in std::mem::take(&mut self.requests) {
            request.refuse(reason.clone());
        }
    }

    fn serve(&mut self) -> Result<(), StorageError> {
        let mut full = false;
        loop {
            let closing = self.take(full);
            match self.commit_all() {
                Ok(()) => {
                    if full {
                        full = false;
                        self.leave_full();
                    }
                }
                Err(GroupError::Full) => {
                    full = true;
                    self.shared.queue.set_full(true);
                    self.commit_meta_alone()?;
                }
                Err(GroupError::Fatal(error)) => return Err(error),
            }
            if std::mem::take(&mut self.tick_now) || self.last_tick.elapsed() >= TICK_INTERVAL {
                self.tick()?;
            }
            // What found no room was never acknowledged.
            if closing || (full && lock(&self.shared.queue.state).closing) {
                return Ok(());
            }
        }
    }

    /// Waits for work and takes it; gives whether that was all, and the store closes.
    fn take(&mut self, full: bool) -> bool {
        let shared = self.shared.clone();
        let deadline = if full { Instant::now() + FULL_INTERVAL } else { self.last_tick + TICK_INTERVAL };
        shared.queue.wait_work(Some(deadline), |state| self.due(state, full));
        self.take_now(lock(&shared.queue.state))
    }

    /// Takes what is due by now, so that it is written while the group before becomes durable.
    fn take_due(&mut self) {
        // Nothing may keep the writer from looking around.
        if !self.work.is_empty() || self.last_tick.elapsed() >= TICK_INTERVAL {
            return;
        }
        let shared = self.shared.clone();
        let state = lock(&shared.queue.state);
        let is_due = self.due(&state, false).is_some_and(|due| due <= Instant::now());
        if is_due && state.waiting_blocks > 0 && !state.closing && !state.tick {
            self.take_now(state);
            self.last_start = Instant::now();
        }
    }

    /// When the writer takes what is in the queue; `None`: something has to come first.
    fn due(&self, state: &QueueState, full: bool) -> Option<Instant> {
        let options = &self.shared.options;
        if state.closing || state.tick || (state.urgent && !full) {
            return Some(self.last_start);
        }
        if full {
            return None;
        }
        if options.group_bytes.is_some_and(|bytes| state.bytes >= bytes) {
            return Some(self.last_start);
        }
        // Whoever appends is held up already: the timer would only hold it up longer.
        if state.bytes + options.block_bytes > options.queue_bytes {
            return Some(self.last_start);
        }
        if state.waiting_blocks > 0 {
            return Some(self.last_start + options.commit_interval);
        }
        (!state.items.is_empty() || state.cursors_moved).then(|| self.last_start + ALONE_INTERVAL)
    }

    fn take_now(&mut self, mut state: MutexGuard<'_, QueueState>) -> bool {
        // While room is short the group at hand is all that is held; the rest waits in the bounded queue.
        let mut wakers = Vec::new();
        if self.work.is_empty() {
            let (items, woken) = self.shared.queue.take_items(&mut state, GROUP_BYTES_MAX);
            self.work.extend(items);
            wakers = woken;
        }
        state.cursors_moved = false;
        self.tick_now |= std::mem::take(&mut state.tick);
        let pending = !state.items.is_empty();
        self.requests.append(&mut state.requests);
        state.urgent = pending && (state.urgent || state.closing);
        let closing = state.closing && !pending;
        drop(state);
        self.shared.queue.wake(wakers);
        closing
    }

    /// Whether something but entries has to become durable.
    fn has_meta_work(&self) -> bool {
        let moved = || lock(&self.shared.cursors).slots.values().any(|slot| slot.dirty);
        self.requests.iter().any(|request| !matches!(request.change, Change::Barrier))
            || moved()
            || !self.shared.view.lock().unsaved.is_empty()
    }

    /// Makes all that was taken durable, and what is due by then.
    fn commit_all(&mut self) -> Result<(), GroupError> {
        if self.work.is_empty() && !self.has_meta_work() {
            self.take_barriers().into_iter().for_each(|(request, answer)| request.answer(answer));
            return Ok(());
        }
        self.last_start = Instant::now();
        let outcome = self.commit_groups();
        // Whatever came of the last group, the one before it is finished.
        self.settle()?;
        outcome
    }

    /// In as many groups as segments ask for. As long as there is work at hand, one group becomes durable while the next
    /// is written; else nobody waits for a second thread.
    fn commit_groups(&mut self) -> Result<(), GroupError> {
        loop {
            let group = self.encode()?;
            if group.rotate && group.items == 0 {
                self.rotate()?;
                continue;
            }
            self.ensure_room(group.load(&self.work))?;
            self.write(&group)?;
            self.settle()?;
            let written = self.take_in(group)?;
            self.take_due();
            if self.work.is_empty() {
                return Ok(self.finish(written)?);
            }
            self.committer.hand_over(written);
        }
    }

    /// What cursors ask for goes on while the disk has no room for entries.
    fn commit_meta_alone(&mut self) -> Result<(), StorageError> {
        if !self.has_meta_work() || disk::free_bytes(&self.shared.dir)? < META_BYTES {
            return Ok(());
        }
        let written = self.take_in(Group::default())?;
        self.finish(written)
    }

    /// Waits until the group that was handed over is durable and told.
    pub(crate) fn settle(&mut self) -> Result<(), StorageError> {
        let outcome = self.committer.settle();
        self.look_at(outcome)
    }

    fn finish(&mut self, written: Written) -> Result<(), StorageError> {
        let outcome = self.committer.finish(written);
        self.look_at(outcome)
    }

    fn look_at(&mut self, outcome: Result<(), Failed>) -> Result<(), StorageError> {
        match outcome {
            Ok(()) => {
                self.unsettled.clear();
                Ok(())
            }
            Err(failed) => {
                self.requests.extend(failed.requests);
                Err(failed.error)
            }
        }
    }
}

fn poisoned(reason: &str) -> AppendError {
    AppendError::Poisoned(Poisoned { reason: reason.into() })
}
