//! Notes: small opaque values of the caller under keys of its own, durable in the same batch as what it appended before
//! them. They say how far work beside the log has come, so that a crash can never tell the two apart.

use super::db::Batch;
use super::prefix;

/// Longest key: it lies in every chunk's key.
pub const NOTE_KEY_BYTES_MAX: usize = 512;

/// A note, or that there is none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The caller's name for it, at most [`NOTE_KEY_BYTES_MAX`] bytes.
    pub key: Vec<u8>,
    /// What the caller wants back; none takes the note away.
    pub value: Option<Vec<u8>>,
}

impl Note {
    pub(crate) fn put(&self, batch: &mut Batch) {
        let mut key = vec![prefix::NOTE];
        key.extend_from_slice(&self.key);
        match &self.value {
            Some(value) => batch.put(key, value.clone()),
            None => batch.delete(key),
        }
    }
}

/// The caller's key in a key of meta.
pub(crate) fn key(meta_key: &[u8]) -> Vec<u8> {
    meta_key.get(1..).unwrap_or_default().to_vec()
}
