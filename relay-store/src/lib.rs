//! A durable log of opaque entries, with checkpoints, cursors and retention.
//!
//! Bytes lie in append-only segment files, the small transactional truth in sled; `DESIGN.md` describes every byte.
//! One thread writes. The caller's [`Appender`] builds blocks, the writer groups them: one write, one sync of the
//! segment, one durable batch in sled that holds the mark, the checkpoint and the cursors that moved. Only then is
//! anyone told. Under load a second thread syncs one group while the next is written. A [`Reader`] reads whole blocks, up
//! to the last closed transaction that is durable.
//!
//! ```
//! use relay_store::{Commit, EntryHeader, Read, Seq, Store, StoreOptions};
//!
//! # let dir = tempfile::tempdir()?;
//! let store = Store::open(dir.path(), StoreOptions::default())?;
//! let mut appender = store.appender()?; // a second one is refused while this one lives
//! let context: &[u8] = b"what the block's entries need to be readable";
//! let seq = appender.append(EntryHeader::default(), &[b"hello ", b"log"], &context)?;
//! appender.commit(Commit { checkpoint: b"source position", commit_time_us: 1, forget_prepared: None });
//! assert_eq!(appender.flush()?, seq); // durable from here on
//!
//! let Read::Block(block) = store.reader().read(Seq(1))? else { panic!("one block is visible") };
//! let block = block.decode()?;
//! assert_eq!(block.entries().next().map(|entry| entry.body), Some(&b"hello log"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where `x.rs` has a folder `x/` beside it, the folder holds its parts.
//!
//! | look in | for |
//! |---|---|
//! | `store.rs`, `format.rs` | opening, and what makes a directory a store |
//! | `recover.rs`, `recover/` | where the log ends: what is cut, what is named as lost, meta rebuilt |
//! | `append.rs`, `queue.rs`, `writer.rs` | the way of an entry to the disk |
//! | `block.rs`, `segment/`, `bounded.rs` | bytes |
//! | `meta/` | what sled holds |
//! | `read.rs`, `view.rs`, `read_only.rs` | reading, here and in another process |
//! | `gap.rs` | what cannot be read, and why |
//! | `address.rs` | how a time address is resolved |
//! | `cursor.rs`, `snapshot.rs` | the sinks' places |
//! | `retention.rs`, `trim.rs` | what goes, and how it goes |
//! | `room.rs`, `disk.rs` | the full disk |
//! | `verify.rs` | the whole log against its checksums |
//! | `durable.rs` | who waits for what; poisoning |

mod address;
mod append;
mod block;
mod bounded;
mod buffers;
mod clock;
mod cursor;
mod disk;
mod durable;
mod end;
mod entry;
mod error;
mod format;
mod gap;
mod lockfile;
mod meta;
mod options;
mod queue;
mod read;
mod read_only;
mod recover;
mod retention;
mod room;
mod segment;
mod seq;
mod shared;
mod snapshot;
mod stats;
mod store;
mod trim;
mod verify;
mod view;
mod writer;

pub use address::{LocateError, Located};
pub use append::{Appender, BlockContext, Commit, Submit};
pub use cursor::{CursorOptions, CursorState, Cursors, Parked};
pub use durable::{Durable, Wait};
pub use end::PreparedRange;
pub use entry::{ENTRY_BYTES_MAX, Entry, EntryHeader, SOURCE_POS_MAX, kind};
pub use error::{AppendError, CursorError, OpenError, Poisoned, ReadError, StorageError};
pub use gap::{Damage, Gap, GapReason};
pub use meta::note::{NOTE_KEY_BYTES_MAX, Note};
pub use meta::schema::SchemaVersion;
pub use options::{Codec, Lagging, OPAQUE_BYTES_MAX, Retention, StoreOptions};
pub use read::{Block, MarkedEntry, RawBlock, Read, Reader};
pub use read_only::ReadOnlyLog;
pub use recover::OpenReport;
pub use seq::{CursorEpoch, LogEpoch, Seq};
pub use snapshot::{CursorSnapshot, cursor_snapshot};
pub use stats::{DiskFull, Oversized, SYNC_BOUNDS_US, StoreStats};
pub use store::Store;
pub use verify::{Progress, VerifyReport};
pub use view::{Positions, SegmentInfo};
