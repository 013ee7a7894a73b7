//! Where each record stands in its transaction. Blocks are then encoded one after the other, and what a transaction
//! holds is counted ahead of its first record: the log is on disk, so nothing needs to be held back in memory.

use std::collections::HashMap;

use relay_store::{Block, Read, Reader, Seq};

use crate::change::decode::Change;
use crate::change::schema::TableName;
use crate::change::{EventPlace, TxBoundary};
use crate::delivery::pipeline::EncodeError;
use crate::format::TxPlace;

/// The transaction that the encoder is in.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Transactions that begin in the block at work and what they hold, if known, in order.
    ahead: Vec<(Seq, Option<u64>)>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    begin: (Seq, EventPlace),
    size: Option<u64>,
    row: u64,
    /// In the order in which they came.
    tables: Vec<(TableName, u64)>,
    places: HashMap<TableName, usize>,
}

impl Places {
    /// Before a block: what the transactions hold that begin in it.
    pub(super) fn expect(&mut self, ahead: Vec<(Seq, Option<u64>)>) {
        self.ahead = ahead;
    }

    /// A transaction begins.
    pub(super) fn begin(&mut self, begin: &TxBoundary<'_>) {
        let size = self.ahead.iter().find(|(seq, _)| *seq == begin.seq).and_then(|(_, size)| *size);
        let begin = (begin.seq, begin.place);
        self.open = Some(Open { begin, size, row: 0, tables: Vec::new(), places: HashMap::new() });
    }

    /// Where the open transaction began, as long as nothing of it was sent.
    pub(super) fn unsent(&self) -> Option<(Seq, EventPlace)> {
        self.open.as_ref().filter(|open| open.row == 0).map(|open| open.begin)
    }

    /// It ends: the tables it sent records of, and how many.
    pub(super) fn end(&mut self) -> Vec<(TableName, u64)> {
        self.open.take().map(|open| open.tables).unwrap_or_default()
    }

    /// Whether a transaction is open: nothing of it is acknowledged before its end, so that a new life counts from its
    /// first record again.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The place of the next record, which is of this table.
    pub(super) fn next(&mut self, table: &TableName) -> TxPlace {
        // A life that begins within a transaction does not know what went before.
        let Some(open) = &mut self.open else { return TxPlace { row: 1, table_row: 1, size: None, last: false } };
        open.row += 1;
        let at = match open.places.get(table) {
            Some(&at) => at,
            None => {
                open.tables.push((table.clone(), 0));
                open.places.insert(table.clone(), open.tables.len() - 1);
                open.tables.len() - 1
            }
        };
        let count = &mut open.tables[at].1;
        *count += 1;
        TxPlace { row: open.row, table_row: *count, size: open.size, last: open.size == Some(open.row) }
    }
}

/// Counts records by transaction, block after block.
pub(super) struct Count {
    limit: u64,
    found: Vec<(Seq, Option<u64>)>,
    open: bool,
}

impl Count {
    /// Up to `limit` records a transaction; beyond, their number is not known.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, found: Vec::new(), open: false }
    }

    fn change(&mut self, change: &Change<'_>, count: &mut dyn FnMut(&Change<'_>) -> u64) {
        match change {
            Change::Begin(begin) => {
                self.found.push((begin.seq, Some(0)));
                self.open = true;
            }
            Change::Commit(_) => self.open = false,
            Change::Rows(_) if self.open => {
                let Some((_, size)) = self.found.last_mut() else { return };
                *size = size.map(|size| size + count(change)).filter(|size| *size <= self.limit);
            }
            _ => {}
        }
    }

    /// Whether the last transaction goes on behind what was counted, and its number can still become known.
    fn goes_on(&self) -> bool {
        self.open && self.found.last().is_some_and(|(_, size)| size.is_some())
    }

    /// Counts the transactions that begin in `block`, reading on to the end of the last one. `decode` gives a block's
    /// changes, `count` how many records one makes.
    pub(super) fn ahead(
        mut self,
        block: &Block,
        reader: &mut Reader,
        decode: impl Fn(&Block, &mut dyn FnMut(Change<'_>) -> Result<(), EncodeError>) -> Result<(), EncodeError>,
        count: &mut dyn FnMut(&Change<'_>) -> u64,
    ) -> Result<Vec<(Seq, Option<u64>)>, EncodeError> {
        let mut first_pass = |change: Change<'_>| {
            self.change(&change, count);
            Ok(())
        };
        decode(block, &mut first_pass)?;
        let mut next = block.last_seq().next();
        while self.goes_on() {
            let Read::Block(raw) = reader.read(next).map_err(EncodeError::Read)? else {
                // A gap: it stops the delivery when it gets there.
                self.forget_last();
                break;
            };
            next = raw.last_seq().next();
            let begun = self.found.len();
            let block = raw.decode().map_err(EncodeError::of_read)?;
            decode(&block, &mut |change| {
                // Only the end of that one transaction is of interest.
                if self.open && self.found.len() == begun {
                    self.change(&change, count);
                }
                Ok(())
            })?;
        }
        if self.open {
            self.forget_last();
        }
        Ok(self.found)
    }

    fn forget_last(&mut self) {
        if let Some((_, size)) = self.found.last_mut() {
            *size = None;
        }
        self.open = false;
    }
}
