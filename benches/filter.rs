//! A filter on one integer column, and what it costs beside decoding the same rows and writing them as Canal JSON.
//!
//! Rows are those of the Canal JSON bench: ten columns (numbers, text of 120 and 60 characters, a decimal, two times, an
//! ENUM), 75 rows an event, all inserts; the filter reads the second column, and next to it one of text and one of a
//! date behind half the row. CPU seconds of the process, medians of alternating rounds. The share is the filter's time
//! against that of the same delivery without it.

#[path = "../tests/support/binlog_rows.rs"]
#[allow(dead_code, reason = "shared with tests, which use other parts of it")]
mod binlog_rows;
mod common;

use std::hint::black_box;
use std::sync::Arc;

use jiff::tz::TimeZone;
use relay::binlog::RowsEvent;
use relay::binlog::event::{Dialect, Event, FormatDescription};
use relay::change::plan::{Planner, TablePlan};
use relay::change::{EventPlace, Op, RowChange, RowsChange, TxInfo};
use relay::filter::{Filter, FilterImages, Session, Verdict};
use relay::format::canal_json::{CanalJson, CanalOptions};
use relay_store::Seq;

use binlog_rows::*;

const NOW_MS: u64 = 1_767_225_930_120;
const EVENTS: u64 = 300;
const ROUNDS: usize = 9;
const GENERAL_CI: u16 = 45;

/// What is measured, and how often each keeps a row of a hundred.
const FILTERS: [(&str, &str); 3] = [
    ("filter on one integer", "k >= 0"),
    ("filter on one text", "c <> 'x'"),
    ("filter on one date", "dt > '2026-01-01'"),
];

fn columns() -> Vec<Col> {
    vec![
        int("id", 8, true).key(),
        int("k", 3, true).not_null(),
        // CHAR(120) of four-byte characters: 480 bytes, whose two high bits lie inverted in the type byte.
        Col { collation: Some(GENERAL_CI), ..col("c", 254, &[0xfe ^ 0x10, 0xe0]) },
        varchar("pad", 60, GENERAL_CI, 4),
        decimal_col("amt", 12, 2),
        col("ts", 17, &[3]),
        col("dt", 18, &[6]),
        labelled("st", 247, 1, &["new", "paid", "sent", "done"], GENERAL_CI),
        Col { unsigned: Some(false), ..col("fl", 5, &[8]) },
        varchar("note", 50, GENERAL_CI, 4),
    ]
}

fn row(id: u64) -> Image {
    let mix = |salt: u64| (id * 31 + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hex = |salt: u64, length: usize| {
        let text: String = (0..8).map(|part| format!("{:016x}", mix(salt + part))).collect();
        text[..length].to_owned()
    };
    image(&[
        le(id as i64, 8),
        le((mix(1) >> 33) as i64, 4),
        text(&hex(10, 120)),
        text(&hex(30, 60)),
        decimal(&format!("{}.{:02}", mix(2) % 1_000_000, mix(3) % 100), 12, 2),
        timestamp2(1_767_225_930 + (id / 75) as u32, ((mix(4) % 1000) * 1000) as u32, 3),
        datetime2([2026, 1 + id % 12, 1 + id % 28], [id % 24, id % 60, 1], (mix(5) % 1_000_000) as u32, 6),
        Some(vec![(id % 4 + 1) as u8]),
        Some((mix(6) as f64 / 1e15).to_le_bytes().to_vec()),
        if id.is_multiple_of(3) { None } else { text(&format!("naïve “note” \\{id}\n")) },
    ])
}

/// Gives every row to `each`.
fn for_each_row(
    events: &[Vec<u8>],
    plan: &Arc<TablePlan>,
    description: &FormatDescription,
    mut each: impl FnMut(&RowsChange<'_>, &RowChange<'_>),
) {
    let tx = TxInfo { gtid: "3e11fa47-71ca-11e1-9e33-c80aa9429562:23".into(), ..TxInfo::default() };
    for (seq, raw) in events.iter().enumerate() {
        let event = Event::parse(raw, description.checksum).expect("an event");
        let event = RowsEvent::parse(&event, description).expect("a rows event");
        let place = EventPlace { timestamp: 1_767_225_930, ..EventPlace::default() };
        let seq = Seq(seq as u64 + 1);
        let change = RowsChange { seq, op: Op::Insert, plan, tx: &tx, place, snapshot: false, event };
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
    let events: Vec<Vec<u8>> = (0..EVENTS)
        .map(|event| {
            rows(30, 9, &columns(), &(0..75).map(|at| row(event * 75 + at)).collect::<Vec<_>>(), 1_767_225_930)
        })
        .collect();
    let count = (EVENTS * 75) as f64;
    let mut canal = CanalJson::new(&CanalOptions::default(), TimeZone::UTC);
    let mut out = Vec::new();
    for (name, text) in FILTERS {
        let session = Session { dialect: Dialect::MySql, version: (9, 7, 4), zone: TimeZone::UTC };
        let filter = Filter::parse(text).and_then(|parsed| parsed.compile(&plan, &session)).expect("a filter");
        let (mut plain, mut filtered) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let mut deliver = |judged: bool| {
                common::cpu_of(|| {
                    for_each_row(&events, &plan, &description, |change, row| {
                        if judged {
                            let verdict = filter.judge(row, change.op, FilterImages::Both).expect("a row");
                            assert_eq!(verdict, Verdict::Keep);
                        }
                        out.clear();
                        canal.write(change, std::slice::from_ref(row), NOW_MS, &mut out).expect("a row");
                        black_box(&out);
                    });
                })
                .0
            };
            plain.push(deliver(false));
            filtered.push(deliver(true));
        }
        let (plain, filtered) = (common::median(&mut plain), common::median(&mut filtered));
        common::figure(&format!("{name}, share of delivery"), (filtered - plain) / plain * 100.0, "%", None);
        common::figure(name, (filtered - plain) * 1e9 / count, "ns/row", None);
    }
}
