//! `source.heartbeat_table`: a row replaced every second, over a connection of its own, for sources whose end cannot be
//! told otherwise. It is the one thing that the relay writes to a source, and only where the config asks for it. Its
//! events never enter the log ([`super::captured`]).

use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::stream::{ConnectOptions, Connection, StreamError, identifier, text_literal};
use crate::config::{Source, TableId};
use crate::failure::chain;
use crate::metrics::CaptureMetrics;
use crate::status::{CaptureHandle, Heartbeat, now_ms};

/// How often the row is replaced.
const BEAT: Duration = Duration::from_secs(1);
/// How long the server may take for one statement of ours; each is the work of a moment.
const STATEMENT_MAX: Duration = Duration::from_secs(10);
/// Delays between attempts, doubling from the first to the last.
const DELAY_MIN: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(60);
/// A connection that served so long was well: the next failure is a first one.
const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// The server's codes for what the account may not do: no right on the database, the table, or none at all; and for a
/// server that takes no writes.
const DENIED: [u16; 4] = [1044, 1142, 1227, 1370];
const READ_ONLY: [u16; 2] = [1290, 1836];

/// Why a beat was not written.
#[derive(Debug, Error)]
enum BeatError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the server took longer than {STATEMENT_MAX:?} for a statement")]
    Slow,
}

impl BeatError {
    fn next_step(&self, table: &TableId) -> String {
        let TableId { database, table } = table;
        let code = match self {
            Self::Stream(StreamError::Statement { source, .. }) => source.code,
            _ => 0,
        };
        if DENIED.contains(&code) {
            return format!(
                "GRANT CREATE, INSERT, DELETE, SELECT ON {}.* to the relay's account, or create {database}.{table} \
                 (relay VARCHAR(64) PRIMARY KEY, beat_ms BIGINT) for it, or leave source.heartbeat_table out",
                identifier(database)
            );
        }
        if READ_ONLY.contains(&code) {
            return "list the server that takes writes under source.url, or leave source.heartbeat_table out"
                .to_owned();
        }
        match code {
            0 => "it is tried again; see whether the server can be reached".to_owned(),
            _ => format!(
                "see what {database}.{table} is: the relay needs (relay VARCHAR(64) PRIMARY KEY, beat_ms BIGINT)"
            ),
        }
    }
}

/// Writes the config's heartbeat, when it has one, until it is dropped. Never ends by itself; what goes wrong is tried
/// again and shows in the status.
pub async fn run(source: &Source, relay: &str, status: &CaptureHandle, metrics: &CaptureMetrics) {
    let Some(table) = &source.heartbeat_table else {
        status.set_heartbeat(None);
        return std::future::pending().await;
    };
    let name = format!("{}.{}", table.database, table.table);
    status.set_heartbeat(Some(Heartbeat { table: name.clone(), last_ms: None, problem: None, next_step: None }));
    let mut failures = 0_u32;
    loop {
        let mut error = None;
        for options in ConnectOptions::each_host(source) {
            let begun = Instant::now();
            let failed = match beat(&options, table, relay, status, metrics).await {
                Ok(never) => match never {},
                Err(failed) => failed,
            };
            if begun.elapsed() >= HEALTHY_AFTER {
                failures = 0;
            }
            // The reason of the first server of the list: the others are often replicas, which take no writes.
            error.get_or_insert(failed);
        }
        metrics.heartbeat_failures.inc();
        failures += 1;
        if let Some(error) = error {
            let (problem, next_step) = (chain(&error), error.next_step(table));
            if failures == 1 {
                tracing::warn!(table = name, reason = problem, next_step, "heartbeat not written; it is tried again");
            }
            status.set_heartbeat_problem(problem, next_step);
        }
        sleep((DELAY_MIN * (1 << (failures - 1).min(6))).min(DELAY_MAX)).await;
    }
}

/// Beats on one server until that fails.
async fn beat(
    options: &ConnectOptions,
    table: &TableId,
    relay: &str,
    status: &CaptureHandle,
    metrics: &CaptureMetrics,
) -> Result<std::convert::Infallible, BeatError> {
    let mut connection = Connection::connect(options).await?;
    make(&mut connection, table).await?;
    let name = format!("{}.{}", identifier(&table.database), identifier(&table.table));
    let mut ticks = interval(BEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = now_ms();
        let sql = format!("REPLACE INTO {name} (relay, beat_ms) VALUES ({}, {now})", text_literal(relay));
        execute(&mut connection, &sql).await?;
        metrics.heartbeats.inc();
        status.set_heartbeat_written(now);
    }
}

/// Makes the table, and its database, where they are missing. Asks first: a statement that changes nothing would stand
/// in the binlog all the same.
async fn make(connection: &mut Connection, table: &TableId) -> Result<(), BeatError> {
    let (database, name) = (text_literal(&table.database), text_literal(&table.table));
    let there = |rows: &super::stream::RowSet| rows.iter().next().is_some();
    let sql =
        format!("SELECT 1 FROM information_schema.tables WHERE table_schema = {database} AND table_name = {name}");
    if there(&query(connection, &sql).await?) {
        return Ok(());
    }
    let sql = format!("SELECT 1 FROM information_schema.schemata WHERE schema_name = {database}");
    if !there(&query(connection, &sql).await?) {
        execute(connection, &format!("CREATE DATABASE IF NOT EXISTS {}", identifier(&table.database))).await?;
    }
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {}.{} (relay VARCHAR(64) CHARACTER SET ascii NOT NULL PRIMARY KEY, \
         beat_ms BIGINT NOT NULL) COMMENT 'heartbeat of relays; safe to drop when none runs'",
        identifier(&table.database),
        identifier(&table.table)
    );
    execute(connection, &sql).await?;
    tracing::info!(table = format!("{}.{}", table.database, table.table), "heartbeat table created");
    Ok(())
}

async fn query(connection: &mut Connection, sql: &str) -> Result<super::stream::RowSet, BeatError> {
    Ok(timeout(STATEMENT_MAX, connection.query(sql)).await.map_err(|_| BeatError::Slow)??)
}

async fn execute(connection: &mut Connection, sql: &str) -> Result<(), BeatError> {
    query(connection, sql).await.map(drop)
}
