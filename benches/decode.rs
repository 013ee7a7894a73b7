//! Row decode in rows per CPU second, against `mysql_common`'s decoder on the same bytes.
//!
//! The yardstick gets its events parsed beforehand and is timed on the rows alone; ours is timed from the raw event on.
//! Both decode every column of every image. Values are compared before anything is measured.
//!
//! `--binlog FILE` takes a binlog file (at most its first 128 MiB); without it, a captured file of the same workload is
//! repeated in memory until it is far larger than the caches.

mod common;
#[path = "../tests/golden/oracle/compare.rs"]
mod compare;

use std::collections::HashMap;
use std::hint::black_box;

use common::{argument, cpu_of, figure, median};
use mysql_common::binlog::EventStreamReader;
use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::{EventData, RowsEventData};
use mysql_common::binlog::row::BinlogRow;
use relay::binlog::event::{Event, EventHeader, EventType, FormatDescription};
use relay::binlog::{ColumnDef, RowImage, RowsEvent, TableMap};

const BYTES_MAX: usize = 128 << 20;
const BYTES_MIN: usize = 64 << 20;
const ROUNDS: usize = 5;

const CAPTURED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/mysql97/workload.binlog");

/// The events of the workload that matter here, in order.
struct Workload {
    description: FormatDescription,
    bytes: Vec<u8>,
    /// Offsets of table maps and rows events.
    events: Vec<(usize, usize)>,
}

fn main() {
    let workload = Workload::load();
    let theirs = Theirs::load(&workload);
    let rows = compare_all(&workload, &theirs);
    let (mut ours_cpu, mut theirs_cpu) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (cpu, counted) = cpu_of(|| decode(&workload));
        assert_eq!(counted, rows);
        ours_cpu.push(cpu);
        let (cpu, counted) = cpu_of(|| theirs.decode());
        assert_eq!(counted, rows);
        theirs_cpu.push(cpu);
    }
    let million_rows = rows as f64 / 1e6;
    let (ours, yardstick) = (million_rows / median(&mut ours_cpu), million_rows / median(&mut theirs_cpu));
    figure("row decode, every column", ours, "Mrows/CPU-s", Some(yardstick));
    let (cpu, counted) = cpu_of(|| pass_by(&workload));
    assert_eq!(counted, rows);
    figure("rows cut out, no column decoded", million_rows / cpu, "Mrows/CPU-s", None);
    figure("bytes decoded", workload.bytes.len() as f64 / 1e6 / median(&mut ours_cpu), "MB/CPU-s", None);
}

impl Workload {
    fn load() -> Workload {
        let path = argument("binlog").unwrap_or_else(|| CAPTURED.to_owned());
        let mut file = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        file.truncate(BYTES_MAX);
        let description = FormatDescription::parse(event_at(&file, 4).expect("a format description")).unwrap();
        let mut workload = Workload { description, bytes: Vec::new(), events: Vec::new() };
        while workload.bytes.len() < BYTES_MIN {
            let mut at = 4;
            while let Some(raw) = event_at(&file, at) {
                at += raw.len();
                let event_type = EventType(raw[4]);
                if event_type == EventType::TABLE_MAP || event_type.is_rows() {
                    let start = workload.bytes.len();
                    workload.bytes.extend_from_slice(raw);
                    workload.events.push((start, workload.bytes.len()));
                }
            }
        }
        workload
    }

    fn events(&self) -> impl Iterator<Item = Event<'_>> {
        self.events
            .iter()
            .map(|&(start, end)| Event::parse(&self.bytes[start..end], self.description.checksum).unwrap())
    }
}

/// The whole event at `at`, if it is all there.
fn event_at(file: &[u8], at: usize) -> Option<&[u8]> {
    let header = EventHeader::parse(file.get(at..)?).ok()?;
    file.get(at..at + header.event_len as usize)
}

/// Calls `row` for every row, with table maps read where they change.
fn each_row(workload: &Workload, mut row: impl FnMut(Option<RowImage<'_>>, Option<RowImage<'_>>)) {
    let mut maps: HashMap<u64, (Vec<u8>, Vec<ColumnDef>)> = HashMap::new();
    for event in workload.events() {
        if event.header.event_type == EventType::TABLE_MAP {
            let map = TableMap::parse(&event, &workload.description).unwrap();
            if maps.get(&map.table_id).is_none_or(|(body, _)| body != event.body) {
                maps.insert(map.table_id, (event.body.to_vec(), map.columns));
            }
            continue;
        }
        let rows = RowsEvent::parse(&event, &workload.description).unwrap();
        for view in rows.rows(&maps[&rows.head.table_id].1) {
            let view = view.unwrap();
            row(view.before, view.after);
        }
    }
}

fn decode(workload: &Workload) -> usize {
    let mut rows = 0;
    each_row(workload, |before, after| {
        rows += 1;
        for image in [before, after].into_iter().flatten() {
            for value in image.values() {
                black_box(value.unwrap());
            }
        }
    });
    rows
}

fn pass_by(workload: &Workload) -> usize {
    let mut rows = 0;
    each_row(workload, |before, after| {
        rows += 1;
        black_box((before, after));
    });
    rows
}

/// The same events as the other decoder keeps them.
struct Theirs {
    reader: EventStreamReader,
    events: Vec<RowsEventData<'static>>,
}

impl Theirs {
    fn load(workload: &Workload) -> Theirs {
        let mut reader = EventStreamReader::new(BinlogVersion::Version4);
        let path = argument("binlog").unwrap_or_else(|| CAPTURED.to_owned());
        let file = std::fs::read(path).unwrap();
        reader.read(event_at(&file, 4).unwrap()).unwrap();
        let mut events = Vec::new();
        for &(start, end) in &workload.events {
            let event = reader.read(&workload.bytes[start..end]).unwrap().unwrap();
            if let Some(EventData::RowsEvent(rows)) = event.read_data().unwrap() {
                events.push(rows.into_owned());
            }
        }
        Theirs { reader, events }
    }

    fn rows(&self, mut row: impl FnMut(Option<BinlogRow>, Option<BinlogRow>)) {
        for event in &self.events {
            let table = self.reader.get_tme(event.table_id()).unwrap();
            for images in event.rows(table) {
                let (before, after) = images.unwrap();
                row(before, after);
            }
        }
    }

    fn decode(&self) -> usize {
        let mut rows = 0;
        self.rows(|before, after| {
            rows += 1;
            black_box((before, after));
        });
        rows
    }
}

/// Every value of both decoders, side by side; returns the number of rows.
fn compare_all(workload: &Workload, theirs: &Theirs) -> usize {
    // Theirs are owned, so they can be asked for one event at a time.
    let mut queue = std::collections::VecDeque::new();
    let mut events = theirs.events.iter();
    let mut rows = 0;
    each_row(workload, |before, after| {
        rows += 1;
        if queue.is_empty() {
            let event = events.next().expect("as many rows there");
            let table = theirs.reader.get_tme(event.table_id()).unwrap();
            queue.extend(event.rows(table).map(Result::unwrap));
        }
        let (their_before, their_after) = queue.pop_front().expect("as many rows there");
        for (ours, theirs) in [(before, their_before), (after, their_after)] {
            assert_eq!(ours.is_some(), theirs.is_some());
            let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
            let theirs = theirs.unwrap();
            assert_eq!(ours.present().len(), theirs.len());
            for (value, theirs) in ours.values().zip(&theirs) {
                let (index, value) = value.unwrap();
                if let Err(difference) = compare::compare(&ours.columns()[index], value, theirs) {
                    panic!("row {rows}, column {index}: {difference}");
                }
            }
        }
    });
    assert!(queue.is_empty() && events.next().is_none());
    rows
}
