//! Free space, and the ballast: a file whose only use is to be deleted when the disk is full, so that sled, which does
//! not survive a full disk, and retention still have room.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::StorageError;

/// Free bytes for us on the file system of `path`.
pub(crate) fn free_bytes(path: &Path) -> Result<u64, StorageError> {
    let stat =
        rustix::fs::statvfs(path).map_err(|errno| StorageError::io("look at free space of", path, errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The ballast file.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    pub bytes: u64,
    pub present: bool,
}

impl Ballast {
    pub(crate) fn new(dir: &Path, bytes: u64) -> Self {
        let path = dir.join("ballast");
        let present = path.is_file();
        Ballast { path, bytes, present }
    }

    /// Gives its space back.
    pub(crate) fn release(&mut self) -> Result<(), StorageError> {
        self.present = false;
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StorageError::io("remove ballast", &self.path, error))
            }
            _ => Ok(()),
        }
    }

    /// Takes its space again. A disk that has no room for it is no error: there is nothing to hold then.
    pub(crate) fn take(&mut self) -> Result<(), StorageError> {
        if self.present || self.bytes == 0 {
            return Ok(());
        }
        let io = |error| StorageError::io("make ballast", &self.path, error);
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path).map_err(io)?;
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, self.bytes) {
            Ok(()) => {
                self.present = true;
                Ok(())
            }
            Err(_) => self.release(),
        }
    }
}
