//! CPU seconds and memory to open a 5 GB log whose writer was killed while it appended.
//!
//! Prints JSON lines for `ops/bench open`. The bench runs itself as a child: once to write, once to open.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use relay_store::{Codec, Commit, EntryHeader, Store, StoreOptions, Submit};

const BLOCK: usize = 128 << 10;

fn main() {
    if std::env::args().any(|a| a == "--test") {
        return;
    }
    let dir = std::env::var_os("RELAY_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bench"), PathBuf::from)
        .join("open");
    let total: u64 = std::env::var("RELAY_BENCH_MB").map_or(5_000, |mb| mb.parse().expect("a number")) * 1_000_000;
    match std::env::var("RELAY_BENCH_ROLE").as_deref() {
        Ok("write") => write(&dir),
        Ok("open") => open(&dir),
        _ => drive(&dir, total),
    }
}

fn options() -> StoreOptions {
    StoreOptions { codec: Codec::None, ballast_bytes: 0, ..StoreOptions::default() }
}

fn child(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.env("RELAY_BENCH_ROLE", role);
    command
}

fn drive(dir: &Path, total: u64) {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).expect("a folder for the bench");
    let mut writer = child("write").stdout(Stdio::null()).spawn().expect("the writer starts");
    while size(dir) < total {
        assert!(writer.try_wait().expect("a child").is_none(), "the writer ended by itself");
        std::thread::sleep(Duration::from_millis(100));
    }
    writer.kill().expect("SIGKILL");
    writer.wait().expect("the writer is gone");
    println!("{{\"name\":\"log\",\"measured\":{:.2},\"unit\":\"GB\"}}", size(dir) as f64 / 1e9);
    let opened = child("open").status().expect("the opener runs");
    assert!(opened.success(), "the log opens");
    fs::remove_dir_all(dir).expect("the folder goes");
}

fn size(dir: &Path) -> u64 {
    let Ok(files) = fs::read_dir(dir) else { return 0 };
    files.flatten().map(|f| if f.path().is_dir() { size(&f.path()) } else { f.metadata().map_or(0, |m| m.len()) }).sum()
}

/// Appends until it is killed.
fn write(dir: &Path) {
    let mut pool = vec![0u8; 8 << 20];
    StdRng::seed_from_u64(1).fill_bytes(&mut pool);
    let store = Store::open(&dir.join("log"), options()).expect("a fresh store");
    let mut appender = store.appender().expect("the only appender");
    let context: &[u8] = b"";
    for block in pool.chunks_exact(BLOCK).cycle() {
        // Entries of 4 KiB: about 1.2 million of them in 5 GB.
        for body in block.chunks(4 << 10).take(31) {
            appender.append(EntryHeader::default(), &[body], &context).expect("an append");
        }
        appender.commit(Commit { checkpoint: b"position", commit_time_us: 1, forget_prepared: None });
        while appender.submit().expect("the writer lives") == Submit::Full {
            appender.wait_space().expect("the writer lives");
        }
    }
}

fn open(dir: &Path) {
    let before = cpu_seconds();
    let store = Store::open(&dir.join("log"), options()).expect("the log opens after a kill");
    let cpu = cpu_seconds() - before;
    println!("{{\"name\":\"cpu\",\"measured\":{cpu:.3},\"unit\":\"s\"}}");
    println!("{{\"name\":\"rss\",\"measured\":{:.1},\"unit\":\"MB\"}}", rss_mb());
    println!("{{\"name\":\"entries\",\"measured\":{},\"unit\":\"entries\"}}", store.positions().last_seq.0);
}

/// User and system time of this process, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name in parentheses").split_whitespace().collect();
    let ticks = |n: usize| fields[n].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

fn rss_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).expect("kB") / 1024.0
}
