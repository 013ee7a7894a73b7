//! The HTTP API: routes, limits and JSON shapes. It asks the other tasks and decides nothing. Loopback only, a
//! host allow-list, JSON on writes, bounded bodies and times: a page in a browser on the same machine must not be
//! able to act here.

mod cursors;
mod error;
mod guard;
mod log;
mod overview;
mod snapshot;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::run::{Daemon, gauges};
use crate::status::State as TaskState;

pub use cursors::{CursorView, view as cursor_view};
pub(crate) use error::ApiError;

/// Answers until told to stop.
pub async fn serve(listener: TcpListener, daemon: Arc<Daemon>, stop: CancellationToken) {
    let served = axum::serve(listener, router(daemon)).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(e) = served {
        tracing::error!(error = %e, "the API ended");
    }
}

/// Every route.
pub fn router(daemon: Arc<Daemon>) -> Router {
    let v1 = Router::new()
        .route("/status", get(overview::status))
        .route("/tables", get(overview::tables))
        .route("/checks", get(overview::checks))
        .route("/reload", post(overview::reload))
        .route("/source/resume", post(overview::resume_source))
        .route("/snapshot", get(snapshot::show))
        .route("/snapshot/start", post(snapshot::start))
        .route("/snapshot/stop", post(snapshot::stop))
        .route("/snapshot/pause", post(snapshot::pause))
        .route("/snapshot/resume", post(snapshot::resume))
        .route("/cursors", get(cursors::list).post(cursors::create))
        .route("/cursors/{name}", get(cursors::show))
        .route("/cursors/{name}", delete(cursors::remove))
        .route("/cursors/{name}/reset", post(cursors::reset))
        .route("/cursors/{name}/pause", post(cursors::pause))
        .route("/cursors/{name}/resume", post(cursors::resume))
        .route("/cursors/{name}/release", post(cursors::release))
        .route("/log", get(log::overview))
        .route("/log/entries", get(log::entries))
        .fallback(no_route);
    let hosts = guard::Hosts::new(&daemon.config().admin);
    Router::new()
        .nest("/api/v1", v1)
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(no_route)
        .with_state(daemon)
        .layer(axum::middleware::from_fn_with_state(hosts, guard::admit))
        .layer(axum::extract::DefaultBodyLimit::max(guard::BODY_BYTES_MAX))
}

async fn no_route() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no such route; see the README for the list")
}

/// Alive: the process answers and its log takes writes.
async fn healthz(State(daemon): State<Arc<Daemon>>) -> Response {
    match daemon.store().durable().poisoned() {
        None => Json(json!({ "status": "ok" })).into_response(),
        Some(why) => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, format!("the log is poisoned: {why}")).into_response()
        }
    }
}

/// Ready: capture streams, and no delivery needs anyone.
async fn readyz(State(daemon): State<Arc<Daemon>>) -> Response {
    let mut waiting = Vec::new();
    let capture = daemon.status().capture();
    if !matches!(capture.state(), TaskState::Running | TaskState::Snapshot | TaskState::Completed) {
        waiting.push(format!("capture is {}", capture.state().name()));
    }
    for delivery in daemon.status().deliveries() {
        if matches!(delivery.state(), TaskState::Failed | TaskState::Parked | TaskState::Retrying) {
            waiting.push(format!("delivery {} is {}", delivery.name(), delivery.state().name()));
        }
    }
    for cursor in daemon.store().cursors().list() {
        if cursor.lost.is_some() {
            waiting.push(format!("cursor {} is lost", cursor.name));
        }
        if !cursor.parked.is_empty() {
            waiting.push(format!("cursor {} has {} parked tables", cursor.name, cursor.parked.len()));
        }
    }
    let code = if waiting.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": waiting.is_empty(), "waiting": waiting }))).into_response()
}

async fn metrics(State(daemon): State<Arc<Daemon>>) -> Response {
    gauges::set(&daemon).await;
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, OPEN_METRICS)], daemon.metrics().encode()).into_response()
}
