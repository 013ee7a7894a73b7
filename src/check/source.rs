//! `source.*` and `time.zone`: the server itself, its role, what our account may do there.

use super::Item;
use crate::binlog::event::Dialect;
use crate::capture::facts::{ServerFacts, ServerGtids};
use crate::capture::stream::{DumpOptions, StreamError};
use crate::config::{Source, TlsMode};
use crate::failure::{Class, Failure};

/// Versions that the relay reads, oldest and newest tried, as (major, minor).
const MYSQL: ((u32, u32), (u32, u32)) = ((5, 6), (9, 7));
const MARIADB: ((u32, u32), (u32, u32)) = ((10, 3), (10, 11));
/// A clock that is further off makes latencies wrong by more than they mostly are.
const CLOCK_MS_MAX: u64 = 1000;

/// The item of a server that could not be reached or logged in to.
pub(super) fn unreached(error: &StreamError) -> Item {
    let item = Item::fail("source.connect", error.to_string(), error.next_step().unwrap_or_default());
    if error.class() == Class::Transient { item.unreachable() } else { item }
}

/// The item of a server that was logged in to; `others` did not answer.
pub(super) fn connected(facts: &ServerFacts, tls: TlsMode, others: &[String]) -> Item {
    let protection = match tls {
        TlsMode::Disabled => "in plain text",
        TlsMode::Required => "over TLS, unverified",
        TlsMode::VerifyCa => "over TLS, authority verified",
        TlsMode::VerifyIdentity => "over TLS, name verified",
    };
    let others = if others.is_empty() { String::new() } else { format!("; no answer from {}", others.join(", ")) };
    Item::pass("source.connect", format!("logged in to {} {protection}{others}", facts.address))
}

/// Everything that follows from the facts.
pub(super) fn items(facts: &ServerFacts, config: &Source) -> Vec<Item> {
    vec![
        version(facts),
        role(facts),
        logs_what_it_applies(facts),
        server_id(facts, config.server_id),
        gtid(facts),
        privileges(facts),
        time_zone(facts, &config.timestamp_zone),
    ]
}

fn version(facts: &ServerFacts) -> Item {
    const ID: &str = "source.version";
    let (major, minor, _) = facts.version_numbers();
    let (name, (oldest, newest)) = match facts.dialect {
        Dialect::MySql => ("MySQL", MYSQL),
        Dialect::MariaDB => ("MariaDB", MARIADB),
    };
    let finding = format!("{name} {}", facts.version);
    if (major, minor) < oldest {
        let remedy = format!("upgrade the source to {name} {}.{} or later", oldest.0, oldest.1);
        Item::fail(ID, finding, remedy)
    } else if (major, minor) > newest {
        let finding = format!("{finding} is newer than {}.{}, the newest that was tried", newest.0, newest.1);
        Item::warn(ID, finding, "watch for a newer relay; unknown events stop capture, they are never skipped")
    } else {
        Item::pass(ID, finding)
    }
}

fn role(facts: &ServerFacts) -> Item {
    const ID: &str = "source.role";
    if facts.is_on("innodb_read_only") {
        return Item::fail(ID, "a read-only node that shares its primary's storage", "point source.url at the primary");
    }
    if !facts.is_on("read_only") && !facts.is_on("super_read_only") {
        return Item::pass(ID, "writable");
    }
    match logs_applied(facts) {
        true => Item::pass(ID, "a read-only replica that logs what it applies"),
        false => Item::warn(ID, "read-only", "point source.url at the primary"),
    }
}

fn logs_applied(facts: &ServerFacts) -> bool {
    facts.is_on("log_replica_updates") || facts.is_on("log_slave_updates")
}

fn logs_what_it_applies(facts: &ServerFacts) -> Item {
    const ID: &str = "source.log_slave_updates";
    match (&facts.replication, logs_applied(facts)) {
        (_, true) => Item::pass(ID, "what it replicates is in its binlog"),
        (None, false) => Item::pass(ID, "off; the server replicates nothing that we can see"),
        (Some(_), false) => Item::fail(
            ID,
            "the server replicates from another one and does not log what it applies",
            "set log_replica_updates = ON (log_slave_updates before 8.0.26) and restart it, or point source.url at its source",
        ),
    }
}

fn server_id(facts: &ServerFacts, ours: u32) -> Item {
    const ID: &str = "source.server_id";
    const TAKE_ANOTHER: &str = "set source.server_id to a number that no server or replica of the topology has";
    let same_id = || facts.replicas.iter().flatten().filter(|replica| replica.server_id == ours);
    let our_uuid = DumpOptions::new(ours).replica_uuid();
    let is_relay = |uuid: &Option<String>| uuid.as_ref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(&our_uuid));
    if facts.server_id == 0 {
        Item::fail(ID, "the source has server_id 0 and refuses replicas", "set server_id at the source")
    } else if facts.server_id == ours {
        Item::fail(ID, format!("the source itself has server_id {ours}"), TAKE_ANOTHER)
    } else if let Some(replica) = same_id().find(|replica| !is_relay(&replica.uuid)) {
        let uuid = replica.uuid.as_deref().unwrap_or("unknown");
        Item::fail(ID, format!("a replica with server_id {ours} is connected already (uuid {uuid})"), TAKE_ANOTHER)
    } else if same_id().next().is_some() {
        let finding =
            format!("a relay with server_id {ours} is connected: this one, or one that this one would throw out");
        Item::pass(ID, finding)
    } else if facts.server_id == 1 {
        let finding = format!("the source has server_id 1, which others may have too; the relay has {ours}");
        Item::warn(ID, finding, "give the source a server_id of its own")
    } else {
        let seen = if facts.replicas.is_none() { "; other replicas cannot be seen" } else { "" };
        Item::pass(ID, format!("the source has {}, the relay {ours}{seen}", facts.server_id))
    }
}

fn gtid(facts: &ServerFacts) -> Item {
    const ID: &str = "source.gtid";
    match &facts.gtids {
        ServerGtids::MySql { .. } => Item::pass(ID, "gtid_mode is ON"),
        ServerGtids::MariaDb { .. } => Item::pass(ID, "MariaDB's GTIDs are always on"),
        ServerGtids::Off => Item::warn(
            ID,
            format!("gtid_mode is {}; no failover to another server", facts.variable("gtid_mode").unwrap_or("absent")),
            "set gtid_mode = ON and enforce_gtid_consistency = ON",
        ),
    }
}

fn privileges(facts: &ServerFacts) -> Item {
    const ID: &str = "source.privileges";
    const GRANT: &str = "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* to the relay's account";
    let grants: Vec<Grant> = facts.grants.iter().filter_map(|text| Grant::parse(text)).collect();
    let everywhere = |names: &[&str]| grants.iter().any(|grant| grant.scope == "*.*" && grant.has(names));
    let mut missing = Vec::new();
    if !grants.iter().any(|grant| grant.has(&["SELECT"])) {
        missing.push("SELECT");
    }
    if !everywhere(&["REPLICATION SLAVE", "REPLICATION_SLAVE_ADMIN"]) {
        missing.push("REPLICATION SLAVE");
    }
    // What it is for was tried out: the end of the binlog was shown to us.
    if !everywhere(&["REPLICATION CLIENT", "BINLOG MONITOR", "SUPER"]) && facts.end.is_none() {
        missing.push("REPLICATION CLIENT");
    }
    if missing.is_empty() {
        return Item::pass(ID, "SELECT, REPLICATION SLAVE and REPLICATION CLIENT");
    }
    let finding = format!("missing: {}", missing.join(", "));
    // A grant without privileges is a role, whose own grants SHOW GRANTS leaves out.
    match facts.grants.len() > grants.len() {
        true => Item::warn(ID, format!("{finding}, unless a role of the account has it"), GRANT),
        false => Item::fail(ID, finding, GRANT),
    }
}

/// One line of SHOW GRANTS.
struct Grant<'a> {
    privileges: &'a str,
    scope: &'a str,
}

impl<'a> Grant<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (privileges, rest) = text.strip_prefix("GRANT ")?.split_once(" ON ")?;
        Some(Self { privileges, scope: rest.split_once(" TO ")?.0 })
    }

    fn has(&self, names: &[&str]) -> bool {
        let given = |privilege: &str| privilege == "ALL PRIVILEGES" || privilege == "ALL" || names.contains(&privilege);
        self.privileges.split(", ").any(|privilege| given(privilege.split(" (").next().unwrap_or_default()))
    }
}

fn time_zone(facts: &ServerFacts, setting: &str) -> Item {
    const ID: &str = "time.zone";
    let (zone, certain) = facts.time_zone();
    let name = zone.iana_name().map_or_else(
        || zone.to_fixed_offset().map_or_else(|_| "unknown".into(), |offset| offset.to_string()),
        str::to_owned,
    );
    if setting == "source" && !certain {
        let system = facts.variable("system_time_zone").unwrap_or("unknown");
        let finding =
            format!("the source's zone is called {system}, which names no single zone; its offset now is {name}");
        return Item::warn(ID, finding, "set source.timestamp_zone to an offset or a name such as \"Asia/Shanghai\"");
    }
    let ahead = facts.clock_ahead_ms;
    if ahead.unsigned_abs() > CLOCK_MS_MAX {
        let finding = format!(
            "the source's clock is {:.1} s {} ours",
            ahead.abs() as f64 / 1000.0,
            if ahead > 0 { "ahead of" } else { "behind" }
        );
        return Item::warn(ID, finding, "let both machines keep time by NTP; latencies are off by as much until then");
    }
    let zone = if setting == "source" { name.as_str() } else { setting };
    Item::pass(ID, format!("timestamps are shown in {zone}; clocks agree to {} ms", ahead.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::facts::{Replica, Replication};
    use crate::check::Level;

    fn level(item: Item) -> Level {
        assert_eq!(item.level == Level::Pass, item.remedy.is_empty(), "{item:?}");
        item.level
    }

    fn with(change: impl FnOnce(&mut ServerFacts)) -> ServerFacts {
        let mut facts = ServerFacts::example();
        change(&mut facts);
        facts
    }

    #[test]
    fn versions_outside_the_range_are_told() {
        let of = |version: &str, dialect| level(version_of(version, dialect));
        fn version_of(text: &str, dialect: Dialect) -> Item {
            version(&with(|facts| {
                facts.version = text.into();
                facts.dialect = dialect;
            }))
        }
        assert_eq!(of("5.5.62", Dialect::MySql), Level::Fail);
        assert_eq!(of("5.6.24-log", Dialect::MySql), Level::Pass);
        assert_eq!(of("9.7.4", Dialect::MySql), Level::Pass);
        assert_eq!(of("9.8.0", Dialect::MySql), Level::Warn);
        assert_eq!(of("10.2.44-MariaDB", Dialect::MariaDB), Level::Fail);
        assert_eq!(of("10.11.19-MariaDB", Dialect::MariaDB), Level::Pass);
        assert_eq!(of("11.8.2-MariaDB", Dialect::MariaDB), Level::Warn);
    }

    #[test]
    fn a_server_id_in_use_is_refused_but_our_own_connection_is_not() {
        let replica = |id, uuid: Option<String>| {
            move |facts: &mut ServerFacts| {
                facts.replicas = Some(vec![Replica { server_id: id, uuid }]);
            }
        };
        let ours = DumpOptions::new(77).replica_uuid();
        assert_eq!(level(server_id(&ServerFacts::example(), 77)), Level::Pass);
        assert_eq!(level(server_id(&ServerFacts::example(), 10)), Level::Fail);
        assert_eq!(level(server_id(&with(|f| f.server_id = 0), 77)), Level::Fail);
        assert_eq!(level(server_id(&with(|f| f.server_id = 1), 77)), Level::Warn);
        assert_eq!(level(server_id(&with(replica(77, Some("other".into()))), 77)), Level::Fail);
        assert_eq!(level(server_id(&with(replica(77, None)), 77)), Level::Fail);
        assert_eq!(level(server_id(&with(replica(77, Some(ours))), 77)), Level::Pass);
        assert_eq!(level(server_id(&with(replica(78, None)), 77)), Level::Pass);
    }

    #[test]
    fn a_replica_must_log_what_it_applies() {
        let replica = with(|f| f.replication = Some(Replication { running: true }));
        assert_eq!(level(logs_what_it_applies(&replica)), Level::Pass);
        let silent = with(|f| {
            f.replication = Some(Replication { running: true });
            f.variables.insert("log_replica_updates".into(), "OFF".into());
        });
        assert_eq!(level(logs_what_it_applies(&silent)), Level::Fail);
        assert_eq!(
            level(role(&with(|f| drop(f.variables.insert("innodb_read_only".into(), "ON".into()))))),
            Level::Fail
        );
        assert_eq!(level(role(&with(|f| drop(f.variables.insert("read_only".into(), "ON".into()))))), Level::Pass);
    }

    #[test]
    fn missing_rights_are_named_and_roles_are_given_the_benefit_of_the_doubt() {
        let of = |grants: &[&str], end: bool| {
            privileges(&with(|f| {
                f.grants = grants.iter().map(|g| (*g).to_owned()).collect();
                f.end = f.end.take().filter(|_| end);
            }))
        };
        assert_eq!(level(of(&["GRANT ALL PRIVILEGES ON *.* TO `r`@`%` WITH GRANT OPTION"], true)), Level::Pass);
        assert_eq!(
            level(of(&["GRANT SELECT, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `r`@`%`"], true)),
            Level::Pass
        );
        assert_eq!(
            level(of(&["GRANT REPLICATION SLAVE ON *.* TO `r`@`%`", "GRANT SELECT ON `shop`.* TO `r`@`%`"], true)),
            Level::Pass
        );
        let item = of(&["GRANT USAGE ON *.* TO `r`@`%`", "GRANT SELECT (`a`) ON `shop`.`t` TO `r`@`%`"], false);
        assert_eq!(item.finding, "missing: REPLICATION SLAVE, REPLICATION CLIENT");
        assert_eq!(level(item), Level::Fail);
        assert_eq!(level(of(&["GRANT USAGE ON *.* TO `r`@`%`", "GRANT `reader`@`%` TO `r`@`%`"], true)), Level::Warn);
    }

    #[test]
    fn a_zone_without_a_place_and_a_clock_that_is_off_are_warned_of() {
        assert_eq!(level(time_zone(&ServerFacts::example(), "source")), Level::Pass);
        let cst = with(|f| drop(f.variables.insert("system_time_zone".into(), "CST".into())));
        assert_eq!(level(time_zone(&cst, "source")), Level::Warn);
        assert_eq!(level(time_zone(&cst, "Asia/Shanghai")), Level::Pass);
        let item = time_zone(&with(|f| f.clock_ahead_ms = -2500), "source");
        assert_eq!(item.finding, "the source's clock is 2.5 s behind ours");
    }
}
