//! How many frames one look at the log takes, and how many wait when it is read back.

/// Frames that wait to be taken before writers wait, too. All but a few of those that are taken at
/// once may wait for each other when they are read back.
pub const LOG_FRAMES_MAX: u64 = 32 * 1024;
/// Frames that wait for a record before theirs; what makes it more has a gap that never fills.
/// Writers may go beyond the other bound by what they have at hand.
pub const RECOVERY_WAITING_FRAMES_MAX: usize = 256 * 1024;

/// How long a snapshot waits at its beginning for what is recorded to be written, so that no more
/// of the log stays than need be.
pub const WAL_NUMBER_MS_MAX: u64 = 1000;
/// Missing files of the log that are named, one behind the other.
pub const RECOVERY_MISSING_FILES_MAX: usize = 1024;

const _: () = assert!(LOG_FRAMES_MAX * 8 <= RECOVERY_WAITING_FRAMES_MAX as u64);
