//! The daemon as a whole over HTTP: status, tables, prechecks, reload.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::{ApiError, cursors, log};
use crate::config::SnapshotMode;
use crate::log::{Checkpoint, TableDefinition};
use crate::run::Daemon;

pub(super) async fn status(State(daemon): State<Arc<Daemon>>) -> Json<Value> {
    let config = daemon.config();
    let capture = daemon.status().capture();
    let (file, offset) = capture.received();
    let checkpoint = daemon.store().checkpoint().map(|bytes| checkpoint_view(&bytes));
    Json(json!({
        "name": config.name,
        "environment": config.environment,
        "version": env!("CARGO_PKG_VERSION"),
        "started_ms": daemon.status().started_ms(),
        "capture": {
            "state": capture.state(),
            "since_ms": capture.task().since_ms(),
            "problem": capture.task().problem(),
            "server": capture.server(),
            "heartbeat": capture.heartbeat(),
            "received": { "file": &*file, "offset": offset },
            "durable": checkpoint,
            "clock_offset_ms": capture.clock_offset_us() / 1000,
            "end_confirmed_seconds_ago": capture.end().map(|e| e.at.elapsed().as_secs_f64()),
        },
        "snapshot": snapshot(&daemon),
        "log": log::facts(&daemon),
        "cursors": cursors::views(&daemon).await,
    }))
}

/// The copy of tables; null when none is asked for.
fn snapshot(daemon: &Daemon) -> Value {
    match daemon.config().snapshot.mode {
        SnapshotMode::Never => Value::Null,
        _ => super::snapshot::facts(daemon),
    }
}

/// A checkpoint in words.
pub(super) fn checkpoint_view(bytes: &[u8]) -> Value {
    use crate::log::SourcePosition::{FileOnly, MariaDbGtid, MySqlGtid};
    match Checkpoint::decode(bytes) {
        Err(e) => json!({ "error": e.to_string() }),
        Ok(c) => json!({
            "gtid": match &c.gtids { FileOnly => None, MySqlGtid(set) | MariaDbGtid(set) => Some(set.as_str()) },
            "file": c.file,
            "offset": c.position,
            "server": c.server,
        }),
    }
}

/// The tables whose shape the log knows, and who delivers them.
pub(super) async fn tables(State(daemon): State<Arc<Daemon>>) -> Result<Json<Value>, ApiError> {
    let store = daemon.store().clone();
    let versions = tokio::task::spawn_blocking(move || store.schema_versions())
        .await
        .expect("reading versions does not panic")
        .map_err(|e| ApiError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
    let config = daemon.config();
    let mut known = std::collections::BTreeMap::new();
    for version in versions {
        // Versions come in the order of their ids: the last one of a table stays.
        if let Ok(definition) = TableDefinition::decode(&version.bytes) {
            known.insert((definition.database.clone(), definition.table.clone()), (version.id, definition));
        }
    }
    let list: Vec<Value> = known
        .into_iter()
        .map(|((database, table), (id, definition))| {
            let deliveries: Vec<&str> = config
                .deliveries
                .iter()
                .filter(|d| d.tables.matches(&database, &table))
                .map(|d| d.name.as_str())
                .collect();
            json!({
                "database": database,
                "table": table,
                "captured": config.source.tables.matches(&database, &table),
                "deliveries": deliveries,
                "schema_version": id,
                "columns": definition.columns.len(),
            })
        })
        .collect();
    Ok(Json(Value::Array(list)))
}

pub(super) async fn checks(State(daemon): State<Arc<Daemon>>) -> Json<Value> {
    let report = daemon.check().await;
    let verdict = report.verdict(&daemon.config().source.accept, false);
    Json(json!({ "ready": verdict == crate::check::Verdict::Ready, "items": report.items }))
}

pub(super) async fn reload(State(daemon): State<Arc<Daemon>>) -> Result<Json<Value>, ApiError> {
    // Not cut off half way when the client goes away.
    let reloading = tokio::spawn(async move { daemon.reload().await });
    let plan = reloading.await.expect("a reload does not panic")?;
    let names = |list: &[crate::config::Delivery]| list.iter().map(|d| d.name.clone()).collect::<Vec<_>>();
    Ok(Json(json!({
        "added": names(&plan.add),
        "changed": names(&plan.change),
        "tuned": names(&plan.tune),
        "removed": plan.remove,
        "capture": plan.capture,
        "snapshot": plan.snapshot,
        "snapshot_limits": plan.snapshot_limits,
        "retention": plan.retention,
        "alert": plan.alert,
    })))
}

pub(super) async fn resume_source(State(daemon): State<Arc<Daemon>>) -> Json<Value> {
    daemon.capture_control().resume();
    tracing::info!(audit = "resume", task = "capture", "operator's act");
    Json(json!({ "state": daemon.status().capture().state() }))
}
