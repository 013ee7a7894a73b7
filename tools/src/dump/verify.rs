//! The whole log, twice: the store's own check of checksums, marks, seqs and footers, then the CRC32 that the source
//! put on every event, which also covers the way from the server into the log.

use relay::binlog::event::{Checksum, Event, FormatDescription};
use relay::log::{Context, flag, kind, split_event};
use relay_store::{Block, Damage, Gap, GapReason, Read, ReadError, ReadOnlyLog, Seq, VerifyReport};
use serde_json::{Value, json};

use super::{Output, reason};
use crate::ended::Ended;
use crate::escape::Plain;
use crate::progress::Progress;
use crate::units;

/// What was found of the events.
#[derive(Default)]
struct Events {
    checked: u64,
    /// Entries whose block is right and which are wrong themselves.
    wrong: Vec<(Seq, String)>,
    wrong_count: u64,
}

/// Most wrong entries that are named one by one; a log that is wrong throughout is not told a million times.
const WRONG_NAMED_MAX: usize = 1000;

/// Checks the log and prints what was found.
///
/// # Errors
/// The log is damaged, or cannot be read.
pub(super) fn run(log: &ReadOnlyLog, json: bool) -> Result<(), Ended> {
    let mut progress = Progress::new("verify");
    let report = log.verify(&mut |at| progress.at(at.bytes_done, at.bytes_total))?;
    drop(progress);
    let events = Events::check(log)?;
    print(log, &report, &events, &mut Output::new(json))?;
    match report.damage.len() as u64 + events.wrong_count {
        0 => Ok(()),
        n => Err(Ended::damaged(format_args!(
            "the log is damaged in {}; a cursor that needs what is lost there parks, the rest stays readable",
            units::counted(n, "place")
        ))),
    }
}

impl Events {
    fn check(log: &ReadOnlyLog) -> Result<Self, Ended> {
        let mut events = Self::default();
        let mut progress = Progress::new("verify events");
        let mut reader = log.reader().with_hidden();
        let positions = log.positions();
        let (first, last) = (positions.first_seq.max(Seq(1)), positions.visible_seq);
        let mut next = first;
        while next <= last {
            progress.at(next.0 - first.0, last.0 - first.0 + 1);
            match reader.read(next)? {
                Read::CaughtUp => break,
                // The store's check has named it, or retention took it since.
                Read::Gap(gap) => next = gap.last.next(),
                Read::Block(raw) => {
                    next = raw.last_seq().next();
                    match raw.decode() {
                        Ok(block) => events.block(&block),
                        Err(ReadError::Gap(_)) => {}
                        Err(e) => return Err(e.into()),
                    }
                }
            }
        }
        Ok(events)
    }

    fn wrong(&mut self, seq: Seq, what: String) {
        self.wrong_count += 1;
        if self.wrong.len() < WRONG_NAMED_MAX {
            self.wrong.push((seq, what));
        }
    }

    fn block(&mut self, block: &Block) {
        let first = block.first_seq();
        let context = match Context::parse(block.context()) {
            Ok(context) => context,
            Err(e) => return self.wrong(first, e.to_string()),
        };
        let checksum = match context.format_description.map(|(_, raw)| FormatDescription::parse(raw)).transpose() {
            Ok(description) => description.map_or(Checksum::None, |d| d.checksum),
            Err(e) => return self.wrong(first, format!("format description of its block: {e}")),
        };
        for entry in block.all_entries().map(|marked| marked.entry).filter(|entry| entry.header.kind == kind::EVENT) {
            let checksum = if entry.header.flags & flag::NO_CHECKSUM == 0 { checksum } else { Checksum::None };
            let checked =
                split_event(entry.header.flags, entry.body).map_err(|e| e.to_string()).and_then(|(raw, _)| {
                    Event::parse(raw, checksum).map_err(|e| e.to_string())?;
                    Event::verify(raw, checksum).map_err(|e| e.to_string())
                });
            match checked {
                Ok(()) => self.checked += u64::from(checksum != Checksum::None),
                Err(what) => self.wrong(entry.seq, what),
            }
        }
    }
}

fn file_of(segment: Seq) -> String {
    format!("{:020}.seg", segment.0)
}

fn damage_json(damage: &Damage) -> Value {
    json!({
        "segment": file_of(damage.segment),
        "offset": damage.offset,
        // Places such as a footer hold no entries.
        "first_seq": (damage.first <= damage.last).then_some(damage.first.0),
        "last_seq": (damage.first <= damage.last).then_some(damage.last.0),
        "what": damage.what,
    })
}

fn damage_text(damage: &Damage) -> String {
    if damage.last < damage.first {
        let (file, offset) = (file_of(damage.segment), damage.offset);
        return format!("{file} at offset {offset}: {} (no entry is lost by it)", damage.what);
    }
    let (segment, offset, what) = (damage.segment, damage.offset, damage.what.clone());
    Gap { first: damage.first, last: damage.last, reason: GapReason::Damaged { segment, offset, what } }.to_string()
}

fn print(log: &ReadOnlyLog, report: &VerifyReport, events: &Events, out: &mut Output) -> Result<(), Ended> {
    let positions = log.positions();
    if out.json {
        let gaps = report
            .known_gaps
            .iter()
            .map(|gap| json!({ "first_seq": gap.first.0, "last_seq": gap.last.0, "reason": reason(gap) }));
        let wrong = events.wrong.iter().map(|(seq, what)| json!({ "seq": seq.0, "what": what }));
        let facts = json!({
            "ok": report.is_clean() && events.wrong_count == 0,
            "first_seq": positions.first_seq.0,
            "visible_seq": positions.visible_seq.0,
            "durable_seq": positions.durable_seq.0,
            "log_epoch": positions.log_epoch.0,
            "segments": report.segments,
            "blocks": report.blocks,
            "entries": report.entries,
            "stored_bytes": report.bytes,
            "event_checksums": events.checked,
            "damage": report.damage.iter().map(damage_json).collect::<Vec<_>>(),
            "wrong_events": wrong.collect::<Vec<_>>(),
            "wrong_events_count": events.wrong_count,
            "known_gaps": gaps.collect::<Vec<_>>(),
        });
        out.json_line(&facts.to_string())?;
        return out.flush();
    }
    for gap in &report.known_gaps {
        out.line(format_args!("KNOWN GAP  {}", Plain(&gap.to_string())))?;
    }
    for damage in &report.damage {
        out.line(format_args!("DAMAGED  {}", Plain(&damage_text(damage))))?;
    }
    for (seq, what) in &events.wrong {
        out.line(format_args!("DAMAGED  seq {seq}: {}", Plain(what)))?;
    }
    if events.wrong_count > events.wrong.len() as u64 {
        out.line(format_args!("and {} more", units::counted(events.wrong_count - events.wrong.len() as u64, "entry")))?;
    }
    out.line(format_args!(
        "seqs {} to {} in {}: {}, {}, {}; {} of the source",
        positions.first_seq,
        positions.durable_seq,
        units::counted(report.segments, "segment"),
        units::counted(report.blocks, "block"),
        units::counted(report.entries, "entry"),
        units::bytes(report.bytes),
        units::counted(events.checked, "checksum"),
    ))?;
    if report.is_clean() && events.wrong_count == 0 {
        out.line(format_args!("the log is whole"))?;
    }
    out.flush()
}
