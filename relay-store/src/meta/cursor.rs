//! Cursors as they are stored: in meta under their name, and as a snapshot in each segment header.

use bincode::{Decode, Encode};

use super::catalogue::{decode, encode};
use super::db::Batch;
use super::prefix;
use crate::error::StorageError;

/// One cursor.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct CursorRecord {
    pub name: String,
    pub epoch: u32,
    pub acked: u64,
    pub updated_ms: u64,
    pub paused: bool,
    pub restored: bool,
    /// First and last seq that were trimmed before it had them, and why.
    pub lost: Option<(u64, u64)>,
    pub parked: Vec<ParkedRecord>,
    pub sink_state: Vec<u8>,
    /// 0 as the log, 1 hold, 2 expire.
    pub lagging: u8,
}

/// One parked table of a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ParkedRecord {
    pub key: Vec<u8>,
    pub first: u64,
    pub reason: String,
}

impl CursorRecord {
    pub(crate) fn put(&self, batch: &mut Batch) {
        batch.put(key(&self.name), encode(self));
    }

    pub(crate) fn delete(name: &str, batch: &mut Batch) {
        batch.delete(key(name));
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, StorageError> {
        decode("cursor record", value)
    }

    /// First seq it still needs: behind what it has acknowledged, and for its parked tables.
    pub(crate) fn needs_from(&self) -> u64 {
        self.parked.iter().map(|parked| parked.first).fold(self.acked + 1, u64::min)
    }
}

fn key(name: &str) -> Vec<u8> {
    let mut key = vec![prefix::CURSOR];
    key.extend_from_slice(name.as_bytes());
    key
}
