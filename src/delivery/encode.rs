//! A block of the log to records: decode, select, route, format. Pure CPU, one call a block, several at once.

mod heartbeat;
mod places;
mod records;
mod stages;
mod table_rows;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;
use relay_store::{Block, RawBlock, Reader, Seq};

use super::heartbeat::{Place, Pulse};
use super::outlet::{Gone, Outlet};
use super::park::{Admission, Scope, TableFault};
use super::pipeline::{Encode, EncodeError};
use super::route::Routing;
use super::select::Selection;
use crate::change::decode::{BlockDecoder, BlockError, Change};
use crate::change::plan::Planner;
use crate::change::schema::TableName;
use crate::change::{DdlChange, RowsChange, TxBoundary, ddl};
use crate::config::Delivery;
use crate::etl::Script;
use crate::filter::{FilterError, FilterImages, Parsed};
use crate::format::FormatOptions;
use crate::format::registry::{Registry, RegistryError};
use crate::metrics::DeliveryMetrics;
use crate::sink::kafka::RecordLimits;
use crate::sink::{Batch, SinkError};
use crate::status::DeliveryHandle;
use crate::status::exceptions::Fate;
use places::{Count, Places};
use records::{Records, Shared};
use stages::{Stages, Told};
pub use table_rows::TableJob;
use table_rows::TableRows;

/// What an encoder is made for; shared by all lives of a delivery.
pub struct Job {
    /// Which changes are delivered, under which names.
    pub selection: Selection,
    /// Which rows of them.
    pub conditions: Conditions,
    /// What becomes of these.
    pub script: Option<Script>,
    /// Whether statements pass the script too.
    pub script_sees_statements: bool,
    /// Zone in which TIMESTAMP columns are shown.
    pub zone: TimeZone,
    /// The format and its settings.
    pub format: FormatOptions,
    /// Where the ids of schemas come from; none: records are bare.
    pub registry: Option<Registry>,
    /// Where records go.
    pub routing: Routing,
    /// How large they may be; none: as they come.
    pub limits: Option<Arc<RecordLimits>>,
    /// Tables that rows are written into; none where messages are sent.
    pub tables: Option<Arc<TableJob>>,
    /// Plans of tables, kept over lives.
    pub planner: Arc<Planner>,
    /// What the delivery counts.
    pub metrics: DeliveryMetrics,
    /// Where gaps are shown.
    pub status: DeliveryHandle,
}

/// A record that does not leave as it is, and why.
struct Aside<'a> {
    /// `database.table` at the source.
    table: &'a str,
    seq: Seq,
    row: u32,
    /// Its row's key; empty where there is none.
    key: &'a str,
    reason: &'a str,
}

impl Job {
    /// Counts it, and says so the first time that it happens to its table.
    fn set_aside(&self, fate: Fate, aside: &Aside<'_>) {
        let Aside { table, seq, row, key, reason } = *aside;
        self.metrics.exceptions[fate as usize].inc();
        let first = self.status.add_exception(table, fate, (seq.0, row), key, reason);
        let cursor = self.status.name();
        // The key is in the status: values of rows are not logged.
        if first {
            tracing::warn!(
                cursor,
                table,
                seq = seq.0,
                row,
                fate = fate.name(),
                reason,
                "a row does not leave as it is; more of its table are counted, not logged"
            );
        } else {
            tracing::debug!(
                cursor,
                table,
                seq = seq.0,
                row,
                fate = fate.name(),
                reason,
                "a row does not leave as it is"
            );
        }
    }
}

/// The conditions of a delivery.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// Of tables that have none of their own.
    pub all: Option<Parsed>,
    /// Of the tables of each rule, in the order of the rules.
    pub of_rules: Vec<Option<Parsed>>,
    /// Which images they are asked of.
    pub images: FilterImages,
}

impl Conditions {
    /// As the config says.
    ///
    /// # Errors
    /// A condition is not one of the language; the config refuses it too.
    pub fn of_delivery(delivery: &Delivery) -> Result<Self, FilterError> {
        let parse = |text: &Option<String>| text.as_deref().map(Parsed::parse).transpose();
        Ok(Self {
            all: parse(&delivery.transform.filter)?,
            of_rules: delivery.objects.rules.iter().map(|rule| parse(&rule.filter)).collect::<Result<_, _>>()?,
            images: delivery.transform.filter_images,
        })
    }

    /// The condition of a table.
    pub(crate) fn of(&self, selection: &Selection, table: &TableName) -> Option<&Parsed> {
        let rule = selection.objects.rule_index(&table.database, &table.table);
        rule.and_then(|at| self.of_rules.get(at)?.as_ref()).or(self.all.as_ref())
    }
}

/// Encodes the blocks of one life.
pub(super) struct Encoder {
    job: Arc<Job>,
    scope: Scope,
    decoder: BlockDecoder,
    /// Schema versions that a block needs and the planner lacks are read through it.
    schemas: Mutex<Reader>,
    /// One for each block at work; kept, because they remember tables.
    benches: Mutex<Vec<Bench>>,
    /// For formats that say where a record stands in its transaction: blocks come one after the other then.
    places: Option<Mutex<Ahead>>,
    /// Version of the server whose changes came last, for heartbeats; empty where there are none.
    version: Mutex<Arc<str>>,
}

/// The open transaction, and a reader that looks ahead of it.
struct Ahead {
    places: Places,
    reader: Reader,
}

/// What one block at work needs.
struct Bench {
    stages: Stages,
    records: Records,
    rows: Option<TableRows>,
}

impl Encoder {
    pub(super) fn new(job: Arc<Job>, scope: Scope, reader: impl Fn() -> Reader) -> Self {
        let ahead = || Mutex::new(Ahead { places: Places::default(), reader: reader() });
        let places = job.format.counts_up_to().map(|_| ahead());
        let decoder = BlockDecoder::new(job.planner.clone()).with_executed(job.format.executed_sets());
        let decoder = if places.is_some() { decoder.with_boundaries() } else { decoder };
        let version = Mutex::new(Arc::from(""));
        Self { job, scope, decoder, schemas: Mutex::new(reader()), benches: Mutex::default(), places, version }
    }

    fn benches(&self) -> MutexGuard<'_, Vec<Bench>> {
        // Only whole ones are pushed and popped.
        self.benches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decode(
        &self,
        block: &Block,
        visit: &mut dyn FnMut(Change<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.learn_schemas(block)?;
        self.decoder.decode(block, &|table| self.job.selection.wants(table), visit)
    }

    /// How many records the transactions make that begin in the block.
    fn count_ahead(
        &self,
        block: &Block,
        reader: &mut Reader,
        bench: &mut Bench,
    ) -> Result<Vec<(Seq, Option<u64>)>, EncodeError> {
        let limit = self.job.format.counts_up_to().unwrap_or(0);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut count = |change: &Change<'_>| match change {
            Change::Rows(rows) if self.scope.admit(&rows.plan.source, rows.seq) == Admission::Deliver => {
                // What cannot be told is found again when it is to be delivered.
                bench.count(&self.job, rows).unwrap_or(0)
            }
            _ => 0,
        };
        Count::new(limit).ahead(block, reader, |block, visit| self.decode(block, visit), &mut count)
    }

    fn learn_schemas(&self, block: &Block) -> Result<(), EncodeError> {
        for version in self.decoder.missing_schemas(block)? {
            let bytes = self.schemas.lock().unwrap_or_else(PoisonError::into_inner).schema(version);
            // One that is nowhere parks its table when it is asked for a plan.
            if let Some(bytes) = bytes.map_err(EncodeError::Read)? {
                self.job.planner.learn(&bytes).map_err(|error| EncodeError::Entry {
                    seq: block.first_seq(),
                    reason: format!("schema version {version}: {error}"),
                })?;
            }
        }
        Ok(())
    }
}

impl Encode for Encoder {
    fn is_sequential(&self) -> bool {
        self.places.is_some()
    }

    fn pulse(&self, acked: Seq) -> Result<Option<Pulse>, EncodeError> {
        let mut reader = self.schemas.lock().unwrap_or_else(PoisonError::into_inner);
        let pulse = heartbeat::pulse(&self.job, &self.decoder, &mut reader, acked)?;
        Ok(pulse.map(|(pulse, version)| {
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version;
            pulse
        }))
    }

    fn heartbeat(&self, place: &Place, topics: &BTreeSet<String>) -> Result<Batch, EncodeError> {
        let version = Arc::clone(&self.version.lock().unwrap_or_else(PoisonError::into_inner));
        heartbeat::batch(&self.job, &self.job.format.writer(&self.job.zone), place, &version, topics)
    }

    fn encode(&self, block: RawBlock, out: &mut Outlet) -> Result<(), EncodeError> {
        let block = block.decode().map_err(EncodeError::of_read)?;
        let bench = self.benches().pop();
        let new = || Bench::new(&self.job);
        let mut bench = bench.unwrap_or_else(new);
        let (bad_text, script_errors) = (bench.bad_text(), bench.stages.script_errors());
        for (_, last, time_us) in block.commits() {
            if last >= block.first_seq() && last <= block.last_seq() {
                out.expect_commit(last, time_us);
            }
        }
        let mut ahead = self.places.as_ref().map(|ahead| ahead.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(Ahead { places, reader }) = ahead.as_deref_mut() {
            places.expect(self.count_ahead(&block, reader, &mut bench)?);
        }
        let places = ahead.as_deref_mut().map(|ahead| &mut ahead.places);
        let mut run = Run { job: &self.job, scope: &self.scope, bench: &mut bench, out, places, faults: Vec::new() };
        let mut version = None;
        let has_heartbeats = self.job.format.heartbeat().is_some();
        let decoded = self.decode(&block, &mut |change| {
            if has_heartbeats && let Change::Rows(RowsChange { tx, .. }) | Change::Ddl(DdlChange { tx, .. }) = &change {
                version = Some(Arc::clone(&tx.server_version));
            }
            run.change(change)
        });
        if let Some(version) = version {
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version;
        }
        let whole = run.places.is_none_or(|places| !places.is_open());
        let faults = std::mem::take(&mut run.faults);
        self.job.metrics.bad_text.inc_by(bench.bad_text() - bad_text);
        self.job.metrics.etl_errors.inc_by(bench.stages.script_errors() - script_errors);
        decoded?;
        if whole {
            out.covered(block.last_seq())?;
        }
        self.benches().push(bench);
        if faults.is_empty() { Ok(()) } else { Err(EncodeError::Tables(faults)) }
    }
}

impl Bench {
    fn new(job: &Job) -> Self {
        let rows = job.tables.as_ref().map(TableRows::new);
        Self { stages: Stages::default(), records: Records::new(job), rows }
    }

    /// How many values had text that did not decode and was replaced.
    fn bad_text(&self) -> u64 {
        self.records.bad_text() + self.rows.as_ref().map_or(0, TableRows::bad_text)
    }

    /// How many records the rows of an entry make.
    fn count(&mut self, job: &Job, rows: &RowsChange<'_>) -> Result<u64, RowsFault> {
        let Self { stages, records, .. } = self;
        let mut sum = 0;
        stages.each(job, rows, |rows, row, failed| {
            if failed.is_none() {
                sum += records.count(job, rows, row)?;
            }
            Ok(())
        })?;
        Ok(sum)
    }
}

/// One block on its way.
struct Run<'r> {
    job: &'r Job,
    scope: &'r Scope,
    bench: &'r mut Bench,
    out: &'r mut Outlet,
    places: Option<&'r mut Places>,
    faults: Vec<TableFault>,
}

impl Run<'_> {
    fn change(&mut self, change: Change<'_>) -> Result<(), EncodeError> {
        let seq = match change {
            Change::Rows(rows) => {
                self.rows(&rows)?;
                rows.seq
            }
            Change::Ddl(ddl) => {
                self.ddl(&ddl)?;
                ddl.seq
            }
            Change::Begin(begin) => {
                if let Some(places) = &mut self.places {
                    places.begin(&begin);
                }
                begin.seq
            }
            Change::Commit(commit) => {
                if let Some(places) = &mut self.places {
                    let counts = places.end();
                    if !counts.is_empty() {
                        let told = self.bench.records.boundary(self.job, &commit, Some(&counts), self.out);
                        told.map_err(|fault| fault.of_delivery(commit.seq))?;
                    }
                }
                commit.seq
            }
            Change::Gap(gap) => {
                tracing::error!(cursor = self.job.status.name(), seq = gap.seq.0, gap = gap.text, "gap in the source");
                self.job.status.set_notice(Some(format!("gap at seq {}: {}", gap.seq, gap.text)));
                gap.seq
            }
            Change::Failed(failure) => {
                match self.scope.admit(failure.table, failure.seq) {
                    Admission::Deliver => self.fault(failure.table, failure.seq, failure.error.to_string()),
                    Admission::Parked => drop(self.job.metrics.parked_rows.inc()),
                    Admission::Skip => {}
                }
                failure.seq
            }
        };
        self.covered(seq)
    }

    fn covered(&mut self, seq: Seq) -> Result<(), EncodeError> {
        if self.places.as_ref().is_some_and(|places| places.is_open()) {
            return Ok(());
        }
        Ok(self.out.covered(seq)?)
    }

    fn fault(&mut self, table: &TableName, seq: Seq, reason: String) {
        if !self.faults.iter().any(|fault| fault.table == *table) {
            self.faults.push(TableFault { table: table.clone(), seq, reason });
        }
        // What follows is delivered once the table is parked.
        self.out.mute();
    }

    fn rows(&mut self, rows: &RowsChange<'_>) -> Result<(), EncodeError> {
        let table = &rows.plan.source;
        match self.scope.admit(table, rows.seq) {
            Admission::Deliver => {}
            Admission::Parked => {
                let count = rows.rows().take_while(Result::is_ok).count();
                self.job.metrics.parked_rows.inc_by(count.max(1) as u64);
                return Ok(());
            }
            Admission::Skip => return Ok(()),
        }
        if self.faults.iter().any(|fault| fault.table == *table) {
            return Ok(());
        }
        match self.write_rows(rows) {
            Ok(()) => Ok(()),
            Err(RowsFault::Gone) => Err(EncodeError::Gone),
            Err(RowsFault::Registry(error)) => Err(EncodeError::Registry(error)),
            Err(RowsFault::Sink(error)) => Err(EncodeError::Sink(error)),
            Err(RowsFault::Table(reason)) => {
                self.fault(table, rows.seq, reason);
                Ok(())
            }
        }
    }

    fn write_rows(&mut self, rows: &RowsChange<'_>) -> Result<(), RowsFault> {
        let Self { job, bench: Bench { stages, records, rows: tables }, out, places, .. } = self;
        let mut shared = Shared::new(rows.seq, rows.tx, rows.place);
        if let Some(tables) = tables {
            stages.each(job, rows, |rows, row, failed| {
                if let Some(error) = failed {
                    return Err(RowsFault::Table(format!("{error}; there is no topic for dead letters")));
                }
                tables.row(&mut shared, rows, row, out)?;
                out.batch().rows += 1;
                Ok(())
            })?;
            shared.end(out);
            return Ok(());
        }
        if job.format.rows_per_record() > 1
            && let Some(plan) = stages.unchanged(job, rows)?
        {
            let rows = RowsChange { plan: &plan, ..*rows };
            let count = records.packed(job, &mut shared, &rows, out)?;
            out.batch().rows += count;
            shared.end(out);
            return Ok(());
        }
        stages.each(job, rows, |rows, row, failed| {
            if let Some(error) = failed {
                records.dead_row(job, &mut shared, rows, row, &error.to_string(), out)?;
                out.batch().rows += 1;
                return Ok(());
            }
            if let Some((seq, place)) = places.as_ref().and_then(|places| places.unsent()) {
                let begin = TxBoundary { seq, tx: rows.tx, place };
                records.boundary(job, &begin, None, out)?;
            }
            records.row(job, &mut shared, places.as_deref_mut(), rows, row, out)?;
            out.batch().rows += 1;
            Ok(())
        })?;
        if places.as_ref().is_none_or(|places| !places.is_open()) {
            shared.end(out);
        }
        Ok(())
    }

    fn ddl(&mut self, change: &DdlChange<'_>) -> Result<(), EncodeError> {
        if self.bench.rows.is_some() {
            // A table gets the columns that its rows need when the first of these rows comes.
            return Ok(());
        }
        let items = match ddl::parse(&change.sql, &change.database) {
            // Nobody else ever saw a temporary table.
            Ok(parsed) if parsed.temporary => return Ok(()),
            Ok(parsed) => parsed.items,
            Err(unparsed) => vec![unparsed.item],
        };
        let mut shared = Shared::new(change.seq, change.tx, change.place);
        for (row, item) in (0..).zip(&items) {
            let Some(as_told) = self.job.selection.statement(item) else { continue };
            let table = TableName::new(item.database.as_str(), item.table.as_str());
            match self.scope.admit(&table, change.seq) {
                Admission::Deliver => {}
                Admission::Parked => {
                    self.job.metrics.parked_rows.inc();
                    continue;
                }
                Admission::Skip => continue,
            }
            let failed = match self.bench.stages.statement(self.job, change, &table) {
                Ok(Told::AsItIs) => None,
                Ok(Told::AsDeadLetter(error)) => Some(error.to_string()),
                Ok(Told::Not) => continue,
                Err(fault @ (RowsFault::Gone | RowsFault::Registry(_) | RowsFault::Sink(_))) => {
                    return Err(fault.of_delivery(change.seq));
                }
                Err(RowsFault::Table(reason)) => {
                    self.fault(&table, change.seq, reason);
                    continue;
                }
            };
            let told = (row, item, &as_told);
            let told = self.bench.records.statement(self.job, &mut shared, change, told, failed.as_deref(), self.out);
            let told = told.map_err(|fault| fault.of_delivery(change.seq))?;
            if !told {
                tracing::info!(
                    cursor = self.job.status.name(), seq = change.seq.0, database = %item.database,
                    "a statement without a table has no topic: set ddl_topic to have it delivered"
                );
            }
        }
        shared.end(self.out);
        Ok(())
    }
}

/// Why the rows of an entry stopped.
enum RowsFault {
    Table(String),
    Registry(RegistryError),
    /// The destination does not answer, or refuses us.
    Sink(Box<SinkError>),
    Gone,
}

impl RowsFault {
    /// What it means where no table can park for it.
    fn of_delivery(self, seq: Seq) -> EncodeError {
        match self {
            Self::Table(reason) => EncodeError::Entry { seq, reason },
            Self::Registry(error) => EncodeError::Registry(error),
            Self::Sink(error) => EncodeError::Sink(error),
            Self::Gone => EncodeError::Gone,
        }
    }
}

impl From<RegistryError> for RowsFault {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<Gone> for RowsFault {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<BlockError> for EncodeError {
    fn from(error: BlockError) -> Self {
        let seq = match &error {
            BlockError::Context { first, .. }
            | BlockError::NoFormatDescription { first }
            | BlockError::ContextEvent { first, .. } => *first,
            BlockError::Event { seq, .. }
            | BlockError::Record { seq, .. }
            | BlockError::NoTableMap { seq, .. }
            | BlockError::UnknownEvent { seq, .. }
            | BlockError::UnknownKind { seq, .. } => *seq,
        };
        EncodeError::Entry { seq, reason: error.to_string() }
    }
}

#[cfg(test)]
mod tests;
