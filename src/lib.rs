//! CrabCache: what one node does. `cluster` holds what many nodes agree on.
//! Rooms, upper before lower; each may use only those below it (`tests/tidy.rs`).

pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod control;
pub mod engine;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod node;
pub mod peer;
pub mod replication;
pub mod resp;
pub mod security;
pub mod server;
pub mod wal;
pub mod worker;
