//! From one segment to the next.

use super::{GroupError, Writer};
use crate::durable::lock;
use crate::error::StorageError;
use crate::meta::catalogue::{SegmentRecord, SegmentState};
use crate::meta::db::Batch;
use crate::segment::SegmentHeader;
use crate::segment::write::SegmentWriter;

impl Writer {
    /// Closes the active segment and begins the next one. Each step is durable before the next relies on it.
    pub(crate) fn rotate(&mut self) -> Result<(), GroupError> {
        self.settle()?;
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
        let index = self.segment.index.clone();
        self.committer.commit(batch, &self.mark, |view| {
            view.segments.insert(sealed.first_seq, SegmentRecord { state: SegmentState::Sealed, ..sealed });
            view.segments.insert(active.first_seq, active);
            view.active = index;
        })?;
        Ok(())
    }
}
