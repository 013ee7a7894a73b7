//! Records that were not to be delivered, on their way to the topic of dead letters: whole, or compressed and in parts.

use std::sync::Arc;

use super::oversize::{TooLarge, refuse};
use super::{Records, Shared, TxPlace, Writing, operation, side};
use crate::change::{RowChange, RowsChange};
use crate::delivery::encode::{Aside, Job, RowsFault};
use crate::delivery::outlet::Outlet;
use crate::sink::kafka::config::OnTooLarge;
use crate::sink::{Note, Origin, Record};
use crate::status::exceptions::Fate;

/// A part holds no more: below what any broker takes by default, so that the topic needs no limit of its own.
const PART_BYTES_MAX: usize = 512 << 10;
/// A topic with less room for a part beside key and headers takes none.
const PART_BYTES_MIN: usize = 512;
/// The library's own default: the smaller part of the gain costs most of the time.
const ZSTD_LEVEL: i32 = 3;

impl Records {
    /// A row on which the script failed, as it came.
    pub(in crate::delivery::encode) fn dead_row(
        &mut self,
        job: &Job,
        shared: &mut Shared<'_>,
        rows: &RowsChange<'_>,
        row: &RowChange<'_>,
        error: &str,
        out: &mut Outlet,
    ) -> Result<(), RowsFault> {
        let route = self.route(job, rows.plan)?;
        let key = self.key_text(rows, row);
        let aside = Aside { table: &route.origin.table, seq: shared.seq, row: row.index, key: &key, reason: error };
        let event = shared.event(&route.origin, out)?;
        let start = out.batch().bytes.len();
        let packed = std::slice::from_ref(row);
        let writing = Writing { job, route: &route, place: TxPlace::default(), rows, packed };
        let record = self.write(&writing, shared, (event, operation(rows), side(rows)), out.batch())?;
        self.dead_letter(job, shared, &record, start, &aside, false, out)
    }

    /// Sends a record that lies in the batch from `start` on, and is none of its records, where dead letters go.
    #[expect(clippy::too_many_arguments, reason = "each is of another life: the entry's, the record's, the reason's")]
    pub(super) fn dead_letter(
        &mut self,
        job: &Job,
        shared: &mut Shared<'_>,
        record: &Record,
        start: usize,
        aside: &Aside<'_>,
        in_parts: bool,
        out: &mut Outlet,
    ) -> Result<(), RowsFault> {
        let batch = out.batch();
        let key = record.key.map(|key| batch.get(key).to_vec());
        let value = record.value.map(|value| batch.get(value).to_vec()).unwrap_or_default();
        batch.bytes.truncate(start);
        let Some(origin) = job.routing.dead_letters(aside.table) else {
            return Err(RowsFault::Table(format!("{}; there is no topic for dead letters", aside.reason)));
        };
        let letter = Letter { origin, key, reason: aside.reason.as_bytes(), record: *record };
        let room = letter.room(job, shared, out)?;
        if !in_parts && value.len() <= room.whole {
            letter.push(shared, &value, None, out)?;
            job.set_aside(Fate::DeadLetter, aside);
            return Ok(());
        }
        if room.part < PART_BYTES_MIN {
            let event = shared.event(&letter.origin, out)?;
            let made = TooLarge { record: Record { event, ..*record }, start: out.batch().bytes.len(), bytes: 0 };
            refuse(out.batch(), made, aside, OnTooLarge::DeadLetter);
            return Ok(());
        }
        let compressed = zstd::bulk::compress(&value, ZSTD_LEVEL)
            .map_err(|error| RowsFault::Table(format!("compress a dead letter: {error}")))?;
        let parts = compressed.chunks(room.part);
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        for (number, part) in (1..).zip(parts) {
            letter.push(shared, part, Some((number, count)), out)?;
        }
        job.set_aside(Fate::DeadLetter, aside);
        Ok(())
    }
}

struct Letter<'l> {
    origin: Arc<Origin>,
    key: Option<Vec<u8>>,
    reason: &'l [u8],
    record: Record,
}

/// How many bytes of a value a letter has room for.
struct Room {
    whole: usize,
    part: usize,
}

impl Letter<'_> {
    fn push(
        &self,
        shared: &mut Shared<'_>,
        value: &[u8],
        chunk: Option<(u32, u32)>,
        out: &mut Outlet,
    ) -> Result<(), RowsFault> {
        let event = shared.event(&self.origin, out)?;
        let batch = out.batch();
        let key = self.key.as_deref().map(|key| batch.push_bytes(key));
        let value = Some(batch.push_bytes(value));
        let reason = batch.push_bytes(self.reason);
        let note = batch.push_note(Note::DeadLetter { reason, chunk });
        batch.records.push(Record { event, key, value, note, ends_entry: false, ..self.record });
        Ok(())
    }

    fn room(&self, job: &Job, shared: &mut Shared<'_>, out: &mut Outlet) -> Result<Room, RowsFault> {
        let Some(limits) = &job.limits else { return Ok(Room { whole: usize::MAX, part: PART_BYTES_MAX }) };
        // Measured with an empty one, which is taken back.
        self.push(shared, &[], Some((1, 1)), out)?;
        let batch = out.batch();
        let empty = batch.records.pop().map_or(0, |record| limits.bytes(batch, &record));
        batch.notes.pop();
        let whole = limits.of(&self.origin).saturating_sub(empty);
        Ok(Room { whole, part: whole.min(PART_BYTES_MAX) })
    }
}
