//! The catalogue: one record a segment, and the ranges that are not wholly inside one.

use bincode::{Decode, Encode};

use super::db::Batch;
use super::{number_key, prefix};
use crate::bounded;
use crate::error::StorageError;
use crate::gap::{Gap, GapReason};
use crate::segment::footer::SegmentIndex;
use crate::seq::Seq;

/// What the catalogue holds of a segment: enough to find it, to age it and to see that it is whole.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SegmentRecord {
    pub first_seq: u64,
    /// `first_seq - 1` when it has no entries.
    pub last_seq: u64,
    /// Bytes of the file when it was sealed; of the active one, at the last record.
    pub bytes: u64,
    pub state: SegmentState,
    pub log_epoch: u32,
    pub created_ms: u64,
    pub sealed_ms: u64,
    pub times: Option<(u64, u64)>,
    /// Largest commit time in or before it.
    pub running_max_us: u64,
    /// Transaction open after its last entry.
    pub open_tx: Option<u64>,
}

/// The life of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) enum SegmentState {
    Active,
    Sealed,
    /// The new start of the log is durable; the file may be there still.
    Deleting,
}

impl SegmentRecord {
    pub(crate) fn of_index(index: &SegmentIndex, created_ms: u64, bytes: u64) -> Self {
        SegmentRecord {
            first_seq: index.first_seq,
            last_seq: index.last_seq,
            bytes,
            state: if index.sealed_ms == 0 { SegmentState::Active } else { SegmentState::Sealed },
            log_epoch: index.log_epoch,
            created_ms,
            sealed_ms: index.sealed_ms,
            times: index.times,
            running_max_us: index.running_max_us,
            open_tx: index.open_tx,
        }
    }

    pub(crate) fn put(&self, batch: &mut Batch) {
        batch.put(number_key(prefix::SEGMENT, self.first_seq), encode(self));
    }

    pub(crate) fn delete(first_seq: u64, batch: &mut Batch) {
        batch.delete(number_key(prefix::SEGMENT, first_seq));
    }
}

/// A range of seqs and, for a prepared one, its transaction's name.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct RangeRecord {
    pub first: u64,
    pub last: u64,
    pub xid: Vec<u8>,
}

impl RangeRecord {
    /// `prefix` is that of crossing or of prepared ranges.
    pub(crate) fn put(&self, prefix: u8, batch: &mut Batch) {
        batch.put(number_key(prefix, self.first), encode(self));
    }

    pub(crate) fn delete(prefix: u8, first: u64, batch: &mut Batch) {
        batch.delete(number_key(prefix, first));
    }
}

/// A lost range as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct GapRecord {
    first: u64,
    last: u64,
    /// Segment, offset and what is wrong; `None`: the log's end was lost.
    damage: Option<(u64, u64, String)>,
}

pub(crate) fn put_gap(gap: &Gap, batch: &mut Batch) {
    let damage = match &gap.reason {
        GapReason::Damaged { segment, offset, what } => Some((segment.0, *offset, what.clone())),
        GapReason::LostEnd | GapReason::Trimmed => None,
    };
    let record = GapRecord { first: gap.first.0, last: gap.last.0, damage };
    batch.put(number_key(prefix::GAP, gap.first.0), encode(&record));
}

pub(crate) fn delete_gap(first: u64, batch: &mut Batch) {
    batch.delete(number_key(prefix::GAP, first));
}

pub(crate) fn decode_gap(value: &[u8]) -> Result<Gap, StorageError> {
    let record: GapRecord = decode("gap record", value)?;
    let reason = match record.damage {
        Some((segment, offset, what)) => GapReason::Damaged { segment: Seq(segment), offset, what },
        None => GapReason::LostEnd,
    };
    Ok(Gap { first: Seq(record.first), last: Seq(record.last), reason })
}

pub(crate) fn encode<T: Encode>(record: &T) -> Vec<u8> {
    bincode::encode_to_vec(record, bincode::config::standard()).expect("plain fields encode")
}

pub(crate) fn decode<T: Decode<()>>(what: &str, value: &[u8]) -> Result<T, StorageError> {
    bounded::decode(value).map_err(|error| StorageError::damaged(what, error))
}
