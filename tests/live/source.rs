//! What the relay learns of real servers by asking.

use std::time::Duration;

use relay::binlog::event::Dialect;
use relay::capture::facts::{ServerFacts, ServerGtids, TableFacts};
use relay::capture::source::{Session, file_created, fill_created_around};
use relay::capture::stream::ConnectOptions;
use relay::config::{Secret, Tls, TlsMode};

use crate::support::fresh;
use crate::support::servers::{Database, shared};
use crate::support::sql;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn options(database: &Database) -> ConnectOptions {
    ConnectOptions {
        host: "127.0.0.1".into(),
        port: database.port,
        user: "relay".into(),
        password: Secret::new("relay"),
        tls: Tls { mode: TlsMode::Disabled, ca_file: None, cert_file: None, key_file: None },
        timeout: Duration::from_secs(30),
    }
}

fn facts(database: &Database) -> ServerFacts {
    run(async { Session::connect(&options(database)).await?.facts().await }).expect("facts")
}

#[test]
fn facts_of_every_dialect_are_read_with_the_least_rights() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for database in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let mut root = sql::Session::open(&database);
        root.run(&format!("CREATE DATABASE {}", fresh("facts")));
        let facts = facts(&database);
        let name = database.name;
        assert_eq!(facts.variable("binlog_format"), Some("ROW"), "{name}");
        assert!(facts.is_on("log_bin"), "{name}");
        assert_eq!(facts.server_id.to_string(), root.text("SELECT @@server_id"), "{name}");
        let end = facts.end.as_ref().expect("an end");
        assert_eq!(facts.binlogs.last().map(|file| file.name.as_str()), Some(end.file.as_str()), "{name}");
        assert!(facts.clock_ahead_ms.abs() < 1000, "{name}: one machine has one clock: {}", facts.clock_ahead_ms);
        assert!(facts.grants.iter().any(|grant| grant.contains("REPLICATION SLAVE")), "{name}: {:?}", facts.grants);
        match &facts.gtids {
            ServerGtids::MySql { executed, purged } => {
                assert_eq!(facts.dialect, Dialect::MySql);
                assert!(!executed.is_empty() && purged.is_subset(executed), "{name}");
                assert_eq!(facts.identity, root.text("SELECT @@server_uuid"));
            }
            ServerGtids::MariaDb { newest, oldest } => {
                assert_eq!(facts.dialect, Dialect::MariaDB);
                assert!(!newest.is_empty(), "{name}");
                assert!(oldest.as_ref().is_some_and(|oldest| newest.covers_all(oldest)), "{name}: {oldest:?}");
            }
            ServerGtids::Off => panic!("{name} has GTIDs"),
        }
    }
}

#[test]
fn the_age_of_files_is_found_by_asking_few_of_them() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for database in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let mut root = sql::Session::open(&database);
        for _ in 0..3 {
            root.run("FLUSH LOGS");
        }
        let mut files = facts(&database).binlogs;
        let id = 990_000 + u32::from(database.port);
        let last = files.last().expect("a file").name.clone();
        let created = run(file_created(&options(&database), id, &last)).expect("its time");
        run(fill_created_around(&options(&database), id, &mut files, i64::from(created) + 1)).expect("their times");
        assert_eq!(files.last().and_then(|file| file.created), Some(created), "{}", database.name);
        let asked = files.iter().filter(|file| file.created.is_some()).count();
        assert!(asked <= files.len().ilog2() as usize + 1, "{asked} of {}", files.len());
    }
}

fn table(database: &Database, schema: &str, name: &str) -> TableFacts {
    let wanted = |d: &str, t: &str| d == schema && t == name;
    let reading = run(async {
        let mut session = Session::connect(&options(database)).await?;
        let mut reading = session.schema(&wanted).await?;
        session.add_foreign_keys(&mut reading.tables).await.map(|()| reading)
    });
    let reading = reading.expect("a reading");
    assert!(reading.before.is_some() && reading.after.is_some());
    assert_eq!(reading.tables.len(), 1, "{:?}", reading.tables);
    reading.tables.into_iter().next().expect("one table")
}

#[test]
fn tables_are_read_with_columns_keys_and_foreign_keys() {
    let servers = shared(&["mysql97", "mysql56", "mariadb"]);
    for database in [servers.mysql97(), servers.mysql56(), servers.mariadb()] {
        let mut root = sql::Session::open(&database);
        let schema = fresh("it's`odd");
        let quoted = schema.replace('`', "``");
        root.run(&format!("CREATE DATABASE `{quoted}` DEFAULT CHARACTER SET latin1"));
        root.run(&format!("CREATE TABLE `{quoted}`.parent (id INT PRIMARY KEY) ENGINE=InnoDB"));
        root.run(&format!(
            "CREATE TABLE `{quoted}`.`子` (a INT UNSIGNED NOT NULL, b VARCHAR(10) CHARACTER SET utf8mb4 NOT NULL, \
             c ENUM('x','it''s'), d INT, UNIQUE KEY zz (c), UNIQUE KEY yy (b, a), UNIQUE KEY xx (a), \
             CONSTRAINT fk_{} FOREIGN KEY (d) REFERENCES `{quoted}`.parent (id) ON DELETE CASCADE) ENGINE=InnoDB",
            std::process::id()
        ));
        let facts = table(&database, &schema, "子");
        let definition = &facts.definition;
        let name = database.name;
        let names: Vec<_> = definition.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"], "{name}");
        assert!(definition.columns[0].column_type.starts_with("int"), "{name}");
        assert!(definition.columns[0].column_type.ends_with("unsigned"), "{name}");
        assert_eq!(definition.columns[1].charset.as_deref(), Some("utf8mb4"), "{name}");
        assert_eq!(definition.columns[2].column_type, "enum('x','it''s')", "{name}");
        assert_eq!(definition.columns[2].charset.as_deref(), Some("latin1"), "{name}");
        assert!(definition.columns[3].nullable && !definition.columns[0].nullable, "{name}");
        assert_eq!(definition.default_charset.as_deref(), Some("latin1"), "{name}");
        // What the server itself shows as the key: the first unique key without NULL, in the order of definition.
        assert_eq!(
            definition.effective_key().map(|key| key.name.as_str()),
            Some("yy"),
            "{name}: {:?}",
            definition.keys
        );
        assert_eq!(definition.effective_key().map(|key| key.columns.clone()), Some(vec![1, 0]), "{name}");
        assert_eq!(facts.engine.as_deref(), Some("InnoDB"), "{name}");
        assert_eq!(facts.foreign_keys.len(), 1, "{name}");
        assert_eq!(facts.foreign_keys[0].parent, (schema.clone(), "parent".to_owned()), "{name}");
        assert_eq!(facts.foreign_keys[0].on_delete, "CASCADE", "{name}");
    }
}

#[test]
fn generated_and_invisible_columns_are_told_apart_from_defaults() {
    let servers = shared(&["mysql97", "mariadb"]);
    for database in [servers.mysql97(), servers.mariadb()] {
        let mut root = sql::Session::open(&database);
        let schema = fresh("columns");
        root.run(&format!("CREATE DATABASE {schema}"));
        root.run(&format!(
            "CREATE TABLE {schema}.t (a INT PRIMARY KEY, hidden INT INVISIBLE, v INT AS (a + 1) VIRTUAL, \
             s INT AS (a + 2) STORED, u VARCHAR(36) DEFAULT (UUID()), ts TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"
        ));
        let definition = table(&database, &schema, "t").definition;
        let marked = |mark: fn(&relay::log::ColumnDefinition) -> bool| -> Vec<&str> {
            definition.columns.iter().filter(|c| mark(c)).map(|c| c.name.as_str()).collect()
        };
        assert_eq!(marked(|c| c.invisible), ["hidden"], "{}", database.name);
        assert_eq!(marked(|c| c.generated), ["v", "s"], "{}", database.name);
    }
    // A generated primary key is in the binlog whether the server shows it or not.
    let database = servers.mysql97();
    let mut root = sql::Session::open(&database);
    let schema = fresh("gipk");
    root.run(&format!("CREATE DATABASE {schema}"));
    root.run("SET SESSION sql_generate_invisible_primary_key = ON");
    root.run(&format!("CREATE TABLE {schema}.t (v INT)"));
    let definition = table(&database, &schema, "t").definition;
    assert_eq!(definition.columns[0].name, "my_row_id");
    assert!(definition.columns[0].invisible);
    assert_eq!(definition.effective_key().map(|key| key.name.as_str()), Some("PRIMARY"));
}
