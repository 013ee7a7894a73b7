//! MySQL's GTID events: 33 and 34 in their fixed layout, 42 in the serialized one.

use super::serialization::Fields;
use super::{Event, EventType};
use crate::binlog::error::{DecodeError, Result};
use crate::binlog::gtid::{Tag, Uuid};
use crate::binlog::reader::Reader;

/// A transaction begins: its GTID and what the source knows of it. Times and lengths are 0 or absent from servers that
/// do not write them.
///
/// ```text
/// size  field
///    1  flags: 1 may have statement-based changes
///   16  uuid                          (zero when anonymous)
///    8  gno                           (zero when anonymous)
///    1  2 when a logical clock follows       (5.7)
///  8+8  last committed, sequence number
///    7  immediate commit time, µs; its top bit set: 7 bytes of original commit time follow      (8.0.1)
///  1-9  transaction length, length-encoded   (8.0.2)
///    4  immediate server version; its top bit set: 4 bytes of original server version follow    (8.0.14)
///    8  commit group ticket                  (8.0.33, group replication)
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gtid {
    /// The source's uuid; zero when [`anonymous`](Self::anonymous).
    pub uuid: Uuid,
    /// Transaction number, from 1; 0 when anonymous.
    pub gno: i64,
    /// Event 34: the source runs without GTIDs.
    pub anonymous: bool,
    /// Bit 0: the transaction may hold changes in statement format.
    pub flags: u8,
    /// Logical clock: the newest transaction that had committed when this one was prepared.
    pub last_committed: i64,
    /// Logical clock: this transaction's place in its file, from 1.
    pub sequence_number: i64,
    /// When it committed on the server we read, microseconds since the epoch.
    pub immediate_commit_us: Option<u64>,
    /// When it committed on the server that first ran it, microseconds since the epoch.
    pub original_commit_us: Option<u64>,
    /// Bytes of all its events, this one included.
    pub transaction_length: Option<u64>,
    /// Version of the server we read, as `90704`.
    pub immediate_server_version: Option<u32>,
    /// Version of the server that first ran it.
    pub original_server_version: Option<u32>,
}

/// A transaction with a tagged GTID begins (event 42): `uuid:tag:gno`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaggedGtid {
    /// Everything but the tag.
    pub gtid: Gtid,
    /// The tag; empty for an untagged GTID written in this format.
    pub tag: Tag,
}

/// 2 marks the presence of the two clock values (`LOGICAL_TIMESTAMP_TYPECODE`).
const LOGICAL_CLOCK: u8 = 2;
const ORIGINAL_TIME_FOLLOWS: u64 = 1 << 55;
const ORIGINAL_VERSION_FOLLOWS: u32 = 1 << 31;

impl Gtid {
    /// Reads event 33 or 34.
    ///
    /// # Errors
    /// When the event is of another type or cut.
    pub fn parse(event: &Event<'_>) -> Result<Gtid> {
        let anonymous = match event.header.event_type {
            EventType::GTID => false,
            EventType::ANONYMOUS_GTID => true,
            other => return Err(DecodeError::Invalid { what: "type of a gtid event", value: other.0.into() }),
        };
        let mut r = Reader::new(event.body);
        let mut gtid = Gtid {
            anonymous,
            flags: r.u8("gtid flags")?,
            uuid: Uuid(r.array("gtid uuid")?),
            gno: r.u64("gtid number")? as i64,
            ..Gtid::default()
        };
        if !anonymous && gtid.gno <= 0 {
            return Err(DecodeError::Invalid { what: "gtid number", value: gtid.gno as u64 });
        }
        if r.rest().first() != Some(&LOGICAL_CLOCK) {
            return Ok(gtid);
        }
        r.u8("gtid clock type")?;
        gtid.last_committed = r.u64("gtid last committed")? as i64;
        gtid.sequence_number = r.u64("gtid sequence number")? as i64;
        if r.is_empty() {
            return Ok(gtid);
        }
        let immediate = r.u56("gtid commit time")?;
        let original =
            if immediate & ORIGINAL_TIME_FOLLOWS != 0 { r.u56("gtid original commit time")? } else { immediate };
        gtid.immediate_commit_us = Some(immediate & !ORIGINAL_TIME_FOLLOWS);
        gtid.original_commit_us = Some(original & !ORIGINAL_TIME_FOLLOWS);
        if r.is_empty() {
            return Ok(gtid);
        }
        gtid.transaction_length = Some(r.lenenc("gtid transaction length")?);
        if r.is_empty() {
            return Ok(gtid);
        }
        let immediate = r.u32("gtid server version")?;
        let original =
            if immediate & ORIGINAL_VERSION_FOLLOWS != 0 { r.u32("gtid original server version")? } else { immediate };
        gtid.immediate_server_version = Some(immediate & !ORIGINAL_VERSION_FOLLOWS);
        gtid.original_server_version = Some(original & !ORIGINAL_VERSION_FOLLOWS);
        Ok(gtid)
    }
}

impl TaggedGtid {
    /// Reads event 42. Fields that a newer server added are skipped when it marked them as skippable.
    ///
    /// # Errors
    /// When the event is of another type or cut, lacks a GTID, or has an unknown field that may not be skipped.
    pub fn parse(event: &Event<'_>) -> Result<TaggedGtid> {
        if event.header.event_type != EventType::GTID_TAGGED {
            let value = event.header.event_type.0.into();
            return Err(DecodeError::Invalid { what: "type of a tagged gtid event", value });
        }
        let mut fields = Fields::parse(event.body)?;
        let (mut gtid, mut tag) = (Gtid::default(), Tag::default());
        while let Some(id) = fields.next_id()? {
            match id {
                0 => gtid.flags = fields.unsigned()? as u8,
                1 => gtid.uuid = Uuid(fields.bytes()?),
                2 => gtid.gno = fields.signed()?,
                3 => tag = Tag::from_bytes(fields.string()?)?,
                4 => gtid.last_committed = fields.signed()?,
                5 => gtid.sequence_number = fields.signed()?,
                6 => gtid.immediate_commit_us = Some(fields.unsigned()?),
                7 => gtid.original_commit_us = Some(fields.unsigned()?),
                8 => gtid.transaction_length = Some(fields.unsigned()?),
                9 => gtid.immediate_server_version = Some(fields.unsigned()? as u32),
                10 => gtid.original_server_version = Some(fields.unsigned()? as u32),
                11 => drop(fields.unsigned()?),
                id if fields.may_stop_at(id) => break,
                id => return Err(DecodeError::Unsupported { what: "field of a tagged gtid event", value: id }),
            }
        }
        if gtid.gno <= 0 {
            return Err(DecodeError::Invalid { what: "gtid number", value: gtid.gno as u64 });
        }
        gtid.original_commit_us = gtid.original_commit_us.or(gtid.immediate_commit_us);
        gtid.original_server_version = gtid.original_server_version.or(gtid.immediate_server_version);
        Ok(TaggedGtid { gtid, tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event::Checksum;
    use crate::binlog::event::tests::event;

    #[test]
    fn each_generation_of_the_fixed_layout_is_read() {
        let mut body = vec![1];
        body.extend([0xAB; 16]);
        body.extend(42u64.to_le_bytes());
        let parse = |body: &[u8]| {
            let raw = event(EventType::GTID, body, Checksum::None);
            Gtid::parse(&Event::parse(&raw, Checksum::None).unwrap())
        };
        let old = parse(&body).unwrap();
        assert_eq!((old.gno, old.flags, old.immediate_commit_us), (42, 1, None));

        body.push(LOGICAL_CLOCK);
        body.extend(6u64.to_le_bytes());
        body.extend(7u64.to_le_bytes());
        assert_eq!(parse(&body).unwrap().sequence_number, 7);

        let time = 1_700_000_000_000_000u64;
        body.extend(&(time | ORIGINAL_TIME_FOLLOWS).to_le_bytes()[..7]);
        body.extend(&(time - 5).to_le_bytes()[..7]);
        body.extend([0xFC, 0x00, 0x04]);
        body.extend((90704u32 | ORIGINAL_VERSION_FOLLOWS).to_le_bytes());
        body.extend(80036u32.to_le_bytes());
        let new = parse(&body).unwrap();
        assert_eq!((new.immediate_commit_us, new.original_commit_us), (Some(time), Some(time - 5)));
        assert_eq!(new.transaction_length, Some(1024));
        assert_eq!((new.immediate_server_version, new.original_server_version), (Some(90704), Some(80036)));
        assert!(parse(&body[..body.len() - 1]).is_err());
        assert!(parse(&body[..20]).is_err());
    }
}
