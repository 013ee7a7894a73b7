//! One segment file: header, blocks, footer. Names and the header are here; each direction has its own file.
//!
//! ```text
//! header  0  magic     u64  "RLYSEG1\n"
//!         8  crc       u32  CRC32 of bytes 12..24 and body
//!         12 version   u32  1
//!         16 body_len  u32
//!         20 reserved  u32  0
//!         24 body           bincode of `SegmentHeader`
//! ```

pub(crate) mod footer;
pub(crate) mod read;
pub(crate) mod scan;
pub(crate) mod write;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bincode::{Decode, Encode};

use crate::error::StorageError;
use crate::meta::cursor::CursorRecord;

/// "RLYSEG1\n".
pub(crate) const MAGIC: [u8; 8] = *b"RLYSEG1\n";
pub(crate) const VERSION: u32 = 1;
/// Bytes before the header's body.
pub(crate) const FIXED_LEN: usize = 24;
/// The largest header body: a checkpoint and the cursors.
pub(crate) const BODY_BYTES_MAX: usize = 256 << 20;

/// What a segment says of itself and of the log before it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SegmentHeader {
    pub uuid: [u8; 16],
    pub first_seq: u64,
    pub created_ms: u64,
    pub log_epoch: u32,
    /// Checkpoint of all before this segment.
    pub checkpoint: Option<Vec<u8>>,
    /// Largest commit time before this segment, microseconds.
    pub running_max_us: u64,
    /// Transaction open at its start.
    pub open_tx: Option<u64>,
    /// Last seq of a closed transaction before it.
    pub visible_through: u64,
    /// The cursors as they were persisted when it was created: what a rebuilt meta starts from.
    pub cursors: Vec<CursorRecord>,
}

/// The file of the segment that starts at `first_seq`.
pub(crate) fn path(log_dir: &Path, first_seq: u64) -> PathBuf {
    log_dir.join(format!("{first_seq:020}.seg"))
}

/// The first seq in a segment's file name; `None` for any other name.
pub(crate) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    if digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Encodes a segment header.
pub(crate) fn encode_header(header: &SegmentHeader) -> Vec<u8> {
    let mut out = vec![0u8; FIXED_LEN];
    let len = bincode::encode_into_std_write(header, &mut out, bincode::config::standard())
        .expect("a header of plain fields encodes into memory");
    out[0..8].copy_from_slice(&MAGIC);
    out[12..16].copy_from_slice(&VERSION.to_le_bytes());
    out[16..20].copy_from_slice(&(len as u32).to_le_bytes());
    let crc = crc32fast::hash(&out[12..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The first seqs of the segment files in the directory.
pub(crate) fn segment_files(log_dir: &Path) -> Result<BTreeSet<u64>, StorageError> {
    let mut files = BTreeSet::new();
    let entries = match std::fs::read_dir(log_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(StorageError::io("list", log_dir, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| StorageError::io("list", log_dir, error))?;
        files.extend(parse_name(&entry.file_name().to_string_lossy()).filter(|first| *first > 0));
    }
    Ok(files)
}
