//! Cursors: the named, durable places of the sinks. Acks change memory and ride with the next group; everything else
//! is asked of the writer thread, which also trims, so that the two never race.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::durable::lock;
use crate::error::{AppendError, CursorError};
use crate::gap::{Gap, GapReason};
use crate::meta::cursor::{CursorRecord, ParkedRecord};
use crate::options::{Lagging, OPAQUE_BYTES_MAX};
use crate::seq::{CursorEpoch, Seq};
use crate::shared::Shared;

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

fn lagging_byte(lagging: Lagging) -> u8 {
    match lagging {
        Lagging::Log => 0,
        Lagging::Hold => 1,
        Lagging::Expire => 2,
    }
}

/// One cursor in memory: as it stands, and as it is durable. Retention looks at the second only.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub now: CursorRecord,
    pub persisted: CursorRecord,
    pub dirty: bool,
}

/// All cursors.
#[derive(Debug, Default)]
pub(crate) struct CursorTable {
    pub slots: BTreeMap<String, Slot>,
    /// Largest epoch of a cursor that was deleted: one created anew begins above it, so that acks of its namesake's life
    /// stay old.
    pub spent_epoch: u32,
}

impl CursorTable {
    pub(crate) fn of_records(records: impl IntoIterator<Item = CursorRecord>, spent_epoch: u32) -> Self {
        let slot = |record: CursorRecord| Slot { persisted: record.clone(), now: record, dirty: false };
        let slots = records.into_iter().map(|record| (record.name.clone(), slot(record))).collect();
        CursorTable { slots, spent_epoch }
    }

    /// The cursors as they are durable.
    pub(crate) fn persisted(&self) -> impl Iterator<Item = &CursorRecord> {
        self.slots.values().map(|slot| &slot.persisted)
    }
}

/// A change that the writer thread makes.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Nothing: answered when all that was pushed before is durable.
    Barrier,
    /// Nothing: answered when the cursors moved so far are durable.
    Persist,
    Create {
        name: String,
        acked: u64,
        lagging: Lagging,
    },
    Reset {
        name: String,
        acked: u64,
    },
    Pause {
        name: String,
        paused: bool,
    },
    Delete {
        name: String,
    },
    Park {
        name: String,
        parked: Parked,
    },
    Release {
        name: String,
        key: Vec<u8>,
    },
    Lost {
        name: String,
        lost: Option<(u64, u64)>,
    },
}

/// Where the answer to a request comes.
#[derive(Debug, Default)]
struct Reply {
    answer: Mutex<Option<Result<Option<CursorState>, CursorError>>>,
    answered: Condvar,
}

/// A change and who waits for it.
#[derive(Debug)]
pub(crate) struct Request {
    pub change: Change,
    /// Items pushed before it.
    pub after: u64,
    reply: Arc<Reply>,
    answered: bool,
}

impl Drop for Request {
    /// A request that is dropped unanswered (the writer panicked) must not leave its caller waiting.
    fn drop(&mut self) {
        let mut answer = lock(&self.reply.answer);
        if !self.answered {
            *answer = Some(Err(CursorError::Closed));
            self.reply.answered.notify_all();
        }
    }
}

impl Request {
    pub(crate) fn answer(mut self, answer: Result<Option<CursorState>, CursorError>) {
        *lock(&self.reply.answer) = Some(answer);
        self.answered = true;
        self.reply.answered.notify_all();
    }

    pub(crate) fn refuse(self, reason: AppendError) {
        let error = match reason {
            AppendError::Poisoned(poisoned) => CursorError::Poisoned(poisoned),
            _ => CursorError::Closed,
        };
        self.answer(Err(error));
    }
}

impl Shared {
    /// Has the writer make a change; durable on return.
    pub(crate) fn ask(&self, change: Change) -> Result<Option<CursorState>, CursorError> {
        let reply = Arc::new(Reply::default());
        self.queue.request(Request { change, after: 0, reply: reply.clone(), answered: false });
        let mut answer = lock(&reply.answer);
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            answer = reply.answered.wait(answer).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until all that was pushed is durable.
    pub(crate) fn flush_barrier(&self) -> Result<(), AppendError> {
        match self.ask(Change::Barrier) {
            Ok(_) => Ok(()),
            Err(CursorError::Poisoned(poisoned)) => Err(poisoned.into()),
            Err(_) => Err(AppendError::Closed),
        }
    }
}

/// Applies a change to a copy of the table's slot. Gives the record to store, or `None` for a deletion.
pub(crate) fn apply(
    table: &CursorTable,
    change: &Change,
    first_seq: u64,
    visible: u64,
    now_ms: u64,
) -> Result<Option<CursorRecord>, CursorError> {
    let known = |name: &str| {
        table.slots.get(name).map(|slot| slot.now.clone()).ok_or_else(|| CursorError::Unknown { name: name.to_owned() })
    };
    let in_range = |name: &str, acked: u64| {
        if acked + 1 >= first_seq && acked <= visible {
            Ok(())
        } else {
            Err(CursorError::OutOfRange {
                name: name.to_owned(),
                acked: Seq(acked),
                first: Seq(first_seq),
                visible: Seq(visible),
            })
        }
    };
    match change {
        Change::Barrier | Change::Persist => unreachable!("answered without a change"),
        Change::Create { name, acked, lagging } => {
            check_name(name)?;
            if let Some(slot) = table.slots.get(name) {
                return Err(CursorError::Exists { name: name.clone(), acked: Seq(slot.now.acked) });
            }
            in_range(name, *acked)?;
            Ok(Some(CursorRecord {
                name: name.clone(),
                epoch: table.spent_epoch + 1,
                acked: *acked,
                updated_ms: now_ms,
                paused: false,
                restored: false,
                lost: None,
                parked: Vec::new(),
                sink_state: Vec::new(),
                lagging: lagging_byte(*lagging),
            }))
        }
        Change::Reset { name, acked } => {
            let record = known(name)?;
            in_range(name, *acked)?;
            Ok(Some(CursorRecord {
                epoch: record.epoch + 1,
                acked: *acked,
                updated_ms: now_ms,
                restored: false,
                lost: None,
                parked: Vec::new(),
                ..record
            }))
        }
        Change::Pause { name, paused } => {
            let record = known(name)?;
            // Whoever resumes a restored cursor has seen what it would repeat.
            Ok(Some(CursorRecord { paused: *paused, restored: record.restored && *paused, ..record }))
        }
        Change::Delete { name } => known(name).map(|_| None),
        Change::Park { name, parked } => {
            let mut record = known(name)?;
            let first = record
                .parked
                .iter()
                .find(|known| known.key == parked.key)
                .map_or(parked.first.0, |known| known.first.min(parked.first.0));
            in_range(name, first.saturating_sub(1))?;
            record.parked.retain(|known| known.key != parked.key);
            record.parked.push(ParkedRecord { key: parked.key.clone(), first, reason: parked.reason.clone() });
            Ok(Some(record))
        }
        Change::Release { name, key } => {
            let mut record = known(name)?;
            record.parked.retain(|parked| parked.key != *key);
            Ok(Some(record))
        }
        Change::Lost { name, lost } => Ok(Some(CursorRecord { lost: *lost, ..known(name)? })),
    }
}

fn check_name(name: &str) -> Result<(), CursorError> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if first && rest && name.len() <= 64 { Ok(()) } else { Err(CursorError::Name { name: name.to_owned() }) }
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
