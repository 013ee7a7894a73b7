//! A decoder that nobody here wrote, `mysql_common`'s, on the same bytes. Where the two differ, the server's own text
//! (see `replay`) has decided who is right; each of its faults is asserted, so that a fixed release shows itself here.

mod compare;

use std::collections::BTreeMap;

use mysql_common::binlog::BinlogFile;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::EventData;
use mysql_common::binlog::row::BinlogRow;
use relay::binlog::event::{Event, EventHeader, EventType, FormatDescription};
use relay::binlog::{ColumnDef, RowImage, RowsEvent, TableMap};

use crate::file;
use compare::{Fault, compare};

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    values: usize,
    /// Negative MEDIUMINT without its sign.
    mediumint: usize,
    /// YEAR 0 as 1900.
    year: usize,
    /// JSON documents with a value that JSON does not have, a decimal say, as a string.
    json_opaque: usize,
}

fn compare_image(ours: Option<RowImage<'_>>, theirs: Option<BinlogRow>, case: &str, tally: &mut Tally) {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { panic!("{case}: an image is there for one only") };
    let theirs = theirs.unwrap();
    assert_eq!(ours.present().len(), theirs.len(), "{case}");
    for (value, theirs) in ours.values().zip(&theirs) {
        let (index, value) = value.unwrap();
        tally.values += 1;
        match compare(&ours.columns()[index], value, theirs) {
            Ok(None) => {}
            Ok(Some(Fault::Mediumint)) => tally.mediumint += 1,
            Ok(Some(Fault::Year)) => tally.year += 1,
            Ok(Some(Fault::JsonOpaque)) => tally.json_opaque += 1,
            Err(difference) => panic!("{case}: column {index}: {difference}"),
        }
    }
}

fn against_oracle(case: &str) -> Tally {
    let bytes = file::read(&format!("{case}.binlog"));
    let mut oracle = BinlogFile::new(BinlogVersion::Version4, &bytes[..]).unwrap();
    let mut at = 4;
    let mut description = None;
    let mut maps: BTreeMap<u64, Vec<ColumnDef>> = BTreeMap::new();
    let mut tally = Tally::default();
    while let Some(theirs) = oracle.next() {
        let theirs = theirs.unwrap();
        let raw = &bytes[at..at + EventHeader::parse(&bytes[at..]).unwrap().event_len as usize];
        at += raw.len();
        if raw[4] == EventType::FORMAT_DESCRIPTION.0 {
            description = Some(FormatDescription::parse(raw).unwrap());
        }
        let description = description.as_ref().unwrap();
        let ours = Event::parse(raw, description.checksum).unwrap();
        if ours.header.event_type == EventType::TABLE_MAP {
            let map = TableMap::parse(&ours, description).unwrap();
            maps.insert(map.table_id, map.columns);
        }
        if !ours.header.event_type.is_rows() {
            continue;
        }
        let Some(EventData::RowsEvent(data)) = theirs.read_data().unwrap() else { panic!("{case}: no rows at {at}") };
        let event = RowsEvent::parse(&ours, description).unwrap();
        let table = oracle.reader().get_tme(data.table_id()).unwrap();
        let mut their_rows = data.rows(table);
        for row in event.rows(&maps[&event.head.table_id]) {
            let (before, after) = their_rows.next().unwrap().unwrap();
            let row = row.unwrap();
            if row.before.is_some() || before.is_some() {
                compare_image(row.before, before, case, &mut tally);
            }
            if row.after.is_some() || after.is_some() {
                compare_image(row.after, after, case, &mut tally);
            }
        }
        assert!(their_rows.next().is_none(), "{case}: more rows there at {at}");
    }
    assert_eq!(at, bytes.len());
    tally
}

#[test]
fn values_equal_the_oracles_but_for_its_known_faults() {
    for case in [
        "mysql97/types",
        "mysql97/image_minimal",
        "mysql97/image_noblob",
        "mysql97/types_minimal_metadata",
        "mysql56/types",
        "mysql56/image_minimal",
    ] {
        let tally = against_oracle(case);
        assert!(tally.values > 900, "{case}: {tally:?}");
        assert!(tally.mediumint > 0 && tally.year > 0, "{case}: a fault of the oracle is gone: {tally:?}");
        assert_eq!(tally.json_opaque, 0, "{case}");
    }
}

#[test]
fn json_equals_the_oracles_but_for_opaque_values() {
    let tally = against_oracle("mysql97/json");
    assert!(tally.values > 200 && tally.json_opaque > 0, "{tally:?}");
    assert!(against_oracle("mysql97/json_large").values > 2);
}

/// `my_time_packed_from_binary` takes 0x100 from an unsigned number: a panic with overflow checks, another time without.
#[test]
fn the_oracle_cannot_read_negative_fractions_of_one_byte() {
    let read = std::panic::catch_unwind(|| against_oracle("mysql97/negative_times"));
    assert!(read.is_err(), "a fault of the oracle is gone: {read:?}");
}
