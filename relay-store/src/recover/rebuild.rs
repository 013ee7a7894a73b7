//! Rebuilding meta from the segments, when sled's files are damaged, gone, or behind what was committed.

use std::collections::BTreeMap;
use std::path::Path;

use super::{MetaState, OpenReport, Site, next_header};
use crate::block;
use crate::end::LogEnd;
use crate::error::{OpenError, StorageError};
use crate::gap::{Gap, GapReason};
use crate::meta::catalogue::{RangeRecord, SegmentRecord, SegmentState, put_gap};
use crate::meta::cursor::CursorRecord;
use crate::meta::db::{Batch, Db};
use crate::meta::mark::{self, Mark};
use crate::meta::prefix;
use crate::meta::schema::{self, SchemaRecord};
use crate::segment::footer::SegmentIndex;
use crate::segment::read::SegmentFile;
use crate::segment::scan;
use crate::segment::write::{SegmentWriter, sync_dir};
use crate::segment::{self, segment_files};
use crate::seq::Seq;

/// What the segments tell, taken in one after the other.
struct Found {
    records: BTreeMap<u64, SegmentRecord>,
    crossing: BTreeMap<u64, u64>,
    gaps: Vec<Gap>,
    end: LogEnd,
    cursors: Vec<CursorRecord>,
    schemas: BTreeMap<u64, SchemaRecord>,
    log_epoch: u32,
    /// Largest seq that anything states to be durable.
    durable: u64,
    last: Option<SegmentIndex>,
}

/// Moves the damaged meta aside and makes a new one. Cursors come from the newest snapshot, or from what the old meta
/// still gives; they start paused, for they may stand behind the truth.
pub(super) fn rebuild(
    site: &Site<'_>,
    problem: String,
    salvaged: Option<Box<MetaState>>,
    report: &mut OpenReport,
) -> Result<(Db, MetaState), OpenError> {
    let mut found = collect(site)?;
    if found.last.is_none() && site.published.is_none() {
        let detail = format!("meta ({problem}) and every segment are gone");
        return Err(OpenError::Damaged { dir: site.dir.to_owned(), detail });
    }
    let salvaged = salvaged.map(|state| *state).unwrap_or_default();
    let spent_epoch = salvaged.spent_epoch;
    let cursors = merge_cursors(std::mem::take(&mut found.cursors), salvaged.cursors);
    let stated = site.published.as_ref().map_or(0, |mark| mark.durable_seq);
    let old_mark = salvaged.mark.as_ref();
    let acked = cursors.iter().map(|cursor| cursor.acked).max().unwrap_or(0);
    let durable = found.durable.max(stated).max(acked).max(old_mark.map_or(0, |mark| mark.durable_seq));
    let commit_no = site.published.as_ref().map_or(0, |mark| mark.commit_no);
    let commit_no = commit_no.max(old_mark.map_or(0, |mark| mark.commit_no));
    let published_epoch = site.published.as_ref().map_or(0, |mark| mark.log_epoch);
    let log_epoch = found.log_epoch.max(published_epoch) + 1;

    let aside = site.dir.join(format!("meta.bad-{}", crate::clock::now_ms()));
    let meta_dir = site.dir.join("meta");
    match std::fs::rename(&meta_dir, &aside) {
        Ok(()) => report.meta_rebuilt = Some(aside),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => report.meta_rebuilt = Some(meta_dir.clone()),
        Err(error) => return Err(StorageError::io("move aside", &meta_dir, error).into()),
    }
    report.meta_problem = Some(problem);
    sync_dir(site.dir)?;
    make_meta_dir(&meta_dir)?;
    let (mut db, _) = Db::open(&meta_dir)?;

    let mut batch = Batch::default();
    let first_seq = found.records.keys().next().copied().unwrap_or(durable + 1);
    let mut state = MetaState::default();
    let end = &mut found.end;
    if durable > end.last_seq {
        let first = end.open_tx.unwrap_or(end.last_seq + 1).max(first_seq.min(durable));
        let gap = Gap { first: Seq(first), last: Seq(durable), reason: GapReason::LostEnd };
        tracing::error!(dir = %site.dir.display(), %gap, "the log lost entries below its mark");
        report.lost.push(gap.clone());
        found.gaps.push(gap);
        end.open_tx = None;
        end.last_seq = durable;
        end.visible_through = durable;
    }
    state.cursors = cursors.into_iter().map(|cursor| restore(cursor, first_seq, end.visible_through)).collect();
    report.restored_cursors = state.cursors.iter().map(|cursor| cursor.name.clone()).collect();

    let mut mark = Mark {
        uuid: site.uuid,
        commit_no: commit_no + 1,
        durable_seq: end.last_seq,
        visible_seq: end.visible_through,
        first_seq,
        segment: 0,
        offset: 0,
        log_epoch,
    };
    let active = continue_log(site, &mut mark, end, found.last.take(), &mut found.records, &state.cursors)?;
    found.records.insert(active.first_seq, active);
    mark.put(&mut batch);
    if let Some(checkpoint) = &end.checkpoint {
        mark::put_checkpoint(&mut batch, checkpoint);
    }
    found.records.values().for_each(|record| record.put(&mut batch));
    found.gaps.iter().for_each(|gap| put_gap(gap, &mut batch));
    for (&first, &last) in &found.crossing {
        RangeRecord { first, last, xid: Vec::new() }.put(prefix::CROSSING, &mut batch);
    }
    end.prepared.retain(|range| !found.gaps.iter().any(|gap| gap.first <= range.last && range.first <= gap.last));
    for range in &end.prepared {
        RangeRecord { first: range.first.0, last: range.last.0, xid: range.xid.clone() }
            .put(prefix::PREPARED, &mut batch);
    }
    state.cursors.iter().for_each(|cursor| cursor.put(&mut batch));
    state.spent_epoch = spent_epoch;
    mark::put_spent_epoch(&mut batch, spent_epoch);
    for (id, record) in &found.schemas {
        record.put(*id, &mut batch);
        state.schemas.insert(*id, None);
    }
    db.commit(batch)?;
    state.mark = Some(mark);
    state.checkpoint.clone_from(&end.checkpoint);
    state.segments = found.records;
    state.gaps = found.gaps;
    state.crossing = found.crossing;
    state.prepared.clone_from(&end.prepared);
    Ok((db, state))
}

/// Reads headers and footers of all segments, and all of those that have no footer.
fn collect(site: &Site<'_>) -> Result<Found, OpenError> {
    let mut found = Found {
        records: BTreeMap::new(),
        crossing: BTreeMap::new(),
        gaps: Vec::new(),
        end: LogEnd::default(),
        cursors: Vec::new(),
        schemas: BTreeMap::new(),
        log_epoch: 0,
        durable: 0,
        last: None,
    };
    for first in segment_files(&site.log_dir)? {
        let path = segment::path(&site.log_dir, first);
        let (mut file, problem) = SegmentFile::open_or_salvage(&path, site.uuid, first)?;
        if file.header.uuid != site.uuid || file.header.first_seq != first {
            tracing::error!(path = %path.display(), "a file of another store is left out");
            continue;
        }
        if problem.is_none() {
            found.cursors.clone_from(&file.header.cursors);
        }
        let (index, bytes) = match file.footer()? {
            Some(index) => (index, file.len()?),
            None => {
                let len = file.len()?;
                let scan = scan::scan(&mut file, len, scan::Depth::Checksums)?;
                found.durable = found.durable.max(scan.durable_seq);
                for bad in scan.bad.iter().filter(|bad| bad.last >= bad.first) {
                    let reason = GapReason::Damaged { segment: Seq(first), offset: bad.offset, what: bad.what.clone() };
                    found.gaps.push(Gap { first: Seq(bad.first), last: Seq(bad.last), reason });
                }
                (scan.index, len)
            }
        };
        take_in(&mut found, &mut file, index, bytes)?;
    }
    Ok(found)
}

fn take_in(found: &mut Found, file: &mut SegmentFile, index: SegmentIndex, bytes: u64) -> Result<(), StorageError> {
    let first = index.first_seq;
    if let Some(before) = &found.last
        && first > before.last_seq + 1
    {
        // A jump into a new log epoch was an end that was lost; within one epoch a segment is missing.
        let lost_end = file.header.log_epoch > before.log_epoch;
        let reason = if lost_end {
            GapReason::LostEnd
        } else {
            GapReason::Damaged { segment: Seq(before.last_seq + 1), offset: 0, what: "segment file is missing".into() }
        };
        let from = before.open_tx.filter(|_| lost_end).unwrap_or(before.last_seq + 1);
        found.gaps.push(Gap { first: Seq(from), last: Seq(first - 1), reason });
    }
    found.durable = found.durable.max(first - 1);
    found.log_epoch = found.log_epoch.max(index.log_epoch).max(file.header.log_epoch);
    found.crossing.extend(index.crossing());
    index.closed.iter().for_each(|closed| found.end.close(closed));
    found.end.last_seq = index.last_seq;
    found.end.open_tx = index.open_tx;
    found.end.visible_through = index.visible_through.max(found.end.visible_through);
    found.end.running_max_us = found.end.running_max_us.max(index.running_max_us);
    if index.checkpoint.is_some() {
        found.end.checkpoint.clone_from(&index.checkpoint);
    }
    for (id, offset) in &index.schemas {
        let Ok(Some(head)) = file.head_at(*offset) else { continue };
        let (mut stored, mut raw) = (Vec::new(), Vec::new());
        let Ok(()) = file.payload(&head, &mut stored) else { continue };
        let Ok(()) = block::decode_payload(&head.header, &mut stored, &mut raw) else { continue };
        for version in schema::decode_block(&raw)?.into_iter().filter(|version| version.id == *id) {
            found.schemas.insert(version.id, SchemaRecord { bytes: version.bytes, retired_at: None });
        }
    }
    let mut record = SegmentRecord::of_index(&index, file.header.created_ms, bytes);
    record.state = SegmentState::Sealed;
    found.records.insert(first, record);
    found.last = Some(index);
    Ok(())
}

/// Seals the last segment as far as it is good, and begins a new one behind it. A segment without an entry goes on.
fn continue_log(
    site: &Site<'_>,
    mark: &mut Mark,
    end: &LogEnd,
    last: Option<SegmentIndex>,
    records: &mut BTreeMap<u64, SegmentRecord>,
    cursors: &[CursorRecord],
) -> Result<SegmentRecord, StorageError> {
    let now_ms = crate::clock::now_ms();
    if let Some(index) = last {
        let (first, open) = (index.first_seq, index.sealed_ms == 0);
        if first == mark.durable_seq + 1 {
            let segment = SegmentWriter::resume(&site.log_dir, index)?;
            segment.unsynced().sync()?;
            mark.segment = first;
            mark.offset = segment.offset;
            return Ok(SegmentRecord::of_index(&segment.index, now_ms, segment.offset));
        }
        if open {
            let mut segment = SegmentWriter::resume(&site.log_dir, index)?;
            let bytes = segment.seal(now_ms)?;
            let created = records.get(&first).map_or(now_ms, |record| record.created_ms);
            records.insert(first, SegmentRecord::of_index(&segment.index, created, bytes));
        }
    }
    let segment = SegmentWriter::create(&site.log_dir, &next_header(mark, end, cursors))?;
    mark.segment = segment.index.first_seq;
    mark.offset = segment.offset;
    Ok(SegmentRecord::of_index(&segment.index, now_ms, segment.offset))
}

/// Of two records of one cursor the one further on counts: an ack never says more than was delivered.
fn merge_cursors(snapshot: Vec<CursorRecord>, salvaged: Vec<CursorRecord>) -> Vec<CursorRecord> {
    let mut merged: BTreeMap<String, CursorRecord> = BTreeMap::new();
    for cursor in snapshot.into_iter().chain(salvaged) {
        match merged.get(&cursor.name) {
            Some(known) if (known.epoch, known.acked) >= (cursor.epoch, cursor.acked) => {}
            _ => drop(merged.insert(cursor.name.clone(), cursor)),
        }
    }
    merged.into_values().collect()
}

fn restore(cursor: CursorRecord, first_seq: u64, visible: u64) -> CursorRecord {
    CursorRecord {
        // Only acknowledged data was trimmed, so what lies before the start was acknowledged.
        acked: cursor.acked.max(first_seq - 1).min(visible),
        paused: true,
        restored: true,
        ..cursor
    }
}

fn make_meta_dir(dir: &Path) -> Result<(), StorageError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(dir).map_err(|error| StorageError::io("create", dir, error))
}
