//! Debezium JSON: what Debezium's MySQL connector writes through Kafka Connect's JSON converter, from 3.x on.
//!
//! Its documentation decides; where it leaves a choice, the connector's defaults hold. What differs, and why:
//!
//! | what | here |
//! |---|---|
//! | `source.version` | this project's, because it made the record |
//! | `source.pos` | where the event ends, as everywhere in this project |
//! | BIGINT UNSIGNED above 9223372036854775807 | the number itself, larger than the `int64` of its schema, not a negative one |
//! | dates with zero parts, and dates that the calendar lacks | as Debezium treats zero dates: null, or the epoch in a NOT NULL column |
//! | `0000` of YEAR | 0 |
//! | JSON | MySQL's own text of the document |
//! | `tableChanges` | always empty |
//! | TRUNCATE | a schema change like any other statement; no record with `op` `t` |
//! | a column that a partial before image lacks | left out there |
//! | a column that a partial after image lacks | did not change: from before if that has it, else left out |
//!
//! A delete's tombstone, and the halves of an update that changes a key, are the delivery's to ask for.

mod decimal;
mod fragments;
mod schema;
mod source;
mod transaction;
mod value;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::TxPlace;
use super::canal_json::DdlTarget;
use super::images;
use super::json::{close_object, write_number, write_string};
use super::key::{KeyColumns, Side};
use super::tables::{TABLES_MAX, Tables};
use super::text::{BinaryForm, EnumForm, FormatError, OnBadText, Renderer, TextOptions};
use crate::binlog::Cell;
use crate::change::plan::TablePlan;
use crate::change::schema::Column;
use crate::change::{DdlChange, Op, RowChange, RowsChange};
use fragments::{Fragments, KeyFragments};
use source::{Connector, Source};

pub use transaction::TableCount;

/// How DECIMAL is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecimalForm {
    /// The unscaled value, big-endian, in base64.
    #[default]
    Precise,
    /// Its text.
    String,
    /// A number of 64 bits, which may not be the same.
    Double,
}

/// The settings of the format, by the names they have in the config.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DebeziumOptions {
    /// Whether each record carries its schema.
    pub schema: bool,
    /// How DECIMAL is written.
    pub decimal: DecimalForm,
    /// The server's name in `source` and in names of schemas; the task's name when there is none.
    pub server_name: Option<String>,
    /// Whether rows say which transaction they are of and where in it.
    pub transaction_block: bool,
    /// Topic for records of beginnings and ends of transactions; none: no such records.
    pub transaction_topic: Option<String>,
    /// Text that does not decode in its column's character set.
    pub on_bad_text: OnBadText,
    /// Whether hidden row ids of tables without a key are written.
    pub emit_hidden_row_id: bool,
}

/// The writer. One for each worker: it has scratch buffers and remembers tables.
#[derive(Debug)]
pub struct DebeziumJson {
    renderer: Renderer,
    options: DebeziumOptions,
    server: String,
    /// The same as a JSON string.
    server_json: Vec<u8>,
    tables: Tables<(u64, Connector), Fragments>,
    keys: HashMap<u64, Arc<KeyFragments>>,
}

impl DebeziumJson {
    /// A writer; `task` is the server's name unless the options have one.
    pub fn new(options: &DebeziumOptions, task: &str) -> Self {
        let server = options.server_name.clone().unwrap_or_else(|| task.to_owned());
        let mut server_json = Vec::new();
        write_string(&server, &mut server_json);
        let text = TextOptions {
            zone: TimeZone::UTC,
            enums: EnumForm::Label,
            binary: BinaryForm::Base64,
            on_bad_text: options.on_bad_text,
        };
        Self {
            renderer: Renderer::new(text),
            options: options.clone(),
            server,
            server_json,
            tables: Tables::default(),
            keys: HashMap::new(),
        }
    }

    /// How many values had text that did not decode and was replaced.
    pub fn bad_text(&self) -> u64 {
        self.renderer.bad_text()
    }

    /// Appends the value of one row's record; `now_ms` is when it is made, Unix ms.
    ///
    /// # Errors
    /// A row that cannot be written; `out` is then as before.
    pub fn write(
        &mut self,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        place: &TxPlace,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let start = out.len();
        let connector = Connector::of(rows.tx);
        let fragments = self
            .tables
            .take((rows.plan.id, connector), || Fragments::new(rows.plan, connector, &self.options, &self.server));
        let written = self.write_row(&fragments, rows, row, place, now_ms, out);
        self.tables.give_back((rows.plan.id, connector), fragments);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn write_row(
        &mut self,
        fragments: &Fragments,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        place: &TxPlace,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        out.extend_from_slice(&fragments.envelope);
        out.extend_from_slice(b"{\"before\":");
        // The half of a split update that creates has both images too.
        match row.before.filter(|_| rows.op != Op::Insert) {
            Some(before) => {
                let start = out.len();
                let columns = &rows.plan.columns;
                images::each(row, before, |cell| self.write_member(fragments, columns, row, cell, out))?;
                close_object(start, out);
            }
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"after\":");
        if rows.op == Op::Delete {
            out.extend_from_slice(b"null");
        } else {
            let start = out.len();
            images::each_current(row, |cell| self.write_member(fragments, &rows.plan.columns, row, cell, out))?;
            close_object(start, out);
        }
        out.extend_from_slice(b",\"source\":");
        let source = Source {
            connector: fragments.connector,
            server: &self.server_json,
            database: &fragments.database,
            table: Some(&fragments.table),
            tx: rows.tx,
            place: rows.place,
            snapshot: rows.snapshot,
            row: row.index,
        };
        source.write(out);
        out.extend_from_slice(b",\"transaction\":");
        if self.options.transaction_block && !rows.snapshot {
            transaction::write_block(rows.tx, place, out);
        } else {
            out.extend_from_slice(b"null");
        }
        out.extend_from_slice(match (rows.op, rows.snapshot) {
            (Op::Insert, true) => b",\"op\":\"r\",\"ts_ms\":",
            (Op::Insert, false) => b",\"op\":\"c\",\"ts_ms\":",
            (Op::Update, _) => b",\"op\":\"u\",\"ts_ms\":",
            (Op::Delete, _) => b",\"op\":\"d\",\"ts_ms\":",
        });
        write_number(now_ms, out);
        out.extend_from_slice(b",\"ts_us\":");
        write_number(now_ms.saturating_mul(1_000), out);
        out.extend_from_slice(b",\"ts_ns\":");
        write_number(now_ms.saturating_mul(1_000_000), out);
        out.push(b'}');
        if self.options.schema {
            out.push(b'}');
        }
        Ok(())
    }

    fn write_member(
        &mut self,
        fragments: &Fragments,
        columns: &[Column],
        row: &RowChange<'_>,
        cell: &Cell<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        let Some(name) = fragments.columns.get(cell.index).and_then(Option::as_ref) else { return Ok(()) };
        out.extend_from_slice(name);
        let column = images::column(columns, cell.index)?;
        value::write_cell(&mut self.renderer, self.options.decimal, column, row, cell, out)
    }

    /// Appends the key of a row's record, of these columns of its table; false, and nothing appended, when they are
    /// none. `side` says which image it is of: before for deletes and for the half of a split update that deletes.
    ///
    /// # Errors
    /// A key value that cannot be shown, or that no image of the row holds; `out` is then as before.
    pub fn write_key(
        &mut self,
        rows: &RowsChange<'_>,
        columns: &KeyColumns,
        row: &RowChange<'_>,
        side: Side,
        out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        if columns.is_empty() {
            return Ok(false);
        }
        let start = out.len();
        let fragments = self.key_fragments(rows, columns);
        let written = self.write_key_object(&fragments, rows.plan, row, side, out);
        if written.is_err() {
            out.truncate(start);
        }
        written.map(|()| true)
    }

    fn write_key_object(
        &mut self,
        fragments: &KeyFragments,
        plan: &TablePlan,
        row: &RowChange<'_>,
        side: Side,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        out.extend_from_slice(&fragments.envelope);
        let start = out.len();
        for (&at, name) in fragments.columns.places().iter().zip(&fragments.names) {
            out.extend_from_slice(name);
            let value = fragments.columns.value(plan, row, side, at)?;
            let column = images::column(&plan.columns, at)?;
            value::write(&mut self.renderer, self.options.decimal, column, &value, out)?;
        }
        close_object(start, out);
        if self.options.schema {
            out.push(b'}');
        }
        Ok(())
    }

    /// Appends the value of a record about a statement: a schema change, whose structure it does not tell.
    pub fn write_ddl(&self, ddl: &DdlChange<'_>, target: DdlTarget<'_>, now_ms: u64, out: &mut Vec<u8>) {
        let connector = Connector::of(ddl.tx);
        if self.options.schema {
            out.extend_from_slice(&schema::schema_change(connector));
        }
        let (mut database, mut table) = (Vec::new(), Vec::new());
        write_string(target.database, &mut database);
        write_string(target.table, &mut table);
        out.extend_from_slice(b"{\"source\":");
        let source = Source {
            connector,
            server: &self.server_json,
            database: &database,
            table: (!target.table.is_empty()).then_some(&table),
            tx: ddl.tx,
            place: ddl.place,
            snapshot: false,
            row: 0,
        };
        source.write(out);
        out.extend_from_slice(b",\"ts_ms\":");
        write_number(now_ms, out);
        out.extend_from_slice(b",\"databaseName\":");
        out.extend_from_slice(&database);
        out.extend_from_slice(b",\"schemaName\":null,\"ddl\":");
        write_string(&ddl.sql, out);
        out.extend_from_slice(b",\"tableChanges\":[]}");
        if self.options.schema {
            out.push(b'}');
        }
    }

    /// Appends the key of a record about a statement.
    pub fn write_ddl_key(&self, ddl: &DdlChange<'_>, target: DdlTarget<'_>, out: &mut Vec<u8>) {
        if self.options.schema {
            out.extend_from_slice(&schema::schema_change_key(Connector::of(ddl.tx)));
        }
        out.extend_from_slice(b"{\"databaseName\":");
        write_string(target.database, out);
        out.extend_from_slice(if self.options.schema { b"}}".as_slice() } else { b"}" });
    }

    fn key_fragments(&mut self, rows: &RowsChange<'_>, columns: &KeyColumns) -> Arc<KeyFragments> {
        if self.keys.len() >= TABLES_MAX {
            self.keys.clear();
        }
        let made = || {
            let connector = Connector::of(rows.tx);
            Arc::new(KeyFragments::new(rows.plan, columns, connector, &self.options, &self.server))
        };
        let known = self.keys.entry(rows.plan.id).or_insert_with(made);
        if known.columns != *columns {
            *known = made();
        }
        Arc::clone(known)
    }
}

#[cfg(test)]
mod tests;
