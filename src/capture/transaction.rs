//! The transaction that the stream is in: who it is, what of it waits for a first row worth keeping, and what of it
//! is in the log. Buffers are kept from one transaction to the next, so that an event costs no allocation.

use super::executed::TransactionId;

/// Where and how one event of it was received; what an entry's header needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Received {
    /// Entry flags.
    pub(super) flags: u8,
    /// Index of the event in its transaction, from 0, whether kept or not.
    pub(super) tx_index: u32,
    /// Where the event ends in the source's file.
    pub(super) source_pos: u64,
    /// Microseconds since the epoch.
    pub(super) received_us: u64,
}

/// Events that are written only when something that needs them is: GTID and BEGIN before the first rows, the text of a
/// statement before its first map.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    events: Vec<(Received, usize)>,
}

/// A held buffer that one large event grew beyond this is given back when it is empty again.
const HELD_BYTES_KEPT: usize = 64 << 10;

impl Held {
    pub(super) fn push(&mut self, received: Received, raw: &[u8]) {
        self.bytes.extend_from_slice(raw);
        self.events.push((received, self.bytes.len()));
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.bytes.clear();
        if self.bytes.capacity() > HELD_BYTES_KEPT {
            self.bytes = Vec::new();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Received, &[u8])> {
        let starts = std::iter::once(0).chain(self.events.iter().map(|(_, end)| *end));
        self.events.iter().zip(starts).map(|((received, end), start)| (*received, &self.bytes[start..*end]))
    }
}

/// A savepoint, and how many rows events were in the log when it was set.
#[derive(Debug, PartialEq, Eq)]
struct Savepoint {
    name: Vec<u8>,
    rows_logged: u64,
}

/// The transaction that is open, or nothing between transactions.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// Who it is.
    pub(super) id: TransactionId,
    /// The log has it already: all of it is passed over.
    pub(super) known: bool,
    /// When it committed on the server that we read, microseconds, where its first event says so.
    pub(super) commit_us: Option<u64>,
    /// Its first events, until something of it is kept.
    pub(super) held: Held,
    /// Whether its first events are in the log.
    pub(super) logged: bool,
    /// The text of the statement whose maps come next.
    pub(super) text: Held,
    /// Index of the next event.
    pub(super) next_index: u32,
    /// Rows events of it in the log.
    pub(super) rows_logged: u64,
    savepoints: Vec<Savepoint>,
}

impl Transaction {
    /// Back to between transactions; the buffers stay.
    pub(super) fn clear(&mut self) {
        self.id = TransactionId::None;
        self.known = false;
        self.commit_us = None;
        self.held.clear();
        self.logged = false;
        self.text.clear();
        self.next_index = 0;
        self.rows_logged = 0;
        self.savepoints.clear();
    }

    /// The index of the event at hand.
    pub(super) fn take_index(&mut self) -> u32 {
        let index = self.next_index;
        self.next_index = index.saturating_add(1);
        index
    }

    /// Sets a savepoint; one of the same name moves.
    pub(super) fn set_savepoint(&mut self, name: Vec<u8>) {
        self.savepoints.retain(|s| s.name != name);
        self.savepoints.push(Savepoint { name, rows_logged: self.rows_logged });
    }

    /// How many rows events that are in the log a rollback to this savepoint undoes. A savepoint that was never seen
    /// was set before the first event that the server logged.
    pub(super) fn rows_undone(&self, name: &[u8]) -> u64 {
        let kept = self.savepoints.iter().find(|s| s.name == name).map_or(0, |s| s.rows_logged);
        self.rows_logged - kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(tx_index: u32) -> Received {
        Received { flags: 0, tx_index, source_pos: 100, received_us: 1 }
    }

    #[test]
    fn held_events_come_back_in_order_and_whole() {
        let mut held = Held::default();
        held.push(received(0), b"gtid");
        held.push(received(1), b"");
        held.push(received(2), b"begin");
        let back: Vec<_> = held.iter().map(|(r, raw)| (r.tx_index, raw.to_vec())).collect();
        assert_eq!(back, [(0, b"gtid".to_vec()), (1, vec![]), (2, b"begin".to_vec())]);
        held.push(received(3), &vec![0; HELD_BYTES_KEPT * 2]);
        held.clear();
        assert!(held.is_empty());
        assert_eq!(held.bytes.capacity(), 0);
    }

    #[test]
    fn a_rollback_to_a_savepoint_undoes_what_came_after_it() {
        let mut transaction = Transaction { rows_logged: 2, ..Transaction::default() };
        transaction.set_savepoint(b"a".to_vec());
        assert_eq!(transaction.rows_undone(b"a"), 0);
        transaction.rows_logged = 5;
        assert_eq!(transaction.rows_undone(b"a"), 3);
        assert_eq!(transaction.rows_undone(b"never seen"), 5);
        transaction.set_savepoint(b"a".to_vec());
        assert_eq!(transaction.rows_undone(b"a"), 0);
    }
}
