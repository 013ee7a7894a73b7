//! Append throughput: 64 KiB blocks of incompressible bytes with group commit every 10 ms by the timer alone, against
//! a plain file that gets the same bytes and one `fdatasync` every 10 ms. Both in one run, alternating. The queue is 64 MiB
//! long, eight times the default, so that 10 ms of bytes at the disk's speed have room beside the group being written.
//!
//! Prints JSON lines for `ops/bench append`. The folder is `RELAY_BENCH_DIR`, else below `target/`, because a
//! temporary folder may be in memory.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use relay_store::{Codec, Commit, EntryHeader, Store, StoreOptions, Submit};

const BLOCK: usize = 64 << 10;
const CADENCE: Duration = Duration::from_millis(10);
const SEGMENT: u64 = 64 << 20;
const QUEUE: usize = 64 << 20;
const TURNS: usize = 3;

fn main() {
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let total: usize = std::env::var("RELAY_BENCH_MB").map_or(1024, |mb| mb.parse().expect("a number")) << 20;
    let mut pool = vec![0u8; 16 << 20];
    StdRng::seed_from_u64(1).fill_bytes(&mut pool);
    let dir = std::env::var_os("RELAY_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bench"), PathBuf::from)
        .join("append");
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        plain.push(timed(&dir, total, |dir| plain_file(dir, &pool, total)));
        ours.push(timed(&dir, total, |dir| store(dir, &pool, total)));
    }
    for (ours, plain) in ours.iter().zip(&plain) {
        eprintln!("store {ours:.0} MB/s, plain file {plain:.0} MB/s");
    }
    println!(
        "{{\"name\":\"append 64 KiB blocks, groups of 10 ms\",\"measured\":{:.1},\"unit\":\"MB/s\",\"yardstick\":{:.1}}}",
        median(&mut ours),
        median(&mut plain)
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// MB/s of one turn in a fresh folder.
fn timed(dir: &Path, total: usize, work: impl FnOnce(&Path)) -> f64 {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).expect("a folder for the bench");
    let started = Instant::now();
    work(dir);
    let rate = total as f64 / 1e6 / started.elapsed().as_secs_f64();
    fs::remove_dir_all(dir).expect("the folder goes");
    rate
}

fn blocks(pool: &[u8], total: usize) -> impl Iterator<Item = &[u8]> {
    pool.chunks_exact(BLOCK).cycle().take(total / BLOCK)
}

fn plain_file(dir: &Path, pool: &[u8], total: usize) {
    let mut number = 0;
    let mut file = File::create(dir.join("0")).expect("a file");
    let (mut written, mut synced) = (0u64, Instant::now());
    for block in blocks(pool, total) {
        file.write_all(block).expect("room on the disk");
        written += block.len() as u64;
        if synced.elapsed() >= CADENCE {
            file.sync_data().expect("a sync");
            synced = Instant::now();
        }
        if written >= SEGMENT {
            file.sync_data().expect("a sync");
            number += 1;
            written = 0;
            file = File::create(dir.join(number.to_string())).expect("a file");
        }
    }
    file.sync_data().expect("a sync");
}

fn store(dir: &Path, pool: &[u8], total: usize) {
    let options = StoreOptions {
        codec: Codec::None,
        commit_interval: CADENCE,
        group_bytes: None,
        block_bytes: BLOCK,
        segment_bytes: SEGMENT,
        queue_bytes: QUEUE,
        ballast_bytes: 0,
        ..StoreOptions::default()
    };
    let store = Store::open(&dir.join("log"), options).expect("a fresh store");
    let mut appender = store.appender().expect("the only appender");
    let context: &[u8] = b"";
    for block in blocks(pool, total) {
        // The entry's own header takes a few bytes of the block.
        let body = &block[..BLOCK - 64];
        appender.append(EntryHeader::default(), &[body], &context).expect("an append");
        let checkpoint = b"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-1000 mysql-bin.000001:1000000";
        appender.commit(Commit { checkpoint, commit_time_us: 1, forget_prepared: None });
        while appender.submit().expect("the writer lives") == Submit::Full {
            appender.wait_space().expect("the writer lives");
        }
    }
    appender.flush().expect("all durable");
}
