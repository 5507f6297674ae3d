//! The cluster's certificate authority: made once, it signs who belongs to the cluster. It is what
//! the cluster's id is drawn for and written in, and by name it can vouch for no other cluster.
//! Knows files and certificates; no connection.

use super::name::{domain, of_authority};
use super::{ClusterId, Identity, NodeName, SecurityError, files, tls};
use crate::clock;
use cluster::topology::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::time::Duration;
use webpki::EndEntityCert;

/// The file of an authority's certificate: every node has it.
pub const CA_CERT: &str = "ca.crt";
/// The file of its key: nobody needs it but `ca issue`.
pub const CA_KEY: &str = "ca.key";
/// The file of a node's certificate.
pub const NODE_CERT: &str = "node.crt";
/// The file of its key.
pub const NODE_KEY: &str = "node.key";

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Certificates count from a day before they are made: clocks differ.
const BEFORE: Duration = DAY;
const CA_LIFE: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
const NODE_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A cluster's certificate authority, key included.
pub struct Authority {
    cluster: ClusterId,
    key: KeyPair,
    cert_pem: String,
}

impl Authority {
    /// A new one, of a new cluster.
    ///
    /// # Errors
    /// When the system has no chance to give.
    pub fn new() -> Result<Authority, SecurityError> {
        let mut id = [0; 16];
        let random = tls::provider().secure_random;
        random.fill(&mut id).map_err(|_| SecurityError::Make("no random numbers".into()))?;
        let cluster = ClusterId(u128::from_le_bytes(id));
        let key = KeyPair::generate().map_err(|error| make(&error))?;
        let cert = authority_params(cluster)?.self_signed(&key).map_err(|error| make(&error))?;
        Ok(Authority { cluster, cert_pem: cert.pem(), key })
    }

    /// A new one in a folder: [`CA_CERT`] and [`CA_KEY`], readable by the owner only.
    ///
    /// # Errors
    /// When there is one already, or it cannot be written.
    pub fn init(dir: &Path) -> Result<Authority, SecurityError> {
        let authority = Authority::new()?;
        let key = authority.key.serialize_pem();
        files::create(dir, &[(CA_KEY, &key), (CA_CERT, &authority.cert_pem)])?;
        Ok(authority)
    }

    /// The one in a folder.
    ///
    /// # Errors
    /// When there is none, or its files are not a certificate and its key.
    pub fn load(dir: &Path) -> Result<Authority, SecurityError> {
        let (cert_path, key_path) = (dir.join(CA_CERT), dir.join(CA_KEY));
        let in_file = |path: PathBuf, reason: String| SecurityError::File { path, reason };
        let cert_pem = files::read(&cert_path)?;
        let key = KeyPair::from_pem(&files::read(&key_path)?)
            .map_err(|_| in_file(key_path.clone(), "this is not a private key".into()))?;
        let (cluster, public) =
            read_authority(&cert_pem).map_err(|error| in_file(cert_path, error.to_string()))?;
        if public != key.subject_public_key_info() {
            return Err(in_file(key_path, SecurityError::OtherKey.to_string()));
        }
        Ok(Authority { cluster, key, cert_pem })
    }

    /// Whose authority it is.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// A certificate and a new key for a node of the cluster, in memory.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn identity(&self, node: NodeId) -> Result<Identity, SecurityError> {
        self.identity_named(NodeName { node, cluster: self.cluster })
    }

    /// As [`Authority::identity`], under any name: so that tests see what becomes of an authority
    /// that vouches for another cluster.
    ///
    /// # Errors
    /// When they cannot be made.
    #[doc(hidden)]
    pub fn identity_named(&self, name: NodeName) -> Result<Identity, SecurityError> {
        let (cert, key) = self.sign(name)?;
        Identity::from_pem(&self.cert_pem, &cert, &key)
    }

    /// A certificate and a new key for a node of the cluster, in a folder with the authority's
    /// certificate: [`NODE_CERT`], [`NODE_KEY`], [`CA_CERT`], readable by the owner only.
    ///
    /// # Errors
    /// When one of the files is there already, or cannot be written.
    pub fn issue(&self, node: NodeId, out: &Path) -> Result<NodeName, SecurityError> {
        let name = NodeName { node, cluster: self.cluster };
        let (cert, key) = self.sign(name)?;
        let made = [(NODE_KEY, &*key), (NODE_CERT, &*cert), (CA_CERT, &*self.cert_pem)];
        files::create(out, &made)?;
        Ok(name)
    }

    fn sign(&self, name: NodeName) -> Result<(String, String), SecurityError> {
        let key = KeyPair::generate().map_err(|error| make(&error))?;
        let params = authority_params(self.cluster)?;
        let issuer = Issuer::from_params(&params, &self.key);
        let cert = node_params(name)?.signed_by(&key, &issuer).map_err(|error| make(&error))?;
        Ok((cert.pem(), key.serialize_pem()))
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.cluster)
    }
}

/// A new authority in `dir/ca`, and a folder `dir/node-<number>` for each of the nodes with what
/// `cluster.ca`, `cluster.cert` and `cluster.key` ask for: a cluster for a demonstration. Returns
/// the nodes' folders in their order.
///
/// # Errors
/// When something is there already, or cannot be written.
pub fn ephemeral_ca(dir: &Path, nodes: &[NodeId]) -> Result<Vec<PathBuf>, SecurityError> {
    let authority = Authority::init(&dir.join("ca"))?;
    let folder = |node: &NodeId| {
        let out = dir.join(format!("node-{}", node.number()));
        authority.issue(*node, &out).map(|_| out)
    };
    nodes.iter().map(folder).collect()
}

fn make(error: &rcgen::Error) -> SecurityError {
    SecurityError::Make(error.to_string())
}

/// The same for the same cluster, dates apart: signing needs no more of them than the subject.
fn authority_params(cluster: ClusterId) -> Result<CertificateParams, SecurityError> {
    let mut params = CertificateParams::new(vec![domain(cluster)]).map_err(|error| make(&error))?;
    params.distinguished_name = called(&format!("CrabCache cluster {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(domain(cluster))],
        excluded_subtrees: Vec::new(),
    });
    valid_for(&mut params, CA_LIFE);
    Ok(params)
}

fn node_params(name: NodeName) -> Result<CertificateParams, SecurityError> {
    let mut params =
        CertificateParams::new(vec![name.to_string()]).map_err(|error| make(&error))?;
    params.distinguished_name = called(&format!("CrabCache node {}", name.node.number()));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, NODE_LIFE);
    Ok(params)
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

fn valid_for(params: &mut CertificateParams, life: Duration) {
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(clock::now().0);
    params.not_before = now - BEFORE;
    params.not_after = now + life;
}

/// The cluster of an authority's certificate, and its public key.
fn read_authority(pem: &str) -> Result<(ClusterId, Vec<u8>), SecurityError> {
    let der =
        CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| SecurityError::NoCertificate)?;
    let cluster = of_authority(&der)?;
    let cert = EndEntityCert::try_from(&der).map_err(|_| SecurityError::NoCertificate)?;
    Ok((cluster, cert.subject_public_key_info().to_vec()))
}
