//! A segment of the log, as a whole file beside a published mark that is right, read and verified as another process does.
//!
//! First as it is: then nothing may be wrong in silence, every entry below the mark is the one that was written or in a
//! named gap, and a verification calls no changed file clean. Then with its checksums made right again, so that what
//! lies behind them is reached: there only panics and endless loops count.
//!
//! The log is made anew for each run, and its uuid salts every checksum: an input that is kept is for looking at, and
//! what it shows becomes a case of `relay-store/tests/verify.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use relay_store::{
    Codec, Commit, CursorOptions, EntryHeader, Read, ReadError, ReadOnlyLog, Retention, SchemaVersion, Seq, Store,
    StoreOptions,
};

/// A log of small segments, one a codec; each run writes one of them anew.
struct Template {
    dir: tempfile::TempDir,
    uuid: [u8; 16],
    segments: Vec<Segment>,
    /// What is visible.
    entries: BTreeMap<u64, Vec<u8>>,
    visible: u64,
}

struct Segment {
    path: PathBuf,
    first_seq: u64,
    bytes: Vec<u8>,
}

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(Template::build)
}

/// The number of a segment, then its bytes.
pub fn seeds() -> Vec<Vec<u8>> {
    let input = |(number, segment): (usize, &Segment)| [&[number as u8], &segment.bytes[..]].concat();
    template().segments.iter().enumerate().map(input).collect()
}

pub fn run(data: &[u8]) {
    let Some((number, bytes)) = data.split_first() else { return };
    let template = template();
    let segment = &template.segments[usize::from(*number) % template.segments.len()];
    std::fs::write(&segment.path, bytes).unwrap();
    template.check_as_it_is(segment, bytes);
    let mut repaired = bytes.to_vec();
    repair(&mut repaired, &template.uuid, segment.first_seq);
    if repaired != bytes {
        std::fs::write(&segment.path, &repaired).unwrap();
        template.read(|_, _| {});
        verify(&ReadOnlyLog::open(template.dir.path()).unwrap());
    }
    std::fs::write(&segment.path, &segment.bytes).unwrap();
}

fn verify(log: &ReadOnlyLog) -> bool {
    log.verify(&mut |_| {}).unwrap().is_clean()
}

impl Template {
    fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut uuid = [0; 16];
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd, Codec::Lz4] {
            let options = StoreOptions { codec, block_bytes: 1 << 10, ballast_bytes: 0, ..StoreOptions::default() };
            let store = Store::open(dir.path(), options).unwrap();
            uuid = store.uuid();
            // It holds what is sealed.
            let _ = store.cursors().create("holds", Seq(0), CursorOptions::default());
            fill(&store);
            seal(&store);
            fill(&store);
        }
        let mut template = Template { dir, uuid, segments: Vec::new(), entries: BTreeMap::new(), visible: 0 };
        let log = ReadOnlyLog::open(template.dir.path()).unwrap();
        template.visible = log.positions().visible_seq.0;
        assert!(verify(&log));
        let mut entries = BTreeMap::new();
        assert_eq!(template.read(|seq, body| drop(entries.insert(seq, body.to_vec()))), []);
        template.entries = entries;
        template.segments = log
            .segments()
            .into_iter()
            .map(|info| Segment {
                bytes: std::fs::read(&info.path).unwrap(),
                first_seq: info.first_seq.0,
                path: info.path,
            })
            .collect();
        assert!(template.segments.len() > 4 && template.entries.len() > 200);
        template
    }

    /// Reads all that is visible; gives the gaps. Seqs rise, and none is left out.
    fn read(&self, mut entry: impl FnMut(u64, &[u8])) -> Vec<(Seq, Seq)> {
        let log = ReadOnlyLog::open(self.dir.path()).unwrap();
        let mut reader = log.reader();
        let (mut from, mut gaps) = (Seq(1), Vec::new());
        loop {
            let last = match reader.read(from).unwrap() {
                Read::CaughtUp => {
                    assert!(from > log.positions().visible_seq, "it ends at {from}");
                    return gaps;
                }
                Read::Gap(gap) => {
                    assert_eq!(gap.first, from);
                    gaps.push((gap.first, gap.last));
                    gap.last
                }
                Read::Block(raw) => {
                    assert_eq!(raw.first_seq(), from);
                    let last = raw.last_seq();
                    match raw.decode() {
                        Ok(block) => block.entries().for_each(|read| entry(read.seq.0, read.body)),
                        Err(ReadError::Gap(gap)) => gaps.push((gap.first, gap.last)),
                        Err(error) => panic!("{error}"),
                    }
                    last
                }
            };
            assert!(last >= from);
            from = last.next();
        }
    }

    fn check_as_it_is(&self, segment: &Segment, bytes: &[u8]) {
        let mut left = self.entries.clone();
        let gaps = self.read(|seq, body| {
            assert_eq!(left.remove(&seq).as_deref(), Some(body), "entry {seq} is another one");
        });
        left.retain(|seq, _| !gaps.iter().any(|(first, last)| (first.0..=last.0).contains(seq)));
        assert!(left.is_empty(), "entries are gone in silence: {:?}", left.keys());
        let log = ReadOnlyLog::open(self.dir.path()).unwrap();
        assert_eq!(log.positions().visible_seq.0, self.visible);
        // Behind the mark, in the active segment, anything may lie.
        let is_active = segment.first_seq == self.segments.last().unwrap().first_seq;
        let counts = if is_active { bytes.get(..segment.bytes.len()).unwrap_or(bytes) } else { bytes };
        assert_eq!(verify(&log), counts == segment.bytes, "a verification says something else");
    }
}

/// Transactions of each kind, with text that compresses.
fn fill(store: &Store) {
    let mut appender = store.appender().unwrap();
    let context: &[u8] = b"context of the block";
    let schema = appender.last_seq().0 + 1;
    appender.put_schema(SchemaVersion { id: schema, bytes: b"columns ".repeat(30) }).unwrap();
    for n in 0..12u64 {
        for index in 0..1 + n % 5 {
            appender.needs_schema(schema);
            let header = EntryHeader { kind: 1, tx_index: index as u32, received_us: n, ..EntryHeader::default() };
            let body = format!("{n} {index} ").repeat(12);
            appender.append(header, &[body.as_bytes()], &context).unwrap();
        }
        let checkpoint = n.to_be_bytes();
        match n {
            3 => drop(appender.abandon()),
            5 => appender.prepare(b"xid", &checkpoint),
            _ => {
                let forget_prepared = (n == 8).then_some(&b"xid"[..]);
                appender.commit(Commit { checkpoint: &checkpoint, commit_time_us: n, forget_prepared });
            }
        }
    }
    appender.flush().unwrap();
}

fn seal(store: &Store) {
    let before = store.segments().len();
    let deadline = Instant::now() + Duration::from_secs(10);
    while store.segments().len() == before {
        assert!(Instant::now() < deadline, "the segment is never sealed");
        store.set_retention(Retention { max_age: Some(Duration::from_millis(8)), ..Retention::default() });
        std::thread::sleep(Duration::from_millis(2));
    }
    store.set_retention(Retention::default());
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize)
}

fn put(bytes: &mut [u8], at: usize, crc: u32) {
    bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Makes every checksum right that the lengths in the file lead to, as `relay-store/DESIGN.md` lays them out.
fn repair(bytes: &mut [u8], uuid: &[u8; 16], first_seq: u64) {
    let Some(body_len) = u32_at(bytes, 16) else { return };
    let Some(mut at) = body_len.checked_add(24).filter(|end| *end <= bytes.len()) else { return };
    let crc = crc32fast::hash(&bytes[12..at]);
    put(bytes, 8, crc);
    while bytes.get(at..at + 4) == Some(b"BLK1") {
        let (Some(meta), Some(stored)) = (u32_at(bytes, at + 12), u32_at(bytes, at + 16)) else { return };
        let (payload, end) = (at + 56 + meta, at + 56 + meta + stored);
        if end > bytes.len() {
            return;
        }
        let crc = crc32fast::hash(&bytes[payload..end]);
        put(bytes, at + 24, crc);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(uuid);
        hasher.update(&first_seq.to_le_bytes());
        hasher.update(&(at as u64).to_le_bytes());
        hasher.update(&bytes[at + 8..payload]);
        put(bytes, at + 4, hasher.finalize());
        at = end;
    }
    if bytes.get(at..at + 4) == Some(b"FOT1") {
        let Some(end) = u32_at(bytes, at + 12).map(|len| at + 16 + len).filter(|end| end + 16 <= bytes.len()) else {
            return;
        };
        let crc = crc32fast::hash(&bytes[at + 8..end]);
        put(bytes, at + 4, crc);
        put(bytes, end + 4, crc);
    }
}
