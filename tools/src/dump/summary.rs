//! One line a transaction.

use relay::binlog::event::{Event, EventType, Gtid, MariadbGtid, Query, TaggedGtid};
use relay::change::decode::is_boundary;
use relay::log::kind;
use relay::log::tally::Tally;
use relay::log::walk::{View, Visit};
use relay::selection::TablePatterns;
use relay_store::{Reader, Seq};
use serde_json::json;

use super::entries::walk_fallibly;
use super::{Output, Printer};
use crate::ended::Ended;
use crate::escape::Plain;
use crate::units;

/// Prints transactions.
pub(super) struct Summary {
    tables: Option<TablePatterns>,
    open: Transaction,
    headed: bool,
}

/// What is known of the transaction being read.
#[derive(Default)]
struct Transaction {
    first: Option<Seq>,
    last: Seq,
    received_us: u64,
    gtid: String,
    file: String,
    position: u64,
    statement: Option<String>,
    notes: Vec<String>,
    tally: Tally,
    /// It touches a table that was asked for.
    wanted: bool,
}

/// Characters of a statement that a summary shows.
const STATEMENT_SHOWN: usize = 80;

impl Summary {
    pub(super) fn new(tables: Option<TablePatterns>) -> Self {
        Self { tables, open: Transaction::default(), headed: false }
    }

    fn transaction(&mut self, first: Seq, last: Seq, time_us: u64, out: &mut Output) -> Result<(), Ended> {
        let tx = std::mem::take(&mut self.open);
        let Some(read_from) = tx.first else { return Ok(()) };
        if self.tables.is_some() && !tx.wanted {
            return Ok(());
        }
        if out.json {
            let line = json!({
                "first_seq": first.0,
                "last_seq": last.0,
                // The beginning lies before what was asked for, so the counts are of its rest.
                "partial": read_from > first,
                "time": time_us_or_none(time_us),
                "time_us": (time_us > 0).then_some(time_us),
                "gtid": tx.gtid,
                "file": tx.file,
                "position": tx.position,
                "entries": tx.tally.entries,
                "rows": tx.tally.rows,
                "bytes": tx.tally.bytes,
                "tables": tx.tally.tables,
                "statement": tx.statement,
                "notes": tx.notes,
                "undecodable_entries": tx.tally.undecodable_entries,
            });
            return out.json_line(&line.to_string());
        }
        if !std::mem::replace(&mut self.headed, true) {
            out.line(format_args!(
                "{:<17}  {:<24}  {:>10}  {:<40}  CHANGES",
                "SEQS", "COMMITTED", "BYTES", "GTID OR PLACE"
            ))?;
        }
        let seqs = if first == last { format!("{first}") } else { format!("{first}-{last}") };
        let place = if tx.gtid.is_empty() { format!("{}:{}", tx.file, tx.position) } else { tx.gtid.clone() };
        let mut changes: Vec<String> = Vec::new();
        for (name, table) in &tx.tally.tables {
            let parts = [(table.inserts, "inserted"), (table.updates, "updated"), (table.deletes, "deleted")];
            let parts: Vec<String> =
                parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", units::count(*n))).collect();
            changes.push(format!("{}: {}", Plain(name), parts.join(", ")));
        }
        changes.extend(tx.statement.iter().map(|sql| Plain(sql).to_string()));
        changes.extend(tx.notes.iter().map(|note| Plain(note).to_string()));
        if tx.tally.undecodable_entries > 0 {
            changes.push(format!("{} not decodable", units::counted(tx.tally.undecodable_entries, "entry")));
        }
        if read_from > first {
            changes.push(format!("counted from seq {read_from}"));
        }
        let (time, bytes) = (time_us_or_none(time_us).unwrap_or_else(|| "-".to_owned()), units::bytes(tx.tally.bytes));
        let changes = changes.join("; ");
        out.line(format_args!("{seqs:<17}  {time:<24}  {bytes:>10}  {:<40}  {changes}", Plain(&place)))
    }
}

impl Transaction {
    fn add(&mut self, visit: &Visit<'_>, view: &View<'_>, tables: Option<&TablePatterns>) {
        self.first.get_or_insert(view.entry.seq);
        self.last = view.entry.seq;
        self.received_us = view.entry.header.received_us;
        if self.file != view.file {
            view.file.clone_into(&mut self.file);
        }
        self.position = view.entry.header.source_pos;
        let text = || String::from_utf8_lossy(view.entry.body);
        match view.entry.header.kind {
            kind::GAP_NOTE => self.notes.push(format!("missing: {}", text())),
            kind::SELECTION => self.notes.push(format!("tables captured from here on: {}", text())),
            _ => {}
        }
        if let Some(event) = &view.event {
            if let Some(gtid) = gtid_of(event) {
                self.gtid = gtid;
            }
            self.statement = self.statement.take().or_else(|| statement_of(event));
        }
        match (tables, view.table) {
            (Some(tables), Some((database, table))) if !tables.matches(database, table) => return,
            (Some(_), Some(_)) => self.wanted |= view.rows.is_some(),
            _ => {}
        }
        self.tally.add(visit);
    }
}

/// Entries of the relay itself are committed at no time.
fn time_us_or_none(us: u64) -> Option<String> {
    (us > 0).then(|| units::time_us(us))
}

/// The GTID that an event gives its transaction; "" for none.
pub(super) fn gtid_of(event: &Event<'_>) -> Option<String> {
    let number = |gtid: &Gtid, tag: &str| match (gtid.gno, tag) {
        (0, _) => String::new(),
        (gno, "") => format!("{}:{gno}", gtid.uuid),
        (gno, tag) => format!("{}:{tag}:{gno}", gtid.uuid),
    };
    match event.header.event_type {
        EventType::GTID | EventType::ANONYMOUS_GTID => Gtid::parse(event).ok().map(|gtid| number(&gtid, "")),
        EventType::GTID_TAGGED => TaggedGtid::parse(event).ok().map(|g| number(&g.gtid, g.tag.as_str())),
        EventType::MARIADB_GTID => {
            MariadbGtid::parse(event).ok().map(|g| format!("{}-{}-{}", g.domain, g.server_id, g.seq))
        }
        _ => None,
    }
}

/// The statement that an event carries, cut to what a line can hold; none for BEGIN and its like.
fn statement_of(event: &Event<'_>) -> Option<String> {
    if event.header.event_type != EventType::QUERY {
        return None;
    }
    let query = Query::parse(event).ok()?;
    if is_boundary(query.sql) {
        return None;
    }
    let sql = String::from_utf8_lossy(&query.sql[..query.sql.len().min(4 * STATEMENT_SHOWN)]);
    let words = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = words.chars().take(STATEMENT_SHOWN).collect();
    if words.chars().count() > STATEMENT_SHOWN {
        shown.push('…');
    }
    Some(shown)
}

impl Printer for Summary {
    fn print(&mut self, reader: &mut Reader, from: Seq, to: Seq, out: &mut Output) -> Result<Seq, Ended> {
        walk_fallibly(reader, from, to, &mut |visit| match visit {
            Visit::Entry(view) if view.visible => {
                self.open.add(visit, view, self.tables.as_ref());
                Ok(())
            }
            Visit::Commit { first, last, time_us } => self.transaction(*first, *last, *time_us, out),
            Visit::Gap(gap) => {
                self.open = Transaction::default();
                out.gap(gap)
            }
            Visit::Entry(_) => Ok(()),
        })
    }

    /// What was asked for ends inside a transaction: that part of it is shown, under the time it was received.
    fn end(&mut self, out: &mut Output) -> Result<(), Ended> {
        let Some(first) = self.open.first else { return Ok(()) };
        self.open.notes.push("goes on behind the last entry asked for".to_owned());
        self.transaction(first, self.open.last, self.open.received_us, out)
    }
}
