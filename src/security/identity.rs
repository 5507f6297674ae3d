//! Who a node is: its certificate, its key, and the authority it trusts; and who a peer has proved
//! to be. Knows no connection.

use super::{ClusterId, NodeName, SecurityError, files, tls};
use crate::clock;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A node's certificate and key and its cluster's authority. The key is never shown.
pub struct Identity {
    name: NodeName,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) roots: Arc<RootCertStore>,
    /// SHA-256 of the authority's certificate.
    authority: [u8; 32],
}

/// A peer that has proved by its certificate who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which node it is.
    pub name: NodeName,
    /// SHA-256 of its certificate: another certificate of the same node has another.
    pub fingerprint: [u8; 32],
}

impl Identity {
    /// Reads the three files, and checks that they belong together and are valid now.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub fn load(ca: &Path, cert: &Path, key: &Path) -> Result<Identity, SecurityError> {
        let (ca_pem, cert_pem, key_pem) = (files::read(ca)?, files::read(cert)?, files::read(key)?);
        Identity::from_pem(&ca_pem, &cert_pem, &key_pem).map_err(|error| {
            let reason = error.to_string();
            SecurityError::File { path: cert.to_owned(), reason }
        })
    }

    /// As [`Identity::load`], from texts.
    ///
    /// # Errors
    /// What does not fit.
    pub fn from_pem(ca: &str, cert: &str, key: &str) -> Result<Identity, SecurityError> {
        let chain = certificates(cert)?;
        let name = NodeName::of_certificate(chain.first().ok_or(SecurityError::NoCertificate)?)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| SecurityError::Untrusted("the key is not a private key".into()))?;
        let mut roots = RootCertStore::empty();
        let authorities = certificates(ca)?;
        let authority = fingerprint(authorities.first());
        for authority in authorities {
            roots.add(authority).map_err(|_| SecurityError::NoCertificate)?;
        }
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &tls::provider())
            .map_err(|_| SecurityError::OtherKey)?;
        Ok(Identity { name, chain, key, roots: Arc::new(roots), authority })
    }

    /// Whether the authority vouches for this node today.
    ///
    /// # Errors
    /// That it does not, and why.
    pub fn check(&self) -> Result<(), SecurityError> {
        let now = UnixTime::since_unix_epoch(Duration::from_millis(clock::now().0));
        let verifier = tls::Verifier::new(self)?;
        let (first, rest) = self.chain.split_first().ok_or(SecurityError::NoCertificate)?;
        verifier
            .check(first, rest, None, now)
            .map_err(|error| SecurityError::Untrusted(error.to_string()))
    }

    /// Which node of which cluster it is.
    pub fn name(&self) -> NodeName {
        self.name
    }

    /// Whose node it is.
    pub fn cluster(&self) -> ClusterId {
        self.name.cluster
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(self.chain.first())
    }

    /// Bytes that the nodes of the cluster know, and its clients do not; different for each
    /// purpose.
    pub fn shared_secret(&self, purpose: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(purpose)
            .chain_update([0])
            .chain_update(self.authority)
            .finalize()
            .into()
    }

    /// Bytes that only this node knows, the same after each restart; different for each purpose.
    pub fn secret(&self, purpose: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(purpose)
            .chain_update([0])
            .chain_update(self.key.secret_der())
            .finalize()
            .into()
    }
}

impl Peer {
    /// Whose certificates these are, the peer's own first. They were verified before.
    ///
    /// # Errors
    /// When there is none, or it has no name.
    pub fn of(chain: &[CertificateDer<'_>]) -> Result<Peer, SecurityError> {
        let cert = chain.first().ok_or(SecurityError::NoCertificate)?;
        let name = NodeName::of_certificate(cert)?;
        Ok(Peer { name, fingerprint: fingerprint(Some(cert)) })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.name)
    }
}

fn fingerprint(cert: Option<&CertificateDer<'_>>) -> [u8; 32] {
    Sha256::digest(cert.map_or(&[][..], |cert| cert.as_ref())).into()
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or(SecurityError::NoCertificate)
}
