//! Statements, the definitions of tables that they make, and whether any of it concerns a selected table.

use relay_store::SchemaVersion;

use super::Recorder;
use crate::binlog::event::{Event, Query};
use crate::capture::error::EventError;
use crate::capture::schema_history::{Concerns, StatementContext};
use crate::capture::transaction::Received;
use crate::change::charset::Charset;

impl Recorder {
    /// A statement inside a transaction or alone in its group: into the history of definitions, and into the log when it
    /// may matter to a kept table. Versions that it makes go with its entry.
    pub(super) fn statement(&mut self, event: &Event<'_>, received: Received) -> Result<(), EventError> {
        if self.executed.contains(&self.transaction.id) {
            return Ok(());
        }
        let concerns = self.apply_statement(event)?;
        self.scene.forget_tables();
        let made_versions = self.collect_versions();
        if self.transaction.known || !(made_versions || self.concerns_selected(&concerns)) {
            return Ok(());
        }
        self.keep(event.raw, received)?;
        self.put_versions()
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
        self.versions.extend(changed.into_iter().filter(|d| self.selection.matches(&d.database, &d.table)));
        self.retired.extend(retired);
        self.versions.len() > before
    }

    /// Whether what a statement concerns is selected, as far as that can be told.
    pub(super) fn concerns_selected(&self, concerns: &Concerns) -> bool {
        match concerns {
            Concerns::Nothing => false,
            Concerns::Tables(tables) => tables.iter().any(|t| self.selection.matches(&t.database, &t.table)),
            Concerns::Database(database) => {
                let named = |(of, _): (&str, &str)| of == database;
                self.selection.matches(database, "") || self.selection.exact_tables().any(named)
            }
            Concerns::Anything => true,
        }
    }

    /// Hands the store the versions that wait. Called where an entry has just been, or is about to be, appended.
    pub(super) fn put_versions(&mut self) -> Result<(), EventError> {
        for definition in self.versions.drain(..) {
            self.appender.put_schema(SchemaVersion { id: definition.id, bytes: definition.encode() })?;
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
