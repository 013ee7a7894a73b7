//! Cursors and checkpoint of a stopped store, read without changing anything: opening sled writes, so a copy is opened.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::cursor::CursorState;
use crate::error::{OpenError, StorageError};
use crate::format;
use crate::lockfile;
use crate::meta::db::Db;
use crate::recover::MetaState;
use crate::seq::Seq;

/// What the meta of a stopped store says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorSnapshot {
    /// All cursors, by name.
    pub cursors: Vec<CursorState>,
    /// First seq that is kept, and last visible one.
    pub first_seq: Seq,
    /// See `first_seq`.
    pub visible_seq: Seq,
    /// Last durable seq, visible or not.
    pub durable_seq: Seq,
    /// The checkpoint, as [`Store::checkpoint`](crate::Store::checkpoint) gives it.
    pub checkpoint: Option<Vec<u8>>,
}

/// Reads the cursors of the store in `dir`, which no process may have open.
///
/// # Errors
/// [`OpenError::Missing`]; [`OpenError::Locked`] while a process has it open: ask that one; [`OpenError::MetaDamaged`]:
/// opening the store rebuilds it; [`OpenError::Storage`] when the disk refuses.
pub fn cursor_snapshot(dir: &Path) -> Result<CursorSnapshot, OpenError> {
    format::check_readable(dir)?;
    let _lock = lockfile::hold_shared(dir)?;
    let copy = Scratch::create()?;
    copy_files(&dir.join("meta"), &copy.path)?;
    let damaged = |error: StorageError| match error {
        StorageError::Io { .. } => error.into(),
        _ if error.is_refused_or_full() => error.into(),
        _ => OpenError::MetaDamaged { dir: dir.to_owned(), detail: error.to_string() },
    };
    let (db, contents) = Db::open(&copy.path).map_err(damaged)?;
    drop(db);
    let state = MetaState::decode(contents).map_err(damaged)?;
    let mark = state.mark.ok_or_else(|| damaged(StorageError::damaged("meta", "it has no commit mark")))?;
    Ok(CursorSnapshot {
        cursors: state.cursors.iter().map(CursorState::of_record).collect(),
        first_seq: Seq(mark.first_seq),
        visible_seq: Seq(mark.visible_seq),
        durable_seq: Seq(mark.durable_seq),
        checkpoint: state.checkpoint,
    })
}

/// A directory of our own that goes away with the value.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn create() -> Result<Self, StorageError> {
        let path =
            std::env::temp_dir().join(format!("relay-meta-{}-{:016x}", std::process::id(), rand::random::<u64>()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| StorageError::io("create", &path, error))?;
        Ok(Scratch { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a copy of meta was left behind");
        }
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<(), StorageError> {
    let list = |error| StorageError::io("list", from, error);
    for entry in std::fs::read_dir(from).map_err(list)? {
        let entry = entry.map_err(list)?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type().map_err(list)?;
        if kind.is_dir() {
            std::fs::create_dir(&target).map_err(|error| StorageError::io("create", &target, error))?;
            copy_files(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).map_err(|error| StorageError::io("copy", &entry.path(), error))?;
        }
    }
    Ok(())
}
