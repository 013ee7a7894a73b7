//! Writing one segment file: create, append blocks, sync, seal, cut back.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use super::footer::{self, SegmentIndex};
use super::{SegmentHeader, encode_header, path};
use crate::error::StorageError;

/// The most slices one `writev` takes on Linux (`UIO_MAXIOV`).
const SLICES_MAX: usize = 1024;

/// The most bytes one `writev` is given. Larger ones make the kernel fill the page cache with its largest folios, which
/// come from memory that nobody touched lately: on a virtual machine each is a fault in the host, and the same bytes
/// then cost up to ten times the CPU.
const WRITE_BYTES_MAX: usize = 256 * 1024;

/// The segment that is appended to.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    path: Arc<Path>,
    file: Arc<File>,
    /// Where the next block goes.
    pub offset: u64,
    pub index: SegmentIndex,
}

impl SegmentWriter {
    /// Creates the file with its header; file and directory are synced on return, so that a mark may point into it.
    pub(crate) fn create(log_dir: &Path, header: &SegmentHeader) -> Result<Self, StorageError> {
        let path = path(log_dir, header.first_seq);
        let bytes = encode_header(header);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| StorageError::io("create segment", &path, error))?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Nothing points at it yet; a file that stays behind is removed at the next open.
            let _ = std::fs::remove_file(&path);
            return Err(StorageError::io("write segment header", &path, error));
        }
        sync_dir(log_dir)?;
        let start = bytes.len() as u64;
        Ok(SegmentWriter {
            path: path.into(),
            file: Arc::new(file),
            offset: start,
            index: SegmentIndex::of_header(header, start),
        })
    }

    /// Goes on in a segment whose blocks end at `index.end`; what lies behind is cut, and the cut is synced.
    pub(crate) fn resume(log_dir: &Path, index: SegmentIndex) -> Result<Self, StorageError> {
        let path = path(log_dir, index.first_seq);
        let io = |error| StorageError::io("open segment for writing", &path, error);
        let mut file = OpenOptions::new().write(true).open(&path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        if len != index.end {
            file.set_len(index.end).and_then(|()| file.sync_all()).map_err(io)?;
        }
        io::Seek::seek(&mut file, io::SeekFrom::Start(index.end)).map_err(io)?;
        Ok(SegmentWriter { offset: index.end, path: path.into(), file: Arc::new(file), index })
    }

    /// Writes `slices` at the end. On an error the file is cut back to where it was, and nothing is appended.
    pub(crate) fn write(&mut self, slices: &mut [IoSlice<'_>]) -> Result<u64, StorageError> {
        let total: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        match write_all_slices(&self.file, slices) {
            Ok(()) => {
                self.offset += total;
                Ok(total)
            }
            Err(error) => {
                self.cut_back()?;
                Err(StorageError::io("write segment", &self.path, error))
            }
        }
    }

    fn cut_back(&mut self) -> Result<(), StorageError> {
        self.file
            .set_len(self.offset)
            .and_then(|()| io::Seek::seek(&mut &*self.file, io::SeekFrom::Start(self.offset)).map(drop))
            .map_err(|error| StorageError::io("cut segment back", &self.path, error))
    }

    /// What makes all durable that was written so far.
    pub(crate) fn unsynced(&self) -> Unsynced {
        Unsynced { path: self.path.clone(), file: self.file.clone() }
    }

    /// Writes the footer and syncs it. The file takes no blocks after that.
    pub(crate) fn seal(&mut self, sealed_ms: u64) -> Result<u64, StorageError> {
        self.index.sealed_ms = sealed_ms;
        let footer = footer::encode(&self.index);
        self.write(&mut [IoSlice::new(&footer)])?;
        self.unsynced().sync()?;
        Ok(self.offset)
    }
}

/// A segment that was written to. It may be synced from another thread while more is written.
#[derive(Debug)]
pub(crate) struct Unsynced {
    path: Arc<Path>,
    file: Arc<File>,
}

impl Unsynced {
    /// Makes what was written durable. IMPORTANT: never retried; the kernel may have dropped the dirty pages, so a
    /// second call could succeed with the data gone.
    pub(crate) fn sync(self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(|error| StorageError::io("sync segment", &self.path, error))
    }
}

fn write_all_slices(mut file: &File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let mut room = WRITE_BYTES_MAX;
        let mut batch = Vec::new();
        for slice in slices.iter().take(SLICES_MAX) {
            let part = &slice[..slice.len().min(room)];
            batch.push(IoSlice::new(part));
            room -= part.len();
            if room == 0 {
                break;
            }
        }
        match file.write_vectored(&batch) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Syncs a directory, so that the names in it are durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| StorageError::io("sync directory", dir, error))
}
