//! Heartbeats towards a destination: when they are due, and what they say. A heartbeat says that everything up to a place
//! in the source was delivered; it belongs to no entry, acks none and stands between whole transactions only. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use relay_store::Seq;
use tokio::time::Instant;

use crate::sink::{Batch, Origin};

/// Most topics that get heartbeats; those beyond get none.
const TOPICS_MAX: usize = 10_000;

/// What a delivery with heartbeats begins with.
#[derive(Debug, Clone)]
pub struct Pulse {
    /// How often.
    pub every: Duration,
    /// Where they go from the start on.
    pub topics: Vec<String>,
    /// Up to where everything was delivered; none where the log does not tell any more.
    pub place: Option<Place>,
}

/// Up to where everything was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The last entry.
    pub seq: Seq,
    /// Its binlog file.
    pub file: String,
    /// Its end in that file.
    pub position: u64,
    /// The source's clock, seconds since 1970.
    pub timestamp: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Heartbeats {
    every: Duration,
    next: Instant,
    topics: BTreeSet<String>,
    place: Option<Place>,
    /// Whether what was handed over ends with a transaction.
    is_whole: bool,
    /// The origin whose topic was noted last: most records have the same.
    last: Option<Arc<Origin>>,
}

impl Heartbeats {
    pub(super) fn new(pulse: Pulse, now: Instant) -> Self {
        let Pulse { every, topics, place } = pulse;
        Self { every, next: now + every, topics: topics.into_iter().collect(), place, is_whole: true, last: None }
    }

    /// When the next one is due; none: not before something else was handed over.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.is_whole && self.place.is_some() && !self.topics.is_empty()).then_some(self.next)
    }

    /// One was sent, or left out; the next is due in time.
    pub(super) fn sent(&mut self, now: Instant) {
        self.next = now + self.every;
    }

    /// The batch was handed over.
    pub(super) fn note(&mut self, batch: &Batch) {
        for event in &batch.events {
            if self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &event.origin)) {
                continue;
            }
            if self.topics.len() < TOPICS_MAX && !self.topics.contains(&event.origin.destination) {
                self.topics.insert(event.origin.destination.clone());
            }
            self.last = Some(Arc::clone(&event.origin));
        }
        let ends = batch.commits.last().is_some_and(|(last, _)| *last == batch.last);
        // A stretch of entries that made no record opens nothing.
        let opened = batch.events.iter().any(|event| batch.commits.last().is_none_or(|(last, _)| event.seq > *last));
        self.is_whole = ends || (self.is_whole && !opened);
        if let Some(event) = batch.events.last()
            && let Some((file, position)) = place_of(batch.get(event.position))
        {
            let timestamp = u32::try_from(event.timestamp_ms / 1000).unwrap_or(0);
            self.place = Some(Place { seq: event.seq, file, position, timestamp });
        }
    }

    /// What the next one says, and where it goes; `source_us` is the source's clock when all that it had was delivered,
    /// microseconds since 1970.
    pub(super) fn next(&self, source_us: Option<i64>) -> Option<(Place, &BTreeSet<String>)> {
        let mut place = self.place.clone()?;
        let source = source_us.and_then(|us| u32::try_from(us / 1_000_000).ok()).unwrap_or(0);
        place.timestamp = place.timestamp.max(source);
        Some((place, &self.topics))
    }
}

/// Reads `file:offset`.
fn place_of(text: &[u8]) -> Option<(String, u64)> {
    let (file, offset) = std::str::from_utf8(text).ok()?.rsplit_once(':')?;
    Some((file.to_owned(), offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::batch::tests::{batch, batch_to};

    fn heartbeats(topics: &[&str]) -> Heartbeats {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        Heartbeats::new(Pulse { every: Duration::from_secs(5), topics, place: None }, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn they_go_where_records_went_and_say_how_far_these_came() {
        let mut beats = heartbeats(&[]);
        assert_eq!(beats.due(), None, "nothing is known yet");
        beats.note(&batch_to("a", 1, &["x"]));
        beats.note(&batch_to("b", 2, &["x", "y"]));
        assert_eq!(beats.due(), Some(Instant::now() + Duration::from_secs(5)));
        let (place, topics) = beats.next(None).expect("a place");
        assert_eq!(topics.iter().collect::<Vec<_>>(), ["a", "b"]);
        let timestamp = 1_767_225_930;
        assert_eq!(place, Place { seq: Seq(3), file: "binlog.000001".into(), position: 4, timestamp });
        let later = i64::from(timestamp + 9) * 1_000_000;
        assert_eq!(beats.next(Some(later)).expect("a place").0.timestamp, timestamp + 9);
        assert_eq!(beats.next(Some(5)).expect("a place").0.timestamp, timestamp, "time does not go back");
        tokio::time::advance(Duration::from_secs(7)).await;
        beats.sent(Instant::now());
        assert_eq!(beats.due(), Some(Instant::now() + Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn none_comes_inside_a_transaction() {
        let mut beats = heartbeats(&["a"]);
        let mut open = batch(1, &["x", "y"]);
        open.commits.clear();
        beats.note(&open);
        assert_eq!(beats.due(), None);
        let silent = Batch { first: Seq(3), last: Seq(3), ..Batch::default() };
        beats.note(&silent);
        assert_eq!(beats.due(), None, "it goes on");
        beats.note(&batch(4, &["z"]));
        assert!(beats.due().is_some(), "it ended");
        beats.note(&Batch { first: Seq(5), last: Seq(9), ..Batch::default() });
        assert!(beats.due().is_some(), "entries that concern nobody open nothing");
    }
}
