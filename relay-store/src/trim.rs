//! The writer's housekeeping: seals what has been open for long, trims what retention lets go, takes the ballast back.

use std::time::Instant;

use crate::disk;
use crate::durable::lock;
use crate::error::StorageError;
use crate::meta::catalogue::{RangeRecord, SegmentRecord, SegmentState, delete_gap};
use crate::meta::cursor::CursorRecord;
use crate::meta::db::Batch;
use crate::meta::{prefix, schema};
use crate::options::Retention;
use crate::retention::{self, Inputs, Verdict};
use crate::segment::path;
use crate::segment::write::sync_dir;
use crate::writer::{GroupError, Writer};

/// A segment takes entries for this part of `max_age`: a quiet log outlives the limit by no more, in few segments.
const SEALS_PER_MAX_AGE: u32 = 8;

impl Writer {
    /// One look at retention and at the ballast.
    pub(crate) fn tick(&mut self) -> Result<(), StorageError> {
        self.last_tick = Instant::now();
        let policy = lock(&self.shared.retention).clone();
        let floor = self.floor(&policy);
        let free = disk::free_bytes(&self.shared.dir)?;
        if free >= floor && self.is_active_old(&policy) {
            match self.rotate() {
                // Room went in between: what is here goes on being appended to, or is sealed at the next look.
                Ok(()) | Err(GroupError::Full) => {}
                Err(GroupError::Fatal(error)) => return Err(error),
            }
        }
        self.trim(&policy, free, floor)?;
        if !self.ballast.present && free > floor.saturating_add(self.ballast.bytes) {
            self.ballast.take()?;
        }
        Ok(())
    }

    /// Whether the active segment has entries and is so old that it is sealed, however small: only what is sealed ages.
    fn is_active_old(&self, policy: &Retention) -> bool {
        let index = &self.segment.index;
        let Some(limit) = policy.max_age.map(|max_age| max_age / SEALS_PER_MAX_AGE) else { return false };
        let created_ms = self.shared.view.lock().segments.get(&index.first_seq).map_or(0, |record| record.created_ms);
        let age_ms = crate::clock::now_ms().saturating_sub(created_ms);
        index.last_seq >= index.first_seq && u128::from(age_ms) > limit.as_millis()
    }

    pub(crate) fn trim(&mut self, policy: &Retention, free_bytes: u64, floor_bytes: u64) -> Result<(), StorageError> {
        let sealed: Vec<SegmentRecord> = {
            let view = self.shared.view.lock();
            view.segments.values().filter(|record| record.state == SegmentState::Sealed).cloned().collect()
        };
        let cursors: Vec<CursorRecord> = lock(&self.shared.cursors).persisted().cloned().collect();
        let prepared = self.end.prepared.iter().map(|range| range.first.0);
        let verdict = retention::horizon(&Inputs {
            now_ms: crate::clock::now_ms(),
            sealed: &sealed,
            active_bytes: self.segment.offset,
            policy,
            cursors: &cursors,
            open_from: prepared.chain(self.end.open_tx).min(),
            free_bytes,
            floor_bytes,
        });
        match verdict.first_seq {
            Some(first_seq) => self.remove(&verdict, first_seq),
            None => Ok(()),
        }
    }

    /// IMPORTANT: the new start is durable before a file goes; the other way round a crash between the two leaves a
    /// log whose start is missing.
    fn remove(&mut self, verdict: &Verdict, first_seq: u64) -> Result<(), StorageError> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        {
            let view = self.shared.view.lock();
            for record in verdict.segments.iter().filter_map(|first| view.segments.get(first)) {
                bytes += record.bytes;
                SegmentRecord { state: SegmentState::Deleting, ..record.clone() }.put(&mut batch);
            }
            view.gaps.iter().filter(|gap| gap.last.0 < first_seq).for_each(|gap| delete_gap(gap.first.0, &mut batch));
            let crossing = view.crossing.iter().filter(|(_, last)| **last < first_seq);
            crossing.for_each(|(first, _)| RangeRecord::delete(prefix::CROSSING, *first, &mut batch));
        }
        let retired: Vec<u64> = {
            let schemas = lock(&self.shared.schemas);
            let gone = schemas.iter().filter(|(_, retired)| retired.is_some_and(|at| at < first_seq));
            gone.map(|(id, _)| *id).collect()
        };
        retired.iter().for_each(|id| batch.delete(schema::key(*id)));
        self.gone.drain(..).for_each(|first| SegmentRecord::delete(first, &mut batch));
        let expired = self.expire(verdict, &mut batch);
        self.mark.first_seq = first_seq;
        self.mark.commit_no += 1;
        self.mark.put(&mut batch);
        self.committer.commit(batch, &self.mark, |view| {
            view.segments.retain(|first, _| !verdict.segments.contains(first));
            view.gaps.retain(|gap| gap.last.0 >= first_seq);
            view.crossing.retain(|_, last| *last >= first_seq);
            view.damage.retain(|damage| !verdict.segments.contains(&damage.segment.0));
        })?;
        {
            let mut table = lock(&self.shared.cursors);
            for record in expired {
                if let Some(slot) = table.slots.get_mut(&record.name) {
                    slot.now.lost = record.lost;
                    slot.persisted = record;
                }
            }
        }
        let mut schemas = lock(&self.shared.schemas);
        schemas.retain(|id, _| !retired.contains(id));
        drop(schemas);
        for first in &verdict.segments {
            let path = path(&self.shared.log_dir, *first);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StorageError::io("remove segment", &path, error));
                }
                _ => {}
            }
        }
        sync_dir(&self.shared.log_dir)?;
        self.gone.extend(&verdict.segments);
        self.shared.counters.trimmed_bytes.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        tracing::info!(first_seq, bytes, segments = verdict.segments.len(), "trimmed the log");
        Ok(())
    }

    /// Marks the cursors that lose something; gives their records as they become durable.
    fn expire(&self, verdict: &Verdict, batch: &mut Batch) -> Vec<CursorRecord> {
        let table = lock(&self.shared.cursors);
        let mut expired = Vec::new();
        for (name, first, last) in &verdict.expired {
            let Some(slot) = table.slots.get(name) else { continue };
            let record = CursorRecord { lost: Some((*first, *last)), ..slot.persisted.clone() };
            tracing::error!(cursor = %name, first, last, "cursor lost its place: relay-cursor reset {name} gives it a new one");
            record.put(batch);
            expired.push(record);
        }
        expired
    }
}
