//! How a store is opened: codec, group commit, sizes, retention. Every limit of the store is here, with its reason.

use std::time::Duration;

/// How block payloads are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// As they are.
    None,
    /// LZ4 block format: cheap in both directions.
    #[default]
    Lz4,
    /// Zstandard at level 3: smaller, about four times the CPU of LZ4.
    Zstd,
}

/// What happens to a cursor that stands in the way of the retention limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lagging {
    /// As the log's own policy says.
    #[default]
    Log,
    /// What it has not acknowledged is kept.
    Hold,
    /// It loses its place: marked lost, with its gap named.
    Expire,
}

/// What may go from the front of the log. A limit that is `None` does not apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retention {
    /// Age of a segment since it was sealed, by our clock. A segment is sealed when it is full, or when it took entries
    /// for an eighth of this: so what is older than nine eighths goes from a quiet log too.
    pub max_age: Option<Duration>,
    /// Bytes of all segments together.
    pub max_bytes: Option<u64>,
    /// The policy for cursors that have none of their own; [`Lagging::Log`] means [`Lagging::Hold`] here.
    pub lagging: Lagging,
    /// Free bytes of the disk below which delivered data goes first, and then appending stops.
    pub disk_free_min: u64,
}

/// How a [`Store`](crate::Store) is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// How block payloads are stored. Blocks of each codec stay readable whatever is set here.
    pub codec: Codec,
    /// At most one commit group starts in this time, unless [`group_bytes`](Self::group_bytes) are waiting or the queue
    /// is full.
    pub commit_interval: Duration,
    /// A group starts as soon as this many bytes wait; `None`: by the timer, or when the queue is full.
    pub group_bytes: Option<usize>,
    /// A block closes at this many uncompressed bytes; a larger entry is a block of its own.
    pub block_bytes: usize,
    /// A segment is closed before it grows beyond this many bytes; a larger block is alone in its segment.
    pub segment_bytes: u64,
    /// Bytes of sealed blocks that may wait for the writer.
    pub queue_bytes: usize,
    /// What may go from the front of the log.
    pub retention: Retention,
    /// Size of the file that is freed when the disk is full, so that meta commits still work; 0: none.
    pub ballast_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            codec: Codec::Lz4,
            commit_interval: Duration::from_millis(5),
            group_bytes: Some(1 << 20),
            block_bytes: 128 << 10,
            segment_bytes: 64 << 20,
            queue_bytes: 8 << 20,
            retention: Retention::default(),
            ballast_bytes: 16 << 20,
        }
    }
}

/// Bytes of queued blocks that one group takes, however long the queue: bounds the time to its sync and the memory of
/// compressed blocks.
pub(crate) const GROUP_BYTES_MAX: usize = 32 << 20;

/// A block larger than this is stored uncompressed, so that memory stays at one copy of it.
pub(crate) const COMPRESS_BYTES_MAX: usize = 8 << 20;

/// Checkpoints, contexts and cursor states larger than this are refused.
pub const OPAQUE_BYTES_MAX: usize = 16 << 20;
