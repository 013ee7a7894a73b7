//! Filters: the condition of a table, in the language of SQL's WHERE, evaluated as the source evaluates the same text.
//!
//! | look in | for |
//! |---|---|
//! | [`error`](FilterError), [`EvalError`] | what can be wrong with a condition, and with a row |
//! | `lexer`, `parse`, `syntax` | text to a tree |
//! | `compile` | a tree and a table to a program: types, collations, what differs between servers |
//! | `evaluate`, `decimal`, `moment`, `like` | a program over a row |
//! | `collation` | the order of text |
//! | [`FilterImages`], [`Verdict`] | which images are asked, and what becomes of a change |
//!
//! What a condition means is what it means in a session set as [`Session`] says. Whatever is not known to be evaluated
//! exactly as by the server is refused when the condition is compiled. An error of the server (a BIGINT out of range)
//! is an error here: the table parks, as it would fail in the snapshot's query.

mod collation;
mod compile;
mod decimal;
mod error;
mod evaluate;
mod images;
mod lexer;
mod like;
mod moment;
mod parse;
mod program;
mod syntax;
mod words;

use jiff::tz::TimeZone;

pub use compile::Session;
pub use error::{EvalError, FilterError, FilterFault, Place};
pub use images::{FilterImages, Verdict};

use crate::binlog::{Cell, RowImage};
use crate::change::plan::TablePlan;
use crate::change::schema::Column;
use crate::change::{Op, RowChange};
use evaluate::Row;
use program::Node;

/// A condition that is well formed, for any table.
#[derive(Debug, Clone)]
pub struct Parsed {
    expr: syntax::Expr,
}

/// A condition for the rows of one plan. Holds no state between rows.
#[derive(Debug)]
pub struct Filter {
    root: Node,
    /// Places in the table of the columns it reads, in order.
    slots: Vec<usize>,
    columns: Vec<Column>,
    zone: TimeZone,
}

/// Columns of a condition that are read without an allocation.
const CELLS: usize = 8;

impl Parsed {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is no condition of the language, and where.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::parse(text).map(|expr| Self { expr })
    }

    /// Makes a filter of it for the rows of a plan that names the columns as the source does.
    ///
    /// # Errors
    /// Columns that the table lacks; types, collations and server versions for which the condition is not evaluated
    /// exactly.
    pub fn compile(&self, plan: &TablePlan, session: &Session) -> Result<Filter, FilterError> {
        let program = compile::compile(&self.expr, plan, session)?;
        let columns = program.slots.iter().map(|&at| plan.columns[at].clone()).collect();
        Ok(Filter { root: program.root, slots: program.slots, columns, zone: session.zone.clone() })
    }
}

impl Filter {
    /// Reads a condition; the same as [`Parsed::parse`].
    ///
    /// # Errors
    /// As there.
    pub fn parse(text: &str) -> Result<Parsed, FilterError> {
        Parsed::parse(text)
    }

    /// The columns that it reads, by the source's names.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| &*column.name)
    }

    /// What becomes of a change. A condition that is NULL does not match.
    ///
    /// # Errors
    /// A row that does not decode or lacks a column, and what the server would refuse.
    pub fn judge(&self, row: &RowChange<'_>, op: Op, images: FilterImages) -> Result<Verdict, EvalError> {
        let old = || row.before.ok_or(EvalError::NoImage("before"));
        let new = || row.after.ok_or(EvalError::NoImage("after"));
        let matches = |image, fallback| Ok::<_, EvalError>(self.evaluate(image, fallback)? == Some(true));
        let (before, after) = match op {
            Op::Insert => (false, matches(new()?, None)?),
            Op::Delete => (matches(old()?, None)?, false),
            Op::Update => {
                let before = matches(old()?, None)?;
                let after = (before || images.needs_new()) && matches(new()?, row.before)?;
                (before, after)
            }
        };
        Ok(images.verdict(op, before, after))
    }

    /// The condition's truth on one image; none is NULL. What the image lacks is taken from `fallback`: the image before
    /// an update, for columns that it left as they were.
    ///
    /// # Errors
    /// As [`Filter::judge`].
    pub fn evaluate(&self, image: RowImage<'_>, fallback: Option<RowImage<'_>>) -> Result<Option<bool>, EvalError> {
        if let [at] = self.slots[..]
            && image.present().is_full()
        {
            return self.evaluate_one(at, image);
        }
        if self.slots.len() <= CELLS {
            let mut cells = [const { None }; CELLS];
            self.evaluate_into(&mut cells[..self.slots.len()], image, fallback)
        } else {
            self.evaluate_into(&mut vec![None; self.slots.len()], image, fallback)
        }
    }

    fn evaluate_into<'r>(
        &'r self,
        cells: &'r mut [Option<Cell<'r>>],
        image: RowImage<'r>,
        fallback: Option<RowImage<'r>>,
    ) -> Result<Option<bool>, EvalError> {
        if let Some(fallback) = fallback.filter(|_| !image.present().is_full()) {
            self.read(cells, fallback)?;
        }
        self.read(cells, image)?;
        let row = Row { cells, columns: &self.columns, zone: &self.zone };
        row.truth(&self.root)
    }

    /// The same for a condition on one column, as most are.
    #[inline]
    fn evaluate_one(&self, at: usize, image: RowImage<'_>) -> Result<Option<bool>, EvalError> {
        for cell in image.cells() {
            let cell = cell?;
            if cell.index == at {
                let row = Row { cells: &[Some(cell)], columns: &self.columns, zone: &self.zone };
                return row.truth(&self.root);
            }
        }
        Err(EvalError::Absent { column: self.columns[0].name.to_string() })
    }

    /// Takes the cells that are needed and goes no further than the last of them.
    #[inline]
    fn read<'r>(&self, cells: &mut [Option<Cell<'r>>], image: RowImage<'r>) -> Result<(), EvalError> {
        let mut slots = self.slots.iter().zip(cells).peekable();
        if slots.peek().is_none() {
            return Ok(());
        }
        for cell in image.cells() {
            let cell = cell?;
            while let Some((at, _)) = slots.peek()
                && **at < cell.index
            {
                slots.next();
            }
            match slots.peek_mut() {
                None => break,
                Some((at, place)) if **at == cell.index => {
                    **place = Some(cell);
                    slots.next();
                    if slots.peek().is_none() {
                        break;
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
