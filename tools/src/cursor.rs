//! `relay-cursor`: shows and moves the cursors of a running relay, by its API, or of a stopped one, in its store.

mod admin;
mod show;
mod target;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use relay::log::address::Address;
use serde_json::Value;

use crate::ended::Ended;
use crate::escape::{Plain, json_for_terminal};
use admin::Admin;
use target::Target;

/// Show and move the cursors of a relay, running or stopped.
#[derive(Debug, Parser)]
#[command(
    name = "relay-cursor",
    version,
    about,
    after_help = "An ADDR is earliest, latest, seq:N, \
time:2026-01-31T08:00:00Z, gtid:SET or file:mysql-bin.000003:4.\nExit codes: 0 done, 1 failed, 2 wrong usage, 4 the \
log is damaged."
)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Place {
    /// The log's folder, of a stopped relay: log.dir of its config
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "admin")]
    store: Option<PathBuf>,
    /// The API of a running relay [default: http://127.0.0.1:7070]
    #[arg(long, global = true, value_name = "URL")]
    admin: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every cursor: where it stands, how far behind, what it needs
    List,
    /// One cursor
    Show {
        /// Its name: that of its delivery
        name: String,
    },
    /// Create a cursor; a delivery of that name takes it up
    Create {
        /// Its name
        name: String,
        /// What it delivers first
        #[arg(long, value_name = "ADDR", default_value = "earliest")]
        start: Address,
    },
    /// Delete a cursor and let go of what it holds
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Pause its delivery; the log keeps what is not delivered
    Pause {
        /// Its name
        name: String,
    },
    /// Resume its delivery, whether paused, parked or failed
    Resume {
        /// Its name
        name: String,
    },
    /// Deliver a parked table again, from its first undelivered entry on
    Release {
        /// The cursor's name
        name: String,
        /// The parked table
        #[arg(long, value_name = "DB.TABLE")]
        table: String,
    },
    /// Move a cursor: shows what would be delivered again, and asks
    Reset {
        /// Its name
        name: String,
        /// What it delivers next
        #[arg(long, value_name = "ADDR")]
        to: Address,
        /// Do not ask
        #[arg(long, conflicts_with = "dry_run")]
        yes: bool,
        /// Only show
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs it.
///
/// # Errors
/// How it ends when not well.
pub fn run(arguments: &Arguments) -> Result<(), Ended> {
    let target = match (&arguments.place.store, &arguments.place.admin) {
        (Some(dir), _) => Target::Stopped(dir.clone()),
        (None, url) => Target::Running(Admin::new(url.as_deref().unwrap_or(admin::DEFAULT_URL))?),
    };
    let json = arguments.json;
    let one = |cursor: Value| print(&cursor, json, show::one);
    match &arguments.command {
        Command::List => print(&Value::Array(target.list()?), json, |list| {
            show::list(list.as_array().map(Vec::as_slice).unwrap_or_default())
        }),
        Command::Show { name } => one(target.show(name)?),
        Command::Create { name, start } => one(target.create(name, start)?),
        Command::Pause { name } => one(target.set_paused(name, true)?),
        Command::Resume { name } => one(target.set_paused(name, false)?),
        Command::Release { name, table } => one(target.release(name, table)?),
        Command::Delete { name, yes } => {
            let cursor = target.show(name)?;
            if !yes {
                confirm(&format!("delete cursor {name}, which stands behind seq {}?", number(&cursor, "acked_seq")))?;
            }
            print(&target.delete(name)?, json, |_| format!("cursor {} is deleted\n", Plain(name)))
        }
        Command::Reset { name, to, dry_run: true, .. } => print(&target.dry_run(name, to)?, json, show::reset),
        Command::Reset { name, to, yes: true, .. } => print(&target.reset(name, to, None)?, json, show::reset),
        Command::Reset { name, to, .. } => {
            let shown = target.dry_run(name, to)?;
            // On standard error: a reader of the output gets what was done, once.
            eprint!("{}", show::reset(&shown));
            confirm("reset it?")?;
            // What was shown is what is done: a cursor that was reset meanwhile refuses.
            print(&target.reset(name, to, shown["epoch"].as_u64())?, json, show::reset)
        }
    }
}

/// Prints an answer, for machines or for people.
fn print(value: &Value, json: bool, text: impl FnOnce(&Value) -> String) -> Result<(), Ended> {
    let mut out = std::io::stdout();
    if !json {
        return Ok(out.write_all(text(value).as_bytes())?);
    }
    let line = value.to_string();
    let shown = if out.is_terminal() { json_for_terminal(&line) } else { line.as_str().into() };
    Ok(writeln!(out, "{shown}")?)
}

/// Asks on the terminal.
///
/// # Errors
/// The answer is no, or nobody can be asked.
fn confirm(question: &str) -> Result<(), Ended> {
    if !std::io::stdin().is_terminal() {
        return Err(Ended::usage("nothing was changed: nobody can be asked here; give --yes to do it"));
    }
    eprint!("{} [y/N] ", Plain(question));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|e| Ended::failed(format_args!("read the answer: {e}")))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Ended::failed("nothing was changed")),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or_default()
}
