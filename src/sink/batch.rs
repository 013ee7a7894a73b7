//! A batch on its way to a sink: records that point into one buffer, built without an allocation per record.

use std::ops::Range;
use std::sync::Arc;

use relay_store::Seq;

/// A stretch of [`Batch::bytes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// Its place in the buffer.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Bytes it holds.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether it holds nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// What a record tells of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A row was inserted.
    Insert,
    /// A row was updated.
    Update,
    /// A row was deleted.
    Delete,
    /// First half of an update that changed the partition key: the old row goes.
    UpdateBefore,
    /// Second half of it: the new row comes.
    UpdateAfter,
    /// A row of the initial copy.
    Snapshot,
    /// A statement.
    Ddl,
    /// The beginning of a transaction.
    Begin,
    /// The end of a transaction.
    Commit,
    /// No change: so far everything was delivered. Belongs to no entry, and acks none.
    Heartbeat,
}

impl Operation {
    /// As consumers read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::UpdateBefore => "update.before",
            Self::UpdateAfter => "update.after",
            Self::Snapshot => "snapshot",
            Self::Ddl => "ddl",
            Self::Begin => "begin",
            Self::Commit => "commit",
            Self::Heartbeat => "heartbeat",
        }
    }
}

/// Where records of one table come from and go to; built once per table, shared by its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `database.table` at the source; the database alone, or nothing, for a statement without a table.
    pub table: String,
    /// Name of the place at the destination: a topic. Empty for a sink that has one place only.
    pub destination: String,
    /// Number of partitions that the table uses, when it is set apart from the destination's.
    pub partitions: Option<u32>,
    /// Whether its records are made to fit the destination's own limit before they are sent; else the destination is to
    /// refuse what it does not take.
    pub fitted: bool,
}

impl Origin {
    /// Of a table, to a destination that is used whole; one that refuses a record stops the delivery.
    pub fn new(table: impl Into<String>, destination: impl Into<String>) -> Self {
        Self { table: table.into(), destination: destination.into(), partitions: None, fitted: false }
    }
}

/// What a record says of itself when it is not a row as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// These columns, names with commas between, are NULL because the row is too large.
    Truncated(Span),
    /// It holds the key's columns only, for the same reason.
    KeyOnly,
    /// It was not to be delivered, and why; a part of it, from 1, and how many there are, when its value is compressed
    /// and cut.
    DeadLetter {
        /// Why.
        reason: Span,
        /// Which part of how many.
        chunk: Option<(u32, u32)>,
    },
    /// It is larger than is allowed and stops the delivery; the key of its row, as text.
    TooLarge(Span),
}

impl Note {
    /// The text that it points to.
    fn text(&mut self) -> Option<&mut Span> {
        match self {
            Self::Truncated(text) | Self::DeadLetter { reason: text, .. } | Self::TooLarge(text) => Some(text),
            Self::KeyOnly => None,
        }
    }
}

/// What the records of one entry share.
#[derive(Debug, Clone)]
pub struct Event {
    /// The entry.
    pub seq: Seq,
    /// Its table and destination.
    pub origin: Arc<Origin>,
    /// GTID of its transaction, as text; may be empty.
    pub gtid: Span,
    /// `file:offset` of the event's end, as text.
    pub position: Span,
    /// Time of the change at the source, Unix milliseconds.
    pub timestamp_ms: i64,
}

/// One outgoing record.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// Its entry, as an index into [`Batch::events`].
    pub event: u32,
    /// Row within the entry.
    pub row: u32,
    /// What it tells.
    pub operation: Operation,
    /// Hash of what decides its partition, by the policy of its table; the sink, which knows how many there are, folds it
    /// ([`crate::format::partition::fold`]).
    pub hash: i32,
    /// Message key.
    pub key: Option<Span>,
    /// Message value; none is a tombstone.
    pub value: Option<Span>,
    /// Whether it is the last record of its entry, so that its ack is the entry's.
    pub ends_entry: bool,
    /// What it says of itself, as an index into [`Batch::notes`]; mostly nothing.
    pub note: Option<u32>,
}

/// Consecutive entries, encoded. It covers every entry from `first` to `last`, also those that made no record.
#[derive(Debug, Default)]
pub struct Batch {
    /// First seq covered.
    pub first: Seq,
    /// Last seq covered whole. Records beyond it belong to an entry that the next batch goes on with.
    pub last: Seq,
    /// Entries that made records.
    pub events: Vec<Event>,
    /// The records, in order.
    pub records: Vec<Record>,
    /// What some of them say of themselves.
    pub notes: Vec<Note>,
    /// What spans point into.
    pub bytes: Vec<u8>,
    /// Row changes that the records tell of; a split one counts once.
    pub rows: u64,
    /// Transactions that end in this batch: last seq, and commit time at the source in microseconds.
    pub commits: Vec<(Seq, u64)>,
    /// Whether another batch follows as soon as this one is taken.
    pub more: bool,
}

impl Batch {
    /// Appends to the buffer and returns where it stands.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Span { start, end: self.bytes.len() }
    }

    /// The stretch of the buffer from `start`, an earlier `bytes.len()`, to its end.
    pub fn span_from(&self, start: usize) -> Span {
        Span { start: start.min(self.bytes.len()), end: self.bytes.len() }
    }

    /// A stretch of the bytes.
    pub fn span(&self, range: Range<usize>) -> Span {
        Span { start: range.start.min(self.bytes.len()), end: range.end.min(self.bytes.len()) }
    }

    /// The bytes of a span of this batch.
    pub fn get(&self, span: Span) -> &[u8] {
        &self.bytes[span.range()]
    }

    /// The entry of a record of this batch.
    pub fn event_of(&self, record: &Record) -> &Event {
        &self.events[record.event as usize]
    }

    /// What a record of this batch says of itself.
    pub fn note_of(&self, record: &Record) -> Option<&Note> {
        record.note.map(|note| &self.notes[note as usize])
    }

    /// Keeps a note for a record of this batch.
    pub fn push_note(&mut self, note: Note) -> Option<u32> {
        self.notes.push(note);
        u32::try_from(self.notes.len() - 1).ok()
    }

    /// Takes a note of a record of `from` over, with its text; where it stands.
    pub fn copy_note(&mut self, from: &Self, record: &Record) -> Option<u32> {
        let mut note = *from.note_of(record)?;
        if let Some(text) = note.text() {
            *text = self.push_bytes(from.get(*text));
        }
        self.push_note(note)
    }

    /// Forgets the contents, keeps the memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.records.clear();
        self.notes.clear();
        self.bytes.clear();
        self.commits.clear();
        (self.rows, self.more) = (0, false);
        (self.first, self.last) = (Seq::ZERO, Seq::ZERO);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A batch of one record an entry, from `first` on; one transaction.
    pub(crate) fn batch(first: u64, values: &[&str]) -> Batch {
        batch_to("shop.orders", first, values)
    }

    /// As [`batch`], to that topic; the record's hash is its seq.
    pub(crate) fn batch_to(topic: &str, first: u64, values: &[&str]) -> Batch {
        let mut batch = Batch { first: Seq(first), last: Seq(first - 1), ..Batch::default() };
        let origin = Arc::new(Origin::new("shop.orders", topic));
        for value in values {
            batch.last = batch.last.next();
            let (gtid, position) = (batch.push_bytes(b"uuid:7"), batch.push_bytes(b"binlog.000001:4"));
            let (seq, event) = (batch.last, batch.events.len() as u32);
            batch.events.push(Event { seq, origin: origin.clone(), gtid, position, timestamp_ms: 1_767_225_930_000 });
            let value = Some(batch.push_bytes(value.as_bytes()));
            let operation = Operation::Insert;
            let hash = seq.0 as i32;
            batch.records.push(Record {
                event,
                row: 0,
                operation,
                hash,
                key: None,
                value,
                ends_entry: true,
                note: None,
            });
        }
        batch.commits.push((batch.last, 1));
        batch
    }

    #[test]
    fn spans_survive_growth_of_the_buffer() {
        let mut batch = Batch::default();
        let key = batch.push_bytes(b"key");
        let start = batch.bytes.len();
        batch.bytes.extend_from_slice(&vec![b'x'; 100_000]);
        let value = batch.span_from(start);
        assert_eq!(batch.get(key), b"key");
        assert_eq!(value.len(), 100_000);
        assert!(batch.get(value).iter().all(|&b| b == b'x'));
    }
}
