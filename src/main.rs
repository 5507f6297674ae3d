//! The `crabcache` command.

fn main() {}
