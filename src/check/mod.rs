//! The precheck: every item passes, warns or fails, with what was found and what to do about it. One file a
//! family; here only what an item is, in which order they come, and what the whole of them means for a start.

mod binlog;
mod kafka;
mod objects;
#[cfg(feature = "kafka")]
mod registry;
mod row_size;
mod running;
mod same_name;
pub mod server;
mod snapshot;
mod source;
mod state;
mod table;
mod transactions;
#[cfg(feature = "kafka")]
mod version;

use std::collections::BTreeSet;
use std::fmt;

use relay_store::{Seq, Store};
use serde::{Deserialize, Serialize, Serializer};

use crate::capture::refuse_to_guess;
use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::log::Checkpoint;
use same_name::Cursors;
use server::LogState;
use state::LogEnd;

/// Runs every item, as `relay check` does: also what an open log would keep from others.
pub async fn run(config: &Config) -> Report {
    let state = state::check(config);
    let (checkpoint, judged);
    let mut cursors: Cursors = Some(BTreeSet::new());
    let log = match state::end(config) {
        LogEnd::New => LogState::New,
        LogEnd::At { checkpoint: Some(at), cursors: known, .. } => {
            (checkpoint, cursors) = (at, Some(known));
            LogState::EndsAt(&checkpoint)
        }
        LogEnd::At { checkpoint: None, last, cursors: known } => {
            cursors = Some(known);
            match without_checkpoint(config, last) {
                None => LogState::New,
                Some(item) => {
                    judged = item;
                    LogState::Judged(&judged)
                }
            }
        }
        LogEnd::InUse => {
            cursors = None;
            judged = running::files(config.admin.listen).await;
            LogState::Judged(&judged)
        }
        LogEnd::Unreadable(error) => {
            cursors = None;
            judged = Item::fail(binlog::FILES, format!("where the log ends: {error}"), RUNBOOK).exits(Exit::Store);
            LogState::Judged(&judged)
        }
    };
    let items = of_both_sides(config, log, &cursors).await.into_iter().chain([state]);
    Report { items: items.collect() }
}

/// What the source says, what the deliveries make of its tables, and what their destinations say.
async fn of_both_sides(config: &Config, log: LogState<'_>, cursors: &Cursors) -> Vec<Item> {
    let asked = server::ask(&config.source, log).await;
    let mut items = asked.items;
    if let Some(found) = &asked.found {
        items.extend(objects::items(config, found));
        items.extend(snapshot::items(config, found));
        items.extend(snapshot::readable(config, found).await);
    }
    let tables = asked.found.as_ref().map_or(&[][..], |found| &found.tables);
    items.extend(kafka::items(config, tables, cursors).await);
    items.extend(transactions::items(config).await);
    items
}

/// What to do about a log whose own parts do not read.
const RUNBOOK: &str = "see the runbook: a log that does not open";

/// The item of a log whose last entry is `last` and that has no checkpoint; none when it is new, or when the settings
/// say where it goes on.
fn without_checkpoint(config: &Config, last: Seq) -> Option<Item> {
    let error = refuse_to_guess(last, &config.source.start).err()?;
    let step = error.next_step().unwrap_or_default();
    Some(Item::fail(binlog::FILES, error.to_string(), step).exits(error.exit()))
}

/// Whether there is no log yet where the config wants one.
pub fn is_first_start(config: &Config) -> bool {
    state::is_new(config)
}

/// Runs every item while this process has the log open, which ends at `checkpoint`.
pub async fn with_open_log(config: &Config, checkpoint: Option<&Checkpoint>, store: &Store) -> Report {
    let last = store.positions().last_seq;
    let cursors = store.cursors().list().into_iter().map(|cursor| cursor.name).collect();
    let lost = without_checkpoint(config, last);
    let log = match (checkpoint, &lost) {
        (Some(checkpoint), _) => LogState::EndsAt(checkpoint),
        (None, Some(item)) => LogState::Judged(item),
        (None, None) => LogState::New,
    };
    let items = of_both_sides(config, log, &Some(cursors)).await.into_iter().chain([state::open(config)]);
    Report { items: items.collect() }
}

/// What a reload would begin anew.
#[derive(Debug, Clone, Default)]
pub struct Renewal {
    /// Deliveries that come, or change.
    pub deliveries: BTreeSet<String>,
    /// Whether other tables may be selected, which concerns every delivery.
    pub tables: bool,
}

/// Runs the items that a reload of this config can make fail, beside the running capture: what the deliveries make of the
/// tables, and what the destinations of those that begin anew say. What cannot be asked now does not count: a reload goes
/// on while a server is away.
pub async fn before_reload(config: &Config, renewal: &Renewal, store: &Store) -> Report {
    let judged = Item::pass(binlog::FILES, "the running capture reads them");
    let asked = server::ask(&config.source, LogState::Judged(&judged)).await;
    let renewed = |config: &Config| {
        let deliveries = config.deliveries.iter().filter(|delivery| renewal.deliveries.contains(&delivery.name));
        Config { deliveries: deliveries.cloned().collect(), ..config.clone() }
    };
    let config_of_renewed = renewed(config);
    let cursors = store.cursors().list().into_iter().map(|cursor| cursor.name).collect();
    let tables = match &asked.found {
        Some(found) => &found.tables[..],
        None => {
            tracing::warn!(
                "no server of the source was asked before the reload: what it makes of the tables shows later"
            );
            &[]
        }
    };
    let mut items = kafka::items(&config_of_renewed, tables, &Some(cursors)).await;
    if let Some(found) = &asked.found {
        items.extend(objects::items(if renewal.tables { config } else { &config_of_renewed }, found));
    }
    items.iter_mut().filter(|item| item.unreachable).for_each(Item::soften);
    Report { items }
}

/// How an item came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// The exit code of a start that it refuses; told where it is another one than the precheck's own.
    #[serde(skip_serializing_if = "is_precheck", serialize_with = "as_code")]
    pub exit: Exit,
}

fn is_precheck(exit: &Exit) -> bool {
    *exit == Exit::Precheck
}

fn as_code<S: Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(exit.code())
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
            exit: Exit::Precheck,
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

    /// Gives the exit code of a start that it refuses, when that is another one than of the precheck in general.
    #[must_use]
    pub fn exits(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Whether it speaks of one delivery only, which parks alone.
    pub fn is_of_delivery(&self) -> bool {
        self.id.starts_with("kafka.") || self.id == row_size::ID
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

    /// The items that hold up a start at this level, in the order in which a refusal names them: one that has an exit
    /// code of its own says more than the others.
    pub fn refusing(&self, level: Level) -> Vec<&Item> {
        let mut items: Vec<&Item> = self.items.iter().filter(|item| item.level == level && !item.softened).collect();
        items.sort_by_key(|item| item.exit == Exit::Precheck);
        items
    }

    /// The exit code of a start that the report speaks against.
    pub fn exit(&self) -> Exit {
        self.refusing(Level::Fail).first().map_or(Exit::Precheck, |item| item.exit)
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

    #[test]
    fn a_refusal_takes_the_exit_code_of_the_item_that_has_one_of_its_own() {
        let failed = Item::fail("source.privileges", "missing: SELECT", "GRANT it");
        let mut report = Report { items: vec![failed] };
        assert_eq!(report.exit(), Exit::Precheck);
        report.items.push(Item::fail("binlog.files", "purged", "new log").exits(Exit::Source));
        assert_eq!((report.exit(), report.refusing(Level::Fail)[0].id), (Exit::Source, "binlog.files"));
        report.items[1].soften();
        assert_eq!(report.exit(), Exit::Precheck, "what does not count for this start has no say");
    }
}
