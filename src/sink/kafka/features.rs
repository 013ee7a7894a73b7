//! Which version of transactions the cluster has settled on. The client library knows but does not tell, so that one
//! request is made by hand: ApiVersions, which a broker answers before any login (KIP-35, KIP-584).

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::config::{KafkaConfig, Security};
use crate::sink::Progress;

/// How long one broker may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// An answer has some kilobytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// `transaction.version` from which on a broker keeps late writes out of later transactions (KIP-890).
const VERSION_GOOD: u16 = 2;
const PORT: u16 = 9092;

const API_VERSIONS: u16 = 18;
const REQUEST_VERSION: u16 = 3;
const UNSUPPORTED_VERSION: u16 = 35;
/// Tag of the finalized features in the answer.
const FINALIZED: u32 = 2;

/// Says once, in log and status, what an older version means for the promise.
pub(super) async fn say_version(config: &KafkaConfig, cursor: &str, progress: &Progress) {
    match transaction_version(config).await {
        Ok(version) => match caveat(version) {
            None => tracing::debug!(cursor, version, "version of the cluster's transactions"),
            Some(notice) => {
                tracing::warn!(cursor, version, "{notice}");
                progress.set_notice(notice);
            }
        },
        Err(reason) => tracing::info!(cursor, reason, "the version of the cluster's transactions was not found out"),
    }
}

/// What this version of transactions means for the promise, when it means anything.
pub fn caveat(version: u16) -> Option<String> {
    let text = format!(
        "the cluster's transactions are of version {version}: a write that a broker delays beyond its transaction can \
         hold up readers of committed records; set the feature transaction.version to {VERSION_GOOD} (Kafka 4.0)"
    );
    (version < VERSION_GOOD).then_some(text)
}

/// The cluster's finalized `transaction.version`; 0 when it has none. Asks one broker after the other.
///
/// # Errors
/// Why no broker told.
pub async fn transaction_version(config: &KafkaConfig) -> Result<u16, String> {
    let mut reason = "there is no broker".to_owned();
    for broker in config.brokers.split(',').map(str::trim) {
        match tokio::time::timeout(TIMEOUT, ask(config, broker)).await {
            Ok(Ok(version)) => return Ok(version),
            Ok(Err(error)) => reason = format!("{broker}: {error}"),
            Err(_) => reason = format!("{broker}: no answer within {} s", TIMEOUT.as_secs()),
        }
    }
    Err(reason)
}

async fn ask(config: &KafkaConfig, broker: &str) -> Result<u16, String> {
    let (host, port) = match broker.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| "its port is no number".to_owned())?),
        None => (broker, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
    match config.security {
        Security::Plaintext | Security::SaslPlaintext => exchange(stream).await,
        Security::Ssl | Security::SaslSsl => {
            let connector = tokio_rustls::TlsConnector::from(Arc::new(tls(config)?));
            let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
            exchange(connector.connect(name, stream).await.map_err(|error| error.to_string())?).await
        }
    }
}

fn tls(config: &KafkaConfig) -> Result<ClientConfig, String> {
    let text = |error: rustls::pki_types::pem::Error| error.to_string();
    let mut roots = RootCertStore::empty();
    match &config.ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path).map_err(text)? {
                roots.add(certificate.map_err(text)?).map_err(|error| error.to_string())?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let (Some(cert), Some(key)) = (&config.cert_file, &config.key_file) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(text)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(text)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<u16, String> {
    let text = |error: std::io::Error| error.to_string();
    stream.write_all(&request()).await.map_err(text)?;
    let length = stream.read_u32().await.map_err(text)? as usize;
    if length > ANSWER_BYTES_MAX {
        return Err(format!("its answer has {length} bytes: it is no Kafka broker"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.map_err(text)?;
    parse(&answer).ok_or_else(|| "its answer does not decode".to_owned())
}

fn request() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&API_VERSIONS.to_be_bytes());
    body.extend_from_slice(&REQUEST_VERSION.to_be_bytes());
    body.extend_from_slice(&1u32.to_be_bytes());
    // The client's id, as text with a length of two bytes; no tagged fields.
    body.extend_from_slice(b"\x00\x05relay\x00");
    // The software's name and version as compact text, whose length is one more; no tagged fields.
    body.extend_from_slice(b"\x06relay\x04000\x00");
    let length = u32::try_from(body.len()).expect("some bytes");
    [&length.to_be_bytes()[..], &body].concat()
}

/// An answer to the request: correlation id, error, ranges of versions by request, throttle time, tagged fields.
fn parse(answer: &[u8]) -> Option<u16> {
    let mut rest = Bytes(answer);
    rest.take(4)?;
    match rest.u16()? {
        0 => {}
        // Answered in the oldest form by a broker from before there were features.
        UNSUPPORTED_VERSION => return Some(0),
        _ => return None,
    }
    for _ in 1..rest.varint()? {
        rest.take(6)?;
        rest.skip_tags()?;
    }
    rest.take(4)?;
    let mut version = 0;
    for _ in 0..rest.varint()? {
        let (tag, length) = (rest.varint()?, rest.varint()?);
        let mut field = Bytes(rest.take(length as usize)?);
        if tag != FINALIZED {
            continue;
        }
        for _ in 1..field.varint()? {
            let length = field.varint()?.checked_sub(1)?;
            let name = field.take(length as usize)?;
            let highest = field.u16()?;
            field.take(2)?;
            field.skip_tags()?;
            if name == b"transaction.version" {
                version = highest;
            }
        }
    }
    Some(version)
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in (0..32).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn skip_tags(&mut self) -> Option<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.take(length as usize)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with one request's range and these tagged fields.
    fn answer(tagged: &[u8]) -> Vec<u8> {
        [&b"\0\0\0\x01\0\0\x02\0\x12\0\0\0\x04\0\0\0\0\0"[..], tagged].concat()
    }

    fn finalized(name: &[u8], highest: u8) -> Vec<u8> {
        let feature = [&[name.len() as u8 + 1][..], name, &[0, highest, 0, 0, 0]].concat();
        // The features' epoch before it, as brokers send it.
        let epoch = b"\x01\x08\0\0\0\0\0\0\0\x09";
        let field = [&[2, feature.len() as u8 + 1, 2][..], &feature].concat();
        [&b"\x02"[..], epoch, &field].concat()
    }

    #[test]
    fn the_version_is_found_among_the_features() {
        assert_eq!(parse(&answer(&finalized(b"transaction.version", 2))), Some(2));
        assert_eq!(parse(&answer(&finalized(b"transaction.version", 1))), Some(1));
        assert_eq!(parse(&answer(&finalized(b"metadata.version", 27))), Some(0));
        assert_eq!(parse(&answer(b"\0")), Some(0), "no features at all");
        assert_eq!(parse(b"\0\0\0\x01\0\x23\0\0\0\0"), Some(0), "a broker that does not know the request");
    }

    #[test]
    fn what_is_cut_off_or_no_answer_is_refused() {
        let whole = answer(&finalized(b"transaction.version", 2));
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(parse(b"\0\0\0\x01\0\0\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(parse(b"HTTP/1.1 400 Bad Request"), None);
    }
}
