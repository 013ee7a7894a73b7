//! Where the records of a table go: topic, what decides the partition, the message key. Built once per plan.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use crate::change::RowChange;
use crate::change::plan::TablePlan;
use crate::change::schema::TableName;
use crate::config::objects::TableRule;
use crate::format::key::{KeyColumns, Side, UnknownKeyColumn};
use crate::format::partition::{fold, murmur2_hash, table_hash};
use crate::format::text::{FormatError, Renderer};
use crate::sink::Origin;
use crate::sink::kafka::config::{KafkaConfig, MessageKey, OnKeyChange, OnTooLarge, Partition};
use crate::sink::kafka::expand;

/// Where statements go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DdlTopic {
    /// With the rows of their table.
    Data,
    /// Nowhere.
    Off,
    /// To a topic of their own.
    Named(String),
}

/// How a sink's records are routed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// Template of the topic; empty where there is one place only.
    pub topic: String,
    /// Where statements go.
    pub ddl_topic: DdlTopic,
    /// What decides the partition.
    pub partition: Partition,
    /// The columns whose hash does; none: the table's own key.
    pub partition_key: Option<Vec<String>>,
    /// Partitions in use, when set.
    pub partitions: Option<u32>,
    /// What an update of a key becomes.
    pub on_key_change: OnKeyChange,
    /// The message key.
    pub message_key: MessageKey,
    /// Whether a null value follows a delete.
    pub tombstones: bool,
    /// What becomes of a record that is too large.
    pub on_too_large: OnTooLarge,
    /// Where records go that were not to be delivered.
    pub dead_letter_topic: Option<String>,
}

impl Routing {
    /// For a sink with one place and neither keys nor partitions.
    pub fn single() -> Self {
        Self {
            topic: String::new(),
            ddl_topic: DdlTopic::Data,
            partition: Partition::Zero,
            partition_key: None,
            partitions: None,
            on_key_change: OnKeyChange::Update,
            message_key: MessageKey::None,
            tombstones: false,
            on_too_large: OnTooLarge::Fail,
            dead_letter_topic: None,
        }
    }

    /// As the settings of a Kafka sink say.
    pub fn kafka(config: &KafkaConfig) -> Self {
        Self {
            topic: config.topic.clone(),
            ddl_topic: match config.ddl_topic.as_str() {
                "data" => DdlTopic::Data,
                "off" => DdlTopic::Off,
                name => DdlTopic::Named(name.to_owned()),
            },
            partition: config.partition,
            partition_key: config.partition_key.clone(),
            partitions: config.partitions,
            on_key_change: config.on_key_change,
            message_key: config.message_key().clone(),
            tombstones: config.tombstones(),
            on_too_large: config.on_too_large,
            dead_letter_topic: config.dead_letter_topic.clone(),
        }
    }

    /// Whether records have keys.
    pub(super) fn has_keys(&self) -> bool {
        self.message_key != MessageKey::None
    }

    /// The settings of a table that has some of its own.
    pub(crate) fn with(&self, rule: Option<&TableRule>) -> Cow<'_, Self> {
        let Some(rule) = rule else { return Cow::Borrowed(self) };
        let mut routing = self.clone();
        if let Some(topic) = &rule.topic {
            routing.topic = topic.clone();
        }
        routing.partition = rule.partition.unwrap_or(routing.partition);
        routing.on_key_change = rule.on_key_change.unwrap_or(routing.on_key_change);
        if let Some(message_key) = &rule.message_key {
            routing.message_key = message_key.clone();
        }
        routing.partition_key = rule.partition_key.clone().or(routing.partition_key);
        routing.partitions = rule.partitions.or(routing.partitions);
        routing.on_too_large = rule.on_too_large.unwrap_or(routing.on_too_large);
        Cow::Owned(routing)
    }

    /// Place and hash of a statement about `source`, which is told under the name `as_told`; parts of it may be empty.
    /// None: it goes nowhere.
    pub(super) fn of_ddl(&self, source: &TableName, as_told: &TableName) -> Option<(Origin, i32)> {
        let name = match &*source.table {
            "" => source.database.to_string(),
            _ => source.to_string(),
        };
        let (database, table) = (&*as_told.database, &*as_told.table);
        let (destination, hash) = match &self.ddl_topic {
            DdlTopic::Off => return None,
            // One partition, so that statements keep their order.
            DdlTopic::Named(topic) => {
                return Some((Origin { partitions: None, ..self.origin(name, topic.clone()) }, 0));
            }
            DdlTopic::Data => {
                let lacks = |part: &str, place: &str| part.is_empty() && self.topic.contains(place);
                if lacks(database, "{database}") || lacks(table, "{table}") {
                    return None;
                }
                let by_table = self.partition == Partition::Table && !table.is_empty();
                let hash = if by_table { table_hash(&source.database, &source.table) } else { 0 };
                (expand(&self.topic, database, table), hash)
            }
        };
        Some((self.origin(name, destination), hash))
    }

    /// Of the records of a table.
    fn origin(&self, table: String, destination: String) -> Origin {
        let fitted = self.on_too_large != OnTooLarge::Fail;
        Origin { table, destination, partitions: self.partitions, fitted }
    }

    /// Of its records that were not to be delivered. They too are made to fit, whatever the policy.
    pub(super) fn dead_letters(&self, table: &str) -> Option<Arc<Origin>> {
        let topic = self.dead_letter_topic.as_deref()?;
        Some(Arc::new(Origin { fitted: true, ..Origin::new(table, topic) }))
    }
}

/// The routing of one table.
#[derive(Debug)]
pub(crate) struct Route {
    pub(super) plan: u64,
    pub(super) origin: Arc<Origin>,
    policy: Partition,
    table_hash: i32,
    partition_key: KeyColumns,
    message_key: Message,
    split: bool,
    pub(super) tombstones: bool,
    /// What becomes of a record that is too large.
    pub(super) on_too_large: OnTooLarge,
    /// The id of its records' schema in its topic.
    schema_id: OnceLock<u32>,
}

#[derive(Debug)]
enum Message {
    None,
    /// The table, as it is named to those who read.
    Table(String),
    Columns(KeyColumns),
}

impl Route {
    pub(crate) fn new(routing: &Routing, plan: &TablePlan) -> Result<Self, UnknownKeyColumn> {
        let key = KeyColumns::of(plan);
        let partition_key = match &routing.partition_key {
            Some(names) => KeyColumns::named(plan, names)?,
            None => key.clone(),
        };
        let message_key = match &routing.message_key {
            MessageKey::None => Message::None,
            MessageKey::Table => Message::Table(plan.name.to_string()),
            // Without a key there is nothing to write: such rows have a null key.
            MessageKey::PrimaryKey if key.is_empty() => Message::None,
            MessageKey::PrimaryKey => Message::Columns(key),
            MessageKey::Columns(names) => Message::Columns(KeyColumns::named(plan, names)?),
        };
        Ok(Self {
            plan: plan.id,
            origin: Arc::new(
                routing.origin(plan.source.to_string(), expand(&routing.topic, &plan.name.database, &plan.name.table)),
            ),
            on_too_large: routing.on_too_large,
            policy: routing.partition,
            table_hash: table_hash(&plan.source.database, &plan.source.table),
            partition_key,
            tombstones: routing.tombstones && matches!(message_key, Message::Columns(_)),
            message_key,
            split: routing.on_key_change == OnKeyChange::Split,
            schema_id: OnceLock::new(),
        })
    }

    /// Whether an update moves its row: to another partition, or to another message key. Consumers would then see
    /// the two rows in either order, or keep the old one for ever.
    pub(super) fn moves(&self, row: &RowChange<'_>) -> Result<bool, FormatError> {
        if !self.split {
            return Ok(false);
        }
        if self.policy == Partition::Key && self.partition_key.changed(row)? {
            return Ok(true);
        }
        match &self.message_key {
            Message::Columns(columns) => columns.changed(row),
            Message::None | Message::Table(_) => Ok(false),
        }
    }

    /// The id of its records' schema, asked of `ask` once by its topic.
    pub(super) fn schema_id<E>(&self, ask: impl FnOnce(&str) -> Result<u32, E>) -> Result<u32, E> {
        match self.schema_id.get() {
            Some(&id) => Ok(id),
            None => ask(&self.origin.destination).map(|id| *self.schema_id.get_or_init(|| id)),
        }
    }

    /// Whether each row has a message key of its own.
    pub(super) fn is_keyed_by_row(&self) -> bool {
        matches!(self.message_key, Message::Columns(_))
    }

    /// Whether two hashes mean one partition, as far as is known here: the number of partitions is the sink's to ask,
    /// unless it is set.
    pub(super) fn shares_partition(&self, one: i32, other: i32) -> bool {
        one == other || self.origin.partitions.is_some_and(|count| fold(one, count) == fold(other, count))
    }

    /// Appends the message key, with `write` when it is of columns; false when there is none.
    pub(super) fn write_key(
        &self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&KeyColumns, &mut Vec<u8>) -> Result<(), FormatError>,
    ) -> Result<bool, FormatError> {
        match &self.message_key {
            Message::None => return Ok(false),
            Message::Table(name) => out.extend_from_slice(name.as_bytes()),
            Message::Columns(columns) => write(columns, out)?,
        }
        Ok(true)
    }

    /// The hash that decides the partition. `key` is the message key, when there is one.
    pub(super) fn hash(
        &self,
        plan: &TablePlan,
        row: &RowChange<'_>,
        side: Side,
        key: Option<&[u8]>,
        renderer: &mut Renderer,
        scratch: &mut Vec<u8>,
    ) -> Result<i32, FormatError> {
        match self.policy {
            Partition::Zero => Ok(0),
            Partition::Table => Ok(self.table_hash),
            Partition::Murmur2 => Ok(key.map_or(0, murmur2_hash)),
            Partition::Key => self.partition_key.hash(plan, row, side, renderer, scratch),
        }
    }
}
