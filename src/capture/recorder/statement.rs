//! Statements, the definitions of tables that they make, and whether any of it concerns a selected table.

use relay_store::SchemaVersion;

use super::Recorder;
use crate::binlog::event::{Event, EventHeader, Query};
use crate::capture::error::EventError;
use crate::capture::schema_history::{Concerns, StatementContext};
use crate::capture::transaction::Received;
use crate::change::charset::Charset;
use crate::change::ddl::ObjectName;
use crate::log::{TableDefinition, flag};

impl Recorder {
    /// A statement inside a transaction or alone in its group: into the history of definitions, and into the log when it
    /// may matter to a kept table. Versions that it makes go with its entry.
    pub(super) fn statement(&mut self, event: &Event<'_>, received: Received) -> Result<(), EventError> {
        if self.executed.contains(&self.transaction.id) {
            return Ok(());
        }
        let concerns = self.apply_statement(event)?;
        self.note_statement(&concerns);
        self.scene.forget_tables();
        let renamed = self.history.take_renamed();
        let made_versions = self.collect_versions();
        if self.transaction.known {
            return Ok(());
        }
        match &concerns {
            Concerns::Helpers { of, helpers } if self.is_helped(of, helpers) => {
                if made_versions {
                    self.keep(event.raw, Received { flags: received.flags | flag::HELPER, ..received })?;
                    self.put_versions()?;
                }
                return Ok(());
            }
            Concerns::Swap { table, alter, .. } if self.selection.matches(&table.database, &table.table) => {
                tracing::info!(table = %table, statement = alter, "an online schema change ends");
                let raw = rewritten(event, alter)?;
                let flags = received.flags | flag::REWRITTEN | flag::NO_CHECKSUM;
                self.keep(&raw, Received { flags, ..received })?;
                return self.put_versions();
            }
            _ => {}
        }
        if !(made_versions || self.concerns_selected(&concerns)) {
            return Ok(());
        }
        self.tell_of_leaving(&renamed);
        self.keep(event.raw, received)?;
        self.put_versions()
    }

    /// Whether rows of a table are captured, as far as that is a matter of names.
    pub(super) fn is_selected(&self, database: &str, table: &str) -> bool {
        let matches = |name: &ObjectName| self.selection.matches(&name.database, &name.table);
        self.selection.matches(database, table)
            || (self.follow_rename && self.history.was(database, table).iter().any(matches))
    }

    /// Says when a table leaves the selection by its name.
    fn tell_of_leaving(&self, renamed: &[(ObjectName, ObjectName)]) {
        let named = |name: &ObjectName| self.selection.matches(&name.database, &name.table);
        for (from, to) in renamed.iter().filter(|(from, to)| named(from) && !named(to)) {
            if self.follow_rename {
                tracing::info!(table = %from, to = %to, "a table is followed under a name outside the selection");
            } else {
                tracing::warn!(
                    table = %from, to = %to,
                    "a table is captured no longer: it was renamed to a name outside source.tables; add that, or set source.follow_rename"
                );
            }
        }
    }

    /// Whether tables are ignored as helpers of a selected table. One that the settings name is not.
    pub(super) fn is_helped(&self, of: &ObjectName, helpers: &[ObjectName]) -> bool {
        let named = |helper: &ObjectName| self.selection.names(&helper.database, &helper.table);
        // A trigger of the tool has a schema only.
        let selected = of.table.is_empty() || self.selection.matches(&of.database, &of.table);
        selected && !helpers.iter().any(named)
    }

    /// Whether rows of a table are ignored, because it is a helper.
    pub(super) fn is_helper(&self, database: &str, table: &str) -> bool {
        let Some(of) = self.history.helped_by(database, table) else { return false };
        self.is_helped(&of, &[ObjectName { database: database.to_owned(), table: table.to_owned() }])
    }

    pub(super) fn apply_statement(&mut self, event: &Event<'_>) -> Result<Concerns, EventError> {
        let query = Query::parse(event)?;
        let charset = |id: Option<u16>| id.and_then(|id| Charset::of_collation(id).ok()).filter(|c| !c.is_binary());
        let client = charset(query.status.charset.map(|c| c.client)).unwrap_or(Charset::UTF8MB4);
        let of_schema = charset(query.status.database_collation.or(query.status.charset.map(|c| c.server)));
        let mut scratch = String::new();
        let statement = StatementContext {
            sql: client.decode(query.sql, &mut scratch).text,
            database: &String::from_utf8_lossy(query.schema),
            charset: of_schema.map(|c| c.name()),
            during_reading: self.reading.as_ref().is_some_and(|reading| reading.is_within(self.place())),
        };
        match self.history.apply(statement) {
            Concerns::Database(_) if self.selection.makes_heartbeat_database(query.sql) => Ok(Concerns::Nothing),
            concerns => Ok(concerns),
        }
    }

    /// Takes over what the history made; whether any of it is of a selected table.
    pub(super) fn collect_versions(&mut self) -> bool {
        let (changed, retired) = self.history.take_changes();
        let before = self.versions.len();
        for definition in changed {
            let TableDefinition { database, table, .. } = &definition;
            if self.is_selected(database, table) || self.is_helper(database, table) {
                self.versions.push(SchemaVersion { id: definition.id, bytes: self.history.encode(&definition) });
            }
        }
        self.history.forget_dropped();
        self.retired.extend(retired);
        self.versions.len() > before
    }

    /// Whether what a statement concerns is selected, as far as that can be told.
    pub(super) fn concerns_selected(&self, concerns: &Concerns) -> bool {
        match concerns {
            Concerns::Nothing => false,
            Concerns::Tables(tables) | Concerns::Helpers { helpers: tables, .. } | Concerns::Swap { tables, .. } => {
                tables.iter().any(|t| self.is_selected(&t.database, &t.table))
            }
            Concerns::Database(database) => {
                let named = |(of, _): (&str, &str)| of == database;
                self.selection.matches(database, "") || self.selection.exact_tables().any(named)
            }
            Concerns::Anything => true,
        }
    }

    /// Hands the store the versions that wait. Called where an entry has just been, or is about to be, appended.
    pub(super) fn put_versions(&mut self) -> Result<(), EventError> {
        for version in self.versions.drain(..) {
            self.appender.put_schema(version)?;
        }
        Ok(())
    }

    /// Between groups: when the stream has passed the place where definitions were read, they hold.
    pub(super) fn pass_reading(&mut self) {
        if self.reading.as_ref().is_some_and(|reading| reading.is_passed(self.place())) {
            self.reading = None;
            self.history.reached_reading();
            self.collect_versions();
            self.scene.forget_tables();
        }
    }
}

/// The event with another statement in it, and without a checksum.
fn rewritten(event: &Event<'_>, sql: &str) -> Result<Vec<u8>, EventError> {
    const STATUS_LENGTH_AT: usize = 11;
    const STATUS_AT: usize = 13;
    let query = Query::parse(event)?;
    let head = event.body.len() - query.sql.len();
    let client = query.status.charset.and_then(|charset| Charset::of_collation(charset.client).ok());
    let utf8 = client.is_none_or(|client| client.is_binary() || client.name().starts_with("utf8"));
    let mut body = event.body[..head].to_vec();
    if !sql.is_ascii() && !utf8 {
        // Without the session's variables the text is UTF-8.
        let status = usize::from(u16::from_le_bytes([body[STATUS_LENGTH_AT], body[STATUS_LENGTH_AT + 1]]));
        body.drain(STATUS_AT..STATUS_AT + status);
        body[STATUS_LENGTH_AT..STATUS_AT].fill(0);
    }
    body.extend_from_slice(sql.as_bytes());
    let mut raw = Vec::with_capacity(EventHeader::LEN + body.len());
    let event_len = u32::try_from(EventHeader::LEN + body.len()).unwrap_or(u32::MAX);
    EventHeader { event_len, ..event.header }.write(&mut raw);
    raw.extend_from_slice(&body);
    Ok(raw)
}
