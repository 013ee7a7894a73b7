//! The last step of a group: its segment synced, its batch durable in meta, and only then told. Taken on the writer's
//! thread, or on one of its own while the writer's thread writes the next group.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::group::{Group, add_blocks};
use super::requests::Answer;
use crate::cursor::Request;
use crate::durable::lock;
use crate::error::StorageError;
use crate::meta::cursor::CursorRecord;
use crate::meta::db::{Batch, Db};
use crate::meta::mark::{Mark, Published};
use crate::queue::Item;
use crate::segment::write::Unsynced;
use crate::shared::Shared;
use crate::stats::SYNC_BOUNDS_US;
use crate::view::View;

/// A group that was written: what makes it durable, and what is told then.
pub(super) struct Written {
    /// The segment that its blocks are in; none without blocks.
    pub segment: Option<Unsynced>,
    pub batch: Batch,
    /// As it is in the batch; so are the cursors.
    pub mark: Mark,
    pub cursors: Vec<CursorRecord>,
    pub group: Group,
    /// Without their payloads.
    pub items: Vec<Item>,
    /// Hidden ranges that cross the segment's start.
    pub crossing: Vec<(u64, u64)>,
    /// When it moved.
    pub checkpoint: Option<Vec<u8>>,
    pub answers: Vec<Answer>,
}

/// A group that did not become durable, and the requests that nobody answered.
pub(super) struct Failed {
    pub error: StorageError,
    pub requests: Vec<Request>,
}

/// Makes groups durable, one after the other.
pub(crate) struct Committer {
    marks: Arc<Mutex<Marks>>,
    groups: Option<Sender<Written>>,
    outcomes: Receiver<Result<(), Failed>>,
    /// A group is with the thread, and its outcome was not looked at.
    pending: bool,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(crate) fn start(shared: Arc<Shared>, db: Db, published: Published) -> io::Result<Self> {
        let marks = Arc::new(Mutex::new(Marks { shared, db, published }));
        let (groups, queue) = mpsc::channel();
        let (told, outcomes) = mpsc::channel();
        let of_thread = marks.clone();
        let thread = std::thread::Builder::new().name("relay-commit".to_owned()).spawn(move || {
            for written in queue {
                if told.send(lock(&of_thread).finish(written)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Committer { marks, groups: Some(groups), outcomes, pending: false, thread: Some(thread) })
    }

    /// Makes a group durable on the thread; [`settle`](Self::settle) comes before the next one.
    pub(super) fn hand_over(&mut self, written: Written) {
        assert!(!self.pending, "one group after the other");
        self.pending = true;
        let groups = self.groups.as_ref().expect("there until this is dropped");
        groups.send(written).expect("the thread lives as long as nothing panics in it");
    }

    /// Waits for the group that was handed over, if one was.
    pub(super) fn settle(&mut self) -> Result<(), Failed> {
        if !std::mem::take(&mut self.pending) {
            return Ok(());
        }
        self.outcomes.recv().expect("the thread lives as long as nothing panics in it")
    }

    /// Makes a group durable on the caller's thread.
    pub(super) fn finish(&mut self, written: Written) -> Result<(), Failed> {
        assert!(!self.pending, "one group after the other");
        lock(&self.marks).finish(written)
    }

    /// Makes a batch without a group durable: the mark in it is published, and the view changed.
    pub(crate) fn commit(
        &mut self,
        batch: Batch,
        mark: &Mark,
        change: impl FnOnce(&mut View),
    ) -> Result<(), StorageError> {
        assert!(!self.pending, "one batch after the other");
        lock(&self.marks).commit(batch, mark, change)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.groups = None;
        if let Some(thread) = self.thread.take() {
            // Its panic was the writer's too, who poisons the store.
            let _ = thread.join();
        }
    }
}

/// What marks are made durable in, and where they are told.
struct Marks {
    shared: Arc<Shared>,
    db: Db,
    published: Published,
}

impl Marks {
    fn finish(&mut self, written: Written) -> Result<(), Failed> {
        let Written { segment, batch, mark, cursors, group, items, crossing, checkpoint, answers } = written;
        let started = Instant::now();
        // IMPORTANT: the segment first; a mark must never cover bytes that a power cut takes back.
        let synced = segment.map_or(Ok(()), Unsynced::sync);
        let durable = synced.and_then(|()| {
            self.commit(batch, &mark, |view| {
                add_blocks(&mut view.active, &group, &items);
                view.crossing.extend(crossing);
            })
        });
        if let Err(error) = durable {
            // Whoever waits for these learns why the store ended.
            return Err(Failed { error, requests: answers.into_iter().map(|(request, _)| request).collect() });
        }
        let sync_time = started.elapsed();
        if checkpoint.is_some() {
            *lock(&self.shared.checkpoint) = checkpoint;
        }
        self.settle_cursors(cursors);
        self.count(&group, &items, sync_time);
        self.shared.watch.publish(mark.durable_seq, mark.visible_seq);
        for (request, answer) in answers {
            request.answer(answer);
        }
        Ok(())
    }

    fn commit(&mut self, batch: Batch, mark: &Mark, change: impl FnOnce(&mut View)) -> Result<(), StorageError> {
        self.db.commit(batch)?;
        {
            let mut view = self.shared.view.lock();
            view.mark = mark.clone();
            change(&mut view);
        }
        self.published.write(mark)
    }

    fn settle_cursors(&self, cursors: Vec<CursorRecord>) {
        let mut table = lock(&self.shared.cursors);
        for record in cursors {
            if let Some(slot) = table.slots.get_mut(&record.name) {
                slot.persisted = record;
            }
        }
    }

    fn count(&self, group: &Group, items: &[Item], sync_time: Duration) {
        let counters = &self.shared.counters;
        let add = |counter: &AtomicU64, value: u64| counter.fetch_add(value, Ordering::Relaxed);
        add(&counters.groups, 1);
        add(&counters.written_bytes, group.bytes);
        for block in group.blocks.iter().filter(|block| block.item.is_some()) {
            add(&counters.blocks, 1);
            add(&counters.raw_bytes, u64::from(block.header.raw_len));
        }
        for item in items {
            if let Item::Block(block) = item {
                add(&counters.entries, u64::from(block.count));
            }
        }
        let us = sync_time.as_micros() as u64;
        add(&counters.sync_us, us);
        let bucket = SYNC_BOUNDS_US.partition_point(|bound| *bound < us);
        add(&counters.sync_histogram[bucket], 1);
    }
}
