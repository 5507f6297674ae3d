//! Bounds of replication and of a node's part in a cluster. Holds numbers only.

use super::PEER_QUEUE_BYTES_MAX;

/// What the data plane's endpoint has to tell and its thread has not heard yet.
pub const REPLICATION_EVENTS_MAX: usize = 4096;
/// How long records are collected before they are sent on, in microseconds.
pub const REPLICATION_PAUSE_US: u64 = 500;
/// Tries to get the last records of a group from the log's thread, …
pub const REPLICATION_FLUSH_TRIES: u32 = 50;
/// … each of which waits at most so many milliseconds.
pub const REPLICATION_FLUSH_MS: u64 = 20;
/// Records are sent to a peer while less than this waits to be sent.
pub const REPLICATION_AHEAD_BYTES: usize = PEER_QUEUE_BYTES_MAX / 4;
/// How long a stream may take to be opened, in milliseconds.
pub const REPLICATION_OPEN_MS_MAX: u64 = 2000;
/// After a stream could not be opened, it is tried again after so many milliseconds.
pub const REPLICATION_REOPEN_MS: u64 = 100;
/// Bytes of a part of a copy, but for one that is a single item.
pub const RESYNC_CHUNK_BYTES: usize = 256 * 1024;
/// Changes that replication wants proposed and that nobody has proposed yet, in lists.
pub const CLUSTER_PROPOSALS_MAX: usize = 256;
/// How often workers are told how long the lease holds, in milliseconds.
pub const LEASE_LOOK_MS: u64 = 20;
/// Records that replicas may still ask for take at most this part of the bound on memory, …
pub const BACKLOG_PART: u64 = 50;
/// … or this much, where that is more.
pub const BACKLOG_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// Longest time that a connection waits behind a write because copies are far behind, in
/// milliseconds.
pub const WRITE_HOLD_MS_MAX: u64 = 1000;
/// How often a node works out how far the copies of what it leads are behind, in milliseconds, …
pub const LAG_LOOK_MS: u64 = 100;
/// … how often it tells the others, …
pub const LAG_TELL_MS: u64 = 500;
/// … and for how long what another told counts.
pub const LAG_HEARD_MS_MAX: u64 = 3000;
/// Others keep to what this node has room for once less than this part of its bound is free.
pub const ROOM_SHORT_PART: u64 = 8;
/// The disk gets a snapshot when no copy of a group was received for so many milliseconds.
pub const RESYNC_SNAPSHOT_MS: u64 = 5000;
/// Clients of a group that was handed over wait until its new primary is heard of, which is looked
/// for this often, in milliseconds, …
pub const HANDOVER_LOOK_MS: u64 = 2;
/// … and so many times at most.
pub const HANDOVER_LOOKS_MAX: u32 = 30;
