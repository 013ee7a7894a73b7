//! What tests share: real servers, the daemon as a child process, an independent Kafka client,
//! a proxy that breaks connections.

#![allow(dead_code, reason = "each test crate uses its share of this")]

pub mod beside;
pub mod daemon;
pub mod kafka;
pub mod log;
pub mod maxcompute;
pub mod proxy;
pub mod readers;
pub mod servers;
pub mod sql;
pub mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The project's root.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A name that no other test and no earlier run uses: `prefix_<time>_<count>`.
pub fn fresh(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    format!("{prefix}_{}_{}", now.as_millis() % 1_000_000_000, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until `ready` gives a value; fails with `what` at the deadline.
#[track_caller]
pub fn wait_until<T>(what: &str, patience: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The seed of a random test that asks so many questions that it finds new things for a long time: a normal run asks the
/// same ones again, so that what a random one finds is mended by whoever looks for it, and holds up nobody else.
/// `RELAY_SEED`, or `RELAY_LONG` for one from the clock.
pub fn steady_seed(test: &str) -> u64 {
    let is_set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    if is_set("RELAY_SEED") || is_set("RELAY_LONG") {
        return seed(test);
    }
    println!("{test}: the seed of a normal run, {NORMAL_SEED}; RELAY_SEED asks other questions");
    NORMAL_SEED
}

const NORMAL_SEED: u64 = 1;

/// The seed of a random test: `RELAY_SEED` when set, else from the clock. Printed, so that a failure can be replayed.
pub fn seed(test: &str) -> u64 {
    let seed = std::env::var("RELAY_SEED").ok().map_or_else(
        || {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").subsec_nanos()
                as u64
        },
        |text| text.parse().expect("RELAY_SEED is a number"),
    );
    println!("{test}: replay with RELAY_SEED={seed}");
    seed
}
