//! Takes the stream's events, one by one, into the log: verify, find the place, follow the group, select, append, and
//! move the checkpoint where a group ends. Synchronous and without I/O of its own; whoever drives it moves the bytes.
//!
//! IMPORTANT: the checkpoint handed to the store with a commit covers exactly the transactions that ended so far. To
//! hand it over earlier, at the GTID event, would lose a transaction that a crash cuts off.
//!
//! | look in | for |
//! |---|---|
//! | here | one event's way, from its bytes into the log |
//! | `ending.rs` | the end of its group |
//! | `chunks.rs` | rows of tables that are copied |
//! | `begin.rs` | where a new log begins, and how far its checkpoint may follow until then |
//! | `control.rs` | events outside of transactions: heads of files, rotations, heartbeats |
//! | `rows.rs` | table maps and rows |
//! | `statement.rs` | statements, and the definitions that they make |
//! | `prepared.rs` | the commit of prepared XA rows |

mod begin;
mod chunks;
mod committing;
mod control;
mod ending;
mod prepared;
mod rows;
mod statement;

use relay_store::{Appender, BlockContext, EntryHeader, PreparedRange, SchemaVersion, Seq};

use super::captured::Captured;
use super::continuity::Continuity;
use super::error::{CaptureError, EventError};
use super::executed::Executed;
use super::group::{Action, Group, Signal};
use super::position::{Covered, ResumePoint};
use super::scene::Scene;
use super::schema_history::SchemaHistory;
use super::schema_reading::Reading;
use super::signal;
use super::stream::DumpFrom;
use super::transaction::{Received, Transaction};
use super::unpack::{PayloadReader, inflate_mariadb};
use super::window::Windows;
use crate::binlog::event::{Checksum, Event, EventHeader, EventType, FormatDescription};
use crate::binlog::gtid::{GtidParseError, GtidSet, MariadbPosition};
use crate::log::{Checkpoint, flag, kind};
use committing::Committing;

/// Flag of a rows event: the last one of its statement (`STMT_END_F`).
const STATEMENT_END: u8 = 0x01;
/// Table id of a rows event without rows, which only ends a statement.
const NO_TABLE: u64 = 0x00FF_FFFF;
/// A prepared range with rows has at least so many entries before its last one: XA START or the GTID event, a map, rows.
const ENTRIES_BEFORE_XA_PREPARE: u64 = 3;
/// Entry flags of events that came out of compressed ones.
const UNPACKED: u8 = flag::UNPACKED | flag::NO_CHECKSUM;

/// Transactions that ended, for those who count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ended {
    /// In the log.
    pub(super) logged: u64,
    /// Nothing of them was kept.
    pub(super) unselected: u64,
}

/// What is left to do for an event before the next one can be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing.
    Done,
    /// It was a heartbeat: the source has nothing more than what came before it.
    Heartbeat,
    /// It holds a compressed transaction: give each inner event to [`Recorder::take_inner`].
    Payload,
    /// It commits these prepared rows: give their blocks to [`Recorder::copy_prepared`], then the event itself to
    /// [`Recorder::finish_prepared`].
    Prepared(PreparedRange),
}

/// Where the stream begins, and what the log covers by then.
#[derive(Debug)]
pub(super) struct Start {
    /// As it was chosen.
    pub(super) point: ResumePoint,
    /// Where the log ends, unless it is new.
    pub(super) checkpoint: Option<Checkpoint>,
    /// What tells the server that is asked from others.
    pub(super) server: String,
    /// Whether the server keeps names of tables in lower case, when it told.
    pub(super) lower_case: Option<bool>,
    /// Whether events carried a checksum when the dump began.
    pub(super) checksum: bool,
    /// What is known of the tables.
    pub(super) history: SchemaHistory,
    /// Where definitions were read that the stream has not reached yet.
    pub(super) reading: Option<Reading>,
    /// Rows that lack columns (`binlog_row_image` MINIMAL and NOBLOB) are expected.
    pub(super) partial_images: bool,
    /// A selected table stays one under any name that it gets.
    pub(super) follow_rename: bool,
}

/// The state of the stream, from one dump's start to its end.
pub(super) struct Recorder {
    appender: Appender,
    selection: Captured,
    /// The same as text, for every checkpoint.
    selection_text: String,
    follow_rename: bool,
    place: Continuity,
    group: Group,
    executed: Executed,
    /// What is executed is said by the head of the first file, which has not come yet.
    awaits_head: bool,
    point: ResumePoint,
    server: String,
    file_created: u32,
    checksum: Checksum,
    format: Option<FormatDescription>,
    format_raw: Vec<u8>,
    scene: Scene,
    history: SchemaHistory,
    reading: Option<Reading>,
    /// The first row that lacks columns is told of.
    warns_of_partial_rows: bool,
    /// New versions of selected tables, and versions that they replace, until an entry takes them along.
    versions: Vec<SchemaVersion>,
    retired: Vec<u64>,
    transaction: Transaction,
    /// Chunks of tables that are being copied.
    windows: Windows,
    /// XA transactions that the source may not show yet; only where it says no other way what it shows.
    committing: Committing,
    /// Transactions that committed without their rows: those were prepared before the log begins.
    without_rows: u64,
    inflated: Vec<u8>,
    unsubmitted: usize,
    ended: Ended,
    /// When the last group that ended committed, by the source's clock, microseconds since 1970.
    newest_us: Option<i64>,
    /// A server that searches by GTID sends the heads of older files first. Until the stream has passed the place of
    /// the checkpoint, or brings something new, the checkpoint stays where it is.
    floor: Option<(String, u64)>,
    /// The checkpoint of a new log whose begin the stream has not reached.
    withheld: Option<Vec<u8>>,
}

impl Recorder {
    /// At the start of a dump.
    ///
    /// # Errors
    /// GTIDs in the start that do not read.
    pub(super) fn new(
        appender: Appender,
        selection: impl Into<Captured>,
        start: Start,
    ) -> Result<Self, GtidParseError> {
        let selection = selection.into();
        let selection_text = selection.text();
        let Start { point, checkpoint, server, lower_case, checksum, history, reading, partial_images, follow_rename } =
            start;
        let (executed, awaits_head) = match &point.covered {
            Covered::Known(position) => (Executed::read(position)?, false),
            Covered::AtFileStart => (Executed::FileOnly, true),
        };
        let place = match &point.from {
            DumpFrom::File { file, position } => Continuity::new(file.clone(), *position, false),
            DumpFrom::MySqlGtid(_) | DumpFrom::MariaDbGtid(_) => Continuity::new(String::new(), 0, true),
        };
        let by_gtid = !matches!(point.from, DumpFrom::File { .. });
        let floor = checkpoint.filter(|checkpoint| by_gtid && checkpoint.server == server);
        let mut recorder = Self {
            appender,
            selection,
            selection_text,
            follow_rename,
            place,
            group: Group::new(),
            executed,
            awaits_head,
            point,
            server,
            file_created: 0,
            checksum: if checksum { Checksum::Crc32 } else { Checksum::None },
            format: None,
            format_raw: Vec::new(),
            scene: Scene::default(),
            history,
            reading,
            warns_of_partial_rows: !partial_images,
            versions: Vec::new(),
            retired: Vec::new(),
            transaction: Transaction::default(),
            windows: Windows::default(),
            committing: Committing::default(),
            without_rows: 0,
            inflated: Vec::new(),
            unsubmitted: 0,
            ended: Ended::default(),
            newest_us: None,
            floor: floor.map(|checkpoint| (checkpoint.file, checkpoint.position)),
            withheld: None,
        };
        recorder.scene.set_lower_case(lower_case);
        recorder.scene.set_executed(&recorder.executed.position());
        // What was read at the start must not be taken for the work of the first statement of the stream.
        recorder.collect_versions();
        Ok(recorder)
    }

    /// The appender, to move bytes to the writer.
    pub(super) fn appender(&mut self) -> &mut Appender {
        self.unsubmitted = 0;
        &mut self.appender
    }

    /// Transactions that ended since the last time.
    pub(super) fn take_ended(&mut self) -> Ended {
        std::mem::take(&mut self.ended)
    }

    /// Bytes appended since the appender was last asked for.
    pub(super) fn unsubmitted(&self) -> usize {
        self.unsubmitted
    }

    /// Whether a transaction entered the log since [`Recorder::take_ended`].
    pub(super) fn has_logged(&self) -> bool {
        self.ended.logged > 0
    }

    /// When the last group of the stream committed, by the source's clock, in microseconds since 1970: what the source had
    /// before that has come.
    pub(super) fn newest_us(&self) -> Option<i64> {
        self.newest_us
    }

    /// Whether the stream is between groups.
    pub(super) fn is_idle(&self) -> bool {
        self.group.is_idle()
    }

    /// Whether the log has a checkpoint.
    pub(super) fn has_checkpoint(&self) -> bool {
        self.appender.checkpoint().is_some()
    }

    /// Whether the log has a checkpoint, or cannot have one yet: a transaction has begun without one, or the stream begins
    /// before the place that the settings name.
    pub(super) fn has_begun(&self) -> bool {
        self.has_checkpoint() || !self.is_idle() || self.is_before_log()
    }

    /// File and position of the last event's end.
    pub(super) fn place(&self) -> (&str, u64) {
        (self.place.file(), self.place.position())
    }

    /// What the log covers by now.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            gtids: self.executed.position(),
            file: self.place.file().to_owned(),
            position: self.place.position(),
            server: self.server.clone(),
            file_created: self.file_created,
            selection: self.selection_text.clone(),
        }
    }

    /// Takes an event as it was received.
    ///
    /// # Errors
    /// What is wrong with the event; nothing of its transaction is ever visible then.
    pub(super) fn take(&mut self, raw: &[u8], received_us: u64) -> Result<Taken, CaptureError> {
        self.take_event(raw, received_us).map_err(|source| self.locate(source, raw))
    }

    /// Says where the event is that something is wrong with.
    pub(super) fn locate(&self, source: EventError, raw: &[u8]) -> CaptureError {
        if let EventError::Append(error) = source {
            return CaptureError::Append(error);
        }
        let event_type = EventType(raw.get(4).copied().unwrap_or(0));
        let (file, position) = self.place();
        CaptureError::Event { file: file.to_owned(), position, event_type, source }
    }

    /// Opens the compressed transaction that was taken just before.
    ///
    /// # Errors
    /// Its fields do not decode.
    pub(super) fn open_payload<'a>(&self, raw: &'a [u8]) -> Result<PayloadReader<'a>, CaptureError> {
        let open = || -> Result<_, EventError> { Ok(PayloadReader::new(&Event::parse(raw, self.checksum)?)?) };
        open().map_err(|source| self.locate(source, raw))
    }

    fn take_event(&mut self, raw: &[u8], received_us: u64) -> Result<Taken, EventError> {
        let header = EventHeader::parse(raw)?;
        match header.event_type {
            EventType::FORMAT_DESCRIPTION => return self.format_description(raw, &header),
            EventType::ROTATE => return self.rotate(raw, &header),
            _ => {}
        }
        Event::verify(raw, self.checksum)?;
        let event = Event::parse(raw, self.checksum)?;
        match header.event_type {
            EventType::HEARTBEAT | EventType::HEARTBEAT_V2 => return self.heartbeat(&event),
            _ if header.is_artificial() => return Ok(Taken::Done),
            _ => {}
        }
        let source_pos = self.place.event(header.event_len, header.log_pos, self.group.is_idle())?;
        if header.event_type == EventType::TRANSACTION_PAYLOAD {
            return Ok(Taken::Payload);
        }
        let format = self.format.as_ref().ok_or(EventError::BeforeFormat)?;
        let flags = if self.checksum == Checksum::None { flag::NO_CHECKSUM } else { 0 };
        let received = Received { flags, tx_index: 0, source_pos, received_us };
        if header.event_type.is_mariadb_compressed() {
            let mut plain = std::mem::take(&mut self.inflated);
            inflate_mariadb(&event, format, &mut plain)?;
            let taken =
                self.in_stream(&Event::parse(&plain, Checksum::None)?, Received { flags: UNPACKED, ..received });
            self.inflated = plain;
            return taken;
        }
        self.in_stream(&event, received)
    }

    /// Takes an inner event of a compressed transaction whose outer event was taken just before.
    ///
    /// # Errors
    /// As [`Recorder::take`]; also when the transaction does not end with the last inner event.
    pub(super) fn take_inner(&mut self, raw: &[u8], last: bool, received_us: u64) -> Result<Taken, CaptureError> {
        let source_pos = self.place.position();
        let received = Received { flags: UNPACKED, tx_index: 0, source_pos, received_us };
        let take = |this: &mut Self| {
            let event = Event::parse(raw, Checksum::None)?;
            let taken = this.in_stream(&event, received)?;
            if this.group.is_idle() == last { Ok(taken) } else { Err(EventError::PayloadEnd) }
        };
        take(self).map_err(|source| self.locate(source, raw))
    }

    /// Anything that stands in the file, but for format descriptions and rotations.
    fn in_stream(&mut self, event: &Event<'_>, mut received: Received) -> Result<Taken, EventError> {
        let kind = event.header.event_type;
        received.tx_index = self.transaction.next_index;
        if kind.is_mysql_gtid() || kind == EventType::MARIADB_GTID {
            return self.announce(event, received);
        }
        let signal = match kind {
            EventType::PRE_GA_WRITE_ROWS | EventType::PRE_GA_UPDATE_ROWS | EventType::PRE_GA_DELETE_ROWS => {
                return Err(EventError::Unknown);
            }
            kind if kind.is_rows() => Signal::Rows,
            _ => signal::signal(event)?,
        };
        if signal == Signal::Apart {
            return self.apart(event);
        }
        self.transaction.take_index();
        match self.group.step(signal)? {
            Action::Rows if self.transaction.known => {}
            Action::Rows if kind == EventType::TABLE_MAP => self.table_map(event, received)?,
            Action::Rows if kind.is_rows() => self.rows(event, received)?,
            Action::Rows => {
                self.transaction.text.clear();
                self.transaction.text.push(received, event.raw);
            }
            Action::Begin => {
                self.enter(received.source_pos - u64::from(event.header.event_len));
                self.transaction.held.push(received, event.raw);
            }
            Action::Hold => self.transaction.held.push(received, event.raw),
            Action::Statement => self.statement(event, received)?,
            Action::Savepoint(name) => self.transaction.set_savepoint(name),
            Action::RollbackTo(name) => match self.transaction.rows_undone(&name) {
                0 => {}
                rows => return Err(EventError::Undone { rows }),
            },
            Action::Close(close) => return self.close(close, event, received),
            Action::Drop | Action::Nothing | Action::Cut => {}
        }
        Ok(Taken::Done)
    }

    /// A GTID event: a group begins.
    fn announce(&mut self, event: &Event<'_>, received: Received) -> Result<Taken, EventError> {
        let announcement = signal::announcement(event)?;
        if self.awaits_head {
            // A file without the list of what came before it was begun when the server had no GTIDs.
            self.begin_with(match announcement.signal {
                Signal::MariaDbGtid { .. } => Executed::MariaDb(MariadbPosition::new()),
                _ => Executed::MySql(GtidSet::new()),
            });
        }
        self.group.step(announcement.signal)?;
        self.transaction.take_index();
        self.transaction.id = announcement.id;
        self.transaction.commit_us = announcement.commit_us;
        self.enter(received.source_pos - u64::from(event.header.event_len));
        self.transaction.held.push(received, event.raw);
        Ok(Taken::Done)
    }

    /// Logs an event of the open transaction, and its first events before it.
    fn keep(&mut self, raw: &[u8], received: Received) -> Result<(), EventError> {
        self.log_held()?;
        append(&mut self.appender, &self.scene, &mut self.unsubmitted, kind::EVENT, received, &[raw])?;
        Ok(())
    }

    /// Logs the transaction's first events, when they are not in the log yet.
    fn log_held(&mut self) -> Result<(), EventError> {
        if self.transaction.logged {
            return Ok(());
        }
        for (received, raw) in self.transaction.held.iter() {
            append(&mut self.appender, &self.scene, &mut self.unsubmitted, kind::EVENT, received, &[raw])?;
            let event_type = EventType(raw.get(4).copied().unwrap_or(0));
            if event_type.is_mysql_gtid() || event_type == EventType::MARIADB_GTID {
                self.scene.set_gtid(received.flags, raw);
            } else if event_type == EventType::QUERY {
                self.scene.set_begin(received.flags, raw);
            }
        }
        self.transaction.logged = true;
        self.transaction.held.clear();
        Ok(())
    }

    /// Logs the text of the statement whose first map is about to be logged.
    fn log_text(&mut self) -> Result<(), EventError> {
        if self.transaction.text.is_empty() {
            return Ok(());
        }
        self.log_held()?;
        for (received, raw) in self.transaction.text.iter() {
            append(&mut self.appender, &self.scene, &mut self.unsubmitted, kind::EVENT, received, &[raw])?;
        }
        self.transaction.text.clear();
        Ok(())
    }
}

/// Appends one entry under the scene as it is now.
fn append(
    appender: &mut Appender,
    scene: &Scene,
    unsubmitted: &mut usize,
    kind: u8,
    received: Received,
    parts: &[&[u8]],
) -> Result<Seq, EventError> {
    let Received { flags, tx_index, source_pos, received_us } = received;
    let header = EntryHeader { kind, flags, tx_index, source_pos, received_us };
    let seq = appender.append(header, parts, scene as &dyn BlockContext)?;
    *unsubmitted += parts.iter().map(|part| part.len()).sum::<usize>();
    Ok(seq)
}
