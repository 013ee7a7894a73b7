//! Every setting: from the file, by way of its raw form, to values the rest of the code can trust. All
//! defaults live in this module; an error names the file, the line and the field, and what to write instead.

mod alert;
mod delivery;
mod document;
mod log;
pub mod objects;
mod secret;
mod snapshot;
mod source;
mod throttle;
pub mod transform;
mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use alert::{Alert, Webhook, authorities};
pub use delivery::{Delivery, FileConfig, OnConflict, Retry, STANDARD_OUTPUT, SinkConfig, Window};
pub use log::{Codec, LaggingCursor, Log, Retention};
pub use secret::Secret;
pub use snapshot::{Snapshot, SnapshotMode};
pub use source::{Resume, Source, SourceStart, TableId, Tls, TlsMode, parse_zone};
pub use throttle::Throttle;
pub use units::{Size, Span};

use document::{Document, line_at};

/// The whole configuration, validated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// Name of this relay: a label in status, metrics and alerts, and in the headers of records.
    pub name: String,
    /// Environment tag: a label in the same places; empty for none.
    pub environment: String,
    /// How the daemon logs.
    pub logging: Logging,
    /// The server that is captured.
    pub source: Source,
    /// The durable log.
    pub log: Log,
    /// The copy of rows that were there before.
    pub snapshot: Snapshot,
    /// The HTTP API.
    pub admin: Admin,
    /// Where states and thresholds are posted.
    pub alert: Alert,
    /// One per cursor; at least one: standard output when the file names none.
    #[serde(rename = "delivery")]
    pub deliveries: Vec<Delivery>,
}

/// How the daemon logs, on standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Logging {
    /// Shape of a line.
    pub format: LogFormat,
    /// The least level that is written; `RELAY_LOG` overrides it with filters by module.
    pub level: LogLevel,
}

impl Default for Logging {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: LogLevel::Info }
    }
}

/// Shape of a line of the daemon's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The HTTP API. It speaks no TLS, so it listens on loopback addresses only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Where it listens: a loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Host names, besides the loopback ones, that a request may carry in its `Host` header.
    pub hosts: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 7070)), hosts: Vec::new() }
    }
}

/// A configuration that cannot be used. Its text is one sentence with the next step.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config file {}: {error}; name it with --config", path.display())]
    Read {
        /// The file as it was named.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// Something in it is wrong.
    #[error(transparent)]
    Invalid(Box<Invalid>),
}

/// What is wrong in a config file, and where.
#[derive(Debug, Error)]
#[error("{}{}: {}{reason}", path.display(), line.map(|n| format!(":{n}")).unwrap_or_default(),
    field.as_deref().map(|f| format!("{f}: ")).unwrap_or_default())]
pub struct Invalid {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, where the field stands, or would.
    pub line: Option<usize>,
    /// The field, such as `delivery[1].kafka.topic`; none when the file as a whole is wrong.
    pub field: Option<String>,
    /// What is wrong with it and what to write instead.
    pub reason: String,
}

/// A value that is wrong in itself or beside another; the file and line are added by who knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field, relative to the section that is validated.
    pub field: String,
    /// What is wrong with it and what to write instead.
    pub reason: String,
}

impl FieldError {
    /// Names a field and what is wrong with it.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// The same error seen from the section around.
    #[must_use]
    pub fn within(mut self, section: &str) -> Self {
        self.field = if self.field.is_empty() { section.to_owned() } else { format!("{section}.{}", self.field) };
        self
    }
}

/// Where secrets come from besides files: the environment, or a test's stand-in for it.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The file as it stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Option<String>,
    #[serde(default)]
    environment: String,
    #[serde(default)]
    logging: Logging,
    source: source::Raw,
    #[serde(default)]
    log: Log,
    #[serde(default)]
    snapshot: Snapshot,
    #[serde(default)]
    admin: Admin,
    #[serde(default)]
    alert: alert::Raw,
    #[serde(default)]
    delivery: Vec<delivery::Raw>,
}

impl Config {
    /// Reads and validates a config file; secrets come from the process's environment or from files.
    ///
    /// # Errors
    /// A file that cannot be read, or the first thing in it that is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        Self::parse(&text, path, &|name| std::env::var(name).ok())
    }

    /// Validates the text of a config file; `path` is only what errors name.
    ///
    /// # Errors
    /// The first thing in it that is wrong.
    pub fn parse(text: &str, path: &Path, environment: Environment<'_>) -> Result<Self, ConfigError> {
        let invalid = |line, field, reason| {
            ConfigError::Invalid(Box::new(Invalid { path: path.to_owned(), line, field, reason }))
        };
        let document = Document::parse(text).map_err(|e| {
            let line = e.span().map(|s| line_at(text, s.start));
            invalid(line, None, format!("not valid TOML: {}", e.message().replace('\n', ", ")))
        })?;
        let raw: Raw = toml::from_str(text).map_err(|e| {
            let span = e.span().unwrap_or(0..0);
            let field = document.field_at(&span);
            let line = field.is_some().then(|| line_at(text, span.start));
            invalid(line, field, explain(e.message()))
        })?;
        Self::resolve(raw, environment)
            .map_err(|e| invalid(document.line_of(&e.field), Some(e.field).filter(|f| !f.is_empty()), e.reason))
    }

    fn resolve(mut raw: Raw, environment: Environment<'_>) -> Result<Self, FieldError> {
        let name = raw.name.take().unwrap_or_else(host_name);
        check_name(&name).map_err(|reason| FieldError::new("name", reason))?;
        raw.log.validate().map_err(|e| e.within("log"))?;
        raw.snapshot.validate().map_err(|e| e.within("snapshot"))?;
        validate_admin(&raw.admin).map_err(|e| e.within("admin"))?;
        let source = std::mem::take(&mut raw.source).resolve(&name, environment).map_err(|e| e.within("source"))?;
        let alert = std::mem::take(&mut raw.alert).resolve(&Alert::default(), "RELAY_ALERT_WEBHOOK", environment);
        let alert = alert.map_err(|e| e.within("alert"))?;
        let mut deliveries: Vec<Delivery> = Vec::with_capacity(raw.delivery.len().max(1));
        for (i, delivery) in std::mem::take(&mut raw.delivery).into_iter().enumerate() {
            let section = format!("delivery[{i}]");
            let delivery = delivery.resolve(&raw.log.retention, &alert, environment).map_err(|e| e.within(&section))?;
            if deliveries.iter().any(|d| d.name == delivery.name) {
                let reason = format!("two deliveries are called {:?}; each needs a name of its own", delivery.name);
                return Err(FieldError::new("name", reason).within(&section));
            }
            deliveries.push(delivery);
        }
        if deliveries.is_empty() {
            deliveries.push(Delivery::standard_output(&raw.log.retention, &alert));
        }
        let Raw { environment, logging, log, snapshot, admin, .. } = raw;
        Ok(Self { name, environment, logging, source, log, snapshot, admin, alert, deliveries })
    }

    /// The effective settings as TOML, secrets as `***`.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every setting has a form in TOML")
    }
}

/// Adds the next step to what the deserialiser says.
fn explain(message: &str) -> String {
    let message = message.replace('\n', ", ");
    if message.starts_with("unknown field `password`") {
        return "a password does not stand in the config file: use the environment or password_file".to_owned();
    }
    if message.starts_with("unknown field `access_key`") || message.starts_with("unknown field `sts_token`") {
        return "a key does not stand in the config file: use the environment or access_key_file, sts_token_file"
            .to_owned();
    }
    if message == "missing field `source`" {
        return "there is no [source]; write at least: [source] url = \"mysql://user@host:3306\"".to_owned();
    }
    message
}

/// Whether `name` may name a relay, a delivery or a cursor: it becomes a label, a header and a part of a path in
/// the API.
///
/// # Errors
/// What such names look like.
pub fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fine) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name: 1 to 64 of the letters A-Z a-z, digits, dot, underscore and hyphen, beginning with a letter or digit"
    ))
}

/// This machine's name, made fit for a label.
fn host_name() -> String {
    let system = rustix::system::uname();
    let raw = system.nodename().to_string_lossy();
    let mut name: String =
        raw.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).take(64).collect();
    if check_name(&name).is_err() {
        name = "relay".to_owned();
    }
    name
}

/// A secret from the environment, else from a file; `None` when neither is there.
fn find_secret(environment: Environment<'_>, variable: &str, file: Option<&Path>) -> Result<Option<Secret>, String> {
    match (environment(variable), file) {
        (Some(text), _) => Ok(Some(Secret::new(text))),
        (None, Some(path)) => Secret::read_file(path).map(Some),
        (None, None) => Ok(None),
    }
}

/// Refuses a value outside `least` to `most`, both included.
fn within<T: PartialOrd + std::fmt::Display>(field: &str, value: T, least: T, most: T) -> Result<(), FieldError> {
    if value < least || value > most {
        return Err(FieldError::new(field, format!("{value} is outside {least} to {most}")));
    }
    Ok(())
}

fn validate_admin(admin: &Admin) -> Result<(), FieldError> {
    if !admin.listen.ip().is_loopback() {
        let reason = format!(
            "{} is not a loopback address, and the API speaks no TLS and asks for no token: \
             listen on 127.0.0.1 or [::1] and put a proxy with both in front",
            admin.listen
        );
        return Err(FieldError::new("listen", reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
