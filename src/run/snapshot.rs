//! What an operator may ask of the copy of tables.

use std::time::Duration;

use relay_store::Note;
use thiserror::Error;
use tokio::time::timeout;

use super::Daemon;
use crate::capture::captured::Captured;
use crate::config::{SnapshotMode, TableId};
use crate::log::{SnapshotMark, TableProgress};
use crate::status::TableState;

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
        let under_way = [TableState::Waiting, TableState::Copying, TableState::Failing];
        if handle.table(&text).is_some_and(|view| under_way.contains(&view.state)) {
            return Err(SnapshotActError::UnderWay { table: text });
        }
        let progress = TableProgress::begin(database, name, 0);
        let mark = SnapshotMark::Begun { database: database.clone(), table: name.clone() };
        let note = Note { key: progress.note_key(), value: Some(progress.encode()) };
        match timeout(ORDER_WAIT, self.chunks().mark(mark, note)).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(SnapshotActError::NoCapture),
        }
        tracing::info!(audit = "start", task = "snapshot", table = text, "operator's act");
        // The next life finds it in the log; chunks that are on their way now are read again.
        self.snapshot_control().restart();
        Ok(())
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
