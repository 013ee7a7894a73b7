//! A record that is larger than its limit: what its table's policy makes of it. The row is still at hand, so that it can
//! be written again with less in it, whatever the format.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Records, Shared, Writing};
use crate::binlog::rows::Nulled;
use crate::change::column_type::ColumnType;
use crate::change::plan::TablePlan;
use crate::change::{RowChange, RowsChange};
use crate::delivery::encode::{Aside, RowsFault};
use crate::delivery::outlet::Outlet;
use crate::format::key::{KeyColumns, Side};
use crate::sink::kafka::config::OnTooLarge;
use crate::sink::{Batch, Note, Record};
use crate::status::exceptions::Fate;

/// Most tables whose smaller shapes are remembered; all are forgotten beyond.
const SHAPES_MAX: usize = 1024;
/// A row's key is shown up to so many bytes.
const KEY_TEXT_MAX: usize = 200;

/// What rows that are too large are written again with.
#[derive(Default)]
pub(super) struct Smaller {
    /// By plan: one of the same columns in which all that may become NULL are nullable, and one of the key's only.
    shapes: HashMap<u64, Shapes>,
    before: Nulled,
    after: Nulled,
}

#[derive(Clone)]
struct Shapes {
    nullable: Arc<TablePlan>,
    key_only: Arc<TablePlan>,
}

/// A record that was made and is too large.
#[derive(Debug, Clone, Copy)]
pub(super) struct TooLarge {
    pub(super) record: Record,
    /// Where its bytes begin in the batch.
    pub(super) start: usize,
    /// How large it is.
    pub(super) bytes: usize,
}

impl Smaller {
    fn shapes(&mut self, plan: &Arc<TablePlan>) -> Shapes {
        if self.shapes.len() >= SHAPES_MAX {
            self.shapes.clear();
        }
        let made = self.shapes.entry(plan.id).or_insert_with(|| Shapes {
            nullable: plan.derive(|small| {
                for at in large_columns(plan) {
                    small.columns[at].nullable = true;
                }
            }),
            key_only: plan.derive(|small| {
                for (at, column) in small.columns.iter_mut().enumerate() {
                    column.dropped |= !plan.key.contains(&at);
                }
            }),
        });
        made.clone()
    }
}

impl Records {
    /// Does with a row's record what its table's policy says. Nothing of it is in the batch's records yet.
    pub(super) fn too_large(
        &mut self,
        writing: &Writing<'_, '_>,
        shared: &mut Shared<'_>,
        made: TooLarge,
        out: &mut Outlet,
    ) -> Result<(), RowsFault> {
        let Writing { job, route, rows, packed: [row], .. } = *writing else { return Ok(()) };
        let key = self.key_text(rows, row);
        let limit = job.limits.as_ref().map_or(usize::MAX, |limits| limits.of(&route.origin));
        let reason = format!("{} bytes, {limit} are allowed", made.bytes);
        let aside = Aside { table: &route.origin.table, seq: shared.seq, row: row.index, key: &key, reason: &reason };
        let small = match route.on_too_large {
            OnTooLarge::Skip => {
                out.batch().bytes.truncate(made.start);
                job.set_aside(Fate::Skipped, &aside);
                return Ok(());
            }
            OnTooLarge::DeadLetter => {
                return self.dead_letter(job, shared, &made.record, made.start, &aside, true, out);
            }
            OnTooLarge::TruncateColumns => self.truncated(writing, shared, row, made, out.batch())?,
            OnTooLarge::KeyOnly => self.key_only(writing, shared, made, out.batch())?,
            OnTooLarge::Fail => None,
        };
        match small {
            Some((record, fate)) => {
                out.batch().records.push(record);
                job.set_aside(fate, &aside);
            }
            None => refuse(out.batch(), made, &aside, route.on_too_large),
        }
        Ok(())
    }

    /// The record with as few of its large columns NULL as make it fit, the largest first; none when it does not.
    fn truncated(
        &mut self,
        writing: &Writing<'_, '_>,
        shared: &Shared<'_>,
        row: &RowChange<'_>,
        made: TooLarge,
        batch: &mut Batch,
    ) -> Result<Option<(Record, Fate)>, RowsFault> {
        let Writing { job, rows, .. } = *writing;
        let (Some(limits), plan) = (&job.limits, rows.plan) else { return Ok(None) };
        let columns = by_size(plan, row)?;
        let shape = self.smaller.shapes(plan).nullable;
        let mut smaller = std::mem::take(&mut self.smaller);
        let mut nulled = vec![false; plan.columns.len()];
        let mut with_nulled = |count: usize, batch: &mut Batch| -> Result<Option<Record>, RowsFault> {
            nulled.fill(false);
            columns[..count].iter().for_each(|&at| nulled[at] = true);
            let Smaller { before, after, .. } = &mut smaller;
            let wrong = |error| RowsFault::Table(format!("row {}: {error}", row.index));
            let is_nulled = |at: usize| nulled[at];
            let small = RowChange {
                index: row.index,
                before: row.before.map(|image| before.image(image, is_nulled)).transpose().map_err(wrong)?,
                after: row.after.map(|image| after.image(image, is_nulled)).transpose().map_err(wrong)?,
            };
            let rows = RowsChange { plan: &shape, ..*rows };
            let mut record =
                self.write_again(&Writing { rows: &rows, packed: &[small], ..*writing }, shared, made, batch)?;
            let start = batch.bytes.len();
            for (place, &at) in columns[..count].iter().enumerate() {
                if place > 0 {
                    batch.bytes.push(b',');
                }
                batch.bytes.extend_from_slice(plan.columns[at].name.as_bytes());
            }
            let names = batch.span_from(start);
            record.note = batch.push_note(Note::Truncated(names));
            let fits = limits.exceeded_by(batch, &record).is_none();
            if !fits {
                batch.notes.pop();
            }
            Ok(fits.then_some(record))
        };
        let fewest = fewest(columns.len(), |count| {
            let notes = batch.notes.len();
            let fits = with_nulled(count, batch)?.is_some();
            batch.notes.truncate(notes);
            Ok::<_, RowsFault>(fits)
        })?;
        let record = match fewest {
            Some(count) => with_nulled(count, batch)?,
            None => None,
        };
        self.smaller = smaller;
        Ok(record.map(|record| (record, Fate::Truncated)))
    }

    /// The record with the key's columns only; none when the table has no key, or that is too large too.
    fn key_only(
        &mut self,
        writing: &Writing<'_, '_>,
        shared: &Shared<'_>,
        made: TooLarge,
        batch: &mut Batch,
    ) -> Result<Option<(Record, Fate)>, RowsFault> {
        let Writing { job, rows, .. } = *writing;
        let Some(limits) = job.limits.as_ref().filter(|_| !rows.plan.key.is_empty()) else { return Ok(None) };
        let shape = self.smaller.shapes(rows.plan).key_only;
        let rows = RowsChange { plan: &shape, ..*rows };
        let mut record = self.write_again(&Writing { rows: &rows, ..*writing }, shared, made, batch)?;
        record.note = batch.push_note(Note::KeyOnly);
        if limits.exceeded_by(batch, &record).is_some() {
            batch.notes.pop();
            return Ok(None);
        }
        Ok(Some((record, Fate::KeyOnly)))
    }

    /// Writes the value anew in the place of the one that was too large.
    fn write_again(
        &mut self,
        writing: &Writing<'_, '_>,
        shared: &Shared<'_>,
        made: TooLarge,
        batch: &mut Batch,
    ) -> Result<Record, RowsFault> {
        let start = made.record.value.map_or(batch.bytes.len(), |value| value.range().start);
        batch.bytes.truncate(start);
        self.write_value(writing, shared, &mut batch.bytes)?;
        Ok(Record { value: Some(batch.span_from(start)), ..made.record })
    }

    /// The key of a row for whoever has to look for it.
    pub(super) fn key_text(&mut self, rows: &RowsChange<'_>, row: &RowChange<'_>) -> String {
        let key = KeyColumns::of(rows.plan);
        let mut text = Vec::new();
        let side = if row.after.is_some() { Side::After } else { Side::Before };
        if key.is_empty() || key.write_object(rows.plan, row, side, &mut self.keys, &mut text).is_err() {
            return String::new();
        }
        let mut text = String::from_utf8_lossy(&text).into_owned();
        if text.len() > KEY_TEXT_MAX {
            text.truncate(text.floor_char_boundary(KEY_TEXT_MAX));
            text.push_str("...");
        }
        text
    }
}

/// Keeps the record's place for the sink to stop at, with the reason instead of the record.
pub(super) fn refuse(batch: &mut Batch, made: TooLarge, aside: &Aside<'_>, policy: OnTooLarge) {
    batch.bytes.truncate(made.start);
    let mut why = aside.reason.to_owned();
    if !aside.key.is_empty() {
        why.push_str(&format!(", its key is {}", aside.key));
    }
    why.push_str(match policy {
        OnTooLarge::TruncateColumns => "; without its large columns it is too large all the same",
        OnTooLarge::KeyOnly if aside.key.is_empty() => "; there is no key that could go alone",
        OnTooLarge::KeyOnly => "; its key alone is too large",
        OnTooLarge::DeadLetter => "; its message key alone is too large for the dead letters' topic",
        OnTooLarge::Fail | OnTooLarge::Skip => "",
    });
    let why = batch.push_bytes(why.as_bytes());
    let note = batch.push_note(Note::TooLarge(why));
    batch.records.push(Record { key: None, value: None, note, ..made.record });
}

/// Places of the columns that can be large: of variable length, sent, and none of the key.
fn large_columns(plan: &TablePlan) -> impl Iterator<Item = usize> {
    let is_large = |kind| {
        matches!(
            kind,
            ColumnType::VarChar { .. }
                | ColumnType::Text { .. }
                | ColumnType::VarBinary { .. }
                | ColumnType::Blob { .. }
                | ColumnType::Json
                | ColumnType::Geometry { .. }
                | ColumnType::Vector { .. }
        )
    };
    let columns = plan.columns.iter().enumerate();
    columns
        .filter(move |(at, column)| is_large(column.kind) && !column.dropped && !plan.key.contains(at))
        .map(|(at, _)| at)
}

/// The columns that can be large and hold something, the largest first: bytes of both images.
fn by_size(plan: &TablePlan, row: &RowChange<'_>) -> Result<Vec<usize>, RowsFault> {
    let mut sizes = vec![0; plan.columns.len()];
    for cell in [row.before, row.after].into_iter().flatten().flat_map(|image| image.cells()) {
        let cell = cell.map_err(|error| RowsFault::Table(format!("row {}: {error}", row.index)))?;
        if let Some(size) = sizes.get_mut(cell.index) {
            *size += cell.bytes.map_or(0, <[u8]>::len);
        }
    }
    let mut columns: Vec<usize> = large_columns(plan).filter(|&at| sizes[at] > 0).collect();
    columns.sort_by_key(|&at| std::cmp::Reverse(sizes[at]));
    Ok(columns)
}

/// The smallest number up to `most` for which `fits` holds; from some number on it does for all, or for none.
fn fewest<E>(most: usize, mut fits: impl FnMut(usize) -> Result<bool, E>) -> Result<Option<usize>, E> {
    if most == 0 {
        return Ok(None);
    }
    // Mostly one column is large.
    if fits(1)? {
        return Ok(Some(1));
    }
    if most == 1 || !fits(most)? {
        return Ok(None);
    }
    let (mut low, mut high) = (1, most);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle)? { high = middle } else { low = middle }
    }
    Ok(Some(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_columns_are_found() {
        for most in 0..20 {
            for enough in 1..25 {
                let found = fewest(most, |count| Ok::<_, ()>(count >= enough));
                assert_eq!(found, Ok((enough <= most).then_some(enough)), "{enough} of {most}");
            }
        }
    }
}
