//! What is an alert: raised at once, repeated while it lasts, over when it has been well for a while. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{Change, Kind, Notice};
use crate::config::{Alert, Webhook};
use crate::status::exceptions::{Exception, Fate};
use crate::status::{Problem, State, TopicWidth};

/// How long a value must be back within its threshold, and a task run, until that counts as normal: one that tries
/// again every minute, or a value that hovers, must not be told twice a minute.
const CALM: Duration = Duration::from_secs(10);

/// How long rows that went elsewhere count as a gap of now.
const GAP_LASTS: Duration = Duration::from_secs(600);

/// What is known of one task at a moment.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The delivery; none for capture.
    pub delivery: Option<String>,
    /// Its settings.
    pub settings: Alert,
    /// What it is doing.
    pub state: State,
    /// How long it has run without a break.
    pub ran_for: Duration,
    /// What holds it up.
    pub problem: Option<Problem>,
    /// Its parked tables, with the reason.
    pub parked: Vec<(String, String)>,
    /// Rows of its tables that did not leave as they are.
    pub exceptions: Vec<Exception>,
    /// Its topics that have more partitions than are used.
    pub grown: Vec<TopicWidth>,
    /// Seconds behind the source; none while neither this nor the headroom was measured.
    pub lag_seconds: Option<f64>,
    /// Seconds until undelivered data would leave log and source; none while nothing grows.
    pub headroom_seconds: Option<f64>,
    /// What holds capture up, which a delivery's lag may come from.
    pub capture: Option<Problem>,
}

/// Whose alert it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    to: Webhook,
    delivery: Option<String>,
    kind: Kind,
    table: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Facts {
    reason: String,
    value: Option<f64>,
    threshold: Option<f64>,
    next_step: Option<String>,
}

enum Verdict {
    Bad(Facts),
    /// It is well; whether for long enough already.
    Good {
        calm: bool,
    },
    /// Neither: what was raised stays so.
    Unknown,
}

#[derive(Debug, Clone)]
struct Raised {
    since_ms: i64,
    said: Instant,
    /// Since when it has been well.
    well: Option<Instant>,
    facts: Facts,
}

/// What has been raised and is not over.
#[derive(Debug, Default)]
pub struct Conditions {
    raised: BTreeMap<Key, Raised>,
}

/// The relay as notices name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Its name.
    pub name: String,
    /// Its environment tag.
    pub environment: String,
}

impl Conditions {
    /// Looks at every task and says what is to be posted where, in order.
    pub fn look(
        &mut self,
        now: Instant,
        now_ms: i64,
        sender: &Sender,
        tasks: &[Observation],
    ) -> Vec<(Webhook, Notice)> {
        let mut notices = Vec::new();
        let mut seen = BTreeSet::new();
        for task in tasks {
            let Some(to) = &task.settings.webhook else { continue };
            for (kind, table, verdict) in verdicts(task, now_ms) {
                let key = Key { to: to.clone(), delivery: task.delivery.clone(), kind, table };
                seen.insert(key.clone());
                if let Some((change, raised)) = self.judge(&key, now, now_ms, verdict, task.settings.repeat.0) {
                    notices.push((key.to.clone(), notice(&key, sender, now_ms, change, task.state.name(), &raised)));
                }
            }
            // Tables that are parked no longer.
            let gone = |key: &&Key| {
                (&key.to, &key.delivery, key.kind) == (to, &task.delivery, Kind::Parked)
                    && key.table.is_some()
                    && !seen.contains(*key)
            };
            let gone: Vec<Key> = self.raised.keys().filter(gone).cloned().collect();
            for key in gone {
                if let Some(mut raised) = self.raised.remove(&key) {
                    raised.facts = Facts { reason: "the table is delivered again".to_owned(), ..Facts::default() };
                    seen.insert(key.clone());
                    let state = task.state.name();
                    notices.push((key.to.clone(), notice(&key, sender, now_ms, Change::Normal, state, &raised)));
                }
            }
        }
        // What nobody looks at any more is over, as far as its address still hears of anything.
        let left: Vec<Key> = self.raised.keys().filter(|key| !seen.contains(*key)).cloned().collect();
        for key in left {
            let Some(mut raised) = self.raised.remove(&key) else { continue };
            let used = tasks.iter().any(|task| task.settings.webhook.as_ref() == Some(&key.to));
            if used && !tasks.iter().any(|task| task.delivery == key.delivery) {
                raised.facts = Facts { reason: "the delivery left the config".to_owned(), ..Facts::default() };
                notices.push((key.to.clone(), notice(&key, sender, now_ms, Change::Normal, "removed", &raised)));
            }
        }
        notices
    }

    /// How many are raised, by task as metrics name it and by kind.
    pub fn raised(&self) -> impl Iterator<Item = (String, &'static str, usize)> + use<> {
        let mut counts: BTreeMap<(String, Kind), usize> = BTreeMap::new();
        for key in self.raised.keys() {
            let task = key.delivery.as_ref().map_or_else(|| "capture".to_owned(), |name| format!("delivery/{name}"));
            *counts.entry((task, key.kind)).or_default() += 1;
        }
        counts.into_iter().map(|((task, kind), count)| (task, kind.name(), count))
    }

    /// What a verdict changes, with what is known of it.
    fn judge(
        &mut self,
        key: &Key,
        now: Instant,
        now_ms: i64,
        verdict: Verdict,
        repeat: Duration,
    ) -> Option<(Change, Raised)> {
        match verdict {
            Verdict::Unknown => None,
            Verdict::Bad(facts) => {
                let Some(known) = self.raised.get_mut(key) else {
                    let raised = Raised { since_ms: now_ms, said: now, well: None, facts };
                    self.raised.insert(key.clone(), raised.clone());
                    return Some((Change::Raised, raised));
                };
                (known.well, known.facts) = (None, facts);
                let due = !repeat.is_zero() && now.saturating_duration_since(known.said) >= repeat;
                due.then(|| {
                    known.said = now;
                    (Change::Lasting, known.clone())
                })
            }
            Verdict::Good { calm } => {
                let well = *self.raised.get_mut(key)?.well.get_or_insert(now);
                if !calm && now.saturating_duration_since(well) < CALM {
                    return None;
                }
                let mut over = self.raised.remove(key)?;
                over.facts.reason = format!("it was: {}", over.facts.reason);
                over.facts.next_step = None;
                Some((Change::Normal, over))
            }
        }
    }
}

fn verdicts(task: &Observation, now_ms: i64) -> Vec<(Kind, Option<String>, Verdict)> {
    let of_state = |state: State, other: State| {
        if task.state == state {
            return Verdict::Bad(of_problem(task.problem.as_ref()));
        }
        // Between two attempts it is neither well nor worse.
        let ended = matches!(task.state, State::Paused | State::Completed) || task.state == other;
        if ended || task.ran_for >= CALM { Verdict::Good { calm: true } } else { Verdict::Unknown }
    };
    let mut verdicts = vec![
        (Kind::Failed, None, of_state(State::Failed, State::Parked)),
        (Kind::Parked, None, of_state(State::Parked, State::Failed)),
    ];
    let Some(name) = &task.delivery else { return verdicts };
    for (table, reason) in &task.parked {
        let next_step = format!("mend it, then relay-cursor release {name} --table {table}");
        let facts = Facts { reason: reason.clone(), next_step: Some(next_step), ..Facts::default() };
        verdicts.push((Kind::Parked, Some(table.clone()), Verdict::Bad(facts)));
    }
    let tables: BTreeSet<&str> = task.exceptions.iter().map(|exception| &*exception.table).collect();
    for table in tables {
        verdicts.push((Kind::Gap, Some(table.to_owned()), gap(task, table, now_ms)));
    }
    verdicts.push((Kind::Partitions, None, partitions(task)));
    verdicts.push((Kind::Latency, None, latency(task)));
    verdicts.push((Kind::Headroom, None, headroom(task, name)));
    verdicts
}

/// Rows of a table that its topic lacks. Each is a matter of its own, so that it is over when no more came for a while.
fn gap(task: &Observation, table: &str, now_ms: i64) -> Verdict {
    let gaps = task.exceptions.iter().filter(|exception| exception.table == table && exception.fate.is_gap());
    let Some(last) = gaps.max_by_key(|exception| exception.last_ms) else { return Verdict::Good { calm: true } };
    if now_ms.saturating_sub(last.last_ms) > i64::try_from(GAP_LASTS.as_millis()).unwrap_or(i64::MAX) {
        return Verdict::Good { calm: true };
    }
    let (records, what) = match last.fate {
        Fate::DeadLetter => (last.records, "sent to the dead letters"),
        Fate::Skipped | Fate::Truncated | Fate::KeyOnly => (last.records, "skipped"),
    };
    let reason = format!("{records} rows {what} since the start, the last one at seq {}: {}", last.last, last.reason);
    let next_step = match last.fate {
        Fate::DeadLetter => "see the records in dead_letter_topic, and mend what they were refused for",
        Fate::Skipped | Fate::Truncated | Fate::KeyOnly => "take the rows over by hand, or choose another on_too_large",
    };
    Verdict::Bad(Facts { reason, next_step: Some(next_step.to_owned()), ..Facts::default() })
}

fn partitions(task: &Observation) -> Verdict {
    let Some(first) = task.grown.first() else { return Verdict::Good { calm: true } };
    let others = match task.grown.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more topics have grown"),
    };
    let TopicWidth { topic, used, partitions } = first;
    let reason = format!("topic {topic} has {partitions} partitions, {used} of them are used{others}");
    let next_step = "set accept_partition_change = true once readers can do with rows of a key in another partition";
    Verdict::Bad(Facts { reason, next_step: Some(next_step.to_owned()), ..Facts::default() })
}

fn of_problem(problem: Option<&Problem>) -> Facts {
    let reason = problem.map_or_else(|| "no reason is known".to_owned(), |p| p.reason.clone());
    Facts { reason, next_step: problem.and_then(|p| p.next_step.clone()), ..Facts::default() }
}

fn latency(task: &Observation) -> Verdict {
    let threshold = task.settings.latency.0.as_secs_f64();
    let Some(lag) = task.lag_seconds else { return Verdict::Unknown };
    if threshold == 0.0 || lag <= threshold {
        return Verdict::Good { calm: threshold == 0.0 };
    }
    let held_up = task.problem.as_ref().map(|p| (p.reason.clone(), p));
    let held_up = held_up.or_else(|| task.capture.as_ref().map(|p| (format!("capture: {}", p.reason), p)));
    let mut reason = format!("{lag:.0} s behind the source");
    if let Some((why, _)) = &held_up {
        reason.push_str(&format!("; {why}"));
    }
    let next_step = held_up.and_then(|(_, problem)| problem.next_step.clone());
    let next_step = next_step.or_else(|| Some("see the states and rates in /api/v1/status".to_owned()));
    Verdict::Bad(Facts { reason, value: Some(rounded(lag)), threshold: Some(threshold), next_step })
}

fn headroom(task: &Observation, name: &str) -> Verdict {
    let threshold = task.settings.headroom.0.as_secs_f64();
    let left = match task.headroom_seconds {
        _ if task.lag_seconds.is_none() => return Verdict::Unknown,
        Some(left) if threshold > 0.0 && left < threshold => left,
        _ => return Verdict::Good { calm: threshold == 0.0 },
    };
    let reason = format!("what is not delivered would leave log and source in {left:.0} s at the last hour's growth");
    let next_step = format!("let {name} catch up, or give the log more room: log.retention, or a larger disk");
    Verdict::Bad(Facts { reason, value: Some(rounded(left)), threshold: Some(threshold), next_step: Some(next_step) })
}

/// To milliseconds.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

fn notice(key: &Key, sender: &Sender, now_ms: i64, change: Change, state: &'static str, raised: &Raised) -> Notice {
    let Facts { reason, value, threshold, next_step } = raised.facts.clone();
    let subject = match (&key.delivery, &key.table) {
        (Some(delivery), Some(table)) => format!("delivery {delivery}, table {table}"),
        (Some(delivery), None) => format!("delivery {delivery}"),
        _ => "capture".to_owned(),
    };
    let environment = if sender.environment.is_empty() { String::new() } else { format!(" ({})", sender.environment) };
    let what = match change {
        Change::Raised => key.kind.name().to_owned(),
        Change::Lasting => format!("still {}", key.kind.name()),
        Change::Normal => format!("{} is over", key.kind.name()),
    };
    let mut text = format!("relay {}{environment}: {subject}: {what}: {reason}", sender.name);
    if let Some(step) = &next_step {
        text.push_str(&format!("; next: {step}"));
    }
    Notice {
        text,
        name: sender.name.clone(),
        environment: sender.environment.clone(),
        delivery: key.delivery.clone(),
        table: key.table.clone(),
        alert: key.kind,
        change,
        state,
        reason,
        value,
        threshold,
        since: time(raised.since_ms),
        time: time(now_ms),
        next_step,
    }
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

/// What is said when a task's failure ends the daemon.
pub fn last_words(
    sender: &Sender,
    delivery: Option<&str>,
    to: &Webhook,
    now_ms: i64,
    cause: (&str, Option<&str>),
) -> Notice {
    let key = Key { to: to.clone(), delivery: delivery.map(str::to_owned), kind: Kind::Failed, table: None };
    let (reason, next_step) = (format!("the relay stops: {}", cause.0), cause.1.map(str::to_owned));
    let facts = Facts { reason, next_step, ..Facts::default() };
    let raised = Raised { since_ms: now_ms, said: Instant::now(), well: None, facts };
    notice(&key, sender, now_ms, Change::Raised, State::Failed.name(), &raised)
}

#[cfg(test)]
mod tests;
