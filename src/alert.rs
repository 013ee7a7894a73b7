//! Alerts: one JSON POST for each change of state that someone should know of, and back to normal.
//!
//! | look in | for |
//! |---|---|
//! | [`condition`] | what is an alert, when it is raised, repeated and over; pure |
//! | `outbox` | what waits to be posted; retries; never more than a bounded number |
//! | [`webhook`] | one POST, on a thread of its own |
//!
//! Nothing here is waited for by capture, by a delivery or by the end of the daemon.

pub mod condition;
mod outbox;
pub mod webhook;

use serde::Serialize;

pub use outbox::Outboxes;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A task is out of retries.
    Failed,
    /// A delivery, or one of its tables, waits for someone.
    Parked,
    /// A delivery is too far behind the source.
    Latency,
    /// Undelivered data would leave log and source too soon.
    Headroom,
    /// Rows of a table did not go to their topic: they were skipped, or are dead letters.
    Gap,
    /// A topic has more partitions than are used.
    Partitions,
}

impl Kind {
    /// Its name, as notices and metrics write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Latency => "latency",
            Self::Headroom => "headroom",
            Self::Gap => "gap",
            Self::Partitions => "partitions",
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Raised,
    /// It lasts, and is said again.
    Lasting,
    /// It is over.
    Normal,
}

/// What is posted, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notice {
    /// One line for people; chat services show this field.
    pub text: String,
    /// The relay's name.
    pub name: String,
    /// Its environment tag; empty for none.
    pub environment: String,
    /// The delivery; null for capture.
    pub delivery: Option<String>,
    /// The table, `database.table`, when one alone is parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What it is about.
    pub alert: Kind,
    /// What became of it.
    pub change: Change,
    /// The state of the task now.
    pub state: &'static str,
    /// Why.
    pub reason: String,
    /// Seconds measured, for latency and headroom.
    pub value: Option<f64>,
    /// Seconds allowed.
    pub threshold: Option<f64>,
    /// When it began, RFC 3339.
    pub since: String,
    /// When this was found, RFC 3339.
    pub time: String,
    /// What someone can do.
    pub next_step: Option<String>,
}

impl Notice {
    /// Whether both are about the same thing.
    fn is_about_the_same(&self, other: &Self) -> bool {
        (&self.delivery, &self.table, self.alert) == (&other.delivery, &other.table, other.alert)
    }
}
