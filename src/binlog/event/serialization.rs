//! MySQL's own field serialization (`libs/mysql/serialization`), which tagged GTID events are written in.
//!
//! ```text
//! message:  format version (1), message size, last non-ignorable field id, then fields        (all varlen)
//! field:    field id (varlen), value
//! varlen:   k low one-bits and a zero in the first byte: k more bytes follow; the number is in the bits above them,
//!           little-endian. Eight one-bits: eight whole bytes follow. Signed numbers are zigzag-encoded.
//! string:   varlen length, bytes.  Array of bytes: each byte as varlen.
//! ```

use crate::binlog::error::{DecodeError, Result};
use crate::binlog::reader::Reader;

const FORMAT_VERSION: u64 = 1;

/// The fields of one message, in rising order of their ids.
pub(super) struct Fields<'a> {
    reader: Reader<'a>,
    last_non_ignorable: u64,
}

impl<'a> Fields<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Fields<'a>> {
        let mut reader = Reader::new(body);
        let version = unsigned(&mut reader)?;
        if version != FORMAT_VERSION {
            return Err(DecodeError::Unsupported { what: "serialization format version", value: version });
        }
        let size = unsigned(&mut reader)?;
        // The size counts the message from its first byte, the version included.
        let read = (body.len() - reader.len()) as u64;
        let Some(rest) = size.checked_sub(read) else {
            return Err(DecodeError::Invalid { what: "serialized message size", value: size });
        };
        let mut reader = Reader::new(reader.take_u64(rest, "serialized message")?);
        let last_non_ignorable = unsigned(&mut reader)?;
        Ok(Fields { reader, last_non_ignorable })
    }

    /// The next field's id, or `None` at the end.
    pub(super) fn next_id(&mut self) -> Result<Option<u64>> {
        if self.reader.is_empty() { Ok(None) } else { unsigned(&mut self.reader).map(Some) }
    }

    /// Whether the fields from `id` on, unknown here, may be left unread.
    pub(super) fn may_stop_at(&self, id: u64) -> bool {
        id > self.last_non_ignorable
    }

    pub(super) fn unsigned(&mut self) -> Result<u64> {
        unsigned(&mut self.reader)
    }

    pub(super) fn signed(&mut self) -> Result<i64> {
        let v = unsigned(&mut self.reader)?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        for byte in &mut out {
            let v = self.unsigned()?;
            *byte = u8::try_from(v).map_err(|_| DecodeError::Invalid { what: "serialized byte", value: v })?;
        }
        Ok(out)
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8]> {
        let n = unsigned(&mut self.reader)?;
        self.reader.take_u64(n, "serialized string")
    }
}

/// One variable-length number.
pub(crate) fn unsigned(r: &mut Reader<'_>) -> Result<u64> {
    const WHAT: &str = "serialized number";
    let first = r.u8(WHAT)?;
    let more = first.trailing_ones();
    if more == 8 {
        return r.u64(WHAT);
    }
    // With 7 more bytes nothing of the first byte is left; below that its upper bits are the lowest ones.
    let rest = r.uint(more as usize, WHAT)?;
    let low_bits = 7 - more;
    Ok(u64::from(first) >> (more + 1) | rest << low_bits)
}

/// Writes one variable-length number: one byte below 2^7, two below 2^14, and so on.
pub(crate) fn write_unsigned(v: u64, out: &mut Vec<u8>) {
    let bits = 64 - v.leading_zeros();
    let more = bits.max(1).div_ceil(7) - 1;
    if more >= 8 {
        out.push(0xFF);
        out.extend_from_slice(&v.to_le_bytes());
        return;
    }
    let first = ((v << (more + 1)) as u8) | ((1u16 << more) - 1) as u8;
    out.push(first);
    let rest = v >> (7 - more);
    out.extend_from_slice(&rest.to_le_bytes()[..more as usize]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_at_every_width() {
        let mut values = vec![0, 1, u64::MAX];
        values.extend((1..64).flat_map(|b| [(1u64 << b) - 1, 1 << b, (1 << b) + 1]));
        for v in values {
            let mut out = Vec::new();
            write_unsigned(v, &mut out);
            let mut r = Reader::new(&out);
            assert_eq!(unsigned(&mut r), Ok(v));
            assert!(r.is_empty(), "{v}");
            for cut in 0..out.len() {
                assert!(unsigned(&mut Reader::new(&out[..cut])).is_err());
            }
        }
    }
}
