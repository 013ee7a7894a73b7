//! Opening: finds where the log ends. Below the mark everything must verify, else it is a named loss; above it everything
//! is cut. The mark is believed unless something proves that meta has lost a commit; then meta is rebuilt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::disk::{self, Ballast};
use crate::end::{LogEnd, PreparedRange};
use crate::error::{OpenError, StorageError};
use crate::gap::{Damage, Gap, GapReason};
use crate::lockfile::LockFile;
use crate::meta::catalogue::{self, RangeRecord, SegmentRecord, SegmentState, put_gap};
use crate::meta::cursor::CursorRecord;
use crate::meta::db::{self, Batch, Contents, Db};
use crate::meta::mark::{self, Mark, Published};
use crate::meta::schema::SchemaRecord;
use crate::meta::{key_number, prefix};
use crate::options::StoreOptions;
use crate::segment::footer::SegmentIndex;
use crate::segment::read::SegmentFile;
use crate::segment::scan::{self, BadStretch, Scan};
use crate::segment::write::{SegmentWriter, sync_dir};
use crate::segment::{self, SegmentHeader};
use crate::seq::Seq;
use crate::store::OpenReport;
use crate::view::{LogView, View};
use crate::{format, rebuild, recheck};

/// Free bytes that sled needs to open and to take the first batches.
const OPEN_BYTES: u64 = 2 << 20;

/// An opened store, before its writer thread runs.
pub(crate) struct Recovered {
    pub lock: LockFile,
    pub db: Db,
    pub segment: SegmentWriter,
    pub published: Published,
    pub mark: Mark,
    pub end: LogEnd,
    pub view: LogView,
    pub cursors: Vec<CursorRecord>,
    pub spent_epoch: u32,
    pub schemas: BTreeMap<u64, Option<u64>>,
    pub ballast: Ballast,
    pub report: OpenReport,
}

/// Everything that meta holds, decoded.
#[derive(Default)]
pub(crate) struct MetaState {
    pub mark: Option<Mark>,
    pub checkpoint: Option<Vec<u8>>,
    pub segments: BTreeMap<u64, SegmentRecord>,
    pub gaps: Vec<Gap>,
    pub crossing: BTreeMap<u64, u64>,
    pub prepared: Vec<PreparedRange>,
    pub cursors: Vec<CursorRecord>,
    /// Largest epoch of a deleted cursor.
    pub spent_epoch: u32,
    pub schemas: BTreeMap<u64, Option<u64>>,
}

impl MetaState {
    pub(crate) fn decode(contents: Contents) -> Result<Self, StorageError> {
        let mut state = MetaState::default();
        let mut stored = mark::Stored::default();
        for (key, value) in contents {
            let number = || key_number(&key).ok_or_else(|| StorageError::damaged("a meta key", "not a number"));
            match key.first().copied() {
                Some(prefix::MARK) => stored.take(&key, value)?,
                Some(prefix::SEGMENT) => {
                    let record: SegmentRecord = catalogue::decode("segment record", &value)?;
                    state.segments.insert(number()?, record);
                }
                Some(prefix::GAP) => state.gaps.push(catalogue::decode_gap(&value)?),
                Some(prefix::CROSSING) => {
                    let record: RangeRecord = catalogue::decode("crossing range", &value)?;
                    state.crossing.insert(record.first, record.last);
                }
                Some(prefix::PREPARED) => {
                    let record: RangeRecord = catalogue::decode("prepared range", &value)?;
                    state.prepared.push(PreparedRange {
                        xid: record.xid,
                        first: Seq(record.first),
                        last: Seq(record.last),
                    });
                }
                Some(prefix::CURSOR) => state.cursors.push(CursorRecord::decode(&value)?),
                Some(prefix::SCHEMA) => {
                    state.schemas.insert(number()?, SchemaRecord::decode(&value)?.retired_at);
                }
                _ => return Err(StorageError::damaged("meta", format!("unknown key {}", key.escape_ascii()))),
            }
        }
        state.mark = stored.mark;
        state.checkpoint = stored.checkpoint;
        state.spent_epoch = stored.spent_epoch;
        Ok(state)
    }
}

/// The log's directory and whose it is.
pub(crate) struct Site<'a> {
    pub dir: &'a Path,
    pub log_dir: PathBuf,
    pub uuid: [u8; 16],
    /// The published mark of this store, if it is whole: a witness of what meta must hold.
    pub published: Option<Mark>,
}

/// Opens or creates the store in `dir`.
pub(crate) fn open(dir: &Path, options: &StoreOptions) -> Result<Recovered, OpenError> {
    format::prepare_dir(dir)?;
    format::check_version(dir)?;
    let lock = LockFile::take(dir)?;
    let mut ballast = Ballast::new(dir, options.ballast_bytes);
    if disk::free_bytes(dir)? < OPEN_BYTES + ballast.bytes && ballast.present {
        ballast.release()?;
    }
    let free = disk::free_bytes(dir)?;
    if free < OPEN_BYTES {
        return Err(OpenError::DiskFull { dir: dir.to_owned(), free, needed: OPEN_BYTES });
    }
    let identity = format::identify(dir)?;
    let log_dir = dir.join("log");
    let published = mark::read_published(&log_dir)?.filter(|mark| mark.uuid == identity.uuid);
    let site = Site { dir, log_dir, uuid: identity.uuid, published };
    let mut report = OpenReport { created: identity.created, ..OpenReport::default() };
    if identity.restored {
        report.format_restored = true;
        tracing::error!(dir = %dir.display(), "FORMAT was missing or damaged; restored from a segment header");
    }
    let (db, state) = match open_meta(&site) {
        Ok(opened) => opened,
        Err(MetaProblem::Error(error)) => return Err(error),
        Err(MetaProblem::Damaged { what, salvaged }) => {
            tracing::error!(dir = %dir.display(), problem = %what, "meta is damaged and is rebuilt from the segments");
            rebuild::rebuild(&site, what, salvaged, &mut report)?
        }
    };
    go_on(&site, lock, db, state, ballast, report)
}

/// Why meta cannot be used.
enum MetaProblem {
    /// A rebuild would not cure it.
    Error(OpenError),
    /// It is damaged, or behind what was committed.
    Damaged { what: String, salvaged: Option<Box<MetaState>> },
}

fn open_meta(site: &Site<'_>) -> Result<(Db, MetaState), MetaProblem> {
    let meta_dir = site.dir.join("meta");
    let damaged = |what: String| MetaProblem::Damaged { what, salvaged: None };
    // sled would make a new, empty database where its file is missing.
    if !meta_dir.join("db").is_file() {
        return Err(damaged("meta/db is missing".to_owned()));
    }
    let opened = Db::open(&meta_dir);
    let (db, contents) = match opened {
        Ok(opened) => opened,
        Err(error) if db::is_locked(&error) => {
            return Err(MetaProblem::Error(OpenError::Locked { dir: site.dir.to_owned(), pid: None }));
        }
        Err(error) if error.is_refused_or_full() => return Err(MetaProblem::Error(error.into())),
        Err(error) => return Err(damaged(error.to_string())),
    };
    let state = MetaState::decode(contents).map_err(|error| damaged(error.to_string()))?;
    let problem = match &state.mark {
        None => Some("it has no commit mark".to_owned()),
        Some(mark) if mark.uuid != site.uuid => Some("it belongs to another store".to_owned()),
        Some(mark) => lost_commit(site, mark, &state).map_err(|error| MetaProblem::Error(error.into()))?,
    };
    match problem {
        None => Ok((db, state)),
        Some(what) => Err(MetaProblem::Damaged { what, salvaged: Some(Box::new(state)) }),
    }
}

/// Whether something proves that meta has held more than it does: sled loses its newest batches silently when its
/// file is damaged near the end, and cutting the log at such a mark would take away what was acknowledged.
fn lost_commit(site: &Site<'_>, mark: &Mark, state: &MetaState) -> Result<Option<String>, StorageError> {
    if let Some(published) = &site.published
        && published.commit_no > mark.commit_no
    {
        return Ok(Some(format!("it ends at commit {}, commit {} was published", mark.commit_no, published.commit_no)));
    }
    if !state.segments.contains_key(&mark.segment) {
        return Ok(Some("the catalogue lacks the active segment".to_owned()));
    }
    for first in segment_files(&site.log_dir)?.range(mark.segment..) {
        let Ok(mut file) = SegmentFile::open(&segment::path(&site.log_dir, *first))? else { continue };
        if file.header.uuid != site.uuid {
            continue;
        }
        if first - 1 > mark.durable_seq {
            return Ok(Some(format!("a segment begins at {first}, its mark is at {}", mark.durable_seq)));
        }
        // What lies above the mark is at most one group; its blocks say what was durable when they were written.
        let from = if *first == mark.segment { mark.offset.max(1) - 1 } else { file.start - 1 };
        let (mut at, len) = (from, file.len()?);
        while let Some(head) = file.resync(at, len)? {
            if head.header.durable_seq > mark.durable_seq {
                let known = head.header.durable_seq;
                return Ok(Some(format!("its mark is at {}, a block states {known}", mark.durable_seq)));
            }
            at = head.end() - 1;
        }
    }
    Ok(None)
}

/// The first seqs of the segment files in the directory.
pub(crate) fn segment_files(log_dir: &Path) -> Result<BTreeSet<u64>, StorageError> {
    let mut files = BTreeSet::new();
    let entries = match std::fs::read_dir(log_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(StorageError::io("list", log_dir, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| StorageError::io("list", log_dir, error))?;
        files.extend(segment::parse_name(&entry.file_name().to_string_lossy()).filter(|first| *first > 0));
    }
    Ok(files)
}

/// Goes on where the mark says.
fn go_on(
    site: &Site<'_>,
    lock: LockFile,
    mut db: Db,
    mut state: MetaState,
    ballast: Ballast,
    mut report: OpenReport,
) -> Result<Recovered, OpenError> {
    let mut mark = state.mark.take().expect("looked at when meta was opened or rebuilt");
    let mut batch = Batch::default();
    finish_deletions(site, &mark, &mut state, &mut batch)?;
    recheck::recheck(site, mark.segment, &mut state, &mut batch)?;
    let mut view = View { gaps: std::mem::take(&mut state.gaps), ..View::default() };
    view.damage = view.gaps.iter().filter_map(Damage::of_gap).collect();
    check_sealed(site, &mark, &state, &mut view, &mut batch)?;
    remove_orphans(site, &mark)?;

    let tail = scan_tail(site, &mark, &state)?;
    let clean = tail.as_ref().is_some_and(|scan| {
        scan.bad.is_empty() && scan.index.end == mark.offset && scan.index.last_seq == mark.durable_seq
    });
    let mut end = LogEnd {
        last_seq: mark.durable_seq,
        open_tx: None,
        visible_through: mark.visible_seq,
        running_max_us: 0,
        checkpoint: state.checkpoint.take(),
        prepared: std::mem::take(&mut state.prepared),
    };
    let segment = match tail {
        Some(scan) if clean => {
            let path = segment::path(&site.log_dir, mark.segment);
            let len = std::fs::metadata(&path).map_err(|error| StorageError::io("read", &path, error))?.len();
            report.cut_bytes = len.saturating_sub(mark.offset);
            end.open_tx = scan.index.open_tx;
            end.running_max_us = scan.index.running_max_us;
            SegmentWriter::resume(&site.log_dir, scan.index)?
        }
        tail => {
            let tail = match tail {
                Some(tail) => tail,
                None => missing_tail(site, &mark, &state)?,
            };
            let mut loss = Loss { site, mark: &mut mark, end: &mut end, view: &mut view, batch: &mut batch };
            let sealed = loss.name(tail, &mut report);
            lose_prepared(site, &view.gaps, sealed.first_seq, &mut end, &mut state, &mut batch)?;
            let header = next_header(&mark, &end, &state.cursors);
            let segment = SegmentWriter::create(&site.log_dir, &header)?;
            let old = state.segments.get(&sealed.first_seq).map_or(0, |record| record.created_ms);
            let sealed = SegmentRecord { created_ms: old, ..sealed };
            let active = SegmentRecord::of_index(&segment.index, header.created_ms, segment.offset);
            sealed.put(&mut batch);
            active.put(&mut batch);
            if let Some(checkpoint) = &end.checkpoint {
                mark::put_checkpoint(&mut batch, checkpoint);
            }
            state.segments.insert(sealed.first_seq, sealed);
            state.segments.insert(active.first_seq, active);
            mark.segment = segment.index.first_seq;
            mark.offset = segment.offset;
            segment
        }
    };
    sync_dir(&site.log_dir)?;
    mark.commit_no += 1;
    mark.put(&mut batch);
    db.commit(batch)?;
    let published = Published::open(&site.log_dir)?;
    published.write(&mark)?;
    report.open_transaction = end.open_tx.map(|first| (Seq(first), Seq(end.last_seq)));
    report.damage.clone_from(&view.damage);
    if let Some(active) = state.segments.get_mut(&mark.segment) {
        active.state = SegmentState::Active;
    }
    view.mark = mark.clone();
    view.segments = state.segments;
    view.active = segment.index.clone();
    view.crossing = state.crossing;
    let view = LogView::new(site.log_dir.clone(), true, view);
    let (cursors, spent_epoch, schemas) = (state.cursors, state.spent_epoch, state.schemas);
    Ok(Recovered { lock, db, segment, published, mark, end, view, cursors, spent_epoch, schemas, ballast, report })
}

pub(crate) fn next_header(mark: &Mark, end: &LogEnd, cursors: &[CursorRecord]) -> SegmentHeader {
    SegmentHeader {
        uuid: mark.uuid,
        first_seq: mark.durable_seq + 1,
        created_ms: crate::clock::now_ms(),
        log_epoch: mark.log_epoch,
        checkpoint: end.checkpoint.clone(),
        running_max_us: end.running_max_us,
        open_tx: end.open_tx,
        visible_through: end.visible_through,
        cursors: cursors.to_vec(),
    }
}

/// Removes files whose deletion was durable before the last life ended.
fn finish_deletions(
    site: &Site<'_>,
    mark: &Mark,
    state: &mut MetaState,
    batch: &mut Batch,
) -> Result<(), StorageError> {
    let deleting: Vec<u64> = state
        .segments
        .values()
        .filter(|record| record.state == SegmentState::Deleting)
        .map(|record| record.first_seq)
        .collect();
    let files = segment_files(&site.log_dir)?;
    // Below the log's start nothing but such leftovers can lie.
    let leftovers = files.range(..mark.first_seq).filter(|first| !state.segments.contains_key(first)).copied();
    for first in leftovers.chain(deleting.iter().copied().filter(|first| files.contains(first))) {
        let path = segment::path(&site.log_dir, first);
        std::fs::remove_file(&path).map_err(|error| StorageError::io("remove segment", &path, error))?;
    }
    for first in deleting {
        SegmentRecord::delete(first, batch);
        state.segments.remove(&first);
    }
    Ok(())
}

/// Looks at the sealed segments from outside: a file that is gone or too short is named now, not when it is read.
fn check_sealed(
    site: &Site<'_>,
    mark: &Mark,
    state: &MetaState,
    view: &mut View,
    batch: &mut Batch,
) -> Result<(), StorageError> {
    for record in state.segments.values().filter(|record| record.first_seq != mark.segment) {
        let path = segment::path(&site.log_dir, record.first_seq);
        let segment = Seq(record.first_seq);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.len() < record.bytes => {
                let what = format!("it has {} bytes, {} were sealed", metadata.len(), record.bytes);
                let (first, last) = (segment, segment.prev());
                view.add_damage(Damage { segment, offset: metadata.len(), first, last, what });
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let what = "segment file is missing".to_owned();
                let reason = GapReason::Damaged { segment, offset: 0, what: what.clone() };
                let gap = Gap { first: segment, last: Seq(record.last_seq), reason };
                if view.add_gap(gap.clone()) {
                    put_gap(&gap, batch);
                    view.add_damage(Damage { segment, offset: 0, first: segment, last: Seq(record.last_seq), what });
                }
            }
            Err(error) => return Err(StorageError::io("read segment", &path, error)),
        }
    }
    Ok(())
}

/// Removes segments that were created and that no mark ever pointed into.
fn remove_orphans(site: &Site<'_>, mark: &Mark) -> Result<(), StorageError> {
    for first in segment_files(&site.log_dir)?.range(mark.segment + 1..) {
        let path = segment::path(&site.log_dir, *first);
        std::fs::remove_file(&path).map_err(|error| StorageError::io("remove segment", &path, error))?;
    }
    Ok(())
}

fn scan_tail(site: &Site<'_>, mark: &Mark, state: &MetaState) -> Result<Option<Scan>, StorageError> {
    let path = segment::path(&site.log_dir, mark.segment);
    let (mut file, problem) = match SegmentFile::open_or_salvage(&path, site.uuid, mark.segment) {
        Ok(opened) => opened,
        Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(what) = problem else { return scan::scan(&mut file, mark.offset, scan::Depth::Checksums).map(Some) };
    if let Some(before) = index_before(site, mark.segment, state)? {
        file.header.log_epoch = before.log_epoch;
        file.header.checkpoint = before.checkpoint;
        file.header.running_max_us = before.running_max_us;
        file.header.open_tx = before.open_tx;
        file.header.visible_through = before.visible_through;
    }
    let mut scan = scan::scan(&mut file, mark.offset, scan::Depth::Checksums)?;
    let (first, last) = (mark.segment, mark.segment - 1);
    scan.bad.insert(0, BadStretch { offset: 0, until: file.start, first, last, what: what.to_owned() });
    Ok(Some(scan))
}

/// What is known when the active segment's file is gone: what the segment before it ended with.
fn missing_tail(site: &Site<'_>, mark: &Mark, state: &MetaState) -> Result<Scan, StorageError> {
    let before = index_before(site, mark.segment, state)?.unwrap_or_default();
    let (first, last) = (mark.segment, mark.segment - 1);
    let index = SegmentIndex {
        first_seq: first,
        last_seq: last,
        index: Vec::new(),
        closed: Vec::new(),
        schemas: Vec::new(),
        times: None,
        ..before
    };
    let what = "segment file is missing".to_owned();
    Ok(Scan { index, bad: vec![BadStretch { offset: 0, until: 0, first, last, what }], durable_seq: 0, blocks: 0 })
}

/// The index of the segment before the one that begins at `first_seq`.
fn index_before(site: &Site<'_>, first_seq: u64, state: &MetaState) -> Result<Option<SegmentIndex>, StorageError> {
    let Some(before) = state.segments.range(..first_seq).next_back().map(|(first, _)| *first) else {
        return Ok(None);
    };
    let path = segment::path(&site.log_dir, before);
    let mut file = match SegmentFile::open_or_salvage(&path, site.uuid, before) {
        Ok((file, _)) => file,
        Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.footer()? {
        Some(index) => Ok(Some(index)),
        None => {
            let len = file.len()?;
            Ok(Some(scan::scan(&mut file, len, scan::Depth::Heads)?.index))
        }
    }
}

/// What is lost below the mark is named; the log goes on behind the mark in a new log epoch and a new segment.
struct Loss<'a, 'b> {
    site: &'a Site<'b>,
    mark: &'a mut Mark,
    end: &'a mut LogEnd,
    view: &'a mut View,
    batch: &'a mut Batch,
}

impl Loss<'_, '_> {
    /// Gives the record of the segment that is left as it is, for reading what of it is good.
    fn name(&mut self, tail: Scan, report: &mut OpenReport) -> SegmentRecord {
        let segment = Seq(self.mark.segment);
        let durable = self.mark.durable_seq;
        let Scan { index, bad, .. } = tail;
        // A transaction that lost its end goes with it: it is read from the source again as a whole.
        let lost_from =
            (index.last_seq < durable).then(|| index.open_tx.unwrap_or(index.last_seq + 1).min(index.last_seq + 1));
        for stretch in bad {
            let last = lost_from.map_or(stretch.last, |from| stretch.last.min(from - 1));
            let (first, last) = (Seq(stretch.first), Seq(last));
            let (offset, what) = (stretch.offset, stretch.what);
            if last >= first {
                let reason = GapReason::Damaged { segment, offset, what: what.clone() };
                self.add(Gap { first, last, reason }, report);
            }
            self.view.add_damage(Damage { segment, offset, first, last, what });
        }
        match lost_from {
            Some(first) => {
                let reason = if index.checkpoint.is_some() || self.end.checkpoint.is_none() {
                    self.end.checkpoint.clone_from(&index.checkpoint);
                    GapReason::LostEnd
                } else {
                    // Nothing says where to read it from again, so the newest checkpoint stays, and the loss is final.
                    let what = "the log's end is lost, and every checkpoint before it".to_owned();
                    GapReason::Damaged { segment, offset: index.end, what }
                };
                self.add(Gap { first: Seq(first), last: Seq(durable), reason }, report);
                self.end.visible_through = durable;
                self.mark.visible_seq = durable;
            }
            None => self.end.open_tx = index.open_tx,
        }
        self.end.running_max_us = index.running_max_us;
        self.mark.log_epoch += 1;
        let bytes = std::fs::metadata(segment::path(&self.site.log_dir, segment.0)).map_or(0, |meta| meta.len());
        let mut record = SegmentRecord::of_index(&index, 0, bytes);
        record.state = SegmentState::Sealed;
        record.sealed_ms = crate::clock::now_ms();
        record
    }

    fn add(&mut self, gap: Gap, report: &mut OpenReport) {
        tracing::error!(dir = %self.site.dir.display(), %gap, "the log lost entries below its mark");
        if self.view.add_gap(gap.clone()) {
            put_gap(&gap, self.batch);
            report.lost.push(gap);
        }
    }
}

/// After a loss meta's prepared ranges are not those of the log: one may be lost, and one whose commit was lost is
/// needed again. What the kept segments say counts.
fn lose_prepared(
    site: &Site<'_>,
    gaps: &[Gap],
    last_segment: u64,
    end: &mut LogEnd,
    state: &mut MetaState,
    batch: &mut Batch,
) -> Result<(), StorageError> {
    let mut replay = LogEnd::default();
    for first in state.segments.keys().copied().filter(|first| *first <= last_segment) {
        let path = segment::path(&site.log_dir, first);
        let Ok((mut file, _)) = SegmentFile::open_or_salvage(&path, site.uuid, first) else { continue };
        let index = match file.footer()? {
            Some(index) => index,
            None => {
                let len = file.len()?;
                scan::scan(&mut file, len, scan::Depth::Heads)?.index
            }
        };
        index.closed.iter().for_each(|closed| replay.close(closed));
    }
    let lost = |range: &PreparedRange| gaps.iter().any(|gap| gap.first <= range.last && range.first <= gap.last);
    replay.prepared.retain(|range| !lost(range));
    for range in &end.prepared {
        RangeRecord::delete(prefix::PREPARED, range.first.0, batch);
    }
    for range in &replay.prepared {
        RangeRecord { first: range.first.0, last: range.last.0, xid: range.xid.clone() }.put(prefix::PREPARED, batch);
    }
    end.prepared = replay.prepared;
    Ok(())
}
