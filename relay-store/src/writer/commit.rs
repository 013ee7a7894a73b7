//! Committing a group: written, synced, taken into what is known of the log, marked in meta, and only then told.

use std::io::IoSlice;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::group::{Group, add_blocks};
use super::{GroupError, Writer};
use crate::block::{BlockMeta, Closed};
use crate::durable::lock;
use crate::error::StorageError;
use crate::meta::catalogue::{RangeRecord, SegmentRecord, put_gap};
use crate::meta::db::Batch;
use crate::meta::mark::put_checkpoint;
use crate::meta::prefix;
use crate::meta::schema::{self, SchemaRecord};
use crate::queue::{Item, SealedBlock};
use crate::stats::SYNC_BOUNDS_US;

impl Writer {
    /// Writes a group, syncs it, commits the mark over it, and tells who waits.
    pub(super) fn commit(&mut self, group: Group) -> Result<(), GroupError> {
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
                self.shared.buffers.give(block.payload);
            }
        }
        self.answer_barriers();
        // What one very large group needed is not kept while nothing comes.
        self.compressed.clear();
        Ok(())
    }

    fn write(&mut self, group: &Group) -> Result<(), GroupError> {
        let mut slices = Vec::with_capacity(group.blocks.len() * 2);
        for encoded in &group.blocks {
            slices.push(IoSlice::new(&group.heads[encoded.head.clone()]));
            let payload: &[u8] = match (&encoded.compressed, encoded.item) {
                (Some(place), _) => self.compressed.get(place),
                (None, Some(item)) => match &self.work[item] {
                    Item::Block(block) => &block.payload,
                    Item::Advance(_) => unreachable!("an advance makes no block"),
                },
                (None, None) => unreachable!("schema blocks have a copy"),
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
