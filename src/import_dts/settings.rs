//! The table of settings: what each setting of a DTS task becomes. Names are those of the OpenAPI (`ConfigureDtsJob`,
//! `DescribeDtsJobDetail`, "Reserve parameter description"); a name that is not here is reported as unknown, never dropped
//! in silence.

use super::ImportError;
use super::document::{Document, Given};
use super::draft::Draft;
use super::report::{Fate, Report};
use crate::etl::{Script, ScriptOptions};
use crate::format::registry::{Patience, Registry, RegistryOptions, SubjectStrategy};

type Outcome = (Fate, String);

/// What is done with a setting.
enum Use {
    /// It is written into the config, or the reason is given why it is not.
    Take(fn(&mut Draft, &str) -> Outcome),
    /// It stays with whoever reads the report; what to do.
    ByHand(&'static str),
    /// Nothing is done; why.
    Needless(&'static str),
    /// It decides whether the task can be taken over at all.
    Require(fn(&str) -> Result<Outcome, String>),
    /// It limits a phase, which its place tells.
    Limit(fn(&mut Draft, &str, Phase) -> Outcome),
}
use Use::{ByHand, Limit, Needless, Require, Take};

/// What a limit holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Full,
    Incremental,
}

const ADDRESS: &str =
    "a relay knows addresses only: source.url and delivery.kafka.brokers must be reachable from its machine";
const CLOUD: &str = "of the managed service; a relay runs on a machine of yours";
const ACCOUNTS: &str = "accounts and their rights are not carried to Kafka";
const PASSWORD: &str = "never written into a file: put it into the environment";
const CERTIFICATE: &str = "write it into a file of its own and name that in source.ca_file, cert_file or key_file";
const BROKER_CERTIFICATE: &str = "write it into a file of its own, name that in delivery.kafka.ca_file, cert_file or key_file, and set security to ssl or sasl_ssl";
const TWO_WAY: &str =
    "a relay carries changes one way; take care that what a consumer writes back is not captured again";
const ONLINE_DDL: &str = "helper tables of gh-ost and pt-online-schema-change are told by their names";

/// Settings of the task.
const TASK: &[(&str, Use)] = &[
    ("DtsJobName", Take(name)),
    ("DtsBisLabel", Take(|draft, value| taken(&mut draft.environment, "environment", value))),
    ("SourceEndpointEngineName", Require(source_engine)),
    ("SourceEndpointIP", Take(|draft, value| taken(&mut draft.source_host, "source.url", value))),
    ("SourceEndpointPort", Take(|draft, value| port(&mut draft.source_port, "source.url", value))),
    ("SourceEndpointUserName", Take(|draft, value| taken(&mut draft.source_user, "source.url", value))),
    ("SourceEndpointPassword", Needless(PASSWORD)),
    ("SourceEndpointInstanceID", ByHand("write the instance's address into source.url: a relay knows no instances")),
    ("SourceEndpointInstanceType", Needless(ADDRESS)),
    ("SourceEndpointRegion", Needless(ADDRESS)),
    ("SourceEndpointVSwitchID", Needless(ADDRESS)),
    ("SourceEndpointOwnerID", Needless(ADDRESS)),
    ("SourceEndpointRole", Needless(ADDRESS)),
    ("SourceEndpointDatabaseName", Needless("the object list says which databases are captured")),
    ("SourceEndpointOracleSID", Needless("a MySQL server has none")),
    ("SourceEndpointSslSolutionEnum", ByHand("set source.tls")),
    ("DestinationEndpointEngineName", Require(destination_engine)),
    ("DestinationEndpointIP", Take(|draft, value| taken(&mut draft.broker_host, "delivery.kafka.brokers", value))),
    ("DestinationEndpointPort", Take(|draft, value| port(&mut draft.broker_port, "delivery.kafka.brokers", value))),
    ("DestinationEndpointUserName", Take(|draft, value| taken(&mut draft.sasl_user, "delivery.kafka.username", value))),
    ("DestinationEndpointPassword", Needless(PASSWORD)),
    (
        "DestinationEndpointInstanceID",
        ByHand("write the brokers' addresses into delivery.kafka.brokers: a relay knows no instances"),
    ),
    ("DestinationEndpointInstanceType", Needless(ADDRESS)),
    ("DestinationEndpointRegion", Needless(ADDRESS)),
    ("DestinationEndpointVSwitchID", Needless(ADDRESS)),
    ("DestinationEndpointOwnerID", Needless(ADDRESS)),
    ("DestinationEndpointRole", Needless(ADDRESS)),
    ("DestinationEndpointDataBaseName", Needless("Kafka has topics only")),
    ("DestinationEndpointOracleSID", Needless("Kafka has none")),
    ("DestinationEndpointSslSolutionEnum", ByHand("set delivery.kafka.security")),
    ("StructureInitialization", Take(structure)),
    ("DataInitialization", Take(snapshot)),
    ("DataSynchronization", Take(stream)),
    ("Checkpoint", Take(checkpoint)),
    ("SynchronizationDirection", Take(direction)),
    ("JobType", Needless("the phases decide what is done")),
    ("DelayNotice", Take(alert)),
    ("ErrorNotice", Take(alert)),
    ("DelayPhone", ByHand("alerts go to a webhook or through Prometheus (ops/alerts.yml), not to telephones")),
    ("ErrorPhone", ByHand("alerts go to a webhook or through Prometheus (ops/alerts.yml), not to telephones")),
    ("DelayRuleTime", Take(alert_latency)),
    ("RegionId", Needless(CLOUD)),
    ("ResourceGroupId", Needless(CLOUD)),
    ("AccountId", Needless(CLOUD)),
    ("OwnerId", Needless(CLOUD)),
    ("ClientToken", Needless(CLOUD)),
    ("Action", Needless(CLOUD)),
    ("Version", Needless(CLOUD)),
    ("DedicatedClusterId", Needless(CLOUD)),
    ("DtsInstanceId", Needless(CLOUD)),
    ("DtsJobId", Needless(CLOUD)),
    ("DtsJobClass", Needless("a relay is as fast as its machine")),
    ("InstanceClass", Needless("a relay is as fast as its machine")),
    ("MaxDu", Needless("a relay is as fast as its machine")),
    ("MinDu", Needless("a relay is as fast as its machine")),
    ("DisasterRecoveryJob", Needless(CLOUD)),
    ("FileOssUrl", ByHand("the object list stands in a file in OSS: fetch it and give it as a second file")),
    ("RequestId", Needless(CLOUD)),
    ("Success", Needless(CLOUD)),
    ("HttpStatusCode", Needless(CLOUD)),
    ("Status", Needless("state of the task, not a setting")),
    ("CreateTime", Needless("state of the task, not a setting")),
    ("FinishTime", Needless("state of the task, not a setting")),
    ("BeginTimestamp", Needless("state of the task, not a setting")),
    ("EndTimestamp", Needless("state of the task, not a setting")),
    ("ConsumptionClient", Needless("state of the task, not a setting")),
    ("Delay", Needless("state of the task, not a setting")),
    ("ErrorMessage", Needless("state of the task, not a setting")),
    ("PayType", Needless(CLOUD)),
    ("ExpireTime", Needless(CLOUD)),
    ("GroupId", Needless(CLOUD)),
];

/// Settings of the reserve parameter.
const RESERVE: &[(&str, Use)] = &[
    (
        "destTopic",
        Take(|draft, value| {
            draft.kafka.set("topic", value);
            set("delivery.kafka.topic", value)
        }),
    ),
    ("destVersion", Take(broker_version)),
    ("destSSL", Take(broker_security)),
    ("kafkaRecordFormat", Take(format)),
    ("destKafkaPartitionKey", Take(partition)),
    ("destKafka.compression.type", Take(compression)),
    ("destKafka.acks", Take(acks)),
    (
        "sink.kafka.ddl.topic",
        Take(|draft, value| {
            draft.kafka.set("ddl_topic", value);
            set("delivery.kafka.ddl_topic", value)
        }),
    ),
    ("destSchemaRegistry", Take(registry_switch)),
    ("dest.kafka.schema.registry.url", Take(registry)),
    ("targetTableMode", Take(on_conflict)),
    ("maxRetryTime", Take(retry_connection)),
    ("retry.blind.seconds", Take(retry_other)),
    ("dbListCaseChangeMode", Take(case_policy)),
    ("dts.datamove.source.bps.max", Limit(bytes_limit)),
    ("dts.datamove.source.rps.max", Limit(rows_limit)),
    ("dts.datamove.blaster.qps.max", Limit(queries_limit)),
    ("EnableLimit", Needless("a limit counts where it is written")),
    ("etlOperatorCtl", Take(etl_switch)),
    ("etlOperatorSetting", Take(script)),
    ("etlOperatorColumnReference", ByHand("a script adds columns: write one as delivery.etl")),
    ("configKeyMap", ByHand("write the script as delivery.etl, and try it with relay etl-try")),
    ("srcSSL", Take(source_tls)),
    ("srcSslEnabled", Take(source_tls)),
    ("srcSslCaCert", ByHand(CERTIFICATE)),
    ("srcSslClientCert", ByHand(CERTIFICATE)),
    ("srcSslClientKey", ByHand(CERTIFICATE)),
    ("destSslEnabled", ByHand("set delivery.kafka.security to ssl or sasl_ssl")),
    ("destSslCaCert", ByHand(BROKER_CERTIFICATE)),
    ("destSslClientCert", ByHand(BROKER_CERTIFICATE)),
    ("destSslClientKey", ByHand(BROKER_CERTIFICATE)),
    ("srcHostPorts", ByHand("write the servers of the topology into source.url, separated by commas")),
    ("filterDDL", ByHand(TWO_WAY)),
    ("conflict", Needless("Kafka has no rows that could conflict")),
    ("syncArchitecture", Take(direction)),
    ("whitelist.dms.online.ddl.enable", Needless(ONLINE_DDL)),
    ("sqlparser.dms.original.ddl", Needless(ONLINE_DDL)),
    ("whitelist.ghost.online.ddl.enable", Needless(ONLINE_DDL)),
    ("sqlparser.ghost.original.ddl", Needless(ONLINE_DDL)),
    ("online.ddl.shadow.table.rule", Needless(ONLINE_DDL)),
    ("online.ddl.trash.table.rule", Needless(ONLINE_DDL)),
    ("a2aFlag", Needless(CLOUD)),
    ("channelInfo", Needless(CLOUD)),
    ("isAnalyzer", Needless(CLOUD)),
    ("tableAnalyze", Needless(CLOUD)),
    ("eventMove", Needless("events of the server are not carried to Kafka")),
    ("privilegeMigration", Needless(ACCOUNTS)),
    ("privilegeDbList", Needless(ACCOUNTS)),
    ("definer", Needless(ACCOUNTS)),
    ("autoStartModulesAfterConfig", Needless("`relay check` checks, `relay run` checks and starts")),
    ("triggerMode", Needless("triggers are not carried to Kafka")),
    ("skipPrechecks", ByHand("warnings are accepted one by one: list their ids in source.accept")),
    ("dataCheckConfigure", ByHand("a relay compares no data; a consumer can, by the records' relay.* headers")),
    ("srcMySQLType", Needless(ADDRESS)),
    ("destMySQLType", Needless(ADDRESS)),
    ("vpcId", Needless(ADDRESS)),
    ("vswitchId", Needless(ADDRESS)),
    ("srcInstanceId", Needless(ADDRESS)),
    ("destInstanceId", Needless(ADDRESS)),
    ("srcRegion", Needless(ADDRESS)),
    ("destRegion", Needless(ADDRESS)),
    ("startTime", Needless("a subscription's window; DTS tasks into Kafka have none")),
    ("endTime", Needless("a subscription's window; DTS tasks into Kafka have none")),
];

/// Whether a name belongs to the reserve parameter.
pub(super) fn is_reserve(name: &str) -> bool {
    find(RESERVE, name).is_some() || matches!(name, "fullDynamicConfig" | "incDynamicConfig")
}

/// Takes over every setting.
///
/// # Errors
/// A task from or to something that a relay does not speak with.
pub(super) fn take(document: &Document, draft: &mut Draft, report: &mut Report) -> Result<(), ImportError> {
    for Given { path, name, value } in &document.settings {
        let outcome = match find(TASK, name).or_else(|| find(RESERVE, name)) {
            Some(Take(apply)) => apply(draft, value),
            Some(Limit(apply)) => {
                let full = path.contains(".fullDynamicConfig.");
                apply(draft, value, if full { Phase::Full } else { Phase::Incremental })
            }
            Some(ByHand(what)) => (Fate::ByHand, (*what).to_owned()),
            Some(Needless(why)) => (Fate::NotNeeded, (*why).to_owned()),
            Some(Require(judge)) => {
                judge(value).map_err(|reason| ImportError::Unsuitable { setting: path.clone(), reason })?
            }
            None => (
                Fate::ByHand,
                "not known here: look up what it does, and whether a setting of ops/relay.toml does the same"
                    .to_owned(),
            ),
        };
        report.add(path, value, outcome);
    }
    Ok(())
}

/// Requests and answers differ in the case of their names.
fn find(table: &'static [(&str, Use)], name: &str) -> Option<&'static Use> {
    table.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, use_)| use_)
}

fn set(field: &str, value: &str) -> Outcome {
    (Fate::Taken, format!("{field} = {}", toml::Value::String(value.to_owned())))
}

fn by_hand(what: impl Into<String>) -> Outcome {
    (Fate::ByHand, what.into())
}

fn not_needed(why: impl Into<String>) -> Outcome {
    (Fate::NotNeeded, why.into())
}

fn taken(slot: &mut Option<String>, field: &str, value: &str) -> Outcome {
    *slot = Some(value.to_owned());
    (Fate::Taken, field.to_owned())
}

fn port(slot: &mut Option<u16>, field: &str, value: &str) -> Outcome {
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
fn name(draft: &mut Draft, value: &str) -> Outcome {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = value.chars().map(|c| if fine(c) { c } else { '-' }).collect();
    let name: String = name.trim_start_matches(['.', '_', '-']).chars().take(64).collect();
    if crate::config::check_name(&name).is_err() {
        return by_hand("no letter or digit in it can begin a relay's name: write name");
    }
    draft.name = Some(name.clone());
    set("name", &name)
}

fn source_engine(value: &str) -> Result<Outcome, String> {
    match value.to_ascii_lowercase().as_str() {
        "mysql" | "polardb" | "mariadb" | "rds" => Ok(not_needed("a relay asks the server what it is")),
        _ => Err(format!("the task captures {value}; a relay captures MySQL, PolarDB for MySQL and MariaDB")),
    }
}

fn destination_engine(value: &str) -> Result<Outcome, String> {
    match value.to_ascii_lowercase().as_str() {
        "kafka" => Ok((Fate::Taken, "[delivery.kafka]".to_owned())),
        _ => Err(format!("the task writes to {value}; a relay delivers to Kafka and to files")),
    }
}

fn structure(_: &mut Draft, value: &str) -> Outcome {
    if flag(value) == Some(true) {
        return by_hand("a relay creates no topics: create them before the start");
    }
    not_needed("a relay creates no topics")
}

fn snapshot(_: &mut Draft, value: &str) -> Outcome {
    if flag(value) == Some(true) {
        return by_hand(
            "a relay carries changes, not the rows that are there: copy those first, then start it at a time before the copy",
        );
    }
    not_needed("a relay carries changes only")
}

fn stream(_: &mut Draft, value: &str) -> Outcome {
    if flag(value) == Some(false) {
        return by_hand("a relay follows the binlog without end: stop it when it has what you need");
    }
    not_needed("a relay always follows the binlog")
}

fn checkpoint(draft: &mut Draft, value: &str) -> Outcome {
    let time =
        value.parse::<i64>().ok().filter(|second| *second > 0).and_then(|s| jiff::Timestamp::from_second(s).ok());
    let Some(time) = time else { return by_hand("it is no time in seconds since 1970: write source.start") };
    let start = format!("time:{time}");
    draft.source.set("start", start.as_str());
    set("source.start", &start)
}

fn direction(_: &mut Draft, value: &str) -> Outcome {
    match value.to_ascii_lowercase().as_str() {
        "forward" | "oneway" => not_needed("a relay carries changes one way"),
        _ => by_hand(TWO_WAY),
    }
}

fn alert(_: &mut Draft, value: &str) -> Outcome {
    if flag(value) == Some(true) {
        return by_hand(
            "a task names telephones, no webhook: put its address into the environment as RELAY_ALERT_WEBHOOK or name an \
             alert.webhook_file, or load ops/alerts.yml into Prometheus",
        );
    }
    not_needed("no alert was asked for")
}

fn broker_version(_: &mut Draft, value: &str) -> Outcome {
    if value == "0.9" {
        return by_hand("brokers before 0.10 do not know the records that a relay writes: upgrade them");
    }
    not_needed("client and broker agree on the version")
}

fn broker_security(draft: &mut Draft, value: &str) -> Outcome {
    match value {
        "0" => not_needed("delivery.kafka.security is plaintext by itself"),
        "3" => {
            draft.sasl = true;
            (Fate::Taken, "delivery.kafka.security = \"sasl_plaintext\", sasl_mechanism = \"scram-sha-256\"; sasl_ssl and ca_file where brokers speak TLS".to_owned())
        }
        _ => by_hand("set delivery.kafka.security: plaintext, sasl_plaintext, ssl or sasl_ssl"),
    }
}

fn format(draft: &mut Draft, value: &str) -> Outcome {
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

fn partition(draft: &mut Draft, value: &str) -> Outcome {
    let policy = match value {
        "none" => "zero",
        "database_table" => "table",
        "columns" | "primary_key" => "key",
        _ => return by_hand("choose delivery.kafka.partition: zero, table, key or murmur2"),
    };
    draft.kafka.set("partition", policy);
    set("delivery.kafka.partition", policy)
}

fn compression(draft: &mut Draft, value: &str) -> Outcome {
    let codec = value.to_ascii_lowercase();
    if !["lz4", "gzip", "snappy", "zstd", "none"].contains(&codec.as_str()) {
        return by_hand("choose delivery.kafka.compression: lz4, gzip, snappy, zstd or none");
    }
    draft.kafka.set("compression", codec.as_str());
    set("delivery.kafka.compression", &codec)
}

fn acks(draft: &mut Draft, value: &str) -> Outcome {
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
fn retry_connection(draft: &mut Draft, value: &str) -> Outcome {
    let minutes = match value.parse::<u64>() {
        Ok(minutes @ 10..=1440) => minutes,
        Ok(seconds @ 1441..=86400) => seconds / 60,
        _ => return by_hand("it is outside 10 to 1440 minutes: choose retry.connection"),
    };
    draft.retry.connection = Some(minutes);
    (Fate::Taken, format!("source.retry.connection and delivery.retry.connection = \"{minutes}min\""))
}

fn retry_other(draft: &mut Draft, value: &str) -> Outcome {
    match value.parse::<u64>() {
        Ok(seconds @ 60..=86400) => {
            let minutes = seconds / 60;
            draft.retry.other = Some(minutes);
            (Fate::Taken, format!("source.retry.other and delivery.retry.other = \"{minutes}min\""))
        }
        _ => by_hand("it is outside 60 to 86400 seconds: choose retry.other"),
    }
}

fn case_policy(draft: &mut Draft, value: &str) -> Outcome {
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
fn rows_limit(draft: &mut Draft, value: &str, phase: Phase) -> Outcome {
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
fn bytes_limit(draft: &mut Draft, value: &str, phase: Phase) -> Outcome {
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

fn queries_limit(_: &mut Draft, value: &str, _: Phase) -> Outcome {
    if value == "-1" {
        return not_needed("no limit");
    }
    by_hand("a relay does not ask the source for rows yet, so there are no queries to limit")
}

fn etl_switch(draft: &mut Draft, value: &str) -> Outcome {
    draft.etl_off = flag(value) == Some(false);
    not_needed(if draft.etl_off { "no script was asked for" } else { "the script itself decides" })
}

/// The language is the same; what of it a relay does not know is refused with its place.
fn script(draft: &mut Draft, value: &str) -> Outcome {
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
fn alert_latency(draft: &mut Draft, value: &str) -> Outcome {
    match value.parse::<u32>() {
        Ok(seconds @ 1..=604_800) => {
            let span = format!("{seconds}s");
            draft.alert.set("latency", span.as_str());
            set("alert.latency", &span)
        }
        _ => by_hand("it is no number of seconds: choose alert.latency"),
    }
}

fn registry_switch(draft: &mut Draft, value: &str) -> Outcome {
    draft.registry_off = flag(value) == Some(false);
    not_needed(if draft.registry_off { "no registry was asked for" } else { "the registry's URL decides" })
}

/// Whether it is used, and whether the format has schemas, may stand behind this.
fn registry(draft: &mut Draft, value: &str) -> Outcome {
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

fn on_conflict(draft: &mut Draft, value: &str) -> Outcome {
    let mode = match value {
        "0" => "report",
        "2" => "proceed",
        _ => return by_hand("choose delivery.on_conflict: report or proceed"),
    };
    draft.delivery.set("on_conflict", mode);
    set("delivery.on_conflict", mode)
}

fn source_tls(draft: &mut Draft, value: &str) -> Outcome {
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
