//! What a group carries for the cursors: those that moved, and the changes that were asked for.

use super::Writer;
use crate::cursor::{self, Change, CursorState, Request};
use crate::durable::lock;
use crate::error::CursorError;
use crate::meta::cursor::CursorRecord;
use crate::meta::db::Batch;
use crate::meta::mark::put_spent_epoch;

/// A request and its answer, for when what it asked is durable.
pub(super) type Answer = (Request, Result<Option<CursorState>, CursorError>);

impl Writer {
    /// Puts the cursors that moved into the batch; gives them as they will be durable.
    pub(super) fn put_cursors(&mut self, batch: &mut Batch) -> Vec<CursorRecord> {
        let mut table = lock(&self.shared.cursors);
        let mut moved = Vec::new();
        for slot in table.slots.values_mut().filter(|slot| slot.dirty) {
            slot.now.put(batch);
            slot.dirty = false;
            moved.push(slot.now.clone());
        }
        moved
    }

    /// Applies the requests at hand, and adds the cursors that they change to those that `moved`; barriers stay for
    /// later.
    pub(super) fn put_requests(&mut self, batch: &mut Batch, moved: &mut Vec<CursorRecord>) -> Vec<Answer> {
        let mut answers = Vec::new();
        let now_ms = crate::clock::now_ms();
        let mut table = lock(&self.shared.cursors);
        for request in std::mem::take(&mut self.requests) {
            match &request.change {
                Change::Barrier => {
                    self.requests.push(request);
                    continue;
                }
                Change::Persist => {
                    answers.push((request, Ok(None)));
                    continue;
                }
                _ => {}
            }
            let visible = self.mark.visible_seq;
            let answer = cursor::apply(&table, &request.change, self.mark.first_seq, visible, now_ms);
            let answer = answer.map(|record| {
                match &record {
                    Some(record) => {
                        record.put(batch);
                        moved.push(record.clone());
                        // Later requests of this group, and acks from now on, see the new life.
                        let persisted = table.slots.get(&record.name).map(|slot| slot.persisted.clone());
                        let slot = cursor::Slot {
                            now: record.clone(),
                            persisted: persisted.unwrap_or_else(|| record.clone()),
                            dirty: false,
                        };
                        table.slots.insert(record.name.clone(), slot);
                    }
                    None => {
                        if let Change::Delete { name } = &request.change {
                            CursorRecord::delete(name, batch);
                            let epoch = table.slots.remove(name).map_or(0, |slot| slot.now.epoch);
                            table.spent_epoch = table.spent_epoch.max(epoch);
                            put_spent_epoch(batch, table.spent_epoch);
                        }
                    }
                }
                record.as_ref().map(CursorState::of_record)
            });
            answers.push((request, answer));
        }
        answers
    }

    /// The barriers that wait for nothing but what is taken in by now.
    pub(super) fn take_barriers(&mut self) -> Vec<Answer> {
        let done = self.done;
        let is_ready = |request: &mut Request| matches!(request.change, Change::Barrier) && request.after <= done;
        self.requests.extract_if(.., is_ready).map(|request| (request, Ok(None))).collect()
    }
}
