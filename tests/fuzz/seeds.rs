//! Where the search starts: the events of the golden files, in the form that each target takes.

use relay::binlog::event::{Event, EventHeader, EventType, FormatDescription};
use relay::binlog::{RowsEvent, TableMap, Value};
use relay::log::{Checkpoint, ColumnDefinition, ContextWriter, KeyDefinition, SourcePosition, TableDefinition};

use crate::targets;

const FILES: [&str; 10] = [
    "mysql97/types",
    "mysql97/image_minimal",
    "mysql97/json",
    "mysql97/json_partial",
    "mysql97/compressed",
    "mysql97/control",
    "mysql97/control_next",
    "mysql56/image_minimal",
    "mariadb/log_bin_compress",
    "mariadb/control",
];

/// Events longer than this only slow the search.
const LONGEST: usize = 9000;

fn each_event(mut f: impl FnMut(&Event<'_>, &FormatDescription)) {
    for name in FILES {
        let path = format!("{}/tests/golden/{name}.binlog", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut at = 4;
        let mut description = None;
        while at < file.len() {
            let end = at + EventHeader::parse(&file[at..]).unwrap().event_len as usize;
            let raw = &file[at..end];
            at = end;
            if raw[4] == EventType::FORMAT_DESCRIPTION.0 {
                description = Some(FormatDescription::parse(raw).unwrap());
            }
            let description = description.as_ref().unwrap();
            if raw.len() <= LONGEST {
                f(&Event::parse(raw, description.checksum).unwrap(), description);
            }
        }
    }
}

/// Whole events.
pub fn event() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    each_event(|event, _| seeds.push(event.raw.to_vec()));
    seeds
}

pub fn table_map() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    each_event(|event, description| {
        if event.header.event_type == EventType::TABLE_MAP {
            seeds.push(targets::table_map::input(event.body, description.dialect));
        }
    });
    seeds.dedup();
    seeds
}

pub fn rows() -> Vec<Vec<u8>> {
    let (mut seeds, mut map) = (Vec::new(), Vec::new());
    each_event(|event, _| match event.header.event_type {
        EventType::TABLE_MAP => map = event.body.to_vec(),
        t if t.is_rows() => seeds.push(targets::rows::input(&map, t, event.body)),
        _ => {}
    });
    seeds
}

/// Every document and every run of differences in the files.
pub fn json() -> Vec<Vec<u8>> {
    let (mut seeds, mut columns) = (Vec::new(), Vec::new());
    each_event(|event, description| {
        if event.header.event_type == EventType::TABLE_MAP {
            columns = TableMap::parse(event, description).unwrap().columns;
        }
        if !event.header.event_type.is_rows() || event.header.event_type.is_mariadb_compressed() {
            return;
        }
        for row in RowsEvent::parse(event, description).unwrap().rows(&columns) {
            let row = row.unwrap();
            for value in row.after.iter().flat_map(|image| image.values()) {
                match value.unwrap() {
                    (_, Value::Json(document)) => seeds.push(targets::json::input(document, &[])),
                    (index, Value::JsonDiff(diffs)) => {
                        let base = row.before.and_then(|image| image.get(index).unwrap());
                        let Some(Value::Json(base)) = base else { continue };
                        seeds.push(targets::json::input(base, diffs));
                    }
                    _ => {}
                }
            }
        }
    });
    seeds
}

pub fn gtid() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        "01e36940-b5f4-11f0-9c3e-b6a1d6ab1c01:1-5:7:tag:3-4,\nce1fce27-e59d-11f1-84ed-02fc00000001:1-8:tag_a:1",
        "0-10-20,7-10-1",
        "{3E11FA4771CA11E19E33C80AA9429562}: 1 - 3",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    each_event(|event, _| {
        if event.header.event_type == EventType::PREVIOUS_GTIDS {
            seeds.push(event.body.to_vec());
        }
    });
    seeds
}

pub fn block() -> Vec<Vec<u8>> {
    targets::block::seeds()
}

pub fn etl() -> Vec<Vec<u8>> {
    targets::etl::seeds()
}

pub fn checkpoint() -> Vec<Vec<u8>> {
    let checkpoint = |gtids| Checkpoint {
        gtids,
        file: "mysql-bin.000003".into(),
        position: 5_000_000_000,
        server: "3e11fa47-71ca-11e1-9e33-c80aa9429562".into(),
        file_created: 1_767_225_930,
        selection: "shop.*".into(),
    };
    let column = |name: &str, text: bool| ColumnDefinition {
        name: name.into(),
        column_type: if text { "varchar(255)" } else { "int" }.into(),
        charset: text.then(|| "utf8mb4".into()),
        collation: text.then(|| "utf8mb4_0900_ai_ci".into()),
        nullable: text,
        invisible: false,
        generated: false,
    };
    let table = TableDefinition {
        id: 300,
        database: "shop".into(),
        table: "orders".into(),
        columns: vec![column("id", false), column("note", true)],
        keys: vec![KeyDefinition { name: "PRIMARY".into(), columns: vec![0] }],
        default_charset: Some("utf8mb4".into()),
        default_collation: None,
        unconfirmed: None,
        dropped: false,
    };
    let mut context = Vec::new();
    let mut writer = ContextWriter::begin(&mut context, 4, b"description", "mysql-bin.000003");
    writer.transaction(0, b"gtid event");
    writer.table_map(8, b"table map 1");
    writer.table_map(0, b"table map 2");
    vec![
        checkpoint(SourcePosition::FileOnly).encode(),
        checkpoint(SourcePosition::MySqlGtid("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-23:25".into())).encode(),
        checkpoint(SourcePosition::MariaDbGtid("0-10-20,7-10-1".into())).encode(),
        table.encode(),
        context,
    ]
}
