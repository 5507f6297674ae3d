//! How the log is synced (`wal`).

use super::WAL_BLOCK_BYTES;

/// How far ahead of the log zeros are written under `wal.policy = sync`, and how many at a time: a
/// sync of bytes that were written before need not change what the file system knows of the file.
pub const WAL_FILL_AHEAD_BYTES: u64 = 4 * 1024 * 1024;
/// See [`WAL_FILL_AHEAD_BYTES`].
pub const WAL_FILL_STEP_BYTES: usize = 512 * 1024;
/// A sync waits until this part of those is there who waited, answers on their way included, when
/// the one before ended: half of them, so that they come in two groups, of which one is served
/// while the disk is busy with the other.
pub const WAL_GATHER_PART: u64 = 2;
/// Longest time that a sync waits so: this, or half of what one takes if that is longer; but
/// never this many times what one takes.
pub const WAL_GATHER_US_MAX: u64 = 500;
/// See [`WAL_GATHER_US_MAX`].
pub const WAL_GATHER_SYNCS_MAX: u64 = 4;
/// Shortest time that is worth waiting for one more.
pub const WAL_GATHER_US_MIN: u64 = 20;

const _: () = assert!(WAL_FILL_STEP_BYTES.is_multiple_of(WAL_BLOCK_BYTES));
