//! The writer thread: takes what is queued, writes it, syncs it, commits the mark, and only then tells anyone.

use std::collections::{HashSet, VecDeque};
use std::io::IoSlice;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::block::{self, BlockHeader, BlockKind, BlockMeta, Closed, Place};
use crate::cursor::{self, Change, CursorState, Request};
use crate::disk::{self, Ballast};
use crate::durable::lock;
use crate::end::LogEnd;
use crate::error::{AppendError, CursorError, Poisoned, StorageError};
use crate::meta::catalogue::{RangeRecord, SegmentRecord, SegmentState, put_gap};
use crate::meta::cursor::CursorRecord;
use crate::meta::db::{Batch, Db};
use crate::meta::mark::{Mark, Published, put_checkpoint, put_spent_epoch};
use crate::meta::prefix;
use crate::meta::schema::{self, SchemaRecord, SchemaVersion};
use crate::options::{Codec, GROUP_BYTES_MAX};
use crate::queue::{Item, QueueState, SealedBlock};
use crate::room::Load;
use crate::segment::SegmentHeader;
use crate::segment::footer::SegmentIndex;
use crate::segment::write::SegmentWriter;
use crate::shared::Shared;
use crate::stats::{Oversized, SYNC_BOUNDS_US};

/// Moved cursors, and a checkpoint that moved without entries, make a group of their own at most this often.
const ALONE_INTERVAL: Duration = Duration::from_secs(1);
/// How often a group that found no room is tried again.
const FULL_INTERVAL: Duration = Duration::from_millis(200);
/// Buffers for compressed blocks that are kept from group to group.
const SLOTS_KEPT: usize = 64;
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
    compressed: Vec<Vec<u8>>,
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

/// One block of a group on its way to the file.
struct Encoded {
    /// Item of `work` it comes from; `None` for a block of schema versions.
    item: Option<usize>,
    head: std::ops::Range<usize>,
    /// Index into the compressed buffers; `None`: the item's own payload.
    compressed: Option<usize>,
    offset: u64,
    header: BlockHeader,
    /// Of a schema block.
    meta: Option<BlockMeta>,
}

/// The blocks that one write takes, and the end of the log after them.
#[derive(Default)]
struct Group {
    heads: Vec<u8>,
    blocks: Vec<Encoded>,
    items: usize,
    bytes: u64,
    schemas: Vec<u64>,
    rotate: bool,
}

impl Group {
    /// What it needs room for; `work` holds its items.
    fn load(&self, work: &VecDeque<Item>) -> Load {
        let blocks = work.iter().take(self.items).filter_map(|item| match item {
            Item::Block(block) => Some(block),
            Item::Advance(_) => None,
        });
        let versions =
            |block: &SealedBlock| block.schemas.iter().map(|version| version.bytes.len() as u64).sum::<u64>();
        // Versions go into meta too.
        let meta: u64 = blocks.clone().map(|block| versions(block)).sum();
        Load { bytes: self.bytes + 2 * meta, closes: meta == 0 && blocks.clone().all(|block| block.bare) }
    }
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
            compressed: Vec::new(),
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

    /// Compresses and frames as many items as the active segment takes.
    fn encode(&mut self) -> Result<Group, GroupError> {
        let mut group = Group::default();
        let mut offset = self.segment.offset;
        let mut has_entries = self.segment.index.last_seq >= self.segment.index.first_seq;
        let mut used = 0;
        for (position, item) in self.work.iter().enumerate() {
            let Item::Block(block) = item else {
                group.items = position + 1;
                continue;
            };
            if self.sealed {
                group.rotate = true;
                break;
            }
            let marks = (group.heads.len(), group.blocks.len(), group.schemas.len(), used, offset);
            let missing: Vec<u64> = block
                .meta
                .schema_ids
                .iter()
                .filter(|id| !self.in_segment.contains(id) && !group.schemas.contains(id))
                .copied()
                .collect();
            if !missing.is_empty() {
                let versions = self.versions(&missing)?;
                if !versions.is_empty() {
                    let payload = schema::encode_block(&versions);
                    let meta = BlockMeta {
                        schema_ids: versions.iter().map(|version| version.id).collect(),
                        ..BlockMeta::default()
                    };
                    group.schemas.extend(&missing);
                    let slot = take_slot(&mut self.compressed, &mut used);
                    let encoder = Encoder { shared: &self.shared, mark: &self.mark, segment: &self.segment };
                    let kind = BlockKind::Schemas;
                    let encoded =
                        encoder.frame(&mut group.heads, kind, block.first_seq, 0, &meta, &payload, offset, slot);
                    if encoded.codec == Codec::None {
                        slot.extend_from_slice(&payload);
                    }
                    let head = group.heads.len();
                    group.blocks.push(Encoded {
                        item: None,
                        head: marks.0..head,
                        compressed: Some(used - 1),
                        offset,
                        header: encoded,
                        meta: Some(meta),
                    });
                    offset += encoded.len();
                }
            }
            let head_start = group.heads.len();
            let slot = take_slot(&mut self.compressed, &mut used);
            let encoder = Encoder { shared: &self.shared, mark: &self.mark, segment: &self.segment };
            let (kind, first) = (BlockKind::Entries, block.first_seq);
            let header =
                encoder.frame(&mut group.heads, kind, first, block.count, &block.meta, &block.payload, offset, slot);
            let end = offset + header.len();
            if end > self.shared.options.segment_bytes && has_entries && block.count > 0 {
                // This block begins the next segment.
                group.heads.truncate(marks.0);
                group.blocks.truncate(marks.1);
                group.schemas.truncate(marks.2);
                group.rotate = true;
                break;
            }
            group.blocks.push(Encoded {
                item: Some(position),
                head: head_start..group.heads.len(),
                compressed: (header.codec != Codec::None).then_some(used - 1),
                offset,
                header,
                meta: None,
            });
            has_entries |= block.count > 0;
            offset = end;
            group.items = position + 1;
            if self.gives_up(block) {
                break;
            }
        }
        group.bytes = offset - self.segment.offset;
        if group.blocks.is_empty() {
            group.bytes = 0;
        }
        Ok(group)
    }

    fn versions(&self, ids: &[u64]) -> Result<Vec<SchemaVersion>, StorageError> {
        let mut versions = Vec::new();
        for &id in ids {
            let queued = self.work.iter().find_map(|item| match item {
                Item::Block(block) => block.schemas.iter().find(|version| version.id == id),
                Item::Advance(_) => None,
            });
            let bytes = match queued {
                Some(version) => Some(version.bytes.clone()),
                None => match self.db.get(&schema::key(id))? {
                    Some(value) => Some(SchemaRecord::decode(&value)?.bytes),
                    None => None,
                },
            };
            match bytes {
                Some(bytes) => versions.push(SchemaVersion { id, bytes }),
                None => tracing::warn!(schema = id, "an entry needs a schema version that was never put"),
            }
        }
        Ok(versions)
    }

    /// Writes a group, syncs it, commits the mark over it, and tells who waits.
    fn commit(&mut self, group: Group) -> Result<(), GroupError> {
        let started = Instant::now();
        if group.bytes > 0 {
            self.write(&group)?;
            self.segment.sync()?;
        }
        let synced_segment = started.elapsed();
        let items: Vec<Item> = self.work.drain(..group.items).collect();
        let mut batch = Batch::default();
        self.gone.drain(..).for_each(|first| SegmentRecord::delete(first, &mut batch));
        self.put_gaps(&mut batch);
        let crossing = self.take_in(&group, &items, &mut batch)?;
        self.mark.commit_no += 1;
        self.mark.durable_seq = self.end.last_seq;
        self.mark.visible_seq = self.end.visible_through;
        self.mark.offset = if self.sealed { self.mark.offset } else { self.segment.offset };
        self.mark.put(&mut batch);
        let cursors = self.put_cursors(&mut batch);
        let (answers, changes) = self.put_requests(&mut batch);
        let before_meta = Instant::now();
        if let Err(error) = self.db.commit(batch) {
            // Whoever waits for these learns why the store ended.
            self.requests.extend(answers.into_iter().map(|(request, _)| request));
            return Err(GroupError::Fatal(error));
        }
        let sync_time = synced_segment + before_meta.elapsed();
        self.publish(&group, &items, crossing)?;
        self.settle_cursors(cursors, changes);
        self.count(&group, &items, sync_time);
        for (request, answer) in answers {
            request.answer(answer);
        }
        for item in items {
            self.done += 1;
            if let Item::Block(block) = item {
                self.shared.recycle(block.payload);
            }
        }
        self.answer_barriers();
        // What one very large block needed is not kept.
        self.compressed.truncate(SLOTS_KEPT);
        self.compressed.iter_mut().filter(|slot| slot.capacity() > 1 << 20).for_each(|slot| *slot = Vec::new());
        Ok(())
    }

    fn write(&mut self, group: &Group) -> Result<(), GroupError> {
        let mut slices = Vec::with_capacity(group.blocks.len() * 2);
        for encoded in &group.blocks {
            slices.push(IoSlice::new(&group.heads[encoded.head.clone()]));
            let payload: &[u8] = match (encoded.compressed, encoded.item) {
                (Some(slot), _) => &self.compressed[slot],
                (None, Some(item)) => match &self.work[item] {
                    Item::Block(block) => &block.payload,
                    Item::Advance(_) => unreachable!("an advance makes no block"),
                },
                (None, None) => unreachable!("schema blocks are in a slot"),
            };
            if !payload.is_empty() {
                slices.push(IoSlice::new(payload));
            }
        }
        match self.segment.write(&mut slices) {
            Ok(written) => {
                assert_eq!(written, group.bytes, "bytes written and bytes framed differ");
                Ok(())
            }
            Err(error) if error.is_full() => Err(GroupError::Full),
            Err(error) => Err(GroupError::Fatal(error)),
        }
    }

    /// Takes the written blocks into the index and the log's end; puts what they change into the batch.
    fn take_in(&mut self, group: &Group, items: &[Item], batch: &mut Batch) -> Result<Vec<(u64, u64)>, StorageError> {
        let mut crossing = Vec::new();
        let checkpoint_before = self.end.checkpoint.clone();
        add_blocks(&mut self.segment.index, group, items);
        let mut written = group.blocks.iter().filter(|block| block.item.is_some()).map(|block| block.header.len());
        for item in items {
            match item {
                Item::Advance(checkpoint) => self.end.checkpoint = Some(checkpoint.clone()),
                Item::Block(block) => {
                    let open_before = self.end.open_tx;
                    self.take_in_block(block, batch, &mut crossing)?;
                    self.follow_open(open_before, block, written.next().unwrap_or_default());
                }
            }
        }
        self.in_segment.extend(&group.schemas);
        if self.end.checkpoint != checkpoint_before
            && let Some(checkpoint) = &self.end.checkpoint
        {
            put_checkpoint(batch, checkpoint);
        }
        Ok(crossing)
    }

    fn take_in_block(
        &mut self,
        block: &SealedBlock,
        batch: &mut Batch,
        crossing: &mut Vec<(u64, u64)>,
    ) -> Result<(), StorageError> {
        let last_seq = block.first_seq + u64::from(block.count) - 1;
        assert_eq!(block.first_seq, self.end.last_seq + 1, "blocks follow each other");
        for closed in &block.meta.closed {
            match closed {
                Closed::Prepared { xid, first, last } => {
                    RangeRecord { first: *first, last: *last, xid: xid.clone() }.put(prefix::PREPARED, batch);
                }
                Closed::Forgotten { xid } => {
                    for range in self.end.prepared.iter().filter(|range| range.xid == *xid) {
                        RangeRecord::delete(prefix::PREPARED, range.first.0, batch);
                    }
                }
                Closed::Abandoned { .. } => {}
            }
            if let Closed::Prepared { first, last, .. } | Closed::Abandoned { first, last } = closed
                && *first < self.segment.index.first_seq
            {
                RangeRecord { first: *first, last: *last, xid: Vec::new() }.put(prefix::CROSSING, batch);
                crossing.push((*first, *last));
            }
            // Kept in step, so that a range prepared and forgotten in one block is found above.
            self.end.close(closed);
        }
        for version in &block.schemas {
            SchemaRecord { bytes: version.bytes.clone(), retired_at: None }.put(version.id, batch);
            lock(&self.shared.schemas).insert(version.id, None);
        }
        for &id in &block.retired {
            let queued = block.schemas.iter().find(|version| version.id == id).map(|version| version.bytes.clone());
            let bytes = match queued {
                Some(bytes) => Some(bytes),
                None => self
                    .db
                    .get(&schema::key(id))?
                    .map(|value| SchemaRecord::decode(&value))
                    .transpose()?
                    .map(|r| r.bytes),
            };
            if let Some(bytes) = bytes {
                SchemaRecord { bytes, retired_at: Some(last_seq) }.put(id, batch);
                lock(&self.shared.schemas).insert(id, Some(last_seq));
            }
        }
        self.end.apply(last_seq, &BlockMeta { closed: Vec::new(), ..block.meta.clone() });
        Ok(())
    }

    /// Puts what readers found lost into the batch.
    fn put_gaps(&self, batch: &mut Batch) {
        let found = std::mem::take(&mut self.shared.view.lock().unsaved);
        // What was trimmed meanwhile is named by the log's start.
        found.iter().filter(|gap| gap.last.0 >= self.mark.first_seq).for_each(|gap| put_gap(gap, batch));
    }

    /// Puts the cursors that moved into the batch; gives them as they will be durable.
    fn put_cursors(&mut self, batch: &mut Batch) -> Vec<CursorRecord> {
        let mut table = lock(&self.shared.cursors);
        let mut moved = Vec::new();
        for slot in table.slots.values_mut().filter(|slot| slot.dirty) {
            slot.now.put(batch);
            slot.dirty = false;
            moved.push(slot.now.clone());
        }
        moved
    }

    /// Applies the requests at hand; barriers stay for later.
    #[expect(clippy::type_complexity, reason = "answers wait for the commit, each with its request")]
    fn put_requests(
        &mut self,
        batch: &mut Batch,
    ) -> (Vec<(Request, Result<Option<CursorState>, CursorError>)>, Vec<(String, Option<CursorRecord>)>) {
        let mut answers = Vec::new();
        let mut changes: Vec<(String, Option<CursorRecord>)> = Vec::new();
        let now_ms = crate::clock::now_ms();
        let mut table = lock(&self.shared.cursors);
        for request in std::mem::take(&mut self.requests) {
            match &request.change {
                Change::Barrier => {
                    self.requests.push(request);
                    continue;
                }
                Change::Persist => {
                    answers.push((request, Ok(None)));
                    continue;
                }
                _ => {}
            }
            let visible = self.mark.visible_seq;
            let answer = cursor::apply(&table, &request.change, self.mark.first_seq, visible, now_ms);
            let answer = answer.map(|record| {
                match &record {
                    Some(record) => {
                        record.put(batch);
                        changes.push((record.name.clone(), Some(record.clone())));
                        // Later requests of this group, and acks from now on, see the new life.
                        let persisted = table.slots.get(&record.name).map(|slot| slot.persisted.clone());
                        let slot = cursor::Slot {
                            now: record.clone(),
                            persisted: persisted.unwrap_or_else(|| record.clone()),
                            dirty: false,
                        };
                        table.slots.insert(record.name.clone(), slot);
                    }
                    None => {
                        if let Change::Delete { name } = &request.change {
                            CursorRecord::delete(name, batch);
                            let epoch = table.slots.remove(name).map_or(0, |slot| slot.now.epoch);
                            table.spent_epoch = table.spent_epoch.max(epoch);
                            put_spent_epoch(batch, table.spent_epoch);
                            changes.push((name.clone(), None));
                        }
                    }
                }
                record.as_ref().map(CursorState::of_record)
            });
            answers.push((request, answer));
        }
        (answers, changes)
    }

    fn settle_cursors(&mut self, moved: Vec<CursorRecord>, changes: Vec<(String, Option<CursorRecord>)>) {
        let mut table = lock(&self.shared.cursors);
        let changed = changes.into_iter().filter_map(|(_, record)| record);
        for record in moved.into_iter().chain(changed) {
            if let Some(slot) = table.slots.get_mut(&record.name) {
                slot.persisted = record;
            }
        }
    }

    fn publish(&mut self, group: &Group, items: &[Item], crossing: Vec<(u64, u64)>) -> Result<(), StorageError> {
        {
            let mut view = self.shared.view.lock();
            view.mark = self.mark.clone();
            add_blocks(&mut view.active, group, items);
            view.crossing.extend(crossing);
        }
        *lock(&self.shared.checkpoint) = self.end.checkpoint.clone();
        self.published.write(&self.mark)?;
        self.shared.watch.publish(self.mark.durable_seq, self.mark.visible_seq);
        Ok(())
    }

    fn answer_barriers(&mut self) {
        let (ready, waiting) =
            std::mem::take(&mut self.requests).into_iter().partition(|request| request.after <= self.done);
        self.requests = waiting;
        let ready: Vec<Request> = ready;
        for request in ready {
            request.answer(Ok(None));
        }
    }

    /// Closes the active segment and begins the next one. Each step is durable before the next relies on it.
    pub(crate) fn rotate(&mut self) -> Result<(), GroupError> {
        let full = |error: StorageError| {
            if error.is_full() { GroupError::Full } else { GroupError::Fatal(error) }
        };
        let now_ms = crate::clock::now_ms();
        if !self.sealed {
            self.segment.seal(now_ms).map_err(full)?;
            self.sealed = true;
        }
        let header = SegmentHeader {
            uuid: self.shared.uuid,
            first_seq: self.end.last_seq + 1,
            created_ms: now_ms,
            log_epoch: self.mark.log_epoch,
            checkpoint: self.end.checkpoint.clone(),
            running_max_us: self.end.running_max_us,
            open_tx: self.end.open_tx,
            visible_through: self.end.visible_through,
            cursors: lock(&self.shared.cursors).persisted().cloned().collect(),
        };
        let next = SegmentWriter::create(&self.shared.log_dir, &header).map_err(full)?;
        let old = std::mem::replace(&mut self.segment, next);
        self.sealed = false;
        self.in_segment.clear();
        let created_ms = {
            let view = self.shared.view.lock();
            view.segments.get(&old.index.first_seq).map_or(now_ms, |record| record.created_ms)
        };
        let mut batch = Batch::default();
        let sealed = SegmentRecord::of_index(&old.index, created_ms, old.offset);
        let active = SegmentRecord::of_index(&self.segment.index, now_ms, self.segment.offset);
        sealed.put(&mut batch);
        active.put(&mut batch);
        self.mark.commit_no += 1;
        self.mark.segment = active.first_seq;
        self.mark.offset = self.segment.offset;
        self.mark.put(&mut batch);
        self.db.commit(batch)?;
        {
            let mut view = self.shared.view.lock();
            view.mark = self.mark.clone();
            view.segments.insert(sealed.first_seq, SegmentRecord { state: SegmentState::Sealed, ..sealed });
            view.segments.insert(active.first_seq, active);
            view.active.clone_from(&self.segment.index);
        }
        self.published.write(&self.mark)?;
        Ok(())
    }

    fn count(&self, group: &Group, items: &[Item], sync_time: Duration) {
        let counters = &self.shared.counters;
        let add = |counter: &std::sync::atomic::AtomicU64, value: u64| counter.fetch_add(value, Ordering::Relaxed);
        add(&counters.groups, 1);
        add(&counters.written_bytes, group.bytes);
        for item in items {
            if let Item::Block(block) = item {
                add(&counters.blocks, 1);
                add(&counters.entries, u64::from(block.count));
                add(&counters.raw_bytes, block.payload.len() as u64);
            }
        }
        let us = sync_time.as_micros() as u64;
        add(&counters.sync_us, us);
        let bucket = SYNC_BOUNDS_US.partition_point(|bound| *bound < us);
        add(&counters.sync_histogram[bucket], 1);
    }
}

/// Frames blocks for one segment.
struct Encoder<'a> {
    shared: &'a Shared,
    mark: &'a Mark,
    segment: &'a SegmentWriter,
}

impl Encoder<'_> {
    /// Compresses a payload into `slot` and appends the block's head to `heads`. An empty slot afterwards means that
    /// the payload is stored as it is.
    #[expect(clippy::too_many_arguments, reason = "the fields of one block and where they go")]
    fn frame(
        &self,
        heads: &mut Vec<u8>,
        kind: BlockKind,
        first_seq: u64,
        count: u32,
        meta: &BlockMeta,
        payload: &[u8],
        offset: u64,
        slot: &mut Vec<u8>,
    ) -> BlockHeader {
        let codec = block::compress(payload, self.shared.options.codec, slot);
        let stored: &[u8] = if codec == Codec::None { payload } else { slot };
        let header = BlockHeader {
            kind,
            codec,
            meta_len: 0,
            stored_len: stored.len() as u32,
            raw_len: payload.len() as u32,
            payload_crc: crc32fast::hash(stored),
            log_epoch: self.mark.log_epoch,
            first_seq,
            durable_seq: self.mark.durable_seq,
            count,
        };
        let place = Place { uuid: &self.shared.uuid, segment: self.segment.index.first_seq, offset };
        block::encode_head(heads, header, meta, place)
    }
}

/// Takes the blocks of a written group into an index.
fn add_blocks(index: &mut SegmentIndex, group: &Group, items: &[Item]) {
    for encoded in &group.blocks {
        let item = encoded.item.map(|position| &items[position]);
        match (&encoded.meta, item) {
            (Some(meta), _) => index.add(encoded.offset, &encoded.header, meta),
            (None, Some(Item::Block(block))) => index.add(encoded.offset, &encoded.header, &block.meta),
            (None, _) => unreachable!("every block has its meta or its item"),
        }
    }
}

fn take_slot<'a>(slots: &'a mut Vec<Vec<u8>>, used: &mut usize) -> &'a mut Vec<u8> {
    if slots.len() == *used {
        slots.push(Vec::new());
    }
    *used += 1;
    let slot = &mut slots[*used - 1];
    slot.clear();
    slot
}

fn poisoned(reason: &str) -> AppendError {
    AppendError::Poisoned(Poisoned { reason: reason.into() })
}
