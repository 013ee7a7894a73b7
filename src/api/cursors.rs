//! Cursors over HTTP: what each stands for, and the acts an operator may ask for.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use relay_store::{CursorState, Lagging};
use serde::{Deserialize, Serialize};

use super::ApiError;
use crate::config::{Delivery, Throttle};
use crate::delivery::park::table_of;
use crate::log::address::Address;
use crate::run::{Daemon, Reset, gauges};
use crate::status::exceptions::Exception;
use crate::status::{Problem, TableUnits, TopicWidth};

/// A cursor as the API and the tools print it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CursorView {
    /// Its name.
    pub name: String,
    /// State of its delivery; `idle` when none of the config has it.
    pub state: &'static str,
    /// Since when, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// Kind of its sink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<&'static str>,
    /// Everything up to here is acknowledged and will not be delivered again.
    pub acked_seq: u64,
    /// Raised by each reset.
    pub epoch: u32,
    /// When it moved last, in milliseconds since 1970.
    pub updated_ms: u64,
    /// Visible entries it has not acknowledged.
    pub lag_entries: u64,
    /// Seconds behind the source; absent for a stopped store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// Seconds until its undelivered data would leave log and source; absent while nothing grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headroom_seconds: Option<f64>,
    /// Bytes of the log that this cursor alone keeps from being trimmed, at least.
    pub holds_bytes: u64,
    /// `hold`, `expire`, or `log` for the log's own policy.
    pub lagging_cursor: &'static str,
    /// Rebuilt after meta was lost: it may stand behind the truth and repeat.
    pub restored: bool,
    /// What was trimmed before it was delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// Its parked tables.
    pub parked: Vec<ParkedView>,
    /// What holds it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// What an operator should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// Rows that did not leave as they are since the start, by table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<Exception>,
    /// Topics that have more partitions than are used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grown_topics: Vec<TopicWidth>,
    /// The rows that are being written into tables, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_units: Option<TableUnits>,
    /// What its delivery may write a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Throttle>,
    /// Whether that holds it up at the moment.
    pub throttled: bool,
    /// The effective settings of its delivery, secrets hidden; without the blocks of tables, which may be thousands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Value>,
    /// Records handed to the sink and not acknowledged.
    pub in_flight_records: u64,
    /// Their bytes.
    pub in_flight_bytes: u64,
}

/// A parked table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParkedView {
    /// `database.table`.
    pub table: String,
    /// First entry of it that is held back.
    pub first_seq: u64,
    /// Why.
    pub reason: String,
}

/// A cursor by itself, without the delivery it may belong to.
pub fn view(cursor: &CursorState, visible_seq: u64) -> CursorView {
    CursorView {
        name: cursor.name.clone(),
        state: if cursor.lost.is_some() {
            "lost"
        } else if cursor.paused {
            "paused"
        } else {
            "idle"
        },
        since_ms: None,
        sink: None,
        acked_seq: cursor.acked.0,
        epoch: cursor.epoch.0,
        updated_ms: cursor.updated_ms,
        lag_entries: visible_seq.saturating_sub(cursor.acked.0),
        lag_seconds: None,
        headroom_seconds: None,
        holds_bytes: 0,
        lagging_cursor: match cursor.lagging {
            Lagging::Log => "log",
            Lagging::Hold => "hold",
            Lagging::Expire => "expire",
        },
        restored: cursor.restored,
        lost: cursor.lost.as_ref().map(ToString::to_string),
        parked: cursor
            .parked
            .iter()
            .map(|p| ParkedView {
                table: table_of(&p.key).map_or_else(
                    || String::from_utf8_lossy(&p.key).into_owned(),
                    |t| format!("{}.{}", t.database, t.table),
                ),
                first_seq: p.first.0,
                reason: p.reason.clone(),
            })
            .collect(),
        problem: None,
        notice: None,
        exceptions: Vec::new(),
        grown_topics: Vec::new(),
        table_units: None,
        throttle: None,
        throttled: false,
        settings: None,
        in_flight_records: 0,
        in_flight_bytes: 0,
    }
}

/// Every cursor with its delivery, its lag and what it holds.
pub(super) async fn views(daemon: &Arc<Daemon>) -> Vec<CursorView> {
    let measures = gauges::measure(daemon).await;
    let config = daemon.config();
    let visible = daemon.store().positions().visible_seq.0;
    let segments = daemon.store().segments();
    daemon
        .store()
        .cursors()
        .list()
        .iter()
        .map(|cursor| {
            let mut view = view(cursor, visible);
            view.holds_bytes = segments.iter().filter(|s| s.sealed && s.last_seq > cursor.acked).map(|s| s.bytes).sum();
            if let Some(m) = measures.get(&cursor.name) {
                view.lag_seconds = Some(m.lag_seconds);
                view.headroom_seconds = m.headroom_seconds;
            }
            if let Some(delivery) = daemon.status().find(&cursor.name) {
                view.state = delivery.state().name();
                view.since_ms = Some(delivery.task().since_ms());
                view.problem = delivery.task().problem();
                view.notice = delivery.notice();
                view.exceptions = delivery.exceptions();
                view.grown_topics = delivery.grown();
                view.table_units = delivery.table_units();
                view.throttled = delivery.is_throttled();
                (view.in_flight_records, view.in_flight_bytes) = delivery.in_flight();
            }
            if let Some(delivery) = config.deliveries.iter().find(|d| d.name == cursor.name) {
                view.sink = Some(delivery.kind.name());
                view.throttle = Some(delivery.throttle);
                view.settings = Some(settings(delivery));
            }
            view
        })
        .collect()
}

/// What is in force for a delivery.
fn settings(delivery: &Delivery) -> serde_json::Value {
    let mut settings = serde_json::to_value(delivery).expect("every setting has a form in JSON");
    if let Some(fields) = settings.as_object_mut() {
        fields.remove("table");
    }
    settings
}

pub(super) async fn list(State(daemon): State<Arc<Daemon>>) -> Json<Vec<CursorView>> {
    Json(views(&daemon).await)
}

pub(super) async fn show(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Result<Json<CursorView>, ApiError> {
    let found = views(&daemon).await.into_iter().find(|c| c.name == name);
    found.map(Json).ok_or_else(|| ApiError::unknown_cursor(&name))
}

/// A body that must be there and fit; anything else is one sentence, not axum's page.
fn body<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, ApiError> {
    body.map(|Json(value)| value).map_err(|e| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, e.body_text()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    name: String,
    start: Address,
}

pub(super) async fn create(
    State(daemon): State<Arc<Daemon>>,
    request: Result<Json<Create>, JsonRejection>,
) -> Result<(StatusCode, Json<CursorView>), ApiError> {
    let request = body(request)?;
    let state = daemon.create_cursor(&request.name, request.start).await?;
    Ok((StatusCode::CREATED, Json(view(&state, daemon.store().positions().visible_seq.0))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetRequest {
    to: Address,
    #[serde(default)]
    dry_run: bool,
    /// The epoch the caller saw; another one refuses the act.
    expected_epoch: Option<u32>,
}

pub(super) async fn reset(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
    request: Result<Json<ResetRequest>, JsonRejection>,
) -> Result<Json<Reset>, ApiError> {
    let request = body(request)?;
    Ok(Json(daemon.reset_cursor(&name, request.to, request.dry_run, request.expected_epoch).await?))
}

async fn now(daemon: &Arc<Daemon>, name: &str) -> Result<Json<CursorView>, ApiError> {
    show(State(Arc::clone(daemon)), Path(name.to_owned())).await
}

pub(super) async fn pause(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Result<Json<CursorView>, ApiError> {
    daemon.pause_cursor(&name).await?;
    now(&daemon, &name).await
}

pub(super) async fn resume(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Result<Json<CursorView>, ApiError> {
    daemon.resume_cursor(&name).await?;
    now(&daemon, &name).await
}

pub(super) async fn remove(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
) -> Result<Json<serde_json::Value>, ApiError> {
    daemon.delete_cursor(&name).await?;
    Ok(Json(serde_json::json!({ "deleted": name })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    /// `database.table`.
    table: String,
}

pub(super) async fn release(
    State(daemon): State<Arc<Daemon>>,
    Path(name): Path<String>,
    request: Result<Json<Release>, JsonRejection>,
) -> Result<Json<CursorView>, ApiError> {
    daemon.release_table(&name, &body(request)?.table).await?;
    now(&daemon, &name).await
}
