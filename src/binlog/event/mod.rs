//! One event: its header, its checksum, and (in the files beside this one) what the control events say.
//!
//! ```text
//! offset  size  field          (all little-endian)
//!      0     4  timestamp      seconds, when the statement began on the server that first ran it
//!      4     1  type           EventType
//!      5     4  server id      of the server that first wrote it
//!      9     4  event length   header, body and checksum
//!     13     4  log position   where the event ends in its file, modulo 2^32; 0 for events made up for the dump
//!     17     2  flags
//!     19     -  body
//!    end     4  CRC32          of everything before it, when the file has checksums
//! ```

mod format_description;
mod gtid;
mod mariadb;
mod payload;
mod query;
pub(crate) mod serialization;
mod small;
mod types;

pub use format_description::{Dialect, FormatDescription, server_version};
pub use gtid::{Gtid, TaggedGtid};
pub use mariadb::{MariadbGtid, MariadbGtidList, MariadbXid, StartEncryption};
pub use payload::{Compression, TransactionPayload};
pub use query::{Query, QueryCharset, QueryStatus};
pub use small::{AnnotateRows, Heartbeat, Incident, Rotate, RowsQuery, XaPrepare, Xid};
pub use types::EventType;

use super::error::{DecodeError, Result};
use super::reader::Reader;

/// How the events of a binlog file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// No checksum.
    None,
    /// Four bytes of CRC32 (IEEE) over header and body.
    Crc32,
}

impl Checksum {
    /// How many bytes follow the body.
    pub fn len(self) -> usize {
        match self {
            Checksum::None => 0,
            Checksum::Crc32 => 4,
        }
    }

    /// Whether nothing follows the body.
    pub fn is_empty(self) -> bool {
        self == Checksum::None
    }
}

/// A checksum that does not belong to its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("checksum of the {event_type} event is {stored:08x}, its bytes give {computed:08x}")]
pub struct ChecksumMismatch {
    /// The type that the header states (which may itself be the damage).
    pub event_type: EventType,
    /// What the event says.
    pub stored: u32,
    /// What its bytes give.
    pub computed: u32,
}

/// The fixed part that every event starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventHeader {
    /// Seconds since the epoch, when the statement began on the server that first ran it.
    pub timestamp: u32,
    /// What the body is.
    pub event_type: EventType,
    /// The server that first wrote the event.
    pub server_id: u32,
    /// Header, body and checksum together, in bytes.
    pub event_len: u32,
    /// Where the event ends in its file, **modulo 2^32**; 0 for events that are not in a file, and inside a payload.
    pub log_pos: u32,
    /// `FLAG_*`.
    pub flags: u16,
}

impl EventHeader {
    /// Bytes of a header.
    pub const LEN: usize = 19;
    /// The file was not closed in order (format description only).
    pub const FLAG_BINLOG_IN_USE: u16 = 0x1;
    /// The event depends on the session, such as a temporary table.
    pub const FLAG_THREAD_SPECIFIC: u16 = 0x4;
    /// A query that ran without its default schema being used.
    pub const FLAG_SUPPRESS_USE: u16 = 0x8;
    /// Made up by the server for this dump; in no file.
    pub const FLAG_ARTIFICIAL: u16 = 0x20;
    /// Written by a replica into its relay log.
    pub const FLAG_RELAY_LOG: u16 = 0x40;
    /// May be skipped by a reader that does not know its type.
    pub const FLAG_IGNORABLE: u16 = 0x80;
    /// MariaDB: the server is to skip replicating this event.
    pub const FLAG_SKIP_REPLICATION: u16 = 0x8000;

    /// Reads the header at the start of `raw`; the rest of the event need not be there yet.
    ///
    /// # Errors
    /// When fewer than 19 bytes are there, or the stated length is shorter than a header.
    #[inline]
    pub fn parse(raw: &[u8]) -> Result<EventHeader> {
        let mut r = Reader::new(raw);
        let header = EventHeader {
            timestamp: r.u32("event header")?,
            event_type: EventType(r.u8("event header")?),
            server_id: r.u32("event header")?,
            event_len: r.u32("event header")?,
            log_pos: r.u32("event header")?,
            flags: r.u16("event header")?,
        };
        if (header.event_len as usize) < EventHeader::LEN {
            return Err(DecodeError::Invalid { what: "event length", value: header.event_len.into() });
        }
        Ok(header)
    }

    /// Appends the 19 bytes; the inverse of [`parse`](Self::parse).
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_le_bytes());
        out.push(self.event_type.0);
        out.extend_from_slice(&self.server_id.to_le_bytes());
        out.extend_from_slice(&self.event_len.to_le_bytes());
        out.extend_from_slice(&self.log_pos.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
    }

    /// Whether the server made the event up for this dump: it is in no file and has no position.
    pub fn is_artificial(&self) -> bool {
        self.flags & EventHeader::FLAG_ARTIFICIAL != 0 || self.log_pos == 0
    }

    /// Whether a reader loses no data by skipping the event, known or not: it is flagged so, or its type is one that
    /// never carries data nor ends a transaction.
    pub fn is_ignorable(&self) -> bool {
        self.flags & EventHeader::FLAG_IGNORABLE != 0 || self.event_type.carries_no_data()
    }
}

/// One whole event, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Its header.
    pub header: EventHeader,
    /// What follows the header, without the checksum.
    pub body: &'a [u8],
    /// All of it, as received.
    pub raw: &'a [u8],
}

impl<'a> Event<'a> {
    /// Splits `raw`, which must be exactly one event. The checksum is cut off, not verified.
    ///
    /// # Errors
    /// When the stated length is not the length of `raw`, or there is no room for the checksum.
    #[inline]
    pub fn parse(raw: &'a [u8], checksum: Checksum) -> Result<Event<'a>> {
        let header = EventHeader::parse(raw)?;
        if header.event_len as usize != raw.len() {
            return Err(DecodeError::Invalid { what: "event length", value: header.event_len.into() });
        }
        let body = &raw[EventHeader::LEN..];
        match body.len().checked_sub(checksum.len()) {
            Some(len) => Ok(Event { header, body: &body[..len], raw }),
            None => Err(DecodeError::Short { what: "event checksum", needed: 4, left: body.len() }),
        }
    }

    /// Compares the checksum with the bytes it covers. A file without checksums always passes.
    ///
    /// # Errors
    /// When they differ, or when `raw` is too short to be an event.
    pub fn verify(raw: &[u8], checksum: Checksum) -> Result<(), ChecksumMismatch> {
        if checksum == Checksum::None {
            return Ok(());
        }
        let event_type = EventType(raw.get(4).copied().unwrap_or(0));
        let Some((covered, stored)) = raw.split_last_chunk::<4>() else {
            return Err(ChecksumMismatch { event_type, stored: 0, computed: crc32fast::hash(raw) });
        };
        let (stored, mut computed) = (u32::from_le_bytes(*stored), crc32fast::hash(covered));
        if stored != computed && event_type == EventType::FORMAT_DESCRIPTION && covered.len() > EventHeader::LEN {
            // The server sums a format description with the in-use bit clear, then sets the bit in the open file.
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&covered[..17]);
            hasher.update(&[covered[17] & !(EventHeader::FLAG_BINLOG_IN_USE as u8)]);
            hasher.update(&covered[18..]);
            computed = hasher.finalize();
        }
        if stored == computed { Ok(()) } else { Err(ChecksumMismatch { event_type, stored, computed }) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An event with a right length, and a right checksum when asked.
    pub(crate) fn event(event_type: EventType, body: &[u8], checksum: Checksum) -> Vec<u8> {
        let header = EventHeader {
            timestamp: 1_700_000_000,
            event_type,
            server_id: 7,
            event_len: (EventHeader::LEN + body.len() + checksum.len()) as u32,
            log_pos: 1000,
            flags: 0,
        };
        let mut raw = Vec::new();
        header.write(&mut raw);
        raw.extend_from_slice(body);
        if checksum == Checksum::Crc32 {
            raw.extend_from_slice(&crc32fast::hash(&raw).to_le_bytes());
        }
        raw
    }

    #[test]
    fn header_round_trips() {
        let raw = event(EventType::XID, &[1; 8], Checksum::Crc32);
        let parsed = Event::parse(&raw, Checksum::Crc32).unwrap();
        assert_eq!(parsed.body, &[1; 8]);
        assert_eq!(parsed.header.event_len, 31);
        let mut again = Vec::new();
        parsed.header.write(&mut again);
        assert_eq!(again, raw[..19]);
    }

    #[test]
    fn a_length_that_is_not_the_length_is_refused() {
        let raw = event(EventType::XID, &[1; 8], Checksum::None);
        for cut in 0..raw.len() {
            assert!(Event::parse(&raw[..cut], Checksum::None).is_err(), "{cut}");
        }
        let bare = event(EventType::STOP, &[], Checksum::None);
        assert!(Event::parse(&bare, Checksum::None).is_ok());
        assert!(Event::parse(&bare, Checksum::Crc32).is_err());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let raw = event(EventType::XID, &[1; 8], Checksum::Crc32);
        assert_eq!(Event::verify(&raw, Checksum::Crc32), Ok(()));
        for bit in 0..raw.len() * 8 {
            let mut bad = raw.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Event::verify(&bad, Checksum::Crc32).is_err(), "{bit}");
            assert_eq!(Event::verify(&bad, Checksum::None), Ok(()));
        }
        assert!(Event::verify(&[1, 2], Checksum::Crc32).is_err());
    }

    #[test]
    fn the_in_use_bit_is_outside_the_checksum_of_a_format_description() {
        let mut raw = event(EventType::FORMAT_DESCRIPTION, &[4; 90], Checksum::Crc32);
        raw[17] |= EventHeader::FLAG_BINLOG_IN_USE as u8;
        assert_eq!(Event::verify(&raw, Checksum::Crc32), Ok(()));
        raw[17] |= EventHeader::FLAG_ARTIFICIAL as u8;
        assert!(Event::verify(&raw, Checksum::Crc32).is_err());
    }
}
