//! `relay-dump`: what the log holds. Read-only, from the files alone, up to the mark that the writer published last.

mod entries;
mod rows;
mod stats;
mod summary;
mod verify;

use std::io::{BufWriter, IsTerminal, Stdout, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use relay::log::address::Address;
use relay::selection::TablePatterns;
use relay_store::{Gap, GapReason, ReadOnlyLog, Reader, Seq};
use serde_json::json;

use crate::ended::Ended;
use crate::escape::{Plain, json_for_terminal};
use crate::place::{self, Stretch};

/// Print the durable log of a relay, running or not. Only reads.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "An ADDR is earliest, latest, seq:N, time:2026-01-31T08:00:00Z, gtid:SET or \
file:mysql-bin.000003:4.\nExit codes: 0 done, 1 failed, 2 wrong usage, 4 the log is damaged."
)]
pub struct Arguments {
    /// The log's folder: log.dir of the config
    dir: PathBuf,
    /// Where to begin [default: earliest]
    #[arg(long, value_name = "ADDR")]
    from: Option<Address>,
    /// Where to stop: behind seq:N; before what any other address names [default: the end]
    #[arg(long, value_name = "ADDR")]
    to: Option<Address>,
    /// Only these tables; may be given more than once; * and % stand for any text
    #[arg(long = "table", value_name = "DB.TABLE")]
    tables: Vec<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Summary)]
    format: Format,
    /// Print totals instead: by table, day and segment
    #[arg(long, conflicts_with_all = ["verify", "follow", "format"])]
    stats: bool,
    /// Check every byte of the whole log instead; exits 4 when it is damaged
    #[arg(long, conflicts_with_all = ["follow", "format", "from", "to", "tables"])]
    verify: bool,
    /// Go on with what is written from now on, until interrupted
    #[arg(long, conflicts_with = "to")]
    follow: bool,
    /// One JSON object a line, or one in all for --stats and --verify
    #[arg(long)]
    json: bool,
    /// Time zone of TIMESTAMP columns
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timestamp_zone: String,
}

/// What is printed of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line a transaction: seqs, time, GTID, rows by table
    Summary,
    /// One line a row: names and values, before and after
    Rows,
    /// Canal JSON, as a delivery writes it
    Json,
    /// The raw events
    Hex,
}

/// Runs it.
///
/// # Errors
/// How it ends when not well.
pub fn run(arguments: &Arguments) -> Result<(), Ended> {
    let tables = TablePatterns::parse(&arguments.tables).map_err(Ended::usage)?;
    let log = place::open_log(&arguments.dir)?;
    if arguments.verify {
        return verify::run(&log, arguments.json);
    }
    let stretch = place::stretch(&log, arguments.from.as_ref(), arguments.to.as_ref())?;
    let tables = (!arguments.tables.is_empty()).then_some(tables);
    let mut out = Output::new(arguments.json);
    if arguments.stats {
        stats::run(&log, stretch, tables.as_ref(), &mut out)?;
        return out.close();
    }
    if stretch.last < stretch.first && !arguments.follow {
        let what = if log.positions().visible_seq < log.positions().first_seq {
            "the log is empty"
        } else {
            "nothing lies there"
        };
        eprintln!("relay-dump: {what} (seqs {} to {})", log.positions().first_seq, log.positions().visible_seq);
        return Ok(());
    }
    let mut printer: Box<dyn Printer> = match arguments.format {
        Format::Summary => Box::new(summary::Summary::new(tables)),
        Format::Hex => Box::new(entries::Hex::new(tables)),
        Format::Rows => Box::new(rows::Rows::new(tables, zone(&arguments.timestamp_zone)?, rows::Shape::Rows)),
        Format::Json => Box::new(rows::Rows::new(tables, zone(&arguments.timestamp_zone)?, rows::Shape::Canal)),
    };
    print(&log, stretch, arguments.follow, printer.as_mut(), &mut out)?;
    out.close()
}

fn zone(name: &str) -> Result<jiff::tz::TimeZone, Ended> {
    jiff::tz::TimeZone::get(name)
        .map_err(|_| Ended::usage(format_args!("no time zone is called {name:?}: write UTC or Europe/Berlin")))
}

/// One way to print the log.
trait Printer {
    /// Prints from `from` to `to` as far as the log goes; gives the seq to go on from.
    fn print(&mut self, reader: &mut Reader, from: Seq, to: Seq, out: &mut Output) -> Result<Seq, Ended>;

    /// Nothing comes behind what was printed.
    fn end(&mut self, _out: &mut Output) -> Result<(), Ended> {
        Ok(())
    }
}

/// How often the end of the log is looked at again. A group is published every few milliseconds at the most; a person
/// sees no difference.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

fn print(
    log: &ReadOnlyLog,
    stretch: Stretch,
    follow: bool,
    printer: &mut dyn Printer,
    out: &mut Output,
) -> Result<(), Ended> {
    let mut reader = log.reader();
    let last = if follow { Seq(u64::MAX) } else { stretch.last };
    let mut next = printer.print(&mut reader, stretch.first, last, out)?;
    if !follow {
        return printer.end(out);
    }
    loop {
        out.flush()?;
        std::thread::sleep(FOLLOW_EVERY);
        next = printer.print(&mut reader, next, last, out)?;
    }
}

/// Whether a gap is one that should not be; what retention took is gone by order.
fn is_damage(gap: &Gap) -> bool {
    matches!(gap.reason, GapReason::Damaged { .. })
}

/// Why a range cannot be read, without the range.
fn reason(gap: &Gap) -> String {
    let text = gap.to_string();
    text.split_once(": ").map_or(text.clone(), |(_, reason)| reason.to_owned())
}

/// Standard output, and what is to be said of it at the end.
struct Output {
    out: BufWriter<Stdout>,
    /// One JSON object a line.
    json: bool,
    /// Escape more in JSON, because a terminal shows it.
    terminal: bool,
    /// Ranges that do not verify were met.
    damaged: u64,
    /// Entries that could not be decoded were met.
    undecodable: u64,
}

impl Output {
    fn new(json: bool) -> Self {
        let out = std::io::stdout();
        let terminal = out.is_terminal();
        Self { out: BufWriter::with_capacity(1 << 16, out), json, terminal, damaged: 0, undecodable: 0 }
    }

    /// A line of text, in which every part that comes from the source is escaped already.
    fn line(&mut self, line: std::fmt::Arguments<'_>) -> Result<(), Ended> {
        self.out.write_fmt(line)?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// A line of JSON.
    fn json_line(&mut self, json: &str) -> Result<(), Ended> {
        let shown = if self.terminal { json_for_terminal(json) } else { json.into() };
        self.out.write_all(shown.as_bytes())?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// Names a range that cannot be read.
    fn gap(&mut self, gap: &Gap) -> Result<(), Ended> {
        self.damaged += u64::from(is_damage(gap));
        if self.json {
            let gap = json!({ "gap": { "first_seq": gap.first.0, "last_seq": gap.last.0, "reason": reason(gap) } });
            return self.json_line(&gap.to_string());
        }
        self.line(format_args!("GAP  {}", Plain(&gap.to_string())))
    }

    fn flush(&mut self) -> Result<(), Ended> {
        Ok(self.out.flush()?)
    }

    /// Ends the output, and well only if all of the log could be read.
    fn close(mut self) -> Result<(), Ended> {
        self.flush()?;
        match (self.damaged, self.undecodable) {
            (0, 0) => Ok(()),
            (0, n) => Err(Ended::failed(format_args!("{n} entries could not be decoded; each is named in the output"))),
            (n, _) => Err(Ended::damaged(format_args!("{n} damaged ranges were left out; --verify names all of them"))),
        }
    }
}
