//! Sessions: what a connection may do, and the commands about connections and the node.

pub mod info;
pub mod stats;
