//! The segment files against the catalogue: deletions that were begun are finished, what no mark points into is removed, and
//! sealed segments that are gone or too short are named.

use super::{MetaState, Site};
use crate::error::StorageError;
use crate::gap::{Damage, Gap, GapReason};
use crate::meta::catalogue::{SegmentRecord, SegmentState, put_gap};
use crate::meta::db::Batch;
use crate::meta::mark::Mark;
use crate::segment::{self, segment_files};
use crate::seq::Seq;
use crate::view::View;

/// Removes files whose deletion was durable before the last life ended.
pub(super) fn finish_deletions(
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
pub(super) fn check_sealed(
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
pub(super) fn remove_orphans(site: &Site<'_>, mark: &Mark) -> Result<(), StorageError> {
    for first in segment_files(&site.log_dir)?.range(mark.segment + 1..) {
        let path = segment::path(&site.log_dir, *first);
        std::fs::remove_file(&path).map_err(|error| StorageError::io("remove segment", &path, error))?;
    }
    Ok(())
}
