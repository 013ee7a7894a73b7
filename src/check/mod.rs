//! The precheck: every item passes, warns or fails, with what was found and what to do about it. One file a
//! family; here only what an item is, in which order they come, and what the whole of them means for a start.

mod binlog;
mod kafka;
pub mod server;
mod source;
mod state;
mod table;

use std::fmt;

use serde::Serialize;

use crate::config::Config;
use crate::log::Checkpoint;
use server::LogState;

/// Runs every item, as `relay check` does: also what an open log would keep from others.
pub async fn run(config: &Config) -> Report {
    let state = state::check(config);
    let log = if state::is_new(config) { LogState::New } else { LogState::Unknown };
    let mut items = server::items(&config.source, log).await;
    items.extend(kafka::items(config).await);
    items.push(state);
    Report { items }
}

/// Whether there is no log yet where the config wants one.
pub fn is_first_start(config: &Config) -> bool {
    state::is_new(config)
}

/// Runs every item while this process has the log open, which ends at `checkpoint`.
pub async fn with_open_log(config: &Config, checkpoint: Option<&Checkpoint>) -> Report {
    let log = checkpoint.map_or(LogState::New, LogState::EndsAt);
    let mut items = server::items(&config.source, log).await;
    items.extend(kafka::items(config).await);
    items.push(state::open(config));
    Report { items }
}

/// How an item came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Pass,
    /// It works, with a drawback: a start needs it accepted.
    Warn,
    /// It does not work: no start.
    Fail,
}

impl Level {
    /// The level as it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One item of the precheck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Its stable id, such as `binlog.format`: what `accept` lists.
    pub id: &'static str,
    /// What it is about when an id comes more than once: a table, a delivery. Empty otherwise.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// How it came out.
    pub level: Level,
    /// What was found.
    pub finding: String,
    /// What to do about it; empty when it passed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// It failed because the other side did not answer, not because of what it answered.
    #[serde(skip)]
    pub unreachable: bool,
    /// It does not count for this start.
    #[serde(skip)]
    pub softened: bool,
}

impl Item {
    /// An item that is as it should be.
    pub fn pass(id: &'static str, finding: impl Into<String>) -> Self {
        Self {
            id,
            subject: String::new(),
            level: Level::Pass,
            finding: finding.into(),
            remedy: String::new(),
            unreachable: false,
            softened: false,
        }
    }

    /// An item with a drawback.
    pub fn warn(id: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warn, remedy: remedy.into(), ..Self::pass(id, finding) }
    }

    /// An item that does not work.
    pub fn fail(id: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, remedy: remedy.into(), ..Self::pass(id, finding) }
    }

    /// Says what it is about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Says that the other side did not answer: a later start waits for it instead of refusing.
    #[must_use]
    pub fn unreachable(mut self) -> Self {
        self.unreachable = true;
        self
    }

    /// Whether it speaks of one delivery only, which parks alone.
    pub fn is_of_delivery(&self) -> bool {
        self.id.starts_with("kafka.")
    }

    /// Lets this start go on in spite of it.
    pub fn soften(&mut self) {
        self.softened = true;
    }
}

/// All items, in the order in which they were asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The items.
    pub items: Vec<Item>,
}

/// What a report means for a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start.
    Ready,
    /// A warning is not accepted.
    Unaccepted,
    /// Something fails.
    Failed,
}

impl Report {
    /// What it means for a start, given the ids of accepted warnings.
    pub fn verdict(&self, accept: &[String], accept_all: bool) -> Verdict {
        let accepted = |item: &&Item| accept_all || accept.iter().any(|id| id == item.id);
        let mut verdict = Verdict::Ready;
        for item in self.items.iter().filter(|item| !item.softened) {
            match item.level {
                Level::Fail => return Verdict::Failed,
                Level::Warn if !accepted(&item) => verdict = Verdict::Unaccepted,
                _ => {}
            }
        }
        verdict
    }

    /// How many items came out so.
    pub fn count(&self, level: Level) -> usize {
        self.items.iter().filter(|item| item.level == level).count()
    }
}

/// Aligned for a terminal: level, id, what it is about, finding; the remedy on a line of its own.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.items.iter().map(|i| i.id.len()).max().unwrap_or(0);
        for item in &self.items {
            let about = if item.subject.is_empty() { String::new() } else { format!("{}: ", item.subject) };
            writeln!(f, "{:4}  {:width$}  {about}{}", item.level.name(), item.id, item.finding)?;
            if !item.remedy.is_empty() {
                writeln!(f, "      {:width$}  -> {}", "", item.remedy)?;
            }
        }
        let count = |level| self.count(level);
        writeln!(f, "{} passed, {} warned, {} failed", count(Level::Pass), count(Level::Warn), count(Level::Fail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_holds_up_the_start_until_it_is_accepted_and_a_failure_always() {
        let warn = Item::warn("source.gtid", "gtid_mode is OFF", "set it ON");
        let mut report = Report { items: vec![Item::pass("source.connect", "ok"), warn] };
        assert_eq!(report.verdict(&[], false), Verdict::Unaccepted);
        assert_eq!(report.verdict(&["source.gtid".into()], false), Verdict::Ready);
        assert_eq!(report.verdict(&[], true), Verdict::Ready);
        report.items.push(Item::fail("binlog.format", "STATEMENT", "set it ROW"));
        assert_eq!(report.verdict(&["binlog.format".into()], true), Verdict::Failed);
        assert_eq!((report.count(Level::Pass), report.count(Level::Warn), report.count(Level::Fail)), (1, 1, 1));
    }
}
