//! Copies the rows that tables hold already into the log, beside the stream and without a lock: each chunk is read in a
//! view of its own and appended by capture between two transactions, without the rows that changed meanwhile. So the
//! log is one history, in which no row goes back in time.
//!
//! | look in | for |
//! |---|---|
//! | [`run`] | which tables there are, and who copies them |
//! | `table.rs` | one table: window, chunk, hand-over, again |
//! | `reader.rs` | one chunk: the marks, the view, the rows |
//! | [`limit`] | how fast tables may be read |
//! | [`image`] | a row of an answer to the image that the binlog has of it |
//! | [`literal`] | keys as literals, for where the next chunk begins |
//! | [`crate::capture::chunks`], [`crate::capture::window`] | the other side |

pub mod error;
pub mod image;
pub mod limit;
pub mod literal;
mod reader;
mod table;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use relay_store::Store;
use tokio_util::sync::CancellationToken;

use crate::capture::captured::Captured;
use crate::capture::chunks::Chunks;
use crate::capture::online_ddl::OnlineDdl;
use crate::capture::source::Session;
use crate::capture::stream::ConnectOptions;
use crate::config::{Snapshot, SnapshotMode, Source};
use crate::failure::{Failure, chain};
use crate::log::{CopyState, TableProgress};
use crate::status::{CaptureHandle, SnapshotHandle, State, TableState, TableView};
use error::CopyError;
use limit::Limit;
use table::Copier;

/// No chunk is opened while capture is further behind than this.
const LAG_MAX: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LAG_POLL: Duration = Duration::from_millis(200);
/// How long a table that cannot be read is left alone, at first and at last.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What the copy works with.
#[derive(Clone)]
pub struct SnapshotContext {
    /// The source's settings.
    pub source: Arc<Source>,
    /// The copy's own.
    pub settings: Snapshot,
    /// The log, which knows how far earlier lives came.
    pub store: Store,
    /// Where capture takes what is read.
    pub chunks: Chunks,
    /// Which server it reads, and how far behind it is.
    pub capture: CaptureHandle,
    /// How fast tables may be read.
    pub limit: Limit,
    /// Where the copy says how it is.
    pub handle: SnapshotHandle,
    /// Ends it.
    pub shutdown: CancellationToken,
}

/// A table to be copied, and how often that failed on end.
struct Job {
    progress: TableProgress,
    failures: u32,
    not_before: tokio::time::Instant,
}

/// Copies every selected table that the log does not hold whole; then, or where none is to be copied, waits for the
/// shutdown.
///
/// # Errors
/// The source does not say which tables there are, or the log does not say how far earlier lives came. A single table
/// that cannot be read is tried again, and holds up no other.
pub async fn run(context: SnapshotContext) -> Result<(), CopyError> {
    let shutdown = context.shutdown.clone();
    let copied = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(()),
        copied = context.copy_all() => copied,
    };
    copied?;
    // A life ends when it is told to.
    shutdown.cancelled().await;
    Ok(())
}

impl SnapshotContext {
    async fn copy_all(&self) -> Result<(), CopyError> {
        if self.settings.mode == SnapshotMode::Never {
            return Ok(());
        }
        let host = self.wait_until_captured().await;
        let jobs = self.jobs(&host).await?;
        let all = jobs.len();
        if all > 0 {
            tracing::info!(tables = all, threads = self.settings.threads, "snapshot begins");
            self.handle.task().set_state(State::Snapshot);
        }
        let queue = Arc::new(Mutex::new(jobs));
        let mut copiers = tokio::task::JoinSet::new();
        for _ in 0..usize::from(self.settings.threads).min(all) {
            let (context, queue) = (self.clone(), Arc::clone(&queue));
            copiers.spawn(async move { context.work(&queue).await });
        }
        while let Some(ended) = copiers.join_next().await {
            if let Err(panic) = ended {
                return Err(CopyError::Internal(panic.to_string()));
            }
        }
        if all > 0 {
            tracing::info!("snapshot ends: every table is in the log");
        }
        self.handle.task().set_state(State::Completed);
        Ok(())
    }

    /// Takes tables off the queue until none is left.
    async fn work(&self, queue: &Mutex<VecDeque<Job>>) {
        let mut copier = Copier::new(self);
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(mut job) = next else { return };
            tokio::time::sleep_until(job.not_before).await;
            self.show(&job.progress, TableState::Copying, None);
            let (chunks, copied) = (job.progress.chunks, copier.copy(&mut job.progress).await);
            match copied {
                Ok(()) => {
                    let (state, why) = match &job.progress.state {
                        CopyState::Ended(why) => (TableState::Ended, Some(why.clone())),
                        CopyState::Stopped => (TableState::Stopped, None),
                        _ => (TableState::Done, None),
                    };
                    self.show(&job.progress, state, why);
                }
                Err(error) => {
                    let table = format!("{}.{}", job.progress.database, job.progress.table);
                    let step = error.next_step().map(|step| format!("; {step}")).unwrap_or_default();
                    let problem = format!("{}{step}", chain(&error));
                    tracing::warn!(table, error = problem, "a table cannot be copied now");
                    self.show(&job.progress, TableState::Failing, Some(problem));
                    job.failures = if job.progress.chunks > chunks { 1 } else { job.failures + 1 };
                    let delay = RETRY_MIN * 2u32.saturating_pow(job.failures - 1);
                    job.not_before = tokio::time::Instant::now() + delay.min(RETRY_MAX);
                    queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
                }
            }
        }
    }

    /// The tables that are to be copied, as far as they have come.
    async fn jobs(&self, host: &str) -> Result<VecDeque<Job>, CopyError> {
        let options = ConnectOptions::each_host(&self.source)
            .find(|options| options.address() == host)
            .ok_or_else(|| CopyError::Internal(format!("capture reads {host}, which is not in the config")))?;
        let mut session = Session::connect(&options).await?;
        let rows = session
            .connection()
            .query(
                "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES \
                 WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_SCHEMA, TABLE_NAME",
            )
            .await?;
        let captured = Captured::new(&self.source);
        let online = OnlineDdl::with(&self.source.online_ddl);
        let names: BTreeMap<(&str, &str), u64> = rows
            .iter()
            .filter_map(|row| {
                let estimate = row.at(2).and_then(|rows| rows.parse().ok()).unwrap_or(0);
                Some(((row.at(0)?, row.at(1)?), estimate))
            })
            .collect();
        let wanted = |database: &str, table: &str| {
            let is_helper = online.tables(table).any(|of| names.contains_key(&(database, of)));
            captured.matches(database, table) && (!is_helper || captured.names(database, table))
        };
        let mut known = BTreeMap::new();
        for (_, value) in self.store.notes(TableProgress::note_prefix()) {
            let progress = TableProgress::decode(&value)?;
            known.insert((progress.database.clone(), progress.table.clone()), progress);
        }
        let (mut jobs, mut views) = (VecDeque::new(), Vec::new());
        for (&(database, table), &estimate) in names.iter().filter(|((database, table), _)| wanted(database, table)) {
            let progress = known.remove(&(database.to_owned(), table.to_owned()));
            if progress.is_none() && self.settings.mode == SnapshotMode::Adhoc {
                continue;
            }
            let progress = progress
                .filter(|known| !matches!(known.state, CopyState::Ended(_)))
                .unwrap_or_else(|| TableProgress::begin(database, table, 0));
            let state = match progress.state {
                CopyState::Done => TableState::Done,
                CopyState::Stopped => TableState::Stopped,
                CopyState::Copying | CopyState::Ended(_) => TableState::Waiting,
            };
            views.push(TableView {
                table: format!("{database}.{table}"),
                state,
                rows: progress.rows,
                bytes: progress.bytes,
                chunks: progress.chunks,
                estimated_rows: estimate,
                restarts: progress.restarts,
                problem: None,
            });
            if state == TableState::Waiting {
                jobs.push_back(Job { progress, failures: 0, not_before: tokio::time::Instant::now() });
            }
        }
        self.handle.set_tables(views);
        Ok(jobs)
    }

    /// Waits until capture follows a server; gives its address.
    async fn wait_until_captured(&self) -> String {
        let mut states = self.capture.task().watch();
        loop {
            if self.capture.state() == State::Running
                && let Some(server) = self.capture.server()
            {
                return server.host;
            }
            if states.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until capture is near the source's end, so that rows need not wait long for their place.
    async fn wait_for_capture(&self) {
        // An idle source is heard of once in a heartbeat.
        let limit = LAG_MAX.max(self.source.heartbeat_interval.0 * 2);
        let is_near = || self.capture.end().is_some_and(|end| end.at.elapsed() <= limit);
        if is_near() {
            return;
        }
        let _waiting = Waiting::begin(&self.handle);
        while !is_near() {
            tokio::time::sleep(LAG_POLL).await;
        }
    }

    /// Says how far a table is.
    fn show(&self, progress: &TableProgress, state: TableState, problem: Option<String>) {
        self.handle.update(&format!("{}.{}", progress.database, progress.table), |view| {
            (view.state, view.problem) = (state, problem);
            (view.rows, view.bytes, view.chunks) = (progress.rows, progress.bytes, progress.chunks);
            view.restarts = progress.restarts;
        });
    }
}

/// Says that someone waits for capture, as long as it lives.
struct Waiting<'a>(&'a SnapshotHandle);

impl<'a> Waiting<'a> {
    fn begin(handle: &'a SnapshotHandle) -> Self {
        handle.set_waiting(true);
        Self(handle)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set_waiting(false);
    }
}
