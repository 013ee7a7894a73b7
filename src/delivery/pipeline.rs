//! Reading ahead: blocks are read in order, decoded and encoded by several threads, and come out in order again.
//!
//! Everything is bounded: blocks at work by `workers`, blocks waiting by a queue twice as long, batches of a block by
//! [`super::outlet::BATCHES_WAITING`]. A sink that does not take batches stops encoders, these stop the reading.

use std::collections::BTreeSet;
use std::sync::Arc;

use relay_store::{Durable, Gap, GapReason, RawBlock, Read, ReadError, Reader, Seq};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::DeliveryError;
use super::heartbeat::{Place, Pulse};
use super::outlet::{BATCHES_WAITING, Gone, Outlet, Pool};
use super::park::TableFault;
use crate::format::registry::RegistryError;
use crate::sink::{Batch, SinkError};

/// Raw blocks read in one go, at most: by number and by stored bytes.
const READ_BLOCKS: usize = 4;
const READ_BYTES: usize = 1 << 20;

/// Turns a block into records; pure CPU, called for several blocks at once.
pub trait Encode: Send + Sync + 'static {
    /// Decodes the block and puts its records into the outlet, in order.
    ///
    /// # Errors
    /// What of it cannot be delivered; records before that place are in the outlet already.
    fn encode(&self, block: RawBlock, out: &mut Outlet) -> Result<(), EncodeError>;

    /// Whether blocks must come one after the other, because a record depends on those before it.
    fn is_sequential(&self) -> bool;

    /// What heartbeats begin with when everything up to `acked` was delivered; none: there are none. Reads the log.
    ///
    /// # Errors
    /// The log does not read.
    fn pulse(&self, acked: Seq) -> Result<Option<Pulse>, EncodeError>;

    /// Heartbeats that say `place`, one for each topic, as a batch that covers nothing new. May ask a registry.
    ///
    /// # Errors
    /// The registry gives no id.
    fn heartbeat(&self, place: &Place, topics: &BTreeSet<String>) -> Result<Batch, EncodeError>;
}

/// What of a block cannot be delivered.
#[derive(Debug)]
pub enum EncodeError {
    /// Tables whose rows do not decode: these alone park.
    Tables(Vec<TableFault>),
    /// The block does not verify.
    Gap(Gap),
    /// An entry that belongs to no table does not decode.
    Entry {
        /// The entry.
        seq: Seq,
        /// What is wrong.
        reason: String,
    },
    /// Schema versions could not be read.
    Read(ReadError),
    /// The schema registry gave no id.
    Registry(RegistryError),
    /// The destination did not say what its tables are like.
    Sink(Box<SinkError>),
    /// Nobody takes the records any more.
    Gone,
}

impl EncodeError {
    /// What it means for the delivery with that cursor.
    pub(super) fn of_delivery(self, cursor: &str) -> DeliveryError {
        match self {
            Self::Tables(faults) => DeliveryError::Interrupted(format!("{} tables are to be parked", faults.len())),
            Self::Gap(gap) | Self::Read(ReadError::Gap(gap)) => DeliveryError::of_gap(cursor, gap),
            Self::Entry { seq, reason } => DeliveryError::Decode { seq, reason },
            Self::Read(error) => DeliveryError::Read(error),
            Self::Registry(error) => DeliveryError::Registry(error),
            Self::Sink(error) => DeliveryError::Sink(*error),
            Self::Gone => DeliveryError::Interrupted("an encoder was cut off".to_owned()),
        }
    }

    /// A block that could not be read.
    pub(super) fn of_read(error: ReadError) -> Self {
        match error {
            ReadError::Gap(gap) => Self::Gap(gap),
            error => Self::Read(error),
        }
    }
}

impl From<Gone> for EncodeError {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// What comes out of the pipeline, in the order of the log.
#[derive(Debug)]
pub(super) enum Step {
    /// Records, and the entries that they cover.
    Batch(Batch),
    /// These tables must be parked before anything further is delivered.
    Faults(Vec<TableFault>),
    /// The last seq asked for was covered.
    End,
}

/// A block at work: its batches as they come, and how it ended.
struct AtWork {
    batches: mpsc::Receiver<Batch>,
    done: JoinHandle<Result<(), EncodeError>>,
    last: Seq,
}

enum Unit {
    Block(AtWork),
    Gap(Gap),
    Failed(DeliveryError),
    End,
}

/// See the module. Dropping it ends the reading; encoders at work end at their next batch.
pub(super) struct Pipeline {
    cursor: String,
    units: mpsc::Receiver<Unit>,
    current: Option<AtWork>,
    /// Taken from `units` to see whether there is one.
    ahead: Option<Unit>,
    pool: Pool,
    covered: Seq,
    reading: JoinHandle<()>,
}

/// What the pipeline reads, and how far.
pub(super) struct Range {
    /// First seq wanted.
    pub(super) from: Seq,
    /// Last seq wanted; none: follow the tail.
    pub(super) through: Option<Seq>,
}

impl Pipeline {
    pub(super) fn start(
        cursor: &str,
        reader: Reader,
        durable: Durable,
        range: Range,
        workers: usize,
        encoder: Arc<dyn Encode>,
    ) -> Self {
        let (to, units) = mpsc::channel(2 * workers);
        let pool = Pool::default();
        let covered = range.from.prev();
        let feed = Feed { durable, range, permits: Arc::new(Semaphore::new(workers)), encoder, pool: pool.clone(), to };
        let reading = tokio::spawn(feed.run(reader));
        Self { cursor: cursor.to_owned(), units, current: None, ahead: None, pool, covered, reading }
    }

    /// Whether a batch is at hand, or a block that makes one is at work. False may be wrong for a moment; true is
    /// followed by a batch, or by the end of what this pipeline is for.
    pub(super) fn has_more(&mut self) -> bool {
        if self.current.as_ref().is_some_and(|block| !block.batches.is_empty()) {
            return true;
        }
        if self.ahead.is_none() {
            self.ahead = self.units.try_recv().ok();
        }
        matches!(self.ahead, Some(Unit::Block(_)))
    }

    /// The next step. Waits at the tail.
    ///
    /// Dropping the future loses nothing: the next call goes on.
    pub(super) async fn next(&mut self) -> Result<Step, DeliveryError> {
        loop {
            if let Some(block) = &mut self.current {
                if let Some(batch) = block.batches.recv().await {
                    self.covered = self.covered.max(batch.last);
                    return Ok(Step::Batch(batch));
                }
                let outcome = (&mut block.done).await;
                let last = block.last;
                self.current = None;
                match outcome {
                    Ok(Ok(())) => self.covered = self.covered.max(last),
                    Ok(Err(error)) => return self.failed(error),
                    Err(join) => return Err(self.died(join)),
                }
            }
            let unit = match self.ahead.take() {
                Some(unit) => Some(unit),
                None => self.units.recv().await,
            };
            match unit {
                Some(Unit::Block(block)) => self.current = Some(block),
                Some(Unit::Gap(gap)) => match gap.reason {
                    // What was lost there was captured again further on: nothing is skipped.
                    GapReason::LostEnd => {
                        tracing::warn!(cursor = %self.cursor, %gap, "passing what the log's end lost and captured again");
                    }
                    _ => return Err(DeliveryError::of_gap(&self.cursor, gap)),
                },
                Some(Unit::Failed(error)) => return Err(error),
                Some(Unit::End) => return Ok(Step::End),
                None => return Err(DeliveryError::Interrupted("reading ended".to_owned())),
            }
        }
    }

    /// Gives a batch's memory back.
    pub(super) fn recycle(&self, batch: Batch) {
        self.pool.give(batch);
    }

    fn failed(&self, error: EncodeError) -> Result<Step, DeliveryError> {
        match error {
            EncodeError::Tables(faults) => Ok(Step::Faults(faults)),
            error => Err(error.of_delivery(&self.cursor)),
        }
    }

    fn died(&self, join: tokio::task::JoinError) -> DeliveryError {
        if !join.is_panic() {
            return DeliveryError::Interrupted("an encoder was cancelled".to_owned());
        }
        DeliveryError::Panic { after: self.covered, message: panic_text(&*join.into_panic()) }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

/// The reading side.
struct Feed {
    durable: Durable,
    range: Range,
    permits: Arc<Semaphore>,
    encoder: Arc<dyn Encode>,
    pool: Pool,
    to: mpsc::Sender<Unit>,
}

/// What one trip to the log brought.
struct Haul {
    reader: Reader,
    blocks: Vec<RawBlock>,
    end: HaulEnd,
}

enum HaulEnd {
    More,
    CaughtUp,
    Gap(Gap),
    Failed(ReadError),
}

impl Feed {
    async fn run(self, mut reader: Reader) {
        let mut next = self.range.from;
        loop {
            if self.range.through.is_some_and(|through| next > through) {
                let _ = self.to.send(Unit::End).await;
                return;
            }
            let haul = tokio::task::spawn_blocking(move || haul(reader, next)).await;
            let haul = match haul {
                Ok(haul) => haul,
                Err(join) => {
                    let message =
                        if join.is_panic() { panic_text(&*join.into_panic()) } else { "cancelled".to_owned() };
                    let _ = self.to.send(Unit::Failed(DeliveryError::Panic { after: next.prev(), message })).await;
                    return;
                }
            };
            reader = haul.reader;
            for block in haul.blocks {
                next = block.last_seq().next();
                if self.start_block(block).await.is_err() {
                    return;
                }
            }
            match haul.end {
                HaulEnd::More => {}
                HaulEnd::CaughtUp if self.range.through.is_some_and(|through| next > through) => {}
                HaulEnd::CaughtUp => {
                    // Woken by the group commit that makes the next entry visible.
                    if let Err(error) = self.durable.wait_visible_past(next.prev()).await {
                        let _ = self.to.send(Unit::Failed(DeliveryError::Interrupted(error.to_string()))).await;
                        return;
                    }
                }
                HaulEnd::Gap(gap) => {
                    next = gap.last.next();
                    let passable = gap.reason == GapReason::LostEnd;
                    if self.to.send(Unit::Gap(gap)).await.is_err() || !passable {
                        return;
                    }
                }
                HaulEnd::Failed(error) => {
                    let _ = self.to.send(Unit::Failed(DeliveryError::Read(error))).await;
                    return;
                }
            }
        }
    }

    /// Starts a worker on the block; waits for a free one, and for room in the queue.
    async fn start_block(&self, block: RawBlock) -> Result<(), Gone> {
        let place = self.to.reserve().await.map_err(|_| Gone)?;
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Gone)?;
        let (sender, batches) = mpsc::channel(BATCHES_WAITING);
        let last = block.last_seq();
        let (encoder, pool) = (self.encoder.clone(), self.pool.clone());
        let done = tokio::task::spawn_blocking(move || {
            let mut outlet = Outlet::new(sender, pool);
            let outcome = encoder.encode(block, &mut outlet).and_then(|()| Ok(outlet.finish()?));
            drop(permit);
            outcome
        });
        place.send(Unit::Block(AtWork { batches, done, last }));
        Ok(())
    }
}

fn haul(mut reader: Reader, from: Seq) -> Haul {
    let mut blocks = Vec::with_capacity(READ_BLOCKS);
    let (mut next, mut bytes) = (from, 0);
    let end = loop {
        if blocks.len() == READ_BLOCKS || bytes >= READ_BYTES {
            break HaulEnd::More;
        }
        match reader.read(next) {
            Ok(Read::Block(block)) => {
                (next, bytes) = (block.last_seq().next(), bytes + block.bytes());
                blocks.push(block);
            }
            Ok(Read::Gap(gap)) => break HaulEnd::Gap(gap),
            Ok(Read::CaughtUp) => break HaulEnd::CaughtUp,
            Err(error) => break HaulEnd::Failed(error),
        }
    };
    Haul { reader, blocks, end }
}
