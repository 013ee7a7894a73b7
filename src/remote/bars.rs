//! The copy of tables as lines of text: one bar for all of it, and one for each table at work. Pure.

use std::fmt::Write as _;

use serde_json::Value;

/// Characters of a bar.
const WIDTH: u64 = 30;
/// Tables that are listed at most; a terminal shows no more.
const TABLES_MAX: usize = 40;

/// What `GET /api/v1/snapshot` says, for people. `every_table`: also those that are done or wait for their turn.
pub fn lines(facts: &Value, every_table: bool) -> String {
    let mut text = String::new();
    let progress = &facts["progress"];
    let number = |of: &Value, name: &str| of[name].as_u64().unwrap_or(0);
    let state = facts["state"].as_str().unwrap_or("unknown");
    let mode = facts["mode"].as_str().unwrap_or("unknown");
    let _ = write!(
        text,
        "snapshot {state} (mode {mode}): {} of {} tables, {} of about {} rows",
        number(progress, "done"),
        number(progress, "tables"),
        grouped(number(progress, "rows")),
        grouped(number(progress, "estimated_rows")),
    );
    let rate = progress["rows_per_second"].as_f64().unwrap_or(0.0);
    if rate > 0.0 {
        let _ = write!(text, ", {} rows/s", grouped(rate.round() as u64));
    }
    if let Some(rest) = progress["rest_seconds"].as_u64() {
        let _ = write!(text, ", about {} left", span(rest));
    }
    if let Some(wait) = progress["waits_for"].as_str() {
        let _ = write!(text, "; waiting for {wait}");
    }
    text.push('\n');
    if let Some(reason) = facts["problem"]["reason"].as_str() {
        let _ = writeln!(text, "  {reason}");
    }
    let listed = if every_table { &facts["tables"] } else { &progress["at_work"] };
    let tables = listed.as_array().map_or(&[][..], Vec::as_slice);
    let width = tables.iter().take(TABLES_MAX).filter_map(|table| table["table"].as_str()).map(str::len).max();
    for table in tables.iter().take(TABLES_MAX) {
        let (rows, estimate) = (number(table, "rows"), number(table, "estimated_rows"));
        let state = table["state"].as_str().unwrap_or("unknown");
        let name = table["table"].as_str().unwrap_or("?");
        let share = if state == "done" { 100 } else { share(rows, estimate) };
        let full = usize::try_from(share * WIDTH / 100).unwrap_or(0);
        let _ = write!(
            text,
            "  {name:width$} [{}{}] {share:>3} %  {} rows  {state}",
            "#".repeat(full),
            ".".repeat(WIDTH as usize - full),
            grouped(rows),
            width = width.unwrap_or(0),
        );
        let restarts = number(table, "restarts");
        if restarts > 0 {
            let _ = write!(text, ", begun anew {restarts} times");
        }
        if let Some(problem) = table["problem"].as_str() {
            let _ = write!(text, ": {problem}");
        }
        text.push('\n');
    }
    if tables.len() > TABLES_MAX {
        let _ = writeln!(text, "  and {} more; --json lists them all", tables.len() - TABLES_MAX);
    }
    text
}

/// Per cent; an estimate that was too low is never more than nearly all.
fn share(rows: u64, estimate: u64) -> u64 {
    match estimate {
        0 => 0,
        _ => u64::try_from(u128::from(rows) * 100 / u128::from(estimate)).unwrap_or(u64::MAX).min(99),
    }
}

fn span(seconds: u64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

/// Digits in threes.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_told_in_bars() {
        let orders = json!({"table": "shop.orders", "state": "copying", "rows": 1_500, "estimated_rows": 3_000,
            "restarts": 1});
        let bad = json!({"table": "shop.t", "state": "failing", "rows": 7, "estimated_rows": 2, "restarts": 0,
            "problem": "the source's account may not read it"});
        let done = json!({"table": "shop.a", "state": "done", "rows": 9, "estimated_rows": 1000, "restarts": 0});
        let facts = json!({
            "mode": "initial", "state": "snapshot", "problem": null,
            "progress": {"tables": 3, "done": 1, "rows": 1_234_567, "estimated_rows": 2_000_000,
                "rows_per_second": 1000.4, "rest_seconds": 754, "waits_for": "capture", "at_work": [orders, bad]},
            "tables": [done, orders, bad],
        });
        let text = lines(&facts, false);
        let expected = "snapshot snapshot (mode initial): 1 of 3 tables, 1,234,567 of about 2,000,000 rows, 1,000 rows/s, \
            about 12m 34s left; waiting for capture\n  \
            shop.orders [###############...............]  50 %  1,500 rows  copying, begun anew 1 times\n  \
            shop.t      [#############################.]  99 %  7 rows  failing: the source's account may not read it\n";
        assert_eq!(text, expected);
        assert!(lines(&facts, true).contains("shop.a      [##############################] 100 %  9 rows  done\n"));
        // Whatever answers is no reason for a panic.
        assert_eq!(lines(&json!({}), true), "snapshot unknown (mode unknown): 0 of 0 tables, 0 of about 0 rows\n");
    }
}
