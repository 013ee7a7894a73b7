//! Lines to a file or to standard output: the destination that needs no server.
//!
//! A line of a file is acked once `fdatasync` returned over it. The sink's state is the file's length at the acked
//! seq: what lies beyond at the next start was never acked, and is cut before the same records are written again.
//! Standard output, a pipe or a device cannot be synced or cut: acked means handed to the operating system.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use relay_store::Seq;
use tokio::task::JoinHandle;

use super::{Ack, Batch, Opening, Progress, Sink, SinkError};
use crate::config::FileConfig;

/// The largest stretch searched for the start of a torn line.
const TAIL_SEARCH_BYTES_MAX: u64 = 1 << 30;
/// Bytes written while a sync runs; beyond that the delivery waits for it.
const UNSYNCED_BYTES_MAX: u64 = 16 << 20;
/// Standard output stands for this path.
const STDOUT: &str = "-";

enum Target {
    Closed,
    Stdout,
    /// A pipe or a device.
    Stream(File),
    File(File),
}

/// How far the file is written and synced; shared with the thread that syncs it.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    written: Seq,
    length: u64,
    synced_length: u64,
    /// A thread syncs, and goes on until it has covered all that is written.
    syncing: bool,
}

/// Writes each record's value as one line.
pub struct FileSink {
    path: PathBuf,
    target: Target,
    progress: Progress,
    extent: Arc<Mutex<Extent>>,
    syncing: Option<JoinHandle<()>>,
    lines: Vec<u8>,
}

impl FileSink {
    /// A sink for that file; nothing is touched before `open`.
    pub fn new(config: &FileConfig) -> Self {
        Self {
            path: config.path.clone(),
            target: Target::Closed,
            progress: Progress::default(),
            extent: Arc::default(),
            syncing: None,
            lines: Vec::new(),
        }
    }

    fn failed(&self, what: &str, error: &io::Error) -> SinkError {
        failed(&self.path, what, error)
    }

    fn extent(&self) -> MutexGuard<'_, Extent> {
        lock(&self.extent)
    }

    /// Waits until all that is written is synced, or the sync has failed.
    async fn settle(&mut self) -> Result<(), SinkError> {
        if let Some(syncing) = self.syncing.take() {
            syncing.await.map_err(|e| SinkError::transient(format!("sync {}: {e}", self.path.display())))?;
        }
        self.progress.failure().map_or(Ok(()), Err)
    }

    /// Sees to it that what is written is synced and then acked, also when nothing more comes.
    fn start_sync(&mut self) -> Result<(), SinkError> {
        let Target::File(file) = &self.target else { return Ok(()) };
        let mut extent = lock(&self.extent);
        if extent.syncing || extent.written <= self.progress.acked() {
            return Ok(());
        }
        if extent.length == extent.synced_length {
            self.progress.ack(extent.written);
            return Ok(());
        }
        let file = file.try_clone().map_err(|e| self.failed("open", &e))?;
        extent.syncing = true;
        let (shared, progress, path) = (Arc::clone(&self.extent), self.progress.clone(), self.path.clone());
        self.syncing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = sync_all_written(&file, &shared, &progress) {
                progress.fail(failed(&path, "sync", &error));
            }
        }));
        Ok(())
    }
}

/// Syncs until nothing more is written, acking after each sync what it covered.
fn sync_all_written(file: &File, shared: &Mutex<Extent>, progress: &Progress) -> io::Result<()> {
    loop {
        let Extent { written, length, .. } = *lock(shared);
        // After a failure `syncing` stays set: the sink is at its end, and a second sync might hide what was lost.
        file.sync_data()?;
        // IMPORTANT: the ack comes after the sync, with the length that the sync covered; the other order would
        // let a power cut take acked lines.
        progress.ack_with(written, length.to_be_bytes().to_vec());
        let mut extent = lock(shared);
        extent.synced_length = length;
        if extent.written == written {
            extent.syncing = false;
            return Ok(());
        }
    }
}

fn lock(extent: &Mutex<Extent>) -> MutexGuard<'_, Extent> {
    extent.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(path: &Path, what: &str, error: &io::Error) -> SinkError {
    let reason = format!("{what} {}: {error}", path.display());
    match error.kind() {
        // Another path or other rights are needed; waiting brings neither.
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory => {
            SinkError::definite(reason).advise("create the folder, grant the rights or change `path`, then resume")
        }
        // A reader that went away does not come back.
        io::ErrorKind::BrokenPipe => SinkError::definite(reason),
        _ => SinkError::transient(reason),
    }
}

impl Sink for FileSink {
    async fn open(&mut self, opening: Opening) -> Result<(), SinkError> {
        self.progress = opening.progress;
        self.extent = Arc::new(Mutex::new(Extent { written: opening.acked, ..Extent::default() }));
        if self.path == Path::new(STDOUT) {
            self.target = Target::Stdout;
            return Ok(());
        }
        let acked_length = match <[u8; 8]>::try_from(opening.state.as_slice()) {
            Ok(length) => Some(u64::from_be_bytes(length)),
            Err(_) if opening.state.is_empty() => None,
            Err(_) => return Err(SinkError::definite("state of the file sink is not a length")),
        };
        let path = self.path.clone();
        let opened = tokio::task::spawn_blocking(move || open_at(&path, acked_length)).await;
        let (file, length) = match opened {
            Ok(Ok(Opened::File(file, length))) => (file, length),
            Ok(Ok(Opened::Stream(file))) => {
                self.target = Target::Stream(file);
                return Ok(());
            }
            Ok(Err(error)) => return Err(self.failed("open", &error)),
            Err(error) => return Err(SinkError::transient(format!("open {}: {error}", self.path.display()))),
        };
        if let Some(acked) = acked_length.filter(|&acked| acked > length) {
            return Err(SinkError::definite(format!(
                "{} has {length} bytes, {acked} were acked: it was cut or replaced",
                self.path.display()
            ))
            .advise("give the file back, or reset the cursor to write it again"));
        }
        {
            let mut extent = self.extent();
            (extent.length, extent.synced_length) = (length, length);
        }
        self.target = Target::File(file);
        Ok(())
    }

    async fn deliver(&mut self, batch: &Batch) -> Result<Ack, SinkError> {
        let Extent { length, synced_length, .. } = *self.extent();
        if length - synced_length > UNSYNCED_BYTES_MAX {
            self.settle().await?;
        } else if let Some(error) = self.progress.failure() {
            return Err(error);
        }
        self.lines.clear();
        for value in batch.records.iter().filter_map(|record| record.value) {
            self.lines.extend_from_slice(batch.get(value));
            self.lines.push(b'\n');
        }
        let lines = std::mem::take(&mut self.lines);
        let result = match &mut self.target {
            Target::File(file) | Target::Stream(file) => file.write_all(&lines),
            Target::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&lines).and_then(|()| out.flush())
            }
            Target::Closed => Err(io::Error::other("not open")),
        };
        let length = lines.len() as u64;
        self.lines = lines;
        if let Err(error) = result {
            let error = self.failed("write", &error);
            self.progress.fail(error.clone());
            return Err(error);
        }
        {
            let mut extent = self.extent();
            extent.length += length;
            extent.written = batch.last;
        }
        match self.target {
            Target::Stdout | Target::Stream(_) => self.progress.ack(batch.last),
            Target::File(_) | Target::Closed => self.start_sync()?,
        }
        Ok(self.progress.take_ack())
    }

    async fn close(&mut self) -> Result<Ack, SinkError> {
        self.settle().await?;
        self.target = Target::Closed;
        Ok(self.progress.take_ack())
    }
}

enum Opened {
    Stream(File),
    /// With the length that was kept.
    File(File, u64),
}

/// Opens for appending, cut back to the acked length; without one, to the end of the last whole line.
/// A file shorter than `acked` is left as it is.
fn open_at(path: &Path, acked: Option<u64>) -> io::Result<Opened> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(Opened::Stream(file));
    }
    let found = file.metadata()?.len();
    let keep = match acked {
        Some(acked) if acked > found => return Ok(Opened::File(file, found)),
        Some(acked) => acked,
        None => end_of_last_line(&file, found)?,
    };
    if keep < found {
        file.set_len(keep)?;
    }
    file.sync_all()?;
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // A new file is only durable once its folder is.
        File::open(folder)?.sync_all()?;
    }
    file.seek(SeekFrom::Start(keep))?;
    Ok(Opened::File(file, keep))
}

/// The length up to and including the last line feed.
fn end_of_last_line(file: &File, length: u64) -> io::Result<u64> {
    const STEP: u64 = 64 << 10;
    let mut end = length;
    let mut chunk = vec![0; STEP as usize];
    while end > 0 && length - end < TAIL_SEARCH_BYTES_MAX {
        let start = end.saturating_sub(STEP);
        let chunk = &mut chunk[..(end - start) as usize];
        file.read_exact_at(chunk, start)?;
        if let Some(at) = chunk.iter().rposition(|&b| b == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    if end > 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "no line ends in the last gibibyte: not a file of lines",
        ));
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Class;
    use crate::format::FormatName;
    use crate::sink::batch::tests::batch;
    use crate::sink::conformance::{Destination, conformance};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn file(&self) -> PathBuf {
            self.0.path().join("changes.jsonl")
        }
    }

    impl Destination for Folder {
        type Sink = FileSink;

        fn sink(&self) -> FileSink {
            sink(&self.file())
        }

        fn place(&self) -> &str {
            "lines"
        }

        fn values(&self) -> Vec<String> {
            let text = std::fs::read_to_string(self.file()).expect("lines");
            text.lines().map(str::to_owned).collect()
        }
    }

    conformance!(Folder(tempfile::tempdir().expect("folder")));

    fn sink(path: &Path) -> FileSink {
        FileSink::new(&FileConfig { path: path.to_owned(), format: FormatName::CanalJson })
    }

    fn opening(acked: u64, state: &[u8]) -> Opening {
        Opening::new("files", Seq(acked), state.to_vec())
    }

    async fn write(sink: &mut FileSink, opening: Opening, batches: &[Batch]) -> Ack {
        let progress = opening.progress.clone();
        sink.open(opening).await.expect("open");
        let mut last = Ack { seq: progress.acked(), state: None };
        for batch in batches {
            let ack = sink.deliver(batch).await.expect("deliver");
            assert!(ack.seq >= last.seq);
            last = Ack { seq: ack.seq, state: ack.state.or(last.state) };
        }
        let ack = sink.close().await.expect("close");
        Ack { seq: ack.seq, state: ack.state.or(last.state) }
    }

    #[tokio::test]
    async fn lines_are_acked_with_the_length_that_holds_them() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("changes.jsonl");
        let ack = write(&mut sink(&path), opening(0, b""), &[batch(1, &["a", "b"]), batch(3, &["c"])]).await;
        assert_eq!(std::fs::read_to_string(&path).expect("written"), "a\nb\nc\n");
        assert_eq!(ack, Ack { seq: Seq(3), state: Some(6u64.to_be_bytes().to_vec()) });
    }

    #[tokio::test]
    async fn entries_without_records_are_acked_too() {
        let dir = tempfile::tempdir().expect("folder");
        let mut empty = batch(1, &[]);
        empty.last = Seq(7);
        let ack = write(&mut sink(&dir.path().join("f")), opening(0, b""), &[empty]).await;
        assert_eq!(ack.seq, Seq(7));
    }

    #[tokio::test]
    async fn what_was_not_acked_is_cut_before_it_is_written_again() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("f");
        std::fs::write(&path, "a\nb\nhalf").expect("written");
        let ack = write(&mut sink(&path), opening(1, &2u64.to_be_bytes()), &[batch(2, &["b", "c"])]).await;
        assert_eq!(std::fs::read_to_string(&path).expect("written"), "a\nb\nc\n");
        assert_eq!(ack.seq, Seq(3));
    }

    #[tokio::test]
    async fn a_first_start_keeps_whole_lines_of_others_and_cuts_a_torn_one() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("f");
        let long = "x".repeat(200_000);
        std::fs::write(&path, format!("old\n{long}")).expect("written");
        write(&mut sink(&path), opening(0, b""), &[batch(1, &["new"])]).await;
        assert_eq!(std::fs::read_to_string(&path).expect("written"), "old\nnew\n");
    }

    #[tokio::test]
    async fn a_file_shorter_than_its_ack_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("f");
        std::fs::write(&path, "a\n").expect("written");
        let error = sink(&path).open(opening(5, &99u64.to_be_bytes())).await.unwrap_err();
        assert_eq!(error.class, Class::Definite);
        assert!(error.reason.contains("99") && error.next_step.is_some(), "{error:?}");
        assert_eq!(std::fs::read_to_string(&path).expect("left"), "a\n");
    }

    #[tokio::test]
    async fn a_device_is_written_to_without_a_sync() {
        let ack = write(&mut sink(Path::new("/dev/null")), opening(0, b""), &[batch(1, &["a", "b"])]).await;
        assert_eq!(ack, Ack { seq: Seq(2), state: None });
    }

    #[tokio::test]
    async fn a_missing_folder_is_definite_and_named() {
        let error = sink(Path::new("/nonexistent-folder/f")).open(opening(0, b"")).await.unwrap_err();
        assert_eq!(error.class, Class::Definite);
        assert!(error.reason.contains("/nonexistent-folder/f"), "{error:?}");
    }
}
