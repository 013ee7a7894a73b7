//! `[delivery.maxcompute]`: the settings of a delivery into MaxCompute with their defaults.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::client::http::Endpoint;
use super::client::{ClientError, ClientOptions};
use super::compression::Compression;
use super::sign::Credentials;
use crate::config::{FieldError, Secret, Size, Span, parse_zone};
use crate::format::maxcompute::columns::{LEVELS, Level, Naming};
use crate::format::maxcompute::mapping::Types;
use crate::format::maxcompute::row::OnBadDate;

/// Settings of a delivery into MaxCompute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxComputeConfig {
    /// Address of metadata and SQL, with its path.
    pub endpoint: String,
    /// The project that the tables lie in.
    pub project: String,
    /// The schema, in a project that has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Region; requests are signed by version 4 when it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Address of the Tunnel; asked from the service when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel_endpoint: Option<String>,
    /// The quota whose slots uploads use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<String>,
    /// Id of the key.
    pub access_id: String,
    /// The key, from the environment or from `access_key_file`.
    #[serde(skip)]
    pub access_key: Option<Secret>,
    /// File the key is read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_file: Option<PathBuf>,
    /// Token of a temporary key, from the environment or from `sts_token_file`.
    #[serde(skip)]
    pub sts_token: Option<Secret>,
    /// File the token is read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sts_token_file: Option<PathBuf>,
    /// How rows get into the tables.
    #[serde(default)]
    pub mode: Mode,
    /// How blocks are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Bytes after compression, of all tables together, after which they are written.
    #[serde(default = "default_flush_bytes")]
    pub flush_bytes: Size,
    /// Age of the oldest row after which they are written.
    #[serde(default = "default_flush_interval")]
    pub flush_interval: Span,
    /// How the additional columns are named.
    #[serde(default)]
    pub naming: Naming,
    /// Levels of partitions of log tables, the widest first; empty for none.
    #[serde(default = "default_partitions")]
    pub partitions: Vec<Level>,
    /// Zone of the partitions' times.
    #[serde(default = "default_zone")]
    pub partition_zone: String,
    /// What follows a table's name in that of its base table.
    #[serde(default = "default_base_suffix")]
    pub base_suffix: String,
    /// What follows a table's name in that of its log table.
    #[serde(default = "default_log_suffix")]
    pub log_suffix: String,
    /// Days that rows of log tables live; none: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle_days: Option<u32>,
    /// Whether tables and columns that are missing are created.
    #[serde(default = "yes")]
    pub create_tables: bool,
    /// Added to every record id.
    #[serde(default)]
    pub record_id_base: i64,
    /// Which of MaxCompute's types are used.
    #[serde(default)]
    pub types: Types,
    /// Whether JSON columns become JSON.
    #[serde(default)]
    pub maxcompute_json: bool,
    /// Zone in which a reader sees DATETIME as the source shows it; the project's at the first start, UTC when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datetime_zone: Option<String>,
    /// What happens to dates that no calendar has.
    #[serde(default)]
    pub on_bad_date: OnBadDate,
    /// What happens when a column becomes one of another type.
    #[serde(default)]
    pub on_type_change: OnTypeChange,
}

/// How rows get into the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By batch upload sessions, each row once.
    #[default]
    Batch,
}

/// What happens when a column becomes one whose values its column in MaxCompute does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTypeChange {
    /// A column `<name>__v2` of the new type is added, and filled from then on.
    #[default]
    NewColumn,
    /// The same, but it is a STRING, which holds every later type too.
    String,
    /// The table parks.
    Fail,
}

fn default_flush_bytes() -> Size {
    Size::mib(64)
}

fn default_flush_interval() -> Span {
    Span::seconds(60)
}

fn default_partitions() -> Vec<Level> {
    LEVELS[..3].to_vec()
}

fn default_zone() -> String {
    "UTC".to_owned()
}

fn default_base_suffix() -> String {
    "_base".to_owned()
}

fn default_log_suffix() -> String {
    "_log".to_owned()
}

fn yes() -> bool {
    true
}

impl MaxComputeConfig {
    /// Checks what serde cannot.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn validate(&self) -> Result<(), FieldError> {
        let wrong = |field: &str, reason: String| Err(FieldError::new(field, reason));
        let address = |error: ClientError| match error {
            ClientError::Setting { field, reason } => FieldError::new(field, reason),
            other => FieldError::new("endpoint", other.to_string()),
        };
        Endpoint::parse(&self.endpoint, "endpoint").map_err(address)?;
        if let Some(url) = &self.tunnel_endpoint {
            Endpoint::parse(url, "tunnel_endpoint").map_err(address)?;
        }
        let names = [("project", Some(&self.project)), ("schema", self.schema.as_ref())];
        for (field, name) in names.into_iter().filter_map(|(field, name)| Some((field, name?))) {
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return wrong(field, format!("{name:?} is no name: letters, digits and underscores"));
            }
        }
        if self.access_id.is_empty() {
            return wrong("access_id", "it is empty; it is the id of an access key".to_owned());
        }
        if self.access_key.is_none() {
            let reason = "there is no key: set RELAY_DELIVERY_<NAME>_ACCESS_KEY, or name a file with it";
            return wrong("access_key_file", reason.to_owned());
        }
        if self.flush_interval < Span::seconds(1) || self.flush_interval > Span::minutes(60) {
            return wrong("flush_interval", format!("{} is outside 1s to 60min", self.flush_interval));
        }
        if self.flush_bytes < Size::kib(64) || self.flush_bytes > Size::gib(1) {
            return wrong("flush_bytes", format!("{} is outside 64KiB to 1GiB", self.flush_bytes));
        }
        if !LEVELS.starts_with(&self.partitions) {
            let reason = "it must be the first few of [\"year\", \"month\", \"day\", \"hour\", \"minute\"], or []";
            return wrong("partitions", reason.to_owned());
        }
        for (field, suffix) in [("base_suffix", &self.base_suffix), ("log_suffix", &self.log_suffix)] {
            if !suffix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return wrong(field, format!("{suffix:?} is no part of a name: letters, digits and underscores"));
            }
        }
        if self.base_suffix.eq_ignore_ascii_case(&self.log_suffix) {
            return wrong("log_suffix", "it is that of base tables: rows of both would lie in one table".to_owned());
        }
        let zones = [("partition_zone", Some(&self.partition_zone)), ("datetime_zone", self.datetime_zone.as_ref())];
        for (field, zone) in zones.into_iter().filter_map(|(field, zone)| Some((field, zone?))) {
            if parse_zone(zone).is_none() {
                return wrong(
                    field,
                    format!("{zone:?} is no time zone; write \"+08:00\" or a name such as \"Asia/Shanghai\""),
                );
            }
        }
        if self.lifecycle_days == Some(0) {
            return wrong("lifecycle_days", "it is 0; leave it out to keep rows for ever".to_owned());
        }
        if self.record_id_base < 0 {
            return wrong(
                "record_id_base",
                "it is below 0, and base rows count as 0 when tables are merged".to_owned(),
            );
        }
        Ok(())
    }

    /// Zone of the partitions' times.
    pub fn partition_clock(&self) -> TimeZone {
        parse_zone(&self.partition_zone).unwrap_or(TimeZone::UTC)
    }

    /// What the client needs to know.
    pub fn client_options(&self) -> ClientOptions {
        ClientOptions {
            endpoint: self.endpoint.clone(),
            tunnel_endpoint: self.tunnel_endpoint.clone(),
            project: self.project.clone(),
            schema: self.schema.clone(),
            quota: self.quota.clone(),
            region: self.region.clone(),
            credentials: Credentials {
                access_id: self.access_id.clone(),
                access_key: self.access_key.clone().unwrap_or_else(|| Secret::new("")),
                sts_token: self.sts_token.clone(),
            },
            patience: Default::default(),
            authorities: None,
        }
    }
}
