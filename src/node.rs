//! The composition root: makes a node out of its parts, starts and stops it.

use crate::config::Config;

/// Runs a node until it is told to end.
///
/// # Errors
/// Why it could not start.
pub fn run(_config: Config) -> Result<(), String> {
    Err("the parts of a node are not put together yet".into())
}
