//! The writer thread: takes what is queued, writes it, syncs it, commits the mark, and only then tells anyone.
//!
//! The loop is here; `group.rs` frames what one write takes, `commit.rs` makes it durable, `requests.rs` has the cursors'
//! part in it, `rotate.rs` goes on to the next segment.

mod commit;
mod group;
mod payloads;
mod requests;
mod rotate;

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cursor::{Change, Request};
use crate::disk::{self, Ballast};
use crate::durable::lock;
use crate::end::LogEnd;
use crate::error::{AppendError, Poisoned, StorageError};
use crate::meta::db::Db;
use crate::meta::mark::{Mark, Published};
use crate::options::GROUP_BYTES_MAX;
use crate::queue::{Item, QueueState};
use crate::segment::write::SegmentWriter;
use crate::shared::Shared;
use crate::stats::Oversized;
use group::Group;
use payloads::Payloads;

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
    pub(crate) db: Db,
    pub(crate) segment: SegmentWriter,
    pub(crate) published: Published,
    pub(crate) mark: Mark,
    pub(crate) end: LogEnd,
    pub(crate) ballast: Ballast,
    /// Taken from the queue, not durable yet.
    work: VecDeque<Item>,
    /// Items made durable since open; what barriers compare with.
    done: u64,
    requests: Vec<Request>,
    /// Versions that the active segment holds.
    in_segment: HashSet<u64>,
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
        db: Db,
        segment: SegmentWriter,
        published: Published,
        mark: Mark,
        end: LogEnd,
        ballast: Ballast,
    ) -> Self {
        let in_segment = segment.index.schemas.iter().map(|(id, _)| *id).collect();
        Writer {
            shared,
            db,
            segment,
            published,
            mark,
            end,
            ballast,
            work: VecDeque::new(),
            done: 0,
            requests: Vec::new(),
            in_segment,
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

    /// Waits for work and takes it.
    fn take(&mut self, full: bool) -> bool {
        let shared = self.shared.clone();
        let options = &shared.options;
        let last_start = self.last_start;
        let ready = |state: &QueueState| {
            if state.closing || state.tick || (state.urgent && !full) {
                return Some(last_start);
            }
            if full {
                return None;
            }
            if options.group_bytes.is_some_and(|bytes| state.bytes >= bytes) {
                return Some(last_start);
            }
            // Whoever appends is held up already: the timer would only hold it up longer.
            if state.bytes + options.block_bytes > options.queue_bytes {
                return Some(last_start);
            }
            if state.waiting_blocks > 0 {
                return Some(last_start + options.commit_interval);
            }
            (!state.items.is_empty() || state.cursors_moved).then(|| last_start + ALONE_INTERVAL)
        };
        let deadline = if full { Instant::now() + FULL_INTERVAL } else { self.last_tick + TICK_INTERVAL };
        shared.queue.wait_work(Some(deadline), ready);
        let mut state = lock(&shared.queue.state);
        // While room is short the group at hand is all that is held; the rest waits in the bounded queue.
        let mut wakers = Vec::new();
        if self.work.is_empty() {
            let (items, woken) = shared.queue.take_items(&mut state, GROUP_BYTES_MAX);
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
        shared.queue.wake(wakers);
        closing
    }

    /// Whether something but entries has to become durable.
    fn has_meta_work(&self) -> bool {
        let moved = || lock(&self.shared.cursors).slots.values().any(|slot| slot.dirty);
        self.requests.iter().any(|request| !matches!(request.change, Change::Barrier))
            || moved()
            || !self.shared.view.lock().unsaved.is_empty()
    }

    /// Makes all that was taken durable, in as many groups as segments ask for.
    fn commit_all(&mut self) -> Result<(), GroupError> {
        if self.work.is_empty() && !self.has_meta_work() {
            self.answer_barriers();
            return Ok(());
        }
        self.last_start = Instant::now();
        loop {
            let group = self.encode()?;
            if group.rotate && group.items == 0 {
                self.rotate()?;
                continue;
            }
            self.ensure_room(group.load(&self.work))?;
            self.commit(group)?;
            if self.work.is_empty() {
                return Ok(());
            }
        }
    }

    /// What cursors ask for goes on while the disk has no room for entries.
    fn commit_meta_alone(&mut self) -> Result<(), StorageError> {
        if !self.has_meta_work() || disk::free_bytes(&self.shared.dir)? < META_BYTES {
            return Ok(());
        }
        match self.commit(Group::default()) {
            Ok(()) | Err(GroupError::Full) => {}
            Err(GroupError::Fatal(error)) => return Err(error),
        }
        Ok(())
    }
}

fn poisoned(reason: &str) -> AppendError {
    AppendError::Poisoned(Poisoned { reason: reason.into() })
}
