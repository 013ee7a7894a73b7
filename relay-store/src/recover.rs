//! Opening: finds where the log ends. Below the mark everything must verify, else it is a named loss; above it everything
//! is cut. The mark is believed unless something proves that meta has lost a commit; then meta is rebuilt.
//!
//! | file | job |
//! |---|---|
//! | `meta.rs` | meta opened, decoded, and held against the segments |
//! | `rebuild.rs` | meta made anew from the segments |
//! | `files.rs` | the segment files held against the catalogue |
//! | `recheck.rs` | known damage that was mended |
//! | `tail.rs` | the active segment up to the mark |
//! | `loss.rs` | what is lost below the mark |

mod files;
mod loss;
mod meta;
mod rebuild;
mod recheck;
mod tail;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::disk::{self, Ballast};
use crate::end::LogEnd;
use crate::error::{OpenError, StorageError};
use crate::format;
use crate::gap::{Damage, Gap};
use crate::lockfile::LockFile;
use crate::meta::catalogue::{SegmentRecord, SegmentState};
use crate::meta::cursor::CursorRecord;
use crate::meta::db::{Batch, Db};
use crate::meta::mark::{self, Mark, Published};
use crate::meta::note::Note;
use crate::options::StoreOptions;
use crate::segment::write::{SegmentWriter, sync_dir};
use crate::segment::{self, SegmentHeader};
use crate::seq::Seq;
use crate::view::{LogView, View};
use files::{check_sealed, finish_deletions, remove_orphans};
use loss::{Loss, lose_prepared};
use meta::{MetaProblem, open_meta};
use tail::{missing_tail, scan_tail};

pub(crate) use meta::MetaState;

/// Free bytes that sled needs to open and to take the first batches.
const OPEN_BYTES: u64 = 2 << 20;

/// What opening found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// A store was created.
    pub created: bool,
    /// Bytes cut above the mark: never acknowledged, never seen.
    pub cut_bytes: u64,
    /// First and last seq of the transaction that was open at the log's end; the next appender abandons it.
    pub open_transaction: Option<(Seq, Seq)>,
    /// Places that do not verify, those that were known before included.
    pub damage: Vec<Damage>,
    /// Ranges that were lost just now. The log went on behind them, in a new log epoch.
    pub lost: Vec<Gap>,
    /// Where a meta that was damaged was moved to, when it was rebuilt.
    pub meta_rebuilt: Option<PathBuf>,
    /// Why it was rebuilt.
    pub meta_problem: Option<String>,
    /// `FORMAT` was missing or damaged, and was restored from a segment header.
    pub format_restored: bool,
    /// Cursors taken from a snapshot: paused, and possibly behind the truth.
    pub restored_cursors: Vec<String>,
}

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
    pub notes: BTreeMap<Vec<u8>, Vec<u8>>,
    pub ballast: Ballast,
    pub report: OpenReport,
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
            // They may be about what was lost; without them the work that they are about begins again.
            std::mem::take(&mut state.notes).into_keys().for_each(|key| Note { key, value: None }.put(&mut batch));
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
    let MetaState { cursors, spent_epoch, schemas, notes, .. } = state;
    Ok(Recovered {
        lock,
        db,
        segment,
        published,
        mark,
        end,
        view,
        cursors,
        spent_epoch,
        schemas,
        notes,
        ballast,
        report,
    })
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
