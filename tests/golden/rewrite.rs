//! Rows of captured files written again from their values: the bytes must be those that the server wrote.

use std::collections::BTreeMap;

use relay::binlog::event::EventType;
use relay::binlog::json::{Document, patched};
use relay::binlog::{ColumnDef, RowImage, RowWriter, RowsEvent, TableMap, Value, json};

use crate::file::{self, BinlogFile};

pub fn rewrite(case: &str) {
    let BinlogFile { description, events } = file::open(case);
    let mut columns: BTreeMap<u64, Vec<ColumnDef>> = BTreeMap::new();
    let (mut rows, mut documents) = (0, 0);
    let mut writer = RowWriter::new();
    for raw in &events {
        let event = raw.parse(&description);
        let event_type = event.header.event_type;
        if event_type == EventType::TABLE_MAP {
            let map = TableMap::parse(&event, &description).unwrap();
            // The fraction of old times is in no table map; `binlog::row_writer` has a test for them.
            let whole = map.columns.iter().all(|column| !column.wire().is_old_time());
            columns.insert(map.table_id, if whole { map.columns } else { Vec::new() });
        }
        if !event_type.is_rows() || event_type.is_mariadb_compressed() {
            continue;
        }
        let parsed = RowsEvent::parse(&event, &description).unwrap();
        let Some(columns) = columns.get(&parsed.head.table_id).filter(|columns| !columns.is_empty()) else { continue };
        for row in parsed.rows(columns) {
            let row = row.unwrap();
            for image in [row.before, row.after].into_iter().flatten() {
                one(&image, columns, &mut writer);
                rows += 1;
            }
            let inserted = row.before.is_none();
            documents += row.after.map_or(0, |after| check_documents(row.before.as_ref(), &after, inserted));
        }
    }
    assert!(rows > 0, "{case}");
    assert!(documents > 0 || !case.contains("json"), "{case}");
}

fn one(image: &RowImage<'_>, columns: &[ColumnDef], writer: &mut RowWriter) {
    writer.begin();
    let mut expected = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        match image.cell(index).unwrap() {
            None => writer.absent(),
            Some(cell) => {
                match cell.value().unwrap() {
                    // Differences have no place in an image made of values.
                    Value::JsonDiff(_) => writer.null(),
                    value => writer.value(column, &value).unwrap_or_else(|e| panic!("{column:?} {value:?}: {e}")),
                }
                expected.push(cell);
            }
        }
    }
    let written = writer.image(columns).unwrap();
    assert_eq!(written.present().len(), expected.len());
    for (cell, was) in written.cells().zip(expected) {
        let cell = cell.unwrap();
        if !matches!(was.value(), Ok(Value::JsonDiff(_))) {
            assert_eq!((cell.index, cell.bytes), (was.index, was.bytes), "{:?}", was.column);
        }
    }
}

/// Documents of a row, taken apart and written again: the same text always; the same bytes where the server wrote
/// them in one piece, which it does when it inserts.
fn check_documents(before: Option<&RowImage<'_>>, image: &RowImage<'_>, inserted: bool) -> usize {
    let mut count = 0;
    for cell in image.cells() {
        let cell = cell.unwrap();
        let (document, text) = match cell.value().unwrap() {
            Value::Json(bytes) => {
                let mut text = Vec::new();
                json::write_text(bytes, &mut text).unwrap();
                let document = Document::from_binary(bytes).unwrap();
                if inserted {
                    let mut again = Vec::new();
                    document.write_binary(&mut again).unwrap();
                    let differs = again.iter().zip(bytes).position(|(a, b)| a != b);
                    assert_eq!((differs, again.len()), (None, bytes.len()), "{text:.200?}");
                }
                (document, text)
            }
            Value::JsonDiff(diff) => {
                let Some(Value::Json(base)) = before.and_then(|before| before.get(cell.index).unwrap()) else {
                    continue;
                };
                let mut text = Vec::new();
                json::apply_diff(base, diff, &mut text).unwrap();
                (patched(base, diff).unwrap(), text)
            }
            _ => continue,
        };
        count += 1;
        let (mut again, mut shown) = (Vec::new(), Vec::new());
        document.write_binary(&mut again).unwrap();
        json::write_text(&again, &mut shown).unwrap();
        assert_eq!(String::from_utf8_lossy(&shown), String::from_utf8_lossy(&text));
        // By way of text, all comes back but the types that JSON does not have.
        let text = String::from_utf8(text).unwrap();
        let (mut by_text, mut shown) = (Vec::new(), Vec::new());
        Document::parse(&text).unwrap().write_binary(&mut by_text).unwrap();
        json::write_text(&by_text, &mut shown).unwrap();
        let opaque = |d: &Document| format!("{d:?}").contains("Opaque");
        if !opaque(&document) {
            assert_eq!(String::from_utf8_lossy(&shown), text);
        }
    }
    count
}
