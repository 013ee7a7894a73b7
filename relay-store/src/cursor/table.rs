//! All cursors in memory, each as it stands and as it is durable, and how a change is applied to them.

use std::collections::BTreeMap;

use super::Change;
use crate::error::CursorError;
use crate::meta::cursor::{CursorRecord, ParkedRecord};
use crate::options::Lagging;
use crate::seq::Seq;

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

fn lagging_byte(lagging: Lagging) -> u8 {
    match lagging {
        Lagging::Log => 0,
        Lagging::Hold => 1,
        Lagging::Expire => 2,
    }
}
