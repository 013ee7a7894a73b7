//! From the source to the log: resume, read, check, append. No row is decoded here.
//!
//! | look in | for |
//! |---|---|
//! | [`run`] | one life: open the log's end and the dump, follow it |
//! | `reach.rs` | which server of the list continues the log: ask it, choose where to resume, open the dump |
//! | `follow.rs` | the loop: events in, blocks out, waiting for room |
//! | [`captured`] | which tables enter the log: those selected, without heartbeats |
//! | [`heartbeat`] | the relay's own heartbeat table, where the config asks for one |
//! | `recorder.rs` | what happens to one event: verified, placed, grouped, selected, appended |
//! | [`group`] | where a transaction begins and ends; what happens to a cut one |
//! | `continuity.rs` | whether each event starts where the previous one ended |
//! | [`chunks`], [`window`] | where rows that are read from tables enter the log, and which of them the stream has newer |
//! | [`schema_history`] | which definition of a table was in force where |
//! | [`unpack`] | compressed transactions and events |
//! | [`position`] | where the stream resumes, and why it cannot |
//! | [`facts`], [`source`] | what is known of the server, and how it is asked |
//! | [`stream`] | the connection: login, TLS, packets, the dump |

pub mod captured;
pub mod chunks;
mod continuity;
pub mod error;
mod executed;
pub mod facts;
mod follow;
pub mod group;
pub mod heartbeat;
pub mod online_ddl;
pub mod position;
mod reach;
mod recorder;
mod scene;
pub mod schema_history;
mod schema_reading;
mod signal;
pub mod source;
pub mod statement;
pub mod stream;
mod transaction;
pub mod unpack;
pub mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use relay_store::{AppendError, Appender, Commit, EntryHeader, Seq, Store, Submit};
use tokio_util::sync::CancellationToken;

pub use error::CaptureError;

use crate::binlog::event::Dialect;
use crate::config::{Source, SourceStart};
use crate::log::{Checkpoint, kind};
use crate::metrics::CaptureMetrics;
use crate::status::{CaptureHandle, Server, State, now_us};
use captured::Captured;
use chunks::Chunks;
use facts::ServerFacts;
use follow::Follow;
use reach::Reached;
use recorder::{Recorder, Start};
use stream::{BinlogStream, ConnectOptions, DumpFrom, StreamError};

/// What a life of capture works with.
#[derive(Clone)]
pub struct CaptureContext {
    /// The source's settings.
    pub config: Arc<Source>,
    /// The log.
    pub store: Store,
    /// Where capture says how it is.
    pub status: CaptureHandle,
    /// What it counts.
    pub metrics: CaptureMetrics,
    /// Where those who read tables hand over what they read.
    pub chunks: Chunks,
    /// Ends it in order.
    pub shutdown: CancellationToken,
}

/// One life of capture: resumes where the log ends and follows the source until shutdown.
///
/// # Errors
/// Whatever ended the stream. What was committed by then is in the log or will be captured again from the checkpoint;
/// an open transaction is abandoned and never seen.
pub async fn run(context: CaptureContext) -> Result<(), CaptureError> {
    match context.follow(false).await {
        Err(error) if error.asks_for_search() => {
            tracing::info!(%error, "capture begins again");
            context.follow(true).await
        }
        ended => ended,
    }
}

impl CaptureContext {
    /// One life. `search`: whether statements that changed tables are looked for ahead of the stream also where table
    /// maps are said to name columns.
    async fn follow(&self, search: bool) -> Result<(), CaptureError> {
        let opened = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Ok(()),
            opened = self.open(search) => opened,
        };
        let (mut stream, mut recorder, options) = opened?;
        let Self { store, status, metrics, chunks, shutdown, .. } = self;
        let follow = Follow { store, status, metrics, chunks, shutdown };
        if !follow.begin(&mut stream, &mut recorder).await? {
            return Ok(());
        }
        status.set_state(State::Running);
        match follow.run(&mut stream, &mut recorder).await {
            Err(CaptureError::Stream(error @ StreamError::Ended)) => {
                drop(stream);
                Err(self.rival(&options).await.unwrap_or(error.into()))
            }
            ended => ended,
        }
    }

    /// Reaches a server that can continue the log, and opens the dump there.
    async fn open(&self, search: bool) -> Result<(BinlogStream, Recorder, ConnectOptions), CaptureError> {
        let mut appender = self.store.appender()?;
        self.settle(&mut appender).await?;
        let mut checkpoint = appender.checkpoint().map(Checkpoint::decode).transpose()?;
        if checkpoint.is_none() {
            refuse_to_guess(appender.last_seq(), &self.config.start)?;
        }
        if let Some(checkpoint) = &mut checkpoint {
            note_selection(&mut appender, checkpoint, &self.config.tables.to_string())?;
        }
        let Reached { options, stream, facts, point, history, reading } =
            self.reach(checkpoint.as_ref(), search).await?;
        self.status.set_server(server(&facts, &point.from, &self.config));
        self.status.set_clock_offset(facts.clock_ahead_ms.saturating_mul(1000));
        let checksum = stream.checksum_at_connect();
        let start = Start {
            point,
            checkpoint,
            lower_case: facts.variable("lower_case_table_names").map(|mode| mode == "1"),
            server: facts.identity,
            checksum,
            history,
            reading,
            partial_images: self.config.allow_partial_images,
            follow_rename: self.config.follow_rename,
        };
        Ok((stream, Recorder::new(appender, Captured::new(&self.config), start)?, options))
    }

    /// Waits until what an earlier life handed over is durable: only then does the store tell all versions of tables.
    async fn settle(&self, appender: &mut Appender) -> Result<(), CaptureError> {
        appender.seal();
        while appender.submit()? == Submit::Full {
            appender.space().await?;
        }
        self.store.durable().wait(appender.last_seq()).await?;
        Ok(())
    }
}

/// IMPORTANT: a log that holds entries and has lost its checkpoint goes on only where the settings name the place. The
/// source's end, and its oldest binlog, may lie behind the log's last transaction.
pub(crate) fn refuse_to_guess(last: Seq, start: &SourceStart) -> Result<(), CaptureError> {
    match start {
        SourceStart::Latest | SourceStart::Earliest if last > Seq::ZERO => {
            Err(CaptureError::CheckpointLost { last_seq: last.0 })
        }
        _ => Ok(()),
    }
}

/// A selection that differs from the one that the log was written under is an entry, ahead of the next transaction.
fn note_selection(appender: &mut Appender, checkpoint: &mut Checkpoint, selection: &str) -> Result<(), AppendError> {
    if checkpoint.selection == selection {
        return Ok(());
    }
    tracing::info!(before = checkpoint.selection, now = selection, "the selection of tables changes");
    checkpoint.selection = selection.to_owned();
    let header = EntryHeader {
        kind: kind::SELECTION,
        source_pos: checkpoint.position,
        received_us: u64::try_from(now_us()).unwrap_or(0),
        ..EntryHeader::default()
    };
    // It needs nothing to be read by, so its block has no context and takes nothing else.
    appender.seal();
    appender.append(header, &[selection.as_bytes()], &(&[][..] as &[u8]))?;
    // Time 0: it moves no time address.
    appender.commit(Commit { checkpoint: &checkpoint.encode(), commit_time_us: 0, forget_prepared: None });
    appender.seal();
    Ok(())
}

/// The server in use, for status.
fn server(facts: &ServerFacts, from: &DumpFrom, config: &Source) -> Server {
    let by_file = matches!(from, DumpFrom::File { .. });
    Server {
        host: facts.address.clone(),
        version: facts.version.clone(),
        uuid: if facts.dialect == Dialect::MySql { facts.identity.clone() } else { String::new() },
        server_id: facts.server_id,
        resume: if by_file { "file" } else { "gtid" }.to_owned(),
        timestamp_zone: match config.timestamp_zone.as_str() {
            "source" => zone_name(&facts.time_zone().0),
            zone => zone.to_owned(),
        },
    }
}

/// The zone as the config would name it.
fn zone_name(zone: &jiff::tz::TimeZone) -> String {
    let offset = || {
        let minutes = zone.to_fixed_offset().map_or(0, |offset| offset.seconds() / 60);
        format!("{}{:02}:{:02}", if minutes < 0 { '-' } else { '+' }, minutes.abs() / 60, minutes.abs() % 60)
    };
    zone.iana_name().map_or_else(offset, str::to_owned)
}
