//! Tokens that clients authenticate with, compared in constant time, and where a node may listen
//! without one. Knows no session.

use crate::config::Secret;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use subtle::{Choice, ConstantTimeEq};

/// The tokens that AUTH accepts. Only their SHA-256 digests are kept: digests have one length, so
/// that a comparison takes the same time whatever differs, and where.
#[derive(Clone, Default)]
pub struct Tokens {
    digests: Vec<[u8; 32]>,
}

impl Tokens {
    /// Digests of `tokens`.
    pub fn new(tokens: &[Secret]) -> Tokens {
        Tokens { digests: tokens.iter().map(|t| digest(t.expose().as_bytes())).collect() }
    }

    /// Whether there are none, so that nobody has to authenticate.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Whether `candidate` is one of them. Compares with all of them, in constant time each.
    pub fn check(&self, candidate: &[u8]) -> bool {
        let candidate = digest(candidate);
        let any = |found: Choice, known: &[u8; 32]| found | known.ct_eq(&candidate);
        self.digests.iter().fold(Choice::from(0), any).into()
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.digests.len())
    }
}

/// Whether a node may listen for clients on `address`: anywhere with tokens, on loopback without,
/// elsewhere without only when protection was switched off by hand.
///
/// # Errors
/// What is wrong and the three ways out of it.
pub fn check_bind(address: IpAddr, has_tokens: bool, protected: bool) -> Result<(), String> {
    if has_tokens || !protected || address.is_loopback() {
        return Ok(());
    }
    Err(format!(
        "refusing to listen on {address} without tokens: anybody who reaches that address could \
         read and change everything. Set server.tokens, or listen on 127.0.0.1, or set \
         server.protected = false if the network is trusted"
    ))
}

pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::{Tokens, check_bind};
    use crate::config::Secret;
    use std::net::IpAddr;

    #[test]
    fn tokens() {
        let tokens = Tokens::new(&[Secret::new("alpha"), Secret::new("beta")]);
        assert!(tokens.check(b"alpha") && tokens.check(b"beta"));
        for wrong in ["", "alph", "alphaa", "ALPHA", "gamma"] {
            assert!(!tokens.check(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{tokens:?}"), "Tokens(2)");
        assert!(Tokens::default().is_empty() && !Tokens::default().check(b""));
    }

    #[test]
    fn where_a_node_may_listen() {
        let addr = |s: &str| s.parse::<IpAddr>().expect("an address");
        for local in ["127.0.0.1", "127.8.9.10", "::1"] {
            assert_eq!(check_bind(addr(local), false, true), Ok(()));
        }
        for open in ["0.0.0.0", "::", "10.0.0.1"] {
            assert!(check_bind(addr(open), false, true).is_err(), "{open}");
            assert_eq!(check_bind(addr(open), true, true), Ok(()));
            assert_eq!(check_bind(addr(open), false, false), Ok(()));
        }
    }
}
