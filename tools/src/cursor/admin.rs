//! The running daemon, by its HTTP API.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::ended::Ended;

/// Where the API listens unless the config says otherwise.
pub(super) const DEFAULT_URL: &str = "http://127.0.0.1:7070";
/// Longest wait for an answer: a reset counts first what it would replay.
const ANSWER_MAX: Duration = Duration::from_secs(600);
/// Longest wait for a connection to this machine.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The largest answer that is read; a hundred thousand cursors fit.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The API of one daemon.
pub(super) struct Admin {
    agent: ureq::Agent,
    url: String,
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The daemon refused: the status and its own sentence.
    Refused(u16, String),
    /// It was not reached, or is no relay.
    Unreached(String),
}

impl From<NoAnswer> for Ended {
    fn from(e: NoAnswer) -> Self {
        match e {
            // What was asked for is not there, or cannot be.
            NoAnswer::Refused(404 | 422, text) => Self::usage(text),
            NoAnswer::Refused(_, text) | NoAnswer::Unreached(text) => Self::failed(text),
        }
    }
}

impl Admin {
    /// The API at `url`, such as `http://127.0.0.1:7070`.
    ///
    /// # Errors
    /// A URL that is not plain http: the API listens on the loopback interface and speaks no TLS.
    pub(super) fn new(url: &str) -> Result<Self, Ended> {
        let url = url.trim_end_matches('/');
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        if !url.starts_with("http://") || url.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(Ended::usage(format_args!("--admin {url:?}: write it as {DEFAULT_URL}")));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_global(Some(ANSWER_MAX))
            .build();
        Ok(Self { agent: config.into(), url })
    }

    /// Reads.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn get(&self, path: &[&str]) -> Result<Value, NoAnswer> {
        self.answer(self.agent.get(self.place(path)).call())
    }

    /// Asks for an act.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn post(&self, path: &[&str], body: &Value) -> Result<Value, NoAnswer> {
        self.answer(self.agent.post(self.place(path)).send_json(body))
    }

    /// Asks for a removal.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn delete(&self, path: &[&str]) -> Result<Value, NoAnswer> {
        self.answer(self.agent.delete(self.place(path)).header("content-type", "application/json").call())
    }

    fn place(&self, path: &[&str]) -> String {
        let path: Vec<String> =
            path.iter().map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string()).collect();
        format!("{}/api/v1/{}", self.url, path.join("/"))
    }

    fn answer(&self, response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, NoAnswer> {
        let mut response = response.map_err(|e| {
            NoAnswer::Unreached(format!("no relay answers at {}: {e}; for a stopped one give --store DIR", self.url))
        })?;
        let status = response.status();
        let body =
            response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_json::<Value>().map_err(|e| {
                NoAnswer::Unreached(format!("{} answers {status} and is no relay's API: {e}", self.url))
            })?;
        if status.is_success() {
            return Ok(body);
        }
        let text = body.get("error").and_then(Value::as_str).map_or_else(|| body.to_string(), str::to_owned);
        Err(NoAnswer::Refused(status.as_u16(), text))
    }
}
