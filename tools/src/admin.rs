//! The running daemon, by its HTTP API.

use std::time::Duration;

use serde_json::Value;

use crate::end::Failed;

/// Longest wait for an answer: a reset may count a long replay first.
const ANSWER_MAX: Duration = Duration::from_secs(600);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The API of one daemon.
pub struct Admin {
    agent: ureq::Agent,
    url: String,
}

impl Admin {
    /// The API at `url`, such as `http://127.0.0.1:7070`.
    ///
    /// # Errors
    /// A URL that is not plain http.
    pub fn new(url: &str) -> Result<Self, Failed> {
        let url = url.trim_end_matches('/');
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        if !url.starts_with("http://") {
            return Err(Failed::usage(format!("--admin {url}: only http:// is spoken; name the loopback address")));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_global(Some(ANSWER_MAX))
            .build();
        Ok(Self { agent: config.into(), url })
    }

    /// Reads.
    ///
    /// # Errors
    /// No answer, or a refusal: the daemon's own sentence.
    pub fn get(&self, path: &str) -> Result<Value, Failed> {
        let url = format!("{}/api/v1/{path}", self.url);
        self.answer(self.agent.get(&url).call())
    }

    /// Asks for an act.
    ///
    /// # Errors
    /// No answer, or a refusal: the daemon's own sentence.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failed> {
        let url = format!("{}/api/v1/{path}", self.url);
        self.answer(self.agent.post(&url).send_json(body))
    }

    /// Asks for a removal.
    ///
    /// # Errors
    /// No answer, or a refusal: the daemon's own sentence.
    pub fn delete(&self, path: &str) -> Result<Value, Failed> {
        let url = format!("{}/api/v1/{path}", self.url);
        self.answer(self.agent.delete(&url).header("content-type", "application/json").call())
    }

    fn answer(&self, response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, Failed> {
        let mut response = response.map_err(|e| {
            Failed::new(format!("no relay answers at {}: {e}; for a stopped one give --store DIR", self.url))
        })?;
        let refused = !response.status().is_success();
        let body: Value = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_json()
            .map_err(|e| Failed::new(format!("{} answers what is not this API: {e}", self.url)))?;
        if !refused {
            return Ok(body);
        }
        let text = body.get("error").and_then(Value::as_str).map_or_else(|| body.to_string(), str::to_owned);
        Err(Failed::new(text))
    }
}

/// A name as a part of a path.
pub fn segment(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}
