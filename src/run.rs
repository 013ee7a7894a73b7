//! Wiring only: what the daemon is made of, in which order it starts, what it listens to, and in which order it
//! stops. Upstream first, so that nothing new arrives while what is there is brought to its end.

mod alerts;
mod daemon;
mod deliveries;
pub mod gauges;
mod lag;
pub mod reload;
mod snapshot;
mod zone;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use relay_store::{OpenError, Store, StoreOptions};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::check::{self, Item, Level, Report, Verdict};
use crate::config::{Codec, Config, LaggingCursor, Log, Retention, SnapshotMode};
use crate::failure::{Class, Exit};
use crate::log::{Checkpoint, LogError};
use crate::status::{State, Status};
use crate::supervisor::{Cause, Outcome, Policy, supervise};
use crate::{api, capture, metrics};

pub use daemon::{ActionError, Daemon, ReloadError, Reset, reset_cursor};
pub use snapshot::SnapshotActError;

/// How long capture may take to end, and how long deliveries may take to have their last acks.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How long deliveries may drain what the log holds after capture ended for good.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// How often draining looks.
const DRAIN_POLL: Duration = Duration::from_millis(200);

/// What the command line adds to the config.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Start although precheck items warn.
    pub accept_warnings: bool,
}

/// Why the daemon ended, when nobody asked it to.
#[derive(Debug, Error)]
pub enum RunError {
    /// The log cannot be opened.
    #[error("open the log: {0}")]
    Open(#[from] OpenError),
    /// The precheck speaks against a start.
    #[error("{reason}")]
    Precheck {
        /// The first item that does, with its remedy.
        reason: String,
        /// Its exit code.
        exit: Exit,
    },
    /// The log's own position in the source does not decode.
    #[error("the log's checkpoint: {0}")]
    Checkpoint(LogError),
    /// The API cannot listen.
    #[error("listen on {address}: {error}; set admin.listen to a free address")]
    Listen {
        /// Where it should.
        address: std::net::SocketAddr,
        /// Why it cannot.
        error: std::io::Error,
    },
    /// Signals cannot be received.
    #[error("receive signals: {0}")]
    Signals(#[from] std::io::Error),
    /// A task ended for good.
    #[error("{task}: {cause}")]
    Task {
        /// `capture`, or the delivery's name.
        task: String,
        /// Why.
        cause: Cause,
    },
}

impl RunError {
    /// The process's exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Open(e) => exit_of_open(e),
            Self::Checkpoint(_) => Exit::Store,
            Self::Precheck { exit, .. } => *exit,
            Self::Listen { .. } | Self::Signals(_) => Exit::Failed,
            Self::Task { cause, .. } => cause.exit,
        }
    }
}

/// The exit code when a store cannot be opened: wrong folder, damage, or something that passes.
pub fn exit_of_open(error: &OpenError) -> Exit {
    match error {
        OpenError::NotAStore { .. } | OpenError::Missing { .. } | OpenError::Option { .. } => Exit::Config,
        OpenError::Damaged { .. } | OpenError::MetaDamaged { .. } | OpenError::Storage(_) => Exit::Store,
        _ => Exit::Failed,
    }
}

/// The store's options, from the config.
pub fn store_options(log: &Log) -> StoreOptions {
    StoreOptions {
        codec: match log.codec {
            Codec::Lz4 => relay_store::Codec::Lz4,
            Codec::Zstd => relay_store::Codec::Zstd,
            Codec::None => relay_store::Codec::None,
        },
        commit_interval: log.commit_interval.0,
        block_bytes: usize::try_from(log.block_bytes.0).unwrap_or(usize::MAX),
        segment_bytes: log.segment_bytes.0,
        queue_bytes: usize::try_from(log.queue_bytes.0).unwrap_or(usize::MAX),
        ballast_bytes: log.ballast_bytes.0,
        retention: store_retention(&log.retention),
        ..StoreOptions::default()
    }
}

/// The store's retention, from the config.
pub fn store_retention(retention: &Retention) -> relay_store::Retention {
    relay_store::Retention {
        max_age: Some(retention.max_age.0),
        max_bytes: Some(retention.max_bytes.0),
        lagging: store_lagging(retention.lagging_cursor),
        disk_free_min: retention.disk_free_min.0,
    }
}

/// A cursor's policy, from the config.
pub(crate) fn store_lagging(policy: LaggingCursor) -> relay_store::Lagging {
    match policy {
        LaggingCursor::Hold => relay_store::Lagging::Hold,
        LaggingCursor::Expire => relay_store::Lagging::Expire,
    }
}

/// Runs the daemon until a signal or a failure ends it.
///
/// # Errors
/// Whatever keeps it from starting, and the failure that ended it.
pub async fn run(path: PathBuf, config: Config, options: Options) -> Result<(), RunError> {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %path.display(), "starting");
    tracing::info!("effective config\n{}", config.to_toml());
    // Before anything can send them: a signal that arrives during the start ends it in good order too.
    let mut signals = Signals::new()?;
    // A first start that the precheck refuses leaves nothing behind, not even an empty log.
    if check::is_first_start(&config) {
        tokio::select! {
            report = check::run(&config) => judge(&report, &config, options)?,
            () = signals.stop() => return Ok(()),
        }
    }
    let store = open_store(&config.log).await?;
    tracing::info!(dir = %config.log.dir.display(), report = ?store.opened(), "log opened");
    let refused = tokio::select! {
        checked = precheck(&config, &store, options) => checked.err(),
        () = signals.stop() => {
            close(store).await;
            return Ok(());
        }
    };

    let address = config.admin.listen;
    let listener = match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            close(store).await;
            return Err(RunError::Listen { address, error });
        }
    };
    let (fatal, mut fatals) = mpsc::channel(16);
    let daemon = Arc::new(Daemon::new(path, config, store.clone(), fatal));
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "API listens");
    }
    let stop_api = CancellationToken::new();
    let api = tokio::spawn(api::serve(listener, Arc::clone(&daemon), stop_api.clone()));

    // Cursors before capture: what a cursor at `earliest` is to deliver must not be trimmed before it exists.
    daemon.start_deliveries(&stop_api).await;
    let stop_capture = CancellationToken::new();
    // What the log holds is delivered even when the source is refused.
    let mut capture = match refused {
        None => tokio::spawn(supervise_capture(Arc::clone(&daemon), stop_capture.clone())),
        Some(_) => tokio::spawn(async { Outcome::Stopped }),
    };
    let copy = match refused {
        None => Some(tokio::spawn(supervise_snapshot(Arc::clone(&daemon), stop_capture.clone()))),
        Some(_) => None,
    };
    let gauges = tokio::spawn(gauges::refresh(Arc::clone(&daemon), stop_api.clone()));
    let stop_alerts = CancellationToken::new();
    let alerts = tokio::spawn(alerts::watch(Arc::clone(&daemon), stop_alerts.clone()));
    let ended = match refused {
        Some(refusal) => Err(refusal),
        None => {
            notify(&[sd_notify::NotifyState::Ready]);
            listen(&daemon, &mut signals, &mut fatals, &mut capture).await
        }
    };
    notify(&[sd_notify::NotifyState::Stopping]);
    stop_alerts.cancel();
    let stopping = async {
        stop_capture.cancel();
        // It waits for nothing but capture.
        if let Some(copy) = copy {
            copy.abort();
        }
        if !capture.is_finished() && timeout(STOP_MAX, &mut capture).await.is_err() {
            tracing::warn!("capture did not end in {STOP_MAX:?}; what it had not committed is read again");
            capture.abort();
        }
        match &ended {
            Err(RunError::Task { cause, .. }) if cause.class != Class::Fatal => drain(&daemon).await,
            Err(RunError::Precheck { .. }) | Ok(Ended::Completed) => drain(&daemon).await,
            _ => {}
        }
        daemon.stop_deliveries(STOP_MAX).await;
        stop_api.cancel();
        // Its connections end with it; a client that lingers does not hold up the stop.
        let _ = timeout(Duration::from_secs(2), api).await;
        gauges.abort();
        alerts.abort();
    };
    let last_words = async {
        if let Err(end) = &ended {
            alerts::say_last_words(&daemon, end).await;
        }
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(stopping, last_words) } => {}
        () = signals.stop() => tracing::warn!("second signal: stopping at once"),
    }
    close(store).await;
    ended.map(drop)
}

async fn open_store(log: &Log) -> Result<Store, OpenError> {
    let (dir, options) = (log.dir.clone(), store_options(log));
    tokio::task::spawn_blocking(move || Store::open(&dir, options)).await.expect("opening a store does not panic")
}

async fn close(store: Store) {
    tokio::task::spawn_blocking(move || store.close()).await.expect("closing a store does not panic");
    tracing::info!("stopped");
}

/// The precheck beside an open log. A log that was filled before is not a first start: what was there once and is
/// away now is waited for, and each delivery parks alone, so that a restart does not need a world that is whole.
async fn precheck(config: &Config, store: &Store, options: Options) -> Result<(), RunError> {
    let checkpoint = durable_checkpoint(store)?;
    if checkpoint.is_none() && store.opened().created {
        // Asked just before the log was opened.
        return Ok(());
    }
    let mut report = check::with_open_log(config, checkpoint.as_ref(), store).await;
    if checkpoint.is_some() {
        report.items.iter_mut().filter(|item| item.unreachable || item.is_of_delivery()).for_each(Item::soften);
    }
    judge(&report, config, options)
}

/// What a report means for this start.
fn judge(report: &Report, config: &Config, options: Options) -> Result<(), RunError> {
    for item in report.items.iter().filter(|item| item.level != Level::Pass) {
        let (level, subject) = (item.level.name(), item.subject.as_str());
        tracing::warn!(id = item.id, subject, level, remedy = item.remedy, "precheck: {}", item.finding);
    }
    match report.verdict(&config.source.accept, options.accept_warnings) {
        Verdict::Ready => Ok(()),
        Verdict::Failed => Err(RunError::Precheck { reason: refusal(report, Level::Fail, ""), exit: report.exit() }),
        Verdict::Unaccepted => {
            let how = "; or list it under source.accept, or start with --accept-warnings";
            Err(RunError::Precheck { reason: refusal(report, Level::Warn, how), exit: Exit::Precheck })
        }
    }
}

/// Where the log ends in the source; `None` when it is new.
///
/// # Errors
/// A checkpoint that does not decode: its place is never replaced by a guess.
pub(crate) fn durable_checkpoint(store: &Store) -> Result<Option<Checkpoint>, RunError> {
    store.checkpoint().map(|bytes| Checkpoint::decode(&bytes)).transpose().map_err(RunError::Checkpoint)
}

fn refusal(report: &Report, level: Level, how: &str) -> String {
    let items = report.refusing(level);
    let first = items.first().map_or(String::new(), |item| {
        let subject = if item.subject.is_empty() { String::new() } else { format!(" ({})", item.subject) };
        format!("{}{subject}: {}; {}{how}", item.id, item.finding, item.remedy)
    });
    match items.len() {
        0 | 1 => format!("precheck: {first}"),
        n => format!("precheck: {first} (and {} more: relay check shows them)", n - 1),
    }
}

/// How the daemon ended when nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Someone asked it to.
    Asked,
    /// It has done all that it was to do.
    Completed,
}

/// Until a signal or a failure ends the daemon: reloads, and the watchdog.
async fn listen(
    daemon: &Arc<Daemon>,
    signals: &mut Signals,
    fatals: &mut mpsc::Receiver<(String, Cause)>,
    capture: &mut tokio::task::JoinHandle<Outcome>,
) -> Result<Ended, RunError> {
    let mut copied = daemon.status().snapshot().task().watch();
    let mut microseconds = 0;
    let watched = sd_notify::watchdog_enabled(false, &mut microseconds);
    // Half the interval, as sd_watchdog_enabled(3) recommends.
    let period = if watched { Duration::from_micros(microseconds / 2) } else { Duration::from_secs(3600) };
    let mut watchdog = tokio::time::interval(period.max(Duration::from_millis(10)));
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => {
                    tracing::info!("asked to stop");
                    return Ok(Ended::Asked);
                }
                Asked::Reload => drop(tokio::spawn(reload_and_say(Arc::clone(daemon)))),
            },
            Some((task, cause)) = fatals.recv() => return Err(RunError::Task { task, cause }),
            outcome = &mut *capture => {
                let cause = match outcome {
                    Ok(Outcome::Fatal(cause)) => cause,
                    Ok(Outcome::Stopped) => return Ok(Ended::Asked),
                    Err(e) => Cause::internal(format!("capture's supervisor ended: {e}")),
                };
                return Err(RunError::Task { task: "capture".to_owned(), cause });
            }
            _ = copied.wait_for(|state| *state == State::Completed),
                if daemon.config().snapshot.mode == SnapshotMode::Only => {
                let (file, offset) = daemon.status().capture().received();
                tracing::info!(file = &*file, offset, "every table is copied: the relay ends");
                return Ok(Ended::Completed);
            }
            _ = watchdog.tick() => {
                if watched && daemon.store().durable().poisoned().is_none() {
                    notify(&[sd_notify::NotifyState::Watchdog]);
                }
            }
        }
    }
}

/// Reloads the config and logs how that went.
async fn reload_and_say(daemon: Arc<Daemon>) {
    match daemon.reload().await {
        Ok(plan) => tracing::info!(%plan, "config reloaded"),
        Err(e) => tracing::error!(error = %e, "config not reloaded; the running one stays"),
    }
}

async fn supervise_capture(daemon: Arc<Daemon>, stop: CancellationToken) -> Outcome {
    let handle = daemon.status().capture();
    let task = handle.task().clone();
    let policy = {
        let daemon = Arc::clone(&daemon);
        move || {
            let source = &daemon.config().source;
            Policy { retry: source.retry, auto_resume: source.auto_resume, stops_daemon: true }
        }
    };
    let failures = daemon.metrics().capture().failures;
    supervise("capture", &task, policy, daemon.capture_control(), &stop, |shutdown| {
        let context = capture::CaptureContext {
            config: Arc::new(daemon.config().source.clone()),
            store: daemon.store().clone(),
            status: handle.clone(),
            metrics: daemon.metrics().capture(),
            chunks: daemon.chunks().clone(),
            shutdown,
        };
        let (failures, relay) = (failures.clone(), daemon.config().name.clone());
        async move {
            let (source, status, metrics) = (context.config.clone(), context.status.clone(), context.metrics.clone());
            // It beats as long as someone listens, and nothing waits for it.
            let ended = tokio::select! {
                ended = capture::run(context) => ended,
                () = capture::heartbeat::run(&source, &relay, &status, &metrics) => Ok(()),
            };
            ended.map_err(|e| {
                failures.inc();
                Box::new(e) as Box<dyn crate::failure::Failure>
            })
        }
    })
    .await
}

/// Copies tables as the config says, one life after the other; what one cannot do is tried again.
async fn supervise_snapshot(daemon: Arc<Daemon>, stop: CancellationToken) -> Outcome {
    let handle = daemon.status().snapshot();
    let task = handle.task().clone();
    let policy = {
        let daemon = Arc::clone(&daemon);
        move || {
            let source = &daemon.config().source;
            Policy { retry: source.retry, auto_resume: source.auto_resume, stops_daemon: false }
        }
    };
    supervise("snapshot", &task, policy, daemon.snapshot_control(), &stop, |shutdown| {
        let config = daemon.config();
        let context = crate::snapshot::SnapshotContext {
            source: Arc::new(config.source.clone()),
            settings: config.snapshot,
            store: daemon.store().clone(),
            chunks: daemon.chunks().clone(),
            capture: daemon.status().capture(),
            limit: daemon.snapshot_limit().clone(),
            handle: handle.clone(),
            shutdown,
        };
        async move { crate::snapshot::run(context).await.map_err(|e| Box::new(e) as Box<dyn crate::failure::Failure>) }
    })
    .await
}

/// Gives deliveries that run, or are about to, a bounded time to deliver what the log holds.
async fn drain(daemon: &Daemon) {
    // One that has just been started is behind too: a refused start would else end before it began.
    let works = |state| matches!(state, State::Starting | State::Running);
    let behind = |daemon: &Daemon, status: &Status| {
        let visible = daemon.store().positions().visible_seq;
        let cursors = daemon.store().cursors().list();
        cursors.iter().any(|c| c.acked < visible && status.find(&c.name).is_some_and(|d| works(d.state())))
    };
    let drained = async {
        while behind(daemon, daemon.status()) {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    tracing::info!("capture ended for good; deliveries get {DRAIN_MAX:?} for what the log holds");
    if timeout(DRAIN_MAX, drained).await.is_err() {
        tracing::warn!("a delivery is still behind; the log keeps what it lacks");
    }
}

/// Tells systemd; without it this does nothing.
fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(false, state) {
        tracing::debug!(error = %e, "notify systemd");
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next thing someone asks for.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Resolves when someone asks the process to stop.
    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}

/// The metrics of a config's relay.
pub(crate) fn metrics_of(config: &Config) -> metrics::Metrics {
    metrics::Metrics::new(&config.name, &config.environment)
}
