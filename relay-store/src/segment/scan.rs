//! Walking the blocks of a segment, for recovery and for files without a footer: what is there, and what is wrong.

use super::footer::SegmentIndex;
use super::read::{BlockReadError, SegmentFile};
use crate::block::{self, BlockError, BlockKind};
use crate::error::StorageError;
use crate::gap::{Gap, GapReason};
use crate::options::COMPRESS_BYTES_MAX;
use crate::seq::Seq;

/// A stretch of a segment that does not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadStretch {
    pub offset: u64,
    /// Where the next good block begins; the segment's end when none does.
    pub until: u64,
    /// First and last seq that are lost by it; `last` is `first - 1` when no entry is.
    pub first: u64,
    pub last: u64,
    pub what: String,
}

impl BadStretch {
    /// The range that is lost by it.
    pub(crate) fn gap(&self, segment: Seq) -> Gap {
        let reason = GapReason::Damaged { segment, offset: self.offset, what: self.what.clone() };
        Gap { first: Seq(self.first), last: Seq(self.last), reason }
    }
}

/// What a scan found.
#[derive(Debug)]
pub(crate) struct Scan {
    /// All good blocks before `end`, and what can be told without the bad ones.
    pub index: SegmentIndex,
    pub bad: Vec<BadStretch>,
    /// Largest `durable_seq` that any good block states.
    pub durable_seq: u64,
    /// Good heads.
    pub blocks: u64,
}

/// How much of each block is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Header and meta.
    Heads,
    /// The payload's checksum too.
    Checksums,
    /// The payload is decompressed and its entries are counted too.
    Entries,
}

/// Walks the blocks before `limit`. Blocks behind a bad one are
/// found again by their headers, which name their own place. A block counts only when it lies wholly before `limit`.
pub(crate) fn scan(segment: &mut SegmentFile, limit: u64, depth: Depth) -> Result<Scan, StorageError> {
    let mut index = SegmentIndex::of_header(&segment.header, segment.start);
    let mut bad: Vec<BadStretch> = Vec::new();
    let mut durable_seq = 0;
    let mut blocks = 0;
    let mut offset = segment.start;
    // Seqs go on where the block before ended; a bad stretch makes a hole that the next good block closes.
    let mut expected = segment.header.first_seq;
    while offset < limit {
        let problem = match segment.head_at(offset) {
            Ok(None) => break,
            Ok(Some(head)) if head.end() > limit => {
                // What its head says of ranges that are never visible proved right, and holds for the blocks before it.
                index.closed.extend(head.meta.closed);
                "block is cut short".to_owned()
            }
            Ok(Some(head)) => {
                let damage = payload_problem(segment, &head, depth)?;
                blocks += 1;
                if head.header.first_seq != expected {
                    match bad.last_mut() {
                        // The hole before this block is what the stretch before it lost.
                        Some(stretch) if stretch.until == offset && head.header.first_seq > expected => {
                            stretch.last = head.header.first_seq - 1;
                            // How the transaction that was open before it ended is lost with it.
                            if let Some(open) = index.open_tx.filter(|_| head.meta.tx_first != index.open_tx) {
                                stretch.first = stretch.first.min(open);
                            }
                        }
                        _ => bad.push(BadStretch {
                            offset,
                            until: offset,
                            first: expected,
                            last: head.header.first_seq.saturating_sub(1),
                            what: format!("expected seq {expected}, found {}", head.header.first_seq),
                        }),
                    }
                }
                durable_seq = durable_seq.max(head.header.durable_seq);
                expected = head.header.first_seq + u64::from(head.header.count);
                if let Some(what) = damage {
                    let (first, last) = (head.header.first_seq, head.header.last_seq());
                    bad.push(BadStretch { offset, until: head.end(), first, last, what });
                }
                index.add(offset, &head.header, &head.meta);
                offset = head.end();
                continue;
            }
            Err(BlockReadError::Block(error)) => error.to_string(),
            Err(BlockReadError::Storage(error)) => return Err(error),
        };
        let next = segment.resync(offset, limit)?.filter(|head| head.end() <= limit);
        let until = next.as_ref().map_or(limit, |head| head.offset);
        bad.push(BadStretch { offset, until, first: expected, last: expected - 1, what: problem });
        offset = until;
    }
    Ok(Scan { index, bad, durable_seq, blocks })
}

fn payload_problem(
    segment: &mut SegmentFile,
    head: &super::read::BlockHead,
    depth: Depth,
) -> Result<Option<String>, StorageError> {
    if depth == Depth::Heads {
        return Ok(None);
    }
    let problem = |error: BlockReadError| match error {
        BlockReadError::Block(error) => Ok(Some(error.to_string())),
        BlockReadError::Storage(error) => Err(error),
    };
    // A payload that is stored as it is, beyond what is ever compressed, is one large entry: its checksum says all.
    if depth == Depth::Checksums || head.header.raw_len as usize > COMPRESS_BYTES_MAX {
        return match segment.payload_crc(head) {
            Ok(crc) if crc == head.header.payload_crc => Ok(None),
            Ok(_) => Ok(Some(BlockError::PayloadChecksum.to_string())),
            Err(error) => problem(error),
        };
    }
    let (mut stored, mut raw) = (Vec::new(), Vec::new());
    if let Err(error) = segment.payload(head, &mut stored) {
        return problem(error);
    }
    let decoded = block::decode_payload(&head.header, &mut stored, &mut raw);
    let checked = decoded.and_then(|()| match head.header.kind {
        BlockKind::Entries => block::entries_range(&raw, &head.header, &head.meta).map(drop),
        BlockKind::Schemas => Ok(()),
    });
    Ok(checked.err().map(|error| error.to_string()))
}
