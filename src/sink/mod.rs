//! What every destination implements: three methods, cumulative acks, failures with a class.
//!
//! A sink accepts batches in order and says, through [`Progress`], up to which seq everything is durable at its
//! destination. It never says so of a seq while anything at or below it is not durable, or failed. What follows
//! from an ack or a failure (the cursor, a retry, parking) is the delivery's business.

pub mod batch;
#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
pub(crate) mod faults;
pub mod file;
pub mod kafka;
pub mod maxcompute;
pub mod memory;
mod progress;

use std::future::Future;
use std::sync::Arc;

use relay_store::{CursorEpoch, Seq};
use thiserror::Error;

pub use batch::{Batch, Event, Note, Operation, Origin, Record, Span};
pub use progress::{Progress, Report};

use crate::change::schema::TableName;
use crate::failure::{Class, Failure};

/// A destination. One sink serves one life of one delivery: opened once, closed once.
pub trait Sink: Send {
    /// Makes the destination ready, taking up where [`Opening`] says. Repeating it after a failed attempt is safe. A
    /// destination that knows itself to have more acks it here, and passes it over when it is given again.
    ///
    /// # Errors
    /// Transient when the destination cannot be reached, definite when it refuses or contradicts the state.
    fn open(&mut self, opening: Opening) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Accepts the batch, which follows the previous one, and returns what is durable now. That may trail the
    /// batch: later acks, and failures of what was accepted, come through [`Progress`]. Waits while too much is
    /// in flight. A future dropped before its end leaves the batch accepted in part; only `close` may follow.
    ///
    /// # Errors
    /// Nothing at or after the failed place is acked, also not later.
    fn deliver(&mut self, batch: &Batch) -> impl Future<Output = Result<Ack, SinkError>> + Send;

    /// Waits a bounded time for what was accepted and returns the last ack of this life.
    ///
    /// # Errors
    /// Something accepted is known to be lost; what was acked before holds.
    fn close(&mut self) -> impl Future<Output = Result<Ack, SinkError>> + Send;
}

/// Where a sink takes up its work.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The cursor's name; names the delivery towards the destination.
    pub cursor: String,
    /// The cursor's epoch; a reset raises it.
    pub epoch: CursorEpoch,
    /// Everything up to here was acked in an earlier life; the first batch begins after it.
    pub acked: Seq,
    /// The last entry that may be delivered at the moment.
    pub end: Seq,
    /// The log's uuid.
    pub store: [u8; 16],
    /// Set when one table alone is delivered again up to the cursor: names the table and where that began.
    pub replay: Option<String>,
    /// The sink's own bytes, as the last committed ack carried them, also after a reset; empty at the very first start.
    pub state: Vec<u8>,
    /// Where acks and failures are reported.
    pub progress: Progress,
    /// Makes the sink's own bytes durable at once, for a sink that must know that they are; it then leaves acks without any.
    pub keeper: Option<Arc<dyn Keep>>,
}

/// Writes a sink's own bytes beside its cursor.
pub trait Keep: std::fmt::Debug + Send + Sync {
    /// Everything up to `seq` is delivered, and these are the sink's own bytes: both durable on return, in one batch. May
    /// wait for the disk.
    ///
    /// # Errors
    /// Nothing was written: the cursor was moved meanwhile, or the store does not write.
    fn keep(&self, seq: Seq, state: &[u8]) -> Result<(), SinkError>;
}

impl Opening {
    /// The first life of a cursor's first epoch, with a progress of its own.
    pub fn new(cursor: impl Into<String>, acked: Seq, state: Vec<u8>) -> Self {
        let progress = Progress::new(acked);
        let (cursor, epoch, end) = (cursor.into(), CursorEpoch::default(), Seq(u64::MAX));
        Self { cursor, epoch, acked, end, store: [0; 16], replay: None, state, progress, keeper: None }
    }
}

/// What is durable at the destination: everything up to `seq`, inclusive. Cumulative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The last seq that is durable together with all before it.
    pub seq: Seq,
    /// The sink's own bytes to be committed with the cursor at this seq; none: they did not change.
    pub state: Option<Vec<u8>>,
}

/// Why a sink could not go on.
#[derive(Debug, Clone, Error)]
#[error("{reason}")]
pub struct SinkError {
    /// What the delivery may do about it.
    pub class: Class,
    /// What happened, with the names of topic, file or record.
    pub reason: String,
    /// The operator's next step, when there is one.
    pub next_step: Option<String>,
    /// What the destination refuses us, when it does.
    pub refusal: Option<Refusal>,
    /// The record that it is about, when it is about one.
    pub place: Option<Box<Place>>,
    /// Where the destination knows the cursor to stand, in a later epoch than the one it was opened with.
    pub cursor: Option<(CursorEpoch, Seq)>,
    /// The sink has learnt what another life goes on with at once, from what was acked. It says so once for each thing.
    pub anew: bool,
    /// The one table that it is about, from this entry on: it parks, and the others go on.
    pub parks: Option<Box<(TableName, Seq)>>,
}

/// What a destination refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The account, its password, or how it is proved.
    Login,
    /// A certificate, ours or its own.
    Certificate,
    /// What the account may not do.
    Access,
}

/// A record at fault: where it stands in the log and which table it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Entry of the record.
    pub seq: Seq,
    /// Row within the entry.
    pub row: u32,
    /// `database.table`.
    pub table: String,
}

impl SinkError {
    /// A failure that retrying can cure.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self::new(Class::Transient, reason.into())
    }

    /// A failure that only an operator can cure.
    pub fn definite(reason: impl Into<String>) -> Self {
        Self::new(Class::Definite, reason.into())
    }

    /// No failure: the sink has learnt what another life goes on with at once.
    pub fn anew(reason: impl Into<String>) -> Self {
        Self { anew: true, ..Self::transient(reason) }
    }

    fn new(class: Class, reason: String) -> Self {
        Self { class, reason, next_step: None, refusal: None, place: None, cursor: None, anew: false, parks: None }
    }

    /// Adds what the operator can do.
    pub fn advise(mut self, next_step: impl Into<String>) -> Self {
        self.next_step = Some(next_step.into());
        self
    }

    /// Says what the destination refuses.
    pub fn refused(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }

    /// Says where the destination knows the cursor to stand; the delivery takes it up there.
    pub fn stands_at(mut self, epoch: CursorEpoch, acked: Seq) -> Self {
        self.cursor = Some((epoch, acked));
        self
    }

    /// Says that it is about one table only, from this entry on.
    pub fn parks(mut self, table: TableName, first: Seq) -> Self {
        self.parks = Some(Box::new((table, first)));
        self
    }

    /// Names the record that it is about.
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(Box::new(place));
        self
    }
}

impl Failure for SinkError {
    fn class(&self) -> Class {
        self.class
    }

    fn next_step(&self) -> Option<String> {
        self.next_step.clone()
    }
}
