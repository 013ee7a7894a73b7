//! What a run of many tests must not do: hang for ever, or keep its failures to itself until its end.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{LazyLock, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

/// Longer than any test takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(900);

static TESTS: LazyLock<Mutex<HashMap<ThreadId, (String, Instant)>>> = LazyLock::new(|| {
    thread::spawn(watch);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Past what the test runner holds back until all tests are over.
        let name = thread::current().name().unwrap_or("a thread").to_owned();
        let _ = writeln!(std::io::stderr(), "\n{name}: {panic}");
        before(panic);
    }));
    Mutex::default()
});

/// Watches this test until its thread ends; once is enough.
pub fn watched() {
    thread_local! {
        static TEST: RefCell<Option<Test>> = const { RefCell::new(None) };
    }
    TEST.with_borrow_mut(|test| {
        test.get_or_insert_with(|| {
            let thread = thread::current();
            let name = thread.name().unwrap_or("a test").to_owned();
            TESTS.lock().expect("no panic").insert(thread.id(), (name, Instant::now()));
            Test(thread.id())
        });
    });
}

struct Test(ThreadId);

impl Drop for Test {
    fn drop(&mut self) {
        TESTS.lock().expect("no panic").remove(&self.0);
    }
}

fn watch() {
    loop {
        thread::sleep(Duration::from_secs(5));
        let tests = TESTS.lock().expect("no panic");
        // With one thread for all tests, they run in the main one, which has no end.
        let hangs = tests.values().find(|(name, since)| name != "main" && since.elapsed() > PATIENCE);
        if let Some((name, _)) = hangs {
            let _ = writeln!(std::io::stderr(), "\n{name} does not end within {PATIENCE:?}: this run of tests is over");
            std::process::exit(101);
        }
    }
}
