//! Opening meta: all of it decoded, and the proof that it has lost nothing, or why it must be rebuilt.

use std::collections::BTreeMap;

use super::Site;
use crate::end::PreparedRange;
use crate::error::{OpenError, StorageError};
use crate::gap::Gap;
use crate::meta::catalogue::{self, RangeRecord, SegmentRecord};
use crate::meta::cursor::CursorRecord;
use crate::meta::db::{self, Contents, Db};
use crate::meta::mark::{self, Mark};
use crate::meta::note;
use crate::meta::schema::SchemaRecord;
use crate::meta::{key_number, prefix};
use crate::segment::read::SegmentFile;
use crate::segment::{self, segment_files};
use crate::seq::Seq;

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
    pub notes: BTreeMap<Vec<u8>, Vec<u8>>,
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
                Some(prefix::NOTE) => drop(state.notes.insert(note::key(&key), value)),
                _ => return Err(StorageError::damaged("meta", format!("unknown key {}", key.escape_ascii()))),
            }
        }
        state.mark = stored.mark;
        state.checkpoint = stored.checkpoint;
        state.spent_epoch = stored.spent_epoch;
        Ok(state)
    }
}

/// Why meta cannot be used.
pub(super) enum MetaProblem {
    /// A rebuild would not cure it.
    Error(OpenError),
    /// It is damaged, or behind what was committed.
    Damaged { what: String, salvaged: Option<Box<MetaState>> },
}

pub(super) fn open_meta(site: &Site<'_>) -> Result<(Db, MetaState), MetaProblem> {
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
        // What lies above the mark is at most two groups; their blocks say what was durable when they were framed.
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
