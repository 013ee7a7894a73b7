//! Watches the tasks for what is an alert, and hands that to the webhooks. On a task of its own: nothing waits for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::gauges::{Measure, measure};
use super::{Daemon, RunError};
use crate::alert::condition::{Conditions, Observation, Sender, last_words};
use crate::alert::{Outboxes, webhook};
use crate::config::{Alert, Config};
use crate::delivery::park::table_of;
use crate::status::{State, Task, now_ms};

/// How often states are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Every how many looks lag and headroom are measured, which reads the log.
const MEASURE_EVERY: u32 = 5;
/// How long the end of a daemon that failed may wait for its last words to arrive.
const LAST_WORDS_MAX: Duration = Duration::from_secs(3);

/// Watches until told to stop.
pub(super) async fn watch(daemon: Arc<Daemon>, stop: CancellationToken) {
    let metrics = daemon.metrics().alerts();
    let mut outboxes = Outboxes::new(metrics.clone());
    let mut conditions = Conditions::default();
    let mut measures = std::collections::BTreeMap::new();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for look in 0.. {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let config = daemon.config();
        let used: BTreeSet<_> = settings(&config).filter_map(|alert| alert.webhook.clone()).collect();
        outboxes.keep(&used);
        if look % MEASURE_EVERY == 0 && !used.is_empty() {
            measures = measure(&daemon).await;
        }
        let tasks = observe(&daemon, &config, &measures);
        for (to, notice) in conditions.look(Instant::now(), now_ms(), &sender(&config), &tasks) {
            tracing::debug!(alert = notice.alert.name(), change = ?notice.change, cursor = notice.delivery, "alert");
            outboxes.send(&to, notice);
        }
        metrics.waiting.set(i64::try_from(outboxes.waiting()).unwrap_or(i64::MAX));
        metrics.set_raised(conditions.raised());
    }
}

fn settings(config: &Config) -> impl Iterator<Item = &Alert> {
    std::iter::once(&config.alert).chain(config.deliveries.iter().map(|delivery| &delivery.alert))
}

fn sender(config: &Config) -> Sender {
    Sender { name: config.name.clone(), environment: config.environment.clone() }
}

fn observe(
    daemon: &Daemon,
    config: &Config,
    measures: &std::collections::BTreeMap<String, Measure>,
) -> Vec<Observation> {
    let capture = daemon.status().capture();
    let problem = capture.task().problem();
    let mut tasks = vec![Observation {
        delivery: None,
        settings: config.alert.clone(),
        state: capture.state(),
        ran_for: capture.task().ran_for(),
        problem: problem.clone(),
        parked: Vec::new(),
        exceptions: Vec::new(),
        grown: Vec::new(),
        lag_seconds: None,
        headroom_seconds: None,
        capture: None,
    }];
    for delivery in &config.deliveries {
        // One that a reload begins anew is not known for a moment; it is no other than before.
        let status = daemon.status().find(&delivery.name);
        let task = status.as_ref().map(|status| status.task());
        let cursor = daemon.store().cursors().get(&delivery.name);
        let parked = cursor.iter().flat_map(|cursor| &cursor.parked).map(|parked| {
            let table = table_of(&parked.key).map(|table| format!("{}.{}", table.database, table.table));
            (table.unwrap_or_else(|| String::from_utf8_lossy(&parked.key).into_owned()), parked.reason.clone())
        });
        let measured = measures.get(&delivery.name);
        tasks.push(Observation {
            delivery: Some(delivery.name.clone()),
            settings: delivery.alert.clone(),
            state: task.map_or(State::Starting, Task::state),
            ran_for: task.map_or(Duration::ZERO, Task::ran_for),
            problem: task.and_then(Task::problem),
            parked: parked.collect(),
            exceptions: status.as_ref().map(|status| status.exceptions()).unwrap_or_default(),
            grown: status.as_ref().map(|status| status.grown()).unwrap_or_default(),
            lag_seconds: measured.map(|m| m.lag_seconds),
            headroom_seconds: measured.and_then(|m| m.headroom_seconds),
            capture: problem.clone(),
        });
    }
    tasks
}

/// Says, once and for a bounded time, that a failure ends the daemon.
pub(super) async fn say_last_words(daemon: &Daemon, end: &RunError) {
    let RunError::Task { task, cause } = end else { return };
    let config = daemon.config();
    let delivery = config.deliveries.iter().find(|delivery| delivery.name == *task);
    let alert = delivery.map_or(&config.alert, |delivery| &delivery.alert);
    let Some(to) = &alert.webhook else { return };
    let words = (cause.reason.as_str(), cause.next_step.as_deref());
    let notice = last_words(&sender(&config), delivery.map(|d| d.name.as_str()), to, now_ms(), words);
    let body = serde_json::to_vec(&notice).expect("a notice has a form in JSON");
    let metrics = daemon.metrics().alerts();
    match timeout(LAST_WORDS_MAX, webhook::post(to, body)).await {
        Ok(Ok(())) => drop(metrics.posted.inc()),
        Ok(Err(error)) => tracing::warn!(%error, "alert not posted"),
        Err(_) => tracing::warn!(to = %to, "alert not posted in {LAST_WORDS_MAX:?}"),
    }
}
