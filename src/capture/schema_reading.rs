//! Reads the definitions of selected tables that the history does not know, and settles whether they hold where the
//! stream begins: it may begin far before the place where they were read, and statements in between change them.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::continuity::{Continuity, HeartbeatPosition};
use super::error::{CaptureError, EventError};
use super::executed::Executed;
use super::facts::{SourceEnd, compare_files};
use super::online_ddl::OnlineDdl;
use super::position::{Covered, ResumePoint, Skip};
use super::schema_history::SchemaHistory;
use super::source::Session;
use super::stream::{ConnectOptions, Connection, DumpFrom, DumpOptions};
use super::unpack::inflate_mariadb;
use crate::binlog::event::{Checksum, Event, EventHeader, EventType, FormatDescription, Heartbeat, Query, Rotate};
use crate::change::ddl::parse;
use crate::selection::TablePatterns;

/// A reading is repeated so often for the server to stand still meanwhile. When it never does, a statement that falls
/// into it leaves its table unconfirmed.
const READINGS_MAX: usize = 3;

/// Where the binlog ended before and after definitions were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    before: SourceEnd,
    after: SourceEnd,
    /// Statements up to there were looked for: what is not ahead of the stream is known to hold.
    pub(super) searched: bool,
}

impl Reading {
    /// Whether the place lies between the two ends.
    pub(super) fn is_within(&self, place: (&str, u64)) -> bool {
        is_behind(place, &self.before) && !is_behind(place, &self.after)
    }

    /// Whether the place lies at or behind the second end.
    pub(super) fn is_passed(&self, place: (&str, u64)) -> bool {
        is_at(place, &self.after) || is_behind(place, &self.after)
    }
}

fn is_at((file, position): (&str, u64), end: &SourceEnd) -> bool {
    file == end.file && position == end.position
}

fn is_behind((file, position): (&str, u64), end: &SourceEnd) -> bool {
    match compare_files(file, &end.file) {
        Some(Ordering::Greater) => true,
        Some(Ordering::Equal) => position > end.position,
        Some(Ordering::Less) | None => false,
    }
}

/// What is asked, and of whom.
#[derive(Debug)]
pub(super) struct SchemaReader<'a> {
    pub(super) options: &'a ConnectOptions,
    pub(super) dump: &'a DumpOptions,
    pub(super) tables: &'a TablePatterns,
    /// How helper tables are told: those of selected tables are read too.
    pub(super) online: &'a OnlineDdl,
    /// Where the stream is to begin.
    pub(super) point: &'a ResumePoint,
    /// Whether to look for statements that changed tables between the stream's begin and the reading. Not where the
    /// server's table maps name columns by themselves now (`binlog_row_metadata=FULL`), until one is met that does not.
    pub(super) search: bool,
}

impl SchemaReader<'_> {
    /// Brings the history up to date; gives the place that the stream has to pass until all of it holds.
    ///
    /// # Errors
    /// The server does not answer.
    pub(super) async fn read(
        &self,
        session: &mut Session,
        history: &mut SchemaHistory,
    ) -> Result<Option<Reading>, CaptureError> {
        let (definitions, reading) = {
            let wanted = |database: &str, table: &str| {
                let selected = |table: &str| self.tables.matches(database, table);
                // Also one that is followed under another name than the selection has.
                let known = history.version(database, table).is_some();
                (known || selected(table) || self.online.tables(table).any(selected))
                    && !history.is_confirmed(database, table)
            };
            let mut reading = session.schema(&wanted).await?;
            for _ in 1..READINGS_MAX {
                if reading.tables.is_empty() || reading.before == reading.after {
                    break;
                }
                reading = session.schema(&wanted).await?;
            }
            (reading.tables, reading.before.zip(reading.after))
        };
        // A server that does not tell where its binlog ends cannot be captured at all; the stream says so better.
        let Some((before, after)) = reading.filter(|_| !definitions.is_empty()) else { return Ok(None) };
        let reading = Reading { before, after, searched: self.search };
        let at_once = self.begins_at(&reading.after);
        let touched = match at_once || !self.search {
            true => BTreeSet::new(),
            false => self.touched_before(&reading.after).await?,
        };
        let ahead = format!("read at {}:{}, where the stream is not yet", reading.after.file, reading.after.position);
        for facts in definitions {
            let definition = facts.definition;
            let name = (definition.database.to_lowercase(), definition.table.to_lowercase());
            let holds = at_once || (self.search && !touched.contains(&name));
            history.adopt(definition, (!holds).then(|| ahead.clone()));
        }
        Ok(history.is_ahead().then_some(reading))
    }

    /// Whether the stream begins at that end.
    fn begins_at(&self, end: &SourceEnd) -> bool {
        match (&self.point.from, &self.point.covered) {
            (DumpFrom::File { file, position }, _) => is_at((file, *position), end),
            (_, Covered::Known(covered)) => {
                matches!((Executed::read(covered), Executed::read(&end.gtids)), (Ok(a), Ok(b)) if a == b)
            }
            (_, Covered::AtFileStart) => false,
        }
    }

    /// Tables, in lower case, that statements between the stream's begin and `end` may have changed. Reads that part of
    /// the binlog once more than capture will, where table maps do not name columns and only when the log lacks
    /// definitions.
    async fn touched_before(&self, end: &SourceEnd) -> Result<BTreeSet<(String, String)>, CaptureError> {
        tracing::info!(until = end.file, position = end.position, "looking for statements that changed tables");
        let mut stream = Connection::connect(self.options).await?.dump(&self.point.from, self.dump).await?;
        let mut scan = Scan::new(self.point, stream.checksum_at_connect());
        loop {
            let packet = stream.next().await?;
            scan.take(packet.event).map_err(|source| scan.locate(source, packet.event))?;
            let place = (scan.place.file(), scan.place.position());
            if scan.positioned && (is_at(place, end) || is_behind(place, end)) {
                return Ok(scan.touched);
            }
        }
    }
}

/// Looks through a stream for statements.
#[derive(Debug)]
struct Scan {
    place: Continuity,
    /// An event or heartbeat has shown where the stream is.
    positioned: bool,
    checksum: Checksum,
    format: Option<FormatDescription>,
    inflated: Vec<u8>,
    /// What the log is not to hold; what changed there is in the definitions that the stream begins with.
    skip: Option<Skip>,
    touched: BTreeSet<(String, String)>,
}

impl Scan {
    fn new(point: &ResumePoint, checksum: bool) -> Self {
        let (file, position) = match &point.from {
            DumpFrom::File { file, position } => (file.clone(), *position),
            DumpFrom::MySqlGtid(_) | DumpFrom::MariaDbGtid(_) => (String::new(), 0),
        };
        Self {
            place: Continuity::new(file, position, true),
            positioned: false,
            checksum: if checksum { Checksum::Crc32 } else { Checksum::None },
            format: None,
            inflated: Vec::new(),
            skip: point.skip.clone(),
            touched: BTreeSet::new(),
        }
    }

    fn locate(&self, source: EventError, raw: &[u8]) -> CaptureError {
        let event_type = EventType(raw.get(4).copied().unwrap_or(0));
        CaptureError::Event { file: self.place.file().to_owned(), position: self.place.position(), event_type, source }
    }

    fn take(&mut self, raw: &[u8]) -> Result<(), EventError> {
        let header = EventHeader::parse(raw)?;
        if header.event_type == EventType::FORMAT_DESCRIPTION {
            let format = FormatDescription::parse(raw)?;
            self.checksum = format.checksum;
            self.format = Some(format);
        }
        let own = header.is_artificial() && Event::verify(raw, Checksum::Crc32).is_err();
        let checksum = if own { Checksum::None } else { self.checksum };
        Event::verify(raw, checksum)?;
        let event = Event::parse(raw, checksum)?;
        match header.event_type {
            EventType::ROTATE => {
                let rotate = Rotate::parse(&event)?;
                let file = String::from_utf8_lossy(rotate.file);
                if self.place.file() != file && matches!(self.skip, Some(Skip::UpTo(_))) {
                    self.skip = None;
                }
                self.place.rotate(&file, rotate.position);
                return Ok(());
            }
            EventType::HEARTBEAT | EventType::HEARTBEAT_V2 => {
                let heartbeat = Heartbeat::parse(&event)?;
                let position = HeartbeatPosition::of(&heartbeat);
                self.place.heartbeat(&String::from_utf8_lossy(heartbeat.file), position);
                self.positioned = true;
                return Ok(());
            }
            _ if header.is_artificial() => return Ok(()),
            _ => {}
        }
        let end = self.place.event(header.event_len, header.log_pos, true)?;
        self.positioned = true;
        if matches!(self.skip, Some(Skip::UpTo(offset)) if end <= offset) {
            return Ok(());
        }
        match header.event_type {
            EventType::QUERY => self.statement(&event),
            EventType::QUERY_COMPRESSED => {
                let format = self.format.as_ref().ok_or(EventError::BeforeFormat)?;
                let mut plain = std::mem::take(&mut self.inflated);
                inflate_mariadb(&event, format, &mut plain)?;
                self.statement(&Event::parse(&plain, Checksum::None)?)?;
                self.inflated = plain;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn statement(&mut self, event: &Event<'_>) -> Result<(), EventError> {
        let query = Query::parse(event)?;
        let ended_us = (i64::from(event.header.timestamp) + i64::from(query.exec_seconds) + 1) * 1_000_000;
        if matches!(self.skip, Some(Skip::CommittedBefore(us)) if ended_us < us) {
            return Ok(());
        }
        // Names in statements of other character sets than UTF-8 match nothing here, and their tables stay as they are
        // read; ASCII names are the same in all.
        let (sql, database) = (String::from_utf8_lossy(query.sql), String::from_utf8_lossy(query.schema));
        let tables = match parse(&sql, &database) {
            Ok(ddl) if ddl.temporary => return Ok(()),
            Ok(ddl) => ddl.tables().collect(),
            Err(unparsed) => unparsed.maybe,
        };
        let lower = |name: crate::change::ddl::ObjectName| (name.database.to_lowercase(), name.table.to_lowercase());
        self.touched.extend(tables.into_iter().map(lower));
        Ok(())
    }
}
