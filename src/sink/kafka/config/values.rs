//! What the settings of a Kafka sink can be: their values as types, by their names in the config.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

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

/// How often a record can arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Once, and again after a fault.
    #[default]
    AtLeastOnce,
    /// Once for consumers that read committed records only: records and the cursor's position are one Kafka
    /// transaction.
    ExactlyOnce,
}

/// Which replicas must have a record before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// All that are in sync: the only one that promises anything.
    #[default]
    All,
    /// The leader.
    Leader,
    /// None: nobody can tell what arrived.
    None,
}

impl Acks {
    /// As the client library names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Leader => "1",
            Self::None => "0",
        }
    }
}

impl Serialize for Acks {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Acks {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "\"all\", 1 or 0")]
        enum Raw {
            Number(u32),
            Text(String),
        }
        match Raw::deserialize(d)? {
            Raw::Number(1) => Ok(Self::Leader),
            Raw::Number(0) => Ok(Self::None),
            Raw::Text(text) if text == "all" => Ok(Self::All),
            Raw::Text(text) if text == "1" => Ok(Self::Leader),
            Raw::Text(text) if text == "0" => Ok(Self::None),
            _ => Err(de::Error::custom("acks is \"all\", 1 or 0")),
        }
    }
}

/// The headers a record can carry, in the order in which they stand.
pub const HEADER_NAMES: [&str; 9] = [
    "relay.seq",
    "relay.source",
    "relay.epoch",
    "relay.gtid",
    "relay.pos",
    "relay.table",
    "relay.op",
    "relay.phase",
    "relay.format",
];

/// Which headers records carry: bit *i* stands for the *i*th of [`HEADER_NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers(u16);

impl Headers {
    /// Every header.
    pub const ALL: Self = Self((1 << HEADER_NAMES.len()) - 1);
    /// No header.
    pub const NONE: Self = Self(0);

    /// Whether the header at that place of [`HEADER_NAMES`] is carried.
    pub fn has(self, index: usize) -> bool {
        self.0 & 1 << index != 0
    }

    /// How many are carried.
    pub fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self::ALL
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::ALL => s.serialize_bool(true),
            Self::NONE => s.serialize_bool(false),
            some => s.collect_seq(HEADER_NAMES.iter().enumerate().filter(|&(i, _)| some.has(i)).map(|(_, name)| name)),
        }
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "true, false or a list of header names")]
        enum Raw {
            Switch(bool),
            Names(Vec<String>),
        }
        let names = match Raw::deserialize(d)? {
            Raw::Switch(true) => return Ok(Self::ALL),
            Raw::Switch(false) => return Ok(Self::NONE),
            Raw::Names(names) => names,
        };
        names.iter().try_fold(Self::NONE, |Self(bits), name| {
            let index = HEADER_NAMES.iter().position(|known| known == name).ok_or_else(|| {
                de::Error::custom(format!("header {name:?} is not known; there are {}", HEADER_NAMES.join(", ")))
            })?;
            Ok(Self(bits | 1 << index))
        })
    }
}

/// Where rows go within a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partition {
    /// By hash of the primary or unique key.
    #[default]
    Key,
    /// By the message key, as Kafka's own clients do it.
    Murmur2,
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

/// A topic that the settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTopic {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Rows of tables, and mostly their statements.
    Rows,
    /// Statements or transactions, in order: one partition is used.
    Statements,
    /// What was not to be delivered.
    DeadLetters,
}

/// What becomes of a record that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTooLarge {
    /// The delivery parks at it.
    #[default]
    Fail,
    /// It is left out: a gap that is named and counted.
    Skip,
    /// Its largest columns of variable length become NULL, the largest first, until it fits.
    TruncateColumns,
    /// It holds the key's columns only.
    KeyOnly,
    /// It goes to `dead_letter_topic`, compressed and in parts.
    DeadLetter,
}

/// The record's key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MessageKey {
    /// No key.
    #[default]
    None,
    /// `database.table`.
    Table,
    /// The key columns as a JSON object, in key order.
    PrimaryKey,
    /// These columns as a JSON object, in this order.
    Columns(Vec<String>),
}

impl Serialize for MessageKey {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => s.serialize_str("none"),
            Self::Table => s.serialize_str("table"),
            Self::PrimaryKey => s.serialize_str("primary_key"),
            Self::Columns(columns) => columns.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for MessageKey {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "message_key is \"none\", \"table\", \"primary_key\" or a list of columns";
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "\"none\", \"table\", \"primary_key\" or a list of columns")]
        enum Raw {
            Name(String),
            Columns(Vec<String>),
        }
        match Raw::deserialize(d)? {
            Raw::Name(name) if name == "none" => Ok(Self::None),
            Raw::Name(name) if name == "table" => Ok(Self::Table),
            Raw::Name(name) if name == "primary_key" => Ok(Self::PrimaryKey),
            Raw::Columns(columns) if !columns.is_empty() && columns.iter().all(|c| !c.is_empty()) => {
                Ok(Self::Columns(columns))
            }
            _ => Err(de::Error::custom(EXPECTED)),
        }
    }
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
