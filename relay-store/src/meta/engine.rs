//! sled on a thread of its own: whoever asks it gets an answer, whatever becomes of it.
//!
//! sled 0.34.7 waits for ever after some of its failures. When the write of a batch's head fails, it raises the flag that
//! `global_error` gives and wakes nobody (`exit_reservation` in its `pagecache/logger.rs`), so a `flush` that waits
//! already never learns; a panic of its I/O threads raises no flag at all; and closing waits for a flusher that may have
//! panicked. So the flag is asked while an answer is outstanding, and beyond a bound there is no more waiting: the
//! handle stays behind with its thread, and with sled's lock, until sled comes back or the process ends.
//!
//! What runs here is given by `db.rs`, the only file that calls sled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::durable::lock;
use crate::error::StorageError;

/// How long is waited, and for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How often the flag is asked while an answer is outstanding.
    pub look_interval: Duration,
    /// For an answer once there has been a failure: waiters were woken, so it is near.
    pub failed: Duration,
    /// For an answer without a sign of a failure. A slow disk is no dead one: the kernel gives a SCSI command up after
    /// six times 30 s, and a disk behind a network can be away for minutes. Should one be taken for dead wrongly, a
    /// restart is all the harm, for nothing was told.
    pub call: Duration,
    /// For closing. All that counts is synced by then, and service managers kill after 90 s.
    pub close: Duration,
}

pub(crate) const LIMITS: Limits = Limits {
    look_interval: Duration::from_millis(100),
    failed: Duration::from_secs(2),
    call: Duration::from_secs(300),
    close: Duration::from_secs(30),
};

/// What the engine has to know about the handle that it guards.
pub(crate) struct Guide<T> {
    /// The database's file, for errors.
    pub path: PathBuf,
    /// The failure that the handle has come upon, if it has; never waits.
    pub failure: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Wakes who waits in a handle that has failed. May itself wait for ever.
    pub wake: fn(&T),
}

type Job<T> = Box<dyn FnOnce(&T) + Send>;
type Answer<R> = Result<R, StorageError>;

/// A handle that one thread uses and closes.
pub(crate) struct Engine<T: Clone + Send + 'static> {
    guide: Guide<T>,
    limits: Limits,
    jobs: Option<Sender<Job<T>>>,
    closed: Mutex<Receiver<Answer<()>>>,
    /// For waking. The thread takes it back before it closes the handle, so that the last one is dropped there.
    spare: Arc<Mutex<Option<T>>>,
    /// Why the thread was given up.
    given_up: Mutex<Option<StorageError>>,
}

impl<T: Clone + Send + 'static> Engine<T> {
    /// Starts the thread `name`, and gives the engine and what `open` gave beside the handle.
    ///
    /// # Errors
    /// As [`call`](Self::call), for `open`.
    pub(crate) fn start<R: Send + 'static>(
        name: &str,
        guide: Guide<T>,
        limits: Limits,
        open: impl FnOnce() -> Answer<(T, R)> + Send + 'static,
    ) -> Answer<(Self, R)> {
        let (jobs, queue) = mpsc::channel::<Job<T>>();
        let (answer, opened) = mpsc::channel();
        let (closing, closed) = mpsc::channel();
        let spare: Arc<Mutex<Option<T>>> = Arc::default();
        let (kept, path) = (spare.clone(), guide.path.clone());
        let serve = move || {
            let value = match contain("open", &path, open) {
                Ok((value, beside)) => {
                    *lock(&kept) = Some(value.clone());
                    let _ = answer.send(Ok(beside));
                    value
                }
                Err(error) => {
                    let _ = answer.send(Err(error));
                    let _ = closing.send(Ok(()));
                    return;
                }
            };
            for job in queue {
                job(&value);
            }
            let handles = (lock(&kept).take(), value);
            let _ = closing.send(contain("close", &path, || {
                drop(handles);
                Ok(())
            }));
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(serve)
            .map_err(|error| StorageError::io("start the thread of", &guide.path, error))?;
        let (closed, given_up) = (Mutex::new(closed), Mutex::default());
        let engine = Engine { guide, limits, jobs: Some(jobs), closed, spare, given_up };
        let beside = engine.wait("open", &opened, limits.call)?;
        Ok((engine, beside))
    }

    /// Has `job` done on the thread; `action` names it in errors.
    ///
    /// # Errors
    /// The job's own; a panic in it; an I/O error of kind `TimedOut` when the thread was given up, now or before. What
    /// became of the job cannot be told then.
    pub(crate) fn call<R: Send + 'static>(
        &self,
        action: &'static str,
        job: impl FnOnce(&T) -> Answer<R> + Send + 'static,
    ) -> Answer<R> {
        if let Some(error) = lock(&self.given_up).clone() {
            return Err(error);
        }
        let (answer, answers) = mpsc::channel();
        let path = self.guide.path.clone();
        let job: Job<T> = Box::new(move |value| drop(answer.send(contain(action, &path, || job(value)))));
        // When the thread has ended, the job is dropped and its answer with it.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
        self.wait(action, &answers, self.limits.call)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.guide.path
    }

    /// Waits for an answer within the limits.
    fn wait<R>(&self, action: &'static str, answers: &Receiver<Answer<R>>, limit: Duration) -> Answer<R> {
        let started = Instant::now();
        let mut failed = None;
        loop {
            match answers.recv_timeout(self.limits.look_interval) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let message = "its thread has ended".to_owned();
                    return Err(StorageError::MetaPanic { action, path: self.guide.path.clone(), message });
                }
            }
            let failure = (self.guide.failure)();
            if failure.is_some() && failed.is_none() {
                failed = Some(Instant::now());
                self.wake();
            }
            let (since, limit) = failed.map_or((started, limit), |failed| (failed, self.limits.failed));
            if since.elapsed() >= limit {
                let waited = started.elapsed().as_secs_f64();
                let why = failure.unwrap_or_else(|| "no failure is known".to_owned());
                let source = std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    format!("given up after {waited:.1} s without an answer: {why}"),
                );
                let error = StorageError::io(action, &self.guide.path, source);
                return Err(lock(&self.given_up).get_or_insert(error).clone());
            }
        }
    }

    /// Wakes who waits in the handle, on a thread that nobody waits for.
    fn wake(&self) {
        let Some(value) = lock(&self.spare).clone() else { return };
        let wake = self.guide.wake;
        let spawned = std::thread::Builder::new().name("relay-meta-wake".to_owned()).spawn(move || wake(&value));
        if let Err(error) = spawned {
            tracing::warn!(path = %self.guide.path.display(), %error, "no thread to wake a failed meta with");
        }
    }
}

impl<T: Clone + Send + 'static> Drop for Engine<T> {
    /// Waits until the handle is closed, so that it can be opened anew; one that does not close is left behind.
    fn drop(&mut self) {
        self.jobs = None;
        if lock(&self.given_up).is_some() {
            return;
        }
        if let Err(error) = self.wait("close", &lock(&self.closed), self.limits.close) {
            tracing::error!(path = %self.guide.path.display(), %error, "meta was not closed");
        }
    }
}

/// sled panics on damage that it does not expect; that must not take the thread.
fn contain<R>(action: &'static str, path: &Path, call: impl FnOnce() -> Answer<R>) -> Answer<R> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "no text".to_owned());
        Err(StorageError::MetaPanic { action, path: path.to_owned(), message })
    })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Condvar;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    /// Far more than any wait of these tests takes, so that a wait for ever fails and not hangs.
    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Limits =
        Limits { look_interval: Duration::from_millis(5), failed: Duration::from_millis(50), call: LONG, close: LONG };

    /// Waits like sled: for a wake-up that a failure may never bring.
    #[derive(Default)]
    struct Gate {
        failed: AtomicBool,
        open: Mutex<bool>,
        changed: Condvar,
        dropped: AtomicUsize,
    }

    impl Gate {
        fn pass(&self) {
            let open = lock(&self.open);
            drop(self.changed.wait_timeout_while(open, 3 * LONG, |open| !*open));
        }

        fn release(&self) {
            *lock(&self.open) = true;
            self.changed.notify_all();
        }
    }

    #[derive(Clone)]
    struct Value(Arc<Gate>);

    impl Drop for Value {
        fn drop(&mut self) {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn start(gate: &Arc<Gate>, limits: Limits, wake: fn(&Value)) -> Engine<Value> {
        let (value, asked) = (Value(gate.clone()), gate.clone());
        let failure = Arc::new(move || asked.failed.load(Ordering::SeqCst).then(|| "the disk is gone".to_owned()));
        let guide = Guide { path: "meta/db".into(), failure, wake };
        Engine::start("test", guide, limits, || Ok((value, ()))).expect("start").0
    }

    fn text(outcome: Answer<()>) -> String {
        match outcome.expect_err("no answer") {
            StorageError::Io { action, path, source } => {
                assert_eq!((path.as_path(), source.kind()), (Path::new("meta/db"), ErrorKind::TimedOut));
                format!("{action}: {source}")
            }
            error => panic!("{error}"),
        }
    }

    /// A failed write woke nobody, and the store waited for its flush for ever.
    #[test]
    fn failure_that_wakes_nobody_is_asked_for_and_ends_every_wait() {
        let gate = Arc::new(Gate::default());
        let engine = start(&gate, SHORT, |_| {});
        let started = Instant::now();
        let outcome = engine.call("commit", |value| {
            value.0.failed.store(true, Ordering::SeqCst);
            value.0.pass();
            Ok(())
        });
        let first = text(outcome);
        assert!(first.starts_with("commit: given up") && first.ends_with("the disk is gone"), "{first}");
        assert_eq!(text(engine.call("read", |_| Ok(()))), first, "later calls get the same answer at once");
        drop(engine);
        assert!(started.elapsed() < LONG, "closing waited too");
        // One may be the waking thread's.
        assert!(gate.dropped.load(Ordering::SeqCst) <= 1, "it is left behind");
        gate.release();
    }

    #[test]
    fn waiter_that_can_be_woken_gives_its_own_error_and_the_handle_is_closed() {
        let gate = Arc::new(Gate::default());
        let engine = start(&gate, Limits { failed: LONG, ..SHORT }, |value| value.0.release());
        let outcome: Answer<()> = engine.call("commit", |value| {
            value.0.failed.store(true, Ordering::SeqCst);
            value.0.pass();
            Err(StorageError::damaged("meta", "its own error"))
        });
        assert!(matches!(outcome, Err(StorageError::Damaged { .. })), "{outcome:?}");
        drop(engine);
        // The third is the waking thread's, which may still be on its way.
        assert!(gate.dropped.load(Ordering::SeqCst) >= 2, "closed");
    }

    #[test]
    fn slow_answer_is_waited_for_and_an_endless_one_is_not() {
        let gate = Arc::new(Gate::default());
        let engine = start(&gate, SHORT, |_| {});
        let slow = 4 * (SHORT.look_interval + SHORT.failed);
        engine
            .call("commit", move |_| {
                std::thread::sleep(slow);
                Ok(())
            })
            .expect("slow, not failed");
        drop(engine);
        assert_eq!(gate.dropped.load(Ordering::SeqCst), 2, "closed");

        let engine = start(&gate, Limits { call: slow, ..SHORT }, |_| {});
        let endless = text(engine.call("commit", |value| {
            value.0.pass();
            Ok(())
        }));
        assert!(endless.ends_with("no failure is known"), "{endless}");
        drop(engine);
        gate.release();
    }

    #[test]
    fn opening_and_closing_that_do_not_end_are_given_up() {
        let gate = Arc::new(Gate::default());
        let limits = Limits { call: SHORT.failed, close: SHORT.failed, ..SHORT };
        let (stuck, failure) = (gate.clone(), Arc::new(|| None));
        let guide = Guide { path: "meta/db".into(), failure, wake: |_: &()| {} };
        let opened = Engine::start("test", guide, limits, move || {
            stuck.pass();
            Ok(((), ()))
        });
        assert!(text(opened.map(drop)).starts_with("open: given up"));

        #[derive(Clone)]
        struct Stuck(Arc<Gate>);
        impl Drop for Stuck {
            fn drop(&mut self) {
                self.0.pass();
            }
        }
        let value = Stuck(gate.clone());
        let guide = Guide { path: "meta/db".into(), failure: Arc::new(|| None), wake: |_: &Stuck| {} };
        let (engine, ()) = Engine::start("test", guide, limits, || Ok((value, ()))).expect("start");
        let started = Instant::now();
        drop(engine);
        assert!(started.elapsed() < LONG, "closing was waited for");
        gate.release();
    }

    #[test]
    fn panic_is_an_error_and_the_thread_goes_on() {
        let gate = Arc::new(Gate::default());
        let engine = start(&gate, SHORT, |_| {});
        let outcome: Answer<()> = engine.call("read", |_| panic!("unexpected bytes"));
        match outcome {
            Err(StorageError::MetaPanic { action: "read", path, message }) => {
                assert_eq!((path.as_path(), message.as_str()), (Path::new("meta/db"), "unexpected bytes"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(engine.call("read", |_| Ok(7)).expect("alive"), 7);
    }
}
