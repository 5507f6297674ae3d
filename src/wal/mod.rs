//! The write-ahead log on this node: its files, and what a restart reads from them.

pub mod recovery;
