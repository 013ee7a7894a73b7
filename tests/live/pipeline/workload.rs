//! A seeded random workload on a database of its own: every column type, key changes, tiny and big transactions,
//! rollbacks, DDL in between. Every row carries `v`, a number that rises with each change.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::columns::{Flavour, Kind, kinds};
use crate::support::servers::Database;
use crate::support::sql::Session;

/// A table of the workload as its writer knows it.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    pub columns: Vec<(String, Kind)>,
    /// Every column it ever had; a name has one type.
    pub ever: Vec<(String, Kind)>,
    next_id: i64,
    live: Vec<i64>,
    renames: u32,
}

/// What a writer did, for the checker.
#[derive(Debug, Default, Clone)]
pub struct Done {
    /// `v` of every inserted or updated row whose commit was acknowledged.
    pub versions: Vec<u64>,
    /// Commits whose outcome is unknown, because the connection broke.
    pub unknown: u32,
    /// Rows changed, deletes included.
    pub changes: u64,
}

/// Versions that a writer has for itself.
pub const VERSIONS_OF_A_WRITER: u64 = 1_000_000_000;

/// One writer: its own session, tables, randomness and range of versions.
pub struct Writer {
    database: String,
    server: Database,
    session: Option<Session>,
    settings: Vec<String>,
    random: StdRng,
    flavour: Flavour,
    pub tables: BTreeMap<String, Table>,
    version: u64,
    made: u32,
    pub done: Done,
}

impl Writer {
    /// A writer numbered from 0; its versions start at `number * 10^9`.
    pub fn new(server: &Database, database: &str, flavour: Flavour, seed: u64, number: u64) -> Self {
        Self::with_settings(server, database, flavour, seed, number, &[])
    }

    /// The same; each of its sessions begins with these statements.
    pub fn with_settings(
        server: &Database,
        database: &str,
        flavour: Flavour,
        seed: u64,
        number: u64,
        settings: &[&str],
    ) -> Self {
        let mut writer = Self {
            database: database.to_owned(),
            server: server.clone(),
            session: None,
            settings: settings.iter().map(ToString::to_string).collect(),
            random: StdRng::seed_from_u64(seed.wrapping_add(number)),
            flavour,
            tables: BTreeMap::new(),
            version: number * VERSIONS_OF_A_WRITER,
            made: 0,
            done: Done::default(),
        };
        let prefix = format!("w{number}");
        for _ in 0..3 {
            writer.create_table(&prefix);
        }
        writer
    }

    /// A session; waits for a server that is away, which it may be under a test that kills it.
    fn session(&mut self) -> &mut Session {
        if self.session.is_none() {
            let server = &self.server;
            let mut session = crate::support::wait_until("a session", std::time::Duration::from_secs(120), || {
                Session::try_open(server).ok()
            });
            session.run(&format!("USE `{}`", self.database));
            session.run("SET sql_mode = ''");
            self.settings.iter().for_each(|setting| session.run(setting));
            self.session = Some(session);
        }
        self.session.as_mut().expect("opened above")
    }

    /// Goes on at another server, which has all that was committed.
    pub fn move_to(&mut self, server: &Database) {
        self.server = server.clone();
        self.session = None;
    }

    fn create_table(&mut self, prefix: &str) {
        let all = kinds(self.flavour);
        let name = format!("{prefix}_t{}", self.made);
        self.made += 1;
        // The first tables hold every type between them, later ones a handful.
        let chosen: Vec<Kind> = if self.made <= 3 {
            let third = all.len().div_ceil(3);
            all.chunks(third).nth(self.made as usize - 1).unwrap_or_default().to_vec()
        } else {
            (0..self.random.random_range(2..7)).map(|_| all[self.random.random_range(0..all.len())]).collect()
        };
        let columns: Vec<(String, Kind)> =
            chosen.into_iter().enumerate().map(|(i, kind)| (format!("c{i}"), kind)).collect();
        let declared: String = columns.iter().map(|(n, k)| format!(", `{n}` {}", k.declared)).collect();
        self.ddl(&format!(
            "CREATE TABLE `{name}` (id BIGINT NOT NULL, v BIGINT UNSIGNED NOT NULL{declared}, PRIMARY KEY (id)) DEFAULT CHARSET=utf8mb4"
        ));
        let table =
            Table { name: name.clone(), ever: columns.clone(), columns, next_id: 1, live: Vec::new(), renames: 0 };
        self.tables.insert(name, table);
    }

    /// DDL runs until it is acknowledged; it is written so that a second run is no harm.
    fn ddl(&mut self, sql: &str) {
        loop {
            match self.session().try_run(sql) {
                Ok(()) => return,
                // Already done by a first run whose answer was lost: table, column or name exists, or is gone.
                Err(mysql_async::Error::Server(e)) if [1050, 1060, 1061, 1091, 1146, 1051, 1054].contains(&e.code) => {
                    return;
                }
                Err(mysql_async::Error::Server(e)) => panic!("{e} in {sql}"),
                Err(_) => self.session = None,
            }
        }
    }

    /// Does `count` transactions with DDL in between.
    pub fn run(&mut self, count: u32) {
        for _ in 0..count {
            if self.random.random_ratio(1, 25) {
                self.change_schema();
            }
            self.transaction();
        }
    }

    /// One transaction of `rows` changes to one table: inserts, then deletes of a third of them by one statement.
    pub fn big_transaction(&mut self, rows: usize) {
        let name = self.pick_table();
        let inserts = (rows * 3).div_ceil(4);
        self.session().run("BEGIN");
        for first in (0..inserts).step_by(100) {
            let (sql, mut versions, changes) = self.insert(&name, 100.min(inserts - first));
            self.session().run(&sql);
            self.done.versions.append(&mut versions);
            self.done.changes += changes;
        }
        let table = self.tables.get_mut(&name).expect("it exists");
        let end = table.next_id;
        let first = end - i64::try_from(rows - inserts).expect("a number of rows");
        table.live.retain(|id| *id < first);
        self.session().run(&format!("DELETE FROM `{name}` WHERE id >= {first}"));
        self.session().run("COMMIT");
        self.done.changes += (rows - inserts) as u64;
    }

    fn pick_table(&mut self) -> String {
        let n = self.random.random_range(0..self.tables.len());
        self.tables.keys().nth(n).expect("a table").clone()
    }

    fn change_schema(&mut self) {
        let name = self.pick_table();
        let choice = self.random.random_range(0..6);
        let all = kinds(self.flavour);
        let table = self.tables.get(&name).expect("it exists").clone();
        match choice {
            0 => {
                let kind = all[self.random.random_range(0..all.len())];
                let column = format!("x{}", self.random.random_range(0..1_000_000));
                let place = if self.random.random_bool(0.5) { "AFTER `v`" } else { "" };
                self.ddl(&format!("ALTER TABLE `{name}` ADD COLUMN `{column}` {} {place}", kind.declared));
                let table = self.tables.get_mut(&name).expect("it exists");
                table.ever.push((column.clone(), kind));
                table.columns.push((column, kind));
            }
            1 if table.columns.len() > 2 => {
                let n = self.random.random_range(0..table.columns.len());
                let column = &table.columns[n].0;
                self.ddl(&format!("ALTER TABLE `{name}` DROP COLUMN `{column}`"));
                self.tables.get_mut(&name).expect("it exists").columns.remove(n);
            }
            2 => {
                let n = self.random.random_range(0..table.columns.len());
                let (old, kind) = table.columns[n].clone();
                let new = format!("{old}r");
                self.ddl(&format!("ALTER TABLE `{name}` CHANGE COLUMN `{old}` `{new}` {}", kind.declared));
                let table = self.tables.get_mut(&name).expect("it exists");
                table.ever.push((new.clone(), kind));
                table.columns[n].0 = new;
            }
            3 => {
                let new = format!("{}_n{}", name.split("_n").next().expect("a prefix"), table.renames + 1);
                self.ddl(&format!("RENAME TABLE `{name}` TO `{new}`"));
                let mut table = self.tables.remove(&name).expect("it exists");
                table.name.clone_from(&new);
                table.renames += 1;
                self.tables.insert(new, table);
            }
            4 => {
                self.ddl(&format!("TRUNCATE TABLE `{name}`"));
                self.tables.get_mut(&name).expect("it exists").live.clear();
            }
            _ => {
                let prefix = name.split("_t").next().expect("a prefix").to_owned();
                self.create_table(&prefix);
            }
        }
    }

    fn transaction(&mut self) {
        let size = match self.random.random_range(0..40) {
            0 => self.random.random_range(200..1500),
            1..=10 => self.random.random_range(5..40),
            _ => self.random.random_range(1..5),
        };
        let rollback = self.random.random_ratio(1, 15);
        let before = self.tables.clone();
        let mut statements = vec!["BEGIN".to_owned()];
        let (mut versions, mut changes) = (Vec::new(), 0);
        let name = self.pick_table();
        let mut left = size;
        while left > 0 {
            let name = if self.random.random_bool(0.8) { name.clone() } else { self.pick_table() };
            let rows = self.random.random_range(1..=left.min(50));
            left -= rows;
            let (sql, mut v, n) = self.statement(&name, rows);
            statements.push(sql);
            versions.append(&mut v);
            changes += n;
            if self.random.random_ratio(1, 30) {
                statements.push("SAVEPOINT s1".into());
                let (sql, _, _) = {
                    // What follows the savepoint is undone: the writer's own picture of the table must not see it.
                    let picture = self.tables.clone();
                    let undone = self.statement(&name, 2);
                    self.tables = picture;
                    undone
                };
                statements.push(sql);
                statements.push("ROLLBACK TO SAVEPOINT s1".into());
            }
        }
        let end = if rollback { "ROLLBACK" } else { "COMMIT" };
        for sql in &statements {
            match self.session().try_run(sql) {
                Ok(()) => {}
                Err(mysql_async::Error::Server(e)) if ![1053, 1317, 1927].contains(&e.code) => {
                    panic!("{e} in {}", sql.chars().take(400).collect::<String>())
                }
                Err(_) => {
                    // The connection broke inside the transaction: the server rolls it back.
                    self.session = None;
                    self.tables = before;
                    return;
                }
            }
        }
        match (self.session().try_run(end), rollback) {
            (Ok(()), true) => self.tables = before,
            (Ok(()), false) => {
                self.done.versions.extend(versions);
                self.done.changes += changes;
            }
            (Err(_), rollback) => {
                self.session = None;
                self.done.unknown += u32::from(!rollback);
                self.relearn();
            }
        }
    }

    /// Reads which rows exist, after a commit whose outcome is unknown.
    fn relearn(&mut self) {
        for name in self.tables.keys().cloned().collect::<Vec<_>>() {
            let ids: Vec<i64> = self
                .session()
                .rows(&format!("SELECT id FROM `{name}`"))
                .into_iter()
                .map(|r| String::from_utf8_lossy(r[0].as_deref().expect("a key")).parse().expect("a number"))
                .collect();
            let table = self.tables.get_mut(&name).expect("it exists");
            table.next_id = ids.iter().max().map_or(1, |m| m + 1).max(table.next_id);
            table.live = ids;
        }
    }

    /// A statement that inserts rows, as [`Self::statement`] gives one.
    fn insert(&mut self, name: &str, rows: usize) -> (String, Vec<u64>, u64) {
        let random = &mut self.random;
        let table = self.tables.get_mut(name).expect("it exists");
        let (mut values, mut versions) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            self.version += 1;
            versions.push(self.version);
            let id = table.next_id;
            table.next_id += 1;
            table.live.push(id);
            let row: String = table.columns.iter().map(|(_, k)| format!(", {}", k.literal(random))).collect();
            values.push(format!("({id}, {}{row})", self.version));
        }
        let names: String = table.columns.iter().map(|(n, _)| format!(", `{n}`")).collect();
        (format!("INSERT INTO `{name}` (id, v{names}) VALUES {}", values.join(", ")), versions, rows as u64)
    }

    /// One statement over `rows` rows: its text, the versions it writes and how many rows it changes.
    fn statement(&mut self, name: &str, rows: usize) -> (String, Vec<u64>, u64) {
        let random = &mut self.random;
        let table = self.tables.get_mut(name).expect("it exists");
        let action = if table.live.is_empty() { 0 } else { random.random_range(0..10) };
        match action {
            0..=4 => self.insert(name, rows),
            5..=7 => {
                let id = table.live[random.random_range(0..table.live.len())];
                self.version += 1;
                let mut sets = format!("v = {}", self.version);
                for (column, kind) in &table.columns {
                    if random.random_bool(0.3) {
                        sets += &format!(", `{column}` = {}", kind.literal(random));
                    }
                }
                (format!("UPDATE `{name}` SET {sets} WHERE id = {id}"), vec![self.version], 1)
            }
            8 => {
                // The key itself changes.
                let n = random.random_range(0..table.live.len());
                let (old, new) = (table.live[n], table.next_id);
                table.next_id += 1;
                table.live[n] = new;
                self.version += 1;
                (
                    format!("UPDATE `{name}` SET id = {new}, v = {} WHERE id = {old}", self.version),
                    vec![self.version],
                    1,
                )
            }
            _ => {
                let n = random.random_range(0..table.live.len());
                let id = table.live.swap_remove(n);
                (format!("DELETE FROM `{name}` WHERE id = {id}"), vec![], 1)
            }
        }
    }
}
