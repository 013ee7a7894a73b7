//! The class of a failure: what the supervisor may do about it. Every error that ends a task states one.

/// What kind of failure it is; the supervisor acts on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Retrying can help: retried with backoff inside the retry window.
    Transient,
    /// Retrying cannot help: this table or this task parks with its reason, the rest runs.
    Definite,
    /// The store cannot be trusted: the process stops.
    Fatal,
}

/// The exit code of the process when a failure ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// It failed, for a reason that has no code of its own.
    Failed = 1,
    /// Wrong usage or config.
    Config = 2,
    /// A precheck item failed.
    Precheck = 3,
    /// The store is damaged or poisoned.
    Store = 4,
    /// The source diverged from what the log holds, or purged what it needs.
    Source = 5,
}

impl Exit {
    /// The code as the process ends with it.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What a code of a relay means; none for one that no failure has.
    pub fn of_code(code: u8) -> Option<Self> {
        [Self::Failed, Self::Config, Self::Precheck, Self::Store, Self::Source]
            .into_iter()
            .find(|exit| exit.code() == code)
    }
}

/// An error that ends a task: its class, what the operator can do, and the exit code it asks for.
pub trait Failure: std::error::Error + Send + Sync + 'static {
    /// What the supervisor may do about it.
    fn class(&self) -> Class;

    /// One sentence with the operator's next step, when there is one.
    fn next_step(&self) -> Option<String>;

    /// Whether the other side could not be reached, rather than reached and failing: the two have retry windows
    /// of their own. Most transient failures are of this kind, so it is what they are unless they say otherwise.
    fn is_connection(&self) -> bool {
        self.class() == Class::Transient
    }

    /// Whether it comes after its retry window was waited out: it is not retried inside a window again.
    fn is_exhausted(&self) -> bool {
        false
    }

    /// The exit code when this failure ends the process.
    fn exit(&self) -> Exit {
        match self.class() {
            Class::Fatal => Exit::Store,
            Class::Transient | Class::Definite => Exit::Failed,
        }
    }
}

/// An error with its causes, as one sentence.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let next = e.to_string();
        // Transparent wrappers repeat what they wrap.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = e.source();
    }
    text
}
