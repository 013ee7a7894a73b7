//! The two images of a row side by side: which cells stand for the row as it is now, and which of them changed.

use crate::binlog::column::WireType;
use crate::binlog::rows::Cells;
use crate::binlog::{Cell, DecodeError, RowImage, Value};
use crate::change::schema::Column;
use crate::change::{RowChange, RowsError};
use crate::format::text::{FormatError, Renderer};

/// The cells of one image, asked for by rising column numbers.
pub(super) struct Lockstep<'a> {
    cells: Cells<'a>,
    next: Option<Cell<'a>>,
}

impl<'a> Lockstep<'a> {
    pub(super) fn new(image: RowImage<'a>) -> Self {
        Self { cells: image.cells(), next: None }
    }

    fn peek(&mut self) -> Result<Option<Cell<'a>>, DecodeError> {
        if self.next.is_none() {
            self.next = self.cells.next().transpose()?;
        }
        Ok(self.next)
    }

    /// The cell of column `index`, if the image has it; indexes must rise.
    pub(super) fn at(&mut self, index: usize) -> Result<Option<Cell<'a>>, DecodeError> {
        while let Some(cell) = self.peek()? {
            if cell.index > index {
                return Ok(None);
            }
            self.next = None;
            if cell.index == index {
                return Ok(Some(cell));
            }
        }
        Ok(None)
    }
}

/// Visits the row as it became, or as it was when it is gone, in column order. A column that a partial after image
/// lacks did not change: it comes from the before image when that has it, else it is left out.
///
/// # Errors
/// A row that does not decode, or the first that `visit` gives.
pub(super) fn each_current<'a>(
    row: &RowChange<'a>,
    visit: impl FnMut(&Cell<'a>) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    match (row.before, row.after) {
        (Some(before), Some(after)) if !after.present().is_full() => {
            let mut visit = visit;
            let columns = after.columns().len();
            let (mut before, mut after) = (Lockstep::new(before), Lockstep::new(after));
            for index in 0..columns {
                let was = before.at(index).map_err(|source| row_error(row, source))?;
                let now = after.at(index).map_err(|source| row_error(row, source))?;
                if let Some(cell) = now.or(was) {
                    visit(&cell)?;
                }
            }
            Ok(())
        }
        (before, after) => match after.or(before) {
            Some(image) => each(row, image, visit),
            None => Ok(()),
        },
    }
}

/// Visits the cells of one image of the row, in column order.
///
/// # Errors
/// As [`each_current`].
pub(super) fn each<'a>(
    row: &RowChange<'_>,
    image: RowImage<'a>,
    mut visit: impl FnMut(&Cell<'a>) -> Result<(), FormatError>,
) -> Result<(), FormatError> {
    for cell in image.cells() {
        visit(&cell.map_err(|source| row_error(row, source))?)?;
    }
    Ok(())
}

/// Tells whether columns changed. Has scratch buffers.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    was: Vec<u8>,
    now: Vec<u8>,
}

impl Comparison {
    /// Visits the columns of an update that changed: as they were (none when only the after image has the column), and
    /// as they are. A column that the after image lacks did not change.
    ///
    /// # Errors
    /// As [`each_current`].
    pub(super) fn each_changed<'a>(
        &mut self,
        renderer: &mut Renderer,
        columns: &[Column],
        row: &RowChange<'a>,
        mut visit: impl FnMut(&mut Renderer, Option<&Cell<'a>>, &Cell<'a>) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let (Some(before), Some(after)) = (row.before, row.after) else { return Ok(()) };
        let mut before = Lockstep::new(before);
        for now in after.cells() {
            let now = now.map_err(|source| row_error(row, source))?;
            let was = before.at(now.index).map_err(|source| row_error(row, source))?;
            match &was {
                Some(was) if !self.differs(renderer, columns, was, &now)? => {}
                was => visit(renderer, was.as_ref(), &now)?,
            }
        }
        Ok(())
    }

    /// Whether a column changed: its bytes differ; for documents, whose binary form is not unique, their text.
    ///
    /// # Errors
    /// A document that does not decode.
    pub(super) fn differs<'a>(
        &mut self,
        renderer: &mut Renderer,
        columns: &[Column],
        was: &Cell<'a>,
        now: &Cell<'a>,
    ) -> Result<bool, FormatError> {
        let (was_bytes, now_bytes) = match (was.bytes, now.bytes) {
            (None, None) => return Ok(false),
            (None, Some(_)) | (Some(_), None) => return Ok(true),
            (Some(was), Some(now)) => (was, now),
        };
        if now.column.wire() != WireType::JSON {
            return Ok(was_bytes != now_bytes);
        }
        let column = column(columns, was.index)?;
        let value = |cell: &Cell<'a>| cell.value().map_err(|source| value_error(column, source));
        let (was_value, now_value) = (value(was)?, value(now)?);
        self.now.clear();
        match now_value {
            Value::JsonDiff(diff) => renderer.write_json_diff(column, Some(&was_value), diff, &mut self.now)?,
            _ if was_bytes == now_bytes => return Ok(false),
            value => renderer.write_json(column, &value, &mut self.now)?,
        }
        self.was.clear();
        renderer.write_json(column, &was_value, &mut self.was)?;
        Ok(self.was != self.now)
    }
}

/// The value that differences of a partial update apply to.
///
/// # Errors
/// A value that does not decode.
pub(super) fn base_of<'a>(
    row: &RowChange<'a>,
    column: &Column,
    index: usize,
) -> Result<Option<Value<'a>>, FormatError> {
    row.before.map_or(Ok(None), |before| before.get(index)).map_err(|source| value_error(column, source))
}

pub(super) fn column(columns: &[Column], index: usize) -> Result<&Column, FormatError> {
    columns.get(index).ok_or_else(|| FormatError::Kind { column: format!("number {index}") })
}

pub(super) fn row_error(row: &RowChange<'_>, source: DecodeError) -> FormatError {
    FormatError::Rows(RowsError::Decode { index: row.index, source })
}

pub(super) fn value_error(column: &Column, source: DecodeError) -> FormatError {
    FormatError::Value { column: column.name.to_string(), source }
}
