//! What the registry's answers, and their absence, mean.

use serde::Deserialize;
use ureq::Body;
use ureq::http::Response;

use super::RegistryError;

/// Most bytes of an answer: a lookup repeats the schema, and that is far smaller.
const ANSWER_MAX: u64 = 4 << 20;
/// Most characters of the registry's words in an error.
const WORDS_MAX: usize = 500;

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

#[derive(Deserialize)]
struct Judged {
    is_compatible: bool,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// The id in an answer.
pub(super) fn id(url: &str, subject: &str, register: bool, response: Response<Body>) -> Result<u32, RegistryError> {
    let (status, body) = read(url, response)?;
    match status {
        200..=299 => {
            let registered = serde_json::from_slice::<Registered>(&body);
            registered.map(|registered| registered.id).map_err(|error| none(url, error.to_string()))
        }
        _ => Err(refusal(url, subject, register, status, &body)),
    }
}

/// Whether a schema goes with those of its subject; false when there is no subject.
pub(super) fn fits(url: &str, subject: &str, response: Response<Body>) -> Result<bool, RegistryError> {
    let (status, body) = read(url, response)?;
    match status {
        200..=299 => match serde_json::from_slice::<Judged>(&body).map_err(|error| none(url, error.to_string()))? {
            Judged { is_compatible: true } => Ok(true),
            Judged { is_compatible: false } => {
                let message = "it does not go with the schemas that are there".to_owned();
                Err(RegistryError::Refused { status: 409, subject: subject.to_owned(), message })
            }
        },
        404 if serde_json::from_slice::<Refusal>(&body).is_ok() => Ok(false),
        _ => Err(refusal(url, subject, true, status, &body)),
    }
}

fn read(url: &str, mut response: Response<Body>) -> Result<(u16, Vec<u8>), RegistryError> {
    let status = response.status().as_u16();
    match response.body_mut().with_config().limit(ANSWER_MAX).read_to_vec() {
        Ok(body) => Ok((status, body)),
        Err(ureq::Error::BodyExceedsLimit(limit)) => Err(none(url, format!("it has more than {limit} bytes"))),
        Err(error) => Err(transport(url, &error)),
    }
}

/// What an answer means that is not the one hoped for.
fn refusal(url: &str, subject: &str, register: bool, status: u16, body: &[u8]) -> RegistryError {
    let subject = subject.to_owned();
    match status {
        408 | 429 | 500..=599 => RegistryError::Busy { status, message: words(body) },
        401 | 403 => RegistryError::Denied { status, subject, message: words(body) },
        // A path that the server does not know is answered so as well, but not in the registry's form.
        404 if serde_json::from_slice::<Refusal>(body).is_err() || register => {
            none(url, format!("status 404: {}", words(body)))
        }
        404 => RegistryError::Unknown { subject, message: words(body) },
        300..=399 => none(url, format!("status {status}: it sends us elsewhere")),
        _ => RegistryError::Refused { status, subject, message: words(body) },
    }
}

/// A call without an answer.
pub(super) fn transport(url: &str, error: &ureq::Error) -> RegistryError {
    let (url, reason) = (url.to_owned(), error.to_string());
    match error {
        ureq::Error::Rustls(rustls::Error::InvalidCertificate(_)) => RegistryError::Certificate { url, reason },
        ureq::Error::Io(io) if is_certificate(io) => RegistryError::Certificate { url, reason },
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => RegistryError::Setting { field: "url", reason },
        ureq::Error::Protocol(_) => none(&url, reason),
        _ => RegistryError::Unreachable { url, reason },
    }
}

/// The handshake happens on the first write, whose errors are those of a stream.
fn is_certificate(io: &std::io::Error) -> bool {
    let cause = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

fn none(url: &str, reason: String) -> RegistryError {
    RegistryError::Answer { url: url.to_owned(), reason }
}

/// The registry's words, or the start of whatever else came.
fn words(body: &[u8]) -> String {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.message.chars().take(WORDS_MAX).collect(),
        Err(_) => String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect(),
    }
}
