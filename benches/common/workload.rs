//! Rows of a usual table (ten columns: numbers, text of 120 and 60 characters, a decimal, two times, an ENUM), three
//! inserts to an update, 75 and 25 rows an event: what the benches of formats write.

#![allow(dead_code, reason = "each bench is a crate of its own and uses its share of this")]

#[path = "../../tests/support/binlog_rows.rs"]
#[allow(dead_code, reason = "shared with tests, which use other parts of it")]
mod binlog_rows;

use std::sync::Arc;

use relay::binlog::RowsEvent;
use relay::binlog::event::{Event, FormatDescription};
use relay::change::plan::{Planner, TablePlan};
use relay::change::{EventPlace, Op, RowChange, RowsChange, TxInfo};
use relay_store::Seq;

use binlog_rows::*;

const UTF8MB4_0900_AI_CI: u16 = 255;

/// Raw rows events, each with its operation, and what they are read with.
pub struct Workload {
    pub plan: Arc<TablePlan>,
    description: FormatDescription,
    tx: TxInfo,
    events: Vec<(Op, Vec<u8>)>,
}

impl Workload {
    /// So many pairs of an event of inserts and one of updates; text is in utf8mb4's own collation.
    pub fn new(pairs: usize) -> Self {
        Self::with_collation(pairs, UTF8MB4_0900_AI_CI)
    }

    /// The same, with text in a collation of that number.
    pub fn with_collation(pairs: usize, collation: u16) -> Self {
        let description = FormatDescription::parse(&format_description("9.7.4")).expect("a format description");
        let columns = columns(collation);
        let map = table_map(9, "shop", "sbtest1", &columns, true);
        let map = Event::parse(&map, description.checksum).expect("an event");
        let plan = Planner::new().plan(&map, &description, None).expect("a table map").expect("a plan");
        let mut events = Vec::new();
        for event in 0..pairs as u64 {
            let inserts: Vec<Image> = (0..75).map(|at| row(event * 75 + at, 0)).collect();
            events.push((Op::Insert, rows(30, 9, &columns, &inserts, 1_767_225_930)));
            let updates = (0..25).flat_map(|at| [row(event * 75 + at, 0), updated(event * 75 + at)]);
            events.push((Op::Update, rows(31, 9, &columns, &updates.collect::<Vec<_>>(), 1_767_225_930)));
        }
        let tx = TxInfo {
            gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23".into(),
            file: "binlog.000017".into(),
            server_version: "9.7.4".into(),
            start: 4120,
            thread_id: Some(4711),
            ..TxInfo::default()
        };
        Self { plan, description, tx, events }
    }

    /// Without the updates.
    pub fn inserts_only(mut self) -> Self {
        self.events.retain(|(op, _)| *op == Op::Insert);
        self
    }

    /// The events in order.
    fn changes(&self) -> impl Iterator<Item = RowsChange<'_>> {
        self.events.iter().enumerate().map(|(seq, (op, raw))| {
            let event = Event::parse(raw, self.description.checksum).expect("an event");
            let event = RowsEvent::parse(&event, &self.description).expect("a rows event");
            let place = EventPlace { timestamp: 1_767_225_930, ..EventPlace::default() };
            let seq = Seq(seq as u64 + 1);
            RowsChange { seq, op: *op, plan: &self.plan, tx: &self.tx, place, snapshot: false, event }
        })
    }

    /// Every event with its rows, found in its bytes; their cells are decoded by whoever reads them.
    pub fn decoded(&self) -> Vec<(RowsChange<'_>, Vec<RowChange<'_>>)> {
        self.changes()
            .map(|change| {
                let rows = change.rows().map(|row| row.expect("a row")).collect();
                (change, rows)
            })
            .collect()
    }

    /// Gives every row to `each`, finding it in its event's bytes.
    pub fn for_each_row(&self, mut each: impl FnMut(&RowsChange<'_>, &RowChange<'_>)) {
        for change in self.changes() {
            for row in change.rows() {
                each(&change, &row.expect("a row"));
            }
        }
    }
}

fn columns(collation: u16) -> Vec<Col> {
    vec![
        int("id", 8, true).key(),
        int("k", 3, true).not_null(),
        // CHAR(120) of four-byte characters: 480 bytes, whose two high bits lie inverted in the type byte.
        Col { collation: Some(collation), ..col("c", 254, &[0xfe ^ 0x10, 0xe0]) },
        varchar("pad", 60, collation, 4),
        decimal_col("amt", 12, 2),
        col("ts", 17, &[3]),
        col("dt", 18, &[6]),
        labelled("st", 247, 1, &["new", "paid", "sent", "done"], collation),
        Col { unsigned: Some(false), ..col("fl", 5, &[8]) },
        varchar("note", 50, collation, 4),
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

/// As an update of four columns leaves the row.
fn updated(id: u64) -> Image {
    let (mut before, after) = (row(id, 0), row(id, 1));
    for changed in [1, 4, 6, 9] {
        before[changed] = after[changed].clone();
    }
    before
}
