//! One signed request and its answer.
//!
//! The HTTP client is `ureq`, as for the schema registry and the webhook: it makes a request once, follows nothing and
//! repeats nothing by itself, which commits depend on; bodies lie in memory as whole blocks, so that nothing is gained
//! by an asynchronous one. Calls block: an asynchronous caller gives them a thread.

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::http::{Method, Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, SendBody};

use super::error::{ClientError, Refusal};
use super::xml::Element;
use crate::sink::maxcompute::sign::{Signer, http_date, string_to_sign};

/// What we call ourselves.
const USER_AGENT: &str = concat!("relay/", env!("CARGO_PKG_VERSION"));
/// Most bytes of an answer: the metadata of a table with 1,200 columns is far below, as are 20,000 blocks of a session.
const ANSWER_MAX: u64 = 16 << 20;
/// Most characters of the service's words in an error.
const WORDS_MAX: usize = 1000;

/// Characters that stand for themselves in paths and parameters.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &PLAIN.remove(b'/');

/// How long calls may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until there is a connection, TLS included.
    pub connect: Duration,
    /// For the request to be taken, and for its answer to begin, each.
    pub answer: Duration,
}

impl Default for Patience {
    /// Those of the vendor's client: the service drops a block that stands still for 120 s by itself.
    fn default() -> Self {
        Self { connect: Duration::from_secs(30), answer: Duration::from_secs(300) }
    }
}

/// Where a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: &'static str,
    host: String,
    /// Before every path, and not signed.
    prefix: String,
}

impl Endpoint {
    /// Reads an address: scheme, host, maybe a port and a path.
    ///
    /// # Errors
    /// [`ClientError::Setting`], naming `field`.
    pub fn parse(url: &str, field: &'static str) -> Result<Self, ClientError> {
        let wrong = |reason: &str| ClientError::Setting { field, reason: reason.to_owned() };
        let (scheme, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => ("http", rest),
            (_, Some(rest)) => ("https", rest),
            _ => return Err(wrong("it begins with neither http:// nor https://")),
        };
        let (host, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if host.is_empty() || host.contains('@') || rest.contains(['?', '#']) || rest.contains(char::is_whitespace) {
            return Err(wrong("it is a host, maybe with a port and a path"));
        }
        Ok(Self { scheme, host: host.to_owned(), prefix: prefix.trim_end_matches('/').to_owned() })
    }

    /// Another host, reached as this one is.
    pub fn beside(&self, host: &str) -> Self {
        Self { scheme: self.scheme, host: host.to_owned(), prefix: String::new() }
    }

    /// Host and port.
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// What is asked.
#[derive(Debug)]
pub struct Call<'a> {
    /// In words, for errors.
    pub what: &'static str,
    /// The method.
    pub method: Method,
    /// Decoded, without the endpoint's prefix.
    pub path: String,
    /// Decoded; an empty value stands for none.
    pub parameters: Vec<(&'static str, String)>,
    /// Beside those that every request has.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent.
    pub content: Content<'a>,
}

/// The body of a request.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// Nothing, not even a length.
    None,
    /// No bytes, and a length that says so.
    Empty,
    /// Bytes with their length; the type, if there is one, is signed.
    Whole(Option<&'static str>, &'a [u8]),
    /// Bytes of records, in chunks.
    Chunked(&'a [u8]),
}

/// What came back with a status of success.
#[derive(Debug)]
pub struct Answer {
    /// What was asked.
    pub what: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The request's id.
    pub request_id: Option<String>,
    /// Its body.
    pub body: Vec<u8>,
    headers: ureq::http::HeaderMap,
}

/// Sends requests, signed.
#[derive(Debug, Clone)]
pub struct Transport {
    agent: Agent,
    signer: Signer,
}

impl Transport {
    /// A transport; `authorities` are the only ones whose certificates are believed, the public ones when there is none.
    pub fn new(signer: Signer, patience: Patience, authorities: Option<&[Certificate<'static>]>) -> Self {
        let mut tls = TlsConfig::builder();
        if let Some(authorities) = authorities {
            tls = tls.root_certs(RootCerts::new_with_certs(authorities));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(patience.connect))
            .timeout_send_body(Some(patience.answer))
            .timeout_recv_response(Some(patience.answer))
            .timeout_recv_body(Some(patience.answer))
            .max_redirects(0)
            .tls_config(tls.build())
            .accept_encoding("identity")
            .user_agent(USER_AGENT)
            .build();
        Self { agent: config.into(), signer }
    }

    /// Sends a request once.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn send(&self, to: &Endpoint, call: Call<'_>) -> Result<Answer, ClientError> {
        let what = call.what;
        let no_answer = |error: &ureq::Error| transport_error(what, &to.host, error);
        let request = self
            .request(to, &call)
            .map_err(|error| ClientError::Setting { field: "endpoint", reason: format!("{what}: {error}") })?;
        let response = match call.content {
            Content::None => self.agent.run(request),
            Content::Empty => self.agent.run(request.map(|()| &[][..])),
            Content::Whole(_, bytes) => self.agent.run(request.map(|()| bytes)),
            Content::Chunked(bytes) => {
                let mut reader = io::Cursor::new(bytes);
                self.agent.run(request.map(|()| SendBody::from_reader(&mut reader)))
            }
        };
        answer(what, &to.host, response.map_err(|error| no_answer(&error))?)
    }

    fn request(&self, to: &Endpoint, call: &Call<'_>) -> Result<Request<()>, ureq::http::Error> {
        let now = Timestamp::now();
        let mut headers: Vec<(&str, String)> =
            call.headers.iter().map(|(name, value)| (*name, value.clone())).collect();
        headers.push(("x-odps-user-agent", USER_AGENT.to_owned()));
        headers.push(("Date", http_date(now)));
        let content_type = match call.content {
            Content::None | Content::Empty => None,
            Content::Whole(content_type, _) => content_type,
            Content::Chunked(_) => Some("application/octet-stream"),
        };
        headers.extend(content_type.map(|content_type| ("Content-Type", content_type.to_owned())));
        let borrowed: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let parameters: Vec<(&str, &str)> =
            call.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let text = string_to_sign(call.method.as_str(), &borrowed, &call.path, &parameters);
        headers.push(("Authorization", self.signer.authorization(&text, now)));
        if let Some(token) = self.signer.sts_token() {
            headers.push(("authorization-sts-token", token.to_owned()));
        }
        let mut url = format!("{}://{}{}{}", to.scheme, to.host, to.prefix, utf8_percent_encode(&call.path, PATH));
        for (place, (name, value)) in parameters.into_iter().enumerate() {
            url.push(if place == 0 { '?' } else { '&' });
            url.push_str(name);
            if !value.is_empty() {
                url.push('=');
                url.extend(utf8_percent_encode(value, PLAIN));
            }
        }
        let mut request = Request::builder().method(call.method.clone()).uri(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(())
    }
}

/// A call without an answer.
fn transport_error(call: &'static str, host: &str, error: &ureq::Error) -> ClientError {
    let (host, reason) = (host.to_owned(), error.to_string());
    let is_certificate = match error {
        ureq::Error::Rustls(rustls::Error::InvalidCertificate(_)) => true,
        // The handshake happens on the first write, whose errors are those of a stream.
        ureq::Error::Io(io) => matches!(
            io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()),
            Some(rustls::Error::InvalidCertificate(_))
        ),
        _ => false,
    };
    match error {
        _ if is_certificate => ClientError::Certificate { call, host, reason },
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => ClientError::Setting { field: "endpoint", reason },
        error => {
            let refused = |io: &io::Error| io.kind() == io::ErrorKind::ConnectionRefused;
            let unsent = matches!(
                error,
                ureq::Error::HostNotFound
                    | ureq::Error::ConnectionFailed
                    | ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)
            ) || matches!(error, ureq::Error::Io(io) if refused(io));
            ClientError::NoAnswer { call, host, reason, unsent }
        }
    }
}

fn answer(what: &'static str, host: &str, mut response: Response<Body>) -> Result<Answer, ClientError> {
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_MAX).read_to_vec();
    let headers = std::mem::take(response.headers_mut());
    let mut answer = Answer { what, status, request_id: None, body: Vec::new(), headers };
    answer.request_id = answer.header("x-odps-request-id").map(str::to_owned);
    answer.body = match body {
        Ok(body) => body,
        Err(ureq::Error::BodyExceedsLimit(limit)) => {
            return Err(answer.meaningless(format!("it has more than {limit} bytes")));
        }
        Err(error) => return Err(transport_error(what, host, &error)),
    };
    match status {
        200..=299 => Ok(answer),
        _ => Err(ClientError::Refused(Box::new(answer.refusal()))),
    }
}

/// The error of a JSON answer; Tunnel's are such.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JsonError {
    code: String,
    #[serde(default)]
    message: String,
}

impl Answer {
    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Its body as XML.
    ///
    /// # Errors
    /// [`ClientError::Answer`].
    pub fn xml(&self) -> Result<Element, ClientError> {
        Element::parse(&self.body).map_err(|error| self.meaningless(error.to_string()))
    }

    /// Its body as JSON.
    ///
    /// # Errors
    /// [`ClientError::Answer`].
    pub fn json<T: for<'de> Deserialize<'de>>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| self.meaningless(error.to_string()))
    }

    /// An error that says what is wrong with this answer.
    pub fn meaningless(&self, reason: impl Into<String>) -> ClientError {
        ClientError::Answer { call: self.what, reason: reason.into(), request_id: self.request_id.clone() }
    }

    fn refusal(&self) -> Refusal {
        let (code, message) = if let Ok(error) = serde_json::from_slice::<JsonError>(&self.body) {
            (error.code, error.message)
        } else {
            let text = |error: &Element, name| error.text_at(&[name]).unwrap_or_default().to_owned();
            match Element::parse(&self.body) {
                Ok(error) if error.name == "Error" => (text(&error, "Code"), text(&error, "Message")),
                _ => (String::new(), String::from_utf8_lossy(&self.body).into_owned()),
            }
        };
        let message = message.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
        let number = |name| self.header(name).and_then(|value| value.trim().parse::<u64>().ok());
        Refusal {
            call: self.what,
            status: self.status,
            code,
            message,
            request_id: self.request_id.clone(),
            retry_after: number("retry-after").map(Duration::from_secs),
            latest_schema_version: number("odps-tunnel-latest-schema-version"),
            routed_server: self.header("odps-tunnel-routed-server").map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_taken_apart() {
        let endpoint = Endpoint::parse("http://service.example:8080/api/", "endpoint").expect("an endpoint");
        let expected = Endpoint { scheme: "http", host: "service.example:8080".into(), prefix: "/api".into() };
        assert_eq!(endpoint, expected);
        let beside = endpoint.beside("dt.example");
        assert_eq!(beside, Endpoint { scheme: "http", host: "dt.example".into(), prefix: String::new() });
        for url in ["service.example", "ftp://x", "https://", "http://u@h", "http://h/a?b", "http://h a"] {
            assert!(matches!(Endpoint::parse(url, "endpoint"), Err(ClientError::Setting { .. })), "{url}");
        }
    }
}
