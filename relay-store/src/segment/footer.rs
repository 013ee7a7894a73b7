//! What is known of a segment without reading its payloads: the sparse index, the hidden ranges, the schema versions.
//! Built block by block by the writer, by a scan, or read from the footer of a sealed segment.
//!
//! ```text
//! footer  magic     u32  "FOT1"
//!         crc       u32  CRC32 of version, body_len and body
//!         version   u32  1
//!         body_len  u32
//!         body           bincode of `SegmentIndex`
//! trailer body_len  u32
//!         crc       u32  the same
//!         magic     u64  "RLYFOOT\n"
//! ```

use bincode::{Decode, Encode};

use crate::block::{BlockHeader, BlockKind, BlockMeta, Closed};
use crate::bounded;

pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"FOT1");
pub(crate) const TRAILER_MAGIC: [u8; 8] = *b"RLYFOOT\n";
const VERSION: u32 = 1;
pub(crate) const HEAD_LEN: usize = 16;
pub(crate) const TRAILER_LEN: usize = 16;
/// The largest footer: a segment of nothing but one-entry prepared transactions stays far below it.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 20;
/// A sparse index entry is made about every so many bytes.
const INDEX_STEP: u64 = 1 << 20;

/// Where the block that begins with a seq lies, about every MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct IndexEntry {
    pub seq: u64,
    pub offset: u64,
    /// Largest commit time before this block.
    pub running_max_us: u64,
}

/// What is known of a segment without its payloads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub(crate) struct SegmentIndex {
    pub first_seq: u64,
    /// Last seq in it; `first_seq - 1` while it has none.
    pub last_seq: u64,
    /// Offset of the first block.
    pub start: u64,
    /// Where its blocks end.
    pub end: u64,
    pub log_epoch: u32,
    /// Sparse: seqs and offsets rise.
    pub index: Vec<IndexEntry>,
    /// What ended in this segment otherwise than by commit.
    pub closed: Vec<Closed>,
    /// Schema versions in it: id and offset of the block that holds it.
    pub schemas: Vec<(u64, u64)>,
    /// Transaction open after its last entry.
    pub open_tx: Option<u64>,
    /// Last seq of a closed transaction, in or before it.
    pub visible_through: u64,
    /// Smallest and largest commit time in it.
    pub times: Option<(u64, u64)>,
    /// Largest commit time in or before it.
    pub running_max_us: u64,
    /// The checkpoint at its end.
    pub checkpoint: Option<Vec<u8>>,
    /// When it was sealed, 0 while it is active.
    pub sealed_ms: u64,
}

impl SegmentIndex {
    /// The index of a segment that has a header and nothing else.
    pub(crate) fn of_header(header: &super::SegmentHeader, start: u64) -> Self {
        SegmentIndex {
            first_seq: header.first_seq,
            last_seq: header.first_seq - 1,
            start,
            end: start,
            log_epoch: header.log_epoch,
            open_tx: header.open_tx,
            visible_through: header.visible_through,
            running_max_us: header.running_max_us,
            checkpoint: header.checkpoint.clone(),
            ..SegmentIndex::default()
        }
    }

    /// Takes in the block at `offset`.
    pub(crate) fn add(&mut self, offset: u64, header: &BlockHeader, meta: &BlockMeta) {
        if header.kind == BlockKind::Schemas {
            self.schemas.extend(meta.schema_ids.iter().map(|&id| (id, offset)));
            self.end = offset + header.len();
            return;
        }
        let due =
            self.index.last().is_none_or(|last| offset >= last.offset + INDEX_STEP && header.first_seq > last.seq);
        if due {
            self.index.push(IndexEntry { seq: header.first_seq, offset, running_max_us: self.running_max_us });
        }
        self.last_seq = header.last_seq();
        self.end = offset + header.len();
        self.log_epoch = header.log_epoch;
        self.closed.extend(meta.closed.iter().cloned());
        self.open_tx = meta.open_tx;
        self.visible_through = meta.visible_through;
        self.times = match (self.times, meta.times) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
        self.running_max_us = self.running_max_us.max(meta.running_max_us);
        if meta.checkpoint.is_some() {
            self.checkpoint.clone_from(&meta.checkpoint);
        }
    }

    /// Where to start hopping over block headers to find `seq`.
    pub(crate) fn seek(&self, seq: u64) -> u64 {
        let after = self.index.partition_point(|entry| entry.seq <= seq);
        // Side blocks may lie before the first indexed block; starting at the segment's first block is right too.
        if after == 0 { self.start } else { self.index[after - 1].offset }
    }

    /// The ranges in it that are never visible: first and last seq, in order.
    pub(crate) fn hidden(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.closed.iter().filter_map(|closed| match closed {
            Closed::Abandoned { first, last } | Closed::Prepared { first, last, .. } => Some((*first, *last)),
            Closed::Forgotten { .. } => None,
        })
    }

    /// The hidden range that began before this segment and ended in it.
    pub(crate) fn crossing(&self) -> Option<(u64, u64)> {
        self.hidden().next().filter(|(first, _)| *first < self.first_seq)
    }
}

/// Encodes footer and trailer.
pub(crate) fn encode(index: &SegmentIndex) -> Vec<u8> {
    let mut out = vec![0u8; HEAD_LEN];
    let len = bincode::encode_into_std_write(index, &mut out, bincode::config::standard())
        .expect("an index of plain fields encodes into memory") as u32;
    out[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&len.to_le_bytes());
    let crc = crc32fast::hash(&out[8..]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&TRAILER_MAGIC);
    out
}

/// Body length and checksum stated by a trailer, when it is one.
pub(crate) fn trailer(trailer: &[u8; TRAILER_LEN]) -> Option<(u32, [u8; 4])> {
    let [l0, l1, l2, l3, c0, c1, c2, c3, ..] = *trailer;
    (trailer[8..] == TRAILER_MAGIC).then_some((u32::from_le_bytes([l0, l1, l2, l3]), [c0, c1, c2, c3]))
}

/// Decodes a footer (without its trailer); `None` when anything about it is wrong.
pub(crate) fn decode(bytes: &[u8]) -> Option<SegmentIndex> {
    let head: &[u8; HEAD_LEN] = bytes.first_chunk()?;
    let body = &bytes[HEAD_LEN..];
    let magic = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let crc = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let version = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    if magic != MAGIC || version != VERSION || crc32fast::hash(&bytes[8..]) != crc {
        return None;
    }
    bounded::decode(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footer_round_trips_and_sees_every_flipped_bit() {
        let index = SegmentIndex {
            first_seq: 5,
            last_seq: 90,
            index: vec![IndexEntry { seq: 5, offset: 64, running_max_us: 1 }],
            closed: vec![Closed::Abandoned { first: 2, last: 7 }, Closed::Forgotten { xid: vec![1] }],
            checkpoint: Some(b"set".to_vec()),
            ..SegmentIndex::default()
        };
        let bytes = encode(&index);
        let body = &bytes[..bytes.len() - TRAILER_LEN];
        assert_eq!(decode(body), Some(index.clone()));
        assert_eq!(index.crossing(), Some((2, 7)));
        for bit in 0..body.len() * 8 {
            let mut bad = body.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad), None, "bit {bit}");
        }
    }
}
