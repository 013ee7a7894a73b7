//! The commit mark: what the last commit group made durable. Written in every group, in the batch of all it covers;
//! and its published copy beside the segments, for readers in other processes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bincode::{Decode, Encode};

use super::db::Batch;
use super::prefix;
use crate::error::StorageError;
use crate::segment::read::read_small;

/// What the last commit group made durable. Everything below it must verify; everything above may be cut.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub(crate) struct Mark {
    pub uuid: [u8; 16],
    /// Counts the durable batches; a published mark ahead of sled's proves that sled lost one.
    pub commit_no: u64,
    pub durable_seq: u64,
    pub visible_seq: u64,
    /// First entry that is kept.
    pub first_seq: u64,
    /// First seq of the active segment, and where its durable blocks end.
    pub segment: u64,
    pub offset: u64,
    pub log_epoch: u32,
}

const MARK_KEY: &[u8] = b"mmark";
const CHECKPOINT_KEY: &[u8] = b"mcheckpoint";
const SPENT_EPOCH_KEY: &[u8] = b"mepoch";

impl Mark {
    pub(crate) fn put(&self, batch: &mut Batch) {
        let value = bincode::encode_to_vec(self, bincode::config::standard()).expect("plain fields encode");
        batch.put(MARK_KEY.to_vec(), value);
    }
}

/// Puts the checkpoint beside the mark; it is large and moves less often.
pub(crate) fn put_checkpoint(batch: &mut Batch, checkpoint: &[u8]) {
    batch.put(CHECKPOINT_KEY.to_vec(), checkpoint.to_vec());
}

/// Puts the largest epoch of a deleted cursor.
pub(crate) fn put_spent_epoch(batch: &mut Batch, epoch: u32) {
    batch.put(SPENT_EPOCH_KEY.to_vec(), super::catalogue::encode(&epoch));
}

/// What the keys of this kind hold.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub mark: Option<Mark>,
    pub checkpoint: Option<Vec<u8>>,
    /// Largest epoch of a deleted cursor; 0 before the first deletion.
    pub spent_epoch: u32,
}

impl Stored {
    pub(crate) fn take(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), StorageError> {
        debug_assert_eq!(key.first(), Some(&prefix::MARK));
        match key {
            CHECKPOINT_KEY => self.checkpoint = Some(value),
            SPENT_EPOCH_KEY => self.spent_epoch = super::catalogue::decode("spent epoch", &value)?,
            MARK_KEY => {
                self.mark = Some(super::catalogue::decode("commit mark", &value)?);
            }
            _ => return Err(StorageError::damaged("meta", "an unknown mark key")),
        }
        Ok(())
    }
}

const MAGIC: [u8; 8] = *b"RLYMARK1";
/// Bytes of the published mark.
///
/// ```text
/// 0  magic        u64  "RLYMARK1"
/// 8  crc          u32  CRC32 of bytes 12..84
/// 12 log_epoch    u32
/// 16 uuid         16
/// 32 commit_no    u64
/// 40 durable_seq  u64
/// 48 visible_seq  u64
/// 56 first_seq    u64
/// 64 segment      u64
/// 72 offset       u64
/// 80 version      u32  1
/// ```
pub(crate) const PUBLISHED_LEN: usize = 84;

/// The published mark as bytes.
pub(crate) fn encode_published(mark: &Mark) -> [u8; PUBLISHED_LEN] {
    let mut out = [0u8; PUBLISHED_LEN];
    out[0..8].copy_from_slice(&MAGIC);
    out[12..16].copy_from_slice(&mark.log_epoch.to_le_bytes());
    out[16..32].copy_from_slice(&mark.uuid);
    let numbers = [mark.commit_no, mark.durable_seq, mark.visible_seq, mark.first_seq, mark.segment, mark.offset];
    for (index, number) in numbers.into_iter().enumerate() {
        out[32 + index * 8..40 + index * 8].copy_from_slice(&number.to_le_bytes());
    }
    out[80..84].copy_from_slice(&1u32.to_le_bytes());
    let crc = crc32fast::hash(&out[12..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Reads a published mark; `None` when it is torn, damaged, or of another version.
pub(crate) fn decode_published(bytes: &[u8]) -> Option<Mark> {
    let bytes: &[u8; PUBLISHED_LEN] = bytes.try_into().ok()?;
    let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    if bytes[0..8] != MAGIC || u32_at(8) != crc32fast::hash(&bytes[12..]) || u32_at(80) != 1 {
        return None;
    }
    let mut uuid = [0u8; 16];
    uuid.copy_from_slice(&bytes[16..32]);
    Some(Mark {
        uuid,
        commit_no: u64_at(32),
        durable_seq: u64_at(40),
        visible_seq: u64_at(48),
        first_seq: u64_at(56),
        segment: u64_at(64),
        offset: u64_at(72),
        log_epoch: u32_at(12),
    })
}

/// Where the mark is published.
pub(crate) fn published_path(log_dir: &Path) -> PathBuf {
    log_dir.join("mark")
}

/// Reads the published mark. A writer may be in the middle of it, so a bad checksum is looked at again a few times.
pub(crate) fn read_published(log_dir: &Path) -> Result<Option<Mark>, StorageError> {
    let path = published_path(log_dir);
    for _ in 0..5 {
        match read_small(&path) {
            Ok(bytes) => {
                if let Some(mark) = decode_published(&bytes) {
                    return Ok(Some(mark));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::io("read mark", &path, error)),
        }
        std::thread::yield_now();
    }
    Ok(None)
}

/// The published mark, open for rewriting in place. Advisory: it is never synced, and never trusted at open except
/// as a proof that meta is behind.
#[derive(Debug)]
pub(crate) struct Published {
    file: File,
    path: PathBuf,
}

impl Published {
    pub(crate) fn open(log_dir: &Path) -> Result<Self, StorageError> {
        let path = published_path(log_dir);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| StorageError::io("open mark", &path, error))?;
        file.set_len(PUBLISHED_LEN as u64).map_err(|error| StorageError::io("size mark", &path, error))?;
        Ok(Published { file, path })
    }

    /// Rewrites it. IMPORTANT: only after the mark is durable in sled; readers take what lies below it as fact.
    pub(crate) fn write(&self, mark: &Mark) -> Result<(), StorageError> {
        self.file
            .write_all_at(&encode_published(mark), 0)
            .map_err(|error| StorageError::io("publish mark", &self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_mark_round_trips_and_sees_every_flipped_bit() {
        let mark = Mark {
            uuid: [3; 16],
            commit_no: 9,
            durable_seq: 100,
            visible_seq: 90,
            first_seq: 5,
            segment: 50,
            offset: 4096,
            log_epoch: 2,
        };
        let bytes = encode_published(&mark);
        assert_eq!(decode_published(&bytes), Some(mark));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_published(&bad), None, "bit {bit}");
        }
    }
}
