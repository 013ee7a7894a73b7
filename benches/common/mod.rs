//! What the benches share: the process's own CPU clock, percentiles, and figures as JSON lines for `ops/bench`.

#![allow(dead_code, reason = "each bench is a crate of its own and uses its share of this")]

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// User and system seconds of this process until now, all threads.
pub fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// CPU seconds that `work` took, and what it returned.
pub fn cpu_of<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let before = cpu_seconds();
    let value = work();
    (cpu_seconds() - before, value)
}

/// The middle of the values; sorts them.
pub fn median(values: &mut [f64]) -> f64 {
    assert!(!values.is_empty(), "a median needs a value");
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value below which `share` (0 to 1) of the values lie; sorts them.
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    assert!(!values.is_empty(), "a percentile needs a value");
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// Milliseconds, for printing.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Prints one figure for `ops/bench` to judge.
pub fn figure(name: &str, measured: f64, unit: &str, yardstick: Option<f64>) {
    let row = serde_json::json!({ "name": name, "measured": measured, "unit": unit, "yardstick": yardstick });
    println!("{row}");
}

/// The value after `--name` on the command line.
pub fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|a| *a != format!("--{name}"));
    arguments.nth(1)
}
