//! What `relay-dump` does: prints, counts and verifies the log of a live or stopped store, read-only.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use relay::log::address::Address;
use relay::log::tally::Tally;
use relay::log::walk::{View, Visit, walk};
use relay::selection::TablePatterns;
use relay_store::{Gap, GapReason, Read, ReadError, ReadOnlyLog, Seq};

use crate::end::Failed;
use crate::print::{Table, bytes, count, neutral, time};
use crate::render::{RowWriter, Shape};

/// How often a log that is followed is looked at.
const FOLLOW_POLL: Duration = Duration::from_millis(200);
/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// Bytes of an entry on one line of a hex dump.
const HEX_WIDTH: usize = 16;

/// What is printed of each entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line an entry: what it is, where it comes from, how large
    Summary,
    /// A line a row, with its values
    Rows,
    /// Canal JSON, a message a row
    Json,
    /// The bytes of each entry
    Hex,
}

/// Which part of the log, and of which tables.
pub struct Selection {
    /// The first seq.
    pub from: Seq,
    /// The last one; what comes later is left out, also when following.
    pub to: Seq,
    /// The tables whose rows are shown.
    pub tables: TablePatterns,
    /// Whether tables were named, so that entries of no table are left out.
    pub only_tables: bool,
}

impl Selection {
    /// Looks up addresses: from `from` up to, and without, `to`.
    ///
    /// # Errors
    /// An address outside the log; patterns that are none.
    pub fn new(
        log: &ReadOnlyLog,
        from: &Address,
        to: Option<&Address>,
        tables: &[String],
        follow: bool,
    ) -> Result<Self, Failed> {
        let from_seq = from.resolve(log)?;
        let to_seq = match to {
            Some(to) => to.resolve(log)?.prev(),
            None if follow => Seq(u64::MAX),
            None => log.positions().visible_seq,
        };
        let patterns = TablePatterns::parse(tables).map_err(|e| Failed::usage(e.to_string()))?;
        Ok(Self { from: from_seq, to: to_seq, tables: patterns, only_tables: !tables.is_empty() })
    }

    fn shows(&self, view: &View<'_>) -> bool {
        match view.table {
            Some((database, table)) => self.tables.matches(database, table),
            None => !self.only_tables,
        }
    }
}

/// Prints entries, and goes on for ever when told to follow.
///
/// # Errors
/// The output or the log fails.
pub fn print(
    log: &ReadOnlyLog,
    selection: &Selection,
    format: Format,
    zone: jiff::tz::TimeZone,
    follow: bool,
) -> Result<(), Failed> {
    let stdout = std::io::stdout();
    let terminal = stdout.is_terminal();
    let mut out = std::io::BufWriter::new(stdout.lock());
    let mut next = selection.from;
    let mut failures = 0;
    loop {
        next = match format {
            Format::Summary | Format::Hex => print_entries(log, selection, next, format, &mut out)?,
            Format::Rows | Format::Json => {
                let shape = if format == Format::Json { Shape::Json } else { Shape::Text };
                let mut writer = RowWriter::new(&mut out, shape, &selection.tables, zone.clone(), terminal);
                let next = print_rows(log, selection, next, &mut writer)?;
                failures += writer.failures;
                next
            }
        };
        out.flush()?;
        if !follow || next > selection.to {
            break;
        }
        std::thread::sleep(FOLLOW_POLL);
        log.refresh().map_err(|e| Failed::new(e.to_string()))?;
    }
    if failures > 0 {
        return Err(Failed::new(format!("{failures} entries could not be decoded; they are named in the output")));
    }
    Ok(())
}

fn print_entries(
    log: &ReadOnlyLog,
    selection: &Selection,
    from: Seq,
    format: Format,
    out: &mut impl Write,
) -> Result<Seq, Failed> {
    let mut problem = None;
    let next = walk(&mut log.reader(), from, selection.to, &mut |visit| {
        let written = match visit {
            Visit::Entry(view) if selection.shows(&view) => match format {
                Format::Hex => write_hex(out, &view),
                _ => write_summary(out, &view),
            },
            Visit::Gap(gap) => writeln!(out, "-- {}", neutral(&gap.to_string())),
            Visit::Commit { first, last, time_us } if !selection.only_tables && format == Format::Summary => {
                writeln!(out, "-- transaction seq {first} to {last}, committed {}", time(time_us))
            }
            _ => Ok(()),
        };
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                problem = Some(e);
                ControlFlow::Break(())
            }
        }
    })
    .map_err(|e| Failed::new(e.to_string()))?;
    problem.map_or(Ok(next), |e| Err(e.into()))
}

fn write_summary(out: &mut impl Write, view: &View<'_>) -> std::io::Result<()> {
    let header = &view.entry.header;
    let place = format!("{}:{}", view.file, header.source_pos);
    write!(
        out,
        "{:>10}  {}  {:<18}  {:>9}  {}",
        view.entry.seq.0,
        time(header.received_us),
        view.kind_name(),
        bytes(view.entry.body.len() as u64),
        neutral(&place),
    )?;
    if let Some((database, table)) = view.table {
        write!(out, "  {}.{}", neutral(database), neutral(table))?;
    }
    if let Some((_, rows)) = view.rows {
        write!(out, "  {} {}", count(rows), if rows == 1 { "row" } else { "rows" })?;
    }
    if !view.visible {
        write!(out, "  (never delivered)")?;
    }
    if let Some(problem) = &view.problem {
        write!(out, "  !! {}", neutral(problem))?;
    }
    writeln!(out)
}

fn write_hex(out: &mut impl Write, view: &View<'_>) -> std::io::Result<()> {
    write_summary(out, view)?;
    for (i, line) in view.entry.body.chunks(HEX_WIDTH).enumerate() {
        write!(out, "{:08x} ", i * HEX_WIDTH)?;
        for b in line {
            write!(out, " {b:02x}")?;
        }
        let pad = "   ".repeat(HEX_WIDTH - line.len());
        let text: String = line.iter().map(|b| if (0x20..0x7f).contains(b) { *b as char } else { '.' }).collect();
        writeln!(out, "{pad}  {text}")?;
    }
    Ok(())
}

fn print_rows<W: Write>(
    log: &ReadOnlyLog,
    selection: &Selection,
    from: Seq,
    writer: &mut RowWriter<'_, W>,
) -> Result<Seq, Failed> {
    let mut reader = log.reader();
    let mut next = from;
    while next <= selection.to {
        match reader.read(next).map_err(|e| Failed::new(e.to_string()))? {
            Read::CaughtUp => break,
            Read::Gap(gap) => {
                writer.note(&gap.to_string())?;
                next = gap.last.next().max(next.next());
            }
            Read::Block(raw) => {
                let last = raw.last_seq();
                match raw.decode() {
                    Ok(block) => writer.block(&block, selection.to.0, &mut reader)?,
                    Err(ReadError::Gap(gap)) => writer.note(&gap.to_string())?,
                    Err(e) => return Err(Failed::new(e.to_string())),
                }
                next = last.next();
            }
        }
    }
    Ok(next)
}

/// Counts what the selection holds, and prints it.
///
/// # Errors
/// The output or the log fails.
pub fn stats(log: &ReadOnlyLog, selection: &Selection, json: bool) -> Result<(), Failed> {
    let mut tally = Tally::default();
    let mut times: Option<(u64, u64)> = None;
    walk(&mut log.reader(), selection.from, selection.to, &mut |visit| {
        match &visit {
            Visit::Entry(view) if !selection.shows(view) => return ControlFlow::Continue(()),
            Visit::Commit { time_us, .. } => {
                let (first, last) = times.unwrap_or((*time_us, *time_us));
                times = Some((first.min(*time_us), last.max(*time_us)));
            }
            _ => {}
        }
        tally.add(&visit);
        ControlFlow::Continue(())
    })
    .map_err(|e| Failed::new(e.to_string()))?;
    let (positions, segments) = (log.positions(), log.segments());
    let size: u64 = segments.iter().map(|s| s.bytes).sum();
    let mut out = std::io::stdout().lock();
    if json {
        let text = serde_json::json!({
            "from_seq": selection.from.0,
            "to_seq": selection.to.0,
            "first_seq": positions.first_seq.0,
            "visible_seq": positions.visible_seq.0,
            "log_epoch": positions.log_epoch.0,
            "segments": segments.len(),
            "bytes_on_disk": size,
            "first_commit_us": times.map(|t| t.0),
            "last_commit_us": times.map(|t| t.1),
            "counts": tally,
        });
        writeln!(out, "{text}")?;
        return Ok(());
    }
    writeln!(
        out,
        "log          seq {} to {}, {} segments, {} on disk",
        positions.first_seq,
        positions.visible_seq,
        count(segments.len() as u64),
        bytes(size)
    )?;
    writeln!(out, "counted      seq {} to {}", selection.from, selection.to.min(positions.visible_seq))?;
    writeln!(out, "transactions {}", count(tally.transactions))?;
    writeln!(out, "entries      {}, {}", count(tally.entries), bytes(tally.bytes))?;
    writeln!(out, "rows         {}", count(tally.rows))?;
    if let Some((first, last)) = times {
        writeln!(out, "committed    {} to {}", time(first), time(last))?;
    }
    if tally.missing_entries > 0 {
        writeln!(out, "missing      {} entries", count(tally.missing_entries))?;
    }
    if tally.undecodable_entries > 0 {
        writeln!(out, "undecodable  {} entries", count(tally.undecodable_entries))?;
    }
    if !tally.tables.is_empty() {
        writeln!(out)?;
        write!(out, "{}", tables(&tally))?;
    }
    Ok(())
}

/// Counts by table, aligned.
pub fn tables(tally: &Tally) -> String {
    let mut table = Table::new(&["table", ">inserts", ">updates", ">deletes", ">bytes"]);
    for (name, t) in &tally.tables {
        table.row(vec![name.clone(), count(t.inserts), count(t.updates), count(t.deletes), bytes(t.bytes)]);
    }
    table.print()
}

/// Reads and checks everything the selection holds, showing progress on a terminal.
///
/// # Errors
/// Damage, each range of it named on standard output; an output or a log that fails.
pub fn verify(log: &ReadOnlyLog, selection: &Selection, json: bool) -> Result<(), Failed> {
    let end = selection.to.min(log.positions().visible_seq);
    let mut progress = Progress::new(selection.from, end);
    let mut found: Vec<String> = log.damage().iter().map(describe).collect();
    let mut tally = Tally::default();
    let mut problems = Vec::new();
    walk(&mut log.reader(), selection.from, end, &mut |visit| {
        match &visit {
            Visit::Gap(gap) if !matches!(gap.reason, GapReason::Trimmed) => found.push(gap.to_string()),
            Visit::Entry(view) => {
                progress.reached(view.entry.seq);
                if let Some(problem) = &view.problem {
                    problems.push(format!("seq {}: {problem}", view.entry.seq));
                }
            }
            _ => {}
        }
        tally.add(&visit);
        ControlFlow::Continue(())
    })
    .map_err(|e| Failed::damage(e.to_string()))?;
    progress.done();
    found.sort();
    found.dedup();
    let mut out = std::io::stdout().lock();
    if json {
        let text = serde_json::json!({
            "from_seq": selection.from.0, "to_seq": end.0, "entries": tally.entries, "damage": found, "undecodable": problems,
        });
        writeln!(out, "{text}")?;
    } else {
        for line in found.iter().chain(&problems) {
            writeln!(out, "{}", neutral(line))?;
        }
        let (entries, size) = (count(tally.entries), bytes(tally.bytes));
        writeln!(out, "verified seq {} to {end}: {entries} entries, {size}", selection.from)?;
    }
    match found.len() {
        0 if problems.is_empty() => Ok(()),
        0 => Err(Failed::new(format!("{} entries do not parse; their bytes are as they were written", problems.len()))),
        n => Err(Failed::damage(format!(
            "{n} damaged ranges; the rest stays readable, and only cursors that need these ranges park"
        ))),
    }
}

fn describe(damage: &relay_store::Damage) -> String {
    let gap = Gap {
        first: damage.first,
        last: damage.last,
        reason: GapReason::Damaged { segment: damage.segment, offset: damage.offset, what: damage.what.clone() },
    };
    gap.to_string()
}

/// Shows how far a long work is, on a terminal only.
struct Progress {
    from: u64,
    to: u64,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    fn new(from: Seq, to: Seq) -> Self {
        Self { from: from.0, to: to.0, shown: None, terminal: std::io::stderr().is_terminal() }
    }

    fn reached(&mut self, seq: Seq) {
        if !self.terminal || self.shown.is_some_and(|t| t.elapsed() < PROGRESS_INTERVAL) {
            return;
        }
        self.shown = Some(Instant::now());
        let (done, all) = (seq.0.saturating_sub(self.from), self.to.saturating_sub(self.from).max(1));
        eprint!("\r{:3}%  seq {seq} of {}", done * 100 / all, self.to);
    }

    fn done(&self) {
        if self.shown.is_some() {
            eprint!("\r{:60}\r", "");
        }
    }
}
