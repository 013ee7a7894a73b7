//! One POST to a webhook. The client blocks, so each has a thread of its own, which nobody waits for longer than it may
//! take; the end of the process ends it.

use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::timeout;
use ureq::tls::{Certificate, RootCerts};

use crate::config::{Webhook, authorities};

/// How long a POST may take, name look-up and TLS included.
pub const POST_MAX: Duration = Duration::from_secs(10);

/// Why a notice did not arrive. Never names more of the address than its host.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PostError {
    /// It was answered, but not with yes.
    #[error("{to} answers {status}")]
    Status {
        /// The webhook, without its path.
        to: String,
        /// The HTTP status.
        status: u16,
    },
    /// It was not answered.
    #[error("{to}: {reason}")]
    Failed {
        /// The webhook, without its path.
        to: String,
        /// Why not.
        reason: String,
    },
}

/// Posts JSON; well when the answer is one of 200 to 299.
///
/// # Errors
/// No answer in time, or another one.
pub async fn post(webhook: &Webhook, body: Vec<u8>) -> Result<(), PostError> {
    let (done, answer) = oneshot::channel();
    let to = webhook.clone();
    let failed = |reason: &str| PostError::Failed { to: webhook.to_string(), reason: reason.to_owned() };
    let thread = std::thread::Builder::new().name("alert".to_owned());
    // Nobody listens when it took too long.
    let started = thread.spawn(move || drop(done.send(attempt(&to, &body))));
    started.map_err(|e| failed(&format!("no thread: {e}")))?;
    // The client's own limit comes first; this one holds whatever it does.
    match timeout(POST_MAX + Duration::from_secs(1), answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(failed("the client panicked")),
        Err(_) => Err(failed("no answer in time")),
    }
}

fn attempt(webhook: &Webhook, body: &[u8]) -> Result<(), PostError> {
    let mut tls = ureq::tls::TlsConfig::builder();
    if let Some(path) = webhook.ca_file() {
        // Read each time: an authority that is renewed needs no reload.
        let failed = |reason| PostError::Failed { to: webhook.to_string(), reason };
        let found = authorities(path).map_err(failed)?;
        let certificates: Vec<_> = found.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls.build())
        .timeout_global(Some(POST_MAX))
        // What it says is for this address alone.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("relay/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let answer = agent.post(webhook.expose()).header("Content-Type", "application/json").send(body);
    match answer.map(|answer| answer.status().as_u16()) {
        Ok(200..=299) => Ok(()),
        Ok(status) => Err(PostError::Status { to: webhook.to_string(), status }),
        Err(error) => Err(PostError::Failed { to: webhook.to_string(), reason: describe(&error) }),
    }
}

/// The error in words. Of those that may repeat the address only the kind is told.
fn describe(error: &ureq::Error) -> String {
    use ureq::Error;
    match error {
        // What TLS refuses while reading comes as an error of reading.
        Error::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => format!("TLS: {tls}"),
            None => e.to_string(),
        },
        Error::Timeout(_) => "no answer in time".to_owned(),
        Error::HostNotFound => "its host is not known".to_owned(),
        Error::ConnectionFailed => "no connection".to_owned(),
        Error::Tls(reason) => format!("TLS: {reason}"),
        Error::Rustls(e) => format!("TLS: {e}"),
        Error::BadUri(_) => "the client does not take its address".to_owned(),
        Error::Protocol(_) => "it does not speak HTTP".to_owned(),
        _ => "the request failed".to_owned(),
    }
}
