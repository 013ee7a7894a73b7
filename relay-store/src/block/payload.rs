//! The payload of a block: compressed, checked and decompressed, and where its entries lie.

use super::{BlockError, BlockHeader, BlockMeta};
use crate::entry::decode_entry;
use crate::options::{COMPRESS_BYTES_MAX, Codec};
use crate::seq::Seq;

/// Compresses `raw` into `out` (which is cleared); gives the codec that was used. A payload that does not shrink,
/// or is so large that a second copy of it would cost too much memory, stays as it is and `out` stays empty.
pub(crate) fn compress(raw: &[u8], codec: Codec, out: &mut Vec<u8>) -> Codec {
    out.clear();
    if codec == Codec::None || raw.len() > COMPRESS_BYTES_MAX || raw.len() < 32 {
        return Codec::None;
    }
    let bound = match codec {
        Codec::Lz4 => lz4_flex::block::get_maximum_output_size(raw.len()),
        _ => zstd::zstd_safe::compress_bound(raw.len()),
    };
    out.resize(bound, 0);
    let written = match codec {
        Codec::Lz4 => lz4_flex::block::compress_into(raw, out).ok(),
        _ => zstd::bulk::compress_to_buffer(raw, out.as_mut_slice(), 3).ok(),
    };
    match written {
        Some(len) if len < raw.len() => {
            out.truncate(len);
            codec
        }
        _ => {
            out.clear();
            Codec::None
        }
    }
}

/// Checks the stored payload against its checksum and gives the raw one; without a copy when it is stored as it is.
pub(crate) fn decode_payload(header: &BlockHeader, stored: Vec<u8>) -> Result<Vec<u8>, BlockError> {
    if stored.len() != header.stored_len as usize {
        return Err(BlockError::Short);
    }
    if crc32fast::hash(&stored) != header.payload_crc {
        return Err(BlockError::PayloadChecksum);
    }
    let raw_len = header.raw_len as usize;
    // No writer compresses more than this at once, and LZ4 makes at most 255 bytes of one: a larger claim is not believed.
    let most = match header.codec {
        Codec::None => raw_len,
        Codec::Lz4 => COMPRESS_BYTES_MAX.min(stored.len().saturating_mul(255)),
        Codec::Zstd => COMPRESS_BYTES_MAX,
    };
    if raw_len > most {
        return Err(BlockError::Fields);
    }
    let raw = match header.codec {
        Codec::None => stored,
        Codec::Lz4 => lz4_flex::block::decompress(&stored, raw_len).map_err(|_| BlockError::Decompress)?,
        Codec::Zstd => zstd::bulk::decompress(&stored, raw_len).map_err(|_| BlockError::Decompress)?,
    };
    if raw.len() == raw_len { Ok(raw) } else { Err(BlockError::Decompress) }
}

/// Where the entries of a decompressed payload lie, once they were counted and found to fill it.
pub(crate) fn entries_range(
    raw: &[u8],
    header: &BlockHeader,
    meta: &BlockMeta,
) -> Result<std::ops::Range<usize>, BlockError> {
    let start = meta.context_len as usize;
    let end = raw.len().checked_sub(meta.closings_len as usize).filter(|&end| end >= start);
    let end = end.ok_or(BlockError::Entries)?;
    let mut at = start;
    for _ in 0..header.count {
        let (_, used) = decode_entry(&raw[at..end], Seq(0), 0).ok_or(BlockError::Entries)?;
        at += used;
    }
    if at == end { Ok(start..end) } else { Err(BlockError::Entries) }
}
