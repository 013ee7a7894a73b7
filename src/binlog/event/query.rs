//! QUERY: a statement with the session state that it needs to be read again.

use super::{Event, EventType};
use crate::binlog::error::{DecodeError, Result};
use crate::binlog::reader::Reader;

/// A statement.
///
/// ```text
/// size  field
///    4  thread id
///    4  execution time, seconds
///    1  length of the schema name
///    2  error code
///    2  length of the status variables
///    n  status variables
///  n+1  schema, NUL
///    -  statement
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// Connection that ran it.
    pub thread_id: u32,
    /// How long it ran, seconds.
    pub exec_seconds: u32,
    /// Error that it ended with, 0 for none.
    pub error_code: u16,
    /// Session state.
    pub status: QueryStatus<'a>,
    /// Default schema, empty for none.
    pub schema: &'a [u8],
    /// The statement, in the character set of [`QueryCharset::client`]. For QUERY_COMPRESSED: still compressed.
    pub sql: &'a [u8],
}

/// Collation ids of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryCharset {
    /// `character_set_client`, as the id of a collation of it: what the statement's text is in.
    pub client: u16,
    /// `collation_connection`.
    pub connection: u16,
    /// `collation_server`: what a new schema gets.
    pub server: u16,
}

/// The status variables that mean something to a reader of DDL; the others are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryStatus<'a> {
    /// Options of the session (`OPTION_*`).
    pub flags2: Option<u32>,
    /// `sql_mode`, which decides how the statement's quotes are read.
    pub sql_mode: Option<u64>,
    /// Collations of the session.
    pub charset: Option<QueryCharset>,
    /// `time_zone`, when the statement depends on it.
    pub time_zone: Option<&'a [u8]>,
    /// `collation_database`.
    pub database_collation: Option<u16>,
    /// `default_collation_for_utf8mb4`.
    pub utf8mb4_collation: Option<u16>,
    /// `explicit_defaults_for_timestamp`.
    pub explicit_timestamp_defaults: Option<bool>,
    /// Microseconds beyond the header's timestamp.
    pub micros: Option<u32>,
    /// Transaction id of an atomic DDL (MySQL 8).
    pub ddl_xid: Option<u64>,
    /// MariaDB: extra GTID flags (`MariadbGtid::EXTRA_*`) of the two phases of an ALTER.
    pub alter_flags: Option<u8>,
    /// A variable that is not known here. Their lengths are not on the wire, so those after it were not read.
    pub unknown: Option<u8>,
}

const WHAT: &str = "query status variables";

impl<'a> Query<'a> {
    /// Reads event 2, or the frame of MariaDB's event 165, whose statement stays compressed.
    ///
    /// # Errors
    /// When the event is of another type or cut.
    pub fn parse(event: &Event<'a>) -> Result<Query<'a>> {
        if !matches!(event.header.event_type, EventType::QUERY | EventType::QUERY_COMPRESSED) {
            let value = event.header.event_type.0.into();
            return Err(DecodeError::Invalid { what: "type of a query event", value });
        }
        let mut r = Reader::new(event.body);
        let thread_id = r.u32("query header")?;
        let exec_seconds = r.u32("query header")?;
        let schema_len = r.u8("query header")?;
        let error_code = r.u16("query header")?;
        let status_len = r.u16("query header")?;
        let status = QueryStatus::parse(r.take(status_len.into(), WHAT)?)?;
        let schema = r.take(schema_len.into(), "query schema")?;
        r.nul("query schema")?;
        Ok(Query { thread_id, exec_seconds, error_code, status, schema, sql: r.rest() })
    }
}

impl<'a> QueryStatus<'a> {
    fn parse(bytes: &'a [u8]) -> Result<QueryStatus<'a>> {
        let mut r = Reader::new(bytes);
        let mut s = QueryStatus::default();
        while !r.is_empty() {
            match r.u8(WHAT)? {
                0 => s.flags2 = Some(r.u32(WHAT)?),
                1 => s.sql_mode = Some(r.u64(WHAT)?),
                // The catalogue of 5.0, with a NUL after it.
                2 => {
                    let n = r.u8(WHAT)?;
                    r.take(usize::from(n) + 1, WHAT)?;
                }
                // auto_increment_increment and _offset.
                3 => drop(r.u32(WHAT)?),
                4 => {
                    let (client, connection, server) = (r.u16(WHAT)?, r.u16(WHAT)?, r.u16(WHAT)?);
                    s.charset = Some(QueryCharset { client, connection, server });
                }
                5 => s.time_zone = Some(short_bytes(&mut r)?),
                // The catalogue.
                6 => drop(short_bytes(&mut r)?),
                // lc_time_names.
                7 => drop(r.u16(WHAT)?),
                8 => s.database_collation = Some(r.u16(WHAT)?),
                // Tables of a multi-table update.
                9 => drop(r.u64(WHAT)?),
                // Bytes written on an older source.
                10 => drop(r.u32(WHAT)?),
                // Definer or invoker: user and host.
                11 => {
                    short_bytes(&mut r)?;
                    short_bytes(&mut r)?;
                }
                12 => skip_updated_schemas(&mut r)?,
                13 => s.micros = Some(r.u24(WHAT)?),
                16 => s.explicit_timestamp_defaults = Some(r.u8(WHAT)? != 0),
                17 => s.ddl_xid = Some(r.u64(WHAT)?),
                18 => s.utf8mb4_collation = Some(r.u16(WHAT)?),
                // sql_require_primary_key, default_table_encryption.
                19 | 20 => drop(r.u8(WHAT)?),
                // MariaDB: microseconds.
                128 => s.micros = Some(r.u24(WHAT)?),
                // MariaDB: transaction id of a DDL.
                129 => s.ddl_xid = Some(r.u64(WHAT)?),
                130 => {
                    let flags = r.u8(WHAT)?;
                    // COMMIT or ROLLBACK ALTER name the seq no of their START ALTER.
                    if flags & 0xC != 0 {
                        r.u64(WHAT)?;
                    }
                    s.alter_flags = Some(flags);
                }
                // MariaDB: character_set_collations, pairs of a character set and its collation.
                131 => {
                    let n = r.u8(WHAT)?;
                    r.take(usize::from(n) * 4, WHAT)?;
                }
                code => {
                    s.unknown = Some(code);
                    break;
                }
            }
        }
        Ok(s)
    }
}

fn short_bytes<'a>(r: &mut Reader<'a>) -> Result<&'a [u8]> {
    let n = r.u8(WHAT)?;
    r.take(n.into(), WHAT)
}

/// Number of schemas and their names, each ended by a NUL; 254 says that they were too many to list.
fn skip_updated_schemas(r: &mut Reader<'_>) -> Result<()> {
    let n = r.u8(WHAT)?;
    if n == 254 {
        return Ok(());
    }
    for _ in 0..n {
        let Some(end) = r.rest().iter().position(|&b| b == 0) else {
            return Err(DecodeError::Short { what: WHAT, needed: 1, left: 0 });
        };
        r.take(end + 1, WHAT)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event::Checksum;
    use crate::binlog::event::tests::event;

    fn body(status: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(77u32.to_le_bytes());
        body.extend(2u32.to_le_bytes());
        body.push(4);
        body.extend(0u16.to_le_bytes());
        body.extend((status.len() as u16).to_le_bytes());
        body.extend(status);
        body.extend(b"shop\0CREATE TABLE t (id INT)");
        body
    }

    fn with_query<T>(body: &[u8], f: impl Fn(Result<Query<'_>>) -> T) -> T {
        let raw = event(EventType::QUERY, body, Checksum::None);
        f(Query::parse(&Event::parse(&raw, Checksum::None).unwrap()))
    }

    /// Every variable that a server writes, in an order that no server guarantees.
    fn every_status() -> Vec<u8> {
        let mut s = vec![131, 1, 255, 0, 46, 0];
        s.extend([0, 1, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 2, 3, b's', b't', b'd', 0]);
        s.extend([3, 1, 0, 1, 0, 4, 255, 0, 45, 0, 8, 0, 5, 3, b'U', b'T', b'C', 6, 3, b's', b't', b'd']);
        s.extend([7, 1, 0, 8, 33, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 11, 1, b'u', 1, b'h']);
        s.extend([12, 2, b'a', 0, b'b', b'c', 0, 12, 254, 13, 1, 0, 0, 16, 1, 17, 9, 0, 0, 0, 0, 0, 0, 0]);
        s.extend([18, 255, 0, 19, 0, 20, 1, 128, 2, 0, 0, 129, 8, 0, 0, 0, 0, 0, 0, 0]);
        s.extend([130, 4, 1, 2, 3, 4, 5, 6, 7, 8]);
        s
    }

    #[test]
    fn every_status_variable_is_read_or_skipped() {
        with_query(&body(&every_status()), |q| {
            let q = q.unwrap();
            assert_eq!((q.thread_id, q.schema, q.sql), (77, &b"shop"[..], &b"CREATE TABLE t (id INT)"[..]));
            let s = q.status;
            assert_eq!(s.charset, Some(QueryCharset { client: 255, connection: 45, server: 8 }));
            assert_eq!((s.flags2, s.sql_mode, s.time_zone), (Some(1), Some(2), Some(&b"UTC"[..])));
            assert_eq!((s.database_collation, s.utf8mb4_collation), (Some(33), Some(255)));
            assert_eq!((s.micros, s.ddl_xid, s.alter_flags, s.unknown), (Some(2), Some(8), Some(4), None));
        });
    }

    #[test]
    fn an_unknown_variable_ends_the_list_without_harm() {
        with_query(&body(&[0, 1, 0, 0, 0, 99, 1, 2, 3]), |q| {
            let q = q.unwrap();
            assert_eq!((q.status.flags2, q.status.unknown, q.schema), (Some(1), Some(99), &b"shop"[..]));
        });
    }

    #[test]
    fn cut_variables_are_errors() {
        let all = every_status();
        let mut errors = 0;
        for cut in 1..all.len() {
            errors += usize::from(with_query(&body(&all[..cut]), |q| q.is_err()));
        }
        // A cut between two variables leaves a valid list: there are 23 of them.
        assert_eq!(errors, all.len() - 1 - 23);
        let whole = body(&all);
        assert!(with_query(&whole[..30], |q| q.is_err()));
    }
}
