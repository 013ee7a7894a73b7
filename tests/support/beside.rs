//! Work that runs beside a test until the test has what it waits for, and ends with it, also when it fails: a writer that
//! went on would keep a shared server busy under every test that follows.

use std::sync::atomic::{AtomicBool, Ordering};

/// What the work asks whether it is to go on.
#[derive(Debug)]
pub struct Going(AtomicBool);

impl Going {
    pub fn on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs each of `works` in a thread while `meanwhile` runs here; they are told to end when it is over or fails.
pub fn beside<W, T, R>(works: impl IntoIterator<Item = W>, meanwhile: impl FnOnce() -> R) -> (Vec<T>, R)
where
    W: FnOnce(&Going) -> T + Send,
    T: Send,
{
    let going = Going(AtomicBool::new(true));
    std::thread::scope(|scope| {
        let going = &going;
        let threads: Vec<_> = works.into_iter().map(|work| scope.spawn(move || work(going))).collect();
        let end = EndOf(going);
        let result = meanwhile();
        drop(end);
        (threads.into_iter().map(|thread| thread.join().expect("the work beside the test fails")).collect(), result)
    })
}

struct EndOf<'a>(&'a Going);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}
