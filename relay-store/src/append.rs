//! The appender: builds blocks in the caller's task and hands them to the writer. No I/O, and it never blocks
//! except where the name says so.

use std::sync::Arc;

use crate::block::{BlockMeta, Closed, Closing, push_closing};
use crate::durable::lock;
use crate::end::{LogEnd, PreparedRange};
use crate::entry::{ENTRY_BYTES_MAX, ENTRY_HEADER_LEN, EntryHeader, SOURCE_POS_MAX, encode_header, kind};
use crate::error::AppendError;
use crate::meta::note::{NOTE_KEY_BYTES_MAX, Note};
use crate::meta::schema::SchemaVersion;
use crate::options::{Codec, OPAQUE_BYTES_MAX};
use crate::queue::{Item, SealedBlock, Space};
use crate::seq::Seq;
use crate::shared::Shared;

/// Writes what a block needs to be readable alone. Asked once, when a block opens, before its first entry is added.
pub trait BlockContext {
    /// Appends the context to `out`.
    fn write(&self, out: &mut Vec<u8>);
}

/// A context of fixed bytes.
impl BlockContext for &[u8] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

/// How a transaction was committed.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// The source position that covers it and all before it.
    pub checkpoint: &'a [u8],
    /// Its commit time, microseconds since the Unix epoch.
    pub commit_time_us: u64,
    /// The prepared transaction whose range it makes unnecessary.
    pub forget_prepared: Option<&'a [u8]>,
}

/// Whether a submit handed everything over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submit {
    /// All sealed blocks are with the writer.
    Done,
    /// The queue is full: wait for [`Appender::space`].
    Full,
}

/// The block that takes entries.
struct OpenBlock {
    first_seq: u64,
    count: u32,
    payload: Vec<u8>,
    closings: Vec<u8>,
    /// Entries before the last closing.
    closed_entries: u64,
    last_time_us: u64,
    /// Opened without a context: nothing but the store's own entry may be in it.
    bare: bool,
    meta: BlockMeta,
}

/// The single writer's front. Entries join the open transaction; the first one opens it. Dropping it drops what was
/// not submitted: nobody has seen it, and its seqs are given again.
pub struct Appender {
    shared: Arc<Shared>,
    /// The end as the next append sees it.
    end: LogEnd,
    /// The end as of the last submitted block: what the next appender goes on from.
    submitted: LogEnd,
    open: Option<OpenBlock>,
    pending: std::collections::VecDeque<Item>,
    pending_bytes: usize,
    schemas: Vec<SchemaVersion>,
    retired: Vec<u64>,
    notes: Vec<Note>,
    /// Versions that the next entry needs.
    needed: Vec<u64>,
    /// Closings of the last block, kept for its allocation.
    closings: Vec<u8>,
}

impl Appender {
    /// Takes the single place; a transaction that was open at the log's end is abandoned before anything else.
    pub(crate) fn new(shared: Arc<Shared>) -> Result<Self, AppendError> {
        if let Some(end) = shared.watch.ended() {
            return Err(end);
        }
        let end = lock(&shared.end).take().ok_or(AppendError::AppenderOpen)?;
        let mut appender = Appender {
            shared,
            submitted: end.clone(),
            end,
            open: None,
            pending: std::collections::VecDeque::new(),
            pending_bytes: 0,
            schemas: Vec::new(),
            retired: Vec::new(),
            notes: Vec::new(),
            needed: Vec::new(),
            closings: Vec::new(),
        };
        appender.abandon();
        Ok(appender)
    }

    /// Appends an entry to the open transaction, or opens one. `body` comes in parts, copied once. Not durable on return.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`], [`AppendError::Header`], [`AppendError::Backlog`] when a full queue was ignored,
    /// [`AppendError::Poisoned`].
    pub fn append(
        &mut self,
        header: EntryHeader,
        body: &[&[u8]],
        context: &dyn BlockContext,
    ) -> Result<Seq, AppendError> {
        if header.kind >= kind::RESERVED {
            return Err(AppendError::Header { field: "kind", value: u64::from(header.kind) });
        }
        if header.source_pos > SOURCE_POS_MAX {
            return Err(AppendError::Header { field: "source_pos", value: header.source_pos });
        }
        let bytes: usize = body.iter().map(|part| part.len()).sum();
        if bytes > ENTRY_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes, limit: ENTRY_BYTES_MAX });
        }
        // One queue's worth may wait here besides; more means that the caller does not look at what submit says.
        if self.pending_bytes > self.shared.options.queue_bytes {
            return Err(AppendError::Backlog { bytes: self.pending_bytes });
        }
        Ok(self.push(header, body, bytes, Some(context)))
    }

    fn push(&mut self, header: EntryHeader, body: &[&[u8]], bytes: usize, context: Option<&dyn BlockContext>) -> Seq {
        let need = ENTRY_HEADER_LEN + bytes;
        let fits = |open: &OpenBlock, limit: usize| {
            (open.count == 0 || open.payload.len() + open.closings.len() + need <= limit)
                && relative(header.received_us, open.meta.received_us).is_some()
        };
        if self.open.as_ref().is_some_and(|open| !fits(open, self.shared.options.block_bytes)) {
            self.seal();
        }
        if self.open.is_none() {
            self.open_block(need, header.received_us, context);
        }
        let seq = self.end.last_seq + 1;
        let open = self.open.as_mut().expect("just opened");
        let received = relative(header.received_us, open.meta.received_us).expect("checked or the block's own time");
        encode_header(&mut open.payload, &header, received, bytes as u32);
        for part in body {
            open.payload.extend_from_slice(part);
        }
        open.count += 1;
        for id in self.needed.drain(..) {
            if open.meta.schema_ids.last() != Some(&id) && !open.meta.schema_ids.contains(&id) {
                open.meta.schema_ids.push(id);
            }
        }
        self.end.last_seq = seq;
        self.end.open_tx.get_or_insert(seq);
        Seq(seq)
    }

    fn open_block(&mut self, need: usize, received_us: u64, context: Option<&dyn BlockContext>) {
        let mut payload = self.shared.buffers.take();
        if let Some(context) = context {
            context.write(&mut payload);
        }
        let context_len = payload.len() as u32;
        payload.reserve(need.max(self.shared.options.block_bytes.saturating_sub(payload.len())));
        self.open = Some(OpenBlock {
            first_seq: self.end.last_seq + 1,
            count: 0,
            payload,
            closings: std::mem::take(&mut self.closings),
            closed_entries: 0,
            last_time_us: 0,
            bare: context.is_none(),
            meta: BlockMeta { tx_first: self.end.open_tx, context_len, received_us, ..BlockMeta::default() },
        });
    }

    /// Commits the open transaction: visible when durable. Without one it is [`Appender::advance`].
    pub fn commit(&mut self, commit: Commit<'_>) {
        let forgotten = commit.forget_prepared.map(|xid| Closed::Forgotten { xid: xid.to_vec() });
        if self.end.open_tx.is_none() && forgotten.is_none() {
            self.advance(commit.checkpoint);
            return;
        }
        self.end.running_max_us = self.end.running_max_us.max(commit.commit_time_us);
        self.close(Closing::Commit { time_us: commit.commit_time_us }, forgotten, Some(commit.checkpoint));
    }

    /// Closes the open transaction as a prepared range: kept, never visible, held until a commit forgets it.
    /// Without an open transaction only the checkpoint moves.
    pub fn prepare(&mut self, xid: &[u8], checkpoint: &[u8]) {
        let Some(first) = self.end.open_tx else {
            self.advance(checkpoint);
            return;
        };
        let closed = Closed::Prepared { xid: xid.to_vec(), first, last: self.end.last_seq };
        self.close(Closing::Prepared, Some(closed), Some(checkpoint));
    }

    /// Closes the open transaction, if there is one, by an entry that names its first seq; it is never visible.
    /// Gives first and last seq of what was abandoned, the closing entry included.
    pub fn abandon(&mut self) -> Option<(Seq, Seq)> {
        let first = self.end.open_tx?;
        let header =
            EntryHeader { kind: kind::ABANDONED, received_us: crate::clock::now_us(), ..EntryHeader::default() };
        let last = self.push(header, &[&first.to_le_bytes()], 8, None);
        self.close(Closing::Abandoned, Some(Closed::Abandoned { first, last: last.0 }), None);
        Some((Seq(first), last))
    }

    fn close(&mut self, closing: Closing, closed: Option<Closed>, checkpoint: Option<&[u8]>) {
        if self.open.is_none() {
            // The transaction's last entry is in a sealed block: a block without entries says how it ended.
            self.open_block(0, crate::clock::now_us(), None);
        }
        self.end.open_tx = None;
        self.end.visible_through = self.end.last_seq;
        if let Some(checkpoint) = checkpoint {
            set_checkpoint(&mut self.end.checkpoint, checkpoint);
        }
        if let Some(closed) = &closed {
            self.end.close(closed);
        }
        let open = self.open.as_mut().expect("just opened");
        let step = u64::from(open.count) - open.closed_entries;
        push_closing(&mut open.closings, step, closing, &mut open.last_time_us);
        open.closed_entries = u64::from(open.count);
        open.meta.closed.extend(closed);
        if let Some(checkpoint) = checkpoint {
            set_checkpoint(&mut open.meta.checkpoint, checkpoint);
        }
        if let Closing::Commit { time_us } = closing {
            let (min, max) = open.meta.times.unwrap_or((time_us, time_us));
            open.meta.times = Some((min.min(time_us), max.max(time_us)));
        }
        if open.bare {
            self.seal();
        }
    }

    /// Moves the checkpoint without entries. It rides with the next group, or alone at most once a second; the first one
    /// of a log is part of the log.
    /// Inside a transaction it does nothing: a checkpoint covers whole transactions.
    pub fn advance(&mut self, checkpoint: &[u8]) {
        if self.end.open_tx.is_some() {
            return;
        }
        let first = self.end.checkpoint.is_none();
        set_checkpoint(&mut self.end.checkpoint, checkpoint);
        if first && self.open.is_none() {
            // Where the log begins is in the log itself: a block without entries says it, so that addresses know what
            // lies before the first transaction, and a meta that is lost does not take it along.
            self.open_block(0, crate::clock::now_us(), None);
            set_checkpoint(&mut self.open.as_mut().expect("just opened").meta.checkpoint, checkpoint);
            self.seal();
            return;
        }
        match (&mut self.open, self.pending.back_mut()) {
            (Some(open), _) => set_checkpoint(&mut open.meta.checkpoint, checkpoint),
            (None, Some(Item::Advance(pending))) => {
                pending.clear();
                pending.extend_from_slice(checkpoint);
            }
            (None, _) => self.pending.push_back(Item::Advance(checkpoint.to_vec())),
        }
    }

    /// Hands in a schema version: durable in the same batch as the entries appended so far, and not later than the next.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`] beyond [`OPAQUE_BYTES_MAX`].
    pub fn put_schema(&mut self, version: SchemaVersion) -> Result<(), AppendError> {
        if version.bytes.len() > OPAQUE_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes: version.bytes.len(), limit: OPAQUE_BYTES_MAX });
        }
        self.schemas.push(version);
        Ok(())
    }

    /// Hands in a note: durable in the same batch as what was appended so far and how it was closed. Call it before the
    /// commit that it goes with.
    ///
    /// # Errors
    /// [`AppendError::TooLarge`] beyond [`OPAQUE_BYTES_MAX`], or a key beyond [`NOTE_KEY_BYTES_MAX`].
    pub fn put_note(&mut self, note: Note) -> Result<(), AppendError> {
        let bytes = note.value.as_ref().map_or(0, Vec::len);
        if bytes > OPAQUE_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes, limit: OPAQUE_BYTES_MAX });
        }
        if note.key.len() > NOTE_KEY_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes: note.key.len(), limit: NOTE_KEY_BYTES_MAX });
        }
        self.notes.push(note);
        Ok(())
    }

    /// Says that no entry after the last one needs this version; it goes when no kept segment needs it.
    pub fn retire_schema(&mut self, id: u64) {
        self.retired.push(id);
    }

    /// Says that the entries appended next need this version: it is repeated once in each segment that holds such.
    /// Call it before each append that does.
    pub fn needs_schema(&mut self, id: u64) {
        self.needed.push(id);
    }

    /// First seq of the open transaction.
    pub fn open_transaction(&self) -> Option<Seq> {
        self.end.open_tx.map(Seq)
    }

    /// The prepared ranges that were not forgotten yet.
    pub fn prepared(&self) -> Vec<PreparedRange> {
        self.end.prepared.clone()
    }

    /// The checkpoint of all that was appended and submitted: where the source is read from again. Ask this one, not
    /// [`Store::checkpoint`](crate::Store::checkpoint), when a new appender follows an earlier one in the same process.
    pub fn checkpoint(&self) -> Option<&[u8]> {
        self.end.checkpoint.as_deref()
    }

    /// Last seq that was given.
    pub fn last_seq(&self) -> Seq {
        Seq(self.end.last_seq)
    }

    /// Ends the open block now.
    pub fn seal(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        open.meta.open_tx = self.end.open_tx;
        open.meta.visible_through = self.end.visible_through;
        open.meta.running_max_us = self.end.running_max_us;
        open.meta.closings_len = open.closings.len() as u32;
        open.payload.extend_from_slice(&open.closings);
        open.closings.clear();
        self.closings = open.closings;
        self.pending_bytes += open.payload.len();
        let is_plain = self.shared.options.codec == Codec::None;
        self.pending.push_back(Item::Block(Box::new(SealedBlock {
            first_seq: open.first_seq,
            count: open.count,
            meta: open.meta,
            payload_crc: is_plain.then(|| crc32fast::hash(&open.payload)),
            payload: open.payload,
            bare: open.bare,
            schemas: std::mem::take(&mut self.schemas),
            retired: std::mem::take(&mut self.retired),
            notes: std::mem::take(&mut self.notes),
        })));
    }

    /// Hands sealed blocks to the writer, as many as the queue takes. Never blocks.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`], [`AppendError::Closed`].
    pub fn submit(&mut self) -> Result<Submit, AppendError> {
        if self.open.is_none() && !(self.schemas.is_empty() && self.retired.is_empty() && self.notes.is_empty()) {
            // Versions and notes without an entry to ride with: a block without entries carries them.
            self.open_block(0, crate::clock::now_us(), None);
            self.seal();
        }
        while let Some(item) = self.pending.front() {
            // The room seen here cannot shrink before the push: there is one appender.
            if !self.shared.queue.has_room(item.bytes())? {
                return Ok(Submit::Full);
            }
            match item {
                Item::Block(block) => {
                    self.submitted.apply(block.first_seq + u64::from(block.count) - 1, &block.meta);
                    self.pending_bytes -= block.payload.len();
                }
                Item::Advance(checkpoint) => set_checkpoint(&mut self.submitted.checkpoint, checkpoint),
            }
            let item = self.pending.pop_front().expect("looked at above");
            self.shared.queue.push(item)?;
        }
        Ok(Submit::Done)
    }

    fn next_bytes(&self) -> usize {
        self.pending.front().map_or(0, Item::bytes)
    }

    /// Resolves when [`submit`](Self::submit) can make progress.
    pub fn space(&self) -> impl Future<Output = Result<(), AppendError>> + Send + use<> {
        Space { queue: self.shared.clone(), bytes: self.next_bytes(), key: None }
    }

    /// [`space`](Self::space), blocking the thread.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`], [`AppendError::Closed`].
    pub fn wait_space(&self) -> Result<(), AppendError> {
        self.shared.queue.wait_room(self.next_bytes())
    }

    /// Seals, submits and waits until all that was appended is durable; blocks the thread. Gives the durable seq.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`], [`AppendError::Closed`].
    pub fn flush(&mut self) -> Result<Seq, AppendError> {
        self.seal();
        while self.submit()? == Submit::Full {
            self.wait_space()?;
        }
        self.shared.flush_barrier()?;
        Ok(Seq(self.shared.watch.durable()))
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            self.shared.buffers.give(open.payload);
        }
        *lock(&self.shared.end) = Some(std::mem::take(&mut self.submitted));
    }
}

fn set_checkpoint(slot: &mut Option<Vec<u8>>, checkpoint: &[u8]) {
    let slot = slot.get_or_insert_default();
    slot.clear();
    slot.extend_from_slice(checkpoint);
}

/// The time of receipt relative to the block's, when it fits into 32 bits (35 minutes either way).
fn relative(received_us: u64, base_us: u64) -> Option<i32> {
    i32::try_from(received_us.wrapping_sub(base_us) as i64).ok()
}
