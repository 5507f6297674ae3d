//! The command line: server, bench, healthcheck.

pub mod bench;
