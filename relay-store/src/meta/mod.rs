//! The small transactional state: one sled tree, a key prefix per kind, so that one batch spans all kinds.
//!
//! | prefix | file | holds |
//! |---|---|---|
//! | `m` | `mark.rs` | the commit mark and the checkpoint |
//! | `s` | `catalogue.rs` | one record a segment |
//! | `g` | `catalogue.rs` | lost ranges |
//! | `x` | `catalogue.rs` | hidden ranges that cross a segment's start |
//! | `p` | `catalogue.rs` | prepared ranges |
//! | `u` | `cursor.rs` | cursors |
//! | `v` | `schema.rs` | schema versions |
//! | `n` | `note.rs` | notes of the caller |
//!
//! Every value is in chunks with a checksum over the whole (`db.rs`); everything but schema versions is held in memory
//! too, so that sled is read once, at open.

pub(crate) mod catalogue;
pub(crate) mod cursor;
pub(crate) mod db;
pub(crate) mod engine;
pub(crate) mod mark;
pub(crate) mod note;
pub(crate) mod schema;

/// Prefix byte of each kind of key.
pub(crate) mod prefix {
    pub const MARK: u8 = b'm';
    pub const SEGMENT: u8 = b's';
    pub const GAP: u8 = b'g';
    pub const CROSSING: u8 = b'x';
    pub const PREPARED: u8 = b'p';
    pub const CURSOR: u8 = b'u';
    pub const SCHEMA: u8 = b'v';
    pub const NOTE: u8 = b'n';
}

/// A key of a kind whose name is a number: big-endian, so that keys sort as numbers do.
pub(crate) fn number_key(prefix: u8, number: u64) -> Vec<u8> {
    let mut key = vec![prefix];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The number of a key made by [`number_key`].
pub(crate) fn key_number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*key.get(1..)?.first_chunk()?)).filter(|_| key.len() == 9)
}
