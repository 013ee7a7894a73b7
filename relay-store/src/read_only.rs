//! A log opened for reading by another process than the one that writes it, or with no writer at all: segment files
//! and the published mark, nothing else. Needs nobody's consent and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use crate::address::{self, LocateError, Located};
use crate::error::{OpenError, ReadError, StorageError};
use crate::format;
use crate::gap::{Damage, Gap, GapReason};
use crate::meta::catalogue::{SegmentRecord, SegmentState};
use crate::meta::mark::{self, Mark};
use crate::read::Reader;
use crate::segment::footer::SegmentIndex;
use crate::segment::read::{BlockReadError, SegmentFile};
use crate::segment::{self, scan};
use crate::seq::{LogEpoch, Seq};
use crate::verify::{self, Progress, VerifyReport};
use crate::view::{LogView, Positions, SegmentInfo, View};

/// A log that another process may be writing.
#[derive(Clone)]
pub struct ReadOnlyLog {
    view: Arc<LogView>,
}

impl ReadOnlyLog {
    /// Opens the log of the store in `dir`.
    ///
    /// # Errors
    /// [`OpenError::Missing`] when there is no store; [`OpenError::NewerFormat`]; [`OpenError::Storage`] when the disk refuses.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        format::check_readable(dir)?;
        if !dir.join("log").is_dir() {
            return Err(OpenError::Missing { dir: dir.to_owned() });
        }
        let view = Arc::new(LogView::new(dir.join("log"), false, View::default()));
        refresh(&view)?;
        Ok(ReadOnlyLog { view })
    }

    /// Looks at the mark and the files again. Reading does so by itself at the end of what is known.
    ///
    /// # Errors
    /// [`StorageError::Io`] when the disk refuses.
    pub fn refresh(&self) -> Result<(), StorageError> {
        refresh(&self.view)
    }

    /// A reader, as of a live store.
    pub fn reader(&self) -> Reader {
        Reader::new(self.view.clone(), None)
    }

    /// Where the log begins and ends, as of the last look.
    pub fn positions(&self) -> Positions {
        let mark = self.view.lock().mark.clone();
        Positions {
            first_seq: Seq(mark.first_seq),
            visible_seq: Seq(mark.visible_seq),
            durable_seq: Seq(mark.durable_seq),
            last_seq: Seq(mark.durable_seq),
            log_epoch: LogEpoch(mark.log_epoch),
        }
    }

    /// See [`Store::locate_time`](crate::Store::locate_time). Looks at the files again first.
    ///
    /// # Errors
    /// Before the log's start, after its end, or unreadable.
    pub fn locate_time(&self, us: u64) -> Result<Located, LocateError> {
        refresh(&self.view)?;
        address::locate_time(&self.view, self.reader(), us)
    }

    /// See [`Store::locate_checkpoint`](crate::Store::locate_checkpoint). Looks at the files again first.
    ///
    /// # Errors
    /// Before the log's start, after its end, or unreadable.
    pub fn locate_checkpoint(&self, covers: &mut dyn FnMut(&[u8]) -> bool) -> Result<Located, LocateError> {
        refresh(&self.view)?;
        address::locate_checkpoint(&self.view, covers)
    }

    /// The segments, in order, as of the last look.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.view.segments()
    }

    /// Reads every block below the mark and checks it. Runs beside the writer.
    ///
    /// # Errors
    /// The disk refuses. What does not verify is in the report.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport, ReadError> {
        verify::verify(&self.view, progress)
    }

    /// Places found so far that do not verify.
    pub fn damage(&self) -> Vec<Damage> {
        self.view.lock().damage.clone()
    }
}

/// The published mark and the segment files that go with it: the writer moves both while we look.
fn mark_and_files(log: &LogView) -> Result<(Option<Mark>, BTreeSet<u64>), StorageError> {
    let place = |mark: &Option<Mark>| mark.as_ref().map(|mark| (mark.segment, mark.first_seq));
    let mut published = mark::read_published(&log.log_dir)?;
    for _ in 0..LOOKS_MAX {
        let files = crate::segment::segment_files(&log.log_dir)?;
        let again = mark::read_published(&log.log_dir)?;
        if place(&again) == place(&published) {
            return Ok((again, files));
        }
        published = again;
    }
    Ok((published, crate::segment::segment_files(&log.log_dir)?))
}

/// How often the mark and the files are looked at when they move meanwhile; they move once a segment.
const LOOKS_MAX: usize = 10;

/// Brings the view up to date with the files.
pub(crate) fn refresh(log: &LogView) -> Result<(), StorageError> {
    let (published, files) = mark_and_files(log)?;
    let (known, mut uuid) = {
        let view = log.lock();
        (view.segments.clone(), published.as_ref().map_or(view.mark.uuid, |mark| mark.uuid))
    };
    let mut segments = BTreeMap::new();
    let mut damage = Vec::new();
    let mut crossing = BTreeMap::new();
    let mut last_index: Option<SegmentIndex> = None;
    let mut lost_in_active = None;
    let newest = files.last().copied();
    for first in files {
        if published.as_ref().is_some_and(|mark| first > mark.segment) {
            // Created, and no mark points into it yet.
            continue;
        }
        let active = published.as_ref().map_or(Some(first) == newest, |mark| mark.segment == first);
        if let Some(record) = known.get(&first).filter(|record| record.state == SegmentState::Sealed && !active) {
            segments.insert(first, record.clone());
            continue;
        }
        let path = segment::path(&log.log_dir, first);
        if uuid == [0; 16]
            && let Ok(Ok(file)) = SegmentFile::open(&path)
        {
            uuid = file.header.uuid;
        }
        // Without its header its blocks are readable all the same.
        let mut file = match SegmentFile::open_or_salvage(&path, uuid, first) {
            Ok((file, problem)) => {
                let segment = Seq(first);
                let header = |what: &str| Damage {
                    segment,
                    offset: 0,
                    first: segment,
                    last: segment.prev(),
                    what: what.to_owned(),
                };
                damage.extend(problem.map(header));
                file
            }
            // Trimmed since it was listed.
            Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let bytes = file.len()?;
        let created_ms = file.header.created_ms;
        let index = if active {
            let (limit, durable_seq) = match &published {
                Some(mark) => (mark.offset, mark.durable_seq),
                None => (stated_end(&mut file, bytes)?, 0),
            };
            let (index, lost) = active_index(log, &mut file, limit, durable_seq)?;
            lost_in_active = lost;
            index
        } else {
            match file.footer()? {
                Some(index) => index,
                None => SegmentIndex {
                    sealed_ms: created_ms.max(1),
                    ..scan::scan(&mut file, bytes, scan::Depth::Heads)?.index
                },
            }
        };
        crossing.extend(index.crossing());
        let mut record = SegmentRecord::of_index(&index, created_ms, bytes);
        record.state = if active { SegmentState::Active } else { SegmentState::Sealed };
        segments.insert(first, record);
        if active {
            last_index = Some(index);
        }
    }
    let mut view = log.lock();
    let mark = match published {
        Some(mark) => mark,
        None => unpublished(uuid, &last_index, &segments),
    };
    // The published start may be older than what is gone already, and the other way round.
    let first_seq = segments.keys().next().copied().map_or(mark.first_seq, |first| first.max(mark.first_seq));
    view.mark = Mark { first_seq, ..mark };
    view.segments = segments;
    view.crossing.extend(crossing);
    view.crossing.retain(|_, last| *last >= first_seq);
    if let Some(index) = last_index {
        view.active = index;
    }
    if let Some(lost) = lost_in_active {
        let active = view.active.first_seq;
        view.gaps.retain(|gap| Damage::of_gap(gap).is_none_or(|damage| damage.segment.0 != active));
        for gap in lost {
            view.add_gap(gap);
        }
    }
    for damage in damage {
        view.add_damage(damage);
    }
    Ok(())
}

/// The index of the active segment up to `limit`, going on from what is known of it; and what is lost in it, when all
/// of it was looked at.
fn active_index(
    log: &LogView,
    file: &mut SegmentFile,
    limit: u64,
    durable_seq: u64,
) -> Result<(SegmentIndex, Option<Vec<Gap>>), StorageError> {
    let known = {
        let view = log.lock();
        let same = view.active.first_seq == file.header.first_seq
            && view.mark.log_epoch != 0
            && view.active.start == file.start
            && view.active.end <= limit;
        same.then(|| view.active.clone())
    };
    let all = |file: &mut SegmentFile| {
        let scan = scan::scan(file, limit, scan::Depth::Heads)?;
        let segment = Seq(file.header.first_seq);
        let mut lost: Vec<Gap> =
            scan.bad.iter().map(|bad| bad.gap(segment)).filter(|gap| gap.first <= gap.last).collect();
        if scan.index.last_seq < durable_seq {
            // With its end went how the transaction ended that was open then.
            let first = scan.index.open_tx.unwrap_or(scan.index.last_seq + 1);
            let (offset, what) = (scan.index.end, "the segment's end is missing".to_owned());
            let reason = GapReason::Damaged { segment, offset, what };
            lost.push(Gap { first: Seq(first), last: Seq(durable_seq), reason });
        }
        Ok((scan.index, Some(lost)))
    };
    let Some(mut index) = known else { return all(file) };
    while index.end < limit {
        match file.head_at(index.end) {
            Ok(Some(head)) if head.end() <= limit && head.header.first_seq == index.last_seq + 1 => {
                let offset = index.end;
                index.add(offset, &head.header, &head.meta);
            }
            Err(BlockReadError::Storage(error)) => return Err(error),
            // Not what was expected: the log was cut and written anew, or is damaged. From the start, then.
            _ => return all(file),
        }
    }
    Ok((index, None))
}

/// Without a published mark the newest block's own word counts: where the blocks end that were durable when it was
/// written. What lies behind may be half written.
fn stated_end(file: &mut SegmentFile, len: u64) -> Result<u64, StorageError> {
    let durable = scan::scan(file, len, scan::Depth::Heads)?.durable_seq;
    let mut end = file.start;
    loop {
        match file.head_at(end) {
            Ok(Some(head)) if head.header.last_seq() <= durable => end = head.end(),
            Err(BlockReadError::Storage(error)) => return Err(error),
            _ => return Ok(end),
        }
    }
}

fn unpublished(uuid: [u8; 16], active: &Option<SegmentIndex>, segments: &BTreeMap<u64, SegmentRecord>) -> Mark {
    let first_seq = segments.keys().next().copied().unwrap_or(1);
    match active {
        Some(index) => Mark {
            durable_seq: index.last_seq,
            visible_seq: index.visible_through,
            first_seq,
            segment: index.first_seq,
            offset: index.end,
            log_epoch: index.log_epoch,
            uuid,
            ..Mark::default()
        },
        None => Mark { uuid, first_seq, durable_seq: first_seq - 1, visible_seq: first_seq - 1, ..Mark::default() },
    }
}
