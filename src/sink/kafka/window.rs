//! The in-flight window: which records were handed to the client, and up to which seq all of them are acked.
//!
//! Every record takes the next *place*, a number that travels through the client as the record's opaque value.
//! Places are marked done in any order; the head moves over the contiguous done prefix and the ack with it. A place
//! whose record failed is never marked, so that nothing at or after it can be acked.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use relay_store::Seq;
use tokio::sync::Notify;

use crate::sink::Progress;

/// Places in the window. At 16 Ki records of 500 bytes or more a broker 10 ms away still takes a million a second.
pub(super) const PLACES: usize = 1 << 15;

const DONE: u64 = 1;
const ENDS_ENTRY: u64 = 2;
const SEQ_SHIFT: u32 = 2;

/// See the module. One thread pushes; any thread completes.
#[derive(Debug)]
pub(super) struct Window {
    /// `seq << 2 | ends entry << 1 | done`, at place modulo [`PLACES`].
    places: Box<[AtomicU64]>,
    /// The next place to be given out.
    tail: AtomicU64,
    /// The first place not passed by the ack. A mutex, because two threads may complete at once.
    head: Mutex<u64>,
    /// What `head` was, for those who only look.
    passed: AtomicU64,
    /// Bytes and overhead of records not yet completed.
    bytes: AtomicUsize,
    /// While the pushing side waits: it is woken once no more than so many bytes and places are in flight.
    waiting: AtomicBool,
    wake_bytes: AtomicUsize,
    wake_places: AtomicU64,
    moved: Notify,
    progress: Progress,
}

impl Window {
    pub(super) fn new(progress: Progress) -> Self {
        Self {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            tail: AtomicU64::new(0),
            head: Mutex::new(0),
            passed: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            waiting: AtomicBool::new(false),
            wake_bytes: AtomicUsize::new(0),
            wake_places: AtomicU64::new(0),
            moved: Notify::new(),
            progress,
        }
    }

    /// Whether a record of `cost` bytes may be pushed when at most `bytes_max` may be in flight. A record larger
    /// than the limit goes alone.
    pub(super) fn has_room(&self, cost: usize, bytes_max: usize) -> bool {
        let bytes = self.bytes.load(Ordering::Acquire);
        self.in_flight() < PLACES as u64 && (bytes == 0 || bytes + cost <= bytes_max)
    }

    /// Takes the next place; the caller has asked [`Window::has_room`].
    pub(super) fn push(&self, seq: Seq, ends_entry: bool, cost: usize) -> usize {
        let place = self.tail.load(Ordering::Relaxed);
        assert!(self.in_flight() < PLACES as u64, "a place is given out again only after its ack");
        let ends = if ends_entry { ENDS_ENTRY } else { 0 };
        self.word(place).store(seq.0 << SEQ_SHIFT | ends, Ordering::Release);
        self.bytes.fetch_add(cost, Ordering::AcqRel);
        self.tail.store(place + 1, Ordering::Release);
        place as usize
    }

    /// Takes back the last place: its record was not accepted, and no completion will come.
    pub(super) fn undo(&self, place: usize, cost: usize) {
        assert_eq!(place as u64 + 1, self.tail.load(Ordering::Relaxed), "only the last place can be taken back");
        self.tail.store(place as u64, Ordering::Release);
        self.bytes.fetch_sub(cost, Ordering::AcqRel);
    }

    /// Everything up to `seq` has been pushed: acks it once all of that is acked. Needs no room of its own when
    /// nothing is in flight; else the caller has asked for it.
    pub(super) fn cover(&self, seq: Seq) {
        if self.in_flight() == 0 {
            self.progress.ack(seq);
            return;
        }
        let place = self.push(seq, true, 0);
        self.complete(place, 0);
    }

    /// The record at `place` is durable.
    pub(super) fn complete(&self, place: usize, cost: usize) {
        self.word(place as u64).fetch_or(DONE, Ordering::AcqRel);
        let bytes = self.bytes.fetch_sub(cost, Ordering::AcqRel) - cost;
        self.advance();
        if self.waiting.load(Ordering::SeqCst) && self.is_below(bytes) {
            self.moved.notify_one();
        }
    }

    fn is_below(&self, bytes: usize) -> bool {
        bytes <= self.wake_bytes.load(Ordering::Acquire) && self.in_flight() <= self.wake_places.load(Ordering::Acquire)
    }

    /// The record at `place` failed: its memory is free again, its place stays.
    pub(super) fn fail(&self, cost: usize) {
        self.bytes.fetch_sub(cost, Ordering::AcqRel);
        self.moved.notify_one();
    }

    /// The seq of the record at a place that was not acked yet.
    pub(super) fn seq_of(&self, place: usize) -> Seq {
        Seq(self.word(place as u64).load(Ordering::Acquire) >> SEQ_SHIFT)
    }

    /// Places given out and not passed by the ack.
    pub(super) fn in_flight(&self) -> u64 {
        self.tail.load(Ordering::Acquire) - self.passed.load(Ordering::Acquire)
    }

    /// Waits until no more than `bytes` and `places` are in flight, or until `stop` says so, which is asked again
    /// after each [`Window::wake`] and each failed record. Waiting for well below the limits, not for the first free
    /// place, keeps the two threads from waking each other for every record.
    pub(super) async fn wait_below(&self, bytes: usize, places: u64, mut stop: impl FnMut() -> bool) {
        self.wake_bytes.store(bytes, Ordering::Release);
        self.wake_places.store(places, Ordering::Release);
        loop {
            self.waiting.store(true, Ordering::SeqCst);
            // A completion between this question and the wait leaves its permit in the notifier.
            if self.is_below(self.bytes.load(Ordering::SeqCst)) || stop() {
                self.waiting.store(false, Ordering::Release);
                return;
            }
            self.moved.notified().await;
        }
    }

    /// Wakes who waits, for a reason that the window does not know.
    pub(super) fn wake(&self) {
        self.moved.notify_one();
    }

    fn advance(&self) {
        // A panic in here would be a failed assertion of ours; the positions are whole after each step.
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = self.tail.load(Ordering::Acquire);
        let mut acked = None;
        while *head < tail {
            let word = self.word(*head).load(Ordering::Acquire);
            if word & DONE == 0 {
                break;
            }
            if word & ENDS_ENTRY != 0 {
                acked = Some(Seq(word >> SEQ_SHIFT));
            }
            *head += 1;
        }
        self.passed.store(*head, Ordering::Release);
        if let Some(seq) = acked {
            self.progress.ack(seq);
        }
    }

    fn word(&self, place: u64) -> &AtomicU64 {
        &self.places[place as usize & (PLACES - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};

    fn window() -> (Window, Progress) {
        let progress = Progress::new(Seq::ZERO);
        (Window::new(progress.clone()), progress)
    }

    #[test]
    fn the_ack_is_the_contiguous_prefix_of_whole_entries() {
        let (window, progress) = window();
        let a = window.push(Seq(1), false, 10);
        let b = window.push(Seq(1), true, 10);
        let c = window.push(Seq(2), true, 10);
        window.complete(c, 10);
        window.complete(a, 10);
        assert_eq!(progress.acked(), Seq::ZERO, "entry 1 still has a row in flight");
        window.complete(b, 10);
        assert_eq!(progress.acked(), Seq(2));
        assert_eq!(window.in_flight(), 0);
    }

    #[test]
    fn entries_without_records_are_acked_behind_those_in_flight() {
        let (window, progress) = window();
        window.cover(Seq(3));
        assert_eq!(progress.acked(), Seq(3), "nothing is in flight");
        let a = window.push(Seq(4), true, 1);
        window.cover(Seq(9));
        assert_eq!(progress.acked(), Seq(3));
        window.complete(a, 1);
        assert_eq!(progress.acked(), Seq(9));
    }

    #[test]
    fn nothing_past_a_failed_record_is_acked() {
        let (window, progress) = window();
        let a = window.push(Seq(1), true, 1);
        let _failed = window.push(Seq(2), true, 1);
        let c = window.push(Seq(3), true, 1);
        window.complete(c, 1);
        window.complete(a, 1);
        window.fail(1);
        window.cover(Seq(4));
        assert_eq!(progress.acked(), Seq(1));
    }

    #[test]
    fn a_record_larger_than_the_limit_goes_alone() {
        let (window, _) = window();
        assert!(window.has_room(1000, 10));
        let a = window.push(Seq(1), true, 1000);
        assert!(!window.has_room(1, 10));
        window.complete(a, 1000);
        assert!(window.has_room(1, 10));
    }

    #[test]
    fn the_window_is_full_at_its_last_place() {
        let (window, _) = window();
        for i in 0..PLACES as u64 {
            assert!(window.has_room(1, usize::MAX));
            window.push(Seq(i + 1), true, 1);
        }
        assert!(!window.has_room(1, usize::MAX));
    }

    #[test]
    fn any_order_of_completion_acks_what_a_model_acks() {
        let seed = rand::random::<u64>();
        println!("seed {seed}");
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let (window, progress) = window();
        let mut open: Vec<(usize, u64)> = Vec::new();
        let mut pushed = 0u64;
        for _ in 0..200 {
            for _ in 0..rng.random_range(0..400) {
                pushed += 1;
                open.push((window.push(Seq(pushed), true, 1), pushed));
            }
            open.shuffle(&mut rng);
            for _ in 0..rng.random_range(0..=open.len()) {
                let (place, _) = open.pop().expect("counted");
                window.complete(place, 1);
            }
            let expected = open.iter().map(|&(_, seq)| seq).min().map_or(pushed, |first| first - 1);
            assert_eq!(progress.acked(), Seq(expected));
        }
    }

    #[tokio::test]
    async fn who_waits_for_room_is_woken_from_another_thread() {
        let (window, _) = window();
        let window = std::sync::Arc::new(window);
        let place = window.push(Seq(1), true, 100);
        let other = window.clone();
        let thread = std::thread::spawn(move || other.complete(place, 100));
        let room = window.wait_below(50, 0, || false);
        tokio::time::timeout(std::time::Duration::from_secs(10), room).await.expect("woken");
        thread.join().expect("completed");
    }
}
