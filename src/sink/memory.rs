//! A sink that keeps what it is given in memory: for tests and dry runs.

use std::sync::{Arc, Mutex, PoisonError};

use relay_store::Seq;

use super::{Ack, Batch, Opening, Operation, Progress, Sink, SinkError};

/// A record as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Its entry.
    pub seq: Seq,
    /// Row within the entry.
    pub row: u32,
    /// What it tells.
    pub operation: Operation,
    /// Source table.
    pub table: String,
    /// Where it would go.
    pub destination: String,
    /// Hash that decides its partition.
    pub hash: i32,
    /// Message key.
    pub key: Option<Vec<u8>>,
    /// Message value.
    pub value: Option<Vec<u8>>,
}

/// What a [`MemorySink`] was given; clones share it, so that a test can look while a delivery runs.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<Delivered>>>);

impl Memory {
    /// All records so far, in order of delivery.
    pub fn records(&self) -> Vec<Delivered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn extend(&self, records: impl Iterator<Item = Delivered>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
    }
}

/// Acks each batch as soon as it is kept. Its state counts the records delivered in all its lives.
#[derive(Debug, Default)]
pub struct MemorySink {
    memory: Memory,
    delivered: u64,
    progress: Progress,
}

impl MemorySink {
    /// A sink that puts its records there.
    pub fn new(memory: Memory) -> Self {
        Self { memory, ..Self::default() }
    }
}

impl Sink for MemorySink {
    async fn open(&mut self, opening: Opening) -> Result<(), SinkError> {
        self.delivered = match <[u8; 8]>::try_from(opening.state.as_slice()) {
            Ok(count) => u64::from_be_bytes(count),
            Err(_) if opening.state.is_empty() => 0,
            Err(_) => return Err(SinkError::definite("state of the memory sink is not its own")),
        };
        self.progress = opening.progress;
        Ok(())
    }

    async fn deliver(&mut self, batch: &Batch) -> Result<Ack, SinkError> {
        self.memory.extend(batch.records.iter().map(|record| {
            let event = batch.event_of(record);
            Delivered {
                seq: event.seq,
                row: record.row,
                operation: record.operation,
                table: event.origin.table.clone(),
                destination: event.origin.destination.clone(),
                hash: record.hash,
                key: record.key.map(|span| batch.get(span).to_vec()),
                value: record.value.map(|span| batch.get(span).to_vec()),
            }
        }));
        self.delivered += batch.records.len() as u64;
        self.progress.ack_with(batch.last, self.delivered.to_be_bytes().to_vec());
        Ok(self.progress.take_ack())
    }

    async fn close(&mut self) -> Result<Ack, SinkError> {
        Ok(self.progress.take_ack())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::conformance::{Destination, conformance};

    impl Destination for Memory {
        type Sink = MemorySink;

        fn sink(&self) -> MemorySink {
            MemorySink::new(self.clone())
        }

        fn place(&self) -> &str {
            "place"
        }

        fn values(&self) -> Vec<String> {
            let text = |value: Option<Vec<u8>>| String::from_utf8(value.unwrap_or_default()).expect("text");
            self.records().into_iter().map(|record| text(record.value)).collect()
        }
    }

    conformance!(Memory::default());
}
