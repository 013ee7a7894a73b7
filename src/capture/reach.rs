//! Which server of the list continues the log. Each in turn is asked what it has, and then for the dump itself, because
//! some things only the server can judge; the first that sends an event is it.

use std::time::Duration;

use super::CaptureContext;
use super::error::CaptureError;
use super::facts::ServerFacts;
use super::online_ddl::OnlineDdl;
use super::position::{ResumePoint, choose};
use super::schema_history::{self, SchemaHistory};
use super::schema_reading::{Reading, SchemaReader};
use super::source::{Session, file_created, fill_created_around};
use super::stream::{BinlogStream, ConnectOptions, Connection, DumpFrom, DumpOptions, Refusal, StreamError};
use crate::binlog::event::Dialect;
use crate::config::{Source, SourceStart};
use crate::failure::{Class, Failure, chain};
use crate::log::Checkpoint;

/// How long a server may take to strike a reader off its list whose dump it ended.
const RIVAL_WAIT: Duration = Duration::from_secs(1);

/// A server that sends what follows the log's end.
pub(super) struct Reached {
    /// Where it is.
    pub(super) options: ConnectOptions,
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
    pub(super) async fn reach(&self, checkpoint: Option<&Checkpoint>, search: bool) -> Result<Reached, CaptureError> {
        let (mut may_pass, mut refused) = (None, None);
        for options in ConnectOptions::each_host(&self.config) {
            match self.attempt(&options, checkpoint, search).await {
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
        search: bool,
    ) -> Result<Reached, CaptureError> {
        let Source { start, resume, server_id, tables, online_ddl, heartbeat_interval, .. } = &*self.config;
        let mut session = Session::connect(options).await?;
        let mut facts = session.facts().await?;
        if let (None, SourceStart::Time(us)) = (checkpoint, start) {
            fill_created_around(options, *server_id, &mut facts.binlogs, us.div_euclid(1_000_000)).await?;
        }
        let point = choose(checkpoint, *resume, start, &facts)?;
        self.confirm_checkpoints_file(options, &point, &facts).await?;
        let dump = DumpOptions { heartbeat: heartbeat_interval.0, ..DumpOptions::new(*server_id) };
        let versions = self.store.schema_versions()?;
        let online = OnlineDdl::with(online_ddl);
        let history = SchemaHistory::load(versions.iter().map(|version| &version.bytes), dialect(&facts))?;
        let mut history = history.recognising(online.clone());
        let full_metadata = facts.variable("binlog_row_metadata").is_some_and(|v| v.eq_ignore_ascii_case("full"));
        let search = search || !full_metadata;
        let reader = SchemaReader { options, dump: &dump, tables, online: &online, point: &point, search };
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
        Ok(Reached { options: options.clone(), stream, facts, point, history, reading })
    }
}

impl CaptureContext {
    /// Why the server ended the dump, when it is because of another reader with our server id: a server before 5.7
    /// throws out the older one without a word. Its own reader is gone from the server's list a moment later.
    pub(super) async fn rival(&self, options: &ConnectOptions) -> Option<CaptureError> {
        tokio::select! {
            () = self.shutdown.cancelled() => return None,
            () = tokio::time::sleep(RIVAL_WAIT) => {}
        }
        let mut session = Session::connect(options).await.ok()?;
        let ours = self.config.server_id;
        let listed = session.replicas().await.ok()??.iter().any(|replica| replica.server_id == ours);
        listed.then(|| StreamError::thrown_out(ours).into())
    }

    /// A server that was reset may have grown past the log again, in files and in GTIDs: then only the age of the file
    /// in which the log ends tells. A dump by GTID may begin behind that file, so it is asked for by itself.
    async fn confirm_checkpoints_file(
        &self,
        options: &ConnectOptions,
        point: &ResumePoint,
        facts: &ServerFacts,
    ) -> Result<(), CaptureError> {
        let Some((file, _)) = &point.expected_file else { return Ok(()) };
        if matches!(point.from, DumpFrom::File { .. }) || facts.binlog(file).is_none() {
            return Ok(());
        }
        match file_created(options, self.config.server_id, file).await {
            Ok(created) => Ok(point.confirm_file(file, created)?),
            // Purged since it was listed, which a resume by GTID does not mind.
            Err(error) if error.refusal() == Some(Refusal::FileMissing) => Ok(()),
            Err(error) => Err(error.into()),
        }
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
