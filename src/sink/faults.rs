//! A sink that fails on purpose, around another one: rejects, fails after writing, holds its acks, or is slow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Ack, Batch, Opening, Progress, Sink, SinkError};

/// What happens to one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: it passes.
    Pass,
    /// It is refused before it is written.
    Reject,
    /// It is written, and then the sink fails without an ack.
    FailAfterWrite,
    /// It is written, and neither it nor what follows is ever acked.
    Hold,
    /// It is taken after this long.
    Slow(Duration),
}

/// Faults to come, one a batch, over all lives of a sink. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<VecDeque<Fault>>>);

impl Faults {
    pub(crate) fn new(faults: impl IntoIterator<Item = Fault>) -> Self {
        Self(Arc::new(Mutex::new(faults.into_iter().collect())))
    }

    fn next(&self) -> Fault {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front().unwrap_or(Fault::Pass)
    }

    pub(crate) fn left(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// See the module.
pub(crate) struct FaultySink<S> {
    inner: S,
    faults: Faults,
    held: bool,
    outer: Progress,
    inner_progress: Progress,
}

impl<S> FaultySink<S> {
    pub(crate) fn new(inner: S, faults: &Faults) -> Self {
        let (outer, inner_progress) = (Progress::default(), Progress::default());
        Self { inner, faults: faults.clone(), held: false, outer, inner_progress }
    }

    /// Lets the inner sink's ack through, unless it is held.
    fn pass_on(&self, ack: Ack) -> Ack {
        if !self.held {
            match ack.state {
                Some(state) => self.outer.ack_with(ack.seq, state),
                None => self.outer.ack(ack.seq),
            }
        }
        self.outer.take_ack()
    }
}

impl<S: Sink> Sink for FaultySink<S> {
    async fn open(&mut self, opening: Opening) -> Result<(), SinkError> {
        self.outer = opening.progress.clone();
        self.inner_progress = Progress::new(opening.acked);
        self.inner.open(Opening { progress: self.inner_progress.clone(), ..opening }).await
    }

    async fn deliver(&mut self, batch: &Batch) -> Result<Ack, SinkError> {
        match self.faults.next() {
            Fault::Pass => {}
            Fault::Reject => return Err(SinkError::transient("rejected on purpose")),
            Fault::FailAfterWrite => {
                self.held = true;
                self.inner.deliver(batch).await?;
                return Err(SinkError::transient("failed after the write on purpose"));
            }
            Fault::Hold => self.held = true,
            Fault::Slow(delay) => tokio::time::sleep(delay).await,
        }
        let ack = self.inner.deliver(batch).await?;
        Ok(self.pass_on(ack))
    }

    async fn close(&mut self) -> Result<Ack, SinkError> {
        let ack = self.inner.close().await?;
        Ok(self.pass_on(ack))
    }
}
