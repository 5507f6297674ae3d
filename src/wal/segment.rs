//! What a file of the log is called and what stands in its first block. Pure: knows no file.
//!
//! ```text
//! 0   magic "CRABWAL1" | version u32 | salt u32 | number u64 | created u64 | crc u32 | zeros
//! 4096   frames, one behind the other                                numbers little-endian
//! ```
//! `crc` is the CRC-32 (IEEE) of all before it. Frames that count carry the salt. A snapshot begins
//! the same way, with the magic "CRABSNP1", a backup with "CRABBAK1".

use crate::limits::WAL_BLOCK_BYTES;
use cluster::record::Salt;
use std::fmt;

/// The folder of the log below the data directory.
pub const FOLDER: &str = "wal";
/// Where frames begin.
pub const HEADER_BYTES: usize = WAL_BLOCK_BYTES;
/// The format written, and the only one read.
pub const VERSION: u32 = 1;

/// Bytes of a header that are not padding.
pub const USED_BYTES: usize = CRC_AT + 4;

const CRC_AT: usize = 32;
const DIGITS: usize = 20;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A segment of the log.
    Segment,
    /// A snapshot.
    Snapshot,
    /// A backup: a snapshot that goes its own ways.
    Backup,
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What frames in it carry; drawn anew in each life of a file.
    pub salt: Salt,
    /// Its place among the files of its kind.
    pub number: u64,
    /// When it began, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

/// Why a block is not the header of a segment that this version reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// There are too few bytes.
    Short,
    /// This is no segment of a log.
    Magic,
    /// Intact, of another format version.
    Version(u32),
    /// These are not the bytes that were written.
    Checksum,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Short => f.write_str("shorter than a header"),
            HeaderError::Magic => f.write_str("not a file of the log"),
            HeaderError::Version(version) => {
                write!(f, "format version {version}; this program reads version {VERSION}")
            }
            HeaderError::Checksum => f.write_str("its header is damaged"),
        }
    }
}

impl std::error::Error for HeaderError {}

impl FileKind {
    fn magic(self) -> [u8; 8] {
        match self {
            FileKind::Segment => *b"CRABWAL1",
            FileKind::Snapshot => *b"CRABSNP1",
            FileKind::Backup => *b"CRABBAK1",
        }
    }

    /// What its file names end with.
    pub fn ending(self) -> &'static str {
        match self {
            FileKind::Segment => "wal",
            FileKind::Snapshot => "snap",
            FileKind::Backup => "backup",
        }
    }

    /// The name of the file with this number.
    pub fn name(self, number: u64) -> String {
        format!("{number:0DIGITS$}.{}", self.ending())
    }

    /// The number of the file with this name.
    pub fn number(self, name: &str) -> Option<u64> {
        number_before(name.strip_suffix(self.ending())?, ".")
    }
}

impl Header {
    /// Writes that of a segment into the first [`HEADER_BYTES`] of `block`.
    pub fn encode(&self, block: &mut [u8]) {
        self.encode_as(FileKind::Segment, block);
    }

    /// Writes it into the first [`HEADER_BYTES`] of `block`.
    pub fn encode_as(&self, kind: FileKind, block: &mut [u8]) {
        block[..HEADER_BYTES].fill(0);
        block[0..8].copy_from_slice(&kind.magic());
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[12..16].copy_from_slice(&self.salt.number().to_le_bytes());
        block[16..24].copy_from_slice(&self.number.to_le_bytes());
        block[24..32].copy_from_slice(&self.created_ms.to_le_bytes());
        let crc = crc32fast::hash(&block[..CRC_AT]);
        block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads that of a segment from the beginning of `bytes`.
    ///
    /// # Errors
    /// When it is none that this version reads.
    pub fn decode(bytes: &[u8]) -> Result<Header, HeaderError> {
        Header::decode_as(FileKind::Segment, bytes)
    }

    /// Reads it from the beginning of `bytes`.
    ///
    /// # Errors
    /// When it is none of this kind that this version reads.
    pub fn decode_as(kind: FileKind, bytes: &[u8]) -> Result<Header, HeaderError> {
        let block = bytes.get(..HEADER_BYTES).ok_or(HeaderError::Short)?;
        let (used, padding) = block.split_at(USED_BYTES);
        // What follows the sum is zeros, so that no bit of a header may flip unnoticed.
        if used[..8] == kind.magic() && padding.iter().any(|&byte| byte != 0) {
            return Err(HeaderError::Checksum);
        }
        Header::decode_used(kind, used)
    }

    /// Reads it from its first [`USED_BYTES`], whatever stands behind them.
    ///
    /// # Errors
    /// When it is none of this kind that this version reads.
    pub fn decode_used(kind: FileKind, bytes: &[u8]) -> Result<Header, HeaderError> {
        let block = bytes.get(..USED_BYTES).ok_or(HeaderError::Short)?;
        if block[..8] != kind.magic() {
            return Err(HeaderError::Magic);
        }
        let u32_at = |at: usize| u32::from_le_bytes(array(block, at));
        let u64_at = |at: usize| u64::from_le_bytes(array(block, at));
        if crc32fast::hash(&block[..CRC_AT]) != u32_at(CRC_AT) {
            return Err(HeaderError::Checksum);
        }
        if u32_at(8) != VERSION {
            return Err(HeaderError::Version(u32_at(8)));
        }
        let salt = Salt::new(u32_at(12)).ok_or(HeaderError::Checksum)?;
        Ok(Header { salt, number: u64_at(16), created_ms: u64_at(24) })
    }
}

fn array<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&block[at..at + N]);
    out
}

/// The name of a segment in its folder.
pub fn file_name(number: u64) -> String {
    FileKind::Segment.name(number)
}

/// The name of a file that waits to become that segment.
pub fn spare_name(number: u64) -> String {
    format!("{number:020}.spare")
}

/// The number of the segment of this name.
pub fn number_of(name: &str) -> Option<u64> {
    FileKind::Segment.number(name)
}

/// Whether a file of this name waits to become a segment; what it holds counts for nothing.
pub fn is_spare(name: &str) -> bool {
    number_before(name, ".spare").is_some()
}

/// The number that a name ending so begins with.
pub(super) fn number_before(name: &str, end: &str) -> Option<u64> {
    let digits = name.strip_suffix(end)?;
    let whole = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use super::{
        FileKind, HEADER_BYTES, Header, HeaderError, file_name, is_spare, number_of, spare_name,
    };
    use cluster::record::Salt;

    fn header() -> Header {
        Header { salt: Salt::new(7).expect("a salt"), number: 42, created_ms: 1_700_000_000_123 }
    }

    #[test]
    fn names() {
        assert_eq!(file_name(42), "00000000000000000042.wal");
        for number in [0, 42, u64::MAX] {
            assert_eq!(number_of(&file_name(number)), Some(number));
            assert!(is_spare(&spare_name(number)) && !is_spare(&file_name(number)));
        }
        let high = "99999999999999999999.wal";
        for name in ["42.wal", "00000000000000000042", "0000000000000000004x.wal", high, ".wal"] {
            assert_eq!(number_of(name), None, "{name}");
        }
        assert_eq!(number_of("+0000000000000000042.wal"), None);
    }

    #[test]
    fn what_is_written_is_read_and_every_flipped_bit_is_noticed() {
        let mut block = vec![0xff; HEADER_BYTES + 10];
        header().encode(&mut block);
        assert_eq!(Header::decode(&block), Ok(header()));
        assert_eq!(block[HEADER_BYTES], 0xff);
        for at in 0..HEADER_BYTES {
            for bit in 0..8 {
                block[at] ^= 1 << bit;
                let expected = if at < 8 { HeaderError::Magic } else { HeaderError::Checksum };
                assert_eq!(Header::decode(&block), Err(expected), "bit {bit} of byte {at}");
                block[at] ^= 1 << bit;
            }
        }
        assert_eq!(Header::decode(&block[..HEADER_BYTES - 1]), Err(HeaderError::Short));
    }

    #[test]
    fn a_snapshot_is_no_segment() {
        let mut block = vec![0; HEADER_BYTES];
        header().encode_as(FileKind::Snapshot, &mut block);
        assert_eq!(block[..8], *b"CRABSNP1");
        assert_eq!(Header::decode_as(FileKind::Snapshot, &block), Ok(header()));
        assert_eq!(Header::decode(&block), Err(HeaderError::Magic));
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut block = vec![0; HEADER_BYTES];
        header().encode(&mut block);
        block[8] = 2;
        let crc = crc32fast::hash(&block[..32]);
        block[32..36].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Header::decode(&block), Err(HeaderError::Version(2)));
    }
}
