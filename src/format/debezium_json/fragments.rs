//! What is the same for all records of a table's shape, rendered once.

use super::DebeziumOptions;
use super::schema;
use super::source::Connector;
use crate::change::plan::TablePlan;
use crate::change::schema::Column;
use crate::format::json::write_string;
use crate::format::key::KeyColumns;

/// Ready bytes of one plan's records.
#[derive(Debug)]
pub(super) struct Fragments {
    pub(super) connector: Connector,
    /// `,"name":` of each column; none for those that are not written.
    pub(super) columns: Vec<Option<Box<[u8]>>>,
    /// Schema and table, as JSON strings.
    pub(super) database: Box<[u8]>,
    pub(super) table: Box<[u8]>,
    /// `{"schema":...,"payload":` of a row; empty without schemas.
    pub(super) envelope: Box<[u8]>,
}

impl Fragments {
    pub(super) fn new(plan: &TablePlan, connector: Connector, options: &DebeziumOptions, server: &str) -> Self {
        let written = |column: &&Column| column.is_sent(options.emit_hidden_row_id);
        let member = |column: &Column| {
            let mut name = vec![b','];
            write_string(&column.name, &mut name);
            name.push(b':');
            name.into_boxed_slice()
        };
        let envelope = if options.schema {
            let table = schema::Table { options, connector, name: &full_name(plan, server) };
            table.envelope(plan.columns.iter().filter(written))
        } else {
            Vec::new()
        };
        Self {
            connector,
            columns: plan.columns.iter().map(|column| written(&column).then(|| member(column))).collect(),
            database: string(&plan.name.database),
            table: string(&plan.name.table),
            envelope: envelope.into(),
        }
    }
}

/// Ready bytes of one plan's keys.
#[derive(Debug)]
pub(super) struct KeyFragments {
    /// The columns that the key is made of.
    pub(super) columns: KeyColumns,
    /// `,"name":` of each of them.
    pub(super) names: Vec<Box<[u8]>>,
    /// `{"schema":...,"payload":`; empty without schemas.
    pub(super) envelope: Box<[u8]>,
}

impl KeyFragments {
    pub(super) fn new(
        plan: &TablePlan,
        columns: &KeyColumns,
        connector: Connector,
        options: &DebeziumOptions,
        server: &str,
    ) -> Self {
        let named = || columns.places().iter().filter_map(|&at| plan.columns.get(at));
        let member = |column: &Column| {
            let mut name = vec![b','];
            write_string(&column.name, &mut name);
            name.push(b':');
            name.into_boxed_slice()
        };
        let envelope = if options.schema {
            schema::Table { options, connector, name: &full_name(plan, server) }.key(named())
        } else {
            Vec::new()
        };
        Self { columns: columns.clone(), names: named().map(member).collect(), envelope: envelope.into() }
    }
}

fn full_name(plan: &TablePlan, server: &str) -> String {
    format!("{server}.{}.{}", plan.name.database, plan.name.table)
}

fn string(text: &str) -> Box<[u8]> {
    let mut out = Vec::new();
    write_string(text, &mut out);
    out.into()
}
