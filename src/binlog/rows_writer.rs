//! TABLE_MAP and WRITE_ROWS events made of column definitions and row images: how rows that were read from a table
//! enter the log in the shape that rows of the stream have. The map carries no metadata; names and signs come from the
//! schema version that goes with it. Both are events without a checksum and without a place in any file.

use super::column::{ColumnDef, WireType};
use super::event::{EventHeader, EventType};

/// Flag of a rows event: the last one of its statement (`STMT_END_F`).
const STATEMENT_END: u16 = 1;
/// Length of the extra information of a rows event that has none: its own two bytes.
const NO_EXTRA: u16 = 2;

/// When and for whom an event is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventOrigin {
    /// Seconds since the epoch.
    pub timestamp: u32,
    /// The server that the rows were read from.
    pub server_id: u32,
}

impl EventOrigin {
    /// Appends an event; `body` appends what follows its header.
    fn write(self, event_type: EventType, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        let Self { timestamp, server_id } = self;
        let header = EventHeader { timestamp, event_type, server_id, event_len: 0, log_pos: 0, flags: 0 };
        header.write(out);
        body(out);
        let event_len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
        // After time, type and server.
        out[start + 9..start + 13].copy_from_slice(&event_len.to_le_bytes());
    }
}

/// Appends a TABLE_MAP event. Names are at most 255 bytes (64 characters of at most three bytes).
pub fn write_table_map(
    origin: EventOrigin,
    table_id: u64,
    (database, table): (&str, &str),
    columns: &[ColumnDef],
    out: &mut Vec<u8>,
) {
    origin.write(EventType::TABLE_MAP, out, |out| {
        out.extend_from_slice(&table_id.to_le_bytes()[..6]);
        out.extend_from_slice(&1u16.to_le_bytes());
        for name in [database, table] {
            let name = &name.as_bytes()[..name.len().min(255)];
            out.push(name.len() as u8);
            out.extend_from_slice(name);
            out.push(0);
        }
        put_lenenc(columns.len(), out);
        out.extend(columns.iter().map(type_byte));
        let mut details = Vec::with_capacity(columns.len() * 2);
        columns.iter().for_each(|column| put_details(column, &mut details));
        put_lenenc(details.len(), out);
        out.extend_from_slice(&details);
        put_bits(columns.iter().map(|column| column.nullable), out);
    });
}

/// Appends a WRITE_ROWS event whose images hold every one of `width` columns: `rows` are the images one after the
/// other, as [`RowWriter::append_to`](super::row_writer::RowWriter::append_to) gives them.
pub fn write_rows(origin: EventOrigin, table_id: u64, width: usize, rows: &[u8], out: &mut Vec<u8>) {
    origin.write(EventType::WRITE_ROWS, out, |out| {
        out.extend_from_slice(&table_id.to_le_bytes()[..6]);
        out.extend_from_slice(&STATEMENT_END.to_le_bytes());
        out.extend_from_slice(&NO_EXTRA.to_le_bytes());
        put_lenenc(width, out);
        put_bits((0..width).map(|_| true), out);
        out.extend_from_slice(rows);
    });
}

/// ENUM and SET hide behind STRING; their details tell.
fn type_byte(column: &ColumnDef) -> u8 {
    match column.wire() {
        WireType::ENUM | WireType::SET => WireType::STRING.0,
        wire => wire.0,
    }
}

/// Appends the type's details; the inverse of what reading a table map does with them.
fn put_details(column: &ColumnDef, out: &mut Vec<u8>) {
    let meta = column.meta();
    let [low, high] = meta.to_le_bytes();
    match column.wire() {
        wire @ (WireType::ENUM | WireType::SET) => out.extend_from_slice(&[wire.0, low]),
        // Two bits of a length above 255 hide in the type byte, inverted.
        WireType::STRING => out.extend_from_slice(&[WireType::STRING.0 ^ (meta >> 4 & 0x30) as u8, low]),
        WireType::VARCHAR | WireType::VAR_STRING | WireType::VARCHAR_COMPRESSED => out.extend_from_slice(&[low, high]),
        WireType::BIT => out.extend_from_slice(&[(meta % 8) as u8, (meta / 8) as u8]),
        WireType::NEWDECIMAL => out.extend_from_slice(&[high, low]),
        WireType::FLOAT | WireType::DOUBLE | WireType::TIMESTAMP2 | WireType::DATETIME2 | WireType::TIME2 => {
            out.push(low);
        }
        wire if wire.is_blob() => out.push(low),
        _ => {}
    }
}

/// One bit each, the lowest of each byte first.
fn put_bits(bits: impl Iterator<Item = bool>, out: &mut Vec<u8>) {
    for (index, bit) in bits.enumerate() {
        if index.is_multiple_of(8) {
            out.push(0);
        }
        if let (true, Some(last)) = (bit, out.last_mut()) {
            *last |= 1 << (index % 8);
        }
    }
}

fn put_lenenc(n: usize, out: &mut Vec<u8>) {
    match n {
        0..=250 => out.push(n as u8),
        251..=0xFFFF => {
            out.push(0xFC);
            out.extend_from_slice(&(n as u16).to_le_bytes());
        }
        _ => {
            out.push(0xFD);
            out.extend_from_slice(&(n as u32).to_le_bytes()[..3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Checksum, Event, FormatDescription};
    use super::super::row_writer::RowWriter;
    use super::super::rows::RowsEvent;
    use super::super::table_map::TableMap;
    use super::super::value::Value;
    use super::*;
    use crate::change::binlog_rows;

    const ORIGIN: EventOrigin = EventOrigin { timestamp: 1_767_225_930, server_id: 7 };

    fn description() -> FormatDescription {
        FormatDescription::parse(&binlog_rows::format_description("8.0.36")).expect("a format description")
    }

    #[test]
    fn every_type_comes_back_from_the_map_as_it_went_in() {
        let metas: &[(WireType, &[u16])] = &[
            (WireType::TINY, &[0]),
            (WireType::INT24, &[0]),
            (WireType::LONGLONG, &[0]),
            (WireType::FLOAT, &[4]),
            (WireType::DOUBLE, &[8]),
            (WireType::YEAR, &[0]),
            (WireType::DATE, &[0]),
            (WireType::BIT, &[1, 7, 8, 9, 64]),
            (WireType::NEWDECIMAL, &[10 << 8 | 2, 65 << 8 | 30]),
            (WireType::TIME2, &[0, 6]),
            (WireType::DATETIME2, &[3]),
            (WireType::TIMESTAMP2, &[0, 6]),
            (WireType::VARCHAR, &[1, 255, 256, 65535]),
            (WireType::STRING, &[0, 1, 255, 256, 600, 1020]),
            (WireType::BLOB, &[1, 2, 3, 4]),
            (WireType::ENUM, &[1, 2]),
            (WireType::SET, &[1, 8]),
            (WireType::JSON, &[4]),
            (WireType::GEOMETRY, &[4]),
            (WireType::VECTOR, &[4]),
        ];
        let mut columns: Vec<ColumnDef> = Vec::new();
        for (wire, metas) in metas {
            columns.extend(metas.iter().map(|meta| ColumnDef::new(*wire, *meta).expect("a column")));
        }
        columns.iter_mut().enumerate().for_each(|(at, column)| column.nullable = at % 3 == 0);
        let mut raw = Vec::new();
        write_table_map(ORIGIN, 0xFFFF_0000_0001, ("shop", "bestellungen_ä"), &columns, &mut raw);
        let event = Event::parse(&raw, Checksum::None).expect("an event");
        let map = TableMap::parse(&event, &description()).expect("a table map");
        assert_eq!(
            (map.table_id, map.database, map.table, map.full),
            (0xFFFF_0000_0001, "shop", "bestellungen_ä", false)
        );
        assert_eq!(map.columns, columns);
    }

    #[test]
    fn rows_come_back_under_their_map() {
        let columns: Vec<ColumnDef> = (0..300).map(|_| ColumnDef::new(WireType::LONG, 0).expect("a column")).collect();
        let (mut writer, mut rows) = (RowWriter::new(), Vec::new());
        for row in 0..3 {
            writer.begin();
            for (at, column) in columns.iter().enumerate() {
                match (at + row) % 5 {
                    0 => writer.null(),
                    _ => writer.value(column, &Value::Int((at + row) as i64)).expect("it fits"),
                }
            }
            writer.append_to(&mut rows);
        }
        let mut raw = Vec::new();
        write_rows(ORIGIN, 9, columns.len(), &rows, &mut raw);
        let event = Event::parse(&raw, Checksum::None).expect("an event");
        assert_eq!((event.header.timestamp, event.header.server_id), (ORIGIN.timestamp, ORIGIN.server_id));
        let parsed = RowsEvent::parse(&event, &description()).expect("rows");
        assert_eq!((parsed.head.table_id, parsed.head.ends_statement()), (9, true));
        let read: Vec<_> = parsed.rows(&columns).map(|row| row.expect("a row").after.expect("an image")).collect();
        assert_eq!(read.len(), 3);
        for (row, image) in read.iter().enumerate() {
            for value in image.values() {
                let (at, value) = value.expect("a value");
                let wanted = if (at + row) % 5 == 0 { Value::Null } else { Value::Int((at + row) as i64) };
                assert_eq!(value, wanted, "row {row} column {at}");
            }
        }
    }
}
