//! `[delivery.kafka]`: the settings of a Kafka sink with their defaults.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{FieldError, FormatName, Secret, Size};

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
    /// Where rows go within a topic.
    #[serde(default)]
    pub partition: Partition,
    /// What an update of a partition key becomes.
    #[serde(default)]
    pub on_key_change: OnKeyChange,
    /// The record's key.
    #[serde(default)]
    pub message_key: MessageKey,
    /// Whether a delete is followed by a null value; asks for `message_key = "primary_key"`.
    #[serde(default)]
    pub tombstones: bool,
    /// Whether records carry the `relay.*` headers.
    #[serde(default = "yes")]
    pub headers: bool,
    /// Topic of DDL; `data` is the table's own topic, `off` leaves DDL out.
    #[serde(default = "default_ddl_topic")]
    pub ddl_topic: String,
    /// Most records in one batch to the client.
    #[serde(default = "default_max_records")]
    pub max_records: usize,
    /// Largest record, before compression.
    #[serde(default = "default_max_record_bytes")]
    pub max_record_bytes: Size,
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
    /// Settings handed to the client library as they are; those that break a promise are refused.
    #[serde(default)]
    pub librdkafka: BTreeMap<String, String>,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "Kafka's own names")]
pub enum Compression {
    #[default]
    Lz4,
    None,
    Gzip,
    Snappy,
    Zstd,
}

/// Which replicas must have a record before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Acks {
    /// All that are in sync: the only one that promises anything.
    #[default]
    #[serde(rename = "all")]
    All,
    /// The leader.
    #[serde(rename = "1")]
    Leader,
    /// None.
    #[serde(rename = "0")]
    None,
}

/// Where rows go within a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partition {
    /// By hash of the primary or unique key.
    #[default]
    Key,
    /// By hash of database and table.
    Table,
    /// All to partition 0.
    Zero,
}

/// What an update of partition-key columns becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnKeyChange {
    /// A delete to the old partition, then an insert to the new one.
    #[default]
    Split,
    /// One update, to the new partition.
    Update,
}

/// The record's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKey {
    /// No key.
    #[default]
    None,
    /// `database.table`.
    Table,
    /// The key columns as a JSON object.
    PrimaryKey,
}

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "Kafka's own names")]
pub enum Security {
    #[default]
    Plaintext,
    SaslPlaintext,
    Ssl,
    SaslSsl,
}

/// How the account is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Kafka's own names")]
pub enum SaslMechanism {
    #[default]
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
    #[serde(rename = "plain")]
    Plain,
}

fn default_topic() -> String {
    "{database}.{table}".to_owned()
}

fn default_ddl_topic() -> String {
    "data".to_owned()
}

fn default_max_records() -> usize {
    10_000
}

fn default_max_record_bytes() -> Size {
    Size::mib(10)
}

fn yes() -> bool {
    true
}

impl KafkaConfig {
    /// Checks what serde cannot: values that contradict one another.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn validate(&self) -> Result<(), FieldError> {
        if self.brokers.trim().is_empty() {
            return Err(FieldError::new("brokers", "it is empty; write host:9092"));
        }
        if self.topic.is_empty() {
            return Err(FieldError::new("topic", "it is empty; write a name, or {database}.{table}"));
        }
        if self.tombstones && self.message_key != MessageKey::PrimaryKey {
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
