//! A walk over the log's entries that knows what each one is: which event, of which table, how many rows. For
//! tools and for counting; deliveries decode for themselves.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use relay_store::{Block, Entry, Gap, Read, ReadError, Reader, Seq};
use thiserror::Error;

use super::{Context, ContextError, LogError, flag, kind, split_event};
use crate::binlog::event::{Checksum, Event, EventType, FormatDescription};
use crate::binlog::{DecodeError, RowsEvent, RowsHead, RowsKind, TableMap};

/// The log cannot be read on.
#[derive(Debug, Error)]
pub enum WalkError {
    /// The store cannot read it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A block's context does not follow its format.
    #[error("entries from seq {first} on: {error}")]
    Context {
        /// First seq of the block.
        first: Seq,
        /// What is wrong.
        error: ContextError,
    },
}

/// What a walk meets, in order.
#[derive(Debug)]
pub enum Visit<'a> {
    /// An entry.
    Entry(View<'a>),
    /// Entries that are not there or cannot be read.
    Gap(&'a Gap),
    /// A transaction ended at the entry before: its first and last seq and its commit time in microseconds.
    Commit {
        /// First seq.
        first: Seq,
        /// Last seq.
        last: Seq,
        /// Commit time, microseconds since 1970.
        time_us: u64,
    },
}

/// An entry with what the block around it says of it.
#[derive(Debug)]
pub struct View<'a> {
    /// The entry.
    pub entry: Entry<'a>,
    /// Whether deliveries see it.
    pub visible: bool,
    /// The binlog file it came from.
    pub file: &'a str,
    /// The event, when the entry is one that parses.
    pub event: Option<Event<'a>>,
    /// Why it does not parse.
    pub problem: Option<String>,
    /// The table of a table map or of rows.
    pub table: Option<(&'a str, &'a str)>,
    /// Kind and number of its rows.
    pub rows: Option<(RowsKind, u64)>,
}

impl View<'_> {
    /// What the entry is, in a word.
    pub fn kind_name(&self) -> &'static str {
        match self.entry.header.kind {
            kind::EVENT => self.event.as_ref().and_then(|e| e.header.event_type.name()).unwrap_or("EVENT"),
            kind::SCHEMA => "SCHEMA",
            kind::SNAPSHOT_ROWS => "SNAPSHOT_ROWS",
            kind::WATERMARK => "WATERMARK",
            kind::SELECTION => "SELECTION",
            kind::GAP_NOTE => "GAP_NOTE",
            relay_store::kind::ABANDONED => "ABANDONED",
            relay_store::kind::GAP => "GAP",
            _ => "UNKNOWN",
        }
    }
}

/// Walks from `from` to `to`, both included, as far as the log goes. Returns the seq to go on from.
///
/// # Errors
/// The disk refuses, or a block's context is damaged. Damage of entries and trimmed ranges are visited as gaps.
pub fn walk(
    reader: &mut Reader,
    from: Seq,
    to: Seq,
    visit: &mut dyn FnMut(Visit<'_>) -> ControlFlow<()>,
) -> Result<Seq, WalkError> {
    let mut next = from.max(Seq(1));
    while next <= to {
        let flow = match reader.read(next)? {
            Read::CaughtUp => break,
            Read::Gap(gap) => {
                next = gap.last.next().max(next.next());
                visit(Visit::Gap(&gap))
            }
            Read::Block(raw) => {
                let last = raw.last_seq();
                let flow = match raw.decode() {
                    Ok(block) => walk_block(&block, next, to, visit)?,
                    Err(ReadError::Gap(gap)) => visit(Visit::Gap(&gap)),
                    Err(e) => return Err(e.into()),
                };
                next = last.next();
                flow
            }
        };
        if flow.is_break() {
            break;
        }
    }
    Ok(next)
}

/// Table of a rows event, and kind and number of its rows.
type RowsFacts<'a> = ((&'a str, &'a str), (RowsKind, u64));

/// What a block says of its entries before the first one, and what they add.
struct Scene<'a> {
    file: &'a str,
    description: Option<FormatDescription>,
    maps: BTreeMap<u64, TableMap<'a>>,
}

fn walk_block(
    block: &Block,
    from: Seq,
    to: Seq,
    visit: &mut dyn FnMut(Visit<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, WalkError> {
    let context =
        Context::parse(block.context()).map_err(|error| WalkError::Context { first: block.first_seq(), error })?;
    let mut scene = Scene::begin(&context);
    let mut commits = block.commits().peekable();
    for marked in block.all_entries() {
        let seq = marked.entry.seq;
        let view = scene.view(marked.entry, marked.visible);
        if seq > to {
            return Ok(ControlFlow::Break(()));
        }
        if seq >= from && visit(Visit::Entry(view)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        while let Some((first, last, time_us)) = commits.next_if(|(_, last, _)| *last <= seq) {
            if last >= from && visit(Visit::Commit { first, last, time_us }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

impl<'a> Scene<'a> {
    fn begin(context: &Context<'a>) -> Self {
        let description = context.format_description.and_then(|(_, raw)| FormatDescription::parse(raw).ok());
        let mut scene = Self { file: context.file, description, maps: BTreeMap::new() };
        for (flags, raw) in &context.table_maps {
            // A map that does not parse leaves its rows without a table; the view of each row says so.
            let _ = scene.event(*flags, raw).map(|event| scene.learn(event));
        }
        scene
    }

    fn event(&self, flags: u8, body: &'a [u8]) -> Result<Event<'a>, String> {
        let (raw, _) = split_event(flags, body).map_err(|e: LogError| e.to_string())?;
        let checksum = match &self.description {
            Some(d) if flags & flag::NO_CHECKSUM == 0 => d.checksum,
            _ => Checksum::None,
        };
        Event::parse(raw, checksum).map_err(|e| e.to_string())
    }

    fn learn(&mut self, event: Event<'a>) -> Option<u64> {
        let map = TableMap::parse(&event, self.description.as_ref()?).ok()?;
        let id = map.table_id;
        self.maps.insert(id, map);
        Some(id)
    }

    fn view(&mut self, entry: Entry<'a>, visible: bool) -> View<'_> {
        let mut view = View { entry, visible, file: self.file, event: None, problem: None, table: None, rows: None };
        if !matches!(entry.header.kind, kind::EVENT | kind::SNAPSHOT_ROWS) {
            return view;
        }
        let event = match self.event(entry.header.flags, entry.body) {
            Ok(event) => event,
            Err(problem) => return View { problem: Some(problem), ..view },
        };
        view.event = Some(event);
        if event.header.event_type == EventType::TABLE_MAP {
            match self.learn(event) {
                Some(id) => view.table = self.maps.get(&id).map(|m| (m.database, m.table)),
                None => view.problem = Some("table map does not parse".to_owned()),
            }
        } else if event.header.event_type.is_rows() {
            match self.rows(&event) {
                Ok((table, rows)) => (view.table, view.rows) = (Some(table), Some(rows)),
                Err(problem) => view.problem = Some(problem),
            }
        }
        view
    }

    fn rows(&self, event: &Event<'a>) -> Result<RowsFacts<'a>, String> {
        let description = self.description.as_ref().ok_or("no format description")?;
        let text = |e: DecodeError| e.to_string();
        let head = RowsHead::parse(event, description).map_err(text)?;
        let map = self.maps.get(&head.table_id).ok_or("no table map for its rows")?;
        let rows = RowsEvent::parse(event, description).map_err(text)?;
        let mut count = 0;
        for row in rows.rows(&map.columns) {
            row.map_err(text)?;
            count += 1;
        }
        Ok(((map.database, map.table), (head.kind, count)))
    }
}
