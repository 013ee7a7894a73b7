//! Committing a group: written, taken into what is known of the log, and made the batch that marks it in meta.

use std::io::IoSlice;

use super::committer::Written;
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

impl Writer {
    /// Takes a group that was written into what is known of the log, and gives what makes it durable. The group before
    /// is settled: its batch says what this one's goes on from.
    pub(super) fn take_in(&mut self, group: Group) -> Result<Written, StorageError> {
        let mut items: Vec<Item> = self.work.drain(..group.items).collect();
        let mut batch = Batch::default();
        self.gone.drain(..).for_each(|first| SegmentRecord::delete(first, &mut batch));
        self.put_gaps(&mut batch);
        let checkpoint_before = self.end.checkpoint.clone();
        let crossing = self.take_in_blocks(&group, &items, &mut batch)?;
        let checkpoint = self.end.checkpoint.clone().filter(|_| self.end.checkpoint != checkpoint_before);
        if let Some(checkpoint) = &checkpoint {
            put_checkpoint(&mut batch, checkpoint);
        }
        self.mark.commit_no += 1;
        self.mark.durable_seq = self.end.last_seq;
        self.mark.visible_seq = self.end.visible_through;
        self.mark.offset = if self.sealed { self.mark.offset } else { self.segment.offset };
        self.mark.put(&mut batch);
        let mut cursors = self.put_cursors(&mut batch);
        let mut answers = self.put_requests(&mut batch, &mut cursors);
        self.done += items.len() as u64;
        answers.extend(self.take_barriers());
        for item in &mut items {
            if let Item::Block(block) = item {
                self.unsettled.append(&mut block.schemas);
                // The bytes are in the page cache: who appends next can have the memory.
                self.shared.buffers.give(std::mem::take(&mut block.payload));
            }
        }
        // What one very large group needed is not kept while nothing comes.
        self.compressed.clear();
        let segment = (group.bytes > 0).then(|| self.segment.unsynced());
        let mark = self.mark.clone();
        Ok(Written { segment, batch, mark, cursors, group, items, crossing, checkpoint, answers })
    }

    /// Writes a group's blocks. They are in the page cache then, and nothing about them is durable.
    pub(super) fn write(&mut self, group: &Group) -> Result<(), GroupError> {
        if group.blocks.is_empty() {
            return Ok(());
        }
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

    /// Takes the written blocks into the index and the log's end; puts what they change into the batch. Gives the hidden
    /// ranges that cross the segment's start.
    fn take_in_blocks(
        &mut self,
        group: &Group,
        items: &[Item],
        batch: &mut Batch,
    ) -> Result<Vec<(u64, u64)>, StorageError> {
        let mut crossing = Vec::new();
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
                    .shared
                    .meta
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
        for note in &block.notes {
            note.put(batch);
            let mut notes = lock(&self.shared.notes);
            match &note.value {
                Some(value) => drop(notes.insert(note.key.clone(), value.clone())),
                None => drop(notes.remove(&note.key)),
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
}
