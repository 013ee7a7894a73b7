//! A binlog made by hand: events as a server writes them, and a stream that serves them from any place, cut anywhere.

use super::super::follow::EventStream;
use super::super::stream::{Packet, StreamError};
use crate::binlog::event::{EventHeader, EventType};

/// Epoch seconds in every header.
pub(crate) const TIME: u32 = 1_700_000_000;
/// Uuid of the server, as the bytes of its GTIDs.
const UUID: [u8; 16] = [0x3e; 16];
/// The same as text.
pub(crate) const UUID_TEXT: &str = "3e3e3e3e-3e3e-3e3e-3e3e-3e3e3e3e3e3e";

/// One event of the script, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) raw: Vec<u8>,
    pub(crate) file: u32,
    pub(crate) start: u64,
    /// Number of the transaction that it belongs to, as its GTID has it.
    pub(crate) gno: Option<i64>,
}

/// Writes a binlog.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) events: Vec<Written>,
    file: u32,
    position: u64,
    gno: i64,
    inside: Option<i64>,
    mariadb: bool,
}

pub(crate) fn file_name(file: u32) -> String {
    format!("mysql-bin.{file:06}")
}

/// The bytes of one event with a right checksum.
pub(crate) fn event(event_type: EventType, flags: u16, log_pos: u32, body: &[u8], checksum: bool) -> Vec<u8> {
    let event_len = (EventHeader::LEN + body.len() + if checksum { 4 } else { 0 }) as u32;
    let mut raw = Vec::new();
    EventHeader { timestamp: TIME, event_type, server_id: 1, event_len, log_pos, flags }.write(&mut raw);
    raw.extend_from_slice(body);
    if checksum {
        raw.extend_from_slice(&crc32fast::hash(&raw).to_le_bytes());
    }
    raw
}

fn format_description(mariadb: bool) -> Vec<u8> {
    let mut body = vec![4, 0];
    let version = if mariadb { &b"10.11.19-MariaDB-log"[..] } else { b"9.7.4" };
    body.extend_from_slice(version);
    body.resize(2 + 50, 0);
    body.extend_from_slice(&[0, 0, 0, 0, 19]);
    let mut lengths = vec![0u8; if mariadb { 171 } else { 42 }];
    lengths[18] = 8; // TABLE_MAP
    for kind in [22, 23, 24] {
        lengths[kind] = 8;
    }
    for kind in [29, 30, 31, 38] {
        lengths[kind] = 10;
    }
    lengths[1] = 13;
    body.extend_from_slice(&lengths);
    body.push(1);
    body
}

pub(crate) fn query_body(schema: &str, sql: &str) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.push(schema.len() as u8);
    body.extend_from_slice(&[0, 0, 0, 0]);
    body.extend_from_slice(schema.as_bytes());
    body.push(0);
    body.extend_from_slice(sql.as_bytes());
    body
}

pub(crate) fn map_body(id: u64, database: &str, table: &str) -> Vec<u8> {
    let mut body = id.to_le_bytes()[..6].to_vec();
    body.extend_from_slice(&[1, 0, database.len() as u8]);
    body.extend_from_slice(database.as_bytes());
    body.extend_from_slice(&[0, table.len() as u8]);
    body.extend_from_slice(table.as_bytes());
    body.extend_from_slice(&[0, 1, 3, 0, 1]); // one column, INT, no metadata, may be null
    body
}

/// Inserts of one INT each.
pub(crate) fn rows_body(id: u64, values: &[u32], end: bool) -> Vec<u8> {
    let mut body = id.to_le_bytes()[..6].to_vec();
    body.extend_from_slice(&[u8::from(end), 0, 2, 0, 1, 1]);
    for value in values {
        body.push(0);
        body.extend_from_slice(&value.to_le_bytes());
    }
    body
}

impl Script {
    /// A server's first file, opened.
    pub(crate) fn new() -> Self {
        Self::of(false)
    }

    /// The same of MariaDB.
    pub(crate) fn mariadb() -> Self {
        Self::of(true)
    }

    fn of(mariadb: bool) -> Self {
        let mut script = Self { events: Vec::new(), file: 1, position: 4, gno: 0, inside: None, mariadb };
        script.open_file();
        script
    }

    fn open_file(&mut self) {
        self.push(EventType::FORMAT_DESCRIPTION, &format_description(self.mariadb));
        if !self.mariadb {
            self.push(EventType::PREVIOUS_GTIDS, &[0; 8]);
        }
    }

    pub(crate) fn push(&mut self, event_type: EventType, body: &[u8]) -> &mut Self {
        let length = (EventHeader::LEN + body.len() + 4) as u64;
        let end = self.position + length;
        let raw = event(event_type, 0, end as u32, body, true);
        self.events.push(Written { raw, file: self.file, start: self.position, gno: self.inside });
        self.position = end;
        self
    }

    /// The file ends in order and the next one begins.
    pub(crate) fn rotate(&mut self) -> &mut Self {
        let mut body = 4u64.to_le_bytes().to_vec();
        body.extend_from_slice(file_name(self.file + 1).as_bytes());
        self.push(EventType::ROTATE, &body);
        self.crash()
    }

    /// The file ends where it stands and the next one begins.
    pub(crate) fn crash(&mut self) -> &mut Self {
        (self.file, self.position, self.inside) = (self.file + 1, 4, None);
        self.open_file();
        self
    }

    pub(crate) fn gtid(&mut self) -> &mut Self {
        self.gno += 1;
        self.inside = Some(self.gno);
        let mut body = vec![0];
        body.extend_from_slice(&UUID);
        body.extend_from_slice(&self.gno.to_le_bytes());
        self.push(EventType::GTID, &body)
    }

    /// A GTID event of MariaDB: domain 0, these flags, an XA id for those that name one.
    pub(crate) fn mariadb_gtid(&mut self, flags: u8, xid: Option<&str>) -> &mut Self {
        self.gno += 1;
        self.inside = Some(self.gno);
        let mut body = self.gno.to_le_bytes().to_vec();
        body.extend_from_slice(&[0, 0, 0, 0, flags]);
        if let Some(xid) = xid {
            body.extend_from_slice(&[1, 0, 0, 0, xid.len() as u8, 0]);
            body.extend_from_slice(xid.as_bytes());
        }
        body.resize(body.len().max(19), 0);
        self.push(EventType::MARIADB_GTID, &body)
    }

    pub(crate) fn query(&mut self, sql: &str) -> &mut Self {
        self.push(EventType::QUERY, &query_body("shop", sql))
    }

    pub(crate) fn begin(&mut self) -> &mut Self {
        self.query("BEGIN")
    }

    pub(crate) fn map(&mut self, id: u64, table: &str) -> &mut Self {
        self.push(EventType::TABLE_MAP, &map_body(id, "shop", table))
    }

    pub(crate) fn rows(&mut self, id: u64, values: &[u32], end: bool) -> &mut Self {
        self.push(EventType::WRITE_ROWS, &rows_body(id, values, end))
    }

    pub(crate) fn xid(&mut self) -> &mut Self {
        self.push(EventType::XID, &[7; 8])
    }

    pub(crate) fn xa_prepare(&mut self, xid: &str, one_phase: bool) -> &mut Self {
        let mut body = vec![u8::from(one_phase), 1, 0, 0, 0, xid.len() as u8, 0, 0, 0, 0, 0, 0, 0];
        body.extend_from_slice(xid.as_bytes());
        self.push(EventType::XA_PREPARE, &body)
    }

    /// A transaction of one table: a map and a rows event for each list of values.
    pub(crate) fn transaction(&mut self, id: u64, table: &str, values: &[&[u32]]) -> &mut Self {
        self.gtid().begin();
        for values in values {
            self.map(id, table).rows(id, values, true);
        }
        self.xid()
    }

    /// A dump that begins behind `position` of `file`, and ends as if the connection broke before event number `cut`
    /// of those that it serves.
    pub(crate) fn serve_from(&self, file: &str, position: u64, cut: usize) -> ScriptedStream {
        let mut events = vec![fake_rotate(file, position)];
        let mut inside = false;
        for written in &self.events {
            let name = file_name(written.file);
            if name == file && written.raw[4] == EventType::FORMAT_DESCRIPTION.0 && position > 4 {
                events.push(artificial_format(&written.raw));
            }
            inside |= name == file && written.start >= position;
            if inside {
                if name != file && written.start == 4 {
                    events.push(fake_rotate(&name, 4));
                }
                events.push(written.raw.clone());
            }
        }
        ScriptedStream { events, next: 0, cut }
    }

    /// A dump by GTID: everything whose number is not in `have`; a heartbeat tells what was left out.
    pub(crate) fn serve_without(&self, have: impl Fn(i64) -> bool, cut: usize) -> ScriptedStream {
        let mut events = vec![fake_rotate(&file_name(1), 4)];
        let (mut file, mut left_out) = (1, None);
        for written in &self.events {
            if written.file != file {
                file = written.file;
                events.push(fake_rotate(&file_name(file), 4));
                left_out = None;
            }
            if written.gno.is_some_and(&have) {
                left_out = Some(written.start + written.raw.len() as u64);
                continue;
            }
            if let Some(end) = left_out.take() {
                events.push(heartbeat(&file_name(file), end));
            }
            events.push(written.raw.clone());
        }
        if let Some(end) = left_out {
            events.push(heartbeat(&file_name(file), end));
        }
        ScriptedStream { events, next: 0, cut }
    }
}

fn artificial_format(raw: &[u8]) -> Vec<u8> {
    let mut raw = raw[..raw.len() - 4].to_vec();
    raw[13..17].fill(0);
    let sum = crc32fast::hash(&raw);
    raw.extend_from_slice(&sum.to_le_bytes());
    raw
}

pub(crate) fn fake_rotate(file: &str, position: u64) -> Vec<u8> {
    let mut body = position.to_le_bytes().to_vec();
    body.extend_from_slice(file.as_bytes());
    event(EventType::ROTATE, EventHeader::FLAG_ARTIFICIAL, 0, &body, true)
}

pub(crate) fn heartbeat(file: &str, position: u64) -> Vec<u8> {
    event(EventType::HEARTBEAT, 0, position as u32, file.as_bytes(), true)
}

/// Serves events and then breaks, as a connection does.
pub(crate) struct ScriptedStream {
    pub(crate) events: Vec<Vec<u8>>,
    next: usize,
    cut: usize,
}

impl EventStream for ScriptedStream {
    async fn next(&mut self) -> Result<Packet<'_>, StreamError> {
        let at = self.next;
        self.next += 1;
        match self.events.get(at) {
            Some(event) if at < self.cut => {
                Ok(Packet { event, more_buffered: !at.is_multiple_of(3) && at + 1 < self.events.len().min(self.cut) })
            }
            _ => Err(StreamError::Closed),
        }
    }
}
