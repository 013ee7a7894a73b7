//! MariaDB's own control events: GTID (162), GTID_LIST (163), START_ENCRYPTION (164).

use super::{Event, EventType};
use crate::binlog::error::{DecodeError, Result};
use crate::binlog::reader::Reader;

/// A group begins: its GTID and what kind of group it is. The server id of the GTID is the event header's.
///
/// ```text
/// size  field
///    8  seq no
///    4  domain id
///    1  flags
///    8  commit id                                  (FLAG_GROUP_COMMIT_ID)
///    4  XA format id, 1 gtrid length, 1 bqual length, gtrid and bqual   (FLAG_PREPARED_XA or FLAG_COMPLETED_XA)
///    1  extra flags, when bytes are left           (short events are padded with zeros to 19 bytes)
///    1  number of further engines                  (EXTRA_MULTI_ENGINE)
///    8  seq no of the START ALTER                  (EXTRA_COMMIT_ALTER or EXTRA_ROLLBACK_ALTER)
///    4  thread id                                  (EXTRA_THREAD_ID)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MariadbGtid<'a> {
    /// Number in its domain, rising.
    pub seq: u64,
    /// Replication domain.
    pub domain: u32,
    /// The server that first ran the group.
    pub server_id: u32,
    /// `FLAG_*`.
    pub flags: u8,
    /// Groups with the same commit id committed together.
    pub commit_id: Option<u64>,
    /// Which XA transaction this group prepares or completes.
    pub xid: Option<MariadbXid<'a>>,
    /// `EXTRA_*`.
    pub extra_flags: u8,
    /// The seq no of the `START ALTER` that this group ends.
    pub alter_seq: Option<u64>,
    /// Connection that ran the group; servers before 11.5 do not say.
    pub thread_id: Option<u32>,
}

/// The name of an XA transaction in a MariaDB GTID event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MariadbXid<'a> {
    /// Format id.
    pub format_id: u32,
    /// Global part.
    pub gtrid: &'a [u8],
    /// Branch qualifier.
    pub bqual: &'a [u8],
}

impl<'a> MariadbGtid<'a> {
    /// The group is one event, without an end of its own.
    pub const FLAG_STANDALONE: u8 = 1;
    /// A commit id follows.
    pub const FLAG_GROUP_COMMIT_ID: u8 = 2;
    /// Everything in the group can be rolled back.
    pub const FLAG_TRANSACTIONAL: u8 = 4;
    /// May be applied in parallel.
    pub const FLAG_ALLOW_PARALLEL: u8 = 8;
    /// Waited for a row lock.
    pub const FLAG_WAITED: u8 = 16;
    /// The group is a DDL statement.
    pub const FLAG_DDL: u8 = 32;
    /// The group prepares an XA transaction.
    pub const FLAG_PREPARED_XA: u8 = 64;
    /// The group commits or rolls back a prepared XA transaction.
    pub const FLAG_COMPLETED_XA: u8 = 128;
    /// More than one engine took part.
    pub const EXTRA_MULTI_ENGINE: u8 = 1;
    /// First phase of a two-phase ALTER: not in force yet.
    pub const EXTRA_START_ALTER: u8 = 2;
    /// Second phase: the ALTER is in force.
    pub const EXTRA_COMMIT_ALTER: u8 = 4;
    /// Second phase: the ALTER never was.
    pub const EXTRA_ROLLBACK_ALTER: u8 = 8;
    /// The thread id follows (MDEV-7850).
    pub const EXTRA_THREAD_ID: u8 = 16;

    /// Reads event 162.
    ///
    /// # Errors
    /// When the event is of another type or cut.
    pub fn parse(event: &Event<'a>) -> Result<MariadbGtid<'a>> {
        expect(event, EventType::MARIADB_GTID)?;
        let mut r = Reader::new(event.body);
        let seq = r.u64("mariadb gtid")?;
        let domain = r.u32("mariadb gtid")?;
        let flags = r.u8("mariadb gtid")?;
        let commit_id = if flags & Self::FLAG_GROUP_COMMIT_ID != 0 { Some(r.u64("mariadb commit id")?) } else { None };
        let xid = if flags & (Self::FLAG_PREPARED_XA | Self::FLAG_COMPLETED_XA) != 0 {
            let format_id = r.u32("mariadb xid")?;
            let (gtrid, bqual) = (r.u8("mariadb xid")?, r.u8("mariadb xid")?);
            Some(MariadbXid {
                format_id,
                gtrid: r.take(gtrid.into(), "mariadb xid")?,
                bqual: r.take(bqual.into(), "mariadb xid")?,
            })
        } else {
            None
        };
        let extra_flags = if r.is_empty() { 0 } else { r.u8("mariadb extra flags")? };
        if extra_flags & Self::EXTRA_MULTI_ENGINE != 0 {
            r.u8("mariadb extra engines")?;
        }
        let ends_alter = extra_flags & (Self::EXTRA_COMMIT_ALTER | Self::EXTRA_ROLLBACK_ALTER) != 0;
        let alter_seq = if ends_alter { Some(r.u64("mariadb alter seq")?) } else { None };
        let thread_id = if extra_flags & Self::EXTRA_THREAD_ID != 0 { Some(r.u32("mariadb thread id")?) } else { None };
        Ok(MariadbGtid {
            seq,
            domain,
            server_id: event.header.server_id,
            flags,
            commit_id,
            xid,
            extra_flags,
            alter_seq,
            thread_id,
        })
    }

    /// Whether `flag` is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether the extra `flag` is set.
    pub fn has_extra(&self, flag: u8) -> bool {
        self.extra_flags & flag != 0
    }
}

/// The last GTIDs of every domain and server in all earlier files (event 163).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MariadbGtidList<'a> {
    /// Upper four bits of the count field.
    pub flags: u8,
    entries: &'a [u8],
}

impl<'a> MariadbGtidList<'a> {
    /// Reads event 163.
    ///
    /// # Errors
    /// When the event is of another type, cut, or has bytes left over.
    pub fn parse(event: &Event<'a>) -> Result<MariadbGtidList<'a>> {
        expect(event, EventType::MARIADB_GTID_LIST)?;
        let mut r = Reader::new(event.body);
        let count = r.u32("mariadb gtid list")?;
        let entries = r.take_u64(u64::from(count & 0x0FFF_FFFF) * 16, "mariadb gtid list")?;
        // An empty list is padded, as every short post-header is.
        Ok(MariadbGtidList { flags: (count >> 28) as u8, entries })
    }

    /// `(domain, server id, seq no)`, in the order written: the last of a domain is its newest.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32, u64)> + use<'a> {
        self.entries.as_chunks::<16>().0.iter().map(|e| {
            let word = |at: usize| u32::from_le_bytes([e[at], e[at + 1], e[at + 2], e[at + 3]]);
            (word(0), word(4), u64::from(word(8)) | u64::from(word(12)) << 32)
        })
    }
}

/// The rest of the file is encrypted on the server's disk (event 164); a dump is sent decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartEncryption {
    /// Encryption scheme.
    pub scheme: u8,
    /// Version of the key.
    pub key_version: u32,
}

impl StartEncryption {
    /// Reads event 164.
    ///
    /// # Errors
    /// When the event is of another type or cut.
    pub fn parse(event: &Event<'_>) -> Result<StartEncryption> {
        expect(event, EventType::START_ENCRYPTION)?;
        let mut r = Reader::new(event.body);
        Ok(StartEncryption { scheme: r.u8("start encryption")?, key_version: r.u32("start encryption")? })
    }
}

pub(super) fn expect(event: &Event<'_>, wanted: EventType) -> Result<()> {
    if event.header.event_type == wanted {
        return Ok(());
    }
    Err(DecodeError::Invalid { what: "event type", value: event.header.event_type.0.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event::Checksum;
    use crate::binlog::event::tests::event;

    type Xid = (u32, Vec<u8>, Vec<u8>);

    type Fields = (u8, Option<u64>, u8, Option<u64>, Option<Xid>);

    fn parse(body: &[u8]) -> Result<Fields> {
        let raw = event(EventType::MARIADB_GTID, body, Checksum::None);
        let event = Event::parse(&raw, Checksum::None).unwrap();
        let g = MariadbGtid::parse(&event)?;
        assert_eq!((g.seq, g.domain, g.server_id), (500, 3, 7));
        let xid = g.xid.map(|x| (x.format_id, x.gtrid.to_vec(), x.bqual.to_vec()));
        Ok((g.flags, g.commit_id, g.extra_flags, g.alter_seq, xid))
    }

    #[test]
    fn optional_fields_follow_the_flags() {
        let head = |flags: u8| [&500u64.to_le_bytes()[..], &3u32.to_le_bytes(), &[flags]].concat();
        let padded = [head(4), vec![0; 6]].concat();
        assert_eq!(parse(&padded), Ok((4, None, 0, None, None)));

        let group = [head(6), 9u64.to_le_bytes().to_vec()].concat();
        assert_eq!(parse(&group), Ok((6, Some(9), 0, None, None)));

        let xa = [head(64 | 4), 1u32.to_le_bytes().to_vec(), vec![2, 1], b"abc".to_vec()].concat();
        assert_eq!(parse(&xa), Ok((68, None, 0, None, Some((1, b"ab".to_vec(), b"c".to_vec())))));

        let alter = [head(33), vec![4], 499u64.to_le_bytes().to_vec()].concat();
        assert_eq!(parse(&alter), Ok((33, None, 4, Some(499), None)));
        for cut in [0, 5, 12, 14, 20] {
            assert!(parse(&alter[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_gtid_list_that_claims_more_than_it_has_is_an_error() {
        let mut body = 2u32.to_le_bytes().to_vec();
        for (domain, server, seq) in [(0u32, 10u32, 20u64), (7, 10, u64::MAX)] {
            body.extend(domain.to_le_bytes());
            body.extend(server.to_le_bytes());
            body.extend(seq.to_le_bytes());
        }
        let raw = event(EventType::MARIADB_GTID_LIST, &body, Checksum::None);
        let list = MariadbGtidList::parse(&Event::parse(&raw, Checksum::None).unwrap()).unwrap();
        assert_eq!(list.iter().collect::<Vec<_>>(), [(0, 10, 20), (7, 10, u64::MAX)]);
        body[3] = 0x0F;
        let raw = event(EventType::MARIADB_GTID_LIST, &body, Checksum::None);
        assert!(MariadbGtidList::parse(&Event::parse(&raw, Checksum::None).unwrap()).is_err());
    }
}
