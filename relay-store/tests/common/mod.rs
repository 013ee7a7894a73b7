//! What the tests share: small options, seeded noise, reading everything.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::Path;
use std::time::Duration;

use relay_store::{Commit, EntryHeader, Gap, Read, Reader, Seq, Store, StoreOptions};

/// Small blocks and segments, so that little data makes many of both.
pub fn options() -> StoreOptions {
    StoreOptions {
        block_bytes: 1 << 10,
        segment_bytes: 64 << 10,
        commit_interval: Duration::from_millis(1),
        ballast_bytes: 0,
        ..StoreOptions::default()
    }
}

pub fn open(dir: &Path) -> Store {
    Store::open(dir, options()).expect("open store")
}

pub fn header(n: u32) -> EntryHeader {
    EntryHeader { kind: 1, flags: 2, tx_index: n, source_pos: u64::from(n) * 10, received_us: 5_000 + u64::from(n) }
}

pub fn commit(checkpoint: &[u8], time: u64) -> Commit<'_> {
    Commit { checkpoint, commit_time_us: time, forget_prepared: None }
}

/// The body that entry `seq` always has, so that a reader can tell a wrong one.
pub fn body(seq: u64) -> Vec<u8> {
    let mut rng = Rng(seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let len = 20 + rng.next() as usize % 400;
    let mut out = seq.to_le_bytes().to_vec();
    out.extend((0..len).map(|_| (rng.next() >> 32) as u8));
    out
}

/// A small seeded generator (xorshift64*).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The seed of a random test: from the environment to run one again, else new; printed either way.
pub fn seed(name: &str) -> u64 {
    let seed = std::env::var("RELAY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64 | 1)
    });
    println!("{name}: RELAY_SEED={seed}");
    seed
}

/// Visible entries and gaps from `from` on.
pub fn read_with_gaps(reader: &mut Reader, mut from: Seq) -> (Vec<(u64, Vec<u8>)>, Vec<Gap>) {
    let (mut entries, mut gaps) = (Vec::new(), Vec::new());
    loop {
        match reader.read(from).expect("read") {
            Read::Block(raw) => {
                assert_eq!(raw.first_seq(), from);
                let last = raw.last_seq();
                assert!(last >= from);
                match raw.decode() {
                    Ok(block) => entries.extend(block.entries().map(|entry| (entry.seq.0, entry.body.to_vec()))),
                    Err(relay_store::ReadError::Gap(gap)) => {
                        assert_eq!((gap.first, gap.last), (from, last));
                        gaps.push(gap);
                    }
                    Err(error) => panic!("{error}"),
                }
                from = last.next();
            }
            Read::CaughtUp => return (entries, gaps),
            Read::Gap(gap) => {
                assert_eq!(gap.first, from);
                assert!(gap.last >= from, "{gap}");
                from = gap.last.next();
                gaps.push(gap);
            }
        }
    }
}

/// Visible entries from `from` on; there must be no gap.
pub fn read_all(reader: &mut Reader, from: Seq) -> Vec<(u64, Vec<u8>)> {
    let (entries, gaps) = read_with_gaps(reader, from);
    assert!(gaps.is_empty(), "{gaps:?}");
    entries
}
