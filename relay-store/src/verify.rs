//! The whole log against its checksums, its seqs, its footers and its catalogue.

use crate::error::ReadError;
use crate::error::StorageError;
use crate::gap::{Damage, Gap, GapReason};
use crate::meta::catalogue::{SegmentRecord, SegmentState};
use crate::segment::path;
use crate::segment::read::SegmentFile;
use crate::segment::scan::{self, Depth};
use crate::seq::Seq;
use crate::view::LogView;

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// First seq of the segment that was just looked at.
    pub segment: Seq,
    /// Bytes looked at, and bytes of all segments.
    pub bytes_done: u64,
    /// See `bytes_done`.
    pub bytes_total: u64,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Segments, blocks, entries and bytes that were looked at.
    pub segments: u64,
    /// See `segments`.
    pub blocks: u64,
    /// See `segments`.
    pub entries: u64,
    /// See `segments`.
    pub bytes: u64,
    /// Places that do not verify, in order.
    pub damage: Vec<Damage>,
    /// Ranges that were named as lost before, and are no news.
    pub known_gaps: Vec<Gap>,
}

impl VerifyReport {
    /// Whether everything that should be there is there and right.
    pub fn is_clean(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Reads every block below the mark, decompresses it and counts its entries.
pub(crate) fn verify(log: &LogView, progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport, ReadError> {
    let (segments, uuid, known_gaps, mark, active_end) = {
        let view = log.lock();
        let kept = view.segments.values().filter(|record| record.state != SegmentState::Deleting);
        let segments: Vec<_> = kept.cloned().collect();
        // Another process' reader knows only what it found itself, which is news.
        let known_gaps = if log.live { view.gaps.clone() } else { Vec::new() };
        (segments, view.mark.uuid, known_gaps, view.mark.clone(), view.active.end)
    };
    let size = |record: &SegmentRecord| if record.first_seq == mark.segment { active_end } else { record.bytes };
    let bytes_total = segments.iter().map(size).sum();
    let mut report = VerifyReport { known_gaps, ..VerifyReport::default() };
    let mut bytes_done = 0;
    for (position, record) in segments.iter().enumerate() {
        let active = record.first_seq == mark.segment;
        let segment = Seq(record.first_seq);
        bytes_done += size(record);
        let mut tell = || progress(Progress { segment, bytes_done, bytes_total });
        let path = path(&log.log_dir, record.first_seq);
        let (mut file, problem) = match SegmentFile::open_or_salvage(&path, uuid, record.first_seq) {
            Ok(opened) => opened,
            Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                // Trimmed since the list was made, or lost.
                if log.lock().mark.first_seq <= record.first_seq {
                    let what = "segment file is missing".to_owned();
                    report.add(Damage { segment, offset: 0, first: segment, last: Seq(record.last_seq), what });
                }
                tell();
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(what) = problem {
            report.add(Damage { segment, offset: 0, first: segment, last: segment.prev(), what: what.to_owned() });
        }
        let limit = if active { mark.offset } else { file.len()? };
        let scan = scan::scan(&mut file, limit, Depth::Entries)?;
        for bad in &scan.bad {
            let (first, last) = (Seq(bad.first), Seq(bad.last));
            report.add(Damage { segment, offset: bad.offset, first, last, what: bad.what.clone() });
        }
        let end = Seq(scan.index.last_seq);
        let expected = if active {
            mark.durable_seq
        } else {
            segments.get(position + 1).map_or(record.last_seq, |next| next.first_seq - 1)
        };
        if end.0 != expected {
            let what = format!("it ends at seq {end}, and should at {expected}");
            let (first, last) = (end.next(), Seq(expected));
            report.add(Damage { segment, offset: scan.index.end, first, last, what });
        }
        let footer = file.footer()?;
        if !active
            && problem.is_none()
            && scan.bad.is_empty()
            && footer.as_ref().is_none_or(|footer| {
                crate::segment::footer::SegmentIndex { sealed_ms: footer.sealed_ms, ..scan.index.clone() } != *footer
            })
        {
            let what = "its footer is missing, damaged or says something else than its blocks".to_owned();
            report.add(Damage { segment, offset: scan.index.end, first: segment, last: segment.prev(), what });
        }
        report.segments += 1;
        report.blocks += scan.blocks;
        report.entries += (scan.index.last_seq + 1).saturating_sub(record.first_seq);
        report.bytes += limit;
        tell();
    }
    Ok(report)
}

impl VerifyReport {
    /// Adds what no known gap covers.
    fn add(&mut self, damage: Damage) {
        let known = damage.last >= damage.first
            && self.known_gaps.iter().any(|gap| gap.first <= damage.first && damage.last <= gap.last);
        let in_damaged_segment = damage.last < damage.first
            && self.known_gaps.iter().any(|gap| {
                matches!(&gap.reason, GapReason::Damaged { segment, .. } if *segment == damage.segment)
                    || (gap.reason == GapReason::LostEnd && gap.first >= damage.segment)
            });
        if !known && !in_damaged_segment {
            self.damage.push(damage);
        }
    }
}
