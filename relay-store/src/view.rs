//! What readers know of the log: positions, segments, hidden ranges, gaps. The writer keeps it for readers in its
//! process; `read_only.rs` builds it from the files for another process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::buffers::Buffers;
use crate::durable::lock;
use crate::gap::{Damage, Gap, GapReason};
use crate::meta::catalogue::{SegmentRecord, SegmentState};
use crate::meta::mark::Mark;
use crate::segment::footer::SegmentIndex;
use crate::seq::{LogEpoch, Seq};

/// Where the log begins and ends. `first_seq <= visible_seq + 1`, `visible_seq <= durable_seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// First entry that is kept, or the next one when the log is empty.
    pub first_seq: Seq,
    /// Last entry of a closed transaction: deliveries read no further.
    pub visible_seq: Seq,
    /// Last durable entry.
    pub durable_seq: Seq,
    /// Last entry appended, durable or not.
    pub last_seq: Seq,
    /// The log epoch.
    pub log_epoch: LogEpoch,
}

/// One segment, as tools show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// First seq in it.
    pub first_seq: Seq,
    /// Last seq in it; `first_seq - 1` when it has none.
    pub last_seq: Seq,
    /// Bytes of its file.
    pub bytes: u64,
    /// Whether it takes no more blocks.
    pub sealed: bool,
    /// When it was created and sealed, milliseconds since the Unix epoch; 0: not sealed.
    pub created_ms: u64,
    /// See `created_ms`.
    pub sealed_ms: u64,
    /// Smallest and largest commit time in it, microseconds.
    pub times: Option<(u64, u64)>,
    /// Its log epoch.
    pub log_epoch: LogEpoch,
    /// Its file.
    pub path: PathBuf,
}

/// The state itself.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub mark: Mark,
    pub segments: BTreeMap<u64, SegmentRecord>,
    /// The index of the active segment, up to the mark.
    pub active: SegmentIndex,
    /// Hidden ranges that cross a segment's start: first to last.
    pub crossing: BTreeMap<u64, u64>,
    /// Lost ranges, in order.
    pub gaps: Vec<Gap>,
    /// Those of `gaps` that reading found; the writer makes them durable.
    pub unsaved: Vec<Gap>,
    pub damage: Vec<Damage>,
}

impl View {
    /// The segment that `seq` lies in.
    pub(crate) fn segment_of(&self, seq: u64) -> Option<&SegmentRecord> {
        let (_, record) = self.segments.range(..=seq).next_back()?;
        let last = if record.state == SegmentState::Active { self.active.last_seq } else { record.last_seq };
        (seq <= last && record.state != SegmentState::Deleting).then_some(record)
    }

    /// The lost range that `seq` lies in, from `seq` on.
    pub(crate) fn gap_at(&self, seq: u64) -> Option<Gap> {
        let gap = self.gaps.iter().find(|gap| gap.first.0 <= seq && seq <= gap.last.0)?;
        Some(Gap { first: Seq(seq), ..gap.clone() })
    }

    /// Names a lost range; what is named already stays as it is.
    pub(crate) fn add_gap(&mut self, gap: Gap) -> bool {
        if gap.last < gap.first || self.gaps.iter().any(|known| known.first <= gap.first && gap.last <= known.last) {
            return false;
        }
        let at = self.gaps.partition_point(|known| known.first < gap.first);
        self.gaps.insert(at, gap);
        true
    }

    /// [`add_gap`](Self::add_gap) for what reading finds: durable with the next group.
    pub(crate) fn lose(&mut self, gap: Gap) -> bool {
        let new = self.add_gap(gap.clone());
        if new {
            tracing::error!(%gap, "the log lost entries");
            self.unsaved.push(gap);
        }
        new
    }

    /// Notes damage once a place.
    pub(crate) fn add_damage(&mut self, damage: Damage) -> bool {
        let known = self.damage.iter().any(|known| known.segment == damage.segment && known.offset == damage.offset);
        if !known {
            self.damage.push(damage);
        }
        !known
    }

    pub(crate) fn trimmed(&self, from: u64) -> Option<Gap> {
        (from < self.mark.first_seq).then(|| Gap {
            first: Seq(from),
            last: Seq(self.mark.first_seq - 1),
            reason: GapReason::Trimmed,
        })
    }
}

/// Buffers for blocks that readers keep among them, and the largest that is kept: that of a usual block.
const BUFFERS_KEPT: usize = 16;
const BUFFER_BYTES_KEPT: usize = 256 << 10;

/// The state and where its files are.
#[derive(Debug)]
pub(crate) struct LogView {
    pub log_dir: PathBuf,
    /// Whether a writer in this process keeps it up to date.
    pub live: bool,
    /// Memory of the blocks that readers read.
    pub buffers: Arc<Buffers>,
    state: Mutex<View>,
}

impl LogView {
    pub(crate) fn new(log_dir: PathBuf, live: bool, view: View) -> Self {
        let buffers = Arc::new(Buffers::new(BUFFERS_KEPT, BUFFER_BYTES_KEPT));
        LogView { log_dir, live, buffers, state: Mutex::new(view) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, View> {
        lock(&self.state)
    }

    /// Notes damage that reading found. What a sealed segment lost is lost for good, and stays named over a restart;
    /// of the active one opening tells what is lost.
    pub(crate) fn note(&self, damage: Damage) {
        let mut view = self.lock();
        let sealed = view.segments.get(&damage.segment.0).is_some_and(|record| record.state == SegmentState::Sealed);
        if self.live && sealed {
            view.lose(damage.gap());
        }
        view.add_damage(damage);
    }

    pub(crate) fn segments(&self) -> Vec<SegmentInfo> {
        let view = self.lock();
        let info = |record: &SegmentRecord| {
            let active = record.state == SegmentState::Active;
            SegmentInfo {
                first_seq: Seq(record.first_seq),
                last_seq: Seq(if active { view.active.last_seq } else { record.last_seq }),
                bytes: if active { view.active.end } else { record.bytes },
                sealed: !active,
                created_ms: record.created_ms,
                sealed_ms: record.sealed_ms,
                times: if active { view.active.times } else { record.times },
                log_epoch: LogEpoch(record.log_epoch),
                path: crate::segment::path(&self.log_dir, record.first_seq),
            }
        };
        view.segments.values().filter(|record| record.state != SegmentState::Deleting).map(info).collect()
    }
}
