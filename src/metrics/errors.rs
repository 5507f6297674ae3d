//! Errors by their code, for INFO errorstats. Bounded: there is no error code that a client could
//! make up, but nobody should have to prove that.

use crate::limits::{ERROR_CODE_BYTES_MAX, ERROR_CODES_MAX};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Where codes go that there is no room for.
const OTHER: &str = "OTHER";

/// Errors answered by one worker, by code. Errors are rare, so this may lock.
#[derive(Debug, Default)]
pub(super) struct ErrorCodes(Mutex<BTreeMap<Box<str>, u64>>);

impl ErrorCodes {
    /// Counts an error; `text` is its code or begins with it.
    pub(super) fn count(&self, text: &str) {
        let code = text.split([' ', '\r', '\n']).next().unwrap_or_default();
        let usable = !code.is_empty()
            && code.len() <= ERROR_CODE_BYTES_MAX
            && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let code = if usable { code } else { OTHER };
        let mut codes = self.0.lock();
        if let Some(count) = codes.get_mut(code) {
            *count += 1;
        } else if codes.len() < ERROR_CODES_MAX {
            codes.insert(code.into(), 1);
        } else {
            *codes.entry(OTHER.into()).or_default() += 1;
        }
    }

    /// Adds its counts to `sums`.
    pub(super) fn add_to(&self, sums: &mut BTreeMap<Box<str>, u64>) {
        for (code, count) in self.0.lock().iter() {
            *sums.entry(code.clone()).or_default() += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorCodes;
    use crate::limits::ERROR_CODES_MAX;
    use std::collections::BTreeMap;

    fn sums(codes: &ErrorCodes) -> BTreeMap<Box<str>, u64> {
        let mut sums = BTreeMap::new();
        codes.add_to(&mut sums);
        sums
    }

    #[test]
    fn the_code_is_the_first_word() {
        let codes = ErrorCodes::default();
        codes.count("ERR syntax error");
        codes.count("ERR");
        codes.count("WRONGTYPE Operation against a key");
        codes.count("");
        codes.count("bad:code,x=1 y");
        let sums = sums(&codes);
        assert_eq!(sums.get("ERR"), Some(&2));
        assert_eq!(sums.get("WRONGTYPE"), Some(&1));
        assert_eq!(sums.get("OTHER"), Some(&2));
    }

    #[test]
    fn the_number_of_codes_is_bounded() {
        let codes = ErrorCodes::default();
        (0..ERROR_CODES_MAX * 2).for_each(|i| codes.count(&format!("E{i}")));
        let sums = sums(&codes);
        assert_eq!(sums.len(), ERROR_CODES_MAX + 1);
        assert_eq!(sums.get("OTHER"), Some(&(ERROR_CODES_MAX as u64)));
    }
}
