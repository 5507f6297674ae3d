//! Mutual TLS between nodes: each side proves to be a node of this cluster, and the one that was
//! dialled to be the node that was meant. Knows no connection; it makes settings for one.

use super::name::any_node;
use super::{ClusterId, Identity, NodeName, SecurityError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};
use std::fmt;
use std::sync::Arc;

/// What nodes speak with each other. The number grows when they can no longer understand the
/// framing of the one before; messages have versions of their own.
pub const ALPN: &[u8] = b"crab/1";

/// Cryptography by `ring`, always given: nothing in this process is configured by chance of what
/// is linked. AES with short keys first: it is the fastest here.
pub(super) fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    provider
}

/// How a node is dialled. Nothing is resumed: every connection sees the certificate.
///
/// # Errors
/// When the identity is not one.
pub fn client_config(identity: &Identity) -> Result<ClientConfig, SecurityError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| refused(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(identity)?))
        .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(|error| refused(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

/// How a node answers.
///
/// # Errors
/// When the identity is not one.
pub fn server_config(identity: &Identity) -> Result<ServerConfig, SecurityError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| refused(&error))?
        .with_client_cert_verifier(Arc::new(Verifier::new(identity)?))
        .with_single_cert(identity.chain.clone(), identity.key.clone_key())
        .map_err(|error| refused(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn refused(error: &Error) -> SecurityError {
    SecurityError::Untrusted(error.to_string())
}

/// Takes certificates of this cluster's nodes, and of nobody else.
#[derive(Debug)]
pub(super) struct Verifier {
    cluster: ClusterId,
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl Verifier {
    pub(super) fn new(identity: &Identity) -> Result<Verifier, SecurityError> {
        let (roots, provider) = (identity.roots.clone(), Arc::new(provider()));
        let servers = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone());
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider);
        Ok(Verifier {
            cluster: identity.cluster(),
            servers: servers.build().map_err(|e| SecurityError::Untrusted(e.to_string()))?,
            clients: clients.build().map_err(|e| SecurityError::Untrusted(e.to_string()))?,
        })
    }

    /// Whether the certificate is of a node of this cluster; of `expected`, if one is.
    pub(super) fn check(
        &self,
        cert: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        expected: Option<NodeName>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let found = self.name(cert)?;
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(other(SecurityError::OtherNode { found, expected }));
        }
        let name = ServerName::try_from(found.to_string())
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        self.servers.verify_server_cert(cert, rest, &name, &[], now)?;
        Ok(())
    }

    /// The name comes first: who it is of tells more than that its signature is not ours.
    fn name(&self, cert: &CertificateDer<'_>) -> Result<NodeName, Error> {
        let found = NodeName::of_certificate(cert).map_err(other)?;
        if found.cluster == self.cluster {
            return Ok(found);
        }
        Err(other(SecurityError::OtherCluster { found, expected: self.cluster }))
    }
}

fn other(error: SecurityError) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Told(error)))))
}

/// An error that TLS tells in its own words: it shows errors as for debugging.
struct Told(SecurityError);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Told {}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let asked = asked.to_str();
        let expected = NodeName::parse(&asked);
        if expected.is_none() && *asked != *any_node(self.cluster) {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        self.check(cert, rest, expected, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.servers.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.servers.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.servers.supported_verify_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.name(cert)?;
        self.clients.verify_client_cert(cert, rest, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}
