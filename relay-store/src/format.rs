//! What makes a directory a store: its names, and the `FORMAT` file with format number and uuid.
//!
//! ```text
//! relay-store FORMAT\n
//! uuid HEX\n
//! crc HEX\n            CRC32 of the lines before
//! ```

use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::{OpenError, StorageError};
use crate::lockfile::is_refused;
use crate::meta::catalogue::SegmentRecord;
use crate::meta::db::{Batch, Db};
use crate::meta::mark::Mark;
use crate::segment::read::SegmentFile;
use crate::segment::read::read_small;
use crate::segment::segment_files;
use crate::segment::write::{SegmentWriter, sync_dir};
use crate::segment::{self, SegmentHeader};

/// The format that this release writes.
const FORMAT: u32 = 1;
/// Names that belong to a store.
const OWN_NAMES: [&str; 6] = ["LOCK", "FORMAT", "FORMAT.new", "meta", "log", "ballast"];

/// Whose store it is, and what had to be done to tell.
pub(crate) struct Identity {
    pub uuid: [u8; 16],
    pub created: bool,
    /// `FORMAT` was missing or damaged and was written anew from a segment header.
    pub restored: bool,
}

/// Reads `FORMAT`, creates a store where there is none, and restores a `FORMAT` that was lost beside segments.
pub(crate) fn identify(dir: &Path) -> Result<Identity, OpenError> {
    let problem = match read_format(dir)? {
        Ok(uuid) => return Ok(Identity { uuid, created: false, restored: false }),
        Err(problem) => problem,
    };
    let mut uuid = None;
    let log_dir = dir.join("log");
    let files = segment_files(&log_dir)?;
    for first in &files {
        if let Ok(Ok(file)) = SegmentFile::open(&segment::path(&log_dir, *first)) {
            // A creation that was cut off leaves a first segment without blocks.
            if problem != MISSING || files.len() > 1 || *first != 1 || file.len()? > file.start {
                uuid = Some(file.header.uuid);
            }
        }
    }
    match uuid {
        Some(uuid) => {
            write_format(dir, &uuid)?;
            Ok(Identity { uuid, created: false, restored: true })
        }
        None if problem == MISSING && files.iter().all(|first| *first == 1) => {
            Ok(Identity { uuid: create(dir)?, created: true, restored: false })
        }
        None => Err(OpenError::Damaged { dir: dir.to_owned(), detail: format!("FORMAT: {problem}") }),
    }
}

const MISSING: &str = "it is missing";

/// Makes the directory when it is missing, and refuses one that holds something else.
pub(crate) fn prepare_dir(dir: &Path) -> Result<(), OpenError> {
    let refuse = |source: std::io::Error, action| {
        if is_refused(&source) {
            OpenError::ReadOnly { dir: dir.to_owned(), source }
        } else {
            StorageError::io(action, dir, source).into()
        }
    };
    match std::fs::read_dir(dir) {
        Ok(entries) => {
            let mut format = false;
            let mut foreign = None;
            for entry in entries {
                let name = entry.map_err(|error| refuse(error, "list"))?.file_name();
                let name = name.to_string_lossy().into_owned();
                format |= name == "FORMAT";
                let own = OWN_NAMES.contains(&name.as_str()) || name.starts_with("meta.bad-");
                if !own && name != "lost+found" {
                    foreign = Some(name);
                }
            }
            match foreign {
                Some(found) if !format => Err(OpenError::NotAStore { dir: dir.to_owned(), found }),
                _ => Ok(()),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| refuse(error, "create"))
        }
        Err(error) => Err(refuse(error, "list")),
    }
}

/// Refuses what this release cannot read, without changing anything. A damaged `FORMAT` is no reason: the segments say
/// the same.
pub(crate) fn check_readable(dir: &Path) -> Result<(), OpenError> {
    match read_format(dir)? {
        Err(problem) if problem == MISSING => Err(OpenError::Missing { dir: dir.to_owned() }),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Refuses a store of a newer release, before anything of it is touched.
pub(crate) fn check_version(dir: &Path) -> Result<(), OpenError> {
    read_format(dir).map(drop)
}

/// The uuid in `FORMAT`, or what is wrong with it.
fn read_format(dir: &Path) -> Result<Result<[u8; 16], &'static str>, OpenError> {
    let path = dir.join("FORMAT");
    let bytes = match read_small(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Err(MISSING)),
        Err(error) => return Err(StorageError::io("read", &path, error).into()),
    };
    let Ok(text) = String::from_utf8(bytes) else { return Ok(Err("it is not text")) };
    let mut lines = text.lines();
    let version = lines.next().and_then(|line| line.strip_prefix("relay-store ")).and_then(|v| v.parse::<u32>().ok());
    let uuid = lines.next().and_then(|line| line.strip_prefix("uuid ")).and_then(parse_hex);
    let crc = lines.next().and_then(|line| line.strip_prefix("crc ")).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    match (version, uuid, crc) {
        (Some(version), Some(uuid), Some(crc)) if crc32fast::hash(format_lines(version, &uuid).as_bytes()) == crc => {
            if version > FORMAT {
                return Err(OpenError::NewerFormat { dir: dir.to_owned(), found: version, supported: FORMAT });
            }
            Ok(Ok(uuid))
        }
        _ => Ok(Err("its checksum is wrong")),
    }
}

fn format_lines(version: u32, uuid: &[u8; 16]) -> String {
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("relay-store {version}\nuuid {hex}\n")
}

fn parse_hex(hex: &str) -> Option<[u8; 16]> {
    let mut out = [0u8; 16];
    if hex.len() != 32 || !hex.is_ascii() {
        return None;
    }
    for (index, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(out)
}

fn write_format(dir: &Path, uuid: &[u8; 16]) -> Result<(), StorageError> {
    let lines = format_lines(FORMAT, uuid);
    let text = format!("{lines}crc {:08x}\n", crc32fast::hash(lines.as_bytes()));
    let new = dir.join("FORMAT.new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .map_err(|error| StorageError::io("create", &new, error))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| StorageError::io("write", &new, error))?;
    std::fs::rename(&new, dir.join("FORMAT")).map_err(|error| StorageError::io("rename", &new, error))?;
    sync_dir(dir)
}

/// Creates an empty store. `FORMAT` comes last, so that a creation that was cut off is begun anew.
fn create(dir: &Path) -> Result<[u8; 16], OpenError> {
    let log_dir = dir.join("log");
    for old in [dir.join("meta"), log_dir.clone()] {
        match std::fs::remove_dir_all(&old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StorageError::io("remove", &old, error).into());
            }
            _ => {}
        }
    }
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
        .map_err(|error| StorageError::io("set permissions of", dir, error))?;
    make_dir(&log_dir)?;
    make_dir(&dir.join("meta"))?;
    let uuid: [u8; 16] = rand::random();
    let header = SegmentHeader {
        uuid,
        first_seq: 1,
        created_ms: crate::clock::now_ms(),
        log_epoch: 1,
        checkpoint: None,
        running_max_us: 0,
        open_tx: None,
        visible_through: 0,
        cursors: Vec::new(),
    };
    let segment = SegmentWriter::create(&log_dir, &header)?;
    let (mut db, _) = Db::open(&dir.join("meta"))?;
    let mut batch = Batch::default();
    SegmentRecord::of_index(&segment.index, header.created_ms, segment.offset).put(&mut batch);
    let mark = Mark { uuid, first_seq: 1, segment: 1, offset: segment.offset, log_epoch: 1, ..Mark::default() };
    mark.put(&mut batch);
    db.commit(batch)?;
    drop(db);
    sync_dir(dir)?;
    write_format(dir, &uuid)?;
    Ok(uuid)
}

fn make_dir(dir: &Path) -> Result<(), StorageError> {
    DirBuilder::new().mode(0o700).create(dir).map_err(|error| StorageError::io("create", dir, error))
}
