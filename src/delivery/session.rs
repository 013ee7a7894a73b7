//! One life of a sink: opened, given what the pipeline brings, watched, closed; the cursor moves on its acks.

mod keeper;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relay_store::{CursorError, CursorState, Cursors, Seq};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use keeper::CursorKeeper;
use waiting::{STALL_AFTER, Waiting};

use super::heartbeat::Heartbeats;
use super::ledger::Ledger;
use super::park::{self, Release, Scope, TableFault};
use super::parts::Parts;
use super::pipeline::{Encode, Pipeline, Range, Step};
use super::throttle::Throttle;
use super::{DeliveryContext, DeliveryError};
use crate::config::Window;
use crate::sink::{Ack, Batch, Opening, Progress, Sink};
use crate::status::{Problem, State, TopicWidth, now_ms, now_us};

/// How often the cursor is moved, and looked at for a reset, a pause or a release.
const TICK: Duration = Duration::from_secs(1);
/// Heartbeats while the sink says that it waits: enough to notice that it no longer does, too few to pile up.
const HEARTBEAT_IN_TROUBLE: Duration = Duration::from_secs(60);

/// How long a life that is to end may take for the rest of an entry that it has begun to give.
const ENTRY_PATIENCE: Duration = Duration::from_secs(5);

/// No seq: a batch is on its way to the sink.
const GIVING: u64 = u64::MAX;

/// What a life is about.
pub(super) enum Work {
    /// From the cursor on, without end.
    Stream,
    /// A released table, up to the cursor.
    Replay(Release),
}

/// How a life ended, when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The delivery was told to stop.
    Shutdown,
    /// Something about the cursor changed: it is to be read again.
    Again,
}

/// What the delivering side came to.
enum Pumped {
    Faults(Vec<TableFault>),
    Done,
    /// At the end of an entry, as it was told.
    Ended,
}

/// See the module.
pub(super) struct Session<'a> {
    context: &'a DeliveryContext,
    cursor: CursorState,
    work: Work,
    progress: Progress,
    ledger: Mutex<Ledger>,
    pending: Mutex<Pending>,
    /// Rung when something is owed again after nothing was.
    owing: Notify,
    /// The highest seq given to the sink in any life of this delivery.
    given: &'a AtomicU64,
    /// Told to come to the end of an entry.
    ending: CancellationToken,
    /// The entry of which the sink has a part, which the next life would give it again; 0: none. [`GIVING`]: perhaps.
    begun: AtomicU64,
}

/// What was acked and is not committed yet.
struct Pending {
    ack: Ack,
    committed: Seq,
}

/// A mutex of this task alone; nothing panics between two writes under it that belong together.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Session<'a> {
    pub(super) fn new(context: &'a DeliveryContext, cursor: CursorState, work: Work, given: &'a AtomicU64) -> Self {
        let start = match &work {
            Work::Stream => cursor.acked,
            Work::Replay(release) => release.first.prev(),
        };
        let pending = Pending { ack: Ack { seq: cursor.acked, state: None }, committed: cursor.acked };
        Self {
            context,
            cursor,
            work,
            progress: Progress::new(start),
            ledger: Mutex::default(),
            pending: Mutex::new(pending),
            owing: Notify::new(),
            given,
            ending: CancellationToken::new(),
            begun: AtomicU64::new(0),
        }
    }

    /// The changes that this life delivers.
    pub(super) fn scope(&self) -> Scope {
        match &self.work {
            Work::Stream => Scope::stream(&self.cursor),
            Work::Replay(release) => Scope::Replay { table: release.table.clone(), through: self.cursor.acked },
        }
    }

    pub(super) async fn run<S: Sink>(self, mut sink: S, encoder: Arc<dyn Encode>) -> Result<End, DeliveryError> {
        let range = match &self.work {
            Work::Stream => Range { from: self.cursor.acked.next(), through: None },
            Work::Replay(release) => Range { from: release.first, through: Some(self.cursor.acked) },
        };
        let store = &self.context.store;
        let workers = if encoder.is_sequential() { 1 } else { self.context.config.workers };
        let (reader, durable, made) = (store.reader(), store.durable(), Arc::clone(&encoder));
        let mut pipeline = Pipeline::start(&self.cursor.name, reader, durable, range, workers, made);
        let outcome = self.drive(&mut sink, &mut pipeline, &encoder).await;
        // Upstream first: nothing more is read or encoded while the sink drains.
        drop(pipeline);
        let closed = sink.close().await;
        if let Ok(ack) = &closed {
            self.note(ack.clone());
        }
        self.note(self.progress.take_ack());
        self.settle();
        let cursors = store.cursors();
        match self.commit_durable(&cursors).await {
            // A reset while it drained: the acks belong to the old life.
            Err(CursorError::StaleEpoch { .. }) => return Ok(End::Again),
            committed => committed?,
        }
        match outcome {
            // The cause, not the consequence: what the sink said first of why it stopped.
            Err(DeliveryError::Sink(error)) => {
                let error = self.progress.failure().unwrap_or(error);
                // What it learnt as it closed may be the cure of what it failed for.
                let anew = closed.as_ref().err().into_iter().chain([&error]).find(|error| error.anew);
                if let Some((table, seq)) = error.parks.as_deref() {
                    let fault = TableFault { table: table.clone(), seq: *seq, reason: error.reason.clone() };
                    return self.park(&cursors, vec![fault]).await;
                }
                let Some(anew) = anew else { return Err(error.into()) };
                tracing::info!(cursor = %self.cursor.name, reason = %anew.reason, "the sink begins anew");
                Ok(End::Again)
            }
            Err(error) => Err(error),
            Ok(Ended::Told(end)) => Ok(end),
            Ok(Ended::Pumped(Pumped::Ended)) => Ok(End::Again),
            Ok(Ended::Pumped(Pumped::Faults(faults))) => self.park(&cursors, faults).await,
            Ok(Ended::Pumped(Pumped::Done)) => {
                closed?;
                self.release(&cursors).await
            }
        }
    }

    async fn drive<S: Sink>(
        &self,
        sink: &mut S,
        pipeline: &mut Pipeline,
        encoder: &Arc<dyn Encode>,
    ) -> Result<Ended, DeliveryError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut report = self.progress.subscribe();
        let mut waiting = Waiting::default();
        let pump = self.pump(sink, pipeline, encoder);
        tokio::pin!(pump);
        loop {
            let newest = lock(&self.ledger).newest();
            tokio::select! {
                biased;
                () = self.context.shutdown.cancelled() => {
                    self.end_entry(pump).await;
                    return Ok(Ended::Told(End::Shutdown));
                }
                error = self.progress.failed() => return Err(error.into()),
                pumped = &mut pump => return pumped.map(Ended::Pumped),
                () = self.acked_up_to(newest) => self.settle(),
                () = self.owing.notified() => {}
                _ = report.changed() => self.show(&mut waiting)?,
                _ = tick.tick() => {
                    self.note(self.progress.take_ack());
                    self.settle();
                    self.show(&mut waiting)?;
                    if let Some(end) = self.look_at_cursor()? {
                        self.end_entry(pump).await;
                        return Ok(Ended::Told(end));
                    }
                }
            }
        }
    }

    /// Lets the pump come to the end of the entry that it is in. What goes wrong meanwhile is told when the sink is closed.
    async fn end_entry(&self, pump: impl Future<Output = Result<Pumped, DeliveryError>>) {
        if self.begun.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.ending.cancel();
        tokio::select! {
            _ = tokio::time::timeout(ENTRY_PATIENCE, pump) => {}
            _ = self.progress.failed() => {}
        }
    }

    /// Opens the sink and gives it what the pipeline brings.
    async fn pump<S: Sink>(
        &self,
        sink: &mut S,
        pipeline: &mut Pipeline,
        encoder: &Arc<dyn Encode>,
    ) -> Result<Pumped, DeliveryError> {
        sink.open(Opening {
            cursor: self.cursor.name.clone(),
            epoch: self.cursor.epoch,
            acked: self.progress.acked(),
            end: self.context.store.positions().visible_seq,
            store: self.context.store.uuid(),
            replay: match &self.work {
                Work::Stream => None,
                Work::Replay(release) => Some(format!("{}@{}", release.table, release.first)),
            },
            state: self.cursor.sink_state.clone(),
            progress: self.progress.clone(),
            keeper: Some(Arc::new(CursorKeeper {
                cursors: self.context.store.cursors(),
                name: self.cursor.name.clone(),
                epoch: self.cursor.epoch,
                stands: match &self.work {
                    Work::Stream => None,
                    Work::Replay(_) => Some(self.cursor.acked),
                },
            })),
        })
        .await?;
        let (status, metrics) = (&self.context.status, &self.context.metrics);
        status.set_state(State::Running);
        let mut throttle = Throttle::new(self.context.throttle.clone());
        let mut heartbeats = self.heartbeats(encoder).await?;
        loop {
            let due = heartbeats.as_ref().and_then(Heartbeats::due);
            let step = tokio::select! {
                biased;
                () = at(due) => {
                    if let Some(heartbeats) = &mut heartbeats {
                        self.beat(sink, encoder, heartbeats).await?;
                    }
                    continue;
                }
                step = pipeline.next() => step?,
            };
            match step {
                Step::Batch(batch) => {
                    let mut parts = Parts::new(batch);
                    while let Some(mut part) = throttle.next(&mut parts, &self.ending, status, metrics).await {
                        // The next part of a batch waits for its time.
                        part.more = parts.is_done() && pipeline.has_more();
                        self.hand_over(sink, &part).await?;
                        heartbeats.iter_mut().for_each(|heartbeats| heartbeats.note(&part));
                        pipeline.recycle(part);
                        if self.ending.is_cancelled() && self.begun.load(Ordering::Relaxed) == 0 {
                            return Ok(Pumped::Ended);
                        }
                    }
                    pipeline.recycle(parts.into_batch());
                }
                Step::Faults(faults) => return Ok(Pumped::Faults(faults)),
                Step::End => {
                    self.progress.reached(self.cursor.acked).await;
                    return Ok(Pumped::Done);
                }
            }
        }
    }

    /// What heartbeats begin with, where the delivery has them.
    async fn heartbeats(&self, encoder: &Arc<dyn Encode>) -> Result<Option<Heartbeats>, DeliveryError> {
        if !matches!(self.work, Work::Stream) {
            return Ok(None);
        }
        let (encoder, acked) = (Arc::clone(encoder), self.cursor.acked);
        let asked = tokio::task::spawn_blocking(move || encoder.pulse(acked)).await;
        let asked = asked.map_err(|error| DeliveryError::Interrupted(format!("prepare heartbeats: {error}")))?;
        let pulse = asked.map_err(|error| error.of_delivery(&self.cursor.name))?;
        Ok(pulse.map(|pulse| Heartbeats::new(pulse, Instant::now())))
    }

    /// Gives the sink a heartbeat for each topic. They are owed to nobody, so that the ledger does not know them.
    async fn beat<S: Sink>(
        &self,
        sink: &mut S,
        encoder: &Arc<dyn Encode>,
        heartbeats: &mut Heartbeats,
    ) -> Result<(), DeliveryError> {
        let status = &self.context.status;
        let Some((place, topics)) = heartbeats.next(status.source_time_us(status.read().max(self.cursor.acked.0)))
        else {
            return Ok(());
        };
        let (encoder, topics) = (Arc::clone(encoder), topics.clone());
        let made = tokio::task::spawn_blocking(move || encoder.heartbeat(&place, &topics)).await;
        let made = made.map_err(|error| DeliveryError::Interrupted(format!("make heartbeats: {error}")))?;
        let batch = made.map_err(|error| error.of_delivery(&self.cursor.name))?;
        let ack = sink.deliver(&batch).await?;
        self.note(ack);
        let mut next = Instant::now();
        if self.progress.subscribe().borrow().trouble.is_some() {
            next += HEARTBEAT_IN_TROUBLE;
        }
        heartbeats.sent(next);
        Ok(())
    }

    async fn hand_over<S: Sink>(&self, sink: &mut S, batch: &Batch) -> Result<(), DeliveryError> {
        let before = self.given.fetch_max(batch.last.0, Ordering::Relaxed);
        if batch.last.0 <= before {
            self.context.metrics.resent.inc_by(batch.records.len() as u64);
        }
        if lock(&self.ledger).add(batch) {
            self.owing.notify_one();
        }
        let begun = self.begun.swap(GIVING, Ordering::Relaxed);
        let ack = sink.deliver(batch).await?;
        let newest = batch.records.last().map_or(begun, |record| batch.event_of(record).seq.0);
        self.begun.store(if newest > batch.last.0 { newest } else { 0 }, Ordering::Relaxed);
        self.note(ack);
        self.context.status.set_read(batch.last.0);
        Ok(())
    }

    async fn acked_up_to(&self, newest: Option<Seq>) {
        match newest {
            Some(seq) => self.progress.reached(seq).await,
            None => std::future::pending().await,
        }
    }

    /// Keeps an ack until it is committed. The state stays with the seq that it came with or a later one.
    fn note(&self, ack: Ack) {
        let mut pending = lock(&self.pending);
        if matches!(self.work, Work::Stream) {
            pending.ack.seq = pending.ack.seq.max(ack.seq);
        }
        if ack.state.is_some() {
            pending.ack.state = ack.state;
        }
    }

    /// Counts what was acked since the last time.
    fn settle(&self) {
        let acked = self.progress.acked();
        let mut ledger = lock(&self.ledger);
        let settled = ledger.settle(acked);
        let (records, bytes) = ledger.in_flight();
        drop(ledger);
        let (status, metrics) = (&self.context.status, &self.context.metrics);
        status.set_in_flight(records, bytes);
        if matches!(self.work, Work::Stream) {
            status.set_acked(acked.0);
        }
        metrics.rows.inc_by(settled.rows);
        metrics.records.inc_by(settled.records);
        metrics.bytes.inc_by(settled.bytes);
        metrics.transactions.inc_by(settled.transactions);
        let now = u64::try_from(now_us()).unwrap_or(0);
        for commit in settled.commits_us {
            // The source's clock may be ahead of ours; a negative latency says nothing.
            metrics.latency.observe(Duration::from_micros(now.saturating_sub(commit)).as_secs_f64());
        }
    }

    /// Moves the cursor when there is something to move, and sees what an operator did to it.
    fn look_at_cursor(&self) -> Result<Option<End>, CursorError> {
        let cursors = self.context.store.cursors();
        let Some(now) = cursors.get(&self.cursor.name) else {
            return Err(CursorError::Unknown { name: self.cursor.name.clone() });
        };
        let touched = now.epoch != self.cursor.epoch
            || now.paused
            || now.lost.is_some()
            || (matches!(self.work, Work::Stream) && park::release_wanted(&now).is_some());
        if touched {
            return Ok(Some(End::Again));
        }
        let mut pending = lock(&self.pending);
        if pending.ack.seq > pending.committed || pending.ack.state.is_some() {
            cursors.commit(&now.name, now.epoch, pending.ack.seq, pending.ack.state.as_deref())?;
            pending.committed = pending.ack.seq;
            pending.ack.state = None;
        }
        Ok(None)
    }

    async fn commit_durable(&self, cursors: &Cursors) -> Result<(), CursorError> {
        let (ack, moved) = {
            let pending = lock(&self.pending);
            (pending.ack.clone(), pending.ack.seq > pending.committed || pending.ack.state.is_some())
        };
        if !moved {
            return Ok(());
        }
        let (cursors, name, epoch) = (cursors.clone(), self.cursor.name.clone(), self.cursor.epoch);
        blocking(move || cursors.commit_durable(&name, epoch, ack.seq, ack.state.as_deref())).await
    }

    /// Shows in the status that the sink waits, or that it no longer does. Ends the life when it has waited for
    /// longer than the retry window and shall not go on by itself: then it has failed, until someone resumes it.
    fn show(&self, waiting: &mut Waiting) -> Result<(), DeliveryError> {
        if let Some(notice) = self.progress.take_notice() {
            self.context.status.set_notice(Some(notice));
        }
        for width in self.progress.take_widths() {
            if self.context.status.set_width(width.clone()) {
                let TopicWidth { topic, used, partitions } = width;
                tracing::warn!(
                    cursor = %self.cursor.name, topic, used, partitions,
                    "topic has grown; the old number of partitions stays in use until accept_partition_change = true"
                );
            }
        }
        let outstanding = lock(&self.ledger).newest().is_some() || self.context.status.state() == State::Starting;
        let trouble = self.progress.subscribe().borrow().trouble.clone();
        let silent = STALL_AFTER + self.progress.hold();
        let looked = waiting.look(Instant::now(), self.progress.acked(), outstanding, trouble, silent);
        let Some((reason, since)) = looked else {
            if matches!(self.context.status.state(), State::Retrying | State::Failed) {
                self.context.status.set_state(State::Running);
            }
            return Ok(());
        };
        let config = &self.context.config;
        let waited = since.elapsed();
        let left = match config.retry.connection {
            Window::Forever => None,
            Window::For(window) => Some(window.saturating_sub(waited)),
        };
        let mut over = left == Some(Duration::ZERO);
        if over && !config.auto_resume {
            return Err(DeliveryError::Waited { reason, waited });
        }
        // A life that waits before it has run goes on with what was said of those before it.
        let before = self.context.status.task().problem();
        over |= config.auto_resume && before.as_ref().is_some_and(|problem| problem.window_left_s == Some(0));
        let since_ms = now_ms() - i64::try_from(waited.as_millis()).unwrap_or(0);
        let state = if over { State::Failed } else { State::Retrying };
        if self.context.status.state() != state {
            tracing::warn!(cursor = %self.cursor.name, reason = %reason, "the sink waits");
        }
        self.context.status.task().set_problem(
            state,
            Problem {
                reason,
                next_step: None,
                attempts: before.as_ref().map_or(1, |problem| problem.attempts),
                since_ms: before.map_or(since_ms, |problem| problem.since_ms.min(since_ms)),
                retry_at_ms: None,
                window_left_s: if over { Some(0) } else { left.map(|left| left.as_secs()) },
                class: Some(crate::failure::Class::Transient),
            },
        );
        Ok(())
    }

    async fn park(&self, cursors: &Cursors, faults: Vec<TableFault>) -> Result<End, DeliveryError> {
        for fault in faults {
            tracing::error!(
                cursor = %self.cursor.name, table = %fault.table, seq = fault.seq.0, reason = %fault.reason,
                "table parked; the others go on"
            );
            let (cursors, name) = (cursors.clone(), self.cursor.name.clone());
            // IMPORTANT: the parked place is durable before the cursor may pass it; the other order would lose the
            // table's rows in a crash, and retention could take them.
            blocking(move || park::park(&cursors, &name, &fault)).await?;
        }
        Ok(End::Again)
    }

    async fn release(&self, cursors: &Cursors) -> Result<End, DeliveryError> {
        let Work::Replay(release) = &self.work else { return Ok(End::Again) };
        if self.progress.acked() < self.cursor.acked {
            return Err(DeliveryError::Interrupted("the replay of a table was cut off".to_owned()));
        }
        let (cursors, name, key) = (cursors.clone(), self.cursor.name.clone(), release.key.clone());
        blocking(move || cursors.release(&name, &key).map(drop)).await?;
        tracing::info!(cursor = %self.cursor.name, table = %release.table, "table released and replayed");
        Ok(End::Again)
    }
}

/// Waits for a moment; for ever without one.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

enum Ended {
    Told(End),
    Pumped(Pumped),
}

/// A cursor operation that waits for the disk.
pub(super) async fn blocking(
    operation: impl FnOnce() -> Result<(), CursorError> + Send + 'static,
) -> Result<(), CursorError> {
    // A join error means the runtime is going down, and the store with it.
    tokio::task::spawn_blocking(operation).await.unwrap_or(Err(CursorError::Closed))
}
