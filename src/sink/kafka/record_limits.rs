//! How large a record may be: what the config says, and what each topic was found to take. The sink tells, and whoever
//! makes records asks.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use super::config::{Headers, KafkaConfig};
use super::settings::RECORD_OVERHEAD_BYTES;
use crate::sink::{Batch, Note, Origin, Record};

/// Names, lengths and short values of the headers together stay below so many bytes a header.
const HEADER_BYTES: usize = 32;

/// The limits of one delivery, shared by all its lives of a start.
#[derive(Debug)]
pub struct RecordLimits {
    /// `max_record_bytes`.
    own: usize,
    headers: Headers,
    source_bytes: usize,
    /// Bytes of the largest batch that a topic takes, by its name; those that told.
    topics: RwLock<HashMap<String, usize>>,
    /// No limit is below it.
    least: AtomicUsize,
    /// Limits for which a delivery has begun anew; once is enough for each.
    begun_anew: Mutex<HashSet<(String, usize)>>,
    /// The topic that last refused a record, or the batch it was in, for its size.
    refused: Mutex<Option<String>>,
}

impl RecordLimits {
    /// As the settings say; no topic has told anything yet. `source` is the relay's name, which records carry.
    pub fn new(config: &KafkaConfig, source: &str) -> Self {
        let own = usize::try_from(config.max_record_bytes.0).unwrap_or(usize::MAX);
        Self {
            own,
            headers: config.headers,
            source_bytes: source.len(),
            topics: RwLock::default(),
            least: AtomicUsize::new(own),
            begun_anew: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// `max_record_bytes`.
    pub fn own(&self) -> usize {
        self.own
    }

    /// Most bytes of a record of this origin, before compression.
    pub fn of(&self, origin: &Origin) -> usize {
        if origin.fitted {
            self.of_topic(&origin.destination).map_or(self.own, |bytes| bytes.min(self.own))
        } else {
            self.own
        }
    }

    /// Most bytes of a record for this topic, where it told.
    pub fn of_topic(&self, topic: &str) -> Option<usize> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(topic).copied()
    }

    /// What a topic takes. Says whether that is less than was known.
    pub fn learn(&self, topic: &str, bytes: usize) -> bool {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let known = topics.insert(topic.to_owned(), bytes);
        let least = topics.values().copied().min().unwrap_or(usize::MAX);
        self.least.store(least.min(self.own), Ordering::Release);
        bytes < known.unwrap_or(self.own)
    }

    /// Whether the delivery shall begin anew for a record that this topic takes no longer: once for each limit, because
    /// what is made with knowledge of it fits.
    pub(super) fn begin_anew(&self, topic: &str) -> bool {
        let bytes = self.of_topic(topic).unwrap_or(self.own);
        self.begun_anew.lock().unwrap_or_else(PoisonError::into_inner).insert((topic.to_owned(), bytes))
    }

    /// A topic refused a record, or the batch it was in, for its size.
    pub(super) fn set_refused(&self, topic: &str) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(topic.to_owned());
    }

    /// The topic that last did so, handed out once.
    pub(super) fn take_refused(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Bytes of a record as a broker measures it before compression, at most.
    pub fn bytes(&self, batch: &Batch, record: &Record) -> usize {
        let event = batch.event_of(record);
        let (mut headers, mut text) = (self.headers.count(), 0);
        match batch.note_of(record) {
            None | Some(Note::TooLarge(_)) => {}
            Some(Note::Truncated(columns)) => (headers, text) = (headers + 1, columns.len()),
            Some(Note::KeyOnly) => headers += 1,
            // They carry every header, and three more.
            Some(Note::DeadLetter { reason, .. }) => (headers, text) = (Headers::ALL.count() + 3, reason.len()),
        }
        let fields = self.source_bytes + event.gtid.len() + event.position.len() + event.origin.table.len();
        let payload = record.key.map_or(0, |span| span.len()) + record.value.map_or(0, |span| span.len());
        payload + headers * HEADER_BYTES + text + fields + RECORD_OVERHEAD_BYTES
    }

    /// The record's bytes, when they are more than its origin allows.
    pub fn exceeded_by(&self, batch: &Batch, record: &Record) -> Option<usize> {
        let bytes = self.bytes(batch, record);
        // Nearly all records are small: no lock is taken for them.
        if bytes <= self.least.load(Ordering::Acquire) {
            return None;
        }
        (bytes > self.of(&batch.event_of(record).origin)).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sink::batch::tests::batch;

    fn limits(more: &str) -> RecordLimits {
        RecordLimits::new(&toml::from_str(&format!("brokers = \"k\"\n{more}")).expect("valid"), "shop")
    }

    #[test]
    fn a_topic_lowers_the_limit_of_what_is_made_to_fit_it() {
        let limits = limits("max_record_bytes = \"10KiB\"");
        let origin = |fitted| Origin { fitted, ..Origin::new("shop.orders", "small") };
        assert_eq!(limits.of(&origin(true)), 10 << 10);
        assert!(limits.learn("small", 2000) && !limits.learn("small", 2000) && limits.learn("small", 1000));
        assert_eq!((limits.of(&origin(true)), limits.of(&origin(false))), (1000, 10 << 10));
        assert!(!limits.learn("small", 1 << 20), "somebody raised it");
        assert_eq!(limits.of(&origin(true)), 10 << 10, "ours counts too");
    }

    #[test]
    fn a_delivery_begins_anew_once_for_each_limit() {
        let limits = limits("");
        limits.learn("t", 2000);
        assert!(limits.begin_anew("t") && !limits.begin_anew("t") && limits.begin_anew("u"));
        limits.learn("t", 1000);
        assert!(limits.begin_anew("t") && !limits.begin_anew("t"));
    }

    #[test]
    fn what_a_record_says_of_itself_counts() {
        let limits = limits("max_record_bytes = \"10KiB\"");
        let mut batch = batch(1, &["x"]);
        let plain = limits.bytes(&batch, &batch.records[0]);
        let text = batch.push_bytes(&[b'c'; 500]);
        batch.records[0].note = batch.push_note(Note::Truncated(text));
        assert_eq!(limits.bytes(&batch, &batch.records[0]), plain + 500 + HEADER_BYTES);
        assert_eq!(limits.exceeded_by(&batch, &batch.records[0]), None);
        limits.learn("shop.orders", 100);
        let origin = Arc::new(Origin { fitted: true, ..Origin::new("shop.orders", "shop.orders") });
        batch.events[0].origin = origin;
        assert_eq!(limits.exceeded_by(&batch, &batch.records[0]), Some(plain + 500 + HEADER_BYTES));
    }
}
