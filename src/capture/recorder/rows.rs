//! Table maps and rows: which are selected, and what goes into the log with them.

use super::{NO_TABLE, Recorder, STATEMENT_END, append};
use crate::binlog::RowsHead;
use crate::binlog::event::{Event, EventType};
use crate::binlog::rows::ColumnSet;
use crate::binlog::table_map::TableMap;
use crate::capture::error::EventError;
use crate::capture::scene;
use crate::capture::scene::MapHead;
use crate::capture::transaction::Received;
use crate::log::kind;

impl Recorder {
    pub(super) fn short_table_ids(&self) -> bool {
        let format = self.format.as_ref();
        format.and_then(|f| f.post_header_len(EventType::TABLE_MAP)) == Some(6)
    }

    pub(super) fn table_map(&mut self, event: &Event<'_>, received: Received) -> Result<(), EventError> {
        let head = MapHead::read(event.body, self.short_table_ids())?;
        let (selected, schema) = match self.scene.known(head.table_id, event.body) {
            Some(known) => known,
            None => {
                let (database, table) = head.names();
                let selected = self.is_selected(&database, &table) && !self.is_helper(&database, &table);
                if selected && self.needs_search(&database, &table, event) {
                    return Err(EventError::ColumnsNotNamed(format!("{database}.{table}")));
                }
                let schema = if selected { self.history.version(&database, &table) } else { None };
                self.scene.learn(head.table_id, event.body, selected, schema);
                (selected, schema)
            }
        };
        if !selected {
            return Ok(());
        }
        self.log_text()?;
        self.log_map(head.table_id, schema, event.raw, received)
    }

    /// Whether the table can be read only by a definition of which it is not known, because nobody looked, whether it
    /// holds here.
    pub(super) fn needs_search(&self, database: &str, table: &str, event: &Event<'_>) -> bool {
        self.reading.as_ref().is_some_and(|reading| !reading.searched)
            && self.history.is_table_ahead(database, table)
            && self.format.as_ref().is_some_and(|format| TableMap::parse(event, format).is_ok_and(|map| !map.full))
    }

    pub(super) fn log_map(
        &mut self,
        table_id: u64,
        schema: Option<u64>,
        raw: &[u8],
        mut received: Received,
    ) -> Result<(), EventError> {
        self.log_held()?;
        if let Some(id) = schema {
            self.put_versions()?;
            self.appender.needs_schema(id);
        }
        let (flags, tail, length) = scene::schema_tail(schema);
        received.flags |= flags;
        let parts = [raw, &tail[..length]];
        append(&mut self.appender, &self.scene, &mut self.unsubmitted, kind::EVENT, received, &parts)?;
        self.scene.put_in_force(table_id, received.flags, &parts);
        Ok(())
    }

    pub(super) fn rows(&mut self, event: &Event<'_>, received: Received) -> Result<(), EventError> {
        let short = self.short_table_ids();
        let table_id = scene::table_id(event.body, short)?;
        let flags = event.body.get(if short { 4 } else { 6 }).copied().unwrap_or(0);
        match self.scene.is_selected(table_id) {
            Some(true) => {
                if self.warns_of_partial_rows {
                    self.warn_of_partial_rows(event, table_id)?;
                }
                append(&mut self.appender, &self.scene, &mut self.unsubmitted, kind::EVENT, received, &[event.raw])?;
                self.transaction.rows_logged += 1;
                if !self.windows.is_empty() {
                    self.note_keys(event, table_id);
                }
            }
            Some(false) => {}
            None if table_id == NO_TABLE => {}
            None => return Err(EventError::NoTableMap(table_id)),
        }
        if flags & STATEMENT_END != 0 {
            self.scene.end_statement();
            self.transaction.text.clear();
        }
        Ok(())
    }

    /// A session may log less of a row than the server's setting says, which is all that the precheck sees. What it
    /// left out is nowhere, so the row goes on with what it holds; said once a connection.
    fn warn_of_partial_rows(&mut self, event: &Event<'_>, table_id: u64) -> Result<(), EventError> {
        let head = RowsHead::parse(event, self.format.as_ref().ok_or(EventError::BeforeFormat)?)?;
        let whole = |columns: Option<ColumnSet<'_>>| columns.is_none_or(|columns| columns.is_full());
        if whole(head.columns_before()) && whole(head.columns_after()) {
            return Ok(());
        }
        self.warns_of_partial_rows = false;
        let (file, position) = self.place();
        let table = self.scene.table_name(table_id, self.short_table_ids()).unwrap_or_default();
        tracing::warn!(
            table,
            file,
            position,
            "a row lacks columns and is delivered with what it holds: a session has binlog_row_image MINIMAL or NOBLOB; \
             set it to FULL there"
        );
        Ok(())
    }
}
