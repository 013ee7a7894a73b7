//! Rows of a usual table (ten columns: numbers, text of 120 and 60 characters, a decimal, two times, an ENUM), three
//! inserts to an update, 75 and 25 rows an event: what the benches of formats write.

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

const UTF8MB4: u16 = 255;

/// Raw rows events, each with its operation, and what they are read with.
pub struct Workload {
    pub plan: Arc<TablePlan>,
    description: FormatDescription,
    events: Vec<(Op, Vec<u8>)>,
}

impl Workload {
    /// So many pairs of an event of inserts and one of updates.
    pub fn new(pairs: usize) -> Self {
        let description = FormatDescription::parse(&format_description("9.7.4")).expect("a format description");
        let columns = columns();
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
        Self { plan, description, events }
    }

    /// Decodes every row and gives it to `each`.
    pub fn for_each_row(&self, mut each: impl FnMut(&RowsChange<'_>, &RowChange<'_>)) {
        let tx = TxInfo {
            gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23".into(),
            file: "binlog.000017".into(),
            server_version: "9.7.4".into(),
            start: 4120,
            thread_id: Some(4711),
            ..TxInfo::default()
        };
        for (seq, (op, raw)) in self.events.iter().enumerate() {
            let event = Event::parse(raw, self.description.checksum).expect("an event");
            let event = RowsEvent::parse(&event, &self.description).expect("a rows event");
            let place = EventPlace { timestamp: 1_767_225_930, ..EventPlace::default() };
            let seq = Seq(seq as u64 + 1);
            let change = RowsChange { seq, op: *op, plan: &self.plan, tx: &tx, place, snapshot: false, event };
            for row in change.rows() {
                each(&change, &row.expect("a row"));
            }
        }
    }
}

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

/// As an update of four columns leaves the row.
fn updated(id: u64) -> Image {
    let (mut before, after) = (row(id, 0), row(id, 1));
    for changed in [1, 4, 6, 9] {
        before[changed] = after[changed].clone();
    }
    before
}
