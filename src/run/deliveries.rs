//! The set of running deliveries: each one a supervised task with a token and a control of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use relay_store::{CursorOptions, Store};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::zone::Zone;
use super::{STOP_MAX, store_lagging};
use crate::config::{Config, Delivery, Throttle};
use crate::delivery::{self, DeliveryContext};
use crate::failure::{Class, Failure};
use crate::log::resolve::ResolveError;
use crate::metrics::{DeliveryMetrics, Metrics};
use crate::sink::kafka::Budget;
use crate::status::{DeliveryHandle, Status};
use crate::supervisor::{Cause, Control, Outcome, Policy, supervise};

/// All of them, by name.
pub(super) struct Deliveries {
    relay: Arc<str>,
    zone: Zone,
    budget: Budget,
    store: Store,
    status: Arc<Status>,
    metrics: Arc<Metrics>,
    fatal: mpsc::Sender<(String, Cause)>,
    running: Mutex<BTreeMap<String, Running>>,
}

struct Running {
    control: Control,
    stop: CancellationToken,
    throttle: watch::Sender<Throttle>,
    task: JoinHandle<()>,
}

/// A delivery's cursor could not be made.
#[derive(Debug, thiserror::Error)]
enum CursorFailure {
    #[error("find its start: {0}")]
    Start(#[from] ResolveError),
    #[error("create its cursor: {0}")]
    Create(#[from] relay_store::CursorError),
}

impl Failure for CursorFailure {
    fn class(&self) -> Class {
        match self {
            Self::Create(relay_store::CursorError::Poisoned(_)) => Class::Fatal,
            _ => Class::Definite,
        }
    }

    fn next_step(&self) -> Option<String> {
        Some("set its `start` to an address the log holds and reload".to_owned())
    }
}

impl Deliveries {
    pub(super) fn new(
        config: &Config,
        store: Store,
        status: Arc<Status>,
        metrics: Arc<Metrics>,
        fatal: mpsc::Sender<(String, Cause)>,
    ) -> Self {
        let zone = Zone::new(&config.source.timestamp_zone, &config.log.dir, Arc::clone(&status));
        Self {
            relay: Arc::from(config.name.as_str()),
            zone,
            budget: Budget::default(),
            store,
            status,
            metrics,
            fatal,
            running: Mutex::new(BTreeMap::new()),
        }
    }

    /// Keeps the server's time zone as soon as it is reached, also while no delivery asks for it: one that is begun when
    /// the server is refused, or away, needs it.
    pub(super) fn keep_zone(&self, stop: CancellationToken) {
        let zone = self.zone.clone();
        // What it cannot keep, a delivery says that needs it.
        tokio::spawn(async move { drop(zone.get(&stop).await) });
    }

    /// Starts one; its cursor is made first when it has none. One whose start leads nowhere parks.
    pub(super) async fn start(&self, config: Delivery) {
        let config = Arc::new(config);
        let made = ensure_cursor(&self.store, &config).await;
        let cursor_paused = self.store.cursors().get(&config.name).is_some_and(|c| c.paused);
        if let Err(e) = &made {
            tracing::warn!(cursor = config.name, error = %e, "cursor not created yet");
        }
        let control = Control::new(config.paused || cursor_paused);
        let stop = CancellationToken::new();
        let name = config.name.clone();
        let (throttle, limits) = watch::channel(config.throttle);
        let task = tokio::spawn(self.life(config, limits, control.clone(), stop.clone()));
        self.running.lock().await.insert(name, Running { control, stop, throttle, task });
    }

    fn life(
        &self,
        config: Arc<Delivery>,
        throttle: watch::Receiver<Throttle>,
        control: Control,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let handle = self.status.delivery(&config.name);
        let (relay, zone, budget) = (Arc::clone(&self.relay), self.zone.clone(), self.budget.clone());
        let (store, metrics, fatal) = (self.store.clone(), self.metrics.delivery(&config.name), self.fatal.clone());
        let policy = Policy { retry: config.retry, auto_resume: config.auto_resume, stops_daemon: false };
        async move {
            let task = handle.task().clone();
            let outcome = supervise(
                &config.name,
                &task,
                || policy,
                &control,
                &stop,
                |shutdown| {
                    let life = Life {
                        relay: Arc::clone(&relay),
                        zone: zone.clone(),
                        budget: budget.clone(),
                        config: Arc::clone(&config),
                        throttle: throttle.clone(),
                        store: store.clone(),
                        status: handle.clone(),
                        metrics: metrics.clone(),
                    };
                    life.run(shutdown)
                },
            )
            .await;
            if let Outcome::Fatal(cause) = outcome {
                // The daemon reads the first and stops; those that do not fit say the same.
                let _ = fatal.try_send((config.name.clone(), cause));
            }
        }
    }

    /// Ends one in good order and forgets it; its cursor stays.
    pub(super) async fn stop(&self, name: &str) {
        let Some(mut running) = self.running.lock().await.remove(name) else { return };
        running.stop.cancel();
        if timeout(STOP_MAX, &mut running.task).await.is_err() {
            tracing::warn!(cursor = name, "delivery did not end in {STOP_MAX:?}; what it had in flight may repeat");
            running.task.abort();
        }
        self.status.forget(name);
    }

    /// Ends all at the same time.
    pub(super) async fn stop_all(&self, bound: Duration) {
        let mut all = std::mem::take(&mut *self.running.lock().await);
        all.values().for_each(|r| r.stop.cancel());
        let ended = async {
            for running in all.values_mut() {
                let _ = (&mut running.task).await;
            }
        };
        if timeout(bound, ended).await.is_err() {
            for (name, running) in all.iter().filter(|(_, r)| !r.task.is_finished()) {
                tracing::warn!(cursor = name, "delivery did not end in {bound:?}; what it had in flight may repeat");
                running.task.abort();
            }
        }
    }

    /// Takes over what a running delivery need not begin anew for.
    pub(super) async fn tune(&self, config: &Delivery) {
        if let Some(running) = self.running.lock().await.get(&config.name) {
            running.throttle.send_replace(config.throttle);
        }
    }

    pub(super) async fn restart(&self, name: &str) {
        if let Some(running) = self.running.lock().await.get(name) {
            running.control.restart();
        }
    }

    pub(super) async fn pause(&self, name: &str) {
        if let Some(running) = self.running.lock().await.get(name) {
            running.control.pause();
        }
    }

    pub(super) async fn resume(&self, name: &str) {
        if let Some(running) = self.running.lock().await.get(name) {
            running.control.resume();
        }
    }
}

/// What one life of a delivery needs.
struct Life {
    relay: Arc<str>,
    zone: Zone,
    budget: Budget,
    config: Arc<Delivery>,
    throttle: watch::Receiver<Throttle>,
    store: Store,
    status: DeliveryHandle,
    metrics: DeliveryMetrics,
}

impl Life {
    async fn run(self, shutdown: CancellationToken) -> Result<(), Box<dyn Failure>> {
        let failures = self.metrics.failures.clone();
        self.attempt(shutdown).await.inspect_err(|_| {
            failures.inc();
        })
    }

    async fn attempt(self, shutdown: CancellationToken) -> Result<(), Box<dyn Failure>> {
        ensure_cursor(&self.store, &self.config).await.map_err(boxed)?;
        let zone = self.zone.get(&shutdown).await.map_err(boxed)?;
        let context = DeliveryContext {
            relay: self.relay,
            zone,
            budget: self.budget,
            config: self.config,
            throttle: self.throttle,
            store: self.store,
            status: self.status,
            metrics: self.metrics,
            shutdown,
        };
        delivery::run(context).await.map_err(boxed)
    }
}

fn boxed(failure: impl Failure) -> Box<dyn Failure> {
    Box::new(failure)
}

/// Makes the delivery's cursor at its start, unless it has one.
async fn ensure_cursor(store: &Store, config: &Arc<Delivery>) -> Result<(), CursorFailure> {
    if store.cursors().get(&config.name).is_some() {
        return Ok(());
    }
    let (store, config) = (store.clone(), Arc::clone(config));
    let made = tokio::task::spawn_blocking(move || {
        let acked = config.start.resolve(&store)?.prev();
        let options = CursorOptions { lagging: store_lagging(config.lagging_cursor) };
        let state = store.cursors().create(&config.name, acked, options)?;
        tracing::info!(cursor = config.name, acked_seq = state.acked.0, start = %config.start, "cursor created");
        Ok(())
    });
    made.await.expect("creating a cursor does not panic")
}
