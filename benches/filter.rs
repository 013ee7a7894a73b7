//! A filter on one integer column, and what it costs beside decoding the same rows and writing them as Canal JSON.
//!
//! Rows are those of the Canal JSON bench: ten columns (numbers, text of 120 and 60 characters, a decimal, two times, an
//! ENUM), 75 rows an event, all inserts; the filter reads the second column, and next to it one of text and one of a
//! date behind half the row. CPU seconds of the process, medians of alternating rounds. The share is the filter's time
//! against that of the same delivery without it.

mod common;
#[path = "common/workload.rs"]
mod workload;

use std::hint::black_box;

use jiff::tz::TimeZone;
use relay::binlog::event::Dialect;
use relay::filter::{Filter, FilterImages, Session, Verdict};
use relay::format::canal_json::{CanalJson, CanalOptions};

use workload::Workload;

const NOW_MS: u64 = 1_767_225_930_120;
const EVENTS: usize = 300;
const ROUNDS: usize = 9;
const GENERAL_CI: u16 = 45;

/// What is measured, and how often each keeps a row of a hundred.
const FILTERS: [(&str, &str); 3] = [
    ("filter on one integer", "k >= 0"),
    ("filter on one text", "c <> 'x'"),
    ("filter on one date", "dt > '2026-01-01'"),
];

fn main() {
    let workload = Workload::with_collation(EVENTS, GENERAL_CI).inserts_only();
    let mut count = 0;
    workload.for_each_row(|_, _| count += 1);
    let mut canal = CanalJson::new(&CanalOptions::default(), TimeZone::UTC);
    let mut out = Vec::new();
    for (name, text) in FILTERS {
        let session = Session { dialect: Dialect::MySql, version: (9, 7, 4), zone: TimeZone::UTC };
        let filter = Filter::parse(text).and_then(|parsed| parsed.compile(&workload.plan, &session)).expect("a filter");
        let (mut plain, mut filtered) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let mut deliver = |judged: bool| {
                common::cpu_of(|| {
                    workload.for_each_row(|change, row| {
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
        common::figure(name, (filtered - plain) * 1e9 / f64::from(count), "ns/row", None);
    }
}
