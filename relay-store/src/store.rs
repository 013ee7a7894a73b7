//! The store: open, hand out its parts, close.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::address::{self, LocateError, Located};
use crate::append::Appender;
use crate::cursor::{CursorTable, Cursors};
use crate::durable::{Durable, lock};
use crate::error::{AppendError, OpenError, ReadError, StorageError};
use crate::gap::Damage;
use crate::lockfile::LockFile;
use crate::meta::schema::{self, SchemaRecord, SchemaVersion};
use crate::options::{Retention, StoreOptions};
use crate::read::Reader;
use crate::recover::{self, OpenReport, Recovered};
use crate::seq::{LogEpoch, Seq};
use crate::shared::Shared;
use crate::stats::StoreStats;
use crate::verify::{self, Progress, VerifyReport};
use crate::view::{Positions, SegmentInfo};
use crate::writer::{Committer, Writer};

struct Inner {
    shared: Arc<Shared>,
    report: OpenReport,
    writer: Mutex<Option<JoinHandle<()>>>,
    _lock: LockFile,
}

/// An open store. Cheap to clone; the last clone closes it.
///
/// It keeps the promise *log before anything*: a checkpoint is in the same durable batch as the commit it covers, and
/// nothing is visible, acknowledged or published before that batch is synced.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

impl Store {
    /// Opens the store in `dir`, or creates one in a directory that is empty or missing. Recovers from whatever ended
    /// the last life; [`Store::opened`] says what that took.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is changed by a failure, except that a rebuilt meta stays rebuilt.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Store, OpenError> {
        check_options(&options)?;
        let Recovered {
            lock: lock_file,
            db,
            segment,
            published,
            mark,
            end,
            view,
            cursors,
            spent_epoch,
            schemas,
            notes,
            ballast,
            report,
        } = recover::open(dir, &options)?;
        let uuid = mark.uuid;
        let shared = Arc::new(Shared::new(
            dir.to_owned(),
            view.log_dir.clone(),
            uuid,
            options,
            Arc::new(view),
            CursorTable::of_records(cursors, spent_epoch),
            end.clone(),
            schemas,
            notes,
            db.reader()?,
        ));
        let no_thread = |error| StorageError::io("start the writer's threads of", dir, error);
        let committer = Committer::start(shared.clone(), db, published).map_err(no_thread)?;
        let writer = Writer::new(shared.clone(), committer, segment, mark, end, ballast);
        let thread = std::thread::Builder::new()
            .name("relay-store".to_owned())
            .spawn(move || writer.run())
            .map_err(no_thread)?;
        let writer = Mutex::new(Some(thread));
        Ok(Store { inner: Arc::new(Inner { shared, report, writer, _lock: lock_file }) })
    }

    /// Opens a store that is there already: what a tool does with a stopped one.
    ///
    /// # Errors
    /// [`OpenError::Missing`], else as [`Store::open`].
    pub fn open_existing(dir: &Path, options: StoreOptions) -> Result<Store, OpenError> {
        if !dir.join("FORMAT").is_file() {
            return Err(OpenError::Missing { dir: dir.to_owned() });
        }
        Store::open(dir, options)
    }

    /// Identifies this store for ever.
    pub fn uuid(&self) -> [u8; 16] {
        self.inner.shared.uuid
    }

    /// What opening found and did.
    pub fn opened(&self) -> &OpenReport {
        &self.inner.report
    }

    /// The single appender. It goes on behind what an earlier one submitted, and first abandons a transaction that was
    /// left open. Resume the source at [`Appender::checkpoint`].
    ///
    /// # Errors
    /// [`AppendError::AppenderOpen`] while another lives; [`AppendError::Poisoned`]; [`AppendError::Closed`].
    pub fn appender(&self) -> Result<Appender, AppendError> {
        Appender::new(self.inner.shared.clone())
    }

    /// A reader of its own for each consumer.
    pub fn reader(&self) -> Reader {
        let shared = &self.inner.shared;
        Reader::new(shared.view.clone(), Some(shared.meta.clone()))
    }

    /// The cursors.
    pub fn cursors(&self) -> Cursors {
        Cursors::new(self.inner.shared.clone())
    }

    /// A handle that others wait on.
    pub fn durable(&self) -> Durable {
        Durable::new(self.inner.shared.watch.clone())
    }

    /// Where the log begins and ends.
    pub fn positions(&self) -> Positions {
        let shared = &self.inner.shared;
        let view = shared.view.lock();
        let durable = view.mark.durable_seq;
        let submitted = lock(&shared.end).as_ref().map_or(durable, |end| end.last_seq);
        Positions {
            first_seq: Seq(view.mark.first_seq),
            visible_seq: Seq(view.mark.visible_seq),
            durable_seq: Seq(durable),
            last_seq: Seq(submitted.max(durable)),
            log_epoch: LogEpoch(view.mark.log_epoch),
        }
    }

    /// The checkpoint of the last durable group; `None` before the first.
    pub fn checkpoint(&self) -> Option<Vec<u8>> {
        lock(&self.inner.shared.checkpoint).clone()
    }

    /// The schema versions that are kept, by id.
    ///
    /// # Errors
    /// [`ReadError::Storage`] when meta cannot be read.
    pub fn schema_versions(&self) -> Result<Vec<SchemaVersion>, ReadError> {
        let shared = &self.inner.shared;
        let ids: Vec<u64> = lock(&shared.schemas).keys().copied().collect();
        let mut versions = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(value) = shared.meta.get(&schema::key(id))? {
                versions.push(SchemaVersion { id, bytes: SchemaRecord::decode(&value)?.bytes });
            }
        }
        Ok(versions)
    }

    /// The notes under keys that begin with `prefix`, by key. One that was handed in is here from the moment that the
    /// writer has it, a little before it is durable.
    pub fn notes(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let notes = lock(&self.inner.shared.notes);
        let from = notes.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        from.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The first transaction whose commit time reaches `us` (microseconds since the Unix epoch).
    ///
    /// # Errors
    /// Before the log's start, after its end, or unreadable.
    pub fn locate_time(&self, us: u64) -> Result<Located, LocateError> {
        address::locate_time(&self.inner.shared.view, self.reader(), us)
    }

    /// Where the checkpoint first satisfies `covers`, which must stay true from there on.
    ///
    /// # Errors
    /// Before the log's start, after its end, or unreadable.
    pub fn locate_checkpoint(&self, covers: &mut dyn FnMut(&[u8]) -> bool) -> Result<Located, LocateError> {
        address::locate_checkpoint(&self.inner.shared.view, covers)
    }

    /// The segments, in order.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.inner.shared.view.segments()
    }

    /// Reads every block below the mark and checks it. Runs beside the writer. It only tells: what is lost is
    /// named for good when it is read.
    ///
    /// # Errors
    /// The disk refuses. What does not verify is in the report.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport, ReadError> {
        verify::verify(&self.inner.shared.view, progress)
    }

    /// Places found so far that do not verify.
    pub fn damage(&self) -> Vec<Damage> {
        self.inner.shared.view.lock().damage.clone()
    }

    /// Counters and sizes.
    pub fn stats(&self) -> StoreStats {
        let shared = &self.inner.shared;
        let counters = &shared.counters;
        let segments = self.segments();
        let times = |pick: fn((u64, u64)) -> u64| segments.iter().filter_map(move |segment| segment.times.map(pick));
        let mut sync_histogram = [0; 13];
        for (to, from) in sync_histogram.iter_mut().zip(&counters.sync_histogram) {
            *to = from.load(Ordering::Relaxed);
        }
        StoreStats {
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            segments: segments.len(),
            oldest_us: times(|(min, _)| min).min(),
            newest_us: times(|(_, max)| max).max(),
            groups: counters.groups.load(Ordering::Relaxed),
            blocks: counters.blocks.load(Ordering::Relaxed),
            entries: counters.entries.load(Ordering::Relaxed),
            raw_bytes: counters.raw_bytes.load(Ordering::Relaxed),
            written_bytes: counters.written_bytes.load(Ordering::Relaxed),
            trimmed_bytes: counters.trimmed_bytes.load(Ordering::Relaxed),
            queued_bytes: lock(&shared.queue.state).bytes,
            sync_time: Duration::from_micros(counters.sync_us.load(Ordering::Relaxed)),
            sync_histogram,
            disk_full: lock(&counters.disk_full).clone(),
        }
    }

    /// Changes what retention goes by; the writer looks at it at once, and every second.
    pub fn set_retention(&self, retention: Retention) {
        *lock(&self.inner.shared.retention) = retention;
        self.inner.shared.queue.signal(|state| state.tick = true);
    }

    /// Writes what was submitted, and closes. What other handles ask afterwards is refused.
    pub fn close(self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        self.shared.queue.signal(|state| state.closing = true);
        if let Some(thread) = lock(&self.writer).take() {
            // A panic of the thread has poisoned the store already; there is nobody else to tell.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

fn check_options(options: &StoreOptions) -> Result<(), OpenError> {
    let bounds: [(&'static str, u64, u64, u64, &'static str); 4] = [
        ("block_bytes", options.block_bytes as u64, 1 << 10, 8 << 20, "1 KiB to 8 MiB"),
        ("segment_bytes", options.segment_bytes, 64 << 10, 4 << 30, "64 KiB to 4 GiB"),
        ("queue_bytes", options.queue_bytes as u64, 64 << 10, 1 << 30, "64 KiB to 1 GiB"),
        ("commit_interval (microseconds)", options.commit_interval.as_micros() as u64, 0, 10_000_000, "at most 10 s"),
    ];
    for (option, value, min, max, must) in bounds {
        if !(min..=max).contains(&value) {
            return Err(OpenError::Option { option, value, must });
        }
    }
    Ok(())
}
