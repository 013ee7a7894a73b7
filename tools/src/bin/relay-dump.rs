//! Prints the log of a live or stopped store, counts it, verifies it, follows it. Read-only.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use relay::log::address::Address;
use relay_store::ReadOnlyLog;
use relay_tools::dump::{self, Format, Selection};
use relay_tools::end::{EXIT_CODES, Failed, finish};

const ADDRESSES: &str =
    "ADDR: earliest | latest | seq:N | time:2026-01-31T08:00:00Z | gtid:SET | file:mysql-bin.000003:4";

/// Print the log of a live or stopped store; read-only, up to what is durable and visible
#[derive(Parser)]
#[command(name = "relay-dump", version, after_help = format!("{ADDRESSES}\n{EXIT_CODES}"))]
struct Arguments {
    /// The log's folder
    dir: PathBuf,
    /// Where to begin
    #[arg(long, value_name = "ADDR", default_value = "earliest")]
    from: Address,
    /// Where to end, not included
    #[arg(long, value_name = "ADDR")]
    to: Option<Address>,
    /// Only these tables (db.table, with * and ?; ! in front leaves out); can be repeated
    #[arg(long = "table", value_name = "PATTERN")]
    tables: Vec<String>,
    /// What to print of each entry
    #[arg(long, value_enum, default_value = "summary")]
    format: Format,
    /// Zone in which TIMESTAMP values are printed
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timestamp_zone: String,
    /// Count transactions, rows and bytes by table instead
    #[arg(long, conflicts_with_all = ["verify", "follow"])]
    stats: bool,
    /// Read everything against its checksums instead; exits 4 when damage is found
    #[arg(long, conflicts_with = "follow")]
    verify: bool,
    /// Go on with what is still to come
    #[arg(long, conflicts_with = "to")]
    follow: bool,
    /// Print JSON: with --stats and --verify one object, else as --format json
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    finish("relay-dump", run(Arguments::parse()))
}

fn run(args: Arguments) -> Result<(), Failed> {
    let log = ReadOnlyLog::open(&args.dir)?;
    let selection = Selection::new(&log, &args.from, args.to.as_ref(), &args.tables, args.follow)?;
    if args.stats {
        return dump::stats(&log, &selection, args.json);
    }
    if args.verify {
        return dump::verify(&log, &selection, args.json);
    }
    let zone = jiff::tz::TimeZone::get(&args.timestamp_zone)
        .map_err(|_| Failed::usage(format!("--timestamp-zone {}: no such zone", args.timestamp_zone)))?;
    let format = if args.json { Format::Json } else { args.format };
    dump::print(&log, &selection, format, zone, args.follow)
}
