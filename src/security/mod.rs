//! Who may do what: tokens of clients, certificates of nodes, and where a node may listen without
//! either. Knows no socket and no session; it answers questions and makes certificates.

mod ca;
mod error;
mod files;
mod identity;
mod join;
mod name;
mod tls;
mod token;

pub use ca::{Authority, CA_CERT, CA_KEY, NODE_CERT, NODE_KEY, ephemeral_ca};
pub use cluster::node::ClusterId;
pub use error::SecurityError;
pub use identity::{Identity, Peer};
pub use join::{JOIN_TOKEN, JoinToken};
pub use name::{NodeName, any_node};
pub use tls::{ALPN, client_config, server_config};
pub use token::{Tokens, check_bind};
