//! A block: consecutive entries under one checksum, readable alone. Header and meta are here, in both directions; what
//! lies behind them is in `block/`.
//!
//! ```text
//! 0  magic        u32  "BLK1"
//! 4  header_crc   u32  CRC32 of place (uuid, segment's first seq, offset), bytes 8..56 and meta
//! 8  version      u8   1
//! 9  kind         u8   0 entries, 1 schema versions
//! 10 codec        u8   0 none, 1 lz4, 2 zstd
//! 11 reserved     u8   0
//! 12 meta_len     u32
//! 16 stored_len   u32
//! 20 raw_len      u32
//! 24 payload_crc  u32  CRC32 of the stored payload
//! 28 log_epoch    u32
//! 32 first_seq    u64  for a block without entries: the seq that comes next
//! 40 durable_seq  u64  known when it was written
//! 48 count        u32  entries
//! 52 reserved     u32  0
//! 56 meta              bincode of `BlockMeta`
//!    payload           context | entries | closings, compressed together
//! ```
//!
//! The place is part of the header's checksum, so a copy of a block elsewhere, or in another log, is never taken.

mod closing;
mod payload;

use bincode::{Decode, Encode};

use crate::bounded;
use crate::options::Codec;

pub(crate) use closing::{Closing, closings, push_closing};
pub(crate) use payload::{compress, compress_bound, decode_payload, entries_range};

/// Bytes of the fixed header.
pub(crate) const HEADER_LEN: usize = 56;
/// "BLK1".
pub(crate) const MAGIC: u32 = u32::from_le_bytes(*b"BLK1");
const VERSION: u8 = 1;
/// The largest meta: a checkpoint, and the closings of one block.
pub(crate) const META_BYTES_MAX: usize = 64 << 20;
/// The largest payload: one largest entry, its context and header.
pub(crate) const PAYLOAD_BYTES_MAX: usize = crate::entry::ENTRY_BYTES_MAX + (32 << 20);

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// Entries; possibly none, then its meta alone matters.
    Entries,
    /// Schema versions, repeated in each segment that needs them.
    Schemas,
}

/// The fixed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub kind: BlockKind,
    pub codec: Codec,
    pub meta_len: u32,
    pub stored_len: u32,
    pub raw_len: u32,
    pub payload_crc: u32,
    pub log_epoch: u32,
    pub first_seq: u64,
    pub durable_seq: u64,
    pub count: u32,
}

impl BlockHeader {
    /// Last seq in it; `first_seq - 1` when it has no entries.
    pub(crate) fn last_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count) - 1
    }

    /// Bytes from the header's first to the payload's last.
    pub(crate) fn len(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.meta_len) + u64::from(self.stored_len)
    }
}

/// How a range of entries ended, when not by a commit; or the end of a prepared range.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Closed {
    /// Cut off; never visible. `last` is the abandoning entry.
    Abandoned { first: u64, last: u64 },
    /// Prepared under `xid`; kept until forgotten, never visible itself.
    Prepared { xid: Vec<u8>, first: u64, last: u64 },
    /// The prepared range of `xid` is needed no longer.
    Forgotten { xid: Vec<u8> },
}

/// What is known of a block without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub(crate) struct BlockMeta {
    /// First seq of the transaction that began in an earlier block and is open at the first entry.
    pub tx_first: Option<u64>,
    /// First seq of the transaction open after the last entry.
    pub open_tx: Option<u64>,
    /// Last seq that belongs to a closed transaction, in or before this block.
    pub visible_through: u64,
    /// The checkpoint after this block, when it moved in it.
    pub checkpoint: Option<Vec<u8>>,
    /// What ended in this block otherwise than by commit, in order.
    pub closed: Vec<Closed>,
    /// Smallest and largest commit time in it, microseconds.
    pub times: Option<(u64, u64)>,
    /// Largest commit time in or before it, microseconds.
    pub running_max_us: u64,
    /// Time of receipt the entries' own are relative to, microseconds.
    pub received_us: u64,
    /// Bytes of context at the payload's start.
    pub context_len: u32,
    /// Bytes of closings at the payload's end.
    pub closings_len: u32,
    /// Schema versions that its entries need.
    pub schema_ids: Vec<u64>,
}

/// Where a block lies: salts its checksum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub uuid: &'a [u8; 16],
    pub segment: u64,
    pub offset: u64,
}

impl Place<'_> {
    fn hasher(&self) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.uuid);
        hasher.update(&self.segment.to_le_bytes());
        hasher.update(&self.offset.to_le_bytes());
        hasher
    }
}

fn codec_byte(codec: Codec) -> u8 {
    match codec {
        Codec::None => 0,
        Codec::Lz4 => 1,
        Codec::Zstd => 2,
    }
}

/// Appends header and meta of a block to `out`; the stored payload follows it in the file.
pub(crate) fn encode_head(
    out: &mut Vec<u8>,
    mut header: BlockHeader,
    meta: &BlockMeta,
    place: Place<'_>,
) -> BlockHeader {
    let start = out.len();
    out.resize(start + HEADER_LEN, 0);
    let meta_len = bincode::encode_into_std_write(meta, out, bincode::config::standard())
        .expect("a meta of plain fields encodes into memory");
    header.meta_len = u32::try_from(meta_len).expect("meta is bounded by checkpoint and block size");
    let head = &mut out[start..start + HEADER_LEN];
    head[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    head[8] = VERSION;
    head[9] = match header.kind {
        BlockKind::Entries => 0,
        BlockKind::Schemas => 1,
    };
    head[10] = codec_byte(header.codec);
    head[12..16].copy_from_slice(&header.meta_len.to_le_bytes());
    head[16..20].copy_from_slice(&header.stored_len.to_le_bytes());
    head[20..24].copy_from_slice(&header.raw_len.to_le_bytes());
    head[24..28].copy_from_slice(&header.payload_crc.to_le_bytes());
    head[28..32].copy_from_slice(&header.log_epoch.to_le_bytes());
    head[32..40].copy_from_slice(&header.first_seq.to_le_bytes());
    head[40..48].copy_from_slice(&header.durable_seq.to_le_bytes());
    head[48..52].copy_from_slice(&header.count.to_le_bytes());
    let mut hasher = place.hasher();
    hasher.update(&out[start + 8..]);
    let crc = hasher.finalize();
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Why bytes are no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockError {
    #[error("no block begins here")]
    Magic,
    #[error("block version {0} is newer than this release reads")]
    Version(u8),
    #[error("block header fields are out of range")]
    Fields,
    #[error("block is cut short")]
    Short,
    #[error("checksum of the block header is wrong")]
    HeaderChecksum,
    #[error("checksum of the block payload is wrong")]
    PayloadChecksum,
    #[error("block meta does not decode")]
    Meta,
    #[error("block payload does not decompress")]
    Decompress,
    #[error("entries of the block do not add up")]
    Entries,
}

fn u32_at(bytes: &[u8; HEADER_LEN], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEADER_LEN], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Reads the fixed header; its checksum is looked at by [`decode_meta`], which has the meta at hand.
pub(crate) fn decode_header(bytes: &[u8; HEADER_LEN]) -> Result<BlockHeader, BlockError> {
    if u32_at(bytes, 0) != MAGIC {
        return Err(BlockError::Magic);
    }
    if bytes[8] != VERSION {
        return Err(BlockError::Version(bytes[8]));
    }
    let kind = match bytes[9] {
        0 => BlockKind::Entries,
        1 => BlockKind::Schemas,
        _ => return Err(BlockError::Fields),
    };
    let codec = match bytes[10] {
        0 => Codec::None,
        1 => Codec::Lz4,
        2 => Codec::Zstd,
        _ => return Err(BlockError::Fields),
    };
    let header = BlockHeader {
        kind,
        codec,
        meta_len: u32_at(bytes, 12),
        stored_len: u32_at(bytes, 16),
        raw_len: u32_at(bytes, 20),
        payload_crc: u32_at(bytes, 24),
        log_epoch: u32_at(bytes, 28),
        first_seq: u64_at(bytes, 32),
        durable_seq: u64_at(bytes, 40),
        count: u32_at(bytes, 48),
    };
    let sane = header.meta_len as usize <= META_BYTES_MAX
        && header.stored_len as usize <= PAYLOAD_BYTES_MAX
        && header.raw_len as usize <= PAYLOAD_BYTES_MAX
        && header.first_seq >= 1
        && header.first_seq.checked_add(u64::from(header.count)).is_some()
        && bytes[11] == 0
        && u32_at(bytes, 52) == 0;
    if sane { Ok(header) } else { Err(BlockError::Fields) }
}

/// Checks header and meta against the header's checksum and decodes the meta.
pub(crate) fn decode_meta(header: &[u8; HEADER_LEN], meta: &[u8], place: Place<'_>) -> Result<BlockMeta, BlockError> {
    let mut hasher = place.hasher();
    hasher.update(&header[8..]);
    hasher.update(meta);
    if hasher.finalize() != u32_at(header, 4) {
        return Err(BlockError::HeaderChecksum);
    }
    bounded::decode(meta).map_err(|_| BlockError::Meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = [7; 16];

    fn sample(codec: Codec, raw: &[u8]) -> (Vec<u8>, BlockHeader, BlockMeta, Vec<u8>) {
        let meta = BlockMeta {
            tx_first: Some(3),
            visible_through: 12,
            checkpoint: Some(b"gtid".to_vec()),
            closed: vec![Closed::Abandoned { first: 3, last: 9 }, Closed::Forgotten { xid: b"x".to_vec() }],
            times: Some((5, 9)),
            running_max_us: 9,
            schema_ids: vec![1, 2],
            ..BlockMeta::default()
        };
        let mut stored = vec![0; compress_bound(raw.len(), codec).unwrap_or(0)];
        let used = match compress(raw, codec, &mut stored) {
            Some(len) => {
                stored.truncate(len);
                codec
            }
            None => {
                stored = raw.to_vec();
                Codec::None
            }
        };
        let header = BlockHeader {
            kind: BlockKind::Entries,
            codec: used,
            meta_len: 0,
            stored_len: stored.len() as u32,
            raw_len: raw.len() as u32,
            payload_crc: crc32fast::hash(&stored),
            log_epoch: 2,
            first_seq: 10,
            durable_seq: 9,
            count: 3,
        };
        let mut head = Vec::new();
        let header = encode_head(&mut head, header, &meta, Place { uuid: &UUID, segment: 1, offset: 64 });
        (head, header, meta, stored)
    }

    #[test]
    fn block_round_trips_in_each_codec() {
        let raw: Vec<u8> = (0..5000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            let (head, header, meta, stored) = sample(codec, &raw);
            let fixed: &[u8; HEADER_LEN] = head.first_chunk().expect("header");
            assert_eq!(decode_header(fixed), Ok(header));
            let place = Place { uuid: &UUID, segment: 1, offset: 64 };
            assert_eq!(decode_meta(fixed, &head[HEADER_LEN..], place), Ok(meta));
            let (mut stored, mut decoded) = (stored, Vec::new());
            assert_eq!(decode_payload(&header, &mut stored, &mut decoded), Ok(()));
            assert_eq!(decoded, raw);
            assert_eq!(header.codec, codec);
        }
    }

    #[test]
    fn copy_of_a_block_at_another_place_is_refused() {
        let (head, ..) = sample(Codec::None, b"abc");
        let fixed: &[u8; HEADER_LEN] = head.first_chunk().expect("header");
        for place in [
            Place { uuid: &UUID, segment: 1, offset: 65 },
            Place { uuid: &UUID, segment: 2, offset: 64 },
            Place { uuid: &[8; 16], segment: 1, offset: 64 },
        ] {
            assert_eq!(decode_meta(fixed, &head[HEADER_LEN..], place), Err(BlockError::HeaderChecksum));
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let (head, header, _, stored) = sample(Codec::Lz4, &[5; 900]);
        let place = Place { uuid: &UUID, segment: 1, offset: 64 };
        for bit in 0..head.len() * 8 {
            let mut bad = head.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let fixed: &[u8; HEADER_LEN] = bad.first_chunk().expect("header");
            let seen = decode_header(fixed).and_then(|_| decode_meta(fixed, &bad[HEADER_LEN..], place));
            assert!(seen.is_err(), "bit {bit}");
        }
        for bit in 0..stored.len() * 8 {
            let mut bad = stored.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_payload(&header, &mut bad, &mut Vec::new()).is_err(), "bit {bit}");
        }
    }
}
