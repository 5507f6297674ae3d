//! Bytes of what the Raft group stores and sends: a format version, then bincode. The only file
//! that knows bincode; it knows none of the things it encodes.

use crate::limits::CONTROL_MESSAGE_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// What every encoded thing begins with; another first byte is another format.
const FORMAT: u8 = 1;

/// Why bytes are not what they were taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CodecError {
    /// There are none.
    Empty,
    /// They are of this format, which is not ours: written by a newer version.
    Format(u8),
    /// They are more than the limit.
    TooLong(usize),
    /// They do not say what they should.
    Bad(String),
}

/// The bytes of a thing.
///
/// # Errors
/// When they would be more than [`CONTROL_MESSAGE_BYTES_MAX`].
pub(super) fn encode<T: Serialize>(thing: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = vec![FORMAT];
    let written =
        bincode::serde::encode_into_std_write(thing, &mut out, bincode::config::standard());
    written.map_err(|e| CodecError::Bad(e.to_string()))?;
    if out.len() > CONTROL_MESSAGE_BYTES_MAX {
        Err(CodecError::TooLong(out.len()))
    } else {
        Ok(out)
    }
}

/// The thing that all of `bytes` are.
///
/// # Errors
/// When they are of another format, too many, not such a thing, or more than one.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (&format, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    if format != FORMAT {
        return Err(CodecError::Format(format));
    }
    if bytes.len() > CONTROL_MESSAGE_BYTES_MAX {
        return Err(CodecError::TooLong(bytes.len()));
    }
    // The limit bounds what a length in the bytes can make it reserve.
    let config = bincode::config::standard().with_limit::<CONTROL_MESSAGE_BYTES_MAX>();
    let (thing, used) = bincode::serde::decode_from_slice(body, config)
        .map_err(|e| CodecError::Bad(e.to_string()))?;
    if used == body.len() {
        Ok(thing)
    } else {
        Err(CodecError::Bad(format!("{} bytes too many", body.len() - used)))
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Empty => write!(f, "no bytes"),
            CodecError::Format(found) => {
                write!(f, "format {found}, this version reads format {FORMAT}")
            }
            CodecError::TooLong(bytes) => {
                write!(f, "{bytes} bytes, at most {CONTROL_MESSAGE_BYTES_MAX} are allowed")
            }
            CodecError::Bad(reason) => write!(f, "{reason}"),
        }
    }
}

impl std::error::Error for CodecError {}

#[cfg(test)]
mod tests {
    use super::{CodecError, decode, encode};
    use crate::limits::CONTROL_MESSAGE_BYTES_MAX;

    #[test]
    fn what_is_encoded_comes_back() {
        let thing = (7_u64, Some("seven".to_owned()), vec![1_u8, 2, 3]);
        let bytes = encode(&thing).unwrap();
        assert_eq!(bytes, b"\x01\x07\x01\x05seven\x03\x01\x02\x03");
        assert_eq!(decode(&bytes), Ok(thing));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(decode::<u64>(&[]), Err(CodecError::Empty));
        assert_eq!(decode::<u64>(&[2, 7]), Err(CodecError::Format(2)));
        assert!(matches!(decode::<u64>(&[1]), Err(CodecError::Bad(_))));
        assert!(matches!(decode::<u64>(&[1, 7, 7]), Err(CodecError::Bad(_))));
        let long = vec![1; CONTROL_MESSAGE_BYTES_MAX + 1];
        assert_eq!(decode::<Vec<u8>>(&long), Err(CodecError::TooLong(long.len())));
        assert!(encode(&long).is_err());
    }

    #[test]
    fn a_length_reserves_nothing_that_is_not_there() {
        // A vector of 2^60 strings.
        let mut bytes = vec![1, 253];
        bytes.extend_from_slice(&(1_u64 << 60).to_le_bytes());
        assert!(decode::<Vec<String>>(&bytes).is_err());
    }
}
