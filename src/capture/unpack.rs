//! Compressed events to plain ones, as a bounded stream: MySQL's TRANSACTION_PAYLOAD one inner event at a time, and
//! MariaDB's compressed events one for one. Memory is that of the largest inner event; nothing is handed out as the
//! last event of a payload before the whole of it has proved to have its stated size.

use std::io::{self, BufRead, Read};

use flate2::bufread::ZlibDecoder;
use thiserror::Error;

use crate::binlog::DecodeError;
use crate::binlog::event::{Compression, Event, EventHeader, EventType, FormatDescription, TransactionPayload};

/// Largest plain event: what a server can log.
const EVENT_BYTES_MAX: u64 = 1 << 30;
/// A buffer that one event grew beyond this is given back before the next.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// A compressed event that does not unpack. Always definite: it was received whole, its checksum was right.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The compressed bytes are damaged.
    #[error("decompress {what}: {source}")]
    Damaged {
        /// Which event.
        what: &'static str,
        /// What the decompressor says.
        source: io::Error,
    },
    /// It unpacks to another size than it states.
    #[error("{what} states {stated} bytes and unpacks to {}", if *longer { "more" } else { "less" })]
    Size {
        /// Which event.
        what: &'static str,
        /// The size that it states.
        stated: u64,
        /// Whether it is longer or shorter than that.
        longer: bool,
    },
    /// It states no size, or one that no server can log.
    #[error("{what} states a size of {stated:?} bytes")]
    Stated {
        /// Which event.
        what: &'static str,
        /// The size that it states.
        stated: Option<u64>,
    },
    /// A field of it does not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

const PAYLOAD: &str = "transaction payload";

/// The inner events of a TRANSACTION_PAYLOAD.
pub struct PayloadReader<'a> {
    source: Box<dyn Read + Send + 'a>,
    stated: u64,
    left: u64,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for PayloadReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PayloadReader").field("stated", &self.stated).field("left", &self.left).finish_non_exhaustive()
    }
}

/// An inner event: its bytes, without a checksum, and whether it is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inner<'a> {
    /// Header and body.
    pub raw: &'a [u8],
    /// Nothing follows it, and the payload had its stated size.
    pub last: bool,
}

impl<'a> PayloadReader<'a> {
    /// Begins to unpack an event whose checksum has been verified.
    ///
    /// # Errors
    /// A payload without a size, or with fields that do not decode.
    pub fn new(event: &Event<'a>) -> Result<Self, UnpackError> {
        let payload = TransactionPayload::parse(event)?;
        let (source, stated): (Box<dyn Read + Send + 'a>, _) = match payload.compression {
            Compression::None => (Box::new(payload.payload), Some(payload.payload.len() as u64)),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(payload.payload)
                    .map_err(|source| UnpackError::Damaged { what: PAYLOAD, source })?;
                (Box::new(decoder), payload.uncompressed_size)
            }
        };
        let stated = stated.filter(|size| *size > 0).ok_or(UnpackError::Stated { what: PAYLOAD, stated })?;
        Ok(Self { source, stated, left: stated, buffer: Vec::new() })
    }

    /// The next inner event; none after the last.
    ///
    /// # Errors
    /// Damaged bytes, or another size than the payload states: what came before must then be thrown away.
    pub fn next_inner(&mut self) -> Result<Option<Inner<'_>>, UnpackError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.buffer.clear();
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = Vec::new();
        }
        self.fill(EventHeader::LEN as u64)?;
        let header = EventHeader::parse(&self.buffer)?;
        self.fill(u64::from(header.event_len) - EventHeader::LEN as u64)?;
        if self.left == 0 {
            self.expect_end()?;
        }
        Ok(Some(Inner { raw: &self.buffer, last: self.left == 0 }))
    }

    /// Reads `length` more bytes; memory grows with what really comes, not with what is promised.
    fn fill(&mut self, length: u64) -> Result<(), UnpackError> {
        let stated = self.stated;
        if length > self.left {
            return Err(UnpackError::Size { what: PAYLOAD, stated, longer: true });
        }
        let got = (&mut self.source).take(length).read_to_end(&mut self.buffer);
        let got = got.map_err(|source| UnpackError::Damaged { what: PAYLOAD, source })? as u64;
        self.left -= got;
        if got < length {
            return Err(UnpackError::Size { what: PAYLOAD, stated, longer: false });
        }
        Ok(())
    }

    fn expect_end(&mut self) -> Result<(), UnpackError> {
        let more = self.source.read(&mut [0]).map_err(|source| UnpackError::Damaged { what: PAYLOAD, source })?;
        match more {
            0 => Ok(()),
            _ => Err(UnpackError::Size { what: PAYLOAD, stated: self.stated, longer: true }),
        }
    }
}

/// Turns one of MariaDB's compressed events into the plain event that it stands for, in `out`: the type and length of
/// its header changed, its body inflated, without a checksum.
///
/// # Errors
/// Damaged bytes, another size than stated, or an unknown method.
pub fn inflate_mariadb(event: &Event<'_>, format: &FormatDescription, out: &mut Vec<u8>) -> Result<(), UnpackError> {
    const WHAT: &str = "compressed event";
    let plain = plain_type(event.header.event_type)?;
    let start = match plain {
        EventType::QUERY => query_text(event.body)?,
        _ => rows_bytes(event.body, event.header.event_type, format)?,
    };
    let (before, packed) = event.body.split_at(start);
    let (stated, packed) = packed_length(packed)?;
    if stated > EVENT_BYTES_MAX {
        return Err(UnpackError::Stated { what: WHAT, stated: Some(stated) });
    }
    out.clear();
    if out.capacity() > BUFFER_BYTES_KEPT {
        *out = Vec::new();
    }
    let length = (EventHeader::LEN + before.len()) as u64 + stated;
    let event_len = u32::try_from(length).map_err(|_| UnpackError::Stated { what: WHAT, stated: Some(stated) })?;
    EventHeader { event_type: plain, event_len, ..event.header }.write(out);
    out.extend_from_slice(before);
    let got = inflate(packed, stated, out).map_err(|source| UnpackError::Damaged { what: WHAT, source })?;
    if got != stated {
        return Err(UnpackError::Size { what: WHAT, stated, longer: got > stated });
    }
    Ok(())
}

/// Inflates at most one byte more than stated, so that a longer stream shows.
fn inflate(packed: impl BufRead, stated: u64, out: &mut Vec<u8>) -> io::Result<u64> {
    Ok(ZlibDecoder::new(packed).take(stated + 1).read_to_end(out)? as u64)
}

fn plain_type(packed: EventType) -> Result<EventType, DecodeError> {
    Ok(match packed {
        EventType::QUERY_COMPRESSED => EventType::QUERY,
        EventType::WRITE_ROWS_COMPRESSED_V1 => EventType::WRITE_ROWS_V1,
        EventType::UPDATE_ROWS_COMPRESSED_V1 => EventType::UPDATE_ROWS_V1,
        EventType::DELETE_ROWS_COMPRESSED_V1 => EventType::DELETE_ROWS_V1,
        EventType::WRITE_ROWS_COMPRESSED => EventType::WRITE_ROWS,
        EventType::UPDATE_ROWS_COMPRESSED => EventType::UPDATE_ROWS,
        EventType::DELETE_ROWS_COMPRESSED => EventType::DELETE_ROWS,
        other => return Err(DecodeError::Unsupported { what: "compressed event type", value: other.0.into() }),
    })
}

/// `at` when the body reaches that far.
fn within(body: &[u8], at: usize, what: &'static str) -> Result<usize, DecodeError> {
    if at <= body.len() { Ok(at) } else { Err(DecodeError::Short { what, needed: at as u64, left: body.len() }) }
}

/// Where the statement's text begins: behind 13 fixed bytes, the status variables, the schema and its zero byte.
fn query_text(body: &[u8]) -> Result<usize, DecodeError> {
    const WHAT: &str = "compressed query";
    let fixed = body.first_chunk::<13>().ok_or(DecodeError::Short { what: WHAT, needed: 13, left: body.len() })?;
    let status = usize::from(u16::from_le_bytes([fixed[11], fixed[12]]));
    within(body, 13 + status + usize::from(fixed[8]) + 1, WHAT)
}

/// Where the rows begin: behind table id and flags, the extra data of version 2, the number of columns and their bitmaps.
fn rows_bytes(body: &[u8], packed: EventType, format: &FormatDescription) -> Result<usize, DecodeError> {
    const WHAT: &str = "compressed rows";
    const FIXED_V1: usize = 8;
    const FIXED_V2: usize = 10;
    let short = || DecodeError::Short { what: WHAT, needed: FIXED_V2 as u64, left: body.len() };
    let mut at = FIXED_V1;
    if format.post_header_len(packed) == Some(FIXED_V2) {
        let extra = body.get(at..FIXED_V2).and_then(<[u8]>::first_chunk::<2>).ok_or_else(short)?;
        at += usize::from(u16::from_le_bytes(*extra)); // counts its own two bytes
    }
    let (columns, used) = column_count(body.get(at..).ok_or_else(short)?)?;
    let bitmaps = match packed {
        EventType::UPDATE_ROWS_COMPRESSED | EventType::UPDATE_ROWS_COMPRESSED_V1 => 2,
        _ => 1,
    };
    within(body, at + used + bitmaps * columns.div_ceil(8), WHAT)
}

/// A length-encoded column count, and its own bytes. A table has at most 4096 columns.
fn column_count(bytes: &[u8]) -> Result<(usize, usize), DecodeError> {
    match *bytes {
        [count @ 0..=250, ..] => Ok((usize::from(count), 1)),
        [252, a, b, ..] => Ok((usize::from(u16::from_le_bytes([a, b])), 3)),
        _ => Err(DecodeError::Short { what: "column count", needed: 3, left: bytes.len() }),
    }
}

/// The head of a compressed part: a byte with the method in bits 4 to 6 (0: zlib) and the number of length bytes in bits
/// 0 to 2, then the length, big-endian.
fn packed_length(packed: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    let what = "compressed length";
    let short = DecodeError::Short { what, needed: 2, left: packed.len() };
    let (&head, rest) = packed.split_first().ok_or(short.clone())?;
    let (method, bytes) = (head >> 4 & 7, usize::from(head & 7));
    if method != 0 {
        return Err(DecodeError::Unsupported { what: "compression method", value: method.into() });
    }
    if !(1..=4).contains(&bytes) {
        return Err(DecodeError::Invalid { what, value: head.into() });
    }
    let (length, rest) = rest.split_at_checked(bytes).ok_or(short)?;
    Ok((length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), rest))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::binlog::event::Checksum;

    fn event(event_type: EventType, body: &[u8]) -> Vec<u8> {
        let event_len = u32::try_from(EventHeader::LEN + body.len()).expect("small");
        let header = EventHeader { timestamp: 1, event_type, server_id: 1, event_len, log_pos: 500, flags: 0 };
        let mut raw = Vec::new();
        header.write(&mut raw);
        raw.extend_from_slice(body);
        raw
    }

    fn lenenc(out: &mut Vec<u8>, value: u64) {
        out.push(0xFE);
        out.extend_from_slice(&value.to_le_bytes());
    }

    fn payload(inner: &[Vec<u8>], stated: u64) -> Vec<u8> {
        let packed = zstd::encode_all(inner.concat().as_slice(), 3).expect("compress");
        let mut body = Vec::new();
        for (field, value) in [(2, 0), (3, stated), (1, packed.len() as u64)] {
            body.extend_from_slice(&[field, 9]);
            lenenc(&mut body, value);
        }
        body.push(0);
        body.extend_from_slice(&packed);
        event(EventType::TRANSACTION_PAYLOAD, &body)
    }

    /// All inner events, or the error that ended them.
    fn unpack(raw: &[u8]) -> Result<Vec<(Vec<u8>, bool)>, UnpackError> {
        let event = Event::parse(raw, Checksum::None)?;
        let mut reader = PayloadReader::new(&event)?;
        let mut events = Vec::new();
        while let Some(inner) = reader.next_inner()? {
            events.push((inner.raw.to_vec(), inner.last));
        }
        Ok(events)
    }

    fn inner() -> Vec<Vec<u8>> {
        vec![
            event(EventType::QUERY, b"BEGIN"),
            event(EventType::WRITE_ROWS, &[7; 70_000]),
            event(EventType::XID, &[0; 8]),
        ]
    }

    #[test]
    fn a_payload_comes_out_event_by_event_and_knows_its_last() {
        let inner = inner();
        let size = inner.concat().len() as u64;
        let events = unpack(&payload(&inner, size)).expect("whole");
        assert_eq!(events.iter().map(|(raw, _)| raw.clone()).collect::<Vec<_>>(), inner);
        assert_eq!(events.iter().map(|(_, last)| *last).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn a_payload_of_another_size_than_stated_never_hands_out_a_last_event() {
        let inner = inner();
        let size = inner.concat().len() as u64;
        for stated in [size - 1, size + 1, size - 27, size + 1000, 10] {
            assert!(matches!(unpack(&payload(&inner, stated)), Err(UnpackError::Size { .. })), "{stated}");
        }
        assert!(matches!(unpack(&payload(&inner, 0)), Err(UnpackError::Stated { .. })));
    }

    #[test]
    fn a_damaged_payload_is_an_error_and_never_a_panic() {
        let inner = inner();
        let raw = payload(&inner, inner.concat().len() as u64);
        for at in EventHeader::LEN..raw.len() {
            let mut bad = raw.clone();
            bad[at] ^= 0x40;
            if let Ok(events) = unpack(&bad) {
                assert!(events.last().is_some_and(|(_, last)| *last), "byte {at}");
            }
        }
    }

    fn format(post_header: u8) -> FormatDescription {
        FormatDescription {
            server_version: "10.11.19-MariaDB".into(),
            created: 0,
            post_header_lengths: vec![post_header; 171],
            checksum: Checksum::Crc32,
            dialect: crate::binlog::event::Dialect::MariaDB,
        }
    }

    fn zlib(plain: &[u8], stated: usize) -> Vec<u8> {
        let mut packed = vec![0x80 | 2, u8::try_from(stated >> 8).expect("small"), (stated & 0xFF) as u8];
        let mut encoder = flate2::write::ZlibEncoder::new(&mut packed, flate2::Compression::default());
        encoder.write_all(plain).expect("compress");
        encoder.finish().expect("compress");
        packed
    }

    fn inflated(event_type: EventType, post_header: u8, body: &[u8]) -> Result<Vec<u8>, UnpackError> {
        let raw = event(event_type, body);
        let mut out = Vec::new();
        inflate_mariadb(&Event::parse(&raw, Checksum::None)?, &format(post_header), &mut out)?;
        Ok(out)
    }

    #[test]
    fn a_compressed_query_becomes_a_query() {
        let head = [&[1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 2, 0][..], &[9, 9], b"shop\0"].concat();
        let text = b"CREATE TABLE t (id int)";
        let body = [head.as_slice(), &zlib(text, text.len())].concat();
        let plain = inflated(EventType::QUERY_COMPRESSED, 13, &body).expect("whole");
        assert_eq!(plain, event(EventType::QUERY, &[head.as_slice(), text].concat()));
        for stated in [text.len() - 1, text.len() + 1] {
            let body = [head.as_slice(), &zlib(text, stated)].concat();
            assert!(matches!(inflated(EventType::QUERY_COMPRESSED, 13, &body), Err(UnpackError::Size { .. })));
        }
        for cut in 0..body.len() {
            assert!(inflated(EventType::QUERY_COMPRESSED, 13, &body[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn compressed_rows_become_rows_of_their_version() {
        let rows = [1u8; 300];
        let v1 = [&[18, 0, 0, 0, 0, 0, 1, 0, 9][..], &[0xFF, 1], &[0xFF, 1]].concat();
        let body = [v1.as_slice(), &zlib(&rows, rows.len())].concat();
        let plain = inflated(EventType::UPDATE_ROWS_COMPRESSED_V1, 8, &body).expect("whole");
        assert_eq!(plain, event(EventType::UPDATE_ROWS_V1, &[v1.as_slice(), &rows].concat()));
        let v2 = [&[18, 0, 0, 0, 0, 0, 1, 0, 2, 0, 9][..], &[0xFF, 1]].concat();
        let body = [v2.as_slice(), &zlib(&rows, rows.len())].concat();
        let plain = inflated(EventType::WRITE_ROWS_COMPRESSED, 10, &body).expect("whole");
        assert_eq!(plain, event(EventType::WRITE_ROWS, &[v2.as_slice(), &rows].concat()));
        for cut in 0..body.len() {
            assert!(inflated(EventType::WRITE_ROWS_COMPRESSED, 10, &body[..cut]).is_err(), "cut at {cut}");
        }
    }
}
