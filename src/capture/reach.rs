//! Which server of the list continues the log. Each in turn is asked what it has, and then for the dump itself, because
//! some things only the server can judge; the first that sends an event is it.

use super::CaptureContext;
use super::error::CaptureError;
use super::facts::ServerFacts;
use super::position::{ResumePoint, choose};
use super::schema_history::{self, SchemaHistory};
use super::schema_reading::{Reading, SchemaReader};
use super::source::{Session, fill_created_around};
use super::stream::{BinlogStream, ConnectOptions, Connection, DumpFrom, DumpOptions, StreamError};
use crate::binlog::event::Dialect;
use crate::config::{Source, SourceStart};
use crate::failure::{Class, Failure, chain};
use crate::log::Checkpoint;

/// A server that sends what follows the log's end.
pub(super) struct Reached {
    /// The dump; the server has accepted the position.
    pub(super) stream: BinlogStream,
    /// What the server said of itself.
    pub(super) facts: ServerFacts,
    /// Where the dump begins.
    pub(super) point: ResumePoint,
    /// The definitions of tables, those that were read now among them.
    pub(super) history: SchemaHistory,
    /// The place that the stream has to pass until all of them hold.
    pub(super) reading: Option<Reading>,
}

impl CaptureContext {
    /// The first server of the list that continues the log. While one does not answer, the others' refusals are not
    /// final: it may be the one that has everything.
    pub(super) async fn reach(&self, checkpoint: Option<&Checkpoint>) -> Result<Reached, CaptureError> {
        let (mut may_pass, mut refused) = (None, None);
        for options in ConnectOptions::each_host(&self.config) {
            match self.attempt(&options, checkpoint).await {
                Ok(reached) => return Ok(reached),
                Err(error) if error.is_of_one_server() => {
                    tracing::warn!(server = options.address(), error = %chain(&error), "source cannot continue the log");
                    let place = if error.class() == Class::Transient { &mut may_pass } else { &mut refused };
                    place.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(may_pass.or(refused).unwrap_or(StreamError::Closed.into()))
    }

    /// Asks one server, as far as to its first event.
    async fn attempt(
        &self,
        options: &ConnectOptions,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Reached, CaptureError> {
        let Source { start, resume, server_id, tables, heartbeat_interval, .. } = &*self.config;
        let mut session = Session::connect(options).await?;
        let mut facts = session.facts().await?;
        if let (None, SourceStart::Time(us)) = (checkpoint, start) {
            fill_created_around(options, *server_id, &mut facts.binlogs, us.div_euclid(1_000_000)).await?;
        }
        let point = choose(checkpoint, *resume, start, &facts)?;
        let dump = DumpOptions { heartbeat: heartbeat_interval.0, ..DumpOptions::new(*server_id) };
        let versions = self.store.schema_versions()?;
        let mut history = SchemaHistory::load(versions.iter().map(|version| &version.bytes), dialect(&facts))?;
        let full_metadata = facts.variable("binlog_row_metadata").is_some_and(|v| v.eq_ignore_ascii_case("full"));
        let reader = SchemaReader { options, dump: &dump, tables, point: &point, full_metadata };
        let reading = reader.read(&mut session, &mut history).await?;
        drop(session);
        let mut stream = Connection::connect(options).await?.dump(&point.from, &dump).await?;
        stream.accepted().await?;
        tracing::info!(
            server = facts.address,
            version = facts.version,
            from = %describe(&point.from),
            reason = ?point.reason,
            "capture begins"
        );
        Ok(Reached { stream, facts, point, history, reading })
    }
}

/// How the server prints types and compares names.
fn dialect(facts: &ServerFacts) -> schema_history::Dialect {
    schema_history::Dialect {
        display_widths: facts.dialect == Dialect::MariaDB || facts.version_numbers() < (8, 0, 19),
        json_is_text: facts.dialect == Dialect::MariaDB,
        fold_names: facts.variable("lower_case_table_names").is_some_and(|v| v != "0"),
    }
}

/// Where a dump begins, for the log.
fn describe(from: &DumpFrom) -> String {
    match from {
        DumpFrom::MySqlGtid(set) => format!("after {set}"),
        DumpFrom::MariaDbGtid(position) => format!("after {position}"),
        DumpFrom::File { file, position } => format!("{file}:{position}"),
    }
}
