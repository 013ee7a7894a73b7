//! What a sink keeps of its own beside the cursor, on the disk before it goes on.

use relay_store::{CursorEpoch, Cursors, Seq};

use crate::sink::{Keep, SinkError};

/// Writes a sink's own bytes beside the cursor, in the life that it was opened for.
#[derive(Clone)]
pub(super) struct CursorKeeper {
    pub(super) cursors: Cursors,
    pub(super) name: String,
    pub(super) epoch: CursorEpoch,
    /// Where the cursor stays: one table alone is delivered again.
    pub(super) stands: Option<Seq>,
}

impl std::fmt::Debug for CursorKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CursorKeeper").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Keep for CursorKeeper {
    fn keep(&self, seq: Seq, state: &[u8]) -> Result<(), SinkError> {
        let seq = self.stands.unwrap_or(seq);
        let failed = |reason: String| SinkError::transient(format!("keep the state of cursor {}: {reason}", self.name));
        let kept = self.cursors.commit_durable(&self.name, self.epoch, seq, Some(state));
        kept.map_err(|error| failed(error.to_string()))?;
        // IMPORTANT: an ack that comes too late changes nothing and is no error; a sink that took it for written would send
        // what nobody remembers.
        match self.cursors.get(&self.name) {
            Some(now) if now.epoch == self.epoch && now.sink_state == state => Ok(()),
            _ => Err(failed("the cursor was moved meanwhile".to_owned())),
        }
    }
}
