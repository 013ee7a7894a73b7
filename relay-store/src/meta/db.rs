//! The only file that calls sled: guarded open, chunked values, durable batches.
//!
//! Facts of sled 0.34.7 that shape it: a `Batch` is atomic within one tree; a damaged file makes it panic
//! (spacejam/sled #1387), and a failed write makes it wait for ever, so every call goes through an [`Engine`]; `flush` is
//! no fsync on Linux (#1351, #1452), so a `sync_data` on its file follows each; a partial snapshot makes every later open
//! fail (#1527); values of more than a few KiB end in files of their own that are never synced (#333), so values are
//! chunked.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::{Engine, Guide, LIMITS};
use crate::error::StorageError;

/// Bytes of a value in one sled entry; sled keeps several entries in a page, and pages must stay small.
const CHUNK: usize = 3 << 10;
/// The largest value: bounds what a damaged length can ask for.
const VALUE_BYTES_MAX: usize = 64 << 20;
/// Chunk 0 starts with version, length and checksum of the whole value.
const HEAD: usize = 9;
/// How long sled's own lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const VERSION: u8 = 1;

/// Every value as it was at open, by key without chunk number, in key order.
pub(crate) type Contents = Vec<(Vec<u8>, Vec<u8>)>;

/// sled's handle, and its own file, for the sync that its flush leaves out.
#[derive(Clone)]
struct Handle {
    db: sled::Db,
    file: Arc<File>,
}

/// Chunks of each multi-chunk value, so that a value that shrinks leaves none behind.
type Chunks = HashMap<Vec<u8>, u16>;

/// The open database. One thread at a time writes to it. Every call ends, and so does closing; `engine.rs` says when.
pub(crate) struct Db {
    engine: Engine<Handle>,
    config: sled::Config,
    chunks: Chunks,
}

/// Changes that become durable together.
#[derive(Default)]
pub(crate) struct Batch {
    puts: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.puts.push((key, Some(value)));
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.puts.push((key, None));
    }
}

impl Db {
    /// Opens or creates the database in `dir` and reads all of it.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Contents), StorageError> {
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(16 << 20)
            // The flusher thread is sled's only garbage collection.
            .flush_every_ms(Some(500));
        let guide = guide(&dir.join("db"), &config, |handle: &Handle| wake(&handle.db));
        let (dir, opening) = (dir.to_owned(), config.clone());
        let open = move || open(&dir, &opening);
        let (engine, (contents, chunks)) = Engine::start("relay-meta", guide, LIMITS, open)?;
        Ok((Db { engine, config, chunks }, contents))
    }

    /// For reading from any thread, beside the commits.
    pub(crate) fn reader(&self) -> Result<MetaReader, StorageError> {
        let db = self.engine.call("read", |handle| Ok(handle.db.clone()))?;
        let guide = guide(self.engine.path(), &self.config, wake);
        let (engine, ()) = Engine::start("relay-meta-read", guide, LIMITS, move || Ok((db, ())))?;
        Ok(MetaReader { engine: Arc::new(engine) })
    }

    /// Applies the batch and makes it durable; atomic over a crash. An error leaves it unknown whether it is durable.
    pub(crate) fn commit(&mut self, batch: Batch) -> Result<(), StorageError> {
        let mut sled_batch = sled::Batch::default();
        for (key, value) in batch.puts {
            let old = self.chunks.get(&key).copied().unwrap_or(1);
            let new = match &value {
                None => 0,
                Some(value) => put_chunks(&mut sled_batch, &key, value),
            };
            for chunk in new..old {
                sled_batch.remove(chunk_key(&key, chunk));
            }
            if new > 1 {
                self.chunks.insert(key, new);
            } else {
                self.chunks.remove(&key);
            }
        }
        let path = self.engine.path().to_owned();
        self.engine.call("commit", move |handle| {
            handle.db.apply_batch(sled_batch).map_err(refused("write", &path))?;
            handle.db.flush().map_err(refused("flush", &path))?;
            handle.file.sync_data().map_err(|error| StorageError::io("sync meta", &path, error))
        })
    }
}

/// Reads values from any thread.
#[derive(Clone)]
pub(crate) struct MetaReader {
    engine: Arc<Engine<sled::Db>>,
}

impl MetaReader {
    /// Reads one value.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let (key, path) = (key.to_owned(), self.engine.path().to_owned());
        self.engine.call("read", move |db| read(db, &path, &key))
    }
}

fn guide<T>(path: &Path, config: &sled::Config, wake: fn(&T)) -> Guide<T> {
    let asked = config.clone();
    let failure = Arc::new(move || asked.global_error().err().map(|error| error.to_string()));
    Guide { path: path.to_owned(), failure, wake }
}

/// A flush of a sled that has failed gives its error at once, and wakes everyone who waits in one.
fn wake(db: &sled::Db) {
    if let Err(error) = db.flush() {
        tracing::debug!(%error, "meta has failed, its waiters are woken");
    }
}

fn open(dir: &Path, config: &sled::Config) -> Result<(Handle, (Contents, Chunks)), StorageError> {
    remove_partial_snapshots(dir)?;
    let path = dir.join("db");
    // The store's own lock is held, so whoever still has sled's is an earlier life in this process whose
    // background threads are ending.
    let deadline = Instant::now() + LOCK_WAIT;
    let db = loop {
        match config.open().map_err(refused("open", &path)) {
            Err(error) if is_locked(&error) && Instant::now() < deadline => std::thread::sleep(LOCK_WAIT / 100),
            opened => break opened?,
        }
    };
    let file = File::open(&path).map_err(|error| StorageError::io("open meta", &path, error))?;
    // IMPORTANT: after a kill the newest batch may be in the page cache only. Believing it before this sync
    // would let a power cut take it back under data that was acknowledged because of it.
    file.sync_data().map_err(|error| StorageError::io("sync meta", &path, error))?;
    crate::segment::write::sync_dir(dir)?;
    restrict(dir)?;
    let loaded = load(&db, &path)?;
    Ok((Handle { db, file: Arc::new(file) }, loaded))
}

fn load(db: &sled::Db, path: &Path) -> Result<(Contents, Chunks), StorageError> {
    let raw: Vec<(Vec<u8>, Vec<u8>)> = db
        .iter()
        .map(|item| item.map(|(key, value)| (key.to_vec(), value.to_vec())))
        .collect::<Result<_, _>>()
        .map_err(refused("read", path))?;
    let (mut contents, mut known) = (Contents::new(), Chunks::new());
    let mut index = 0;
    while index < raw.len() {
        let (key, number) = split_key(&raw[index].0)?;
        if number != 0 {
            return Err(StorageError::damaged(name_of(key), "its first chunk is missing"));
        }
        let mut chunks = 1u16;
        let mut value = raw[index].1.clone();
        while let Some((next, chunk)) = raw.get(index + usize::from(chunks)) {
            let (other, number) = split_key(next)?;
            if other != key {
                break;
            }
            if number != chunks {
                return Err(StorageError::damaged(name_of(key), format!("chunk {chunks} is missing")));
            }
            value.extend_from_slice(chunk);
            chunks += 1;
        }
        let value = join(key, &value)?;
        if chunks > 1 {
            known.insert(key.to_vec(), chunks);
        }
        contents.push((key.to_vec(), value));
        index += usize::from(chunks);
    }
    Ok((contents, known))
}

/// Reads one value, chunk by chunk.
fn read(db: &sled::Db, path: &Path, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    let mut value = Vec::new();
    for chunk in 0..=u16::MAX {
        let Some(bytes) = db.get(chunk_key(key, chunk)).map_err(refused("read", path))? else { break };
        value.extend_from_slice(&bytes);
        if value.len() > VALUE_BYTES_MAX {
            return Err(StorageError::damaged(name_of(key), "it is too large"));
        }
    }
    if value.is_empty() { Ok(None) } else { join(key, &value).map(Some) }
}

fn put_chunks(batch: &mut sled::Batch, key: &[u8], value: &[u8]) -> u16 {
    let mut whole = Vec::with_capacity(HEAD + value.len());
    whole.push(VERSION);
    whole.extend_from_slice(&(value.len() as u32).to_le_bytes());
    whole.extend_from_slice(&checksum(key, value).to_le_bytes());
    whole.extend_from_slice(value);
    let mut number = 0u16;
    for chunk in whole.chunks(CHUNK) {
        batch.insert(chunk_key(key, number), chunk);
        number = number.checked_add(1).expect("values are bounded far below 65,536 chunks");
    }
    number
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

fn join(key: &[u8], stored: &[u8]) -> Result<Vec<u8>, StorageError> {
    let Some(head) = stored.first_chunk::<HEAD>() else {
        return Err(StorageError::damaged(name_of(key), "it is cut short"));
    };
    let value = &stored[HEAD..];
    if head[0] != VERSION {
        return Err(StorageError::damaged(name_of(key), format!("version {} is unknown", head[0])));
    }
    let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let crc = u32::from_le_bytes([head[5], head[6], head[7], head[8]]);
    if len != value.len() || checksum(key, value) != crc {
        return Err(StorageError::damaged(name_of(key), "its checksum is wrong"));
    }
    Ok(value.to_vec())
}

fn chunk_key(key: &[u8], chunk: u16) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 2);
    full.extend_from_slice(key);
    full.extend_from_slice(&chunk.to_be_bytes());
    full
}

fn split_key(full: &[u8]) -> Result<(&[u8], u16), StorageError> {
    match full.split_last_chunk::<2>() {
        Some((key, chunk)) if !key.is_empty() => Ok((key, u16::from_be_bytes(*chunk))),
        _ => Err(StorageError::damaged("a meta key", "it is too short")),
    }
}

fn name_of(key: &[u8]) -> String {
    format!("meta value {}", key.escape_ascii())
}

fn refused(action: &'static str, path: &Path) -> impl FnOnce(sled::Error) -> StorageError {
    let path = path.to_owned();
    move |source| StorageError::Meta { action, path, source }
}

/// sled makes its files readable by all; the directory is closed already, and so are they then.
fn restrict(dir: &Path) -> Result<(), StorageError> {
    let list = |error| StorageError::io("list", dir, error);
    for entry in std::fs::read_dir(dir).map_err(list)? {
        let entry = entry.map_err(list)?;
        let is_dir = entry.file_type().map_err(list)?.is_dir();
        let mode = std::fs::Permissions::from_mode(if is_dir { 0o700 } else { 0o600 });
        let path = entry.path();
        std::fs::set_permissions(&path, mode).map_err(|error| StorageError::io("set permissions of", &path, error))?;
    }
    Ok(())
}

fn remove_partial_snapshots(dir: &Path) -> Result<(), StorageError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StorageError::io("list", dir, error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| StorageError::io("list", dir, error))?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            std::fs::remove_file(&path).map_err(|error| StorageError::io("remove", &path, error))?;
        }
    }
    Ok(())
}

/// Whether opening failed because another process has the database, and not because of damage.
pub(crate) fn is_locked(error: &StorageError) -> bool {
    matches!(error, StorageError::Meta { source: sled::Error::Io(io), .. } if io.to_string().contains("could not acquire lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_that_grows_and_shrinks_leaves_no_chunk_behind() {
        let dir = tempfile::tempdir().expect("temp dir");
        for (round, len) in [10usize, 100_000, 5, 0, 7_000].into_iter().enumerate() {
            let value: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let (mut db, _) = Db::open(dir.path()).expect("open");
            let mut batch = Batch::default();
            batch.put(b"mcheck".to_vec(), value.clone());
            batch.put(b"other".to_vec(), vec![round as u8]);
            db.commit(batch).expect("commit");
            assert_eq!(db.reader().expect("reader").get(b"mcheck").expect("get"), Some(value.clone()));
            drop(db);
            let (_, contents) = Db::open(dir.path()).expect("reopen");
            assert_eq!(contents, [(b"mcheck".to_vec(), value), (b"other".to_vec(), vec![round as u8])]);
        }
    }
}
