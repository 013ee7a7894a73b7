//! One image of a row, and the cells in it.

use super::{ColumnSet, bit};
use crate::binlog::column::{ColumnDef, WireType};
use crate::binlog::error::{DecodeError, Result};
use crate::binlog::reader::Reader;
use crate::binlog::value::Value;

/// A row as it was or became: slices of the event. Partial images lack columns, which is not the same as NULL.
#[derive(Debug, Clone, Copy)]
pub struct RowImage<'a> {
    pub(super) columns: &'a [ColumnDef],
    pub(super) present: ColumnSet<'a>,
    pub(super) nulls: &'a [u8],
    pub(super) partial: &'a [u8],
    pub(super) values: &'a [u8],
}

/// One value of an image, not decoded yet.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    /// Which column of the table, from 0.
    pub index: usize,
    /// The column.
    pub column: &'a ColumnDef,
    /// The bytes of the value, without a length in front; `None` is NULL.
    pub bytes: Option<&'a [u8]>,
    is_diff: bool,
}

impl<'a> Cell<'a> {
    /// Decodes the value.
    ///
    /// # Errors
    /// When the bytes are not those of a value of the column's type.
    #[inline]
    pub fn value(&self) -> Result<Value<'a>> {
        match self.bytes {
            None => Ok(Value::Null),
            Some(bytes) if self.is_diff => Ok(Value::JsonDiff(bytes)),
            Some(bytes) => Value::decode(self.column, bytes),
        }
    }
}

impl<'a> RowImage<'a> {
    /// An image of parts that did not lie in an event together: which columns it holds, which of those are NULL, the
    /// values of the others. Bits are low first.
    ///
    /// # Errors
    /// When the parts do not fit the columns.
    pub(in crate::binlog) fn from_parts(
        columns: &'a [ColumnDef],
        present: &'a [u8],
        nulls: &'a [u8],
        values: &'a [u8],
    ) -> Result<RowImage<'a>> {
        let present = ColumnSet::new(present, columns.len());
        if nulls.len() != present.len().div_ceil(8) {
            let (needed, left) = (present.len().div_ceil(8) as u64, nulls.len());
            return Err(DecodeError::Short { what: "null bits", needed, left });
        }
        let image = RowImage { columns, present, nulls, partial: &[], values };
        let mut cells = image.cells();
        cells.by_ref().try_for_each(|cell| cell.map(drop))?;
        match cells.rest.len() {
            0 => Ok(image),
            left => Err(DecodeError::Trailing { what: "the values of an image", left }),
        }
    }

    /// The columns of the table, those that the image lacks included.
    pub fn columns(&self) -> &'a [ColumnDef] {
        self.columns
    }

    /// Bytes of its values, their lengths included.
    pub fn size(&self) -> usize {
        self.values.len()
    }

    /// Which columns the image holds.
    pub fn present(&self) -> ColumnSet<'a> {
        self.present
    }

    /// The cells that are there, in the order of the columns. Passing one by costs no decoding.
    #[inline]
    pub fn cells(&self) -> Cells<'a> {
        Cells {
            image: *self,
            whole: self.present.is_full(),
            index: 0,
            null_at: 0,
            json_at: 0,
            rest: Reader::new(self.values),
        }
    }

    /// Column numbers and values of the columns that are there.
    #[inline]
    pub fn values(&self) -> impl Iterator<Item = Result<(usize, Value<'a>)>> + use<'a> {
        self.cells().map(|cell| cell.and_then(|cell| Ok((cell.index, cell.value()?))))
    }

    /// The value of one column; `None` when the image lacks it.
    ///
    /// # Errors
    /// As [`Cell::value`].
    pub fn get(&self, index: usize) -> Result<Option<Value<'a>>> {
        self.cell(index)?.map(|cell| cell.value()).transpose()
    }

    /// The cell of one column; `None` when the image lacks it.
    ///
    /// # Errors
    /// An image whose values are cut, which none from [`Rows`](super::Rows) is.
    pub fn cell(&self, index: usize) -> Result<Option<Cell<'a>>> {
        if !self.present.contains(index) {
            return Ok(None);
        }
        for cell in self.cells() {
            let cell = cell?;
            if cell.index == index {
                return Ok(Some(cell));
            }
        }
        Ok(None)
    }
}

/// The cells of an image.
#[derive(Debug, Clone)]
pub struct Cells<'a> {
    image: RowImage<'a>,
    /// It holds every column.
    whole: bool,
    index: usize,
    null_at: usize,
    json_at: usize,
    pub(super) rest: Reader<'a>,
}

impl<'a> Iterator for Cells<'a> {
    type Item = Result<Cell<'a>>;

    // A cell that goes through memory costs more than what is done with it.
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let index = self.index;
            let column = self.image.columns.get(index)?;
            self.index += 1;
            let mut is_diff = false;
            if !self.image.partial.is_empty() && column.wire() == WireType::JSON {
                // Bits of every JSON column of the table, held by the image or not.
                is_diff = bit(self.image.partial, self.json_at);
                self.json_at += 1;
            }
            if !self.whole && !self.image.present.contains(index) {
                continue;
            }
            let null = bit(self.image.nulls, self.null_at);
            self.null_at += 1;
            if null {
                return Some(Ok(Cell { index, column, bytes: None, is_diff: false }));
            }
            return Some(match column.width().take(&mut self.rest) {
                Ok(bytes) => Ok(Cell { index, column, bytes: Some(bytes), is_diff }),
                Err(error) => {
                    self.index = self.image.columns.len();
                    Err(error)
                }
            });
        }
    }
}
