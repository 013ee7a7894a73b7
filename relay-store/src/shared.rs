//! What the writer thread, the appender, the readers and the cursors of one open store share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::buffers::Buffers;
use crate::cursor::CursorTable;
use crate::durable::Watch;
use crate::end::LogEnd;
use crate::error::AppendError;
use crate::meta::db::MetaReader;
use crate::options::{Retention, StoreOptions};
use crate::queue::Queue;
use crate::stats::Counters;
use crate::view::LogView;

pub(crate) struct Shared {
    pub dir: PathBuf,
    pub log_dir: PathBuf,
    pub uuid: [u8; 16],
    pub options: StoreOptions,
    pub retention: Mutex<Retention>,
    pub queue: Queue,
    pub watch: Arc<Watch>,
    pub view: Arc<LogView>,
    pub cursors: Mutex<CursorTable>,
    pub counters: Counters,
    /// Where the next appender goes on; taken while one lives.
    pub end: Mutex<Option<LogEnd>>,
    /// Last checkpoint that is durable.
    pub checkpoint: Mutex<Option<Vec<u8>>>,
    /// Ids of the schema versions in meta.
    pub schemas: Mutex<std::collections::BTreeMap<u64, Option<u64>>>,
    /// Notes in meta, by key.
    pub notes: Mutex<std::collections::BTreeMap<Vec<u8>, Vec<u8>>>,
    pub meta: MetaReader,
    /// Memory of the blocks on their way to the writer.
    pub buffers: Buffers,
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "the parts of an opened store, each made elsewhere")]
    pub(crate) fn new(
        dir: PathBuf,
        log_dir: PathBuf,
        uuid: [u8; 16],
        options: StoreOptions,
        view: Arc<LogView>,
        cursors: CursorTable,
        end: LogEnd,
        schemas: std::collections::BTreeMap<u64, Option<u64>>,
        notes: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
        meta: MetaReader,
    ) -> Self {
        let watch = Arc::new(Watch::default());
        {
            let view = view.lock();
            watch.publish(view.mark.durable_seq, view.mark.visible_seq);
        }
        Shared {
            dir,
            log_dir,
            uuid,
            retention: Mutex::new(options.retention.clone()),
            queue: Queue::new(&options),
            // As many as the queue holds: fewer would be faulted in anew, page by page, at full rate.
            buffers: Buffers::new(options.queue_bytes / options.block_bytes + 1, 2 * options.block_bytes.max(1 << 16)),
            options,
            watch,
            view,
            cursors: Mutex::new(cursors),
            counters: Counters::default(),
            checkpoint: Mutex::new(end.checkpoint.clone()),
            end: Mutex::new(Some(end)),
            schemas: Mutex::new(schemas),
            notes: Mutex::new(notes),
            meta,
        }
    }

    /// Ends the store's life for everyone who waits on it.
    pub(crate) fn end_with(&self, reason: &AppendError) {
        self.queue.end(reason);
        self.watch.end(reason.clone());
    }
}
