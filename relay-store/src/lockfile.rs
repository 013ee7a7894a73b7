//! The single-writer lock of a store directory: an advisory lock that the kernel drops when the process ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::{OpenError, StorageError};

/// Held as long as the store is open.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
}

/// Unlocks by name: closing alone would leave the lock with a child process that is just being started and still has
/// a copy of every open file.
impl Drop for LockFile {
    fn drop(&mut self) {
        // Nothing is left to do when it fails: the kernel drops the lock with the last copy of the file.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl LockFile {
    /// Takes the lock, and writes our process id into the file so that another process can name us.
    pub(crate) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("LOCK");
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = match open {
            Ok(file) => file,
            Err(source) if is_refused(&source) => return Err(OpenError::ReadOnly { dir: dir.to_owned(), source }),
            Err(error) => return Err(StorageError::io("open lock file", &path, error).into()),
        };
        if let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if errno != rustix::io::Errno::WOULDBLOCK {
                return Err(StorageError::io("lock", &path, errno.into()).into());
            }
            return Err(OpenError::Locked { dir: dir.to_owned(), pid: read_pid(&mut file) });
        }
        // Only for the message another process gives; a full disk must not keep the store from opening.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(LockFile { file })
    }
}

/// Whether the file system or its permissions refuse writing.
pub(crate) fn is_refused(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied)
}

/// Keeps a stopped store from being opened for as long as the file lives; changes nothing, so a read-only disk will do.
pub(crate) fn hold_shared(dir: &Path) -> Result<Option<LockFile>, OpenError> {
    let path = dir.join("LOCK");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("open lock file", &path, error).into()),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(LockFile { file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked { dir: dir.to_owned(), pid: read_pid(&mut file) }),
        Err(errno) => Err(StorageError::io("lock", &path, errno.into()).into()),
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok())
}
