//! The copy of tables over HTTP: how far it is, and the acts an operator may ask for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use crate::config::TableId;
use crate::run::{Daemon, SnapshotActError};

/// Which table an act is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneTable {
    /// `database.table`.
    table: String,
}

/// What there is to say of the copy as a whole.
pub(super) fn facts(daemon: &Daemon) -> Value {
    let handle = daemon.status().snapshot();
    json!({
        "mode": daemon.config().snapshot.mode,
        "state": handle.task().state(),
        "since_ms": handle.task().since_ms(),
        "problem": handle.task().problem(),
        "progress": handle.view(),
    })
}

/// The same with every table.
pub(super) async fn show(State(daemon): State<Arc<Daemon>>) -> Json<Value> {
    let mut facts = facts(&daemon);
    facts["tables"] = json!(daemon.status().snapshot().tables());
    Json(facts)
}

pub(super) async fn pause(State(daemon): State<Arc<Daemon>>) -> Json<Value> {
    daemon.snapshot_control().pause();
    tracing::info!(audit = "pause", task = "snapshot", "operator's act");
    Json(facts(&daemon))
}

pub(super) async fn resume(State(daemon): State<Arc<Daemon>>) -> Json<Value> {
    daemon.snapshot_control().resume();
    tracing::info!(audit = "resume", task = "snapshot", "operator's act");
    Json(facts(&daemon))
}

pub(super) async fn start(
    State(daemon): State<Arc<Daemon>>,
    body: Result<Json<OneTable>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let table = named(body)?;
    daemon.start_snapshot(&table).await?;
    Ok(Json(facts(&daemon)))
}

pub(super) async fn stop(
    State(daemon): State<Arc<Daemon>>,
    body: Result<Json<OneTable>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let table = named(body)?;
    daemon.stop_snapshot(&table)?;
    Ok(Json(facts(&daemon)))
}

fn named(body: Result<Json<OneTable>, JsonRejection>) -> Result<TableId, ApiError> {
    let Json(OneTable { table }) = body.map_err(|e| ApiError::new(e.status(), e.body_text()))?;
    TableId::parse(&table).map_err(|reason| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, reason))
}

impl From<SnapshotActError> for ApiError {
    fn from(e: SnapshotActError) -> Self {
        let code = match e {
            SnapshotActError::NotCaptured { .. } | SnapshotActError::Unreadable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            SnapshotActError::NotCopied { .. } => StatusCode::NOT_FOUND,
            SnapshotActError::Never | SnapshotActError::UnderWay { .. } => StatusCode::CONFLICT,
            SnapshotActError::NoCapture | SnapshotActError::NotAsked { .. } => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(code, e.to_string())
    }
}
