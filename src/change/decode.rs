//! A block of the log to changes in order. Pure: blocks decode in parallel, because each one repeats what its entries
//! need (format description, transaction, table maps), and a planner is shared by all who decode.
//!
//! What concerns one table (no plan, a damaged rows event) is a change of its own, [`Change::Failed`]: that table
//! parks, the rest of the block goes on. Only what leaves the meaning of the whole block in doubt is an error.

use std::collections::HashMap;
use std::sync::Arc;

use relay_store::{Block, Entry, Seq};
use thiserror::Error;

use super::charset::Charset;
use super::plan::{PlanError, Planner, TablePlan};
use super::schema::TableName;
use super::{DdlChange, EventPlace, GapNote, Op, RowsChange, TxInfo};
use crate::binlog::event::{
    Checksum, Event, EventHeader, EventType, FormatDescription, Gtid, MariadbGtid, Query, TaggedGtid,
};
use crate::binlog::{DecodeError, RowsEvent, RowsKind, table_map};
use crate::log::{self, Context, ContextError, LogError};

/// What one entry means.
#[derive(Debug)]
pub enum Change<'a> {
    /// Rows of one table.
    Rows(RowsChange<'a>),
    /// A statement.
    Ddl(DdlChange<'a>),
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
}

impl BlockDecoder {
    /// A decoder that plans with `planner`.
    pub fn new(planner: Arc<Planner>) -> Self {
        Self { planner }
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
        let mut reading = Reading::begin(&self.planner, wanted, &context, first)?;
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
    file: Arc<str>,
    description: Option<FormatDescription>,
    tables: HashMap<u64, Table>,
    tx: TxInfo,
    /// The open group is the start or the failure of MariaDB's ALTER in two phases: its statement changes nothing.
    ineffective_alter: bool,
}

impl<'r> Reading<'r> {
    fn begin(
        planner: &'r Planner,
        wanted: &'r dyn Fn(&TableName) -> bool,
        context: &Context<'_>,
        first: Seq,
    ) -> Result<Self, BlockError> {
        let wrong = |source| BlockError::ContextEvent { first, source };
        let description =
            context.format_description.map(|(_, raw)| FormatDescription::parse(raw)).transpose().map_err(wrong)?;
        let file: Arc<str> = context.file.into();
        let mut reading = Self {
            planner,
            wanted,
            first,
            tx: TxInfo { file: Arc::clone(&file), ..TxInfo::default() },
            file,
            description,
            tables: HashMap::new(),
            ineffective_alter: false,
        };
        if let Some((flags, raw)) = context.transaction {
            let event = reading.event(flags, raw).map_err(wrong)?;
            reading.begin_transaction(&event).map_err(wrong)?;
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
            log::kind::GAP_NOTE | log::kind::SELECTION | log::kind::WATERMARK => Ok(()),
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
        match event.header.event_type {
            kind if kind.is_rows() => {
                if shown {
                    return self.rows(entry, &event, visit);
                }
            }
            EventType::TABLE_MAP => self.table_map(&event, schema).map_err(wrong)?,
            EventType::QUERY => return self.query(entry, &event, shown, visit),
            kind if kind.is_mysql_gtid() || kind == EventType::MARIADB_GTID => {
                self.begin_transaction(&event).map_err(wrong)?;
            }
            EventType::XID | EventType::XA_PREPARE | EventType::ROWS_QUERY | EventType::ANNOTATE_ROWS => {}
            _ if event.header.is_ignorable() || !shown => {}
            event_type => return Err(BlockError::UnknownEvent { seq, event_type }.into()),
        }
        Ok(())
    }

    fn begin_transaction(&mut self, event: &Event<'_>) -> Result<(), DecodeError> {
        self.ineffective_alter = false;
        let (gtid, commit_time_us) = match event.header.event_type {
            EventType::MARIADB_GTID => {
                let gtid = MariadbGtid::parse(event)?;
                self.ineffective_alter =
                    gtid.has_extra(MariadbGtid::EXTRA_START_ALTER) || gtid.has_extra(MariadbGtid::EXTRA_ROLLBACK_ALTER);
                (format!("{}-{}-{}", gtid.domain, gtid.server_id, gtid.seq), None)
            }
            EventType::GTID_TAGGED => {
                let TaggedGtid { gtid, tag } = TaggedGtid::parse(event)?;
                let tag = tag.as_str();
                let text = match (gtid.gno, tag) {
                    (0, _) => String::new(),
                    (gno, "") => format!("{}:{gno}", gtid.uuid),
                    (gno, tag) => format!("{}:{tag}:{gno}", gtid.uuid),
                };
                (text, gtid.immediate_commit_us)
            }
            _ => {
                let gtid = Gtid::parse(event)?;
                let text = if gtid.anonymous { String::new() } else { format!("{}:{}", gtid.uuid, gtid.gno) };
                (text, gtid.immediate_commit_us)
            }
        };
        self.tx = TxInfo { gtid, file: Arc::clone(&self.file), commit_time_us, thread_id: None };
        Ok(())
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

    fn rows<E: From<BlockError>>(
        &self,
        entry: &Entry<'_>,
        event: &Event<'_>,
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
        visit(Change::Rows(RowsChange { seq, op, plan, tx: &self.tx, place, snapshot: false, event: event_rows }))
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
        self.tx.thread_id = Some(query.thread_id);
        if !shown || self.ineffective_alter || is_boundary(query.sql) {
            return Ok(());
        }
        let charset = query.status.charset.and_then(|charset| Charset::of_collation(charset.client).ok());
        let charset = charset.filter(|charset| !charset.is_binary()).unwrap_or(Charset::UTF8MB4);
        let mut scratch = String::new();
        visit(Change::Ddl(DdlChange {
            seq,
            sql: charset.decode(query.sql, &mut scratch).text.into(),
            database: String::from_utf8_lossy(query.schema),
            sql_mode: query.status.sql_mode,
            tx: &self.tx,
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
    let mut words = sql.split(|b| b.is_ascii_whitespace() || *b == b';').filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return true };
    let is = |word: &str| first.eq_ignore_ascii_case(word.as_bytes());
    is("BEGIN")
        || is("COMMIT")
        || is("ROLLBACK")
        || is("SAVEPOINT")
        || is("XA")
        || (is("RELEASE") && words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"SAVEPOINT")))
        || (is("START") && words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"TRANSACTION")))
}

#[cfg(test)]
mod tests;
