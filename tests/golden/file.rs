//! A captured file: its bytes cut into events, its expectations.

use std::path::PathBuf;

use relay::binlog::compressed::expand_event;
use relay::binlog::event::{
    Checksum, Compression, Event, EventHeader, EventType, FormatDescription, TransactionPayload,
};
use serde::Deserialize;

/// What the server said while the file was captured.
#[derive(Debug, Deserialize)]
pub struct Expected {
    pub version: String,
    pub database: String,
    pub table: String,
    pub columns: Vec<ExpectedColumn>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
pub struct ExpectedColumn {
    pub name: String,
    /// How the value is rendered: see `render`.
    pub kind: String,
    pub declared: String,
}

/// What one statement did to the table, by the server's own answers before and after.
#[derive(Debug, Deserialize)]
pub struct Step {
    pub statement: String,
    /// Keys that are no longer there.
    pub gone: Vec<String>,
    /// Rows that are new or other than before; the key is the first cell.
    pub changed: Vec<Vec<Option<String>>>,
}

pub fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect()
}

pub fn read(name: &str) -> Vec<u8> {
    let path = path(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn expected(case: &str) -> Expected {
    serde_json::from_slice(&read(&format!("{case}.json"))).unwrap()
}

/// One event of a file, with the offsets at which it begins and ends.
pub struct RawEvent {
    pub start: u64,
    pub raw: Vec<u8>,
    /// Inside a compressed payload, or unpacked from a compressed event: no checksum.
    pub unpacked: bool,
}

pub struct BinlogFile {
    pub description: FormatDescription,
    pub events: Vec<RawEvent>,
}

impl RawEvent {
    pub fn parse(&self, description: &FormatDescription) -> Event<'_> {
        let checksum = if self.unpacked { Checksum::None } else { description.checksum };
        Event::parse(&self.raw, checksum).unwrap()
    }
}

const LIMIT: u64 = 64 << 20;

/// Cuts a file into events, verifies every checksum and position, and unpacks what is compressed behind its own event.
pub fn open(case: &str) -> BinlogFile {
    let bytes = read(&format!("{case}.binlog"));
    assert_eq!(&bytes[..4], b"\xfebin");
    let mut at = 4;
    let mut description: Option<FormatDescription> = None;
    let mut events = Vec::new();
    while at < bytes.len() {
        let header = EventHeader::parse(&bytes[at..]).unwrap();
        let end = at + header.event_len as usize;
        let raw = &bytes[at..end];
        assert_eq!(u64::from(header.log_pos), end as u64, "{case}: position of the event at {at}");
        if header.event_type == EventType::FORMAT_DESCRIPTION {
            description = Some(FormatDescription::parse(raw).unwrap());
        }
        let description = description.as_ref().expect("a file begins with its format description");
        Event::verify(raw, description.checksum).unwrap();
        let event = Event::parse(raw, description.checksum).unwrap();
        events.push(RawEvent { start: at as u64, raw: raw.to_vec(), unpacked: false });
        if header.event_type == EventType::TRANSACTION_PAYLOAD {
            let payload = TransactionPayload::parse(&event).unwrap();
            assert_eq!(payload.compression, Compression::Zstd);
            let plain = zstd::decode_all(payload.payload).unwrap();
            assert_eq!(Some(plain.len() as u64), payload.uncompressed_size);
            let mut rest = &plain[..];
            while !rest.is_empty() {
                let (inner, after) = rest.split_at(EventHeader::parse(rest).unwrap().event_len as usize);
                events.push(RawEvent { start: at as u64, raw: inner.to_vec(), unpacked: true });
                rest = after;
            }
        } else if header.event_type.is_mariadb_compressed() {
            let mut plain = Vec::new();
            expand_event(&event, description, LIMIT, &mut plain).unwrap();
            events.push(RawEvent { start: at as u64, raw: plain, unpacked: true });
        }
        at = end;
    }
    BinlogFile { description: description.unwrap(), events }
}
