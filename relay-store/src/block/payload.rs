//! The payload of a block: compressed, checked and decompressed, and where its entries lie.

use super::{BlockError, BlockHeader, BlockMeta};
use crate::entry::decode_entry;
use crate::options::{COMPRESS_BYTES_MAX, Codec};
use crate::seq::Seq;

/// Bytes that [`compress`] wants for `len` bytes of payload; `None` for one that is stored as it is: without a codec,
/// too small to gain, or so large that a second copy of it would cost too much memory.
pub(crate) fn compress_bound(len: usize, codec: Codec) -> Option<usize> {
    if !(32..=COMPRESS_BYTES_MAX).contains(&len) {
        return None;
    }
    match codec {
        Codec::None => None,
        Codec::Lz4 => Some(lz4_flex::block::get_maximum_output_size(len)),
        Codec::Zstd => Some(zstd::zstd_safe::compress_bound(len)),
    }
}

/// Compresses `raw` to the start of `out`; gives the length, or `None` when it does not shrink.
pub(crate) fn compress(raw: &[u8], codec: Codec, out: &mut [u8]) -> Option<usize> {
    let written = match codec {
        Codec::None => None,
        Codec::Lz4 => lz4_flex::block::compress_into(raw, out).ok(),
        Codec::Zstd => zstd::bulk::compress_to_buffer(raw, out, 3).ok(),
    };
    written.filter(|len| *len < raw.len())
}

/// Checks the stored payload against its checksum and makes `raw` the raw one; without a copy when it is stored as it
/// is: then the two change places.
pub(crate) fn decode_payload(header: &BlockHeader, stored: &mut Vec<u8>, raw: &mut Vec<u8>) -> Result<(), BlockError> {
    if stored.len() != header.stored_len as usize {
        return Err(BlockError::Short);
    }
    if crc32fast::hash(stored) != header.payload_crc {
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
    raw.clear();
    let len = match header.codec {
        Codec::None => {
            std::mem::swap(stored, raw);
            Some(raw.len())
        }
        Codec::Lz4 => {
            raw.resize(raw_len, 0);
            lz4_flex::block::decompress_into(stored, raw).ok()
        }
        Codec::Zstd => {
            raw.resize(raw_len, 0);
            zstd::bulk::decompress_to_buffer(stored.as_slice(), raw.as_mut_slice()).ok()
        }
    };
    if len == Some(raw_len) { Ok(()) } else { Err(BlockError::Decompress) }
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
