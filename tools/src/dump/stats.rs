//! Totals of a stretch of the log: by table, by day, by segment.

use std::collections::BTreeMap;

use relay::log::tally::{TableTally, Tally};
use relay::log::walk::{View, Visit};
use relay::selection::TablePatterns;
use relay_store::{Gap, ReadOnlyLog, SegmentInfo, Seq};
use serde::Serialize;
use serde_json::{Value, json};

use super::Output;
use super::entries::walk_fallibly;
use super::summary::gtid_of;
use crate::ended::Ended;
use crate::place::Stretch;
use crate::progress::Progress;
use crate::table::{Align, Table};
use crate::units;

/// Sums of a day or a segment.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Sum {
    transactions: u64,
    entries: u64,
    rows: u64,
    bytes: u64,
}

/// One end of the stretch.
#[derive(Debug, Clone, Default, Serialize)]
struct End {
    seq: u64,
    time: Option<String>,
    gtid: String,
}

#[derive(Default)]
struct Totals {
    tally: Tally,
    hidden: u64,
    hidden_bytes: u64,
    days: BTreeMap<String, Sum>,
    segments: BTreeMap<u64, Sum>,
    gaps: Vec<Gap>,
    first: Option<End>,
    last: Option<End>,
    /// Of the transaction being read; its day is known at its end.
    open: Sum,
    gtid: String,
}

/// Reads the stretch and prints its totals.
pub(super) fn run(
    log: &ReadOnlyLog,
    stretch: Stretch,
    tables: Option<&TablePatterns>,
    out: &mut Output,
) -> Result<(), Ended> {
    let segments = log.segments();
    let mut totals = Totals::default();
    let mut progress = Progress::new("reading");
    let length = stretch.last.0.saturating_sub(stretch.first.0) + 1;
    walk_fallibly(&mut log.reader().with_hidden(), stretch.first, stretch.last, &mut |visit| {
        totals.add(visit, tables, &segments);
        if let Visit::Entry(view) = visit {
            progress.at(view.entry.seq.0.saturating_sub(stretch.first.0), length);
        }
        Ok(())
    })?;
    drop(progress);
    out.damaged += totals.gaps.iter().filter(|gap| super::is_damage(gap)).count() as u64;
    if out.json {
        return out.json_line(&totals.json(stretch, &segments).to_string());
    }
    totals.text(stretch, &segments, out)
}

impl Totals {
    fn add(&mut self, visit: &Visit<'_>, tables: Option<&TablePatterns>, segments: &[SegmentInfo]) {
        match visit {
            Visit::Entry(view) if !view.visible => {
                self.hidden += 1;
                self.hidden_bytes += view.entry.body.len() as u64;
            }
            Visit::Entry(view) => {
                if let Some(gtid) = view.event.as_ref().and_then(gtid_of) {
                    self.gtid = gtid;
                }
                if is_wanted(view, tables) {
                    self.tally.add(visit);
                    let (bytes, rows) = (view.entry.body.len() as u64, view.rows.map_or(0, |(_, rows)| rows));
                    for sum in [&mut self.open, self.segments.entry(segment_of(view.entry.seq, segments)).or_default()]
                    {
                        sum.entries += 1;
                        sum.bytes += bytes;
                        sum.rows += rows;
                    }
                }
            }
            Visit::Commit { first, last, time_us } => {
                self.tally.add(visit);
                let open = std::mem::take(&mut self.open);
                if *time_us == 0 {
                    // Entries of the relay itself: of no day and no source.
                    return;
                }
                let day = self.days.entry(units::day_us(*time_us)).or_default();
                day.transactions += 1;
                day.entries += open.entries;
                day.rows += open.rows;
                day.bytes += open.bytes;
                self.segments.entry(segment_of(*last, segments)).or_default().transactions += 1;
                let gtid = std::mem::take(&mut self.gtid);
                let end = |seq: &Seq, gtid| End { seq: seq.0, time: Some(units::time_us(*time_us)), gtid };
                self.first.get_or_insert_with(|| end(first, gtid.clone()));
                self.last = Some(end(last, gtid));
            }
            Visit::Gap(gap) => {
                self.tally.add(visit);
                self.gaps.push((*gap).clone());
                self.open = Sum::default();
            }
        }
    }

    /// How many bytes of entries a stored byte holds; of the segments that lie in the stretch whole.
    fn compression(&self, stretch: Stretch, segments: &[SegmentInfo]) -> (u64, Option<f64>) {
        let whole = segments.iter().filter(|s| s.first_seq >= stretch.first && s.last_seq <= stretch.last);
        let (mut stored, mut held) = (0, 0);
        for segment in whole {
            stored += segment.bytes;
            held += self.segments.get(&segment.first_seq.0).map_or(0, |sum| sum.bytes);
        }
        (stored, (stored > 0 && held > 0).then(|| (held + self.hidden_bytes) as f64 / stored as f64))
    }

    fn json(&self, stretch: Stretch, segments: &[SegmentInfo]) -> Value {
        let (stored, compression) = self.compression(stretch, segments);
        let mut facts = serde_json::to_value(&self.tally).expect("numbers and names are JSON");
        facts["from_seq"] = stretch.first.0.into();
        facts["to_seq"] = stretch.last.0.into();
        facts["first"] = json!(self.first);
        facts["last"] = json!(self.last);
        facts["hidden_entries"] = self.hidden.into();
        facts["stored_bytes"] = stored.into();
        facts["compression"] = json!(compression.map(|ratio| (ratio * 1000.0).round() / 1000.0));
        facts["days"] = json!(self.days);
        let list = segments.iter().filter_map(|segment| {
            let sum = self.segments.get(&segment.first_seq.0)?;
            Some(json!({
                "first_seq": segment.first_seq.0,
                "last_seq": segment.last_seq.0,
                "sealed": segment.sealed,
                "stored_bytes": segment.bytes,
                "transactions": sum.transactions,
                "entries": sum.entries,
                "rows": sum.rows,
                "bytes": sum.bytes,
            }))
        });
        facts["segments"] = list.collect();
        let gaps = self
            .gaps
            .iter()
            .map(|gap| json!({ "first_seq": gap.first.0, "last_seq": gap.last.0, "reason": super::reason(gap) }));
        facts["gaps"] = gaps.collect();
        facts
    }

    fn text(&self, stretch: Stretch, segments: &[SegmentInfo], out: &mut Output) -> Result<(), Ended> {
        let (stored, compression) = self.compression(stretch, segments);
        let mut facts = Table::new(&[("", Align::Left), ("", Align::Left)]);
        let mut fact = |name: &str, value: String| facts.row([name.to_owned(), value]);
        fact("seqs", format!("{} to {}", stretch.first, stretch.last));
        for (name, end) in [("first", &self.first), ("last", &self.last)] {
            if let Some(end) = end {
                fact(name, format!("seq {}  {}  {}", end.seq, end.time.as_deref().unwrap_or("-"), end.gtid));
            }
        }
        fact("transactions", units::count(self.tally.transactions));
        fact(
            "entries",
            format!("{} and {} never visible", units::count(self.tally.entries), units::count(self.hidden)),
        );
        fact("rows", units::count(self.tally.rows));
        fact("bytes", format!("{} of entries, {} stored", units::bytes(self.tally.bytes), units::bytes(stored)));
        if let Some(ratio) = compression {
            fact("compression", format!("{ratio:.2}"));
        }
        if self.tally.undecodable_entries > 0 {
            fact("not decodable", units::counted(self.tally.undecodable_entries, "entry"));
        }
        // The header of a list of facts is empty.
        out.line(format_args!("{}", facts.to_string().trim()))?;
        let mut tables = Table::new(&[
            ("TABLE", Align::Left),
            ("INSERTED", Align::Right),
            ("UPDATED", Align::Right),
            ("DELETED", Align::Right),
            ("BYTES", Align::Right),
        ]);
        for (name, TableTally { inserts, updates, deletes, bytes }) in &self.tally.tables {
            let [inserts, updates, deletes] = [inserts, updates, deletes].map(|n| units::count(*n));
            tables.row([name.clone(), inserts, updates, deletes, units::bytes(*bytes)]);
        }
        let sums = |head: &str| {
            let columns = ["TRANSACTIONS", "ENTRIES", "ROWS", "BYTES"].map(|name| (name, Align::Right));
            Table::new(&[&[(head, Align::Left)], &columns[..]].concat())
        };
        let cells = |name: String, sum: &Sum| {
            let [transactions, entries, rows] = [sum.transactions, sum.entries, sum.rows].map(units::count);
            [name, transactions, entries, rows, units::bytes(sum.bytes)]
        };
        let (mut days, mut by_segment) = (sums("DAY (UTC)"), sums("SEGMENT"));
        for (day, sum) in &self.days {
            days.row(cells(day.clone(), sum));
        }
        for (first, sum) in &self.segments {
            by_segment.row(cells(format!("{first:020}.seg"), sum));
        }
        for table in [tables, days, by_segment].iter().filter(|table| !table.is_empty()) {
            out.line(format_args!("\n{}", table.to_string().trim_end()))?;
        }
        if !self.gaps.is_empty() {
            out.line(format_args!(""))?;
        }
        for gap in &self.gaps {
            out.line(format_args!("GAP  {}", crate::escape::Plain(&gap.to_string())))?;
        }
        Ok(())
    }
}

/// Without a choice of tables all entries count, else what belongs to those tables.
fn is_wanted(view: &View<'_>, tables: Option<&TablePatterns>) -> bool {
    tables.is_none_or(|tables| view.table.is_some_and(|(database, table)| tables.matches(database, table)))
}

/// First seq of the segment that `seq` lies in.
fn segment_of(seq: Seq, segments: &[SegmentInfo]) -> u64 {
    let behind = segments.partition_point(|segment| segment.first_seq <= seq);
    behind.checked_sub(1).map_or(0, |i| segments[i].first_seq.0)
}
