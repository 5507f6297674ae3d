//! What a certificate calls a node: its number and its cluster's, as one DNS name. Knows names
//! only; who signed them is the business of `tls`.

use super::SecurityError;
use cluster::node::ClusterId;
use cluster::topology::NodeId;
use rustls::pki_types::CertificateDer;
use std::fmt;
use webpki::EndEntityCert;

/// What all names end with. There is no such domain on the internet, and none is asked for.
const DOMAIN: &str = "crabcache";
/// What the name of a node begins with.
const NODE: &str = "node-";
/// Stands where a node's name would, when any node of the cluster will do.
const ANY: &str = "any";

/// A node of a cluster, as its certificate names it: `node-<16 hex>.<32 hex>.crabcache`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeName {
    /// Which node.
    pub node: NodeId,
    /// Of which cluster.
    pub cluster: ClusterId,
}

/// The name of the cluster, which its authority's certificate bears.
pub(super) fn domain(cluster: ClusterId) -> String {
    format!("{cluster}.{DOMAIN}")
}

/// What to ask for when any node of the cluster will do.
pub fn any_node(cluster: ClusterId) -> String {
    format!("{ANY}.{}", domain(cluster))
}

fn of_domain(text: &str) -> Option<ClusterId> {
    let digits = text.strip_suffix(DOMAIN)?.strip_suffix('.')?;
    hex(digits, 32).map(ClusterId)
}

/// The cluster whose authority this is the certificate of.
pub(super) fn of_authority(ca: &CertificateDer<'_>) -> Result<ClusterId, SecurityError> {
    names(ca)?.iter().find_map(|name| of_domain(name)).ok_or(SecurityError::Nameless)
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NODE}{:016x}.{}", self.node.number(), domain(self.cluster))
    }
}

impl NodeName {
    /// The name that `text` is; `None` when it is none.
    pub fn parse(text: &str) -> Option<NodeName> {
        let (node, cluster) = text.strip_prefix(NODE)?.split_once('.')?;
        let number = u64::try_from(hex(node, 16)?).ok()?;
        Some(NodeName { node: NodeId::new(number)?, cluster: of_domain(cluster)? })
    }

    /// What the certificate calls its bearer. Who signed it is not looked at.
    ///
    /// # Errors
    /// When it is no certificate, or has not exactly one name of this kind.
    pub(super) fn of_certificate(der: &CertificateDer<'_>) -> Result<NodeName, SecurityError> {
        let found: Vec<NodeName> = names(der)?.iter().filter_map(|n| NodeName::parse(n)).collect();
        match found[..] {
            [name] => Ok(name),
            _ => Err(SecurityError::Nameless),
        }
    }
}

fn names(der: &CertificateDer<'_>) -> Result<Vec<String>, SecurityError> {
    let cert = EndEntityCert::try_from(der).map_err(|_| SecurityError::NoCertificate)?;
    Ok(cert.valid_dns_names().map(str::to_owned).collect())
}

/// Exactly so many hexadecimal digits, small letters only.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits
        && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    fits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{ClusterId, NodeName, any_node, domain, of_domain};
    use cluster::topology::NodeId;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let name = NodeName { node: NodeId::new(0xabc).unwrap(), cluster: ClusterId(0xfeed) };
        let text = format!("node-0000000000000abc.{}feed.crabcache", "0".repeat(28));
        assert_eq!(name.to_string(), text);
        assert_eq!(NodeName::parse(&text), Some(name));
        assert_eq!(of_domain(&domain(name.cluster)), Some(name.cluster));
    }

    #[test]
    fn what_is_no_name() {
        let cluster = domain(ClusterId(7));
        for wrong in [
            String::new(),
            "localhost".into(),
            any_node(ClusterId(7)),
            format!("node-0000000000000000.{cluster}"),
            format!("node-abc.{cluster}"),
            format!("node-0000000000000ABC.{cluster}"),
            format!("node-+000000000000abc.{cluster}"),
            format!("node-0000000000000abc.{cluster}.evil"),
            "node-0000000000000abc.7.crabcache".into(),
        ] {
            assert_eq!(NodeName::parse(&wrong), None, "{wrong}");
        }
    }
}
