//! Transactions without end on one table, and a book of what they committed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::index::sample;
use rand::{Rng, SeedableRng};

use super::history::Committed;
use crate::support::servers::Database;
use crate::support::sql::Session;

/// Rows of the table; each transaction changes some of them.
const KEYS: usize = 300;
/// Between transactions, so that a long run stays readable.
const PAUSE: Duration = Duration::from_millis(15);

/// Runs until it is stopped.
pub struct Workload {
    stop: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    committed: Arc<Mutex<Committed>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Creates the table.
pub fn create_table(server: &Database, schema: &str) {
    let table = format!(
        "CREATE TABLE {schema}.t (id INT PRIMARY KEY, v INT NOT NULL, tx INT NOT NULL, fill VARCHAR(100) NOT NULL)"
    );
    Session::open(server).run_all(&[&format!("CREATE DATABASE {schema}"), &table]);
}

impl Workload {
    pub fn start(server: &Database, schema: &str, seed: u64) -> Self {
        let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Committed>>::default());
        let paused = Arc::new(AtomicBool::new(false));
        let (stopped, waits, book) = (Arc::clone(&stop), Arc::clone(&paused), Arc::clone(&committed));
        let (mut session, schema) = (Session::open(server), schema.to_owned());
        let thread = std::thread::spawn(move || {
            let mut random = StdRng::seed_from_u64(seed);
            let mut versions = BTreeMap::<u64, u64>::new();
            for transaction in 1.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                if waits.load(Ordering::Relaxed) {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                let rolled_back = random.random_bool(0.1);
                let count = if random.random_bool(0.05) { KEYS } else { random.random_range(1..20) };
                let rows: Vec<String> = sample(&mut random, KEYS, count)
                    .into_iter()
                    .map(|id| format!("({id}, 1, {transaction}, REPEAT('x', {}))", id % 90))
                    .collect();
                let insert = format!(
                    "INSERT INTO {schema}.t VALUES {} ON DUPLICATE KEY UPDATE v = v + 1, tx = {transaction}",
                    rows.join(", ")
                );
                // Written down before it can be seen: a reader may be faster than this thread.
                let mut book = book.lock().expect("whole");
                session.run_all(&["BEGIN", &insert]);
                if rolled_back {
                    session.run("ROLLBACK");
                } else {
                    for row in rows {
                        let id = row[1..].split(',').next().and_then(|id| id.parse().ok()).expect("an id");
                        let version = versions.entry(id).or_default();
                        *version += 1;
                        book.0.insert((id, *version), transaction);
                    }
                    session.run("COMMIT");
                }
                drop(book);
                std::thread::sleep(PAUSE);
            }
        });
        Self { stop, paused, committed, thread: Some(thread) }
    }

    /// Lets it rest, or go on. What is under way when it is told to rest is in the book once that is asked for.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        drop(self.committed());
    }

    /// What was committed until now.
    pub fn committed(&self) -> Committed {
        self.committed.lock().expect("whole").clone()
    }

    /// Ends it; what it committed in all.
    pub fn end(mut self) -> Committed {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("no panic");
        self.committed()
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
