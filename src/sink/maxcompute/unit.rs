//! One unit on its way into a table: what is done next, and what each answer means. Pure; the caller does what
//! [`Unit::action`] asks, one action at a time, and tells what came of it.
//!
//! A unit is the rows of one table and one partition in one stretch of the log. It goes up in a batch upload session, whose
//! commit shows all of it at once.
//!
//! ```text
//!            +------------------ not committed, and never will be ------------------+
//!            v                                                                       |
//! [count] -> open -> upload -> check -> RECORD the intent -> commit -> [ask]* -> [probe]
//!                                                              |          |          |
//!                                                              +----------+----------+--> done, or halt
//! ```
//!
//! IMPORTANT: this is what makes each row arrive once. No commit leaves before the intent, which names the session, is
//! durable; from then on the unit is married to that session: whatever is in doubt, also after a restart, is asked of it,
//! and another one is opened only on proof that this one did not commit and never will. Where the session cannot tell any
//! more, the table is: rows have ids that rise with the log, so that their number in the unit's stretch tells.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Conflicts in a row, of a session that does not say that it is committed, after which it is given up.
const CONFLICTS_MAX: u32 = 8;
/// The longest wait between two questions.
const WAIT_MAX: Duration = Duration::from_secs(64);
/// After a session that the service lost its way with, none of its rows in the table prove something only after so long.
pub const DOUBTFUL_WAIT: Duration = Duration::from_secs(600);

/// What tells a unit's rows from all others of its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The first and the last record id, both of rows of this unit and of no other; none for a table without ids, which
    /// only the relay writes: all its rows are counted.
    pub ids: Option<(i64, i64)>,
    /// How many rows.
    pub rows: u64,
}

/// What must be durable before a commit leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The session that is asked to commit.
    pub session: String,
    /// Which rows it holds.
    pub extent: Extent,
    /// Rows in the extent that were there before.
    pub before: u64,
    /// When it was recorded, in milliseconds since 1970.
    pub at_ms: i64,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<'u> {
    /// Count the rows in the extent, after this wait.
    Count(Extent, Duration),
    /// Open a session.
    Open,
    /// Write the unit's blocks into the session, and no others.
    Upload(&'u str),
    /// Ask whether the session is open and holds exactly the unit's blocks.
    Check(&'u str),
    /// Make this durable. Nothing further may be done before it is.
    Record(&'u Intent),
    /// Ask the session to commit, once, after this wait.
    Commit(&'u str, Duration),
    /// Ask the session where it stands, after this wait.
    Ask(&'u str, Duration),
    /// Nothing: its rows are in the table, by this session.
    Done(&'u str),
    /// Nothing: a person must look.
    Halt(Halt),
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// So many rows.
    Counted(u64),
    /// The session's id.
    Opened(String),
    /// All blocks are there.
    Uploaded,
    /// The session cannot be used: it is gone, or holds something else. It was not asked to commit.
    Unusable,
    /// It holds what it should.
    Checked,
    /// The intent is durable.
    Recorded,
    /// What the session answered to the commit.
    Committed(Answer),
    /// Where it says that it stands.
    Asked(Answer),
}

/// What a session says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is committed.
    Closed,
    /// Its commit is under way.
    Committing,
    /// It is open: no commit was applied yet.
    Open,
    /// It was given up and cannot commit.
    Canceled,
    /// It is unknown or over its life: it may have committed before, and cannot any more.
    Gone,
    /// The service lost its way with it.
    Critical,
    /// Its state does not allow what was asked.
    Conflict,
    /// Nothing: nobody answered, or somebody who does not know.
    Nothing,
}

/// Why a unit goes no further: the table holds neither all nor none of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halt {
    /// Where the rows should be.
    pub extent: Extent,
    /// How many there were before.
    pub before: u64,
    /// How many there are.
    pub found: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Counting,
    Opening,
    Uploading(String),
    Checking(String),
    Recording(Intent),
    Committing(Intent),
    Asking(Intent),
    Probing { intent: Intent, doubtful: bool, again: bool },
    Done(String),
    Halted(Halt),
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    extent: Extent,
    before: Option<u64>,
    phase: Phase,
    /// Questions and commits since the first commit.
    tries: u32,
    conflicts: u32,
}

impl Unit {
    /// A unit of which nothing is known to the service; `count_first` when the table may hold rows of its extent already,
    /// or has no ids.
    pub fn planned(extent: Extent, count_first: bool) -> Self {
        let phase = if count_first { Phase::Counting } else { Phase::Opening };
        Self { extent, before: (!count_first).then_some(0), phase, tries: 0, conflicts: 0 }
    }

    /// A unit of which this intent is durable: its session may have been asked to commit.
    pub fn in_doubt(intent: Intent) -> Self {
        let (extent, before) = (intent.extent, Some(intent.before));
        Self { extent, before, phase: Phase::Asking(intent), tries: 0, conflicts: 0 }
    }

    /// Its rows.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// What is to be done next. The same until something is told.
    pub fn action(&self) -> Action<'_> {
        match &self.phase {
            Phase::Counting => Action::Count(self.extent, Duration::ZERO),
            Phase::Opening => Action::Open,
            Phase::Uploading(session) => Action::Upload(session),
            Phase::Checking(session) => Action::Check(session),
            Phase::Recording(intent) => Action::Record(intent),
            Phase::Committing(intent) => Action::Commit(&intent.session, self.wait()),
            Phase::Asking(intent) => Action::Ask(&intent.session, self.wait()),
            Phase::Probing { again, .. } => {
                Action::Count(self.extent, if *again { DOUBTFUL_WAIT } else { Duration::ZERO })
            }
            Phase::Done(session) => Action::Done(session),
            Phase::Halted(halt) => Action::Halt(*halt),
        }
    }

    /// Takes what came of the action at `now_ms`, milliseconds since 1970. False, and nothing changed, for what does not
    /// belong to it.
    #[must_use]
    pub fn take(&mut self, event: Event, now_ms: i64) -> bool {
        let phase = match (&self.phase, event) {
            (Phase::Counting, Event::Counted(rows)) => {
                self.before = Some(rows);
                Phase::Opening
            }
            (Phase::Opening, Event::Opened(session)) => Phase::Uploading(session),
            (Phase::Uploading(session), Event::Uploaded) => Phase::Checking(session.clone()),
            (Phase::Uploading(_) | Phase::Checking(_), Event::Unusable) => Phase::Opening,
            (Phase::Checking(session), Event::Checked) => {
                let (session, before) = (session.clone(), self.before.unwrap_or(0));
                Phase::Recording(Intent { session, extent: self.extent, before, at_ms: now_ms })
            }
            (Phase::Recording(intent), Event::Recorded) => Phase::Committing(intent.clone()),
            (Phase::Committing(intent), Event::Committed(answer)) => {
                let intent = intent.clone();
                self.tries = self.tries.saturating_add(1);
                self.conflicts = if answer == Answer::Conflict { self.conflicts + 1 } else { 0 };
                match answer {
                    Answer::Closed => Phase::Done(intent.session),
                    // Whatever else it says: the session itself tells.
                    _ => Phase::Asking(intent),
                }
            }
            (Phase::Asking(intent), Event::Asked(answer)) => {
                let intent = intent.clone();
                self.asked(intent, answer)
            }
            (Phase::Probing { intent, doubtful, again }, Event::Counted(found)) => {
                probed(intent, *doubtful, *again, found)
            }
            _ => return false,
        };
        if phase == Phase::Opening {
            (self.tries, self.conflicts) = (0, 0);
        }
        self.phase = phase;
        true
    }

    fn asked(&mut self, intent: Intent, answer: Answer) -> Phase {
        self.tries = self.tries.saturating_add(1);
        match answer {
            Answer::Closed => Phase::Done(intent.session),
            Answer::Committing | Answer::Nothing => Phase::Asking(intent),
            // It says that it is open and takes no commit, again and again: it does not know itself.
            Answer::Open if self.conflicts >= CONFLICTS_MAX => Phase::Probing { intent, doubtful: true, again: false },
            Answer::Open => Phase::Committing(intent),
            Answer::Canceled => Phase::Opening,
            Answer::Gone => Phase::Probing { intent, doubtful: false, again: false },
            Answer::Critical => Phase::Probing { intent, doubtful: true, again: false },
            Answer::Conflict => {
                self.conflicts += 1;
                match self.conflicts >= CONFLICTS_MAX {
                    true => Phase::Probing { intent, doubtful: true, again: false },
                    false => Phase::Asking(intent),
                }
            }
        }
    }

    /// None before the first try, then doubled from a second on.
    fn wait(&self) -> Duration {
        match self.tries {
            0 | 1 => Duration::ZERO,
            tries => Duration::from_secs(1 << (tries - 2).min(6)).min(WAIT_MAX),
        }
    }
}

fn probed(intent: &Intent, doubtful: bool, again: bool, found: u64) -> Phase {
    let Intent { session, extent, before, .. } = intent;
    if found == before + extent.rows {
        Phase::Done(session.clone())
    } else if found == *before {
        match doubtful && !again {
            true => Phase::Probing { intent: intent.clone(), doubtful, again: true },
            false => Phase::Opening,
        }
    } else {
        Phase::Halted(Halt { extent: *extent, before: *before, found })
    }
}
