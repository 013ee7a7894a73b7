//! What is asked of the writer thread, which also trims, so that the two never race: a change, and who waits for it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::{CursorState, Parked};
use crate::durable::lock;
use crate::error::{AppendError, CursorError};
use crate::options::Lagging;
use crate::shared::Shared;

/// A change that the writer thread makes.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Nothing: answered when all that was pushed before is durable.
    Barrier,
    /// Nothing: answered when the cursors moved so far are durable.
    Persist,
    Create {
        name: String,
        acked: u64,
        lagging: Lagging,
    },
    Reset {
        name: String,
        acked: u64,
    },
    Pause {
        name: String,
        paused: bool,
    },
    Delete {
        name: String,
    },
    Park {
        name: String,
        parked: Parked,
    },
    Release {
        name: String,
        key: Vec<u8>,
    },
    Lost {
        name: String,
        lost: Option<(u64, u64)>,
    },
}

/// Where the answer to a request comes.
#[derive(Debug, Default)]
struct Reply {
    answer: Mutex<Option<Result<Option<CursorState>, CursorError>>>,
    answered: Condvar,
}

/// A change and who waits for it.
#[derive(Debug)]
pub(crate) struct Request {
    pub change: Change,
    /// Items pushed before it.
    pub after: u64,
    reply: Arc<Reply>,
    answered: bool,
}

impl Drop for Request {
    /// A request that is dropped unanswered (the writer panicked) must not leave its caller waiting.
    fn drop(&mut self) {
        let mut answer = lock(&self.reply.answer);
        if !self.answered {
            *answer = Some(Err(CursorError::Closed));
            self.reply.answered.notify_all();
        }
    }
}

impl Request {
    pub(crate) fn answer(mut self, answer: Result<Option<CursorState>, CursorError>) {
        *lock(&self.reply.answer) = Some(answer);
        self.answered = true;
        self.reply.answered.notify_all();
    }

    pub(crate) fn refuse(self, reason: AppendError) {
        let error = match reason {
            AppendError::Poisoned(poisoned) => CursorError::Poisoned(poisoned),
            _ => CursorError::Closed,
        };
        self.answer(Err(error));
    }
}

impl Shared {
    /// Has the writer make a change; durable on return.
    pub(crate) fn ask(&self, change: Change) -> Result<Option<CursorState>, CursorError> {
        let reply = Arc::new(Reply::default());
        self.queue.request(Request { change, after: 0, reply: reply.clone(), answered: false });
        let mut answer = lock(&reply.answer);
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            answer = reply.answered.wait(answer).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until all that was pushed is durable.
    pub(crate) fn flush_barrier(&self) -> Result<(), AppendError> {
        match self.ask(Change::Barrier) {
            Ok(_) => Ok(()),
            Err(CursorError::Poisoned(poisoned)) => Err(poisoned.into()),
            Err(_) => Err(AppendError::Closed),
        }
    }
}
