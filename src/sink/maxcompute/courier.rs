//! Carries windows into tables: does what their units ask of the service, several at a time, and keeps the journal.

use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use relay_store::Seq;

use super::client::error::Reason;
use super::client::upload::{Target, Upload, UploadOptions, UploadStatus};
use super::client::{Client, ClientError, retry};
use super::ddl;
use super::journal::{Journal, UnitName};
use super::tables::{Kind, Tables, sink_error};
use super::unit::{Action, Answer, Event, Unit};
use super::window::{Block, Filling, Rows};
use crate::change::schema::TableName;
use crate::format::maxcompute::columns::Additional;
use crate::format::maxcompute::layout::TableColumn;
use crate::sink::{Keep, Progress, SinkError};
use crate::status::{DeliveryHandle, TableUnits, now_ms};

/// Units at work at the same time.
const AT_WORK: NonZero<usize> = NonZero::new(8).expect("not zero");
/// How long a count may take.
const COUNT_MAX: Duration = Duration::from_secs(600);
/// Before another session is opened in place of one that cannot be used.
const UNUSABLE_WAIT: Duration = Duration::from_secs(1);
/// The only block of a unit.
const BLOCK: u32 = 0;

/// Told to stop, by whoever ends this life.
#[derive(Debug, Default)]
pub(super) struct Stop {
    told: Mutex<bool>,
    bell: Condvar,
}

impl Stop {
    pub(super) fn tell(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_all();
    }

    fn is_told(&self) -> bool {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, unless it is told meanwhile.
    fn sleep(&self, wait: Duration) -> Result<(), SinkError> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, _) = self.bell.wait_timeout_while(told, wait, |told| !*told).unwrap_or_else(PoisonError::into_inner);
        if *told { Err(stopped()) } else { Ok(()) }
    }
}

fn stopped() -> SinkError {
    SinkError::transient("the delivery was told to stop")
}

/// Writes the journal, until another life may have begun: the one that stalled writes no more then.
#[derive(Debug, Default)]
pub(super) struct Fence(Mutex<Option<Arc<dyn Keep>>>);

impl Fence {
    pub(super) fn new(keeper: Arc<dyn Keep>) -> Self {
        Self(Mutex::new(Some(keeper)))
    }

    /// Waits for a write at work; none follows.
    pub(super) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn keep(&self, seq: Seq, state: &[u8]) -> Result<(), SinkError> {
        // Held over the write, so that none is at work once the fence is closed.
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(keeper) => keeper.keep(seq, state),
            None => Err(stopped()),
        }
    }
}

/// See the module.
pub(super) struct Courier {
    pub(super) tables: Arc<Tables>,
    pub(super) fence: Arc<Fence>,
    pub(super) stop: Arc<Stop>,
    pub(super) progress: Progress,
    pub(super) status: DeliveryHandle,
}

/// A unit at work.
struct Item {
    name: UnitName,
    unit: Unit,
    block: Block,
    rows: Facts,
}

/// What is known of a unit's rows beside the rows.
struct Facts {
    source: TableName,
    kind: Kind,
    columns: Vec<TableColumn>,
    first: Seq,
}

impl Courier {
    /// Settles what an earlier life left in doubt: each unit is in, or no session stands for it any more.
    pub(super) fn settle(&self, journal: &mut Journal) -> Result<(), SinkError> {
        self.status.set_table_units(self.status.table_units().unwrap_or_default());
        for doubt in journal.in_doubt() {
            let name = &doubt.name;
            let session = &doubt.intent.session;
            tracing::info!(table = name.table, partition = name.partition, session, "asking about a commit");
            let mut unit = Unit::in_doubt(doubt.intent.clone());
            loop {
                match unit.action() {
                    Action::Done(_) => break journal.settled(&doubt, true),
                    Action::Open => break journal.settled(&doubt, false),
                    Action::Halt(halt) => {
                        journal.settled(&doubt, false);
                        self.keep(journal)?;
                        return Err(halted(name, &halt).parks(doubt.source, doubt.first));
                    }
                    _ => self.step(name, &mut unit, None)?,
                }
            }
        }
        self.progress.set_trouble(None);
        Ok(())
    }

    /// Brings a window in, whole.
    pub(super) fn carry(&self, journal: &mut Journal, window: Filling) -> Result<(), SinkError> {
        let through = window.last;
        journal.begin(through);
        let may_hold = journal.may_hold();
        let mut left: Vec<(UnitName, Rows)> =
            window.units.into_iter().filter(|(name, _)| !journal.is_done(name)).collect();
        let mut units =
            TableUnits { rows: window.rows, units: left.len() as u64, ..self.status.table_units().unwrap_or_default() };
        self.status.set_table_units(units.clone());
        left.reverse();
        let mut at_work: Vec<Item> = Vec::new();
        loop {
            while at_work.len() < AT_WORK.get()
                && let Some((name, rows)) = left.pop()
            {
                at_work.push(self.item(name, rows, may_hold)?);
            }
            if at_work.is_empty() {
                break;
            }
            self.advance(journal, &mut at_work)?;
            units.units = (left.len() + at_work.len()) as u64;
            self.status.set_table_units(units.clone());
        }
        journal.finish(through);
        self.keep(journal)?;
        units = TableUnits { rows: 0, units: 0, last_commit_ms: Some(now_ms()) };
        self.status.set_table_units(units);
        self.progress.set_trouble(None);
        self.progress.ack(journal.acked());
        Ok(())
    }

    fn item(&self, name: UnitName, rows: Rows, may_hold: bool) -> Result<Item, SinkError> {
        let facts =
            Facts { source: rows.source.clone(), kind: rows.kind, columns: rows.columns.clone(), first: rows.first };
        let block = rows.finish(self.tables.config().compression)?;
        let unit = Unit::planned(block.extent, may_hold || facts.kind == Kind::Base);
        Ok(Item { name, unit, block, rows: facts })
    }

    /// Brings each unit to where its intent is to be recorded, or to its end; records those intents together.
    fn advance(&self, journal: &mut Journal, at_work: &mut Vec<Item>) -> Result<(), SinkError> {
        let outcomes: Vec<Result<(), SinkError>> = std::thread::scope(|scope| {
            let started: Vec<_> = at_work.iter_mut().map(|item| scope.spawn(move || self.drive(item))).collect();
            let died = || Err(SinkError::transient("a thread that delivers died"));
            started.into_iter().map(|thread| thread.join().unwrap_or_else(|_| died())).collect()
        });
        for item in &*at_work {
            if let Action::Done(_) = item.unit.action() {
                journal.done(&item.name);
            }
        }
        at_work.retain(|item| !matches!(item.unit.action(), Action::Done(_)));
        for item in &*at_work {
            if let Action::Halt(halt) = item.unit.action() {
                journal.withdraw(&item.name);
                self.keep(journal)?;
                return Err(halted(&item.name, &halt).parks(item.rows.source.clone(), item.rows.first));
            }
        }
        outcomes.into_iter().collect::<Result<Vec<()>, _>>()?;
        let mut recorded = false;
        for item in &*at_work {
            if let Action::Record(intent) = item.unit.action() {
                journal.intend(item.name.clone(), &item.rows.source, intent.clone());
                recorded = true;
            }
        }
        if recorded {
            // IMPORTANT: durable before any of them is told that it is, and so before any commit leaves.
            self.keep(journal)?;
            for item in at_work.iter_mut().filter(|item| matches!(item.unit.action(), Action::Record(_))) {
                assert!(item.unit.take(Event::Recorded, now_ms()), "it asked for it");
            }
        }
        Ok(())
    }

    fn keep(&self, journal: &Journal) -> Result<(), SinkError> {
        self.fence.keep(journal.acked(), &journal.bytes())
    }

    fn drive(&self, item: &mut Item) -> Result<(), SinkError> {
        while !matches!(item.unit.action(), Action::Record(_) | Action::Done(_) | Action::Halt(_)) {
            self.step(&item.name, &mut item.unit, Some((&item.block, &item.rows)))?;
        }
        Ok(())
    }

    /// Does what a unit asks for, once or until it is done.
    fn step(&self, name: &UnitName, unit: &mut Unit, rows: Option<(&Block, &Facts)>) -> Result<(), SinkError> {
        if self.stop.is_told() {
            return Err(stopped());
        }
        let client = self.tables.client();
        let partition = Some(name.partition.as_str()).filter(|partition| !partition.is_empty());
        let target = Target { table: &name.table, partition };
        let event = match unit.action() {
            Action::Count(extent, wait) => {
                self.stop.sleep(wait)?;
                let column = self.tables.config().naming.additional(Additional::RecordId);
                let sql = ddl::count(&ddl::table(client, &name.table), &name.partition, &column, extent);
                Event::Counted(self.patiently(name, || self.count(client, &sql))?)
            }
            Action::Open => {
                let options = UploadOptions { create_partition: partition.is_some(), overwrite: false };
                let upload = self.patiently(name, || match client.open_upload(target, options) {
                    Err(error) if error.reason() == Some(Reason::NoSuchTable) => Ok(None),
                    opened => opened.map(Some),
                })?;
                // The next life looks at the table anew, and makes it where it may.
                let gone = || SinkError::transient(format!("the table {} is gone", name.table));
                let upload = upload.ok_or_else(gone)?;
                self.check_columns(name, &upload, rows)?;
                Event::Opened(upload.id)
            }
            Action::Upload(session) => {
                let Some((block, _)) = rows else { return Err(SinkError::definite("a unit without rows")) };
                let compression = self.tables.config().compression;
                let write = || client.write_block(target, session, BLOCK, compression, &block.body);
                match self.patiently_unless_lost(name, write)? {
                    Some(()) => Event::Uploaded,
                    None => Event::Unusable,
                }
            }
            Action::Check(session) => {
                let found = self.patiently_unless_lost(name, || client.upload(target, session))?;
                match found {
                    Some(upload) if holds(&upload, unit.extent().rows) => Event::Checked,
                    _ => Event::Unusable,
                }
            }
            Action::Commit(session, wait) => {
                self.stop.sleep(wait)?;
                Event::Committed(self.answer(name, client.commit_upload(target, session)))
            }
            Action::Ask(session, wait) => {
                self.stop.sleep(wait)?;
                Event::Asked(self.answer(name, client.upload(target, session)))
            }
            Action::Record(_) | Action::Done(_) | Action::Halt(_) => return Ok(()),
        };
        if event == Event::Unusable {
            // One after the other would use up what a table may open.
            self.stop.sleep(UNUSABLE_WAIT)?;
        }
        assert!(unit.take(event, now_ms()), "it asked for it");
        Ok(())
    }

    fn count(&self, client: &Client, sql: &str) -> Result<u64, ClientError> {
        // A new job each time: one that was sent before would answer as it did then.
        let id = format!("relay-{:032x}", rand::random::<u128>());
        let text = client.run_sql(sql, &id, COUNT_MAX)?;
        ddl::counted(&text).ok_or_else(|| ClientError::Answer {
            call: "count rows",
            reason: "it is no number".to_owned(),
            request_id: None,
        })
    }

    /// What a session says of itself. Whatever else comes back says nothing.
    fn answer(&self, name: &UnitName, answer: Result<Upload, ClientError>) -> Answer {
        let error = match answer {
            Ok(upload) => {
                return match upload.status {
                    UploadStatus::Closed => Answer::Closed,
                    UploadStatus::Committing => Answer::Committing,
                    UploadStatus::Unknown | UploadStatus::Normal => Answer::Open,
                    UploadStatus::Canceled => Answer::Canceled,
                    UploadStatus::Expired => Answer::Gone,
                    UploadStatus::Critical => Answer::Critical,
                    UploadStatus::Other(_) => Answer::Nothing,
                };
            }
            Err(error) => error,
        };
        match error.reason() {
            Some(Reason::NoSuchSession) => Answer::Gone,
            Some(Reason::StatusConflict) => Answer::Conflict,
            _ => {
                self.waits(name, &error);
                Answer::Nothing
            }
        }
    }

    fn waits(&self, name: &UnitName, error: &ClientError) {
        tracing::debug!(table = name.table, partition = name.partition, %error, "a call to MaxCompute failed");
        self.progress.set_trouble(Some(error.to_string()));
    }

    /// Makes a call again for as long as another try may help.
    fn patiently<T>(&self, name: &UnitName, call: impl Fn() -> Result<T, ClientError>) -> Result<T, SinkError> {
        let mut tried = 0;
        loop {
            let error = match call() {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            tried += 1;
            let Some(wait) = retry::wait(&error, tried) else { return Err(sink_error(&error)) };
            self.waits(name, &error);
            // Up to a quarter less, so that not all come back at once.
            self.stop.sleep(wait.mul_f64(1.0 - rand::random::<f64>() / 4.0))?;
        }
    }

    /// The same for a session; none when it cannot be used any more.
    fn patiently_unless_lost<T>(
        &self,
        name: &UnitName,
        call: impl Fn() -> Result<T, ClientError>,
    ) -> Result<Option<T>, SinkError> {
        let lost = |error: &ClientError| {
            matches!(error.reason(), Some(Reason::NoSuchSession | Reason::StatusConflict | Reason::SchemaModified))
        };
        self.patiently(name, || match call() {
            Ok(done) => Ok(Some(done)),
            Err(error) if lost(&error) => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// Whether the session takes the records as they were made.
    fn check_columns(&self, name: &UnitName, upload: &Upload, rows: Option<(&Block, &Facts)>) -> Result<(), SinkError> {
        let Some((_, facts)) = rows else { return Ok(()) };
        let same = upload.columns.len() >= facts.columns.len()
            && facts
                .columns
                .iter()
                .zip(&upload.columns)
                .all(|(made, there)| made.name.eq_ignore_ascii_case(&there.name) && made.kind == there.kind);
        match same {
            true => Ok(()),
            // The next life looks at the table anew.
            false => Err(SinkError::transient(format!("the table {} has other columns than before", name.table))),
        }
    }
}

fn holds(upload: &Upload, rows: u64) -> bool {
    matches!(upload.status, UploadStatus::Normal | UploadStatus::Unknown)
        && matches!(upload.blocks[..], [block] if block.id == BLOCK && (block.records == rows || block.records == 0))
}

fn halted(name: &UnitName, halt: &super::unit::Halt) -> SinkError {
    let UnitName { table, partition } = name;
    let place = if partition.is_empty() { table.clone() } else { format!("{table} ({partition})") };
    let ids = halt.extent.ids.map_or(String::new(), |(first, last)| format!(" with record ids {first} to {last}"));
    SinkError::definite(format!(
        "{place} holds {} rows{ids}; {} were there before, and a commit in doubt brings all of {} or none",
        halt.found, halt.before, halt.extent.rows
    ))
    .advise("see who else writes the table and remove the rows of these ids, then release the table")
}
