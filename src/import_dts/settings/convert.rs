//! How the value of a setting is written into the config, or why it is not.

use super::{Outcome, Phase, TWO_WAY};
use crate::etl::{Script, ScriptOptions};
use crate::format::registry::{Patience, Registry, RegistryOptions, SubjectStrategy};
use crate::import_dts::draft::Draft;
use crate::import_dts::report::Fate;

pub(super) fn set(field: &str, value: &str) -> Outcome {
    (Fate::Taken, format!("{field} = {}", toml::Value::String(value.to_owned())))
}

fn by_hand(what: impl Into<String>) -> Outcome {
    (Fate::ByHand, what.into())
}

fn not_needed(why: impl Into<String>) -> Outcome {
    (Fate::NotNeeded, why.into())
}

pub(super) fn taken(slot: &mut Option<String>, field: &str, value: &str) -> Outcome {
    *slot = Some(value.to_owned());
    (Fate::Taken, field.to_owned())
}

pub(super) fn port(slot: &mut Option<u16>, field: &str, value: &str) -> Outcome {
    match value.parse().ok().filter(|port| *port != 0) {
        Some(port) => {
            *slot = Some(port);
            (Fate::Taken, field.to_owned())
        }
        None => by_hand(format!("it is no port: write the right one into {field}")),
    }
}

fn flag(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "y" | "yes" => Some(true),
        "false" | "0" | "n" | "no" => Some(false),
        _ => None,
    }
}

/// Names of a relay take fewer characters than those of a task.
pub(super) fn name(draft: &mut Draft, value: &str) -> Outcome {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = value.chars().map(|c| if fine(c) { c } else { '-' }).collect();
    let name: String = name.trim_start_matches(['.', '_', '-']).chars().take(64).collect();
    if crate::config::check_name(&name).is_err() {
        return by_hand("no letter or digit in it can begin a relay's name: write name");
    }
    draft.name = Some(name.clone());
    set("name", &name)
}

pub(super) fn source_engine(value: &str) -> Result<Outcome, String> {
    match value.to_ascii_lowercase().as_str() {
        "mysql" | "polardb" | "mariadb" | "rds" => Ok(not_needed("a relay asks the server what it is")),
        _ => Err(format!("the task captures {value}; a relay captures MySQL, PolarDB for MySQL and MariaDB")),
    }
}

pub(super) fn destination_engine(value: &str) -> Result<Outcome, String> {
    match value.to_ascii_lowercase().as_str() {
        "kafka" => Ok((Fate::Taken, "[delivery.kafka]".to_owned())),
        _ => Err(format!("the task writes to {value}; a relay delivers to Kafka and to files")),
    }
}

pub(super) fn structure(_: &mut Draft, value: &str) -> Outcome {
    if flag(value) == Some(true) {
        return by_hand("a relay creates no topics: create them before the start");
    }
    not_needed("a relay creates no topics")
}

pub(super) fn snapshot(_: &mut Draft, value: &str) -> Outcome {
    if flag(value) == Some(true) {
        return by_hand(
            "a relay carries changes, not the rows that are there: copy those first, then start it at a time before the copy",
        );
    }
    not_needed("a relay carries changes only")
}

pub(super) fn stream(_: &mut Draft, value: &str) -> Outcome {
    if flag(value) == Some(false) {
        return by_hand("a relay follows the binlog without end: stop it when it has what you need");
    }
    not_needed("a relay always follows the binlog")
}

pub(super) fn checkpoint(draft: &mut Draft, value: &str) -> Outcome {
    let time =
        value.parse::<i64>().ok().filter(|second| *second > 0).and_then(|s| jiff::Timestamp::from_second(s).ok());
    let Some(time) = time else { return by_hand("it is no time in seconds since 1970: write source.start") };
    let start = format!("time:{time}");
    draft.source.set("start", start.as_str());
    set("source.start", &start)
}

pub(super) fn direction(_: &mut Draft, value: &str) -> Outcome {
    match value.to_ascii_lowercase().as_str() {
        "forward" | "oneway" => not_needed("a relay carries changes one way"),
        _ => by_hand(TWO_WAY),
    }
}

pub(super) fn alert(_: &mut Draft, value: &str) -> Outcome {
    if flag(value) == Some(true) {
        return by_hand(
            "a task names telephones, no webhook: put its address into the environment as RELAY_ALERT_WEBHOOK or name an \
             alert.webhook_file, or load ops/alerts.yml into Prometheus",
        );
    }
    not_needed("no alert was asked for")
}

pub(super) fn broker_version(_: &mut Draft, value: &str) -> Outcome {
    if value == "0.9" {
        return by_hand("brokers before 0.10 do not know the records that a relay writes: upgrade them");
    }
    not_needed("client and broker agree on the version")
}

pub(super) fn broker_security(draft: &mut Draft, value: &str) -> Outcome {
    match value {
        "0" => not_needed("delivery.kafka.security is plaintext by itself"),
        "3" => {
            draft.sasl = true;
            (Fate::Taken, "delivery.kafka.security = \"sasl_plaintext\", sasl_mechanism = \"scram-sha-256\"; sasl_ssl and ca_file where brokers speak TLS".to_owned())
        }
        _ => by_hand("set delivery.kafka.security: plaintext, sasl_plaintext, ssl or sasl_ssl"),
    }
}

pub(super) fn format(draft: &mut Draft, value: &str) -> Outcome {
    match value {
        "canal_json" | "shareplex_json" | "dts_avro" => {
            let format = value.replace('_', "-");
            draft.kafka.set("format", format.as_str());
            set("delivery.kafka.format", &format)
        }
        _ => by_hand(
            "a relay writes canal-json where nothing else is said: choose delivery.kafka.format, and readers for it",
        ),
    }
}

pub(super) fn partition(draft: &mut Draft, value: &str) -> Outcome {
    let policy = match value {
        "none" => "zero",
        "database_table" => "table",
        "columns" | "primary_key" => "key",
        _ => return by_hand("choose delivery.kafka.partition: zero, table, key or murmur2"),
    };
    draft.kafka.set("partition", policy);
    set("delivery.kafka.partition", policy)
}

pub(super) fn compression(draft: &mut Draft, value: &str) -> Outcome {
    let codec = value.to_ascii_lowercase();
    if !["lz4", "gzip", "snappy", "zstd", "none"].contains(&codec.as_str()) {
        return by_hand("choose delivery.kafka.compression: lz4, gzip, snappy, zstd or none");
    }
    draft.kafka.set("compression", codec.as_str());
    set("delivery.kafka.compression", &codec)
}

pub(super) fn acks(draft: &mut Draft, value: &str) -> Outcome {
    let acks = match value {
        "0" | "1" | "all" => value,
        "-1" => "all",
        _ => return by_hand("choose delivery.kafka.acks: all, 1 or 0"),
    };
    draft.kafka.set("acks", acks);
    let (fate, outcome) = set("delivery.kafka.acks", acks);
    match acks {
        "all" => (fate, outcome),
        _ => (fate, format!("{outcome}; what is acknowledged can then be lost, \"all\" is the relay's own choice")),
    }
}

/// The manual counts minutes, 10 to 1,440; requests carry seconds, 43200 by default.
pub(super) fn retry_connection(draft: &mut Draft, value: &str) -> Outcome {
    let minutes = match value.parse::<u64>() {
        Ok(minutes @ 10..=1440) => minutes,
        Ok(seconds @ 1441..=86400) => seconds / 60,
        _ => return by_hand("it is outside 10 to 1440 minutes: choose retry.connection"),
    };
    draft.retry.connection = Some(minutes);
    (Fate::Taken, format!("source.retry.connection and delivery.retry.connection = \"{minutes}min\""))
}

pub(super) fn retry_other(draft: &mut Draft, value: &str) -> Outcome {
    match value.parse::<u64>() {
        Ok(seconds @ 60..=86400) => {
            let minutes = seconds / 60;
            draft.retry.other = Some(minutes);
            (Fate::Taken, format!("source.retry.other and delivery.retry.other = \"{minutes}min\""))
        }
        _ => by_hand("it is outside 60 to 86400 seconds: choose retry.other"),
    }
}

pub(super) fn case_policy(draft: &mut Draft, value: &str) -> Outcome {
    let policy = match value {
        "default" => "default",
        "source" => "source",
        "dest_upper" => "upper",
        "dest_lower" => "lower",
        _ => return by_hand("choose delivery.case_policy: default, source, upper or lower"),
    };
    draft.delivery.set("case_policy", policy);
    set("delivery.case_policy", policy)
}

/// Rows a second; -1 for no limit.
pub(super) fn rows_limit(draft: &mut Draft, value: &str, phase: Phase) -> Outcome {
    let field = if phase == Phase::Full { "snapshot_rps" } else { "rps" };
    match value.parse::<i64>() {
        Ok(-1 | 0) => not_needed("no limit"),
        Ok(rows @ 1..=1_000_000_000) => {
            draft.throttle.insert(field.to_owned(), rows.into());
            (Fate::Taken, format!("delivery.throttle.{field} = {rows}"))
        }
        _ => by_hand(format!("it is no number of rows a second: choose delivery.throttle.{field}")),
    }
}

/// Bytes a second; -1 for no limit. An older manual counted megabytes, so a number that is too small for bytes is left
/// to people.
pub(super) fn bytes_limit(draft: &mut Draft, value: &str, phase: Phase) -> Outcome {
    const BYTES_MIN: i64 = 10_000;
    const BYTES_MAX: i64 = 1_000_000_000_000;
    let field = if phase == Phase::Full { "snapshot_mbps" } else { "mbps" };
    match value.parse::<i64>() {
        Ok(-1 | 0) => not_needed("no limit"),
        Ok(bytes @ BYTES_MIN..=BYTES_MAX) => {
            let megabytes = bytes as f64 / 1e6;
            draft.throttle.insert(field.to_owned(), megabytes.into());
            (Fate::Taken, format!("delivery.throttle.{field} = {megabytes}"))
        }
        _ => by_hand(format!("whether it counts bytes or megabytes cannot be told: choose delivery.throttle.{field}")),
    }
}

pub(super) fn queries_limit(_: &mut Draft, value: &str, _: Phase) -> Outcome {
    if value == "-1" {
        return not_needed("no limit");
    }
    by_hand("a relay does not ask the source for rows yet, so there are no queries to limit")
}

pub(super) fn etl_switch(draft: &mut Draft, value: &str) -> Outcome {
    draft.etl_off = flag(value) == Some(false);
    not_needed(if draft.etl_off { "no script was asked for" } else { "the script itself decides" })
}

/// The language is the same; what of it a relay does not know is refused with its place.
pub(super) fn script(draft: &mut Draft, value: &str) -> Outcome {
    if draft.etl_off {
        return not_needed("etlOperatorCtl says that it is not used");
    }
    match Script::compile(value, &ScriptOptions::default()) {
        Ok(_) => {
            draft.delivery.set("etl", value);
            (Fate::Taken, "delivery.etl: try it with relay etl-try".to_owned())
        }
        Err(error) => by_hand(format!("{error}: correct it as delivery.etl, and try it with relay etl-try")),
    }
}

/// Seconds behind the source.
pub(super) fn alert_latency(draft: &mut Draft, value: &str) -> Outcome {
    match value.parse::<u32>() {
        Ok(seconds @ 1..=604_800) => {
            let span = format!("{seconds}s");
            draft.alert.set("latency", span.as_str());
            set("alert.latency", &span)
        }
        _ => by_hand("it is no number of seconds: choose alert.latency"),
    }
}

pub(super) fn registry_switch(draft: &mut Draft, value: &str) -> Outcome {
    draft.registry_off = flag(value) == Some(false);
    not_needed(if draft.registry_off { "no registry was asked for" } else { "the registry's URL decides" })
}

/// Whether it is used, and whether the format has schemas, may stand behind this.
pub(super) fn registry(draft: &mut Draft, value: &str) -> Outcome {
    let options = RegistryOptions {
        url: value.to_owned(),
        subject: SubjectStrategy::default(),
        register: true,
        username: None,
        password_file: None,
        ca_file: None,
    };
    if let Err(error) = Registry::new(&options, Patience::default()) {
        return by_hand(format!("{error}: write delivery.kafka.registry"));
    }
    draft.registry = Some(value.to_owned());
    (Fate::Taken, format!("delivery.kafka.registry = {{ url = {} }}", toml::Value::from(value)))
}

pub(super) fn on_conflict(draft: &mut Draft, value: &str) -> Outcome {
    let mode = match value {
        "0" => "report",
        "2" => "proceed",
        _ => return by_hand("choose delivery.on_conflict: report or proceed"),
    };
    draft.delivery.set("on_conflict", mode);
    set("delivery.on_conflict", mode)
}

pub(super) fn source_tls(draft: &mut Draft, value: &str) -> Outcome {
    match flag(value) {
        Some(true) => not_needed(
            "source.tls is verify_identity by itself; name the authority in source.ca_file if it is no public one",
        ),
        Some(false) => {
            draft.source.set("tls", "disabled");
            let (fate, outcome) = set("source.tls", "disabled");
            (fate, format!("{outcome}, as the task has it; verify_identity where the server has a certificate"))
        }
        None => by_hand("set source.tls: disabled, required, verify_ca or verify_identity"),
    }
}
