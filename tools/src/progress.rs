//! How far long work has come, on standard error, when that is a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// One line that is written over and over; gone when the work is done.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    shown: bool,
    next: Option<Instant>,
}

const EVERY: Duration = Duration::from_millis(250);

impl Progress {
    /// For work called `what`: `verify`. Nothing is shown where no one watches.
    pub fn new(what: &'static str) -> Self {
        Self { what, shown: false, next: std::io::stderr().is_terminal().then(Instant::now) }
    }

    /// `done` of `total` is behind us, in any unit; cheap to call often.
    pub fn at(&mut self, done: u64, total: u64) {
        let Some(next) = self.next else { return };
        let now = Instant::now();
        if now < next {
            return;
        }
        self.next = Some(now + EVERY);
        self.shown = true;
        let percent = if total == 0 { 100 } else { u128::from(done) * 100 / u128::from(total) };
        // Who cannot read of the progress loses nothing.
        let _ = write!(std::io::stderr(), "\r{}: {percent} %\x1b[K", self.what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
