//! What the command line asks of a relay that runs, over its API.

pub mod bars;
pub mod snapshot;

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use crate::config::Admin;
use crate::failure::Exit;

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Longest wait for a connection to this machine.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The largest answer that is read; a hundred thousand tables fit.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Why the relay did not do what it was asked for.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// The address is none that the API has.
    #[error("--admin {0:?}: write it as http://127.0.0.1:7070")]
    Address(String),
    /// The config lets the system choose the port.
    #[error("admin.listen has port 0: name the one that the relay took with --admin http://127.0.0.1:PORT")]
    NoPort,
    /// It refused, in its own words.
    #[error("{text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its sentence.
        text: String,
    },
    /// It does not answer.
    #[error("no relay answers at {address}: {reason}; start it, or name its API with --admin")]
    Unreached {
        /// Where it was looked for.
        address: String,
        /// Why not.
        reason: String,
    },
    /// Something else answers there.
    #[error("{address} answers {status} and is no relay's API: {reason}")]
    Strange {
        /// Where.
        address: String,
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The answer cannot be shown.
    #[error("write to standard output: {0}")]
    Write(#[from] std::io::Error),
}

impl RemoteError {
    /// How the process ends.
    pub fn exit(&self) -> Exit {
        match self {
            // What was asked for is not there, or cannot be.
            Self::Refused { status: 404 | 422, .. } | Self::Address(_) | Self::NoPort => Exit::Config,
            Self::Refused { .. } | Self::Unreached { .. } | Self::Strange { .. } | Self::Write(_) => Exit::Failed,
        }
    }
}

/// The API of one relay.
#[derive(Debug)]
pub struct Remote {
    agent: ureq::Agent,
    address: String,
}

impl Remote {
    /// The API at `url`, such as `http://127.0.0.1:7070`.
    ///
    /// # Errors
    /// An address that is not plain http: the API speaks no TLS.
    pub fn at(url: &str) -> Result<Self, RemoteError> {
        let url = url.trim_end_matches('/');
        let address = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        if !address.starts_with("http://") || address.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(RemoteError::Address(address));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_global(Some(ANSWER_MAX))
            .build();
        Ok(Self { agent: config.into(), address })
    }

    /// The API that a config sets up.
    ///
    /// # Errors
    /// It leaves the port to the system.
    pub fn of(admin: &Admin) -> Result<Self, RemoteError> {
        if admin.listen.port() == 0 {
            return Err(RemoteError::NoPort);
        }
        Self::at(&admin.listen.to_string())
    }

    /// Reads.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn get(&self, path: &str) -> Result<Value, RemoteError> {
        self.answer(self.agent.get(self.place(path)).call())
    }

    /// Asks for an act.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, RemoteError> {
        self.answer(self.agent.post(self.place(path)).send_json(body))
    }

    fn place(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.address)
    }

    fn answer(&self, response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, RemoteError> {
        let address = || self.address.clone();
        let mut response =
            response.map_err(|e| RemoteError::Unreached { address: address(), reason: e.to_string() })?;
        let status = response.status();
        let body =
            response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_json::<Value>().map_err(|e| {
                RemoteError::Strange { address: address(), status: status.as_u16(), reason: e.to_string() }
            })?;
        if status.is_success() {
            return Ok(body);
        }
        let text = body.get("error").and_then(Value::as_str).map_or_else(|| body.to_string(), str::to_owned);
        Err(RemoteError::Refused { status: status.as_u16(), text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_a_plain_http_api() {
        assert_eq!(Remote::at("127.0.0.1:7070/").unwrap().address, "http://127.0.0.1:7070");
        for wrong in ["https://127.0.0.1:7070", "ftp://x", "http://a b"] {
            assert_eq!(Remote::at(wrong).unwrap_err().exit(), Exit::Config, "{wrong}");
        }
        let admin = Admin { listen: "127.0.0.1:0".parse().unwrap(), ..Admin::default() };
        assert!(matches!(Remote::of(&admin), Err(RemoteError::NoPort)));
        assert_eq!(Remote::of(&Admin::default()).unwrap().address, "http://127.0.0.1:7070");
    }
}
