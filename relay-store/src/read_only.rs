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

/// How often a look is taken again because the whole of what it saw was trimmed meanwhile.
const LOOKS_MAX: usize = 10;

/// Brings the view up to date with the files, while the writer appends, rotates and trims.
pub(crate) fn refresh(log: &LogView) -> Result<(), StorageError> {
    for _ in 0..LOOKS_MAX {
        // IMPORTANT: the mark before the names, so that the segment it points into is among them; and where the log
        // begins after both (in `take_in`), so that nothing which went meanwhile lies behind that.
        let published = mark::read_published(&log.log_dir)?;
        let files = segment::segment_files(&log.log_dir)?;
        if take_in(log, published, files)? {
            return Ok(());
        }
    }
    let busy = std::io::Error::new(std::io::ErrorKind::ResourceBusy, "it is trimmed faster than it can be listed");
    Err(StorageError::io("list", &log.log_dir, busy))
}

/// Takes in a mark and the names that were listed after it. `false`: all of that was trimmed meanwhile.
fn take_in(log: &LogView, published: Option<Mark>, files: BTreeSet<u64>) -> Result<bool, StorageError> {
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
            // Trimmed since it was listed; so may be others that are known and were not looked at.
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
    let now = mark::read_published(&log.log_dir)?;
    let mark = match (published, now) {
        (Some(mark), Some(now)) if now.segment != mark.segment && now.first_seq > mark.segment => return Ok(false),
        (Some(mark), Some(now)) => Mark { first_seq: now.first_seq, ..mark },
        (Some(mark), None) => mark,
        // Published for the first time while we looked.
        (None, Some(_)) => return Ok(false),
        (None, None) => unpublished(uuid, &last_index, &segments),
    };
    // IMPORTANT: names are listed one by one while files go, so an old segment may be among them and the one behind it
    // not. Kept, it would make a hole, and an address that leads into the hole would be taken to lead behind it.
    segments.retain(|first, record| {
        record.state == SegmentState::Active || *first >= mark.first_seq || record.last_seq >= mark.first_seq
    });
    // What is gone already may be more than the published start says.
    let first_seq = segments.keys().next().copied().map_or(mark.first_seq, |first| first.max(mark.first_seq));
    let mut view = log.lock();
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
    Ok(true)
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{Codec, Commit, EntryHeader, Read, Retention, Store, StoreOptions, Submit};

    /// Transactions of one entry, each with its seq as commit time and checkpoint.
    fn append(store: &Store, transactions: u64) {
        let mut appender = store.appender().expect("appender");
        for _ in 0..transactions {
            let seq = appender.last_seq().next().0;
            let header = EntryHeader { kind: 1, flags: 0, tx_index: 0, source_pos: seq, received_us: seq };
            let context: &[u8] = b"";
            appender.append(header, &[&[seq as u8; 4096]], &context).expect("append");
            let checkpoint = seq.to_be_bytes();
            appender.commit(Commit { checkpoint: &checkpoint, commit_time_us: seq, forget_prepared: None });
            appender.seal();
            while appender.submit().expect("submit") == Submit::Full {
                appender.wait_space().expect("space");
            }
        }
        appender.flush().expect("flush");
    }

    fn open(dir: &Path) -> Store {
        let options = StoreOptions {
            segment_bytes: 64 << 10,
            codec: Codec::None,
            commit_interval: Duration::from_millis(1),
            ballast_bytes: 0,
            ..StoreOptions::default()
        };
        Store::open(dir, options).expect("open")
    }

    /// Trims all before the segment at `at`; gives its first seq.
    fn trim_to(store: &Store, at: usize) -> u64 {
        let segments = store.segments();
        let max_bytes = segments[at..].iter().map(|segment| segment.bytes).sum();
        store.set_retention(Retention { max_bytes: Some(max_bytes), ..Retention::default() });
        let deadline = Instant::now() + Duration::from_secs(60);
        while segments[..at].iter().any(|segment| segment.path.exists()) {
            assert!(Instant::now() < deadline, "not trimmed");
            std::thread::yield_now();
        }
        assert_eq!(store.positions().first_seq, segments[at].first_seq);
        segments[at].first_seq.0
    }

    /// The log in `log` begins at `first`, without a hole: an address before that leads nowhere, each one behind it to
    /// its own transaction, and reading names what was trimmed and nothing else.
    fn assert_begins_at(log: &Arc<LogView>, first: u64, last: u64) {
        assert_eq!(log.lock().mark.first_seq, first);
        for seq in 1..=last {
            let located = address::locate_time(log, Reader::new(log.clone(), None), seq);
            match located {
                Ok(located) => assert_eq!((located.first.0, located.last.0), (seq, seq)),
                Err(LocateError::BeforeStart { first: start }) => assert!(start.0 == first && seq < first, "{seq}"),
                Err(error) => panic!("{seq}: {error}"),
            }
        }
        let trimmed = Gap { first: Seq(1), last: Seq(first - 1), reason: GapReason::Trimmed };
        assert!(matches!(Reader::new(log.clone(), None).read(Seq(1)), Ok(Read::Gap(gap)) if gap == trimmed));
    }

    /// Names are listed while files go: the first segment was seen, those behind it were gone when it was their turn.
    /// The known record of the first stayed, and what had been in the hole was looked for behind it.
    #[test]
    fn segment_that_was_listed_while_those_behind_it_went_is_not_kept() {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = open(dir.path());
        append(&store, 100);
        let log = ReadOnlyLog::open(dir.path()).expect("read-only");
        let path = store.segments()[0].path.clone();
        let first_segment = std::fs::read(&path).expect("read");
        let first = trim_to(&store, 3);
        std::fs::write(&path, first_segment).expect("put back");
        log.refresh().expect("refresh");
        assert_begins_at(&log.view, first, 100);
    }

    /// What is not known is opened, so that it is seen to be gone; what is known is not. With the start as of before
    /// the listing the one made a hole behind the other, which was told as damage.
    #[test]
    fn segments_that_went_after_they_were_listed_leave_no_hole() {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = open(dir.path());
        append(&store, 30);
        let log = ReadOnlyLog::open(dir.path()).expect("read-only");
        let known = log.segments().len();
        append(&store, 100);
        let published = mark::read_published(&log.view.log_dir).expect("mark");
        let files = segment::segment_files(&log.view.log_dir).expect("names");
        let first = trim_to(&store, known + 2);
        assert!(take_in(&log.view, published, files).expect("take in"));
        assert_begins_at(&log.view, first, 130);
    }

    /// Then nothing is left of what was looked at, and it is looked at again.
    #[test]
    fn look_whose_active_segment_was_trimmed_meanwhile_is_taken_again() {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = open(dir.path());
        append(&store, 30);
        let log = ReadOnlyLog::open(dir.path()).expect("read-only");
        let published = mark::read_published(&log.view.log_dir).expect("mark");
        let files = segment::segment_files(&log.view.log_dir).expect("names");
        append(&store, 100);
        let first = trim_to(&store, files.len() + 1);
        assert!(!take_in(&log.view, published, files).expect("take in"));
        log.refresh().expect("refresh");
        assert_begins_at(&log.view, first, 130);
    }
}
