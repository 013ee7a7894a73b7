//! The binary form of a set, in COM_BINLOG_DUMP_GTID and in PREVIOUS_GTIDS events.
//!
//! ```text
//! size  field                                   (little-endian)
//!    8  number of sources; in the tagged form (MySQL 8.3) 1 in the first and last byte, the number between them
//!       per source:
//!   16    uuid
//!  1+n    tag, behind its length times two      (tagged form only)
//!    8    number of ranges
//!  8+8    per range: first number, number after the last
//! ```

use super::{GtidSet, Intervals, Tag, Uuid};
use crate::binlog::error::{DecodeError, Result};
use crate::binlog::event::{Event, EventType, serialization};
use crate::binlog::reader::Reader;

const TAGGED: u64 = 1;

impl GtidSet {
    /// Appends the binary form: the one every server reads, unless the set has tags.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let tagged = self.has_tags();
        let sources = self.iter().count() as u64;
        let head = if tagged { TAGGED << 56 | sources << 8 | TAGGED } else { sources };
        out.extend_from_slice(&head.to_le_bytes());
        for (uuid, tag, intervals) in self.iter() {
            out.extend_from_slice(&uuid.0);
            if tagged {
                serialization::write_unsigned(tag.as_str().len() as u64, out);
                out.extend_from_slice(tag.as_str().as_bytes());
            }
            write_intervals(intervals, out);
        }
    }

    /// Reads the binary form, either one.
    ///
    /// # Errors
    /// When the bytes are cut, left over, or no set.
    pub fn decode(bytes: &[u8]) -> Result<GtidSet> {
        let mut r = Reader::new(bytes);
        let head = r.u64("gtid set")?;
        let (tagged, sources) = match head >> 56 {
            0 => (false, head),
            TAGGED => (true, head << 8 >> 16),
            value => return Err(DecodeError::Unsupported { what: "gtid set format", value }),
        };
        let mut set = GtidSet::new();
        // The counts are not trusted: each turn takes bytes, or fails.
        for _ in 0..sources {
            let uuid = Uuid(r.array("gtid set uuid")?);
            let tag = if tagged {
                let n = serialization::unsigned(&mut r)?;
                Tag::from_bytes(r.take_u64(n, "gtid set tag")?)?
            } else {
                Tag::default()
            };
            let ranges = r.u64("gtid set ranges")?;
            for _ in 0..ranges {
                let (start, end) = (r.u64("gtid set range")?, r.u64("gtid set range")?);
                match (i64::try_from(start), i64::try_from(end)) {
                    (Ok(start), Ok(end)) if 0 < start && start < end => set.add_range(uuid, &tag, start, end),
                    _ => return Err(DecodeError::Invalid { what: "gtid set range", value: end }),
                }
            }
        }
        r.finish("gtid set")?;
        Ok(set)
    }

    /// The set of a PREVIOUS_GTIDS event: everything in the files before this one.
    ///
    /// # Errors
    /// When the event is of another type or holds no set.
    pub fn from_previous_gtids(event: &Event<'_>) -> Result<GtidSet> {
        if event.header.event_type != EventType::PREVIOUS_GTIDS {
            let value = event.header.event_type.0.into();
            return Err(DecodeError::Invalid { what: "type of a previous gtids event", value });
        }
        GtidSet::decode(event.body)
    }
}

fn write_intervals(intervals: &Intervals, out: &mut Vec<u8>) {
    let ranges = intervals.iter();
    out.extend_from_slice(&(ranges.len() as u64).to_le_bytes());
    for (start, end) in ranges {
        out.extend_from_slice(&start.to_le_bytes());
        out.extend_from_slice(&end.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "01e36940-b5f4-11f0-9c3e-b6a1d6ab1c01";

    #[test]
    fn both_forms_round_trip_and_no_cut_or_addition_passes() {
        for text in ["".into(), format!("{A}:1-5:7"), format!("{A}:1-5:tag:7:zz:1-2")] {
            let set: GtidSet = text.parse().unwrap();
            let mut bytes = Vec::new();
            set.encode(&mut bytes);
            assert_eq!(bytes[7], u8::from(set.has_tags()));
            assert_eq!(GtidSet::decode(&bytes), Ok(set));
            for cut in 0..bytes.len() {
                assert!(GtidSet::decode(&bytes[..cut]).is_err());
            }
            bytes.push(0);
            assert!(GtidSet::decode(&bytes).is_err());
        }
    }

    #[test]
    fn counts_beyond_the_bytes_end_with_an_error_at_once() {
        let mut bytes = (u64::MAX >> 8).to_le_bytes().to_vec();
        assert!(GtidSet::decode(&bytes).is_err());
        bytes = 1u64.to_le_bytes().to_vec();
        bytes.extend([1; 16]);
        bytes.extend(u64::MAX.to_le_bytes());
        assert!(GtidSet::decode(&bytes).is_err());
    }

    /// The layout as the protocol documents it, byte by byte.
    #[test]
    fn the_bytes_are_the_protocols() {
        let mut bytes = Vec::new();
        format!("{A}:2-3:ab:9").parse::<GtidSet>().unwrap().encode(&mut bytes);
        let uuid = A.parse::<Uuid>().unwrap().0;
        let mut expected = vec![1, 2, 0, 0, 0, 0, 0, 1];
        expected.extend(uuid);
        expected.extend([0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(uuid);
        expected.extend([4, b'a', b'b', 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes, expected);
    }
}
