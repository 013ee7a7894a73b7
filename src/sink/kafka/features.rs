//! What a broker can do, and which features the cluster has settled on. The client library knows but does not tell, so
//! that one request is made by hand: ApiVersions, which a broker answers before any login (KIP-35, KIP-584).

use std::collections::BTreeMap;
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
/// What brokers older than 2.4 are asked with, once they have refused the other.
const OLD_REQUEST_VERSION: u16 = 0;
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

/// What a broker says of itself and of its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions {
    /// Greatest version of each request that it takes, by the request's number.
    pub requests: BTreeMap<u16, u16>,
    /// Features that the whole cluster has, with the greatest level that is in force.
    pub features: BTreeMap<String, u16>,
}

impl Versions {
    /// `transaction.version`; 0 when there is none.
    pub fn transactions(&self) -> u16 {
        self.features.get("transaction.version").copied().unwrap_or(0)
    }
}

/// The cluster's finalized `transaction.version`; 0 when it has none.
///
/// # Errors
/// Why no broker told.
pub async fn transaction_version(config: &KafkaConfig) -> Result<u16, String> {
    versions(config).await.map(|versions| versions.transactions())
}

/// What the first broker that answers says. Asks one after the other.
///
/// # Errors
/// Why no broker told.
pub async fn versions(config: &KafkaConfig) -> Result<Versions, String> {
    let mut reason = "there is no broker".to_owned();
    for broker in config.brokers.split(',').map(str::trim) {
        match tokio::time::timeout(TIMEOUT, ask(config, broker)).await {
            Ok(Ok(versions)) => return Ok(versions),
            Ok(Err(error)) => reason = format!("{broker}: {error}"),
            Err(_) => reason = format!("{broker}: no answer within {} s", TIMEOUT.as_secs()),
        }
    }
    Err(reason)
}

async fn ask(config: &KafkaConfig, broker: &str) -> Result<Versions, String> {
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

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Versions, String> {
    const NO_ANSWER: &str = "its answer does not decode";
    let answer = question(&mut stream, REQUEST_VERSION).await?;
    if answer.get(4..6) == Some(&UNSUPPORTED_VERSION.to_be_bytes()) {
        let answer = question(&mut stream, OLD_REQUEST_VERSION).await?;
        return parse_old(&answer).ok_or_else(|| NO_ANSWER.to_owned());
    }
    parse(&answer).ok_or_else(|| NO_ANSWER.to_owned())
}

async fn question(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), version: u16) -> Result<Vec<u8>, String> {
    let text = |error: std::io::Error| error.to_string();
    stream.write_all(&request(version)).await.map_err(text)?;
    let length = stream.read_u32().await.map_err(text)? as usize;
    if length > ANSWER_BYTES_MAX {
        return Err(format!("its answer has {length} bytes: it is no Kafka broker"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.map_err(text)?;
    Ok(answer)
}

fn request(version: u16) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&API_VERSIONS.to_be_bytes());
    body.extend_from_slice(&version.to_be_bytes());
    body.extend_from_slice(&1u32.to_be_bytes());
    // The client's id, as text with a length of two bytes.
    body.extend_from_slice(b"\x00\x05relay");
    if version != OLD_REQUEST_VERSION {
        // No tagged fields; the software's name and version as compact text, whose length is one more; no tagged fields.
        body.extend_from_slice(b"\x00\x06relay\x04000\x00");
    }
    let length = u32::try_from(body.len()).expect("some bytes");
    [&length.to_be_bytes()[..], &body].concat()
}

/// An answer to the request: correlation id, error, ranges of versions by request, throttle time, tagged fields.
fn parse(answer: &[u8]) -> Option<Versions> {
    let mut rest = Bytes(answer);
    rest.take(4)?;
    if rest.u16()? != 0 {
        return None;
    }
    let mut versions = Versions::default();
    for _ in 1..rest.varint()? {
        versions.request(&mut rest)?;
        rest.skip_tags()?;
    }
    rest.take(4)?;
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
            versions.features.insert(String::from_utf8_lossy(name).into_owned(), highest);
        }
    }
    Some(versions)
}

/// An answer in the oldest form: correlation id, error, ranges of versions by request.
fn parse_old(answer: &[u8]) -> Option<Versions> {
    let mut rest = Bytes(answer);
    rest.take(4)?;
    if rest.u16()? != 0 {
        return None;
    }
    let mut versions = Versions::default();
    for _ in 0..u32::from_be_bytes(rest.take(4)?.try_into().ok()?) {
        versions.request(&mut rest)?;
    }
    Some(versions)
}

impl Versions {
    /// Reads the range of one request.
    fn request(&mut self, rest: &mut Bytes<'_>) -> Option<()> {
        let number = rest.u16()?;
        rest.take(2)?;
        self.requests.insert(number, rest.u16()?);
        Some(())
    }
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
        let version = |answer: &[u8]| parse(answer).map(|versions| versions.transactions());
        assert_eq!(version(&answer(&finalized(b"transaction.version", 2))), Some(2));
        assert_eq!(version(&answer(&finalized(b"transaction.version", 1))), Some(1));
        assert_eq!(version(&answer(&finalized(b"metadata.version", 27))), Some(0));
        assert_eq!(version(&answer(b"\0")), Some(0), "no features at all");
        let versions = parse(&answer(&finalized(b"metadata.version", 27))).expect("an answer");
        assert_eq!(versions.features["metadata.version"], 27);
        assert_eq!(versions.requests, BTreeMap::from([(18, 4)]));
    }

    #[test]
    fn what_is_cut_off_or_no_answer_is_refused() {
        let whole = answer(&finalized(b"transaction.version", 2));
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(parse(b"\0\0\0\x01\0\0\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(parse(b"HTTP/1.1 400 Bad Request"), None);
        assert_eq!(parse_old(b"\0\0\0\x01\0\0\xff\xff\xff\xff\0\x12"), None);
    }

    #[tokio::test]
    async fn an_old_broker_is_asked_again_in_its_own_words() {
        let (ours, mut broker) = tokio::io::duplex(1024);
        let answering = tokio::spawn(async move {
            for (version, answer) in [
                (3u8, &b"\0\0\0\x0a\0\0\0\x01\0\x23\0\0\0\0"[..]),
                (0, b"\0\0\0\x10\0\0\0\x01\0\0\0\0\0\x01\0\0\0\0\0\x07"),
            ] {
                let length = broker.read_u32().await.unwrap() as usize;
                let mut asked = vec![0; length];
                broker.read_exact(&mut asked).await.unwrap();
                assert_eq!(asked[..4], [0, 18, 0, version]);
                broker.write_all(answer).await.unwrap();
            }
        });
        let versions = exchange(ours).await.expect("an answer");
        answering.await.unwrap();
        assert_eq!(versions, Versions { requests: BTreeMap::from([(0, 7)]), features: BTreeMap::new() });
    }
}
