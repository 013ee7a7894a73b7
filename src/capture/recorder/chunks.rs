//! Rows of tables that are copied: keys that the stream changes are noted while a chunk is open, and chunks go into the
//! log between two transactions, each as one of its own.

use std::cmp::Ordering;

use relay_store::{EntryHeader, Note, Seq};
use tokio::time::Instant;

use super::{Recorder, append};
use crate::binlog::event::{Event, EventHeader, EventType};
use crate::binlog::rows_writer::{write_rows, write_table_map};
use crate::binlog::{RowsEvent, TableMap};
use crate::capture::chunks::{OpenRefused, Opened, Outcome, Request};
use crate::capture::error::{CaptureError, EventError};
use crate::capture::facts::compare_files;
use crate::capture::schema_history::Concerns;
use crate::capture::transaction::Received;
use crate::capture::window::{Due, Window};
use crate::change::ROWS_MAX;
use crate::change::ddl::ObjectName;
use crate::change::plan::TablePlan;
use crate::log::{ChunkMark, SnapshotMark, flag, kind};

/// Table ids of chunks: from here on, far above what servers count up to.
const TABLE_IDS: u64 = 0xFFFF_0000_0000;
/// Rows of one entry, in bytes of their images: what a block holds.
const ENTRY_BYTES: usize = 64 << 10;

/// A chunk that is being appended.
#[derive(Debug)]
pub(in crate::capture) struct Appending {
    due: Due,
    /// The next row.
    next: usize,
    table_id: u64,
    received_us: u64,
    tx_index: u32,
    superseded: u64,
    rows: Vec<u8>,
    event: Vec<u8>,
}

impl Recorder {
    /// Whether anything of ours may stand in the log here: between groups, where the checkpoint is that of the stream.
    pub(in crate::capture) fn takes_chunks(&self) -> bool {
        self.is_idle() && self.floor.is_none() && !self.awaits_head && self.has_checkpoint() && !self.is_before_log()
    }

    /// Whether a chunk waits for its place.
    pub(in crate::capture) fn has_waiting_chunk(&self) -> bool {
        self.windows.has_waiting()
    }

    /// Does what a reader asks for; marks are for the caller to append. Called between groups.
    pub(in crate::capture) fn answer(&mut self, request: Request) -> Option<Request> {
        match request {
            Request::Open { id, table, reply } => {
                let opened = self.open_window(id, &table);
                // Whoever asked and went away says so by a request to close it.
                drop(reply.send(opened));
            }
            Request::Rows { id, chunk, reply } => self.windows.take_chunk(id, chunk, reply),
            Request::Close { id } => self.windows.close(id),
            mark @ Request::Mark { .. } => return Some(mark),
        }
        None
    }

    fn open_window(&mut self, id: u64, table: &ObjectName) -> Result<Opened, OpenRefused> {
        let definition = self.history.definition(&table.database, &table.table).ok_or(OpenRefused::Unknown)?.clone();
        if let Some(why) = &definition.unconfirmed {
            return Err(OpenRefused::Unconfirmed(why.clone()));
        }
        let plan = TablePlan::of_definition(&definition).map_err(|error| OpenRefused::Unreadable(error.to_string()))?;
        let executed = self.executed.position();
        let name = self.history.folded(&table.database, &table.table);
        self.windows.open(id, name, plan.clone(), definition.id, executed.clone());
        let (file, position) = self.place();
        let place = (file.to_owned(), position);
        Ok(Opened {
            definition: definition.into(),
            plan,
            executed,
            place,
            committing: self.committing.names(Instant::now()),
            without_rows: self.without_rows,
            server: self.server.clone(),
        })
    }

    /// Notes the keys of logged rows, when their table is being copied. What cannot be read stops no stream: the chunks
    /// that are on their way are read again.
    pub(super) fn note_keys(&mut self, event: &Event<'_>, table_id: u64) {
        if let Err(error) = self.read_keys(event, table_id) {
            let (file, position) = self.place();
            tracing::warn!(%error, file, position, "keys of rows cannot be read; what is being copied is read again");
            self.windows.note_statement(|_| true);
        }
    }

    fn read_keys(&mut self, event: &Event<'_>, table_id: u64) -> Result<(), EventError> {
        let short = self.short_table_ids();
        let Some((database, table)) = self.scene.names(table_id, short) else { return Ok(()) };
        let table = self.history.folded(&database, &table);
        if !self.windows.watches(&table) {
            return Ok(());
        }
        let format = self.format.as_ref().ok_or(EventError::BeforeFormat)?;
        let Some(body) = self.scene.body(table_id) else { return Ok(()) };
        let header = EventHeader { event_type: EventType::TABLE_MAP, ..event.header };
        let map = TableMap::parse(&Event { header, body, ..*event }, format)?;
        self.windows.note(&table, &map.columns, &RowsEvent::parse(event, format)?)?;
        Ok(())
    }

    /// Notes that a statement may have changed tables that are being copied.
    pub(super) fn note_statement(&mut self, concerns: &Concerns) {
        if self.windows.is_empty() {
            return;
        }
        let history = &self.history;
        let folded = |table: &ObjectName| history.folded(&table.database, &table.table);
        match concerns {
            Concerns::Nothing => {}
            Concerns::Tables(tables) | Concerns::Swap { tables, .. } | Concerns::Helpers { helpers: tables, .. } => {
                self.windows.note_statement(|open| tables.iter().any(|table| folded(table) == *open));
            }
            Concerns::Database(database) => {
                self.windows.note_statement(|open| open.database.eq_ignore_ascii_case(database));
            }
            Concerns::Anything => self.windows.note_statement(|_| true),
        }
    }

    /// The next chunk whose place is here. Called between groups.
    pub(in crate::capture) fn due_chunk(&mut self, received_us: u64) -> Option<Appending> {
        let (file, position) = (self.place.file(), self.place.position());
        let passed = |high: &(String, u64)| match compare_files(file, &high.0) {
            Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => position >= high.1,
            Some(Ordering::Less) | None => false,
        };
        let history = &self.history;
        let current = |window: &Window| {
            let definition = history.definition(&window.table.database, &window.table.table);
            definition.is_some_and(|known| known.id == window.schema && known.unconfirmed.is_none())
        };
        let due = self.windows.take_due(passed, current)?;
        let table_id = TABLE_IDS + (due.window.id & 0xFFFF_FFFF);
        let (rows, event) = (Vec::new(), Vec::new());
        Some(Appending { due, next: 0, table_id, received_us, tx_index: 0, superseded: 0, rows, event })
    }

    /// Begins a chunk's transaction: its mark, and the map that its rows need.
    ///
    /// # Errors
    /// The log refuses an entry.
    pub(in crate::capture) fn begin_chunk(&mut self, chunk: &mut Appending) -> Result<(), CaptureError> {
        let Due { window, chunk: read, .. } = &chunk.due;
        let rows = &read.rows;
        let superseded = (0..rows.len()).filter(|&row| window.has(rows.key(row))).count() as u64;
        let mark = SnapshotMark::Chunk(ChunkMark {
            database: window.plan.source.database.to_string(),
            table: window.plan.source.table.to_string(),
            number: read.number,
            last: read.last,
            low: window.low.clone(),
            high: read.high.clone(),
            after: read.after.clone(),
            until: read.until.clone(),
            rows: rows.len() as u64,
            superseded,
        });
        let (schema, all) = (window.schema, superseded == rows.len() as u64);
        let plan = window.plan.clone();
        let origin = read.origin;
        chunk.superseded = superseded;
        chunk.event.clear();
        if !all {
            let names = (&*plan.source.database, &*plan.source.table);
            write_table_map(origin, chunk.table_id, names, &plan.defs, &mut chunk.event);
        }
        self.append_head(&mark, schema, chunk).map_err(|source| self.locate(source, &[]))
    }

    fn append_head(&mut self, mark: &SnapshotMark, schema: u64, chunk: &mut Appending) -> Result<(), EventError> {
        self.append_mark(mark, chunk.received_us)?;
        chunk.tx_index = 1;
        let Some(body) = chunk.event.get(EventHeader::LEN..) else { return Ok(()) };
        self.scene.learn(chunk.table_id, body, true, Some(schema));
        let received = self.received(chunk);
        self.log_map(chunk.table_id, Some(schema), &chunk.event, received)
    }

    /// Appends the next rows, an entry of them; false when there are no more.
    ///
    /// # Errors
    /// The log refuses an entry.
    pub(in crate::capture) fn append_rows(&mut self, chunk: &mut Appending) -> Result<bool, CaptureError> {
        let Appending { due: Due { window, chunk: read, .. }, next, rows, event, table_id, .. } = chunk;
        rows.clear();
        let mut count = 0;
        while *next < read.rows.len() && rows.len() < ENTRY_BYTES && count + 1 < ROWS_MAX {
            if !window.has(read.rows.key(*next)) {
                rows.extend_from_slice(read.rows.image(*next));
                count += 1;
            }
            *next += 1;
        }
        if count == 0 {
            return Ok(false);
        }
        event.clear();
        write_rows(read.origin, *table_id, window.plan.defs.len(), rows, event);
        let received = self.received(chunk);
        let parts = [chunk.event.as_slice()];
        append(&mut self.appender, &self.scene, &mut self.unsubmitted, kind::SNAPSHOT_ROWS, received, &parts)
            .map_err(|source| self.locate(source, &[]))?;
        Ok(true)
    }

    /// Ends a chunk's transaction, with the note of how far its table has come.
    ///
    /// # Errors
    /// The log refuses the note.
    pub(in crate::capture) fn end_chunk(&mut self, chunk: &Appending) -> Result<(), CaptureError> {
        let note = chunk.due.chunk.note.clone();
        self.commit_own(note, chunk.received_us)
    }

    /// Tells a chunk's reader that it is with the writer, and opens its window again.
    pub(in crate::capture) fn tell(&mut self, chunk: Appending) {
        let Appending { due: Due { window, reply, .. }, superseded, .. } = chunk;
        self.windows.put_back(window);
        // Nobody waits any more when this fails; the note says that it is in the log, and a request closes the window.
        drop(reply.send(Outcome::Appended { superseded }));
    }

    /// Puts a mark without rows into the log, as a transaction of its own.
    ///
    /// # Errors
    /// The log refuses it.
    pub(in crate::capture) fn log_mark(
        &mut self,
        mark: &SnapshotMark,
        note: Note,
        received_us: u64,
    ) -> Result<(), CaptureError> {
        self.append_mark(mark, received_us).map_err(|source| self.locate(source, &[]))?;
        self.commit_own(note, received_us)
    }

    fn append_mark(&mut self, mark: &SnapshotMark, received_us: u64) -> Result<Seq, EventError> {
        let header = EntryHeader {
            kind: kind::WATERMARK,
            source_pos: self.place.position(),
            received_us,
            ..EntryHeader::default()
        };
        let bytes = mark.encode();
        self.unsubmitted += bytes.len();
        Ok(self.appender.append(header, &[&bytes], &self.scene)?)
    }

    /// Commits what is no transaction of the source's. It is as old as the newest that is: times of the log go by the
    /// source's clock.
    fn commit_own(&mut self, note: Note, received_us: u64) -> Result<(), CaptureError> {
        self.appender.put_note(note)?;
        let newest = self.newest_us.and_then(|us| u64::try_from(us).ok());
        self.commit(newest.map_or(received_us, |us| us.min(received_us)), None);
        Ok(())
    }

    fn received(&self, chunk: &mut Appending) -> Received {
        let tx_index = chunk.tx_index;
        chunk.tx_index += 1;
        Received {
            flags: flag::NO_CHECKSUM,
            tx_index,
            source_pos: self.place.position(),
            received_us: chunk.received_us,
        }
    }
}
