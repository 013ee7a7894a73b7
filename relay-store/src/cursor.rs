//! Cursors: the named, durable places of the sinks. Acks change memory and ride with the next group; everything else
//! is asked of the writer thread, which also trims, so that the two never race.

mod request;
mod table;

use std::sync::Arc;

use crate::durable::lock;
use crate::error::{AppendError, CursorError};
use crate::gap::{Gap, GapReason};
use crate::meta::cursor::CursorRecord;
use crate::options::{Lagging, OPAQUE_BYTES_MAX};
use crate::seq::{CursorEpoch, Seq};
use crate::shared::Shared;

pub(crate) use request::{Change, Request};
pub(crate) use table::{CursorTable, Slot, apply};

/// One table of a cursor that is not delivered for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// Names the table, opaque to the store.
    pub key: Vec<u8>,
    /// First seq of it that was not delivered; kept like the cursor's own place.
    pub first: Seq,
    /// Why.
    pub reason: String,
}

/// A cursor as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorState {
    /// Its name.
    pub name: String,
    /// Raised by each reset.
    pub epoch: CursorEpoch,
    /// Everything up to it is durable at the sink.
    pub acked: Seq,
    /// When it moved last, milliseconds since the Unix epoch.
    pub updated_ms: u64,
    /// Whether an operator stopped it.
    pub paused: bool,
    /// Rebuilt from a snapshot after meta was lost: it may stand behind the truth and would repeat.
    pub restored: bool,
    /// What was trimmed before it had it.
    pub lost: Option<Gap>,
    /// Its parked tables.
    pub parked: Vec<Parked>,
    /// The sink's own state, committed with it.
    pub sink_state: Vec<u8>,
    /// What happens when it stands in the way of retention.
    pub lagging: Lagging,
}

/// What a cursor is created with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CursorOptions {
    /// What happens when it stands in the way of retention.
    pub lagging: Lagging,
}

impl CursorState {
    pub(crate) fn of_record(record: &CursorRecord) -> Self {
        CursorState {
            name: record.name.clone(),
            epoch: CursorEpoch(record.epoch),
            acked: Seq(record.acked),
            updated_ms: record.updated_ms,
            paused: record.paused,
            restored: record.restored,
            lost: record.lost.map(|(first, last)| Gap {
                first: Seq(first),
                last: Seq(last),
                reason: GapReason::Trimmed,
            }),
            parked: record
                .parked
                .iter()
                .map(|parked| Parked {
                    key: parked.key.clone(),
                    first: Seq(parked.first),
                    reason: parked.reason.clone(),
                })
                .collect(),
            sink_state: record.sink_state.clone(),
            lagging: match record.lagging {
                1 => Lagging::Hold,
                2 => Lagging::Expire,
                _ => Lagging::Log,
            },
        }
    }
}

/// A handle on the cursors of an open store; cheap to clone.
#[derive(Clone)]
pub struct Cursors {
    shared: Arc<Shared>,
}

impl Cursors {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Cursors { shared }
    }

    /// All cursors, by name.
    pub fn list(&self) -> Vec<CursorState> {
        lock(&self.shared.cursors).slots.values().map(|slot| CursorState::of_record(&slot.now)).collect()
    }

    /// One cursor.
    pub fn get(&self, name: &str) -> Option<CursorState> {
        lock(&self.shared.cursors).slots.get(name).map(|slot| CursorState::of_record(&slot.now))
    }

    /// Creates a cursor that has everything up to `acked`. Its epoch is above that of any cursor deleted before. Durable
    /// on return.
    ///
    /// # Errors
    /// The name exists or is not allowed; `acked` is outside of the log.
    pub fn create(&self, name: &str, acked: Seq, options: CursorOptions) -> Result<CursorState, CursorError> {
        self.change(Change::Create { name: name.to_owned(), acked: acked.0, lagging: options.lagging })
    }

    /// Moves a cursor forward; an earlier seq changes nothing. Durable with the next group, or within about a second.
    ///
    /// # Errors
    /// [`CursorError::StaleEpoch`] for an ack of an earlier life; an unknown cursor; a seq that is not visible.
    pub fn commit(
        &self,
        name: &str,
        epoch: CursorEpoch,
        acked: Seq,
        sink_state: Option<&[u8]>,
    ) -> Result<(), CursorError> {
        self.ack(name, epoch, acked, sink_state)?;
        self.shared.queue.signal(|state| state.cursors_moved = true);
        Ok(())
    }

    /// [`commit`](Self::commit), durable on return.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_durable(
        &self,
        name: &str,
        epoch: CursorEpoch,
        acked: Seq,
        sink_state: Option<&[u8]>,
    ) -> Result<(), CursorError> {
        self.ack(name, epoch, acked, sink_state)?;
        self.shared.ask(Change::Persist).map(drop)
    }

    fn ack(&self, name: &str, epoch: CursorEpoch, acked: Seq, sink_state: Option<&[u8]>) -> Result<(), CursorError> {
        if let Some(end) = self.shared.watch.ended() {
            return Err(match end {
                AppendError::Poisoned(poisoned) => CursorError::Poisoned(poisoned),
                _ => CursorError::Closed,
            });
        }
        if let Some(state) = sink_state.filter(|state| state.len() > OPAQUE_BYTES_MAX) {
            return Err(CursorError::TooLarge { name: name.to_owned(), bytes: state.len(), limit: OPAQUE_BYTES_MAX });
        }
        let visible = self.shared.watch.visible();
        let mut table = lock(&self.shared.cursors);
        let slot = table.slots.get_mut(name).ok_or_else(|| CursorError::Unknown { name: name.to_owned() })?;
        if slot.now.epoch != epoch.0 {
            let current = CursorEpoch(slot.now.epoch);
            return Err(CursorError::StaleEpoch { name: name.to_owned(), given: epoch, current });
        }
        if acked.0 > visible {
            return Err(CursorError::OutOfRange {
                name: name.to_owned(),
                acked,
                first: Seq(slot.now.acked),
                visible: Seq(visible),
            });
        }
        if acked.0 < slot.now.acked {
            return Ok(());
        }
        slot.now.acked = acked.0;
        slot.now.updated_ms = crate::clock::now_ms();
        if let Some(state) = sink_state {
            slot.now.sink_state.clear();
            slot.now.sink_state.extend_from_slice(state);
        }
        slot.dirty = true;
        Ok(())
    }

    /// Moves a cursor anywhere in the log, in a new epoch; its parked tables and its loss are forgotten. Durable on return.
    ///
    /// # Errors
    /// An unknown cursor; `acked` is outside of the log.
    pub fn reset(&self, name: &str, acked: Seq) -> Result<CursorState, CursorError> {
        self.change(Change::Reset { name: name.to_owned(), acked: acked.0 })
    }

    /// Notes that an operator stopped it. Durable on return.
    ///
    /// # Errors
    /// An unknown cursor.
    pub fn pause(&self, name: &str) -> Result<CursorState, CursorError> {
        self.change(Change::Pause { name: name.to_owned(), paused: true })
    }

    /// Takes [`pause`](Self::pause) back; a restored cursor counts as confirmed by it. Durable on return.
    ///
    /// # Errors
    /// An unknown cursor.
    pub fn resume(&self, name: &str) -> Result<CursorState, CursorError> {
        self.change(Change::Pause { name: name.to_owned(), paused: false })
    }

    /// Deletes a cursor, and with it what it holds. Durable on return.
    ///
    /// # Errors
    /// An unknown cursor.
    pub fn delete(&self, name: &str) -> Result<(), CursorError> {
        self.shared.ask(Change::Delete { name: name.to_owned() }).map(drop)
    }

    /// Parks a table of a cursor; of two places for one key the earlier stays. Durable on return.
    ///
    /// # Errors
    /// An unknown cursor; a place outside of the log.
    pub fn park(&self, name: &str, parked: Parked) -> Result<CursorState, CursorError> {
        if parked.key.len() + parked.reason.len() > OPAQUE_BYTES_MAX {
            let bytes = parked.key.len() + parked.reason.len();
            return Err(CursorError::TooLarge { name: name.to_owned(), bytes, limit: OPAQUE_BYTES_MAX });
        }
        self.change(Change::Park { name: name.to_owned(), parked })
    }

    /// Takes a table out of the parked ones. Durable on return.
    ///
    /// # Errors
    /// An unknown cursor.
    pub fn release(&self, name: &str, key: &[u8]) -> Result<CursorState, CursorError> {
        self.change(Change::Release { name: name.to_owned(), key: key.to_vec() })
    }

    /// Marks a cursor as having lost a range, or takes that back. Durable on return.
    ///
    /// # Errors
    /// An unknown cursor.
    pub fn set_lost(&self, name: &str, lost: Option<(Seq, Seq)>) -> Result<CursorState, CursorError> {
        self.change(Change::Lost { name: name.to_owned(), lost: lost.map(|(first, last)| (first.0, last.0)) })
    }

    fn change(&self, change: Change) -> Result<CursorState, CursorError> {
        let name = match &change {
            Change::Create { name, .. }
            | Change::Reset { name, .. }
            | Change::Pause { name, .. }
            | Change::Park { name, .. }
            | Change::Release { name, .. }
            | Change::Lost { name, .. } => name.clone(),
            Change::Barrier | Change::Persist | Change::Delete { .. } => String::new(),
        };
        self.shared.ask(change)?.ok_or(CursorError::Unknown { name })
    }
}
