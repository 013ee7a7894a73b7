//! A block of the log to records: decode, select, route, format. Pure CPU, one call a block, several at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;
use relay_store::{Block, RawBlock, ReadError, Reader, Seq};

use super::outlet::{Gone, Outlet};
use super::park::{Admission, Scope, TableFault};
use super::pipeline::{Encode, EncodeError};
use super::route::{Route, Routing};
use crate::change::decode::{BlockDecoder, BlockError, Change};
use crate::change::plan::{Planner, TablePlan};
use crate::change::schema::TableName;
use crate::change::{DdlChange, Op, RowChange, RowsChange, ddl};
use crate::format::canal_json::{CanalJson, CanalOptions, DdlTarget};
use crate::format::key::Side;
use crate::metrics::DeliveryMetrics;
use crate::selection::TablePatterns;
use crate::sink::{Event, Operation, Origin, Record, Span};
use crate::status::{DeliveryHandle, now_ms};

/// What an encoder is made for; shared by all lives of a delivery.
pub struct Job {
    /// The delivery's tables.
    pub tables: TablePatterns,
    /// Zone in which TIMESTAMP columns are shown.
    pub zone: TimeZone,
    /// The format's settings.
    pub canal: CanalOptions,
    /// Where records go.
    pub routing: Routing,
    /// Plans of tables, kept over lives.
    pub planner: Arc<Planner>,
    /// What the delivery counts.
    pub metrics: DeliveryMetrics,
    /// Where gaps are shown.
    pub status: DeliveryHandle,
}

/// Encodes the blocks of one life.
pub(super) struct Encoder {
    job: Arc<Job>,
    scope: Scope,
    decoder: BlockDecoder,
    /// Schema versions that a block needs and the planner lacks are read through it.
    schemas: Mutex<Reader>,
    /// One for each block at work; kept, because they remember tables.
    writers: Mutex<Vec<Writer>>,
}

struct Writer {
    canal: CanalJson,
    routes: HashMap<u64, Arc<Route>>,
    last: Option<Arc<Route>>,
    scratch: Vec<u8>,
}

/// Most tables whose routes are remembered; all are forgotten beyond, and built again as they come.
const ROUTES_MAX: usize = 8192;

impl Encoder {
    pub(super) fn new(job: Arc<Job>, scope: Scope, schemas: Reader) -> Self {
        let decoder = BlockDecoder::new(job.planner.clone());
        Self { job, scope, decoder, schemas: Mutex::new(schemas), writers: Mutex::default() }
    }

    fn writers(&self) -> MutexGuard<'_, Vec<Writer>> {
        // Only whole writers are pushed and popped.
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn encode(&self, block: RawBlock, out: &mut Outlet) -> Result<(), EncodeError> {
        let block = block.decode().map_err(|error| match error {
            ReadError::Gap(gap) => EncodeError::Gap(gap),
            error => EncodeError::Read(error),
        })?;
        self.learn_schemas(&block)?;
        let writer = self.writers().pop();
        let mut writer = writer.unwrap_or_else(|| Writer {
            canal: CanalJson::new(&self.job.canal, self.job.zone.clone()),
            routes: HashMap::new(),
            last: None,
            scratch: Vec::new(),
        });
        let bad_text = writer.canal.bad_text();
        for (_, last, time_us) in block.commits() {
            if last >= block.first_seq() && last <= block.last_seq() {
                out.expect_commit(last, time_us);
            }
        }
        let mut run = Run { job: &self.job, scope: &self.scope, writer: &mut writer, out, faults: Vec::new() };
        let wanted = |table: &TableName| self.job.tables.matches(&table.database, &table.table);
        let decoded = self.decoder.decode(&block, &wanted, &mut |change| run.change(change));
        let faults = std::mem::take(&mut run.faults);
        self.job.metrics.bad_text.inc_by(writer.canal.bad_text() - bad_text);
        decoded?;
        out.covered(block.last_seq())?;
        self.writers().push(writer);
        if faults.is_empty() { Ok(()) } else { Err(EncodeError::Tables(faults)) }
    }
}

/// One block on its way.
struct Run<'r> {
    job: &'r Job,
    scope: &'r Scope,
    writer: &'r mut Writer,
    out: &'r mut Outlet,
    faults: Vec<TableFault>,
}

/// What the records of an entry share, until the batch they are in is handed over.
struct Shared<'s> {
    seq: Seq,
    origin: &'s Arc<Origin>,
    gtid: &'s str,
    file: &'s str,
    position: u64,
    timestamp_ms: i64,
    /// Its place in the batch being filled.
    event: Option<u32>,
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
            Change::Begin(boundary) | Change::Commit(boundary) => boundary.seq,
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
        let table = &rows.plan.name;
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
            Err(RowsFault::Table(reason)) => {
                self.fault(table, rows.seq, reason);
                Ok(())
            }
        }
    }

    fn write_rows(&mut self, rows: &RowsChange<'_>) -> Result<(), RowsFault> {
        let route = self.route(rows.plan)?;
        let now = u64::try_from(now_ms()).unwrap_or(0);
        let mut shared = Shared {
            seq: rows.seq,
            origin: &route.origin,
            gtid: &rows.tx.gtid,
            file: &rows.tx.file,
            position: rows.place.position,
            timestamp_ms: i64::from(rows.place.timestamp) * 1000,
            event: None,
        };
        let operation = match (rows.op, rows.snapshot) {
            (_, true) => Operation::Snapshot,
            (Op::Insert, _) => Operation::Insert,
            (Op::Update, _) => Operation::Update,
            (Op::Delete, _) => Operation::Delete,
        };
        for row in rows.rows() {
            let row = row.map_err(|error| RowsFault::Table(error.to_string()))?;
            if rows.op == Op::Update && route.moves(&row).map_err(|error| RowsFault::Table(error.to_string()))? {
                let gone = RowChange { after: None, ..row };
                let old = RowsChange { op: Op::Delete, ..*rows };
                self.record(&route, &mut shared, &old, &gone, Operation::UpdateBefore, now)?;
                // With both images at hand, what a partial after image lacks comes from before.
                let new = RowsChange { op: Op::Insert, ..*rows };
                self.record(&route, &mut shared, &new, &row, Operation::UpdateAfter, now)?;
            } else {
                self.record(&route, &mut shared, rows, &row, operation, now)?;
            }
            self.out.batch().rows += 1;
        }
        self.end_entry(shared.event);
        Ok(())
    }

    /// Marks the entry's last record: its ack is the entry's.
    fn end_entry(&mut self, event: Option<u32>) {
        let Some(event) = event else { return };
        if let Some(last) = self.out.batch().records.last_mut().filter(|last| last.event == event) {
            last.ends_entry = true;
        }
    }

    fn record(
        &mut self,
        route: &Route,
        shared: &mut Shared<'_>,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        operation: Operation,
        now: u64,
    ) -> Result<(), RowsFault> {
        let event = self.event(shared)?;
        let side = if rows.op == Op::Delete { Side::Before } else { Side::After };
        let Writer { canal, scratch, .. } = &mut *self.writer;
        let batch = self.out.batch();
        let wrong = |error: crate::format::text::FormatError| RowsFault::Table(error.to_string());
        let start = batch.bytes.len();
        let keyed = route.write_key(rows.plan, row, side, canal.renderer(), &mut batch.bytes).map_err(wrong)?;
        let key = keyed.then(|| batch.span_from(start));
        let key_bytes = key.map(|span| &batch.bytes[span.range()]);
        let hash = route.hash(rows.plan, row, side, key_bytes, canal.renderer(), scratch).map_err(wrong)?;
        let start = batch.bytes.len();
        canal.write(rows, std::slice::from_ref(row), now, &mut batch.bytes).map_err(wrong)?;
        let value = Some(batch.span_from(start));
        let record = Record { event, row: row.index, operation, hash, key, value, ends_entry: false };
        batch.records.push(record);
        if route.tombstones && rows.op == Op::Delete {
            batch.records.push(Record { value: None, ..record });
        }
        Ok(())
    }

    /// The entry's place in the batch being filled; a full batch is handed over first.
    fn event(&mut self, shared: &mut Shared<'_>) -> Result<u32, RowsFault> {
        if self.out.hand_over_when_full()? {
            shared.event = None;
        }
        if let Some(event) = shared.event {
            return Ok(event);
        }
        let batch = self.out.batch();
        let gtid = batch.push_bytes(shared.gtid.as_bytes());
        let start = batch.bytes.len();
        batch.bytes.extend_from_slice(shared.file.as_bytes());
        batch.bytes.push(b':');
        batch.bytes.extend_from_slice(itoa::Buffer::new().format(shared.position).as_bytes());
        let position: Span = batch.span_from(start);
        let event = u32::try_from(batch.events.len()).unwrap_or(u32::MAX);
        batch.events.push(Event {
            seq: shared.seq,
            origin: Arc::clone(shared.origin),
            gtid,
            position,
            timestamp_ms: shared.timestamp_ms,
        });
        shared.event = Some(event);
        Ok(event)
    }

    fn route(&mut self, plan: &TablePlan) -> Result<Arc<Route>, RowsFault> {
        if let Some(last) = self.writer.last.as_ref().filter(|last| last.plan == plan.id) {
            return Ok(Arc::clone(last));
        }
        if self.writer.routes.len() >= ROUTES_MAX {
            self.writer.routes.clear();
        }
        let route = match self.writer.routes.get(&plan.id) {
            Some(route) => Arc::clone(route),
            None => {
                let route = Route::new(&self.job.routing, plan).map_err(|e| RowsFault::Table(e.to_string()))?;
                let route = Arc::new(route);
                self.writer.routes.insert(plan.id, Arc::clone(&route));
                route
            }
        };
        self.writer.last = Some(Arc::clone(&route));
        Ok(route)
    }

    fn ddl(&mut self, change: &DdlChange<'_>) -> Result<(), EncodeError> {
        let items = match ddl::parse(&change.sql, &change.database) {
            // Nobody else ever saw a temporary table.
            Ok(parsed) if parsed.temporary => return Ok(()),
            Ok(parsed) => parsed.items,
            Err(unparsed) => vec![unparsed.item],
        };
        let mut last = None;
        for (row, item) in (0..).zip(items) {
            if !self.job.tables.matches(&item.database, &item.table) {
                continue;
            }
            let table = TableName::new(item.database.as_str(), item.table.as_str());
            match self.scope.admit(&table, change.seq) {
                Admission::Deliver => {}
                Admission::Parked => {
                    self.job.metrics.parked_rows.inc();
                    continue;
                }
                Admission::Skip => continue,
            }
            let Some((origin, hash)) = self.job.routing.of_ddl(&item.database, &item.table) else {
                tracing::info!(
                    cursor = self.job.status.name(), seq = change.seq.0, database = %item.database,
                    "a statement without a table has no topic: set ddl_topic to have it delivered"
                );
                continue;
            };
            last = Some(self.ddl_record(change, &item, row, origin, hash)?);
        }
        self.end_entry(last);
        Ok(())
    }

    fn ddl_record(
        &mut self,
        change: &DdlChange<'_>,
        item: &ddl::Item,
        row: u32,
        origin: Origin,
        hash: i32,
    ) -> Result<u32, EncodeError> {
        let origin = Arc::new(origin);
        let mut shared = Shared {
            seq: change.seq,
            origin: &origin,
            gtid: &change.tx.gtid,
            file: &change.tx.file,
            position: change.place.position,
            timestamp_ms: i64::from(change.place.timestamp) * 1000,
            event: None,
        };
        let event = self.event(&mut shared).map_err(|_| EncodeError::Gone)?;
        let batch = self.out.batch();
        let start = batch.bytes.len();
        let target = DdlTarget { database: &item.database, table: &item.table, kind: item.kind.name() };
        let now = u64::try_from(now_ms()).unwrap_or(0);
        self.writer.canal.write_ddl(change, target, now, &mut batch.bytes);
        let value = Some(batch.span_from(start));
        let operation = Operation::Ddl;
        batch.records.push(Record { event, row, operation, hash, key: None, value, ends_entry: false });
        Ok(event)
    }
}

/// Why the rows of an entry stopped.
enum RowsFault {
    Table(String),
    Gone,
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
