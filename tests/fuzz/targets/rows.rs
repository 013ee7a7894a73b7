//! A table map, then the type and body of a rows event.

use relay::binlog::compressed::expand_event;
use relay::binlog::event::{Checksum, Dialect, Event, EventType, FormatDescription};
use relay::binlog::{ColumnDef, RowImage, RowsEvent, TableMap, Value, float, json, network};

use super::{description, pair, unpair, with_event};

const INFLATE_MAX: u64 = 1 << 16;

pub fn input(map: &[u8], event_type: EventType, rows: &[u8]) -> Vec<u8> {
    let mut second = vec![event_type.0];
    second.extend_from_slice(rows);
    pair(map, &second)
}

pub fn run(data: &[u8]) {
    let (map, rows) = unpair(data);
    let Some((&number, body)) = rows.split_first() else { return };
    for dialect in [Dialect::MySql, Dialect::MariaDB] {
        let description = description(dialect);
        let columns = with_event(EventType::TABLE_MAP, map, |event| {
            TableMap::parse(event, &description).map(|map| map.columns).unwrap_or_default()
        });
        with_event(EventType(number), body, |event| {
            if event.header.event_type.is_mariadb_compressed() {
                let mut plain = Vec::new();
                if expand_event(event, &description, INFLATE_MAX, &mut plain).is_ok() {
                    walk(&Event::parse(&plain, Checksum::None).unwrap(), &description, &columns);
                }
            } else {
                walk(event, &description, &columns);
            }
        });
    }
}

fn walk(event: &Event<'_>, description: &FormatDescription, columns: &[ColumnDef]) {
    let Ok(rows) = RowsEvent::parse(event, description) else { return };
    let mut count = 0;
    for row in rows.rows(columns) {
        let Ok(row) = row else { break };
        count += 1;
        // Each row takes a byte, but for the single one of an event whose images hold nothing.
        assert!(count <= event.body.len().max(1));
        if let Some(before) = row.before {
            read(&before, None, event.body.len());
        }
        if let Some(after) = row.after {
            read(&after, row.before.as_ref(), event.body.len());
        }
    }
}

fn read(image: &RowImage<'_>, before: Option<&RowImage<'_>>, bytes: usize) {
    let mut out = Vec::new();
    let mut cells = 0;
    for cell in image.cells() {
        // The widths were walked once already, so no cell can be cut now.
        let cell = cell.unwrap();
        cells += 1;
        let Ok(value) = cell.value() else { continue };
        out.clear();
        write(value, &mut out, bytes);
        if let (Value::JsonDiff(diff), Some(before)) = (value, before)
            && let Ok(Some(Value::Json(base))) = before.get(cell.index)
        {
            let _ = json::apply_diff(base, diff, &mut out);
        }
    }
    assert_eq!(cells, image.present().len());
    if let Some(last) = (0..image.columns().len()).rev().find(|&i| image.present().contains(i)) {
        assert!(!matches!(image.get(last), Ok(None)));
    }
}

/// Everything that turns a value into text.
fn write(value: Value<'_>, out: &mut Vec<u8>, bytes: usize) {
    match value {
        Value::Decimal(v) => v.write(out),
        Value::Date(v) => v.write(out),
        Value::Time(v) => {
            v.write(out);
            assert!(v.total_micros() != 0 || v.micros == 0);
        }
        Value::DateTime(v) => v.write(out),
        Value::Timestamp(v) => v.write_utc(out),
        Value::Double(v) => float::write_double(v, out),
        Value::Float(v) => {
            float::write_float(v, out);
            float::write_float_exact(v, out);
        }
        Value::Json(v) => drop(json::write_text(v, out)),
        Value::Compressed(v) => {
            let fits = v.inflate(INFLATE_MAX, out).is_ok();
            assert_eq!(out.len() as u64, if fits { v.size() } else { 0 });
            return;
        }
        Value::Bytes(v) => {
            assert!(v.len() <= bytes);
            if let Some(v) = network::pad(v) {
                network::write_inet6(v, out);
            }
            if let Some(v) = network::pad(v) {
                network::write_inet4(v, out);
            }
        }
        _ => {}
    }
    assert!(std::str::from_utf8(out).is_ok() || matches!(value, Value::Json(_)));
}
