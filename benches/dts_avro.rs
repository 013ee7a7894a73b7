//! The DTS Avro writer, from the event's bytes on: it decodes each row and writes its record into a buffer that is
//! reused. CPU seconds of the process, median of rounds.
//!
//! `--messages FILE` puts every record into FILE as a line of hex: what the yardstick, `apache-avro`, then encodes again
//! (`tests/readers/apache-avro`, which is built apart; `ops/bench` runs both).

mod common;
#[path = "common/workload.rs"]
mod workload;

use std::fmt::Write as _;
use std::hint::black_box;

use relay::format::dts_avro::{AvroOptions, DtsAvro};

use workload::Workload;

const NOW_MS: u64 = 1_767_225_930_120;
/// So few that the yardstick's values, which are far larger than their bytes, stay in the caches.
const EVENTS: usize = 10;
const PASSES: usize = 200;
const ROUNDS: usize = 7;

fn main() {
    let workload = Workload::new(EVENTS);
    let mut avro = DtsAvro::new(&AvroOptions::default());
    let mut record = Vec::new();
    let (mut count, mut bytes, mut lines) = (0u64, 0usize, String::new());
    workload.for_each_row(|change, row| {
        record.clear();
        avro.write(change, row, NOW_MS, &mut record).expect("a row");
        count += 1;
        bytes += record.len();
        record.iter().for_each(|byte| write!(lines, "{byte:02x}").expect("memory"));
        lines.push('\n');
    });
    if let Some(path) = common::argument("messages") {
        std::fs::write(&path, lines).unwrap_or_else(|error| panic!("write {path}: {error}"));
    }

    let mut cpu = Vec::new();
    for _ in 0..ROUNDS {
        let written = common::cpu_of(|| {
            for _ in 0..PASSES {
                workload.for_each_row(|change, row| {
                    record.clear();
                    avro.write(change, row, NOW_MS, &mut record).expect("a row");
                    black_box(&record);
                });
            }
        });
        cpu.push(written.0);
    }
    let seconds = common::median(&mut cpu) / (count * PASSES as u64) as f64;
    common::figure("dts avro", seconds * 1e6, "us/row", None);
    common::figure("dts avro message", bytes as f64 / count as f64, "bytes", None);
}
