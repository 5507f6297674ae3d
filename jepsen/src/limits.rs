//! Every bound and wait of this crate, by name.

use crate::clock::{MS, SECOND};

/// Between two questions to the cluster while something is waited for.
pub const POLL_NS: u64 = 50 * MS;
/// Longest time for a cluster to form, or to be well again.
pub const WELL_NS_MAX: u64 = 60 * SECOND;
/// Looks in a row at which all is well, until that is believed.
pub const SETTLED_LOOKS: u32 = 4;
/// Longest time for a node to be added or removed.
pub const CHANGE_NS_MAX: u64 = 240 * SECOND;
/// Longest time for a node to end that was asked to.
pub const STOP_NS_MAX: u64 = 5 * SECOND;
/// Longest time for a question about the cluster, or for a batch of keys.
pub const ASK_MS_MAX: u64 = 5_000;
/// Longest answer that is taken, in bytes.
pub const REPLY_BYTES_MAX: usize = 128 << 20;
/// How deep answers may be nested.
pub const REPLY_DEPTH_MAX: usize = 8;

/// How long a client waits for a connection, or an answer, before it tries again.
pub const ATTEMPT_NS_MAX: u64 = 250 * MS;
/// The same where nothing is to fail: during planned changes.
pub const PATIENT_ATTEMPT_NS_MAX: u64 = 5 * SECOND;
/// How long a client tries before an operation has failed.
pub const OPERATION_NS_MAX: u64 = 10 * SECOND;
/// What a client waits after a refusal or a failure.
pub const RETRY_NS: u64 = 10 * MS;
/// A client asks for the map of slots at most every so often.
pub const REFRESH_NS_MIN: u64 = 20 * MS;
/// Redirections in a row that are followed at once.
pub const MOVED_MAX: u32 = 5;
/// Redirections after which a client asks for the whole map.
pub const MOVED_PER_REFRESH: u32 = 5;
/// Requests that may wait on one connection.
pub const LINK_QUEUE_MAX: usize = 4096;
/// Connections to one node that clients of a story share.
pub const SHARED_LINKS: usize = 4;

/// Keys written or read in one go.
pub const BATCH_KEYS: usize = 500;
/// Bytes of values written in one go, unless one is larger.
pub const BATCH_BYTES: usize = 1 << 20;
/// Keys that are looked at before the next are named.
pub const CHECKED_KEYS: u64 = 50_000;
/// Times that all keys not yet served are asked for again.
pub const BULK_ROUNDS_MAX: u32 = 200;
/// How long the load goes on after its end to finish what it has begun.
pub const DRAIN_NS_MAX: u64 = OPERATION_NS_MAX + SECOND;
/// Lost or stale operations that are told one by one.
pub const TOLD_MAX: usize = 20;
