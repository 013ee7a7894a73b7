//! TLS to the source. Each mode does what its name says or fails; none falls back to plain text.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::error::TlsError;
use super::packet::Wire;
use crate::config::{Tls, TlsMode};

/// Reads the files and builds what a handshake needs.
///
/// # Errors
/// A file that cannot be read, holds nothing of its kind, or a key that does not fit its certificate.
pub(super) fn connector(tls: &Tls) -> Result<TlsConnector, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Handshake)?;
    let builder = match tls.mode {
        TlsMode::VerifyIdentity => builder.with_root_certificates(roots(tls.ca_file.as_deref())?),
        TlsMode::VerifyCa => {
            let verifier = Arc::new(AnyName { roots: Some(roots(tls.ca_file.as_deref())?), provider });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
        TlsMode::Required | TlsMode::Disabled => {
            let verifier = Arc::new(AnyName { roots: None, provider });
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    let config = match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|e| material(key, e.to_string()))?,
        (Some(only), None) => return Err(material(only, "a certificate needs its key_file".into())),
        (None, Some(only)) => return Err(material(only, "a key needs its cert_file".into())),
        (None, None) => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| material(path, e.to_string()))?;
            }
        }
    }
    Ok(roots)
}

/// Performs the handshake over an open connection.
pub(super) async fn encrypt(
    wire: Box<dyn Wire>,
    connector: &TlsConnector,
    host: &str,
) -> Result<Box<dyn Wire>, TlsError> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::ServerName(host.to_owned()))?;
    match connector.connect(name, wire).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(e) => Err(match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => TlsError::Handshake(tls.clone()),
            None => TlsError::Broken(e),
        }),
    }
}

fn material(path: &Path, reason: String) -> TlsError {
    TlsError::Material { path: path.to_owned(), reason }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let list: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|e| material(path, e.to_string()))?;
    if list.is_empty() { Err(material(path, "it holds no certificate".into())) } else { Ok(list) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| material(path, e.to_string()))
}

/// Checks the signatures of the handshake always, the chain when there are roots, the name never.
#[derive(Debug)]
struct AnyName {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
