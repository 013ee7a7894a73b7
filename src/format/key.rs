//! The key of a row: which columns they are, their hash for the partition, their text as a message key.

use thiserror::Error;

use super::json::write_string;
use super::partition::KeyHash;
use super::text::{FormatError, Renderer};
use crate::binlog::{DecodeError, RowImage, Value};
use crate::change::plan::TablePlan;
use crate::change::{RowChange, RowsError};

/// A key that names a column which the table does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("table {table} has no column {column} for its key")]
pub struct UnknownKeyColumn {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
}

/// Key columns of a plan, in key order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyColumns(Vec<usize>);

/// Which image of a row is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// As it was: the half of a split update that deletes, and deletes themselves.
    Before,
    /// As it became.
    After,
}

impl KeyColumns {
    /// The table's own key; empty for a table without one.
    pub fn of(plan: &TablePlan) -> Self {
        Self(plan.key.clone())
    }

    /// The columns of these names.
    ///
    /// # Errors
    /// A name that no column of the table has.
    pub fn named<S: AsRef<str>>(plan: &TablePlan, names: &[S]) -> Result<Self, UnknownKeyColumn> {
        let place = |name: &str| {
            plan.columns.iter().position(|column| !column.dropped && column.name.eq_ignore_ascii_case(name))
        };
        let columns = names.iter().map(|name| {
            let unknown = || UnknownKeyColumn { table: plan.name.to_string(), column: name.as_ref().to_owned() };
            place(name.as_ref()).ok_or_else(unknown)
        });
        columns.collect::<Result<_, _>>().map(Self)
    }

    /// Places of the columns in the table, in key order.
    pub(super) fn places(&self) -> &[usize] {
        &self.0
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hash of the key for the partition.
    ///
    /// # Errors
    /// A key value that cannot be shown, or that no image of the row holds.
    pub fn hash(
        &self,
        plan: &TablePlan,
        row: &RowChange<'_>,
        side: Side,
        renderer: &mut Renderer,
        scratch: &mut Vec<u8>,
    ) -> Result<i32, FormatError> {
        let mut hash = KeyHash::default();
        for &at in &self.0 {
            let value = self.value(plan, row, side, at)?;
            scratch.clear();
            let column = &plan.columns[at];
            let text = if renderer.write_text(column, &value, scratch)? {
                Some(std::str::from_utf8(scratch).map_err(|_| FormatError::Kind { column: column.name.to_string() })?)
            } else {
                None
            };
            hash.add(text);
        }
        Ok(hash.value())
    }

    /// Appends the key as a compact JSON object of its columns in key order.
    ///
    /// # Errors
    /// As [`KeyColumns::hash`]; `out` then ends in the middle of it.
    pub fn write_object(
        &self,
        plan: &TablePlan,
        row: &RowChange<'_>,
        side: Side,
        renderer: &mut Renderer,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        out.push(b'{');
        for (place, &at) in self.0.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write_string(&plan.columns[at].name, out);
            out.push(b':');
            let value = self.value(plan, row, side, at)?;
            renderer.write_json(&plan.columns[at], &value, out)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// Whether an update changed a key column. A column that one image lacks did not change.
    ///
    /// # Errors
    /// A row that does not decode.
    pub fn changed(&self, row: &RowChange<'_>) -> Result<bool, FormatError> {
        let (Some(before), Some(after)) = (row.before, row.after) else { return Ok(false) };
        let held = |image, at| {
            held(image, at).map_err(|source| FormatError::Rows(RowsError::Decode { index: row.index, source }))
        };
        for &at in &self.0 {
            if let (Some(was), Some(now)) = (held(before, at)?, held(after, at)?)
                && was != now
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The value of the key column at `at` of the table.
    ///
    /// # Errors
    /// A value that does not decode, or that no image of the row holds.
    pub(super) fn value<'a>(
        &self,
        plan: &TablePlan,
        row: &RowChange<'a>,
        side: Side,
        at: usize,
    ) -> Result<Value<'a>, FormatError> {
        let (image, other) = match side {
            Side::Before => (row.before, None),
            // What a partial after image lacks did not change.
            Side::After => (row.after, row.before),
        };
        for image in [image, other].into_iter().flatten() {
            let value = image.get(at);
            let wrong = |source| FormatError::Value { column: plan.columns[at].name.to_string(), source };
            if let Some(value) = value.map_err(wrong)? {
                return Ok(value);
            }
        }
        Err(FormatError::KeyMissing { column: plan.columns[at].name.to_string() })
    }
}

/// The bytes of a column in an image: the outer none when the image lacks it, the inner one for NULL.
fn held(image: RowImage<'_>, at: usize) -> Result<Option<Option<&[u8]>>, DecodeError> {
    for cell in image.cells() {
        let cell = cell?;
        if cell.index >= at {
            return Ok((cell.index == at).then_some(cell.bytes));
        }
    }
    Ok(None)
}
