//! Row images from values: the bytes that [`RowImage`] reads, for rows that no binlog event holds (changed by a script,
//! read by a snapshot). A column whose value did not change is copied without being decoded.
//!
//! ```text
//! null bits   one for each column the image holds, low bit first
//! values      of those that are not NULL, in column order, each as its column lays it out
//! ```

mod temporal;
mod value;

use thiserror::Error;

use super::column::{ColumnDef, Width};
use super::decimal::DigitsError;
use super::error::DecodeError;
use super::rows::RowImage;
use super::value::Value;

/// A value that its column cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A kind of value that the column's type has no form for.
    #[error("a column of wire type {wire} cannot hold {kind}")]
    Kind {
        /// The column's type, as `WireType` numbers it.
        wire: u8,
        /// What was to be written.
        kind: &'static str,
    },
    /// A number, date or time outside what the type reaches.
    #[error("{what} is out of range")]
    Range {
        /// Which part.
        what: &'static str,
    },
    /// More bytes than the column takes.
    #[error("a value of {bytes} bytes is longer than the {limit} that the column takes")]
    TooLong {
        /// Bytes of the value.
        bytes: usize,
        /// Most bytes.
        limit: usize,
    },
    /// A decimal that does not fit its precision or scale.
    #[error(transparent)]
    Decimal(#[from] DigitsError),
    /// More columns than the definitions have, or a value for none.
    #[error("the row has more values than its table has columns")]
    Columns,
}

/// Writes one row image after the other into buffers of its own.
///
/// Between [`RowWriter::begin`] and [`RowWriter::image`], each column in order gets one call: [`RowWriter::absent`],
/// [`RowWriter::null`], [`RowWriter::raw`] or [`RowWriter::value`]. Columns that get none are absent.
#[derive(Debug, Default)]
pub struct RowWriter {
    present: Vec<u8>,
    nulls: Vec<u8>,
    values: Vec<u8>,
    /// The next column.
    index: usize,
    /// How many are present so far.
    held: usize,
}

impl RowWriter {
    /// A writer without a row.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a row; what was written before is gone.
    pub fn begin(&mut self) {
        self.present.clear();
        self.nulls.clear();
        self.values.clear();
        self.index = 0;
        self.held = 0;
    }

    /// The image lacks this column.
    pub fn absent(&mut self) {
        self.bit(false);
    }

    /// NULL.
    pub fn null(&mut self) {
        self.bit(true);
        self.null_bit(true);
    }

    /// The bytes of a value as [`Cell::bytes`](super::Cell::bytes) gives them: without a length in front.
    ///
    /// # Errors
    /// When they cannot be those of a value of the column; the row is then as before the call.
    pub fn raw(&mut self, column: &ColumnDef, bytes: &[u8]) -> Result<(), EncodeError> {
        put_sized(column, bytes, &mut self.values)?;
        self.bit(true);
        self.null_bit(false);
        Ok(())
    }

    /// A value of the column's type.
    ///
    /// # Errors
    /// When the column cannot hold it; the row is then as before the call.
    pub fn value(&mut self, column: &ColumnDef, value: &Value<'_>) -> Result<(), EncodeError> {
        if matches!(value, Value::Null) {
            self.null();
            return Ok(());
        }
        let start = self.values.len();
        let written = value::write(column, value, &mut self.values);
        if let Err(error) = written {
            self.values.truncate(start);
            return Err(error);
        }
        self.bit(true);
        self.null_bit(false);
        Ok(())
    }

    /// The row as an image of these columns, all of which had their call; the image borrows the writer.
    ///
    /// # Errors
    /// When other columns were written than these.
    pub fn image<'a>(&'a self, columns: &'a [ColumnDef]) -> Result<RowImage<'a>, DecodeError> {
        RowImage::from_parts(columns, &self.present, &self.nulls, &self.values)
    }

    /// Appends the row as it lies in a rows event whose images hold the same columns.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.nulls);
        out.extend_from_slice(&self.values);
    }

    fn bit(&mut self, present: bool) {
        if self.index.is_multiple_of(8) {
            self.present.push(0);
        }
        if let (true, Some(last)) = (present, self.present.last_mut()) {
            *last |= 1 << (self.index % 8);
        }
        self.index += 1;
    }

    fn null_bit(&mut self, null: bool) {
        if self.held.is_multiple_of(8) {
            self.nulls.push(0);
        }
        if let (true, Some(last)) = (null, self.nulls.last_mut()) {
            *last |= 1 << (self.held % 8);
        }
        self.held += 1;
    }
}

/// Appends the bytes of a value, behind their length where the column has one.
fn put_sized(column: &ColumnDef, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let limit = match column.width() {
        Width::Fixed(n) if bytes.len() == usize::from(n) => {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        Width::Fixed(_) => return Err(EncodeError::Range { what: "the width of a value" }),
        Width::Prefixed(n) => {
            let limit = if n >= 4 { u32::MAX as usize } else { (1usize << (8 * n)) - 1 };
            if bytes.len() <= limit {
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes()[..usize::from(n)]);
                out.extend_from_slice(bytes);
                return Ok(());
            }
            limit
        }
    };
    Err(EncodeError::TooLong { bytes: bytes.len(), limit })
}

#[cfg(test)]
mod tests;
