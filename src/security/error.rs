//! What can be wrong with a certificate, a key or the files that hold them.

use super::{ClusterId, NodeName};
use std::fmt;
use std::path::PathBuf;

/// Why a certificate, key or authority is not usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecurityError {
    /// A file cannot be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// What the system says, or what the file is not.
        reason: String,
    },
    /// Something is there already and is not overwritten.
    Exists(PathBuf),
    /// These bytes are no certificate.
    NoCertificate,
    /// The certificate bears no name, or several, of the kind that nodes and clusters have.
    Nameless,
    /// The certificate is of another cluster.
    OtherCluster {
        /// Which.
        found: NodeName,
        /// The one that was expected.
        expected: ClusterId,
    },
    /// The certificate is of another node.
    OtherNode {
        /// Which.
        found: NodeName,
        /// The one that was expected.
        expected: NodeName,
    },
    /// The key does not belong to the certificate.
    OtherKey,
    /// The certificate is not signed by this cluster's authority, or not valid now.
    Untrusted(String),
    /// A certificate could not be made.
    Make(String),
}

impl fmt::Display for SecurityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecurityError::File { path, reason } => write!(f, "{}: {reason}", path.display()),
            SecurityError::Exists(path) => {
                write!(f, "{} exists already; nothing was written", path.display())
            }
            SecurityError::NoCertificate => f.write_str("this is not a certificate"),
            SecurityError::Nameless => f.write_str(
                "the certificate does not name a CrabCache node; `crabcache cluster ca issue` \
                 makes those that do",
            ),
            SecurityError::OtherCluster { found, expected } => write!(
                f,
                "the certificate is of node {} of cluster {}, but this is cluster {expected}",
                found.node.number(),
                found.cluster
            ),
            SecurityError::OtherNode { found, expected } => write!(
                f,
                "the certificate is of node {}, but node {} was expected",
                found.node.number(),
                expected.node.number()
            ),
            SecurityError::OtherKey => f.write_str("the key does not belong to the certificate"),
            SecurityError::Untrusted(reason) => {
                write!(f, "the certificate is not trusted by the cluster's authority: {reason}")
            }
            SecurityError::Make(reason) => write!(f, "cannot make the certificate: {reason}"),
        }
    }
}

impl std::error::Error for SecurityError {}
