//! The Canal JSON writer against serde_json streaming the same messages, byte for byte, from the same rows.
//!
//! Rows are found in their events beforehand; both sides decode the cells and write one message a row into a buffer that
//! is reused. CPU seconds of the process, medians of alternating rounds.

mod common;
#[path = "common/workload.rs"]
mod workload;

use std::cell::RefCell;
use std::hint::black_box;

use relay::binlog::rows::Cells;
use relay::binlog::{Cell, RowImage, Value};
use relay::change::plan::TablePlan;
use relay::change::{Op, RowChange, RowsChange};
use relay::format::canal_json::{CanalJson, CanalOptions};
use relay::format::text::Renderer;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use workload::Workload;

const NOW_MS: u64 = 1_767_225_930_120;
const EVENTS: usize = 200;
const ROUNDS: usize = 7;
/// `java.sql.Types` of the table's columns, for the yardstick.
const SQL_TYPES: [i32; 10] = [3, -5, 1, 12, 3, 93, 93, 12, 8, 12];

fn main() {
    let workload = Workload::new(EVENTS);
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").expect("a zone");
    let options = CanalOptions::default();
    let mut canal = CanalJson::new(&options, zone.clone());
    let renderer = RefCell::new((Renderer::new(options.text(zone)), Vec::new()));

    let (mut count, mut bytes) = (0u64, 0u64);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    workload.for_each_row(|change, row| {
        ours.clear();
        theirs.clear();
        canal.write(change, std::slice::from_ref(row), NOW_MS, &mut ours).expect("a row");
        serde_json::to_writer(&mut theirs, &Message { change, row, renderer: &renderer }).expect("a row");
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs));
        count += 1;
        bytes += ours.len() as u64;
    });

    let decoded = workload.decoded();
    let rows = || decoded.iter().flat_map(|(change, rows)| rows.iter().map(move |row| (change, row)));
    let (mut written, mut streamed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        written.push(
            common::cpu_of(|| {
                for (change, row) in rows() {
                    ours.clear();
                    canal.write(change, std::slice::from_ref(row), NOW_MS, &mut ours).expect("a row");
                    black_box(&ours);
                }
            })
            .0,
        );
        streamed.push(
            common::cpu_of(|| {
                for (change, row) in rows() {
                    theirs.clear();
                    serde_json::to_writer(&mut theirs, &Message { change, row, renderer: &renderer }).expect("a row");
                    black_box(&theirs);
                }
            })
            .0,
        );
    }
    let (written, streamed) = (common::median(&mut written), common::median(&mut streamed));
    let rate = |seconds: f64| count as f64 / seconds;
    common::figure("canal json against serde_json", rate(written), "rows/cpu-s", Some(rate(streamed)));
    common::figure("canal json", written * 1e6 / count as f64, "us/row", None);
    common::figure("canal json message", bytes as f64 / count as f64, "bytes", None);
}

/// One message for serde to stream; values take the shortest way that serde's interface has for them.
struct Message<'a> {
    change: &'a RowsChange<'a>,
    row: &'a RowChange<'a>,
    renderer: &'a RefCell<(Renderer, Vec<u8>)>,
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (change, plan) = (self.change, self.change.plan);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("data", &[Columns { message: self, only_changed: false }])?;
        map.serialize_entry("database", &*plan.name.database)?;
        map.serialize_entry("es", &(u64::from(change.place.timestamp) * 1000))?;
        map.serialize_entry("gtid", &change.tx.gtid)?;
        map.serialize_entry("id", &change.seq.0)?;
        map.serialize_entry("isDdl", &false)?;
        map.serialize_entry("mysqlType", &Declared(plan))?;
        match change.op {
            Op::Update => map.serialize_entry("old", &[Columns { message: self, only_changed: true }])?,
            _ => map.serialize_entry("old", &())?,
        }
        map.serialize_entry("pkNames", &Keys(plan))?;
        map.serialize_entry("sql", "")?;
        map.serialize_entry("sqlType", &Codes(plan))?;
        map.serialize_entry("table", &*plan.name.table)?;
        map.serialize_entry("ts", &NOW_MS)?;
        let kind = match change.op {
            Op::Insert => "INSERT",
            Op::Update => "UPDATE",
            Op::Delete => "DELETE",
        };
        map.serialize_entry("type", kind)?;
        map.end()
    }
}

struct Declared<'a>(&'a TablePlan);

impl Serialize for Declared<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.columns.iter().map(|column| (&*column.name, &*column.declared)))
    }
}

struct Codes<'a>(&'a TablePlan);

impl Serialize for Codes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.columns.iter().zip(SQL_TYPES).map(|(column, code)| (&*column.name, code)))
    }
}

struct Keys<'a>(&'a TablePlan);

impl Serialize for Keys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        for &at in &self.0.key {
            seq.serialize_element(&*self.0.columns[at].name)?;
        }
        seq.end()
    }
}

struct Columns<'a> {
    message: &'a Message<'a>,
    only_changed: bool,
}

fn cells(image: Option<RowImage<'_>>) -> Option<Cells<'_>> {
    image.map(|image| image.cells())
}

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = self.message.row;
        let mut map = serializer.serialize_map(None)?;
        let mut after: Option<Cells<'_>> = cells(row.after).filter(|_| self.only_changed);
        let shown = if self.only_changed { row.before } else { row.after.or(row.before) };
        for cell in cells(shown).into_iter().flatten() {
            let cell = cell.expect("a cell");
            if let Some(after) = &mut after {
                let now = after.next().expect("a whole image").expect("a cell");
                if now.bytes == cell.bytes {
                    continue;
                }
            }
            let column = &self.message.change.plan.columns[cell.index];
            map.serialize_entry(&*column.name, &Shown { message: self.message, cell })?;
        }
        map.end()
    }
}

struct Shown<'a> {
    message: &'a Message<'a>,
    cell: Cell<'a>,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let column = &self.message.change.plan.columns[self.cell.index];
        match self.cell.value().expect("a value") {
            Value::Null => serializer.serialize_unit(),
            Value::Bytes(bytes) => serializer.serialize_str(std::str::from_utf8(bytes).expect("utf-8")),
            Value::Enum(label) => serializer.serialize_str(&column.labels[label as usize - 1]),
            Value::Int(number) => serializer.serialize_str(itoa::Buffer::new().format(number)),
            Value::UInt(number) => serializer.serialize_str(itoa::Buffer::new().format(number)),
            value => {
                let (renderer, scratch) = &mut *self.message.renderer.borrow_mut();
                scratch.clear();
                renderer.write_text(column, &value, scratch).expect("text");
                serializer.serialize_str(std::str::from_utf8(scratch).expect("utf-8"))
            }
        }
    }
}
