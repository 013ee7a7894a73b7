//! What the stand-in keeps: tables with their rows, sessions, jobs.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use relay::format::maxcompute::block::Row;
use relay::format::maxcompute::data_type::DataType;
use relay::format::maxcompute::datum::Datum;
use relay::format::maxcompute::layout::TableColumn;

use super::Fault;

/// Days since the epoch of nothing in particular: when everything was made.
pub const MADE: i64 = 1_709_280_000;

/// Values of the partition columns, the widest first; empty for a table without.
pub type Partition = Vec<String>;

#[derive(Debug, Clone, Default)]
pub struct Table {
    pub name: String,
    pub columns: Vec<TableColumn>,
    pub partition_columns: Vec<TableColumn>,
    pub lifecycle: Option<u32>,
    pub schema_version: u64,
    /// Rows of each partition; a table without partitions has one, without values.
    pub partitions: BTreeMap<Partition, Vec<Row>>,
    /// Columns of the primary key; a table without takes no upserts.
    pub primary_key: Vec<String>,
    /// When sessions were opened.
    pub opened: Vec<Instant>,
}

impl Table {
    /// All rows, those of the partition columns behind the others.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        self.partitions.iter().flat_map(|(partition, rows)| {
            rows.iter().map(|row| {
                let mut row = row.clone();
                row.resize(self.columns.len(), None);
                row.extend(partition.iter().map(|value| Some(Datum::Bytes(value.clone().into_bytes()))));
                row
            })
        })
    }

    /// Names of all columns, in the order of [`Table::rows`].
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().chain(&self.partition_columns).map(|column| column.name.as_str()).collect()
    }

    pub fn kinds(&self) -> Vec<DataType> {
        self.columns.iter().map(|column| column.kind.clone()).collect()
    }

    /// A partition's text in the Tunnel's way.
    pub fn spec(&self, partition: &Partition) -> String {
        let pairs = self.partition_columns.iter().zip(partition);
        pairs.map(|(column, value)| format!("{}={value}", column.name)).collect::<Vec<_>>().join(",")
    }
}

/// A batch upload session.
#[derive(Debug, Clone)]
pub struct Upload {
    pub table: String,
    pub partition: Partition,
    pub columns: Vec<TableColumn>,
    /// `NORMAL`, `CLOSED`, `EXPIRED`, ...
    pub status: &'static str,
    pub overwrite: bool,
    pub blocks: BTreeMap<u32, Vec<Row>>,
    /// How often its commit took effect: once, or never.
    pub commits: u32,
}

/// An upsert session: what was written, in order, and is not committed.
#[derive(Debug, Clone)]
pub struct Upsert {
    pub table: String,
    pub partition: Partition,
    pub is_committed: bool,
    pub rows: Vec<Row>,
}

/// A download session: the rows as they were when it was opened.
#[derive(Debug, Clone)]
pub struct Download {
    pub table: String,
    pub columns: Vec<TableColumn>,
    pub rows: Vec<Row>,
}

/// An SQL job that ended; jobs end as they are submitted.
#[derive(Debug, Clone)]
pub struct Job {
    pub task: String,
    /// What it printed, or why it failed.
    pub result: Result<String, String>,
}

#[derive(Debug)]
pub struct State {
    pub has_schemas: bool,
    /// By `schema.table` in lower case.
    pub tables: BTreeMap<String, Table>,
    pub uploads: HashMap<String, Upload>,
    pub downloads: HashMap<String, Download>,
    pub upserts: HashMap<String, Upsert>,
    /// Streams: their table and partition.
    pub streams: HashMap<String, (String, Partition)>,
    pub jobs: HashMap<String, Job>,
    /// Jobs by the id that the client gave.
    pub submitted: HashMap<String, String>,
    /// Every statement that ran.
    pub statements: Vec<String>,
    pub faults: Vec<Fault>,
    ids: u64,
}

/// The schema of a project without any, and of a request that names none.
pub const DEFAULT_SCHEMA: &str = "default";

impl State {
    pub fn new(has_schemas: bool) -> Self {
        Self {
            has_schemas,
            tables: BTreeMap::new(),
            uploads: HashMap::new(),
            downloads: HashMap::new(),
            upserts: HashMap::new(),
            streams: HashMap::new(),
            jobs: HashMap::new(),
            submitted: HashMap::new(),
            statements: Vec::new(),
            faults: Vec::new(),
            ids: 0,
        }
    }

    pub fn next_id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("20240301080000{kind}{:06}", self.ids)
    }

    /// The key of a table.
    pub fn key(schema: Option<&str>, table: &str) -> String {
        format!("{}.{table}", schema.unwrap_or(DEFAULT_SCHEMA)).to_lowercase()
    }

    /// A table of the default schema.
    pub fn table(&self, name: &str) -> &Table {
        let key = Self::key(None, name);
        self.tables.get(&key).unwrap_or_else(|| panic!("a table {name}"))
    }

    /// The partition that a text names (`k1=v1,k2='v2'`), by a table's columns: all levels, in order.
    pub fn partition(table: &Table, spec: Option<&str>) -> Option<Partition> {
        let Some(spec) = spec.filter(|spec| !spec.is_empty()) else {
            return table.partition_columns.is_empty().then(Vec::new);
        };
        let values: Option<Vec<String>> = spec
            .split([',', '/'])
            .zip(table.partition_columns.iter())
            .map(|(pair, column)| {
                let (name, value) = pair.split_once('=')?;
                let same = name.trim().trim_matches('`').eq_ignore_ascii_case(&column.name);
                same.then(|| value.trim().trim_matches(['\'', '"']).to_owned())
            })
            .collect();
        values.filter(|values| {
            values.len() == table.partition_columns.len() && spec.split([',', '/']).count() == values.len()
        })
    }
}
