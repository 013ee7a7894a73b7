//! Which keys of a table changed while a chunk of it is on its way into the log: what the stream has newer, and the
//! chunk must not bring back.
//!
//! ```text
//! stream  ──┬───────────────┬───────────────┬──────────>
//!           │ window opens  │ high mark     │ the chunk's rows, without the keys that changed
//!           └── keys of committed changes are noted ──┘
//! ```
//! IMPORTANT: a chunk's rows are as the table was at one moment between the window's opening and the high mark. A change
//! that they do not show is in the stream behind the opening, and one that they show is in it before the high mark. So a
//! row whose key did not change inside the window may stand at its end; a row whose key did is in the log already, as
//! new or newer. Only keys of transactions that committed count: a change that never happened supersedes nothing.
//!
//! A table without a key is read in one view between whose marks nothing changes it: then the view is the table as it
//! stands at the high mark, whatever comes behind.
//!
//! Pure: changes come in, keys come out.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::chunks::{Chunk, Dropped, Outcome};
use super::facts::compare_files;
use crate::binlog::column::{ColumnDef, WireType};
use crate::binlog::{DecodeError, RowImage, RowWriter, RowsEvent};
use crate::change::ddl::ObjectName;
use crate::change::plan::TablePlan;
use crate::log::SourcePosition;

/// Keys that one window notes at most, in bytes; beyond, its chunk is read again.
const KEY_BYTES_MAX: usize = 32 << 20;
/// What noting a key costs beside its bytes.
const KEY_COST: usize = 48;

/// A chunk whose rows are being read, or wait for their place.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) id: u64,
    pub(super) table: ObjectName,
    /// The definition that the rows are read by.
    pub(super) plan: Arc<TablePlan>,
    /// Its version.
    pub(super) schema: u64,
    /// What the stream had brought when it opened.
    pub(super) low: SourcePosition,
    keys: HashSet<Box<[u8]>>,
    key_bytes: usize,
    /// Where the first transaction ended that changed the table, when that has no key: nothing else tells its rows.
    touched: Option<(String, u64)>,
    /// Why its chunk cannot be used.
    broken: Option<Dropped>,
    /// The rows, once they are here, and who waits for what becomes of them.
    chunk: Option<(Box<Chunk>, oneshot::Sender<Outcome>)>,
}

impl Window {
    /// Whether this key changed inside the window.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        !self.keys.is_empty() && self.keys.contains(key)
    }
}

/// What a window has become.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) window: Window,
    pub(super) chunk: Box<Chunk>,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// The windows that are open.
#[derive(Debug, Default)]
pub(super) struct Windows {
    open: Vec<Window>,
    /// Keys that the open transaction changed, with the window's id.
    pending: Vec<(u64, Box<[u8]>)>,
    /// Windows that the open transaction breaks when it commits.
    breaking: Vec<(u64, Dropped)>,
    /// Windows on tables without a key that it changed.
    touching: Vec<u64>,
    key: Vec<u8>,
    writer: RowWriter,
}

impl Windows {
    /// Opens one; the stream is between transactions.
    pub(super) fn open(&mut self, id: u64, table: ObjectName, plan: Arc<TablePlan>, schema: u64, low: SourcePosition) {
        let window = Window {
            id,
            table,
            plan,
            schema,
            low,
            keys: HashSet::new(),
            key_bytes: 0,
            touched: None,
            broken: None,
            chunk: None,
        };
        self.open.push(window);
    }

    /// Whether none is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether a window is open on a table.
    pub(super) fn watches(&self, table: &ObjectName) -> bool {
        self.open.iter().any(|window| window.table == *table)
    }

    /// Takes the rows of a chunk. Whoever waits is told when its window is gone.
    pub(super) fn take_chunk(&mut self, id: u64, chunk: Box<Chunk>, reply: oneshot::Sender<Outcome>) {
        match self.open.iter_mut().find(|window| window.id == id) {
            Some(window) => window.chunk = Some((chunk, reply)),
            // Nobody waits any more when this fails.
            None => drop(reply.send(Outcome::Dropped(Dropped::Restarted))),
        }
    }

    /// Opens a window again whose chunk was appended: its reader brings more.
    pub(super) fn put_back(&mut self, window: Window) {
        self.open.push(window);
    }

    /// Closes a window; its reader brings no more.
    pub(super) fn close(&mut self, id: u64) {
        self.open.retain(|window| window.id != id);
    }

    /// Notes the keys of a rows event of the open transaction.
    ///
    /// # Errors
    /// The rows do not decode.
    pub(super) fn note(
        &mut self,
        table: &ObjectName,
        columns: &[ColumnDef],
        rows: &RowsEvent<'_>,
    ) -> Result<(), DecodeError> {
        let Self { open, pending, breaking, touching, key, writer } = self;
        for window in open.iter().filter(|window| window.table == *table && window.broken.is_none()) {
            if columns.len() != window.plan.defs.len() {
                breaking.push((window.id, Dropped::TableChanged));
                continue;
            }
            if window.plan.key.is_empty() {
                touching.push(window.id);
                continue;
            }
            for row in rows.rows(columns) {
                let row = row?;
                // An after image of a partial row holds only what changed; the rest is as it was before.
                for (image, other) in [(row.before, None), (row.after, row.before)] {
                    let Some(image) = image else { continue };
                    key.clear();
                    if append_key(&window.plan, image, other, writer, key)? {
                        pending.push((window.id, key.as_slice().into()));
                    } else {
                        breaking.push((window.id, Dropped::KeyUnknown));
                    }
                }
            }
        }
        Ok(())
    }

    /// A statement concerns these tables; none: it may concern any.
    pub(super) fn note_statement(&mut self, concerns: impl Fn(&ObjectName) -> bool) {
        for window in self.open.iter().filter(|window| concerns(&window.table)) {
            self.breaking.push((window.id, Dropped::TableChanged));
        }
    }

    /// The open transaction committed; it ends at this place.
    pub(super) fn commit(&mut self, (file, position): (&str, u64)) {
        for id in self.touching.drain(..) {
            if let Some(window) = self.open.iter_mut().find(|window| window.id == id) {
                window.touched.get_or_insert_with(|| (file.to_owned(), position));
            }
        }
        for (id, key) in self.pending.drain(..) {
            let Some(window) = self.open.iter_mut().find(|window| window.id == id) else { continue };
            let cost = key.len() + KEY_COST;
            if window.broken.is_none() && window.keys.insert(key) {
                window.key_bytes += cost;
                if window.key_bytes > KEY_BYTES_MAX {
                    window.broken = Some(Dropped::TooManyChanges);
                    window.keys = HashSet::new();
                }
            }
        }
        for (id, why) in self.breaking.drain(..) {
            if let Some(window) = self.open.iter_mut().find(|window| window.id == id) {
                window.broken.get_or_insert(why);
                window.keys = HashSet::new();
            }
        }
    }

    /// What the open transaction did so far never happened, or has not happened yet.
    pub(super) fn discard(&mut self) {
        self.pending.clear();
        self.breaking.clear();
        self.touching.clear();
    }

    /// A window whose rows are here and may be appended now, taken out; those that are broken are told so on the way.
    /// `passed` says whether the stream has passed a place, `current` whether a version of a table is in force.
    pub(super) fn take_due(
        &mut self,
        passed: impl Fn(&(String, u64)) -> bool,
        current: impl Fn(&Window) -> bool,
    ) -> Option<Due> {
        let mut at = 0;
        while at < self.open.len() {
            let window = &self.open[at];
            let Some((chunk, _)) = &window.chunk else {
                at += 1;
                continue;
            };
            let broken = match window.broken {
                None if !passed(&chunk.high) => {
                    at += 1;
                    continue;
                }
                None if !current(window) => Some(Dropped::TableChanged),
                None if window.touched.as_ref().is_some_and(|place| is_up_to(place, &chunk.high)) => {
                    Some(Dropped::Touched)
                }
                broken => broken,
            };
            let mut window = self.open.remove(at);
            let Some((chunk, reply)) = window.chunk.take() else { continue };
            match broken {
                None => return Some(Due { window, chunk, reply }),
                Some(why) => drop(reply.send(Outcome::Dropped(why))),
            }
        }
        None
    }

    /// Whether rows wait for their place.
    pub(super) fn has_waiting(&self) -> bool {
        self.open.iter().any(|window| window.chunk.is_some())
    }
}

/// Whether a place lies at or before another, in files of one server.
fn is_up_to(place: &(String, u64), other: &(String, u64)) -> bool {
    match compare_files(&place.0, &other.0) {
        Some(Ordering::Less) => true,
        Some(Ordering::Equal) => place.1 <= other.1,
        Some(Ordering::Greater) | None => false,
    }
}

/// Appends the key of a row, in a form that is the same for a row of the stream and for one that was read from the
/// table; columns that `image` lacks are taken from `other`. False when a column of the key is in neither.
///
/// # Errors
/// The image does not decode.
pub fn append_key(
    plan: &TablePlan,
    image: RowImage<'_>,
    other: Option<RowImage<'_>>,
    writer: &mut RowWriter,
    key: &mut Vec<u8>,
) -> Result<bool, DecodeError> {
    for &index in &plan.key {
        let cell = match (image.cell(index)?, other) {
            (Some(cell), _) => cell,
            (None, Some(other)) => match other.cell(index)? {
                Some(cell) => cell,
                None => return Ok(false),
            },
            (None, None) => return Ok(false),
        };
        let start = key.len();
        key.extend_from_slice(&[0; 4]);
        let def = &plan.defs[index];
        match cell.bytes {
            None => return Ok(false),
            Some(bytes) if cell.column.wire() == def.wire() && cell.column.meta() == def.meta() => {
                key.extend_from_slice(bytes);
            }
            // A server may lay a column out as an older one did (times of before 5.6.4) or name its type differently:
            // its value counts.
            Some(bytes) => {
                writer.begin();
                let value = cell.value()?;
                let written = writer.value(def, &value).is_ok();
                let image = written.then(|| writer.image(std::slice::from_ref(def))).transpose()?;
                let cell = image.map(|image| image.cell(0)).transpose()?.flatten();
                key.extend_from_slice(cell.and_then(|cell| cell.bytes).unwrap_or(bytes));
            }
        }
        if def.wire() == WireType::STRING {
            // CHAR and BINARY end without their padding, wherever they come from.
            let padding = if plan.columns[index].charset.is_binary() { 0 } else { b' ' };
            let kept = key[start + 4..].iter().rposition(|&b| b != padding).map_or(0, |at| at + 1);
            key.truncate(start + 4 + kept);
        }
        let length = u32::try_from(key.len() - start - 4).unwrap_or(u32::MAX);
        key[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
    Ok(true)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
