//! The schema registry: gives a schema its id, by the REST interface of Confluent's registry, which Apicurio, Karapace
//! and Redpanda speak as well. And the frame that carries the id in front of each record.
//!
//! Calls block: an asynchronous caller gives them a thread. Each id is asked for once and remembered.

mod answer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use ureq::http::Response;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

use super::text::write_base64;
use crate::failure::{Class, Failure};

/// How a subject is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectStrategy {
    /// `<topic>-value`.
    #[default]
    Topic,
    /// The full name of the schema.
    Record,
    /// `<topic>-<full name of the schema>`.
    TopicRecord,
}

impl SubjectStrategy {
    /// The subject of records of the schema `record` in `topic`.
    pub fn subject(self, topic: &str, record: &str) -> String {
        match self {
            Self::Topic => format!("{topic}-value"),
            Self::Record => record.to_owned(),
            Self::TopicRecord => format!("{topic}-{record}"),
        }
    }
}

/// The settings, by the names they have in the config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryOptions {
    /// `http://` or `https://`, host, maybe a port and a path.
    pub url: String,
    /// How subjects are named.
    #[serde(default)]
    pub subject: SubjectStrategy,
    /// Whether schemas are registered; else they are only looked up.
    #[serde(default = "registers")]
    pub register: bool,
    /// User for basic authentication.
    #[serde(default)]
    pub username: Option<String>,
    /// File with the user's password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// PEM file with the only authorities whose certificates are believed; without one, the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

fn registers() -> bool {
    true
}

/// How long calls may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until there is a connection, TLS included.
    pub connect: Duration,
    /// For the whole call.
    pub call: Duration,
}

impl Default for Patience {
    /// A registry that needs longer is taken for one that is down; the call is made again.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), call: Duration::from_secs(15) }
    }
}

/// Why there is no id.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The settings cannot be used.
    #[error("schema registry: {field}: {reason}")]
    Setting {
        /// Which one.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// No answer: refused, reset, timed out, name not found.
    #[error("schema registry {url}: {reason}")]
    Unreachable {
        /// Which registry.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The registry's certificate is not to be believed.
    #[error("schema registry {url}: {reason}")]
    Certificate {
        /// Which registry.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is there and has a problem of its own (status 408, 429, 5xx).
    #[error("schema registry answers {status}: {message}")]
    Busy {
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// It wants another user or password (401, 403).
    #[error("schema registry answers {status} for subject {subject}: {message}")]
    Denied {
        /// HTTP status.
        status: u16,
        /// The subject.
        subject: String,
        /// Its words.
        message: String,
    },
    /// It will not take the schema under this subject (409, 422, and any other status that says no).
    #[error("schema registry refuses the schema of subject {subject} with {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The subject.
        subject: String,
        /// Its words.
        message: String,
    },
    /// Looked up only, and there is no such subject, or it does not have this schema (404).
    #[error("schema registry has no such schema under subject {subject}: {message}")]
    Unknown {
        /// The subject.
        subject: String,
        /// Its words.
        message: String,
    },
    /// What answers is no schema registry, or one that speaks another interface.
    #[error("schema registry {url} gives an answer that is none: {reason}")]
    Answer {
        /// Which registry.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Failure for RegistryError {
    fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } => Class::Transient,
            Self::Setting { .. }
            | Self::Certificate { .. }
            | Self::Denied { .. }
            | Self::Refused { .. }
            | Self::Unknown { .. }
            | Self::Answer { .. } => Class::Definite,
        }
    }

    fn next_step(&self) -> Option<String> {
        let step = match self {
            Self::Unreachable { .. } | Self::Busy { .. } => return None,
            Self::Setting { field, .. } => format!("correct registry.{field}"),
            Self::Certificate { .. } => "give the authority of its certificate as registry.ca_file".to_owned(),
            Self::Denied { .. } => "check registry.username and registry.password_file".to_owned(),
            Self::Refused { status: 409, subject, .. } => {
                format!(
                    "the subject {subject} holds another schema: delete it there, or choose another registry.subject"
                )
            }
            Self::Refused { .. } => "see what the registry says of the schema".to_owned(),
            Self::Unknown { subject, .. } => {
                format!("register the schema under {subject}, or set registry.register = true")
            }
            Self::Answer { .. } => "check registry.url, its path too (Apicurio: /apis/ccompat/v7)".to_owned(),
        };
        Some(step)
    }

    fn is_connection(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// How a schema stands with a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is registered there, with this id.
    Registered(u32),
    /// It is not, and goes with what is.
    Fits,
    /// There is no such subject.
    New,
}

/// The first byte of a framed record.
const MAGIC: u8 = 0;

/// Appends what stands in front of each record: a zero byte, and the id of its schema, big-endian.
pub fn write_frame(id: u32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&id.to_be_bytes());
}

/// What a subject's name must not show in a path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Most ids remembered; all are forgotten beyond, and asked for again.
const IDS_MAX: usize = 16_384;

/// One registry. Cheap to clone; clones share what they know.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

struct Shared {
    agent: Agent,
    url: String,
    subject: SubjectStrategy,
    register: bool,
    /// The header's whole value.
    authorization: Option<String>,
    ids: Mutex<HashMap<String, u32>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("url", &self.url).field("register", &self.register).finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry as the settings say. Reads the files that they name; asks nobody yet.
    ///
    /// # Errors
    /// [`RegistryError::Setting`].
    pub fn new(options: &RegistryOptions, patience: Patience) -> Result<Self, RegistryError> {
        let url = check_url(&options.url)?;
        let authorization = authorization(options)?;
        let mut tls = TlsConfig::builder();
        if let Some(path) = &options.ca_file {
            tls = tls.root_certs(RootCerts::new_with_certs(&authorities(path)?));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(patience.connect))
            .timeout_global(Some(patience.call))
            .max_redirects(0)
            .tls_config(tls.build())
            .user_agent(concat!("relay/", env!("CARGO_PKG_VERSION")))
            .build();
        let (subject, register) = (options.subject, options.register);
        let ids = Mutex::default();
        Ok(Self { shared: Arc::new(Shared { agent: config.into(), url, subject, register, authorization, ids }) })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// The subject of records of the schema `record` in `topic`.
    pub fn subject(&self, topic: &str, record: &str) -> String {
        self.shared.subject.subject(topic, record)
    }

    /// The subject's id, when it was asked for before. Does not block.
    pub fn known(&self, subject: &str) -> Option<u32> {
        self.ids().get(subject).copied()
    }

    /// The id of `schema` under `subject`: registered when that is asked for, else looked up. Blocks, at most as long
    /// as the registry's patience.
    ///
    /// # Errors
    /// See [`RegistryError`]; a transient one is worth another call.
    pub fn id(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        if let Some(id) = self.known(subject) {
            return Ok(id);
        }
        let id = self.ask(subject, schema)?;
        let mut ids = self.ids();
        if ids.len() >= IDS_MAX {
            ids.clear();
        }
        ids.insert(subject.to_owned(), id);
        Ok(id)
    }

    fn ids(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        // Only whole entries are put in.
        self.shared.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How `schema` stands with `subject`, without registering anything. Blocks, at most twice as long as the registry's
    /// patience.
    ///
    /// # Errors
    /// As [`Registry::id`] would meet them, as far as they can be foreseen.
    pub fn standing(&self, subject: &str, schema: &str) -> Result<Standing, RegistryError> {
        let name = utf8_percent_encode(subject, IN_PATH);
        let found = self.post(&format!("subjects/{name}"), schema)?;
        match answer::id(&self.shared.url, subject, false, found) {
            Err(RegistryError::Unknown { .. }) if self.shared.register => {}
            outcome => return outcome.map(Standing::Registered),
        }
        let judged = self.post(&format!("compatibility/subjects/{name}/versions/latest"), schema)?;
        answer::fits(&self.shared.url, subject, judged).map(|fits| if fits { Standing::Fits } else { Standing::New })
    }

    fn ask(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let name = utf8_percent_encode(subject, IN_PATH);
        let versions = if self.shared.register { "/versions" } else { "" };
        let response = self.post(&format!("subjects/{name}{versions}"), schema)?;
        answer::id(&self.shared.url, subject, self.shared.register, response)
    }

    fn post(&self, path: &str, schema: &str) -> Result<Response<Body>, RegistryError> {
        let shared = &self.shared;
        let mut request = shared
            .agent
            .post(format!("{}/{path}", shared.url))
            .header("Accept", "application/vnd.schemaregistry.v1+json, application/json")
            .header("Content-Type", "application/vnd.schemaregistry.v1+json");
        if let Some(authorization) = &shared.authorization {
            request = request.header("Authorization", authorization);
        }
        // Without `schemaType` it is Avro, for registries that know no other as well.
        let body = serde_json::json!({ "schema": schema }).to_string();
        request.send(body.as_bytes()).map_err(|error| answer::transport(&shared.url, &error))
    }
}

/// The address without a slash at its end.
fn check_url(url: &str) -> Result<String, RegistryError> {
    let wrong = |reason: &str| RegistryError::Setting { field: "url", reason: reason.to_owned() };
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or_else(|| wrong("it begins with neither http:// nor https://"))?;
    let host = rest.split('/').next().unwrap_or_default();
    if host.contains('@') {
        return Err(wrong("it holds a user: that is registry.username, with registry.password_file"));
    }
    if host.is_empty() || rest.contains(['?', '#']) || rest.contains(char::is_whitespace) {
        return Err(wrong("it is a host, maybe with a port and a path"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn authorization(options: &RegistryOptions) -> Result<Option<String>, RegistryError> {
    let wrong = |field, reason: String| RegistryError::Setting { field, reason };
    let (username, path) = match (&options.username, &options.password_file) {
        (None, None) => return Ok(None),
        (Some(username), Some(path)) => (username, path),
        (Some(_), None) => return Err(wrong("password_file", "it is needed with username".to_owned())),
        (None, Some(_)) => return Err(wrong("username", "it is needed with password_file".to_owned())),
    };
    if username.contains(':') {
        return Err(wrong("username", "basic authentication allows no colon in it".to_owned()));
    }
    let password = std::fs::read_to_string(path)
        .map_err(|error| wrong("password_file", format!("read {}: {error}", path.display())))?;
    let mut header = b"Basic ".to_vec();
    write_base64(format!("{username}:{}", password.trim_end_matches(['\r', '\n'])).as_bytes(), &mut header);
    String::from_utf8(header).map(Some).map_err(|_| wrong("password_file", "it is not text".to_owned()))
}

fn authorities(path: &std::path::Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let wrong = |reason: String| RegistryError::Setting { field: "ca_file", reason };
    let pem = std::fs::read(path).map_err(|error| wrong(format!("read {}: {error}", path.display())))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) =
            item.map_err(|error| wrong(format!("{}: {error}", path.display())))?
        {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(wrong(format!("{} holds no certificate", path.display())));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests;
