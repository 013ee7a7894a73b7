//! Cursors for people: where they stand, what they hold, what to do about it.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{number, text};
use crate::escape::Plain;
use crate::table::{Align, Table};
use crate::units;

/// All cursors, and below them what each needs.
pub(super) fn list(cursors: &[Value]) -> String {
    if cursors.is_empty() {
        return "no cursors: a delivery of the config makes its own, relay-cursor create NAME one for later\n"
            .to_owned();
    }
    let mut table = Table::new(&[
        ("CURSOR", Align::Left),
        ("STATE", Align::Left),
        ("ACKED SEQ", Align::Right),
        ("BEHIND", Align::Right),
        ("LAG", Align::Right),
        ("HOLDS", Align::Right),
        ("MOVED", Align::Right),
        ("PARKED", Align::Left),
    ]);
    for cursor in cursors {
        let parked = cursor["parked"].as_array().map_or(0, Vec::len) as u64;
        table.row([
            text(cursor, "name").to_owned(),
            text(cursor, "state").to_owned(),
            number(cursor, "acked_seq").to_string(),
            units::count(number(cursor, "lag_entries")),
            seconds(cursor, "lag_seconds").unwrap_or_else(|| "-".to_owned()),
            held(cursor),
            moved(cursor),
            if parked == 0 { String::new() } else { units::counted(parked, "table") },
        ]);
    }
    let mut out = table.to_string();
    for cursor in cursors {
        for line in advice(cursor) {
            let _ = writeln!(out, "{}: {}", Plain(text(cursor, "name")), Plain(&line));
        }
    }
    out
}

/// One cursor.
pub(super) fn one(cursor: &Value) -> String {
    let mut out = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(out, "{label:<10} {}", Plain(&value));
    };
    line("cursor", text(cursor, "name").to_owned());
    line("state", text(cursor, "state").to_owned());
    line("acked seq", number(cursor, "acked_seq").to_string());
    line("epoch", number(cursor, "epoch").to_string());
    line("behind", units::counted(number(cursor, "lag_entries"), "entry"));
    for (label, field) in [("lag", "lag_seconds"), ("headroom", "headroom_seconds")] {
        if let Some(value) = seconds(cursor, field) {
            line(label, value);
        }
    }
    line("moved", moved(cursor));
    line("holds", held(cursor));
    line(
        "if slow",
        match text(cursor, "lagging_cursor") {
            "expire" => "expire: it loses its place when the log is full".to_owned(),
            "hold" => "hold: the log keeps what it has not delivered".to_owned(),
            policy => format!("as the log's own policy says ({policy})"),
        },
    );
    let (records, bytes) = (number(cursor, "in_flight_records"), number(cursor, "in_flight_bytes"));
    if records > 0 {
        line("in flight", format!("{}, {}", units::counted(records, "record"), units::bytes(bytes)));
    }
    for advice in advice(cursor) {
        line("note", advice);
    }
    out
}

/// What a reset did, or would do.
pub(super) fn reset(reset: &Value) -> String {
    let (from, to) = (number(reset, "from_acked_seq"), number(reset, "to_acked_seq"));
    let (name, done) = (Plain(text(reset, "name")), reset["done"] == true);
    let (verb, replay) = (if done { "moved" } else { "would move" }, &reset["replay"]);
    let mut out = format!("cursor {name} {verb} from behind seq {from} to behind seq {to}\n");
    let skipped = number(reset, "skipped_entries");
    if to < from {
        let _ = writeln!(
            out,
            "{} again: {}, {}, {}",
            if done { "delivered" } else { "would be delivered" },
            units::counted(number(replay, "transactions"), "transaction"),
            units::counted(number(replay, "rows"), "row"),
            units::bytes(number(replay, "bytes")),
        );
        let missing = number(replay, "missing_entries");
        if missing > 0 {
            let _ = writeln!(
                out,
                "{} on the way cannot be read; the delivery stops there",
                units::counted(missing, "entry")
            );
        }
        let mut table = Table::new(&[("TABLE", Align::Left), ("ROWS", Align::Right), ("BYTES", Align::Right)]);
        for (name, counts) in replay["tables"].as_object().into_iter().flatten() {
            let rows = number(counts, "inserts") + number(counts, "updates") + number(counts, "deletes");
            table.row([name.clone(), units::count(rows), units::bytes(number(counts, "bytes"))]);
        }
        if !table.is_empty() {
            let _ = write!(out, "{table}");
        }
    } else if skipped > 0 {
        let will = if done { "will" } else { "would" };
        let _ = writeln!(out, "{} {will} never be delivered by it", units::counted(skipped, "entry"));
    } else {
        let _ = writeln!(out, "it stands there already");
    }
    out
}

/// What an operator should know or do about a cursor.
fn advice(cursor: &Value) -> Vec<String> {
    let name = text(cursor, "name");
    let mut lines = Vec::new();
    if let Some(lost) = cursor["lost"].as_str() {
        lines.push(format!("lost: {lost}; relay-cursor reset {name} --to earliest goes on behind the gap"));
    }
    if cursor["problem"].is_object() {
        let problem = &cursor["problem"];
        let step = match text(problem, "next_step") {
            "" => format!("then relay-cursor resume {name}"),
            step => step.to_owned(),
        };
        lines.push(format!("{}; {step}", text(problem, "reason")));
    }
    for parked in cursor["parked"].as_array().into_iter().flatten() {
        let table = text(parked, "table");
        lines.push(format!(
            "table {table} is parked from seq {} on: {}; when it is mended: relay-cursor release {name} --table {table}",
            number(parked, "first_seq"),
            text(parked, "reason"),
        ));
    }
    lines.extend(cursor["notice"].as_str().map(str::to_owned));
    for exception in cursor["exceptions"].as_array().into_iter().flatten() {
        let (table, fate, last) = (text(exception, "table"), text(exception, "fate"), text(exception, "last"));
        let key = match text(exception, "key") {
            "" => String::new(),
            key => format!(" with key {key}"),
        };
        lines.push(format!(
            "{} of {table} since the start: {}, the last one at seq {last}{key}: {}",
            units::counted(number(exception, "records"), "row"),
            fate.replace('_', " "),
            text(exception, "reason"),
        ));
    }
    for topic in cursor["grown_topics"].as_array().into_iter().flatten() {
        lines.push(format!(
            "topic {} has {} partitions, {} of them are used; accept_partition_change = true uses all",
            text(topic, "topic"),
            number(topic, "partitions"),
            number(topic, "used"),
        ));
    }
    if text(cursor, "state") == "paused" {
        lines.push(format!("paused: relay-cursor resume {name} goes on"));
    }
    if cursor["restored"] == true {
        lines.push("rebuilt after damage: it may stand behind the truth and repeat".to_owned());
    }
    lines
}

fn seconds(cursor: &Value, field: &str) -> Option<String> {
    let seconds = cursor[field].as_f64()?;
    Some(units::duration(Duration::try_from_secs_f64(seconds).ok()?))
}

/// Bytes that it keeps from being trimmed. A stopped store's are not counted.
fn held(cursor: &Value) -> String {
    match number(cursor, "holds_bytes") {
        0 if cursor.get("lag_seconds").is_none() => "-".to_owned(),
        bytes => units::bytes(bytes),
    }
}

/// How long ago it moved.
fn moved(cursor: &Value) -> String {
    let at = match number(cursor, "updated_ms") {
        0 => return "never".to_owned(),
        ms => SystemTime::UNIX_EPOCH + Duration::from_millis(ms),
    };
    // A clock that was set back shows as now.
    format!("{} ago", units::duration(SystemTime::now().duration_since(at).unwrap_or_default()))
}
