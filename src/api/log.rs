//! The log over HTTP: where it begins and ends, what it costs, and what its entries are.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use relay_store::Seq;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use crate::log::address::Address;
use crate::log::walk::{View, Visit, walk};
use crate::run::Daemon;

/// Most entries in one answer.
const ENTRIES_MAX: usize = 1000;

/// Where the log begins and ends, and what it costs.
pub(super) fn facts(daemon: &Daemon) -> Value {
    let (positions, stats) = (daemon.store().positions(), daemon.store().stats());
    json!({
        "dir": daemon.config().log.dir,
        "first_seq": positions.first_seq.0,
        "visible_seq": positions.visible_seq.0,
        "durable_seq": positions.durable_seq.0,
        "last_seq": positions.last_seq.0,
        "log_epoch": positions.log_epoch.0,
        "bytes": stats.bytes,
        "segments": stats.segments,
        "oldest_us": stats.oldest_us,
        "newest_us": stats.newest_us,
        "queued_bytes": stats.queued_bytes,
        "disk_full": stats.disk_full.is_some(),
        "disk_needed_bytes": stats.disk_full.as_ref().map(|full| full.needed_bytes),
        "oversized_transaction": stats.disk_full.and_then(|full| full.oversized).map(|transaction| json!({
            "first_seq": transaction.first.0, "bytes": transaction.bytes,
        })),
        "poisoned": daemon.store().durable().poisoned().map(|p| p.to_string()),
        "damage": daemon.store().damage().iter().map(|d| json!({
            "segment": d.segment.0, "offset": d.offset, "first_seq": d.first.0, "last_seq": d.last.0, "what": d.what,
        })).collect::<Vec<_>>(),
    })
}

pub(super) async fn overview(State(daemon): State<Arc<Daemon>>) -> Json<Value> {
    let mut facts = facts(&daemon);
    let segments: Vec<Value> = daemon
        .store()
        .segments()
        .iter()
        .map(|s| {
            json!({
                "first_seq": s.first_seq.0,
                "last_seq": s.last_seq.0,
                "bytes": s.bytes,
                "sealed": s.sealed,
                "created_ms": s.created_ms,
                "sealed_ms": s.sealed_ms,
                "log_epoch": s.log_epoch.0,
            })
        })
        .collect();
    facts["segment_list"] = Value::Array(segments);
    Json(facts)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    from: Option<Address>,
    limit: Option<usize>,
}

/// Entries in words, never their rows: values of rows do not leave by this way.
pub(super) async fn entries(
    State(daemon): State<Arc<Daemon>>,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let unfit = |text: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, text);
    let Query(range) = range.map_err(|e| unfit(e.body_text()))?;
    let limit = range.limit.unwrap_or(100).clamp(1, ENTRIES_MAX);
    let store = daemon.store().clone();
    let listed = tokio::task::spawn_blocking(move || {
        let from = range.from.unwrap_or(Address::Earliest).resolve(&store).map_err(|e| unfit(e.to_string()))?;
        let mut list = Vec::new();
        let next = walk(&mut store.reader(), from, Seq(u64::MAX), &mut |visit| {
            match visit {
                Visit::Entry(view) if view.visible => list.push(entry(&view)),
                Visit::Gap(gap) => list.push(json!({ "gap": gap.to_string() })),
                _ => {}
            }
            if list.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .map_err(|e| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
        Ok(json!({ "entries": list, "next": format!("seq:{}", next.0) }))
    });
    listed.await.expect("walking the log does not panic").map(Json)
}

fn entry(view: &View<'_>) -> Value {
    json!({
        "seq": view.entry.seq.0,
        "kind": view.kind_name(),
        "bytes": view.entry.body.len(),
        "file": view.file,
        "offset": view.entry.header.source_pos,
        "received_us": view.entry.header.received_us,
        "table": view.table.map(|(database, table)| format!("{database}.{table}")),
        "rows": view.rows.map(|(_, count)| count),
        "problem": view.problem,
    })
}
