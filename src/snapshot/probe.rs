//! Whether a table can be read at all, before anyone waits for its copy.

use thiserror::Error;

use crate::capture::source::Session;
use crate::capture::stream::{StreamError, identifier, text_literal};

/// Server errors (MySQL manual, "Server Error Message Reference"): no such database or table.
const MISSING: [u16; 2] = [1049, 1146];

/// Why a table is not copied.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// It is not there, or the account may not see it.
    #[error("the source has no table {0}, or its account may not see it: grant SELECT on it if it is there")]
    Missing(String),
    /// A view has no rows of its own in the binlog.
    #[error("{table} is a {kind} and no table: its rows are those of other tables")]
    NoTable {
        /// The table.
        table: String,
        /// What it is, as the server calls it.
        kind: String,
    },
    /// The account may not read it.
    #[error("the source's account may not read {table}: GRANT SELECT ON {table} TO it ({message})")]
    Denied {
        /// The table.
        table: String,
        /// What the server says.
        message: String,
    },
    /// The server does not say.
    #[error(transparent)]
    Ask(#[from] StreamError),
}

/// Tries a table; reads none of its rows.
///
/// # Errors
/// See [`Unreadable`].
pub async fn probe(session: &mut Session, database: &str, table: &str) -> Result<(), Unreadable> {
    let name = format!("{database}.{table}");
    let sql = format!(
        "SELECT TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        text_literal(database),
        text_literal(table)
    );
    let rows = session.connection().query(&sql).await?;
    match rows.first().and_then(|row| row.at(0)) {
        None => return Err(Unreadable::Missing(name)),
        Some("BASE TABLE" | "SYSTEM VERSIONED") => {}
        Some(kind) => return Err(Unreadable::NoTable { table: name, kind: kind.to_ascii_lowercase() }),
    }
    let sql = format!("SELECT * FROM {}.{} LIMIT 0", identifier(database), identifier(table));
    match session.connection().query(&sql).await {
        Ok(_) => Ok(()),
        Err(StreamError::Statement { source, .. }) if MISSING.contains(&source.code) => Err(Unreadable::Missing(name)),
        Err(StreamError::Statement { source, .. }) if source.is_missing_privilege() => {
            Err(Unreadable::Denied { table: name, message: source.message })
        }
        Err(error) => Err(error.into()),
    }
}
