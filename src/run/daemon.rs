//! The running daemon as the API and signals reach it: what it is made of, and the acts an operator may ask for.
//! Acts that change the set of tasks go one at a time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use relay_store::{CursorError, CursorOptions, CursorState, Seq, Store};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::deliveries::Deliveries;
use super::gauges::Memory;
use super::reload::{Plan, RestartNeeded, plan};
use super::{metrics_of, refusal, store_retention};
use crate::capture::chunks::Chunks;
use crate::change::schema::TableName;
use crate::check::{self, Level, Renewal, Report};
use crate::config::{Config, ConfigError, check_name};
use crate::delivery::park::request_release;
use crate::log::address::Address;
use crate::log::resolve::ResolveError;
use crate::log::tally::{Tally, TallyError, tally};
use crate::metrics::Metrics;
use crate::snapshot::limit::Limit;
use crate::status::{State, Status};
use crate::supervisor::{Cause, Control};

/// How long an answer waits for a delivery to be paused.
const PAUSE_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// What the daemon is made of.
pub struct Daemon {
    path: PathBuf,
    config: Mutex<Arc<Config>>,
    store: Store,
    status: Arc<Status>,
    metrics: Arc<Metrics>,
    capture: Control,
    chunks: Chunks,
    snapshot: Control,
    snapshot_limit: Limit,
    deliveries: Deliveries,
    memory: Memory,
    /// Held while the set of tasks changes: reloads and acts on cursors go one at a time.
    acting: tokio::sync::Mutex<()>,
}

/// Why a config was not taken over. Nothing was changed.
#[derive(Debug, Error)]
pub enum ReloadError {
    /// The file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It asks for what only a restart can do.
    #[error(transparent)]
    Restart(#[from] RestartNeeded),
    /// It fails the precheck.
    #[error("{0}; nothing was changed")]
    Precheck(String),
}

/// Why an act was refused. Nothing was changed.
#[derive(Debug, Error)]
pub enum ActionError {
    /// The store refused it.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The address leads nowhere.
    #[error(transparent)]
    Address(#[from] ResolveError),
    /// What would be replayed cannot be read.
    #[error(transparent)]
    Tally(#[from] TallyError),
    /// The name cannot be a cursor's.
    #[error("{0}")]
    Name(String),
    /// The cursor belongs to a delivery of the config.
    #[error("cursor {name:?} belongs to a delivery of the config: remove the delivery, reload, then delete the cursor")]
    Configured {
        /// Its name.
        name: String,
    },
    /// The cursor is not where the caller believes.
    #[error(
        "cursor {name:?} has epoch {epoch} and stands at seq {acked}, not where it was expected: look again before acting"
    )]
    Moved {
        /// Its name.
        name: String,
        /// Its epoch.
        epoch: u32,
        /// Its place.
        acked: u64,
    },
    /// No such table is parked on the cursor.
    #[error("table {table:?} is not parked on cursor {name:?}")]
    NotParked {
        /// The cursor.
        name: String,
        /// The table.
        table: String,
    },
}

/// What a reset did, or would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reset {
    /// The cursor.
    pub name: String,
    /// Where it stood: everything up to here was acknowledged.
    pub from_acked_seq: u64,
    /// Where it stands then.
    pub to_acked_seq: u64,
    /// Its epoch afterwards; the one it has for a dry run.
    pub epoch: u32,
    /// Whether it was done.
    pub done: bool,
    /// What is delivered again; empty when the cursor goes forward.
    pub replay: Tally,
    /// Entries that are never delivered because the cursor goes forward.
    pub skipped_entries: u64,
}

impl Daemon {
    /// A daemon whose tasks do not run yet; failures that end the process go to `fatal`.
    pub fn new(path: PathBuf, config: Config, store: Store, fatal: mpsc::Sender<(String, Cause)>) -> Self {
        let status = Arc::new(Status::new());
        let metrics = Arc::new(metrics_of(&config));
        let memory = Memory::new(&store);
        let deliveries = Deliveries::new(&config, store.clone(), Arc::clone(&status), Arc::clone(&metrics), fatal);
        let snapshot_limit = Limit::new(&config.snapshot);
        Self {
            path,
            config: Mutex::new(Arc::new(config)),
            store,
            status,
            metrics,
            capture: Control::new(false),
            chunks: Chunks::default(),
            snapshot: Control::new(false),
            snapshot_limit,
            deliveries,
            memory,
            acting: tokio::sync::Mutex::new(()),
        }
    }

    /// The config in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The durable log.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the tasks say of themselves.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Every metric.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What measuring remembers.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The hand on capture.
    pub fn capture_control(&self) -> &Control {
        &self.capture
    }

    /// Where readers of tables and capture meet.
    pub fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    /// The hand on the copy of tables.
    pub fn snapshot_control(&self) -> &Control {
        &self.snapshot
    }

    /// How fast tables may be read.
    pub(super) fn snapshot_limit(&self) -> &Limit {
        &self.snapshot_limit
    }

    /// Starts every delivery of the config. `stop` ends what outlives the single delivery.
    pub async fn start_deliveries(&self, stop: &CancellationToken) {
        let _acting = self.acting.lock().await;
        self.deliveries.keep_zone(stop.clone());
        for delivery in self.config().deliveries.clone() {
            self.deliveries.start(delivery).await;
        }
    }

    /// Ends every delivery in good order, all at the same time, within `bound`.
    pub async fn stop_deliveries(&self, bound: std::time::Duration) {
        let _acting = self.acting.lock().await;
        self.deliveries.stop_all(bound).await;
    }

    /// Reads the config file again and takes it over, whole or not at all.
    ///
    /// # Errors
    /// A file that is wrong, that asks for what only a restart can do, or that fails the precheck.
    pub async fn reload(&self) -> Result<Plan, ReloadError> {
        let _acting = self.acting.lock().await;
        let new = Config::load(&self.path)?;
        let plan = plan(&self.config(), &new)?;
        self.check_reload(&new, &plan).await?;
        if plan.snapshot || plan.snapshot_limits {
            self.snapshot_limit.set(&new.snapshot);
        }
        if plan.retention {
            self.store.set_retention(store_retention(&new.log.retention));
        }
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        if plan.capture {
            self.capture.restart();
        }
        if plan.snapshot {
            self.snapshot.restart();
        }
        for name in &plan.remove {
            self.deliveries.stop(name).await;
        }
        for delivery in &plan.tune {
            self.deliveries.tune(delivery).await;
        }
        for delivery in plan.change.iter().chain(&plan.add) {
            self.deliveries.stop(&delivery.name).await;
            self.deliveries.start(delivery.clone()).await;
        }
        Ok(plan)
    }

    /// Refuses what would park at once.
    async fn check_reload(&self, new: &Config, plan: &Plan) -> Result<(), ReloadError> {
        let begun = plan.change.iter().chain(&plan.add).filter(|delivery| !delivery.paused);
        let renewal =
            Renewal { deliveries: begun.map(|delivery| delivery.name.clone()).collect(), tables: plan.capture };
        if renewal.deliveries.is_empty() && !renewal.tables {
            return Ok(());
        }
        let report = check::before_reload(new, &renewal, &self.store).await;
        if report.refusing(Level::Fail).is_empty() {
            return Ok(());
        }
        Err(ReloadError::Precheck(refusal(&report, Level::Fail, "")))
    }

    /// Runs the precheck again, beside the running daemon.
    pub async fn check(&self) -> Report {
        let checkpoint = super::durable_checkpoint(&self.store).ok().flatten();
        check::with_open_log(&self.config(), checkpoint.as_ref(), &self.store).await
    }

    /// Creates a cursor that belongs to no delivery yet.
    ///
    /// # Errors
    /// A name that is taken or unfit, an address that leads nowhere.
    pub async fn create_cursor(&self, name: &str, start: Address) -> Result<CursorState, ActionError> {
        check_name(name).map_err(ActionError::Name)?;
        let _acting = self.acting.lock().await;
        let (store, name) = (self.store.clone(), name.to_owned());
        blocking(move || {
            let acked = start.resolve(&store)?.prev();
            let state = store.cursors().create(&name, acked, CursorOptions::default())?;
            audit("create", &name, &state);
            Ok(state)
        })
        .await
    }

    /// Moves a cursor to an address, or says what that would replay. `expected` is the epoch and place the caller
    /// saw; another one refuses the act.
    ///
    /// # Errors
    /// An unknown cursor, an address outside the log, a cursor that moved.
    pub async fn reset_cursor(
        &self,
        name: &str,
        to: Address,
        dry_run: bool,
        expected: Option<u32>,
    ) -> Result<Reset, ActionError> {
        let _acting = self.acting.lock().await;
        let (store, owned) = (self.store.clone(), name.to_owned());
        let reset = blocking(move || reset_cursor(&store, &owned, &to, dry_run, expected)).await?;
        if reset.done {
            // The next life reads the cursor's new place; late acks of the old one carry the old epoch.
            self.deliveries.restart(name).await;
        }
        Ok(reset)
    }

    /// Pauses a cursor; its delivery ends in good order.
    ///
    /// # Errors
    /// An unknown cursor.
    pub async fn pause_cursor(&self, name: &str) -> Result<CursorState, ActionError> {
        let _acting = self.acting.lock().await;
        let (store, owned) = (self.store.clone(), name.to_owned());
        let state = blocking(move || Ok(store.cursors().pause(&owned)?)).await?;
        audit("pause", name, &state);
        self.deliveries.pause(name).await;
        if let Some(delivery) = self.status.find(name) {
            // What is asked right after sees it paused; one that is slow to end is paused all the same.
            let mut states = delivery.task().watch();
            let _ = timeout(PAUSE_WAIT, states.wait_for(|s| *s == State::Paused)).await;
        }
        Ok(state)
    }

    /// Resumes a cursor: a paused, parked or failed delivery starts again, one that waits to retry tries at once.
    ///
    /// # Errors
    /// An unknown cursor.
    pub async fn resume_cursor(&self, name: &str) -> Result<CursorState, ActionError> {
        let _acting = self.acting.lock().await;
        let (store, owned) = (self.store.clone(), name.to_owned());
        let state = blocking(move || Ok(store.cursors().resume(&owned)?)).await?;
        audit("resume", name, &state);
        self.deliveries.resume(name).await;
        Ok(state)
    }

    /// Deletes a cursor that no delivery of the config has.
    ///
    /// # Errors
    /// An unknown cursor, or one in use.
    pub async fn delete_cursor(&self, name: &str) -> Result<(), ActionError> {
        let _acting = self.acting.lock().await;
        if self.config().deliveries.iter().any(|d| d.name == name) {
            return Err(ActionError::Configured { name: name.to_owned() });
        }
        let (store, owned) = (self.store.clone(), name.to_owned());
        blocking(move || {
            let state = find(&store, &owned)?;
            store.cursors().delete(&owned)?;
            audit("delete", &owned, &state);
            Ok(())
        })
        .await?;
        self.status.forget(name);
        Ok(())
    }

    /// Lets a parked table be delivered again, from its first undelivered entry on.
    ///
    /// # Errors
    /// An unknown cursor, or a table that is not parked there.
    pub async fn release_table(&self, name: &str, table: &str) -> Result<CursorState, ActionError> {
        let _acting = self.acting.lock().await;
        let (store, owned, key) = (self.store.clone(), name.to_owned(), table.to_owned());
        let state = blocking(move || {
            let state = find(&store, &owned)?;
            let named = key.split_once('.').map(|(d, t)| TableName::new(d, t));
            let asked = named.map(|t| request_release(&store.cursors(), &owned, &t)).transpose()?;
            if asked != Some(true) {
                return Err(ActionError::NotParked { name: owned, table: key });
            }
            Ok(state)
        })
        .await?;
        audit("release", name, &state);
        Ok(state)
    }
}

fn find(store: &Store, name: &str) -> Result<CursorState, CursorError> {
    store.cursors().get(name).ok_or_else(|| CursorError::Unknown { name: name.to_owned() })
}

/// Moves a cursor of an open store, or says what that would replay.
///
/// # Errors
/// As [`Daemon::reset_cursor`].
pub fn reset_cursor(
    store: &Store,
    name: &str,
    to: &Address,
    dry_run: bool,
    expected: Option<u32>,
) -> Result<Reset, ActionError> {
    let before = find(store, name)?;
    if expected.is_some_and(|epoch| epoch != before.epoch.0) {
        return Err(ActionError::Moved { name: name.to_owned(), epoch: before.epoch.0, acked: before.acked.0 });
    }
    let acked = to.resolve(store)?.prev();
    let replay = if acked < before.acked {
        tally(&mut store.reader(), acked.next(), before.acked, &mut |_| {})?
    } else {
        Tally::default()
    };
    let mut reset = Reset {
        name: name.to_owned(),
        from_acked_seq: before.acked.0,
        to_acked_seq: acked.0,
        epoch: before.epoch.0,
        done: false,
        replay,
        skipped_entries: acked.0.saturating_sub(before.acked.0),
    };
    if !dry_run {
        let after = store.cursors().reset(name, acked)?;
        audit("reset", name, &after);
        reset.epoch = after.epoch.0;
        reset.done = true;
    }
    Ok(reset)
}

/// One line for every act that moves or removes a cursor.
fn audit(act: &'static str, name: &str, state: &CursorState) {
    let Seq(acked) = state.acked;
    tracing::info!(audit = act, cursor = name, acked_seq = acked, cursor_epoch = state.epoch.0, "operator's act");
}

/// Runs blocking work of the store off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ActionError> + Send + 'static,
) -> Result<T, ActionError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}
