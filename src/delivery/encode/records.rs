//! Rows and statements to records: which event of the batch, which key, which partition, the value.

mod dead_letter;
mod oversize;

use std::collections::HashMap;
use std::sync::Arc;

use relay_store::Seq;

use super::places::Places;
use super::{Aside, Job, RowsFault};
use crate::change::ddl;
use crate::change::plan::TablePlan;
use crate::change::schema::TableName;
use crate::change::{DdlChange, EventPlace, Op, RowChange, RowsChange, TxBoundary, TxInfo};
use crate::delivery::outlet::{Gone, Outlet};
use crate::delivery::route::Route;
use crate::format::canal_json::{CanalOptions, DdlTarget};
use crate::format::debezium_json::TableCount;
use crate::format::key::Side;
use crate::format::registry::{Registry, RegistryError, write_frame};
use crate::format::text::{FormatError, Renderer};
use crate::format::{TxPlace, Writer, dts_avro};
use crate::sink::kafka::config::OnTooLarge;
use crate::sink::{Batch, Event, Operation, Origin, Record, Span};
use crate::status::exceptions::Fate;
use crate::status::now_ms;
use oversize::{Smaller, TooLarge};

/// Most tables whose routes are remembered; all are forgotten beyond, and built again as they come.
const ROUTES_MAX: usize = 8192;

/// Makes records. One for each block at work; kept between blocks, because it remembers tables.
pub(super) struct Records {
    writer: Writer,
    /// Keys are text as Canal renders it, whatever the format.
    keys: Renderer,
    routes: HashMap<u64, Arc<Route>>,
    last: Option<Arc<Route>>,
    scratch: Vec<u8>,
    /// For rows that are too large.
    smaller: Smaller,
}

/// What a record is written of.
struct Writing<'w, 'r> {
    job: &'w Job,
    route: &'w Route,
    place: TxPlace,
    rows: &'w RowsChange<'r>,
    packed: &'w [RowChange<'r>],
}

/// What the records of an entry share, until the batch they are in is handed over.
pub(super) struct Shared<'s> {
    seq: Seq,
    gtid: &'s str,
    file: &'s str,
    position: u64,
    timestamp_ms: i64,
    now_ms: u64,
    /// Its place in the batch being filled, and the origin that it has there.
    event: Option<(u32, Arc<Origin>)>,
}

impl<'s> Shared<'s> {
    pub(super) fn new(seq: Seq, tx: &'s TxInfo, place: EventPlace) -> Self {
        Self {
            seq,
            gtid: &tx.gtid,
            file: &tx.file,
            position: place.position,
            timestamp_ms: i64::from(place.timestamp) * 1000,
            now_ms: u64::try_from(now_ms()).unwrap_or(0),
            event: None,
        }
    }

    /// Marks the entry's last record: its ack is the entry's.
    pub(super) fn end(&self, out: &mut Outlet) {
        let Some((event, _)) = &self.event else { return };
        if let Some(last) = out.batch().records.last_mut().filter(|last| last.event == *event) {
            last.ends_entry = true;
        }
    }

    /// The entry's place in the batch being filled; a full batch is handed over first.
    pub(super) fn event(&mut self, origin: &Arc<Origin>, out: &mut Outlet) -> Result<u32, Gone> {
        if out.hand_over_when_full()? {
            self.event = None;
        }
        if let Some((event, of)) = &self.event
            && Arc::ptr_eq(of, origin)
        {
            return Ok(*event);
        }
        let batch = out.batch();
        let gtid = batch.push_bytes(self.gtid.as_bytes());
        let start = batch.bytes.len();
        batch.bytes.extend_from_slice(self.file.as_bytes());
        batch.bytes.push(b':');
        batch.bytes.extend_from_slice(itoa::Buffer::new().format(self.position).as_bytes());
        let position: Span = batch.span_from(start);
        let event = u32::try_from(batch.events.len()).unwrap_or(u32::MAX);
        batch.events.push(Event {
            seq: self.seq,
            origin: Arc::clone(origin),
            gtid,
            position,
            timestamp_ms: self.timestamp_ms,
        });
        self.event = Some((event, Arc::clone(origin)));
        Ok(event)
    }
}

impl Records {
    pub(super) fn new(job: &Job) -> Self {
        Self {
            writer: job.format.writer(&job.zone),
            keys: Renderer::new(CanalOptions::default().text(job.zone.clone())),
            routes: HashMap::new(),
            last: None,
            scratch: Vec::new(),
            smaller: Smaller::default(),
        }
    }

    /// How many values had text that did not decode and was replaced.
    pub(super) fn bad_text(&self) -> u64 {
        self.writer.bad_text()
    }

    /// How many records a row makes that are told their place in the transaction.
    pub(super) fn count(&mut self, job: &Job, rows: &RowsChange<'_>, row: &RowChange<'_>) -> Result<u64, RowsFault> {
        Ok(if rows.op == Op::Update && self.route(job, rows.plan)?.moves(row)? { 2 } else { 1 })
    }

    /// The records of one row: of two, when it moves to another partition or key.
    pub(super) fn row(
        &mut self,
        job: &Job,
        shared: &mut Shared<'_>,
        mut places: Option<&mut Places>,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        out: &mut Outlet,
    ) -> Result<(), RowsFault> {
        let route = self.route(job, rows.plan)?;
        if rows.op == Op::Update && route.moves(row)? {
            let gone = RowChange { after: None, ..*row };
            let old = RowsChange { op: Op::Delete, ..*rows };
            let gone = std::slice::from_ref(&gone);
            self.record(job, &route, shared, place(&mut places, rows), &old, gone, Operation::UpdateBefore, out)?;
            // With both images at hand, what a partial after image lacks comes from before.
            let new = RowsChange { op: Op::Insert, ..*rows };
            let row = std::slice::from_ref(row);
            return self.record(job, &route, shared, place(&mut places, rows), &new, row, Operation::UpdateAfter, out);
        }
        let row = std::slice::from_ref(row);
        self.record(job, &route, shared, place(&mut places, rows), rows, row, operation(rows), out)
    }

    /// The rows of an entry, as many in a record as the format takes: rows that follow one another and go to one
    /// partition.
    pub(super) fn packed(
        &mut self,
        job: &Job,
        shared: &mut Shared<'_>,
        rows: &RowsChange<'_>,
        out: &mut Outlet,
    ) -> Result<u64, RowsFault> {
        let route = self.route(job, rows.plan)?;
        // A key of a row's columns is that row's alone.
        let most = if route.is_keyed_by_row() { 1 } else { job.format.rows_per_record() };
        let (mut pack, mut to, mut count): (Vec<RowChange<'_>>, i32, u64) = (Vec::new(), 0, 0);
        for row in rows.rows() {
            let row = row.map_err(|error| RowsFault::Table(error.to_string()))?;
            count += 1;
            let moves = rows.op == Op::Update && route.moves(&row)?;
            let hash = route.hash(rows.plan, &row, side(rows), None, &mut self.keys, &mut self.scratch)?;
            if !pack.is_empty() && (moves || pack.len() == most || !route.shares_partition(hash, to)) {
                self.record(job, &route, shared, TxPlace::default(), rows, &pack, operation(rows), out)?;
                pack.clear();
            }
            if moves {
                self.row(job, shared, None, rows, &row, out)?;
            } else {
                to = hash;
                pack.push(row);
            }
        }
        if !pack.is_empty() {
            self.record(job, &route, shared, TxPlace::default(), rows, &pack, operation(rows), out)?;
        }
        Ok(count)
    }

    #[expect(clippy::too_many_arguments, reason = "each is of another life: the table's, the entry's, the record's")]
    fn record(
        &mut self,
        job: &Job,
        route: &Route,
        shared: &mut Shared<'_>,
        place: TxPlace,
        rows: &RowsChange<'_>,
        packed: &[RowChange<'_>],
        operation: Operation,
        out: &mut Outlet,
    ) -> Result<(), RowsFault> {
        let event = shared.event(&route.origin, out)?;
        let batch = out.batch();
        let start = batch.bytes.len();
        let writing = Writing { job, route, place, rows, packed };
        let record = self.write(&writing, shared, (event, operation, side(rows)), batch)?;
        let tombstone = route.tombstones && rows.op == Op::Delete;
        let Some(bytes) = job.limits.as_ref().and_then(|limits| limits.exceeded_by(batch, &record)) else {
            batch.records.push(record);
            if tombstone {
                batch.records.push(Record { value: None, ..record });
            }
            return Ok(());
        };
        if packed.len() > 1 {
            // It is too large because of its company.
            batch.bytes.truncate(start);
            let (one, other) = packed.split_at(packed.len() / 2);
            self.record(job, route, shared, place, rows, one, operation, out)?;
            return self.record(job, route, shared, place, rows, other, operation, out);
        }
        let key = record.key.map(|key| batch.get(key).to_vec());
        self.too_large(&writing, shared, TooLarge { record, start, bytes }, out)?;
        if let (true, Some(key)) = (tombstone, key) {
            // That the row is gone can be told whatever it held.
            let event = shared.event(&route.origin, out)?;
            let batch = out.batch();
            let key = Some(batch.push_bytes(&key));
            batch.records.push(Record { event, key, value: None, ..record });
        }
        Ok(())
    }

    /// Appends key and value of a record to the batch's bytes; it is none of the batch's records yet.
    fn write(
        &mut self,
        writing: &Writing<'_, '_>,
        shared: &Shared<'_>,
        (event, operation, side): (u32, Operation, Side),
        batch: &mut Batch,
    ) -> Result<Record, RowsFault> {
        let Writing { route, rows, packed, .. } = *writing;
        let row = packed.first().ok_or_else(|| RowsFault::Table("a record of no row".to_owned()))?;
        let start = batch.bytes.len();
        let Self { writer, keys, .. } = self;
        let keyed = route
            .write_key(&mut batch.bytes, |columns, out| writer.write_key(keys, rows, columns, (row, side), out))?;
        let key = keyed.then(|| batch.span_from(start));
        let key_bytes = key.map(|span| &batch.bytes[span.range()]);
        let hash = route.hash(rows.plan, row, side, key_bytes, &mut self.keys, &mut self.scratch)?;
        let start = batch.bytes.len();
        self.write_value(writing, shared, &mut batch.bytes)?;
        let value = Some(batch.span_from(start));
        Ok(Record { event, row: row.index, operation, hash, key, value, ends_entry: false, note: None })
    }

    fn write_value(
        &mut self,
        writing: &Writing<'_, '_>,
        shared: &Shared<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RowsFault> {
        let Writing { job, route, place, rows, packed } = writing;
        if let Some(registry) = &job.registry {
            write_frame(route.schema_id(|topic| id_of(registry, topic))?, out);
        }
        Ok(self.writer.write(rows, packed, place, shared.now_ms, out)?)
    }

    /// The record of a statement about `item`, told under the name `as_told`; false when it goes nowhere. One on which the
    /// script `failed` goes where dead letters go.
    pub(super) fn statement(
        &mut self,
        job: &Job,
        shared: &mut Shared<'_>,
        change: &DdlChange<'_>,
        (row, item, as_told): (u32, &ddl::Item, &TableName),
        failed: Option<&str>,
        out: &mut Outlet,
    ) -> Result<bool, RowsFault> {
        let source = TableName::new(item.database.as_str(), item.table.as_str());
        let rule = job.selection.objects.rule(&source.database, &source.table);
        let routing = job.routing.with(rule);
        let Some((origin, hash)) = routing.of_ddl(&source, as_told) else { return Ok(false) };
        let destination = origin.destination.clone();
        let event = shared.event(&Arc::new(origin), out)?;
        let batch = out.batch();
        let target = DdlTarget { database: &as_told.database, table: &as_told.table, kind: item.kind.name() };
        let start = batch.bytes.len();
        let keyed = routing.has_keys() && self.writer.write_ddl_key(change, target, &mut batch.bytes);
        let key = keyed.then(|| batch.span_from(start));
        let value = batch.bytes.len();
        frame(job, &destination, &mut batch.bytes)?;
        self.writer.write_ddl(change, target, shared.now_ms, &mut batch.bytes);
        let value = Some(batch.span_from(value));
        let operation = Operation::Ddl;
        let record = Record { event, row, operation, hash, key, value, ends_entry: false, note: None };
        let exceeded = job.limits.as_ref().and_then(|limits| Some((limits, limits.exceeded_by(batch, &record)?)));
        let table = match &*source.table {
            "" => source.database.to_string(),
            _ => source.to_string(),
        };
        if let Some(error) = failed {
            let aside = Aside { table: &table, seq: change.seq, row, key: "", reason: error };
            self.dead_letter(job, shared, &record, start, &aside, false, out)?;
        } else if let Some((limits, bytes)) = exceeded {
            let limit = limits.of(&batch.event_of(&record).origin);
            let reason = format!("{bytes} bytes, {limit} are allowed");
            let aside = Aside { table: &table, seq: change.seq, row, key: "", reason: &reason };
            match routing.on_too_large {
                OnTooLarge::Skip => {
                    batch.bytes.truncate(start);
                    job.set_aside(Fate::Skipped, &aside);
                }
                OnTooLarge::DeadLetter => self.dead_letter(job, shared, &record, start, &aside, true, out)?,
                // Nothing of a statement can be left out.
                OnTooLarge::Fail | OnTooLarge::TruncateColumns | OnTooLarge::KeyOnly => {
                    oversize::refuse(batch, TooLarge { record, start, bytes }, &aside, OnTooLarge::Fail);
                }
            }
        } else {
            batch.records.push(record);
        }
        Ok(true)
    }

    /// The record of a transaction's beginning, or of its end with how many records of which tables it sent; none where
    /// nobody is told.
    pub(super) fn boundary(
        &mut self,
        job: &Job,
        boundary: &TxBoundary<'_>,
        counts: Option<&[(TableName, u64)]>,
        out: &mut Outlet,
    ) -> Result<(), RowsFault> {
        let Some(topic) = job.format.boundary_topic() else { return Ok(()) };
        let origin = Origin::new("", topic);
        let mut shared = Shared::new(boundary.seq, boundary.tx, boundary.place);
        let event = shared.event(&Arc::new(origin), out)?;
        let batch = out.batch();
        let start = batch.bytes.len();
        let keyed = self.writer.write_boundary_key(boundary, &mut batch.bytes);
        let key = keyed.then(|| batch.span_from(start));
        let start = batch.bytes.len();
        frame(job, topic, &mut batch.bytes)?;
        let tables = counts.map(|counts| counts.iter().map(|(table, rows)| TableCount { table, rows: *rows }));
        self.writer.write_boundary(boundary, tables, shared.now_ms, &mut batch.bytes);
        let value = Some(batch.span_from(start));
        let operation = if counts.is_none() { Operation::Begin } else { Operation::Commit };
        let record = Record { event, row: 0, operation, hash: 0, key, value, ends_entry: counts.is_some(), note: None };
        batch.records.push(record);
        Ok(())
    }

    fn route(&mut self, job: &Job, plan: &TablePlan) -> Result<Arc<Route>, RowsFault> {
        if let Some(last) = self.last.as_ref().filter(|last| last.plan == plan.id) {
            return Ok(Arc::clone(last));
        }
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
        }
        let route = match self.routes.get(&plan.id) {
            Some(route) => Arc::clone(route),
            None => {
                let rule = job.selection.objects.rule(&plan.source.database, &plan.source.table);
                let route = Route::new(&job.routing.with(rule), plan).map_err(|e| RowsFault::Table(e.to_string()))?;
                let route = Arc::new(route);
                self.routes.insert(plan.id, Arc::clone(&route));
                route
            }
        };
        self.last = Some(Arc::clone(&route));
        Ok(route)
    }
}

/// Puts in front of a record which schema it is of, where there is a registry.
pub(super) fn frame(job: &Job, topic: &str, out: &mut Vec<u8>) -> Result<(), RegistryError> {
    if let Some(registry) = &job.registry {
        write_frame(id_of(registry, topic)?, out);
    }
    Ok(())
}

fn id_of(registry: &Registry, topic: &str) -> Result<u32, RegistryError> {
    registry.id(&registry.subject(topic, dts_avro::SCHEMA_NAME), dts_avro::SCHEMA)
}

fn side(rows: &RowsChange<'_>) -> Side {
    if rows.op == Op::Delete { Side::Before } else { Side::After }
}

fn operation(rows: &RowsChange<'_>) -> Operation {
    match (rows.op, rows.snapshot) {
        (_, true) => Operation::Snapshot,
        (Op::Insert, _) => Operation::Insert,
        (Op::Update, _) => Operation::Update,
        (Op::Delete, _) => Operation::Delete,
    }
}

fn place(places: &mut Option<&mut Places>, rows: &RowsChange<'_>) -> TxPlace {
    places.as_mut().map_or_else(TxPlace::default, |places| places.next(&rows.plan.name))
}

impl From<FormatError> for RowsFault {
    fn from(error: FormatError) -> Self {
        Self::Table(error.to_string())
    }
}
