//! What a delivery does with the tables it selects: which operations it carries, under which names, and what single
//! tables do differently.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::FieldError;
use super::transform::check_filter;
use crate::selection::TablePatterns;
use crate::sink::kafka::check_template;
use crate::sink::kafka::config::{KafkaConfig, MessageKey, OnKeyChange, OnTooLarge, Partition};

/// A kind of row change, by the word of the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the statements' own names")]
pub enum DmlOp {
    Insert,
    Update,
    Delete,
}

/// A kind of statement, by the word of the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the statements' own names")]
pub enum DdlOp {
    CreateTable,
    AlterTable,
    DropTable,
    RenameTable,
    TruncateTable,
    CreateIndex,
    DropIndex,
    View,
    /// Procedures, functions and packages.
    Routine,
    Trigger,
    /// Schemas, and whatever is none of the others.
    Database,
}

/// Names under which rows are delivered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NameMap {
    /// Name of the database; `{database}` and `{table}` stand for the source's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Name of the table, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Names of columns, by the source's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// Columns that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop_columns: Vec<String>,
}

/// How names are capitalised that are not mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CasePolicy {
    /// As is usual at the destination: Kafka and files take names as the source has them.
    #[default]
    Default,
    /// As the source has them.
    Source,
    /// Upper case.
    Upper,
    /// Lower case.
    Lower,
}

/// What a delivery does with every table that no [`TableRule`] says otherwise of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Objects {
    /// Row changes that are carried.
    pub dml_op: BTreeSet<DmlOp>,
    /// Statements that are carried.
    pub ddl_op: BTreeSet<DdlOp>,
    /// Names.
    pub map: NameMap,
    /// Capitalisation of names that are not mapped.
    pub case_policy: CasePolicy,
    /// What single tables do differently; the first that matches counts.
    #[serde(rename = "table", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<TableRule>,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            dml_op: [DmlOp::Insert, DmlOp::Update, DmlOp::Delete].into(),
            ddl_op: [
                DdlOp::CreateTable,
                DdlOp::AlterTable,
                DdlOp::DropTable,
                DdlOp::RenameTable,
                DdlOp::TruncateTable,
                DdlOp::CreateIndex,
                DdlOp::DropIndex,
                DdlOp::View,
                DdlOp::Routine,
                DdlOp::Trigger,
                DdlOp::Database,
            ]
            .into(),
            map: NameMap::default(),
            case_policy: CasePolicy::default(),
            rules: Vec::new(),
        }
    }
}

/// `[[delivery.table]]`: what the tables of a pattern do differently. What it leaves out is as the delivery has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRule {
    /// The pattern, `database.table`.
    #[serde(rename = "match", serialize_with = "print_pattern", deserialize_with = "read_pattern")]
    pub pattern: TablePatterns,
    /// Row changes that are carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dml_op: Option<BTreeSet<DmlOp>>,
    /// Statements that are carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ddl_op: Option<BTreeSet<DdlOp>>,
    /// Names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<NameMap>,
    /// Its condition, in the language of WHERE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Topic of its rows; this and what follows is for Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// What decides the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// The columns whose hash does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<Vec<String>>,
    /// How many partitions of the topic are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u32>,
    /// What an update of the partition key becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_key_change: Option<OnKeyChange>,
    /// The message key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_key: Option<MessageKey>,
    /// What becomes of a record that is too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_too_large: Option<OnTooLarge>,
}

impl Objects {
    /// The rule that a table follows, where there is one of its own.
    pub fn rule(&self, database: &str, table: &str) -> Option<&TableRule> {
        self.rule_index(database, table).map(|at| &self.rules[at])
    }

    /// Its place among the rules.
    pub fn rule_index(&self, database: &str, table: &str) -> Option<usize> {
        self.rules.iter().position(|rule| rule.pattern.matches(database, table))
    }

    /// Checks what serde cannot. `kafka` is what the delivery itself has; none for another sink.
    ///
    /// # Errors
    /// The first field that is wrong, by its name below the delivery.
    pub fn validate(&self, kafka: Option<&KafkaConfig>) -> Result<(), FieldError> {
        check_map(&self.map).map_err(|e| e.within("map"))?;
        for (index, rule) in self.rules.iter().enumerate() {
            rule.validate(kafka).map_err(|e| e.within(&format!("table[{index}]")))?;
        }
        Ok(())
    }
}

impl TableRule {
    fn validate(&self, kafka: Option<&KafkaConfig>) -> Result<(), FieldError> {
        if let Some(filter) = &self.filter {
            check_filter(filter).map_err(|reason| FieldError::new("filter", reason))?;
        }
        if let Some(map) = &self.map {
            check_map(map).map_err(|e| e.within("map"))?;
        }
        let Some(kafka) = kafka else {
            return match self.kafka_setting() {
                None => Ok(()),
                Some(field) => Err(FieldError::new(field, "it is a setting of a Kafka delivery")),
            };
        };
        if let Some(topic) = &self.topic {
            check_template(topic).map_err(|reason| FieldError::new("topic", reason))?;
        }
        let partition = self.partition.unwrap_or(kafka.partition);
        check_partition_key(self.partition_key.as_deref(), partition)?;
        if partition == Partition::Murmur2
            && *self.message_key.as_ref().unwrap_or(kafka.message_key()) == MessageKey::None
        {
            let field = if self.partition.is_some() { "partition" } else { "message_key" };
            return Err(FieldError::new(
                field,
                "murmur2 hashes the message key: set message_key, or another partition",
            ));
        }
        if self.partitions == Some(0) {
            return Err(FieldError::new("partitions", "it is 0; leave it out to use the topic's own number"));
        }
        check_on_too_large(self.on_too_large.unwrap_or(kafka.on_too_large), kafka)
    }

    /// The first setting that only a Kafka delivery has.
    fn kafka_setting(&self) -> Option<&'static str> {
        let settings = [
            ("topic", self.topic.is_some()),
            ("partition", self.partition.is_some()),
            ("partition_key", self.partition_key.is_some()),
            ("partitions", self.partitions.is_some()),
            ("on_key_change", self.on_key_change.is_some()),
            ("message_key", self.message_key.is_some()),
            ("on_too_large", self.on_too_large.is_some()),
        ];
        settings.into_iter().find(|(_, set)| *set).map(|(field, _)| field)
    }
}

/// Whether there is a place for what shall go to it.
pub(crate) fn check_on_too_large(policy: OnTooLarge, kafka: &KafkaConfig) -> Result<(), FieldError> {
    if policy == OnTooLarge::DeadLetter && kafka.dead_letter_topic.is_none() {
        return Err(FieldError::new(
            "on_too_large",
            "dead letters need a topic: set dead_letter_topic of the Kafka section",
        ));
    }
    Ok(())
}

/// Whether columns may be named as partition key under that policy.
pub(crate) fn check_partition_key(key: Option<&[String]>, partition: Partition) -> Result<(), FieldError> {
    match key {
        Some([]) => Err(FieldError::new("partition_key", "it is empty; leave it out to use the table's own key")),
        Some(_) if partition != Partition::Key => {
            Err(FieldError::new("partition_key", "it goes with partition = \"key\" only"))
        }
        _ => Ok(()),
    }
}

fn check_map(map: &NameMap) -> Result<(), FieldError> {
    for (field, name) in [("database", &map.database), ("table", &map.table)] {
        let Some(name) = name else { continue };
        let sample = name.replace("{database}", "d").replace("{table}", "t");
        if sample.is_empty() || sample.contains(['{', '}']) {
            let reason = "write a name; {database} and {table} in it stand for the source's";
            return Err(FieldError::new(field, reason));
        }
    }
    for (from, to) in &map.columns {
        if to.is_empty() {
            return Err(FieldError::new("columns", format!("the new name of {from} is empty; use drop_columns")));
        }
        if let Some((other, _)) = map.columns.iter().find(|(other, name)| *name == to && *other != from) {
            return Err(FieldError::new("columns", format!("{from} and {other} would both be named {to}")));
        }
        if map.drop_columns.iter().any(|dropped| dropped.eq_ignore_ascii_case(from)) {
            return Err(FieldError::new("drop_columns", format!("{from} is both renamed and left out")));
        }
    }
    Ok(())
}

fn read_pattern<'de, D: serde::Deserializer<'de>>(d: D) -> Result<TablePatterns, D::Error> {
    let text = String::deserialize(d)?;
    if text.starts_with('!') {
        return Err(serde::de::Error::custom("a rule is for tables that match; leave out the !"));
    }
    TablePatterns::parse(&[text]).map_err(serde::de::Error::custom)
}

fn print_pattern<S: serde::Serializer>(pattern: &TablePatterns, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(pattern)
}
