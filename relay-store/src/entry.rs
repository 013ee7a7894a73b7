//! What a caller appends and reads: one entry, its small header and its bytes, and the header's form in a block.
//!
//! In a block every entry is a fixed header of [`ENTRY_HEADER_LEN`] bytes and its body (all little-endian):
//!
//! ```text
//! 0  body_len    u32
//! 4  kind        u8
//! 5  flags       u8
//! 6  tx_index    u32
//! 10 source_pos  u48
//! 16 received    i32   microseconds after the block's own time of receipt
//! ```

use crate::seq::Seq;

/// Bytes of the header before each entry's body.
pub(crate) const ENTRY_HEADER_LEN: usize = 20;

/// The largest body an entry may have: 1 GiB (MySQL's largest packet) and room for what the caller adds.
pub const ENTRY_BYTES_MAX: usize = (1 << 30) + (1 << 20);

/// The largest `source_pos` the header can hold: 48 bits.
pub const SOURCE_POS_MAX: u64 = (1 << 48) - 1;

/// Kinds that belong to the store. Below [`kind::RESERVED`] they are the caller's.
pub mod kind {
    /// The first kind that callers may not append.
    pub const RESERVED: u8 = 0xF0;
    /// Closes an abandoned transaction; the body is its first seq, u64 little-endian. Never visible.
    pub const ABANDONED: u8 = 0xF0;
    /// Names seqs that are lost.
    pub const GAP: u8 = 0xF1;
}

/// What the store keeps beside an entry's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntryHeader {
    /// The caller's kind, below [`kind::RESERVED`].
    pub kind: u8,
    /// The caller's flags.
    pub flags: u8,
    /// Index of the event in its transaction, from 0.
    pub tx_index: u32,
    /// End position in the source's file; at most [`SOURCE_POS_MAX`].
    pub source_pos: u64,
    /// When it was received: microseconds since the Unix epoch.
    pub received_us: u64,
}

/// One entry as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its number.
    pub seq: Seq,
    /// What was appended beside the bytes.
    pub header: EntryHeader,
    /// The bytes as appended.
    pub body: &'a [u8],
}

/// Writes the header of an entry; `received` is relative to the block's time.
pub(crate) fn encode_header(out: &mut Vec<u8>, header: &EntryHeader, received: i32, body_len: u32) {
    let mut bytes = [0u8; ENTRY_HEADER_LEN];
    bytes[0..4].copy_from_slice(&body_len.to_le_bytes());
    bytes[4] = header.kind;
    bytes[5] = header.flags;
    bytes[6..10].copy_from_slice(&header.tx_index.to_le_bytes());
    bytes[10..16].copy_from_slice(&header.source_pos.to_le_bytes()[..6]);
    bytes[16..20].copy_from_slice(&received.to_le_bytes());
    out.extend_from_slice(&bytes);
}

/// Reads the entry at the front of `bytes`; gives it and the bytes it takes. `None` when it does not fit.
pub(crate) fn decode_entry(bytes: &[u8], seq: Seq, base_us: u64) -> Option<(Entry<'_>, usize)> {
    let head: &[u8; ENTRY_HEADER_LEN] = bytes.first_chunk()?;
    let body_len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let end = ENTRY_HEADER_LEN.checked_add(body_len)?;
    let body = bytes.get(ENTRY_HEADER_LEN..end)?;
    let received = i32::from_le_bytes([head[16], head[17], head[18], head[19]]);
    let header = EntryHeader {
        kind: head[4],
        flags: head[5],
        tx_index: u32::from_le_bytes([head[6], head[7], head[8], head[9]]),
        source_pos: u64::from_le_bytes([head[10], head[11], head[12], head[13], head[14], head[15], 0, 0]),
        received_us: base_us.saturating_add_signed(i64::from(received)),
    };
    Some((Entry { seq, header, body }, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trips_with_every_field_at_its_limit() {
        let header =
            EntryHeader { kind: 7, flags: 0xA5, tx_index: u32::MAX, source_pos: SOURCE_POS_MAX, received_us: 1_000 };
        let mut bytes = Vec::new();
        encode_header(&mut bytes, &header, -500, 3);
        bytes.extend_from_slice(b"abcXYZ");
        let (entry, used) = decode_entry(&bytes, Seq(9), 1_500).expect("whole entry");
        assert_eq!((entry.header, entry.body, used), (header, &b"abc"[..], ENTRY_HEADER_LEN + 3));
    }

    #[test]
    fn entry_that_does_not_fit_is_refused() {
        let mut bytes = Vec::new();
        encode_header(&mut bytes, &EntryHeader::default(), 0, u32::MAX);
        assert!(decode_entry(&bytes, Seq(1), 0).is_none());
        assert!(decode_entry(&bytes[..10], Seq(1), 0).is_none());
    }
}
