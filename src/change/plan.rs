//! Table map and schema version to a plan: every column with its name, type, sign, character set and labels.
//!
//! A table map with FULL metadata explains itself; a schema version then only adds declared types and unique keys, and
//! only when it agrees. Without, the schema version tells the names, and must agree with what the map says, or the table
//! has no plan: a guess would put values under wrong names.

mod declared;
mod resolve;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;

pub use declared::wire_of;

use super::charset::UnknownCollation;
use super::schema::{Column, TableName};
use crate::binlog::DecodeError;
use crate::binlog::column::ColumnDef;
use crate::binlog::event::{Event, FormatDescription};
use crate::binlog::table_map::{TableMap, TableMapHead};
use crate::log::{LogError, TableDefinition};
use resolve::Parts;

/// How rows of one shape of one table are read and rendered. Built once for each table map and schema version.
#[derive(Debug, Clone)]
pub struct TablePlan {
    /// Unlike that of any other plan of this process; for caches of what was derived from it.
    pub id: u64,
    /// The table, as it is named to those who read what is delivered.
    pub name: TableName,
    /// The table, as the source names it.
    pub source: TableName,
    /// Columns in table order, hidden ones included.
    pub columns: Vec<Column>,
    /// Places of the key's columns in key order: the primary key, else the first unique key of NOT NULL columns; empty
    /// without either.
    pub key: Vec<usize>,
    /// The primary key and the unique keys that are known: PRIMARY first, the others by name. FULL metadata alone tells
    /// of the primary key only.
    pub unique_keys: Vec<UniqueKey>,
    /// The schema version that took part.
    pub schema_version: Option<u64>,
    /// What the rows are decoded with: the map's columns, signs filled in.
    pub(crate) defs: Vec<ColumnDef>,
}

/// The primary key or a unique key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueKey {
    /// `PRIMARY`, or its name.
    pub name: Box<str>,
    /// Places of its columns in key order.
    pub columns: Vec<usize>,
}

impl UniqueKey {
    /// Name of the primary key.
    pub const PRIMARY: &str = "PRIMARY";
}

/// Why a table has no plan. Definite: the table parks, others go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("table {table}: {fault}")]
pub struct PlanError {
    /// The table.
    pub table: TableName,
    /// What is wrong.
    pub fault: PlanFault,
}

/// What keeps a table from having a plan.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanFault {
    /// The table map does not decode.
    #[error("decode its table map: {0}")]
    TableMap(#[source] DecodeError),
    /// Neither metadata nor schema version.
    #[error("its table map names no columns (binlog_row_metadata is not FULL) and no schema version is known for it")]
    NoSchema,
    /// The schema version was never given to the planner.
    #[error("schema version {0} is not in the log")]
    SchemaMissing(u64),
    /// The schema version may be wrong.
    #[error("schema version {version} is not confirmed: {reason}")]
    Unconfirmed {
        /// The version.
        version: u64,
        /// Why.
        reason: String,
    },
    /// The schema version is that of another table, or says that the table is dropped.
    #[error("schema version {version} describes {described}")]
    OtherTable {
        /// The version.
        version: u64,
        /// What it describes.
        described: String,
    },
    /// The numbers of columns differ.
    #[error("its rows have {map} columns, schema version {version} has {schema}")]
    ColumnCount {
        /// Columns of the table map.
        map: usize,
        /// Columns of the schema version.
        schema: usize,
        /// The version.
        version: u64,
    },
    /// A column's types differ.
    #[error("column {column} is declared {declared} in schema version {version}, its rows hold {wire}")]
    ColumnType {
        /// The column.
        column: String,
        /// Declared type in the schema version.
        declared: String,
        /// What the table map says, in words.
        wire: String,
        /// The version.
        version: u64,
    },
    /// A declared type that is not understood.
    #[error("column {column} has a type that is not understood: {declared}")]
    UnknownType {
        /// The column.
        column: String,
        /// The declared type.
        declared: String,
    },
    /// A collation of the table map that is not known.
    #[error("column {column}: {unknown}")]
    Collation {
        /// The column.
        column: String,
        /// Which.
        unknown: UnknownCollation,
    },
    /// A character set of the schema version that is not known.
    #[error("column {column} has the unknown character set {charset:?}")]
    Charset {
        /// The column.
        column: String,
        /// Its name.
        charset: String,
    },
    /// Nothing tells what is needed to read the column.
    #[error("column {column} lacks its {what} in the table map, and no schema version has it")]
    Metadata {
        /// The column.
        column: String,
        /// What is missing.
        what: &'static str,
    },
}

/// Makes plans and keeps them; shared by all decoders of a delivery.
#[derive(Debug, Default)]
pub struct Planner {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the table map's body without its table id.
    plans: HashMap<Box<[u8]>, Vec<Planned>>,
    count: usize,
    schemas: HashMap<u64, Arc<TableDefinition>>,
}

#[derive(Debug)]
struct Planned {
    schema: Option<u64>,
    /// Whether the schema version was at hand when the plan was made.
    with_schema: bool,
    /// The server's version decides how types are printed.
    server_version: Box<str>,
    plan: Arc<TablePlan>,
}

/// Most plans kept; when full, all are dropped and made again as needed. A server with more shapes of tables than this
/// in use at once pays for a plan a table map.
const PLANS_MAX: usize = 8192;

/// Most schema versions kept. Those in use come back from the log when they are asked for.
const SCHEMAS_MAX: usize = 16_384;

/// Bytes of the table id in front of a table map's body; four in maps of servers before 5.1.4, where two bytes of flags
/// are then left out of the key too.
const TABLE_ID_BYTES: usize = 6;

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl TablePlan {
    /// A plan of its own made from this one: the same source and another shape, as `change` makes it.
    pub fn derive(&self, change: impl FnOnce(&mut Self)) -> Arc<Self> {
        let mut plan = Self { id: next_id(), ..self.clone() };
        change(&mut plan);
        Arc::new(plan)
    }
}

impl Planner {
    /// A planner that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a schema version as the log keeps it.
    ///
    /// # Errors
    /// Bytes that are no schema version.
    pub fn learn(&self, bytes: &[u8]) -> Result<Arc<TableDefinition>, LogError> {
        let definition = Arc::new(TableDefinition::decode(bytes)?);
        let mut state = self.state();
        if state.schemas.len() >= SCHEMAS_MAX {
            state.schemas.clear();
        }
        state.schemas.insert(definition.id, Arc::clone(&definition));
        Ok(definition)
    }

    /// Whether this schema version was learnt and is still kept.
    pub fn knows(&self, version: u64) -> bool {
        self.state().schemas.contains_key(&version)
    }

    /// The plan of the table that a TABLE_MAP event describes.
    ///
    /// # Errors
    /// A map that does not decode at all is the inner error; a table without a plan the outer one.
    pub fn plan(
        &self,
        event: &Event<'_>,
        description: &FormatDescription,
        schema: Option<u64>,
    ) -> Result<Result<Arc<TablePlan>, PlanError>, DecodeError> {
        let map = event.body.get(TABLE_ID_BYTES..).unwrap_or_default();
        let version = description.server_version.as_str();
        let known = {
            let state = self.state();
            let known = schema.and_then(|version| state.schemas.get(&version));
            if let Some(plan) = state.find(map, schema, known.is_some(), version) {
                return Ok(Ok(plan));
            }
            known.cloned()
        };
        let head = TableMapHead::parse(event, description)?;
        let name = TableName::new(head.database, head.table);
        let planned = TableMap::parse(event, description)
            .map_err(PlanFault::TableMap)
            .and_then(|map| resolve::plan(&name, map, schema, known.as_deref(), description));
        let Parts { columns, key, unique_keys, defs, schema_version } = match planned {
            Ok(parts) => parts,
            Err(fault) => return Ok(Err(PlanError { table: name, fault })),
        };
        let with_schema = known.is_some();
        let mut state = self.state();
        // Another decoder may have been faster; both must go on with one plan, because caches go by its id.
        if let Some(plan) = state.find(map, schema, with_schema, version) {
            return Ok(Ok(plan));
        }
        if state.count >= PLANS_MAX {
            state.plans.clear();
            state.count = 0;
        }
        let id = next_id();
        let source = name.clone();
        let plan = Arc::new(TablePlan { id, name, source, columns, key, unique_keys, schema_version, defs });
        let planned = Planned { schema, with_schema, server_version: version.into(), plan: Arc::clone(&plan) };
        state.plans.entry(map.into()).or_default().push(planned);
        state.count += 1;
        Ok(Ok(plan))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done when a panic passes through: every change is one map operation.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, map: &[u8], schema: Option<u64>, with_schema: bool, version: &str) -> Option<Arc<TablePlan>> {
        let same = |p: &&Planned| p.schema == schema && p.with_schema == with_schema && &*p.server_version == version;
        self.plans.get(map)?.iter().find(same).map(|planned| Arc::clone(&planned.plan))
    }
}

#[cfg(test)]
mod tests;
