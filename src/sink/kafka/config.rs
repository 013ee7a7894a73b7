//! `[delivery.kafka]`: the settings of a Kafka sink with their defaults.

mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
pub use values::{
    Acks, Compression, Guarantee, HEADER_NAMES, Headers, MessageKey, NamedTopic, OnKeyChange, OnTooLarge, Partition,
    Purpose, SaslMechanism, Security,
};

use crate::config::objects::{check_on_too_large, check_partition_key};
use crate::config::{FieldError, Secret, Size};
use crate::format::canal_json::{CanalOptions, GtidForm, OldColumns, SnapshotType};
use crate::format::debezium_json::{DebeziumOptions, DecimalForm};
use crate::format::dts_avro::{AvroOptions, TextBranch};
use crate::format::maxwell_json::MaxwellOptions;
use crate::format::registry::RegistryOptions;
use crate::format::shareplex_json::ShareplexOptions;
use crate::format::text::{BinaryForm, EnumForm, OnBadText};
use crate::format::{FormatName, FormatOptions};

/// Settings of a Kafka sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Bootstrap servers, `host:port` separated by commas.
    pub brokers: String,
    /// Topic of rows; `{database}` and `{table}` stand for the names.
    #[serde(default = "default_topic")]
    pub topic: String,
    /// Format of a record's value.
    #[serde(default)]
    pub format: FormatName,
    /// How batches are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Which replicas must have a record before it counts.
    #[serde(default)]
    pub acks: Acks,
    /// How often a record can arrive.
    #[serde(default)]
    pub delivery: Guarantee,
    /// Where rows go within a topic.
    #[serde(default)]
    pub partition: Partition,
    /// The columns whose hash says which, instead of the table's own key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<Vec<String>>,
    /// Number of partitions used, when it is not the topic's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// Whether a topic that grew is used in its new width from the next start on; without it the old one is kept.
    #[serde(default)]
    pub accept_partition_change: bool,
    /// What an update of a partition key becomes.
    #[serde(default)]
    pub on_key_change: OnKeyChange,
    /// The record's key; as is usual with the format when it is not set.
    pub message_key: Option<MessageKey>,
    /// Whether a delete is followed by a null value, which asks for `message_key = "primary_key"`; as is usual with the
    /// format when it is not set.
    pub tombstones: Option<bool>,
    /// Which of the `relay.*` headers records carry.
    #[serde(default)]
    pub headers: Headers,
    /// Topic of DDL; `data` is the table's own topic, `off` leaves DDL out.
    #[serde(default = "default_ddl_topic")]
    pub ddl_topic: String,
    /// Most records in one batch to the client; with `exactly_once` also those after which a Kafka transaction ends at
    /// the next end of a source transaction, and the size above which a source transaction is split.
    #[serde(default = "default_max_records")]
    pub max_records: usize,
    /// Largest record, before compression.
    #[serde(default = "default_max_record_bytes")]
    pub max_record_bytes: Size,
    /// What becomes of a record that is larger than this, or than its topic takes.
    #[serde(default)]
    pub on_too_large: OnTooLarge,
    /// Topic of records that were not to be delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_topic: Option<String>,
    /// Whether topics that are missing are created, with `partitions`.
    #[serde(default)]
    pub create_topics: bool,
    /// Replicas of topics that are created; the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<u16>,
    /// Settings of topics that are created.
    #[serde(default)]
    pub topic_config: BTreeMap<String, String>,
    /// How the connection is protected.
    #[serde(default)]
    pub security: Security,
    /// How the account is proved.
    #[serde(default)]
    pub sasl_mechanism: SaslMechanism,
    /// The account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Its password, from the environment or from `password_file`.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// File the password is read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// PEM file of trusted authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of our own certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// PEM file of its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// What `old` holds of an update.
    #[serde(default)]
    pub canal_old: OldColumns,
    /// How ENUM and SET are written.
    #[serde(default)]
    pub canal_enum: EnumForm,
    /// How bytes that are no text are written.
    #[serde(default)]
    pub canal_binary: BinaryForm,
    /// What the field `gtid` holds.
    #[serde(default)]
    pub canal_gtid: GtidForm,
    /// Most rows of one event, table, type and partition in one message.
    #[serde(default = "default_canal_rows_per_message")]
    pub canal_rows_per_message: u32,
    /// The `type` of rows of the initial copy.
    #[serde(default)]
    pub canal_snapshot_type: SnapshotType,
    /// DTS Avro: which branch holds texts.
    #[serde(default)]
    pub avro_text: TextBranch,
    /// DTS Avro: whether BEGIN and COMMIT records stand around each transaction.
    #[serde(default)]
    pub avro_tx_markers: bool,
    /// DTS Avro: seconds between heartbeats to partition 0 of each topic; 0 for none.
    #[serde(default)]
    pub avro_heartbeat_seconds: u32,
    /// DTS Avro: where schemas are registered; records are bare without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryOptions>,
    /// Shareplex: most rows of a transaction that are counted before its first one leaves.
    #[serde(default = "default_shareplex_tx_buffer_rows")]
    pub shareplex_tx_buffer_rows: u64,
    /// Debezium: whether each record carries its schema.
    #[serde(default)]
    pub schema: bool,
    /// Debezium: how DECIMAL is written.
    #[serde(default)]
    pub decimal: DecimalForm,
    /// Debezium: the server's name; the task's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Debezium: whether rows say where in their transaction they stand.
    #[serde(default)]
    pub transaction_block: bool,
    /// Debezium: topic of the beginnings and ends of transactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_topic: Option<String>,
    /// What happens with text that does not decode in its column's character set.
    #[serde(default)]
    pub on_bad_text: OnBadText,
    /// Whether hidden row ids of tables without a key are written.
    #[serde(default)]
    pub emit_hidden_row_id: bool,
    /// Settings handed to the client library as they are; those that break a promise are refused.
    #[serde(default)]
    pub librdkafka: BTreeMap<String, String>,
}

fn default_topic() -> String {
    "{database}.{table}".to_owned()
}

fn default_ddl_topic() -> String {
    "data".to_owned()
}

fn default_shareplex_tx_buffer_rows() -> u64 {
    ShareplexOptions::default().shareplex_tx_buffer_rows
}

fn default_canal_rows_per_message() -> u32 {
    1
}

fn default_max_records() -> usize {
    10_000
}

fn default_max_record_bytes() -> Size {
    Size::mib(10)
}

impl KafkaConfig {
    /// Fills in what depends on other settings.
    pub fn settle(&mut self) {
        let debezium = self.format == FormatName::DebeziumJson;
        let key = if debezium { MessageKey::PrimaryKey } else { MessageKey::None };
        let key = self.message_key.get_or_insert(key);
        self.tombstones.get_or_insert(debezium && *key == MessageKey::PrimaryKey);
    }

    /// The record's key.
    pub fn message_key(&self) -> &MessageKey {
        self.message_key.as_ref().unwrap_or(&MessageKey::None)
    }

    /// Whether a delete is followed by a null value.
    pub fn tombstones(&self) -> bool {
        self.tombstones.unwrap_or(false)
    }

    /// The settings of the format; `task` is the relay's name.
    pub fn format_options(&self, task: &str) -> FormatOptions {
        let (on_bad_text, emit_hidden_row_id) = (self.on_bad_text, self.emit_hidden_row_id);
        match self.format {
            FormatName::CanalJson => FormatOptions::CanalJson(self.canal_options()),
            FormatName::ShareplexJson => FormatOptions::ShareplexJson(ShareplexOptions {
                shareplex_tx_buffer_rows: self.shareplex_tx_buffer_rows,
                on_bad_text,
                emit_hidden_row_id,
            }),
            FormatName::MaxwellJson => FormatOptions::MaxwellJson(MaxwellOptions { on_bad_text, emit_hidden_row_id }),
            FormatName::DtsAvro => FormatOptions::DtsAvro(
                AvroOptions {
                    avro_text: self.avro_text,
                    avro_tx_markers: self.avro_tx_markers,
                    avro_heartbeat_seconds: self.avro_heartbeat_seconds,
                    on_bad_text,
                    emit_hidden_row_id,
                },
                self.marker_topic().filter(|_| self.avro_tx_markers),
            ),
            FormatName::DebeziumJson => FormatOptions::DebeziumJson(
                DebeziumOptions {
                    schema: self.schema,
                    decimal: self.decimal,
                    server_name: self.server_name.clone(),
                    transaction_block: self.transaction_block,
                    transaction_topic: self.transaction_topic.clone(),
                    on_bad_text,
                    emit_hidden_row_id,
                },
                task.to_owned(),
            ),
        }
    }

    /// The one topic that takes the records of transactions; none where tables have topics of their own.
    fn marker_topic(&self) -> Option<String> {
        match self.ddl_topic.as_str() {
            "data" | "off" => super::topics::is_fixed(&self.topic).then(|| self.topic.clone()),
            name => Some(name.to_owned()),
        }
    }

    fn canal_options(&self) -> CanalOptions {
        CanalOptions {
            canal_old: self.canal_old,
            canal_enum: self.canal_enum,
            canal_binary: self.canal_binary,
            canal_gtid: self.canal_gtid,
            canal_rows_per_message: self.canal_rows_per_message,
            canal_snapshot_type: self.canal_snapshot_type,
            on_bad_text: self.on_bad_text,
            emit_hidden_row_id: self.emit_hidden_row_id,
        }
    }

    /// Topics whose names the settings say outright: not those that depend on a table's name.
    pub fn named_topics(&self) -> Vec<NamedTopic> {
        let mut topics: Vec<NamedTopic> = Vec::new();
        let mut add = |name: Option<&str>, purpose| {
            let Some(name) = name.map(str::to_owned) else { return };
            if !topics.iter().any(|topic| topic.name == name) {
                topics.push(NamedTopic { name, purpose });
            }
        };
        add(Some(&*self.topic).filter(|topic| super::topics::is_fixed(topic)), Purpose::Rows);
        add(Some(&*self.ddl_topic).filter(|topic| !matches!(*topic, "data" | "off")), Purpose::Statements);
        let transactions = self.transaction_topic.as_deref().filter(|_| self.format == FormatName::DebeziumJson);
        add(transactions, Purpose::Statements);
        add(self.dead_letter_topic.as_deref(), Purpose::DeadLetters);
        topics
    }

    /// What a topic is for.
    pub fn purpose_of(&self, topic: &str) -> Purpose {
        self.named_topics().iter().find(|named| named.name == topic).map_or(Purpose::Rows, |named| named.purpose)
    }

    fn check_dead_letters(&self) -> Result<(), FieldError> {
        let Some(topic) = &self.dead_letter_topic else {
            return check_on_too_large(self.on_too_large, self);
        };
        super::topics::check_name(topic).map_err(|reason| FieldError::new("dead_letter_topic", reason))?;
        let taken = [Some(&self.topic), Some(&self.ddl_topic), self.transaction_topic.as_ref()];
        if taken.contains(&Some(topic)) {
            let reason = "other records go there: dead letters need a topic of their own";
            return Err(FieldError::new("dead_letter_topic", reason));
        }
        Ok(())
    }

    /// Checks what serde cannot: values that contradict one another.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn validate(&self) -> Result<(), FieldError> {
        if self.brokers.trim().is_empty() {
            return Err(FieldError::new("brokers", "it is empty; write host:9092"));
        }
        if self.brokers.split(',').any(|broker| broker.trim().is_empty()) {
            return Err(FieldError::new("brokers", "one of the addresses is empty; write host:9092,host:9092"));
        }
        super::topics::check_template(&self.topic).map_err(|reason| FieldError::new("topic", reason))?;
        if !matches!(self.ddl_topic.as_str(), "data" | "off") {
            super::topics::check_name(&self.ddl_topic).map_err(|reason| FieldError::new("ddl_topic", reason))?;
        }
        if self.canal_rows_per_message == 0 {
            return Err(FieldError::new("canal_rows_per_message", "it is 0; a message holds one row at least"));
        }
        if self.canal_rows_per_message > 1 && !matches!(self.message_key(), MessageKey::None | MessageKey::Table) {
            let reason = "a message of several rows has no key of one row: set message_key to \"none\" or \"table\"";
            return Err(FieldError::new("canal_rows_per_message", reason));
        }
        if self.partition == Partition::Murmur2 && *self.message_key() == MessageKey::None {
            return Err(FieldError::new("partition", "murmur2 hashes the message key: set message_key"));
        }
        check_partition_key(self.partition_key.as_deref(), self.partition)?;
        if self.avro_tx_markers && self.format == FormatName::DtsAvro && self.marker_topic().is_none() {
            let reason =
                "the records of transactions need one topic: set ddl_topic to a name, or topic to one of all tables";
            return Err(FieldError::new("avro_tx_markers", reason));
        }
        if self.registry.is_some() && self.format != FormatName::DtsAvro {
            return Err(FieldError::new("registry", "it goes with format = \"dts-avro\" only"));
        }
        if let Some(topic) = &self.transaction_topic {
            super::topics::check_name(topic).map_err(|reason| FieldError::new("transaction_topic", reason))?;
        }
        if self.partitions == Some(0) {
            return Err(FieldError::new("partitions", "it is 0; leave it out to use the topic's own number"));
        }
        self.check_dead_letters()?;
        if self.replication.is_some_and(|replicas| replicas == 0 || replicas > i16::MAX as u16) {
            let reason = format!("it is outside 1 to {}; leave it out for the cluster's default", i16::MAX);
            return Err(FieldError::new("replication", reason));
        }
        super::settings::check_passthrough(&self.librdkafka)?;
        super::settings::check_guarantee(self)?;
        super::settings::check_record_limit(self.max_record_bytes)?;
        if self.tombstones() && *self.message_key() != MessageKey::PrimaryKey {
            return Err(FieldError::new("tombstones", "a tombstone needs a key: set message_key = \"primary_key\""));
        }
        let sasl = matches!(self.security, Security::SaslPlaintext | Security::SaslSsl);
        if sasl && self.username.is_none() {
            return Err(FieldError::new("username", "it is missing, but security asks for SASL"));
        }
        if sasl && self.password.is_none() {
            return Err(FieldError::new(
                "password_file",
                "there is no password: set RELAY_DELIVERY_<NAME>_PASSWORD or password_file",
            ));
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err(FieldError::new("cert_file", "a client certificate needs both cert_file and key_file"));
        }
        Ok(())
    }
}
