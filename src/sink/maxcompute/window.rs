//! A window in the making: rows of a stretch of the log, sorted into the units that they go up in.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::Arc;

use relay_store::Seq;
use tokio::time::Instant;

use super::compression::{Compression, Compressor};
use super::journal::UnitName;
use super::tables::{Kind, Tables};
use super::unit::Extent;
use crate::change::schema::TableName;
use crate::format::maxcompute::columns::{Partitions, record_id};
use crate::format::maxcompute::layout::TableColumn;
use crate::format::maxcompute::record::{Tally, checksum_of};
use crate::sink::{Batch, Operation, SinkError};

/// Bytes of a unit that are kept as they are: a compression at work takes more than this, and most units of many tables
/// stay below.
const PLAIN_MAX: usize = 256 << 10;

/// Rows of one table and partition.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) source: TableName,
    pub(super) kind: Kind,
    /// Columns of the table that the records were made for; it may have more by now.
    pub(super) columns: Vec<TableColumn>,
    /// First entry of the log with rows of it.
    pub(super) first: Seq,
    ids: (i64, i64),
    plain: Vec<u8>,
    compressor: Option<Compressor>,
    tally: Tally,
}

/// A unit's one block, and what tells its rows from others.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) body: Vec<u8>,
    pub(super) extent: Extent,
}

impl Rows {
    fn size(&self) -> usize {
        self.plain.len() + self.compressor.as_ref().map_or(0, Compressor::compressed)
    }

    fn add(&mut self, record: &[u8], id: i64, compression: Compression) -> Result<(), SinkError> {
        let broken = || SinkError::definite("a record without a checksum at its end");
        self.tally.add(checksum_of(record).ok_or_else(broken)?);
        self.ids = (self.ids.0.min(id), self.ids.1.max(id));
        self.plain.extend_from_slice(record);
        if self.plain.len() > PLAIN_MAX {
            self.press(compression).map_err(|error| out_of_memory(&error))?;
        }
        Ok(())
    }

    fn press(&mut self, compression: Compression) -> io::Result<()> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(compression)?),
        };
        compressor.write(&self.plain)?;
        self.plain.clear();
        Ok(())
    }

    /// The block, with its trailer.
    pub(super) fn finish(mut self, compression: Compression) -> Result<Block, SinkError> {
        let rows = self.tally.records();
        self.tally.write_trailer(&mut self.plain);
        self.press(compression).map_err(|error| out_of_memory(&error))?;
        let body = self.compressor.map_or(Ok(Vec::new()), Compressor::finish).map_err(|error| out_of_memory(&error))?;
        let ids = (self.kind == Kind::Log).then_some(self.ids);
        Ok(Block { body, extent: Extent { ids, rows } })
    }
}

fn out_of_memory(error: &io::Error) -> SinkError {
    SinkError::transient(format!("compress a block: {error}"))
}

/// See the module.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) units: BTreeMap<UnitName, Rows>,
    /// Everything up to here is in it, as far as it belongs into a table.
    pub(super) last: Seq,
    /// Entry of the newest row: one that goes on in the next batch is beyond `last`.
    newest: Seq,
    /// When its first row came.
    pub(super) since: Option<Instant>,
    pub(super) rows: u64,
    size: usize,
}

/// What a window is filled with.
pub(super) struct Filler {
    tables: Arc<Tables>,
    partitions: Partitions,
    /// The partition of the last row, and its second.
    partition: (i64, String),
}

impl Filler {
    pub(super) fn new(tables: Arc<Tables>) -> Self {
        let config = tables.config();
        let partitions = Partitions::new(config.partitions.len(), config.naming, config.partition_clock());
        Self { tables, partitions, partition: (i64::MIN, String::new()) }
    }

    fn partition(&mut self, second: i64) -> &str {
        if self.partition.0 != second {
            self.partition = (second, String::new());
            self.partitions.write_spec(second, &mut self.partition.1);
        }
        &self.partition.1
    }
}

impl Filling {
    pub(super) fn new(last: Seq) -> Self {
        Self { units: BTreeMap::new(), last, newest: last, since: None, rows: 0, size: 0 }
    }

    /// Bytes that it holds.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether it ends where an entry does. The rows of an entry never lie in two windows: they share their ids.
    pub(super) fn is_whole(&self) -> bool {
        self.newest <= self.last
    }

    /// Takes the records of a batch from `from` on whose entries are beyond `passed`, up to those beyond `through`; the
    /// place of the first that it did not take.
    pub(super) fn add(
        &mut self,
        filler: &mut Filler,
        batch: &Batch,
        from: usize,
        passed: Seq,
        through: Option<Seq>,
    ) -> Result<usize, SinkError> {
        let config = Arc::clone(filler.tables.config());
        for (at, record) in batch.records.iter().enumerate().skip(from) {
            let event = batch.event_of(record);
            if through.is_some_and(|through| event.seq > through) {
                return Ok(at);
            }
            let Some(value) = record.value.filter(|_| event.seq > passed) else { continue };
            let table = &event.origin.destination;
            let partition = match record.operation {
                Operation::Snapshot => String::new(),
                _ => filler.partition(event.timestamp_ms.div_euclid(1000)).to_owned(),
            };
            let name = UnitName { table: table.clone(), partition };
            let unit = match self.units.entry(name) {
                Entry::Occupied(unit) => unit.into_mut(),
                Entry::Vacant(place) => {
                    let unknown = || SinkError::transient(format!("nothing is known of the table {table}"));
                    let shape = filler.tables.shape(table).ok_or_else(unknown)?;
                    place.insert(Rows {
                        source: shape.source,
                        kind: shape.kind,
                        columns: shape.columns,
                        first: event.seq,
                        ids: (i64::MAX, i64::MIN),
                        plain: Vec::new(),
                        compressor: None,
                        tally: Tally::default(),
                    })
                }
            };
            let id = record_id(event.seq, record.row, config.record_id_base).ok_or_else(|| {
                SinkError::definite(format!("entry {} is beyond what record ids can name", event.seq))
            })?;
            let before = unit.size();
            unit.add(batch.get(value), id, config.compression)?;
            self.size = (self.size + unit.size()).saturating_sub(before);
            self.newest = self.newest.max(event.seq);
            self.rows += 1;
            if self.since.is_none() {
                self.since = Some(Instant::now());
            }
        }
        Ok(batch.records.len())
    }
}
