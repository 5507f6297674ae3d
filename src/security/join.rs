//! The one-time token that a node joins a cluster with, beside its certificate. The cluster knows
//! only its SHA-256. Knows no cluster.

use super::token::digest;
use super::{SecurityError, files, tls};
use crate::config::Secret;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The file of a node's token, beside its certificate.
pub const JOIN_TOKEN: &str = "join.token";

/// Longest file that a token is read from.
const FILE_BYTES_MAX: u64 = 1024;
/// Bytes of chance in a token.
const BYTES: usize = 32;

/// Such a token: 64 hexadecimal digits.
#[derive(Clone, Debug)]
pub struct JoinToken(Secret);

impl JoinToken {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no chance to give.
    pub fn new() -> Result<JoinToken, SecurityError> {
        let mut chance = [0; BYTES];
        let random = tls::provider().secure_random;
        random.fill(&mut chance).map_err(|_| SecurityError::Make("no random numbers".into()))?;
        Ok(JoinToken(Secret::new(hex(&chance))))
    }

    /// The one in a file; `None` where there is no file: it has been used, and put away.
    ///
    /// # Errors
    /// When the file cannot be read, or is far too long.
    pub fn load(path: &Path) -> Result<Option<JoinToken>, SecurityError> {
        let length = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(_) => 0,
        };
        if length > FILE_BYTES_MAX {
            let reason = format!("{length} bytes are no token");
            return Err(SecurityError::File { path: path.to_owned(), reason });
        }
        Ok(Some(JoinToken(Secret::new(files::read(path)?.trim()))))
    }

    /// Puts it into a folder as [`JOIN_TOKEN`], readable by the owner only, instead of an earlier
    /// one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, dir: &Path) -> Result<PathBuf, SecurityError> {
        let path = dir.join(JOIN_TOKEN);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(SecurityError::File { path, reason: error.to_string() });
        }
        files::create(dir, &[(JOIN_TOKEN, self.0.expose())])?;
        Ok(path)
    }

    /// What the cluster knows of it.
    pub fn hash(&self) -> [u8; 32] {
        digest(self.0.expose().as_bytes())
    }

    /// The same as hexadecimal digits.
    pub fn hash_text(&self) -> String {
        hex(&self.hash())
    }

    /// The token itself, for the one whom it is made for.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{JOIN_TOKEN, JoinToken};

    #[test]
    fn a_token_is_kept_in_a_file_and_shown_to_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(JOIN_TOKEN);
        assert!(JoinToken::load(&path).unwrap().is_none());
        let (one, two) = (JoinToken::new().unwrap(), JoinToken::new().unwrap());
        assert_ne!(one.hash(), two.hash());
        assert_eq!((one.expose().len(), one.hash_text().len()), (64, 64));
        assert!(!format!("{one:?}").contains(one.expose()));
        for token in [&one, &two] {
            assert_eq!(token.save(dir.path()).unwrap(), path);
            let read = JoinToken::load(&path).unwrap().unwrap();
            assert_eq!(read.hash(), token.hash());
        }
        std::fs::write(&path, "x".repeat(2000)).unwrap();
        assert!(JoinToken::load(&path).is_err());
    }
}
