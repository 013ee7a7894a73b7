//! The body of a table map; the first byte tells the dialect.

use relay::binlog::event::{Dialect, EventType};
use relay::binlog::{TableMap, TableMapHead};

use super::{description, with_event};

pub fn input(body: &[u8], dialect: Dialect) -> Vec<u8> {
    let mut bytes = vec![u8::from(dialect == Dialect::MariaDB)];
    bytes.extend_from_slice(body);
    bytes
}

pub fn run(data: &[u8]) {
    let Some((&first, body)) = data.split_first() else { return };
    let dialect = if first & 1 == 0 { Dialect::MySql } else { Dialect::MariaDB };
    let description = description(dialect);
    with_event(EventType::TABLE_MAP, body, |event| {
        let head = TableMapHead::parse(event, &description);
        let Ok(map) = TableMap::parse(event, &description) else { return };
        assert_eq!(head.unwrap().table_id, map.table_id);
        // What is kept was paid for: a type byte for each column, a length byte for each label.
        assert!(map.columns.len() <= body.len());
        let labels: usize = map.columns.iter().filter_map(|c| c.labels.as_ref()).map(|l| l.len()).sum();
        assert!(labels <= body.len());
        let names = map.columns.iter().filter(|c| c.name.is_some()).count();
        assert!(names == 0 || map.full && names == map.columns.len());
    });
}
