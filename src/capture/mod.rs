//! From the source to the log: resume, read, check, append. No row is decoded here.
//!
//! | look in | for |
//! |---|---|
//! | [`run`] | one life: ask the server, choose where to resume, open the dump, follow it |
//! | `follow.rs` | the loop: events in, blocks out, waiting for room |
//! | `recorder.rs` | what happens to one event: verified, placed, grouped, selected, appended |
//! | [`group`] | where a transaction begins and ends; what happens to a cut one |
//! | `continuity.rs` | whether each event starts where the previous one ended |
//! | [`schema_history`] | which definition of a table was in force where |
//! | [`unpack`] | compressed transactions and events |
//! | [`position`] | where the stream resumes, and why it cannot |
//! | [`facts`], [`source`] | what is known of the server, and how it is asked |
//! | [`stream`] | the connection: login, TLS, packets, the dump |

mod continuity;
pub mod error;
mod executed;
pub mod facts;
mod follow;
pub mod group;
pub mod position;
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

#[cfg(test)]
mod tests;

use std::sync::Arc;

use relay_store::{AppendError, Appender, Commit, EntryHeader, Store, Submit};
use tokio_util::sync::CancellationToken;

pub use error::CaptureError;

use crate::binlog::event::Dialect;
use crate::config::{Source, SourceStart};
use crate::failure::chain;
use crate::failure::{Class, Failure};
use crate::log::{Checkpoint, kind};
use crate::metrics::CaptureMetrics;
use crate::status::{CaptureHandle, Server, State, now_us};
use facts::ServerFacts;
use follow::Follow;
use position::{ResumePoint, choose};
use recorder::{Recorder, Start};
use schema_history::SchemaHistory;
use schema_reading::SchemaReader;
use source::{Session, fill_created_around};
use stream::{BinlogStream, ConnectOptions, Connection, DumpFrom, DumpOptions, StreamError};

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
    /// Ends it in order.
    pub shutdown: CancellationToken,
}

/// One life of capture: resumes where the log ends and follows the source until shutdown.
///
/// # Errors
/// Whatever ended the stream. What was committed by then is in the log or will be captured again from the checkpoint;
/// an open transaction is abandoned and never seen.
pub async fn run(context: CaptureContext) -> Result<(), CaptureError> {
    let opened = tokio::select! {
        biased;
        () = context.shutdown.cancelled() => return Ok(()),
        opened = context.open() => opened,
    };
    let (mut stream, mut recorder) = opened?;
    context.status.set_state(State::Running);
    let CaptureContext { store, status, metrics, shutdown, .. } = &context;
    Follow { store, status, metrics, shutdown }.run(&mut stream, &mut recorder).await
}

impl CaptureContext {
    /// Reaches a server that can continue the log, and opens the dump there.
    async fn open(&self) -> Result<(BinlogStream, Recorder), CaptureError> {
        let mut appender = self.store.appender()?;
        self.settle(&mut appender).await?;
        let mut checkpoint = appender.checkpoint().map(Checkpoint::decode).transpose()?;
        if let Some(checkpoint) = &mut checkpoint {
            note_selection(&mut appender, checkpoint, &self.config.tables.to_string())?;
        }
        let (options, mut session, facts, point) = self.reach(checkpoint.as_ref()).await?;
        let server_id = self.config.server_id;
        tracing::info!(
            server = facts.address,
            version = facts.version,
            from = %describe(&point.from),
            reason = ?point.reason,
            "capture begins"
        );
        self.status.set_server(server(&facts, &point.from, &self.config));
        self.status.set_clock_offset(facts.clock_ahead_ms.saturating_mul(1000));
        let dump = DumpOptions { heartbeat: self.config.heartbeat_interval.0, ..DumpOptions::new(server_id) };
        let versions = self.store.schema_versions()?;
        let mut history = SchemaHistory::load(versions.iter().map(|version| &version.bytes), dialect(&facts))?;
        let reader = SchemaReader {
            options: &options,
            dump: &dump,
            tables: &self.config.tables,
            point: &point,
            full_metadata: facts.variable("binlog_row_metadata").is_some_and(|v| v.eq_ignore_ascii_case("full")),
        };
        let reading = reader.read(&mut session, &mut history).await?;
        drop(session);
        let stream = Connection::connect(&options).await?.dump(&point.from, &dump).await?;
        let checksum = stream.checksum_at_connect();
        let start = Start { point, checkpoint, server: facts.identity, checksum, history, reading };
        Ok((stream, Recorder::new(appender, self.config.tables.clone(), start)?))
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

    /// The first server of the list that answers and can continue the log. While one does not answer, the others'
    /// refusals are not final: it may be the one that has everything.
    async fn reach(
        &self,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<(ConnectOptions, Session, ServerFacts, ResumePoint), CaptureError> {
        let Source { start, resume, server_id, .. } = &*self.config;
        let (mut may_pass, mut refused) = (None, None);
        for options in ConnectOptions::each_host(&self.config) {
            let answer = async {
                let mut session = Session::connect(&options).await?;
                let mut facts = session.facts().await?;
                if let (None, SourceStart::Time(us)) = (checkpoint, start) {
                    fill_created_around(&options, *server_id, &mut facts.binlogs, us.div_euclid(1_000_000)).await?;
                }
                Ok::<_, StreamError>((session, facts))
            };
            match answer.await {
                Ok((session, facts)) => match choose(checkpoint, *resume, start, &facts) {
                    Ok(point) => return Ok((options, session, facts, point)),
                    Err(error) if error.is_of_one_server() => {
                        tracing::warn!(server = options.address(), %error, "source cannot continue the log");
                        let place = if error.class() == Class::Transient { &mut may_pass } else { &mut refused };
                        place.get_or_insert(error.into());
                    }
                    Err(error) => return Err(error.into()),
                },
                Err(error) if error.is_connection() => {
                    tracing::warn!(server = options.address(), error = %chain(&error), "source does not answer");
                    may_pass = Some(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(may_pass.or(refused).unwrap_or(StreamError::Closed.into()))
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

/// How the server prints types and compares names.
fn dialect(facts: &ServerFacts) -> schema_history::Dialect {
    schema_history::Dialect {
        display_widths: facts.dialect == Dialect::MariaDB || facts.version_numbers() < (8, 0, 19),
        json_is_text: facts.dialect == Dialect::MariaDB,
        fold_names: facts.variable("lower_case_table_names").is_some_and(|v| v != "0"),
    }
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

/// Where a dump begins, for the log.
fn describe(from: &DumpFrom) -> String {
    match from {
        DumpFrom::MySqlGtid(set) => format!("after {set}"),
        DumpFrom::MariaDbGtid(position) => format!("after {position}"),
        DumpFrom::File { file, position } => format!("{file}:{position}"),
    }
}
