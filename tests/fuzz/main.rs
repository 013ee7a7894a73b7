//! Hostile bytes against everything that parses: each target takes any bytes at all, and must neither panic, nor run
//! without end, nor grow beyond what its input pays for.
//!
//! The normal run mutates real events of the golden files with fixed seeds, and replays what is kept in `corpus`. For
//! a longer search: `RELAY_FUZZ_SECONDS=600 RELAY_FUZZ_SEED=$RANDOM cargo test --test fuzz`. A failure prints its target,
//! seed and turn, and leaves its input beside the test's other output; keep it in `corpus/TARGET/` with the fix.
//!
//! A new target is one file in `targets` and one line here.

mod mutate;
mod seeds;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mutate::Mutator;

/// Turns of a normal run, per target.
const TURNS: u64 = 4000;

struct Target {
    name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            search(&Target { name: stringify!($name), run: targets::$name::run, seeds: seeds::$name });
        }
    )*};
}

targets!(event, table_map, rows, json, gtid, block, checkpoint, etl);

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value:?}")))
}

fn search(target: &Target) {
    let corpus: Vec<Vec<u8>> = (target.seeds)().into_iter().chain(kept(target.name)).collect();
    assert!(!corpus.is_empty(), "{}: nothing to start from", target.name);
    for input in &corpus {
        guarded(target, input, "as it is");
    }
    let seed = setting("RELAY_FUZZ_SEED").unwrap_or(1);
    let until = setting("RELAY_FUZZ_SECONDS").map(|s| Instant::now() + Duration::from_secs(s));
    let mut mutator = Mutator::new(seed);
    // A turn that writes files takes longer.
    let turns = if target.name == "block" { TURNS / 8 } else { TURNS };
    let mut turn = 0;
    while until.map_or(turn < turns, |until| Instant::now() < until) {
        let input = mutator.mutate(&corpus);
        guarded(target, &input, &format!("seed {seed}, turn {turn}"));
        turn += 1;
    }
}

/// Inputs that once failed, or reach what no golden file does.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "fuzz", "corpus", name].iter().collect();
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// No input here is large, so one that takes this long would take for ever on a large one.
const SLOW: Duration = Duration::from_secs(5);

fn guarded(target: &Target, input: &[u8], how: &str) {
    let began = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = began.elapsed();
    if result.is_ok() && took < SLOW {
        return;
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
    std::fs::write(&path, input).unwrap();
    panic!("{}: {} bytes ({how}) fail after {took:?}; kept in {}", target.name, input.len(), path.display());
}
