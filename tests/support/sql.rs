//! A blocking SQL session for tests, on the client crate's own decoding: nothing of ours takes part.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row, Value};

use super::servers::Database;

/// One session on one server.
pub struct Session {
    runtime: tokio::runtime::Runtime,
    connection: Conn,
}

impl Session {
    /// Opens a session as root, in UTC, with utf8mb4.
    pub fn open(server: &Database) -> Self {
        Self::try_open(server).unwrap_or_else(|e| panic!("connect to {}: {e}", server.name))
    }

    /// The same, for a server that may be down.
    pub fn try_open(server: &Database) -> Result<Self, mysql_async::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let options = OptsBuilder::from_opts(mysql_async::Opts::from_url(&server.url("root")).expect("an address"))
            .max_allowed_packet(Some(1 << 30))
            .prefer_socket(Some(false));
        let connection = runtime.block_on(Conn::new(options))?;
        let mut session = Self { runtime, connection };
        session.try_run("SET NAMES utf8mb4")?;
        session.try_run("SET time_zone = '+00:00'")?;
        Ok(session)
    }

    /// Runs one statement.
    pub fn try_run(&mut self, sql: &str) -> Result<(), mysql_async::Error> {
        self.runtime.block_on(self.connection.query_drop(sql))
    }

    /// Runs one statement that must succeed.
    #[track_caller]
    pub fn run(&mut self, sql: &str) {
        if let Err(error) = self.try_run(sql) {
            panic!("{error}\n  in: {}", sql.chars().take(500).collect::<String>());
        }
    }

    /// Rows that the last statement changed.
    pub fn affected(&self) -> u64 {
        self.connection.affected_rows()
    }

    /// Runs statements one after the other.
    #[track_caller]
    pub fn run_all(&mut self, statements: &[&str]) {
        for sql in statements {
            self.run(sql);
        }
    }

    /// Rows as the server's own text: `None` for NULL.
    #[track_caller]
    pub fn rows(&mut self, sql: &str) -> Vec<Vec<Option<Vec<u8>>>> {
        self.try_rows(sql).unwrap_or_else(|e| panic!("{e}\n  in: {}", sql.chars().take(500).collect::<String>()))
    }

    /// The same of a statement that may be refused.
    pub fn try_rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<Vec<u8>>>>, mysql_async::Error> {
        let rows: Vec<Row> = self.runtime.block_on(self.connection.query(sql))?;
        Ok(rows
            .into_iter()
            .map(|row| {
                row.unwrap()
                    .into_iter()
                    .map(|value| match value {
                        Value::NULL => None,
                        Value::Bytes(bytes) => Some(bytes),
                        other => Some(other.as_sql(true).into_bytes()),
                    })
                    .collect()
            })
            .collect())
    }

    /// The first column of the first row, as text.
    #[track_caller]
    pub fn text(&mut self, sql: &str) -> String {
        let rows = self.rows(sql);
        let value = rows.first().and_then(|r| r.first()).unwrap_or_else(|| panic!("no row from {sql}"));
        String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned()
    }
}
