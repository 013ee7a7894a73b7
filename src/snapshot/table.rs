//! Copies one table, from where the log says that it has come to: chunk by chunk in the order of its key, or, where no
//! key orders its rows, in one view from begin to end.

use std::time::Duration;

use relay_store::Note;

use super::SnapshotContext;
use super::error::CopyError;
use super::literal::check_key;
use super::reader::{Batch, Range, ReadChunk, Reader};
use crate::capture::chunks::{Chunk, Dropped, OpenRefused, OpenWindow, Outcome};
use crate::capture::stream::ConnectOptions;
use crate::log::{CopyState, SnapshotMark, SourcePosition, TableProgress};
use crate::status::{TableState, now_us};

/// How long a table whose definition is not certain, or that changed under its reader, is left alone.
const UNCERTAIN_PAUSE: Duration = Duration::from_millis(250);
/// Fewest rows asked for when those of the last chunk were large.
const ROWS_MIN: u32 = 1;
/// A window that is kept is replaced when it is this many times as old as it must be: it notes keys all the time.
const KEPT_FOR: u32 = 3;
/// After so many views that were changed under the reader, the table is said to change too often.
const VIEWS_TOLD: u32 = 20;

/// One who copies tables, one after the other, with a connection that is kept.
pub(super) struct Copier<'a> {
    context: &'a SnapshotContext,
    reader: Option<Reader>,
    /// Rows of the next chunk.
    rows: u32,
    /// A window that serves several chunks, and the one that is to follow it: where a window has to be of some age.
    kept: Option<OpenWindow>,
    next: Option<OpenWindow>,
    /// How many transactions had committed without their rows when the copy at hand began.
    without_rows: Option<u64>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(context: &'a SnapshotContext) -> Self {
        Self { context, reader: None, rows: context.settings.chunk_rows, kept: None, next: None, without_rows: None }
    }

    /// Copies a table to its end, or to where it turns out to have none. `progress` says how far it has come, also
    /// after an error.
    ///
    /// # Errors
    /// What keeps it from being read now.
    pub(super) async fn copy(&mut self, progress: &mut TableProgress) -> Result<(), CopyError> {
        self.rows = self.context.settings.chunk_rows;
        let copied = self.copy_chunks(progress).await;
        (self.kept, self.next) = (None, None);
        self.without_rows = None;
        copied
    }

    async fn copy_chunks(&mut self, progress: &mut TableProgress) -> Result<(), CopyError> {
        while progress.state == CopyState::Copying {
            if self.context.handle.take_stop(&format!("{}.{}", progress.database, progress.table)) {
                self.finish(progress, CopyState::Stopped, "someone stopped it").await;
                continue;
            }
            self.context.wait_for_capture().await;
            self.context.limit.wait().await;
            let Some(window) = self.window(progress).await? else { continue };
            if !self.agrees(&window, progress).await {
                continue;
            }
            let plan = &window.opened.plan;
            if plan.key.is_empty() || check_key(plan).is_err() {
                self.copy_whole(window, progress).await?;
            } else {
                self.copy_chunk(window, progress).await?;
            }
        }
        Ok(())
    }

    /// A window for the next chunk; none when the table is to be looked at again.
    async fn window(&mut self, progress: &mut TableProgress) -> Result<Option<OpenWindow>, CopyError> {
        let settle = self.context.settings.settle.0;
        if let Some(kept) = self.kept.take() {
            if kept.since.elapsed() > settle * KEPT_FOR {
                match self.next.take() {
                    Some(next) if next.since.elapsed() >= settle => return Ok(Some(next)),
                    Some(next) => self.next = Some(next),
                    None => self.next = self.context.chunks.open(&progress.database, &progress.table).await.ok(),
                }
            }
            return Ok(Some(kept));
        }
        match self.context.chunks.open(&progress.database, &progress.table).await {
            Ok(window) => Ok(Some(window)),
            Err(OpenRefused::Restarted | OpenRefused::Unconfirmed(_)) => {
                tokio::time::sleep(UNCERTAIN_PAUSE).await;
                Ok(None)
            }
            Err(OpenRefused::Unknown) => {
                let reason = "the table is not there any more";
                self.finish(progress, CopyState::Ended(reason.to_owned()), reason).await;
                Ok(None)
            }
            Err(refused @ OpenRefused::Unreadable(_)) => Err(CopyError::Definition(refused)),
        }
    }

    /// Whether the copy goes on under the definition that the window was opened with, and from what it has; else it
    /// begins anew.
    async fn agrees(&mut self, window: &OpenWindow, progress: &mut TableProgress) -> bool {
        let schema = window.opened.definition.id;
        let without_rows = window.opened.without_rows;
        let known = *self.without_rows.get_or_insert(without_rows);
        let reason = if progress.schema != schema {
            "a statement changed the table"
        } else if without_rows > known {
            "an XA transaction committed whose rows were prepared before the log begins"
        } else {
            return true;
        };
        if !self.begin_anew(schema, progress, reason).await {
            return false;
        }
        self.without_rows = Some(without_rows);
        true
    }

    /// Begins the copy anew; false when capture ended meanwhile, and nothing has changed.
    async fn begin_anew(&mut self, schema: u64, progress: &mut TableProgress, reason: &str) -> bool {
        let again = progress.rows > 0;
        let mut anew = TableProgress::begin(&progress.database, &progress.table, schema);
        anew.restarts = progress.restarts + u32::from(again);
        if again {
            let (database, table) = (progress.database.clone(), progress.table.clone());
            tracing::info!(table = format!("{database}.{table}"), reason, "a copy begins anew");
            let mark = SnapshotMark::Abandoned { database, table, reason: reason.to_owned() };
            if !self.context.chunks.mark(mark, note(&anew)).await {
                return false;
            }
        }
        *progress = anew;
        self.context.show(progress, TableState::Copying, None);
        true
    }

    /// The copy ends here, without the rest of the table.
    async fn finish(&mut self, progress: &mut TableProgress, state: CopyState, reason: &str) {
        let ended = TableProgress { state, ..progress.clone() };
        let (database, table) = (progress.database.clone(), progress.table.clone());
        let mark = SnapshotMark::Abandoned { database, table, reason: reason.to_owned() };
        if self.context.chunks.mark(mark, note(&ended)).await {
            tracing::info!(table = format!("{}.{}", progress.database, progress.table), reason, "a copy ends");
            *progress = ended;
        } else {
            tokio::time::sleep(UNCERTAIN_PAUSE).await;
        }
    }

    /// One chunk in a view of its own, behind the last one.
    async fn copy_chunk(&mut self, mut window: OpenWindow, progress: &mut TableProgress) -> Result<(), CopyError> {
        let (rows_max, bytes_max) = (self.context.limit.rows_max(self.rows), self.bytes_max());
        let settle = self.settle(&window);
        let reader = self.reader(&window).await?;
        let range = Range { after: &progress.after, rows_max, bytes_max };
        let chunk = reader.read(&window.opened, settle, range).await?;
        // The next one is to fill half of what may be kept, so that it is seldom cut and read over again.
        let (rows, bytes) = (chunk.rows.len(), chunk.rows.bytes());
        let fitting = (bytes_max / 2).saturating_mul(rows.max(1)) / bytes.max(1);
        self.rows = u32::try_from(fitting).unwrap_or(u32::MAX).clamp(ROWS_MIN, self.context.settings.chunk_rows);
        self.context.limit.took(rows, bytes);
        match self.hand_over(&mut window, chunk, progress).await {
            Ok(()) => self.kept = settle.map(|_| window),
            Err(why) => self.pause(why).await,
        }
        Ok(())
    }

    /// All rows in one view. A copy of this kind that was cut off begins anew.
    async fn copy_whole(&mut self, mut window: OpenWindow, progress: &mut TableProgress) -> Result<(), CopyError> {
        let schema = window.opened.definition.id;
        if progress.chunks > 0 && !self.begin_anew(schema, progress, "its one view was cut off").await {
            return Ok(());
        }
        let (rows_max, bytes_max) = (self.context.settings.chunk_rows, self.bytes_max());
        let mut settle = self.settle(&window);
        let mut views = 0;
        let view = loop {
            views += 1;
            let reader = self.reader(&window).await?;
            let view = reader.open_view(&window.opened, settle).await?;
            // Without rows: it shows whether anything changed the table while the view was opened.
            let first = ReadChunk::empty(&view, false);
            match self.hand_over(&mut window, first, progress).await {
                Ok(()) => break view,
                Err(Dropped::Touched) => {
                    if views % VIEWS_TOLD == 0 {
                        let problem = "it changes too often for a view of it to be opened between two changes";
                        self.context.show(progress, TableState::Copying, Some(problem.to_owned()));
                    }
                    self.close_view().await?;
                    let Some(again) = self.window(progress).await? else { return Ok(()) };
                    settle = self.settle(&again);
                    window = again;
                }
                Err(why) => {
                    self.pause(why).await;
                    return Ok(());
                }
            }
        };
        let Some(mut reader) = self.reader.take() else { return Ok(()) };
        let opened = window.opened.clone();
        let mut rows = reader.read_whole(&opened, view).await?;
        let name = format!("{}.{}", progress.database, progress.table);
        loop {
            if self.context.handle.is_stopping(&name) {
                // The connection goes with what is left of the answer.
                return Ok(());
            }
            let chunk = rows.batch(Batch { rows_max, bytes_max }).await?;
            let (last, count, bytes) = (chunk.last, chunk.rows.len(), chunk.rows.bytes());
            if let Err(why) = self.hand_over(&mut window, chunk, progress).await {
                // The connection is in the middle of an answer, and goes with it.
                self.pause(why).await;
                return Ok(());
            }
            self.context.limit.took(count, bytes);
            self.context.limit.wait().await;
            if last {
                break;
            }
        }
        rows.close().await?;
        reader.close_view().await?;
        self.reader = Some(reader);
        Ok(())
    }

    fn bytes_max(&self) -> usize {
        let bytes = usize::try_from(self.context.settings.chunk_bytes.0).unwrap_or(usize::MAX);
        self.context.limit.bytes_max(bytes)
    }

    /// How old the window has to be before a view is opened in it; none where the server says what is executed.
    fn settle(&self, window: &OpenWindow) -> Option<tokio::time::Instant> {
        let by_age = window.opened.executed == SourcePosition::FileOnly;
        by_age.then(|| window.since + self.context.settings.settle.0)
    }

    /// A connection to the server that is captured.
    async fn reader(&mut self, window: &OpenWindow) -> Result<&mut Reader, CopyError> {
        let wanted = window.opened.server.as_str();
        let usable = |reader: &Reader| !reader.is_spent() && reader.server() == wanted;
        let reader = match self.reader.take().filter(usable) {
            Some(reader) => reader,
            None => self.connect(wanted).await?,
        };
        Ok(self.reader.insert(reader))
    }

    async fn connect(&mut self, wanted: &str) -> Result<Reader, CopyError> {
        let address = self.context.capture.server().map(|server| server.host).unwrap_or_default();
        let options = ConnectOptions::each_host(&self.context.source)
            .find(|options| options.address() == address)
            .ok_or_else(|| CopyError::Internal(format!("capture reads {address}, which is not in the config")))?;
        let reader = Reader::connect(&options).await?;
        if reader.server() != wanted {
            let (found, wanted) = (reader.server().to_owned(), wanted.to_owned());
            return Err(CopyError::OtherServer { address, found, wanted });
        }
        Ok(reader)
    }

    async fn close_view(&mut self) -> Result<(), CopyError> {
        match &mut self.reader {
            Some(reader) => reader.close_view().await,
            None => Ok(()),
        }
    }

    /// Hands rows over with the progress that they make.
    ///
    /// # Errors
    /// They were dropped, and nothing has changed.
    async fn hand_over(
        &mut self,
        window: &mut OpenWindow,
        read: ReadChunk,
        progress: &mut TableProgress,
    ) -> Result<(), Dropped> {
        let ReadChunk { rows, high, origin, until, last } = read;
        let next = TableProgress {
            after: until.clone(),
            chunks: progress.chunks + 1,
            rows: progress.rows + rows.len() as u64,
            bytes: progress.bytes + rows.bytes() as u64,
            state: if last { CopyState::Done } else { CopyState::Copying },
            updated_us: u64::try_from(now_us()).unwrap_or(0),
            ..progress.clone()
        };
        let (count, bytes) = (rows.len() as u64, rows.bytes() as u64);
        let (number, after) = (progress.chunks, progress.after.clone());
        let chunk = Chunk { rows, high, origin, number, last, after, until, note: note(&next) };
        match window.hand_over(chunk).await {
            Outcome::Appended { superseded } => {
                *progress = next;
                self.context.handle.count_appended(count, bytes, superseded);
                self.context.show(progress, TableState::Copying, None);
                Ok(())
            }
            Outcome::Dropped(why) => {
                self.context.handle.count_dropped();
                let table = format!("{}.{}", progress.database, progress.table);
                tracing::debug!(table, chunk = progress.chunks, %why, "a chunk is read again");
                Err(why)
            }
        }
    }

    /// Waits before a chunk is read again.
    async fn pause(&mut self, why: Dropped) {
        (self.kept, self.next) = (None, None);
        if why != Dropped::TooManyChanges {
            tokio::time::sleep(UNCERTAIN_PAUSE).await;
        }
    }
}

/// The note that keeps progress beside the log.
fn note(progress: &TableProgress) -> Note {
    Note { key: progress.note_key(), value: Some(progress.encode()) }
}
