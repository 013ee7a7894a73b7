//! FORMAT_DESCRIPTION: the first event of every file, which says how all the others are read.

use super::{Checksum, Event, EventHeader, EventType};
use crate::binlog::error::{DecodeError, Result};
use crate::binlog::reader::Reader;

/// Which family of servers wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// MySQL and what is built from it.
    MySql,
    /// MariaDB.
    MariaDB,
}

/// Family and version of a server that calls itself so: `9.7.4-2`, `10.11.19-MariaDB-log`. Numbers that are not there
/// are 0. MariaDB before 11 puts a version of MySQL's in front when it greets, for old replicas.
pub fn server_version(text: &str) -> (Dialect, (u32, u32, u32)) {
    let dialect = if text.contains("MariaDB") { Dialect::MariaDB } else { Dialect::MySql };
    let own = text.strip_prefix("5.5.5-").filter(|_| dialect == Dialect::MariaDB).unwrap_or(text);
    let mut numbers = own.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (dialect, (next(), next(), next()))
}

/// What the first event of a file says.
///
/// ```text
/// size  field
///    2  binlog version, always 4
///   50  server version, NUL-padded
///    4  created: when the server started, or 0
///    1  header length, always 19
///    n  post-header length of each event type, from type 1
///    1  checksum algorithm: 0 none, 1 CRC32      (MySQL 5.6.1, MariaDB 5.3 and later)
///    4  checksum of this event                   (with the above, also when the algorithm is none)
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatDescription {
    /// As the server states it, such as `9.7.4` or `10.11.19-MariaDB-log`.
    pub server_version: String,
    /// When the server started, in seconds; 0 in files that it opened later, and when sent from the middle of a file.
    pub created: u32,
    /// Length of the fixed part of each event's body, from type 1.
    pub post_header_lengths: Vec<u8>,
    /// How the events of this file end.
    pub checksum: Checksum,
    /// The family of servers.
    pub dialect: Dialect,
}

/// A server that numbers event types this far has MariaDB's, whatever version it claims.
const MARIADB_TYPES: usize = 160;

impl FormatDescription {
    /// Reads the whole event `raw`, checksum included, which only this event can tell of itself. The checksum is not
    /// verified: call [`Event::verify`] with the [`checksum`](Self::checksum) returned.
    ///
    /// # Errors
    /// When `raw` is no whole format description of version 4, or names an unknown checksum.
    pub fn parse(raw: &[u8]) -> Result<FormatDescription> {
        let event = Event::parse(raw, Checksum::None)?;
        if event.header.event_type != EventType::FORMAT_DESCRIPTION {
            return Err(DecodeError::Invalid {
                what: "type of a format description",
                value: event.header.event_type.0.into(),
            });
        }
        let mut r = Reader::new(event.body);
        let version = r.u16("binlog version")?;
        if version != 4 {
            return Err(DecodeError::Unsupported { what: "binlog version", value: version.into() });
        }
        let name = r.take(50, "server version")?;
        let name = name.split(|&b| b == 0).next().unwrap_or(&[]);
        let server_version = String::from_utf8_lossy(name).into_owned();
        let created = r.u32("created")?;
        let header_len = r.u8("header length")?;
        if usize::from(header_len) != EventHeader::LEN {
            return Err(DecodeError::Unsupported { what: "event header length", value: header_len.into() });
        }
        let (lengths, checksum) = if has_checksum_field(&server_version) {
            let Some((lengths, tail)) = r.rest().split_last_chunk::<5>() else {
                return Err(DecodeError::Short { what: "checksum algorithm", needed: 5, left: r.len() });
            };
            let checksum = match tail[0] {
                0 => Checksum::None,
                1 => Checksum::Crc32,
                v => return Err(DecodeError::Unsupported { what: "checksum algorithm", value: v.into() }),
            };
            (lengths, checksum)
        } else {
            (r.rest(), Checksum::None)
        };
        let maria = lengths.len() >= MARIADB_TYPES || server_version.to_ascii_lowercase().contains("mariadb");
        Ok(FormatDescription {
            server_version,
            created,
            post_header_lengths: lengths.to_vec(),
            checksum,
            dialect: if maria { Dialect::MariaDB } else { Dialect::MySql },
        })
    }

    /// Length of the fixed part of the body of `event_type`, when the file knows the type.
    pub fn post_header_len(&self, event_type: EventType) -> Option<usize> {
        let index = usize::from(event_type.0).checked_sub(1)?;
        self.post_header_lengths.get(index).map(|&n| n.into())
    }
}

/// Whether the writer knows checksums: MySQL since 5.6.1, MariaDB since 5.3. A version that cannot be read counts as new.
fn has_checksum_field(version: &str) -> bool {
    let maria = version.to_ascii_lowercase().contains("mariadb");
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor), patch) if maria => (major, minor, patch.unwrap_or(0)) >= (5, 3, 0),
        (Some(major), Some(minor), patch) => (major, minor, patch.unwrap_or(0)) >= (5, 6, 1),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event::tests::event;

    fn description(version: &str, lengths: usize, tail: &[u8]) -> Vec<u8> {
        let mut body = 4u16.to_le_bytes().to_vec();
        let mut name = version.as_bytes().to_vec();
        name.resize(50, 0);
        body.extend(name);
        body.extend(0u32.to_le_bytes());
        body.push(19);
        body.extend((0..lengths).map(|i| i as u8));
        body.extend(tail);
        event(EventType::FORMAT_DESCRIPTION, &body, Checksum::None)
    }

    #[test]
    fn servers_are_told_by_their_versions() {
        use Dialect::{MariaDB, MySql};
        for (text, told) in [
            ("9.7.4-2", (MySql, (9, 7, 4))),
            ("5.6", (MySql, (5, 6, 0))),
            ("5.5.5", (MySql, (5, 5, 5))),
            ("", (MySql, (0, 0, 0))),
            ("10.11.19-MariaDB-0+deb12u1-log", (MariaDB, (10, 11, 19))),
            ("5.5.5-10.11.19-MariaDB-log", (MariaDB, (10, 11, 19))),
        ] {
            assert_eq!(server_version(text), told, "{text}");
        }
    }

    #[test]
    fn checksum_and_dialect_follow_the_writer() {
        for (version, lengths, tail, checksum, dialect) in [
            ("9.7.4", 42, &[1, 0, 0, 0, 0][..], Checksum::Crc32, Dialect::MySql),
            ("5.6.24-log", 35, &[0, 9, 9, 9, 9][..], Checksum::None, Dialect::MySql),
            ("5.5.62", 27, &[][..], Checksum::None, Dialect::MySql),
            ("10.11.19-MariaDB-log", 171, &[1, 0, 0, 0, 0][..], Checksum::Crc32, Dialect::MariaDB),
            ("5.7.40", 171, &[1, 0, 0, 0, 0][..], Checksum::Crc32, Dialect::MariaDB),
            ("cloud", 42, &[1, 0, 0, 0, 0][..], Checksum::Crc32, Dialect::MySql),
        ] {
            let fd = FormatDescription::parse(&description(version, lengths, tail)).unwrap();
            assert_eq!(
                (fd.checksum, fd.dialect, fd.post_header_lengths.len()),
                (checksum, dialect, lengths),
                "{version}"
            );
            assert_eq!(fd.server_version, version);
            assert_eq!(fd.post_header_len(EventType(2)), Some(1));
            assert_eq!(fd.post_header_len(EventType(0)), None);
        }
    }

    #[test]
    fn cut_and_foreign_descriptions_are_errors() {
        let whole = description("9.7.4", 42, &[7, 0, 0, 0, 0]);
        assert_eq!(
            FormatDescription::parse(&whole),
            Err(DecodeError::Unsupported { what: "checksum algorithm", value: 7 })
        );
        let xid = event(EventType::XID, &[0; 8], Checksum::None);
        assert!(FormatDescription::parse(&xid).is_err());
        let short = event(EventType::FORMAT_DESCRIPTION, &[4, 0, 57], Checksum::None);
        assert!(FormatDescription::parse(&short).is_err());
    }
}
