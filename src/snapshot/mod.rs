//! Copies the rows that tables hold already into the log, beside the stream and without a lock: each chunk is read in a
//! view of its own and appended by capture between two transactions, without the rows that changed meanwhile. So the
//! log is one history, in which no row goes back in time.
//!
//! | look in | for |
//! |---|---|
//! | [`run`] | which tables there are, and who copies them |
//! | `queue.rs` | the tables that wait |
//! | `table.rs` | one table: window, chunk, hand-over, again |
//! | `reader.rs` | one chunk: the marks, the view, the rows |
//! | [`probe`] | whether a table can be read at all |
//! | [`limit`] | how fast tables may be read |
//! | [`image`] | a row of an answer to the image that the binlog has of it |
//! | [`literal`] | keys as literals, for where the next chunk begins |
//! | [`crate::capture::chunks`], [`crate::capture::window`] | the other side |

pub mod error;
pub mod image;
pub mod limit;
pub mod literal;
pub mod probe;
mod queue;
mod reader;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use relay_store::Store;
use tokio_util::sync::CancellationToken;

use crate::capture::captured::Captured;
use crate::capture::chunks::Chunks;
use crate::capture::online_ddl::OnlineDdl;
use crate::capture::source::Session;
use crate::capture::stream::{ConnectOptions, text_literal};
use crate::config::{Snapshot, SnapshotMode, Source};
use crate::failure::{Failure, chain};
use crate::log::{CopyState, TableProgress};
use crate::status::{CaptureHandle, SnapshotHandle, State, TableState, TableView};
use error::CopyError;
use limit::Limit;
use queue::{Job, Queue};
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

/// Copies every selected table that the log does not hold whole, and those that are asked for meanwhile, until the
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
        let queue = Arc::new(Queue::default());
        if jobs.is_empty() {
            self.handle.task().set_state(State::Completed);
        } else {
            tracing::info!(tables = jobs.len(), threads = self.settings.threads, "snapshot begins");
            self.handle.task().set_state(State::Snapshot);
        }
        jobs.into_iter().for_each(|job| queue.push(job));
        let mut copiers = tokio::task::JoinSet::new();
        for _ in 0..self.settings.threads {
            let (context, queue) = (self.clone(), Arc::clone(&queue));
            copiers.spawn(async move { context.work(&queue).await });
        }
        loop {
            tokio::select! {
                ended = copiers.join_next() => match ended {
                    Some(Err(panic)) => return Err(CopyError::Internal(panic.to_string())),
                    Some(Ok(())) => {}
                    None => return Ok(()),
                },
                table = self.handle.ordered() => self.take_order(&host, &table, &queue).await?,
            }
        }
    }

    /// Takes on a table that someone asked for. The log knows it as well, for the next life.
    async fn take_order(&self, host: &str, table: &str, queue: &Queue) -> Result<(), CopyError> {
        // This life found it in the log already.
        if self.handle.table(table).is_some_and(|view| view.state.is_under_way()) {
            return Ok(());
        }
        let Some((database, name)) = table.split_once('.') else { return Ok(()) };
        let mut session = self.session(host).await?;
        let estimates = estimates(&mut session, Some((database, name))).await?;
        let estimate = estimates.into_values().next().unwrap_or(0);
        let progress = TableProgress::begin(database, name, 0);
        self.handle.set_table(view(&progress, estimate));
        tracing::info!(table, "a copy begins");
        queue.push(Job::new(progress));
        Ok(())
    }

    /// Takes tables off the queue for as long as this life lasts.
    async fn work(&self, queue: &Queue) {
        let mut copier = Copier::new(self);
        loop {
            let mut job = queue.next().await;
            self.handle.task().set_state(State::Snapshot);
            self.show(&job.progress, TableState::Copying, None);
            let (chunks, copied) = (job.progress.chunks, copier.copy(&mut job.progress).await);
            let again = match copied {
                Ok(()) => {
                    let (state, why) = outcome(&job.progress.state);
                    self.show(&job.progress, state, why);
                    None
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
                    Some(job)
                }
            };
            if queue.done(again) {
                tracing::info!("snapshot ends: every table is in the log");
                self.handle.task().set_state(State::Completed);
                // One that was asked for in between.
                if !queue.is_idle() {
                    self.handle.task().set_state(State::Snapshot);
                }
            }
        }
    }

    /// The tables that are to be copied, as far as they have come.
    async fn jobs(&self, host: &str) -> Result<Vec<Job>, CopyError> {
        let mut session = self.session(host).await?;
        let names = estimates(&mut session, None).await?;
        drop(session);
        let captured = Captured::new(&self.source);
        let online = OnlineDdl::with(&self.source.online_ddl);
        let wanted = |database: &str, table: &str| {
            let is_there = |of: &str| names.contains_key(&(database.to_owned(), of.to_owned()));
            let is_helper = online.tables(table).any(is_there);
            captured.matches(database, table) && (!is_helper || captured.names(database, table))
        };
        let mut known = BTreeMap::new();
        for (_, value) in self.store.notes(TableProgress::note_prefix()) {
            let progress = TableProgress::decode(&value)?;
            known.insert((progress.database.clone(), progress.table.clone()), progress);
        }
        let adhoc = self.settings.mode == SnapshotMode::Adhoc;
        let (mut jobs, mut views) = (Vec::new(), Vec::new());
        for ((database, table), &estimate) in names.iter().filter(|((database, table), _)| wanted(database, table)) {
            let progress = match known.remove(&(database.clone(), table.clone())) {
                None if adhoc => continue,
                // One that went away is there again.
                Some(known) if adhoc || !matches!(known.state, CopyState::Ended(_)) => known,
                _ => TableProgress::begin(database, table, 0),
            };
            let view = view(&progress, estimate);
            if view.state == TableState::Waiting {
                jobs.push(Job::new(progress));
            }
            views.push(view);
        }
        self.handle.set_tables(views);
        Ok(jobs)
    }

    /// A connection to the server that is captured.
    async fn session(&self, host: &str) -> Result<Session, CopyError> {
        let options = ConnectOptions::each_host(&self.source)
            .find(|options| options.address() == host)
            .ok_or_else(|| CopyError::Internal(format!("capture reads {host}, which is not in the config")))?;
        Ok(Session::connect(&options).await?)
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

/// Tables of the server by database and name, with the rows it believes them to have; or one of them.
async fn estimates(
    session: &mut Session,
    only: Option<(&str, &str)>,
) -> Result<BTreeMap<(String, String), u64>, CopyError> {
    let one = only.map(|(database, table)| {
        format!(" AND TABLE_SCHEMA = {} AND TABLE_NAME = {}", text_literal(database), text_literal(table))
    });
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES \
         WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED'){}",
        one.unwrap_or_default()
    );
    let rows = session.connection().query(&sql).await?;
    let tables = rows.iter().filter_map(|row| {
        let estimate = row.at(2).and_then(|rows| rows.parse().ok()).unwrap_or(0);
        Some(((row.at(0)?.to_owned(), row.at(1)?.to_owned()), estimate))
    });
    Ok(tables.collect())
}

/// What is said of a table before a reader takes it.
fn view(progress: &TableProgress, estimated_rows: u64) -> TableView {
    let (state, problem) = match &progress.state {
        CopyState::Copying => (TableState::Waiting, None),
        other => outcome(other),
    };
    TableView {
        table: format!("{}.{}", progress.database, progress.table),
        state,
        rows: progress.rows,
        bytes: progress.bytes,
        chunks: progress.chunks,
        estimated_rows,
        restarts: progress.restarts,
        problem,
    }
}

/// What became of a copy, and why.
fn outcome(state: &CopyState) -> (TableState, Option<String>) {
    match state {
        CopyState::Ended(why) => (TableState::Ended, Some(why.clone())),
        CopyState::Stopped => (TableState::Stopped, None),
        CopyState::Done | CopyState::Copying => (TableState::Done, None),
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
