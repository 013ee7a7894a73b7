//! One file a target: `run` takes any bytes; `input`, where there is one, packs real ones into its form.

pub mod block;
pub mod checkpoint;
pub mod etl;
pub mod event;
pub mod gtid;
pub mod json;
pub mod rows;
pub mod table_map;

use relay::binlog::event::{Checksum, Dialect, Event, EventHeader, EventType, FormatDescription};

/// A description as the servers of today write it.
pub fn description(dialect: Dialect) -> FormatDescription {
    let lengths = match dialect {
        Dialect::MySql => vec![8; 42],
        Dialect::MariaDB => vec![8; 171],
    };
    FormatDescription {
        server_version: String::new(),
        created: 0,
        post_header_lengths: lengths,
        checksum: Checksum::None,
        dialect,
    }
}

/// Calls `f` with an event of this body.
pub fn with_event<T>(event_type: EventType, body: &[u8], f: impl FnOnce(&Event<'_>) -> T) -> T {
    let header = EventHeader {
        timestamp: 0,
        event_type,
        server_id: 1,
        event_len: (EventHeader::LEN + body.len()) as u32,
        log_pos: 4,
        flags: 0,
    };
    let mut raw = Vec::new();
    header.write(&mut raw);
    raw.extend_from_slice(body);
    f(&Event::parse(&raw, Checksum::None).unwrap())
}

/// Two bytes of length, the first part, the second part.
pub fn pair(first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut bytes = (first.len() as u16).to_le_bytes().to_vec();
    bytes.extend_from_slice(first);
    bytes.extend_from_slice(second);
    bytes
}

/// The inverse, for any bytes.
pub fn unpair(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((len, rest)) = bytes.split_first_chunk::<2>() else { return (bytes, &[]) };
    rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()))
}
