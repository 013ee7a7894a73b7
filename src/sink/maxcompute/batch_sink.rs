//! The sink that delivers by batch upload sessions: fills a window while the one before is carried in, and acks a window
//! when all of it is in.
//!
//! Keeps the promise of one row, once: what is in a table and what the cursor says are brought together by the journal,
//! which is written in the cursor's own batch.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use relay_store::Seq;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::courier::{Courier, Fence, Stop};
use super::journal::Journal;
use super::tables::Tables;
use super::window::{Filler, Filling};
use crate::sink::{Ack, Batch, Opening, Progress, Sink, SinkError};
use crate::status::DeliveryHandle;

/// How long a life that ends waits for the call at work.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Where the delivery and the courier meet.
#[derive(Debug)]
struct Desk {
    table: Mutex<OnDesk>,
    /// Rung when there is something for the courier.
    bell: Condvar,
    /// Rung when the courier took the window.
    taken: Notify,
}

#[derive(Debug)]
struct OnDesk {
    filling: Filling,
    /// Where the window being filled must end, because it was begun in an earlier life.
    through: Option<Seq>,
    /// It is to be taken as it is.
    closed: bool,
    stopped: bool,
}

/// What the courier finds on the desk.
enum Found {
    Window(Filling),
    /// Nothing up to here belongs into a table.
    Nothing(Seq),
    Stopped,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, OnDesk> {
        // Nothing panics between two writes that belong together.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a window that is old or large enough, and takes it.
    fn next(&self, interval: Duration, acked: Seq) -> Found {
        let mut desk = self.lock();
        loop {
            if desk.stopped {
                return Found::Stopped;
            }
            if desk.filling.since.is_none() && desk.through.is_none() && desk.filling.last > acked {
                return Found::Nothing(desk.filling.last);
            }
            let left = desk.filling.since.map(|since| interval.saturating_sub(since.elapsed()));
            let is_old = left == Some(Duration::ZERO) && desk.filling.is_whole() && desk.through.is_none();
            if desk.closed || is_old {
                let last = desk.filling.last;
                let window = std::mem::replace(&mut desk.filling, Filling::new(last));
                (desk.closed, desk.through) = (false, None);
                self.taken.notify_waiters();
                return Found::Window(window);
            }
            // One that is old and not whole is looked at again when more of it has come.
            let wait = left.filter(|left| !left.is_zero()).unwrap_or(interval).max(Duration::from_millis(10));
            desk = self.bell.wait_timeout(desk, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// See the module.
pub struct BatchSink {
    tables: Arc<Tables>,
    status: DeliveryHandle,
    /// Zone of DATETIME values, remembered with the cursor.
    zone: String,
    filler: Filler,
    open: Option<Open>,
}

struct Open {
    desk: Arc<Desk>,
    stop: Arc<Stop>,
    fence: Arc<Fence>,
    progress: Progress,
    /// Delivered in an earlier life of a replay.
    passed: Seq,
    ended: Option<oneshot::Receiver<()>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stop.tell();
        self.desk.lock().stopped = true;
        self.desk.bell.notify_all();
    }
}

impl BatchSink {
    /// A sink of these tables, which those who encode for it share; `zone` is that of their DATETIME values.
    pub fn new(tables: &Arc<Tables>, zone: &str, status: DeliveryHandle) -> Self {
        let filler = Filler::new(Arc::clone(tables));
        Self { tables: Arc::clone(tables), status, zone: zone.to_owned(), filler, open: None }
    }

    fn opened(&self) -> Result<&Open, SinkError> {
        self.open.as_ref().ok_or_else(|| SinkError::definite("the sink is not open"))
    }
}

impl Sink for BatchSink {
    async fn open(&mut self, opening: Opening) -> Result<(), SinkError> {
        let Opening { acked, replay, state, progress, keeper, .. } = opening;
        // A replay is told of the cursor that stays; it begins where its progress stands.
        let from = if replay.is_some() { progress.acked() } else { acked };
        let keeper = keeper.ok_or_else(|| SinkError::definite("nobody keeps the state of the delivery"))?;
        let mut journal = Journal::restore(&state, from, replay.as_deref()).map_err(|error| {
            SinkError::definite(error.to_string()).advise("deliver under another name, into tables of another suffix")
        })?;
        journal.set_zone(&self.zone);
        progress.ack(journal.acked());
        let interval = self.tables.config().flush_interval.0;
        progress.set_hold(interval + interval);
        let through = journal.cut();
        let filling = Filling::new(journal.acked());
        let desk = Arc::new(Desk {
            table: Mutex::new(OnDesk { filling, through, closed: false, stopped: false }),
            bell: Condvar::new(),
            taken: Notify::new(),
        });
        let (stop, fence) = (Arc::new(Stop::default()), Arc::new(Fence::new(keeper)));
        let (end, ended) = oneshot::channel();
        let passed = journal.acked();
        let courier = Courier {
            tables: Arc::clone(&self.tables),
            fence: Arc::clone(&fence),
            stop: Arc::clone(&stop),
            progress: progress.clone(),
            status: self.status.clone(),
        };
        let at = Arc::clone(&desk);
        // A thread of its own: it waits for minutes at times, and a process that ends does not wait for it.
        let thread = std::thread::Builder::new().name("maxcompute".to_owned()).spawn(move || {
            if let Err(error) = work(&courier, &at, journal, interval) {
                courier.progress.fail(error);
            }
            at.taken.notify_waiters();
            let _ = end.send(());
        });
        thread.map_err(|error| SinkError::transient(format!("begin a thread: {error}")))?;
        self.open = Some(Open { desk, stop, fence, progress, passed, ended: Some(ended) });
        Ok(())
    }

    async fn deliver(&mut self, batch: &Batch) -> Result<Ack, SinkError> {
        let flush_bytes = usize::try_from(self.tables.config().flush_bytes.0).unwrap_or(usize::MAX);
        let (desk, progress, passed) = {
            let open = self.opened()?;
            (Arc::clone(&open.desk), open.progress.clone(), open.passed)
        };
        let mut from = 0;
        loop {
            let taken = desk.taken.notified();
            tokio::pin!(taken);
            // Registered before the desk is looked at, so that no taking falls between.
            taken.as_mut().enable();
            if let Some(error) = progress.failure() {
                return Err(error);
            }
            let is_done = {
                let mut desk = desk.lock();
                let OnDesk { filling, through, closed, .. } = &mut *desk;
                if !*closed {
                    from = filling.add(&mut self.filler, batch, from, passed, *through)?;
                    match *through {
                        Some(through) if from < batch.records.len() || batch.last >= through => {
                            (filling.last, *closed) = (through, true);
                        }
                        _ => filling.last = filling.last.max(batch.last),
                    }
                    *closed |= filling.size() >= flush_bytes && filling.is_whole();
                    // What is behind the end of a window belongs to the next.
                    from == batch.records.len() && filling.last >= batch.last
                } else {
                    false
                }
            };
            desk.bell.notify_all();
            if is_done {
                return Ok(progress.take_ack());
            }
            taken.await;
        }
    }

    async fn close(&mut self) -> Result<Ack, SinkError> {
        let Some(mut open) = self.open.take() else { return Err(SinkError::transient("the sink is not open")) };
        let failed_before = open.progress.failure();
        open.stop.tell();
        open.desk.lock().stopped = true;
        open.desk.bell.notify_all();
        if let Some(ended) = open.ended.take()
            && tokio::time::timeout(CLOSE_MAX, ended).await.is_err()
        {
            tracing::warn!("a call to MaxCompute is still at work; what it did is asked after in the next life");
        }
        let fence = Arc::clone(&open.fence);
        // Only now: what the courier proved until then is kept.
        let closed = tokio::task::spawn_blocking(move || fence.close()).await;
        closed.map_err(|error| SinkError::transient(format!("close: {error}")))?;
        match failed_before {
            Some(error) => Err(error),
            None => Ok(open.progress.take_ack()),
        }
    }
}

fn work(courier: &Courier, desk: &Desk, mut journal: Journal, interval: Duration) -> Result<(), SinkError> {
    courier.settle(&mut journal)?;
    journal.resume();
    loop {
        match desk.next(interval, journal.acked()) {
            Found::Stopped => return Ok(()),
            Found::Nothing(last) => {
                journal.pass(last);
                courier.progress.ack(journal.acked());
            }
            Found::Window(window) => {
                let since = Instant::now();
                let (last, rows) = (window.last, window.rows);
                courier.carry(&mut journal, window)?;
                tracing::debug!(through = last.0, rows, took = ?since.elapsed(), "a window is in");
            }
        }
    }
}
