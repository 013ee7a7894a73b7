//! What is lost below the mark: named, taken out of what is open and prepared, and gone on behind.

use super::{MetaState, OpenReport, Site};
use crate::end::{LogEnd, PreparedRange};
use crate::error::StorageError;
use crate::gap::{Damage, Gap, GapReason};
use crate::meta::catalogue::{RangeRecord, SegmentRecord, SegmentState, put_gap};
use crate::meta::db::Batch;
use crate::meta::mark::Mark;
use crate::meta::prefix;
use crate::segment;
use crate::segment::read::SegmentFile;
use crate::segment::scan::{self, Scan};
use crate::seq::Seq;
use crate::view::View;

/// What is lost below the mark is named; the log goes on behind the mark in a new log epoch and a new segment.
pub(super) struct Loss<'a, 'b> {
    pub site: &'a Site<'b>,
    pub mark: &'a mut Mark,
    pub end: &'a mut LogEnd,
    pub view: &'a mut View,
    pub batch: &'a mut Batch,
}

impl Loss<'_, '_> {
    /// Gives the record of the segment that is left as it is, for reading what of it is good.
    pub(super) fn name(&mut self, tail: Scan, report: &mut OpenReport) -> SegmentRecord {
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
pub(super) fn lose_prepared(
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
