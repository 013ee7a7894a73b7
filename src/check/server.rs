//! Asks the source once, for `source.*`, `binlog.*`, `table.*`, `objects.exist` and `time.zone`.

use super::{Item, binlog, source, table};
use crate::capture::facts::TableFacts;
use crate::capture::source::{ResumeError, Session};
use crate::capture::stream::{ConnectOptions, StreamError};
use crate::config::Source;
use crate::log::Checkpoint;

/// What is known of the log that the source is to fill.
#[derive(Debug, Clone, Copy)]
pub enum LogState<'a> {
    /// There is none: it begins where `source.start` says.
    New,
    /// It ends here.
    EndsAt(&'a Checkpoint),
    /// There is one, and where it ends cannot be read now: capture finds out whether it can go on.
    Unknown,
}

/// Every item of the source: the first server of the list that answers is asked.
pub async fn items(config: &Source, log: LogState<'_>) -> Vec<Item> {
    let mut silent = Vec::new();
    let mut refusal = None;
    for options in ConnectOptions::each_host(config) {
        match Session::connect(&options).await {
            Ok(mut session) => {
                let asked = ask(&mut session, &options, config, log, &silent).await;
                return asked.unwrap_or_else(|error| vec![source::unreached(&error)]);
            }
            Err(error) => {
                silent.push(options.address());
                refusal = Some(error);
            }
        }
    }
    refusal.iter().map(source::unreached).collect()
}

async fn ask(
    session: &mut Session,
    options: &ConnectOptions,
    config: &Source,
    log: LogState<'_>,
    silent: &[String],
) -> Result<Vec<Item>, StreamError> {
    let point = match log {
        LogState::New => Some(session.resume_point(options, config, None).await),
        LogState::EndsAt(checkpoint) => Some(session.resume_point(options, config, Some(checkpoint)).await),
        LogState::Unknown => None,
    };
    let (facts, resume) = match point {
        None => (session.facts().await?, None),
        Some(Ok((facts, point))) => (facts, Some(Ok(point))),
        Some(Err(ResumeError::Ask(error))) => return Err(error),
        Some(Err(ResumeError::Position(error))) => (session.facts().await?, Some(Err(error))),
    };
    let mut items = vec![source::connected(&facts, config.tls.mode, silent)];
    items.extend(source::items(&facts, config));
    items.extend(binlog::items(&facts, config, resume.as_ref()));
    items.extend(table::items(&tables(session, config).await?, &config.tables));
    Ok(items)
}

async fn tables(session: &mut Session, config: &Source) -> Result<Vec<TableFacts>, StreamError> {
    let wanted = |database: &str, table: &str| config.tables.matches(database, table);
    let mut reading = session.schema(&wanted).await?;
    session.add_foreign_keys(&mut reading.tables).await?;
    Ok(reading.tables)
}
