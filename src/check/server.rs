//! Asks the source once, for `source.*`, `binlog.*`, `table.*`, `objects.exist` and `time.zone`.

use jiff::tz::TimeZone;

use super::{Item, binlog, source, table};
use crate::capture::facts::{ServerGtids, TableFacts};
use crate::capture::source::{ResumeError, Session};
use crate::capture::stream::{ConnectOptions, StreamError};
use crate::config::{Source, parse_zone};
use crate::failure::{Class, Failure};
use crate::log::Checkpoint;

/// What is known of the log that the source is to fill.
#[derive(Debug, Clone, Copy)]
pub enum LogState<'a> {
    /// There is none: it begins where `source.start` says.
    New,
    /// It ends here.
    EndsAt(&'a Checkpoint),
    /// Whether the source can continue it has been judged already: the item `binlog.files`.
    Judged(&'a Item),
}

/// What the source says.
#[derive(Debug, Default)]
pub struct Asked {
    /// Its items.
    pub items: Vec<Item>,
    /// What was found on a server; none when none was reached.
    pub found: Option<Found>,
}

/// The server that answered.
#[derive(Debug)]
pub struct Found {
    /// Its version, as it prints it.
    pub version: String,
    /// Zone in which TIMESTAMP columns are shown, as far as it is certain.
    pub zone: TimeZone,
    /// Whether it tells what is executed: GTIDs of either dialect.
    pub has_gtids: bool,
    /// The selected tables.
    pub tables: Vec<TableFacts>,
}

/// Every item of the source: of the first server of the list that answers and can continue the log, else of the first
/// that answers.
pub async fn ask(config: &Source, log: LogState<'_>) -> Asked {
    let mut silent = Vec::new();
    let (mut may_come_back, mut unreached) = (false, None);
    let mut refused: Option<Answer> = None;
    for options in ConnectOptions::each_host(config) {
        let answer = match Session::connect(&options).await {
            Ok(mut session) => ask_one(&mut session, &options, config, log, &silent).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Answer { items, found, refused: None }) => return Asked { items, found: Some(found) },
            Ok(answer) => {
                // One that may pass says more than one that is final.
                let passes = |answer: &Answer| answer.refused == Some(Class::Transient);
                if refused.as_ref().is_none_or(|kept| passes(&answer) && !passes(kept)) {
                    refused = Some(answer);
                }
            }
            Err(error) => {
                silent.push(options.address());
                may_come_back |= error.class() == Class::Transient;
                unreached.get_or_insert(source::unreached(&error));
            }
        }
    }
    let Some(Answer { mut items, found, .. }) = refused else {
        return Asked { items: unreached.into_iter().collect(), found: None };
    };
    if may_come_back {
        // The one that does not answer may have what the others lack.
        let files = items.iter_mut().filter(|item| item.id == binlog::FILES);
        files.for_each(|item| item.unreachable = true);
    }
    Asked { items, found: Some(found) }
}

/// What one server came to.
struct Answer {
    items: Vec<Item>,
    found: Found,
    /// It cannot continue the log, and another server may.
    refused: Option<Class>,
}

async fn ask_one(
    session: &mut Session,
    options: &ConnectOptions,
    config: &Source,
    log: LogState<'_>,
    silent: &[String],
) -> Result<Answer, StreamError> {
    let checkpoint = match log {
        LogState::New => Some(None),
        LogState::EndsAt(checkpoint) => Some(Some(checkpoint)),
        LogState::Judged(_) => None,
    };
    let (facts, resume) = match checkpoint {
        None => (session.facts().await?, None),
        Some(checkpoint) => match session.resume_point(options, config, checkpoint).await {
            Ok((facts, point)) => (facts, Some(Ok(point))),
            Err(ResumeError::Ask(error)) => return Err(error),
            Err(ResumeError::Position(error)) => (session.facts().await?, Some(Err(error))),
        },
    };
    let mut items = vec![source::connected(&facts, config.tls.mode, silent)];
    items.extend(source::items(&facts, config));
    items.extend(binlog::items(&facts, config, resume.as_ref()));
    if let LogState::Judged(judged) = log {
        let files = items.iter_mut().filter(|item| item.id == binlog::FILES);
        files.for_each(|item| *item = judged.clone());
    }
    let tables = tables(session, config).await?;
    items.extend(table::items(&tables, &config.tables));
    items.push(table::encdb(&facts));
    let refused = match &resume {
        Some(Err(error)) if error.is_of_one_server() => Some(error.class()),
        _ => None,
    };
    let zone = parse_zone(&config.timestamp_zone).unwrap_or_else(|| facts.time_zone().0);
    let has_gtids = facts.gtids != ServerGtids::Off;
    Ok(Answer { items, found: Found { version: facts.version.clone(), zone, has_gtids, tables }, refused })
}

async fn tables(session: &mut Session, config: &Source) -> Result<Vec<TableFacts>, StreamError> {
    let wanted = |database: &str, table: &str| config.tables.matches(database, table);
    let mut reading = session.schema(&wanted).await?;
    session.add_foreign_keys(&mut reading.tables).await?;
    session.add_row_sizes(&mut reading.tables).await?;
    Ok(reading.tables)
}
