//! Opening: tells a store from anything else, takes the lock, and finds where the log ends.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::end::{LogEnd, PreparedRange};
use crate::error::{OpenError, StorageError};
use crate::lockfile::{LockFile, is_refused};
use crate::meta::catalogue::{self, RangeRecord, SegmentRecord, SegmentState};
use crate::meta::cursor::CursorRecord;
use crate::meta::db::{self, Batch, Contents, Db};
use crate::meta::mark::{self, Mark, Published};
use crate::meta::schema::SchemaRecord;
use crate::meta::{key_number, prefix};
use crate::options::StoreOptions;
use crate::read::Gap;
use crate::segment::read::SegmentFile;
use crate::segment::write::{SegmentWriter, sync_dir};
use crate::segment::{self, SegmentHeader, scan};
use crate::seq::Seq;
use crate::store::OpenReport;
use crate::view::{LogView, View};

/// The format that this release writes.
const FORMAT: u32 = 1;
/// Names that belong to a store.
const OWN_NAMES: [&str; 6] = ["LOCK", "FORMAT", "FORMAT.new", "meta", "log", "ballast"];

/// An opened store, before its writer thread runs.
pub(crate) struct Recovered {
    pub lock: LockFile,
    pub db: Db,
    pub segment: SegmentWriter,
    pub published: Published,
    pub mark: Mark,
    pub end: LogEnd,
    pub view: LogView,
    pub cursors: Vec<CursorRecord>,
    pub schemas: BTreeMap<u64, Option<u64>>,
    pub report: OpenReport,
}

/// Everything that meta holds, decoded.
#[derive(Default)]
pub(crate) struct MetaState {
    pub mark: Option<Mark>,
    pub checkpoint: Option<Vec<u8>>,
    pub segments: BTreeMap<u64, SegmentRecord>,
    pub gaps: Vec<Gap>,
    pub crossing: BTreeMap<u64, u64>,
    pub prepared: Vec<PreparedRange>,
    pub cursors: Vec<CursorRecord>,
    pub schemas: BTreeMap<u64, Option<u64>>,
}

impl MetaState {
    pub(crate) fn decode(contents: Contents) -> Result<Self, StorageError> {
        let mut state = MetaState::default();
        let mut stored = mark::Stored::default();
        for (key, value) in contents {
            let number = || key_number(&key).ok_or_else(|| StorageError::damaged("a meta key", "not a number"));
            match key.first().copied() {
                Some(prefix::MARK) => stored.take(&key, value)?,
                Some(prefix::SEGMENT) => {
                    let record: SegmentRecord = catalogue::decode("segment record", &value)?;
                    state.segments.insert(number()?, record);
                }
                Some(prefix::GAP) => state.gaps.push(catalogue::decode_gap(&value)?),
                Some(prefix::CROSSING) => {
                    let record: RangeRecord = catalogue::decode("crossing range", &value)?;
                    state.crossing.insert(record.first, record.last);
                }
                Some(prefix::PREPARED) => {
                    let record: RangeRecord = catalogue::decode("prepared range", &value)?;
                    state.prepared.push(PreparedRange {
                        xid: record.xid,
                        first: Seq(record.first),
                        last: Seq(record.last),
                    });
                }
                Some(prefix::CURSOR) => state.cursors.push(CursorRecord::decode(&value)?),
                Some(prefix::SCHEMA) => {
                    state.schemas.insert(number()?, SchemaRecord::decode(&value)?.retired_at);
                }
                _ => return Err(StorageError::damaged("meta", format!("unknown key {}", key.escape_ascii()))),
            }
        }
        state.mark = stored.mark;
        state.checkpoint = stored.checkpoint;
        Ok(state)
    }
}

/// Opens or creates the store in `dir`.
pub(crate) fn open(dir: &Path, options: &StoreOptions) -> Result<Recovered, OpenError> {
    let created = prepare_dir(dir)?;
    let lock = LockFile::take(dir)?;
    if read_format(dir)?.is_none() {
        create(dir)?;
    }
    let log_dir = dir.join("log");
    let (db, contents) = Db::open(&dir.join("meta"))?;
    let state = MetaState::decode(contents)?;
    go_on(dir, log_dir, lock, db, state, OpenReport { created, ..OpenReport::default() }, options)
}

/// Makes the directory when it is missing, and refuses one that holds something else. Gives whether it is new.
fn prepare_dir(dir: &Path) -> Result<bool, OpenError> {
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
                _ => Ok(!format),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| refuse(error, "create"))?;
            Ok(true)
        }
        Err(error) => Err(refuse(error, "list")),
    }
}

/// The uuid in `FORMAT`; `None` when there is no such file.
///
/// ```text
/// relay-store FORMAT\n
/// uuid HEX\n
/// crc HEX\n            CRC32 of the lines before
/// ```
fn read_format(dir: &Path) -> Result<Option<[u8; 16]>, OpenError> {
    let path = dir.join("FORMAT");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("read", &path, error).into()),
    };
    let damaged = |detail: &str| OpenError::Damaged { dir: dir.to_owned(), detail: format!("FORMAT: {detail}") };
    let mut lines = text.lines();
    let version = lines.next().and_then(|line| line.strip_prefix("relay-store ")).and_then(|v| v.parse::<u32>().ok());
    let Some(version) = version else { return Err(damaged("its first line is not \"relay-store N\"")) };
    if version > FORMAT {
        return Err(OpenError::NewerFormat { dir: dir.to_owned(), found: version, supported: FORMAT });
    }
    let uuid = lines.next().and_then(|line| line.strip_prefix("uuid ")).and_then(parse_hex);
    let crc = lines.next().and_then(|line| line.strip_prefix("crc ")).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    match (uuid, crc) {
        (Some(uuid), Some(crc)) if crc32fast::hash(format_lines(version, &uuid).as_bytes()) == crc => Ok(Some(uuid)),
        _ => Err(damaged("its checksum is wrong")),
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
    if segment_files(&log_dir)?.iter().any(|&first| first != 1) {
        return Err(OpenError::Damaged { dir: dir.to_owned(), detail: "FORMAT is missing beside segments".to_owned() });
    }
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
        files.extend(segment::parse_name(&entry.file_name().to_string_lossy()));
    }
    Ok(files)
}

/// Goes on where the mark says: below it everything must verify, above it everything is cut.
#[expect(clippy::too_many_arguments, reason = "the parts of a store being opened")]
fn go_on(
    dir: &Path,
    log_dir: PathBuf,
    lock: LockFile,
    db: Db,
    state: MetaState,
    mut report: OpenReport,
    _options: &StoreOptions,
) -> Result<Recovered, OpenError> {
    let damaged = |detail: String| OpenError::Damaged { dir: dir.to_owned(), detail };
    let mark = state.mark.ok_or_else(|| damaged("meta has no commit mark".to_owned()))?;
    let path = segment::path(&log_dir, mark.segment);
    let mut file = SegmentFile::open(&path)?.map_err(|what| damaged(format!("{}: {what}", path.display())))?;
    let scan = scan::scan(&mut file, mark.offset, true)?;
    if let Some(bad) = scan.bad.first() {
        return Err(damaged(format!("{} at offset {}: {}", path.display(), bad.offset, bad.what)));
    }
    if scan.index.end != mark.offset || scan.index.last_seq != mark.durable_seq {
        return Err(damaged(format!(
            "{} ends at seq {}, the mark is at {}",
            path.display(),
            scan.index.last_seq,
            mark.durable_seq
        )));
    }
    report.cut_bytes = file.len()?.saturating_sub(mark.offset);
    drop(file);
    for orphan in segment_files(&log_dir)?.range(mark.segment + 1..) {
        let path = segment::path(&log_dir, *orphan);
        std::fs::remove_file(&path).map_err(|error| StorageError::io("remove segment", &path, error))?;
    }
    let segment = SegmentWriter::resume(&log_dir, scan.index)?;
    sync_dir(&log_dir)?;
    let published = Published::open(&log_dir)?;
    published.write(&mark)?;
    let end = LogEnd {
        last_seq: mark.durable_seq,
        open_tx: segment.index.open_tx,
        visible_through: mark.visible_seq,
        running_max_us: segment.index.running_max_us,
        checkpoint: state.checkpoint,
        prepared: state.prepared,
    };
    report.open_transaction = end.open_tx.map(|first| (Seq(first), Seq(end.last_seq)));
    let mut segments = state.segments;
    if let Some(active) = segments.get_mut(&mark.segment) {
        active.state = SegmentState::Active;
    }
    let view = View {
        mark: mark.clone(),
        segments,
        active: segment.index.clone(),
        crossing: state.crossing,
        gaps: state.gaps,
        damage: Vec::new(),
    };
    let view = LogView::new(log_dir, true, view);
    Ok(Recovered {
        lock,
        db,
        segment,
        published,
        mark,
        end,
        view,
        cursors: state.cursors,
        schemas: state.schemas,
        report,
    })
}

/// Whether opening meta failed for a reason that a rebuild would not cure.
#[expect(dead_code, reason = "used by the rebuild")]
fn is_not_damage(error: &StorageError) -> bool {
    db::is_locked(error)
}
