//! Which definition of each table was in force where: read from information_schema at a place, then changed by each
//! DDL that the stream brings. Pure: definitions come in, statements come in, new versions come out.
//!
//! Tracked always, also where table maps explain themselves (`binlog_row_metadata=FULL`), because that setting changes
//! in mid-stream. A statement that did not parse leaves what it may have touched *unconfirmed*: the version says so, and
//! deliveries park rows that need it. Rows are captured whatever the history knows.

mod apply;

use std::collections::{BTreeMap, BTreeSet};

use super::online_ddl::{self, OnlineDdl};
use crate::change::ddl::{Ddl, Effect, ObjectName, Unparsed, parse};
use crate::log::{LogError, TableDefinition, TrackedDefinition};

/// What the history needs to know of the server and the statement's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dialect {
    /// Integers print with their display width (before MySQL 8.0.19, MariaDB).
    pub display_widths: bool,
    /// `JSON` is another word for LONGTEXT with its own collation (MariaDB).
    pub json_is_text: bool,
    /// Names compare without case (`lower_case_table_names`).
    pub fold_names: bool,
}

/// A statement as the binlog carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatementContext<'a> {
    /// Its text, UTF-8.
    pub sql: &'a str,
    /// Default schema of its session.
    pub database: &'a str,
    /// Default character set of that schema, else of the server, as far as the event tells.
    pub charset: Option<&'a str>,
    /// It ran while definitions were being read: whether they hold it cannot be told.
    pub during_reading: bool,
}

/// What a statement concerns, for those who decide whether to keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concerns {
    /// Temporary tables only: nothing that anyone else sees.
    Nothing,
    /// These tables.
    Tables(Vec<ObjectName>),
    /// A schema as a whole, or what is not a table in it.
    Database(String),
    /// It cannot be told.
    Anything,
    /// Helper tables of an online schema change, and nothing else.
    Helpers {
        /// The table that is being changed.
        of: ObjectName,
        /// The helpers.
        helpers: Vec<ObjectName>,
    },
    /// The rename that ends an online schema change.
    Swap {
        /// The table that was changed.
        table: ObjectName,
        /// The change as one statement about it.
        alter: String,
        /// All tables of the statement.
        tables: Vec<ObjectName>,
    },
}

/// What is known of a table besides its definition.
#[derive(Debug, Default, Clone)]
struct Tracked {
    /// What was done to a helper table since it was made.
    actions: Vec<String>,
    /// Names that the table had before, oldest first.
    was: Vec<ObjectName>,
}

/// Names that a table had before which are remembered: the newest, and the first.
const WAS_MAX: usize = 8;

/// The current version of every table that is known.
#[derive(Debug, Default)]
pub struct SchemaHistory {
    dialect: Dialect,
    online: OnlineDdl,
    current: BTreeMap<ObjectName, TableDefinition>,
    tracked: BTreeMap<ObjectName, Tracked>,
    /// Tables whose reading is ahead of the stream: what a statement does to them before that place is in the reading.
    ahead: BTreeSet<ObjectName>,
    last_id: u64,
    changed: Vec<TableDefinition>,
    retired: Vec<u64>,
    renamed: Vec<(ObjectName, ObjectName)>,
}

impl SchemaHistory {
    /// Takes up the versions that the log holds; of each table the last one counts.
    ///
    /// # Errors
    /// A version that does not decode.
    pub fn load<B: AsRef<[u8]>>(versions: impl IntoIterator<Item = B>, dialect: Dialect) -> Result<Self, LogError> {
        let mut history = Self { dialect, ..Self::default() };
        for bytes in versions {
            let TrackedDefinition { definition, actions, was } = TrackedDefinition::decode(bytes.as_ref())?;
            history.last_id = history.last_id.max(definition.id);
            let name = history.name(&definition.database, &definition.table);
            let newer = history.current.get(&name).is_none_or(|known| known.id < definition.id);
            if newer {
                let was = was.into_iter().map(|(database, table)| ObjectName { database, table }).collect();
                history.tracked.insert(name.clone(), Tracked { actions, was });
                history.current.insert(name, definition);
            }
        }
        history.current.retain(|_, definition| !definition.dropped);
        let Self { current, tracked, .. } = &mut history;
        tracked.retain(|name, known| current.contains_key(name) && !(known.actions.is_empty() && known.was.is_empty()));
        Ok(history)
    }

    /// Tells helper tables by further names.
    #[must_use]
    pub fn recognising(self, online: OnlineDdl) -> Self {
        Self { online, ..self }
    }

    /// The known table that a table is a helper of, by its name; none for a table that is one by itself.
    pub fn helped_by(&self, database: &str, table: &str) -> Option<ObjectName> {
        let of = |name: &str| self.name(database, name);
        self.online.tables(table).map(of).find(|of| self.current.contains_key(of))
    }

    /// A version as the store is to keep it.
    pub fn encode(&self, definition: &TableDefinition) -> Vec<u8> {
        let name = self.name(&definition.database, &definition.table);
        let Tracked { actions, was } = self.tracked.get(&name).cloned().unwrap_or_default();
        let was = was.into_iter().map(|name| (name.database, name.table)).collect();
        TrackedDefinition { definition: definition.clone(), actions, was }.encode()
    }

    /// Names that a table had before.
    pub fn was(&self, database: &str, table: &str) -> &[ObjectName] {
        self.tracked.get(&self.name(database, table)).map_or(&[], |known| &known.was)
    }

    /// Whether a table's definition is known and trusted.
    pub fn is_confirmed(&self, database: &str, table: &str) -> bool {
        self.current.get(&self.name(database, table)).is_some_and(|definition| definition.unconfirmed.is_none())
    }

    /// The id of the version in force, trusted or not.
    pub fn version(&self, database: &str, table: &str) -> Option<u64> {
        self.current.get(&self.name(database, table)).map(|definition| definition.id)
    }

    /// The definition in force, trusted or not.
    pub fn definition(&self, database: &str, table: &str) -> Option<&TableDefinition> {
        self.current.get(&self.name(database, table))
    }

    /// A table's name in the form in which names compare.
    pub fn folded(&self, database: &str, table: &str) -> ObjectName {
        self.name(database, table)
    }

    /// Takes a definition read from the server. `ahead` says why it may not hold where the stream is, when it may not.
    pub fn adopt(&mut self, mut definition: TableDefinition, ahead: Option<String>) {
        let name = self.name(&definition.database, &definition.table);
        if ahead.is_some() {
            self.ahead.insert(name.clone());
        }
        definition.unconfirmed = ahead;
        self.put(name, definition);
    }

    /// The stream has passed the place where definitions were read: those that no statement replaced hold from here on.
    pub fn reached_reading(&mut self) {
        for name in std::mem::take(&mut self.ahead) {
            if let Some(known) = self.current.get(&name) {
                let definition = TableDefinition { unconfirmed: None, ..known.clone() };
                self.put(name, definition);
            }
        }
    }

    /// Whether a table's definition waits for the stream to pass the place where it was read.
    pub fn is_table_ahead(&self, database: &str, table: &str) -> bool {
        self.ahead.contains(&self.name(database, table))
    }

    /// Whether definitions wait for the stream to pass the place where they were read.
    pub fn is_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Applies a statement and says what it concerns.
    pub fn apply(&mut self, statement: StatementContext<'_>) -> Concerns {
        let StatementContext { sql, database, charset, during_reading } = statement;
        match parse(sql, database) {
            Ok(ddl) if ddl.temporary => Concerns::Nothing,
            Ok(mut ddl) => {
                if self.dialect.fold_names {
                    ddl.fold_names();
                }
                if during_reading {
                    let tables: Vec<_> = ddl.tables().filter(|table| self.ahead.contains(table)).collect();
                    let reason = format!("changed while it was being read: {}", excerpt(sql));
                    tables.iter().for_each(|table| self.unconfirm(table, &reason));
                }
                let online = self.online_change(&ddl, sql);
                for effect in &ddl.effects {
                    self.apply_effect(effect, sql, charset);
                }
                online.unwrap_or_else(|| concerns(&ddl))
            }
            Err(unparsed) => {
                if let [helper] = unparsed.maybe.as_slice() {
                    self.note_actions(&self.name(&helper.database, &helper.table), sql);
                }
                match self.distrust(*unparsed, sql, database) {
                    Concerns::Tables(tables) => self.of_helpers(&tables).unwrap_or(Concerns::Tables(tables)),
                    other => other,
                }
            }
        }
    }

    /// What a statement is to an online schema change; none when it is nothing of the kind. Called before the statement
    /// is applied: names are as it finds them.
    fn online_change(&mut self, ddl: &Ddl, sql: &str) -> Option<Concerns> {
        let tables: Vec<ObjectName> = ddl.tables().collect();
        if tables.is_empty() {
            let database = ddl.items.first().filter(|_| online_ddl::is_of_tool(sql))?.database.clone();
            return Some(Concerns::Helpers { of: ObjectName { database, table: String::new() }, helpers: Vec::new() });
        }
        if let Some(swap) = self.swap(ddl, &tables) {
            return Some(swap);
        }
        let concerns = self.of_helpers(&tables)?;
        if let [Effect::Create(_) | Effect::CreateLike { .. } | Effect::Drop(_)] = ddl.effects.as_slice() {
            self.tracked.remove(&tables[0]);
        }
        if let [Effect::Alter { table, .. }] = ddl.effects.as_slice() {
            self.note_actions(table, sql);
        }
        Some(concerns)
    }

    /// When all tables are helpers of one.
    fn of_helpers(&self, tables: &[ObjectName]) -> Option<Concerns> {
        let of = self.helped_by(&tables.first()?.database, &tables.first()?.table)?;
        let same = |name: &ObjectName| self.helped_by(&name.database, &name.table).as_ref() == Some(&of);
        tables.iter().all(same).then(|| Concerns::Helpers { of, helpers: tables.to_vec() })
    }

    fn note_actions(&mut self, helper: &ObjectName, sql: &str) {
        if let Some(actions) = online_ddl::actions(sql)
            && self.helped_by(&helper.database, &helper.table).is_some()
        {
            self.tracked.entry(helper.clone()).or_default().actions.push(actions.to_owned());
            // A version also where columns and keys stay as they are: it takes the actions along.
            if let Some(known) = self.current.get(helper).cloned() {
                self.put(helper.clone(), known);
            }
        }
    }

    /// A rename that puts a helper in the place of its table, and at most the table out of its way.
    fn swap(&self, ddl: &Ddl, tables: &[ObjectName]) -> Option<Concerns> {
        let mut swapped: Option<(&ObjectName, &ObjectName)> = None;
        for effect in &ddl.effects {
            let (from, to) = match effect {
                Effect::Rename { from, to } => (from, to),
                Effect::Alter { table, specs } => (table, apply::renamed_to(specs)?),
                _ => return None,
            };
            let helps = |helper: &ObjectName, table: &ObjectName| {
                helper.database == table.database && self.online.tables(&helper.table).any(|of| of == table.table)
            };
            if helps(from, to) && swapped.is_none() {
                swapped = Some((from, to));
            } else if !helps(to, from) {
                return None;
            }
        }
        let (shadow, table) = swapped?;
        let actions = self.tracked.get(shadow).map_or(&[][..], |known| &known.actions);
        let alter = online_ddl::alter(&table.database, &table.table, actions);
        Some(Concerns::Swap { table: table.clone(), alter, tables: tables.to_vec() })
    }

    /// The versions made since the last time, and those that they replaced.
    pub fn take_changes(&mut self) -> (Vec<TableDefinition>, Vec<u64>) {
        (std::mem::take(&mut self.changed), std::mem::take(&mut self.retired))
    }

    /// Tables that statements gave another name since the last time: the one before, and the one now.
    pub fn take_renamed(&mut self) -> Vec<(ObjectName, ObjectName)> {
        std::mem::take(&mut self.renamed)
    }

    /// What is known of tables that are dropped goes, once their last versions are taken.
    pub fn forget_dropped(&mut self) {
        let Self { current, tracked, .. } = self;
        tracked.retain(|name, _| current.contains_key(name));
    }

    fn name(&self, database: &str, table: &str) -> ObjectName {
        let fold = |text: &str| if self.dialect.fold_names { text.to_lowercase() } else { text.to_owned() };
        ObjectName { database: fold(database), table: fold(table) }
    }

    /// A new version; the one before it is not needed by what comes.
    fn put(&mut self, name: ObjectName, mut definition: TableDefinition) {
        self.last_id += 1;
        definition.id = self.last_id;
        self.changed.push(definition.clone());
        if let Some(before) = self.current.insert(name, definition) {
            self.retired.push(before.id);
        }
    }

    /// The table is gone; a version says so, because a later one may have the name.
    fn drop_table(&mut self, name: &ObjectName) {
        self.ahead.remove(name);
        let Some(before) = self.current.remove(name) else { return };
        self.last_id += 1;
        self.retired.push(before.id);
        self.changed.push(TableDefinition { id: self.last_id, dropped: true, ..before });
    }

    /// Nothing that the statement may have touched is trusted any more; without any name, nothing of its schema is.
    fn distrust(&mut self, unparsed: Unparsed, sql: &str, database: &str) -> Concerns {
        let fold = |name: &ObjectName| self.name(&name.database, &name.table);
        let mut maybe: Vec<ObjectName> = unparsed.maybe.iter().map(fold).collect();
        if maybe.is_empty() {
            let database = self.name(database, "").database;
            maybe.extend(self.current.keys().filter(|name| name.database == database).cloned());
        }
        for name in &maybe {
            self.unconfirm(name, &format!("{} in: {}", unparsed.reason, excerpt(sql)));
        }
        if maybe.is_empty() { Concerns::Anything } else { Concerns::Tables(maybe) }
    }

    fn unconfirm(&mut self, name: &ObjectName, reason: &str) {
        self.ahead.remove(name);
        if let Some(known) = self.current.get(name) {
            let definition = TableDefinition { unconfirmed: Some(reason.to_owned()), ..known.clone() };
            self.put(name.clone(), definition);
        }
    }

    fn apply_effect(&mut self, effect: &Effect, sql: &str, charset: Option<&str>) {
        match effect {
            Effect::Create(create) => {
                self.ahead.remove(&create.table);
                // MariaDB logs it although the table was there; then it changed nothing.
                if !create.if_not_exists || !self.current.contains_key(&create.table) {
                    self.tracked.remove(&create.table);
                    let definition = apply::created(create, charset, self.dialect);
                    self.put(create.table.clone(), definition);
                }
            }
            Effect::CreateLike { table, like } => match self.current.get(like) {
                Some(original) if !self.ahead.contains(like) => {
                    let ObjectName { database, table: name } = table.clone();
                    let definition = TableDefinition { database, table: name, ..original.clone() };
                    self.tracked.remove(table);
                    self.put(table.clone(), definition);
                }
                _ => self.unconfirm(table, &format!("made after a table that is not known: {}", excerpt(sql))),
            },
            Effect::Alter { table, specs } => self.alter(table, specs, sql),
            Effect::Rename { from, to } => self.rename(from, to),
            Effect::Drop(table) => self.drop_table(table),
            Effect::DropDatabase(database) => {
                let gone: Vec<_> = self.current.keys().filter(|name| name.database == *database).cloned().collect();
                gone.iter().for_each(|name| self.drop_table(name));
            }
            Effect::AlterDatabase(_) => {}
        }
    }

    fn alter(&mut self, table: &ObjectName, specs: &[crate::change::ddl::AlterSpec], sql: &str) {
        // What was read later has the change in it already.
        if !self.ahead.contains(table)
            && let Some(known) = self.current.get(table)
            && !specs.iter().all(apply::changes_nothing)
        {
            let mut definition = known.clone();
            if let Err(reason) = apply::altered(&mut definition, specs, self.dialect) {
                definition.unconfirmed = Some(format!("{reason} in: {}", excerpt(sql)));
            }
            self.put(table.clone(), definition);
        }
        if let Some(to) = apply::renamed_to(specs) {
            self.rename(table, to);
        }
    }

    fn rename(&mut self, from: &ObjectName, to: &ObjectName) {
        match self.renamed.iter_mut().find(|(_, now)| now == from) {
            // One statement may move a table through several names.
            Some((_, now)) => now.clone_from(to),
            None => self.renamed.push((from.clone(), to.clone())),
        }
        // A table whose reading is ahead was read under the name that it has by then.
        if self.ahead.contains(from) || self.ahead.contains(to) {
            return;
        }
        let Some(known) = self.current.get(from) else { return };
        let ObjectName { database, table } = to.clone();
        let definition = TableDefinition { database, table, ..known.clone() };
        let is_helper =
            |one: &ObjectName, other: &ObjectName| self.online.tables(&one.table).any(|of| of == other.table);
        let part_of_swap = is_helper(from, to) || is_helper(to, from);
        let before = self.tracked.get(from).cloned().unwrap_or_default();
        self.drop_table(from);
        self.tracked.remove(to);
        if !part_of_swap {
            let mut was = before.was;
            was.push(from.clone());
            was.retain(|name| name != to);
            if was.len() > WAS_MAX {
                was.remove(1);
            }
            self.tracked.insert(to.clone(), Tracked { was, ..Tracked::default() });
        }
        self.put(to.clone(), definition);
    }
}

fn concerns(ddl: &Ddl) -> Concerns {
    let tables: Vec<ObjectName> = ddl.tables().collect();
    if !tables.is_empty() {
        return Concerns::Tables(tables);
    }
    ddl.items.first().map_or(Concerns::Nothing, |item| Concerns::Database(item.database.clone()))
}

/// The start of a statement, for a reason that people read.
fn excerpt(sql: &str) -> String {
    const CHARS: usize = 200;
    match sql.char_indices().nth(CHARS) {
        Some((at, _)) => format!("{}...", &sql[..at]),
        None => sql.to_owned(),
    }
}

#[cfg(test)]
mod tests;
