//! MariaDB's compression, of whole events (`log_bin_compress`) and of columns (`COMPRESSED`).
//!
//! ```text
//! event   1 byte: 0x80 | method << 4 | n      method 0 is zlib, n is 1 to 4
//!         n bytes, big-endian: size when inflated
//!         zlib stream
//! column  1 byte: method << 4 | raw << 3 | n  method 8 is zlib (raw: without its header), 0 is stored
//!         n bytes, big-endian: size when inflated
//!         zlib or deflate stream
//! ```

use std::io::Read;

use super::error::{DecodeError, Result};
use super::event::{Event, EventHeader, EventType, FormatDescription, Query};
use super::reader::Reader;
use super::rows::RowsHead;
use super::value::Value;

/// A value of a COMPRESSED column, still compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompressedValue<'a> {
    raw_deflate: bool,
    size: u64,
    deflated: &'a [u8],
}

impl<'a> CompressedValue<'a> {
    /// A value as it lies in the row; short values are stored as they are behind one byte, the empty one is empty.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Value<'a>> {
        let Some((&head, rest)) = bytes.split_first() else { return Ok(Value::Bytes(bytes)) };
        match head >> 4 {
            0 => Ok(Value::Bytes(rest)),
            8 => {
                let mut r = Reader::new(rest);
                let size = r.uint_be(usize::from(head & 7), "compressed value size")?;
                Ok(Value::Compressed(CompressedValue { raw_deflate: head & 8 != 0, size, deflated: r.rest() }))
            }
            method => Err(DecodeError::Unsupported { what: "column compression method", value: method.into() }),
        }
    }

    /// Appends it as it lies in a row, still compressed.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let bytes = self.size.to_be_bytes();
        let size = &bytes[(self.size.leading_zeros() / 8).min(7) as usize..];
        out.push(0x80 | u8::from(self.raw_deflate) << 3 | size.len() as u8 & 7);
        out.extend_from_slice(size);
        out.extend_from_slice(self.deflated);
    }

    /// What it inflates to, in bytes, as its header states.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends the inflated value.
    ///
    /// # Errors
    /// When it would exceed `limit` bytes, is damaged, or does not have its stated size; `out` is then as before.
    pub fn inflate(&self, limit: u64, out: &mut Vec<u8>) -> Result<()> {
        if self.raw_deflate {
            inflate("compressed value", flate2::read::DeflateDecoder::new(self.deflated), self.size, limit, out)
        } else {
            inflate("compressed value", flate2::read::ZlibDecoder::new(self.deflated), self.size, limit, out)
        }
    }
}

/// Appends to `out` the plain event that a compressed one (165 to 171) stands for: its type, length and body as the
/// server would have written them, without a checksum; position and all else as they were.
///
/// # Errors
/// When the event is no such event, or would exceed `limit` bytes, or is damaged; `out` is then as before.
pub fn expand_event(event: &Event<'_>, description: &FormatDescription, limit: u64, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    let result = expand(event, description, limit, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn expand(event: &Event<'_>, description: &FormatDescription, limit: u64, out: &mut Vec<u8>) -> Result<()> {
    let kind = event.header.event_type;
    let (plain, compressed) = match kind {
        EventType::QUERY_COMPRESSED => (EventType::QUERY, Query::parse(event)?.sql),
        EventType::WRITE_ROWS_COMPRESSED_V1
        | EventType::UPDATE_ROWS_COMPRESSED_V1
        | EventType::DELETE_ROWS_COMPRESSED_V1 => {
            (EventType(kind.0 - 166 + 23), RowsHead::parse(event, description)?.rows)
        }
        EventType::WRITE_ROWS_COMPRESSED | EventType::UPDATE_ROWS_COMPRESSED | EventType::DELETE_ROWS_COMPRESSED => {
            (EventType(kind.0 - 169 + 30), RowsHead::parse(event, description)?.rows)
        }
        other => return Err(DecodeError::Invalid { what: "type of a compressed event", value: other.0.into() }),
    };
    let frame = &event.body[..event.body.len() - compressed.len()];
    let mut r = Reader::new(compressed);
    let head = r.u8("compressed event header")?;
    if head & 0xF0 != 0x80 {
        return Err(DecodeError::Unsupported { what: "event compression header", value: head.into() });
    }
    let size = r.uint_be(usize::from(head & 7), "compressed event size")?;
    let start = out.len();
    let mut header = EventHeader { event_type: plain, ..event.header };
    header.write(out);
    out.extend_from_slice(frame);
    let room = limit.saturating_sub((out.len() - start) as u64);
    inflate("compressed event", flate2::read::ZlibDecoder::new(r.rest()), size, room, out)?;
    let len = out.len() - start;
    header.event_len =
        u32::try_from(len).map_err(|_| DecodeError::Invalid { what: "event length", value: len as u64 })?;
    out[start + 9..start + 13].copy_from_slice(&header.event_len.to_le_bytes());
    Ok(())
}

/// Inflates to exactly `size` bytes. Memory grows with what really comes out, never with what a header claims.
fn inflate(what: &'static str, from: impl Read, size: u64, limit: u64, out: &mut Vec<u8>) -> Result<()> {
    let start = out.len();
    let wrong = DecodeError::Inflate { what, stated: size };
    if size > limit {
        return Err(wrong);
    }
    // One byte more than stated shows that the stream goes on.
    let read = from.take(size.saturating_add(1)).read_to_end(out);
    if read.is_ok_and(|n| n as u64 == size) {
        return Ok(());
    }
    out.truncate(start);
    Err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut z = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        z.write_all(data).unwrap();
        z.finish().unwrap()
    }

    #[test]
    fn column_values_inflate_to_their_stated_size_only() {
        let data = vec![b'x'; 5000];
        let value = |size: u16| [&[0x82][..], &size.to_be_bytes(), &zlib(&data)].concat();
        let inflated = |bytes: &[u8], limit| {
            let Ok(Value::Compressed(v)) = CompressedValue::parse(bytes) else { panic!("not compressed") };
            let mut out = b"kept".to_vec();
            let result = v.inflate(limit, &mut out);
            assert_eq!(&out[..4], b"kept");
            assert!(result.is_ok() || out.len() == 4);
            result.map(|()| out[4..].to_vec())
        };
        assert_eq!(inflated(&value(5000), 5000), Ok(data.clone()));
        assert!(inflated(&value(5000), 4999).is_err());
        assert!(inflated(&value(4999), 9999).is_err());
        assert!(inflated(&value(5001), 9999).is_err());
        let cut = value(5000);
        assert!(inflated(&cut[..cut.len() - 6], 9999).is_err());
    }

    #[test]
    fn short_values_are_stored() {
        assert_eq!(CompressedValue::parse(b""), Ok(Value::Bytes(b"")));
        assert_eq!(CompressedValue::parse(b"\0abc"), Ok(Value::Bytes(b"abc")));
        assert!(CompressedValue::parse(b"\x10abc").is_err());
        assert!(CompressedValue::parse(b"\x84ab").is_err());
    }
}
