//! The control events of a few fields each.

use super::mariadb::expect;
use super::{Event, EventType};
use crate::binlog::error::{DecodeError, Result};
use crate::binlog::reader::Reader;

/// The next file and where to begin in it. The header's position belongs to the file that ends, this one to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotate<'a> {
    /// First position in the next file: 4.
    pub position: u64,
    /// Its name, without a directory.
    pub file: &'a [u8],
}

impl<'a> Rotate<'a> {
    /// Reads event 4.
    ///
    /// # Errors
    /// When the event is of another type or cut, or names no file.
    pub fn parse(event: &Event<'a>) -> Result<Rotate<'a>> {
        expect(event, EventType::ROTATE)?;
        let mut r = Reader::new(event.body);
        let position = r.u64("rotate position")?;
        if r.is_empty() {
            return Err(DecodeError::Short { what: "rotate file name", needed: 1, left: 0 });
        }
        Ok(Rotate { position, file: r.rest() })
    }
}

/// The end of a transaction of a transactional engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xid {
    /// The server's own number for the transaction.
    pub xid: u64,
}

impl Xid {
    /// Reads event 16.
    ///
    /// # Errors
    /// When the event is of another type or not 8 bytes long.
    pub fn parse(event: &Event<'_>) -> Result<Xid> {
        expect(event, EventType::XID)?;
        let mut r = Reader::new(event.body);
        let xid = r.u64("xid")?;
        r.finish("xid")?;
        Ok(Xid { xid })
    }
}

/// An XA transaction is prepared; with `one_phase`, it is committed at once and no second group follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XaPrepare<'a> {
    /// `XA COMMIT ... ONE PHASE`.
    pub one_phase: bool,
    /// Format id, 1 unless given.
    pub format_id: u32,
    /// Global part of the name, at most 64 bytes.
    pub gtrid: &'a [u8],
    /// Branch qualifier, at most 64 bytes.
    pub bqual: &'a [u8],
}

impl<'a> XaPrepare<'a> {
    /// Reads event 38.
    ///
    /// # Errors
    /// When the event is of another type or cut.
    pub fn parse(event: &Event<'a>) -> Result<XaPrepare<'a>> {
        expect(event, EventType::XA_PREPARE)?;
        let mut r = Reader::new(event.body);
        let one_phase = r.u8("xa prepare")? != 0;
        let format_id = r.u32("xa prepare")?;
        let (gtrid, bqual) = (r.u32("xa prepare")?, r.u32("xa prepare")?);
        let gtrid = r.take_u64(gtrid.into(), "xa gtrid")?;
        let bqual = r.take_u64(bqual.into(), "xa bqual")?;
        Ok(XaPrepare { one_phase, format_id, gtrid, bqual })
    }
}

/// The statement that the rows after it come from (MySQL, `binlog_rows_query_log_events`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsQuery<'a> {
    /// The statement.
    pub sql: &'a [u8],
}

impl<'a> RowsQuery<'a> {
    /// Reads event 29. Its first byte is a length that cannot hold real lengths and is ignored, as the server does.
    ///
    /// # Errors
    /// When the event is of another type or empty.
    pub fn parse(event: &Event<'a>) -> Result<RowsQuery<'a>> {
        expect(event, EventType::ROWS_QUERY)?;
        let mut r = Reader::new(event.body);
        r.u8("rows query")?;
        Ok(RowsQuery { sql: r.rest() })
    }
}

/// The statement that the rows after it come from (MariaDB).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnotateRows<'a> {
    /// The statement.
    pub sql: &'a [u8],
}

impl<'a> AnnotateRows<'a> {
    /// Reads event 160.
    ///
    /// # Errors
    /// When the event is of another type.
    pub fn parse(event: &Event<'a>) -> Result<AnnotateRows<'a>> {
        expect(event, EventType::ANNOTATE_ROWS)?;
        Ok(AnnotateRows { sql: event.body })
    }
}

/// Nothing was sent for a while: where the server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    /// File that the server reads.
    pub file: &'a [u8],
    /// Position in it. Event 27 has only the header's 32 bits of it: [`wrapped`](Self::wrapped).
    pub position: u64,
    /// The position is known modulo 2^32 only.
    pub wrapped: bool,
}

impl<'a> Heartbeat<'a> {
    /// Reads event 27 or 41.
    ///
    /// # Errors
    /// When the event is of another type or cut.
    pub fn parse(event: &Event<'a>) -> Result<Heartbeat<'a>> {
        if event.header.event_type == EventType::HEARTBEAT {
            return Ok(Heartbeat { file: event.body, position: event.header.log_pos.into(), wrapped: true });
        }
        expect(event, EventType::HEARTBEAT_V2)?;
        let mut heartbeat = Heartbeat { file: &[], position: event.header.log_pos.into(), wrapped: true };
        let mut r = Reader::new(event.body);
        // Fields of type, length and value: 1 the file, 2 the position; 0 ends them.
        while !r.is_empty() {
            let field = r.lenenc("heartbeat field")?;
            if field == 0 {
                break;
            }
            let value = r.lenenc_bytes("heartbeat field")?;
            match field {
                1 => heartbeat.file = value,
                2 => {
                    heartbeat.position = Reader::new(value).lenenc("heartbeat position")?;
                    heartbeat.wrapped = false;
                }
                _ => {}
            }
        }
        Ok(heartbeat)
    }
}

/// Changes may be missing from the source's binlog from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident<'a> {
    /// 1: lost events.
    pub incident: u16,
    /// What the server says of it.
    pub message: &'a [u8],
}

impl<'a> Incident<'a> {
    /// Reads event 26.
    ///
    /// # Errors
    /// When the event is of another type or cut.
    pub fn parse(event: &Event<'a>) -> Result<Incident<'a>> {
        expect(event, EventType::INCIDENT)?;
        let mut r = Reader::new(event.body);
        let incident = r.u16("incident")?;
        let n = r.u8("incident message")?;
        Ok(Incident { incident, message: r.take(n.into(), "incident message")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event::Checksum;
    use crate::binlog::event::tests::event;

    #[test]
    fn positions_beyond_4_gb_survive_in_the_second_heartbeat_form_only() {
        let raw = event(EventType::HEARTBEAT, b"bin.000001", Checksum::None);
        let h = Heartbeat::parse(&Event::parse(&raw, Checksum::None).unwrap()).unwrap();
        assert_eq!((h.file, h.position, h.wrapped), (&b"bin.000001"[..], 1000, true));

        let body = [&[1, 3][..], b"b.1", &[2, 9, 0xFE, 0, 0, 0, 0, 5, 0, 0, 0, 7, 1, 1, 0]].concat();
        let raw = event(EventType::HEARTBEAT_V2, &body, Checksum::None);
        let h = Heartbeat::parse(&Event::parse(&raw, Checksum::None).unwrap()).unwrap();
        assert_eq!((h.file, h.position, h.wrapped), (&b"b.1"[..], 5 << 32, false));
    }

    #[test]
    fn an_xa_name_longer_than_the_event_is_an_error() {
        let body = [&[1, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0][..], b"abc"].concat();
        let raw = event(EventType::XA_PREPARE, &body, Checksum::None);
        let xa = Event::parse(&raw, Checksum::None).unwrap();
        let xa = XaPrepare::parse(&xa).unwrap();
        assert_eq!((xa.one_phase, xa.format_id, xa.gtrid, xa.bqual), (true, 1, &b"ab"[..], &b"c"[..]));
        let raw = event(EventType::XA_PREPARE, &body[..15], Checksum::None);
        assert!(XaPrepare::parse(&Event::parse(&raw, Checksum::None).unwrap()).is_err());
    }

    #[test]
    fn a_rotate_needs_a_file() {
        let raw = event(EventType::ROTATE, &4u64.to_le_bytes(), Checksum::None);
        assert!(Rotate::parse(&Event::parse(&raw, Checksum::None).unwrap()).is_err());
    }
}
