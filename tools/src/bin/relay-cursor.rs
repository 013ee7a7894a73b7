//! Shows and moves the cursors of a running or a stopped relay.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use relay::log::address::Address;
use relay_tools::admin::Admin;
use relay_tools::cursor::{Target, confirm, print_list, print_one, print_reset};
use relay_tools::end::{EXIT_CODES, Failed, finish};
use serde_json::{Value, json};

const NOTES: &str = "ADDR: earliest | latest | seq:N | time:2026-01-31T08:00:00Z | gtid:SET | file:mysql-bin.000003:4\n\
                     Without --store and --admin: the relay at http://127.0.0.1:7070.";

/// Show and move cursors
#[derive(Parser)]
#[command(name = "relay-cursor", version, after_help = format!("{NOTES}\n{EXIT_CODES}"))]
struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Place {
    /// The log's folder, of a stopped relay
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "admin")]
    store: Option<PathBuf>,
    /// The API of a running relay
    #[arg(long, global = true, value_name = "URL")]
    admin: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Every cursor, with what it needs
    List,
    /// One cursor
    Show { name: String },
    /// Create a cursor; a delivery of that name takes it up
    Create {
        name: String,
        /// Where it begins
        #[arg(long, value_name = "ADDR", default_value = "earliest")]
        start: Address,
    },
    /// Delete a cursor and let go what it holds
    Delete {
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Pause its delivery; the log keeps what it has not delivered
    Pause { name: String },
    /// Resume its delivery: paused, parked or failed
    Resume { name: String },
    /// Deliver a parked table again, from its first undelivered entry on
    Release {
        name: String,
        /// The table, as database.table
        #[arg(long, value_name = "DB.TABLE")]
        table: String,
    },
    /// Move a cursor: shows what would be delivered again, and asks
    Reset {
        name: String,
        /// Where it goes on
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

fn main() -> ExitCode {
    finish("relay-cursor", run(Arguments::parse()))
}

fn run(args: Arguments) -> Result<(), Failed> {
    let target = match (args.place.store, args.place.admin) {
        (Some(dir), _) => Target::Stopped(dir),
        (None, admin) => Target::Running(Admin::new(admin.as_deref().unwrap_or("http://127.0.0.1:7070"))?),
    };
    let json = args.json;
    let one = |value: Value| if json { print_json(&value) } else { print_one(&value) };
    match args.command {
        Command::List => {
            let list = target.list()?;
            if json { print_json(&Value::Array(list)) } else { print_list(&list) }
        }
        Command::Show { name } => one(target.show(&name)?),
        Command::Create { name, start } => one(target.create(&name, &start)?),
        Command::Pause { name } => one(target.set_paused(&name, true)?),
        Command::Resume { name } => one(target.set_paused(&name, false)?),
        Command::Release { name, table } => one(target.release(&name, &table)?),
        Command::Delete { name, yes } => {
            let cursor = target.show(&name)?;
            if !yes && !confirm(&format!("delete cursor {name}, at seq {}?", cursor["acked_seq"]))? {
                return Err(Failed::new("nothing was changed"));
            }
            let deleted = target.delete(&name)?;
            if json { print_json(&deleted) } else { print_json(&json!({ "deleted": name })) }
        }
        Command::Reset { name, to, yes, dry_run } => reset(&target, &name, &to, yes, dry_run, json),
    }
}

fn reset(target: &Target, name: &str, to: &Address, yes: bool, dry_run: bool, json: bool) -> Result<(), Failed> {
    if yes {
        let done = target.reset(name, to, false, None)?;
        return if json { print_json(&done) } else { print_reset(&done) };
    }
    let shown = target.reset(name, to, true, None)?;
    if dry_run {
        return if json { print_json(&shown) } else { print_reset(&shown) };
    }
    print_reset(&shown)?;
    if !confirm("reset it?")? {
        return Err(Failed::new("nothing was changed"));
    }
    // What was shown is what is done: a cursor that was reset meanwhile refuses.
    let done = target.reset(name, to, false, shown["epoch"].as_u64())?;
    if json { print_json(&done) } else { print_reset(&done) }
}

fn print_json(value: &Value) -> Result<(), Failed> {
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "{value}")?;
    Ok(())
}
