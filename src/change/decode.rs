//! A block of the log to changes in order. Pure: blocks decode in parallel, because each one repeats what its entries
//! need (format description, transaction, table maps), and a planner is shared by all who decode.
//!
//! What concerns one table (no plan, a damaged rows event) is a change of its own, [`Change::Failed`]: that table
//! parks, the rest of the block goes on. Only what leaves the meaning of the whole block in doubt is an error.

mod executed;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;

use relay_store::{Block, Entry, EntryHeader, Seq};
use thiserror::Error;

use super::charset::Charset;
use super::plan::{PlanError, Planner, TablePlan};
use super::schema::TableName;
use super::{DdlChange, EventPlace, GapNote, Op, RowsChange, TxBoundary};
use crate::binlog::event::{Checksum, Event, EventHeader, EventType, FormatDescription, Query, XaPrepare};
use crate::binlog::{DecodeError, RowsEvent, RowsKind, table_map};
use crate::log::{self, Context, ContextError, LogError};
use executed::Executed;
pub use executed::Sets;
use transaction::{Part, Transaction, whole_position};

/// What one entry means.
#[derive(Debug)]
pub enum Change<'a> {
    /// Rows of one table.
    Rows(RowsChange<'a>),
    /// A statement.
    Ddl(DdlChange<'a>),
    /// A transaction of rows begins; only from a decoder that gives boundaries.
    Begin(TxBoundary<'a>),
    /// It ends and is committed; as above.
    Commit(TxBoundary<'a>),
    /// Something of the source is missing here, by name.
    Gap(GapNote<'a>),
    /// An entry of this table that cannot be decoded: the table parks.
    Failed(TableFailure<'a>),
}

/// Rows that cannot be decoded, and whose they are.
#[derive(Debug)]
pub struct TableFailure<'a> {
    /// The entry.
    pub seq: Seq,
    /// The table.
    pub table: &'a TableName,
    /// Why.
    pub error: TableError,
}

/// Why rows of a table cannot be decoded. Definite.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TableError {
    /// The table has no plan.
    #[error(transparent)]
    Plan(Arc<PlanError>),
    /// The frame of the rows event is damaged.
    #[error("decode rows event: {0}")]
    Event(DecodeError),
}

/// A block that cannot be decoded. Definite for the delivery that reads it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BlockError {
    /// The block's context does not follow its format.
    #[error("block at seq {first}: {source}")]
    Context {
        /// First seq of the block.
        first: Seq,
        /// What is wrong.
        source: ContextError,
    },
    /// Events, and no format description to read them by.
    #[error("block at seq {first} has events and no format description")]
    NoFormatDescription {
        /// First seq of the block.
        first: Seq,
    },
    /// The format description, or the transaction or a table map of the context, does not decode.
    #[error("decode context of the block at seq {first}: {source}")]
    ContextEvent {
        /// First seq of the block.
        first: Seq,
        /// What is wrong.
        source: DecodeError,
    },
    /// A control event does not decode.
    #[error("decode event at seq {seq}: {source}")]
    Event {
        /// The entry.
        seq: Seq,
        /// What is wrong.
        source: DecodeError,
    },
    /// A record of our own does not decode.
    #[error("decode entry at seq {seq}: {source}")]
    Record {
        /// The entry.
        seq: Seq,
        /// What is wrong.
        source: LogError,
    },
    /// Rows of a table id that no table map explains.
    #[error("rows at seq {seq} belong to table id {table_id}, for which there is no table map")]
    NoTableMap {
        /// The entry.
        seq: Seq,
        /// The id.
        table_id: u64,
    },
    /// An event that may carry changes and that this relay cannot read.
    #[error("event at seq {seq} has type {event_type:?}, which this relay does not read; upgrade the relay")]
    UnknownEvent {
        /// The entry.
        seq: Seq,
        /// Its type.
        event_type: EventType,
    },
    /// An entry kind that this relay does not know.
    #[error("entry at seq {seq} has kind {kind}, which this relay does not read; upgrade the relay")]
    UnknownKind {
        /// The entry.
        seq: Seq,
        /// Its kind.
        kind: u8,
    },
}

/// Decodes blocks. Cheap to make, and cheap to clone for another worker.
#[derive(Debug, Clone)]
pub struct BlockDecoder {
    planner: Arc<Planner>,
    boundaries: bool,
    sets: Sets,
}

impl BlockDecoder {
    /// A decoder that plans with `planner`.
    pub fn new(planner: Arc<Planner>) -> Self {
        Self { planner, boundaries: false, sets: Sets::None }
    }

    /// The same, which gives [`Change::Begin`] and [`Change::Commit`] of every transaction in the log as well, whichever
    /// tables it is about. A statement that is a transaction by itself has neither.
    #[must_use]
    pub fn with_boundaries(self) -> Self {
        Self { boundaries: true, ..self }
    }

    /// The same, whose changes come with what the source had executed by then ([`crate::change::TxInfo::executed`]).
    #[must_use]
    pub fn with_executed(self, sets: Sets) -> Self {
        Self { sets, ..self }
    }

    /// Schema versions that the block's table maps name and the planner has not learnt: to be read from the log and
    /// learnt before the block is decoded. Without them, tables without metadata have no plan.
    ///
    /// # Errors
    /// A context that cannot be read.
    pub fn missing_schemas(&self, block: &Block) -> Result<Vec<u64>, BlockError> {
        let context = parse_context(block)?;
        let of_context = context.table_maps.iter().map(|&(flags, body)| (flags, body));
        let of_entries = block
            .all_entries()
            .filter(|marked| marked.entry.header.kind == log::kind::EVENT)
            .map(|marked| (marked.entry.header.flags, marked.entry.body));
        let mut missing: Vec<u64> = Vec::new();
        for (flags, body) in of_context.chain(of_entries) {
            if let Ok((_, Some(version))) = log::split_event(flags, body)
                && !missing.contains(&version)
                && !self.planner.knows(version)
            {
                missing.push(version);
            }
        }
        Ok(missing)
    }

    /// Gives the changes of the block's visible entries to `visit`, in order; rows of tables that `wanted` refuses are
    /// passed by, decodable or not.
    ///
    /// # Errors
    /// The first that `visit` gives, or what is wrong with the block.
    pub fn decode<E: From<BlockError>>(
        &self,
        block: &Block,
        wanted: &dyn Fn(&TableName) -> bool,
        visit: &mut dyn FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = block.first_seq();
        let context = parse_context(block)?;
        let next = block.all_entries().next().map_or(EntryHeader::default(), |marked| marked.entry.header);
        let mut reading = Reading::begin(self, wanted, &context, first, next)?;
        for marked in block.all_entries() {
            let entry = marked.entry;
            // Earlier entries of the block, and those of transactions that are not seen, still say what comes after.
            let shown = marked.visible && entry.seq >= first;
            reading.entry(&entry, shown, visit)?;
        }
        Ok(())
    }
}

fn parse_context(block: &Block) -> Result<Context<'_>, BlockError> {
    Context::parse(block.context()).map_err(|source| BlockError::Context { first: block.first_seq(), source })
}

/// What is known of a table id.
enum Table {
    Planned(Arc<TablePlan>),
    Failed(Arc<PlanError>),
    Unwanted,
}

/// The state between the entries of one block.
struct Reading<'r> {
    planner: &'r Planner,
    wanted: &'r dyn Fn(&TableName) -> bool,
    first: Seq,
    description: Option<FormatDescription>,
    tables: HashMap<u64, Table>,
    tx: Transaction,
    boundaries: bool,
}

impl<'r> Reading<'r> {
    /// At the start of a block whose first entry is `next`.
    fn begin(
        decoder: &'r BlockDecoder,
        wanted: &'r dyn Fn(&TableName) -> bool,
        context: &Context<'_>,
        first: Seq,
        next: EntryHeader,
    ) -> Result<Self, BlockError> {
        let near = next.source_pos;
        let wrong = |source| BlockError::ContextEvent { first, source };
        let description =
            context.format_description.map(|(_, raw)| FormatDescription::parse(raw)).transpose().map_err(wrong)?;
        let mut tx = Transaction::new(context.file.into(), description.as_ref());
        tx.info.lower_case_table_names = context.lower_case;
        if let (Some(text), Some(description), true) = (context.executed, &description, decoder.sets != Sets::None) {
            tx.executed = Some(Executed::read(text, description.dialect).map_err(wrong)?);
            tx.sets = decoder.sets;
        }
        let (planner, boundaries) = (&*decoder.planner, decoder.boundaries);
        let mut reading = Self { planner, wanted, first, description, tables: HashMap::new(), tx, boundaries };
        if let Some((flags, raw)) = context.transaction {
            let event = reading.event(flags, raw).map_err(wrong)?;
            let begins = reading.tx.announce(&event, whole_position(event.header.log_pos, near)).map_err(wrong)?;
            // The event right behind the GTID event is its beginning, and may be the first of this block.
            if begins || next.tx_index > 1 {
                reading.tx.begin();
            }
        }
        if let Some((flags, raw)) = context.statement {
            let event = reading.event(flags, raw).map_err(wrong)?;
            let query = Query::parse(&event).map_err(wrong)?;
            reading.tx.statement(&event, &query, Part::Begin, whole_position(event.header.log_pos, near));
            reading.tx.begin();
        }
        for &(flags, body) in &context.table_maps {
            let (raw, schema) =
                log::split_event(flags, body).map_err(|source| BlockError::Record { seq: first, source })?;
            let event = reading.event(flags, raw).map_err(wrong)?;
            reading.table_map(&event, schema).map_err(wrong)?;
        }
        Ok(reading)
    }

    fn event<'e>(&self, flags: u8, raw: &'e [u8]) -> Result<Event<'e>, DecodeError> {
        let checksum = match &self.description {
            Some(description) if flags & log::flag::NO_CHECKSUM == 0 => description.checksum,
            _ => Checksum::None,
        };
        Event::parse(raw, checksum)
    }

    fn entry<E: From<BlockError>>(
        &mut self,
        entry: &Entry<'_>,
        shown: bool,
        visit: &mut dyn FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let seq = entry.seq;
        match entry.header.kind {
            log::kind::EVENT => self.event_entry(entry, shown, visit),
            log::kind::SCHEMA => {
                self.planner.learn(entry.body).map_err(|source| BlockError::Record { seq, source })?;
                Ok(())
            }
            log::kind::GAP_NOTE if shown => {
                let text = std::str::from_utf8(entry.body)
                    .map_err(|_| BlockError::Event { seq, source: DecodeError::NotUtf8 { what: "note of a gap" } })?;
                visit(Change::Gap(GapNote { seq, text }))
            }
            log::kind::SNAPSHOT_ROWS if shown => self.snapshot_rows(entry, visit),
            log::kind::GAP_NOTE | log::kind::SELECTION | log::kind::WATERMARK => Ok(()),
            relay_store::kind::ABANDONED => {
                self.tx.end();
                Ok(())
            }
            kind if kind >= relay_store::kind::RESERVED || !shown => Ok(()),
            kind => Err(BlockError::UnknownKind { seq, kind }.into()),
        }
    }

    fn event_entry<E: From<BlockError>>(
        &mut self,
        entry: &Entry<'_>,
        shown: bool,
        visit: &mut dyn FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let seq = entry.seq;
        let wrong = |source| BlockError::Event { seq, source };
        let flags = entry.header.flags;
        let (raw, schema) = log::split_event(flags, entry.body).map_err(|source| BlockError::Record { seq, source })?;
        let event = self.event(flags, raw).map_err(wrong)?;
        if flags & log::flag::COPIED != 0 {
            self.tx.copied(entry, &event);
            self.begins(entry, &event, shown, visit)?;
        }
        match event.header.event_type {
            kind if kind.is_rows() => {
                if shown {
                    return self.rows(entry, &event, false, visit);
                }
            }
            EventType::TABLE_MAP => self.table_map(&event, schema).map_err(wrong)?,
            EventType::QUERY => return self.query(entry, &event, shown, visit),
            kind if kind.is_mysql_gtid() || kind == EventType::MARIADB_GTID => {
                if self.tx.announce(&event, entry.header.source_pos).map_err(wrong)? {
                    return self.begins(entry, &event, shown, visit);
                }
            }
            EventType::XID => return self.commits(entry, &event, shown, visit),
            EventType::XA_PREPARE => {
                let one_phase = XaPrepare::parse(&event).map_err(wrong)?.one_phase;
                return self.commits(entry, &event, shown && one_phase, visit);
            }
            EventType::ROWS_QUERY | EventType::ANNOTATE_ROWS => {}
            _ if event.header.is_ignorable() || !shown => {}
            event_type => return Err(BlockError::UnknownEvent { seq, event_type }.into()),
        }
        Ok(())
    }

    /// A transaction of rows begins with this event, or a copy of its rows does.
    fn begins<E: From<BlockError>>(
        &mut self,
        entry: &Entry<'_>,
        event: &Event<'_>,
        shown: bool,
        visit: &mut dyn FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.tx.begin() || !shown || !self.boundaries {
            return Ok(());
        }
        visit(Change::Begin(self.tx.boundary(entry.seq, entry, event)))
    }

    /// This event commits the open transaction.
    fn commits<E: From<BlockError>>(
        &mut self,
        entry: &Entry<'_>,
        event: &Event<'_>,
        shown: bool,
        visit: &mut dyn FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.tx.end();
        if !shown || !self.boundaries {
            return Ok(());
        }
        visit(Change::Commit(self.tx.boundary(entry.seq, entry, event)))
    }

    fn table_map(&mut self, event: &Event<'_>, schema: Option<u64>) -> Result<(), DecodeError> {
        let description = self.description()?;
        let planned = self.planner.plan(event, description, schema)?;
        let table_id = table_map::table_id(event, description)?;
        let name = match &planned {
            Ok(plan) => &plan.name,
            Err(error) => &error.table,
        };
        let table = match planned {
            _ if !(self.wanted)(name) => Table::Unwanted,
            Ok(plan) => Table::Planned(plan),
            Err(error) => Table::Failed(Arc::new(error)),
        };
        self.tables.insert(table_id, table);
        Ok(())
    }

    /// Rows that were read from their table.
    fn snapshot_rows<E: From<BlockError>>(
        &mut self,
        entry: &Entry<'_>,
        visit: &mut dyn FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let wrong = |source| BlockError::Event { seq: entry.seq, source };
        let event = self.event(entry.header.flags, entry.body).map_err(wrong)?;
        self.tx.snapshot(entry);
        self.rows(entry, &event, true, visit)
    }

    fn rows<E: From<BlockError>>(
        &self,
        entry: &Entry<'_>,
        event: &Event<'_>,
        snapshot: bool,
        visit: &mut dyn FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let seq = entry.seq;
        let wrong = |source| BlockError::Event { seq, source };
        let description = self.description().map_err(|_| BlockError::NoFormatDescription { first: self.first })?;
        let table_id = table_map::table_id(event, description).map_err(wrong)?;
        let plan = match self.tables.get(&table_id) {
            Some(Table::Unwanted) => return Ok(()),
            Some(Table::Planned(plan)) => plan,
            Some(Table::Failed(error)) => {
                let failure = TableFailure { seq, table: &error.table, error: TableError::Plan(Arc::clone(error)) };
                return visit(Change::Failed(failure));
            }
            None => match RowsEvent::parse(event, description) {
                // The end of a statement whose last table had no rows; it belongs to no table.
                Ok(rows) if rows.head.width == 0 => return Ok(()),
                _ => return Err(BlockError::NoTableMap { seq, table_id }.into()),
            },
        };
        let event_rows = match RowsEvent::parse(event, description) {
            Ok(rows) => rows,
            Err(error) => {
                let failure = TableFailure { seq, table: &plan.name, error: TableError::Event(error) };
                return visit(Change::Failed(failure));
            }
        };
        let op = match event_rows.head.kind {
            RowsKind::Write => Op::Insert,
            RowsKind::Update => Op::Update,
            RowsKind::Delete => Op::Delete,
        };
        let place = place(entry, &event.header);
        visit(Change::Rows(RowsChange { seq, op, plan, tx: &self.tx.info, place, snapshot, event: event_rows }))
    }

    fn query<E: From<BlockError>>(
        &mut self,
        entry: &Entry<'_>,
        event: &Event<'_>,
        shown: bool,
        visit: &mut dyn FnMut(Change<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let seq = entry.seq;
        let query = Query::parse(event).map_err(|source| BlockError::Event { seq, source })?;
        let part = Part::of(query.sql);
        self.tx.statement(event, &query, part, entry.header.source_pos);
        match part {
            Part::Begin => return self.begins(entry, event, shown, visit),
            Part::Commit => return self.commits(entry, event, shown, visit),
            // Without rows there was no begin either.
            Part::CommitPrepared => {
                let begun = self.tx.has_begun();
                return self.commits(entry, event, shown && begun, visit);
            }
            Part::Statement if entry.header.flags & log::flag::HELPER != 0 => return Ok(()),
            Part::Statement if shown && !self.tx.ineffective_alter => {}
            Part::Statement | Part::Other => return Ok(()),
        }
        let charset = query.status.charset.and_then(|charset| Charset::of_collation(charset.client).ok());
        let charset = charset.filter(|charset| !charset.is_binary()).unwrap_or(Charset::UTF8MB4);
        let mut scratch = String::new();
        if self.tx.sets == Sets::Statements {
            self.tx.tell_executed();
        }
        visit(Change::Ddl(DdlChange {
            seq,
            sql: charset.decode(query.sql, &mut scratch).text.into(),
            database: String::from_utf8_lossy(query.schema),
            sql_mode: query.status.sql_mode,
            tx: &self.tx.info,
            place: place(entry, &event.header),
        }))
    }

    fn description(&self) -> Result<&FormatDescription, DecodeError> {
        self.description.as_ref().ok_or(DecodeError::Short { what: "format description", needed: 1, left: 0 })
    }
}

fn place(entry: &Entry<'_>, header: &EventHeader) -> EventPlace {
    EventPlace { timestamp: header.timestamp, server_id: header.server_id, position: entry.header.source_pos }
}

/// Whether a statement is only a part of its transaction's frame: it changes no table's shape and no one is told of it.
pub fn is_boundary(sql: &[u8]) -> bool {
    Part::of(sql) != Part::Statement
}

#[cfg(test)]
mod tests;
