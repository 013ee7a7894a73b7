//! One row's values: `data`, and what `old` holds of an update.

use super::fragments::{Fragments, Way};
use super::{CanalJson, OldColumns};
use crate::binlog::column::WireType;
use crate::binlog::decimal::Decimal;
use crate::binlog::time::{DateTime, Timestamp};
use crate::binlog::value;
use crate::binlog::{Cell, Value};
use crate::change::RowChange;
use crate::change::schema::Column;
use crate::format::images::{Lockstep, base_of, column, row_error, value_error};
use crate::format::number;
use crate::format::text::FormatError;
use crate::format::window::Window;

impl CanalJson {
    /// The row as it became, or as it was when it is gone. A column that a partial after image lacks did not change:
    /// it comes from the before image when that has it, else it is left out.
    pub(super) fn write_data(
        &mut self,
        fragments: &Fragments,
        columns: &[Column],
        row: &RowChange<'_>,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        let start = out.at();
        match (row.before, row.after) {
            (Some(before), Some(after)) if !after.present().is_full() => {
                let (mut before, mut after) = (Lockstep::new(before), Lockstep::new(after));
                for index in 0..columns.len() {
                    let was = before.at(index).map_err(|source| row_error(row, source))?;
                    let now = after.at(index).map_err(|source| row_error(row, source))?;
                    if let Some(cell) = now.or(was) {
                        self.write_rare(fragments, columns, row, &cell, out)?;
                    }
                }
            }
            (before, after) => {
                if let Some(image) = after.or(before) {
                    for cell in image.cells() {
                        let cell = cell.map_err(|source| row_error(row, source))?;
                        self.write_cell(fragments, columns, row, &cell, out)?;
                    }
                }
            }
        }
        close_object(start, out);
        Ok(())
    }

    pub(super) fn write_old(
        &mut self,
        fragments: &Fragments,
        columns: &[Column],
        row: &RowChange<'_>,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        let start = out.at();
        if let (Some(before), Some(after)) = (row.before, row.after) {
            if self.old == OldColumns::Changed && before.present().is_full() && after.present().is_full() {
                for (was, now) in before.cells().zip(after.cells()) {
                    let was = was.map_err(|source| row_error(row, source))?;
                    let now = now.map_err(|source| row_error(row, source))?;
                    if self.differs(columns, &was, Some(&now))? {
                        self.write_cell(fragments, columns, row, &was, out)?;
                    }
                }
                close_object(start, out);
                return Ok(());
            }
            let mut changed = Lockstep::new(after);
            for cell in before.cells() {
                let cell = cell.map_err(|source| row_error(row, source))?;
                if self.old == OldColumns::Changed {
                    let now = changed.at(cell.index).map_err(|source| row_error(row, source))?;
                    if !self.differs(columns, &cell, now.as_ref())? {
                        continue;
                    }
                }
                self.write_rare(fragments, columns, row, &cell, out)?;
            }
        }
        close_object(start, out);
        Ok(())
    }

    /// Whether a column changed. One that the after image lacks did not.
    fn differs<'a>(&mut self, columns: &[Column], was: &Cell<'a>, now: Option<&Cell<'a>>) -> Result<bool, FormatError> {
        let Some(now) = now else { return Ok(false) };
        self.comparison.differs(&mut self.renderer, columns, was, now)
    }

    /// As `write_cell`, for partial images.
    #[inline(never)]
    fn write_rare(
        &mut self,
        fragments: &Fragments,
        columns: &[Column],
        row: &RowChange<'_>,
        cell: &Cell<'_>,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        self.write_cell(fragments, columns, row, cell, out)
    }

    // A call for each cell would cost a tenth of the whole.
    #[inline(always)]
    fn write_cell(
        &mut self,
        fragments: &Fragments,
        columns: &[Column],
        row: &RowChange<'_>,
        cell: &Cell<'_>,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        let Some(member) = fragments.columns.get(cell.index).and_then(Option::as_ref) else { return Ok(()) };
        let column = column(columns, cell.index)?;
        out.put_piece(&member.name);
        let start = out.at();
        let Some(bytes) = cell.bytes else {
            out.back_to(start - 1);
            out.put(b"null");
            return Ok(());
        };
        match &member.way {
            Way::Unsigned => out.put_number(value::unsigned(bytes)),
            Way::Signed => out.put_signed(value::signed(bytes)),
            way @ (Way::Utf8 | Way::AsciiSuperset) => {
                let put = out.put_plain(bytes);
                if put < bytes.len() {
                    // What was put is ASCII, so that the rest begins with a character.
                    match std::str::from_utf8(&bytes[put..]) {
                        Ok(rest) if matches!(way, Way::Utf8) => out.put_escaped(rest),
                        _ => return self.write_value(column, row, cell, start - 1, out),
                    }
                }
            }
            Way::Label(labels) => match labels.get((value::unsigned(bytes) as usize).wrapping_sub(1)) {
                Some(label) => out.put_piece(label),
                None => return self.write_value(column, row, cell, start - 1, out),
            },
            Way::DateTime(fsp) => {
                let moment = DateTime::from_wire2(bytes, *fsp);
                out.put_with(|to| moment.write_to(to));
            }
            Way::Timestamp(fsp) => {
                let moment = Timestamp::from_wire(bytes, WireType::TIMESTAMP2, *fsp);
                let moment = self.renderer.local(moment);
                out.put_with(|to| moment.write_to(to));
            }
            Way::Double => {
                match number::plain_double(f64::from_bits(value::unsigned(bytes)), &mut zmij::Buffer::new()) {
                    Some(text) => out.put_short(text),
                    None => return self.write_value(column, row, cell, start - 1, out),
                }
            }
            Way::Decimal(precision, scale) => match Decimal::new(bytes, *precision, *scale) {
                Some(decimal) => out.put_with(|to| decimal.write_to(to)),
                None => return self.write_value(column, row, cell, start - 1, out),
            },
            Way::Value => return self.write_value(column, row, cell, start - 1, out),
        }
        out.put(b"\"");
        Ok(())
    }

    /// Writes a value of any kind, its quotes included, from `start` on.
    fn write_value(
        &mut self,
        column: &Column,
        row: &RowChange<'_>,
        cell: &Cell<'_>,
        start: usize,
        out: &mut Window<'_>,
    ) -> Result<(), FormatError> {
        out.back_to(start);
        out.append(|out| match cell.value().map_err(|source| value_error(column, source))? {
            Value::JsonDiff(diff) => {
                let base = base_of(row, column, cell.index)?;
                self.renderer.write_json_diff(column, base.as_ref(), diff, out)
            }
            value => self.renderer.write_json(column, &value, out),
        })
    }
}

/// Makes an object of members that were each written with a comma in front.
#[inline]
fn close_object(start: usize, out: &mut Window<'_>) {
    if out.at() == start {
        out.put(b"{");
    } else {
        out.set(start, b'{');
    }
    out.put(b"}");
}
