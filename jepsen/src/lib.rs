//! A black box around a cluster: starts real nodes as processes, breaks them, drives them with
//! clients, records what these saw, and says what was lost, what was stale and how long each group
//! of slots was away. Knows nothing of the inside of a node.

pub mod bulk;
pub mod check;
pub mod cli;
pub mod client;
pub mod clock;
pub mod failover;
pub mod figures;
pub mod history;
pub mod limits;
pub mod link;
pub mod load;
pub mod net;
pub mod nodes;
pub mod quiet;
pub mod reply;
pub mod resize;
pub mod status;

/// Why a story could not be told to its end, in words.
pub type Failure = String;
