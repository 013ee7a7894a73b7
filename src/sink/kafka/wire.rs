//! Requests to a broker that are made by hand, because the client library does not offer them: the connection, how
//! requests and answers are framed, and what they are written in.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::config::{KafkaConfig, Security};

const PORT: u16 = 9092;

/// A connection to a broker.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Connects to a broker, `host:port`, by TLS where the settings say so. Nobody is logged in yet.
///
/// # Errors
/// Why it did not come about.
pub(super) async fn connect(config: &KafkaConfig, broker: &str) -> Result<Box<dyn Wire>, String> {
    let (host, port) = match broker.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| "its port is no number".to_owned())?),
        None => (broker, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
    Ok(match config.security {
        Security::Plaintext | Security::SaslPlaintext => Box::new(stream),
        Security::Ssl | Security::SaslSsl => {
            let connector = tokio_rustls::TlsConnector::from(Arc::new(tls(config)?));
            let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
            Box::new(connector.connect(name, stream).await.map_err(|error| error.to_string())?)
        }
    })
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

/// Sends a request and takes its answer, of at most so many bytes.
///
/// # Errors
/// The connection ends, or the answer is longer.
pub(super) async fn exchange<W: Wire + ?Sized>(
    stream: &mut W,
    request: &Request,
    answer_bytes_max: usize,
) -> Result<Vec<u8>, String> {
    let text = |error: std::io::Error| error.to_string();
    let length = u32::try_from(request.0.len()).map_err(|error| error.to_string())?;
    stream.write_all(&[&length.to_be_bytes()[..], &request.0].concat()).await.map_err(text)?;
    stream.flush().await.map_err(text)?;
    let length = stream.read_u32().await.map_err(text)? as usize;
    if length > answer_bytes_max {
        return Err(format!("its answer has {length} bytes: it is no Kafka broker"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.map_err(text)?;
    Ok(answer)
}

/// A request as it is sent, without its length.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// Begins one: its number, its version, a correlation id that nobody needs, and the client's id.
    pub(super) fn new(number: u16, version: u16) -> Self {
        let mut request = Self(Vec::new());
        request.0.extend_from_slice(&number.to_be_bytes());
        request.0.extend_from_slice(&version.to_be_bytes());
        request.0.extend_from_slice(&1u32.to_be_bytes());
        request.text("relay");
        request
    }

    /// Bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Text, with a length of two bytes. What is longer than the protocol can say is cut.
    pub(super) fn text(&mut self, text: &str) {
        let bytes = &text.as_bytes()[..text.len().min(i16::MAX as usize)];
        self.0.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// A length of four bytes, or a count.
    pub(super) fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&(count as u32).to_be_bytes());
    }
}

/// What is left to read of an answer.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Text with a length of two bytes; a null is empty.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        match self.u16()? {
            u16::MAX => Some(&[]),
            length => self.take(length.into()),
        }
    }

    /// Seven bits a byte, the lowest first.
    pub(super) fn varint(&mut self) -> Option<u32> {
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

    pub(super) fn skip_tags(&mut self) -> Option<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.take(length as usize)?;
        }
        Some(())
    }
}
