//! The Canal JSON writer against serde_json streaming the same messages, byte for byte, from the same rows.
//!
//! Rows are those of a usual table (ten columns: numbers, text of 120 and 60 characters, a decimal, two times, an
//! ENUM), three inserts to an update, 75 and 25 rows an event. Both sides decode the rows from the event's bytes; one
//! message a row into a buffer that is reused. CPU seconds of the process, medians of alternating rounds.

#[path = "../tests/support/binlog_rows.rs"]
#[allow(dead_code, reason = "shared with tests, which use other parts of it")]
mod binlog_rows;
mod common;

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;

use relay::binlog::event::{Event, FormatDescription};
use relay::binlog::rows::Cells;
use relay::binlog::{Cell, RowImage, RowsEvent, Value};
use relay::change::plan::{Planner, TablePlan};
use relay::change::{EventPlace, Op, RowChange, RowsChange, TxInfo};
use relay::format::canal_json::{CanalJson, CanalOptions};
use relay::format::text::Renderer;
use relay_store::Seq;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use binlog_rows::*;

const NOW_MS: u64 = 1_767_225_930_120;
const EVENTS: usize = 200;
const ROUNDS: usize = 7;
const UTF8MB4: u16 = 255;

/// `java.sql.Types` of the table's columns, for the yardstick.
const SQL_TYPES: [i32; 10] = [3, -5, 1, 12, 3, 93, 93, 12, 8, 12];

fn columns() -> Vec<Col> {
    vec![
        int("id", 8, true).key(),
        int("k", 3, true).not_null(),
        // CHAR(120) of four-byte characters: 480 bytes, whose two high bits lie inverted in the type byte.
        Col { collation: Some(UTF8MB4), ..col("c", 254, &[0xfe ^ 0x10, 0xe0]) },
        varchar("pad", 60, UTF8MB4, 4),
        decimal_col("amt", 12, 2),
        col("ts", 17, &[3]),
        col("dt", 18, &[6]),
        labelled("st", 247, 1, &["new", "paid", "sent", "done"], UTF8MB4),
        Col { unsigned: Some(false), ..col("fl", 5, &[8]) },
        varchar("note", 50, UTF8MB4, 4),
    ]
}

fn row(id: u64, version: u64) -> Image {
    let mix = |salt: u64| (id * 31 + version * 7 + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hex = |salt: u64, length: usize| {
        let text: String = (0..8).map(|part| format!("{:016x}", mix(salt + part))).collect();
        text[..length].to_owned()
    };
    let note = if id.is_multiple_of(3) { None } else { text(&format!("naïve “note” \\{id}\n")) };
    image(&[
        le(id as i64, 8),
        le((mix(1) >> 33) as i64, 4),
        text(&hex(10, 120)),
        text(&hex(30, 60)),
        decimal(&format!("{}.{:02}", mix(2) % 1_000_000, mix(3) % 100), 12, 2),
        timestamp2(1_767_225_930 + (id / 75) as u32, ((mix(4) % 1000) * 1000) as u32, 3),
        datetime2([2026, 1 + id % 12, 1 + id % 28], [id % 24, id % 60, version], (mix(5) % 1_000_000) as u32, 6),
        Some(vec![(id % 4 + 1) as u8]),
        Some((mix(6) as f64 / 1e15).to_le_bytes().to_vec()),
        note,
    ])
}

/// The workload: raw rows events, each with its operation.
fn workload() -> Vec<(Op, Vec<u8>)> {
    let columns = columns();
    let mut events = Vec::new();
    for event in 0..EVENTS as u64 {
        let inserts: Vec<Image> = (0..75).map(|at| row(event * 75 + at, 0)).collect();
        events.push((Op::Insert, rows(30, 9, &columns, &inserts, 1_767_225_930)));
        let updates: Vec<Image> = (0..25).flat_map(|at| [row(event * 75 + at, 0), updated(event * 75 + at)]).collect();
        events.push((Op::Update, rows(31, 9, &columns, &updates, 1_767_225_930)));
    }
    events
}

/// As an update of four columns leaves the row.
fn updated(id: u64) -> Image {
    let (mut before, after) = (row(id, 0), row(id, 1));
    for changed in [1, 4, 6, 9] {
        before[changed] = after[changed].clone();
    }
    before
}

/// Gives every row of the workload to `each`.
fn for_each_row(
    events: &[(Op, Vec<u8>)],
    plan: &Arc<TablePlan>,
    description: &FormatDescription,
    mut each: impl FnMut(&RowsChange<'_>, &RowChange<'_>),
) {
    let tx = TxInfo { gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23".into(), ..TxInfo::default() };
    for (seq, (op, raw)) in events.iter().enumerate() {
        let event = Event::parse(raw, description.checksum).expect("an event");
        let event = RowsEvent::parse(&event, description).expect("a rows event");
        let place = EventPlace { timestamp: 1_767_225_930, ..EventPlace::default() };
        let seq = Seq(seq as u64 + 1);
        let change = RowsChange { seq, op: *op, plan, tx: &tx, place, snapshot: false, event };
        for row in change.rows() {
            each(&change, &row.expect("a row"));
        }
    }
}

fn main() {
    let description = FormatDescription::parse(&format_description("9.7.4")).expect("a format description");
    let map = table_map(9, "shop", "sbtest1", &columns(), true);
    let map = Event::parse(&map, description.checksum).expect("an event");
    let plan = Planner::new().plan(&map, &description, None).expect("a table map").expect("a plan");
    let events = workload();
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").expect("a zone");
    let options = CanalOptions::default();
    let mut canal = CanalJson::new(&options, zone.clone());
    let renderer = RefCell::new((Renderer::new(options.text(zone)), Vec::new()));

    let (mut count, mut bytes) = (0u64, 0u64);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for_each_row(&events, &plan, &description, |change, row| {
        ours.clear();
        theirs.clear();
        canal.write(change, std::slice::from_ref(row), NOW_MS, &mut ours).expect("a row");
        serde_json::to_writer(&mut theirs, &Message { change, row, renderer: &renderer }).expect("a row");
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&theirs));
        count += 1;
        bytes += ours.len() as u64;
    });

    let (mut written, mut streamed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        written.push(
            common::cpu_of(|| {
                for_each_row(&events, &plan, &description, |change, row| {
                    ours.clear();
                    canal.write(change, std::slice::from_ref(row), NOW_MS, &mut ours).expect("a row");
                    black_box(&ours);
                });
            })
            .0,
        );
        streamed.push(
            common::cpu_of(|| {
                for_each_row(&events, &plan, &description, |change, row| {
                    theirs.clear();
                    serde_json::to_writer(&mut theirs, &Message { change, row, renderer: &renderer }).expect("a row");
                    black_box(&theirs);
                });
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
