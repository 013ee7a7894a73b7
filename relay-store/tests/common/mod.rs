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

/// The workload of the children that are killed, and its checker. Transaction `n` has a known number of entries with
/// known bodies, and `n` is its checkpoint; a life goes on at the checkpoint of the one before. So a log is right when
/// its visible entries are whole transactions, in order, each once, up to the checkpoint.
pub mod workload {
    use std::path::Path;

    use super::{Rng, body, commit, header, read_all};
    use relay_store::{Appender, Seq, Store};

    pub fn entries_of(n: u64) -> u64 {
        1 + Rng(n.wrapping_mul(0xD134_2543_DE82_EF95) | 1).next() % 6
    }

    /// What was told to be durable, in words for standard output.
    #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
    pub struct Acked {
        /// Transactions 0 up to here, exclusive.
        pub transactions: u64,
        pub seq: u64,
        pub cursor: u64,
    }

    impl Acked {
        pub fn line(&self) -> String {
            format!("acked {} {} {}\n", self.transactions, self.seq, self.cursor)
        }

        /// The last whole line of a child's output.
        pub fn parse(output: &str) -> Option<Acked> {
            let whole = &output[..output.rfind('\n')? + 1];
            let words: Vec<u64> = whole
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix("acked "))?
                .split(' ')
                .flat_map(str::parse)
                .collect();
            Some(Acked { transactions: words[0], seq: words[1], cursor: words[2] })
        }
    }

    /// The transaction that comes next.
    pub fn resume(appender: &Appender) -> u64 {
        appender.checkpoint().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")) + 1)
    }

    pub fn append(appender: &mut Appender, n: u64) -> Result<(), relay_store::AppendError> {
        let context: &[u8] = b"context";
        for index in 0..entries_of(n) {
            let mut bytes = (n << 8 | index).to_le_bytes().to_vec();
            bytes.extend(body(n << 8 | index));
            appender.append(header(index as u32), &[&bytes], &context)?;
        }
        appender.commit(commit(&n.to_be_bytes(), n));
        Ok(())
    }

    /// Holds a store against what was told, and gives what it holds.
    pub fn check(store: &Store, acked: Acked, what: &str) -> u64 {
        let positions = store.positions();
        assert!(positions.durable_seq.0 >= acked.seq, "{what}: durable {positions:?} is behind acked {acked:?}");
        assert_eq!(store.opened().lost, [], "{what}");
        assert_eq!(store.opened().meta_rebuilt, None, "{what}: {:?}", store.opened());
        let entries = read_all(&mut store.reader(), positions.first_seq);
        let mut expected: Option<(u64, u64)> = None;
        for (seq, bytes) in &entries {
            let id = u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes"));
            let (n, index) = (id >> 8, id & 0xFF);
            assert_eq!(bytes[8..], body(id), "{what}: entry {seq} is another one");
            match expected {
                Some(next) => assert_eq!((n, index), next, "{what}: entry {seq} is out of its place"),
                None => assert!(positions.first_seq > Seq(1) || (n, index) == (0, 0), "{what}: starts at {n} {index}"),
            }
            expected = Some(if index + 1 == entries_of(n) { (n + 1, 0) } else { (n, index + 1) });
        }
        let checkpoint = store.checkpoint().map(|bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")) + 1);
        let next = checkpoint.unwrap_or(0);
        if let Some(expected) = expected {
            assert_eq!(expected, (next, 0), "{what}: the checkpoint does not match the log's end");
        }
        assert!(next >= acked.transactions, "{what}: {next} transactions, {} were acknowledged", acked.transactions);
        if let Some(cursor) = store.cursors().get("c") {
            assert!(cursor.acked.0 >= acked.cursor, "{what}: cursor at {}, acked {}", cursor.acked, acked.cursor);
            assert!(cursor.acked <= positions.visible_seq, "{what}");
            assert!(cursor.acked.0 + 1 >= positions.first_seq.0 || cursor.lost.is_some(), "{what}");
        } else {
            assert_eq!(acked.cursor, 0, "{what}: the cursor is gone");
        }
        next
    }

    /// What a child does until it is killed, or until `rounds` are done. Tells each acknowledgement on `out`.
    pub fn child(dir: &Path, rounds: u64, out: &mut dyn std::io::Write) -> Result<(), Box<dyn std::error::Error>> {
        use relay_store::{Codec, CursorOptions, Retention, StoreOptions};
        let retention = Retention { max_bytes: Some(256 << 10), ..Retention::default() };
        let codec = if std::process::id().is_multiple_of(2) { Codec::Lz4 } else { Codec::None };
        // Groups that follow each other at once are written while the ones before become durable.
        let interval = std::time::Duration::from_millis(u64::from(std::process::id() % 3 % 2));
        let options = StoreOptions { codec, retention, commit_interval: interval, ..super::options() };
        let store = Store::open(dir, options)?;
        let mut rng = Rng(u64::from(std::process::id()) | 1);
        let mut appender = store.appender()?;
        let mut next = resume(&appender);
        let mut acked = Acked { transactions: next, ..Acked::default() };
        let cursors = store.cursors();
        let cursor = match cursors.get("c") {
            Some(cursor) => cursor,
            None => cursors.create("c", store.positions().visible_seq, CursorOptions::default())?,
        };
        for _ in 0..rounds {
            for _ in 0..1 + rng.below(20) {
                append(&mut appender, next)?;
                next += 1;
                if rng.below(4) == 0 {
                    appender.seal();
                }
                while appender.submit()? == relay_store::Submit::Full {
                    appender.wait_space()?;
                }
            }
            acked.seq = appender.flush()?.0;
            acked.transactions = next;
            match rng.below(3) {
                0 => cursors.commit("c", cursor.epoch, Seq(acked.seq), None)?,
                1 => {
                    cursors.commit_durable("c", cursor.epoch, Seq(acked.seq), Some(&acked.seq.to_le_bytes()))?;
                    acked.cursor = acked.seq;
                }
                _ => {}
            }
            out.write_all(acked.line().as_bytes())?;
            out.flush()?;
        }
        // The last group may be of cursors alone, written while closing.
        let durable = store.durable();
        drop(appender);
        store.close();
        durable.poisoned().map_or(Ok(()), |poisoned| Err(relay_store::AppendError::from(poisoned).into()))
    }
}
