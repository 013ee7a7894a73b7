//! What cannot be read, and why: lost ranges, and the places that lost them.

use crate::seq::Seq;

/// A range of seqs that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// First seq that cannot be read.
    pub first: Seq,
    /// Inclusive.
    pub last: Seq,
    /// Why.
    pub reason: GapReason,
}

/// Why a range cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GapReason {
    /// Retention took it.
    Trimmed,
    /// It was durable once, and the log's end was lost with it; its transactions were read from the source again.
    LostEnd,
    /// It does not verify.
    Damaged {
        /// First seq of the segment.
        segment: Seq,
        /// Where in its file.
        offset: u64,
        /// What is wrong.
        what: String,
    },
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seq {} to {}: ", self.first, self.last)?;
        match &self.reason {
            GapReason::Trimmed => write!(f, "trimmed by retention"),
            GapReason::LostEnd => write!(f, "lost at the log's end"),
            GapReason::Damaged { segment, offset, what } => {
                write!(f, "damaged in segment {:020}.seg at offset {offset}: {what}", segment.0)
            }
        }
    }
}

/// A place that does not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// First seq of the segment.
    pub segment: Seq,
    /// Where in its file.
    pub offset: u64,
    /// The entries that cannot be read by it; `last < first` when no entry is lost.
    pub first: Seq,
    /// Inclusive.
    pub last: Seq,
    /// What is wrong.
    pub what: String,
}

impl Damage {
    /// The range that is lost by it.
    pub(crate) fn gap(&self) -> Gap {
        let (segment, offset, what) = (self.segment, self.offset, self.what.clone());
        Gap { first: self.first, last: self.last, reason: GapReason::Damaged { segment, offset, what } }
    }

    /// The damage that a named gap tells of.
    pub(crate) fn of_gap(gap: &Gap) -> Option<Damage> {
        let GapReason::Damaged { segment, offset, what } = &gap.reason else { return None };
        Some(Damage { segment: *segment, offset: *offset, first: gap.first, last: gap.last, what: what.clone() })
    }
}
