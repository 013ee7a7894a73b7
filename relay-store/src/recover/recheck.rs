//! Known damage, looked at again at open: a segment that was put back from a copy is whole again.

use std::collections::BTreeSet;

use super::{MetaState, Site};
use crate::error::StorageError;
use crate::gap::{Gap, GapReason};
use crate::meta::catalogue::delete_gap;
use crate::meta::db::Batch;
use crate::segment;
use crate::segment::read::SegmentFile;
use crate::segment::scan::{self, Depth, Scan};

/// Takes back the gaps whose entries verify now. Only segments with a gap are read; the active one is opening's to judge.
pub(super) fn recheck(
    site: &Site<'_>,
    active: u64,
    state: &mut MetaState,
    batch: &mut Batch,
) -> Result<(), StorageError> {
    let damaged: BTreeSet<u64> = state.gaps.iter().filter_map(segment_of).filter(|first| *first != active).collect();
    for first in damaged {
        let Some(record) = state.segments.get(&first) else { continue };
        let path = segment::path(&site.log_dir, first);
        let mut file = match SegmentFile::open_or_salvage(&path, site.uuid, first) {
            Ok((file, _)) => file,
            Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let len = file.len()?;
        let scan = scan::scan(&mut file, len, Depth::Entries)?;
        let last_seq = record.last_seq;
        state.gaps.retain(|gap| {
            let healed = segment_of(gap) == Some(first) && gap.last.0 <= last_seq && is_whole(gap, &scan);
            if healed {
                tracing::warn!(path = %path.display(), %gap, "what was damaged is whole again");
                delete_gap(gap.first.0, batch);
            }
            !healed
        });
    }
    Ok(())
}

fn segment_of(gap: &Gap) -> Option<u64> {
    match &gap.reason {
        GapReason::Damaged { segment, .. } => Some(segment.0),
        GapReason::LostEnd | GapReason::Trimmed => None,
    }
}

fn is_whole(gap: &Gap, scan: &Scan) -> bool {
    let overlaps = |bad: &scan::BadStretch| bad.first <= gap.last.0 && gap.first.0 <= bad.last;
    gap.last.0 <= scan.index.last_seq && !scan.bad.iter().any(overlaps)
}
