//! The table of settings: what each setting of a DTS task becomes. Names are those of the OpenAPI (`ConfigureDtsJob`,
//! `DescribeDtsJobDetail`, "Reserve parameter description"); a name that is not here is reported as unknown, never dropped
//! in silence.

mod convert;

use convert::{
    acks, alert, alert_latency, broker_security, broker_version, bytes_limit, case_policy, checkpoint, compression,
    destination_engine, direction, etl_switch, format, name, on_conflict, partition, port, queries_limit, registry,
    registry_switch, retry_connection, retry_other, rows_limit, script, set, snapshot, source_engine, source_tls,
    stream, structure, taken,
};

use super::ImportError;
use super::document::{Document, Given};
use super::draft::Draft;
use super::report::{Fate, Report};

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
