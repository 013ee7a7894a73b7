//! What `relay-cursor` does: cursors of a running daemon by its API, those of a stopped one in its store.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use relay::api::cursor_view;
use relay::config::check_name;
use relay::log::address::Address;
use relay::run::reset_cursor;
use relay_store::{CursorOptions, ReadOnlyLog, Store, StoreOptions, cursor_snapshot};
use serde_json::{Value, json};

use crate::admin::{Admin, segment};
use crate::end::Failed;
use crate::print::{Table, bytes, count, neutral, seconds};

/// Where the cursors are.
pub enum Target {
    /// A running daemon's.
    Running(Admin),
    /// A stopped daemon's: the folder of its log.
    Stopped(PathBuf),
}

impl Target {
    /// Every cursor.
    ///
    /// # Errors
    /// Neither a daemon nor a store is there, or the store is in use.
    pub fn list(&self) -> Result<Vec<Value>, Failed> {
        match self {
            Self::Running(admin) => match admin.get("cursors")? {
                Value::Array(list) => Ok(list),
                other => Err(Failed::new(format!("unexpected answer: {other}"))),
            },
            Self::Stopped(dir) => {
                let snapshot = cursor_snapshot(dir)?;
                snapshot.cursors.iter().map(|c| to_value(&cursor_view(c, snapshot.visible_seq.0))).collect()
            }
        }
    }

    /// One cursor.
    ///
    /// # Errors
    /// As [`Target::list`]; or there is no such cursor.
    pub fn show(&self, name: &str) -> Result<Value, Failed> {
        match self {
            Self::Running(admin) => admin.get(&format!("cursors/{}", segment(name))),
            Self::Stopped(_) => {
                let list = self.list()?;
                let names: Vec<String> = list.iter().map(|c| text(c, "name")).collect();
                list.into_iter().find(|c| text(c, "name") == name).ok_or_else(|| unknown(name, &names))
            }
        }
    }

    /// Creates a cursor at an address.
    ///
    /// # Errors
    /// The name is taken or unfit, the address leads nowhere, the store is in use.
    pub fn create(&self, name: &str, start: &Address) -> Result<Value, Failed> {
        match self {
            Self::Running(admin) => admin.post("cursors", &json!({ "name": name, "start": start })),
            Self::Stopped(dir) => changing(dir, |store| {
                check_name(name).map_err(Failed::usage)?;
                let acked = start.resolve(store)?.prev();
                let state = store.cursors().create(name, acked, CursorOptions::default())?;
                to_value(&cursor_view(&state, store.positions().visible_seq.0))
            }),
        }
    }

    /// Deletes a cursor.
    ///
    /// # Errors
    /// There is no such cursor, it belongs to a delivery of the running config, or the store is in use.
    pub fn delete(&self, name: &str) -> Result<Value, Failed> {
        match self {
            Self::Running(admin) => admin.delete(&format!("cursors/{}", segment(name))),
            Self::Stopped(dir) => changing(dir, |store| {
                store.cursors().delete(name)?;
                Ok(json!({ "deleted": name }))
            }),
        }
    }

    /// Pauses or resumes a cursor.
    ///
    /// # Errors
    /// There is no such cursor, or the store is in use.
    pub fn set_paused(&self, name: &str, paused: bool) -> Result<Value, Failed> {
        let verb = if paused { "pause" } else { "resume" };
        match self {
            Self::Running(admin) => admin.post(&format!("cursors/{}/{verb}", segment(name)), &json!({})),
            Self::Stopped(dir) => changing(dir, |store| {
                let cursors = store.cursors();
                let state = if paused { cursors.pause(name)? } else { cursors.resume(name)? };
                to_value(&cursor_view(&state, store.positions().visible_seq.0))
            }),
        }
    }

    /// Lets a parked table be delivered again.
    ///
    /// # Errors
    /// There is no such cursor, the table is not parked, or the store is in use.
    pub fn release(&self, name: &str, table: &str) -> Result<Value, Failed> {
        match self {
            Self::Running(admin) => {
                admin.post(&format!("cursors/{}/release", segment(name)), &json!({ "table": table }))
            }
            Self::Stopped(_) => {
                Err(Failed::usage("release works on a running relay, which replays the table: give --admin URL"))
            }
        }
    }

    /// Moves a cursor to an address, or says what that would replay.
    ///
    /// # Errors
    /// There is no such cursor, the address lies outside the log, the cursor moved meanwhile, the store is in use.
    pub fn reset(&self, name: &str, to: &Address, dry_run: bool, expected: Option<u64>) -> Result<Value, Failed> {
        match self {
            Self::Running(admin) => {
                let body = json!({ "to": to, "dry_run": dry_run, "expected_epoch": expected });
                admin.post(&format!("cursors/{}/reset", segment(name)), &body)
            }
            Self::Stopped(dir) => changing(dir, |store| {
                let expected = expected.and_then(|e| u32::try_from(e).ok());
                let reset = reset_cursor(store, name, to, dry_run, expected).map_err(|e| Failed::new(e.to_string()))?;
                to_value(&reset)
            }),
        }
    }
}

fn unknown(name: &str, names: &[String]) -> Failed {
    let known = if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) };
    Failed::new(format!("no cursor {name:?}: {known}"))
}

/// Opens a stopped store for a change. Nothing is created where no store is, and nothing is trimmed.
fn changing(dir: &Path, act: impl FnOnce(&Store) -> Result<Value, Failed>) -> Result<Value, Failed> {
    drop(ReadOnlyLog::open(dir)?);
    let store = Store::open(dir, StoreOptions::default())?;
    let result = act(&store);
    store.close();
    result
}

fn to_value(value: &impl serde::Serialize) -> Result<Value, Failed> {
    serde_json::to_value(value).map_err(|e| Failed::new(e.to_string()))
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_default()
}

/// Prints cursors for people, each problem with its next step below.
///
/// # Errors
/// The output fails.
pub fn print_list(list: &[Value]) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    if list.is_empty() {
        writeln!(out, "no cursors")?;
        return Ok(());
    }
    let mut table = Table::new(&["cursor", "state", ">acked seq", ">behind", ">lag", ">holds", "parked"]);
    for c in list {
        let lag = c.get("lag_seconds").and_then(Value::as_f64).map_or("-".to_owned(), seconds);
        let parked = c.get("parked").and_then(Value::as_array).map_or(0, Vec::len);
        table.row(vec![
            text(c, "name"),
            text(c, "state"),
            number(c, "acked_seq").to_string(),
            count(number(c, "lag_entries")),
            lag,
            bytes(number(c, "holds_bytes")),
            if parked == 0 { String::new() } else { format!("{parked} tables") },
        ]);
    }
    write!(out, "{}", table.print())?;
    for c in list {
        for line in advice(c) {
            writeln!(out, "{}: {}", neutral(&text(c, "name")), neutral(&line))?;
        }
    }
    Ok(())
}

/// What an operator should know or do about a cursor.
fn advice(c: &Value) -> Vec<String> {
    let name = text(c, "name");
    let mut lines = Vec::new();
    if let Some(lost) = c.get("lost").and_then(Value::as_str) {
        lines.push(format!("lost: {lost}; relay-cursor reset {name} --to earliest goes on behind the gap"));
    }
    if let Some(problem) = c.get("problem").filter(|p| !p.is_null()) {
        let step = text(problem, "next_step");
        let step = if step.is_empty() { format!("then relay-cursor resume {name}") } else { step };
        lines.push(format!("{}; {step}", text(problem, "reason")));
    }
    for p in c.get("parked").and_then(Value::as_array).into_iter().flatten() {
        let table = text(p, "table");
        lines.push(format!(
            "table {table} is parked from seq {} on: {}; relay-cursor release {name} --table {table} when it is mended",
            number(p, "first_seq"),
            text(p, "reason")
        ));
    }
    if let Some(notice) = c.get("notice").and_then(Value::as_str) {
        lines.push(notice.to_owned());
    }
    if c.get("restored").and_then(Value::as_bool) == Some(true) {
        lines.push("rebuilt after damage: it may stand behind the truth and repeat".to_owned());
    }
    lines
}

/// Prints one cursor for people.
///
/// # Errors
/// The output fails.
pub fn print_one(c: &Value) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    let mut line = |label: &str, value: String| writeln!(out, "{label:<12} {}", neutral(&value));
    line("cursor", text(c, "name"))?;
    line("state", text(c, "state"))?;
    line("acked seq", number(c, "acked_seq").to_string())?;
    line("epoch", number(c, "epoch").to_string())?;
    line("behind", format!("{} entries", count(number(c, "lag_entries"))))?;
    if let Some(lag) = c.get("lag_seconds").and_then(Value::as_f64) {
        line("lag", seconds(lag))?;
    }
    if let Some(headroom) = c.get("headroom_seconds").and_then(Value::as_f64) {
        line("headroom", seconds(headroom))?;
    }
    line("holds", bytes(number(c, "holds_bytes")))?;
    line("retention", text(c, "lagging_cursor"))?;
    line(
        "in flight",
        format!("{} records, {}", count(number(c, "in_flight_records")), bytes(number(c, "in_flight_bytes"))),
    )?;
    for advice in advice(c) {
        line("note", advice)?;
    }
    Ok(())
}

/// Says what a reset did, or would do.
///
/// # Errors
/// The output fails.
pub fn print_reset(reset: &Value) -> Result<(), Failed> {
    let mut out = std::io::stdout().lock();
    let (from, to) = (number(reset, "from_acked_seq"), number(reset, "to_acked_seq"));
    let (name, done) = (text(reset, "name"), reset.get("done").and_then(Value::as_bool) == Some(true));
    let verb = if done { "moved" } else { "would move" };
    writeln!(out, "cursor {} {verb} from seq {from} to seq {to}", neutral(&name))?;
    let replay = reset.get("replay").cloned().unwrap_or_default();
    let skipped = number(reset, "skipped_entries");
    if to < from {
        writeln!(
            out,
            "{} again: {} transactions, {} rows, {}",
            if done { "delivered" } else { "would be delivered" },
            count(number(&replay, "transactions")),
            count(number(&replay, "rows")),
            bytes(number(&replay, "bytes"))
        )?;
        let mut table = Table::new(&["table", ">rows", ">bytes"]);
        for (name, t) in replay.get("tables").and_then(Value::as_object).into_iter().flatten() {
            let rows = number(t, "inserts") + number(t, "updates") + number(t, "deletes");
            table.row(vec![name.clone(), count(rows), bytes(number(t, "bytes"))]);
        }
        write!(out, "{}", table.print())?;
    } else if skipped > 0 {
        writeln!(out, "{} entries {} never be delivered", count(skipped), if done { "will" } else { "would" })?;
    } else {
        writeln!(out, "it stands there already")?;
    }
    Ok(())
}

/// Asks on the terminal. No terminal, no answer: then --yes must be given.
///
/// # Errors
/// Nobody can be asked.
pub fn confirm(question: &str) -> Result<bool, Failed> {
    if !std::io::stdin().is_terminal() {
        return Err(Failed::usage("nobody can be asked here: give --yes to do it, or --dry-run to see it only"));
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| Failed::new(format!("read the answer: {e}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
