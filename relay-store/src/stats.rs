//! Counters of an open store.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::seq::Seq;

/// Upper bounds of the sync latency histogram, microseconds; the last bucket takes the rest.
pub const SYNC_BOUNDS_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

/// Why nothing is written at the moment, although blocks wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFull {
    /// Free bytes of the disk.
    pub free_bytes: u64,
    /// Free bytes that the next group needs, with the floor.
    pub needed_bytes: u64,
    /// The transaction that alone does not fit. Given up and sent again, it waits until more than its bytes are free
    /// above the floor; reopening the store tries it once without that.
    pub oversized: Option<Oversized>,
}

/// A transaction that filled the disk when nothing but itself was left to make room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversized {
    /// Its first seq.
    pub first: Seq,
    /// Its bytes in the log, with those that found no room.
    pub bytes: u64,
}

/// What an open store did and holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Number of segments.
    pub segments: usize,
    /// Smallest commit time that is kept, microseconds.
    pub oldest_us: Option<u64>,
    /// Largest commit time, microseconds.
    pub newest_us: Option<u64>,
    /// Commit groups since open.
    pub groups: u64,
    /// Blocks and entries written since open.
    pub blocks: u64,
    /// See `blocks`.
    pub entries: u64,
    /// Bytes of block payloads before compression, since open.
    pub raw_bytes: u64,
    /// Bytes written to segments since open.
    pub written_bytes: u64,
    /// Bytes that wait for the writer.
    pub queued_bytes: usize,
    /// Time spent in syncs of segments and meta since open.
    pub sync_time: Duration,
    /// Groups by time of their syncs: bounds as [`SYNC_BOUNDS_US`].
    pub sync_histogram: [u64; 13],
    /// Entries and bytes trimmed since open.
    pub trimmed_bytes: u64,
    /// Why nothing is written, when the disk is full.
    pub disk_full: Option<DiskFull>,
}

/// Written by the writer thread.
#[derive(Default)]
pub(crate) struct Counters {
    pub groups: AtomicU64,
    pub blocks: AtomicU64,
    pub entries: AtomicU64,
    pub raw_bytes: AtomicU64,
    pub written_bytes: AtomicU64,
    pub trimmed_bytes: AtomicU64,
    pub sync_us: AtomicU64,
    pub sync_histogram: [AtomicU64; 13],
    pub disk_full: Mutex<Option<DiskFull>>,
}
