//! How a sink tells its delivery, at any time and from any thread, what became durable and what failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use relay_store::Seq;
use tokio::sync::{Notify, watch};

use super::{Ack, SinkError};
use crate::failure::Class;
use crate::status::TopicWidth;

/// What a sink last said.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Why nothing more will be acked; final for this life of the sink.
    pub failure: Option<SinkError>,
    /// Why it waits, while it does: `broker k1:9092 refuses connections`. Not a failure.
    pub trouble: Option<String>,
    /// What an operator should know of the destination although nothing is held up.
    pub notice: Option<String>,
    /// How many partitions of topics are used, as far as that was not handed out yet.
    pub widths: Vec<TopicWidth>,
}

#[derive(Debug, Default)]
struct Inner {
    acked: AtomicU64,
    /// An ack at or past this seq wakes who waits for it; the largest number while nobody does.
    wake_at: AtomicU64,
    reached: Notify,
    /// How long records may wait by the sink's own design, milliseconds.
    hold_ms: AtomicU64,
    // A std mutex: held for a few loads and stores, never across an await.
    state: Mutex<Option<Vec<u8>>>,
    report: watch::Sender<Report>,
}

/// One sink's acks, state and failure. Clones share them.
///
/// Keeps the second promise's first half: an ack never goes back, and none is taken after a failure.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Inner>);

impl Progress {
    /// Nothing acked beyond `acked`.
    pub fn new(acked: Seq) -> Self {
        let progress = Self::default();
        progress.0.wake_at.store(u64::MAX, Ordering::Release);
        progress.0.acked.store(acked.0, Ordering::Release);
        progress
    }

    /// Everything up to `seq` is durable. Cheap: wakes nobody unless it is the seq that is waited for.
    pub fn ack(&self, seq: Seq) {
        self.0.acked.fetch_max(seq.0, Ordering::SeqCst);
        if seq.0 >= self.0.wake_at.load(Ordering::SeqCst) {
            self.0.wake_at.store(u64::MAX, Ordering::SeqCst);
            self.0.reached.notify_waiters();
        }
    }

    /// Resolves once everything up to `seq` is acked.
    pub async fn reached(&self, seq: Seq) {
        loop {
            let notified = self.0.reached.notified();
            tokio::pin!(notified);
            // Registered before the question is asked, so that no ack falls between.
            notified.as_mut().enable();
            self.0.wake_at.fetch_min(seq.0, Ordering::SeqCst);
            if self.acked() >= seq {
                return;
            }
            notified.await;
        }
    }

    /// As [`Progress::ack`], with the sink's own bytes as they are at that seq.
    pub fn ack_with(&self, seq: Seq, state: Vec<u8>) {
        let mut kept = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(state);
        self.ack(seq);
    }

    /// The sink's own bytes changed in a way that holds for any seq from now on.
    pub fn set_state(&self, state: Vec<u8>) {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// What is durable now, with the state that belongs to it. The state is handed out once.
    pub fn take_ack(&self) -> Ack {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ack { seq: self.acked(), state: state.take() }
    }

    /// The last seq acked.
    pub fn acked(&self) -> Seq {
        Seq(self.0.acked.load(Ordering::SeqCst))
    }

    /// Ends this life of the sink. The first failure stays, but a definite one replaces a transient one: it is the
    /// cause, and the other its consequence.
    pub fn fail(&self, error: SinkError) {
        self.0.report.send_if_modified(|report| {
            let replace = match &report.failure {
                None => true,
                Some(old) => old.class == Class::Transient && error.class != Class::Transient,
            };
            if replace {
                report.failure = Some(error);
            }
            replace
        });
    }

    /// Records may wait so long before anything is said of them, by the sink's own design.
    pub fn set_hold(&self, hold: Duration) {
        self.0.hold_ms.store(u64::try_from(hold.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long records may wait by the sink's own design.
    pub fn hold(&self) -> Duration {
        Duration::from_millis(self.0.hold_ms.load(Ordering::Relaxed))
    }

    /// Says why the sink waits, or that it no longer does.
    pub fn set_trouble(&self, trouble: Option<String>) {
        self.0.report.send_if_modified(|report| {
            let changed = report.trouble != trouble;
            report.trouble = trouble;
            changed
        });
    }

    /// Says something of the destination that an operator should know.
    pub fn set_notice(&self, notice: String) {
        self.0.report.send_modify(|report| report.notice = Some(notice));
    }

    /// The notice, handed out once.
    pub fn take_notice(&self) -> Option<String> {
        // Mostly there is none: looked at before anything is written.
        self.0.report.borrow().notice.as_ref()?;
        let mut notice = None;
        self.0.report.send_if_modified(|report| {
            notice = report.notice.take();
            false
        });
        notice
    }

    /// Says how many partitions of a topic are used.
    pub fn set_width(&self, width: TopicWidth) {
        self.0.report.send_modify(|report| report.widths.push(width));
    }

    /// What was said of them, handed out once.
    pub fn take_widths(&self) -> Vec<TopicWidth> {
        if self.0.report.borrow().widths.is_empty() {
            return Vec::new();
        }
        let mut widths = Vec::new();
        self.0.report.send_if_modified(|report| {
            widths = std::mem::take(&mut report.widths);
            false
        });
        widths
    }

    /// The failure, when there is one.
    pub fn failure(&self) -> Option<SinkError> {
        self.0.report.borrow().failure.clone()
    }

    /// Resolves when the sink has failed.
    pub async fn failed(&self) -> SinkError {
        let mut report = self.0.report.subscribe();
        loop {
            if let Some(error) = report.borrow_and_update().failure.clone() {
                return error;
            }
            // The sender lives in `self`, so that this cannot end.
            let _ = report.changed().await;
        }
    }

    /// Follows failure and trouble; acks do not count as changes.
    pub fn subscribe(&self) -> watch::Receiver<Report> {
        self.0.report.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_never_goes_back() {
        let progress = Progress::new(Seq(5));
        progress.ack(Seq(9));
        progress.ack(Seq(7));
        assert_eq!(progress.acked(), Seq(9));
    }

    #[test]
    fn state_is_handed_out_once_with_its_ack() {
        let progress = Progress::new(Seq::ZERO);
        progress.ack_with(Seq(3), b"len=10".to_vec());
        assert_eq!(progress.take_ack(), Ack { seq: Seq(3), state: Some(b"len=10".to_vec()) });
        assert_eq!(progress.take_ack(), Ack { seq: Seq(3), state: None });
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_who_wait_for_an_ack_are_woken_at_theirs() {
        let progress = Progress::new(Seq::ZERO);
        let waiters: Vec<_> = (1..=200u64)
            .map(|seq| {
                let progress = progress.clone();
                tokio::spawn(async move {
                    progress.reached(Seq(seq)).await;
                    assert!(progress.acked() >= Seq(seq));
                })
            })
            .collect();
        let acker = std::thread::spawn(move || (1..=200).for_each(|seq| progress.ack(Seq(seq))));
        for waiter in waiters {
            tokio::time::timeout(std::time::Duration::from_secs(20), waiter).await.expect("woken").expect("acked");
        }
        acker.join().expect("acked");
    }

    #[test]
    fn a_definite_failure_replaces_its_consequence_and_stays() {
        let progress = Progress::new(Seq::ZERO);
        progress.fail(SinkError::transient("producer is fatal"));
        progress.fail(SinkError::definite("record is too large"));
        progress.fail(SinkError::transient("purged"));
        progress.fail(SinkError::definite("another"));
        assert_eq!(progress.failure().expect("failed").reason, "record is too large");
    }
}
