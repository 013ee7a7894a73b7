//! `[[delivery]]`: one cursor and its sink; what every delivery has, whatever its sink.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::objects::{CasePolicy, DdlOp, DmlOp, NameMap, Objects, TableRule};
use super::transform::{self, Transform};
use super::{Alert, Environment, FieldError, LaggingCursor, Retention, Span, Throttle, check_name, find_secret};
use crate::etl::OnError;
use crate::filter::FilterImages;
use crate::format::FormatName;
use crate::log::address::Address;
use crate::selection::TablePatterns;
use crate::sink::kafka::config::KafkaConfig;
use crate::sink::maxcompute::config::MaxComputeConfig;

/// Threads that may decode and encode for one delivery.
const WORKERS_MAX: usize = 64;
/// Name of the delivery that stands in when the file has none.
pub const STANDARD_OUTPUT: &str = "stdout";

/// One delivery: its cursor bears its name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delivery {
    /// Name of the delivery and of its cursor.
    pub name: String,
    /// Where its cursor is created; without meaning once it exists.
    pub start: Address,
    /// What of the log is delivered.
    #[serde(serialize_with = "print_tables")]
    pub tables: TablePatterns,
    /// What it does with them.
    #[serde(flatten)]
    pub objects: Objects,
    /// Which rows leave, and what becomes of them.
    #[serde(flatten)]
    pub transform: Transform,
    /// Whether it waits, its cursor holding its place.
    pub paused: bool,
    /// What happens when retention's limits would overtake its cursor.
    pub lagging_cursor: LaggingCursor,
    /// What is thought of a topic of one table that holds records before the delivery's first.
    pub on_conflict: OnConflict,
    /// For how long failures are retried.
    pub retry: Retry,
    /// Whether it tries again every 60 s after the retry window ended.
    pub auto_resume: bool,
    /// How much it may write a second.
    pub throttle: Throttle,
    /// Where its states and thresholds are posted.
    pub alert: Alert,
    /// Blocks decoded and encoded at the same time; they are delivered in order all the same.
    pub workers: usize,
    /// Where the changes go.
    #[serde(flatten)]
    pub kind: SinkConfig,
}

/// Where the changes of a delivery go.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkConfig {
    /// Kafka topics.
    Kafka(Box<KafkaConfig>),
    /// Tables of MaxCompute.
    MaxCompute(Box<MaxComputeConfig>),
    /// JSON lines in a file or on standard output.
    File(FileConfig),
}

impl SinkConfig {
    /// The settings of a Kafka sink.
    fn kafka(&self) -> Option<&KafkaConfig> {
        match self {
            Self::Kafka(kafka) => Some(kafka),
            Self::MaxCompute(_) | Self::File(_) => None,
        }
    }

    /// The kind's name, as its section is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
            Self::MaxCompute(_) => "maxcompute",
            Self::File(_) => "file",
        }
    }
}

/// What is thought of a destination that holds something before a delivery begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// It holds up the start.
    #[default]
    Report,
    /// It is added to.
    Proceed,
}

/// JSON lines in a file or on standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The file, appended to; `-` is standard output.
    pub path: PathBuf,
    /// Format of a line.
    #[serde(default)]
    pub format: FormatName,
}

/// For how long failures are retried: connection failures, and all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Retry {
    /// Failures to reach the other side; 10 to 1,440 minutes or for ever.
    pub connection: Window,
    /// Other transient failures; 1 to 1,440 minutes, shorter than `connection`.
    pub other: Window,
}

/// How long retrying goes on before the state becomes `failed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// This long, from the first failure.
    For(Duration),
    /// Until it works.
    Forever,
}

impl Default for Retry {
    fn default() -> Self {
        Self { connection: Window::For(Span::minutes(720).0), other: Window::For(Span::minutes(10).0) }
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::For(d) => Span(*d).serialize(s),
            Self::Forever => s.serialize_str("forever"),
        }
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if text == "forever" {
            return Ok(Self::Forever);
        }
        Span::parse(&text).map(|s| Self::For(s.0)).map_err(|e| de::Error::custom(format!("{e} or \"forever\"")))
    }
}

/// `retry` as it stands in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRetry {
    connection: Option<Window>,
    other: Option<Window>,
}

impl RawRetry {
    pub(super) fn resolve(self) -> Result<Retry, FieldError> {
        let default = Retry::default();
        let retry = Retry {
            connection: self.connection.unwrap_or(default.connection),
            other: self.other.unwrap_or(default.other),
        };
        for (field, window, least) in [("connection", retry.connection, 10), ("other", retry.other, 1)] {
            let Window::For(d) = window else { continue };
            if d < Span::minutes(least).0 || d > Span::minutes(1440).0 {
                let reason = format!("{} is outside {least}min to 1440min; \"forever\" is allowed too", Span(d));
                return Err(FieldError::new(format!("retry.{field}"), reason));
            }
        }
        let below = match (retry.other, retry.connection) {
            (_, Window::Forever) => true,
            (Window::Forever, Window::For(_)) => false,
            (Window::For(other), Window::For(connection)) => other < connection,
        };
        if !below {
            return Err(FieldError::new("retry.other", "it must be shorter than retry.connection"));
        }
        Ok(retry)
    }
}

/// The section as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    name: String,
    start: Option<Address>,
    #[serde(default)]
    tables: Vec<String>,
    dml_op: Option<BTreeSet<DmlOp>>,
    ddl_op: Option<BTreeSet<DdlOp>>,
    #[serde(default)]
    map: NameMap,
    #[serde(default)]
    case_policy: CasePolicy,
    #[serde(default)]
    table: Vec<TableRule>,
    filter: Option<String>,
    #[serde(default)]
    filter_images: FilterImages,
    etl: Option<String>,
    etl_file: Option<PathBuf>,
    #[serde(default)]
    etl_on_error: OnError,
    #[serde(default)]
    etl_ddl: bool,
    #[serde(default)]
    etl_secrets: BTreeMap<String, PathBuf>,
    #[serde(default)]
    paused: bool,
    lagging_cursor: Option<LaggingCursor>,
    #[serde(default)]
    on_conflict: OnConflict,
    #[serde(default)]
    retry: RawRetry,
    auto_resume: Option<bool>,
    #[serde(default)]
    throttle: Throttle,
    #[serde(default)]
    alert: super::alert::Raw,
    workers: Option<usize>,
    kafka: Option<Box<KafkaConfig>>,
    maxcompute: Option<Box<MaxComputeConfig>>,
    file: Option<FileConfig>,
}

impl Raw {
    pub(super) fn resolve(
        self,
        log: &Retention,
        alert: &Alert,
        environment: Environment<'_>,
    ) -> Result<Delivery, FieldError> {
        check_name(&self.name).map_err(|reason| FieldError::new("name", reason))?;
        let tables = TablePatterns::parse(&self.tables).map_err(|e| FieldError::new("tables", e.to_string()))?;
        let workers = self.workers.unwrap_or(DEFAULT_WORKERS);
        super::within("workers", workers, 1, WORKERS_MAX)?;
        self.throttle.validate().map_err(|e| e.within("throttle"))?;
        let variable = format!("RELAY_DELIVERY_{}_WEBHOOK", variable_part(&self.name));
        let alert = self.alert.resolve(alert, &variable, environment).map_err(|e| e.within("alert"))?;
        let kind = match (self.kafka, self.maxcompute, self.file) {
            (Some(mut kafka), None, None) => {
                let variable = format!("RELAY_DELIVERY_{}_PASSWORD", variable_part(&self.name));
                kafka.password = find_secret(environment, &variable, kafka.password_file.as_deref())
                    .map_err(|reason| FieldError::new("kafka.password_file", reason))?;
                kafka.settle();
                kafka.validate().map_err(|e| e.within("kafka"))?;
                SinkConfig::Kafka(kafka)
            }
            (None, Some(mut maxcompute), None) => {
                let variable = |part| format!("RELAY_DELIVERY_{}_{part}", variable_part(&self.name));
                let secret = |part, file: &Option<PathBuf>| find_secret(environment, &variable(part), file.as_deref());
                maxcompute.access_key = secret("ACCESS_KEY", &maxcompute.access_key_file)
                    .map_err(|reason| FieldError::new("maxcompute.access_key_file", reason))?;
                maxcompute.sts_token = secret("STS_TOKEN", &maxcompute.sts_token_file)
                    .map_err(|reason| FieldError::new("maxcompute.sts_token_file", reason))?;
                maxcompute.validate().map_err(|e| e.within("maxcompute"))?;
                SinkConfig::MaxCompute(maxcompute)
            }
            (None, None, Some(file)) => {
                if file.path.as_os_str().is_empty() {
                    return Err(FieldError::new("file.path", "it is empty; \"-\" is standard output"));
                }
                if file.format == FormatName::DtsAvro {
                    return Err(FieldError::new("file.format", "a file has lines: choose one of the JSON formats"));
                }
                SinkConfig::File(file)
            }
            (None, None, None) => {
                let reason = "it has no sink; add [delivery.kafka], [delivery.maxcompute] or [delivery.file]";
                return Err(FieldError::new("", reason));
            }
            _ => {
                return Err(FieldError::new("", "it has two sinks; make it two deliveries"));
            }
        };
        let all = Objects::default();
        let objects = Objects {
            dml_op: self.dml_op.unwrap_or(all.dml_op),
            ddl_op: self.ddl_op.unwrap_or(all.ddl_op),
            map: self.map,
            case_policy: self.case_policy,
            rules: self.table,
        };
        objects.validate(kind.kafka())?;
        if self.etl_on_error == OnError::DeadLetter
            && kind.kafka().is_none_or(|kafka| kafka.dead_letter_topic.is_none())
        {
            let reason = "dead letters need a topic: set dead_letter_topic of a Kafka delivery";
            return Err(FieldError::new("etl_on_error", reason));
        }
        let transform = transform::Raw {
            filter: self.filter,
            filter_images: self.filter_images,
            etl: self.etl,
            etl_file: self.etl_file,
            etl_on_error: self.etl_on_error,
            etl_ddl: self.etl_ddl,
            etl_secrets: self.etl_secrets,
        };
        Ok(Delivery {
            name: self.name,
            start: self.start.unwrap_or(Address::Earliest),
            tables,
            objects,
            transform: transform.resolve(environment)?,
            paused: self.paused,
            lagging_cursor: self.lagging_cursor.unwrap_or(log.lagging_cursor),
            on_conflict: self.on_conflict,
            retry: self.retry.resolve()?,
            auto_resume: self.auto_resume.unwrap_or(true),
            throttle: self.throttle,
            alert,
            workers,
            kind,
        })
    }
}

const DEFAULT_WORKERS: usize = 2;

impl Delivery {
    /// Whether another config of this delivery differs at most in what a running one takes over as it goes.
    pub fn differs_in_tuning_only(&self, other: &Self) -> bool {
        Self { throttle: other.throttle, alert: other.alert.clone(), ..self.clone() } == *other
    }

    /// What runs when the file names no delivery: everything, as JSON lines on standard output.
    pub(super) fn standard_output(log: &Retention, alert: &Alert) -> Self {
        Self {
            name: STANDARD_OUTPUT.to_owned(),
            start: Address::Earliest,
            tables: TablePatterns::all(),
            objects: Objects::default(),
            transform: Transform::default(),
            paused: false,
            lagging_cursor: log.lagging_cursor,
            on_conflict: OnConflict::default(),
            retry: Retry::default(),
            auto_resume: true,
            throttle: Throttle::default(),
            alert: alert.clone(),
            workers: DEFAULT_WORKERS,
            kind: SinkConfig::File(FileConfig { path: PathBuf::from("-"), format: FormatName::CanalJson }),
        }
    }
}

fn print_tables<S: Serializer>(tables: &TablePatterns, s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(tables.texts())
}

/// A delivery's name as part of an environment variable: upper case, anything else than letters and digits `_`.
pub(super) fn variable_part(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}
