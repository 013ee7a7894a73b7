//! What a new config asks of a running daemon: which deliveries come, change or go, and what it cannot do without
//! a restart. Pure; nothing is touched before the whole of it is known to be possible.

use std::fmt;

use thiserror::Error;

use crate::config::{Config, Delivery};

/// What to do, in this order: remove, change, add.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Deliveries that left the config; their cursors stay.
    pub remove: Vec<String>,
    /// Deliveries whose settings differ: they drain and go on from their cursors.
    pub change: Vec<Delivery>,
    /// Deliveries of which only the throttle or the alerts differ: they take it over as they run.
    pub tune: Vec<Delivery>,
    /// Deliveries that are new.
    pub add: Vec<Delivery>,
    /// Whether capture begins a new life with other settings.
    pub capture: bool,
    /// Whether the copy of tables begins a new life with other settings.
    pub snapshot: bool,
    /// Whether it is to read at another speed, and goes on.
    pub snapshot_limits: bool,
    /// Whether the log's retention differs.
    pub retention: bool,
    /// Whether the alerts that are not a delivery's own differ.
    pub alert: bool,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Names only, for the log.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |list: &[Delivery]| list.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", ");
        let parts = [
            ("added", names(&self.add)),
            ("changed", names(&self.change)),
            ("tuned", names(&self.tune)),
            ("removed", self.remove.join(", ")),
            ("capture", if self.capture { "settings".to_owned() } else { String::new() }),
            ("snapshot", if self.snapshot { "settings".to_owned() } else { String::new() }),
            ("snapshot", if self.snapshot_limits { "limits".to_owned() } else { String::new() }),
            ("alert", if self.alert { "settings".to_owned() } else { String::new() }),
            ("log", if self.retention { "retention".to_owned() } else { String::new() }),
        ];
        let said: Vec<String> =
            parts.iter().filter(|(_, what)| !what.is_empty()).map(|(kind, what)| format!("{kind} {what}")).collect();
        f.write_str(if said.is_empty() { "nothing differs".to_owned() } else { said.join("; ") }.as_str())
    }
}

/// Settings that differ and cannot be changed while the daemon runs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{} cannot change while the relay runs: restart it, or set {} back; nothing was changed", fields.join(", "),
    if fields.len() == 1 { "it" } else { "them" })]
pub struct RestartNeeded {
    /// Their names, such as `log.dir`.
    pub fields: Vec<&'static str>,
}

/// Compares the running config with a new one.
///
/// # Errors
/// The settings that need a restart, all of them by name.
pub fn plan(old: &Config, new: &Config) -> Result<Plan, RestartNeeded> {
    let fields: Vec<&'static str> = [
        ("name", old.name != new.name),
        ("environment", old.environment != new.environment),
        ("logging", old.logging != new.logging),
        ("source.url", old.source.url != new.source.url),
        ("source.server_id", old.source.server_id != new.source.server_id),
        ("source.resume", old.source.resume != new.source.resume),
        ("source.timestamp_zone", old.source.timestamp_zone != new.source.timestamp_zone),
        ("log.dir", old.log.dir != new.log.dir),
        ("log.codec", old.log.codec != new.log.codec),
        ("log.commit_interval", old.log.commit_interval != new.log.commit_interval),
        ("log.block_bytes", old.log.block_bytes != new.log.block_bytes),
        ("log.segment_bytes", old.log.segment_bytes != new.log.segment_bytes),
        ("log.queue_bytes", old.log.queue_bytes != new.log.queue_bytes),
        ("log.ballast_bytes", old.log.ballast_bytes != new.log.ballast_bytes),
        ("admin", old.admin != new.admin),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect();
    if !fields.is_empty() {
        return Err(RestartNeeded { fields });
    }
    let find = |list: &[Delivery], name: &str| list.iter().find(|d| d.name == name).cloned();
    let mut plan = Plan {
        capture: old.source != new.source,
        snapshot: (old.snapshot != new.snapshot && !old.snapshot.differs_in_limits_only(&new.snapshot))
            || old.source != new.source,
        snapshot_limits: old.snapshot.differs_in_limits_only(&new.snapshot),
        retention: old.log.retention != new.log.retention,
        alert: old.alert != new.alert,
        ..Plan::default()
    };
    for delivery in &old.deliveries {
        if find(&new.deliveries, &delivery.name).is_none() {
            plan.remove.push(delivery.name.clone());
        }
    }
    for delivery in &new.deliveries {
        match find(&old.deliveries, &delivery.name) {
            None => plan.add.push(delivery.clone()),
            Some(before) if before == *delivery => {}
            Some(before) if before.differs_in_tuning_only(delivery) => plan.tune.push(delivery.clone()),
            Some(_) => plan.change.push(delivery.clone()),
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(source: &str, rest: &str) -> Config {
        let text = format!("name = \"a\"\n[source]\nurl = \"mysql://r@db1\"\n{source}\n{rest}\n");
        Config::parse(&text, Path::new("t"), &|_| None).expect("valid")
    }

    fn file(name: &str, more: &str) -> String {
        format!("[[delivery]]\nname = \"{name}\"\n{more}\nfile = {{ path = \"{name}\" }}\n")
    }

    #[test]
    fn deliveries_come_change_and_go() {
        let old = config("", &(file("stays", "") + &file("changes", "") + &file("goes", "")));
        let new = config("", &(file("stays", "") + &file("changes", "paused = true") + &file("comes", "")));
        let plan = plan(&old, &new).unwrap();
        assert_eq!(plan.remove, ["goes"]);
        assert_eq!(plan.change.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["changes"]);
        assert_eq!(plan.add.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["comes"]);
        assert!(!plan.capture && !plan.retention);
    }

    #[test]
    fn a_throttle_alone_needs_no_new_life() {
        let old = config("", &(file("a", "") + &file("b", "")));
        let new =
            config("", &(file("a", "throttle = { rps = 5 }") + &file("b", "throttle = { rps = 5 }\nworkers = 3")));
        let plan = plan(&old, &new).unwrap();
        assert_eq!(plan.tune.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(plan.change.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(plan.to_string(), "changed b; tuned a");
    }

    #[test]
    fn a_copy_takes_over_its_limits_as_it_runs() {
        let old = config("", "[snapshot]\nmode = \"initial\"");
        let slower = config("", "[snapshot]\nmode = \"initial\"\nrps = 10\nmbps = 0.5");
        let changed = plan(&old, &slower).unwrap();
        assert!(changed.snapshot_limits && !changed.snapshot);
        assert_eq!(changed.to_string(), "snapshot limits");
        let other = plan(&old, &config("", "[snapshot]\nmode = \"initial\"\nrps = 10\nthreads = 2")).unwrap();
        assert!(other.snapshot && !other.snapshot_limits);
    }

    #[test]
    fn alerts_change_as_it_runs() {
        let old = config("", &(file("a", "") + &file("b", "alert = { latency = \"5s\" }")));
        let new = config("[alert]\nlatency = \"9s\"", &(file("a", "") + &file("b", "alert = { latency = \"5s\" }")));
        let plan = plan(&old, &new).unwrap();
        assert!(plan.alert && plan.change.is_empty());
        assert_eq!(plan.tune.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn the_same_config_asks_for_nothing() {
        let old = config("", &file("a", ""));
        assert!(plan(&old, &old.clone()).unwrap().is_empty());
    }

    #[test]
    fn what_needs_a_restart_is_refused_by_name_all_at_once() {
        let old = config("", "");
        let new = config("server_id = 9", "[log]\ndir = \"/elsewhere\"");
        let e = plan(&old, &new).unwrap_err();
        assert_eq!(e.fields, ["source.server_id", "log.dir"]);
        assert!(e.to_string().starts_with("source.server_id, log.dir cannot change"), "{e}");
    }

    #[test]
    fn the_zone_of_timestamps_needs_a_restart() {
        let e = plan(&config("", ""), &config("timestamp_zone = \"+08:00\"", "")).unwrap_err();
        assert_eq!(e.fields, ["source.timestamp_zone"]);
    }

    #[test]
    fn selection_and_retention_change_while_running() {
        let old = config("", "");
        let new = config("tables = [\"shop.*\"]", "[log]\nretention = { max_age = \"1h\" }");
        let plan = plan(&old, &new).unwrap();
        assert!(plan.capture && plan.retention && plan.change.is_empty());
    }
}
