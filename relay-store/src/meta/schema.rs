//! Schema versions: opaque bytes under an id. The store knows no columns; it keeps a version as long as a kept
//! segment needs it, and repeats it in each segment that does.

use bincode::{Decode, Encode};

use super::catalogue::{decode, encode};
use super::db::Batch;
use super::{number_key, prefix};
use crate::error::StorageError;

/// One version of a schema, opaque to the store.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SchemaVersion {
    /// The caller's number for it; never given to other bytes.
    pub id: u64,
    /// What the caller wants back.
    pub bytes: Vec<u8>,
}

/// A version in meta, with when it was superseded.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SchemaRecord {
    pub bytes: Vec<u8>,
    /// Last seq before which it was in force; entries up to it may need it.
    pub retired_at: Option<u64>,
}

pub(crate) fn key(id: u64) -> Vec<u8> {
    number_key(prefix::SCHEMA, id)
}

impl SchemaRecord {
    pub(crate) fn put(&self, id: u64, batch: &mut Batch) {
        batch.put(key(id), encode(self));
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, StorageError> {
        decode("schema version", value)
    }
}

/// The payload of a block of schema versions.
pub(crate) fn encode_block(versions: &[SchemaVersion]) -> Vec<u8> {
    encode(&versions.to_vec())
}

/// The versions in the payload of such a block.
pub(crate) fn decode_block(payload: &[u8]) -> Result<Vec<SchemaVersion>, StorageError> {
    decode("schema block", payload)
}
