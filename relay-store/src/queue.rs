//! The bounded queue between the appender and the writer thread, and the requests that ride with the next group.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::block::BlockMeta;
use crate::cursor::Request;
use crate::durable::{Wakers, lock};
use crate::error::AppendError;
use crate::meta::note::Note;
use crate::meta::schema::SchemaVersion;
use crate::options::StoreOptions;

/// A block as the appender built it, not compressed yet.
#[derive(Debug)]
pub(crate) struct SealedBlock {
    pub first_seq: u64,
    pub count: u32,
    pub meta: BlockMeta,
    /// Context, entries, closings.
    pub payload: Vec<u8>,
    /// Checksum of the payload where it is stored as it is: made by the appender, who has it in the cache, beside the
    /// writer's work.
    pub payload_crc: Option<u32>,
    /// No entry of the caller's is in it.
    pub bare: bool,
    /// Versions that become durable with this block.
    pub schemas: Vec<SchemaVersion>,
    /// Versions that nothing after this block needs.
    pub retired: Vec<u64>,
    /// Notes that become durable with this block.
    pub notes: Vec<Note>,
}

/// What the writer takes in order.
#[derive(Debug)]
pub(crate) enum Item {
    Block(Box<SealedBlock>),
    /// A checkpoint that moved without entries.
    Advance(Vec<u8>),
}

impl Item {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Item::Block(block) => block.payload.len(),
            Item::Advance(checkpoint) => checkpoint.len(),
        }
    }
}

#[derive(Default)]
pub(crate) struct QueueState {
    pub items: VecDeque<Item>,
    /// Bytes in `items`. The group being written does not count: the next one fills while it syncs.
    pub bytes: usize,
    pub waiting_blocks: usize,
    /// Items ever pushed, for barriers.
    pub pushed: u64,
    pub requests: Vec<Request>,
    /// Cursors moved since the last group.
    pub cursors_moved: bool,
    /// Someone waits: do not wait for the timer.
    pub urgent: bool,
    /// Retention changed: look at it now.
    pub tick: bool,
    /// The store is closing: write what is here and stop.
    pub closing: bool,
    /// Room is short: the writer holds a group it cannot write.
    pub full: bool,
    ended: Option<AppendError>,
    space: Wakers,
}

/// The queue.
pub(crate) struct Queue {
    pub state: Mutex<QueueState>,
    /// The writer waits on it.
    pub work: Condvar,
    room: Condvar,
    limit: usize,
}

impl Queue {
    pub(crate) fn new(options: &StoreOptions) -> Self {
        Queue { state: Mutex::default(), work: Condvar::new(), room: Condvar::new(), limit: options.queue_bytes }
    }

    /// Whether an item of `bytes` has room; one larger than the queue has when the queue is empty.
    pub(crate) fn has_room(&self, bytes: usize) -> Result<bool, AppendError> {
        let state = lock(&self.state);
        match &state.ended {
            Some(end) => Err(end.clone()),
            None => Ok(self.room_in(&state, bytes)),
        }
    }

    /// Takes `item`; the caller has asked for room before.
    pub(crate) fn push(&self, item: Item) -> Result<(), AppendError> {
        let bytes = item.bytes();
        let mut state = lock(&self.state);
        if let Some(end) = &state.ended {
            return Err(end.clone());
        }
        match (&item, state.items.back_mut()) {
            (Item::Advance(new), Some(Item::Advance(old))) => {
                let old_len = old.len();
                old.clone_from(new);
                state.bytes = state.bytes - old_len + bytes;
            }
            _ => {
                state.bytes += bytes;
                state.pushed += 1;
                state.waiting_blocks += usize::from(matches!(item, Item::Block(_)));
                state.items.push_back(item);
            }
        }
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Changes the state under its lock and wakes the writer.
    pub(crate) fn signal(&self, change: impl FnOnce(&mut QueueState)) {
        change(&mut lock(&self.state));
        self.work.notify_one();
    }

    /// Hands in a request; answered after the group it rides with, or at once with an error when the store ended.
    pub(crate) fn request(&self, mut request: Request) {
        let mut state = lock(&self.state);
        if let Some(end) = &state.ended {
            let end = end.clone();
            drop(state);
            request.refuse(end);
            return;
        }
        request.after = state.pushed;
        state.requests.push(request);
        state.urgent = true;
        drop(state);
        self.work.notify_one();
    }

    /// Says whether the disk is full, and wakes who waits for room when it is not.
    pub(crate) fn set_full(&self, full: bool) {
        let wakers = {
            let mut state = lock(&self.state);
            state.full = full;
            if full { Vec::new() } else { state.space.take() }
        };
        self.wake(wakers);
    }

    /// Takes items up to `limit` bytes, at least one, and gives their room back.
    pub(crate) fn take_items(&self, state: &mut QueueState, limit: usize) -> (Vec<Item>, Vec<Waker>) {
        let mut items = Vec::new();
        let mut bytes = 0;
        while let Some(item) = state.items.front() {
            if bytes > 0 && bytes + item.bytes() > limit {
                break;
            }
            bytes += item.bytes();
            state.waiting_blocks -= usize::from(matches!(item, Item::Block(_)));
            items.extend(state.items.pop_front());
        }
        state.bytes -= bytes;
        (items, if bytes > 0 { state.space.take() } else { Vec::new() })
    }

    /// Wakes tasks and threads that wait for room; without the lock.
    pub(crate) fn wake(&self, wakers: Vec<Waker>) {
        self.room.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Refuses everything from now on.
    pub(crate) fn end(&self, reason: &AppendError) {
        let (wakers, requests) = {
            let mut state = lock(&self.state);
            state.ended.get_or_insert(reason.clone());
            (state.space.take(), std::mem::take(&mut state.requests))
        };
        self.room.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        requests.into_iter().for_each(|request| request.refuse(reason.clone()));
    }

    fn room_in(&self, state: &QueueState, bytes: usize) -> bool {
        !state.full && (state.bytes == 0 || state.bytes + bytes <= self.limit)
    }

    pub(crate) fn wait_room(&self, bytes: usize) -> Result<(), AppendError> {
        let mut state = lock(&self.state);
        loop {
            if let Some(end) = &state.ended {
                return Err(end.clone());
            }
            if self.room_in(&state, bytes) {
                return Ok(());
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for work until `deadline`; returns at once when `ready` says so.
    pub(crate) fn wait_work(&self, deadline: Option<Instant>, ready: impl Fn(&QueueState) -> Option<Instant>) {
        let mut state = lock(&self.state);
        loop {
            let now = Instant::now();
            let due = ready(&state);
            let until = match (due, deadline) {
                (Some(due), Some(deadline)) => Some(due.min(deadline)),
                (one, other) => one.or(other),
            };
            match until {
                Some(until) if until <= now => return,
                Some(until) => {
                    state = self.work.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0;
                }
                None => state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Resolves when a submit can make progress.
pub(crate) struct Space {
    pub queue: Arc<crate::shared::Shared>,
    pub bytes: usize,
    pub key: Option<u64>,
}

impl Future for Space {
    type Output = Result<(), AppendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let queue = &this.queue.queue;
        let mut state = lock(&queue.state);
        if let Some(end) = &state.ended {
            return Poll::Ready(Err(end.clone()));
        }
        if queue.room_in(&state, this.bytes) {
            return Poll::Ready(Ok(()));
        }
        state.space.register(&mut this.key, cx.waker());
        Poll::Pending
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        if self.key.is_some() {
            lock(&self.queue.queue.state).space.remove(self.key);
        }
    }
}
