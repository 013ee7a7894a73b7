//! Where those who read tables and capture meet: a reader opens a window before it looks at the table, reads, and hands
//! its rows over; capture appends them between two transactions, once it has passed their high mark.
//!
//! Nothing here waits for a lock for long, and a reader that goes away closes its window.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use relay_store::Note;
use thiserror::Error;
use tokio::sync::{Notify, oneshot};

use crate::binlog::rows_writer::EventOrigin;
use crate::change::ddl::ObjectName;
use crate::change::plan::TablePlan;
use crate::log::{SnapshotMark, SourcePosition, TableDefinition};

/// A window on a table is open: changes of its keys are noted from here on.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The definition in force where the stream is.
    pub definition: Arc<TableDefinition>,
    /// Its columns as rows are to be written.
    pub plan: Arc<TablePlan>,
    /// What the stream has brought: all of it must show in the view that is read.
    pub executed: SourcePosition,
    /// File and position that the stream has come to.
    pub place: (String, u64),
    /// XA transactions that the stream saw commit and the source may not show yet, as it names them.
    pub committing: Vec<String>,
    /// How many transactions committed so far whose rows the log does not have.
    pub without_rows: u64,
    /// What tells the server that is captured from others; the table must be read there.
    pub server: String,
}

/// Why no window was opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenRefused {
    /// Capture does not run.
    #[error("capture ended meanwhile")]
    Restarted,
    /// The stream does not know such a table.
    #[error("the stream knows no definition of the table")]
    Unknown,
    /// Its definition is not certain where the stream is.
    #[error("the table's definition is not certain yet: {0}")]
    Unconfirmed(String),
    /// No rows can be written by its definition.
    #[error("{0}")]
    Unreadable(String),
}

/// Rows of a table as they were in one view.
#[derive(Debug, Default)]
pub struct ChunkRows {
    images: Vec<u8>,
    image_ends: Vec<usize>,
    keys: Vec<u8>,
    key_ends: Vec<usize>,
}

impl ChunkRows {
    /// Adds a row by its image and its key (`append_key`); each is appended by its function.
    pub fn push(&mut self, image: impl FnOnce(&mut Vec<u8>), key: &[u8]) {
        image(&mut self.images);
        self.image_ends.push(self.images.len());
        self.keys.extend_from_slice(key);
        self.key_ends.push(self.keys.len());
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.image_ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.image_ends.is_empty()
    }

    /// Bytes of the images.
    pub fn bytes(&self) -> usize {
        self.images.len()
    }

    /// The image of a row.
    pub(super) fn image(&self, index: usize) -> &[u8] {
        part(&self.images, &self.image_ends, index)
    }

    /// The key of a row.
    pub(super) fn key(&self, index: usize) -> &[u8] {
        part(&self.keys, &self.key_ends, index)
    }
}

fn part<'a>(bytes: &'a [u8], ends: &[usize], index: usize) -> &'a [u8] {
    let start = index.checked_sub(1).map_or(0, |before| ends[before]);
    &bytes[start..ends[index]]
}

/// A chunk on its way into the log.
#[derive(Debug)]
pub struct Chunk {
    /// Its rows.
    pub rows: ChunkRows,
    /// Binlog file and position read after the view was open.
    pub high: (String, u64),
    /// When and where it was read.
    pub origin: EventOrigin,
    /// Number of the chunk in its table.
    pub number: u64,
    /// Whether no row lay behind it.
    pub last: bool,
    /// The key behind which it begins.
    pub after: Vec<String>,
    /// Key of its last row.
    pub until: Vec<String>,
    /// What becomes durable with its rows.
    pub note: Note,
}

/// What became of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its rows are in the log, or on their way to the disk before anything that comes later.
    Appended {
        /// Rows that the stream has newer.
        superseded: u64,
    },
    /// None of its rows is in the log: it is to be read again.
    Dropped(Dropped),
}

/// Why a chunk was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Dropped {
    /// Capture ended, and what changed meanwhile is not known.
    #[error("capture began anew")]
    Restarted,
    /// A statement changed the table.
    #[error("a statement changed the table")]
    TableChanged,
    /// More changes than can be kept in mind.
    #[error("too many rows changed meanwhile")]
    TooManyChanges,
    /// A transaction changed the table between its marks, and no key tells which rows.
    #[error("the table changed while its view was opened")]
    Touched,
    /// A row of the stream does not say its key.
    #[error("a row of the stream lacks columns of its key (binlog_row_image is not FULL)")]
    KeyUnknown,
}

/// What readers ask of capture.
#[derive(Debug)]
pub(super) enum Request {
    Open { id: u64, table: ObjectName, reply: oneshot::Sender<Result<Opened, OpenRefused>> },
    Rows { id: u64, chunk: Box<Chunk>, reply: oneshot::Sender<Outcome> },
    Close { id: u64 },
    Mark { mark: SnapshotMark, note: Note, reply: oneshot::Sender<()> },
}

#[derive(Debug, Default)]
struct Inbox {
    requests: Mutex<Vec<Request>>,
    /// How many requests wait; looked at between any two transactions.
    waiting: AtomicU64,
    called: Notify,
    last_id: AtomicU64,
}

/// The meeting place. Clones lead to the same one.
#[derive(Debug, Clone, Default)]
pub struct Chunks(Arc<Inbox>);

/// A window that its reader holds open.
#[derive(Debug)]
pub struct OpenWindow {
    chunks: Chunks,
    id: u64,
    /// What it was opened with.
    pub opened: Opened,
    /// When that was.
    pub since: tokio::time::Instant,
}

impl Chunks {
    /// Opens a window on a table. Waits for capture as long as it takes.
    ///
    /// # Errors
    /// Capture has no certain definition of the table.
    pub async fn open(&self, database: &str, table: &str) -> Result<OpenWindow, OpenRefused> {
        let id = self.0.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (reply, answer) = oneshot::channel();
        let table = ObjectName { database: database.to_owned(), table: table.to_owned() };
        // Closes it also when nobody waits for the answer any more.
        let mut pending = PendingOpen { chunks: self.clone(), id: Some(id) };
        self.ask(Request::Open { id, table, reply });
        let opened = answer.await.map_err(|_| OpenRefused::Restarted)??;
        pending.id = None;
        Ok(OpenWindow { chunks: self.clone(), id, opened, since: tokio::time::Instant::now() })
    }

    /// Puts a mark into the log, between two transactions. False when capture ended meanwhile.
    pub async fn mark(&self, mark: SnapshotMark, note: Note) -> bool {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Mark { mark, note, reply });
        answer.await.is_ok()
    }

    fn ask(&self, request: Request) {
        let mut requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(request);
        self.0.waiting.store(requests.len() as u64, Ordering::Release);
        drop(requests);
        self.0.called.notify_one();
    }

    /// Whether someone asks for something.
    pub(super) fn is_called(&self) -> bool {
        self.0.waiting.load(Ordering::Acquire) > 0
    }

    /// Resolves when someone may have asked for something.
    pub(super) async fn called(&self) {
        self.0.called.notified().await;
    }

    /// What is asked for, oldest first.
    pub(super) fn take(&self) -> Vec<Request> {
        let mut requests = self.0.requests.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.waiting.store(0, Ordering::Release);
        std::mem::take(&mut requests)
    }
}

struct PendingOpen {
    chunks: Chunks,
    id: Option<u64>,
}

impl Drop for PendingOpen {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.chunks.ask(Request::Close { id });
        }
    }
}

impl OpenWindow {
    /// Hands rows over and waits until they are appended, after which the window is still open, or dropped, after which
    /// it is not.
    pub async fn hand_over(&mut self, chunk: Chunk) -> Outcome {
        let (reply, answer) = oneshot::channel();
        self.chunks.ask(Request::Rows { id: self.id, chunk: Box::new(chunk), reply });
        answer.await.unwrap_or(Outcome::Dropped(Dropped::Restarted))
    }
}

impl Drop for OpenWindow {
    fn drop(&mut self) {
        self.chunks.ask(Request::Close { id: self.id });
    }
}
