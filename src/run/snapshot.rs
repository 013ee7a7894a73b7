//! What an operator may ask of the copy of tables.

use std::time::Duration;

use relay_store::Note;
use thiserror::Error;
use tokio::time::timeout;

use super::Daemon;
use crate::capture::captured::Captured;
use crate::capture::source::Session;
use crate::capture::stream::{ConnectOptions, StreamError};
use crate::config::{SnapshotMode, Source, TableId};
use crate::log::{SnapshotMark, TableProgress};
use crate::snapshot::probe::{Unreadable, probe};

/// How long an answer waits for capture to take the order into the log.
const ORDER_WAIT: Duration = Duration::from_secs(10);

/// Why an act was refused. Nothing was changed.
#[derive(Debug, Error)]
pub enum SnapshotActError {
    /// No table is to be copied.
    #[error("snapshot.mode is \"never\": set it to \"adhoc\" and reload, then start the copy")]
    Never,
    /// The table does not enter the log.
    #[error("{table} is not in source.tables, so that its rows do not enter the log")]
    NotCaptured {
        /// The table.
        table: String,
    },
    /// It is being copied.
    #[error("{table} is being copied already")]
    UnderWay {
        /// The table.
        table: String,
    },
    /// It is not being copied.
    #[error("{table} is not being copied")]
    NotCopied {
        /// The table.
        table: String,
    },
    /// Capture does not run.
    #[error("capture does not take it now: see its state")]
    NoCapture,
    /// The source cannot be asked.
    #[error("ask the source about {table}: {source}")]
    NotAsked {
        /// The table.
        table: String,
        /// Why not.
        source: Box<StreamError>,
    },
    /// It says that the table cannot be read.
    #[error(transparent)]
    Unreadable(Unreadable),
}

impl Daemon {
    /// Has a table copied, again when it was before; other tables go on.
    ///
    /// # Errors
    /// See [`SnapshotActError`].
    pub async fn start_snapshot(&self, table: &TableId) -> Result<(), SnapshotActError> {
        let config = self.config();
        let TableId { database, table: name } = table;
        let text = format!("{database}.{name}");
        if config.snapshot.mode == SnapshotMode::Never {
            return Err(SnapshotActError::Never);
        }
        if !Captured::new(&config.source).matches(database, name) {
            return Err(SnapshotActError::NotCaptured { table: text });
        }
        let handle = self.status().snapshot();
        if handle.table(&text).is_some_and(|view| view.state.is_under_way()) {
            return Err(SnapshotActError::UnderWay { table: text });
        }
        self.probe(&config.source, table).await?;
        let progress = TableProgress::begin(database, name, 0);
        let mark = SnapshotMark::Begun { database: database.clone(), table: name.clone() };
        let note = Note { key: progress.note_key(), value: Some(progress.encode()) };
        match timeout(ORDER_WAIT, self.chunks().mark(mark, note)).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(SnapshotActError::NoCapture),
        }
        tracing::info!(audit = "start", task = "snapshot", table = text, "operator's act");
        // The life at hand, if there is one; the next finds it in the log.
        handle.order(text);
        Ok(())
    }

    /// Tries the table on the server that is captured.
    async fn probe(&self, source: &Source, table: &TableId) -> Result<(), SnapshotActError> {
        let server = self.status().capture().server().ok_or(SnapshotActError::NoCapture)?;
        let options = ConnectOptions::each_host(source)
            .find(|options| options.address() == server.host)
            .ok_or(SnapshotActError::NoCapture)?;
        let tried = async {
            let mut session = Session::connect(&options).await?;
            probe(&mut session, &table.database, &table.table).await
        };
        match tried.await {
            Ok(()) => Ok(()),
            Err(Unreadable::Ask(source)) => {
                let table = format!("{}.{}", table.database, table.table);
                Err(SnapshotActError::NotAsked { table, source: Box::new(source) })
            }
            Err(refused) => Err(SnapshotActError::Unreadable(refused)),
        }
    }

    /// Ends the copy of a table where it is.
    ///
    /// # Errors
    /// It is not being copied.
    pub fn stop_snapshot(&self, table: &TableId) -> Result<(), SnapshotActError> {
        let text = format!("{}.{}", table.database, table.table);
        if !self.status().snapshot().stop(&text) {
            return Err(SnapshotActError::NotCopied { table: text });
        }
        tracing::info!(audit = "stop", task = "snapshot", table = text, "operator's act");
        Ok(())
    }
}
